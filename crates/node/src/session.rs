//! One attempt and the session that it becomes, as a task.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use peerage_core::{ConnectedAddr, Endpoint, Stage};
use peerage_net::{Connection, Stream};
use peerage_peers::{Deadlines, Outcome, Parting, SessionId, Types};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::network::{Heard, Link, Live, Network, Whom};
use crate::post::{Post, Todo};

/// What a session's task tells the owner.
pub(crate) enum Told<N: Network> {
    /// The dial has reached its peer; from which address of ours, where it was reached directly.
    Reached(Option<Endpoint>),
    /// The handshake is done. The link stays with the task until it is welcome.
    Greeted(Box<Greeting<N>>),
    /// A message came.
    Heard(Heard<N::Types>),
    /// What was to be written is written.
    Written,
    /// So many bytes were read and written.
    Traffic(usize, usize),
    /// The task is over.
    Ended(Outcome),
}

/// A peer without its link.
pub(crate) struct Greeting<N: Network> {
    pub(crate) identity: Option<peerage_book::Identity>,
    pub(crate) profile: <N::Types as Types>::Profile,
    pub(crate) tie: peerage_peers::Tie,
    pub(crate) greeted: peerage_book::Greeted,
    pub(crate) addr: peerage_core::ConnectedAddr,
}

/// The task's ends of its channels.
pub(crate) struct Ends<N: Network> {
    pub(crate) id: SessionId,
    pub(crate) tell: mpsc::Sender<(SessionId, Told<N>)>,
    pub(crate) post: Post<<N::Types as Types>::Message>,
}

/// What an attempt begins with.
pub(crate) enum Begin {
    /// A dial.
    Dial(Whom),
    /// A connection that was accepted.
    Accepted(Connection<TcpStream>),
    /// A connection that was accepted to be told that there is no room.
    Refuse(Connection<TcpStream>),
}

/// How long an attempt may take, and its stages. The table's own deadlines lie behind these, so that
/// it is the stage that says what did not come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// All of it.
    pub(crate) until: Instant,
    /// Reaching the peer.
    pub(crate) reach: Duration,
    /// Greeting it.
    pub(crate) greet: Duration,
}

/// What is being done once a dial has reached its peer.
pub(crate) const HANDSHAKE: Stage = Stage::Greet("handshake");

impl Time {
    /// From now on, as these say.
    pub(crate) fn of(deadlines: &Deadlines) -> Self {
        Self {
            until: Instant::now() + deadlines.attempt,
            reach: deadlines.of(Stage::Reach),
            greet: deadlines.of(HANDSHAKE),
        }
    }

    fn for_stage(self, limit: Duration) -> Instant {
        self.until.min(Instant::now() + limit)
    }

    /// One stage that ends then.
    pub(crate) fn until(until: Instant) -> Self {
        let all = until.saturating_duration_since(Instant::now());
        Self {
            until,
            reach: all,
            greet: all,
        }
    }
}

impl<N: Network> Ends<N> {
    /// Tells the owner. It is never gone before the task: it ends its tasks.
    async fn tell(&self, told: Told<N>) {
        drop(self.tell.send((self.id, told)).await);
    }
}

/// Runs an attempt and its session to the end.
pub(crate) async fn run<N: Network>(network: Arc<N>, begin: Begin, time: Time, ends: Ends<N>) {
    let outcome = {
        // Boxed, so that its memory is gone once it has become a session.
        let attempt = Box::pin(attempt(&*network, begin, time, &ends));
        tokio::select! {
            biased;
            attempted = attempt => attempted,
            // Called off: there is nobody to say goodbye to yet.
            () = ends.post.over() => Ok(None),
        }
    };
    drop(network);
    let outcome = match outcome {
        Ok(Some(link)) => keep(link, &ends).await,
        // It was told that there is no room, or called off.
        Ok(None) => Outcome::Left,
        Err(outcome) => outcome,
    };
    ends.tell(Told::Ended(outcome)).await;
}

async fn attempt<N: Network>(
    network: &N,
    begin: Begin,
    time: Time,
    ends: &Ends<N>,
) -> Result<Option<N::Link>, Outcome> {
    let (connection, whom, refuses) = match begin {
        Begin::Dial(whom) => {
            let reached = network.reach(&whom, time.for_stage(time.reach)).await;
            let connection = reached.map_err(Outcome::Failed)?;
            let from = match connection.addr {
                ConnectedAddr::OutboundDirect { .. } => {
                    connection.io.tcp().and_then(|tcp| tcp.local_addr().ok())
                }
                ConnectedAddr::InboundDirect { .. }
                | ConnectedAddr::OutboundProxy { .. }
                | ConnectedAddr::InboundProxy { .. }
                | ConnectedAddr::Isolated { .. } => None,
            };
            ends.tell(Told::Reached(from.map(Endpoint::from))).await;
            (connection, Some(whom), false)
        }
        Begin::Accepted(connection) => (connection.map(Stream::from), None, false),
        Begin::Refuse(connection) => (connection.map(Stream::from), None, true),
    };
    let addr = connection.addr;
    let deadline = time.for_stage(time.greet);
    let live = network.greet(connection, whom.as_ref(), deadline).await?;
    let Live {
        identity,
        profile,
        tie,
        greeted,
        mut link,
    } = live;
    if refuses {
        drop(timeout_at(deadline, link.goodbye(Parting::Full)).await);
        return Ok(None);
    }
    let greeting = Greeting {
        identity,
        profile,
        tie,
        greeted,
        addr,
    };
    ends.tell(Told::Greeted(Box::new(greeting))).await;
    Ok(Some(link))
}

/// Moves messages until the end. Orders come first, then what is to be written, then what comes. A
/// message that the peer does not take at once is written while others are heard.
async fn keep<N: Network>(mut link: N::Link, ends: &Ends<N>) -> Outcome {
    let post = &ends.post;
    let mut is_unsent = false;
    loop {
        let todo = post.todo();
        let reads = matches!(todo, Todo::Read);
        let told = match todo {
            Todo::Leave => return Outcome::Left,
            Todo::Close(say, until) => {
                drop(timeout_at(until.into(), link.goodbye(say)).await);
                return Outcome::Left;
            }
            Todo::Write(message) => match once(link.send(&message)).await {
                Poll::Ready(Ok(())) => Told::Written,
                Poll::Ready(Err(outcome)) => return outcome,
                Poll::Pending => {
                    is_unsent = true;
                    continue;
                }
            },
            Todo::Read | Todo::Wait if is_unsent => tokio::select! {
                biased;
                () = post.changed() => continue,
                flushed = link.flush(reads) => match flushed {
                    Ok(Some(heard)) => {
                        post.tells(heard.1);
                        Told::Heard(heard)
                    }
                    Ok(None) => {
                        is_unsent = false;
                        Told::Written
                    }
                    Err(outcome) => return outcome,
                },
            },
            Todo::Wait => {
                post.changed().await;
                continue;
            }
            Todo::Read => tokio::select! {
                biased;
                () = post.changed() => continue,
                heard = link.recv() => match heard {
                    Ok(heard) => {
                        post.tells(heard.1);
                        Told::Heard(heard)
                    }
                    Err(outcome) => return outcome,
                },
            },
        };
        let (read, written) = link.traffic();
        if read + written > 0 {
            ends.tell(Told::Traffic(read, written)).await;
        }
        ends.tell(told).await;
    }
}

/// What a future has to say without being waited for.
async fn once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

//! One attempt of a keeper, and the session that it becomes: bytes on one side, the table on the
//! other.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Instant;

use bytes::BytesMut;
use peerage_book::{Hearsay, Identity};
use peerage_core::{
    ConnectedAddr, Detail, Failed, Failure, Handshake, Interruption, Kind, Reason, Retry, Session,
    Stage, Step,
};
use peerage_peers::{Heard, Outcome, Permit};

use super::net::{MessageOf, Net};
use crate::stream::StreamId;

/// A message and its length, for the budgets.
pub(super) type Held<N> = (Heard<<N as Net>::Types>, usize);

/// How far it has come.
pub(super) enum Life<N: Net> {
    /// The stream is being opened.
    Reaching,
    /// The handshake is under way.
    Greeting(N::Greeting),
    /// Established.
    Live(N::Session),
    /// Words of ours are under way, after which it is over.
    Parting,
}

/// An attempt or a session.
pub(super) struct Attended<N: Net> {
    pub(super) stream: StreamId,
    pub(super) life: Life<N>,
    pub(super) input: BytesMut,
    /// When it is called although nothing came, and is on the keeper's list.
    pub(super) alarm: Option<Instant>,
    /// When the attempt ends.
    pub(super) deadline: Instant,
    pub(super) addr: Option<ConnectedAddr>,
    pub(super) whom: Option<Identity>,
    /// It was accepted to be told that there is no room.
    pub(super) refuses: bool,
    pub(super) is_writing: bool,
    /// Read, and not taken yet; nothing more is read meanwhile.
    pub(super) held: VecDeque<Held<N>>,
    /// The other end has ended, once all is read.
    pub(super) is_ended: bool,
    pub(super) permit: Option<Permit>,
    pub(super) hearsay: Option<Hearsay>,
}

impl<N: Net> Attended<N> {
    pub(super) fn new(stream: StreamId, deadline: Instant) -> Self {
        Self {
            stream,
            life: Life::Reaching,
            input: BytesMut::new(),
            alarm: None,
            deadline,
            addr: None,
            whom: None,
            refuses: false,
            is_writing: false,
            held: VecDeque::new(),
            is_ended: false,
            permit: None,
            hearsay: None,
        }
    }
}

impl<N: Net> fmt::Debug for Attended<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attended")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// What a handshake came to, for now.
pub(super) enum Driven<N: Net> {
    /// It waits for bytes, or for this moment.
    Waits(N::Greeting, Option<Instant>),
    /// This is the peer.
    Done(<N::Greeting as Handshake>::Peer),
    /// There is none; say this.
    Failed(Reason, Vec<u8>),
}

/// Goes on with a handshake as far as it goes. This is the loop of [`peerage_core::handshake`];
/// `has_news` says whether bytes or the wakeup came.
pub(super) fn drive<N: Net>(
    mut greeting: N::Greeting,
    now: Instant,
    input: &mut BytesMut,
    mut has_news: bool,
    mut write: impl FnMut(&[u8]),
) -> Driven<N> {
    let mut wake_at = None;
    loop {
        let mut spoke = false;
        while let Some(bytes) = greeting.poll_transmit() {
            spoke = true;
            write(&bytes);
        }
        if !spoke && !has_news {
            return Driven::Waits(greeting, wake_at);
        }
        has_news = false;
        match greeting.advance(now, input) {
            Step::More(next, wakeup) => {
                greeting = next;
                wake_at = wakeup.map(|wakeup| wakeup.at);
            }
            Step::Done(peer) => return Driven::Done(peer),
            Step::Failed(failed) => return over(&failed),
        }
    }
}

/// Ends a handshake from outside.
pub(super) fn interrupt<N: Net>(greeting: N::Greeting, cause: Interruption) -> Driven<N> {
    over(&greeting.interrupt(cause))
}

fn over<N: Net, E: Failure>(failed: &Failed<E>) -> Driven<N> {
    Driven::Failed(failed.error.reason(), failed.last_words.to_vec())
}

/// The next message of a session.
pub(super) fn decode<N: Net>(
    session: &mut N::Session,
    input: &mut BytesMut,
) -> Result<Option<(MessageOf<N>, usize)>, Reason> {
    let before = input.len();
    let message = session.decode(input).map_err(|error| error.reason())?;
    Ok(message.map(|message| {
        let len = before.saturating_sub(input.len()).max(N::len(&message));
        (message, len)
    }))
}

/// No stream came about. The kinds are those of `ReachError` in `peerage-net`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreached(pub(super) io::ErrorKind);

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unreached {}

impl Failure for Unreached {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "std adds kinds; without an answer there is no way"
    )]
    fn kind(&self) -> Kind {
        match self.0 {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Kind::Closed,
            io::ErrorKind::ConnectionRefused => Kind::ConnectionRefused,
            io::ErrorKind::TimedOut => Kind::Timeout,
            _ => Kind::Unreachable,
        }
    }

    fn detail(&self) -> Detail {
        Detail::none().with("tried", 1_u32)
    }
}

/// An established stream ended. The kinds are those of `LinkError` in `peerage-net`.
#[derive(Clone, Copy, Debug)]
struct Broken(Interruption);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream ended: {:?}", self.0)
    }
}

impl std::error::Error for Broken {}

impl Failure for Broken {
    fn stage(&self) -> Stage {
        Stage::Keep("receive")
    }

    fn kind(&self) -> Kind {
        match self.0 {
            Interruption::Closed => Kind::Closed,
            Interruption::DeadlinePassed => Kind::Timeout,
            Interruption::Cancelled => Kind::Cancelled,
            Interruption::Transport(_) => Kind::Transport,
        }
    }

    fn retry(&self) -> Retry {
        self.kind().retry()
    }

    fn detail(&self) -> Detail {
        Detail::none()
    }
}

/// How a session ended whose stream did.
pub(super) fn ended(cause: Interruption) -> Outcome {
    match cause {
        Interruption::Closed => Outcome::Left,
        Interruption::DeadlinePassed | Interruption::Cancelled | Interruption::Transport(_) => {
            Outcome::Failed(Broken(cause).reason())
        }
    }
}

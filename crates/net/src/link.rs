//! Messages of an established peer over its connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use peerage_core::{Detail, Failure, Interruption, Kind, Retry, Session, Stage};
use tokio::time::{Instant, timeout_at};

use crate::Conn;
use crate::read::{LONG_READ_LEN, poll_short_read, read_some};

/// The most messages set aside while a pong is awaited. A peer that sends more before it answers
/// does not answer.
const MAX_SET_ASIDE: usize = 256;

/// A session over a connection, with one owner.
#[derive(Debug)]
pub struct Link<S: Session, C> {
    conn: C,
    session: S,
    input: BytesMut,
    output: BytesMut,
    set_aside: VecDeque<S::Message>,
    /// Bytes since they were asked for last.
    read: usize,
    written: usize,
    /// Of the last message received.
    last_len: usize,
}

/// Why a message could not be received or sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError<E> {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed {
        /// What was being done.
        doing: Stage,
    },
    /// Reading or writing failed.
    #[error("the connection broke: {kind}")]
    Transport {
        /// What was being done.
        doing: Stage,
        /// How.
        kind: io::ErrorKind,
    },
    /// The deadline passed.
    #[error("no answer in time")]
    TimedOut {
        /// What was being done.
        doing: Stage,
    },
    /// We called it off ourselves.
    #[error("called off")]
    Cancelled {
        /// What was being done.
        doing: Stage,
    },
    /// More messages came than can be set aside while an answer is awaited.
    #[error("{limit} other messages came instead of the answer")]
    Flood {
        /// What was being done.
        doing: Stage,
        /// How many are allowed.
        limit: usize,
    },
    /// The peer broke the protocol, or a message cannot be sent to it.
    #[error(transparent)]
    Session(#[from] E),
}

impl<E: Failure + 'static> Failure for LinkError<E> {
    fn stage(&self) -> Stage {
        match self {
            Self::Closed { doing }
            | Self::Transport { doing, .. }
            | Self::TimedOut { doing }
            | Self::Cancelled { doing }
            | Self::Flood { doing, .. } => *doing,
            Self::Session(error) => error.stage(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Closed { .. } => Kind::Closed,
            Self::Transport { .. } => Kind::Transport,
            Self::TimedOut { .. } => Kind::Timeout,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Flood { .. } => Kind::Flood,
            Self::Session(error) => error.kind(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // A peer that was established and left is worth another try soon.
            Self::Closed { .. } => Retry::After(Duration::from_secs(60)),
            Self::Session(error) => error.retry(),
            Self::Transport { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Flood { .. } => self.kind().retry(),
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Session(error) => error.detail(),
            Self::Flood { limit, .. } => Detail::none().with("limit", *limit),
            Self::Closed { .. }
            | Self::Transport { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. } => Detail::none(),
        }
    }
}

type Flushed<S> = Result<Option<<S as Session>::Message>, LinkError<<S as Session>::Error>>;

const RECEIVE: Stage = Stage::Keep("receive");
const SEND: Stage = Stage::Keep("send");
const PING: Stage = Stage::Keep("ping");

impl<S: Session, C: Conn> Link<S, C> {
    /// A link over what a handshake left: the connection, the codec, and bytes already read.
    pub fn new(conn: C, session: S, leftover: BytesMut) -> Self {
        let (output, set_aside) = (BytesMut::new(), VecDeque::new());
        Self {
            conn,
            session,
            input: leftover,
            output,
            set_aside,
            read: 0,
            written: 0,
            last_len: 0,
        }
    }

    /// Bytes read and written since the last call; those of the handshake are left out.
    pub const fn take_traffic(&mut self) -> (usize, usize) {
        let traffic = (self.read, self.written);
        (self.read, self.written) = (0, 0);
        traffic
    }

    /// The length on the wire of the last message received, in bytes; 0 if it came early.
    pub const fn last_len(&self) -> usize {
        self.last_len
    }

    /// The next message: early ones first, then those set aside by [`Link::ping`], then the wire.
    ///
    /// Waits without a limit; give it one with a timeout of your own.
    ///
    /// # Errors
    /// When the connection ends or the peer breaks the protocol. The link is of no use afterwards.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing; call it again.
    pub async fn recv(&mut self) -> Result<S::Message, LinkError<S::Error>> {
        match self.set_aside.pop_front() {
            Some(message) => Ok(message),
            None => self.recv_from_wire(RECEIVE).await,
        }
    }

    async fn recv_from_wire(&mut self, doing: Stage) -> Result<S::Message, LinkError<S::Error>> {
        loop {
            let before = self.input.len();
            if let Some(message) = self.session.decode(&mut self.input)? {
                self.last_len = before.saturating_sub(self.input.len());
                return Ok(message);
            }
            match read_some(&mut self.conn, &mut self.input).await {
                Ok(0) => return Err(LinkError::Closed { doing }),
                Ok(len) => self.read = self.read.saturating_add(len),
                Err(error) => return Err(broken(doing, &error)),
            }
        }
    }

    /// Sends a message, and before it whatever an earlier cancelled call left unsent.
    ///
    /// While the connection takes nothing it reads ahead, for [`Link::recv`] to find: two peers that
    /// say something long at the same moment would otherwise wait for each other for ever. It reads
    /// one message of the longest kind at most; a caller that only ever sends is held back by a
    /// peer that does the same. Whoever is not sure drops the future and goes on with [`Link::flush`].
    ///
    /// Waits without a limit; give it one with a timeout of your own.
    ///
    /// # Errors
    /// When it cannot be encoded for this peer, in which case nothing was sent, or when the
    /// connection ends.
    ///
    /// # Cancellation
    /// Once the future was polled the message counts as sent: what is left of it goes out with the
    /// next call of this, [`Link::ping`] or [`Link::serve_pings`], so the stream never breaks in the
    /// middle of a message.
    pub async fn send(&mut self, message: &S::Message) -> Result<(), LinkError<S::Error>> {
        self.session.encode(message, &mut self.output)?;
        self.send_rest().await
    }

    /// Sends what a cancelled call left unsent.
    async fn send_rest(&mut self) -> Result<(), LinkError<S::Error>> {
        let mut hears = true;
        poll_fn(|cx| self.poll_send_rest(cx, &mut hears)).await
    }

    /// Sends what a cancelled call left unsent, and then returns nothing; or a message, if one comes
    /// while that has to wait and `hears` says that it can be taken. Two peers that both have much to
    /// say and go on taking what the other says never wait for each other, however much it is.
    ///
    /// # Errors
    /// When the connection ends or the peer breaks the protocol.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing; call it again.
    pub async fn flush(&mut self, hears: bool) -> Result<Option<S::Message>, LinkError<S::Error>> {
        if !hears {
            return self.send_rest().await.map(|()| None);
        }
        if !self.output.is_empty()
            && let Some(message) = self.set_aside.pop_front()
        {
            return Ok(Some(message));
        }
        let mut speaks = true;
        poll_fn(|cx| self.poll_flush_or_recv(cx, &mut speaks)).await
    }

    /// `speaks` says whether the peer may still say something.
    fn poll_flush_or_recv(&mut self, cx: &mut Context<'_>, speaks: &mut bool) -> Poll<Flushed<S>> {
        loop {
            // Reads nothing itself when it is told that there is nobody to hear.
            match self.poll_send_rest(cx, &mut false) {
                Poll::Ready(sent) => return Poll::Ready(sent.map(|()| None)),
                Poll::Pending => {}
            }
            let before = self.input.len();
            if let Some(message) = self.session.decode(&mut self.input)? {
                self.last_len = before.saturating_sub(self.input.len());
                return Poll::Ready(Ok(Some(message)));
            }
            if !*speaks {
                return Poll::Pending;
            }
            match ready!(poll_short_read(&mut self.conn, cx, &mut self.input)) {
                // It may listen still; `recv` will see the end again.
                Ok(0) => *speaks = false,
                Ok(len) => self.read = self.read.saturating_add(len),
                Err(error) => return Poll::Ready(Err(broken(SEND, &error))),
            }
        }
    }

    /// Writes what is to be written; reads ahead as long as that has to wait. `hears` says whether
    /// the peer still speaks.
    fn poll_send_rest(
        &mut self,
        cx: &mut Context<'_>,
        hears: &mut bool,
    ) -> Poll<Result<(), LinkError<S::Error>>> {
        while !self.output.is_empty() {
            match Pin::new(&mut self.conn).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(LinkError::Closed { doing: SEND })),
                Poll::Ready(Ok(written)) => {
                    self.written = self.written.saturating_add(written);
                    self.output.advance(written);
                    continue;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(SEND, &error))),
                Poll::Pending => {}
            }
            // One read may have brought something before this message was begun.
            if !*hears || self.input.len() >= S::MAX_WIRE_LEN + LONG_READ_LEN {
                return Poll::Pending;
            }
            match ready!(poll_short_read(&mut self.conn, cx, &mut self.input)) {
                // It may listen still; `recv` will see the end again.
                Ok(0) => *hears = false,
                Ok(len) => self.read = self.read.saturating_add(len),
                Err(error) => return Poll::Ready(Err(broken(SEND, &error))),
            }
        }
        // An idle link keeps no room for what it sent.
        self.output = BytesMut::new();
        let flushed = ready!(Pin::new(&mut self.conn).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| broken(SEND, &error)))
    }

    /// Sends a ping and waits for its pong; answers the peer's own pings meanwhile and sets every
    /// other message aside for [`Link::recv`]. Returns the round-trip time.
    ///
    /// # Errors
    /// When no matching pong comes by `deadline`, after which the link is as good as before; when
    /// more than 256 other messages come first or the connection ends, after which it is of no use.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing but the measurement.
    pub async fn ping(
        &mut self,
        nonce: u64,
        deadline: Instant,
    ) -> Result<Duration, LinkError<S::Error>> {
        let late = |_| LinkError::TimedOut { doing: PING };
        let sent_at = Instant::now();
        timeout_at(deadline, self.send(&S::ping(nonce)))
            .await
            .map_err(late)??;
        loop {
            // Asked beforehand, because a timer is not heard beside a peer that never stops talking.
            if Instant::now() >= deadline {
                return Err(LinkError::TimedOut { doing: PING });
            }
            let message = timeout_at(deadline, self.recv_from_wire(PING))
                .await
                .map_err(late)??;
            if S::is_pong(&message, nonce) {
                return Ok(sent_at.elapsed());
            }
            if let Some(answer) = S::answer_to_ping(&message) {
                timeout_at(deadline, self.send(&answer))
                    .await
                    .map_err(late)??;
            } else if self.set_aside.len() < MAX_SET_ASIDE {
                self.set_aside.push_back(message);
            } else {
                return Err(LinkError::Flood {
                    doing: PING,
                    limit: MAX_SET_ASIDE,
                });
            }
        }
    }

    /// Receives until the connection ends, and says how it ended: answers pings, and requests with
    /// nothing. Other messages go to `on_message`.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing; call it again.
    pub async fn serve_pings(
        &mut self,
        mut on_message: impl FnMut(S::Message),
    ) -> LinkError<S::Error> {
        // An answer that an earlier, dropped call left half sent.
        if let Err(error) = self.send_rest().await {
            return error;
        }
        loop {
            let message = match self.recv().await {
                Ok(message) => message,
                Err(error) => return error,
            };
            let answer = S::answer_to_ping(&message).or_else(|| S::empty_answer(&message));
            if let Some(answer) = answer {
                if let Err(error) = self.send(&answer).await {
                    return error;
                }
            } else {
                on_message(message);
            }
        }
    }

    /// Taken apart again: the connection, the codec, and bytes already read. Messages set aside and
    /// what a cancelled call left unsent are lost.
    pub fn into_parts(self) -> (C, S, BytesMut) {
        (self.conn, self.session, self.input)
    }
}

fn broken<E>(doing: Stage, error: &io::Error) -> LinkError<E> {
    ended(doing, Interruption::from_io(error))
}

pub(crate) const fn ended<E>(doing: Stage, cause: Interruption) -> LinkError<E> {
    match cause {
        Interruption::Closed => LinkError::Closed { doing },
        Interruption::DeadlinePassed => LinkError::TimedOut { doing },
        Interruption::Cancelled => LinkError::Cancelled { doing },
        Interruption::Transport(kind) => LinkError::Transport { doing, kind },
    }
}

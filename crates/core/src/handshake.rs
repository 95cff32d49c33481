//! The pure handshake contract.
//!
//! A handshake is a dialogue with an end, so it is a value that is consumed: it finishes with a
//! peer, or fails with an error. A driver only moves bytes and knows nothing of the protocol.
//! There are three: [`crate::blocking`], the asynchronous one in `peerage-net`, and simulations.
//!
//! # The loop a driver runs
//! 1. Write everything [`Handshake::poll_transmit`] yields.
//! 2. Call [`Handshake::advance`] with what has been read so far.
//! 3. On [`Step::More`]: if there is something to transmit again, go to 1; else wait for bytes,
//!    for the wakeup, or for the deadline. The end of the stream, the deadline, a cancellation or
//!    an IO error go to [`Handshake::interrupt`], which turns them into the handshake's own error.
//! 4. On [`Step::Done`]: what is left in the input belongs to the session.
//! 5. On [`Step::Failed`]: try to write the last words, then close.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

/// When to call again although nothing happened, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// The moment.
    pub at: Instant,
    /// Its reason, for the log line that explains a busy loop.
    pub why: &'static str,
}

/// A dialogue that ends with a peer or an error.
pub trait Handshake: Sized {
    /// What only a finished handshake yields.
    type Peer;
    /// Why it failed.
    type Error;

    /// Bytes to write now, if any. Drained before every wait.
    fn poll_transmit(&mut self) -> Option<Bytes>;

    /// Takes in what was read and goes on as far as it can.
    ///
    /// Consumes from the front of `input` only what it has understood. It never returns
    /// [`Step::Done`] while bytes are still to be transmitted.
    fn advance(self, now: Instant, input: &mut BytesMut) -> Step<Self>;

    /// Ends the handshake from outside; says what that means at this point of the dialogue.
    fn interrupt(self, cause: Interruption) -> Failed<Self::Error>;
}

/// What [`Handshake::advance`] came to.
#[derive(Debug)]
pub enum Step<H: Handshake> {
    /// It needs more bytes, or the wakeup.
    More(H, Option<Wakeup>),
    /// It is over and this is the peer.
    Done(H::Peer),
    /// It is over and there is none.
    Failed(Failed<H::Error>),
}

/// An error, and what is still to be said before the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed<E> {
    /// Why.
    pub error: E,
    /// A reject or a disconnect to be sent; may be empty. Sending it may fail without harm.
    pub last_words: Bytes,
}

impl<E> Failed<E> {
    /// A failure without last words.
    pub const fn silent(error: E) -> Self {
        Self {
            error,
            last_words: Bytes::new(),
        }
    }
}

/// What can end a handshake from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interruption {
    /// The peer closed its side.
    Closed,
    /// The caller's deadline passed.
    DeadlinePassed,
    /// The caller called it off.
    Cancelled,
    /// Reading or writing failed.
    Transport(io::ErrorKind),
}

impl Interruption {
    /// The interruption an IO error stands for: a reset or broken pipe is a peer that closed.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "std adds kinds; an unknown one is a transport error"
    )]
    pub fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::DeadlinePassed,
            other => Self::Transport(other),
        }
    }
}

//! The blocking driver: one call, no runtime.
//!
//! It is generic over [`std::io`] and is handed its clock, so this crate still names no socket and
//! no clock of its own.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::handshake::{Failed, Handshake, Interruption, Step};

/// The most bytes asked of the connection at once, in bytes. One version message fits well.
const READ_LEN: usize = 4096;

/// The longest the driver waits to deliver last words to a peer that failed, in milliseconds.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(250);

/// A blocking connection whose calls can be bounded in time.
pub trait BlockingConn: Read + Write {
    /// Bounds every following read and write; `limit` is never zero.
    ///
    /// A call that takes longer returns [`io::ErrorKind::TimedOut`] or
    /// [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// When the connection cannot be bounded.
    fn bound_next_call(&mut self, limit: Duration) -> io::Result<()>;

    /// Whether somebody called the connection off. Asked after every call that ends early.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A peer, its connection, and the bytes already read that belong to the session.
#[derive(Debug)]
pub struct Greeted<P, C> {
    /// What the handshake yielded.
    pub peer: P,
    /// The connection.
    pub conn: C,
    /// Bytes read beyond the handshake.
    pub leftover: BytesMut,
}

/// Runs a handshake to its end, which comes no later than `deadline` by `clock`; last words to a
/// peer that failed may take 250 milliseconds more.
///
/// # Errors
/// The handshake's own error, whatever the cause: the connection is closed by then.
///
/// # Cancellation
/// Whoever holds the means to make [`BlockingConn::is_cancelled`] true ends the call at once with
/// the handshake's cancelled error, which is never its timeout.
pub fn greet<H: Handshake, C: BlockingConn>(
    mut conn: C,
    mut handshake: H,
    deadline: Instant,
    clock: impl Fn() -> Instant,
) -> Result<Greeted<H::Peer, C>, H::Error> {
    let mut input = BytesMut::new();
    let mut wake_at = None;
    loop {
        let mut spoke = false;
        while let Some(bytes) = handshake.poll_transmit() {
            spoke = true;
            if let Err(cause) = write_by(&mut conn, deadline, &clock, &bytes) {
                return Err(part(conn, handshake.interrupt(cause), &clock));
            }
        }
        // After speaking, the machine is asked once more before anything is waited for.
        if !spoke {
            let until = wake_at.map_or(deadline, |at: Instant| at.min(deadline));
            match call_by(&mut conn, until, &clock, |conn| read_some(conn, &mut input)) {
                Ok(()) => {}
                // The machine's own wakeup, not the caller's deadline.
                Err(Interruption::DeadlinePassed) if clock() < deadline => {}
                Err(cause) => return Err(part(conn, handshake.interrupt(cause), &clock)),
            }
        }
        match handshake.advance(clock(), &mut input) {
            Step::Done(peer) => {
                return Ok(Greeted {
                    peer,
                    conn,
                    leftover: input,
                });
            }
            Step::Failed(failed) => return Err(part(conn, failed, &clock)),
            Step::More(next, wakeup) => {
                handshake = next;
                wake_at = wakeup.map(|wakeup| wakeup.at);
            }
        }
    }
}

/// One blocking call that ends by `until`, by `clock`. It is made again, with what time is left,
/// after a signal and after a timer that fired a little early.
///
/// # Errors
/// What ended it: the time, a cancellation, or the connection.
pub fn call_by<C: BlockingConn, T>(
    conn: &mut C,
    until: Instant,
    clock: impl Fn() -> Instant,
    mut call: impl FnMut(&mut C) -> io::Result<T>,
) -> Result<T, Interruption> {
    loop {
        let left = until.saturating_duration_since(clock());
        if conn.is_cancelled() {
            return Err(Interruption::Cancelled);
        }
        if left.is_zero() {
            return Err(Interruption::DeadlinePassed);
        }
        let result = conn.bound_next_call(left).and_then(|()| call(conn));
        let cause = match result {
            // A cancelled connection may still report an orderly end, so the cause is asked first.
            _ if conn.is_cancelled() => return Err(Interruption::Cancelled),
            Ok(value) => return Ok(value),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Interruption::from_io(&error),
        };
        if cause != Interruption::DeadlinePassed {
            return Err(cause);
        }
    }
}

fn read_some(conn: &mut impl Read, input: &mut BytesMut) -> io::Result<()> {
    let mut chunk = [0; READ_LEN];
    match conn.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        len => {
            input.extend_from_slice(&chunk[..len]);
            Ok(())
        }
    }
}

/// Writes and flushes everything by `until`. Each call is bounded by the time left, so a peer that
/// takes the bytes one by one gains nothing by it.
///
/// # Errors
/// What ended it; some of the bytes may be gone then.
pub fn write_by<C: BlockingConn>(
    conn: &mut C,
    until: Instant,
    clock: impl Fn() -> Instant,
    mut bytes: &[u8],
) -> Result<(), Interruption> {
    while !bytes.is_empty() {
        match call_by(conn, until, &clock, |conn| conn.write(bytes))? {
            0 => return Err(Interruption::Closed),
            written => bytes = &bytes[written..],
        }
    }
    call_by(conn, until, &clock, C::flush)
}

/// Says the last words, as far as they can be said, and closes the connection.
fn part<E>(mut conn: impl BlockingConn, failed: Failed<E>, clock: impl Fn() -> Instant) -> E {
    if !failed.last_words.is_empty() {
        let until = clock() + LAST_WORDS_TIMEOUT;
        // Losing them is right: the failure is already decided, and the peer may be gone.
        let _unheard = write_by(&mut conn, until, &clock, &failed.last_words);
    }
    failed.error
}

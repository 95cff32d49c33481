//! The asynchronous handshake driver.

use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};

use bytes::BytesMut;
use peerage_core::{Failed, Handshake, Interruption, Step};
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant, Sleep, sleep_until, timeout};

use crate::Conn;
use crate::read::read_some;

pub use peerage_core::blocking::Greeted;

/// The longest the driver waits to deliver last words to a peer that failed, in milliseconds.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(250);

/// Runs a handshake to its end, which comes no later than `deadline`; last words to a peer that
/// failed may take 250 milliseconds more.
///
/// # Errors
/// The handshake's own error, whatever the cause: a timeout, a close or a broken connection are
/// turned into it too. The connection is closed by then.
///
/// # Cancellation
/// Dropping the future closes the connection and leaves nothing behind: no task, no entry anywhere.
pub fn greet<H: Handshake, C: Conn>(
    conn: C,
    handshake: H,
    deadline: Instant,
) -> impl Future<Output = Result<Greeted<H::Peer, C>, H::Error>> {
    // Not a future around a future: each would keep room for the connection and the handshake.
    greet_until(conn, handshake, deadline, pending())
}

/// As [`greet`], but ends with the handshake's cancelled error as soon as `cancelled` is ready.
///
/// # Errors
/// As [`greet`].
///
/// # Cancellation
/// As [`greet`].
pub async fn greet_until<H: Handshake, C: Conn>(
    mut conn: C,
    mut handshake: H,
    deadline: Instant,
    cancelled: impl Future<Output = ()>,
) -> Result<Greeted<H::Peer, C>, H::Error> {
    let mut input = BytesMut::new();
    let mut cancelled = pin!(cancelled);
    // One timer for the whole dialogue: setting one up is dearer than asking it again.
    let mut timer = pin!(sleep_until(deadline));
    let mut wake_at = None;
    // Looked at once after every operation.
    let mut now = Instant::now();
    loop {
        let mut spoke = false;
        while let Some(bytes) = handshake.poll_transmit() {
            spoke = true;
            let said = async {
                conn.write_all(&bytes).await?;
                conn.flush().await
            };
            let sent = tokio::select! {
                biased;
                () = &mut cancelled => Err(Interruption::Cancelled),
                sent = bounded(timer.as_mut(), now, deadline, deadline, said) => sent,
            };
            now = Instant::now();
            if let Err(cause) = sent {
                return Err(part(conn, handshake.interrupt(cause)).await);
            }
        }
        // After speaking, the machine is asked once more before anything is waited for.
        if !spoke {
            let until = wake_at.map_or(deadline, |at: Instant| at.min(deadline));
            let heard = read_some(&mut conn, &mut input);
            let read = tokio::select! {
                biased;
                () = &mut cancelled => Err(Interruption::Cancelled),
                read = bounded(timer.as_mut(), now, deadline, until, heard) => read,
            };
            now = Instant::now();
            match read {
                Ok(Some(0)) => {
                    return Err(part(conn, handshake.interrupt(Interruption::Closed)).await);
                }
                // Bytes, or the machine's own wakeup.
                Ok(Some(_) | None) => {}
                Err(cause) => return Err(part(conn, handshake.interrupt(cause)).await),
            }
        }
        match handshake.advance(now.into_std(), &mut input) {
            Step::Done(peer) => {
                return Ok(Greeted {
                    peer,
                    conn,
                    leftover: input,
                });
            }
            Step::Failed(failed) => return Err(part(conn, failed).await),
            Step::More(next, wakeup) => {
                handshake = next;
                wake_at = wakeup.map(|wakeup| Instant::from_std(wakeup.at));
            }
        }
    }
}

/// One operation that ends by `until`, no later than `deadline`; `None` when `until` came first.
async fn bounded<T>(
    mut timer: Pin<&mut Sleep>,
    now: Instant,
    deadline: Instant,
    until: Instant,
    operation: impl Future<Output = io::Result<T>>,
) -> Result<Option<T>, Interruption> {
    // Asked beforehand, because a timer is not heard beside an operation that never waits.
    if now >= deadline {
        return Err(Interruption::DeadlinePassed);
    }
    if timer.deadline() != until {
        timer.as_mut().reset(until);
    }
    tokio::select! {
        biased;
        result = operation => match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Interruption::from_io(&error)),
        },
        () = timer => if until < deadline { Ok(None) } else { Err(Interruption::DeadlinePassed) },
    }
}

/// Says the last words, as far as they can be said, and closes the connection.
async fn part<E>(mut conn: impl Conn, failed: Failed<E>) -> E {
    let farewell = async {
        conn.write_all(&failed.last_words).await?;
        conn.shutdown().await
    };
    // Losing them is right: the failure is already decided, and the peer may be gone.
    let _unheard = timeout(LAST_WORDS_TIMEOUT, farewell).await;
    failed.error
}

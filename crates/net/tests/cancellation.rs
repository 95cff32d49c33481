//! Calling a handshake off, at every point where it can be waiting.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use peerage_core::{Direction, Failure, Kind};
use peerage_net::{Greeted, greet, greet_until};
use peerage_verack::decred::Decred;
use peerage_verack::zcash::Zcash;
use peerage_verack::{HandshakeError, Peer};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant, sleep_until};

use crate::common::conns::{Ledger, Stutter, Watched};
use crate::common::{BOTH, Net, never, ours, say_and_hear, tasks, theirs, version_frame};

/// Our end moves three bytes a call and hesitates before each, so that it waits in the middle of
/// every field.
type Near = Watched<Stutter<DuplexStream>>;

fn pipe(stick_at: usize) -> (Near, Arc<Ledger>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1024);
    let (near, ledger) = Watched::new(Stutter::by(near, 3), stick_at);
    (near, ledger, far)
}

type Result<D> = std::result::Result<Greeted<Box<Peer<D>>, Near>, HandshakeError>;

/// The other end: a healthy node. It must see the connection close, wherever that happens.
async fn healthy<D: Net>(conn: DuplexStream, direction: Direction) {
    match greet(conn, theirs::<D>(direction), never()).await {
        Ok(mut greeted) => assert_eq!(greeted.conn.read(&mut [0; 64]).await.unwrap(), 0),
        Err(error) => assert_eq!(error.kind(), Kind::Closed, "{error}"),
    }
}

/// The other end: an obsolete node. Our side fails, says why and shuts down.
async fn obsolete<D: Net>(conn: DuplexStream, _: Direction) {
    say_and_hear(conn, &version_frame::<D>(1)).await;
}

/// Greets while the other end does `far`, until our connection sticks at its `stick_at`th poll or
/// the handshake is over; then drops the future and its result. Returns what happened to our end.
async fn dropped_at<D: Net, F: Future<Output = ()>>(
    direction: Direction,
    stick_at: usize,
    far: impl FnOnce(DuplexStream, Direction) -> F,
) -> (Option<Result<D>>, Arc<Ledger>) {
    let (near, ledger, far_end) = pipe(stick_at);
    let mut greeting = Box::pin(greet(near, ours::<D>(direction), never()));
    let mut far = Box::pin(far(far_end, direction));
    let mut far_is_over = false;
    let result = poll_fn(|cx| {
        let polled = greeting.as_mut().poll(cx);
        far_is_over = far_is_over || far.as_mut().poll(cx).is_ready();
        match polled {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if ledger.is_stuck() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if result.is_none() {
        assert_eq!(ledger.drops(), 0, "it lives as long as the future");
        drop(greeting);
        assert_eq!(ledger.drops(), 1, "it goes with the future, once");
        assert_eq!(Arc::strong_count(&ledger), 1, "nothing else holds it");
        if !far_is_over {
            far.await;
        }
        assert_eq!(tasks(), 0, "no task is left");
    }
    (result, ledger)
}

async fn every_await_point<D: Net, F: Future<Output = ()>>(
    far: impl Fn(DuplexStream, Direction) -> F + Copy,
) -> usize {
    let mut points = 0;
    for direction in BOTH {
        let (undisturbed, ledger) = dropped_at::<D, F>(direction, usize::MAX, far).await;
        assert!(undisturbed.is_some());
        drop(undisturbed);
        assert_eq!(ledger.drops(), 1, "once, whether it fails or succeeds");
        assert_eq!(Arc::strong_count(&ledger), 1);
        for stick_at in 0..ledger.polls() {
            let (result, _) = dropped_at::<D, F>(direction, stick_at, far).await;
            assert!(result.is_none(), "{direction}: poll {stick_at} is reached");
        }
        points += ledger.polls();
    }
    points
}

#[tokio::test(start_paused = true)]
async fn a_dropped_greeting_closes_its_connection_once_wherever_it_waits() {
    let points = every_await_point::<Zcash, _>(healthy::<Zcash>).await;
    assert!(points > 350, "{points} points for Zcash");
    let points = every_await_point::<Decred, _>(healthy::<Decred>).await;
    assert!(points > 350, "{points} points for Decred");
}

#[tokio::test(start_paused = true)]
async fn a_greeting_dropped_while_it_says_its_last_words_closes_too() {
    let points = every_await_point::<Zcash, _>(obsolete::<Zcash>).await;
    assert!(points > 300, "{points} points for Zcash, with a reject");
    let points = every_await_point::<Decred, _>(obsolete::<Decred>).await;
    assert!(points > 200, "{points} points for Decred, with a shutdown");
}

#[tokio::test]
async fn a_greeting_that_was_never_polled_closes_its_connection_too() {
    let (near, ledger, mut far) = pipe(usize::MAX);
    drop(greet(near, ours::<Zcash>(Direction::Outbound), never()));
    assert_eq!((ledger.polls(), ledger.drops()), (0, 1));
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0, "not a word");
}

/// Ready at its `k`th poll, and never to be polled again.
struct ReadyAt(Option<usize>);

impl Future for ReadyAt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let left = self.0.expect("it was ready before");
        self.0 = left.checked_sub(1);
        match self.0 {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        }
    }
}

async fn called_off_at_every_poll<D: Net>(direction: Direction) -> usize {
    for k in 0.. {
        let (near, ledger, far) = pipe(usize::MAX);
        let cancelled = ReadyAt(Some(k));
        let greeting = greet_until(near, ours::<D>(direction), never(), cancelled);
        let (result, ()) = tokio::join!(
            async { greeting.await.map(drop) },
            healthy::<D>(far, direction)
        );
        assert_eq!(ledger.drops(), 1);
        match result {
            Ok(()) => return k,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Cancelled, "poll {k}: {error}");
                assert_eq!(ledger.shutdowns(), 1, "poll {k}: in an orderly way");
            }
        }
    }
    unreachable!("a handshake ends");
}

#[tokio::test(start_paused = true)]
async fn a_greeting_called_off_at_any_poll_is_cancelled_and_nothing_else() {
    for direction in BOTH {
        let points = called_off_at_every_poll::<Zcash>(direction).await;
        assert!(points > 130, "{points} points for Zcash {direction}");
        let points = called_off_at_every_poll::<Decred>(direction).await;
        assert!(points > 130, "{points} points for Decred {direction}");
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_at_the_very_deadline_is_no_timeout() {
    for direction in BOTH {
        let (near, _silent) = tokio::io::duplex(1024);
        let deadline = Instant::now() + Duration::from_secs(3);
        let cancelled = sleep_until(deadline);
        let greeted = greet_until(near, ours::<Zcash>(direction), deadline, cancelled).await;
        assert_eq!(greeted.unwrap_err().kind(), Kind::Cancelled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_heard_beside_a_peer_that_does_not_read() {
    let (near, _deaf) = tokio::io::duplex(1);
    let soon = sleep_until(Instant::now() + Duration::from_secs(1));
    let ours = ours::<Decred>(Direction::Outbound);
    let error = greet_until(near, ours, never(), soon).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[tokio::test]
async fn the_other_end_of_a_socket_sees_a_dropped_greeting_close() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let mut greeting = Box::pin(greet(near, ours::<Zcash>(Direction::Outbound), never()));
    let mut heard = [0; 24];
    tokio::select! {
        result = &mut greeting => panic!("{result:?}"),
        read = far.read_exact(&mut heard) => assert_eq!(read.unwrap(), 24),
    }
    drop(greeting);
    let rest = far.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(rest > 0, "the rest of our version, then the end");
    assert_eq!(tasks(), 0);
}

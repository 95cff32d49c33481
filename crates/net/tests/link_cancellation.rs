//! Dropping the calls of a link wherever they wait: the stream stays whole.

use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use peerage_core::Kind;
use peerage_verack::Dialect;
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message as _;
use peerage_verack::zcash::Zcash;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant};

use crate::common::conns::{Stutter, Watched};
use crate::common::pairs::{linked, linked_over};
use crate::common::{Net, frames, join, message, never, ping, poll_once, pong, tasks};

fn pinging<D: Net>(nonce: u64) -> <D as Dialect>::Message {
    <D as Dialect>::Message::ping(nonce)
}

fn named(command: &str, nonce: u64) -> (String, Bytes) {
    let payload = nonce.to_le_bytes().to_vec();
    (command.to_owned(), payload.into())
}

async fn recv_dropped_at_every_byte<D: Net>() {
    let (mut link, mut far) = linked::<D>(1024).await;
    let said = [ping::<D>(1), message::<D>("tx", &[0; 37]), pong::<D>(2)].concat();
    let mut received = Vec::new();
    for byte in said {
        assert!(poll_once(link.recv()).await.is_pending(), "not yet whole");
        far.write_all(&[byte]).await.unwrap();
        if let Poll::Ready(message) = poll_once(link.recv()).await {
            received.push(message.unwrap().command().to_string());
        }
    }
    assert_eq!(received, ["ping", "tx", "pong"]);
}

#[tokio::test(start_paused = true)]
async fn recv_may_be_dropped_after_any_byte() {
    recv_dropped_at_every_byte::<Zcash>().await;
    recv_dropped_at_every_byte::<Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn recv_may_be_dropped_at_any_poll() {
    let (mut link, mut far) = linked_over::<Zcash, _>(1024, Stutter::new).await;
    let said: Vec<_> = (1..=3).flat_map(ping::<Zcash>).collect();
    far.write_all(&said).await.unwrap();
    let mut received = Vec::new();
    while received.len() < 3 {
        if let Poll::Ready(message) = poll_once(link.recv()).await {
            received.push(message.unwrap().ping_nonce().unwrap());
        }
    }
    assert_eq!(received, [1, 2, 3]);
}

/// Drops the sending of ping 1 at its `k`th poll, then sends ping 2; what the peer gets.
async fn send_dropped_at<D: Net>(k: usize) -> (bool, Vec<(String, Bytes)>) {
    let (mut link, mut far) = linked_over::<D, _>(64, Stutter::new).await;
    let (first, second) = (pinging::<D>(1), pinging::<D>(2));
    let mut finished = false;
    {
        let mut sending = pin!(link.send(&first));
        for _ in 0..k {
            if let Poll::Ready(sent) = poll_once(sending.as_mut()).await {
                sent.unwrap();
                finished = true;
                break;
            }
        }
    }
    link.send(&second).await.unwrap();
    drop(link);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    (finished, frames::<D>(&heard))
}

async fn send_dropped_everywhere<D: Net>() {
    let (_, heard) = send_dropped_at::<D>(0).await;
    assert_eq!(heard, [named("ping", 2)], "never polled is never sent");
    for k in 1.. {
        let (finished, heard) = send_dropped_at::<D>(k).await;
        assert_eq!(heard, [named("ping", 1), named("ping", 2)], "poll {k}");
        if finished {
            assert!(k > 30, "{k} polls for 32 bytes");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_sending_was_dropped_halfway_goes_out_whole_before_the_next() {
    send_dropped_everywhere::<Zcash>().await;
    send_dropped_everywhere::<Decred>().await;
}

/// Drops ping 1 at its `k`th poll, then completes ping 2. The peer pings and talks meanwhile.
async fn ping_dropped_at<D: Net>(k: usize) -> bool {
    let (mut link, mut far) = linked_over::<D, _>(1024, Stutter::new).await;
    let said = [
        ping::<D>(70),
        message::<D>("getaddr", &[]),
        pong::<D>(1),
        message::<D>("mempool", &[]),
        ping::<D>(71),
        pong::<D>(2),
    ];
    far.write_all(&said.concat()).await.unwrap();
    let mut finished = false;
    {
        let mut first = pin!(link.ping(1, never()));
        for _ in 0..k {
            if let Poll::Ready(measured) = poll_once(first.as_mut()).await {
                measured.unwrap();
                finished = true;
                break;
            }
        }
    }
    link.ping(2, never()).await.unwrap();

    let mut received = Vec::new();
    while let Poll::Ready(message) = poll_once(link.recv()).await {
        received.push(message.unwrap().command().to_string());
    }
    let others: Vec<_> = received.iter().filter(|name| *name != "pong").collect();
    assert_eq!(others, ["getaddr", "mempool"], "poll {k}");
    let unasked = usize::from(!finished);
    assert!(received.len() <= 2 + unasked, "poll {k}: {received:?}");

    drop(link);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    let heard = frames::<D>(&heard);
    let count = |wanted: (String, Bytes)| heard.iter().filter(|f| **f == wanted).count();
    assert_eq!(count(named("ping", 1)), usize::from(k > 0), "poll {k}");
    for once in [named("ping", 2), named("pong", 70), named("pong", 71)] {
        assert_eq!(count(once), 1, "poll {k}");
    }
    finished
}

async fn ping_dropped_everywhere<D: Net>() {
    let last = {
        let mut k = 0;
        while !ping_dropped_at::<D>(k).await {
            k += 1;
        }
        k
    };
    assert!(last > 64, "{last} polls");
}

#[tokio::test(start_paused = true)]
async fn a_ping_may_be_dropped_at_any_poll_and_loses_only_its_measurement() {
    ping_dropped_everywhere::<Zcash>().await;
    ping_dropped_everywhere::<Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn serving_pings_again_finishes_the_answer_that_was_dropped_halfway() {
    let (mut link, mut far) = linked_over::<Zcash, _>(1024, Stutter::new).await;
    far.write_all(&ping::<Zcash>(7)).await.unwrap();
    let mut heard = vec![0; 5];
    {
        // Dropped as soon as five bytes of the answer are out.
        let mut serving = pin!(link.serve_pings(drop));
        tokio::select! {
            biased;
            read = far.read_exact(&mut heard) => { read.unwrap(); }
            end = &mut serving => panic!("{end:?}"),
        }
    }
    let mut rest = [0; 27];
    tokio::select! {
        read = far.read_exact(&mut rest) => { read.unwrap(); }
        end = link.serve_pings(drop) => panic!("{end:?}"),
        () = tokio::time::sleep(Duration::from_secs(9)) => panic!("the rest never came"),
    }
    heard.extend_from_slice(&rest);
    assert_eq!(frames::<Zcash>(&heard), [named("pong", 7)]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_link_closes_its_connection_once() {
    let mut ledger = None;
    let (mut link, mut far) = linked_over::<Decred, _>(64, |conn| {
        let (conn, kept) = Watched::new(conn, usize::MAX);
        ledger = Some(kept);
        conn
    })
    .await;
    let ledger = ledger.unwrap();
    let soon = Instant::now() + Duration::from_secs(1);
    let (result, ()) = join(link.ping(1, soon), async {}).await;
    assert_eq!(
        peerage_core::Failure::kind(&result.unwrap_err()),
        Kind::Timeout
    );
    assert_eq!(ledger.drops(), 0);
    drop(link);
    assert_eq!(ledger.drops(), 1);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(frames::<Decred>(&heard), [named("ping", 1)]);
    assert_eq!(tasks(), 0);
}

use std::time::Duration;

use peerage_inproxy::transport::{End, Relayed, Throttle, relay};
use ring::digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use peerage_inproxy::TransportKind;

use crate::common::{channels, tcp};

const IDLE: Duration = Duration::from_secs(60);

/// A client's channel and a destination, with a relay between them.
async fn relayed(
    kind: TransportKind,
) -> (
    peerage_inproxy::transport::Channel,
    TcpStream,
    JoinHandle<Relayed>,
) {
    let (client, volunteer) = channels(kind).await;
    let (near, far) = tcp().await;
    let relaying =
        tokio::spawn(async move { relay(volunteer, near, &Throttle::new(None, None), IDLE).await });
    (client, far, relaying)
}

async fn sixty_four_mebibytes_arrive_unchanged_both_ways(kind: TransportKind) {
    const LEN: usize = 64 << 20;
    let (client, far, relaying) = relayed(kind).await;
    async fn send(mut to: impl tokio::io::AsyncWrite + Unpin, seed: u8) -> digest::Digest {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut chunk = vec![seed; 100_000];
        let mut left = LEN;
        while left > 0 {
            chunk[0] = chunk[0].wrapping_add(1);
            chunk.rotate_left(7);
            let part = &chunk[..left.min(chunk.len())];
            hash.update(part);
            to.write_all(part).await.unwrap();
            left -= part.len();
        }
        to.shutdown().await.unwrap();
        hash.finish()
    }
    async fn receive(mut from: impl tokio::io::AsyncRead + Unpin) -> digest::Digest {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut chunk = vec![0; 100_000];
        loop {
            match from.read(&mut chunk).await.unwrap() {
                0 => return hash.finish(),
                len => hash.update(&chunk[..len]),
            }
        }
    }
    let begun = std::time::Instant::now();
    let (client_read, client_write) = tokio::io::split(client);
    let (far_read, far_write) = far.into_split();
    let (up_sent, up_got, down_sent, down_got) = tokio::join!(
        send(client_write, 1),
        receive(far_read),
        send(far_write, 2),
        receive(client_read),
    );
    eprintln!("128 MiB in {:?}", begun.elapsed());
    assert_eq!(up_sent.as_ref(), up_got.as_ref());
    assert_eq!(down_sent.as_ref(), down_got.as_ref());
    let relayed = relaying.await.unwrap();
    let all = LEN as u64;
    assert_eq!(
        relayed,
        Relayed {
            up: all,
            down: all,
            end: End::Done
        }
    );
}

async fn the_client_may_end_first(kind: TransportKind) {
    let (mut client, mut far, relaying) = relayed(kind).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    far.write_all(b"answer").await.unwrap();
    drop(far);
    heard.clear();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");
    assert_eq!(
        relaying.await.unwrap(),
        Relayed {
            up: 8,
            down: 6,
            end: End::Done
        }
    );
}

async fn the_destination_may_end_first(kind: TransportKind) {
    let (mut client, mut far, relaying) = relayed(kind).await;
    far.write_all(b"banner").await.unwrap();
    far.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"banner");
    client.write_all(b"thanks").await.unwrap();
    client.shutdown().await.unwrap();
    heard.clear();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"thanks");
    assert_eq!(
        relaying.await.unwrap(),
        Relayed {
            up: 6,
            down: 6,
            end: End::Done
        }
    );
}

async fn a_destination_that_resets_is_a_break_for_the_client(kind: TransportKind) {
    let (mut client, far, relaying) = relayed(kind).await;
    client.write_all(b"unread").await.unwrap();
    far.peek(&mut [0; 6]).await.unwrap();
    // Dropped with bytes unread, so the system resets the connection.
    drop(far);
    let relayed = relaying.await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap_err();
    assert!(matches!(relayed.end, End::Destination(_)), "{relayed:?}");
}

async fn a_destination_that_does_not_read_holds_the_client_back(kind: TransportKind) {
    let (mut client, far, relaying) = relayed(kind).await;
    let chunk = vec![0; 1 << 16];
    let mut sent = 0_usize;
    // Everything between holds so much: windows, buffers, and the system's. Far from 256 MiB.
    while let Ok(written) =
        tokio::time::timeout(Duration::from_millis(500), client.write(&chunk)).await
    {
        sent += written.unwrap();
        assert!(sent < 64 << 20, "nothing holds it back");
    }
    drop(far);
    drop(client);
    relaying.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_throttle_lets_so_much_through_a_second() {
    let throttle = Throttle::new(Some(1000), Some(3000));
    let begun = tokio::time::Instant::now();
    for _ in 0..5 {
        throttle.pass(500).await.unwrap();
    }
    // The first passes at once, each later one when those before it would have passed.
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    throttle.pass(501).await.unwrap_err();
    assert!(throttle.is_used_up());
    throttle.pass(1).await.unwrap_err();
}

macro_rules! over {
    ($name:ident, $kind:expr) => {
        mod $name {
            use super::TransportKind;

            const KIND: TransportKind = $kind;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sixty_four_mebibytes_arrive_unchanged_both_ways() {
                super::sixty_four_mebibytes_arrive_unchanged_both_ways(KIND).await;
            }

            #[tokio::test]
            async fn the_client_may_end_first() {
                super::the_client_may_end_first(KIND).await;
            }

            #[tokio::test]
            async fn the_destination_may_end_first() {
                super::the_destination_may_end_first(KIND).await;
            }

            #[tokio::test]
            async fn a_destination_that_resets_is_a_break_for_the_client() {
                super::a_destination_that_resets_is_a_break_for_the_client(KIND).await;
            }

            #[tokio::test]
            async fn a_destination_that_does_not_read_holds_the_client_back() {
                super::a_destination_that_does_not_read_holds_the_client_back(KIND).await;
            }
        }
    };
}

over!(quic, TransportKind::Quic);
#[cfg(feature = "webrtc")]
over!(webrtc, TransportKind::WebRtc);

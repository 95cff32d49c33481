//! Messages of an established peer: what is received, and how it ends.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peerage_core::{Failure, Kind, Retry, Stage};
use peerage_net::{Link, LinkError};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::{Dialect, Message as _};
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{MessageError, SessionError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::conns::Tireless;
use crate::common::pairs::{greeted, linked};
use crate::common::{Net, frames, message, ping, pong, verack, version_frame};

/// What a link says about these bytes.
async fn refused<D: Net>(bytes: &[u8]) -> LinkError<SessionError> {
    let (mut link, mut far) = linked::<D>(4096).await;
    far.write_all(bytes).await.unwrap();
    link.recv().await.unwrap_err()
}

fn broken_checksum(frame: &Bytes) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[20] ^= 1;
    bytes
}

#[tokio::test(start_paused = true)]
async fn bytes_that_break_the_encoding_are_a_malformed_message() {
    let cases = [
        broken_checksum(&ping::<Zcash>(1)),
        message::<Zcash>("ping", &[1; 9]).to_vec(),
        message::<Zcash>("ping", &[1; 7]).to_vec(),
        message::<Zcash>("addr", &[3]).to_vec(),
    ];
    for bytes in cases {
        let error = refused::<Zcash>(&bytes).await;
        assert!(matches!(
            error,
            LinkError::Session(SessionError::Message(_))
        ));
        assert_eq!(error.kind(), Kind::Malformed, "{error}");
        assert_eq!(error.stage(), Stage::Keep("receive"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_command_is_passed_on_by_zcash_and_refused_by_decred() {
    let (mut link, mut far) = linked::<Zcash>(4096).await;
    let strange = message::<Zcash>("strange", b"payload");
    far.write_all(&strange).await.unwrap();
    let received = link.recv().await.unwrap();
    let expected = zcash::Message::Opaque {
        command: peerage_verack::envelope::Command::from_static("strange"),
        payload: Bytes::from_static(b"payload"),
    };
    assert_eq!(received, expected);

    let error = refused::<Decred>(&message::<Decred>("strange", b"")).await;
    assert_eq!(error.kind(), Kind::Violation);
    let unknown = MessageError::UnknownCommand {
        command: peerage_verack::envelope::Command::from_static("strange"),
    };
    assert_eq!(error, LinkError::Session(SessionError::Message(unknown)));
}

#[tokio::test(start_paused = true)]
async fn a_second_version_or_verack_is_a_violation() {
    for bytes in [version_frame::<Zcash>(170_190), verack::<Zcash>()] {
        let error = refused::<Zcash>(&bytes).await;
        assert!(matches!(
            error,
            LinkError::Session(SessionError::HandshakeAgain { .. })
        ));
        assert_eq!(error.kind(), Kind::Violation);
    }
}

#[tokio::test(start_paused = true)]
async fn another_chain_and_another_protocol_are_told_apart_from_malformed() {
    let foreign = Zcash::table().chain("testnet").unwrap().magic;
    let mut bytes = ping::<Zcash>(1).to_vec();
    bytes[..4].copy_from_slice(&foreign);
    assert_eq!(refused::<Zcash>(&bytes).await.kind(), Kind::WrongNetwork);
    let kind = refused::<Zcash>(b"HTTP/1.1 200 OK").await.kind();
    assert_eq!(kind, Kind::NotThisProtocol);
}

#[tokio::test(start_paused = true)]
async fn messages_before_a_bad_one_are_received_first() {
    let (mut link, mut far) = linked::<Decred>(4096).await;
    let mut bytes = [ping::<Decred>(1), ping::<Decred>(2)].concat();
    bytes.extend(broken_checksum(&ping::<Decred>(3)));
    far.write_all(&bytes).await.unwrap();
    assert_eq!(link.recv().await.unwrap().ping_nonce(), Some(1));
    assert_eq!(link.recv().await.unwrap().ping_nonce(), Some(2));
    assert_eq!(link.recv().await.unwrap_err().kind(), Kind::Malformed);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_is_closed_even_in_the_middle_of_a_message() {
    for len in [0, 1, 23, 24, 31] {
        let (mut link, mut far) = linked::<Zcash>(4096).await;
        far.write_all(&ping::<Zcash>(1)[..len]).await.unwrap();
        drop(far);
        let error = link.recv().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Closed, "after {len} bytes");
        assert_eq!(error.stage(), Stage::Keep("receive"));
        assert!(matches!(error.retry(), Retry::After(_)));
        let error = link.send(&zcash::Message::GetAddr).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Closed);
        assert_eq!(error.stage(), Stage::Keep("send"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_a_transport_failure() {
    let (codec, ..) = greeted::<Zcash>(64).await;
    let conn = Tireless::failing(io::ErrorKind::HostUnreachable);
    let mut link = Link::new(conn, codec, BytesMut::new());
    let error = link.recv().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    let expected = LinkError::Transport {
        doing: Stage::Keep("send"),
        kind: io::ErrorKind::HostUnreachable,
    };
    let error = link.send(&zcash::Message::GetAddr).await.unwrap_err();
    assert_eq!(error, expected);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_sent_to_this_peer_leaves_no_trace() {
    let (mut link, mut far) = linked::<Decred>(4096).await;
    // `addr` ended with protocol version 11.
    let unknown_now = peerage_verack::decred::Message::Addr(vec![]);
    let error = link.send(&unknown_now).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    assert_eq!(error.stage(), Stage::Keep("send"));
    let ping = <Decred as Dialect>::Message::ping(5);
    link.send(&ping).await.unwrap();
    drop(link);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    let payload = Bytes::copy_from_slice(&5_u64.to_le_bytes());
    assert_eq!(frames::<Decred>(&heard), [("ping".to_owned(), payload)]);
}

async fn served<D: Net>() {
    let (mut link, mut far) = linked::<D>(4096).await;
    let other = message::<D>("getaddr", &[]);
    let said = [ping::<D>(1), other, pong::<D>(9), ping::<D>(2)].concat();
    far.write_all(&said).await.unwrap();
    far.shutdown().await.unwrap();
    let mut others = Vec::new();
    let end = link.serve_pings(|message| others.push(message)).await;
    assert_eq!(end.kind(), Kind::Closed);
    assert_eq!(end.stage(), Stage::Keep("receive"));
    let names: Vec<_> = others.iter().map(|m| m.command().to_string()).collect();
    assert_eq!(names, ["getaddr", "pong"], "in order");
    drop(link);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    let expected = [1_u64, 2].map(|n| ("pong".to_owned(), Bytes::from(n.to_le_bytes().to_vec())));
    assert_eq!(frames::<D>(&heard), expected);
}

#[tokio::test(start_paused = true)]
async fn pings_are_served_until_the_peer_goes_and_the_reason_is_returned() {
    served::<Zcash>().await;
    served::<Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn serving_pings_ends_with_the_reason_whatever_it_is() {
    let (mut link, mut far) = linked::<Zcash>(4096).await;
    far.write_all(&broken_checksum(&ping::<Zcash>(1)))
        .await
        .unwrap();
    assert_eq!(link.serve_pings(drop).await.kind(), Kind::Malformed);

    let (codec, ..) = greeted::<Zcash>(64).await;
    let conn = Tireless::failing(io::ErrorKind::HostUnreachable);
    let mut link = Link::new(conn, codec, BytesMut::new());
    assert_eq!(link.serve_pings(drop).await.kind(), Kind::Transport);
}

/// Both say three huge messages through a pipe that holds next to nothing, and hear the other's
/// meanwhile. What is left at the end is written without hearing anything.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_message_is_written_while_others_are_heard() {
    let (codec, near, far) = greeted::<Zcash>(64).await;
    let (other_codec, _near, _far) = greeted::<Zcash>(64).await;
    let mut one = Link::new(near, codec, BytesMut::new());
    let mut two = Link::new(far, other_codec, BytesMut::new());
    let huge = |byte| zcash::Message::Opaque {
        command: peerage_verack::envelope::Command::from_static("block"),
        payload: vec![byte; 1_500_000].into(),
    };
    let side = async |link: &mut Link<_, _>, [ours, theirs]: [zcash::Message; 2]| {
        let mut heard = 0;
        for _ in 0..3 {
            drop(timeout(Duration::ZERO, link.send(&ours)).await);
            while let Some(message) = link.flush(true).await.unwrap() {
                assert!(message == theirs);
                heard += 1;
            }
        }
        while heard < 3 {
            assert!(link.recv().await.unwrap() == theirs);
            heard += 1;
        }
        assert_eq!(link.flush(false).await, Ok(None), "nothing is left");
    };
    let both = async {
        tokio::join!(
            side(&mut one, [huge(1), huge(2)]),
            side(&mut two, [huge(2), huge(1)])
        )
    };
    timeout(Duration::from_secs(60), both).await.expect("stuck");
}

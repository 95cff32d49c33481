//! The same peers from plain threads, without a runtime on our side.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use peerage_core::{ConnectedAddr, Direction, Endpoint, Failure, Kind, Stage};
use peerage_net::blocking::{self, BlockingLink, BlockingTcp, Canceller};
use peerage_net::{Host, Link, LinkError, Listener, Target};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dialect::{Dialect, Message as _};
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{Codec, HandshakeError};

use crate::common::{
    BOTH, Net, commands, concat, current, direct, greeting, message, never, ours, ping, verack,
    version_frame,
};

/// A deadline that no test reaches.
fn far_off() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Two ends of a socket, ours and the test's.
fn socket() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

fn endpoint_of(listener: &TcpListener) -> Endpoint {
    listener.local_addr().unwrap().into()
}

/// What a thread does with its peer: greets it, pings it, and waits for the pong.
fn greet_and_ping<D: Net>(conn: BlockingTcp, addr: ConnectedAddr) -> u64 {
    let greeted = blocking::greet(conn, greeting::<D>(2, addr), far_off()).unwrap();
    let (info, codec) = greeted.peer.into_parts();
    assert_eq!(info.negotiated.0, current::<D>());
    let mut link = BlockingLink::new(greeted.conn, codec, greeted.leftover);
    link.send(&<D as Dialect>::Message::ping(77), far_off())
        .unwrap();
    let pong = link.recv(far_off()).unwrap();
    pong.pong_nonce().unwrap()
}

async fn serves<D: Net>(conn: tokio::net::TcpStream, addr: ConnectedAddr) -> Kind {
    let greeted = peerage_net::greet(conn, greeting::<D>(1, addr), never()).await;
    let greeted = greeted.unwrap();
    let (_, codec) = greeted.peer.into_parts();
    let mut link = Link::new(greeted.conn, codec, greeted.leftover);
    link.serve_pings(drop).await.kind()
}

async fn a_thread_dials<D: Net>() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = Target::from(listener.local_endpoint().unwrap());
    let thread = thread::spawn(move || {
        let (conn, addr) = blocking::connect(&target, far_off()).unwrap();
        assert_eq!(addr.direction(), Direction::Outbound);
        greet_and_ping::<D>(conn, addr)
    });
    let connection = listener.accept().await.unwrap();
    let end = serves::<D>(connection.io, connection.addr).await;
    assert_eq!(end, Kind::Closed, "the thread is done and hangs up");
    assert_eq!(thread.join().unwrap(), 77);
}

async fn a_thread_is_dialled<D: Net>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = endpoint_of(&listener);
    let thread = thread::spawn(move || {
        let (stream, from) = listener.accept().unwrap();
        let conn = BlockingTcp::from_stream(stream).unwrap();
        let addr = ConnectedAddr::InboundDirect { addr: from.into() };
        greet_and_ping::<D>(conn, addr)
    });
    let conn = tokio::net::TcpStream::connect(addr.socket_addr())
        .await
        .unwrap();
    let end = serves::<D>(conn, ConnectedAddr::OutboundDirect { addr }).await;
    assert_eq!(end, Kind::Closed);
    assert_eq!(thread.join().unwrap(), 77);
}

#[tokio::test]
async fn a_thread_and_a_runtime_greet_each_other_both_ways() {
    a_thread_dials::<Zcash>().await;
    a_thread_dials::<Decred>().await;
    a_thread_is_dialled::<Zcash>().await;
    a_thread_is_dialled::<Decred>().await;
}

type Greeted<D> =
    Result<blocking::Greeted<Box<peerage_verack::Peer<D>>, BlockingTcp>, HandshakeError>;

fn called_off<D: Net>(direction: Direction, after: impl FnOnce(&mut TcpStream, Canceller)) {
    let (near, mut far) = socket();
    let conn = BlockingTcp::from_stream(near).unwrap();
    let canceller = conn.canceller().unwrap();
    let thread: thread::JoinHandle<Greeted<D>> =
        thread::spawn(move || blocking::greet(conn, ours::<D>(direction), far_off()));
    after(&mut far, canceller);
    let error = thread.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled, "{direction}: {error}");
    far.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_greeting_called_off_from_another_thread_is_cancelled_and_no_timeout() {
    for direction in BOTH {
        called_off::<Zcash>(direction, |_, canceller| canceller.cancel());
        called_off::<Decred>(direction, |_, canceller| canceller.cancel());
    }
    // It has spoken and now waits for the answer.
    called_off::<Zcash>(Direction::Outbound, |far, canceller| {
        far.read_exact(&mut [0; 24]).unwrap();
        canceller.cancel();
    });
    // It has accepted our version and now waits for the verack.
    called_off::<Decred>(Direction::Inbound, |far, canceller| {
        far.write_all(&version_frame::<Decred>(12)).unwrap();
        far.read_exact(&mut [0; 24]).unwrap();
        canceller.cancel();
    });
}

#[test]
fn a_connection_called_off_beforehand_is_cancelled_at_once() {
    for direction in BOTH {
        let (near, _far) = socket();
        let conn = BlockingTcp::from_stream(near).unwrap();
        conn.canceller().unwrap().cancel();
        // Even the deadline is over, but that is not why it ended.
        let error = blocking::greet(conn, ours::<Zcash>(direction), Instant::now());
        assert_eq!(error.unwrap_err().kind(), Kind::Cancelled);
    }
}

#[test]
fn a_silent_peer_costs_the_deadline() {
    for direction in BOTH {
        let (near, _silent) = socket();
        let conn = BlockingTcp::from_stream(near).unwrap();
        let deadline = Instant::now() + Duration::from_millis(30);
        let error = blocking::greet(conn, ours::<Decred>(direction), deadline).unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(error.stage(), Stage::Greet("version"));
        assert!(Instant::now() >= deadline, "no earlier than that");
    }
}

#[test]
fn a_peer_that_closes_is_closed() {
    for direction in BOTH {
        let (near, far) = socket();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        let conn = BlockingTcp::from_stream(near).unwrap();
        let error = blocking::greet(conn, ours::<Zcash>(direction), far_off()).unwrap_err();
        assert_eq!(error.kind(), Kind::Closed);
    }
}

#[test]
fn an_obsolete_peer_gets_its_last_words_from_a_thread_too() {
    let (near, mut far) = socket();
    far.write_all(&version_frame::<Zcash>(1)).unwrap();
    let conn = BlockingTcp::from_stream(near).unwrap();
    let inbound = greeting::<Zcash>(1, direct(Direction::Inbound));
    let error = blocking::greet(conn, inbound, far_off()).unwrap_err();
    assert_eq!(error.kind(), Kind::Obsolete);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(commands::<Zcash>(&heard), ["reject"]);
}

/// A blocking link of ours and the test's end of the socket, with `behind` right behind the verack.
fn linked<D: Net>(
    version: u32,
    early: &[bytes::Bytes],
    behind: &[bytes::Bytes],
) -> (BlockingLink<Codec<D>>, Canceller, TcpStream) {
    let (near, mut far) = socket();
    let mut said = version_frame::<D>(version).to_vec();
    said.extend(concat(early));
    said.extend_from_slice(&verack::<D>());
    said.extend(concat(behind));
    far.write_all(&said).unwrap();
    let conn = BlockingTcp::from_stream(near).unwrap();
    let canceller = conn.canceller().unwrap();
    let greeted = blocking::greet(conn, ours::<D>(Direction::Inbound), far_off()).unwrap();
    let (_, codec) = greeted.peer.into_parts();
    let link = BlockingLink::new(greeted.conn, codec, greeted.leftover);
    (link, canceller, far)
}

#[test]
fn early_messages_come_first_then_what_was_behind_the_handshake() {
    let early: Vec<_> = (1..=3).map(ping::<Decred>).collect();
    let behind: Vec<_> = (4..=6).map(ping::<Decred>).collect();
    let (mut link, _, far) = linked::<Decred>(11, &early, &behind);
    for nonce in 1..=6 {
        assert_eq!(link.recv(far_off()).unwrap().ping_nonce(), Some(nonce));
    }
    drop(far);
    let error = link.recv(far_off()).unwrap_err();
    assert_eq!(
        (error.kind(), error.stage()),
        (Kind::Closed, Stage::Keep("receive"))
    );
}

#[test]
fn a_link_that_timed_out_is_as_good_as_before() {
    let (mut link, _, mut far) = linked::<Zcash>(current::<Zcash>(), &[], &[]);
    let frame = ping::<Zcash>(9);
    far.write_all(&frame[..20]).unwrap();
    let soon = Instant::now() + Duration::from_millis(20);
    let error = link.recv(soon).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "half a message is none");
    far.write_all(&frame[20..]).unwrap();
    assert_eq!(link.recv(far_off()).unwrap().ping_nonce(), Some(9));
    let error = link.recv(Instant::now()).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "a deadline in the past is one");
}

#[test]
fn a_link_called_off_is_cancelled_and_the_peer_is_not_blamed() {
    let (mut link, canceller, far) = linked::<Zcash>(current::<Zcash>(), &[], &[]);
    let thread = thread::spawn(move || {
        let received = link.recv(far_off()).unwrap_err();
        let ping = <Zcash as Dialect>::Message::ping(1);
        (received, link.send(&ping, far_off()).unwrap_err())
    });
    canceller.cancel();
    let (received, sent) = thread.join().unwrap();
    let doing = Stage::Keep("receive");
    assert_eq!(received, LinkError::Cancelled { doing });
    assert_eq!(received.kind(), Kind::Cancelled);
    assert_eq!(received.blame(), peerage_core::Blame::Caller);
    assert_eq!(
        (sent.kind(), sent.stage()),
        (Kind::Cancelled, Stage::Keep("send"))
    );
    drop(far);
}

#[test]
fn a_bad_message_is_a_typed_error_and_an_unsendable_one_is_not_sent() {
    let mut bad = message::<Decred>("ping", &[0; 8]).to_vec();
    bad[20] ^= 1;
    let (mut link, _, mut far) = linked::<Decred>(12, &[], &[bad.into()]);
    let unsendable = decred::Message::Addr(vec![]);
    let error = link.send(&unsendable, far_off()).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let error = link.recv(far_off()).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert!(matches!(error, LinkError::Session(_)));
    drop(link);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(commands::<Decred>(&heard), ["version", "verack"]);
}

#[test]
fn a_message_larger_than_every_buffer_arrives_whole() {
    let (mut link, _, mut far) = linked::<Zcash>(current::<Zcash>(), &[], &[]);
    let payload = bytes::Bytes::from(vec![7; 2_000_000]);
    let block = zcash::Message::Opaque {
        command: peerage_verack::envelope::Command::from_static("block"),
        payload: payload.clone(),
    };
    let thread = thread::spawn(move || link.send(&block, far_off()));
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    thread.join().unwrap().unwrap();
    let (command, received) = crate::common::frames::<Zcash>(&heard).pop().unwrap();
    assert_eq!(command, "block");
    assert!(received == payload);
}

#[test]
fn a_stream_from_an_asynchronous_listener_waits_all_the_same() {
    let (near, _far) = socket();
    near.set_nonblocking(true).unwrap();
    let mut conn = BlockingTcp::from_stream(near).unwrap();
    let limit = Duration::from_millis(20);
    peerage_core::blocking::BlockingConn::bound_next_call(&mut conn, limit).unwrap();
    let start = Instant::now();
    assert!(conn.read(&mut [0]).is_err(), "nothing came");
    assert!(start.elapsed() >= limit / 2, "but it was waited for");
}

#[test]
fn reaching_fails_for_the_same_reasons_as_it_does_asynchronously() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::from(endpoint_of(&listener));
    let error = blocking::connect(&target, Instant::now()).unwrap_err();
    assert_eq!((error.kind(), error.stage()), (Kind::Timeout, Stage::Reach));
    drop(listener);
    let error = blocking::connect(&target, far_off()).unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectionRefused);
    // A name that is refused before anybody is asked for it.
    let host = Host::Name("no\0name".into());
    let error = blocking::connect(&Target { host, port: 1 }, far_off()).unwrap_err();
    assert_eq!(
        (error.kind(), error.stage()),
        (Kind::Unresolved, Stage::Resolve)
    );
}

#[test]
fn the_addresses_of_a_name_are_tried_one_after_the_other() {
    // On most systems this name has an address of either family; only one of them listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target {
        host: Host::Name("localhost".into()),
        port: endpoint_of(&listener).port(),
    };
    let (_, addr) = blocking::connect(&target, far_off()).unwrap();
    assert_eq!(addr.book_addr(), Some(endpoint_of(&listener)));
}

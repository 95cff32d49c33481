//! The library without a runtime on our side.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use peerage::net::blocking::BlockingTcp;
use peerage::networks::{Builtin, Setup, by_name};
use peerage::verack::dialect::Message as _;
use peerage::verack::policy::AcceptAll;
use peerage::verack::{Dialect, HandshakeError};
use peerage::{ConnectedAddr, Decred, DialError, Failure, Greeter, Kind, Stage, Zcash};

use crate::common::{LONG, dials, serves_one};

fn node<D: Builtin>() -> Greeter<D> {
    Greeter::new("mainnet").unwrap()
}

fn message<D: Dialect>(nonce: u64) -> D::Message {
    <D::Message as peerage::verack::dialect::Message>::ping(nonce)
}

async fn a_thread_dials<D: Builtin>() {
    let network = by_name(D::NETWORK.0).unwrap();
    let mut theirs = network.node(&Setup::new("mainnet")).unwrap();
    theirs.set_agent("/theirs:1/".into());
    let (target, served) = serves_one(theirs.into());
    let target = network.shown(&target);
    let thread = thread::spawn(move || {
        let mut peer = node::<D>().dial_blocking(&target, LONG).unwrap();
        assert_eq!(peer.info().theirs.user_agent, "/theirs:1/".into());
        peer.send(&message::<D>(5), LONG).unwrap();
        let pong = peer.recv(LONG).unwrap();
        assert_eq!(pong.pong_nonce(), Some(5));
        // The longest limit there is means no limit.
        peer.send(&message::<D>(6), Duration::MAX).unwrap();
        assert_eq!(peer.recv(Duration::MAX).unwrap().pong_nonce(), Some(6));
    });
    assert_eq!(served.await.unwrap().kind, Kind::Closed);
    thread.join().unwrap();
}

async fn a_thread_is_dialled<D: Builtin>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = peerage::Endpoint::from(listener.local_addr().unwrap()).into();
    let thread = thread::spawn(move || {
        let (stream, from) = listener.accept().unwrap();
        let conn = BlockingTcp::from_stream(stream).unwrap();
        let addr = ConnectedAddr::InboundDirect { addr: from.into() };
        let deadline = Instant::now() + LONG;
        let peer = node::<D>().greet_blocking(conn, addr, AcceptAll, deadline);
        let mut peer = peer.unwrap();
        let ping = peer.recv(LONG).unwrap();
        let pong = <D::Message as peerage::verack::dialect::Message>::pong;
        peer.send(&pong(ping.ping_nonce().unwrap()), LONG).unwrap();
        peer.recv(LONG).unwrap_err().kind()
    });
    let network = by_name(D::NETWORK.0).unwrap();
    let ours = network.node(&Setup::new("mainnet")).unwrap();
    let mut peer = dials(&*ours, &target).await.unwrap();
    peer.ping(LONG).await.unwrap();
    drop(peer);
    assert_eq!(thread.join().unwrap(), Kind::Closed);
}

#[tokio::test]
async fn a_thread_and_a_runtime_greet_each_other_both_ways() {
    a_thread_dials::<Zcash>().await;
    a_thread_dials::<Decred>().await;
    a_thread_is_dialled::<Zcash>().await;
    a_thread_is_dialled::<Decred>().await;
}

#[test]
fn a_greeting_called_off_from_another_thread_is_cancelled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = peerage::Endpoint::from(listener.local_addr().unwrap());
    let deadline = Instant::now() + LONG;
    let (conn, addr) = BlockingTcp::connect(addr, deadline).unwrap();
    let canceller = Arc::new(conn.canceller().unwrap());
    let thread = thread::spawn(move || {
        let peer = node::<Zcash>().greet_blocking(conn, addr, AcceptAll, deadline);
        peer.map(drop)
    });
    // Often enough called off; once is enough.
    canceller.cancel();
    canceller.cancel();
    let error = thread.join().unwrap().unwrap_err();
    assert!(
        matches!(error, HandshakeError::Cancelled { .. }),
        "{error:?}"
    );
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[test]
fn a_dial_fails_at_the_stage_where_it_fails() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_addr = silent.local_addr().unwrap().to_string();
    let zcash = node::<Zcash>();
    let dial = |target: &str, limit| zcash.dial_blocking(target, limit).unwrap_err();

    let error = dial(":1", LONG);
    assert!(matches!(error, DialError::Address(_)));
    assert_eq!((error.stage(), error.kind()), (Stage::Input, Kind::Usage));

    let error = dial(&silent_addr, Duration::ZERO);
    assert!(matches!(error, DialError::Reach(_)));
    assert_eq!((error.stage(), error.kind()), (Stage::Reach, Kind::Timeout));

    let error = dial(&silent_addr, Duration::from_millis(100));
    assert!(matches!(error, DialError::Greet(_)));
    let found = (error.stage(), error.kind());
    assert_eq!(found, (Stage::Greet("version"), Kind::Timeout));
}

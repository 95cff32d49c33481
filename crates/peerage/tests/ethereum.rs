//! Ethereum as a user of the typed library meets it.

use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Instant;

use peerage::core::{AcceptAll, Refusal};
use peerage::devp2p::eth::{self, Answer, Ask, HashOrNumber, Request, Response};
use peerage::devp2p::{DisconnectReason, HandshakeError, Message, Policy, Remote, SessionError};
use peerage::net::blocking::BlockingTcp;
use peerage::net::{LinkError, Stream};
use peerage::networks::{Described, Setup, SetupError, Typed, by_name};
use peerage::{
    Blame, ConnectedAddr, DialErrorOf, Endpoint, Ethereum, Failure, Greeter, Kind, NodeKey, Peer,
    Retry, Stage, Tables, TablesError,
};
use tokio::task::JoinHandle;

use crate::common::{LONG, bind, dials, folder, greets_one, later, node};

fn greeter(chain: &str) -> Greeter<Ethereum> {
    Greeter::new(chain).unwrap()
}

/// The enode address of a node that listens at `endpoint`.
fn enode(node: &Greeter<Ethereum>, endpoint: Endpoint) -> String {
    <Ethereum as Described>::shown(&Ethereum::found_at(node.local(), endpoint))
}

/// Accepts one peer of `node` and greets it: where, and the peer.
fn accepts(node: &Greeter<Ethereum>) -> (String, JoinHandle<Peer<Ethereum>>) {
    let (listener, endpoint) = bind();
    let (address, node) = (enode(node, endpoint), node.clone());
    let task = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().map(Stream::from);
        node.greet(connection, AcceptAll, later()).await.unwrap()
    });
    (address, task)
}

/// Two typed peers, the dialling end first.
async fn two_peers() -> [Peer<Ethereum>; 2] {
    let (address, accepted) = accepts(&greeter("mainnet"));
    let dialled = greeter("mainnet").dial(&address, LONG).await.unwrap();
    [dialled, accepted.await.unwrap()]
}

fn headers(id: u64) -> Message {
    Message::Eth(eth::Message::Request(Request {
        id,
        ask: Ask::BlockHeaders {
            start: HashOrNumber::Number(17_000_000),
            limit: 1,
            skip: 0,
            reverse: false,
        },
    }))
}

/// An answer with nothing in it.
fn no_headers(id: u64) -> Message {
    Message::Eth(eth::Message::Response(Response {
        id,
        answer: Answer::BlockHeaders([0xc0].as_slice().into()),
    }))
}

#[tokio::test]
async fn an_enode_address_is_dialled_and_both_know_whom_they_met() {
    let mut theirs = greeter("mainnet").with_key(&NodeKey::from_bytes([9; 32]).unwrap());
    theirs.local_mut().client_id = "theirs/v1".into();
    let ours = greeter("mainnet");
    let (address, accepted) = accepts(&theirs);
    let dialled = ours.dial(&address, LONG).await.unwrap();
    let accepted = accepted.await.unwrap();
    assert_eq!(dialled.info().id, theirs.local().id());
    assert_eq!(accepted.info().id, ours.local().id());
    assert_eq!(dialled.info().hello.client_id, "theirs/v1".into());
    assert_eq!(dialled.info().eth_version(), Some(72), "the newest");
    let chain = dialled.info().chain.as_ref().unwrap();
    assert_eq!(chain.status.network_id, 1);
    // Without its scheme it is the same address.
    let (address, accepted) = accepts(&theirs);
    let bare = address.strip_prefix("enode://").unwrap();
    ours.dial(bare, LONG).await.unwrap();
    accepted.await.unwrap();
}

#[tokio::test]
async fn another_key_than_the_one_that_is_there_is_greeted_by_nobody() {
    let theirs = greeter("mainnet");
    let (listener, endpoint) = bind();
    let address = enode(&greeter("mainnet"), endpoint);
    let ours = greeter("mainnet");
    let (dialled, accepted) = tokio::join!(ours.dial(&address, LONG), async {
        let connection = listener.accept().await.unwrap();
        theirs.greet(connection, AcceptAll, later()).await
    });
    let error = dialled.map(drop).unwrap_err();
    let found = (error.stage(), error.kind());
    assert_eq!(found, (Stage::Greet("rlpx"), Kind::Closed));
    let error = accepted.map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed, "it cannot be opened");
}

#[tokio::test]
async fn a_question_to_a_peer_that_serves_pings_is_answered_with_nothing() {
    let [mut ours, mut theirs] = two_peers().await;
    let serves = tokio::spawn(async move {
        let ended = theirs.link_mut().serve_pings(drop).await;
        (ended, theirs)
    });
    for id in [7, u64::MAX] {
        ours.send(&headers(id)).await.unwrap();
        assert_eq!(ours.recv().await.unwrap(), no_headers(id));
    }
    ours.ping(LONG).await.unwrap();
    ours.send(&headers(8)).await.unwrap();
    ours.ping(LONG).await.unwrap();
    assert_eq!(
        ours.recv().await.unwrap(),
        no_headers(8),
        "it was set aside"
    );

    let goodbye = Message::Disconnect(DisconnectReason::ClientQuitting);
    ours.send(&goodbye).await.unwrap();
    let (ended, _) = serves.await.unwrap();
    let reason = DisconnectReason::ClientQuitting;
    let expected = SessionError::Disconnected { reason };
    assert!(matches!(&ended, LinkError::Session(error) if *error == expected));
    assert_eq!((ended.kind(), ended.blame()), (Kind::Left, Blame::Them));
    assert!(matches!(ended.stage(), Stage::Keep(_)));
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let [mut ours, mut theirs] = two_peers().await;
    theirs.send(&no_headers(1)).await.unwrap();
    let error = ours.recv().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.blame()),
        (Kind::Violation, Blame::Them)
    );
}

/// Has no slot for anybody.
struct Full(Vec<Remote>);

impl Policy<Remote> for &mut Full {
    type Rejection = &'static str;

    fn judge(&mut self, remote: &Remote) -> Result<(), &'static str> {
        self.0.push(remote.clone());
        Err("no free slot")
    }

    fn refusal(_: &&'static str) -> Refusal {
        Refusal::Full
    }
}

#[tokio::test]
async fn a_policy_refuses_at_the_first_moment_and_the_peer_hears_why() {
    let (ours, theirs) = (greeter("mainnet"), greeter("mainnet"));
    let (listener, endpoint) = bind();
    let address = enode(&theirs, endpoint);
    let mut full = Full(Vec::new());
    let (dialled, refused) = tokio::join!(ours.dial(&address, LONG), async {
        let connection = listener.accept().await.unwrap();
        theirs.greet(connection, &mut full, later()).await
    });
    let refused = refused.map(drop).unwrap_err();
    assert_eq!((refused.kind(), refused.blame()), (Kind::Full, Blame::Us));
    assert!(matches!(
        refused,
        HandshakeError::Rejected {
            rejection: "no free slot",
            ..
        }
    ));
    let [Remote::Named { id, .. }] = full.0[..] else {
        panic!("asked once, before Hello: {:?}", full.0);
    };
    assert_eq!(id, ours.local().id());
    let dialled = dialled.map(drop).unwrap_err();
    let found = (dialled.stage(), dialled.kind());
    assert_eq!(found, (Stage::Greet("hello"), Kind::PeerFull));
    assert!(matches!(dialled.retry(), Retry::After(_)));
}

#[tokio::test]
async fn a_policy_of_who_dials_is_asked_as_well() {
    let (ours, theirs) = (greeter("mainnet"), greeter("mainnet"));
    let (listener, endpoint) = bind();
    let to = Ethereum::found_at(theirs.local(), endpoint);
    let mut full = Full(Vec::new());
    let (dialled, accepted) = tokio::join!(ours.dial_to(&to, &mut full, later()), async {
        let connection = listener.accept().await.unwrap();
        theirs.greet(connection, AcceptAll, later()).await
    });
    assert_eq!(dialled.map(drop).unwrap_err().kind(), Kind::Full);
    assert_eq!(full.0.len(), 1);
    let accepted = accepted.map(drop).unwrap_err();
    assert_eq!(accepted.kind(), Kind::PeerFull);
}

#[tokio::test]
async fn a_thread_without_a_runtime_dials_and_asks() {
    let (address, accepted) = accepts(&greeter("mainnet"));
    let thread = thread::spawn(move || {
        let mut peer = greeter("mainnet").dial_blocking(&address, LONG).unwrap();
        assert!(peer.info().chain.is_some());
        peer.send(&headers(5), LONG).unwrap();
        assert_eq!(peer.recv(LONG).unwrap(), no_headers(5));
        peer.send(&Message::Ping, LONG).unwrap();
        assert_eq!(peer.recv(LONG).unwrap(), Message::Pong);
    });
    let mut peer = accepted.await.unwrap();
    let ended = peer.link_mut().serve_pings(drop).await;
    assert_eq!(ended.kind(), Kind::Closed);
    thread.join().unwrap();
}

#[tokio::test]
async fn a_thread_without_a_runtime_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = greeter("mainnet");
    let address = enode(&theirs, listener.local_addr().unwrap().into());
    let thread = thread::spawn(move || {
        let (stream, from) = listener.accept().unwrap();
        let conn = BlockingTcp::from_stream(stream).unwrap();
        let addr = ConnectedAddr::InboundDirect { addr: from.into() };
        let deadline = Instant::now() + LONG;
        let peer = theirs.greet_blocking(conn, addr, AcceptAll, deadline);
        let mut peer = peer.unwrap();
        assert_eq!(peer.recv(LONG).unwrap(), Message::Ping);
        peer.send(&Message::Pong, LONG).unwrap();
        peer.recv(LONG).unwrap_err().kind()
    });
    let mut peer = greeter("mainnet").dial(&address, LONG).await.unwrap();
    peer.ping(LONG).await.unwrap();
    drop(peer);
    assert_eq!(thread.join().unwrap(), Kind::Closed);
}

#[test]
fn a_blocking_dial_fails_at_the_stage_where_it_fails() {
    let ours = greeter("mainnet");
    let limit = std::time::Duration::from_millis(100);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = enode(&greeter("mainnet"), silent.local_addr().unwrap().into());
    let kinds = |error: DialErrorOf<Ethereum>| (error.stage(), error.kind());
    let error = ours.dial_blocking(&address, limit).unwrap_err();
    assert_eq!(kinds(error), (Stage::Greet("rlpx"), Kind::Timeout));
    let error = ours.dial_blocking("127.0.0.1:1", limit).unwrap_err();
    assert_eq!(kinds(error), (Stage::Input, Kind::Usage));
    let nobody = format!(
        "enode://{}@{}",
        "ff".repeat(64),
        silent.local_addr().unwrap()
    );
    let error = ours.dial_blocking(&nobody, limit).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
}

/// A chain of somebody's own.
const PRIVATE: &str = r#"
network = "ethereum"

[[chain]]
name = "mine"
network_id = 7331
chain_id = 7331
genesis_hash = "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
port = 30305

[[chain.fork]]
name = "ours"
time = 1700000000
"#;

static ETHEREUM: Typed<Ethereum> = Typed::new();

fn tables(folder: &Path, text: &str) -> Tables {
    std::fs::write(folder.join("ethereum.toml"), text).unwrap();
    Tables::from_folder(folder).unwrap()
}

fn on_mine(tables: &Tables) -> Setup {
    Setup {
        tables: tables.clone(),
        ..Setup::new("mine")
    }
}

#[tokio::test]
async fn a_private_chain_is_a_table_and_a_changed_one_is_read_with_the_next_node() {
    let folder = folder("private_chain");
    let tables = tables(&folder, PRIVATE);
    let old = node(&ETHEREUM, &on_mine(&tables));
    assert_eq!((old.chain(), old.port()), ("mine", 30305));
    let (target, greeted) = greets_one(node(&ETHEREUM, &on_mine(&tables)));
    let peer = dials(&*old, &target).await.unwrap();
    greeted.await.unwrap().unwrap();
    let chain = peer.facts().ethereum().unwrap().chain.clone().unwrap();
    assert_eq!((chain.network_id, &*chain.fork), (7331, "ours"));

    let more = format!("{PRIVATE}\n[[chain.fork]]\nname = \"later\"\ntime = 1710000000\n");
    std::fs::write(folder.join("ethereum.toml"), more).unwrap();
    let new = node(&ETHEREUM, &on_mine(&tables));
    let (target, greeted) = greets_one(old);
    let reason = dials(&*new, &target).await.map(drop).unwrap_err();
    assert_eq!(reason.kind, Kind::Obsolete, "{reason}");
    assert!(reason.message.contains("later"), "{reason}");
    drop(greeted.await.unwrap());
}

#[test]
fn a_wrong_table_is_named_with_its_line_and_what_to_do() {
    for (from, to, line, words) in [
        ("port = 30305", "prot = 30305", "line 9", "prot"),
        ("\"0xd4e5", "\"0xd4eg", "line 8", "64 hexadecimal digits"),
        (
            "time = 1700000000\n",
            "",
            "line 12",
            "either a block or a time",
        ),
        ("\"ethereum\"", "\"zcash\"", "line 2", "zcash"),
    ] {
        assert!(PRIVATE.contains(from), "{from}");
        let folder = folder("wrong_ethereum");
        let tables = tables(&folder, &PRIVATE.replacen(from, to, 1));
        let network = by_name("ethereum").unwrap();
        let error = network.node(&on_mine(&tables)).map(drop).unwrap_err();
        assert!(matches!(
            error,
            SetupError::Tables(TablesError::Parse { .. })
        ));
        let message = error.reason().message;
        let file = folder.join("ethereum.toml");
        assert!(message.contains(file.to_str().unwrap()), "{message}");
        assert!(message.contains(line), "{line}: {message}");
        assert!(message.contains(words), "{words}: {message}");
    }
}

//! Through a SOCKS5 proxy: a foreign server, and a peer behind it that tells what it saw.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fast_socks5::ReplyError;
use fast_socks5::server::Socks5ServerProtocol;
use fast_socks5::util::target_addr::TargetAddr;
use peerage::devp2p::PeerInfo as EthereumInfo;
use peerage::net::{Connector, Listener, ProxyAnswer, ProxyProblem, ReachError, Target};
use peerage::networks::{Described, Setup, by_name, socks5};
use peerage::verack::policy::AcceptAll;
use peerage::verack::{Height, PeerInfo, Services};
use peerage::{
    ConnectedAddr, Decred, Ethereum, Failure, Greeter, Kind, NodeKey, Outcome, ProbeOptions, Route,
    Socks5, Zcash,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(20);

/// What a client asked of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    user: String,
    password: String,
    target: String,
    is_name: bool,
}

/// A proxy on loopback that speaks through a foreign implementation and knows names of its own.
struct Proxy {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the proxy behaves.
#[derive(Clone)]
enum Manner {
    /// Connects, and resolves the names in the map.
    Serves(BTreeMap<&'static str, SocketAddr>),
    /// Answers with an error.
    Refuses(fn() -> ReplyError),
    /// Accepts no credentials.
    Distrusts,
    /// Accepts no way of authentication at all.
    NoWay,
}

impl Proxy {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let log = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                // A client that gives up is none of the proxy's business.
                tokio::spawn(serve(client, manner.clone(), log.clone()));
            }
        });
        Self { addr, asked, task }
    }

    fn connector(&self) -> Socks5 {
        socks5(&format!("socks5h://{}", self.addr)).unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut client: TcpStream,
    manner: Manner,
    log: Arc<Mutex<Vec<Asked>>>,
) -> Result<(), fast_socks5::SocksError> {
    if matches!(manner, Manner::NoWay) {
        // RFC 1928, section 3: X'FF', no acceptable methods.
        client.write_all(&[5, 0xff]).await?;
        while client.read(&mut [0; 64]).await? > 0 {}
        return Ok(());
    }
    let mut login = None;
    let trusts = !matches!(manner, Manner::Distrusts);
    let (protocol, _) = Socks5ServerProtocol::accept_password_auth(client, |user, password| {
        login = Some((user, password));
        trusts
    })
    .await?;
    let (protocol, _, target) = protocol.read_command().await?;
    let (user, password) = login.unwrap();
    let is_name = matches!(target, TargetAddr::Domain(..));
    log.lock().unwrap().push(Asked {
        user,
        password,
        target: target.to_string(),
        is_name,
    });
    let names = match manner {
        Manner::Refuses(error) => {
            protocol.reply_error(&error()).await?;
            return Ok(());
        }
        Manner::Serves(names) => names,
        Manner::Distrusts | Manner::NoWay => return Ok(()),
    };
    let address = match &target {
        TargetAddr::Ip(address) => Some(*address),
        TargetAddr::Domain(name, _) => names.get(name.as_str()).copied(),
    };
    let Some(address) = address else {
        protocol.reply_error(&ReplyError::GeneralFailure).await?;
        return Ok(());
    };
    match TcpStream::connect(address).await {
        Ok(mut server) => {
            let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let mut client = protocol.reply_success(local).await?;
            drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
        }
        Err(_) => protocol.reply_error(&ReplyError::ConnectionRefused).await?,
    }
    Ok(())
}

/// A Zcash node that greets whoever comes and tells what it learnt of them.
struct Peer {
    addr: SocketAddr,
    seen: mpsc::Receiver<PeerInfo>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    fn start() -> Self {
        let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let addr = listener.local_endpoint().unwrap().socket_addr();
        let (tell, seen) = mpsc::channel(16);
        let node = Greeter::<Zcash>::new("testnet").unwrap();
        let task = tokio::spawn(async move {
            loop {
                let connection = listener.accept().await.unwrap();
                let (node, tell) = (node.clone(), tell.clone());
                tokio::spawn(async move {
                    let greeted = node
                        .greet(connection, AcceptAll, Instant::now() + LIMIT)
                        .await;
                    if let Ok(mut peer) = greeted {
                        tell.send(peer.info().clone()).await.unwrap();
                        let _left = peer.link_mut().serve_pings(drop).await;
                    }
                });
            }
        });
        Self { addr, seen, task }
    }

    async fn last_seen(&mut self) -> PeerInfo {
        tokio::time::timeout(LIMIT, self.seen.recv())
            .await
            .unwrap()
            .unwrap()
    }
}

fn names(peer: &Peer) -> Manner {
    Manner::Serves(BTreeMap::from([("peer.invalid", peer.addr)]))
}

/// A node with everything to hide.
fn talkative(proxy: &Proxy) -> Greeter<Zcash> {
    let mut node = Greeter::<Zcash>::new("testnet")
        .unwrap()
        .through(Route::Socks5(proxy.connector()));
    let local = node.local_mut();
    local.services = Services::NETWORK;
    local.tip.set(Some(Height(3_000_000)));
    local.listen_addr = Some("198.51.100.77:4711".parse::<SocketAddr>().unwrap().into());
    node
}

#[tokio::test]
async fn a_name_is_resolved_by_the_proxy_and_nowhere_else() {
    let mut peer = Peer::start();
    let proxy = Proxy::start(names(&peer)).await;
    // No resolver knows a name under .invalid (RFC 6761), so only the proxy can have found it.
    let target = format!("peer.invalid:{}", peer.addr.port());
    let greeted = talkative(&proxy).dial(&target, LIMIT).await.unwrap();
    let asked = proxy.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].is_name, "the name itself went to the proxy");
    assert_eq!(asked[0].target, target);
    let ConnectedAddr::OutboundProxy { proxy: through, .. } = greeted.info().addr else {
        panic!("{:?} is no connection through a proxy", greeted.info().addr)
    };
    assert_eq!(through.socket_addr(), proxy.addr);
    assert_eq!(
        greeted.info().addr.book_addr(),
        None,
        "the proxy never enters a book"
    );
    peer.last_seen().await;
}

#[tokio::test]
async fn the_version_message_tells_a_proxied_peer_nothing_of_us() {
    let mut peer = Peer::start();
    let proxy = Proxy::start(names(&peer)).await;
    let node = talkative(&proxy);
    let target = peer.addr.to_string();
    let _greeted = node.dial(&target, LIMIT).await.unwrap();
    let theirs = peer.last_seen().await.theirs;
    assert_eq!(theirs.services, Services::NONE);
    assert_eq!(theirs.height, Height(0));
    assert_eq!(theirs.time.0 % 300, 0);
    assert!(theirs.addr_from.ip.to_canonical().is_unspecified());
    assert!(theirs.addr_recv.ip.to_canonical().is_unspecified());
    assert_ne!(theirs.addr_from.port, 4711);
    assert_ne!(
        theirs.addr_recv.port,
        peer.addr.port(),
        "not even the port dialled"
    );

    // The operator may opt in to services and height, and to nothing else.
    let mut open = node.clone();
    open.local_mut().tell_through_proxies = true;
    let _greeted = open.dial(&target, LIMIT).await.unwrap();
    let theirs = peer.last_seen().await.theirs;
    assert_eq!(
        (theirs.services, theirs.height),
        (Services::NETWORK, Height(3_000_000))
    );
    assert!(theirs.addr_from.ip.to_canonical().is_unspecified());
}

#[tokio::test]
async fn each_peer_has_credentials_of_its_own() {
    let (one, two) = (Peer::start(), Peer::start());
    let proxy = Proxy::start(names(&one)).await;
    let node = talkative(&proxy);
    for addr in [one.addr, two.addr, one.addr] {
        node.dial(&addr.to_string(), LIMIT).await.unwrap();
    }
    let asked = proxy.asked();
    let login = |at: usize| (asked[at].user.clone(), asked[at].password.clone());
    assert_ne!(login(0), login(1), "two peers never share a circuit");
    assert_eq!(login(0), login(2), "one peer keeps its own");

    let fixed = socks5(&format!("socks5h://me:it@{}", proxy.addr)).unwrap();
    let node = talkative(&proxy).through(Route::Socks5(fixed));
    node.dial(&one.addr.to_string(), LIMIT).await.unwrap();
    assert_eq!(
        (
            proxy.asked()[3].user.as_str(),
            proxy.asked()[3].password.as_str()
        ),
        ("me", "it")
    );
}

#[tokio::test]
async fn a_proxy_that_is_down_is_never_gone_around() {
    let mut peer = Peer::start();
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let node = Greeter::<Zcash>::new("testnet")
        .unwrap()
        .through(Route::Socks5(
            socks5(&format!("socks5h://{closed}")).unwrap(),
        ));
    let target = peer.addr.to_string();
    let error = node.dial(&target, LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Proxy);
    let error = node.dial_blocking(&target, LIMIT).unwrap_err();
    assert_eq!(error.kind(), Kind::Proxy, "a blocking dial refuses too");
    assert!(
        peer.seen.try_recv().is_err(),
        "the peer was there and saw nobody"
    );
    let direct = Greeter::<Zcash>::new("testnet").unwrap();
    direct.dial(&target, LIMIT).await.unwrap();
    peer.last_seen().await;
}

#[tokio::test]
async fn what_the_proxy_answers_becomes_a_reason() {
    let reach = |manner| async move {
        let proxy = Proxy::start(manner).await;
        let target = "192.0.2.1:8233".parse::<Target>().unwrap();
        proxy
            .connector()
            .connect(&target, Instant::now() + LIMIT)
            .await
            .unwrap_err()
    };
    type Row = (fn() -> ReplyError, ProxyAnswer, Kind);
    let rows: [Row; 6] = [
        (
            || ReplyError::GeneralFailure,
            ProxyAnswer::GeneralFailure,
            Kind::Unreachable,
        ),
        (
            || ReplyError::ConnectionNotAllowed,
            ProxyAnswer::NotAllowed,
            Kind::Proxy,
        ),
        (
            || ReplyError::NetworkUnreachable,
            ProxyAnswer::NetworkUnreachable,
            Kind::Unreachable,
        ),
        (
            || ReplyError::HostUnreachable,
            ProxyAnswer::HostUnreachable,
            Kind::Unreachable,
        ),
        (
            || ReplyError::ConnectionRefused,
            ProxyAnswer::ConnectionRefused,
            Kind::ConnectionRefused,
        ),
        (
            || ReplyError::TtlExpired,
            ProxyAnswer::TtlExpired,
            Kind::Timeout,
        ),
    ];
    for (reply, expected, kind) in rows {
        let error = reach(Manner::Refuses(reply)).await;
        assert_eq!(error.kind(), kind);
        assert!(matches!(error, ReachError::ByProxy { answer, .. } if answer == expected));
    }
    for (manner, expected) in [
        (Manner::Distrusts, ProxyProblem::Credentials),
        (Manner::NoWay, ProxyProblem::Authentication),
    ] {
        let error = reach(manner).await;
        assert_eq!(error.kind(), Kind::Proxy);
        assert!(
            matches!(error, ReachError::Proxy { problem, .. } if problem == expected),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_is_silent_or_no_proxy_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = socks5(&format!("socks5h://{}", silent.local_addr().unwrap())).unwrap();
    let target = "192.0.2.1:8233".parse::<Target>().unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let error = connector.connect(&target, soon).await.unwrap_err();
    assert!(matches!(
        error,
        ReachError::Proxy {
            problem: ProxyProblem::TimedOut,
            ..
        }
    ));

    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = socks5(&format!("socks5h://{}", other.local_addr().unwrap())).unwrap();
    let web = tokio::spawn(async move {
        let (mut client, _) = other.accept().await.unwrap();
        client.write_all(b"HTTP/1.1 400\r\n\r\n").await.unwrap();
    });
    let error = connector
        .connect(&target, Instant::now() + LIMIT)
        .await
        .unwrap_err();
    web.await.unwrap();
    let ReachError::Proxy { problem, .. } = error else {
        panic!("{error}")
    };
    assert!(
        matches!(problem, ProxyProblem::NotSocks5 | ProxyProblem::Closed),
        "{problem}: the answer is none, or the reset overtook it"
    );
}

#[tokio::test]
async fn a_probe_shows_the_peer_and_not_the_proxy() {
    let peer = Peer::start();
    let proxy = Proxy::start(names(&peer)).await;
    let setup = Setup {
        route: Route::Socks5(proxy.connector()),
        ..Setup::new("testnet")
    };
    let node = by_name("zcash").unwrap().node(&setup).unwrap();
    let target = format!("peer.invalid:{}", peer.addr.port());
    let probe = node
        .probe(
            &node.destination(&target).unwrap(),
            &ProbeOptions::default(),
        )
        .await;
    let facts = probe.verdict.unwrap();
    assert_eq!(facts.addr, target);
    assert_eq!(probe.stages[0].outcome, Outcome::Skipped);
    assert_eq!(probe.stages[0].note, "left to the proxy");
    assert!(probe.stages[1].note.contains(&proxy.addr.to_string()));
}

#[tokio::test]
async fn decred_is_told_as_little() {
    let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let addr = listener.local_endpoint().unwrap();
    let proxy = Proxy::start(Manner::Serves(BTreeMap::new())).await;
    let there = tokio::spawn(async move {
        let node = Greeter::<Decred>::new("simnet").unwrap();
        let connection = listener.accept().await.unwrap();
        node.greet(connection, AcceptAll, Instant::now() + LIMIT)
            .await
            .unwrap()
            .info()
            .clone()
    });
    let mut node = Greeter::<Decred>::new("simnet")
        .unwrap()
        .through(Route::Socks5(proxy.connector()));
    node.local_mut().services = Services::NETWORK;
    node.local_mut().tip.set(Some(Height(77)));
    let _greeted = node.dial(&addr.to_string(), LIMIT).await.unwrap();
    let theirs = there.await.unwrap().theirs;
    assert_eq!(
        (theirs.services, theirs.height),
        (Services::NONE, Height(0))
    );
    assert!(theirs.addr_recv.ip.is_unspecified() && theirs.addr_recv.port == 0);
    assert_eq!(theirs.time.0 % 300, 0);
}

#[tokio::test]
async fn ethereum_is_told_another_key_and_no_head() {
    let proxy = Proxy::start(Manner::Serves(BTreeMap::new())).await;
    let theirs = Greeter::<Ethereum>::new("mainnet").unwrap();
    let key = NodeKey::from_bytes([9; 32]).unwrap();
    let mut node = Greeter::<Ethereum>::new("mainnet").unwrap().with_key(&key);
    let local = node.local_mut();
    local.client_id = "talkative/v9".into();
    local.listen_port = 4711;
    let head = peerage::devp2p::Head {
        number: 24_500_000,
        time: 1_770_000_000,
    };
    let told = peerage::devp2p::Told {
        hash: [7; 32],
        earliest: 24_000_000,
        total_difficulty: 0.into(),
    };
    let told = Some(told);
    local.tip.set(Some(peerage::devp2p::Best { head, told }));
    let own = local.id();

    // What the peer sees of a node that dials it.
    let seen = async |node: &Greeter<Ethereum>| {
        let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let endpoint = listener.local_endpoint().unwrap();
        let to = Ethereum::found_at(theirs.local(), endpoint);
        let later = || Instant::now() + LIMIT;
        let (dialled, accepted) = tokio::join!(node.dial_to(&to, AcceptAll, later()), async {
            let connection = listener.accept().await.unwrap();
            theirs.greet(connection, AcceptAll, later()).await
        });
        dialled.unwrap();
        accepted.unwrap().info().clone()
    };
    let direct = seen(&node).await;
    let progress = |info: &EthereumInfo| info.chain.as_ref().unwrap().status.clone();
    assert_eq!(direct.id, own);
    assert_eq!(direct.hello.listen_port, 4711);
    assert_eq!(progress(&direct).fork_id.hash.0, [0x07, 0xc9, 0x46, 0x2e]);

    let mut proxied = node.through(Route::Socks5(proxy.connector()));
    let [one, two] = [seen(&proxied).await, seen(&proxied).await];
    assert_ne!(one.id, own, "the node is not known by its own key");
    assert_eq!(one.id, two.id, "but by one of its domain");
    assert_eq!(one.hello.id, one.id);
    assert_eq!(one.hello.listen_port, 0);
    assert_eq!(one.hello.client_id, "talkative/v9".into());
    let genesis = [0xfc, 0x64, 0xec, 0x04];
    assert_eq!(progress(&one).fork_id.hash.0, genesis, "EIP-2124's vector");
    assert_ne!(progress(&one).progress, progress(&direct).progress);

    // The operator may opt in to the head, and to nothing else.
    proxied.local_mut().tell_through_proxies = true;
    let open = seen(&proxied).await;
    assert_eq!(progress(&open), progress(&direct));
    assert_eq!((open.id, open.hello.listen_port), (one.id, 0));
    assert_eq!(proxy.asked().len(), 3);
}

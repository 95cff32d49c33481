//! Healthy peers: two nodes in one process, typed and untyped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerage::net::{Connection, LinkError};
use peerage::networks::{Setup, by_name};
use peerage::verack::policy::{AcceptAll, RequireServices};
use peerage::verack::{Dialect, HandshakeError, RemoteVersion, Services};
use peerage::{
    Blame, ConnectedAddr, Decred, DialError, Direction, Endpoint, Failure, Greeter, Kind, Stage,
    Zcash, decred, zcash,
};
use tokio::io::DuplexStream;

use crate::common::{LONG, bind, dials, every_option, family, greets_one, later, networks, node};

#[tokio::test]
async fn two_nodes_in_one_process_greet_each_other() {
    for (network, chain) in networks() {
        let of = |agent: &str| {
            let mut setup = Setup::new(chain);
            setup.options = every_option(network);
            let mut node = network.node(&setup).unwrap();
            node.set_agent(agent.into());
            Arc::from(node)
        };
        let (one, two) = (of("/one:1/"), of("/two:2/"));
        let (target, greeted) = greets_one(one);
        let mut ours = dials(&*two, &target).await.unwrap();
        let mut theirs = greeted.await.unwrap().unwrap();

        assert_eq!(ours.facts().agent, "/one:1/".into());
        assert_eq!(theirs.facts().agent, "/two:2/".into());
        assert_eq!(ours.facts().height, theirs.facts().height);
        assert_eq!(ours.facts().speaks(), theirs.facts().speaks());
        assert_eq!(ours.facts().brief(), theirs.facts().brief());
        assert_eq!(ours.facts().addr, target.target.to_string());
        assert_eq!(ours.facts().rtt, None, "nothing was measured yet");
        if let Some(ethereum) = ours.facts().ethereum() {
            assert_eq!(Some(ethereum.id), target.key, "whom we dialled");
        }

        let serves = tokio::spawn(async move { theirs.serve_pings().await });
        let rtt = ours.ping(LONG).await.unwrap();
        assert_eq!(ours.facts().rtt, Some(rtt));
        drop(ours);
        let end = serves.await.unwrap();
        assert_eq!(
            (end.kind, end.stage),
            (Kind::Closed, Stage::Keep("receive"))
        );
        assert!(end.advice().contains("left"), "{}", end.advice());
    }
}

#[tokio::test]
async fn peers_of_the_version_family_know_each_others_claims() {
    for (network, chain) in family() {
        let of = |height| {
            let mut setup = Setup::new(chain);
            setup.options.height = Some(height);
            node(network, &setup)
        };
        let (target, greeted) = greets_one(of(1));
        let ours = dials(&*of(2), &target).await.unwrap();
        let theirs = greeted.await.unwrap().unwrap();
        let heights = (ours.facts().height, theirs.facts().height);
        assert_eq!(heights, (Some(1), Some(2)));
        let version = ours.facts().version().unwrap();
        assert_eq!(version.protocol_version, version.negotiated);
        assert_eq!(ours.facts().speaks(), version.negotiated.to_string());
        assert_eq!(ours.facts().ethereum(), None);
    }
}

/// What either side of two chains of one network learns, the dialling one first. In the family who
/// was dialled speaks second, and hangs up instead; on Ethereum it speaks first, and hears why the
/// other leaves.
const APART: [(&str, [Kind; 2]); 3] = [
    ("zcash", [Kind::Closed, Kind::WrongNetwork]),
    ("decred", [Kind::Closed, Kind::WrongNetwork]),
    ("ethereum", [Kind::WrongNetwork, Kind::Refused]),
];

#[tokio::test]
async fn nodes_of_two_chains_tell_each_other_apart() {
    assert_eq!(APART.len(), networks().len());
    for (name, expected) in APART {
        let (network, chain) = (by_name(name).unwrap(), "mainnet");
        let other = &network.chains(&peerage::Tables::builtin()).unwrap()[1].name;
        let (target, greeted) = greets_one(node(network, &Setup::new(other)));
        let ours = node(network, &Setup::new(chain));
        let dialled = dials(&*ours, &target).await.map(drop).unwrap_err();
        let accepted = greeted.await.unwrap().map(drop).unwrap_err();
        assert_eq!([dialled.kind, accepted.kind], expected, "{dialled}");
    }
}

/// What either side learns: who dials, who is dialled, and what each of the two makes of it.
const STRANGERS: [(&str, &str, [Kind; 2]); 6] = [
    ("zcash", "decred", [Kind::Closed, Kind::WrongNetwork]),
    ("decred", "zcash", [Kind::Closed, Kind::WrongNetwork]),
    // RLPx is unlike the family, which only sees that it is not its own.
    ("ethereum", "zcash", [Kind::Closed, Kind::NotThisProtocol]),
    ("ethereum", "decred", [Kind::Closed, Kind::NotThisProtocol]),
    ("zcash", "ethereum", [Kind::Closed, Kind::NotThisProtocol]),
    ("decred", "ethereum", [Kind::Closed, Kind::NotThisProtocol]),
];

#[tokio::test]
async fn nodes_of_two_networks_tell_each_other_apart() {
    let keyed = node(by_name("ethereum").unwrap(), &Setup::new("mainnet"));
    for (from, to, expected) in STRANGERS {
        let [from, to] =
            [from, to].map(|name| node(by_name(name).unwrap(), &Setup::new("mainnet")));
        let (mut target, greeted) = greets_one(Arc::clone(&to));
        // Whoever needs a key to dial has got a wrong address with one.
        target.key = keyed
            .found_at("192.0.2.1:1".parse::<SocketAddr>().unwrap().into())
            .key;
        let dialled = dials(&*from, &target).await.map(drop).unwrap_err();
        let accepted = greeted.await.unwrap().map(drop).unwrap_err();
        let what = format!("{} {}: {dialled}; {accepted}", from.network(), to.network());
        assert_eq!([dialled.kind, accepted.kind], expected, "{what}");
    }
}

#[tokio::test]
async fn the_family_names_the_network_of_a_stranger() {
    let [zcash, decred] = ["zcash", "decred"].map(|name| by_name(name).unwrap());
    let (target, greeted) = greets_one(node(zcash, &Setup::new("mainnet")));
    let ours = node(decred, &Setup::new("mainnet"));
    drop(dials(&*ours, &target).await);
    let accepted = greeted.await.unwrap().map(drop).unwrap_err();
    assert!(accepted.message.contains("decred mainnet"), "{accepted}");
}

#[tokio::test]
async fn where_peers_have_keys_nobody_is_dialled_without_one() {
    let ethereum = by_name("ethereum").unwrap();
    let (mut target, greeted) = greets_one(node(ethereum, &Setup::new("hoodi")));
    target.key = None;
    let ours = node(ethereum, &Setup::new("hoodi"));
    let reason = dials(&*ours, &target).await.map(drop).unwrap_err();
    assert_eq!((reason.kind, reason.blame), (Kind::Usage, Blame::Caller));
    assert!(reason.message.contains("key"), "{reason}");
    let accepted = greeted.await.unwrap().map(drop).unwrap_err();
    assert_eq!(accepted.kind, Kind::Closed, "it is told nothing");
}

/// Both ends of a pipe as direct connections.
fn pipe() -> [Connection<DuplexStream>; 2] {
    let (near, far) = tokio::io::duplex(4096);
    let addr: Endpoint = "192.0.2.1:8233"
        .parse::<std::net::SocketAddr>()
        .unwrap()
        .into();
    let connection = |io, addr| Connection {
        io,
        addr,
        resolved_in: None,
        reached_in: Duration::ZERO,
    };
    [
        connection(near, ConnectedAddr::OutboundDirect { addr }),
        connection(far, ConnectedAddr::InboundDirect { addr }),
    ]
}

#[tokio::test(start_paused = true)]
async fn typed_messages_go_both_ways_and_no_type_is_lost() {
    let (one, two) = (zcash_node(), zcash_node());
    let [near, far] = pipe();
    let (near, far) = tokio::join!(
        one.greet(near, AcceptAll, later()),
        two.greet(far, AcceptAll, later())
    );
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.info().addr.direction(), Direction::Outbound);
    assert_eq!(far.info().theirs, near.info().ours);
    near.send(&zcash::Message::GetAddr).await.unwrap();
    assert_eq!(far.recv().await.unwrap(), zcash::Message::GetAddr);
    let addrs = zcash::Message::Addr(vec![]);
    far.send(&addrs).await.unwrap();
    assert_eq!(near.recv().await.unwrap(), addrs);
    let (rtt, served) = tokio::join!(near.ping(LONG), async {
        let ping = far.recv().await.unwrap();
        let zcash::Message::Ping(nonce) = ping else {
            panic!("{ping:?}");
        };
        far.send(&zcash::Message::Pong(nonce)).await
    });
    served.unwrap();
    rtt.unwrap();
    drop(far);
    let error = near.recv().await.unwrap_err();
    assert!(matches!(error, LinkError::Closed { .. }));
}

fn zcash_node() -> Greeter<Zcash> {
    Greeter::new("mainnet").unwrap()
}

#[tokio::test]
async fn one_call_dials_and_greets() {
    let node = Greeter::<Decred>::new("simnet").unwrap();
    let (listener, target) = bind();
    let target = target.to_string();
    let accepts = async {
        let connection = listener.accept().await.unwrap();
        node.greet(connection, AcceptAll, later()).await
    };
    let other = Greeter::<Decred>::new("simnet").unwrap();
    let (dialled, accepted) = tokio::join!(other.dial(&target, LONG), accepts);
    let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    dialled.send(&decred::Message::GetAddr).await.unwrap();
    assert_eq!(accepted.recv().await.unwrap(), decred::Message::GetAddr);
    // The longest limit there is means no limit.
    let serves = tokio::spawn(async move { accepted.link_mut().serve_pings(drop).await });
    dialled.ping(Duration::MAX).await.unwrap();
    serves.abort();
}

#[tokio::test]
async fn a_dial_fails_at_the_stage_where_it_fails() {
    let node = zcash_node();
    for (target, stage, kind) in [
        ("", Stage::Input, Kind::Usage),
        ("host:0", Stage::Input, Kind::Usage),
        ("256.1.1.1", Stage::Input, Kind::Usage),
    ] {
        let error = node.dial(target, LONG).await.unwrap_err();
        assert_eq!((error.stage(), error.kind()), (stage, kind), "{target}");
        assert!(matches!(error, DialError::Address(_)));
    }
    let (listener, target) = bind();
    let hangs_up = async { drop(listener.accept().await.unwrap()) };
    let target = target.to_string();
    let (dialled, ()) = tokio::join!(node.dial(&target, LONG), hangs_up);
    let error = dialled.unwrap_err();
    assert!(matches!(
        error,
        DialError::Greet(HandshakeError::Closed { .. })
    ));
    assert_eq!(error.kind(), Kind::Closed);
}

/// What the policy of a node that is dialled makes of a peer, and what the peer sees.
async fn judged<P: peerage::verack::Policy<peerage::verack::RemoteVersion>>(
    policy: P,
) -> (HandshakeError<P::Rejection>, HandshakeError)
where
    P::Rejection: PartialEq + Clone,
{
    let (one, two) = (zcash_node(), zcash_node());
    let [near, far] = pipe();
    let (near, far) = tokio::join!(one.greet(near, policy, later()), async {
        two.greet(far, AcceptAll, later()).await.map(drop)
    });
    (near.map(drop).unwrap_err(), far.unwrap_err())
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_the_callers_own_type_may_refuse() {
    let services = Services::NETWORK;
    let (error, theirs) = judged(RequireServices { services }).await;
    assert_eq!(error.kind(), Kind::Rejected);
    let HandshakeError::Rejected(missing) = error else {
        panic!("{error}");
    };
    assert_eq!(missing.required, services);
    assert_eq!(theirs.kind(), Kind::Closed);

    let (error, _) = judged(|remote: &RemoteVersion| {
        assert_eq!(remote.direction(), Direction::Outbound);
        Err("not today")
    })
    .await;
    assert_eq!(error, HandshakeError::Rejected("not today"));
    assert_eq!(error.blame(), peerage::Blame::Us);
}

#[tokio::test(start_paused = true)]
async fn a_clone_is_the_same_node_and_its_tip_is_shared() {
    let node = zcash_node();
    let minimum = node.local().minimum_version();
    node.clone()
        .local()
        .tip
        .set(Some(peerage::verack::Height(4_000_000)));
    assert!(node.local().minimum_version() > minimum, "NU6.3 is active");
    assert_eq!(<Zcash as Dialect>::NETWORK.0, "zcash");
}

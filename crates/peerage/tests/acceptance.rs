//! A probe gives every broken peer its own right reason, and tells which stages went well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use peerage::faults::Fault;
use peerage::net::{Connector, Direct};
use peerage::networks::{AnyNode, NETWORKS, Setup};
use peerage::{Blame, Destination, Kind, Outcome, Probe, Retry, Stage};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::common::{LONG, dials, faulty, networks, node, probe, serves_one};

/// How long to wait for peers that never say a word: time enough to connect.
const SILENCE: Duration = Duration::from_secs(1);

const STAGES: [&str; 5] = ["resolve", "reach", "version", "verack", "ping"];

/// A port that is taken, so that nobody else gets it, but where nothing listens.
fn closed_port() -> (TcpSocket, Destination) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = peerage::Endpoint::from(socket.local_addr().unwrap()).into();
    (socket, target)
}

/// What a probe of each broken peer comes to: a closed port, then every fault.
async fn broken_peers(node: &Arc<dyn AnyNode>) -> Vec<(&'static str, Kind, &'static str, Probe)> {
    let (_socket, closed) = closed_port();
    let mut cases = vec![(
        "closed port",
        Kind::ConnectionRefused,
        "reach",
        closed,
        LONG,
    )];
    for &fault in node.faults() {
        let (stage, limit) = match fault {
            Fault::Silent => ("version", SILENCE),
            Fault::Flooding => ("verack", LONG),
            Fault::Obsolete | Fault::WrongNetwork | Fault::Garbage | Fault::Closing => {
                ("version", LONG)
            }
        };
        let target = faulty(node, fault);
        cases.push((fault.name(), fault.expected(), stage, target, limit));
    }
    let mut probes = JoinSet::new();
    for (name, kind, stage, target, limit) in cases {
        let node = Arc::clone(node);
        probes.spawn(async move { (name, kind, stage, probe(&*node, &target, limit).await) });
    }
    probes.join_all().await
}

/// What is ok stands before what failed; what comes after was not reached.
fn assert_stages(what: &str, probe: &Probe, failed_at: &str) {
    let names: Vec<_> = probe.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(names, STAGES, "{what}");
    let at = STAGES.iter().position(|name| *name == failed_at).unwrap();
    let reason = probe.verdict.as_ref().unwrap_err();
    for (index, stage) in probe.stages.iter().enumerate() {
        let expected = match index.cmp(&at) {
            std::cmp::Ordering::Less if index == 0 => Outcome::Skipped,
            std::cmp::Ordering::Less => Outcome::Ok,
            std::cmp::Ordering::Equal => Outcome::Failed,
            std::cmp::Ordering::Greater => Outcome::NotReached,
        };
        assert_eq!(stage.outcome, expected, "{what}: {}", stage.stage);
        let timed = matches!(expected, Outcome::Ok | Outcome::Failed);
        assert_eq!(stage.took.is_some(), timed, "{what}: {}", stage.stage);
        let noted = expected == Outcome::Failed && stage.note == *reason.message;
        assert_eq!(noted, index == at, "{what}: {}", stage.stage);
    }
}

#[tokio::test]
async fn seven_ways_to_be_broken_are_seven_different_reasons() {
    for (network, chain) in networks() {
        let node = node(network, &Setup::new(chain));
        let mut kinds = BTreeSet::new();
        for (name, kind, stage, probe) in broken_peers(&node).await {
            let what = format!("{} {name}", network.network());
            let reason = probe.verdict.as_ref().unwrap_err();
            assert_eq!(reason.kind, kind, "{what}: {reason}");
            assert_eq!(reason.stage.name(), stage, "{what}: {reason}");
            assert_eq!(reason.blame, Blame::Them, "{what}: {reason}");
            assert!(!reason.advice().is_empty(), "{what}");
            assert!(!reason.message.is_empty(), "{what}");
            assert_ne!(reason.retry, Retry::Now, "{what}: nothing would change");
            assert!(probe.facts.is_none(), "{what}: it was never greeted");
            assert_stages(&what, &probe, stage);
            kinds.insert(reason.kind);
        }
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        assert!(!kinds.contains(&Kind::Bug) && !kinds.contains(&Kind::Transport));
    }
}

#[tokio::test]
async fn the_advice_for_each_of_the_seven_is_its_own() {
    let expected = Fault::ALL.iter().map(|fault| fault.expected());
    let kinds = expected.chain([Kind::ConnectionRefused]);
    let advice: BTreeSet<_> = kinds.map(Kind::advice).collect();
    assert_eq!(advice.len(), 7);
    let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    let words: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.in_words()).collect();
    assert_eq!(words.len(), Fault::ALL.len());
    assert!(words.iter().all(|words| words.len() <= 22), "{words:?}");
}

/// The faults that need no waiting.
fn quick(node: &Arc<dyn AnyNode>) -> impl Iterator<Item = Fault> + use<> {
    let faults = node.faults().iter().copied();
    faults.filter(|fault| *fault != Fault::Silent)
}

#[tokio::test]
async fn every_fault_is_told_apart_on_every_chain() {
    for network in NETWORKS {
        for chain in network.chains(&peerage::Tables::builtin()).unwrap() {
            let node = node(*network, &Setup::new(&chain.name));
            for fault in quick(&node) {
                let target = faulty(&node, fault);
                let reason = dials(&*node, &target).await.map(drop).unwrap_err();
                let what = format!("{} {}: {reason}", network.network(), chain.name);
                assert_eq!(reason.kind, fault.expected(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_fault_that_dials_us_is_told_apart_as_well() {
    for (network, chain) in networks() {
        let node = node(network, &Setup::new(chain));
        for fault in quick(&node) {
            let (to, greeted) = crate::common::greets_one(Arc::clone(&node));
            let later = crate::common::later();
            let connection = Direct.connect(&to.target, later).await.unwrap();
            let (greeted, ()) = tokio::join!(greeted, node.misbehave(fault, connection, later));
            let reason = greeted.unwrap().map(drop).unwrap_err();
            assert_eq!(reason.kind, fault.expected(), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_resets_the_connection_has_closed_it() {
    for (network, chain) in networks() {
        let node = node(network, &Setup::new(chain));
        let (listener, endpoint) = crate::common::bind();
        let target = node.found_at(endpoint);
        let resets = async {
            let connection = listener.accept().await.unwrap();
            connection.io.set_zero_linger().unwrap();
        };
        let (probe, ()) = tokio::join!(probe(&*node, &target, LONG), resets);
        // Whether the reset is seen while connecting or afterwards is a matter of speed.
        let reason = probe.verdict.unwrap_err();
        assert_eq!(reason.kind, Kind::Closed, "{reason}");
        assert!(matches!(
            reason.stage,
            Stage::Reach | Stage::Greet("version")
        ));
    }
}

#[tokio::test]
async fn a_good_peer_passes_every_stage() {
    for (network, chain) in networks() {
        let mut setup = Setup::new(chain);
        setup.options.services = Some(1);
        setup.options.height = Some(1234);
        let mut theirs = network.node(&setup).unwrap();
        theirs.set_agent("/theirs:1/".into());
        let (target, served) = serves_one(theirs.into());
        let ours = node(network, &Setup::new(chain));
        let probe = probe(&*ours, &target, LONG).await;
        let facts = probe.verdict.as_ref().unwrap();
        let outcomes: Vec<_> = probe.stages.iter().map(|stage| stage.outcome).collect();
        assert_eq!(outcomes[0], Outcome::Skipped, "a literal address");
        assert_eq!(probe.stages[0].note, "literal address");
        assert_eq!(probe.stages[0].took, None);
        assert_eq!(outcomes[1..], [Outcome::Ok; 4]);
        assert!(probe.stages[1..].iter().all(|stage| stage.took.is_some()));
        let sum: Duration = probe.stages.iter().filter_map(|stage| stage.took).sum();
        assert!(sum <= probe.took, "no moment counts twice");
        assert!(facts.rtt.is_some());
        assert_eq!(facts.rtt, probe.stages[4].took);
        assert_eq!(facts.agent, "/theirs:1/".into());
        let version = facts.version().unwrap();
        assert_eq!((version.services, facts.height), (1, Some(1234)));
        assert_eq!(version.services_shown, "NODE_NETWORK");
        assert_eq!(facts.addr, target.target.to_string());
        assert_eq!((facts.dropped, facts.early), (0, 0));
        assert_eq!(probe.facts.as_ref(), Some(facts));
        let end = served.await.unwrap();
        assert_eq!(end.kind, Kind::Closed, "a probe hangs up when it is done");
    }
}

#[tokio::test]
async fn the_other_chain_is_named_and_a_web_server_is_recognised() {
    for (network, chain) in networks() {
        let node = node(network, &Setup::new(chain));
        let other = &network.chains(&peerage::Tables::builtin()).unwrap()[1].name;
        let target = faulty(&node, Fault::WrongNetwork);
        let reason = dials(&*node, &target).await.map(drop).unwrap_err();
        let named = format!("{} {other}", network.network());
        assert!(reason.message.contains(&named), "{reason}");
        let detail: Vec<_> = reason.detail.iter().map(|(_, v)| v.to_string()).collect();
        assert_eq!(detail, [network.network().0, other]);

        let target = faulty(&node, Fault::Garbage);
        let reason = dials(&*node, &target).await.map(drop).unwrap_err();
        assert!(reason.message.contains("an HTTP server"), "{reason}");
    }
}

//! A probe gives every broken peer its own right reason, and tells which stages went well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use peerage::devp2p::fork::Activation;
use peerage::faults::Fault;
use peerage::net::{Connector, Direct};
use peerage::networks::{AnyNetwork, AnyNode, Head, NETWORKS, PeerFacts, Setup, by_name};
use peerage::{Blame, Destination, Kind, Outcome, Probe, Retry, Stage};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::common::{
    LONG, dials, eth, every_option, family, faulty, networks, node, probe, serves_one, two_nodes,
};

/// How long to wait for peers that never say a word: time enough to connect.
const SILENCE: Duration = Duration::from_secs(1);

/// Where each fault of a network must show.
struct Expected {
    networks: &'static [&'static str],
    stages: &'static [&'static str],
    faults: &'static [(Fault, &'static str)],
}

const EXPECTED: [Expected; 2] = [
    Expected {
        networks: &["zcash", "decred"],
        stages: &["resolve", "reach", "version", "verack", "ping"],
        faults: &[
            (Fault::Silent, "version"),
            (Fault::Obsolete, "version"),
            (Fault::WrongNetwork, "version"),
            (Fault::Flooding, "verack"),
            (Fault::Garbage, "version"),
            (Fault::Closing, "version"),
        ],
    },
    Expected {
        networks: &["ethereum"],
        stages: &["dns", "tcp", "rlpx", "hello", "status", "ping"],
        faults: &[
            (Fault::Silent, "rlpx"),
            (Fault::Garbage, "rlpx"),
            (Fault::Closing, "rlpx"),
            (Fault::Full, "hello"),
            (Fault::WrongIdentity, "hello"),
            (Fault::Flooding, "status"),
            (Fault::WrongNetwork, "status"),
            (Fault::WrongGenesis, "status"),
            (Fault::WrongFork, "status"),
            (Fault::Obsolete, "status"),
        ],
    },
];

impl Expected {
    fn of(network: &dyn AnyNetwork) -> &'static Self {
        let name = network.network().0;
        let mut all = EXPECTED.iter();
        all.find(|expected| expected.networks.contains(&name))
            .unwrap()
    }

    /// The row of a probe that a stage is: the first two have names of the network's own.
    fn row(&self, stage: Stage) -> &'static str {
        let own = [Stage::Resolve, Stage::Reach];
        let index = own.iter().position(|first| *first == stage);
        index.map_or_else(|| stage.name(), |index| self.stages[index])
    }
}

/// A port that is taken, so that nobody else gets it, but where nothing listens.
fn closed_port(node: &Arc<dyn AnyNode>) -> (TcpSocket, Destination) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = node.found_at(socket.local_addr().unwrap().into());
    (socket, target)
}

/// What a probe of each broken peer comes to: a closed port, then every fault.
async fn broken_peers(
    network: &dyn AnyNetwork,
    chain: &str,
    expected: &Expected,
) -> Vec<(&'static str, Kind, &'static str, Probe)> {
    let [ours, theirs] = two_nodes(network, &Setup::new(chain));
    let (_socket, closed) = closed_port(&theirs);
    let reach = expected.stages[1];
    let mut cases = vec![("closed port", Kind::ConnectionRefused, reach, closed, LONG)];
    for (fault, stage) in expected.faults {
        let limit = if *fault == Fault::Silent {
            SILENCE
        } else {
            LONG
        };
        let target = faulty(&theirs, *fault);
        cases.push((fault.name(), fault.expected(), *stage, target, limit));
    }
    let mut probes = JoinSet::new();
    for (name, kind, stage, target, limit) in cases {
        let ours = Arc::clone(&ours);
        probes.spawn(async move { (name, kind, stage, probe(&*ours, &target, limit).await) });
    }
    probes.join_all().await
}

/// What is ok stands before what failed; what comes after was not reached.
fn assert_stages(what: &str, probe: &Probe, stages: &[&str], failed_at: &str) {
    let names: Vec<_> = probe.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(names, stages, "{what}");
    let at = stages.iter().position(|name| *name == failed_at).unwrap();
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
async fn every_way_to_be_broken_is_a_reason_of_its_own_at_its_own_stage() {
    for (network, chain) in networks() {
        let expected = Expected::of(network);
        let mut kinds = BTreeSet::new();
        for (name, kind, stage, probe) in broken_peers(network, chain, expected).await {
            let what = format!("{} {name}", network.network());
            let reason = probe.verdict.as_ref().unwrap_err();
            assert_eq!(reason.kind, kind, "{what}: {reason}");
            assert_eq!(expected.row(reason.stage), stage, "{what}: {reason}");
            assert_eq!(reason.blame, Blame::Them, "{what}: {reason}");
            assert!(!reason.advice().is_empty(), "{what}");
            assert!(!reason.message.is_empty(), "{what}");
            assert_ne!(reason.retry, Retry::Now, "{what}: nothing would change");
            assert!(probe.facts.is_none(), "{what}: it was never greeted");
            assert_stages(&what, &probe, expected.stages, stage);
            kinds.insert(reason.kind);
        }
        assert_eq!(kinds.len(), 1 + expected.faults.len(), "{kinds:?}");
        assert!(!kinds.contains(&Kind::Bug) && !kinds.contains(&Kind::Transport));
    }
}

#[test]
fn every_fault_of_every_network_is_expected_somewhere() {
    let mut everywhere = BTreeSet::new();
    for (network, chain) in networks() {
        let has = node(network, &Setup::new(chain)).faults().iter().copied();
        let expected = Expected::of(network).faults.iter().map(|(fault, _)| *fault);
        let has: BTreeSet<_> = has.collect();
        assert_eq!(has, expected.collect(), "{}", network.network());
        everywhere.extend(has);
    }
    assert!(Fault::ALL.iter().all(|fault| everywhere.contains(fault)));
}

#[tokio::test]
async fn the_advice_for_each_is_its_own() {
    let expected = Fault::ALL.iter().map(|fault| fault.expected());
    let kinds = expected.chain([Kind::ConnectionRefused]);
    let advice: BTreeSet<_> = kinds.map(Kind::advice).collect();
    assert_eq!(advice.len(), 1 + Fault::ALL.len());
    let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    let words: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.in_words()).collect();
    assert_eq!(words.len(), Fault::ALL.len());
    assert!(words.iter().all(|words| words.len() <= 20), "{words:?}");
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
            let [ours, theirs] = two_nodes(*network, &Setup::new(&chain.name));
            for fault in quick(&theirs) {
                let target = faulty(&theirs, fault);
                let reason = dials(&*ours, &target).await.map(drop).unwrap_err();
                let what = format!("{} {}: {reason}", network.network(), chain.name);
                assert_eq!(reason.kind, fault.expected(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn every_fault_is_told_apart_whatever_version_of_eth_is_spoken() {
    for version in 68..=72 {
        let mut setup = Setup::new("mainnet");
        setup.options.capabilities = vec![eth(version)];
        let [ours, theirs] = two_nodes(by_name("ethereum").unwrap(), &setup);
        for fault in quick(&theirs) {
            let target = faulty(&theirs, fault);
            let reason = dials(&*ours, &target).await.map(drop).unwrap_err();
            assert_eq!(reason.kind, fault.expected(), "eth/{version}: {reason}");
        }
    }
}

#[tokio::test]
async fn every_fault_is_told_apart_before_the_first_fork_and_between_forks() {
    let ethereum = by_name("ethereum").unwrap();
    for chain in &peerage::devp2p::Table::builtin().chains {
        let block = chain.schedule.last_block();
        let forks = chain.schedule.forks().iter().map(|fork| fork.at);
        let times = forks.filter_map(|at| match at {
            Activation::Block(_) => None,
            Activation::Time(time) => Some(time),
        });
        for (number, time) in [(0, 0), (block + 1, times.min().unwrap())] {
            let mut setup = Setup::new(chain.name.as_str());
            let time = Some(time);
            setup.options.head = Some(Head { number, time });
            let [ours, theirs] = two_nodes(ethereum, &setup);
            for fault in quick(&theirs) {
                let target = faulty(&theirs, fault);
                let reason = dials(&*ours, &target).await.map(drop).unwrap_err();
                let what = format!("{} at block {number}: {reason}", chain.name);
                assert_eq!(reason.kind, fault.expected(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_fault_that_dials_us_is_told_apart_as_well() {
    for (network, chain) in networks() {
        let [ours, theirs] = two_nodes(network, &Setup::new(chain));
        for fault in quick(&theirs) {
            let (to, greeted) = crate::common::greets_one(Arc::clone(&ours));
            // Who has to know our key does not know it, and gives up.
            let in_cipher = to.key.is_some() && fault != Fault::Garbage;
            let expected = if in_cipher {
                Kind::Closed
            } else {
                fault.expected()
            };
            let later = crate::common::later();
            let connection = Direct.connect(&to.target, later).await.unwrap();
            let (greeted, ()) = tokio::join!(greeted, theirs.misbehave(fault, connection, later));
            let reason = greeted.unwrap().map(drop).unwrap_err();
            assert_eq!(reason.kind, expected, "{} {fault:?}", network.network());
        }
    }
}

#[tokio::test]
async fn a_peer_that_resets_the_connection_has_closed_it() {
    for (network, chain) in networks() {
        let [ours, theirs] = two_nodes(network, &Setup::new(chain));
        let (listener, endpoint) = crate::common::bind();
        let target = theirs.found_at(endpoint);
        let resets = async {
            let connection = listener.accept().await.unwrap();
            connection.io.set_zero_linger().unwrap();
        };
        let (probe, ()) = tokio::join!(probe(&*ours, &target, LONG), resets);
        // Whether the reset is seen while connecting or afterwards is a matter of speed.
        let reason = probe.verdict.unwrap_err();
        assert_eq!(reason.kind, Kind::Closed, "{reason}");
        let expected = Expected::of(network);
        let row = expected.row(reason.stage);
        assert!(expected.stages[1..3].contains(&row), "{reason}");
    }
}

#[tokio::test]
async fn a_good_peer_passes_every_stage() {
    for (network, chain) in networks() {
        let mut setup = Setup::new(chain);
        setup.options = every_option(network);
        let mut theirs = network.node(&setup).unwrap();
        theirs.set_agent("/theirs:1/".into());
        let (target, served) = serves_one(theirs.into());
        let ours = node(network, &Setup::new(chain));
        let probe = probe(&*ours, &target, LONG).await;
        let facts = probe.verdict.as_ref().unwrap();
        let names: Vec<_> = probe.stages.iter().map(|stage| stage.stage).collect();
        assert_eq!(names, Expected::of(network).stages);
        let outcomes: Vec<_> = probe.stages.iter().map(|stage| stage.outcome).collect();
        assert_eq!(outcomes[0], Outcome::Skipped, "a literal address");
        assert_eq!(probe.stages[0].note, "literal address");
        assert_eq!(probe.stages[0].took, None);
        assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Ok));
        assert!(probe.stages[1..].iter().all(|stage| stage.took.is_some()));
        let sum: Duration = probe.stages.iter().filter_map(|stage| stage.took).sum();
        assert!(sum <= probe.took, "no moment counts twice");
        assert!(facts.rtt.is_some());
        assert_eq!(facts.rtt, probe.stages.last().unwrap().took);
        assert_eq!(facts.agent, "/theirs:1/".into());
        assert_claims(facts);
        assert_eq!(facts.addr, target.target.to_string());
        assert_eq!((facts.dropped, facts.early), (0, 0));
        assert_eq!(probe.facts.as_ref(), Some(facts));
        let end = served.await.unwrap();
        assert_eq!(end.kind, Kind::Closed, "a probe hangs up when it is done");
    }
}

/// What a peer of [`every_option`] must be known for.
fn assert_claims(facts: &PeerFacts) {
    if let Some(version) = facts.version() {
        assert_eq!((version.services, facts.height), (1, Some(1234)));
        assert_eq!(version.services_shown, "NODE_NETWORK");
    }
    if let Some(ethereum) = facts.ethereum() {
        let chain = ethereum.chain.as_ref().unwrap();
        assert_eq!((chain.eth_version, chain.network_id), (69, 1));
        assert_eq!((&*chain.fork, chain.relation), ("bpo2", "same"));
        assert_eq!(facts.speaks(), "eth/69");
        // The head is chosen to judge by; nobody claims a block that it does not have.
        assert_eq!((facts.height, chain.earliest), (Some(0), Some(0)));
    }
    assert_eq!(
        facts.stands(),
        if facts.version().is_some() {
            "1234"
        } else {
            "bpo2"
        }
    );
    let names = facts.fields().into_iter().map(|(name, _)| name);
    let names: Vec<_> = names.collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
}

#[tokio::test]
async fn the_other_chain_is_named_in_the_version_family() {
    for (network, chain) in family() {
        let node = node(network, &Setup::new(chain));
        let other = &network.chains(&peerage::Tables::builtin()).unwrap()[1].name;
        let target = faulty(&node, Fault::WrongNetwork);
        let reason = dials(&*node, &target).await.map(drop).unwrap_err();
        let named = format!("{} {other}", network.network());
        assert!(reason.message.contains(&named), "{reason}");
        let detail: Vec<_> = reason.detail.iter().map(|(_, v)| v.to_string()).collect();
        assert_eq!(detail, [network.network().0, other]);
    }
}

#[tokio::test]
async fn a_web_server_is_recognised_in_the_version_family() {
    for (network, chain) in family() {
        let node = node(network, &Setup::new(chain));
        let target = faulty(&node, Fault::Garbage);
        let reason = dials(&*node, &target).await.map(drop).unwrap_err();
        assert!(reason.message.contains("an HTTP server"), "{reason}");
    }
}

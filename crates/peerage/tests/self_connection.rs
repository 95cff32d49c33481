//! A node that reaches itself.

use std::sync::Arc;

use peerage::networks::{AnyNetwork, Setup, by_name};
use peerage::{Blame, Kind, NodeKey, Reason, Retry};

use crate::common::{LONG, dials, family, folder, greets_one, networks, node, probe};

/// What the dialling and the listening side make of a connection between nodes of these setups.
async fn met(network: &dyn AnyNetwork, dialler: &Setup, listener: &Setup) -> [Option<Reason>; 2] {
    let (target, greeted) = greets_one(node(network, listener));
    let dialled = dials(&*node(network, dialler), &target).await;
    [dialled.err(), greeted.await.unwrap().err()]
}

fn with_key(key: &NodeKey) -> Setup {
    Setup {
        key: Some(key.clone()),
        ..Setup::new("mainnet")
    }
}

fn kinds(reasons: &[Option<Reason>; 2]) -> [Option<Kind>; 2] {
    reasons
        .each_ref()
        .map(|reason| reason.as_ref().map(|r| r.kind))
}

/// What either side knows, the dialling one first. Who is dialled on Zcash says its version; on
/// Decred it says nothing, so who dialled only sees the end of the stream. On Ethereum who dials
/// knows whom before it says a word.
const RECOGNISED: [(&str, [Kind; 2]); 3] = [
    ("zcash", [Kind::SelfConnection, Kind::SelfConnection]),
    ("decred", [Kind::Closed, Kind::SelfConnection]),
    ("ethereum", [Kind::SelfConnection, Kind::Closed]),
];

fn recognised(network: &dyn AnyNetwork) -> [Option<Kind>; 2] {
    let mut rows = RECOGNISED.iter();
    let (_, kinds) = rows.find(|(name, _)| *name == network.network().0).unwrap();
    kinds.map(Some)
}

#[tokio::test]
async fn a_node_that_dials_itself_recognises_itself() {
    for (network, chain) in networks() {
        let node = node(network, &Setup::new(chain));
        let (target, greeted) = greets_one(Arc::clone(&node));
        let dialled = dials(&*node, &target).await.err();
        let reasons = [dialled, greeted.await.unwrap().err()];
        assert_eq!(kinds(&reasons), recognised(network));
        let knows = |reason: &&Reason| reason.kind == Kind::SelfConnection;
        for reason in reasons.iter().flatten().filter(knows) {
            assert_eq!(reason.blame, Blame::Us);
            assert_eq!(reason.retry, Retry::Never);
            assert!(["version", "rlpx"].contains(&reason.stage.name()));
        }
    }
}

#[tokio::test]
async fn a_probe_of_ourselves_says_so_where_the_dialling_end_can_know() {
    for name in ["zcash", "ethereum"] {
        let network = by_name(name).unwrap();
        let node = node(network, &Setup::new("mainnet"));
        let (target, _greeted) = greets_one(Arc::clone(&node));
        let reason = probe(&*node, &target, LONG).await.verdict.unwrap_err();
        assert_eq!(reason.kind, Kind::SelfConnection);
        assert!(reason.advice().contains("our own"));
    }
}

#[tokio::test]
async fn two_processes_with_one_key_are_one_node() {
    let file = folder("one_key").join("node.key");
    NodeKey::generate().write_new(&file).unwrap();
    for (network, _) in networks() {
        // Each reads the file for itself.
        let [one, two] = [(); 2].map(|()| with_key(&NodeKey::read(&file).unwrap()));
        let reasons = met(network, &one, &two).await;
        assert_eq!(kinds(&reasons), recognised(network));
    }
}

#[tokio::test]
async fn nodes_with_keys_of_their_own_are_strangers() {
    for (network, chain) in networks() {
        let key = with_key(&NodeKey::from_bytes([1; 32]).unwrap());
        let other = with_key(&NodeKey::from_bytes([2; 32]).unwrap());
        assert_eq!(kinds(&met(network, &key, &other).await), [None; 2]);
        // A node without a given key has a fresh one.
        let fresh = Setup::new(chain);
        assert_eq!(kinds(&met(network, &fresh, &fresh).await), [None; 2]);
        assert_eq!(kinds(&met(network, &key, &fresh).await), [None; 2]);
    }
}

#[tokio::test]
async fn an_isolated_dial_is_never_linked_with_the_node_not_even_by_itself() {
    for (network, _) in networks() {
        let open = with_key(&NodeKey::from_bytes([3; 32]).unwrap());
        let isolated = Setup {
            isolated: true,
            ..open.clone()
        };
        assert_eq!(kinds(&met(network, &isolated, &open).await), [None; 2]);
    }
}

#[tokio::test]
async fn an_isolated_listener_of_the_family_is_never_linked_with_the_node() {
    for (network, _) in family() {
        let open = with_key(&NodeKey::from_bytes([3; 32]).unwrap());
        let isolated = Setup {
            isolated: true,
            ..open.clone()
        };
        for dialler in [&open, &isolated] {
            assert_eq!(kinds(&met(network, dialler, &isolated).await), [None; 2]);
        }
    }
}

/// Its key would be what links it, so it has a fresh one each time, which nobody can know to dial.
#[tokio::test]
async fn an_isolated_listener_on_ethereum_does_not_answer_to_the_key_of_the_node() {
    let network = by_name("ethereum").unwrap();
    let isolated = Setup {
        isolated: true,
        ..with_key(&NodeKey::from_bytes([3; 32]).unwrap())
    };
    let stranger = with_key(&NodeKey::from_bytes([4; 32]).unwrap());
    let found = kinds(&met(network, &stranger, &isolated).await);
    assert_eq!(found, [Some(Kind::Closed), Some(Kind::Malformed)]);
}

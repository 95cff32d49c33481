//! A node that reaches itself.

use std::sync::Arc;

use peerage::networks::{AnyNetwork, Setup, by_name};
use peerage::{Blame, Kind, NodeKey, Reason, Retry};

use crate::common::{LONG, dials, folder, greets_one, networks, node, probe};

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

/// Both sides on Zcash, where who is dialled says its version; on Decred it says nothing, so who
/// dialled only sees the end of the stream.
fn recognised(network: &str) -> [Option<Kind>; 2] {
    if network == "zcash" {
        [Some(Kind::SelfConnection); 2]
    } else {
        [Some(Kind::Closed), Some(Kind::SelfConnection)]
    }
}

#[tokio::test]
async fn a_node_that_dials_itself_recognises_itself() {
    for (network, chain) in networks() {
        let node = node(network, &Setup::new(chain));
        let (target, greeted) = greets_one(Arc::clone(&node));
        let dialled = dials(&*node, &target).await.err();
        let reasons = [dialled, greeted.await.unwrap().err()];
        assert_eq!(kinds(&reasons), recognised(network.network().0));
        let listening = reasons[1].as_ref().unwrap();
        assert_eq!(listening.blame, Blame::Us);
        assert_eq!(listening.retry, Retry::Never);
        assert_eq!(listening.stage.name(), "version");
    }
}

#[tokio::test]
async fn a_probe_of_ourselves_says_so_on_zcash() {
    let network = by_name("zcash").unwrap();
    let node = node(network, &Setup::new("mainnet"));
    let (target, _greeted) = greets_one(Arc::clone(&node));
    let reason = probe(&*node, &target, LONG).await.verdict.unwrap_err();
    assert_eq!(reason.kind, Kind::SelfConnection);
    assert!(reason.advice().contains("our own"));
}

#[tokio::test]
async fn two_processes_with_one_key_are_one_node() {
    let file = folder("one_key").join("node.key");
    NodeKey::generate().write_new(&file).unwrap();
    for (network, _) in networks() {
        // Each reads the file for itself.
        let [one, two] = [(); 2].map(|()| with_key(&NodeKey::read(&file).unwrap()));
        let reasons = met(network, &one, &two).await;
        assert_eq!(kinds(&reasons), recognised(network.network().0));
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
async fn an_isolated_connection_is_never_linked_with_the_node_not_even_by_itself() {
    for (network, _) in networks() {
        let open = with_key(&NodeKey::from_bytes([3; 32]).unwrap());
        let isolated = Setup {
            isolated: true,
            ..open.clone()
        };
        for (dialler, listener) in [
            (&isolated, &open),
            (&open, &isolated),
            (&isolated, &isolated),
        ] {
            assert_eq!(kinds(&met(network, dialler, listener).await), [None; 2]);
        }
    }
}

//! What the tests share: nodes, peers of theirs on loopback, and folders to write in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peerage::faults::Fault;
use peerage::net::Listener;
use peerage::networks::{
    AnyNetwork, AnyNode, Capability, Greeted, Head, NETWORKS, NodeOption, Options, Setup,
};
use peerage::{Destination, Endpoint, Probe, ProbeOptions, Reason};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn later() -> Instant {
    Instant::now() + LONG
}

/// Every network with the name of its main chain.
pub(crate) fn networks() -> Vec<(&'static dyn AnyNetwork, &'static str)> {
    NETWORKS
        .iter()
        .map(|network| (*network, "mainnet"))
        .collect()
}

/// The networks of the version/verack family among them.
pub(crate) fn family() -> Vec<(&'static dyn AnyNetwork, &'static str)> {
    let mut networks = networks();
    networks.retain(|(network, _)| ["zcash", "decred"].contains(&network.network().0));
    networks
}

/// A value for every option that the network has.
pub(crate) fn every_option(network: &dyn AnyNetwork) -> Options {
    let mut options = Options::NONE;
    for option in network.options() {
        match option {
            NodeOption::Services => options.services = Some(1),
            NodeOption::Height => options.height = Some(1234),
            NodeOption::ProtocolVersion => {}
            NodeOption::Head => options.head = Some(NEW_HEAD),
            NodeOption::Capabilities => options.capabilities = vec![eth(69)],
            _ => panic!("{option:?} has no value here"),
        }
    }
    options
}

/// A block of Ethereum's main chain after all its forks until 2026.
pub(crate) const NEW_HEAD: Head = Head {
    number: 24_500_000,
    time: Some(1_770_000_000),
};

pub(crate) fn eth(version: u32) -> Capability {
    let name = "eth".into();
    Capability { name, version }
}

pub(crate) fn node(network: &dyn AnyNetwork, setup: &Setup) -> Arc<dyn AnyNode> {
    network.node(setup).unwrap().into()
}

/// Two nodes of these settings, of whom one dials and the other is dialled: one node could tell
/// that it dials itself.
pub(crate) fn two_nodes(network: &dyn AnyNetwork, setup: &Setup) -> [Arc<dyn AnyNode>; 2] {
    [node(network, setup), node(network, setup)]
}

pub(crate) fn bind() -> (Listener, Endpoint) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = listener.local_endpoint().unwrap();
    (listener, endpoint)
}

/// Accepts one peer and greets it.
pub(crate) fn greets_one(node: Arc<dyn AnyNode>) -> (Destination, JoinHandle<Greeted>) {
    let (listener, endpoint) = bind();
    let target = node.found_at(endpoint);
    let task = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap();
        node.greet(connection, later()).await
    });
    (target, task)
}

/// Accepts one peer, greets it, answers its pings until it goes; why it went.
pub(crate) fn serves_one(node: Arc<dyn AnyNode>) -> (Destination, JoinHandle<Reason>) {
    let (target, greeted) = greets_one(node);
    let task = tokio::spawn(async move {
        match greeted.await.unwrap() {
            Ok(mut peer) => peer.serve_pings().await,
            Err(reason) => reason,
        }
    });
    (target, task)
}

/// A peer with this fault; it accepts one connection.
pub(crate) fn faulty(node: &Arc<dyn AnyNode>, fault: Fault) -> Destination {
    let (listener, endpoint) = bind();
    let node = Arc::clone(node);
    let target = node.found_at(endpoint);
    tokio::spawn(async move {
        let connection = listener.accept().await.unwrap();
        node.misbehave(fault, connection, later()).await;
    });
    target
}

/// Greets a peer that it dials first.
pub(crate) async fn dials(node: &dyn AnyNode, target: &Destination) -> Greeted {
    node.dial(target, later()).await
}

pub(crate) async fn probe(node: &dyn AnyNode, target: &Destination, limit: Duration) -> Probe {
    let tape_limit = 1 << 16;
    node.probe(target, &ProbeOptions { limit, tape_limit })
        .await
}

/// An empty folder of this name, under the build's own.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("peerage")
        .join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}

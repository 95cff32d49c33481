//! Nodes on loopback.

use std::net::SocketAddr;

use peerage_discv5::curve::SecretKey;
use peerage_discv5::record::Builder;
use peerage_discv5::{NodeId, Record};
use peerage_find::{Bind, Running, Setup, Sockets, start};

/// A loopback address with a port of the system's choice.
pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32]).unwrap()
}

/// A node's setup, with its sockets already bound and named in its record.
pub(crate) fn setup(n: u8) -> (Setup, Sockets) {
    let sockets = Sockets::bind(&Bind::at(anywhere())).unwrap();
    let record = sockets.describe(Builder::new(1));
    let mut setup = Setup::new(key(n), record, [n; 32]);
    setup.upkeep = false;
    (setup, sockets)
}

/// A running node that asks nobody unless told to.
pub(crate) fn node(n: u8) -> Running {
    let (setup, sockets) = setup(n);
    start(setup, sockets).unwrap()
}

pub(crate) async fn record(node: &Running) -> Record {
    node.handle.record().await.unwrap()
}

/// A record of nobody who listens.
pub(crate) fn silent(n: u8, seq: u64) -> Record {
    let record = Builder::new(seq).ip([127, 0, 0, 1].into());
    record.udp4(9).tcp4(9).sign(&key(n)).unwrap()
}

pub(crate) fn id(n: u8) -> NodeId {
    key(n).public_key().node_id()
}

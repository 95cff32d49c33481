//! What both implementations can do, so that the same code measures them.

use std::future::Future;
use std::net::SocketAddr;

use peerage_bench_kit::Error;
use peerage_discv5::NodeId;
use peerage_discv5::curve::keccak256;

/// One request.
#[derive(Clone, Copy)]
pub enum Ask {
    Ping,
    /// FINDNODE with distance 0: the node's own record.
    Own,
    /// 64 bytes to a protocol that the other side does not know, answered with none.
    Talk,
}

impl Ask {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "ping" => Some(Self::Ping),
            "own" => Some(Self::Own),
            "talk" => Some(Self::Talk),
            _ => None,
        }
    }
}

/// A running node.
pub trait Node: Clone + Send + Sync + Sized + 'static {
    type Record: Clone + Send + Sync + 'static;

    const NAME: &'static str;

    /// Starts the node of this number on 127.0.0.1, with the defaults of its implementation.
    fn start(
        number: u64,
        boot: Option<&Self::Record>,
    ) -> impl Future<Output = Result<Self, Error>> + Send;

    /// As [`Node::start`], but it knows nobody and looks for nobody.
    fn start_idle(number: u64) -> impl Future<Output = Result<Self, Error>> + Send {
        Self::start(number, None)
    }

    fn id(&self) -> NodeId;

    fn record(&self) -> Self::Record;

    fn addr(&self) -> SocketAddr;

    fn ask(&self, to: &Self::Record, ask: Ask) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sessions made and records verified so far, where the implementation tells.
    fn work(&self) -> impl Future<Output = Result<Option<[u64; 2]>, Error>> + Send;

    fn lookup(&self, target: NodeId) -> impl Future<Output = Result<Vec<NodeId>, Error>> + Send;
}

/// The secret key of the node of this number: the same for each implementation, so that their nodes
/// lie at the same places.
pub fn secret(number: u64) -> [u8; 32] {
    keccak256(&[b"bench", &number.to_be_bytes()])
}

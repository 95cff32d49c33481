//! The calls of the interface, whatever they came by.

mod book;
mod calls;
mod messages;
mod peers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use peerage::networks::Described;
use peerage::node::book::{Identity, Key, Prefix, Subject};
use peerage::node::peers::SessionId;
use peerage::node::{Event, HandleOf, Wired};
use peerage::{Greeter, NodeKey};

use crate::board::Board;
use crate::fault::Fault;
use crate::hub::{Limits, Token};
use crate::metrics::Counters;
use crate::seat::{Seat, Served};
use crate::v1;

/// The limits of the API.
#[derive(Clone, Copy, Debug)]
pub struct ApiLimits {
    /// Of subscriptions.
    pub subscriptions: Limits,
    /// The longest call that is read, in bytes.
    pub message: usize,
    /// Calls and streams under way at once, on one connection.
    pub streams: u32,
    /// Connections at once, on each listener.
    pub connections: usize,
    /// How long a peer's answer is waited for at the most.
    pub request: Duration,
}

/// Besides the limits of subscriptions: 32 MiB (the longest message of any network has 25 MiB), 256
/// streams, 128 connections, 60 s.
impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            subscriptions: Limits::default(),
            message: 32 << 20,
            streams: 256,
            connections: 128,
            request: Duration::from_secs(60),
        }
    }
}

/// Collects nodes for a [`Daemon`].
pub struct Builder {
    nodes: Vec<Arc<dyn Served>>,
    board: Arc<Board>,
    numbers: Arc<AtomicU64>,
    limits: ApiLimits,
    version: String,
}

impl Builder {
    /// A daemon without nodes yet, of this version.
    pub fn new(version: &str, limits: ApiLimits) -> Self {
        Self {
            nodes: Vec::new(),
            board: Arc::new(Board::new(limits.subscriptions)),
            numbers: Arc::new(AtomicU64::new(1)),
            limits,
            version: version.to_owned(),
        }
    }

    /// Adds a node. Its events go to what this returns, from the first one on. `greeter` reads the
    /// addresses of its network.
    pub fn add<N: Wired + Described>(
        &mut self,
        handle: HandleOf<N>,
        greeter: Greeter<N>,
        info: v1::NodeInfo,
    ) -> Feed<N> {
        let numbers = Arc::clone(&self.numbers);
        let seat = Arc::new(Seat::new(handle, greeter, info, numbers));
        let node = self.nodes.len();
        self.nodes.push(Arc::clone(&seat) as Arc<dyn Served>);
        Feed {
            seat,
            node,
            board: Arc::clone(&self.board),
        }
    }

    /// All of them together. Runs on the caller's runtime what looks after subscriptions, until the
    /// daemon is dropped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn build(self) -> Arc<Daemon> {
        let (nodes, board) = (self.nodes.clone(), Arc::clone(&self.board));
        let upkeep = tokio::spawn(async move {
            loop {
                let press = board.press().await;
                let (node, session) = press.origin;
                if let Some(node) = nodes.get(node) {
                    node.hold_back(SessionId(session), press.hold).await;
                }
            }
        });
        Arc::new(Daemon {
            nodes: self.nodes,
            board: self.board,
            limits: self.limits,
            version: self.version,
            started_ms: crate::now_ms(),
            upkeep: upkeep.abort_handle(),
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

/// Where the events of one node go.
pub struct Feed<N: Wired> {
    seat: Arc<Seat<N>>,
    node: usize,
    board: Arc<Board>,
}

impl<N: Wired + Described> Feed<N> {
    /// Tells of an event. Returns whether an application answers it, where a peer asks; if not, the
    /// caller has to. It never waits.
    pub fn tell(&self, event: &Event<N>) -> bool {
        self.seat.heard(self.node, &self.board, event)
    }
}

impl<N: Wired> std::fmt::Debug for Feed<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// Nodes and who listens to them: everything that the interface can do.
pub struct Daemon {
    nodes: Vec<Arc<dyn Served>>,
    board: Arc<Board>,
    limits: ApiLimits,
    version: String,
    started_ms: u64,
    upkeep: tokio::task::AbortHandle,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon")
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

/// A secret that nobody can guess.
fn fresh_token() -> Token {
    let mut token = [0; 16];
    // A fresh key is fresh randomness.
    token.copy_from_slice(&NodeKey::generate().secret_bytes()[..16]);
    token
}

impl Daemon {
    /// Its limits.
    pub const fn limits(&self) -> &ApiLimits {
        &self.limits
    }

    /// The numbers of the nodes that a realm names; of all where it names none.
    fn chosen(&self, realm: Option<&v1::Realm>) -> Result<Vec<usize>, Fault> {
        let (network, chain) = realm.map_or(("", ""), |realm| (&*realm.network, &*realm.chain));
        let fits = |node: &usize| {
            let of = self
                .nodes
                .get(*node)
                .and_then(|node| node.info().realm.as_ref());
            of.is_some_and(|of| {
                (network.is_empty() || of.network == network)
                    && (chain.is_empty() || of.chain == chain)
            })
        };
        let chosen: Vec<usize> = (0..self.nodes.len()).filter(fits).collect();
        if chosen.is_empty() {
            return Err(Fault::missing(format!(
                "this daemon has no node on {network} {chain}: it has {}",
                self.realms()
            )));
        }
        Ok(chosen)
    }

    fn realms(&self) -> String {
        let realms = self.nodes.iter().map(|node| {
            let realm = node.info().realm.clone().unwrap_or_default();
            format!("{} {}", realm.network, realm.chain)
        });
        realms.collect::<Vec<_>>().join(", ")
    }

    /// The one node that a realm names.
    fn node(&self, realm: Option<&v1::Realm>) -> Result<(usize, &Arc<dyn Served>), Fault> {
        let chosen = self.chosen(realm)?;
        let [only] = chosen[..] else {
            return Err(Fault::invalid(format!(
                "say which node is meant, by network and chain: this daemon has {}",
                self.realms()
            )));
        };
        let node = self.nodes.get(only);
        // It was found there a moment ago.
        node.map(|node| (only, node))
            .ok_or_else(|| Fault::missing("there is no such node"))
    }

    /// The node and session that are meant. A session alone is believed; whether it is there, the
    /// node says.
    fn peer(&self, peer: Option<&v1::PeerRef>) -> Result<(&Arc<dyn Served>, SessionId), Fault> {
        let peer = peer.ok_or_else(|| Fault::invalid("say which peer is meant"))?;
        let (_, node) = self.node(peer.realm.as_ref())?;
        let id = SessionId(peer.session);
        if peer.key.is_empty() {
            if peer.session == 0 {
                return Err(Fault::invalid(
                    "say which peer is meant, by session or by key",
                ));
            }
            return Ok((node, id));
        }
        let key = key(&peer.key)?;
        match node.session_of(&key) {
            Some(found) if peer.session == 0 || found == id => Ok((node, found)),
            Some(found) => Err(Fault::missing(format!(
                "{id} is not the session with {key}, that is {found}"
            ))),
            None => Err(Fault::missing(format!("there is no session with {key}"))),
        }
    }

    /// The counters and figures of all nodes, for `/metrics`; of nodes that have not stopped.
    pub async fn figures(&self) -> Vec<(v1::NodeStatus, Counters)> {
        let mut figures = Vec::new();
        for node in &self.nodes {
            if let Ok(status) = node.status().await {
                figures.push((status, node.counters()));
            }
        }
        figures
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Ends all subscriptions: the daemon stops.
    pub fn close(&self) {
        self.board.close();
    }

    /// Figures of subscriptions.
    pub fn subscriptions(&self) -> v1::SubscriptionStatus {
        self.board.status()
    }
}

/// A key from text.
fn key(text: &str) -> Result<Key, Fault> {
    text.parse().map_err(|_| {
        Fault::invalid(format!(
            "{text:?} is no key: write an identity in hexadecimal, or ip:port"
        ))
    })
}

/// Whom a ban concerns, from the interface.
fn subject(of: Option<&v1::Subject>) -> Result<Subject, Fault> {
    use v1::subject::Of;
    let of = of.and_then(|of| of.of.as_ref());
    match of {
        Some(Of::Identity(text)) => match text.parse::<Identity>() {
            Ok(identity) => Ok(Subject::Identity(identity)),
            Err(error) => Err(Fault::invalid(format!("{text:?} is no identity: {error}"))),
        },
        Some(Of::Net(text)) => match text.parse::<Prefix>() {
            Ok(range) => Ok(Subject::Net(range)),
            Err(error) => Err(Fault::invalid(format!(
                "{text:?} is no address or range: {error}"
            ))),
        },
        None => Err(Fault::invalid(
            "say whom the ban concerns: an identity or a net",
        )),
    }
}

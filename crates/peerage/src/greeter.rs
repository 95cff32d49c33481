//! A node that greets: dials and answers, one call each.

use std::time::{Duration, Instant as StdInstant};

use peerage_core::{Blame, ConnectedAddr, Detail, Failure, Kind, PeerText, Retry, Stage};
use peerage_net::blocking::{self, BlockingLink, BlockingTcp};
use peerage_net::{
    Conn, Connection, Connector, Link, LinkError, ProxyProblem, ReachError, Route, Target,
    TargetError,
};
use peerage_verack::nonce::Domain;
use peerage_verack::policy::AcceptAll;
use peerage_verack::{
    Attempt, Codec, Dialect, HandshakeError, Local, PeerInfo, Policy, RemoteVersion, SessionError,
    Table,
};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::builtin::Builtin;
use crate::identity::NodeKey;
use crate::os;

/// A node on one chain that greets peers.
///
/// It holds what lives as long as the node; every call is one attempt with its own deadline, and
/// leaves nothing behind when it fails or is dropped. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Greeter<D: Dialect> {
    local: Local<D>,
    route: Route,
    isolated: bool,
}

/// A chain name that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{network} has no chain {got}; it has {known}")]
pub struct UnknownChain {
    /// The network.
    pub network: peerage_core::Network,
    /// The name asked for.
    pub got: PeerText,
    /// The names there are, separated by commas.
    pub known: Box<str>,
}

impl Failure for UnknownChain {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none()
            .with("network", self.network.0)
            .with("got", self.got.clone())
            .with("known", PeerText::from(&*self.known))
    }
}

/// A peer that was greeted, over its connection.
#[derive(Debug)]
pub struct Peer<D: Dialect, C = TcpStream> {
    info: PeerInfo,
    early: usize,
    link: Link<Codec<D>, C>,
}

/// A peer that was greeted, over a blocking connection.
#[derive(Debug)]
pub struct BlockingPeer<D: Dialect> {
    info: PeerInfo,
    link: BlockingLink<Codec<D>>,
}

/// Why a dial yielded no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError<R = std::convert::Infallible> {
    /// The text names no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// There was no connection.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// There was no handshake.
    #[error(transparent)]
    Greet(HandshakeError<R>),
}

impl<R: std::fmt::Debug + std::fmt::Display + 'static> DialError<R> {
    /// Each variant's error answers for itself.
    fn inner(&self) -> &dyn Failure {
        match self {
            Self::Target(error) => error,
            Self::Reach(error) => error,
            Self::Greet(error) => error,
        }
    }
}

impl<R: std::fmt::Debug + std::fmt::Display + 'static> Failure for DialError<R> {
    fn stage(&self) -> Stage {
        self.inner().stage()
    }

    fn kind(&self) -> Kind {
        self.inner().kind()
    }

    fn blame(&self) -> Blame {
        self.inner().blame()
    }

    fn retry(&self) -> Retry {
        self.inner().retry()
    }

    fn detail(&self) -> Detail {
        self.inner().detail()
    }
}

fn deadline_in(limit: Duration) -> Instant {
    Instant::from_std(os::deadline(Instant::now().into_std(), limit))
}

impl<D: Builtin> Greeter<D> {
    /// A node on a chain of the compiled-in table, with a fresh key.
    ///
    /// # Errors
    /// When the network has no such chain.
    pub fn new(chain: &str) -> Result<Self, UnknownChain> {
        Self::on(&D::builtin_table(), chain)
    }
}

impl<D: Dialect> Greeter<D> {
    /// A node on a chain of `table`, with a fresh key.
    ///
    /// # Errors
    /// When the table has no such chain.
    pub fn on(table: &Table, chain: &str) -> Result<Self, UnknownChain> {
        let found = table.chain(chain).cloned().ok_or_else(|| {
            let names: Vec<_> = table
                .chains
                .iter()
                .map(|chain| chain.name.as_str())
                .collect();
            UnknownChain {
                network: D::NETWORK,
                got: chain.into(),
                known: names.join(", ").into(),
            }
        })?;
        let agent = concat!("/peerage:", env!("CARGO_PKG_VERSION"), "/");
        let keys = NodeKey::generate().nonce_keys();
        let local = Local::new(found, table.protocol_version, agent.into(), keys);
        Ok(Self {
            local,
            route: Route::Direct,
            isolated: false,
        })
    }

    /// The same node under a lasting key.
    #[must_use]
    pub fn with_key(mut self, key: &NodeKey) -> Self {
        self.local.nonce_keys = key.nonce_keys();
        self
    }

    /// The same node, but it tells nothing about itself on any connection.
    #[must_use]
    pub const fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// The same node, but it dials through `route` only.
    #[must_use]
    pub fn through(mut self, route: Route) -> Self {
        self.route = route;
        self
    }

    /// How it dials.
    pub const fn route(&self) -> &Route {
        &self.route
    }

    /// What the node says of itself.
    pub const fn local(&self) -> &Local<D> {
        &self.local
    }

    /// What the node says of itself, to be changed.
    pub const fn local_mut(&mut self) -> &mut Local<D> {
        &mut self.local
    }

    /// One attempt over what is connected.
    pub(crate) fn attempt(&self, addr: ConnectedAddr) -> Attempt {
        let addr = if self.isolated {
            ConnectedAddr::Isolated {
                direction: addr.direction(),
            }
        } else {
            addr
        };
        Attempt {
            addr,
            domain: Domain::default(),
            time: os::wall_clock(),
            random: os::random(),
        }
    }

    /// Dials `target` (`host`, `host:port`; the chain's customary port when none is given) and
    /// greets it, all within `limit`.
    ///
    /// # Errors
    /// Says at which stage it failed, who is to blame and whether to retry.
    ///
    /// # Cancellation
    /// Dropping the future closes what it opened.
    pub async fn dial(&self, target: &str, limit: Duration) -> Result<Peer<D>, DialError> {
        let deadline = deadline_in(limit);
        let target = Target::parse(target, self.local.chain.port)?;
        let connection = self.route.connect(&target, deadline).await?;
        self.greet(connection, AcceptAll, deadline)
            .await
            .map_err(DialError::Greet)
    }

    /// Greets whoever is at the other end of `connection`, either direction.
    ///
    /// # Errors
    /// The handshake's error, whatever the cause.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn greet<C: Conn, P: Policy<RemoteVersion>>(
        &self,
        connection: Connection<C>,
        policy: P,
        deadline: Instant,
    ) -> Result<Peer<D, C>, HandshakeError<P::Rejection>> {
        let handshake = self.local.greet_with(self.attempt(connection.addr), policy);
        let greeted = peerage_net::greet(connection.io, handshake, deadline).await?;
        let early = greeted.peer.early().len();
        let (info, codec) = greeted.peer.into_parts();
        Ok(Peer {
            info,
            early,
            link: Link::new(greeted.conn, codec, greeted.leftover),
        })
    }

    /// As [`Greeter::dial`], on this thread and without a runtime.
    ///
    /// A name is resolved by the system, which may take longer than `limit`. A node that dials
    /// through a proxy does so asynchronously only; this call then refuses, and never goes around
    /// the proxy.
    ///
    /// # Errors
    /// As [`Greeter::dial`].
    pub fn dial_blocking(
        &self,
        target: &str,
        limit: Duration,
    ) -> Result<BlockingPeer<D>, DialError> {
        let deadline = os::deadline(StdInstant::now(), limit);
        let target = Target::parse(target, self.local.chain.port)?;
        if let Route::Socks5(socks) = &self.route {
            let (proxy, problem) = (socks.proxy().clone(), ProxyProblem::AsynchronousOnly);
            return Err(ReachError::Proxy { proxy, problem }.into());
        }
        let (conn, addr) = blocking::connect(&target, deadline)?;
        self.greet_blocking(conn, addr, AcceptAll, deadline)
            .map_err(DialError::Greet)
    }

    /// As [`Greeter::greet`], on this thread and without a runtime.
    ///
    /// # Errors
    /// As [`Greeter::greet`].
    ///
    /// # Cancellation
    /// By a [`blocking::Canceller`] of the connection.
    pub fn greet_blocking<P: Policy<RemoteVersion>>(
        &self,
        conn: BlockingTcp,
        addr: ConnectedAddr,
        policy: P,
        deadline: StdInstant,
    ) -> Result<BlockingPeer<D>, HandshakeError<P::Rejection>> {
        let handshake = self.local.greet_with(self.attempt(addr), policy);
        let greeted = blocking::greet(conn, handshake, deadline)?;
        let (info, codec) = greeted.peer.into_parts();
        Ok(BlockingPeer {
            info,
            link: BlockingLink::new(greeted.conn, codec, greeted.leftover),
        })
    }
}

impl<D: Dialect, C: Conn> Peer<D, C> {
    /// What is known of it since the handshake.
    pub const fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// The next message; those that came early come first.
    ///
    /// # Errors
    /// When the connection ends or the peer breaks the protocol.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<D::Message, LinkError<SessionError>> {
        self.link.recv().await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it cannot be encoded for this peer, or the connection ends.
    ///
    /// # Cancellation
    /// See [`Link::send`].
    pub async fn send(&mut self, message: &D::Message) -> Result<(), LinkError<SessionError>> {
        self.link.send(message).await
    }

    /// Measures the round trip, within `limit`.
    ///
    /// # Errors
    /// See [`Link::ping`].
    pub async fn ping(&mut self, limit: Duration) -> Result<Duration, LinkError<SessionError>> {
        let nonce = u64::from_be_bytes(os::random());
        self.link.ping(nonce, deadline_in(limit)).await
    }

    /// How many messages came before the verack and wait to be received.
    pub(crate) fn early(&self) -> usize {
        self.early
    }

    /// The link itself.
    pub const fn link_mut(&mut self) -> &mut Link<Codec<D>, C> {
        &mut self.link
    }
}

impl<D: Dialect> BlockingPeer<D> {
    /// What is known of it since the handshake.
    pub const fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// The next message, within `limit`; those that came early come first.
    ///
    /// # Errors
    /// See [`BlockingLink::recv`].
    pub fn recv(&mut self, limit: Duration) -> Result<D::Message, LinkError<SessionError>> {
        self.link.recv(os::deadline(StdInstant::now(), limit))
    }

    /// Sends a message, within `limit`.
    ///
    /// # Errors
    /// See [`BlockingLink::send`].
    pub fn send(
        &mut self,
        message: &D::Message,
        limit: Duration,
    ) -> Result<(), LinkError<SessionError>> {
        let deadline = os::deadline(StdInstant::now(), limit);
        self.link.send(message, deadline)
    }
}

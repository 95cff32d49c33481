//! A node that greets: dials and answers, one call each.

use std::convert::Infallible;
use std::time::{Duration, Instant as StdInstant};

use peerage_core::{AcceptAll, ConnectedAddr, Policy};
use peerage_net::blocking::{self, BlockingLink, BlockingTcp};
use peerage_net::{Conn, Connection, Connector, Link, ProxyProblem, ReachError, Route};
use tokio::time::Instant;

use crate::destination::{AddressError, Destination};
use crate::dial::{DialError, UnknownChain};
use crate::identity::NodeKey;
use crate::os;
use crate::peer::{BlockingPeer, Peer};
use crate::protocol::{Attempt, Parts, Protocol, Seed};

/// A node on one chain that greets peers.
///
/// It holds what lives as long as the node; every call is one attempt with its own deadline, and
/// leaves nothing behind when it fails or is dropped. Clones are the same node.
#[derive(Clone, Debug)]
pub struct Greeter<N: Protocol> {
    local: N::Local,
    route: Route,
    isolated: bool,
}

/// What a dial on `N` with a policy that rejects with `R` fails with.
pub type DialErrorOf<N, R = Infallible> = DialError<<N as Protocol>::Error<R>>;

pub(crate) fn deadline_in(limit: Duration) -> Instant {
    Instant::from_std(os::deadline(Instant::now().into_std(), limit))
}

impl<N: Protocol> Greeter<N> {
    /// A node on a chain of the compiled-in table, with a fresh key.
    ///
    /// # Errors
    /// When the network has no such chain.
    pub fn new(chain: &str) -> Result<Self, UnknownChain> {
        Self::on(&N::builtin_table(), chain)
    }

    /// A node on a chain of `table`, with a fresh key.
    ///
    /// # Errors
    /// When the table has no such chain.
    pub fn on(table: &N::Table, chain: &str) -> Result<Self, UnknownChain> {
        Ok(Self {
            local: N::local(table, chain, &NodeKey::generate())?,
            route: Route::Direct,
            isolated: false,
        })
    }

    /// The same node under a lasting key.
    #[must_use]
    pub fn with_key(mut self, key: &NodeKey) -> Self {
        N::set_key(&mut self.local, key);
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
    pub const fn local(&self) -> &N::Local {
        &self.local
    }

    /// What the node says of itself, to be changed.
    pub const fn local_mut(&mut self) -> &mut N::Local {
        &mut self.local
    }

    /// Reads the address of a peer: `host`, `host:port`, or with a scheme of the network; the
    /// chain's customary port when none is given.
    ///
    /// # Errors
    /// When it is no address of this network.
    pub fn destination(&self, text: &str) -> Result<Destination, AddressError> {
        N::destination(&self.local, text)
    }

    /// One attempt over what is connected.
    pub(crate) fn attempt(&self, addr: ConnectedAddr, to: Option<&Destination>) -> Attempt {
        let addr = if self.isolated {
            ConnectedAddr::Isolated {
                direction: addr.direction(),
            }
        } else {
            addr
        };
        Attempt {
            addr,
            to: to.cloned(),
            time: os::wall_clock(),
            seed: Seed::new(os::random()),
        }
    }

    /// Dials a peer by its address, see [`Greeter::destination`], and greets it, all within `limit`.
    ///
    /// # Errors
    /// Says at which stage it failed, who is to blame and whether to retry.
    ///
    /// # Cancellation
    /// Dropping the future closes what it opened.
    pub async fn dial(&self, address: &str, limit: Duration) -> Result<Peer<N>, DialErrorOf<N>> {
        let deadline = deadline_in(limit);
        let to = self.destination(address)?;
        self.dial_to(&to, AcceptAll, deadline).await
    }

    /// Dials `to` and greets it, by `deadline`.
    ///
    /// # Errors
    /// As [`Greeter::dial`].
    ///
    /// # Cancellation
    /// As [`Greeter::dial`].
    pub async fn dial_to<P: Policy<N::View>>(
        &self,
        to: &Destination,
        policy: P,
        deadline: Instant,
    ) -> Result<Peer<N>, DialErrorOf<N, P::Rejection>> {
        let connection = self.route.connect(&to.target, deadline).await?;
        let greeted = self.greet_as(connection, Some(to), policy, deadline).await;
        greeted.map_err(DialError::Greet)
    }

    /// Greets whoever is at the other end of `connection`, either direction.
    ///
    /// Where peers have keys, whom we dialled must be known: see [`Greeter::greet_as`].
    ///
    /// # Errors
    /// The handshake's error, whatever the cause.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection.
    pub async fn greet<C: Conn, P: Policy<N::View>>(
        &self,
        connection: Connection<C>,
        policy: P,
        deadline: Instant,
    ) -> Result<Peer<N, C>, N::Error<P::Rejection>> {
        self.greet_as(connection, None, policy, deadline).await
    }

    /// As [`Greeter::greet`], over a connection on which we expect `to`.
    ///
    /// # Errors
    /// As [`Greeter::greet`].
    ///
    /// # Cancellation
    /// As [`Greeter::greet`].
    pub async fn greet_as<C: Conn, P: Policy<N::View>>(
        &self,
        connection: Connection<C>,
        to: Option<&Destination>,
        policy: P,
        deadline: Instant,
    ) -> Result<Peer<N, C>, N::Error<P::Rejection>> {
        let attempt = self.attempt(connection.addr, to);
        let handshake = N::greeting(&self.local, &attempt, policy)?;
        let greeted = peerage_net::greet(connection.io, handshake, deadline).await?;
        let Parts {
            info,
            early,
            session,
        } = N::take_apart(greeted.peer);
        let link = Link::new(greeted.conn, session, greeted.leftover);
        Ok(Peer::new(info, early, link))
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
        address: &str,
        limit: Duration,
    ) -> Result<BlockingPeer<N>, DialErrorOf<N>> {
        let deadline = os::deadline(StdInstant::now(), limit);
        let to = self.destination(address)?;
        match &self.route {
            Route::Direct => {}
            Route::Socks5(socks) => {
                let (proxy, problem) = (socks.proxy().clone(), ProxyProblem::AsynchronousOnly);
                return Err(ReachError::Proxy { proxy, problem }.into());
            }
            Route::By(_) => return Err(ReachError::AsynchronousOnly.into()),
        }
        let (conn, addr) = blocking::connect(&to.target, deadline)?;
        self.greet_blocking_as(conn, addr, Some(&to), AcceptAll, deadline)
            .map_err(DialError::Greet)
    }

    /// As [`Greeter::greet`], on this thread and without a runtime.
    ///
    /// # Errors
    /// As [`Greeter::greet`].
    ///
    /// # Cancellation
    /// By a [`blocking::Canceller`] of the connection.
    pub fn greet_blocking<P: Policy<N::View>>(
        &self,
        conn: BlockingTcp,
        addr: ConnectedAddr,
        policy: P,
        deadline: StdInstant,
    ) -> Result<BlockingPeer<N>, N::Error<P::Rejection>> {
        self.greet_blocking_as(conn, addr, None, policy, deadline)
    }

    /// As [`Greeter::greet_as`], on this thread and without a runtime.
    ///
    /// # Errors
    /// As [`Greeter::greet`].
    ///
    /// # Cancellation
    /// As [`Greeter::greet_blocking`].
    pub fn greet_blocking_as<P: Policy<N::View>>(
        &self,
        conn: BlockingTcp,
        addr: ConnectedAddr,
        to: Option<&Destination>,
        policy: P,
        deadline: StdInstant,
    ) -> Result<BlockingPeer<N>, N::Error<P::Rejection>> {
        let handshake = N::greeting(&self.local, &self.attempt(addr, to), policy)?;
        let greeted = blocking::greet(conn, handshake, deadline)?;
        let parts = N::take_apart(greeted.peer);
        let link = BlockingLink::new(greeted.conn, parts.session, greeted.leftover);
        Ok(BlockingPeer::new(parts.info, link))
    }
}

//! A network known by its type, behind the face that all networks share.

use std::marker::PhantomData;
use std::time::Duration;

use peerage_core::{AcceptAll, Endpoint, Failure, Network, PeerText, Reason};
use peerage_net::{Connection, Stream};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{
    AddressError, AnyNetwork, AnyNode, AnyPeer, BoxFuture, ChainFacts, Described, Destination,
    Dialogue, Explained, Greeted, Line, NodeOption, PeerFacts, Setup, SetupError,
};
use crate::faults::Fault;
use crate::greeter::Greeter;
use crate::peer::Peer;
use crate::probe::{self, Probe, ProbeOptions};
use crate::tables::{Tables, TablesError};

/// A network by its type, to be an [`AnyNetwork`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed<N>(PhantomData<N>);

impl<N> Typed<N> {
    /// The network `N`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<N: Described> AnyNetwork for Typed<N> {
    fn network(&self) -> Network {
        N::NETWORK
    }

    fn schemes(&self) -> &'static [&'static str] {
        N::SCHEMES
    }

    fn address_of(&self, host: &str) -> String {
        N::address_of(host)
    }

    fn shown(&self, destination: &Destination) -> String {
        N::shown(destination)
    }

    fn options(&self) -> &'static [NodeOption] {
        N::OPTIONS
    }

    fn chains(&self, tables: &Tables) -> Result<Vec<ChainFacts>, TablesError> {
        let table = tables.load(N::NETWORK, N::builtin_table)?;
        Ok(N::chains(&table))
    }

    fn node(&self, setup: &Setup) -> Result<Box<dyn AnyNode>, SetupError> {
        setup.options.check(self)?;
        let table = setup.tables.load(N::NETWORK, N::builtin_table)?;
        let mut greeter = Greeter::<N>::on(&table, &setup.chain)?.through(setup.route.clone());
        if let Some(key) = &setup.key {
            greeter = greeter.with_key(key);
        }
        if setup.isolated {
            greeter = greeter.isolated();
        }
        N::apply(greeter.local_mut(), &setup.options)?;
        Ok(Box::new(Node { greeter, table }))
    }
}

struct Node<N: Described> {
    greeter: Greeter<N>,
    table: N::Table,
}

impl<N: Described> AnyNode for Node<N> {
    fn network(&self) -> Network {
        N::NETWORK
    }

    fn chain(&self) -> &str {
        N::chain(self.greeter.local())
    }

    fn port(&self) -> u16 {
        N::port(self.greeter.local())
    }

    fn set_listen_addr(&mut self, addr: Option<Endpoint>) {
        N::set_listen_addr(self.greeter.local_mut(), addr);
    }

    fn set_agent(&mut self, agent: PeerText) {
        N::set_agent(self.greeter.local_mut(), agent);
    }

    fn destination(&self, text: &str) -> Result<Destination, AddressError> {
        self.greeter.destination(text)
    }

    fn found_at(&self, endpoint: Endpoint) -> Destination {
        N::found_at(self.greeter.local(), endpoint)
    }

    fn probe<'a>(&'a self, to: &'a Destination, options: &'a ProbeOptions) -> BoxFuture<'a, Probe> {
        Box::pin(probe::probe(&self.greeter, to, options))
    }

    fn dial<'a>(&'a self, to: &'a Destination, deadline: Instant) -> BoxFuture<'a, Greeted> {
        Box::pin(async move { greeted(self.greeter.dial_to(to, AcceptAll, deadline).await) })
    }

    fn greet(
        &self,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'_, Greeted> {
        let connection = connection.map(Stream::from);
        Box::pin(async move { greeted(self.greeter.greet(connection, AcceptAll, deadline).await) })
    }

    fn explain(&self, version: Option<u32>, frame: &[u8]) -> Explained {
        N::explain(self.greeter.local(), version, frame)
    }

    fn explain_dialogue(&self, dialogue: &Dialogue, facts: Option<&PeerFacts>) -> Vec<Line> {
        N::explain_dialogue(self.greeter.local(), dialogue, facts)
    }

    fn faults(&self) -> &'static [Fault] {
        N::FAULTS
    }

    fn misbehave(
        &self,
        fault: Fault,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'_, ()> {
        if !N::FAULTS.contains(&fault) {
            // Dropping the connection closes it.
            return Box::pin(async {});
        }
        N::misbehave(&self.greeter, &self.table, fault, connection, deadline)
    }
}

fn greeted<N: Described>(greeted: Result<Peer<N>, impl Failure>) -> Greeted {
    let peer = greeted.map_err(|error| error.reason())?;
    let facts = N::facts(peer.info(), peer.early());
    Ok(Box::new(Met { peer, facts }))
}

struct Met<N: Described> {
    peer: Peer<N>,
    facts: PeerFacts,
}

impl<N: Described> AnyPeer for Met<N> {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn ping(&mut self, limit: Duration) -> BoxFuture<'_, Result<Duration, Reason>> {
        Box::pin(async move {
            let rtt = self.peer.ping(limit).await;
            let rtt = rtt.map_err(|error| error.reason())?;
            self.facts.rtt = Some(rtt);
            Ok(rtt)
        })
    }

    fn serve_pings(&mut self) -> BoxFuture<'_, Reason> {
        Box::pin(async move { self.peer.link_mut().serve_pings(drop).await.reason() })
    }
}

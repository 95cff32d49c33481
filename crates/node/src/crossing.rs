//! Two nodes that dial each other where peers have no identity.
//!
//! What both ends know without a word is the two addresses of the connection. They decide which
//! connection stays ([`Table::admit_crossing`](peerage_peers::Table::admit_crossing)); the one that
//! stays stands for the candidate that we dialled there, and nobody at that address is dialled while
//! it lasts. What the peer says of itself plays no part in it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_book::Key;
use peerage_core::{ConnectedAddr, Endpoint};
use peerage_net::Connection;
use peerage_peers::{SessionId, Tie};
use tokio::net::TcpStream;

use crate::network::Network;
use crate::owner::Owner;

/// How many dials are remembered: as many as are begun in a minute, one every 100 ms.
const DIALS: usize = 600;

/// Hosts that we dialled.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// The latest dials: when, where, whom.
    dials: VecDeque<(Instant, IpAddr, Key)>,
}

impl Hosts {
    /// A dial begins.
    pub(crate) fn dials(&mut self, now: Instant, to: IpAddr, key: Key) {
        if self.dials.len() >= DIALS {
            self.dials.pop_front();
        }
        self.dials.push_back((now, to, key));
    }

    /// Whom we dialled there no longer ago than this.
    pub(crate) fn dialled(&self, now: Instant, from: Endpoint, ago: Duration) -> Option<Key> {
        let mut dials = self.dials.iter().rev();
        let recent = |at: &Instant| now.saturating_duration_since(*at) <= ago;
        let found = dials.find(|(at, to, _)| *to == from.ip() && recent(at));
        found.map(|(_, _, key)| key.clone())
    }
}

impl<N: Network> Owner<N> {
    /// Whether hosts of the address can be told apart from others on this network.
    fn tells_hosts(&self, ip: IpAddr) -> bool {
        !self.network.has_identities() && self.table.config().groups.of(ip).is_some()
    }

    /// Which of two connections with the host at the other end stays if both dialled. An address of
    /// ours that the other end does not see, behind a translator, decides nothing.
    pub(crate) fn tie_of_hosts(&self, connection: &Connection<TcpStream>) -> Tie {
        let ConnectedAddr::InboundDirect { addr: theirs } = connection.addr else {
            return Tie::Older;
        };
        let Ok(ours) = connection.io.local_addr() else {
            return Tie::Older;
        };
        let (ours, theirs) = (Endpoint::from(ours).ip(), theirs.ip());
        if self.tells_hosts(ours) && self.tells_hosts(theirs) {
            Tie::between(&ours, &theirs)
        } else {
            Tie::Older
        }
    }

    /// A dial begins.
    pub(crate) fn dials_host(&mut self, to: Option<Endpoint>, key: &Key) {
        if let Some(to) = to
            && self.tells_hosts(to.ip())
        {
            let now = self.now();
            self.hosts.dials(now, to.ip(), key.clone());
        }
    }

    /// The candidate that an inbound session stands for: whom we dialled where it comes from, if
    /// that dial is given up or has failed.
    pub(crate) fn stands_for(&mut self, id: SessionId, addr: &ConnectedAddr) -> Option<Key> {
        let candidate = self.sessions.get_mut(&id)?.stands_for.take()?;
        let is_gone = self.table.crossing(self.now(), addr).is_none();
        is_gone.then_some(candidate)
    }

    /// A peer that dialled us is established: neither it nor, where hosts are told apart, whoever
    /// else listens at its address need be dialled.
    pub(crate) fn arrived_at_host(&mut self, key: &Key, addr: &ConnectedAddr) {
        match addr {
            ConnectedAddr::InboundDirect { addr: from } if !self.tells_hosts(from.ip()) => {
                self.occupied.keys.insert(key.clone());
            }
            ConnectedAddr::InboundDirect { .. }
            | ConnectedAddr::OutboundDirect { .. }
            | ConnectedAddr::OutboundProxy { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. } => self.occupied.arrived(key, addr),
        }
    }
}

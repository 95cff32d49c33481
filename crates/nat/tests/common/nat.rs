//! Translators: a naive one of every mapping and filtering, which searches lists, and those of the
//! simulator, which somebody else wrote for another purpose. The simulator's know the four common
//! kinds only, and no hairpin.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::Endpoint;
use peerage_core::nat::{Behaviour, NatType};
use peerage_sim::{Nat, NatKind};

/// Whatever changes addresses on the way.
pub(crate) trait Translator {
    /// Where a datagram from inside seems to come from.
    fn out(&mut self, now: Instant, inside: Endpoint, to: Endpoint) -> Endpoint;
    /// Who inside gets a datagram from outside.
    fn within(&mut self, now: Instant, from: Endpoint, to: Endpoint) -> Option<Endpoint>;
    /// Whether `at` is its outside.
    fn is_outside(&self, at: Endpoint) -> bool;
    /// Whether what is sent from inside to its outside comes back in.
    fn hairpins(&self) -> bool {
        false
    }
}

/// As much of a remote endpoint as counts.
type Remote = Option<(IpAddr, u16)>;

/// How much of a remote endpoint counts.
fn seen(behaviour: Behaviour, remote: Endpoint) -> Remote {
    match behaviour {
        Behaviour::Unknown | Behaviour::EndpointIndependent => None,
        Behaviour::AddressDependent => Some((remote.ip(), 0)),
        Behaviour::AddressAndPortDependent => Some((remote.ip(), remote.port())),
    }
}

/// By the words of RFC 4787 sections 4.1 and 5, with lists.
pub(crate) struct Naive {
    pub(crate) kind: NatType,
    pub(crate) hairpin: bool,
    /// Filters, and changes nothing.
    pub(crate) is_firewall: bool,
    outside: IpAddr,
    next: u16,
    /// Inside, the remote as far as it counts, and the port outside.
    mappings: Vec<(Endpoint, Remote, u16)>,
    /// The port outside, and the remote that was sent to.
    sent: Vec<(u16, Endpoint)>,
}

impl Naive {
    pub(crate) fn new(kind: NatType, outside: IpAddr) -> Self {
        Self {
            kind,
            hairpin: false,
            is_firewall: false,
            outside,
            next: 20_000,
            mappings: Vec::new(),
            sent: Vec::new(),
        }
    }
}

impl Translator for Naive {
    fn out(&mut self, _now: Instant, inside: Endpoint, to: Endpoint) -> Endpoint {
        if self.is_firewall {
            self.sent.push((inside.port(), to));
            return inside;
        }
        let key = seen(self.kind.mapping, to);
        let known = self
            .mappings
            .iter()
            .find(|(who, remote, _)| *who == inside && *remote == key);
        let port = match known {
            Some((_, _, port)) => *port,
            None => {
                self.next += 7;
                self.mappings.push((inside, key, self.next));
                self.next
            }
        };
        self.sent.push((port, to));
        Endpoint::new(self.outside, port)
    }

    fn within(&mut self, _now: Instant, from: Endpoint, to: Endpoint) -> Option<Endpoint> {
        let key = seen(self.kind.filtering, from);
        let mut sent = self.sent.iter();
        let was_sent = sent
            .any(|(port, remote)| *port == to.port() && seen(self.kind.filtering, *remote) == key);
        if self.is_firewall {
            return (was_sent || key.is_none()).then_some(to);
        }
        let mapping = self
            .mappings
            .iter()
            .find(|(_, _, port)| *port == to.port())?;
        (was_sent || key.is_none()).then_some(mapping.0)
    }

    fn is_outside(&self, at: Endpoint) -> bool {
        !self.is_firewall && at.ip() == self.outside
    }

    fn hairpins(&self) -> bool {
        self.hairpin
    }
}

/// The simulator's.
pub(crate) struct Simulated(pub(crate) Nat);

impl Simulated {
    pub(crate) fn new(kind: NatKind, outside: IpAddr) -> Self {
        Self(Nat::new(kind, outside, Duration::from_secs(60)))
    }
}

impl Translator for Simulated {
    fn out(&mut self, now: Instant, inside: Endpoint, to: Endpoint) -> Endpoint {
        let (inside, to) = (inside.socket_addr(), to.socket_addr());
        self.0.outbound(now, inside, to).unwrap().into()
    }

    fn within(&mut self, now: Instant, from: Endpoint, to: Endpoint) -> Option<Endpoint> {
        let inside = self.0.inbound(now, from.socket_addr(), to.port())?;
        Some(inside.into())
    }

    fn is_outside(&self, at: Endpoint) -> bool {
        at.ip() == self.0.ip()
    }
}

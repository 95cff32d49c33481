//! Where the other end is, and how honestly we know it.

mod reach;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use reach::{Group, Reach};

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// They dialled us.
    Inbound,
    /// We dialled them.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// An IP address and port, with IPv4-mapped IPv6 addresses folded into IPv4.
///
/// Folding makes one host one value, so that limits and bans cannot be dodged by spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(SocketAddr);

impl Endpoint {
    /// An endpoint at `ip` and `port`.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self(SocketAddr::new(ip.to_canonical(), port))
    }

    /// `0.0.0.0` at `port`: says nothing about anyone.
    pub const fn unspecified(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    }

    /// The address.
    pub const fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.0.port()
    }

    /// The same as a socket address.
    pub const fn socket_addr(&self) -> SocketAddr {
        self.0
    }

    /// Whether a dial to it can make sense: an address is given and the port is not 0.
    pub const fn is_dialable(&self) -> bool {
        !self.0.ip().is_unspecified() && self.0.port() != 0
    }
}

impl From<SocketAddr> for Endpoint {
    /// Drops an IPv6 scope and flow label: neither names a host elsewhere.
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much of us a connection exposes; privacy rules read this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exposure {
    /// Straight over the network: the other end sees our address anyway.
    Direct,
    /// Through a proxy: our address stays out of every message.
    Proxied,
    /// Nothing about us at all.
    Isolated,
}

/// What was connected, told honestly. Five kinds, none of which trusts the peer's own claims.
///
/// | kind | book address | transient address | alternates from the peer's canonical address |
/// |---|---|---|---|
/// | outbound direct | dialled | dialled | canonical, an unspecified part replaced by the dialled one; none if equal |
/// | inbound direct | none: its port is ephemeral | source | canonical, and source address with claimed port |
/// | outbound proxy | none | our local end | canonical |
/// | inbound proxy | none | the proxy's end | canonical |
/// | isolated | none | none | none |
///
/// # Security
/// Neither the book address nor the transient address depends on what a peer claims; otherwise one
/// peer could edit the entry of another. Alternates are claims: they are kept as gossip from that
/// peer and never enter the book directly (zebra issue 7951).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectedAddr {
    /// We dialled this endpoint.
    OutboundDirect {
        /// The endpoint dialled.
        addr: Endpoint,
    },
    /// This endpoint dialled us; its port is ephemeral.
    InboundDirect {
        /// The source of the connection.
        addr: Endpoint,
    },
    /// We dialled through a proxy.
    OutboundProxy {
        /// The proxy.
        proxy: Endpoint,
        /// Our own ephemeral end of the connection to the proxy.
        local: Endpoint,
    },
    /// A proxy dialled us on behalf of a peer.
    InboundProxy {
        /// The proxy's ephemeral end.
        transient: Endpoint,
    },
    /// Nothing may be known or told.
    Isolated {
        /// Who opened the connection.
        direction: Direction,
    },
}

impl ConnectedAddr {
    /// Who opened the connection.
    pub const fn direction(&self) -> Direction {
        match self {
            Self::OutboundDirect { .. } | Self::OutboundProxy { .. } => Direction::Outbound,
            Self::InboundDirect { .. } | Self::InboundProxy { .. } => Direction::Inbound,
            Self::Isolated { direction } => *direction,
        }
    }

    /// How much of us this connection exposes.
    pub const fn exposure(&self) -> Exposure {
        match self {
            Self::OutboundDirect { .. } | Self::InboundDirect { .. } => Exposure::Direct,
            Self::OutboundProxy { .. } | Self::InboundProxy { .. } => Exposure::Proxied,
            Self::Isolated { .. } => Exposure::Isolated,
        }
    }

    /// The address the book may keep for this peer.
    pub const fn book_addr(&self) -> Option<Endpoint> {
        match self {
            Self::OutboundDirect { addr } => Some(*addr),
            Self::InboundDirect { .. }
            | Self::OutboundProxy { .. }
            | Self::InboundProxy { .. }
            | Self::Isolated { .. } => None,
        }
    }

    /// An address that names this connection while it lives. Never dialled, never stored.
    pub const fn transient_addr(&self) -> Option<Endpoint> {
        match self {
            Self::OutboundDirect { addr } | Self::InboundDirect { addr } => Some(*addr),
            Self::OutboundProxy { local, .. } => Some(*local),
            Self::InboundProxy { transient } => Some(*transient),
            Self::Isolated { .. } => None,
        }
    }

    /// The addresses a peer's own claim (`canonical`) suggests for it: at most two.
    ///
    /// An alternate that cannot be dialled is left out.
    pub fn alternates(&self, canonical: Endpoint) -> impl Iterator<Item = Endpoint> + use<> {
        let pair = match *self {
            Self::OutboundDirect { addr } => {
                let ip = if canonical.ip().is_unspecified() {
                    addr.ip()
                } else {
                    canonical.ip()
                };
                let port = if canonical.port() == 0 {
                    addr.port()
                } else {
                    canonical.port()
                };
                let claimed = Endpoint::new(ip, port);
                [(claimed != addr).then_some(claimed), None]
            }
            Self::InboundDirect { addr } => {
                let seen = Endpoint::new(addr.ip(), canonical.port());
                [Some(canonical), (seen != canonical).then_some(seen)]
            }
            Self::OutboundProxy { .. } | Self::InboundProxy { .. } => [Some(canonical), None],
            Self::Isolated { .. } => [None, None],
        };
        pair.into_iter().flatten().filter(Endpoint::is_dialable)
    }

    /// `Out`, `In`, `ProxOut`, `ProxIn` or `Isol`.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::OutboundDirect { .. } => "Out",
            Self::InboundDirect { .. } => "In",
            Self::OutboundProxy { .. } => "ProxOut",
            Self::InboundProxy { .. } => "ProxIn",
            Self::Isolated { .. } => "Isol",
        }
    }
}

/// The label and the transient address, or the bare label of an isolated connection.
impl fmt::Debug for ConnectedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transient_addr() {
            Some(addr) => write!(f, "{}({addr})", self.label()),
            None => f.write_str(self.label()),
        }
    }
}

impl fmt::Display for ConnectedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transient_addr() {
            Some(addr) => addr.fmt(f),
            None => f.pad("isolated"),
        }
    }
}

/// Connections that may be linked with each other. What a peer could recognise us by in one domain,
/// a nonce or a key, is a stranger in another.
///
/// A caller that wants two sets of connections kept apart gives them two domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn alternates(kind: ConnectedAddr, canonical: &str) -> Vec<String> {
        kind.alternates(endpoint(canonical))
            .map(|addr| addr.to_string())
            .collect()
    }

    #[test]
    fn the_table_of_five_kinds_holds() {
        let addr = endpoint("192.0.2.1:8233");
        let local = endpoint("127.0.0.1:50000");
        let out = ConnectedAddr::OutboundDirect { addr };
        let inn = ConnectedAddr::InboundDirect { addr };
        let prox_out = ConnectedAddr::OutboundProxy {
            proxy: endpoint("127.0.0.1:9050"),
            local,
        };
        let prox_in = ConnectedAddr::InboundProxy { transient: local };
        let isol = ConnectedAddr::Isolated {
            direction: Direction::Inbound,
        };

        let book = [out, inn, prox_out, prox_in, isol].map(|kind| kind.book_addr());
        assert_eq!(book, [Some(addr), None, None, None, None]);
        let transient = [out, inn, prox_out, prox_in, isol].map(|kind| kind.transient_addr());
        assert_eq!(
            transient,
            [Some(addr), Some(addr), Some(local), Some(local), None]
        );
        let shown = [out, inn, prox_out, prox_in, isol].map(|kind| format!("{kind:?}"));
        assert_eq!(
            shown,
            [
                "Out(192.0.2.1:8233)",
                "In(192.0.2.1:8233)",
                "ProxOut(127.0.0.1:50000)",
                "ProxIn(127.0.0.1:50000)",
                "Isol"
            ]
        );

        assert!(alternates(out, "192.0.2.1:8233").is_empty());
        assert_eq!(alternates(out, "0.0.0.0:9000"), ["192.0.2.1:9000"]);
        assert_eq!(alternates(out, "198.51.100.7:0"), ["198.51.100.7:8233"]);
        assert_eq!(
            alternates(inn, "198.51.100.7:9000"),
            ["198.51.100.7:9000", "192.0.2.1:9000"]
        );
        assert_eq!(alternates(inn, "192.0.2.1:9000"), ["192.0.2.1:9000"]);
        assert_eq!(
            alternates(prox_out, "198.51.100.7:9000"),
            ["198.51.100.7:9000"]
        );
        assert_eq!(
            alternates(prox_in, "198.51.100.7:9000"),
            ["198.51.100.7:9000"]
        );
        assert!(alternates(isol, "198.51.100.7:9000").is_empty());
        assert!(
            alternates(inn, "0.0.0.0:0").is_empty(),
            "what cannot be dialled is no alternate"
        );
    }

    #[test]
    fn claims_never_change_book_or_transient_address() {
        let kind = ConnectedAddr::OutboundDirect {
            addr: endpoint("192.0.2.1:8233"),
        };
        let before = (kind.book_addr(), kind.transient_addr());
        let _claims: Vec<_> = kind.alternates(endpoint("203.0.113.9:1")).collect();
        assert_eq!((kind.book_addr(), kind.transient_addr()), before);
    }

    #[test]
    fn a_mapped_address_is_the_host_it_maps() {
        assert_eq!(endpoint("[::ffff:192.0.2.1]:1"), endpoint("192.0.2.1:1"));
    }
}

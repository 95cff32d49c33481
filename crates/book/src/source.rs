//! Where a candidate was heard of.

use std::fmt;
use std::net::IpAddr;

use crate::prefix::{Group, Grouping};

/// Where a candidate was heard of.
///
/// `None` for an address means that it is not known, as behind a proxy: all such count as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The operator, by configuration or command.
    Operator,
    /// A DNS or HTTPS seed, by its name.
    Seed(Box<str>),
    /// A list that ships with the software or was imported, by its name.
    List(Box<str>),
    /// Node discovery, told by the node at this address.
    Discovery(Option<IpAddr>),
    /// Gossip of the peer at this address.
    Gossip(Option<IpAddr>),
    /// It dialled us from this address.
    Inbound(Option<IpAddr>),
}

impl Source {
    /// The most bytes of a seed's or list's name; what lies beyond is cut.
    pub const MAX_NAME: usize = 253;

    /// Whether what it says comes from strangers.
    pub const fn is_stranger(&self) -> bool {
        !matches!(self, Self::Operator)
    }

    /// Whom its candidates are charged to.
    pub fn group(&self, grouping: Grouping) -> SourceGroup {
        let of = |ip: &Option<IpAddr>| ip.map(|ip| grouping.of_ip(ip));
        match self {
            Self::Operator => SourceGroup::Operator,
            Self::Seed(name) => SourceGroup::Seed(name.clone()),
            Self::List(name) => SourceGroup::List(name.clone()),
            Self::Discovery(ip) => SourceGroup::Discovery(of(ip)),
            Self::Gossip(ip) => SourceGroup::Gossip(of(ip)),
            Self::Inbound(ip) => SourceGroup::Inbound(of(ip)),
        }
    }

    pub(crate) fn bounded(self) -> Self {
        let cut = |name: Box<str>| -> Box<str> {
            let mut end = name.len().min(Self::MAX_NAME);
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name[..end].into()
        };
        match self {
            Self::Seed(name) => Self::Seed(cut(name)),
            Self::List(name) => Self::List(cut(name)),
            Self::Operator | Self::Discovery(_) | Self::Gossip(_) | Self::Inbound(_) => self,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |f: &mut fmt::Formatter<'_>, what: &str, ip: &Option<IpAddr>| match ip {
            Some(ip) => write!(f, "{what} {ip}"),
            None => write!(f, "{what} an unknown address"),
        };
        match self {
            Self::Operator => f.write_str("the operator"),
            Self::Seed(name) => write!(f, "the seed {}", name.escape_default()),
            Self::List(name) => write!(f, "the list {}", name.escape_default()),
            Self::Discovery(ip) => by(f, "discovery through", ip),
            Self::Gossip(ip) => by(f, "gossip of", ip),
            Self::Inbound(ip) => by(f, "a connection from", ip),
        }
    }
}

/// Sources that are likely in one hand, and share one quota.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceGroup {
    /// The operator: no quota.
    Operator,
    /// One seed.
    Seed(Box<str>),
    /// One list.
    List(Box<str>),
    /// The nodes of one address group.
    Discovery(Option<Group>),
    /// The peers of one address group.
    Gossip(Option<Group>),
    /// Those of one address group who dialled us.
    Inbound(Option<Group>),
}

//! What volunteers and clients say, kept and typed.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use peerage_core::{Endpoint, PeerText};

use crate::geography::Geography;
use crate::nat::{Class, NatType, NetworkType, PortMappings};

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in &self.0[..4] {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("…")
            }
        }
    )+};
}

ids! {
    /// A volunteer's key, proved by its session with the broker.
    VolunteerId;
    /// One slot of a volunteer, named by the broker. Clients learn it; with the volunteer's id, which
    /// they do not learn, it is the key of the answer.
    ConnectionId;
    /// A compartment: those who share one may meet.
    CompartmentId;
    /// Whoever sponsors a client; only its limits depend on it.
    SponsorId;
}

/// The compartments of one request. Personal and common ones are different even if their ids agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compartments<'a> {
    /// Known to those who were told, as by a pairing link.
    pub personal: &'a [CompartmentId],
    /// Handed out by the operator.
    pub common: &'a [CompartmentId],
}

/// Protocol versions 1 to 8 as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Versions(u8);

impl Versions {
    /// No version.
    pub const NONE: Self = Self(0);

    /// Also this version; one outside 1 to 8 is not added.
    #[must_use]
    pub const fn with(self, version: u8) -> Self {
        match version {
            1..=8 => Self(self.0 | 1 << (version - 1)),
            _ => self,
        }
    }

    /// What both have.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What either has.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The highest, if any.
    pub const fn highest(self) -> Option<u8> {
        let mut version = 8;
        while version > 0 && self.0 >> (version - 1) & 1 == 0 {
            version -= 1;
        }
        if version == 0 { None } else { Some(version) }
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One bit a version, the lowest for version 1.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// What either side tells of its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Properties {
    /// The NAT as measured.
    pub nat: NatType,
    /// Ports mapped at the router.
    pub mappings: PortMappings,
    /// The kind of network.
    pub network: NetworkType,
    /// Where it is, as the broker's database tells.
    pub geography: Geography,
    /// The protocol versions it speaks.
    pub versions: Versions,
}

impl Properties {
    /// The class that matching goes by.
    pub const fn class(&self) -> Class {
        self.nat.effective(self.mappings, self.network).class()
    }
}

/// A volunteer saying that one slot of it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who.
    pub volunteer: VolunteerId,
    /// Which slot. The pair of both must be unlike that of every other announcement under way.
    pub connection: ConnectionId,
    /// Its network.
    pub properties: Properties,
    /// Where the broker saw it.
    pub address: Endpoint,
    /// Whether the broker wants it chosen first; read with [`Extras::priority`](crate::Extras).
    pub priority: bool,
    /// Whether it is new; read with [`Extras::newcomers`](crate::Extras).
    pub newcomer: bool,
    /// Clients it serves now; read with [`Extras::load`](crate::Extras).
    pub load: u16,
    /// When its caller gives up. None: it waits until it is matched, cancelled, or all is stopped.
    pub deadline: Option<Instant>,
}

/// The transport protocol a client wants to reach its destination by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// A client asking for a volunteer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its network.
    pub properties: Properties,
    /// Where the broker saw the client. Only limits read it.
    ///
    /// # Security
    /// The volunteer must not be told it; the session description says what it needs to know.
    pub address: IpAddr,
    /// Who sponsors the client, if anyone. Only limits read it.
    pub sponsor: Option<SponsorId>,
    /// How the destination is reached.
    pub network: NetworkProtocol,
    /// The destination, `host:port`.
    pub destination: PeerText,
    /// The operator's signed entry that allows the destination; opaque here.
    pub destination_entry: Bytes,
    /// A secret of the client for the volunteer; opaque here.
    pub secret: Bytes,
    /// The client's session description; opaque here.
    pub description: Bytes,
    /// When its caller gives up. None: it waits until it is answered, cancelled, or all is stopped.
    pub deadline: Option<Instant>,
}

impl Offer {
    /// Bytes of what is opaque or text, which the caps count.
    pub fn opaque_len(&self) -> usize {
        self.destination.as_bytes().len()
            + self.destination_entry.len()
            + self.secret.len()
            + self.description.len()
    }
}

/// A volunteer's reply to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The version both will speak.
    pub version: u8,
    /// The volunteer's session description; opaque here.
    pub description: Bytes,
}

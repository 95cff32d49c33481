//! The server that a survey asks: RFC 5780 with two addresses and two ports.
//!
//! It keeps nothing of those who ask but their rates, so it has nothing to run out of.
//!
//! # Security
//! A request with a forged source makes it send to somebody who did not ask. An answer is at most
//! [`Responder::MAX_FACTOR`] times as long as its request, which follows from what RFC 5780 wants in
//! it; nothing is added (no SOFTWARE, and FINGERPRINT only for FINGERPRINT), and each address group
//! has a rate. RESPONSE-PORT and PADDING, which would aim and swell answers, are refused.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use peerage_core::{Detail, Endpoint, Failure, Kind, Limiter, PeerText, Rate, Stage};

use crate::family::Family;
use crate::stun::{Attribute, Class, ErrorCode, Message, kind};

/// One of a server's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leg {
    /// At the other address.
    pub other_address: bool,
    /// At the other port.
    pub other_port: bool,
}

impl Leg {
    /// The first address and port, which clients are told.
    pub const FIRST: Self = Self {
        other_address: false,
        other_port: false,
    };

    /// All four.
    pub const ALL: [Self; 4] = [
        Self::FIRST,
        Self::of(false, true),
        Self::of(true, false),
        Self::of(true, true),
    ];

    const fn of(other_address: bool, other_port: bool) -> Self {
        Self {
            other_address,
            other_port,
        }
    }
}

/// Why two endpoints make no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SitesError {
    /// An address or a port is not given.
    #[error("{at} is not a place that others could ask: give an address and a port")]
    NotAPlace {
        /// The endpoint.
        at: Endpoint,
    },
    /// They must differ.
    #[error("{first} and {other} must differ in address and in port")]
    NotApart {
        /// One.
        first: Endpoint,
        /// The other.
        other: Endpoint,
    },
    /// They must be of one family.
    #[error("{first} and {other} are of two families: run a server for each")]
    TwoFamilies {
        /// One.
        first: Endpoint,
        /// The other.
        other: Endpoint,
    },
}

impl Failure for SitesError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        let text = |at: &Endpoint| PeerText::from(&*at.to_string());
        match self {
            Self::NotAPlace { at } => Detail::none().with("addr", text(at)),
            Self::NotApart { first, other } | Self::TwoFamilies { first, other } => Detail::none()
                .with("first", text(first))
                .with("other", text(other)),
        }
    }
}

/// Where a server is: one endpoint, or two that give four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sites {
    first: Endpoint,
    other: Option<Endpoint>,
}

impl Sites {
    /// One endpoint: tells others where they are seen, and nothing of how their NAT behaves.
    ///
    /// # Errors
    /// When address or port is not given.
    pub fn one(first: Endpoint) -> Result<Self, SitesError> {
        if !first.is_dialable() {
            return Err(SitesError::NotAPlace { at: first });
        }
        Ok(Self { first, other: None })
    }

    /// Two endpoints that differ in address and in port.
    ///
    /// # Errors
    /// When one is incomplete, or they do not differ in both, or are of two families.
    pub fn two(first: Endpoint, other: Endpoint) -> Result<Self, SitesError> {
        let sites = Self::one(first)?;
        Self::one(other)?;
        if Family::of(first.ip()) != Family::of(other.ip()) {
            return Err(SitesError::TwoFamilies { first, other });
        }
        if first.ip() == other.ip() || first.port() == other.port() {
            return Err(SitesError::NotApart { first, other });
        }
        let other = Some(other);
        Ok(Self { other, ..sites })
    }

    /// The endpoint of a leg. With one endpoint every leg is that one.
    pub fn site(&self, leg: Leg) -> Endpoint {
        let other = self.other.unwrap_or(self.first);
        let of = |is_other: bool| if is_other { other } else { self.first };
        Endpoint::new(of(leg.other_address).ip(), of(leg.other_port).port())
    }

    /// The legs there are: one, or four.
    pub fn legs(&self) -> &'static [Leg] {
        if self.other.is_some() {
            &Leg::ALL
        } else {
            &[Leg::FIRST]
        }
    }

    /// The leg at an endpoint.
    pub fn leg_at(&self, at: Endpoint) -> Option<Leg> {
        let mut legs = self.legs().iter();
        legs.find(|leg| self.site(**leg) == at).copied()
    }
}

impl fmt::Display for Sites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.other {
            Some(other) => write!(f, "{} and {other}", self.first),
            None => self.first.fmt(f),
        }
    }
}

/// How much a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponderLimits {
    /// For each address group (IPv4 /24, IPv6 /64). 128 at once, then 32 a second: a survey sends
    /// 30 requests at the most, and many may share a group.
    pub group: Rate,
    /// For all together. 10,000 a second.
    pub total: Rate,
    /// How many groups are remembered; while there are so many, a new one is refused. 65,536.
    pub max_groups: usize,
}

impl Default for ResponderLimits {
    fn default() -> Self {
        Self {
            group: Rate {
                burst: 128,
                per_second: 32,
            },
            total: Rate {
                burst: 10_000,
                per_second: 10_000,
            },
            max_groups: 1 << 16,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Send it from this socket.
    pub leg: Leg,
    /// To this endpoint.
    pub to: Endpoint,
    /// The bytes.
    pub datagram: Bytes,
}

/// What a server has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponderStats {
    /// Datagrams that came.
    pub datagrams: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests answered from elsewhere, as they asked.
    pub moved: u64,
    /// Requests answered by an error.
    pub refused: u64,
    /// Requests beyond a rate.
    pub limited: u64,
    /// What was no request.
    pub foreign: u64,
}

/// A server.
#[derive(Debug)]
pub struct Responder {
    sites: Sites,
    limiter: Limiter,
    stats: ResponderStats,
}

impl Responder {
    /// How many times as long as its request an answer may be: 20 bytes of a bare header draw the
    /// three addresses of RFC 5780, which in IPv6 make 92.
    pub const MAX_FACTOR: usize = 5;

    /// A server at these places.
    pub const fn new(sites: Sites, limits: ResponderLimits) -> Self {
        let ResponderLimits {
            group,
            total,
            max_groups,
        } = limits;
        Self {
            sites,
            limiter: Limiter::new(group, total, max_groups),
            stats: ResponderStats {
                datagrams: 0,
                answered: 0,
                moved: 0,
                refused: 0,
                limited: 0,
                foreign: 0,
            },
        }
    }

    /// Where it is.
    pub const fn sites(&self) -> &Sites {
        &self.sites
    }

    /// The endpoint of a leg.
    pub fn site(&self, leg: Leg) -> Endpoint {
        self.sites.site(leg)
    }

    /// The leg at an endpoint.
    pub fn leg_at(&self, at: Endpoint) -> Option<Leg> {
        self.sites.leg_at(at)
    }

    /// What it has done.
    pub const fn stats(&self) -> ResponderStats {
        self.stats
    }

    /// A datagram came to a leg: the answer, if it gets one.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        leg: Leg,
        from: Endpoint,
        bytes: &[u8],
    ) -> Option<Reply> {
        self.stats.datagrams += 1;
        let request = Message::decode(bytes).ok().filter(|message| {
            let is_request =
                message.class == Class::Request && message.method == super::stun::BINDING;
            // One of our own sockets never asks; somebody would have us talk to ourselves.
            is_request && from.is_dialable() && self.sites.leg_at(from).is_none()
        });
        let Some(request) = request else {
            self.stats.foreign += 1;
            return None;
        };
        if !self.limiter.allow(now, from.ip()) {
            self.stats.limited += 1;
            return None;
        }
        let mut not_understood = request.not_understood();
        let change = request.change().unwrap_or_default();
        if request.change().is_some() && self.sites.other.is_none() {
            // RFC 5780 section 6.1: without another address the attribute is not understood.
            not_understood.insert(0, kind::CHANGE_REQUEST);
        }
        let answer =
            |class| Message::binding(class, request.transaction).fingerprinted(request.fingerprint);
        let (leg, message) = if not_understood.is_empty() {
            let answers = Leg {
                other_address: leg.other_address != change.address,
                other_port: leg.other_port != change.port,
            };
            self.stats.answered += 1;
            self.stats.moved += u64::from(answers != leg);
            // OTHER-ADDRESS is what differs in both from where the request came to (RFC 5780
            // section 7.4).
            let other = Leg {
                other_address: !leg.other_address,
                other_port: !leg.other_port,
            };
            let mut message = answer(Class::Success)
                .with(Attribute::XorMappedAddress(from))
                .with(Attribute::ResponseOrigin(self.site(answers)));
            if self.sites.other.is_some() {
                message = message.with(Attribute::OtherAddress(self.site(other)));
            }
            (answers, message)
        } else {
            self.stats.refused += 1;
            let error = ErrorCode {
                code: ErrorCode::UNKNOWN_ATTRIBUTE,
                reason: PeerText::from("Unknown Attribute"),
            };
            // A request of four bytes an attribute is answered by two; the words may wait.
            let message = answer(Class::Error)
                .with(Attribute::ErrorCode(error))
                .with(Attribute::UnknownAttributes(not_understood));
            (leg, message)
        };
        let datagram = message.encode().ok()?;
        Some(Reply {
            leg,
            to: from,
            datagram,
        })
    }
}

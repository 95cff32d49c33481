//! What a survey found, and on what evidence.

use std::fmt;
use std::time::{Duration, Instant};

use peerage_core::nat::{Behaviour, NatType};
use peerage_core::{Detail, Endpoint, Failure, Kind, PeerText, Stage};

use super::trial::{Question, Trial};
use crate::family::Family;

/// Why a behaviour is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// Nobody to ask.
    #[error("no STUN server of this family is configured: name one")]
    NoServer,
    /// No socket could be opened.
    #[error("no UDP socket of this family could be opened: is the family switched off?")]
    NoSocket,
    /// Nobody answered.
    #[error("no STUN server answered: UDP is blocked, or the servers are down")]
    NoAnswer,
    /// Nobody who answered has a second address.
    #[error("the STUN server has one address, which is not enough: name one with two (RFC 5780)")]
    OneAddress,
    /// The servers do not answer from elsewhere when they are asked to.
    #[error("the STUN server does not answer from another address when asked to (RFC 5780)")]
    Unsupported,
    /// The server's second address answers nobody.
    #[error("the STUN server's other address or port does not answer: it proves nothing")]
    HalfServer,
    /// The answers contradict each other.
    #[error("the answers disagree: a server lies, or the NAT changed meanwhile")]
    Disagree,
    /// The mapping differs, but what it depends on was not asked.
    #[error("the mapping differs from server to server; on what it depends could not be asked")]
    Dependent,
}

impl Unknown {
    /// Its name, for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::NoSocket => "no_socket",
            Self::NoAnswer => "no_answer",
            Self::OneAddress => "one_address",
            Self::Unsupported => "unsupported",
            Self::HalfServer => "half_server",
            Self::Disagree => "disagree",
            Self::Dependent => "dependent",
        }
    }
}

impl Failure for Unknown {
    fn stage(&self) -> Stage {
        Stage::Find("stun")
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoServer => Kind::Usage,
            Self::NoSocket => Kind::Transport,
            Self::NoAnswer => Kind::Timeout,
            Self::OneAddress | Self::Unsupported | Self::HalfServer => Kind::Incompatible,
            Self::Disagree | Self::Dependent => Kind::Unreachable,
        }
    }

    fn detail(&self) -> Detail {
        Detail::none().with("unknown", self.name())
    }
}

/// A behaviour, or why it is not known.
pub type Finding = Result<Behaviour, Unknown>;

/// What was seen of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// The endpoint asked.
    pub at: Endpoint,
    /// Its other address and port, if it has them.
    pub other: Option<Endpoint>,
    /// What it runs, in its words.
    pub software: Option<PeerText>,
    /// What its answers say about filtering.
    pub filtering: Finding,
}

/// What a survey found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which family.
    pub family: Family,
    /// When it began.
    pub started_at: Instant,
    /// When it ended.
    pub ended_at: Instant,
    /// How the NAT maps.
    pub mapping: Finding,
    /// How it filters.
    pub filtering: Finding,
    /// Where we are on this machine, as the socket that asked for mappings had it.
    pub local: Option<Endpoint>,
    /// Where that socket was seen by the first server that answered.
    pub external: Option<Endpoint>,
    /// Every distinct address that it was seen at, in order.
    pub externals: Vec<Endpoint>,
    /// Whether what we send to our own outside comes in again; `None` if it was not asked.
    pub hairpin: Option<bool>,
    /// The servers.
    pub servers: Vec<ServerReport>,
    /// Every question and what came of it.
    pub trials: Vec<Trial>,
}

impl Report {
    /// The type, for matching. What is not known is `Unknown` in it.
    pub fn nat(&self) -> NatType {
        NatType::new(
            self.mapping.unwrap_or(Behaviour::Unknown),
            self.filtering.unwrap_or(Behaviour::Unknown),
        )
    }

    /// Whether our address is changed on its way; `None` if nobody answered.
    pub fn is_translated(&self) -> Option<bool> {
        Some(self.external? != self.local?)
    }

    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.ended_at)
    }

    /// The common name of what was found.
    pub fn name(&self) -> &'static str {
        let open = self.is_translated() == Some(false);
        match (self.nat(), open) {
            (NatType::OPEN, true) => "no NAT",
            (nat, true) if nat.mapping == Behaviour::EndpointIndependent => "no NAT, a firewall",
            (nat, _) => nat.common_name(),
        }
    }

    /// Why the type is not fully known, mapping first; `None` if it is.
    pub fn unknown(&self) -> Option<Unknown> {
        self.mapping.err().or(self.filtering.err())
    }

    /// The trials that ask this.
    pub fn trials_of(&self, question: Question) -> impl Iterator<Item = &Trial> {
        let trials = self.trials.iter();
        trials.filter(move |trial| trial.question == question)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.family, self.name())?;
        match self.external {
            Some(external) => write!(f, ", seen at {external}"),
            None => Ok(()),
        }
    }
}

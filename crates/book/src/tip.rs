//! What a finder found, and whether it was taken.

use peerage_core::{Detail, Endpoint, Failure, Kind, Stage};

use crate::candidate::{Claims, Verdict};
use crate::key::{Identity, Key};
use crate::source::Source;

/// What a finder found: a candidate as one source tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Who, or where.
    pub key: Key,
    /// Where; for a key that is an endpoint itself, nothing else.
    pub endpoints: Vec<Endpoint>,
    /// Who told.
    pub source: Source,
    /// What was told.
    pub claims: Claims,
}

impl Tip {
    /// Somewhere, whoever is there.
    pub fn at(endpoint: Endpoint, source: Source) -> Self {
        Self {
            key: endpoint.into(),
            endpoints: vec![endpoint],
            source,
            claims: Claims::default(),
        }
    }

    /// Somebody, at one of these endpoints; none if it is not known where.
    pub fn of(identity: Identity, endpoints: Vec<Endpoint>, source: Source) -> Self {
        Self {
            key: identity.into(),
            endpoints,
            source,
            claims: Claims::default(),
        }
    }

    /// With services.
    #[must_use]
    pub const fn with_services(mut self, services: u64) -> Self {
        self.claims.services = Some(services);
        self
    }

    /// From a record of this sequence number.
    #[must_use]
    pub const fn with_sequence(mut self, sequence: u64) -> Self {
        self.claims.sequence = Some(sequence);
        self
    }

    /// With what the record's claims mean for us.
    #[must_use]
    pub fn with_verdict(mut self, verdict: Verdict) -> Self {
        self.claims.verdict = verdict;
        self
    }
}

/// What became of a tip that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Added {
    /// The candidate is new.
    New,
    /// It was known.
    Known,
}

/// Why a tip was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No address, port 0, or an address where nobody can be.
    #[error("nobody can be dialled there")]
    Undialable,
    /// A stranger told of a local address.
    #[error("strangers may not tell of local addresses")]
    Local,
    /// A stranger told of a port of another network.
    #[error("the port belongs to another network")]
    ForeignPort,
    /// A name from anyone but the operator.
    #[error("only the operator gives names")]
    Name,
    /// It is ourselves.
    #[error("that address is our own")]
    Own,
    /// It is banned, or not on the list of those permitted.
    #[error("it is banned or not permitted")]
    Banned,
    /// It failed too often, not long ago.
    #[error("it failed too often, not long ago")]
    Buried,
    /// The source has told of as many as it may.
    #[error("its source has told of as many as it may")]
    SourceFull,
    /// The address group holds as many as it may.
    #[error("its address group holds as many as it may")]
    GroupFull,
    /// The book is full, and no source holds more than this one.
    #[error("the book is full")]
    Full,
    /// Last seen too long ago.
    #[error("it was seen too long ago")]
    Stale,
}

impl Refused {
    /// Stable snake-case name, for machines and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undialable => "undialable",
            Self::Local => "local",
            Self::ForeignPort => "foreign_port",
            Self::Name => "name",
            Self::Own => "own",
            Self::Banned => "banned",
            Self::Buried => "buried",
            Self::SourceFull => "source_full",
            Self::GroupFull => "group_full",
            Self::Full => "full",
            Self::Stale => "stale",
        }
    }
}

impl Failure for Refused {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Undialable | Self::Local | Self::ForeignPort | Self::Name => Kind::Usage,
            Self::Own => Kind::SelfConnection,
            Self::Banned | Self::Buried | Self::Stale => Kind::Rejected,
            Self::SourceFull | Self::GroupFull | Self::Full => Kind::Full,
        }
    }

    fn detail(&self) -> Detail {
        Detail::none().with("refused", self.name())
    }
}

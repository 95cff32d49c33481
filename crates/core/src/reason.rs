//! A reason is a value: what failed, where, whose fault, and whether to try again.
//!
//! Every public error implements [`Failure`]; whoever wants one shape for logs, the book, the
//! command line or an exit code asks it for its [`Reason`].

use std::fmt;
use std::time::Duration;

use crate::text::PeerText;

/// Where on the way from name to peer something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the caller's input.
    Input,
    /// Looking for peers, by the finder: `https`, `gossip`.
    Find(&'static str),
    /// Turning a name into endpoints.
    Resolve,
    /// Turning an endpoint into a connection.
    Reach,
    /// A step of the handshake, by the name of the message awaited: `version`, `verack`.
    Greet(&'static str),
    /// Life with an established peer, by what was being done: `ping`, `receive`, `send`.
    Keep(&'static str),
}

impl Stage {
    /// The stage's short lower-case name, the step where there is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Resolve => "resolve",
            Self::Reach => "reach",
            Self::Find(step) | Self::Greet(step) | Self::Keep(step) => step,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blame {
    /// The remote peer.
    Them,
    /// This node: its policy, its load, or a bug in it.
    Us,
    /// Whatever lies between.
    Network,
    /// Whoever called this library.
    Caller,
}

impl Blame {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Them => "them",
            Self::Us => "us",
            Self::Network => "network",
            Self::Caller => "caller",
        }
    }
}

/// Whether the same attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not unless something changes at the other end or in the configuration.
    Never,
    /// At once.
    Now,
    /// Not before this much time has passed.
    After(Duration),
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Now => f.write_str("now"),
            Self::After(wait) => write!(f, "after {}s", wait.as_secs()),
        }
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal, $blame:ident, $retry:expr, $advice:literal;)+) => {
        /// What went wrong, small enough to count and compare. Bans and backoff read this.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[doc = $doc])+ $kind,)+ }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// Stable snake-case name, for machines.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// Whose doing this kind is unless the error knows better.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$kind => Blame::$blame),+ }
            }

            /// Whether to retry unless the error knows better.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$kind => $retry),+ }
            }

            /// What this means and what to do about it, in one sentence for a person.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$kind => $advice),+ }
            }
        }
    };
}

const MINUTES: u64 = 60;
const HOURS: u64 = 60 * MINUTES;

const fn after(seconds: u64) -> Retry {
    Retry::After(Duration::from_secs(seconds))
}

kinds! {
    /// The caller's input or configuration makes no sense.
    Usage = "usage", Caller, Retry::Never,
        "the request itself is wrong: correct it and ask again";
    /// The caller gave up.
    Cancelled = "cancelled", Caller, Retry::Now,
        "the attempt was called off before it could end";
    /// The name has no address, or nobody could be asked.
    Unresolved = "unresolved", Network, after(5 * MINUTES),
        "the name has no address: check its spelling and the resolver";
    /// No route, or the network is down.
    Unreachable = "unreachable", Network, after(5 * MINUTES),
        "no packet gets there: check the route, the firewall and our own connection";
    /// The host answered that nobody listens on the port.
    ConnectionRefused = "connection_refused", Them, after(5 * MINUTES),
        "the host is up but nothing listens on this port: check the port, or that the node runs";
    /// The deadline passed.
    Timeout = "timeout", Them, after(5 * MINUTES),
        "nothing came in time: a firewall drops packets, the peer hangs, or another service listens";
    /// The proxy that we were told to use cannot be used.
    Proxy = "proxy", Us, after(MINUTES),
        "our own proxy cannot be used: check that it runs, its address, credentials and rules";
    /// The peer closed the connection.
    Closed = "closed", Them, after(10 * MINUTES),
        "the peer hung up without a word: it may be full, have banned us, or be on another chain";
    /// Reading or writing failed for another cause.
    Transport = "transport", Network, after(MINUTES),
        "the connection broke: try again, and look at the operating system's error";
    /// What arrived is not this protocol at all.
    NotThisProtocol = "not_this_protocol", Them, Retry::Never,
        "another kind of service listens there: check the address and port";
    /// The peer is honest but on another network or chain.
    WrongNetwork = "wrong_network", Them, Retry::Never,
        "the peer belongs to another network or chain: choose the chain that it speaks";
    /// The peer is on our network, but its chain begins with another block.
    WrongGenesis = "wrong_genesis", Them, Retry::Never,
        "the peer's chain begins with another block: choose the chain that it speaks, or its genesis";
    /// The peer's chain follows other rules than ours.
    WrongFork = "wrong_fork", Them, after(HOURS),
        "the peer follows other forks: it is on another chain, or one of the two has an old fork table";
    /// The other end has not the key that its address names.
    WrongIdentity = "wrong_identity", Them, after(HOURS),
        "another node answers there than the address names: ask for its present address";
    /// Bytes that break the protocol's own encoding.
    Malformed = "malformed", Them, after(24 * HOURS),
        "the peer sent bytes that break the encoding: its software is broken or hostile";
    /// Well-formed messages where the protocol forbids them.
    Violation = "violation", Them, after(24 * HOURS),
        "the peer broke the order of the protocol: its software is broken or hostile";
    /// More than the budget of its stage allows.
    Flood = "flood", Them, after(24 * HOURS),
        "the peer sent more than it may before it has introduced itself";
    /// Honest, but too old to be of use.
    Obsolete = "obsolete", Them, after(24 * HOURS),
        "the peer's software is too old for the chain's current rules: it must upgrade";
    /// Honest, but it lacks what we need.
    Incompatible = "incompatible", Them, after(24 * HOURS),
        "the peer is honest but does not offer what was asked for";
    /// We reached ourselves.
    SelfConnection = "self_connection", Us, Retry::Never,
        "that address is our own: forget it";
    /// Our own policy said no.
    Rejected = "rejected", Us, after(HOURS),
        "our own policy turned the peer away";
    /// The peer said no, in words.
    Refused = "refused", Them, after(HOURS),
        "the peer turned us away and said why";
    /// The peer has no free slot.
    PeerFull = "peer_full", Them, after(10 * MINUTES),
        "the peer has no free slot: nothing is wrong with it or with us, so try again later";
    /// There is a connection between the two nodes already.
    AlreadyConnected = "already_connected", Us, after(5 * MINUTES),
        "the two nodes are connected already: use that connection, or wait until it is forgotten";
    /// The peer said goodbye.
    Left = "left", Them, after(5 * MINUTES),
        "the peer said goodbye: it stops, restarts or makes room for another";
    /// We had no room.
    Full = "full", Us, after(MINUTES),
        "this node has no free slot: raise the limit or wait";
    /// An invariant of ours was broken.
    Bug = "bug", Us, Retry::Never,
        "this is a fault in peerage: please report it with the transcript";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One typed fact of a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A count, length, version or height.
    Uint(u64),
    /// A signed number.
    Int(i64),
    /// A name from our own vocabulary.
    Name(&'static str),
    /// Text from a peer, a table or the operating system: bounded, escaped when shown.
    Text(PeerText),
    /// A span of time.
    Span(Duration),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Uint(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Uint(value.into())
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Uint(value as u64)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Name(value)
    }
}

impl From<PeerText> for Value {
    fn from(value: PeerText) -> Self {
        Self::Text(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Span(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uint(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Name(value) => f.write_str(value),
            Self::Text(value) => value.fmt(f),
            Self::Span(value) => write!(f, "{:.3}s", value.as_secs_f64()),
        }
    }
}

/// The typed facts of a reason, in a fixed order, each under a snake-case name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail(Vec<(&'static str, Value)>);

impl Detail {
    /// No facts.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// The facts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// Why something failed. The one value that logs, the book, the command line and the API read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Where it failed.
    pub stage: Stage,
    /// What failed.
    pub kind: Kind,
    /// Whose doing.
    pub blame: Blame,
    /// Whether to retry.
    pub retry: Retry,
    /// The typed facts.
    pub detail: Detail,
    /// The error in words, its causes included. Text from a peer in it is escaped and bounded.
    pub message: Box<str>,
}

impl Reason {
    /// What this means and what to do about it, in one sentence for a person.
    ///
    /// A peer that leaves an established session says something else by it than one that never
    /// introduced itself.
    pub const fn advice(&self) -> &'static str {
        match (self.stage, self.kind) {
            (Stage::Keep(_), Kind::Closed) => {
                "the peer left: it stopped, made room for another, or did not like what we sent"
            }
            (Stage::Keep(_), Kind::Timeout) => {
                "the peer no longer answers: it hangs, is overloaded, or the way to it is cut"
            }
            (_, kind) => kind.advice(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.kind, self.stage, self.message)
    }
}

/// An error that can answer for itself.
pub trait Failure: std::error::Error {
    /// Where it failed.
    fn stage(&self) -> Stage;

    /// What failed.
    fn kind(&self) -> Kind;

    /// Whose doing.
    fn blame(&self) -> Blame {
        self.kind().blame()
    }

    /// Whether to retry.
    fn retry(&self) -> Retry {
        self.kind().retry()
    }

    /// The typed facts.
    fn detail(&self) -> Detail {
        Detail::none()
    }

    /// All of the above as one value.
    fn reason(&self) -> Reason
    where
        Self: Sized,
    {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Reason {
            stage: self.stage(),
            kind: self.kind(),
            blame: self.blame(),
            retry: self.retry(),
            detail: self.detail(),
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_are_unique_and_snake_case() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }

    #[test]
    fn a_reason_carries_the_whole_chain_of_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not read the answer")]
        struct Outer(#[source] std::io::Error);
        impl Failure for Outer {
            fn stage(&self) -> Stage {
                Stage::Greet("version")
            }
            fn kind(&self) -> Kind {
                Kind::Transport
            }
        }
        let reason = Outer(std::io::Error::other("wire cut")).reason();
        assert_eq!(
            reason.to_string(),
            "transport at version: could not read the answer: wire cut"
        );
        assert_eq!(reason.blame, Blame::Network);
    }
}

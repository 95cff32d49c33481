//! What is known of a greeted peer, in terms that every network shares.

use std::time::Duration;

use peerage_core::PeerText;

use crate::ethereum::EthereumFacts;
use crate::family::VersionFacts;

/// What is known of a greeted peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerFacts {
    /// The peer itself: whom we dialled, by address or name, or where it dialled from. Never a
    /// proxy.
    pub addr: String,
    /// Its software.
    pub agent: PeerText,
    /// The height it claims, where it claims one.
    pub height: Option<u64>,
    /// Messages it sent too early that the network ignores.
    pub dropped: u32,
    /// Messages it sent early that are kept.
    pub early: usize,
    /// The last round trip measured.
    pub rtt: Option<Duration>,
    /// What only its kind of network has.
    pub about: About,
}

/// What only one kind of network knows of a peer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum About {
    /// The version/verack family.
    Version(VersionFacts),
    /// Ethereum.
    Ethereum(Box<EthereumFacts>),
}

/// A fact by itself, for whoever shows them all under their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A number.
    Int(i64),
    /// Yes or no.
    Flag(bool),
    /// Text; what a peer wrote in it is escaped.
    Text(String),
    /// Several texts.
    List(Vec<String>),
    /// It is not known.
    Unknown,
}

impl PeerFacts {
    /// What only its kind of network has, by stable snake-case names.
    pub fn fields(&self) -> Vec<(&'static str, Fact)> {
        match &self.about {
            About::Version(facts) => facts.fields(),
            About::Ethereum(facts) => facts.fields(),
        }
    }

    /// What each step of its handshake brought, in words; as many as the network's
    /// [`Stages::greet`](crate::protocol::Stages::greet).
    pub fn notes(&self) -> Vec<String> {
        match &self.about {
            About::Version(facts) => facts.notes(self),
            About::Ethereum(facts) => facts.notes(self),
        }
    }

    /// What was agreed to be spoken, in a word: `170190`.
    pub fn speaks(&self) -> String {
        match &self.about {
            About::Version(facts) => facts.negotiated.to_string(),
            About::Ethereum(facts) => facts.speaks(),
        }
    }

    /// Where it stands on its chain, in a word: its height, or the last fork that it has passed
    /// where that is what counts; nothing where it tells neither.
    pub fn stands(&self) -> String {
        let chain = match &self.about {
            About::Version(_) => None,
            About::Ethereum(facts) => facts.chain.as_ref(),
        };
        match (chain, self.height) {
            (Some(chain), _) => chain.fork.to_string(),
            (None, Some(height)) => height.to_string(),
            (None, None) => String::new(),
        }
    }

    /// What it claims, for a row of a list: `version 170190  none  height 0`.
    pub fn brief(&self) -> String {
        match &self.about {
            About::Version(facts) => facts.brief(self),
            About::Ethereum(facts) => facts.brief(self),
        }
    }

    /// What it claims, as the end of a sentence about it: `serves nothing at height 0`.
    pub fn in_words(&self) -> String {
        match &self.about {
            About::Version(facts) => facts.in_words(self),
            About::Ethereum(facts) => facts.in_words(self),
        }
    }

    /// What it said in its `version`, where its network has that.
    pub const fn version(&self) -> Option<&VersionFacts> {
        match &self.about {
            About::Version(facts) => Some(facts),
            About::Ethereum(_) => None,
        }
    }

    /// What it said on Ethereum, where it is of that network.
    pub const fn ethereum(&self) -> Option<&EthereumFacts> {
        match &self.about {
            About::Ethereum(facts) => Some(facts),
            About::Version(_) => None,
        }
    }
}

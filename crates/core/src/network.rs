//! Names of networks and of the chains they have.

use std::fmt;

/// A peer-to-peer network, by its lower-case name: `zcash`, `decred`.
///
/// An open set: a new network brings its own name, and nothing here changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(pub &'static str);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// The name of one chain of a network: `mainnet`, `testnet`, `simnet`.
///
/// Chains are data, so the name is owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain(pub Box<str>);

impl Chain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Chain {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

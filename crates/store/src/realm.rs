//! Which network and chain a book is of. One file holds several.

use std::fmt;
use std::sync::Arc;

use peerage_core::{Chain, Network};

/// A network and one of its chains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Realm {
    /// The network's name: `zcash`.
    pub network: Arc<str>,
    /// The chain's name: `mainnet`.
    pub chain: Arc<str>,
}

impl Realm {
    /// A network and one of its chains.
    pub fn new(network: Network, chain: &Chain) -> Self {
        Self {
            network: network.0.into(),
            chain: chain.as_str().into(),
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.chain)
    }
}

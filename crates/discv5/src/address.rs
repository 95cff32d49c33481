//! Addresses: who is meant, of which kind, and in whose company.

use peerage_core::Endpoint;
pub use peerage_core::addr::{Group, Reach};
use std::fmt;

use crate::node_id::NodeId;

/// A node at an address. Sessions, challenges and requests belong to both together: the same node
/// elsewhere has to prove itself anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// The node.
    pub node: NodeId,
    /// Where it is.
    pub endpoint: Endpoint,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.node, self.endpoint)
    }
}

//! How people write the address of a peer.

use peerage_core::Network;

use super::{NETWORKS, by_scheme};
use crate::destination::UnknownScheme;

/// Where somebody asked to go, with the network where the text names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// The network, from the scheme.
    pub network: Option<Network>,
    /// The whole text, for [`AnyNode::destination`](super::AnyNode::destination) to read.
    pub text: String,
}

impl PeerAddress {
    /// Finds the network that `zec://host:port` names; text without a scheme names none.
    ///
    /// # Errors
    /// When the scheme is none that we know.
    pub fn parse(text: &str) -> Result<Self, UnknownScheme> {
        let network = by_scheme(text).map(|network| network.network());
        match (network, text.split_once("://")) {
            (None, Some((scheme, _))) => Err(UnknownScheme {
                got: scheme.into(),
                known: known_schemes(),
            }),
            (network, _) => Ok(Self {
                network,
                text: text.to_owned(),
            }),
        }
    }
}

fn known_schemes() -> String {
    let schemes = NETWORKS.iter().flat_map(|network| network.schemes());
    schemes.copied().collect::<Vec<_>>().join(", ")
}

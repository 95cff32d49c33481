//! How people write the address of a peer.

use peerage_core::{Detail, Failure, Kind, PeerText, Stage};

use crate::networks::{NETWORKS, by_scheme};

/// Where somebody asked to go, with the network where the text names one.
#[derive(Clone, Debug)]
pub struct PeerAddress {
    /// The network, from the scheme.
    pub network: Option<&'static str>,
    /// The rest of the text.
    pub target: String,
}

impl PeerAddress {
    /// Splits `zec://host:port` into its parts; text without a scheme is a target alone.
    ///
    /// # Errors
    /// When the scheme is none that we know.
    pub fn parse(text: &str) -> Result<Self, UnknownScheme> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self {
                network: None,
                target: text.to_owned(),
            });
        };
        let network = by_scheme(scheme).ok_or_else(|| UnknownScheme {
            got: scheme.into(),
            known: known_schemes(),
        })?;
        let target = rest.strip_suffix('/').unwrap_or(rest).to_owned();
        Ok(Self {
            network: Some(network.network().0),
            target,
        })
    }
}

/// A scheme that belongs to no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got}:// belongs to no network; there are {known}")]
pub struct UnknownScheme {
    /// The scheme.
    pub got: PeerText,
    /// Those there are.
    pub known: String,
}

impl Failure for UnknownScheme {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none()
            .with("got", self.got.clone())
            .with("known", PeerText::from(&*self.known))
    }
}

fn known_schemes() -> String {
    let schemes: Vec<_> = NETWORKS
        .iter()
        .map(|n| format!("{}://", n.scheme()))
        .collect();
    schemes.join(", ")
}

//! Why there is no node, and why a dial yielded no peer.

use peerage_core::{Blame, Detail, Failure, Kind, Network, PeerText, Retry, Stage};
use peerage_net::ReachError;

use crate::destination::AddressError;

/// A chain name that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{network} has no chain {got}; it has {known}")]
pub struct UnknownChain {
    /// The network.
    pub network: Network,
    /// The name asked for.
    pub got: PeerText,
    /// The names there are, separated by commas.
    pub known: Box<str>,
}

impl UnknownChain {
    /// `got` is none of the chains `known` of `network`.
    pub fn new<'a>(network: Network, got: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        Self {
            network,
            got: got.into(),
            known: known.join(", ").into(),
        }
    }
}

impl Failure for UnknownChain {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none()
            .with("network", self.network.0)
            .with("got", self.got.clone())
            .with("known", PeerText::from(&*self.known))
    }
}

/// Why a dial yielded no peer. `E` is the network's own handshake error,
/// [`Protocol::Error`](crate::Protocol::Error).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError<E> {
    /// The text is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There was no connection.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// There was no handshake.
    #[error(transparent)]
    Greet(E),
}

impl<E: Failure> DialError<E> {
    /// Each variant's error answers for itself.
    fn inner(&self) -> &dyn Failure {
        match self {
            Self::Address(error) => error,
            Self::Reach(error) => error,
            Self::Greet(error) => error,
        }
    }
}

impl<E: Failure> Failure for DialError<E> {
    fn stage(&self) -> Stage {
        self.inner().stage()
    }

    fn kind(&self) -> Kind {
        self.inner().kind()
    }

    fn blame(&self) -> Blame {
        self.inner().blame()
    }

    fn retry(&self) -> Retry {
        self.inner().retry()
    }

    fn detail(&self) -> Detail {
        self.inner().detail()
    }
}

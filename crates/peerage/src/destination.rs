//! Whom to dial: where, and where the network knows identities, whom.

use std::fmt;
use std::str::FromStr;

use peerage_core::{Detail, Endpoint, Failure, Kind, Network, PeerText, Stage};
use peerage_discv5::record::RecordError;
use peerage_ethereum::enode::EnodeError;
use peerage_ethereum::fork::RecordEntryError;
use peerage_net::{Target, TargetError};

/// A host and port, and the identity expected there where the network has identities.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// Where.
    pub target: Target,
    /// Whom; `None` on networks without identities.
    pub key: Option<PeerKey>,
}

impl From<Target> for Destination {
    /// Somewhere, whoever is there.
    fn from(target: Target) -> Self {
        Self { target, key: None }
    }
}

impl From<Endpoint> for Destination {
    fn from(endpoint: Endpoint) -> Self {
        Target::from(endpoint).into()
    }
}

/// A peer's public key: the 64 bytes of an uncompressed secp256k1 point without its tag, as in an
/// enode address. Whether they are a point at all is for the network to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; 64]);

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

/// Text that is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer's key must be 128 hexadecimal digits")]
pub struct NotAPeerKey;

impl FromStr for PeerKey {
    type Err = NotAPeerKey;

    /// Reads 128 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NotAPeerKey> {
        let mut key = [0; 64];
        crate::hex::fill(text.as_bytes(), &mut key).ok_or(NotAPeerKey)?;
        Ok(Self(key))
    }
}

/// Why text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A scheme that belongs to no network.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// A scheme that is not of this network.
    #[error("{got} is no scheme of {network}; write {expected}")]
    OtherScheme {
        /// The scheme.
        got: PeerText,
        /// The network.
        network: Network,
        /// A form that the network has.
        expected: String,
    },
    /// The host or port is wrong.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The peer's key is wrong.
    #[error(transparent)]
    Key(#[from] NotAPeerKey),
    /// An enode address with something wrong in it.
    #[error("an enode address is enode://KEY@HOST:PORT, but this one {0}")]
    Enode(#[from] EnodeError),
    /// A node record that is no reason to dial.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// The network dials nobody whose key it does not know.
    #[error("{network} needs the peer's key as well: write {expected}")]
    NoKey {
        /// The network.
        network: Network,
        /// A form that the network has.
        expected: String,
    },
}

/// Why a node record is no reason to dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecord {
    /// It is no record, or its signature is wrong.
    #[error("the node record is not sound")]
    Record(#[source] RecordError),
    /// Its `eth` entry names forks that do not fit ours.
    #[error("the node is not for us")]
    Forks(#[source] RecordEntryError),
    /// It is of a consensus-layer node, which greets nobody of the execution layer.
    #[error("the node record is of a consensus-layer node: it has eth2 and no eth")]
    Consensus,
    /// It names no place to dial.
    #[error(
        "the node record names no address with a TCP port: the node takes part in discovery only"
    )]
    NoTcp,
}

impl BadRecord {
    const fn kind(&self) -> Kind {
        match self {
            Self::Record(_) | Self::NoTcp => Kind::Usage,
            Self::Forks(error) => error.kind(),
            Self::Consensus => Kind::Incompatible,
        }
    }
}

impl Failure for AddressError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Record(error) => error.kind(),
            Self::Scheme(_)
            | Self::OtherScheme { .. }
            | Self::Target(_)
            | Self::Key(_)
            | Self::Enode(_)
            | Self::NoKey { .. } => Kind::Usage,
        }
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::Scheme(error) => error.detail(),
            Self::Target(error) => error.detail(),
            Self::OtherScheme { got, network, .. } => {
                detail.with("network", network.0).with("got", got.clone())
            }
            Self::NoKey { network, .. } => detail.with("network", network.0),
            Self::Key(_) | Self::Enode(_) | Self::Record(_) => detail,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_key_reads_back_as_it_is_shown() {
        let mut key = PeerKey([0xa7; 64]);
        key.0[0] = 0;
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_string().to_uppercase().parse(), Ok(key));
        let digits = "0f".repeat(64);
        for wrong in [&digits[1..], &format!("{digits}00"), "", &"é".repeat(64)] {
            assert_eq!(wrong.parse::<PeerKey>(), Err(NotAPeerKey), "{wrong}");
        }
        assert_eq!("+f".repeat(64).parse::<PeerKey>(), Err(NotAPeerKey));
    }
}

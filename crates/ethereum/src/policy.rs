//! The caller's say: whom to turn away, and how early.

pub use peerage_core::policy::{AcceptAll, Policy};
use peerage_core::{ConnectedAddr, Direction, Refusal};

use crate::capability::Capability;
use crate::disconnect::DisconnectReason;
use crate::key::PeerId;

/// What may be relied on about a peer, in the order in which it becomes known.
///
/// A [`Policy`] is asked twice in a handshake: when the keys are exchanged, where refusing is
/// cheapest and a ban, a duplicate or a missing slot can already be told, and again after Hello.
///
/// What a peer merely says of itself, its software and its head, is missing on purpose; it is part
/// of the finished peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// The keys are exchanged: the peer goes no further without the key of this id.
    ///
    /// On an inbound connection it only **claims** the id so far. Refuse by it, but never praise or
    /// blame it: somebody else may have written its name.
    Named {
        /// What is connected.
        addr: ConnectedAddr,
        /// Whose key it must have.
        id: PeerId,
    },
    /// It has proved its key and introduced itself, and something is shared.
    Introduced {
        /// What is connected.
        addr: ConnectedAddr,
        /// Who it is.
        id: PeerId,
        /// What both sides speak.
        shared: Vec<Capability>,
    },
}

impl Remote {
    /// What is connected.
    pub const fn addr(&self) -> ConnectedAddr {
        match self {
            Self::Named { addr, .. } | Self::Introduced { addr, .. } => *addr,
        }
    }

    /// Who it is.
    pub const fn id(&self) -> PeerId {
        match self {
            Self::Named { id, .. } | Self::Introduced { id, .. } => *id,
        }
    }

    /// Who opened the connection.
    pub const fn direction(&self) -> Direction {
        self.addr().direction()
    }
}

/// What a peer is told that the caller turns away.
pub(crate) const fn told(refusal: Refusal) -> DisconnectReason {
    match refusal {
        Refusal::Full => DisconnectReason::TooManyPeers,
        Refusal::Duplicate => DisconnectReason::AlreadyConnected,
        Refusal::Useless => DisconnectReason::UselessPeer,
        // Why is our own business.
        Refusal::Unwanted => DisconnectReason::Requested,
    }
}

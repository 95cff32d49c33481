//! The caller's say in a handshake.

pub use peerage_core::policy::{AcceptAll, Policy};
use peerage_core::{ConnectedAddr, Direction};

use crate::version::{ProtocolVersion, Services};

/// What may be relied on about a peer before its verack: a narrow view of its version.
///
/// A [`Policy`] is asked about it at most once in a handshake: when the version is there, and before
/// anything is promised.
///
/// Its user agent, height, clock and nonce are missing on purpose; they are part of the finished
/// peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteVersion {
    /// What is connected.
    pub addr: ConnectedAddr,
    /// The version it claims.
    pub protocol_version: ProtocolVersion,
    /// The version agreed on: the lower of the two.
    pub negotiated: ProtocolVersion,
    /// What it claims to serve.
    pub services: Services,
}

impl RemoteVersion {
    /// Who opened the connection.
    pub const fn direction(&self) -> Direction {
        self.addr.direction()
    }
}

/// Wants outbound peers only if they serve all of `services`; inbound and isolated ones always.
///
/// For a node that is still syncing: zebra 15 and dcrd both dial full nodes only.
#[derive(Clone, Copy, Debug)]
pub struct RequireServices {
    /// The services required.
    pub services: Services,
}

/// A peer that does not serve what is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer serves {got}, {required} is required")]
pub struct MissingServices {
    /// What is required.
    pub required: Services,
    /// What it claims to serve.
    pub got: Services,
}

impl Policy<RemoteVersion> for RequireServices {
    type Rejection = MissingServices;

    fn judge(&mut self, remote: &RemoteVersion) -> Result<(), MissingServices> {
        let exempt = match remote.addr {
            ConnectedAddr::OutboundDirect { .. } | ConnectedAddr::OutboundProxy { .. } => false,
            ConnectedAddr::InboundDirect { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. } => true,
        };
        if exempt || remote.services.contains(self.services) {
            return Ok(());
        }
        Err(MissingServices {
            required: self.services,
            got: remote.services,
        })
    }
}

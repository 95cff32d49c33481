//! The caller's say in a handshake.

use std::convert::Infallible;
use std::fmt::{Debug, Display};

use peerage_core::{ConnectedAddr, Direction};

use crate::version::{ProtocolVersion, Services};

/// What may be relied on about a peer before its verack: a narrow view of its version.
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

/// Decides whether a peer is wanted, once its version is there and before anything is promised.
///
/// A closure `FnMut(&RemoteVersion) -> Result<(), R>` is a policy.
pub trait Policy {
    /// What it rejects with; travels back to the caller unchanged.
    type Rejection: Debug + Display;

    /// Accepts or rejects. Called at most once in a handshake.
    ///
    /// # Errors
    /// When the peer is not wanted.
    fn judge(&mut self, remote: &RemoteVersion) -> Result<(), Self::Rejection>;
}

impl<F, R: Debug + Display> Policy for F
where
    F: FnMut(&RemoteVersion) -> Result<(), R>,
{
    type Rejection = R;

    fn judge(&mut self, remote: &RemoteVersion) -> Result<(), R> {
        self(remote)
    }
}

/// Wants everybody whom the network's own rules accept.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcceptAll;

impl Policy for AcceptAll {
    type Rejection = Infallible;

    fn judge(&mut self, _: &RemoteVersion) -> Result<(), Infallible> {
        Ok(())
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

impl Policy for RequireServices {
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

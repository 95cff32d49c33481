//! What a party says of its network, and which ports of its router lead to it.
//!
//! Both may change while it runs: they are read when they are needed.

use peerage_core::Endpoint;
use peerage_matcher::{NatType, NetworkType, PortMappings};
use tokio::sync::watch;

use crate::message::Network;
use crate::transport::Transport;

/// What a party says of its network: as configured, as measured, or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnNetwork {
    /// The NAT.
    pub nat: NatType,
    /// Ports mapped at the router.
    pub mappings: PortMappings,
    /// For how many connections at a time that is; `None`: for any number.
    pub mapped_ports: Option<usize>,
    /// What kind of network.
    pub kind: NetworkType,
}

impl OwnNetwork {
    pub(crate) fn with<T: Transport>(self, transport: &T) -> Network {
        Network {
            nat: self.nat,
            mappings: self.mappings,
            kind: self.kind,
            transports: transport.speaks(),
        }
    }

    /// As it is for one who has so many connections: the last of them may find no mapped port left.
    #[must_use]
    pub fn for_connections(self, count: usize) -> Self {
        self.unless(self.mapped_ports.is_some_and(|ports| ports < count))
    }

    /// As it is for a socket that was bound to a mapped port, or to another.
    #[must_use]
    pub(crate) fn for_socket(self, is_mapped: bool) -> Self {
        self.unless(self.mapped_ports.is_some() && !is_mapped)
    }

    const fn unless(mut self, is_unmapped: bool) -> Self {
        if is_unmapped {
            self.mappings = PortMappings::NONE;
        }
        self
    }
}

/// The same, from now on.
#[derive(Clone, Debug)]
pub struct NetworkNow(watch::Receiver<OwnNetwork>);

impl NetworkNow {
    /// As it is now.
    pub fn now(&self) -> OwnNetwork {
        *self.0.borrow()
    }

    /// Waits until it was set anew since this last said so. Pends for ever where it never changes any
    /// more.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One that never changes.
impl From<OwnNetwork> for NetworkNow {
    fn from(network: OwnNetwork) -> Self {
        Self(watch::channel(network).1)
    }
}

impl From<watch::Receiver<OwnNetwork>> for NetworkNow {
    fn from(now: watch::Receiver<OwnNetwork>) -> Self {
        Self(now)
    }
}

impl Default for NetworkNow {
    fn default() -> Self {
        OwnNetwork::default().into()
    }
}

/// A UDP port of ours to which a port of the router leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedPort {
    /// Ours.
    pub local: u16,
    /// Where others reach it.
    pub outside: Endpoint,
}

/// The mapped ports there are, from now on. Each carries one connection at a time; whoever binds it
/// has it.
pub type MappedPorts = watch::Receiver<Vec<MappedPort>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_a_port_of_its_own_is_not_called_mapped() {
        let mappings = PortMappings {
            pcp: true,
            ..PortMappings::NONE
        };
        let own = |mapped_ports| OwnNetwork {
            mappings,
            mapped_ports,
            nat: NatType::SYMMETRIC,
            ..OwnNetwork::default()
        };
        for (ports, connections, mapped) in
            [(None, 1_000, true), (Some(2), 2, true), (Some(2), 3, false)]
        {
            let network = own(ports).for_connections(connections);
            assert_eq!(network.mappings.any(), mapped, "{ports:?} {connections}");
            assert_eq!(network.nat, NatType::SYMMETRIC);
        }
        for (ports, bound, mapped) in [
            (None, false, true),
            (Some(2), true, true),
            (Some(2), false, false),
        ] {
            assert_eq!(own(ports).for_socket(bound).mappings.any(), mapped);
        }
    }
}

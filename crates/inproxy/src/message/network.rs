//! What a party says of its network.

use peerage_core::wire::{ReadError, Reader, Writer};
use peerage_matcher::{Behaviour, NatType, NetworkType, PortMappings, Versions};

use crate::wire::bad;

/// What a party says of its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The NAT, as configured or measured.
    pub nat: NatType,
    /// Ports mapped at the router.
    pub mappings: PortMappings,
    /// What kind of network.
    pub kind: NetworkType,
    /// The transports it speaks, by their numbers.
    pub transports: Versions,
}

pub(super) fn write_network(writer: &mut Writer, network: Network) {
    let PortMappings { upnp, nat_pmp, pcp } = network.mappings;
    let kind = match network.kind {
        NetworkType::Unknown => 0,
        NetworkType::Wired => 1,
        NetworkType::Wifi => 2,
        NetworkType::Mobile => 3,
    };
    writer
        .u8(network.nat.value())
        .u8(u8::from(upnp) | u8::from(nat_pmp) << 1 | u8::from(pcp) << 2)
        .u8(kind)
        .u8(network.transports.bits());
}

pub(super) fn read_network(reader: &mut Reader<'_>) -> Result<Network, ReadError> {
    const BEHAVIOURS: [Behaviour; 4] = [
        Behaviour::Unknown,
        Behaviour::EndpointIndependent,
        Behaviour::AddressDependent,
        Behaviour::AddressAndPortDependent,
    ];
    let offset = reader.offset();
    let nat = reader.u8("nat")?;
    let (Some(&mapping), Some(&filtering)) = (
        BEHAVIOURS.get(usize::from(nat >> 2)),
        BEHAVIOURS.get(usize::from(nat & 3)),
    ) else {
        return Err(bad("nat", offset, nat));
    };
    let offset = reader.offset();
    let bits = reader.u8("mappings")?;
    if bits > 7 {
        return Err(bad("mappings", offset, bits));
    }
    let mappings = PortMappings {
        upnp: bits & 1 != 0,
        nat_pmp: bits & 2 != 0,
        pcp: bits & 4 != 0,
    };
    let offset = reader.offset();
    let kind = match reader.u8("network")? {
        0 => NetworkType::Unknown,
        1 => NetworkType::Wired,
        2 => NetworkType::Wifi,
        3 => NetworkType::Mobile,
        got => return Err(bad("network", offset, got)),
    };
    let bits = reader.u8("transports")?;
    let set = |set: Versions, bit: u8| {
        if bits >> (bit - 1) & 1 == 1 {
            set.with(bit)
        } else {
            set
        }
    };
    Ok(Network {
        nat: NatType::new(mapping, filtering),
        mappings,
        kind,
        transports: (1..=8).fold(Versions::NONE, set),
    })
}

//! The `version` message and the small values in it, shared by the family.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use peerage_core::wire::{ReadError, Reader, Writer};
use peerage_core::{Endpoint, PeerText, UnixTime};

/// A protocol version as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(pub u32);

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u32);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Service bits, unknown ones kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Services(pub u64);

impl Services {
    /// Serves nothing.
    pub const NONE: Self = Self(0);
    /// Serves the whole chain; bit 0 on every network of the family.
    pub const NETWORK: Self = Self(1);

    /// Whether every bit of `wanted` is set.
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address inside a message, 26 bytes: services, IPv6 (IPv4 mapped), port with its most
/// significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetAddr {
    /// Services claimed for the address.
    pub services: Services,
    /// The address as it stands on the wire.
    pub ip: Ipv6Addr,
    /// The port.
    pub port: u16,
}

impl NetAddr {
    /// Length on the wire, in bytes.
    pub const LEN: usize = 26;

    /// An address that says nothing.
    pub const EMPTY: Self = Self {
        services: Services::NONE,
        ip: Ipv6Addr::UNSPECIFIED,
        port: 0,
    };

    /// An address for an endpoint.
    pub fn new(services: Services, endpoint: Endpoint) -> Self {
        let ip = match endpoint.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self {
            services,
            ip,
            port: endpoint.port(),
        }
    }

    /// The endpoint, IPv4 where it is mapped.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(IpAddr::V6(self.ip), self.port)
    }

    /// Reads the 26 bytes.
    ///
    /// # Errors
    /// When bytes are missing.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        let services = Services(reader.u64_le("services")?);
        let ip = reader.ipv6("ip")?;
        let port = reader.u16_be("port")?;
        Ok(Self { services, ip, port })
    }

    /// Writes the 26 bytes.
    pub fn write(&self, writer: &mut Writer) {
        writer
            .u64_le(self.services.0)
            .bytes(&self.ip.octets())
            .u16_be(self.port);
    }
}

/// What a node says about itself first.
///
/// | offset | field | bytes |
/// |---|---|---|
/// | 0 | protocol version | 4 |
/// | 4 | services | 8 |
/// | 12 | time | 8 |
/// | 20 | receiver's address | 26 |
/// | 46 | sender's address | 26 |
/// | 72 | nonce | 8 |
/// | 80 | user agent, CompactSize length first | 1 to 259 |
/// | … | height | 4 |
/// | … | relay | 1 |
///
/// Source: ZIP 204, "Version Message"; dcrd `wire`, "MsgVersion". Integers are little-endian
/// except for ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The highest protocol version the sender speaks.
    pub protocol_version: ProtocolVersion,
    /// What the sender serves.
    pub services: Services,
    /// The sender's clock.
    pub time: UnixTime,
    /// The receiver, as the sender sees it.
    pub addr_recv: NetAddr,
    /// The sender, as it sees itself.
    pub addr_from: NetAddr,
    /// Recognised by the sender if it comes back: a connection to itself.
    pub nonce: Nonce,
    /// The sender's software.
    pub user_agent: PeerText,
    /// The height of the sender's best block.
    pub height: Height,
    /// Whether the sender wants transactions announced.
    pub relay: bool,
}

impl Version {
    /// The longest user agent, in bytes, on both networks.
    pub const USER_AGENT_MAX: usize = 256;

    /// The longest encoding, in bytes: 80 fixed, 3 + 256 of agent, 4 of height, 1 of relay.
    pub const MAX_LEN: usize = 80 + 3 + Self::USER_AGENT_MAX + 4 + 1;

    /// Writes the whole message.
    pub fn write(&self, writer: &mut Writer) {
        writer
            .u32_le(self.protocol_version.0)
            .u64_le(self.services.0)
            .i64_le(self.time.0);
        self.addr_recv.write(writer);
        self.addr_from.write(writer);
        writer
            .u64_le(self.nonce.0)
            .var_text(self.user_agent.as_bytes())
            .u32_le(self.height.0)
            .u8(self.relay.into());
    }
}

/// The 64 bits that tell a node its own `version` message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub u64);

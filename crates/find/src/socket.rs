//! UDP sockets: one for each family.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use peerage_core::{Detail, Endpoint, Failure, Kind, PeerText, Stage};
use peerage_discv5::record::{Builder, Family};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The receive buffer asked of the system, in bytes: 800 of the longest packets, what a busy node
/// gets while its task waits for a processor. The system may give less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Where to listen: IPv4, IPv6, or both on a socket each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// The address for IPv4, if that is spoken.
    pub v4: Option<SocketAddrV4>,
    /// The address for IPv6, if that is spoken. Its socket takes no IPv4.
    pub v6: Option<SocketAddrV6>,
}

impl Bind {
    /// One family: that of the address.
    pub const fn at(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => Self {
                v4: Some(addr),
                v6: None,
            },
            SocketAddr::V6(addr) => Self {
                v4: None,
                v6: Some(addr),
            },
        }
    }

    /// Both families on every interface, at the same port; 0 lets the system choose two.
    pub const fn dual(port: u16) -> Self {
        Self {
            v4: Some(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)),
            v6: Some(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)),
        }
    }

    /// Adds an address to what is there; a second of the same family replaces the first.
    #[must_use]
    pub const fn and(mut self, addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => self.v4 = Some(addr),
            SocketAddr::V6(addr) => self.v6 = Some(addr),
        }
        self
    }
}

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No address was given.
    #[error("no address to listen at: give one of IPv4, of IPv6, or of both")]
    Nowhere,
    /// Another socket has the port.
    #[error("UDP port {} is in use: choose another, or stop the program that has it", addr.port())]
    InUse {
        /// The address.
        addr: SocketAddr,
    },
    /// The address is not one of this machine.
    #[error("{} is no address of this machine: choose one that is, or the unspecified one", addr.ip())]
    NotOurs {
        /// The address.
        addr: SocketAddr,
    },
    /// The system does not permit it.
    #[error("no right to use UDP port {}: take a port above 1023, or get the right", addr.port())]
    NotPermitted {
        /// The address.
        addr: SocketAddr,
    },
    /// The system refuses for another cause: the family is switched off, for instance.
    #[error("cannot listen at {addr}")]
    System {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl BindError {
    fn of(addr: SocketAddr, error: io::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the system's errors are an open set"
        )]
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { addr },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { addr },
            _ => Self::System { addr, error },
        }
    }
}

impl Failure for BindError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Nowhere => Detail::none(),
            Self::InUse { addr }
            | Self::NotOurs { addr }
            | Self::NotPermitted { addr }
            | Self::System { addr, .. } => {
                Detail::none().with("addr", PeerText::from(&*addr.to_string()))
            }
        }
    }
}

/// The sockets of a node, bound and not yet used. Their ports are known, so that a record can name
/// them.
#[derive(Debug)]
pub struct Sockets {
    pub(crate) v4: Option<UdpSocket>,
    pub(crate) v6: Option<UdpSocket>,
}

impl Sockets {
    /// Binds the sockets.
    ///
    /// # Errors
    /// When one cannot be had; none is kept then.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn bind(at: &Bind) -> Result<Self, BindError> {
        let open = |addr: SocketAddr| open(addr).map_err(|error| BindError::of(addr, error));
        let v4 = at.v4.map(|addr| open(addr.into())).transpose()?;
        let v6 = at.v6.map(|addr| open(addr.into())).transpose()?;
        if v4.is_none() && v6.is_none() {
            return Err(BindError::Nowhere);
        }
        Ok(Self { v4, v6 })
    }

    /// Where they listen, IPv4 first, with the ports that the system chose.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + use<> {
        let of =
            |socket: &Option<UdpSocket>| socket.as_ref()?.local_addr().ok().map(Endpoint::from);
        [of(&self.v4), of(&self.v6)].into_iter().flatten()
    }

    /// Writes the addresses into a record, as far as they are addresses that others can use: an
    /// unspecified one names no place.
    #[must_use]
    pub fn describe(&self, record: Builder) -> Builder {
        let named = self.endpoints().filter(Endpoint::is_dialable);
        named.fold(record, |record, at| {
            record.ip(at.ip()).udp(Family::of(at.ip()), at.port())
        })
    }

    pub(crate) const fn of(&self, family: Family) -> Option<&UdpSocket> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // IPv4 has a socket of its own, so no source is ever a mapped address.
        socket.set_only_v6(true)?;
    }
    // A wish: with less room more datagrams are lost, which the protocol allows for.
    drop(socket.set_recv_buffer_size(RECEIVE_BUFFER));
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

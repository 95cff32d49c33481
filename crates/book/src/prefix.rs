//! Ranges of addresses, and the group that an address belongs to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::key::{Address, Name};

/// A CIDR range: an address and how many of its leading bits count.
///
/// The bits that do not count are zero and IPv4-mapped addresses are IPv4, so a range is one value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

/// Text or numbers that are no range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a range is ADDRESS or ADDRESS/BITS, with at most 32 bits for IPv4 and 128 for IPv6")]
pub struct NotAPrefix;

const fn bits(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(addr: IpAddr, len: u8) -> IpAddr {
    match addr {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl Prefix {
    /// The range of all addresses whose first `len` bits are those of `addr`.
    ///
    /// # Errors
    /// When the address has fewer bits than that.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, NotAPrefix> {
        let addr = addr.to_canonical();
        if len > bits(addr) {
            return Err(NotAPrefix);
        }
        Ok(Self {
            addr: masked(addr, len),
            len,
        })
    }

    /// The range at most `len` bits long around an address: shorter addresses are ranges of their
    /// own.
    pub(crate) fn around(addr: IpAddr, len: u8) -> Self {
        let addr = addr.to_canonical();
        let len = len.min(bits(addr));
        Self {
            addr: masked(addr, len),
            len,
        }
    }

    /// One address alone.
    pub fn host(addr: IpAddr) -> Self {
        Self::around(addr, 128)
    }

    /// What one subscriber has: an IPv4 address, or the /64 of an IPv6 address. Whoever has one
    /// address of a /64 has them all, so an automatic ban of less would be none.
    pub fn subscriber(addr: IpAddr) -> Self {
        Self::around(addr, 64)
    }

    /// The first address of the range.
    pub const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// How many bits count.
    pub const fn bits(&self) -> u8 {
        self.len
    }

    /// Whether `addr` lies in the range.
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        addr.is_ipv4() == self.addr.is_ipv4() && masked(addr, self.len) == self.addr
    }

    /// The last address of the range.
    pub(crate) fn last(&self) -> IpAddr {
        match self.addr {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(self.len.into()).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() | host).into()
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(self.len.into()).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() | host).into()
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(f)?;
        if self.len < bits(self.addr) {
            write!(f, "/{}", self.len)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        match text.split_once('/') {
            None => Ok(Self::host(text.parse().map_err(|_| NotAPrefix)?)),
            Some((addr, len)) => {
                let addr = addr.parse().map_err(|_| NotAPrefix)?;
                Self::new(addr, len.parse().map_err(|_| NotAPrefix)?)
            }
        }
    }
}

/// How far an address can be heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Nobody can be there: unspecified, multicast, broadcast, reserved.
    Nowhere,
    /// This host, this site, or a document: loopback, private, link-local, shared, examples.
    Local,
    /// The Internet.
    Public,
}

impl Reach {
    /// How far `ip` can be heard of, by the IANA special-purpose address registries (RFC 6890).
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                if a == 0 || v4.is_multicast() || a >= 240 {
                    Self::Nowhere
                } else if v4.is_loopback()
                    || v4.is_private()
                    || v4.is_link_local()
                    || v4.is_documentation()
                    // Carrier-grade NAT (RFC 6598) and benchmarks (RFC 2544).
                    || (a == 100 && b & 0xc0 == 64)
                    || (a == 198 && b & 0xfe == 18)
                {
                    Self::Local
                } else {
                    Self::Public
                }
            }
            IpAddr::V6(v6) => {
                let [first, second, ..] = v6.segments();
                if v6.is_unspecified() || v6.is_multicast() {
                    Self::Nowhere
                } else if v6.is_loopback()
                    || first & 0xfe00 == 0xfc00
                    || first & 0xffc0 == 0xfe80
                    || (first == 0x2001 && second == 0x0db8)
                {
                    Self::Local
                } else {
                    Self::Public
                }
            }
        }
    }
}

/// Addresses that are likely in one hand: what diversity and quotas count by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Local addresses. No limit by group holds for them: a test network has one group.
    Local,
    /// A range of public addresses.
    Net(Prefix),
    /// A host known by name alone.
    Name(Box<str>),
}

/// How many leading bits make a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Of an IPv4 address; 16 by default, as in Bitcoin Core and dcrd.
    pub v4: u8,
    /// Of an IPv6 address; 32 by default: what a registry gives one provider.
    pub v6: u8,
}

impl Default for Grouping {
    fn default() -> Self {
        Self { v4: 16, v6: 32 }
    }
}

impl Grouping {
    /// The group of an IP address.
    ///
    /// An IPv6 address that only wraps an IPv4 one, by NAT64 (RFC 6052) or 6to4 (RFC 3056), is in
    /// the group of that one: otherwise each IPv4 address would open a fresh group.
    pub fn of_ip(self, ip: IpAddr) -> Group {
        let ip = ip.to_canonical();
        if Reach::of(ip) != Reach::Public {
            return Group::Local;
        }
        Group::Net(match ip {
            IpAddr::V4(_) => Prefix::around(ip, self.v4),
            IpAddr::V6(v6) => match wrapped(v6) {
                Some(v4) => Prefix::around(v4.into(), self.v4),
                None => Prefix::around(ip, self.v6),
            },
        })
    }

    /// The group of an address.
    pub fn of(self, address: &Address) -> Group {
        match address {
            Address::At(endpoint) => self.of_ip(endpoint.ip()),
            Address::Named(name) => Group::Name(Name::host(name).into()),
        }
    }
}

fn wrapped(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |a: u16, b: u16| Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => Some(v4(a, b)),
        _ => None,
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Net(prefix) => prefix.fmt(f),
            Self::Name(host) => f.write_str(host),
        }
    }
}

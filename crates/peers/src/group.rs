//! Address groups: what one operator is likely to own as a whole.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use peerage_core::ConnectedAddr;

/// The addresses that share a prefix, by their first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(IpAddr);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Group {
    /// The first address of the group.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

/// How addresses are grouped, and which belong to no group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Leading bits of an IPv4 address that make a group; at most 32.
    pub v4_bits: u8,
    /// Leading bits of an IPv6 address that make a group; at most 128.
    pub v6_bits: u8,
    /// Networks whose addresses belong to no group, so that no group limit applies to them.
    pub exempt: Vec<IpNet>,
}

/// /24 and /64 (zebra PR 11255: a limit per IPv6 address is no limit). Loopback, private, shared and
/// link-local networks are exempt: whoever speaks from there is beside us.
impl Default for Groups {
    fn default() -> Self {
        let v4 = |a, b, bits| Ipv4Net::new(Ipv4Addr::new(a, b, 0, 0), bits).map(IpNet::from);
        let v6 = |head, bits| {
            Ipv6Net::new(Ipv6Addr::new(head, 0, 0, 0, 0, 0, 0, 0), bits).map(IpNet::from)
        };
        let exempt = [
            v4(127, 0, 8),
            v4(10, 0, 8),
            v4(172, 16, 12),
            v4(192, 168, 16),
            v4(100, 64, 10),
            v4(169, 254, 16),
            v6(0xfc00, 7),
            v6(0xfe80, 10),
            Ipv6Net::new(Ipv6Addr::LOCALHOST, 128).map(IpNet::from),
        ];
        Self {
            v4_bits: 24,
            v6_bits: 64,
            exempt: exempt.into_iter().flatten().collect(),
        }
    }
}

impl Groups {
    /// Grouping without exemptions.
    pub fn strict() -> Self {
        Self {
            exempt: Vec::new(),
            ..Self::default()
        }
    }

    /// The group of `ip`, or `None` when it is exempt. IPv4-mapped addresses count as IPv4.
    pub fn of(&self, ip: IpAddr) -> Option<Group> {
        let ip = ip.to_canonical();
        if self.exempt.iter().any(|net| net.contains(&ip)) {
            return None;
        }
        Some(Group(match ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX
                    .checked_shl(32_u32.saturating_sub(self.v4_bits.into()))
                    .unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & mask).into()
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX
                    .checked_shl(128_u32.saturating_sub(self.v6_bits.into()))
                    .unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & mask).into()
            }
        }))
    }

    /// The group of a connection. One through a proxy or an isolated one has none: its address says
    /// nothing about the peer.
    pub fn of_connection(&self, addr: &ConnectedAddr) -> Option<Group> {
        match addr {
            ConnectedAddr::OutboundDirect { addr } | ConnectedAddr::InboundDirect { addr } => {
                self.of(addr.ip())
            }
            ConnectedAddr::OutboundProxy { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_prefixes_and_near_networks_have_none() {
        let groups = Groups::default();
        let of = |text: &str| {
            groups
                .of(text.parse().unwrap())
                .map(|group| group.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        for (ip, group) in [
            ("192.0.2.77", some("192.0.2.0")),
            ("::ffff:192.0.2.1", some("192.0.2.0")),
            ("2001:db8:1:2:3:4:5:6", some("2001:db8:1:2::")),
            ("127.3.2.1", None),
            ("10.1.2.3", None),
            ("172.31.0.1", None),
            ("172.32.0.1", some("172.32.0.0")),
            ("192.168.9.9", None),
            ("100.64.0.1", None),
            ("fd00::1", None),
            ("fe80::1", None),
            ("::1", None),
        ] {
            assert_eq!(of(ip), group, "{ip}");
        }
        let whole = Groups {
            v4_bits: 0,
            v6_bits: 128,
            exempt: Vec::new(),
        };
        let of = |text: &str| whole.of(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(of("203.0.113.1"), "0.0.0.0");
        assert_eq!(of("2001:db8::1"), "2001:db8::1");
        let nonsense = Groups {
            v4_bits: 200,
            ..Groups::strict()
        };
        assert_eq!(
            nonsense.of("203.0.113.1".parse().unwrap()).unwrap().ip(),
            "203.0.113.1".parse::<IpAddr>().unwrap()
        );
    }
}

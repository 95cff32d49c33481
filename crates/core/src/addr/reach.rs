//! What kind of address, and in whose company.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Loopback,
    /// A local network: private, shared (carrier-grade), link-local or unique-local.
    Private,
    /// Everywhere.
    Global,
    /// Nobody's: unspecified, multicast, broadcast, reserved.
    Unusable,
}

impl Reach {
    /// The kind of `ip`; a mapped address is of the kind of the address it maps.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, ..] = ip.octets();
        if ip.is_loopback() {
            Self::Loopback
        } else if a == 0 || a >= 224 {
            Self::Unusable
        } else if ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64) {
            Self::Private
        } else {
            Self::Global
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_unspecified() || ip.is_multicast() {
            Self::Unusable
        } else if ip.is_unique_local() || ip.is_unicast_link_local() {
            Self::Private
        } else {
            Self::Global
        }
    }

    /// Whether a node at an address of this kind can use, and may vouch for, an address of the
    /// other kind. Nobody outside may make us talk to our own machine or network.
    pub const fn may_share(self, other: Self) -> bool {
        match other {
            Self::Global => true,
            Self::Private => matches!(self, Self::Private | Self::Loopback),
            Self::Loopback => matches!(self, Self::Loopback),
            Self::Unusable => false,
        }
    }

    /// Whether limits by address apply. Many nodes of one local network, or of a test on one
    /// machine, are nothing unusual.
    pub const fn is_limited(self) -> bool {
        matches!(self, Self::Global | Self::Unusable)
    }
}

/// Addresses that one party is likely to own together: an IPv4 /24 or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The first three bytes.
    V4([u8; 3]),
    /// The first eight bytes.
    V6([u8; 8]),
}

impl Group {
    /// The group of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_has_its_reach() {
        for (text, reach) in [
            ("127.0.0.1", Reach::Loopback),
            ("127.255.0.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("10.1.2.3", Reach::Private),
            ("172.31.0.1", Reach::Private),
            ("172.32.0.1", Reach::Global),
            ("192.168.0.1", Reach::Private),
            ("169.254.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.128.0.1", Reach::Global),
            ("fd00::1", Reach::Private),
            ("fe80::1", Reach::Private),
            ("8.8.8.8", Reach::Global),
            ("2001:db8::1", Reach::Global),
            ("0.0.0.0", Reach::Unusable),
            ("224.0.0.1", Reach::Unusable),
            ("255.255.255.255", Reach::Unusable),
            ("ff02::1", Reach::Unusable),
            ("::", Reach::Unusable),
        ] {
            assert_eq!(Reach::of(ip(text)), reach, "{text}");
        }
    }

    #[test]
    fn nobody_outside_vouches_for_an_inside_address() {
        use Reach::{Global, Loopback, Private, Unusable};
        let kinds = [Loopback, Private, Global, Unusable];
        let table = kinds.map(|from| kinds.map(|about| from.may_share(about)));
        assert_eq!(table[0], [true, true, true, false]);
        assert_eq!(table[1], [false, true, true, false]);
        assert_eq!(table[2], [false, false, true, false]);
    }

    #[test]
    fn a_group_is_a_24_or_a_64_and_a_mapped_address_is_in_the_group_it_maps() {
        assert_eq!(Group::of(ip("192.0.2.1")), Group::of(ip("192.0.2.200")));
        assert_ne!(Group::of(ip("192.0.2.1")), Group::of(ip("192.0.3.1")));
        let mapped = ip("::ffff:192.0.2.9");
        assert_eq!(Group::of(mapped), Group::V4([192, 0, 2]));
        assert_eq!(
            Group::of(ip("2001:db8::1")),
            Group::of(ip("2001:db8::ff:1"))
        );
        assert_ne!(
            Group::of(ip("2001:db8::1")),
            Group::of(ip("2001:db8:0:1::1"))
        );
    }
}

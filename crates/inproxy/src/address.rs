//! Which addresses are of use to a stranger.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is, as far as introductions care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// A host of the internet.
    Public,
    /// A host of a private network: RFC 1918, RFC 4193, RFC 6598, link-local.
    Private,
    /// This host itself.
    Loopback,
    /// No host at all: unspecified, multicast, documentation, reserved, or an IPv6 address that
    /// carries an IPv4 one elsewhere.
    Bogus,
}

/// One row: a prefix, its length, and what it means.
type Row<A> = (A, u8, Reach);

use Reach::{Bogus, Loopback, Private, Public};

/// The IANA IPv4 Special-Purpose Address Registry (RFC 6890), those not globally reachable, and
/// multicast. The first row that fits decides.
const V4: &[Row<Ipv4Addr>] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Bogus),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Private),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Bogus),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Bogus),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Bogus),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Bogus),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Bogus),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Bogus),
    (Ipv4Addr::new(224, 0, 0, 0), 3, Bogus),
];

/// The IANA IPv6 Special-Purpose Address Registry, in the same way; what is outside 2000::/3 is not
/// handed out to anyone.
const V6: &[Row<Ipv6Addr>] = &[
    (Ipv6Addr::LOCALHOST, 128, Loopback),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Private),
    // Teredo, benchmarking, ORCHID, and the other protocol assignments.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Bogus),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Bogus),
    // 6to4 names an IPv4 host.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Bogus),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Bogus),
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, Public),
    (Ipv6Addr::UNSPECIFIED, 0, Bogus),
];

/// What kind of address this is. An IPv4-mapped one is the IPv4 address it maps.
pub fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let fits = |row: &&Row<Ipv4Addr>| {
                let shift = 32 - u32::from(row.1);
                ip.to_bits() >> shift == row.0.to_bits() >> shift
            };
            V4.iter().find(fits).map_or(Public, |row| row.2)
        }
        IpAddr::V6(ip) => {
            let fits = |row: &&Row<Ipv6Addr>| {
                let shift = 128 - u32::from(row.1);
                let bits = ip.to_bits() ^ row.0.to_bits();
                bits.checked_shr(shift).unwrap_or(0) == 0
            };
            V6.iter().find(fits).map_or(Bogus, |row| row.2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_every_range() {
        for (ip, expected) in [
            ("0.255.255.255", Bogus),
            ("1.0.0.0", Public),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("169.254.169.254", Private),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.0.2.1", Bogus),
            ("192.168.0.1", Private),
            ("198.17.255.255", Public),
            ("198.19.255.255", Bogus),
            ("198.51.100.1", Bogus),
            ("203.0.113.1", Bogus),
            ("223.255.255.255", Public),
            ("224.0.0.0", Bogus),
            ("255.255.255.255", Bogus),
            ("::", Bogus),
            ("::1", Loopback),
            ("::2", Bogus),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:8.8.8.8", Public),
            ("64:ff9b::8.8.8.8", Bogus),
            ("2001::1", Bogus),
            ("2001:1ff:ffff::", Bogus),
            ("2001:200::1", Public),
            ("2001:db8::1", Bogus),
            ("2002:7f00:1::", Bogus),
            ("2606:4700::1", Public),
            ("3fff::1", Bogus),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fe80::1", Private),
            ("ff02::1", Bogus),
        ] {
            assert_eq!(reach(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}

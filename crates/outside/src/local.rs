//! Where this machine is attached, as far as the system tells.
//!
//! The address on the way out is told by every system: a UDP socket is connected, which sends
//! nothing. The router and the kind of network are read from Linux's `/proc` and `/sys`; elsewhere
//! they are unknown, and the user may declare the kind.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use peerage_core::Endpoint;
use peerage_core::nat::NetworkType;
use peerage_nat::Family;
use peerage_nat::watch::Attachment;

/// An address that stands for everybody outside: of documentation, so that nobody has it (RFC 5737,
/// RFC 3849). Nothing is sent to it.
fn somebody(family: Family) -> SocketAddr {
    match family {
        Family::V4 => (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
        Family::V6 => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
    }
}

pub(crate) const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Our address on the way to `to`.
///
/// # Errors
/// When there is no way.
pub fn address_toward(to: Endpoint) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((unspecified(Family::of(to.ip())), 0))?;
    socket.connect(to.socket_addr())?;
    Ok(socket.local_addr()?.ip())
}

/// Where we are attached; `None` without a way out.
pub fn attachment(family: Family) -> Option<Attachment> {
    let local = address_toward(somebody(family).into()).ok()?;
    Some(Attachment {
        local,
        gateway: gateway(family),
    })
}

/// The router on the way out, on Linux.
pub fn gateway(family: Family) -> Option<IpAddr> {
    Some(default_route(family)?.1)
}

/// The kind of network on the way out, on Linux: from its interface's type, or its customary name.
pub fn network_type(family: Family) -> NetworkType {
    match default_route(family) {
        Some((interface, _)) => kind_of(Path::new("/sys/class/net"), &interface),
        None => NetworkType::Unknown,
    }
}

/// The interface and the router of the way out with the least metric.
fn default_route(family: Family) -> Option<(String, IpAddr)> {
    let (file, parse): (_, fn(&str) -> Option<Route>) = match family {
        Family::V4 => ("/proc/net/route", parse_v4),
        Family::V6 => ("/proc/net/ipv6_route", parse_v6),
    };
    let routes = std::fs::read_to_string(file).ok()?;
    let best = routes
        .lines()
        .filter_map(parse)
        .min_by_key(|route| route.metric)?;
    Some((best.interface, best.gateway))
}

#[derive(Debug, PartialEq, Eq)]
struct Route {
    interface: String,
    gateway: IpAddr,
    metric: u32,
}

/// Up, and through a gateway: `RTF_UP | RTF_GATEWAY`.
const USABLE: u32 = 0x0003;

/// A line of `/proc/net/route` that is a default: interface, destination, gateway, flags, two
/// counts, metric, mask, all hexadecimal; addresses as the processor stores them.
fn parse_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [
        interface,
        "00000000",
        gateway,
        flags,
        _,
        _,
        metric,
        "00000000",
        ..,
    ] = fields[..]
    else {
        return None;
    };
    if u32::from_str_radix(flags, 16).ok()? & USABLE != USABLE {
        return None;
    }
    let gateway = u32::from_str_radix(gateway, 16).ok()?;
    Some(Route {
        interface: interface.to_owned(),
        gateway: Ipv4Addr::from(gateway.to_ne_bytes()).into(),
        metric: metric.parse().ok()?,
    })
}

/// A line of `/proc/net/ipv6_route` that is a default: destination and its length, source and its
/// length, next hop, metric, two counts, flags, interface.
fn parse_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [
        destination,
        "00",
        _,
        _,
        gateway,
        metric,
        _,
        _,
        flags,
        interface,
    ] = fields[..]
    else {
        return None;
    };
    let is_usable = u32::from_str_radix(flags, 16).ok()? & USABLE == USABLE;
    if destination.bytes().any(|digit| digit != b'0') || !is_usable {
        return None;
    }
    let gateway = u128::from_str_radix(gateway, 16).ok()?;
    Some(Route {
        interface: interface.to_owned(),
        gateway: Ipv6Addr::from(gateway).into(),
        metric: u32::from_str_radix(metric, 16).ok()?,
    })
}

/// Types of links that only modems have (`linux/if_arp.h`): PPP, and raw IP.
const MODEM_LINKS: [&str; 2] = ["512", "519"];

/// How modems are customarily called, where their type does not tell.
const MODEM_NAMES: [&str; 4] = ["wwan", "rmnet", "ccmni", "pdp"];

fn kind_of(folder: &Path, interface: &str) -> NetworkType {
    // An interface has no slash in its name; this is a path all the same.
    if interface.contains('/') || interface.starts_with('.') {
        return NetworkType::Unknown;
    }
    let folder = folder.join(interface);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let uevent = read("uevent");
    let is_type = |kind: &str| uevent.lines().any(|line| line == format!("DEVTYPE={kind}"));
    let link = read("type");
    let is_named = MODEM_NAMES.iter().any(|name| interface.starts_with(name));
    if is_type("wwan") || MODEM_LINKS.contains(&link.trim()) || is_named {
        NetworkType::Mobile
    } else if is_type("wlan") || folder.join("wireless").exists() {
        NetworkType::Wifi
    } else if folder.join("device").exists() && link.trim() == "1" {
        NetworkType::Wired
    } else {
        // A tunnel, a bridge, a virtual machine: what is behind it is not told.
        NetworkType::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_linux_writes_them() {
        let line = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let route = parse_v4(line).unwrap();
        assert_eq!((&*route.interface, route.metric), ("eth0", 100));
        if cfg!(target_endian = "little") {
            assert_eq!(route.gateway.to_string(), "192.168.1.1");
        }
        for other in [
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
            "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
            "eth0\t00000000\t0101A8C0\t0002\t0\t0\t100\t00000000\t0\t0\t0",
            "",
        ] {
            assert_eq!(parse_v4(other), None, "{other}");
        }
        let zeros = "0".repeat(32);
        let hop = "fe800000000000000000000000000001";
        let line =
            format!("{zeros} 00 {zeros} 00 {hop} 00000400 00000003 00000000 00450003     eth0");
        let route = parse_v6(&line).unwrap();
        assert_eq!(
            (route.gateway.to_string().as_str(), route.metric),
            ("fe80::1", 1024)
        );
        let reject = line.replace("00450003", "00200200");
        assert_eq!(parse_v6(&reject), None);
        let net = line.replacen("00 ", "40 ", 1);
        assert_eq!(parse_v6(&net), None);
    }

    #[test]
    fn a_modem_is_told_by_type_link_or_name() {
        let folder = std::env::temp_dir().join(format!("peerage-links-{}", std::process::id()));
        let write = |interface: &str, name: &str, text: &str| {
            std::fs::create_dir_all(folder.join(interface)).unwrap();
            std::fs::write(folder.join(interface).join(name), text).unwrap();
        };
        write("wwp0", "uevent", "DEVTYPE=wwan\nINTERFACE=wwp0\n");
        write("ppp0", "type", "512\n");
        write("rmnet_data0", "type", "530\n");
        write("wlp2s0", "uevent", "DEVTYPE=wlan\n");
        write("enp1s0", "type", "1\n");
        write("enp1s0", "device", "");
        write("tun0", "type", "65534\n");
        for (interface, kind) in [
            ("wwp0", NetworkType::Mobile),
            ("ppp0", NetworkType::Mobile),
            ("rmnet_data0", NetworkType::Mobile),
            ("wlp2s0", NetworkType::Wifi),
            ("enp1s0", NetworkType::Wired),
            ("tun0", NetworkType::Unknown),
            ("absent", NetworkType::Unknown),
            ("../wlp2s0", NetworkType::Unknown),
        ] {
            assert_eq!(kind_of(&folder, interface), kind, "{interface}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

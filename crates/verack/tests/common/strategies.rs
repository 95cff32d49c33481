//! Values of every kind that goes over the wire, for property tests.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use peerage_core::{PeerText, UnixTime};
use peerage_verack::envelope::Command;
use peerage_verack::message::TimedAddr;
use peerage_verack::version::NetAddr;
use peerage_verack::{Height, Nonce, ProtocolVersion, Reject, Services, Version, decred, zcash};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) fn net_addr() -> impl Strategy<Value = NetAddr> {
    (any::<u64>(), ipv6(), any::<u16>()).prop_map(|(services, ip, port)| NetAddr {
        services: Services(services),
        ip,
        port,
    })
}

/// Any address, mapped and unspecified ones often.
fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(Ipv6Addr::from),
        any::<[u8; 4]>().prop_map(|v4| Ipv4Addr::from(v4).to_ipv6_mapped()),
        Just(Ipv6Addr::UNSPECIFIED),
    ]
}

/// A version that both networks can read: Decred wants a printable user agent.
pub(crate) fn version() -> impl Strategy<Value = Version> {
    let numbers = (any::<u32>(), any::<u64>(), any::<i64>(), any::<u64>());
    let addrs = (net_addr(), net_addr());
    let rest = (vec(0x20_u8..=0x7e, 0..=256), any::<u32>(), any::<bool>());
    (numbers, addrs, rest).prop_map(|(numbers, (addr_recv, addr_from), rest)| {
        let (protocol_version, services, time, nonce) = numbers;
        let (user_agent, height, relay) = rest;
        Version {
            protocol_version: ProtocolVersion(protocol_version),
            services: Services(services),
            time: UnixTime(time),
            addr_recv,
            addr_from,
            nonce: Nonce(nonce),
            user_agent: PeerText::new(&user_agent),
            height: Height(height),
            relay,
        }
    })
}

/// A time as `addr` carries it.
fn short_time() -> impl Strategy<Value = UnixTime> {
    any::<u32>().prop_map(|seconds| UnixTime(seconds.into()))
}

fn timed_addrs() -> impl Strategy<Value = Vec<TimedAddr>> {
    vec(
        (short_time(), net_addr()).prop_map(|(time, addr)| TimedAddr { time, addr }),
        list_len(),
    )
}

/// Mostly short lists; CompactSize changes its form at 253, and 1,000 is the limit.
fn list_len() -> impl Strategy<Value = usize> + Into<proptest::collection::SizeRange> {
    0..6_usize
}

fn reject() -> impl Strategy<Value = Reject> {
    let text = |max| vec(any::<u8>(), 0..=max).prop_map(|bytes| PeerText::new(&bytes));
    let message = text(Reject::MAX_MESSAGE);
    let reason = text(Reject::MAX_REASON);
    (message, any::<u8>(), reason, any::<Option<[u8; 32]>>()).prop_map(
        |(message, code, reason, hash)| Reject {
            message,
            code,
            reason,
            hash,
        },
    )
}

pub(crate) fn zcash_message() -> impl Strategy<Value = zcash::Message> {
    use zcash::{AddrV2, Message, NetworkAddr};
    let addr = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| NetworkAddr::Ipv4(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| NetworkAddr::Ipv6(ip.into())),
        any::<[u8; 32]>().prop_map(NetworkAddr::TorV3),
        any::<[u8; 32]>().prop_map(NetworkAddr::I2p),
        any::<[u8; 16]>().prop_map(|ip| NetworkAddr::Cjdns(ip.into())),
    ];
    let entry = (short_time(), any::<u64>(), addr, any::<u16>());
    let entry = entry.prop_map(|(time, services, addr, port)| AddrV2 {
        time,
        services: Services(services),
        addr,
        port,
    });
    let opaque = prop::sample::select(vec!["inv", "getdata", "headers", "tx", "block", "alert"]);
    prop_oneof![
        any::<u64>().prop_map(Message::Ping),
        any::<u64>().prop_map(Message::Pong),
        reject().prop_map(Message::Reject),
        Just(Message::GetAddr),
        timed_addrs().prop_map(Message::Addr),
        vec(entry, list_len()).prop_map(Message::AddrV2),
        (opaque, vec(any::<u8>(), 0..200)).prop_map(|(command, payload)| Message::Opaque {
            command: Command::from_static(command),
            payload: Bytes::from(payload),
        }),
    ]
}

pub(crate) fn decred_message() -> impl Strategy<Value = decred::Message> {
    use decred::{AddrV2, Message, NetworkAddr};
    let addr = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| NetworkAddr::Ipv4(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| NetworkAddr::Ipv6(ip.into())),
        any::<[u8; 32]>().prop_map(NetworkAddr::TorV3),
    ];
    let entry = (any::<i64>(), any::<u64>(), addr, any::<u16>());
    let entry = entry.prop_map(|(time, services, addr, port)| AddrV2 {
        time: UnixTime(time),
        services: Services(services),
        addr,
        port,
    });
    let opaque = prop::sample::select(vec!["inv", "getdata", "headers", "tx", "block", "cfilter"]);
    prop_oneof![
        any::<u64>().prop_map(Message::Ping),
        any::<u64>().prop_map(Message::Pong),
        Just(Message::GetAddr),
        timed_addrs().prop_map(Message::Addr),
        // Not empty, by Decred's rule.
        vec(entry, 1..6).prop_map(Message::AddrV2),
        (opaque, vec(any::<u8>(), 0..200)).prop_map(|(command, payload)| Message::Opaque {
            command: Command::from_static(command),
            payload: Bytes::from(payload),
        }),
    ]
}

/// Commands that the decoders tell apart, and one that they do not.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let names = [
        "version", "ping", "pong", "reject", "getaddr", "addr", "addrv2", "inv", "zzz",
    ];
    prop::sample::select(names.map(Command::from_static).to_vec())
}

/// Bytes that look like a list more often than chance allows: a count, then anything.
pub(crate) fn payload() -> impl Strategy<Value = Vec<u8>> {
    let count = prop_oneof![
        Just(vec![]),
        (0_u8..5).prop_map(|count| vec![count]),
        Just(vec![0xfd, 0xe8, 0x03]),
        Just(vec![0xfd, 0xe9, 0x03]),
        Just(vec![0xfe, 0xff, 0xff, 0xff, 0x7f]),
        Just(vec![0xff; 9]),
    ];
    (count, vec(any::<u8>(), 0..300)).prop_map(|(mut bytes, rest)| {
        bytes.extend(rest);
        bytes
    })
}

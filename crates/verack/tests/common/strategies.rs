//! Values of every kind that goes over the wire, for property tests.

mod of_decred;
mod of_zcash;

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use peerage_core::{PeerText, UnixTime};
use peerage_verack::envelope::Command;
use peerage_verack::message::{Hash, Locators, TimedAddr};
use peerage_verack::version::NetAddr;
use peerage_verack::{Height, Nonce, ProtocolVersion, Reject, Services, Version, decred, zcash};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::Net;

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

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn hashes(most: usize) -> impl Strategy<Value = Vec<Hash>> {
    vec(hash(), 0..=most)
}

fn data(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

fn locators() -> impl Strategy<Value = Locators> {
    (any::<u32>(), hashes(5), hash()).prop_map(|(version, hashes, stop)| Locators {
        version,
        hashes,
        stop,
    })
}

/// One strategy per variant, so that none can be left out by chance.
pub(crate) fn zcash_messages() -> Vec<BoxedStrategy<zcash::Message>> {
    of_zcash::messages()
}

/// One strategy per variant, so that none can be left out by chance.
pub(crate) fn decred_messages() -> Vec<BoxedStrategy<decred::Message>> {
    of_decred::messages()
}

pub(crate) fn zcash_message() -> impl Strategy<Value = zcash::Message> {
    Union::new(zcash_messages())
}

pub(crate) fn decred_message() -> impl Strategy<Value = decred::Message> {
    Union::new(decred_messages())
}

/// Commands that the decoders of either network tell apart, and one that they do not.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let names = [zcash::Zcash::NAMES, decred::Decred::NAMES].concat();
    let commands = names.into_iter().map(Command::from_static);
    let others = [Command::VERSION, Command::from_static("zzz")];
    prop::sample::select(commands.chain(others).collect::<Vec<_>>())
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

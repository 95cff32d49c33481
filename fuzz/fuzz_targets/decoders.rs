//! Bytes as whole frames: every decoder of both networks, explained and encoded again.
//!
//! The first byte chooses network and protocol version, the second a command from the table or a
//! stream of raw bytes; the rest is the payload, put into an envelope with a right checksum.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use peerage_core::wire::{Reader, Writer};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message;
use peerage_verack::dissect::{dissect, dissect_stream, frame, meaning, shown};
use peerage_verack::envelope::Command;
use peerage_verack::zcash::Zcash;
use peerage_verack::{ChainTable, Dialect, ProtocolVersion, Table, decred, zcash};
use std::sync::LazyLock;

static ZCASH: LazyLock<Table> = LazyLock::new(zcash::builtin_table);
static DECRED: LazyLock<Table> = LazyLock::new(decred::builtin_table);

const COMMANDS: [&str; 32] = [
    "version", "verack", "ping", "pong", "reject", "addr", "addrv2", "inv", "getdata", "notfound",
    "getblocks", "getheaders", "headers", "filterload", "filteradd", "alert", "feefilter",
    "getinitstate", "initstate", "miningstate", "getcfilter", "cfilter", "getcfheaders",
    "cfheaders", "cftypes", "getcfilterv2", "cfilterv2", "getcfsv2", "cfiltersv2", "mempool",
    "unknown", "tx",
];

fuzz_target!(|bytes: &[u8]| {
    let [choice, command, payload @ ..] = bytes else { return };
    if choice & 1 == 0 {
        let version = if choice & 2 == 0 { 170_190 } else { 170_013 };
        check::<Zcash>(&ZCASH.chains[0], ProtocolVersion(version), *command, payload);
    } else {
        let version = [9, 10, 11, 12][usize::from(choice >> 1) % 4];
        check::<Decred>(&DECRED.chains[0], ProtocolVersion(version), *command, payload);
    }
});

fn check<D: Dialect>(chain: &ChainTable, version: ProtocolVersion, command: u8, payload: &[u8]) {
    let Some(name) = COMMANDS.get(usize::from(command)) else {
        let taken: usize = dissect_stream::<D>(chain, version, payload)
            .iter()
            .map(|(_, found)| found.payload.len())
            .sum();
        assert!(taken <= payload.len());
        return;
    };
    let command = Command::from_wire(wire(name)).unwrap();
    let bytes = frame::<D>(chain, command, payload);
    let found = dissect::<D>(chain, version, &bytes);
    for field in &found.fields {
        assert!(field.offset + field.len <= payload.len());
        let _shown = (shown(field), meaning::<D>(chain, field), field.path());
    }
    if found.error.is_some() || *name == "version" || *name == "verack" {
        return;
    }
    // What was accepted once is stable: written again and read again it is the same.
    let payload = Bytes::copy_from_slice(payload);
    let message =
        D::Message::read(command, &mut Reader::new(&payload), &payload, version).unwrap();
    let mut writer = Writer::new(1 << 26);
    message.write(&mut writer);
    let again = writer.finish().unwrap();
    assert_eq!(found.canonical, again == payload);
    let twice = D::Message::read(command, &mut Reader::new(&again), &again, version).unwrap();
    assert_eq!(twice, message);
}

fn wire(name: &str) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

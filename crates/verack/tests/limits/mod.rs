//! The longest message of every command: it comes back, one entry more is refused both ways, and
//! the table's size is exactly its length, or says here why it is more.

mod of_decred;
mod of_zcash;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use peerage_core::{PeerText, Session, UnixTime};
use peerage_verack::dialect::Message as _;
use peerage_verack::envelope::Command;
use peerage_verack::message::{Hash, Locators, MAX_ADDRS, MAX_INV, TimedAddr};
use peerage_verack::version::NetAddr;
use peerage_verack::zcash::Zcash;
use peerage_verack::{
    Dialect as _, MessageError, ProtocolVersion, Reject, Services, SessionError, decred::Decred,
    zcash,
};

use crate::common::{Net, current, header};
use crate::roundtrip::{a_message_comes_back, read, refused_to_send, session, write};

/// The longest of a message, what the table allows beyond it, and messages that are over a limit.
struct Longest<M> {
    message: M,
    slack: usize,
    over: Vec<M>,
}

impl<M> Longest<M> {
    fn exactly(message: M, over: Vec<M>) -> Self {
        Self::with_slack(message, 0, over)
    }

    fn with_slack(message: M, slack: usize, over: Vec<M>) -> Self {
        Self {
            message,
            slack,
            over,
        }
    }
}

/// Above this, checksums would take the time of the whole suite.
const QUICK: usize = 1 << 18;

fn check<D: Net>(rows: &[Longest<D::Message>], version: u32) -> BTreeSet<String> {
    let mut checked = BTreeSet::new();
    for row in rows {
        let command = row.message.command();
        let max = D::max_payload(command, ProtocolVersion(version)).unwrap();
        let payload = write(&row.message);
        assert_eq!(payload.len() + row.slack, max, "{command}");
        if payload.len() <= QUICK {
            a_message_comes_back::<D>(&row.message, version);
        } else {
            let read = read::<D>(command, &payload, version);
            assert!(read.as_ref() == Some(&row.message), "{command}");
        }
        for over in &row.over {
            let payload = write(over);
            let refused =
                payload.len() > max || read::<D>(over.command(), &payload, version).is_none();
            assert!(refused, "{command}");
            refused_to_send::<D>(over, version);
        }
        checked.insert(command.to_string());
    }
    checked
}

fn names<D: Net>() -> BTreeSet<String> {
    D::NAMES.iter().map(|name| (*name).to_owned()).collect()
}

fn hashes(count: usize) -> Vec<Hash> {
    vec![Hash([7; 32]); count]
}

fn locators(count: usize) -> Locators {
    Locators {
        version: 1,
        hashes: hashes(count),
        stop: Hash::default(),
    }
}

fn timed_addrs(count: usize) -> Vec<TimedAddr> {
    let entry = TimedAddr {
        time: UnixTime(7),
        addr: NetAddr::EMPTY,
    };
    vec![entry; count]
}

fn data(len: usize) -> Bytes {
    vec![3; len].into()
}

#[test]
fn the_longest_zcash_messages_come_back_and_one_more_is_refused() {
    let checked = check::<Zcash>(&of_zcash::rows(), current::<Zcash>());
    assert_eq!(checked, names::<Zcash>());
}

#[test]
fn the_longest_decred_messages_come_back_and_one_more_is_refused() {
    let mut checked = check::<Decred>(&of_decred::rows(), 12);
    checked.extend(check::<Decred>(&of_decred::addrs(), 11));
    assert_eq!(checked, names::<Decred>());
}

/// What fills Zcash's `addrv2` to its last byte: 1,000 addresses of a network nobody knows.
#[test]
fn the_longest_addrv2_is_read_and_left_out() {
    let mut payload = vec![0xfd, 0xe8, 0x03];
    for _ in 0..MAX_ADDRS {
        payload.extend([0; 4]);
        payload.extend([0xff; 9]);
        payload.extend([0x77, 0xfd, 0x00, 0x02]);
        payload.extend([9; 512]);
        payload.extend([0, 0]);
    }
    let command = Command::from_static("addrv2");
    let max = Zcash::max_payload(command, ProtocolVersion(current::<Zcash>()));
    assert_eq!(Some(payload.len()), max);
    let read = read::<Zcash>(command, &payload.into(), current::<Zcash>());
    assert_eq!(read, Some(zcash::Message::AddrV2(vec![])));
}

/// CompactSize changes its form at 253.
#[test]
fn lists_around_a_change_of_form_come_back() {
    for count in [0, 1, 252, 253, 254] {
        let addrs = zcash::Message::Addr(timed_addrs(count));
        a_message_comes_back::<Zcash>(&addrs, current::<Zcash>());
        let blocks = zcash::Message::GetBlocks(locators(count));
        a_message_comes_back::<Zcash>(&blocks, current::<Zcash>());
        let inv = vec![zcash::Inventory::Block(Hash([1; 32])); count];
        a_message_comes_back::<Zcash>(&zcash::Message::Inv(inv), current::<Zcash>());
    }
}

fn a_size_is_judged_by_the_header<D: Net>(version: u32) {
    for name in D::NAMES {
        let command = Command::from_static(name);
        let max = D::max_payload(command, ProtocolVersion(version)).unwrap();
        let len = u32::try_from(max).unwrap();
        if max > 0 {
            let (_, mut codec) = session::<D>(version);
            let mut input = BytesMut::from(&header::<D>(name, len)[..]);
            assert_eq!(codec.decode(&mut input), Ok(None), "{name} waits");
        }
        for over in [len + 1, u32::MAX] {
            let (_, mut codec) = session::<D>(version);
            let mut input = BytesMut::from(&header::<D>(name, over)[..]);
            let error = codec.decode(&mut input).unwrap_err();
            let oversized = MessageError::Oversized {
                command,
                len: over as usize,
                limit: max,
            };
            assert_eq!(error, SessionError::Message(oversized), "{name}");
        }
    }
}

#[test]
fn every_size_is_judged_by_the_header_before_its_payload_is_there() {
    a_size_is_judged_by_the_header::<Zcash>(current::<Zcash>());
    for version in 9..=12 {
        a_size_is_judged_by_the_header::<Decred>(version);
    }
}

//! What is written is read back, what is read is written back, and nothing a stranger sends can
//! cost more than its own bytes.

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Reader, Writer};
use peerage_core::{Direction, Failure, Kind, Session, Stage, UnixTime};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dialect::Message;
use peerage_verack::dissect::{dissect, dissect_stream, frame};
use peerage_verack::envelope::{Command, Envelope, FrameError, HEADER_LEN};
use peerage_verack::message::TimedAddr;
use peerage_verack::version::NetAddr;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{Codec, Dialect, PeerInfo, ProtocolVersion, Reject, SessionError, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::strategies::{command, decred_message, payload, version, zcash_message};
use crate::common::{Dialogue, Net, current, payload_of, verack};

/// No payload of these tests is longer.
const LIMIT: usize = 1 << 25;

pub(crate) fn write<M: Message>(message: &M) -> Bytes {
    let mut writer = Writer::new(LIMIT);
    message.write(&mut writer);
    writer.finish().unwrap()
}

pub(crate) fn read<D: Dialect>(
    command: Command,
    payload: &Bytes,
    version: u32,
) -> Option<D::Message> {
    let version = ProtocolVersion(version);
    D::Message::read(command, &mut Reader::new(payload), payload, version).ok()
}

fn read_version<D: Dialect>(payload: &[u8]) -> Option<Version> {
    D::read_version(&mut Reader::new(payload)).ok()
}

/// An established peer who speaks `version`.
pub(crate) fn session<D: Net>(version: u32) -> (PeerInfo, Codec<D>) {
    let mut dialogue = Dialogue::<D>::new(Direction::Inbound);
    dialogue.hear_all([crate::common::version::<D>(version), verack::<D>()]);
    dialogue.into_peer().0.into_parts()
}

pub(crate) fn a_message_comes_back<D: Net>(message: &D::Message, version: u32) {
    let payload = write(message);
    assert_eq!(
        read::<D>(message.command(), &payload, version).as_ref(),
        Some(message)
    );
    let (_, mut codec) = session::<D>(version);
    let mut wire = BytesMut::new();
    codec.encode(message, &mut wire).unwrap();
    assert_eq!(wire, frame::<D>(&D::chain(), message.command(), &payload));
    assert_eq!(codec.decode(&mut wire).unwrap().as_ref(), Some(message));
    assert!(wire.is_empty());
    assert_eq!(codec.decode(&mut wire).unwrap(), None);
}

/// Reads anything; what is accepted may be written in fewer ways than it came, but only once.
fn anything_is_read_safely<D: Dialect>(command: Command, payload: &Bytes, version: u32) {
    if let Some(message) = read::<D>(command, payload, version) {
        let again = write(&message);
        let reread = read::<D>(command, &again, version);
        assert_eq!(reread.as_ref(), Some(&message), "decoding is stable");
        assert_eq!(write(&message), again, "so is encoding");
    }
    if let Some(read) = read_version::<D>(payload) {
        let again = payload_of(&read);
        assert_eq!(read_version::<D>(&again), Some(read));
        assert!(again.len() <= Version::MAX_LEN);
    }
}

/// A version that has the message: `addr` and `addrv2` never exist in the same one.
fn version_with(message: &decred::Message) -> u32 {
    if matches!(message, decred::Message::Addr(_)) {
        11
    } else {
        12
    }
}

fn it_is_explained_in_full<D: Net>(message: &D::Message, version: u32) {
    let bytes = frame::<D>(&D::chain(), message.command(), &write(message));
    let found = dissect::<D>(&D::chain(), ProtocolVersion(version), &bytes);
    assert_eq!(found.error, None, "{message:?}");
    assert!(found.canonical, "{message:?}");
    let mut at = 0;
    for field in &found.fields {
        assert_eq!(field.offset, at, "fields follow each other: {field:?}");
        at += field.len;
    }
    assert_eq!(at, found.payload.len(), "every byte is explained");
}

fn an_explanation_agrees_with_the_reader<D: Net>(command: Command, payload: &Bytes) {
    let chain = D::chain();
    let version = ProtocolVersion(current::<D>());
    let bytes = frame::<D>(&chain, command, payload);
    let found = dissect::<D>(&chain, version, &bytes);
    if command == Command::VERSION {
        if payload.len() <= D::max_payload(command, version).unwrap() {
            assert_eq!(found.error.is_none(), read_version::<D>(payload).is_some());
        }
    } else if found.error.is_none() {
        assert!(read::<D>(command, payload, version.0).is_some());
    }
    let mut at = 0;
    for field in &found.fields {
        assert_eq!(field.offset, at, "fields follow each other: {field:?}");
        at += field.len;
    }
    assert!(at <= payload.len());
    if found.error.is_none() {
        assert_eq!(at, payload.len(), "every byte is explained");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_version_comes_back_from_both_networks(version in version()) {
        let payload = payload_of(&version);
        prop_assert_eq!(read_version::<Zcash>(&payload), Some(version.clone()));
        prop_assert_eq!(read_version::<Decred>(&payload), Some(version));
    }

    #[test]
    fn a_zcash_message_comes_back(message in zcash_message()) {
        a_message_comes_back::<Zcash>(&message, current::<Zcash>());
    }

    #[test]
    fn a_decred_message_comes_back(message in decred_message()) {
        a_message_comes_back::<Decred>(&message, version_with(&message));
    }

    /// Every byte of every message has a name, and ours is the form in which it stays.
    #[test]
    fn a_message_is_explained_in_full(zcash in zcash_message(), decred in decred_message()) {
        it_is_explained_in_full::<Zcash>(&zcash, current::<Zcash>());
        it_is_explained_in_full::<Decred>(&decred, version_with(&decred));
    }

    /// A message with a byte changed, or cut, gets further into the reader than noise does.
    #[test]
    fn a_damaged_message_is_refused_or_stable(
        zcash in zcash_message(), decred in decred_message(), at in any::<prop::sample::Index>(),
        byte: u8, cut in any::<prop::sample::Index>(), whole: bool,
    ) {
        let damaged = |payload: Bytes| {
            let mut payload = payload.to_vec();
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            if !whole {
                payload.truncate(cut.index(payload.len() + 1));
            }
            Bytes::from(payload)
        };
        let payload = damaged(write(&zcash));
        anything_is_read_safely::<Zcash>(zcash.command(), &payload, current::<Zcash>());
        let payload = damaged(write(&decred));
        anything_is_read_safely::<Decred>(decred.command(), &payload, version_with(&decred));
    }

    /// Each payload has one end.
    #[test]
    fn a_byte_more_is_refused(
        zcash in zcash_message(), decred in decred_message(), more: u8,
    ) {
        let longer = |payload: Bytes| Bytes::from([&payload[..], &[more]].concat());
        let opaque = matches!(zcash, zcash::Message::Opaque { .. });
        // A reject without a hash may have one, but that has 32 bytes.
        if !opaque {
            let payload = longer(write(&zcash));
            prop_assert_eq!(read::<Zcash>(zcash.command(), &payload, current::<Zcash>()), None);
        }
        if !matches!(decred, decred::Message::Opaque { .. }) {
            let payload = longer(write(&decred));
            let version = version_with(&decred);
            prop_assert_eq!(read::<Decred>(decred.command(), &payload, version), None);
        }
    }

    #[test]
    fn whatever_is_accepted_is_stable_once_written(
        command in command(), payload in payload(),
        version in prop_oneof![8_u32..14, Just(170_013), Just(170_014), Just(170_190)],
    ) {
        let payload = Bytes::from(payload);
        anything_is_read_safely::<Zcash>(command, &payload, version);
        anything_is_read_safely::<Decred>(command, &payload, version);
    }

    /// A version with a few bytes changed gets further into the reader than noise does.
    #[test]
    fn a_damaged_version_is_refused_or_stable(
        version in version(), at in any::<prop::sample::Index>(), byte: u8, cut in 0_usize..400,
    ) {
        let mut payload = payload_of(&version).to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        payload.truncate(cut);
        let payload = Bytes::from(payload);
        anything_is_read_safely::<Zcash>(Command::VERSION, &payload, 12);
        anything_is_read_safely::<Decred>(Command::VERSION, &payload, 12);
    }

    #[test]
    fn an_explanation_covers_every_byte_and_agrees(command in command(), payload in payload()) {
        let payload = Bytes::from(payload);
        an_explanation_agrees_with_the_reader::<Zcash>(command, &payload);
        an_explanation_agrees_with_the_reader::<Decred>(command, &payload);
    }

    #[test]
    fn any_bytes_are_explained_without_panic(bytes in vec(any::<u8>(), 0..200), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(&Zcash::chain().magic);
        }
        let version = ProtocolVersion(current::<Zcash>());
        let found = dissect_stream::<Zcash>(&Zcash::chain(), version, &bytes);
        let explained = found.last().map_or(0, |(at, last)| match last.header {
            Some(header) => bytes.len().min(at + header.wire_len()),
            None => bytes.len(),
        });
        prop_assert_eq!(explained, bytes.len());
    }

    /// The room made for a list is what its bytes can hold, whatever its count says.
    #[test]
    fn a_declared_count_buys_no_memory(payload in payload()) {
        let payload = Bytes::from(payload);
        let list = |name| Command::from_static(name);
        if let Some(zcash::Message::Addr(addrs)) = read::<Zcash>(list("addr"), &payload, 12) {
            prop_assert!(addrs.capacity() * TimedAddr::LEN <= payload.len());
        }
        if let Some(zcash::Message::AddrV2(addrs)) = read::<Zcash>(list("addrv2"), &payload, 12) {
            prop_assert!(addrs.capacity() * 9 <= payload.len());
        }
        if let Some(decred::Message::AddrV2(addrs)) = read::<Decred>(list("addrv2"), &payload, 12) {
            prop_assert!(addrs.capacity() * 23 <= payload.len());
        }
        for name in ["inv", "getdata", "notfound"] {
            use zcash::Message::{GetData, Inv, NotFound};
            if let Some(Inv(list) | GetData(list) | NotFound(list)) =
                read::<Zcash>(list(name), &payload, 170_190)
            {
                prop_assert!(list.capacity() * 36 <= payload.len());
            }
        }
    }

    /// Nor does a declared length: the envelope keeps what it was given, and no more.
    #[test]
    fn a_declared_length_buys_no_memory(len: u32, command in command(), there in 0_usize..64) {
        let envelope = Envelope { magic: Zcash::chain().magic, checksum: Zcash::checksum };
        let mut bytes = frame::<Zcash>(&Zcash::chain(), command, &[]).to_vec();
        bytes[16..20].copy_from_slice(&len.to_le_bytes());
        bytes.resize(HEADER_LEN + there, 0);
        let mut input = BytesMut::from(&bytes[..]);
        let before = input.capacity();
        let waits = matches!(envelope.next::<FrameError>(&mut input, |_| Ok(())), Ok(None));
        prop_assert_eq!(waits, len as usize > there);
        prop_assert!(input.capacity() <= before);
    }
}

/// `addr` has 32 bits for a time: 1970 to 2106.
#[test]
fn a_time_that_does_not_fit_is_sent_as_the_nearest_that_does() {
    for (time, sent) in [
        (i64::MIN, 0),
        (-1, 0),
        (0, 0),
        (1, 1),
        (0xffff_ffff, 0xffff_ffff),
        (0x1_0000_0000, 0xffff_ffff),
        (i64::MAX, 0xffff_ffff),
    ] {
        let entry = |time| TimedAddr {
            time: UnixTime(time),
            addr: NetAddr::EMPTY,
        };
        let payload = write(&zcash::Message::Addr(vec![entry(time)]));
        let read = read::<Zcash>(Command::from_static("addr"), &payload, 12);
        assert_eq!(read, Some(zcash::Message::Addr(vec![entry(sent)])));
    }
}

#[track_caller]
pub(crate) fn refused_to_send<D: Net>(message: &D::Message, version: u32) {
    let (_, mut codec) = session::<D>(version);
    let mut output = BytesMut::from(&b"before"[..]);
    let error: SessionError = codec.encode(message, &mut output).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error:?}");
    assert_eq!(error.stage(), Stage::Keep("send"), "{error:?}");
    assert_eq!(output, &b"before"[..], "on error nothing is appended");
}

#[test]
fn what_a_peer_would_refuse_is_not_sent() {
    refused_to_send::<Decred>(&decred::Message::AddrV2(vec![]), 12);
    refused_to_send::<Decred>(&decred::Message::Addr(vec![]), 12);
    refused_to_send::<Zcash>(
        &zcash::Message::Reject(Reject {
            message: "thirteen char".into(),
            code: 1,
            reason: "".into(),
            hash: None,
        }),
        170_190,
    );
    let opaque = |command, payload: &'static [u8]| zcash::Message::Opaque {
        command: Command::from_static(command),
        payload: Bytes::from_static(payload),
    };
    refused_to_send::<Zcash>(&opaque("ping", b"short"), 170_190);
    refused_to_send::<Zcash>(&opaque("ping", b"too long a ping"), 170_190);
    refused_to_send::<Zcash>(&opaque("nobodyknows", b""), 170_190);
}

/// `addr` is gone from version 12 on and `addrv2` not there before: that is no question of length.
#[test]
fn a_message_that_the_version_lacks_is_refused_as_such() {
    let command = Command::from_static("addr");
    let (_, mut codec) = session::<Decred>(12);
    let message = decred::Message::Addr(vec![]);
    let error = codec.encode(&message, &mut BytesMut::new()).unwrap_err();
    let version = ProtocolVersion(12);
    assert_eq!(error, SessionError::NotInVersion { command, version });
    let (_, mut codec) = session::<Zcash>(170_190);
    let message = zcash::Message::Opaque {
        command: Command::from_static("filteradd"),
        payload: Bytes::from_static(&[0; 524]),
    };
    let error = codec.encode(&message, &mut BytesMut::new()).unwrap_err();
    assert!(matches!(error, SessionError::TooLong { .. }), "{error:?}");
}

/// A nameless message is skipped, and held to the longest that any message may be.
#[test]
fn a_session_of_zcash_skips_nameless_messages_up_to_the_longest_payload() {
    let nameless = crate::common::nameless::<Zcash>(&[]);
    let declared = |len: u32| {
        let mut bytes = nameless.to_vec();
        bytes[16..20].copy_from_slice(&len.to_le_bytes());
        let (_, mut codec) = session::<Zcash>(170_190);
        codec.decode(&mut BytesMut::from(&bytes[..]))
    };
    assert_eq!(declared(2_097_152), Ok(None), "it waits for the rest");
    assert!(declared(2_097_153).is_err());
    let (_, mut codec) = session::<Zcash>(170_190);
    let ping = crate::common::message::<Zcash>("ping", &[0; 8]);
    let mut input = BytesMut::from(&[&nameless[..], &nameless[..], &ping[..]].concat()[..]);
    assert_eq!(codec.decode(&mut input), Ok(Some(zcash::Message::Ping(0))));
    let (_, mut codec) = session::<Decred>(12);
    let mut input = BytesMut::from(&crate::common::nameless::<Decred>(&[])[..]);
    assert!(codec.decode(&mut input).is_err(), "Decred skips nothing");
}

#[test]
fn a_handshake_message_cannot_be_smuggled_into_a_session() {
    for command in [Command::VERSION, Command::VERACK] {
        let (_, mut codec) = session::<Zcash>(170_190);
        let message = zcash::Message::Opaque {
            command,
            payload: Bytes::new(),
        };
        let error = codec.encode(&message, &mut BytesMut::new()).unwrap_err();
        assert!(
            matches!(error, SessionError::NotInVersion { .. }),
            "{error:?}"
        );
        let error = codec
            .decode(&mut BytesMut::from(&verack::<Zcash>()[..]))
            .unwrap_err();
        let command = Command::VERACK;
        assert_eq!(error, SessionError::HandshakeAgain { command });
    }
}

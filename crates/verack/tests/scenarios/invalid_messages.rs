//! `p2p_invalid_messages`, but for the flood.

use bytes::BytesMut;
use peerage_core::{Direction, Kind, Session};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dialect::Message as _;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{MessageError, SessionError};

use super::ends_with;
use crate::common::{
    BOTH, Dialogue, Net, bad_checksum, current, header, message, nameless, other_chain, verack,
    version,
};
use crate::roundtrip::session;

/// What both networks refuse of a greeted peer, each after a sound message.
fn invalid<D: Net>() -> Vec<(&'static str, Vec<u8>, Kind)> {
    let ping = message::<D>("ping", &[1; 8]);
    let list = |command, count: &[u8]| message::<D>(command, count).to_vec();
    vec![
        (
            "second version",
            version::<D>(current::<D>()).to_vec(),
            Kind::Violation,
        ),
        ("second verack", verack::<D>().to_vec(), Kind::Violation),
        (
            "magic of another chain",
            other_chain::<D>(&ping).to_vec(),
            Kind::WrongNetwork,
        ),
        (
            "no magic",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            Kind::NotThisProtocol,
        ),
        (
            "bad checksum",
            bad_checksum(&ping).to_vec(),
            Kind::Malformed,
        ),
        (
            "bad checksum of nothing",
            bad_checksum(&message::<D>("getaddr", &[])).to_vec(),
            Kind::Malformed,
        ),
        (
            "over its own limit",
            header::<D>("ping", 9).to_vec(),
            Kind::Malformed,
        ),
        (
            "over every limit",
            header::<D>("tx", 0x0200_0001).to_vec(),
            Kind::Malformed,
        ),
        (
            "four gigabytes",
            header::<D>("block", u32::MAX).to_vec(),
            Kind::Malformed,
        ),
        (
            "1,001 addrs",
            list("addrv2", &[0xfd, 0xe9, 0x03]),
            Kind::Malformed,
        ),
        (
            "50,001 inventories",
            list("inv", &[0xfd, 0x51, 0xc3]),
            Kind::Malformed,
        ),
        (
            "50,001 requests",
            list("getdata", &[0xfd, 0x51, 0xc3]),
            Kind::Malformed,
        ),
        (
            "2,001 headers",
            list("headers", &[0xfd, 0xd1, 0x07]),
            Kind::Malformed,
        ),
        (
            "a count in a longer form",
            list("inv", &[0xfd, 0x01, 0x00]),
            Kind::Malformed,
        ),
        ("a byte too many", list("headers", &[0, 0]), Kind::Malformed),
    ]
}

#[test]
fn p2p_invalid_messages_end_the_session_each_with_its_reason() {
    fn check<D: Net>() {
        for (name, bytes, kind) in invalid::<D>() {
            let good = message::<D>("ping", &[1; 8]);
            let error = ends_with::<D>(&[&good[..], &bytes].concat(), kind);
            assert!(!error.to_string().is_empty(), "{name}");
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

/// The same before anybody is greeted: none of it gets an answer.
#[test]
fn p2p_invalid_messages_get_no_answer_before_the_handshake() {
    fn check<D: Net>() {
        for direction in BOTH {
            for (name, bytes, _) in invalid::<D>() {
                if name.starts_with("second") {
                    continue;
                }
                let mut dialogue = Dialogue::<D>::new(direction);
                dialogue.hear(&bytes);
                assert!(dialogue.outcome().is_some_and(|end| end.is_err()), "{name}");
                assert_eq!(dialogue.parting(), [""; 0], "{name}");
                let spoke = direction == Direction::Outbound;
                assert_eq!(dialogue.says().len(), usize::from(spoke), "{name}");
            }
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

/// Core's test sends a header in two parts; here it is every cut of three messages.
#[test]
fn p2p_invalid_messages_a_split_header_is_no_fault() {
    fn check<D: Net>() {
        let ping = message::<D>("ping", &[3; 8]);
        let stream = [ping.clone(), message::<D>("getaddr", &[]), ping].concat();
        for cut in 0..=stream.len() {
            let (_, mut codec) = session::<D>(current::<D>());
            let mut input = BytesMut::new();
            let mut heard = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                input.extend_from_slice(part);
                while let Some(message) = codec.decode(&mut input).unwrap() {
                    heard.push(message.command().to_string());
                }
            }
            assert_eq!(heard, ["ping", "getaddr", "ping"], "cut at {cut}");
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

#[test]
fn p2p_invalid_messages_a_second_version_before_verack_is_refused() {
    fn check<D: Net>(speaks: u32) {
        for direction in BOTH {
            let mut dialogue = Dialogue::<D>::new(direction);
            dialogue.hear_all([version::<D>(speaks), version::<D>(speaks)]);
            assert_eq!(dialogue.verdict(), "verack violation");
        }
    }
    check::<Zcash>(current::<Zcash>());
    check::<Decred>(11);
    check::<Decred>(12);
}

/// A command that is no name: Zcash ignores the message, dcrd's peers end the connection.
#[test]
fn p2p_invalid_messages_a_bad_command_follows_the_networks_policy() {
    let (_, mut codec) = session::<Zcash>(current::<Zcash>());
    let ping = message::<Zcash>("ping", &[0; 8]);
    let mut input = BytesMut::from(&[nameless::<Zcash>(&[1; 100]), ping].concat()[..]);
    let heard = codec.decode(&mut input);
    assert_eq!(heard, Ok(Some(zcash::Message::Ping(0))));
    let error = ends_with::<Decred>(&nameless::<Decred>(&[1; 100]), Kind::Malformed);
    assert_eq!(error, SessionError::Message(MessageError::BadCommand));
}

/// Core's list: empty, no length, an address too long, an unknown network, an invalid length of a
/// known one. Decred's own format has no lengths, and tolerates no unknown network.
#[test]
fn p2p_invalid_messages_a_broken_addrv2() {
    let zcash = |entry: &[u8]| {
        let body = [&[1, 0, 0, 0, 0, 1][..], entry].concat();
        message::<Zcash>("addrv2", &body)
    };
    let long = [&[0x63, 0xfd, 0x01, 0x02][..], &[0; 515]].concat();
    for broken in [
        message::<Zcash>("addrv2", &[]),
        // No address, no port.
        zcash(&[]),
        zcash(&[1, 4, 127, 0, 0, 1]),
        // Known networks with other lengths.
        zcash(&[1, 3, 127, 0, 0, 0, 0]),
        zcash(&[2, 4, 127, 0, 0, 1, 0, 0]),
        zcash(&[&[4, 31][..], &[0; 33]].concat()),
        zcash(&[&[5, 33][..], &[0; 35]].concat()),
        zcash(&[6, 0, 0, 0]),
        // 513 bytes of a network that nobody knows.
        zcash(&long),
    ] {
        ends_with::<Zcash>(&broken, Kind::Malformed);
    }
    let unknown = zcash(&[0x63, 2, 0, 0, 0, 0]);
    let (_, mut codec) = session::<Zcash>(current::<Zcash>());
    let heard = codec.decode(&mut BytesMut::from(&unknown[..]));
    assert_eq!(heard, Ok(Some(zcash::Message::AddrV2(vec![]))));

    let decred = |count: u8, id: u8, rest: usize| {
        let body = [vec![count], vec![0; 16], vec![id], vec![1; rest]].concat();
        message::<Decred>("addrv2", &body)
    };
    for broken in [
        message::<Decred>("addrv2", &[]),
        message::<Decred>("addrv2", &[0]),
        decred(1, 0, 6),
        decred(1, 4, 34),
        decred(1, 0x63, 6),
        decred(1, 1, 5),
        decred(1, 1, 7),
        decred(2, 1, 6),
        decred(1, 2, 17),
        decred(1, 3, 33),
    ] {
        ends_with::<Decred>(&broken, Kind::Malformed);
    }
    let (_, mut codec) = session::<Decred>(12);
    let sound = codec.decode(&mut BytesMut::from(&decred(1, 3, 34)[..]));
    assert!(matches!(sound, Ok(Some(decred::Message::AddrV2(addrs))) if addrs.len() == 1));
}

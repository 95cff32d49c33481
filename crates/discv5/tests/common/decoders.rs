//! Bytes into every decoder: what is accepted is written again and read the same.
//!
//! The first byte chooses the decoder, the rest is its input. A fuzz target, a property test and a
//! folder of kept inputs all call [`run`].

use std::str;

use peerage_discv5::NodeId;
use peerage_discv5::cipher::{Cipher, Mask};
use peerage_discv5::message::{Message, Request, Response, put_nodes, put_pong, put_talk_response};
use peerage_discv5::packet::{Envelope, HandshakeAuth, Kind, Packet, Protocol};
use peerage_discv5::record::{Family, Record, RecordError, Unverified, Verified, Verifier};
use peerage_discv5::rlp::{self, Item, Reader};

use super::net::secret;

/// Node B of the official vectors, so that they unmask.
const US: NodeId = NodeId([
    0xbb, 0xbb, 0x9d, 0x04, 0x7f, 0x04, 0x88, 0xc0, 0xb5, 0xa9, 0x3c, 0x1c, 0x3f, 0x2d, 0x8b, 0xaf,
    0xc7, 0xc8, 0xff, 0x33, 0x70, 0x24, 0xa5, 0x54, 0x34, 0xa0, 0xd0, 0x55, 0x5d, 0xe6, 0x4d, 0xb9,
]);

/// Reads, checks, and says what it was.
type Decoder = fn(&[u8]) -> String;

/// The decoders, by what the first byte is modulo their number.
pub(crate) const DECODERS: [(&str, Decoder); 6] = [
    ("packet", packet),
    ("header", header),
    ("message", message),
    ("record", record),
    ("text", text),
    ("rlp", rlp),
];

/// Reads an input and says what it was.
///
/// # Panics
/// When what was accepted does not come out the same.
pub(crate) fn run(input: &[u8]) -> String {
    let Some((choice, rest)) = input.split_first() else {
        return "nothing".into();
    };
    let (name, decoder) = DECODERS[usize::from(*choice) % DECODERS.len()];
    format!("{name}-{}", decoder(rest))
}

/// The variant's name in words.
fn variant(error: &impl std::error::Error) -> String {
    assert!(!error.to_string().is_empty());
    let shown = format!("{error:?}");
    let name = shown.chars().take_while(char::is_ascii_alphanumeric);
    let mut words = String::new();
    for letter in name {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A datagram as it comes.
fn packet(input: &[u8]) -> String {
    let mask = Mask::new(&US);
    let mut datagram = input.to_vec();
    let packet = match Packet::unmask(&mask, Protocol::V5, &mut datagram) {
        Ok(packet) => packet,
        Err(error) => {
            let name = variant(&error);
            assert!(!error.is_foreign() || datagram == input, "left as it came");
            return name;
        }
    };
    let envelope = Envelope {
        mask: &mask,
        protocol: Protocol::V5,
        iv: packet.header[..16].try_into().unwrap(),
        nonce: packet.nonce,
    };
    let header_len = packet.header.len();
    assert_eq!(header_len + packet.message.len(), input.len());
    let (name, written) = match packet.kind {
        Kind::Ordinary { source } => ("ordinary", envelope.random(&source, packet.message)),
        Kind::WhoAreYou {
            id_nonce,
            record_seq,
        } => {
            let written = envelope.who_are_you(id_nonce, record_seq);
            assert_eq!(written.challenge_data, packet.header);
            ("who-are-you", written.packet.to_vec())
        }
        Kind::Handshake {
            source,
            signature,
            ephemeral,
            record,
        } => {
            let auth = HandshakeAuth {
                signature,
                ephemeral,
                record,
            };
            let mut written = envelope.handshake(&source, &auth, &Cipher::new(&[0; 16]), |_| ());
            written.truncate(header_len);
            written.extend_from_slice(packet.message);
            ("handshake", written)
        }
    };
    assert_eq!(written, input, "written again");
    name.into()
}

/// A datagram whose header unmasks: masking IV, then what follows protocol and version.
fn header(input: &[u8]) -> String {
    let Some((iv, rest)) = input.split_first_chunk::<16>() else {
        return "short".into();
    };
    let mut datagram = iv.to_vec();
    datagram.extend_from_slice(&Protocol::V5.id);
    datagram.extend_from_slice(&Protocol::V5.version.to_be_bytes());
    datagram.extend_from_slice(rest);
    Mask::new(&US).apply(iv, 0, &mut datagram[16..]);
    packet(&datagram)
}

/// A plaintext.
fn message(input: &[u8]) -> String {
    let message = match Message::decode(input) {
        Ok(message) => message,
        Err(error) => return variant(&error),
    };
    let mut written = Vec::new();
    let name = match &message {
        Message::Unimplemented(kind) => {
            assert!(*kind > 6);
            return "unimplemented".into();
        }
        Message::Request(id, request) => {
            request.encode(&mut written, *id);
            match request {
                Request::Ping { .. } => "ping",
                Request::FindNode { distances } => {
                    assert!(distances.as_slice().len() <= 257);
                    if distances.has_impossible() {
                        // They are not kept, only noted.
                        return "find-node-impossible".into();
                    }
                    "find-node"
                }
                Request::Talk { .. } => "talk-request",
            }
        }
        Message::Response(
            id,
            Response::Pong {
                record_seq,
                observed,
            },
        ) => {
            put_pong(&mut written, *id, *record_seq, *observed);
            "pong"
        }
        Message::Response(id, Response::Talk { payload }) => {
            put_talk_response(&mut written, *id, payload);
            "talk-response"
        }
        Message::Response(id, Response::Nodes { total, records }) => {
            let read: Vec<_> = records.collect();
            assert!(read.len() <= input.len());
            for read in read.iter().flatten() {
                let again = Unverified::decode(read.as_bytes());
                assert_eq!(again.as_ref(), Ok(read));
            }
            // The writer takes verified records only.
            let verified: Option<Vec<Record>> = read
                .into_iter()
                .map(|read| read.ok()?.verify().ok())
                .collect();
            let Some(verified) = verified else {
                return "nodes-unsigned".into();
            };
            put_nodes(&mut written, *id, *total, &verified);
            assert_eq!(written, input, "there is one form of it");
            "nodes"
        }
    };
    assert_eq!(Message::decode(&written), Ok(message.clone()));
    assert!(written.len() <= input.len(), "nothing is made up");
    name.into()
}

/// A record's bytes.
fn record(input: &[u8]) -> String {
    let read = Unverified::decode(input);
    judge(&read, input)
}

fn judge(read: &Result<Unverified, RecordError>, bytes: &[u8]) -> String {
    let read = match read {
        Ok(read) => read,
        Err(error) => return variant(error),
    };
    assert_eq!(read.as_bytes(), bytes);
    assert_eq!(read.to_text().parse().as_ref(), Ok(read));
    let entries: Vec<_> = read.entries().collect();
    assert!(entries.len() >= 2 && entries.is_sorted_by(|(a, _), (b, _)| a < b));
    for (key, raw) in &entries {
        assert_eq!(read.raw(key), Some(*raw));
        if let Some(string) = read.string(key) {
            assert!(raw.ends_with(string));
        }
    }
    for family in Family::BOTH {
        let endpoint = read.udp_endpoint(family);
        assert!(endpoint.is_none_or(|endpoint| endpoint.port() != 0));
    }
    let claimed = read.claimed_node_id();
    let verified = read.clone().verify();
    let fresh = Verifier::new(4).verify(read.clone());
    assert_eq!(fresh, verified.clone().map(Verified::Fresh));
    match verified {
        Err(error) => variant(&error),
        Ok(record) => {
            assert_eq!(claimed, Ok(record.node_id()));
            let stolen = record.to_builder().udp4(1).sign(&secret(1));
            assert!(stolen.is_err(), "only the holder of the key continues it");
            "verified".into()
        }
    }
}

/// The text forms of records and node ids.
fn text(input: &[u8]) -> String {
    let Ok(text) = str::from_utf8(input) else {
        return "no-text".into();
    };
    if let Some(id) = NodeId::from_hex(text) {
        assert_eq!(NodeId::from_hex(&id.to_string()), Some(id));
        return "node-id".into();
    }
    let read: Result<Unverified, _> = text.parse();
    if let Ok(read) = &read {
        assert_eq!(read.to_text(), text, "there is one form of it");
        return judge(&Ok(read.clone()), read.as_bytes());
    }
    judge(&read, &[])
}

/// Items, as deep as they go.
fn rlp(input: &[u8]) -> String {
    let mut reader = Reader::new(input);
    let mut count = 0_usize;
    while !reader.is_empty() {
        let (item, raw) = match reader.item_and_raw() {
            Ok(read) => read,
            Err(error) => return variant(&error),
        };
        count += 1;
        let mut written = Vec::new();
        match item {
            Item::String(bytes) => {
                rlp::put_string(&mut written, bytes);
                assert_eq!(rlp::string_len(bytes.len()).max(2), raw.len().max(2));
                if let Ok(number) = rlp::uint(bytes) {
                    let mut as_number = Vec::new();
                    rlp::put_uint(&mut as_number, number);
                    assert_eq!(as_number, raw);
                    assert_eq!(rlp::uint_len(number), raw.len());
                }
            }
            Item::List(mut items) => {
                let payload = items.rest();
                rlp::put_list_header(&mut written, payload.len());
                assert_eq!(rlp::header_len(payload.len()), written.len());
                written.extend_from_slice(payload);
                while !items.is_empty() && items.item().is_ok() {}
            }
        }
        assert_eq!(written, raw, "there is one form of it");
    }
    format!("{}-items", count.min(2))
}

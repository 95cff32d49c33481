//! `peerage decode packet`: a packet of discovery v5 taken apart.

use std::path::PathBuf;

use peerage::discv5::NodeId;
use peerage::discv5::cipher::{Cipher, Mask};
use peerage::discv5::message::{Message, Request, Response};
use peerage::discv5::packet::{Kind, Packet, Protocol};
use peerage::discv5::record::Unverified;
use serde_json::{Map, Value, json};

use crate::args::node_id;
use crate::output::{Exit, Failed, Out, Tone};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The header is masked with the id of the node that the packet is for, so that id is needed; the
message needs the key of its session and direction.

Exit code: 0 if the packet is sound, and its message where --session-key is given; 1 if not.

Example:
  peerage decode packet --node-id bbbb9d047f0488c0b5a93c1c3f2d8bafc7c8ff337024a55434a0d0555de64db9 \\
    --session-key 00000000000000000000000000000000 \\
    00000000000000000000000000000000088b3d4342774649325f313964a39e55ea96c005ad52be8c7560413a7008f16c9e6d2f43bbea8814a546b7409ce783d34c4f53245d08dab84102ed931f66d1492acb308fa1c6715b9d139b81acbdcc"
)]
pub(super) struct Args {
    /// The datagram in hexadecimal.
    #[arg(value_name = "HEX", value_parser = datagram)]
    packet: Datagram,

    /// The id of the node that it is for.
    #[arg(long, value_name = "HEX", value_parser = node_id, required_unless_present = "key")]
    node_id: Option<NodeId>,

    /// The key file of the node that it is for, instead of its id.
    #[arg(long, value_name = "FILE", conflicts_with = "node_id")]
    key: Option<PathBuf>,

    /// The key that the message is encrypted with: 32 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = session_key)]
    session_key: Option<SessionKey>,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// For clap, which takes a `Vec` for a list of values.
#[derive(Clone, Debug)]
struct Datagram(Vec<u8>);

fn datagram(text: &str) -> Result<Datagram, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).map(Datagram).map_err(|e| e.to_string())
}

#[derive(Clone)]
struct SessionKey([u8; 16]);

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(secret)")
    }
}

fn session_key(text: &str) -> Result<SessionKey, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes = hex::decode(digits).ok();
    let key = bytes.and_then(|bytes| bytes.try_into().ok());
    key.map(SessionKey)
        .ok_or_else(|| "expected 32 hexadecimal digits".into())
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    let id = match (&args.key, args.node_id) {
        (_, Some(id)) => id,
        (Some(file), None) => {
            let key = crate::data::key_at(file)?;
            peerage::find::secret(&key).public_key().node_id()
        }
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    let mut bytes = args.packet.0.clone();
    let len = bytes.len();
    let mut fields = Fields::default();
    fields.add("len", len);
    fields.add("masking_iv", hex::encode(&bytes[..len.min(16)]));
    let explained = explain(args, &id, &mut bytes, &mut fields);
    let error = explained.err();
    if args.json {
        let body = json!({ "fields": fields.0, "error": error });
        out.json("packet", body)?;
    } else {
        for (name, value) in &fields.0 {
            let value = value.as_str().map_or_else(|| value.to_string(), Into::into);
            out.line(format!("{name:<14} {value}"))?;
        }
        let verdict = match &error {
            None => out.tone(Tone::Good, "sound"),
            Some(error) => out.tone(Tone::Bad, error),
        };
        out.line(format!("verdict: {verdict}"))?;
    }
    Ok(if error.is_none() { Exit::Yes } else { Exit::No })
}

/// What has been read so far, in the order of the packet.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }
}

/// Reads as far as it can; the error says why not further.
fn explain(args: &Args, id: &NodeId, bytes: &mut [u8], fields: &mut Fields) -> Result<(), String> {
    let packet = Packet::unmask(&Mask::new(id), Protocol::V5, bytes);
    let packet = packet.map_err(|error| error.to_string())?;
    fields.add("protocol", "discv5");
    fields.add("version", 1);
    let (flag, name) = match packet.kind {
        Kind::Ordinary { .. } => (0, "ordinary"),
        Kind::WhoAreYou { .. } => (1, "whoareyou"),
        Kind::Handshake { .. } => (2, "handshake"),
    };
    fields.add("flag", flag);
    fields.add("kind", name);
    fields.add("nonce", hex::encode(packet.nonce.0));
    match packet.kind {
        Kind::Ordinary { source } => fields.add("source", source.to_string()),
        Kind::WhoAreYou {
            id_nonce,
            record_seq,
        } => {
            fields.add("id_nonce", hex::encode(id_nonce));
            fields.add("record_seq", record_seq);
            fields.add("challenge_data", hex::encode(packet.header));
            return Ok(());
        }
        Kind::Handshake {
            source,
            signature,
            ephemeral,
            record,
        } => {
            fields.add("source", source.to_string());
            fields.add("signature", hex::encode(signature));
            fields.add("ephemeral_key", hex::encode(ephemeral));
            if !record.is_empty() {
                let record = Unverified::decode(record).and_then(Unverified::verify);
                let record = record.map_err(|error| format!("its record: {error}"))?;
                fields.add("record", record.to_string());
                if record.node_id() != source {
                    return Err("its record is that of another node".into());
                }
            }
        }
    }
    fields.add("message_len", packet.message.len());
    let Some(key) = &args.session_key else {
        fields.add("message", hex::encode(&*packet.message));
        return Ok(());
    };
    let opened = Cipher::new(&key.0).open(packet.nonce, packet.header, packet.message);
    let plain = opened.map_err(|error| format!("{error} under this session key"))?;
    fields.add("plaintext", hex::encode(&*plain));
    let message = Message::decode(plain).map_err(|error| error.to_string())?;
    explain_message(&message, fields)
}

fn explain_message(message: &Message<'_>, fields: &mut Fields) -> Result<(), String> {
    let id = match message {
        Message::Request(id, _) | Message::Response(id, _) => id,
        Message::Unimplemented(kind) => {
            fields.add("type", *kind);
            return Err(format!("nobody answers messages of type {kind}"));
        }
    };
    let mut add = |kind: u8, name: &str| {
        fields.add("type", kind);
        fields.add("name", name);
        fields.add("request_id", hex::encode(id.as_bytes()));
    };
    match message {
        Message::Request(_, Request::Ping { record_seq }) => {
            add(1, "ping");
            fields.add("enr_seq", *record_seq);
        }
        Message::Response(
            _,
            Response::Pong {
                record_seq,
                observed,
            },
        ) => {
            add(2, "pong");
            fields.add("enr_seq", *record_seq);
            fields.add("observed", observed.to_string());
        }
        Message::Request(_, Request::FindNode { distances }) => {
            add(3, "findnode");
            fields.add("distances", json!(distances.as_slice()));
        }
        Message::Response(_, Response::Nodes { total, records }) => {
            add(4, "nodes");
            fields.add("total", *total);
            let records = records.map(|record| record.and_then(Unverified::verify));
            let records: Result<Vec<_>, _> = records.collect();
            let records = records.map_err(|error| format!("a record: {error}"))?;
            let records = records.iter().map(ToString::to_string);
            fields.add("records", json!(records.collect::<Vec<_>>()));
        }
        Message::Request(_, Request::Talk { protocol, payload }) => {
            add(5, "talkreq");
            fields.add(
                "talk_protocol",
                peerage::PeerText::new(protocol).to_string(),
            );
            fields.add("payload", hex::encode(payload));
        }
        Message::Response(_, Response::Talk { payload }) => {
            add(6, "talkresp");
            fields.add("payload", hex::encode(payload));
        }
        Message::Unimplemented(_) => {}
    }
    Ok(())
}

//! Messages and dialogues on Ethereum explained.

use bytes::Bytes;
use peerage_core::Direction;
use peerage_core::wire::{Field, FieldValue};
use peerage_ethereum::capability::negotiate;
use peerage_ethereum::dissect::{Dissection, Piece, What, dissect, dissect_dialogue};
use peerage_ethereum::{EthVersion, Local, WireError};

use crate::dialogue::{Dialogue, Stream};
use crate::explain::{ExplainError, Explained, ExplainedField, Line};

/// One plain message: its id and its body, as in a frame that was opened and decompressed.
pub(super) fn explain(version: Option<u32>, frame: &[u8]) -> Explained {
    let newest = EthVersion::ALL.last().copied();
    let version = version.and_then(EthVersion::from_number).or(newest);
    let ours: Vec<_> = version.iter().map(|version| version.spec()).collect();
    let theirs: Vec<_> = ours.iter().map(|spec| spec.capability).collect();
    let layout = negotiate(&ours, &theirs);
    let Some((id, id_len)) = message_id(frame) else {
        return Explained {
            error: Some(ExplainError {
                kind: "no_message_id",
                offset: 0,
                message: "a message begins with its id: one byte below 0x80, or 0x80 for 0".into(),
            }),
            ..Explained::default()
        };
    };
    let body = Bytes::copy_from_slice(&frame[id_len..]);
    let payload_len = body.len();
    let mut explained = of_message(dissect(&layout, id, body));
    for field in &mut explained.fields {
        field.offset += id_len;
    }
    if let Some(error) = &mut explained.error {
        error.offset += id_len;
    }
    Explained {
        frame_len: Some(frame.len()),
        payload_len: Some(payload_len),
        plain: None,
        ..explained
    }
}

/// The id in front of a message, and how many bytes it takes. Every id in use takes one.
fn message_id(frame: &[u8]) -> Option<(u64, usize)> {
    match frame.first()? {
        0x80 => Some((0, 1)),
        // Not canonical, but what a person means by message 0.
        id @ 0..=0x7f => Some((u64::from(*id), 1)),
        _ => None,
    }
}

/// The messages of both directions, in the order in which they were complete.
pub(super) fn explain_dialogue(local: &Local, dialogue: &Dialogue) -> Vec<Line> {
    let said = dialogue.stream(Direction::Outbound);
    let heard = dialogue.stream(Direction::Inbound);
    // A dialogue whose attempt could not even begin has nothing in it.
    let Ok(attempt) = super::again::<std::convert::Infallible>(&dialogue.attempt) else {
        return Vec::new();
    };
    let (ours, theirs) = dissect_dialogue(local, attempt, &said.bytes, &heard.bytes);
    let lines = |direction, stream: &Stream, pieces: Vec<Piece>| {
        let line = |piece: Piece| {
            let end = piece.offset + piece.len;
            Line {
                direction,
                at: stream.complete_at(end),
                offset: piece.offset,
                bytes: stream.bytes[piece.offset..end].to_vec(),
                explained: of_piece(piece),
            }
        };
        pieces.into_iter().map(line).collect::<Vec<_>>()
    };
    let mut all = lines(Direction::Outbound, &said, ours);
    all.extend(lines(Direction::Inbound, &heard, theirs));
    // Stable, so that messages of one direction keep their order.
    all.sort_by_key(|line| line.at);
    all
}

fn of_piece(piece: Piece) -> Explained {
    let frame_len = Some(piece.len);
    match piece.what {
        What::Exchange { name, error } => Explained {
            command: Some(name.into()),
            frame_len,
            canonical: error.is_none(),
            error: error.map(|error| ExplainError::new("exchange", 0, &error)),
            ..Explained::default()
        },
        What::Message(message) => Explained {
            frame_len,
            ..of_message(message)
        },
        What::Sealed(message) => Explained {
            frame_len,
            error: Some(ExplainError {
                kind: "sealed",
                offset: 0,
                message,
            }),
            ..Explained::default()
        },
    }
}

fn of_message(message: Dissection) -> Explained {
    let fields = message.fields.iter().map(of_field).collect();
    let error = message.error.as_ref();
    Explained {
        command: Some(message.name),
        frame_len: None,
        payload_len: Some(message.plain.len()),
        fields,
        canonical: message.canonical,
        error: error.map(|error| ExplainError::new(error.kind().name(), place(error), error)),
        plain: Some(message.plain.to_vec()),
        envelope: Vec::new(),
    }
}

/// Where an error shows, as far as it says so.
fn place(error: &WireError) -> usize {
    use peerage_ethereum::eth::MessageError;
    let (WireError::Malformed { error, .. }
    | WireError::Eth(MessageError::Malformed { error, .. })) = error
    else {
        return 0;
    };
    error.offset
}

/// The most bytes of one field that are shown.
const MAX_SHOWN: usize = 64;

fn of_field(field: &Field) -> ExplainedField {
    let (value, number) = match &field.value {
        FieldValue::Uint(value) => (value.to_string(), Some(i128::from(*value))),
        FieldValue::Int(value) => (value.to_string(), Some(i128::from(*value))),
        FieldValue::Ip(ip) => (ip.to_string(), None),
        FieldValue::Text(text) => (peerage_core::PeerText::new(text).to_string(), None),
        FieldValue::Bytes(bytes) => (hex(bytes), None),
        FieldValue::List { len } => (format!("a list of {len} bytes"), None),
    };
    ExplainedField {
        path: field.path(),
        offset: field.offset,
        len: field.len,
        value,
        number,
        meaning: meaning(field),
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MAX_SHOWN)];
    let mut digits: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > MAX_SHOWN {
        digits.push_str(&format!("… {} bytes", bytes.len()));
    }
    format!("0x{digits}")
}

/// What a field means, where more can be said than its name does.
fn meaning(field: &Field) -> Option<String> {
    let FieldValue::Uint(value) = field.value else {
        return None;
    };
    match field.name {
        "reason" => {
            let reason = peerage_ethereum::DisconnectReason::from_code(value);
            Some(reason.words().into())
        }
        "fork_next" if value == 0 => Some("no further fork is known".into()),
        "p2p_version" if value >= 5 => Some("messages after Hello are compressed".into()),
        _ => None,
    }
}

//! Messages of the family explained.

use peerage_core::Direction;
use peerage_core::wire::FieldValue;
use peerage_verack::dissect::{Dissection, dissect, dissect_stream, meaning, shown};
use peerage_verack::envelope::{HEADER_LEN, Header};
use peerage_verack::{ChainTable, Dialect, ProtocolVersion};

use crate::dialogue::Dialogue;
use crate::explain::{ExplainError, Explained, ExplainedField, Line};

pub(super) fn explain<D: Dialect>(
    chain: &ChainTable,
    version: ProtocolVersion,
    frame: &[u8],
) -> Explained {
    explained::<D>(chain, &dissect::<D>(chain, version, frame))
}

/// The messages of both directions, in the order in which they were complete.
pub(super) fn explain_dialogue<D: Dialect>(
    chain: &ChainTable,
    version: ProtocolVersion,
    dialogue: &Dialogue,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for direction in [Direction::Outbound, Direction::Inbound] {
        let stream = dialogue.stream(direction);
        let found = dissect_stream::<D>(chain, version, &stream.bytes);
        let starts = found.iter().map(|(offset, _)| *offset);
        let ends = starts.skip(1).chain([stream.bytes.len()]);
        lines.extend(found.iter().zip(ends).map(|((offset, found), end)| Line {
            direction,
            at: stream.complete_at(end),
            offset: *offset,
            bytes: stream.bytes[*offset..end].to_vec(),
            explained: explained::<D>(chain, found),
        }));
    }
    // Stable, so that messages of one direction keep their order.
    lines.sort_by_key(|line| line.at);
    lines
}

fn explained<D: Dialect>(chain: &ChainTable, found: &Dissection) -> Explained {
    let fields = found.fields.iter().map(|field| ExplainedField {
        path: field.path(),
        offset: HEADER_LEN + field.offset,
        len: field.len,
        value: shown(field),
        number: match field.value {
            FieldValue::Uint(value) => Some(value.into()),
            FieldValue::Int(value) => Some(value.into()),
            FieldValue::Ip(_)
            | FieldValue::Text(_)
            | FieldValue::Bytes(_)
            | FieldValue::List { .. } => None,
        },
        meaning: meaning::<D>(chain, field),
    });
    let header = found.header;
    Explained {
        command: header
            .and_then(|header| header.command)
            .map(|command| command.to_string()),
        frame_len: header.map(|header| header.wire_len()),
        payload_len: header.map(|header| header.len),
        plain: None,
        envelope: header.map_or_else(Vec::new, |header| envelope(chain, &header)),
        fields: fields.collect(),
        canonical: found.canonical,
        error: found
            .error
            .map(|error| ExplainError::new(error.kind(), error.offset(), &error)),
    }
}

/// The envelope's own fields. Source: `docs/wire/version-verack.md`.
fn envelope(chain: &ChainTable, header: &Header) -> Vec<ExplainedField> {
    let hex = |bytes: [u8; 4]| bytes.map(|byte| format!("{byte:02x}")).concat();
    let field = |path: &str, offset, len, value: String| ExplainedField {
        path: path.into(),
        offset,
        len,
        value,
        number: None,
        meaning: None,
    };
    let command = header.command.map(|command| command.to_string());
    vec![
        ExplainedField {
            meaning: Some("this chain's magic".into()),
            ..field("magic", 0, 4, hex(chain.magic))
        },
        field("command", 4, 12, command.unwrap_or_default()),
        ExplainedField {
            number: i128::try_from(header.len).ok(),
            meaning: Some("bytes of payload".into()),
            ..field("length", 16, 4, header.len.to_string())
        },
        field("checksum", 20, 4, hex(header.checksum)),
    ]
}

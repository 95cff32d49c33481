//! Messages explained, in terms that every network shares.

use peerage_core::wire::FieldValue;
use peerage_verack::dissect::{Dissection, meaning, shown};
use peerage_verack::envelope::HEADER_LEN;
use peerage_verack::{ChainTable, Dialect};

/// One frame explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The command, where it is one.
    pub command: Option<String>,
    /// The whole frame's length as declared, in bytes; `None` without a sound envelope.
    pub frame_len: Option<usize>,
    /// Declared payload length, in bytes.
    pub payload_len: Option<usize>,
    /// The payload's fields; on error those before it.
    pub fields: Vec<ExplainedField>,
    /// Whether encoding the decoded message again gives the same bytes.
    pub canonical: bool,
    /// Why it is no sound message.
    pub error: Option<ExplainError>,
}

/// One field explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedField {
    /// Its name, with the group it stands in: `addr_from.port`.
    pub path: String,
    /// Offset in the frame, in bytes.
    pub offset: usize,
    /// Length, in bytes.
    pub len: usize,
    /// Its value, shown.
    pub value: String,
    /// Its value as a number, where it is one.
    pub number: Option<i128>,
    /// What it means, where more can be said.
    pub meaning: Option<String>,
}

/// Why a frame is no sound message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainError {
    /// Stable snake-case name.
    pub kind: &'static str,
    /// Where it shows, in bytes from the start of the frame.
    pub offset: usize,
    /// In words.
    pub message: String,
}

impl Explained {
    pub(crate) fn new<D: Dialect>(chain: &ChainTable, found: &Dissection) -> Self {
        let fields = found.fields.iter().map(|field| ExplainedField {
            path: field.path(),
            offset: HEADER_LEN + field.offset,
            len: field.len,
            value: shown(field),
            number: match field.value {
                FieldValue::Uint(value) => Some(value.into()),
                FieldValue::Int(value) => Some(value.into()),
                FieldValue::Ip(_) | FieldValue::Text(_) | FieldValue::Bytes(_) | FieldValue::List { .. } => None,
            },
            meaning: meaning::<D>(chain, field),
        });
        let header = found.header;
        Self {
            command: header
                .and_then(|header| header.command)
                .map(|command| command.to_string()),
            frame_len: header.map(|header| header.wire_len()),
            payload_len: header.map(|header| header.len),
            fields: fields.collect(),
            canonical: found.canonical,
            error: found.error.map(|error| ExplainError {
                kind: error.kind(),
                offset: error.offset(),
                message: with_cause(&error),
            }),
        }
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message
}

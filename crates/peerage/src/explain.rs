//! Messages explained, in terms that every network shares.

use std::time::Duration;

use peerage_core::Direction;

/// One frame explained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// The command, where it is one.
    pub command: Option<String>,
    /// The whole frame's length as declared, in bytes; `None` without a sound envelope.
    pub frame_len: Option<usize>,
    /// Declared payload length, in bytes.
    pub payload_len: Option<usize>,
    /// What the wire hides by encryption, where it does. Offsets then count in here.
    pub plain: Option<Vec<u8>>,
    /// The fields around the payload, as far as they are there.
    pub envelope: Vec<ExplainedField>,
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

impl ExplainError {
    /// An error in words, its causes included.
    pub fn new(kind: &'static str, offset: usize, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self {
            kind,
            offset,
            message,
        }
    }
}

/// One message of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Outbound: we said it. Inbound: the peer did.
    pub direction: Direction,
    /// When its last byte went by, since the dialogue began.
    pub at: Duration,
    /// Offset of its first byte in its own direction, in bytes.
    pub offset: usize,
    /// Its bytes on the wire.
    pub bytes: Vec<u8>,
    /// What they mean.
    pub explained: Explained,
}

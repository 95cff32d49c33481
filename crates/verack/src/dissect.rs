//! Bytes explained: every field of a message with its place, its value and what it means.
//!
//! The same readers that the handshake uses do the work, so an explanation cannot drift away from
//! the behaviour.

use bytes::{Bytes, BytesMut};
use peerage_core::PeerText;
use peerage_core::UnixTime;
use peerage_core::wire::{Field, FieldValue, Hex, Problem, ReadError, Reader, Writer};

use crate::command::Command;
use crate::dialect::Dialect;
use crate::dialect::Message as _;
use crate::envelope::{Envelope, FrameError, HEADER_LEN, Header};
use crate::error::MessageError;
use crate::reading::check_header;
use crate::table::ChainTable;
use crate::version::{ProtocolVersion, Version};

/// One message taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dissection {
    /// The envelope's declarations, once its 24 bytes are there and its magic is right.
    pub header: Option<Header>,
    /// The payload, as far as it is there.
    pub payload: Bytes,
    /// The payload's fields in order; on error those before it.
    pub fields: Vec<Field>,
    /// Whether encoding the decoded message again gives the same bytes.
    pub canonical: bool,
    /// Why it is no sound message.
    pub error: Option<DissectError>,
}

/// Why bytes are no sound message, with the offset in the frame where it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DissectError {
    /// The bytes end too early.
    #[error("{got} bytes are there, the {part} needs {needed}")]
    Incomplete {
        /// What is incomplete.
        part: &'static str,
        /// The length it needs, in bytes from the start of the frame.
        needed: usize,
        /// The bytes there.
        got: usize,
    },
    /// Not a message that the chain's rules allow.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Bytes after the end of the frame.
    #[error("{extra} bytes follow the frame")]
    Trailing {
        /// Where the frame ends.
        at: usize,
        /// How many follow.
        extra: usize,
    },
}

impl DissectError {
    /// Stable snake-case name of the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Incomplete { .. } => "incomplete",
            Self::Trailing { .. } => "trailing_bytes",
            Self::Message(error) => match error {
                MessageError::Frame(FrameError::WrongNetwork { .. }) => "wrong_network",
                MessageError::Frame(FrameError::NotThisProtocol { .. }) => "not_this_protocol",
                MessageError::Frame(FrameError::Checksum { .. }) => "bad_checksum",
                MessageError::BadCommand => "bad_command",
                MessageError::UnknownCommand { .. } => "unknown_command",
                MessageError::Oversized { .. } => "oversized",
                MessageError::Malformed { error, .. }
                    if matches!(error.problem, Problem::Trailing { .. }) =>
                {
                    "trailing_bytes"
                }
                MessageError::Malformed { .. } => "malformed",
            },
        }
    }

    /// Where it shows, in bytes from the start of the frame.
    pub const fn offset(&self) -> usize {
        match self {
            Self::Incomplete { got, .. } => *got,
            Self::Trailing { at, .. } => *at,
            Self::Message(error) => match error {
                MessageError::Frame(FrameError::Checksum { .. }) => 20,
                MessageError::Frame(_) => 0,
                MessageError::BadCommand | MessageError::UnknownCommand { .. } => 4,
                MessageError::Oversized { .. } => 16,
                MessageError::Malformed { error, .. } => HEADER_LEN + error.offset,
            },
        }
    }
}

/// Takes one whole frame apart, as two peers who agreed on `version` read it.
pub fn dissect<D: Dialect>(
    chain: &ChainTable,
    version: ProtocolVersion,
    frame: &[u8],
) -> Dissection {
    let envelope = Envelope {
        magic: chain.magic,
        checksum: D::checksum,
    };
    let mut found = Dissection {
        header: None,
        payload: Bytes::new(),
        fields: Vec::new(),
        canonical: false,
        error: None,
    };
    found.error = match envelope.header(frame) {
        Err(error) => Some(DissectError::Message(error.into())),
        Ok(None) => Some(DissectError::Incomplete {
            part: "envelope",
            needed: HEADER_LEN,
            got: frame.len(),
        }),
        Ok(Some(header)) => {
            found.header = Some(header);
            found.payload =
                Bytes::copy_from_slice(&frame[HEADER_LEN..frame.len().min(header.wire_len())]);
            take_apart::<D>(&mut found, envelope, header, version, frame).err()
        }
    };
    found
}

fn take_apart<D: Dialect>(
    found: &mut Dissection,
    envelope: Envelope,
    header: Header,
    version: ProtocolVersion,
    frame: &[u8],
) -> Result<(), DissectError> {
    let command = header.command.ok_or(MessageError::BadCommand)?;
    check_header::<D>(&header, version)?;
    let (needed, got) = (header.wire_len(), frame.len());
    if got < needed {
        return Err(DissectError::Incomplete {
            part: "payload",
            needed,
            got,
        });
    }
    let computed = (envelope.checksum)(&found.payload);
    if computed != header.checksum {
        let (command, declared) = (Some(command), header.checksum);
        return Err(MessageError::from(FrameError::Checksum {
            command,
            declared,
            computed,
        })
        .into());
    }
    let mut reader = Reader::traced(&found.payload);
    let again = encode_again::<D>(command, &mut reader, &found.payload, version);
    found.fields = reader.into_fields();
    let again = again.map_err(|error| MessageError::Malformed { command, error })?;
    found.canonical = again.is_some_and(|again| again == found.payload);
    if got > needed {
        return Err(DissectError::Trailing {
            at: needed,
            extra: got - needed,
        });
    }
    Ok(())
}

/// Decodes a payload and encodes it again; `None` when it is longer than we would ever send.
fn encode_again<D: Dialect>(
    command: Command,
    reader: &mut Reader<'_>,
    payload: &Bytes,
    version: ProtocolVersion,
) -> Result<Option<Bytes>, ReadError> {
    let mut writer = Writer::new(payload.len());
    match command {
        Command::VERSION => {
            writer = Writer::new(Version::MAX_LEN);
            D::read_version(reader)?.write(&mut writer);
        }
        Command::VERACK => reader.finish()?,
        _ => D::Message::read(command, reader, payload, version)?.write(&mut writer),
    }
    Ok(writer.finish().ok())
}

/// Splits what one side sent into frames and takes each apart. The rest, if any, comes last.
///
/// Stops at the first bytes that are no envelope of this chain: nothing after them can be trusted
/// to start where a frame starts.
pub fn dissect_stream<D: Dialect>(
    chain: &ChainTable,
    version: ProtocolVersion,
    stream: &[u8],
) -> Vec<(usize, Dissection)> {
    let envelope = Envelope {
        magic: chain.magic,
        checksum: D::checksum,
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let rest = &stream[at..];
        let len = match envelope.header(rest) {
            Ok(Some(header)) => rest.len().min(header.wire_len()),
            Ok(None) | Err(_) => rest.len(),
        };
        found.push((at, dissect::<D>(chain, version, &rest[..len])));
        at += len;
    }
    found
}

/// A field's value for people.
pub fn shown(field: &Field) -> String {
    match &field.value {
        FieldValue::Uint(value) if is_bits(field.name) => format!("{value:#x}"),
        FieldValue::Uint(value) => value.to_string(),
        FieldValue::Int(value) => value.to_string(),
        FieldValue::Ip(ip) => ip.to_string(),
        FieldValue::Text(text) => PeerText::new(text).to_string(),
        FieldValue::Bytes(bytes) => Hex(bytes).to_string(),
        FieldValue::List { len } => format!("list of {len} bytes"),
    }
}

fn is_bits(name: &str) -> bool {
    matches!(name, "services" | "nonce" | "code")
}

/// What a field means on this chain, where more can be said than its value.
pub fn meaning<D: Dialect>(chain: &ChainTable, field: &Field) -> Option<String> {
    match (field.name, &field.value) {
        ("services", FieldValue::Uint(bits)) => Some(services_shown::<D>(*bits)),
        ("time", FieldValue::Int(seconds)) => Some(UnixTime(*seconds).to_string()),
        ("time", FieldValue::Uint(seconds)) => i64::try_from(*seconds)
            .ok()
            .map(|seconds| UnixTime(seconds).to_string()),
        ("protocol_version", FieldValue::Uint(version)) => {
            let version = ProtocolVersion(u32::try_from(*version).ok()?);
            if D::RULES.signed_version && version.0 > i32::MAX.cast_unsigned() {
                return Some(format!("negative: {}", version.0.cast_signed()));
            }
            let known = chain.upgrade_known_by(version)?;
            let provisional = if known.provisional {
                " (provisional)"
            } else {
                ""
            };
            Some(format!("knows the rules up to {}{provisional}", known.name))
        }
        ("height", FieldValue::Uint(height)) => {
            let height = crate::version::Height(u32::try_from(*height).ok()?);
            chain
                .upgrade_at(height)
                .map(|upgrade| format!("under the rules of {}", upgrade.name))
        }
        ("relay", FieldValue::Uint(relay)) => Some(
            if *relay == 0 {
                "wants no transactions announced"
            } else {
                "wants transactions announced"
            }
            .into(),
        ),
        ("nonce", _) => Some("comes back if it reaches its sender".into()),
        ("ip", _) => match field.group.map(|group| group.name) {
            Some("addr_recv") => Some("the receiver, as the sender sees it".into()),
            Some("addr_from") => Some("the sender, as it sees itself".into()),
            _ => None,
        },
        ("code", FieldValue::Uint(code)) => reject_code(*code).map(Into::into),
        _ => None,
    }
}

/// Service bits by name: `NODE_NETWORK | bit 7`.
pub fn services_shown<D: Dialect>(bits: u64) -> String {
    if bits == 0 {
        return "none".into();
    }
    let named = |bit: u64| D::service_names().iter().find(|(known, _)| *known == bit);
    let names = (0..64)
        .map(|shift| 1_u64 << shift)
        .filter(|bit| bits & bit != 0)
        .map(|bit| {
            named(bit).map_or_else(
                || format!("bit {}", bit.trailing_zeros()),
                |(_, name)| (*name).into(),
            )
        });
    names.collect::<Vec<String>>().join(" | ")
}

/// The meaning of a reject code. Source: ZIP 204, "Reject Codes"; 0x50 is zebra's own.
const fn reject_code(code: u64) -> Option<&'static str> {
    Some(match code {
        0x01 => "malformed",
        0x10 => "invalid",
        0x11 => "obsolete",
        0x12 => "duplicate",
        0x40 => "nonstandard",
        0x41 => "dust",
        0x42 => "insufficient fee",
        0x43 => "checkpoint",
        0x50 => "other",
        _ => return None,
    })
}

/// Encodes a whole frame; for tests, captures and scripted peers.
pub fn frame<D: Dialect>(chain: &ChainTable, command: Command, payload: &[u8]) -> Bytes {
    let envelope = Envelope {
        magic: chain.magic,
        checksum: D::checksum,
    };
    let mut output = BytesMut::new();
    envelope.write(command, payload, &mut output);
    output.freeze()
}

//! How messages are described, and the parts that both networks share.
//!
//! A network's messages are one table: command, variant, longest payload, and the protocol versions
//! that have it. The `messages!` macro turns the table into the enum and its codec, so that a size
//! or a version gate stands in one place only. What a payload looks like is its type's business
//! (`Payload`).

mod addr;
mod chain;
mod inv;
mod reject;

use peerage_core::wire::{Problem, ReadError, Reader, Writer};

use crate::version::ProtocolVersion;

pub(crate) use addr::saturated;
pub use addr::{Listed, MAX_ADDRS, TimedAddr};
pub use chain::{Hash, Locators};
pub(crate) use chain::{read_hashes, write_hashes};
pub(crate) use inv::Inventory;
pub use inv::MAX_INV;
pub use reject::Reject;

/// What stands in a payload.
pub(crate) trait Payload: Sized {
    /// Reads it, as peers who agreed on `version` do.
    fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self, ReadError>;

    /// Writes it.
    fn write(&self, writer: &mut Writer);
}

/// The nonce of a ping or pong.
impl Payload for u64 {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        reader.u64_le("nonce")
    }

    fn write(&self, writer: &mut Writer) {
        writer.u64_le(*self);
    }
}

/// Where a list stands and how long it may be.
#[derive(Clone, Copy)]
pub(crate) struct ListRule {
    /// The name of its count.
    pub(crate) count: &'static str,
    /// The name of its entries.
    pub(crate) entries: &'static str,
    /// The fewest entries.
    pub(crate) least: usize,
    /// The most entries.
    pub(crate) most: usize,
    /// The length of the shortest entry, in bytes: bounds what is allocated at once.
    pub(crate) entry_len: usize,
}

impl ListRule {
    /// A list of at most `most` entries of at least `entry_len` bytes.
    pub(crate) const fn up_to(most: usize, entry_len: usize) -> Self {
        Self {
            count: "count",
            entries: "entries",
            least: 0,
            most,
            entry_len,
        }
    }

    /// The same list with its own names.
    pub(crate) const fn named(self, count: &'static str, entries: &'static str) -> Self {
        Self {
            count,
            entries,
            ..self
        }
    }

    /// The same list, but not empty.
    pub(crate) const fn not_empty(self) -> Self {
        Self { least: 1, ..self }
    }
}

/// Reads a list with its CompactSize count in front.
pub(crate) fn read_list<T>(
    reader: &mut Reader<'_>,
    rule: ListRule,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let offset = reader.offset();
    let count = reader.count(rule.count, rule.most)?;
    if count < rule.least {
        let problem = Problem::UnderLimit {
            got: count as u64,
            limit: rule.least as u64,
        };
        return Err(Reader::error(rule.count, offset, problem));
    }
    let mut list = Vec::with_capacity(reader.room_for(count, rule.entry_len));
    for index in 0..count {
        reader.enter(rule.entries, Some(index));
        list.push(read(reader)?);
    }
    reader.leave();
    Ok(list)
}

/// Writes a list with its count in front.
pub(crate) fn write_list<T>(
    list: &[T],
    writer: &mut Writer,
    mut write: impl FnMut(&T, &mut Writer),
) {
    writer.compact_size(list.len() as u64);
    list.iter().for_each(|entry| write(entry, writer));
}

/// The count of transactions behind a header, which is always zero.
pub(crate) fn read_zero_count(reader: &mut Reader<'_>) -> Result<(), ReadError> {
    reader.count("tx_count", 0).map(drop)
}

/// Defines a network's messages from a table.
///
/// Rows of `empty` have no payload, rows of `body` one of a type that is a [`Payload`], rows of
/// `opaque` are carried as they came and have no variant of their own. Each gives its command, its
/// longest payload in bytes, and the protocol versions that have it.
macro_rules! messages {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            empty { $($(#[$empty_meta:meta])* $empty:ident = $empty_command:literal, $empty_versions:expr;)* }
            body { $($(#[$body_meta:meta])* $body:ident($ty:ty) = $body_command:literal, $body_max:expr, $body_versions:expr;)* }
            opaque { $($opaque_command:literal, $opaque_max:expr, $opaque_versions:expr;)* }
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        $vis enum $name {
            $($(#[$empty_meta])* $empty,)*
            $($(#[$body_meta])* $body($ty),)*
            /// Any other message: its size is checked, its payload is carried as it came.
            Opaque {
                /// Its command.
                command: Command,
                /// Its payload.
                payload: Bytes,
            },
        }

        /// Commands, their longest payloads in bytes, and the protocol versions that have them.
        const SIZES: &[(Command, usize, std::ops::RangeInclusive<u32>)] = &[
            $((Command::from_static($empty_command), 0, $empty_versions),)*
            $((Command::from_static($body_command), $body_max, $body_versions),)*
            $((Command::from_static($opaque_command), $opaque_max, $opaque_versions),)*
        ];

        /// The longest payload of a command between peers of `version`: 0 where the command is
        /// known but not in that version, `None` where nobody knows it.
        pub(super) fn max_payload(command: Command, version: ProtocolVersion) -> Option<usize> {
            let row = SIZES.iter().find(|(known, ..)| *known == command);
            row.map(|(_, max, versions)| if versions.contains(&version.0) { *max } else { 0 })
        }

        impl dialect::Message for $name {
            fn command(&self) -> Command {
                match self {
                    $(Self::$empty => const { Command::from_static($empty_command) },)*
                    $(Self::$body(_) => const { Command::from_static($body_command) },)*
                    Self::Opaque { command, .. } => *command,
                }
            }

            fn read(
                command: Command,
                reader: &mut Reader<'_>,
                payload: &Bytes,
                version: ProtocolVersion,
            ) -> Result<Self, ReadError> {
                let message = match command.name() {
                    $($empty_command => Self::$empty,)*
                    $($body_command => Self::$body(Payload::read(reader, version)?),)*
                    _ => {
                        // Its size says so too, but for an empty one.
                        if max_payload(command, version) == Some(0) {
                            let problem = Problem::NotInVersion { version: version.0 };
                            return Err(Reader::error("payload", 0, problem));
                        }
                        reader.rest("payload");
                        Self::Opaque { command, payload: payload.clone() }
                    }
                };
                reader.finish()?;
                Ok(message)
            }

            fn write(&self, writer: &mut Writer) {
                match self {
                    $(Self::$empty => {})*
                    $(Self::$body(body) => Payload::write(body, writer),)*
                    Self::Opaque { payload, .. } => {
                        writer.bytes(payload);
                    }
                }
            }

            fn ping(nonce: u64) -> Self {
                Self::Ping(nonce)
            }

            fn pong(nonce: u64) -> Self {
                Self::Pong(nonce)
            }

            fn ping_nonce(&self) -> Option<u64> {
                if let Self::Ping(nonce) = self { Some(*nonce) } else { None }
            }

            fn pong_nonce(&self) -> Option<u64> {
                if let Self::Pong(nonce) = self { Some(*nonce) } else { None }
            }

            fn opaque_len(&self) -> Option<usize> {
                if let Self::Opaque { payload, .. } = self { Some(payload.len()) } else { None }
            }

            fn get_addr() -> Self {
                Self::GetAddr
            }

            fn asks_for_addrs(&self) -> bool {
                matches!(self, Self::GetAddr)
            }

            fn listed(&self) -> Option<Vec<$crate::message::Listed>> {
                if let Self::Addr(addrs) = self {
                    Some(addrs.iter().map(Into::into).collect())
                } else if let Self::AddrV2(addrs) = self {
                    Some(addrs.iter().filter_map(|addr| addr.listed()).collect())
                } else {
                    None
                }
            }

            fn list(addrs: &[$crate::message::Listed], version: ProtocolVersion) -> Self {
                Self::listing(addrs, version)
            }

            fn reject(&self) -> Option<&Reject> {
                self.rejection()
            }
        }
    };
}

pub(crate) use messages;

/// Every protocol version.
pub(crate) const ALWAYS: std::ops::RangeInclusive<u32> = 0..=u32::MAX;

//! `reject`: why a message was refused.

use peerage_core::PeerText;
use peerage_core::wire::{ReadError, Reader, Writer};

use super::Payload;
use crate::version::ProtocolVersion;

/// A word of refusal. Source: ZIP 204, "reject".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The message refused.
    pub message: PeerText,
    /// Why, as a number.
    pub code: u8,
    /// Why, in words.
    pub reason: PeerText,
    /// The block or transaction refused.
    pub hash: Option<[u8; 32]>,
}

impl Reject {
    /// The longest message name in a reject, in bytes.
    pub const MAX_MESSAGE: usize = 12;
    /// The longest reason, in bytes.
    pub const MAX_REASON: usize = 111;
    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = 1 + Self::MAX_MESSAGE + 1 + 1 + Self::MAX_REASON + 32;
}

impl Payload for Reject {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let message = PeerText::new(reader.var_text("message", Self::MAX_MESSAGE)?);
        let code = reader.u8("code")?;
        let reason = PeerText::new(reader.var_text("reason", Self::MAX_REASON)?);
        let hash = if reader.is_empty() {
            None
        } else {
            Some(reader.fixed("hash")?)
        };
        Ok(Self {
            message,
            code,
            reason,
            hash,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .var_text(self.message.as_bytes())
            .u8(self.code)
            .var_text(self.reason.as_bytes());
        if let Some(hash) = &self.hash {
            writer.bytes(hash);
        }
    }
}

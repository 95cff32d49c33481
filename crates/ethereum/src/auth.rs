//! The bodies of auth and ack: RLP lists whose first items count and whose rest is ignored.
//!
//! Source: devp2p, `rlpx.md`, "Initial Handshake"; EIP-8: version mismatches, further items and
//! trailing bytes are ignored. A fourth item must be there, whatever it is.

use alloy_rlp::Header;

use crate::key::{PeerId, SIGNATURE_LEN};
use crate::packet::RlpxError;
use crate::rlpx::Nonce;

/// Length of our auth body, in bytes.
pub(crate) const AUTH_LEN: usize = 169;
/// Length of our ack body, in bytes.
pub(crate) const ACK_LEN: usize = 102;

/// The version in the fourth item.
const VERSION: u8 = 4;

/// What the initiator says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    /// By the ephemeral key, over the static secret xor the nonce.
    pub(crate) signature: [u8; SIGNATURE_LEN],
    /// The static key it claims.
    pub(crate) id: PeerId,
    pub(crate) nonce: Nonce,
}

/// What the recipient answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// The ephemeral key.
    pub(crate) ephemeral: PeerId,
    pub(crate) nonce: Nonce,
}

impl Auth {
    pub(crate) fn encode(&self) -> [u8; AUTH_LEN] {
        let mut body = [0; AUTH_LEN];
        put(
            &mut body,
            &[
                &[0xf8, 167],
                &[0xb8, 65],
                &self.signature,
                &[0xb8, 64],
                &self.id.0,
                &[0xa0],
                &self.nonce,
                &[VERSION],
            ],
        );
        body
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, RlpxError> {
        let mut items = list(body)?;
        let auth = Self {
            signature: item(&mut items, "signature")?,
            id: PeerId(item(&mut items, "static key")?),
            nonce: item(&mut items, "nonce")?,
        };
        version(items)?;
        Ok(auth)
    }
}

impl Ack {
    pub(crate) fn encode(&self) -> [u8; ACK_LEN] {
        let mut body = [0; ACK_LEN];
        put(
            &mut body,
            &[
                &[0xf8, 100],
                &[0xb8, 64],
                &self.ephemeral.0,
                &[0xa0],
                &self.nonce,
                &[VERSION],
            ],
        );
        body
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, RlpxError> {
        let mut items = list(body)?;
        let ack = Self {
            ephemeral: PeerId(item(&mut items, "ephemeral key")?),
            nonce: item(&mut items, "nonce")?,
        };
        version(items)?;
        Ok(ack)
    }
}

/// Writes the parts one after another; together they are as long as the body.
fn put(mut body: &mut [u8], parts: &[&[u8]]) {
    use bytes::BufMut as _;
    parts.iter().for_each(|part| body.put_slice(part));
    debug_assert!(body.is_empty(), "{} bytes left", body.len());
}

/// The items of the list that the body begins with.
fn list(mut body: &[u8]) -> Result<&[u8], RlpxError> {
    Header::decode_bytes(&mut body, true).map_err(|_| RlpxError::Malformed { field: "list" })
}

/// The next item, a string of exactly this length.
fn item<const N: usize>(items: &mut &[u8], field: &'static str) -> Result<[u8; N], RlpxError> {
    Header::decode_bytes(items, false)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(RlpxError::Malformed { field })
}

/// The version is there; which one does not matter.
fn version(mut items: &[u8]) -> Result<(), RlpxError> {
    let version = Header::decode(&mut items);
    version.map_err(|_| RlpxError::Malformed { field: "version" })?;
    Ok(())
}

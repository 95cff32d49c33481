//! Hello, the first message inside the cipher: who speaks, and what it can speak.
//!
//! `[p2p version, client id, [[name, version], ...], listen port, node id, ...]`, never compressed.
//!
//! Source: devp2p, `rlpx.md`, "Hello (0x00)"; EIP-8.

use bytes::Bytes;
use peerage_core::PeerText;
use peerage_core::wire::{Problem, ReadError};

use crate::capability::{CapName, Capability, MAX_CAPABILITIES};
use crate::key::PeerId;
use crate::rlp::{Extra, Reader, encoded};

/// A node's introduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The p2p version the node speaks. A difference is no reason to part (EIP-8); from 5 on,
    /// messages after Hello are compressed.
    pub p2p_version: u64,
    /// The software it claims to be. May be empty.
    pub client_id: PeerText,
    /// What it can speak. Of what came: the first [`MAX_CAPABILITIES`], without those whose name
    /// or version is none that anybody could share.
    pub capabilities: Vec<Capability>,
    /// The port it says it listens on. A relic: 0 in most, and to be ignored.
    pub listen_port: u64,
    /// The public key it says it has. A claim, until it is compared with the key that the cipher
    /// proved.
    pub id: PeerId,
}

impl Hello {
    /// The longest body that is read, in bytes. go-ethereum has the same limit.
    pub const MAX_LEN: usize = 2048;

    /// Reads a message body.
    ///
    /// Items and bytes behind the known ones are ignored, as EIP-8 asks.
    ///
    /// # Errors
    /// When the body is over [`Self::MAX_LEN`] or breaks the encoding.
    pub fn decode(body: &[u8]) -> Result<Self, ReadError> {
        Self::read(&mut Reader::new(body))
    }

    /// Reads from a reader over a whole message body.
    ///
    /// # Errors
    /// When the body is over [`Self::MAX_LEN`] or breaks the encoding.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        if reader.left() > Self::MAX_LEN {
            let problem = Problem::OverLimit {
                got: reader.left() as u64,
                limit: Self::MAX_LEN as u64,
            };
            return Err(Reader::error("hello", reader.offset(), problem));
        }
        let hello = reader.list("hello", Extra::Ignore, |reader| {
            Ok(Self {
                p2p_version: reader.u64("p2p_version")?,
                client_id: PeerText::new(reader.text("client_id", Self::MAX_LEN)?),
                capabilities: read_capabilities(reader)?,
                listen_port: reader.u64("listen_port")?,
                id: PeerId(reader.fixed("id")?),
            })
        })?;
        reader.rest("extra");
        Ok(hello)
    }

    /// The message body.
    pub fn encode(&self) -> Bytes {
        let body = encoded(|writer| {
            writer.list(|writer| {
                writer
                    .uint(self.p2p_version)
                    .bytes(self.client_id.as_bytes());
                writer.list(|writer| {
                    for capability in &self.capabilities {
                        writer.list(|writer| {
                            let name = capability.name.as_str().as_bytes();
                            writer.bytes(name).uint(capability.version.into());
                        });
                    }
                });
                writer.uint(self.listen_port).bytes(&self.id.0);
            });
        });
        body.freeze()
    }

    /// Whether messages after Hello are compressed, seen from this side: both must say so.
    pub const fn speaks_snappy(&self) -> bool {
        self.p2p_version >= 5
    }
}

/// A capability that cannot be named the way they are named cannot be shared either; it is passed
/// over rather than held against the node.
fn read_capabilities(reader: &mut Reader<'_>) -> Result<Vec<Capability>, ReadError> {
    let entries = reader.items("capabilities", MAX_CAPABILITIES, Extra::Ignore, |reader| {
        reader.list("capability", Extra::Ignore, |reader| {
            let name = CapName::new(reader.text("name", Hello::MAX_LEN)?);
            let version = u32::try_from(reader.u64("version")?).ok();
            Ok(name.zip(version))
        })
    })?;
    let known = entries.into_iter().flatten();
    Ok(known
        .map(|(name, version)| Capability { name, version })
        .collect())
}

//! Making a record.

use std::collections::BTreeMap;
use std::net::IpAddr;

use peerage_core::PeerText;

use super::error::RecordError;
use super::fields::{Family, Fields};
use super::{MAX_LEN, Record, signed_digest};
use crate::curve::SecretKey;
use crate::rlp::{self, Reader};

/// The entries of a record still to be signed. Setting an entry replaces it.
///
/// `id` and `secp256k1` are written by [`Self::sign`].
#[derive(Clone, Debug)]
pub struct Builder {
    seq: u64,
    /// The record continued; its sequence number grows if anything differs from it.
    previous: Option<Record>,
    /// Keys and encoded values.
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first thing that went wrong; signing reports it.
    error: Option<RecordError>,
}

impl Builder {
    /// A record without entries and with this sequence number.
    pub const fn new(seq: u64) -> Self {
        Self {
            seq,
            previous: None,
            pairs: BTreeMap::new(),
            error: None,
        }
    }

    /// A record that takes the place of a previous one: its entries, and its sequence number, plus
    /// one if anything changes.
    pub fn continuing(previous: &Record) -> Self {
        let entries = previous.entries();
        let own = entries.filter(|(key, _)| !is_reserved(key));
        Self {
            seq: previous.seq(),
            pairs: own.map(|(key, raw)| (key.into(), raw.into())).collect(),
            previous: Some(previous.clone()),
            error: None,
        }
    }

    /// Entry `ip` or `ip6`, by the family of the address.
    #[must_use]
    pub fn ip(self, ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.string("ip", ip.octets()),
            IpAddr::V6(ip) => self.string("ip6", ip.octets()),
        }
    }

    /// Entry `udp`.
    #[must_use]
    pub fn udp4(self, port: u16) -> Self {
        self.uint("udp", port.into())
    }

    /// Entry `udp6`. Always written beside `ip6`: several implementations do not fall back to
    /// `udp`.
    #[must_use]
    pub fn udp6(self, port: u16) -> Self {
        self.uint("udp6", port.into())
    }

    /// Entry `udp` or `udp6`.
    #[must_use]
    pub fn udp(self, family: Family, port: u16) -> Self {
        match family {
            Family::V4 => self.udp4(port),
            Family::V6 => self.udp6(port),
        }
    }

    /// Entry `tcp`.
    #[must_use]
    pub fn tcp4(self, port: u16) -> Self {
        self.uint("tcp", port.into())
    }

    /// Entry `tcp6`.
    #[must_use]
    pub fn tcp6(self, port: u16) -> Self {
        self.uint("tcp6", port.into())
    }

    /// An entry whose value is a string of bytes.
    #[must_use]
    pub fn string(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let mut raw = Vec::new();
        rlp::put_string(&mut raw, value.as_ref());
        self.insert(key.as_ref(), raw)
    }

    /// An entry whose value is a number.
    #[must_use]
    pub fn uint(self, key: impl AsRef<[u8]>, value: u64) -> Self {
        let mut raw = Vec::new();
        rlp::put_uint(&mut raw, value);
        self.insert(key.as_ref(), raw)
    }

    /// An entry whose value is already encoded: one RLP item, which may be a list.
    #[must_use]
    pub fn raw(mut self, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        let (key, value) = (key.as_ref(), value.into());
        let mut reader = Reader::new(&value);
        if let Err(error) = reader.item().and_then(|_| reader.finish()) {
            let key = PeerText::new(key);
            self.error
                .get_or_insert(RecordError::BadValue { key, error });
            return self;
        }
        self.insert(key, value)
    }

    /// Leaves an entry out.
    #[must_use]
    pub fn without(mut self, key: impl AsRef<[u8]>) -> Self {
        self.pairs.remove(key.as_ref());
        self
    }

    fn insert(mut self, key: &[u8], raw: Vec<u8>) -> Self {
        if is_reserved(key) {
            let key = PeerText::new(key);
            self.error.get_or_insert(RecordError::ReservedKey { key });
        } else {
            self.pairs.insert(key.into(), raw);
        }
        self
    }

    /// Signs the record. One curve signature; none if a previous record has the same entries, which
    /// is then returned as it was.
    ///
    /// # Errors
    /// When an entry was wrong, when the record is too long, when the previous record belongs to
    /// another key, or when its sequence number cannot grow.
    pub fn sign(mut self, key: &SecretKey) -> Result<Record, RecordError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let public = key.public_key();
        if let Some(previous) = self.previous {
            if *previous.public_key_bytes() != public.compressed() {
                return Err(RecordError::AnotherIdentity);
            }
            let entries = previous.entries();
            let before = entries.filter(|(key, _)| !is_reserved(key));
            if before.eq(self.pairs.iter().map(|(key, raw)| (&key[..], &raw[..]))) {
                return Ok(previous);
            }
            let next = self.seq.checked_add(1);
            self.seq = next.ok_or(RecordError::SequenceExhausted)?;
        }
        let mut raw = Vec::new();
        rlp::put_string(&mut raw, b"v4");
        self.pairs.insert(b"id".to_vec(), raw);
        let mut raw = Vec::new();
        rlp::put_string(&mut raw, &public.compressed());
        self.pairs.insert(b"secp256k1".to_vec(), raw);

        let mut content = Vec::with_capacity(MAX_LEN);
        rlp::put_uint(&mut content, self.seq);
        for (key, raw) in &self.pairs {
            rlp::put_string(&mut content, key);
            content.extend_from_slice(raw);
        }
        let payload_len = rlp::string_len(64) + content.len();
        let len = rlp::header_len(payload_len) + payload_len;
        if len > MAX_LEN {
            return Err(RecordError::TooLong { len });
        }
        let mut bytes = Vec::with_capacity(len);
        rlp::put_list_header(&mut bytes, payload_len);
        rlp::put_string(&mut bytes, &key.sign(signed_digest(&content)));
        bytes.extend_from_slice(&content);
        Ok(Record {
            fields: Fields::decode(&bytes)?,
            node_id: public.node_id(),
        })
    }
}

/// What signing writes itself.
fn is_reserved(key: &[u8]) -> bool {
    matches!(key, b"id" | b"secp256k1")
}

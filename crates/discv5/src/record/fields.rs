//! What a record says, verified or not.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use peerage_core::{Endpoint, PeerText};

use super::error::RecordError;
use super::{MAX_LEN, PREFIX, signed_digest};
use crate::rlp::{self, Item, Reader};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address; a mapped address is IPv4.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The entries of a record: its bytes, and where the important ones lie.
///
/// A record with an odd address or port is a record all the same; the accessors of such an entry
/// return `None`, and [`Self::raw`] shows what is there.
#[derive(Clone)]
pub struct Fields {
    bytes: Arc<[u8]>,
    seq: u64,
    signature_at: u16,
    content_at: u16,
    pairs_at: u16,
    public_key_at: u16,
}

impl Fields {
    /// Reads a record that takes up all of `bytes`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_LEN {
            return Err(RecordError::TooLong { len: bytes.len() });
        }
        let mut outer = Reader::new(bytes);
        let mut list = outer.list()?;
        outer.finish()?;
        // Offsets fit: the length is at most 300.
        let at = |rest: &[u8]| u16::try_from(bytes.len() - rest.len()).unwrap_or(u16::MAX);

        list.array::<64>()?;
        let content_at = at(list.rest());
        let signature_at = content_at.saturating_sub(64);
        let seq = list.uint()?;
        let pairs_at = at(list.rest());

        let mut last: Option<&[u8]> = None;
        let mut scheme: Option<&[u8]> = None;
        let mut public_key_at = None;
        while !list.is_empty() {
            let key = list.string()?;
            if last.is_some_and(|last| last >= key) {
                return Err(RecordError::KeysOutOfOrder);
            }
            last = Some(key);
            if list.is_empty() {
                return Err(RecordError::OddPairs);
            }
            match (key, list.item()?) {
                (b"id", Item::String(value)) => scheme = Some(value),
                (b"secp256k1", Item::String(value)) if value.len() == 33 => {
                    public_key_at = Some(at(list.rest()).saturating_sub(33));
                }
                _ => {}
            }
        }
        if scheme != Some(b"v4") {
            return Err(RecordError::UnknownScheme {
                scheme: PeerText::new(scheme.unwrap_or_default()),
            });
        }
        Ok(Self {
            bytes: bytes.into(),
            seq,
            signature_at,
            content_at,
            pairs_at,
            public_key_at: public_key_at.ok_or(RecordError::NoPublicKey)?,
        })
    }

    /// The record as it travels, at most [`MAX_LEN`] bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The sequence number: of two records of one node, the higher counts.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The signature, `r‖s`.
    pub fn signature(&self) -> &[u8; 64] {
        self.array_at(self.signature_at)
    }

    /// The compressed public key.
    pub fn public_key_bytes(&self) -> &[u8; 33] {
        self.array_at(self.public_key_at)
    }

    /// What was signed.
    pub(super) fn signed_digest(&self) -> [u8; 32] {
        signed_digest(&self.bytes[usize::from(self.content_at)..])
    }

    fn array_at<const N: usize>(&self, at: u16) -> &[u8; N] {
        const NONE: [u8; MAX_LEN] = [0; MAX_LEN];
        let found = self.bytes[usize::from(at)..].first_chunk();
        // Decoding has found these bytes there, so the second is never taken.
        found.or(NONE.first_chunk()).unwrap_or(&[0; N])
    }

    /// Every entry in order: its key, and its value's encoding with the RLP header.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut pairs = Reader::new(&self.bytes[usize::from(self.pairs_at)..]);
        std::iter::from_fn(move || {
            let key = pairs.string().ok()?;
            let (_, raw) = pairs.item_and_raw().ok()?;
            Some((key, raw))
        })
    }

    /// The encoding of an entry's value, with its RLP header. A value may be a list, as `eth` is.
    pub fn raw(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        let key = key.as_ref();
        self.entries()
            .find_map(|(found, raw)| (found == key).then_some(raw))
    }

    /// The bytes of an entry whose value is a string.
    pub fn string(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        Reader::new(self.raw(key)?).string().ok()
    }

    /// A number, in its shortest form.
    pub fn uint(&self, key: impl AsRef<[u8]>) -> Option<u64> {
        rlp::uint(self.string(key)?).ok()
    }

    /// Entry `ip`.
    pub fn ip4(&self) -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = self.string("ip")?.try_into().ok()?;
        Some(bytes.into())
    }

    /// Entry `ip6`.
    pub fn ip6(&self) -> Option<Ipv6Addr> {
        let bytes: [u8; 16] = self.string("ip6")?.try_into().ok()?;
        Some(bytes.into())
    }

    /// Entry `udp`; a port is never 0.
    pub fn udp4(&self) -> Option<u16> {
        self.port("udp")
    }

    /// Entry `udp6`, or else `udp` (EIP-778: the port of both families).
    pub fn udp6(&self) -> Option<u16> {
        self.port_or("udp6", "udp")
    }

    /// Entry `tcp`.
    pub fn tcp4(&self) -> Option<u16> {
        self.port("tcp")
    }

    /// Entry `tcp6`, or else `tcp`.
    pub fn tcp6(&self) -> Option<u16> {
        self.port_or("tcp6", "tcp")
    }

    /// Where discovery packets go over IPv4.
    pub fn udp4_endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::new(self.ip4()?.into(), self.udp4()?))
    }

    /// Where discovery packets go over IPv6.
    pub fn udp6_endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::new(self.ip6()?.into(), self.udp6()?))
    }

    /// Where discovery packets go in this family.
    pub fn udp_endpoint(&self, family: Family) -> Option<Endpoint> {
        match family {
            Family::V4 => self.udp4_endpoint(),
            Family::V6 => self.udp6_endpoint(),
        }
    }

    /// Where connections go over IPv4.
    pub fn tcp4_endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::new(self.ip4()?.into(), self.tcp4()?))
    }

    /// Where connections go over IPv6.
    pub fn tcp6_endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::new(self.ip6()?.into(), self.tcp6()?))
    }

    /// The text form: `enr:` and URL-safe base64 without padding.
    pub fn to_text(&self) -> String {
        let mut text = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(&self.bytes, &mut text);
        text
    }

    fn port(&self, key: &str) -> Option<u16> {
        let port = u16::try_from(self.uint(key)?).ok()?;
        (port != 0).then_some(port)
    }

    /// The second key counts only where the first is absent, not where it is wrong.
    fn port_or(&self, key: &str, other: &str) -> Option<u16> {
        match self.raw(key) {
            Some(_) => self.port(key),
            None => self.port(other),
        }
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq {}", self.seq)?;
        let endpoints = Family::BOTH.map(|family| self.udp_endpoint(family));
        let mut endpoints = endpoints.into_iter().flatten();
        endpoints.try_for_each(|endpoint| write!(f, " {endpoint}"))
    }
}

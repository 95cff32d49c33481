//! Destinations, and the signed entries that allow them.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use ipnet::IpNet;
use peerage_core::wire::{ReadError, Reader, TooLong, Writer};
use peerage_core::{Failure, Kind, Stage, UnixTime};
use peerage_matcher::NetworkProtocol;
use peerage_net::{Host, Target};

use crate::keys::{SIGNATURE_LEN, SignerKey, SignerSecret};
use crate::wire::{bad, read_ip, read_text};

/// The longest host name, in bytes (RFC 1035, section 2.3.4, without the final dot).
const MAX_NAME_LEN: usize = 253;
/// The longest tag, in bytes.
pub const MAX_TAG_LEN: usize = 32;

/// The hosts an entry allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// One name, spelled just so.
    Name(String),
    /// Every address of a network. `0.0.0.0/0` is every IPv4 address: the entry of an operator who
    /// serves any peer of a network on its port.
    Net(IpNet),
}

/// A signed entry in its bytes, as invitations carry it and offers send it.
pub type EncodedEntry = Bytes;

/// What an entry says: these destinations may be asked for, until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which hosts.
    pub hosts: Hosts,
    /// The first and the last port.
    pub ports: (u16, u16),
    /// By which protocol.
    pub protocol: NetworkProtocol,
    /// From when on not any more.
    pub expires: UnixTime,
    /// What it belongs to. A broker serves the tags that are active there; taking a tag off that list
    /// ends all its entries. Printable ASCII, 1 to [`MAX_TAG_LEN`] bytes.
    pub tag: String,
}

/// An entry with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEntry {
    /// What it says.
    pub entry: Entry,
    /// Who says it.
    pub signer: SignerKey,
    signature: [u8; SIGNATURE_LEN],
}

/// Why a destination is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// The entry's bytes are none.
    #[error("the destination entry cannot be read: {0}")]
    Malformed(#[from] ReadError),
    /// The entry's signature does not hold.
    #[error("the destination entry is not signed by the key it names")]
    BadSignature,
    /// Whoever signed it is not known here.
    #[error("the destination entry is signed by {signer}, who is not on the list here")]
    UnknownSigner {
        /// Who signed.
        signer: SignerKey,
    },
    /// Its tag is not active here.
    #[error("the tag of the destination entry is not active here")]
    Inactive,
    /// Its time is over.
    #[error("the destination entry has expired at {at}")]
    Expired {
        /// When.
        at: UnixTime,
    },
    /// It allows other destinations.
    #[error("the destination entry does not allow this destination")]
    NotCovered,
}

impl Failure for DestinationError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) => Kind::Malformed,
            Self::BadSignature
            | Self::UnknownSigner { .. }
            | Self::Inactive
            | Self::Expired { .. }
            | Self::NotCovered => Kind::Refused,
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Net(net) => net.fmt(f),
        }
    }
}

impl Entry {
    /// Whether it allows this destination.
    pub fn covers(&self, target: &Target, protocol: NetworkProtocol) -> bool {
        let host = match (&self.hosts, &target.host) {
            (Hosts::Name(name), Host::Name(asked)) => name.eq_ignore_ascii_case(asked),
            (Hosts::Net(net), Host::Ip(ip)) => net.contains(&ip.to_canonical()),
            (Hosts::Name(_), Host::Ip(_)) | (Hosts::Net(_), Host::Name(_)) => false,
        };
        host && (self.ports.0..=self.ports.1).contains(&target.port) && self.protocol == protocol
    }

    fn write(&self, writer: &mut Writer) {
        writer.u8(SignedEntry::VERSION);
        match &self.hosts {
            Hosts::Name(name) => writer.u8(0).var_text(name.as_bytes()),
            Hosts::Net(IpNet::V4(net)) => writer
                .u8(4)
                .bytes(&net.addr().octets())
                .u8(net.prefix_len()),
            Hosts::Net(IpNet::V6(net)) => writer
                .u8(6)
                .bytes(&net.addr().octets())
                .u8(net.prefix_len()),
        };
        writer
            .u16_be(self.ports.0)
            .u16_be(self.ports.1)
            .u8(protocol_number(self.protocol))
            .i64_le(self.expires.0)
            .var_text(self.tag.as_bytes());
    }
}

pub(crate) const fn protocol_number(protocol: NetworkProtocol) -> u8 {
    match protocol {
        NetworkProtocol::Tcp => 6,
        NetworkProtocol::Udp => 17,
    }
}

pub(crate) fn read_protocol(reader: &mut Reader<'_>) -> Result<NetworkProtocol, ReadError> {
    let offset = reader.offset();
    match reader.u8("protocol")? {
        6 => Ok(NetworkProtocol::Tcp),
        17 => Ok(NetworkProtocol::Udp),
        got => Err(bad("protocol", offset, got)),
    }
}

impl SignedEntry {
    const VERSION: u8 = 1;
    /// In front of what is signed, so that no signature serves another purpose.
    const CONTEXT: &'static [u8] = b"peerage in-proxy destination entry\0";
    /// The most bytes on the wire.
    pub const MAX_LEN: usize =
        2 + 3 + MAX_NAME_LEN + 4 + 1 + 8 + 1 + MAX_TAG_LEN + 32 + SIGNATURE_LEN;

    /// Signs an entry.
    ///
    /// # Errors
    /// When its name or tag is too long.
    pub fn sign(entry: Entry, secret: &SignerSecret) -> Result<Self, TooLong> {
        let signature = secret.sign(&Self::signed_bytes(&entry)?);
        let signer = secret.public();
        Ok(Self {
            entry,
            signer,
            signature,
        })
    }

    fn signed_bytes(entry: &Entry) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(Self::CONTEXT.len() + Self::MAX_LEN - 32 - SIGNATURE_LEN);
        writer.bytes(Self::CONTEXT);
        entry.write(&mut writer);
        writer.finish()
    }

    /// The bytes.
    ///
    /// # Errors
    /// When its name or tag is too long.
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(Self::MAX_LEN);
        self.entry.write(&mut writer);
        writer.bytes(&self.signer.0).bytes(&self.signature);
        writer.finish()
    }

    /// Reads what [`Self::encode`] wrote. The signature is not looked at: see [`ActiveList::check`].
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != Self::VERSION {
            return Err(bad("version", 0, version));
        }
        let offset = reader.offset();
        let hosts = match bytes.get(offset) {
            Some(0) => {
                reader.u8("hosts")?;
                Hosts::Name(read_text(&mut reader, "name", MAX_NAME_LEN)?)
            }
            _ => {
                let ip = read_ip(&mut reader)?;
                let offset = reader.offset();
                let len = reader.u8("prefix_len")?;
                let net = IpNet::new(ip, len).map_err(|_| bad("prefix_len", offset, len))?;
                Hosts::Net(net)
            }
        };
        let ports = (reader.u16_be("first_port")?, reader.u16_be("last_port")?);
        let protocol = read_protocol(&mut reader)?;
        let expires = UnixTime(reader.i64_le("expires")?);
        let tag = read_text(&mut reader, "tag", MAX_TAG_LEN)?;
        let entry = Entry {
            hosts,
            ports,
            protocol,
            expires,
            tag,
        };
        let signer = SignerKey(reader.fixed("signer")?);
        let signature = reader.fixed("signature")?;
        reader.finish()?;
        Ok(Self {
            entry,
            signer,
            signature,
        })
    }
}

/// Whose entries a broker takes, and which tags are active.
#[derive(Clone, Debug, Default)]
pub struct ActiveList {
    /// Who may sign.
    pub signers: BTreeSet<SignerKey>,
    /// Which tags are served.
    pub tags: BTreeSet<String>,
}

impl ActiveList {
    /// Whether the entry in these bytes allows this destination here and now. The signature, the only
    /// dear part, is looked at last.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(
        &self,
        bytes: &[u8],
        target: &Target,
        protocol: NetworkProtocol,
        now: UnixTime,
    ) -> Result<Entry, DestinationError> {
        let SignedEntry {
            entry,
            signer,
            signature,
        } = SignedEntry::decode(bytes)?;
        if !self.signers.contains(&signer) {
            return Err(DestinationError::UnknownSigner { signer });
        }
        if !self.tags.contains(&entry.tag) {
            return Err(DestinationError::Inactive);
        }
        if entry.expires <= now {
            return Err(DestinationError::Expired { at: entry.expires });
        }
        if !entry.covers(target, protocol) {
            return Err(DestinationError::NotCovered);
        }
        // Encoding is canonical, so these are the bytes that were signed.
        let signed = SignedEntry::signed_bytes(&entry);
        let signed = signed.map_err(|_| DestinationError::BadSignature)?;
        if signer.has_signed(&signed, &signature) {
            Ok(entry)
        } else {
            Err(DestinationError::BadSignature)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(hosts: Hosts) -> Entry {
        Entry {
            hosts,
            ports: (8233, 8235),
            protocol: NetworkProtocol::Tcp,
            expires: UnixTime(1000),
            tag: "zcash".into(),
        }
    }

    fn every_v4() -> Hosts {
        Hosts::Net("0.0.0.0/0".parse().unwrap())
    }

    fn check(bytes: &[u8], target: &str, now: i64) -> Result<Entry, DestinationError> {
        let list = ActiveList {
            signers: BTreeSet::from([SignerSecret::new(&[1; 32]).public()]),
            tags: BTreeSet::from(["zcash".to_owned()]),
        };
        let target = target.parse().unwrap();
        list.check(bytes, &target, NetworkProtocol::Tcp, UnixTime(now))
    }

    fn signed(entry: Entry, seed: u8) -> Bytes {
        let secret = SignerSecret::new(&[seed; 32]);
        SignedEntry::sign(entry, &secret).unwrap().encode().unwrap()
    }

    #[test]
    fn an_entry_allows_its_hosts_and_ports_until_it_expires() {
        let bytes = signed(entry(every_v4()), 1);
        assert!(check(&bytes, "9.9.9.9:8233", 999).is_ok());
        assert!(check(&bytes, "9.9.9.9:8235", 0).is_ok());
        let not_covered = Err(DestinationError::NotCovered);
        assert_eq!(check(&bytes, "9.9.9.9:8236", 0), not_covered);
        assert_eq!(check(&bytes, "[2606:4700::1]:8233", 0), not_covered);
        assert_eq!(check(&bytes, "example.org:8233", 0), not_covered);
        let expired = Err(DestinationError::Expired { at: UnixTime(1000) });
        assert_eq!(check(&bytes, "9.9.9.9:8233", 1000), expired);
        let named = signed(entry(Hosts::Name("example.org".into())), 1);
        assert!(check(&named, "Example.org:8233", 0).is_ok());
        assert_eq!(check(&named, "www.example.org:8233", 0), not_covered);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = signed(entry(every_v4()), 1);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert!(check(&changed, "9.9.9.9:8233", 0).is_err(), "byte {at}");
            }
        }
        for len in 0..bytes.len() {
            assert!(check(&bytes[..len], "9.9.9.9:8233", 0).is_err());
        }
    }

    #[test]
    fn strangers_and_inactive_tags_are_refused() {
        let stranger = check(&signed(entry(every_v4()), 2), "9.9.9.9:8233", 0);
        assert!(matches!(
            stranger,
            Err(DestinationError::UnknownSigner { .. })
        ));
        let other = Entry {
            tag: "other".into(),
            ..entry(every_v4())
        };
        let inactive = check(&signed(other, 1), "9.9.9.9:8233", 0);
        assert_eq!(inactive, Err(DestinationError::Inactive));
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let hex = |text: &str| -> Vec<u8> {
            let digits = text.as_bytes().chunks(2);
            let byte =
                |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.map(byte).collect()
        };
        let secret = SignerSecret::new(&hex(seed).try_into().unwrap());
        assert_eq!(secret.public().0.to_vec(), hex(public));
        assert_eq!(secret.sign(&[0x72]).to_vec(), hex(signature));
        assert!(secret.public().has_signed(&[0x72], &hex(signature)));
    }
}

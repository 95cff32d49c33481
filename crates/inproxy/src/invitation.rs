//! Invitations and pairing links: how clients and volunteers learn of a broker and of each other.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader, TooLong, Writer};
use peerage_core::{Failure, Kind, Stage, UnixTime};
use peerage_matcher::CompartmentId;
use peerage_net::{Target, TargetError};

use crate::keys::{PartyKey, SIGNATURE_LEN, SignerKey, SignerSecret};
use crate::wire::{bad, read_text};

/// The longest broker address, in bytes.
const MAX_ADDRESS_LEN: usize = 260;
/// The most brokers of one operator in an invitation.
const MAX_BROKERS: usize = 4;
/// The most compartments: as many as a broker takes in one offer by default.
const MAX_COMPARTMENTS: usize = 10;
/// The most entries an invitation may bring along.
const MAX_ENTRIES: usize = 8;
/// The longest entry, in bytes: see [`crate::SignedEntry::MAX_LEN`].
const MAX_ENTRY_LEN: usize = crate::destination::SignedEntry::MAX_LEN;

/// Where a broker is, and by which key it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host and port of its HTTP service.
    pub target: Target,
    /// Its key.
    pub key: PartyKey,
}

/// What an operator gives to clients: brokers, common compartments, destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Any of them will do, 1 to 4.
    pub brokers: Vec<BrokerAddress>,
    /// Common compartments to ask in, 1 to 10.
    pub compartments: Vec<CompartmentId>,
    /// Signed destination entries, each as encoded, at most 8.
    pub entries: Vec<Bytes>,
    /// From when on not any more.
    pub expires: UnixTime,
}

/// What a volunteer gives to people it knows: a compartment of their own. Whoever has it may use the
/// volunteer, so it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Where they meet.
    pub broker: BrokerAddress,
    /// The personal compartment, 32 random bytes.
    pub compartment: CompartmentId,
    /// The key that the volunteer signs its answers with, so that nobody can answer in its place; a
    /// pairing without it believes the broker.
    pub volunteer: Option<SignerKey>,
    /// Signed destination entries, each as encoded, at most 8.
    pub entries: Vec<Bytes>,
}

/// Why a link cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It does not begin as it must.
    #[error("a link begins with {expected}")]
    Scheme {
        /// How.
        expected: &'static str,
    },
    /// Letters that cannot be in it.
    #[error("the link is damaged: it is not base64url")]
    NotBase64,
    /// Its bytes make no sense.
    #[error("the link is damaged: {0}")]
    Malformed(#[from] ReadError),
    /// The address of its broker is none.
    #[error("the link names no sound broker: {0}")]
    Broker(TargetError),
    /// The signature does not hold.
    #[error("the invitation is not signed by the key it names: it is damaged or forged")]
    BadSignature,
    /// Another operator signed it than the one expected.
    #[error("the invitation is signed by {got}, not by {expected}")]
    OtherOperator {
        /// Who should have.
        expected: SignerKey,
        /// Who did.
        got: SignerKey,
    },
    /// Its time is over.
    #[error("the invitation has expired at {at}: ask for a new one")]
    Expired {
        /// When.
        at: UnixTime,
    },
}

impl Failure for LinkError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

fn write_broker(writer: &mut Writer, broker: &BrokerAddress) {
    writer
        .var_text(broker.target.to_string().as_bytes())
        .bytes(&broker.key.0);
}

fn read_broker(reader: &mut Reader<'_>) -> Result<BrokerAddress, LinkError> {
    let target = read_text(reader, "broker", MAX_ADDRESS_LEN)?;
    let target = target.parse().map_err(LinkError::Broker)?;
    let key = PartyKey(reader.fixed("broker_key")?);
    Ok(BrokerAddress { target, key })
}

fn write_entries(writer: &mut Writer, entries: &[Bytes]) {
    writer.compact_size(entries.len() as u64);
    for entry in entries {
        writer.var_text(entry);
    }
}

fn read_entries(reader: &mut Reader<'_>) -> Result<Vec<Bytes>, ReadError> {
    let count = reader.count("entries", MAX_ENTRIES)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = reader.var_bytes("entry", MAX_ENTRY_LEN)?;
        entries.push(Bytes::copy_from_slice(entry));
    }
    Ok(entries)
}

fn read_version(reader: &mut Reader<'_>) -> Result<(), ReadError> {
    match reader.u8("version")? {
        1 => Ok(()),
        got => Err(bad("version", 0, got)),
    }
}

fn link_bytes(text: &str, expected: &'static str) -> Result<Vec<u8>, LinkError> {
    let rest = text.trim().strip_prefix(expected);
    let rest = rest.ok_or(LinkError::Scheme { expected })?;
    URL_SAFE_NO_PAD
        .decode(rest)
        .map_err(|_| LinkError::NotBase64)
}

impl Invitation {
    const SCHEME: &'static str = "peerage-invitation:";
    const CONTEXT: &'static [u8] = b"peerage in-proxy invitation\0";
    const MAX_LEN: usize = 1
        + 1
        + MAX_BROKERS * (3 + MAX_ADDRESS_LEN + 32)
        + 1
        + MAX_COMPARTMENTS * 32
        + 1
        + MAX_ENTRIES * (3 + MAX_ENTRY_LEN)
        + 8;

    fn body(&self) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(Self::MAX_LEN);
        writer.u8(1).compact_size(self.brokers.len() as u64);
        for broker in &self.brokers {
            write_broker(&mut writer, broker);
        }
        writer.compact_size(self.compartments.len() as u64);
        for id in &self.compartments {
            writer.bytes(&id.0);
        }
        write_entries(&mut writer, &self.entries);
        writer.i64_le(self.expires.0);
        writer.finish()
    }

    /// Signs it and writes it as a link, which is also what its file holds.
    ///
    /// # Errors
    /// When it has more in it than fits.
    pub fn to_link(&self, operator: &SignerSecret) -> Result<String, TooLong> {
        let body = self.body()?;
        let signature = operator.sign(&[Self::CONTEXT, &body].concat());
        let bytes = [&body[..], &operator.public().0, &signature].concat();
        Ok(format!("{}{}", Self::SCHEME, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a link, and says who signed it. With `operator`, nobody else may have.
    ///
    /// # Errors
    /// When it is damaged, forged, of someone else, or has expired.
    ///
    /// # Security
    /// Without `operator` the signature only proves that the link was not changed since somebody
    /// signed it. Trust then comes from where the link came from.
    pub fn from_link(
        text: &str,
        operator: Option<SignerKey>,
        now: UnixTime,
    ) -> Result<(Self, SignerKey), LinkError> {
        let bytes = link_bytes(text, Self::SCHEME)?;
        let mut reader = Reader::new(&bytes);
        read_version(&mut reader)?;
        let count = reader.count("brokers", MAX_BROKERS)?;
        let mut brokers = Vec::with_capacity(count);
        for _ in 0..count {
            brokers.push(read_broker(&mut reader)?);
        }
        let offset = reader.offset();
        if brokers.is_empty() {
            return Err(bad("brokers", offset, 0_u8).into());
        }
        let count = reader.count("compartments", MAX_COMPARTMENTS)?;
        let mut compartments = Vec::with_capacity(count);
        for _ in 0..count {
            compartments.push(CompartmentId(reader.fixed("compartment")?));
        }
        let entries = read_entries(&mut reader)?;
        let expires = UnixTime(reader.i64_le("expires")?);
        let body = bytes.get(..reader.offset()).unwrap_or_default();
        let signer = SignerKey(reader.fixed("operator")?);
        let signature: [u8; SIGNATURE_LEN] = reader.fixed("signature")?;
        reader.finish()?;
        if !signer.has_signed(&[Self::CONTEXT, body].concat(), &signature) {
            return Err(LinkError::BadSignature);
        }
        if let Some(expected) = operator
            && expected != signer
        {
            let got = signer;
            return Err(LinkError::OtherOperator { expected, got });
        }
        if expires <= now {
            return Err(LinkError::Expired { at: expires });
        }
        let invitation = Self {
            brokers,
            compartments,
            entries,
            expires,
        };
        Ok((invitation, signer))
    }
}

impl Pairing {
    const SCHEME: &'static str = "peerage-pairing:";
    const MAX_LEN: usize =
        1 + 3 + MAX_ADDRESS_LEN + 32 + 32 + 32 + 1 + MAX_ENTRIES * (3 + MAX_ENTRY_LEN);

    /// Writes it as a link.
    ///
    /// # Errors
    /// When it has more in it than fits.
    pub fn to_link(&self) -> Result<String, TooLong> {
        let mut writer = Writer::new(Self::MAX_LEN);
        writer.u8(if self.volunteer.is_some() { 2 } else { 1 });
        write_broker(&mut writer, &self.broker);
        writer.bytes(&self.compartment.0);
        if let Some(volunteer) = self.volunteer {
            writer.bytes(&volunteer.0);
        }
        write_entries(&mut writer, &self.entries);
        let bytes = writer.finish()?;
        Ok(format!("{}{}", Self::SCHEME, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a link.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn from_link(text: &str) -> Result<Self, LinkError> {
        let bytes = link_bytes(text, Self::SCHEME)?;
        let mut reader = Reader::new(&bytes);
        let has_key = match reader.u8("version")? {
            1 => false,
            2 => true,
            got => return Err(bad("version", 0, got).into()),
        };
        let broker = read_broker(&mut reader)?;
        let compartment = CompartmentId(reader.fixed("compartment")?);
        let volunteer = if has_key {
            Some(SignerKey(reader.fixed("volunteer")?))
        } else {
            None
        };
        let entries = read_entries(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            broker,
            compartment,
            volunteer,
            entries,
        })
    }
}

impl FromStr for Pairing {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        Self::from_link(text)
    }
}

/// A link as a QR code of half-block characters, dark on light, with its quiet zone; nothing if it is
/// too long for one.
pub fn qr_code(link: &str) -> Option<String> {
    use qrcode::{Color, EcLevel, QrCode};
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let quiet = 4;
    let side = width + 2 * quiet;
    let dark = |x: usize, y: usize| {
        let at = |at: usize| at.checked_sub(quiet).filter(|at| *at < width);
        let module = at(x)
            .zip(at(y))
            .and_then(|(x, y)| colors.get(y * width + x));
        module == Some(&Color::Dark)
    };
    let mut text = String::new();
    for y in (0..side).step_by(2) {
        for x in 0..side {
            // A lit character is a light module, as terminals are mostly dark.
            text.push(match (dark(x, y), dark(x, y + 1)) {
                (false, false) => '\u{2588}',
                (false, true) => '\u{2580}',
                (true, false) => '\u{2584}',
                (true, true) => ' ',
            });
        }
        text.push('\n');
    }
    Some(text)
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.target)
    }
}

impl FromStr for BrokerAddress {
    type Err = BadBrokerAddress;

    fn from_str(text: &str) -> Result<Self, BadBrokerAddress> {
        let (key, target) = text.split_once('@').ok_or(BadBrokerAddress)?;
        Ok(Self {
            target: target.parse().map_err(|_| BadBrokerAddress)?,
            key: key.parse().map_err(|_| BadBrokerAddress)?,
        })
    }
}

/// Text that names no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a broker is written key@host:port, as `peerage broker serve` prints it")]
pub struct BadBrokerAddress;

impl Failure for BadBrokerAddress {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker() -> BrokerAddress {
        BrokerAddress {
            target: "broker.example:443".parse().unwrap(),
            key: PartyKey([5; 32]),
        }
    }

    fn invitation() -> Invitation {
        Invitation {
            brokers: vec![broker()],
            compartments: vec![CompartmentId([7; 32])],
            entries: vec![Bytes::from_static(b"entry")],
            expires: UnixTime(1000),
        }
    }

    #[test]
    fn an_invitation_reads_back_until_it_expires() {
        let secret = SignerSecret::new(&[1; 32]);
        let link = invitation().to_link(&secret).unwrap();
        let signer = secret.public();
        let read = Invitation::from_link(&format!(" {link}\n"), Some(signer), UnixTime(999));
        assert_eq!(read, Ok((invitation(), signer)));
        let expired = Invitation::from_link(&link, None, UnixTime(1000));
        assert_eq!(expired, Err(LinkError::Expired { at: UnixTime(1000) }));
        let expected = SignerKey([9; 32]);
        let other = Invitation::from_link(&link, Some(expected), UnixTime(0));
        let got = signer;
        assert_eq!(other, Err(LinkError::OtherOperator { expected, got }));
    }

    #[test]
    fn a_changed_invitation_is_refused() {
        let link = invitation().to_link(&SignerSecret::new(&[1; 32])).unwrap();
        let bytes = link_bytes(&link, Invitation::SCHEME).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let text = format!("{}{}", Invitation::SCHEME, URL_SAFE_NO_PAD.encode(changed));
            assert!(
                Invitation::from_link(&text, None, UnixTime(0)).is_err(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_pairing_reads_back_and_fits_a_code() {
        let mut pairing = Pairing {
            broker: broker(),
            compartment: CompartmentId([8; 32]),
            volunteer: None,
            entries: Vec::new(),
        };
        let link = pairing.to_link().unwrap();
        assert_eq!(link.parse(), Ok(pairing.clone()));
        pairing.volunteer = Some(SignerKey([9; 32]));
        let link = pairing.to_link().unwrap();
        assert_eq!(link.parse(), Ok(pairing));
        let code = qr_code(&link).unwrap();
        let side = code.lines().next().unwrap().chars().count();
        assert_eq!(code.lines().count(), side.div_ceil(2));
        assert_eq!(qr_code(&"x".repeat(5000)), None);
    }

    #[test]
    fn a_broker_is_written_with_its_key() {
        let text = broker().to_string();
        assert_eq!(text.parse(), Ok(broker()));
        assert!("broker.example:443".parse::<BrokerAddress>().is_err());
    }
}

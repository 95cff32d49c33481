//! Session descriptions: how one end can be reached, and by whom it is recognised.

use std::fmt;

use bytes::Bytes;
use peerage_core::Endpoint;
use peerage_core::wire::{Problem, ReadError, Reader, TooLong, Writer};
use peerage_matcher::Versions;

use crate::wire::{read_endpoint, write_endpoint};

/// How bytes travel between client and volunteer. The number is also the protocol version that the
/// matcher matches by, and of those that both speak the highest is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TransportKind {
    /// WebRTC data channels; in builds with the feature `webrtc`.
    WebRtc = 1,
    /// QUIC over a UDP path that checks have opened.
    Quic = 2,
}

impl TransportKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::WebRtc, Self::Quic];

    /// The kind of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Those that this build speaks.
    pub const fn built() -> Versions {
        let quic = Self::Quic.version();
        if cfg!(feature = "webrtc") {
            quic.with(Self::WebRtc as u8)
        } else {
            quic
        }
    }

    /// This kind alone, as the matcher counts.
    pub const fn version(self) -> Versions {
        Versions::NONE.with(self as u8)
    }

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebRtc => "webrtc",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a candidate comes from (RFC 8445, section 5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CandidateKind {
    /// An address of the host's own, or a port mapped on its router.
    Host = 1,
    /// What a STUN server saw.
    Reflexive = 2,
}

/// One address where an end may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Where it comes from.
    pub kind: CandidateKind,
    /// The address and UDP port.
    pub addr: Endpoint,
}

/// The SHA-256 of an end's public key, as TLS carries it (SubjectPublicKeyInfo, RFC 7250).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", peerage_core::wire::Hex(&self.0[..4]))
    }
}

/// The secret by which the two ends of one match know each other's checks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CheckKey(pub [u8; 16]);

impl fmt::Debug for CheckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckKey(secret)")
    }
}

/// What one end tells the other through the broker. New for every match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// This end's half of the secret that checks are made with.
    pub check_key: CheckKey,
    /// Whom the other end is to find there.
    pub fingerprint: Fingerprint,
    /// Whom it is to find there if they speak WebRTC: the SHA-256 of the certificate that DTLS shows
    /// (RFC 8122). None if this end does not speak it.
    pub dtls: Option<Fingerprint>,
    /// Where, at most [`Self::MAX_CANDIDATES`].
    pub candidates: Vec<Candidate>,
}

impl Description {
    /// The most candidates. Each is tried, so each costs the other end packets.
    pub const MAX_CANDIDATES: usize = 16;
    /// The most bytes on the wire.
    pub const MAX_LEN: usize = 1 + 16 + 32 + 32 + 1 + Self::MAX_CANDIDATES * 20;
    const VERSION: u8 = 1;
    /// With the fingerprint of a certificate.
    const VERSION_WITH_DTLS: u8 = 2;

    /// The bytes.
    ///
    /// # Errors
    /// With too many candidates.
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(Self::MAX_LEN);
        let version = match self.dtls {
            None => Self::VERSION,
            Some(_) => Self::VERSION_WITH_DTLS,
        };
        writer
            .u8(version)
            .bytes(&self.check_key.0)
            .bytes(&self.fingerprint.0);
        if let Some(dtls) = &self.dtls {
            writer.bytes(&dtls.0);
        }
        writer.compact_size(self.candidates.len() as u64);
        for candidate in &self.candidates {
            writer.u8(candidate.kind as u8);
            write_endpoint(&mut writer, candidate.addr);
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != Self::VERSION && version != Self::VERSION_WITH_DTLS {
            let got = version.into();
            return Err(Reader::error("version", 0, Problem::BadValue { got }));
        }
        let check_key = CheckKey(reader.fixed("check_key")?);
        let fingerprint = Fingerprint(reader.fixed("fingerprint")?);
        let dtls = if version == Self::VERSION_WITH_DTLS {
            Some(Fingerprint(reader.fixed("dtls")?))
        } else {
            None
        };
        let count = reader.count("candidates", Self::MAX_CANDIDATES)?;
        let mut candidates = Vec::with_capacity(reader.room_for(count, 8));
        for _ in 0..count {
            let offset = reader.offset();
            let kind = match reader.u8("kind")? {
                1 => CandidateKind::Host,
                2 => CandidateKind::Reflexive,
                got => {
                    let problem = Problem::BadValue { got: got.into() };
                    return Err(Reader::error("kind", offset, problem));
                }
            };
            let addr = read_endpoint(&mut reader)?;
            candidates.push(Candidate { kind, addr });
        }
        reader.finish()?;
        Ok(Self {
            check_key,
            fingerprint,
            dtls,
            candidates,
        })
    }
}

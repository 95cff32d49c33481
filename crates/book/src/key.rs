//! Who a candidate is, and where.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use peerage_core::{ConnectedAddr, Direction, Endpoint};

/// A node's identity: the bytes of its public key or node id, as its network spells them.
///
/// The book compares identities and never looks inside: what proves one is the handshake's business.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Box<[u8]>);

impl Identity {
    /// The most bytes of an identity: an uncompressed secp256k1 point without its tag.
    pub const MAX_LEN: usize = 64;

    /// An identity of 1 to [`Self::MAX_LEN`] bytes.
    ///
    /// # Errors
    /// When there are none or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, NotAKey> {
        if bytes.is_empty() || bytes.len() > Self::MAX_LEN {
            return Err(NotAKey);
        }
        Ok(Self(bytes.into()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

impl FromStr for Identity {
    type Err = NotAKey;

    /// Reads an even number of hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || digits.len() > 2 * Self::MAX_LEN {
            return Err(NotAKey);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes = digits.chunks_exact(2).map(|pair| {
            let value = digit(pair[0])? << 4 | digit(pair[1])?;
            u8::try_from(value).ok()
        });
        Self::new(&bytes.collect::<Option<Vec<u8>>>().ok_or(NotAKey)?)
    }
}

/// A host's name and a port: lower case, 1 to 253 bytes of letters, digits, `-`, `_` and dots.
///
/// The form is that of host names (RFC 1123 section 2.1) with the underscore that operators use; an
/// onion address is such a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    host: Box<str>,
    port: u16,
}

impl Name {
    /// The most bytes of a host's name (RFC 1035 section 3.1, without the final dot).
    pub const MAX_LEN: usize = 253;

    /// A name and port.
    ///
    /// # Errors
    /// When it is no host name, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, NotAKey> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let labels = host.split('.').all(|label| (1..=63).contains(&label.len()));
        if host.len() > Self::MAX_LEN || port == 0 || !labels || !host.bytes().all(fits) {
            return Err(NotAKey);
        }
        Ok(Self {
            host: host.to_ascii_lowercase().into(),
            port,
        })
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Where to dial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An endpoint.
    At(Endpoint),
    /// A name, to be handed to the proxy as it is.
    Named(Name),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(endpoint) => endpoint.fmt(f),
            Self::Named(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Endpoint> for Address {
    fn from(endpoint: Endpoint) -> Self {
        Self::At(endpoint)
    }
}

impl FromStr for Address {
    type Err = NotAKey;

    /// Reads `ip:port` or `name:port`.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::At(addr.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAKey)?;
        let port = port.parse().map_err(|_| NotAKey)?;
        Name::new(host, port).map(Self::Named)
    }
}

/// What makes a candidate one and the same: its identity where the network has identities, else its
/// address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The node that proves this identity, wherever it is.
    Identity(Identity),
    /// Whoever answers there.
    Address(Address),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => identity.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Endpoint> for Key {
    fn from(endpoint: Endpoint) -> Self {
        Self::Address(endpoint.into())
    }
}

impl Key {
    /// Who a peer is that was just greeted: its identity where it has proven one; else who was
    /// dialled, or where it comes from. `None` for a dial to nobody.
    pub fn of_peer(
        identity: Option<&Identity>,
        dialled: Option<Self>,
        connected: &ConnectedAddr,
    ) -> Option<Self> {
        match (identity, connected.direction()) {
            (Some(identity), _) => Some(identity.clone().into()),
            (None, Direction::Outbound) => dialled,
            (None, Direction::Inbound) => Some(match connected {
                ConnectedAddr::InboundDirect { addr } => (*addr).into(),
                ConnectedAddr::OutboundDirect { .. }
                | ConnectedAddr::OutboundProxy { .. }
                | ConnectedAddr::InboundProxy { .. }
                | ConnectedAddr::Isolated { .. } => Endpoint::unspecified(0).into(),
            }),
        }
    }
}

impl From<Identity> for Key {
    fn from(identity: Identity) -> Self {
        Self::Identity(identity)
    }
}

impl FromStr for Key {
    type Err = NotAKey;

    /// Reads what [`fmt::Display`] writes: an address has a colon, an identity has none.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if text.contains(':') {
            text.parse().map(Self::Address)
        } else {
            text.parse().map(Self::Identity)
        }
    }
}

/// Text or bytes that name no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write host:port, or an identity of 1 to 64 bytes in hexadecimal")]
pub struct NotAKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_read_back() {
        for text in [
            "192.0.2.1:8233",
            "[2001:db8::1]:9108",
            "seed.example.org:1",
            "0a1bff",
        ] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for text in ["", "abc", "host", ":1", "host:0", "ho st:1", "a..b:1", "zz"] {
            assert_eq!(text.parse::<Key>(), Err(NotAKey), "{text}");
        }
        assert_eq!(
            "SEED.Example.org:1".parse::<Key>().unwrap().to_string(),
            "seed.example.org:1"
        );
    }
}

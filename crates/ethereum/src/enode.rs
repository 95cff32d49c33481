//! `enode://<128 hex>@host:port[?discport=N]`: a node's key and where to reach it.
//!
//! Source: ethereum.org, "Network addresses", enode; EIP-778 has replaced it where records are used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::key::PeerId;

/// A node's address with its public key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enode {
    /// Who it is. Whether that is a point of the curve is not checked here.
    pub id: PeerId,
    /// Where it is.
    pub host: Host,
    /// The TCP port, for sessions. Not 0.
    pub tcp_port: u16,
    /// The UDP port, for discovery; 0 where it does not take part.
    pub udp_port: u16,
}

/// An IP address or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A DNS name: letters, digits, `-`, `_` and `.`, at most 253 bytes, in lower case.
    Name(Box<str>),
}

/// Why a text is no enode address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnodeError {
    /// Longer than any could be.
    #[error("has {len} bytes, an enode address has at most {limit}")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
    /// Another scheme or none.
    #[error("does not begin with enode://")]
    Scheme,
    /// No `@` between key and host.
    #[error("has no @ between the node's key and its host")]
    NoKey,
    /// A key of the wrong length.
    #[error("the key in front of the @ has {digits} characters, it takes 128 hexadecimal digits")]
    KeyLen {
        /// How many characters stand there.
        digits: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("character {at} of the key is no hexadecimal digit")]
    KeyDigit {
        /// The character, counted from 1.
        at: usize,
    },
    /// No host.
    #[error("the host between @ and the port is missing")]
    NoHost,
    /// An IPv6 address without brackets around it, or with text after them.
    #[error("an IPv6 address stands in brackets, with :port after them")]
    Brackets,
    /// Neither an address nor a name.
    #[error("the host is neither an IP address nor a DNS name")]
    Host,
    /// No port.
    #[error("the port is missing: add :30303, the customary one, after the host")]
    NoPort,
    /// Not a port.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// Not a discovery port.
    #[error("discport must be a number from 0 to 65535")]
    DiscPort,
    /// Something else behind the port.
    #[error("only ?discport= may follow the port")]
    Query,
}

impl Enode {
    /// The longest text that is read, in bytes: scheme, key, the longest name, and both ports.
    pub const MAX_LEN: usize = 8 + 128 + 1 + 253 + 6 + 15;

    /// The longest DNS name, in bytes. Source: RFC 1035, section 2.3.4.
    pub const MAX_NAME_LEN: usize = 253;
}

impl FromStr for Enode {
    type Err = EnodeError;

    fn from_str(text: &str) -> Result<Self, EnodeError> {
        let (len, limit) = (text.len(), Self::MAX_LEN);
        if len > limit {
            return Err(EnodeError::TooLong { len, limit });
        }
        let rest = text.strip_prefix("enode://").ok_or(EnodeError::Scheme)?;
        let (key, rest) = rest.split_once('@').ok_or(EnodeError::NoKey)?;
        let id = parse_id(key)?;
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let (host, port) = split_port(place)?;
        let host = parse_host(host)?;
        let tcp_port = parse_port(port).filter(|port| *port != 0);
        let tcp_port = tcp_port.ok_or(EnodeError::Port)?;
        let udp_port = match query {
            None => tcp_port,
            Some(query) => {
                let port = query.strip_prefix("discport=").ok_or(EnodeError::Query)?;
                parse_port(port).ok_or(EnodeError::DiscPort)?
            }
        };
        Ok(Self {
            id,
            host,
            tcp_port,
            udp_port,
        })
    }
}

fn parse_id(key: &str) -> Result<PeerId, EnodeError> {
    let no_digit = key.chars().position(|digit| !digit.is_ascii_hexdigit());
    if let Some(before) = no_digit {
        return Err(EnodeError::KeyDigit { at: before + 1 });
    }
    let id = crate::hex::unhex(key).map(PeerId);
    id.ok_or(EnodeError::KeyLen { digits: key.len() })
}

/// The host, still in its brackets if it has any, and the port.
fn split_port(place: &str) -> Result<(&str, &str), EnodeError> {
    let host_end = if place.starts_with('[') {
        place.find(']').ok_or(EnodeError::Brackets)? + 1
    } else {
        place.find(':').unwrap_or(place.len())
    };
    let (host, port) = place.split_at(host_end);
    if host.is_empty() {
        return Err(EnodeError::NoHost);
    }
    if port.is_empty() {
        return Err(EnodeError::NoPort);
    }
    let port = port.strip_prefix(':').ok_or(EnodeError::Brackets)?;
    if port.contains(':') {
        return Err(EnodeError::Brackets);
    }
    Ok((host, port))
}

fn parse_host(host: &str) -> Result<Host, EnodeError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let ip: Ipv6Addr = inner.parse().map_err(|_| EnodeError::Brackets)?;
        return Ok(Host::Ip(ip.into()));
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    // What ends in a number was meant as an address; a resolver might even take it for one.
    let label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = host.len() <= Enode::MAX_NAME_LEN && host.split('.').all(label) && !numeric;
    if !is_name {
        return Err(EnodeError::Host);
    }
    Ok(Host::Name(host.to_ascii_lowercase().into()))
}

/// Digits only: `+1` is a number to Rust but no port.
fn parse_port(port: &str) -> Option<u16> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| port.parse().ok()).flatten()
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enode://{}@{}:{}", self.id, self.host, self.tcp_port)?;
        if self.udp_port != self.tcp_port {
            write!(f, "?discport={}", self.udp_port)?;
        }
        Ok(())
    }
}

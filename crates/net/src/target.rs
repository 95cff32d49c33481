//! Whom to dial: a host and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use peerage_core::{Endpoint, Failure, Kind, Stage};

/// A host, by address or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name that somebody has to resolve, at most 253 bytes.
    Name(Box<str>),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

/// Why text names no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// No host.
    #[error("the host is missing: write host:port")]
    NoHost,
    /// A port that is not 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    BadPort,
    /// Neither an address nor a host name.
    #[error(
        "the host must be an IP address or a name; an IPv6 address with a port stands in brackets"
    )]
    BadHost,
}

impl Failure for TargetError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl Target {
    /// Reads `host`, `host:port`, `1.2.3.4:5`, `[::1]:5` or a bare IPv6 address; `default_port`
    /// fills in a missing port.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::NoHost);
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Self::checked(Host::Ip(addr.ip().to_canonical()), addr.port());
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Self::checked(Host::Ip(ip.to_canonical()), default_port);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| TargetError::BadPort)?),
            None => (text, default_port),
        };
        if name.is_empty() {
            return Err(TargetError::NoHost);
        }
        let sound = name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            && !name.starts_with(['.', '-'])
            // All digits and dots, but no address: a typing error, not a name.
            && !name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !sound {
            return Err(TargetError::BadHost);
        }
        Self::checked(Host::Name(name.into()), port)
    }

    fn checked(host: Host, port: u16) -> Result<Self, TargetError> {
        if port == 0 {
            Err(TargetError::BadPort)
        } else {
            Ok(Self { host, port })
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// As [`Target::parse`], but the port must be there.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text, 0)
    }
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            host: Host::Ip(endpoint.ip()),
            port: endpoint.port(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spellings_are_understood() {
        for (text, shown) in [
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("192.0.2.1", "192.0.2.1:9"),
            ("[2001:db8::1]:5", "[2001:db8::1]:5"),
            ("[2001:db8::1]", "[2001:db8::1]:9"),
            ("2001:db8::1", "[2001:db8::1]:9"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("seed.example.org", "seed.example.org:9"),
            ("seed.example.org:5", "seed.example.org:5"),
        ] {
            let target = Target::parse(text, 9).unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(target, shown.parse().unwrap(), "shown form reads back");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, error) in [
            ("", TargetError::NoHost),
            (":5", TargetError::NoHost),
            ("host:x", TargetError::BadPort),
            ("host:0", TargetError::BadPort),
            ("host:65536", TargetError::BadPort),
            ("192.0.2.256:5", TargetError::BadHost),
            ("ho st:5", TargetError::BadHost),
            ("-host:5", TargetError::BadHost),
        ] {
            assert_eq!(Target::parse(text, 9), Err(error), "{text}");
        }
        assert_eq!("host".parse::<Target>(), Err(TargetError::BadPort));
    }
}

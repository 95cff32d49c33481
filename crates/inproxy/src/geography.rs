//! Where addresses are.

use std::net::IpAddr;

use ipnet::IpNet;
use peerage_core::{Detail, Failure, Kind, Stage};
use peerage_matcher::{Asn, Country, Geography};

/// Tells where an address is.
pub trait Locate: Send + Sync {
    /// Country and network, each as far as it is known.
    fn locate(&self, ip: IpAddr) -> Geography;
}

/// Knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Locate for Nowhere {
    fn locate(&self, _: IpAddr) -> Geography {
        Geography::UNKNOWN
    }
}

/// A small table of prefixes, for tests and for networks that no file knows.
#[derive(Clone, Debug, Default)]
pub struct StaticTable {
    /// The longest prefix first.
    rows: Vec<(IpNet, Geography)>,
}

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeographyError {
    /// A line that is none.
    #[error("line {line} is not `prefix country asn`, as in `192.0.2.0/24 DE 64500`; - is unknown")]
    BadLine {
        /// Its number, from 1.
        line: usize,
    },
    /// The operator's file cannot be read.
    #[error("the database cannot be read: {error}")]
    Database {
        /// What its reader says.
        error: Box<str>,
    },
}

impl Failure for GeographyError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        match self {
            Self::BadLine { line } => Detail::none().with("line", *line),
            Self::Database { .. } => Detail::none(),
        }
    }
}

impl StaticTable {
    /// Reads lines `prefix country asn`; `-` is unknown, what follows `#` is a comment.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, GeographyError> {
        let mut rows = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(prefix) = words.next() else { continue };
            let row = Self::row(prefix, words);
            rows.push(row.ok_or(GeographyError::BadLine { line: at + 1 })?);
        }
        rows.sort_by_key(|(net, _): &(IpNet, _)| std::cmp::Reverse(net.prefix_len()));
        Ok(Self { rows })
    }

    fn row<'a>(
        prefix: &str,
        mut words: impl Iterator<Item = &'a str>,
    ) -> Option<(IpNet, Geography)> {
        let net = prefix.parse().ok()?;
        let country = match words.next()? {
            "-" => None,
            letters => Some(Country::new(letters.as_bytes().try_into().ok()?)?),
        };
        let asn = match words.next()? {
            "-" => None,
            number => Some(Asn(number.parse().ok()?)),
        };
        let row = (net, Geography { country, asn });
        words.next().is_none().then_some(row)
    }
}

impl Locate for StaticTable {
    fn locate(&self, ip: IpAddr) -> Geography {
        let ip = ip.to_canonical();
        let row = self.rows.iter().find(|(net, _)| net.contains(&ip));
        row.map_or(Geography::UNKNOWN, |(_, geography)| *geography)
    }
}

#[cfg(feature = "maxmind")]
pub use self::maxmind::MaxMind;

#[cfg(feature = "maxmind")]
mod maxmind {
    use std::net::IpAddr;
    use std::path::Path;

    use maxminddb::{Reader, geoip2};
    use peerage_matcher::{Asn, Country, Geography};

    use super::{GeographyError, Locate};

    /// The operator's MaxMind files: one with countries, one with networks, or one with either.
    pub struct MaxMind {
        files: Vec<Reader<Vec<u8>>>,
    }

    impl MaxMind {
        /// Reads these files whole.
        ///
        /// # Errors
        /// When one is none.
        pub fn open(paths: &[&Path]) -> Result<Self, GeographyError> {
            let open = |path: &&Path| {
                Reader::open_readfile(path).map_err(|error| GeographyError::Database {
                    error: format!("{}: {error}", path.display()).into(),
                })
            };
            let files = paths.iter().map(open).collect::<Result<_, _>>()?;
            Ok(Self { files })
        }
    }

    impl Locate for MaxMind {
        fn locate(&self, ip: IpAddr) -> Geography {
            let ip = ip.to_canonical();
            let mut found = Geography::UNKNOWN;
            for file in &self.files {
                let Ok(result) = file.lookup(ip) else {
                    continue;
                };
                if let Ok(Some(country)) = result.decode::<geoip2::Country<'_>>() {
                    let code = country.country.iso_code;
                    let letters = code.and_then(|code| code.as_bytes().try_into().ok());
                    found.country = found.country.or(letters.and_then(Country::new));
                }
                if let Ok(Some(asn)) = result.decode::<geoip2::Asn<'_>>() {
                    found.asn = found.asn.or(asn.autonomous_system_number.map(Asn));
                }
            }
            found
        }
    }

    impl std::fmt::Debug for MaxMind {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "MaxMind({} files)", self.files.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let text = "# test\n10.0.0.0/8 DE 1\n10.1.0.0/16 FR - # nearer\n2001:db8::/32 - 7\n";
        let table = StaticTable::parse(text).unwrap();
        let at = |ip: &str| table.locate(ip.parse().unwrap());
        assert_eq!(at("10.0.0.1").country, Country::new(*b"DE"));
        assert_eq!(at("10.1.0.1").country, Country::new(*b"FR"));
        assert_eq!(at("10.1.0.1").asn, None);
        assert_eq!(at("::ffff:10.0.0.1").asn, Some(Asn(1)));
        assert_eq!(at("2001:db8::9").asn, Some(Asn(7)));
        assert_eq!(at("192.0.2.1"), Geography::UNKNOWN);
    }

    #[test]
    fn a_bad_line_is_named() {
        for text in [
            "\nx DE 1",
            "\n10.0.0.0/8 DEU 1",
            "\n10.0.0.0/8 DE",
            "\n10.0.0.0/8 DE 1 2",
        ] {
            let error = StaticTable::parse(text).unwrap_err();
            assert_eq!(error, GeographyError::BadLine { line: 2 }, "{text}");
        }
    }
}

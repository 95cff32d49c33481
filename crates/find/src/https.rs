//! HTTPS seeders: services that crawl a network and tell of nodes that were up. Source: dcrd,
//! `connmgr`, and dcrseeder's `/api/addrs`.

#[cfg(feature = "https")]
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use peerage_core::{Detail, Endpoint, Failure, Kind, PeerText, Reason, Stage};
use peerage_net::{Connector, Host, ReachError, Target, TargetError};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::candidate::{Hearsay, Source};
use crate::http::{self, HttpError};
use crate::seeds::{Seed, Told};

#[cfg(feature = "https")]
pub use tls::{RootError, Roots};

/// What a finder of HTTPS seeders calls itself.
pub const HTTPS: Source = Source("https");

/// How much of an answer is read, in bytes. Source: dcrd, `connmgr`.
const MAX_ANSWER: usize = 4096;

/// How many nodes of an answer are taken. Source: dcrd, `connmgr`.
const MAX_NODES: usize = 16;

/// Where a seeder is: `https://host[:port]`, or `http://` on this machine's loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeederUrl {
    target: Target,
    is_secure: bool,
}

/// Why a text is no seeder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeederUrlError {
    /// It has no scheme that we know.
    #[error("a seeder is written https://host or https://host:port")]
    Scheme,
    /// It asks for plain HTTP elsewhere.
    #[error(
        "plain http is for 127.0.0.1 and [::1]: anybody on the way could choose our peers; use https"
    )]
    Plain,
    /// It has a path.
    #[error("a seeder has no path: /api/addrs is asked of every one")]
    Path,
    /// The rest is no host.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl FromStr for SeederUrl {
    type Err = SeederUrlError;

    fn from_str(text: &str) -> Result<Self, SeederUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(SeederUrlError::Scheme)?;
        let (is_secure, port) = match scheme {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return Err(SeederUrlError::Scheme),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.contains('/') {
            return Err(SeederUrlError::Path);
        }
        let target = Target::parse(host, port)?;
        let is_here = matches!(&target.host, Host::Ip(ip) if ip.is_loopback());
        if !is_secure && !is_here {
            return Err(SeederUrlError::Plain);
        }
        Ok(Self { target, is_secure })
    }
}

impl fmt::Display for SeederUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = if self.is_secure {
            ("https", 443)
        } else {
            ("http", 80)
        };
        match (&self.target.host, self.target.port == port) {
            (Host::Name(name), true) => write!(f, "{scheme}://{name}"),
            _ => write!(f, "{scheme}://{}", self.target),
        }
    }
}

/// Why a seeder did not answer, or not with nodes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeederError {
    /// It cannot be reached.
    #[error("the seeder cannot be reached: {0}")]
    Reach(#[from] ReachError),
    /// This build has no TLS.
    #[error("this build has no TLS: build it with the feature `https`")]
    NoTls,
    /// TLS failed.
    #[error("no secure connection to the seeder: {0}")]
    Tls(PeerText),
    /// It did not answer in time.
    #[error("the seeder did not answer in time")]
    TimedOut,
    /// What it says is not what a seeder says.
    #[error("{0}")]
    Answer(PeerText),
    /// Its answer names no node.
    #[error("the seeder's answer names no node")]
    Empty,
}

impl Failure for SeederError {
    fn stage(&self) -> Stage {
        match self {
            Self::Reach(error) => error.stage(),
            Self::NoTls | Self::Tls(_) | Self::TimedOut | Self::Answer(_) | Self::Empty => {
                Stage::Find(HTTPS.0)
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Reach(error) => error.kind(),
            Self::NoTls => Kind::Usage,
            Self::Tls(_) => Kind::WrongIdentity,
            Self::TimedOut => Kind::Timeout,
            Self::Answer(_) => Kind::NotThisProtocol,
            Self::Empty => Kind::Incompatible,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Reach(error) => error.detail(),
            Self::NoTls | Self::Tls(_) | Self::TimedOut | Self::Answer(_) | Self::Empty => {
                Detail::none()
            }
        }
    }
}

impl From<HttpError> for SeederError {
    fn from(error: HttpError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let text = format!("{error}{}", cause.unwrap_or_default());
        Self::Answer(text.as_str().into())
    }
}

/// A seeder, and what is asked of it.
#[derive(Clone, Debug)]
pub struct HttpsSeed<C> {
    url: SeederUrl,
    /// What the nodes must offer, as bits of the network's services.
    services: u64,
    /// The least protocol version they may speak.
    protocol_version: u32,
    connector: C,
    #[cfg(feature = "https")]
    roots: Roots,
}

impl<C: Connector + 'static> HttpsSeed<C> {
    /// The seeder at `url`, reached by `connector`, asked for nodes that offer `services` and speak
    /// at least `protocol_version`. Names are resolved by the connector, by a proxy if it is one.
    pub fn new(url: SeederUrl, services: u64, protocol_version: u32, connector: C) -> Self {
        Self {
            url,
            services,
            protocol_version,
            connector,
            #[cfg(feature = "https")]
            roots: Roots::System,
        }
    }

    /// Trusts these authorities instead of the system's.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn trusting(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    async fn fetch(&self, deadline: Instant) -> Result<Vec<u8>, SeederError> {
        let connection = self.connector.connect(&self.url.target, deadline).await?;
        let path = format!(
            "/api/addrs?services={}&pver={}",
            self.services, self.protocol_version
        );
        let host = match &self.url.target.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.url.target.port).to_string(),
            Host::Name(name) => name.to_string(),
        };
        let mut io = connection.io;
        if !self.url.is_secure {
            return Ok(http::get(&mut io, &host, &path, MAX_ANSWER).await?);
        }
        #[cfg(feature = "https")]
        {
            let mut io = tls::secure(io, &self.url.target.host, &self.roots).await?;
            Ok(http::get(&mut io, &host, &path, MAX_ANSWER).await?)
        }
        #[cfg(not(feature = "https"))]
        Err(SeederError::NoTls)
    }

    async fn nodes(&self, deadline: Instant) -> Result<Vec<Told>, SeederError> {
        let fetched = timeout_at(deadline, self.fetch(deadline)).await;
        let body = fetched.map_err(|_| SeederError::TimedOut)??;
        nodes(&body)
    }
}

impl<C: Connector + 'static> Seed for HttpsSeed<C> {
    const SOURCE: Source = HTTPS;

    fn name(&self) -> Arc<str> {
        self.url.to_string().into()
    }

    async fn ask(&self, deadline: Instant) -> Result<Vec<Told>, Reason> {
        self.nodes(deadline).await.map_err(|error| error.reason())
    }
}

/// A node as a seeder writes it.
#[derive(Deserialize)]
struct Node {
    host: String,
    #[serde(default)]
    services: Option<u64>,
    #[serde(default)]
    pver: Option<u32>,
}

/// Reads an answer: one JSON object after the other. It ends where the last whole one ends, since
/// only so much is read. Nodes without an address that we can dial are left out.
fn nodes(body: &[u8]) -> Result<Vec<Told>, SeederError> {
    let mut found = Vec::new();
    let mut trouble = None;
    for node in serde_json::Deserializer::from_slice(body).into_iter::<Node>() {
        match node {
            Ok(node) => found.extend(node.told()),
            Err(error) => {
                trouble = (!error.is_eof())
                    .then(|| format!("the answer is not what seeders say: {error}"));
                break;
            }
        }
        if found.len() == MAX_NODES {
            break;
        }
    }
    match trouble {
        Some(trouble) if found.is_empty() => Err(SeederError::Answer(trouble.as_str().into())),
        _ if found.is_empty() => Err(SeederError::Empty),
        _ => Ok(found),
    }
}

impl Node {
    fn told(self) -> Option<Told> {
        let at: SocketAddr = self.host.parse().ok()?;
        let says = Hearsay {
            services: self.services,
            protocol_version: self.pver,
            last_seen: None,
        };
        (at.port() != 0).then(|| Told {
            endpoint: Endpoint::from(at),
            says,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeders_are_written_as_urls() {
        for (text, shown) in [
            ("https://seed.example.org", "https://seed.example.org"),
            ("https://seed.example.org/", "https://seed.example.org"),
            (
                "https://seed.example.org:8443",
                "https://seed.example.org:8443",
            ),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            let url: SeederUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<SeederUrl>().unwrap(), url, "reads back");
        }
        for (text, error) in [
            ("seed.example.org", SeederUrlError::Scheme),
            ("ftp://seed.example.org", SeederUrlError::Scheme),
            ("http://seed.example.org", SeederUrlError::Plain),
            ("http://192.0.2.1", SeederUrlError::Plain),
            ("https://seed.example.org/api", SeederUrlError::Path),
            ("https://", SeederUrlError::Target(TargetError::NoHost)),
        ] {
            assert_eq!(text.parse::<SeederUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_answer_is_read_as_far_as_it_goes() {
        let body = br#"{"host":"192.0.2.1:9108","services":5,"pver":11}
            {"host":"[2001:db8::1]:9108","services":1,"pver":12}
            {"host":"name.example:9108"} {"host":"192.0.2.2:0"} {"host":"192.0.2.3:91"#;
        let found = nodes(body).unwrap();
        let at: Vec<_> = found.iter().map(|told| told.endpoint.to_string()).collect();
        assert_eq!(at, ["192.0.2.1:9108", "[2001:db8::1]:9108"]);
        assert_eq!(found[0].says.services, Some(5));
        assert_eq!(found[1].says.protocol_version, Some(12));

        let many = r#"{"host":"192.0.2.1:9108"}"#.repeat(100);
        assert_eq!(nodes(many.as_bytes()).unwrap().len(), MAX_NODES);

        assert!(matches!(nodes(b""), Err(SeederError::Empty)));
        assert!(matches!(
            nodes(b"{\"host\":\"x\"}"),
            Err(SeederError::Empty)
        ));
        assert!(matches!(nodes(b"<html>"), Err(SeederError::Answer(_))));
        assert!(matches!(nodes(b"[1, 2]"), Err(SeederError::Answer(_))));
    }
}

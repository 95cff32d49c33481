//! The daemon's interface for programs, where this build has it and the configuration wants it.

#[cfg(feature = "api")]
mod on;

#[cfg(not(feature = "api"))]
mod off;

#[cfg(not(feature = "api"))]
pub(crate) use self::off::{Feed, Gate};
#[cfg(feature = "api")]
pub(crate) use self::on::{Feed, Gate};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wanted {
    /// `unix:/path` or `ip:port`.
    pub(crate) grpc: Option<String>,
    /// `ip:port`.
    pub(crate) http: Option<SocketAddr>,
    /// Who may change things.
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates of both sides, for gRPC over TCP.
    pub(crate) tls: Option<TlsFiles>,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    /// The daemon's certificate and those above it.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// The authority that signs the certificates of clients.
    pub(crate) client_ca: PathBuf,
}

impl TlsFiles {
    /// The same with paths that begin there.
    pub(crate) fn within(&self, folder: &Path) -> Self {
        Self {
            cert: folder.join(&self.cert),
            key: folder.join(&self.key),
            client_ca: folder.join(&self.client_ca),
        }
    }
}

/// A node as it is shown to programs.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(feature = "api"),
    expect(dead_code, reason = "nobody sees it in this build")
)]
pub(crate) struct Shown {
    pub(crate) network: String,
    pub(crate) chain: String,
    /// Where it listens.
    pub(crate) listens: Vec<String>,
    /// The same as others write it.
    pub(crate) addresses: Vec<String>,
    /// How discovery knows it; empty where it does not.
    pub(crate) record: String,
}

/// Where it is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) grpc: Option<String>,
    pub(crate) http: Option<String>,
}

//! Certificates of both sides, read and checked before anything runs.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// The most bytes of a file in PEM.
const MOST: u64 = 1 << 20;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// Which.
        what: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Others may read the key.
    #[error("others may read {what}: `chmod 600` it")]
    Public {
        /// Which file.
        what: String,
    },
    /// There is no certificate in it.
    #[error("{what} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// In what.
        what: String,
    },
    /// There is no key in it.
    #[error("{what} holds no private key in PEM (-----BEGIN PRIVATE KEY-----), without a password")]
    NoKey {
        /// In what.
        what: String,
    },
    /// The certificate is of another key.
    #[error("{certificate} and {key} do not belong together")]
    Mismatch {
        /// The certificate.
        certificate: String,
        /// The key.
        key: String,
    },
    /// They are none that can be used.
    #[error("{what} cannot be used")]
    Unusable {
        /// What.
        what: String,
        /// Why.
        #[source]
        error: rustls::Error,
    },
}

/// Certificates of both sides, in PEM, which belong together.
#[derive(Clone)]
pub struct Certificates {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) clients: Vec<u8>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates(…)")
    }
}

/// What each of the three is called.
#[derive(Clone, Debug)]
struct Names {
    certificate: String,
    key: String,
    clients: String,
}

impl Certificates {
    /// Our own certificate with those above it, its key, and the authority that signs those of
    /// clients.
    ///
    /// # Errors
    /// When one of them is none, or the key is of another certificate.
    pub fn new(certificate: Vec<u8>, key: Vec<u8>, clients: Vec<u8>) -> Result<Self, TlsError> {
        let names = Names {
            certificate: "the certificate".into(),
            key: "the key".into(),
            clients: "the authority of clients".into(),
        };
        Self::checked(certificate, key, clients, &names)
    }

    /// The same from files; nobody else may read that of the key.
    ///
    /// # Errors
    /// Besides, when a file cannot be read or others may read the key.
    pub fn read(certificate: &Path, key: &Path, clients: &Path) -> Result<Self, TlsError> {
        let shown = |path: &Path| path.display().to_string();
        let names = Names {
            certificate: shown(certificate),
            key: shown(key),
            clients: shown(clients),
        };
        let certificate = file(certificate)?;
        let key = secret(key)?;
        Self::checked(certificate, key, file(clients)?, &names)
    }

    fn checked(
        certificate: Vec<u8>,
        key: Vec<u8>,
        clients: Vec<u8>,
        names: &Names,
    ) -> Result<Self, TlsError> {
        let chain = chain(&certificate, &names.certificate)?;
        let secret = private(&key, &names.key)?;
        let unusable = |what: &str| {
            let what = what.to_owned();
            move |error| TlsError::Unusable { what, error }
        };
        let mut roots = RootCertStore::empty();
        for root in self::chain(&clients, &names.clients)? {
            roots.add(root).map_err(unusable(&names.clients))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = verifier.build().map_err(|error| {
            let error = rustls::Error::General(error.to_string());
            unusable(&names.clients)(error)
        })?;
        // As it will be used.
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable("TLS"))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, secret);
        match config {
            Ok(_) => Ok(Self {
                certificate,
                key,
                clients,
            }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                certificate: names.certificate.clone(),
                key: names.key.clone(),
            }),
            Err(error) => Err(unusable(&names.certificate)(error)),
        }
    }
}

/// Whom a client believes, and what it shows, in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The authority that signed the daemon's certificate.
    pub authority: Vec<u8>,
    /// The client's own certificate and its key.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the daemon's certificate is for.
    pub name: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// From files: the authority of the daemon, our own certificate, its key.
    ///
    /// # Errors
    /// When a file cannot be read, others may read the key, or it is none of what it should be.
    pub fn read(
        authority: &Path,
        certificate: &Path,
        key: &Path,
        name: &str,
    ) -> Result<Self, TlsError> {
        let shown = |path: &Path| path.display().to_string();
        let of = file(authority)?;
        chain(&of, &shown(authority))?;
        let own = file(certificate)?;
        chain(&own, &shown(certificate))?;
        let secret = secret(key)?;
        private(&secret, &shown(key))?;
        Ok(Self {
            authority: of,
            own: Some((own, secret)),
            name: name.to_owned(),
        })
    }
}

fn file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::Read {
        what: path.display().to_string(),
        error,
    };
    if std::fs::metadata(path).map_err(failed)?.len() > MOST {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map_err(failed)
}

/// A file that nobody else may read.
fn secret(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = file(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |error| TlsError::Read {
            what: path.display().to_string(),
            error,
        };
        let meta = std::fs::metadata(path).map_err(failed)?;
        if meta.permissions().mode() & 0o077 != 0 {
            let what = path.display().to_string();
            return Err(TlsError::Public { what });
        }
    }
    Ok(bytes)
}

fn chain(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let what = what.to_owned();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) | Err(_) => Err(TlsError::NoCertificate { what }),
    }
}

fn private(pem: &[u8], what: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = what.to_owned();
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::NoKey { what })
}

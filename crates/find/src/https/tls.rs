//! TLS to a seeder.

use std::fmt;
use std::sync::Arc;

use peerage_net::{Conn, Host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::SeederError;

/// Which authorities vouch for seeders.
#[derive(Clone)]
pub enum Roots {
    /// Those that the operating system trusts, read anew for each question.
    System,
    /// These and no others.
    These(Arc<RootCertStore>),
}

/// Why authorities cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no certificate of an authority: {0}")]
pub struct RootError(String);

impl Roots {
    /// One authority and no other, by its certificate in DER.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn only(certificate: &[u8]) -> Result<Self, RootError> {
        let mut roots = RootCertStore::empty();
        let added = roots.add(CertificateDer::from(certificate.to_vec()));
        added.map_err(|error| RootError(error.to_string()))?;
        Ok(Self::These(Arc::new(roots)))
    }

    async fn store(&self) -> Result<Arc<RootCertStore>, SeederError> {
        let roots = match self {
            Self::These(roots) => return Ok(Arc::clone(roots)),
            // It reads files.
            Self::System => tokio::task::spawn_blocking(rustls_native_certs::load_native_certs),
        };
        let unusable = |why: &str| SeederError::Tls(why.into());
        let loaded = roots.await.map_err(|error| unusable(&error.to_string()))?;
        let mut store = RootCertStore::empty();
        let (good, _) = store.add_parsable_certificates(loaded.certs);
        if good == 0 {
            let why = "the system has no certificates of authorities: install ca-certificates";
            return Err(unusable(why));
        }
        Ok(Arc::new(store))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::These(roots) => write!(f, "These({})", roots.len()),
        }
    }
}

/// Secures a connection to `host`.
pub(super) async fn secure<C: Conn>(
    io: C,
    host: &Host,
    roots: &Roots,
) -> Result<TlsStream<C>, SeederError> {
    let tls = |error: &dyn fmt::Display| SeederError::Tls(error.to_string().as_str().into());
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .with_root_certificates(roots.store().await?)
        .with_no_client_auth();
    let name = match host {
        Host::Ip(ip) => ServerName::from(*ip),
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| tls(&error))?,
    };
    let secured = TlsConnector::from(Arc::new(config)).connect(name, io).await;
    secured.map_err(|error| tls(&error))
}

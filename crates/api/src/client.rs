//! The generated client, connected: over a unix socket, or over TCP with the token.

#[cfg(feature = "mtls")]
use std::net::SocketAddr;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::socket::At;
#[cfg(feature = "mtls")]
pub use crate::tls::Tls;
use crate::token::Token;
use crate::v1::daemon_client::DaemonClient;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a silent daemon is asked whether it is there, and how long it may take to say so.
const PULSE: Duration = Duration::from_secs(20);

/// A client of the daemon. It shows the token with every call, where there is one.
pub type Client = DaemonClient<InterceptedService<Channel, Bearer>>;

/// Shows the token with every call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Nobody answers.
#[derive(Debug, thiserror::Error)]
#[error("no daemon answers at {at}")]
pub struct Absent {
    at: String,
    #[source]
    error: tonic::transport::Error,
}

/// Connects to the daemon there.
///
/// # Errors
/// When nobody answers there within 5 s.
pub async fn connect(at: &At, token: Option<&Token>) -> Result<Client, Absent> {
    let uri = match at {
        At::Unix(path) => format!("unix:{}", path.display()),
        At::Tcp(at) => format!("http://{at}"),
    };
    call(Endpoint::from_shared(uri), at, token).await
}

/// The same with certificates on both sides.
///
/// # Errors
/// When nobody answers there within 5 s, or somebody whom we or who does not believe us.
#[cfg(feature = "mtls")]
pub async fn connect_tls(
    at: SocketAddr,
    token: Option<&Token>,
    tls: &Tls,
) -> Result<Client, Absent> {
    use tonic::transport::{Certificate, ClientTlsConfig, Identity};
    let mut config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&tls.authority))
        .domain_name(&tls.name);
    if let Some((certificate, key)) = &tls.own {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{at}"));
    let endpoint = endpoint.and_then(|endpoint| endpoint.tls_config(config));
    call(endpoint, &At::Tcp(at), token).await
}

async fn call(
    endpoint: Result<Endpoint, tonic::transport::Error>,
    at: &At,
    token: Option<&Token>,
) -> Result<Client, Absent> {
    let absent = |error| Absent {
        at: at.to_string(),
        error,
    };
    let endpoint = endpoint.map_err(absent)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(PULSE)
        .keep_alive_timeout(PULSE);
    let channel = endpoint.connect().await.map_err(absent)?;
    let bearer = Bearer(token.and_then(Token::header));
    Ok(DaemonClient::with_interceptor(channel, bearer)
        // What a daemon lists is bounded by itself.
        .max_decoding_message_size(usize::MAX))
}

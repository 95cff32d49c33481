//! gRPC: the service, health and reflection, on a unix socket or over TCP.

mod service;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Status};

#[cfg(unix)]
use crate::authority::Filter;
use crate::daemon::Daemon;
use crate::fault::Fault;
use crate::socket::{At, BindError, failed};
use crate::token::Token;
use crate::v1::daemon_server::DaemonServer;

/// How often a silent client is asked whether it is there, and how long it may take to say so.
const PULSE: Duration = Duration::from_secs(20);

/// The most bytes of a call's headers.
const HEADERS: u32 = 16 * 1024;

/// How long a handshake of TLS may take.
#[cfg(feature = "mtls")]
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long after the end open calls may take.
pub(crate) const LINGER: Duration = Duration::from_millis(500);

/// Who may use the interface over TCP.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access {
    /// Whoever has the token.
    Token(Token),
    /// Whoever has a certificate of this authority; and the token, where there is one.
    #[cfg(feature = "mtls")]
    Certificates(Box<Certificates>, Option<Token>),
}

#[cfg(feature = "mtls")]
pub use crate::tls::{Certificates, TlsError};

/// A place where gRPC listens, before it serves.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    access: Option<Access>,
}

#[derive(Debug)]
enum Inner {
    #[cfg(unix)]
    Unix(crate::socket::UnixSocket),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens there. A unix socket is only its owner's, and needs nothing more.
    ///
    /// # Errors
    /// When the place cannot be had, or TCP is wanted and everybody could use it.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn bind(at: &At, access: Option<Access>) -> Result<Self, BindError> {
        match at {
            #[cfg(unix)]
            At::Unix(path) => {
                let inner = Inner::Unix(crate::socket::UnixSocket::bind(path)?);
                let access = None;
                Ok(Self { inner, access })
            }
            #[cfg(not(unix))]
            At::Unix(_) => Err(BindError::NoUnix),
            At::Tcp(at) => {
                if access.is_none() {
                    return Err(BindError::NoToken { at: *at });
                }
                let listener = TcpListener::bind(at).await.map_err(failed(at))?;
                let inner = Inner::Tcp(listener);
                Ok(Self { inner, access })
            }
        }
    }

    /// The address, where it is TCP.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.inner {
            #[cfg(unix)]
            Inner::Unix(_) => None,
            Inner::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    /// Serves until `end`, and a moment longer for calls that are under way.
    ///
    /// # Errors
    /// When the configuration of TLS makes no sense, or the system takes the place away.
    pub async fn serve(
        self,
        daemon: Arc<Daemon>,
        end: impl Future<Output = ()> + Send,
    ) -> Result<(), tonic::transport::Error> {
        let limits = *daemon.limits();
        let token = match &self.access {
            None => None,
            Some(Access::Token(token)) => Some(token.clone()),
            #[cfg(feature = "mtls")]
            Some(Access::Certificates(_, token)) => token.clone(),
        };
        let server = Server::builder();
        #[cfg(feature = "mtls")]
        let server = if let Some(Access::Certificates(of, _)) = &self.access {
            use tonic::transport::{Certificate, Identity, ServerTlsConfig};
            let tls = ServerTlsConfig::new()
                .timeout(HANDSHAKE)
                .identity(Identity::from_pem(&of.certificate, &of.key))
                .client_ca_root(Certificate::from_pem(&of.clients));
            server.tls_config(tls)?
        } else {
            server
        };
        let streams = usize::try_from(limits.streams).unwrap_or(usize::MAX);
        let mut server = server
            .http2_keepalive_interval(Some(PULSE))
            .http2_keepalive_timeout(Some(PULSE))
            .http2_max_header_list_size(HEADERS)
            .max_concurrent_streams(limits.streams)
            .concurrency_limit_per_connection(streams)
            .timeout(limits.request + Duration::from_secs(5))
            .layer(InterceptorLayer::new(gate(token)));
        let (health, healthy) = tonic_health::server::health_reporter();
        health.set_serving::<DaemonServer<service::Service>>().await;
        let service = DaemonServer::new(service::Service(daemon))
            .max_decoding_message_size(limits.message)
            // What peers send is bounded already.
            .max_encoding_message_size(usize::MAX);
        let mut router = server.add_service(healthy).add_service(service);
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(crate::DESCRIPTION)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // What was compiled can be described: a test asks for it.
        if let (Ok(v1), Ok(alpha)) = (described().build_v1(), described().build_v1alpha()) {
            router = router.add_service(v1).add_service(alpha);
        }
        let (told, ended) = tokio::sync::oneshot::channel();
        let (incoming, accepting) = accept(self.inner, limits.connections);
        let serving = router.serve_with_incoming_shutdown(incoming, async {
            // Dropped is told, too.
            let _dropped = ended.await;
        });
        let mut serving = std::pin::pin!(serving);
        let served = tokio::select! {
            served = &mut serving => served,
            () = end => {
                let _gone = told.send(());
                // Streams that are never read to their end are not waited for.
                let served = tokio::time::timeout(LINGER, &mut serving).await;
                served.unwrap_or(Ok(()))
            }
        };
        accepting.abort();
        // The socket's file goes with it, before this is over.
        let _aborted = accepting.await;
        served
    }
}

/// Lets in whoever has the token.
fn gate(token: Option<Token>) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |request| {
        let Some(token) = &token else {
            return Ok(request);
        };
        let header = request.metadata().get("authorization");
        if token.allows(header.map(|header| header.as_bytes())) {
            return Ok(request);
        }
        let fault = Fault::of_kind(
            Code::Unauthenticated,
            peerage::Kind::Usage,
            "this needs the token of the daemon: send it as metadata, authorization: Bearer TOKEN",
        );
        Err(fault.into())
    }
}

/// Either kind of connection.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<C: AsyncRead + AsyncWrite + Unpin + Send> Io for C {}

/// A connection that counts against the limit until it closes. Who connects is known by token or
/// certificate alone.
struct Counted {
    io: Box<dyn Io>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Counted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A unix socket, whose clients may name what they like as its host.
#[cfg(unix)]
struct Hostless {
    io: tokio::net::UnixStream,
    filter: Filter,
}

#[cfg(unix)]
impl Hostless {
    const fn new(io: tokio::net::UnixStream) -> Self {
        let filter = Filter::new();
        Self { io, filter }
    }
}

#[cfg(unix)]
impl AsyncRead for Hostless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let fresh = buf.filled_mut().get_mut(before..);
        self.filter.pass(fresh.unwrap_or_default());
        read
    }
}

#[cfg(unix)]
impl AsyncWrite for Hostless {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

type Accepted = std::io::Result<Counted>;

/// How long accepting rests after the system could not.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections, as many at once as there may be.
fn accept(inner: Inner, limit: usize) -> (ReceiverStream<Accepted>, tokio::task::JoinHandle<()>) {
    let (tell, incoming) = mpsc::channel(1);
    let room = Arc::new(Semaphore::new(limit));
    let task = tokio::spawn(async move {
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let accepted: std::io::Result<Box<dyn Io>> = match &inner {
                #[cfg(unix)]
                Inner::Unix(socket) => {
                    let accepted = socket.listener.accept().await;
                    accepted.map(|(io, _)| Box::new(Hostless::new(io)) as Box<dyn Io>)
                }
                Inner::Tcp(listener) => listener.accept().await.map(|(io, _)| {
                    // Small answers go out at once; without that they only come later.
                    let _slower = io.set_nodelay(true);
                    Box::new(io) as Box<dyn Io>
                }),
            };
            match accepted {
                Ok(io) => {
                    let counted = Counted {
                        io,
                        _permit: permit,
                    };
                    if tell.send(Ok(counted)).await.is_err() {
                        return;
                    }
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    });
    (ReceiverStream::new(incoming), task)
}

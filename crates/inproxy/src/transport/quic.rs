//! QUIC over a path that checks have opened: one connection and one stream for each match.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use peerage_core::Endpoint;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, EndpointConfig, IdleTimeout, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::check::Checks;
use super::path::{self, for_family};
use super::tls::Identity;
use super::udp::PreparedUdp;
use super::{Channel, Choice, Life, Path, Role, TransportError, set_up, socket_error};
use crate::description::{Description, TransportKind};

/// What may be on its way in one direction, unacknowledged or unread, in bytes. Over a path of
/// 100 ms it allows 10 MiB/s.
const WINDOW: u32 = 1 << 20;
/// Handshakes that a volunteer's socket takes at the same time: one, and strangers' packets.
const MAX_INCOMING: usize = 4;
/// The round trip assumed before one was measured: a lost first packet is repeated after three.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);
/// How long the handshake of QUIC may take once the path is chosen: a client that was called off in
/// between says nothing.
const HANDSHAKE_TIME: Duration = Duration::from_secs(6);
/// Codes of an application's close (RFC 9000, section 20.2).
const CODE_DONE: VarInt = VarInt::from_u32(0);
const CODE_ABORTED: VarInt = VarInt::from_u32(1);

/// An alert of TLS as a code of QUIC (RFC 9001, section 4.8): a key was not the one described.
fn is_alert(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

fn broken(error: ConnectionError) -> TransportError {
    let code = match &error {
        ConnectionError::TimedOut => return TransportError::TimedOut,
        ConnectionError::TransportError(error) => Some(error.code),
        ConnectionError::ConnectionClosed(close) => Some(close.error_code),
        ConnectionError::VersionMismatch
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => None,
    };
    if code.is_some_and(is_alert) {
        return TransportError::Fingerprint;
    }
    TransportError::Broken {
        why: error.to_string().into(),
    }
}

/// Connects over the socket that was prepared.
pub(super) async fn connect(
    prepared: PreparedUdp,
    role: Role,
    remote: &Description,
    deadline: Instant,
) -> Result<Channel, TransportError> {
    let seed = u64::from_be_bytes(prepared.outside.bytes());
    let own = prepared.description.check_key;
    let mut checks = Checks::new(role, own, remote, seed, Instant::now().into_std());
    let addr = path::open(&prepared.socket, role, &mut checks, deadline).await?;
    let round_trip = checks.round_trip.unwrap_or(ASSUMED_ROUND_TRIP);
    let transport = Arc::new(transport_config(prepared.silence, role, round_trip)?);
    let opened = Opened {
        role,
        choice: Choice::new(prepared.speaks, TransportKind::Quic),
        socket: prepared.socket,
        identity: prepared.identity,
    };
    let connecting = async {
        match role {
            Role::Client => opened.dial(remote, addr, transport).await,
            Role::Volunteer => opened.take(remote, addr, transport).await,
        }
    };
    let deadline = deadline.min(Instant::now() + HANDSHAKE_TIME);
    timeout_at(deadline, connecting)
        .await
        .map_err(|_| TransportError::TimedOut)?
}

fn transport_config(
    silence: Duration,
    role: Role,
    round_trip: Duration,
) -> Result<TransportConfig, TransportError> {
    let streams = match role {
        Role::Client => 0_u8,
        Role::Volunteer => 1,
    };
    let idle = IdleTimeout::try_from(silence).map_err(set_up)?;
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(silence / 5))
        .initial_rtt(round_trip.clamp(Duration::from_millis(5), ASSUMED_ROUND_TRIP))
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u8.into())
        .stream_receive_window(WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(None);
    Ok(config)
}

/// A socket on which a path is open.
struct Opened {
    role: Role,
    choice: Choice,
    socket: UdpSocket,
    identity: Identity,
}

impl Opened {
    fn endpoint(
        socket: UdpSocket,
        server: Option<ServerConfig>,
    ) -> Result<quinn::Endpoint, TransportError> {
        let mut config = EndpointConfig::default();
        // So that a check that comes late is dropped, and not taken for a packet.
        config.grease_quic_bit(false);
        let socket = socket.into_std().map_err(socket_error)?;
        let runtime = Arc::new(TokioRuntime);
        quinn::Endpoint::new(config, server, socket, runtime).map_err(socket_error)
    }

    async fn dial(
        self,
        remote: &Description,
        addr: Endpoint,
        transport: Arc<TransportConfig>,
    ) -> Result<Channel, TransportError> {
        let v6 = self.socket.local_addr().map_err(socket_error)?.is_ipv6();
        let to = for_family(addr, v6).ok_or(TransportError::NoCandidate)?;
        let tls = self.identity.client(remote.fingerprint)?;
        let tls = QuicClientConfig::try_from(tls).map_err(set_up)?;
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(transport);
        let endpoint = Self::endpoint(self.socket, None)?;
        let connecting = endpoint
            .connect_with(config, to, "peerage")
            .map_err(set_up)?;
        let connection = connecting.await.map_err(broken)?;
        let streams = connection.open_bi().await.map_err(broken)?;
        channel((self.role, self.choice), &endpoint, connection, streams)
    }

    async fn take(
        self,
        remote: &Description,
        addr: Endpoint,
        transport: Arc<TransportConfig>,
    ) -> Result<Channel, TransportError> {
        let tls = self.identity.server(remote.fingerprint)?;
        let tls = QuicServerConfig::try_from(tls).map_err(set_up)?;
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config
            .transport_config(transport)
            .max_incoming(MAX_INCOMING);
        let endpoint = Self::endpoint(self.socket, Some(config))?;
        let mut last = TransportError::TimedOut;
        // A stranger who comes first must not take the place; a few are put up with.
        for _ in 0..MAX_INCOMING {
            let Some(incoming) = endpoint.accept().await else {
                break;
            };
            let from = Endpoint::from(incoming.remote_address());
            match incoming.await {
                Ok(connection) => {
                    let streams = connection.accept_bi().await.map_err(broken)?;
                    let how = (self.role, self.choice);
                    return channel(how, &endpoint, connection, streams);
                }
                // The path's own end: nobody better comes. It went another way, or is a liar.
                Err(ConnectionError::ApplicationClosed(_)) if from == addr => {
                    return Err(TransportError::CalledOff);
                }
                Err(ConnectionError::ConnectionClosed(close))
                    if from == addr && !is_alert(close.error_code) =>
                {
                    return Err(TransportError::CalledOff);
                }
                Err(error) if from == addr => return Err(broken(error)),
                Err(error) => last = broken(error),
            }
        }
        Err(last)
    }
}

struct QuicLife {
    connection: Connection,
}

impl Life for QuicLife {
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.connection.closed().await;
        })
    }

    fn abort(&self) {
        self.connection.close(CODE_ABORTED, b"aborted");
    }

    fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }
}

impl Drop for QuicLife {
    fn drop(&mut self) {
        self.connection.close(CODE_DONE, b"");
    }
}

fn channel(
    (role, choice): (Role, Choice),
    endpoint: &quinn::Endpoint,
    connection: Connection,
    (send, recv): (SendStream, RecvStream),
) -> Result<Channel, TransportError> {
    let local = endpoint.local_addr().map_err(socket_error)?;
    let stopped = send.stopped();
    let closing = connection.clone();
    let path = Path {
        local: local.into(),
        remote: connection.remote_address().into(),
        transport: TransportKind::Quic,
        choice,
    };
    Ok(Channel {
        read: Box::new(recv),
        write: Some(Box::new(send)),
        life: Arc::new(QuicLife { connection }),
        linger: Some(Box::pin(async move {
            // Whether it arrived or the other end is gone: there is nothing more to wait for.
            let _ = stopped.await;
            // Arrived is not yet read. The client closes first, so only the volunteer waits.
            if role == Role::Volunteer {
                closing.closed().await;
            }
        })),
        path,
    })
}

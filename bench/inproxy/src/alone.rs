//! The transports alone: quinn, and the crate `webrtc` as a program would use it, tuned.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerage_bench_kit::Error;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};

use crate::bulk::pour;
use crate::wire::{Weather, forward};

/// A stream of quinn with its defaults, one way.
pub async fn quinn_stream(bytes: u64, weather: Weather) -> Result<(Duration, Duration), Error> {
    let key = rcgen::generate_simple_self_signed(vec!["bench".into()])?;
    let chain = vec![key.cert.der().clone()];
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), secret.into())?;
    let server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    let server = quinn::Endpoint::server(server, "127.0.0.1:0".parse()?)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone())?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse()?)?;
    let mut to = server.local_addr()?;
    if !weather.is_fair() {
        to = forward(to, weather).await?;
    }
    let connecting = endpoint.connect_with(client, to, "bench")?;
    let accepting = async { Ok::<_, Error>(server.accept().await.ok_or("shut")?.await?) };
    let connecting = async { Ok(connecting.await?) };
    let (accepted, connected) = tokio::try_join!(accepting, connecting)?;
    let (mut send, _recv) = connected.open_bi().await?;
    send.write_all(&[1]).await?;
    let (_send, mut recv) = accepted.accept_bi().await?;
    recv.read_exact(&mut [0]).await?;
    pour(send, recv, bytes).await
}

mod tuned {
    //! The runtime of the crate `webrtc`, with larger socket buffers: without them it overflows them.

    use std::future::Future;
    use std::io;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    use webrtc::runtime::{
        AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    };

    type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

    #[derive(Debug)]
    pub struct Tuned(pub Arc<dyn Runtime>);

    impl Runtime for Tuned {
        fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
            self.0.spawn(future)
        }

        fn wrap_udp_socket(
            &self,
            socket: std::net::UdpSocket,
        ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
            let options = socket2::SockRef::from(&socket);
            options.set_recv_buffer_size(4 << 20)?;
            options.set_send_buffer_size(4 << 20)?;
            self.0.wrap_udp_socket(socket)
        }

        fn wrap_tcp_listener(
            &self,
            listener: std::net::TcpListener,
        ) -> io::Result<Arc<dyn AsyncTcpListener>> {
            self.0.wrap_tcp_listener(listener)
        }

        fn connect_tcp<'a>(
            &'a self,
            to: SocketAddr,
        ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
            self.0.connect_tcp(to)
        }

        fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
            self.0.resolve_host(host)
        }

        fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
            self.0.sleep(duration)
        }

        fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
            self.0.interval(period)
        }

        fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
            self.0.block_on(future);
        }
    }
}

use bytes::BytesMut;
use tokio::sync::{Notify, oneshot};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCSessionDescription, SettingEngineBuilder,
};

/// What the facts of its tuning say: unacknowledged bytes, on short paths and on long ones.
const SEND_LIMIT: usize = 256 << 10;
const LONG_SEND_LIMIT: usize = 1 << 20;
const MESSAGE: usize = 16 << 10;

struct Handler {
    gathered: Arc<Notify>,
    channel: std::sync::Mutex<Option<oneshot::Sender<Arc<dyn DataChannel>>>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let sender = self.channel.lock().unwrap().take();
        if let Some(sender) = sender {
            let _ = sender.send(channel);
        }
    }
}

struct End {
    connection: Box<dyn PeerConnection>,
    gathered: Arc<Notify>,
    channel: oneshot::Receiver<Arc<dyn DataChannel>>,
}

async fn end(limit: usize) -> Result<End, Error> {
    let gathered = Arc::new(Notify::new());
    let (sender, channel) = oneshot::channel();
    let handler = Handler {
        gathered: Arc::clone(&gathered),
        channel: std::sync::Mutex::new(Some(sender)),
    };
    let none = Some(Duration::ZERO);
    let settings = SettingEngineBuilder::new()
        .with_ice_connection_attempts(Some(Duration::from_millis(10)), Some(400))
        .with_prflx_acceptance_min_wait(none)
        .build();
    let runtime = webrtc::runtime::default_runtime().ok_or("no runtime")?;
    let connection = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_setting_engine(settings)
        .with_handler(Arc::new(handler))
        .with_runtime(Arc::new(tuned::Tuned(runtime)))
        .with_udp_addrs(vec!["127.0.0.1:0".to_string()])
        .with_data_channel_send_buffer_limit(limit)
        .build()
        .await?;
    Ok(End {
        connection: Box::new(connection),
        gathered,
        channel,
    })
}

/// Two ends with an open channel between them, and how long that took.
pub struct Pair {
    /// From the first socket to the open channel and a byte through it.
    pub took: Duration,
    _ends: (End, Box<dyn PeerConnection>),
    from: Arc<dyn DataChannel>,
    to: Arc<dyn DataChannel>,
}

/// The port of a description's one host candidate.
fn candidate_port(sdp: &str) -> Result<u16, Error> {
    let line = sdp.lines().find(|line| line.starts_with("a=candidate:"));
    let port = line.and_then(|line| line.split(' ').nth(5));
    Ok(port.ok_or("no candidate")?.parse()?)
}

async fn opened(channel: &Arc<dyn DataChannel>) -> Result<(), Error> {
    while let Some(event) = channel.poll().await {
        if matches!(event, DataChannelEvent::OnOpen) {
            return Ok(());
        }
    }
    Err("the channel did not open".into())
}

async fn message(channel: &Arc<dyn DataChannel>) -> Result<usize, Error> {
    while let Some(event) = channel.poll().await {
        if let DataChannelEvent::OnMessage(message) = event {
            return Ok(message.data.len());
        }
    }
    Err("the channel ended".into())
}

/// Connects two ends of the crate `webrtc`.
pub async fn webrtc(weather: Weather) -> Result<Pair, Error> {
    let limit = if weather.is_fair() {
        SEND_LIMIT
    } else {
        LONG_SEND_LIMIT
    };
    let begun = Instant::now();
    let (client, volunteer) = (end(limit).await?, end(limit).await?);
    let from = client.connection.create_data_channel("bench", None).await?;
    let offer = client.connection.create_offer(None).await?;
    client.connection.set_local_description(offer).await?;
    client.gathered.notified().await;
    let offer = client.connection.local_description().await.ok_or("none")?;
    let mut sdp = offer.sdp.clone();
    if !weather.is_fair() {
        // The volunteer learns of its client from what comes through the wire.
        sdp = sdp
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("a=candidate:"))
            .collect();
    }
    let offer = RTCSessionDescription::offer(sdp)?;
    volunteer.connection.set_remote_description(offer).await?;
    let answer = volunteer.connection.create_answer(None).await?;
    volunteer.connection.set_local_description(answer).await?;
    volunteer.gathered.notified().await;
    let answer = volunteer
        .connection
        .local_description()
        .await
        .ok_or("none")?;
    let mut sdp = answer.sdp.clone();
    if !weather.is_fair() {
        let port = candidate_port(&sdp)?;
        let known: SocketAddr = ([127, 0, 0, 1], port).into();
        let wire = forward(known, weather).await?;
        sdp = sdp.replace(
            &format!(" {port} typ host"),
            &format!(" {} typ host", wire.port()),
        );
    }
    let answer = RTCSessionDescription::answer(sdp)?;
    client.connection.set_remote_description(answer).await?;
    let End {
        connection,
        channel,
        ..
    } = volunteer;
    let first = async {
        opened(&from).await?;
        from.send(BytesMut::from(&[1][..])).await?;
        Ok::<_, Error>(())
    };
    let taken = async {
        let to = channel.await?;
        message(&to).await?;
        Ok(to)
    };
    let ((), to) = tokio::try_join!(first, taken)?;
    Ok(Pair {
        took: begun.elapsed(),
        _ends: (client, connection),
        from,
        to,
    })
}

/// Messages one way over a data channel of the crate `webrtc`.
pub async fn webrtc_stream(bytes: u64, weather: Weather) -> Result<(Duration, Duration), Error> {
    let pair = webrtc(weather).await?;
    let meter = peerage_bench_kit::Meter::start();
    let from = Arc::clone(&pair.from);
    let writing = tokio::spawn(async move {
        let mut left = bytes;
        while left > 0 {
            let len = left.min(MESSAGE as u64) as usize;
            from.send(BytesMut::from(&vec![0x5a; len][..])).await?;
            left -= len as u64;
        }
        Ok::<_, Error>(())
    });
    let mut came = 0;
    while came < bytes {
        came += message(&pair.to).await? as u64;
    }
    let spent = meter.finish_now();
    writing.await??;
    Ok(spent)
}

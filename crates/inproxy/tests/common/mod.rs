//! What several tests share.

pub(crate) mod calls;
pub(crate) mod decoders;
pub(crate) mod parties;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use peerage_core::UnixTime;
use peerage_inproxy::broker::{Broker, BrokerConfig, Control};
use peerage_inproxy::call::BrokerClient;
use peerage_inproxy::destination::Hosts;
use peerage_inproxy::transport::{Channel, Prepared, PreparedUdp, Role, Transport, Udp, UdpConfig};
use peerage_inproxy::{
    BrokerAddress, Description, Entry, Outside, PartySecret, SignedEntry, SignerSecret,
    TransportKind,
};
use peerage_matcher::{CompartmentId, NetworkProtocol, Versions};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

pub(crate) fn random(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).unwrap();
}

/// True entropy, and a clock that stands still.
pub(crate) const OUTSIDE: Outside = Outside {
    random,
    wall_clock: || UnixTime(1_800_000_000),
};

/// Nothing here takes nearly so long.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// An end on loopback that speaks these. It bears the silence of a machine that has much to do.
pub(crate) fn speaking(speaks: Versions) -> Udp {
    silent_for(speaks, Duration::from_secs(10))
}

/// One that takes the other for gone after so long.
pub(crate) fn silent_for(speaks: Versions, silence: Duration) -> Udp {
    let config = UdpConfig {
        bind: [127, 0, 0, 1].into(),
        speaks,
        silence,
        ..UdpConfig::default()
    };
    Udp::new(config, OUTSIDE)
}

/// One that speaks all that this build does.
pub(crate) fn udp() -> Udp {
    speaking(TransportKind::built())
}

/// One end of a match, before it knows the other: itself, and what it says of itself.
pub(crate) async fn prepared(kind: TransportKind) -> (PreparedUdp, Description) {
    described(speaking(kind.version())).await
}

/// The same of this end.
pub(crate) async fn described(end: Udp) -> (PreparedUdp, Description) {
    let prepared = end.prepare().await.unwrap();
    let description = prepared.description().clone();
    (prepared, description)
}

/// Two ends of a channel: the client's, the volunteer's.
pub(crate) async fn channels(kind: TransportKind) -> (Channel, Channel) {
    let (client, ours) = prepared(kind).await;
    let (volunteer, theirs) = prepared(kind).await;
    let connect = client.connect(kind, Role::Client, &theirs, soon());
    // QUIC's volunteer has its end once the client has said something.
    let take = volunteer.connect(kind, Role::Volunteer, &ours, soon());
    let connect = async {
        let mut channel = connect.await?;
        tokio::io::AsyncWriteExt::write_all(&mut channel, b"!")
            .await
            .unwrap();
        Ok::<_, peerage_inproxy::transport::TransportError>(channel)
    };
    let (client, volunteer) = tokio::join!(connect, take);
    let (client, mut volunteer) = (client.unwrap(), volunteer.unwrap());
    let mut first = [0];
    tokio::io::AsyncReadExt::read_exact(&mut volunteer, &mut first)
        .await
        .unwrap();
    assert_eq!(&first, b"!");
    (client, volunteer)
}

/// Two ends of a TCP connection.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

/// A port of loopback where nobody is.
pub(crate) fn nobody() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Carries datagrams between one known end and whoever speaks first, until it is cut.
pub(crate) struct Wire {
    /// Where to send what is for the known end.
    pub(crate) addr: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn new(known: SocketAddr) -> Self {
        Self::losing(known, None).await
    }

    /// One that loses the datagram of this number.
    pub(crate) async fn losing(known: SocketAddr, lost: Option<usize>) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut other = None;
            let mut buffer = vec![0; 65_536];
            for number in 0.. {
                let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
                let to = if from == known {
                    other
                } else {
                    other = Some(from);
                    Some(known)
                };
                if let Some(to) = to
                    && lost != Some(number)
                {
                    socket.send_to(&buffer[..len], to).await.unwrap();
                }
            }
        });
        Self { addr, task }
    }

    pub(crate) fn cut(&self) {
        self.task.abort();
    }
}

/// Carries connections to one address, until it is frozen: then nothing passes any more, and nobody
/// is told.
pub(crate) struct Line {
    pub(crate) addr: SocketAddr,
    frozen: tokio::sync::watch::Sender<bool>,
}

impl Line {
    pub(crate) async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (frozen, freezing) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (target, mut freezing) = (target.clone(), freezing.clone());
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    let frozen = async {
                        freezing.wait_for(|frozen| *frozen).await.unwrap();
                    };
                    tokio::select! {
                        () = frozen => {}
                        // However it ends, its ends hear of it by being dropped.
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    }
                    std::future::pending().await
                });
            }
        });
        Self { addr, frozen }
    }

    pub(crate) fn freeze(&self) {
        self.frozen.send(true).unwrap();
    }
}

/// The compartment of [`Running`] brokers.
pub(crate) const COMMON: CompartmentId = CompartmentId([0xc0; 32]);

fn operator() -> SignerSecret {
    SignerSecret::new(&[0x0f; 32])
}

/// An entry for every port of loopback.
pub(crate) fn entry() -> Bytes {
    let loopback: IpNet = "127.0.0.0/8".parse().unwrap();
    entry_for(Hosts::Net(loopback), (1, 65_535))
}

/// An entry for these.
pub(crate) fn entry_for(hosts: Hosts, ports: (u16, u16)) -> Bytes {
    let entry = Entry {
        hosts,
        ports,
        protocol: NetworkProtocol::Tcp,
        expires: UnixTime(1_900_000_000),
        tag: "test".into(),
    };
    SignedEntry::sign(entry, &operator())
        .unwrap()
        .encode()
        .unwrap()
}

/// The broker's metrics.
pub(crate) async fn metrics(broker: &Running) -> String {
    let mut stream = TcpStream::connect(broker.address.target.to_string())
        .await
        .unwrap();
    let get = b"GET /metrics HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, get)
        .await
        .unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text)
        .await
        .unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A broker that runs.
pub(crate) struct Running {
    pub(crate) address: BrokerAddress,
    pub(crate) control: Control,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Running {
    /// A broker for one host.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with something changed.
    pub(crate) async fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let key = PartySecret::new(OUTSIDE.bytes());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string().parse().unwrap();
        let address = BrokerAddress {
            target,
            key: key.public(),
        };
        let mut config = BrokerConfig::new(key);
        config.compartments.add(COMMON).unwrap();
        config.destinations.signers.insert(operator().public());
        config.destinations.tags.insert("test".into());
        config.loopback = true;
        // A machine under load is slow to answer; who tests silence says how much of it.
        config.limits.attention = Duration::from_secs(3600);
        change(&mut config);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let broker = Broker::new(config, OUTSIDE).unwrap();
        let control = broker.control();
        let serving = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            broker.serve(listener, stopped).await.unwrap();
        });
        Self {
            address,
            control,
            stop: Some(stop),
            serving,
        }
    }

    /// Somebody new who calls it.
    pub(crate) fn caller(&self) -> BrokerClient {
        let secret = PartySecret::new(OUTSIDE.bytes());
        BrokerClient::new(self.address.clone(), secret, OUTSIDE)
    }

    /// The same over a line.
    pub(crate) fn caller_over(&self, line: &Line) -> BrokerClient {
        let target = line.addr.to_string().parse().unwrap();
        let address = BrokerAddress {
            target,
            ..self.address.clone()
        };
        BrokerClient::new(address, PartySecret::new(OUTSIDE.bytes()), OUTSIDE)
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.serving).await.unwrap();
    }
}

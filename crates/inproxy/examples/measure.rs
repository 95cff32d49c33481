//! Measures the in-proxy on this machine, over loopback: `cargo run --release -p peerage-inproxy
//! --example measure`. The broker runs as a process of its own, so that its memory and processor time
//! are its own. Linux only: it reads `/proc`.
//!
//! The descriptors of a process may have to be raised first: `ulimit -n 20000`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program to be looked at by whoever runs it"
)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;
use peerage_core::UnixTime;
use peerage_inproxy::broker::{Broker, BrokerConfig};
use peerage_inproxy::call::BrokerClient;
use peerage_inproxy::client::{ClientConfig, Dialer, Where};
use peerage_inproxy::description::{Candidate, CandidateKind, CheckKey, Fingerprint};
use peerage_inproxy::destination::Hosts;
use peerage_inproxy::message::{Announce, Answer, Call, Network, Offer, Reply};
use peerage_inproxy::transport::{Channel, Prepared as _, Role, Transport as _, Udp, UdpConfig};
use peerage_inproxy::volunteer::{Volunteer, VolunteerConfig};
use peerage_inproxy::{
    AllowList, BrokerAddress, Description, Entry, Outside, PartySecret, SignedEntry, SignerSecret,
    TransportKind,
};
use peerage_matcher::{CompartmentId, NetworkProtocol};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const COMMON: CompartmentId = CompartmentId([1; 32]);
const OUTSIDE: Outside = Outside {
    random: |bytes| SystemRandom::new().fill(bytes).unwrap(),
    wall_clock: || UnixTime(1_800_000_000),
};

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(300)
}

fn operator() -> SignerSecret {
    SignerSecret::new(&[7; 32])
}

fn entry() -> Bytes {
    let net: IpNet = "127.0.0.0/8".parse().unwrap();
    let entry = Entry {
        hosts: Hosts::Net(net),
        ports: (1, 65_535),
        protocol: NetworkProtocol::Tcp,
        expires: UnixTime(i64::MAX),
        tag: "measure".into(),
    };
    SignedEntry::sign(entry, &operator())
        .unwrap()
        .encode()
        .unwrap()
}

fn quic() -> Udp {
    let config = UdpConfig {
        speaks: TransportKind::Quic.version(),
        bind: [127, 0, 0, 1].into(),
        ..UdpConfig::default()
    };
    Udp::new(config, OUTSIDE)
}

/// The broker's process.
async fn broker() {
    let key = PartySecret::new(OUTSIDE.bytes());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}@{}", key.public(), listener.local_addr().unwrap());
    let mut config = BrokerConfig::new(key);
    config.compartments.add(COMMON).unwrap();
    config.destinations.signers.insert(operator().public());
    config.destinations.tags.insert("measure".into());
    config.loopback = true;
    config.limits.connections_per_group = 100_000;
    config.limits.handshakes_per_minute = 1_000_000;
    config.limits.announce_wait = Duration::from_secs(600);
    // All callers are one address here.
    config.matcher.extras.announcement_limits = None;
    config.matcher.extras.offer_limits = None;
    let broker = Broker::new(config, OUTSIDE).unwrap();
    broker
        .serve(listener, std::future::pending())
        .await
        .unwrap();
}

struct Process {
    child: Child,
    address: BrokerAddress,
}

impl Process {
    fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .arg("broker")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().parse().unwrap();
        Self { child, address }
    }

    fn caller(&self) -> BrokerClient {
        BrokerClient::new(
            self.address.clone(),
            PartySecret::new(OUTSIDE.bytes()),
            OUTSIDE,
        )
    }

    /// Processor time used so far; a tick is 10 ms.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory, in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn network() -> Network {
    Network {
        transports: TransportKind::Quic.version(),
        ..Network::default()
    }
}

fn announce() -> Call {
    Call::Announce(Announce {
        network: network(),
        load: 0,
        wait_ms: 600_000,
        personal: Vec::new(),
    })
}

fn description() -> Bytes {
    let addr: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let description = Description {
        check_key: CheckKey([0; 16]),
        fingerprint: Fingerprint([0; 32]),
        dtls: None,
        candidates: vec![Candidate {
            kind: CandidateKind::Host,
            addr: addr.into(),
        }],
    };
    description.encode().unwrap()
}

async fn memory_of_waiting(count: usize) {
    let broker = Process::start();
    let before = broker.memory();
    let mut callers = Vec::new();
    for _ in 0..count {
        let caller = Arc::new(broker.caller());
        caller.prepare(soon()).await.unwrap();
        let calling = Arc::clone(&caller);
        tokio::spawn(async move { calling.call(&announce(), soon()).await });
        callers.push(caller);
    }
    let watcher = broker.caller();
    loop {
        let Reply::Stats(numbers) = watcher.call(&Call::Stats, soon()).await.unwrap() else {
            break;
        };
        if numbers.announcements as usize >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (after, cpu) = (broker.memory(), broker.cpu());
    println!(
        "broker, {count} volunteers waiting: {} MiB, {} MiB without",
        after >> 10,
        before >> 10
    );
    println!("  {cpu:?} of processor time for {count} handshakes and announcements");
}

async fn matches(count: usize, pairs: usize) {
    let broker = Process::start();
    let left = Arc::new(AtomicUsize::new(count));
    let mut tasks = Vec::new();
    let mut ready = Vec::new();
    for _ in 0..pairs {
        let (volunteer, client) = (broker.caller(), broker.caller());
        volunteer.prepare(soon()).await.unwrap();
        client.prepare(soon()).await.unwrap();
        ready.push((volunteer, client));
    }
    let (begun, cpu) = (Instant::now(), broker.cpu());
    for (volunteer, client) in ready {
        tasks.push(tokio::spawn(async move {
            while let Ok(Reply::Matched(matched)) = volunteer.call(&announce(), soon()).await {
                let answer = Call::Answer(Answer {
                    connection: matched.connection,
                    description: description(),
                });
                // One whose client is done is none of our concern.
                let _ = volunteer.call(&answer, soon()).await;
            }
        }));
        let left = Arc::clone(&left);
        tasks.push(tokio::spawn(async move {
            let take = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                let offer = Offer {
                    network: network(),
                    wait_ms: 30_000,
                    personal: Vec::new(),
                    common: vec![COMMON],
                    protocol: NetworkProtocol::Tcp,
                    destination: "127.0.0.1:8233".into(),
                    entry: entry(),
                    description: description(),
                };
                let reply = client
                    .call(&Call::Offer(Box::new(offer)), soon())
                    .await
                    .unwrap();
                assert!(matches!(reply, Reply::Answered(_)));
            }
        }));
    }
    while left.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (took, cpu) = (begun.elapsed(), broker.cpu().saturating_sub(cpu));
    println!(
        "broker, {count} matches through HTTP, {pairs} pairs at once: {:.0} per processor-second, {:.0} per second",
        count as f64 / cpu.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
    );
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    addr
}

async fn set_up(count: usize) {
    let broker = Process::start();
    let config = VolunteerConfig {
        allow: AllowList {
            private: true,
            ..AllowList::public(1, 65_535)
        },
        announcing: 8,
        connections: 32,
        ..VolunteerConfig::default()
    };
    let (events, mut received) = mpsc::channel(1000);
    tokio::spawn(async move { while received.recv().await.is_some() {} });
    tokio::spawn(
        Volunteer::new(broker.caller(), quic(), config, events).run(std::future::pending()),
    );
    let to = echo().await.to_string().parse().unwrap();
    for warm in [false, true] {
        let mut times = Vec::new();
        let kept = dialer(&broker);
        for _ in 0..count {
            let dialer = if warm { kept.clone() } else { dialer(&broker) };
            let begun = Instant::now();
            let mut channel = dialer.dial(&to, soon()).await.unwrap();
            channel.write_u8(1).await.unwrap();
            channel.read_u8().await.unwrap();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let session = if warm { "session there" } else { "new session" };
        println!(
            "offer to first byte back from the destination, {session}: p50 {:?}, p99 {:?}",
            times[count / 2],
            times[count * 99 / 100],
        );
    }
    let channel = kept_channel(&broker).await;
    let relayed = throughput_through(channel).await;
    let alone = alone().await;
    println!("relayed {relayed:.0} MiB/s one way, the transport alone {alone:.0} MiB/s");
}

fn dialer(broker: &Process) -> Dialer<Udp> {
    let config = ClientConfig::new(Where::Common(vec![COMMON]), vec![entry()]);
    Dialer::new(broker.caller(), quic(), config, OUTSIDE)
}

const BULK: usize = 512 << 20;

async fn kept_channel(broker: &Process) -> (Channel, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string().parse().unwrap();
    let dialer = dialer(broker);
    let (channel, accepted) = tokio::join!(dialer.dial(&to, soon()), listener.accept());
    (channel.unwrap(), accepted.unwrap().0)
}

async fn pour(
    mut to: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
    mut from: impl tokio::io::AsyncRead + Unpin,
) -> f64 {
    let begun = Instant::now();
    let writing = tokio::spawn(async move {
        let chunk = vec![0; 64 << 10];
        for _ in 0..BULK / chunk.len() {
            to.write_all(&chunk).await.unwrap();
        }
        to.shutdown().await.unwrap();
        to
    });
    let mut buffer = vec![0; 64 << 10];
    let mut read = 0;
    loop {
        match from.read(&mut buffer).await.unwrap() {
            0 => break,
            len => read += len,
        }
    }
    assert_eq!(read, BULK);
    writing.await.unwrap();
    (BULK >> 20) as f64 / begun.elapsed().as_secs_f64()
}

async fn throughput_through((channel, stream): (Channel, TcpStream)) -> f64 {
    pour(channel, stream).await
}

async fn alone() -> f64 {
    let (client, volunteer) = (
        quic().prepare().await.unwrap(),
        quic().prepare().await.unwrap(),
    );
    let (ours, theirs) = (
        client.description().clone(),
        volunteer.description().clone(),
    );
    let connect = async {
        let mut channel = client
            .connect(TransportKind::Quic, Role::Client, &theirs, soon())
            .await
            .unwrap();
        channel.write_u8(1).await.unwrap();
        channel
    };
    let take = async {
        let mut channel = volunteer
            .connect(TransportKind::Quic, Role::Volunteer, &ours, soon())
            .await
            .unwrap();
        channel.read_u8().await.unwrap();
        channel
    };
    let (client, volunteer) = tokio::join!(connect, take);
    pour(client, volunteer).await
}

#[tokio::main]
async fn main() {
    if std::env::args().nth(1).as_deref() == Some("broker") {
        broker().await;
        return;
    }
    set_up(200).await;
    matches(20_000, 16).await;
    memory_of_waiting(5_000).await;
}

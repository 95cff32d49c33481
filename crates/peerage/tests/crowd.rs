//! A node's door with a crowd before it, and what thousands of sessions cost.
//!
//! The figures are printed by the ignored tests: `cargo test --release -p peerage -- --ignored
//! --nocapture crowd`, with `ulimit -n 30000`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use peerage::net::Listener;
use peerage::node::peers::{AdmissionRules, Groups, Rate};
use peerage::node::{EventsOf, HandleOf, Node};
use peerage::{Endpoint, Greeter, Zcash};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(20);

/// A node whose rules treat loopback as the world, each address as a group.
fn node(sockets: usize) -> (HandleOf<Zcash>, EventsOf<Zcash>, Endpoint) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    let greeter = Greeter::<Zcash>::new("regtest").unwrap();
    let mut node = Node::new(greeter).with_listener(listener);
    let setup = node.setup_mut();
    let each = Groups {
        v4_bits: 32,
        ..Groups::strict()
    };
    let generous = Rate {
        burst: 1_000_000,
        every: Duration::from_micros(1),
    };
    setup.admission = AdmissionRules {
        groups: each,
        group: generous,
        total: generous,
        sockets,
        sockets_per_group: sockets,
        ..AdmissionRules::default()
    };
    setup.peers.limits.active_in = 10_000;
    let (handle, events) = node.start().unwrap();
    (handle, events, at)
}

async fn connect(to: Endpoint, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(SocketAddr::new(to.ip(), to.port())).await
}

/// Opens, and then: says nothing, says nonsense, or says a letter now and then. Comes again when it
/// is shown the door.
async fn hostile(to: Endpoint, number: u32) {
    let [_, b, c, d] = number.to_be_bytes();
    let from = Ipv4Addr::new(127, 100 + b, c, d);
    loop {
        if let Ok(mut io) = connect(to, from).await {
            let mut heard = [0; 256];
            match number % 3 {
                0 => {}
                1 => drop(io.write_all(b"GET / HTTP/1.1\r\n\r\n").await),
                _ => {
                    for byte in b"\xaa\xe8\x3f\x5fversion\0" {
                        if io.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
            while io.read(&mut heard).await.is_ok_and(|len| len > 0) {}
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Greets the node so many times, one after the other, from an address of its own each time; how
/// long each took.
async fn honest(to: Endpoint, count: u8) -> Vec<Duration> {
    let mut took = Vec::new();
    for host in 1..=count {
        let greeter = Greeter::<Zcash>::new("regtest").unwrap();
        let before = Instant::now();
        let io = connect(to, Ipv4Addr::new(127, 9, 9, host)).await.unwrap();
        let connection = peerage::net::Connection {
            io,
            addr: peerage::ConnectedAddr::OutboundDirect { addr: to },
            resolved_in: None,
            reached_in: Duration::ZERO,
        };
        let accept_all = peerage::core::AcceptAll;
        let greeted = greeter.greet(connection, accept_all, before + LIMIT).await;
        greeted.unwrap_or_else(|error| panic!("number {host}: {error}"));
        took.push(before.elapsed());
    }
    took.sort_unstable();
    took
}

async fn crowded(hostiles: u32, sockets: usize, greetings: u8) -> (Vec<Duration>, Vec<Duration>) {
    let (handle, events, at) = node(sockets);
    drop(events);
    let unloaded = honest(at, greetings).await;
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..hostiles {
        crowd.spawn(hostile(at, number));
    }
    // Until they are at the door.
    loop {
        let overview = handle.overview().await.unwrap();
        let pending = overview.peers.pending[0];
        if pending >= sockets * 9 / 10 || pending >= hostiles as usize / 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let loaded = honest(at, greetings).await;
    let overview = handle.overview().await.unwrap();
    eprintln!("{:?} {:?}", overview.counters, overview.peers.pending);
    crowd.abort_all();
    handle.stop().await;
    (unloaded, loaded)
}

#[tokio::test]
async fn honest_peers_are_greeted_while_a_crowd_tries() {
    let (_, loaded) = crowded(300, 64, 20).await;
    assert_eq!(loaded.len(), 20, "every one of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "10,000 sockets; prints figures"]
async fn figures_of_ten_thousand_hostile_sockets() {
    let (unloaded, loaded) = crowded(10_000, 1024, 100).await;
    let [p50, p99] = [50, 98].map(|at| (unloaded[at], loaded[at]));
    eprintln!("unloaded, loaded: p50 {p50:?}, p99 {p99:?}");
}

/// Resident kB and processor ticks of this process.
fn usage() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kb = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (kb, ticks(11) + ticks(12))
}

/// The listening half of the next test, in a process of its own.
#[tokio::test]
#[ignore = "only for figures_of_idle_sessions"]
async fn listening_half() {
    if std::env::var_os("PEERAGE_LISTENING_HALF").is_none() {
        return;
    }
    let (handle, events, at) = node(10_000);
    drop(events);
    println!("\nat {at}");
    let asked = || tokio::task::spawn_blocking(|| std::io::stdin().lines().next().is_some());
    while asked().await.unwrap() {
        let peers = handle.overview().await.unwrap().peers.established;
        let (kb, ticks) = usage();
        println!("\nusage {peers} {kb} {ticks}");
    }
}

#[tokio::test]
#[ignore = "5,000 sessions in two processes; prints figures"]
async fn figures_of_idle_sessions() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crowd::listening_half",
            "--ignored",
            "--nocapture",
        ])
        .env("PEERAGE_LISTENING_HALF", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut say = |word: &str| loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(rest) = line.strip_prefix(word) {
            let words = rest.split_whitespace().map(str::to_owned);
            break words.collect::<Vec<_>>();
        }
    };
    let at = say("at ")[0].clone();
    let greeter = Greeter::<Zcash>::new("regtest").unwrap();
    let warm = greeter.dial(&at, LIMIT).await.unwrap();
    let mut usage = || {
        ask.write_all(b"?\n").unwrap();
        let said = say("usage ");
        let number = |at: usize| said[at].parse::<u64>().unwrap();
        (number(0), number(1), number(2))
    };
    let before = usage();
    let mut peers = vec![warm];
    while peers.len() < 5_001 {
        peers.push(greeter.dial(&at, LIMIT).await.unwrap());
    }
    let after = usage();
    let sessions = after.0 - before.0;
    let kb = after.1 - before.1;
    let ticks = (after.2 - before.2).max(1);
    eprintln!(
        "{sessions} sessions, {} bytes each",
        kb * 1024 / sessions.max(1)
    );
    eprintln!("{} handshakes per CPU second", sessions * 100 / ticks);
    drop(ask);
    child.wait().unwrap();
}

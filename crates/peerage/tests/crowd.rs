//! A node's door with a crowd before it. What thousands cost, `bench/run --only keep` measures.

use std::net::{Ipv4Addr, SocketAddr};
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

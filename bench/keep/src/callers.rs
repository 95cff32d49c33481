//! Callers with honest intentions.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerage::core::AcceptAll;
use peerage::net::Connection;
use peerage::{ConnectedAddr, Greeter, Zcash};
use peerage_bench_kit::canned::Canned;
use peerage_bench_kit::{
    Error, Meter, RUN_LIMIT, Report, open_files, raw, repeat, resident, within,
};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The deadline of each handshake, and of the ping that follows.
const LIMIT: Duration = Duration::from_secs(20);

/// The time from one peer to the next.
const EVERY: Duration = Duration::from_millis(5);

/// The first address of a group of 256, from 127.128.0.0 upwards.
fn group(number: u64) -> Ipv4Addr {
    let [high, low] = (number as u16 & 0x7fff).to_be_bytes();
    Ipv4Addr::new(127, 128 | high, low, 1)
}

/// Connects and greets so often, each time from another group, and leaves.
pub async fn greet(to: SocketAddr, count: u64, at_once: u64) -> Result<(), Error> {
    let meter = Meter::start();
    repeat(count, at_once, each(to, drop)).await?;
    let (wall, cpu) = meter.finish().await;
    let rss = resident()?;
    let (name, bytes) = ("greet", 0);
    Report {
        name,
        count,
        at_once,
        wall,
        cpu,
        bytes,
        rss,
    }
    .print();
    Ok(())
}

/// Keeps so many greeted connections until standard input ends.
pub async fn hold(to: SocketAddr, count: u64) -> Result<(), Error> {
    open_files(count + 100)?;
    let all = Arc::new(Mutex::new(Vec::new()));
    let held = Arc::clone(&all);
    let keep = move |stream| held.lock().expect("nobody panics").push(stream);
    repeat(count, 16, each(to, keep)).await?;
    println!("{{\"name\":\"hold\",\"count\":{count}}}");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    within(RUN_LIMIT, async { Ok(ended.await??) }).await?;
    Ok(())
}

/// Greets from the next group and hands over the connection.
fn each(
    to: SocketAddr,
    with: impl Fn(TcpStream) + Clone + Send + 'static,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> + Clone + Send {
    let (next, canned) = (Arc::new(AtomicU64::new(0)), Arc::new(Canned::zcash()));
    move || {
        let from = group(next.fetch_add(1, Ordering::Relaxed));
        let (canned, with) = (Arc::clone(&canned), with.clone());
        Box::pin(async move {
            let mut stream = raw::connect_from(from, to).await?;
            raw::greet(&mut stream, &canned).await?;
            with(stream);
            Ok(())
        })
    }
}

/// Peers of ours greet, one each 5 ms whether or not the last is done, each from a group of its
/// own. Tells how many microseconds each took from its first packet to the end of its handshake;
/// it counts when a ping is answered as well.
pub async fn honest(to: SocketAddr, first: u64, count: u64) -> Result<(), Error> {
    let greeter = Arc::new(Greeter::<Zcash>::new("testnet")?);
    let mut under_way = JoinSet::new();
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0..count {
        turns.tick().await;
        under_way.spawn(one(Arc::clone(&greeter), to, group(first + number)));
    }
    let (mut took, mut failed) = (Vec::new(), 0);
    while let Some(ended) = under_way.join_next().await {
        match ended? {
            Ok(time) => took.push(time.as_micros()),
            Err(error) => {
                failed += 1;
                eprintln!("bench-keep: an honest peer failed: {error}");
            }
        }
    }
    println!("{{\"name\":\"honest\",\"count\":{count},\"failed\":{failed},\"us\":{took:?}}}");
    Ok(())
}

async fn one(
    greeter: Arc<Greeter<Zcash>>,
    to: SocketAddr,
    from: Ipv4Addr,
) -> Result<Duration, Error> {
    let before = Instant::now();
    let io = tokio::time::timeout(LIMIT, raw::connect_from(from, to)).await??;
    let connection = Connection {
        io,
        addr: ConnectedAddr::OutboundDirect { addr: to.into() },
        resolved_in: None,
        reached_in: Duration::ZERO,
    };
    let mut peer = greeter.greet(connection, AcceptAll, before + LIMIT).await?;
    let took = before.elapsed();
    peer.ping(LIMIT).await?;
    Ok(took)
}

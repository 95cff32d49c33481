//! Idle sessions and the memory they take.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerage_bench_kit::{
    Error, Meter, REST, RUN_LIMIT, Report, Tally, raw, repeat, resident, say_listening, within,
};
use peerage_core::ConnectedAddr;
use peerage_ethereum::{Attempt, Local, Peer};
use peerage_net::{Conn, Greeted, Link, Listener, greet};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::exchange::initiate;
use crate::greeted::{node, unix_time};
use crate::random;

/// The deadline of each handshake.
const GREET_LIMIT: Duration = Duration::from_secs(30);

/// The key of whoever holds sessions, so that others can dial it: no secret.
const HOLDER: [u8; 32] = [0x22; 32];

type Session = Link<peerage_ethereum::Codec, TcpStream>;

/// What becomes of a greeted peer.
#[derive(Clone)]
pub enum After {
    /// It is served in its task until it leaves, as a node would.
    Serve,
    /// It is put with the others and its task ends.
    Keep(Arc<Mutex<Vec<(peerage_ethereum::PeerInfo, Session)>>>),
}

impl After {
    /// A list to keep peers in.
    pub fn keep() -> Self {
        Self::Keep(Arc::default())
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Serve => "idle-task",
            Self::Keep(_) => "idle-value",
        }
    }
}

async fn greeted<C: Conn>(
    local: &Local,
    io: C,
    attempt: Attempt,
) -> Result<Greeted<Box<Peer>, C>, Error> {
    let deadline = Instant::now() + GREET_LIMIT;
    Ok(greet(io, local.greet(attempt), deadline).await?)
}

async fn one_peer(
    local: &Local,
    io: TcpStream,
    addr: ConnectedAddr,
    after: After,
    greeted_so_far: &Tally,
) -> Result<(), Error> {
    let attempt = Attempt::new(addr, None, unix_time()?, &random()?)?;
    let Greeted {
        peer,
        conn,
        leftover,
    } = greeted(local, io, attempt).await?;
    let (info, codec) = peer.into_parts();
    let mut link = Link::new(conn, codec, leftover);
    greeted_so_far.add();
    match after {
        After::Serve => {
            let _how_it_left_is_not_the_question = link.serve_pings(drop).await;
            drop(info);
        }
        After::Keep(all) => all.lock().map_err(|_| "poisoned")?.push((info, link)),
    }
    Ok(())
}

/// Holds so many greeted connections and tells by how much resident memory grew.
pub async fn idle(count: u64, after: After) -> Result<(), Error> {
    let local = Arc::new(node(HOLDER)?);
    let greeted = Tally::default();
    let listener = Listener::bind(raw::ANY_PORT)?;
    let addr = listener.local_endpoint()?.socket_addr();
    let (done, name) = (greeted.clone(), after.name());
    tokio::spawn(async move {
        loop {
            let connection = match listener.accept().await {
                Ok(connection) => connection,
                Err(error) => return eprintln!("bench-rlpx: accept: {error}"),
            };
            let (local, after, done) = (local.clone(), after.clone(), done.clone());
            tokio::spawn(async move {
                let (io, addr) = (connection.io, connection.addr);
                if let Err(error) = one_peer(&local, io, addr, after, &done).await {
                    eprintln!("bench-rlpx: {error}");
                }
            });
        }
    });
    let (before, meter) = (resident()?, Meter::start());
    say_listening(addr);
    greeted.reach(count).await?;
    tokio::time::sleep(REST).await;
    let rss = resident()?.saturating_sub(before);
    let (wall, cpu) = meter.finish().await;
    let (at_once, bytes) = (count, 0);
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

/// Dials so many times, as far as the keys or to the end of the handshake, and keeps the
/// connections until standard input ends.
pub async fn hold(target: SocketAddr, count: u64, whole: bool) -> Result<(), Error> {
    let holder = *node(HOLDER)?.key.public();
    let local = Arc::new(node(random()?)?);
    let all = Arc::new(Mutex::new(Vec::new()));
    let held = all.clone();
    let one = move || {
        let (local, held) = (local.clone(), held.clone());
        async move {
            let mut io = TcpStream::connect(target).await?;
            if whole {
                let addr = ConnectedAddr::OutboundDirect {
                    addr: target.into(),
                };
                let attempt = Attempt::new(addr, Some(holder), unix_time()?, &random()?)?;
                io = greeted(&local, io, attempt).await?.conn;
            } else {
                drop(initiate(&mut io, &local.key, &holder).await?);
            }
            held.lock().map_err(|_| "poisoned")?.push(io);
            Ok(())
        }
    };
    repeat(count, 16, one).await?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    within(RUN_LIMIT, async { Ok(ended.await??) }).await?;
    Ok(())
}

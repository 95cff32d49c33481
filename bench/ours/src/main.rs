//! peerage measured, and the bare sockets that are the floor. Each run prints one line of JSON.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerage::net::{Connection, Listener};
use peerage::networks::Builtin;
use peerage::verack::policy::AcceptAll;
use peerage::verack::{HandshakeError, ProtocolVersion};
use peerage::{ConnectedAddr, Decred, Greeter, Peer, Zcash};
use peerage_bench_kit::canned::Canned;
use peerage_bench_kit::{
    Counted, Error, Meter, REST, RUN_LIMIT, Report, Tally, Words, measured, raw, repeat, resident,
    runtime, say_listening, within,
};
use tokio::io::duplex;
use tokio::net::TcpStream;
use tokio::time::Instant;

const USAGE: &str = "\
usage: bench-ours duplex NETWORK --count N --at-once C    both ends ours, in memory
       bench-ours accept NETWORK --count N --at-once C    bare sockets dial us, over TCP
       bench-ours raw    NETWORK --count N --at-once C    bare sockets dial bare sockets
       bench-ours serve  NETWORK --count N                answers N connections, then ends
       bench-ours dial   NETWORK --count N --at-once C ADDR
       bench-ours idle   NETWORK --count N [--as task|value]   holds N greeted connections
       bench-ours hold   NETWORK --count N ADDR           N bare sockets, greeted, until input ends
       bench-ours junk   NETWORK [--kind ping|long|noise]       junk in place of a version
NETWORK is zcash (testnet) or decred (simnet, version 11). ADDR is an address on this machine.";

/// The deadline of each handshake.
const GREET_LIMIT: Duration = Duration::from_secs(30);

/// What both ends of an in-memory connection may hold, in bytes each way.
const PIPE_LEN: usize = 4096;

fn main() -> ExitCode {
    let words = Words::take();
    let network = std::env::args().nth(2).unwrap_or_default();
    let runtime = runtime();
    let outcome = runtime.block_on(async {
        match network.as_str() {
            "zcash" => run(&words, Canned::zcash(), || node::<Zcash>("testnet")).await,
            "decred" => run(&words, Canned::decred(), decred).await,
            _ => Err(USAGE.into()),
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-ours: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A node that says the same of itself as zebra-network and the bare sockets.
fn node<D: Builtin>(chain: &str) -> Result<Greeter<D>, Error> {
    let mut greeter = Greeter::<D>::new(chain)?;
    greeter.local_mut().user_agent = "/bench:1/".into();
    Ok(greeter)
}

/// On Decred we speak the version of dcrd's newest tagged peer package and say its user agent, so
/// that both do the same.
fn decred() -> Result<Greeter<Decred>, Error> {
    let mut greeter = node::<Decred>("simnet")?;
    let local = greeter.local_mut();
    local.protocol_version = ProtocolVersion(11);
    local.user_agent = "/dcrwire:1.0.0/bench:1.0.0/".into();
    Ok(greeter)
}

async fn run<D: Builtin>(
    words: &Words,
    canned: Canned,
    node: impl Fn() -> Result<Greeter<D>, Error>,
) -> Result<(), Error> {
    let count = words.number("--count", 1000)?;
    let at_once = words.number("--at-once", 1)?.max(1);
    match words.mode() {
        "duplex" => in_memory(node()?, node()?, count, at_once).await,
        "accept" => {
            let done = Tally::default();
            let addr = listen(node()?, After::Drop, Tally::default(), done.clone())?;
            let dial = move || raw_dial(addr, canned.clone());
            measured("accept", count, at_once, Some(&done), dial).await
        }
        "raw" => {
            let done = Tally::default();
            let addr = raw::listen(canned.clone(), done.clone()).await?;
            let dial = move || raw_dial(addr, canned.clone());
            measured("raw", count, at_once, Some(&done), dial).await
        }
        "serve" => serve(node()?, count).await,
        "dial" => dial_all(node()?, words.target()?, count, at_once).await,
        "idle" => match words.value("--as").unwrap_or("task") {
            "task" => idle(node()?, count, "idle-task").await,
            "value" => idle(node()?, count, "idle-value").await,
            _ => Err(USAGE.into()),
        },
        "hold" => hold(canned, words.target()?, count).await,
        "junk" => match words.value("--kind").unwrap_or("ping") {
            "ping" => junk(node()?, "junk-ping", canned.ping).await,
            "long" => junk(node()?, "junk-long", canned.long).await,
            "noise" => junk(node()?, "junk-noise", b"noise".to_vec()).await,
            _ => Err(USAGE.into()),
        },
        _ => Err(USAGE.into()),
    }
}

async fn raw_dial(addr: SocketAddr, canned: Canned) -> Result<(), Error> {
    drop(raw::dial(addr, &canned).await?);
    Ok(())
}

/// Both ends ours, in one task, over a pipe in memory.
async fn in_memory<D: Builtin>(
    near: Greeter<D>,
    far: Greeter<D>,
    count: u64,
    at_once: u64,
) -> Result<(), Error> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 8233)).into();
    let pair = Arc::new((near, far));
    let one = move || {
        let pair = pair.clone();
        async move {
            let (near_end, far_end) = duplex(PIPE_LEN);
            let deadline = Instant::now() + GREET_LIMIT;
            let dialled = connection(near_end, ConnectedAddr::OutboundDirect { addr });
            let accepted = connection(far_end, ConnectedAddr::InboundDirect { addr });
            let (one, other) = tokio::join!(
                pair.0.greet(dialled, AcceptAll, deadline),
                pair.1.greet(accepted, AcceptAll, deadline),
            );
            drop((one?, other?));
            Ok(())
        }
    };
    measured("duplex", count, at_once, None, one).await
}

fn connection<C>(io: C, addr: ConnectedAddr) -> Connection<C> {
    Connection {
        io,
        addr,
        resolved_in: None,
        reached_in: Duration::ZERO,
    }
}

/// What becomes of a greeted peer.
#[derive(Clone)]
enum After<D: Builtin> {
    /// Nothing.
    Drop,
    /// It is served in its task until it leaves, as a node would.
    Serve,
    /// It is put with the others and its task ends.
    Keep(Arc<Mutex<Vec<Peer<D, TcpStream>>>>),
}

/// Greets every connection, each in its own task. Counts a peer on `greeted`, and on `done` when
/// what comes after is over as well.
fn listen<D: Builtin>(
    greeter: Greeter<D>,
    after: After<D>,
    greeted: Tally,
    done: Tally,
) -> Result<SocketAddr, Error> {
    let listener = Listener::bind(raw::ANY_PORT)?;
    let addr = listener.local_endpoint()?.socket_addr();
    let greeter = Arc::new(greeter);
    tokio::spawn(async move {
        loop {
            let connection = match listener.accept().await {
                Ok(connection) => connection,
                Err(error) => return eprintln!("bench-ours: accept: {error}"),
            };
            let (greeter, after) = (greeter.clone(), after.clone());
            let (done, greeted) = (done.clone(), greeted.clone());
            tokio::spawn(async move {
                if let Err(error) = one_peer(&greeter, connection, after, &greeted).await {
                    return eprintln!("bench-ours: {error}");
                }
                done.add();
            });
        }
    });
    Ok(addr)
}

async fn one_peer<D: Builtin>(
    greeter: &Greeter<D>,
    connection: Connection<TcpStream>,
    after: After<D>,
    greeted: &Tally,
) -> Result<(), HandshakeError<Infallible>> {
    let deadline = Instant::now() + GREET_LIMIT;
    let mut peer = greeter.greet(connection, AcceptAll, deadline).await?;
    greeted.add();
    match after {
        After::Drop => {}
        After::Serve => {
            let _how_it_left_is_not_the_question = peer.link_mut().serve_pings(drop).await;
        }
        After::Keep(all) => {
            if let Ok(mut all) = all.lock() {
                all.push(peer);
            }
        }
    }
    Ok(())
}

/// Answers so many connections; ends when all of them have left.
async fn serve<D: Builtin>(greeter: Greeter<D>, count: u64) -> Result<(), Error> {
    let (done, greeted) = (Tally::default(), Tally::default());
    let addr = listen(greeter, After::Serve, greeted.clone(), done.clone())?;
    let meter = Meter::start();
    say_listening(addr);
    done.reach(count).await?;
    greeted.reach(count).await?;
    report("serve", count, 0, meter, 0).await
}

/// Dials and leaves so often.
async fn dial_all<D: Builtin>(
    greeter: Greeter<D>,
    target: SocketAddr,
    count: u64,
    at_once: u64,
) -> Result<(), Error> {
    let meter = Meter::start();
    let node = Arc::new((greeter, target.to_string()));
    let one = move || {
        let node = node.clone();
        async move {
            drop(node.0.dial(&node.1, GREET_LIMIT).await?);
            Ok(())
        }
    };
    repeat(count, at_once, one).await?;
    report("dial", count, at_once, meter, 0).await
}

async fn report(
    name: &str,
    count: u64,
    at_once: u64,
    meter: Meter,
    bytes: u64,
) -> Result<(), Error> {
    let (wall, cpu) = meter.finish().await;
    let rss = resident()?;
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

/// Holds so many greeted connections and tells by how much resident memory grew.
async fn idle<D: Builtin>(greeter: Greeter<D>, count: u64, name: &str) -> Result<(), Error> {
    let greeted = Tally::default();
    let kept = Arc::default();
    let after = match name {
        "idle-value" => After::Keep(Arc::clone(&kept)),
        _ => After::Serve,
    };
    let addr = listen(greeter, after, greeted.clone(), Tally::default())?;
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

/// Keeps so many bare connections open until standard input ends.
async fn hold(canned: Canned, target: SocketAddr, count: u64) -> Result<(), Error> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let held = all.clone();
    let one = move || {
        let (canned, held) = (canned.clone(), held.clone());
        async move {
            let stream = raw::dial(target, &canned).await?;
            held.lock().map_err(|_| "poisoned")?.push(stream);
            Ok(())
        }
    };
    repeat(count, 16, one).await?;
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    within(RUN_LIMIT, async { Ok(ended.await??) }).await?;
    Ok(())
}

/// Sends one frame again and again in place of a version, until we are refused. The count is that
/// of messages taken in before the refusal, the bytes those read from the socket.
async fn junk<D: Builtin>(greeter: Greeter<D>, name: &str, frame: Vec<u8>) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind(raw::ANY_PORT).await?;
    let addr = listener.local_addr()?;
    let meter = Meter::start();
    let sender = tokio::spawn(raw::send_for_ever(addr, frame));
    let (stream, from) = listener.accept().await?;
    let (stream, read) = Counted::new(stream);
    let connection = connection(stream, ConnectedAddr::InboundDirect { addr: from.into() });
    let deadline = Instant::now() + GREET_LIMIT;
    let count = match greeter.greet(connection, AcceptAll, deadline).await {
        Err(HandshakeError::Flood { over, .. }) => u64::from(over.would_be.messages) - 1,
        Err(HandshakeError::Unexpected { .. } | HandshakeError::Message { .. }) => 0,
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("junk was greeted".into()),
    };
    sender.abort();
    let bytes = read.load(std::sync::atomic::Ordering::Relaxed);
    report(name, count, 1, meter, bytes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    use peerage::core::wire::{Reader, Writer};
    use peerage::verack::envelope::{Command, Envelope};
    use peerage::verack::{Services, Version};

    fn canned_frames_are_sound<D: Builtin>(canned: &Canned, magic: &[u8], version: u32) {
        let envelope = Envelope {
            magic: magic.try_into().unwrap(),
            checksum: D::checksum,
        };
        let frame = |command, payload: &[u8]| {
            let mut output = bytes::BytesMut::new();
            envelope.write(Command::from_static(command), payload, &mut output);
            output.to_vec()
        };
        let theirs = D::read_version(&mut Reader::new(&canned.version[24..])).unwrap();
        assert_eq!(theirs.protocol_version.0, version);
        assert_eq!(theirs.services, Services::NETWORK);
        assert_eq!(theirs.user_agent, "/bench:1/".into());
        let mut writer = Writer::new(Version::MAX_LEN);
        theirs.write(&mut writer);
        assert_eq!(canned.version, frame("version", &writer.finish().unwrap()));
        assert_eq!(canned.verack, frame("verack", &[]));
        assert_eq!(canned.ping, frame("ping", &[7; 8]));
        assert_eq!(canned.long, frame("junk", &[0; 1000]));
    }

    #[test]
    fn zcash_frames_are_what_the_library_reads_and_writes() {
        let version = peerage::zcash::builtin_table().protocol_version.0;
        canned_frames_are_sound::<Zcash>(&Canned::zcash(), &[0xfa, 0x1a, 0xf9, 0xbf], version);
    }

    #[test]
    fn decred_frames_are_what_the_library_reads_and_writes() {
        canned_frames_are_sound::<Decred>(&Canned::decred(), &[0x16, 0x1c, 0x14, 0x12], 11);
    }
}

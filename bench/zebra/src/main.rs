//! The published zebra-network, measured the same way as ours. Each run prints one line of JSON.
//!
//! Its public way to greet over any connection is `connect_isolated`, either direction. No tracing
//! subscriber is installed, so its spans cost the least they can.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use peerage_bench_kit::canned::Canned;
use peerage_bench_kit::{
    measured, raw, resident, runtime, say_listening, Counted, Error, Meter, Report, Tally, Words,
    REST,
};
use tokio::io::duplex;
use tokio::net::TcpListener;
use zebra_chain::parameters::Network;
use zebra_network::{connect_isolated, Client};

const USAGE: &str = "\
usage: bench-zebra duplex --count N --at-once C    both ends zebra, in memory
       bench-zebra accept --count N --at-once C    bare sockets dial zebra, over TCP
       bench-zebra idle   --count N                holds N greeted connections
       bench-zebra junk                            pings in place of a version";

const AGENT: &str = "/bench:1/";

/// What both ends of an in-memory connection may hold, in bytes each way.
const PIPE_LEN: usize = 4096;

fn main() -> ExitCode {
    let runtime = runtime();
    let outcome = runtime.block_on(run(Words::take()));
    // Zebra leaves background tasks behind; nothing they hold outlives this process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-zebra: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: Words) -> Result<(), Error> {
    let count = words.number("--count", 1000)?;
    let at_once = words.number("--at-once", 1)?.max(1);
    let network = Network::new_default_testnet();
    match words.mode() {
        "duplex" => {
            let one = move || {
                let network = network.clone();
                async move {
                    let (near, far) = duplex(PIPE_LEN);
                    let (one, other) = tokio::join!(
                        connect_isolated(&network, near, AGENT.to_owned()),
                        connect_isolated(&network, far, AGENT.to_owned()),
                    );
                    drop((one?, other?));
                    Ok(())
                }
            };
            measured("duplex", count, at_once, None, one).await
        }
        "accept" => {
            let done = Tally::default();
            let addr = listen(network, done.clone(), None).await?;
            let canned = Canned::zcash();
            let dial = move || {
                let canned = canned.clone();
                async move {
                    drop(raw::dial(addr, &canned).await?);
                    Ok(())
                }
            };
            measured("accept", count, at_once, Some(&done), dial).await
        }
        "idle" => idle(network, count).await,
        "junk" => junk(network).await,
        _ => Err(USAGE.into()),
    }
}

type Kept = Arc<Mutex<Vec<Client>>>;

/// Greets every connection, each in its own task, and counts it on `greeted`; then drops or keeps
/// it.
async fn listen(network: Network, greeted: Tally, kept: Option<Kept>) -> Result<SocketAddr, Error> {
    let listener = TcpListener::bind(raw::ANY_PORT).await?;
    let addr = listener.local_addr()?;
    raw::accept_all(listener, move |stream| {
        let (network, greeted, kept) = (network.clone(), greeted.clone(), kept.clone());
        async move {
            match connect_isolated(&network, stream, AGENT.to_owned()).await {
                Ok(client) => {
                    if let Some(kept) = kept {
                        kept.lock().expect("nobody panics").push(client);
                    }
                    greeted.add();
                }
                Err(error) => eprintln!("bench-zebra: {error}"),
            }
        }
    });
    Ok(addr)
}

/// Holds so many greeted connections and tells by how much resident memory grew.
async fn idle(network: Network, count: u64) -> Result<(), Error> {
    let (greeted, kept) = (Tally::default(), Kept::default());
    let addr = listen(network, greeted.clone(), Some(kept.clone())).await?;
    let (before, meter) = (resident()?, Meter::start());
    say_listening(addr);
    greeted.reach(count).await?;
    tokio::time::sleep(REST).await;
    let rss = resident()?.saturating_sub(before);
    let (wall, cpu) = meter.finish().await;
    let (name, at_once, bytes) = ("idle", count, 0);
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

/// Sends pings in place of a version until zebra ends the connection. The bytes are those it read.
async fn junk(network: Network) -> Result<(), Error> {
    let ping = Canned::zcash().ping;
    let len = ping.len() as u64;
    let listener = TcpListener::bind(raw::ANY_PORT).await?;
    let addr = listener.local_addr()?;
    let meter = Meter::start();
    let sender = tokio::spawn(raw::send_for_ever(addr, ping));
    let (stream, _) = listener.accept().await?;
    let (stream, read) = Counted::new(stream);
    if connect_isolated(&network, stream, AGENT.to_owned())
        .await
        .is_ok()
    {
        return Err("junk was greeted".into());
    }
    sender.abort();
    let bytes = read.load(Ordering::Relaxed);
    let (name, count, at_once) = ("junk-ping", bytes / len, 1);
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

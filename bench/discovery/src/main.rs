//! Discovery v5 measured: peerage beside the published crate `discv5`, and bare sockets, which are
//! the floor. Each run prints one line of JSON. See bench/README.md.

mod floor;
mod hot;
mod node;
mod ours;
mod quiet;
mod runs;
mod sigp;
mod spoofed;

use std::process::ExitCode;

use node::Node;
use peerage_bench_kit::{Error, Words, runtime};

const USAGE: &str = "\
usage: bench-discovery WHOSE rr --kind ping|own|talk --count N --at-once C   round trips
       bench-discovery WHOSE sessions --count N --at-once C   N fresh nodes PING one
       bench-discovery WHOSE swarm    --count N [--rounds R]  N nodes that know one; a lookup each
       bench-discovery WHOSE idle     --count N               holds N nodes that know nobody
       bench-discovery WHOSE spoofed  --count N               handshakes that nobody asked for
WHOSE is `ours` or `sigp`; both ends are of that kind, in one process, over loopback.
       bench-discovery floor --count N [--batched yes]  bare sockets: a datagram sent and received
       bench-discovery session --count N          both ends, without sockets, in turn with the curve
                                                  operations in them
       bench-discovery hot                        single steps, without sockets";

fn main() -> ExitCode {
    match run(&Words::take()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-discovery: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &Words) -> Result<(), Error> {
    let count = words.number("--count", 1000)?.max(1);
    match words.mode() {
        "session" => quiet::session_beside_the_curve(count),
        "hot" => hot::steps(),
        "floor" => floor::floor(count, words.value("--batched").is_some()),
        "ours" => of_kind::<ours::Ours>(words, count),
        "sigp" => of_kind::<sigp::Sigp>(words, count),
        _ => Err(USAGE.into()),
    }
}

fn of_kind<N: Node>(words: &Words, count: u64) -> Result<(), Error> {
    let at_once = words.number("--at-once", 1)?.max(1);
    let what = words.second();
    let runtime = runtime();
    let outcome = runtime.block_on(async {
        match what {
            "rr" => {
                let kind = words.value("--kind").and_then(node::Ask::named);
                runs::round_trips::<N>(kind.ok_or(USAGE)?, count, at_once).await
            }
            "sessions" => runs::sessions::<N>(count, at_once).await,
            "swarm" => runs::swarm::<N>(count, words.number("--rounds", 2)?).await,
            "idle" => runs::idle::<N>(count).await,
            "spoofed" => spoofed::spoofed::<N>(count).await,
            _ => Err(USAGE.into()),
        }
    });
    runtime.shutdown_background();
    outcome
}

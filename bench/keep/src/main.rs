//! A whole node measured, as an application has it: its listener, admission, peer table, book and
//! events. Each run prints lines of JSON. See bench/README.md.

mod callers;
mod crowd;
mod serve;

use std::process::ExitCode;

use peerage_bench_kit::{Error, Words, runtime};

const USAGE: &str = "\
usage: bench-keep serve [--rate open]          a node of Zcash's testnet; tells of itself for each
                                               line of input, until it ends
       bench-keep hold  --count N ADDR         N bare sockets, greeted, until input ends
       bench-keep greet --count N --at-once C ADDR   N bare sockets greet and leave
       bench-keep honest --count N [--first G] ADDR  N peers of ours greet, one each 5 ms
       bench-keep crowd --count N [--kind KIND] [--per-group G] ADDR   N hostile sockets try, until
                                               input ends
KIND is silent, trickle, garbage, versions, churn, deaf, or mixed. ADDR is an address on this
machine. Whoever calls comes from 127.0.0.0/8, from as many groups of 256 addresses as it can.";

fn main() -> ExitCode {
    let words = Words::take();
    let runtime = runtime();
    let outcome = runtime.block_on(run(&words));
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-keep: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &Words) -> Result<(), Error> {
    let count = words.number("--count", 1000)?.max(1);
    match words.mode() {
        "serve" => serve::serve(words.value("--rate") == Some("open")).await,
        "hold" => callers::hold(words.target()?, count).await,
        "greet" => {
            let at_once = words.number("--at-once", 16)?.max(1);
            callers::greet(words.target()?, count, at_once).await
        }
        "honest" => {
            let first = words.number("--first", 0)?;
            callers::honest(words.target()?, first, count).await
        }
        "crowd" => {
            let kind = words.value("--kind").unwrap_or("mixed");
            let per_group = words.number("--per-group", 4)?.max(1);
            crowd::crowd(words.target()?, count, kind, per_group).await
        }
        _ => Err(USAGE.into()),
    }
}

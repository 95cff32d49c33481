//! RLPx and Ethereum sessions measured. Each run prints one line of JSON.
//!
//! Where two things are compared in one process they take turns, and the line holds both, under
//! `peer` and `ours`. See bench/README.md.

mod exchange;
mod frames;
mod greeted;
mod idle;
mod turns;

use std::process::ExitCode;

use peerage_bench_kit::{Error, Words, runtime};

const USAGE: &str = "\
usage: bench-rlpx greet    --count N               whole handshakes, both ends, beside the curve
                                                   operations in them, and with keys made ahead
       bench-rlpx exchange --count N --at-once C   both ends: auth, ack, secrets, over a pipe
       bench-rlpx keccak   --size B [--total BYTES]   frames sealed and opened, beside Keccak of the
                                                   same bytes
       bench-rlpx frames   --size B [--total BYTES] [--data random|half] [--snappy yes]
       bench-rlpx idle     --count N [--as task|value]   holds N greeted connections
       bench-rlpx hold     --count N [--until greeted|keyed] ADDR   dials N, until input ends
A message of B bytes goes one way so often that TOTAL is reached. In half, every other 32 bytes are
zero, so that snappy has something to do. ADDR is an address on this machine.";

/// The most bytes of a message.
const MAX_SIZE: u64 = 8 << 20;

fn main() -> ExitCode {
    let outcome = run(&Words::take());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-rlpx: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &Words) -> Result<(), Error> {
    let count = words.number("--count", 1000)?.max(1);
    let at_once = words.number("--at-once", 1)?.max(1);
    let size = words.number("--size", 1024)?;
    let total = words.number("--total", 64 << 20)?;
    if size == 0 || size > MAX_SIZE || total < size {
        return Err(USAGE.into());
    }
    let (size, total) = (usize::try_from(size)?, usize::try_from(total)?);
    match words.mode() {
        "greet" => greeted::beside_the_curve(count),
        "keccak" => frames::beside_keccak(size, total),
        "frames" => {
            let data =
                frames::payload(size, words.value("--data").unwrap_or("random")).ok_or(USAGE)?;
            frames::through_a_wire(&data, total, words.value("--snappy").is_some())
        }
        mode => {
            let runtime = runtime();
            let outcome = runtime.block_on(async {
                match mode {
                    "exchange" => exchange::over_a_pipe(count, at_once).await,
                    "idle" => match words.value("--as").unwrap_or("task") {
                        "task" => idle::idle(count, idle::After::Serve).await,
                        "value" => idle::idle(count, idle::After::keep()).await,
                        _ => Err(USAGE.into()),
                    },
                    "hold" => match words.value("--until").unwrap_or("greeted") {
                        "greeted" => idle::hold(words.target()?, count, true).await,
                        "keyed" => idle::hold(words.target()?, count, false).await,
                        _ => Err(USAGE.into()),
                    },
                    _ => Err(USAGE.into()),
                }
            });
            runtime.shutdown_background();
            outcome
        }
    }
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

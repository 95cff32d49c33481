//! `cargo xtask check`: the one recipe, run before every push and by CI; and `cargo xtask months`, which
//! takes longer than anyone waits for.
//!
//! It knows the order of the steps and nothing else: what is right is written in the tests, in
//! `clippy.toml`, in `deny.toml` and in the README.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks to its terminal"
)]

mod check;
mod months;
mod readme;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
The checks of this repository.

Usage: cargo xtask check [--fast]
       cargo xtask months [SEEDS]

  check         format, crate count, dependency policy, lints, tests (layers among them), docs,
                the README's main command, and the foreign peers of interop/;
                stops at the first failure with exit code 1
  check --fast  the same without the main command and interop/
  months        the whole way in the simulator: two months of Zcash and Decred, two days of
                Ethereum, each with SEEDS seeds (3); takes about an hour
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        [] | ["help" | "-h" | "--help"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["check"] => check::run_all(check::Extent::Full),
        ["check", "--fast"] => check::run_all(check::Extent::Fast),
        ["months"] => months::run(months::SEEDS),
        ["months", seeds] if seeds.parse::<u64>().is_ok_and(|seeds| seeds > 0) => {
            months::run(seeds.parse().unwrap_or(months::SEEDS))
        }
        _ => {
            eprint!("unknown arguments: {}\n\n{HELP}", args.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

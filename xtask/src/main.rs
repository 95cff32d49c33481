//! `cargo xtask check`: the one recipe, run before every push and by CI.
//!
//! It knows the order of the steps and nothing else: what is right is written in the tests, in
//! `clippy.toml`, in `deny.toml` and in the README.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks to its terminal"
)]

mod check;
mod readme;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
The checks of this repository.

Usage: cargo xtask check [--fast]

  check         format, crate count, dependency policy, lints, tests (layers among them), docs,
                the README's main command, and the foreign peers of interop/;
                stops at the first failure with exit code 1
  check --fast  the same without the main command and interop/
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

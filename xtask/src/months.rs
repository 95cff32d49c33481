//! `cargo xtask months`: long runs of `peerage sim keep`, more than tests have time for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What is run, for how many days. A day of Ethereum costs as much as a month of the others: each of
/// its bytes is encrypted, and its nodes search without end.
const RUNS: &[(&str, &str)] = &[("zcash", "60"), ("decred", "60"), ("ethereum", "2")];

/// How many seeds each, if nothing is said.
pub(crate) const SEEDS: u64 = 3;

/// Runs each with the seeds from 1 on; tells at the end which did not keep its promises.
pub(crate) fn run(seeds: u64) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().context("xtask stands in the workspace")?;
    let mut broken = Vec::new();
    for (network, days) in RUNS {
        for seed in (1..=seeds).map(|seed| seed.to_string()) {
            let mut command = Command::new("cargo");
            command.current_dir(root).args([
                "run",
                "--release",
                "--quiet",
                "--locked",
                "-p",
                "peerage-cli",
                "--",
                "sim",
                "keep",
                "--network",
                network,
                "--days",
                days,
                "--seed",
                &seed,
            ]);
            let status = command.status().context("cargo does not run")?;
            if !status.success() {
                broken.push(format!("--network {network} --days {days} --seed {seed}"));
            }
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    bail!(
        "to repeat what failed: peerage sim keep {}",
        broken.join("; ")
    )
}

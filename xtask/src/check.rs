//! The recipe: its steps, in an order that lets the cheap ones fail first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::readme;

/// How much of the recipe to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Full,
    /// Without the steps that run for long: the main command and the foreign peers.
    Fast,
}

/// Builds of the command line, and how many crates each stays below, our own included: what has to
/// be compiled before the first run is part of the first impression. Decision 6 has the reasons.
const BUILDS: [(&str, &str, usize); 2] = [
    ("default build", "", 250),
    ("build without the API", " --no-default-features", 120),
];

/// How long the main command runs as a smoke test.
const SMOKE: [&str; 2] = ["--for", "20s"];

struct Step {
    name: &'static str,
    /// Left out by [`Extent::Fast`].
    slow: bool,
    run: fn(&Path) -> Result<()>,
}

const STEPS: &[Step] = &[
    quick("format", |root| {
        run(root, words("cargo fmt --all --check"), &[])
    }),
    quick("crates", crate_count),
    // No advisories: their database lives on a git host, and this recipe needs nothing but the
    // package registry.
    quick("policy", |root| {
        let check = "cargo deny --locked --all-features check bans licenses sources";
        run(root, words(check), &[])
            .context("is cargo-deny installed? .ci/run installs the version in use")
    }),
    quick("clippy", |root| {
        let clippy = "cargo clippy --workspace --all-targets --locked -- -D warnings";
        run(root, words(clippy), &[])
    }),
    // To the letter, so without `--locked`: the steps before it have proved the lock file current.
    quick("tests", |root| {
        run(root, readme_command(root, "test-command")?, &[])
    }),
    // What of it is off by default: geography from a file, and WebRTC.
    quick("in-proxy", |root| {
        let clippy = "cargo clippy --locked -p peerage-cli -p peerage-inproxy --features maxmind,webrtc --all-targets -- -D warnings";
        run(root, words(clippy), &[])?;
        let test = "cargo test --locked -p peerage-inproxy --features maxmind,webrtc";
        run(root, words(test), &[])
    }),
    quick("docs", |root| {
        let doc = "cargo doc --workspace --no-deps --locked";
        run(root, words(doc), &[("RUSTDOCFLAGS", "-D warnings")])
    }),
    slow("smoke", |root| {
        let mut command = readme_command(root, "main-command")?;
        command.extend(SMOKE.map(str::to_owned));
        run(root, command, &[])
    }),
    slow("interop", |root| {
        let script = root.join("interop/run");
        ensure!(script.is_file(), "interop/run does not exist");
        run(root, words("./interop/run"), &[])
    }),
];

const fn quick(name: &'static str, run: fn(&Path) -> Result<()>) -> Step {
    let slow = false;
    Step { name, slow, run }
}

const fn slow(name: &'static str, run: fn(&Path) -> Result<()>) -> Step {
    let slow = true;
    Step { name, slow, run }
}

/// Runs the recipe and prints a table of what happened.
///
/// # Errors
///
/// The first step that failed; the steps after it have not run.
pub(crate) fn run_all(extent: Extent) -> Result<()> {
    let root = workspace_root()?;
    let started = Instant::now();
    let mut failure = None;
    let mut rows = Vec::new();
    for step in STEPS {
        if failure.is_some() {
            rows.push((step.name, "not run", None));
            continue;
        }
        if step.slow && extent == Extent::Fast {
            rows.push((step.name, "left out", None));
            continue;
        }
        println!("\n=== {}", step.name);
        let began = Instant::now();
        let outcome = (step.run)(&root);
        let took = began.elapsed();
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("=== {}: {verdict} in {}", step.name, seconds(took));
        rows.push((step.name, verdict, Some(took)));
        failure = outcome
            .err()
            .map(|error| error.context(format!("step `{}` failed", step.name)));
    }
    println!("\n{:<10}{:<10}{:>9}", "step", "result", "time");
    for (name, verdict, took) in rows {
        let took = took.map(seconds).unwrap_or_default();
        println!("{}", format!("{name:<10}{verdict:<10}{took:>9}").trim_end());
    }
    println!("{:<20}{:>9}", "all", seconds(started.elapsed()));
    failure.map_or(Ok(()), Err)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn workspace_root() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.parent().context("xtask has no parent folder")?;
    Ok(root.to_owned())
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

fn readme_command(root: &Path, marker: &str) -> Result<Vec<String>> {
    let readme = fs::read_to_string(root.join("README.md")).context("cannot read README.md")?;
    readme::command(&readme, marker)
}

/// A command in the workspace root, printed first, with nothing to read from.
fn command(root: &Path, words: &[String]) -> Result<Command> {
    println!("$ {}", words.join(" "));
    let (program, args) = words.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command.args(args).current_dir(root).stdin(Stdio::null());
    Ok(command)
}

fn run(root: &Path, words: Vec<String>, env: &[(&str, &str)]) -> Result<()> {
    let line = words.join(" ");
    let status = command(root, &words)?
        .envs(env.iter().copied())
        .status()
        .with_context(|| format!("`{line}` could not be started"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Counts what builds of the command line compile, macros and build scripts included.
fn crate_count(root: &Path) -> Result<()> {
    for (name, features, limit) in BUILDS {
        count_build(root, name, features, limit)?;
    }
    Ok(())
}

fn count_build(root: &Path, name: &str, features: &str, limit: usize) -> Result<()> {
    let line = format!(
        "cargo tree --locked -p peerage-cli{features} -e normal,build --prefix none --format {{p}}"
    );
    let output = command(root, &words(&line))?
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{line}` could not be started"))?;
    ensure!(
        output.status.success(),
        "`{line}` ended with {}",
        output.status
    );
    let count = distinct_crates(&String::from_utf8(output.stdout)?);
    println!("{count} crates in the {name} of peerage-cli; fewer than {limit} wanted");
    if count >= limit {
        bail!("{count} crates in the {name} of peerage-cli: the limit is {limit}");
    }
    Ok(())
}

/// Name and version are the first two words of a line; what follows says how it was reached.
fn distinct_crates(tree: &str) -> usize {
    let crates: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    crates.len()
}

#[cfg(test)]
mod tests {
    use super::distinct_crates;

    #[test]
    fn a_crate_counts_once_per_version_however_often_it_is_reached() {
        let tree = "\
peerage-cli v0.1.0 (/here/crates/peerage-cli)
serde v1.0.0
serde_derive v1.0.0 (proc-macro)
serde v1.0.0 (*)
syn v2.0.0
syn v3.0.0

";
        assert_eq!(distinct_crates(tree), 5);
    }
}

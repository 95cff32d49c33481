//! The command line of peerage.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 yes; 1 ran, and the answer is no;
//! 2 usage or configuration; 3 environment; 130 interrupted.

mod args;
mod book;
mod broker;
mod data;
mod decode;
mod definition;
mod demo;
mod disc;
mod doctor;
mod find;
mod key;
mod listen;
mod nearest;
mod output;
#[cfg(feature = "api")]
mod peers;
mod probe;
#[cfg(feature = "api")]
mod remote;
mod serve;
mod sim;
mod transcript;
mod trouble;
mod why;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::ctrl_c;

use crate::output::{Exit, Out, complain};
use crate::serve::settings;

/// Finds, reaches, greets and keeps peers on peer-to-peer networks, and says why when it fails.
#[derive(Debug, Parser)]
#[command(
    name = "peerage",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    /// Replace the compiled-in chain tables by the files of this folder (zcash.toml, decred.toml,
    /// ethereum.toml).
    #[arg(long, global = true, value_name = "FOLDER", env = "PEERAGE_TABLES")]
    tables: Option<std::path::PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A whole small world on this machine: peers found and kept, faulty ones, and a reason for each.
    Demo(demo::Args),
    /// Diagnose peers stage by stage, from the name to the first ping.
    Probe(probe::Args),
    /// Greet inbound peers, a line each.
    Listen(listen::Args),
    /// Find and keep peers of any number of networks, in the foreground.
    Serve(Box<serve::Args>),
    /// Write, check and show the configuration of serve.
    Config(settings::Args),
    /// See and change the peers of a running daemon.
    #[cfg(feature = "api")]
    Peers(peers::Args),
    /// Why a peer is here or not: its whole story, from first heard of to now.
    Why(why::Args),
    /// Look at and change what a node remembers.
    Book(book::Args),
    /// Find nodes of a network by discovery v5, a line each.
    Find(find::Args),
    /// Talk discovery v5: ask a node, or be one.
    Disc(disc::Args),
    /// Take bytes apart.
    Decode(decode::Args),
    /// Connections through volunteers: introduce, volunteer, dial; and a STUN server.
    Broker(Box<broker::Args>),
    /// What outsiders see of this machine: NATs, firewalls, ports of the router.
    Doctor(doctor::Args),
    /// Run a network of many nodes in virtual time.
    Sim(sim::Args),
    /// Make or show the key of a node.
    Key(key::Args),
    /// Print the completions of a shell.
    Completions(definition::CompletionsArgs),
    /// Print the manual page, or write one page for each command.
    Man(definition::ManArgs),
}

fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches();
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // clap knows where its text belongs: help on stdout, mistakes on stderr.
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Yes
            };
            drop(error.print());
            return code.into();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(cli, &matches));
            // A resolver thread may still hang; nobody waits for it.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(output::environment(error, "cannot start")),
    };
    match result {
        Ok(exit) => exit.into(),
        // Whoever read our output had enough.
        Err(error) if error.is_broken_pipe() => Exit::Yes.into(),
        Err(error) => {
            complain(&error.to_string());
            error.exit().into()
        }
    }
}

/// How long a command that hears of an interrupt itself may take to end.
const LAST_FIGURES: std::time::Duration = std::time::Duration::from_secs(2);

/// Runs the command until it ends or is interrupted.
///
/// `disc serve`, `broker stun` and `doctor` hear of an interrupt themselves and are left a moment for
/// their last words, and `serve` says goodbye for as long as that takes; dropping the others closes
/// what they opened.
async fn run(cli: Cli, matches: &clap::ArgMatches) -> Result<Exit, output::Failed> {
    let tables = peerage::networks::tables(cli.tables).map_err(output::usage)?;
    let mut out = Out::stdout();
    let ends_itself = matches!(&cli.command, Command::Disc(args) if args.ends_itself())
        || matches!(&cli.command, Command::Broker(args) if args.ends_itself())
        || matches!(&cli.command, Command::Doctor(_));
    let is_daemon = matches!(&cli.command, Command::Serve(_))
        || matches!(&cli.command, Command::Broker(args) if args.is_daemon());
    let interrupted = async {
        if is_daemon {
            std::future::pending::<()>().await;
        }
        drop(ctrl_c().await);
        if ends_itself {
            tokio::time::sleep(LAST_FIGURES).await;
        }
    };
    let work = async {
        match cli.command {
            Command::Demo(args) => demo::run(args, &mut out).await,
            Command::Probe(args) => probe::run(args, tables, &mut out).await,
            Command::Listen(args) => listen::run(args, tables, &mut out).await,
            Command::Serve(args) => serve::run(*args, tables, &mut out).await,
            Command::Config(args) => settings::run(&args, matches, &tables, &mut out),
            #[cfg(feature = "api")]
            Command::Peers(args) => peers::run(args, &tables, &mut out).await,
            Command::Why(args) => why::run(&args, &tables, &mut out).await,
            Command::Book(args) => book::run(&args, &tables, &mut out).await,
            Command::Find(args) => find::run(args, tables, &mut out).await,
            Command::Disc(args) => disc::run(args, tables, &mut out).await,
            Command::Broker(args) => broker::run(*args, &mut out).await,
            Command::Doctor(args) => doctor::run(args, &mut out).await,
            Command::Decode(args) => decode::run(&args, &tables, &mut out),
            Command::Key(args) => key::run(&args, &tables, &mut out),
            Command::Sim(args) => sim::run(args, &mut out).await,
            Command::Completions(args) => definition::completions(&args, Cli::command(), &mut out),
            Command::Man(args) => definition::man(&args, Cli::command(), &mut out),
        }
    };
    tokio::select! {
        biased;
        result = work => result,
        () = interrupted => Ok(Exit::Interrupted),
    }
}

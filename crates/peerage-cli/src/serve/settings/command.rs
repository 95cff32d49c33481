//! `peerage config`: writes, checks and shows the configuration of `serve`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::ArgMatches;
use peerage::Tables;
use serde_json::json;

use super::{Over, layers, show, template::template};
use crate::args::NetworkArg;
use crate::output::{Exit, Failed, Out, environment, misused};
use crate::serve::config::Place;
use crate::serve::plan::{Keys, Plan, from_layers};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write a file in which every key stands, commented. Never overwrites.
    Init(InitArgs),
    /// Say what is wrong with a configuration, with line and column. Exit code: 0 nothing, 2 a
    /// mistake.
    Check(CheckArgs),
    /// Show what counts, and with --origin, by whose word: a flag's, a variable's, a line's of a file,
    /// or the default.
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// The file; - for stdout.
    #[arg(value_name = "FILE", default_value = "peerage.toml")]
    file: PathBuf,

    /// The network to begin with.
    #[arg(short, long, value_name = "NETWORK", default_value = "zcash")]
    network: NetworkArg,

    /// Its chain.
    #[arg(long, default_value = "mainnet")]
    chain: String,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The file; those that `serve` would read when not given.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    over: Over,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) over: Over,

    /// By whose word each counts.
    #[arg(long)]
    pub(super) origin: bool,

    /// One JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs the command; `matches` are those of the whole command line.
pub(crate) fn run(
    args: &Args,
    matches: &ArgMatches,
    tables: &Tables,
    out: &mut Out,
) -> Result<Exit, Failed> {
    match &args.what {
        What::Init(args) => init(args, tables, out),
        What::Check(args) => check(args, tables, out),
        What::Show(args) => {
            let of_config = matches.subcommand_matches("config");
            let matches = of_config.and_then(|of_config| of_config.subcommand_matches("show"));
            show::show(args, matches, tables, out)
        }
    }
}

fn init(args: &InitArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let chains = args
        .network
        .0
        .chains(tables)
        .map_err(crate::output::usage)?;
    if !chains.iter().any(|chain| *chain.name == *args.chain) {
        let known: Vec<_> = chains.iter().map(|chain| &*chain.name).collect();
        let (network, chain) = (args.network.0.network(), &args.chain);
        let known = known.join(", ");
        return Err(misused(format!(
            "{network} has no chain {chain}; it has {known}"
        )));
    }
    let text = template(args.network, &args.chain);
    if args.file.as_os_str() == "-" {
        out.raw(&text)?;
        return Ok(Exit::Yes);
    }
    let shown = args.file.display();
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).open(&args.file);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => {
            crate::output::progress(&format!("wrote {shown}"));
            Ok(Exit::Yes)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(misused(format!(
            "{shown} exists already, and nothing is overwritten: name another file"
        ))),
        Err(error) => Err(environment(error, format!("cannot write {shown}"))),
    }
}

/// The key of nodes that name none, where the environment says so.
pub(super) fn key_file() -> Option<PathBuf> {
    super::set("PEERAGE_KEY_FILE").map(PathBuf::from)
}

/// The files as they would be served, and what they want.
fn checked(args: &CheckArgs, tables: &Tables) -> Result<(Vec<PathBuf>, Plan), Failed> {
    let over = Over {
        config: args.file.clone().or_else(|| args.over.config.clone()),
        ..args.over.clone()
    };
    let layers = layers(over.config.as_deref())?;
    let plan = from_layers(
        &over,
        &layers,
        tables,
        (Keys::Passing, key_file().as_deref()),
    )?;
    let files = layers.into_iter().map(|layer| layer.source.path);
    Ok((files.collect(), plan))
}

fn check(args: &CheckArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    match checked(args, tables) {
        Ok((files, plan)) => {
            let realms: Vec<_> = plan.nodes.iter().map(|node| node.realm()).collect();
            if args.json {
                let nodes = realms
                    .iter()
                    .map(|realm| json!({ "network": &*realm.network, "chain": &*realm.chain }));
                let nodes: Vec<_> = nodes.collect();
                out.json(
                    "config",
                    json!({ "ok": true, "files": files, "nodes": nodes }),
                )?;
            } else {
                let files: Vec<_> = files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect();
                let realms: Vec<_> = realms.iter().map(ToString::to_string).collect();
                let (files, realms) = (files.join(" and "), realms.join(", "));
                out.line(format!("{files}: no mistake; it serves {realms}"))?;
            }
            Ok(Exit::Yes)
        }
        Err(error) if args.json => {
            let place = error.cause::<Place>();
            let body = json!({
                "ok": false,
                "file": place.map(|place| &place.file),
                "line": place.map(|place| place.line),
                "column": place.map(|place| place.column),
                "message": error.to_string(),
            });
            out.json("config", body)?;
            Ok(error.exit())
        }
        Err(error) => Err(error),
    }
}

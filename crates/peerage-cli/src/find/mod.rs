//! `peerage find`: nodes of a network, as they are found.

mod ethereum;
mod seeded;

use clap::Subcommand;
use peerage::find::Report;
use peerage::{Decred, Tables, Zcash};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::output::{Exit, Failed, Out, reason_json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    network: Network,
}

#[derive(Debug, Subcommand)]
enum Network {
    /// Nodes of Ethereum's execution layer, by discovery.
    Ethereum(ethereum::Args),
    /// Nodes of Zcash, by seeds and by peers that tell of others.
    Zcash(seeded::Args),
    /// Nodes of Decred, by seeders and by peers that tell of others.
    Decred(seeded::Args),
}

pub(crate) async fn run(args: Args, tables: Tables, out: &mut Out) -> Result<Exit, Failed> {
    match args.network {
        Network::Ethereum(args) => ethereum::run(args, &tables, out).await,
        Network::Zcash(args) => seeded::run::<Zcash>(&args, &tables, out).await,
        Network::Decred(args) => seeded::run::<Decred>(&args, &tables, out).await,
    }
}

/// What a finder has asked and found.
pub(crate) fn report_json(report: &Report) -> Value {
    let seeds = report.seeds.iter().map(|seed| {
        json!({
            "seed": &*seed.seed,
            "asked": seed.asked,
            "answered": seed.answered,
            "failed": seed.failed,
            "gave": seed.gave,
            "trouble": seed.trouble.as_ref().map(reason_json),
        })
    });
    json!({
        "source": report.source.0,
        "gave": report.gave,
        "seeds": seeds.collect::<Vec<_>>(),
    })
}

async fn at_end(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

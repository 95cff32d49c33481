//! `peerage demo`: a whole small world on this machine.
//!
//! Nodes of every network live on loopback in this process, some broken on purpose. One node of ours
//! on each network finds, dials, greets and keeps them; a part of the world is cut off and comes
//! back; and what became of a broken one is told.

mod cast;
mod discovery;
mod home;
mod json;
mod ledger;
mod next;
mod ours;
mod seat;
mod seeders;
mod story;
mod table;
mod tally;
mod text;
mod world;

use std::time::Duration;

use tokio::time::Instant;

use self::story::Demo;
use crate::args::span;
use crate::output::{Exit, Failed, Out};

/// Shows a whole small world: peers found, dialled, greeted and kept, broken ones and a reason for
/// each, a part of the world cut off and back again.
///
/// Exits with 0 if every healthy peer was kept and came back, and every broken one got its right
/// reason, with 1 if not.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything happens on loopback. Exits with 0 if every healthy peer was kept and \
came back, and every broken one got its right reason, with 1 if not."
)]
pub(crate) struct Args {
    /// How long to go on, about; the stages always take the seconds they need.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = span)]
    time: Duration,

    /// One JSON object a line; the last one sums it up, network by network.
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Cancellation
/// Dropping the future closes every socket and ends every task of the world.
pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let start = Instant::now();
    let (tell, told) = ours::news();
    let world = world::start(&tell).await?;
    let voice: Box<dyn story::Voice + '_> = if args.json {
        Box::new(json::Lines::new(out))
    } else {
        Box::new(table::Table::new(out))
    };
    let mut demo = Demo::new(world, told, voice, start);
    let is_right = demo.tell(start + args.time).await?;
    Ok(if is_right { Exit::Yes } else { Exit::No })
}

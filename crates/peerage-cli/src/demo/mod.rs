//! `peerage demo`: a whole small world on this machine.
//!
//! Nodes of every network live on loopback in this process, some broken on purpose. One node of ours
//! on each network finds, dials, greets and keeps them; a part of the world is cut off and comes
//! back; others are reached through volunteers; and what became of a broken one is told.

mod cast;
mod discovery;
mod home;
mod json;
mod ledger;
mod next;
mod ours;
mod relayed;
mod seat;
mod seeders;
mod story;
mod table;
mod tally;
mod text;
#[cfg(feature = "inproxy")]
mod volunteers;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use self::story::Demo;
use crate::args::span;
use crate::output::{Exit, Failed, Out};
use crate::serve::api::{Gate, Places, Wanted};

/// How long the story goes on when nothing is said.
const STORY: Duration = Duration::from_secs(10);

/// Shows a whole small world: peers found, dialled, greeted and kept, broken ones and a reason for
/// each, a part of the world cut off and back again, a page and peers reached through volunteers.
///
/// Exits with 0 if every healthy peer was kept and came back, every broken one got its right
/// reason, and volunteers led to where they should and nowhere else, with 1 if not.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything happens on loopback. Exits with 0 if every healthy peer was kept and \
came back, every broken one got its right reason, and volunteers led to where they should and nowhere
else, with 1 if not.

With --serve or --http no story is told: the world goes on until it is interrupted, or for as long as
--for says, and programs speak with our three nodes as with `peerage serve`; docs/api.md has all
calls. The line `serving` says where."
)]
pub(crate) struct Args {
    /// How long to go on, about; the stages always take the seconds they need. 10 s when not given,
    /// and with --serve until it is interrupted.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// Serve gRPC there instead: unix:/path/to/socket, or ip:port with --token-file.
    #[arg(long, value_name = "PLACE")]
    serve: Option<String>,

    /// Serve HTTP there instead.
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,

    /// The file with the token of those who may change things over HTTP, and use gRPC over TCP.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

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
    let wanted = Wanted {
        grpc: args.serve,
        http: args.http,
        token_file: args.token_file,
    };
    let mut gate = Gate::open(&wanted).await?;
    let world = world::start(&tell, &mut gate).await?;
    let api = gate.serve();
    if let Some(at) = &api.at {
        serving(at, args.json, out)?;
        let over = args.time.map(|time| start + time);
        go_on(told, over).await;
        drop(world);
        api.stop().await;
        return Ok(Exit::Yes);
    }
    let voice: Box<dyn story::Voice + '_> = if args.json {
        Box::new(json::Lines::new(out))
    } else {
        Box::new(table::Table::new(out))
    };
    let mut demo = Demo::new(world, told, voice, start);
    let is_right = demo.tell(start + args.time.unwrap_or(STORY)).await?;
    Ok(if is_right { Exit::Yes } else { Exit::No })
}

/// Says where programs find our nodes.
fn serving(at: &Places, json: bool, out: &mut Out) -> Result<(), Failed> {
    if json {
        let body = json!({ "grpc": at.grpc, "http": at.http });
        out.json("serving", body)?;
        return Ok(());
    }
    let grpc = at.grpc.iter().map(|at| format!("gRPC at {at}"));
    let http = at.http.iter().map(|at| format!("HTTP at http://{at}"));
    let places: Vec<String> = grpc.chain(http).collect();
    out.line(format!("serving {}", places.join(" and ")))?;
    Ok(())
}

/// The world goes on until then; nobody reads the news.
async fn go_on(mut told: ours::Told, over: Option<Instant>) {
    let read = async { while told.recv().await.is_some() {} };
    match over {
        // It is over either way.
        Some(over) => drop(timeout_at(over, read).await),
        None => read.await,
    }
}

//! `peerage disc`: discovery v5, question by question.

mod client;
mod serve;
pub(crate) mod show;

use clap::Subcommand;
use peerage::Tables;

use crate::output::{Exit, Failed, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ask nodes whether they are there.
    Ping(client::PingArgs),
    /// Ask nodes for nodes at some distances from them.
    Findnode(client::FindNodeArgs),
    /// Say something to nodes in another protocol.
    Talk(client::TalkArgs),
    /// Ask for the newest record of nodes: themselves, or others if they do not answer.
    Resolve(client::ResolveArgs),
    /// Look for the nodes nearest to a target, beginning with these.
    Lookup(client::LookupArgs),
    /// Be a node of the network.
    Serve(serve::Args),
}

impl Args {
    /// Whether the command hears of an interrupt itself.
    pub(crate) const fn ends_itself(&self) -> bool {
        matches!(self.what, What::Serve(_))
    }
}

pub(crate) async fn run(args: Args, tables: Tables, out: &mut Out) -> Result<Exit, Failed> {
    match args.what {
        What::Ping(args) => client::ping(args, out).await,
        What::Findnode(args) => client::find_node(args, out).await,
        What::Talk(args) => client::talk(args, out).await,
        What::Resolve(args) => client::resolve(args, out).await,
        What::Lookup(args) => client::lookup(args, out).await,
        What::Serve(args) => serve::run(args, tables, out).await,
    }
}

//! `peerage broker`: what the operator of a broker runs.

mod stun;

use clap::Subcommand;

use crate::output::{Exit, Failed, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Answer those who want to know how their NAT behaves.
    Stun(stun::Args),
}

impl Args {
    /// Whether the command hears of an interrupt itself.
    pub(crate) const fn ends_itself(&self) -> bool {
        matches!(self.what, What::Stun(_))
    }
}

pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    match args.what {
        What::Stun(args) => stun::run(args, out).await,
    }
}

//! `peerage broker`: connections through volunteers.

#[cfg(not(feature = "inproxy"))]
mod off;
#[cfg(feature = "inproxy")]
mod relayed;
mod stun;

use clap::Subcommand;

#[cfg(not(feature = "inproxy"))]
use self::off as relayed;
use crate::output::{Exit, Failed, Out};

pub(crate) use relayed::Via;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    #[command(flatten)]
    Relayed(Box<relayed::What>),
    /// Answer those who want to know how their NAT behaves.
    Stun(stun::Args),
}

pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    match args.what {
        What::Relayed(what) => relayed::run(*what, out).await,
        What::Stun(args) => stun::run(args, out).await,
    }
}

impl Args {
    /// Whether the command hears of an interrupt itself, and is left a moment for its last figures.
    pub(crate) const fn ends_itself(&self) -> bool {
        matches!(self.what, What::Stun(_))
    }

    /// Whether it hears of an interrupt itself and ends in order, for as long as that takes.
    pub(crate) fn is_daemon(&self) -> bool {
        match &self.what {
            What::Relayed(what) => what.is_daemon(),
            What::Stun(_) => false,
        }
    }
}

//! `peerage broker`: connections through volunteers.

#[cfg(feature = "inproxy")]
mod dial;
#[cfg(feature = "inproxy")]
mod explain;
#[cfg(feature = "inproxy")]
mod invite;
#[cfg(feature = "inproxy")]
mod serve;
#[cfg(feature = "inproxy")]
mod state;
mod stun;
#[cfg(feature = "inproxy")]
mod through;
#[cfg(feature = "inproxy")]
mod volunteer;

#[cfg(feature = "inproxy")]
use std::path::PathBuf;

use clap::Subcommand;

use crate::output::{Exit, Failed, Out};

#[cfg(feature = "inproxy")]
pub(crate) use through::Via;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Introduce clients to volunteers.
    #[cfg(feature = "inproxy")]
    Serve(serve::Args),
    /// Lend this machine's connection to clients of a broker.
    #[cfg(feature = "inproxy")]
    Volunteer(volunteer::Args),
    /// Listen here, and carry every connection through volunteers.
    #[cfg(feature = "inproxy")]
    Dial(dial::Args),
    /// Ask for a volunteer once, and say what stands in the way.
    #[cfg(feature = "inproxy")]
    Explain(explain::Args),
    /// The operator's compartments: those who share one may meet.
    #[cfg(feature = "inproxy")]
    Compartments(invite::CompartmentsArgs),
    /// Write an invitation for clients, signed by the operator.
    #[cfg(feature = "inproxy")]
    Invite(invite::InviteArgs),
    /// Write a pairing link: a compartment for a volunteer and those who get the link.
    #[cfg(feature = "inproxy")]
    Pair(invite::PairArgs),
    /// Answer those who want to know how their NAT behaves.
    Stun(stun::Args),
}

/// Where a broker's operator keeps keys and compartments.
#[cfg(feature = "inproxy")]
#[derive(Debug, clap::Args)]
struct StateArgs {
    /// The operator's folder: broker.key, operator.key, compartments. Made if it is not there.
    #[arg(long, value_name = "FOLDER", env = "PEERAGE_BROKER_DIR")]
    dir: PathBuf,
}

pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    match args.what {
        #[cfg(feature = "inproxy")]
        What::Serve(args) => serve::run(args, out).await,
        #[cfg(feature = "inproxy")]
        What::Volunteer(args) => volunteer::run(args, out).await,
        #[cfg(feature = "inproxy")]
        What::Dial(args) => dial::run(args, out).await,
        #[cfg(feature = "inproxy")]
        What::Explain(args) => explain::run(args, out).await,
        #[cfg(feature = "inproxy")]
        What::Compartments(args) => invite::compartments(&args, out),
        #[cfg(feature = "inproxy")]
        What::Invite(args) => invite::invite(&args, out),
        #[cfg(feature = "inproxy")]
        What::Pair(args) => invite::pair(&args, out),
        What::Stun(args) => stun::run(args, out).await,
    }
}

impl Args {
    /// Whether the command hears of an interrupt itself, and is left a moment for its last figures.
    pub(crate) const fn ends_itself(&self) -> bool {
        matches!(self.what, What::Stun(_))
    }

    /// Whether it hears of an interrupt itself and ends in order, for as long as that takes.
    #[cfg(feature = "inproxy")]
    pub(crate) const fn is_daemon(&self) -> bool {
        matches!(
            self.what,
            What::Serve(_) | What::Volunteer(_) | What::Dial(_)
        )
    }

    /// Whether it hears of an interrupt itself and ends in order, for as long as that takes.
    #[cfg(not(feature = "inproxy"))]
    #[expect(clippy::unused_self, reason = "as with the feature inproxy")]
    pub(crate) const fn is_daemon(&self) -> bool {
        false
    }
}

//! The commands of those who introduce, carry, and are carried.

mod dial;
mod explain;
mod invite;
mod serve;
mod state;
mod through;
mod volunteer;

use std::path::PathBuf;

use clap::Subcommand;

use crate::output::{Exit, Failed, Out};

pub(crate) use through::Via;

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Introduce clients to volunteers.
    Serve(serve::Args),
    /// Lend this machine's connection to clients of a broker.
    Volunteer(volunteer::Args),
    /// Listen here, and carry every connection through volunteers.
    Dial(dial::Args),
    /// Ask for a volunteer once, and say what stands in the way.
    Explain(explain::Args),
    /// The operator's compartments: those who share one may meet.
    Compartments(invite::CompartmentsArgs),
    /// Write an invitation for clients, signed by the operator.
    Invite(invite::InviteArgs),
    /// Write a pairing link: a compartment for a volunteer and those who get the link.
    Pair(invite::PairArgs),
}

/// Where a broker's operator keeps keys and compartments.
#[derive(Debug, clap::Args)]
struct StateArgs {
    /// The operator's folder: broker.key, operator.key, compartments. Made if it is not there.
    #[arg(long, value_name = "FOLDER", env = "PEERAGE_BROKER_DIR")]
    dir: PathBuf,
}

pub(super) async fn run(what: What, out: &mut Out) -> Result<Exit, Failed> {
    match what {
        What::Serve(args) => serve::run(args, out).await,
        What::Volunteer(args) => volunteer::run(args, out).await,
        What::Dial(args) => dial::run(args, out).await,
        What::Explain(args) => explain::run(args, out).await,
        What::Compartments(args) => invite::compartments(&args, out),
        What::Invite(args) => invite::invite(&args, out),
        What::Pair(args) => invite::pair(&args, out),
    }
}

impl What {
    pub(super) const fn is_daemon(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Volunteer(_) | Self::Dial(_))
    }
}

//! `peerage decode`: bytes and addresses taken apart.

mod enode;
mod enr;
mod frame;
mod packet;

use clap::Subcommand;
use peerage::Tables;

pub(crate) use self::frame::{error_json, fields_json};
use crate::output::{Exit, Failed, Out};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One message with its envelope; on Ethereum a plain one, its id and its body.
    Frame(frame::Args),
    /// An Ethereum node's address.
    Enode(enode::Args),
    /// A node record (EIP-778): who signed it, where the node is, and which chain it follows.
    Enr(enr::Args),
    /// A packet of discovery v5: its header unmasked, its message decrypted where the key is known.
    Packet(packet::Args),
}

pub(crate) fn run(args: &Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    match &args.what {
        What::Frame(args) => frame::run(args, tables, out),
        What::Enode(args) => enode::run(args, out),
        What::Enr(args) => enr::run(args, tables, out),
        What::Packet(args) => packet::run(args, out),
    }
}

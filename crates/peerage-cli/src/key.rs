//! `peerage key`: the key of a node.

use std::path::PathBuf;

use clap::Subcommand;
use peerage::NodeKey;
use peerage::net::Target;
use serde_json::json;

use crate::output::{Exit, Failed, Out, usage};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a new key file that only its owner may read; an existing file is never overwritten.
    New(FileArgs),
    /// Show the public side of a key file; the secret is never shown.
    Show(FileArgs),
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The key file: 64 hexadecimal digits.
    #[arg(value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    file: PathBuf,

    /// Where the node is to be found: shows its Ethereum address too.
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<Target>,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    let (args, key) = match &args.what {
        What::New(args) => {
            let key = NodeKey::generate();
            key.write_new(&args.file).map_err(usage)?;
            (args, key)
        }
        What::Show(args) => (args, NodeKey::read(&args.file).map_err(usage)?),
    };
    let id = key.public_key();
    let [parity @ .., last] = id.0;
    let compressed = format!("{:02x}{}", 2 + (last & 1), hex::encode(&parity[..32]));
    let enode = args.at.as_ref().map(|at| format!("enode://{id}@{at}"));
    if args.json {
        let body = json!({
            "file": args.file,
            "public_key": compressed,
            "id": id.to_string(),
            "enode": enode,
        });
        out.json("key", body)?;
    } else {
        out.line(format!("file        {}", args.file.display()))?;
        out.line(format!("public key  {compressed}"))?;
        out.line(format!("id          {id}"))?;
        if let Some(enode) = enode {
            out.line(format!("enode       {enode}"))?;
        }
    }
    Ok(Exit::Yes)
}

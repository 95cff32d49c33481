//! `peerage key`: the key of a node.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Subcommand;
use peerage::discv5::record::{Builder, Family};
use peerage::net::Target;
use peerage::{NodeKey, Tables};
use serde_json::json;

use crate::args::{EntryArg, entry, ethereum_chain, forks_now};
use crate::disc::show::node_json;
use crate::output::{Exit, Failed, Out, misused, usage};

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
    /// Sign a node record (ENR) with the key.
    ToEnr(EnrArgs),
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

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  peerage key to-enr node.key --ip 192.0.2.1 --udp 30303 --tcp 30303 --chain mainnet")]
struct EnrArgs {
    /// The key file.
    #[arg(value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    file: PathBuf,

    /// An address of the node; once for each family.
    #[arg(long, value_name = "ADDR")]
    ip: Vec<IpAddr>,

    /// Its UDP port, for every family given.
    #[arg(long, value_name = "PORT")]
    udp: Option<u16>,

    /// Its TCP port, for every family given.
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,

    /// The sequence number: above that of the node's last record.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seq: u64,

    /// Say that the node follows this chain of Ethereum: entry eth, by today's forks.
    #[arg(long)]
    chain: Option<String>,

    /// Another entry: text, a number, or bytes as 0x…; may be given several times.
    #[arg(long = "enr", value_name = "KEY=VALUE", value_parser = entry)]
    entries: Vec<EntryArg>,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn to_enr(args: &EnrArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let key = crate::data::key_at(&args.file)?;
    let mut record = Builder::new(args.seq);
    // Ports without an address stand in the record all the same: others may tell the address.
    let mut families: Vec<_> = args.ip.iter().map(|ip| Family::of(*ip)).collect();
    if families.is_empty() {
        families.push(Family::V4);
    }
    for ip in &args.ip {
        record = record.ip(*ip);
    }
    for family in families {
        if let Some(port) = args.udp {
            record = record.udp(family, port);
        }
        if let Some(port) = args.tcp {
            record = match family {
                Family::V4 => record.tcp4(port),
                Family::V6 => record.tcp6(port),
            };
        }
    }
    for entry in &args.entries {
        let value = entry.value.as_ref();
        let value = value.ok_or_else(|| misused("--enr takes KEY=VALUE here"))?;
        record = record.string(&entry.key, value);
    }
    if let Some(chain) = &args.chain {
        let forks = forks_now(&*ethereum_chain(tables, chain)?);
        record = record.raw("eth", forks.record_entry());
    }
    let record = record.sign(&peerage::find::secret(&key)).map_err(usage)?;
    if args.json {
        out.json("enr", node_json(&record))?;
    } else {
        out.line(record.to_string())?;
    }
    Ok(Exit::Yes)
}

pub(crate) fn run(args: &Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let (args, key) = match &args.what {
        What::New(args) => {
            let key = NodeKey::generate();
            key.write_new(&args.file).map_err(usage)?;
            (args, key)
        }
        What::ToEnr(args) => return to_enr(args, tables, out),
        What::Show(args) => (args, crate::data::key_at(&args.file)?),
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

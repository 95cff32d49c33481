//! `peerage decode enr`: a node record taken apart.

use peerage::Tables;
use peerage::devp2p::fork::RecordEntryError;
use peerage::devp2p::table::NETWORK;
use peerage::devp2p::{ForkFilter, Table};
use peerage::discv5::record::{Record, Unverified};
use serde_json::{Value, json};

use crate::args::{ethereum_chain, forks_now};
use crate::output::{Exit, Failed, Out, Tone, usage};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if the record is sound and does not exclude the chain, 1 if not.

Example:
  peerage decode enr --chain mainnet enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA_yWM0xOIN1ZHCCdl8"
)]
pub(super) struct Args {
    /// The record: enr:…
    #[arg(value_name = "ENR")]
    text: String,

    /// The chain of Ethereum that its forks are compared with.
    #[arg(long, default_value = "mainnet")]
    chain: String,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let table = tables.load(NETWORK, Table::builtin).map_err(usage)?;
    let forks = forks_now(&*ethereum_chain(tables, &args.chain)?);
    let read = args.text.trim().parse::<Unverified>();
    match read.and_then(Unverified::verify) {
        Ok(record) => {
            let fit = Fit::of(&record, &table, &forks);
            if args.json {
                in_json(out, args, &record, &fit)?;
            } else {
                in_words(out, args, &record, &fit)?;
            }
            let excluded = matches!(fit, Fit::Excluded { .. });
            Ok(if excluded { Exit::No } else { Exit::Yes })
        }
        Err(error) => {
            let message = match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            if args.json {
                out.json("enr", json!({ "error": { "message": message } }))?;
            } else {
                let text = out.tone(Tone::Bad, message);
                out.line(text)?;
            }
            Ok(Exit::No)
        }
    }
}

/// What a record says about the chain of its node.
enum Fit {
    /// Nothing: it may follow any chain, or none.
    Unsaid,
    /// It follows ours, and has passed this fork last.
    Fits(String),
    /// It follows another.
    Excluded {
        why: String,
        elsewhere: Option<String>,
    },
}

impl Fit {
    fn of(record: &Record, table: &Table, forks: &ForkFilter) -> Self {
        let Some(entry) = record.raw("eth") else {
            return match record.raw("eth2") {
                Some(_) => Self::Excluded {
                    why: "it is of the consensus layer, with eth2 and no eth".into(),
                    elsewhere: None,
                },
                None => Self::Unsaid,
            };
        };
        match forks.judge_record_entry(entry) {
            Ok(standing) => Self::Fits(forks.schedule().name(standing.passed).to_owned()),
            Err(error) => {
                let elsewhere = if let RecordEntryError::Fork(error) = &error {
                    table.find_fork(error.remote().hash)
                } else {
                    None
                };
                let cause = std::error::Error::source(&error);
                Self::Excluded {
                    why: cause.map_or_else(|| error.to_string(), ToString::to_string),
                    elsewhere: elsewhere.map(|(chain, fork)| format!("{} at {fork}", chain.name)),
                }
            }
        }
    }
}

/// The entries that are shown by their own names already.
const NAMED: [&str; 8] = ["id", "ip", "ip6", "secp256k1", "tcp", "tcp6", "udp", "udp6"];

fn others(record: &Record) -> impl Iterator<Item = (String, String)> + '_ {
    let entries = record.entries();
    entries.filter_map(|(key, raw)| {
        let key = peerage::PeerText::new(key).to_string();
        let named = NAMED.contains(&&*key);
        (!named).then(|| (key, hex::encode(raw)))
    })
}

fn in_json(out: &mut Out, args: &Args, record: &Record, fit: &Fit) -> Result<(), Failed> {
    let shown = |value: Option<String>| value.map_or(Value::Null, Value::String);
    let eth = match fit {
        Fit::Unsaid => json!(null),
        Fit::Fits(fork) => json!({ "fits": true, "fork": fork }),
        Fit::Excluded { why, elsewhere } => {
            json!({ "fits": false, "why": why, "elsewhere": elsewhere })
        }
    };
    let key = record.uncompressed_public_key().map(hex::encode);
    let others: serde_json::Map<_, _> = others(record)
        .map(|(key, raw)| (key, Value::String(raw)))
        .collect();
    let body = json!({
        "seq": record.seq(),
        "node_id": record.node_id().to_string(),
        "public_key": hex::encode(record.public_key_bytes()),
        "id": key.ok(),
        "tcp4": shown(record.tcp4_endpoint().map(|at| at.to_string())),
        "tcp6": shown(record.tcp6_endpoint().map(|at| at.to_string())),
        "udp4": shown(record.udp4_endpoint().map(|at| at.to_string())),
        "udp6": shown(record.udp6_endpoint().map(|at| at.to_string())),
        "entries": others,
        "chain": args.chain,
        "eth": eth,
        "len": record.as_bytes().len(),
        "error": null,
    });
    out.json("enr", body)?;
    Ok(())
}

fn in_words(out: &mut Out, args: &Args, record: &Record, fit: &Fit) -> Result<(), Failed> {
    out.line(format!("node id     {}", record.node_id()))?;
    out.line(format!(
        "public key  {}",
        hex::encode(record.public_key_bytes())
    ))?;
    out.line(format!("sequence    {}", record.seq()))?;
    out.line(format!(
        "length      {} of at most 300 bytes",
        record.as_bytes().len()
    ))?;
    for (name, endpoint) in [
        ("tcp", record.tcp4_endpoint()),
        ("tcp6", record.tcp6_endpoint()),
        ("udp", record.udp4_endpoint()),
        ("udp6", record.udp6_endpoint()),
    ] {
        if let Some(endpoint) = endpoint {
            out.line(format!("{name:<11} {endpoint}"))?;
        }
    }
    for (key, raw) in others(record) {
        out.line(format!("{key:<11} 0x{raw}"))?;
    }
    let tcp = record.tcp4_endpoint().or_else(|| record.tcp6_endpoint());
    if let (Some(tcp), Ok(key)) = (tcp, record.uncompressed_public_key()) {
        out.line(format!("dial        enode://{}@{tcp}", hex::encode(key)))?;
    }
    let chain = &args.chain;
    let (tone, verdict) = match fit {
        Fit::Unsaid => (
            Tone::Quiet,
            "says nothing of the execution layer's chain".to_owned(),
        ),
        Fit::Fits(fork) => (Tone::Good, format!("follows {chain}, at fork {fork}")),
        Fit::Excluded { why, elsewhere } => {
            let elsewhere = elsewhere.as_ref();
            let elsewhere = elsewhere.map_or_else(String::new, |at| format!("; it is on {at}"));
            (Tone::Bad, format!("is not for {chain}: {why}{elsewhere}"))
        }
    };
    let verdict = out.tone(tone, verdict);
    out.line(format!("verdict: {verdict}"))?;
    Ok(())
}

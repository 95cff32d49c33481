//! `peerage key`: the key of a node.

use std::path::PathBuf;

use clap::Subcommand;
use peerage::NodeKey;
use secp256k1::{PublicKey, Secp256k1, SecretKey};
use serde_json::{Value, json};

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
}

#[derive(Debug, clap::Args)]
struct FileArgs {
    /// The key file: 64 hexadecimal digits.
    #[arg(value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    file: PathBuf,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    let (args, key) = match &args.what {
        What::New(args) => (args, new_key(args)?),
        What::Show(args) => (args, NodeKey::read(&args.file).map_err(usage)?),
    };
    let Some(public) = public_key(&key) else {
        return Err(misused(format!(
            "{} holds 64 digits that are no secp256k1 key; make a new one",
            args.file.display()
        )));
    };
    let compressed = hex::encode(public.serialize());
    // The 64 bytes after the tag are what an enode address shows.
    let id = hex::encode(&public.serialize_uncompressed()[1..]);
    if args.json {
        let body: Value = json!({ "file": args.file, "public_key": compressed, "id": id });
        out.json("key", body)?;
    } else {
        out.line(format!("file        {}", args.file.display()))?;
        out.line(format!("public key  {compressed}"))?;
        out.line(format!("id          {id}"))?;
    }
    Ok(Exit::Yes)
}

/// A new key in its file. Random bytes that are no secp256k1 key are drawn again.
fn new_key(args: &FileArgs) -> Result<NodeKey, Failed> {
    let key = loop {
        let key = NodeKey::generate();
        if public_key(&key).is_some() {
            break key;
        }
    };
    key.write_new(&args.file).map_err(usage)?;
    Ok(key)
}

fn public_key(key: &NodeKey) -> Option<PublicKey> {
    let secret = SecretKey::from_byte_array(*key.secret_bytes()).ok()?;
    Some(PublicKey::from_secret_key(
        &Secp256k1::signing_only(),
        &secret,
    ))
}

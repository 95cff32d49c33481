//! `peerage decode enode`: an Ethereum node's address taken apart.

use peerage::devp2p::{Enode, PublicKey};
use peerage::discv5::curve::keccak256;
use serde_json::json;

use crate::output::{Exit, Failed, Out, Tone};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if the address is sound and its key is a point of the curve, 1 if not.

Example:
  peerage decode enode enode://…@192.0.2.1:30303?discport=30301"
)]
pub(super) struct Args {
    /// The address: enode://KEY@HOST:PORT, with ?discport=N where discovery has its own port.
    #[arg(value_name = "ENODE")]
    text: String,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    let read = args
        .text
        .trim()
        .parse::<Enode>()
        .map_err(|error| error.to_string());
    let checked = read.and_then(|enode| match PublicKey::try_from(enode.id) {
        Ok(key) => Ok((enode, key)),
        Err(error) => Err(format!("its key is {error}, so nobody can have it")),
    });
    match checked {
        Ok((enode, key)) => {
            let node_id = hex::encode(keccak256(&[&enode.id.0]));
            let compressed = hex::encode(key.compressed());
            if args.json {
                let body = json!({
                    "id": enode.id.to_string(),
                    "public_key": compressed,
                    "node_id": node_id,
                    "host": enode.host.to_string(),
                    "tcp": enode.tcp_port,
                    "udp": enode.udp_port,
                    "error": null,
                });
                out.json("enode", body)?;
            } else {
                out.line(format!("id          {}", enode.id))?;
                out.line(format!("public key  {compressed}"))?;
                out.line(format!("node id     {node_id}"))?;
                out.line(format!("host        {}", enode.host))?;
                out.line(format!("tcp         {}", enode.tcp_port))?;
                let udp = match enode.udp_port {
                    0 => "0  — takes no part in discovery".into(),
                    port => port.to_string(),
                };
                out.line(format!("udp         {udp}"))?;
            }
            Ok(Exit::Yes)
        }
        Err(message) => {
            let message =
                format!("an enode address is enode://KEY@HOST:PORT, but this one {message}");
            if args.json {
                out.json("enode", json!({ "error": { "message": message } }))?;
            } else {
                let text = out.tone(Tone::Bad, message);
                out.line(text)?;
            }
            Ok(Exit::No)
        }
    }
}

//! `peerage broker explain`.

use std::collections::BTreeMap;
use std::time::Duration;

use peerage::Failure as _;
use peerage::inproxy::client::DialError;
use peerage::inproxy::matcher::Rule;
use peerage::inproxy::message::{Call, Reply, Waiting};
use peerage::net::Target;
use serde_json::json;
use tokio::time::Instant;

use super::through::ThroughArgs;
use crate::args::span;
use crate::output::{Exit, Failed, Out, reason_json};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It asks as `dial` does, so a volunteer that is free connects to the destination once. Numbers
are rounded up to multiples of 8 by the broker. Exit code: 0 if the destination was reached, 1 if not.

Example:
  peerage broker explain --via invitation.txt 192.0.2.1:8233"
)]
pub(in crate::broker) struct Args {
    #[command(flatten)]
    through: ThroughArgs,

    /// Where to.
    #[arg(value_name = "HOST:PORT")]
    to: Target,

    /// How long to wait for a volunteer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
    timeout: Duration,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let (dialer, attached) = args.through.dialer().await?;
    attached.ready().await;
    let deadline = Instant::now() + args.timeout;
    let mut waiting = None;
    let dialled = {
        let mut dialling = std::pin::pin!(dialer.dial(&args.to, deadline));
        let asking = async {
            // Whoever is matched at once does not wait, and needs no explanation.
            tokio::time::sleep(args.timeout / 2).await;
            match dialer.broker().call(&Call::Explain, deadline).await {
                Ok(Reply::Explained(list)) => list.into_iter().find(|waiting| waiting.offer),
                Ok(_) | Err(_) => None,
            }
        };
        tokio::select! {
            dialled = dialling.as_mut() => dialled,
            explained = asking => {
                waiting = explained;
                dialling.await
            }
        }
    };
    attached.close().await;
    let path = dialled.as_ref().ok().map(|channel| channel.path());
    if args.json {
        let body = json!({
            "target": args.to.to_string(),
            "ok": dialled.is_ok(),
            "volunteer": path.map(|path| path.remote.to_string()),
            "reason": dialled.as_ref().err().map(|error| reason_json(&error.reason())),
            "volunteers_waiting": waiting.map(|waiting| waiting.others),
            "compatible": waiting.map(|waiting| waiting.compatible),
            "kept_away": waiting.map(|waiting| kept_away(&waiting)),
        });
        out.json("explanation", body)?;
    } else {
        match (&dialled, path) {
            (Ok(_), Some(path)) => {
                out.line(format!("{} is reached through {}", args.to, path.remote))?;
            }
            (Err(error), _) => in_words(out, error)?,
            (Ok(_), None) => {}
        }
        if let Some(waiting) = waiting {
            let others = waiting.others;
            out.line(format!(
                "volunteers' slots that wait at the broker: up to {others}"
            ))?;
            for (rule, count) in kept_away(&waiting) {
                let meant = if rule == Rule::Versions.name() {
                    " (no transport in common)"
                } else {
                    ""
                };
                out.line(format!("  kept from us by {rule}{meant}: up to {count}"))?;
            }
            let compatible = waiting.compatible;
            out.line(format!(
                "  with a NAT that gets along with ours: up to {compatible}"
            ))?;
        }
    }
    Ok(if dialled.is_ok() { Exit::Yes } else { Exit::No })
}

fn in_words(out: &mut Out, error: &DialError) -> Result<(), Failed> {
    let reason = error.reason();
    out.line(format!("not reached: {error}"))?;
    out.line(format!("  {}", reason.advice()))?;
    Ok(())
}

fn kept_away(waiting: &Waiting) -> BTreeMap<&'static str, u32> {
    let rules = Rule::ALL.iter().zip(waiting.excluded);
    rules
        .filter(|(_, count)| *count > 0)
        .map(|(rule, count)| (rule.name(), count))
        .collect()
}

//! `peerage broker explain`.

use std::collections::BTreeMap;
use std::time::Duration;

use peerage::Failure as _;
use peerage::inproxy::OwnNetwork;
use peerage::inproxy::client::DialError;
use peerage::inproxy::matcher::Rule;
use peerage::inproxy::message::{Call, Reply, Waiting};
use peerage::inproxy::transport::TransportError;
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
    let network = attached.network().now();
    let nat = Nat::of(dialled.as_ref().err(), waiting.as_ref(), network);
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
            "nat": nat.ours,
            "nat_is_why": nat.is_why,
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
    if nat.is_why && !args.json {
        out.line(format!(
            "the reason is the NAT: ours counts as {}",
            nat.ours
        ))?;
        out.line("  only ends that get along open a path: see --nat, and `peerage doctor`")?;
    }
    Ok(if dialled.is_ok() { Exit::Yes } else { Exit::No })
}

/// What our NAT has to do with it.
struct Nat {
    /// The class that ours counts as.
    ours: &'static str,
    /// Whether it, or the other end's, is what stands in the way.
    is_why: bool,
}

impl Nat {
    fn of(error: Option<&DialError>, waiting: Option<&Waiting>, network: OwnNetwork) -> Self {
        let ours = network.nat.effective(network.mappings, network.kind);
        // A volunteer was found, and no packet of it arrived; or all who wait have another kind of NAT.
        let unopened = error.is_some_and(ends_without_path);
        let nobody = waiting.is_some_and(|waiting| {
            let by_nat = kept_away(waiting).contains_key(Rule::Nat.name());
            waiting.others > 0 && (by_nat || waiting.compatible == 0) && in_reach(waiting)
        });
        Self {
            ours: ours.class().name(),
            is_why: error.is_some() && (unopened || nobody),
        }
    }
}

/// Whether any who wait are kept away by nothing but the NAT, if at all.
fn in_reach(waiting: &Waiting) -> bool {
    let others = kept_away(waiting);
    let others = others.iter().filter(|(rule, _)| **rule != Rule::Nat.name());
    others.map(|(_, count)| *count).sum::<u32>() < waiting.others
}

fn ends_without_path(error: &DialError) -> bool {
    let mut last = error;
    while let DialError::GaveUp { last: inner, .. }
    | DialError::TimedOut {
        last: Some(inner), ..
    } = last
    {
        last = inner;
    }
    matches!(last, DialError::Path(TransportError::NoPath { .. }))
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

#[cfg(test)]
mod tests {
    use peerage::inproxy::matcher::NatType;

    use super::*;

    fn is_why(error: Option<&DialError>, waiting: Waiting) -> bool {
        Nat::of(error, Some(&waiting), OwnNetwork::default()).is_why
    }

    fn kept_away(by: Rule, count: u32, compatible: u32) -> Waiting {
        let mut waiting = Waiting {
            offer: true,
            others: 16,
            compatible,
            ..Waiting::default()
        };
        for (rule, kept) in Rule::ALL.iter().zip(&mut waiting.excluded) {
            if *rule == by {
                *kept = count;
            }
        }
        waiting
    }

    #[test]
    fn the_nat_is_named_where_it_stands_in_the_way() {
        let no_path = DialError::Path(TransportError::NoPath { tried: 2, heard: 0 });
        let gave_up = DialError::GaveUp {
            tries: 2,
            last: Box::new(no_path.clone()),
        };
        let timed_out = DialError::TimedOut {
            tries: 0,
            last: None,
        };
        let nobody = Waiting::default();
        assert!(is_why(Some(&no_path), nobody) && is_why(Some(&gave_up), nobody));
        assert!(is_why(Some(&timed_out), kept_away(Rule::Nat, 16, 0)));
        assert!(is_why(Some(&timed_out), kept_away(Rule::Geography, 8, 0)));
        // Everybody is kept away by another rule, or nobody waits, or somebody fits.
        assert!(!is_why(
            Some(&timed_out),
            kept_away(Rule::Compartment, 16, 0)
        ));
        assert!(!is_why(Some(&timed_out), nobody));
        assert!(!is_why(Some(&timed_out), kept_away(Rule::Geography, 8, 8)));
        assert!(!is_why(None, kept_away(Rule::Nat, 16, 0)));
    }

    #[test]
    fn an_unknown_nat_counts_as_the_worst() {
        let ours = |nat| {
            let network = OwnNetwork {
                nat,
                ..OwnNetwork::default()
            };
            Nat::of(None, None, network).ours
        };
        assert_eq!(ours(NatType::UNKNOWN), "strict");
        assert_eq!(ours(NatType::OPEN), "unlimited");
    }
}

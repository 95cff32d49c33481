//! `peerage broker volunteer`.

use std::path::PathBuf;
use std::time::Duration;

use peerage::Failure as _;
use peerage::inproxy::call::BrokerClient;
use peerage::inproxy::client::Where;
use peerage::inproxy::matcher::{ConnectionId, Rule as MatchRule};
use peerage::inproxy::policy::Rule;
use peerage::inproxy::proof::signer;
use peerage::inproxy::volunteer::{Event, Stopped, Volunteer, VolunteerConfig};
use peerage::inproxy::{AllowList, BrokerAddress, OUTSIDE, PartySecret};
use serde_json::{Value, json};
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;

use super::state::secret;
use super::through::{End, EndArgs, network, read_link};
use crate::args::span;
use crate::output::{Exit, Failed, Out, misused, reason_json};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Clients see this machine's address, and destinations see it in place of theirs. Addresses that
are not public are refused whatever the rules say. Exit code: 0 when it was told to stop or its bytes are
used up, 1 when the broker does not want it.

Examples:
  peerage broker volunteer --broker KEY@broker.example:8080 --key v.key --allow 0.0.0.0/0:8233
  peerage broker volunteer --pairing pairing.txt --key v.key --allow 0.0.0.0/0:1-65535 --rate 1000000"
)]
pub(in crate::broker) struct Args {
    /// The broker, as `broker serve` prints it.
    #[arg(
        long,
        value_name = "KEY@HOST:PORT",
        required_unless_present = "pairing"
    )]
    broker: Option<BrokerAddress>,

    /// A pairing link, or a file that holds it: serve those who have it, and nobody else.
    #[arg(long, value_name = "LINK|FILE", conflicts_with = "broker")]
    pairing: Option<String>,

    /// The key file, whose public half is the volunteer's id at the broker; made if it is not there.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// What clients may reach, PREFIX:PORT or PREFIX:FIRST-LAST; may be given several times.
    #[arg(long, value_name = "RULE", required = true)]
    allow: Vec<Rule>,

    /// Let the rules allow addresses that are not public: your own network, and this machine.
    #[arg(long)]
    allow_private: bool,

    /// Connections at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    connections: usize,

    /// Slots announced at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    announcing: usize,

    /// Bytes a second, both directions together.
    #[arg(long, value_name = "BYTES")]
    rate: Option<u64>,

    /// Bytes in all, after which it stops.
    #[arg(long, value_name = "BYTES")]
    total: Option<u64>,

    /// How long one announcement waits.
    #[arg(long, value_name = "TIME", default_value = "100s", value_parser = span)]
    wait: Duration,

    #[command(flatten)]
    end: EndArgs,

    /// One JSON object for each event.
    #[arg(long)]
    json: bool,
}

/// Events that wait to be shown.
const EVENTS: usize = 1024;

pub(super) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let mut pinned = None;
    let (broker, personal) = match (&args.broker, &args.pairing) {
        (Some(broker), _) => (broker.clone(), Vec::new()),
        (None, Some(link)) => {
            let linked = read_link(link, None)?;
            pinned = linked.volunteer;
            match linked.compartments {
                Where::Personal(personal) => (linked.broker, personal),
                Where::Common(_) => {
                    return Err(misused("this is an invitation; volunteers need --broker"));
                }
            }
        }
        (None, None) => return Err(misused("neither a broker nor a pairing is given")),
    };
    let key = PartySecret::new(secret(&args.key)?);
    let id = key.public();
    if pinned.is_some_and(|pinned| pinned != signer(&key).public()) {
        return Err(misused(
            "the pairing names another volunteer: this is not the key file it was made with",
        ));
    }
    let End { attached, udp } = args.end.attach(args.connections).await?;
    let config = VolunteerConfig {
        network: attached.network(),
        allow: AllowList {
            rules: args.allow.clone(),
            private: args.allow_private,
        },
        personal,
        connections: args.connections,
        announcing: args.announcing,
        bytes_per_second: args.rate,
        total_bytes: args.total,
        announce_wait: args.wait,
        ..VolunteerConfig::default()
    };
    let (sender, mut events) = mpsc::channel(EVENTS);
    let client = BrokerClient::new(broker.clone(), key, OUTSIDE);
    let volunteer = Volunteer::new(client, udp, config, sender);
    if args.json {
        out.json(
            "volunteer",
            json!({"id": id.to_string(), "broker": broker.to_string()}),
        )?;
    } else {
        out.line(format!("volunteer {id} at {}", broker.target))?;
    }
    // What is known counts from the first announcement on.
    tokio::select! {
        () = attached.ready() => {}
        _ = ctrl_c() => {
            attached.close().await;
            return Ok(Exit::Yes);
        }
    }
    network(out, &attached, args.json)?;
    let mut known = attached.network();
    let interrupted = async { drop(ctrl_c().await) };
    let mut running = std::pin::pin!(volunteer.run(interrupted));
    let stopped = loop {
        tokio::select! {
            stopped = running.as_mut() => break stopped,
            Some(event) = events.recv() => show(out, &event, args.json)?,
            () = known.changed() => network(out, &attached, args.json)?,
        }
    };
    attached.close().await;
    while let Ok(event) = events.try_recv() {
        show(out, &event, args.json)?;
    }
    match stopped {
        Stopped::Asked | Stopped::UsedUp => Ok(Exit::Yes),
        Stopped::Unwanted(error) => {
            let reason = error.reason();
            if args.json {
                out.json("unwanted", json!({"reason": reason_json(&reason)}))?;
            } else {
                out.line(format!("not wanted: {error}"))?;
            }
            Ok(Exit::No)
        }
    }
}

fn short(connection: &ConnectionId) -> String {
    hex::encode(&connection.0[..4])
}

fn show(out: &mut Out, event: &Event, as_json: bool) -> Result<(), Failed> {
    let (words, fields) = described(event);
    if as_json {
        out.json("event", fields)?;
    } else {
        out.line(words)?;
    }
    Ok(())
}

fn described(event: &Event) -> (String, Value) {
    match event {
        Event::Broker { error, again_in } => {
            let again = again_in.map(|wait| wait.as_secs());
            let then = again.map_or("not asked again".into(), |s| format!("asked again in {s}s"));
            let reason = reason_json(&error.reason());
            let fields = json!({"event": "broker", "again_s": again, "reason": reason});
            (format!("broker: {error}; {then}"), fields)
        }
        Event::NoMatch { why: None } => (
            "no client came".into(),
            json!({"event": "no_match", "clients": null}),
        ),
        Event::NoMatch { why: Some(why) } => {
            let kept = MatchRule::ALL
                .iter()
                .zip(why.excluded)
                .filter(|(_, count)| *count > 0);
            let kept: Vec<_> = kept
                .map(|(rule, count)| format!("{count} by {}", rule.name()))
                .collect();
            let kept_words = if kept.is_empty() {
                String::new()
            } else {
                format!("; kept away: {}", kept.join(", "))
            };
            let others = why.others;
            let words = format!("no client came: up to {others} wait at the broker{kept_words}");
            (
                words,
                json!({"event": "no_match", "clients": others, "kept_away": kept}),
            )
        }
        Event::Matched {
            connection,
            destination,
            personal,
        } => {
            let id = short(connection);
            let by = if *personal { " by a pairing" } else { "" };
            let fields = json!({
                "event": "matched", "connection": id, "destination": destination,
                "personal": personal,
            });
            (format!("{id} a client for {destination}{by}"), fields)
        }
        Event::Forbidden { connection, why } => {
            let id = short(connection);
            let why = why.map_or("not to be served here".into(), |why| why.to_string());
            let fields = json!({"event": "forbidden", "connection": id, "why": why});
            (format!("{id} refused: {why}"), fields)
        }
        Event::ClientGone { connection } => {
            let id = short(connection);
            let fields = json!({"event": "client_gone", "connection": id});
            (format!("{id} the client had left"), fields)
        }
        Event::NoPath { connection, error } => {
            let id = short(connection);
            let reason = reason_json(&error.reason());
            let fields = json!({"event": "no_path", "connection": id, "reason": reason});
            (format!("{id} no path to the client: {error}"), fields)
        }
        Event::NotConnected {
            connection,
            verdict,
        } => {
            let id = short(connection);
            let verdict = verdict.name();
            let fields = json!({"event": "not_connected", "connection": id, "verdict": verdict});
            (format!("{id} the destination: {verdict}"), fields)
        }
        Event::Relaying {
            connection,
            destination,
            path,
        } => {
            let id = short(connection);
            let (transport, why) = (path.transport.name(), path.choice);
            let fields = json!({
                "event": "relaying", "connection": id, "destination": destination.to_string(),
                "transport": transport, "choice": why.name(),
            });
            (
                format!("{id} relaying to {destination} by {transport}: {why}"),
                fields,
            )
        }
        Event::Ended {
            connection,
            relayed,
        } => {
            let id = short(connection);
            let end = relayed.end.name();
            let fields = json!({
                "event": "ended", "connection": id, "up": relayed.up, "down": relayed.down,
                "end": end,
            });
            (
                format!(
                    "{id} ended: {} up, {} down, {end}",
                    relayed.up, relayed.down
                ),
                fields,
            )
        }
    }
}

//! `peerage broker dial`.

use std::net::SocketAddr;

use peerage::Failure as _;
use peerage::inproxy::client::{LocalEvent, serve_socks, serve_tcp};
use peerage::inproxy::transport::End;
use peerage::net::Target;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;

use super::through::{ThroughArgs, network};
use crate::output::{Exit, Failed, Out, environment, millis, millis_json, reason_json};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Volunteers carry TCP; UDP is refused. Names are resolved by the volunteer.

Examples:
  peerage broker dial --via invitation.txt --to mainnet.seeder.zfnd.org:8233 --listen 127.0.0.1:18233
  peerage broker dial --via pairing.txt --socks --listen 127.0.0.1:1080"
)]
pub(in crate::broker) struct Args {
    #[command(flatten)]
    through: ThroughArgs,

    /// Where to listen for local programs.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Carry every connection to this destination.
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "socks")]
    to: Option<Target>,

    /// Be a SOCKS5 proxy instead, without a login: whoever reaches the port may use it.
    #[arg(long, conflicts_with = "to")]
    socks: bool,

    /// One JSON object for each event.
    #[arg(long)]
    json: bool,
}

/// Events that wait to be shown.
const EVENTS: usize = 256;

pub(super) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let (dialer, attached) = args.through.dialer().await?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| environment(error, format!("{}", args.listen)))?;
    let at = listener
        .local_addr()
        .map_err(|error| environment(error, "the listener"))?;
    if args.json {
        out.json("listening", json!({"at": at.to_string()}))?;
    } else {
        out.line(format!("listening on {at}"))?;
    }
    let (sender, mut events) = mpsc::channel(EVENTS);
    let never = std::future::pending();
    let serving = tokio::spawn(async move {
        match args.to {
            Some(to) => serve_tcp(listener, dialer, to, sender, never).await,
            None => serve_socks(listener, dialer, None, sender, never).await,
        }
    });
    let mut known = attached.network();
    let exit = loop {
        let event = tokio::select! {
            _ = ctrl_c() => break Exit::Interrupted,
            () = known.changed() => {
                network(out, &attached, args.json)?;
                continue;
            }
            event = events.recv() => event,
        };
        // It serves for ever; only a bug ends it.
        let Some(event) = event else { break Exit::No };
        let (words, fields) = described(&event);
        if args.json {
            out.json("event", fields)?;
        } else {
            out.line(words)?;
        }
    };
    serving.abort();
    attached.close().await;
    Ok(exit)
}

fn described(event: &LocalEvent) -> (String, Value) {
    match event {
        LocalEvent::Connected { target, path, took } => {
            let remote = path.remote;
            let (transport, why) = (path.transport.name(), path.choice);
            let took_text = millis(*took);
            let words = format!("{target} through {remote} by {transport} in {took_text}: {why}");
            let fields = json!({
                "event": "connected", "target": target.to_string(), "volunteer": remote.to_string(),
                "transport": transport, "choice": why.name(), "ms": millis_json(*took),
            });
            (words, fields)
        }
        LocalEvent::Failed { target, error } => {
            let reason = error.reason();
            let words = format!("{target} failed: {error}: {}", reason.advice());
            let reason = reason_json(&reason);
            let fields = json!({"event": "failed", "target": target.to_string(), "reason": reason});
            (words, fields)
        }
        LocalEvent::Ended { target, relayed } => {
            // Seen from here, the channel leads to the destination: what came through it is down.
            let end = match relayed.end {
                End::Client(_) => "volunteer_broke",
                End::Destination(_) => "program_broke",
                End::Done | End::Idle | End::UsedUp => relayed.end.name(),
            };
            let (up, down) = (relayed.down, relayed.up);
            let fields = json!({
                "event": "ended", "target": target.to_string(), "up": up, "down": down, "end": end,
            });
            (
                format!("{target} ended: {up} up, {down} down, {end}"),
                fields,
            )
        }
        LocalEvent::NotUnderstood { what } => (
            (*what).to_owned(),
            json!({"event": "not_understood", "what": what}),
        ),
    }
}

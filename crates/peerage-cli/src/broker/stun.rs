//! `peerage broker stun`: the server that surveys of NATs ask.

use std::net::SocketAddr;
use std::time::Duration;

use peerage::outside::{ResponderLimits, ServeError, StunServer};
use serde_json::json;
use tokio::signal::ctrl_c;

use crate::args::span;
use crate::output::{Exit, Failed, Out, environment, misused, progress, usage};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With two addresses, which must differ in port as well, four sockets are opened and surveys learn how
a NAT maps and filters (RFC 5780). With one, they learn only where they are seen. The addresses are
told to clients, so they are the machine's own public ones; run one server for each family.

Exit code: 0 at the end of --for, 130 when interrupted, 3 if a port cannot be had.

Examples:
  peerage broker stun --bind 192.0.2.1:3478 --bind 192.0.2.2:3479
  peerage broker stun --bind '[2001:db8::1]:3478' --bind '[2001:db8::2]:3479' --json"
)]
pub(super) struct Args {
    /// Where to listen: the address that clients are told, then the other one.
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    bind: Vec<SocketAddr>,

    /// Requests at once of each /24 or /64.
    #[arg(long, value_name = "COUNT", default_value_t = ResponderLimits::default().group.burst)]
    burst: u32,

    /// Requests a second of each /24 or /64 after that.
    #[arg(long, value_name = "COUNT", default_value_t = ResponderLimits::default().group.per_second)]
    rate: u32,

    /// Stop after this much time.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let (first, other) = match args.bind[..] {
        [first] => (first, None),
        [first, other] => (first, Some(other)),
        _ => return Err(misused("--bind is given once or twice")),
    };
    let mut limits = ResponderLimits::default();
    limits.group.burst = args.burst;
    limits.group.per_second = args.rate;
    let mut server = StunServer::bind(first, other, limits).map_err(|error| match error {
        ServeError::Bind { .. } => environment(error, "no STUN server"),
        ServeError::Sites(_) | _ => usage(error),
    })?;
    if args.json {
        let legs = server.sites().legs().iter();
        let at = legs.map(|leg| server.sites().site(*leg).to_string());
        out.json("serving", json!({ "addrs": at.collect::<Vec<_>>() }))?;
    } else {
        progress(&format!("answering at {}", server.sites()));
    }
    let end = async {
        match args.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let exit = tokio::select! {
        biased;
        _ = ctrl_c() => Exit::Interrupted,
        () = end => Exit::Yes,
        never = server.run() => match never {},
    };
    let stats = server.stats();
    let figures = [
        ("datagrams", stats.datagrams),
        ("answered", stats.answered),
        ("moved", stats.moved),
        ("refused", stats.refused),
        ("limited", stats.limited),
        ("foreign", stats.foreign),
        ("send_failed", server.send_failed()),
    ];
    if args.json {
        let figures = figures
            .iter()
            .map(|(name, figure)| ((*name).to_owned(), json!(figure)));
        out.json("metrics", serde_json::Value::Object(figures.collect()))?;
    } else {
        for (name, figure) in figures.iter().filter(|(_, figure)| *figure != 0) {
            out.line(format!("{name:<18} {figure}"))?;
        }
    }
    Ok(exit)
}

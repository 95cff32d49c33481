//! `peerage find zcash` and `peerage find decred`: seeds, and peers that tell of others.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use peerage::find::{self, Candidate, Claims, Finder, Hearsay};
use peerage::networks::{Builtin, Described, socks5};
use peerage::{Destination, Greeter, Protocol, Route, Tables};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{at_end, report_json};
use crate::args::span;
use crate::output::{Exit, Failed, Out, Tone, millis_json, misused, progress, usage};
use crate::probe::extend;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Those asked are the seeds of the chain's table, or whoever is named here instead: DNS seeds, seeders
that answer /api/addrs over HTTPS (in builds with the feature https; http:// on this machine alone),
and peers that are greeted and asked by getaddr. Each place is shown once, with who told of it; at the
end stands who was asked and what came of it. Nobody of those found is dialled.

Through a proxy no name is resolved here: DNS seeds are greeted as peers, by their names.

Exit code: 0 once --count places were found; without it, 0 if there is one when everybody asked has
answered or failed, or --for is over; else 1.

Examples:
  peerage find zcash --count 20
  peerage find zcash --chain testnet --peer zec://127.0.0.1:18233 --json
  peerage find decred --for 30s --proxy socks5h://127.0.0.1:9050"
)]
pub(crate) struct Args {
    /// The chain.
    #[arg(long, default_value = "mainnet")]
    chain: String,

    /// A peer to ask for others; may be given several times.
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<String>,

    /// A DNS seed to ask, whose addresses are peers; may be given several times.
    #[arg(long = "dns", value_name = "HOST[:PORT]")]
    dns: Vec<Box<str>>,

    /// A seeder to ask; may be given several times.
    #[arg(long = "https", value_name = "URL")]
    https: Vec<Box<str>>,

    /// Ask through this SOCKS5 proxy only: socks5h://host:port.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,

    /// Tell the peers asked nothing at all about this node.
    #[arg(long)]
    isolated: bool,

    /// Stop after this many places.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this much time, and go on asking until then.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run<N: Builtin>(
    args: &Args,
    tables: &Tables,
    out: &mut Out,
) -> Result<Exit, Failed> {
    let network = <N as Protocol>::NETWORK;
    let greeter = greeter::<N>(args, tables)?;
    let mut finders = find::seeds(&greeter).map_err(usage)?;
    if !args.peers.is_empty() {
        let targets = args.peers.iter().map(|peer| {
            let to = greeter.destination(peer);
            to.map(|to| to.target)
                .map_err(|error| misused(format!("{peer:?} cannot be asked: {error}")))
        });
        let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
        finders.push(Box::new(find::peers(&greeter, targets)));
    }
    let seeds = finders.iter().map(|finder| finder.report().seeds.len());
    let seeds: usize = seeds.sum();
    if seeds == 0 {
        return Err(misused(format!(
            "the table names nobody to ask on {network} {}: name a peer with --peer",
            args.chain
        )));
    }
    progress(&format!(
        "asking {seeds} for peers of {network} {}",
        args.chain
    ));
    let began = Instant::now();
    let deadline = args.time.map(|time| began + time);
    let mut found = 0_u64;
    while args.count.is_none_or(|count| found < count) {
        let candidate = tokio::select! {
            biased;
            candidate = next(&mut finders, args.time.is_none()) => candidate,
            () = at_end(deadline) => None,
        };
        let Some(candidate) = candidate else { break };
        found += 1;
        let dial = candidate.endpoints.first();
        let dial = dial.map(|at| N::shown(&Destination::from(*at)));
        show(args, out, &candidate, dial.as_deref(), began.elapsed())?;
    }
    tell_reports(args, out, network.0, &finders, (found, began.elapsed()))?;
    Ok(if found >= args.count.unwrap_or(1) {
        Exit::Yes
    } else {
        Exit::No
    })
}

/// Who asks, and whom: those of the table, or those named instead.
fn greeter<N: Builtin>(args: &Args, tables: &Tables) -> Result<Greeter<N>, Failed> {
    let table = tables.load(<N as Protocol>::NETWORK, <N as Protocol>::builtin_table);
    let greeter = Greeter::<N>::on(&table.map_err(usage)?, &args.chain).map_err(usage)?;
    let route = match &args.proxy {
        Some(url) => Route::Socks5(socks5(url).map_err(usage)?),
        None => Route::Direct,
    };
    let mut greeter = greeter.through(route);
    if args.isolated {
        greeter = greeter.isolated();
    }
    if !(args.peers.is_empty() && args.dns.is_empty() && args.https.is_empty()) {
        let mut chain = (*greeter.local().chain).clone();
        chain.dns_seeds.clone_from(&args.dns);
        chain.https_seeds.clone_from(&args.https);
        greeter.local_mut().chain = Arc::new(chain);
    }
    Ok(greeter)
}

/// The next candidate of any; `None` when there will be none, or, with `once`, when everybody was
/// asked and has answered or failed.
async fn next(finders: &mut [Box<dyn Finder>], once: bool) -> Option<Candidate> {
    poll_fn(|cx| {
        let mut is_over = true;
        for finder in &mut *finders {
            match finder.poll_candidate(cx) {
                Poll::Ready(Some(candidate)) => return Poll::Ready(Some(candidate)),
                Poll::Ready(None) => {}
                Poll::Pending => {
                    let report = finder.report();
                    let mut seeds = report.seeds.iter();
                    is_over &= once && seeds.all(|seed| seed.answered + seed.failed > 0);
                }
            }
        }
        if is_over {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await
}

fn show(
    args: &Args,
    out: &mut Out,
    candidate: &Candidate,
    dial: Option<&str>,
    took: Duration,
) -> Result<(), Failed> {
    let says = if let Claims::Hearsay(says) = &candidate.claims {
        *says
    } else {
        Hearsay::default()
    };
    let told_by = candidate.told_by.as_deref().unwrap_or("-");
    let source = candidate.source.0;
    if args.json {
        let addr = candidate.endpoints.first().map(ToString::to_string);
        let body = json!({
            "at_ms": millis_json(took),
            "network": candidate.network.0,
            "chain": args.chain,
            "source": source,
            "told_by": told_by,
            "addr": addr,
            "dial": dial,
            "services": says.services.map(|bits| format!("{bits:#x}")),
            "protocol_version": says.protocol_version,
            "last_seen": says.last_seen.map(|at| at.0),
        });
        out.json("candidate", body)?;
        return Ok(());
    }
    let mark = out.tone(Tone::Good, format!("{:8.3} s", took.as_secs_f64()));
    let mut words = String::new();
    if let Some(bits) = says.services {
        words += &format!("  services {bits:#x}");
    }
    if let Some(at) = says.last_seen {
        words += &format!("  seen {at}");
    }
    let dial = dial.unwrap_or("-");
    out.line(format!("{mark}  {source}  {told_by}  {dial}{words}"))?;
    Ok(())
}

/// Who was asked, and what came of it.
fn tell_reports(
    args: &Args,
    out: &mut Out,
    network: &str,
    finders: &[Box<dyn Finder>],
    (found, took): (u64, Duration),
) -> Result<(), Failed> {
    let reports: Vec<_> = finders.iter().map(|finder| finder.report()).collect();
    if args.json {
        let mut body = json!({
            "network": network,
            "chain": args.chain,
            "count": found,
            "took_ms": millis_json(took),
        });
        let finders: Vec<Value> = reports.iter().map(report_json).collect();
        extend(&mut body, Some(json!({ "finders": finders })));
        out.json("found", body)?;
        return Ok(());
    }
    for report in &reports {
        for seed in &report.seeds {
            let (source, name, gave) = (report.source.0, &seed.seed, seed.gave);
            let came = match &seed.trouble {
                Some(reason) => format!("{reason}\n  → {}", reason.advice()),
                None if seed.answered == 0 => "had not answered yet".to_owned(),
                None => format!("told of {gave}"),
            };
            progress(&format!("{source}  {name}  {came}"));
        }
    }
    progress(&format!("{found} found in {:.1} s", took.as_secs_f64()));
    Ok(())
}

//! `peerage broker serve`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use peerage::inproxy::broker::{
    Broker, BrokerConfig, Control, PostError, Report, ReportsUrl, post,
};
use peerage::inproxy::matcher::{Country, NatRule, Rate};
use peerage::inproxy::{ActiveList, OUTSIDE, SignerKey, SignerSecret, StaticTable};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::StateArgs;
use super::state::{State, list_of, read_list};
use crate::output::{Exit, Failed, Out, complain, environment, misused, progress, usage};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Sessions are sealed, so plain HTTP is enough; whoever watches sees that a broker is used.
Numbers at /metrics are rounded. Exit code: 0 when it was told to stop and every held call was answered.

Example:
  peerage broker serve --dir op --listen 0.0.0.0:8080 --tag zcash --reports reports.jsonl"
)]
pub(in crate::broker) struct Args {
    #[command(flatten)]
    state: StateArgs,

    /// Where to listen for HTTP.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// A tag of destination entries to serve; may be given several times.
    #[arg(long = "tag", value_name = "TAG", default_value = "default")]
    tags: Vec<String>,

    /// Another key whose destination entries are taken, besides the operator's; may be given several
    /// times.
    #[arg(long = "signer", value_name = "KEY")]
    signers: Vec<SignerKey>,

    /// Where addresses are: a file of lines `prefix country asn`.
    #[arg(long, value_name = "FILE")]
    places: Option<PathBuf>,

    /// Where addresses are: a MaxMind file of countries or networks; may be given twice.
    #[cfg(feature = "maxmind")]
    #[arg(long, value_name = "FILE", conflicts_with = "places")]
    maxmind: Vec<PathBuf>,

    /// Do not admit volunteers of this country, two letters; may be given several times.
    #[arg(long = "refuse-country", value_name = "CODE", value_parser = country)]
    refused: Vec<Country>,

    /// Never introduce two whose NATs are unlikely to let them meet. They wait for somebody better,
    /// and `broker explain` says so.
    #[arg(long)]
    require_nat: bool,

    /// How many offers one address may make a minute, half of them at once. Those behind one NAT share
    /// an address.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 120,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    offers_per_minute: u32,

    /// Append a signed record of each introduction to this file, a line of JSON each; or post them to an
    /// http:// URL, up to 64 lines at a time. What is not taken after 4 tries is lost and told.
    #[arg(long, value_name = "FILE|URL")]
    reports: Option<String>,

    /// Let session descriptions name loopback and private addresses. Only for tests on one host: it
    /// lets strangers point volunteers and clients into their own networks.
    #[arg(long)]
    loopback_for_tests: bool,

    /// One JSON object when it listens.
    #[arg(long)]
    json: bool,
}

fn country(text: &str) -> Result<Country, String> {
    let letters = text.as_bytes().try_into().ok();
    letters
        .and_then(Country::new)
        .ok_or_else(|| "a country is two letters".into())
}

pub(super) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let state = State::open(&args.state.dir)?;
    let key = state.broker.public();
    let mut config = BrokerConfig::new(state.broker);
    config.compartments = state.compartments;
    let mut signers: BTreeSet<_> = args.signers.iter().copied().collect();
    signers.insert(state.operator.public());
    config.destinations = ActiveList {
        signers,
        tags: args.tags.iter().cloned().collect(),
    };
    if args.require_nat {
        config.matcher.extras.nat = NatRule::Require;
    }
    config.matcher.extras.refused_countries = args.refused.iter().copied().collect();
    if let Some(offers) = &mut config.matcher.extras.offer_limits {
        offers.rate = Some(Rate {
            per_minute: args.offers_per_minute,
            burst: (args.offers_per_minute / 2).max(1),
        });
        // Those that wait are a part of them; by default a quarter.
        offers.entries = offers.entries.max(args.offers_per_minute / 4);
    }
    if let Some(path) = &args.places {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| usage(error).within(shown.clone()))?;
        let table = StaticTable::parse(&text).map_err(|error| usage(error).within(shown))?;
        config.geography = Arc::new(table);
    }
    #[cfg(feature = "maxmind")]
    if !args.maxmind.is_empty() {
        let paths: Vec<_> = args.maxmind.iter().map(PathBuf::as_path).collect();
        let files = peerage::inproxy::geography::MaxMind::open(&paths).map_err(usage)?;
        config.geography = Arc::new(files);
    }
    config.loopback = args.loopback_for_tests;
    if args.loopback_for_tests {
        complain(
            "WARNING: loopback and private addresses are passed on. Strangers can point volunteers \
             and clients into their own networks. Never run a public broker like this.",
        );
    }
    if !args.refused.is_empty() && args.places.is_none() && !has_maxmind(&args) {
        return Err(misused(
            "countries can only be refused where addresses can be located: --places",
        ));
    }
    let writing = match &args.reports {
        Some(to) => Some(reports(to, state.operator, &mut config)?),
        None => None,
    };
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| environment(error, format!("{}", args.listen)))?;
    let at = listener
        .local_addr()
        .map_err(|error| environment(error, "the listener"))?;
    let broker = Broker::new(config, OUTSIDE).map_err(usage)?;
    if args.json {
        out.json(
            "broker",
            json!({"listen": at.to_string(), "key": key.to_string()}),
        )?;
    } else {
        out.line(format!("{key}@{at}"))?;
    }
    let interrupted = async { drop(ctrl_c().await) };
    let following = follow(broker.control(), list_of(&args.state.dir));
    let served = tokio::select! {
        served = broker.serve(listener, interrupted) => served,
        never = following => never,
    };
    served.map_err(|error| environment(error, "the listener"))?;
    if let Some(writing) = writing {
        // The last records are written before we go, unless nobody takes them.
        let _ = timeout(LAST_REPORTS, writing).await;
    }
    Ok(Exit::Yes)
}

#[cfg(feature = "maxmind")]
const fn has_maxmind(args: &Args) -> bool {
    !args.maxmind.is_empty()
}

#[cfg(not(feature = "maxmind"))]
const fn has_maxmind(_: &Args) -> bool {
    false
}

/// How often the list of compartments is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes up the list of compartments whenever its file has changed. One that cannot be read changes
/// nothing.
async fn follow<R>(control: Control, path: PathBuf) -> R {
    let changed_at = || {
        std::fs::metadata(&path)
            .and_then(|file| file.modified())
            .ok()
    };
    let mut last = changed_at();
    loop {
        sleep(LOOK_EVERY).await;
        let now = changed_at();
        if now.is_none() || now == last {
            continue;
        }
        last = now;
        match read_list(&path) {
            Ok(list) => {
                let active = list.active().count();
                control.set_compartments(list);
                progress(&format!(
                    "the list of compartments has changed: {active} are active"
                ));
            }
            Err(failed) => complain(&format!(
                "the list of compartments stays as it was: {failed}"
            )),
        }
    }
}

/// Records that wait to be written; more are lost and counted in the metrics.
const REPORTS: usize = 1024;

/// How long the last records may take when the broker has stopped.
const LAST_REPORTS: Duration = Duration::from_secs(15);

fn reports(
    to: &str,
    signer: SignerSecret,
    config: &mut BrokerConfig,
) -> Result<tokio::task::JoinHandle<()>, Failed> {
    let (sender, mut received) = mpsc::channel::<Report>(REPORTS);
    config.reports = Some(sender);
    let shown = to.to_owned();
    if to.contains("://") {
        let url: ReportsUrl = to.parse().map_err(usage)?;
        return Ok(tokio::spawn(async move {
            let lost = |count, error: &PostError| {
                complain(&format!("{shown}: {count} records are lost: {error}"));
            };
            post(&url, &signer, received, lost).await;
        }));
    }
    let file = OpenOptions::new().create(true).append(true).open(to);
    let mut file = file.map_err(|error| environment(error, shown.clone()))?;
    Ok(tokio::task::spawn_blocking(move || {
        while let Some(report) = received.blocking_recv() {
            if let Err(error) = writeln!(file, "{}", report.to_json(&signer)) {
                complain(&format!("{shown}: {error}"));
            }
        }
    }))
}

//! `peerage serve`: nodes that find and keep peers, in the foreground.

pub(crate) mod api;
mod config;
mod level;
mod notify;
mod plan;
mod reload;
pub(crate) mod settings;
mod show;
mod start;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use peerage::Tables;
use peerage::discv5::Record;
use peerage::node::store::Store;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use self::api::Gate;
use self::level::Level;
use self::notify::Watchdog;
use self::plan::{Keys, NodePlan, plan};
use self::settings::Over;
use self::show::Log;
use self::start::{Running, Told, start};
use crate::args::{NetworkArg, NodeArgs, record, span};
use crate::data;
use crate::doctor::truth::{self, TruthArgs};
use crate::output::{Exit, Failed, Out, environment, misused};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Its log goes to stderr, each failed attempt only with -v; with --json everything that happens is
told on stdout as well, an object each: listening, external, api, established, closed, failed,
misbehaved, incompatible, stalled, status, trouble, reloaded, reload_failed, restart_needed, stopping,
stopped.

Without NETWORK the configuration says which networks; `peerage config init` writes one with every
key in it, `config check` finds mistakes, `config show --origin` says what counts and why. It has a [[node]] for each network and chain:

  data = \"/var/lib/peerage\"
  status = \"30s\"

  [[node]]
  network = \"zcash\"
  chain = \"mainnet\"
  listen = [\"0.0.0.0:8233\"]
  static = [\"zec://node.example.org\"]
  bans = [\"192.0.2.0/24\", { of = \"198.51.100.7\", for = \"24h\", why = \"spam\" }]
  limits = { inbound = 125, outbound = 75 }
  seeds = { table = true, dns = [], https = [], peers = [] }

  [api]
  grpc = \"unix:/run/peerage/api.sock\"
  http = \"127.0.0.1:9910\"
  token_file = \"/etc/peerage/token\"

  [[node]]
  network = \"ethereum\"
  chain = \"hoodi\"
  head = \"22000000\"
  discovery = { bind = [\"0.0.0.0:30303\"], boot = [\"enr:…\"] }
  outside = { external = [\"198.51.100.7\"], stun = [\"stun.example.org\"], map_ports = true }

Beside these a node takes trusted, key, proxy, isolated, services, height, capabilities, ping
and local. A node that names no key has that of --key, else that of the data directory. Static and
trusted peers and bans are put into the book at the start; leaving one out of the file does not take
it out of the book: `peerage book remove` and `unban` do.

Programs speak with it over gRPC, on a unix socket of its owner or over TCP with the token, and over
HTTP, which reads without a token on loopback and changes with it: docs/api.md has all calls.

SIGHUP reads the configuration and the tables again. Limits, bans, static and trusted peers, tables,
what is claimed, the log and status change at once and no peer who still fits is lost; what needs a
restart is named; a file with a mistake changes nothing.

The first interrupt says goodbye to all peers and writes the book; a second one ends it at once.
Exit code: 0 at the end of --for or on SIGTERM, 130 when interrupted, 2 for a mistake in the
configuration, 3 if a port or the data directory cannot be had.

Examples:
  peerage serve
  peerage serve --config peerage.toml
  peerage serve zcash --json
  peerage serve zcash --chain regtest --listen 127.0.0.1:0 --peer 127.0.0.1:18344 --data ./data"
)]
pub(crate) struct Args {
    /// The network, where one is enough.
    #[arg(value_name = "NETWORK", conflicts_with = "config")]
    network: Option<NetworkArg>,

    #[command(flatten)]
    over: Over,

    #[command(flatten)]
    node: NodeArgs,

    /// Where to listen; may be given several times. The chain's customary port on every IPv4
    /// interface when not given, and nowhere through a proxy.
    #[arg(long, value_name = "ADDR:PORT", requires = "network")]
    listen: Vec<SocketAddr>,

    /// Listen nowhere.
    #[arg(long, conflicts_with = "listen", requires = "network")]
    no_listen: bool,

    /// A peer to be connected to always; may be given several times.
    #[arg(long = "peer", value_name = "PEER", requires = "network")]
    peers: Vec<String>,

    /// The same, and no automatic ban concerns it.
    #[arg(long, value_name = "PEER", requires = "network")]
    trusted: Vec<String>,

    /// The most peers that dialled us.
    #[arg(long = "max-in", value_name = "N", requires = "network")]
    inbound: Option<u16>,

    /// The most peers that we dial.
    #[arg(long = "max-out", value_name = "N", requires = "network")]
    outbound: Option<u16>,

    /// How often a peer is pinged, from 5s on, where that is more often than is customary: every
    /// 15 s on Ethereum, 59 s on Zcash, 107 s on Decred.
    #[arg(long, value_name = "TIME", value_parser = often, requires = "network")]
    ping: Option<Duration>,

    /// Dial through this SOCKS5 proxy only: socks5h://host:port.
    #[arg(long, value_name = "URL", requires = "network")]
    proxy: Option<String>,

    #[command(flatten)]
    through: crate::broker::Via,

    /// Believe strangers who tell of local addresses, as on a test network; so it is without this
    /// where all listeners are on the loopback interface.
    #[arg(long, requires = "network")]
    local: bool,

    /// Do not ask the seeds of the chain's table.
    #[arg(long, requires = "network")]
    no_seeds: bool,

    /// A peer to ask for others at the beginning; may be given several times.
    #[arg(long = "seed-peer", value_name = "PEER", requires = "network")]
    ask: Vec<String>,

    /// Where discovery listens, once for each family; as the listeners when not given.
    #[arg(long, value_name = "ADDR:PORT", requires = "network")]
    discovery: Vec<SocketAddr>,

    /// A node that discovery asks first; may be given several times. Those of the chain's table
    /// when not given.
    #[arg(long = "bootnode", value_name = "ENR", value_parser = record, requires = "network")]
    boot: Vec<Record>,

    /// Look for nobody by discovery.
    #[arg(long, conflicts_with_all = ["discovery", "boot"], requires = "network")]
    no_discovery: bool,

    #[command(flatten)]
    truth: TruthArgs,

    /// Stop after this much time.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The shortest time from one ping to the next: what answers more often takes it for a flood.
const OFTEN: Duration = Duration::from_secs(5);

/// A span of time from one ping to the next.
fn often(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span < OFTEN {
        let most = OFTEN.as_secs();
        return Err(format!(
            "a ping every {text} is a flood: at most one every {most}s"
        ));
    }
    Ok(span)
}

/// What happens waits here for stdout; beyond, nodes read less from their peers.
const WAITING: usize = 256;

/// How long the last changes may take to reach the disk.
const LAST_WRITE: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: Args, tables: Tables, out: &mut Out) -> Result<Exit, Failed> {
    let says_which = args.node.is_any_given() || args.truth.is_any_given();
    if args.network.is_none() && says_which {
        return Err(misused(
            "the configuration says which node this is: write the chain, the key, where it is and \
             the rest there, or name a NETWORK",
        ));
    }
    if args.network.is_none() && args.through.is_given() {
        return Err(misused(
            "the configuration says how each node dials: --via goes with NETWORK",
        ));
    }
    let mut plan = plan(&args, &tables, Keys::Lasting)?;
    let mut log = Log {
        out,
        json: args.json,
        level: level(plan.level, args.json),
        format: plan.format,
        journal: notify::is_journal(),
    };
    let mut signals = Signals::new()
        .map_err(|error| environment(error, "cannot be told of the signals that end it"))?;
    let store = Arc::new(data::open(&plan.data)?);
    let served: Vec<_> = plan.nodes.iter().map(NodePlan::realm).collect();
    data::cut_sessions(&store, &served)?;
    let mut gate = Gate::open(&plan.api).await?;
    let (tell, mut told) = mpsc::channel(WAITING);
    let mut nodes = Vec::new();
    for (number, of) in plan.nodes.iter().enumerate() {
        let ends = (tell.clone(), &mut gate);
        nodes.push(start(of, number, &plan.data, &store, ends).await?);
    }
    // The nodes alone tell now: when all have stopped, there is nothing more.
    drop(tell);
    for node in &nodes {
        log.listening(node)?;
    }
    let mut truths = Vec::new();
    remember(&mut log, &plan.data, &nodes, &mut truths)?;
    let api = gate.serve();
    if let Some(at) = &api.at {
        log.api(at)?;
    }
    let mut figures = every(plan.status);
    let mut watchdog = Watchdog::new();
    notify::ready("serving");
    let deadline = args.time.map(|time| Instant::now() + time);
    let exit = loop {
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::End(exit) => break exit,
                Signal::Reload => {
                    notify::reloading();
                    let told = reload::reload(&mut plan, &mut nodes, &args, &tables).await;
                    log.level = level(plan.level, args.json);
                    log.format = plan.format;
                    reload::tell(&mut log, &told)?;
                    if figures.period() != plan.status {
                        figures = every(plan.status);
                    }
                    match told {
                        Ok(_) => notify::ready("serving, with the configuration read again"),
                        Err(error) => notify::ready(&format!("serving as before: {error}")),
                    }
                }
            },
            () = any_tells_otherwise(&nodes) => {
                for node in &mut nodes {
                    node.follow().await;
                }
                remember(&mut log, &plan.data, &nodes, &mut truths)?;
            }
            () = at(deadline) => break Exit::Yes,
            () = watchdog.due() => watchdog.prove(&nodes).await,
            _ = figures.tick() => tell_figures(&mut log, &nodes).await?,
            event = told.recv() => match event {
                Some((number, event)) => tell_event(&mut log, &nodes, number, &event)?,
                None => break Exit::Environment,
            },
        }
    };
    notify::stopping();
    log.says("stopping", "saying goodbye")?;
    stop(&mut log, &nodes, &mut told, &mut signals).await?;
    api.stop().await;
    drop(nodes);
    truth::forget(&plan.data);
    let written = finish(store).await;
    log.says("stopped", "all is written")?;
    written.map(|()| exit)
}

/// The level of the log. Whoever reads the data on stdout has no need to read everything twice.
fn level(wanted: Option<Level>, json: bool) -> Level {
    wanted.unwrap_or(if json { Level::Warn } else { Level::Info })
}

/// Ticks this often, the first time after so long.
fn every(span: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + span, span);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits until any node tells something else of itself.
async fn any_tells_otherwise(nodes: &[Running]) {
    let mut waits: Vec<_> = nodes
        .iter()
        .map(|node| Box::pin(node.told_otherwise()))
        .collect();
    std::future::poll_fn(|context| {
        let is_news = waits
            .iter_mut()
            .any(|wait| wait.as_mut().poll(context).is_ready());
        if is_news {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Tells what the nodes tell of themselves, where it is other than the last time, and leaves it for
/// `why --self`.
fn remember(
    log: &mut Log<'_>,
    folder: &Path,
    nodes: &[Running],
    last: &mut Vec<truth::Line>,
) -> Result<(), Failed> {
    let mut all = Vec::new();
    for node in nodes {
        if let Some(told) = node.told() {
            let (words, body) = (truth::told_words(&told), truth::told_json(&told));
            let line = (node.realm.to_string(), body, words);
            if !last.contains(&line) {
                log.external(&node.realm, &told)?;
            }
            all.push(line);
        }
    }
    if all == *last {
        return Ok(());
    }
    let written = truth::remember(folder, data::now().wall, &all);
    *last = all;
    match written {
        Ok(()) => Ok(()),
        // A full disk ends no daemon; it is written again with the next change.
        Err(error) => {
            let words = error.to_string();
            log.line(None, "trouble", &words, json!({ "self": words }))
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn tell_figures(log: &mut Log<'_>, nodes: &[Running]) -> Result<(), Failed> {
    let mut words = Vec::new();
    for node in nodes {
        if let Some(overview) = node.figures().await {
            log.status(&node.realm, &overview)?;
            let [active_in, active_out] = overview.peers.active;
            words.push(format!("{}: {active_in} in, {active_out} out", node.realm));
        }
    }
    notify::status(&words.join("; "));
    Ok(())
}

fn tell_event(
    log: &mut Log<'_>,
    nodes: &[Running],
    number: usize,
    event: &Told,
) -> Result<(), Failed> {
    match nodes.get(number) {
        Some(node) => log.told(&node.realm, event),
        None => Ok(()),
    }
}

/// Stops all nodes at once and tells what happens meanwhile; another signal ends the wait.
async fn stop(
    log: &mut Log<'_>,
    nodes: &[Running],
    told: &mut mpsc::Receiver<(usize, Told)>,
    signals: &mut Signals,
) -> Result<(), Failed> {
    let all = async {
        for node in nodes {
            node.stop().await;
        }
    };
    let mut all = std::pin::pin!(all);
    let (mut stopping, mut telling) = (true, true);
    while stopping || telling {
        tokio::select! {
            biased;
            _ = signals.end() => break,
            () = &mut all, if stopping => stopping = false,
            event = told.recv(), if telling => match event {
                Some((number, event)) => tell_event(log, nodes, number, &event)?,
                None => telling = false,
            },
        }
    }
    Ok(())
}

/// Writes what is left and lets go of the data directory.
async fn finish(store: Arc<Store>) -> Result<(), Failed> {
    let written = tokio::task::spawn_blocking(move || {
        store.flush(LAST_WRITE)?;
        match Arc::try_unwrap(store) {
            Ok(store) => store.close(),
            // A node still lets go of it, with nothing more to write.
            Err(_) => Ok(()),
        }
    });
    let written = written.await;
    let written = written.map_err(|error| environment(error, "cannot write the book"))?;
    written.map_err(|error| environment(error, "cannot write the book"))
}

/// What a signal asks for.
enum Signal {
    End(Exit),
    Reload,
}

/// The signals that a daemon hears.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    /// Held so that nobody dies of it: the store says that a file may not grow.
    #[cfg(unix)]
    _file_size: tokio::signal::unix::Signal,
}

/// The signal of a file beyond the limit of its process. This number on every Unix that Rust runs on
/// but Linux on MIPS, where it tells of a process that goes on.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

impl Signals {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            hangup: signal(SignalKind::hangup())?,
            #[cfg(unix)]
            _file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for one. Cancelling it loses none.
    async fn next(&mut self) -> Signal {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => Signal::End(Exit::Interrupted),
            _ = self.terminate.recv() => Signal::End(Exit::Yes),
            _ = self.hangup.recv() => Signal::Reload,
        }
        #[cfg(not(unix))]
        {
            drop(tokio::signal::ctrl_c().await);
            Signal::End(Exit::Interrupted)
        }
    }

    /// Waits for one that ends the daemon.
    async fn end(&mut self) -> Exit {
        loop {
            if let Signal::End(exit) = self.next().await {
                return exit;
            }
        }
    }
}

//! `peerage listen`: greets inbound peers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerage::net::Listener;
use peerage::networks::{AnyNode, PeerFacts, SetupError};
use peerage::{Failure, Reason, Route, Tables};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::args::{NetworkArg, NodeArgs, span};
use crate::output::{
    Exit, Failed, Out, Tone, complain, environment, millis, misused, progress, reason_json, usage,
};
use crate::probe::{extend, facts_json, why};
use crate::trouble;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGHUP reads the tables again: a new fork or minimum version counts from the next handshake, and
a table with an error leaves the old one in force.

Exit code: 0 once --count peers were greeted, or at the end of --for without --count; 1 if the
time ran out before.

Examples:
  peerage listen zcash
  peerage listen ethereum --chain hoodi --key node.key --capability eth/69
  peerage listen decred --chain simnet --bind 127.0.0.1:18555 --services 1 --for 10m"
)]
pub(crate) struct Args {
    /// The network.
    #[arg(value_name = "NETWORK")]
    network: NetworkArg,

    #[command(flatten)]
    node: NodeArgs,

    /// Where to listen; the chain's customary port on every interface when not given.
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Option<SocketAddr>,

    /// Stop after this many greeted peers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this much time.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// The longest one handshake may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    timeout: Duration,

    /// The most connections at once; more wait in the system's own queue.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u32).range(1..=4096))]
    max_peers: u32,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How long the last of --count peers may stay to finish its own ping, in seconds.
const LINGER: Duration = Duration::from_secs(1);

/// What becomes of inbound connections.
enum Event {
    Greeted(PeerFacts),
    Refused { addr: String, reason: Reason },
    Left { addr: String, reason: Reason },
}

pub(crate) async fn run(args: Args, tables: Tables, out: &mut Out) -> Result<Exit, Failed> {
    let setup = args.node.setup(&tables, Route::Direct)?;
    let mut node = args.network.0.node(&setup).map_err(usage)?;
    let bind = args
        .bind
        .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], node.port())));
    let listener = Listener::bind(bind).map_err(|error| trouble::listening(bind, error))?;
    let local = listener
        .local_endpoint()
        .map_err(|error| environment(error, "cannot tell where we listen"))?;
    if args.node.isolated && node.found_at(local).key.is_some() {
        let network = node.network();
        return Err(misused(format!(
            "an isolated node on {network} has a fresh key on every connection, and nobody can dial \
             a key that nobody knows: leave --isolated out"
        )));
    }
    node.set_listen_addr(Some(local).filter(peerage::Endpoint::is_dialable));
    if args.json {
        let (network, chain) = (node.network().0, node.chain());
        let body = json!({
            "network": network,
            "chain": chain,
            "addr": local.to_string(),
            "address": args.network.0.shown(&node.found_at(local)),
        });
        out.json("listening", body)?;
    } else {
        progress(&format!(
            "listening for {} {} at {}",
            node.network(),
            node.chain(),
            args.network.0.shown(&node.found_at(local))
        ));
    }

    let deadline = args.time.map(|time| Instant::now() + time);
    // Room for one event of each connection; a full queue holds connections up, not memory.
    let (events_in, mut events) = mpsc::channel(64);
    let (anew, node) = watch::channel(Arc::from(node));
    let accepting = accept_loop(listener, node, &args, events_in);
    let mut accepting = std::pin::pin!(accepting);
    let mut hangups = Hangups::new()
        .map_err(|error| environment(error, "cannot be told of the hangup signal"))?;
    let (mut greeted, mut here) = (0_u64, 0_u64);
    let mut lingering = None;
    loop {
        let event = tokio::select! {
            biased;
            () = hangups.next() => {
                let reread = args.network.0.node(&setup).map(|mut node| {
                    node.set_listen_addr(Some(local).filter(peerage::Endpoint::is_dialable));
                    anew.send_replace(Arc::from(node));
                });
                show_tables(out, reread, args.json)?;
                continue;
            }
            event = events.recv() => event,
            () = &mut accepting => None,
            () = at(lingering.or(deadline)) => None,
        };
        let enough = args.count.is_some_and(|count| greeted >= count);
        let Some(event) = event else {
            return Ok(if enough || args.count.is_none() {
                Exit::Yes
            } else {
                Exit::No
            });
        };
        match event {
            Event::Greeted(_) => (greeted, here) = (greeted + 1, here + 1),
            Event::Left { .. } => here -= 1,
            Event::Refused { .. } => {}
        }
        show(out, &event, args.json)?;
        if args.count.is_some_and(|count| greeted >= count) {
            if here == 0 {
                return Ok(Exit::Yes);
            }
            lingering.get_or_insert(Instant::now() + LINGER);
        }
    }
}

/// Says whether the tables could be read again.
fn show_tables(out: &mut Out, reread: Result<(), SetupError>, json: bool) -> Result<(), Failed> {
    let failure = reread.err().map(|error| error.reason());
    if json {
        let reason = failure.as_ref().map(reason_json);
        out.json(
            "tables",
            json!({ "ok": reason.is_none(), "reason": reason }),
        )?;
    } else {
        match failure {
            None => progress("the tables were read again"),
            Some(reason) => complain(&format!("the old tables stay: {}", reason.message)),
        }
    }
    Ok(())
}

/// The signals that ask for the tables to be read again.
struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        })
    }

    /// The next one. Cancelling it loses none.
    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Accepts for ever. Every connection lives in a task of a set that is dropped with this future.
async fn accept_loop(
    listener: Listener,
    node: watch::Receiver<Arc<dyn AnyNode>>,
    args: &Args,
    events: mpsc::Sender<Event>,
) {
    /// How long to wait when the system refuses a connection, out of descriptors for instance.
    const PAUSE: Duration = Duration::from_millis(100);

    let slots = Arc::new(Semaphore::new(args.max_peers as usize));
    let timeout = args.timeout;
    let mut tasks = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                complain(&format!("cannot accept a connection: {error}"));
                sleep(PAUSE).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        let (node, events) = (node.borrow().clone(), events.clone());
        tasks.spawn(async move {
            let _slot = slot;
            let addr = connection.addr.to_string();
            let last = converse(&*node, connection, timeout, &events, addr).await;
            // Nobody listens any more when the command ends.
            drop(events.send(last).await);
        });
    }
}

/// Greets one peer, measures the round trip, and stays with it until it leaves.
async fn converse(
    node: &dyn AnyNode,
    connection: peerage::net::Connection<tokio::net::TcpStream>,
    timeout: Duration,
    events: &mpsc::Sender<Event>,
    addr: String,
) -> Event {
    let mut peer = match node.greet(connection, Instant::now() + timeout).await {
        Ok(peer) => peer,
        Err(reason) => return Event::Refused { addr, reason },
    };
    let pinged = peer.ping(timeout).await;
    drop(events.send(Event::Greeted(peer.facts().clone())).await);
    let reason = match pinged {
        Ok(_) => peer.serve_pings().await,
        Err(reason) => reason,
    };
    Event::Left { addr, reason }
}

fn show(out: &mut Out, event: &Event, json: bool) -> Result<(), Failed> {
    match (event, json) {
        (Event::Greeted(facts), true) => {
            let mut body = json!({ "direction": "inbound", "addr": facts.addr });
            extend(&mut body, Some(facts_json(facts)));
            out.json("peer", body)?;
        }
        (Event::Refused { addr, reason }, true) => {
            out.json(
                "refused",
                json!({ "addr": addr, "reason": reason_json(reason) }),
            )?;
        }
        (Event::Left { addr, reason }, true) => {
            out.json(
                "left",
                json!({ "addr": addr, "reason": reason_json(reason) }),
            )?;
        }
        (Event::Greeted(facts), false) => {
            let rtt = facts.rtt.map_or_else(|| "no answer to ping".into(), millis);
            let mark = out.tone(Tone::Good, "greeted");
            out.line(format!(
                "{mark}  {}  {}  {}  {rtt}",
                facts.addr,
                facts.agent,
                facts.brief()
            ))?;
        }
        (Event::Refused { addr, reason }, false) => {
            let mark = out.tone(Tone::Bad, "refused");
            out.line(format!("{mark}  {addr}  {}", why(reason)))?;
        }
        (Event::Left { addr, reason }, false) => {
            let mark = out.tone(Tone::Quiet, "left");
            out.line(format!(
                "{mark}     {addr}  {}: {}",
                reason.kind, reason.message
            ))?;
        }
    }
    Ok(())
}

//! `peerage probe`: one peer or many, stage by stage.

use std::sync::Arc;
use std::time::Duration;

use peerage::networks::{AnyNode, Fact, PeerFacts};
use peerage::{Destination, Kind, Outcome, Probe, ProbeOptions, Reason, Route, Tables};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::args::{NetworkArg, NodeArgs, destination, network_of, span};
use crate::output::{
    Exit, Failed, Out, Tone, complain, millis, millis_json, misused, progress, reason_json, usage,
};
use crate::transcript;

/// How many peers are probed at once, at the most.
const MAX_AT_ONCE: usize = 64;

/// The most bytes of one dialogue that a transcript keeps, both ways together.
const TAPE_LIMIT: usize = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if every peer was greeted and answered a ping, 1 if not, 3 if the proxy
cannot be used.

Examples:
  peerage probe zec://mainnet.seeder.zfnd.org
  peerage probe --chain simnet dcr://127.0.0.1:18555 --transcript
  peerage probe -n zcash --json 192.0.2.1:8233 192.0.2.2
  peerage probe --chain hoodi --head 1500000:1762000000 enode://KEY@192.0.2.1:30303
  peerage probe --proxy socks5h://127.0.0.1:9050 zec://mainnet.seeder.zfnd.org"
)]
pub(crate) struct Args {
    /// Peers as zec://host:port, dcr://host:port, enode://KEY@host:port, or the same without the
    /// scheme with -n; the port may be left out. KEY is the peer's public key, 128 hexadecimal digits.
    #[arg(required = true, value_name = "PEER")]
    peers: Vec<String>,

    /// The network of peers that name none.
    #[arg(short, long, value_name = "NETWORK")]
    network: Option<NetworkArg>,

    #[command(flatten)]
    node: NodeArgs,

    /// Dial through this SOCKS5 proxy only, and let it resolve the names: socks5h://host:port or
    /// socks5h://user:password@host:port. Without a user each peer gets credentials of its own, so
    /// that Tor keeps them apart.
    #[arg(
        long,
        value_name = "URL",
        env = "PEERAGE_PROXY",
        hide_env_values = true
    )]
    proxy: Option<String>,

    #[command(flatten)]
    through: crate::broker::Via,

    /// The longest one probe may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    timeout: Duration,

    /// One JSON object a line: each stage, then the verdict.
    #[arg(long)]
    json: bool,

    /// Print the dialogue on the wire, every field explained.
    #[arg(long)]
    transcript: bool,
}

/// One peer to probe.
struct Order {
    shown: String,
    node: Arc<dyn AnyNode>,
    to: Destination,
}

pub(crate) async fn run(args: Args, tables: Tables, out: &mut Out) -> Result<Exit, Failed> {
    let route = route(&args)?;
    let orders = orders(&args, &tables, &route)?;
    let options = ProbeOptions {
        limit: args.timeout,
        tape_limit: if args.transcript { TAPE_LIMIT } else { 0 },
    };
    let many = orders.len() > 1;
    let total = orders.len();
    let mut waiting = orders.into_iter();
    let mut running = JoinSet::new();
    let mut done = 0;
    let mut greeted = 0;
    let mut no_proxy = false;
    loop {
        while running.len() < MAX_AT_ONCE {
            let Some(order) = waiting.next() else { break };
            running.spawn(async move {
                let probe = order.node.probe(&order.to, &options).await;
                (order, probe)
            });
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        // A probe is never aborted while the set lives; a panic in one is ours to show.
        let (order, probe) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                complain(&format!("a probe ended without a verdict: {error}"));
                continue;
            }
        };
        done += 1;
        greeted += usize::from(probe.verdict.is_ok());
        no_proxy |= probe
            .verdict
            .as_ref()
            .is_err_and(|reason| reason.kind == Kind::Proxy);
        if args.json {
            in_json(out, &order, &probe, args.transcript)?;
        } else {
            in_words(out, &order, &probe, args.transcript)?;
            if many && done < total {
                out.line("")?;
            }
        }
        if many {
            progress(&format!("{done} of {total} probed, {greeted} greeted"));
        }
    }
    Ok(match greeted == total {
        true => Exit::Yes,
        false if no_proxy => Exit::Environment,
        false => Exit::No,
    })
}

fn route(args: &Args) -> Result<Route, Failed> {
    args.through.or(match &args.proxy {
        Some(url) => Route::Socks5(peerage::networks::socks5(url).map_err(usage)?),
        None => Route::Direct,
    })
}

fn orders(args: &Args, tables: &Tables, route: &Route) -> Result<Vec<Order>, Failed> {
    let mut nodes: Vec<Arc<dyn AnyNode>> = Vec::new();
    let mut orders = Vec::with_capacity(args.peers.len());
    for text in &args.peers {
        let network = network_of(text, args.network)?;
        let known = nodes
            .iter()
            .find(|node| node.network() == network.network());
        let node = match known {
            Some(node) => node.clone(),
            None => {
                let node: Arc<dyn AnyNode> = args.node.node(network, tables, route.clone())?.into();
                nodes.push(node.clone());
                node
            }
        };
        let to = destination(text, &*node)?;
        orders.push(Order {
            shown: network.shown(&to),
            node,
            to,
        });
    }
    if args.transcript && args.json && orders.len() > 1 {
        // Each line still says whose it is, so only a single tape is bounded in memory.
        let bytes = orders.len().saturating_mul(TAPE_LIMIT);
        if bytes > 64 * TAPE_LIMIT {
            return Err(misused("--transcript takes at most 64 peers at once"));
        }
    }
    Ok(orders)
}

fn in_words(out: &mut Out, order: &Order, probe: &Probe, dialogue: bool) -> Result<(), Failed> {
    let header = format!(
        "{}  ({} {})",
        order.shown,
        order.node.network(),
        order.node.chain()
    );
    let header = out.tone(Tone::Strong, header);
    out.line(header)?;
    if dialogue {
        transcript::in_words(out, &*order.node, probe)?;
    }
    for stage in &probe.stages {
        let (mark, tone) = match stage.outcome {
            Outcome::Ok => ("ok", Tone::Good),
            Outcome::Failed => ("FAIL", Tone::Bad),
            Outcome::Skipped => ("–", Tone::Quiet),
            Outcome::NotReached => continue,
        };
        let mark = out.tone(tone, format!("{mark:<4}"));
        let took = stage.took.map_or_else(String::new, millis);
        let line = format!("  {:<8} {mark} {took:>11}  {}", stage.stage, stage.note);
        out.line(line.trim_end())?;
    }
    let verdict = match &probe.verdict {
        Ok(facts) => out.tone(Tone::Good, verdict_of(facts)),
        Err(reason) => out.tone(Tone::Bad, why(reason)),
    };
    out.line(format!("verdict: {verdict}"))?;
    Ok(())
}

fn verdict_of(facts: &PeerFacts) -> String {
    let rtt = facts
        .rtt
        .map_or_else(String::new, |rtt| format!(", answers in {}", millis(rtt)));
    format!("greeted: {} {}{rtt}", facts.agent, facts.in_words())
}

/// What a reason means and what to do, in one line.
pub(crate) fn why(reason: &Reason) -> String {
    format!(
        "{} at {}: {} (blame: {}; retry: {})",
        reason.kind,
        reason.stage,
        reason.advice(),
        reason.blame.name(),
        reason.retry
    )
}

fn in_json(out: &mut Out, order: &Order, probe: &Probe, dialogue: bool) -> Result<(), Failed> {
    let peer = &order.shown;
    if dialogue {
        transcript::in_json(out, peer, &*order.node, probe)?;
    }
    for stage in &probe.stages {
        let body = json!({
            "peer": peer,
            "stage": stage.stage,
            "outcome": stage.outcome.name(),
            "ms": stage.took.map(millis_json),
            "note": (!stage.note.is_empty()).then_some(&stage.note),
        });
        out.json("stage", body)?;
    }
    let mut verdict = json!({
        "peer": peer,
        "network": order.node.network().0,
        "chain": order.node.chain(),
        "ok": probe.verdict.is_ok(),
        "kind": probe.verdict.as_ref().map_or_else(|reason| reason.kind.name(), |_| "greeted"),
        "took_ms": millis_json(probe.took),
        "reason": probe.verdict.as_ref().err().map(reason_json),
    });
    extend(&mut verdict, probe.facts.as_ref().map(facts_json));
    out.json("verdict", verdict)?;
    Ok(())
}

/// Adds the fields of one object to another.
pub(crate) fn extend(object: &mut Value, more: Option<Value>) {
    if let (Value::Object(object), Some(Value::Object(more))) = (object, more) {
        object.extend(more);
    }
}

/// A greeted peer as JSON: what every network shares, and its own facts beside it.
pub(crate) fn facts_json(facts: &PeerFacts) -> Value {
    let own = facts.fields().into_iter();
    let own: Map<_, _> = own
        .map(|(name, fact)| (name.to_owned(), fact_json(fact)))
        .collect();
    let mut body = json!({
        "agent": facts.agent.to_string(),
        "height": facts.height,
        "dropped": facts.dropped,
        "early": facts.early,
        "rtt_ms": facts.rtt.map(millis_json),
    });
    extend(&mut body, Some(Value::Object(own)));
    body
}

fn fact_json(fact: Fact) -> Value {
    match fact {
        Fact::Int(value) => json!(value),
        Fact::Flag(value) => json!(value),
        Fact::Text(value) => json!(value),
        Fact::List(values) => json!(values),
        Fact::Unknown => Value::Null,
    }
}

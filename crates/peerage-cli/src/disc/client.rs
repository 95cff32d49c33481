//! Questions: a node of its own for one command.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use peerage::discv5::{NodeId, Record};
use peerage::find::{self, Bind, CallError, Handle, Pong};
use peerage::{Failure, NodeKey, Reason};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::show::{bind, failed, node_json, place, short};
use crate::args::{node_id, record, span};
use crate::output::{Exit, Failed, Out, Tone, environment, millis, millis_json};
use crate::probe::extend;

/// What all questions share.
#[derive(Debug, clap::Args)]
struct ClientArgs {
    /// The nodes, by their records: enr:…
    #[arg(required = true, value_name = "ENR", value_parser = record)]
    nodes: Vec<Record>,

    /// Where to ask from, once for each family; any port of every interface when not given.
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Vec<SocketAddr>,

    /// The longest to wait for one answer.
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = span)]
    timeout: Duration,

    /// The key file of the asking node; a fresh key when none is given.
    #[arg(long, value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    key: Option<PathBuf>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl ClientArgs {
    /// A node that asks nobody unless it is told to, and how long it may look.
    fn start(&self) -> Result<Handle, Failed> {
        let any4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let any6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let at = if self.bind.is_empty() {
            let names = |of: fn(&Record) -> bool| self.nodes.iter().any(of);
            let v6 = names(|node| node.udp6_endpoint().is_some());
            let v4 = names(|node| node.udp4_endpoint().is_some()) || !v6;
            let families = [(v4, any4), (v6, any6)];
            let families = families.into_iter().filter(|(wanted, _)| *wanted);
            families.fold(Bind::default(), |bind, (_, addr)| bind.and(addr))
        } else {
            let bound = self.bind.iter();
            bound.fold(Bind::default(), |bind, addr| bind.and(*addr))
        };
        let key = match &self.key {
            Some(file) => crate::data::key_at(file)?,
            None => NodeKey::generate(),
        };
        let sockets = bind(&at)?;
        let mut setup = find::setup(&key, &sockets);
        setup.upkeep = false;
        setup.config.request_timeout = self.timeout;
        setup.config.resend_after = Some(Duration::from_secs(1).min(self.timeout / 2));
        setup.boot.clone_from(&self.nodes);
        let running = find::start(setup, sockets)
            .map_err(|error| environment(error, "cannot sign a record"))?;
        Ok(running.handle)
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 if every PING was answered, 1 if not.

Example:
  peerage disc ping enr:-IS4Q… --times 8 --json")]
pub(super) struct PingArgs {
    #[command(flatten)]
    client: ClientArgs,

    /// How many to send to each node, all at once unless --pause says otherwise.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    times: u16,

    /// The pause between one and the next.
    #[arg(long, value_name = "TIME", value_parser = span)]
    pause: Option<Duration>,
}

pub(super) async fn ping(args: PingArgs, out: &mut Out) -> Result<Exit, Failed> {
    let mut asked = Asked::new(&args.client)?;
    for node in &args.client.nodes {
        for n in 0..args.times {
            let delay = args.pause.unwrap_or_default() * u32::from(n);
            asked.ask_after(delay, node, |handle, node| async move {
                handle.ping(&node).await
            });
        }
    }
    asked
        .show(out, "ping", |out, json, node, pong: Pong, took| {
            if json {
                let body = json!({
                    "node_id": node.node_id().to_string(),
                    "rtt_ms": millis_json(took),
                    "record_seq": pong.record_seq,
                    "observed": pong.observed.to_string(),
                });
                out.json("pong", body)?;
            } else {
                let mark = out.tone(Tone::Good, "pong");
                let (id, took) = (short(&node.node_id()), millis(took));
                let (at, observed) = (place(node), pong.observed);
                let seq = pong.record_seq;
                out.line(format!(
                    "{mark}  {id}  {at}  {took}  record {seq}  sees us at {observed}"
                ))?;
            }
            Ok(())
        })
        .await
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 if every node answered, 1 if not.

Examples:
  peerage disc findnode enr:-IS4Q…
  peerage disc findnode enr:-IS4Q… --distance 256 --distance 255 --json")]
pub(super) struct FindNodeArgs {
    #[command(flatten)]
    client: ClientArgs,

    /// The logarithmic distances from the node, 0 to 256; 0 is the node itself.
    #[arg(long = "distance", value_name = "N", default_value = "0", value_parser = clap::value_parser!(u16).range(0..=256))]
    distances: Vec<u16>,
}

pub(super) async fn find_node(args: FindNodeArgs, out: &mut Out) -> Result<Exit, Failed> {
    let mut asked = Asked::new(&args.client)?;
    for node in &args.client.nodes {
        let distances = args.distances.clone();
        asked.ask(node, |handle, node| async move {
            handle.find_node(&node, &distances).await
        });
    }
    asked
        .show(
            out,
            "findnode",
            |out, json, node, found: Vec<Record>, took| {
                show_nodes(out, json, &found)?;
                if json {
                    let body = json!({
                        "node_id": node.node_id().to_string(),
                        "count": found.len(),
                        "rtt_ms": millis_json(took),
                    });
                    out.json("nodes", body)?;
                } else {
                    let (id, took, count) = (short(&node.node_id()), millis(took), found.len());
                    let mark = out.tone(Tone::Good, "answered");
                    out.line(format!("{mark}  {id}  {count} nodes in {took}"))?;
                }
                Ok(())
            },
        )
        .await
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if every node answered with something, 1 if not. A node that does not know the
protocol answers with nothing.

Example:
  peerage disc talk enr:-IS4Q… --protocol echo --payload hello"
)]
pub(super) struct TalkArgs {
    #[command(flatten)]
    client: ClientArgs,

    /// The protocol's name.
    #[arg(long, value_name = "NAME")]
    protocol: String,

    /// What to say: text, or bytes as 0x….
    #[arg(long, value_name = "BYTES", default_value = "", value_parser = payload)]
    payload: Payload,
}

/// Bytes to say.
#[derive(Clone, Debug)]
struct Payload(Vec<u8>);

fn payload(text: &str) -> Result<Payload, String> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map(Payload).map_err(|e| e.to_string()),
        None => Ok(Payload(text.into())),
    }
}

pub(super) async fn talk(args: TalkArgs, out: &mut Out) -> Result<Exit, Failed> {
    let mut asked = Asked::new(&args.client)?;
    for node in &args.client.nodes {
        let (protocol, payload) = (args.protocol.clone(), args.payload.0.clone());
        asked.ask(node, |handle, node| async move {
            handle.talk(&node, protocol.as_bytes(), &payload).await
        });
    }
    let mut all_said_something = true;
    let exit = asked
        .show(out, "talk", |out, json, node, answer: Vec<u8>, took| {
            all_said_something &= !answer.is_empty();
            if json {
                let body = json!({
                    "node_id": node.node_id().to_string(),
                    "payload": hex::encode(&answer),
                    "rtt_ms": millis_json(took),
                });
                out.json("talk", body)?;
            } else {
                let (id, took) = (short(&node.node_id()), millis(took));
                let said = match &answer[..] {
                    [] => out.tone(Tone::Bad, "nothing: it may not know the protocol"),
                    said => peerage::PeerText::new(said).to_string(),
                };
                out.line(format!("{id}  {took}  {said}"))?;
            }
            Ok(())
        })
        .await?;
    Ok(if all_said_something { exit } else { Exit::No })
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 if every node was found, 1 if not.

Examples:
  peerage disc resolve enr:-IS4Q…
  peerage disc resolve enr:-IS4Q… --node-id a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7")]
pub(super) struct ResolveArgs {
    #[command(flatten)]
    client: ClientArgs,

    /// Another node to look for, the records being those to begin with.
    #[arg(long, value_name = "HEX", value_parser = node_id)]
    node_id: Option<NodeId>,
}

pub(super) async fn resolve(args: ResolveArgs, out: &mut Out) -> Result<Exit, Failed> {
    let handle = args.client.start()?;
    let targets = match args.node_id {
        Some(node) => vec![node],
        None => args.client.nodes.iter().map(Record::node_id).collect(),
    };
    let mut exit = Exit::Yes;
    for target in targets {
        let began = Instant::now();
        let found = search(handle.resolve(target)).await?;
        let took = began.elapsed();
        if found.is_none() {
            exit = Exit::No;
        }
        if args.client.json {
            let mut body = json!({
                "node_id": target.to_string(),
                "found": found.is_some(),
                "took_ms": millis_json(took),
            });
            extend(&mut body, found.as_ref().map(node_json));
            out.json("resolved", body)?;
        } else {
            show_nodes(out, false, found.as_slice())?;
            if found.is_none() {
                let mark = out.tone(Tone::Bad, "not found");
                out.line(format!("{mark}  {target}"))?;
            }
        }
    }
    handle.close().await;
    Ok(exit)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 if any node was found, 1 if not.

Example:
  peerage disc lookup enr:-IS4Q… --target a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7")]
pub(super) struct LookupArgs {
    #[command(flatten)]
    client: ClientArgs,

    /// What to look towards; a random id when not given.
    #[arg(long, value_name = "HEX", value_parser = node_id)]
    target: Option<NodeId>,
}

pub(super) async fn lookup(args: LookupArgs, out: &mut Out) -> Result<Exit, Failed> {
    let handle = args.client.start()?;
    // A fresh key's id is as random as any.
    let target = args.target.unwrap_or_else(|| {
        let key = find::secret(&NodeKey::generate());
        key.public_key().node_id()
    });
    let began = Instant::now();
    let found = search(handle.lookup(target)).await?;
    let took = began.elapsed();
    show_nodes(out, args.client.json, &found)?;
    if args.client.json {
        let metrics = handle.metrics().await.map_err(ended)?.discovery;
        let body = json!({
            "target": target.to_string(),
            "count": found.len(),
            "asked": metrics.requests_out,
            "took_ms": millis_json(took),
        });
        out.json("lookup", body)?;
    } else {
        let count = found.len();
        out.line(format!(
            "{count} nodes nearest to {target} in {}",
            millis(took)
        ))?;
    }
    handle.close().await;
    Ok(if found.is_empty() {
        Exit::No
    } else {
        Exit::Yes
    })
}

/// A search bounded by the machine's own limits: every request of it has a deadline.
async fn search<T>(search: impl Future<Output = Result<T, CallError>>) -> Result<T, Failed> {
    /// Far more than the requests of one search take together.
    const LIMIT: Duration = Duration::from_secs(300);
    let found = timeout(LIMIT, search).await;
    let found = found.map_err(|error| environment(error, "the search does not end"))?;
    found.map_err(ended)
}

fn ended(error: CallError) -> Failed {
    environment(error, "cannot ask")
}

fn show_nodes(out: &mut Out, json: bool, nodes: &[Record]) -> Result<(), Failed> {
    for node in nodes {
        if json {
            out.json("node", node_json(node))?;
        } else {
            let (id, at, seq) = (short(&node.node_id()), place(node), node.seq());
            out.line(format!("{id}  {at}  record {seq}  {node}"))?;
        }
    }
    Ok(())
}

/// Questions under way to several nodes.
struct Asked<'a, T> {
    args: &'a ClientArgs,
    handle: Handle,
    running: JoinSet<(Record, Result<T, CallError>, Duration)>,
}

impl<'a, T: Send + 'static> Asked<'a, T> {
    fn new(args: &'a ClientArgs) -> Result<Self, Failed> {
        Ok(Self {
            args,
            handle: args.start()?,
            running: JoinSet::new(),
        })
    }

    fn ask<F>(&mut self, node: &Record, question: impl FnOnce(Handle, Record) -> F)
    where
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        self.ask_after(Duration::ZERO, node, question);
    }

    fn ask_after<F>(
        &mut self,
        delay: Duration,
        node: &Record,
        question: impl FnOnce(Handle, Record) -> F,
    ) where
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let answer = question(self.handle.clone(), node.clone());
        let node = node.clone();
        self.running.spawn(async move {
            sleep(delay).await;
            let began = Instant::now();
            let answer = answer.await;
            (node, answer, began.elapsed())
        });
    }

    /// Shows each answer when it comes.
    async fn show(
        mut self,
        out: &mut Out,
        doing: &str,
        mut show: impl FnMut(&mut Out, bool, &Record, T, Duration) -> Result<(), Failed>,
    ) -> Result<Exit, Failed> {
        let json = self.args.json;
        let mut exit = Exit::Yes;
        while let Some(ended) = self.running.join_next().await {
            let (node, answer, took) =
                ended.map_err(|error| environment(error, "a question ended without an answer"))?;
            match answer {
                Ok(answer) => show(out, json, &node, answer, took)?,
                Err(error) => {
                    exit = Exit::No;
                    let reason: Reason = error.reason();
                    failed(out, json, doing, &node, &reason)?;
                }
            }
        }
        self.handle.close().await;
        Ok(exit)
    }
}

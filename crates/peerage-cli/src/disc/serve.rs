//! `peerage disc serve`: a node of the network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use peerage::discv5::Record;
use peerage::discv5::discovery::Event;
use peerage::discv5::record::Builder;
use peerage::find::{self, Bind, Running, TalkRequests};
use peerage::outside::{Advertiser, Listening};
use peerage::{NodeKey, Tables};
use serde_json::{Value, json};
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep_until};

use super::show::{bind, metrics_json, node_json, place, short};
use crate::args::{EntryArg, entry, ethereum_chain, forks_now, record, span};
use crate::doctor::truth::{TruthArgs, told_json, told_words};
use crate::output::{Exit, Failed, Out, Tone, environment, misused, progress, usage};
use crate::probe::extend;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 at the end of --for, 130 when interrupted, 3 if a port cannot be had.

Examples:
  peerage disc serve --bind 127.0.0.1:9000 --talk-echo echo
  peerage disc serve --bind 0.0.0.0:30303 --bind [::]:30303 --bootnode enr:-IS4Q… --for 1h --json"
)]
pub(super) struct Args {
    /// Where to listen, once for each family; port 0 takes any.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:30303")]
    bind: Vec<SocketAddr>,

    /// A node to ask first; may be given several times.
    #[arg(long = "bootnode", value_name = "ENR", value_parser = record)]
    boot: Vec<Record>,

    /// The key file of the node; a fresh key when none is given.
    #[arg(long, value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    key: Option<PathBuf>,

    /// An entry of the node's record: text, a number, or bytes as 0x…; may be given several times.
    #[arg(long = "enr", value_name = "KEY=VALUE", value_parser = entry)]
    entries: Vec<EntryArg>,

    /// Say in the record that the node follows this chain of Ethereum, and serves it at --tcp.
    #[arg(long)]
    chain: Option<String>,

    /// The TCP port to name in the record.
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,

    /// Answer TALK requests of this protocol with what they say; may be given several times.
    #[arg(long = "talk-echo", value_name = "PROTOCOL")]
    talk_echo: Vec<String>,

    #[command(flatten)]
    truth: TruthArgs,

    /// Stop after this much time.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn describe(&self, tables: &Tables, record: Builder) -> Result<Builder, Failed> {
        let mut record = record;
        for entry in &self.entries {
            let value = entry.value.as_ref();
            let value = value.ok_or_else(|| misused("--enr takes KEY=VALUE here"))?;
            record = record.string(&entry.key, value);
        }
        if let Some(port) = self.tcp {
            record = record.tcp4(port);
        }
        if let Some(chain) = &self.chain {
            let forks = forks_now(&*ethereum_chain(tables, chain)?);
            record = record.raw("eth", forks.record_entry());
        }
        Ok(record)
    }
}

pub(super) async fn run(args: Args, tables: Tables, out: &mut Out) -> Result<Exit, Failed> {
    let key = match &args.key {
        Some(file) => crate::data::key_at(file)?,
        None => NodeKey::generate(),
    };
    let bound = args.bind.iter();
    let sockets = bind(&bound.fold(Bind::default(), |bind, addr| bind.and(*addr)))?;
    let at: Vec<_> = sockets.endpoints().map(|at| at.to_string()).collect();
    let mut setup = find::setup(&key, &sockets);
    setup.record = args.describe(&tables, setup.record)?;
    setup.boot.clone_from(&args.boot);
    let listening = Listening::of(&sockets);
    let running = find::start(setup, sockets).map_err(usage)?;
    let handle = running.handle.clone();
    let advertise = args.truth.advertise(args.tcp);
    let advertiser = Advertiser::start(advertise, &listening, Some(handle.clone()));
    advertiser.ready().await;
    for protocol in &args.talk_echo {
        let requests = handle.register_talk(protocol.as_bytes()).await;
        let requests = requests.map_err(|error| environment(error, "cannot serve"))?;
        tokio::spawn(echo(requests.map_err(usage)?));
    }
    let own = handle.record().await;
    let own = own.map_err(|error| environment(error, "cannot serve"))?;
    if args.json {
        let mut body = json!({ "addrs": at });
        extend(&mut body, Some(node_json(&own)));
        out.json("serving", body)?;
    } else {
        progress(&format!("serving at {}", at.join(" and ")));
        out.line(own.to_string())?;
    }
    let deadline = args.time.map(|time| Instant::now() + time);
    let exit = watch(running, &advertiser, deadline, args.json, out).await?;
    advertiser.close().await;
    // The handle of this function keeps the service for its last figures.
    let metrics = handle.metrics().await;
    let metrics = metrics.map_err(|error| environment(error, "cannot tell the figures"))?;
    if args.json {
        out.json("metrics", metrics_json(&metrics))?;
    } else if let Value::Object(figures) = metrics_json(&metrics) {
        for (name, figure) in figures.iter().filter(|(_, figure)| **figure != json!(0)) {
            out.line(format!("{name:<18} {figure}"))?;
        }
    }
    handle.close().await;
    Ok(exit)
}

async fn echo(mut requests: TalkRequests) {
    while let Some(request) = requests.next().await {
        let payload = request.payload.clone();
        // Too late, or the end: the other side has had an empty answer.
        let _too_late = request.answer(payload).await;
    }
}

/// Shows what happens until the end.
async fn watch(
    mut running: Running,
    advertiser: &Advertiser,
    deadline: Option<Instant>,
    json: bool,
    out: &mut Out,
) -> Result<Exit, Failed> {
    let end = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let mut end = std::pin::pin!(end);
    let mut interrupted = std::pin::pin!(ctrl_c());
    let mut told = advertiser.subscribe();
    loop {
        let event = tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(Exit::Interrupted),
            () = &mut end => return Ok(Exit::Yes),
            Ok(()) = told.changed() => {
                let told = told.borrow_and_update().clone();
                if json {
                    let mut body = told_json(&told);
                    // The record says it already; without a service there is none.
                    if let Ok(own) = running.handle.record().await {
                        extend(&mut body, Some(node_json(&own)));
                    }
                    out.json("external", body)?;
                } else {
                    let mark = out.tone(Tone::Quiet, "external");
                    out.line(format!("{mark}  {}", told_words(&told)))?;
                }
                continue;
            }
            event = running.control.next() => event,
            event = running.gossip.next() => event,
        };
        let Some(event) = event else {
            return Ok(Exit::Environment);
        };
        show(out, json, &event)?;
    }
}

fn show(out: &mut Out, json: bool, event: &Event) -> Result<(), Failed> {
    let Some((name, about)) = described(event) else {
        return Ok(());
    };
    if json {
        let mut body = json!({ "event": name });
        extend(&mut body, Some(about));
        out.json("event", body)?;
    } else {
        let mark = out.tone(Tone::Quiet, name);
        out.line(format!("{mark}  {}", in_words(event)))?;
    }
    Ok(())
}

/// An event's name, and what it is about.
fn described(event: &Event) -> Option<(&'static str, Value)> {
    let node = |id: &peerage::discv5::NodeId| json!({ "node_id": id.to_string() });
    let at = |contact: &peerage::discv5::address::Contact| {
        let (id, at) = (contact.node.to_string(), contact.endpoint.to_string());
        json!({ "node_id": id, "addr": at })
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "answers go to whoever asked, and later kinds are not shown"
    )]
    Some(match event {
        Event::Found(record) => ("found", node_json(record)),
        Event::NodeAdded(id) => ("added", node(id)),
        Event::NodeRemoved(id) => ("removed", node(id)),
        Event::SessionUp {
            contact, direction, ..
        } => {
            let mut body = at(contact);
            let direction = json!({ "direction": direction.to_string() });
            extend(&mut body, Some(direction));
            ("session", body)
        }
        Event::SessionDown(contact) => ("session_down", at(contact)),
        Event::OtherAddress(contact) => ("other_address", at(contact)),
        Event::RecordChanged(record) => ("record_changed", node_json(record)),
        Event::Elsewhere(at) => ("elsewhere", json!({ "addr": at.to_string() })),
        Event::NotDiscoverable(why) => ("not_discoverable", json!({ "why": why.to_string() })),
        Event::Outage => ("outage", json!({})),
        Event::OutageOver => ("outage_over", json!({})),
        Event::Banned(id, time) => {
            let (id, time) = (id.to_string(), time.as_secs());
            ("banned", json!({ "node_id": id, "for_s": time }))
        }
        _ => return None,
    })
}

fn in_words(event: &Event) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "answers go to whoever asked, and later kinds are not shown"
    )]
    match event {
        Event::Found(record) | Event::RecordChanged(record) => {
            format!("{}  {}  {record}", short(&record.node_id()), place(record))
        }
        Event::NodeAdded(id) | Event::NodeRemoved(id) | Event::Banned(id, _) => short(id),
        Event::SessionUp { contact, .. }
        | Event::SessionDown(contact)
        | Event::OtherAddress(contact) => {
            format!("{}  {}", short(&contact.node), contact.endpoint)
        }
        Event::Elsewhere(at) => format!("others see us at {at}"),
        Event::NotDiscoverable(why) => why.to_string(),
        Event::Outage => "nothing comes from anybody".into(),
        Event::OutageOver => "something comes again".into(),
        _ => String::new(),
    }
}

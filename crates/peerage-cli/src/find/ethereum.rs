//! `peerage find ethereum`: nodes as discovery finds them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use peerage::devp2p::ForkFilter;
use peerage::devp2p::table::{ChainTable, NETWORK};
use peerage::discv5::Record;
use peerage::discv5::discovery::Filter;
use peerage::find::{self, Bind, Candidate, Finder, Search};
use peerage::{Destination, NodeKey, Tables};
use serde_json::json;
use tokio::time::Instant;

use super::at_end;
use crate::args::{EntryArg, entry, ethereum_chain, forks_now, record, span};
use crate::disc::show::{bind, node_json, place, short};
use crate::output::{Exit, Failed, Out, Tone, environment, millis_json, misused, progress, usage};
use crate::probe::extend;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A node is shown once, and again when it signs a newer record. Without --all only nodes are shown
whose record has an eth entry that fits the chain's forks.

Exit code: 0 once --count nodes were found, or at the end of --for without --count; 1 if the time
ran out before; without either it runs until interrupted.

Examples:
  peerage find ethereum --count 10
  peerage find ethereum --bootnode enr:-IS4Q… --all --for 30s --json
  peerage find ethereum --chain hoodi --enr snap --for 10m"
)]
pub(crate) struct Args {
    /// The chain.
    #[arg(long, default_value = "mainnet")]
    chain: String,

    /// A node to ask first; may be given several times. Those of the chain's table when not given.
    #[arg(long = "bootnode", value_name = "ENR", value_parser = record)]
    boot: Vec<Record>,

    /// Only nodes whose record has this entry, with this value if one is given: text, a number, or
    /// bytes as 0x…; may be given several times.
    #[arg(long = "enr", value_name = "KEY[=VALUE]", value_parser = entry)]
    entries: Vec<EntryArg>,

    /// Nodes of any chain, and of none.
    #[arg(long)]
    all: bool,

    /// Where to ask from, once for each family.
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Vec<SocketAddr>,

    /// The key file of the asking node; a fresh key when none is given.
    #[arg(long, value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    key: Option<PathBuf>,

    /// Stop after this many nodes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this much time.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let chain = ethereum_chain(tables, &args.chain)?;
    let boot = boot(&args, &chain)?;
    let forks = Arc::new(forks_now(&chain));
    let key = match &args.key {
        Some(file) => crate::data::key_at(file)?,
        None => NodeKey::generate(),
    };
    let mut at = args
        .bind
        .iter()
        .fold(Bind::default(), |b, addr| b.and(*addr));
    if at == Bind::default() {
        at = Bind::at((Ipv4Addr::UNSPECIFIED, 0).into());
    }
    let sockets = bind(&at)?;
    let mut setup = find::setup(&key, &sockets);
    setup.boot.clone_from(&boot);
    let running = find::start(setup, sockets).map_err(usage)?;
    let handle = running.handle;
    let search = Search::wanting(wanted(&args, &forks)).pause(Duration::from_millis(250));
    let ended = |error| environment(error, "cannot look for nodes");
    let mut finder = handle.finder(NETWORK, search).await.map_err(ended)?;
    progress(&format!(
        "looking for nodes of {NETWORK} {}, beginning with {} boot nodes",
        args.chain,
        boot.len()
    ));
    let began = Instant::now();
    let deadline = args.time.map(|time| began + time);
    let mut found = 0_u64;
    while args.count.is_none_or(|count| found < count) {
        let candidate = tokio::select! {
            biased;
            candidate = finder.next() => candidate,
            () = at_end(deadline) => None,
        };
        let Some(candidate) = candidate else { break };
        found += 1;
        let took = began.elapsed();
        let is_boot = candidate.claims.record().is_some_and(|record| {
            let mut boot = boot.iter();
            boot.any(|boot| boot.node_id() == record.node_id())
        });
        show(out, args.json, &forks, &candidate, is_boot, took)?;
    }
    let metrics = handle.metrics().await.map_err(ended)?.discovery;
    if args.json {
        let body = json!({
            "network": NETWORK.0,
            "chain": args.chain,
            "count": found,
            "took_ms": millis_json(began.elapsed()),
            "searches": metrics.searches,
            "requests_out": metrics.requests_out,
            "records_verified": metrics.records_verified,
            "table_seen": metrics.table_seen,
        });
        out.json("found", body)?;
    } else {
        let (seen, searches) = (metrics.records_verified, metrics.searches);
        progress(&format!(
            "{found} found among {seen} records in {searches} searches"
        ));
    }
    handle.close().await;
    let enough = args.count.is_none_or(|count| found >= count);
    Ok(if enough { Exit::Yes } else { Exit::No })
}

/// The records to begin with.
fn boot(args: &Args, chain: &ChainTable) -> Result<Vec<Record>, Failed> {
    if !args.boot.is_empty() {
        return Ok(args.boot.clone());
    }
    let of_table = chain.discv5_records.iter();
    let of_table: Result<Vec<_>, _> = of_table.map(|text| record(text)).collect();
    let boot =
        of_table.map_err(|error| misused(format!("a record of chain {}: {error}", chain.name)))?;
    if boot.is_empty() {
        return Err(misused(format!(
            "the table names no node to begin with on {}: give one with --bootnode",
            chain.name
        )));
    }
    Ok(boot)
}

/// Which records are shown.
fn wanted(args: &Args, forks: &Arc<ForkFilter>) -> impl FnMut(&Record) -> bool + Send + 'static {
    let filters: Vec<Filter> = args.entries.iter().map(EntryArg::filter).collect();
    let forks = (!args.all).then(|| Arc::clone(forks));
    move |record| {
        let fits = forks
            .as_ref()
            .is_none_or(|forks| fork(forks, record).is_some());
        fits && filters.iter().all(|filter| filter.accepts(record))
    }
}

/// The fork that a record names, if it is one of these: whoever follows another chain, or none, is
/// no peer.
fn fork(forks: &ForkFilter, record: &Record) -> Option<String> {
    let standing = forks.judge_record_entry(record.raw("eth")?).ok()?;
    Some(forks.schedule().name(standing.passed).to_owned())
}

fn show(
    out: &mut Out,
    json: bool,
    forks: &ForkFilter,
    candidate: &Candidate,
    is_boot: bool,
    took: Duration,
) -> Result<(), Failed> {
    let Some(record) = candidate.claims.record() else {
        return Ok(());
    };
    let fork = fork(forks, record);
    let dial = candidate.endpoints.first().map(|at| {
        let key = candidate.public_key.map(peerage::PeerKey);
        let to = Destination {
            key,
            ..(*at).into()
        };
        let key = to.key.map(|key| key.to_string()).unwrap_or_default();
        format!("enode://{key}@{}", to.target)
    });
    if json {
        let mut body = json!({
            "at_ms": millis_json(took),
            "network": candidate.network.0,
            "source": candidate.source.0,
            "boot": is_boot,
            "fork": fork,
            "dial": dial,
        });
        extend(&mut body, Some(node_json(record)));
        out.json("node", body)?;
    } else {
        let (id, at) = (short(&record.node_id()), place(record));
        let at_s = took.as_secs_f64();
        let fork = fork.unwrap_or_else(|| "-".into());
        let dial = dial.unwrap_or_else(|| record.to_string());
        let mark = out.tone(Tone::Good, format!("{at_s:8.3} s"));
        let source = candidate.source.0;
        out.line(format!("{mark}  {source}  {id}  {at}  {fork}  {dial}"))?;
    }
    Ok(())
}

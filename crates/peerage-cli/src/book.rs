//! `peerage book`: what a node remembers, looked at and changed; by the daemon where one runs.

#[cfg(feature = "api")]
mod daemon;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use peerage::node::book::{Address, By, Entry, Key, Role, Snapshot, Source, Subject, Tip, Verdict};
use peerage::node::store::{Realm, lines};
use peerage::{Tables, UnixTime};

use crate::args::{NetworkArg, span};
use crate::data::{self, DataArg, Whom, destination, edit, place, store_failed};
use crate::output::{Exit, Failed, Out, Tone, complain, environment, misused, progress, usage};
#[cfg(feature = "api")]
use crate::remote::ApiArg;
use crate::why;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "list, show, bans and export read, also while a daemon runs. add, remove, ban, unban and import ask a
daemon that runs to do it, where it can be found: at --api or PEERAGE_API, which must answer then; else
where the configuration of `serve` has its [api] grpc, or at api.sock in the data directory. Without
one they need the data directory for themselves.

Exit code: 0 done, or found; 1 if there was nothing to show, to remove or to lift, or a line of an
import was not taken; 3 if a daemon has the data directory and cannot be asked.

Examples:
  peerage book list -n zcash
  peerage book add -n zcash --static zec://node.example.org
  peerage book ban -n decred 203.0.113.0/24 --for 24h --why spam
  peerage book export -n ethereum --chain hoodi > hoodi.jsonl
  peerage book import -n ethereum --chain hoodi hoodi.jsonl"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// Whose book.
#[derive(Debug, clap::Args)]
struct Whose {
    /// The network.
    #[arg(short = 'n', long, value_name = "NETWORK")]
    network: NetworkArg,

    /// The chain of the network.
    #[arg(long, default_value = "mainnet")]
    chain: String,

    #[command(flatten)]
    data: DataArg,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All peers in the book, a line each.
    List(ListArgs),
    /// All that is known of one peer; `peerage why` looks in all books.
    Show(OneArgs),
    /// Take a peer into the book.
    Add(AddArgs),
    /// Forget a peer; its story stays.
    Remove(RemoveArgs),
    /// Keep a peer, an address or a range away.
    Ban(BanArgs),
    /// Lift a ban.
    Unban(UnbanArgs),
    /// All bans, a line each.
    Bans(ListArgs),
    /// Take in what an export wrote; the book judges it like anything it hears.
    Import(ImportArgs),
    /// Write the whole book as JSON lines.
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    whose: Whose,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    #[command(flatten)]
    whose: Whose,

    /// The peer.
    #[arg(value_name = "PEER")]
    peer: String,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    whose: Whose,

    /// The peer.
    #[arg(value_name = "PEER")]
    peer: String,

    #[cfg(feature = "api")]
    #[command(flatten)]
    api: ApiArg,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    whose: Whose,

    /// The peer.
    #[arg(value_name = "PEER")]
    peer: String,

    /// Be connected to it always.
    #[arg(long = "static")]
    is_static: bool,

    /// The same, and no automatic ban concerns it.
    #[arg(long)]
    trusted: bool,

    #[cfg(feature = "api")]
    #[command(flatten)]
    api: ApiArg,
}

#[derive(Debug, clap::Args)]
struct BanArgs {
    #[command(flatten)]
    whose: Whose,

    /// An address, a range (203.0.113.0/24), a peer's address or its identity.
    #[arg(value_name = "WHOM")]
    whom: String,

    /// How long; for good when not given.
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    term: Option<Duration>,

    /// Why, for whoever asks later.
    #[arg(long, value_name = "WORDS", default_value = "by command")]
    why: String,

    #[cfg(feature = "api")]
    #[command(flatten)]
    api: ApiArg,
}

#[derive(Debug, clap::Args)]
struct UnbanArgs {
    #[command(flatten)]
    whose: Whose,

    /// As it was banned.
    #[arg(value_name = "WHOM")]
    whom: String,

    #[cfg(feature = "api")]
    #[command(flatten)]
    api: ApiArg,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    #[command(flatten)]
    whose: Whose,

    /// The lines; stdin when not given.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[cfg(feature = "api")]
    #[command(flatten)]
    api: ApiArg,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    whose: Whose,

    /// Where to; stdout when not given.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Whose {
    /// The realm; the chain must be one of the tables.
    fn realm(&self, tables: &Tables) -> Result<Realm, Failed> {
        let network = self.network.0;
        let chains = network.chains(tables).map_err(usage)?;
        if !chains.iter().any(|chain| *chain.name == *self.chain) {
            let known: Vec<_> = chains.iter().map(|chain| &*chain.name).collect();
            let (name, known) = (network.network(), known.join(", "));
            let chain = &self.chain;
            return Err(misused(format!(
                "{name} has no chain {chain}; it has {known}"
            )));
        }
        Ok(Realm {
            network: network.network().0.into(),
            chain: self.chain.as_str().into(),
        })
    }

    fn snapshot(&self, realm: &Realm) -> Result<Snapshot, Failed> {
        let folder = self.data.folder()?;
        let loaded = self.data.reader()?.load(realm);
        let loaded = loaded.map_err(|error| store_failed(error, &folder))?;
        for (what, why) in &loaded.damaged {
            complain(&format!("{what} in the store is left out: {why}"));
        }
        Ok(loaded.snapshot)
    }

    fn whom(&self, text: &str, tables: &Tables) -> Result<Whom, Failed> {
        let chain = Some(&*self.chain);
        Ok(data::whom(text, Some(self.network), chain, tables)?.1)
    }
}

pub(crate) async fn run(args: &Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    match &args.what {
        What::List(args) => list(args, tables, out),
        What::Show(args) => show(args, tables, out),
        What::Add(args) => add(args, tables).await,
        What::Remove(args) => remove(args, tables).await,
        What::Ban(args) => ban(args, tables).await,
        What::Unban(args) => unban(args, tables).await,
        What::Bans(args) => bans(args, tables, out),
        What::Import(args) => import(args, tables).await,
        What::Export(args) => export(args, tables, out),
    }
}

const fn found(any: bool) -> Exit {
    if any { Exit::Yes } else { Exit::No }
}

fn list(args: &ListArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let snapshot = args.whose.snapshot(&realm)?;
    let now = data::now().wall;
    let any = !snapshot.entries.is_empty();
    for (entry, _) in snapshot.entries {
        if args.json {
            let entries = vec![(entry, Vec::new())];
            let line = data::line(&Snapshot {
                entries,
                ..Snapshot::default()
            });
            // The line of a peer names its type itself.
            out.json("peer", line.first())?;
        } else {
            let standing = standing(&entry, now);
            let mark = match standing.as_str() {
                "never greeted" => out.tone(Tone::Quiet, entry.role.name()),
                _ => out.tone(Tone::Strong, entry.role.name()),
            };
            let at = entry.spots.first().map(|spot| spot.endpoint.to_string());
            let at = at.unwrap_or_else(|| "-".into());
            let key = why::short(&entry.key);
            let place = match entry.key {
                Key::Identity(_) => format!("{key}  {at}"),
                Key::Address(_) => key,
            };
            let agent = entry
                .agent
                .map(|agent| format!("  {agent}"))
                .unwrap_or_default();
            out.line(format!("{mark:<8}  {place:<22}  {standing}{agent}"))?;
        }
    }
    Ok(found(any))
}

/// A peer's past and prospects in a few words.
fn standing(entry: &Entry, now: UnixTime) -> String {
    if matches!(entry.claims.verdict, Verdict::Unfit(_)) {
        return "unfit by its own claims".into();
    }
    let past = match entry.last_success {
        Some(at) => format!("was there {} ago", why::span((now.0 - at.0).max(0))),
        None if entry.successes > 0 => "dialled us".into(),
        None => "never greeted".into(),
    };
    match entry.retry_at.filter(|until| *until > now) {
        Some(until) => {
            let wait = why::span(until.0 - now.0);
            format!("{past}, {} failures, next dial in {wait}", entry.failures)
        }
        None => past,
    }
}

fn show(args: &OneArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let whom = args.whose.whom(&args.peer, tables)?;
    let folder = args.whose.data.folder()?;
    let reader = args.whose.data.reader()?;
    let stories = match &whom {
        Whom::Key(key) => reader.story(&realm, key),
        Whom::Ip(ip) => reader.stories_at(&realm, *ip),
    };
    let failed = |error| store_failed(error, &folder);
    let stories = stories.map_err(failed)?;
    let runs = reader.has_writer().map_err(failed)?;
    for story in &stories {
        why::tell(out, args.json, &realm, story, (runs, None))?;
    }
    if stories.is_empty() {
        progress(&format!("{whom} is not in the book of {realm}"));
    }
    Ok(found(!stories.is_empty()))
}

#[cfg_attr(
    not(feature = "api"),
    expect(clippy::unused_async, reason = "no daemon is asked")
)]
async fn add(args: &AddArgs, tables: &Tables) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let chain = Some(&*args.whose.chain);
    let to = destination(args.whose.network.0, &args.peer, chain, tables)?;
    let (identity, address) = place(&to)?;
    let role = match (args.trusted, args.is_static) {
        (true, _) => Role::Trusted,
        (false, true) => Role::Static,
        (false, false) => Role::Ordinary,
    };
    #[cfg(feature = "api")]
    if let Some(remote) = args.api.running(&args.whose.data).await? {
        return daemon::add(remote, &realm, &args.peer, role).await;
    }
    let store = args.whose.data.store()?;
    let key = edit(&store, &realm, |book, now| {
        if role.is_pinned() {
            return book.pin(now, identity, address, role).map_err(usage);
        }
        let Address::At(endpoint) = address else {
            return Err(misused(
                "only a static or trusted peer can have a name: add --static",
            ));
        };
        let tip = match identity {
            Some(identity) => Tip::of(identity, vec![endpoint], Source::Operator),
            None => Tip::at(endpoint, Source::Operator),
        };
        let key = tip.key.clone();
        book.add(now, tip).map_err(usage)?;
        Ok(key)
    })?;
    progress(&format!("{key} is in the book of {realm}, {}", role.name()));
    Ok(Exit::Yes)
}

#[cfg_attr(
    not(feature = "api"),
    expect(clippy::unused_async, reason = "no daemon is asked")
)]
async fn remove(args: &RemoveArgs, tables: &Tables) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let whom = args.whose.whom(&args.peer, tables)?;
    #[cfg(feature = "api")]
    if let Some(remote) = args.api.running(&args.whose.data).await? {
        return daemon::remove(remote, &realm, &whom).await;
    }
    let store = args.whose.data.store()?;
    let keys = edit(&store, &realm, |book, now| {
        let keys: Vec<Key> = match &whom {
            Whom::Key(key) => {
                let stories = book.story(key).into_iter();
                stories.map(|story| story.entry.key).collect()
            }
            Whom::Ip(ip) => {
                let here = |entry: &Entry| entry.spots.iter().any(|spot| spot.endpoint.ip() == *ip);
                let here = book.entries().filter(here);
                here.map(|entry| entry.key).collect()
            }
        };
        for key in &keys {
            book.unpin(now, key);
            book.forget(key);
        }
        Ok(keys)
    })?;
    for key in &keys {
        progress(&format!("{key} is no longer in the book of {realm}"));
    }
    if keys.is_empty() {
        progress(&format!("{whom} is not in the book of {realm}"));
    }
    Ok(found(!keys.is_empty()))
}

#[cfg_attr(
    not(feature = "api"),
    expect(clippy::unused_async, reason = "no daemon is asked")
)]
async fn ban(args: &BanArgs, tables: &Tables) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let subject = data::subject(&args.whom, Some(args.whose.network), tables)?;
    #[cfg(feature = "api")]
    if let Some(remote) = args.api.running(&args.whose.data).await? {
        return daemon::ban(remote, &realm, &subject, args.term, &args.why).await;
    }
    let store = args.whose.data.store()?;
    edit(&store, &realm, |book, now| {
        let banned = book.ban(now, subject.clone(), By::Operator, args.term, &args.why);
        banned.map_err(|error| environment(error, "cannot ban"))
    })?;
    progress(&format!("{subject} is banned on {realm}"));
    Ok(Exit::Yes)
}

#[cfg_attr(
    not(feature = "api"),
    expect(clippy::unused_async, reason = "no daemon is asked")
)]
async fn unban(args: &UnbanArgs, tables: &Tables) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let subject = data::subject(&args.whom, Some(args.whose.network), tables)?;
    #[cfg(feature = "api")]
    if let Some(remote) = args.api.running(&args.whose.data).await? {
        return daemon::unban(remote, &realm, &subject).await;
    }
    let store = args.whose.data.store()?;
    let lifted = edit(&store, &realm, |book, now| Ok(book.lift(now, &subject)))?;
    let word = if lifted { "is no longer" } else { "was not" };
    progress(&format!("{subject} {word} banned on {realm}"));
    Ok(found(lifted))
}

fn bans(args: &ListArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let now = data::now().wall;
    let all = args.whose.snapshot(&realm)?.bans.into_iter();
    let bans: Vec<_> = all
        .filter(|(_, ban)| ban.until.is_none_or(|until| until > now))
        .collect();
    let any = !bans.is_empty();
    for (subject, ban) in bans {
        if args.json {
            let bans = vec![(subject, ban)];
            let line = data::line(&Snapshot {
                bans,
                ..Snapshot::default()
            });
            out.json("ban", line.first())?;
        } else {
            let whom = match &subject {
                Subject::Identity(identity) => why::short(&identity.clone().into()),
                Subject::Net(range) => range.to_string(),
            };
            out.line(format!("{whom:<22}  {ban}"))?;
        }
    }
    Ok(found(any))
}

#[cfg_attr(
    not(feature = "api"),
    expect(clippy::unused_async, reason = "no daemon is asked")
)]
async fn import(args: &ImportArgs, tables: &Tables) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let input: Box<dyn Read + Send> = match &args.file {
        None => {
            if io::stdin().is_terminal() {
                progress("reading lines from the terminal");
            }
            Box::new(io::stdin())
        }
        Some(file) => {
            let opened = File::open(file);
            let doing = || format!("cannot read {}", file.display());
            Box::new(opened.map_err(|error| environment(error, doing()))?)
        }
    };
    #[cfg(feature = "api")]
    if let Some(remote) = args.api.running(&args.whose.data).await? {
        return daemon::import(remote, &realm, BufReader::new(input)).await;
    }
    let read = lines::read(BufReader::new(input));
    for wrong in &read.wrong {
        complain(&format!("line {} is not taken: {}", wrong.line, wrong.why));
    }
    let store = args.whose.data.store()?;
    let taken = edit(&store, &realm, |book, now| {
        let taken = book.import(now, read.snapshot);
        // What was read from these lines is news for the store.
        book.tell_all();
        Ok(taken)
    })?;
    for refused in taken.refused.iter().take(100) {
        let cause = std::error::Error::source(refused);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        complain(&format!("{refused}{cause}"));
    }
    let wrong = read.wrong_count + taken.refused.len();
    progress(&format!(
        "{} peers and {} bans taken into the book of {realm}, {wrong} not",
        taken.candidates, taken.bans
    ));
    Ok(found(wrong == 0))
}

fn export(args: &ExportArgs, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let realm = args.whose.realm(tables)?;
    let snapshot = args.whose.snapshot(&realm)?;
    let peers = snapshot.entries.len();
    match &args.file {
        None => {
            let mut bytes = Vec::new();
            lines::write(&snapshot, &mut bytes)?;
            out.bytes(&bytes)?;
        }
        Some(path) => {
            let doing = || format!("cannot write {}", path.display());
            let written = File::create_new(path).and_then(|file| {
                let mut file = io::BufWriter::new(file);
                lines::write(&snapshot, &mut file)?;
                file.flush()?;
                file.get_ref().sync_all()
            });
            written.map_err(|error| environment(error, doing()))?;
        }
    }
    progress(&format!(
        "{peers} peers and {} bans of {realm}",
        snapshot.bans.len()
    ));
    Ok(Exit::Yes)
}

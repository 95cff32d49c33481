//! `peerage why`: the whole story of a peer, from the store.

use peerage::Tables;
use peerage::core::UnixTime;
use peerage::node::book::{
    Cause, Entry, Event, Key, Snapshot, Standing, Story, Subject, Verdict, What,
};
use peerage::node::store::{Reader, Realm, StoreError};
use serde_json::{Value, json};

use crate::args::NetworkArg;
use crate::data::{self, DataArg, Whom, line, store_failed};
use crate::doctor::truth;
use crate::output::{Exit, Failed, Out, Tone};
use crate::probe::extend;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It is read from the store of the data directory, also while a daemon writes to it. A peer that the
book has let go of has a story too. Nobody is called connected unless a daemon runs there: sessions
that it did not live to end are told as cut. A daemon that can be asked (--api, PEERAGE_API, [api] grpc
of the configuration, or api.sock in the data directory) says how the session is at this moment.

PEER is an address (zec://host:port, dcr://host:port, enode://…, host:port), a record (enr:…), an
identity in hexadecimal, or an IP address, for everybody there.

With --self: where the running node of the data directory says that it is, and why. Claims that are
not followed are shown with their reason.

Exit code: 0 if somebody is known there, 1 if nobody is.

Examples:
  peerage why zec://203.0.113.9:8233
  peerage why 203.0.113.9
  peerage why --self
  peerage why -n decred --chain testnet3 203.0.113.9:19108 --json"
)]
pub(crate) struct Args {
    /// The peer.
    #[arg(value_name = "PEER", required_unless_present = "own")]
    peer: Option<String>,

    /// Where the running node says that it is, who says so, and who says otherwise.
    #[arg(long = "self", conflicts_with_all = ["peer", "network", "chain"])]
    own: bool,

    /// Only on this network.
    #[arg(short = 'n', long, value_name = "NETWORK")]
    network: Option<NetworkArg>,

    /// Only on this chain.
    #[arg(long)]
    chain: Option<String>,

    #[command(flatten)]
    data: DataArg,

    #[cfg(feature = "api")]
    #[command(flatten)]
    api: crate::remote::ApiArg,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What a daemon says of a session at this moment.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) realm: Realm,
    /// The peer, as its key is written.
    pub(crate) key: String,
    pub(crate) words: String,
    /// As `peers list` has it.
    pub(crate) json: Value,
}

#[cfg_attr(
    not(feature = "api"),
    expect(clippy::unused_async, reason = "no daemon is asked")
)]
pub(crate) async fn run(args: &Args, tables: &Tables, out: &mut Out) -> Result<Exit, Failed> {
    let Some(peer) = &args.peer else {
        return own(args, out);
    };
    let chain = args.chain.as_deref();
    let (network, whom) = data::whom(peer, args.network, chain, tables)?;
    let folder = args.data.folder()?;
    let failed = |error| store_failed(error, &folder);
    let reader = args.data.reader()?;
    let realms = reader.realms().map_err(failed)?;
    let wanted = realms.iter().filter(|realm| {
        let network = network.is_none_or(|network| *realm.network == *network.network().0);
        network && chain.is_none_or(|chain| *realm.chain == *chain)
    });
    // Before the stories: a daemon that ends meanwhile has told their ends.
    let runs = reader.has_writer().map_err(failed)?;
    #[cfg(feature = "api")]
    let live = match args.api.running(&args.data).await? {
        Some(remote) => match crate::peers::live(remote).await {
            // The story is in the store; a daemon that nobody named need not add to it.
            Err(_) if args.api.api.is_none() => Vec::new(),
            asked => asked?,
        },
        None => Vec::new(),
    };
    #[cfg(not(feature = "api"))]
    let live = Vec::<Live>::new();
    let mut known = false;
    let mut banned = Vec::new();
    for realm in wanted {
        let stories = stories(&reader, realm, &whom).map_err(failed)?;
        if stories.is_empty() {
            banned.extend(ban_of(&reader, realm, &whom).map_err(failed)?);
        }
        for story in &stories {
            if known && !args.json {
                out.line("")?;
            }
            known = true;
            let key = story.entry.key.to_string();
            let here = |live: &&Live| live.realm == *realm && live.key == key;
            let live = live.iter().find(here);
            tell(out, args.json, realm, story, (runs, live))?;
        }
    }
    if known {
        return Ok(Exit::Yes);
    }
    if args.json {
        out.json(
            "unknown",
            json!({ "peer": peer, "known_as": whom.to_string(), "bans": banned }),
        )?;
    } else {
        out.line(format!("nobody is known as {whom}"))?;
        for ban in &banned {
            out.line(ban)?;
        }
    }
    Ok(Exit::No)
}

/// What the daemon of the data directory tells of itself.
fn own(args: &Args, out: &mut Out) -> Result<Exit, Failed> {
    if truth::recall(&args.data.folder()?, data::now().wall, args.json, out)? {
        return Ok(Exit::Yes);
    }
    if args.json {
        out.json("unknown", json!({ "self": true }))?;
    } else {
        out.line("no node runs there that tells anybody where it is")?;
    }
    Ok(Exit::No)
}

fn stories(reader: &Reader, realm: &Realm, whom: &Whom) -> Result<Vec<Story>, StoreError> {
    match whom {
        Whom::Key(key) => reader.story(realm, key),
        Whom::Ip(ip) => reader.stories_at(realm, *ip),
    }
}

/// The bans in force that keep away somebody who is not known, in words.
fn ban_of(reader: &Reader, realm: &Realm, whom: &Whom) -> Result<Vec<String>, StoreError> {
    let now = data::now().wall;
    let concerns = |subject: &Subject| match (subject, whom.subject()) {
        (Subject::Net(range), Some(Subject::Net(host))) => range.contains(host.addr()),
        (one, Some(other)) => *one == other,
        (_, None) => false,
    };
    let bans = reader.load(realm)?.snapshot.bans.into_iter();
    let bans = bans
        .filter(|(subject, ban)| concerns(subject) && ban.until.is_none_or(|until| until > now));
    Ok(bans
        .map(|(subject, ban)| format!("{realm}: {subject} is {ban}"))
        .collect())
}

/// Shows one story; `runs` says whether some daemon writes to the store that it was read from, and
/// `live` what it says itself, where it was asked.
pub(crate) fn tell(
    out: &mut Out,
    json: bool,
    realm: &Realm,
    story: &Story,
    (runs, live): (bool, Option<&Live>),
) -> Result<(), Failed> {
    let now = data::now().wall;
    let mut present = Present::of(story, now, runs);
    if let Some(live) = live {
        // What was written may be a moment old.
        present = Present::new("connected", live.words.clone());
    }
    if json {
        let mut body = story_json(realm, story, &present, now);
        body["live"] = json!(live.map(|live| &live.json));
        out.json("story", body)?;
    } else {
        in_words(out, realm, story, &present)?;
    }
    Ok(())
}

/// What stands between a peer and us.
struct Present {
    /// One word, for machines.
    name: &'static str,
    words: String,
    /// When the next dial may be, if that is known and not yet.
    next: Option<UnixTime>,
}

impl Present {
    const fn new(name: &'static str, words: String) -> Self {
        let next = None;
        Self { name, words, next }
    }

    fn of(story: &Story, now: UnixTime, runs: bool) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the others are told by a running book alone"
        )]
        match &story.standing {
            Standing::Banned { subject, ban } if ban.until.is_none_or(|until| until > now) => {
                let words = format!("kept away: {subject} is {ban}");
                Self {
                    next: ban.until,
                    ..Self::new("banned", words)
                }
            }
            Standing::Gone { at } => {
                let words =
                    format!("let go of at {at}; it is dialled again if somebody tells of it");
                Self::new("gone", words)
            }
            Standing::Banned { .. } | Standing::Written { .. } => Self::written(story, now, runs),
            Standing::Unfit(cause) => {
                let words = format!("never dialled, by its own claims: {cause}");
                Self::new("unfit", words)
            }
            Standing::Connected => Self::new("connected", "connected".into()),
            Standing::Ourselves { until } => Self::ourselves(*until),
            other => Self::new("known", other.to_string()),
        }
    }

    fn ourselves(until: UnixTime) -> Self {
        let words = format!("who answers there is this node itself; not dialled before {until}");
        Self {
            next: Some(until),
            ..Self::new("ourselves", words)
        }
    }

    /// By what was written last, and by whether whoever wrote it still runs.
    fn written(story: &Story, now: UnixTime, runs: bool) -> Self {
        let entry = &story.entry;
        if let Verdict::Unfit(cause) = &entry.claims.verdict {
            return Self::new(
                "unfit",
                format!("never dialled, by its own claims: {cause}"),
            );
        }
        if let Some(event) = story.session() {
            let (since, at) = (event.last, entry.at);
            if runs {
                let words = format!("in a session since {since}, as written at {at}");
                return Self::new("connected", words);
            }
            let words = format!(
                "in no session: no daemon runs on this data directory, and the last one ended \
                 without saying goodbye, some time after {at}; the next one may dial at once"
            );
            return Self::new("cut", words);
        }
        match entry.retry_at.filter(|until| *until > now) {
            Some(until) if story.is_ourselves() => Self::ourselves(until),
            Some(until) => {
                let wait = span(until.0 - now.0);
                let after = match (entry.failures, story.last_cause()) {
                    (_, None) => String::new(),
                    (0, Some(cause)) => format!(", after the last connection: {}", cause.kind),
                    (1, Some(cause)) => format!(", after a failure: {}", cause.kind),
                    (many, Some(cause)) => {
                        format!(", after {many} failures in a row: {}", cause.kind)
                    }
                };
                Self {
                    next: Some(until),
                    ..Self::new(
                        "waiting",
                        format!("not dialled before {until}, in {wait}{after}"),
                    )
                }
            }
            None if entry.spots.is_empty() && entry.name.is_none() => Self::new(
                "nowhere",
                "not dialled: nobody knows where it is; it has only ever dialled us".into(),
            ),
            None => Self::new("ready", "may be dialled, and is when its turn comes".into()),
        }
    }
}

/// The cause in an event.
fn cause(what: &What) -> Option<&Cause> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are no failures")]
    match what {
        What::Failed { cause, .. }
        | What::Excused { cause, .. }
        | What::Unfit(cause)
        | What::Left { cause, .. }
        | What::Unresolved(cause) => Some(cause),
        _ => None,
    }
}

fn in_words(out: &mut Out, realm: &Realm, story: &Story, present: &Present) -> Result<(), Failed> {
    let entry = &story.entry;
    let tone = match present.name {
        "connected" => Tone::Good,
        "banned" | "unfit" | "gone" | "cut" => Tone::Bad,
        _ => Tone::Strong,
    };
    let name = out.tone(Tone::Strong, short(&entry.key));
    let (network, chain) = (&realm.network, &realm.chain);
    out.line(format!("{name}  {network} {chain}  {}", entry.role.name()))?;
    let words = out.tone(tone, &present.words);
    out.line(format!("now       {words}"))?;
    if let Key::Identity(identity) = &entry.key {
        out.line(format!("identity  {identity}"))?;
    }
    if let Some(name) = &entry.name {
        out.line(format!("name      {name}"))?;
    }
    for spot in &entry.spots {
        let proven = match spot.verified {
            Some(at) => format!("proven at {at}"),
            None => "never proven".into(),
        };
        let failures = match spot.failures {
            0 => String::new(),
            failures => format!(", {failures} failures since"),
        };
        out.line(format!("at        {}  {proven}{failures}", spot.endpoint))?;
    }
    for source in &entry.sources {
        out.line(format!("told by   {source}"))?;
    }
    for claim in claims(entry) {
        out.line(format!("claims    {claim}"))?;
    }
    if let Some(agent) = &entry.agent {
        out.line(format!("agent     {agent}"))?;
    }
    let (online, failures) = (span(seconds(entry.online)), entry.failures);
    out.line(format!(
        "counts    {} dials, {} handshakes, {failures} failures in a row, {online} in sessions, {} \
         points",
        entry.attempts, entry.successes, entry.score
    ))?;
    for (at, event) in story.events.iter().enumerate() {
        let head = if at == 0 { "history" } else { "" };
        let mark = out.tone(Tone::Quiet, event.first);
        let times = match event.times {
            0 | 1 => String::new(),
            times => format!("; {times} times, last at {}", event.last),
        };
        out.line(format!("{head:<9} {mark}  {}{times}", event.what))?;
        let repeated = story.events.get(at + 1).and_then(|next| cause(&next.what));
        if let Some(cause) = cause(&event.what)
            && repeated.is_none_or(|next| next.kind != cause.kind)
        {
            let advice = out.tone(Tone::Quiet, cause.kind.advice());
            out.line(format!("{:<9} {:<20}  → {advice}", "", ""))?;
        }
    }
    Ok(())
}

/// What is claimed of a peer, in words.
fn claims(entry: &Entry) -> Vec<String> {
    let claims = &entry.claims;
    let services = claims.services.map(|bits| format!("services {bits:#x}"));
    let sequence = claims.sequence.map(|number| format!("record {number}"));
    let seen = claims
        .seen
        .map(|at| format!("seen at {at} by whoever told of it"));
    let fit = matches!(claims.verdict, Verdict::Fit).then(|| "follows our forks".to_owned());
    [services, sequence, seen, fit]
        .into_iter()
        .flatten()
        .collect()
}

/// Enough of a key for a headline.
pub(crate) fn short(key: &Key) -> String {
    match key {
        Key::Identity(_) => {
            let mut digits = key.to_string();
            digits.truncate(16);
            digits + "…"
        }
        Key::Address(address) => address.to_string(),
    }
}

fn seconds(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// A span of seconds, for people.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn story_json(realm: &Realm, story: &Story, present: &Present, now: UnixTime) -> Value {
    let snapshot = Snapshot {
        entries: vec![(story.entry.clone(), story.events.clone())],
        ..Snapshot::default()
    };
    let mut body = line(&snapshot).pop().unwrap_or_else(|| json!({}));
    if let Some(history) = body["history"].as_array_mut() {
        for (line, event) in history.iter_mut().zip(&story.events) {
            line["words"] = json!(words(event));
            if let Some(cause) = cause(&event.what) {
                line["advice"] = json!(cause.kind.advice());
            }
        }
    }
    if let Some(fields) = body.as_object_mut() {
        // Those of the line around it count.
        fields.remove("v");
        fields.remove("type");
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others name no ban")]
    let ban = match &story.standing {
        Standing::Banned { subject, ban } if present.name == "banned" => {
            let bans = vec![(subject.clone(), ban.clone())];
            line(&Snapshot {
                bans,
                ..Snapshot::default()
            })
            .pop()
        }
        _ => None,
    };
    let more = json!({
        "network": &*realm.network,
        "chain": &*realm.chain,
        "now": present.name,
        "words": present.words,
        "next_dial": present.next.map(|at| at.0),
        "next_dial_in_s": present.next.map(|at| (at.0 - now.0).max(0)),
        "ban": ban,
        "advice": story.last_cause().map(|cause| cause.kind.advice()),
    });
    extend(&mut body, Some(more));
    body
}

fn words(event: &Event) -> String {
    event.what.to_string()
}

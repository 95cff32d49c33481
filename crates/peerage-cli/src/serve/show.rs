//! How a daemon tells what happens: a line of log each on stderr, or an object each on stdout.

use peerage::node::book::Key;
use peerage::node::store::Realm;
use peerage::node::{FinderReport, Overview};
use peerage::{ConnectedAddr, Direction, outside};
use serde_json::{Value, json};

use super::api::Places;
use super::level::{Format, Level};
use super::start::{End, Running, Told};
use crate::data;
use crate::doctor::truth;
use crate::find::report_json;
use crate::output::{Failed, Out, millis_json, progress, reason_json};
use crate::probe::{extend, facts_json};
use crate::why::{short, span};

/// Where what happens is told: all of it as data on stdout, if that is wanted, and what matters
/// enough in the log on stderr.
pub(super) struct Log<'a> {
    pub(super) out: &'a mut Out,
    pub(super) json: bool,
    pub(super) level: Level,
    pub(super) format: Format,
    /// Whether the log goes to systemd's journal, which notes the time itself and reads levels.
    pub(super) journal: bool,
}

/// How much the kinds of events matter; all others are [`Level::Info`].
const LEVELS: [(&str, Level); 6] = [
    ("failed", Level::Debug),
    ("misbehaved", Level::Debug),
    ("stalled", Level::Warn),
    ("trouble", Level::Warn),
    ("restart_needed", Level::Warn),
    ("reload_failed", Level::Error),
];

impl Log<'_> {
    /// An event: in words `time  realm  kind  words`, or as JSON.
    pub(super) fn line(
        &mut self,
        realm: Option<&Realm>,
        kind: &str,
        words: &str,
        body: Value,
    ) -> Result<(), Failed> {
        let level = LEVELS.iter().find(|(of, _)| *of == kind);
        let level = level.map_or(Level::Info, |(_, level)| *level);
        let is_logged = level <= self.level;
        let logs_json = is_logged && self.format == Format::Json;
        if is_logged && !logs_json {
            self.text(level, realm, kind, words);
        }
        if !self.json && !logs_json {
            return Ok(());
        }
        let mut whole = json!({ "at": data::now().wall.0 });
        if let Some(realm) = realm {
            let realm = json!({ "network": &*realm.network, "chain": &*realm.chain });
            extend(&mut whole, Some(realm));
        }
        extend(&mut whole, Some(body));
        if logs_json {
            let mut logged = json!({ "v": 1, "type": kind, "level": level.to_string() });
            extend(&mut logged, Some(whole.clone()));
            extend(&mut logged, Some(json!({ "words": words })));
            progress(&logged.to_string());
        }
        if self.json {
            self.out.json(kind, whole)?;
        }
        Ok(())
    }

    /// A line for people, or for the journal.
    fn text(&self, level: Level, realm: Option<&Realm>, kind: &str, words: &str) {
        let realm = realm.map_or_else(|| "-".to_owned(), ToString::to_string);
        if self.journal {
            // sd-daemon(3): the priority of a line stands before it.
            let priority = match level {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug => 7,
            };
            progress(&format!("<{priority}>{realm}  {kind}  {words}"));
        } else {
            let at = data::now().wall;
            progress(&format!("{at}  {realm:<16}  {kind:<11}  {words}"));
        }
    }

    pub(super) fn listening(&mut self, node: &Running) -> Result<(), Failed> {
        let addrs: Vec<_> = node.addrs.iter().map(ToString::to_string).collect();
        let record = node.record.as_ref().map(ToString::to_string);
        let mut words = node.addresses.join(" and ");
        if words.is_empty() {
            words = "nowhere: it only dials".into();
        }
        let body = json!({ "addrs": addrs, "addresses": node.addresses, "enr": record });
        self.line(Some(&node.realm), "listening", &words, body)
    }

    /// Where the node says that it is, and why.
    pub(super) fn external(&mut self, realm: &Realm, told: &outside::Told) -> Result<(), Failed> {
        let words = truth::told_words(told).replace('\n', "; ");
        self.line(Some(realm), "external", &words, truth::told_json(told))
    }

    /// The interface is served there.
    pub(super) fn api(&mut self, at: &Places) -> Result<(), Failed> {
        let grpc = at.grpc.as_ref().map(|at| format!("gRPC at {at}"));
        let http = at.http.as_ref().map(|at| format!("HTTP at http://{at}"));
        let words: Vec<String> = grpc.into_iter().chain(http).collect();
        let body = json!({ "grpc": at.grpc, "http": at.http });
        self.line(None, "api", &words.join(" and "), body)
    }

    pub(super) fn told(&mut self, realm: &Realm, told: &Told) -> Result<(), Failed> {
        let realm = Some(realm);
        match told {
            Told::Established {
                id,
                key,
                addr,
                facts,
            } => {
                let mut body = json!({ "session": id.0, "key": key.to_string() });
                extend(&mut body, Some(facts_json(facts)));
                extend(&mut body, Some(addr_json(addr)));
                let (direction, agent) = (addr.direction(), &facts.agent);
                let words = format!("{id} {direction} {}  {agent}", place(Some(key), Some(addr)));
                self.line(realm, "established", &words, body)
            }
            Told::Closed(end) => self.closed(realm, end),
            Told::Misbehaved {
                id,
                misdeed,
                strikes,
            } => {
                let body =
                    json!({ "session": id.0, "misdeed": misdeed.name(), "strikes": strikes });
                self.line(
                    realm,
                    "misbehaved",
                    &format!("{id} {misdeed}, {strikes}"),
                    body,
                )
            }
            Told::Incompatible { id, key, reason } => {
                let body = json!({
                    "session": id.0,
                    "key": key.to_string(),
                    "reason": reason_json(reason),
                });
                let words = format!("{id} {}: {}", short(key), reason.message);
                self.line(realm, "incompatible", &words, body)
            }
            Told::Stalled { lost } => {
                let body = json!({ "lost_ms": millis_json(*lost) });
                let words = format!("we stood still for {} s", lost.as_secs());
                self.line(realm, "stalled", &words, body)
            }
        }
    }

    fn closed(&mut self, realm: Option<&Realm>, end: &End) -> Result<(), Failed> {
        let kind = if end.was_established {
            "closed"
        } else {
            "failed"
        };
        let reason = &end.reason;
        let mut body = json!({
            "session": end.id.0,
            "key": end.key.as_ref().map(ToString::to_string),
            "direction": end.direction.to_string(),
            "ending": end.ending,
            "lasted_ms": millis_json(end.lasted),
            "pongs_in": end.pongs[0],
            "pongs_out": end.pongs[1],
            "rtt_ms": end.rtt.map(millis_json),
            "reason": reason_json(reason),
            "advice": reason.advice(),
        });
        if let Some(addr) = &end.addr {
            extend(&mut body, Some(addr_json(addr)));
        }
        let whom = place(end.key.as_ref(), end.addr.as_ref());
        let lasted = i64::try_from(end.lasted.as_secs()).unwrap_or(i64::MAX);
        let after = match end.was_established {
            true => format!(" after {}", span(lasted)),
            false => String::new(),
        };
        let words = format!(
            "{} {} {whom}{after}, {}: {} at {}: {}",
            end.id, end.direction, end.ending, reason.kind, reason.stage, reason.message
        );
        self.line(realm, kind, &words, body)
    }

    pub(super) fn status(&mut self, realm: &Realm, of: &Overview) -> Result<(), Failed> {
        let [pending_in, pending_out] = of.peers.pending;
        let [active_in, active_out] = of.peers.active;
        let store = of.store.as_ref();
        let trouble = store.and_then(|store| store.trouble.as_ref());
        let trouble = trouble.map(ToString::to_string);
        let body = json!({
            "known": of.known,
            "bans": of.bans,
            "pending_in": pending_in,
            "dialled": pending_out,
            "active": of.peers.established,
            "active_in": active_in,
            "active_out": active_out,
            "bytes_in": of.peers.rate_in,
            "bytes_out": of.peers.rate_out,
            "pongs_in": of.peers.tally.pongs_in,
            "pongs_out": of.peers.tally.pongs_out,
            "not_admitted": of.counters.not_admitted,
            "refused_banned": of.counters.banned,
            "accept_failed": of.counters.accept_failed,
            "late_answers": of.counters.late_answers,
            "unwritten": store.map(|store| store.offered - store.written),
            "trouble": &trouble,
            "finders": of.finders.iter().map(finder_json).collect::<Vec<_>>(),
        });
        let mut words = format!(
            "{} known, {pending_out} dialled, {} active: {active_in} in, {active_out} out",
            of.known, of.peers.established
        );
        for finder in &of.finders {
            words = format!("{words}; {}", finder_words(finder));
        }
        self.line(Some(realm), "status", &words, body)?;
        // It is written again by itself, once there is room.
        match trouble {
            Some(trouble) => {
                let words = format!("the store: {trouble}");
                self.line(Some(realm), "trouble", &words, json!({ "store": trouble }))
            }
            None => Ok(()),
        }
    }

    /// Something of the daemon as a whole.
    pub(super) fn says(&mut self, kind: &str, words: &str) -> Result<(), Failed> {
        self.line(None, kind, words, json!({ "words": words }))
    }
}

/// What a finder has asked and found, and what came of it here.
fn finder_json(finder: &FinderReport) -> Value {
    let mut body = report_json(&finder.report);
    let more = json!({ "taken": finder.taken, "lived": finder.lived });
    extend(&mut body, Some(more));
    body
}

fn finder_words(finder: &FinderReport) -> String {
    let (report, lived) = (&finder.report, finder.lived);
    let (name, gave, all) = (report.source.0, report.gave, report.seeds.len());
    let failing = report.seeds.iter();
    let mut failing = failing.filter_map(|seed| Some((&seed.seed, seed.trouble.as_ref()?)));
    let failing = failing.next().map_or_else(String::new, |(seed, why)| {
        let count = 1 + failing.count();
        format!(", {count} of {all} seeds fail: {seed}, {}", why.kind)
    });
    format!("{name} found {gave}, {lived} of them greeted{failing}")
}

fn place(key: Option<&Key>, addr: Option<&ConnectedAddr>) -> String {
    match (key, addr) {
        (Some(Key::Identity(_)), Some(addr)) => {
            let key = key.map(short).unwrap_or_default();
            format!("{key}@{}", shown(addr))
        }
        (Some(key), _) => short(key),
        (None, Some(addr)) => shown(addr),
        (None, None) => "-".into(),
    }
}

fn shown(addr: &ConnectedAddr) -> String {
    match addr {
        ConnectedAddr::InboundDirect { addr } | ConnectedAddr::OutboundDirect { addr } => {
            addr.to_string()
        }
        ConnectedAddr::OutboundProxy { .. }
        | ConnectedAddr::InboundProxy { .. }
        | ConnectedAddr::Isolated { .. } => addr.to_string(),
    }
}

fn addr_json(addr: &ConnectedAddr) -> Value {
    let direction: Direction = addr.direction();
    json!({ "direction": direction.to_string(), "addr": shown(addr), "kind": addr.label() })
}

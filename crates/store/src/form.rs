//! The one written form of candidates, events and bans: JSON, the same in the file and in a line.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use peerage_book::{
    Ban, By, Cause, Claims, Entry, Event, Identity, Key, Name, Prefix, Role, Source, Spot, Subject,
    Verdict, What,
};
use peerage_core::{Blame, Direction, Endpoint, Kind, PeerText, Retry, UnixTime};
use serde_json::{Map, Value, json};

use crate::error::FormError;

/// The version of the written form.
pub(crate) const VERSION: u64 = 1;

type Result<T> = std::result::Result<T, FormError>;

const fn wrong(field: &'static str) -> FormError {
    FormError::Field { field }
}

/// A field of an object, by name; every look-up names itself in its error.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value) -> Result<Self> {
        value.as_object().map(Self).ok_or(FormError::NotJson)
    }

    fn value(self, field: &'static str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn text(self, field: &'static str) -> Result<&'a str> {
        let value = self.value(field).and_then(Value::as_str);
        value.ok_or(wrong(field))
    }

    fn parsed<T: std::str::FromStr>(self, field: &'static str) -> Result<T> {
        self.text(field)?.parse().map_err(|_| wrong(field))
    }

    pub(crate) fn number(self, field: &'static str) -> Result<u64> {
        let value = self.value(field).and_then(Value::as_u64);
        value.ok_or(wrong(field))
    }

    fn small(self, field: &'static str) -> Result<u32> {
        u32::try_from(self.number(field)?).map_err(|_| wrong(field))
    }

    fn signed(self, field: &'static str) -> Result<i64> {
        let value = self.value(field).and_then(Value::as_i64);
        value.ok_or(wrong(field))
    }

    fn time(self, field: &'static str) -> Result<UnixTime> {
        self.signed(field).map(UnixTime)
    }

    fn list(self, field: &'static str) -> Result<&'a [Value]> {
        let value = self.value(field).and_then(Value::as_array);
        value.map(Vec::as_slice).ok_or(wrong(field))
    }

    fn inner(self, field: &'static str) -> Result<Fields<'a>> {
        let value = self.value(field).ok_or(wrong(field))?;
        Fields::of(value).map_err(|_| wrong(field))
    }

    /// A field that may be missing, or null.
    fn perhaps<T>(
        self,
        field: &'static str,
        read: impl FnOnce(Self, &'static str) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.value(field) {
            None => Ok(None),
            Some(_) => read(self, field).map(Some),
        }
    }
}

/// Text of a peer: as it is where that is printable, else its bytes.
fn peer_text(text: &PeerText) -> Value {
    match std::str::from_utf8(text.as_bytes()) {
        Ok(plain) if text.is_printable() => json!(plain),
        _ => {
            let hex = text.as_bytes().iter().map(|byte| format!("{byte:02x}"));
            json!({ "hex": hex.collect::<String>() })
        }
    }
}

fn to_peer_text(fields: Fields<'_>, field: &'static str) -> Result<PeerText> {
    if let Ok(plain) = fields.text(field) {
        return Ok(plain.into());
    }
    let hex = fields.inner(field)?.text("hex")?.as_bytes();
    if hex.len() > 2 * PeerText::MAX_LEN || !hex.len().is_multiple_of(2) {
        return Err(wrong(field));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = hex.chunks_exact(2).map(|pair| {
        let value = digit(pair[0])? << 4 | digit(pair[1])?;
        u8::try_from(value).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    Ok(PeerText::new(&bytes.ok_or(wrong(field))?))
}

fn cause(cause: &Cause) -> Value {
    let retry = match cause.retry {
        Retry::Never => json!("never"),
        Retry::Now => json!("now"),
        Retry::After(wait) => json!(wait.as_secs()),
    };
    json!({
        "stage": cause.stage,
        "kind": cause.kind.name(),
        "blame": cause.blame.name(),
        "retry": retry,
        "words": cause.words,
    })
}

fn to_cause(fields: Fields<'_>) -> Result<Cause> {
    let kind = fields.text("kind")?;
    let kind = Kind::ALL.iter().find(|known| known.name() == kind);
    let blame = fields.text("blame")?;
    let blames = [Blame::Them, Blame::Us, Blame::Network, Blame::Caller];
    let blame = blames.into_iter().find(|known| known.name() == blame);
    let retry = match fields.text("retry") {
        Ok("never") => Retry::Never,
        Ok("now") => Retry::Now,
        Ok(_) => return Err(wrong("retry")),
        Err(_) => Retry::After(Duration::from_secs(fields.number("retry")?)),
    };
    let stage = fields.text("stage")?;
    let words = fields.text("words")?;
    if stage.len() > Cause::MAX_STAGE || words.len() > Cause::MAX_WORDS {
        return Err(wrong("stage or words"));
    }
    Ok(Cause {
        stage: Cow::Owned(stage.to_owned()),
        kind: *kind.ok_or(wrong("kind"))?,
        blame: blame.ok_or(wrong("blame"))?,
        retry,
        words: words.into(),
    })
}

fn source(source: &Source) -> Value {
    let ip = |ip: &Option<std::net::IpAddr>| ip.map(|ip| ip.to_string());
    match source {
        Source::Operator => json!({ "kind": "operator" }),
        Source::Seed(name) => json!({ "kind": "seed", "name": name }),
        Source::List(name) => json!({ "kind": "list", "name": name }),
        Source::Discovery(from) => json!({ "kind": "discovery", "from": ip(from) }),
        Source::Gossip(from) => json!({ "kind": "gossip", "from": ip(from) }),
        Source::Inbound(from) => json!({ "kind": "inbound", "from": ip(from) }),
    }
}

fn to_source(fields: Fields<'_>) -> Result<Source> {
    let from = || fields.perhaps("from", |fields, field| fields.parsed(field));
    let name = || -> Result<Box<str>> {
        let name = fields.text("name")?;
        let fits = name.len() <= Source::MAX_NAME;
        fits.then(|| name.into()).ok_or(wrong("name"))
    };
    match fields.text("kind")? {
        "operator" => Ok(Source::Operator),
        "seed" => name().map(Source::Seed),
        "list" => name().map(Source::List),
        "discovery" => from().map(Source::Discovery),
        "gossip" => from().map(Source::Gossip),
        "inbound" => from().map(Source::Inbound),
        _ => Err(wrong("kind")),
    }
}

fn to_endpoint(fields: Fields<'_>, field: &'static str) -> Result<Endpoint> {
    let at: SocketAddr = fields.parsed(field)?;
    Ok(at.into())
}

fn seconds(time: Option<UnixTime>) -> Option<i64> {
    time.map(|time| time.0)
}

/// A candidate, without its history.
pub(crate) fn entry(entry: &Entry) -> Value {
    let spots = entry.spots.iter().map(|spot| {
        json!({
            "at": spot.endpoint.to_string(),
            "heard": spot.heard.0,
            "verified": seconds(spot.verified),
            "failures": spot.failures,
        })
    });
    let verdict = match &entry.claims.verdict {
        Verdict::Unknown => json!("unknown"),
        Verdict::Fit => json!("fit"),
        Verdict::Unfit(why) => cause(why),
    };
    json!({
        "v": VERSION,
        "type": "peer",
        "key": entry.key.to_string(),
        "role": entry.role.name(),
        "name": entry.name.as_ref().map(ToString::to_string),
        "spots": spots.collect::<Vec<_>>(),
        "sources": entry.sources.iter().map(source).collect::<Vec<_>>(),
        "services": entry.claims.services,
        "seen": seconds(entry.claims.seen),
        "sequence": entry.claims.sequence,
        "verdict": verdict,
        "first_heard": entry.first_heard.0,
        "last_heard": entry.last_heard.0,
        "attempts": entry.attempts,
        "successes": entry.successes,
        "failures": entry.failures,
        "last_attempt": seconds(entry.last_attempt),
        "last_success": seconds(entry.last_success),
        "online": entry.online.as_secs(),
        "score": entry.score,
        "agent": entry.agent.as_ref().map(peer_text),
        "retry_at": seconds(entry.retry_at),
        "at": entry.at.0,
    })
}

/// The most endpoints, sources and events read of one candidate: more than any book is allowed.
const MOST: usize = 1_024;

pub(crate) fn to_entry(value: &Value) -> Result<Entry> {
    let fields = Fields::of(value)?;
    let key: Key = fields.parsed("key")?;
    let role = fields.text("role")?;
    let roles = [Role::Ordinary, Role::Static, Role::Trusted];
    let role = roles.into_iter().find(|known| known.name() == role);
    let name = fields.perhaps("name", |fields, field| {
        match fields.parsed::<peerage_book::Address>(field)? {
            peerage_book::Address::Named(name) => Ok::<Name, _>(name),
            peerage_book::Address::At(_) => Err(wrong(field)),
        }
    })?;
    let spots = fields.list("spots")?.iter().take(MOST).map(|spot| {
        let spot = Fields::of(spot)?;
        Ok(Spot {
            endpoint: to_endpoint(spot, "at")?,
            heard: spot.time("heard")?,
            verified: spot.perhaps("verified", Fields::time)?,
            failures: spot.small("failures")?,
        })
    });
    let spots: Result<Vec<Spot>> = spots.collect();
    let sources = fields.list("sources")?.iter().take(MOST);
    let sources: Result<Vec<Source>> = sources
        .map(|source| Fields::of(source).and_then(to_source))
        .collect();
    let verdict = match fields.text("verdict") {
        Ok("unknown") => Verdict::Unknown,
        Ok("fit") => Verdict::Fit,
        Ok(_) => return Err(wrong("verdict")),
        Err(_) => Verdict::Unfit(to_cause(fields.inner("verdict")?)?),
    };
    Ok(Entry {
        key,
        role: role.ok_or(wrong("role"))?,
        name,
        spots: spots?,
        sources: sources?,
        claims: Claims {
            services: fields.perhaps("services", Fields::number)?,
            seen: fields.perhaps("seen", Fields::time)?,
            sequence: fields.perhaps("sequence", Fields::number)?,
            verdict,
        },
        first_heard: fields.time("first_heard")?,
        last_heard: fields.time("last_heard")?,
        attempts: fields.small("attempts")?,
        successes: fields.small("successes")?,
        failures: fields.small("failures")?,
        last_attempt: fields.perhaps("last_attempt", Fields::time)?,
        last_success: fields.perhaps("last_success", Fields::time)?,
        online: Duration::from_secs(fields.number("online")?),
        score: fields.signed("score")?,
        agent: fields.perhaps("agent", to_peer_text)?,
        retry_at: fields.perhaps("retry_at", Fields::time)?,
        at: fields.time("at")?,
    })
}

pub(crate) fn event(event: &Event) -> Value {
    let mut value = json!({
        "number": event.number,
        "first": event.first.0,
        "last": event.last.0,
        "times": event.times,
    });
    let (what, more) = match &event.what {
        What::Heard(from) => ("heard", json!({ "source": source(from) })),
        What::Failed {
            address,
            cause: why,
        } => (
            "failed",
            json!({ "address": address.to_string(), "cause": cause(why) }),
        ),
        What::Excused {
            address,
            cause: why,
        } => {
            let address = address.as_ref().map(ToString::to_string);
            (
                "excused",
                json!({ "address": address, "cause": cause(why) }),
            )
        }
        What::Unfit(why) => ("unfit", json!({ "cause": cause(why) })),
        What::Fit => ("fit", json!({})),
        What::Greeted { direction, agent } => {
            let direction = direction.to_string();
            let agent = peer_text(agent);
            ("greeted", json!({ "direction": direction, "agent": agent }))
        }
        What::Left { lasted, cause: why } => (
            "left",
            json!({ "lasted": lasted.as_secs(), "cause": cause(why) }),
        ),
        What::Cut => ("cut", json!({})),
        What::Banned(words) => ("banned", json!({ "words": words })),
        What::Unbanned => ("unbanned", json!({})),
        What::Resolved { addresses } => ("resolved", json!({ "addresses": addresses })),
        What::Unresolved(why) => ("unresolved", json!({ "cause": cause(why) })),
        // A kind of event that this form does not know yet is written without its particulars.
        _ => ("other", json!({})),
    };
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        fields.insert("what".to_owned(), json!(what));
        fields.extend(more);
    }
    value
}

pub(crate) fn to_event(value: &Value) -> Result<Event> {
    let fields = Fields::of(value)?;
    let why = || to_cause(fields.inner("cause")?);
    let what = match fields.text("what")? {
        "heard" => What::Heard(to_source(fields.inner("source")?)?),
        "failed" => What::Failed {
            address: fields.parsed("address")?,
            cause: why()?,
        },
        "excused" => What::Excused {
            address: fields.perhaps("address", |fields, field| fields.parsed(field))?,
            cause: why()?,
        },
        "unfit" => What::Unfit(why()?),
        "fit" => What::Fit,
        "greeted" => What::Greeted {
            direction: match fields.text("direction")? {
                "inbound" => Direction::Inbound,
                "outbound" => Direction::Outbound,
                _ => return Err(wrong("direction")),
            },
            agent: to_peer_text(fields, "agent")?,
        },
        "cut" => What::Cut,
        "left" => What::Left {
            lasted: Duration::from_secs(fields.number("lasted")?),
            cause: why()?,
        },
        "banned" => {
            let words = fields.text("words")?;
            if words.len() > Cause::MAX_WORDS {
                return Err(wrong("words"));
            }
            What::Banned(words.into())
        }
        "unbanned" => What::Unbanned,
        "resolved" => What::Resolved {
            addresses: fields.small("addresses")?,
        },
        "unresolved" => What::Unresolved(why()?),
        _ => return Err(wrong("what")),
    };
    Ok(Event {
        number: fields.number("number")?,
        first: fields.time("first")?,
        last: fields.time("last")?,
        times: fields.small("times")?,
        what,
    })
}

pub(crate) fn ban(subject: &Subject, ban: &Ban) -> Value {
    let (of, whom) = match subject {
        Subject::Identity(identity) => ("identity", identity.to_string()),
        Subject::Net(prefix) => ("net", prefix.to_string()),
    };
    json!({
        "v": VERSION,
        "type": "ban",
        "of": of,
        "subject": whom,
        "by": ban.by.name(),
        "since": ban.since.0,
        "until": seconds(ban.until),
        "words": ban.words,
    })
}

pub(crate) fn to_ban(value: &Value) -> Result<(Subject, Ban)> {
    let fields = Fields::of(value)?;
    let subject = match fields.text("of")? {
        "identity" => Subject::Identity(fields.parsed::<Identity>("subject")?),
        "net" => Subject::Net(fields.parsed::<Prefix>("subject")?),
        _ => return Err(wrong("of")),
    };
    let by = fields.text("by")?;
    let by = [By::Operator, By::Node]
        .into_iter()
        .find(|known| known.name() == by);
    let ban = Ban {
        by: by.ok_or(wrong("by"))?,
        since: fields.time("since")?,
        until: fields.perhaps("until", Fields::time)?,
        words: fields.text("words")?.into(),
    };
    Ok((subject, ban))
}

pub(crate) fn anchor(key: &Key) -> Value {
    json!({ "v": VERSION, "type": "anchor", "key": key.to_string() })
}

/// A candidate with its history, in one line.
pub(crate) fn line(of: &Entry, events: &[Event]) -> Value {
    let mut value = entry(of);
    if let Some(fields) = value.as_object_mut() {
        let history = events.iter().map(event).collect();
        fields.insert("history".to_owned(), Value::Array(history));
    }
    value
}

/// One thing that a line can hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Peer(Box<Entry>, Vec<Event>),
    Ban(Subject, Ban),
    Anchor(Key),
}

pub(crate) fn to_record(text: &str) -> Result<Record> {
    let value: Value = serde_json::from_str(text).map_err(|_| FormError::NotJson)?;
    let fields = Fields::of(&value)?;
    let found = fields.number("v").unwrap_or(0);
    if found != VERSION {
        let known = VERSION;
        return Err(FormError::Version { found, known });
    }
    match fields.text("type").unwrap_or("") {
        "peer" => {
            let history = fields.list("history").unwrap_or(&[]);
            let events = history.iter().take(MOST).map(to_event);
            let events: Result<Vec<Event>> = events.collect();
            Ok(Record::Peer(Box::new(to_entry(&value)?), events?))
        }
        "ban" => to_ban(&value).map(|(subject, ban)| Record::Ban(subject, ban)),
        "anchor" => fields.parsed("key").map(Record::Anchor),
        found => Err(FormError::Type {
            found: found.into(),
        }),
    }
}

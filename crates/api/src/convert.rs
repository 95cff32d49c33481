//! The vocabulary of the library as the interface has it.

use std::time::Duration;

use peerage::core::Stage;
use peerage::core::reason::Value;
use peerage::networks::{Fact, PeerFacts};
use peerage::node::book::{Ban, Entry, Key, Role, Story, Subject, What};
use peerage::node::peers::{Ending, Parting, Phase, Snapshot, Standing, Tally};
use peerage::node::{FinderReport, Overview};
use peerage::{Blame, ConnectedAddr, Direction, Kind, Reason, Retry};

use crate::v1;

/// What only an error knows that has no [`Failure`] of its own.
pub(crate) fn usage(message: impl Into<Box<str>>) -> Reason {
    Reason {
        stage: Stage::Input,
        kind: Kind::Usage,
        blame: Blame::Caller,
        retry: Retry::Never,
        detail: peerage::Detail::none(),
        message: message.into(),
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const fn stage_of(stage: Stage) -> v1::Stage {
    match stage {
        Stage::Input => v1::Stage::Input,
        Stage::Find(_) => v1::Stage::Find,
        Stage::Resolve => v1::Stage::Resolve,
        Stage::Reach => v1::Stage::Reach,
        Stage::Greet(_) => v1::Stage::Greet,
        Stage::Keep(_) => v1::Stage::Keep,
        // Whatever is added later.
        _ => v1::Stage::Unspecified,
    }
}

/// The kind of that name: the names are the same but for their case.
pub(crate) fn kind(kind: Kind) -> v1::Kind {
    let name = format!("KIND_{}", kind.name().to_ascii_uppercase());
    v1::Kind::from_str_name(&name).unwrap_or_default()
}

const fn blame(blame: Blame) -> v1::Blame {
    match blame {
        Blame::Them => v1::Blame::Them,
        Blame::Us => v1::Blame::Us,
        Blame::Network => v1::Blame::Network,
        Blame::Caller => v1::Blame::Caller,
    }
}

fn retry(retry: Retry) -> (v1::Retry, u64) {
    match retry {
        Retry::Never => (v1::Retry::Never, 0),
        Retry::Now => (v1::Retry::Now, 0),
        Retry::After(wait) => (v1::Retry::After, millis(wait)),
    }
}

/// A reason, whole.
pub(crate) fn reason(of: &Reason) -> v1::Reason {
    let (retry, retry_after_ms) = retry(of.retry);
    v1::Reason {
        stage: stage_of(of.stage).into(),
        step: of.stage.name().to_owned(),
        kind: kind(of.kind).into(),
        blame: blame(of.blame).into(),
        retry: retry.into(),
        retry_after_ms,
        detail: of
            .detail
            .iter()
            .map(|(name, of)| detail(name, of))
            .collect(),
        words: of.message.to_string(),
        advice: of.advice().to_owned(),
    }
}

fn detail(name: &str, value: &Value) -> v1::Fact {
    use v1::fact::Value as Of;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever is added later has a shown form, as text of a peer has"
    )]
    let value = match value {
        Value::Uint(value) => Of::Uint(*value),
        Value::Int(value) => Of::Int(*value),
        Value::Name(value) => Of::Text((*value).to_owned()),
        Value::Span(value) => Of::SpanUs(micros(*value)),
        value => Of::Text(value.to_string()),
    };
    v1::Fact {
        name: name.to_owned(),
        value: Some(value),
    }
}

fn fact((name, value): (&'static str, Fact)) -> v1::Fact {
    use v1::fact::Value as Of;
    let value = match value {
        Fact::Int(value) => Some(u64::try_from(value).map_or(Of::Int(value), Of::Uint)),
        Fact::Flag(value) => Some(Of::Flag(value)),
        Fact::Text(value) => Some(Of::Text(value)),
        Fact::List(values) => Some(Of::List(v1::Texts { values })),
        Fact::Unknown => None,
    };
    let name = name.to_owned();
    v1::Fact { name, value }
}

pub(crate) fn facts(of: &PeerFacts) -> Vec<v1::Fact> {
    of.fields().into_iter().map(fact).collect()
}

/// The stage of a cause that was kept by its name alone.
fn stage_named(name: &str) -> v1::Stage {
    match name {
        "input" => v1::Stage::Input,
        "resolve" => v1::Stage::Resolve,
        "reach" => v1::Stage::Reach,
        _ => v1::Stage::Unspecified,
    }
}

fn cause(of: &peerage::node::book::Cause) -> v1::Reason {
    let (retry, retry_after_ms) = retry(of.retry);
    v1::Reason {
        stage: stage_named(&of.stage).into(),
        step: of.stage.to_string(),
        kind: kind(of.kind).into(),
        blame: blame(of.blame).into(),
        retry: retry.into(),
        retry_after_ms,
        detail: Vec::new(),
        words: of.words.to_string(),
        advice: of.kind.advice().to_owned(),
    }
}

pub(crate) const fn direction(of: Direction) -> v1::Direction {
    match of {
        Direction::Inbound => v1::Direction::Inbound,
        Direction::Outbound => v1::Direction::Outbound,
    }
}

/// A connection's address as text, and how it goes.
pub(crate) fn place(addr: Option<&ConnectedAddr>) -> (String, v1::Connection) {
    let Some(addr) = addr else {
        return (String::new(), v1::Connection::Unspecified);
    };
    match addr {
        ConnectedAddr::OutboundDirect { addr } | ConnectedAddr::InboundDirect { addr } => {
            (addr.to_string(), v1::Connection::Direct)
        }
        ConnectedAddr::OutboundProxy { .. } | ConnectedAddr::InboundProxy { .. } => {
            (addr.to_string(), v1::Connection::Proxy)
        }
        ConnectedAddr::Isolated { .. } => (addr.to_string(), v1::Connection::Isolated),
    }
}

pub(crate) const fn ending(of: Ending) -> v1::Ending {
    match of {
        Ending::Cancelled => v1::Ending::Cancelled,
        Ending::Refused => v1::Ending::Refused,
        Ending::Left => v1::Ending::Left,
        Ending::Goodbye => v1::Ending::Goodbye,
        Ending::Failed => v1::Ending::Failed,
    }
}

pub(crate) const fn parting(of: v1::Parting) -> Parting {
    match of {
        v1::Parting::Unspecified | v1::Parting::Requested => Parting::Requested,
        v1::Parting::Full => Parting::Full,
        v1::Parting::Incompatible => Parting::Incompatible,
        v1::Parting::Breach => Parting::Breach,
        v1::Parting::Quitting => Parting::Quitting,
    }
}

const fn standing(of: Standing) -> v1::Standing {
    match of {
        Standing::Ordinary => v1::Standing::Ordinary,
        Standing::Static => v1::Standing::Static,
        Standing::Trusted => v1::Standing::Trusted,
    }
}

const fn role(of: Role) -> v1::Standing {
    match of {
        Role::Ordinary => v1::Standing::Ordinary,
        Role::Static => v1::Standing::Static,
        Role::Trusted => v1::Standing::Trusted,
    }
}

pub(crate) const fn traffic(of: &Tally) -> v1::Traffic {
    v1::Traffic {
        bytes_in: of.bytes_in,
        bytes_out: of.bytes_out,
        messages_in: of.messages_in,
        messages_out: of.messages_out,
        gossip_dropped: of.gossip_dropped,
        gossip_refused: of.gossip_refused,
        undelivered: of.undelivered,
    }
}

/// An attempt or a peer, with what its handshake said.
pub(crate) fn peer(realm: &v1::Realm, of: &Snapshot<Key>, known: Option<&PeerFacts>) -> v1::Peer {
    let (phase, stage) = match of.phase {
        Phase::Pending(stage) => (v1::Phase::Pending, Some(stage)),
        Phase::Refusing => (v1::Phase::Refusing, None),
        Phase::Active => (v1::Phase::Active, None),
    };
    let (address, connection) = place(of.addr.as_ref());
    let rtt = of.rtt;
    v1::Peer {
        peer: Some(v1::PeerRef {
            realm: Some(realm.clone()),
            session: of.id.0,
            key: of.identity.as_ref().map(Key::to_string).unwrap_or_default(),
        }),
        phase: phase.into(),
        stage: stage.map_or(v1::Stage::Unspecified, stage_of).into(),
        step: stage
            .map(|stage| stage.name().to_owned())
            .unwrap_or_default(),
        direction: direction(of.direction).into(),
        address,
        connection: connection.into(),
        standing: standing(of.standing).into(),
        agent: of.client.to_string(),
        height: known.and_then(|facts| facts.height),
        speaks: known.map(PeerFacts::speaks).unwrap_or_default(),
        facts: known.map(facts).unwrap_or_default(),
        age_ms: millis(of.age),
        rtt_us: rtt.map(|rtt| micros(rtt.latest)),
        min_rtt_us: rtt.map(|rtt| micros(rtt.min)),
        quiet_ms: millis(of.quiet),
        traffic: Some(traffic(&of.tally)),
        rate_in: of.rate_in,
        rate_out: of.rate_out,
        asking: count(of.asking),
        asked: count(of.asked),
        sending: of.sending as u64,
        unread: of.unread as u64,
        paused: of.paused,
        strikes: of.strikes,
    }
}

pub(crate) fn status(realm: &v1::Realm, of: &Overview, finders: &[FinderReport]) -> v1::NodeStatus {
    let [pending_in, pending_out] = of.peers.pending;
    let [inbound, outbound] = of.peers.active;
    let trouble = of.store.as_ref().and_then(|store| store.trouble.as_ref());
    v1::NodeStatus {
        realm: Some(realm.clone()),
        established: count(of.peers.established),
        inbound: count(inbound),
        outbound: count(outbound),
        pending_in: count(pending_in),
        pending_out: count(pending_out),
        known: count(of.known),
        bans: count(of.bans),
        traffic: Some(traffic(&of.peers.tally)),
        rate_in: of.peers.rate_in,
        rate_out: of.peers.rate_out,
        sending: of.peers.sending as u64,
        unread: of.peers.unread as u64,
        not_admitted: of.counters.not_admitted,
        refused_banned: of.counters.banned,
        accept_failed: of.counters.accept_failed,
        store_trouble: trouble.map(ToString::to_string).unwrap_or_default(),
        finders: finders.iter().map(finder).collect(),
    }
}

fn finder(of: &FinderReport) -> v1::FinderStatus {
    let seeds = of.report.seeds.iter().map(|seed| v1::SeedStatus {
        seed: seed.seed.to_string(),
        asked: seed.asked,
        failed: seed.failed,
        gave: seed.gave,
        trouble: seed.trouble.as_ref().map(reason),
    });
    v1::FinderStatus {
        name: of.report.source.0.to_owned(),
        gave: of.report.gave,
        taken: of.taken,
        lived: of.lived,
        seeds: seeds.collect(),
    }
}

pub(crate) fn subject(of: &Subject) -> v1::Subject {
    use v1::subject::Of;
    let of = match of {
        Subject::Identity(identity) => Of::Identity(identity.to_string()),
        Subject::Net(range) => Of::Net(range.to_string()),
    };
    v1::Subject { of: Some(of) }
}

pub(crate) fn ban(realm: &v1::Realm, of: &Subject, ban: &Ban) -> v1::Ban {
    v1::Ban {
        realm: Some(realm.clone()),
        subject: Some(subject(of)),
        since: ban.since.0,
        until: ban.until.map(|until| until.0),
        by_operator: ban.by == peerage::node::book::By::Operator,
        why: ban.words.to_string(),
    }
}

pub(crate) fn candidate(realm: &v1::Realm, of: &Entry) -> v1::Candidate {
    let spots = of.spots.iter().map(|spot| v1::Spot {
        address: spot.endpoint.to_string(),
        verified: spot.verified.map(|at| at.0),
        failures: spot.failures,
    });
    v1::Candidate {
        peer: Some(v1::PeerRef {
            realm: Some(realm.clone()),
            session: 0,
            key: of.key.to_string(),
        }),
        standing: role(of.role).into(),
        name: of
            .name
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        spots: spots.collect(),
        sources: of.sources.iter().map(ToString::to_string).collect(),
        services: of.claims.services,
        agent: of
            .agent
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        first_heard: of.first_heard.0,
        last_heard: of.last_heard.0,
        attempts: of.attempts,
        successes: of.successes,
        failures: of.failures,
        last_attempt: of.last_attempt.map(|at| at.0),
        last_success: of.last_success.map(|at| at.0),
        online_s: of.online.as_secs(),
        score: of.score,
        retry_at: of.retry_at.map(|at| at.0),
    }
}

pub(crate) fn story(realm: &v1::Realm, of: &Story) -> v1::Story {
    let advice = of.last_cause().map(|cause| cause.kind.advice().to_owned());
    v1::Story {
        candidate: Some(candidate(realm, &of.entry)),
        now: of.standing.to_string(),
        history: of.events.iter().map(happening).collect(),
        advice: advice.unwrap_or_default(),
    }
}

fn happening(of: &peerage::node::book::Event) -> v1::Happening {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others have no cause")]
    let why = match &of.what {
        What::Failed { cause, .. }
        | What::Excused { cause, .. }
        | What::Unfit(cause)
        | What::Left { cause, .. }
        | What::Unresolved(cause) => Some(cause),
        _ => None,
    };
    v1::Happening {
        first: of.first.0,
        last: of.last.0,
        times: of.times,
        words: of.what.to_string(),
        reason: why.map(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_number() {
        for known in Kind::ALL {
            assert_ne!(kind(*known), v1::Kind::Unspecified, "{known}");
        }
        let mut numbers: Vec<i32> = Kind::ALL.iter().map(|one| kind(*one).into()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Kind::ALL.len());
    }

    #[test]
    fn a_reason_goes_out_whole() {
        let ours = Reason {
            stage: Stage::Greet("version"),
            kind: Kind::Obsolete,
            blame: Blame::Them,
            retry: Retry::After(Duration::from_secs(3)),
            detail: peerage::Detail::none()
                .with("got", 3_u32)
                .with("waited", Duration::from_millis(5)),
            message: "too old".into(),
        };
        let told = reason(&ours);
        assert_eq!(told.stage(), v1::Stage::Greet);
        assert_eq!((&*told.step, told.kind()), ("version", v1::Kind::Obsolete));
        assert_eq!(told.blame(), v1::Blame::Them);
        assert_eq!(
            (told.retry(), told.retry_after_ms),
            (v1::Retry::After, 3000)
        );
        use v1::fact::Value as Of;
        let detail: Vec<_> = told.detail.iter().map(|fact| fact.value.clone()).collect();
        assert_eq!(detail, [Some(Of::Uint(3)), Some(Of::SpanUs(5000))]);
        assert_eq!((&*told.words, &*told.advice), ("too old", ours.advice()));
    }
}

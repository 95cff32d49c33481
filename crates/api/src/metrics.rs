//! Counters of what happened, and the text of `/metrics`. Pure.
//!
//! Every label is a word of ours out of a small set, never a peer's: networks and chains of this
//! daemon, directions, stages, kinds, endings, misdeeds, finders. However many peers come and go, the
//! text stays as long as these are many.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use peerage::core::Stage;
use peerage::node::peers::{Ending, Misdeed};
use peerage::{Direction, Kind};

use crate::v1;

/// What happened on one node.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    established: BTreeMap<&'static str, u64>,
    failed: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    closed: BTreeMap<(&'static str, &'static str), u64>,
    misdeeds: BTreeMap<&'static str, u64>,
    incompatible: u64,
    duplicates: u64,
    stalls: u64,
}

const fn direction(of: Direction) -> &'static str {
    match of {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// The stage without its step.
const fn stage(of: Stage) -> &'static str {
    match of {
        Stage::Input => "input",
        Stage::Find(_) => "find",
        Stage::Resolve => "resolve",
        Stage::Reach => "reach",
        Stage::Greet(_) => "greet",
        Stage::Keep(_) => "keep",
        // Whatever is added later.
        _ => "other",
    }
}

impl Counters {
    /// A peer was established.
    pub fn established(&mut self, of: Direction) {
        *self.established.entry(direction(of)).or_default() += 1;
    }

    /// An attempt failed before there was a peer.
    pub fn failed(&mut self, of: Direction, at: Stage, kind: Kind) {
        let row = (direction(of), stage(at), kind.name());
        *self.failed.entry(row).or_default() += 1;
    }

    /// An established peer is gone.
    pub fn closed(&mut self, ending: Ending, kind: Kind) {
        *self.closed.entry((ending.name(), kind.name())).or_default() += 1;
    }

    /// A peer did what it may not.
    pub fn misbehaved(&mut self, misdeed: Misdeed) {
        *self.misdeeds.entry(misdeed.name()).or_default() += 1;
    }

    /// A peer is of no use any more.
    pub const fn incompatible(&mut self) {
        self.incompatible += 1;
    }

    /// There were two connections with one peer.
    pub const fn duplicate(&mut self) {
        self.duplicates += 1;
    }

    /// The node stood still.
    pub const fn stalled(&mut self) {
        self.stalls += 1;
    }
}

/// One family of values, as the text has them.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, (name, kind, help): (&'static str, &str, &str)) -> Self {
        let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Self { text, name }
    }

    fn row(&mut self, labels: &[(&str, &str)], value: u64) {
        self.text.push_str(self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let begin = if at == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            let value = value.replace('\n', "\\n");
            let _infallible = write!(self.text, "{begin}{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _infallible = writeln!(self.text, " {value}");
    }
}

type Gauge = (
    &'static str,
    &'static str,
    &'static str,
    fn(&v1::NodeStatus) -> u64,
);

const NODE: &[Gauge] = &[
    ("peerage_peers", "gauge", "Established peers.", |of| {
        of.established.into()
    }),
    (
        "peerage_book_candidates",
        "gauge",
        "Candidates in the book.",
        |of| of.known.into(),
    ),
    ("peerage_bans", "gauge", "Bans that hold.", |of| {
        of.bans.into()
    }),
    (
        "peerage_sending_bytes",
        "gauge",
        "Bytes that wait to be sent.",
        |of| of.sending,
    ),
    (
        "peerage_unread_bytes",
        "gauge",
        "Bytes that wait to be taken by applications.",
        |of| of.unread,
    ),
    (
        "peerage_not_admitted_total",
        "counter",
        "Connections beyond the rates and limits of the listeners.",
        |of| of.not_admitted,
    ),
    (
        "peerage_refused_banned_total",
        "counter",
        "Connections from banned addresses.",
        |of| of.refused_banned,
    ),
    (
        "peerage_accept_failed_total",
        "counter",
        "Connections that the system could not give us.",
        |of| of.accept_failed,
    ),
    (
        "peerage_store_in_trouble",
        "gauge",
        "1 while the book cannot be written.",
        |of| u64::from(!of.store_trouble.is_empty()),
    ),
];

type Pair = (
    (&'static str, &'static str, &'static str),
    fn(&v1::NodeStatus) -> [u64; 2],
);

/// What there is of both directions.
const BOTH: &[Pair] = &[
    (
        (
            "peerage_slots_taken",
            "gauge",
            "Peers that take a slot, by who dialled.",
        ),
        |of| [of.inbound.into(), of.outbound.into()],
    ),
    (
        (
            "peerage_attempts_pending",
            "gauge",
            "Attempts under way, by who dialled.",
        ),
        |of| [of.pending_in.into(), of.pending_out.into()],
    ),
    (
        ("peerage_bytes_total", "counter", "Bytes read and written."),
        |of| {
            let of = of.traffic.unwrap_or_default();
            [of.bytes_in, of.bytes_out]
        },
    ),
    (
        (
            "peerage_messages_total",
            "counter",
            "Messages heard and handed over for sending.",
        ),
        |of| {
            let of = of.traffic.unwrap_or_default();
            [of.messages_in, of.messages_out]
        },
    ),
];

/// The text of `/metrics` (Prometheus, text format 0.0.4), from the figures and counters of each
/// node, and how many tasks are alive in the runtime.
pub fn text(
    nodes: &[(v1::NodeStatus, Counters)],
    subscriptions: &v1::SubscriptionStatus,
    tasks: usize,
) -> String {
    let mut text = String::new();
    let realms: Vec<[(&str, &str); 2]> = nodes.iter().map(|(status, _)| realm(status)).collect();
    let each = || nodes.iter().zip(&realms);
    for (name, kind, help, value) in NODE {
        let mut family = Family::new(&mut text, (name, kind, help));
        for ((status, _), realm) in each() {
            family.row(realm, value(status));
        }
    }
    for (head, values) in BOTH {
        let mut family = Family::new(&mut text, *head);
        for ((status, _), [network, chain]) in each() {
            let [inbound, outbound] = values(status);
            family.row(&[*network, *chain, ("direction", "inbound")], inbound);
            family.row(&[*network, *chain, ("direction", "outbound")], outbound);
        }
    }
    finders(&mut text, nodes, &realms);
    let head = (
        "peerage_established_total",
        "counter",
        "Handshakes that made a peer.",
    );
    let mut family = Family::new(&mut text, head);
    for ((_, counters), [network, chain]) in each() {
        for (direction, value) in &counters.established {
            family.row(&[*network, *chain, ("direction", direction)], *value);
        }
    }
    let help = "Attempts that failed before there was a peer, by stage and kind.";
    let mut family = Family::new(
        &mut text,
        ("peerage_failed_attempts_total", "counter", help),
    );
    for ((_, counters), [network, chain]) in each() {
        for ((direction, stage, kind), value) in &counters.failed {
            let [direction, stage] = [("direction", *direction), ("stage", *stage)];
            family.row(
                &[*network, *chain, direction, stage, ("kind", kind)],
                *value,
            );
        }
    }
    let help = "Peers that are gone, by whose word and kind.";
    let mut family = Family::new(&mut text, ("peerage_closed_total", "counter", help));
    for ((_, counters), [network, chain]) in each() {
        for ((ending, kind), value) in &counters.closed {
            family.row(
                &[*network, *chain, ("ending", ending), ("kind", kind)],
                *value,
            );
        }
    }
    let help = "What peers did against the rules of their network.";
    let mut family = Family::new(&mut text, ("peerage_misdeeds_total", "counter", help));
    for ((_, counters), [network, chain]) in each() {
        for (misdeed, value) in &counters.misdeeds {
            family.row(&[*network, *chain, ("misdeed", misdeed)], *value);
        }
    }
    type Single = (&'static str, &'static str, fn(&Counters) -> u64);
    let singles: [Single; 3] = [
        (
            "peerage_incompatible_total",
            "Peers that became of no use.",
            |of| of.incompatible,
        ),
        (
            "peerage_duplicates_total",
            "Second connections with one peer.",
            |of| of.duplicates,
        ),
        (
            "peerage_stalls_total",
            "Times that the node stood still.",
            |of| of.stalls,
        ),
    ];
    for (name, help, value) in singles {
        let mut family = Family::new(&mut text, (name, "counter", help));
        for ((_, counters), realm) in each() {
            family.row(realm, value(counters));
        }
    }
    for (name, kind, help, value) in [
        (
            "peerage_tasks",
            "gauge",
            "Tasks alive in the runtime of the daemon.",
            tasks as u64,
        ),
        (
            "peerage_subscriptions",
            "gauge",
            "Subscriptions, those that wait to be picked up included.",
            u64::from(subscriptions.open),
        ),
        (
            "peerage_subscription_budget_bytes",
            "gauge",
            "The budgets of all subscriptions.",
            subscriptions.budget_bytes,
        ),
        (
            "peerage_subscription_waiting_bytes",
            "gauge",
            "What waits in subscriptions.",
            subscriptions.waiting_bytes,
        ),
        (
            "peerage_subscription_lost_total",
            "counter",
            "Items that subscriptions lost.",
            subscriptions.lost,
        ),
    ] {
        Family::new(&mut text, (name, kind, help)).row(&[], value);
    }
    text
}

fn realm(status: &v1::NodeStatus) -> [(&str, &str); 2] {
    let realm = status.realm.as_ref();
    let network = realm.map_or("", |realm| &*realm.network);
    let chain = realm.map_or("", |realm| &*realm.chain);
    [("network", network), ("chain", chain)]
}

/// Finders by their own names, of which there are a few; seeds stay out.
fn finders(text: &mut String, nodes: &[(v1::NodeStatus, Counters)], realms: &[[(&str, &str); 2]]) {
    type Of = fn(&v1::FinderStatus) -> u64;
    let families: [(&'static str, &str, Of); 3] = [
        (
            "peerage_found_total",
            "Candidates that finders gave.",
            |of| of.gave,
        ),
        (
            "peerage_found_taken_total",
            "Of those, taken into the book.",
            |of| of.taken,
        ),
        ("peerage_found_lived_total", "Of those, greeted.", |of| {
            of.lived
        }),
    ];
    for (name, help, value) in families {
        let mut family = Family::new(text, (name, "counter", help));
        for ((status, _), [network, chain]) in nodes.iter().zip(realms) {
            let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
            for finder in &status.finders {
                *sums.entry(&finder.name).or_default() += value(finder);
            }
            for (finder, value) in sums {
                family.row(&[*network, *chain, ("finder", finder)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(network: &str) -> v1::NodeStatus {
        let finders = ["dns", "https", "gossip", "discv5"].map(|name| v1::FinderStatus {
            name: name.into(),
            gave: u64::MAX,
            ..v1::FinderStatus::default()
        });
        v1::NodeStatus {
            realm: Some(v1::Realm {
                network: network.into(),
                chain: "mainnet".into(),
            }),
            established: 5000,
            traffic: Some(v1::Traffic {
                bytes_in: u64::MAX,
                ..v1::Traffic::default()
            }),
            finders: finders.into(),
            ..v1::NodeStatus::default()
        }
    }

    const ENDINGS: [Ending; 5] = [
        Ending::Cancelled,
        Ending::Refused,
        Ending::Left,
        Ending::Goodbye,
        Ending::Failed,
    ];
    const STAGES: [Stage; 6] = [
        Stage::Input,
        Stage::Find("dns"),
        Stage::Resolve,
        Stage::Reach,
        Stage::Greet("version"),
        Stage::Keep("ping"),
    ];

    /// A million peers who come, fail and go in every way there is, on three nodes.
    fn churn(peers: usize) -> Vec<(v1::NodeStatus, Counters)> {
        let mut nodes =
            ["ethereum", "zcash", "decred"].map(|name| (node(name), Counters::default()));
        for number in 0..peers {
            let (_, counters) = &mut nodes[number % 3];
            let number = number / 3;
            // In every combination: each digit of a mixed radix chooses one.
            let kind = Kind::ALL[number / 12 % Kind::ALL.len()];
            let way = if number % 2 == 0 {
                Direction::Inbound
            } else {
                Direction::Outbound
            };
            counters.established(way);
            counters.failed(way, STAGES[number / 2 % 6], kind);
            counters.closed(ENDINGS[number / 12 / Kind::ALL.len() % 5], kind);
            counters.misbehaved(Misdeed::ALL[number % 6]);
        }
        nodes.into()
    }

    #[test]
    fn a_million_peers_who_do_all_there_is_stay_below_200_kilobytes() {
        let nodes = churn(1_000_000);
        let all = text(&nodes, &v1::SubscriptionStatus::default(), 7);
        assert!(all.len() < 200_000, "{} bytes", all.len());
        let few = text(&churn(30_000), &v1::SubscriptionStatus::default(), 7);
        let rows = |text: &str| text.lines().count();
        assert_eq!(rows(&all), rows(&few), "more peers are no more rows");
        // Every row that can be is there: the bound is not luck.
        let failed = all
            .lines()
            .filter(|row| row.starts_with("peerage_failed_attempts_total{"));
        assert_eq!(failed.count(), 3 * 2 * STAGES.len() * Kind::ALL.len());
    }

    #[test]
    fn the_text_is_of_the_format() {
        let mut nodes = churn(100);
        nodes[0].0.realm.as_mut().unwrap().chain = "a\"b\\c\nd".into();
        let text = text(&nodes, &v1::SubscriptionStatus::default(), 7);
        assert!(text.contains("chain=\"a\\\"b\\\\c\\nd\""));
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap().to_owned();
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(
                name == family || name.starts_with(&format!("{family}{{")),
                "{line}"
            );
            value.parse::<u64>().unwrap();
        }
        assert!(text.contains("peerage_peers{network=\"zcash\",chain=\"mainnet\"} 5000\n"));
    }
}

//! What an operator decides.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage_core::{Detail, Failure, Kind, Stage};

use crate::prefix::Grouping;

/// How much is remembered. Whatever is full gives way by a rule or refuses; nothing grows on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Candidates that never greeted us. 15,000: three times zebra's whole book. Heard of once they
    /// take 28 MB; see `docs/book.md`.
    pub new: usize,
    /// Candidates that did once. 5,000.
    pub tried: usize,
    /// New candidates of one source group. 1,000, a fifteenth; in Bitcoin Core a source group
    /// reaches a sixteenth of the new table.
    pub per_source: usize,
    /// New candidates in one address group, and tried ones likewise. 64, a bucket of Bitcoin Core.
    pub per_group: usize,
    /// Endpoints of one candidate with an identity. 4.
    pub endpoints: usize,
    /// Sources of one candidate: the first, and the latest others. 4.
    pub sources: usize,
    /// Events of one candidate. 16; the file keeps more.
    pub events: usize,
    /// Static and trusted peers. 256.
    pub pinned: usize,
    /// Bans. 20,000, as in zebra.
    pub bans: usize,
    /// Failed candidates that were let go and are not taken back at once. 4,096.
    pub buried: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            new: 15_000,
            tried: 5_000,
            per_source: 1_000,
            per_group: 64,
            endpoints: 4,
            sources: 4,
            events: 16,
            pinned: 256,
            bans: 20_000,
            buried: 4_096,
        }
    }
}

/// When to dial again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The least wait after a failure that may be retried at once. 5 s, as in dcrd.
    pub least: Duration,
    /// The wait doubles with each failure in a row up to this, or to four times what the reason
    /// asked for if that is more. 1 h, as in reth.
    pub most: Duration,
    /// The most for static and trusted peers. 60 s; ten times that where the reason says never.
    pub most_pinned: Duration,
    /// While more peers are wanted and nobody is ready, one who greeted us before and fell silent is
    /// dialled ahead of its time, one in so long. 15 s: twenty of them are tried in five minutes,
    /// where their waits would take an hour and a half.
    pub early: Duration,
    /// Where the reason says never. 7 days: software gets upgraded and addresses change hands.
    pub never: Duration,
    /// How much longer than its rule a wait may be, in percent, at random. 50, as in dcrd.
    pub jitter_percent: u32,
    /// New candidates are let go after so many failures in a row. 3, as in Bitcoin Core.
    pub severe_new: u32,
    /// Tried ones after so many, if they have not greeted us for [`Self::severe_after`]. 10.
    pub severe_tried: u32,
    /// See there. 3 days, when zebra calls a peer dead.
    pub severe_after: Duration,
    /// Nobody is let go for failures while no more candidates than this are known. 64: a small
    /// network has nobody to spare.
    pub spare: usize,
    /// How long one that was let go is not taken back. 1 day.
    pub burial: Duration,
    /// A session that lasted this long proves that the peer works: only then are earlier failures
    /// forgotten, so that one which greets and leaves waits ever longer. 60 s.
    pub proven_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        Self {
            least: Duration::from_secs(5),
            most: Duration::from_secs(HOUR),
            most_pinned: Duration::from_secs(60),
            early: Duration::from_secs(15),
            never: Duration::from_secs(7 * 24 * HOUR),
            jitter_percent: 50,
            severe_new: 3,
            severe_tried: 10,
            severe_after: Duration::from_secs(3 * 24 * HOUR),
            spare: 64,
            burial: Duration::from_secs(24 * HOUR),
            proven_after: Duration::from_secs(60),
        }
    }
}

/// When to blame ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageRule {
    /// Nothing works once peers that greeted us before fail in this many address groups in a row,
    /// with no sign of life between. 3; fewer if fewer are known.
    pub known: usize,
    /// And candidates of any kind this many in all. 5; fewer if fewer are known.
    pub total: usize,
    /// While nothing works, one dial in so long. 5 s: a set is back within a minute.
    pub probe: Duration,
    /// Whoever failed then waits this long at most. 20 s.
    pub wait: Duration,
}

impl Default for OutageRule {
    fn default() -> Self {
        Self {
            known: 3,
            total: 5,
            probe: Duration::from_secs(5),
            wait: Duration::from_secs(20),
        }
    }
}

/// What is said to peers who ask for addresses, and believed of what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipRule {
    /// The most entries in one message, theirs and ours. 1,000 on all networks here.
    pub message: usize,
    /// How many entries of one answer are taken, at random. 37, as in zebra.
    pub taken: usize,
    /// At most this share of what could be told is told, in percent. 23, as in Bitcoin Core and
    /// dcrd.
    pub percent: usize,
    /// An answer stays the same for this long, and up to a quarter longer. 24 h, as in Bitcoin Core.
    pub period: Duration,
    /// One with fewer than [`Self::few`] entries stays only this long. 10 min: a young book is not
    /// mute for a day.
    pub period_of_few: Duration,
    /// See there. 8.
    pub few: usize,
    /// Only who greeted us this recently is told of. 3 h, as in zebra.
    pub fresh: Duration,
    /// Times are told rounded down to this. 30 min, as in zebra.
    pub step: Duration,
    /// Entries last seen longer ago are not believed. 3 days, as in zebra.
    pub stale: Duration,
    /// What others say was seen counts as seen this much earlier, so that an entry ages with each
    /// hop. 2 h, as in Bitcoin Core.
    pub penalty: Duration,
}

impl Default for GossipRule {
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        Self {
            message: 1_000,
            taken: 37,
            percent: 23,
            period: Duration::from_secs(24 * HOUR),
            period_of_few: Duration::from_secs(600),
            few: 8,
            fresh: Duration::from_secs(3 * HOUR),
            step: Duration::from_secs(1_800),
            stale: Duration::from_secs(72 * HOUR),
            penalty: Duration::from_secs(2 * HOUR),
        }
    }
}

/// What becomes of the names of static peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// The book asks for their addresses, again and again.
    #[default]
    Resolve,
    /// They are dialled as names: the proxy resolves them, and nobody else.
    Dial,
}

/// What an operator decides; a [`Book`](crate::Book) keeps to it all its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How much is remembered.
    pub caps: Caps,
    /// When to dial again.
    pub backoff: Backoff,
    /// When to blame ourselves.
    pub outage: OutageRule,
    /// Gossip.
    pub gossip: GossipRule,
    /// What is an address group.
    pub grouping: Grouping,
    /// Outbound peers in one address group, dials under way included. 1, as in dcrd.
    pub outbound_per_group: usize,
    /// The least time between two dials. 100 ms, as in zebra.
    pub spacing: Duration,
    /// Of 100 dials, how many go to a peer that greeted us before, while there are both kinds. 50,
    /// as in Bitcoin Core.
    pub tried_percent: usize,
    /// Outbound peers remembered as those to begin with after a restart. 8.
    pub anchors: usize,
    /// Names of static peers.
    pub names: Names,
    /// How often a name is resolved again. 30 min.
    pub resolve_every: Duration,
    /// Whether strangers may tell of local addresses: on a test network they must.
    pub local: bool,
    /// Ports that strangers may not tell of: those of other networks.
    pub foreign_ports: BTreeSet<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            caps: Caps::default(),
            backoff: Backoff::default(),
            outage: OutageRule::default(),
            gossip: GossipRule::default(),
            grouping: Grouping::default(),
            outbound_per_group: 1,
            spacing: Duration::from_millis(100),
            tried_percent: 50,
            anchors: 8,
            names: Names::default(),
            resolve_every: Duration::from_secs(1_800),
            local: false,
            foreign_ports: BTreeSet::new(),
        }
    }
}

/// A setting outside what it may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {got}, it must be from {least} to {most}")]
pub struct ConfigError {
    /// The setting.
    pub name: &'static str,
    /// Its value; durations in milliseconds.
    pub got: u128,
    /// The least allowed.
    pub least: u128,
    /// The most allowed.
    pub most: u128,
}

impl Failure for ConfigError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none().with("setting", self.name)
    }
}

impl Config {
    /// The most of any count.
    pub const CEILING: usize = 1_000_000;
    /// The longest of any span: a year.
    pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first setting that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let count = |name, value: usize, most: usize| (name, value as u128, 1, most as u128);
        let span = |name, value: Duration| {
            let longest = Self::LONGEST.as_millis();
            (name, value.as_millis(), 1, longest)
        };
        let Self {
            caps,
            backoff,
            outage,
            gossip,
            ..
        } = self;
        let values = [
            count("caps.new", caps.new, Self::CEILING),
            count("caps.tried", caps.tried, Self::CEILING),
            count("caps.per_source", caps.per_source, caps.new),
            count("caps.per_group", caps.per_group, Self::CEILING),
            count("caps.endpoints", caps.endpoints, 16),
            count("caps.sources", caps.sources, 16),
            count("caps.events", caps.events, 256),
            count("caps.pinned", caps.pinned, 10_000),
            count("caps.bans", caps.bans, Self::CEILING),
            count("caps.buried", caps.buried, Self::CEILING),
            span("backoff.least", backoff.least),
            span("backoff.most", backoff.most),
            span("backoff.most_pinned", backoff.most_pinned),
            span("backoff.early", backoff.early),
            span("backoff.never", backoff.never),
            span("backoff.severe_after", backoff.severe_after),
            span("backoff.burial", backoff.burial),
            count("backoff.severe_new", backoff.severe_new as usize, 1_000),
            count("backoff.severe_tried", backoff.severe_tried as usize, 1_000),
            (
                "backoff.jitter_percent",
                backoff.jitter_percent.into(),
                0,
                1_000,
            ),
            count("outage.known", outage.known, 100),
            count("outage.total", outage.total, 1_000),
            span("outage.probe", outage.probe),
            span("outage.wait", outage.wait),
            count("gossip.message", gossip.message, 10_000),
            count("gossip.taken", gossip.taken, gossip.message),
            count("gossip.percent", gossip.percent, 100),
            span("gossip.period", gossip.period),
            span("gossip.period_of_few", gossip.period_of_few),
            span("gossip.fresh", gossip.fresh),
            span("gossip.step", gossip.step),
            span("gossip.stale", gossip.stale),
            ("grouping.v4", self.grouping.v4.into(), 1, 32),
            ("grouping.v6", self.grouping.v6.into(), 1, 128),
            count("outbound_per_group", self.outbound_per_group, Self::CEILING),
            ("tried_percent", self.tried_percent as u128, 0, 100),
            ("anchors", self.anchors as u128, 0, 64),
            span("resolve_every", self.resolve_every),
        ];
        for (name, got, least, most) in values {
            if !(least..=most).contains(&got) {
                return Err(ConfigError {
                    name,
                    got,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }
}

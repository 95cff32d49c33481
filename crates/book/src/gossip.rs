//! What peers tell of other peers, and what they are told.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{
    ConnectedAddr, Detail, Direction, Domain, Endpoint, Failure, Kind, Stage, UnixTime,
};

use crate::book::Book;
use crate::candidate::{Candidate, Id, Phase, Role};
use crate::key::Key;
use crate::moment::{Now, age, later, secs};
use crate::prefix::Reach;
use crate::source::Source;
use crate::tip::{Added, Refused, Tip};

/// As long as the book has fewer candidates, peers are asked for more. Source: dcrd, `addrmgr`.
const ENOUGH: usize = 1000;

/// One entry of an `addr` or `addrv2` message, of whichever network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipEntry {
    /// Where.
    pub endpoint: Endpoint,
    /// Services, in the network's bits.
    pub services: u64,
    /// When it was seen last.
    pub seen: UnixTime,
}

/// What became of the entries of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Candidates that are new.
    pub new: usize,
    /// Candidates that were known.
    pub known: usize,
    /// Entries left out at random.
    pub left_out: usize,
    /// Entries refused, the last reason of each.
    pub refused: std::collections::BTreeMap<Refused, usize>,
}

/// A peer said more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message with {got} addresses, of which {limit} may be in one")]
pub struct TooManyEntries {
    /// How many came.
    pub got: usize,
    /// How many may.
    pub limit: usize,
}

impl Failure for TooManyEntries {
    fn stage(&self) -> Stage {
        Stage::Keep("addr")
    }

    fn kind(&self) -> Kind {
        Kind::Flood
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none().with("got", self.got);
        detail.with("limit", self.limit)
    }
}

/// What one connection has said about addresses: a cache of its own, which belongs to whoever owns
/// the connection.
///
/// Nothing in it reaches the book by itself. What the peer claims as its own address and what it
/// sends unasked waits here, and is read only together with an answer that we asked for, under the
/// quota of its source (zebra issue 7951).
#[derive(Clone, Debug)]
pub struct Hearsay {
    from: Option<IpAddr>,
    direction: Direction,
    cache: VecDeque<GossipEntry>,
    /// We wait for its answer.
    asked: bool,
    asked_at: Option<Instant>,
    answered: bool,
    /// Thousandths of an unasked entry that may still come.
    tokens: u64,
    counted: Instant,
}

impl Hearsay {
    /// The most entries kept for one connection. 1,000: one message.
    pub const MOST: usize = 1_000;
    /// Unasked entries in a burst. 10: a peer's own address and some it relays.
    pub const BURST: u64 = 10;
    /// One unasked entry more in so long. 10 s, as in Bitcoin Core.
    pub const REFILL: Duration = Duration::from_secs(10);
    /// How long after one question the next may come. 10 min: some answer once in a connection, and
    /// others have heard of more by then.
    pub const ASK_AGAIN: Duration = Duration::from_secs(600);

    /// For a new connection.
    pub fn new(now: Now, connected: &ConnectedAddr) -> Self {
        let from = match connected {
            ConnectedAddr::OutboundDirect { addr } | ConnectedAddr::InboundDirect { addr } => {
                Some(addr.ip())
            }
            ConnectedAddr::OutboundProxy { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. } => None,
        };
        Self {
            from,
            direction: connected.direction(),
            cache: VecDeque::new(),
            asked: false,
            asked_at: None,
            answered: false,
            tokens: Self::BURST * 1_000,
            counted: now.at,
        }
    }

    /// Keeps what the peer says of its own address: claims, seen now.
    pub fn alternates(
        &mut self,
        now: Now,
        connected: &ConnectedAddr,
        canonical: Endpoint,
        services: u64,
    ) {
        for endpoint in connected.alternates(canonical) {
            self.keep(GossipEntry {
                endpoint,
                services,
                seen: now.wall,
            });
        }
    }

    /// Whether this peer may be asked for addresses: one that we dialled, if it was not asked lately.
    /// [`Book::asks_peers`] says whether anybody is to be.
    pub fn may_ask(&self, now: Now) -> bool {
        let lately = |at| now.at < later(at, Self::ASK_AGAIN);
        matches!(self.direction, Direction::Outbound) && !self.asked_at.is_some_and(lately)
    }

    /// We ask this peer for addresses: its next answer is for the book.
    pub const fn ask(&mut self, now: Now) {
        self.asked = true;
        self.asked_at = Some(now.at);
    }

    /// Takes in a message. What comes back is for [`Book::gossip`]: nothing unless we asked. A
    /// message with one entry is passed on but does not count as the answer: it may be the peer's
    /// own address, sent of itself.
    ///
    /// # Errors
    /// When there are more entries than a message may have. Nothing of it is kept.
    pub fn receive(
        &mut self,
        now: Now,
        entries: &[GossipEntry],
        limit: usize,
    ) -> Result<Vec<GossipEntry>, TooManyEntries> {
        if entries.len() > limit {
            let got = entries.len();
            return Err(TooManyEntries { got, limit });
        }
        // One entry alone may be the peer's own address: that does not answer us.
        if self.asked && entries.len() > 1 {
            self.asked = false;
            let mut all: Vec<_> = std::mem::take(&mut self.cache).into();
            all.extend_from_slice(entries);
            return Ok(all);
        }
        let passed = now.at.saturating_duration_since(self.counted);
        let refill = u64::try_from(Self::REFILL.as_millis()).unwrap_or(u64::MAX);
        let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let earned = passed.saturating_mul(1_000) / refill;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(Self::BURST * 1_000);
            self.counted = now.at;
        }
        for entry in entries {
            if self.tokens < 1_000 {
                break;
            }
            self.tokens -= 1_000;
            self.keep(*entry);
        }
        if self.asked && !entries.is_empty() {
            return Ok(std::mem::take(&mut self.cache).into());
        }
        Ok(Vec::new())
    }

    /// Whether the peer may be answered when it asks for addresses: once, and only if it dialled
    /// us. Whom we dialled could otherwise tell by the answer that two connections are of one node.
    pub const fn may_answer(&mut self) -> bool {
        let first = !self.answered && matches!(self.direction, Direction::Inbound);
        self.answered = true;
        first
    }

    /// Whose gossip it is.
    pub const fn source(&self) -> Source {
        Source::Gossip(self.from)
    }

    /// How many entries are kept.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    fn keep(&mut self, entry: GossipEntry) {
        self.cache.retain(|kept| kept.endpoint != entry.endpoint);
        if self.cache.len() >= Self::MOST {
            self.cache.pop_front();
        }
        self.cache.push_back(entry);
    }
}

/// The answer that one isolation domain gets, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    until: Instant,
    keys: Vec<Id>,
}

/// The most domains with an answer of their own; the one that ends first gives way.
const DOMAINS: usize = 64;

impl Book {
    /// Whether a peer that we dialled is asked for others: while more are wanted than can be dialled,
    /// or as long as fewer than 1,000 are known, as in dcrd.
    pub fn asks_peers(&self, is_hungry: bool) -> bool {
        is_hungry || self.len() < ENOUGH
    }

    /// Takes in the answer of a peer we asked, by the rules: some entries at random, under the
    /// source's quota, none of them believed in full. See `docs/book.md`.
    pub fn gossip(&mut self, now: Now, source: &Source, entries: &[GossipEntry]) -> Taken {
        self.now = now;
        let rule = self.config.gossip;
        let mut taken = Taken::default();
        let mut entries = entries.to_vec();
        // A peer whose clock is ahead is ahead in all it says (zebra's rule).
        let latest = entries.iter().map(|entry| entry.seen.0).max().unwrap_or(0);
        let ahead = latest.saturating_sub(now.wall.0).max(0);
        for entry in &mut entries {
            let seen = entry.seen.0.saturating_sub(ahead);
            entry.seen = UnixTime(seen.saturating_sub(secs(rule.penalty)));
        }
        let before = entries.len();
        self.random.sample(&mut entries, rule.taken);
        taken.left_out = before - entries.len();
        for entry in entries {
            let result = if age(entry.seen, now.wall) > secs(rule.stale) {
                Err(Refused::Stale)
            } else {
                let mut tip = Tip::at(entry.endpoint, source.clone());
                tip.claims.services = Some(entry.services);
                tip.claims.seen = Some(entry.seen);
                self.add(now, tip)
            };
            match result {
                Ok(Added::New) => taken.new += 1,
                Ok(Added::Known) => taken.known += 1,
                Err(why) => *taken.refused.entry(why).or_default() += 1,
            }
        }
        taken
    }

    /// What a peer that asks for addresses is told. All who ask in one domain are told the same for
    /// a day, so that asking often does not list the book.
    ///
    /// Only peers that greeted us lately, at a public address where we dialled them, and no static
    /// or trusted ones.
    pub fn answer(&mut self, now: Now, domain: Domain) -> Vec<GossipEntry> {
        self.now = now;
        let rule = self.config.gossip;
        let fresh = self
            .answers
            .get(&domain)
            .is_some_and(|answer| now.at < answer.until);
        if !fresh {
            let told = self.index.tried.iter().map(|(_, id)| *id);
            let mut keys: Vec<Id> = told.filter(|id| self.tellable(*id).is_some()).collect();
            let share = (keys.len() * rule.percent).div_ceil(100);
            self.random.sample(&mut keys, share.min(rule.message));
            let period = if keys.len() < rule.few {
                rule.period_of_few
            } else {
                rule.period + self.random.span(rule.period / 4)
            };
            if self.answers.len() >= DOMAINS && !self.answers.contains_key(&domain) {
                let first = self.answers.iter().min_by_key(|(_, answer)| answer.until);
                if let Some(first) = first.map(|(domain, _)| *domain) {
                    self.answers.remove(&first);
                }
            }
            let until = later(now.at, period);
            self.answers.insert(domain, Answers { until, keys });
        }
        let keys = self.answers.get(&domain).map(|answer| answer.keys.clone());
        let keys = keys.unwrap_or_default();
        // Who was banned or forgotten since is told of no longer.
        keys.into_iter()
            .filter_map(|id| self.entry_of(id))
            .collect()
    }

    /// The endpoint that may be told of, if any.
    fn tellable(&self, id: Id) -> Option<Endpoint> {
        let candidate = self.candidates.get(&id)?;
        let spot = candidate.spots.iter().max_by_key(|spot| spot.verified)?;
        spot.verified?;
        let endpoint = spot.endpoint;
        let identity = match &candidate.key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        let public = Reach::of(endpoint.ip()) == Reach::Public || self.config.local;
        let lately =
            age(self.last_seen(candidate)?, self.now.wall) <= secs(self.config.gossip.fresh);
        let barred = self.bar(identity, Some(endpoint.ip()), Role::Ordinary);
        let fit = candidate.role == Role::Ordinary && !candidate.is_unfit() && barred.is_none();
        (public && lately && fit && candidate.name.is_none()).then_some(endpoint)
    }

    fn last_seen(&self, candidate: &Candidate) -> Option<UnixTime> {
        let Phase::Busy(dial) = candidate.phase else {
            return candidate.last_success;
        };
        let greeted = self.open.is_greeted(dial);
        if greeted {
            Some(self.now.wall)
        } else {
            candidate.last_success
        }
    }

    fn entry_of(&self, id: Id) -> Option<GossipEntry> {
        let candidate = self.candidates.get(&id)?;
        let spot = candidate.spots.iter().max_by_key(|spot| spot.verified)?;
        spot.verified?;
        let endpoint = spot.endpoint;
        let identity = match &candidate.key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        if candidate.role != Role::Ordinary
            || self
                .bar(identity, Some(endpoint.ip()), Role::Ordinary)
                .is_some()
        {
            return None;
        }
        let seen = self.last_seen(candidate)?;
        Some(GossipEntry {
            endpoint,
            services: candidate.claims.services.unwrap_or(0),
            seen: seen.rounded_down(secs(self.config.gossip.step)),
        })
    }
}

//! The book itself: its state, its one way to change it, and what it takes in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{Domain, Endpoint, UnixTime, Wakeup};

use crate::bans::{Bans, By};
use crate::candidate::{Candidate, Id, Phase, Role};
use crate::change::Pending;
use crate::config::{Config, ConfigError};
use crate::gossip::Answers;
use crate::index::Index;
use crate::key::{Key, Name};
use crate::moment::{Now, later};
use crate::open::Opened;
use crate::outage::Outage;
use crate::prefix::Prefix;
use crate::random::Random;
use crate::source::SourceGroup;

/// Something for the caller to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Find the addresses of a static peer's name and tell them to
    /// [`Book::resolved`](crate::Book::resolved).
    Resolve {
        /// Whose name.
        key: Key,
        /// The name.
        name: Name,
    },
}

/// Who may be dialled on one network and chain, what became of it, and who is not wanted.
///
/// One owner. Tell it what happened, then ask [`Self::next_dial`] until it has none, drain
/// [`Self::poll_action`] and [`Self::poll_change`], and come back at [`Self::wakeup`].
///
/// Every dial it gives out ends in [`Self::outcome`], and one that became a session in
/// [`Self::left`].
#[derive(Clone)]
pub struct Book {
    pub(crate) config: Config,
    pub(crate) random: Random,
    /// The latest time it was told.
    pub(crate) now: Now,
    pub(crate) candidates: BTreeMap<Id, Candidate>,
    pub(crate) index: Index,
    pub(crate) next_id: u64,
    pub(crate) next_dial: u64,
    pub(crate) open: Opened,
    pub(crate) bans: Bans,
    pub(crate) permits: BTreeSet<Prefix>,
    pub(crate) outage: Outage,
    pub(crate) last_dial: Option<Instant>,
    /// When somebody was last looked for who could be dialled ahead of its time.
    pub(crate) last_early: Option<Instant>,
    pub(crate) buried: BTreeMap<Key, Instant>,
    pub(crate) burials: VecDeque<Key>,
    /// Endpoints that turned out to be our own, the latest last, and until when that is believed.
    pub(crate) own: VecDeque<(Endpoint, Instant)>,
    pub(crate) anchors: Vec<Key>,
    pub(crate) answers: BTreeMap<Domain, Answers>,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) pending: Pending,
}

impl Book {
    /// An empty book. `seed` must be secret and random, or what is dialled next can be foreseen.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: Config, seed: [u8; 16], now: Now) -> Result<Self, ConfigError> {
        config.check()?;
        let index = Index::new(config.names, config.grouping);
        Ok(Self {
            config,
            random: Random::new(seed),
            now,
            candidates: BTreeMap::new(),
            index,
            next_id: 0,
            next_dial: 0,
            open: Opened::default(),
            bans: Bans::default(),
            permits: BTreeSet::new(),
            outage: Outage::default(),
            last_dial: None,
            last_early: None,
            buried: BTreeMap::new(),
            burials: VecDeque::new(),
            own: VecDeque::new(),
            anchors: Vec::new(),
            answers: BTreeMap::new(),
            actions: VecDeque::new(),
            pending: Pending::default(),
        })
    }

    /// How many candidates are known.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// What is due by now: backoffs and bans that ended, names to be resolved. Called by
    /// [`Self::next_dial`] too.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        while let Some((until, id)) = self.index.waiting.first().copied()
            && until <= now.at
        {
            self.change_quietly(id, |candidate| candidate.phase = Phase::Idle);
        }
        while let Some(subject) = self.bans.ended(now.wall) {
            self.lift(now, &subject);
        }
        let again = later(now.at, self.config.resolve_every);
        while let Some((at, id)) = self.index.names_due.first().copied()
            && at <= now.at
        {
            let candidate = &self.candidates[&id];
            if let Some(name) = candidate.name.clone() {
                let key = candidate.key.clone();
                self.actions.push_back(Action::Resolve { key, name });
            }
            self.change_quietly(id, |candidate| candidate.resolve_at = Some(again));
        }
        self.actions
            .truncate(2 * self.config.caps.pinned.max(self.index.pinned_len));
    }

    /// How many candidates may be dialled now, before bans and what is occupied are looked at. When
    /// there are few, it is time to ask seeds and peers.
    pub const fn ready(&self) -> usize {
        self.index.ready_len
    }

    /// How many of the candidates known now each source told of first, and how many of those
    /// greeted us.
    pub fn yields(&self) -> BTreeMap<SourceGroup, Yield> {
        let mut yields: BTreeMap<SourceGroup, Yield> = BTreeMap::new();
        for candidate in self.candidates.values() {
            let Some(source) = candidate.sources.first() else {
                continue;
            };
            let group = source.group(self.config.grouping);
            let of = yields.entry(group).or_default();
            of.told += 1;
            of.lived += usize::from(candidate.successes > 0);
        }
        yields
    }

    /// What the caller is to do, one at a time.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to ask for a dial again although nothing happened.
    pub fn wakeup(&self) -> Option<Wakeup> {
        let now = self.now;
        let waiting = self.index.waiting.first();
        let waiting = waiting.map(|(at, _)| (*at, "a backoff ends"));
        let name = self.index.names_due.first();
        let name = name.map(|(at, _)| (*at, "a name is to be resolved"));
        let ban = self.bans.next_end().map(|end| {
            let left = end.0.saturating_sub(now.wall.0).max(1);
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(1));
            (later(now.at, left), "a ban ends")
        });
        let spaced = self.last_dial.map(|last| later(last, self.config.spacing));
        let spaced = spaced.filter(|at| *at > now.at && !self.index.ready.is_empty());
        let spaced = spaced.map(|at| (at, "the next dial may start"));
        let probe = self.next_probe().filter(|at| *at > now.at);
        let probe = probe.map(|at| (at, "whether anything works again"));
        let all = [waiting, name, ban, spaced, probe];
        let (at, why) = all.into_iter().flatten().min_by_key(|(at, _)| *at)?;
        Some(Wakeup { at, why })
    }

    /// The one way in.
    pub(crate) fn put(&mut self, candidate: Candidate) -> Id {
        let id = Id(self.next_id);
        self.next_id += 1;
        self.index.insert(id, &candidate);
        self.pending.dirty(id, &candidate.key);
        self.candidates.insert(id, candidate);
        id
    }

    /// The one way out.
    pub(crate) fn take(&mut self, id: Id) -> Option<Candidate> {
        let candidate = self.candidates.remove(&id)?;
        self.index.remove(id, &candidate);
        self.outage.run.remove(&id);
        self.pending.gone(id, &candidate.key);
        Some(candidate)
    }

    /// The one way to change a candidate.
    pub(crate) fn change(&mut self, id: Id, change: impl FnOnce(&mut Candidate)) {
        self.change_quietly(id, change);
        if let Some(candidate) = self.candidates.get(&id) {
            self.pending.dirty(id, &candidate.key);
        }
    }

    /// The same for what is not written to a file.
    pub(crate) fn change_quietly(&mut self, id: Id, change: impl FnOnce(&mut Candidate)) {
        if let Some(candidate) = self.candidates.get_mut(&id) {
            self.index.remove(id, candidate);
            change(candidate);
            self.index.insert(id, candidate);
        }
    }

    /// The ban or permit list that keeps this one away. A trusted peer is kept away by the operator
    /// alone.
    pub(crate) fn bar(
        &self,
        identity: Option<&crate::key::Identity>,
        ip: Option<IpAddr>,
        role: Role,
    ) -> Option<Barred> {
        let holds = |ban: &crate::bans::Ban| role != Role::Trusted || ban.by == By::Operator;
        if let Some((subject, ban)) = self.bans.find_where(identity, ip, holds) {
            return Some(Barred::Banned(subject, ban.clone()));
        }
        let permitted = self.permits.is_empty()
            || ip.is_none_or(|ip| self.permits.iter().any(|permit| permit.contains(ip)));
        (!permitted).then_some(Barred::NotPermitted)
    }

    /// A moment by the calendar, as the clocks run now.
    pub(crate) fn wall_at(&self, at: Instant) -> UnixTime {
        self.now.wall_at(at)
    }
}

/// What a source was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Yield {
    /// Candidates it told of first.
    pub told: usize,
    /// And of them, how many greeted us.
    pub lived: usize,
}

/// What keeps somebody away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// A ban.
    Banned(crate::bans::Subject, crate::bans::Ban),
    /// There is a list of those permitted, and it is not on it.
    NotPermitted,
}

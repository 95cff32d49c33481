//! The book itself: its state, its one way to change it, and what it takes in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{Direction, Domain, Endpoint, UnixTime, Wakeup};

use crate::bans::{Bans, By};
use crate::candidate::{Candidate, Claims, DialId, Id, Phase, Role, Spot, Verdict, Worth};
use crate::change::Pending;
use crate::config::{Config, ConfigError, Names};
use crate::gossip::Answers;
use crate::history::What;
use crate::index::Index;
use crate::key::{Address, Key, Name};
use crate::moment::{Now, later};
use crate::outage::Outage;
use crate::prefix::{Group, Prefix, Reach};
use crate::random::Random;
use crate::source::{Source, SourceGroup};
use crate::tip::{Added, Refused, Tip};

/// A dial or a session that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) id: Id,
    pub(crate) key: Key,
    /// Where we dialled; `None` if they dialled us.
    pub(crate) address: Option<Address>,
    pub(crate) group: Group,
    pub(crate) since: Instant,
    pub(crate) greeted: bool,
}

impl Open {
    pub(crate) const fn direction(&self) -> Direction {
        match self.address {
            Some(_) => Direction::Outbound,
            None => Direction::Inbound,
        }
    }
}

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
    pub(crate) open: BTreeMap<DialId, Open>,
    pub(crate) bans: Bans,
    pub(crate) permits: BTreeSet<Prefix>,
    pub(crate) outage: Outage,
    pub(crate) last_dial: Option<Instant>,
    pub(crate) buried: BTreeMap<Key, Instant>,
    pub(crate) burials: VecDeque<Key>,
    /// Endpoints that turned out to be our own, the latest last.
    pub(crate) own: VecDeque<Endpoint>,
    pub(crate) anchors: Vec<Key>,
    pub(crate) answers: BTreeMap<Domain, Answers>,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) pending: Pending,
}

/// How many endpoints of our own are remembered: a host has few.
const OWN: usize = 32;

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
            open: BTreeMap::new(),
            bans: Bans::default(),
            permits: BTreeSet::new(),
            outage: Outage::default(),
            last_dial: None,
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

    /// Takes in what a finder found. What is known of a candidate is never replaced by what others
    /// claim: proven addresses and services stay, and an older record changes nothing.
    ///
    /// # Errors
    /// When it is not taken, and why.
    pub fn add(&mut self, now: Now, tip: Tip) -> Result<Added, Refused> {
        self.now = now;
        let Tip {
            key,
            mut endpoints,
            source,
            claims,
        } = tip;
        let source = source.bounded();
        match &key {
            Key::Address(Address::At(endpoint)) => endpoints = vec![*endpoint],
            Key::Address(Address::Named(_)) => return Err(Refused::Name),
            Key::Identity(_) => {}
        }
        let identified = matches!(key, Key::Identity(_));
        let mut refused = None;
        endpoints.retain(|endpoint| match self.judge(*endpoint, &source) {
            Ok(()) => true,
            Err(why) => {
                refused = Some(why);
                false
            }
        });
        if let (true, Some(why)) = (endpoints.is_empty(), refused) {
            return Err(why);
        }
        endpoints.truncate(self.config.caps.endpoints);
        if self.is_barred(&key, endpoints.iter().map(Endpoint::ip)) {
            return Err(Refused::Banned);
        }
        if let Some(id) = self.index.by_key.get(&key).copied() {
            self.merge(id, endpoints, source, claims);
            return Ok(Added::Known);
        }
        if source.is_stranger() && self.buried.get(&key).is_some_and(|until| now.at < *until) {
            return Err(Refused::Buried);
        }
        let mut candidate = Candidate::fresh(key, now.wall, self.random.next());
        candidate.claims.verdict = if identified || !source.is_stranger() {
            claims.verdict
        } else {
            Verdict::Unknown
        };
        candidate.claims.services = claims.services;
        candidate.claims.seen = claims.seen;
        candidate.claims.sequence = claims.sequence;
        for endpoint in endpoints {
            add_spot(&mut candidate.spots, endpoint, now.wall);
        }
        let most = self.config.caps.events;
        let heard = What::Heard(source.clone());
        candidate.history.push(now.wall, heard, most);
        if let Verdict::Unfit(cause) = &candidate.claims.verdict {
            let unfit = What::Unfit(cause.clone());
            candidate.history.push(now.wall, unfit, most);
        }
        candidate.payer = source.group(self.config.grouping);
        candidate.sources.push(source);
        self.make_room(&candidate)?;
        self.put(candidate);
        Ok(Added::New)
    }

    pub(crate) fn judge(&self, endpoint: Endpoint, source: &Source) -> Result<(), Refused> {
        if !endpoint.is_dialable() || Reach::of(endpoint.ip()) == Reach::Nowhere {
            return Err(Refused::Undialable);
        }
        if self.own.contains(&endpoint) {
            return Err(Refused::Own);
        }
        if source.is_stranger() {
            if !self.config.local && Reach::of(endpoint.ip()) == Reach::Local {
                return Err(Refused::Local);
            }
            if self.config.foreign_ports.contains(&endpoint.port()) {
                return Err(Refused::ForeignPort);
            }
        }
        Ok(())
    }

    /// Whether bans or permits keep all of these away.
    fn is_barred(&self, key: &Key, ips: impl Iterator<Item = IpAddr>) -> bool {
        let identity = match key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        if self.bans.find(identity, None).is_some() {
            return true;
        }
        let mut ips = ips.peekable();
        ips.peek().is_some() && ips.all(|ip| self.bar(None, Some(ip), Role::Ordinary).is_some())
    }

    fn merge(&mut self, id: Id, endpoints: Vec<Endpoint>, source: Source, claims: Claims) {
        let now = self.now;
        let caps = self.config.caps;
        let teller = source.group(self.config.grouping);
        // Whoever holds less pays: else a flood that names honest peers first could take them along.
        let held = |group| self.index.sources.get(group).map_or(0, BTreeSet::len);
        let payer = self
            .candidates
            .get(&id)
            .map_or(0, |known| held(&known.payer));
        let cheaper = teller == SourceGroup::Operator || held(&teller) + 1 < payer;
        self.change(id, |candidate| {
            candidate.last_heard = now.wall;
            if cheaper {
                candidate.payer = teller;
            }
            let identified = matches!(candidate.key, Key::Identity(_));
            let first_hand = !source.is_stranger() || candidate.sources.first() == Some(&source);
            if !candidate.sources.contains(&source) {
                let heard = What::Heard(source.clone());
                candidate.history.push(now.wall, heard, caps.events);
                if candidate.sources.len() >= caps.sources && caps.sources > 1 {
                    candidate.sources.remove(1);
                }
                if candidate.sources.len() < caps.sources {
                    candidate.sources.push(source);
                }
            }
            let newer = claims.sequence > candidate.claims.sequence;
            if claims.sequence < candidate.claims.sequence {
                return;
            }
            if newer {
                // The record moved: what it named before and nobody proved is void.
                candidate.spots.retain(|spot| spot.verified.is_some());
            }
            for endpoint in endpoints {
                add_spot(&mut candidate.spots, endpoint, now.wall);
            }
            bound_spots(&mut candidate.spots, caps.endpoints);
            let known = &mut candidate.claims;
            known.sequence = claims.sequence;
            known.seen = known.seen.max(claims.seen);
            if known.services.is_none() || (newer && candidate.last_success.is_none()) {
                known.services = claims.services.or(known.services);
            }
            // A record speaks for its node; where there are none, only the first source is heard.
            if claims.verdict != Verdict::Unknown
                && claims.verdict != known.verdict
                && (identified || first_hand)
            {
                let what = match &claims.verdict {
                    Verdict::Unfit(cause) => What::Unfit(cause.clone()),
                    Verdict::Fit | Verdict::Unknown => What::Fit,
                };
                let was_unfit = matches!(known.verdict, Verdict::Unfit(_));
                known.verdict = claims.verdict;
                if was_unfit || matches!(what, What::Unfit(_)) {
                    candidate.history.push(now.wall, what, caps.events);
                }
            }
        });
    }

    /// Lets go of others so that a new candidate has room, or says why it has none.
    ///
    /// Within a full source or address group one that failed or was not heard of for a day gives
    /// way; in a full book, one of whoever holds the most. So a flood displaces only itself.
    pub(crate) fn make_room(&mut self, candidate: &Candidate) -> Result<(), Refused> {
        if candidate.role.is_pinned() {
            return Ok(());
        }
        let caps = self.config.caps;
        let source = candidate.payer.clone();
        let group = candidate.group(self.config.names, self.config.grouping);
        let mut leaves: Vec<Id> = Vec::new();
        if group != Group::Local
            && let Some(members) = self.index.groups.get(&(false, group))
            && members.len() >= caps.per_group
        {
            let least = members.first().ok_or(Refused::GroupFull)?;
            leaves.push(self.spare(*least).ok_or(Refused::GroupFull)?);
        }
        let held = self.index.sources.get(&source);
        let held_len = held.map_or(0, BTreeSet::len);
        if source != SourceGroup::Operator
            && held_len >= caps.per_source
            && let Some(held) = held
            && !leaves.iter().any(|id| self.is_charged(*id, &source))
        {
            let least = held.first().ok_or(Refused::SourceFull)?;
            leaves.push(self.spare(*least).ok_or(Refused::SourceFull)?);
        }
        if leaves.is_empty() && self.index.new_len >= caps.new {
            let (most, largest) = self.index.largest.last().ok_or(Refused::Full)?;
            let least = self.index.sources.get(largest).and_then(BTreeSet::first);
            let (worth, id) = *least.ok_or(Refused::Full)?;
            if *largest == source || *most <= held_len + 1 {
                leaves.push(self.spare((worth, id)).ok_or(Refused::Full)?);
            } else if worth.0 == u8::MAX {
                return Err(Refused::Full);
            } else {
                leaves.push(id);
            }
        }
        for id in leaves {
            self.take(id);
        }
        Ok(())
    }

    /// One new candidate more than before may be one too many.
    fn bound_new(&mut self, newcomer: Id) {
        if self.index.new_len <= self.config.caps.new {
            return;
        }
        let largest = self.index.largest.last();
        let held = largest.and_then(|(_, source)| self.index.sources.get(source));
        let least = held.and_then(BTreeSet::first).map(|(_, id)| *id);
        self.take(least.unwrap_or(newcomer));
    }

    fn is_charged(&self, id: Id, source: &SourceGroup) -> bool {
        let candidate = self.candidates.get(&id);
        candidate.is_some_and(|known| !known.is_tried() && known.payer == *source)
    }

    /// One that may give way to an equal: it failed, or nobody spoke of it for a day.
    fn spare(&self, ((rank, heard), id): (Worth, Id)) -> Option<Id> {
        const DAY: i64 = 86_400;
        let old = self.now.wall.0.saturating_sub(heard) > DAY;
        (rank < 4 || (rank == 4 && old)).then_some(id)
    }

    /// Adds a peer that is always dialled and never forgotten, or changes an existing one into that.
    ///
    /// # Errors
    /// When there are as many as may be, or nobody can be dialled there.
    pub fn pin(
        &mut self,
        now: Now,
        identity: Option<crate::key::Identity>,
        address: Address,
        role: Role,
    ) -> Result<Key, Refused> {
        self.now = now;
        if let Address::At(endpoint) = &address {
            self.judge(*endpoint, &Source::Operator)?;
        }
        let key = match identity {
            Some(identity) => identity.into(),
            None => Key::Address(address.clone()),
        };
        let known = self.index.by_key.get(&key).copied();
        let pinned = known.is_some_and(|id| self.candidates[&id].role.is_pinned());
        if role.is_pinned() && !pinned && self.index.pinned_len >= self.config.caps.pinned {
            return Err(Refused::Full);
        }
        let id = match known {
            Some(id) => id,
            None => {
                let mut fresh = Candidate::fresh(key.clone(), now.wall, self.random.next());
                fresh.sources.push(Source::Operator);
                fresh.role = role;
                let most = self.config.caps.events;
                let heard = What::Heard(Source::Operator);
                fresh.history.push(now.wall, heard, most);
                self.make_room(&fresh)?;
                self.put(fresh)
            }
        };
        let resolve = self.config.names == Names::Resolve;
        let endpoints = self.config.caps.endpoints;
        self.change(id, |candidate| {
            candidate.role = role;
            match address {
                Address::At(endpoint) => {
                    add_spot(&mut candidate.spots, endpoint, now.wall);
                    bound_spots(&mut candidate.spots, endpoints);
                }
                Address::Named(name) => {
                    candidate.name = Some(name);
                    candidate.resolve_at = resolve.then_some(now.at);
                }
            }
        });
        Ok(key)
    }

    /// Makes a static or trusted peer an ordinary candidate again. Says whether it was one.
    pub fn unpin(&mut self, now: Now, key: &Key) -> bool {
        self.now = now;
        let Some(id) = self.index.by_key.get(key).copied() else {
            return false;
        };
        let was = self.candidates[&id].role.is_pinned();
        self.change(id, |candidate| {
            candidate.role = Role::Ordinary;
            candidate.resolve_at = None;
        });
        if was {
            self.bound_tried(id);
            self.bound_new(id);
        }
        was
    }

    /// Forgets a candidate, whatever it is. Says whether it was known.
    pub fn forget(&mut self, key: &Key) -> bool {
        match self.index.by_key.get(key).copied() {
            Some(id) => {
                self.take(id);
                true
            }
            None => false,
        }
    }

    /// The addresses that an [`Action::Resolve`] found, or why it found none. No answer empties a
    /// peer's addresses: a resolver that fails does not make a static peer disappear.
    pub fn resolved(
        &mut self,
        now: Now,
        key: &Key,
        result: Result<Vec<Endpoint>, peerage_core::Reason>,
    ) {
        self.now = now;
        let Some(id) = self.index.by_key.get(key).copied() else {
            return;
        };
        let caps = self.config.caps;
        let events = caps.events;
        self.change(id, |candidate| match result {
            Ok(found) => {
                let found: Vec<_> = found.into_iter().filter(Endpoint::is_dialable).collect();
                if found.is_empty() {
                    return;
                }
                let before = candidate.spots.len();
                candidate
                    .spots
                    .retain(|spot| found.contains(&spot.endpoint));
                let mut changed = candidate.spots.len() != before;
                for endpoint in found.into_iter().take(caps.endpoints) {
                    changed |= add_spot(&mut candidate.spots, endpoint, now.wall);
                }
                bound_spots(&mut candidate.spots, caps.endpoints);
                if changed {
                    let addresses = u32::try_from(candidate.spots.len()).unwrap_or(u32::MAX);
                    let what = What::Resolved { addresses };
                    candidate.history.push(now.wall, what, events);
                }
            }
            Err(reason) => {
                let what = What::Unresolved((&reason).into());
                candidate.history.push(now.wall, what, events);
            }
        });
    }

    /// Tells that an endpoint is our own: it is forgotten and not taken again.
    pub fn is_own(&mut self, endpoint: Endpoint) {
        if !self.own.contains(&endpoint) {
            if self.own.len() >= OWN {
                self.own.pop_front();
            }
            self.own.push_back(endpoint);
        }
        let key = endpoint.into();
        if let Some(id) = self.index.by_key.get(&key).copied()
            && !self.candidates[&id].role.is_pinned()
        {
            self.take(id);
        }
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

/// What keeps somebody away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// A ban.
    Banned(crate::bans::Subject, crate::bans::Ban),
    /// There is a list of those permitted, and it is not on it.
    NotPermitted,
}

/// Adds an endpoint or notes that it was heard of again; says whether it is new.
pub(crate) fn add_spot(spots: &mut Vec<Spot>, endpoint: Endpoint, now: UnixTime) -> bool {
    if let Some(spot) = spots.iter_mut().find(|spot| spot.endpoint == endpoint) {
        spot.heard = now;
        return false;
    }
    spots.push(Spot {
        endpoint,
        heard: now,
        verified: None,
        failures: 0,
    });
    true
}

/// Lets go of the least: what nobody proved, then what failed most, then what was heard of first.
pub(crate) fn bound_spots(spots: &mut Vec<Spot>, most: usize) {
    while spots.len() > most {
        let least = (0..spots.len()).min_by_key(|at| {
            let spot = &spots[*at];
            (spot.verified, std::cmp::Reverse(spot.failures), spot.heard)
        });
        match least {
            Some(at) => spots.remove(at),
            None => return,
        };
    }
}

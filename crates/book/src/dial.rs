//! The choice of the next dial.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{ConnectedAddr, Kind};

use crate::book::Book;
use crate::candidate::{Candidate, Class, DialId, Id, Phase};
use crate::history::What;
use crate::key::{Address, Identity, Key};
use crate::moment::{Now, later};
use crate::open::Open;
use crate::prefix::Group;

/// What is taken already beyond what this book gave out: inbound peers it was not told of, peers of
/// other books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupied {
    /// How many more outbound peers are wanted.
    pub free: usize,
    /// Who is connected or being dialled.
    pub keys: BTreeSet<Key>,
    /// Where somebody is connected whom nobody need dial again.
    pub ips: BTreeSet<IpAddr>,
    /// From where somebody without an identity dialled us, and how many did: whoever listens there
    /// is most likely connected already. See [`Self::arrived`].
    pub guests: BTreeMap<IpAddr, usize>,
}

impl Occupied {
    /// A peer that dialled us is established.
    pub fn arrived(&mut self, key: &Key, connected: &ConnectedAddr) {
        self.keys.insert(key.clone());
        if let Some(ip) = guest(key, connected) {
            *self.guests.entry(ip).or_default() += 1;
        }
    }

    /// It is not any more.
    pub fn left(&mut self, key: &Key, connected: &ConnectedAddr) {
        self.keys.remove(key);
        if let Some(ip) = guest(key, connected)
            && let Some(count) = self.guests.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.guests.remove(&ip);
            }
        }
    }

    /// Nothing beyond what the book knows; `free` more outbound peers are wanted.
    pub fn with_free(free: usize) -> Self {
        Self {
            free,
            ..Self::default()
        }
    }
}

/// Where a peer dialled us from, if nothing tells it from another at the same place. One with an
/// identity may share its address with others.
const fn guest(key: &Key, connected: &ConnectedAddr) -> Option<IpAddr> {
    match (key, connected) {
        (Key::Address(_), ConnectedAddr::InboundDirect { addr }) => Some(addr.ip()),
        (
            Key::Identity(_) | Key::Address(_),
            ConnectedAddr::OutboundDirect { .. }
            | ConnectedAddr::OutboundProxy { .. }
            | ConnectedAddr::InboundDirect { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. },
        ) => None,
    }
}

/// Whom to dial, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Dial {
    /// Names the dial in [`Book::outcome`] and the session in [`Book::left`].
    pub id: DialId,
    /// The candidate.
    pub key: Key,
    /// Where. A name is for the proxy and never resolved by us.
    pub address: Address,
    /// Who must answer there.
    pub identity: Option<Identity>,
    /// Why this one: `static`, `anchor`, `tried` or `new`.
    pub why: &'static str,
}

/// Whether the last dial of a candidate, or its last session, ended in a way that tells nothing of it:
/// nothing came back.
fn fell_silent(candidate: &Candidate) -> bool {
    let ends = candidate
        .history
        .iter()
        .filter_map(|event| match &event.what {
            What::Failed { cause, .. } | What::Excused { cause, .. } | What::Left { cause, .. } => {
                Some(Some(cause.kind))
            }
            What::Greeted { .. } | What::Cut => Some(None),
            What::Heard(_)
            | What::Unfit(_)
            | What::Fit
            | What::Banned(_)
            | What::Unbanned
            | What::Resolved { .. }
            | What::Unresolved(_) => None,
        });
    matches!(
        ends.last().flatten(),
        Some(Kind::Timeout | Kind::Unreachable | Kind::Transport | Kind::ConnectionRefused)
    )
}

impl Book {
    /// Whom to dial next, if anyone: static peers first, then anchors, then by chance one that
    /// greeted us before or a new one. By chance means: first the address group, so that many
    /// addresses in one place count as one, then within it the better score.
    ///
    /// While nobody is ready, one who greeted us before and fell silent is dialled ahead of its time,
    /// one in [`Backoff::early`](crate::config::Backoff::early).
    ///
    /// Ordinary candidates only while [`Occupied::free`] is not 0; static ones always.
    pub fn next_dial(&mut self, now: Now, occupied: &Occupied) -> Option<Dial> {
        self.handle_timeout(now);
        let spaced = self
            .last_dial
            .is_none_or(|last| now.at >= later(last, self.config.spacing));
        if !spaced || self.next_probe().is_some_and(|at| now.at < at) {
            return None;
        }
        let tried_first = self.random.below(100) < self.config.tried_percent;
        let classes = if tried_first {
            [Class::Pinned, Class::Anchor, Class::Tried, Class::New]
        } else {
            [Class::Pinned, Class::Anchor, Class::New, Class::Tried]
        };
        let open = if occupied.free == 0 { 1 } else { classes.len() };
        for class in classes.into_iter().take(open) {
            if let Some((id, address)) = self.pick(class, occupied) {
                return self.start(id, address, class);
            }
        }
        if occupied.free == 0 || self.outage.is_on() {
            return None;
        }
        let (id, address) = self.pick_early(occupied)?;
        self.start(id, address, Class::Tried)
    }

    /// More peers are wanted and nobody is ready: one that greeted us before and fell silent, ahead
    /// of its time, the one tried least lately. Its wait is for those who have others to
    /// dial; after a partition most of the network would stand in it.
    fn pick_early(&mut self, occupied: &Occupied) -> Option<(Id, Address)> {
        let now = self.now.at;
        let is_soon = self
            .last_early
            .is_some_and(|last| now < later(last, self.config.backoff.early));
        if is_soon {
            return None;
        }
        self.last_early = Some(now);
        let limit = self.config.outbound_per_group;
        let silent = self.index.waiting.iter().filter_map(|(_, id)| {
            let candidate = self.candidates.get(id)?;
            if !candidate.is_tried() || candidate.role.is_pinned() || !fell_silent(candidate) {
                return None;
            }
            let address = candidate.best(self.config.names)?;
            let group = self.config.grouping.of(&address);
            let has_room = self.open.taken().in_group(&group) < limit;
            let free = has_room && self.is_free(candidate, &address, occupied);
            free.then_some((candidate.last_attempt, *id, address))
        });
        let (_, id, address) = silent.min_by_key(|(tried_at, id, _)| (*tried_at, *id))?;
        Some((id, address))
    }

    /// Whether a [`Self::next_dial`] that gave nobody did so for want of candidates, and not because
    /// it was too soon for another dial: it is time to ask seeds and peers.
    pub fn is_exhausted(&self, now: Now) -> bool {
        let is_soon = self
            .last_dial
            .is_some_and(|last| now.at < later(last, self.config.spacing));
        !is_soon || self.ready() == 0
    }

    /// While nothing works: when the next dial may be made.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        if !self.outage.is_on() {
            return None;
        }
        let last = self.outage.last_probe.or(self.outage.since)?;
        Some(later(last, self.config.outage.probe))
    }

    fn pick(&mut self, class: Class, occupied: &Occupied) -> Option<(Id, Address)> {
        let limit = match class {
            // The operator's choice needs no diversity.
            Class::Pinned => usize::MAX,
            Class::Anchor | Class::Tried | Class::New => self.config.outbound_per_group,
        };
        let first = (class, Group::Local);
        let queues = self.index.ready.range(first..);
        let queues = queues.take_while(|((of, _), _)| *of == class);
        let has_room = |group: &Group| self.open.taken().in_group(group) < limit;
        let mut groups: Vec<_> = queues.filter(|((_, group), _)| has_room(group)).collect();
        while !groups.is_empty() {
            let at = self.random.below(groups.len());
            let (_, queue) = groups.swap_remove(at);
            let fit = queue.iter().find_map(|(_, _, id)| {
                let candidate = self.candidates.get(id)?;
                let address = candidate.best(self.config.names)?;
                let free = self.is_free(candidate, &address, occupied);
                free.then_some((*id, address))
            });
            if fit.is_some() {
                return fit;
            }
        }
        None
    }

    fn is_free(&self, candidate: &Candidate, address: &Address, occupied: &Occupied) -> bool {
        let ip = match address {
            Address::At(endpoint) => Some(endpoint.ip()),
            Address::Named(_) => None,
        };
        let identity = match &candidate.key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        let pinned = candidate.role.is_pinned();
        !occupied.keys.contains(&candidate.key)
            && (pinned || !ip.is_some_and(|ip| occupied.ips.contains(&ip)))
            && (pinned || !ip.is_some_and(|ip| occupied.guests.contains_key(&ip)))
            && (pinned || !ip.is_some_and(|ip| self.open.taken().has(ip)))
            && self.bar(identity, ip, candidate.role).is_none()
    }

    fn start(&mut self, id: Id, address: Address, class: Class) -> Option<Dial> {
        let now = self.now;
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        self.last_dial = Some(now.at);
        if self.outage.is_on() {
            self.outage.last_probe = Some(now.at);
        }
        let draw = self.random.next();
        self.change(id, |candidate| {
            candidate.phase = Phase::Busy(dial);
            candidate.attempts = candidate.attempts.saturating_add(1);
            candidate.last_attempt = Some(now.wall);
            candidate.draw = draw;
        });
        let candidate = self.candidates.get(&id)?;
        let identity = match &candidate.key {
            Key::Identity(identity) => Some(identity.clone()),
            Key::Address(_) => None,
        };
        let open = Open {
            id,
            key: candidate.key.clone(),
            address: Some(address.clone()),
            group: self.config.grouping.of(&address),
            since: now.at,
            greeted: false,
        };
        let key = open.key.clone();
        self.open.insert(dial, open);
        Some(Dial {
            id: dial,
            key,
            address,
            identity,
            why: match class {
                Class::Pinned => "static",
                Class::Anchor => "anchor",
                Class::Tried => "tried",
                Class::New => "new",
            },
        })
    }

    /// How long to wait after `failures` in a row, of which the last asked for `asked`.
    pub(crate) fn backoff(&mut self, asked: Duration, failures: u32, pinned: bool) -> Duration {
        let rule = self.config.backoff;
        let doubled = |from: Duration| {
            let doublings = failures.saturating_sub(1).min(20);
            from.saturating_mul(1 << doublings)
        };
        let wait = if pinned {
            let never = asked >= rule.never;
            let most = rule.most_pinned * if never { 10 } else { 1 };
            doubled(if never { most } else { rule.least }).min(most)
        } else {
            let from = asked.max(rule.least);
            let most = rule.most.max(from.saturating_mul(4)).min(rule.never);
            doubled(from).min(most.max(asked))
        };
        wait + self.random.span(wait * rule.jitter_percent / 100)
    }
}

//! The machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use peerage_core::Wakeup;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::event::{Action, Event};
use crate::hosts::Hosts;
use crate::lanes::Pool;
use crate::meter::Traffic;
use crate::secret::Secret;
use crate::slot::Counts;
use crate::state::{Active, Pending};
use crate::types::{SessionId, Types};

/// The peer table: every attempt and every established peer of one node on one network.
///
/// # Contract
/// Change the state, then drain [`Table::poll_action`], then ask [`Table::poll_timeout`]. It has one
/// owner; time enters as `now` and may come from several tasks, so that a slightly older one is taken
/// for the latest seen.
///
/// # What bounds it
/// Sessions, by [`crate::Limits`]. Messages that wait, by [`crate::Budgets`]. Actions that wait: new
/// attempts, requests and answers are turned back once [`Config::backlog`] of them do, so that beyond
/// it each session adds only what it can add once (established, closed, a goodbye) or what is counted
/// otherwise (its strikes, requests that end). Nothing that was put there is ever dropped.
#[derive(Debug)]
pub struct Table<T: Types> {
    pub(crate) config: Config,
    pub(crate) status: T::Status,
    pub(crate) clock: Clock,
    pub(crate) secret: Secret,
    pub(crate) stopping: bool,
    next_id: u64,
    pub(crate) pending: BTreeMap<SessionId, Pending<T>>,
    /// Boxed, so that finding one among thousands touches little memory.
    pub(crate) active: BTreeMap<SessionId, Box<Active<T>>>,
    /// Sessions that are being told goodbye, and until when.
    pub(crate) closing: BTreeMap<SessionId, Instant>,
    pub(crate) counts: Counts,
    pub(crate) by_identity: BTreeMap<T::Identity, SessionId>,
    pub(crate) dialling: BTreeMap<T::Identity, SessionId>,
    pub(crate) hosts: Hosts,
    /// When each session wants to be looked at; perhaps a little before it has to be.
    agenda: BTreeSet<(Instant, SessionId)>,
    beat_at: Instant,
    pub(crate) rotate_at: Instant,
    /// When the last inbound peer made room.
    pub(crate) evicted_at: Option<Instant>,
    actions: VecDeque<(Action<T>, usize)>,
    /// Events that were fetched and not yet delivered.
    undelivered: usize,
    stalled: Option<Duration>,
    /// Peers whose gossip waits, each once, in the order of their turns.
    pub(crate) turns: VecDeque<SessionId>,
    /// Peers that were held back for want of room that all share.
    pub(crate) starved: BTreeSet<SessionId>,
    pub(crate) pool_in: Pool,
    pub(crate) pool_out: Pool,
    pub(crate) traffic: Traffic,
}

impl<T: Types> Table<T> {
    /// An empty table. `seed` must be random: peers must not guess our nonces, nor which groups are
    /// protected from eviction.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(
        config: Config,
        status: T::Status,
        seed: [u8; 16],
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            status,
            clock: Clock::new(now, config.tolerance),
            secret: Secret::new(seed),
            stopping: false,
            next_id: 1,
            pending: BTreeMap::new(),
            active: BTreeMap::new(),
            closing: BTreeMap::new(),
            counts: Counts::default(),
            by_identity: BTreeMap::new(),
            dialling: BTreeMap::new(),
            hosts: Hosts::default(),
            agenda: BTreeSet::new(),
            beat_at: now,
            rotate_at: now,
            evicted_at: None,
            actions: VecDeque::new(),
            undelivered: 0,
            stalled: None,
            turns: VecDeque::new(),
            starved: BTreeSet::new(),
            pool_in: Pool::new(config.budgets.total_in),
            pool_out: Pool::new(config.budgets.total_out),
            traffic: Traffic::new(now),
            config,
        })
    }

    /// What was decided about it.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The table's own time at `now`; every public method begins with it.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        let due = self.due().map(|(at, _)| at);
        let (at, lost) = self.clock.advance(now, due);
        if let Some(lost) = lost {
            self.stalled = Some(self.stalled.unwrap_or_default() + lost);
        }
        at
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.active.is_empty() && self.closing.is_empty()
    }

    /// The next wakeup, and whose; nobody's is the table's own beat.
    fn due(&self) -> Option<(Instant, Option<SessionId>)> {
        if self.is_empty() {
            return None;
        }
        let first = self.agenda.first();
        let first = first.filter(|(at, _)| *at <= self.beat_at);
        Some(first.map_or((self.beat_at, None), |(at, id)| (*at, Some(*id))))
    }

    /// Why a session is to be looked at.
    fn why(&self, at: Instant, id: SessionId) -> &'static str {
        let next = if let Some(active) = self.active.get(&id) {
            active.next(&self.config)
        } else {
            self.pending.get(&id).map(Pending::next)
        };
        match next {
            Some((due, why)) if due <= at => why,
            Some(_) => "a deadline that has moved",
            None => "goodbye",
        }
    }

    /// A number for a new session.
    pub(crate) fn next_session(&mut self, at: Instant) -> SessionId {
        if self.is_empty() {
            self.beat_at = at + self.config.beat;
            self.rotate_at = at + self.rotation_wait();
        }
        let id = SessionId(self.next_id);
        self.next_id += 1;
        id
    }

    /// Puts an action last.
    pub(crate) fn push(&mut self, action: Action<T>) {
        self.actions.push_back((action, 0));
    }

    /// Tells something last.
    pub(crate) fn tell(&mut self, event: Event<T>) {
        self.push(Action::Event(event));
    }

    /// Tells something that carries a message of so many bytes.
    pub(crate) fn tell_message(&mut self, event: Event<T>, len: usize) {
        self.pool_in.take(len);
        self.actions.push_back((Action::Event(event), len));
    }

    /// Actions that wait, gossip apart.
    pub fn waiting(&self) -> usize {
        self.actions.len()
    }

    /// Says how many events were fetched that the caller could not pass on yet. They count as
    /// waiting here: beyond [`Config::backlog`] nothing new is begun and no request is taken.
    pub fn set_undelivered(&mut self, count: usize) {
        let fewer = count < self.undelivered;
        self.undelivered = count;
        if fewer {
            self.relieve();
        }
    }

    /// What waits here and what waits with the caller.
    pub(crate) fn behind(&self) -> usize {
        self.actions.len() + self.undelivered
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.behind() >= self.config.backlog
    }

    /// The next thing to carry out or to hear of. Control comes first and in order; gossip comes
    /// when no control waits, one message of each peer in turn.
    pub fn poll_action(&mut self) -> Option<Action<T>> {
        if let Some(lost) = self.stalled.take() {
            return Some(Action::Event(Event::Stalled { lost }));
        }
        if let Some((action, len)) = self.actions.pop_front() {
            self.pool_in.give(len);
            if self.actions.is_empty() {
                self.actions = VecDeque::new();
            }
            self.relieve();
            return Some(action);
        }
        while let Some(id) = self.turns.pop_front() {
            let Some(active) = self.active.get_mut(&id) else {
                continue;
            };
            let Some((message, _)) = active.inbox.pop(&mut self.pool_in) else {
                continue;
            };
            if active.inbox.spent().messages > 0 {
                self.turns.push_back(id);
            }
            self.update_reading(id);
            self.relieve();
            return Some(Action::Event(Event::Gossip { id, message }));
        }
        None
    }

    /// When to call [`Table::handle_timeout`] next, and why.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let (at, id) = self.due()?;
        let why = id.map_or("beat", |id| self.why(at, id));
        let at = self.clock.real(at);
        Some(Wakeup { at, why })
    }

    /// Looks after everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let at = self.tick(now);
        while let Some(&(when, id)) = self.agenda.first() {
            if when > at {
                break;
            }
            let _ = self.agenda.pop_first();
            self.on_due(at, id);
        }
        if self.beat_at <= at {
            self.beat_at = at + self.config.beat;
            self.rotate(at);
            self.shrink(at);
        }
    }

    fn on_due(&mut self, at: Instant, id: SessionId) {
        if let Some(active) = self.active.get_mut(&id) {
            active.wakeup = None;
            self.on_active_due(at, id);
        } else if let Some(pending) = self.pending.get_mut(&id) {
            pending.wakeup = None;
            self.on_pending_due(at, id);
        } else if self.closing.remove(&id).is_some() {
            self.push(Action::Abort(id));
        }
        self.reschedule(id);
    }

    /// Makes sure that the session is looked at in time. What is on the agenda already and early
    /// enough stays: looking once too often is cheaper than moving it with every message.
    pub(crate) fn reschedule(&mut self, id: SessionId) {
        let (next, wakeup) = if let Some(active) = self.active.get_mut(&id) {
            (active.next(&self.config), &mut active.wakeup)
        } else if let Some(pending) = self.pending.get_mut(&id) {
            (Some(pending.next()), &mut pending.wakeup)
        } else {
            return;
        };
        let Some((at, _)) = next else { return };
        if wakeup.is_some_and(|earlier| earlier <= at) {
            return;
        }
        if let Some(later) = wakeup.replace(at) {
            let _ = self.agenda.remove(&(later, id));
        }
        let _ = self.agenda.insert((at, id));
    }

    /// Takes a session off the agenda.
    pub(crate) fn unschedule(&mut self, id: SessionId, wakeup: Option<Instant>) {
        if let Some(at) = wakeup {
            let _ = self.agenda.remove(&(at, id));
        }
    }

    /// Notes that a session is being told goodbye; `false` when too many are.
    pub(crate) fn start_closing(&mut self, id: SessionId, until: Instant) -> bool {
        if self.closing.len() >= self.config.limits.closing {
            return false;
        }
        let _ = self.closing.insert(id, until);
        let _ = self.agenda.insert((until, id));
        true
    }

    /// The session's task has ended.
    pub(crate) fn end_closing(&mut self, id: SessionId) {
        let until = self.closing.remove(&id);
        self.unschedule(id, until);
    }

    /// Recomputes everything that is derived. For tests; costs as much as the table is large.
    ///
    /// # Errors
    /// What differs from what was kept.
    pub fn check(&self) -> Result<(), String> {
        let mut counts = Counts::default();
        let slots = self.pending.values().map(|pending| &pending.slot);
        slots
            .chain(self.active.values().map(|active| &active.slot))
            .for_each(|slot| counts.insert(slot));
        let same = |what: &str, same: bool| {
            same.then_some(())
                .ok_or_else(|| format!("{what} differs from its recount"))
        };
        same("the count of slots", counts == self.counts)?;
        let actives = self.active.iter();
        let by_identity: BTreeMap<_, _> = actives
            .clone()
            .map(|(id, active)| (active.identity.clone(), *id))
            .collect();
        same("the index of identities", by_identity == self.by_identity)?;
        same(
            "one session per identity",
            by_identity.len() == self.active.len(),
        )?;
        let dialling: BTreeMap<_, _> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.slot.direction == peerage_core::Direction::Outbound)
            .filter_map(|(id, pending)| Some((pending.identity.clone()?, *id)))
            .collect();
        same("the index of dials", dialling == self.dialling)?;
        let mut hosts = Hosts::default();
        for (id, pending) in &self.pending {
            hosts.insert(*id, pending.addr.as_ref());
        }
        for (id, active) in &self.active {
            hosts.insert(*id, Some(&active.addr));
        }
        same("the index of hosts", hosts == self.hosts)?;

        let wakeups = actives.clone().map(|(id, active)| (active.wakeup, *id));
        let wakeups = wakeups.chain(self.pending.iter().map(|(id, p)| (p.wakeup, *id)));
        let wakeups = wakeups.chain(self.closing.iter().map(|(id, until)| (Some(*until), *id)));
        let agenda: BTreeSet<_> = wakeups.filter_map(|(at, id)| Some((at?, id))).collect();
        same("the agenda", agenda == self.agenda)?;
        for (id, active) in actives.clone() {
            let next = active.next(&self.config).map(|(at, _)| at);
            let late = next.is_some_and(|at| active.wakeup.is_none_or(|set| set > at));
            same(&format!("the wakeup of {id}"), !late)?;
            let counted = active.inbox.recount() == active.inbox.spent();
            same(&format!("the inbox of {id}"), counted)?;
            let queued = self.turns.iter().filter(|turn| *turn == id).count();
            let turns = usize::from(active.inbox.spent().messages > 0);
            same(&format!("the turns of {id}"), queued == turns)?;
        }
        let out: usize = actives
            .clone()
            .map(|(_, active)| active.lanes.recount())
            .sum();
        same("bytes to send", out == self.pool_out.used())?;
        let held: usize = actives
            .map(|(_, active)| active.inbox.recount().bytes)
            .sum();
        let told: usize = self.actions.iter().map(|(_, len)| len).sum();
        same("bytes to fetch", held + told == self.pool_in.used())?;
        same(
            "the starved are active",
            self.starved.iter().all(|id| self.active.contains_key(id)),
        )
    }
}

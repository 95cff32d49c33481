//! What a node does on its own: populate, refresh, revalidate, ask new inbound nodes back, count
//! votes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_core::Wakeup;

use super::Discovery;
use super::action::{Event, NotDiscoverable};
use super::calls::{Body, Purpose};
use crate::node_id::NodeId;
use crate::record::Record;
use crate::table::Entry;

/// Why a new node is to be asked whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewNode {
    /// It has come to us.
    Inbound,
    /// It was one of the nearest to us that we knew of.
    Near,
}

/// When each of the node's own doings is due; all `None` until it is started.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    refresh_at: Option<Instant>,
    revalidate_at: Option<Instant>,
    majority_at: Option<Instant>,
    /// When a young node looks for its neighbours again, and how long after the last time.
    join: Option<(Instant, Duration)>,
    /// Whether random queries are to follow the search for our neighbours.
    is_populating: bool,
    /// New nodes to be asked, by when.
    ping_backs: BTreeMap<(Instant, NodeId), NewNode>,
    /// Boot nodes, offered again whenever the table is empty.
    boot: Vec<Record>,
    /// Requests in a row without an answer, nothing having come between them.
    pub(super) silent_in_a_row: u32,
    pub(super) is_outage: bool,
}

impl Upkeep {
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        let ping_back = self.ping_backs.first_key_value().map(|((at, _), _)| *at);
        [
            (self.refresh_at, "the table is to be refreshed"),
            (self.revalidate_at, "a node is to be revalidated"),
            (self.majority_at, "votes are to be counted"),
            (
                self.join.map(|(at, _)| at),
                "neighbours are to be looked for",
            ),
            (ping_back, "a new node is to be asked"),
        ]
        .into_iter()
        .filter_map(|(at, why)| at.map(|at| Wakeup { at, why }))
        .min_by_key(|wakeup| wakeup.at)
    }
}

impl Discovery {
    /// Gives boot nodes: offered to the table now and whenever it is empty, and never replaced for
    /// silence. Returns how many have a place now.
    pub fn seed_table(&mut self, boot: impl IntoIterator<Item = Record>) -> usize {
        for record in boot {
            let present = self.upkeep.boot.iter_mut();
            let same = present
                .into_iter()
                .find(|b| b.node_id() == record.node_id());
            match same {
                Some(present) if present.seq() < record.seq() => *present = record,
                Some(_) => {}
                None => self.upkeep.boot.push(record),
            }
        }
        self.offer_boot()
    }

    fn offer_boot(&mut self) -> usize {
        let boot = self.upkeep.boot.clone();
        let mut placed = 0;
        for record in boot {
            let id = record.node_id();
            self.add_node(&record);
            self.table.mark_boot(&id);
            placed += usize::from(self.table.node(&id).is_some());
        }
        placed
    }

    /// Begins the node's own doings: fills the table, and keeps it fresh from now on.
    pub fn start(&mut self, now: Instant) {
        if self.upkeep.refresh_at.is_some() {
            return;
        }
        if self.external_endpoints().next().is_none() {
            self.event(Event::NotDiscoverable(if self.config.auto_update {
                NotDiscoverable::UntilVotes
            } else {
                NotDiscoverable::Ever
            }));
        }
        self.populate(now);
        self.upkeep.refresh_at = Some(now + self.config.refresh_interval);
        self.upkeep.majority_at = Some(now + self.config.majority_interval);
        self.plan_revalidation(now);
    }

    fn populate(&mut self, now: Instant) {
        let pause = self.config.join_interval.max(Duration::from_millis(1));
        self.upkeep.join = Some((now + pause, pause));
        self.upkeep.is_populating = true;
        self.start_own_query(now, self.node_id());
        if self.searches.is_empty() {
            self.populate_at_random(now, 0);
        }
    }

    /// A search has ended. After the first since the table was to be populated come the random
    /// queries: there is somebody to ask by then, and who looks for something at once, as most
    /// callers do, has made one of them already. `ended` is 1 if a caller waited for what has ended.
    pub(super) fn populate_at_random(&mut self, now: Instant, ended: usize) {
        if !std::mem::take(&mut self.upkeep.is_populating) {
            return;
        }
        let made = ended + self.searches.asked_for();
        for _ in made..self.config.populate_queries {
            let target = NodeId(self.rng.bytes());
            self.start_own_query(now, target);
        }
    }

    /// A new node is asked within seconds whether it is there, so that it can be passed on: one that
    /// has come to us, or one that is near to us.
    pub(super) fn plan_ping_back(&mut self, now: Instant, node: NodeId, why: NewNode) {
        let planned = &self.upkeep.ping_backs;
        let is_planned = planned.keys().any(|(_, other)| *other == node);
        if is_planned || planned.len() >= self.config.max_ping_backs {
            return;
        }
        let at = now + self.rng.duration(self.config.ping_back_within);
        self.upkeep.ping_backs.insert((at, node), why);
    }

    /// Whether a new node is still to be asked: not if so many nearer ones have been found that nobody
    /// would ask us for it, nor if it has answered since; but as long as we do not know our own
    /// address, its PONG is a vote.
    fn is_worth_asking(&self, node: &NodeId, why: NewNode) -> bool {
        let near = self.config.lookup_results;
        self.table.node(node).is_some_and(|entry| {
            let is_wanted = !entry.seen || self.external_endpoints().next().is_none();
            is_wanted && (why == NewNode::Inbound || self.table.rank(node) < near)
        })
    }

    fn plan_revalidation(&mut self, now: Instant) {
        let pause = self.rng.duration(self.config.revalidate_interval);
        // Never at once: a pause of nothing would make a busy loop.
        let pause = pause.max(Duration::from_millis(1));
        self.upkeep.revalidate_at = Some(now + pause);
    }

    pub(super) fn run_upkeep(&mut self, now: Instant) {
        while let Some(first) = self.upkeep.ping_backs.first_entry() {
            let (at, node) = *first.key();
            if at > now {
                break;
            }
            let why = first.remove();
            if why == NewNode::Near && self.upkeep.is_populating {
                // Who is near is known once the search for our neighbours has ended.
                let pause = self.config.ping_back_within.max(Duration::from_millis(1));
                self.upkeep.ping_backs.insert((now + pause, node), why);
            } else if self.is_worth_asking(&node, why) {
                self.ask_liveness(now, &node);
            }
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.upkeep.revalidate_at) {
            self.plan_revalidation(now);
            self.sessions.cool();
            let node = self.node_to_ask();
            if let Some(node) = node.map(|entry| entry.id()) {
                self.ask_liveness(now, &node);
            }
        }
        if let Some((at, pause)) = self.upkeep.join
            && at <= now
        {
            self.join_again(now, pause);
        }
        if is_due(self.upkeep.refresh_at) {
            self.upkeep.refresh_at = Some(now + self.config.refresh_interval);
            self.bans.expire(now);
            self.refresh(now);
        }
        if is_due(self.upkeep.majority_at) {
            self.upkeep.majority_at = Some(now + self.config.majority_interval);
            self.count_votes(now);
        }
    }

    /// The node to revalidate. After a silence it is one that is likely to answer: when many nodes
    /// vanish at once, they are soon the least recently seen of every bucket, and if only they were
    /// asked, our own network would seem to be down and none would lose its place.
    fn node_to_ask(&mut self) -> Option<&Entry> {
        let table = &self.table;
        let doubtful = self.upkeep.silent_in_a_row > 0;
        let relied_on = if doubtful {
            table.node_to_rely_on(&mut self.rng)
        } else {
            None
        };
        relied_on.or_else(|| table.node_to_revalidate(&mut self.rng))
    }

    /// While the table is thin, looks for our neighbours again.
    fn join_again(&mut self, now: Instant, pause: Duration) {
        let next = pause * 2;
        let is_young =
            next <= self.config.refresh_interval && self.table.len() < self.config.lookup_results;
        self.upkeep.join = is_young.then(|| (now + next, next));
        if self.table.is_empty() {
            self.offer_boot();
        }
        if is_young {
            self.start_own_query(now, self.node_id());
        }
    }

    /// A random query, unless a search has ended since the last refresh; everything anew if the
    /// table is empty.
    fn refresh(&mut self, now: Instant) {
        if self.table.is_empty() {
            self.offer_boot();
            self.populate(now);
            return;
        }
        let since = self.searches.last_end;
        let is_fresh = since
            .is_some_and(|at| now.saturating_duration_since(at) < self.config.refresh_interval);
        if !is_fresh {
            let target = NodeId(self.rng.bytes());
            self.start_own_query(now, target);
        }
    }

    /// A PING to a node of the table. Its answer is a vote, and tells if its record is newer.
    fn ask_liveness(&mut self, now: Instant, node: &NodeId) {
        if self.calls.has(node, Purpose::Liveness) {
            return;
        }
        let Some(entry) = self.table.node(node) else {
            return;
        };
        let (record, endpoint) = (entry.record.clone(), entry.endpoint);
        // Without room it is asked another time.
        let _asked = self.call(now, &record, endpoint, Body::Ping, Purpose::Liveness);
    }
}

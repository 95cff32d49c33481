//! Everything that follows from the candidates themselves. It changes in [`Index::insert`] and
//! [`Index::remove`] and nowhere else, and an audit builds it anew and compares.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use crate::candidate::{Candidate, Class, Id, Phase, Worth};
use crate::config::Names;
use crate::key::Key;
use crate::prefix::{Group, Grouping};
use crate::source::SourceGroup;

/// How the best of a queue comes first: level, then chance.
pub(crate) type Turn = (Reverse<u8>, u64, Id);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Index {
    names: Names,
    grouping: Grouping,
    pub(crate) by_key: BTreeMap<Key, Id>,
    pub(crate) by_ip: BTreeSet<(IpAddr, Id)>,
    /// Who may be dialled now, by class and group.
    pub(crate) ready: BTreeMap<(Class, Group), BTreeSet<Turn>>,
    /// How many these are.
    pub(crate) ready_len: usize,
    pub(crate) waiting: BTreeSet<(Instant, Id)>,
    /// When which name is to be resolved.
    pub(crate) names_due: BTreeSet<(Instant, Id)>,
    /// The new ones, by whom they are charged to.
    pub(crate) sources: BTreeMap<SourceGroup, BTreeSet<(Worth, Id)>>,
    /// How much each source holds, the most last.
    pub(crate) largest: BTreeSet<(usize, SourceGroup)>,
    /// New (false) and tried (true) ones by address group; none of the local group.
    pub(crate) groups: BTreeMap<(bool, Group), BTreeSet<(Worth, Id)>>,
    pub(crate) tried: BTreeSet<(Worth, Id)>,
    pub(crate) new_len: usize,
    pub(crate) pinned_len: usize,
}

impl Index {
    pub(crate) const fn new(names: Names, grouping: Grouping) -> Self {
        Self {
            names,
            grouping,
            by_key: BTreeMap::new(),
            by_ip: BTreeSet::new(),
            ready: BTreeMap::new(),
            ready_len: 0,
            waiting: BTreeSet::new(),
            names_due: BTreeSet::new(),
            sources: BTreeMap::new(),
            largest: BTreeSet::new(),
            groups: BTreeMap::new(),
            tried: BTreeSet::new(),
            new_len: 0,
            pinned_len: 0,
        }
    }

    pub(crate) fn insert(&mut self, id: Id, candidate: &Candidate) {
        self.by_key.insert(candidate.key.clone(), id);
        for spot in &candidate.spots {
            self.by_ip.insert((spot.endpoint.ip(), id));
        }
        if let Some(at) = candidate.resolve_at {
            self.names_due.insert((at, id));
        }
        let group = candidate.group(self.names, self.grouping);
        if candidate.role.is_pinned() {
            self.pinned_len += 1;
        } else {
            let place = (candidate.worth(), id);
            let tried = candidate.is_tried();
            if group != Group::Local {
                let members = self.groups.entry((tried, group.clone())).or_default();
                members.insert(place);
            }
            if tried {
                self.tried.insert(place);
            } else {
                self.new_len += 1;
                self.charge(candidate.payer.clone(), |held| held.insert(place));
            }
        }
        match candidate.phase {
            Phase::Waiting(until) => {
                self.waiting.insert((until, id));
            }
            Phase::Idle => {
                if let Some(turn) = turn(id, candidate, self.names) {
                    let queue = self.ready.entry((candidate.class(), group)).or_default();
                    self.ready_len += usize::from(queue.insert(turn));
                }
            }
            Phase::Busy(_) => {}
        }
    }

    pub(crate) fn remove(&mut self, id: Id, candidate: &Candidate) {
        self.by_key.remove(&candidate.key);
        for spot in &candidate.spots {
            self.by_ip.remove(&(spot.endpoint.ip(), id));
        }
        if let Some(at) = candidate.resolve_at {
            self.names_due.remove(&(at, id));
        }
        let group = candidate.group(self.names, self.grouping);
        if candidate.role.is_pinned() {
            self.pinned_len -= 1;
        } else {
            let place = (candidate.worth(), id);
            let tried = candidate.is_tried();
            let _ = prune(&mut self.groups, (tried, group.clone()), &place);
            if tried {
                self.tried.remove(&place);
            } else {
                self.new_len -= 1;
                self.charge(candidate.payer.clone(), |held| held.remove(&place));
            }
        }
        match candidate.phase {
            Phase::Waiting(until) => {
                self.waiting.remove(&(until, id));
            }
            Phase::Idle => {
                if let Some(turn) = turn(id, candidate, self.names) {
                    let queue = (candidate.class(), group);
                    self.ready_len -= usize::from(prune(&mut self.ready, queue, &turn));
                }
            }
            Phase::Busy(_) => {}
        }
    }

    fn charge(
        &mut self,
        source: SourceGroup,
        change: impl FnOnce(&mut BTreeSet<(Worth, Id)>) -> bool,
    ) {
        let held = self.sources.entry(source.clone()).or_default();
        let before = held.len();
        change(held);
        let after = held.len();
        if after == 0 {
            self.sources.remove(&source);
        }
        if before > 0 {
            self.largest.remove(&(before, source.clone()));
        }
        if after > 0 {
            self.largest.insert((after, source));
        }
    }

    /// Those with an endpoint at the address.
    pub(crate) fn at_ip(&self, ip: IpAddr) -> impl Iterator<Item = Id> {
        let all = (ip, Id(0))..=(ip, Id(u64::MAX));
        self.by_ip.range(all).map(|(_, id)| *id)
    }
}

/// Its place among those who may be dialled; none if its claims exclude it or it has no address.
fn turn(id: Id, candidate: &Candidate, names: Names) -> Option<Turn> {
    if candidate.is_unfit() {
        return None;
    }
    candidate.best(names)?;
    Some((Reverse(candidate.score.level()), candidate.draw, id))
}

/// Whether it was there.
fn prune<K: Ord, T: Ord>(map: &mut BTreeMap<K, BTreeSet<T>>, key: K, item: &T) -> bool {
    let Some(set) = map.get_mut(&key) else {
        return false;
    };
    let was_there = set.remove(item);
    if set.is_empty() {
        map.remove(&key);
    }
    was_there
}

//! A search: which node to ask next, and when it is over. It sends nothing itself.

use std::collections::BTreeMap;

use crate::node_id::NodeId;
use crate::record::Record;
use crate::table::Metric;

/// What a search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The nodes nearest to the target: it ends when these have answered.
    Nearest,
    /// Whatever is found on the way: it ends after so many nodes.
    Everything,
    /// The target's own newest record.
    Resolve,
}

/// Which records a search returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The entry that must be there.
    pub key: Vec<u8>,
    /// What it must say, if that matters: the bytes of a string, or the encoding of any value.
    pub value: Option<Vec<u8>>,
}

impl Filter {
    /// Records with this entry.
    pub fn has(key: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            value: None,
        }
    }

    /// Records in which this entry says this.
    pub fn is(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            value: Some(value.into()),
        }
    }

    /// Whether a record is wanted.
    pub fn accepts(&self, record: &Record) -> bool {
        let Some(raw) = record.raw(&self.key) else {
            return false;
        };
        self.value
            .as_ref()
            .is_none_or(|value| raw == &value[..] || record.string(&self.key) == Some(&value[..]))
    }
}

/// How far a candidate has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Waiting,
    /// It takes long; others are asked meanwhile.
    Slow,
    Answered,
    Failed,
}

/// The bounds of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) alpha: usize,
    pub(crate) results: usize,
    pub(crate) max_asked: usize,
}

/// A search under way.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) target: NodeId,
    pub(crate) goal: Goal,
    pub(crate) filter: Option<Filter>,
    /// Whether the caller waits for it.
    pub(crate) is_asked_for: bool,
    bounds: Bounds,
    metric: Metric,
    /// By distance to the target.
    candidates: BTreeMap<[u8; 32], (Record, State)>,
    asked: usize,
}

impl Search {
    pub(crate) const fn new(target: NodeId, goal: Goal, bounds: Bounds, metric: Metric) -> Self {
        Self {
            target,
            goal,
            filter: None,
            is_asked_for: true,
            bounds,
            metric,
            candidates: BTreeMap::new(),
            asked: 0,
        }
    }

    /// A node that may be asked. A newer record replaces an older.
    pub(crate) fn offer(&mut self, record: Record) {
        let distance = (self.metric.distance)(&self.target, &record.node_id());
        let known = self.candidates.entry(distance);
        let (present, _) = known.or_insert_with(|| (record.clone(), State::New));
        if present.seq() < record.seq() {
            *present = record;
        }
    }

    /// The next node to ask; it counts as asked.
    pub(crate) fn next(&mut self) -> Option<Record> {
        let under_way = self.count(State::Waiting);
        if under_way >= self.bounds.alpha || self.asked >= self.most_asked() {
            return None;
        }
        let results = self.bounds.results;
        let alive = self
            .candidates
            .values_mut()
            .filter(|(_, state)| *state != State::Failed);
        // A lookup is over once the nearest have answered; a query asks whomever it knows.
        let nearest = match self.goal {
            Goal::Nearest | Goal::Resolve => alive.take(results),
            Goal::Everything => alive.take(usize::MAX),
        };
        let (record, state) = nearest
            .into_iter()
            .find(|(_, state)| *state == State::New)?;
        *state = State::Waiting;
        let record = record.clone();
        self.asked += 1;
        Some(record)
    }

    /// The distances to ask a node for, seen from it; at most `count`.
    ///
    /// A node at distance `l` from the one asked, itself at `d` from the target, is at `max(l, d)`
    /// from the target, or nearer if `l == d`. So `d` comes first, and a lookup that already has
    /// enough candidates asks for no distance that cannot better them. One that has too few takes
    /// anybody: half of its distances are the farthest, where most nodes are. Nodes that join beside
    /// their boot node would else find nobody, and nobody would find them.
    pub(crate) fn distances(&self, node: &NodeId, count: usize) -> Vec<u16> {
        let log_distance = self.metric.log_distance;
        let to_target = log_distance(node, &self.target);
        let mut found = lookup_distances(to_target, count);
        let mut alive = self
            .candidates
            .values()
            .filter(|(_, s)| *s != State::Failed);
        if alive.clone().count() < self.bounds.results {
            let far = count / 2;
            found.truncate(count - far);
            let farthest = (1..=256).rev().filter(|l| !found.contains(l));
            let farthest: Vec<u16> = farthest.take(far).collect();
            found.extend(farthest);
            return found;
        }
        if self.goal == Goal::Everything {
            return found;
        }
        let worst = alive.nth(self.bounds.results.saturating_sub(1));
        let worst = worst.map(|(record, _)| log_distance(&record.node_id(), &self.target));
        if let Some(worst) = worst {
            let is_useful = |l: &u16| *l == to_target || (*l).max(to_target) <= worst;
            found.retain(is_useful);
        }
        found
    }

    /// A node has answered.
    pub(crate) fn on_answer(&mut self, id: &NodeId) {
        self.set(id, State::Answered);
    }

    /// A node has failed.
    pub(crate) fn on_failure(&mut self, id: &NodeId) {
        self.set(id, State::Failed);
    }

    /// A node takes long.
    pub(crate) fn on_slow(&mut self, id: &NodeId) {
        self.set(id, State::Slow);
    }

    /// Whether nothing is under way; [`Self::next`] has returned nothing then either.
    pub(crate) fn is_idle(&self) -> bool {
        self.count(State::Waiting) == 0 && self.count(State::Slow) == 0
    }

    /// What was found, the nearest first.
    pub(crate) fn results(&self) -> Vec<Record> {
        let all = self.candidates.values();
        let wanted = all.filter(|(record, state)| {
            let by_filter = self.filter.as_ref().is_none_or(|f| f.accepts(record));
            by_filter
                && match self.goal {
                    Goal::Nearest => *state != State::Failed,
                    Goal::Everything => true,
                    Goal::Resolve => record.node_id() == self.target,
                }
        });
        let count = match self.goal {
            Goal::Nearest => self.bounds.results,
            Goal::Everything | Goal::Resolve => usize::MAX,
        };
        wanted
            .take(count)
            .map(|(record, _)| record.clone())
            .collect()
    }

    const fn most_asked(&self) -> usize {
        match self.goal {
            Goal::Nearest | Goal::Resolve => self.bounds.max_asked,
            Goal::Everything => self.bounds.results,
        }
    }

    fn count(&self, state: State) -> usize {
        self.candidates
            .values()
            .filter(|(_, s)| *s == state)
            .count()
    }

    fn set(&mut self, id: &NodeId, to: State) {
        let distance = (self.metric.distance)(&self.target, id);
        if let Some((_, state)) = self.candidates.get_mut(&distance) {
            *state = to;
        }
    }
}

/// The distances to ask a node for, seen from it: that of the target, then those around it.
pub(crate) fn lookup_distances(distance: u16, count: usize) -> Vec<u16> {
    let mut found = Vec::with_capacity(count);
    let distance = distance.clamp(1, 256);
    found.push(distance);
    let mut step = 1;
    while found.len() < count && step < 256 {
        for next in [distance + step, distance.saturating_sub(step)] {
            if (1..=256).contains(&next) && found.len() < count {
                found.push(next);
            }
        }
        step += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::SecretKey;
    use crate::record::Builder;

    fn record(seed: u8) -> Record {
        let key = SecretKey::from_bytes([seed; 32]).unwrap();
        Builder::new(1).string("n", [seed]).sign(&key).unwrap()
    }

    const BOUNDS: Bounds = Bounds {
        alpha: 3,
        results: 4,
        max_asked: 10,
    };

    fn search(goal: Goal) -> Search {
        Search::new(NodeId([0; 32]), goal, BOUNDS, Metric::default())
    }

    #[test]
    fn the_distances_begin_with_the_targets_and_stay_in_range() {
        assert_eq!(lookup_distances(250, 3), [250, 251, 249]);
        assert_eq!(lookup_distances(256, 3), [256, 255, 254]);
        assert_eq!(lookup_distances(1, 3), [1, 2, 3]);
        assert_eq!(lookup_distances(0, 1), [1]);
        assert_eq!(lookup_distances(128, 1000).len(), 256);
    }

    #[test]
    fn only_distances_that_can_better_the_results_are_asked_for() {
        let mut search = search(Goal::Nearest);
        let mut nodes: Vec<_> = (1..=20).map(record).collect();
        nodes.sort_by_key(|record| record.node_id());
        let far = nodes[19].node_id();
        assert_eq!(search.distances(&far, 3), [256, 255, 254], "anything helps");
        for node in &nodes {
            search.offer(node.clone());
        }
        let worst = nodes[3].node_id().log_distance(&search.target);
        assert!(worst < 256);
        assert_eq!(search.distances(&far, 3), [256], "only towards the target");
        let nearest = nodes[0].node_id();
        let asked = search.distances(&nearest, 6);
        let own = nearest.log_distance(&search.target);
        assert_eq!(asked[0], own);
        assert!(
            asked.len() > 1 && asked.iter().all(|l| *l <= worst),
            "{asked:?}"
        );
    }

    #[test]
    fn a_search_that_knows_few_asks_for_the_farthest_too() {
        for goal in [Goal::Nearest, Goal::Everything] {
            let mut search = search(goal);
            let beside = search.target;
            let asked = search.distances(&beside, 6);
            assert_eq!(asked, [1, 2, 3, 256, 255, 254], "nobody lives so near");
            for seed in 1..=20 {
                search.offer(record(seed));
            }
            let asked = search.distances(&beside, 6);
            assert!(!asked.contains(&256), "{asked:?}");
        }
    }

    #[test]
    fn a_lookup_ends_when_the_nearest_have_answered() {
        let mut search = search(Goal::Nearest);
        for seed in 1..=20 {
            search.offer(record(seed));
        }
        let mut nearest: Vec<_> = (1..=20).map(record).collect();
        nearest.sort_by_key(|record| record.node_id());
        let first: Vec<_> = std::iter::from_fn(|| search.next()).collect();
        assert_eq!(first, nearest[..3], "as many as may be under way");
        search.on_failure(&nearest[0].node_id());
        assert_eq!(search.next().as_ref(), Some(&nearest[3]));
        search.on_answer(&nearest[1].node_id());
        assert_eq!(search.next().as_ref(), Some(&nearest[4]), "one has failed");
        search.on_slow(&nearest[2].node_id());
        assert_eq!(search.next(), None, "the four nearest alive are asked");
        assert!(!search.is_idle());
        for node in &nearest[2..5] {
            search.on_answer(&node.node_id());
        }
        assert!(search.next().is_none() && search.is_idle());
        assert_eq!(search.results(), nearest[1..5]);
    }

    #[test]
    fn a_query_asks_so_many_and_returns_everything() {
        let mut search = search(Goal::Everything);
        search.offer(record(1));
        let mut asked = 0;
        for seed in 2.. {
            let Some(node) = search.next() else { break };
            asked += 1;
            search.on_answer(&node.node_id());
            search.offer(record(seed));
        }
        assert_eq!(asked, 4, "nodes named on the way are asked too");
        assert_eq!(search.results().len(), 5);
        search.filter = Some(Filter::is("n", [3]));
        assert_eq!(search.results(), [record(3)]);
        search.filter = Some(Filter::has("eth"));
        assert!(search.results().is_empty());
    }

    #[test]
    fn whoever_names_ever_nearer_nodes_is_followed_only_so_far() {
        let mut search = search(Goal::Nearest);
        let mut nodes: Vec<_> = (1..=60).map(record).collect();
        nodes.sort_by_key(|record| std::cmp::Reverse(record.node_id()));
        let mut nodes = nodes.into_iter();
        search.offer(nodes.next().unwrap());
        let mut asked = 0;
        while let Some(node) = search.next() {
            asked += 1;
            search.on_answer(&node.node_id());
            search.offer(nodes.next().unwrap());
        }
        assert_eq!(asked, 10);
    }
}

//! Searches under way, and the requests they make.

use std::time::Instant;

use super::action::{Answer, Event, RequestError, SearchId};
use super::calls::{Body, Purpose};
use super::search::{Bounds, Filter, Goal, Search};
use super::{ById, Discovery};
use crate::node_id::NodeId;
use crate::record::Record;

/// The searches under way.
#[derive(Debug, Default)]
pub(super) struct Searches {
    open: ById<Search>,
    next_id: u64,
    /// When one last ended: the gate of the refresh.
    pub(super) last_end: Option<Instant>,
}

impl Searches {
    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many the caller waits for.
    pub(super) fn asked_for(&self) -> usize {
        let open = self.open.values();
        open.filter(|search| search.is_asked_for).count()
    }
}

impl Discovery {
    /// Looks for the nodes nearest to `target`. It ends with [`Event::SearchDone`].
    ///
    /// # Errors
    /// [`RequestError::Busy`] when as many searches are under way as may.
    pub fn start_lookup(&mut self, now: Instant, target: NodeId) -> Result<SearchId, RequestError> {
        self.start_search(now, target, Goal::Nearest, None)
    }

    /// Looks towards `target` and returns everything seen on the way.
    ///
    /// # Errors
    /// As [`Self::start_lookup`].
    pub fn start_query(&mut self, now: Instant, target: NodeId) -> Result<SearchId, RequestError> {
        self.start_search(now, target, Goal::Everything, None)
    }

    /// Looks towards a random target and returns everything seen on the way that `filter` accepts.
    ///
    /// # Errors
    /// As [`Self::start_lookup`].
    pub fn start_random_query(
        &mut self,
        now: Instant,
        filter: Option<Filter>,
    ) -> Result<SearchId, RequestError> {
        let target = NodeId(self.rng.bytes());
        self.start_search(now, target, Goal::Everything, filter)
    }

    /// Looks for the newest record of a node: asks the node itself if we know it, else others.
    /// It ends with [`Event::SearchDone`], with one record or none.
    ///
    /// # Errors
    /// As [`Self::start_lookup`].
    pub fn start_resolve(&mut self, now: Instant, node: NodeId) -> Result<SearchId, RequestError> {
        let id = self.insert_search(node, Goal::Resolve, None)?;
        if node == self.node_id() {
            let own = self.record.clone();
            self.offer(id, own);
            self.end_search(now, id);
            return Ok(SearchId(id));
        }
        let known = self.table.node(&node).map(|entry| entry.record.clone());
        if let Some(known) = known {
            self.offer(id, known.clone());
            let body = Body::find_node([0]);
            if self
                .call_record(now, &known, body, Purpose::Resolve(id))
                .is_ok()
            {
                return Ok(SearchId(id));
            }
        }
        self.seed_search(id);
        self.advance(now, id);
        Ok(SearchId(id))
    }

    /// A query of our own, that nobody waits for.
    pub(super) fn start_own_query(&mut self, now: Instant, target: NodeId) {
        if let Ok(id) = self.insert_search(target, Goal::Everything, None) {
            if let Some(search) = self.searches.open.get_mut(&id) {
                search.is_asked_for = false;
            }
            self.seed_search(id);
            self.advance(now, id);
        }
    }

    fn start_search(
        &mut self,
        now: Instant,
        target: NodeId,
        goal: Goal,
        filter: Option<Filter>,
    ) -> Result<SearchId, RequestError> {
        let id = self.insert_search(target, goal, filter)?;
        self.seed_search(id);
        self.advance(now, id);
        Ok(SearchId(id))
    }

    fn insert_search(
        &mut self,
        target: NodeId,
        goal: Goal,
        filter: Option<Filter>,
    ) -> Result<u64, RequestError> {
        let limit = self.config.max_searches;
        if self.searches.open.len() >= limit {
            return Err(RequestError::Busy { limit });
        }
        let id = self.searches.next_id;
        self.searches.next_id += 1;
        let bounds = Bounds {
            alpha: self.config.alpha,
            results: self.config.lookup_results,
            max_asked: self.config.lookup_max_asked,
        };
        let mut search = Search::new(target, goal, bounds, self.config.metric);
        search.filter = filter;
        self.searches.open.insert(id, search);
        Ok(id)
    }

    /// Begins with the nearest nodes of the table.
    fn seed_search(&mut self, id: u64) {
        let Some(search) = self.searches.open.get_mut(&id) else {
            return;
        };
        let count = self.config.lookup_results;
        let nearest = self.table.neighbours(&search.target, count, |_| true);
        for entry in nearest {
            search.offer(entry.record.clone());
        }
    }

    fn offer(&mut self, id: u64, record: Record) {
        if let Some(search) = self.searches.open.get_mut(&id) {
            search.offer(record);
        }
    }

    /// Asks as many nodes as may be asked now; ends the search when none is left.
    fn advance(&mut self, now: Instant, id: u64) {
        loop {
            let Some(search) = self.searches.open.get_mut(&id) else {
                return;
            };
            let Some(next) = search.next() else { break };
            let node = next.node_id();
            let distances = search.distances(&node, self.config.lookup_distances);
            let body = Body::find_node(distances);
            let made = self.call_record(now, &next, body, Purpose::Search(id));
            if made.is_err()
                && let Some(search) = self.searches.open.get_mut(&id)
            {
                search.on_failure(&node);
            }
        }
        let search = self.searches.open.get(&id);
        if search.is_some_and(Search::is_idle) {
            self.end_search(now, id);
        }
    }

    /// A node that a search asked has answered, or failed.
    pub(super) fn on_search_step(
        &mut self,
        now: Instant,
        id: u64,
        node: &NodeId,
        result: Result<Answer, RequestError>,
    ) {
        let own = self.node_id();
        if let Some(search) = self.searches.open.get_mut(&id) {
            match result {
                Ok(answer) => {
                    search.on_answer(node);
                    if let Answer::Nodes(found) = answer {
                        for record in found {
                            if record.node_id() != own {
                                search.offer(record);
                            }
                        }
                    }
                }
                Err(_) => search.on_failure(node),
            }
        }
        self.advance(now, id);
    }

    /// A node that a search asked takes long: others are asked meanwhile.
    pub(super) fn on_search_slow(&mut self, now: Instant, id: u64, node: &NodeId) {
        if let Some(search) = self.searches.open.get_mut(&id) {
            search.on_slow(node);
        }
        self.advance(now, id);
    }

    /// The node to be resolved has answered for itself, or has not.
    pub(super) fn on_resolve_step(
        &mut self,
        now: Instant,
        id: u64,
        node: &NodeId,
        result: Result<Answer, RequestError>,
    ) {
        if let Ok(Answer::Nodes(found)) = result {
            let own = found.into_iter().find(|record| record.node_id() == *node);
            if let Some(own) = own {
                self.offer(id, own);
                self.end_search(now, id);
                return;
            }
        }
        self.seed_search(id);
        if let Some(search) = self.searches.open.get_mut(&id) {
            search.on_failure(node);
        }
        self.advance(now, id);
    }

    fn end_search(&mut self, now: Instant, id: u64) {
        let Some(search) = self.searches.open.remove(&id) else {
            return;
        };
        self.searches.last_end = Some(now);
        self.metrics.searches += 1;
        if search.is_asked_for {
            self.event(Event::SearchDone {
                search: SearchId(id),
                nodes: search.results(),
            });
        }
        self.populate_at_random(now, usize::from(search.is_asked_for));
    }

    pub(super) fn close_searches(&mut self) {
        for (id, search) in std::mem::take(&mut self.searches.open) {
            if search.is_asked_for {
                self.event(Event::SearchDone {
                    search: SearchId(id),
                    nodes: search.results(),
                });
            }
        }
    }
}

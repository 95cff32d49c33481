//! Seeds: those who are asked for peers when nobody else is known.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use peerage_core::{Endpoint, Network, Reason};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};

use crate::candidate::{Candidate, Claims, Finder, Hearsay, Source};
use crate::report::{Report, SeedReport};

/// The longest one seed is waited for, in seconds. Source of the minute: dcrd's seeder client.
pub const ASK_LIMIT: Duration = Duration::from_secs(60);

/// The pause after a round that brought nothing; it doubles up to [`REST`].
const FIRST_REST: Duration = Duration::from_secs(30);

/// The pause after a round that brought somebody: seeds are there for beginners.
const REST: Duration = Duration::from_secs(11 * 60);

/// How many candidates one answer may hold: as many as the longest `addr` message.
pub const MAX_ANSWER: usize = 1000;

/// How many endpoints are remembered as given. A seed gives them again after that many others.
const MAX_GIVEN: usize = 10_000;

/// A place that can be asked for peers, and how.
pub trait Seed: Send + Sync + 'static {
    /// What its finder calls itself.
    const SOURCE: Source;

    /// What it is called: a host name, an address.
    fn name(&self) -> Arc<str>;

    /// Asks it. At most [`MAX_ANSWER`] of what it says are taken.
    ///
    /// # Errors
    /// Why there is no answer.
    fn ask(&self, deadline: Instant)
    -> impl Future<Output = Result<Vec<Told>, Reason>> + Send + '_;
}

/// What a seed tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where it can be dialled.
    pub endpoint: Endpoint,
    /// What the seed says of it.
    pub says: Hearsay,
}

impl From<Endpoint> for Told {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            says: Hearsay::default(),
        }
    }
}

/// A finder that asks seeds of one kind, all at once, and rests before it asks them again: 11
/// minutes, or 30 s and then twice as long each time, when nobody was found.
///
/// It gives each endpoint once.
#[derive(Debug)]
pub struct Seeds<S> {
    network: Network,
    seeds: Vec<Arc<S>>,
    limit: Duration,
    asked: JoinSet<(usize, Result<Vec<Told>, Reason>)>,
    told: VecDeque<(usize, Told)>,
    given: BTreeSet<Endpoint>,
    order: VecDeque<Endpoint>,
    reports: Vec<SeedReport>,
    gave: u64,
    /// Candidates of this round.
    round: u64,
    next_rest: Duration,
    resting: Option<Pin<Box<Sleep>>>,
}

impl<S: Seed> Seeds<S> {
    /// A finder for `network` that asks these. Without any, it finds nothing and says so by ending.
    pub fn new(network: Network, seeds: impl IntoIterator<Item = S>) -> Self {
        let seeds: Vec<_> = seeds.into_iter().map(Arc::new).collect();
        let mut finder = Self {
            network,
            limit: ASK_LIMIT,
            asked: JoinSet::new(),
            told: VecDeque::new(),
            given: BTreeSet::new(),
            order: VecDeque::new(),
            reports: seeds
                .iter()
                .map(|seed| SeedReport::of(seed.name()))
                .collect(),
            seeds,
            gave: 0,
            round: 0,
            next_rest: FIRST_REST,
            resting: None,
        };
        // Nothing is asked before anyone wants to know.
        finder.resting = Some(Box::pin(sleep(Duration::ZERO)));
        finder
    }

    /// Waits for one seed at most this long; [`ASK_LIMIT`] when nothing is said.
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks again at once, whatever the rest.
    pub fn hurry(&mut self) {
        if self.asked.is_empty() {
            self.resting = Some(Box::pin(sleep(Duration::ZERO)));
        }
    }

    fn begin_round(&mut self) {
        self.round = 0;
        let deadline = Instant::now() + self.limit;
        for (index, seed) in self.seeds.iter().enumerate() {
            let seed = Arc::clone(seed);
            self.reports[index].asked += 1;
            self.asked
                .spawn(async move { (index, seed.ask(deadline).await) });
        }
    }

    fn answered(&mut self, index: usize, answer: Result<Vec<Told>, Reason>) {
        let Some(report) = self.reports.get_mut(index) else {
            return;
        };
        match answer {
            Ok(told) => {
                report.trouble = None;
                report.answered += 1;
                let told = told.into_iter().take(MAX_ANSWER);
                let before = self.told.len();
                self.told.extend(told.map(|told| (index, told)));
                report.gave += (self.told.len() - before) as u64;
            }
            Err(reason) => {
                report.failed += 1;
                report.trouble = Some(reason);
            }
        }
    }

    fn end_round(&mut self) {
        let rest = if self.round > 0 {
            self.next_rest = FIRST_REST;
            REST
        } else {
            let rest = self.next_rest;
            self.next_rest = (2 * rest).min(REST);
            rest
        };
        self.resting = Some(Box::pin(sleep(rest)));
    }

    /// Whether the endpoint was not given before. It is remembered.
    fn is_news(&mut self, endpoint: Endpoint) -> bool {
        if !self.given.insert(endpoint) {
            return false;
        }
        self.order.push_back(endpoint);
        if self.order.len() > MAX_GIVEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.given.remove(&oldest);
        }
        true
    }

    fn next_told(&mut self) -> Option<Candidate> {
        while let Some((index, told)) = self.told.pop_front() {
            if self.is_news(told.endpoint) {
                self.gave += 1;
                self.round += 1;
                return Some(Candidate {
                    network: self.network,
                    endpoints: vec![told.endpoint],
                    public_key: None,
                    source: S::SOURCE,
                    told_by: self.reports.get(index).map(|report| report.seed.clone()),
                    claims: Claims::Hearsay(told.says),
                });
            }
        }
        None
    }
}

impl<S: Seed> Finder for Seeds<S> {
    fn source(&self) -> Source {
        S::SOURCE
    }

    fn report(&self) -> Report {
        Report {
            source: S::SOURCE,
            gave: self.gave,
            seeds: self.reports.clone(),
        }
    }

    fn poll_candidate(&mut self, cx: &mut Context<'_>) -> Poll<Option<Candidate>> {
        if self.seeds.is_empty() {
            return Poll::Ready(None);
        }
        loop {
            if let Some(candidate) = self.next_told() {
                return Poll::Ready(Some(candidate));
            }
            if let Some(resting) = &mut self.resting {
                ready!(resting.as_mut().poll(cx));
                self.resting = None;
                self.begin_round();
            }
            match ready!(self.asked.poll_join_next(cx)) {
                Some(Ok((index, answer))) => self.answered(index, answer),
                // A seed that panicked has no answer; nobody aborts one while this lives.
                Some(Err(_)) => {}
                None => self.end_round(),
            }
        }
    }
}

//! Discovery v5 as a finder of candidates.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use peerage_core::Network;
use peerage_discv5::Record;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::candidate::{Candidate, Claims, Finder, Source};
use crate::fresh::Fresh;
use crate::handle::{CallError, Handle};
use crate::report::Report;

/// What this finder calls itself.
pub const SOURCE: Source = Source("discv5");

/// How many records wait for a finder, at the most; what does not fit comes again with a later
/// search. About 400 bytes each.
pub(crate) const MAX_WAITING: usize = 1024;

/// How many nodes a finder remembers to have told of: a large network whole, 2 MB.
const MAX_TOLD: usize = 20_000;

/// The longest pause between two searches.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Which nodes are candidates, and how busily they are looked for.
pub struct Search {
    wanted: Box<dyn FnMut(&Record) -> bool + Send>,
    pause: Duration,
}

impl Search {
    /// Every node whose record names a place to dial over TCP.
    pub fn dialable() -> Self {
        Self::wanting(|record| {
            let endpoint = record.tcp4_endpoint().or_else(|| record.tcp6_endpoint());
            endpoint.is_some()
        })
    }

    /// Every node that this accepts, those without a place to dial included.
    pub fn wanting(wanted: impl FnMut(&Record) -> bool + Send + 'static) -> Self {
        Self {
            wanted: Box::new(wanted),
            pause: Duration::from_millis(500),
        }
    }

    /// The pause between two searches; it doubles up to 30 s as long as they find nothing new. 500
    /// ms when nothing is said.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        // No pause at all would be a busy loop on an empty table.
        self.pause = pause.clamp(Duration::from_millis(1), LONGEST_PAUSE);
        self
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search")
            .field("pause", &self.pause)
            .finish_non_exhaustive()
    }
}

type Query = Pin<Box<dyn Future<Output = Result<Vec<Record>, CallError>> + Send>>;

enum State {
    Searching(Query),
    Resting(Pin<Box<Sleep>>),
}

/// Candidates found by discovery v5: each record once, until its node signs a newer one.
///
/// It hears whatever its node hears, and makes random queries as long as it is asked.
pub struct Discv5Finder {
    handle: Handle,
    network: Network,
    search: Search,
    heard: mpsc::Receiver<Record>,
    found: VecDeque<Record>,
    fresh: Fresh,
    state: State,
    pause: Duration,
    is_news: bool,
    gave: u64,
}

impl Discv5Finder {
    pub(crate) fn new(
        handle: Handle,
        network: Network,
        search: Search,
        heard: mpsc::Receiver<Record>,
    ) -> Self {
        Self {
            state: State::Searching(query(&handle)),
            pause: search.pause,
            handle,
            network,
            search,
            heard,
            found: VecDeque::new(),
            fresh: Fresh::new(MAX_TOLD),
            is_news: false,
            gave: 0,
        }
    }

    fn candidate(&self, record: Record) -> Candidate {
        let endpoints = [record.tcp4_endpoint(), record.tcp6_endpoint()];
        Candidate {
            network: self.network,
            endpoints: endpoints.into_iter().flatten().collect(),
            public_key: record.uncompressed_public_key().ok(),
            source: SOURCE,
            told_by: None,
            claims: Claims::Record(record),
        }
    }
}

fn query(handle: &Handle) -> Query {
    let handle = handle.clone();
    Box::pin(async move { handle.random_query(None).await })
}

impl Finder for Discv5Finder {
    fn source(&self) -> Source {
        SOURCE
    }

    fn report(&self) -> Report {
        Report {
            source: SOURCE,
            gave: self.gave,
            seeds: Vec::new(),
        }
    }

    fn poll_candidate(&mut self, cx: &mut Context<'_>) -> Poll<Option<Candidate>> {
        loop {
            let next = match self.found.pop_front() {
                Some(record) => Some(record),
                None => match self.heard.poll_recv(cx) {
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Ready(record) => record,
                    Poll::Pending => None,
                },
            };
            if let Some(record) = next {
                if self.fresh.is_news(&record) {
                    self.is_news = true;
                    if (self.search.wanted)(&record) {
                        self.gave += 1;
                        return Poll::Ready(Some(self.candidate(record)));
                    }
                }
                continue;
            }
            match &mut self.state {
                State::Searching(query) => {
                    let Poll::Ready(found) = query.as_mut().poll(cx) else {
                        return Poll::Pending;
                    };
                    // Busy, or ended, which the queue of heard records will tell.
                    self.found = found.unwrap_or_default().into();
                    self.pause = if self.is_news {
                        self.search.pause
                    } else {
                        LONGEST_PAUSE.min(self.pause * 2)
                    };
                    self.is_news = false;
                    self.state = State::Resting(Box::pin(sleep(self.pause)));
                }
                State::Resting(pause) => {
                    if pause.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.state = State::Searching(query(&self.handle));
                }
            }
        }
    }
}

impl fmt::Debug for Discv5Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discv5Finder")
            .field("network", &self.network)
            .field("told", &self.fresh.len())
            .finish_non_exhaustive()
    }
}

//! Candidates from finders.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use peerage_core::Endpoint;
use peerage_find::{Candidate, Claims, Finder, List, Report, Source, dns};

use crate::common::{node, nowhere, secs};

fn candidate(endpoint: Endpoint) -> Candidate {
    Candidate {
        network: peerage_core::Network("toy"),
        endpoints: vec![endpoint],
        public_key: None,
        source: dns::DNS,
        told_by: None,
        claims: Claims::None,
    }
}

pub(crate) fn list(found: impl IntoIterator<Item = Endpoint>) -> Box<dyn Finder> {
    Box::new(List::new(found.into_iter().map(candidate)))
}

/// A seed that tells of one after the other, and counts how often it is asked.
struct Seed {
    left: VecDeque<Endpoint>,
    asked: Arc<AtomicUsize>,
    gave: u64,
}

impl Finder for Seed {
    fn source(&self) -> Source {
        dns::DNS
    }

    fn report(&self) -> Report {
        Report {
            source: dns::DNS,
            gave: self.gave,
            seeds: Vec::new(),
        }
    }

    fn poll_candidate(&mut self, _: &mut Context<'_>) -> Poll<Option<Candidate>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.left.pop_front() {
            Some(endpoint) => {
                self.gave += 1;
                Poll::Ready(Some(candidate(endpoint)))
            }
            None => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn seeds_are_asked_by_those_who_know_nobody_and_by_nobody_else() {
    let others: Vec<_> = (0..30).map(|_| node(|_| ())).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let seed = Seed {
        left: VecDeque::from([nowhere()]),
        asked: Arc::clone(&asked),
        gave: 0,
    };
    let known = others.iter().map(|other| other.at);
    let rich = node(|setup| {
        setup.peers.limits.active_out = 5;
        setup.finders = vec![list(known), Box::new(seed)];
    });
    // The first moment is hungry; from then on it has people to dial, and then enough peers.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let before = asked.load(Ordering::Relaxed);
    tokio::time::sleep(secs(600)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
    assert_eq!(rich.handle.overview().await.unwrap().peers.active, [0, 5]);

    // Its peers are gone, and with time it has nobody left to dial.
    drop(others);
    tokio::time::sleep(secs(600)).await;
    assert!(asked.load(Ordering::Relaxed) > before);
}

#[tokio::test(start_paused = true)]
async fn a_finder_is_told_how_many_of_its_finds_were_taken_and_lived() {
    let (one, two) = (node(|_| ()), node(|_| ()));
    let (dead, twice) = (nowhere(), two.at);
    let node = node(|setup| {
        setup.finders = vec![list([one.at, dead]), list([two.at, twice])];
    });
    tokio::time::sleep(secs(60)).await;
    let reports = node.handle.finders().await.unwrap();
    let counts: Vec<_> = reports
        .iter()
        .map(|it| (it.report.gave, it.taken, it.lived))
        .collect();
    assert_eq!(counts[0], (2, 2, 1));
    assert_eq!((counts[1].0, counts[1].2), (2, 1));
    assert_eq!(node.handle.overview().await.unwrap().known, 3);
}

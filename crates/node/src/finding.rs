//! Candidates on their way from finders into the book.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use peerage_book::{Added, Claims, Key, Tip};
use peerage_find::{Candidate, Finder, Report, Source, dns, gossip, https};

use crate::events::Event;
use crate::network::Network;
use crate::owner::Owner;

/// How many candidates are taken in one go, so that a finder that knows many lets others speak.
const BATCH: usize = 64;

/// What a finder found, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinderReport {
    /// What it asked and found.
    pub report: Report,
    /// How many of its candidates the book took.
    pub taken: u64,
    /// How many of its candidates were greeted for the first time since the start.
    pub lived: u64,
    /// Whether it has said that there will be no more.
    pub is_over: bool,
}

/// A finder at work.
pub(crate) struct Found {
    pub(crate) finder: Box<dyn Finder>,
    pub(crate) taken: u64,
    pub(crate) lived: u64,
    /// It has said that there will be no more.
    is_over: bool,
}

impl Found {
    pub(crate) fn new(finder: Box<dyn Finder>) -> Self {
        Self {
            finder,
            taken: 0,
            lived: 0,
            is_over: false,
        }
    }

    pub(crate) fn report(&self) -> FinderReport {
        FinderReport {
            report: self.finder.report(),
            taken: self.taken,
            lived: self.lived,
            is_over: self.is_over,
        }
    }

    /// Seeds are there for beginners: nobody asks them who knows whom to dial.
    fn is_for_beginners(&self) -> bool {
        let source = self.finder.source();
        [dns::DNS, https::HTTPS, gossip::GOSSIP].contains(&source)
    }
}

/// The next candidates of any finder, with the finder's place in the list.
pub(crate) fn poll_found(
    finders: &mut [Found],
    is_hungry: bool,
    cx: &mut Context<'_>,
) -> Poll<Vec<(usize, Candidate)>> {
    let mut found = Vec::new();
    for (at, from) in finders.iter_mut().enumerate() {
        if from.is_over || (from.is_for_beginners() && !is_hungry) {
            continue;
        }
        while found.len() < BATCH {
            match from.finder.poll_candidate(cx) {
                Poll::Ready(Some(candidate)) => found.push((at, candidate)),
                Poll::Ready(None) => {
                    from.is_over = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
    }
    if found.is_empty() {
        Poll::Pending
    } else {
        Poll::Ready(found)
    }
}

impl<N: Network> Owner<N> {
    /// Candidates were found.
    pub(crate) fn found(&mut self, found: Vec<(usize, Candidate)>) {
        let now = self.book_now();
        self.may_dial = true;
        let mut told: BTreeMap<usize, (Source, usize, Vec<Key>)> = BTreeMap::new();
        for (at, candidate) in found {
            self.counters.found += 1;
            let (_, gave, new) = told.entry(at).or_insert((candidate.source, 0, Vec::new()));
            *gave += 1;
            let verdict = self.network.judge(&candidate);
            let Some(tip) = tip(&candidate) else { continue };
            let key = tip.key.clone();
            // What is not taken is counted by its absence.
            if let Ok(added) = self.book.add(now, tip.with_verdict(verdict))
                && let Some(from) = self.finders.get_mut(at)
            {
                self.counters.taken += 1;
                from.taken += 1;
                if added == Added::New {
                    new.push(key.clone());
                }
                self.found_by.note(key, at);
            }
        }
        for (finder, (source, gave, new)) in told {
            self.publish(Event::Found {
                finder,
                source,
                gave,
                new,
            });
        }
    }
}

/// A candidate as the book takes it; nothing if there is nowhere to dial.
fn tip(candidate: &Candidate) -> Option<Tip> {
    let name = || -> Box<str> {
        let told_by = candidate.told_by.as_deref();
        told_by.unwrap_or(candidate.source.0).into()
    };
    let source = if [dns::DNS, https::HTTPS, gossip::GOSSIP].contains(&candidate.source) {
        peerage_book::Source::Seed(name())
    } else if candidate.source == peerage_find::SOURCE {
        peerage_book::Source::Discovery(None)
    } else {
        peerage_book::Source::List(name())
    };
    let first = *candidate.endpoints.first()?;
    let mut tip = match &candidate.public_key {
        Some(key) => {
            let identity = peerage_book::Identity::new(key).ok()?;
            Tip::of(identity, candidate.endpoints.clone(), source)
        }
        None => Tip::at(first, source),
    };
    tip.claims = Claims {
        sequence: candidate.claims.record().map(|record| record.seq()),
        ..Claims::default()
    };
    if let peerage_find::Claims::Hearsay(says) = &candidate.claims {
        tip.claims.services = says.services;
        tip.claims.seen = says.last_seen;
    }
    Some(tip)
}

/// Which finder found somebody first, for a bounded number of them.
#[derive(Default)]
pub(crate) struct FoundBy {
    by_key: BTreeMap<Key, usize>,
}

impl FoundBy {
    /// As many as the largest networks have; about 150 bytes each.
    const MAX: usize = 20_000;

    fn note(&mut self, key: Key, at: usize) {
        if self.by_key.len() < Self::MAX {
            self.by_key.entry(key).or_insert(at);
        }
    }

    /// Whose find it was; asked once.
    pub(crate) fn take(&mut self, key: &Key) -> Option<usize> {
        self.by_key.remove(key)
    }
}

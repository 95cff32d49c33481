//! Discovery v5 as the finder of a citizen: what `Discv5Finder` of `peerage-find` does over sockets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_book::{Identity, Source, Tip};
use peerage_core::Wakeup;
use peerage_discv5::discovery::{Action, Event, Received, SearchId};
use peerage_discv5::{Discovery, NodeId, Record};

use super::keeper::Never;
use super::net::Net;
use crate::machine::{Now, Output};

/// The pause between two searches, doubled as long as they find nothing new.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A node of discovery v5 that searches without end.
#[derive(Debug)]
pub struct Searcher {
    machine: Discovery,
    search: Option<SearchId>,
    pause: Duration,
    /// When the next search begins.
    next_at: Option<Instant>,
    told: BTreeMap<NodeId, u64>,
    is_news: bool,
    found: Vec<Record>,
}

impl Searcher {
    /// One that begins now, and asks these first.
    pub fn new(mut machine: Discovery, boot: &[Record], searches: bool, now: Now) -> Self {
        let own = machine.node_id();
        let boot = boot.iter().filter(|record| record.node_id() != own);
        machine.seed_table(boot.cloned());
        machine.start(now.at);
        Self {
            machine,
            search: None,
            pause: PAUSE.0,
            next_at: searches.then_some(now.at),
            told: BTreeMap::new(),
            is_news: false,
            found: Vec::new(),
        }
    }

    /// The node.
    pub const fn machine(&self) -> &Discovery {
        &self.machine
    }

    pub(super) fn handle_datagram(
        &mut self,
        now: Now,
        from: std::net::SocketAddr,
        datagram: &mut [u8],
    ) {
        // Nobody shares the port, and the machine has counted it.
        let (Received::Taken | Received::Foreign) =
            self.machine.handle_datagram(now.at, from, datagram);
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.machine.handle_timeout(now.at);
        if self.next_at.is_some_and(|at| at <= now.at) {
            match self.machine.start_random_query(now.at, None) {
                Ok(search) => {
                    self.search = Some(search);
                    self.next_at = None;
                }
                Err(_) => self.next_at = Some(now.at + PAUSE.1),
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let own = self.next_at.map(|at| Wakeup {
            at,
            why: "the next search",
        });
        let of_machine = self.machine.poll_timeout();
        own.into_iter().chain(of_machine).min_by_key(|it| it.at)
    }

    pub(super) fn poll(&mut self, now: Now) -> Option<Output<Never>> {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Transmit { to, datagram } => {
                    let to = to.socket_addr();
                    return Some(Output::Transmit { to, datagram });
                }
                Action::Event(Event::Found(record)) => self.offer(record),
                Action::Event(Event::SearchDone { search, nodes }) => {
                    nodes.into_iter().for_each(|record| self.offer(record));
                    if self.search == Some(search) {
                        self.search = None;
                        self.pause = if self.is_news {
                            PAUSE.0
                        } else {
                            PAUSE.1.min(self.pause * 2)
                        };
                        self.is_news = false;
                        self.next_at = Some(now.at + self.pause);
                    }
                }
                Action::Event(_) => {}
            }
        }
        None
    }

    fn offer(&mut self, record: Record) {
        let told = self.told.get(&record.node_id()).copied();
        if told.is_none_or(|seq| record.seq() > seq) {
            self.told.insert(record.node_id(), record.seq());
            self.is_news = true;
            self.found.push(record);
        }
    }

    /// What was found since it was asked last, as the book takes it.
    pub(super) fn take_found<N: Net>(&mut self, local: &N::Local) -> Vec<Tip> {
        let found = std::mem::take(&mut self.found);
        let tip = |record: Record| {
            let at = record.tcp4_endpoint()?;
            let key = record.uncompressed_public_key().ok()?;
            let identity = Identity::new(&key).ok()?;
            let tip = Tip::of(identity, vec![at], Source::Discovery(None));
            let verdict = N::judge_record(local, &record);
            Some(tip.with_sequence(record.seq()).with_verdict(verdict))
        };
        found.into_iter().filter_map(tip).collect()
    }

    pub(super) const fn has_found(&self) -> bool {
        !self.found.is_empty()
    }
}

//! What fails while nothing works is nobody's fault.

use std::collections::BTreeMap;

use peerage_book::{Book, Config, DialId, Greeted, Key, Now, Occupied, What};
use peerage_core::{Kind, Stage};

use crate::common::{apart, book, book_with, hours, known, minutes, reason, seconds, unreached};
use peerage_testkit::Random;

const WANTED: usize = 30;

/// A node that wants 30 peers of 200, of which half live, in a world that can be cut off.
struct Node {
    book: Book,
    now: Now,
    sessions: BTreeMap<DialId, Key>,
    dials: Vec<(Now, DialId, Key)>,
    dialled: usize,
}

fn lives(key: &Key) -> bool {
    (0..200).any(|number| number % 2 == 0 && *key == Key::from(apart(number)))
}

impl Node {
    fn new() -> Self {
        let (mut book, now) = book();
        for number in 0..200 {
            known(&mut book, now, apart(number));
        }
        Self {
            book,
            now,
            sessions: BTreeMap::new(),
            dials: Vec::new(),
            dialled: 0,
        }
    }

    /// A tenth of a second: answers, time-outs after 20 s, new dials.
    fn step(&mut self, cut: bool) {
        self.now = self.now.after(std::time::Duration::from_millis(100));
        let now = self.now;
        let mut open = Vec::new();
        for (since, dial, key) in std::mem::take(&mut self.dials) {
            let age = now.at - since.at;
            if !cut && lives(&key) && age >= seconds(1) {
                self.book
                    .outcome(now, dial, Ok(Greeted::default()))
                    .unwrap();
                self.sessions.insert(dial, key);
            } else if age >= seconds(20) {
                let timeout = unreached(Kind::Timeout);
                self.book.outcome(now, dial, Err(timeout)).unwrap();
            } else {
                open.push((since, dial, key));
            }
        }
        self.dials = open;
        // What a keepalive would tell: with peers, every second.
        if !cut && !self.sessions.is_empty() {
            self.book.alive(now);
        }
        while self.sessions.len() + self.dials.len() < WANTED {
            let free = WANTED - self.sessions.len() - self.dials.len();
            let Some(next) = self.book.next_dial(now, &Occupied::with_free(free)) else {
                break;
            };
            self.dialled += 1;
            self.dials.push((now, next.id, next.key));
        }
    }

    fn run(&mut self, span: std::time::Duration, cut: bool) {
        let end = self.now.at + span;
        while self.now.at < end {
            self.step(cut);
        }
    }

    /// Every session fails, within the 60 s that a keepalive takes to notice.
    fn lose_all(&mut self, random: &mut Random) {
        let mut lost: Vec<_> = std::mem::take(&mut self.sessions).into_iter().collect();
        // In another order for each seed.
        lost.rotate_left(usize::try_from(random.below(WANTED as u64)).unwrap());
        for (session, _) in lost {
            self.run(seconds(2), true);
            let timeout = reason(Stage::Keep("ping"), Kind::Timeout);
            self.book.left(self.now, session, &timeout).unwrap();
        }
    }
}

#[test]
fn after_ten_minutes_without_network_the_full_set_is_back_within_a_minute() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut node = Node::new();
        node.run(minutes(30), false);
        assert_eq!(node.sessions.len(), WANTED, "seed {seed}");
        let before: BTreeMap<Key, u32> = good(&node.book);

        node.lose_all(&mut random);
        let dialled = node.dialled;
        node.run(minutes(10) - seconds(60), true);
        assert!(node.book.outage_since().is_some(), "seed {seed}");
        let probes = node.dialled - dialled;
        assert!(probes <= 130, "seed {seed}: {probes} dials into nothing");
        assert_eq!(good(&node.book), before, "nobody is blamed, seed {seed}");

        let mut took = 0;
        while node.sessions.len() < WANTED {
            node.step(false);
            took += 1;
            assert!(
                took <= 600,
                "seed {seed}: {} peers after 60 s",
                node.sessions.len()
            );
        }
        assert!(node.book.outage_since().is_none());
        node.book.audit().unwrap();
    }
}

/// Failures in a row of those that live.
fn good(book: &Book) -> BTreeMap<Key, u32> {
    let entries = book.entries().filter(|entry| lives(&entry.key));
    let proven = entries.filter(|entry| entry.last_success.is_some());
    proven.map(|entry| (entry.key, entry.failures)).collect()
}

#[test]
fn failures_in_an_outage_are_written_down_as_such() {
    let mut random = Random::new(1);
    let mut node = Node::new();
    node.run(minutes(10), false);
    node.lose_all(&mut random);
    node.run(minutes(5), true);
    let excused = node.book.snapshot().entries;
    let excused = excused.iter().filter(|(_, events)| {
        let mut events = events.iter();
        events.any(|event| matches!(event.what, What::Excused { .. }))
    });
    assert!(excused.count() > 10);
}

#[test]
fn dead_strangers_are_no_outage() {
    let (mut book, mut now) = book();
    for number in 0..100 {
        known(&mut book, now, apart(number));
    }
    for _ in 0..100 {
        let next = crate::common::dial(&mut book, now);
        book.outcome(now, next.id, Err(unreached(Kind::Timeout)))
            .unwrap();
        assert!(book.outage_since().is_none());
        now = now.after(seconds(1));
    }
    assert!(book.entries().all(|entry| entry.failures == 1));
}

#[test]
fn a_proxy_that_cannot_be_used_is_our_own_fault_at_once() {
    let (mut book, now) = book();
    let key = known(&mut book, now, apart(1));
    let next = crate::common::dial(&mut book, now);
    book.outcome(now, next.id, Err(unreached(Kind::Proxy)))
        .unwrap();
    assert!(book.outage_since().is_some());
    assert_eq!(book.get(&key).unwrap().failures, 0);
}

#[test]
fn the_only_peer_of_a_small_network_is_never_given_up() {
    let mut config = Config::default();
    config.backoff.spare = 0;
    let (mut book, mut now) = book_with(config);
    let key = known(&mut book, now, apart(1));
    crate::common::greet_and_part(&mut book, now);
    now = now.after(hours(1));
    // Gone for a week.
    let back = now.after(hours(7 * 24));
    while now.at < back.at {
        if let Some(next) = book.next_dial(now, &Occupied::with_free(1)) {
            let timeout = unreached(Kind::Timeout);
            book.outcome(now.after(seconds(20)), next.id, Err(timeout))
                .unwrap();
        }
        let wakeup = book.wakeup().expect("something to wait for");
        now = now.after((wakeup.at - now.at).max(seconds(20)));
    }
    assert_eq!(book.get(&key).unwrap().failures, 0);
    let next = loop {
        if let Some(next) = book.next_dial(now, &Occupied::with_free(1)) {
            break next;
        }
        now = now.after(seconds(1));
        assert!(now.at < back.at + minutes(1), "dialled within a minute");
    };
    assert_eq!(next.key, key);
}

//! A file that applies every change holds what the book holds.

use std::collections::BTreeMap;

use peerage_book::{Ban, Book, By, Change, Entry, Event, Greeted, Key, Subject, Tip};
use peerage_core::{Kind, Stage};

use crate::common::{apart, book, minutes, one, reason, seconds, seed, unreached};
use peerage_testkit::Random;

/// What a file would hold, in the simplest way.
#[derive(Default)]
struct File {
    entries: BTreeMap<Key, Entry>,
    events: BTreeMap<Key, BTreeMap<u64, Event>>,
    bans: BTreeMap<Subject, Ban>,
    anchors: Vec<Key>,
    resets: usize,
}

impl File {
    fn drain(&mut self, book: &mut Book) {
        while let Some(change) = book.poll_change() {
            match change {
                Change::Reset => {
                    *self = Self {
                        resets: self.resets + 1,
                        ..Self::default()
                    };
                }
                Change::Candidate { entry, news } => {
                    let events = self.events.entry(entry.key.clone()).or_default();
                    for event in news {
                        events.insert(event.number, event);
                    }
                    self.entries.insert(entry.key.clone(), *entry);
                }
                Change::Gone(key) => {
                    self.entries.remove(&key);
                    self.events.remove(&key);
                }
                Change::Ban(subject, ban) => {
                    self.bans.insert(subject, ban);
                }
                Change::Unban(subject) => {
                    self.bans.remove(&subject);
                }
                Change::Anchors(anchors) => self.anchors = anchors,
            }
        }
    }

    fn check(&self, book: &Book, seed: u64) {
        let snapshot = book.snapshot();
        assert_eq!(self.entries.len(), snapshot.entries.len(), "seed {seed}");
        for (entry, events) in snapshot.entries {
            let mut written = self.entries[&entry.key].clone();
            // What passes with time alone is not told.
            written.at = entry.at;
            written.score = entry.score;
            written.retry_at = entry.retry_at;
            assert_eq!(written, entry, "seed {seed}");
            let all = &self.events[&entry.key];
            for event in events {
                assert_eq!(all.get(&event.number), Some(&event), "seed {seed}");
            }
        }
        let bans: Vec<_> = self.bans.clone().into_iter().collect();
        assert_eq!(bans, snapshot.bans);
        assert_eq!(self.anchors, snapshot.anchors);
    }
}

#[test]
fn changes_add_up_to_the_book() {
    for number in 0..10 {
        let mut random = Random::new(number);
        let (mut book, mut now) = book();
        let mut file = File::default();
        for _ in 0..1_500 {
            now = now.after(seconds(random.below(120)));
            match random.below(12) {
                0..=4 => {
                    let tip = Tip::at(apart(random.below(300)), seed("s"));
                    let _refused = book.add(now, tip);
                }
                5..=8 => {
                    if let Some(next) = book.next_dial(now, &one()) {
                        if random.chance(2) {
                            let kind = random.pick(&[Kind::Timeout, Kind::ConnectionRefused]);
                            book.outcome(now, next.id, Err(unreached(kind))).unwrap();
                        } else {
                            book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
                            now = now.after(minutes(random.below(5)));
                            let left = reason(Stage::Keep("receive"), Kind::Left);
                            book.left(now, next.id, &left).unwrap();
                        }
                    }
                }
                9 => {
                    let range = peerage_book::Prefix::host(apart(random.below(300)).ip());
                    let term = Some(minutes(random.below(200)));
                    book.ban(now, Subject::Net(range), By::Node, term, "x")
                        .unwrap();
                }
                10 => {
                    book.forget(&apart(random.below(300)).into());
                }
                _ => file.drain(&mut book),
            }
            if random.chance(300) {
                book.tell_all();
            }
        }
        file.drain(&mut book);
        file.check(&book, number);
        assert!(book.poll_change().is_none());
        assert!(file.resets > 0);
    }
}

#[test]
fn a_book_that_is_not_listened_to_starts_over_instead_of_growing() {
    let (mut book, mut now) = book();
    let mut file = File::default();
    file.drain(&mut book);
    // 60,000 bans come and go unheard.
    for number in 0..60_000_u32 {
        let ip = std::net::Ipv4Addr::from_bits((20 << 24) + number);
        let range = peerage_book::Prefix::host(ip.into());
        book.ban(now, Subject::Net(range), By::Node, Some(minutes(1)), "x")
            .unwrap();
        now = now.after(std::time::Duration::from_millis(10));
    }
    book.handle_timeout(now);
    file.drain(&mut book);
    assert_eq!(file.resets, 1);
    file.check(&book, 0);
}

#[test]
fn without_a_file_nothing_is_noted() {
    let (mut book, now) = book();
    book.tell_none();
    book.add(now, Tip::at(apart(1), seed("s"))).unwrap();
    assert!(book.poll_change().is_none());
    book.tell_all();
    assert_eq!(book.poll_change(), Some(Change::Reset));
    assert!(matches!(book.poll_change(), Some(Change::Candidate { .. })));
}

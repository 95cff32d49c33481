//! What goes in comes out.

use std::time::Duration;

use peerage_book::{By, Identity, Role, Subject, Tip, Verdict};
use peerage_core::{Kind, Network, Stage};
use peerage_store::{Options, Reader, Realm, Store};

use crate::common::{Folder, LONG, apart, book, live, options, realm, reason};
use peerage_testkit::Random;

#[test]
fn a_book_survives_restarts() {
    for seed in 0..4 {
        let folder = Folder::new();
        let mut random = Random::new(seed);
        let (mut original, mut now) = book();
        let name = "peer.example.org:8233".parse().unwrap();
        original.pin(now, None, name, Role::Trusted).unwrap();
        let identity = Identity::new(&[7; 64]).unwrap();
        let unfit = Verdict::unfit(&reason(Stage::Input, Kind::WrongFork));
        let source = peerage_book::Source::Discovery(None);
        let endpoints = vec![apart(150), apart(151)];
        let tip = Tip::of(identity.clone(), endpoints, source).with_sequence(u64::MAX);
        original.add(now, tip.with_verdict(unfit)).unwrap();
        for subject in [
            Subject::Identity(Identity::new(&[9; 32]).unwrap()),
            Subject::Net("2600::/32".parse().unwrap()),
        ] {
            original
                .ban(now, subject, By::Operator, None, "why \"not\"\n")
                .unwrap();
        }
        for _ in 0..5 {
            // A life, the end of the process, and the next one from the file.
            now = live(&mut original, now, &mut random, 300);
            original.handle_timeout(now);
            let store = Store::open(&folder.file(), options()).unwrap();
            while store.drain(&realm(), now.wall, &mut original) > 0 {
                store.flush(LONG).unwrap();
            }
            store.close().unwrap();

            let loaded = Reader::open(&folder.file())
                .unwrap()
                .load(&realm())
                .unwrap();
            assert_eq!(loaded.damaged, []);
            let mut snapshot = original.snapshot();
            // In the file by key or by the order of writing; and what only time changes.
            let mut read = loaded.snapshot.clone();
            for entries in [&mut snapshot.entries, &mut read.entries] {
                entries.sort_by(|(one, _), (two, _)| one.key.cmp(&two.key));
                for (entry, _) in entries {
                    entry.at = now.wall;
                    entry.score = 0;
                    entry.retry_at = entry.retry_at.filter(|at| *at > now.wall);
                }
            }
            for ((entry, events), (wanted, known)) in read.entries.iter().zip(&snapshot.entries) {
                assert_eq!(entry, wanted, "seed {seed}");
                assert!(events.ends_with(known), "the file has more, seed {seed}");
            }
            assert_eq!(read.entries.len(), snapshot.entries.len());
            assert_eq!(read.anchors, snapshot.anchors);
            assert_eq!(read.bans.len(), 2);

            let (mut next, _) = book();
            let imported = next.import(now, loaded.snapshot);
            assert_eq!(imported.refused, []);
            next.audit().unwrap();
            assert!(next.poll_change().is_none(), "nothing of it is news");
            original = next;
        }
    }
}

#[test]
fn realms_do_not_mix() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let other = Realm::new(Network("decred"), &"testnet3".into());
    let (mut zcash, now) = book();
    zcash.add(now, crate::common::tip(1)).unwrap();
    let (mut decred, _) = book();
    decred.add(now, crate::common::tip(1)).unwrap();
    decred.add(now, crate::common::tip(2)).unwrap();
    store.drain(&realm(), now.wall, &mut zcash);
    store.drain(&other, now.wall, &mut decred);
    store.flush(LONG).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.realms().unwrap(), [other.clone(), realm()]);
    assert_eq!(reader.load(&realm()).unwrap().snapshot.entries.len(), 1);
    assert_eq!(reader.load(&other).unwrap().snapshot.entries.len(), 2);
}

#[test]
fn a_queue_that_is_full_says_so_and_nobody_waits() {
    let folder = Folder::new();
    // No room at all in the file: nothing is ever written, so the queue fills.
    let store = Store::open(
        &folder.file(),
        Options {
            queue: 10,
            batch: 4,
            max_bytes: 1,
            retry: Duration::from_secs(3_600),
            ..options()
        },
    )
    .unwrap();
    let (mut book, now) = book();
    for number in 0..200 {
        book.add(now, crate::common::tip(number)).unwrap();
    }
    let mut taken = 0;
    let mut refused = None;
    while let Some(change) = book.poll_change() {
        match store.offer(&realm(), now.wall, change) {
            Ok(_) => taken += 1,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!((10..=14).contains(&taken), "{taken}");
    let refused = refused.unwrap();
    assert!(refused.to_string().contains("10 changes wait"));
    let change = refused.into_change();
    assert_eq!(store.room(), 0);
    store.limit(1 << 30);
    store.flush(LONG).unwrap();
    store.offer(&realm(), now.wall, change).unwrap();
    while store.drain(&realm(), now.wall, &mut book) > 0 {
        store.flush(LONG).unwrap();
    }
    let loaded = store.reader().unwrap().load(&realm()).unwrap();
    assert_eq!(loaded.snapshot.entries.len(), 200);
}

/// While nobody looked a ban ended, and a smaller book has no room for all: the file follows.
#[test]
fn what_a_book_does_not_take_back_leaves_the_file() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let (mut book, now) = book();
    for number in 0..30 {
        book.add(now, crate::common::tip(number)).unwrap();
    }
    let subject = Subject::Net("2600::/32".parse().unwrap());
    let hour = Duration::from_secs(3_600);
    book.ban(now, subject, By::Node, Some(hour), "x").unwrap();
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();

    let later = now.after(2 * hour);
    let mut config = peerage_book::Config::default();
    config.caps.per_source = 20;
    let mut small = peerage_book::Book::new(config, [4; 16], later).unwrap();
    let loaded = store.reader().unwrap().load(&realm()).unwrap();
    assert_eq!(
        (loaded.snapshot.entries.len(), loaded.snapshot.bans.len()),
        (30, 1)
    );
    let imported = small.import(later, loaded.snapshot);
    assert_eq!((imported.candidates, imported.refused.len()), (20, 10));
    store.drain(&realm(), later.wall, &mut small);
    store.flush(LONG).unwrap();
    let loaded = store.reader().unwrap().load(&realm()).unwrap();
    assert_eq!(
        (loaded.snapshot.entries.len(), loaded.snapshot.bans.len()),
        (20, 0)
    );
}

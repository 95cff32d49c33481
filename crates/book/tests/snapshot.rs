//! What is written down is read back, and nothing else.

use std::time::Duration;

use peerage_book::{
    Ban, Book, By, Cause, Change, Config, Entry, Identity, Key, Refused, Role, Snapshot, Source,
    Subject, Tip, Verdict, What,
};
use peerage_core::{Kind, Stage, UnixTime};

use crate::common::{
    apart, book, book_with, endpoint, greet_and_part, hours, known, minutes, reason, seconds, seed,
    start, unreached,
};

fn lived() -> (Book, peerage_book::Now) {
    let (mut book, mut now) = book();
    for number in 0..30 {
        known(&mut book, now, apart(number));
    }
    for _ in 0..10 {
        greet_and_part(&mut book, now);
        now = now.after(minutes(6));
        let next = crate::common::dial(&mut book, now);
        let failed = Err(unreached(Kind::ConnectionRefused));
        book.outcome(now, next.id, failed).unwrap();
        now = now.after(minutes(1));
    }
    book.pin(
        now,
        None,
        "peer.example.org:1".parse().unwrap(),
        Role::Trusted,
    )
    .unwrap();
    let identity = Identity::new(&[4; 64]).unwrap();
    let unfit = Verdict::unfit(&reason(Stage::Input, Kind::WrongFork));
    let tip = Tip::of(identity.clone(), vec![apart(90), apart(91)], seed("s"));
    book.add(
        now,
        tip.with_sequence(7).with_services(9).with_verdict(unfit),
    )
    .unwrap();
    book.ban(
        now,
        Subject::Identity(identity),
        By::Node,
        Some(hours(2)),
        "x",
    )
    .unwrap();
    let range = Subject::Net("98.0.0.0/8".parse().unwrap());
    book.ban(now, range, By::Operator, None, "y").unwrap();
    (book, now)
}

#[test]
fn a_book_read_back_is_the_same_book() {
    let (mut book, now) = lived();
    book.handle_timeout(now);
    let snapshot = book.snapshot();
    let (mut again, _) = crate::common::book();
    let imported = again.import(now, snapshot.clone());
    assert_eq!(imported.refused, []);
    let mut expected = snapshot.clone();
    for (entry, _) in &mut expected.entries {
        if snapshot.anchors.contains(&entry.key) && entry.retry_at.is_some() {
            entry.retry_at = Some(now.wall); // An anchor waits no longer.
        }
    }
    assert_eq!(again.snapshot(), expected);
    again.audit().unwrap();
    // And again elsewhere, hours later: what had ended has ended.
    let later = now.after(hours(3));
    let (mut later_book, _) = crate::common::book();
    let imported = later_book.import(later, snapshot);
    assert_eq!(imported.bans, 1);
    assert!(later_book.next_dial(later, &crate::common::one()).is_some());
}

#[test]
fn sessions_of_a_process_that_was_killed_are_told_as_cut_and_count_for_nothing() {
    let (mut book, now) = book();
    for number in 0..3 {
        known(&mut book, now, apart(number));
    }
    let open = crate::common::dial(&mut book, now);
    book.outcome(now, open.id, Ok(peerage_book::Greeted::default()))
        .unwrap();
    greet_and_part(&mut book, now.after(seconds(1)));
    let snapshot = book.snapshot();

    let later = now.after(minutes(5));
    let (mut again, _) = crate::common::book();
    again.import(later, snapshot);
    assert!(again.poll_change().is_none());
    assert_eq!(again.cut_sessions(later), 1);
    let story = again.story(&open.key).remove(0);
    assert_eq!(story.events.last().unwrap().what, What::Cut);
    assert_eq!(story.session(), None);
    assert_eq!(
        (story.entry.failures, story.entry.online),
        (0, Duration::ZERO)
    );
    match again.poll_change() {
        Some(Change::Candidate { entry, news }) => {
            assert_eq!((entry.key, news.len()), (open.key.clone(), 1));
        }
        other => panic!("the file is to hear of it: {other:?}"),
    }
    assert_eq!(again.cut_sessions(later), 0, "only once");
    // It may be dialled at once, and who is here is not cut.
    let mut occupied = crate::common::one();
    occupied.free = 3;
    let dial = again.next_dial(later, &occupied).unwrap();
    again
        .outcome(later, dial.id, Ok(peerage_book::Greeted::default()))
        .unwrap();
    assert_eq!(again.cut_sessions(later), 0);
    again.audit().unwrap();
}

fn entry(key: Key) -> Entry {
    let (mut book, now) = book();
    book.add(now, Tip::at(apart(1), seed("s"))).unwrap();
    let mut entry = book.entries().next().unwrap();
    entry.key = key;
    entry
}

#[test]
fn a_hostile_file_exceeds_no_bound() {
    let (mut book, now) = book();
    let far = UnixTime(i64::MAX);
    let mut entries = Vec::new();
    for number in 0..3_000_u64 {
        let mut entry = entry(apart(number).into());
        entry.spots[0].endpoint = apart(number);
        entry.spots[0].heard = far;
        entry.spots[0].verified = Some(UnixTime(i64::MIN));
        entry.last_success = (number % 2 == 0).then_some(far);
        entry.failures = u32::MAX;
        entry.attempts = u32::MAX;
        entry.online = Duration::MAX;
        entry.score = i64::MIN;
        entry.retry_at = Some(far);
        entry.sources = vec![Source::Gossip(None); 100];
        entry.at = far;
        entry.claims.verdict = Verdict::Unfit(Cause {
            words: "w".repeat(240).into(),
            ..Cause::from(&unreached(Kind::Timeout))
        });
        let event = peerage_book::Event {
            number: u64::MAX,
            first: far,
            last: far,
            times: u32::MAX,
            what: peerage_book::What::Fit,
        };
        entries.push((entry, vec![event; 100]));
    }
    let ban = Ban {
        by: By::Node,
        since: far,
        until: Some(far),
        words: "w".repeat(10_000).into(),
    };
    let bans = vec![(Subject::Net("99.0.0.0/8".parse().unwrap()), ban)];
    let anchors = (0..1_000).map(|number| apart(number).into()).collect();
    let snapshot = Snapshot {
        entries,
        bans,
        anchors,
    };
    let imported = book.import(now, snapshot);
    assert!(imported.candidates > 1_000);
    assert!(imported.refused.iter().all(|error| matches!(
        error,
        peerage_book::ImportError::Refused {
            why: Refused::SourceFull,
            ..
        }
    )));
    book.audit().unwrap();
    assert!(book.bans().iter().all(|(_, ban)| ban.words.len() <= 240));
    // It can be lived with: everything that is counted further stays in range.
    for _ in 0..10 {
        book.handle_timeout(now.after(hours(24 * 400)));
        for key in [apart(0), apart(1)] {
            let _ = book.add(now, Tip::at(key, seed("s")));
        }
    }
    book.audit().unwrap();
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    use peerage_book::ImportError;
    let (mut book, now) = book();
    let elsewhere = entry(apart(5).into());
    let mut undialable = entry(endpoint("0.0.0.0:1").into());
    undialable.spots[0].endpoint = endpoint("0.0.0.0:1");
    let twice = entry(apart(1).into());
    let name = entry("name.example.org:1".parse().unwrap());
    let entries = [elsewhere, undialable, twice.clone(), twice, name];
    let imported = book.import(
        now,
        Snapshot {
            entries: entries.into_iter().map(|entry| (entry, vec![])).collect(),
            ..Snapshot::default()
        },
    );
    assert_eq!(imported.candidates, 1);
    let [first, second, third, fourth] = &imported.refused[..] else {
        panic!("{imported:?}");
    };
    assert!(matches!(first, ImportError::Endpoints { .. }));
    assert!(matches!(
        second,
        ImportError::Refused {
            why: Refused::Undialable,
            ..
        }
    ));
    assert!(matches!(third, ImportError::Known { .. }));
    assert!(matches!(fourth, ImportError::Endpoints { .. }));
}

#[test]
fn a_file_may_not_name_local_addresses_for_strangers() {
    let (mut book, now) = book();
    let mut entry = entry(endpoint("192.168.0.7:8233").into());
    entry.spots[0].endpoint = endpoint("192.168.0.7:8233");
    let import = |book: &mut Book, entry: &Entry| {
        let entries = vec![(entry.clone(), vec![])];
        let snapshot = Snapshot {
            entries,
            ..Snapshot::default()
        };
        book.import(now, snapshot).candidates
    };
    assert_eq!(import(&mut book, &entry), 0);
    entry.sources.push(Source::Operator);
    assert_eq!(import(&mut book, &entry), 1);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let mut config = Config::default();
    config.gossip.percent = 101;
    let error = Book::new(config, [0; 16], start()).err().unwrap();
    assert_eq!(error.name, "gossip.percent");
    let config = Config::default();
    assert!(book_with(config).0.is_empty());
}

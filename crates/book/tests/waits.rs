//! When a candidate is dialled again, by what went wrong.

use std::time::Duration;

use peerage_book::{Book, Config, Greeted, Key, Now, Occupied, Refused, Standing, Tip, What};
use peerage_core::{Blame, Kind, Retry, Stage};

use crate::common::{
    apart, book, book_with, dial, hours, known, minutes, one, reason, seconds, seed, unreached,
};

fn wait(book: &Book, now: Now, key: &Key) -> Duration {
    match book.story(key)[0].standing {
        Standing::Waiting { until } => seconds(u64::try_from(until.0 - now.wall.0).unwrap()),
        ref other => panic!("{other}"),
    }
}

#[test]
fn a_failure_waits_as_long_as_its_reason_asks_and_half_again_at_most() {
    for kind in Kind::ALL {
        let (mut book, now) = book();
        let key = known(&mut book, now, apart(1));
        let next = dial(&mut book, now);
        book.outcome(now, next.id, Err(reason(Stage::Greet("version"), *kind)))
            .unwrap();
        if *kind == Kind::SelfConnection {
            // Told below.
            continue;
        }
        if *kind == Kind::Proxy {
            assert!(book.outage_since().is_some(), "our own fault: no backoff");
            continue;
        }
        let asked = match kind.retry() {
            Retry::Never => Config::default().backoff.never,
            Retry::Now => Config::default().backoff.least,
            Retry::After(asked) => asked,
        };
        let waits = wait(&book, now, &key);
        assert!(
            waits >= asked && waits <= asked * 3 / 2,
            "{kind}: {waits:?}"
        );
        let counts = !matches!(kind.blame(), Blame::Us | Blame::Caller);
        let failures = book.get(&key).unwrap().failures;
        assert_eq!(failures, u32::from(counts), "{kind}");
    }
}

#[test]
fn waits_double_up_to_an_hour_for_what_passes_and_to_four_times_what_was_asked() {
    let mut config = Config::default();
    config.backoff.jitter_percent = 0;
    for (kind, expected) in [
        (Kind::Timeout, [5, 10, 20, 40, 60, 60]),
        (Kind::WrongFork, [60, 120, 240, 240, 240, 240]),
    ] {
        let (mut book, mut now) = book_with(config.clone());
        let key = known(&mut book, now, apart(1));
        for minutes_wanted in expected {
            let next = dial(&mut book, now);
            book.outcome(now, next.id, Err(unreached(kind))).unwrap();
            assert_eq!(wait(&book, now, &key), minutes(minutes_wanted), "{kind}");
            let early = now.after(minutes(minutes_wanted) - seconds(1));
            assert!(book.next_dial(early, &crate::common::one()).is_none());
            now = now.after(minutes(minutes_wanted));
        }
    }
}

#[test]
fn jitter_differs_between_candidates() {
    let (mut book, now) = book();
    let mut waits = std::collections::BTreeSet::new();
    let mut at = now;
    for number in 0..20 {
        let key = known(&mut book, at, apart(number));
        let next = dial(&mut book, at);
        book.outcome(at, next.id, Err(unreached(Kind::ConnectionRefused)))
            .unwrap();
        waits.insert(wait(&book, at, &key));
        at = at.after(seconds(1));
    }
    assert!(waits.len() > 10, "{waits:?}");
}

#[test]
fn the_wakeup_is_when_the_first_backoff_ends() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let next = dial(&mut book, now);
    book.outcome(now, next.id, Err(unreached(Kind::Timeout)))
        .unwrap();
    let wakeup = book.wakeup().unwrap();
    assert_eq!(wakeup.why, "a backoff ends");
    let then = now.after(wakeup.at - now.at);
    assert_eq!(dial(&mut book, then).key, apart(1).into());
}

#[test]
fn a_session_proves_a_peer_only_if_it_lasts() {
    let (mut book, mut now) = book();
    let key = known(&mut book, now, apart(1));
    for round in 1..=3 {
        let next = dial(&mut book, now);
        book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
        let end = now.after(seconds(5));
        let left = reason(Stage::Keep("receive"), Kind::Closed);
        book.left(end, next.id, &left).unwrap();
        assert_eq!(book.get(&key).unwrap().failures, round, "flapping counts");
        now = end.after(hours(2));
    }
    let next = dial(&mut book, now);
    book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
    let left = reason(Stage::Keep("receive"), Kind::Closed);
    book.left(now.after(minutes(2)), next.id, &left).unwrap();
    let entry = book.get(&key).unwrap();
    assert_eq!(entry.failures, 0);
    assert_eq!(entry.online, seconds(135));
}

#[test]
fn a_new_candidate_is_let_go_after_three_failures_and_not_taken_back_for_a_day() {
    let (mut book, mut now) = book();
    // Enough others, so that nobody is spared; static ones are never new.
    for number in 100..200 {
        known(&mut book, now, apart(number));
    }
    let victim = Key::from(apart(1));
    known(&mut book, now, apart(1));
    while book.get(&victim).is_some() {
        if let Some(next) = book.next_dial(now, &crate::common::one()) {
            let result = if next.key == victim {
                Err(unreached(Kind::ConnectionRefused))
            } else {
                Ok(Greeted::default())
            };
            let failed = result.is_err();
            book.outcome(now, next.id, result).unwrap();
            if failed {
                now = now.after(minutes(20));
            }
        }
        now = now.after(seconds(1));
    }
    let again = book.add(now, Tip::at(apart(1), seed("s")));
    assert_eq!(again, Err(Refused::Buried));
    let tomorrow = now.after(hours(25));
    assert!(book.add(tomorrow, Tip::at(apart(1), seed("s"))).is_ok());
    book.audit().unwrap();
}

#[test]
fn nobody_is_let_go_while_few_are_known() {
    let (mut book, mut now) = book();
    let key = known(&mut book, now, apart(1));
    for _ in 0..50 {
        let next = dial(&mut book, now);
        book.outcome(now, next.id, Err(unreached(Kind::ConnectionRefused)))
            .unwrap();
        now = now.after(hours(2));
    }
    assert_eq!(book.get(&key).unwrap().failures, 50);
}

#[test]
fn a_row_of_equal_failures_is_one_event() {
    let (mut book, mut now) = book();
    let key = known(&mut book, now, apart(1));
    for _ in 0..9 {
        let next = dial(&mut book, now);
        book.outcome(now, next.id, Err(unreached(Kind::ConnectionRefused)))
            .unwrap();
        now = now.after(hours(2));
    }
    let story = &book.story(&key)[0];
    assert_eq!(story.events.len(), 2);
    assert_eq!(story.events[1].times, 9);
    assert!(matches!(story.events[1].what, What::Failed { .. }));
    let text = story.to_string();
    assert!(text.contains("heard of from the seed s"), "{text}");
    assert!(text.contains("9 times"), "{text}");
    assert!(text.contains(Kind::ConnectionRefused.advice()), "{text}");
}

#[test]
fn ourselves_we_do_not_dial_twice_and_why_says_so() {
    let own = reason(Stage::Greet("version"), Kind::SelfConnection);
    let closed = reason(Stage::Greet("version"), Kind::Closed);
    // The dialling end knows, the listening end knows first, the listening end knows later.
    for who_knows in 0..3 {
        let (mut book, now) = book();
        let key = known(&mut book, now, apart(1));
        let next = dial(&mut book, now);
        match who_knows {
            0 => book.outcome(now, next.id, Err(own.clone())).unwrap(),
            1 => {
                book.is_own(now, apart(1), &own);
                assert_eq!(book.story(&key)[0].standing, Standing::Dialling);
                book.outcome(now, next.id, Err(closed.clone())).unwrap();
            }
            _ => {
                book.outcome(now, next.id, Err(closed.clone())).unwrap();
                book.is_own(now, apart(1), &own);
                book.is_own(now, apart(1), &own);
            }
        }
        book.audit().unwrap();
        let again = book.add(now, Tip::at(apart(1), seed("t")));
        assert_eq!(again, Err(Refused::Own));
        let story = &book.story(&key)[0];
        let never = Config::default().backoff.never;
        let week = now.after(never).wall;
        assert_eq!(story.standing, Standing::Ourselves { until: week });
        assert!(story.is_ourselves());
        let words = story.to_string();
        assert!(words.contains("this node itself"), "{words}");
        assert!(words.contains("our own"), "what it means: {words}");
        assert_eq!(words.matches("self_connection at").count(), 1, "{words}");
        assert!(book.next_dial(now.after(hours(6 * 24)), &one()).is_none());

        // A restart does not make it forget.
        let snapshot = book.snapshot();
        let (mut later, now) = crate::common::book();
        assert_eq!(later.import(now, snapshot).candidates, 1);
        let standing = &later.story(&key)[0].standing;
        assert!(matches!(standing, Standing::Ourselves { .. }));
        assert_eq!(
            later.add(now, Tip::at(apart(1), seed("t"))),
            Err(Refused::Own)
        );
        // Addresses change hands: one day it may be somebody else's.
        let next = dial(&mut later, now.after(never + hours(1)));
        assert_eq!(next.key, key);
    }
}

#[test]
fn an_outcome_counts_once() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let next = dial(&mut book, now);
    let left = reason(Stage::Keep("receive"), Kind::Left);
    assert!(book.left(now, next.id, &left).is_err(), "not greeted yet");
    book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
    assert!(book.outcome(now, next.id, Ok(Greeted::default())).is_err());
    book.left(now, next.id, &left).unwrap();
    assert!(book.left(now, next.id, &left).is_err());
}

/// Lets these greet us and fall silent, each as often as it takes to wait an hour.
fn silenced(count: u64) -> (Book, Now) {
    let (mut book, mut now) = book();
    for number in 0..count {
        known(&mut book, now, apart(number));
    }
    // Somebody else works all the time, so that this is no outage of ours.
    for _ in 0..8 {
        for _ in 0..count {
            let Some(next) = book.next_dial(now, &Occupied::with_free(1)) else {
                break;
            };
            if book.get(&next.key).unwrap().successes == 0 {
                book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
                let lost = reason(Stage::Keep("receive"), Kind::Left);
                book.left(now.after(minutes(5)), next.id, &lost).unwrap();
            } else {
                let lost = unreached(Kind::Timeout);
                book.outcome(now, next.id, Err(lost)).unwrap();
            }
            book.alive(now);
            now = now.after(seconds(1));
        }
        now = now.after(hours(2));
    }
    (book, now)
}

#[test]
fn who_fell_silent_is_dialled_early_while_nobody_is_ready() {
    let (mut book, mut now) = silenced(6);
    // All fail once more, within seconds.
    for _ in 0..6 {
        let next = dial(&mut book, now);
        let lost = unreached(Kind::Timeout);
        book.outcome(now, next.id, Err(lost)).unwrap();
        book.alive(now);
        now = now.after(seconds(1));
    }
    let mut dialled = Vec::new();
    let begun = now;
    while now.at < begun.at + minutes(3) {
        assert_eq!(book.next_dial(now, &Occupied::default()), None, "no slot");
        if let Some(next) = book.next_dial(now, &Occupied::with_free(1)) {
            let lost = unreached(Kind::Timeout);
            book.outcome(now, next.id, Err(lost)).unwrap();
            book.alive(now);
            dialled.push(next.key);
        }
        now = now.after(seconds(1));
    }
    // One in 15 s, and each before any of them again.
    assert!((11..=13).contains(&dialled.len()), "{}", dialled.len());
    let first: std::collections::BTreeSet<_> = dialled[..6].iter().collect();
    assert_eq!(first.len(), 6);
    book.audit().unwrap();
}

#[test]
fn who_turned_us_away_or_never_greeted_us_is_not_dialled_early() {
    for kind in [
        Kind::Obsolete,
        Kind::PeerFull,
        Kind::Closed,
        Kind::WrongFork,
    ] {
        let (mut book, now) = silenced(1);
        let next = dial(&mut book, now);
        let why = reason(Stage::Greet("version"), kind);
        book.outcome(now, next.id, Err(why)).unwrap();
        let later = now.after(minutes(1));
        assert_eq!(
            book.next_dial(later, &Occupied::with_free(1)),
            None,
            "{kind}"
        );
    }
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let next = dial(&mut book, now);
    book.outcome(now, next.id, Err(unreached(Kind::Timeout)))
        .unwrap();
    let later = now.after(minutes(1));
    assert_eq!(book.next_dial(later, &Occupied::with_free(1)), None);
}

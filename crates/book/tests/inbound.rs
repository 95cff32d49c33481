//! Peers that dial us.

use peerage_book::{Greeted, Identity, Key, Source, Standing, Tip};
use peerage_core::{ConnectedAddr, Direction, Kind, Stage};

use crate::common::{apart, book, dial, minutes, one, reason, seconds, seed, together};

fn who(number: u8) -> Identity {
    Identity::new(&[number; 64]).unwrap()
}

fn from(number: u64) -> ConnectedAddr {
    ConnectedAddr::InboundDirect {
        addr: together(number),
    }
}

fn left() -> peerage_core::Reason {
    reason(Stage::Keep("receive"), Kind::Left)
}

#[test]
fn where_it_came_from_is_no_place_to_dial() {
    let (mut book, now) = book();
    let session = book
        .arrived(now, &from(1), Some(who(1)), Greeted::default())
        .unwrap();
    let key = Key::from(who(1));
    let entry = book.get(&key).unwrap();
    assert!(entry.spots.is_empty());
    assert_eq!(entry.sources, [Source::Inbound(Some(together(1).ip()))]);
    assert_eq!(book.story(&key)[0].standing, Standing::Connected);
    assert!(
        entry.last_success.is_none(),
        "whether it can be dialled is not proven"
    );
    book.left(now.after(minutes(5)), session, &left()).unwrap();
    assert_eq!(book.get(&key).unwrap().online, minutes(5));
    let later = now.after(minutes(60));
    assert!(book.next_dial(later, &one()).is_none());
    assert_eq!(book.story(&key)[0].standing, Standing::Nowhere);
    assert!(book.answer(later, peerage_core::Domain(0)).is_empty());
    book.audit().unwrap();
}

#[test]
fn one_that_dialled_us_is_not_dialled_meanwhile_and_found_again_by_its_record() {
    let (mut book, now) = book();
    let tip = Tip::of(who(1), vec![apart(1)], seed("s"));
    book.add(now, tip).unwrap();
    let session = book
        .arrived(now, &from(1), Some(who(1)), Greeted::default())
        .unwrap();
    assert!(book.next_dial(now, &one()).is_none());
    let again = book.arrived(now, &from(2), Some(who(1)), Greeted::default());
    book.audit().unwrap();
    book.left(now.after(minutes(4)), session, &twice()).unwrap();
    let story = &book.story(&who(1).into())[0];
    assert_eq!(story.standing, Standing::Connected, "the later one stays");
    book.left(now.after(minutes(5)), again.unwrap(), &left())
        .unwrap();
    let later = now.after(minutes(60));
    let next = dial(&mut book, later);
    assert_eq!(next.key, who(1).into());
    book.audit().unwrap();
}

fn twice() -> peerage_core::Reason {
    reason(Stage::Keep("slots"), Kind::AlreadyConnected)
}

/// Both ends dial each other: whichever connection goes, and in whatever order the two are told of,
/// the book knows of the session as long as there is one.
#[test]
fn a_session_that_arrives_while_it_is_dialled_is_known_until_it_ends() {
    for (dial_fails, order) in [(true, 0), (true, 1), (false, 0), (false, 1), (false, 2)] {
        let (mut book, now) = book();
        let key = Key::from(who(1));
        let tip = Tip::of(who(1), vec![apart(1)], seed("s"));
        book.add(now, tip).unwrap();
        let dialled = dial(&mut book, now).id;
        let arrive = |book: &mut peerage_book::Book| {
            let arrived = book.arrived(now, &from(1), Some(who(1)), Greeted::default());
            book.audit().unwrap();
            arrived.unwrap()
        };
        let standing = |book: &peerage_book::Book| book.story(&key)[0].standing.clone();
        let last = if dial_fails {
            // A dead address of a peer that is here costs it nothing.
            let cause = [Kind::AlreadyConnected, Kind::Timeout][order];
            let session = arrive(&mut book);
            assert_eq!(standing(&book), Standing::Connected);
            let failed = reason(Stage::Reach, cause);
            book.outcome(now, dialled, Err(failed)).unwrap();
            session
        } else {
            match order {
                0 => {
                    let session = arrive(&mut book);
                    book.outcome(now, dialled, Ok(Greeted::default())).unwrap();
                    assert_eq!(standing(&book), Standing::Connected);
                    book.left(now, dialled, &twice()).unwrap();
                    session
                }
                1 => {
                    let session = arrive(&mut book);
                    book.outcome(now, dialled, Ok(Greeted::default())).unwrap();
                    book.left(now, session, &twice()).unwrap();
                    dialled
                }
                _ => {
                    book.outcome(now, dialled, Ok(Greeted::default())).unwrap();
                    let session = arrive(&mut book);
                    book.left(now, dialled, &twice()).unwrap();
                    session
                }
            }
        };
        book.audit().unwrap();
        assert_eq!(standing(&book), Standing::Connected);
        let later = now.after(minutes(60));
        assert!(book.next_dial(later, &one()).is_none(), "it is here");
        let entry = book.get(&key).unwrap();
        assert_eq!((entry.failures, entry.attempts), (0, 1));
        assert_eq!(entry.spots[0].failures, 0);
        assert!(book.outage_since().is_none());
        book.left(later, last, &left()).unwrap();
        assert!(matches!(standing(&book), Standing::Waiting { .. }));
        book.audit().unwrap();
    }
}

#[test]
fn a_dial_that_is_open_when_the_session_ends_is_still_a_dial() {
    let (mut book, now) = book();
    let tip = Tip::of(who(1), vec![apart(1)], seed("s"));
    book.add(now, tip).unwrap();
    let dialled = dial(&mut book, now).id;
    let session = book.arrived(now, &from(1), Some(who(1)), Greeted::default());
    book.left(now, session.unwrap(), &left()).unwrap();
    assert_eq!(book.story(&who(1).into())[0].standing, Standing::Dialling);
    book.outcome(now, dialled, Ok(Greeted::default())).unwrap();
    book.left(now, dialled, &left()).unwrap();
    book.audit().unwrap();
}

#[test]
fn without_an_identity_or_in_isolation_nothing_is_kept() {
    let (mut book, now) = book();
    assert!(
        book.arrived(now, &from(1), None, Greeted::default())
            .is_none()
    );
    let isolated = ConnectedAddr::Isolated {
        direction: Direction::Inbound,
    };
    let kept = book.arrived(now, &isolated, Some(who(1)), Greeted::default());
    assert!(kept.is_none());
    assert!(book.is_empty());
}

/// Identities cost nothing, so those of one place share a quota.
#[test]
fn a_thousand_identities_of_one_place_displace_only_themselves() {
    let (mut book, mut now) = book();
    for number in 0..100 {
        book.add(now, Tip::at(apart(number), seed("s"))).unwrap();
    }
    for number in 0..3_000_u32 {
        let identity = Identity::new(&number.to_be_bytes()).unwrap();
        if let Some(session) = book.arrived(now, &from(1), Some(identity), Greeted::default()) {
            book.left(now.after(seconds(1)), session, &left()).unwrap();
        }
        now = now.after(seconds(2));
    }
    let strangers = book.len() - 100;
    assert!(strangers <= 1_000, "{strangers}");
    assert!((0..100).all(|number| book.get(&apart(number).into()).is_some()));
    book.audit().unwrap();
}

/// What an inbound peer that falls silent says of our own network is nothing.
#[test]
fn inbound_sessions_that_end_are_no_outage() {
    let (mut book, now) = book();
    for number in 0..20 {
        let arrived = book.arrived(now, &from(1), Some(who(number)), Greeted::default());
        let timeout = reason(Stage::Keep("ping"), Kind::Timeout);
        book.left(now, arrived.unwrap(), &timeout).unwrap();
    }
    assert!(book.outage_since().is_none());
}

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
    assert!(again.is_none(), "one session for one identity");
    book.left(now.after(minutes(5)), session, &left()).unwrap();
    let later = now.after(minutes(60));
    let next = dial(&mut book, later);
    assert_eq!(next.key, who(1).into());
    let meanwhile = book.arrived(later, &from(1), Some(who(1)), Greeted::default());
    assert!(
        meanwhile.is_none(),
        "it is being dialled: the dial's outcome counts"
    );
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

//! Static and trusted peers.

use peerage_book::{Action, Address, Config, Key, Occupied, Refused, Role, config::Names};
use peerage_core::Kind;

use crate::common::{
    apart, book, book_with, dial, endpoint, minutes, seconds, together, unreached,
};

#[test]
fn a_static_peer_is_dialled_for_ever_and_at_least_every_ninety_seconds() {
    let (mut book, mut now) = book();
    for number in 0..100 {
        crate::common::known(&mut book, now, apart(number));
    }
    let address = endpoint("10.0.0.1:8233").into();
    let key = book.pin(now, None, address, Role::Static).unwrap();
    for _ in 0..200 {
        let next = book.next_dial(now, &Occupied::with_free(0)).unwrap();
        assert_eq!((&next.key, next.why), (&key, "static"));
        book.outcome(now, next.id, Err(unreached(Kind::ConnectionRefused)))
            .unwrap();
        now = now.after(seconds(91));
    }
    assert_eq!(book.get(&key).unwrap().failures, 200);
    assert!(book.unpin(now, &key));
    assert!(!book.unpin(now, &key));
    book.audit().unwrap();
}

#[test]
fn a_name_is_resolved_again_and_again_and_no_answer_empties_it() {
    let (mut book, now) = book();
    let name: Address = "peer.example.org:8233".parse().unwrap();
    let key = book.pin(now, None, name, Role::Static).unwrap();
    assert!(book.next_dial(now, &crate::common::one()).is_none());
    let Some(Action::Resolve { key: of, name }) = book.poll_action() else {
        panic!("nothing to resolve");
    };
    assert_eq!((&of, name.host()), (&key, "peer.example.org"));
    book.resolved(now, &key, Ok(vec![apart(1)]));
    let next = dial(&mut book, now);
    assert_eq!(next.address, apart(1).into());
    // It fails, so the name is looked up again, and has moved.
    book.outcome(now, next.id, Err(unreached(Kind::Timeout)))
        .unwrap();
    let later = now.after(minutes(1));
    book.handle_timeout(later);
    assert!(matches!(book.poll_action(), Some(Action::Resolve { .. })));
    book.resolved(later, &key, Err(unreached(Kind::Unresolved)));
    book.resolved(later, &key, Ok(Vec::new()));
    assert_eq!(dial(&mut book, later).address, apart(1).into());
    book.resolved(later, &key, Ok(vec![apart(2)]));
    let spots = book.get(&key).unwrap().spots;
    assert_eq!(spots.len(), 1);
    assert_eq!(spots[0].endpoint, apart(2));
    // And by itself every half hour.
    let much_later = later.after(minutes(31));
    book.handle_timeout(much_later);
    assert!(matches!(book.poll_action(), Some(Action::Resolve { .. })));
    book.audit().unwrap();
}

#[test]
fn through_a_proxy_names_are_dialled_and_never_resolved() {
    let config = Config {
        names: Names::Dial,
        ..Config::default()
    };
    let (mut book, now) = book_with(config);
    let name: Address = "abcdef.onion:8233".parse().unwrap();
    book.pin(now, None, name.clone(), Role::Static).unwrap();
    assert_eq!(dial(&mut book, now).address, name);
    book.handle_timeout(now.after(minutes(600)));
    assert!(book.poll_action().is_none());
}

#[test]
fn static_peers_of_one_group_are_all_dialled() {
    let (mut book, mut now) = book();
    for number in 1..=5 {
        book.pin(now, None, together(number).into(), Role::Static)
            .unwrap();
    }
    for _ in 0..5 {
        assert_eq!(dial(&mut book, now).why, "static");
        now = now.after(seconds(1));
    }
}

#[test]
fn there_are_at_most_so_many() {
    let mut config = Config::default();
    config.caps.pinned = 3;
    let (mut book, now) = book_with(config);
    for number in 1..=3 {
        book.pin(now, None, apart(number).into(), Role::Trusted)
            .unwrap();
    }
    let more = book.pin(now, None, apart(4).into(), Role::Static);
    assert_eq!(more, Err(Refused::Full));
    assert!(book.forget(&Key::from(apart(1))));
    book.pin(now, None, apart(4).into(), Role::Static).unwrap();
}

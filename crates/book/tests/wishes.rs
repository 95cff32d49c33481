//! What an operator wants at once: all of it, or nothing.

use peerage_book::{
    BanWish, By, Config, Key, PinWish, Refused, Role, Subject, TooManyBans, WishError, Wishes,
};
use peerage_core::{Failure as _, Kind};

use crate::common::{apart, book_with, endpoint, known};

fn ban(range: &str) -> BanWish {
    BanWish {
        subject: net(range),
        term: None,
        words: "by configuration".into(),
    }
}

fn net(range: &str) -> Subject {
    Subject::Net(range.parse().unwrap())
}

fn pin(address: &str) -> PinWish {
    PinWish {
        identity: None,
        address: address.parse().unwrap(),
        role: Role::Static,
    }
}

fn small() -> Config {
    let mut config = Config::default();
    config.caps.bans = 3;
    config.caps.pinned = 2;
    config
}

/// All that can be seen of a book.
fn seen(book: &peerage_book::Book) -> String {
    format!("{:?}", book.snapshot())
}

#[test]
fn wishes_are_granted_together_and_what_is_given_up_makes_room() {
    let (mut book, now) = book_with(small());
    let first = Wishes {
        ban: vec![
            ban("192.0.2.0/24"),
            ban("198.51.100.0/24"),
            ban("203.0.113.0/24"),
        ],
        pin: vec![pin("9.9.9.9:8233"), pin("peer.example.org:8233")],
        ..Wishes::default()
    };
    book.grant(now, &first).unwrap();
    assert_eq!(book.bans().len(), 3);
    let key: Key = endpoint("9.9.9.9:8233").into();
    assert_eq!(book.get(&key).unwrap().role, Role::Static);
    // Once more changes nothing of that.
    book.grant(now, &first).unwrap();
    let next = Wishes {
        lift: vec![net("192.0.2.0/24"), net("10.0.0.0/8")],
        unpin: vec![key.clone()],
        ban: vec![ban("8.8.0.0/16")],
        pin: vec![pin("8.8.4.4:8233")],
    };
    book.grant(now, &next).unwrap();
    assert!(book.bans().of(&net("192.0.2.0/24")).is_none());
    assert!(book.bans().of(&net("8.8.0.0/16")).is_some());
    assert_eq!(book.get(&key).unwrap().role, Role::Ordinary);
    book.audit().unwrap();
}

#[test]
fn a_wish_that_cannot_be_granted_leaves_everything_as_it_was() {
    let (mut book, now) = book_with(small());
    known(&mut book, now, apart(1));
    let granted = Wishes {
        ban: vec![ban("192.0.2.0/24")],
        pin: vec![pin("9.9.9.9:8233")],
        ..Wishes::default()
    };
    book.grant(now, &granted).unwrap();
    let own = net("198.51.100.7/32");
    book.ban(now, own.clone(), By::Node, None, "it lies")
        .unwrap();
    let before = seen(&book);

    let bans = |count: u8| (0..count).map(|n| ban(&format!("10.{n}.0.0/16"))).collect();
    let too_many = Wishes {
        lift: vec![own.clone()],
        ban: bans(3),
        ..Wishes::default()
    };
    let limit = 3;
    let error = book.grant(now, &too_many).unwrap_err();
    assert_eq!(error, WishError::Bans(TooManyBans { limit }));
    let pins = Wishes {
        ban: bans(1),
        unpin: Vec::new(),
        pin: vec![pin("8.8.8.8:1"), pin("8.8.4.4:1")],
        lift: vec![net("192.0.2.0/24")],
    };
    assert_eq!(book.grant(now, &pins), Err(WishError::Pins { limit: 2 }));
    let nowhere = Wishes {
        ban: bans(1),
        unpin: vec![endpoint("9.9.9.9:8233").into()],
        pin: vec![pin("8.8.8.8:1"), pin("0.0.0.0:1")],
        ..Wishes::default()
    };
    let error = book.grant(now, &nowhere).unwrap_err();
    let why = Refused::Undialable;
    assert!(
        matches!(&error, WishError::Pin { why: of, .. } if *of == why),
        "{error:?}"
    );
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!(seen(&book), before);

    // The node's own ban gives way to the operator's.
    let ban = bans(2);
    book.grant(
        now,
        &Wishes {
            ban,
            ..Wishes::default()
        },
    )
    .unwrap();
    assert!(book.bans().of(&own).is_none());
    book.audit().unwrap();
}

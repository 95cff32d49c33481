//! `why`, from the file.

use std::time::Duration;

use peerage_book::{By, Change, Greeted, Key, Occupied, Prefix, Standing, Subject, What};
use peerage_core::{Kind, Stage};
use peerage_store::Store;

use crate::common::{Folder, LONG, apart, book, options, realm, reason, tip};

#[test]
fn the_story_of_a_peer_is_read_while_a_daemon_writes() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let reader = store.reader().unwrap();
    let (mut book, mut now) = book();
    let key = Key::from(apart(1));
    book.add(now, tip(1)).unwrap();
    // More than the book remembers: the file has it all.
    for round in 0..20 {
        let next = book.next_dial(now, &Occupied::with_free(1)).unwrap();
        let failed = reason(Stage::Reach, Kind::ConnectionRefused);
        book.outcome(now, next.id, Err(failed)).unwrap();
        now = now.after(Duration::from_secs(7_200));
        let next = book.next_dial(now, &Occupied::with_free(1)).unwrap();
        book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
        now = now.after(Duration::from_secs(600));
        let left = reason(Stage::Keep("ping"), Kind::Timeout);
        book.left(now, next.id, &left).unwrap();
        book.alive(now);
        now = now.after(Duration::from_secs(7_200));
        store.drain(&realm(), now.wall, &mut book);
        store.flush(LONG).unwrap();
        let story = &reader.story(&realm(), &key).unwrap()[0];
        let greeted = story.events.iter();
        let greeted = greeted.filter(|event| matches!(event.what, What::Greeted { .. }));
        assert_eq!(greeted.count(), round + 1);
    }
    let story = &reader.story(&realm(), &key).unwrap()[0];
    assert!(story.events.len() > book.story(&key)[0].events.len());
    assert!(
        matches!(story.events[0].what, What::Heard(_)),
        "from the first"
    );
    // Everybody at an address, and nobody at one that only begins alike.
    let Key::Address(peerage_book::Address::At(at)) = &key else {
        panic!("{key} is no endpoint");
    };
    let here = reader.stories_at(&realm(), at.ip()).unwrap();
    assert_eq!(here.len(), 1);
    assert_eq!(here[0].entry.key, key);
    let text = at.ip().to_string();
    let shorter = text[..text.len() - 1].parse::<std::net::IpAddr>();
    let other = shorter.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
    assert!(reader.stories_at(&realm(), other).unwrap().is_empty());
    assert!(matches!(story.standing, Standing::Written { .. }));
    let text = story.to_string();
    assert!(text.contains("heard of from the seed s"), "{text}");
    assert!(
        text.contains("session ended after 600 s: timeout at ping"),
        "{text}"
    );

    let subject = Subject::Net(Prefix::host(apart(1).ip()));
    book.ban(now, subject, By::Operator, None, "enough")
        .unwrap();
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();
    let story = &reader.story(&realm(), &key).unwrap()[0];
    assert!(matches!(story.standing, Standing::Banned { .. }));
    assert!(reader.story(&realm(), &apart(2).into()).unwrap().is_empty());
}

#[test]
fn one_that_was_let_go_and_came_back_has_one_story() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let (mut book, now) = book();
    let key = Key::from(apart(1));
    for _ in 0..3 {
        book.add(now, tip(1)).unwrap();
        store.drain(&realm(), now.wall, &mut book);
        store.flush(LONG).unwrap();
        book.forget(&key);
        let gone = book.poll_change().unwrap();
        assert_eq!(gone, Change::Gone(key.clone()));
        store.offer(&realm(), now.wall, gone).unwrap();
        store.flush(LONG).unwrap();
        let story = &store.reader().unwrap().story(&realm(), &key).unwrap()[0];
        assert!(matches!(story.standing, Standing::Gone { .. }));
    }
    let reader = store.reader().unwrap();
    assert_eq!(reader.story(&realm(), &key).unwrap()[0].events.len(), 3);
    // Back again, it starts the book with its present life alone.
    book.add(now, tip(1)).unwrap();
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();
    let loaded = reader.load(&realm()).unwrap().snapshot;
    assert_eq!(loaded.entries[0].1.len(), 1);
    assert_eq!(loaded.entries[0].1[0].number, 0);
}

#[test]
fn a_peer_with_an_identity_is_found_by_its_address() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let (mut book, now) = book();
    let identity = peerage_book::Identity::new(&[6; 64]).unwrap();
    let source = peerage_book::Source::Discovery(None);
    let tip = peerage_book::Tip::of(identity.clone(), vec![apart(3)], source);
    book.add(now, tip).unwrap();
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();
    let stories = store.reader().unwrap().story(&realm(), &apart(3).into());
    assert_eq!(stories.unwrap()[0].entry.key, identity.into());
}

/// After a reset, which a full queue of the book's own makes, the file has neither less nor twice.
#[test]
fn telling_everything_anew_changes_nothing() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let (mut book, now) = book();
    for number in 0..50 {
        book.add(now, tip(number)).unwrap();
    }
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();
    let reader = store.reader().unwrap();
    let before = reader.load(&realm()).unwrap();
    book.tell_all();
    // Killed right after the first word of it: nothing is missing.
    let reset = book.poll_change().unwrap();
    assert_eq!(reset, Change::Reset);
    store.offer(&realm(), now.wall, reset).unwrap();
    store.flush(LONG).unwrap();
    let half = reader.load(&realm()).unwrap();
    assert_eq!(half.snapshot.entries, before.snapshot.entries);
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();
    assert_eq!(reader.load(&realm()).unwrap(), before);
    assert_eq!(before.snapshot.entries.len(), 50);
}

//! No room.

use std::time::Duration;

use peerage_book::Change;
use peerage_core::{Failure, Kind, Retry};
use peerage_store::{Options, Reader, Store, StoreError};

use crate::common::{Folder, LONG, book, options, realm, tip};

/// A file that may not grow: SQLite answers as it does on a full disk.
#[test]
fn a_full_disk_is_a_clear_error_and_nothing_acknowledged_is_lost() {
    let folder = Folder::new();
    let path = folder.file();
    let store = Store::open(
        &path,
        Options {
            batch: 16,
            max_bytes: 200_000,
            ..options()
        },
    )
    .unwrap();
    let (mut book, now) = book();
    for number in 0..1_000 {
        book.add(now, tip(number)).unwrap();
    }
    let offered = store.drain(&realm(), now.wall, &mut book) as u64;
    assert_eq!(offered, 1_000);
    let status = store.wait(LONG, |status| status.trouble.is_some());
    let trouble = status
        .trouble
        .expect("a file of 200 kB holds no 1,000 peers");
    assert!(matches!(*trouble, StoreError::Full { .. }), "{trouble}");
    assert!(trouble.to_string().contains("no room to write"));
    assert!(trouble.to_string().contains("book.db"), "names the file");
    assert_eq!(trouble.kind(), Kind::Full);
    assert!(matches!(trouble.retry(), Retry::After(_)));
    let written = store.written();
    assert!(written > 16 && written < offered, "{written} of {offered}");

    // Readers go on, and find all that was acknowledged.
    let reader = Reader::open(&path).unwrap();
    let entries = reader.load(&realm()).unwrap().snapshot.entries.len() as u64;
    assert_eq!(entries, written);
    reader.check().unwrap();

    // Room again: it goes on by itself.
    store.limit(1 << 30);
    store.flush(LONG).unwrap();
    assert!(store.status().trouble.is_none());
    assert_eq!(store.written(), offered);
    let entries = reader.load(&realm()).unwrap().snapshot.entries.len();
    assert_eq!(entries, 1_000);
    reader.check().unwrap();
}

/// It tries again by itself, without being told that there is room.
#[test]
fn closing_without_room_says_what_was_not_written() {
    let folder = Folder::new();
    let store = Store::open(
        &folder.file(),
        Options {
            batch: 16,
            max_bytes: 120_000,
            retry: Duration::from_millis(1),
            ..options()
        },
    )
    .unwrap();
    let (mut book, now) = book();
    for number in 0..500 {
        book.add(now, tip(number)).unwrap();
    }
    store.drain(&realm(), now.wall, &mut book);
    store.wait(LONG, |status| status.trouble.is_some());
    let written = store.written();
    match store.close() {
        Err(StoreError::Unwritten { left, .. }) => assert_eq!(left, 500 - written),
        other => panic!("{other:?}"),
    }
    let reader = Reader::open(&folder.file()).unwrap();
    let entries = reader.load(&realm()).unwrap().snapshot.entries.len() as u64;
    assert_eq!(entries, written);
}

/// What is removed makes room, so a file at its limit stays usable.
#[test]
fn old_stories_are_let_go() {
    let folder = Folder::new();
    let options = Options {
        gone: 50,
        events: 10,
        ..options()
    };
    let store = Store::open(&folder.file(), options).unwrap();
    let (mut book, now) = book();
    for number in 0..300 {
        book.add(now, tip(number)).unwrap();
    }
    store.drain(&realm(), now.wall, &mut book);
    for number in 0..300 {
        let at = now.after(Duration::from_secs(number)).wall;
        let gone = Change::Gone(crate::common::apart(number).into());
        store.offer(&realm(), at, gone).unwrap();
    }
    store.flush(LONG).unwrap();
    let reader = store.reader().unwrap();
    let has = |number| {
        let key = crate::common::apart(number).into();
        !reader.story(&realm(), &key).unwrap().is_empty()
    };
    assert_eq!((0..300).filter(|number| has(*number)).count(), 50);
    assert!(has(299) && !has(0), "the latest stay");
    assert!(reader.load(&realm()).unwrap().snapshot.entries.is_empty());
}

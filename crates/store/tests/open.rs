//! Which files are opened, and what is said of the others.

use std::fs;

use peerage_core::Failure;
use peerage_store::{Reader, Store, StoreError};
use rusqlite::Connection;

use crate::common::{Folder, LONG, book, options, realm, tip};

#[test]
fn one_writer_for_a_file() {
    let folder = Folder::new();
    let first = Store::open(&folder.file(), options()).unwrap();
    let error = Store::open(&folder.file(), options()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("book.db is in use by another instance")
    );
    // Readers may come.
    let reader = Reader::open(&folder.file()).unwrap();
    assert!(reader.has_writer().unwrap());
    first.close().unwrap();
    assert!(!reader.has_writer().unwrap());
    Store::open(&folder.file(), options()).unwrap();
}

#[test]
fn a_newer_file_is_left_alone() {
    let folder = Folder::new();
    Store::open(&folder.file(), options())
        .unwrap()
        .close()
        .unwrap();
    let db = Connection::open(folder.file()).unwrap();
    db.execute_batch("PRAGMA user_version = 1000").unwrap();
    drop(db);
    let before = fs::read(folder.file()).unwrap();
    for error in [
        Store::open(&folder.file(), options()).unwrap_err(),
        Reader::open(&folder.file()).err().unwrap(),
    ] {
        assert!(
            matches!(error, StoreError::Newer { found: 1000, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("upgrade"));
    }
    assert_eq!(fs::read(folder.file()).unwrap(), before);
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let folder = Folder::new();
    // Another program's database, a text, and noise as long as a page.
    let db = Connection::open(folder.path().join("other.db")).unwrap();
    db.execute_batch("CREATE TABLE cookies (a); PRAGMA user_version = 3;")
        .unwrap();
    drop(db);
    fs::write(folder.path().join("text"), "dear diary, ".repeat(900)).unwrap();
    fs::write(folder.path().join("noise"), vec![0xa5; 8192]).unwrap();
    for name in ["other.db", "text", "noise"] {
        let path = folder.path().join(name);
        let before = fs::read(&path).unwrap();
        let error = Store::open(&path, options()).unwrap_err();
        assert!(
            matches!(error, StoreError::Foreign { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("move it away"), "{error}");
        let error = Reader::open(&path).err().unwrap();
        assert!(
            matches!(error, StoreError::Foreign { .. }),
            "{name}: {error}"
        );
        assert_eq!(fs::read(&path).unwrap(), before, "{name} is untouched");
    }
}

#[test]
fn a_damaged_file_says_what_to_do() {
    let folder = Folder::new();
    let store = Store::open(&folder.file(), options()).unwrap();
    let (mut book, now) = book();
    for number in 0..1_000 {
        book.add(now, tip(number)).unwrap();
    }
    store.drain(&realm(), now.wall, &mut book);
    store.flush(LONG).unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(folder.file()).unwrap();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 20_000] {
        *byte ^= 0x5a;
    }
    fs::write(folder.file(), &bytes).unwrap();
    let error = Store::open(&folder.file(), options()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("start with a new one, or restore a copy")
    );
    assert!(!error.passes());
    assert!(Reader::open(&folder.file()).unwrap().check().is_err());
}

#[test]
fn what_is_not_there_is_not_made_by_a_reader() {
    let folder = Folder::new();
    let error = Reader::open(&folder.file()).err().unwrap();
    assert!(matches!(error, StoreError::Missing { .. }));
    assert!(!folder.file().exists());
    let nowhere = folder.path().join("no/such/folder/book.db");
    let error = Store::open(&nowhere, options()).unwrap_err();
    assert!(matches!(error, StoreError::Access { .. }), "{error}");
    assert!(
        error
            .reason()
            .message
            .contains("check that its folder exists")
    );
}

#[test]
fn an_older_file_is_brought_up_to_date_by_the_writer_alone() {
    let folder = Folder::new();
    // As a process leaves it that was killed before the first migration.
    fs::write(folder.file(), "").unwrap();
    let error = Reader::open(&folder.file()).err().unwrap();
    assert!(
        matches!(error, StoreError::Older { found: 0, .. }),
        "{error}"
    );
    Store::open(&folder.file(), options())
        .unwrap()
        .close()
        .unwrap();
    assert!(
        Reader::open(&folder.file())
            .unwrap()
            .realms()
            .unwrap()
            .is_empty()
    );
}

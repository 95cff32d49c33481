//! Opening: the lock, the checks, the settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::options::Options;
use crate::schema;

/// Held as long as it lives; the operating system lets go of it when the process ends, however it
/// ends.
///
/// It is a transaction on an empty database beside the file: the file itself stays open to readers,
/// and the lock works wherever SQLite does.
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] Connection);

/// How long the lock is waited for.
const ASKED: std::time::Duration = std::time::Duration::from_millis(100);

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-lock");
    PathBuf::from(name)
}

pub(crate) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let beside = beside(path);
    let failed = |source| StoreError::sqlite(path, source);
    let db = Connection::open(&beside).map_err(failed)?;
    // Whoever asks whether it is locked holds it for a moment.
    db.busy_timeout(ASKED).map_err(failed)?;
    db.execute_batch("BEGIN EXCLUSIVE").map_err(failed)?;
    Ok(Lock(db))
}

/// Whether somebody holds the lock.
pub(crate) fn is_locked(path: &Path) -> Result<bool, StoreError> {
    let beside = beside(path);
    if !beside.exists() {
        return Ok(false);
    }
    let asked = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&beside, flags)?;
        db.busy_timeout(std::time::Duration::ZERO)?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    match asked().map_err(|source| StoreError::sqlite(path, source)) {
        Ok(()) => Ok(false),
        Err(StoreError::InUse { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens a file for writing, made if need be and brought up to date.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::sqlite(path, source);
    let mut db = Connection::open(path).map_err(failed)?;
    // A reader may hold the file back for a moment when it is the first to open it.
    db.busy_timeout(std::time::Duration::from_secs(5))
        .map_err(failed)?;
    // Before anything is written: whether it is ours to write.
    schema::version(&db, path)?;
    if options.check {
        check(&db, path)?;
    }
    // WAL: readers never wait for the writer. FULL: what is acknowledged survives a power cut.
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;",
    )
    .map_err(failed)?;
    schema::migrate(&mut db, path)?;
    Ok(db)
}

/// Opens a file for reading, whoever writes to it.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::sqlite(path, source);
    if !path.exists() {
        let path = path.to_owned();
        return Err(StoreError::Missing { path });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(std::time::Duration::from_secs(5))
        .map_err(failed)?;
    let found = schema::version(&db, path)?;
    let known = schema::known();
    if found < known {
        let path = path.to_owned();
        return Err(StoreError::Older { path, found, known });
    }
    Ok(db)
}

pub(crate) fn check(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(_) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            source: None,
        }),
        Err(source) => Err(StoreError::sqlite(path, source)),
    }
}

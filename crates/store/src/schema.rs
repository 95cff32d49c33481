//! The tables, and how a file of an older version gets them.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use crate::error::StoreError;

/// "peer" in ASCII: what tells a book from any other program's database.
const APPLICATION: i64 = 0x7065_6572;

/// Each brings a file one version further; none is ever changed once it was released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE realms (
        id INTEGER PRIMARY KEY,
        network TEXT NOT NULL,
        chain TEXT NOT NULL,
        UNIQUE (network, chain)
    ) STRICT;
    -- gone: 0 it is in the book; 1 the book let it go; 2 the book tells everything anew.
    -- base: what its events' numbers in the book are counted from.
    CREATE TABLE peers (
        id INTEGER PRIMARY KEY,
        realm INTEGER NOT NULL REFERENCES realms (id),
        key TEXT NOT NULL,
        body TEXT NOT NULL,
        base INTEGER NOT NULL DEFAULT 0,
        gone INTEGER NOT NULL DEFAULT 0,
        gone_at INTEGER NOT NULL DEFAULT 0,
        UNIQUE (realm, key)
    ) STRICT;
    CREATE INDEX peers_gone ON peers (realm, gone, gone_at);
    CREATE TABLE history (
        peer INTEGER NOT NULL REFERENCES peers (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (peer, number)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE bans (
        realm INTEGER NOT NULL REFERENCES realms (id),
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (realm, subject)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE anchors (
        realm INTEGER NOT NULL REFERENCES realms (id),
        rank INTEGER NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (realm, rank)
    ) WITHOUT ROWID, STRICT;
    -- For people with SQL.
    CREATE VIEW v_peers AS SELECT
        network, chain, key, gone <> 0 AS gone,
        body ->> 'role' AS role,
        body ->> 'agent' AS agent,
        body ->> 'services' AS services,
        body ->> 'attempts' AS attempts,
        body ->> 'successes' AS successes,
        body ->> 'failures' AS failures,
        body ->> 'online' AS online,
        body ->> 'score' AS score,
        datetime(body ->> 'first_heard', 'unixepoch') AS first_heard,
        datetime(body ->> 'last_success', 'unixepoch') AS last_success
        FROM peers JOIN realms ON realms.id = peers.realm;
    CREATE VIEW v_history AS SELECT
        network, chain, key, number,
        datetime(history.body ->> 'last', 'unixepoch') AS at,
        history.body ->> 'times' AS times,
        history.body ->> 'what' AS what,
        history.body ->> '$.cause.kind' AS kind,
        history.body ->> '$.cause.stage' AS stage,
        history.body ->> '$.cause.words' AS words
        FROM history JOIN peers ON peers.id = history.peer
        JOIN realms ON realms.id = peers.realm;
"];

/// The version that this program writes.
pub(crate) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The version of a file; 0 if it is empty.
pub(crate) fn version(db: &Connection, path: &Path) -> Result<i64, StoreError> {
    let failed = |source| StoreError::sqlite(path, source);
    let application = pragma(db, "application_id").map_err(failed)?;
    let found = pragma(db, "user_version").map_err(failed)?;
    let table = "SELECT 1 FROM sqlite_schema LIMIT 1";
    let table = db.query_row(table, [], |_| Ok(())).optional();
    let is_empty = table.map_err(failed)?.is_none();
    let path = path.to_owned();
    if application != APPLICATION && !(application == 0 && found == 0 && is_empty) {
        return Err(StoreError::Foreign { path });
    }
    if found > known() {
        let known = known();
        return Err(StoreError::Newer { path, found, known });
    }
    Ok(found)
}

/// Brings a file up to date, each step in a transaction of its own: killed between, it goes on.
pub(crate) fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let from = usize::try_from(version(db, path)?).unwrap_or(0);
    let failed = |source| StoreError::sqlite(path, source);
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(from) {
        let step = db.transaction().map_err(failed).and_then(|transaction| {
            let sql = format!(
                "{sql}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {};",
                step + 1
            );
            transaction.execute_batch(&sql).map_err(failed)?;
            transaction.commit().map_err(failed)
        });
        step?;
    }
    Ok(())
}

pub(crate) fn pragma(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

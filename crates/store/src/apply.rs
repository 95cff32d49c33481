//! What each change does to the tables.

use std::collections::BTreeMap;

use peerage_book::{Change, Entry, Event, Key};
use peerage_core::UnixTime;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::form;
use crate::options::Options;
use crate::realm::Realm;

/// A change on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) realm: Realm,
    pub(crate) at: UnixTime,
    pub(crate) change: Change,
}

/// Limits the file to a number of bytes, rounded down to pages. It never cuts what is there.
pub(crate) fn limit(db: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    let page: i64 = db.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / page.max(1);
    let pages = pages.clamp(1, i64::from(u32::MAX) - 1);
    let set = format!("PRAGMA max_page_count = {pages}");
    db.query_row(&set, [], |_| Ok(()))
}

/// Writes all of the jobs, or none.
pub(crate) fn write<'a>(
    db: &mut Connection,
    options: &Options,
    jobs: impl Iterator<Item = &'a Job>,
) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    let mut realms: BTreeMap<&Realm, i64> = BTreeMap::new();
    let mut lost = false;
    for job in jobs {
        let realm = match realms.get(&job.realm) {
            Some(id) => *id,
            None => {
                let id = realm_id(&transaction, &job.realm)?;
                realms.insert(&job.realm, id);
                id
            }
        };
        lost |= matches!(job.change, Change::Gone(_) | Change::Reset);
        apply(&transaction, options, realm, job)?;
    }
    if lost {
        for realm in realms.values() {
            let sql = "DELETE FROM peers WHERE id IN (SELECT id FROM peers
                WHERE realm = ?1 AND gone = 1 ORDER BY gone_at DESC, id DESC LIMIT -1 OFFSET ?2)";
            transaction.execute(sql, params![realm, int(options.gone)])?;
        }
    }
    transaction.commit()
}

pub(crate) fn realm_id(db: &Connection, realm: &Realm) -> rusqlite::Result<i64> {
    let names = params![&*realm.network, &*realm.chain];
    let insert = "INSERT OR IGNORE INTO realms (network, chain) VALUES (?1, ?2)";
    db.prepare(insert)?.execute(names)?;
    let select = "SELECT id FROM realms WHERE network = ?1 AND chain = ?2";
    db.prepare(select)?.query_row(names, |row| row.get(0))
}

fn apply(db: &Transaction<'_>, options: &Options, realm: i64, job: &Job) -> rusqlite::Result<()> {
    let at = job.at.0;
    match &job.change {
        Change::Reset => {
            let sql = "UPDATE peers SET gone = 2, gone_at = ?2 WHERE realm = ?1 AND gone = 0";
            db.execute(sql, params![realm, at])?;
            db.execute("DELETE FROM bans WHERE realm = ?1", [realm])?;
            db.execute("DELETE FROM anchors WHERE realm = ?1", [realm])?;
        }
        Change::Candidate { entry, news } => put(db, options, realm, entry, news)?,
        Change::Gone(key) => {
            let sql = "UPDATE peers SET gone = 1, gone_at = ?3 WHERE realm = ?1 AND key = ?2";
            db.prepare(sql)?
                .execute(params![realm, key.to_string(), at])?;
        }
        Change::Ban(subject, ban) => {
            let sql = "INSERT OR REPLACE INTO bans (realm, subject, body) VALUES (?1, ?2, ?3)";
            let body = form::ban(subject, ban).to_string();
            db.prepare(sql)?
                .execute(params![realm, subject.to_string(), body])?;
        }
        Change::Unban(subject) => {
            let sql = "DELETE FROM bans WHERE realm = ?1 AND subject = ?2";
            db.prepare(sql)?
                .execute(params![realm, subject.to_string()])?;
        }
        Change::Anchors(keys) => anchors(db, realm, keys)?,
    }
    Ok(())
}

fn put(
    db: &Transaction<'_>,
    options: &Options,
    realm: i64,
    entry: &Entry,
    news: &[Event],
) -> rusqlite::Result<()> {
    let key = entry.key.to_string();
    let body = form::entry(entry).to_string();
    let select = "SELECT id, base, gone FROM peers WHERE realm = ?1 AND key = ?2";
    let known = db
        .prepare(select)?
        .query_row(params![realm, key], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (peer, base): (i64, i64) = match known {
        None => {
            let sql = "INSERT INTO peers (realm, key, body) VALUES (?1, ?2, ?3)";
            db.prepare(sql)?.execute(params![realm, key, body])?;
            (db.last_insert_rowid(), 0)
        }
        Some((peer, base, gone)) => {
            let gone: i64 = gone;
            // Back after it was let go: the book counts its events anew, the file goes on.
            let base = if gone == 1 {
                let sql = "SELECT COALESCE(MAX(number) + 1, 0) FROM history WHERE peer = ?1";
                db.prepare(sql)?.query_row([peer], |row| row.get(0))?
            } else {
                base
            };
            let sql = "UPDATE peers SET body = ?2, base = ?3, gone = 0 WHERE id = ?1";
            db.prepare(sql)?.execute(params![peer, body, base])?;
            (peer, base)
        }
    };
    let mut last = None;
    for event in news {
        let sql = "INSERT OR REPLACE INTO history (peer, number, body) VALUES (?1, ?2, ?3)";
        let number = i64::try_from(event.number).unwrap_or(i64::MAX);
        let number = base.saturating_add(number);
        let body = form::event(event).to_string();
        db.prepare(sql)?.execute(params![peer, number, body])?;
        last = last.max(Some(number));
    }
    if let Some(last) = last {
        let sql = "DELETE FROM history WHERE peer = ?1 AND number <= ?2";
        let oldest = last.saturating_sub(int(options.events));
        db.prepare(sql)?.execute(params![peer, oldest])?;
    }
    Ok(())
}

fn anchors(db: &Transaction<'_>, realm: i64, keys: &[Key]) -> rusqlite::Result<()> {
    db.execute("DELETE FROM anchors WHERE realm = ?1", [realm])?;
    for (rank, key) in keys.iter().enumerate() {
        let sql = "INSERT INTO anchors (realm, rank, key) VALUES (?1, ?2, ?3)";
        db.prepare(sql)?
            .execute(params![realm, int(rank), key.to_string()])?;
    }
    Ok(())
}

pub(crate) fn int(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! Reading, also while somebody else writes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use peerage_book::{Address, Ban, Event, Key, Snapshot, Standing, Story, Subject, Verdict};
use peerage_core::UnixTime;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use crate::apply::int;
use crate::error::{FormError, StoreError};
use crate::file;
use crate::form;
use crate::realm::Realm;

/// A file that is read. Others may read and one may write at the same time; what is read is as it
/// was at one moment.
pub struct Reader {
    path: PathBuf,
    db: Connection,
}

/// What was read of a realm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// For [`Book::import`](peerage_book::Book::import).
    pub snapshot: Snapshot,
    /// What could not be read, and why: the key or subject of each, at most 100 of them.
    pub damaged: Vec<(String, FormError)>,
}

impl Loaded {
    fn damaged(&mut self, what: &str, why: FormError) {
        const MOST: usize = 100;
        if self.damaged.len() < MOST {
            self.damaged.push((what.to_owned(), why));
        }
    }
}

/// Who is asked about.
enum Asked<'a> {
    Key(&'a Key),
    Ip(IpAddr),
}

/// Candidates of a realm that are known at an endpoint of this pattern.
const AT: &str = "SELECT id FROM peers WHERE realm = ?1 AND EXISTS (
    SELECT 1 FROM json_each(body, '$.spots') WHERE value ->> 'at' LIKE ?2) ORDER BY id";

/// The most events read of a peer for a book: more than any book keeps.
const EVENTS: usize = 256;

impl Reader {
    /// Opens a file for reading. Nothing is made, and nothing in it is changed.
    ///
    /// # Errors
    /// When there is none, it is not ours, of another version, or out of reach.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            db: file::open_to_read(path)?,
        })
    }

    /// Whether some process writes to the file: a daemon that runs. Sessions told of in a file that
    /// nobody writes to ended with the process that did.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn has_writer(&self) -> Result<bool, StoreError> {
        file::is_locked(&self.path)
    }

    /// The networks and chains of which there is something in the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn realms(&self) -> Result<Vec<Realm>, StoreError> {
        let read = || {
            let sql = "SELECT network, chain FROM realms ORDER BY network, chain";
            let mut statement = self.db.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                let (network, chain): (String, String) = (row.get(0)?, row.get(1)?);
                Ok(Realm {
                    network: network.into(),
                    chain: chain.into(),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<Realm>>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Everything of a realm that a book starts from. What cannot be read is named and left out.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn load(&self, realm: &Realm) -> Result<Loaded, StoreError> {
        self.load_rows(realm).map_err(|source| self.failed(source))
    }

    fn load_rows(&self, realm: &Realm) -> rusqlite::Result<Loaded> {
        let mut loaded = Loaded::default();
        // One moment for all tables.
        let moment = self.db.unchecked_transaction()?;
        let Some(realm) = self.realm_id(realm)? else {
            return Ok(loaded);
        };
        let sql = "SELECT subject, body FROM bans WHERE realm = ?1 ORDER BY subject";
        let mut statement = moment.prepare(sql)?;
        let mut rows = statement.query([realm])?;
        while let Some(row) = rows.next()? {
            let (subject, body): (String, String) = (row.get(0)?, row.get(1)?);
            match parse(&body).and_then(|body| form::to_ban(&body)) {
                Ok(ban) => loaded.snapshot.bans.push(ban),
                Err(why) => loaded.damaged(&subject, why),
            }
        }
        let sql =
            "SELECT id, key, body, base FROM peers WHERE realm = ?1 AND gone <> 1 ORDER BY id";
        let mut statement = moment.prepare(sql)?;
        let mut rows = statement.query([realm])?;
        while let Some(row) = rows.next()? {
            let (peer, key, body): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let base: i64 = row.get(3)?;
            match parse(&body).and_then(|body| form::to_entry(&body)) {
                Ok(entry) => {
                    let events = self.events(peer, base, EVENTS, &key, &mut loaded)?;
                    loaded.snapshot.entries.push((entry, events));
                }
                Err(why) => loaded.damaged(&key, why),
            }
        }
        let sql = "SELECT key FROM anchors WHERE realm = ?1 ORDER BY rank";
        let mut statement = moment.prepare(sql)?;
        let mut rows = statement.query([realm])?;
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            match key.parse() {
                Ok(anchor) => loaded.snapshot.anchors.push(anchor),
                Err(_) => loaded.damaged(&key, FormError::Field { field: "key" }),
            }
        }
        Ok(loaded)
    }

    /// The latest events of a peer from `base` on, oldest first, numbered from there.
    fn events(
        &self,
        peer: i64,
        base: i64,
        most: usize,
        key: &str,
        loaded: &mut Loaded,
    ) -> rusqlite::Result<Vec<Event>> {
        let sql = "SELECT number, body FROM history WHERE peer = ?1 AND number >= ?2
            ORDER BY number DESC LIMIT ?3";
        let mut statement = self.db.prepare(sql)?;
        let mut rows = statement.query(params![peer, base, int(most)])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let (number, body): (i64, String) = (row.get(0)?, row.get(1)?);
            match parse(&body).and_then(|body| form::to_event(&body)) {
                Ok(mut event) => {
                    event.number = u64::try_from(number.saturating_sub(base)).unwrap_or(0);
                    events.push(event);
                }
                Err(why) => loaded.damaged(key, why),
            }
        }
        events.reverse();
        Ok(events)
    }

    /// The whole story of a peer: by its key, or else of those known at this endpoint. Those that
    /// the book has let go have one too, and what they did in an earlier life is in it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn story(&self, realm: &Realm, key: &Key) -> Result<Vec<Story>, StoreError> {
        self.stories(realm, &Asked::Key(key))
            .map_err(|source| self.failed(source))
    }

    /// The same of everybody known at this address, whatever the port.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stories_at(&self, realm: &Realm, ip: IpAddr) -> Result<Vec<Story>, StoreError> {
        self.stories(realm, &Asked::Ip(ip.to_canonical()))
            .map_err(|source| self.failed(source))
    }

    fn stories(&self, realm: &Realm, asked: &Asked<'_>) -> rusqlite::Result<Vec<Story>> {
        let moment = self.db.unchecked_transaction()?;
        let Some(realm_id) = self.realm_id(realm)? else {
            return Ok(Vec::new());
        };
        let ids = match asked {
            Asked::Key(key) => {
                let sql = "SELECT id FROM peers WHERE realm = ?1 AND key = ?2";
                let ids = self.ids(sql, realm_id, &key.to_string())?;
                match key {
                    Key::Address(Address::At(endpoint)) if ids.is_empty() => {
                        self.ids(AT, realm_id, &endpoint.to_string())?
                    }
                    Key::Address(_) | Key::Identity(_) => ids,
                }
            }
            // The port follows; an address has no character that a pattern means otherwise.
            Asked::Ip(IpAddr::V4(ip)) => self.ids(AT, realm_id, &format!("{ip}:%"))?,
            Asked::Ip(IpAddr::V6(ip)) => self.ids(AT, realm_id, &format!("[{ip}]:%"))?,
        };
        let bans = self.bans_of(realm_id)?;
        let mut stories = Vec::new();
        let mut ignored = Loaded::default();
        for peer in ids {
            let sql = "SELECT body, gone, gone_at FROM peers WHERE id = ?1";
            let (body, gone, gone_at): (String, i64, i64) =
                moment.query_row(sql, [peer], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?;
            let Ok(entry) = parse(&body).and_then(|body| form::to_entry(&body)) else {
                continue;
            };
            let events = self.events(peer, 0, usize::MAX, "", &mut ignored)?;
            let standing = if gone != 0 {
                Standing::Gone {
                    at: UnixTime(gone_at),
                }
            } else if let Some((subject, ban)) = bans.iter().find(|(subject, _)| match subject {
                Subject::Identity(identity) => entry.key == Key::Identity(identity.clone()),
                Subject::Net(prefix) => {
                    let mut spots = entry.spots.iter();
                    spots.any(|spot| prefix.contains(spot.endpoint.ip()))
                }
            }) {
                Standing::Banned {
                    subject: subject.clone(),
                    ban: ban.clone(),
                }
            } else if let Verdict::Unfit(cause) = &entry.claims.verdict {
                Standing::Unfit(cause.clone())
            } else {
                Standing::Written {
                    at: entry.at,
                    until: entry.retry_at,
                }
            };
            stories.push(Story {
                entry,
                standing,
                events,
            });
        }
        Ok(stories)
    }

    fn ids(&self, sql: &str, realm: i64, text: &str) -> rusqlite::Result<Vec<i64>> {
        let mut statement = self.db.prepare(sql)?;
        let rows = statement.query_map(params![realm, text], |row| row.get(0))?;
        rows.collect()
    }

    fn bans_of(&self, realm: i64) -> rusqlite::Result<Vec<(Subject, Ban)>> {
        let sql = "SELECT body FROM bans WHERE realm = ?1";
        let mut statement = self.db.prepare(sql)?;
        let bodies = statement.query_map([realm], |row| row.get::<_, String>(0))?;
        let mut bans = Vec::new();
        for body in bodies {
            // One that cannot be read is named by `load`.
            bans.extend(parse(&body?).and_then(|body| form::to_ban(&body)).ok());
        }
        Ok(bans)
    }

    fn realm_id(&self, realm: &Realm) -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT id FROM realms WHERE network = ?1 AND chain = ?2";
        let names = params![&*realm.network, &*realm.chain];
        self.db.query_row(sql, names, |row| row.get(0)).optional()
    }

    /// Reads every page and every index of the file.
    ///
    /// # Errors
    /// When anything in it is damaged.
    pub fn check(&self) -> Result<(), StoreError> {
        let sql = "PRAGMA integrity_check(1)";
        let verdict = self.db.query_row(sql, [], |row| row.get::<_, String>(0));
        match verdict {
            Ok(verdict) if verdict == "ok" => Ok(()),
            Ok(_) => Err(StoreError::Corrupt {
                path: self.path.clone(),
                source: None,
            }),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, source)
    }
}

fn parse(body: &str) -> Result<Value, FormError> {
    serde_json::from_str(body).map_err(|_| FormError::NotJson)
}

//! Candidates as plain values: to be written down, shown, and read back with care.

use std::time::Duration;

use peerage_core::{Detail, Failure, Kind, PeerText, Stage, UnixTime};

use crate::bans::{Ban, Subject, TooManyBans};
use crate::book::Book;
use crate::candidate::{Candidate, Claims, Id, Phase, Role, Spot, bound_spots};
use crate::config::Names;
use crate::history::{Event, History, What};
use crate::key::{Address, Key, Name};
use crate::moment::{Now, later};
use crate::score::Score;
use crate::source::Source;
use crate::tip::Refused;

/// All that is known of a candidate, but for what happened with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Who.
    pub key: Key,
    /// What the operator decided.
    pub role: Role,
    /// A static peer's name.
    pub name: Option<Name>,
    /// Where.
    pub spots: Vec<Spot>,
    /// Who told of it, the first first.
    pub sources: Vec<Source>,
    /// What is claimed of it.
    pub claims: Claims,
    /// When it was heard of first.
    pub first_heard: UnixTime,
    /// When it was heard of last.
    pub last_heard: UnixTime,
    /// Dials.
    pub attempts: u32,
    /// Handshakes that finished, inbound ones too.
    pub successes: u32,
    /// Failures in a row.
    pub failures: u32,
    /// The last dial.
    pub last_attempt: Option<UnixTime>,
    /// The last time it was there after we dialled it.
    pub last_success: Option<UnixTime>,
    /// Time in sessions.
    pub online: Duration,
    /// Points, as of [`Self::at`].
    pub score: i64,
    /// What it calls itself.
    pub agent: Option<PeerText>,
    /// Not to be dialled before this.
    pub retry_at: Option<UnixTime>,
    /// When all this was so.
    pub at: UnixTime,
}

/// A book as plain values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Candidates, each with its last events, oldest first.
    pub entries: Vec<(Entry, Vec<Event>)>,
    /// Bans.
    pub bans: Vec<(Subject, Ban)>,
    /// Whom to dial first, the best first.
    pub anchors: Vec<Key>,
}

/// Why an entry was not read back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The candidate is in the book already.
    #[error("{key} is in the book already")]
    Known {
        /// Which.
        key: Key,
    },
    /// It cannot be dialled, is banned, or there is no room for it.
    #[error("{key} is not taken")]
    Refused {
        /// Which.
        key: Key,
        /// Why.
        #[source]
        why: Refused,
    },
    /// Its key is an endpoint that is not among its endpoints, or one of two.
    #[error("the endpoints of {key} are not its own")]
    Endpoints {
        /// Which.
        key: Key,
    },
    /// There is no room for a ban.
    #[error("the ban of {subject} is not taken")]
    Ban {
        /// Of whom.
        subject: Subject,
        /// Why.
        #[source]
        why: TooManyBans,
    },
}

impl Failure for ImportError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Known { .. } | Self::Endpoints { .. } => Kind::Usage,
            Self::Refused { why, .. } => why.kind(),
            Self::Ban { why, .. } => why.kind(),
        }
    }

    fn detail(&self) -> Detail {
        let key = match self {
            Self::Known { key } | Self::Refused { key, .. } | Self::Endpoints { key } => {
                key.to_string()
            }
            Self::Ban { subject, .. } => subject.to_string(),
        };
        Detail::none().with("key", PeerText::new(key.as_bytes()))
    }
}

/// What an import took and what not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// Candidates taken.
    pub candidates: usize,
    /// Bans taken.
    pub bans: usize,
    /// What was not taken, and why.
    pub refused: Vec<ImportError>,
}

impl Book {
    /// Everything, as plain values.
    pub fn snapshot(&self) -> Snapshot {
        let entries = self.candidates.iter().filter_map(|(id, candidate)| {
            let events = candidate.history.iter().cloned().collect();
            Some((self.entry(*id)?, events))
        });
        let bans = self.bans.iter();
        Snapshot {
            entries: entries.collect(),
            bans: bans.map(|(of, ban)| (of.clone(), ban.clone())).collect(),
            anchors: self.anchors.clone(),
        }
    }

    /// All that is known of a candidate, but for what happened with it.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.entry(*self.index.by_key.get(key)?)
    }

    /// All candidates, in the order in which they were heard of.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.candidates.keys().filter_map(|id| self.entry(*id))
    }

    pub(crate) fn entry(&self, id: Id) -> Option<Entry> {
        let candidate = self.candidates.get(&id)?;
        let retry_at = match candidate.phase {
            Phase::Waiting(until) => Some(self.wall_at(until)),
            Phase::Idle | Phase::Busy(_) => None,
        };
        let at = self.now.wall;
        Some(Entry {
            key: candidate.key.clone(),
            role: candidate.role,
            name: candidate.name.clone(),
            spots: candidate.spots.clone(),
            sources: candidate.sources.clone(),
            claims: candidate.claims.clone(),
            first_heard: candidate.first_heard,
            last_heard: candidate.last_heard,
            attempts: candidate.attempts,
            successes: candidate.successes,
            failures: candidate.failures,
            last_attempt: candidate.last_attempt,
            last_success: candidate.last_success,
            online: Duration::from_secs(candidate.online),
            score: candidate.score.at(at),
            agent: candidate.agent.clone(),
            retry_at,
            at,
        })
    }

    /// Reads a snapshot back into this book, by the same bounds and rules as anything else. A file
    /// may be old, edited or hostile: nothing in it can exceed a bound, name what cannot be dialled
    /// or lie in the future.
    ///
    /// What is read back is not news for a file; call [`Self::tell_all`] if the snapshot comes from
    /// another one.
    pub fn import(&mut self, now: Now, snapshot: Snapshot) -> Imported {
        self.read_in(now, snapshot, false)
    }

    /// The same for a book at work: what is taken is news for its file.
    pub fn take_in(&mut self, now: Now, snapshot: Snapshot) -> Imported {
        self.read_in(now, snapshot, true)
    }

    fn read_in(&mut self, now: Now, snapshot: Snapshot, is_news: bool) -> Imported {
        self.now = now;
        let mut imported = Imported::default();
        for (subject, mut ban) in snapshot.bans {
            ban.since = ban.since.min(now.wall);
            if ban.until.is_some_and(|until| until <= now.wall) {
                // It ended while nobody looked: the file is to hear of it.
                self.pending.ban(&subject);
                continue;
            }
            match self.bans.set(subject.clone(), ban, self.config.caps.bans) {
                Ok(gave_way) => {
                    imported.bans += 1;
                    if is_news {
                        self.pending.ban(&subject);
                    }
                    if let Some(gave_way) = gave_way {
                        self.pending.ban(&gave_way);
                    }
                }
                Err(why) => imported.refused.push(ImportError::Ban { subject, why }),
            }
        }
        for (entry, events) in snapshot.entries {
            match self.restore(entry, events, is_news) {
                Ok(()) => imported.candidates += 1,
                Err(error) => {
                    // What has no room any more does not stay in the file for ever.
                    if let ImportError::Refused { key, .. } = &error {
                        self.pending.unknown(key);
                    }
                    imported.refused.push(error);
                }
            }
        }
        for key in snapshot.anchors.into_iter().take(self.config.anchors) {
            if let Some(id) = self.index.by_key.get(&key).copied()
                && !self.anchors.contains(&key)
                && self.anchors.len() < self.config.anchors
            {
                self.anchors.push(key);
                let at = now.at;
                self.change_quietly(id, |candidate| {
                    candidate.anchor = true;
                    if matches!(candidate.phase, Phase::Waiting(_)) {
                        candidate.phase = Phase::Waiting(at);
                    }
                });
            }
        }
        imported
    }

    /// Sessions that were open when what was read back was written ended with that process: each
    /// gets a [`What::Cut`], which the file is to hear of. Returns how many there were.
    ///
    /// For whoever starts a node; a process that still runs has its sessions.
    pub fn cut_sessions(&mut self, now: Now) -> usize {
        self.now = now;
        let open = self.candidates.iter().filter(|(_, candidate)| {
            !matches!(candidate.phase, Phase::Busy(_)) && candidate.history.is_open()
        });
        let open: Vec<Id> = open.map(|(id, _)| *id).collect();
        let events = self.config.caps.events;
        for id in &open {
            self.change(*id, |candidate| {
                candidate.history.push(now.wall, What::Cut, events);
            });
        }
        open.len()
    }

    fn restore(
        &mut self,
        entry: Entry,
        events: Vec<Event>,
        is_news: bool,
    ) -> Result<(), ImportError> {
        let now = self.now;
        let key = entry.key.clone();
        let refused = |why| ImportError::Refused {
            key: entry.key.clone(),
            why,
        };
        if self.index.by_key.contains_key(&key) {
            return Err(ImportError::Known { key });
        }
        let sound = match &entry.key {
            Key::Address(Address::At(endpoint)) => {
                entry.spots.len() == 1 && entry.spots[0].endpoint == *endpoint
            }
            Key::Address(Address::Named(name)) => {
                entry.role.is_pinned() && entry.name.as_ref() == Some(name)
            }
            Key::Identity(_) => true,
        };
        if !sound {
            return Err(ImportError::Endpoints { key });
        }
        // The operator may name any address, whoever else told of it.
        let told = entry.sources.iter().find(|source| source.is_stranger());
        let by_operator = entry.role.is_pinned() || entry.sources.contains(&Source::Operator);
        let told = match told {
            Some(stranger) if !by_operator => stranger.clone(),
            None if !by_operator => Source::List("import".into()),
            _ => Source::Operator,
        };
        for spot in &entry.spots {
            self.judge(spot.endpoint, &told).map_err(refused)?;
        }
        if entry.role.is_pinned() && self.index.pinned_len >= self.config.caps.pinned {
            return Err(refused(Refused::Full));
        }
        let caps = self.config.caps;
        let past = |time: UnixTime| time.min(now.wall);
        let mut candidate = Candidate::fresh(key.clone(), now.wall, self.random.next());
        candidate.role = entry.role;
        candidate.resolve_at = match (&entry.name, self.config.names) {
            (Some(_), Names::Resolve) if entry.role.is_pinned() => Some(now.at),
            _ => None,
        };
        candidate.name = entry.name.clone();
        let mut spots: Vec<Spot> = Vec::new();
        for spot in &entry.spots {
            if !spots.iter().any(|known| known.endpoint == spot.endpoint) {
                spots.push(Spot {
                    heard: past(spot.heard),
                    verified: spot.verified.map(past),
                    ..*spot
                });
            }
        }
        bound_spots(&mut spots, caps.endpoints);
        candidate.spots = spots;
        let sources = entry.sources.iter().take(caps.sources);
        candidate.sources = sources.map(|source| source.clone().bounded()).collect();
        if candidate.sources.is_empty() {
            candidate.sources.push(Source::List("import".into()));
        }
        candidate.payer = candidate.sources[0].group(self.config.grouping);
        candidate.claims = entry.claims.clone();
        candidate.first_heard = past(entry.first_heard);
        candidate.last_heard = past(entry.last_heard);
        candidate.attempts = entry.attempts;
        candidate.successes = entry.successes;
        candidate.failures = entry.failures;
        candidate.last_attempt = entry.last_attempt.map(past);
        candidate.last_success = entry.last_success.map(past);
        candidate.online = entry.online.as_secs();
        candidate.score = Score::restored(entry.score, past(entry.at));
        candidate.agent = entry.agent.clone();
        if let Some(retry_at) = entry.retry_at {
            let left = retry_at.0.saturating_sub(now.wall.0).max(0);
            let left = Duration::from_secs(u64::try_from(left).unwrap_or(0));
            let until = later(now.at, left.min(self.config.backoff.never));
            candidate.phase = Phase::Waiting(until);
            let met = events.last().is_some_and(|event| event.what.is_ourselves());
            if let (true, Some(Address::At(at))) = (met, candidate.best(self.config.names)) {
                self.note_own(at, until);
            }
        }
        candidate.history = History::restored(events, caps.events);
        if is_news {
            candidate.history.forget_kept();
        }
        self.make_room(&candidate).map_err(refused)?;
        let tried = candidate.is_tried();
        let id = self.put(candidate);
        if !is_news {
            self.pending.known(id);
        }
        if tried {
            self.bound_tried(id);
        }
        Ok(())
    }
}

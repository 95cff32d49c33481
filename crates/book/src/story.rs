//! Why a peer is here or not: everything about one, in words.

use std::fmt;

use peerage_core::UnixTime;

use crate::bans::{Ban, Subject};
use crate::book::{Barred, Book};
use crate::candidate::{Candidate, Id, Phase, Verdict};
use crate::cause::Cause;
use crate::history::{Event, open_session};
use crate::key::{Address, Key};
use crate::snapshot::Entry;

/// What stands between a candidate and us now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// There is a session.
    Connected,
    /// It is being dialled.
    Dialling,
    /// It may be dialled, and will be when its turn comes.
    Ready,
    /// Who answers there is this node itself.
    Ourselves {
        /// When that is tried again.
        until: UnixTime,
    },
    /// It is in its backoff.
    Waiting {
        /// Until then.
        until: UnixTime,
    },
    /// Its own claims exclude it.
    Unfit(Cause),
    /// A ban keeps it away.
    Banned {
        /// Of whom.
        subject: Subject,
        /// The ban.
        ban: Ban,
    },
    /// There is a list of those permitted, and it is not on it.
    NotPermitted,
    /// Nobody knows where it is.
    Nowhere,
    /// It was let go.
    Gone {
        /// When.
        at: UnixTime,
    },
    /// Nothing is known of the present: this was read from a file.
    Written {
        /// When it was written last.
        at: UnixTime,
        /// Its backoff then, if it was in one.
        until: Option<UnixTime>,
    },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Dialling => f.write_str("being dialled"),
            Self::Ready => f.write_str("may be dialled and waits for its turn"),
            Self::Ourselves { until } => {
                write!(f, "this node itself, not dialled before {until}")
            }
            Self::Waiting { until } => write!(f, "not dialled before {until}"),
            Self::Unfit(cause) => write!(f, "never dialled, by its own claims: {cause}"),
            Self::Banned { subject, ban } => write!(f, "{subject} is {ban}"),
            Self::NotPermitted => f.write_str("not in the ranges permitted"),
            Self::Nowhere => f.write_str("not dialled: nobody knows where it is"),
            Self::Gone { at } => write!(f, "let go at {at}"),
            Self::Written {
                at,
                until: Some(until),
            } => write!(f, "as written at {at}, not dialled before {until}"),
            Self::Written { at, until: None } => write!(f, "as written at {at}"),
        }
    }
}

/// The whole story of one candidate. Its text form is for people, a line for each thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// What is known.
    pub entry: Entry,
    /// What stands between it and us now.
    pub standing: Standing,
    /// What happened, oldest first. Of a long story the book has the end, and the file more.
    pub events: Vec<Event>,
}

impl Story {
    /// The greeting of the session that lasts, as far as this story goes. Read from a file, it only
    /// lasts if the node that wrote the file still runs.
    pub fn session(&self) -> Option<&Event> {
        open_session(self.events.iter())
    }

    /// Whether the last thing that happened is that we met ourselves there.
    pub fn is_ourselves(&self) -> bool {
        let last = self.events.last();
        last.is_some_and(|event| event.what.is_ourselves())
    }

    /// The last thing that went wrong.
    pub fn last_cause(&self) -> Option<&Cause> {
        use crate::history::What;
        self.events
            .iter()
            .rev()
            .find_map(|event| match &event.what {
                What::Failed { cause, .. }
                | What::Excused { cause, .. }
                | What::Unfit(cause)
                | What::Left { cause, .. }
                | What::Unresolved(cause) => Some(cause),
                What::Heard(_)
                | What::Fit
                | What::Greeted { .. }
                | What::Cut
                | What::Banned(_)
                | What::Unbanned
                | What::Resolved { .. } => None,
            })
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = &self.entry;
        writeln!(f, "{}, {}", entry.key, entry.role.name())?;
        writeln!(f, "now: {}", self.standing)?;
        if let Some(name) = &entry.name {
            writeln!(f, "name: {name}")?;
        }
        for spot in &entry.spots {
            write!(f, "at: {}", spot.endpoint)?;
            match spot.verified {
                Some(at) => write!(f, ", proven at {at}")?,
                None => f.write_str(", never proven")?,
            }
            match spot.failures {
                0 => writeln!(f)?,
                failures => writeln!(f, ", {failures} failures since")?,
            }
        }
        for source in &entry.sources {
            writeln!(f, "told by: {source}")?;
        }
        if let Some(services) = entry.claims.services {
            writeln!(f, "services: {services:#x}")?;
        }
        if let Some(agent) = &entry.agent {
            writeln!(f, "calls itself: {agent}")?;
        }
        writeln!(
            f,
            "{} dials, {} handshakes, {} failures in a row, {} s in sessions, {} points",
            entry.attempts,
            entry.successes,
            entry.failures,
            entry.online.as_secs(),
            entry.score
        )?;
        writeln!(f, "{} heard of first", entry.first_heard)?;
        for event in &self.events {
            write!(f, "{} {}", event.first, event.what)?;
            if event.times > 1 {
                write!(f, "; {} times, last at {}", event.times, event.last)?;
            }
            writeln!(f)?;
        }
        if let Some(kind) = self.last_cause().map(|cause| cause.kind) {
            writeln!(f, "that means: {}", kind.advice())?;
        }
        Ok(())
    }
}

impl Book {
    /// The story of the candidate with this key, or else of those that are or were dialled at this
    /// endpoint.
    pub fn story(&self, key: &Key) -> Vec<Story> {
        let ids: Vec<Id> = match (self.index.by_key.get(key), key) {
            (Some(id), _) => vec![*id],
            (None, Key::Address(Address::At(endpoint))) => {
                let here = |id: &Id| {
                    let candidate = self.candidates.get(id);
                    candidate.is_some_and(|candidate| {
                        let mut spots = candidate.spots.iter();
                        spots.any(|spot| spot.endpoint == *endpoint)
                    })
                };
                self.index.at_ip(endpoint.ip()).filter(here).collect()
            }
            (None, _) => Vec::new(),
        };
        ids.into_iter()
            .filter_map(|id| {
                let candidate = self.candidates.get(&id)?;
                Some(Story {
                    entry: self.entry(id)?,
                    standing: self.standing(candidate),
                    events: candidate.history.iter().cloned().collect(),
                })
            })
            .collect()
    }

    pub(crate) fn standing(&self, candidate: &Candidate) -> Standing {
        if let Phase::Busy(dial) = candidate.phase {
            let greeted = self.open.is_greeted(dial);
            return if greeted {
                Standing::Connected
            } else {
                Standing::Dialling
            };
        }
        if let Verdict::Unfit(cause) = &candidate.claims.verdict {
            return Standing::Unfit(cause.clone());
        }
        let Some(address) = candidate.best(self.config.names) else {
            return Standing::Nowhere;
        };
        let identity = match &candidate.key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        let ip = match &address {
            Address::At(endpoint) => Some(endpoint.ip()),
            Address::Named(_) => None,
        };
        match (self.bar(identity, ip, candidate.role), candidate.phase) {
            (Some(Barred::Banned(subject, ban)), _) => Standing::Banned { subject, ban },
            (Some(Barred::NotPermitted), _) => Standing::NotPermitted,
            (None, Phase::Waiting(until)) => {
                let until = self.wall_at(until);
                match address {
                    Address::At(at) if self.is_ours(at) => Standing::Ourselves { until },
                    Address::At(_) | Address::Named(_) => Standing::Waiting { until },
                }
            }
            (None, Phase::Idle | Phase::Busy(_)) => Standing::Ready,
        }
    }
}

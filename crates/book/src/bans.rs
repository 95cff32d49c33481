//! Whom we have nothing to do with, and, if there is a list, with whom alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use peerage_core::{Detail, Failure, Kind, Stage, UnixTime};

use crate::cause::cut;
use crate::key::Identity;
use crate::prefix::Prefix;

/// Whom a ban concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A node, wherever it is.
    Identity(Identity),
    /// Addresses, whoever is there.
    Net(Prefix),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(identity) => identity.fmt(f),
            Self::Net(prefix) => prefix.fmt(f),
        }
    }
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// The operator. Never makes room for another ban, and holds for trusted peers too.
    Operator,
    /// This node, for something the peer did.
    Node,
}

impl By {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Node => "node",
        }
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who decided.
    pub by: By,
    /// When.
    pub since: UnixTime,
    /// When it ends by itself; `None` for never. By the calendar: a clock that jumps ahead ends
    /// bans early.
    pub until: Option<UnixTime>,
    /// Why, at most 240 bytes: the operator's words or those of a reason.
    pub words: Box<str>,
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "banned by the {} at {}", self.by.name(), self.since)?;
        match self.until {
            Some(until) => write!(f, " until {until}")?,
            None => f.write_str(" for good")?,
        }
        write!(f, ": {}", self.words.escape_default())
    }
}

/// There is no room for another ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} bans are in force and none may give way: lift some, or ban a wider range")]
pub struct TooManyBans {
    /// The limit.
    pub limit: usize,
}

impl Failure for TooManyBans {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Full
    }

    fn detail(&self) -> Detail {
        Detail::none().with("limit", self.limit)
    }
}

/// Bans by identity and by address range, with what it takes to find the one that concerns an
/// address in a look-up for each prefix length in use: at most 33 or 129, mostly two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bans {
    all: BTreeMap<Subject, Ban>,
    /// How many ranges there are of each length, of IPv4 (false) and IPv6 (true).
    lengths: BTreeMap<(bool, u8), usize>,
    /// Those that end, soonest first.
    ends: BTreeSet<(UnixTime, Subject)>,
    /// Those that may give way to others: the node's own, soonest to end first, those for good last.
    yields: BTreeSet<(UnixTime, Subject)>,
}

impl Bans {
    /// The ban that concerns this identity or this address, the identity's first, then the widest
    /// range's.
    pub fn find(&self, identity: Option<&Identity>, ip: Option<IpAddr>) -> Option<(Subject, &Ban)> {
        self.find_where(identity, ip, |_| true)
    }

    pub(crate) fn find_where(
        &self,
        identity: Option<&Identity>,
        ip: Option<IpAddr>,
        holds: impl Fn(&Ban) -> bool,
    ) -> Option<(Subject, &Ban)> {
        let by_identity = identity.map(|identity| Subject::Identity(identity.clone()));
        let ip = ip.map(|ip| ip.to_canonical());
        let nets = ip.into_iter().flat_map(|ip| {
            let family = (ip.is_ipv6(), 0)..=(ip.is_ipv6(), 128);
            let lengths = self.lengths.range(family);
            lengths.map(move |((_, len), _)| Subject::Net(Prefix::around(ip, *len)))
        });
        let mut subjects = by_identity.into_iter().chain(nets);
        subjects.find_map(|subject| {
            let ban = self.all.get(&subject)?;
            holds(ban).then_some((subject, ban))
        })
    }

    /// The ban of exactly this subject.
    pub fn of(&self, subject: &Subject) -> Option<&Ban> {
        self.all.get(subject)
    }

    /// All of them, identities first, then by range.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &Ban)> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When the next one ends.
    pub(crate) fn next_end(&self) -> Option<UnixTime> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Sets a ban in place of the subject's earlier one. Returns what gave way to it.
    pub(crate) fn set(
        &mut self,
        subject: Subject,
        mut ban: Ban,
        limit: usize,
    ) -> Result<Option<Subject>, TooManyBans> {
        ban.words = cut(&ban.words).into();
        let mut gave_way = None;
        if !self.all.contains_key(&subject) && self.all.len() >= limit {
            let Some((_, first)) = self.yields.first().cloned() else {
                return Err(TooManyBans { limit });
            };
            self.lift(&first);
            gave_way = Some(first);
        }
        self.lift(&subject);
        if let Subject::Net(prefix) = &subject {
            *self.lengths.entry(length(prefix)).or_default() += 1;
        }
        if let Some(until) = ban.until {
            self.ends.insert((until, subject.clone()));
        }
        if ban.by == By::Node {
            self.yields.insert((end(&ban), subject.clone()));
        }
        self.all.insert(subject, ban);
        Ok(gave_way)
    }

    /// Lifts the ban of exactly this subject.
    pub(crate) fn lift(&mut self, subject: &Subject) -> Option<Ban> {
        let ban = self.all.remove(subject)?;
        if let Subject::Net(prefix) = subject
            && let Some(count) = self.lengths.get_mut(&length(prefix))
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length(prefix));
            }
        }
        if let Some(until) = ban.until {
            self.ends.remove(&(until, subject.clone()));
        }
        self.yields.remove(&(end(&ban), subject.clone()));
        Some(ban)
    }

    /// One that has ended by now, if any.
    pub(crate) fn ended(&self, now: UnixTime) -> Option<Subject> {
        let (until, subject) = self.ends.first()?;
        (*until <= now).then(|| subject.clone())
    }

    pub(crate) fn rebuilt(&self) -> Self {
        let mut bans = Self::default();
        for (subject, ban) in &self.all {
            // As many as there are fit.
            let _fits = bans.set(subject.clone(), ban.clone(), usize::MAX);
        }
        bans
    }
}

const fn end(ban: &Ban) -> UnixTime {
    match ban.until {
        Some(until) => until,
        None => UnixTime(i64::MAX),
    }
}

fn length(prefix: &Prefix) -> (bool, u8) {
    (prefix.addr().is_ipv6(), prefix.bits())
}

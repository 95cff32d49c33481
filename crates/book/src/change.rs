//! What a file is to be told, in a queue as long as the book at most.

use std::collections::BTreeSet;

use crate::bans::{Ban, Subject};
use crate::book::Book;
use crate::candidate::Id;
use crate::history::Event;
use crate::key::Key;
use crate::snapshot::Entry;

/// What changed since the file was told last. Applied in order, changes make the file equal to the
/// book; each holds the whole new state, so applying one twice does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Too much changed to be told piece by piece: forget everything, all of it follows.
    Reset,
    /// A candidate is new or has changed.
    Candidate {
        /// What is known of it, but for its history.
        entry: Box<Entry>,
        /// What happened since it was told last. An event that was told before may come again, with
        /// a later time and a higher count.
        news: Vec<Event>,
    },
    /// A candidate was let go. What happened with it may be kept.
    Gone(Key),
    /// A ban is new or has changed.
    Ban(Subject, Ban),
    /// A ban was lifted or has ended.
    Unban(Subject),
    /// These are the anchors now, the best first.
    Anchors(Vec<Key>),
}

/// What the file has not been told. Only names of things: their state is read when they are told,
/// so that what changes often is told once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    dirty: BTreeSet<Id>,
    gone: BTreeSet<Key>,
    bans: BTreeSet<Subject>,
    pub(crate) anchors: bool,
    reset: bool,
    /// Nobody reads: nothing is noted.
    off: bool,
}

/// More than this, and starting over is cheaper.
const MOST_GONE: usize = 20_000;

impl Pending {
    pub(crate) fn dirty(&mut self, id: Id, key: &Key) {
        if !self.off {
            self.gone.remove(key);
            self.dirty.insert(id);
        }
    }

    /// The file has it as it is.
    pub(crate) fn known(&mut self, id: Id) {
        self.dirty.remove(&id);
    }

    pub(crate) fn gone(&mut self, id: Id, key: &Key) {
        self.dirty.remove(&id);
        self.unknown(key);
    }

    /// The file may have what the book has not.
    pub(crate) fn unknown(&mut self, key: &Key) {
        if !self.off && !self.reset {
            self.gone.insert(key.clone());
            self.bound();
        }
    }

    pub(crate) fn ban(&mut self, subject: &Subject) {
        if !self.off && !self.reset {
            self.bans.insert(subject.clone());
            self.bound();
        }
    }

    fn bound(&mut self) {
        if self.gone.len() + self.bans.len() > 2 * MOST_GONE {
            self.gone.clear();
            self.reset = true;
        }
    }
}

impl Book {
    /// What the file is to be told next.
    pub fn poll_change(&mut self) -> Option<Change> {
        if std::mem::take(&mut self.pending.reset) {
            self.all_is_news();
            return Some(Change::Reset);
        }
        if let Some(subject) = self.pending.bans.pop_first() {
            return Some(match self.bans.of(&subject) {
                Some(ban) => Change::Ban(subject, ban.clone()),
                None => Change::Unban(subject),
            });
        }
        if let Some(key) = self.pending.gone.pop_first() {
            return Some(Change::Gone(key));
        }
        if let Some(id) = self.pending.dirty.pop_first()
            && let Some(candidate) = self.candidates.get_mut(&id)
        {
            let news = candidate.history.take_news();
            let entry = Box::new(self.entry(id)?);
            return Some(Change::Candidate { entry, news });
        }
        std::mem::take(&mut self.pending.anchors).then(|| Change::Anchors(self.anchors.clone()))
    }

    /// The file has failed or is a new one: everything is told again, after a [`Change::Reset`].
    pub fn tell_all(&mut self) {
        self.pending.off = false;
        self.pending.reset = true;
    }

    /// There is no file: nothing is noted for one until [`Self::tell_all`].
    pub fn tell_none(&mut self) {
        self.pending = Pending {
            off: true,
            ..Pending::default()
        };
    }

    fn all_is_news(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.history.forget_kept();
        }
        self.pending.dirty = self.candidates.keys().copied().collect();
        self.pending.gone.clear();
        self.pending.bans = self
            .bans
            .iter()
            .map(|(subject, _)| subject.clone())
            .collect();
        self.pending.anchors = true;
    }
}

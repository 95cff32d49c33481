//! What can be shown of the whole book: figures, and its candidates page by page.

use std::ops::Bound;

use crate::book::Book;
use crate::candidate::{Candidate, Phase};
use crate::key::Key;
use crate::snapshot::Entry;
use crate::story::Standing;

/// How many candidates are looked at for one page, at the most; a few milliseconds.
const LOOKED_AT: usize = 2_048;

/// Which candidates are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Which {
    /// All of them.
    #[default]
    All,
    /// Those that greeted us after we dialled them.
    Tried,
    /// Those that did not.
    New,
    /// Static and trusted ones.
    Pinned,
    /// Those with a dial or a session.
    Busy,
    /// Those that may be dialled, bans and what is occupied left aside.
    Ready,
    /// Those in their backoff.
    Waiting,
    /// Those that their own claims exclude.
    Unfit,
}

impl Which {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::All,
        Self::Tried,
        Self::New,
        Self::Pinned,
        Self::Busy,
        Self::Ready,
        Self::Waiting,
        Self::Unfit,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tried => "tried",
            Self::New => "new",
            Self::Pinned => "pinned",
            Self::Busy => "busy",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Unfit => "unfit",
        }
    }

    const fn is(self, candidate: &Candidate) -> bool {
        match self {
            Self::All => true,
            Self::Tried => candidate.is_tried() && !candidate.role.is_pinned(),
            Self::New => !candidate.is_tried() && !candidate.role.is_pinned(),
            Self::Pinned => candidate.role.is_pinned(),
            Self::Busy => matches!(candidate.phase, Phase::Busy(_)),
            Self::Ready => matches!(candidate.phase, Phase::Idle) && !candidate.is_unfit(),
            Self::Waiting => matches!(candidate.phase, Phase::Waiting(_)),
            Self::Unfit => candidate.is_unfit(),
        }
    }
}

/// Some candidates, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Each with what stands between it and us now.
    pub listed: Vec<(Entry, Standing)>,
    /// Where to go on; `None` when there are no more. A page may be empty and not be the last.
    pub next: Option<Key>,
}

/// The book in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// All candidates.
    pub known: usize,
    /// Static and trusted ones; left out in the next two.
    pub pinned: usize,
    /// Those that greeted us after we dialled them.
    pub tried: usize,
    /// Those that did not.
    pub new: usize,
    /// Those that may be dialled now, bans and what is occupied left aside.
    pub ready: usize,
    /// Those in their backoff.
    pub waiting: usize,
    /// Dials under way.
    pub dialling: usize,
    /// Sessions.
    pub connected: usize,
    /// Bans in force.
    pub bans: usize,
    /// Addresses known to be our own.
    pub own: usize,
    /// Whether nothing works at present, which is nobody's fault.
    pub is_outage: bool,
}

impl Book {
    /// Up to `most` candidates with keys above `after`. Ask again with [`Page::next`]; what changes
    /// between two pages may be missed or shown in its new state.
    pub fn page(&self, which: Which, after: Option<&Key>, most: usize) -> Page {
        let most = most.max(1);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.index.by_key.range::<Key, _>((from, Bound::Unbounded));
        let mut page = Page::default();
        let mut last = None;
        for (looked_at, (key, id)) in keys.enumerate() {
            if page.listed.len() >= most || looked_at >= LOOKED_AT {
                page.next = last.or(after).cloned();
                break;
            }
            last = Some(key);
            if let Some(candidate) = self.candidates.get(id)
                && which.is(candidate)
                && let Some(entry) = self.entry(*id)
            {
                page.listed.push((entry, self.standing(candidate)));
            }
        }
        page
    }

    /// The book in numbers.
    pub fn figures(&self) -> Figures {
        let connected = self.open.iter().filter(|(_, open)| open.greeted).count();
        Figures {
            known: self.candidates.len(),
            pinned: self.index.pinned_len,
            tried: self.index.tried.len(),
            new: self.index.new_len,
            ready: self.ready(),
            waiting: self.index.waiting.len(),
            dialling: self.open.len() - connected,
            connected,
            bans: self.bans.len(),
            own: self
                .own
                .iter()
                .filter(|(_, until)| *until > self.now.at)
                .count(),
            is_outage: self.outage.is_on(),
        }
    }
}

//! What happened with one candidate, newest last, bounded.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use peerage_core::{Direction, Kind, PeerText, UnixTime};

use crate::cause::Cause;
use crate::key::Address;
use crate::source::Source;

/// One thing that happened, or one that happened several times in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Grows by one with each event of a candidate; tells what a file has already.
    pub number: u64,
    /// When it happened first.
    pub first: UnixTime,
    /// When it happened last.
    pub last: UnixTime,
    /// How often.
    pub times: u32,
    /// What.
    pub what: What,
}

/// What can happen with a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Somebody told us of it.
    Heard(Source),
    /// A dial failed.
    Failed {
        /// Where we dialled.
        address: Address,
        /// Why it failed.
        cause: Cause,
    },
    /// A dial failed while nothing worked, which is nobody's fault.
    Excused {
        /// Where we dialled; `None` for a session that was lost.
        address: Option<Address>,
        /// What failed.
        cause: Cause,
    },
    /// What it claims of itself excludes it.
    Unfit(Cause),
    /// What it claims of itself excludes it no longer.
    Fit,
    /// A handshake finished.
    Greeted {
        /// Who dialled.
        direction: Direction,
        /// What it calls itself.
        agent: PeerText,
    },
    /// A session ended.
    Left {
        /// How long it lasted, to the second.
        lasted: Duration,
        /// Why it ended.
        cause: Cause,
    },
    /// A session was open when our node ended without saying goodbye, killed or by a power cut.
    /// When it ended is not known, only when that was noticed; it counts for nothing.
    Cut,
    /// It was banned, and why.
    Banned(Box<str>),
    /// Its ban was lifted.
    Unbanned,
    /// Its name has other addresses than before.
    Resolved {
        /// How many.
        addresses: u32,
    },
    /// Its name could not be resolved.
    Unresolved(Cause),
}

impl What {
    /// Whether a dial ended at ourselves.
    pub(crate) const fn is_ourselves(&self) -> bool {
        matches!(self, Self::Failed { cause, .. } if matches!(cause.kind, Kind::SelfConnection))
    }

    /// Whether this only repeats `before`, so that both are one event.
    fn repeats(&self, before: &Self) -> bool {
        match (self, before) {
            (
                Self::Failed { address, cause },
                Self::Failed {
                    address: other,
                    cause: was,
                },
            ) => address == other && alike(cause, was),
            (Self::Excused { cause, .. }, Self::Excused { cause: was, .. })
            | (Self::Unresolved(cause), Self::Unresolved(was))
            | (Self::Unfit(cause), Self::Unfit(was)) => alike(cause, was),
            _ => false,
        }
    }
}

/// The greeting of a session whose end is not among these.
pub(crate) fn open_session<'a>(
    mut events: impl DoubleEndedIterator<Item = &'a Event>,
) -> Option<&'a Event> {
    let last = events.rfind(|event| match &event.what {
        What::Greeted { .. } | What::Left { .. } | What::Cut => true,
        // A second connection with a peer that is here tells nothing of the first.
        What::Failed { cause, .. } | What::Excused { cause, .. } => {
            cause.kind != Kind::AlreadyConnected
        }
        What::Heard(_)
        | What::Unfit(_)
        | What::Fit
        | What::Banned(_)
        | What::Unbanned
        | What::Resolved { .. }
        | What::Unresolved(_) => false,
    });
    last.filter(|event| matches!(event.what, What::Greeted { .. }))
}

fn alike(one: &Cause, other: &Cause) -> bool {
    one.kind == other.kind && one.stage == other.stage
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard(source) => write!(f, "heard of from {source}"),
            Self::Failed { address, cause } => write!(f, "dialled at {address}: {cause}"),
            Self::Excused {
                address: Some(address),
                cause,
            } => write!(f, "dialled at {address} while nothing worked: {cause}"),
            Self::Excused {
                address: None,
                cause,
            } => write!(f, "session lost when nothing worked: {cause}"),
            Self::Unfit(cause) => write!(f, "not to be dialled by its own claims: {cause}"),
            Self::Fit => f.write_str("its claims exclude it no longer"),
            Self::Greeted { direction, agent } => write!(f, "greeted, {direction}, {agent}"),
            Self::Left { lasted, cause } => {
                write!(f, "session ended after {} s: {cause}", lasted.as_secs())
            }
            Self::Cut => f.write_str(
                "our node had ended without saying goodbye, and the session with it; noticed when \
                 it started again",
            ),
            Self::Banned(words) => write!(f, "banned: {}", words.escape_default()),
            Self::Unbanned => f.write_str("no longer banned"),
            Self::Resolved { addresses } => write!(f, "its name has {addresses} addresses"),
            Self::Unresolved(cause) => write!(f, "its name was not resolved: {cause}"),
        }
    }
}

/// The last events of one candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    events: VecDeque<Event>,
    next: u64,
    /// Events before this number are in the file, as they are.
    kept: u64,
}

impl History {
    pub(crate) fn restored(events: Vec<Event>, most: usize) -> Self {
        let next = events
            .last()
            .map_or(0, |event| event.number.saturating_add(1));
        let mut events = VecDeque::from(events);
        while events.len() > most {
            events.pop_front();
        }
        Self {
            events,
            next,
            kept: next,
        }
    }

    pub(crate) fn push(&mut self, at: UnixTime, what: What, most: usize) {
        if self.events.is_empty() {
            // Most candidates are only ever heard of.
            self.events.reserve_exact(1);
        }
        if let Some(last) = self.events.back_mut()
            && what.repeats(&last.what)
        {
            last.last = at;
            last.times = last.times.saturating_add(1);
            last.what = what;
            self.kept = self.kept.min(last.number);
            return;
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        if self.events.len() >= most {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            number,
            first: at,
            last: at,
            times: 1,
            what,
        });
    }

    /// Whether a session has begun whose end is not told.
    pub(crate) fn is_open(&self) -> bool {
        open_session(self.events.iter()).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// The events that the file has not, and from now on has.
    pub(crate) fn take_news(&mut self) -> Vec<Event> {
        let kept = std::mem::replace(&mut self.kept, self.next);
        let news = self.events.iter().filter(|event| event.number >= kept);
        news.cloned().collect()
    }

    /// The file was lost: everything is news again.
    pub(crate) const fn forget_kept(&mut self) {
        self.kept = 0;
    }
}

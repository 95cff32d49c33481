//! When to survey again: the network changed, we are seen elsewhere, the result is old, or there is
//! none yet.
//!
//! Behind the same router the address outside can change without a sign: a line that is dialled
//! anew each night, a carrier's NAT. So between surveys one server is asked one question now and
//! then, a **glance**: where it sees us.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::Wakeup;

use crate::survey::Report;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchRules {
    /// How long a full result counts. 30 min.
    pub interval: Duration,
    /// When to ask again after a result that leaves something unknown. 30 s, doubled each time.
    pub retry: Duration,
    /// The longest such wait. 10 min.
    pub max_retry: Duration,
    /// How long the network must have been as it is. 2 s: addresses come one after another.
    pub settle: Duration,
    /// How often to glance. 60 s: two datagrams of some 60 bytes, and whoever is dialled at an old
    /// address is missed for a minute at most.
    pub glance: Duration,
    /// The least time between two surveys because of glances. 5 min: a NAT with many addresses
    /// outside shows another one each time.
    pub moved_pause: Duration,
}

impl Default for WatchRules {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30 * 60),
            retry: Duration::from_secs(30),
            max_retry: Duration::from_secs(10 * 60),
            settle: Duration::from_secs(2),
            glance: Duration::from_secs(60),
            moved_pause: Duration::from_secs(5 * 60),
        }
    }
}

/// Where we are attached: what a change of the network changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// Our address on the way out.
    pub local: IpAddr,
    /// The router on the way out, if the system tells.
    pub gateway: Option<IpAddr>,
}

/// Why a survey is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// There was none.
    First,
    /// We are attached elsewhere.
    NetworkChanged,
    /// A glance saw us elsewhere than the last survey.
    Moved,
    /// The last left something unknown.
    Unknown,
    /// The last is old.
    Old,
}

impl Due {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::First => "there was none yet",
            Self::NetworkChanged => "the network changed",
            Self::Moved => "we are seen at another address",
            Self::Unknown => "the last left something unknown",
            Self::Old => "the last is old",
        }
    }
}

/// Knows the last result, and when the next is wanted.
///
/// While nothing is attached nothing is due, and a result of another attachment is no result: it is
/// forgotten with the first sign of the change.
#[derive(Clone, Debug)]
pub struct Watch {
    rules: WatchRules,
    attachment: Option<Attachment>,
    changed_at: Option<Instant>,
    is_running: bool,
    /// The network changed while a survey ran: what it finds is of two networks.
    is_spoilt: bool,
    last: Option<Report>,
    unknowns: u32,
    due: Option<(Instant, Due)>,
    glance_at: Option<Instant>,
    moved_at: Option<Instant>,
}

impl Watch {
    /// Nothing known, nothing attached.
    pub const fn new(rules: WatchRules) -> Self {
        Self {
            rules,
            attachment: None,
            changed_at: None,
            is_running: false,
            is_spoilt: false,
            last: None,
            unknowns: 0,
            due: None,
            glance_at: None,
            moved_at: None,
        }
    }

    /// The system says where we are attached; to be told again and again. True if that is news.
    pub fn handle_attachment(&mut self, now: Instant, at: Option<Attachment>) -> bool {
        if at == self.attachment {
            return false;
        }
        let was_attached = self.attachment.is_some() || self.changed_at.is_some();
        self.attachment = at;
        self.changed_at = Some(now);
        self.is_spoilt = self.is_running;
        self.last = None;
        self.glance_at = None;
        self.moved_at = None;
        self.unknowns = 0;
        let why = if was_attached {
            Due::NetworkChanged
        } else {
            Due::First
        };
        self.due = at.map(|_| (now + self.rules.settle, why));
        true
    }

    /// Whether a survey is to be started now, and why. It counts as started.
    pub fn poll_due(&mut self, now: Instant) -> Option<Due> {
        let (at, why) = self.due?;
        if self.is_running || now < at {
            return None;
        }
        self.due = None;
        self.is_running = true;
        self.is_spoilt = false;
        Some(why)
    }

    /// A survey ended. False if the network changed meanwhile and the result is thrown away.
    pub fn handle_report(&mut self, now: Instant, report: Report) -> bool {
        self.is_running = false;
        if self.is_spoilt {
            self.is_spoilt = false;
            return false;
        }
        let (wait, why) = if report.unknown().is_some() {
            let wait = self.rules.retry.saturating_mul(1 << self.unknowns.min(16));
            self.unknowns += 1;
            (wait.min(self.rules.max_retry), Due::Unknown)
        } else {
            self.unknowns = 0;
            (self.rules.interval, Due::Old)
        };
        self.due = Some((now + wait, why));
        // Without an address there is nothing to compare with.
        self.glance_at = report.external.map(|_| now + self.rules.glance);
        self.last = Some(report);
        true
    }

    /// Whether to glance now: to ask one server that answered where it sees us. It counts as asked.
    pub fn poll_glance(&mut self, now: Instant) -> bool {
        if self.is_running || self.glance_at.is_none_or(|at| now < at) {
            return false;
        }
        self.glance_at = Some(now + self.rules.glance);
        true
    }

    /// A glance ended; `None` without an answer, which proves nothing. True if we are elsewhere than
    /// the last survey saw us: then another is due, at once or when one is due to glances again.
    pub fn handle_glance(&mut self, now: Instant, seen: Option<IpAddr>) -> bool {
        let (Some(seen), Some(last)) = (seen, &self.last) else {
            return false;
        };
        let is_known = last
            .externals
            .iter()
            .chain(&last.external)
            .any(|at| at.ip() == seen);
        if is_known {
            return false;
        }
        let at = self
            .moved_at
            .map_or(now, |at| now.max(at + self.rules.moved_pause));
        if self.due.is_none_or(|(due_at, _)| at < due_at) {
            self.moved_at = Some(at);
            self.due = Some((at, Due::Moved));
        }
        true
    }

    /// A survey ended without a report.
    pub fn handle_failure(&mut self, now: Instant) {
        self.is_running = false;
        self.is_spoilt = false;
        if self.due.is_none() && self.attachment.is_some() {
            self.due = Some((now + self.rules.retry, Due::Unknown));
        }
    }

    /// The last result of this attachment.
    pub const fn last(&self) -> Option<&Report> {
        self.last.as_ref()
    }

    /// Where we are attached.
    pub const fn attachment(&self) -> Option<Attachment> {
        self.attachment
    }

    /// When to call [`Self::poll_due`] and [`Self::poll_glance`].
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        if self.is_running {
            return None;
        }
        let due = self.due.map(|(at, why)| (at, why.words()));
        let glance = self.glance_at.map(|at| (at, "a look at where we are seen"));
        let (at, why) = due.into_iter().chain(glance).min_by_key(|(at, _)| *at)?;
        Some(Wakeup { at, why })
    }
}

//! When to survey again: the network changed, the result is old, or there is none yet.

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
}

impl Default for WatchRules {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30 * 60),
            retry: Duration::from_secs(30),
            max_retry: Duration::from_secs(10 * 60),
            settle: Duration::from_secs(2),
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
        self.last = Some(report);
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

    /// When to call [`Self::poll_due`].
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let (at, why) = self.due.filter(|_| !self.is_running)?;
        let why = why.words();
        Some(Wakeup { at, why })
    }
}

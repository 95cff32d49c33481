//! One question, asked until it is answered or given up.

use std::time::{Duration, Instant};

use peerage_core::{Endpoint, PeerText};

use super::action::SocketId;
use crate::stun::TransactionId;

/// When a request is sent again, and when it is given up (RFC 8489 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmission {
    /// How long to wait after the first; each later wait is twice as long. 500 ms.
    pub rto: Duration,
    /// How many times it is sent, `Rc`. 7.
    pub requests: u32,
    /// How many times `rto` to wait after the last, `Rm`. 16.
    pub last_wait: u32,
}

impl Retransmission {
    /// As the RFC has it: sent seven times, given up after 39.5 s.
    pub const RFC_8489: Self = Self {
        rto: Duration::from_millis(500),
        requests: 7,
        last_wait: 16,
    };

    /// The wait after so many have been sent; `None` if nothing is sent any more.
    fn wait_after(&self, sent: u32) -> Duration {
        if sent >= self.requests {
            self.rto.saturating_mul(self.last_wait)
        } else {
            self.rto.saturating_mul(1 << sent.saturating_sub(1).min(16))
        }
    }

    /// How long it takes to give up.
    pub fn patience(&self) -> Duration {
        (1..=self.requests).map(|sent| self.wait_after(sent)).sum()
    }
}

/// What a question finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Whether the server answers at all; on a fresh socket.
    Reach,
    /// Whether an answer from the other address and port comes in.
    FilterBoth,
    /// Whether one from the other port comes in.
    FilterPort,
    /// Where the server sees us, at its first address and port.
    MapFirst,
    /// The same at its other address.
    MapOtherAddress,
    /// The same at its other port.
    MapOtherPort,
    /// The same at its other address and port.
    MapBoth,
    /// Whether what we send to our own outside comes in again.
    Hairpin,
}

impl Question {
    /// Its name, for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::FilterBoth => "filter_both",
            Self::FilterPort => "filter_port",
            Self::MapFirst => "map_first",
            Self::MapOtherAddress => "map_other_address",
            Self::MapOtherPort => "map_other_port",
            Self::MapBoth => "map_both",
            Self::Hairpin => "hairpin",
        }
    }

    /// What it asks, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reach => "does the server answer",
            Self::FilterBoth => "does an answer from another address come in",
            Self::FilterPort => "does an answer from another port come in",
            Self::MapFirst => "where are we seen",
            Self::MapOtherAddress => "where from another address",
            Self::MapOtherPort => "where from another port",
            Self::MapBoth => "where from another address and port",
            Self::Hairpin => "do we reach our own outside",
        }
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer came from where it should.
    Answered {
        /// Where the server sees us; `None` for a hairpin.
        mapped: Option<Endpoint>,
        /// The time since it was first asked.
        after: Duration,
    },
    /// Nothing came.
    Silent,
    /// The server answered from where it was asked although it was to answer from elsewhere.
    Unmoved,
    /// The server refused.
    Refused {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: PeerText,
    },
    /// The answer says nothing.
    Useless,
}

/// A question to a server, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What was asked.
    pub question: Question,
    /// Which of the servers, by its place in the list.
    pub server: usize,
    /// From which socket.
    pub socket: SocketId,
    /// Whom.
    pub to: Endpoint,
    /// How often.
    pub sent: u32,
    /// What came of it; `None` while it is open.
    pub outcome: Option<Outcome>,
    pub(super) transaction: TransactionId,
    /// Where the answer comes from.
    pub(super) from: Endpoint,
    started_at: Instant,
    next_at: Instant,
    rule: Retransmission,
}

impl Trial {
    pub(super) fn new(
        now: Instant,
        question: Question,
        server: usize,
        (socket, to, from): (SocketId, Endpoint, Endpoint),
        transaction: TransactionId,
        rule: Retransmission,
    ) -> Self {
        Self {
            question,
            server,
            socket,
            to,
            sent: 0,
            outcome: None,
            transaction,
            from,
            started_at: now,
            next_at: now,
            rule,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// When to look at it again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.is_open().then_some(self.next_at)
    }

    /// Whether it is to be sent now. Gives it up when its time is over.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        if !self.is_open() || now < self.next_at {
            return false;
        }
        if self.sent >= self.rule.requests {
            self.outcome = Some(Outcome::Silent);
            return false;
        }
        self.sent += 1;
        self.next_at = now + self.rule.wait_after(self.sent);
        true
    }

    pub(super) fn answer(&mut self, now: Instant, mapped: Option<Endpoint>) {
        self.outcome = Some(Outcome::Answered {
            mapped,
            after: now.saturating_duration_since(self.started_at),
        });
    }

    /// Whether the answer came from where it should.
    pub const fn is_answered(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Answered { .. }))
    }

    /// Where the server sees us, if it said so.
    pub const fn mapped(&self) -> Option<Endpoint> {
        match &self.outcome {
            Some(Outcome::Answered { mapped, .. }) => *mapped,
            Some(
                Outcome::Silent | Outcome::Unmoved | Outcome::Refused { .. } | Outcome::Useless,
            )
            | None => None,
        }
    }
}

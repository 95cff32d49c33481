//! What is known of one session, before and after it is established.

use std::time::{Duration, Instant};

use peerage_core::{ConnectedAddr, Stage};

use crate::config::Config;
use crate::keepalive::Pulse;
use crate::lanes::{Inbox, Lanes};
use crate::meter::Traffic;
use crate::requests::Requests;
use crate::slot::Slot;
use crate::theirs::Theirs;
use crate::types::{SessionId, Tie, Types};

/// An attempt under way, or one that is being turned away.
#[derive(Debug)]
pub(crate) struct Pending<T: Types> {
    pub(crate) slot: Slot,
    /// Outbound: who was dialled. Inbound: who it proved to be, once it did.
    pub(crate) identity: Option<T::Identity>,
    pub(crate) addr: Option<ConnectedAddr>,
    pub(crate) stage: Stage,
    /// Inbound, where peers are known by address: which of two connections with its host stays.
    pub(crate) tie: Tie,
    /// Our dial that goes when this one is established.
    pub(crate) rival: Option<SessionId>,
    pub(crate) since: Instant,
    pub(crate) attempt_ends: Instant,
    pub(crate) stage_ends: Instant,
    pub(crate) wakeup: Option<Instant>,
}

impl<T: Types> Pending<T> {
    pub(crate) fn next(&self) -> (Instant, &'static str) {
        (self.attempt_ends.min(self.stage_ends), "attempt")
    }
}

/// An established peer.
#[derive(Debug)]
pub(crate) struct Active<T: Types> {
    pub(crate) slot: Slot,
    pub(crate) identity: T::Identity,
    pub(crate) addr: ConnectedAddr,
    /// See [`Pending::tie`].
    pub(crate) tie: Tie,
    pub(crate) profile: T::Profile,
    pub(crate) since: Instant,
    pub(crate) pulse: Pulse,
    pub(crate) ours: Requests<T::Key>,
    pub(crate) theirs: Theirs,
    pub(crate) lanes: Lanes<T::Message>,
    pub(crate) inbox: Inbox<T::Message>,
    pub(crate) traffic: Traffic,
    /// Since when we read nothing from it.
    pub(crate) paused_since: Option<Instant>,
    /// The length of what was handed back for want of room.
    pub(crate) held: Option<usize>,
    /// The caller wants nothing of it for now.
    pub(crate) held_back: bool,
    /// The caller knows that there is something to write.
    pub(crate) woken: bool,
    pub(crate) strikes: u32,
    /// Since when the oldest strike waits to be forgiven.
    pub(crate) struck_at: Instant,
    pub(crate) useful_at: Option<Instant>,
    pub(crate) wakeup: Option<Instant>,
}

impl<T: Types> Active<T> {
    /// When something is due.
    pub(crate) fn next(&self, config: &Config) -> Option<(Instant, &'static str)> {
        let mut next = self.lanes.next(config.deadlines.write);
        let mut earlier = |other: Option<(Instant, &'static str)>| {
            if let Some(other) = other
                && next.is_none_or(|next| other.0 < next.0)
            {
                next = Some(other);
            }
        };
        earlier(self.theirs.next());
        // While we do not listen, nobody is late.
        if self.paused_since.is_none() {
            earlier(Some(self.pulse.next(&config.keepalive)));
            earlier(self.ours.next(&config.requests));
        }
        next
    }

    /// Forgives one strike for each `every` that has passed.
    pub(crate) fn forgive(&mut self, at: Instant, every: Duration) {
        while self.strikes > 0 && at.saturating_duration_since(self.struck_at) >= every {
            self.strikes -= 1;
            self.struck_at += every;
        }
        if self.strikes == 0 {
            self.struck_at = at;
        }
    }

    /// Whether reading has to pause.
    pub(crate) fn is_full(&self, config: &Config) -> bool {
        let (spent, budget) = (self.inbox.spent(), config.budgets.inbox);
        self.held.is_some()
            || self.held_back
            || self.theirs.len() > config.theirs.pause_above
            || spent.messages >= budget.messages
            || spent.bytes >= budget.bytes
    }

    /// Whether reading may go on, on this session's own account.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        let (spent, budget) = (self.inbox.spent(), config.budgets.inbox);
        !self.held_back
            && self.theirs.len() <= config.theirs.pause_above
            && spent.messages <= budget.messages / 2
            && spent.bytes <= budget.bytes / 2
            && self.held.is_none_or(|len| self.inbox.admits(budget, len))
    }
}

//! How attempts and sessions end, and what is said of it.

use std::time::Instant;

use peerage_core::{Failure as _, Kind, Reason, Stage};

use crate::cause::{Cause, KEEP};
use crate::error::{Dead, Refused};
use crate::event::{Action, Closed, Ending, Event, Outcome, Phase};
use crate::meter::Tally;
use crate::slot::Place;
use crate::state::Active;
use crate::table::Table;
use crate::types::{Parting, SessionId, Types};

/// Why and how a session ends.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) ending: Ending,
    pub(crate) reason: Reason,
    /// What the peer is to be told; `None` when its task has ended already.
    pub(crate) say: Option<Parting>,
}

impl End {
    /// The table ends it.
    pub(crate) fn by(cause: &Cause) -> Self {
        Self {
            ending: cause.ending(),
            reason: cause.reason(),
            say: Some(cause.parting()),
        }
    }

    /// The table turns it away.
    pub(crate) fn refused(refused: &Refused) -> Self {
        let reason = match refused {
            Refused::Incompatible(reason) => (**reason).clone(),
            Refused::PendingFull { .. }
            | Refused::Full { .. }
            | Refused::GroupFull { .. }
            | Refused::AlreadyConnected { .. }
            | Refused::AlreadyDialling { .. }
            | Refused::WrongIdentity
            | Refused::Gone
            | Refused::Backlog { .. }
            | Refused::Stopping => refused.reason(),
        };
        Self {
            ending: match refused {
                Refused::Stopping => Ending::Cancelled,
                Refused::PendingFull { .. }
                | Refused::Full { .. }
                | Refused::GroupFull { .. }
                | Refused::AlreadyConnected { .. }
                | Refused::AlreadyDialling { .. }
                | Refused::WrongIdentity
                | Refused::Incompatible(_)
                | Refused::Gone
                | Refused::Backlog { .. } => Ending::Refused,
            },
            reason,
            say: Some(refused.parting()),
        }
    }
}

/// Whether the connection was closed without a word.
fn is_hangup(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Left => true,
        Outcome::Failed(reason) => matches!(reason.kind, Kind::Closed | Kind::Transport),
        Outcome::Goodbye(_) | Outcome::Refused(_) => false,
    }
}

impl<T: Types> Table<T> {
    /// Ends an attempt or a session, whoever wished it. The one place where either is removed,
    /// besides an attempt that becomes a session.
    pub(crate) fn finish(&mut self, at: Instant, id: SessionId, end: End) {
        let mut closed = if let Some(pending) = self.remove_pending(id) {
            Closed {
                id,
                identity: pending.identity,
                direction: pending.slot.direction,
                addr: pending.addr,
                phase: match pending.slot.place {
                    Place::Refusing => Phase::Refusing,
                    Place::Pending | Place::Active => Phase::Pending(pending.stage),
                },
                ending: end.ending,
                reason: end.reason,
                told: None,
                lasted: at.saturating_duration_since(pending.since),
                tally: Tally::default(),
                rtt: None,
                unanswered: Vec::new(),
            }
        } else if let Some(active) = self.remove_active(id) {
            let tally = Tally {
                undelivered: active.inbox.spent().messages.into(),
                ..active.traffic.tally()
            };
            Closed {
                id,
                unanswered: active.ours.unanswered(),
                identity: Some(active.identity),
                direction: active.slot.direction,
                addr: Some(active.addr),
                phase: Phase::Active,
                ending: end.ending,
                reason: end.reason,
                told: None,
                lasted: at.saturating_duration_since(active.since),
                tally,
                rtt: active.pulse.rtt(),
            }
        } else {
            return;
        };
        if let Some(say) = end.say {
            let until = at + self.config.deadlines.goodbye;
            if self.start_closing(id, until) {
                let reached = closed.phase != Phase::Pending(Stage::Reach);
                closed.told = reached.then_some(say);
                let until = self.clock.real(until);
                self.push(Action::Close { id, say, until });
            } else {
                self.push(Action::Abort(id));
            }
        }
        self.tell(Event::Closed(Box::new(closed)));
        self.relieve();
    }

    fn remove_active(&mut self, id: SessionId) -> Option<Box<Active<T>>> {
        let active = self.active.remove(&id)?;
        self.counts.remove(&active.slot);
        self.hosts.remove(id, Some(&active.addr));
        let _ = self.by_identity.remove(&active.identity);
        self.unschedule(id, active.wakeup);
        let _ = self.starved.remove(&id);
        if active.inbox.spent().messages > 0 {
            self.turns.retain(|turn| *turn != id);
        }
        self.pool_in.give(active.inbox.spent().bytes);
        self.pool_out.give(active.lanes.bytes());
        Some(active)
    }

    /// The session's task has ended: its dial, its handshake or its connection. Also to be called
    /// after [`Action::Close`], when goodbye was said; then the outcome does not matter.
    pub fn ended(&mut self, now: Instant, id: SessionId, outcome: Outcome) {
        let at = self.tick(now);
        self.end_closing(id);
        let stage = match self.pending.get(&id) {
            Some(pending) if pending.slot.place == Place::Refusing => {
                let limit = self.config.limits.active_in;
                let mut end = End::by(&Cause::Full { limit });
                end.say = None;
                self.finish(at, id, end);
                return;
            }
            Some(pending) => pending.stage,
            None => KEEP,
        };
        // The other end keeps its own dial of the two, and has no words for it.
        let is_crossed = matches!(stage, Stage::Greet(_)) && is_hangup(&outcome);
        let pending = self.pending.get(&id).filter(|_| is_crossed);
        let is_crossed = pending.is_some_and(|dial| self.is_crossed(dial));
        let (ending, reason) = match outcome {
            Outcome::Left | Outcome::Failed(_) if is_crossed => {
                (Ending::Left, Cause::Duplicate.reason())
            }
            Outcome::Left => (Ending::Left, Cause::Left { stage }.reason()),
            Outcome::Goodbye(reason) => (Ending::Goodbye, reason),
            Outcome::Failed(reason) => (Ending::Failed, reason),
            Outcome::Refused(reason) => (Ending::Refused, reason),
        };
        let say = None;
        let end = End {
            ending,
            reason,
            say,
        };
        self.finish(at, id, end);
    }

    /// Ends one attempt or session. `why` is what its closing event says; without it, that it was
    /// our wish.
    ///
    /// # Errors
    /// When there is none.
    pub fn disconnect(
        &mut self,
        now: Instant,
        id: SessionId,
        say: Parting,
        why: Option<Reason>,
    ) -> Result<(), Dead> {
        let at = self.tick(now);
        let cause = match self.pending.get(&id) {
            Some(pending) => {
                let stage = pending.stage;
                Cause::CalledOff { stage }
            }
            None if self.active.contains_key(&id) => Cause::Requested,
            None => return Err(Dead(id)),
        };
        let end = End {
            ending: Ending::Cancelled,
            reason: why.unwrap_or_else(|| cause.reason()),
            say: Some(say),
        };
        self.finish(at, id, end);
        Ok(())
    }

    /// Ends all established sessions; returns how many.
    pub fn disconnect_all(&mut self, now: Instant, say: Parting, why: Option<&Reason>) -> usize {
        let ids: Vec<_> = self.active.keys().copied().collect();
        self.end_each(now, &ids, say, why)
    }

    /// Calls off all attempts; returns how many.
    pub fn cancel_pending(&mut self, now: Instant, why: Option<&Reason>) -> usize {
        let ids: Vec<_> = self.pending.keys().copied().collect();
        self.end_each(now, &ids, Parting::Requested, why)
    }

    fn end_each(
        &mut self,
        now: Instant,
        ids: &[SessionId],
        say: Parting,
        why: Option<&Reason>,
    ) -> usize {
        let ended = ids
            .iter()
            .map(|id| self.disconnect(now, *id, say, why.cloned()));
        ended.filter(Result::is_ok).count()
    }

    /// Takes nobody in any more and says goodbye to everybody.
    pub fn stop(&mut self, now: Instant) {
        self.stopping = true;
        let why = Cause::Quitting.reason();
        let _ = self.cancel_pending(now, Some(&why));
        let _ = self.disconnect_all(now, Parting::Quitting, Some(&why));
    }
}

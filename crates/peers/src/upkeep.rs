//! What is due: deadlines of attempts, pings, requests that take too long, rotation.

use std::time::{Duration, Instant};

use peerage_core::Direction;

use crate::cause::Cause;
use crate::close::End;
use crate::config::Rotation;
use crate::event::{Event, Misdeed};
use crate::keepalive::Beat;
use crate::lanes::Tag;
use crate::requests::Expired;
use crate::slot::Place;
use crate::table::Table;
use crate::types::{SessionId, Token, Types};

/// What a ping is counted as, in bytes: the longest of the three networks' with its envelope.
const PING_LEN: usize = 64;

impl<T: Types> Table<T> {
    pub(crate) fn on_pending_due(&mut self, at: Instant, id: SessionId) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        let stage = pending.stage;
        let cause = if pending.attempt_ends <= at {
            let limit = pending
                .attempt_ends
                .saturating_duration_since(pending.since);
            Cause::AttemptTimedOut { stage, limit }
        } else if pending.stage_ends <= at {
            let limit = self.config.deadlines.of(stage);
            Cause::StageTimedOut { stage, limit }
        } else {
            return;
        };
        let end = if pending.slot.place == Place::Refusing {
            let limit = self.config.limits.active_in;
            End::by(&Cause::Full { limit })
        } else {
            End::by(&cause)
        };
        self.finish(at, id, end);
    }

    pub(crate) fn on_active_due(&mut self, at: Instant, id: SessionId) {
        let write = self.config.deadlines.write;
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        if active.lanes.next(write).is_some_and(|(when, _)| when <= at) {
            self.finish(at, id, End::by(&Cause::SlowReader { waited: write }));
            return;
        }
        while let Some(seq) = self
            .active
            .get_mut(&id)
            .and_then(|peer| peer.theirs.expire(at))
        {
            let token = Token { session: id, seq };
            self.tell(Event::RequestGivenUp { token });
        }
        self.update_reading(id);
        if self.can_read(id) {
            self.look_after(at, id);
        }
    }

    /// Pings, and what is owed to us.
    fn look_after(&mut self, at: Instant, id: SessionId) {
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        match active.pulse.due(at, &self.config.keepalive) {
            Beat::Nothing => {}
            Beat::Ping => {
                let nonce = self.secret.next();
                active.pulse.asked(nonce);
                let ping = (T::ping(nonce), PING_LEN, Tag::Ping);
                // A full lane has ended the session, and its closing event says so.
                let _ = self.control(at, id, ping);
            }
            Beat::Dead(cause) => self.finish(at, id, End::by(&cause)),
        }
        let rules = self.config.requests;
        while let Some(expired) = self
            .active
            .get_mut(&id)
            .and_then(|peer| peer.ours.expire(at, &rules))
        {
            match expired {
                Expired::Late(key) => self.tell(Event::Overdue { id, key }),
                Expired::Breach => self.misdeed(at, id, Misdeed::Breach),
            }
        }
    }

    pub(crate) fn rotation_wait(&mut self) -> Duration {
        let Some(Rotation { min, max, .. }) = self.config.rotation else {
            return Duration::ZERO;
        };
        let spread = max.saturating_sub(min).as_millis();
        let drawn = self
            .secret
            .below(usize::try_from(spread).unwrap_or(usize::MAX));
        min + Duration::from_millis(drawn as u64)
    }

    pub(crate) fn rotate(&mut self, at: Instant) {
        let Some(rotation) = self.config.rotation else {
            return;
        };
        if at < self.rotate_at {
            return;
        }
        self.rotate_at = at + self.rotation_wait();
        self.rotate_one(at, rotation.min_age);
    }

    /// Lets one outbound peer go when all slots are taken.
    fn rotate_one(&mut self, at: Instant, min_age: Duration) {
        let direction = Direction::Outbound;
        if self.counts.active(direction) < self.config.limits.active_out {
            return;
        }
        let old = self.active.iter().filter(|(_, active)| {
            active.slot.counts_as == direction
                && !active.slot.standing.is_exempt()
                && at.saturating_duration_since(active.since) >= min_age
        });
        let ids: Vec<_> = old.map(|(id, _)| *id).collect();
        if let Some(&id) = ids.get(self.secret.below(ids.len())) {
            self.finish(at, id, End::by(&Cause::Rotated));
        }
    }
}

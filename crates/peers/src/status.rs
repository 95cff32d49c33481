//! Our head moves, and with it who is of use.

use std::time::Instant;

use peerage_core::Reason;

use crate::close::End;
use crate::error::Dead;
use crate::event::{Ending, Event};
use crate::table::Table;
use crate::types::{Parting, SessionId, Standing, Types};

impl<T: Types> Table<T> {
    /// Our side of the judgement now.
    pub const fn status(&self) -> &T::Status {
        &self.status
    }

    /// Sets our side of the judgement: a new head, a fork that became active, a minimum version that
    /// rose. Every established peer is judged anew; those who are of no use any more are named in an
    /// event each and told goodbye. Handshakes under way are judged by it when they finish.
    ///
    /// Returns who went.
    pub fn set_status(&mut self, now: Instant, status: T::Status) -> Vec<SessionId> {
        let at = self.tick(now);
        self.status = status;
        let judged = self.active.iter().map(|(id, active)| {
            let verdict = T::judge(&self.status, &active.profile);
            (*id, verdict.err())
        });
        let gone: Vec<_> = judged
            .filter_map(|(id, reason)| Some((id, reason?)))
            .collect();
        gone.into_iter()
            .map(|(id, reason)| {
                self.turn_out(at, id, reason);
                id
            })
            .collect()
    }

    /// The peer has said something new of itself: its range of blocks, its head. It is judged anew.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn set_profile(
        &mut self,
        now: Instant,
        id: SessionId,
        profile: T::Profile,
    ) -> Result<(), Dead> {
        let at = self.tick(now);
        let active = self.active.get_mut(&id).ok_or(Dead(id))?;
        active.profile = profile;
        if let Err(reason) = T::judge(&self.status, &active.profile) {
            self.turn_out(at, id, reason);
        }
        Ok(())
    }

    /// The operator holds something else of the peer than before: it takes or frees a slot, and a
    /// stranger that is one too many is not sent away for it.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn set_standing(
        &mut self,
        now: Instant,
        id: SessionId,
        standing: Standing,
    ) -> Result<(), Dead> {
        let _at = self.tick(now);
        let active = self.active.get_mut(&id).ok_or(Dead(id))?;
        let old = active.slot;
        active.slot.standing = standing;
        let new = active.slot;
        self.counts.remove(&old);
        self.counts.insert(&new);
        Ok(())
    }

    fn turn_out(&mut self, at: Instant, id: SessionId, reason: Reason) {
        let Some(active) = self.active.get(&id) else {
            return;
        };
        let identity = active.identity.clone();
        self.tell(Event::Incompatible {
            id,
            identity,
            reason: reason.clone(),
        });
        let end = End {
            ending: Ending::Refused,
            reason,
            say: Some(Parting::Incompatible),
        };
        self.finish(at, id, end);
    }
}

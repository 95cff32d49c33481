//! From a finished handshake to an established peer: is it welcome, and who makes room.

use std::time::Instant;

use peerage_core::{ConnectedAddr, Direction, Stage};

use crate::cause::Cause;
use crate::close::End;
use crate::error::Refused;
use crate::event::Event;
use crate::evict::choose;
use crate::keepalive::Pulse;
use crate::lanes::{Inbox, Lanes};
use crate::meter::Traffic;
use crate::requests::Requests;
use crate::slot::{Place, Slot};
use crate::state::Active;
use crate::table::Table;
use crate::theirs::Theirs;
use crate::types::{SessionId, Standing, Tie, Types};

/// What a finished handshake says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeted<T: Types> {
    /// Who it is, as proven.
    pub identity: T::Identity,
    /// What was connected.
    pub addr: ConnectedAddr,
    /// What was learned of it.
    pub profile: T::Profile,
    /// What the operator holds of it.
    pub standing: Standing,
    /// Which of two connections survives.
    pub tie: Tie,
}

impl<T: Types> Table<T> {
    /// Two connections with one peer: whether the newcomer stays.
    ///
    /// Whoever stays is asked for a sign of life: the other end may have dialled anew because it
    /// lost the first connection.
    pub(crate) fn contest(
        &mut self,
        at: Instant,
        newcomer: SessionId,
        existing: SessionId,
        tie: Tie,
    ) -> Result<SessionId, Refused> {
        let directions = (
            self.active
                .get(&existing)
                .map(|active| active.slot.direction),
            self.pending
                .get(&newcomer)
                .map(|pending| pending.slot.direction),
        );
        let (Some(older), Some(newer)) = directions else {
            return Err(Refused::Gone);
        };
        if tie.newcomer_wins(older, newer) {
            return Ok(existing);
        }
        if let Some(active) = self.active.get_mut(&existing) {
            active.pulse.probe(at);
            let identity = active.identity.clone();
            self.tell(Event::AlreadyConnected {
                identity,
                kept: existing,
                dropped: newcomer,
                direction: newer,
            });
        }
        self.reschedule(existing);
        Err(Refused::AlreadyConnected { existing })
    }

    /// The handshake is finished. [`Event::Established`] comes before every other event of this
    /// session, and messages that came early are brought to [`Table::received`] like all others.
    ///
    /// # Errors
    /// Why the peer is not wanted after all. It is being told so then, and its closing event says
    /// the same.
    pub fn established(
        &mut self,
        now: Instant,
        id: SessionId,
        greeted: Greeted<T>,
    ) -> Result<(), Refused> {
        let at = self.tick(now);
        match self.welcome(at, id, &greeted) {
            Ok(slot) => {
                self.promote(at, id, slot, greeted);
                Ok(())
            }
            Err(Refused::Gone) => Err(Refused::Gone),
            Err(refused) => {
                if let Some(pending) = self.pending.get_mut(&id) {
                    self.hosts.remove(id, pending.addr.as_ref());
                    pending.addr = Some(greeted.addr);
                    self.hosts.insert(id, pending.addr.as_ref());
                    // The handshake is behind it, and there is somebody to tell.
                    pending.stage = Stage::Keep("slots");
                }
                self.finish(at, id, End::refused(&refused));
                Err(refused)
            }
        }
    }

    /// The slot that the peer gets; makes room for it where that is needed.
    fn welcome(
        &mut self,
        at: Instant,
        id: SessionId,
        greeted: &Greeted<T>,
    ) -> Result<Slot, Refused> {
        if !self.pending.contains_key(&id) {
            return Err(Refused::Gone);
        }
        if self.stopping {
            return Err(Refused::Stopping);
        }
        self.note_identity(at, id, &greeted.identity, greeted.standing)?;
        T::judge(&self.status, &greeted.profile)
            .map_err(|reason| Refused::Incompatible(Box::new(reason)))?;
        let slot = Slot {
            place: Place::Active,
            ..self.pending.get(&id).ok_or(Refused::Gone)?.slot
        };
        if let Some(existing) = self.by_identity.get(&greeted.identity).copied() {
            let loser = self.contest(at, id, existing, greeted.tie)?;
            return Ok(self.replace(at, id, loser, slot));
        }
        if let Some(rival) = self.pending.get(&id).and_then(|pending| pending.rival) {
            if self.active.contains_key(&rival) {
                return Err(Refused::AlreadyConnected { existing: rival });
            }
            if let Some(slot) = self.take_over(at, id, (rival, &greeted.identity), slot) {
                return Ok(slot);
            }
        }
        let limit = self.config.limits.active(slot.direction);
        if !slot.standing.is_exempt() && self.counts.active(slot.direction) >= limit {
            let evicted = match slot.direction {
                Direction::Inbound => self.evictable(at),
                Direction::Outbound => None,
            };
            let evicted = evicted.ok_or(Refused::Full { limit })?;
            self.evicted_at = Some(at);
            self.finish(at, evicted, End::by(&Cause::Evicted));
        }
        Ok(slot)
    }

    /// The newcomer takes over the slot of the connection that goes, so that two nodes that dialled
    /// each other never lose both connections to a limit.
    fn replace(&mut self, at: Instant, id: SessionId, loser: SessionId, slot: Slot) -> Slot {
        let Some(active) = self.active.get(&loser) else {
            return slot;
        };
        let (old, identity) = (active.slot, active.identity.clone());
        self.tell(Event::AlreadyConnected {
            identity,
            kept: id,
            dropped: loser,
            direction: old.direction,
        });
        self.finish(at, loser, End::by(&Cause::Duplicate));
        Slot {
            counts_as: old.counts_as,
            standing: slot.standing.max(old.standing),
            ..slot
        }
    }

    /// An inbound connection takes the place of our dial to the same host, and its slot, if that is
    /// still under way.
    fn take_over(
        &mut self,
        at: Instant,
        id: SessionId,
        (rival, identity): (SessionId, &T::Identity),
        slot: Slot,
    ) -> Option<Slot> {
        let old = self.pending.get(&rival)?.slot;
        self.tell(Event::AlreadyConnected {
            identity: identity.clone(),
            kept: id,
            dropped: rival,
            direction: old.direction,
        });
        self.finish(at, rival, End::by(&Cause::Duplicate));
        Some(Slot {
            counts_as: old.counts_as,
            standing: slot.standing.max(old.standing),
            ..slot
        })
    }

    /// The inbound peer that would make room now.
    fn evictable(&self, at: Instant) -> Option<SessionId> {
        let rules = self.config.evict?;
        if self.evicted_at.is_some_and(|last| at < last + rules.every) {
            return None;
        }
        // One would go and one would come, and there would be too many for ever.
        if self.is_crowded(Direction::Inbound) {
            return None;
        }
        choose(&rules, at, self.ordinary(Direction::Inbound), |group| {
            self.secret.rank(group)
        })
    }

    fn promote(&mut self, at: Instant, id: SessionId, slot: Slot, greeted: Greeted<T>) {
        let Some(pending) = self.remove_pending(id) else {
            return;
        };
        self.counts.insert(&slot);
        let _ = self.by_identity.insert(greeted.identity.clone(), id);
        let event = Event::Established {
            id,
            identity: greeted.identity.clone(),
            addr: greeted.addr,
        };
        let active = Active {
            slot,
            identity: greeted.identity,
            addr: greeted.addr,
            tie: pending.tie,
            profile: greeted.profile,
            since: at,
            pulse: Pulse::new(at, &self.config.keepalive),
            ours: Requests::new(&self.config.requests),
            theirs: Theirs::default(),
            lanes: Lanes::new(),
            inbox: Inbox::new(),
            traffic: Traffic::new(at),
            paused_since: None,
            held: None,
            held_back: false,
            woken: false,
            strikes: 0,
            struck_at: at,
            useful_at: None,
            wakeup: None,
        };
        self.hosts.insert(id, Some(&active.addr));
        let _ = self.active.insert(id, Box::new(active));
        self.tell(event);
        self.reschedule(id);
    }
}

//! From a dial or an accept to an established peer.

use std::time::Instant;

use peerage_core::{ConnectedAddr, Direction, Endpoint, Stage};

use crate::error::{Dead, Refused};
use crate::slot::{Place, Slot};
use crate::state::Pending;
use crate::table::Table;
use crate::types::{SessionId, Standing, Tie, Types};

/// Whom to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial<I> {
    /// Who is expected to answer.
    pub identity: I,
    /// The endpoint, when it is dialled directly. A proxy hides it, and with it the address group.
    pub addr: Option<Endpoint>,
    /// What the operator holds of it.
    pub standing: Standing,
}

/// An inbound connection that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number.
    pub id: SessionId,
    /// What for.
    pub fate: Fate,
}

/// What an inbound connection was taken in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// To be greeted.
    Greet,
    /// To be told that there is no room: go as far in the handshake as it takes to say so. Few at
    /// once, and not for long.
    Refuse {
        /// When it is stopped.
        until: Instant,
    },
}

impl<T: Types> Table<T> {
    fn check_open(&self) -> Result<(), Refused> {
        if self.stopping {
            return Err(Refused::Stopping);
        }
        if self.is_behind() {
            let limit = self.config.backlog;
            return Err(Refused::Backlog { limit });
        }
        Ok(())
    }

    fn check_group(&self, slot: &Slot) -> Result<(), Refused> {
        let limit = self.config.limits.per_group;
        match slot.group {
            Some(group) if !slot.standing.is_exempt() && self.counts.group(group) >= limit => {
                Err(Refused::GroupFull { group, limit })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How many more dials may begin: as many as outbound peers are wanted, and a few spare ones,
    /// since most lead nowhere; none once enough are established.
    pub fn free_dials(&self) -> usize {
        let limits = &self.config.limits;
        let pending = self.counts.pending(Direction::Outbound);
        let active = self.counts.active(Direction::Outbound);
        let wanted = limits.active_out.saturating_sub(active);
        if wanted == 0 {
            return 0;
        }
        let dials = (wanted + limits.spare_dials).saturating_sub(pending);
        dials.min(limits.pending_out.saturating_sub(pending))
    }

    fn insert_pending(&mut self, at: Instant, pending: Pending<T>) -> SessionId {
        let id = self.next_session(at);
        self.counts.insert(&pending.slot);
        if pending.slot.direction == Direction::Outbound
            && let Some(identity) = &pending.identity
        {
            let _ = self.dialling.insert(identity.clone(), id);
        }
        self.hosts.insert(id, pending.addr.as_ref());
        let _ = self.pending.insert(id, pending);
        self.reschedule(id);
        id
    }

    /// Takes a slot for a dial. The caller begins it, names its stages with [`Table::stage`], and
    /// ends it with [`Table::established`] or [`Table::ended`].
    ///
    /// # Errors
    /// Why it may not be dialled now; nothing is changed then.
    pub fn dial(&mut self, now: Instant, dial: Dial<T::Identity>) -> Result<SessionId, Refused> {
        let at = self.tick(now);
        self.check_open()?;
        if let Some(&existing) = self.by_identity.get(&dial.identity) {
            return Err(Refused::AlreadyConnected { existing });
        }
        if let Some(&existing) = self.dialling.get(&dial.identity) {
            return Err(Refused::AlreadyDialling { existing });
        }
        let (limits, direction) = (self.config.limits, Direction::Outbound);
        let slot = Slot {
            place: Place::Pending,
            direction,
            counts_as: direction,
            standing: dial.standing,
            group: dial.addr.and_then(|addr| self.config.groups.of(addr.ip())),
        };
        if !dial.standing.is_exempt() {
            let pending = self.counts.pending(direction);
            let limit = limits.pending_out;
            if pending >= limit {
                return Err(Refused::PendingFull { limit });
            }
            let limit = limits.active_out;
            let active = self.counts.active(direction);
            if active >= limit || active + pending >= limit + limits.spare_dials {
                return Err(Refused::Full { limit });
            }
        }
        self.check_group(&slot)?;
        let pending = Pending {
            slot,
            identity: Some(dial.identity),
            addr: dial.addr.map(|addr| ConnectedAddr::OutboundDirect { addr }),
            stage: Stage::Reach,
            tie: Tie::Older,
            rival: None,
            since: at,
            attempt_ends: at + self.config.deadlines.attempt,
            stage_ends: at + self.config.deadlines.of(Stage::Reach),
            wakeup: None,
        };
        Ok(self.insert_pending(at, pending))
    }

    /// Takes a slot for an inbound connection, or for telling it that there is none.
    ///
    /// `standing` is what its address says; a key may say more later, at [`Table::identified`].
    ///
    /// # Errors
    /// Why it is to be closed without a word.
    pub fn admit(
        &mut self,
        now: Instant,
        addr: ConnectedAddr,
        standing: Standing,
    ) -> Result<Admitted, Refused> {
        self.admit_crossing(now, addr, standing, Tie::Older)
    }

    /// The same on a network where peers are known by their address alone. `tie` says which
    /// connection stays if we dial the host that this one comes from, by what both ends see: the two
    /// addresses.
    ///
    /// If it is ours, this one is refused at once; if it is theirs, this one is greeted beyond the
    /// share of its address group, and ours goes when the handshake is done, unless it is established
    /// by then.
    ///
    /// # Errors
    /// Why it is to be closed without a word.
    pub fn admit_crossing(
        &mut self,
        now: Instant,
        addr: ConnectedAddr,
        standing: Standing,
        tie: Tie,
    ) -> Result<Admitted, Refused> {
        let at = self.tick(now);
        self.check_open()?;
        let (limits, direction) = (self.config.limits, Direction::Inbound);
        let mut slot = Slot {
            place: Place::Pending,
            direction,
            counts_as: direction,
            standing,
            group: self.config.groups.of_connection(&addr),
        };
        let rival = match tie {
            Tie::Keep(_) => self.crossing(now, &addr),
            Tie::Older => None,
        };
        match (rival, tie) {
            (Some(existing), Tie::Keep(direction)) => {
                if direction == Direction::Outbound || self.active.contains_key(&existing) {
                    return Err(Refused::AlreadyConnected { existing });
                }
            }
            (_, Tie::Older) | (None, Tie::Keep(_)) => self.check_group(&slot)?,
        }
        let mut limit = self.config.deadlines.attempt;
        let mut fate = Fate::Greet;
        if rival.is_none()
            && let Err(full) = self.check_inbound(standing)
        {
            if self.counts.refusing() >= limits.refusing {
                return Err(full);
            }
            slot.place = Place::Refusing;
            limit = self.config.deadlines.refusing;
            let until = self.clock.real(at + limit);
            fate = Fate::Refuse { until };
        }
        let pending = Pending {
            slot,
            identity: None,
            addr: Some(addr),
            stage: Stage::Greet("accept"),
            tie,
            rival,
            since: at,
            attempt_ends: at + limit,
            stage_ends: at + limit.min(self.config.deadlines.stage),
            wakeup: None,
        };
        let id = self.insert_pending(at, pending);
        Ok(Admitted { id, fate })
    }

    /// Whether another inbound handshake makes sense.
    fn check_inbound(&self, standing: Standing) -> Result<(), Refused> {
        if standing.is_exempt() {
            return Ok(());
        }
        let limit = self.config.limits.pending_in;
        if self.counts.pending(Direction::Inbound) >= limit {
            return Err(Refused::PendingFull { limit });
        }
        let limit = self.config.limits.active_in;
        let active = self.counts.active(Direction::Inbound);
        let stays = self
            .config
            .evict
            .is_none_or(|rules| active <= rules.protected());
        if (active >= limit && stays) || active > limit {
            return Err(Refused::Full { limit });
        }
        Ok(())
    }

    /// The attempt has come to another stage, which has a deadline of its own.
    ///
    /// # Errors
    /// When there is no such attempt.
    pub fn stage(&mut self, now: Instant, id: SessionId, stage: Stage) -> Result<(), Dead> {
        let at = self.tick(now);
        let pending = self.pending.get_mut(&id).ok_or(Dead(id))?;
        if pending.stage != stage {
            pending.stage = stage;
            pending.stage_ends = at + self.config.deadlines.of(stage);
        }
        self.reschedule(id);
        Ok(())
    }

    /// The other end has proven who it is, in the middle of the handshake: the early answer to
    /// duplicates, slots and trust, before more work is spent. Asked again at
    /// [`Table::established`].
    ///
    /// # Errors
    /// Why it is not wanted. The attempt stays until its task ends it; let its policy refuse with
    /// [`Refused::refusal`].
    pub fn identified(
        &mut self,
        now: Instant,
        id: SessionId,
        identity: &T::Identity,
        (standing, tie): (Standing, Tie),
    ) -> Result<(), Refused> {
        let at = self.tick(now);
        self.note_identity(at, id, identity, standing)?;
        match self.by_identity.get(identity).copied() {
            Some(existing) => self.contest(at, id, existing, tie).map(|_| ()),
            None => self.check_slot(id),
        }
    }

    /// Whether there is hope for a slot. Who would make room is asked at the end of the handshake.
    fn check_slot(&self, id: SessionId) -> Result<(), Refused> {
        let slot = self.pending.get(&id).ok_or(Refused::Gone)?.slot;
        let limit = self.config.limits.active(slot.direction);
        let full = self.counts.active(slot.direction) >= limit;
        let stays = slot.direction == Direction::Outbound
            || self.config.evict.is_none()
            || self.is_crowded(slot.direction);
        if full && stays && !slot.standing.is_exempt() {
            return Err(Refused::Full { limit });
        }
        Ok(())
    }

    pub(crate) fn note_identity(
        &mut self,
        at: Instant,
        id: SessionId,
        identity: &T::Identity,
        standing: Standing,
    ) -> Result<(), Refused> {
        let pending = self.pending.get_mut(&id).ok_or(Refused::Gone)?;
        match &pending.identity {
            Some(known) if known != identity => return Err(Refused::WrongIdentity),
            Some(_) => {}
            None => pending.identity = Some(identity.clone()),
        }
        let old = pending.slot;
        pending.slot.standing = standing.max(old.standing);
        if old.place == Place::Refusing {
            if !pending.slot.standing.is_exempt() {
                let limit = self.config.limits.active_in;
                return Err(Refused::Full { limit });
            }
            // There is always room for a friend, so it gets the time of one.
            pending.slot.place = Place::Pending;
            pending.attempt_ends = pending.since + self.config.deadlines.attempt;
            pending.stage_ends = at + self.config.deadlines.of(pending.stage);
        }
        let new = pending.slot;
        self.counts.remove(&old);
        self.counts.insert(&new);
        self.reschedule(id);
        Ok(())
    }

    pub(crate) fn remove_pending(&mut self, id: SessionId) -> Option<Pending<T>> {
        let pending = self.pending.remove(&id)?;
        self.counts.remove(&pending.slot);
        self.hosts.remove(id, pending.addr.as_ref());
        if pending.slot.direction == Direction::Outbound
            && let Some(identity) = &pending.identity
        {
            let _ = self.dialling.remove(identity);
        }
        self.unschedule(id, pending.wakeup);
        Some(pending)
    }
}

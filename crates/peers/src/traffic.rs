//! Messages of established peers, both ways.

use std::time::Instant;

use crate::cause::Cause;
use crate::close::End;
use crate::error::{Dead, NotSent};
use crate::event::Action;
use crate::lanes::Tag;
use crate::requests::NotAsked;
use crate::state::Active;
use crate::table::Table;
use crate::types::{SessionId, Token, Types};

/// What became of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broadcast {
    /// Peers it waits for.
    pub queued: usize,
    /// Peers whose lane had no room.
    pub refused: usize,
}

impl<T: Types> Table<T> {
    pub(crate) fn peer(&mut self, id: SessionId) -> Result<&mut Active<T>, Dead> {
        self.active.get_mut(&id).map(Box::as_mut).ok_or(Dead(id))
    }

    /// So many bytes were read, whether or not they complete a message.
    pub fn bytes_in(&mut self, now: Instant, id: SessionId, count: usize) {
        let at = self.tick(now);
        if let Some(active) = self.active.get_mut(&id) {
            active.pulse.heard(at);
            active.traffic.read.add(at, count);
            self.traffic.read.add(at, count);
        }
    }

    /// So many bytes were written.
    pub fn bytes_out(&mut self, now: Instant, id: SessionId, count: usize) {
        let at = self.tick(now);
        if let Some(active) = self.active.get_mut(&id) {
            active.traffic.written.add(at, count);
            self.traffic.written.add(at, count);
        }
    }

    /// The peer was of use: it sent a block or an answer that we had not had. Protects it from
    /// eviction.
    pub fn useful(&mut self, now: Instant, id: SessionId) {
        let at = self.tick(now);
        if let Some(active) = self.active.get_mut(&id) {
            active.useful_at = Some(at);
        }
    }

    pub(crate) fn control(
        &mut self,
        at: Instant,
        id: SessionId,
        what: (T::Message, usize, Tag),
    ) -> Result<(), NotSent> {
        let budget = self.config.budgets.control;
        let active = self.active.get_mut(&id).ok_or(Dead(id))?;
        if !active.lanes.control(at, (budget, &mut self.pool_out), what) {
            let limit = budget.messages;
            self.finish(at, id, End::by(&Cause::ControlOverflow { limit }));
            return Err(NotSent::Ended);
        }
        self.wake(id);
        Ok(())
    }

    fn wake(&mut self, id: SessionId) {
        if let Some(active) = self.active.get_mut(&id)
            && !active.woken
        {
            active.woken = true;
            self.push(Action::Wake(id));
        }
        self.reschedule(id);
    }

    fn check_out(&self, len: usize) -> Result<(), NotSent> {
        let limit = self.pool_out.limit();
        let room = self.pool_out.has(len);
        room.then_some(()).ok_or(NotSent::TotalFull { limit })
    }

    /// Sends a message that must not be lost.
    ///
    /// # Errors
    /// When it is not sent. A full control lane ends the session.
    pub fn send(
        &mut self,
        now: Instant,
        id: SessionId,
        message: T::Message,
        len: usize,
    ) -> Result<(), NotSent> {
        let at = self.tick(now);
        let _ = self.peer(id)?;
        self.check_out(len)?;
        self.control(at, id, (message, len, Tag::Plain))
    }

    /// Sends a message that may be lost: older gossip to the same peer, or this, gives way when its
    /// lane is full.
    ///
    /// # Errors
    /// When it is not sent.
    pub fn gossip(
        &mut self,
        now: Instant,
        id: SessionId,
        message: T::Message,
        len: usize,
    ) -> Result<(), NotSent> {
        let at = self.tick(now);
        let _ = self.peer(id)?;
        if self.push_gossip(at, id, message, len) {
            Ok(())
        } else {
            Err(NotSent::GossipFull)
        }
    }

    fn push_gossip(&mut self, at: Instant, id: SessionId, message: T::Message, len: usize) -> bool {
        let budgets = self.config.budgets;
        let Some(active) = self.active.get_mut(&id) else {
            return false;
        };
        let lane = (budgets.gossip, &mut self.pool_out, budgets.overflow);
        let pushed = active.lanes.gossip(at, lane, message, len);
        for tally in [&mut active.traffic.tally, &mut self.traffic.tally] {
            tally.gossip_dropped += pushed.dropped;
            tally.gossip_refused += u64::from(!pushed.taken);
        }
        if pushed.taken {
            self.wake(id);
        }
        pushed.taken
    }

    /// Gossips to every peer that `to` chooses.
    pub fn broadcast(
        &mut self,
        now: Instant,
        message: &T::Message,
        len: usize,
        mut to: impl FnMut(SessionId, &T::Profile) -> bool,
    ) -> Broadcast
    where
        T::Message: Clone,
    {
        let at = self.tick(now);
        let chosen = self
            .active
            .iter()
            .filter(|(id, peer)| to(**id, &peer.profile));
        let ids: Vec<_> = chosen.map(|(id, _)| *id).collect();
        let mut result = Broadcast::default();
        for id in ids {
            if self.push_gossip(at, id, message.clone(), len) {
                result.queued += 1;
            } else {
                result.refused += 1;
            }
        }
        result
    }

    /// Up to `most` established peers by chance, in no order.
    pub fn sample(&mut self, most: usize) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.active.keys().copied().collect();
        let most = most.min(ids.len());
        for at in 0..most {
            let other = at + self.secret.below(ids.len() - at);
            ids.swap(at, other);
        }
        ids.truncate(most);
        ids
    }

    /// Asks a peer. The answer comes as [`crate::Event::Answer`], after [`crate::Event::Overdue`] if it
    /// takes too long; if the session ends first, the key is in its closing event.
    ///
    /// # Errors
    /// When it is not sent.
    pub fn request(
        &mut self,
        now: Instant,
        id: SessionId,
        key: T::Key,
        (message, len): (T::Message, usize),
    ) -> Result<(), NotSent> {
        let at = self.tick(now);
        let rules = self.config.requests;
        self.peer(id)?
            .ours
            .check(&key, &rules)
            .map_err(|not| match not {
                NotAsked::TooMany { limit } => NotSent::TooManyRequests { limit },
                NotAsked::KeyInUse => NotSent::KeyInUse,
            })?;
        self.check_out(len)?;
        let seq = self.peer(id)?.ours.ask(at, key);
        self.control(at, id, (message, len, Tag::Request(seq)))
    }

    /// Wants no answer any more; one that comes is dropped without a word. `false` when nothing is
    /// under way with that key.
    pub fn cancel_request(&mut self, now: Instant, id: SessionId, key: &T::Key) -> bool {
        let at = self.tick(now);
        let active = self.active.get_mut(&id);
        let cancelled = active.is_some_and(|active| active.ours.cancel(at, key));
        self.reschedule(id);
        cancelled
    }

    /// Answers a request of a peer.
    ///
    /// # Errors
    /// When the session or the request is over, or there is no room; in the last case the request
    /// stays open.
    pub fn respond(
        &mut self,
        now: Instant,
        token: Token,
        message: T::Message,
        len: usize,
    ) -> Result<(), NotSent> {
        self.close_request(now, token, Some((message, len)))
    }

    /// Ends a request of a peer without an answer, for networks where that is allowed.
    ///
    /// # Errors
    /// When the session or the request is over.
    pub fn refuse(&mut self, now: Instant, token: Token) -> Result<(), NotSent> {
        self.close_request(now, token, None)
    }

    fn close_request(
        &mut self,
        now: Instant,
        token: Token,
        answer: Option<(T::Message, usize)>,
    ) -> Result<(), NotSent> {
        let at = self.tick(now);
        let id = token.session;
        if !self.peer(id)?.theirs.is_open(token.seq) {
            return Err(NotSent::NoSuchRequest(token));
        }
        if let Some((_, len)) = &answer {
            self.check_out(*len)?;
        }
        let _ = self.peer(id)?.theirs.answer(token.seq);
        self.update_reading(id);
        match answer {
            Some((message, len)) => self.control(at, id, (message, len, Tag::Plain)),
            None => Ok(()),
        }
    }

    /// The next message to write to this peer. Ask when the one before is written.
    pub fn poll_transmit(&mut self, now: Instant, id: SessionId) -> Option<T::Message> {
        let at = self.tick(now);
        let active = self.active.get_mut(&id)?;
        let Some((message, _, tag)) = active.lanes.pop(at, &mut self.pool_out) else {
            active.woken = false;
            return None;
        };
        match tag {
            Tag::Plain => {}
            Tag::Ping => active.pulse.sent(at),
            Tag::Request(seq) => active.ours.sent(at, seq),
        }
        active.traffic.tally.messages_out += 1;
        self.traffic.tally.messages_out += 1;
        self.reschedule(id);
        Some(message)
    }
}

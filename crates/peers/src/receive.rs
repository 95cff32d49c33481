//! Messages of established peers, and whether to read more of them.

use std::time::Instant;

use crate::cause::Cause;
use crate::close::End;
use crate::config::Treatment;
use crate::error::{Dead, NotTaken};
use crate::event::{Action, Event, Misdeed};
use crate::lanes::Tag;
use crate::requests::Arrival;
use crate::table::Table;
use crate::types::{SessionId, Token, Types};

/// A message of a peer, by what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T: Types> {
    /// Neither asks nor answers.
    Gossip(T::Message),
    /// Asks something that must be answered.
    Request(T::Message),
    /// Answers a request of ours.
    Answer {
        /// What it has in common with the request.
        key: T::Key,
        /// The message.
        message: T::Message,
    },
    /// A ping.
    Ping {
        /// Its pong.
        pong: T::Message,
    },
    /// A pong.
    Pong {
        /// The nonce it carries, where pongs do.
        nonce: Option<u64>,
    },
}

impl<T: Types> Heard<T> {
    /// The same; but an answer that the table does not expect is gossip. For networks whose answers
    /// carry nothing that tells them from messages that come by themselves.
    #[must_use]
    pub fn unless_asked(self, table: &Table<T>, id: SessionId) -> Self {
        match self {
            Self::Answer { key, message } if !table.expects(id, &key) => Self::Gossip(message),
            Self::Answer { .. }
            | Self::Gossip(_)
            | Self::Request(_)
            | Self::Ping { .. }
            | Self::Pong { .. } => self,
        }
    }
}

impl<T: Types> Table<T> {
    /// A message was read, `len` bytes of the budgets long.
    ///
    /// # Errors
    /// With the message, when it cannot be taken now. Of [`NotTaken::Held`], keep it until
    /// [`Action::Resume`]; reading is paused.
    pub fn received(
        &mut self,
        now: Instant,
        id: SessionId,
        len: usize,
        heard: Heard<T>,
    ) -> Result<(), NotTaken<Heard<T>>> {
        let at = self.tick(now);
        let Some(active) = self.active.get_mut(&id) else {
            return Err(NotTaken::Dead(heard));
        };
        active.pulse.heard(at);
        let taken = self.take_in(at, id, len, heard);
        match &taken {
            Ok(()) => {
                self.traffic.tally.messages_in += 1;
                if let Some(active) = self.active.get_mut(&id) {
                    active.traffic.tally.messages_in += 1;
                }
            }
            Err(_) => {
                if let Some(active) = self.active.get_mut(&id) {
                    active.held = Some(len);
                }
            }
        }
        self.update_reading(id);
        self.reschedule(id);
        taken.map_err(NotTaken::Held)
    }

    fn take_in(
        &mut self,
        at: Instant,
        id: SessionId,
        len: usize,
        heard: Heard<T>,
    ) -> Result<(), Heard<T>> {
        let has_room = self.pool_in.admits(len) && !self.is_behind();
        let Some(active) = self.active.get_mut(&id) else {
            return Err(heard);
        };
        match heard {
            Heard::Gossip(message) => {
                let waits = active.inbox.spent().messages > 0;
                let budget = self.config.budgets.inbox;
                active
                    .inbox
                    .push(budget, &mut self.pool_in, message, len)
                    .map_err(Heard::Gossip)?;
                if !waits {
                    self.turns.push_back(id);
                }
            }
            Heard::Request(message) => {
                let seq = has_room
                    .then(|| active.theirs.ask(at, &self.config.theirs))
                    .flatten();
                let Some(seq) = seq else {
                    return Err(Heard::Request(message));
                };
                let token = Token { session: id, seq };
                self.tell_message(Event::Request { token, message }, len);
            }
            Heard::Answer { key, message } => {
                if active.ours.expects(&key) && !has_room {
                    return Err(Heard::Answer { key, message });
                }
                let arrival = active.ours.answered(at, &key, &self.config.requests);
                let (took, late) = match arrival {
                    Arrival::InTime(took) => (took, None),
                    Arrival::Late { took, late } => (took, Some(late)),
                    Arrival::Unwanted => return Ok(()),
                    Arrival::Unsolicited => {
                        self.misdeed(at, id, Misdeed::Unsolicited);
                        return Ok(());
                    }
                };
                let answer = Event::Answer {
                    id,
                    key,
                    message,
                    took,
                    late,
                };
                self.tell_message(answer, len);
            }
            Heard::Ping { pong } => {
                if active.pulse.pinged(at, &self.config.keepalive) {
                    active.traffic.tally.pongs_out += 1;
                    self.traffic.tally.pongs_out += 1;
                    // A full lane has ended the session, and its closing event says so.
                    let _ = self.control(at, id, (pong, len, Tag::Plain));
                } else {
                    self.misdeed(at, id, Misdeed::PingFlood);
                }
            }
            Heard::Pong { nonce } => {
                if active.pulse.answered(at, nonce, &self.config.keepalive) {
                    active.traffic.tally.pongs_in += 1;
                    self.traffic.tally.pongs_in += 1;
                } else {
                    self.misdeed(at, id, Misdeed::StrayPong);
                }
            }
        }
        Ok(())
    }

    /// Whether an answer with this key would be expected; ask before decoding a long one (reth pull
    /// request 22508: answers nobody asked for cost 133 MB).
    pub fn expects(&self, id: SessionId, key: &T::Key) -> bool {
        let active = self.active.get(&id);
        active.is_some_and(|active| active.ours.expects(key))
    }

    /// Reads nothing more from this peer, or does again: pushes back on it where the caller has no
    /// room for what it sends. What was read already still comes. Nobody is late meanwhile.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn hold_back(&mut self, now: Instant, id: SessionId, hold: bool) -> Result<(), Dead> {
        let _ = self.tick(now);
        self.peer(id)?.held_back = hold;
        self.update_reading(id);
        self.reschedule(id);
        Ok(())
    }

    /// The nonce of the ping that the peer has not answered yet.
    pub fn awaited_pong(&self, id: SessionId) -> Option<u64> {
        self.active.get(&id)?.pulse.awaited()
    }

    /// Whether the next message of this peer is to be read.
    pub fn can_read(&self, id: SessionId) -> bool {
        let active = self.active.get(&id);
        active.is_some_and(|active| active.paused_since.is_none())
    }

    /// The peer did what its network does not allow; the caller saw it.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn misbehaved(&mut self, now: Instant, id: SessionId, what: Misdeed) -> Result<(), Dead> {
        let at = self.tick(now);
        let _ = self.peer(id)?;
        self.misdeed(at, id, what);
        Ok(())
    }

    pub(crate) fn misdeed(&mut self, at: Instant, id: SessionId, misdeed: Misdeed) {
        let conduct = self.config.conduct;
        let treatment = conduct.of(misdeed);
        // While the caller does not listen nothing is forgiven, so that what is told stays bounded.
        let forgives = !self.is_behind();
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        if treatment == Treatment::Ignore {
            return;
        }
        if forgives {
            active.forgive(at, conduct.forgive);
        }
        active.strikes += 1;
        let strikes = active.strikes;
        self.tell(Event::Misbehaved {
            id,
            misdeed,
            strikes,
        });
        if treatment == Treatment::End || strikes >= conduct.strikes {
            self.finish(at, id, End::by(&Cause::Misbehaved { misdeed, strikes }));
        }
    }

    /// Pauses or resumes reading, as the state of the session demands.
    pub(crate) fn update_reading(&mut self, id: SessionId) {
        let at = self.clock.latest();
        let relieved = self.is_relieved();
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        if active.paused_since.is_none() && active.is_full(&self.config) {
            active.paused_since = Some(at);
            self.push(Action::Pause(id));
        }
        let Some(active) = self.active.get_mut(&id) else {
            return;
        };
        let Some(since) = active.paused_since else {
            return;
        };
        if !active.has_room(&self.config) {
            return;
        }
        if let Some(len) = active.held
            && !(relieved && self.pool_in.admits(len))
        {
            let _ = self.starved.insert(id);
            return;
        }
        let paused = at.saturating_duration_since(since);
        active.paused_since = None;
        active.held = None;
        active.pulse.shift(paused, at);
        active.ours.shift(since, at);
        let _ = self.starved.remove(&id);
        self.push(Action::Resume(id));
        self.reschedule(id);
    }

    fn is_relieved(&self) -> bool {
        self.pool_in.is_relieved() && self.behind() <= self.config.backlog / 4 * 3
    }

    /// Room that all share became free: those who waited for it read again.
    pub(crate) fn relieve(&mut self) {
        if self.starved.is_empty() || !self.is_relieved() {
            return;
        }
        for id in std::mem::take(&mut self.starved) {
            // Whoever cannot go on is noted again.
            self.update_reading(id);
        }
    }
}

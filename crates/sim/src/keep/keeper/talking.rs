//! Messages of established peers, and what the table wants done.

use peerage_core::Direction;
use peerage_peers::{Action, Closed, Event, NotTaken, Outcome, Parting, Phase, SessionId};

use super::{Keeper, book_now, encode};
use crate::keep::net::Net;
use crate::keep::session::{Held, Life, decode};
use crate::stream::Order;

impl<N: Net> Keeper<N> {
    /// Takes in what was read, until the table can take no more.
    pub(super) fn read(&mut self, id: SessionId) {
        self.take_held(id);
        loop {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            if !session.held.is_empty() {
                return;
            }
            let Life::Live(codec) = &mut session.life else {
                return;
            };
            match decode::<N>(codec, &mut session.input) {
                Ok(Some((message, len))) => {
                    session.held.push_back((N::hear(message), len));
                    self.book.alive(book_now(self.now));
                    self.take_held(id);
                }
                Ok(None) => {
                    self.end_if_read(id);
                    return;
                }
                Err(reason) => {
                    self.over(id, Outcome::of_dialogue(reason));
                    return;
                }
            }
        }
    }

    pub(super) fn take_held(&mut self, id: SessionId) {
        loop {
            let session = self.sessions.get_mut(&id);
            let Some(held) = session.and_then(|session| session.held.pop_front()) else {
                return;
            };
            if let Some(held) = self.take_in(id, held) {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.held.push_front(held);
                }
                return;
            }
        }
    }

    pub(super) fn take_in(&mut self, id: SessionId, (heard, len): Held<N>) -> Option<Held<N>> {
        let heard = if N::ANSWERS_COME_UNASKED {
            heard.unless_asked(&self.table, id)
        } else {
            heard
        };
        match self.table.received(self.now.at, id, len, heard) {
            Err(NotTaken::Held(heard)) => Some((heard, len)),
            // Of a session that is over nothing matters any more.
            Err(NotTaken::Dead(_)) | Ok(()) => None,
        }
    }

    /// Writes the next message.
    pub(super) fn write(&mut self, id: SessionId) {
        let now = self.now.at;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Life::Live(codec) = &mut session.life else {
            return;
        };
        if session.is_writing {
            return;
        }
        let Some(message) = self.table.poll_transmit(now, id) else {
            return;
        };
        match encode::<N>(codec, &message) {
            Ok(bytes) => {
                session.is_writing = true;
                let (stream, len) = (session.stream, bytes.len());
                self.table.bytes_out(now, id, len);
                self.order(stream, Order::Write(bytes));
            }
            Err(reason) => self.over(id, Outcome::of_dialogue(reason)),
        }
    }

    pub(super) fn written(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.is_writing = false;
        match session.life {
            Life::Parting => self.over(id, Outcome::Left),
            Life::Live(_) => self.write(id),
            Life::Reaching | Life::Greeting(_) => {}
        }
    }

    pub(super) fn say_goodbye(&mut self, id: SessionId, say: Parting) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let life = std::mem::replace(&mut session.life, Life::Parting);
        let stream = session.stream;
        let words = match (life, N::farewell(say)) {
            (Life::Live(mut codec), Some(words)) => encode::<N>(&mut codec, &words).ok(),
            _ => None,
        };
        match words {
            // Once they are written, it is over.
            Some(words) => self.order(stream, Order::Write(words)),
            None => self.over(id, Outcome::Left),
        }
    }

    pub(super) fn act(&mut self, action: Action<N::Types>) {
        match action {
            Action::Abort(id) => {
                self.release(id);
                if let Some(session) = self.forget(id) {
                    self.order(session.stream, Order::Abort);
                }
            }
            Action::Close { id, say, .. } => self.say_goodbye(id, say),
            Action::Wake(id) => self.write(id),
            Action::Pause(id) => self.pause(id, true),
            Action::Resume(id) => {
                self.pause(id, false);
                self.read(id);
            }
            Action::Event(event) => self.hear(event),
        }
    }

    pub(super) fn pause(&mut self, id: SessionId, is_paused: bool) {
        if let Some(session) = self.sessions.get(&id) {
            let stream = session.stream;
            self.order(stream, Order::Read(!is_paused));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds of events grow, and only an application hears of most"
    )]
    pub(super) fn hear(&mut self, event: Event<N::Types>) {
        match event {
            Event::Gossip { id, message } => self.listen_for_addrs(id, &message),
            Event::Request { token, .. } => {
                // A node without an application; it may have ended a moment ago.
                let _dead = self.table.refuse(self.now.at, token);
            }
            Event::Misbehaved { .. } => self.tally.misdeeds += 1,
            Event::Stalled { .. } => self.tally.stalls += 1,
            Event::AlreadyConnected { .. } => self.tally.duplicates += 1,
            Event::Closed(closed) => self.closed(&closed),
            _ => {}
        }
    }

    pub(super) fn closed(&mut self, closed: &Closed<N::Types>) {
        let id = closed.id;
        self.release(id);
        if closed.direction == Direction::Inbound
            && closed.phase == Phase::Active
            && let (Some(key), Some(addr)) = (&closed.identity, &closed.addr)
        {
            self.occupied.left(key, addr);
        }
        let is_active = closed.phase == Phase::Active;
        if is_active {
            self.tally.ended(closed.ending, &closed.reason);
        } else if closed.direction == Direction::Outbound {
            self.tally.failed(&closed.reason);
        }
        if let Some(dial) = self.in_book.remove(&id) {
            self.may_dial = true;
            let now = book_now(self.now);
            let _open = if is_active {
                self.book.left(now, dial, &closed.reason)
            } else {
                self.book.outcome(now, dial, Err(closed.reason.clone()))
            };
        }
    }
}

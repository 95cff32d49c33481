//! Handshakes, and what follows them.

use peerage_book::Key;
use peerage_core::{Direction, Failure, Interruption};
use peerage_peers::{Outcome, Parting, SessionId, Standing};

use super::{Keeper, book_now};
use crate::keep::net::{Attempt, Net, Parts};
use crate::keep::session::{Driven, Life, Unreached, drive};
use crate::machine::Output;
use crate::stream::Order;

impl<N: Net> Keeper<N> {
    pub(super) fn greet(&mut self, id: SessionId) {
        let (seed, time) = (self.rng.bytes(), self.now.wall);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(addr) = session.addr else { return };
        let whom = session.whom.clone();
        let attempt = Attempt {
            addr,
            whom,
            time,
            seed,
        };
        let Some(greeting) = N::greet(&self.local, attempt) else {
            let reason = Unreached(std::io::ErrorKind::InvalidInput).reason();
            self.over(id, Outcome::Failed(reason));
            return;
        };
        session.life = Life::Greeting(greeting);
        self.go_on(id, false);
    }

    pub(super) fn alarmed(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.alarm = None;
        if session.deadline > self.now.at {
            self.go_on(id, true);
        } else if matches!(session.life, Life::Greeting(_)) {
            self.interrupted(id, Interruption::DeadlinePassed);
        }
    }

    pub(super) fn go_on(&mut self, id: SessionId, has_news: bool) {
        let now = self.now.at;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let life = std::mem::replace(&mut session.life, Life::Parting);
        let Life::Greeting(greeting) = life else {
            session.life = life;
            return;
        };
        let mut words = Vec::new();
        let write = |bytes: &[u8]| words.extend_from_slice(bytes);
        let driven = drive::<N>(greeting, now, &mut session.input, has_news, write);
        let stream = session.stream;
        if !words.is_empty() {
            self.outbox
                .push_back(Output::Stream(stream, Order::Write(words)));
        }
        match driven {
            Driven::Waits(greeting, wake_at) => {
                session.life = Life::Greeting(greeting);
                let at = wake_at.map_or(session.deadline, |at| at.min(session.deadline));
                if let Some(old) = session.alarm.replace(at) {
                    self.alarms.remove(&(old, id));
                }
                self.alarms.insert((at, id));
                self.end_if_read(id);
            }
            Driven::Failed(reason, last_words) => {
                if !last_words.is_empty() {
                    self.order(stream, Order::Write(last_words));
                }
                self.over(id, Outcome::of_dialogue(reason));
            }
            Driven::Done(peer) => {
                let parts = N::take_apart(&self.local, peer);
                self.greeted(id, parts);
            }
        }
    }

    pub(super) fn greeted(&mut self, id: SessionId, parts: Parts<N>) {
        self.release(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(at) = session.alarm.take() {
            self.alarms.remove(&(at, id));
        }
        let Some(addr) = session.addr else { return };
        let (refuses, direction) = (session.refuses, addr.direction());
        session.life = Life::Live(parts.session);
        if refuses {
            self.say_goodbye(id, Parting::Full);
            return;
        }
        let dialled_as = self.table.peer_at(self.now.at, id);
        let dialled_as = dialled_as.and_then(|shown| shown.identity);
        let Some(key) = Key::of_peer(parts.identity.as_ref(), dialled_as, &addr) else {
            return;
        };
        let now = self.now.at;
        if let (Some(identity), Direction::Inbound) = (&parts.identity, direction)
            && let Err(reason) = self.book.admits(Some(identity), None)
        {
            let _dead = self
                .table
                .disconnect(now, id, Parting::Requested, Some(reason));
            return;
        }
        let claimed = N::says_of_itself(&parts.profile);
        let welcome = peerage_peers::Greeted {
            identity: key.clone(),
            addr,
            profile: parts.profile,
            standing: Standing::Ordinary,
            tie: parts.tie,
        };
        if self.table.established(now, id, welcome).is_err() {
            // The closing event says why; the book hears of it there.
            return;
        }
        let now = book_now(self.now);
        let mut hearsay = peerage_book::Hearsay::new(now, &addr);
        if let Some((claimed, services)) = claimed {
            hearsay.alternates(now, &addr, claimed, services);
        }
        match self.in_book.get(&id).copied() {
            Some(dial) => {
                self.tally.greeted_out += 1;
                let _open = self.book.outcome(now, dial, Ok(parts.greeted));
            }
            None => {
                self.tally.greeted_in += 1;
                self.occupied.arrived(&key, &addr);
                let arrived = self.book.arrived(now, &addr, parts.identity, parts.greeted);
                if let Some(dial) = arrived {
                    self.in_book.insert(id, dial);
                }
            }
        }
        self.meet(id, hearsay);
        self.read(id);
    }
}

//! What the tasks of sessions tell, and what they are given.

use std::collections::VecDeque;
use std::sync::Arc;

use peerage_book::{DialId, Hearsay, Key};
use peerage_core::Direction;
use peerage_peers::{Greeted, NotTaken, Parting, Permit, SessionId, Types};
use tokio::task::AbortHandle;

use crate::network::{Heard, Network};
use crate::owner::Owner;
use crate::post::{Orders, post};
use crate::session::{Begin, Ends, Greeting, HANDSHAKE, Time, Told, run};

/// The owner's side of a session.
pub(crate) struct Session<N: Network> {
    pub(crate) task: AbortHandle,
    pub(crate) orders: Orders<<N::Types as Types>::Message>,
    /// Whether a message is on its way through the task.
    pub(crate) is_writing: bool,
    /// Read, and not taken yet; the task reads only so much ahead of us.
    pub(crate) held: VecDeque<Heard<N::Types>>,
    /// Its place before the handshake, when it is inbound.
    pub(crate) permit: Option<Permit>,
    /// What it told of others, on networks where peers do.
    pub(crate) hearsay: Option<Box<Hearsay>>,
    /// Whom we dialled, or do, where it comes from; on networks without identities.
    pub(crate) stands_for: Option<Key>,
    /// What the handshake said, until it is told.
    pub(crate) profile: Option<Box<<N::Types as Types>::Profile>>,
}

impl<N: Network> Owner<N> {
    /// Starts an attempt's task.
    pub(crate) fn begin(&mut self, id: SessionId, book: Option<DialId>, begin: Begin, time: Time) {
        let (orders, post) = post();
        let tell = self.tell.clone();
        let ends = Ends { id, tell, post };
        let network = Arc::clone(&self.network);
        let task = self.tasks.spawn(run(network, begin, time, ends));
        let session = Session {
            task,
            orders,
            is_writing: false,
            held: VecDeque::new(),
            permit: None,
            hearsay: None,
            stands_for: None,
            profile: None,
        };
        self.sessions.insert(id, session);
        if let Some(dial) = book {
            self.in_book.insert(id, dial);
        }
    }

    /// A session's task has something to tell.
    pub(crate) fn heard(&mut self, id: SessionId, told: Told<N>) {
        let now = self.now();
        match told {
            Told::Reached(from) => {
                self.ourselves.reached(from, self.dialled_at(id));
                // Its deadline may have passed a moment ago.
                let _dead = self.table.stage(now, id, HANDSHAKE);
            }
            Told::Greeted(greeting) => self.greeted(id, *greeting),
            Told::Heard(heard) => {
                let now = self.book_now();
                self.book.alive(now);
                self.heard_message(id, heard);
            }
            Told::Written => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.is_writing = false;
                }
                self.write(id);
            }
            Told::Traffic(read, written) => {
                self.table.bytes_in(now, id, read);
                self.table.bytes_out(now, id, written);
            }
            Told::Ended(outcome) => {
                self.release(id);
                self.table.ended(now, id, outcome);
                self.forget_if_over(id);
            }
        }
    }

    fn greeted(&mut self, id: SessionId, greeting: Greeting<N>) {
        let Greeting {
            identity,
            profile,
            tie,
            greeted,
            addr,
        } = greeting;
        self.release(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.profile = Some(Box::new(profile.clone()));
        let mut hearsay = Hearsay::new(self.book_now(), &addr);
        if let Some((claimed, services)) = N::says_of_itself(&profile) {
            hearsay.alternates(self.book_now(), &addr, claimed, services);
        }
        let dialled = self.in_book.get(&id).copied();
        let direction = addr.direction();
        let dialled_as = self.table.peer_at(self.now(), id);
        let dialled_as = dialled_as.and_then(|shown| shown.identity);
        let Some(key) = Key::of_peer(identity.as_ref(), dialled_as, &addr) else {
            return;
        };
        let (now, standing) = (self.now(), self.standing(&key));
        if let (Some(identity), Direction::Inbound) = (&identity, direction)
            && let Err(reason) = self.book.admits(Some(identity), None)
        {
            // It has ended already otherwise.
            let _dead = self
                .table
                .disconnect(now, id, Parting::Requested, Some(reason));
            return;
        }
        let welcome = Greeted {
            identity: key.clone(),
            addr,
            profile,
            standing,
            tie,
        };
        if self.table.established(now, id, welcome).is_err() {
            // The closing event says why; the book hears of it there.
            return;
        }
        if let Some(at) = self.found_by.take(&key)
            && let Some(found) = self.finders.get_mut(at)
        {
            found.lived += 1;
        }
        match dialled {
            Some(dial) => self.book_outcome(dial, Ok(greeted)),
            None => {
                self.arrived_at_host(&key, &addr);
                let now = self.book_now();
                let arrived = match self.stands_for(id, &addr) {
                    Some(candidate) => self.book.arrived_for(now, &candidate, greeted.agent),
                    None => self.book.arrived(now, &addr, identity, greeted),
                };
                if let Some(dial) = arrived {
                    self.in_book.insert(id, dial);
                }
            }
        }
        self.meet(id, hearsay);
    }

    /// Its handshake is over, well or badly.
    pub(crate) fn release(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && let Some(permit) = session.permit.take()
        {
            self.permits.remove(&permit.number());
            let _displaced = self.admission.release(permit);
        }
    }

    /// A message came; behind those that wait, if any do.
    fn heard_message(&mut self, id: SessionId, heard: Heard<N::Types>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.held.push_back(heard);
        if session.held.len() == 1 {
            self.take_held(id);
        }
    }

    /// Hands the table what was read, until it can take no more.
    pub(crate) fn take_held(&mut self, id: SessionId) {
        loop {
            let session = self.sessions.get_mut(&id);
            let Some((heard, len)) = session.and_then(|session| session.held.pop_front()) else {
                break;
            };
            let not_taken = self.take_in(id, heard, len);
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            if let Some(heard) = not_taken {
                session.held.push_front((heard, len));
                return;
            }
            session.orders.took(len);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            // Most sessions never hold anything again.
            session.held = VecDeque::new();
        }
    }

    fn take_in(
        &mut self,
        id: SessionId,
        heard: peerage_peers::Heard<N::Types>,
        len: usize,
    ) -> Option<peerage_peers::Heard<N::Types>> {
        let now = self.now();
        let heard = if N::ANSWERS_COME_UNASKED {
            heard.unless_asked(&self.table, id)
        } else {
            heard
        };
        match self.table.received(now, id, len, heard) {
            Err(NotTaken::Held(heard)) => Some(heard),
            // Of a session that is over nothing matters any more.
            Err(NotTaken::Dead(_)) | Ok(()) => None,
        }
    }

    /// Gives a session's task the next message to write.
    pub(crate) fn write(&mut self, id: SessionId) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.is_writing {
            return;
        }
        if let Some(message) = self.table.poll_transmit(now, id) {
            session.orders.write(message);
            session.is_writing = true;
        }
    }
}

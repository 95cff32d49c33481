//! Addresses that peers tell of, by the rules of the book.

use peerage_book::Hearsay;
use peerage_peers::{Misdeed, SessionId};

use super::{Keeper, book_now};
use crate::keep::net::{MessageOf, Net};
use crate::keep::session::Attended;

impl<N: Net> Keeper<N> {
    pub(super) fn meet(&mut self, id: SessionId, hearsay: Hearsay) {
        if N::ask_for_addrs().is_none() {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.hearsay = Some(hearsay);
        }
        if self.book.asks_peers(self.is_hungry) {
            self.ask_for_addrs(id);
        }
    }

    /// While more peers are wanted, one of those that were not asked lately is asked for others.
    pub(super) fn ask_somebody_again(&mut self) {
        if !self.is_hungry {
            return;
        }
        let now = book_now(self.now);
        let may_be_asked = |session: &Attended<N>| {
            let hearsay = session.hearsay.as_ref();
            hearsay.is_some_and(|hearsay| hearsay.may_ask(now))
        };
        let mut sessions = self.sessions.iter();
        if let Some((&id, _)) = sessions.find(|(_, session)| may_be_asked(session)) {
            self.ask_for_addrs(id);
        }
    }

    fn ask_for_addrs(&mut self, id: SessionId) {
        let now = book_now(self.now);
        let session = self.sessions.get_mut(&id);
        let hearsay = session.and_then(|session| session.hearsay.as_mut());
        if let Some(hearsay) = hearsay.filter(|hearsay| hearsay.may_ask(now))
            && let Some(question) = N::ask_for_addrs()
        {
            let len = N::len(&question);
            if self.table.send(now.at, id, question, len).is_ok() {
                hearsay.ask(now);
            }
        }
    }

    pub(super) fn listen_for_addrs(&mut self, id: SessionId, message: &MessageOf<N>) {
        let now = book_now(self.now);
        if N::asks_for_addrs(message) {
            self.answer_addrs(id);
        }
        let Some(entries) = N::addrs(message) else {
            return;
        };
        let session = self.sessions.get_mut(&id);
        let Some(hearsay) = session.and_then(|session| session.hearsay.as_mut()) else {
            return;
        };
        match hearsay.receive(now, &entries, Hearsay::MOST) {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                let source = hearsay.source();
                let taken = self.book.gossip(now, &source, &entries);
                self.tally.told += taken.new as u64;
                self.may_dial = true;
            }
            Err(_) => {
                let misdeed = Misdeed::BadMessage;
                let _dead = self.table.misbehaved(now.at, id, misdeed);
            }
        }
    }

    pub(super) fn answer_addrs(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(&id);
        let Some(hearsay) = session.and_then(|session| session.hearsay.as_mut()) else {
            return;
        };
        if !hearsay.may_answer() {
            return;
        }
        let told = self
            .book
            .answer(book_now(self.now), peerage_core::Domain::default());
        let profile = self.table.profile(id);
        let message = profile.and_then(|profile| N::tell_addrs(&told, profile));
        if let Some(message) = message {
            let len = N::len(&message);
            // A peer that takes too little misses it.
            let _full = self.table.gossip(self.now.at, id, message, len);
        }
    }
}

//! Addresses that peers tell of, by the rules of the book.

use peerage_book::Hearsay;
use peerage_core::Direction;
use peerage_peers::{Misdeed, SessionId};

use super::{Keeper, book_now};
use crate::keep::net::{MessageOf, Net};

impl<N: Net> Keeper<N> {
    pub(super) fn meet(&mut self, id: SessionId, direction: Direction, mut hearsay: Hearsay) {
        let Some(question) = N::ask_for_addrs() else {
            return;
        };
        let len = N::len(&question);
        let asks = direction == Direction::Outbound
            && self.book.asks_peers(self.is_hungry)
            && self.table.send(self.now.at, id, question, len).is_ok();
        if asks {
            hearsay.ask();
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.hearsay = Some(hearsay);
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

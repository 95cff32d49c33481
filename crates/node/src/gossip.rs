//! Addresses that peers tell of, by the rules of the book.

use peerage_book::{Hearsay, Now};
use peerage_core::{Domain, Exposure};
use peerage_peers::{Misdeed, SessionId, Types};

use crate::network::Network;
use crate::owner::Owner;
use crate::sessions::Session;

impl<N: Network> Owner<N> {
    /// A peer is established: those we dialled are asked for others, unless we know many.
    pub(crate) fn meet(&mut self, id: SessionId, hearsay: Hearsay) {
        if N::ask_for_addrs().is_none() {
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.hearsay = Some(Box::new(hearsay));
        }
        if self.book.asks_peers(self.is_hungry) {
            self.ask_for_addrs(id);
        }
    }

    /// While more peers are wanted, one of those that were not asked lately is asked for others.
    pub(crate) fn ask_somebody_again(&mut self) {
        if !self.is_hungry {
            return;
        }
        let now = self.book_now();
        let may_be_asked = |session: &Session<N>| {
            let hearsay = session.hearsay.as_ref();
            hearsay.is_some_and(|hearsay| hearsay.may_ask(now))
        };
        let mut sessions = self.sessions.iter();
        if let Some((&id, _)) = sessions.find(|(_, session)| may_be_asked(session)) {
            self.ask_for_addrs(id);
        }
    }

    fn ask_for_addrs(&mut self, id: SessionId) {
        let now = self.book_now();
        let session = self.sessions.get_mut(&id);
        let hearsay = session.and_then(|session| session.hearsay.as_mut());
        if let Some(hearsay) = hearsay.filter(|hearsay| hearsay.may_ask(now))
            && let Some(question) = N::ask_for_addrs()
        {
            let len = N::len(&question);
            // Of one that was not asked nothing is believed.
            if self.table.send(now.at, id, question, len).is_ok() {
                hearsay.ask(now);
            }
        }
    }

    /// Looks at a message for addresses told or asked for. The application sees it all the same.
    pub(crate) fn listen_for_addrs(
        &mut self,
        id: SessionId,
        message: &<N::Types as Types>::Message,
    ) {
        let now = self.book_now();
        if N::asks_for_addrs(message) {
            self.answer_addrs(now, id);
        }
        let Some(entries) = N::addrs(message) else {
            return;
        };
        let Some(hearsay) = self
            .sessions
            .get_mut(&id)
            .and_then(|it| it.hearsay.as_mut())
        else {
            return;
        };
        match hearsay.receive(now, &entries, Hearsay::MOST) {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                let source = hearsay.source();
                let _taken = self.book.gossip(now, &source, &entries);
                self.may_dial = true;
            }
            Err(_) => {
                // It may have ended a moment ago.
                let _dead = self.table.misbehaved(now.at, id, Misdeed::BadMessage);
            }
        }
    }

    fn answer_addrs(&mut self, now: Now, id: SessionId) {
        let Some(hearsay) = self
            .sessions
            .get_mut(&id)
            .and_then(|it| it.hearsay.as_mut())
        else {
            return;
        };
        if !hearsay.may_answer() {
            return;
        }
        let direct = self.table.peer_at(now.at, id).and_then(|peer| peer.addr);
        if direct.is_none_or(|addr| addr.exposure() != Exposure::Direct) {
            return;
        }
        let told = self.book.answer(now, Domain::default());
        let profile = self.table.profile(id);
        if told.is_empty() {
            return;
        }
        if let Some(message) = profile.and_then(|profile| N::tell_addrs(&told, profile)) {
            let len = N::len(&message);
            // A peer that takes too little misses it.
            let _full = self.table.gossip(now.at, id, message, len);
        }
    }
}

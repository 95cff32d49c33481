//! From the choice of the book to a stream.

use peerage_book::{Address, Dial};
use peerage_core::{ConnectedAddr, Failure};
use peerage_peers::{SessionId, Standing};

use super::{Keeper, book_now};
use crate::keep::net::Net;
use crate::keep::session::Attended;
use crate::stream::{Order, StreamId};

impl<N: Net> Keeper<N> {
    pub(super) fn dial(&mut self) {
        if !self.may_dial {
            return;
        }
        self.may_dial = false;
        let now = book_now(self.now);
        loop {
            self.occupied.free = self.table.free_dials();
            let wants = self.occupied.free > 0;
            let Some(dial) = self.book.next_dial(now, &self.occupied) else {
                if !wants || self.book.is_exhausted(now) {
                    self.is_hungry = wants;
                }
                return;
            };
            self.is_hungry = false;
            self.begin_dial(dial);
        }
    }

    pub(super) fn begin_dial(&mut self, dial: Dial) {
        let now = self.now.at;
        let Address::At(endpoint) = dial.address else {
            return;
        };
        if self.banned.contains(&endpoint.ip()) {
            self.tally.banned_dialled += 1;
        }
        self.tally.dials += 1;
        let asked = peerage_peers::Dial {
            identity: dial.key.clone(),
            addr: Some(endpoint),
            standing: Standing::Ordinary,
        };
        match self.table.dial(now, asked) {
            Ok(id) => {
                let stream = StreamId::ours(self.next_stream);
                self.next_stream += 1;
                let mut session = Attended::new(stream, now + self.attempt_limit);
                session.whom = dial.identity;
                session.addr = Some(ConnectedAddr::OutboundDirect { addr: endpoint });
                self.in_book.insert(id, dial.id);
                self.attend(id, session);
                self.order(stream, Order::Connect(endpoint.socket_addr()));
            }
            Err(refused) => {
                let reason = refused.reason();
                self.tally.failed(&reason);
                // Every dial of the book has one outcome; a second one is not possible.
                let now = book_now(self.now);
                let _open = self.book.outcome(now, dial.id, Err(reason));
            }
        }
    }

    pub(super) fn attend(&mut self, id: SessionId, session: Attended<N>) {
        self.by_stream.insert(session.stream, id);
        self.sessions.insert(id, session);
    }
}

//! What happens to the streams of attempts and sessions.

use std::net::SocketAddr;

use peerage_core::{ConnectedAddr, Failure, Interruption, Stage};
use peerage_peers::{Fate, Outcome, Parting, SessionId, Standing};

use super::Keeper;
use crate::keep::net::Net;
use crate::keep::session::{Attended, Driven, Life, Unreached, ended, interrupt};
use crate::machine::Now;
use crate::stream::{Heard, Order, StreamId};

impl<N: Net> Keeper<N> {
    pub(in crate::keep) fn handle_stream(&mut self, now: Now, stream: StreamId, heard: Heard) {
        self.now = now;
        match (self.by_stream.get(&stream).copied(), heard) {
            (None, Heard::Accepted(from)) => self.accepted(stream, from),
            (Some(id), heard) => self.heard(id, heard),
            // Of a stream that is over nothing matters any more.
            (None, _) => {}
        }
        self.settle();
    }

    pub(super) fn accepted(&mut self, stream: StreamId, from: SocketAddr) {
        let now = self.now.at;
        let addr = ConnectedAddr::InboundDirect { addr: from.into() };
        if self.book.admits(None, Some(from.ip())).is_err() {
            self.tally.turned_away += 1;
            self.order(stream, Order::Close);
            return;
        }
        let Ok(permit) = self.admission.try_admit(now, from.ip()) else {
            self.tally.turned_away += 1;
            self.order(stream, Order::Close);
            return;
        };
        while let Some(number) = self.admission.poll_displaced() {
            self.displace(number);
        }
        let Ok(admitted) = self.table.admit(now, addr, Standing::Ordinary) else {
            self.tally.turned_away += 1;
            let _released = self.admission.release(permit);
            self.order(stream, Order::Close);
            return;
        };
        let deadline = match admitted.fate {
            Fate::Greet => now + self.attempt_limit,
            Fate::Refuse { until } => until,
        };
        let mut session = Attended::new(stream, deadline);
        session.addr = Some(addr);
        session.refuses = matches!(admitted.fate, Fate::Refuse { .. });
        self.permits.insert(permit.number(), admitted.id);
        session.permit = Some(permit);
        self.attend(admitted.id, session);
        self.greet(admitted.id);
    }

    pub(super) fn displace(&mut self, number: u64) {
        let Some(id) = self.permits.remove(&number) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.permit = None;
        }
        let why = peerage_peers::NotAdmitted::Displaced.reason();
        // It may have ended a moment ago.
        let _dead = self
            .table
            .disconnect(self.now.at, id, Parting::Full, Some(why));
    }

    pub(super) fn heard(&mut self, id: SessionId, heard: Heard) {
        let now = self.now.at;
        match heard {
            Heard::Accepted(_) => {}
            Heard::Connected => {
                // Its deadline may have passed a moment ago.
                let _dead = self.table.stage(now, id, Stage::Greet("handshake"));
                self.greet(id);
            }
            Heard::Failed(why) => self.over(id, Outcome::Failed(Unreached(why).reason())),
            Heard::Data(bytes) => {
                let Some(session) = self.sessions.get_mut(&id) else {
                    return;
                };
                session.input.extend_from_slice(&bytes);
                match session.life {
                    Life::Greeting(_) => self.go_on(id, true),
                    Life::Live(_) => {
                        self.table.bytes_in(now, id, bytes.len());
                        self.read(id);
                    }
                    Life::Reaching | Life::Parting => session.input.clear(),
                }
            }
            Heard::Written => self.written(id),
            Heard::Ended => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.is_ended = true;
                }
                self.end_if_read(id);
            }
            Heard::Broken(why) => {
                self.interrupted(id, Interruption::from_io(&std::io::Error::from(why)));
            }
        }
    }

    /// Its stream is over, in whatever state it is.
    pub(super) fn interrupted(&mut self, id: SessionId, cause: Interruption) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut session.life, Life::Parting) {
            Life::Greeting(greeting) => match interrupt::<N>(greeting, cause) {
                Driven::Failed(reason, _) => self.over(id, Outcome::of_dialogue(reason)),
                Driven::Waits(..) | Driven::Done(_) => {}
            },
            Life::Live(_) => self.over(id, ended(cause)),
            Life::Reaching | Life::Parting => self.over(id, Outcome::Left),
        }
    }

    /// The other end has ended: once all is read that it said, so is the session.
    pub(super) fn end_if_read(&mut self, id: SessionId) {
        let done = self
            .sessions
            .get(&id)
            .is_some_and(|session| session.is_ended && session.held.is_empty());
        if done {
            self.interrupted(id, Interruption::Closed);
        }
    }

    /// It is over: the stream is closed, the table hears how it ended.
    pub(super) fn over(&mut self, id: SessionId, outcome: Outcome) {
        self.release(id);
        if let Some(session) = self.forget(id) {
            self.order(session.stream, Order::Close);
        }
        self.table.ended(self.now.at, id, outcome);
    }

    pub(super) fn forget(&mut self, id: SessionId) -> Option<Attended<N>> {
        let session = self.sessions.remove(&id)?;
        self.by_stream.remove(&session.stream);
        if let Some(at) = session.alarm {
            self.alarms.remove(&(at, id));
        }
        Some(session)
    }

    pub(super) fn release(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && let Some(permit) = session.permit.take()
        {
            self.permits.remove(&permit.number());
            let _displaced = self.admission.release(permit);
        }
    }
}

//! What the peer table wants done, and what it has to tell.

use peerage_core::Direction;
use peerage_peers::{Action, Phase, SessionId, Types};

use crate::events::Event;
use crate::figures::Ended;
use crate::handle::RequestError;
use crate::network::Network;
use crate::owner::Owner;
use crate::post::Orders;

/// How a session's task is told what to do.
type OrdersOf<N> = Orders<<<N as Network>::Types as Types>::Message>;

impl<N: Network> Owner<N> {
    /// Does what the table wants.
    pub(crate) fn act(&mut self, action: Action<N::Types>) {
        match action {
            Action::Abort(id) => {
                self.release(id);
                if let Some(session) = self.sessions.remove(&id) {
                    session.task.abort();
                }
            }
            Action::Close { id, say, until } => self.order(id, |orders| orders.close(say, until)),
            Action::Wake(id) => self.write(id),
            Action::Pause(id) => self.order(id, |orders| orders.pause(true)),
            Action::Resume(id) => {
                self.order(id, |orders| orders.pause(false));
                self.take_held(id);
            }
            Action::Event(event) => self.tell(event),
        }
    }

    fn order(&self, id: SessionId, change: impl FnOnce(&OrdersOf<N>)) {
        if let Some(session) = self.sessions.get(&id) {
            change(&session.orders);
        }
    }

    fn tell(&mut self, event: peerage_peers::Event<N::Types>) {
        use peerage_peers::Event as Of;
        let event = match event {
            Of::Established { id, identity, addr } => {
                self.counters.established[usize::from(addr.direction() == Direction::Outbound)] +=
                    1;
                let session = self.sessions.get_mut(&id);
                let Some(profile) = session.and_then(|session| session.profile.take()) else {
                    return;
                };
                Event::Established {
                    id,
                    key: identity,
                    addr,
                    profile: *profile,
                }
            }
            Of::Gossip { id, message } => {
                self.listen_for_addrs(id, &message);
                Event::Message { id, message }
            }
            Of::Request { token, message } => Event::Request { token, message },
            Of::RequestGivenUp { token } => Event::RequestGivenUp { token },
            Of::Answer {
                id,
                key,
                message,
                took,
                late,
            } => {
                if let Some(late) = late {
                    self.counters.late_answers += 1;
                    self.publish(Event::LateAnswer {
                        id,
                        key,
                        message,
                        took,
                        late,
                    });
                } else if let Some(asked) = self.asked.remove(&(id, key)) {
                    // Whoever asked may have gone.
                    let _gone = asked.send(Ok((message, took)));
                }
                return;
            }
            Of::Overdue { id, key } => {
                self.counters.overdue += 1;
                if let Some(asked) = self.asked.remove(&(id, key)) {
                    let _gone = asked.send(Err(RequestError::Overdue));
                }
                return;
            }
            Of::Misbehaved {
                id,
                misdeed,
                strikes,
            } => {
                *self.tallies.misdeeds.entry(misdeed).or_default() += 1;
                Event::Misbehaved {
                    id,
                    misdeed,
                    strikes,
                }
            }
            Of::Incompatible {
                id,
                identity,
                reason,
            } => Event::Incompatible {
                id,
                key: identity,
                reason,
            },
            Of::AlreadyConnected {
                identity,
                kept,
                dropped,
                ..
            } => Event::AlreadyConnected {
                key: identity,
                kept,
                dropped,
            },
            Of::Closed(closed) => {
                *self.tallies.ended.entry(Ended::of(&closed)).or_default() += 1;
                self.closed(&closed);
                Event::Closed(closed)
            }
            Of::Stalled { lost } => Event::Stalled { lost },
            // A later kind.
            _ => return,
        };
        self.publish(event);
    }

    /// An attempt or a session is over: the book learns why.
    fn closed(&mut self, closed: &peerage_peers::Closed<N::Types>) {
        let id = closed.id;
        self.release(id);
        self.mirrored(closed);
        for key in &closed.unanswered {
            if let Some(asked) = self.asked.remove(&(id, key.clone())) {
                let reason = Box::new(closed.reason.clone());
                let _gone = asked.send(Err(RequestError::Closed(reason)));
            }
        }
        if closed.direction == Direction::Inbound
            && closed.phase == Phase::Active
            && let (Some(key), Some(addr)) = (&closed.identity, &closed.addr)
        {
            self.occupied.left(key, addr);
        }
        // Its task may be gone already; the book is owed its end all the same.
        if let Some(dial) = self.in_book.remove(&id) {
            self.may_dial = true;
            let now = self.book_now();
            // What the book was told of is open there until now.
            let _open = if closed.phase == Phase::Active {
                self.book.left(now, dial, &closed.reason)
            } else {
                self.book.outcome(now, dial, Err(closed.reason.clone()))
            };
        }
    }

    /// Its task has ended; whatever the table wanted of it is moot.
    pub(crate) fn forget_if_over(&mut self, id: SessionId) {
        // What the table wanted of it before it ended is still to come.
        while self.table.waiting() > 0 {
            let Some(action) = self.table.poll_action() else {
                break;
            };
            self.act(action);
        }
        self.sessions.remove(&id);
    }
}

//! What the owner is told: calls that were checked, and what ended without one.

use std::sync::{Mutex, PoisonError};

use peerage_matcher::{Announcement, CompartmentId, ConnectionId, Offer, Stats, VolunteerId};
use tokio::sync::{Notify, oneshot};

use crate::broker::admit::ByKind;
use crate::message::Reply;

/// One call that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) struct CallId(pub(in crate::broker) u64);

/// One connection of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) struct ConnectionNumber(pub(in crate::broker) u64);

/// What the owner needs to know of whoever calls.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Caller {
    pub(in crate::broker) call: CallId,
    /// The serial of its session.
    pub(in crate::broker) session: u64,
    pub(in crate::broker) connection: ConnectionNumber,
}

/// What an introduction's record says besides what the matcher keeps.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Purpose {
    pub(in crate::broker) destination: String,
    pub(in crate::broker) tag: String,
}

/// A call, checked and put into the matcher's terms.
pub(in crate::broker) enum Command {
    Announce {
        caller: Caller,
        announcement: Box<Announcement>,
        personal: Vec<CompartmentId>,
        common: Vec<CompartmentId>,
        reply: oneshot::Sender<Reply>,
    },
    Offer {
        caller: Caller,
        offer: Box<Offer>,
        personal: Vec<CompartmentId>,
        common: Vec<CompartmentId>,
        purpose: Purpose,
        reply: oneshot::Sender<Reply>,
    },
    Answer {
        volunteer: VolunteerId,
        connection: ConnectionId,
        description: Box<ByKind>,
        reply: oneshot::Sender<Reply>,
    },
    AnswerError {
        volunteer: VolunteerId,
        connection: ConnectionId,
        reply: oneshot::Sender<Reply>,
    },
    Coming {
        volunteer: VolunteerId,
        connection: ConnectionId,
        reply: oneshot::Sender<Reply>,
    },
    Explain {
        session: u64,
        reply: oneshot::Sender<Reply>,
    },
    Stats {
        reply: oneshot::Sender<Stats>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// What ended without a call: calls whose callers hung up, and connections. Every entry was once a call
/// or a connection, and both are bounded.
#[derive(Default)]
pub(in crate::broker) struct Gone {
    list: Mutex<(Vec<CallId>, Vec<ConnectionNumber>)>,
    pub(super) notify: Notify,
}

impl Gone {
    pub(in crate::broker) fn call(&self, call: CallId) {
        self.lock().0.push(call);
        self.notify.notify_one();
    }

    pub(in crate::broker) fn connection(&self, connection: ConnectionNumber) {
        self.lock().1.push(connection);
        self.notify.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<CallId>, Vec<ConnectionNumber>)> {
        // Pushing and taking leave it sound.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> (Vec<CallId>, Vec<ConnectionNumber>) {
        std::mem::take(&mut *self.lock())
    }
}

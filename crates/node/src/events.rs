//! What happens in a node, for its application.

use std::sync::Arc;
use std::time::Duration;

use peerage_book::{Address, Key};
use peerage_core::{ConnectedAddr, Reason};
use peerage_peers::{Closed, Misdeed, SessionId, Token, Types};
use tokio::sync::mpsc;

use crate::network::Network;
use crate::owner::Owner;
use crate::subscribe::USUAL;

/// What happened. Of one attempt [`Event::Dialling`] comes first if we dial, of one session
/// [`Event::Established`] comes before all else that is about it, and [`Event::Closed`] comes last.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<N: Network> {
    /// A finder found candidates; of a crowd it is told in several parts.
    Found {
        /// Its place among [`Handle::finders`](crate::Handle::finders).
        finder: usize,
        /// What it calls itself.
        source: peerage_find::Source,
        /// How many it gave.
        gave: usize,
        /// Those of them that the book did not know and took.
        new: Vec<Key>,
    },
    /// A dial begins.
    Dialling {
        /// The attempt.
        id: SessionId,
        /// Who.
        key: Key,
        /// Where.
        address: Address,
        /// Why this one: `static`, `anchor`, `tried` or `new`.
        why: &'static str,
    },
    /// A peer is established.
    Established {
        /// Its session.
        id: SessionId,
        /// Who.
        key: Key,
        /// What was connected.
        addr: ConnectedAddr,
        /// What the handshake said.
        profile: <N::Types as Types>::Profile,
    },
    /// A message that neither asks nor answers.
    Message {
        /// From whom.
        id: SessionId,
        /// The message.
        message: <N::Types as Types>::Message,
    },
    /// A peer asks. Answer with [`crate::Handle::respond`] or [`crate::Handle::refuse`].
    Request {
        /// Names the request.
        token: Token,
        /// The message.
        message: <N::Types as Types>::Message,
    },
    /// A peer's request was not answered in time and was given up.
    RequestGivenUp {
        /// Which.
        token: Token,
    },
    /// The answer to a request of ours came after whoever asked was told that it is overdue.
    LateAnswer {
        /// By whom.
        id: SessionId,
        /// Which request.
        key: <N::Types as Types>::Key,
        /// The message.
        message: <N::Types as Types>::Message,
        /// How long it took since the request went out.
        took: Duration,
        /// How long after its deadline that is.
        late: Duration,
    },
    /// A peer did what its network does not allow.
    Misbehaved {
        /// Who.
        id: SessionId,
        /// What.
        misdeed: Misdeed,
        /// How often by now.
        strikes: u32,
    },
    /// A peer is of no use any more; its closing event follows.
    Incompatible {
        /// Who.
        id: SessionId,
        /// Who.
        key: Key,
        /// Why.
        reason: Reason,
    },
    /// Two connections with one peer; one of them goes.
    AlreadyConnected {
        /// Who.
        key: Key,
        /// The session that stays.
        kept: SessionId,
        /// The one that goes.
        dropped: SessionId,
    },
    /// An attempt or a session is over.
    Closed(Box<Closed<N::Types>>),
    /// We stood still; deadlines were moved by as much.
    Stalled {
        /// For how long.
        lost: Duration,
    },
}

/// See [`Event::NAMES`].
const NAMES: [&str; 12] = [
    "found",
    "dialling",
    "established",
    "message",
    "request",
    "request_given_up",
    "late_answer",
    "misbehaved",
    "incompatible",
    "already_connected",
    "closed",
    "stalled",
];

impl<N: Network> Event<N> {
    /// The names of all kinds, in the order of their declaration. Whoever translates events can
    /// compare its own list with this one.
    pub const NAMES: &'static [&'static str] = &NAMES;

    /// The name of its kind, one of [`Event::NAMES`].
    pub const fn name(&self) -> &'static str {
        // A kind that the list does not have is no place in it, and does not compile.
        match self {
            Self::Found { .. } => NAMES[0],
            Self::Dialling { .. } => NAMES[1],
            Self::Established { .. } => NAMES[2],
            Self::Message { .. } => NAMES[3],
            Self::Request { .. } => NAMES[4],
            Self::RequestGivenUp { .. } => NAMES[5],
            Self::LateAnswer { .. } => NAMES[6],
            Self::Misbehaved { .. } => NAMES[7],
            Self::Incompatible { .. } => NAMES[8],
            Self::AlreadyConnected { .. } => NAMES[9],
            Self::Closed(_) => NAMES[10],
            Self::Stalled { .. } => NAMES[11],
        }
    }

    /// The message of a peer that it carries.
    pub const fn message(&self) -> Option<&<N::Types as Types>::Message> {
        match self {
            Self::Message { message, .. }
            | Self::Request { message, .. }
            | Self::LateAnswer { message, .. } => Some(message),
            Self::Found { .. }
            | Self::Dialling { .. }
            | Self::Established { .. }
            | Self::RequestGivenUp { .. }
            | Self::Misbehaved { .. }
            | Self::Incompatible { .. }
            | Self::AlreadyConnected { .. }
            | Self::Closed(_)
            | Self::Stalled { .. } => None,
        }
    }
}

// Derived, it would ask the network itself to be `Clone`.
impl<N: Network> Clone for Event<N> {
    fn clone(&self) -> Self {
        match self {
            Self::Found {
                finder,
                source,
                gave,
                new,
            } => Self::Found {
                finder: *finder,
                source: *source,
                gave: *gave,
                new: new.clone(),
            },
            Self::Dialling {
                id,
                key,
                address,
                why,
            } => Self::Dialling {
                id: *id,
                key: key.clone(),
                address: address.clone(),
                why,
            },
            Self::Established {
                id,
                key,
                addr,
                profile,
            } => Self::Established {
                id: *id,
                key: key.clone(),
                addr: *addr,
                profile: profile.clone(),
            },
            Self::Message { id, message } => Self::Message {
                id: *id,
                message: message.clone(),
            },
            Self::Request { token, message } => Self::Request {
                token: *token,
                message: message.clone(),
            },
            Self::RequestGivenUp { token } => Self::RequestGivenUp { token: *token },
            Self::LateAnswer {
                id,
                key,
                message,
                took,
                late,
            } => Self::LateAnswer {
                id: *id,
                key: key.clone(),
                message: message.clone(),
                took: *took,
                late: *late,
            },
            Self::Misbehaved {
                id,
                misdeed,
                strikes,
            } => Self::Misbehaved {
                id: *id,
                misdeed: *misdeed,
                strikes: *strikes,
            },
            Self::Incompatible { id, key, reason } => Self::Incompatible {
                id: *id,
                key: key.clone(),
                reason: reason.clone(),
            },
            Self::AlreadyConnected { key, kept, dropped } => Self::AlreadyConnected {
                key: key.clone(),
                kept: *kept,
                dropped: *dropped,
            },
            Self::Closed(closed) => Self::Closed(closed.clone()),
            Self::Stalled { lost } => Self::Stalled { lost: *lost },
        }
    }
}

impl<N: Network> Owner<N> {
    /// Tells everybody who listens.
    pub(crate) fn publish(&mut self, event: Event<N>) {
        self.subscribers.retain(|subscriber| !subscriber.is_gone());
        let mut listening = self.subscribers.iter().filter(|it| it.wants(&event));
        if listening.next().is_some() {
            let len = USUAL + event.message().map_or(0, N::len);
            let event = Arc::new(event.clone());
            for subscriber in &self.subscribers {
                if subscriber.wants(&event) {
                    subscriber.tell(&event, len);
                }
            }
        }
        if self.events.is_some() {
            self.undelivered.push_back(event);
        }
    }
}

/// The events of a node, in order.
///
/// An application that takes none for a while makes its node read less from its peers; one that
/// drops this wants none, which costs nothing.
#[derive(Debug)]
pub struct Events<N: Network>(pub(crate) mpsc::Receiver<Event<N>>);

impl<N: Network> Events<N> {
    /// The next one; `None` once the node has stopped.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event<N>> {
        self.0.recv().await
    }
}

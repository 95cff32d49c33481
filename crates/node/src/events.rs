//! What happens in a node, for its application.

use std::time::Duration;

use peerage_book::Key;
use peerage_core::{ConnectedAddr, Reason};
use peerage_peers::{Closed, Misdeed, SessionId, Token, Types};
use tokio::sync::mpsc;

use crate::network::Network;

/// What happened. Of one session [`Event::Established`] comes first and [`Event::Closed`] last.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<N: Network> {
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

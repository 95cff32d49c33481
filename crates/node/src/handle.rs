//! What an application asks of its node.

use std::time::Duration;

use peerage_book::{Address, Identity, Key, Role, Story, Subject};
use peerage_core::Reason;
use peerage_peers::{Broadcast, Dead, NotSent, Parting, SessionId, Snapshot, Token, Types};
use tokio::sync::{mpsc, oneshot};

use crate::finding::FinderReport;
use crate::network::Network;
use crate::owner::Overview;

type Message<N> = <<N as Network>::Types as Types>::Message;
type Status<N> = <<N as Network>::Types as Types>::Status;
type RequestKey<N> = <<N as Network>::Types as Types>::Key;

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

/// The answer to a request of ours, and how long it took.
pub type Asked<N> = Result<(Message<N>, Duration), RequestError>;

/// Why a request of ours has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] NotSent),
    /// The answer did not come in time. The peer is remembered to owe it.
    #[error("the peer has not answered in time")]
    Overdue,
    /// The session ended first.
    #[error("the session ended first: {}", .0.message)]
    Closed(Box<Reason>),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What is asked of the owner.
pub(crate) enum Command<N: Network> {
    Peers(oneshot::Sender<Vec<Snapshot<Key>>>),
    Overview(oneshot::Sender<Overview>),
    Reports(oneshot::Sender<Vec<FinderReport>>),
    Stories(Key, oneshot::Sender<Vec<Story>>),
    Pin(
        Option<Identity>,
        Address,
        Role,
        oneshot::Sender<Result<Key, peerage_book::Refused>>,
    ),
    Unpin(Key, oneshot::Sender<bool>),
    Ban(
        Subject,
        Option<Duration>,
        Box<str>,
        oneshot::Sender<Result<(), peerage_book::TooManyBans>>,
    ),
    Unban(Subject, oneshot::Sender<bool>),
    Disconnect(SessionId, Parting, oneshot::Sender<Result<(), Dead>>),
    Send(SessionId, Message<N>, oneshot::Sender<Result<(), NotSent>>),
    Gossip(SessionId, Message<N>, oneshot::Sender<Result<(), NotSent>>),
    Broadcast(Message<N>, oneshot::Sender<Broadcast>),
    Request(
        SessionId,
        RequestKey<N>,
        Message<N>,
        oneshot::Sender<Asked<N>>,
    ),
    Respond(Token, Message<N>, oneshot::Sender<Result<(), NotSent>>),
    Refuse(Token, oneshot::Sender<Result<(), NotSent>>),
    SetStatus(Status<N>, oneshot::Sender<Vec<SessionId>>),
    Stop(oneshot::Sender<()>),
}

impl<N: Network> Command<N> {
    /// Whether somebody else may be the next to dial after it.
    pub(crate) const fn may_change_book(&self) -> bool {
        matches!(
            self,
            Self::Pin(..) | Self::Unpin(..) | Self::Ban(..) | Self::Unban(..)
        )
    }
}

/// Talks to a node. Clones talk to the same; when the last one is dropped, the node stops.
///
/// # Cancellation
/// Dropping the future of a call leaves it to the node, which may have begun it; the answer is lost.
#[derive(Debug)]
pub struct Handle<N: Network>(mpsc::Sender<Command<N>>);

impl<N: Network> Clone for Handle<N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<N: Network> Handle<N> {
    pub(crate) const fn new(commands: mpsc::Sender<Command<N>>) -> Self {
        Self(commands)
    }

    async fn ask<A>(
        &self,
        command: impl FnOnce(oneshot::Sender<A>) -> Command<N>,
    ) -> Result<A, Stopped> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(command(answer)).await;
        sent.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// All attempts and sessions.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn peers(&self) -> Result<Vec<Snapshot<Key>>, Stopped> {
        self.ask(Command::Peers).await
    }

    /// Figures of the whole node.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn overview(&self) -> Result<Overview, Stopped> {
        self.ask(Command::Overview).await
    }

    /// What each finder has found, and how many of them were ever greeted.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn finders(&self) -> Result<Vec<FinderReport>, Stopped> {
        self.ask(Command::Reports).await
    }

    /// The stories of everybody known by this key, or at this address.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn why(&self, key: Key) -> Result<Vec<Story>, Stopped> {
        self.ask(|answer| Command::Stories(key, answer)).await
    }

    /// Wants to be connected to a peer, always.
    ///
    /// # Errors
    /// When the node has stopped; inside, why the book does not take it.
    pub async fn pin(
        &self,
        identity: Option<Identity>,
        address: Address,
        role: Role,
    ) -> Result<Result<Key, peerage_book::Refused>, Stopped> {
        self.ask(|answer| Command::Pin(identity, address, role, answer))
            .await
    }

    /// Takes [`Handle::pin`] back; whether there was such a peer.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn unpin(&self, key: Key) -> Result<bool, Stopped> {
        self.ask(|answer| Command::Unpin(key, answer)).await
    }

    /// Bans a peer or an address range for so long, or for good, and ends its sessions.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there are too many bans.
    pub async fn ban(
        &self,
        subject: Subject,
        term: Option<Duration>,
        words: &str,
    ) -> Result<Result<(), peerage_book::TooManyBans>, Stopped> {
        self.ask(|answer| Command::Ban(subject, term, words.into(), answer))
            .await
    }

    /// Lifts a ban; whether there was one.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn unban(&self, subject: Subject) -> Result<bool, Stopped> {
        self.ask(|answer| Command::Unban(subject, answer)).await
    }

    /// Ends an attempt or a session, and says this to the peer.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such session.
    pub async fn disconnect(
        &self,
        id: SessionId,
        say: Parting,
    ) -> Result<Result<(), Dead>, Stopped> {
        self.ask(|answer| Command::Disconnect(id, say, answer))
            .await
    }

    /// Sends a message that must not be lost.
    ///
    /// # Errors
    /// When the node has stopped; inside, why it was not sent.
    pub async fn send(
        &self,
        id: SessionId,
        message: Message<N>,
    ) -> Result<Result<(), NotSent>, Stopped> {
        self.ask(|answer| Command::Send(id, message, answer)).await
    }

    /// Sends a message that may be lost when the peer takes too little.
    ///
    /// # Errors
    /// When the node has stopped; inside, why it was not sent.
    pub async fn gossip(
        &self,
        id: SessionId,
        message: Message<N>,
    ) -> Result<Result<(), NotSent>, Stopped> {
        self.ask(|answer| Command::Gossip(id, message, answer))
            .await
    }

    /// Gossips to everybody.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn broadcast(&self, message: Message<N>) -> Result<Broadcast, Stopped> {
        self.ask(|answer| Command::Broadcast(message, answer)).await
    }

    /// Asks a peer and waits for its answer, which has `key` in common with the request.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn request(
        &self,
        id: SessionId,
        key: RequestKey<N>,
        message: Message<N>,
    ) -> Asked<N> {
        self.ask(|answer| Command::Request(id, key, message, answer))
            .await?
    }

    /// Answers a request of a peer.
    ///
    /// # Errors
    /// When the node has stopped; inside, why it was not sent.
    pub async fn respond(
        &self,
        token: Token,
        message: Message<N>,
    ) -> Result<Result<(), NotSent>, Stopped> {
        self.ask(|answer| Command::Respond(token, message, answer))
            .await
    }

    /// Ends a request of a peer without an answer, where its network allows that.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such request.
    pub async fn refuse(&self, token: Token) -> Result<Result<(), NotSent>, Stopped> {
        self.ask(|answer| Command::Refuse(token, answer)).await
    }

    /// Our head has moved: all peers are judged anew. Returns those who are of no use any more.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn set_status(&self, status: Status<N>) -> Result<Vec<SessionId>, Stopped> {
        self.ask(|answer| Command::SetStatus(status, answer)).await
    }

    /// Says goodbye to everybody, writes the book and stops. Returns when that is done.
    pub async fn stop(&self) {
        // Gone already, or about to be.
        let _stopped = self.ask(Command::Stop).await;
    }
}

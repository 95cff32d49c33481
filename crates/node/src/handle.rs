//! What an application asks of its node.

use std::time::Duration;

use peerage_book::{
    Added, Address, Ban, Book, Entry, Identity, Key, Page, Role, Story, Subject, Tip, Which,
};
use peerage_core::Reason;
use peerage_peers::{Broadcast, Dead, Misdeed, NotSent, Parting, SessionId, Snapshot, Token};
use tokio::sync::{mpsc, oneshot};

use crate::command::{Command, Message, Profile, RequestKey, Sent, Status};
use crate::figures::{Overview, Peer};
use crate::finding::FinderReport;
use crate::network::Network;
use crate::reconfigure::{Change, Changed};
use crate::subscribe::{Subscription, Wants};

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

/// To whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// Every established peer.
    All,
    /// So many of them, by chance.
    Any(usize),
    /// The square root of their number, by chance.
    Root,
    /// These.
    These(Vec<SessionId>),
}

/// What [`Handle::remove`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The book knew of it.
    pub was_known: bool,
    /// Its attempts and sessions; they are being ended.
    pub sessions: Vec<SessionId>,
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

    /// One attempt or session with all that is known of the peer; `None` when it is over.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn peer(&self, id: SessionId) -> Result<Option<Peer<N>>, Stopped> {
        self.ask(|answer| Command::Peer(id, answer)).await
    }

    /// All attempts and sessions with all that is known of the peers, in the order of their numbers.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn list(&self) -> Result<Vec<Peer<N>>, Stopped> {
        self.ask(Command::List).await
    }

    /// What happens from now on, for somebody who may be slow: unlike [`Events`](crate::Events) it
    /// never slows the node down, and says where something was left out.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn subscribe(&self, wants: Wants) -> Result<Subscription<N>, Stopped> {
        self.ask(|answer| Command::Subscribe(wants, answer)).await
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

    /// What `look` makes of the book. The node does nothing else meanwhile, so it has to be quick.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn look<A: Send + 'static>(
        &self,
        look: impl FnOnce(&Book) -> A + Send + 'static,
    ) -> Result<A, Stopped> {
        self.ask(|answer| {
            Command::Look(Box::new(move |book| {
                // Whoever asked may have gone.
                let _gone = answer.send(look(book));
            }))
        })
        .await
    }

    /// What the book knows of this candidate.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn entry(&self, key: Key) -> Result<Option<Entry>, Stopped> {
        self.ask(|answer| Command::Entry(key, answer)).await
    }

    /// Up to `most` candidates of the book with keys above `after`; at most 1,000 at once. Ask again
    /// with [`Page::next`].
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn book(
        &self,
        which: Which,
        after: Option<Key>,
        most: usize,
    ) -> Result<Page, Stopped> {
        self.ask(|answer| Command::Page(which, after, most, answer))
            .await
    }

    /// Tells the book of a candidate. It is dialled when its turn comes; see [`Handle::pin`] for
    /// somebody who is always wanted.
    ///
    /// # Errors
    /// When the node has stopped; inside, why the book does not take it.
    pub async fn add(&self, tip: Tip) -> Result<Result<Added, peerage_book::Refused>, Stopped> {
        let tip = Box::new(tip);
        self.ask(|answer| Command::Add(tip, answer)).await
    }

    /// Takes in what another book knew, judged like anything that is heard; whom it bans is
    /// disconnected. The node does nothing else meanwhile: give it a thousand candidates at most.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn import(
        &self,
        snapshot: peerage_book::Snapshot,
    ) -> Result<peerage_book::Imported, Stopped> {
        let snapshot = Box::new(snapshot);
        self.ask(|answer| Command::Import(snapshot, answer)).await
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

    /// Changes what the operator holds of a candidate that the book knows, and of its session if there
    /// is one; whether it knows it. A session that takes an ordinary slot again is not ended for it,
    /// even if that is one too many.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there are as many static and trusted ones as may be.
    pub async fn set_role(
        &self,
        key: Key,
        role: Role,
    ) -> Result<Result<bool, peerage_book::Refused>, Stopped> {
        self.ask(|answer| Command::SetRole(key, role, answer)).await
    }

    /// Ends a candidate's backoff, so that it may be dialled at once; whether it was in one.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn hurry(&self, key: Key) -> Result<bool, Stopped> {
        self.ask(|answer| Command::Hurry(key, answer)).await
    }

    /// Forgets a peer, whatever it is, and ends its attempts and sessions. Whoever tells of it again
    /// brings it back; to keep it away, ban it.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn remove(&self, key: Key) -> Result<Removed, Stopped> {
        self.ask(|answer| Command::Remove(key, answer)).await
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

    /// The bans in force, those of identities first, then by range.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn bans(&self) -> Result<Vec<(Subject, Ban)>, Stopped> {
        self.ask(Command::Bans).await
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
        self.ask(|answer| Command::Disconnect(id, say, None, answer))
            .await
    }

    /// The same for a reason, which the closing event and the book hear: its blame is whose failure
    /// this counts as, and its retry is how long the peer is left alone.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such session.
    pub async fn disconnect_for(
        &self,
        id: SessionId,
        say: Parting,
        reason: Reason,
    ) -> Result<Result<(), Dead>, Stopped> {
        let reason = Some(Box::new(reason));
        self.ask(|answer| Command::Disconnect(id, say, reason, answer))
            .await
    }

    /// A peer did what its network does not allow, and the application saw it. What comes of it,
    /// [`Conduct`](peerage_peers::Conduct) says: nothing, a strike or its end. Returns its strikes by
    /// now, or nothing if that ended the session.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such session.
    pub async fn misbehaved(
        &self,
        id: SessionId,
        misdeed: Misdeed,
    ) -> Result<Result<Option<u32>, Dead>, Stopped> {
        self.ask(|answer| Command::Misbehaved(id, misdeed, answer))
            .await
    }

    /// A peer was of use: it sent a block or an answer that we had not had. Protects it from
    /// eviction.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such session.
    pub async fn useful(&self, id: SessionId) -> Result<Result<(), Dead>, Stopped> {
        self.ask(|answer| Command::Useful(id, answer)).await
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

    /// Gossips to some; what became of it at each.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn gossip_to(&self, to: Audience, message: Message<N>) -> Result<Sent, Stopped> {
        self.ask(|answer| Command::GossipTo(to, message, answer))
            .await
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

    /// Wants the answer to a request no more: who asked is told that it is overdue, and an answer that
    /// comes is dropped. Whether it was under way.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn cancel(&self, id: SessionId, key: RequestKey<N>) -> Result<bool, Stopped> {
        self.ask(|answer| Command::Cancel(id, key, answer)).await
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

    /// Reads nothing more from a peer, or does again: for an application that has no room for what
    /// this one sends, and wants to hear of the others.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such session.
    pub async fn hold_back(&self, id: SessionId, hold: bool) -> Result<Result<(), Dead>, Stopped> {
        self.ask(|answer| Command::HoldBack(id, hold, answer)).await
    }

    /// A peer has said something new of itself: its head, its range of blocks. It is judged anew, and
    /// shown with it.
    ///
    /// # Errors
    /// When the node has stopped; inside, that there is no such session.
    pub async fn set_profile(
        &self,
        id: SessionId,
        profile: Profile<N>,
    ) -> Result<Result<(), Dead>, Stopped> {
        let profile = Box::new(profile);
        self.ask(|answer| Command::SetProfile(id, profile, answer))
            .await
    }

    /// Our head has moved: all peers are judged anew. Returns those who are of no use any more.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn set_status(&self, status: Status<N>) -> Result<Vec<SessionId>, Stopped> {
        self.ask(|answer| Command::SetStatus(status, answer)).await
    }

    /// Changes limits, the rules of the door, tables, bans and wanted peers of a running node, all at
    /// once and without dropping a peer who still fits.
    ///
    /// # Errors
    /// When the node has stopped; inside, the wish that cannot be granted: nothing has changed then.
    pub async fn reconfigure(
        &self,
        change: Change<N>,
    ) -> Result<Result<Changed, peerage_book::WishError>, Stopped> {
        self.ask(|answer| Command::Reconfigure(Box::new(change), answer))
            .await
    }

    /// Says goodbye to everybody, writes the book and stops. Returns when that is done.
    pub async fn stop(&self) {
        // Gone already, or about to be.
        let _stopped = self.ask(Command::Stop).await;
    }
}

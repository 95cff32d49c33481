//! What is asked of the owner.

use std::time::Duration;

use peerage_book::{
    Added, Address, Ban, Book, Entry, Identity, Imported, Key, Page, Role, Story, Subject, Tip,
    Which,
};
use peerage_core::Reason;
use peerage_peers::{
    Broadcast, Dead, Misdeed, NotSent, Parting, SessionId, Snapshot, Token, Types,
};
use tokio::sync::oneshot;

use crate::figures::{Overview, Peer};
use crate::finding::FinderReport;
use crate::handle::{Asked, Audience, Removed};
use crate::network::Network;
use crate::reconfigure::{Change, Changed};
use crate::subscribe::{Subscription, Wants};

pub(crate) type Message<N> = <<N as Network>::Types as Types>::Message;
pub(crate) type Status<N> = <<N as Network>::Types as Types>::Status;
pub(crate) type Profile<N> = <<N as Network>::Types as Types>::Profile;
pub(crate) type RequestKey<N> = <<N as Network>::Types as Types>::Key;

/// Where the answer goes.
pub(crate) type To<A> = oneshot::Sender<A>;

/// What became of a message to several peers.
pub(crate) type Sent = Vec<(SessionId, Result<(), NotSent>)>;

/// What is asked of the owner.
pub(crate) enum Command<N: Network> {
    Peers(To<Vec<Snapshot<Key>>>),
    Peer(SessionId, To<Option<Peer<N>>>),
    List(To<Vec<Peer<N>>>),
    Overview(To<Overview>),
    Reports(To<Vec<FinderReport>>),
    Subscribe(Wants, To<Subscription<N>>),
    Stories(Key, To<Vec<Story>>),
    Entry(Key, To<Option<Entry>>),
    Page(Which, Option<Key>, usize, To<Page>),
    Add(Box<Tip>, To<Result<Added, peerage_book::Refused>>),
    Import(Box<peerage_book::Snapshot>, To<Imported>),
    Pin(
        Option<Identity>,
        Address,
        Role,
        To<Result<Key, peerage_book::Refused>>,
    ),
    Unpin(Key, To<bool>),
    SetRole(Key, Role, To<Result<bool, peerage_book::Refused>>),
    Hurry(Key, To<bool>),
    Remove(Key, To<Removed>),
    Ban(
        Subject,
        Option<Duration>,
        Box<str>,
        To<Result<(), peerage_book::TooManyBans>>,
    ),
    Unban(Subject, To<bool>),
    Bans(To<Vec<(Subject, Ban)>>),
    Disconnect(
        SessionId,
        Parting,
        Option<Box<Reason>>,
        To<Result<(), Dead>>,
    ),
    Look(Box<dyn FnOnce(&Book) + Send>),
    HoldBack(SessionId, bool, To<Result<(), Dead>>),
    Misbehaved(SessionId, Misdeed, To<Result<Option<u32>, Dead>>),
    Useful(SessionId, To<Result<(), Dead>>),
    Send(SessionId, Message<N>, To<Result<(), NotSent>>),
    Gossip(SessionId, Message<N>, To<Result<(), NotSent>>),
    GossipTo(Audience, Message<N>, To<Sent>),
    Broadcast(Message<N>, To<Broadcast>),
    Request(SessionId, RequestKey<N>, Message<N>, To<Asked<N>>),
    Cancel(SessionId, RequestKey<N>, To<bool>),
    Respond(Token, Message<N>, To<Result<(), NotSent>>),
    Refuse(Token, To<Result<(), NotSent>>),
    SetProfile(SessionId, Box<Profile<N>>, To<Result<(), Dead>>),
    SetStatus(Status<N>, To<Vec<SessionId>>),
    Reconfigure(Box<Change<N>>, To<Result<Changed, peerage_book::WishError>>),
    Stop(To<()>),
}

impl<N: Network> Command<N> {
    /// Whether somebody else may be the next to dial after it.
    pub(crate) const fn may_change_book(&self) -> bool {
        matches!(
            self,
            Self::Add(..)
                | Self::Import(..)
                | Self::Pin(..)
                | Self::Unpin(..)
                | Self::SetRole(..)
                | Self::Hurry(..)
                | Self::Remove(..)
                | Self::Ban(..)
                | Self::Unban(..)
                | Self::Reconfigure(..)
        )
    }
}

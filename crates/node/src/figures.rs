//! Figures of a node, and what is shown of one peer.

use std::collections::BTreeMap;

use peerage_book::{Entry, Key};
use peerage_core::{Direction, Kind, UnixTime};
use peerage_peers::{Closed, Ending, Misdeed, Phase, Snapshot, Types};

use crate::finding::FinderReport;
use crate::network::Network;

/// Figures of a node.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Of its sessions.
    pub peers: peerage_peers::Overview,
    /// How many candidates the book has.
    pub known: usize,
    /// How many bans hold.
    pub bans: usize,
    /// The book in numbers.
    pub book: peerage_book::Figures,
    /// What each finder has found.
    pub finders: Vec<FinderReport>,
    /// How the store is doing, where there is one.
    pub store: Option<peerage_store::Status>,
    /// Counters since the start.
    pub counters: Counters,
    /// How attempts and sessions ended since the start, in the order of [`Ended`].
    pub ended: Vec<(Ended, u64)>,
    /// What peers did that they may not, since the start.
    pub misdeeds: Vec<(Misdeed, u64)>,
    /// Events that the application has not taken yet.
    pub undelivered: usize,
    /// How many subscriptions there are.
    pub subscriptions: usize,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that the system could not give us.
    pub accept_failed: u64,
    /// Connections from banned addresses.
    pub banned: u64,
    /// Connections beyond the rates and limits of the listener.
    pub not_admitted: u64,
    /// Connections that were taken in, those that were told that there is no room included.
    pub accepted: u64,
    /// Dials begun.
    pub dialled: u64,
    /// Peers that dialled us, and that we dialled, that were greeted and stayed.
    pub established: [u64; 2],
    /// Candidates that finders gave.
    pub found: u64,
    /// Candidates that the book took of them, those that it knew included.
    pub taken: u64,
    /// Requests of ours that were not answered in time.
    pub overdue: u64,
    /// Answers that came after that.
    pub late_answers: u64,
}

/// How an attempt or a session ended. Few values of each, whatever peers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ended {
    /// Who opened the connection.
    pub direction: Direction,
    /// How far it had come.
    pub phase: Phase,
    /// Whose word ended it.
    pub ending: Ending,
    /// Why.
    pub kind: Kind,
}

impl Ended {
    pub(crate) const fn of<T: Types>(closed: &Closed<T>) -> Self {
        Self {
            direction: closed.direction,
            phase: closed.phase,
            ending: closed.ending,
            kind: closed.reason.kind,
        }
    }
}

/// What is counted by what it was.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) ended: BTreeMap<Ended, u64>,
    pub(crate) misdeeds: BTreeMap<Misdeed, u64>,
}

/// One attempt or session with all that is known of the peer.
pub struct Peer<N: Network> {
    /// As it is now: direction, address, stage, round trips, bytes.
    pub session: Snapshot<Key>,
    /// By the calendar, when the dial or the accept was, and once it is established, when the
    /// handshake ended.
    pub since: UnixTime,
    /// What the handshake said: agent, version, height or head. `None` before.
    pub profile: Option<<N::Types as Types>::Profile>,
    /// What the book knows: its score, what it was worth before. `None` if it is not in there, as
    /// inbound peers without an identity are not.
    pub known: Option<Entry>,
}

impl<N: Network> Clone for Peer<N> {
    fn clone(&self) -> Self {
        Self {
            session: self.session.clone(),
            since: self.since,
            profile: self.profile.clone(),
            known: self.known.clone(),
        }
    }
}

impl<N: Network> std::fmt::Debug for Peer<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("session", &self.session)
            .field("since", &self.since)
            .field("profile", &self.profile)
            .field("known", &self.known)
            .finish()
    }
}

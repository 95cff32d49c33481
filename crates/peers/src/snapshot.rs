//! What can be shown of the table.

use std::time::{Duration, Instant};

use peerage_core::{ConnectedAddr, Direction, PeerText, Stage};

use crate::event::Phase;
use crate::keepalive::Rtt;
use crate::meter::{Meter, Tally};
use crate::slot::Place;
use crate::table::Table;
use crate::types::{SessionId, Standing, Types};

/// One attempt or session, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<I> {
    /// Its number.
    pub id: SessionId,
    /// Who, as far as it is known.
    pub identity: Option<I>,
    /// Who opened the connection.
    pub direction: Direction,
    /// What the operator holds of it.
    pub standing: Standing,
    /// What is connected, as far as it is known.
    pub addr: Option<ConnectedAddr>,
    /// How far it has come.
    pub phase: Phase,
    /// How long it has lasted, stalls of ours left out: since the dial or the accept, and since the
    /// end of the handshake once it is established.
    pub age: Duration,
    /// What it calls its software.
    pub client: PeerText,
    /// Its round trips, once one was measured.
    pub rtt: Option<Rtt>,
    /// How long nothing was heard.
    pub quiet: Duration,
    /// What passed.
    pub tally: Tally,
    /// Bytes a second read, lately.
    pub rate_in: u64,
    /// Bytes a second written, lately.
    pub rate_out: u64,
    /// Our requests under way.
    pub asking: usize,
    /// How long it may take over an answer.
    pub request_timeout: Duration,
    /// Its requests that we have not answered.
    pub asked: usize,
    /// Bytes that wait to be sent to it.
    pub sending: usize,
    /// Bytes of it that wait to be fetched.
    pub unread: usize,
    /// Whether we read nothing from it at present.
    pub paused: bool,
    /// How often it misbehaved.
    pub strikes: u32,
}

/// The table as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Attempts that they began, that we began. Exempt ones left out here and below.
    pub pending: [usize; 2],
    /// Peers that dialled us, that we dialled.
    pub active: [usize; 2],
    /// All established peers, exempt ones too.
    pub established: usize,
    /// Connections being told that there is no room.
    pub refusing: usize,
    /// Sessions being told goodbye.
    pub closing: usize,
    /// Bytes that wait to be sent, to all.
    pub sending: usize,
    /// Bytes that wait to be fetched, of all.
    pub unread: usize,
    /// What passed all established peers, those that left too.
    pub tally: Tally,
    /// Bytes a second read, lately.
    pub rate_in: u64,
    /// Bytes a second written, lately.
    pub rate_out: u64,
}

impl<T: Types> Table<T> {
    /// One attempt or session.
    pub fn peer_at(&self, now: Instant, id: SessionId) -> Option<Snapshot<T::Identity>> {
        let at = self.shown_at(now);
        self.show_active(at, id)
            .or_else(|| self.show_pending(at, id))
    }

    /// All attempts and sessions, in the order of their numbers.
    pub fn peers(&self, now: Instant) -> Vec<Snapshot<T::Identity>> {
        let at = self.shown_at(now);
        let pending = self
            .pending
            .keys()
            .filter_map(|id| self.show_pending(at, *id));
        let active = self
            .active
            .keys()
            .filter_map(|id| self.show_active(at, *id));
        let mut all: Vec<_> = pending.chain(active).collect();
        all.sort_by_key(|peer| peer.id);
        all
    }

    /// The session with this peer.
    pub fn session_of(&self, identity: &T::Identity) -> Option<SessionId> {
        self.by_identity.get(identity).copied()
    }

    /// What was last said of an established peer.
    pub fn profile(&self, id: SessionId) -> Option<&T::Profile> {
        Some(&self.active.get(&id)?.profile)
    }

    /// The table as a whole.
    pub fn overview(&self, now: Instant) -> Overview {
        let at = self.shown_at(now);
        let both = [Direction::Inbound, Direction::Outbound];
        Overview {
            pending: both.map(|direction| self.counts.pending(direction)),
            active: both.map(|direction| self.counts.active(direction)),
            established: self.active.len(),
            refusing: self.counts.refusing(),
            closing: self.closing.len(),
            sending: self.pool_out.used(),
            unread: self.pool_in.used(),
            tally: self.traffic.tally(),
            rate_in: self.traffic.read.rate(at),
            rate_out: self.traffic.written.rate(at),
        }
    }

    /// Bytes that one established session takes in memory while it is idle, its profile and identity
    /// included as far as they own nothing elsewhere. The maps that hold it add about a third.
    pub const fn idle_len() -> usize {
        size_of::<crate::state::Active<T>>()
    }

    pub(crate) fn shown_at(&self, now: Instant) -> Instant {
        let mut clock = self.clock;
        clock.advance(now, None).0
    }

    fn show_pending(&self, at: Instant, id: SessionId) -> Option<Snapshot<T::Identity>> {
        let pending = self.pending.get(&id)?;
        Some(Snapshot {
            id,
            identity: pending.identity.clone(),
            direction: pending.slot.direction,
            standing: pending.slot.standing,
            addr: pending.addr,
            phase: match pending.slot.place {
                Place::Refusing => Phase::Refusing,
                Place::Pending | Place::Active => Phase::Pending(pending.stage),
            },
            age: at.saturating_duration_since(pending.since),
            client: PeerText::default(),
            rtt: None,
            quiet: Duration::ZERO,
            tally: Tally::default(),
            rate_in: 0,
            rate_out: 0,
            asking: 0,
            request_timeout: self.config.requests.initial,
            asked: 0,
            sending: 0,
            unread: 0,
            paused: false,
            strikes: 0,
        })
    }

    fn show_active(&self, at: Instant, id: SessionId) -> Option<Snapshot<T::Identity>> {
        let active = self.active.get(&id)?;
        let rate = |meter: &Meter| meter.rate(at);
        Some(Snapshot {
            id,
            identity: Some(active.identity.clone()),
            direction: active.slot.direction,
            standing: active.slot.standing,
            addr: Some(active.addr),
            phase: Phase::Active,
            age: at.saturating_duration_since(active.since),
            client: T::client(&active.profile),
            rtt: active.pulse.rtt(),
            quiet: at.saturating_duration_since(active.pulse.heard_at()),
            tally: active.traffic.tally(),
            rate_in: rate(&active.traffic.read),
            rate_out: rate(&active.traffic.written),
            asking: active.ours.in_flight(),
            request_timeout: active.ours.timeout(),
            asked: active.theirs.len(),
            sending: active.lanes.bytes(),
            unread: active.inbox.spent().bytes,
            paused: active.paused_since.is_some(),
            strikes: active.strikes,
        })
    }

    /// The stage an attempt has come to.
    pub fn stage_of(&self, id: SessionId) -> Option<Stage> {
        Some(self.pending.get(&id)?.stage)
    }
}

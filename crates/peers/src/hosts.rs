//! Hosts that we are connected with more than once, where peers are known by their address alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use peerage_core::{ConnectedAddr, Direction};

use crate::state::Pending;
use crate::table::Table;
use crate::types::{SessionId, Tie, Types};

/// Attempts and peers by the host at the other end, where the connection goes there directly.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts(BTreeSet<(IpAddr, SessionId)>);

impl Hosts {
    pub(crate) fn insert(&mut self, id: SessionId, addr: Option<&ConnectedAddr>) {
        if let Some((_, host)) = direct(addr) {
            let _ = self.0.insert((host, id));
        }
    }

    pub(crate) fn remove(&mut self, id: SessionId, addr: Option<&ConnectedAddr>) {
        if let Some((_, host)) = direct(addr) {
            let _ = self.0.remove(&(host, id));
        }
    }

    /// The sessions with a host, in the order of their numbers.
    fn at(&self, host: IpAddr) -> impl Iterator<Item = SessionId> {
        let all = (host, SessionId(0))..=(host, SessionId(u64::MAX));
        self.0.range(all).map(|(_, id)| *id)
    }
}

/// The host at the other end of a direct connection, and who opened it.
fn direct(addr: Option<&ConnectedAddr>) -> Option<(Direction, IpAddr)> {
    match addr? {
        ConnectedAddr::OutboundDirect { addr } => Some((Direction::Outbound, addr.ip())),
        ConnectedAddr::InboundDirect { addr } => Some((Direction::Inbound, addr.ip())),
        ConnectedAddr::OutboundProxy { .. }
        | ConnectedAddr::InboundProxy { .. }
        | ConnectedAddr::Isolated { .. } => None,
    }
}

impl<T: Types> Table<T> {
    /// Our dial to the host that this inbound connection comes from: under way, or established no
    /// longer ago than an attempt may take, and not given up for another one already. Hosts of near
    /// networks are not told apart.
    pub fn crossing(&self, now: Instant, addr: &ConnectedAddr) -> Option<SessionId> {
        let Some((Direction::Inbound, host)) = direct(Some(addr)) else {
            return None;
        };
        let group = self.config.groups.of(host)?;
        let at = self.shown_at(now);
        let recent = self.config.deadlines.attempt;
        let goes_there = |id: &SessionId| {
            let (slot, addr) = if let Some(pending) = self.pending.get(id) {
                (&pending.slot, pending.addr.as_ref())
            } else if let Some(active) = self.active.get(id)
                && at.saturating_duration_since(active.since) <= recent
            {
                (&active.slot, Some(&active.addr))
            } else {
                return false;
            };
            let is_dial = direct(addr).is_some_and(|(opened, _)| opened == Direction::Outbound);
            is_dial && slot.group == Some(group)
        };
        let is_given_up = |id: SessionId| {
            let mut pending = self.pending.values();
            pending.any(|pending| pending.rival == Some(id))
        };
        let mut dials = self.hosts.at(host).filter(goes_there);
        dials.find(|id| !is_given_up(*id))
    }

    /// Whether somebody who is known by the address alone dials us, or did, from where this dial
    /// goes.
    pub(crate) fn is_crossed(&self, dial: &Pending<T>) -> bool {
        let Some((Direction::Outbound, host)) = direct(dial.addr.as_ref()) else {
            return false;
        };
        let comes_from = |id: SessionId| {
            let (tie, addr) = if let Some(pending) = self.pending.get(&id) {
                (pending.tie, pending.addr.as_ref())
            } else if let Some(active) = self.active.get(&id) {
                (active.tie, Some(&active.addr))
            } else {
                return false;
            };
            let opened = direct(addr).map(|(opened, _)| opened);
            matches!(tie, Tie::Keep(_)) && opened == Some(Direction::Inbound)
        };
        dial.slot.group.is_some() && self.hosts.at(host).any(comes_from)
    }
}

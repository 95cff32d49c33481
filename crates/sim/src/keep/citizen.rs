//! A host of the simulated network: a keeper or a rogue, and its finder.

use std::net::SocketAddr;

use peerage_core::Wakeup;

use super::keeper::{Keeper, Never};
use super::net::Net;
use super::rogue::Rogue;
use super::searcher::Searcher;
use crate::machine::{Machine, Now, Output};
use crate::stream::{Door, Heard, StreamId};

/// What it does.
#[derive(Debug)]
pub enum Body<N: Net> {
    /// It keeps peers.
    Keeper(Box<Keeper<N>>),
    /// It answers, and not as it should.
    Rogue(Box<Rogue<N>>),
    /// Its process does not run.
    Down,
}

/// A host of the simulated network.
#[derive(Debug)]
pub struct Citizen<N: Net> {
    pub(super) body: Body<N>,
    pub(super) searcher: Option<Searcher>,
    now: Now,
}

impl<N: Net> Citizen<N> {
    /// One that begins now.
    pub const fn new(body: Body<N>, searcher: Option<Searcher>, now: Now) -> Self {
        Self {
            body,
            searcher,
            now,
        }
    }

    /// Its keeper, if it is one.
    pub const fn keeper(&self) -> Option<&Keeper<N>> {
        match &self.body {
            Body::Keeper(keeper) => Some(keeper),
            Body::Rogue(_) | Body::Down => None,
        }
    }

    /// Its process ends; what it was is returned.
    pub(super) fn end(&mut self) -> Body<N> {
        self.searcher = None;
        std::mem::replace(&mut self.body, Body::Down)
    }

    pub(super) const fn keeper_mut(&mut self) -> Option<&mut Keeper<N>> {
        match &mut self.body {
            Body::Keeper(keeper) => Some(keeper),
            Body::Rogue(_) | Body::Down => None,
        }
    }
}

impl<N: Net> Machine for Citizen<N> {
    type Event = Never;

    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        self.now = now;
        if let Some(searcher) = &mut self.searcher {
            searcher.handle_datagram(now, from, datagram);
        }
    }

    fn handle_stream(&mut self, now: Now, stream: StreamId, heard: Heard) {
        self.now = now;
        match &mut self.body {
            Body::Keeper(keeper) => keeper.handle_stream(now, stream, heard),
            Body::Rogue(rogue) => rogue.handle_stream(now, stream, heard),
            Body::Down => {}
        }
    }

    fn door(&self) -> Door {
        match &self.body {
            Body::Keeper(_) => Door::Open,
            Body::Rogue(rogue) => rogue.door(),
            Body::Down => Door::Shut,
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        let is_due = |wakeup: Option<Wakeup>| wakeup.is_some_and(|wakeup| wakeup.at <= now.at);
        if let Some(searcher) = &mut self.searcher
            && is_due(searcher.poll_timeout())
        {
            searcher.handle_timeout(now);
        }
        match &mut self.body {
            Body::Keeper(keeper) if is_due(keeper.poll_timeout()) => keeper.handle_timeout(now),
            Body::Rogue(rogue) if is_due(rogue.poll_timeout()) => rogue.handle_timeout(now),
            Body::Keeper(_) | Body::Rogue(_) | Body::Down => {}
        }
    }

    fn poll(&mut self) -> Option<Output<Never>> {
        if let Some(searcher) = &mut self.searcher {
            if let Some(output) = searcher.poll(self.now) {
                return Some(output);
            }
            if let Body::Keeper(keeper) = &mut self.body
                && searcher.has_found()
            {
                let tips = searcher.take_found::<N>(keeper.local());
                keeper.found(self.now, tips);
            }
        }
        match &mut self.body {
            Body::Keeper(keeper) => keeper.poll(),
            Body::Rogue(rogue) => rogue.poll(),
            Body::Down => None,
        }
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        let body = match &self.body {
            Body::Keeper(keeper) => keeper.poll_timeout(),
            Body::Rogue(rogue) => rogue.poll_timeout(),
            Body::Down => None,
        };
        let searcher = self.searcher.as_ref().and_then(Searcher::poll_timeout);
        body.into_iter().chain(searcher).min_by_key(|it| it.at)
    }
}

//! Recognising which dial of ours came back to us.
//!
//! On some networks only the end that was dialled knows that it talks to itself: on Decred it is
//! asked first and hangs up. It sees where the connection comes from, which is where our dial went
//! out.

use std::collections::VecDeque;

use peerage_core::{ConnectedAddr, Direction, Endpoint, Kind};
use peerage_peers::{Closed, SessionId};

use crate::network::Network;
use crate::owner::Owner;

/// How many dials are remembered: more than are ever greeting at once.
const DIALS: usize = 128;

/// The latest dials that reached somebody.
#[derive(Debug, Default)]
pub(crate) struct Ourselves {
    /// From which of our addresses, and where to; the latest last.
    dials: VecDeque<(Endpoint, Endpoint)>,
}

impl Ourselves {
    /// A dial reached somebody.
    pub(crate) fn reached(&mut self, from: Option<Endpoint>, to: Option<Endpoint>) {
        if let (Some(from), Some(to)) = (from, to) {
            if self.dials.len() >= DIALS {
                self.dials.pop_front();
            }
            self.dials.push_back((from, to));
        }
    }

    /// Where the dial goes that comes from there.
    fn dialled_from(&self, from: Endpoint) -> Option<Endpoint> {
        let mut dials = self.dials.iter().rev();
        dials.find(|(of, _)| *of == from).map(|(_, to)| *to)
    }
}

impl<N: Network> Owner<N> {
    /// Where this attempt dials, if it does so directly.
    pub(crate) fn dialled_at(&self, id: SessionId) -> Option<Endpoint> {
        match self.table.peer_at(self.now(), id)?.addr? {
            ConnectedAddr::OutboundDirect { addr } => Some(addr),
            ConnectedAddr::InboundDirect { .. }
            | ConnectedAddr::OutboundProxy { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. } => None,
        }
    }

    /// A connection ended: if it came from ourselves, the book hears where we are.
    pub(crate) fn mirrored(&mut self, closed: &Closed<N::Types>) {
        if closed.direction == Direction::Inbound
            && closed.reason.kind == Kind::SelfConnection
            && let Some(ConnectedAddr::InboundDirect { addr }) = closed.addr
            && let Some(at) = self.ourselves.dialled_from(addr)
        {
            let now = self.book_now();
            self.book.is_own(now, at, &closed.reason);
        }
    }
}

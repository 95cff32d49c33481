//! One side's waiting entries: the index, the limits, and what they add up to.

use crate::clock::Nanos;
use crate::geography::Packed;
use crate::hash::Keys;
use crate::index::{Index, Placement, Ticket};

use crate::key::ShelfKey;
use crate::limits::{Limiter, Limits};
use crate::order::Order;
use crate::pool::{NONE, at};
use crate::rooms::{RoomKind, RoomName, Rooms};

/// What an entry that comes in is looked for and placed by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) geo: Packed,
    pub(crate) key: ShelfKey,
    pub(crate) rank: u8,
    pub(crate) limit: u32,
    /// Bytes of its opaque fields.
    pub(crate) bytes: usize,
}

/// A compartment named by a request, and its room if anyone is in it.
pub(crate) type Wanted = (RoomName, Option<u32>);

/// One side's waiting entries.
pub(crate) struct Queue {
    pub(crate) index: Index,
    pub(crate) limiter: Option<Limiter>,
    /// The address group, by slot, if there are limits.
    groups: Vec<u32>,
    arrivals: u64,
    len: usize,
    bytes: usize,
    with_runs: bool,
}

impl Queue {
    pub(crate) fn new(keys: Keys, limits: Option<Limits>, with_runs: bool) -> Self {
        Self {
            index: Index::new(keys),
            limiter: limits.map(|limits| Limiter::new(limits, keys)),
            groups: Vec::new(),
            arrivals: 0,
            len: 0,
            bytes: 0,
            with_runs,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all opaque fields.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets an entry wait, in the rooms wanted and those that `more` names once these exist.
    pub(crate) fn insert(
        &mut self,
        slot: u32,
        arrival: &Arrival,
        rooms: &mut Rooms,
        wanted: &[Wanted],
        more: impl Fn(u32) -> Vec<RoomName>,
    ) -> Ticket {
        let &Arrival {
            geo,
            key,
            rank,
            limit,
            bytes,
        } = arrival;
        let order = Order::new(rank, self.arrivals);
        self.arrivals += 1;
        self.len += 1;
        self.bytes += bytes;
        let mut numbers = Vec::new();
        let mut single = [NONE];
        // One compartment is the rule, and needs no list.
        let numbers: &[u32] = if let [(name, known)] = wanted {
            single[0] = rooms.refer_known(*name, *known);
            let more = more(single[0]);
            if more.is_empty() {
                &single
            } else {
                numbers.push(single[0]);
                numbers.extend(more.into_iter().map(|name| rooms.refer(name)));
                &numbers
            }
        } else {
            for &(name, known) in wanted {
                let room = rooms.refer_known(name, known);
                numbers.push(room);
                numbers.extend(more(room).into_iter().map(|name| rooms.refer(name)));
            }
            &numbers
        };
        let placement = Placement {
            entry: slot,
            order,
            geo,
            key,
        };
        if self.limiter.is_some() {
            if self.groups.len() <= at(slot) {
                self.groups.resize(at(slot) + 1, NONE);
            }
            self.groups[at(slot)] = limit;
        }
        let with_runs = self.with_runs;
        self.index
            .insert(&placement, numbers.iter().copied(), |room| {
                with_runs && rooms.kind(room) == RoomKind::Personal
            })
    }

    /// The place of a waiting entry among all that wait.
    pub(crate) fn order(&self, slot: u32) -> Order {
        self.index.placement(slot).order
    }

    /// Takes a waiting entry with so many opaque bytes out.
    pub(crate) fn remove(
        &mut self,
        now: Nanos,
        (slot, ticket): (u32, Ticket),
        bytes: usize,
        rooms: &mut Rooms,
    ) {
        self.len -= 1;
        self.bytes -= bytes;
        self.index.remove(slot, ticket, |room| rooms.release(room));
        self.leave(now, self.address_group(slot));
    }

    /// The same for one without opaque bytes, if it can be left to [`Index::settle_some`]. Returns
    /// whether it can.
    pub(crate) fn linger(
        &mut self,
        now: Nanos,
        (slot, ticket): (u32, Ticket),
        rooms: &mut Rooms,
    ) -> bool {
        let lingers = self.index.linger(slot, ticket, |room| rooms.release(room));
        if lingers {
            self.len -= 1;
            self.leave(now, self.address_group(slot));
        }
        lingers
    }

    /// The address group that the waiting entry of a slot counts for, or [`NONE`].
    pub(crate) fn address_group(&self, slot: u32) -> u32 {
        self.groups.get(at(slot)).copied().unwrap_or(NONE)
    }

    /// A request of this address group is over.
    pub(crate) fn leave(&mut self, now: Nanos, limit: u32) {
        if let Some(limiter) = &mut self.limiter
            && limit != NONE
        {
            limiter.leave(now, limit);
        }
    }
}

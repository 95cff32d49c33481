//! Every derived value, recomputed.

use std::collections::BTreeMap;

use crate::deadline::Tick;
use crate::entry::{Offered, Standing};
use crate::geography::Packed;
use crate::index::Found;
use crate::key::ShelfKey;
use crate::matcher::Matcher;
use crate::pool::{NONE, number};
use crate::queue::{Queue, Ticket};

/// A derived value that is not what its source says: a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not what the entries say")]
pub struct Discrepancy(pub &'static str);

fn must(holds: bool, what: &'static str) -> Result<(), Discrepancy> {
    holds.then_some(()).ok_or(Discrepancy(what))
}

/// What a room must hold.
type Expected = BTreeMap<(u32, ShelfKey), Vec<(Packed, u32)>>;

impl Matcher {
    /// Recomputes every index, count and deadline from the entries and compares. For tests and
    /// simulations: it looks at everything.
    ///
    /// # Errors
    /// The first value that differs, which is a bug.
    pub fn audit(&self) -> Result<(), Discrepancy> {
        let mut refs: BTreeMap<u32, u32> = BTreeMap::new();
        let announced = self
            .announcements
            .iter()
            .filter_map(|(slot, announced)| match &announced.standing {
                Standing::Waiting(ticket) => Some((slot, ticket)),
                Standing::Matched { .. } => None,
            });
        audit_queue(&self.waiting_announcements, announced, &mut refs)?;
        let offered = self
            .offers
            .iter()
            .filter_map(|(slot, offered)| match offered {
                Offered::Waiting(ticket, _) => Some((slot, ticket)),
                Offered::Matched { .. } | Offered::Abandoned { .. } => None,
            });
        audit_queue(&self.waiting_offers, offered, &mut refs)?;
        let counted = refs
            .iter()
            .all(|(&room, &refs)| self.rooms.refs(room) == refs);
        must(counted && refs.len() == self.rooms.len(), "a room's count")?;
        self.audit_pairs()?;
        self.audit_deadlines()?;
        let sound = self.quality.as_ref().is_none_or(|q| q.is_sound());
        must(sound, "the age of a quality")
    }

    fn audit_pairs(&self) -> Result<(), Discrepancy> {
        let mut pending = 0;
        for (slot, announced) in self.announcements.iter() {
            let record = &announced.record;
            let hash = self.key_hash(&record.volunteer, &record.connection);
            must(hash == announced.hash, "a hash")?;
            let found = self.find_key(hash, &record.volunteer, &record.connection);
            must(found == Some(slot), "the key of an announcement")?;
            if let Standing::Matched { offer } = announced.standing {
                pending += 1;
                let mutual = match self.offers.at(offer) {
                    Some(
                        Offered::Matched { announcement } | Offered::Abandoned { announcement },
                    ) => *announcement == slot,
                    Some(Offered::Waiting(..)) | None => false,
                };
                must(mutual, "the other half of a pair")?;
            }
        }
        must(self.by_key.len() == self.announcements.len(), "the keys")?;
        let paired = self.offers.iter().filter(|(_, offered)| match offered {
            Offered::Waiting(..) => false,
            Offered::Matched { .. } | Offered::Abandoned { .. } => true,
        });
        must(paired.count() == pending, "the offers of pairs")?;
        must(self.pending == pending, "the count of pairs")
    }

    fn audit_deadlines(&self) -> Result<(), Discrepancy> {
        let waiting = self.announcements.iter().filter_map(|(slot, announced)| {
            let deadline = announced.record.deadline?;
            matches!(announced.standing, Standing::Waiting(_))
                .then(|| (slot, self.clock.tick(deadline)))
        });
        let expected: BTreeMap<u32, Tick> = waiting.collect();
        let set: BTreeMap<u32, Tick> = self.announcement_deadlines.iter().collect();
        must(expected == set, "an announcement's deadline")?;
        let set: BTreeMap<u32, Tick> = self.offer_deadlines.iter().collect();
        let mut expected = 0;
        for (slot, offered) in self.offers.iter() {
            let tick = set.get(&slot).copied();
            expected += usize::from(tick.is_some());
            let right = match offered {
                Offered::Waiting(_, offer) => {
                    let least = self.config.extras.least_offer_time;
                    let at = offer.deadline.map(|at| self.clock.tick_before(at, least));
                    at == tick
                }
                Offered::Matched { .. } | Offered::Abandoned { .. } => tick.is_some(),
            };
            must(right, "an offer's deadline")?;
        }
        must(expected == set.len(), "the deadlines of offers")?;
        let due = self.clock.now_tick();
        let next = [&self.announcement_deadlines, &self.offer_deadlines].map(|d| d.next());
        must(next.iter().flatten().all(|&tick| tick > due), "what is due")
    }
}

fn audit_queue<'a>(
    queue: &Queue,
    entries: impl Iterator<Item = (u32, &'a Ticket)>,
    refs: &mut BTreeMap<u32, u32>,
) -> Result<(), Discrepancy> {
    let index = &queue.index;
    let (mut len, mut bytes, mut limited, mut postings) = (0, 0, 0, 0);
    let mut by_class = [0; 3];
    let mut expected = Expected::new();
    for (slot, ticket) in entries {
        len += 1;
        bytes += ticket.bytes as usize;
        limited += usize::from(ticket.limit != NONE);
        by_class[ticket.key.class as usize] += 1;
        for room in index.rooms(ticket.posting) {
            postings += 1;
            *refs.entry(room).or_default() += 1;
            let shelf = expected.entry((room, ticket.key)).or_default();
            shelf.push((ticket.geo, slot));
            let placed = index.shelves(room).any(|shelf| {
                let found = Found {
                    order: ticket.order,
                    entry: slot,
                };
                *shelf.key() == ticket.key && shelf.entries().any(|e| e == (ticket.geo, found))
            });
            // Quadratic in a shelf; who audits has few.
            must(placed, "the place of an entry")?;
        }
    }
    must(queue.len() == len, "the length of a queue")?;
    must(queue.bytes() == bytes, "the bytes of a queue")?;
    must(index.by_class() == by_class, "a class's count")?;
    let mut groups = 0;
    let shelves = index.rooms_in_use().flat_map(|room| {
        let shelves = index.shelves(room);
        shelves.map(move |shelf| ((room, *shelf.key()), shelf))
    });
    let mut seen = 0;
    for (place, shelf) in shelves {
        seen += 1;
        must(shelf.is_sound(), "a shelf")?;
        let mut held: Vec<_> = shelf.entries().map(|(geo, f)| (geo, f.entry)).collect();
        let mut kinds: Vec<_> = shelf.entries().map(|(g, f)| (g, f.order.rank())).collect();
        kinds.sort_unstable();
        kinds.dedup();
        groups += kinds.len();
        held.sort_unstable();
        let mut wanted = expected.remove(&place).unwrap_or_default();
        wanted.sort_unstable();
        must(held == wanted, "the entries of a shelf")?;
    }
    must(expected.is_empty(), "the shelves")?;
    let sizes = index.sizes();
    must(sizes == [postings, groups, seen], "the size of an index")?;
    match &queue.limiter {
        None => must(limited == 0, "the limits"),
        Some(limiter) => must(
            limiter.sizes()[0] == limited,
            "the entries of address groups",
        ),
    }?;
    must(number(len) != NONE, "the numbers")
}

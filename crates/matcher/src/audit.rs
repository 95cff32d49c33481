//! Every derived value, recomputed.

use std::collections::BTreeMap;

use crate::deadline::Tick;
use crate::entry::{Offered, Standing};
use crate::geography::Packed;
use crate::index::Placement;
use crate::key::ShelfKey;
use crate::matcher::Matcher;
use crate::order::Order;
use crate::pool::{NONE, at};
use crate::queue::Queue;
use crate::record::Properties;

/// A derived value that is not what its source says: a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not what the entries say")]
pub struct Discrepancy(pub &'static str);

fn must(holds: bool, what: &'static str) -> Result<(), Discrepancy> {
    holds.then_some(()).ok_or(Discrepancy(what))
}

/// A waiting entry: its slot, properties and opaque bytes.
type Waiting<'a> = (u32, &'a Properties, usize);

/// What a room must hold, by shelf.
type Expected = BTreeMap<(u32, ShelfKey), Vec<(Packed, Order, u32)>>;

/// References to each room.
type Refs = BTreeMap<u32, u32>;

impl Matcher {
    /// Recomputes every index, count and deadline from the entries and compares. For tests and
    /// simulations: it looks at everything.
    ///
    /// # Errors
    /// The first value that differs, which is a bug.
    pub fn audit(&self) -> Result<(), Discrepancy> {
        let mut refs = Refs::new();
        let announced = self.announcements.iter().filter_map(|(slot, announced)| {
            let properties = &self.records[at(slot)].properties;
            announced.ticket()?;
            Some((slot, properties, 0))
        });
        audit_queue(&self.waiting_announcements, announced, &mut refs)?;
        let offered = self.offers.iter();
        let offered = offered.filter_map(|(slot, offered)| match offered {
            Offered::Waiting(_, offer) => Some((slot, &offer.properties, offer.opaque_len())),
            Offered::Matched { .. } | Offered::Abandoned { .. } => None,
        });
        audit_queue(&self.waiting_offers, offered, &mut refs)?;
        let mut counts = refs.iter();
        let counted = counts.all(|(&room, &refs)| self.rooms.refs(room) == refs);
        must(counted && refs.len() == self.rooms.len(), "a room's count")?;
        self.audit_pairs()?;
        self.audit_deadlines()?;
        let quality = self.quality.as_ref();
        must(
            quality.is_none_or(|quality| quality.is_sound()),
            "the age of a quality",
        )
    }

    fn audit_pairs(&self) -> Result<(), Discrepancy> {
        let mut pending = 0;
        for (slot, announced) in self.announcements.iter() {
            let record = &self.records[at(slot)];
            let hash = self.key_hash(&record.volunteer, &record.connection);
            must(hash == self.hashes[at(slot)], "a hash")?;
            let found = self.find_key(hash, &record.volunteer, &record.connection);
            must(found == Some(slot), "the key of an announcement")?;
            if let Standing::Matched { offer } = announced.standing() {
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
        let lingering = self.waiting_announcements.index.lingering();
        let keys = self.by_key.len() - lingering.len();
        must(keys == self.announcements.len(), "the keys")?;
        let offers = self.offers.iter();
        let paired = offers.filter(|(_, offered)| offered.ticket().is_none());
        must(paired.count() == pending, "the offers of pairs")?;
        must(self.pending == pending, "the count of pairs")
    }

    fn audit_deadlines(&self) -> Result<(), Discrepancy> {
        let waiting = self.announcements.iter().filter_map(|(slot, announced)| {
            announced.ticket()?;
            Some((slot, self.clock.tick(self.records[at(slot)].deadline?)))
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
                    let at = offer.deadline;
                    tick == at.map(|at| self.clock.tick_before(at, least))
                }
                Offered::Matched { .. } | Offered::Abandoned { .. } => tick.is_some(),
            };
            must(right, "an offer's deadline")?;
        }
        must(expected == set.len(), "the deadlines of offers")?;
        for deadlines in [&self.announcement_deadlines, &self.offer_deadlines] {
            must(deadlines.is_sound(), "the lists of deadlines")?;
            let now = self.clock.now_tick();
            must(
                deadlines.next().is_none_or(|next| next > now),
                "what is due",
            )?;
        }
        Ok(())
    }
}

fn audit_queue<'a>(
    queue: &Queue,
    entries: impl Iterator<Item = Waiting<'a>>,
    refs: &mut Refs,
) -> Result<(), Discrepancy> {
    let index = &queue.index;
    let (mut bytes, mut limited, mut postings) = (0, 0, 0);
    let mut by_class = [0; 3];
    let mut expected = Expected::new();
    let mut orders = Vec::new();
    for (slot, properties, opaque) in entries {
        bytes += opaque;
        limited += usize::from(queue.address_group(slot) != NONE);
        by_class[properties.class() as usize] += 1;
        let Placement {
            entry,
            order,
            geo,
            key,
        } = index.placement(slot);
        let placed = entry == slot
            && geo == properties.geography.packed()
            && key.class == properties.class();
        must(placed, "the place of an entry")?;
        orders.push(order);
        for room in index.rooms(slot) {
            postings += 1;
            *refs.entry(room).or_default() += 1;
            let shelf = expected.entry((room, key)).or_default();
            shelf.push((geo, order, slot));
        }
    }
    must(queue.len() == orders.len(), "the length of a queue")?;
    must(queue.bytes() == bytes, "the bytes of a queue")?;
    must(index.by_class() == by_class, "a class's count")?;
    orders.sort_unstable();
    let distinct = orders.windows(2).all(|pair| pair[0] < pair[1]);
    must(distinct, "the order of arrival")?;
    let (mut shelves, mut groups) = (0, 0);
    for room in index.rooms_in_use() {
        for shelf in index.shelves(room) {
            shelves += 1;
            must(shelf.is_sound(), "a shelf")?;
            let entries = shelf.entries();
            let mut held: Vec<_> = entries.map(|(geo, f)| (geo, f.order, f.entry)).collect();
            held.sort_unstable();
            let mut wanted = expected.remove(&(room, *shelf.key())).unwrap_or_default();
            wanted.sort_unstable();
            must(held == wanted, "the entries of a shelf")?;
            let mut kinds: Vec<_> = held.iter().map(|(geo, o, _)| (*geo, o.rank())).collect();
            kinds.dedup();
            groups += kinds.len();
        }
    }
    must(expected.is_empty(), "the shelves")?;
    let sizes = index.sizes();
    must(sizes == [postings, groups, shelves], "the size of an index")?;
    let limiter = queue.limiter.as_ref();
    let entries = limiter.map_or(0, |limiter| limiter.sizes()[0]);
    must(entries == limited, "the entries of address groups")
}

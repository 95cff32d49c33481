//! The decision: which announcement an offer gets, and which offer an announcement.
//!
//! Both look at the heads of the shelves of the rooms they share, nothing else, so what it costs
//! does not depend on how many wait.

use crate::config::Preference;
use crate::geography::{Packed, UnknownGeography};
use crate::index::{Found, Index, ShelfRef};
use crate::key::{Hard, ShelfKey};
use crate::order::Order;
use crate::rooms::{RoomKind, Rooms};

/// A choice, and what speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) entry: u32,
    /// The room in which it was found.
    pub(crate) room: u32,
    /// The offer prefers its NAT, or its quality stands in for that.
    pub(crate) preferred: bool,
}

/// The rules as far as a search needs them.
#[derive(Debug)]
pub(crate) struct Chooser {
    pub(crate) hard: Hard,
    pub(crate) preference: Preference,
    pub(crate) unknown: UnknownGeography,
    pub(crate) personal_exempt: bool,
}

/// What an offer makes of a shelf. Compared before age; the higher is chosen.
///
/// | bit | outside a newcomers' turn | in one |
/// |---|---|---|
/// | 3 | priority | – |
/// | 2 | preferred NAT | preferred NAT |
/// | 1 | shared personal compartment | shared personal compartment |
/// | 0 | – | newcomer |
fn merit(announcement: &ShelfKey, preferred: bool, personal: bool, newcomers: bool) -> u8 {
    let first = !newcomers && announcement.priority;
    let last = newcomers && announcement.newcomer;
    u8::from(first) << 3 | u8::from(preferred) << 2 | u8::from(personal) << 1 | u8::from(last)
}

/// A head that may be chosen.
#[derive(Clone, Copy)]
struct Head {
    found: Found,
    room: u32,
    preferred: bool,
}

impl Head {
    const fn choice(self) -> Choice {
        Choice {
            entry: self.found.entry,
            room: self.room,
            preferred: self.preferred,
        }
    }
}

fn keep_earlier(best: &mut Option<Head>, head: Head) {
    if best.is_none_or(|best| head.found.order < best.found.order) {
        *best = Some(head);
    }
}

impl Chooser {
    /// The geography that is passed over in a room of this kind by someone of this geography.
    pub(crate) fn excluded(&self, geo: Packed, kind: RoomKind) -> Option<Packed> {
        let exempt = self.personal_exempt && kind == RoomKind::Personal;
        let distinct = self.unknown == UnknownGeography::Distinct && !geo.is_known();
        (!exempt && !distinct).then_some(geo)
    }

    /// The announcement for an offer, among those in these rooms.
    pub(crate) fn announcement(
        &self,
        (geo, key): (Packed, &ShelfKey),
        rooms: &Rooms,
        among: &[u32],
        index: &Index,
        newcomers: bool,
    ) -> Option<Choice> {
        match self.preference {
            Preference::Lexicographic => self.by_merit((geo, key), rooms, among, index, newcomers),
            Preference::Reference => self.as_reference((geo, key), rooms, among, index),
        }
    }

    fn by_merit(
        &self,
        (geo, key): (Packed, &ShelfKey),
        rooms: &Rooms,
        among: &[u32],
        index: &Index,
        newcomers: bool,
    ) -> Option<Choice> {
        let mut best: Option<(u8, Head)> = None;
        for &room in among {
            let kind = rooms.kind(room);
            let exclude = self.excluded(geo, kind);
            for shelf in index.shelves(room) {
                let theirs = shelf.key();
                if self.hard.objection(key, theirs).is_some() {
                    continue;
                }
                let preferred = kind == RoomKind::Proven || key.class.prefers(theirs.class);
                let merit = merit(theirs, preferred, kind == RoomKind::Personal, newcomers);
                if best.is_some_and(|(best, _)| merit < best) {
                    continue;
                }
                let Some(found) = shelf.first(exclude) else {
                    continue;
                };
                if best.is_none_or(|(level, head)| merit > level || found.order < head.found.order)
                {
                    let head = Head {
                        found,
                        room,
                        preferred,
                    };
                    best = Some((merit, head));
                }
            }
        }
        best.map(|(_, head)| head.choice())
    }

    /// The reference's rule in three steps; facts and example in `docs/matcher.md`.
    fn as_reference(
        &self,
        (geo, key): (Packed, &ShelfKey),
        rooms: &Rooms,
        among: &[u32],
        index: &Index,
    ) -> Option<Choice> {
        let [mut earliest, mut personal, mut preferred, mut both] = [None; 4];
        for &room in among {
            let kind = rooms.kind(room);
            let exclude = self.excluded(geo, kind);
            for shelf in self.open_shelves(key, index, room) {
                let Some(found) = shelf.first(exclude) else {
                    continue;
                };
                let head = Head {
                    found,
                    room,
                    preferred: key.class.prefers(shelf.key().class),
                };
                keep_earlier(&mut earliest, head);
                if kind == RoomKind::Personal {
                    keep_earlier(&mut personal, head);
                }
                if head.preferred {
                    keep_earlier(&mut preferred, head);
                    if kind == RoomKind::Personal {
                        keep_earlier(&mut both, head);
                    }
                }
            }
        }
        // The first of preferred NAT, else the first personal one, else the first.
        let Some(first) = preferred else {
            return personal.or(earliest).map(Head::choice);
        };
        // If it is not personal, the first personal one after it, if that is of preferred NAT.
        let Some(both) = both else {
            return Some(first.choice());
        };
        if both.found.order == first.found.order {
            return Some(both.choice());
        }
        let hidden = among.iter().any(|&room| {
            rooms.kind(room) == RoomKind::Personal
                && self.has_unpreferred_between(
                    (key, self.excluded(geo, RoomKind::Personal)),
                    (first.found.order, both.found.order),
                    index,
                    room,
                )
        });
        Some(if hidden { first } else { both }.choice())
    }

    /// Whether a personal room has an entry of no preferred NAT between two others.
    fn has_unpreferred_between(
        &self,
        (key, exclude): (&ShelfKey, Option<Packed>),
        (after, before): (Order, Order),
        index: &Index,
        room: u32,
    ) -> bool {
        self.open_shelves(key, index, room).any(|shelf| {
            !key.class.prefers(shelf.key().class)
                && shelf
                    .first_after(after, exclude)
                    .is_some_and(|found| found.order < before)
        })
    }

    /// The shelves of a room that no hard rule shuts to an offer.
    fn open_shelves<'a>(
        &'a self,
        key: &'a ShelfKey,
        index: &'a Index,
        room: u32,
    ) -> impl Iterator<Item = ShelfRef<'a>> {
        let open = move |shelf: &ShelfRef<'_>| self.hard.objection(key, shelf.key()).is_none();
        index.shelves(room).filter(open)
    }

    /// The offer for an announcement: the one that came first, whatever its NAT.
    pub(crate) fn offer(
        &self,
        (geo, key): (Packed, &ShelfKey),
        rooms: &Rooms,
        among: &[u32],
        index: &Index,
    ) -> Option<Choice> {
        let mut best = None;
        for &room in among {
            let exclude = self.excluded(geo, rooms.kind(room));
            for shelf in index.shelves(room) {
                if self.hard.objection(shelf.key(), key).is_some() {
                    continue;
                }
                if let Some(found) = shelf.first(exclude) {
                    let head = Head {
                        found,
                        room,
                        preferred: shelf.key().class.prefers(key.class),
                    };
                    keep_earlier(&mut best, head);
                }
            }
        }
        best.map(Head::choice)
    }
}

//! Why someone waits: how many of the other side each rule keeps away.

use std::fmt;

use crate::action::{AnnouncementId, OfferId};
use crate::index::{Index, Placement};
use crate::key::Rule;
use crate::matcher::Matcher;
use crate::rooms::RoomKind;

/// A number of entries, exact or between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(usize),
    /// At least and at most so many. Entries in several of the compartments are counted in each,
    /// and telling them apart would mean looking at every one.
    Between(usize, usize),
}

impl Count {
    fn new(least: usize, most: usize) -> Self {
        if least >= most {
            Self::Exactly(most)
        } else {
            Self::Between(least, most)
        }
    }

    /// The least it can be.
    pub const fn least(self) -> usize {
        match self {
            Self::Exactly(count) | Self::Between(count, _) => count,
        }
    }

    /// The most it can be.
    pub const fn most(self) -> usize {
        match self {
            Self::Exactly(count) | Self::Between(_, count) => count,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => count.fmt(f),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
        }
    }
}

/// Why an entry waits. Each entry of the other side is counted once: under the first rule of
/// [`Rule::ALL`] that keeps it away, or as eligible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Entries of the other side that wait.
    pub others: usize,
    /// How many of them each rule keeps away.
    pub excluded: [(Rule, Count); 5],
    /// How many of them are eligible. None, unless matching is held.
    pub eligible: Count,
    /// Of those that share a compartment and no hard rule but geography keeps away, how many have a
    /// NAT that is compatible with this entry's. Not a rule unless
    /// [`NatRule::Require`](crate::NatRule::Require) makes it one.
    pub compatible: Count,
}

impl Explanation {
    /// The rule that keeps most away, if any keeps anyone.
    pub fn main_rule(&self) -> Option<Rule> {
        let kept = self.excluded.iter().filter(|(_, count)| count.most() > 0);
        // Of equals the first, as in the order of blame.
        kept.rev()
            .max_by_key(|(_, count)| count.most())
            .map(|&(rule, _)| rule)
    }
}

/// Counts of one rule in several rooms: the largest and the sum.
#[derive(Clone, Copy, Default)]
struct Tally {
    largest: usize,
    sum: usize,
}

impl Tally {
    fn add(&mut self, count: usize) {
        self.largest = self.largest.max(count);
        self.sum += count;
    }

    fn count(self, others: usize) -> Count {
        Count::new(self.largest, self.sum.min(others))
    }
}

impl Matcher {
    /// Why an offer waits. None if it does not. Costs a few look-ups for each shelf of its rooms.
    pub fn explain_offer(&self, id: OfferId) -> Option<Explanation> {
        self.offers.get(id.0)?.ticket()?;
        let index = &self.waiting_announcements.index;
        let others = self.waiting_announcements.len();
        let own = &self.waiting_offers.index;
        let rooms: Vec<_> = own.rooms(id.0.slot).collect();
        let place = own.placement(id.0.slot);
        Some(self.explain(&place, &rooms, (index, others), true))
    }

    /// Why an announcement waits. None if it does not.
    pub fn explain_announcement(&self, id: AnnouncementId) -> Option<Explanation> {
        self.announcements.get(id.0)?.ticket()?;
        let index = &self.waiting_offers.index;
        let others = self.waiting_offers.len();
        let own = &self.waiting_announcements.index;
        let rooms = own.rooms(id.0.slot);
        let rooms: Vec<_> = rooms
            .filter(|&room| self.rooms.kind(room) != RoomKind::Proven)
            .collect();
        let place = own.placement(id.0.slot);
        Some(self.explain(&place, &rooms, (index, others), false))
    }

    fn explain(
        &self,
        place: &Placement,
        rooms: &[u32],
        (index, others): (&Index, usize),
        is_offer: bool,
    ) -> Explanation {
        let hard = &self.chooser.hard;
        let (mut inside, mut same, mut eligible, mut compatible) = (
            Tally::default(),
            Tally::default(),
            Tally::default(),
            Tally::default(),
        );
        let mut by_rule = [Tally::default(); 5];
        // Those whom a personal compartment lets through are not excluded by a common one.
        let mut exempt = 0;
        for &room in rooms {
            let exclude = self.chooser.excluded(place.geo, self.rooms.kind(room));
            let (mut all, mut own, mut free, mut suits) = (0, 0, 0, 0);
            let mut objected = [0; 5];
            for shelf in index.shelves(room) {
                all += shelf.len();
                let (offer, announcement) = if is_offer {
                    (&place.key, shelf.key())
                } else {
                    (shelf.key(), &place.key)
                };
                if let Some(rule) = hard.objection(offer, announcement) {
                    objected[rule as usize] += shelf.len();
                    continue;
                }
                if offer.class.is_compatible(announcement.class) {
                    suits += shelf.len();
                }
                let same = exclude.map_or(0, |geo| shelf.len_of(geo));
                own += same;
                free += shelf.len() - same;
            }
            inside.add(all);
            same.add(own);
            eligible.add(free);
            compatible.add(suits);
            for (tally, count) in by_rule.iter_mut().zip(objected) {
                tally.add(count);
            }
            if exclude.is_none() {
                exempt += free;
            }
        }
        let excluded = Rule::ALL.map(|rule| {
            let count = match rule {
                Rule::Compartment => {
                    let inside = inside.count(others);
                    Count::new(others - inside.most(), others - inside.least())
                }
                Rule::Geography => {
                    Count::new(same.largest.saturating_sub(exempt), same.sum.min(others))
                }
                Rule::Nat | Rule::Versions | Rule::AllowMatch => {
                    by_rule[rule as usize].count(others)
                }
            };
            (rule, count)
        });
        Explanation {
            others,
            excluded,
            eligible: eligible.count(others),
            compatible: compatible.count(others),
        }
    }
}

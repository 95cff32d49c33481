//! The machine: waiting announcements that leave, and what that puts off.

use crate::index::Ticket;
use crate::matcher::Matcher;
use crate::pool::at;

/// So many announcements may linger, and one for every so many slots. The more, the more of them
/// stand near each other, and the less each one costs; but their slots are not used meanwhile.
const LINGERING_LEAST: usize = 64;
const LINGERING_PART: usize = 16;

impl Matcher {
    /// Takes a waiting announcement out. One that may linger leaves no work but for a part of a
    /// sweep, and that only while too many linger.
    pub(crate) fn drop_announcement(&mut self, slot: u32, ticket: Ticket) {
        let now = self.clock.now();
        self.announcement_deadlines.clear(slot);
        let queue = &mut self.waiting_announcements;
        if !queue.linger(now, (slot, ticket), &mut self.rooms) {
            queue.remove(now, (slot, ticket), 0, &mut self.rooms);
            self.forget_announced(slot);
            return;
        }
        self.announcements.retire(slot);
        let most = LINGERING_LEAST + self.announcements.slots() / LINGERING_PART;
        if queue.index.lingering().len() > most {
            self.sweep();
        }
    }

    /// Takes the next few that linger out of whatever they still stand in. They are neighbours in
    /// memory.
    fn sweep(&mut self) {
        self.waiting_announcements.index.settle_some(|slot| {
            self.by_key.remove(self.hashes[at(slot)], slot);
            self.announcements.reuse(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use peerage_core::Endpoint;

    use super::*;
    use crate::index::MOST_IN_GROUP;
    use crate::lingering::MOST_TAKEN;
    use crate::record::{
        Announcement, CompartmentId, Compartments, ConnectionId, Properties, VolunteerId,
    };
    use crate::{AnnouncementId, Asn, Cancelled, Config, Country, Geography};

    /// More slots than the hand passes over in one call.
    const MANY: u64 = 10_000;

    /// A head and those behind it, or one word.
    const MOST: usize = MOST_IN_GROUP as usize + 1;

    /// Announcements from so many networks, and what each call did for those that linger.
    struct Counted {
        matcher: Matcher,
        now: Instant,
        networks: u64,
        /// The most entries that one call took out of their lists, its own among them.
        unlinked: usize,
        /// The most keys that one call took out.
        keys: usize,
    }

    impl Counted {
        fn new(networks: u64) -> Self {
            #[expect(
                clippy::disallowed_methods,
                reason = "an Instant has no other constructor; it is only ever compared with itself"
            )]
            let now = Instant::now();
            Self {
                matcher: Matcher::new(Config::default(), [7; 16], now).unwrap(),
                now,
                networks,
                unlinked: 0,
                keys: 0,
            }
        }

        fn announce(&mut self, number: u64) -> AnnouncementId {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            let asn = Asn(u32::try_from(number % self.networks).unwrap());
            let geography = Geography::known(Country::new(*b"DE").unwrap(), asn);
            let announcement = Announcement {
                volunteer: VolunteerId(id),
                connection: ConnectionId(id),
                properties: Properties {
                    geography,
                    ..Properties::default()
                },
                address: Endpoint::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1),
                priority: false,
                newcomer: false,
                load: 0,
                deadline: Some(self.now + Duration::from_millis(100 + number / 100)),
            };
            let compartments = Compartments {
                personal: &[],
                common: &[CompartmentId([1; 32])],
            };
            let announced = self.matcher.announce(self.now, announcement, compartments);
            announced.unwrap()
        }

        fn cancel(&mut self, id: AnnouncementId) {
            let count = |matcher: &Matcher| {
                let index = &matcher.waiting_announcements.index;
                let lingering = index.lingering().len();
                (index.linked(), matcher.by_key.standing(), lingering)
            };
            let (linked, keys, _) = count(&self.matcher);
            let gone = self.matcher.cancel_announcement(self.now, id);
            assert_eq!(gone, Some(Cancelled::Waiting));
            let (still_linked, keys_left, lingering) = count(&self.matcher);
            self.unlinked = self.unlinked.max(linked + 1 - still_linked);
            self.keys = self.keys.max(keys - keys_left);
            // The hand passes over 64 words in a call.
            let slots = self.matcher.announcements.slots();
            let most = LINGERING_LEAST + slots / LINGERING_PART + slots / (64 * 64) + 1;
            assert!(lingering <= most, "{lingering} of {slots} linger");
        }

        fn fill(&mut self) -> Vec<AnnouncementId> {
            (0..MANY).map(|number| self.announce(number)).collect()
        }

        fn check(&self) {
            self.matcher.audit().unwrap();
            assert!(self.unlinked <= MOST, "{} at once", self.unlinked);
            assert!(self.keys <= 2 * MOST_TAKEN as usize, "{}", self.keys);
        }
    }

    /// Everything that lingers stands together, and where the hand comes last.
    #[test]
    fn newest_first_no_call_unlinks_more_than_a_word() {
        let mut counted = Counted::new(500);
        for id in counted.fill().into_iter().rev() {
            counted.cancel(id);
        }
        counted.check();
        assert_eq!(counted.unlinked, MOST_TAKEN as usize);
    }

    /// All but the first leave, then the first, which takes those along that are left.
    #[test]
    fn a_head_takes_along_no_more_than_its_group_may_hold() {
        for networks in [1, 7, 500] {
            let mut counted = Counted::new(networks);
            let ids = counted.fill();
            let (heads, others) = ids.split_at(usize::try_from(networks).unwrap());
            for &id in others.iter().chain(heads) {
                counted.cancel(id);
            }
            counted.check();
            assert!(networks > 7 || counted.unlinked == MOST, "no head was seen");
        }
    }

    /// They come and go in an order that has nothing to do with where they stand.
    #[test]
    fn in_no_order_the_backlog_stays_short_and_every_call_too() {
        let mut counted = Counted::new(300);
        let mut ids = counted.fill();
        let mut state = 1_usize;
        for number in MANY..5 * MANY {
            // Knuth's multiplier; the upper bits are random enough.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let leaving = (state >> 33) % ids.len();
            counted.cancel(ids[leaving]);
            ids[leaving] = counted.announce(number);
        }
        counted.check();
        assert!(counted.unlinked > 8, "no sweep was seen");
        let slots = counted.matcher.announcements.slots();
        assert!(slots < 11_000, "{slots} slots for {MANY}");
    }
}

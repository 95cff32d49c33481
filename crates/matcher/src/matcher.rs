//! The machine: what comes in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerage_core::Wakeup;

use crate::action::{Action, AnnouncementId, OfferId};
use crate::admission::check_room;
use crate::by_key::ByKey;
use crate::choose::Chooser;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Preference};
use crate::deadline::Deadlines;
use crate::entry::{Announced, Offered, Standing};
use crate::error::{OfferError, Queue as Full, Refused};
use crate::geography::Asn;
use crate::hash::{KeyHash, Keys};
use crate::index::Placement;
use crate::key::Hard;
use crate::nat::Class;
use crate::pool::{NONE, Slab};
use crate::quality::Quality;
use crate::queue::{Arrival, Queue, Wanted};
use crate::record::{Announcement, Compartments, Offer, VolunteerId};
use crate::rooms::{RoomName, Rooms};

/// Whether matching goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Whoever comes is matched at once if anyone eligible waits.
    Open,
    /// Requests only queue; see [`Matcher::hold`].
    Held,
    /// All is over; see [`Matcher::stop`].
    Stopped,
}

/// Announcements, offers and the answers awaited: one structure, one owner.
///
/// # Contract
/// Call a method, then drain [`Self::poll_action`] and perform each action, then ask
/// [`Self::poll_timeout`] when to call [`Self::handle_timeout`]. `now` never goes backwards; should
/// it, the latest one counts. Whatever is due by `now` ends before a call does anything else.
///
/// In [`Phase::Open`] no two who may meet ever wait: whoever comes second is matched at once.
///
/// ```text
///  announce ──► waiting ──► matched ──► answered          offer ──► waiting ──► matched ──► answered
///                 │            │                                      │            │
///                 ├► no match  ├► the volunteer gave up,              ├► no match  ├► no answer
///                 └► cancelled └► or said it cannot, or was late      └► cancelled └► cancelled
/// ```
pub struct Matcher {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    pub(crate) phase: Phase,
    pub(crate) pressed: bool,
    pub(crate) chooser: Chooser,
    pub(crate) rooms: Rooms,
    pub(crate) announcements: Slab<Announced>,
    /// What they say, by slot. That of an empty slot is from whoever was there last.
    pub(crate) records: Vec<Announcement>,
    /// Of their volunteer and connection, by slot as well.
    pub(crate) hashes: Vec<KeyHash>,
    pub(crate) offers: Slab<Offered>,
    pub(crate) waiting_announcements: Queue,
    pub(crate) waiting_offers: Queue,
    /// Of waiting announcements.
    pub(crate) announcement_deadlines: Deadlines,
    /// Of waiting offers, and of answers awaited.
    pub(crate) offer_deadlines: Deadlines,
    /// Every announcement under way.
    pub(crate) by_key: ByKey,
    pub(crate) quality: Option<Quality>,
    /// Pairs made so far, by class of client and volunteer.
    pub(crate) matches: [[u64; 3]; 3],
    pub(crate) pending: usize,
    /// Choices that arriving offers made so far.
    pub(crate) choices: u64,
    pub(crate) actions: VecDeque<Action>,
    /// Kept for its room.
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) among: Vec<u32>,
}

impl Matcher {
    /// An empty matcher. `seed` is drawn at random and kept secret.
    ///
    /// # Errors
    /// When the configuration contradicts itself or exceeds its bounds.
    ///
    /// # Security
    /// Whoever knows the seed can choose ids that make every look-up slow.
    pub fn new(config: Config, seed: [u8; 16], now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let keys = Keys::new(seed);
        let extras = &config.extras;
        let reference = config.preference == Preference::Reference;
        Ok(Self {
            keys,
            clock: Clock::new(now, config.tick),
            phase: Phase::Open,
            pressed: false,
            chooser: Chooser {
                hard: Hard::new(extras),
                preference: config.preference,
                unknown: config.unknown_geography,
                personal_exempt: extras.personal_exempt,
            },
            rooms: Rooms::new(keys),
            announcements: Slab::new(),
            records: Vec::new(),
            hashes: Vec::new(),
            offers: Slab::new(),
            waiting_announcements: Queue::new(keys, extras.announcement_limits, reference),
            waiting_offers: Queue::new(keys, extras.offer_limits, false),
            announcement_deadlines: Deadlines::new(),
            offer_deadlines: Deadlines::new(),
            by_key: ByKey::new(),
            quality: extras.quality.map(Quality::new),
            matches: [[0; 3]; 3],
            pending: 0,
            choices: 0,
            actions: VecDeque::new(),
            wanted: Vec::new(),
            among: Vec::new(),
            config,
        })
    }

    /// A volunteer announces a free slot. If someone waits whom it may meet, the action is ready.
    ///
    /// # Errors
    /// [`Refused`], at once; nothing is kept then but what its address group has used up.
    pub fn announce(
        &mut self,
        now: Instant,
        announcement: Announcement,
        compartments: Compartments<'_>,
    ) -> Result<AnnouncementId, Refused> {
        self.handle_timeout(now);
        self.check_request(&compartments)?;
        self.check_volunteer(&announcement)?;
        self.check_deadline(now, announcement.deadline, Duration::ZERO)?;
        let hash = self.key_hash(&announcement.volunteer, &announcement.connection);
        if self
            .find_key(hash, &announcement.volunteer, &announcement.connection)
            .is_some()
        {
            return Err(Refused::Duplicate);
        }
        let exempt = &self.config.extras.exempt_volunteers;
        let exempt = exempt.contains(&announcement.volunteer);
        let limit = match &mut self.waiting_announcements.limiter {
            Some(limiter) => limiter.enter(self.clock.now(), announcement.address.ip(), exempt)?,
            None => NONE,
        };
        let id = self.admit_announcement(announcement, &compartments, (hash, limit));
        if id.is_err() {
            self.waiting_announcements.leave(self.clock.now(), limit);
        }
        id
    }

    fn admit_announcement(
        &mut self,
        announcement: Announcement,
        compartments: &Compartments<'_>,
        (hash, limit): (KeyHash, u32),
    ) -> Result<AnnouncementId, Refused> {
        self.check_load(self.waiting_announcements.len(), self.waiting_offers.len())?;
        let geo = announcement.properties.geography.packed();
        let key = self.announcement_key(&announcement, compartments);
        let deadline = announcement.deadline.map(|at| self.clock.tick(at));
        self.want(compartments);
        let slot = self.announcements.vacant();
        if let Some(choice) = self.find_offer((geo, &key))? {
            // Never waits, so it counts for its address group no longer.
            self.waiting_announcements.leave(self.clock.now(), limit);
            let offer = choice.entry;
            self.add_announced(announcement, hash, Standing::Matched { offer });
            if let Some(record) = self.take_waiting_offer(offer, slot) {
                self.pair(slot, offer, record, choice);
            }
            return Ok(AnnouncementId(self.announcements.handle(slot)));
        }
        check_room(
            Full::Announcements,
            self.waiting_announcements.len(),
            self.config.caps.announcements,
        )?;
        let networks = self.proven_networks(&announcement, &key);
        let more = |room| {
            let networks = networks.iter();
            networks.map(|asn| RoomName::proven(room, asn.0)).collect()
        };
        let arrival = Arrival {
            geo,
            key,
            rank: self.rank(announcement.load),
            limit,
            bytes: 0,
        };
        let (queue, rooms) = (&mut self.waiting_announcements, &mut self.rooms);
        let ticket = queue.insert(slot, &arrival, rooms, &self.wanted, more);
        self.add_announced(announcement, hash, Standing::Waiting(ticket));
        if let Some(tick) = deadline {
            self.announcement_deadlines.set(slot, tick);
        }
        Ok(AnnouncementId(self.announcements.handle(slot)))
    }

    /// A client asks for a volunteer. If one waits whom it may meet, the action is ready.
    ///
    /// # Errors
    /// [`Refused`], at once; nothing is kept then but what its address group has used up.
    pub fn offer(
        &mut self,
        now: Instant,
        offer: Offer,
        compartments: Compartments<'_>,
    ) -> Result<OfferId, Refused> {
        self.handle_timeout(now);
        self.check_request(&compartments)?;
        let (len, limit) = (offer.opaque_len(), self.config.max_opaque_len);
        if len > limit {
            return Err(Refused::TooLong { len, limit });
        }
        if !self.chooser.hard.has_version(&offer.properties) {
            return Err(Refused::NoVersion);
        }
        self.check_geography(offer.properties.geography.is_known())?;
        self.check_deadline(now, offer.deadline, self.config.extras.least_offer_time)?;
        let exempt = &self.config.extras.exempt_sponsors;
        let exempt = offer.sponsor.is_some_and(|id| exempt.contains(&id));
        let limit = match &mut self.waiting_offers.limiter {
            Some(limiter) => limiter.enter(self.clock.now(), offer.address, exempt)?,
            None => NONE,
        };
        let id = self.admit_offer(offer, &compartments, limit);
        if id.is_err() {
            self.waiting_offers.leave(self.clock.now(), limit);
        }
        id
    }

    fn admit_offer(
        &mut self,
        offer: Offer,
        compartments: &Compartments<'_>,
        limit: u32,
    ) -> Result<OfferId, Refused> {
        self.check_load(self.waiting_offers.len(), self.waiting_announcements.len())?;
        let geo = offer.properties.geography.packed();
        let key = self.chooser.hard.offer_key(&offer.properties);
        self.want(compartments);
        if self.phase == Phase::Open {
            self.check_pending()?;
            self.among.clear();
            self.among.extend(self.wanted.iter().filter_map(|w| w.1));
            if let Some(choice) = self.find_announcement((geo, &key)) {
                self.waiting_offers.leave(self.clock.now(), limit);
                let announcement = choice.entry;
                let id = self.offers.add(Offered::Matched { announcement });
                self.dequeue_announcement(announcement, id.slot);
                self.pair(announcement, id.slot, Box::new(offer), choice);
                return Ok(OfferId(id));
            }
        }
        let caps = self.config.caps;
        check_room(Full::Offers, self.waiting_offers.len(), caps.offers)?;
        let bytes = offer.opaque_len();
        let after = self.waiting_offers.bytes().saturating_add(bytes);
        check_room(Full::OfferBytes, after.saturating_sub(1), caps.offer_bytes)?;
        let least = self.config.extras.least_offer_time;
        let deadline = offer.deadline.map(|at| self.clock.tick_before(at, least));
        let slot = self.offers.vacant();
        let arrival = Arrival {
            geo,
            key,
            rank: 0,
            limit,
            bytes,
        };
        let (queue, rooms) = (&mut self.waiting_offers, &mut self.rooms);
        let ticket = queue.insert(slot, &arrival, rooms, &self.wanted, |_| Vec::new());
        let id = self.offers.add(Offered::Waiting(ticket, Box::new(offer)));
        if let Some(tick) = deadline {
            self.offer_deadlines.set(slot, tick);
        }
        Ok(OfferId(id))
    }

    /// From now on requests only queue, until [`Self::resume`]. A broker that has just started may
    /// wait so for its volunteers to come back, instead of giving all clients to the first ones.
    pub const fn hold(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Held;
        }
    }

    /// Ends [`Self::hold`]: one pass gives every waiting offer, in order of arrival, the best of
    /// what remains. Costs one search for each waiting offer.
    pub fn resume(&mut self, now: Instant) {
        self.handle_timeout(now);
        if self.phase != Phase::Held {
            return;
        }
        self.phase = Phase::Open;
        let queue = &self.waiting_offers;
        let mut waiting: Vec<_> = self
            .offers
            .iter()
            .filter(|(_, offered)| offered.ticket().is_some())
            .map(|(slot, _)| (queue.order(slot), slot))
            .collect();
        waiting.sort_unstable();
        for (_, slot) in waiting {
            if self.pending >= self.config.caps.pending {
                // Nobody may wait who could be matched.
                self.fail_waiting_offer(slot, OfferError::NoMatch);
                continue;
            }
            let Some(Offered::Waiting(..)) = self.offers.at(slot) else {
                continue;
            };
            let index = &self.waiting_offers.index;
            let Placement { geo, key, .. } = index.placement(slot);
            self.among.clear();
            self.among.extend(index.rooms(slot));
            if let Some(choice) = self.find_announcement((geo, &key))
                && let Some(offer) = self.take_waiting_offer(slot, choice.entry)
            {
                self.dequeue_announcement(choice.entry, slot);
                self.pair(choice.entry, slot, offer, choice);
            }
        }
    }

    /// Declares pressure, or its end, for [`Extras::load_limit`](crate::Extras::load_limit).
    pub const fn set_pressure(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    /// A client of `client`'s network was served well by a volunteer that was seen in `seen_in`:
    /// its quality is proven, for [`Extras::quality`](crate::Extras::quality).
    pub fn report_quality(
        &mut self,
        now: Instant,
        volunteer: VolunteerId,
        seen_in: Option<Asn>,
        client: Option<Asn>,
    ) {
        self.handle_timeout(now);
        if let Some(quality) = &mut self.quality {
            quality.proven(self.clock.now(), (volunteer, seen_in), client);
        }
    }

    /// The next thing to do, in the order in which it came about.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When something expires next. None if nothing does.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let of = |deadlines: &Deadlines, why| {
            let at = self.clock.start_of(deadlines.next()?)?;
            Some(Wakeup { at, why })
        };
        let announcement = of(&self.announcement_deadlines, "announcement expires");
        let offer = of(&self.offer_deadlines, "offer or answer expires");
        let both = announcement.into_iter().chain(offer);
        both.min_by_key(|wakeup| wakeup.at)
    }

    /// Whether matching goes on.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What the operator decided.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// When a volunteer of this class that got no client should announce again, if hints are
    /// given: [`Extras::poll_hints`](crate::Extras::poll_hints).
    pub fn next_poll(&self, class: Class) -> Option<Duration> {
        let hints = self.config.extras.poll_hints?;
        let waiting = self.waiting_announcements.index.by_class()[class as usize];
        let (part, whole) = (waiting.min(hints.full_at), hints.full_at.max(1));
        let span = hints.most.saturating_sub(hints.least);
        Some(hints.least + span.mul_f64(part as f64 / whole as f64))
    }
}

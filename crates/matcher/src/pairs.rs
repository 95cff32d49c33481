//! The machine: pairs, answers, and every way in which anything ends.

use std::time::Instant;

use crate::action::{Action, AnnouncementId, Cancelled, Match, OfferId, Shared, Taken};
use crate::choose::Choice;
use crate::entry::{Announced, Offered, Standing};
use crate::error::{AnnouncementError, AnswerError, OfferError};
use crate::hash::KeyHash;
use crate::matcher::{Matcher, Phase};
use crate::pool::at;
use crate::record::{Announcement, Answer, CompartmentId, ConnectionId, Offer, VolunteerId};
use crate::rooms::RoomKind;

impl Matcher {
    /// A volunteer's answer to the offer that it was given for this connection.
    ///
    /// # Errors
    /// [`AnswerError::NoClient`] unless an answer is awaited from this volunteer on this connection.
    pub fn answer(
        &mut self,
        now: Instant,
        volunteer: &VolunteerId,
        connection: &ConnectionId,
        answer: Answer,
    ) -> Result<Taken, AnswerError> {
        self.handle_timeout(now);
        let (len, limit) = (answer.description.len(), self.config.max_opaque_len);
        if len > limit {
            return Err(AnswerError::TooLong { len, limit });
        }
        let slot = self.find_pair(volunteer, connection);
        let slot = slot.ok_or(AnswerError::NoClient)?;
        let (announcement, to) = self.unpair(slot).ok_or(AnswerError::NoClient)?;
        let Some(to) = to else {
            return Ok(Taken::ClientGone);
        };
        self.actions.push_back(Action::Answer {
            to,
            answer,
            announcement: Box::new(announcement),
        });
        Ok(Taken::Delivered)
    }

    /// A volunteer cannot answer the offer that it was given for this connection: its client is
    /// told at once. Returns whether an answer was awaited.
    pub fn answer_error(
        &mut self,
        now: Instant,
        volunteer: &VolunteerId,
        connection: &ConnectionId,
    ) -> bool {
        self.handle_timeout(now);
        let Some(slot) = self.find_pair(volunteer, connection) else {
            return false;
        };
        self.end_pair(slot, OfferError::NoAnswer);
        true
    }

    /// The volunteer's call has ended. If it was matched already, its client is told at once.
    /// None if the announcement is over.
    pub fn cancel_announcement(&mut self, now: Instant, id: AnnouncementId) -> Option<Cancelled> {
        self.handle_timeout(now);
        let slot = id.0.slot;
        Some(match self.announcements.get(id.0)?.standing() {
            Standing::Waiting(ticket) => {
                self.drop_announcement(slot, ticket);
                Cancelled::Waiting
            }
            Standing::Matched { .. } => {
                self.end_pair(slot, OfferError::VolunteerLeft);
                Cancelled::Matched
            }
        })
    }

    /// The client's call has ended. If it was matched already, the answer is taken until its time
    /// is up, and lost. None if the offer is over.
    pub fn cancel_offer(&mut self, now: Instant, id: OfferId) -> Option<Cancelled> {
        self.handle_timeout(now);
        let slot = id.0.slot;
        Some(match *self.offers.get(id.0)? {
            Offered::Waiting(..) => {
                self.drop_waiting_offer(slot);
                Cancelled::Waiting
            }
            Offered::Matched { announcement } => {
                self.offers.renew(slot, Offered::Abandoned { announcement });
                Cancelled::Matched
            }
            Offered::Abandoned { .. } => return None,
        })
    }

    /// Ends whatever is due by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.clock.advance(now);
        let tick = self.clock.now_tick();
        while let Some(slot) = self.announcement_deadlines.pop_due(tick) {
            self.fail_announcement(slot, AnnouncementError::NoMatch);
        }
        while let Some(slot) = self.offer_deadlines.pop_due(tick) {
            match self.offers.at(slot) {
                Some(Offered::Waiting(..)) => self.fail_waiting_offer(slot, OfferError::NoMatch),
                Some(Offered::Matched { announcement } | Offered::Abandoned { announcement }) => {
                    let announcement = *announcement;
                    self.end_pair(announcement, OfferError::AnswerTimeout);
                }
                None => {}
            }
        }
    }

    /// Ends everything: every waiting volunteer and every client is told that it may try elsewhere,
    /// and whoever comes later is refused. To start again, make a new matcher.
    pub fn stop(&mut self, now: Instant) {
        self.handle_timeout(now);
        if self.phase == Phase::Stopped {
            return;
        }
        self.phase = Phase::Stopped;
        let queue = &self.waiting_announcements;
        let mut volunteers = Vec::new();
        let mut pairs = Vec::new();
        for (slot, announced) in self.announcements.iter() {
            match announced.standing() {
                Standing::Waiting(_) => volunteers.push((queue.order(slot), slot)),
                Standing::Matched { .. } => pairs.push(slot),
            }
        }
        volunteers.sort_unstable();
        for (_, slot) in volunteers {
            self.announcement_deadlines.clear(slot);
            self.fail_announcement(slot, AnnouncementError::Stopped);
        }
        for slot in pairs {
            self.end_pair(slot, OfferError::Stopped);
        }
        let queue = &self.waiting_offers;
        let mut clients: Vec<_> = self
            .offers
            .iter()
            .filter(|(_, offered)| offered.ticket().is_some())
            .map(|(slot, _)| (queue.order(slot), slot))
            .collect();
        clients.sort_unstable();
        for (_, slot) in clients {
            self.fail_waiting_offer(slot, OfferError::Stopped);
        }
    }

    /// Makes a pair of an announcement and an offer, both out of their queues.
    pub(crate) fn pair(&mut self, announcement: u32, slot: u32, offer: Box<Offer>, choice: Choice) {
        let record = &self.records[at(announcement)];
        let (theirs, ours) = (&record.properties, &offer.properties);
        let classes = (ours.class(), theirs.class());
        let known = self.config.extras.versions;
        let versions = ours.versions.both(theirs.versions);
        let versions = known.map_or(versions, |known| versions.both(known));
        self.pending += 1;
        self.matches[classes.0 as usize][classes.1 as usize] += 1;
        if let Some(quality) = &mut self.quality {
            let volunteer = (record.volunteer, theirs.geography.asn);
            quality.matched(self.clock.now(), volunteer);
        }
        let tick = match offer.deadline {
            Some(at) => self.clock.tick(at),
            None => self.clock.tick_after(self.config.answer_timeout),
        };
        // The same, unless an offer without one waited, or waited less to have time for this.
        if self.offer_deadlines.of(slot) != Some(tick) {
            self.offer_deadlines.clear(slot);
            self.offer_deadlines.set(slot, tick);
        }
        let by = Match {
            offer: OfferId(self.offers.handle(slot)),
            shared: self.shared(choice.room),
            classes,
            preferred: choice.preferred,
            version: versions.highest(),
            answer_by: self.clock.start_of(tick),
        };
        self.actions.push_back(Action::Deliver {
            to: AnnouncementId(self.announcements.handle(announcement)),
            offer,
            by,
        });
    }

    /// Takes a pair apart, and its announcement out. Also tells which client still waits for it.
    fn unpair(&mut self, announcement: u32) -> Option<(Announcement, Option<OfferId>)> {
        let announced = self.forget_announced(announcement)?;
        let Standing::Matched { offer } = announced.standing() else {
            return None;
        };
        self.pending -= 1;
        self.offer_deadlines.clear(offer);
        let id = OfferId(self.offers.handle(offer));
        let waits = matches!(self.offers.take(offer), Some(Offered::Matched { .. }));
        Some((self.records[at(announcement)], waits.then_some(id)))
    }

    /// Takes a pair apart and tells its client why.
    fn end_pair(&mut self, announcement: u32, error: OfferError) {
        if let Some((_, Some(to))) = self.unpair(announcement) {
            self.actions.push_back(Action::FailOffer { to, error });
        }
    }

    /// Ends a waiting announcement whose deadline has been taken away.
    fn fail_announcement(&mut self, slot: u32, error: AnnouncementError) {
        let to = AnnouncementId(self.announcements.handle(slot));
        let Some(announced) = self.forget_announced(slot) else {
            return;
        };
        if let Standing::Waiting(ticket) = announced.standing() {
            let now = self.clock.now();
            self.waiting_announcements
                .remove(now, (slot, ticket), 0, &mut self.rooms);
        }
        let hints = self.config.extras.poll_hints;
        let next_poll = match (hints, error) {
            (Some(_), AnnouncementError::NoMatch) => {
                self.next_poll(self.records[at(slot)].properties.class())
            }
            (None, _) | (_, AnnouncementError::Stopped) => None,
        };
        self.actions.push_back(Action::FailAnnouncement {
            to,
            error,
            next_poll,
        });
    }

    /// Ends a waiting offer and tells its client why.
    pub(crate) fn fail_waiting_offer(&mut self, slot: u32, error: OfferError) {
        let to = OfferId(self.offers.handle(slot));
        if self.drop_waiting_offer(slot) {
            self.actions.push_back(Action::FailOffer { to, error });
        }
    }

    /// Whether it was there.
    fn drop_waiting_offer(&mut self, slot: u32) -> bool {
        let Some(Offered::Waiting(ticket, offer)) = self.offers.at(slot) else {
            return false;
        };
        let (now, bytes) = (self.clock.now(), offer.opaque_len());
        self.waiting_offers
            .remove(now, (slot, *ticket), bytes, &mut self.rooms);
        self.offer_deadlines.clear(slot);
        self.offers.take(slot);
        true
    }

    /// Takes a waiting offer out of its queue, to be matched with an announcement.
    pub(crate) fn take_waiting_offer(&mut self, slot: u32, with: u32) -> Option<Box<Offer>> {
        let offered = self.offers.at_mut(slot)?;
        let matched = Offered::Matched { announcement: with };
        match std::mem::replace(offered, matched) {
            Offered::Waiting(ticket, offer) => {
                let (now, bytes) = (self.clock.now(), offer.opaque_len());
                self.waiting_offers
                    .remove(now, (slot, ticket), bytes, &mut self.rooms);
                Some(offer)
            }
            other @ (Offered::Matched { .. } | Offered::Abandoned { .. }) => {
                *offered = other;
                None
            }
        }
    }

    /// Takes a waiting announcement out of its queue, to be matched with an offer.
    pub(crate) fn dequeue_announcement(&mut self, slot: u32, with: u32) {
        if let Some(announced) = self.announcements.at_mut(slot) {
            let matched = Announced::new(Standing::Matched { offer: with });
            let before = std::mem::replace(announced, matched);
            if let Standing::Waiting(ticket) = before.standing() {
                let now = self.clock.now();
                self.waiting_announcements
                    .remove(now, (slot, ticket), 0, &mut self.rooms);
                self.announcement_deadlines.clear(slot);
            }
        }
    }

    /// Keeps an announcement in the next vacant slot, under its key.
    pub(crate) fn add_announced(
        &mut self,
        record: Announcement,
        hash: KeyHash,
        standing: Standing,
    ) {
        let slot = self.announcements.add(Announced::new(standing)).slot;
        match self.records.get_mut(at(slot)) {
            Some(place) => *place = record,
            None => self.records.push(record),
        }
        match self.hashes.get_mut(at(slot)) {
            Some(place) => *place = hash,
            None => self.hashes.push(hash),
        }
        self.by_key.insert(hash, slot);
    }

    pub(crate) fn forget_announced(&mut self, slot: u32) -> Option<Announced> {
        let announced = self.announcements.take(slot)?;
        self.by_key.remove(self.hashes[at(slot)], slot);
        Some(announced)
    }

    pub(crate) fn key_hash(&self, volunteer: &VolunteerId, connection: &ConnectionId) -> KeyHash {
        let mut key = [0; 64];
        key[..32].copy_from_slice(&volunteer.0);
        key[32..].copy_from_slice(&connection.0);
        KeyHash::of(self.keys.bytes(0, &key))
    }

    pub(crate) fn find_key(
        &self,
        hash: KeyHash,
        volunteer: &VolunteerId,
        connection: &ConnectionId,
    ) -> Option<u32> {
        self.by_key.find(hash, |slot| {
            let record = &self.records[at(slot)];
            let same = record.volunteer == *volunteer && record.connection == *connection;
            same && self.announcements.at(slot).is_some()
        })
    }

    /// The announcement of this key, if its answer is awaited.
    fn find_pair(&self, volunteer: &VolunteerId, connection: &ConnectionId) -> Option<u32> {
        let hash = self.key_hash(volunteer, connection);
        let slot = self.find_key(hash, volunteer, connection)?;
        let announced = self.announcements.at(slot)?;
        matches!(announced.standing(), Standing::Matched { .. }).then_some(slot)
    }

    /// The compartment that a room stands for. The room's last occupant may just have left: its name
    /// stands until the number is used again.
    fn shared(&self, room: u32) -> Shared {
        let name = self.rooms.name(room);
        match name.kind {
            RoomKind::Personal => Shared::Personal(CompartmentId(name.id)),
            RoomKind::Common => Shared::Common(CompartmentId(name.id)),
            RoomKind::Proven => {
                Shared::Common(CompartmentId(self.rooms.name(name.common_room()).id))
            }
        }
    }
}

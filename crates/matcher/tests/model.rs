//! The reference models: plain lists, looked through from end to end, with every rule read from what
//! the requests say. Slow, and nothing in them is derived.

use std::time::{Duration, Instant};

use peerage_matcher::error::Queue;
use peerage_matcher::{
    Announcement, AnnouncementError, AnswerError, Area, CompartmentId, Config, ConnectionId,
    Country, Geography, Limited, NatRule, Offer, OfferError, Preference, Properties, Refused,
    UnknownGeography, VolunteerId,
};

/// What a request is known by, on both sides of the comparison.
pub(crate) type Label = u64;

/// Compartments as lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    pub(crate) personal: Vec<CompartmentId>,
    pub(crate) common: Vec<CompartmentId>,
}

/// What comes out, by label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Deliver {
        announcement: Label,
        offer: Label,
        preferred: bool,
        personal: bool,
    },
    Answer {
        offer: Label,
        announcement: Label,
    },
    FailAnnouncement(Label, &'static str),
    FailOffer(Label, &'static str),
}

#[derive(Clone, Debug)]
struct Waiting<R> {
    label: Label,
    record: R,
    ids: Ids,
    /// The tick in which it ends.
    ends: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    announcement: Label,
    offer: Option<Label>,
    key: (VolunteerId, ConnectionId),
    ends: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Held,
    Stopped,
}

/// Lists and a clock.
pub(crate) struct Model {
    config: Config,
    epoch: Instant,
    now: Instant,
    phase: Phase,
    announcements: Vec<Waiting<Announcement>>,
    offers: Vec<Waiting<Offer>>,
    pairs: Vec<Pair>,
    choices: u64,
    events: Vec<Event>,
}

fn share(ours: &[CompartmentId], theirs: &[CompartmentId]) -> bool {
    ours.iter().any(|id| theirs.contains(id))
}

fn covers(area: &Area, geography: &Geography) -> bool {
    match area {
        Area::Country(country) => geography.country == Some(*country),
        Area::Asn(asn) => geography.asn == Some(*asn),
    }
}

/// The two tables in words: who can take anyone takes those whom nobody else can take.
fn prefers(offer: &Properties, announcement: &Properties) -> bool {
    match (offer.class().name(), announcement.class().name()) {
        ("unlimited", theirs) => theirs == "strict",
        ("partial", theirs) => theirs != "strict",
        (_, theirs) => theirs == "unlimited",
    }
}

fn compatible(offer: &Properties, announcement: &Properties) -> bool {
    match (offer.class().name(), announcement.class().name()) {
        ("unlimited", _) | (_, "unlimited") => true,
        (ours, theirs) => ours == "partial" && theirs == "partial",
    }
}

impl Model {
    pub(crate) fn new(config: Config, epoch: Instant) -> Self {
        Self {
            config,
            epoch,
            now: epoch,
            phase: Phase::Open,
            announcements: Vec::new(),
            offers: Vec::new(),
            pairs: Vec::new(),
            choices: 0,
            events: Vec::new(),
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (
            self.announcements.len(),
            self.offers.len(),
            self.pairs.len(),
        )
    }

    fn tick(&self, at: Instant, less: Duration) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        let ticks = since.saturating_sub(less).as_nanos() / self.config.tick.as_nanos();
        u64::try_from(ticks).unwrap()
    }

    fn now_tick(&self) -> u64 {
        self.tick(self.now, Duration::ZERO)
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let tick = self.now_tick();
        let due = |ends: Option<u64>| ends.is_some_and(|ends| ends <= tick);
        let events = &mut self.events;
        self.announcements.retain(|waiting| {
            if due(waiting.ends) {
                events.push(Event::FailAnnouncement(waiting.label, "no match"));
            }
            !due(waiting.ends)
        });
        self.offers.retain(|waiting| {
            if due(waiting.ends) {
                events.push(Event::FailOffer(waiting.label, "no match"));
            }
            !due(waiting.ends)
        });
        self.pairs.retain(|pair| {
            if pair.ends <= tick {
                let late = |offer| Event::FailOffer(offer, "answer timeout");
                events.extend(pair.offer.map(late));
            }
            pair.ends > tick
        });
    }

    /// The hard rules.
    fn eligible(&self, offer: &Waiting<Offer>, announcement: &Waiting<Announcement>) -> bool {
        let extras = &self.config.extras;
        let (ours, theirs) = (&offer.record.properties, &announcement.record.properties);
        let (client, volunteer) = (&ours.geography, &theirs.geography);
        let unknown = !client.is_known() || !volunteer.is_known();
        let same = client == volunteer
            && !(unknown && self.config.unknown_geography == UnknownGeography::Distinct);
        let personal = share(&offer.ids.personal, &announcement.ids.personal)
            && (!same || extras.personal_exempt);
        let common = share(&offer.ids.common, &announcement.ids.common) && !same;
        let versions = extras.versions.is_none_or(|known| {
            let both = ours.versions.both(theirs.versions).both(known);
            !both.is_empty()
        });
        let nat = extras.nat == NatRule::Prefer || compatible(ours, theirs);
        (personal || common) && versions && nat && self.allows(client, volunteer)
    }

    fn allows(&self, client: &Geography, volunteer: &Geography) -> bool {
        let allow = &self.config.extras.allow_match;
        let never = allow.never.iter().any(|(area, areas)| {
            covers(area, client) && areas.iter().any(|area| covers(area, volunteer))
        });
        let only = allow.only.iter().all(|(area, areas)| {
            !covers(area, client) || areas.iter().any(|area| covers(area, volunteer))
        });
        only && !never
    }

    /// Preferred NAT, and a shared personal compartment.
    fn merits(offer: &Waiting<Offer>, announcement: &Waiting<Announcement>) -> (bool, bool) {
        let (ours, theirs) = (&offer.record.properties, &announcement.record.properties);
        let personal = share(&offer.ids.personal, &announcement.ids.personal);
        (prefers(ours, theirs), personal)
    }

    fn choose(&self, offer: &Waiting<Offer>) -> Option<usize> {
        let eligible: Vec<usize> = (0..self.announcements.len())
            .filter(|&at| self.eligible(offer, &self.announcements[at]))
            .collect();
        match self.config.preference {
            Preference::Lexicographic => self.choose_by_merit(offer, &eligible),
            Preference::Reference => self.choose_as_reference(offer, &eligible),
        }
    }

    fn choose_by_merit(&self, offer: &Waiting<Offer>, eligible: &[usize]) -> Option<usize> {
        let extras = &self.config.extras;
        let every = extras.newcomer_turn.map(|every| u64::from(every.get()));
        let turn = every.is_some_and(|every| self.choices % every == every - 1);
        // The lowest key is chosen.
        let key = |&at: &usize| {
            let waiting = &self.announcements[at];
            let record = &waiting.record;
            let (preferred, personal) = Self::merits(offer, waiting);
            let priority = extras.priority && record.priority && waiting.ids.personal.is_empty();
            let load = extras
                .load_step
                .map_or(0, |step| (record.load / step).min(15));
            (
                !priority || turn,
                !preferred,
                !personal,
                !(record.newcomer && turn),
                load,
                at,
            )
        };
        eligible.iter().copied().min_by_key(key)
    }

    fn choose_as_reference(&self, offer: &Waiting<Offer>, eligible: &[usize]) -> Option<usize> {
        let merits = |at: usize| Self::merits(offer, &self.announcements[at]);
        let of = |wanted: &dyn Fn((bool, bool)) -> bool| {
            eligible.iter().copied().find(|&at| wanted(merits(at)))
        };
        let first = of(&|(preferred, _)| preferred)
            .or_else(|| of(&|(_, personal)| personal))
            .or_else(|| of(&|_| true))?;
        if merits(first).1 {
            return Some(first);
        }
        let after = eligible.iter().copied().filter(|&at| at > first);
        let personal = after.into_iter().find(|&at| merits(at).1);
        Some(personal.filter(|&at| merits(at).0).unwrap_or(first))
    }

    fn pair(&mut self, announcement: Waiting<Announcement>, offer: Waiting<Offer>) {
        let (preferred, personal) = Self::merits(&offer, &announcement);
        let ends = match offer.record.deadline {
            Some(deadline) => self.tick(deadline, Duration::ZERO),
            None => self.tick(self.now + self.config.answer_timeout, Duration::ZERO),
        };
        self.pairs.push(Pair {
            announcement: announcement.label,
            offer: Some(offer.label),
            key: (
                announcement.record.volunteer,
                announcement.record.connection,
            ),
            ends,
        });
        self.events.push(Event::Deliver {
            announcement: announcement.label,
            offer: offer.label,
            preferred,
            personal,
        });
    }

    fn check(&self, ids: &Ids) -> Result<(), Refused> {
        if self.phase == Phase::Stopped {
            return Err(Refused::Stopped);
        }
        let limit = self.config.max_compartments;
        let len = ids.personal.len().max(ids.common.len());
        if len > limit {
            return Err(Refused::TooManyCompartments { len, limit });
        }
        if len == 0 {
            return Err(Refused::NoCompartment);
        }
        Ok(())
    }

    fn check_properties(&self, properties: &Properties) -> Result<(), Refused> {
        let known = self.config.extras.versions;
        if known.is_some_and(|known| known.both(properties.versions).is_empty()) {
            return Err(Refused::NoVersion);
        }
        if self.config.unknown_geography == UnknownGeography::Refused
            && !properties.geography.is_known()
        {
            return Err(Refused::UnknownGeography);
        }
        Ok(())
    }

    fn check_time(&self, deadline: Option<Instant>, least: Duration) -> Result<(), Refused> {
        match deadline {
            Some(at) if self.tick(at, least) <= self.now_tick() => Err(Refused::TooLate {
                left: at.saturating_duration_since(self.now),
                least: least + self.config.tick,
            }),
            _ => Ok(()),
        }
    }

    fn check_load(&self, own: usize, other: usize) -> Result<(), Refused> {
        let pressed = self
            .config
            .extras
            .load_limit
            .is_some_and(|limit| own + other >= limit.entries);
        if pressed && own * 2 >= other {
            return Err(Refused::LoadLimited { own, other });
        }
        Ok(())
    }

    fn check_room(queue: Queue, len: usize, limit: usize) -> Result<(), Refused> {
        if len >= limit {
            return Err(Refused::Full { queue, limit });
        }
        Ok(())
    }

    pub(crate) fn announce(
        &mut self,
        now: Instant,
        label: Label,
        record: Announcement,
        ids: Ids,
    ) -> Result<(), Refused> {
        self.advance(now);
        self.check(&ids)?;
        let refused = &self.config.extras.refused_countries;
        let country = record.properties.geography.country;
        if let Some(country) = country.filter(|country: &Country| refused.contains(country)) {
            return Err(Refused::Country { country });
        }
        self.check_properties(&record.properties)?;
        self.check_time(record.deadline, Duration::ZERO)?;
        let key = (record.volunteer, record.connection);
        let waits = |waiting: &Waiting<Announcement>| {
            (waiting.record.volunteer, waiting.record.connection) == key
        };
        if self.announcements.iter().any(waits) || self.pairs.iter().any(|pair| pair.key == key) {
            return Err(Refused::Duplicate);
        }
        if let Some(limits) = self.config.extras.announcement_limits {
            let group = limits.group_of(record.address.ip());
            let held = self
                .announcements
                .iter()
                .filter(|waiting| limits.group_of(waiting.record.address.ip()) == group);
            if held.count() >= limits.entries as usize {
                let limit = limits.entries;
                return Err(Limited::Entries { limit }.into());
            }
        }
        self.check_load(self.announcements.len(), self.offers.len())?;
        let ends = record.deadline.map(|at| self.tick(at, Duration::ZERO));
        let waiting = Waiting {
            label,
            record,
            ids,
            ends,
        };
        if self.phase == Phase::Open {
            let caps = self.config.caps;
            Self::check_room(Queue::Pending, self.pairs.len(), caps.pending)?;
            let found = self.offers.iter().position(|o| self.eligible(o, &waiting));
            if let Some(at) = found {
                let offer = self.offers.remove(at);
                self.pair(waiting, offer);
                return Ok(());
            }
        }
        let limit = self.config.caps.announcements;
        Self::check_room(Queue::Announcements, self.announcements.len(), limit)?;
        self.announcements.push(waiting);
        Ok(())
    }

    pub(crate) fn offer(
        &mut self,
        now: Instant,
        label: Label,
        record: Offer,
        ids: Ids,
    ) -> Result<(), Refused> {
        self.advance(now);
        self.check(&ids)?;
        let (len, limit) = (record.opaque_len(), self.config.max_opaque_len);
        if len > limit {
            return Err(Refused::TooLong { len, limit });
        }
        self.check_properties(&record.properties)?;
        let least = self.config.extras.least_offer_time;
        self.check_time(record.deadline, least)?;
        if let Some(limits) = self.config.extras.offer_limits {
            let group = limits.group_of(record.address);
            let in_group = |offer: &&Waiting<Offer>| limits.group_of(offer.record.address) == group;
            if self.offers.iter().filter(in_group).count() >= limits.entries as usize {
                let limit = limits.entries;
                return Err(Limited::Entries { limit }.into());
            }
        }
        self.check_load(self.offers.len(), self.announcements.len())?;
        let ends = record.deadline.map(|at| self.tick(at, least));
        let waiting = Waiting {
            label,
            record,
            ids,
            ends,
        };
        let caps = self.config.caps;
        if self.phase == Phase::Open {
            Self::check_room(Queue::Pending, self.pairs.len(), caps.pending)?;
            if let Some(at) = self.choose(&waiting) {
                self.choices += 1;
                let announcement = self.announcements.remove(at);
                self.pair(announcement, waiting);
                return Ok(());
            }
        }
        Self::check_room(Queue::Offers, self.offers.len(), caps.offers)?;
        let held: usize = self.offers.iter().map(|o| o.record.opaque_len()).sum();
        if held + len > caps.offer_bytes {
            return Err(Refused::Full {
                queue: Queue::OfferBytes,
                limit: caps.offer_bytes,
            });
        }
        self.offers.push(waiting);
        Ok(())
    }

    pub(crate) fn hold(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Held;
        }
    }

    pub(crate) fn resume(&mut self, now: Instant) {
        self.advance(now);
        if self.phase != Phase::Held {
            return;
        }
        self.phase = Phase::Open;
        for offer in std::mem::take(&mut self.offers) {
            if self.pairs.len() >= self.config.caps.pending {
                self.events.push(Event::FailOffer(offer.label, "no match"));
            } else if let Some(at) = self.choose(&offer) {
                self.choices += 1;
                let announcement = self.announcements.remove(at);
                self.pair(announcement, offer);
            } else {
                self.offers.push(offer);
            }
        }
    }

    /// Whether it was waiting (`false`: matched), if it was under way at all.
    pub(crate) fn cancel_announcement(&mut self, now: Instant, label: Label) -> Option<bool> {
        self.advance(now);
        if let Some(at) = self.announcements.iter().position(|a| a.label == label) {
            self.announcements.remove(at);
            return Some(true);
        }
        let at = self.pairs.iter().position(|p| p.announcement == label)?;
        let left = |offer| Event::FailOffer(offer, "volunteer left");
        self.events.extend(self.pairs.remove(at).offer.map(left));
        Some(false)
    }

    pub(crate) fn cancel_offer(&mut self, now: Instant, label: Label) -> Option<bool> {
        self.advance(now);
        if let Some(at) = self.offers.iter().position(|o| o.label == label) {
            self.offers.remove(at);
            return Some(true);
        }
        let pair = self.pairs.iter_mut().find(|p| p.offer == Some(label))?;
        pair.offer = None;
        Some(false)
    }

    /// Whether the client still waits for the answer.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        key: (VolunteerId, ConnectionId),
    ) -> Result<bool, AnswerError> {
        self.advance(now);
        let at = self.pairs.iter().position(|pair| pair.key == key);
        let pair = self.pairs.remove(at.ok_or(AnswerError::NoClient)?);
        let announcement = pair.announcement;
        let to = |offer| Event::Answer {
            offer,
            announcement,
        };
        self.events.extend(pair.offer.map(to));
        Ok(pair.offer.is_some())
    }

    pub(crate) fn answer_error(&mut self, now: Instant, key: (VolunteerId, ConnectionId)) -> bool {
        self.advance(now);
        let Some(at) = self.pairs.iter().position(|pair| pair.key == key) else {
            return false;
        };
        let none = |offer| Event::FailOffer(offer, "no answer");
        self.events.extend(self.pairs.remove(at).offer.map(none));
        true
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        self.advance(now);
        self.phase = Phase::Stopped;
        let (events, stopped) = (&mut self.events, "stopped");
        let volunteers = self.announcements.drain(..).map(|a| a.label);
        events.extend(volunteers.map(|label| Event::FailAnnouncement(label, stopped)));
        let clients = self.offers.drain(..).map(|o| o.label);
        let paired = self.pairs.drain(..).filter_map(|pair| pair.offer);
        events.extend(
            clients
                .chain(paired)
                .map(|label| Event::FailOffer(label, stopped)),
        );
    }

    /// For one waiting offer: how many announcements each rule keeps away, in the order of blame,
    /// and how many are eligible.
    pub(crate) fn count_for_offer(&self, label: Label) -> Option<[usize; 6]> {
        let offer = self.offers.iter().find(|o| o.label == label)?;
        let mut counts = [0; 6];
        for announcement in &self.announcements {
            counts[self.blame(offer, announcement)] += 1;
        }
        Some(counts)
    }

    /// The same for a waiting announcement.
    pub(crate) fn count_for_announcement(&self, label: Label) -> Option<[usize; 6]> {
        let announcement = self.announcements.iter().find(|a| a.label == label)?;
        let mut counts = [0; 6];
        for offer in &self.offers {
            counts[self.blame(offer, announcement)] += 1;
        }
        Some(counts)
    }

    fn blame(&self, offer: &Waiting<Offer>, announcement: &Waiting<Announcement>) -> usize {
        let extras = &self.config.extras;
        let (ours, theirs) = (&offer.record.properties, &announcement.record.properties);
        if !share(&offer.ids.personal, &announcement.ids.personal)
            && !share(&offer.ids.common, &announcement.ids.common)
        {
            return 0;
        }
        if extras.nat == NatRule::Require && !compatible(ours, theirs) {
            return 1;
        }
        let lacks = |known| ours.versions.both(theirs.versions).both(known).is_empty();
        if extras.versions.is_some_and(lacks) {
            return 2;
        }
        if self.eligible(offer, announcement) {
            return 5;
        }
        let (client, volunteer) = (&ours.geography, &theirs.geography);
        if self.allows(client, volunteer) { 4 } else { 3 }
    }
}

/// The names of endings that [`Event`] uses.
pub(crate) fn announcement_ending(error: AnnouncementError) -> &'static str {
    match error {
        AnnouncementError::NoMatch => "no match",
        AnnouncementError::Stopped => "stopped",
        _ => "unknown",
    }
}

/// The same for offers.
pub(crate) fn offer_ending(error: OfferError) -> &'static str {
    match error {
        OfferError::NoMatch => "no match",
        OfferError::NoAnswer => "no answer",
        OfferError::VolunteerLeft => "volunteer left",
        OfferError::AnswerTimeout => "answer timeout",
        OfferError::Stopped => "stopped",
        _ => "unknown",
    }
}

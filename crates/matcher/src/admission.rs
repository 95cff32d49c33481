//! The machine: who is admitted, and what for.

use std::time::{Duration, Instant};

use crate::choose::Choice;
use crate::error::{Queue as Full, Refused};
use crate::geography::{Asn, Packed, UnknownGeography};
use crate::key::ShelfKey;
use crate::matcher::{Matcher, Phase};
use crate::order::RANKS;
use crate::record::{Announcement, CompartmentId, Compartments};
use crate::rooms::RoomName;

impl Matcher {
    pub(crate) fn check_request(&self, compartments: &Compartments<'_>) -> Result<(), Refused> {
        if self.phase == Phase::Stopped {
            return Err(Refused::Stopped);
        }
        let limit = self.config.max_compartments;
        let len = compartments.personal.len().max(compartments.common.len());
        if len > limit {
            return Err(Refused::TooManyCompartments { len, limit });
        }
        if len == 0 {
            return Err(Refused::NoCompartment);
        }
        Ok(())
    }

    pub(crate) fn check_volunteer(&self, announcement: &Announcement) -> Result<(), Refused> {
        let properties = &announcement.properties;
        if let Some(country) = properties.geography.country
            && self.config.extras.refused_countries.contains(&country)
        {
            return Err(Refused::Country { country });
        }
        if !self.chooser.hard.has_version(properties) {
            return Err(Refused::NoVersion);
        }
        self.check_geography(properties.geography.is_known())
    }

    pub(crate) fn check_geography(&self, known: bool) -> Result<(), Refused> {
        match self.config.unknown_geography {
            UnknownGeography::Refused if !known => Err(Refused::UnknownGeography),
            UnknownGeography::Refused | UnknownGeography::Distinct | UnknownGeography::Equal => {
                Ok(())
            }
        }
    }

    /// What ends within the current tick has ended.
    pub(crate) fn check_deadline(
        &self,
        now: Instant,
        deadline: Option<Instant>,
        least: Duration,
    ) -> Result<(), Refused> {
        match deadline {
            Some(at) if self.clock.tick_before(at, least) <= self.clock.now_tick() => {
                Err(Refused::TooLate {
                    left: at.saturating_duration_since(now),
                    least: least + self.config.tick,
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_load(&self, own: usize, other: usize) -> Result<(), Refused> {
        let Some(limit) = self.config.extras.load_limit else {
            return Ok(());
        };
        let pressed = self.pressed || own + other >= limit.entries;
        if pressed && own * 2 >= other {
            return Err(Refused::LoadLimited { own, other });
        }
        Ok(())
    }

    pub(crate) fn check_pending(&self) -> Result<(), Refused> {
        check_room(Full::Pending, self.pending, self.config.caps.pending)
    }

    /// Names the compartments of a request, each once, personal ones first.
    pub(crate) fn want(&mut self, compartments: &Compartments<'_>) {
        self.wanted.clear();
        let mut list = |ids: &[CompartmentId], name: fn(CompartmentId) -> RoomName| {
            for (at, &id) in ids.iter().enumerate() {
                if !ids[..at].contains(&id) {
                    let name = name(id);
                    self.wanted.push((name, self.rooms.find(&name)));
                }
            }
        };
        list(compartments.personal, RoomName::personal);
        list(compartments.common, RoomName::common);
    }

    /// The offer that an arriving announcement is matched with.
    pub(crate) fn find_offer(
        &mut self,
        place: (Packed, &ShelfKey),
    ) -> Result<Option<Choice>, Refused> {
        if self.phase != Phase::Open {
            return Ok(None);
        }
        self.check_pending()?;
        self.among.clear();
        self.among.extend(self.wanted.iter().filter_map(|w| w.1));
        let index = &self.waiting_offers.index;
        Ok(self.chooser.offer(place, &self.rooms, &self.among, index))
    }

    /// The announcement that an offer in the rooms of `self.among` is matched with.
    pub(crate) fn find_announcement(&mut self, (geo, key): (Packed, &ShelfKey)) -> Option<Choice> {
        if self.quality.is_some()
            && let Some(asn) = geo.asn()
        {
            for at in 0..self.among.len() {
                let name = RoomName::proven(self.among[at], asn.0);
                self.among.extend(self.rooms.find(&name));
            }
        }
        let turn = self.config.extras.newcomer_turn;
        let newcomers =
            turn.is_some_and(|every| (self.choices + 1).is_multiple_of(every.get().into()));
        let index = &self.waiting_announcements.index;
        let choice =
            self.chooser
                .announcement((geo, key), &self.rooms, &self.among, index, newcomers);
        self.choices += u64::from(choice.is_some());
        choice
    }

    pub(crate) fn announcement_key(
        &mut self,
        announcement: &Announcement,
        compartments: &Compartments<'_>,
    ) -> ShelfKey {
        let extras = &self.config.extras;
        let mut key = self.chooser.hard.announcement_key(&announcement.properties);
        key.newcomer = extras.newcomer_turn.is_some() && announcement.newcomer;
        let asked = extras.priority && announcement.priority;
        let proven = self.quality.as_mut().is_some_and(|quality| {
            let place = announcement.properties.geography.asn;
            let volunteer = (announcement.volunteer, place);
            quality.of(self.clock.now(), volunteer).is_some()
        });
        key.priority = (asked || proven) && compartments.personal.is_empty();
        key
    }

    /// The networks of clients for which an announcement counts as of preferred NAT.
    pub(crate) fn proven_networks(
        &mut self,
        announcement: &Announcement,
        key: &ShelfKey,
    ) -> Vec<Asn> {
        if !key.priority {
            return Vec::new();
        }
        let volunteer = (
            announcement.volunteer,
            announcement.properties.geography.asn,
        );
        let now = self.clock.now();
        let quality = self.quality.as_mut();
        let networks = quality.and_then(|quality| quality.of(now, volunteer));
        networks.map(<[_]>::to_vec).unwrap_or_default()
    }

    pub(crate) fn rank(&self, load: u16) -> u8 {
        let Some(step) = self.config.extras.load_step else {
            return 0;
        };
        let steps = (load / step).min(u16::from(RANKS) - 1);
        u8::try_from(steps).unwrap_or(RANKS - 1)
    }
}

pub(crate) fn check_room(queue: Full, len: usize, limit: usize) -> Result<(), Refused> {
    if len < limit {
        Ok(())
    } else {
        Err(Refused::Full { queue, limit })
    }
}

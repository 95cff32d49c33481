//! The allow-match rule: which clients may meet which volunteers, by country or network.

use std::collections::{BTreeMap, BTreeSet};

use crate::geography::{Asn, Country, Geography};

/// A country or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Everyone in a country.
    Country(Country),
    /// Everyone in an autonomous system.
    Asn(Asn),
}

/// Which volunteers a client's area may meet. Empty: anyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowMatch {
    /// Clients of an area never meet volunteers of these areas.
    pub never: BTreeMap<Area, BTreeSet<Area>>,
    /// Clients of an area meet volunteers of these areas only. A client that two rows apply to, by
    /// its country and by its network, needs a volunteer that both rows allow.
    pub only: BTreeMap<Area, BTreeSet<Area>>,
}

impl AllowMatch {
    /// The most client areas that may have a row.
    pub const MAX_CLIENT_AREAS: usize = 254;
    /// The most volunteer areas that the rows may name: a bit each.
    pub const MAX_VOLUNTEER_AREAS: usize = 63;

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.never.is_empty() && self.only.is_empty()
    }

    pub(crate) fn client_areas(&self) -> BTreeSet<Area> {
        self.never.keys().chain(self.only.keys()).copied().collect()
    }

    pub(crate) fn volunteer_areas(&self) -> BTreeSet<Area> {
        let rows = self.never.values().chain(self.only.values());
        rows.flatten().copied().collect()
    }
}

/// The areas of one side's geography that any row names: country, network. 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Areas([u8; 2]);

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    never: u64,
    only: Option<u64>,
}

/// [`AllowMatch`] as bits.
#[derive(Debug)]
pub(crate) struct Rules {
    clients: BTreeMap<Area, u8>,
    volunteers: BTreeMap<Area, u8>,
    /// By number of the client's area; the first stands for no area.
    rows: Vec<Row>,
}

fn numbered(areas: BTreeSet<Area>) -> BTreeMap<Area, u8> {
    areas.into_iter().zip(1..=u8::MAX).collect()
}

fn areas_of(numbers: &BTreeMap<Area, u8>, geography: &Geography) -> Areas {
    if numbers.is_empty() {
        return Areas::default();
    }
    let number = |area: Option<Area>| area.and_then(|a| numbers.get(&a).copied()).unwrap_or(0);
    Areas([
        number(geography.country.map(Area::Country)),
        number(geography.asn.map(Area::Asn)),
    ])
}

impl Rules {
    pub(crate) fn new(allow: &AllowMatch) -> Self {
        let clients = numbered(allow.client_areas());
        let volunteers = numbered(allow.volunteer_areas());
        let bits = |areas: &BTreeSet<Area>| {
            let numbers = areas.iter().filter_map(|area| volunteers.get(area));
            numbers.fold(0, |bits, &number| bits | 1u64 << (number & 63))
        };
        let mut rows = vec![Row::default()];
        rows.extend(clients.keys().map(|area| Row {
            never: allow.never.get(area).map_or(0, bits),
            only: allow.only.get(area).map(bits),
        }));
        Self {
            clients,
            volunteers,
            rows,
        }
    }

    pub(crate) fn client(&self, geography: &Geography) -> Areas {
        areas_of(&self.clients, geography)
    }

    pub(crate) fn volunteer(&self, geography: &Geography) -> Areas {
        areas_of(&self.volunteers, geography)
    }

    pub(crate) fn allow(&self, client: Areas, volunteer: Areas) -> bool {
        if client == Areas::default() {
            return true;
        }
        let bit = |number: u8| {
            if number == 0 {
                0
            } else {
                1u64 << (number & 63)
            }
        };
        let bits = bit(volunteer.0[0]) | bit(volunteer.0[1]);
        client.0.iter().all(|&number| {
            let row = self.rows.get(usize::from(number)).copied();
            let Row { never, only } = row.unwrap_or_default();
            bits & never == 0 && only.is_none_or(|only| bits & only != 0)
        })
    }
}

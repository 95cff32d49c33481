//! Dials and sessions that have not ended, and what our own take.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use peerage_core::Direction;

use crate::candidate::{DialId, Id};
use crate::key::{Address, Key};
use crate::prefix::Group;

/// A dial or a session that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) id: Id,
    pub(crate) key: Key,
    /// Where we dialled; `None` if they dialled us.
    pub(crate) address: Option<Address>,
    pub(crate) group: Group,
    pub(crate) since: Instant,
    pub(crate) greeted: bool,
}

impl Open {
    pub(crate) const fn direction(&self) -> Direction {
        match self.address {
            Some(_) => Direction::Outbound,
            None => Direction::Inbound,
        }
    }
}

/// All of them. There may be thousands, and each arrival and each end asks of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened {
    all: BTreeMap<DialId, Open>,
    of: BTreeSet<(Id, DialId)>,
    taken: Taken,
}

/// What our own outbound connections take, beyond the local group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    groups: BTreeMap<Group, usize>,
    ips: BTreeMap<IpAddr, usize>,
}

impl Taken {
    /// How many go to the group.
    pub(crate) fn in_group(&self, group: &Group) -> usize {
        self.groups.get(group).copied().unwrap_or(0)
    }

    /// Whether one goes there.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        self.ips.contains_key(&ip)
    }

    fn add(&mut self, open: &Open) {
        if let Some((group, ip)) = taken(open) {
            *self.groups.entry(group.clone()).or_default() += 1;
            if let Some(ip) = ip {
                *self.ips.entry(ip).or_default() += 1;
            }
        }
    }

    fn drop(&mut self, open: &Open) {
        if let Some((group, ip)) = taken(open) {
            one_less(&mut self.groups, group);
            if let Some(ip) = ip {
                one_less(&mut self.ips, &ip);
            }
        }
    }
}

/// What a connection takes, if it is our own.
fn taken(open: &Open) -> Option<(&Group, Option<IpAddr>)> {
    let address = open.address.as_ref()?;
    let ip = match address {
        Address::At(endpoint) => Some(endpoint.ip()),
        Address::Named(_) => None,
    };
    (open.group != Group::Local).then_some((&open.group, ip))
}

fn one_less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Opened {
    pub(crate) fn insert(&mut self, dial: DialId, open: Open) {
        self.of.insert((open.id, dial));
        self.taken.add(&open);
        self.all.insert(dial, open);
    }

    pub(crate) fn remove(&mut self, dial: DialId) -> Option<Open> {
        let open = self.all.remove(&dial)?;
        self.of.remove(&(open.id, dial));
        self.taken.drop(&open);
        Some(open)
    }

    pub(crate) fn get(&self, dial: DialId) -> Option<&Open> {
        self.all.get(&dial)
    }

    /// The handshake of a dial is done. `None` if there is no such dial.
    pub(crate) fn greet(&mut self, dial: DialId, at: Instant) -> Option<&Open> {
        let open = self.all.get_mut(&dial).filter(|open| !open.greeted)?;
        open.greeted = true;
        open.since = at;
        Some(open)
    }

    pub(crate) fn is_greeted(&self, dial: DialId) -> bool {
        self.get(dial).is_some_and(|open| open.greeted)
    }

    /// A dial or a session with a candidate, a session first, the latest of them.
    pub(crate) fn with(&self, id: Id) -> Option<DialId> {
        let all = self.of.range((id, DialId(0))..=(id, DialId(u64::MAX)));
        let dials = all.map(|(_, dial)| *dial);
        dials.max_by_key(|dial| (self.is_greeted(*dial), *dial))
    }

    /// All, in the order in which they began.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (DialId, &Open)> {
        self.all.iter().map(|(dial, open)| (*dial, open))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) const fn taken(&self) -> &Taken {
        &self.taken
    }

    /// Whether what is derived is what it would be if it were built anew.
    pub(crate) fn is_sound(&self) -> bool {
        let mut anew = Self::default();
        for (dial, open) in &self.all {
            anew.insert(*dial, open.clone());
        }
        anew.of == self.of && anew.taken == self.taken
    }
}

//! Limits by address group: how many entries wait, and how fast they come.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashTable;

use crate::clock::Nanos;
use crate::hash::Keys;
use crate::pool::{NONE, Pool};

/// How fast requests of one group may come: so many a minute on average, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute.
    pub per_minute: u32,
    /// Requests at once.
    pub burst: u32,
}

/// What one address group may do on one side. A request counts whether or not it is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries that wait at the same time.
    pub entries: u32,
    /// How fast requests may come, if that is limited.
    pub rate: Option<Rate>,
    /// Bits of an IPv4 address that make a group. The default is 32.
    pub prefix_v4: u8,
    /// Bits of an IPv6 address that make a group. The default is 56: what a customer is given.
    pub prefix_v6: u8,
    /// Groups remembered beyond those with waiting entries; the one longest unseen is forgotten,
    /// and with it how fast it came. The default is 1,000,000, some 80 MB.
    pub groups: usize,
}

impl Limits {
    /// The most entries a group may be allowed, and what those exempt are held to.
    pub const CEILING_ENTRIES: u32 = 10_000;
    /// The highest rate a group may be allowed, and what those exempt are held to.
    pub const CEILING_PER_MINUTE: u32 = 10_000;

    /// So many waiting entries a group, at any rate.
    pub const fn entries(entries: u32) -> Self {
        Self {
            entries,
            rate: None,
            prefix_v4: 32,
            prefix_v6: 56,
            groups: 1_000_000,
        }
    }

    pub(crate) fn bounds(&self) -> Vec<(&'static str, u128, u128, u128)> {
        let rate = self.rate.unwrap_or(Rate {
            per_minute: 1,
            burst: 1,
        });
        let most_entries = Self::CEILING_ENTRIES.into();
        let most_rate = Self::CEILING_PER_MINUTE.into();
        vec![
            ("limits.entries", self.entries.into(), 1, most_entries),
            (
                "limits.rate.per_minute",
                rate.per_minute.into(),
                1,
                most_rate,
            ),
            ("limits.rate.burst", rate.burst.into(), 1, most_rate),
            ("limits.prefix_v4", self.prefix_v4.into(), 1, 32),
            ("limits.prefix_v6", self.prefix_v6.into(), 1, 128),
            ("limits.groups", self.groups as u128, 1, 20_000_000),
        ]
    }

    const fn of_exempt(&self) -> Self {
        Self {
            entries: Self::CEILING_ENTRIES,
            rate: Some(Rate {
                per_minute: Self::CEILING_PER_MINUTE,
                burst: Self::CEILING_PER_MINUTE,
            }),
            ..*self
        }
    }

    /// The group an address belongs to.
    pub fn group_of(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let cut = 32 - u32::from(self.prefix_v4.min(32));
                IpAddr::V4((v4.to_bits().checked_shr(cut).unwrap_or(0) << (cut & 31)).into())
            }
            IpAddr::V6(v6) => {
                let cut = 128 - u32::from(self.prefix_v6.min(128));
                IpAddr::V6((v6.to_bits().checked_shr(cut).unwrap_or(0) << (cut & 127)).into())
            }
        }
    }
}

/// Why an address group gets no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// Too many of its entries wait already.
    #[error("{limit} entries of this address group wait already")]
    Entries {
        /// The most allowed.
        limit: u32,
    },
    /// Its requests come too fast.
    #[error("this address group asks too often: wait {}ms", wait.as_millis())]
    Rate {
        /// When the next one is allowed.
        wait: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    address: IpAddr,
    exempt: bool,
}

impl Key {
    fn hash(&self, keys: &Keys) -> u64 {
        let (bits, tag) = match self.address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 4),
            IpAddr::V6(v6) => (v6.to_bits(), 6),
        };
        keys.bytes(tag | u8::from(self.exempt) << 7, &bits.to_le_bytes())
    }
}

#[derive(Debug)]
struct Group {
    key: Key,
    entries: u32,
    /// The moment at which a steady sender would send next (generic cell rate algorithm).
    due: Nanos,
    /// Neighbours among the idle ones, those without entries; the longest idle first.
    prev: u32,
    next: u32,
}

/// The address groups of one side.
pub(crate) struct Limiter {
    limits: Limits,
    groups: Pool<Group>,
    /// Only ever asked for a group, so its order cannot matter.
    by_key: HashTable<u32>,
    idle: [u32; 2],
    idle_len: usize,
    keys: Keys,
}

const HEAD: usize = 0;
const TAIL: usize = 1;
const MINUTE: u64 = 60_000_000_000;

impl Limiter {
    pub(crate) fn new(limits: Limits, keys: Keys) -> Self {
        Self {
            limits,
            groups: Pool::new(),
            by_key: HashTable::new(),
            idle: [NONE; 2],
            idle_len: 0,
            keys,
        }
    }

    /// Admits a request as one more entry of its group, until [`Self::leave`].
    pub(crate) fn enter(&mut self, now: Nanos, from: IpAddr, exempt: bool) -> Result<u32, Limited> {
        let limits = if exempt {
            self.limits.of_exempt()
        } else {
            self.limits
        };
        let address = self.limits.group_of(from);
        let id = self.group(Key { address, exempt });
        let group = &mut self.groups[id];
        let entries_limit = limits.entries;
        let mut due = group.due;
        let mut verdict = Ok(id);
        if let Some(Rate { per_minute, burst }) = limits.rate {
            let interval = MINUTE / u64::from(per_minute.max(1));
            let tolerance = interval.saturating_mul(u64::from(burst.saturating_sub(1)));
            let early = group.due.saturating_sub(now);
            if early > tolerance {
                let wait = Duration::from_nanos(early - tolerance);
                verdict = Err(Limited::Rate { wait });
            } else {
                due = group.due.max(now).saturating_add(interval);
            }
        }
        group.due = due;
        if verdict.is_ok() && group.entries >= entries_limit {
            verdict = Err(Limited::Entries {
                limit: entries_limit,
            });
        }
        match verdict {
            Ok(_) => group.entries += 1,
            Err(_) if group.entries == 0 => self.rest(now, id),
            Err(_) => {}
        }
        verdict
    }

    /// One entry of the group less.
    pub(crate) fn leave(&mut self, now: Nanos, id: u32) {
        self.groups[id].entries -= 1;
        if self.groups[id].entries == 0 {
            self.rest(now, id);
        }
    }

    /// The group, taken out of the idle ones, or made.
    fn group(&mut self, key: Key) -> u32 {
        let hash = key.hash(&self.keys);
        let same = |&id: &u32| self.groups[id].key == key;
        if let Some(&id) = self.by_key.find(hash, same) {
            if self.groups[id].entries == 0 {
                self.unlink(id);
            }
            return id;
        }
        let id = self.groups.add(Group {
            key,
            entries: 0,
            due: 0,
            prev: NONE,
            next: NONE,
        });
        let (groups, keys) = (&self.groups, &self.keys);
        self.by_key
            .insert_unique(hash, id, |&id| groups[id].key.hash(keys));
        id
    }

    /// A group without entries is remembered only while its rate is, and while there is room.
    fn rest(&mut self, now: Nanos, id: u32) {
        if self.groups[id].due <= now {
            self.forget(id);
        } else {
            let tail = std::mem::replace(&mut self.idle[TAIL], id);
            self.groups[id].prev = tail;
            self.groups[id].next = NONE;
            match tail {
                NONE => self.idle[HEAD] = id,
                tail => self.groups[tail].next = id,
            }
            self.idle_len += 1;
        }
        // At most one comes in at a time, so two out keep the number down.
        for _ in 0..2 {
            let oldest = self.idle[HEAD];
            let full = self.idle_len > self.limits.groups;
            if oldest == NONE || !(full || self.groups[oldest].due <= now) {
                break;
            }
            self.unlink(oldest);
            self.forget(oldest);
        }
    }

    fn unlink(&mut self, id: u32) {
        let Group { prev, next, .. } = self.groups[id];
        match prev {
            NONE => self.idle[HEAD] = next,
            prev => self.groups[prev].next = next,
        }
        match next {
            NONE => self.idle[TAIL] = prev,
            next => self.groups[next].prev = prev,
        }
        self.idle_len -= 1;
    }

    fn forget(&mut self, id: u32) {
        let hash = self.groups[id].key.hash(&self.keys);
        if let Ok(entry) = self.by_key.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.groups.release(id);
    }

    /// How many entries all groups have together, and how many groups there are.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        let entries = self
            .by_key
            .iter()
            .map(|&id| self.groups[id].entries as usize);
        [entries.sum(), self.groups.len()]
    }
}

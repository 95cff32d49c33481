//! Subscriptions: who wants to hear what, what waits for them, and who may come back for it.
//!
//! Pure: it knows no stream, no clock and no entropy source. A record is shared by all who want it;
//! each subscription is charged for it in full, so that what one costs does not depend on others.

mod ring;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::ring::{ITEM, Lag};
use self::ring::{Pushed, Read, Ring};

/// What happens when a subscription is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The oldest items give way.
    #[default]
    DropOldest,
    /// Those who fill it are to be held back, from half the budget on; beyond the budget the oldest
    /// give way.
    PushBack,
    /// It ends.
    Close,
}

/// What a subscription is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many bytes may wait, [`ITEM`] for each item included.
    pub budget: usize,
    /// What happens when they do.
    pub policy: Policy,
    /// How long it lasts without a reader.
    pub lease: Duration,
}

/// What all subscriptions together are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many.
    pub subscriptions: usize,
    /// The sum of their budgets, in bytes.
    pub total: usize,
    /// The largest budget of one, in bytes.
    pub budget: usize,
    /// The longest lease.
    pub lease: Duration,
}

/// 256 subscriptions, 256 MiB, 64 MiB each, 10 minutes.
impl Default for Limits {
    fn default() -> Self {
        Self {
            subscriptions: 256,
            total: 256 << 20,
            budget: 64 << 20,
            lease: Duration::from_secs(600),
        }
    }
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There are as many as there may be.
    #[error("there are {limit} subscriptions already: end one, or raise the limit")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// The budget is larger than one may be, or smaller than one item.
    #[error("a budget is between {least} and {most} bytes")]
    Budget {
        /// The smallest.
        least: usize,
        /// The largest.
        most: usize,
    },
    /// The lease is longer than one may be.
    #[error("a lease is at most {most:?}")]
    Lease {
        /// The longest.
        most: Duration,
    },
    /// All budgets together are spent.
    #[error("{left} of {total} bytes are left for budgets: ask for less, or end a subscription")]
    Total {
        /// What is left.
        left: usize,
        /// What there is.
        total: usize,
    },
    /// There is no such subscription.
    #[error(
        "there is no such subscription: its lease has ended, or the daemon was restarted; \
             subscribe anew"
    )]
    Unknown,
}

/// The secret that names a subscription.
pub type Token = [u8; 16];

/// Names a subscription inside this process.
pub type Id = u64;

/// Whoever fills subscriptions, and can be held back: a node and a session.
pub type Origin = (usize, u64);

/// A reader of a subscription. A later one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    id: Id,
    epoch: u64,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The next item, and its number.
    Item(u64, Arc<T>),
    /// Here some are missing.
    Lagged(Lag),
    /// Nothing waits.
    Empty,
    /// It was full, and ended for that. Nothing follows.
    Full,
    /// Another reader has picked it up, or it was ended. Nothing follows.
    Gone,
}

/// Somebody is to be held back, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Who.
    pub origin: Origin,
    /// Whether it is to be held back.
    pub hold: bool,
}

#[derive(Debug)]
struct Sub<S, T> {
    who: S,
    token: Token,
    terms: Terms,
    ring: Ring<T>,
    epoch: u64,
    /// Since it has no reader: when it ends.
    until: Option<Instant>,
    is_full: bool,
    holds: BTreeSet<Origin>,
}

/// All subscriptions. `S` is what the caller knows of each, `T` what they hear.
///
/// Change it, then drain [`Hub::poll_press`], then ask [`Hub::poll_timeout`].
#[derive(Debug)]
pub struct Hub<S, T> {
    limits: Limits,
    subs: BTreeMap<Id, Sub<S, T>>,
    by_token: BTreeMap<Token, Id>,
    next_id: Id,
    /// The sum of all budgets.
    granted: usize,
    lost: u64,
    /// How many subscriptions hold each back.
    held: BTreeMap<Origin, usize>,
    presses: VecDeque<Press>,
}

impl<S, T> Hub<S, T> {
    /// No subscriptions.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            subs: BTreeMap::new(),
            by_token: BTreeMap::new(),
            next_id: 0,
            granted: 0,
            lost: 0,
            held: BTreeMap::new(),
            presses: VecDeque::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.subs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.subs.is_empty()
    }

    /// The sum of all budgets, in bytes.
    pub const fn granted(&self) -> usize {
        self.granted
    }

    /// Bytes that wait in all of them.
    pub fn waiting(&self) -> usize {
        self.subs.values().map(|sub| sub.ring.waiting()).sum()
    }

    /// Items lost, of all that ever were.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The terms of a subscription, and the number of its next item.
    pub fn terms(&self, reader: Reader) -> Option<(Terms, u64)> {
        let sub = self.subs.get(&reader.id)?;
        Some((sub.terms, sub.ring.next()))
    }

    /// Begins one, with its reader.
    ///
    /// # Errors
    /// When a limit is reached. `token` must be unpredictable and new.
    pub fn open(&mut self, token: Token, who: S, terms: Terms) -> Result<Reader, Refused> {
        let Limits {
            subscriptions: limit,
            total,
            budget: most,
            lease,
        } = self.limits;
        if self.subs.len() >= limit {
            return Err(Refused::TooMany { limit });
        }
        if !(ITEM..=most).contains(&terms.budget) {
            return Err(Refused::Budget { least: ITEM, most });
        }
        if terms.lease > lease {
            return Err(Refused::Lease { most: lease });
        }
        let left = total.saturating_sub(self.granted);
        if terms.budget > left {
            return Err(Refused::Total { left, total });
        }
        self.granted += terms.budget;
        self.next_id += 1;
        let id = self.next_id;
        let sub = Sub {
            who,
            token,
            terms,
            ring: Ring::new(terms.budget, terms.lease > Duration::ZERO),
            epoch: 0,
            until: None,
            is_full: false,
            holds: BTreeSet::new(),
        };
        self.subs.insert(id, sub);
        self.by_token.insert(token, id);
        Ok(Reader { id, epoch: 0 })
    }

    /// Picks one up again, from the item after `after` on. Who read it before gets no more.
    /// `change` is shown what the caller knows of it.
    ///
    /// # Errors
    /// When there is none.
    pub fn resume(
        &mut self,
        token: Token,
        after: u64,
        change: impl FnOnce(&mut S),
    ) -> Result<Reader, Refused> {
        let id = *self.by_token.get(&token).ok_or(Refused::Unknown)?;
        let sub = self.subs.get_mut(&id).ok_or(Refused::Unknown)?;
        sub.epoch += 1;
        sub.until = None;
        sub.ring.rewind(after);
        change(&mut sub.who);
        let epoch = sub.epoch;
        Ok(Reader { id, epoch })
    }

    /// Ends one; whether there was such. `change` is shown what the caller knew of it.
    pub fn end(&mut self, token: Token, change: impl FnOnce(&mut S)) -> bool {
        let Some(id) = self.by_token.get(&token).copied() else {
            return false;
        };
        if let Some(sub) = self.subs.get_mut(&id) {
            change(&mut sub.who);
        }
        self.remove(id);
        true
    }

    /// Ends all; `change` is shown what the caller knew of each.
    pub fn end_all(&mut self, mut change: impl FnMut(&mut S)) {
        for mut sub in std::mem::take(&mut self.subs).into_values() {
            change(&mut sub.who);
            self.granted -= sub.terms.budget;
            for origin in sub.holds {
                self.let_go(origin);
            }
        }
        self.by_token.clear();
    }

    /// The reader goes; the subscription stays for its lease.
    pub fn leave(&mut self, now: Instant, reader: Reader) {
        let Some(sub) = self.subs.get_mut(&reader.id) else {
            return;
        };
        if sub.epoch != reader.epoch {
            return;
        }
        if sub.terms.lease.is_zero() || sub.is_full {
            self.remove(reader.id);
        } else {
            sub.until = Some(now + sub.terms.lease);
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(sub) = self.subs.remove(&id) else {
            return;
        };
        self.by_token.remove(&sub.token);
        self.granted -= sub.terms.budget;
        for origin in sub.holds {
            self.let_go(origin);
        }
    }

    /// Gives a record of `len` bytes to everybody who `wants` it; `woken` is shown each of them.
    /// Returns how many.
    pub fn publish(
        &mut self,
        record: &Arc<T>,
        len: usize,
        origin: Option<Origin>,
        wants: impl Fn(&S) -> bool,
        mut woken: impl FnMut(&mut S),
    ) -> usize {
        let ids: Vec<Id> = self
            .subs
            .iter()
            .filter(|(_, sub)| !sub.is_full && wants(&sub.who))
            .map(|(id, _)| *id)
            .collect();
        for id in &ids {
            self.give(*id, record, len, origin, &mut woken);
        }
        ids.len()
    }

    /// Gives a record to the first who `wants` it; whether there is one that has room for it.
    pub fn publish_to_one(
        &mut self,
        record: &Arc<T>,
        len: usize,
        origin: Option<Origin>,
        wants: impl Fn(&S) -> bool,
        mut woken: impl FnMut(&mut S),
    ) -> bool {
        let fits = |sub: &Sub<S, T>| len.saturating_add(ITEM) <= sub.terms.budget;
        let first = self
            .subs
            .iter()
            .find(|(_, sub)| !sub.is_full && fits(sub) && wants(&sub.who));
        let Some((id, _)) = first else { return false };
        self.give(*id, record, len, origin, &mut woken)
    }

    fn give(
        &mut self,
        id: Id,
        record: &Arc<T>,
        len: usize,
        origin: Option<Origin>,
        woken: &mut impl FnMut(&mut S),
    ) -> bool {
        let Some(sub) = self.subs.get_mut(&id) else {
            return false;
        };
        let may_lose = sub.terms.policy != Policy::Close;
        let pushed = sub.ring.push(record, len, may_lose);
        woken(&mut sub.who);
        let taken = match pushed {
            Pushed::Taken { lost } => {
                self.lost += lost;
                true
            }
            Pushed::TooLarge => {
                self.lost += 1;
                false
            }
            Pushed::Full => {
                self.lost += 1;
                sub.is_full = true;
                false
            }
        };
        let presses = sub.terms.policy == Policy::PushBack;
        if let Some(origin) = origin.filter(|_| presses)
            && sub.ring.waiting() > sub.terms.budget / 2
            && sub.holds.insert(origin)
        {
            let holders = self.held.entry(origin).or_insert(0);
            *holders += 1;
            if *holders == 1 {
                self.presses.push_back(Press { origin, hold: true });
            }
        }
        taken
    }

    fn let_go(&mut self, origin: Origin) {
        if let Some(holders) = self.held.get_mut(&origin) {
            *holders -= 1;
            if *holders == 0 {
                self.held.remove(&origin);
                let hold = false;
                self.presses.push_back(Press { origin, hold });
            }
        }
    }

    /// This one is gone, and nothing is to be done about it any more.
    pub fn forget(&mut self, origin: Origin) {
        self.held.remove(&origin);
        for sub in self.subs.values_mut() {
            sub.holds.remove(&origin);
        }
        self.presses.retain(|press| press.origin != origin);
    }

    /// Whether [`Hub::poll_press`] has something to say.
    pub fn has_presses(&self) -> bool {
        !self.presses.is_empty()
    }

    /// Whether anybody is of this kind.
    pub fn any(&self, wants: impl Fn(&S) -> bool) -> bool {
        self.subs
            .values()
            .any(|sub| !sub.is_full && wants(&sub.who))
    }

    /// Who is to be held back, or not any more.
    pub fn poll_press(&mut self) -> Option<Press> {
        self.presses.pop_front()
    }

    /// What the reader gets next. `waits` is shown what the caller knows of it when that is nothing.
    pub fn next(&mut self, reader: Reader, waits: impl FnOnce(&mut S)) -> Next<T> {
        let Some(sub) = self.subs.get_mut(&reader.id) else {
            return Next::Gone;
        };
        if sub.epoch != reader.epoch {
            return Next::Gone;
        }
        let read = match sub.ring.read() {
            Read::Item(seq, record) => Next::Item(seq, record),
            Read::Lagged(lag) => Next::Lagged(lag),
            Read::Empty if sub.is_full => Next::Full,
            Read::Empty => {
                waits(&mut sub.who);
                Next::Empty
            }
        };
        if sub.ring.waiting() <= sub.terms.budget / 4 && !sub.holds.is_empty() {
            for origin in std::mem::take(&mut sub.holds) {
                self.let_go(origin);
            }
        }
        read
    }

    /// Ends those whose lease is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let over = |sub: &Sub<S, T>| sub.until.is_some_and(|until| until <= now);
        let over: Vec<Id> = self
            .subs
            .iter()
            .filter(|(_, sub)| over(sub))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.remove(id);
        }
    }

    /// When the next lease is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.subs.values().filter_map(|sub| sub.until).min()
    }
}

#[cfg(test)]
mod tests;

//! Who may knock at a listener: the question before the handshake, and before any work.
//!
//! One owner: the loop that accepts. Rates are per address group and in total; sockets that have not
//! finished their handshake are capped. When all of them are in use, the group that has most of them
//! makes room with its oldest, so that neither one flooding group nor ten thousand quiet ones shut
//! out a peer that finishes its handshake in the usual time.
//!
//! A group that comes again before its allowance is whole stands behind those that do not: it leaves
//! half of the total allowance to them, and among equally crowded groups it makes room first. Coming
//! in vain counts. So a crowd that tries without end takes places from itself, however many
//! addresses it has.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{Detail, Failure, Kind, Retry, Stage};

use crate::group::{Group, Groups};

/// So many at once, and then one more each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once. 0 shuts the door.
    pub burst: u32,
    /// The time in which another is earned.
    pub every: Duration,
}

impl Rate {
    /// When the allowance will be whole after one more, if there is one more (the generic cell rate
    /// algorithm); else how long until there is.
    fn take(self, now: Instant, whole_at: Option<Instant>) -> Result<Instant, Duration> {
        let next = whole_at.map_or(now, |at| at.max(now)) + self.every;
        let owed = next.saturating_duration_since(now);
        let allowance = self.every.saturating_mul(self.burst);
        if owed <= allowance && self.burst > 0 {
            Ok(next)
        } else {
            Err(owed.saturating_sub(allowance))
        }
    }

    /// The part of it that is open to whoever comes again.
    const fn half(self) -> Self {
        Self {
            burst: self.burst.div_ceil(2),
            ..self
        }
    }
}

/// The rules of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRules {
    /// Who counts as one. Addresses without a group are only bound by `sockets`.
    pub groups: Groups,
    /// For each group.
    pub group: Rate,
    /// For all together. What our processor can greet. Whoever comes again before its group's
    /// allowance is whole leaves half of the burst to those who do not.
    pub total: Rate,
    /// Connections that have not finished their handshake.
    pub sockets: usize,
    /// The same, for one group.
    pub sockets_per_group: usize,
    /// Groups whose rate is remembered. Beyond, the one that owes least is forgotten.
    pub remembered: usize,
}

/// dcrd: burst 3 and one each 5 s for a group. The total keeps at most a fifth of a core busy, by our
/// own measure of handshakes for a second of processor time (`docs/performance.md`).
impl Default for AdmissionRules {
    fn default() -> Self {
        Self {
            groups: Groups::default(),
            group: Rate {
                burst: 3,
                every: Duration::from_secs(5),
            },
            total: Rate {
                burst: 5000,
                every: Duration::from_micros(200),
            },
            sockets: 1024,
            sockets_per_group: 8,
            remembered: 65_536,
        }
    }
}

/// Why a connection is closed before a word is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The address group came too often.
    #[error("the address group {group} came too often")]
    GroupRate {
        /// Which.
        group: Group,
        /// How long until it may come again.
        wait: Duration,
    },
    /// All together came too often.
    #[error("too many connections come")]
    TotalRate {
        /// How long until one may come again.
        wait: Duration,
    },
    /// The address group has as many unfinished handshakes as it may have.
    #[error("the address group {group} has {limit} unfinished handshakes")]
    GroupSockets {
        /// Which.
        group: Group,
        /// How many it may have.
        limit: usize,
    },
    /// It was let in, and made room for one of a less crowded address group.
    #[error("it made room for a less crowded address group before it had introduced itself")]
    Displaced,
    /// Every place is taken, and whoever has one has a better claim: no group has more of them than
    /// this one would have, or this one comes again and they do not.
    #[error("{limit} handshakes are unfinished")]
    Sockets {
        /// How many may be.
        limit: usize,
    },
}

impl Failure for NotAdmitted {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        Kind::Full
    }

    fn retry(&self) -> Retry {
        match self {
            Self::GroupRate { wait, .. } | Self::TotalRate { wait } => Retry::After(*wait),
            Self::GroupSockets { .. } | Self::Displaced | Self::Sockets { .. } => {
                self.kind().retry()
            }
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::GroupRate { wait, .. } | Self::TotalRate { wait } => {
                Detail::none().with("wait", *wait)
            }
            Self::GroupSockets { limit, .. } | Self::Sockets { limit } => {
                Detail::none().with("limit", *limit)
            }
            Self::Displaced => Detail::none(),
        }
    }
}

/// A place for one handshake. Give it back with [`Admission::release`] when the handshake ends.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not released takes its place for ever"]
pub struct Permit {
    number: u64,
    group: Option<Group>,
}

impl Permit {
    /// What [`Admission::poll_displaced`] names it by.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// How little claim a group has to its places: how many it has, and whether it came again for one
/// of them.
type Claim = (usize, bool);

/// A place in the order of groups: the least claim last, and among equals the one whose oldest
/// socket is oldest.
type Crowd = (Claim, Reverse<u64>, Option<Group>);

/// The live permits of a group, oldest first, each with whether it was for one that came again.
type Permits = BTreeMap<u64, bool>;

fn crowd(group: Option<Group>, permits: &Permits) -> Option<Crowd> {
    let oldest = permits.keys().next()?;
    // Without a group nobody comes again, and there may be many.
    let again = group.is_some() && permits.values().any(|again| *again);
    Some(((permits.len(), again), Reverse(*oldest), group))
}

/// The doorkeeper.
#[derive(Clone, Debug)]
pub struct Admission {
    rules: AdmissionRules,
    /// When each group's allowance is whole again, and the same by time.
    whole_at: BTreeMap<Group, Instant>,
    by_time: BTreeSet<(Instant, Group)>,
    total_whole_at: Option<Instant>,
    /// The live permits of each group, and the groups by their claims.
    permits: BTreeMap<Option<Group>, Permits>,
    crowds: BTreeSet<Crowd>,
    live: usize,
    next: u64,
    displaced: VecDeque<u64>,
}

impl Admission {
    /// Nobody was there yet.
    pub const fn new(rules: AdmissionRules) -> Self {
        Self {
            rules,
            whole_at: BTreeMap::new(),
            by_time: BTreeSet::new(),
            total_whole_at: None,
            permits: BTreeMap::new(),
            crowds: BTreeSet::new(),
            live: 0,
            next: 0,
            displaced: VecDeque::new(),
        }
    }

    /// Whether a connection from `ip` may begin its handshake. Drain [`Admission::poll_displaced`]
    /// afterwards: another may have made room for it.
    ///
    /// # Errors
    /// Why it may not. A group that is refused for what others do is one that comes again for the
    /// next [`Rate::every`] of its own; its debts do not add up.
    pub fn try_admit(&mut self, now: Instant, ip: IpAddr) -> Result<Permit, NotAdmitted> {
        let group = self.rules.groups.of(ip);
        let count = self.permits.get(&group).map_or(0, BTreeMap::len);
        let mut of_group = None;
        let mut again = false;
        if let Some(group) = group {
            let limit = self.rules.sockets_per_group;
            if count >= limit {
                return Err(NotAdmitted::GroupSockets { group, limit });
            }
            let whole_at = self.whole_at.get(&group).copied();
            again = whole_at.is_some_and(|at| at > now);
            let taken = self.rules.group.take(now, whole_at);
            of_group = Some((
                group,
                taken.map_err(|wait| NotAdmitted::GroupRate { group, wait })?,
            ));
        }
        let others = self.check_others(now, (count + 1, again));
        if let (Err(_), Some((group, _))) = (others, of_group) {
            let since = self.whole_at.get(&group).copied().unwrap_or(now);
            self.owe(now, group, since.max(now + self.rules.group.every));
        }
        let of_total = others?;
        self.total_whole_at = Some(of_total);
        if let Some((group, whole_at)) = of_group {
            self.owe(now, group, whole_at);
        }
        let number = self.next;
        self.next += 1;
        self.change(group, |permits| permits.insert(number, again).is_none());
        Ok(Permit { number, group })
    }

    /// The rules in force.
    pub const fn rules(&self) -> &AdmissionRules {
        &self.rules
    }

    /// Other rules from now on. What groups owe stays owed, by the new rate. Where fewer handshakes
    /// may be under way than are, the most crowded groups give up their oldest: drain
    /// [`Admission::poll_displaced`] afterwards.
    pub fn set_rules(&mut self, now: Instant, rules: AdmissionRules) {
        self.rules = rules;
        while self.live > self.rules.sockets
            && let Some(&(_, Reverse(oldest), group)) = self.crowds.last()
        {
            self.change(group, |permits| permits.remove(&oldest).is_some());
            self.displaced.push_back(oldest);
        }
        self.forget(now);
    }

    /// Whether all the others leave it an allowance and a place, which is made if need be. When the
    /// total allowance will be whole again.
    fn check_others(&mut self, now: Instant, claim: Claim) -> Result<Instant, NotAdmitted> {
        let total = self.rules.total;
        let total = if claim.1 { total.half() } else { total };
        let whole_at = total.take(now, self.total_whole_at);
        let whole_at = whole_at.map_err(|wait| NotAdmitted::TotalRate { wait })?;
        if self.live >= self.rules.sockets {
            self.make_room(claim)?;
        }
        Ok(whole_at)
    }

    /// Displaces a socket for a group that would then have this claim: one of a group with no
    /// better one.
    fn make_room(&mut self, claim: Claim) -> Result<(), NotAdmitted> {
        let limit = self.rules.sockets;
        match self.crowds.last() {
            Some(&(least, Reverse(oldest), group)) if claim <= least => {
                self.change(group, |permits| permits.remove(&oldest).is_some());
                self.displaced.push_back(oldest);
                Ok(())
            }
            Some(_) | None => Err(NotAdmitted::Sockets { limit }),
        }
    }

    /// Notes what a group owes.
    fn owe(&mut self, now: Instant, group: Group, whole_at: Instant) {
        if let Some(old) = self.whole_at.insert(group, whole_at) {
            let _ = self.by_time.remove(&(old, group));
        }
        let _ = self.by_time.insert((whole_at, group));
        self.forget(now);
    }

    /// Forgets who owes nothing, then who owes least.
    fn forget(&mut self, now: Instant) {
        while let Some(&(at, group)) = self.by_time.first()
            && (at <= now || self.whole_at.len() > self.rules.remembered)
        {
            let _ = self.by_time.pop_first();
            let _ = self.whole_at.remove(&group);
        }
    }

    /// The one place where permits come and go.
    fn change(&mut self, group: Option<Group>, change: impl FnOnce(&mut Permits) -> bool) -> bool {
        let permits = self.permits.entry(group).or_default();
        let (before, len) = (crowd(group, permits), permits.len());
        let changed = change(permits);
        let after = crowd(group, permits);
        self.live = self.live + permits.len() - len;
        if let Some(before) = before {
            let _ = self.crowds.remove(&before);
        }
        match after {
            Some(after) => {
                let _ = self.crowds.insert(after);
            }
            None => {
                let _ = self.permits.remove(&group);
            }
        }
        changed
    }

    /// The next socket to close, by the number of its permit: it made room for another.
    pub fn poll_displaced(&mut self) -> Option<u64> {
        self.displaced.pop_front()
    }

    /// The handshake ended, well or badly. `false` when the permit was displaced before.
    #[expect(clippy::needless_pass_by_value, reason = "a permit is given back once")]
    pub fn release(&mut self, permit: Permit) -> bool {
        self.change(permit.group, |permits| {
            permits.remove(&permit.number).is_some()
        })
    }

    /// Handshakes under way.
    pub const fn live(&self) -> usize {
        self.live
    }

    /// Groups whose rate is remembered.
    pub fn remembered(&self) -> usize {
        self.whole_at.len()
    }

    /// Recomputes what is derived.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self) -> Result<(), String> {
        let by_time = self.whole_at.iter().map(|(group, at)| (*at, *group));
        if by_time.collect::<BTreeSet<_>>() != self.by_time {
            return Err("the order of what groups owe".to_owned());
        }
        let crowds = self.permits.iter();
        let crowds = crowds.filter_map(|(group, permits)| crowd(*group, permits));
        if crowds.collect::<BTreeSet<_>>() != self.crowds {
            return Err("the order of crowds".to_owned());
        }
        let live: usize = self.permits.values().map(BTreeMap::len).sum();
        if live != self.live || live > self.rules.sockets {
            return Err(format!("{live} permits, {} counted", self.live));
        }
        if self.whole_at.len() > self.rules.remembered {
            return Err(format!("{} groups remembered", self.whole_at.len()));
        }
        Ok(())
    }
}

//! Rates by address group.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::addr::{Group, Reach};

/// So many at once, and then so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once. 0 shuts the door.
    pub burst: u32,
    /// How many a second may follow. 0 allows none.
    pub per_second: u32,
}

/// A rate for each address group, and one for all groups together.
///
/// For each group it keeps one instant: when its allowance will be whole again (the generic cell
/// rate algorithm). Groups whose allowance is whole are forgotten, whenever there are twice as many
/// groups as were left the last time.
#[derive(Clone, Debug)]
pub struct Limiter {
    group: Rate,
    total: Rate,
    /// When each group will have its whole burst again.
    whole_at: BTreeMap<Group, Instant>,
    total_whole_at: Option<Instant>,
    max_groups: usize,
    /// At how many groups those that are whole are looked for.
    sweep_at: usize,
}

/// At how few groups none are looked for that could be forgotten.
const FEW_GROUPS: usize = 32;

impl Limiter {
    /// A limit of `group` for each address group and of `total` for all, remembering at most so
    /// many groups. While it remembers that many, a new group is refused.
    pub const fn new(group: Rate, total: Rate, max_groups: usize) -> Self {
        Self {
            group,
            total,
            whole_at: BTreeMap::new(),
            total_whole_at: None,
            max_groups,
            sweep_at: FEW_GROUPS,
        }
    }

    /// Whether one more from `ip` is within the limits; it is counted then. Loopback and private
    /// addresses are not limited.
    pub fn allow(&mut self, now: Instant, ip: IpAddr) -> bool {
        if !Reach::of(ip).is_limited() {
            return true;
        }
        let group = Group::of(ip);
        let Some(of_group) = take(self.group, now, self.whole_at.get(&group).copied()) else {
            return false;
        };
        let Some(of_total) = take(self.total, now, self.total_whole_at) else {
            return false;
        };
        let sweep_at = self.sweep_at.min(self.max_groups);
        if !self.whole_at.contains_key(&group) && self.whole_at.len() >= sweep_at {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.sweep_at = FEW_GROUPS.max(2 * self.whole_at.len());
            if self.whole_at.len() >= self.max_groups {
                return false;
            }
        }
        self.whole_at.insert(group, of_group);
        self.total_whole_at = Some(of_total);
        true
    }

    /// How many groups are remembered.
    pub fn len(&self) -> usize {
        self.whole_at.len()
    }

    /// Whether no group is remembered.
    pub fn is_empty(&self) -> bool {
        self.whole_at.is_empty()
    }
}

/// When the allowance will be whole after one more, if there is one more.
fn take(rate: Rate, now: Instant, whole_at: Option<Instant>) -> Option<Instant> {
    let interval = Duration::from_secs(1).checked_div(rate.per_second)?;
    let next = whole_at.unwrap_or(now).max(now) + interval;
    (next.saturating_duration_since(now) <= interval * rate.burst).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const OFTEN: Rate = Rate {
        burst: 1000,
        per_second: 1000,
    };

    #[test]
    fn a_group_gets_its_burst_and_then_its_rate() {
        let rate = Rate {
            burst: 3,
            per_second: 2,
        };
        let mut limiter = Limiter::new(rate, OFTEN, 10);
        let now = start();
        let mut count = |at, from| (0..10).filter(|_| limiter.allow(at, ip(from))).count();
        assert_eq!(count(now, "192.0.2.1"), 3);
        assert_eq!(count(now, "192.0.2.99"), 0, "the same group");
        assert_eq!(count(now, "192.0.3.1"), 3);
        assert_eq!(count(now + Duration::from_secs(1), "192.0.2.1"), 2);
        assert_eq!(count(now + Duration::from_secs(60), "192.0.2.1"), 3);
        assert_eq!(count(now, "127.0.0.1"), 10, "not limited");
        assert_eq!(count(now, "192.168.1.1"), 10, "not limited");
    }

    #[test]
    fn all_groups_together_have_a_rate_and_a_number() {
        let total = Rate {
            burst: 5,
            per_second: 5,
        };
        let mut limiter = Limiter::new(OFTEN, total, 4);
        let now = start();
        let allowed = |limiter: &mut Limiter, at| {
            let ips = (0..100u8).map(|n| IpAddr::from([192, 0, n, 1]));
            ips.filter(|ip| limiter.allow(at, *ip)).count()
        };
        assert_eq!(
            allowed(&mut limiter, now),
            4,
            "as many groups as it remembers"
        );
        let later = now + Duration::from_secs(1);
        assert_eq!(
            allowed(&mut limiter, later),
            4,
            "others once these are whole"
        );
        assert_eq!(limiter.len(), 4);
        let mut limiter = Limiter::new(OFTEN, total, 100);
        assert_eq!(allowed(&mut limiter, now), 5);
        let shut = Rate {
            burst: 0,
            per_second: 0,
        };
        assert!(!Limiter::new(shut, OFTEN, 4).allow(now, ip("192.0.2.1")));
    }

    #[test]
    fn groups_that_are_whole_again_are_forgotten() {
        let total = Rate {
            burst: 1000,
            per_second: 1000,
        };
        let mut limiter = Limiter::new(OFTEN, total, 4096);
        for second in 0..1000_u16 {
            let now = start() + Duration::from_secs(second.into());
            let [high, low] = second.to_be_bytes();
            assert!(limiter.allow(now, IpAddr::from([9, high, low, 1])));
            assert!(limiter.len() <= FEW_GROUPS, "{second}");
        }
    }
}

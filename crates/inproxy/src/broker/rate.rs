//! How fast the requests of one address group come, and how many it has open.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// An IPv4 address, or what an IPv6 customer is given: a /56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group(u128);

impl Group {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            // No /56 looks like a mapped address.
            IpAddr::V4(ip) => Self(ip.to_ipv6_mapped().to_bits()),
            IpAddr::V6(ip) => Self(ip.to_bits() >> 72 << 72),
        }
    }
}

/// A rate for each group: so many a minute, as many at once.
#[derive(Debug)]
pub(super) struct Rates {
    interval: Duration,
    burst: Duration,
    /// When what a group has asked for so far would have come at the rate.
    groups: BTreeMap<Group, Instant>,
    /// When all groups may be looked at again.
    sweep_at: Option<Instant>,
}

/// Between two looks at all groups, however many strangers come.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Groups that are remembered. Each is one whose allowance is not whole.
const MAX_GROUPS: usize = 65_536;

impl Rates {
    pub(super) fn new(per_minute: u32) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self {
            interval,
            burst: interval * per_minute.saturating_sub(1),
            groups: BTreeMap::new(),
            sweep_at: None,
        }
    }

    /// Counts one; else says how long to wait.
    pub(super) fn take(&mut self, now: Instant, group: Group) -> Result<(), Duration> {
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&group) {
            if self.sweep_at.is_none_or(|at| at <= now) {
                self.sweep_at = Some(now + SWEEP_EVERY);
                self.groups.retain(|_, at| *at > now);
            }
            if self.groups.len() >= MAX_GROUPS {
                return Err(self.interval);
            }
        }
        let at = self.groups.entry(group).or_insert(now);
        let from = (*at).max(now);
        let ahead = from.saturating_duration_since(now);
        if ahead > self.burst {
            return Err(ahead - self.burst);
        }
        *at = from + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut rates = Rates::new(60);
        let group = Group::of("192.0.2.1".parse().unwrap());
        for _ in 0..60 {
            rates.take(start, group).unwrap();
        }
        assert_eq!(rates.take(start, group), Err(Duration::from_secs(1)));
        rates.take(start + Duration::from_secs(1), group).unwrap();
        rates
            .take(start, Group::of("192.0.2.2".parse().unwrap()))
            .unwrap();
    }

    #[test]
    fn a_customer_is_one_group() {
        let group = |ip: &str| Group::of(ip.parse().unwrap());
        assert_eq!(group("2001:db8::1"), group("2001:db8:0:ff::2"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:100::1"));
        assert_eq!(group("::ffff:192.0.2.1"), group("192.0.2.1"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut rates = Rates::new(60);
        for n in 0..70_000_u32 {
            let _ = rates.take(start, Group::of(std::net::Ipv4Addr::from(n).into()));
        }
        assert_eq!(rates.groups.len(), MAX_GROUPS);
        let later = start + Duration::from_secs(2);
        rates
            .take(later, Group::of("9.9.9.9".parse().unwrap()))
            .unwrap();
        assert_eq!(rates.groups.len(), 1);
    }
}

//! What others say our address is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_core::Endpoint;

use crate::address::{Contact, Group, Reach};
use crate::node_id::NodeId;
use crate::record::Family;

/// When votes count, and how many are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteRules {
    /// Votes for one endpoint that make it ours. 10; less than [`Self::MIN_THRESHOLD`] counts as
    /// that.
    pub threshold: usize,
    /// How long a vote counts. 5 minutes.
    pub life: Duration,
    /// By how many percent the first must lead the second, lest two addresses of one NAT take
    /// turns. 30.
    pub lead_percent: usize,
    /// How many nodes of one public address group (IPv4 /24, IPv6 /64) count for one endpoint. 2, as
    /// many as a bucket of the table takes: all that the table takes of one group would be a
    /// majority by themselves.
    pub per_group: usize,
    /// The most votes kept for each family; beyond, the oldest goes. 200.
    pub max: usize,
}

impl VoteRules {
    /// The fewest votes that ever decide: one node alone never does.
    pub const MIN_THRESHOLD: usize = 2;
}

impl Default for VoteRules {
    fn default() -> Self {
        Self {
            threshold: 10,
            life: Duration::from_secs(5 * 60),
            lead_percent: 30,
            per_group: 2,
            max: 200,
        }
    }
}

/// The votes about our own address, a box for each family.
///
/// # Security
/// A vote may be cast only by the answer to a PING of ours, and each node has one: a later vote
/// replaces the earlier. So whoever wants to move our address needs as many nodes that we chose to
/// ask, and at addresses of many groups.
#[derive(Clone, Debug)]
pub struct Votes {
    rules: VoteRules,
    v4: BTreeMap<NodeId, Vote>,
    v6: BTreeMap<NodeId, Vote>,
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    endpoint: Endpoint,
    at: Instant,
    /// Where the voter is, if that limits how much its vote counts.
    group: Option<Group>,
}

impl Votes {
    /// No votes yet.
    pub const fn new(rules: VoteRules) -> Self {
        Self {
            rules,
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
        }
    }

    /// A node says in its answer to our PING that we are at `endpoint`.
    pub fn cast(&mut self, now: Instant, voter: &Contact, endpoint: Endpoint) {
        let max = self.rules.max;
        let ip = voter.endpoint.ip();
        let vote = Vote {
            endpoint,
            at: now,
            group: Reach::of(ip).is_limited().then(|| Group::of(ip)),
        };
        let family = self.of_mut(Family::of(endpoint.ip()));
        family.insert(voter.node, vote);
        if family.len() > max {
            let oldest = family.iter().min_by_key(|(_, vote)| vote.at);
            if let Some((&oldest, _)) = oldest {
                family.remove(&oldest);
            }
        }
    }

    /// The endpoint that enough nodes agree on. Votes whose time is over are forgotten.
    pub fn majority(&mut self, now: Instant, family: Family) -> Option<Endpoint> {
        let rules = self.rules;
        let votes = self.of_mut(family);
        votes.retain(|_, vote| now.saturating_duration_since(vote.at) < rules.life);
        let mut counts: BTreeMap<Endpoint, usize> = BTreeMap::new();
        let mut of_groups: BTreeMap<(Endpoint, Group), usize> = BTreeMap::new();
        for vote in votes.values() {
            if let Some(group) = vote.group {
                let of_group = of_groups.entry((vote.endpoint, group)).or_default();
                *of_group += 1;
                if *of_group > rules.per_group {
                    continue;
                }
            }
            *counts.entry(vote.endpoint).or_default() += 1;
        }
        let (&first, &most) = counts.iter().max_by_key(|(_, count)| **count)?;
        let others = counts.iter().filter(|(endpoint, _)| **endpoint != first);
        let second = others.map(|(_, count)| *count).max().unwrap_or(0);
        let enough = most >= rules.threshold.max(VoteRules::MIN_THRESHOLD);
        let leads = most * 100 >= second * (100 + rules.lead_percent) && most > second;
        (enough && leads).then_some(first)
    }

    /// How many votes there are, those whose time is over included.
    pub fn len(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4.len(),
            Family::V6 => self.v6.len(),
        }
    }

    /// Forgets the votes of a family.
    pub fn clear(&mut self, family: Family) {
        self.of_mut(family).clear();
    }

    fn of_mut(&mut self, family: Family) -> &mut BTreeMap<NodeId, Vote> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn at(last: u8) -> Endpoint {
        Endpoint::new([192, 0, 2, last].into(), 9000)
    }

    /// Each in a group of its own.
    fn voter(n: usize) -> Contact {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let [.., a, b] = n.to_be_bytes();
        Contact {
            node: NodeId(id),
            endpoint: Endpoint::new([20, a, b, 1].into(), 9000),
        }
    }

    #[test]
    fn the_threshold_decides_and_a_node_has_one_vote() {
        let mut votes = Votes::new(VoteRules::default());
        let now = start();
        for _ in 0..100 {
            votes.cast(now, &voter(0), at(1));
        }
        assert_eq!(votes.len(Family::V4), 1);
        for n in 0..9 {
            votes.cast(now, &voter(n), at(1));
        }
        assert_eq!(votes.majority(now, Family::V4), None);
        votes.cast(now, &voter(9), at(1));
        assert_eq!(votes.majority(now, Family::V4), Some(at(1)));
        votes.cast(now, &voter(9), at(2));
        assert_eq!(votes.majority(now, Family::V4), None, "it changed its mind");
    }

    #[test]
    fn votes_age() {
        let mut votes = Votes::new(VoteRules::default());
        let now = start();
        for n in 0..10 {
            votes.cast(now, &voter(n), at(1));
        }
        let late = now + Duration::from_secs(299);
        assert_eq!(votes.majority(late, Family::V4), Some(at(1)));
        let later = now + Duration::from_secs(300);
        assert_eq!(votes.majority(later, Family::V4), None);
        assert_eq!(votes.len(Family::V4), 0);
    }

    #[test]
    fn families_do_not_starve_each_other() {
        let mut votes = Votes::new(VoteRules::default());
        let now = start();
        let v6 = Endpoint::new("2001:db8::1".parse().unwrap(), 9000);
        for n in 0..150 {
            votes.cast(now, &voter(n), at(1));
        }
        for n in 0..10 {
            votes.cast(now, &voter(n), v6);
        }
        assert_eq!(votes.majority(now, Family::V6), Some(v6));
        assert_eq!(votes.majority(now, Family::V4), Some(at(1)));
    }

    #[test]
    fn two_addresses_that_are_almost_equal_decide_nothing() {
        let mut votes = Votes::new(VoteRules::default());
        let now = start();
        for n in 0..12 {
            votes.cast(now, &voter(n), at(1));
        }
        for n in 100..110 {
            votes.cast(now, &voter(n), at(2));
        }
        assert_eq!(votes.majority(now, Family::V4), None, "12 to 10");
        votes.cast(now, &voter(12), at(1));
        assert_eq!(votes.majority(now, Family::V4), Some(at(1)), "13 to 10");
    }

    #[test]
    fn one_voter_never_decides_and_the_number_of_votes_is_bounded() {
        let rules = VoteRules {
            threshold: 1,
            max: 50,
            ..VoteRules::default()
        };
        let mut votes = Votes::new(rules);
        let now = start();
        votes.cast(now, &voter(0), at(1));
        assert_eq!(votes.majority(now, Family::V4), None);
        for n in 0..1000 {
            votes.cast(now + Duration::from_millis(n as u64), &voter(n), at(1));
        }
        assert_eq!(votes.len(Family::V4), 50);
    }
}

//! Who makes room when a newcomer dials in and every inbound slot is taken.
//!
//! Whoever wants our slots for itself must beat honest peers in every respect that is protected, and
//! all of them are hard to forge: being near, being useful, having stayed, being somewhere else. The
//! idea is Bitcoin Core's (`AttemptToEvictConnection`); the scenario `p2p_eviction` tests it there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::group::Group;
use crate::types::SessionId;

/// How many are protected, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvictRules {
    /// Groups of which one peer each is protected. Which groups is secret.
    pub by_group: usize,
    /// Peers with the shortest round trip.
    pub by_rtt: usize,
    /// Peers that were useful most recently.
    pub by_use: usize,
    /// How long everybody stays at least.
    pub min_age: Duration,
    /// The shortest time from one eviction to the next. Choosing costs as much as there are peers,
    /// and newcomers are not to make us do nothing else.
    pub every: Duration,
}

impl Default for EvictRules {
    fn default() -> Self {
        Self {
            by_group: 4,
            by_rtt: 8,
            by_use: 8,
            min_age: Duration::from_secs(30),
            every: Duration::from_millis(100),
        }
    }
}

impl EvictRules {
    /// With so many or fewer, nobody can be evicted.
    pub const fn protected(&self) -> usize {
        self.by_group + self.by_rtt + self.by_use
    }
}

/// One who could make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: SessionId,
    /// Its address group; those without one count as one group.
    pub group: Option<Group>,
    /// Since when it is here.
    pub since: Instant,
    /// Its shortest round trip.
    pub rtt: Option<Duration>,
    /// When it was last of use.
    pub useful_at: Option<Instant>,
}

/// Chooses who goes, or nobody. `rank` orders groups in a way that no peer knows.
pub fn choose(
    rules: &EvictRules,
    now: Instant,
    mut left: Vec<Candidate>,
    rank: impl Fn(Group) -> u64,
) -> Option<SessionId> {
    left.retain(|peer| now.saturating_duration_since(peer.since) >= rules.min_age);

    // The eldest of each of the groups that rank highest.
    let mut eldest: BTreeMap<Group, (Instant, SessionId)> = BTreeMap::new();
    for peer in &left {
        if let Some(group) = peer.group {
            let first = eldest.entry(group).or_insert((peer.since, peer.id));
            *first = (*first).min((peer.since, peer.id));
        }
    }
    let eldest = eldest.into_iter();
    let mut eldest: Vec<_> = eldest
        .map(|(group, (_, id))| (rank(group), group, id))
        .collect();
    let rest = eldest.len().saturating_sub(rules.by_group);
    drop_first(&mut eldest, rest, |place| *place);
    left.retain(|peer| !eldest.iter().any(|(_, _, id)| *id == peer.id));

    // The nearest; who was never measured is far.
    let near = left.iter().filter(|peer| peer.rtt.is_some()).count();
    drop_first(&mut left, near.min(rules.by_rtt), |peer| {
        (peer.rtt.unwrap_or(Duration::MAX), peer.since, peer.id)
    });

    // The useful.
    let useful = left.iter().filter(|peer| peer.useful_at.is_some()).count();
    drop_first(&mut left, useful.min(rules.by_use), |peer| {
        (Reverse(peer.useful_at), peer.id)
    });

    // The elder half.
    let half = left.len() / 2;
    drop_first(&mut left, half, |peer| (peer.since, peer.id));

    // The youngest of the most crowded group; of the one whose youngest is younger, if two are.
    let mut crowds: BTreeMap<Option<Group>, (usize, Instant, SessionId)> = BTreeMap::new();
    for peer in &left {
        let crowd = crowds.entry(peer.group).or_insert((0, peer.since, peer.id));
        let (since, id) = (crowd.1, crowd.2).max((peer.since, peer.id));
        *crowd = (crowd.0 + 1, since, id);
    }
    crowds.into_values().max().map(|(_, _, id)| id)
}

/// Drops the `count` lowest, in time that grows with the list alone; what is left is in no order.
fn drop_first<C, K: Ord>(list: &mut Vec<C>, count: usize, key: impl Fn(&C) -> K) {
    if (1..list.len()).contains(&count) {
        let _ = list.select_nth_unstable_by_key(count, key);
    }
    list.drain(..count.min(list.len()));
}

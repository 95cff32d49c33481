//! Who makes room when a newcomer dials in and every inbound slot is taken.
//!
//! Whoever wants our slots for itself must beat honest peers in every respect that is protected, and
//! all of them are hard to forge: being near, being useful, having stayed, being somewhere else. The
//! idea is Bitcoin Core's (`AttemptToEvictConnection`); the scenario `p2p_eviction` tests it there.

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
}

impl Default for EvictRules {
    fn default() -> Self {
        Self {
            by_group: 4,
            by_rtt: 8,
            by_use: 8,
            min_age: Duration::from_secs(30),
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
    left.sort_by_key(|peer| (peer.since, peer.id));
    let mut eldest = BTreeMap::new();
    for peer in &left {
        if let Some(group) = peer.group {
            let _ = eldest.entry((rank(group), group)).or_insert(peer.id);
        }
    }
    let kept: Vec<_> = eldest.into_values().rev().take(rules.by_group).collect();
    left.retain(|peer| !kept.contains(&peer.id));

    // The nearest; who was never measured is far.
    left.sort_by_key(|peer| (peer.rtt.unwrap_or(Duration::MAX), peer.since, peer.id));
    let near = left.iter().take_while(|peer| peer.rtt.is_some()).count();
    left.drain(..near.min(rules.by_rtt));

    // The useful.
    left.sort_by_key(|peer| {
        (
            peer.useful_at.is_none(),
            peer.useful_at.map(std::cmp::Reverse),
        )
    });
    let useful = left.iter().take_while(|peer| peer.useful_at.is_some());
    let useful = useful.count();
    left.drain(..useful.min(rules.by_use));

    // The elder half.
    left.sort_by_key(|peer| (peer.since, peer.id));
    left.drain(..left.len() / 2);

    // The youngest of the most crowded group; of the one whose youngest is younger, if two are.
    let mut crowds: BTreeMap<Option<Group>, (usize, Instant, SessionId)> = BTreeMap::new();
    for peer in &left {
        let crowd = crowds.entry(peer.group).or_insert((0, peer.since, peer.id));
        *crowd = (crowd.0 + 1, peer.since, peer.id);
    }
    crowds.into_values().max().map(|(_, _, id)| id)
}

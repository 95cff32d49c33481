//! What swarm to make.

use std::time::Duration;

use peerage_discv5::Config;

use crate::chance::Chance;
use crate::nat::NatKind;
use crate::seed::Seed;
use crate::weather::Weather;

/// The most nodes of a swarm: each has a /24 of its own, and so has each translator.
pub const MAX_NODES: usize = 100_000;

/// A swarm of nodes that know one boot node, or a few.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many. 200.
    pub nodes: usize,
    /// How many of them are boot nodes: there from the start, never behind a translator. 1.
    pub boot_nodes: usize,
    /// The share of all nodes that is behind a translator, each behind one of its own. None.
    ///
    /// Their records name no address until enough others agree on one.
    pub nat: Chance,
    /// How frequent each kind of translator is. Full cone and restricted 1 each, port-restricted
    /// and symmetric 2 and 1: measurements differ widely, most find the stricter kinds ahead.
    pub nat_kinds: [(NatKind, u32); 4],
    /// How long mappings last. 2 minutes, the least that RFC 4787 REQ-5 allows.
    pub nat_lifetime: Duration,
    /// What happens to datagrams.
    pub weather: Weather,
    /// Where all randomness comes from.
    pub seed: Seed,
    /// Nodes arrive at random times within so long, times the number of nodes. 10 ms.
    pub arrival: Duration,
    /// How long the swarm is left alone after the last arrival. 30 s.
    pub settle: Duration,
    /// The lookups of a round begin at random times within so long. 10 s.
    pub round: Duration,
    /// How each node behaves. The defaults, but: `auto_update`, without which no node behind a
    /// translator would ever be found; and, so that ten thousand fit into 2 GiB, 96 sessions of
    /// which 4 keep their ciphers ready, and 64 verified records remembered. That costs processor
    /// time for handshakes and records that the defaults would have remembered.
    pub config: Config,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 200,
            boot_nodes: 1,
            nat: Chance::NEVER,
            nat_kinds: [
                (NatKind::FullCone, 1),
                (NatKind::Restricted, 1),
                (NatKind::PortRestricted, 2),
                (NatKind::Symmetric, 1),
            ],
            nat_lifetime: Duration::from_secs(120),
            weather: Weather::INTERNET,
            seed: Seed(1),
            arrival: Duration::from_millis(10),
            settle: Duration::from_secs(30),
            round: Duration::from_secs(10),
            config: Config {
                auto_update: true,
                max_sessions: 96,
                max_expanded: 4,
                max_verified: 64,
                ..Config::default()
            },
        }
    }
}

impl Plan {
    /// How many nodes are behind a translator.
    pub fn behind_nat(&self) -> usize {
        let wanted = (self.nodes as f64 * self.nat.share()).round();
        // Counted instead of cast: a share of at most 100,000 nodes.
        (0..self.nodes).filter(|n| (*n as f64) < wanted).count()
    }

    /// Whether such a swarm can be made.
    ///
    /// # Errors
    /// When it cannot; the error says why.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.nodes == 0 || self.nodes > MAX_NODES {
            return Err(PlanError::Nodes(self.nodes));
        }
        if self.boot_nodes == 0 || self.boot_nodes + self.behind_nat() > self.nodes {
            return Err(PlanError::BootNodes);
        }
        if self.nat_kinds.iter().all(|(_, weight)| *weight == 0) {
            return Err(PlanError::NatKinds);
        }
        Ok(())
    }
}

/// Why a swarm cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// None, or too many.
    Nodes(usize),
    /// No node is left to be a boot node.
    BootNodes,
    /// No kind of translator is ever to occur.
    NatKinds,
}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(f, "{nodes} nodes: from 1 to {MAX_NODES} can be made"),
            Self::BootNodes => f.write_str(
                "at least one boot node is needed, and boot nodes are not behind a translator",
            ),
            Self::NatKinds => f.write_str("no kind of translator has a weight"),
        }
    }
}

impl std::error::Error for PlanError {}

//! A chain's forks, and the hash after each.

use std::fmt;

use super::{ForkHash, ForkId};

/// When a fork activates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activation {
    /// At this block.
    Block(u64),
    /// At the first block of this time, in seconds since 1970.
    Time(u64),
}

impl Activation {
    /// The number as a fork id carries it.
    pub const fn number(self) -> u64 {
        match self {
            Self::Block(at) | Self::Time(at) => at,
        }
    }

    pub(super) const fn is_passed(self, head: Head) -> bool {
        match self {
            Self::Block(at) => head.number >= at,
            Self::Time(at) => head.time >= at,
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(at) => write!(f, "block {at}"),
            Self::Time(at) => write!(f, "time {at}"),
        }
    }
}

/// A change of a chain's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Its name.
    pub name: Box<str>,
    /// When it activates.
    pub at: Activation,
}

/// The best block of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its time, in seconds since 1970.
    pub time: u64,
}

/// A chain's forks with the hash after each, computed once per chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Block forks ascending, then time forks ascending; none at genesis, none twice.
    forks: Vec<Fork>,
    /// The hash before the first fork and after each: one more than there are forks.
    hashes: Vec<ForkHash>,
}

/// What the state before the first fork is called.
const GENESIS: &str = "genesis";

impl Schedule {
    /// The schedule of a chain. `forks` may come in any order and several at once: those at
    /// genesis (block 0, or not after `genesis_time`) are left out, those at the same block or time
    /// become one with their names joined.
    pub fn new(genesis: &[u8; 32], genesis_time: u64, forks: &[Fork]) -> Self {
        let mut sorted: Vec<&Fork> = forks
            .iter()
            .filter(|fork| match fork.at {
                Activation::Block(at) => at > 0,
                Activation::Time(at) => at > genesis_time,
            })
            .collect();
        // The order of `Activation`: blocks before times. Stable, so names keep their order.
        sorted.sort_by_key(|fork| fork.at);
        let mut forks: Vec<Fork> = Vec::with_capacity(sorted.len());
        let mut crc = crc32fast::Hasher::new();
        crc.update(genesis);
        let hash_of = |crc: &crc32fast::Hasher| ForkHash(crc.clone().finalize().to_be_bytes());
        let mut hashes = vec![hash_of(&crc)];
        for fork in sorted {
            if let Some(last) = forks.last_mut().filter(|last| last.at == fork.at) {
                last.name = format!("{}+{}", last.name, fork.name).into();
                continue;
            }
            crc.update(&fork.at.number().to_be_bytes());
            hashes.push(hash_of(&crc));
            forks.push(fork.clone());
        }
        Self { forks, hashes }
    }

    /// The forks in order.
    pub fn forks(&self) -> &[Fork] {
        &self.forks
    }

    /// The block of the last fork by block; 0 where there is none. All later forks go by time.
    pub fn last_block(&self) -> u64 {
        let mut from_last = self.forks.iter().rev();
        let last = from_last.find_map(|fork| match fork.at {
            Activation::Block(at) => Some(at),
            Activation::Time(_) => None,
        });
        last.unwrap_or(0)
    }

    /// How many forks a node with this head has passed.
    pub fn passed(&self, head: Head) -> usize {
        self.forks
            .iter()
            .take_while(|fork| fork.at.is_passed(head))
            .count()
    }

    /// The fork id of a node that has passed this many forks, at most all there are.
    pub fn fork_id(&self, passed: usize) -> ForkId {
        let passed = passed.min(self.forks.len());
        ForkId {
            // There is always one hash more than there are forks.
            hash: self.hashes.get(passed).copied().unwrap_or(ForkHash([0; 4])),
            next: self.forks.get(passed).map_or(0, |fork| fork.at.number()),
        }
    }

    /// The name of the last fork of a node that has passed this many: `cancun`; `genesis` before
    /// the first.
    pub fn name(&self, passed: usize) -> &str {
        let last = passed.checked_sub(1).and_then(|last| self.forks.get(last));
        last.map_or(GENESIS, |fork| &fork.name)
    }

    /// How many forks a node with this hash has passed, if the hash is one of this chain's.
    pub fn find(&self, hash: ForkHash) -> Option<usize> {
        self.hashes.iter().position(|known| *known == hash)
    }
}

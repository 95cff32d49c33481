//! Judging fork ids as a node with a given head.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use peerage_core::wire::ReadError;
use peerage_core::{Detail, Kind, PeerText};

use super::{Activation, ForkId, Head, Schedule};
use crate::rlp::{Extra, Reader, encoded};

/// Numbers above this one are also compared with the head's time: no chain has as many blocks, and
/// no fork by time is older. It is the time of the first day of Ethereum.
///
/// Source: go-ethereum, `core/forkid`, whose constant this is; EIP-6122 leaves it open.
pub const TIME_THRESHOLD: u64 = 1_438_269_973;

/// Judges fork ids as a node with a given head.
#[derive(Clone, Debug)]
pub struct ForkFilter {
    schedule: Arc<Schedule>,
    head: Head,
    passed: usize,
}

/// Where a peer stands that follows our rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many forks it has passed; [`Schedule::name`] has the name of the last.
    pub passed: usize,
    /// Compared with us.
    pub relation: Relation,
}

/// A peer's progress compared with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// It has passed fewer forks, and knows the one that comes next for it.
    Behind,
    /// It has passed the same ones.
    Same,
    /// It has passed forks that we know but have not reached.
    Ahead,
}

/// What a new head changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The fork id until now.
    pub from: ForkId,
    /// The fork id from now on: the one for the next Status and the node's own record.
    pub to: ForkId,
    /// The last fork passed now.
    pub fork: Box<str>,
}

/// Why a fork id does not fit ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The peer stands before a fork that it does not know of: its software is too old.
    #[error(
        "the peer stands at {at} and knows {got} as its next fork, not {missing} at {expected}: it must upgrade",
        got = next_shown(remote.next)
    )]
    RemoteStale {
        /// What the peer stated.
        remote: ForkId,
        /// The last fork it has passed.
        at: Box<str>,
        /// The fork that it does not know of.
        missing: Box<str>,
        /// When that one activates.
        expected: Activation,
    },
    /// The peer is where we are, but knows of a fork that would be behind us: one of the two has a
    /// wrong table.
    #[error(
        "the peer stands at {at} as we do, but knows a fork at {next} that our head has passed and our table does not have",
        next = remote.next
    )]
    LocalStale {
        /// What the peer stated.
        remote: ForkId,
        /// The last fork that both have passed.
        at: Box<str>,
    },
    /// A hash that no point of our chain has.
    #[error(
        "fork hash {hash} is at no point of our chain: another chain, or a fork that our table lacks",
        hash = remote.hash
    )]
    Foreign {
        /// What the peer stated.
        remote: ForkId,
    },
}

fn next_shown(next: u64) -> String {
    if next == 0 {
        return "nothing".into();
    }
    next.to_string()
}

impl ForkError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::RemoteStale { .. } => Kind::Obsolete,
            Self::LocalStale { .. } | Self::Foreign { .. } => Kind::WrongFork,
        }
    }

    /// What the peer stated.
    pub const fn remote(&self) -> ForkId {
        match self {
            Self::RemoteStale { remote, .. }
            | Self::LocalStale { remote, .. }
            | Self::Foreign { remote } => *remote,
        }
    }

    /// The typed facts.
    pub fn detail(&self) -> Detail {
        let remote = self.remote();
        let hash = PeerText::from(remote.hash.to_string().as_str());
        let detail = Detail::none()
            .with("fork_hash", hash)
            .with("fork_next", remote.next);
        match self {
            Self::RemoteStale { at, missing, .. } => detail
                .with("remote_fork", PeerText::from(&**at))
                .with("missing_fork", PeerText::from(&**missing)),
            Self::LocalStale { at, .. } => detail.with("remote_fork", PeerText::from(&**at)),
            Self::Foreign { .. } => detail,
        }
    }
}

/// Why a node record's `eth` entry is no reason to dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordEntryError {
    /// Not `[[hash, next], ...]`.
    #[error("the record's eth entry is malformed")]
    Malformed(#[from] ReadError),
    /// A fork id that does not fit ours.
    #[error("the record's eth entry does not fit")]
    Fork(#[from] ForkError),
}

impl RecordEntryError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) => Kind::Malformed,
            Self::Fork(error) => error.kind(),
        }
    }
}

impl ForkFilter {
    /// A filter for a node of this chain with this head.
    pub fn new(schedule: Arc<Schedule>, head: Head) -> Self {
        let passed = schedule.passed(head);
        Self {
            schedule,
            head,
            passed,
        }
    }

    /// The head it judges by.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Our own fork id.
    pub fn fork_id(&self) -> ForkId {
        self.schedule.fork_id(self.passed)
    }

    /// The last fork that we have passed.
    pub fn fork_name(&self) -> &str {
        self.schedule.name(self.passed)
    }

    /// The chain's forks.
    pub const fn schedule(&self) -> &Arc<Schedule> {
        &self.schedule
    }

    /// Moves the head, back too; says so when that changes our own fork id.
    pub fn set_head(&mut self, head: Head) -> Option<Transition> {
        let from = self.fork_id();
        self.head = head;
        self.passed = self.schedule.passed(head);
        self.transition(from)
    }

    /// Takes another table's schedule, keeping the head; says so when that changes our own fork
    /// id.
    pub fn set_schedule(&mut self, schedule: Arc<Schedule>) -> Option<Transition> {
        let from = self.fork_id();
        self.passed = schedule.passed(self.head);
        self.schedule = schedule;
        self.transition(from)
    }

    fn transition(&self, from: ForkId) -> Option<Transition> {
        let to = self.fork_id();
        (from != to).then(|| Transition {
            from,
            to,
            fork: self.fork_name().into(),
        })
    }

    /// Judges a remote fork id.
    ///
    /// # Errors
    /// When the two nodes do not follow the same rules.
    pub fn judge(&self, remote: ForkId) -> Result<Standing, ForkError> {
        let schedule = &self.schedule;
        let Some(theirs) = schedule.find(remote.hash) else {
            return Err(ForkError::Foreign { remote });
        };
        let at = || schedule.name(theirs).into();
        let relation = theirs.cmp(&self.passed);
        match relation {
            Ordering::Equal if self.has_passed(remote.next) => {
                return Err(ForkError::LocalStale { remote, at: at() });
            }
            Ordering::Less => {
                let next = schedule.forks().get(theirs);
                if let Some(fork) = next.filter(|fork| fork.at.number() != remote.next) {
                    return Err(ForkError::RemoteStale {
                        remote,
                        at: at(),
                        missing: fork.name.clone(),
                        expected: fork.at,
                    });
                }
            }
            Ordering::Equal | Ordering::Greater => {}
        }
        Ok(Standing {
            passed: theirs,
            relation: match relation {
                Ordering::Less => Relation::Behind,
                Ordering::Equal => Relation::Same,
                Ordering::Greater => Relation::Ahead,
            },
        })
    }

    /// Whether a fork announced as next, by block or by time, lies behind our head.
    const fn has_passed(&self, next: u64) -> bool {
        let Head { number, time } = self.head;
        next > 0 && (number >= next || next > TIME_THRESHOLD && time >= next)
    }

    /// Whether a node with this fork id follows our rules.
    pub fn is_valid_fork_id(&self, remote: ForkId) -> bool {
        self.judge(remote).is_ok()
    }

    /// Judges the `eth` entry of a node record, `[[hash, next], ...]`, before anyone dials it.
    ///
    /// Source: devp2p, `enr-entries/eth.md`.
    ///
    /// # Errors
    /// When it is malformed, or the two nodes do not follow the same rules.
    pub fn judge_record_entry(&self, raw_rlp: &[u8]) -> Result<Standing, RecordEntryError> {
        let mut reader = Reader::new(raw_rlp);
        let remote = reader.list("eth", Extra::Ignore, |reader| {
            ForkId::read(reader, Extra::Ignore)
        })?;
        reader.finish()?;
        Ok(self.judge(remote)?)
    }

    /// The `eth` entry of our own node record.
    pub fn record_entry(&self) -> Bytes {
        let entry = encoded(|writer| {
            writer.list(|writer| self.fork_id().write(writer));
        });
        entry.freeze()
    }
}

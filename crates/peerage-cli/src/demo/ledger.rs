//! What our nodes told of each citizen.

use std::collections::BTreeMap;
use std::time::Duration;

use peerage::networks::PeerFacts;
use peerage::node::book::Key;
use peerage::{Direction, Kind, Reason};

use super::ours::News;
use super::world::Citizen;

/// What our node knows of one citizen.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// What it said of itself when it was greeted last; nothing if it never was.
    pub(super) facts: Option<PeerFacts>,
    /// Whether it is a peer now.
    pub(super) is_active: bool,
    /// How the last attempt or session ended.
    pub(super) ended: Option<Ended>,
}

/// The end of an attempt or a session.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) reason: Reason,
    /// Whether it was a peer until then.
    pub(super) was_peer: bool,
    pub(super) lasted: Duration,
}

impl Ended {
    /// Whether what is known says more than what came after it: a busy machine makes anybody late,
    /// and of two ends of one connection only the one that was dialled may recognise itself.
    fn says_more(&self, later: &Self, later_is_inbound: bool) -> bool {
        let (known, later) = (self.reason.kind, later.reason.kind);
        if known == Kind::SelfConnection {
            return !later_is_inbound;
        }
        later == Kind::Timeout && known != later
    }
}

/// Everything that our nodes told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    by_key: BTreeMap<(usize, Key), usize>,
    /// A citizen each, in the order of the world.
    pub(super) accounts: Vec<Account>,
    /// For each of our nodes: its own address among the citizens.
    mirrors: BTreeMap<usize, usize>,
    /// Dials that came to nothing, by our node.
    pub(super) failed_dials: BTreeMap<usize, u64>,
    /// Those among them of which nobody knows why: the system gave an error that tells nothing, or we
    /// have a bug.
    pub(super) unknown: BTreeMap<usize, u64>,
    /// Sessions lost since this was emptied last, by reason.
    pub(super) losses: BTreeMap<Kind, u64>,
}

impl Ledger {
    pub(super) fn of(citizens: &[Citizen]) -> Self {
        let mut ledger = Self::default();
        for (at, citizen) in citizens.iter().enumerate() {
            ledger.by_key.insert((citizen.place, citizen.key()), at);
            ledger.accounts.push(Account::default());
            if citizen.is_ourselves() {
                ledger.mirrors.insert(citizen.place, at);
            }
        }
        ledger
    }

    /// Notes what a node told.
    pub(super) fn note(&mut self, place: usize, news: News) {
        match news {
            News::Established { key, facts } => {
                if let Some(account) = self.account(place, key) {
                    account.facts = Some(*facts);
                    account.is_active = true;
                }
            }
            News::Closed {
                key,
                direction,
                was_peer,
                reason,
                lasted,
            } => {
                let ended = Ended {
                    reason: *reason,
                    was_peer,
                    lasted,
                };
                self.count(place, direction, &ended);
                // Who dials itself is told so by the end that was dialled.
                let inbound = direction == Direction::Inbound;
                if inbound && ended.reason.kind != Kind::SelfConnection {
                    return;
                }
                let mirror = self.mirrors.get(&place).copied();
                let account = if inbound {
                    mirror.and_then(|at| self.accounts.get_mut(at))
                } else {
                    key.and_then(|key| self.account(place, key))
                };
                if let Some(account) = account {
                    account.is_active &= !was_peer;
                    let known = account.ended.as_ref();
                    if !known.is_some_and(|known| known.says_more(&ended, inbound)) {
                        account.ended = Some(ended);
                    }
                }
            }
        }
    }

    fn count(&mut self, place: usize, direction: Direction, ended: &Ended) {
        let kind = ended.reason.kind;
        if ended.was_peer {
            *self.losses.entry(kind).or_default() += 1;
        } else if direction == Direction::Outbound {
            *self.failed_dials.entry(place).or_default() += 1;
            let unknown = u64::from(matches!(kind, Kind::Transport | Kind::Bug));
            *self.unknown.entry(place).or_default() += unknown;
        }
    }

    fn account(&mut self, place: usize, key: Key) -> Option<&mut Account> {
        let at = self.by_key.get(&(place, key))?;
        self.accounts.get_mut(*at)
    }
}

//! Which volunteers have proved to be of use.
//!
//! A good report makes a volunteer one of quality, in the network it was in. Each match that no good
//! report follows in time is charged; enough charges, or too much time without a report, and the
//! quality is gone. Charges are counted when someone asks, so nothing here needs a timer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::clock::Nanos;
use crate::geography::Asn;
use crate::record::VolunteerId;

/// How quality is won and lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QualityRule {
    /// Volunteers remembered, each once for every network it was in. Beyond that the one longest
    /// without a report is forgotten. The default is 1,000,000, some 200 MB.
    pub volunteers: usize,
    /// How long a report counts. The default is 24 h.
    pub lasts: Duration,
    /// How long after a match it is charged unless a good report came. The default is 5 min.
    pub charge_after: Duration,
    /// So many charges in a row end it. The default is 10.
    pub charges: u32,
    /// Networks of clients remembered for one volunteer, the newest. The default is 8. With each an
    /// announcement of it stands in one more place, for every common compartment.
    pub client_networks: usize,
}

impl Default for QualityRule {
    fn default() -> Self {
        Self {
            volunteers: 1_000_000,
            lasts: Duration::from_secs(24 * 60 * 60),
            charge_after: Duration::from_secs(5 * 60),
            charges: 10,
            client_networks: 8,
        }
    }
}

impl QualityRule {
    pub(crate) fn bounds(&self) -> Vec<(&'static str, u128, u128, u128)> {
        const WEEK_MS: u128 = 7 * 86_400_000;
        let lasts = self.lasts.as_millis();
        vec![
            ("quality.volunteers", self.volunteers as u128, 1, 10_000_000),
            ("quality.lasts", lasts, 1, WEEK_MS),
            (
                "quality.charge_after",
                self.charge_after.as_millis(),
                0,
                lasts,
            ),
            ("quality.charges", self.charges.into(), 1, 100),
            (
                "quality.client_networks",
                self.client_networks as u128,
                0,
                16,
            ),
        ]
    }
}

/// A volunteer in a network.
type Key = (VolunteerId, Option<Asn>);

#[derive(Debug)]
struct Proof {
    expires: Nanos,
    charged: u32,
    /// When the matches not yet reported on are charged, in order; at most as many as it takes.
    charges_due: VecDeque<Nanos>,
    /// Networks of clients it served, the newest last.
    networks: Vec<Asn>,
}

/// What is known of volunteers.
#[derive(Debug)]
pub(crate) struct Quality {
    rule: QualityRule,
    proofs: BTreeMap<Key, Proof>,
    by_expiry: BTreeSet<(Nanos, Key)>,
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Quality {
    pub(crate) const fn new(rule: QualityRule) -> Self {
        Self {
            rule,
            proofs: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(proof) = self.proofs.remove(key) {
            self.by_expiry.remove(&(proof.expires, *key));
        }
    }

    /// A client in `network` was served well.
    pub(crate) fn proven(&mut self, now: Nanos, key: Key, network: Option<Asn>) {
        let expires = now.saturating_add(nanos(self.rule.lasts));
        let proof = self.proofs.entry(key).or_insert_with(|| Proof {
            expires,
            charged: 0,
            charges_due: VecDeque::new(),
            networks: Vec::new(),
        });
        self.by_expiry.remove(&(proof.expires, key));
        self.by_expiry.insert((expires, key));
        proof.expires = expires;
        proof.charged = 0;
        proof.charges_due.clear();
        if let Some(network) = network {
            proof.networks.retain(|&other| other != network);
            proof.networks.push(network);
            if proof.networks.len() > self.rule.client_networks {
                proof.networks.remove(0);
            }
        }
        while self.proofs.len() > self.rule.volunteers {
            let Some((_, oldest)) = self.by_expiry.pop_first() else {
                break;
            };
            self.proofs.remove(&oldest);
        }
    }

    /// The networks a volunteer is proven for, if it is of quality at all.
    pub(crate) fn of(&mut self, now: Nanos, key: Key) -> Option<&[Asn]> {
        let proof = self.proofs.get_mut(&key)?;
        while proof.charges_due.front().is_some_and(|&due| due <= now) {
            proof.charges_due.pop_front();
            proof.charged += 1;
        }
        if proof.charged >= self.rule.charges || proof.expires <= now {
            self.forget(&key);
            return None;
        }
        self.proofs.get(&key).map(|proof| proof.networks.as_slice())
    }

    /// It was matched, and will be charged unless a good report follows.
    pub(crate) fn matched(&mut self, now: Nanos, key: Key) {
        if let Some(proof) = self.proofs.get_mut(&key)
            && proof.charges_due.len() < self.rule.charges as usize
        {
            let due = now.saturating_add(nanos(self.rule.charge_after));
            proof.charges_due.push_back(due);
        }
    }

    /// Whether the two orders agree.
    pub(crate) fn is_sound(&self) -> bool {
        let mut expected: Vec<_> = self.proofs.iter().map(|(k, p)| (p.expires, *k)).collect();
        expected.sort_unstable();
        expected.iter().eq(self.by_expiry.iter()) && self.proofs.len() <= self.rule.volunteers
    }
}

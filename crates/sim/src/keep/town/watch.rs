//! What must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use peerage_peers::Phase;

use super::{AUDIT_EVERY, KEPT_VIOLATIONS, PATIENCE, RECOVERY, Town};
use crate::keep::keeper::Keeper;
use crate::keep::net::Net;
use crate::keep::report::{Progress, Report, Violation};
use crate::keep::tally::Tally;

impl<N: Net> Town<N> {
    pub(super) fn peers_of(&self, n: usize) -> usize {
        let keeper = self.network.machine(self.cards[n].host).keeper();
        keeper.map_or(0, |keeper| keeper.peers().0)
    }

    pub(super) fn violated(&mut self, n: usize, what: String, tell: &mut impl FnMut(Progress)) {
        self.report.violated += 1;
        let violation = Violation {
            at: self.network.elapsed(),
            host: n,
            what,
        };
        if self.report.violations.len() < KEPT_VIOLATIONS {
            self.report.violations.push(violation.clone());
            tell(Progress::Violation(violation));
        }
    }

    pub(super) fn observe(&mut self, tell: &mut impl FnMut(Progress)) {
        let now = self.network.now();
        self.recovered(tell);
        let all_excused = now < self.all_excused_until;
        // Counted instead of cast: the target is small.
        let target = self.plan.target;
        let floor = (0..=target)
            .find(|peers| *peers as f64 >= self.plan.floor.share() * target as f64)
            .unwrap_or(target);
        for n in 0..self.cards.len() {
            if self.cards[n].who.fault.is_some() {
                continue;
            }
            let peers = self.peers_of(n);
            self.samples.peers += peers as u64;
            self.samples.all += 1;
            let card = &mut self.cards[n];
            if all_excused || now < card.excused_until {
                card.below_since = None;
                continue;
            }
            self.samples.counted += 1;
            self.samples.full += u64::from(peers >= target);
            if peers >= floor {
                card.below_since = None;
                self.report.least_peers = self.report.least_peers.min(peers);
                continue;
            }
            let since = *card.below_since.get_or_insert(now);
            let below = now.saturating_duration_since(since);
            self.report.longest_below = self.report.longest_below.max(below);
            if below > self.plan.grace {
                card.below_since = Some(now);
                let what = format!("{peers} of {target} peers for {below:?}");
                self.violated(n, what, tell);
            }
        }
        if now >= self.audit_at {
            self.audit_at = now + AUDIT_EVERY;
            self.audit(tell);
        }
    }

    pub(super) fn recovered(&mut self, tell: &mut impl FnMut(Progress)) {
        let now = self.network.now();
        for watch in std::mem::take(&mut self.watches) {
            let took = now.saturating_duration_since(watch.since);
            if self.peers_of(watch.n) >= watch.want {
                self.report.recoveries.push(took);
                let host = watch.n;
                tell(Progress::Recovered { host, took });
                if took > RECOVERY {
                    let what = format!("{took:?} until all peers were back after an outage");
                    self.violated(watch.n, what, tell);
                }
            } else if took > PATIENCE {
                let what = format!("not all peers are back {took:?} after an outage");
                self.report.recoveries.push(took);
                self.violated(watch.n, what, tell);
            } else {
                self.watches.push(watch);
            }
        }
    }

    pub(super) fn audit(&mut self, tell: &mut impl FnMut(Progress)) {
        let mut wrong = Vec::new();
        for (n, card) in self.cards.iter().enumerate() {
            let Some(keeper) = self.network.machine(card.host).keeper() else {
                continue;
            };
            self.report.audits += 1;
            if let Err(what) = keeper.check() {
                wrong.push((n, what));
            }
            let at = self.network.now_of(card.host).at;
            let peers = keeper.table().peers(at);
            self.report.most_known = self.report.most_known.max(keeper.book().len());
            self.report.most_sessions = self.report.most_sessions.max(peers.len());
            wrong.extend(self.doubled(keeper, &peers).map(|what| (n, what)));
            let unexplained = keeper.tally().unexplained();
            if unexplained * 100 > keeper.tally().failed_dials().max(100) {
                wrong.push((n, format!("{unexplained} dials failed for no reason")));
            }
            if keeper.tally().banned_dialled > 0 {
                wrong.push((n, "somebody banned was dialled".to_owned()));
            }
        }
        for (n, what) in wrong {
            self.violated(n, what, tell);
        }
    }

    /// Two sessions with one identity, or more at one address than its network allows.
    pub(super) fn doubled(
        &self,
        keeper: &Keeper<N>,
        peers: &[peerage_peers::Snapshot<peerage_book::Key>],
    ) -> Option<String> {
        let active = peers
            .iter()
            .filter(|peer| matches!(peer.phase, Phase::Active));
        let mut identities = BTreeSet::new();
        let mut places: BTreeMap<IpAddr, usize> = BTreeMap::new();
        let limit = keeper.table().config().limits.per_group;
        for peer in active {
            if let Some(identity) = &peer.identity
                && !identities.insert(identity)
            {
                return Some(format!("two sessions with {identity}"));
            }
            if let Some(at) = peer.addr.and_then(|addr| addr.transient_addr()) {
                let here = places.entry(at.ip()).or_default();
                *here += 1;
                if *here > limit {
                    return Some(format!("{here} sessions with {}", at.ip()));
                }
            }
        }
        None
    }

    /// What all of it showed.
    pub fn finish(mut self) -> Report {
        let samples = self.samples;
        let mut tally = Tally::default();
        for card in &self.cards {
            if card.who.fault.is_some() {
                continue;
            }
            tally.add(&card.tally);
            if let Some(keeper) = self.network.machine(card.host).keeper() {
                tally.add(keeper.tally());
            }
        }
        self.report.tally = tally;
        self.report.mean_peers = samples.peers as f64 / samples.all.max(1) as f64;
        self.report.full_share = samples.full as f64 / samples.counted.max(1) as f64;
        self.report.elapsed = self.network.elapsed();
        self.report.traffic = self.network.traffic();
        self.report.streams = self.network.streams();
        self.report.trace = self.network.trace().digest();
        self.report
    }
}

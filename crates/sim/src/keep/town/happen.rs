//! What happens to a town.

use std::net::IpAddr;
use std::time::Duration;

use peerage_book::Snapshot;
use peerage_core::Direction;
use peerage_peers::Phase;

use super::{Later, MAX_BANS, NAP, OUTAGE, Town, Watch, at};
use crate::chance::Chance;
use crate::keep::citizen::Body;
use crate::keep::fault::Fault;
use crate::keep::incident::Incident;
use crate::keep::net::Net;
use crate::keep::report::Progress;
use crate::network::{Change, Condition};

impl<N: Net> Town<N> {
    pub(super) fn happen(&mut self, what: Later, tell: &mut impl FnMut(Progress)) {
        let now = self.network.now();
        match what {
            Later::Incident => {
                let incident = Incident::ALL[self.next_incident % Incident::ALL.len()];
                self.next_incident += 1;
                self.later(now + self.plan.every, Later::Incident);
                *self.report.incidents.entry(incident).or_default() += 1;
                let host = self.strike(incident);
                let at = self.network.elapsed();
                tell(Progress::Incident { at, incident, host });
            }
            Later::Flap(n) => {
                let host = self.cards[n].host;
                let next = match self.network.condition(host) {
                    Condition::Running => Condition::Unplugged,
                    Condition::Unplugged | Condition::Stopped => Condition::Running,
                };
                self.network.apply(&Change::Condition(host, next));
                let wait = Duration::from_secs(300) + self.rng.duration(Duration::from_secs(1_500));
                self.later(now + wait, Later::Flap(n));
            }
            Later::Fate(n) => {
                let host = self.cards[n].host;
                if self.cards[n].who.fault == Some(Fault::Vanishing) {
                    self.network.vanish(host);
                    return;
                }
                // Its system notices, and so starts it anew.
                let remembered = self.remembered(n);
                let addr = at::<N>(40, n);
                self.network.move_to(host, addr);
                self.bury(n);
                self.cards[n].who.addr = addr;
                self.start(n, remembered);
            }
            Later::Upgrade => {
                self.is_upgraded = true;
                self.excuse_all(self.plan.grace);
                for n in 0..self.cards.len() {
                    let knows = self.cards[n]
                        .who
                        .fault
                        .is_none_or(|fault| !matches!(fault, Fault::Obsolete | Fault::OtherChain));
                    if knows {
                        let host = self.cards[n].host;
                        self.network
                            .with(host, |citizen, now| match &mut citizen.body {
                                Body::Keeper(keeper) => keeper.upgrade(now),
                                Body::Rogue(rogue) => rogue.upgrade(),
                                Body::Down => {}
                            });
                    }
                }
            }
            Later::Start(n, remembered) => self.start(n, *remembered),
            Later::Restored(n, want) => {
                let since = now;
                self.watches.push(Watch { n, since, want });
            }
        }
    }

    pub(super) fn excuse(&mut self, n: usize, span: Duration) {
        let until = self.network.now() + span;
        let card = &mut self.cards[n];
        card.excused_until = card.excused_until.max(until);
    }

    pub(super) fn excuse_all(&mut self, span: Duration) {
        self.all_excused_until = self.all_excused_until.max(self.network.now() + span);
    }

    /// Some honest keeper that nothing happens to now.
    pub(super) fn anybody(&mut self) -> usize {
        let now = self.network.now();
        let free = self.cards.iter().enumerate().filter(|(_, card)| {
            card.who.fault.is_none()
                && card.excused_until <= now
                && self.network.condition(card.host) == Condition::Running
        });
        let free: Vec<_> = free.map(|(n, _)| n).collect();
        if free.is_empty() {
            return 0;
        }
        free[self.rng.below(free.len())]
    }

    pub(super) fn strike(&mut self, incident: Incident) -> Option<usize> {
        const DAY: i64 = 86_400;
        let (now, ordeal) = (self.network.now(), self.plan.ordeal);
        let n = self.anybody();
        let host = self.cards[n].host;
        match incident {
            Incident::Outage => {
                let want = self.peers_of(n);
                self.excuse(n, OUTAGE);
                self.network
                    .apply(&Change::Condition(host, Condition::Unplugged));
                let back = Change::Condition(host, Condition::Running);
                self.network.plan(now + OUTAGE, back);
                self.later(now + OUTAGE, Later::Restored(n, want));
            }
            Incident::Partition => {
                self.excuse_all(ordeal);
                self.network.apply(&Change::Cut("half".into()));
                self.network.plan(now + ordeal, Change::Heal("half".into()));
                return None;
            }
            Incident::DateAhead | Incident::DateBack => {
                let days = if incident == Incident::DateAhead {
                    3
                } else {
                    -2
                };
                self.network.apply(&Change::Clock(host, days * DAY));
                let back = Change::Clock(host, -days * DAY);
                self.network.plan(now + ordeal, back);
            }
            Incident::Night => {
                self.excuse(n, ordeal);
                self.network.apply(&Change::Sleep(host, ordeal));
            }
            Incident::Nap => {
                self.network
                    .apply(&Change::Condition(host, Condition::Stopped));
                let back = Change::Condition(host, Condition::Running);
                self.network.plan(now + NAP, back);
            }
            Incident::Restart | Incident::Kill | Incident::PowerCut => {
                for _ in 0..(self.report.keepers / 10).max(1) {
                    let n = self.anybody();
                    self.take_down(n, incident);
                }
                return None;
            }
            Incident::Storm => {
                self.excuse_all(ordeal);
                let calm = self.plan.weather;
                let loss = Chance::new(0.2).unwrap_or(Chance::NEVER);
                self.network.apply(&Change::Weather(calm.with_loss(loss)));
                self.network.plan(now + ordeal, Change::Weather(calm));
                return None;
            }
            Incident::Ban => {
                if self.cards[n].bans < MAX_BANS
                    && let Some(ip) = self.some_peer_of(n)
                {
                    self.cards[n].bans += 1;
                    self.network.with(host, |citizen, now| {
                        if let Some(keeper) = citizen.keeper_mut() {
                            keeper.ban(now, ip);
                        }
                    });
                }
            }
            Incident::Slow => {
                self.network.apply(&Change::Rate(host, Some(2_000)));
                self.network.plan(now + ordeal, Change::Rate(host, None));
            }
        }
        Some(n)
    }

    pub(super) fn some_peer_of(&mut self, n: usize) -> Option<IpAddr> {
        let keeper = self.network.machine(self.cards[n].host).keeper()?;
        let peers = keeper
            .table()
            .peers(self.network.now_of(self.cards[n].host).at);
        let peers = peers.into_iter().filter(|peer| {
            peer.direction == Direction::Outbound && matches!(peer.phase, Phase::Active)
        });
        let ips: Vec<_> = peers
            .filter_map(|peer| Some(peer.addr?.transient_addr()?.ip()))
            .collect();
        if ips.is_empty() {
            return None;
        }
        Some(ips[self.rng.below(ips.len())])
    }

    /// A keeper goes down, and comes again from its book after a few seconds.
    pub(super) fn take_down(&mut self, n: usize, how: Incident) {
        let host = self.cards[n].host;
        let remembered = self.remembered(n);
        if how == Incident::Restart {
            self.network.with(host, |citizen, now| {
                if let Some(keeper) = citizen.keeper_mut() {
                    keeper.stop(now);
                }
            });
        }
        if how == Incident::PowerCut {
            self.network.vanish(host);
        } else {
            self.network.hang_up(host);
        }
        self.bury(n);
        let away = Duration::from_secs(5) + self.rng.duration(Duration::from_secs(55));
        self.excuse(n, away);
        let back = self.network.now() + away;
        self.later(back, Later::Start(n, Box::new(remembered)));
    }

    /// The process of a keeper is no more; its host may be there.
    pub(super) fn bury(&mut self, n: usize) {
        let host = self.cards[n].host;
        let old = self.network.with(host, |citizen, _| citizen.end());
        if let Body::Keeper(keeper) = old {
            self.cards[n].tally.add(keeper.tally());
        }
    }

    /// What a keeper will remember in its next life.
    pub(super) fn remembered(&self, n: usize) -> Snapshot {
        let keeper = self.network.machine(self.cards[n].host).keeper();
        keeper.map_or_else(Snapshot::default, |keeper| keeper.book().snapshot())
    }

    pub(super) fn start(&mut self, n: usize, remembered: Snapshot) {
        let host = self.cards[n].host;
        self.cards[n].who.life += 1;
        let now = self.network.now_of(host);
        let citizen = self.citizen(self.cards[n].who, now, remembered);
        drop(self.network.replace(host, citizen));
    }
}

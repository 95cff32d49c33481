//! A network of citizens, what happens to it, and what must always hold.

mod happen;
mod watch;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use peerage_book::Snapshot;
use peerage_discv5::record::Builder;
use peerage_discv5::rng::Rng;
use peerage_discv5::{Config as DiscoveryConfig, Discovery, Record};

use super::citizen::{Body, Citizen};
use super::fault::Fault;
use super::keeper::{Keeper, Setup, life_seed};
use super::net::{Net, Software};
use super::plan::{Plan, PlanError};
use super::report::{Progress, Report};
use super::rogue::Rogue;
use super::searcher::Searcher;
use super::tally::Tally;
use crate::epoch;
use crate::machine::Now;
use crate::network::{FIRST_DATE, HostId, Network};

/// How often it is looked whether properties hold; and where a keeper recovers.
const STEP: Duration = Duration::from_secs(10);
const FINE_STEP: Duration = Duration::from_secs(1);

/// How often everything derived is computed anew.
const AUDIT_EVERY: Duration = Duration::from_secs(3_600);

/// How long an outage of one's own lasts, and within which time all peers must be back.
const OUTAGE: Duration = Duration::from_secs(600);
const RECOVERY: Duration = Duration::from_secs(60);

/// How long a keeper stands still.
const NAP: Duration = Duration::from_secs(20);

/// How long one waits for a recovery.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// How many violations are kept.
const KEPT_VIOLATIONS: usize = 100;

/// How many bans there may be: everybody needs somebody.
const MAX_BANS: usize = 3;

/// How many addresses a liar tells of.
const LIES: usize = 200;

/// Who a citizen is, in its present life.
#[derive(Clone, Copy, Debug)]
struct Who {
    n: usize,
    fault: Option<Fault>,
    addr: SocketAddr,
    life: u64,
}

/// What is known of a citizen beside its machine.
#[derive(Debug)]
struct Card {
    host: HostId,
    who: Who,
    /// Of earlier lives.
    tally: Tally,
    /// Until when it is declared that it may have fewer peers.
    excused_until: Instant,
    below_since: Option<Instant>,
    bans: usize,
}

/// A keeper that is to have its peers back.
#[derive(Debug)]
struct Watch {
    n: usize,
    since: Instant,
    want: usize,
}

/// Keepers looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Samples {
    /// How many, and their outbound peers.
    all: u64,
    peers: u64,
    /// How many outside of what was declared, and how many of them had their target.
    counted: u64,
    full: u64,
}

/// What is to happen later.
#[derive(Clone, Debug)]
enum Later {
    /// The next incident.
    Incident,
    /// A flapping one comes or goes.
    Flap(usize),
    /// One vanishes or moves.
    Fate(usize),
    /// The network's rules change.
    Upgrade,
    /// A keeper starts again from what it remembers.
    Start(usize, Box<Snapshot>),
    /// A keeper's outage is over.
    Restored(usize, usize),
}

/// A town.
#[derive(Debug)]
pub struct Town<N: Net> {
    plan: Plan,
    network: Network<Citizen<N>>,
    cards: Vec<Card>,
    boot: Vec<Record>,
    later: BTreeMap<(Instant, u64), Later>,
    planned: u64,
    rng: Rng,
    next_incident: usize,
    is_upgraded: bool,
    watches: Vec<Watch>,
    all_excused_until: Instant,
    report: Report,
    samples: Samples,
    audit_at: Instant,
}

impl<N: Net> Town<N> {
    /// A town whose citizens have just arrived.
    ///
    /// # Errors
    /// When the plan cannot be carried out.
    pub fn new(plan: &Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let first = epoch();
        let mut town = Self {
            plan: plan.clone(),
            network: Network::new(first, plan.seed, plan.weather),
            cards: Vec::new(),
            boot: Vec::new(),
            later: BTreeMap::new(),
            planned: 0,
            rng: plan.seed.rng("town", 0),
            next_incident: 0,
            is_upgraded: false,
            watches: Vec::new(),
            all_excused_until: first + plan.quiet,
            report: Report {
                keepers: 0,
                faults: BTreeMap::new(),
                incidents: BTreeMap::new(),
                elapsed: Duration::ZERO,
                tally: Tally::default(),
                recoveries: Vec::new(),
                least_peers: usize::MAX,
                mean_peers: 0.0,
                full_share: 0.0,
                longest_below: Duration::ZERO,
                most_known: 0,
                most_sessions: 0,
                audits: 0,
                violations: Vec::new(),
                violated: 0,
                traffic: crate::traffic::Traffic::default(),
                streams: crate::stream::Streams::default(),
                trace: 0,
            },
            samples: Samples::default(),
            audit_at: first + AUDIT_EVERY,
        };
        town.populate();
        Ok(town)
    }

    fn populate(&mut self) {
        // The seeds are at no fault; of the others as many as planned, each fault in turn.
        let mut others: Vec<usize> = (self.plan.seeds..self.plan.nodes).collect();
        let mut faults = BTreeMap::new();
        for which in 0..self.plan.faulty_nodes().min(others.len()) {
            let n = others.swap_remove(self.rng.below(others.len()));
            faults.insert(n, Fault::ALL[which % Fault::ALL.len()]);
        }
        let first = self.network.now();
        for n in 0..self.plan.nodes {
            let fault = faults.get(&n).copied();
            if let Some(fault) = fault {
                *self.report.faults.entry(fault).or_default() += 1;
            }
            let addr = address::<N>(n);
            let now = Now {
                at: first,
                wall: FIRST_DATE,
            };
            let who = Who {
                n,
                fault,
                addr,
                life: 0,
            };
            let citizen = self.citizen(who, now, Snapshot::default());
            if n < self.plan.seeds
                && let Some(searcher) = &citizen.searcher
            {
                self.boot.push(searcher.machine().record().clone());
            }
            let host = self.network.add(addr, citizen);
            self.cards.push(Card {
                host,
                who,
                tally: Tally::default(),
                excused_until: first,
                below_since: None,
                bans: 0,
            });
            if self.rng.below(2) == 0 {
                self.network.join_group(host, "half");
            }
            self.network.with(host, |_, _| {});
            match fault {
                Some(Fault::Flapping) => self.later(first + self.plan.quiet, Later::Flap(n)),
                Some(Fault::Vanishing | Fault::Moving) => {
                    let at = first + self.rng.duration(self.plan.span);
                    self.later(at, Later::Fate(n));
                }
                Some(_) => {}
                None => self.report.keepers += 1,
            }
        }
        self.later(first + self.plan.quiet, Later::Incident);
        if self.plan.upgrade {
            self.later(first + self.plan.span / 2, Later::Upgrade);
        }
    }

    fn later(&mut self, at: Instant, what: Later) {
        self.planned += 1;
        self.later.insert((at, self.planned), what);
    }

    /// A citizen for the host of this number, in its present life.
    fn citizen(&self, who: Who, now: Now, remembered: Snapshot) -> Citizen<N> {
        let n = who.n;
        let software = match who.fault {
            Some(Fault::OtherChain) => Software::Other,
            Some(Fault::Obsolete) => Software::Obsolete,
            Some(_) | None => Software::Current,
        };
        let mut local = N::local(self.plan.seed, n, software, who.addr);
        if self.is_upgraded && software == Software::Current {
            N::upgrade(&mut local);
        }
        let searcher = self.searcher(who, &local, now);
        let seed = life_seed(self.plan.seed, n, who.life);
        let body = match who.fault {
            Some(fault) if !fault.keeps() => {
                let others = self.others(fault);
                Body::Rogue(Box::new(Rogue::new(fault, local, others, seed, now)))
            }
            Some(_) | None => {
                let mut peers = N::config();
                peers.limits.active_out = self.plan.target;
                peers.limits.active_in = self.plan.inbound;
                // Seeders crawl: they know everybody who listens, and where.
                let everybody = (0..self.plan.nodes).filter(|other| *other != n);
                let place = |other: usize| {
                    let card = self.cards.get(other);
                    card.map_or(address::<N>(other), |card| card.who.addr)
                };
                let setup = Setup {
                    local,
                    peers,
                    book: peerage_book::Config::default(),
                    seeds: if N::DISCOVERS {
                        Vec::new()
                    } else {
                        everybody.map(place).collect()
                    },
                    seed,
                    remembered,
                };
                Body::Keeper(Box::new(Keeper::new(setup, now)))
            }
        };
        Citizen::new(body, searcher, now)
    }

    fn searcher(&self, who: Who, local: &N::Local, now: Now) -> Option<Searcher> {
        let n = who.n;
        let key = N::secret(self.plan.seed, n)?;
        let key = peerage_discv5::curve::SecretKey::from_bytes(key).ok()?;
        let port = who.addr.port();
        // One that lies about itself names a port that it does not listen on.
        let tcp = port + u16::from(who.fault == Some(Fault::Liar));
        let record = Builder::new(1 + who.life);
        let record = record.ip(who.addr.ip()).udp4(port).tcp4(tcp);
        let record = N::describe(local, record);
        let seed = self
            .plan
            .seed
            .derive("discovery", (who.life << 32) | n as u64);
        let config = DiscoveryConfig {
            max_sessions: 96,
            max_expanded: 4,
            max_verified: 64,
            ..DiscoveryConfig::default()
        };
        let machine = Discovery::new(config, key, record, seed);
        let machine = machine.unwrap_or_else(|error| panic!("node {n} has no record: {error}"));
        let searches = who.fault.is_none_or(Fault::keeps);
        Some(Searcher::new(machine, &self.boot, searches, now))
    }

    /// Whom one lies about or floods.
    fn others(&self, fault: Fault) -> Vec<SocketAddr> {
        let everybody = (0..self.plan.nodes).map(address::<N>);
        match fault {
            Fault::Flooder => everybody.collect(),
            Fault::Liar => {
                // Nobody is there, and each is in a network of its own.
                let nobody = (0..LIES).map(|n| at::<N>(60, n));
                let elsewhere = everybody.step_by(3);
                nobody.chain(elsewhere).collect()
            }
            Fault::OtherChain
            | Fault::Obsolete
            | Fault::Silent
            | Fault::Tarpit
            | Fault::Leaver
            | Fault::Shut
            | Fault::Flapping
            | Fault::Vanishing
            | Fault::Moving => Vec::new(),
        }
    }

    /// The network, to look at it.
    pub const fn network(&self) -> &Network<Citizen<N>> {
        &self.network
    }

    /// The keepers at no fault, by the numbers of their hosts.
    pub fn keepers(&self) -> impl Iterator<Item = (usize, &Keeper<N>)> {
        let honest = self.cards.iter().enumerate();
        let honest = honest.filter(|(_, card)| card.who.fault.is_none());
        honest.filter_map(|(n, card)| Some((n, self.network.machine(card.host).keeper()?)))
    }

    /// Lives to the end of the plan. `tell` hears how it goes.
    pub fn run(mut self, tell: impl FnMut(Progress)) -> Report {
        self.live(self.plan.span, tell);
        self.finish()
    }

    /// Lets so much time pass.
    pub fn live_for(&mut self, span: Duration) {
        self.live(span, |_| {});
    }

    fn live(&mut self, span: Duration, mut tell: impl FnMut(Progress)) {
        let end = self.network.now() + span;
        let mut day = self.network.elapsed().as_secs() / 86_400;
        while self.network.now() < end {
            let step = if self.watches.is_empty() {
                STEP
            } else {
                FINE_STEP
            };
            let until = (self.network.now() + step).min(end);
            while let Some((&(at, number), _)) = self.later.first_key_value()
                && at <= until
            {
                self.live_until(at);
                if let Some(what) = self.later.remove(&(at, number)) {
                    self.happen(what, &mut tell);
                }
            }
            self.live_until(until);
            self.observe(&mut tell);
            let days = self.network.elapsed().as_secs() / 86_400;
            if days > day {
                day = days;
                tell(self.today(day));
            }
        }
        self.audit(&mut tell);
    }

    fn live_until(&mut self, until: Instant) {
        // Citizens tell nothing.
        while self.network.poll_event(until).is_some() {}
    }

    fn today(&self, day: u64) -> Progress {
        let peers: Vec<_> = self.keepers().map(|(_, keeper)| keeper.peers().0).collect();
        let sum: usize = peers.iter().sum();
        let dials = self.cards.iter().map(|card| card.tally.dials).sum::<u64>();
        let now: u64 = self.keepers().map(|(_, keeper)| keeper.tally().dials).sum();
        Progress::Day {
            day,
            peers: (
                peers.iter().copied().min().unwrap_or(0),
                sum as f64 / peers.len().max(1) as f64,
            ),
            dials: dials + now,
            violations: self.report.violated,
        }
    }
}

/// The address of the citizen of this number: in a /16 of its own.
fn address<N: Net>(n: usize) -> SocketAddr {
    at::<N>(20, n)
}

fn at<N: Net>(from: u8, n: usize) -> SocketAddr {
    // At most 2,000, so that the first byte grows by ten at most.
    let a = from + u8::try_from(n / 200).unwrap_or(u8::MAX - from);
    let b = u8::try_from(n % 200).unwrap_or(0) + 1;
    SocketAddr::from((Ipv4Addr::new(a, b, 0, 1), N::PORT))
}

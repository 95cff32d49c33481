//! Many discovery nodes in one network.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use peerage_discv5::NodeId;
use peerage_discv5::curve::SecretKey;
use peerage_discv5::discovery::{Discovery, Event, Metrics, SearchId};
use peerage_discv5::record::{Builder, Record};

use super::nearest::Nearest;
use super::plan::{Plan, PlanError};
use super::report::Round;
use crate::epoch;
use crate::nat::{Nat, NatKind};
use crate::network::{HostId, Network};
use crate::seed::Seed;

/// Every node's port.
const PORT: u16 = 9000;

/// After which time without its end a lookup counts as hanging: none may take so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// Nodes that can be asked for, and where they are.
struct Named {
    nearest: Nearest,
    host_of: BTreeMap<NodeId, HostId>,
}

/// Many nodes that find each other, beginning with the boot nodes.
#[derive(Debug)]
pub struct Swarm {
    plan: Plan,
    network: Network<Discovery>,
    boot: Vec<Record>,
    /// When each host that is not there yet arrives, the next last.
    arrivals: Vec<(Instant, HostId)>,
    rounds: u64,
}

impl Swarm {
    /// A swarm whose boot nodes have started and whose other nodes are yet to arrive.
    ///
    /// # Errors
    /// When the plan cannot be carried out.
    pub fn new(plan: &Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let mut swarm = Self {
            plan: plan.clone(),
            network: Network::new(epoch(), plan.seed, plan.weather),
            boot: Vec::new(),
            arrivals: Vec::new(),
            rounds: 0,
        };
        let mut rng = plan.seed.rng("swarm", 0);
        // Who is behind a translator: as many as planned, drawn from all but the boot nodes.
        let mut others: Vec<usize> = (plan.boot_nodes..plan.nodes).collect();
        let mut kinds = BTreeMap::new();
        let weights: Vec<_> = plan.nat_kinds.iter().map(|(_, w)| *w as usize).collect();
        for _ in 0..plan.behind_nat() {
            let n = others.swap_remove(rng.below(others.len()));
            let mut point = rng.below(weights.iter().sum());
            let kind = weights.iter().position(|weight| {
                let is_here = point < *weight;
                point = point.saturating_sub(*weight);
                is_here
            });
            kinds.insert(n, plan.nat_kinds[kind.unwrap_or(0)].0);
        }
        for n in 0..plan.nodes {
            let id = swarm.add(n, kinds.get(&n).copied());
            if n < plan.boot_nodes {
                swarm.boot.push(swarm.network.machine(id).record().clone());
                swarm.start(id);
            } else {
                let most = plan.arrival * u32::try_from(plan.nodes).unwrap_or(u32::MAX);
                let at = swarm.network.now() + rng.duration(most.max(Duration::from_secs(1)));
                swarm.arrivals.push((at, id));
            }
        }
        swarm.arrivals.sort_unstable_by(|a, b| b.cmp(a));
        Ok(swarm)
    }

    fn add(&mut self, n: usize, kind: Option<NatKind>) -> HostId {
        let machine = self.machine(n, kind, 0);
        let Some(kind) = kind else {
            return self.network.add(addr(n), machine);
        };
        let nat = Nat::new(kind, addr(n).ip(), self.plan.nat_lifetime);
        let nat = self.network.add_nat(nat);
        let inside = SocketAddr::from(([192, 168, 1, 2], PORT));
        self.network.add_behind(nat, inside, machine)
    }

    /// A machine for the host of this number; `life` counts its restarts.
    fn machine(&self, n: usize, nat: Option<NatKind>, life: u64) -> Discovery {
        let record = Builder::new(1 + life);
        let record = if nat.is_some() {
            record
        } else {
            record.ip(addr(n).ip()).udp4(PORT)
        };
        let seed = self.plan.seed.derive("machine", (life << 32) | n as u64);
        let key = secret_key(self.plan.seed, n);
        let config = self.plan.config.clone();
        let machine = Discovery::new(config, key, record, seed);
        // A record of three entries has room for its signature.
        machine.unwrap_or_else(|error| panic!("node {n} has no record: {error}"))
    }

    fn start(&mut self, id: HostId) {
        let boot = self.boot.clone();
        self.network.with(id, |machine, now| {
            let own = machine.node_id();
            machine.seed_table(boot.into_iter().filter(|record| record.node_id() != own));
            machine.start(now.at);
        });
    }

    /// Stops a host, and starts it with a machine that has the same key and nothing else.
    pub fn restart(&mut self, id: HostId) {
        self.rounds += 1;
        let kind = self.network.nat_of(id).map(Nat::kind);
        let machine = self.machine(id.index(), kind, self.rounds);
        self.network.replace(id, machine);
        self.start(id);
    }

    /// The network, to look at it.
    pub const fn network(&self) -> &Network<Discovery> {
        &self.network
    }

    /// The network, to change it.
    pub const fn network_mut(&mut self) -> &mut Network<Discovery> {
        &mut self.network
    }

    /// Lets so much time pass; nodes whose time it is arrive.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.network.now() + span;
        self.run_until(until, |_, _| {});
    }

    fn run_until(&mut self, until: Instant, mut on_event: impl FnMut(HostId, Event)) {
        loop {
            let next = self.arrivals.last().map(|(at, _)| *at);
            let stop = next.map_or(until, |next| next.min(until));
            while let Some((host, event)) = self.network.poll_event(stop) {
                on_event(host, event);
            }
            if next.is_none_or(|next| next > until) {
                return;
            }
            if let Some((_, id)) = self.arrivals.pop() {
                self.start(id);
            }
        }
    }

    /// Lets all nodes arrive and settle. `tell` hears of it every ten seconds of virtual time.
    pub fn join(&mut self, mut tell: impl FnMut(&Self)) {
        let last = self.arrivals.first().map(|(at, _)| *at);
        let until = last.unwrap_or(self.network.now()) + self.plan.settle;
        while self.network.now() < until {
            let next = (self.network.now() + Duration::from_secs(10)).min(until);
            self.run_until(next, |_, _| {});
            tell(self);
        }
    }

    /// One lookup of every running node for a random target, and how much of the truth was found.
    pub fn round(&mut self) -> Round {
        self.rounds += 1;
        let mut rng = self.plan.seed.rng("round", self.rounds);
        let begun = self.network.now();
        let reachable = self.reachable();
        let everybody = self.named();
        let hosts = self.network.hosts();
        let mut starts: Vec<_> = hosts
            .filter(|id| self.is_started(*id))
            .map(|id| {
                (
                    begun + rng.duration(self.plan.round),
                    id,
                    NodeId(rng.bytes()),
                )
            })
            .collect();
        starts.sort_unstable_by_key(|(at, id, _)| (*at, *id));
        let mut round = Round::new(reachable.len());
        let mut open: BTreeMap<(HostId, SearchId), (Instant, NodeId)> = BTreeMap::new();
        let results = self.plan.config.lookup_results;
        let mut starts = starts.into_iter().peekable();
        let mut until = begun;
        while until < begun + self.plan.round + PATIENCE {
            let next = starts.peek().map(|(at, ..)| *at);
            until = next.unwrap_or(until + Duration::from_millis(100));
            let mut ended = Vec::new();
            self.run_until_told(until, |host, event, now| {
                if let Event::SearchDone { search, nodes } = event {
                    ended.push((host, search, nodes, now));
                }
            });
            for (host, search, nodes, at) in ended {
                let Some((start, target)) = open.remove(&(host, search)) else {
                    continue;
                };
                let own = self.network.machine(host).node_id();
                let found: Vec<_> = nodes.iter().map(Record::node_id).collect();
                let truth = self.nearest_reached(&everybody, host, &target, results);
                round.note(at.saturating_duration_since(start), &truth, &found);
                round.note_public(&reachable.to(&target, results, &own), &found);
            }
            if let Some((at, host, target)) = starts.next_if(|(at, ..)| *at <= until) {
                let search = self
                    .network
                    .with(host, |machine, now| machine.start_lookup(now.at, target));
                match search {
                    Ok(search) => {
                        open.insert((host, search), (at, target));
                    }
                    Err(_) => round.unmade += 1,
                }
            } else if open.is_empty() {
                break;
            }
        }
        round.unmade += open.len();
        round
    }

    fn run_until_told(&mut self, until: Instant, mut on_event: impl FnMut(HostId, Event, Instant)) {
        while let Some((host, event)) = self.network.poll_event(until) {
            on_event(host, event, self.network.now());
        }
    }

    fn is_started(&self, id: HostId) -> bool {
        self.network.condition(id) == crate::network::Condition::Running
            && self.arrivals.iter().all(|(_, other)| *other != id)
    }

    /// The nodes that a stranger reaches now at the address that their record names.
    pub fn reachable(&self) -> Nearest {
        let hosts = self.network.hosts();
        hosts
            .filter(|id| self.is_started(*id) && self.is_reachable(*id))
            .map(|id| self.network.machine(id).node_id())
            .collect()
    }

    /// The running nodes whose record names an address, and which hosts they are on.
    fn named(&self) -> Named {
        let hosts = self.network.hosts();
        let named = hosts.filter(|id| {
            let machine = self.network.machine(*id);
            self.is_started(*id) && machine.external_endpoints().next().is_some()
        });
        let host_of: BTreeMap<_, _> = named
            .map(|id| (self.network.machine(id).node_id(), id))
            .collect();
        Named {
            nearest: host_of.keys().copied().collect(),
            host_of,
        }
    }

    /// The nodes nearest to `target` that a host reaches now at the address that their record names.
    fn nearest_reached(
        &self,
        named: &Named,
        from: HostId,
        target: &NodeId,
        count: usize,
    ) -> Vec<NodeId> {
        let own = self.network.machine(from).node_id();
        let is_reached = |id: &NodeId| {
            let Some(&host) = named.host_of.get(id) else {
                return false;
            };
            let mut at = self.network.machine(host).external_endpoints();
            at.any(|at| self.network.reached_by(from, at.socket_addr()) == Some(host))
        };
        // More and more of the nearest, until enough of them are reached or there are no others.
        let mut of = 2 * count;
        loop {
            let nearest = named.nearest.to(target, of, &own);
            let is_all = nearest.len() < of;
            let mut reached: Vec<_> = nearest.into_iter().filter(is_reached).collect();
            if reached.len() >= count || is_all {
                reached.truncate(count);
                return reached;
            }
            of *= 2;
        }
    }

    /// Whether a stranger reaches a node now at an address that its record names.
    pub fn is_reachable(&self, id: HostId) -> bool {
        let mut named = self.network.machine(id).external_endpoints();
        named.any(|at| self.network.reached_by_strangers(at.socket_addr()) == Some(id))
    }

    /// The share of each node's true nearest reachable neighbours that stand in its table, on
    /// average over the nodes that are there; and the average size of a table.
    pub fn convergence(&self) -> (f64, f64) {
        let reachable = self.reachable();
        let count = self.plan.config.lookup_results;
        let (mut known, mut of, mut places, mut nodes) = (0, 0, 0, 0);
        for id in self.network.hosts().filter(|id| self.is_started(*id)) {
            let machine = self.network.machine(id);
            let own = machine.node_id();
            let truth = reachable.to(&own, count, &own);
            let table = machine.table();
            known += truth.iter().filter(|id| table.node(id).is_some()).count();
            of += truth.len();
            places += table.len();
            nodes += 1;
        }
        (share(known, of), share(places, nodes))
    }

    /// How many nodes have arrived.
    pub fn arrived(&self) -> usize {
        self.network.hosts().len() - self.arrivals.len()
    }

    /// The sum of a counter over all nodes.
    pub fn total(&self, counter: impl Fn(&Metrics) -> u64) -> u64 {
        let hosts = self.network.hosts();
        hosts
            .map(|id| counter(&self.network.machine(id).metrics()))
            .sum()
    }
}

pub(super) fn share(part: usize, of: usize) -> f64 {
    if of == 0 {
        0.0
    } else {
        part as f64 / of as f64
    }
}

/// The key of the node of this number.
pub fn secret_key(seed: Seed, n: usize) -> SecretKey {
    let tries = (0..8).map(|attempt| seed.derive("key", (attempt << 32) | n as u64));
    let mut keys = tries.filter_map(|bytes| SecretKey::from_bytes(bytes).ok());
    // A digest is no key once in 2^128, eight times in a row never.
    keys.next().unwrap_or_else(|| panic!("no key for node {n}"))
}

/// A public address in a /24 of its own.
fn addr(n: usize) -> SocketAddr {
    // At most 100,000, so that all lie within 20.0.0.0 to 21.134.160.0.
    let net = u32::try_from(n).unwrap_or(u32::MAX) << 8;
    SocketAddr::from((Ipv4Addr::from(0x1400_0001 + net), PORT))
}

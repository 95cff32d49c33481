//! Hosts, what is under way between them, and what is planned to happen to them.

mod change;
mod streams;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_core::UnixTime;
use peerage_discv5::rng::Rng;

pub use change::{Change, Condition};

use crate::machine::{Machine, Now, Output};
use crate::nat::Nat;
use crate::queue::Queue;
use crate::seed::Seed;
use crate::stream::{Heard, StreamId};
use crate::trace::Trace;
use crate::traffic::Traffic;
use crate::weather::{Place, Weather};
use change::Groups;
use streams::{Flight, Wires};

/// The date at which virtual time begins: 2026-01-01.
pub const FIRST_DATE: UnixTime = UnixTime(1_767_225_600);

/// How often in a row a machine may want to be called again at once before it counts as spinning.
const MAX_SPINS: u32 = 1000;

/// A host of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u32);

impl HostId {
    /// Its number: hosts count from zero in the order they were added.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A translator of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(u32);

#[derive(Debug)]
struct Host<M> {
    machine: M,
    addr: SocketAddr,
    nat: Option<NatId>,
    place: Place,
    condition: Condition,
    groups: Groups,
    /// How many seconds its date is ahead.
    ahead: i64,
    /// For how long its other clock has stood still.
    behind: Duration,
    /// When it is to be called: the only timeout in the queue that counts.
    timeout_at: Option<Instant>,
    spins: u32,
}

/// A translator, where it is, and who is behind it.
#[derive(Debug)]
struct Gateway {
    nat: Nat,
    place: Place,
    behind: BTreeMap<SocketAddr, HostId>,
}

/// A datagram under way.
#[derive(Debug)]
struct Parcel {
    sender: HostId,
    from: SocketAddr,
    to: SocketAddr,
    datagram: Vec<u8>,
}

#[derive(Debug)]
enum Due {
    Parcel(Parcel),
    Timeout(HostId),
    Change(Change),
    Stream(Flight),
    /// A host awakes that has slept for so long.
    Awake(HostId, Duration),
}

/// Why a datagram went no further. The number stands in the trace.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Chance = 1,
    Cut = 2,
    Blocked = 3,
    Unroutable = 4,
    Unplugged = 5,
}

/// Many hosts in virtual time.
///
/// Everything follows from the seed and the order of the calls. Time only passes in
/// [`Self::poll_event`] and [`Self::run_for`].
#[derive(Debug)]
pub struct Network<M: Machine> {
    seed: Seed,
    rng: Rng,
    first: Instant,
    now: Instant,
    weather: Weather,
    hosts: Vec<Host<M>>,
    gateways: Vec<Gateway>,
    by_addr: BTreeMap<SocketAddr, HostId>,
    by_nat_ip: BTreeMap<std::net::IpAddr, NatId>,
    queue: Queue<Due>,
    events: VecDeque<(HostId, M::Event)>,
    wires: Wires,
    /// What machines are yet to hear of their streams.
    told: VecDeque<(HostId, StreamId, Heard)>,
    telling: bool,
    group_names: Vec<String>,
    cut: Groups,
    traffic: Traffic,
    trace: Trace,
}

impl<M: Machine> Network<M> {
    /// An empty network whose time begins at `first`.
    pub fn new(first: Instant, seed: Seed, weather: Weather) -> Self {
        Self {
            seed,
            rng: seed.rng("network", 0),
            first,
            now: first,
            weather,
            hosts: Vec::new(),
            gateways: Vec::new(),
            by_addr: BTreeMap::new(),
            by_nat_ip: BTreeMap::new(),
            queue: Queue::new(),
            events: VecDeque::new(),
            wires: Wires::default(),
            told: VecDeque::new(),
            telling: false,
            group_names: Vec::new(),
            cut: Groups::NONE,
            traffic: Traffic::default(),
            trace: Trace::default(),
        }
    }

    /// Adds a host with an address of its own.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn add(&mut self, addr: SocketAddr, machine: M) -> HostId {
        let id = self.push(addr, None, machine);
        let taken = self.by_addr.insert(addr, id);
        assert!(taken.is_none(), "{addr} is taken");
        id
    }

    /// Adds a translator. Its address must be nobody else's.
    pub fn add_nat(&mut self, nat: Nat) -> NatId {
        // Fewer than 2^32, or memory would not hold them.
        let id = NatId(u32::try_from(self.gateways.len()).unwrap_or(u32::MAX));
        let number = u64::from(id.0);
        let taken = self.by_nat_ip.insert(nat.ip(), id);
        assert!(taken.is_none(), "{} is taken", nat.ip());
        self.gateways.push(Gateway {
            nat,
            place: Place::random(&mut self.seed.rng("place of nat", number)),
            behind: BTreeMap::new(),
        });
        id
    }

    /// Adds a host behind a translator, at an address that only its neighbours there can use.
    ///
    /// # Panics
    /// When the address is taken there.
    pub fn add_behind(&mut self, nat: NatId, inside: SocketAddr, machine: M) -> HostId {
        let id = self.push(inside, Some(nat), machine);
        let place = self.gateway(nat).place;
        self.host_mut(id).place = place;
        let taken = self.gateways[nat.0 as usize].behind.insert(inside, id);
        assert!(taken.is_none(), "{inside} is taken");
        id
    }

    fn push(&mut self, addr: SocketAddr, nat: Option<NatId>, machine: M) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX));
        let number = u64::from(id.0);
        self.hosts.push(Host {
            machine,
            addr,
            nat,
            place: Place::random(&mut self.seed.rng("place", number)),
            condition: Condition::Running,
            groups: Groups::NONE,
            ahead: 0,
            behind: Duration::ZERO,
            timeout_at: None,
            spins: 0,
        });
        id
    }

    // Ids are only made here, and no host is ever removed.
    fn host(&self, id: HostId) -> &Host<M> {
        &self.hosts[id.index()]
    }

    fn host_mut(&mut self, id: HostId) -> &mut Host<M> {
        &mut self.hosts[id.index()]
    }

    fn gateway(&self, id: NatId) -> &Gateway {
        &self.gateways[id.0 as usize]
    }

    /// The seed.
    pub const fn seed(&self) -> Seed {
        self.seed
    }

    /// The time, on the clock without jumps.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How much time has passed since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.first)
    }

    /// Both clocks of a host.
    pub fn now_of(&self, id: HostId) -> Now {
        let seconds = i64::try_from(self.elapsed().as_secs()).unwrap_or(i64::MAX);
        let date = FIRST_DATE.0.saturating_add(seconds);
        Now {
            at: self.now - self.host(id).behind,
            wall: UnixTime(date.saturating_add(self.host(id).ahead)),
        }
    }

    /// Every host.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = HostId> + use<M> {
        let count = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        (0..count).map(HostId)
    }

    /// The machine on a host.
    pub fn machine(&self, id: HostId) -> &M {
        &self.host(id).machine
    }

    /// A host's own address; behind a translator, the one inside.
    pub fn addr(&self, id: HostId) -> SocketAddr {
        self.host(id).addr
    }

    /// The translator that a host is behind.
    pub fn nat_of(&self, id: HostId) -> Option<&Nat> {
        self.host(id).nat.map(|nat| &self.gateway(nat).nat)
    }

    /// How a host is.
    pub fn condition(&self, id: HostId) -> Condition {
        self.host(id).condition
    }

    /// What datagrams between two hosts take without jitter.
    pub fn latency(&self, a: HostId, b: HostId) -> Duration {
        let place = |id| self.host(id).place;
        self.weather.latency_between(place(a), place(b))
    }

    /// What became of the datagrams.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The digest of everything so far.
    pub const fn trace(&self) -> Trace {
        self.trace
    }

    /// Who would get a datagram to `addr` from somebody nobody has ever sent to. Partitions do not
    /// count, since a stranger is on no side.
    pub fn reached_by_strangers(&self, addr: SocketAddr) -> Option<HostId> {
        let id = match self.by_addr.get(&addr) {
            Some(id) => *id,
            None => {
                let gateway = self.gateway(*self.by_nat_ip.get(&addr.ip())?);
                let inside = gateway.nat.stranger(self.now, addr.port())?;
                *gateway.behind.get(&inside)?
            }
        };
        (self.host(id).condition == Condition::Running).then_some(id)
    }

    /// Who would get a datagram that a host sends to `addr` now, were it not lost by chance.
    pub fn reached_by(&self, sender: HostId, addr: SocketAddr) -> Option<HostId> {
        let host = self.host(sender);
        let source = match host.nat {
            None => Some(host.addr),
            Some(nat) => self.gateway(nat).nat.mapped(self.now, host.addr, addr),
        };
        let neighbour = self.neighbour(sender, addr);
        let id = match (neighbour, source) {
            (Some(id), _) => id,
            // Through a new mapping it would come from where nobody was ever sent to.
            (None, None) => self.reached_by_strangers(addr)?,
            (None, Some(from)) => self.receiver_of(sender, from, addr).ok()?,
        };
        let receiver = self.host(id);
        let passes = receiver.condition == Condition::Running
            && host.condition == Condition::Running
            && !self.is_cut(host.groups, receiver.groups);
        passes.then_some(id)
    }

    /// Uses a machine, and takes up what it wants done. It has no effect on the network if the host
    /// is not running.
    pub fn with<T>(&mut self, id: HostId, f: impl FnOnce(&mut M, Now) -> T) -> T {
        let now = self.now_of(id);
        let result = f(&mut self.host_mut(id).machine, now);
        self.settle(id);
        result
    }

    /// A new machine on a host, which runs from now on. Datagrams under way to the old one come to
    /// the new one. Of the old one's streams nobody is told, unless it hung up first.
    pub fn replace(&mut self, id: HostId, machine: M) -> M {
        self.forget_streams(id);
        let host = self.host_mut(id);
        let old = std::mem::replace(&mut host.machine, machine);
        host.timeout_at = None;
        host.condition = Condition::Running;
        self.settle(id);
        old
    }

    /// Lets time pass until a machine tells something, at most until `until`.
    pub fn poll_event(&mut self, until: Instant) -> Option<(HostId, M::Event)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.step(until) {
                self.now = self.now.max(until);
                return None;
            }
        }
    }

    /// Lets so much time pass. What machines tell meanwhile is dropped.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.poll_event(until).is_some() {}
    }

    /// Does the next thing there is to do, if it is due by `until`.
    fn step(&mut self, until: Instant) -> bool {
        if self.queue.next_at().is_none_or(|at| at > until) {
            return false;
        }
        let Some((at, due)) = self.queue.pop() else {
            return false;
        };
        self.now = at;
        match due {
            Due::Parcel(parcel) => self.deliver(parcel),
            Due::Timeout(id) => self.call(id),
            Due::Change(change) => self.apply(&change),
            Due::Stream(flight) => self.fly(flight),
            Due::Awake(id, span) => {
                self.host_mut(id).behind += span;
                self.apply(&Change::Condition(id, Condition::Running));
            }
        }
        true
    }

    /// Calls a machine whose time has come, unless it has been put off.
    fn call(&mut self, id: HostId) {
        let now = self.now;
        let host = self.host_mut(id);
        if host.timeout_at != Some(now) || host.condition == Condition::Stopped {
            return;
        }
        host.timeout_at = None;
        let Some(wakeup) = host.machine.poll_timeout() else {
            return;
        };
        let at = wakeup.at + host.behind;
        if at > now {
            // It was put off after this was planned.
            host.timeout_at = Some(at);
            self.queue.push(at, Due::Timeout(id));
            return;
        }
        let time = self.nanos();
        self.trace.note(b't', &[time, u64::from(id.0)], &[]);
        let clocks = self.now_of(id);
        let host = self.host_mut(id);
        host.machine.handle_timeout(clocks);
        self.settle(id);
        let host = self.host_mut(id);
        if host.timeout_at == Some(now) {
            host.spins += 1;
            let why = host.machine.poll_timeout().map(|wakeup| wakeup.why);
            assert!(host.spins < MAX_SPINS, "host {} spins: {why:?}", id.0);
        } else {
            host.spins = 0;
        }
    }

    /// Takes up what a machine wants done, and what others hear at once because of it.
    fn settle(&mut self, id: HostId) {
        self.settle_one(id);
        self.drain_told();
    }

    /// Takes up what a machine wants done, and when it wants to be called.
    fn settle_one(&mut self, id: HostId) {
        while let Some(output) = self.host_mut(id).machine.poll() {
            match output {
                Output::Transmit { to, datagram } => self.send(id, to, datagram),
                Output::Event(event) => self.events.push_back((id, event)),
                Output::Stream(stream, order) => self.order(id, stream, order),
            }
        }
        let now = self.now;
        let host = self.host_mut(id);
        if host.condition == Condition::Stopped {
            return;
        }
        let Some(wakeup) = host.machine.poll_timeout() else {
            return;
        };
        let at = (wakeup.at + host.behind).max(now);
        // A later time is taken up when the earlier one comes.
        if host.timeout_at.is_none_or(|planned| at < planned) {
            host.timeout_at = Some(at);
            self.queue.push(at, Due::Timeout(id));
        }
    }

    fn send(&mut self, sender: HostId, to: SocketAddr, datagram: Vec<u8>) {
        self.traffic.sent += 1;
        self.traffic.bytes_sent += datagram.len() as u64;
        if self.host(sender).condition != Condition::Running {
            self.drop_parcel(sender, Lost::Unplugged);
            return;
        }
        let from = match self.source_of(sender, to) {
            Ok(from) => from,
            Err(why) => {
                self.drop_parcel(sender, why);
                return;
            }
        };
        let Some((place, groups)) = self.place_of(sender, to) else {
            self.drop_parcel(sender, Lost::Unroutable);
            return;
        };
        if groups.is_some_and(|groups| self.is_cut(self.host(sender).groups, groups)) {
            self.drop_parcel(sender, Lost::Cut);
            return;
        }
        let parcel = Parcel {
            sender,
            from,
            to,
            datagram,
        };
        if self.weather.duplication.happens(&mut self.rng) {
            self.traffic.duplicated += 1;
            let copy = Parcel {
                datagram: parcel.datagram.clone(),
                ..parcel
            };
            self.carry(copy, place);
        }
        self.carry(parcel, place);
    }

    /// One copy of a datagram sets out.
    fn carry(&mut self, parcel: Parcel, to: Place) {
        if self.weather.loss.happens(&mut self.rng) {
            self.drop_parcel(parcel.sender, Lost::Chance);
            return;
        }
        let from = self.host(parcel.sender).place;
        let mut delay = self.weather.delay(&mut self.rng, from, to);
        if self.weather.reordering.happens(&mut self.rng) {
            self.traffic.held += 1;
            delay += self.weather.held;
        }
        self.traffic.under_way += 1;
        self.queue.push(self.now + delay, Due::Parcel(parcel));
    }

    /// Where a datagram seems to come from.
    fn source_of(&mut self, sender: HostId, to: SocketAddr) -> Result<SocketAddr, Lost> {
        let host = self.host(sender);
        let (inside, Some(nat)) = (host.addr, host.nat) else {
            return Ok(host.addr);
        };
        let gateway = &mut self.gateways[nat.0 as usize];
        if gateway.behind.contains_key(&to) {
            return Ok(inside);
        }
        let from = gateway.nat.outbound(self.now, inside, to);
        from.ok_or(Lost::Blocked)
    }

    /// Where an address is as the sender sees it, and the groups of its host if that is certain.
    fn place_of(&self, sender: HostId, to: SocketAddr) -> Option<(Place, Option<Groups>)> {
        let neighbour = self.neighbour(sender, to);
        if let Some(id) = neighbour.or_else(|| self.by_addr.get(&to).copied()) {
            let host = self.host(id);
            return Some((host.place, Some(host.groups)));
        }
        let nat = self.by_nat_ip.get(&to.ip())?;
        Some((self.gateway(*nat).place, None))
    }

    /// The host at an inside address of the sender's own translator.
    fn neighbour(&self, sender: HostId, to: SocketAddr) -> Option<HostId> {
        let gateway = self.gateway(self.host(sender).nat?);
        gateway.behind.get(&to).copied()
    }

    fn receiver_of(
        &self,
        sender: HostId,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<HostId, Lost> {
        let neighbour = self.neighbour(sender, to);
        if let Some(id) = neighbour.or_else(|| self.by_addr.get(&to).copied()) {
            return Ok(id);
        }
        let nat = self.by_nat_ip.get(&to.ip());
        let gateway = self.gateway(*nat.ok_or(Lost::Unroutable)?);
        let inside = gateway.nat.inbound(self.now, from, to.port());
        let host = inside.and_then(|inside| gateway.behind.get(&inside));
        host.copied().ok_or(Lost::Blocked)
    }

    fn deliver(&mut self, mut parcel: Parcel) {
        self.traffic.under_way -= 1;
        let id = match self.receiver_of(parcel.sender, parcel.from, parcel.to) {
            Ok(id) => id,
            Err(why) => {
                self.drop_parcel(parcel.sender, why);
                return;
            }
        };
        let (receiver, sender) = (self.host(id), self.host(parcel.sender));
        if self.is_cut(sender.groups, receiver.groups) {
            self.drop_parcel(parcel.sender, Lost::Cut);
            return;
        }
        if receiver.condition != Condition::Running {
            self.drop_parcel(parcel.sender, Lost::Unplugged);
            return;
        }
        self.traffic.delivered += 1;
        self.traffic.bytes_delivered += parcel.datagram.len() as u64;
        let numbers = [
            self.nanos(),
            u64::from(id.0),
            u64::from(parcel.sender.0),
            u64::from(parcel.from.port()),
        ];
        self.trace.note(b'd', &numbers, &parcel.datagram);
        let now = self.now_of(id);
        let machine = &mut self.host_mut(id).machine;
        machine.handle_datagram(now, parcel.from, &mut parcel.datagram);
        self.settle(id);
    }

    fn drop_parcel(&mut self, sender: HostId, why: Lost) {
        let count = match why {
            Lost::Chance => &mut self.traffic.lost,
            Lost::Cut => &mut self.traffic.cut,
            Lost::Blocked => &mut self.traffic.blocked,
            Lost::Unroutable => &mut self.traffic.unroutable,
            Lost::Unplugged => &mut self.traffic.unplugged,
        };
        *count += 1;
        let time = self.nanos();
        let numbers = [time, u64::from(sender.0), why as u64];
        self.trace.note(b'x', &numbers, &[]);
    }

    /// Virtual nanoseconds; 584 years fit.
    fn nanos(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

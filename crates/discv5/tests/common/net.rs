//! Many machines, virtual time, and a network that delays, loses, repeats and reorders by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerage_core::Endpoint;
use peerage_discv5::curve::{SecretKey, keccak256};
use peerage_discv5::discovery::{
    Action, Answer, Config, Discovery, Event, Received, RequestError, RequestHandle, SearchId,
};
use peerage_discv5::record::{Builder, Record};
use peerage_discv5::rng::Rng;

use super::start;

pub(crate) struct Node {
    pub(crate) machine: Discovery,
    pub(crate) addr: SocketAddr,
    pub(crate) events: Vec<Event>,
    /// Whether its datagrams travel.
    pub(crate) is_up: bool,
    timeout: Option<Instant>,
}

/// What the network does to datagrams.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_percent: usize,
    pub(crate) repeat_percent: usize,
    pub(crate) delay: (Duration, Duration),
}

pub(crate) const CALM: Weather = Weather {
    loss_percent: 0,
    repeat_percent: 0,
    delay: (Duration::from_millis(20), Duration::from_millis(20)),
};

/// Delays of 5 to 100 ms reorder whatever is sent within that time.
pub(crate) const ROUGH: Weather = Weather {
    loss_percent: 10,
    repeat_percent: 5,
    delay: (Duration::from_millis(5), Duration::from_millis(100)),
};

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    pub(crate) datagrams: u64,
    by_addr: BTreeMap<SocketAddr, usize>,
    timeouts: BTreeSet<(Instant, usize)>,
    under_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    rng: Rng,
    seed: u8,
    /// A hash of everything that has been delivered, and when.
    pub(crate) trace: [u8; 32],
    epoch: Instant,
}

pub(crate) fn secret(n: usize) -> SecretKey {
    let digest = keccak256(&[b"test key", &n.to_be_bytes()]);
    SecretKey::from_bytes(digest).unwrap()
}

/// Public addresses, each in a /24 of its own.
pub(crate) fn addr(n: usize) -> SocketAddr {
    let [.., b, c] = u32::try_from(n).unwrap().to_be_bytes();
    SocketAddr::new(IpAddr::from([20, b, c, 1]), 9000)
}

impl Net {
    pub(crate) fn new(seed: u8) -> Self {
        let now = start();
        Self {
            now,
            nodes: Vec::new(),
            weather: CALM,
            datagrams: 0,
            by_addr: BTreeMap::new(),
            timeouts: BTreeSet::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            rng: Rng::new([seed; 32]),
            seed,
            trace: [0; 32],
            epoch: now,
        }
    }

    /// A network of so many nodes with this configuration.
    pub(crate) fn of(seed: u8, count: usize, config: &Config) -> Self {
        let mut net = Self::new(seed);
        for _ in 0..count {
            net.add(config.clone());
        }
        net
    }

    /// A node whose record names its address.
    pub(crate) fn add(&mut self, config: Config) -> usize {
        let n = self.nodes.len();
        let at = addr(n);
        self.add_at(config, at, Builder::new(1).ip(at.ip()).udp4(at.port()))
    }

    pub(crate) fn add_at(&mut self, config: Config, addr: SocketAddr, record: Builder) -> usize {
        let n = self.nodes.len();
        let mut seed = [self.seed; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        let machine = Discovery::new(config, secret(n), record, seed).unwrap();
        self.nodes.push(Node {
            machine,
            addr,
            events: Vec::new(),
            is_up: true,
            timeout: None,
        });
        self.by_addr.insert(addr, n);
        n
    }

    /// The node starts anew: same key, same record, nothing else.
    pub(crate) fn restart(&mut self, n: usize) {
        let node = &self.nodes[n];
        let config = node.machine.config().clone();
        let record = node.machine.record().to_builder();
        let seed = [n.to_be_bytes()[7] ^ 0xa5; 32];
        self.nodes[n].machine = Discovery::new(config, secret(n), record, seed).unwrap();
        self.settle(n);
    }

    pub(crate) fn record(&self, n: usize) -> Record {
        self.nodes[n].machine.record().clone()
    }

    /// Uses a machine, and takes up what it wants done.
    pub(crate) fn with<T>(&mut self, n: usize, f: impl FnOnce(&mut Discovery, Instant) -> T) -> T {
        let result = f(&mut self.nodes[n].machine, self.now);
        self.settle(n);
        result
    }

    fn settle(&mut self, n: usize) {
        while let Some(action) = self.nodes[n].machine.poll_action() {
            match action {
                Action::Transmit { to, datagram } => self.send(n, to, datagram),
                Action::Event(event) => self.nodes[n].events.push(event),
            }
        }
        let node = &mut self.nodes[n];
        let next = node.machine.poll_timeout().map(|wakeup| wakeup.at);
        if next != node.timeout {
            if let Some(old) = node.timeout {
                self.timeouts.remove(&(old, n));
            }
            if let Some(next) = next {
                self.timeouts.insert((next, n));
            }
            node.timeout = next;
        }
    }

    fn send(&mut self, n: usize, to: Endpoint, datagram: Vec<u8>) {
        assert!(datagram.len() <= 1280);
        self.datagrams += 1;
        if !self.nodes[n].is_up {
            return;
        }
        let from = self.nodes[n].addr;
        let copies = 1 + usize::from(self.rng.below(100) < self.weather.repeat_percent);
        for _ in 0..copies {
            if self.rng.below(100) < self.weather.loss_percent {
                continue;
            }
            let (least, most) = self.weather.delay;
            let at = self.now + least + self.rng.duration(most - least);
            self.sent += 1;
            let parcel = (from, to.socket_addr(), datagram.clone());
            self.under_way.insert((at, self.sent), parcel);
        }
    }

    /// Lets time pass until nothing is left to do before `until`.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// Lets time pass until `done`, at most so long.
    pub(crate) fn run_until(&mut self, most: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + most;
        while !done(self) {
            if !self.step(until) {
                return done(self);
            }
        }
        true
    }

    fn step(&mut self, until: Instant) -> bool {
        let parcel = self.under_way.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.timeouts.first().map(|(at, _)| *at);
        let Some(next) = parcel.into_iter().chain(timeout).min() else {
            return false;
        };
        if next > until {
            return false;
        }
        self.now = self.now.max(next);
        if parcel == Some(next) {
            let Some((_, (from, to, mut datagram))) = self.under_way.pop_first() else {
                return false;
            };
            let Some(&n) = self.by_addr.get(&to) else {
                return true;
            };
            if !self.nodes[n].is_up {
                return true;
            }
            let since = (self.now - self.epoch).as_nanos().to_be_bytes();
            let place = n.to_be_bytes();
            self.trace = keccak256(&[&self.trace, &since, &place, &datagram]);
            let now = self.now;
            let machine = &mut self.nodes[n].machine;
            let taken = machine.handle_datagram(now, from, &mut datagram);
            assert_eq!(taken, Received::Taken);
            self.settle(n);
        } else if let Some((at, n)) = self.timeouts.pop_first() {
            self.nodes[n].timeout = None;
            let now = self.now;
            self.nodes[n].machine.handle_timeout(now);
            self.settle(n);
            let next = self.nodes[n].timeout;
            assert!(next.is_none_or(|next| next > at), "a busy loop");
        }
        true
    }

    pub(crate) fn answer_to(
        &self,
        n: usize,
        handle: RequestHandle,
    ) -> Option<Result<Answer, RequestError>> {
        self.nodes[n].events.iter().find_map(|event| match event {
            Event::Answered { request, result } if *request == handle => Some(result.clone()),
            _ => None,
        })
    }

    pub(crate) fn found_by(&self, n: usize, id: SearchId) -> Option<Vec<Record>> {
        self.nodes[n].events.iter().find_map(|event| match event {
            Event::SearchDone { search, nodes } if *search == id => Some(nodes.clone()),
            _ => None,
        })
    }

    /// One node pings another and waits for the end of it.
    pub(crate) fn ping(&mut self, from: usize, to: usize) -> Result<Answer, RequestError> {
        let record = self.record(to);
        let handle = self.with(from, |machine, now| machine.start_ping(now, &record))?;
        assert!(self.run_until(Duration::from_secs(10), |net| {
            net.answer_to(from, handle).is_some()
        }));
        self.answer_to(from, handle).unwrap()
    }

    /// One node looks something up and waits for the end of it.
    pub(crate) fn search(
        &mut self,
        n: usize,
        begin: impl FnOnce(&mut Discovery, Instant) -> Result<SearchId, RequestError>,
    ) -> Vec<Record> {
        let id = self.with(n, begin).unwrap();
        assert!(self.run_until(Duration::from_secs(120), |net| {
            net.found_by(n, id).is_some()
        }));
        self.found_by(n, id).unwrap()
    }

    pub(crate) fn count(&self, n: usize, wanted: impl Fn(&Event) -> bool) -> usize {
        self.nodes[n].events.iter().filter(|e| wanted(e)).count()
    }
}

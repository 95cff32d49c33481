//! A byte string read as a list of operations on three machines, a rogue and the wires between them,
//! with every promise [checked](super::promises) after each. A fuzz target, a property test and a
//! folder of kept inputs all call [`run`].
//!
//! The first byte sets the scene: bit 0 small bounds, bit 1 invalid answers are banned, bit 2 the
//! first machine has no address and learns it by votes, bit 3 nothing is sent twice, bit 4 both
//! families, bit 5 private addresses. Each operation is one byte modulo 16; it takes its arguments
//! from the bytes that follow, and the end of the bytes is the end of the list.
//!
//! | number | operation | arguments |
//! |---|---|---|
//! | 0 | the oldest parcel arrives | |
//! | 1 | all parcels arrive, and what they cause, until nothing is under way | |
//! | 2 | the oldest parcel is lost | |
//! | 3 | it goes behind all others | |
//! | 4 | it comes twice | |
//! | 5 | a byte of it changes | place, change |
//! | 6 | it comes from a stranger's address | which |
//! | 7 | time passes | how much |
//! | 8 | the time comes that a machine waits for | which machine |
//! | 9 | a machine asks a node | which, whom, what |
//! | 10 | a machine searches | which, how, for whom |
//! | 11 | the rogue says something | to whom, what |
//! | 12 | these bytes come to a machine | which, how many, they |
//! | 13 | something happens to a machine | which, what |
//! | 14 | an application answers the talk request before it | which, how many bytes |
//! | 15 | a parcel that has arrived before comes again | which |

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_discv5::NodeId;
use peerage_discv5::discovery::{Config, Discovery, Filter};
use peerage_discv5::record::{Builder, Family, Record};

use super::net::secret;
use super::promises::Watched;
use super::rogue::Rogue;
use super::scene::{BYSTANDERS, config, place};
use super::start;

/// The most operations carried out of one list.
const MAX_OPERATIONS: usize = 200;
/// The most parcels under way; beyond, they are lost.
const MAX_PARCELS: usize = 256;
const MACHINES: usize = 3;

const SPANS: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(11),
    Duration::from_secs(60),
    Duration::from_secs(20 * 60),
];

/// A datagram on its way.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Reads and carries out a list of operations; what has happened in it, in words.
///
/// # Panics
/// When a promise is broken.
pub(crate) fn run(program: &[u8]) -> String {
    let mut tape = Tape(program);
    let mut world = World::new(tape.next().unwrap_or_default());
    for _ in 0..MAX_OPERATIONS {
        let Some(operation) = tape.next() else { break };
        if world.operate(operation % 16, &mut tape).is_none() {
            break;
        }
    }
    world.end();
    let words: BTreeSet<_> = world
        .machines
        .iter()
        .flat_map(|m| m.words.clone())
        .collect();
    if words.is_empty() {
        return "nothing".into();
    }
    words.into_iter().collect::<Vec<_>>().join("-")
}

struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn below(&mut self, bound: usize) -> Option<usize> {
        Some(usize::from(self.next()?) % bound)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct World {
    now: Instant,
    machines: Vec<Watched>,
    rogue: Rogue,
    wire: VecDeque<Parcel>,
    past: VecDeque<Parcel>,
    config: Config,
    is_private: bool,
    restarts: u8,
}

impl World {
    fn new(scene: u8) -> Self {
        let is_private = scene & 32 != 0;
        let config = config(scene);
        let machines: Vec<_> = (0..MACHINES)
            .map(|n| {
                let at = place(n, is_private);
                let record = if n == 0 && config.auto_update {
                    Builder::new(1)
                } else {
                    Builder::new(1).ip(at.ip()).udp4(at.port())
                };
                let seed = [u8::try_from(n).unwrap() + 1; 32];
                let machine = Discovery::new(config.clone(), secret(n), record, seed);
                Watched::new(machine.unwrap(), at)
            })
            .collect();
        let records: Vec<_> = machines
            .iter()
            .map(|m| m.machine.record().clone())
            .collect();
        Self {
            now: start(),
            rogue: Rogue::new(MACHINES, is_private, &records),
            machines,
            wire: VecDeque::new(),
            past: VecDeque::new(),
            config,
            is_private,
            restarts: 0,
        }
    }

    fn operate(&mut self, operation: u8, tape: &mut Tape<'_>) -> Option<()> {
        match operation {
            0 => self.arrive(),
            1 => (0..MAX_PARCELS).for_each(|_| self.arrive()),
            2 => drop(self.wire.pop_front()),
            3 => {
                let first = self.wire.pop_front();
                self.wire.extend(first);
            }
            4 => {
                if let Some(first) = self.wire.front().cloned() {
                    self.wire.push_front(first);
                }
            }
            5 => {
                let (place, change) = (usize::from(tape.next()?), tape.next()?);
                if let Some(first) = self.wire.front_mut()
                    && !first.bytes.is_empty()
                {
                    let place = place * 5 % first.bytes.len();
                    first.bytes[place] ^= change;
                }
            }
            6 => {
                let from = place(20 + tape.below(8)?, self.is_private);
                if let Some(first) = self.wire.front_mut() {
                    first.from = from;
                }
            }
            7 => {
                self.now += SPANS[tape.below(SPANS.len())?];
                (0..MACHINES).for_each(|n| self.wake(n));
            }
            8 => {
                let n = tape.below(MACHINES)?;
                if let Some(wakeup) = self.machines[n].machine.poll_timeout() {
                    self.now = self.now.max(wakeup.at);
                    self.wake(n);
                }
            }
            9 => self.ask(tape)?,
            10 => self.search(tape)?,
            11 => {
                let (n, what) = (tape.below(MACHINES)?, tape.next()?);
                let to = self.machines[n].addr;
                for (from, bytes) in self.rogue.say(n, what) {
                    self.put(Parcel { from, to, bytes });
                }
            }
            12 => {
                let (n, len) = (tape.below(MACHINES)?, usize::from(tape.next()?));
                let bytes = tape.take(len).to_vec();
                let (from, to) = (place(30, self.is_private), self.machines[n].addr);
                self.put(Parcel { from, to, bytes });
            }
            13 => self.befall(tape)?,
            14 => {
                let (n, len) = (tape.below(MACHINES)?, usize::from(tape.next()?));
                self.machines[n].answer_talk(&vec![7; len * 5]);
                self.settle(n);
            }
            _ => {
                let which = usize::from(tape.next()?);
                if !self.past.is_empty() {
                    let again = self.past[which % self.past.len()].clone();
                    self.put(again);
                }
            }
        }
        Some(())
    }

    fn put(&mut self, parcel: Parcel) {
        if self.wire.len() < MAX_PARCELS {
            self.wire.push_back(parcel);
        }
    }

    fn arrive(&mut self) {
        let Some(parcel) = self.wire.pop_front() else {
            return;
        };
        if self.past.len() >= 16 {
            self.past.pop_front();
        }
        self.past.push_back(parcel.clone());
        if parcel.to == self.rogue.addr {
            let from = self.machines.iter().position(|m| m.addr == parcel.from);
            if let Some(from) = from {
                self.rogue.hear(from, &parcel.bytes);
            }
        } else if let Some(n) = self.machines.iter().position(|m| m.addr == parcel.to) {
            self.machines[n].receive(self.now, parcel);
            self.settle(n);
        }
    }

    /// Takes up what a machine wants done, and checks all it promises.
    fn settle(&mut self, n: usize) {
        for (to, bytes) in self.machines[n].settle(self.now) {
            let from = self.machines[n].addr;
            self.put(Parcel { from, to, bytes });
        }
    }

    fn wake(&mut self, n: usize) {
        let now = self.now;
        let watched = &mut self.machines[n];
        watched.machine.handle_timeout(now);
        let next = watched.machine.poll_timeout();
        assert!(
            next.is_none_or(|next| next.at > now),
            "a busy loop: {next:?}"
        );
        self.settle(n);
    }

    /// A record of somebody: machines, the rogue, bystanders.
    fn somebody(&self, which: usize) -> Record {
        match which {
            0..MACHINES => self.machines[which].machine.record().clone(),
            MACHINES => self.rogue.record().clone(),
            _ => BYSTANDERS[which % BYSTANDERS.len()].clone(),
        }
    }

    fn ask(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        let n = tape.below(MACHINES)?;
        let whom = tape.below(10)?;
        let (to, what) = (self.somebody(whom), tape.next()?);
        let (now, watched) = (self.now, &mut self.machines[n]);
        watched.named(&to);
        let machine = &mut watched.machine;
        let asked = match what % 4 {
            0 => machine.start_ping(now, &to),
            1 => machine.start_find_node(now, &to, &[256, 255, 254]),
            2 => machine.start_find_node(now, &to, &[u16::from(what), 0]),
            _ => machine.start_talk(now, &to, b"toy", &vec![what; usize::from(what) * 5]),
        };
        watched.asked(asked);
        self.settle(n);
        Some(())
    }

    fn search(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        let n = tape.below(MACHINES)?;
        let (how, whom) = (tape.next()?, tape.below(10)?);
        let target = self.somebody(whom).node_id();
        let (now, watched) = (self.now, &mut self.machines[n]);
        let machine = &mut watched.machine;
        let begun = match how % 5 {
            0 => machine.start_lookup(now, target),
            1 => machine.start_query(now, NodeId([how; 32])),
            2 => machine.start_random_query(now, None),
            3 => machine.start_random_query(now, Some(Filter::has("eth"))),
            _ => machine.start_resolve(now, target),
        };
        watched.searched(begun);
        self.settle(n);
        Some(())
    }

    fn befall(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        let (n, what) = (tape.below(MACHINES)?, tape.next()?);
        let other = self.somebody(usize::from(what >> 4) % 10);
        let now = self.now;
        let watched = &mut self.machines[n];
        let machine = &mut watched.machine;
        match what % 16 {
            0 | 1 => machine.start(now),
            2 => machine.close(),
            3 => self.restart(n),
            4 => {
                let changed = machine.update_record(|record| record.uint("n", u64::from(what)));
                assert!(changed.is_ok());
            }
            5 => machine.ban_node(now, other.node_id()),
            6 => {
                let ip = other.udp_endpoint(Family::V4).map(|endpoint| endpoint.ip());
                let until = now + Duration::from_secs(5);
                ip.into_iter()
                    .for_each(|ip| machine.bans_mut().ban_ip(ip, until));
            }
            7 => machine.bans_mut().unban_node(&other.node_id()),
            8 => {
                watched.named(&other);
                let had = watched.machine.table().node(&other.node_id()).is_some();
                let added = watched.machine.add_node(&other);
                assert!(!(had && added), "only a new place counts");
            }
            9 => {
                watched.named(&other);
                watched.machine.seed_table([other]);
            }
            10 => {
                let at = other.udp_endpoint(Family::V4);
                at.into_iter().for_each(|at| {
                    assert!(machine.update_external_endpoint(at).is_ok());
                });
            }
            11 => drop(machine.register_talk(b"toy")),
            12 => drop(machine.unregister_talk(b"toy")),
            13 => {
                let found = machine.random_nodes(3, |record| record.seq() < 3);
                assert!(found.len() <= 3);
            }
            _ => {
                // They get to know each other, as they would in time.
                for other in BYSTANDERS.iter().take(usize::from(what >> 4)) {
                    watched.named(other);
                    watched.machine.add_node(other);
                }
            }
        }
        self.settle(n);
        Some(())
    }

    /// The machine starts anew with the record it had, and what it was asked before is forgotten.
    fn restart(&mut self, n: usize) {
        self.restarts = self.restarts.wrapping_add(1);
        let record = self.machines[n].machine.record().to_builder();
        let seed = [self.restarts ^ 0xa5; 32];
        let machine = Discovery::new(self.config.clone(), secret(n), record, seed);
        self.machines[n].replace(machine.unwrap());
    }

    /// Nobody hears anybody any more: whatever was begun ends.
    fn end(&mut self) {
        self.wire.clear();
        let until = self.now + Duration::from_secs(10 * 60);
        for n in 0..MACHINES {
            while self.machines[n].awaits() {
                let next = self.machines[n].machine.poll_timeout();
                let next = next.expect("something is awaited").at;
                assert!(next <= until, "it takes too long");
                self.now = self.now.max(next);
                self.wake(n);
                self.wire.clear();
            }
            self.machines[n].machine.close();
            self.settle(n);
            let open = self.machines[n].machine.metrics().requests_open;
            assert_eq!(open, 0);
        }
    }
}

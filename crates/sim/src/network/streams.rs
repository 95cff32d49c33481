//! Streams between hosts.

mod dial;
mod packets;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Change, Condition, Due, HostId, Network};
use crate::machine::Machine;
use crate::stream::{DIAL_TRIES, Heard, Order, StreamId, Streams};

/// How often it is looked whether a host that sleeps has awoken: what it would send meanwhile does
/// not count as tried.
const ASLEEP: Duration = Duration::from_secs(10);

/// One of the two ends of a wire: 0 opened it, 1 accepted it.
type Side = usize;

/// What has to happen to a stream.
#[derive(Debug)]
pub(super) enum Flight {
    /// A first packet arrives, if it does.
    Dial {
        host: HostId,
        id: StreamId,
        tries: u32,
    },
    /// A first packet is sent, for the first time or again.
    Redial {
        host: HostId,
        id: StreamId,
        tries: u32,
    },
    /// A dial fails.
    Refusal {
        host: HostId,
        id: StreamId,
        why: io::ErrorKind,
    },
    /// The answer to a first packet arrives.
    Answer { wire: u64, tries: u32 },
    /// A packet from this side arrives.
    Packet {
        wire: u64,
        from: Side,
        packet: Packet,
    },
    /// A packet is sent again.
    Resend {
        wire: u64,
        from: Side,
        packet: Packet,
    },
    /// This side learns that the stream is broken.
    Reset { wire: u64, to: Side },
}

#[derive(Debug)]
pub(super) struct Packet {
    number: u64,
    bytes: Vec<u8>,
    is_last: bool,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// What was written and the end are still under way.
    Closing,
    Gone,
}

/// One end, and what it sends.
#[derive(Debug)]
struct End {
    host: HostId,
    id: StreamId,
    /// Where its host was when the stream was opened.
    addr: SocketAddr,
    state: State,
    /// Whether its machine takes what comes.
    reads: bool,
    /// Written and not sent.
    unsent: VecDeque<u8>,
    /// Its machine is owed [`Heard::Written`].
    owes_written: bool,
    next_number: u64,
    /// Sent and not taken by the other machine.
    under_way: usize,
    /// The number of the next packet that the other end takes in, and those that came too early.
    expected: u64,
    early: BTreeMap<u64, Packet>,
    /// Arrived at the other end, which does not read.
    unread: Vec<u8>,
    unread_end: bool,
    is_end_sent: bool,
}

impl End {
    const fn new(host: HostId, id: StreamId, addr: SocketAddr) -> Self {
        Self {
            host,
            id,
            addr,
            state: State::Open,
            reads: true,
            unsent: VecDeque::new(),
            owes_written: false,
            next_number: 0,
            under_way: 0,
            expected: 0,
            early: BTreeMap::new(),
            unread: Vec::new(),
            unread_end: false,
            is_end_sent: false,
        }
    }
}

/// A stream between two ends.
#[derive(Debug)]
struct Wire {
    ends: [End; 2],
}

/// A dial under way.
#[derive(Debug)]
struct Dialling {
    to: SocketAddr,
    from: SocketAddr,
    /// Once the other end has accepted.
    wire: Option<u64>,
}

/// All streams of a network.
#[derive(Debug, Default)]
pub(super) struct Wires {
    wires: BTreeMap<u64, Wire>,
    next: u64,
    by_end: BTreeMap<(HostId, StreamId), (u64, Side)>,
    dialling: BTreeMap<(HostId, StreamId), Dialling>,
    /// Bytes a second that a host sends at most, where that is little.
    slow: BTreeMap<HostId, u64>,
    pub(super) counts: Streams,
}

impl Wires {
    pub(super) fn len(&self) -> usize {
        self.wires.len()
    }

    pub(super) fn set_rate(&mut self, host: HostId, rate: Option<u64>) {
        match rate {
            Some(rate) => drop(self.slow.insert(host, rate.max(1))),
            None => drop(self.slow.remove(&host)),
        }
    }

    fn end(&mut self, wire: u64, side: Side) -> Option<&mut End> {
        Some(&mut self.wires.get_mut(&wire)?.ends[side])
    }

    /// This end is over for its machine.
    fn leave(&mut self, wire: u64, side: Side, state: State) {
        let Some(found) = self.wires.get_mut(&wire) else {
            return;
        };
        let end = &mut found.ends[side];
        end.state = state;
        self.by_end.remove(&(end.host, end.id));
        if found.ends.iter().all(|end| end.state == State::Gone) {
            self.wires.remove(&wire);
        }
    }
}

impl<M: Machine> Network<M> {
    /// What became of the streams.
    pub const fn streams(&self) -> Streams {
        self.wires.counts
    }

    /// How many streams at least one end believes to be open.
    pub fn open_streams(&self) -> usize {
        self.wires.len()
    }

    /// The machine's process ends: the system closes its streams in order.
    pub fn hang_up(&mut self, host: HostId) {
        for id in self.streams_of(host) {
            self.order(host, id, Order::Close);
        }
        self.drain_told();
    }

    /// The host is no more, and nobody is told.
    pub fn vanish(&mut self, host: HostId) {
        self.forget_streams(host);
        self.apply(&Change::Condition(host, Condition::Stopped));
    }

    /// The host is at another address from now on. What it had open leads nowhere, which nobody is
    /// told either.
    ///
    /// # Panics
    /// When it is behind a translator, or the address is taken.
    pub fn move_to(&mut self, host: HostId, addr: SocketAddr) {
        let old = self.host(host).addr;
        assert!(self.host(host).nat.is_none(), "{old} is inside");
        self.by_addr.remove(&old);
        let taken = self.by_addr.insert(addr, host);
        assert!(taken.is_none(), "{addr} is taken");
        self.host_mut(host).addr = addr;
    }

    fn streams_of(&self, host: HostId) -> Vec<StreamId> {
        let first = StreamId::theirs(0);
        let of_host = |(of, id): &(HostId, StreamId)| (*of == host).then_some(*id);
        let wires = self.wires.by_end.range((host, first)..);
        let dials = self.wires.dialling.range((host, first)..);
        let wires = wires.map_while(|(key, _)| of_host(key));
        wires
            .chain(dials.map_while(|(key, _)| of_host(key)))
            .collect()
    }

    /// The host has lost its memory: nobody is told.
    pub(super) fn forget_streams(&mut self, host: HostId) {
        for id in self.streams_of(host) {
            self.wires.dialling.remove(&(host, id));
            if let Some((wire, side)) = self.wires.by_end.get(&(host, id)).copied() {
                self.wires.leave(wire, side, State::Gone);
            }
        }
    }

    /// Does what a machine wants of a stream. What is wanted of one that is over is moot.
    pub(super) fn order(&mut self, host: HostId, id: StreamId, order: Order) {
        if let Order::Connect(to) = order {
            self.wires.counts.dialled += 1;
            let Ok(from) = self.source_of_stream(host, id, to) else {
                return;
            };
            let dialling = Dialling {
                to,
                from,
                wire: None,
            };
            self.wires.dialling.insert((host, id), dialling);
            self.dial_once(host, id, 0);
            return;
        }
        let Some((wire, side)) = self.wires.by_end.get(&(host, id)).copied() else {
            if matches!(order, Order::Close | Order::Abort)
                && let Some(dialling) = self.wires.dialling.remove(&(host, id))
                && let Some(wire) = dialling.wire
            {
                self.wires.leave(wire, 0, State::Gone);
                self.reset_later(wire, 1);
            }
            return;
        };
        match order {
            Order::Connect(_) => {}
            Order::Write(bytes) => {
                if let Some(end) = self.wires.end(wire, side) {
                    end.unsent.extend(bytes);
                    end.owes_written = true;
                }
                self.push_bytes(wire, side);
            }
            Order::Read(reads) => {
                if let Some(end) = self.wires.end(wire, side) {
                    end.reads = reads;
                }
                if reads {
                    self.hand_over(wire, 1 - side);
                }
            }
            Order::Close => {
                self.wires.leave(wire, side, State::Closing);
                self.push_bytes(wire, side);
            }
            Order::Abort => {
                self.wires.leave(wire, side, State::Gone);
                self.reset_later(wire, 1 - side);
            }
        }
    }

    fn later(&mut self, at: Instant, flight: Flight) {
        self.queue.push(at, Due::Stream(flight));
    }

    fn delay_between(&mut self, from: HostId, to: crate::weather::Place, len: usize) -> Duration {
        let place = self.host(from).place;
        let delay = self.weather.delay(&mut self.rng, place, to);
        let rate = self.wires.slow.get(&from);
        let takes = rate.map(|rate| (len as u64).saturating_mul(1_000_000) / rate);
        delay + Duration::from_micros(takes.unwrap_or(0))
    }

    pub(super) fn fly(&mut self, flight: Flight) {
        match flight {
            Flight::Dial { host, id, tries } => self.knock(host, id, tries),
            Flight::Redial { host, id, tries } => {
                if self.host(host).condition == Condition::Stopped {
                    let at = self.now + ASLEEP;
                    self.later(at, Flight::Redial { host, id, tries });
                } else if tries <= DIAL_TRIES {
                    self.dial_once(host, id, tries);
                } else if self.wires.dialling.contains_key(&(host, id)) {
                    self.wires.counts.unanswered += 1;
                    self.fail(host, id, io::ErrorKind::TimedOut);
                }
            }
            Flight::Refusal { host, id, why } => {
                if self.host(host).condition == Condition::Running
                    && self.wires.dialling.contains_key(&(host, id))
                {
                    self.wires.counts.refused += 1;
                    self.fail(host, id, why);
                }
            }
            Flight::Answer { wire, tries } => self.answered(wire, tries),
            Flight::Packet { wire, from, packet } => self.arrive(wire, from, packet),
            Flight::Resend { wire, from, packet } => self.depart(wire, from, packet),
            Flight::Reset { wire, to } => self.break_end(wire, to, io::ErrorKind::ConnectionReset),
        }
        self.drain_told();
    }

    fn fail(&mut self, host: HostId, id: StreamId, why: io::ErrorKind) {
        self.wires.dialling.remove(&(host, id));
        self.tell_stream(host, id, Heard::Failed(why));
    }

    fn tell_stream(&mut self, host: HostId, id: StreamId, heard: Heard) {
        let kind = match &heard {
            Heard::Connected => 1,
            Heard::Accepted(_) => 2,
            Heard::Failed(_) => 3,
            Heard::Ended => 4,
            Heard::Broken(_) => 5,
            // In the trace already, or following from it.
            Heard::Data(_) | Heard::Written => 0,
        };
        if kind > 0 {
            let time = self.nanos();
            let numbers = [time, u64::from(host.0), id.number, kind];
            self.trace.note(b'o', &numbers, &[]);
        }
        self.told.push_back((host, id, heard));
    }

    /// Tells machines what they are to hear, one thing after the other: what one says may let
    /// another be told at once.
    pub(super) fn drain_told(&mut self) {
        if self.telling {
            return;
        }
        self.telling = true;
        while let Some((host, id, heard)) = self.told.pop_front() {
            let now = self.now_of(host);
            self.host_mut(host).machine.handle_stream(now, id, heard);
            self.settle_one(host);
        }
        self.telling = false;
    }
}

//! Streams between hosts.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Change, Condition, Due, HostId, Network};
use crate::machine::Machine;
use crate::stream::{
    DIAL_TRIES, Door, Heard, Order, SEND_TRIES, StreamId, Streams, WINDOW, redial_after,
    resend_after,
};

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

    /// Where a stream seems to come from: a port of its own.
    fn source_of_stream(
        &mut self,
        host: HostId,
        id: StreamId,
        to: SocketAddr,
    ) -> Result<SocketAddr, super::Lost> {
        // The range that RFC 6335 section 6 calls dynamic.
        let port = 49_152 + u16::try_from(id.number % 16_384).unwrap_or(0);
        let mut from = self.source_of(host, to)?;
        from.set_port(port);
        Ok(from)
    }

    /// A first packet sets out.
    fn dial_once(&mut self, host: HostId, id: StreamId, tries: u32) {
        let Some(dialling) = self.wires.dialling.get(&(host, id)) else {
            return;
        };
        let to = dialling.to;
        let condition = self.host(host).condition;
        let place = self.place_of(host, to).map(|(place, _)| place);
        let place = place.or_else(|| Some(self.host(self.somebody_at(to)?).place));
        let lost = self.weather.loss.happens(&mut self.rng);
        match place {
            Some(place) if condition == Condition::Running && !lost => {
                let at = self.now + self.delay_between(host, place, 0);
                self.later(at, Flight::Dial { host, id, tries });
            }
            _ => self.redial_later(host, id, tries),
        }
    }

    fn redial_later(&mut self, host: HostId, id: StreamId, tries: u32) {
        let at = self.now + redial_after(tries);
        let tries = tries + 1;
        self.later(at, Flight::Redial { host, id, tries });
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

    /// A first packet has come to where it was sent, if somebody is there.
    fn knock(&mut self, host: HostId, id: StreamId, tries: u32) {
        let Some(dialling) = self.wires.dialling.get(&(host, id)) else {
            return;
        };
        let (to, from) = (dialling.to, dialling.from);
        if dialling.wire.is_some() {
            return;
        }
        // A translator lets no stranger in: nobody inside ever opened the way.
        let there = self.neighbour(host, to).or_else(|| {
            let exact = self.by_addr.get(&to).copied();
            exact.or_else(|| self.somebody_at(to))
        });
        let door = there.and_then(|there| {
            let other = self.host(there);
            let is_cut = self.is_cut(self.host(host).groups, other.groups);
            let hears = !is_cut && other.condition == Condition::Running;
            let is_it = other.addr == to;
            hears.then(|| {
                if is_it {
                    other.machine.door()
                } else {
                    Door::Shut
                }
            })
        });
        let (Some(there), Some(door)) = (there, door) else {
            self.redial_later(host, id, tries);
            return;
        };
        let why = match door {
            Door::Open => {
                self.accept(host, id, there, from);
                return;
            }
            Door::Silent => {
                self.redial_later(host, id, tries);
                return;
            }
            Door::Shut => io::ErrorKind::ConnectionRefused,
            Door::NoRoute => io::ErrorKind::HostUnreachable,
        };
        let at = self.now + self.latency(host, there);
        self.later(at, Flight::Refusal { host, id, why });
        // The answer may be lost, as anything may.
        self.redial_later(host, id, tries);
    }

    /// A host with that address, whatever its port.
    fn somebody_at(&self, to: SocketAddr) -> Option<HostId> {
        let ports = SocketAddr::new(to.ip(), 0)..=SocketAddr::new(to.ip(), u16::MAX);
        self.by_addr.range(ports).next().map(|(_, host)| *host)
    }

    fn accept(&mut self, host: HostId, id: StreamId, there: HostId, from: SocketAddr) {
        let wire = self.wires.next;
        self.wires.next += 1;
        let Some(dialling) = self.wires.dialling.get_mut(&(host, id)) else {
            return;
        };
        dialling.wire = Some(wire);
        let theirs = StreamId::theirs(wire);
        let [ours_at, theirs_at] = [host, there].map(|host| self.host(host).addr);
        let ends = [
            End::new(host, id, ours_at),
            End::new(there, theirs, theirs_at),
        ];
        self.wires.wires.insert(wire, Wire { ends });
        self.wires.by_end.insert((there, theirs), (wire, 1));
        let at = self.now + self.latency(host, there);
        self.later(at, Flight::Answer { wire, tries: 0 });
        self.tell_stream(there, theirs, Heard::Accepted(from));
    }

    fn answered(&mut self, wire: u64, tries: u32) {
        let Some(found) = self.wires.wires.get(&wire) else {
            return;
        };
        let (host, id) = (found.ends[0].host, found.ends[0].id);
        if !self.wires.dialling.contains_key(&(host, id)) {
            return;
        }
        if !self.passes(wire) {
            if tries >= DIAL_TRIES {
                self.wires.leave(wire, 0, State::Gone);
                self.wires.counts.unanswered += 1;
                self.fail(host, id, io::ErrorKind::TimedOut);
                return;
            }
            let at = self.now + redial_after(tries);
            let tries = tries + 1;
            self.later(at, Flight::Answer { wire, tries });
            return;
        }
        self.wires.dialling.remove(&(host, id));
        self.wires.by_end.insert((host, id), (wire, 0));
        self.wires.counts.opened += 1;
        self.tell_stream(host, id, Heard::Connected);
        // What the other end said meanwhile.
        self.hand_over(wire, 1);
    }

    /// Whether a packet gets from one end of a wire to the other now.
    fn passes(&self, wire: u64) -> bool {
        let Some(Wire { ends: [a, b] }) = self.wires.wires.get(&wire) else {
            return false;
        };
        let (one, other) = (self.host(a.host), self.host(b.host));
        let is_there = |end: &End, host: &super::Host<M>| {
            host.condition == Condition::Running && host.addr == end.addr
        };
        is_there(a, one) && is_there(b, other) && !self.is_cut(one.groups, other.groups)
    }

    /// Sends what the window has room for.
    fn push_bytes(&mut self, wire: u64, side: Side) {
        loop {
            let (least, most) = self.weather.packet;
            let most = if least < most {
                least + self.rng.below(most - least + 1)
            } else {
                least
            };
            let Some(end) = self.wires.end(wire, side) else {
                return;
            };
            let room = WINDOW.saturating_sub(end.under_way);
            let len = end.unsent.len().min(room).min(most.max(1));
            let is_last =
                end.state == State::Closing && len == end.unsent.len() && !end.is_end_sent;
            if len == 0 && !is_last {
                break;
            }
            end.is_end_sent |= is_last;
            end.under_way += len;
            let packet = Packet {
                number: end.next_number,
                bytes: end.unsent.drain(..len).collect(),
                is_last,
                tries: 0,
            };
            end.next_number += 1;
            if end.unsent.is_empty() {
                // An idle stream keeps no buffer.
                end.unsent = VecDeque::new();
            }
            let held = end.under_way;
            let counts = &mut self.wires.counts;
            counts.most_held = counts.most_held.max(held);
            self.depart(wire, side, packet);
        }
        let Some(end) = self.wires.end(wire, side) else {
            return;
        };
        if end.owes_written && end.unsent.is_empty() {
            end.owes_written = false;
            if end.state == State::Open {
                let (host, id) = (end.host, end.id);
                self.tell_stream(host, id, Heard::Written);
            }
        }
    }

    /// A packet sets out, or is lost and will be sent again.
    fn depart(&mut self, wire: u64, side: Side, packet: Packet) {
        let Some(found) = self.wires.wires.get(&wire) else {
            return;
        };
        let (from, to) = (found.ends[side].host, found.ends[1 - side].host);
        if found.ends[side].state == State::Gone {
            return;
        }
        let condition = self.host(from).condition;
        if condition == Condition::Stopped {
            let at = self.now + ASLEEP;
            let from = side;
            self.later(at, Flight::Resend { wire, from, packet });
            return;
        }
        let lost = self.weather.loss.happens(&mut self.rng);
        if lost || !self.passes(wire) {
            self.resend_later(wire, side, packet);
            return;
        }
        let place = self.host(to).place;
        let at = self.now + self.delay_between(from, place, packet.bytes.len());
        let from = side;
        self.later(at, Flight::Packet { wire, from, packet });
    }

    fn resend_later(&mut self, wire: u64, from: Side, mut packet: Packet) {
        if packet.tries >= SEND_TRIES {
            self.wires.counts.timed_out += 1;
            self.break_end(wire, from, io::ErrorKind::TimedOut);
            return;
        }
        self.wires.counts.resent += 1;
        let at = self.now + resend_after(packet.tries);
        packet.tries += 1;
        self.later(at, Flight::Resend { wire, from, packet });
    }

    fn arrive(&mut self, wire: u64, from: Side, packet: Packet) {
        if !self.passes(wire) {
            self.resend_later(wire, from, packet);
            return;
        }
        let time = self.nanos();
        let Some(found) = self.wires.wires.get_mut(&wire) else {
            return;
        };
        let [receiver, sender] = [1 - from, from].map(|side| found.ends[side].host);
        let listens = found.ends[1 - from].state == State::Open;
        let end = &mut found.ends[from];
        if !listens {
            // Whoever hears an answer to what it does not know says so.
            let is_end = packet.is_last;
            if is_end && end.state == State::Closing {
                self.wires.leave(wire, from, State::Gone);
            } else {
                self.reset_later(wire, from);
            }
            return;
        }
        self.wires.counts.packets += 1;
        self.wires.counts.bytes += packet.bytes.len() as u64;
        let numbers = [
            time,
            u64::from(receiver.0),
            u64::from(sender.0),
            wire,
            u64::from(packet.is_last),
        ];
        self.trace.note(b's', &numbers, &packet.bytes);
        if packet.number == end.expected && end.early.is_empty() {
            Self::take_in(end, packet);
        } else {
            end.early.insert(packet.number, packet);
            while let Some(next) = end.early.remove(&end.expected) {
                Self::take_in(end, next);
            }
        }
        self.hand_over(wire, from);
    }

    fn take_in(end: &mut End, packet: Packet) {
        end.expected += 1;
        if end.unread.is_empty() {
            end.unread = packet.bytes;
        } else {
            end.unread.extend(packet.bytes);
        }
        end.unread_end |= packet.is_last;
    }

    /// Gives the other machine what has come from this side, if it reads.
    fn hand_over(&mut self, wire: u64, from: Side) {
        let Some(found) = self.wires.wires.get_mut(&wire) else {
            return;
        };
        let receiver = &found.ends[1 - from];
        let (host, id) = (receiver.host, receiver.id);
        let takes = receiver.state == State::Open
            && receiver.reads
            && self.wires.by_end.contains_key(&(host, id));
        if !takes {
            return;
        }
        let end = &mut found.ends[from];
        let bytes = std::mem::take(&mut end.unread);
        let is_end = std::mem::take(&mut end.unread_end);
        end.under_way = end.under_way.saturating_sub(bytes.len());
        let was_full = !end.unsent.is_empty();
        if is_end && end.state == State::Closing {
            self.wires.leave(wire, from, State::Gone);
        } else if was_full {
            self.push_bytes(wire, from);
        }
        if !bytes.is_empty() {
            self.tell_stream(host, id, Heard::Data(bytes));
        }
        if is_end && self.wires.by_end.contains_key(&(host, id)) {
            self.tell_stream(host, id, Heard::Ended);
        }
    }

    /// Says to this side that the stream is broken, if it can be said.
    fn reset_later(&mut self, wire: u64, to: Side) {
        let Some(found) = self.wires.wires.get(&wire) else {
            return;
        };
        let delay = self.latency(found.ends[0].host, found.ends[1].host);
        if self.passes(wire) {
            let at = self.now + delay;
            self.later(at, Flight::Reset { wire, to });
        }
    }

    fn break_end(&mut self, wire: u64, side: Side, why: io::ErrorKind) {
        let is_told = why == io::ErrorKind::TimedOut || self.passes(wire);
        let Some(end) = self.wires.end(wire, side) else {
            return;
        };
        let (host, id, state) = (end.host, end.id, end.state);
        if state == State::Gone || !is_told {
            return;
        }
        if why == io::ErrorKind::ConnectionReset {
            self.wires.counts.reset += 1;
        }
        let is_known = self.wires.by_end.contains_key(&(host, id));
        self.wires.leave(wire, side, State::Gone);
        if self.wires.dialling.remove(&(host, id)).is_some() {
            self.tell_stream(host, id, Heard::Failed(why));
        } else if is_known && state == State::Open {
            self.tell_stream(host, id, Heard::Broken(why));
        }
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

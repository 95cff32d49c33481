//! What travels on an open stream.

use std::collections::VecDeque;
use std::io;

use super::{ASLEEP, End, Flight, Packet, Side, State, Wire};
use crate::machine::Machine;
use crate::network::{Condition, Network};
use crate::stream::{Heard, SEND_TRIES, WINDOW, resend_after};

impl<M: Machine> Network<M> {
    /// Whether a packet gets from one end of a wire to the other now.
    pub(super) fn passes(&self, wire: u64) -> bool {
        let Some(Wire { ends: [a, b] }) = self.wires.wires.get(&wire) else {
            return false;
        };
        let (one, other) = (self.host(a.host), self.host(b.host));
        let is_there = |end: &End, host: &crate::network::Host<M>| {
            host.condition == Condition::Running && host.addr == end.addr
        };
        is_there(a, one) && is_there(b, other) && !self.is_cut(one.groups, other.groups)
    }

    /// Sends what the window has room for.
    pub(super) fn push_bytes(&mut self, wire: u64, side: Side) {
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
    pub(super) fn depart(&mut self, wire: u64, side: Side, packet: Packet) {
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

    pub(super) fn resend_later(&mut self, wire: u64, from: Side, mut packet: Packet) {
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

    pub(super) fn arrive(&mut self, wire: u64, from: Side, packet: Packet) {
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

    pub(super) fn take_in(end: &mut End, packet: Packet) {
        end.expected += 1;
        if end.unread.is_empty() {
            end.unread = packet.bytes;
        } else {
            end.unread.extend(packet.bytes);
        }
        end.unread_end |= packet.is_last;
    }

    /// Gives the other machine what has come from this side, if it reads.
    pub(super) fn hand_over(&mut self, wire: u64, from: Side) {
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
    pub(super) fn reset_later(&mut self, wire: u64, to: Side) {
        let Some(found) = self.wires.wires.get(&wire) else {
            return;
        };
        let delay = self.latency(found.ends[0].host, found.ends[1].host);
        if self.passes(wire) {
            let at = self.now + delay;
            self.later(at, Flight::Reset { wire, to });
        }
    }

    pub(super) fn break_end(&mut self, wire: u64, side: Side, why: io::ErrorKind) {
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
}

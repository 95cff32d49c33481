//! From a first packet to an open stream, or to a reason.

use std::io;
use std::net::SocketAddr;

use super::{End, Flight, State, Wire};
use crate::machine::Machine;
use crate::network::{Condition, HostId, Lost, Network};
use crate::stream::{DIAL_TRIES, Door, Heard, StreamId, redial_after};

impl<M: Machine> Network<M> {
    /// Where a stream seems to come from: a port of its own.
    pub(super) fn source_of_stream(
        &mut self,
        host: HostId,
        id: StreamId,
        to: SocketAddr,
    ) -> Result<SocketAddr, Lost> {
        // The range that RFC 6335 section 6 calls dynamic.
        let port = 49_152 + u16::try_from(id.number % 16_384).unwrap_or(0);
        let mut from = self.source_of(host, to)?;
        from.set_port(port);
        Ok(from)
    }

    /// A first packet sets out.
    pub(super) fn dial_once(&mut self, host: HostId, id: StreamId, tries: u32) {
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

    pub(super) fn redial_later(&mut self, host: HostId, id: StreamId, tries: u32) {
        let at = self.now + redial_after(tries);
        let tries = tries + 1;
        self.later(at, Flight::Redial { host, id, tries });
    }

    /// A first packet has come to where it was sent, if somebody is there.
    pub(super) fn knock(&mut self, host: HostId, id: StreamId, tries: u32) {
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
    pub(super) fn somebody_at(&self, to: SocketAddr) -> Option<HostId> {
        let ports = SocketAddr::new(to.ip(), 0)..=SocketAddr::new(to.ip(), u16::MAX);
        self.by_addr.range(ports).next().map(|(_, host)| *host)
    }

    pub(super) fn accept(&mut self, host: HostId, id: StreamId, there: HostId, from: SocketAddr) {
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

    pub(super) fn answered(&mut self, wire: u64, tries: u32) {
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
}

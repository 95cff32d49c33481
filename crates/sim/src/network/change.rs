//! What can be made to happen to hosts and to the network, now or later.

use std::time::{Duration, Instant};

use super::{Due, HostId, Network};
use crate::machine::Machine;
use crate::weather::Weather;

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Running,
    /// Its machine goes on, but no datagram leaves or comes.
    Unplugged,
    /// Its machine is never called.
    Stopped,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The members of a group and all others no longer hear each other. Datagrams under way are
    /// lost too.
    Cut(String),
    /// They hear each other again.
    Heal(String),
    /// A host is like this from now on.
    Condition(HostId, Condition),
    /// A host's date jumps so many seconds ahead, or back. Timers do not notice.
    Clock(HostId, i64),
    /// A host sleeps for so long: it is stopped, and so is the clock that its timers go by. Its date
    /// goes on. That is how Linux does it (`CLOCK_MONOTONIC` of clock_gettime(2)).
    Sleep(HostId, Duration),
    /// A host sends at most so many bytes of streams in a second; `None`: as many as it likes.
    Rate(HostId, Option<u64>),
    /// The weather changes for what is sent from now on.
    Weather(Weather),
}

/// Some of at most 64 groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups(u64);

impl Groups {
    pub(super) const NONE: Self = Self(0);
}

impl<M: Machine> Network<M> {
    /// Puts a host into a group, which exists from then on.
    ///
    /// # Panics
    /// When it would be the 65th group.
    pub fn join_group(&mut self, host: HostId, name: &str) {
        let group = self.group(name);
        self.host_mut(host).groups.0 |= group.0;
    }

    fn group(&mut self, name: &str) -> Groups {
        let known = self.group_names.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.group_names.push(name.to_owned());
            self.group_names.len() - 1
        });
        assert!(at < 64, "at most 64 groups");
        Groups(1 << at)
    }

    /// Whether a cut lies between hosts of these groups.
    pub(super) const fn is_cut(&self, a: Groups, b: Groups) -> bool {
        (a.0 ^ b.0) & self.cut.0 != 0
    }

    /// Lets something happen later. It happens at once if the time has passed.
    pub fn plan(&mut self, at: Instant, change: Change) {
        self.queue.push(at.max(self.now), Due::Change(change));
    }

    /// Lets something happen now.
    pub fn apply(&mut self, change: &Change) {
        let time = self.nanos();
        self.trace
            .note(b'c', &[time], format!("{change:?}").as_bytes());
        match change {
            Change::Cut(name) => self.cut.0 |= self.group(name).0,
            Change::Heal(name) => self.cut.0 &= !self.group(name).0,
            Change::Condition(id, condition) => {
                self.host_mut(*id).condition = *condition;
                // Whoever was stopped is called for what it has missed.
                self.host_mut(*id).timeout_at = None;
                self.settle(*id);
            }
            Change::Clock(id, seconds) => {
                let host = self.host_mut(*id);
                host.ahead = host.ahead.saturating_add(*seconds);
            }
            Change::Sleep(id, span) => {
                let (id, span) = (*id, *span);
                self.apply(&Change::Condition(id, Condition::Stopped));
                self.queue.push(self.now + span, Due::Awake(id, span));
            }
            Change::Rate(id, rate) => self.wires.set_rate(*id, *rate),
            Change::Weather(weather) => self.weather = *weather,
        }
    }
}

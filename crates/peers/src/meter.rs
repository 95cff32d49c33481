//! How many bytes pass, in all and lately.

use std::time::{Duration, Instant};

/// Seconds of one slot of a window.
const SLOT_SECS: u64 = 2;
/// Slots of a window.
const SLOTS: u8 = 8;

/// Counts of one direction: everything, and a window of [`Meter::WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    total: u64,
    slots: [u32; SLOTS as usize],
    /// When the newest slot began.
    begun: Instant,
    newest: u8,
}

impl Meter {
    /// What a rate looks back over.
    pub const WINDOW: Duration = Duration::from_secs(SLOT_SECS * SLOTS as u64);
    const SLOT: Duration = Duration::from_secs(SLOT_SECS);

    /// A meter at nought.
    pub const fn new(now: Instant) -> Self {
        Self {
            total: 0,
            slots: [0; SLOTS as usize],
            begun: now,
            newest: 0,
        }
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.begun) >= Self::WINDOW + Self::SLOT {
            // Nothing of the window is left; slots begin anew here.
            self.slots = [0; SLOTS as usize];
            self.begun = now;
            return;
        }
        while now.saturating_duration_since(self.begun) >= Self::SLOT {
            self.begun += Self::SLOT;
            self.newest = (self.newest + 1) % SLOTS;
            self.slots[usize::from(self.newest)] = 0;
        }
    }

    /// Adds `count` bytes.
    pub fn add(&mut self, now: Instant, count: usize) {
        self.turn(now);
        self.total = self.total.saturating_add(count as u64);
        let slot = &mut self.slots[usize::from(self.newest)];
        *slot = slot.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// All bytes so far.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Bytes a second, over the last 14 to 16 seconds.
    pub fn rate(&self, now: Instant) -> u64 {
        let mut turned = *self;
        turned.turn(now);
        let sum: u64 = turned.slots.iter().map(|count| u64::from(*count)).sum();
        sum / (SLOT_SECS * SLOTS as u64)
    }
}

/// What passed one session, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Messages heard.
    pub messages_in: u64,
    /// Messages handed over for sending.
    pub messages_out: u64,
    /// Pings of ours that were answered.
    pub pongs_in: u64,
    /// Pings of theirs that were answered; a flood of them is not.
    pub pongs_out: u64,
    /// Gossip to the peer that was dropped for newer gossip.
    pub gossip_dropped: u64,
    /// Gossip to the peer that was refused for want of room.
    pub gossip_refused: u64,
    /// Gossip of the peer that nobody fetched before the session ended.
    pub undelivered: u64,
}

/// Both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) read: Meter,
    pub(crate) written: Meter,
    pub(crate) tally: Tally,
}

impl Traffic {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            read: Meter::new(now),
            written: Meter::new(now),
            tally: Tally::default(),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            bytes_in: self.read.total(),
            bytes_out: self.written.total(),
            ..self.tally
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    /// Every addition in a list; a rate is a sum over the slots that are still in the window.
    #[test]
    fn a_window_is_the_sum_of_its_slots() {
        let t0 = start();
        let mut meter = Meter::new(t0);
        let mut all: Vec<(u64, u64)> = Vec::new();
        let mut seed = 1_u64;
        let mut second = 0;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            second += seed >> 61;
            let count = (seed >> 40) % 5000;
            let now = t0 + Duration::from_secs(second);
            meter.add(now, count as usize);
            all.push((second, count));
            let newest = second / SLOT_SECS;
            let recent = all
                .iter()
                .filter(|(at, _)| at / SLOT_SECS + SLOTS as u64 > newest);
            let sum: u64 = recent.map(|(_, count)| count).sum();
            assert_eq!(meter.rate(now), sum / 16);
        }
        assert_eq!(meter.total(), all.iter().map(|(_, count)| count).sum());
        assert_eq!(meter.rate(t0 + Duration::from_secs(second + 100)), 0);
    }
}

//! What waits to be sent to one peer, or to be fetched from it: counted in bytes, control apart from
//! gossip.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peerage_core::{Budget, Spent};

/// What happens to gossip that finds its lane full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest gossip makes room, and is counted.
    DropOldest,
    /// The newcomer is turned away, and is counted.
    Refuse,
}

/// A bound shared by all sessions, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    used: usize,
    limit: usize,
}

impl Pool {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) const fn has(&self, len: usize) -> bool {
        len <= self.limit.saturating_sub(self.used)
    }

    /// Whether so much may come in. What is longer than the whole pool would never pass; it passes
    /// alone.
    pub(crate) const fn admits(&self, len: usize) -> bool {
        self.has(len) || self.used == 0
    }

    /// Whether enough is free that those who were held back may try again.
    pub(crate) const fn is_relieved(&self) -> bool {
        self.used <= self.limit / 4 * 3
    }

    /// Takes without asking; for what is bounded elsewhere.
    pub(crate) const fn take(&mut self, len: usize) {
        self.used += len;
    }

    pub(crate) const fn give(&mut self, len: usize) {
        self.used = self.used.saturating_sub(len);
    }
}

/// What a message in the control lane is, besides a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Plain,
    Ping,
    Request(u32),
}

#[derive(Clone, Debug)]
struct Waiting<M> {
    message: M,
    len: usize,
    tag: Tag,
}

/// One queue with its bytes counted. An empty one owns no memory.
#[derive(Clone, Debug)]
struct Lane<M> {
    queue: VecDeque<Waiting<M>>,
    spent: Spent,
}

impl<M> Lane<M> {
    const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            spent: Spent {
                messages: 0,
                bytes: 0,
            },
        }
    }

    fn push(&mut self, budget: Budget, waiting: Waiting<M>) -> Result<(), Waiting<M>> {
        let mut spent = self.spent;
        if spent.spend(budget, waiting.len).is_err() {
            return Err(waiting);
        }
        self.put(waiting);
        Ok(())
    }

    fn put(&mut self, waiting: Waiting<M>) {
        self.spent.messages += 1;
        self.spent.bytes += waiting.len;
        self.queue.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Waiting<M>> {
        let waiting = self.queue.pop_front()?;
        self.spent.messages -= 1;
        self.spent.bytes -= waiting.len;
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Some(waiting)
    }
}

/// What waits to be sent to one peer.
#[derive(Clone, Debug)]
pub(crate) struct Lanes<M> {
    control: Lane<M>,
    gossip: Lane<M>,
    /// Since when something has waited without anything being taken.
    blocked_since: Option<Instant>,
    /// The length of what was taken last: its writing may take longer.
    writing: usize,
}

/// What became of gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) taken: bool,
    pub(crate) dropped: u64,
}

impl<M> Lanes<M> {
    pub(crate) const fn new() -> Self {
        Self {
            control: Lane::new(),
            gossip: Lane::new(),
            blocked_since: None,
            writing: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.control.queue.is_empty() && self.gossip.queue.is_empty()
    }

    /// Bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.control.spent.bytes + self.gossip.spent.bytes
    }

    /// Recomputed from the queues.
    pub(crate) fn recount(&self) -> usize {
        let lens = |lane: &Lane<M>| lane.queue.iter().map(|waiting| waiting.len).sum::<usize>();
        lens(&self.control) + lens(&self.gossip)
    }

    /// Adds to the control lane; `false` when it is full, which is the end of the session.
    pub(crate) fn control(
        &mut self,
        at: Instant,
        (budget, pool): (Budget, &mut Pool),
        (message, len, tag): (M, usize, Tag),
    ) -> bool {
        let taken = self
            .control
            .push(budget, Waiting { message, len, tag })
            .is_ok();
        if taken {
            pool.take(len);
            self.blocked_since.get_or_insert(at);
        }
        taken
    }

    /// Adds to the gossip lane.
    pub(crate) fn gossip(
        &mut self,
        at: Instant,
        (budget, pool, overflow): (Budget, &mut Pool, Overflow),
        message: M,
        len: usize,
    ) -> Pushed {
        let mut waiting = Waiting {
            message,
            len,
            tag: Tag::Plain,
        };
        let mut dropped = 0;
        loop {
            let full = if pool.has(len) {
                match self.gossip.push(budget, waiting) {
                    Ok(()) => {
                        pool.take(len);
                        self.blocked_since.get_or_insert(at);
                        return Pushed {
                            taken: true,
                            dropped,
                        };
                    }
                    Err(back) => back,
                }
            } else {
                waiting
            };
            // Only this peer's own gossip makes room for it, and only if that is enough.
            let others = pool.used().saturating_sub(self.gossip.spent.bytes);
            let never = len > budget.bytes || len > pool.limit().saturating_sub(others);
            if overflow == Overflow::Refuse || never {
                return Pushed {
                    taken: false,
                    dropped,
                };
            }
            let Some(oldest) = self.gossip.pop() else {
                return Pushed {
                    taken: false,
                    dropped,
                };
            };
            pool.give(oldest.len);
            dropped += 1;
            waiting = full;
        }
    }

    /// The next to be written: control before gossip.
    pub(crate) fn pop(&mut self, at: Instant, pool: &mut Pool) -> Option<(M, usize, Tag)> {
        let next = self.control.pop().or_else(|| self.gossip.pop());
        let Some(Waiting { message, len, tag }) = next else {
            self.writing = 0;
            return None;
        };
        pool.give(len);
        self.writing = len;
        self.blocked_since = (!self.is_empty()).then_some(at);
        Some((message, len, tag))
    }

    /// When the peer, or whoever writes to it, has taken nothing for too long: `base` and one second
    /// more for each 256 KiB under way (dcrd pull request 3751).
    pub(crate) fn next(&self, base: Duration) -> Option<(Instant, &'static str)> {
        let extra = Duration::from_secs((self.writing / (256 * 1024)) as u64);
        self.blocked_since
            .map(|since| (since + base + extra, "write"))
    }
}

/// Gossip of one peer that waits to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Inbox<M> {
    lane: Lane<M>,
}

impl<M> Inbox<M> {
    pub(crate) const fn new() -> Self {
        Self { lane: Lane::new() }
    }

    /// Whether so much may come in. What is longer than the whole budget would never pass; it passes
    /// alone.
    pub(crate) fn admits(&self, budget: Budget, len: usize) -> bool {
        let mut spent = self.lane.spent;
        self.lane.queue.is_empty() || spent.spend(budget, len).is_ok()
    }

    pub(crate) fn push(
        &mut self,
        budget: Budget,
        pool: &mut Pool,
        message: M,
        len: usize,
    ) -> Result<(), M> {
        if !pool.admits(len) || !self.admits(budget, len) {
            return Err(message);
        }
        let tag = Tag::Plain;
        self.lane.put(Waiting { message, len, tag });
        pool.take(len);
        Ok(())
    }

    pub(crate) fn pop(&mut self, pool: &mut Pool) -> Option<(M, usize)> {
        let waiting = self.lane.pop()?;
        pool.give(waiting.len);
        Some((waiting.message, waiting.len))
    }

    pub(crate) const fn spent(&self) -> Spent {
        self.lane.spent
    }

    /// Recomputed from the queue.
    pub(crate) fn recount(&self) -> Spent {
        let queue = &self.lane.queue;
        Spent {
            messages: u32::try_from(queue.len()).unwrap_or(u32::MAX),
            bytes: queue.iter().map(|waiting| waiting.len).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const BUDGET: Budget = Budget::new(3, 100);

    #[test]
    fn gossip_makes_room_by_its_own_oldest_or_is_refused() {
        let t0 = start();
        let mut pool = Pool::new(1000);
        let mut lanes = Lanes::new();
        let mut add = |lanes: &mut Lanes<u8>, overflow, message, len| {
            lanes.gossip(t0, (BUDGET, &mut pool, overflow), message, len)
        };
        let taken = |dropped| Pushed {
            taken: true,
            dropped,
        };
        let refused = Pushed {
            taken: false,
            dropped: 0,
        };
        for message in 0..3 {
            assert_eq!(add(&mut lanes, Overflow::Refuse, message, 10), taken(0));
        }
        assert_eq!(add(&mut lanes, Overflow::Refuse, 3, 10), refused);
        assert_eq!(add(&mut lanes, Overflow::DropOldest, 3, 80), taken(1));
        assert_eq!(
            add(&mut lanes, Overflow::DropOldest, 4, 101),
            refused,
            "it can never fit"
        );
        assert_eq!(lanes.bytes(), 100);
        assert_eq!(pool.used(), 100);
        let order: Vec<_> = std::iter::from_fn(|| lanes.pop(t0, &mut pool))
            .map(|m| m.0)
            .collect();
        assert_eq!(order, [1, 2, 3]);
        assert_eq!((pool.used(), lanes.gossip.queue.capacity()), (0, 0));
    }

    #[test]
    fn control_goes_first_and_is_never_dropped_for_gossip() {
        let t0 = start();
        let mut pool = Pool::new(50);
        let mut lanes = Lanes::new();
        let drop_oldest = Overflow::DropOldest;
        for n in 0..3 {
            lanes.gossip(t0, (BUDGET, &mut pool, drop_oldest), n, 10);
        }
        assert!(lanes.control(t0, (BUDGET, &mut pool), (9, 60, Tag::Ping)));
        assert!(
            !lanes.control(t0, (BUDGET, &mut pool), (9, 60, Tag::Ping)),
            "its own bound"
        );
        let pushed = lanes.gossip(t0, (BUDGET, &mut pool, drop_oldest), 7, 10);
        assert!(!pushed.taken, "control has used up the pool");
        assert_eq!(pushed.dropped, 0, "nothing is dropped in vain");
        assert_eq!(lanes.pop(t0, &mut pool), Some((9, 60, Tag::Ping)));
    }

    #[test]
    fn a_write_deadline_grows_with_what_is_being_written() {
        let (t0, base) = (start(), Duration::from_secs(20));
        let mut pool = Pool::new(usize::MAX);
        let mut lanes = Lanes::new();
        let budget = Budget::new(9, usize::MAX);
        lanes.control(t0, (budget, &mut pool), (1, 1 << 20, Tag::Plain));
        assert_eq!(lanes.next(base), Some((t0 + base, "write")));
        lanes.control(t0, (budget, &mut pool), (2, 1, Tag::Plain));
        let later = t0 + Duration::from_secs(5);
        assert!(lanes.pop(later, &mut pool).is_some());
        assert_eq!(
            lanes.next(base),
            Some((later + base + Duration::from_secs(4), "write"))
        );
        assert!(lanes.pop(later, &mut pool).is_some());
        assert_eq!(lanes.next(base), None, "nothing waits");
    }
}

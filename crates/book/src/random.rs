//! Unpredictable numbers that replay: a keyed function of a counter.

use std::hash::Hasher as _;
use std::time::Duration;

use siphasher::sip::SipHasher13;

/// SipHash-1-3 of a counter under a secret key. Whoever sees what the book chose cannot tell what it
/// chooses next; whoever has the seed can play it again.
#[derive(Clone)]
pub(crate) struct Random {
    key: [u8; 16],
    count: u64,
}

impl Random {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self { key, count: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(self.count);
        hasher.finish()
    }

    /// A number below `limit`; 0 if that is 0. The bias of one part in 2⁶⁴/limit does not matter.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let scaled = (u128::from(self.next()) * limit as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// A span from nothing to `most`, in milliseconds.
    pub(crate) fn span(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * u128::from(most)) >> 64;
        Duration::from_millis(u64::try_from(scaled).unwrap_or(most))
    }

    /// Puts `count` of the items, chosen at random, in front, and cuts the rest.
    pub(crate) fn sample<T>(&mut self, items: &mut Vec<T>, count: usize) {
        let count = count.min(items.len());
        for at in 0..count {
            let other = at + self.below(items.len() - at);
            items.swap(at, other);
        }
        items.truncate(count);
    }
}

//! Which numbers were seen.

/// How far behind the highest number one may arrive.
pub(super) const WIDTH: u64 = 128;

/// The numbers seen of the last [`WIDTH`], as in RFC 6479 and RFC 4303, section 3.4.3.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// One more than the highest seen; 0 at the start.
    end: u64,
    /// Bit n: whether `end - 1 - n` was seen.
    seen: u128,
}

impl Window {
    /// Whether this number has not been seen for certain.
    pub(super) const fn is_new(&self, number: u64) -> bool {
        if number >= self.end {
            return true;
        }
        let back = self.end - 1 - number;
        back < WIDTH && self.seen >> back & 1 == 0
    }

    /// Marks it as seen; false if it was before.
    pub(super) const fn take(&mut self, number: u64) -> bool {
        if !self.is_new(number) {
            return false;
        }
        if number >= self.end {
            let ahead = number - self.end + 1;
            self.seen = if ahead >= WIDTH {
                0
            } else {
                self.seen << ahead
            };
            self.end = number.saturating_add(1);
            self.seen |= 1;
        } else {
            self.seen |= 1 << (self.end - 1 - number);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set of all numbers ever taken.
        #[test]
        fn every_number_is_taken_once_at_most(steps in proptest::collection::vec(0_u64..400, 1..300)) {
            let mut window = Window::default();
            let mut taken = BTreeSet::new();
            for number in steps {
                let highest = taken.last().copied();
                let too_old = highest.is_some_and(|high| number + WIDTH <= high);
                let expected = !too_old && !taken.contains(&number);
                prop_assert_eq!(window.take(number), expected, "{}", number);
                if expected {
                    taken.insert(number);
                }
            }
        }
    }
}

//! Numbers that peers cannot guess, from a seed.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::group::Group;

/// A keyed sequence: the same seed gives the same numbers, and whoever sees some of them learns
/// nothing about the next.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    key: [u8; 16],
    drawn: u64,
}

impl Secret {
    pub(crate) const fn new(key: [u8; 16]) -> Self {
        Self { key, drawn: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// A number below `bound`, or 0 when that is 0. The bias is below `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let drawn = u128::from(self.next()) * bound as u128;
        usize::try_from(drawn >> 64).unwrap_or(0)
    }

    /// The secret rank of a group: nobody knows which groups rank high.
    pub(crate) fn rank(&self, group: Group) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match group.ip() {
            std::net::IpAddr::V4(ip) => hasher.write(&ip.octets()),
            std::net::IpAddr::V6(ip) => hasher.write(&ip.octets()),
        }
        hasher.write_u8(1);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_below_their_bound_and_reach_every_value() {
        let mut secret = Secret::new([7; 16]);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[secret.below(5)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert_eq!(secret.below(0), 0);
        assert_ne!(Secret::new([7; 16]).next(), Secret::new([8; 16]).next());
    }
}

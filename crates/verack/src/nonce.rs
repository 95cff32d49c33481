//! Recognising ourselves, without a memory.
//!
//! A node that reaches its own address sees its own nonce come back. Remembering the nonces of all
//! open handshakes needs a shared, bounded set: a lock on the hot path, and an eviction that an
//! attacker can force. Here a nonce for a direct connection carries its own proof instead: 32 random
//! bits, and a 32-bit SipHash tag of them under a key that only this node has. Recognising it takes
//! no state, so nothing can be evicted, and a replayed nonce cannot disarm anything.
//!
//! # Security
//! A recognised nonce tells whoever replays it that two connections end at one node. That is no
//! secret between direct connections, where the address says the same. It would be one across a
//! proxy, so proxied and isolated connections carry plain random nonces and never look for tags.
//! Keys are derived per isolation domain and per epoch; a nonce older than two epochs is a stranger.
//! By chance a foreign nonce is taken for our own three times in 2^32 handshakes.

use std::hash::Hasher;

pub use peerage_core::Domain;
use peerage_core::UnixTime;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24x128};

use crate::version::Nonce;

/// How long one key is used, in seconds of wall-clock time, so that several processes of one node
/// agree on it. Longer than any handshake, short enough that a captured nonce is soon worth nothing.
/// A clock that jumps costs one missed recognition, no more.
pub const EPOCH: i64 = 600;

/// The secret by which one node recognises its own direct connections.
#[derive(Clone)]
pub struct NonceKeys {
    master: [u8; 16],
}

impl NonceKeys {
    /// Keys from 16 secret random bytes.
    pub const fn new(master: [u8; 16]) -> Self {
        Self { master }
    }

    /// A nonce that this node will recognise in `domain` for one to two epochs.
    pub fn issue(&self, domain: Domain, now: UnixTime, random: u32) -> Nonce {
        let tag = self.tag(domain, epoch(now), random);
        Nonce(u64::from(random) << 32 | u64::from(tag))
    }

    /// Whether this node issued `nonce` in `domain`, in this epoch, the last or the next: the
    /// listening side of a self-connection may issue its nonce after a rotation that the dialling
    /// side's attempt began before.
    pub fn recognises(&self, domain: Domain, now: UnixTime, nonce: Nonce) -> bool {
        let [a, b, c, d, tag @ ..] = nonce.0.to_be_bytes();
        let (random, tag) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(tag));
        let epoch = epoch(now);
        [epoch, epoch.wrapping_sub(1), epoch.wrapping_add(1)]
            .into_iter()
            .any(|epoch| self.tag(domain, epoch, random) == tag)
    }

    fn tag(&self, domain: Domain, epoch: i64, random: u32) -> u32 {
        let mut derive = SipHasher24x128::new_with_key(&self.master);
        derive.write_u64(domain.0);
        derive.write_i64(epoch);
        let key = derive.finish128().as_bytes();
        let mut hasher = SipHasher24::new_with_key(&key);
        hasher.write_u32(random);
        let [a, b, c, d, ..] = hasher.finish().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

const fn epoch(now: UnixTime) -> i64 {
    now.0.div_euclid(EPOCH)
}

impl std::fmt::Debug for NonceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceKeys(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn keys(secret: u8) -> NonceKeys {
        NonceKeys::new([secret; 16])
    }

    #[test]
    fn a_node_knows_its_own_nonces_and_no_others() {
        let (ours, theirs, now) = (keys(1), keys(2), NOW);
        for random in [0, 1, 77, u32::MAX] {
            let nonce = ours.issue(Domain(0), now, random);
            assert!(ours.recognises(Domain(0), now, nonce));
            assert!(!theirs.recognises(Domain(0), now, nonce));
            assert!(
                !ours.recognises(Domain(1), now, nonce),
                "domains are strangers"
            );
        }
        assert!(!ours.recognises(Domain(0), now, Nonce(0)));
    }

    #[test]
    fn a_key_is_forgotten_after_two_epochs() {
        let (ours, start) = (keys(1), NOW);
        let nonce = ours.issue(Domain(0), start, 5);
        assert!(ours.recognises(Domain(0), UnixTime(start.0 + EPOCH), nonce));
        assert!(!ours.recognises(Domain(0), UnixTime(start.0 + 2 * EPOCH), nonce));
        // Seen from an attempt that began just before the key's epoch, and not from earlier ones.
        assert!(ours.recognises(Domain(0), UnixTime(start.0 - 1), nonce));
        assert!(!ours.recognises(Domain(0), UnixTime(start.0 - 1 - EPOCH), nonce));
        assert_ne!(
            nonce,
            ours.issue(Domain(0), UnixTime(start.0 + EPOCH), 5),
            "keys rotate"
        );
    }

    #[test]
    fn foreign_nonces_are_almost_never_taken_for_our_own() {
        let (ours, now) = (keys(9), NOW);
        let taken = (0..200_000_u64)
            .map(|n| Nonce(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .filter(|nonce| ours.recognises(Domain(0), now, *nonce));
        assert_eq!(taken.count(), 0);
    }
}

//! The randomness of a machine: a seeded generator, so that a run replays from its seed.

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};

/// Blocks made at once. The first becomes the next key, so that what was handed out cannot be
/// computed from a later state.
const BLOCKS: usize = 16;

/// A cryptographic generator over AES-128 in counter mode that replaces its key after every
/// buffer ("fast key erasure").
///
/// # Security
/// Nonces, challenges and ephemeral keys come from here. The seed must be 32 unpredictable bytes,
/// used for one machine only.
#[derive(Clone)]
pub struct Rng {
    cipher: Aes128Enc,
    counter: u128,
    buffer: [u8; BLOCKS * 16],
    used: usize,
}

impl Rng {
    /// The generator with this seed.
    pub fn new(seed: [u8; 32]) -> Self {
        let (mut key, mut counter) = ([0; 16], [0; 16]);
        key.copy_from_slice(&seed[..16]);
        counter.copy_from_slice(&seed[16..]);
        Self {
            cipher: Aes128Enc::new(&key.into()),
            counter: u128::from_be_bytes(counter),
            buffer: [0; BLOCKS * 16],
            used: BLOCKS * 16,
        }
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut out = out;
        while !out.is_empty() {
            if self.used == self.buffer.len() {
                self.refill();
            }
            let len = out.len().min(self.buffer.len() - self.used);
            let (now, later) = out.split_at_mut(len);
            let taken = &mut self.buffer[self.used..][..len];
            now.copy_from_slice(taken);
            taken.fill(0);
            self.used += len;
            out = later;
        }
    }

    /// So many random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }

    /// A random number below `bound`; 0 if the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.u64()) * bound as u128;
        // Below `bound`, which is a usize. The bias is at most bound / 2^64.
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// A random duration of at most `longest`.
    pub fn duration(&mut self, longest: std::time::Duration) -> std::time::Duration {
        let nanos = usize::try_from(longest.as_nanos()).unwrap_or(usize::MAX);
        std::time::Duration::from_nanos(self.below(nanos.saturating_add(1)) as u64)
    }

    fn refill(&mut self) {
        let mut blocks = [aes::Block::default(); BLOCKS];
        for block in &mut blocks {
            *block = self.counter.to_be_bytes().into();
            self.counter = self.counter.wrapping_add(1);
        }
        self.cipher.encrypt_blocks(&mut blocks);
        for (to, from) in self.buffer.chunks_exact_mut(16).zip(&blocks) {
            to.copy_from_slice(from);
        }
        self.cipher = Aes128Enc::new(&blocks[0]);
        self.buffer[..16].fill(0);
        self.used = 16;
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_everything_and_the_way_of_asking_nothing() {
        let mut whole = [0; 1000];
        Rng::new([7; 32]).fill(&mut whole);
        let mut parts = Rng::new([7; 32]);
        let mut joined = Vec::new();
        for len in (1..60).cycle() {
            if joined.len() + len > 1000 {
                break;
            }
            let mut part = vec![0; len];
            parts.fill(&mut part);
            joined.extend(part);
        }
        assert_eq!(joined, whole[..joined.len()]);
        assert_ne!(Rng::new([8; 32]).bytes::<32>(), whole[..32]);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_every_value() {
        let mut rng = Rng::new([1; 32]);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            counts[rng.below(7)] += 1;
        }
        assert!(
            counts.iter().all(|&count| (800..1200).contains(&count)),
            "{counts:?}"
        );
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}

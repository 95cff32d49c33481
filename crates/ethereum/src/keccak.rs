//! Keccak-256 as Ethereum has it: rate 136, padding `0x01`, before FIPS 202 changed the padding.
//!
//! A running digest that may be read again and again, which is what the frames' authentication
//! needs. The permutation comes from assembly where there is some, otherwise from the `keccak` crate.

use zeroize::Zeroize as _;

/// Bytes absorbed for each permutation.
const RATE: usize = 136;

/// A Keccak-256 state. Wiped when dropped.
#[derive(Clone)]
pub(crate) struct Keccak256 {
    state: [u64; 25],
    /// What waits for a whole block.
    block: [u8; RATE],
    /// How much of `block` is filled; below [`RATE`].
    filled: usize,
}

impl Keccak256 {
    pub(crate) const fn new() -> Self {
        Self {
            state: [0; 25],
            block: [0; RATE],
            filled: 0,
        }
    }

    /// The digest of some parts, one after another.
    pub(crate) fn of(parts: &[&[u8]]) -> [u8; 32] {
        let mut keccak = Self::new();
        parts.iter().for_each(|part| keccak.update(part));
        keccak.digest()
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        if self.filled > 0 {
            let room = &mut self.block[self.filled..];
            let (head, rest) = bytes.split_at(room.len().min(bytes.len()));
            room[..head.len()].copy_from_slice(head);
            self.filled += head.len();
            if self.filled < RATE {
                return;
            }
            absorb(&mut self.state, &self.block);
            bytes = rest;
        }
        let (blocks, rest) = bytes.split_at(bytes.len() - bytes.len() % RATE);
        if !blocks.is_empty() {
            absorb(&mut self.state, blocks);
        }
        self.block[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    /// The digest of everything so far; more may follow.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut state = self.state;
        let mut last = [0; RATE];
        last[..self.filled].copy_from_slice(&self.block[..self.filled]);
        last[self.filled] = 0x01;
        last[RATE - 1] |= 0x80;
        absorb(&mut state, &last);
        let mut digest = [0; 32];
        for (bytes, lane) in digest.as_chunks_mut::<8>().0.iter_mut().zip(&state) {
            *bytes = lane.to_le_bytes();
        }
        digest
    }
}

impl Drop for Keccak256 {
    fn drop(&mut self) {
        self.state.zeroize();
        self.block.zeroize();
    }
}

/// Absorbs whole blocks.
#[cfg(all(feature = "asm", target_arch = "x86_64", unix))]
fn absorb(state: &mut [u64; 25], blocks: &[u8]) {
    let rest = sha3_asm::sha3_absorb(state, blocks, RATE);
    debug_assert_eq!(rest, 0, "not whole blocks");
}

/// Absorbs whole blocks.
#[cfg(not(all(feature = "asm", target_arch = "x86_64", unix)))]
fn absorb(state: &mut [u64; 25], blocks: &[u8]) {
    keccak::Keccak::new().with_f1600(|permute| {
        for block in blocks.chunks_exact(RATE) {
            for (lane, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane ^= u64::from_le_bytes(*bytes);
            }
            permute(state);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha3::Digest as _;

    fn bytes(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    #[test]
    fn agrees_with_another_implementation_at_every_length() {
        for len in 0..3 * RATE + 2 {
            let input = bytes(len);
            let expected: [u8; 32] = sha3::Keccak256::digest(&input).into();
            assert_eq!(Keccak256::of(&[&input]), expected, "{len} bytes");
        }
    }

    #[test]
    fn is_the_same_however_it_is_cut_and_read_in_between() {
        let input = bytes(4 * RATE);
        for first in 0..=2 * RATE {
            for second in [0, 1, 7, 16, RATE - 1, RATE, RATE + 1] {
                let mut ours = Keccak256::new();
                let mut theirs = sha3::Keccak256::new();
                let (a, rest) = input.split_at(first);
                let (b, c) = rest.split_at(second);
                for part in [a, b, c] {
                    ours.update(part);
                    theirs.update(part);
                    let expected: [u8; 32] = theirs.clone().finalize().into();
                    assert_eq!(ours.digest(), expected, "cut at {first} and {second}");
                }
            }
        }
    }
}

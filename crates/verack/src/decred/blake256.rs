//! BLAKE-256, the hash of Decred's envelope and of its block headers.
//!
//! This is the finalist of the SHA-3 competition, with 14 rounds. It is neither BLAKE2 nor BLAKE3,
//! whose digests differ.
//!
//! It is ours because the one published crate with the right algorithm and without C code,
//! `blake-hash` 0.4.1, rests on versions of the `digest` and `block-buffer` traits that have been
//! left behind, and has no salt. The vectors that prove this one are dcrd's, in
//! `tests/vectors/decred-blake256.json`.
//!
//! Source: J.-P. Aumasson, L. Henzen, W. Meier, R. C.-W. Phan, "SHA-3 proposal BLAKE", version 1.3,
//! 16 December 2010, section 2.1. The tables below keep its names: `IV`, c and σ of section 2.1.1;
//! h, s, t, m, v and G of section 2.1.2; the padding is section 2.1.3. All words are big-endian.

/// Length of a digest in bytes.
const DIGEST_LEN: usize = 32;

/// Length of a message block in bytes.
const BLOCK_LEN: usize = 64;

/// Length of a message block in bits, as the counter and the padding count.
const BLOCK_BITS: u64 = 512;

/// Length of a salt in bytes.
const SALT_LEN: usize = 16;

/// Where the message length stands in the last block: its final 8 bytes.
const LENGTH_AT: usize = BLOCK_LEN - 8;

/// The initial value, the same as SHA-256's.
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants c: the leading 512 bits of the fractional part of π.
const C: [u32; 16] = [
    0x243f_6a88,
    0x85a3_08d3,
    0x1319_8a2e,
    0x0370_7344,
    0xa409_3822,
    0x299f_31d0,
    0x082e_fa98,
    0xec4e_6c89,
    0x4528_21e6,
    0x38d0_1377,
    0xbe54_66cf,
    0x34e9_0c6c,
    0xc0ac_29b7,
    0xc97c_50dd,
    0x3f84_d5b5,
    0xb547_0917,
];

/// The permutations σ of the message words; round r uses number r mod 10.
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The BLAKE-256 digest of `bytes`, without a salt.
pub fn blake256(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    let mut hasher = Blake256::new();
    hasher.update(bytes);
    hasher.finalize()
}

/// A BLAKE-256 digest in the making.
///
/// However the message is split over the calls of [`update`](Self::update), the digest is the same.
/// The specification ends at messages of 2⁶⁴ bits, which is 2 EiB.
#[derive(Clone, Debug)]
pub struct Blake256 {
    state: State,
    /// Bits of the message in the blocks compressed so far.
    bits: u64,
    /// The block being filled; bytes from `held` on mean nothing.
    block: [u8; BLOCK_LEN],
    /// Bytes of the message in `block`, always fewer than [`BLOCK_LEN`].
    held: usize,
}

impl Blake256 {
    /// Starts a digest without a salt, which is the same as a salt of zeros.
    pub const fn new() -> Self {
        Self {
            state: State { h: IV, s: [0; 4] },
            bits: 0,
            block: [0; BLOCK_LEN],
            held: 0,
        }
    }

    /// Starts a digest with a salt. Decred uses none on the wire; its vectors do.
    pub fn with_salt(salt: [u8; SALT_LEN]) -> Self {
        let mut hasher = Self::new();
        for (word, bytes) in hasher.state.s.iter_mut().zip(salt.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        hasher
    }

    /// Appends `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.held > 0 {
            let Some((fill, after)) = rest.split_at_checked(BLOCK_LEN - self.held) else {
                self.hold(rest);
                return;
            };
            self.hold(fill);
            self.held = 0;
            self.bits = self.bits.wrapping_add(BLOCK_BITS);
            self.state.compress(&self.block, self.bits);
            rest = after;
        }
        let (blocks, tail) = rest.as_chunks();
        for block in blocks {
            self.bits = self.bits.wrapping_add(BLOCK_BITS);
            self.state.compress(block, self.bits);
        }
        self.hold(tail);
    }

    /// Keeps `bytes` for later; they fit into what is left of the block.
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.held + bytes.len();
        self.block[self.held..end].copy_from_slice(bytes);
        self.held = end;
    }

    /// Ends the message and returns its digest.
    ///
    /// The padding is a 1 bit, zeros, a 1 bit, and the length of the message in bits.
    pub fn finalize(mut self) -> [u8; DIGEST_LEN] {
        let bits = self.bits.wrapping_add(self.held as u64 * 8);
        // A block's counter covers the message up to the block's end, padding left out; it is 0
        // for a block that holds padding alone.
        let mut counter = if self.held == 0 { 0 } else { bits };
        self.block[self.held..].fill(0);
        self.block[self.held] = 0x80;
        if self.held >= LENGTH_AT {
            self.state.compress(&self.block, counter);
            self.block.fill(0);
            counter = 0;
        }
        self.block[LENGTH_AT - 1] |= 0x01;
        self.block[LENGTH_AT..].copy_from_slice(&bits.to_be_bytes());
        self.state.compress(&self.block, counter);
        self.state.into_digest()
    }
}

impl Default for Blake256 {
    fn default() -> Self {
        Self::new()
    }
}

/// What one block hands on to the next.
#[derive(Clone, Debug)]
struct State {
    /// The chain value.
    h: [u32; 8],
    /// The salt.
    s: [u32; 4],
}

impl State {
    /// The compression function over one block, with its `counter` in bits.
    fn compress(&mut self, block: &[u8; BLOCK_LEN], counter: u64) {
        let mut m = [0; 16];
        for (word, bytes) in m.iter_mut().zip(block.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        let [b0, b1, b2, b3, b4, b5, b6, b7] = counter.to_le_bytes();
        let t0 = u32::from_le_bytes([b0, b1, b2, b3]);
        let t1 = u32::from_le_bytes([b4, b5, b6, b7]);

        let [h0, h1, h2, h3, h4, h5, h6, h7] = self.h;
        let [s0, s1, s2, s3] = self.s;
        #[rustfmt::skip]
        let mut v = [
            h0, h1, h2, h3,
            h4, h5, h6, h7,
            s0 ^ C[0], s1 ^ C[1], s2 ^ C[2], s3 ^ C[3],
            t0 ^ C[4], t0 ^ C[5], t1 ^ C[6], t1 ^ C[7],
        ];

        round::<0>(&mut v, &m);
        round::<1>(&mut v, &m);
        round::<2>(&mut v, &m);
        round::<3>(&mut v, &m);
        round::<4>(&mut v, &m);
        round::<5>(&mut v, &m);
        round::<6>(&mut v, &m);
        round::<7>(&mut v, &m);
        round::<8>(&mut v, &m);
        round::<9>(&mut v, &m);
        round::<10>(&mut v, &m);
        round::<11>(&mut v, &m);
        round::<12>(&mut v, &m);
        round::<13>(&mut v, &m);

        for (i, h) in self.h.iter_mut().enumerate() {
            *h ^= self.s[i % 4] ^ v[i] ^ v[i + 8];
        }
    }

    /// The chain value as bytes.
    fn into_digest(self) -> [u8; DIGEST_LEN] {
        let mut digest = [0; DIGEST_LEN];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.h) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}

/// Round `R`: G on the four columns of the state, then on its four diagonals.
///
/// `R` is a constant so that every index is one, and neither a bounds check nor a look-up in
/// [`SIGMA`] is left in the compiled rounds.
#[inline(always)]
fn round<const R: usize>(v: &mut [u32; 16], m: &[u32; 16]) {
    g::<R, 0>(v, m, [0, 4, 8, 12]);
    g::<R, 1>(v, m, [1, 5, 9, 13]);
    g::<R, 2>(v, m, [2, 6, 10, 14]);
    g::<R, 3>(v, m, [3, 7, 11, 15]);
    g::<R, 4>(v, m, [0, 5, 10, 15]);
    g::<R, 5>(v, m, [1, 6, 11, 12]);
    g::<R, 6>(v, m, [2, 7, 8, 13]);
    g::<R, 7>(v, m, [3, 4, 9, 14]);
}

/// The function G of number `I` in round `R`, on the four words of the state named by their place.
#[inline(always)]
fn g<const R: usize, const I: usize>(v: &mut [u32; 16], m: &[u32; 16], [a, b, c, d]: [usize; 4]) {
    let j = SIGMA[R % 10][2 * I];
    let k = SIGMA[R % 10][2 * I + 1];
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(m[j] ^ C[k]);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(12);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(m[k] ^ C[j]);
    v[d] = (v[d] ^ v[a]).rotate_right(8);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(7);
}

#[cfg(test)]
mod tests;

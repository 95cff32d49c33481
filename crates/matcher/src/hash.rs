//! Keyed hashing. The key is drawn by the caller at construction, so that nobody outside can choose
//! ids that collide.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// The key of every table of one matcher.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    sip: SipHasher13,
    fold: [u64; 2],
}

/// Half of a keyed hash, kept with the entry: enough to tell a million apart, and to take one out
/// of a table without looking at its key again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(u32);

impl KeyHash {
    pub(crate) const fn of(hash: u64) -> Self {
        let [a, b, c, d, ..] = hash.to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }

    /// Spread over the bits that a table looks at.
    pub(crate) const fn spread(self) -> u64 {
        (self.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Keys {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        let sip = SipHasher13::new_with_key(&seed);
        let draw = |label: &[u8]| {
            let mut hasher = sip;
            hasher.write(label);
            hasher.finish()
        };
        Self {
            sip,
            // An odd multiplier is never zero.
            fold: [draw(b"fold 0"), draw(b"fold 1") | 1],
        }
    }

    /// Of bytes that a stranger may have chosen.
    pub(crate) fn bytes(&self, tag: u8, bytes: &[u8]) -> u64 {
        let mut hasher = self.sip;
        hasher.write(bytes);
        hasher.write_u8(tag);
        hasher.finish()
    }

    /// Of two numbers of our own making: one multiplication, folded.
    pub(crate) fn numbers(&self, a: u64, b: u64) -> u64 {
        let [k0, k1] = self.fold;
        let (low, high) = widening_mul(a ^ k0, (b ^ k0.rotate_left(32)).wrapping_mul(k1));
        low ^ high
    }
}

/// The lower and the upper half of a product.
fn widening_mul(a: u64, b: u64) -> (u64, u64) {
    let product = (u128::from(a) * u128::from(b)).to_le_bytes();
    let half = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&product[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (half(0), half(8))
}

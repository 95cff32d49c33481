//! A digest of everything that happened.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// A running digest: two runs with the same one did the same, in the same order, at the same times.
/// It is made to notice accidents, not to withstand forgers.
#[derive(Clone, Copy, Default)]
pub struct Trace {
    hasher: SipHasher13,
    entries: u64,
}

impl Trace {
    /// Takes note of one thing. Each is told apart by its kind and the lengths of its parts.
    pub(crate) fn note(&mut self, kind: u8, numbers: &[u64], bytes: &[u8]) {
        self.entries += 1;
        self.hasher.write(&[kind]);
        for number in numbers {
            self.hasher.write(&number.to_le_bytes());
        }
        self.hasher.write(&(bytes.len() as u64).to_le_bytes());
        self.hasher.write(bytes);
    }

    /// The digest so far.
    pub fn digest(&self) -> u128 {
        self.hasher.finish128().as_u128()
    }

    /// How many things were noted.
    pub const fn len(&self) -> u64 {
        self.entries
    }

    /// Whether nothing has happened.
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.digest())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({self} of {})", self.entries)
    }
}

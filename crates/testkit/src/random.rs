//! A generator that depends on nothing but its seed.

/// Where choices come from.
#[derive(Clone, Debug)]
pub enum Random {
    /// SplitMix64, after Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
    Seed(u64),
    /// As many as these bytes hold; zeros after that. This is how a fuzzer chooses.
    Tape(std::vec::IntoIter<u8>),
}

impl Random {
    /// Chosen by a seed.
    pub const fn new(seed: u64) -> Self {
        Self::Seed(seed)
    }

    /// Chosen by these bytes.
    pub fn tape(bytes: &[u8]) -> Self {
        Self::Tape(Vec::from(bytes).into_iter())
    }

    /// Whether a tape has come to its end.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Tape(rest) if rest.len() == 0)
    }

    /// 64 bits of a seed, or the next byte of a tape.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        match self {
            Self::Seed(seed) => {
                *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *seed;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
            Self::Tape(rest) => rest.next().unwrap_or_default().into(),
        }
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let mut next = self.next();
        if limit > 256 && matches!(self, Self::Tape(_)) {
            next = next << 8 | self.next();
        }
        next % limit
    }

    /// True once in so many times.
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// One of these, of which there is at least one.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap();
        from[at].clone()
    }
}

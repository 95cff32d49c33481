//! Where the clock of the wall and entropy come in.

use std::fmt;

use peerage_core::UnixTime;

/// The caller's entropy and wall clock.
///
/// This crate draws every id, nonce and key of its own from here. TLS inside QUIC draws its own from
/// the operating system.
#[derive(Clone, Copy)]
pub struct Outside {
    /// Fills a buffer with random bytes.
    ///
    /// # Security
    /// Whoever can foresee them can read and answer for others.
    pub random: fn(&mut [u8]),
    /// What time it is.
    pub wall_clock: fn() -> UnixTime,
}

impl Outside {
    /// So many fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// What time it is.
    pub fn now(&self) -> UnixTime {
        (self.wall_clock)()
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

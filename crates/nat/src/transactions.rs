//! Transaction ids, from a seed.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::stun::TransactionId;

/// Makes ids that nobody guesses who does not know the seed.
///
/// # Security
/// An answer is believed for its id alone (and its source, which can be forged). The seed must be
/// 16 unpredictable bytes, used for one survey only.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    seed: [u8; 16],
    next: u64,
}

impl Transactions {
    pub(crate) const fn new(seed: [u8; 16]) -> Self {
        Self { seed, next: 0 }
    }

    pub(crate) fn next(&mut self) -> TransactionId {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        hasher.write_u64(self.next);
        self.next += 1;
        let mut id = [0; TransactionId::LEN];
        id.copy_from_slice(&hasher.finish128().as_bytes()[..TransactionId::LEN]);
        TransactionId(id)
    }
}

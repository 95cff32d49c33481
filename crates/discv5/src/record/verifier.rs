//! Remembering what has been verified.

use std::collections::BTreeMap;

use super::{Record, RecordError, Unverified};

/// Verifies records, and knows again those it has seen.
///
/// A lookup meets the same few records again and again, and a verification costs a hundred times as
/// much as a comparison. The newest verified record of each key is kept, up to a bound; a record
/// with the same bytes needs no curve work, and one that is older needs none either.
///
/// # Security
/// Nothing enters unverified, and a record counts as known only if all of its bytes are the same.
/// Who floods us with keys pushes others out, which costs a verification later and nothing else.
#[derive(Debug)]
pub struct Verifier {
    /// By compressed public key: the record, and when it was last of use.
    known: BTreeMap<[u8; 33], (Record, u64)>,
    /// Keys by when they were last of use. Each key of `known` is here exactly once.
    by_use: BTreeMap<u64, [u8; 33]>,
    uses: u64,
    max_records: usize,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Verified with a curve operation.
    Fresh(Record),
    /// Known byte for byte.
    Known(Record),
    /// Not newer than the one known, which is this; the signature was not checked.
    Outdated(Record),
}

impl Verified {
    /// The record to go by: the newest known of its node.
    pub fn into_record(self) -> Record {
        match self {
            Self::Fresh(record) | Self::Known(record) | Self::Outdated(record) => record,
        }
    }
}

impl Verifier {
    /// Remembers at most so many records; about 500 bytes each.
    pub const fn new(max_records: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            max_records,
        }
    }

    /// Whether [`Self::verify`] would return without a curve operation.
    pub fn knows(&self, record: &Unverified) -> bool {
        let known = self.known.get(record.public_key_bytes());
        known.is_some_and(|(known, _)| known.seq() >= record.seq())
    }

    /// The record, if its signature is valid or a newer one of the same node is known.
    ///
    /// # Errors
    /// As [`Unverified::verify`].
    pub fn verify(&mut self, record: Unverified) -> Result<Verified, RecordError> {
        let key = *record.public_key_bytes();
        if let Some((known, used)) = self.known.get_mut(&key)
            && known.seq() >= record.seq()
        {
            self.by_use.remove(used);
            self.uses += 1;
            *used = self.uses;
            self.by_use.insert(self.uses, key);
            let is_same = **known == *record;
            let known = known.clone();
            return Ok(if is_same {
                Verified::Known(known)
            } else {
                Verified::Outdated(known)
            });
        }
        let record = record.verify()?;
        self.remember(&record);
        Ok(Verified::Fresh(record))
    }

    /// Notes a record that is known to be good; an older one does not replace a newer.
    pub fn remember(&mut self, record: &Record) {
        let key = *record.public_key_bytes();
        if self.max_records == 0 {
            return;
        }
        if let Some((known, used)) = self.known.remove(&key) {
            self.by_use.remove(&used);
            if known.seq() > record.seq() {
                self.insert(key, known);
                return;
            }
        }
        while self.known.len() >= self.max_records {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.known.remove(&oldest);
        }
        self.insert(key, record.clone());
    }

    fn insert(&mut self, key: [u8; 33], record: Record) {
        self.uses += 1;
        self.by_use.insert(self.uses, key);
        self.known.insert(key, (record, self.uses));
    }

    /// How many records are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::SecretKey;
    use crate::record::Builder;

    fn record(node: u8, seq: u64) -> Record {
        let key = SecretKey::from_bytes([node; 32]).unwrap();
        Builder::new(seq).sign(&key).unwrap()
    }

    fn unverified(record: &Record) -> Unverified {
        Unverified::decode(record.as_bytes()).unwrap()
    }

    /// The record with its signature spoilt.
    fn forged(record: &Record) -> Unverified {
        let mut bytes = record.as_bytes().to_vec();
        bytes[10] ^= 1;
        Unverified::decode(&bytes).unwrap()
    }

    #[test]
    fn a_known_record_needs_no_second_verification_and_a_forged_one_does_not_pass_for_it() {
        let mut verifier = Verifier::new(4);
        let old = record(1, 1);
        let new = record(1, 2);
        assert_eq!(
            verifier.verify(forged(&old)),
            Err(RecordError::BadSignature)
        );
        assert!(verifier.is_empty());
        assert!(!verifier.knows(&unverified(&old)));
        let fresh = verifier.verify(unverified(&old));
        assert_eq!(fresh, Ok(Verified::Fresh(old.clone())));
        let known = verifier.verify(unverified(&old));
        assert_eq!(known, Ok(Verified::Known(old.clone())));
        let same_seq = verifier.verify(forged(&old));
        assert_eq!(same_seq, Ok(Verified::Outdated(old.clone())), "not as sent");
        assert_eq!(
            verifier.verify(forged(&new)),
            Err(RecordError::BadSignature)
        );
        let newer = verifier.verify(unverified(&new));
        assert_eq!(newer, Ok(Verified::Fresh(new.clone())));
        let older = verifier.verify(unverified(&old));
        assert_eq!(older, Ok(Verified::Outdated(new.clone())));
        verifier.remember(&old);
        assert!(verifier.knows(&unverified(&new)));
    }

    #[test]
    fn the_record_longest_without_use_makes_room() {
        let mut verifier = Verifier::new(2);
        for node in [1, 2] {
            verifier.remember(&record(node, 1));
        }
        verifier.verify(unverified(&record(1, 1))).unwrap();
        verifier.remember(&record(3, 1));
        assert_eq!(verifier.len(), 2);
        assert_eq!(verifier.by_use.len(), 2);
        let known = [1, 2, 3].map(|node| verifier.knows(&unverified(&record(node, 1))));
        assert_eq!(known, [true, false, true]);
    }
}

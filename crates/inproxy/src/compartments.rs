//! The operator's list of common compartments, and which of them a volunteer is in.

use std::fmt;

use peerage_core::wire::Hex;
use peerage_core::{Detail, Failure, Kind, Stage};
use peerage_matcher::{CompartmentId, VolunteerId};
use ring::digest;

/// A common compartment's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Volunteers are assigned to it.
    Active,
    /// Nobody is any more. Its line stays, so that the id is never given out again.
    Retired,
}

/// The operator's list. As text, one a line: `active` or `retired`, and the id as 64 hexadecimal
/// digits; what follows `#` is a comment and is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompartmentList {
    entries: Vec<(CompartmentId, State)>,
}

/// Why a list cannot be used, or not be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompartmentsError {
    /// A line that is none.
    #[error("line {line} is not `active` or `retired` and 64 hexadecimal digits")]
    BadLine {
        /// Its number, from 1.
        line: usize,
    },
    /// The id is there already.
    #[error("compartment {0:?} is on the list already")]
    Twice(CompartmentId),
    /// The id is not there.
    #[error("compartment {0:?} is not on the list")]
    Unknown(CompartmentId),
    /// The list is full.
    #[error("the list may have {} compartments", CompartmentList::MAX)]
    Full,
}

impl Failure for CompartmentsError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        match self {
            Self::BadLine { line } => Detail::none().with("line", *line),
            Self::Twice(_) | Self::Unknown(_) | Self::Full => Detail::none(),
        }
    }
}

impl CompartmentList {
    /// The most compartments: assigning a volunteer looks at each.
    pub const MAX: usize = 1024;

    /// Reads the text form.
    ///
    /// # Errors
    /// The first line that is none, or an id that is there twice.
    pub fn parse(text: &str) -> Result<Self, CompartmentsError> {
        let mut list = Self::default();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let bad = CompartmentsError::BadLine { line: at + 1 };
            let (state, id) = line.split_once(char::is_whitespace).ok_or(bad)?;
            let state = match state {
                "active" => State::Active,
                "retired" => State::Retired,
                _ => return Err(bad),
            };
            list.insert(parse_id(id.trim()).ok_or(bad)?, state)?;
        }
        Ok(list)
    }

    fn insert(&mut self, id: CompartmentId, state: State) -> Result<(), CompartmentsError> {
        if self.entries.iter().any(|(other, _)| *other == id) {
            return Err(CompartmentsError::Twice(id));
        }
        if self.entries.len() >= Self::MAX {
            return Err(CompartmentsError::Full);
        }
        self.entries.push((id, state));
        Ok(())
    }

    /// Adds an active compartment of a random id.
    ///
    /// # Errors
    /// When it is there already, active or retired, or the list is full.
    pub fn add(&mut self, id: CompartmentId) -> Result<(), CompartmentsError> {
        self.insert(id, State::Active)
    }

    /// Retires a compartment: its volunteers move to the others, evenly.
    ///
    /// # Errors
    /// When it is not there.
    pub fn retire(&mut self, id: CompartmentId) -> Result<(), CompartmentsError> {
        let entry = self.entries.iter_mut().find(|(other, _)| *other == id);
        entry.ok_or(CompartmentsError::Unknown(id))?.1 = State::Retired;
        Ok(())
    }

    /// Every compartment in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (CompartmentId, State)> + '_ {
        self.entries.iter().copied()
    }

    /// Those that are active.
    pub fn active(&self) -> impl Iterator<Item = CompartmentId> + '_ {
        let active = self.iter().filter(|(_, state)| *state == State::Active);
        active.map(|(id, _)| id)
    }

    /// Which compartment a volunteer is in: the active one whose SHA-256 with the volunteer's id is
    /// highest (rendezvous hashing). So a volunteer moves only when its own compartment is
    /// retired, or into one that is added.
    pub fn assign(&self, volunteer: &VolunteerId) -> Option<CompartmentId> {
        self.active().max_by_key(|id| {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(&volunteer.0);
            hash.update(&id.0);
            let mut score = [0; 32];
            score.copy_from_slice(hash.finish().as_ref());
            score
        })
    }
}

/// The id of these 64 hexadecimal digits.
pub fn parse_id(text: &str) -> Option<CompartmentId> {
    let mut id = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let value = digit(digits[0])? << 4 | digit(digits[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(CompartmentId(id))
}

impl fmt::Display for CompartmentList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, state) in &self.entries {
            let state = match state {
                State::Active => "active",
                State::Retired => "retired",
            };
            writeln!(f, "{state} {}", Hex(&id.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: u8) -> CompartmentList {
        let mut list = CompartmentList::default();
        for id in 0..count {
            list.add(CompartmentId([id; 32])).unwrap();
        }
        list
    }

    fn volunteer(n: u32) -> VolunteerId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        VolunteerId(id)
    }

    #[test]
    fn the_text_reads_back() {
        let mut list = list(3);
        list.retire(CompartmentId([1; 32])).unwrap();
        assert_eq!(CompartmentList::parse(&list.to_string()), Ok(list));
        let bad = CompartmentList::parse("# nothing\n\nactive 00");
        assert_eq!(bad, Err(CompartmentsError::BadLine { line: 3 }));
        let id = CompartmentId([1; 32]);
        let twice = CompartmentList::parse(&format!("active {0}\nretired {0}", Hex(&id.0)));
        assert_eq!(twice, Err(CompartmentsError::Twice(id)));
    }

    #[test]
    fn volunteers_are_spread_evenly() {
        let list = list(10);
        let mut counts = [0_u32; 10];
        for n in 0..10_000 {
            let id = list.assign(&volunteer(n)).unwrap();
            counts[usize::from(id.0[0])] += 1;
        }
        // 1000 each; 150 are five standard deviations.
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_change_moves_only_those_it_concerns() {
        let before = list(10);
        let mut retired = before.clone();
        retired.retire(CompartmentId([3; 32])).unwrap();
        let mut added = before.clone();
        added.add(CompartmentId([99; 32])).unwrap();
        for n in 0..2_000 {
            let volunteer = volunteer(n);
            let old = before.assign(&volunteer);
            let new = retired.assign(&volunteer);
            assert!(old == Some(CompartmentId([3; 32])) || old == new);
            assert_ne!(new, Some(CompartmentId([3; 32])));
            let new = added.assign(&volunteer);
            assert!(new == Some(CompartmentId([99; 32])) || old == new);
        }
    }
}

//! What an operator wants of a book, all of it or nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage_core::{Detail, Failure, Kind, PeerText, Stage};

use crate::bans::{By, Subject, TooManyBans};
use crate::book::Book;
use crate::candidate::Role;
use crate::key::{Address, Identity, Key};
use crate::moment::Now;
use crate::source::Source;
use crate::tip::Refused;

/// A ban that is wanted; it takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanWish {
    /// Whom it concerns.
    pub subject: Subject,
    /// For how long; for good without it.
    pub term: Option<Duration>,
    /// Why.
    pub words: Box<str>,
}

/// A peer that is always wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinWish {
    /// Who, where peers have identities.
    pub identity: Option<Identity>,
    /// Where.
    pub address: Address,
    /// Static or trusted.
    pub role: Role,
}

impl PinWish {
    /// What it is in the book.
    pub fn key(&self) -> Key {
        match &self.identity {
            Some(identity) => identity.clone().into(),
            None => Key::Address(self.address.clone()),
        }
    }
}

/// What an operator wants: what is given up is given up first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Bans to lift; one that is not there is no mistake.
    pub lift: Vec<Subject>,
    /// Static and trusted peers that are to be ordinary again; one that is none is no mistake.
    pub unpin: Vec<Key>,
    /// Bans.
    pub ban: Vec<BanWish>,
    /// Static and trusted peers.
    pub pin: Vec<PinWish>,
}

/// A wish that cannot be granted; none of them was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WishError {
    /// There would be too many bans.
    #[error(transparent)]
    Bans(#[from] TooManyBans),
    /// There would be too many static and trusted peers.
    #[error("there may be {limit} static and trusted peers: leave some out")]
    Pins {
        /// The limit.
        limit: usize,
    },
    /// A peer cannot be dialled.
    #[error("{address} cannot be a static or trusted peer")]
    Pin {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        why: Refused,
    },
}

impl Failure for WishError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Bans(_) | Self::Pins { .. } => Kind::Full,
            Self::Pin { .. } => Kind::Usage,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Bans(bans) => bans.detail(),
            Self::Pins { limit } => Detail::none().with("limit", *limit),
            Self::Pin { address, .. } => {
                Detail::none().with("address", PeerText::from(&*address.to_string()))
            }
        }
    }
}

impl Book {
    /// Does what an operator wants, all of it.
    ///
    /// # Errors
    /// The first wish that cannot be granted. Nothing has changed then.
    pub fn grant(&mut self, now: Now, wishes: &Wishes) -> Result<(), WishError> {
        self.check_wishes(wishes)?;
        for subject in &wishes.lift {
            let _ = self.lift(now, subject);
        }
        for key in &wishes.unpin {
            let _ = self.unpin(now, key);
        }
        for BanWish {
            subject,
            term,
            words,
        } in &wishes.ban
        {
            self.ban(now, subject.clone(), By::Operator, *term, words)?;
        }
        for wish in &wishes.pin {
            let address = wish.address.clone();
            self.pin(now, wish.identity.clone(), address.clone(), wish.role)
                .map_err(|why| WishError::Pin { address, why })?;
        }
        Ok(())
    }

    /// Whether all of them can be granted, so that none fails after another was.
    fn check_wishes(&self, wishes: &Wishes) -> Result<(), WishError> {
        // The node's own bans give way, so the operator's alone must fit.
        let standing = self.bans.iter().filter(|(_, ban)| ban.by == By::Operator);
        let mut bans: BTreeSet<&Subject> = standing.map(|(subject, _)| subject).collect();
        bans.retain(|subject| !wishes.lift.contains(subject));
        bans.extend(wishes.ban.iter().map(|wish| &wish.subject));
        let limit = self.config.caps.bans;
        if bans.len() > limit {
            return Err(TooManyBans { limit }.into());
        }
        for PinWish { address, .. } in &wishes.pin {
            if let Address::At(endpoint) = address {
                self.judge(*endpoint, &Source::Operator)
                    .map_err(|why| WishError::Pin {
                        address: address.clone(),
                        why,
                    })?;
            }
        }
        let pinned = self.candidates.values();
        let pinned = pinned.filter(|candidate| candidate.role.is_pinned());
        let mut pins: BTreeSet<Key> = pinned.map(|candidate| candidate.key.clone()).collect();
        pins.retain(|key| !wishes.unpin.contains(key));
        let before = pins.len();
        pins.extend(wishes.pin.iter().map(PinWish::key));
        let limit = self.config.caps.pinned;
        if pins.len() > limit.max(before) {
            return Err(WishError::Pins { limit });
        }
        Ok(())
    }
}

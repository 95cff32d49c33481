//! What all entries of a shelf share, and which hard rules two shelves meet.

use crate::config::{Extras, NatRule};
use crate::geography::Geography;
use crate::nat::Class;
use crate::record::{Properties, Versions};
use crate::rules::{Areas, Rules};

/// Everything that a rule asks of an entry, but for its compartments and its geography. What an
/// extra reads that is off has one and the same value everywhere, so it makes no shelf of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShelfKey {
    pub(crate) class: Class,
    pub(crate) priority: bool,
    pub(crate) newcomer: bool,
    pub(crate) versions: Versions,
    pub(crate) areas: Areas,
}

/// A hard rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// They must share a compartment.
    Compartment,
    /// Their NATs must be compatible, if [`NatRule::Require`] says so.
    Nat,
    /// They must share a protocol version, if [`Extras::versions`] says so.
    Versions,
    /// [`Extras::allow_match`] must not object.
    AllowMatch,
    /// They must not be of the same country and network.
    Geography,
}

impl Rule {
    /// Every rule, in the order in which [`explain`](crate::Matcher::explain_offer) blames them.
    pub const ALL: [Self; 5] = [
        Self::Compartment,
        Self::Nat,
        Self::Versions,
        Self::AllowMatch,
        Self::Geography,
    ];

    /// Stable snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compartment => "compartment",
            Self::Nat => "nat",
            Self::Versions => "versions",
            Self::AllowMatch => "allow_match",
            Self::Geography => "geography",
        }
    }
}

/// The hard rules that hold between shelves.
#[derive(Debug)]
pub(crate) struct Hard {
    nat: NatRule,
    versions: Option<Versions>,
    rules: Rules,
}

impl Hard {
    pub(crate) fn new(extras: &Extras) -> Self {
        Self {
            nat: extras.nat,
            versions: extras.versions,
            rules: Rules::new(&extras.allow_match),
        }
    }

    fn versions_of(&self, properties: &Properties) -> Versions {
        let known = self.versions.unwrap_or(Versions::NONE);
        properties.versions.both(known)
    }

    /// Whether the version rule lets these properties match anyone at all.
    pub(crate) fn has_version(&self, properties: &Properties) -> bool {
        self.versions.is_none() || !self.versions_of(properties).is_empty()
    }

    pub(crate) fn offer_key(&self, properties: &Properties) -> ShelfKey {
        self.key(properties, |rules, geography| rules.client(geography))
    }

    pub(crate) fn announcement_key(&self, properties: &Properties) -> ShelfKey {
        self.key(properties, |rules, geography| rules.volunteer(geography))
    }

    fn key(
        &self,
        properties: &Properties,
        areas: impl Fn(&Rules, &Geography) -> Areas,
    ) -> ShelfKey {
        ShelfKey {
            class: properties.class(),
            priority: false,
            newcomer: false,
            versions: self.versions_of(properties),
            areas: areas(&self.rules, &properties.geography),
        }
    }

    /// The first hard rule that keeps two shelves of one room apart, if any.
    pub(crate) fn objection(&self, offer: &ShelfKey, announcement: &ShelfKey) -> Option<Rule> {
        if self.nat == NatRule::Require && !offer.class.is_compatible(announcement.class) {
            return Some(Rule::Nat);
        }
        if self.versions.is_some() && offer.versions.both(announcement.versions).is_empty() {
            return Some(Rule::Versions);
        }
        if !self.rules.allow(offer.areas, announcement.areas) {
            return Some(Rule::AllowMatch);
        }
        None
    }
}

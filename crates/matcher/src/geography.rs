//! Where a request comes from, as the operator's database tells.

use std::fmt;

/// A country: two upper-case letters of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country of these two letters, in either case; nothing if they are not two ASCII letters.
    pub const fn new(letters: [u8; 2]) -> Option<Self> {
        let upper = [
            letters[0].to_ascii_uppercase(),
            letters[1].to_ascii_uppercase(),
        ];
        if upper[0].is_ascii_uppercase() && upper[1].is_ascii_uppercase() {
            Some(Self(upper))
        } else {
            None
        }
    }

    /// The two letters.
    pub const fn letters(self) -> [u8; 2] {
        self.0
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number of an autonomous system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(pub u32);

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

/// Country and network of a request. Each part may be unknown; see [`UnknownGeography`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Geography {
    /// The country, if known.
    pub country: Option<Country>,
    /// The autonomous system, if known.
    pub asn: Option<Asn>,
}

impl Geography {
    /// Neither part known.
    pub const UNKNOWN: Self = Self {
        country: None,
        asn: None,
    };

    /// Both parts known.
    pub const fn known(country: Country, asn: Asn) -> Self {
        Self {
            country: Some(country),
            asn: Some(asn),
        }
    }

    /// Whether both parts are known.
    pub const fn is_known(&self) -> bool {
        self.country.is_some() && self.asn.is_some()
    }

    /// All of it in one number: equal numbers, equal geographies.
    pub(crate) fn packed(&self) -> Packed {
        let country = self.country.map_or(0, |c| u16::from_be_bytes(c.0));
        let asn = self
            .asn
            .map_or(0, |asn| Packed::ASN_KNOWN | u64::from(asn.0));
        Packed(u64::from(country) << 33 | asn)
    }
}

/// A [`Geography`] as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed(pub(crate) u64);

/// What becomes of the rule "not the same country and network" when a part is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownGeography {
    /// An unknown geography is the same as no other: such requests match anyone.
    #[default]
    Distinct,
    /// Unknown parts are equal to unknown parts, so two requests with nothing known never match.
    /// The reference's behaviour.
    Equal,
    /// A request with an unknown part is refused.
    Refused,
}

impl Packed {
    const ASN_KNOWN: u64 = 1 << 32;

    pub(crate) const fn is_known(self) -> bool {
        self.0 >> 33 != 0 && self.0 & Self::ASN_KNOWN != 0
    }

    pub(crate) fn asn(self) -> Option<Asn> {
        let [_, _, _, _, number @ ..] = self.0.to_be_bytes();
        (self.0 & Self::ASN_KNOWN != 0).then_some(Asn(u32::from_be_bytes(number)))
    }
}

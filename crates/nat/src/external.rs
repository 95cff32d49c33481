//! Which address of ours to tell others.
//!
//! Five sources, in the order of trust, for each family apart:
//!
//! | source | knows | believed because |
//! |---|---|---|
//! | configured | address, maybe port | the operator says so |
//! | mapped | address and port | our router says so; unless those outside see another address |
//! | voted | address and port | many nodes that we chose to ask agree |
//! | seen | address; the port only without a NAT | the STUN servers of our choice say so |
//! | bound | address and port | a listener is bound to it by name |
//!
//! A node bound to no particular address tells the public only addresses of the public. What is
//! bound to a local one by name may tell local ones: whoever does that means it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use peerage_core::{Endpoint, Reach};

use crate::family::Family;
use crate::survey::Report;

/// Who says where we are, the most trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The configuration.
    Configured,
    /// A port mapping of our router.
    Mapped,
    /// A majority of the nodes that we asked.
    Voted,
    /// STUN servers.
    Seen,
    /// The address a listener is bound to.
    Bound,
}

impl Source {
    /// All, in order.
    pub const ALL: [Self; 5] = [
        Self::Configured,
        Self::Mapped,
        Self::Voted,
        Self::Seen,
        Self::Bound,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Mapped => "mapped",
            Self::Voted => "voted",
            Self::Seen => "seen",
            Self::Bound => "bound",
        }
    }

    /// Whether it looks at us from outside.
    const fn is_witness(self) -> bool {
        matches!(self, Self::Voted | Self::Seen)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says it.
    pub source: Source,
    /// Where we are; port 0 where it does not know.
    pub endpoint: Endpoint,
    /// Since when.
    pub at: Instant,
    /// Until when, if it ends.
    pub expires_at: Option<Instant>,
}

/// Why a claim was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetAside {
    /// Its time is over.
    Stale,
    /// It is an address that the public cannot use, and we are bound to none by name.
    NotPublic(Reach),
    /// The router's outside is not what those outside see: it stands behind another NAT.
    AnotherNat,
    /// A source more trusted says another address.
    Differs,
    /// The address is the one chosen, the port is another.
    OtherPort,
    /// Nobody knows at which port of it we can be reached.
    NoPort,
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "its time is over",
            Self::NotPublic(Reach::Loopback) => "a loopback address is of no use to the public",
            Self::NotPublic(Reach::Private) => "a private address is of no use to the public",
            Self::NotPublic(Reach::Unusable | Reach::Global) => "nobody can use such an address",
            Self::AnotherNat => "those outside see another address: another NAT follows the router",
            Self::Differs => "a source more trusted says another address",
            Self::OtherPort => "the same address, but a source more trusted says another port",
            Self::NoPort => "a NAT stands between, and nobody knows the port to reach us at",
        })
    }
}

/// What to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Where we are.
    pub endpoint: Endpoint,
    /// Who says so.
    pub source: Source,
    /// Who says at which port, where that is another.
    pub port_from: Source,
}

/// What was decided for a family, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The family.
    pub family: Family,
    /// What to tell, if anything.
    pub chosen: Option<Chosen>,
    /// Who else names the same address.
    pub confirmed_by: Vec<Source>,
    /// The claims not followed, and why.
    pub set_aside: Vec<(Claim, SetAside)>,
}

impl Decision {
    /// Whether a source that counts names another address than the one chosen.
    pub fn is_disputed(&self) -> bool {
        let differ = |why: &SetAside| matches!(why, SetAside::Differs | SetAside::AnotherNat);
        self.set_aside.iter().any(|(_, why)| differ(why))
    }
}

/// One line, then one for each claim set aside.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chosen {
            Some(chosen) => {
                write!(f, "{}: {}, {}", self.family, chosen.endpoint, chosen.source)?;
                if chosen.port_from != chosen.source {
                    write!(f, " (port {})", chosen.port_from)?;
                }
                if !self.confirmed_by.is_empty() {
                    let names = self.confirmed_by.iter().map(|source| source.name());
                    write!(f, "; also {}", names.collect::<Vec<_>>().join(", "))?;
                }
            }
            None => write!(f, "{}: no address to tell", self.family)?,
        }
        for (claim, why) in &self.set_aside {
            let (source, endpoint) = (claim.source, claim.endpoint);
            if endpoint.port() == 0 {
                write!(f, "\n  not {} ({source}): {why}", endpoint.ip())?;
            } else {
                write!(f, "\n  not {endpoint} ({source}): {why}")?;
            }
        }
        Ok(())
    }
}

/// Gathers claims and decides.
#[derive(Clone, Debug, Default)]
pub struct External {
    /// Where the listener is bound, named or not.
    bound: BTreeMap<Family, Endpoint>,
    claims: BTreeMap<(Family, Source), Claim>,
}

impl External {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// A listener is bound here. An unspecified address is no claim; its port counts for
    /// configured addresses without one.
    pub fn bind(&mut self, now: Instant, at: Endpoint) {
        let family = Family::of(at.ip());
        self.bound.insert(family, at);
        if at.is_dialable() {
            self.claim(now, Source::Bound, at, None);
        } else {
            self.withdraw(family, Source::Bound);
        }
    }

    /// A source says that we are at `endpoint`, for as long as `life` if it ends. It replaces what
    /// the source said before about that family.
    pub fn claim(
        &mut self,
        now: Instant,
        source: Source,
        endpoint: Endpoint,
        life: Option<Duration>,
    ) {
        let claim = Claim {
            source,
            endpoint,
            at: now,
            expires_at: life.and_then(|life| now.checked_add(life)),
        };
        let family = Family::of(endpoint.ip());
        self.claims.insert((family, source), claim);
    }

    /// A survey says where we are seen. Its sockets are not the listener's: the port is known only
    /// if nothing is translated.
    pub fn claim_survey(&mut self, now: Instant, report: &Report, life: Duration) {
        let Some(seen) = report.external else {
            self.withdraw(report.family, Source::Seen);
            return;
        };
        // Two addresses of a NAT with many: none of them is ours for long.
        let one = report.externals.iter().all(|at| at.ip() == seen.ip());
        if !one {
            self.withdraw(report.family, Source::Seen);
            return;
        }
        let bound = self.bound.get(&report.family).map_or(0, Endpoint::port);
        let port = if report.is_translated() == Some(false) {
            bound
        } else {
            0
        };
        self.claim(
            now,
            Source::Seen,
            Endpoint::new(seen.ip(), port),
            Some(life),
        );
    }

    /// A source says nothing any more.
    pub fn withdraw(&mut self, family: Family, source: Source) {
        self.claims.remove(&(family, source));
    }

    /// Forgets what others see: we are attached elsewhere.
    pub fn forget_witnesses(&mut self) {
        self.claims.retain(|(_, source), _| !source.is_witness());
    }

    /// What to tell now.
    pub fn decide(&self, now: Instant, family: Family) -> Decision {
        let mut live = Vec::new();
        let mut set_aside = Vec::new();
        for source in Source::ALL {
            let Some(claim) = self.claims.get(&(family, source)) else {
                continue;
            };
            match self.refuse(now, family, claim) {
                Some(why) => set_aside.push((*claim, why)),
                None => live.push(*claim),
            }
        }
        let is_contradicted = |mapped: &Claim| {
            let mut witnesses = live
                .iter()
                .filter(|claim| claim.source.is_witness())
                .peekable();
            let is_witnessed = witnesses.peek().is_some();
            let ip = mapped.endpoint.ip();
            is_witnessed && witnesses.all(|claim| claim.endpoint.ip() != ip)
        };
        let another_nat = live
            .iter()
            .position(|claim| claim.source == Source::Mapped && is_contradicted(claim));
        if let Some(mapped) = another_nat {
            set_aside.push((live.remove(mapped), SetAside::AnotherNat));
        }
        let Some(first) = live.first().copied() else {
            return Decision {
                family,
                chosen: None,
                confirmed_by: Vec::new(),
                set_aside,
            };
        };
        let ip = first.endpoint.ip();
        let (same, others): (Vec<&Claim>, Vec<&Claim>) =
            live.iter().partition(|claim| claim.endpoint.ip() == ip);
        set_aside.extend(others.into_iter().map(|claim| (*claim, SetAside::Differs)));
        let Some((port, port_from)) = self.port(family, &same) else {
            let nowhere = same.into_iter().map(|claim| (*claim, SetAside::NoPort));
            set_aside.extend(nowhere);
            return Decision {
                family,
                chosen: None,
                confirmed_by: Vec::new(),
                set_aside,
            };
        };
        let mut confirmed_by = Vec::new();
        for claim in same.into_iter().skip(1) {
            let told = claim.endpoint.port();
            if told == port || told == 0 {
                confirmed_by.push(claim.source);
            } else {
                set_aside.push((*claim, SetAside::OtherPort));
            }
        }
        let chosen = Chosen {
            endpoint: Endpoint::new(ip, port),
            source: first.source,
            port_from,
        };
        Decision {
            family,
            chosen: Some(chosen),
            confirmed_by,
            set_aside,
        }
    }

    /// The port from the most trusted that knows it; the operator who names none means the
    /// listener's.
    fn port(&self, family: Family, same: &[&Claim]) -> Option<(u16, Source)> {
        let known = same.iter().find(|claim| claim.endpoint.port() != 0);
        if let Some(claim) = known {
            return Some((claim.endpoint.port(), claim.source));
        }
        let configured = same.iter().any(|claim| claim.source == Source::Configured);
        let bound = self.bound.get(&family).map(Endpoint::port)?;
        (configured && bound != 0).then_some((bound, Source::Bound))
    }

    fn refuse(&self, now: Instant, family: Family, claim: &Claim) -> Option<SetAside> {
        if claim.expires_at.is_some_and(|until| until <= now) {
            return Some(SetAside::Stale);
        }
        let reach = Reach::of(claim.endpoint.ip());
        let bound = self.bound.get(&family).map(Endpoint::ip);
        let may_be_local = match claim.source {
            // Whoever configures an address means it.
            Source::Configured | Source::Bound => true,
            Source::Mapped | Source::Voted | Source::Seen => bound
                .is_some_and(|bound| Reach::of(bound).may_share(reach) && !bound.is_unspecified()),
        };
        let is_usable = match reach {
            Reach::Global => true,
            Reach::Private | Reach::Loopback => may_be_local,
            Reach::Unusable => false,
        };
        (!is_usable).then_some(SetAside::NotPublic(reach))
    }

    /// When what is decided may change by itself.
    pub fn next_expiry(&self, now: Instant) -> Option<Instant> {
        let ends = self.claims.values().filter_map(|claim| claim.expires_at);
        ends.filter(|end| *end > now).min()
    }
}

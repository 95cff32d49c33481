//! Which candidates of a session description are passed on.

use std::net::IpAddr;

use peerage_matcher::Geography;

use crate::address::{Reach, reach};
use crate::description::{Candidate, Description};
use crate::geography::Locate;

/// Why a candidate is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// No host can be there.
    Bogus,
    /// Private, and the two share no personal compartment.
    Private,
    /// Loopback, and the switch for tests is off.
    Loopback,
    /// It is elsewhere than its sender.
    Elsewhere,
    /// It is there already.
    Twice,
}

/// What the filter goes by.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    /// Where addresses are.
    pub geography: &'a dyn Locate,
    /// Whether private addresses may pass: in personal compartments, whose owners chose each other.
    pub private: bool,
    /// Whether loopback addresses may pass, private ones too. Only for tests on one host.
    ///
    /// # Security
    /// With it any client can make any volunteer send packets into the volunteer's own host and
    /// network, and the other way round.
    pub loopback: bool,
}

impl Filter<'_> {
    /// Takes out of a description what must not be passed on; says why for each.
    ///
    /// A candidate is elsewhere if both it and the address that its sender was seen at are located,
    /// and not in the same country and network: whoever sends it may want a stranger flooded.
    pub fn apply(&self, from: IpAddr, description: &mut Description) -> Vec<(Candidate, Dropped)> {
        let home = self.geography.locate(from);
        let mut dropped = Vec::new();
        let mut kept: Vec<Candidate> = Vec::new();
        for &candidate in &description.candidates {
            let twice = kept.iter().any(|other| other.addr == candidate.addr);
            match self.objection(from, home, candidate) {
                Some(why) => dropped.push((candidate, why)),
                None if twice => dropped.push((candidate, Dropped::Twice)),
                None => kept.push(candidate),
            }
        }
        description.candidates = kept;
        dropped
    }

    fn objection(&self, from: IpAddr, home: Geography, candidate: Candidate) -> Option<Dropped> {
        let ip = candidate.addr.ip();
        if candidate.addr.port() == 0 {
            return Some(Dropped::Bogus);
        }
        match reach(ip) {
            Reach::Bogus => Some(Dropped::Bogus),
            Reach::Private => (!self.private && !self.loopback).then_some(Dropped::Private),
            Reach::Loopback => (!self.loopback).then_some(Dropped::Loopback),
            Reach::Public => {
                let there = self.geography.locate(ip);
                let elsewhere = ip != from
                    && (differs(home.country, there.country) || differs(home.asn, there.asn));
                elsewhere.then_some(Dropped::Elsewhere)
            }
        }
    }
}

fn differs<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{CandidateKind, CheckKey, Fingerprint};
    use crate::geography::StaticTable;

    fn described(addrs: &[&str]) -> Description {
        let candidate = |addr: &&str| Candidate {
            kind: CandidateKind::Host,
            addr: addr.parse::<std::net::SocketAddr>().unwrap().into(),
        };
        Description {
            check_key: CheckKey([0; 16]),
            fingerprint: Fingerprint([0; 32]),
            dtls: None,
            candidates: addrs.iter().map(candidate).collect(),
        }
    }

    const ALL: &[&str] = &[
        "8.8.8.8:1",
        "8.8.8.8:1",
        "8.8.8.8:0",
        "1.1.1.1:1",
        "9.9.9.9:1",
        "10.0.0.1:1",
        "127.0.0.1:1",
        "192.0.2.1:1",
    ];

    fn kept(private: bool, loopback: bool) -> Vec<String> {
        let table = StaticTable::parse("8.0.0.0/8 US 15169\n1.0.0.0/8 AU 13335\n").unwrap();
        let filter = Filter {
            geography: &table,
            private,
            loopback,
        };
        let mut description = described(ALL);
        let dropped = filter.apply("8.8.4.4".parse().unwrap(), &mut description);
        assert_eq!(dropped.len() + description.candidates.len(), ALL.len());
        let kept = description.candidates.iter();
        kept.map(|candidate| candidate.addr.to_string()).collect()
    }

    #[test]
    fn only_public_addresses_at_home_or_of_unknown_place_pass() {
        assert_eq!(kept(false, false), ["8.8.8.8:1", "9.9.9.9:1"]);
    }

    #[test]
    fn personal_compartments_may_use_private_addresses() {
        assert_eq!(kept(true, false), ["8.8.8.8:1", "9.9.9.9:1", "10.0.0.1:1"]);
    }

    #[test]
    fn the_switch_for_tests_lets_loopback_pass_and_nothing_bogus() {
        let kept = kept(false, true);
        assert!(kept.contains(&"127.0.0.1:1".into()));
        assert!(!kept.contains(&"192.0.2.1:1".into()));
        assert!(!kept.contains(&"1.1.1.1:1".into()));
    }
}

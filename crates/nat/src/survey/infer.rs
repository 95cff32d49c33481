//! From answers to behaviours: plain functions of what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use peerage_core::Endpoint;
use peerage_core::nat::Behaviour;

use super::report::{Finding, Unknown};

/// How one socket was mapped, from whom it was seen where.
///
/// Two addresses are needed to say anything. All the same is endpoint-independent. One mapping for
/// each address, whatever the port, is address-dependent; one that changes with the port is
/// address-and-port-dependent (RFC 5780 section 4.3). If two addresses see the same and a third
/// does not, no NAT of RFC 4787 does that.
pub fn mapping(seen: &BTreeMap<Endpoint, Endpoint>) -> Finding {
    if seen.is_empty() {
        return Err(Unknown::NoAnswer);
    }
    let mut of_ip: BTreeMap<IpAddr, BTreeSet<Endpoint>> = BTreeMap::new();
    let mut ports: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (server, mapped) in seen {
        of_ip.entry(server.ip()).or_default().insert(*mapped);
        *ports.entry(server.ip()).or_default() += 1;
    }
    let all: BTreeSet<&Endpoint> = seen.values().collect();
    if of_ip.values().any(|mapped| mapped.len() > 1) {
        return Ok(Behaviour::AddressAndPortDependent);
    }
    if of_ip.len() < 2 {
        return Err(Unknown::OneAddress);
    }
    if all.len() == 1 {
        return Ok(Behaviour::EndpointIndependent);
    }
    if all.len() < of_ip.len() {
        return Err(Unknown::Disagree);
    }
    // Each address sees another; whether a port would too was asked only where two answered.
    if ports.values().any(|ports| *ports > 1) {
        Ok(Behaviour::AddressDependent)
    } else {
        Err(Unknown::Dependent)
    }
}

/// What one server's answers say about filtering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtering {
    /// The server answered a plain request.
    pub reached: bool,
    /// It has another address.
    pub has_other: bool,
    /// It does not answer from elsewhere, or refuses to.
    pub unsupported: bool,
    /// An answer from the other address and port came in.
    pub from_both: bool,
    /// One from the other port did.
    pub from_port: bool,
    /// Its other address and port answer when they are asked themselves.
    pub both_lives: bool,
    /// Its other port does.
    pub port_lives: bool,
}

impl Filtering {
    /// The behaviour (RFC 5780 section 4.4). Silence proves something only if the one that should
    /// have spoken is known to live.
    pub const fn finding(self) -> Finding {
        if !self.reached {
            Err(Unknown::NoAnswer)
        } else if self.from_both {
            Ok(Behaviour::EndpointIndependent)
        } else if !self.has_other {
            Err(Unknown::OneAddress)
        } else if self.unsupported {
            Err(Unknown::Unsupported)
        } else if !self.both_lives {
            Err(Unknown::HalfServer)
        } else if self.from_port {
            Ok(Behaviour::AddressDependent)
        } else if self.port_lives {
            Ok(Behaviour::AddressAndPortDependent)
        } else {
            Err(Unknown::HalfServer)
        }
    }
}

/// One finding from those of several servers: what all that know agree on.
pub fn agreed(findings: impl IntoIterator<Item = Finding>) -> Finding {
    let mut known: Option<Behaviour> = None;
    let mut unknown = None;
    for finding in findings {
        match (finding, known) {
            (Ok(one), Some(other)) if one != other => return Err(Unknown::Disagree),
            (Ok(one), _) => known = Some(one),
            // The most telling: who answers halfway says more than who does not answer.
            (Err(why), _) => unknown = unknown.max(Some(why)),
        }
    }
    known.ok_or(unknown.unwrap_or(Unknown::NoServer))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use Behaviour::{AddressAndPortDependent, AddressDependent, EndpointIndependent};

    fn seen(pairs: &[(&str, &str)]) -> BTreeMap<Endpoint, Endpoint> {
        let end = |text: &str| -> Endpoint { text.parse::<SocketAddr>().unwrap().into() };
        pairs.iter().map(|(a, b)| (end(a), end(b))).collect()
    }

    #[test]
    fn mapping_follows_from_who_saw_what() {
        let (a1, a2, b1, b2) = ("1.0.0.1:1", "1.0.0.1:2", "2.0.0.2:1", "2.0.0.2:2");
        let (c1, x, y, z) = ("3.0.0.3:1", "9.0.0.9:1", "9.0.0.9:2", "9.0.0.9:3");
        for (pairs, finding) in [
            (vec![], Err(Unknown::NoAnswer)),
            (vec![(a1, x)], Err(Unknown::OneAddress)),
            (vec![(a1, x), (a2, x)], Err(Unknown::OneAddress)),
            (vec![(a1, x), (a2, y)], Ok(AddressAndPortDependent)),
            (vec![(a1, x), (b1, x)], Ok(EndpointIndependent)),
            (vec![(a1, x), (b1, y)], Err(Unknown::Dependent)),
            (vec![(a1, x), (b1, y), (b2, y)], Ok(AddressDependent)),
            (vec![(a1, x), (b1, y), (b2, z)], Ok(AddressAndPortDependent)),
            (vec![(a1, x), (b1, x), (c1, y)], Err(Unknown::Disagree)),
            (
                vec![(a1, x), (a2, x), (b1, x), (b2, x)],
                Ok(EndpointIndependent),
            ),
        ] {
            assert_eq!(mapping(&seen(&pairs)), finding, "{pairs:?}");
        }
    }

    #[test]
    fn silence_of_a_server_that_may_be_dead_proves_nothing() {
        let alive = Filtering {
            reached: true,
            has_other: true,
            both_lives: true,
            port_lives: true,
            ..Filtering::default()
        };
        assert_eq!(alive.finding(), Ok(AddressAndPortDependent));
        let half = |change: fn(&mut Filtering)| {
            let mut seen = alive;
            change(&mut seen);
            seen.finding()
        };
        assert_eq!(half(|s| s.port_lives = false), Err(Unknown::HalfServer));
        assert_eq!(half(|s| s.both_lives = false), Err(Unknown::HalfServer));
        assert_eq!(half(|s| s.from_port = true), Ok(AddressDependent));
        assert_eq!(half(|s| s.from_both = true), Ok(EndpointIndependent));
        assert_eq!(half(|s| s.has_other = false), Err(Unknown::OneAddress));
        assert_eq!(half(|s| s.unsupported = true), Err(Unknown::Unsupported));
        assert_eq!(Filtering::default().finding(), Err(Unknown::NoAnswer));
    }

    #[test]
    fn servers_that_know_outvote_none_that_know_otherwise() {
        let ei = Ok(EndpointIndependent);
        assert_eq!(agreed([]), Err(Unknown::NoServer));
        assert_eq!(agreed([Err(Unknown::NoAnswer), ei, ei]), ei);
        assert_eq!(agreed([ei, Ok(AddressDependent)]), Err(Unknown::Disagree));
        let both = [Err(Unknown::OneAddress), Err(Unknown::NoAnswer)];
        assert_eq!(agreed(both), Err(Unknown::OneAddress));
    }
}

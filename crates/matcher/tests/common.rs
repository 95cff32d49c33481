//! Requests made by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_core::Endpoint;
use peerage_matcher::{
    Action, Announcement, Answer, Asn, CompartmentId, Compartments, Config, ConnectionId, Country,
    Geography, Matcher, NatType, NetworkProtocol, Offer, Properties, Versions, VolunteerId,
};

pub(crate) fn start() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other constructor; it is only ever compared with itself"
    )]
    Instant::now()
}

pub(crate) fn id(number: u64) -> [u8; 32] {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

pub(crate) fn compartment(number: u64) -> CompartmentId {
    CompartmentId(id(number))
}

pub(crate) fn volunteer(number: u64) -> VolunteerId {
    VolunteerId(id(number))
}

pub(crate) fn connection(number: u64) -> ConnectionId {
    ConnectionId(id(number))
}

pub(crate) fn country(letters: &str) -> Country {
    Country::new(letters.as_bytes().try_into().unwrap()).unwrap()
}

pub(crate) fn place(letters: &str, asn: u32) -> Geography {
    Geography::known(country(letters), Asn(asn))
}

pub(crate) fn properties(nat: NatType, geography: Geography) -> Properties {
    Properties {
        nat,
        geography,
        versions: Versions::NONE.with(1),
        ..Properties::default()
    }
}

/// Volunteer and connection of this number, in Germany, behind an open NAT, without a deadline.
pub(crate) fn announcement(number: u64) -> Announcement {
    Announcement {
        volunteer: volunteer(number),
        connection: connection(number),
        properties: properties(NatType::OPEN, place("DE", 1)),
        address: Endpoint::new(address(number), 4000),
        priority: false,
        newcomer: false,
        load: 0,
        deadline: None,
    }
}

/// In Iran, behind a symmetric NAT, without a deadline.
pub(crate) fn offer(number: u64) -> Offer {
    Offer {
        properties: properties(NatType::SYMMETRIC, place("IR", 2)),
        address: address(number),
        sponsor: None,
        network: NetworkProtocol::Tcp,
        destination: "example.org:443".into(),
        destination_entry: Bytes::from_static(b"entry"),
        secret: Bytes::from_static(b"secret"),
        description: Bytes::from(number.to_be_bytes().to_vec()),
        deadline: None,
    }
}

pub(crate) fn address(number: u64) -> IpAddr {
    let [_, _, _, _, a, b, c, d] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(a | 20, b, c, d))
}

pub(crate) fn answer() -> Answer {
    Answer {
        version: 1,
        description: Bytes::from_static(b"description"),
    }
}

/// One common compartment of this number.
pub(crate) fn common(ids: &[CompartmentId]) -> Compartments<'_> {
    Compartments {
        personal: &[],
        common: ids,
    }
}

pub(crate) fn personal(ids: &[CompartmentId]) -> Compartments<'_> {
    Compartments {
        personal: ids,
        common: &[],
    }
}

pub(crate) const ONE: &[CompartmentId] = &[CompartmentId([1; 32])];
pub(crate) const TWO: &[CompartmentId] = &[CompartmentId([2; 32])];

pub(crate) fn matcher(config: Config) -> (Matcher, Instant) {
    let now = start();
    (Matcher::new(config, [7; 16], now).unwrap(), now)
}

/// All actions that are ready, after an audit.
pub(crate) fn actions(matcher: &mut Matcher) -> Vec<Action> {
    matcher.audit().unwrap();
    std::iter::from_fn(|| matcher.poll_action()).collect()
}

/// The volunteer and the client's number of each offer delivered.
pub(crate) fn deliveries(matcher: &mut Matcher) -> Vec<(u64, u64)> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes[..8].try_into().unwrap());
    let mut found = Vec::new();
    for action in actions(matcher) {
        if let Action::Deliver { to, offer, .. } = action {
            let announcement = matcher.announcement(to).unwrap();
            found.push((
                number(&announcement.volunteer.0),
                number(&offer.description),
            ));
        }
    }
    found
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

//! The NAT tables, against the reference's as they were written down.

use peerage_matcher::{Behaviour, Class, NatType, NetworkType, PortMappings};

const BEHAVIOURS: [Behaviour; 4] = [
    Behaviour::Unknown,
    Behaviour::EndpointIndependent,
    Behaviour::AddressDependent,
    Behaviour::AddressAndPortDependent,
];

#[test]
fn every_type_has_the_number_and_class_of_the_table() {
    for (mapping, filtering) in (0..16usize).map(|value| (value >> 2, value & 3)) {
        let nat = NatType::new(BEHAVIOURS[mapping], BEHAVIOURS[filtering]);
        let value = nat.value();
        assert_eq!(usize::from(value), mapping << 2 | filtering);
        let expected = match value {
            4..=6 => Class::Unlimited,
            7 => Class::Partial,
            _ => Class::Strict,
        };
        assert_eq!(nat.class(), expected, "{value}");
    }
    let values = [
        NatType::UNKNOWN,
        NatType::OPEN,
        NatType::RESTRICTED,
        NatType::PORT_RESTRICTED,
        NatType::SYMMETRIC,
    ]
    .map(NatType::value);
    assert_eq!(values, [0, 5, 6, 7, 15]);
}

#[test]
fn a_mapped_port_opens_any_nat() {
    for mappings in [
        PortMappings {
            upnp: true,
            ..PortMappings::NONE
        },
        PortMappings {
            nat_pmp: true,
            ..PortMappings::NONE
        },
        PortMappings {
            pcp: true,
            ..PortMappings::NONE
        },
    ] {
        for network in [NetworkType::Wifi, NetworkType::Mobile] {
            let effective = NatType::SYMMETRIC.effective(mappings, network);
            assert_eq!(effective, NatType::OPEN);
        }
    }
}

#[test]
fn only_an_unmeasured_mobile_network_is_taken_for_symmetric() {
    let none = PortMappings::NONE;
    let effective = |nat: NatType, network| nat.effective(none, network);
    assert_eq!(
        effective(NatType::UNKNOWN, NetworkType::Mobile),
        NatType::SYMMETRIC
    );
    for network in [NetworkType::Unknown, NetworkType::Wired, NetworkType::Wifi] {
        assert_eq!(effective(NatType::UNKNOWN, network), NatType::UNKNOWN);
    }
    assert_eq!(
        effective(NatType::PORT_RESTRICTED, NetworkType::Mobile),
        NatType::PORT_RESTRICTED
    );
}

#[test]
fn preference_and_compatibility_are_those_of_the_table() {
    use Class::{Partial, Strict, Unlimited};
    let preferred = [
        (Unlimited, Strict),
        (Partial, Unlimited),
        (Partial, Partial),
        (Strict, Unlimited),
    ];
    let incompatible = [(Partial, Strict), (Strict, Partial), (Strict, Strict)];
    for offer in Class::ALL {
        for announcement in Class::ALL {
            let pair = (offer, announcement);
            assert_eq!(offer.prefers(announcement), preferred.contains(&pair));
            let compatible = !incompatible.contains(&pair);
            assert_eq!(offer.is_compatible(announcement), compatible);
        }
    }
}

#[test]
fn whatever_is_preferred_is_compatible() {
    for offer in Class::ALL {
        for announcement in Class::ALL {
            assert!(!offer.prefers(announcement) || offer.is_compatible(announcement));
        }
    }
}

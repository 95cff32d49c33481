//! Surveys of translators that are known.

use std::collections::BTreeSet;

use peerage_core::nat::{Behaviour, NatType};
use peerage_core::{Endpoint, Failure as _};
use peerage_nat::stun::{Attribute, Class, Message, TransactionId};
use peerage_nat::survey::{Question, Unknown};
use peerage_sim::NatKind;

use crate::common::end;
use crate::common::nat::{Naive, Simulated};
use crate::common::world::{LONGEST, Manners, Server, World};

const KNOWN: [Behaviour; 3] = [
    Behaviour::EndpointIndependent,
    Behaviour::AddressDependent,
    Behaviour::AddressAndPortDependent,
];

const OUTSIDE: &str = "198.51.100.9";

fn good() -> Server {
    Server::new("203.0.113.1:3478", "203.0.113.2:3479", Manners::Good)
}

fn second(manners: Manners) -> Server {
    Server::new("192.0.2.1:3478", "192.0.2.2:3479", manners)
}

fn of_manners(manners: Manners) -> Server {
    Server::new("203.0.113.1:3478", "203.0.113.2:3479", manners)
}

fn inside(seed: u8) -> World {
    World::new("192.168.1.7:0", seed)
}

fn naive(kind: NatType) -> Naive {
    Naive::new(kind, OUTSIDE.parse().unwrap())
}

#[test]
fn every_mapping_with_every_filtering_is_told() {
    for mapping in KNOWN {
        for filtering in KNOWN {
            let kind = NatType::new(mapping, filtering);
            let mut world = inside(1).behind(naive(kind)).with(good());
            let began = world.now;
            let report = world.survey();
            assert_eq!(report.nat(), kind);
            assert_eq!(report.unknown(), None);
            assert_eq!(report.is_translated(), Some(true));
            assert_eq!(report.external.unwrap().ip().to_string(), OUTSIDE);
            assert!(report.ended_at - began < LONGEST);
        }
    }
}

/// The kinds of the simulator, written apart from these tests, with datagrams lost: right in every
/// run of twenty for each.
#[test]
fn the_four_common_kinds_are_told_in_every_run_with_a_tenth_lost() {
    for (kind, nat) in [
        (NatKind::FullCone, NatType::OPEN),
        (NatKind::Restricted, NatType::RESTRICTED),
        (NatKind::PortRestricted, NatType::PORT_RESTRICTED),
        (NatKind::Symmetric, NatType::SYMMETRIC),
    ] {
        for seed in 0..20 {
            let translator = Simulated::new(kind, OUTSIDE.parse().unwrap());
            let mut world = inside(seed).behind(translator).with(good());
            world.loss_percent = 5;
            let report = world.survey();
            assert_eq!(
                report.nat(),
                nat,
                "{kind:?}, seed {seed}: {:?}",
                report.trials
            );
        }
    }
}

#[test]
fn without_a_nat_a_firewall_is_told_from_an_open_host() {
    for (ip, first, other) in [
        ("198.51.100.7:0", "203.0.113.1:3478", "203.0.113.2:3479"),
        (
            "[2001:db8::7]:0",
            "[2001:db8:1::1]:3478",
            "[2001:db8:1::2]:3479",
        ),
    ] {
        let server = || Server::new(first, other, Manners::Good);
        let report = World::new(ip, 1).with(server()).survey();
        assert_eq!((report.nat(), report.name()), (NatType::OPEN, "no NAT"));
        assert_eq!(report.is_translated(), Some(false));
        assert_eq!(report.hairpin, None);
        let mut firewall = naive(NatType::PORT_RESTRICTED);
        firewall.is_firewall = true;
        let report = World::new(ip, 1).behind(firewall).with(server()).survey();
        assert_eq!(report.nat(), NatType::PORT_RESTRICTED);
        assert_eq!(report.name(), "no NAT, a firewall");
    }
}

#[test]
fn two_nats_are_the_stricter_of_each() {
    for inner in KNOWN {
        for outer in KNOWN {
            let inner_nat = Naive::new(
                NatType::new(inner, Behaviour::AddressDependent),
                "100.64.0.9".parse().unwrap(),
            );
            let outer_nat = naive(NatType::new(outer, Behaviour::EndpointIndependent));
            let report = inside(3)
                .behind(inner_nat)
                .behind(outer_nat)
                .with(good())
                .survey();
            let expected = NatType::new(inner.max(outer), Behaviour::AddressDependent);
            assert_eq!(report.nat(), expected, "{inner:?} {outer:?}");
        }
    }
}

#[test]
fn a_hairpin_is_told_where_there_is_one() {
    for kind in [NatType::OPEN, NatType::PORT_RESTRICTED] {
        for hairpin in [false, true] {
            let mut nat = naive(kind);
            nat.hairpin = hairpin;
            let report = inside(1).behind(nat).with(good()).survey();
            assert_eq!(report.hairpin, Some(hairpin));
            assert_eq!(report.nat(), kind);
        }
    }
}

#[test]
fn what_cannot_be_known_is_unknown_and_says_why() {
    let symmetric = || naive(NatType::SYMMETRIC);
    let cone = || naive(NatType::PORT_RESTRICTED);
    let alone = |at| Server::alone(at);
    let ei = Ok(Behaviour::EndpointIndependent);
    let apd = Ok(Behaviour::AddressAndPortDependent);
    let one = Err(Unknown::OneAddress);
    let unsupported = Err(Unknown::Unsupported);
    let half = Err(Unknown::HalfServer);
    let two_alone = |nat| {
        let world = inside(1).behind(nat);
        world
            .with(alone("203.0.113.1:3478"))
            .with(alone("192.0.2.1:3478"))
    };
    for (what, mut world, mapping, filtering) in [
        (
            "one address",
            inside(1).behind(cone()).with(alone("203.0.113.1:3478")),
            one,
            one,
        ),
        ("two servers of one address", two_alone(cone()), ei, one),
        (
            "the same, symmetric",
            two_alone(symmetric()),
            Err(Unknown::Dependent),
            one,
        ),
        (
            "it ignores CHANGE-REQUEST",
            inside(1)
                .behind(cone())
                .with(of_manners(Manners::IgnoresChange)),
            ei,
            unsupported,
        ),
        (
            "it refuses CHANGE-REQUEST",
            inside(1)
                .behind(cone())
                .with(of_manners(Manners::RefusesChange)),
            ei,
            unsupported,
        ),
        (
            "its other address is dead",
            inside(1)
                .behind(symmetric())
                .with(of_manners(Manners::OtherIsDead)),
            apd,
            half,
        ),
        (
            "a second server knows",
            inside(1)
                .behind(cone())
                .with(of_manners(Manners::IgnoresChange))
                .with(second(Manners::Good)),
            ei,
            apd,
        ),
        (
            "a second server lies",
            inside(1)
                .behind(cone())
                .with(good())
                .with(second(Manners::Lies(end("192.0.2.77:7")))),
            Err(Unknown::Disagree),
            apd,
        ),
    ] {
        let report = world.survey();
        assert_eq!(
            (report.mapping, report.filtering),
            (mapping, filtering),
            "{what}"
        );
        let unknown = report.unknown();
        assert_eq!(unknown.is_some(), mapping.is_err() || filtering.is_err());
        if let Some(unknown) = unknown {
            assert!(!unknown.reason().message.is_empty());
        }
    }
}

#[test]
fn silence_of_all_ends_in_time_and_says_so() {
    let mut world = inside(1).behind(naive(NatType::OPEN)).with(good());
    world.loss_percent = 100;
    let began = world.now;
    let report = world.survey();
    assert_eq!(report.unknown(), Some(Unknown::NoAnswer));
    assert_eq!(report.nat(), NatType::UNKNOWN);
    assert_eq!((report.ended_at - began).as_millis(), 9500);
    let [trial] = &report.trials[..] else {
        panic!()
    };
    assert_eq!((trial.question, trial.sent), (Question::Reach, 5));
}

#[test]
fn nobody_to_ask_and_no_socket_are_told_at_once() {
    let mut world = inside(1);
    assert_eq!(world.survey().unknown(), Some(Unknown::NoServer));
    let wrong_family = world.survey_of(&[end("[2001:db8::1]:3478"), end("0.0.0.0:1")]);
    assert_eq!(wrong_family.unknown(), Some(Unknown::NoServer));
    let mut world = inside(1).with(good());
    world.closed_doors = 9;
    assert_eq!(world.survey().unknown(), Some(Unknown::NoSocket));
    let mut world = inside(1).with(good()).with(second(Manners::Good));
    world.closed_doors = 1;
    assert_eq!(
        world.survey().unknown(),
        None,
        "the second server is asked from another socket"
    );
}

#[test]
fn no_server_makes_us_send_to_our_own_network() {
    for forbidden in [
        "127.0.0.1:53",
        "192.168.1.1:80",
        "224.0.0.1:9",
        "0.0.0.0:9",
        "203.0.113.1:9",
        "203.0.113.9:3478",
        "[2001:db8::1]:9",
    ] {
        let forbidden = end(forbidden);
        let mut world = inside(1).behind(naive(NatType::OPEN));
        world = world.with(of_manners(Manners::Names(forbidden)));
        let report = world.survey();
        assert_eq!(report.filtering, Err(Unknown::OneAddress), "{forbidden}");
        assert_eq!(report.servers[0].other, None);
        let asked: Vec<_> = world
            .asked
            .iter()
            .filter(|at| at.ip() != end("198.51.100.9:1").ip())
            .collect();
        assert_eq!(asked, [&end("203.0.113.1:3478")], "{forbidden}");
    }
}

#[test]
fn forged_answers_change_nothing() {
    let plain = inside(1)
        .behind(naive(NatType::SYMMETRIC))
        .with(good())
        .survey();
    let lie = |class, transaction| {
        Message::binding(class, TransactionId(transaction))
            .with(Attribute::XorMappedAddress(end("192.0.2.66:66")))
            .with(Attribute::OtherAddress(end("192.0.2.67:67")))
            .encode()
            .unwrap()
    };
    let mut world = inside(1).behind(naive(NatType::SYMMETRIC)).with(good());
    let server: Endpoint = end("203.0.113.1:3478");
    world.forged = vec![
        (server, lie(Class::Success, [0; 12])),
        (server, lie(Class::Error, [1; 12])),
        (server, lie(Class::Request, [2; 12])),
        (
            server,
            b"not STUN at all, but of some length".to_vec().into(),
        ),
    ];
    let forged = world.survey();
    assert_eq!(
        (forged.nat(), forged.external),
        (plain.nat(), plain.external)
    );
    assert_eq!(forged.trials.len(), plain.trials.len());
}

#[test]
fn a_transaction_known_from_elsewhere_is_not_believed() {
    use peerage_nat::survey::{Action, Settings, SocketId};
    use peerage_nat::{Family, Survey};
    let now = crate::common::start();
    let server = end("203.0.113.1:3478");
    let mut survey = Survey::new(now, Family::V4, &[server], Settings::default(), [9; 16]);
    let Some(Action::Open(socket)) = survey.poll_action() else {
        panic!()
    };
    survey.handle_opened(now, socket, end("192.168.1.7:1"));
    let Some(Action::Transmit { datagram, .. }) = survey.poll_action() else {
        panic!()
    };
    let transaction = Message::decode(&datagram).unwrap().transaction;
    let answer = Message::binding(Class::Success, transaction)
        .with(Attribute::XorMappedAddress(end("192.0.2.66:66")));
    let bytes = answer.encode().unwrap();
    // Another source, another socket, the request itself: none of them is the answer.
    survey.handle_datagram(now, socket, end("203.0.113.1:3479"), &bytes);
    survey.handle_datagram(now, SocketId(7), server, &bytes);
    survey.handle_datagram(now, socket, server, &datagram);
    assert!(survey.poll_action().is_none());
    survey.handle_datagram(now, socket, server, &bytes);
    assert!(matches!(
        survey.poll_action(),
        Some(Action::Open(SocketId(1)))
    ));
}

#[test]
fn no_transaction_comes_twice_and_another_seed_makes_others() {
    let ids = |seed: u8| -> BTreeSet<TransactionId> {
        let mut world = inside(seed).behind(naive(NatType::SYMMETRIC)).with(good());
        let trials = world.survey().trials.len();
        let ids = &world.transactions;
        assert_eq!(
            ids.len(),
            trials,
            "one for each question, retransmissions share it"
        );
        ids.clone()
    };
    assert_eq!(ids(1), ids(1));
    assert!(ids(1).is_disjoint(&ids(2)));
}

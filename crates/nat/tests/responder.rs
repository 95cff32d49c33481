//! The server.

use std::time::Duration;

use peerage_core::{Failure as _, Rate};
use peerage_nat::responder::SitesError;
use peerage_nat::stun::{Attribute, BINDING, Change, Class, Message, TransactionId, kind};
use peerage_nat::{Leg, Responder, ResponderLimits, Sites};
use proptest::prelude::*;

use crate::common::{end, start};

const ID: TransactionId = TransactionId([3; 12]);

fn two() -> Responder {
    let sites = Sites::two(end("203.0.113.1:3478"), end("203.0.113.2:3479")).unwrap();
    Responder::new(sites, ResponderLimits::default())
}

fn plain() -> Message {
    Message::binding(Class::Request, ID)
}

/// RFC 5780 section 6.1, table 1.
#[test]
fn whence_it_answers_follows_from_what_is_asked_and_where() {
    let mut server = two();
    for leg in Leg::ALL {
        for (address, port) in [(false, false), (false, true), (true, false), (true, true)] {
            let change = Attribute::ChangeRequest(Change { address, port });
            let bytes = plain().with(change).encode().unwrap();
            let from = end("198.51.100.7:5000");
            let reply = server.handle_datagram(start(), leg, from, &bytes).unwrap();
            assert_eq!(reply.to, from);
            assert_eq!(reply.leg.other_address, leg.other_address ^ address);
            assert_eq!(reply.leg.other_port, leg.other_port ^ port);
            let answer = Message::decode(&reply.datagram).unwrap();
            assert_eq!((answer.class, answer.transaction), (Class::Success, ID));
            assert_eq!(answer.mapped(), Some(from));
            assert_eq!(answer.origin(), Some(server.site(reply.leg)));
            let (here, other) = (server.site(leg), answer.other_address().unwrap());
            assert!(other.ip() != here.ip() && other.port() != here.port());
            assert_eq!(server.leg_at(server.site(leg)), Some(leg));
        }
    }
    let stats = server.stats();
    assert_eq!((stats.answered, stats.moved), (16, 12));
}

#[test]
fn one_address_promises_no_other() {
    let sites = Sites::one(end("203.0.113.1:3478")).unwrap();
    let mut server = Responder::new(sites, ResponderLimits::default());
    let from = end("198.51.100.7:5000");
    let mut ask = |message: Message| {
        let bytes = message.encode().unwrap();
        let reply = server
            .handle_datagram(start(), Leg::FIRST, from, &bytes)
            .unwrap();
        Message::decode(&reply.datagram).unwrap()
    };
    let answer = ask(plain());
    assert_eq!(
        (answer.class, answer.other_address()),
        (Class::Success, None)
    );
    let answer = ask(plain().with(Attribute::ChangeRequest(Change::default())));
    assert_eq!(answer.error().unwrap().code, 420);
    let unknown = Attribute::UnknownAttributes(vec![kind::CHANGE_REQUEST]);
    assert!(answer.attributes.contains(&unknown));
}

#[test]
fn what_must_be_understood_and_is_not_is_refused_by_name() {
    let mut server = two();
    let other = |kind, len| Attribute::Other {
        kind,
        value: vec![0; len].into(),
    };
    // RESPONSE-PORT, PADDING, one that may be ignored, one that is known and of no use.
    let request = plain()
        .with(other(0x0027, 4))
        .with(other(0x0026, 64))
        .with(other(0x0026, 64))
        .with(other(0x9999, 4))
        .with(other(kind::USERNAME, 4))
        .fingerprinted(true);
    let bytes = request.encode().unwrap();
    let reply = server
        .handle_datagram(start(), Leg::FIRST, end("198.51.100.7:1"), &bytes)
        .unwrap();
    let answer = Message::decode(&reply.datagram).unwrap();
    assert!(answer.fingerprint, "as the request had it");
    assert_eq!(
        (answer.class, answer.error().unwrap().code),
        (Class::Error, 420)
    );
    assert!(
        answer
            .attributes
            .contains(&Attribute::UnknownAttributes(vec![0x0026, 0x0027]))
    );
}

#[test]
fn answers_itself_errors_other_methods_and_noise_get_nothing() {
    let mut server = two();
    let from = end("198.51.100.7:1");
    let mut other_method = plain();
    other_method.method = BINDING + 2;
    for (who, bytes) in [
        (from, Message::binding(Class::Success, ID).encode().unwrap()),
        (from, Message::binding(Class::Error, ID).encode().unwrap()),
        (
            from,
            Message::binding(Class::Indication, ID).encode().unwrap(),
        ),
        (from, other_method.encode().unwrap()),
        (from, b"hello, hello, hello, hello".to_vec().into()),
        (end("203.0.113.2:3479"), plain().encode().unwrap()),
        (end("198.51.100.7:0"), plain().encode().unwrap()),
    ] {
        assert_eq!(
            server.handle_datagram(start(), Leg::FIRST, who, &bytes),
            None,
            "{who}"
        );
    }
    assert_eq!(server.stats().foreign, 7);
}

#[test]
fn a_group_has_a_rate_whoever_it_claims_to_be() {
    let sites = Sites::two(end("203.0.113.1:3478"), end("203.0.113.2:3479")).unwrap();
    let rate = |burst, per_second| Rate { burst, per_second };
    let limits = ResponderLimits {
        group: rate(5, 1),
        total: rate(12, 1),
        max_groups: 4,
    };
    let mut server = Responder::new(sites, limits);
    let bytes = plain().encode().unwrap();
    let mut asked = |at, from: String| {
        let from = end(&from);
        (0..10)
            .filter(|_| {
                server
                    .handle_datagram(at, Leg::FIRST, from, &bytes)
                    .is_some()
            })
            .count()
    };
    let now = start();
    assert_eq!(asked(now, "198.51.100.7:1".into()), 5);
    assert_eq!(asked(now, "198.51.100.8:2".into()), 0, "the same group");
    assert_eq!(asked(now, "192.0.2.8:2".into()), 5);
    assert_eq!(asked(now, "192.0.3.8:2".into()), 2, "all together");
    assert_eq!(
        asked(now + Duration::from_secs(1), "198.51.100.8:2".into()),
        1
    );
    assert_eq!(server.stats().limited, 5 + 10 + 5 + 8 + 9);
}

#[test]
fn two_endpoints_must_differ_in_both() {
    let two = |first, other| Sites::two(end(first), end(other));
    assert!(matches!(
        two("203.0.113.1:1", "203.0.113.2:1"),
        Err(SitesError::NotApart { .. })
    ));
    assert!(matches!(
        two("203.0.113.1:1", "203.0.113.1:2"),
        Err(SitesError::NotApart { .. })
    ));
    assert!(matches!(
        two("203.0.113.1:1", "[2001:db8::1]:2"),
        Err(SitesError::TwoFamilies { .. })
    ));
    let nowhere = two("203.0.113.1:1", "0.0.0.0:2").unwrap_err();
    assert!(
        nowhere
            .reason()
            .message
            .contains("give an address and a port")
    );
}

proptest! {
    /// Whatever comes, the answer is STUN and at most five times as long.
    #[test]
    fn nobody_is_amplified(
        v6: bool,
        kinds in prop::collection::vec((any::<u16>(), 0_usize..24), 0..33),
        change in any::<Option<(bool, bool)>>(),
        fingerprint: bool,
    ) {
        let from = end(if v6 { "[2001:db8:ffff:ffff:ffff::1]:60000" } else { "198.51.100.7:60000" });
        let sites = if v6 {
            Sites::two(end("[2001:db8::1]:3478"), end("[2001:db8::2]:3479"))
        } else {
            Sites::two(end("203.0.113.1:3478"), end("203.0.113.2:3479"))
        };
        let mut server = Responder::new(sites.unwrap(), ResponderLimits::default());
        let mut request = plain().fingerprinted(fingerprint);
        if let Some((address, port)) = change {
            request = request.with(Attribute::ChangeRequest(Change { address, port }));
        }
        for (kind, len) in kinds {
            request = request.with(Attribute::Other { kind, value: vec![0; len].into() });
        }
        let bytes = request.encode().unwrap();
        if let Some(reply) = server.handle_datagram(start(), Leg::FIRST, from, &bytes) {
            prop_assert!(reply.datagram.len() <= Responder::MAX_FACTOR * bytes.len());
            prop_assert!(Message::decode(&reply.datagram).is_ok());
            prop_assert_eq!(reply.to, from);
        }
    }
}

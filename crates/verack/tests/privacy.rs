//! What we say of ourselves, by kind of connection: the table on `Local`, field by field, and the
//! attack that a nonce of ours is replayed.

use peerage_core::{ConnectedAddr, Direction, Exposure, UnixTime};
use peerage_verack::decred::Decred;
use peerage_verack::nonce::{Domain, EPOCH, NonceKeys};
use peerage_verack::version::NetAddr;
use peerage_verack::zcash::Zcash;
use peerage_verack::{
    Attempt, HandshakeError, Height, Local, Nonce, ProtocolVersion, Services, Version,
};

use crate::common::{
    BOTH, Dialogue, Net, Seen, TIME, attempt, contains, current, direct, endpoint, isolated, kinds,
    message, node, payload_of, proxied, their_version, verack, version, version_frame,
};

const HEIGHT: Height = Height(0x0bad_cafe);
const SERVICES: Services = Services(0xa1a2_a3a4_a5a6_a7a9);
const AGENT: &str = "/distinctive:7.7/";
const LISTEN: &str = "203.0.113.99:47811";

/// A node whose every fact can be found in a frame.
fn distinctive<D: Net>() -> Local<D> {
    let mut local = node::<D>(1);
    local.services = SERVICES;
    local.user_agent = AGENT.into();
    local.listen_addr = Some(endpoint(LISTEN));
    local.relay = true;
    local.tip.set(Some(HEIGHT));
    local
}

/// The table, written down once more and independently.
fn expected<D: Net>(local: &Local<D>, kind: ConnectedAddr, rounds: bool, listens: bool) -> Version {
    let unspecified = if D::NETWORK.0 == "zcash" {
        NetAddr::new(Services::NONE, endpoint("0.0.0.0:8233"))
    } else {
        NetAddr::EMPTY
    };
    let rounded = UnixTime(1_800_000_000);
    let with = |services, addr: NetAddr| NetAddr { services, ..addr };
    let random = Nonce(u64::from_be_bytes(attempt(kind).random));
    let told = match kind.exposure() {
        Exposure::Direct => true,
        Exposure::Proxied => local.tell_through_proxies,
        Exposure::Isolated => false,
    };
    let services = if told { SERVICES } else { Services::NONE };
    Version {
        protocol_version: ProtocolVersion(current::<D>()),
        services,
        height: if told { HEIGHT } else { Height(0) },
        ..match kind.exposure() {
            Exposure::Direct => Version {
                time: if rounds { rounded } else { TIME },
                addr_recv: NetAddr::new(Services::NETWORK, endpoint("192.0.2.77:40123")),
                addr_from: if listens {
                    NetAddr::new(services, endpoint(LISTEN))
                } else {
                    with(services, unspecified)
                },
                nonce: local.version_for(&attempt(kind)).nonce,
                user_agent: AGENT.into(),
                relay: true,
                ..their_version(0)
            },
            Exposure::Proxied => Version {
                time: rounded,
                addr_recv: with(Services::NETWORK, unspecified),
                addr_from: with(services, unspecified),
                nonce: random,
                user_agent: AGENT.into(),
                relay: true,
                ..their_version(0)
            },
            Exposure::Isolated => Version {
                time: rounded,
                addr_recv: with(Services::NETWORK, unspecified),
                addr_from: with(services, unspecified),
                nonce: random,
                user_agent: "".into(),
                relay: false,
                ..their_version(0)
            },
        }
    }
}

/// Our version frame as it goes over the wire.
fn spoken<D: Net>(local: &Local<D>, attempt: Attempt) -> Vec<u8> {
    let mut dialogue = Dialogue::with(local, attempt, Seen::default());
    if attempt.direction() == Direction::Inbound {
        dialogue.hear(&version::<D>(current::<D>()));
        // The verack after it has no payload.
        let len = dialogue.said.len() - verack::<D>().len();
        dialogue.said.truncate(len);
    }
    assert_eq!(dialogue.says(), ["version"]);
    dialogue.said
}

fn the_table_holds<D: Net>(rounds: bool, listens: bool) {
    for tell_through_proxies in [false, true] {
        let mut local = distinctive::<D>();
        local.tell_through_proxies = tell_through_proxies;
        for kind in kinds() {
            let expected = expected(&local, kind, rounds, listens);
            let (domain, keys) = (Domain::default(), &local.nonce_keys);
            let keyed = keys.recognises(domain, TIME, expected.nonce);
            assert_eq!(keyed, kind.exposure() == Exposure::Direct, "{kind:?}");
            assert_eq!(local.version_for(&attempt(kind)), expected, "{kind:?}");
            // And this is what is said: not only what would be.
            let said = spoken(&local, attempt(kind));
            assert_eq!(said, version_frame::<D>(&expected), "{kind:?}");
        }
    }
}

#[test]
fn our_version_has_the_fields_of_the_table_on_every_kind_of_connection() {
    the_table_holds::<Zcash>(true, true);
    the_table_holds::<Decred>(false, false);
}

/// Whoever says nothing of itself says the same as an isolated node, but for what only a direct
/// connection tells.
#[test]
fn a_fresh_node_claims_nothing() {
    let local = node::<Zcash>(1);
    let said = local.version_for(&attempt(direct(Direction::Outbound)));
    assert_eq!(said.services, Services::NONE);
    assert_eq!(said.addr_from.services, Services::NONE);
    assert!(said.addr_from.ip.to_ipv4_mapped().unwrap().is_unspecified());
    assert_eq!((said.height, said.relay), (Height(0), false));
}

/// Bytes that would give us away, each with a name for the message.
fn fingerprints() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("height", HEIGHT.0.to_le_bytes().to_vec()),
        ("services", SERVICES.0.to_le_bytes().to_vec()),
        ("listening address", vec![203, 0, 113, 99]),
        ("listening port", 47_811_u16.to_be_bytes().to_vec()),
        ("peer's or proxy's address", vec![192, 0, 2, 77]),
        ("loopback", vec![127, 0, 0, 1]),
        ("proxy port", 9050_u16.to_be_bytes().to_vec()),
        ("ephemeral port", 51_515_u16.to_be_bytes().to_vec()),
        ("clock", TIME.0.to_le_bytes().to_vec()),
        ("agent", AGENT.as_bytes().to_vec()),
    ]
}

fn no_fact_of_ours_shows<D: Net>() {
    for kind in kinds() {
        let said = spoken(&distinctive::<D>(), attempt(kind));
        let shown: Vec<_> = fingerprints()
            .into_iter()
            .filter(|(_, bytes)| contains(&said, bytes))
            .map(|(name, _)| name)
            .collect();
        match kind.exposure() {
            Exposure::Direct => assert!(shown.contains(&"height"), "the search finds something"),
            // The table says so: a user agent is told through proxies.
            Exposure::Proxied => assert_eq!(shown, ["agent"], "{kind:?}"),
            Exposure::Isolated => assert_eq!(shown, [""; 0], "{kind:?}"),
        }
    }
}

#[test]
fn no_byte_of_ours_is_in_an_isolated_or_proxied_version() {
    no_fact_of_ours_shows::<Zcash>();
    no_fact_of_ours_shows::<Decred>();
}

/// Stronger than any search: two nodes that differ in everything say the same bytes.
fn isolated_nodes_are_alike<D: Net>() {
    for direction in BOTH {
        let mut early = attempt(isolated(direction));
        early.time = UnixTime(TIME.0 - 100);
        let mut other_domain = attempt(isolated(direction));
        other_domain.domain = Domain(77);
        let said = spoken(&distinctive::<D>(), attempt(isolated(direction)));
        assert_eq!(said, spoken(&node::<D>(99), early));
        assert_eq!(said, spoken(&node::<D>(99), other_domain));
    }
}

#[test]
fn two_isolated_nodes_cannot_be_told_apart_by_what_they_say() {
    isolated_nodes_are_alike::<Zcash>();
    isolated_nodes_are_alike::<Decred>();
}

/// A reject names the least version we accept, hence our height.
#[test]
fn last_words_are_said_on_direct_connections_only() {
    let obsolete = version::<Zcash>(170_149);
    let broken = message::<Zcash>("version", &[0; 40]);
    let good = version::<Zcash>(current::<Zcash>());
    let twice = [&good[..], &good[..]].concat();
    for kind in kinds() {
        for (what, script) in [
            ("obsolete", &obsolete[..]),
            ("broken", &broken[..]),
            ("twice", &twice[..]),
        ] {
            let mut dialogue = Dialogue::of(&distinctive::<Zcash>(), kind);
            dialogue.hear(script);
            let expected: &[&str] = match kind.exposure() {
                Exposure::Direct => &["reject"],
                Exposure::Proxied | Exposure::Isolated => &[],
            };
            assert_eq!(dialogue.parting(), expected, "{kind:?} {what}");
        }
    }
}

#[test]
fn decred_has_no_reject_and_so_no_last_words() {
    for kind in kinds() {
        for script in [version::<Decred>(8), message::<Decred>("version", &[0; 40])] {
            let mut dialogue = Dialogue::of(&distinctive::<Decred>(), kind);
            dialogue.hear(&script);
            assert_eq!(dialogue.last_words(), b"");
        }
    }
}

// ---- the nonce, replayed ----

/// An eavesdropper's catch: the nonce of a direct connection that we dialled.
fn captured<D: Net>(local: &Local<D>) -> Nonce {
    local
        .version_for(&attempt(direct(Direction::Outbound)))
        .nonce
}

/// A stranger's version with a nonce of the attacker's choice.
fn with_nonce(version: u32, nonce: Nonce) -> Version {
    Version {
        nonce,
        ..their_version(version)
    }
}

/// Everything that can be observed from outside: what is said, and whether it is over.
fn observed<D: Net>(local: &Local<D>, attempt: Attempt, nonce: Nonce) -> (Vec<u8>, String) {
    let mut dialogue = Dialogue::with(local, attempt, Seen::default());
    dialogue.hear(&version_frame::<D>(&with_nonce(current::<D>(), nonce)));
    dialogue.hear(&verack::<D>());
    let end = match dialogue.outcome() {
        None => "waits".to_owned(),
        Some(Ok(_)) => "peer".to_owned(),
        Some(Err(error)) => format!("{error} {:?}", dialogue.last_words()),
    };
    (dialogue.said, end)
}

fn replay_is_recognised_every_time<D: Net>() {
    let local = node::<D>(1);
    let caught = captured(&local);
    for round in 0..20_u8 {
        for direction in BOTH {
            let mut another = attempt(direct(direction));
            another.random = [round; 8];
            let mut dialogue = Dialogue::with(&local, another, Seen::default());
            dialogue.hear(&version_frame::<D>(&with_nonce(current::<D>(), caught)));
            assert_eq!(*dialogue.error(), HandshakeError::SelfConnection, "{round}");
            assert_eq!(
                dialogue.policy().calls(),
                [],
                "nobody is asked about ourselves"
            );
        }
    }
    // The connection that it was captured from is none the worse for it.
    let mut original = Dialogue::of(&local, direct(Direction::Outbound));
    original.hear_all([version::<D>(current::<D>()), verack::<D>()]);
    original.peer();
}

#[test]
fn a_replayed_nonce_disarms_nothing() {
    replay_is_recognised_every_time::<Zcash>();
    replay_is_recognised_every_time::<Decred>();
}

/// The attack: a nonce captured on one connection is replayed over another, to learn whether both
/// end at one node. Where they must not be linked the answer is that to any nonce, byte for byte.
fn replay_links_nothing<D: Net>() {
    let local = distinctive::<D>();
    let caught = captured(&local);
    let stranger = Nonce(0x0123_4567_89ab_cdef);
    for direction in BOTH {
        let mut other_domain = attempt(direct(direction));
        other_domain.domain = Domain(1);
        for attempt in [
            attempt(proxied(direction)),
            attempt(isolated(direction)),
            other_domain,
        ] {
            let answer = observed(&local, attempt, caught);
            assert_eq!(answer, observed(&local, attempt, stranger), "{attempt:?}");
            assert_eq!(answer.1, "peer", "{attempt:?}");
        }
        // The same within the domain of the capture does tell, which shows that the test can.
        let same = attempt(direct(direction));
        assert_ne!(
            observed(&local, same, caught),
            observed(&local, same, stranger)
        );
    }
}

#[test]
fn a_replayed_nonce_links_no_proxied_isolated_or_other_domain_connection() {
    replay_links_nothing::<Zcash>();
    replay_links_nothing::<Decred>();
}

/// Nor the other way: what a hidden connection said means nothing on a direct one.
fn hidden_nonces_mean_nothing<D: Net>() {
    let local = distinctive::<D>();
    for hidden in [proxied(Direction::Outbound), isolated(Direction::Outbound)] {
        let mut hidden = attempt(hidden);
        hidden.random = [0x3c; 8];
        let caught = local.version_for(&hidden).nonce;
        for direction in BOTH {
            let at = attempt(direct(direction));
            let answer = observed(&local, at, caught);
            assert_eq!(answer, observed(&local, at, Nonce(5)));
        }
    }
}

#[test]
fn a_nonce_of_a_hidden_connection_means_nothing_on_a_direct_one() {
    hidden_nonces_mean_nothing::<Zcash>();
    hidden_nonces_mean_nothing::<Decred>();
}

#[test]
fn a_captured_nonce_is_worth_nothing_after_two_epochs() {
    let local = distinctive::<Zcash>();
    let caught = captured(&local);
    let mut later = attempt(direct(Direction::Inbound));
    later.time = UnixTime(TIME.0 + 2 * EPOCH);
    let answer = observed(&local, later, caught);
    assert_eq!(answer, observed(&local, later, Nonce(5)));
    later.time = UnixTime(TIME.0 + EPOCH);
    assert_ne!(observed(&local, later, caught), answer);
}

/// The nonces of one node are unlike each other: half random, half a tag under a secret key.
#[test]
fn a_nonce_shows_neither_the_key_nor_the_node() {
    let nonce = |secret, random: u8, domain| {
        let mut local = node::<Zcash>(1);
        local.nonce_keys = NonceKeys::new([secret; 16]);
        let mut attempt = attempt(direct(Direction::Outbound));
        (attempt.random, attempt.domain) = ([random; 8], Domain(domain));
        local.version_for(&attempt).nonce.0
    };
    let first = nonce(1, 1, 0);
    for other in [nonce(1, 2, 0), nonce(2, 1, 0), nonce(1, 1, 1)] {
        assert_ne!(first, other);
    }
    // With the same random bytes, another key and another domain change the tag alone.
    assert_eq!(first >> 32, nonce(2, 1, 0) >> 32);
    assert_ne!(first & 0xffff_ffff, nonce(2, 1, 0) & 0xffff_ffff);
    assert_ne!(first & 0xffff_ffff, nonce(1, 1, 1) & 0xffff_ffff);
    assert_eq!(
        format!("{:?}", NonceKeys::new([7; 16])),
        "NonceKeys(secret)"
    );
}

/// The policy sees what may be relied on, and neither agent nor height nor nonce: it has no such
/// field. What it has is right.
#[test]
fn the_policy_sees_address_direction_versions_and_services() {
    for kind in kinds() {
        let mut dialogue = Dialogue::of(&node::<Zcash>(1), kind);
        let theirs = their_version(u32::MAX);
        dialogue.hear(&version_frame::<Zcash>(&theirs));
        let [seen] = dialogue.policy().calls()[..] else {
            panic!("asked once: {:?}", dialogue.policy().calls());
        };
        assert_eq!((seen.addr, seen.direction()), (kind, kind.direction()));
        assert_eq!(seen.protocol_version, theirs.protocol_version);
        assert_eq!(seen.negotiated.0, current::<Zcash>());
        assert_eq!(seen.services, theirs.services);
    }
}

#[test]
fn a_payload_of_ours_is_never_longer_than_the_peers_limit() {
    let mut local = distinctive::<Zcash>();
    local.user_agent = peerage_core::PeerText::new(&[b'a'; 1000]);
    for kind in kinds() {
        assert!(payload_of(&local.version_for(&attempt(kind))).len() <= Version::MAX_LEN);
    }
}

//! Scenarios of Bitcoin Core's functional tests that apply to a handshake and to its first minute,
//! as far as bytes alone decide them. Each test begins with the name of its scenario. Those for
//! which a connection or the clock is the point (`p2p_timeouts`, `p2p_ping`, `p2p_net_deadlock`,
//! `p2p_message_capture`, the flood of `p2p_invalid_messages`) are in
//! `crates/peerage/tests/scenarios/`; `feature_proxy` is in `crates/peerage/tests/proxy.rs`.
//! `docs/scenarios.md` lists all of them, and those that do not apply.

mod invalid_messages;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::Problem;
use peerage_core::{ConnectedAddr, Direction, Exposure, Failure, Handshake, Kind, Session, Step};
use peerage_verack::decred::{self, Decred};
use peerage_verack::message::{Hash, Locators};
use peerage_verack::policy::RequireServices;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{HandshakeError, MessageError, Services, SessionError, Version};

use crate::common::dialogue::commands;
use crate::common::{
    BOTH, Dialogue, Net, attempt, contains, current, direct, endpoint, isolated, kinds, message,
    node, proxied, their_version, verack, version, version_frame,
};
use crate::roundtrip::{session, write};

// ---- p2p_leak ----

/// What curious peers ask before they have said their own verack.
fn questions<D: Net>() -> Vec<Bytes> {
    vec![
        message::<D>("getaddr", &[]),
        message::<D>("ping", &[1; 8]),
        message::<D>("mempool", &[]),
        message::<D>("getheaders", &[0; 37]),
        message::<D>("getdata", &[0]),
        verack::<D>(),
    ]
}

/// Every question, at every place before the verack: nothing but version and verack is said.
fn nothing_but_version_and_verack<D: Net>(speaks: u32) {
    for direction in BOTH {
        for question in questions::<D>() {
            for before_version in [true, false] {
                let mut dialogue = Dialogue::<D>::new(direction);
                if before_version {
                    dialogue.hear(&question);
                }
                dialogue.hear(&version::<D>(speaks));
                if !before_version {
                    dialogue.hear(&question);
                }
                let said = dialogue.says();
                let lawful: [&[&str]; 3] = [&[], &["version"], &["version", "verack"]];
                assert!(lawful.iter().any(|lawful| said == *lawful), "{said:?}");
                if let Some(Err(_)) = dialogue.outcome() {
                    assert_eq!(dialogue.parting(), [""; 0], "nor in parting");
                }
            }
        }
    }
}

#[test]
fn p2p_leak_nothing_but_version_and_verack_before_the_handshake_is_over() {
    nothing_but_version_and_verack::<Zcash>(current::<Zcash>());
    nothing_but_version_and_verack::<Decred>(11);
    nothing_but_version_and_verack::<Decred>(12);
}

/// Where we listen is told to direct peers on Zcash, and to nobody else.
#[test]
fn p2p_leak_our_own_address_is_not_leaked() {
    fn check<D: Net>(told_directly: bool) {
        let mut local = node::<D>(1);
        local.listen_addr = Some(endpoint("203.0.113.99:47811"));
        local.services = Services::NETWORK;
        for kind in kinds() {
            let mut dialogue = Dialogue::of(&local, kind);
            dialogue.hear_all([version::<D>(current::<D>()), verack::<D>()]);
            assert_eq!(dialogue.says(), ["version", "verack"]);
            let told = told_directly && kind.exposure() == Exposure::Direct;
            assert_eq!(
                contains(&dialogue.said, &[203, 0, 113, 99]),
                told,
                "{kind:?}"
            );
            let port = 47_811_u16.to_be_bytes();
            assert_eq!(contains(&dialogue.said, &port), told, "{kind:?}");
        }
    }
    check::<Zcash>(true);
    check::<Decred>(false);
}

#[test]
fn p2p_leak_obsolete_versions_are_dropped() {
    fn check<D: Net>(obsolete: &[u32]) {
        for &claimed in obsolete {
            for direction in BOTH {
                let mut dialogue = Dialogue::<D>::new(direction);
                dialogue.hear(&version::<D>(claimed));
                assert_eq!(dialogue.error().kind(), Kind::Obsolete, "{claimed}");
                let said: &[&str] = match direction {
                    Direction::Inbound => &[],
                    Direction::Outbound => &["version"],
                };
                assert_eq!(dialogue.says(), said, "no verack for it");
            }
        }
    }
    check::<Zcash>(&[0, 209, 31_800, 170_100, 170_149]);
    check::<Decred>(&[0, 1, 8]);
}

// ---- p2p_handshake ----

/// How a node that wants full nodes greets somebody who serves `services`.
fn greeted<D: Net>(kind: ConnectedAddr, services: Services) -> (Result<(), Kind>, Vec<String>) {
    let (local, policy) = (
        node::<D>(1),
        RequireServices {
            services: Services::NETWORK,
        },
    );
    let theirs = Version {
        services,
        ..their_version(current::<D>())
    };
    let mut input = BytesMut::from(&version_frame::<D>(&theirs)[..]);
    input.extend_from_slice(&verack::<D>());
    let mut greeting = local.greet_with(attempt(kind), policy);
    let mut said = Vec::new();
    let result = loop {
        while let Some(bytes) = greeting.poll_transmit() {
            said.extend_from_slice(&bytes);
        }
        match greeting.advance(crate::common::now(), &mut input) {
            Step::More(next, _) => greeting = next,
            Step::Done(_) => break Ok(()),
            Step::Failed(failed) => break Err(failed.error.kind()),
        }
    };
    (result, commands::<D>(&local, &said))
}

/// Zebra's names for the rows: outbound_direct_rejects_non_serving_peer_while_syncing,
/// outbound_proxy_…, inbound_direct_accepts_non_serving_peer, isolated_accepts_non_serving_peer.
#[test]
fn p2p_handshake_services_are_wanted_of_those_we_dial_openly() {
    fn check<D: Net>() {
        for kind in [direct(Direction::Outbound), proxied(Direction::Outbound)] {
            for lacking in [Services::NONE, Services(4), Services(!1)] {
                let (result, said) = greeted::<D>(kind, lacking);
                assert_eq!(result, Err(Kind::Rejected), "{kind:?}");
                assert_eq!(said, ["version"], "dropped before anything is promised");
            }
            assert_eq!(greeted::<D>(kind, Services(1 | 1 << 40)).0, Ok(()));
        }
        for kind in [
            direct(Direction::Inbound),
            proxied(Direction::Inbound),
            isolated(Direction::Inbound),
            isolated(Direction::Outbound),
        ] {
            let (result, said) = greeted::<D>(kind, Services::NONE);
            assert_eq!(result, Ok(()), "{kind:?}");
            assert_eq!(said, ["version", "verack"]);
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

/// The kind of failure that a greeted peer's bytes come to.
#[track_caller]
fn ends_with<D: Net>(bytes: &[u8], expected: Kind) -> SessionError {
    let (_, mut codec) = session::<D>(current::<D>());
    let mut input = BytesMut::from(bytes);
    loop {
        match codec.decode(&mut input) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it waits for more: {bytes:?}"),
            Err(error) => {
                assert_eq!(error.kind(), expected, "{error:?}");
                return error;
            }
        }
    }
}

// ---- p2p_ping ----

#[test]
fn p2p_ping_a_missing_or_short_nonce_is_malformed() {
    fn check<D: Net>() {
        for command in ["ping", "pong"] {
            for len in 0..8 {
                ends_with::<D>(&message::<D>(command, &vec![1; len]), Kind::Malformed);
            }
            let (_, mut codec) = session::<D>(current::<D>());
            let zero = message::<D>(command, &[0; 8]);
            assert!(codec.decode(&mut BytesMut::from(&zero[..])).is_ok());
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

// ---- p2p_getdata ----

/// An entry of a kind that nobody knows stands among others, and a request follows it.
#[test]
fn p2p_getdata_unknown_kinds_do_not_block_later_requests_on_decred() {
    use decred::{Inventory, InventoryKind};
    let entry = |kind| Inventory {
        kind,
        hash: Hash([7; 32]),
    };
    let mixed = vec![
        entry(InventoryKind::Other(5)),
        entry(InventoryKind::Block),
        entry(InventoryKind::Other(u32::MAX)),
    ];
    let valid = vec![entry(InventoryKind::Block)];
    for version in 9..=12 {
        let (_, mut codec) = session::<Decred>(version);
        let mut wire = BytesMut::new();
        for list in [&mixed, &valid] {
            let message = decred::Message::GetData(list.clone());
            codec.encode(&message, &mut wire).unwrap();
        }
        for list in [mixed.clone(), valid.clone()] {
            let heard = codec.decode(&mut wire);
            assert_eq!(heard, Ok(Some(decred::Message::GetData(list))));
        }
    }
}

/// ZIP 204 and ZIP 239: the length of an entry depends on its kind, so behind one that nobody knows
/// nothing can be read; the whole message is refused.
#[test]
fn p2p_getdata_unknown_kinds_are_refused_on_zcash() {
    for kind in [4_u32, 6, 0x4000_0001, u32::MAX] {
        for command in ["getdata", "inv", "notfound"] {
            let body = [&[1][..], &kind.to_le_bytes(), &[7; 32]].concat();
            let error = ends_with::<Zcash>(&message::<Zcash>(command, &body), Kind::Malformed);
            let SessionError::Message(MessageError::Malformed { error, .. }) = error else {
                panic!("{error:?}")
            };
            assert_eq!((error.field, error.offset), ("type", 1));
            let got = kind.into();
            assert_eq!(error.problem, Problem::BadValue { got });
        }
    }
}

// ---- p2p_invalid_locator ----

/// Core's limit is 101; dcrd's, which is ours on both networks, is 500.
#[test]
fn p2p_invalid_locator_too_many_disconnect() {
    fn check<D: Net>(variants: [fn(Locators) -> D::Message; 2]) {
        for (command, variant) in ["getheaders", "getblocks"].into_iter().zip(variants) {
            let of = |count| {
                write(&variant(Locators {
                    version: 1,
                    hashes: vec![Hash([1; 32]); count],
                    stop: Hash::default(),
                }))
            };
            let (_, mut codec) = session::<D>(current::<D>());
            let most = message::<D>(command, &of(500));
            assert!(codec.decode(&mut BytesMut::from(&most[..])).is_ok());
            // Refused by its length, and in a shorter message by its count.
            let error = ends_with::<D>(&message::<D>(command, &of(501)), Kind::Malformed);
            let oversized = matches!(
                error,
                SessionError::Message(MessageError::Oversized { limit: 16_039, .. })
            );
            assert!(oversized, "{error:?}");
            let short = [&[0; 4][..], &[0xfd, 0xf5, 0x01], &[0; 64]].concat();
            let error = ends_with::<D>(&message::<D>(command, &short), Kind::Malformed);
            let SessionError::Message(MessageError::Malformed { error, .. }) = error else {
                panic!("{error:?}")
            };
            let (got, limit) = (501, 500);
            assert_eq!(error.problem, Problem::OverLimit { got, limit });
        }
    }
    check::<Zcash>([zcash::Message::GetHeaders, zcash::Message::GetBlocks]);
    check::<Decred>([decred::Message::GetHeaders, decred::Message::GetBlocks]);
}

/// Also where early messages are tolerated: a broken one is no early message.
#[test]
fn p2p_invalid_locator_is_refused_in_the_legacy_window_too() {
    let short = [&[0; 4][..], &[0xfd, 0xf5, 0x01], &[0; 64]].concat();
    for direction in BOTH {
        let mut dialogue = Dialogue::<Decred>::new(direction);
        dialogue.hear(&version::<Decred>(11));
        dialogue.hear(&message::<Decred>("getheaders", &short));
        assert!(matches!(dialogue.error(), HandshakeError::Message { .. }));
        assert_eq!(dialogue.verdict(), "verack malformed");
    }
}

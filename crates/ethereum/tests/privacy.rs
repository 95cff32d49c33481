//! What a peer sees of us, by kind of connection: the table on `Local`, row by row.

use peerage_core::{ConnectedAddr, Direction, Domain};
use peerage_ethereum::eth::Progress;
use peerage_ethereum::key::SharedStatic;
use peerage_ethereum::{
    Attempt, Best, EthVersion, ForkId, Head, Hello, Local, PeerId, PublicKey, SecretKey, Told,
};

use crate::common::pair::{
    End, NOW, answering_over, dialling_over, inbound, node, outbound, random,
};
use crate::common::rogue::{BOTH, Heard, Rogue, mallory};

/// A node with something to hide in every field.
fn node_with_secrets(seed: u8) -> Local {
    let local = Local {
        listen_port: 30_000 + u16::from(seed),
        ..node(seed)
    };
    local.tip.set(Some(Best {
        head: Head {
            number: 24_000_000 + u64::from(seed),
            time: 1_779_000_000,
        },
        told: Some(Told {
            hash: [seed; 32],
            earliest: 15_000_000,
            total_difficulty: u128::from(seed).into(),
        }),
    }));
    local
}

const EXPOSURES: [&str; 3] = ["direct", "proxied", "isolated"];

fn addr(exposure: &str, direction: Direction) -> ConnectedAddr {
    let endpoint = "192.0.2.44:9050"
        .parse::<std::net::SocketAddr>()
        .unwrap()
        .into();
    match (exposure, direction) {
        ("direct", Direction::Outbound) => outbound(),
        ("direct", Direction::Inbound) => inbound(),
        ("proxied", Direction::Outbound) => ConnectedAddr::OutboundProxy {
            proxy: endpoint,
            local: endpoint,
        },
        ("proxied", Direction::Inbound) => ConnectedAddr::InboundProxy {
            transient: endpoint,
        },
        _ => ConnectedAddr::Isolated { direction },
    }
}

/// What a peer sees in one connection.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    id: PeerId,
    hello: Hello,
    fork_id: ForkId,
    network_id: u64,
    genesis: [u8; 32],
    progress: Progress,
}

/// The key that an isolated attempt with this randomness goes by: its last 32 bytes.
fn passing(seed: u8) -> SecretKey {
    let random = random(seed);
    SecretKey::from_bytes(random[random.len() - 32..].try_into().unwrap()).unwrap()
}

fn dial(addr: ConnectedAddr, rogue: &Local, seed: u8) -> Attempt {
    dialling_over(addr, rogue.key.public(), seed)
}

/// Who a dialler goes by over proxies in this domain.
fn proxied_id(local: &Local, domain: Domain) -> PublicKey {
    let rogue = mallory();
    let attempt = dial(addr("proxied", Direction::Outbound), &rogue, 3).in_domain(domain);
    let mut end = End::new(local, attempt);
    let Heard::Hello(hello) = Rogue::answers(&mut end, rogue).hear(&[]).remove(0) else {
        panic!("no Hello")
    };
    PublicKey::try_from(hello.id).unwrap()
}

fn see(local: &Local, exposure: &str, direction: Direction, seed: u8) -> Seen {
    see_in(
        local,
        exposure,
        direction,
        seed,
        Domain::default(),
        EthVersion::Eth72,
    )
}

fn see_in(
    local: &Local,
    exposure: &str,
    direction: Direction,
    seed: u8,
    domain: Domain,
    version: EthVersion,
) -> Seen {
    let rogue = Local {
        capabilities: [version.spec()].into(),
        ..mallory()
    };
    let over = addr(exposure, direction);
    let (mut end, mut rogue) = match direction {
        Direction::Outbound => {
            let mut end = End::new(local, dial(over, &rogue, seed).in_domain(domain));
            let rogue = Rogue::answers(&mut end, rogue);
            (end, rogue)
        }
        Direction::Inbound => {
            let owner = match exposure {
                "direct" => *local.key.public(),
                "proxied" => proxied_id(local, domain),
                _ => *passing(seed).public(),
            };
            let mut end = End::new(local, answering_over(over, seed).in_domain(domain));
            let rogue = Rogue::dials_key(&mut end, &owner, rogue);
            (end, rogue)
        }
    };
    let Heard::Hello(hello) = rogue.hear(&[]).remove(0) else {
        panic!("no Hello")
    };
    end.hear(&rogue.introduce_honestly());
    // Nothing of ours was told, and still it speaks.
    if direction == Direction::Outbound {
        end.wake();
    }
    let Heard::Status(status) = rogue.hear(&end.said()).remove(0) else {
        panic!("no Status")
    };
    Seen {
        id: hello.id,
        hello,
        fork_id: status.fork_id,
        network_id: status.network_id,
        genesis: status.genesis,
        progress: status.progress,
    }
}

/// Best block as it is told: hash, latest, earliest; the number is not told in eth/68.
fn told(seen: &Seen) -> ([u8; 32], Option<(u64, u64)>) {
    match seen.progress {
        Progress::Best {
            total_difficulty,
            hash,
        } => {
            assert_eq!(total_difficulty.bits() > 0, hash != seen.genesis);
            (hash, None)
        }
        Progress::Range(range) => (range.latest_hash, Some((range.latest, range.earliest))),
    }
}

#[test]
fn the_table_holds_row_by_row() {
    let local = node_with_secrets(1);
    let fork_at = |head| local.chain.fork_filter(head).fork_id();
    let (at_tip, at_genesis) = (
        fork_at(local.tip.best().unwrap().head),
        fork_at(Head::default()),
    );
    assert_ne!(at_tip, at_genesis);
    for version in [EthVersion::Eth68, EthVersion::Eth72] {
        for direction in BOTH {
            for exposure in EXPOSURES {
                let seen = see_in(&local, exposure, direction, 7, Domain::default(), version);
                let what = format!("{version} {exposure} {direction}");
                let direct = exposure == "direct";
                assert_eq!(seen.id == local.id(), direct, "{what}");
                let client = if exposure == "isolated" {
                    ""
                } else {
                    "node-1/v1"
                };
                assert_eq!(seen.hello.client_id.to_string(), client, "{what}");
                let port = if direct { 30_001 } else { 0 };
                assert_eq!(seen.hello.listen_port, port, "{what}");
                assert_eq!(seen.hello.capabilities.len(), EthVersion::ALL.len());
                assert_eq!(
                    (seen.network_id, seen.genesis),
                    (1, local.chain.genesis_hash)
                );
                assert_eq!(
                    seen.fork_id,
                    if direct { at_tip } else { at_genesis },
                    "{what}"
                );
                let (hash, range) = told(&seen);
                let (expected, numbers) = if direct {
                    ([1; 32], (24_000_001, 15_000_000))
                } else {
                    (seen.genesis, (0, 0))
                };
                assert_eq!(hash, expected, "{what}");
                assert_eq!(
                    range,
                    (version > EthVersion::Eth68).then_some(numbers),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn an_operator_may_tell_the_best_block_through_proxies_and_never_in_isolation() {
    let local = Local {
        tell_through_proxies: true,
        ..node_with_secrets(1)
    };
    for direction in BOTH {
        let direct = see(&local, "direct", direction, 7);
        let proxied = see(&local, "proxied", direction, 7);
        assert_eq!(
            (proxied.fork_id, proxied.progress),
            (direct.fork_id, direct.progress)
        );
        assert_eq!(proxied.hello.listen_port, 0);
        assert_ne!(proxied.id, direct.id);
        let isolated = see(&local, "isolated", direction, 7);
        assert_ne!(
            (isolated.fork_id, isolated.progress),
            (direct.fork_id, direct.progress)
        );
    }
}

#[test]
fn through_proxies_there_is_one_key_for_each_domain() {
    let local = node_with_secrets(1);
    let id = |direction, seed, domain| {
        let domain = Domain(domain);
        see_in(
            &local,
            "proxied",
            direction,
            seed,
            domain,
            EthVersion::Eth72,
        )
        .id
    };
    let first = id(Direction::Outbound, 1, 5);
    for direction in BOTH {
        assert_eq!(id(direction, 2, 5), first, "the same in one domain");
    }
    let others = [
        id(Direction::Outbound, 1, 6),
        id(Direction::Outbound, 1, 0),
        local.id(),
    ];
    assert!(!others.contains(&first));
    assert_ne!(others[0], others[1]);
    // Another node's key of that domain is another.
    let other = node_with_secrets(2);
    assert_ne!(proxied_id(&other, Domain(5)).id(), first);
}

#[test]
fn an_isolated_key_is_made_of_nothing_but_the_attempts_own_randomness() {
    let local = node_with_secrets(1);
    for direction in BOTH {
        let ids = [7, 8, 9].map(|seed| see(&local, "isolated", direction, seed).id);
        assert_eq!(ids, [7, 8, 9].map(|seed| passing(seed).id()));
        // Whoever runs the node and whatever the domain.
        let other = node_with_secrets(2);
        let seen = see_in(
            &other,
            "isolated",
            direction,
            7,
            Domain(3),
            EthVersion::Eth72,
        );
        assert_eq!(seen.id, ids[0]);
    }
}

/// Two attempts of one node are as alike as those of two nodes: all that is seen but the fresh key
/// is the same for everybody on the chain.
#[test]
fn two_isolated_attempts_share_nothing_that_links_them() {
    let anonymous = |mut seen: Seen| {
        seen.id = PeerId([0; 64]);
        seen.hello.id = PeerId([0; 64]);
        seen
    };
    for direction in BOTH {
        let one = see(&node_with_secrets(1), "isolated", direction, 7);
        let again = see(&node_with_secrets(1), "isolated", direction, 8);
        let other = see(&node_with_secrets(2), "isolated", direction, 9);
        assert!(one.id != again.id && again.id != other.id);
        let [one, again, other] = [one, again, other].map(anonymous);
        assert_eq!(one, again);
        assert_eq!(one, other);
    }
}

/// Before the cipher, too: no eight bytes in a row of two attempts are the same.
#[test]
fn two_attempts_share_no_bytes_on_the_wire() {
    let local = node_with_secrets(1);
    for exposure in EXPOSURES {
        let [a, b] = [7, 8].map(|seed| {
            let attempt = dial(addr(exposure, Direction::Outbound), &mallory(), seed);
            End::new(&local, attempt).said()
        });
        assert!(
            a.windows(8)
                .all(|part| !b.windows(8).any(|other| part == other))
        );
    }
}

/// A secret shared under the node's own key would betray it.
#[test]
fn a_kept_secret_does_not_bring_the_nodes_key_into_an_isolated_attempt() {
    let (local, rogue) = (node_with_secrets(1), mallory());
    for exposure in ["proxied", "isolated"] {
        let kept = SharedStatic::new(&local.key, rogue.key.public());
        let attempt = dial(addr(exposure, Direction::Outbound), &rogue, 7).knowing(kept);
        let mut end = End::new(&local, attempt);
        let mut rogue = Rogue::answers(&mut end, rogue.clone());
        let Heard::Hello(hello) = rogue.hear(&[]).remove(0) else {
            panic!("no Hello")
        };
        assert_ne!(hello.id, local.id());
        end.hear(&rogue.introduce_honestly());
        end.hear(&rogue.tell_honestly());
        assert_eq!(end.is(), "peer", "the frames fit: the secret was not used");
    }
}

/// A node that knows no block tells of genesis and judges by the clock; directly, its fork id says so.
#[test]
fn a_node_without_blocks_tells_of_genesis() {
    let local = node(1);
    let seen = see(&local, "direct", Direction::Inbound, 7);
    assert_eq!(seen.fork_id, local.forks(NOW).fork_id());
    assert_eq!(told(&seen), (seen.genesis, Some((0, 0))));
}

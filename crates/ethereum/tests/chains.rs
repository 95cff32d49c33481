//! Two chains that do not fit, two heads that do, and tables that change between two handshakes.

use std::sync::Arc;

use peerage_core::{Direction, Failure, Kind, Stage as Where, UnixTime};
use peerage_ethereum::eth::{BlockRange, Progress, Status, TotalDifficulty};
use peerage_ethereum::fork::{ForkHash, ForkId, Relation};
use peerage_ethereum::table::{ChainTable, NETWORK};
use peerage_ethereum::{Attempt, Best, DisconnectReason, EthVersion, Head, Local, Table, Told};

use crate::common::pair::{
    End, NOW, answering, chain, converse, dialling, inbound, node, node_on, outbound, random,
};
use crate::common::rogue::{BOTH, Heard, Stage, at_stage_of, mallory};

/// A change to an honest Status, and what it must be judged as.
type Change = (&'static str, fn(&mut Status), Kind);

const NO_SUCH_FORK: ForkHash = ForkHash([0xde, 0xad, 0xbe, 0xef]);

const BOTH_SHAPES: &[Change] = &[
    ("network", |s| s.network_id = 11_155_111, Kind::WrongNetwork),
    ("genesis", |s| s.genesis[0] ^= 1, Kind::WrongGenesis),
    (
        "foreign fork",
        |s| s.fork_id.hash = NO_SUCH_FORK,
        Kind::WrongFork,
    ),
    (
        "a fork that would be behind us",
        |s| s.fork_id.next = 1_770_000_000,
        Kind::WrongFork,
    ),
    (
        "a head before a fork it does not know",
        // Mainnet at Cancun, and nothing after it.
        |s| {
            s.fork_id = ForkId {
                hash: ForkHash([0x9f, 0x3d, 0x22, 0x54]),
                next: 0,
            }
        },
        Kind::Obsolete,
    ),
    (
        "another version, same shape or not",
        |s| s.version += 1,
        Kind::Violation,
    ),
    ("no version at all", |s| s.version = 0, Kind::Violation),
];

const OF_68: &[Change] = &[
    (
        "a zero hash",
        |s| {
            s.progress = Progress::Best {
                total_difficulty: 1.into(),
                hash: [0; 32],
            }
        },
        Kind::Violation,
    ),
    (
        "more work than any chain has",
        |s| {
            s.progress = Progress::Best {
                total_difficulty: TotalDifficulty([0xff; 32]),
                hash: [1; 32],
            };
        },
        Kind::Violation,
    ),
];

const OF_69: &[Change] = &[
    (
        "an inverted range",
        |s| {
            s.progress = Progress::Range(BlockRange {
                earliest: 10,
                latest: 9,
                latest_hash: [1; 32],
            });
        },
        Kind::Violation,
    ),
    (
        "a zero hash",
        |s| {
            s.progress = Progress::Range(BlockRange {
                earliest: 0,
                latest: 9,
                latest_hash: [0; 32],
            });
        },
        Kind::Violation,
    ),
];

#[test]
fn every_way_not_to_fit_has_its_own_verdict_in_every_version_and_both_directions() {
    for version in EthVersion::ALL {
        let own = if *version == EthVersion::Eth68 {
            OF_68
        } else {
            OF_69
        };
        for (what, change, kind) in BOTH_SHAPES.iter().chain(own) {
            for direction in BOTH {
                let local = Local {
                    capabilities: [version.spec()].into(),
                    ..node(1)
                };
                let (mut end, mut rogue) =
                    at_stage_of(&local, &mallory(), direction, Stage::Status);
                let mut status = rogue.honest_status();
                change(&mut status);
                end.hear(&rogue.tell(&status));
                let error = end.error();
                let got = (error.kind(), error.stage());
                let malformed_shape =
                    *what == "another version, same shape or not" && *version == EthVersion::Eth68;
                // Stated as eth/69 in the form of eth/68: no Status of either.
                let expected = if malformed_shape {
                    Kind::Malformed
                } else {
                    *kind
                };
                assert_eq!(
                    got,
                    (expected, Where::Greet("status")),
                    "{version} {what}: {error}"
                );
                let word = if malformed_shape {
                    DisconnectReason::Breach
                } else {
                    DisconnectReason::Subprotocol
                };
                assert_eq!(
                    rogue.hear(&end.said()),
                    [Heard::Goodbye(word)],
                    "{version} {what}"
                );
            }
        }
    }
}

/// A private chain with these forks behind genesis.
fn private(network_id: u64, genesis: &str, forks: &str) -> Arc<ChainTable> {
    let text = format!(
        "network = \"ethereum\"\n[[chain]]\nname = \"private\"\nnetwork_id = {network_id}\n\
         chain_id = {network_id}\ngenesis_hash = \"{}\"\nport = 30303\n{forks}",
        genesis.repeat(32)
    );
    Table::parse(NETWORK, &text).unwrap().chains[0].clone()
}

const EARLY: &str = "[[chain.fork]]\nname = \"early\"\nblock = 10\n";
const LATE: &str = "[[chain.fork]]\nname = \"late\"\nblock = 100\n";
const TIMED: &str = "[[chain.fork]]\nname = \"timed\"\ntime = 1750000000\n";

fn at_block(local: &Local, number: u64) {
    local.tip.set(Some(Best {
        head: Head {
            number,
            time: 1_700_000_000 + number,
        },
        told: Some(Told {
            hash: [3; 32],
            earliest: 0,
            total_difficulty: 1.into(),
        }),
    }));
}

/// Both ends' verdicts: the dialler hears the listener first and leaves, and the listener is told.
fn verdicts(dialler: &Local, listener: &Local) -> (Option<Kind>, Option<Kind>) {
    let mut a = End::new(dialler, dialling(listener.key.public(), 1));
    let mut b = End::new(listener, answering(2));
    converse(&mut a, &mut b);
    (kind_of(&a), kind_of(&b))
}

fn kind_of(end: &End) -> Option<Kind> {
    (end.is() == "failed").then(|| end.error().kind())
}

/// The same when neither waits for the other: each judges for itself.
fn own_verdicts(dialler: &Local, listener: &Local) -> (Option<Kind>, Option<Kind>) {
    let mut a = End::new(dialler, dialling(listener.key.public(), 1));
    let mut b = End::new(listener, answering(2));
    b.hear(&a.said());
    let first = b.said();
    // Ack and Hello, and not yet the Status behind them.
    a.hear(&first);
    let hello = a.said();
    a.wake();
    let status = a.said();
    b.hear(&hello);
    let theirs = b.said();
    b.hear(&status);
    a.hear(&theirs);
    (kind_of(&a), kind_of(&b))
}

#[test]
fn each_side_of_a_mismatch_has_its_own_words_for_it() {
    let ours = node_on(private(7, "aa", &[EARLY, LATE].concat()), 1);
    let cases = [
        (
            private(8, "aa", EARLY),
            Kind::WrongNetwork,
            Kind::WrongNetwork,
        ),
        (
            private(7, "bb", EARLY),
            Kind::WrongGenesis,
            Kind::WrongGenesis,
        ),
        // We have passed late; they do not know of it.
        (private(7, "aa", EARLY), Kind::Obsolete, Kind::WrongFork),
    ];
    at_block(&ours, 200);
    for (table, at_us, at_them) in cases {
        let theirs = node_on(table, 2);
        at_block(&theirs, 200);
        assert_eq!(own_verdicts(&ours, &theirs), (Some(at_us), Some(at_them)));
        assert_eq!(own_verdicts(&theirs, &ours), (Some(at_them), Some(at_us)));
        // In order, the dialler finds it and the listener is told.
        assert_eq!(verdicts(&ours, &theirs), (Some(at_us), Some(Kind::Refused)));
        assert_eq!(
            verdicts(&theirs, &ours),
            (Some(at_them), Some(Kind::Refused))
        );
    }
}

#[test]
fn a_peer_behind_or_ahead_on_the_same_rules_is_a_peer_and_is_known_as_such() {
    let table = private(7, "aa", &[EARLY, LATE].concat());
    let (old, new) = (node_on(table.clone(), 1), node_on(table, 2));
    at_block(&old, 50);
    at_block(&new, 200);
    let (a, b) = crate::common::pair::established(&old, &new);
    let relation = |life: &crate::common::pair::Life| {
        let standing = life.info.chain.as_ref().unwrap().standing;
        (standing.relation, standing.passed)
    };
    assert_eq!(relation(&a), (Relation::Ahead, 2));
    assert_eq!(relation(&b), (Relation::Behind, 1));
}

/// The tip is read anew by every handshake: no restart, no second copy.
#[test]
fn a_fork_that_activates_between_two_handshakes_counts_in_the_second() {
    let ours = node_on(private(7, "aa", &[EARLY, LATE].concat()), 1);
    let theirs = node_on(private(7, "aa", EARLY), 2);
    at_block(&ours, 99);
    at_block(&theirs, 99);
    assert_eq!(verdicts(&ours, &theirs), (None, None));
    at_block(&ours, 100);
    assert_eq!(
        verdicts(&ours, &theirs),
        (Some(Kind::Obsolete), Some(Kind::Refused))
    );
    assert_eq!(
        verdicts(&theirs, &ours),
        (Some(Kind::WrongFork), Some(Kind::Refused))
    );
    // A reorganisation may take it back.
    at_block(&ours, 99);
    assert_eq!(verdicts(&ours, &theirs), (None, None));
}

#[test]
fn a_fork_that_activates_during_a_handshake_counts_when_the_status_is_judged() {
    let local = node_on(private(7, "aa", &[EARLY, LATE].concat()), 1);
    let rogue = node_on(private(7, "aa", EARLY), 9);
    at_block(&local, 99);
    let (mut end, mut rogue) = at_stage_of(&local, &rogue, Direction::Inbound, Stage::Status);
    at_block(&local, 100);
    end.hear(&rogue.tell_honestly());
    assert_eq!(end.error().kind(), Kind::Obsolete);
}

#[test]
fn a_table_that_is_replaced_holds_for_the_next_handshake() {
    let ours = node_on(private(7, "aa", &[EARLY, LATE].concat()), 1);
    let mut theirs = node_on(private(7, "aa", EARLY), 2);
    at_block(&ours, 200);
    at_block(&theirs, 200);
    assert_eq!(verdicts(&ours, &theirs).0, Some(Kind::Obsolete));
    theirs.chain = private(7, "aa", &[EARLY, LATE].concat());
    assert_eq!(verdicts(&ours, &theirs), (None, None));
}

/// What a node that knows no block makes of one on `forks`, at this time.
fn by_the_clock(time: i64, forks: &str) -> Option<Kind> {
    let ours = node_on(private(7, "aa", &[EARLY, TIMED].concat()), 1);
    let theirs = node_on(private(7, "aa", forks), 2);
    let attempt =
        |addr, peer, seed| Attempt::new(addr, peer, UnixTime(time), &random(seed)).unwrap();
    let mut a = End::new(&ours, attempt(outbound(), Some(*theirs.key.public()), 1));
    let mut b = End::new(&theirs, attempt(inbound(), None, 2));
    converse(&mut a, &mut b);
    kind_of(&a)
}

#[test]
fn a_node_that_knows_no_block_judges_by_the_wall_clock() {
    // Before the fork by time, one that does not know of it is still right.
    assert_eq!(by_the_clock(1_749_999_999, EARLY), None);
    assert_eq!(by_the_clock(1_750_000_000, EARLY), Some(Kind::Obsolete));
    assert_eq!(by_the_clock(1_750_000_000, &[EARLY, TIMED].concat()), None);
    // A clock before 1970 is one at its beginning.
    assert_eq!(by_the_clock(-5, EARLY), None);
}

/// Only its time says whether it is behind us: no number of blocks is as great.
#[test]
fn a_fork_still_to_come_is_no_reason_to_part_for_a_node_without_blocks() {
    let coming = |seed| node_on(private(7, "aa", &[EARLY, TIMED].concat()), seed);
    let (ours, theirs) = (coming(1), coming(2));
    at_block(&theirs, 50);
    let forks = ours.forks(UnixTime(1_749_999_999));
    let announced = theirs.forks(NOW).fork_id();
    assert_eq!(announced.next, 1_750_000_000);
    forks.judge(announced).unwrap();
    assert_eq!(by_the_clock(1_749_999_999, &[EARLY, TIMED].concat()), None);
    // One that our table lacks is judged by the clock as well.
    let unknown = ForkId {
        next: 1_749_999_998,
        ..forks.fork_id()
    };
    assert_eq!(forks.judge(unknown).unwrap_err().kind(), Kind::WrongFork);
    let later = ForkId {
        next: 1_760_000_000,
        ..unknown
    };
    forks.judge(later).unwrap();
}

/// Every compiled-in chain with every other: only with itself there is a peer.
#[test]
fn the_compiled_in_chains_keep_to_themselves() {
    for ours in ["mainnet", "sepolia", "hoodi", "holesky"] {
        for theirs in ["mainnet", "sepolia", "hoodi", "holesky"] {
            let (a, b) = (node_on(chain(ours), 1), node_on(chain(theirs), 2));
            let expected = (ours != theirs).then_some(Kind::WrongNetwork);
            assert_eq!(verdicts(&a, &b).0, expected, "{ours} {theirs}");
        }
    }
}

//! Fork ids: published values, published cases, and the rules a second time.

use std::sync::Arc;

use bytes::BytesMut;
use peerage_core::Kind;
use peerage_ethereum::fork::{
    Activation, Fork, ForkError, ForkFilter, ForkHash, ForkId, Head, RecordEntryError, Relation,
    Schedule,
};
use peerage_ethereum::rlp::Writer;
use peerage_ethereum::table::Table;
use proptest::prelude::*;

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("vectors/ethereum.json")).unwrap()
}

fn mainnet(number: u64, time: u64) -> ForkFilter {
    let table = Table::builtin();
    table
        .chain("mainnet")
        .unwrap()
        .fork_filter(Head { number, time })
}

const fn id(hash: u32, next: u64) -> ForkId {
    ForkId {
        hash: ForkHash(hash.to_be_bytes()),
        next,
    }
}

/// The head at which a fork has just activated. All blocks of a chain with forks by time count as
/// past those by number.
const fn head_at(activation: Activation) -> Head {
    match activation {
        Activation::Block(number) => Head { number, time: 0 },
        Activation::Time(time) => Head {
            number: 40_000_000,
            time,
        },
    }
}

const fn just_before(activation: Activation) -> Head {
    match activation {
        Activation::Block(at) => Head {
            number: at - 1,
            time: 0,
        },
        Activation::Time(at) => Head {
            number: 40_000_000,
            time: at - 1,
        },
    }
}

#[test]
fn every_published_fork_id_is_ours_on_both_sides_of_its_activation() {
    let table = Table::builtin();
    let mut seen = 0;
    for (name, network) in vectors()["networks"].as_object().unwrap() {
        let schedule = &table.chain(name).unwrap().schedule;
        let mut filter = ForkFilter::new(Arc::clone(schedule), Head::default());
        let ids = network["fork_ids"].as_array().unwrap();
        assert_eq!(ids.len(), schedule.forks().len() + 1, "{name}");
        let mut last = None;
        for (passed, vector) in ids.iter().enumerate() {
            let hash = vector["fork_hash"]
                .as_str()
                .unwrap()
                .trim_start_matches("0x");
            let expected = id(
                u32::from_str_radix(hash, 16).unwrap(),
                vector["fork_next"].as_u64().unwrap(),
            );
            if let Some(fork) = passed.checked_sub(1).map(|at| &schedule.forks()[at]) {
                assert_eq!(filter.set_head(just_before(fork.at)), None, "{name}");
                let transition = filter.set_head(head_at(fork.at)).unwrap();
                assert_eq!(Some(transition.from), last);
                assert_eq!(transition.to, expected);
                assert_eq!(*transition.fork, *vector["after"].as_str().unwrap());
            }
            assert_eq!(filter.fork_id(), expected, "{name} {passed}");
            assert_eq!(filter.fork_name(), vector["after"].as_str().unwrap());
            last = Some(expected);
            seen += 1;
        }
    }
    assert_eq!(seen, 19 + 9 + 7 + 5);
}

/// What the published cases expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    RemoteStale,
    /// Either the remote is another chain or our own software is old.
    Incompatible,
}

use Verdict::{Accept, Incompatible, RemoteStale};

fn verdict<T>(result: &Result<T, ForkError>) -> Verdict {
    match result {
        Ok(_) => Accept,
        Err(ForkError::RemoteStale { .. }) => RemoteStale,
        Err(_) => Incompatible,
    }
}

/// The cases of EIP-2124 and EIP-6122 on mainnet: our head, the remote id, the verdict.
const CASES: &[(u64, u64, ForkId, Verdict, &str)] = &[
    (
        7_987_396,
        0,
        id(0x668d_b0af, 0),
        Accept,
        "same fork, nothing ahead",
    ),
    (
        7_987_396,
        0,
        id(0x668d_b0af, u64::MAX),
        Accept,
        "same fork, a far one announced",
    ),
    (
        7_279_999,
        0,
        id(0xa00b_c324, 0),
        Accept,
        "same fork, the remote has not upgraded yet",
    ),
    (
        7_279_999,
        0,
        id(0xa00b_c324, 7_280_000),
        Accept,
        "same fork, same next",
    ),
    (
        7_279_999,
        0,
        id(0xa00b_c324, u64::MAX),
        Accept,
        "same fork, another next that is far",
    ),
    (
        7_280_000,
        0,
        id(0xa00b_c324, 7_280_000),
        Accept,
        "the remote stands right before Petersburg, we at it",
    ),
    (
        7_987_396,
        0,
        id(0xa00b_c324, 7_280_000),
        Accept,
        "the remote is syncing",
    ),
    (
        7_987_396,
        0,
        id(0x3edd_5b10, 4_370_000),
        Accept,
        "the remote is far behind but knows its next",
    ),
    (7_279_999, 0, id(0x668d_b0af, 0), Accept, "we are syncing"),
    (
        4_369_999,
        0,
        id(0xa00b_c324, 0),
        Accept,
        "we are syncing, the remote may be stale",
    ),
    (
        7_987_396,
        0,
        id(0xa00b_c324, 0),
        RemoteStale,
        "the remote missed Petersburg",
    ),
    (
        7_987_396,
        0,
        id(0x5cdd_c0e1, 0),
        Incompatible,
        "a fork we do not know",
    ),
    (
        7_279_999,
        0,
        id(0x5cdd_c0e1, 0),
        Incompatible,
        "a fork we do not know, and we are behind",
    ),
    (
        7_987_396,
        0,
        id(0xafec_6b27, 0),
        Incompatible,
        "another chain, Rinkeby",
    ),
    (
        88_888_888,
        0,
        id(0xf0af_d0e3, 88_888_888),
        Incompatible,
        "a next that we have passed",
    ),
    (
        7_279_999,
        0,
        id(0xa00b_c324, 7_279_999),
        Incompatible,
        "a next that is our head",
    ),
    // From here on by time.
    (
        20_000_000,
        1_668_000_000,
        id(0xf0af_d0e3, 0),
        Accept,
        "Gray Glacier, Shanghai unknown to it",
    ),
    (
        20_000_000,
        1_668_000_000,
        id(0xf0af_d0e3, 1_681_338_455),
        Accept,
        "Gray Glacier, Shanghai known",
    ),
    (
        20_000_000,
        1_668_000_000,
        id(0xf0af_d0e3, u64::MAX),
        Accept,
        "Gray Glacier, another far next",
    ),
    (
        20_000_000,
        1_668_000_001,
        id(0xf0af_d0e3, 1_668_000_000),
        Incompatible,
        "a time that we have passed",
    ),
    (
        20_000_000,
        1_681_338_455,
        id(0xf0af_d0e3, 1_681_338_455),
        Accept,
        "the remote syncs towards Shanghai",
    ),
    (
        20_000_000,
        1_681_338_455,
        id(0x20c3_27fc, 15_050_000),
        Accept,
        "the remote syncs towards Gray Glacier",
    ),
    (
        20_000_000,
        1_668_000_000,
        id(0xdce9_6c2d, 0),
        Accept,
        "the remote passed Shanghai, we sync",
    ),
    (
        20_000_000,
        1_681_338_455,
        id(0xf0af_d0e3, 0),
        RemoteStale,
        "the remote missed Shanghai",
    ),
    (
        20_000_000,
        1_710_338_135,
        id(0xdce9_6c2d, 0),
        RemoteStale,
        "the remote missed Cancun",
    ),
    (
        20_000_000,
        1_710_338_135,
        id(0xdce9_6c2d, 1_710_338_135),
        Accept,
        "the remote syncs towards Cancun",
    ),
    (
        20_000_000,
        1_681_338_455,
        id(0x9f3d_2254, 1_746_612_311),
        Accept,
        "the remote passed Cancun",
    ),
    (
        20_000_000,
        1_681_338_455,
        id(0x7114_7644, 0),
        Incompatible,
        "a time fork we do not know",
    ),
];

#[test]
fn the_cases_of_the_eips_are_judged_as_published() {
    for (number, time, remote, expected, case) in CASES {
        let result = mainnet(*number, *time).judge(*remote);
        assert_eq!(verdict(&result), *expected, "{case}: {result:?}");
    }
}

#[test]
fn an_error_names_the_fork_at_which_the_remote_stands() {
    let head = (40_000_000, 1_767_747_671);
    let error = mainnet(head.0, head.1)
        .judge(id(0x9f3d_2254, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer stands at cancun and knows nothing as its next fork, not prague at time 1746612311: it must upgrade"
    );
    assert_eq!(error.kind(), Kind::Obsolete);
    let error = mainnet(head.0, head.1)
        .judge(id(0x07c9_462e, 1_767_747_671))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer stands at bpo2 as we do, but knows a fork at 1767747671 that our head has passed and our table does not have"
    );
    let error = mainnet(head.0, head.1)
        .judge(id(0xbef7_1d30, 0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "fork hash bef71d30 is at no point of our chain: another chain, or a fork that our table lacks"
    );
    assert_eq!(error.kind(), Kind::WrongFork);
    let filter = mainnet(0, 0);
    let standing = filter.judge(id(0x9f3d_2254, 0)).unwrap();
    assert_eq!(standing.relation, Relation::Ahead);
    assert_eq!(filter.schedule().name(standing.passed), "cancun");
}

#[test]
fn the_head_moves_and_everything_is_judged_anew() {
    let mut filter = mainnet(40_000_000, 1_746_612_310);
    let stale = id(0x9f3d_2254, 0);
    filter.judge(stale).expect("Prague has not come yet");
    let transition = filter
        .set_head(Head {
            number: 40_000_001,
            time: 1_746_612_311,
        })
        .unwrap();
    assert_eq!(&*transition.fork, "prague");
    filter.judge(stale).unwrap_err();
    // A reorganisation takes it back.
    let back = filter
        .set_head(Head {
            number: 40_000_000,
            time: 1_746_612_310,
        })
        .unwrap();
    assert_eq!(back.to, transition.from);
    filter.judge(stale).unwrap();
}

#[test]
fn another_table_changes_the_rules_under_a_running_filter() {
    let table = Table::builtin();
    let sepolia = table.chain("sepolia").unwrap();
    let head = Head {
        number: 10_000_000,
        time: 1_791_294_816,
    };
    let forks = sepolia.schedule.forks();
    let without = Schedule::new(&sepolia.genesis_hash, 0, &forks[..forks.len() - 1]);
    let mut filter = ForkFilter::new(Arc::new(without), head);
    let amsterdam = id(0x6c1d_9423, 0);
    filter.judge(amsterdam).unwrap_err();
    let transition = filter.set_schedule(Arc::clone(&sepolia.schedule)).unwrap();
    assert_eq!(transition.to, amsterdam);
    filter.judge(amsterdam).unwrap();
}

fn entry(items: &[ForkId], extra: bool) -> BytesMut {
    let mut entry = BytesMut::new();
    Writer::new(&mut entry).list(|writer| {
        for id in items {
            writer.list(|writer| {
                writer.bytes(&id.hash.0).uint(id.next);
                if extra {
                    writer.bytes(b"later");
                }
            });
        }
        if extra {
            writer.uint(7);
        }
    });
    entry
}

#[test]
fn a_record_is_judged_before_anyone_dials_it() {
    let filter = mainnet(40_000_000, 1_767_747_671);
    filter.judge_record_entry(&filter.record_entry()).unwrap();
    assert_eq!(
        filter.record_entry()[..],
        entry(&[id(0x07c9_462e, 0)], false)
    );
    filter
        .judge_record_entry(&entry(&[id(0x07c9_462e, 0)], true))
        .unwrap();
    let hoodi = filter.judge_record_entry(&entry(&[id(0x23aa_1351, 0)], false));
    assert_eq!(hoodi.unwrap_err().kind(), Kind::WrongFork);
    for malformed in [&[][..], &[0xc0], &[0x80], &[0xc1, 0x80], &entry(&[], true)] {
        let result = filter.judge_record_entry(malformed);
        assert!(
            matches!(result, Err(RecordEntryError::Malformed(_))),
            "{malformed:02x?}"
        );
    }
}

/// go-ethereum's cases of encoding: the hash keeps its zeros, the number does not.
#[test]
fn a_fork_id_is_four_bytes_and_a_number() {
    for (remote, digits) in [
        (id(0, 0), "c6840000000080"),
        (id(0xdead_beef, 0xbadd_cafe), "ca84deadbeef84baddcafe"),
        (id(u32::MAX, u64::MAX), "ce84ffffffff88ffffffffffffffff"),
    ] {
        let bytes = hex::decode(digits).unwrap();
        assert_eq!(entry(&[remote], false)[1..], bytes);
        let entry = [&[0xc0 + u8::try_from(bytes.len()).unwrap()], &bytes[..]].concat();
        let RecordEntryError::Fork(error) = mainnet(0, 0).judge_record_entry(&entry).unwrap_err()
        else {
            panic!("{digits} is well-formed");
        };
        assert_eq!(error.remote(), remote);
    }
}

#[test]
fn a_foreign_fork_hash_has_a_name_where_the_table_knows_its_chain() {
    let table = Table::builtin();
    for chain in &table.chains {
        for passed in 0..=chain.schedule.forks().len() {
            let hash = chain.schedule.fork_id(passed).hash;
            assert_eq!(
                table.find_fork(hash),
                Some((chain, chain.schedule.name(passed)))
            );
        }
    }
    assert_eq!(table.find_fork(ForkHash([0; 4])), None);
}

#[test]
fn forks_at_genesis_and_forks_at_once_leave_one_trace() {
    let fork = |name: &str, at| Fork {
        name: name.into(),
        at,
    };
    let genesis = [9; 32];
    let all = Schedule::new(
        &genesis,
        1000,
        &[
            fork("t2", Activation::Time(2000)),
            fork("homestead", Activation::Block(0)),
            fork("byzantium", Activation::Block(5)),
            fork("petersburg", Activation::Block(5)),
            fork("t0", Activation::Time(0)),
            fork("t1", Activation::Time(1000)),
        ],
    );
    let few = Schedule::new(
        &genesis,
        0,
        &[
            fork("byzantium+petersburg", Activation::Block(5)),
            fork("t2", Activation::Time(2000)),
        ],
    );
    assert_eq!(all, few);
}

/// The rules a second time, as words and linear scans: EIP-2124 with forks by time.
mod naive {
    use super::{Accept, Head, Incompatible, RemoteStale, Verdict};

    /// CRC32 of IEEE 802.3, bit by bit.
    pub(super) fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
        }
        !crc
    }

    #[derive(Debug)]
    pub(super) struct Chain {
        pub(super) genesis: [u8; 32],
        pub(super) blocks: Vec<u64>,
        pub(super) times: Vec<u64>,
    }

    impl Chain {
        /// Every activation in order, and whether it is a time.
        fn forks(&self) -> Vec<(u64, bool)> {
            let sorted = |list: &[u64]| {
                let mut list = list.to_vec();
                list.sort_unstable();
                list.dedup();
                list.retain(|at| *at > 0);
                list
            };
            let blocks = sorted(&self.blocks).into_iter().map(|at| (at, false));
            blocks
                .chain(sorted(&self.times).into_iter().map(|at| (at, true)))
                .collect()
        }

        pub(super) fn id(&self, passed: usize) -> (u32, u64) {
            let forks = self.forks();
            let mut bytes = self.genesis.to_vec();
            for (at, _) in &forks[..passed] {
                bytes.extend_from_slice(&at.to_be_bytes());
            }
            (crc32(&bytes), forks.get(passed).map_or(0, |(at, _)| *at))
        }

        pub(super) fn count(&self) -> usize {
            self.forks().len()
        }

        pub(super) fn passed(&self, head: Head) -> usize {
            let mut passed = 0;
            for (at, is_time) in self.forks() {
                if (if is_time { head.time } else { head.number }) < at {
                    break;
                }
                passed += 1;
            }
            passed
        }

        pub(super) fn judge(&self, head: Head, (hash, next): (u32, u64)) -> Verdict {
            let ours = self.passed(head);
            if self.id(ours).0 == hash {
                let by_number = next > 0 && head.number >= next;
                let by_time = next > 1_438_269_973 && head.time >= next;
                return if by_number || by_time {
                    Incompatible
                } else {
                    Accept
                };
            }
            for earlier in 0..ours {
                if self.id(earlier).0 == hash {
                    let known = self.id(earlier).1 == next;
                    return if known { Accept } else { RemoteStale };
                }
            }
            for later in ours + 1..=self.count() {
                if self.id(later).0 == hash {
                    return Accept;
                }
            }
            Incompatible
        }
    }
}

const TIMES: u64 = 1_700_000_000;

prop_compose! {
    fn chains()(
        genesis: [u8; 32],
        blocks in prop::collection::vec(0..40_u64, 0..6),
        times in prop::collection::vec(TIMES..TIMES + 40, 0..6),
    ) -> naive::Chain {
        naive::Chain { genesis, blocks, times }
    }
}

proptest! {
    #[test]
    fn any_chain_any_head_any_remote_is_judged_as_the_rules_say(
        chain in chains(),
        number in 0..50_u64,
        time in TIMES - 5..TIMES + 50,
        remote: prop::sample::Index,
        next in prop_oneof![
            Just(None),
            Just(Some(0)),
            (0..60_u64).prop_map(Some),
            (TIMES - 5..TIMES + 60).prop_map(Some),
        ],
        foreign in prop::option::weighted(0.1, any::<u32>()),
    ) {
        let fork = |at| Fork { name: "f".into(), at };
        let forks: Vec<Fork> = chain.times.iter().map(|at| fork(Activation::Time(*at)))
            .chain(chain.blocks.iter().map(|at| fork(Activation::Block(*at))))
            .collect();
        let schedule = Arc::new(Schedule::new(&chain.genesis, 0, &forks));
        let head = Head { number, time };
        let filter = ForkFilter::new(Arc::clone(&schedule), head);
        let (hash, our_next) = chain.id(chain.passed(head));
        prop_assert_eq!(filter.fork_id(), id(hash, our_next));

        let (hash, right_next) = chain.id(remote.index(chain.count() + 1));
        let (hash, next) = (foreign.unwrap_or(hash), next.unwrap_or(right_next));
        let result = filter.judge(id(hash, next));
        prop_assert_eq!(verdict(&result), chain.judge(head, (hash, next)));
        prop_assert_eq!(filter.is_valid_fork_id(id(hash, next)), result.is_ok());

        // Arriving by steps is the same as being built there.
        let mut moved = ForkFilter::new(schedule, Head::default());
        let before = moved.fork_id();
        let transition = moved.set_head(head);
        prop_assert_eq!(moved.fork_id(), filter.fork_id());
        prop_assert_eq!(transition.is_some(), before != moved.fork_id());
    }

    #[test]
    fn a_record_entry_of_any_bytes_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let _refused = mainnet(1, 1).judge_record_entry(&bytes);
    }
}

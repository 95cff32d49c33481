//! Status in both forms, and every way not to fit.

use peerage_core::Kind;
use peerage_ethereum::eth::{
    BlockRange, EthVersion, Progress, RangeError, Status, StatusError, TotalDifficulty,
    check_status,
};
use peerage_ethereum::fork::{ForkError, ForkFilter, ForkHash, ForkId, Head, Relation};
use peerage_ethereum::rlp::Reader;
use peerage_ethereum::table::Table;
use proptest::prelude::*;

fn filter() -> ForkFilter {
    let head = Head {
        number: 24_000_000,
        time: 1_770_000_000,
    };
    Table::builtin().chain("mainnet").unwrap().fork_filter(head)
}

fn status(version: EthVersion) -> Status {
    let genesis = Table::builtin().chain("mainnet").unwrap().genesis_hash;
    let hash = [0xaa; 32];
    Status {
        version: version.number(),
        network_id: 1,
        genesis,
        fork_id: filter().fork_id(),
        progress: if version == EthVersion::Eth68 {
            Progress::Best {
                total_difficulty: TotalDifficulty::from(58_750_003_716_598_352_816_469),
                hash,
            }
        } else {
            Progress::Range(BlockRange {
                earliest: 15_537_394,
                latest: 24_000_000,
                latest_hash: hash,
            })
        },
    }
}

/// Written by hand from the specification, so that encoder and decoder cannot be wrong together.
fn by_hand(version: EthVersion) -> String {
    let genesis = "a0d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";
    let hash = format!("a0{}", "aa".repeat(32));
    let fork = "c68407c9462e80";
    let number = format!("{:02x}", version.number());
    match version {
        // 0x0c70d815d562d3cfa955 is mainnet's difficulty at the merge, in ten bytes.
        EthVersion::Eth68 => format!("f856{number}018a0c70d815d562d3cfa955{hash}{genesis}{fork}"),
        _ => format!("f854{number}01{genesis}{fork}83ed14f284016e3600{hash}"),
    }
}

#[test]
fn both_forms_are_those_of_the_specification() {
    for version in EthVersion::ALL {
        let bytes = hex::decode(by_hand(*version)).unwrap();
        assert_eq!(
            hex::encode(status(*version).encode()),
            hex::encode(&bytes),
            "{version}"
        );
        assert_eq!(Status::decode(&bytes, *version).unwrap(), status(*version));
    }
}

#[test]
fn the_form_follows_the_version_stated_so_that_the_error_can_say_so() {
    let old = Status::decode(&status(EthVersion::Eth68).encode(), EthVersion::Eth69).unwrap();
    let error = check_status(&status(EthVersion::Eth69), &old, &filter()).unwrap_err();
    assert_eq!(
        error,
        StatusError::Version {
            expected: 69,
            got: 68
        }
    );
    let mut unknown = status(EthVersion::Eth69);
    unknown.version = 99;
    Status::decode(&unknown.encode(), EthVersion::Eth70).expect("the form agreed on");
    Status::decode(&unknown.encode(), EthVersion::Eth68).unwrap_err();
}

#[test]
fn a_status_is_explained_field_by_field() {
    let bytes = status(EthVersion::Eth69).encode();
    let mut reader = Reader::traced(&bytes);
    Status::read(&mut reader, EthVersion::Eth69).unwrap();
    let fields = reader.into_fields();
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    assert_eq!(
        names.join(" "),
        "status version network_id genesis fork_id fork_hash fork_next earliest latest latest_hash"
    );
    assert_eq!(
        fields.iter().map(|field| field.len).sum::<usize>(),
        bytes.len()
    );
}

#[test]
fn the_same_status_fits() {
    for version in EthVersion::ALL {
        let ours = status(*version);
        let standing = check_status(&ours, &ours.clone(), &filter()).unwrap();
        assert_eq!(standing.relation, Relation::Same);
    }
}

#[test]
fn every_way_not_to_fit_is_an_error_of_its_own() {
    let check = |version, change: &dyn Fn(&mut Status)| {
        let ours = status(version);
        let mut theirs = ours.clone();
        change(&mut theirs);
        let theirs = Status::decode(&theirs.encode(), version).unwrap();
        check_status(&ours, &theirs, &filter()).unwrap_err()
    };
    let v69 = EthVersion::Eth69;
    let error = check(v69, &|status| status.version = 70);
    assert!(matches!(
        error,
        StatusError::Version {
            expected: 69,
            got: 70
        }
    ));
    assert_eq!(error.kind(), Kind::Violation);
    let error = check(v69, &|status| status.network_id = 17000);
    assert!(matches!(
        error,
        StatusError::Network {
            expected: 1,
            got: 17000
        }
    ));
    assert_eq!(error.kind(), Kind::WrongNetwork);
    let error = check(v69, &|status| status.genesis[31] ^= 1);
    assert!(matches!(error, StatusError::Genesis { .. }));
    let error = check(v69, &|status| {
        status.fork_id = ForkId {
            hash: ForkHash([0x9f, 0x3d, 0x22, 0x54]),
            next: 0,
        };
    });
    assert!(
        matches!(&error, StatusError::Fork(ForkError::RemoteStale { at, .. }) if &**at == "cancun")
    );
    assert_eq!(error.kind(), Kind::Obsolete);
    let range = |earliest, latest, latest_hash| {
        move |status: &mut Status| {
            status.progress = Progress::Range(BlockRange {
                earliest,
                latest,
                latest_hash,
            });
        }
    };
    let error = check(v69, &range(5, 4, [1; 32]));
    let inverted = RangeError::Inverted {
        earliest: 5,
        latest: 4,
    };
    assert_eq!(error, StatusError::Range(inverted));
    let error = check(v69, &range(4, 4, [0; 32]));
    assert_eq!(error, StatusError::Range(RangeError::ZeroHash));
    let best = |total_difficulty, hash| {
        move |status: &mut Status| {
            status.progress = Progress::Best {
                total_difficulty,
                hash,
            };
        }
    };
    let v68 = EthVersion::Eth68;
    assert_eq!(check(v68, &best(1.into(), [0; 32])), StatusError::ZeroHash);
    let mut difficulty = [0; 32];
    difficulty[11] = 1;
    let error = check(v68, &best(TotalDifficulty(difficulty), [1; 32]));
    let expected = StatusError::TotalDifficulty {
        bits: 161,
        limit: 160,
    };
    assert_eq!(error, expected);
}

#[test]
fn difficulty_is_counted_in_bits() {
    assert_eq!(TotalDifficulty::from(0).bits(), 0);
    assert_eq!(TotalDifficulty::from(1).bits(), 1);
    assert_eq!(TotalDifficulty::from(0x100).bits(), 9);
    assert_eq!(TotalDifficulty([0xff; 32]).bits(), 256);
    let mut largest = [0; 32];
    largest[12..].fill(0xff);
    assert_eq!(TotalDifficulty(largest).bits(), TotalDifficulty::MAX_BITS);
}

prop_compose! {
    fn statuses()(
        version in prop::sample::select(EthVersion::ALL),
        (network_id, next, earliest, latest) in any::<(u64, u64, u64, u64)>(),
        (genesis, hash, difficulty) in any::<([u8; 32], [u8; 32], [u8; 32])>(),
        fork: [u8; 4],
        zeros in 0..=32_usize,
    ) -> Status {
        let mut difficulty = difficulty;
        difficulty[..zeros].fill(0);
        Status {
            version: version.number(),
            network_id,
            genesis,
            fork_id: ForkId { hash: ForkHash(fork), next },
            progress: if version == EthVersion::Eth68 {
                Progress::Best { total_difficulty: TotalDifficulty(difficulty), hash }
            } else {
                Progress::Range(BlockRange { earliest, latest, latest_hash: hash })
            },
        }
    }
}

proptest! {
    #[test]
    fn any_status_survives_the_wire(status in statuses(), agreed in prop::sample::select(EthVersion::ALL)) {
        prop_assert_eq!(Status::decode(&status.encode(), agreed).unwrap(), status);
    }

    #[test]
    fn a_damaged_status_never_panics_and_what_is_read_is_canonical(
        status in statuses(),
        at: prop::sample::Index,
        byte: u8,
        extra in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut body = status.encode().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        body.extend_from_slice(&extra);
        if let Ok(read) = Status::decode(&body, EthVersion::Eth69) {
            prop_assert_eq!(&read.encode()[..], &body[..]);
            let _refused = check_status(&status, &read, &filter());
        }
    }
}

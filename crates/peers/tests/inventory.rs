//! Who has what: the rules of registration, bounds, and a naive registry.

use std::time::{Duration, Instant};

use peerage_peers::{Inventory, InventoryRules, Item};
use proptest::prelude::*;

use crate::common::{secs, start};

type Registry = Inventory<u32, u8>;

fn registry(now: Instant) -> Registry {
    Inventory::new(InventoryRules::default(), now)
}

#[test]
fn one_block_is_an_announcement_and_several_are_a_reply() {
    let now = start();
    let mut known = registry(now);
    known.inv(now, &1, &[Item::Block(7)]);
    known.inv(now, &2, &[Item::Block(7), Item::Block(8)]);
    known.inv(
        now,
        &3,
        &[Item::Block(7), Item::Transaction(9), Item::Other],
    );
    known.inv(now, &4, &[Item::Other]);
    assert_eq!(known.available(now, &7), [1]);
    assert!(known.available(now, &8).is_empty());
    assert_eq!(known.available(now, &9), [3]);
    assert_eq!(known.len(), 2);
}

#[test]
fn not_found_is_missing_for_blocks_and_transactions() {
    let now = start();
    let mut known = registry(now);
    known.inv(now, &1, &[Item::Transaction(7)]);
    known.not_found(
        now,
        &1,
        &[Item::Transaction(7), Item::Block(8), Item::Other],
    );
    assert_eq!(
        (known.available(now, &7), known.missing(now, &7)),
        (vec![], vec![1])
    );
    assert_eq!(known.missing(now, &8), [1]);
    known.inv(now, &1, &[Item::Transaction(7)]);
    assert_eq!(
        known.missing(now, &7),
        [1],
        "saying it again does not make it so"
    );
}

#[test]
fn marks_are_forgotten_after_one_to_two_rotations() {
    let now = start();
    let mut known = registry(now);
    known.inv(now + secs(10), &1, &[Item::Block(7)]);
    assert_eq!(known.available(now + secs(100), &7), [1]);
    // Missing once, and announced in a later rotation: the later word counts.
    known.not_found(now + secs(100), &1, &[Item::Block(7)]);
    known.inv(now + secs(154), &1, &[Item::Block(7)]);
    assert_eq!(known.available(now + secs(154), &7), [1]);
    assert!(known.available(now + secs(400), &7).is_empty());
    assert!(known.is_empty());
}

#[test]
fn one_peer_cannot_push_out_what_others_said() {
    let now = start();
    let mut known = registry(now);
    known.inv(now, &1, &[Item::Block(1_000_000)]);
    for n in 0..50_000_u32 {
        known.inv(now, &2, &[Item::Transaction(n)]);
    }
    assert_eq!(known.available(now, &1_000_000), [1]);
    assert_eq!(known.len(), 101);
    let many: Vec<_> = (0..50_000).map(Item::Transaction).collect();
    known.inv(now, &3, &many);
    assert_eq!(known.len(), 101 + 100);
    known.check().unwrap();
}

#[test]
fn memory_is_bounded_by_hashes_times_peers() {
    let now = start();
    let rules = InventoryRules {
        hashes: 20,
        peers: 5,
        per_peer: 1000,
        ..InventoryRules::default()
    };
    let mut known: Registry = Inventory::new(rules, now);
    for hash in 0..1000 {
        for peer in 0..200 {
            known.inv(now, &peer, &[Item::Block(hash)]);
        }
    }
    assert_eq!(known.len(), 100);
    assert_eq!(known.available(now, &999), [0, 1, 2, 3, 4]);
    known.check().unwrap();
    known.forget(&0);
    assert_eq!(known.len(), 80);
    known.check().unwrap();
}

/// All marks ever made, with their rotation; asked by looking through them.
#[derive(Default)]
struct Naive(Vec<(u64, u32, u8, bool)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn within_its_bounds_it_is_a_list(
        ops in proptest::collection::vec((0..4_u8, 0..6_u32, 0..4_u8, 0..9_000_u64), 1..120),
    ) {
        let begun = start();
        let mut known = registry(begun);
        let mut naive = Naive::default();
        let (mut now, mut rotation, mut rotated) = (begun, 2, begun);
        for (kind, hash, peer, ms) in ops {
            now += Duration::from_millis(ms);
            // Rotations are counted from when somebody came.
            if now >= rotated + secs(53) {
                rotation += if now >= rotated + secs(106) { 2 } else { 1 };
                rotated = now;
            }
            match kind {
                0 => {
                    known.inv(now, &peer, &[Item::Block(hash)]);
                    naive.0.push((rotation, hash, peer, true));
                }
                1 => {
                    known.not_found(now, &peer, &[Item::Transaction(hash)]);
                    naive.0.push((rotation, hash, peer, false));
                }
                2 => {
                    known.forget(&peer);
                    naive.0.retain(|(_, _, of, _)| *of != peer);
                }
                _ => {}
            }
            let expected = |available: bool| -> Vec<u8> {
                (0..4)
                    .filter(|peer| {
                        let of = |rotation: u64| {
                            let marks: Vec<_> = naive
                                .0
                                .iter()
                                .filter(|(at, h, p, _)| (*at, *h, *p) == (rotation, hash, *peer))
                                .collect();
                            (!marks.is_empty()).then(|| marks.iter().all(|mark| mark.3))
                        };
                        of(rotation).or_else(|| of(rotation - 1)) == Some(available)
                    })
                    .collect()
            };
            prop_assert_eq!(known.available(now, &hash), expected(true));
            prop_assert_eq!(known.missing(now, &hash), expected(false));
            prop_assert_eq!(known.check(), Ok(()));
        }
    }
}

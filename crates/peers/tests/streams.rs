//! Random operations on the table and on its model, and time that stands still.

use peerage_peers::{Heard, Tie};
use proptest::prelude::*;

use crate::common::{World, secs, small};
use crate::life::{Both, Op};

fn op() -> impl Strategy<Value = Op> {
    let peer = 0..8_u32;
    prop_oneof![
        6 => (peer.clone(), any::<u8>()).prop_map(|(n, s)| Op::Dial(n, s)),
        6 => (peer.clone(), any::<u8>()).prop_map(|(n, s)| Op::Admit(n, s)),
        2 => (0..40_usize, 1..4_u8).prop_map(|(at, s)| Op::Stage(at, s)),
        3 => (0..40_usize, peer.clone(), any::<u8>()).prop_map(|(at, n, s)| Op::Identified(at, n, s)),
        9 => (0..40_usize, peer, any::<u8>()).prop_map(|(at, n, s)| Op::Established(at, n, s)),
        3 => (0..40_usize).prop_map(Op::Ended),
        2 => (0..40_usize).prop_map(Op::Disconnect),
        1 => (90..130_u32).prop_map(Op::Least),
        1 => (0..5_usize, 0..4_usize).prop_map(|(of_in, out)| Op::Limits(of_in, out)),
        1 => (0..40_usize, any::<u8>()).prop_map(|(at, s)| Op::Standing(at, s)),
        3 => (0..40_usize).prop_map(Op::Hear),
        2 => ((0..40_usize), any::<bool>()).prop_map(|(at, alive)| Op::Alive(at, alive)),
        5 => prop_oneof![0..3_000_u64, 0..100_000_u64].prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_table_does_what_its_model_does(ops in proptest::collection::vec(op(), 1..120)) {
        let mut both = Both::new();
        for op in ops {
            both.run(op);
        }
    }
}

#[test]
fn the_same_operations_twice_say_the_same() {
    let run = || {
        let mut config = small();
        config.evict = Some(peerage_peers::EvictRules::default());
        config.limits.active_in = 40;
        config.limits.pending_in = 40;
        let mut world = World::new(config);
        let mut said = Vec::new();
        for n in 0..80 {
            if let Ok(admitted) = world.admit(&format!("203.{}.{n}.1", n % 7)) {
                let _ = world.greet(admitted.id, n, Tie::Older);
            }
            said.extend(world.pass(secs(7)));
        }
        said
    };
    let (one, two) = (run(), run());
    assert!(one.len() > 100);
    assert_eq!(one, two);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn peers_that_answer_survive_every_stall_of_ours(
        gaps in proptest::collection::vec((0..4_u8, 0..100_000_u64, any::<bool>()), 1..60),
    ) {
        for mut config in [peerage_peers::Config::ethereum(), small()] {
            config.rotation = None;
            let mut world = World::new(config);
            let ids = [world.out(1), world.out(2), world.inn(3)];
            for (kind, ms, pong_first) in &gaps {
                // What was to be written is written; the answers come after the gap.
                for id in ids {
                    while world.table.poll_transmit(world.now, id).is_some() {}
                }
                // Nobody calls the table meanwhile.
                let ms = if *kind == 0 { *ms } else { ms / 100 };
                world.now += std::time::Duration::from_millis(ms);
                if !pong_first {
                    world.table.handle_timeout(world.now);
                }
                for id in ids {
                    if let Some(nonce) = world.table.awaited_pong(id) {
                        world.hear(id, 8, Heard::Pong { nonce: Some(nonce) });
                    }
                }
                world.table.handle_timeout(world.now);
                let said = world.drain().join("; ");
                prop_assert!(!said.contains("closed"), "{}", said);
            }
        }
    }
}

//! Random traffic. What must hold stands in [`crate::talk`].

use proptest::prelude::*;

use crate::talk::{Op, Run};

fn op() -> impl Strategy<Value = Op> {
    let (peer, len) = (0..4_usize, 1..60_usize);
    prop_oneof![
        8 => (peer.clone(), len.clone()).prop_map(|(p, len)| Op::Gossip(p, len)),
        5 => (peer.clone(), len.clone()).prop_map(|(p, len)| Op::Request(p, len)),
        5 => (peer.clone(), 0..4_u64).prop_map(|(p, key)| Op::Answer(p, key)),
        5 => (peer.clone(), 0..4_u64).prop_map(|(p, key)| Op::Ask(p, key)),
        1 => (peer.clone(), 0..4_u64).prop_map(|(p, key)| Op::Cancel(p, key)),
        4 => peer.clone().prop_map(Op::Respond),
        3 => (peer.clone(), len.clone()).prop_map(|(p, len)| Op::Send(p, len)),
        2 => len.prop_map(Op::Spread),
        6 => peer.clone().prop_map(Op::Write),
        6 => (1..6_usize).prop_map(Op::Poll),
        1 => peer.prop_map(Op::End),
        3 => (0..9_000_u64).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn traffic_is_neither_lost_nor_boundless_nor_stuck(
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let mut run = Run::new();
        for op in ops {
            run.run(op);
        }
        run.settle();
    }
}

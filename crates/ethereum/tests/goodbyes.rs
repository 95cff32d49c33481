//! Goodbyes: what we say to whom.

use peerage_core::{Direction, Failure, Kind};
use peerage_ethereum::DisconnectReason;

use crate::common::rogue::{BOTH, Heard, Stage, at_stage};

/// The strictest readers, go-ethereum among them, read nothing but Snappy once they have our Hello
/// and have said theirs.
#[test]
fn a_goodbye_after_both_hellos_is_compressed() {
    for direction in BOTH {
        let (mut end, mut rogue) = at_stage(direction, Stage::Hello);
        let mut hello = rogue.honest_hello();
        hello.capabilities.clear();
        end.hear(&rogue.introduce(&hello));
        assert_eq!(end.error().kind(), Kind::Incompatible);
        let told = Heard::Goodbye(DisconnectReason::UselessPeer);
        assert_eq!(rogue.hear(&end.said()), [told]);
    }
}

/// One that speaks no Snappy gets none.
#[test]
fn a_goodbye_to_an_old_p2p_version_is_plain() {
    let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Hello);
    let mut hello = rogue.honest_hello();
    hello.p2p_version = 4;
    hello.capabilities.clear();
    end.hear(&rogue.introduce(&hello));
    let told = Heard::Goodbye(DisconnectReason::UselessPeer);
    assert_eq!(rogue.hear(&end.said()), [told]);
}

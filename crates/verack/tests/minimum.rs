//! The least version accepted follows the tip while a handshake is under way.

use peerage_verack::decred::Decred;
use peerage_verack::zcash::Zcash;
use peerage_verack::{Dialect, HandshakeError, Height, Local, ProtocolVersion, Tip};

use crate::common::{BOTH, Dialogue, Net, chain, direct, node, node_on, verack, version};

/// The first block of the upgrade of that name.
fn height_of(upgrade: &str) -> Height {
    let chain = Zcash::chain();
    let found = chain.upgrades.iter().find(|known| &*known.name == upgrade);
    found.unwrap().height
}

/// NU6.3 asks for 170160 from this block on; 170150 is enough before it.
fn activation() -> Height {
    height_of("NU6.3")
}

#[track_caller]
fn obsolete<D: Net>(dialogue: &Dialogue<D>, minimum: u32) {
    match dialogue.error() {
        HandshakeError::Obsolete { minimum: least, .. } => assert_eq!(least.0, minimum),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upgrade_that_activates_during_a_handshake_already_counts() {
    for direction in BOTH {
        let local = node::<Zcash>(1);
        local.tip.set(Some(Height(activation().0 - 1)));
        let mut dialogue = Dialogue::of(&local, direct(direction));
        local.tip.set(Some(activation()));
        dialogue.hear_all([version::<Zcash>(170_150), verack::<Zcash>()]);
        obsolete(&dialogue, 170_160);
    }
}

#[test]
fn without_the_move_the_same_peer_is_greeted() {
    for direction in BOTH {
        let local = node::<Zcash>(1);
        local.tip.set(Some(Height(activation().0 - 1)));
        let mut dialogue = Dialogue::of(&local, direct(direction));
        dialogue.hear_all([version::<Zcash>(170_150), verack::<Zcash>()]);
        dialogue.peer();
    }
}

/// A reorganisation can take the tip back below an activation.
#[test]
fn a_tip_that_moves_back_lowers_the_minimum_again() {
    let local = node::<Zcash>(1);
    local.tip.set(Some(activation()));
    let mut dialogue = Dialogue::of(&local, direct(BOTH[0]));
    local.tip.set(Some(Height(activation().0 - 1)));
    dialogue.hear_all([version::<Zcash>(170_150), verack::<Zcash>()]);
    dialogue.peer();
}

/// The verdict falls when the version is there; a verack later is not judged again.
#[test]
fn a_peer_already_accepted_stays_accepted() {
    for direction in BOTH {
        let local = node::<Zcash>(1);
        let mut dialogue = Dialogue::of(&local, direct(direction));
        dialogue.hear(&version::<Zcash>(170_150));
        local.tip.set(Some(activation()));
        dialogue.hear(&verack::<Zcash>());
        dialogue.peer();
    }
}

#[test]
fn the_reject_names_the_minimum_of_this_moment() {
    let local = node::<Zcash>(1);
    let mut dialogue = Dialogue::of(&local, direct(BOTH[0]));
    local.tip.set(Some(activation()));
    dialogue.hear(&version::<Zcash>(170_159));
    let words = b"Version must be 170160 or greater";
    assert!(crate::common::contains(dialogue.last_words(), words));
    assert_eq!(dialogue.verdict(), "version obsolete");
}

#[test]
fn an_unknown_tip_is_not_the_same_as_the_first_block() {
    let tip = Tip::default();
    assert_eq!(tip.height(), None);
    for height in [Some(0), Some(1), Some(u32::MAX), None] {
        let height = height.map(Height);
        tip.set(height);
        assert_eq!(tip.height(), height);
        assert_eq!(tip.clone().height(), height, "clones share one value");
        assert_eq!(Tip::new(height).height(), height);
    }
}

#[test]
fn an_unknown_tip_asks_for_the_initial_minimum_only() {
    for (speaks, accepted) in [(170_149, false), (170_150, true)] {
        let mut dialogue = Dialogue::<Zcash>::new(BOTH[0]);
        dialogue.hear(&version::<Zcash>(speaks));
        assert_eq!(dialogue.is_live(), accepted, "{speaks}");
    }
}

#[test]
fn a_provisional_upgrade_refuses_nobody() {
    let local = node::<Zcash>(1);
    local.tip.set(Some(height_of("NU7")));
    let mut dialogue = Dialogue::of(&local, direct(BOTH[0]));
    dialogue.hear(&version::<Zcash>(170_160));
    assert!(dialogue.is_live());
}

fn minimum_holds_at_its_edge<D: Net>(local: &Local<D>, name: &str) {
    let minimum = local.minimum_version();
    for direction in BOTH {
        for (speaks, accepted) in [(minimum.0, true), (minimum.0 - 1, false)] {
            let mut dialogue = Dialogue::of(local, direct(direction));
            let mut frame = version::<D>(speaks).to_vec();
            frame[..4].copy_from_slice(&chain::<D>(name).magic);
            dialogue.hear(&frame);
            assert_eq!(dialogue.is_live(), accepted, "{direction} {name} {speaks}");
            if !accepted {
                obsolete(&dialogue, minimum.0);
            }
        }
    }
}

fn every_chain_and_upgrade<D: Net>() {
    for chain in &D::table().chains {
        let name = chain.name.as_str();
        let local = node_on::<D>(name, 1);
        minimum_holds_at_its_edge(&local, name);
        for upgrade in &chain.upgrades {
            local.tip.set(Some(upgrade.height));
            minimum_holds_at_its_edge(&local, name);
        }
    }
}

#[test]
fn the_minimum_is_the_edge_on_every_chain_at_every_upgrade() {
    every_chain_and_upgrade::<Zcash>();
    every_chain_and_upgrade::<Decred>();
}

/// We never announce a version that we would refuse ourselves.
#[test]
fn what_we_speak_is_above_every_minimum_of_our_tables() {
    fn check<D: Net + Dialect>() {
        for chain in &D::table().chains {
            let highest = chain.minimum_version(Some(Height(u32::MAX)));
            assert!(D::table().protocol_version >= highest, "{}", chain.name);
            let provisional = chain.upgrades.iter().map(|upgrade| upgrade.minimum).max();
            let provisional = provisional.unwrap_or(ProtocolVersion(0));
            assert!(D::table().protocol_version >= provisional, "{}", chain.name);
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

//! Layouts against a naive model that writes every message id down.

use peerage_ethereum::capability::{
    CapName, Capability, CapabilitySpec, FIRST_ID, Located, MAX_CAPABILITIES, negotiate,
};
use peerage_ethereum::eth::EthVersion;
use peerage_ethereum::p2p;
use proptest::prelude::*;

const NAMES: [&str; 5] = ["eth", "snap", "Eth", "et", "ethereum"];

fn capability() -> impl Strategy<Value = Capability> {
    (0..NAMES.len(), 1..4_u32).prop_map(|(name, version)| Capability {
        name: CapName::from_static(NAMES[name]),
        version,
    })
}

fn spec() -> impl Strategy<Value = CapabilitySpec> {
    let limits = prop::collection::vec(prop::option::of(1..100_usize), 0..6);
    (capability(), limits).prop_map(|(capability, limits)| CapabilitySpec::new(capability, limits))
}

proptest! {
    #[test]
    fn a_layout_is_that_of_a_model_that_writes_every_id_down(
        ours in prop::collection::vec(spec(), 0..8),
        theirs in prop::collection::vec(capability(), 0..8),
    ) {
        // For each name, in order, the highest version that both have; of equals our first.
        let mut names: Vec<String> = ours.iter().map(|s| s.capability.name.to_string()).collect();
        names.sort();
        names.dedup();
        let mut ids = Vec::new();
        let mut shared = Vec::new();
        for name in names {
            for version in (1..4).rev() {
                let found = ours.iter().find(|s| {
                    s.capability.name.as_str() == name
                        && s.capability.version == version
                        && theirs.contains(&s.capability)
                });
                if let Some(spec) = found {
                    ids.extend((0..spec.length()).map(|relative| (shared.len(), relative)));
                    shared.push(spec.clone());
                    break;
                }
            }
        }
        let layout = negotiate(&ours, &theirs);
        prop_assert_eq!(layout.is_empty(), shared.is_empty());
        let specs: Vec<_> = layout.shared().iter().map(|s| s.spec.clone()).collect();
        prop_assert_eq!(&specs, &shared);
        for id in 0..FIRST_ID {
            prop_assert_eq!(layout.locate(id), None);
            prop_assert_eq!(layout.max_len(id), p2p::max_len(id));
        }
        for offset in 0..60_u64 {
            let id = FIRST_ID + offset;
            let model = ids.get(usize::try_from(offset).unwrap());
            let model = model.map(|&(index, relative)| Located { index, relative });
            prop_assert_eq!(layout.locate(id), model);
            if let Some(Located { index, relative }) = model {
                prop_assert_eq!(layout.wire_id(index, relative), Some(id));
                prop_assert_eq!(layout.max_len(id), shared[index].max_len(relative));
                prop_assert_eq!(layout.wire_id(index, shared[index].length()), None);
            } else {
                prop_assert_eq!(layout.max_len(id), None);
            }
        }
        prop_assert_eq!(layout.locate(u64::MAX), None);
    }

    #[test]
    fn both_sides_come_to_the_same(
        a in prop::collection::vec(capability(), 0..8),
        b in prop::collection::vec(capability(), 0..8),
    ) {
        // A capability takes as many ids as its version on either side.
        let specs = |all: &[Capability]| -> Vec<_> {
            all.iter().map(|c| CapabilitySpec::new(*c, vec![Some(1); c.version as usize])).collect()
        };
        prop_assert_eq!(negotiate(&specs(&a), &b), negotiate(&specs(&b), &a));
    }
}

#[test]
fn eth_comes_before_snap_and_the_highest_version_wins() {
    let eth = [EthVersion::Eth68, EthVersion::Eth70, EthVersion::Eth69].map(EthVersion::spec);
    let snap = Capability {
        name: CapName::SNAP,
        version: 1,
    };
    let mut ours = vec![CapabilitySpec::new(snap, vec![Some(1000); 8])];
    ours.extend(eth);
    let theirs = [
        snap,
        EthVersion::Eth68.capability(),
        EthVersion::Eth69.capability(),
    ];
    let layout = negotiate(&ours, &theirs);
    assert_eq!(layout.version(CapName::ETH), Some(69));
    assert_eq!(layout.position(CapName::ETH), Some(0));
    assert_eq!(layout.wire_id(0, 0), Some(0x10));
    assert_eq!(layout.wire_id(1, 0), Some(0x10 + 18));
    assert_eq!(layout.locate(0x10 + 18 + 8), None);
    assert_eq!(layout.shared()[1].spec.capability.to_string(), "snap/1");
}

#[test]
fn capabilities_beyond_the_limit_do_not_count() {
    let other = Capability {
        name: CapName::from_static("x"),
        version: 1,
    };
    let mut theirs = vec![other; MAX_CAPABILITIES];
    theirs.push(EthVersion::Eth69.capability());
    let ours = [EthVersion::Eth69.spec()];
    assert!(negotiate(&ours, &theirs).is_empty());
    theirs.remove(0);
    assert!(!negotiate(&ours, &theirs).is_empty());
}

#[test]
fn a_name_is_one_to_eight_printable_ascii_bytes() {
    assert_eq!(CapName::new(b"ethereum").unwrap().as_str(), "ethereum");
    for bad in [&b""[..], b"ethereum9", b"et h", b"e\0", "\u{e9}".as_bytes()] {
        assert_eq!(CapName::new(bad), None);
    }
}

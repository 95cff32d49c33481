//! The caller's say: when it is asked, what it can say, and the one policy that comes with us.

use std::cell::Cell;

use bytes::BytesMut;
use peerage_core::{Blame, ConnectedAddr, Direction, Failure, Handshake, Kind, Retry, Step};
use peerage_verack::decred::Decred;
use peerage_verack::policy::{MissingServices, RequireServices};
use peerage_verack::zcash::Zcash;
use peerage_verack::{HandshakeError, Policy, RemoteVersion, Services, Version};

use crate::common::{
    BOTH, Dialogue, Net, attempt, current, direct, kinds, node, now, their_version, verack,
    version, version_frame,
};

/// Decred asks before it looks at the minimum, as dcrd does; Zcash asks about acceptable peers only.
#[test]
fn a_policy_is_asked_about_an_obsolete_peer_on_decred_only() {
    for direction in BOTH {
        let mut decred = Dialogue::<Decred>::new(direction);
        decred.hear(&version::<Decred>(8));
        assert_eq!(decred.policy().versions(), [(8, 8)]);
        assert_eq!(decred.error().kind(), Kind::Obsolete);
        let mut zcash = Dialogue::<Zcash>::new(direction);
        zcash.hear(&version::<Zcash>(170_149));
        assert_eq!(zcash.policy().versions(), []);
        assert_eq!(zcash.error().kind(), Kind::Obsolete);
    }
}

/// So a refusal hides an obsolete version on Decred, and the other way round on Zcash.
#[test]
fn whoever_is_asked_first_gives_the_reason() {
    for direction in BOTH {
        let mut decred = Dialogue::<Decred>::refusing(direction, "no");
        decred.hear(&version::<Decred>(8));
        assert_eq!(decred.error().kind(), Kind::Rejected);
        let mut zcash = Dialogue::<Zcash>::refusing(direction, "no");
        zcash.hear(&version::<Zcash>(170_149));
        assert_eq!(zcash.error().kind(), Kind::Obsolete);
    }
}

#[test]
fn a_policy_is_asked_once_and_only_once() {
    fn check<D: Net>() {
        for direction in BOTH {
            let mut dialogue = Dialogue::<D>::new(direction);
            assert_eq!(dialogue.policy().calls().len(), 0);
            dialogue.hear(&version::<D>(current::<D>()));
            assert_eq!(dialogue.policy().calls().len(), 1);
            dialogue.hear(&verack::<D>()).peer();
            assert_eq!(dialogue.policy().calls().len(), 1);
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

/// Any closure is a policy, and its own error type comes back as it was.
#[test]
fn a_closure_is_a_policy_and_its_own_rejection_travels_back() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("slot {slot} is taken")]
    struct Taken {
        slot: u8,
    }
    let asked = Cell::new(0);
    let policy = |remote: &RemoteVersion| {
        asked.set(asked.get() + 1);
        match remote.direction() {
            Direction::Inbound => Err(Taken { slot: 3 }),
            Direction::Outbound => Ok(()),
        }
    };
    let greeting = node::<Zcash>(1).greet_with(attempt(direct(Direction::Inbound)), policy);
    let mut input = BytesMut::from(&version::<Zcash>(current::<Zcash>())[..]);
    let Step::Failed(failed) = greeting.advance(now(), &mut input) else {
        panic!("refused")
    };
    assert_eq!(failed.error, HandshakeError::Rejected(Taken { slot: 3 }));
    assert!(failed.last_words.is_empty());
    assert_eq!(asked.get(), 1);
    let reason = failed.error.reason();
    assert_eq!((reason.blame, reason.stage.name()), (Blame::Us, "version"));
    assert_eq!(
        reason.retry,
        Retry::After(std::time::Duration::from_secs(3600))
    );
    let detail: Vec<_> = reason
        .detail
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(detail, ["policy=slot 3 is taken"]);
}

fn judged(kind: ConnectedAddr, services: Services) -> Result<(), MissingServices> {
    let mut policy = RequireServices {
        services: Services(0b101),
    };
    policy.judge(&RemoteVersion {
        addr: kind,
        protocol_version: peerage_verack::ProtocolVersion(12),
        negotiated: peerage_verack::ProtocolVersion(12),
        services,
    })
}

/// Zebra's tests of the same: `outbound_direct_rejects_non_serving_peer_while_syncing`,
/// `outbound_proxy_…`, `inbound_direct_accepts_non_serving_peer`, `isolated_accepts_…`.
#[test]
fn required_services_are_required_of_those_we_dial_in_the_open_or_through_a_proxy() {
    for kind in kinds() {
        assert_eq!(judged(kind, Services(0b101)), Ok(()), "{kind:?}");
        assert_eq!(judged(kind, Services(0b111)), Ok(()), "{kind:?}");
        let dialled = matches!(
            kind,
            ConnectedAddr::OutboundDirect { .. } | ConnectedAddr::OutboundProxy { .. }
        );
        for lacking in [
            Services::NONE,
            Services(0b001),
            Services(0b100),
            Services(0b010),
        ] {
            let missing = MissingServices {
                required: Services(0b101),
                got: lacking,
            };
            let expected = if dialled { Err(missing) } else { Ok(()) };
            assert_eq!(judged(kind, lacking), expected, "{kind:?}");
        }
    }
}

/// The policy judges the services of the version itself, not those of an address in it.
#[test]
fn a_peer_is_judged_by_its_own_services_and_not_by_those_of_its_address() {
    let theirs = their_version(current::<Zcash>());
    let mut bare = theirs.clone();
    bare.services = Services::NONE;
    let policy = || RequireServices {
        services: Services::NETWORK,
    };
    let greets = |version: &Version| {
        let mut greeting =
            node::<Zcash>(1).greet_with(attempt(direct(Direction::Outbound)), policy());
        greeting.poll_transmit().unwrap();
        let mut input = BytesMut::from(&version_frame::<Zcash>(version)[..]);
        matches!(greeting.advance(now(), &mut input), Step::More(..))
    };
    assert!(greets(&theirs));
    assert_eq!(bare.addr_from.services, Services::NETWORK);
    assert!(!greets(&bare));
}

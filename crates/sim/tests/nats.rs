//! The kinds of translators, against the words of RFC 3489 section 5.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerage_sim::{HostId, Nat, NatKind, Network, Weather};

use crate::common::{Ear, addr, listen, network};

const LIFETIME: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// A host inside, and three outside: two on one address, one on another.
struct World {
    network: Network<Ear>,
    inside: HostId,
    outside: [(HostId, SocketAddr); 3],
}

fn outside_ip() -> IpAddr {
    IpAddr::from([30, 0, 0, 1])
}

fn world(kind: NatKind) -> World {
    let mut network = network(1, Weather::CALM);
    let nat = network.add_nat(Nat::new(kind, outside_ip(), LIFETIME));
    let home = SocketAddr::from(([192, 168, 1, 2], 9000));
    let inside = network.add_behind(nat, home, Ear::default());
    let outside =
        [addr(1, 1), addr(1, 2), addr(2, 1)].map(|addr| (network.add(addr, Ear::default()), addr));
    World {
        network,
        inside,
        outside,
    }
}

impl World {
    /// The host inside sends to one outside: where that sees it.
    fn go_out(&mut self, to: usize) -> SocketAddr {
        let (id, addr) = self.outside[to];
        self.network
            .with(self.inside, |ear, _| ear.say(addr, "out"));
        let heard = listen(&mut self.network, SECOND);
        let [(host, (_, from, _))] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!((*host, from.ip()), (id.index(), outside_ip()));
        *from
    }

    /// Whether what one outside sends to `to` comes in.
    fn comes_in(&mut self, from: usize, to: SocketAddr) -> bool {
        let (id, addr) = self.outside[from];
        let foreseen = self.network.reached_by(id, to) == Some(self.inside);
        let before = self.network.traffic();
        self.network.with(id, |ear, _| ear.say(to, "in"));
        let heard = listen(&mut self.network, SECOND);
        let after = self.network.traffic();
        assert_eq!(
            after.dropped() - before.dropped(),
            after.blocked - before.blocked
        );
        let came = heard
            .iter()
            .any(|(host, (_, seen, _))| *host == self.inside.index() && *seen == addr);
        assert_eq!(came, after.blocked == before.blocked);
        assert_eq!(came, foreseen, "what was foreseen happens");
        came
    }
}

#[test]
fn each_kind_maps_and_filters_as_defined() {
    use NatKind::{FullCone, PortRestricted, Restricted, Symmetric};
    // After sending to the first outside: who may answer to the mapped port; the first itself, the
    // same address with another port, another address. And whether sending to the other two uses
    // the same mapping.
    for (kind, lets_in, is_one_mapping) in [
        (FullCone, [true, true, true], true),
        (Restricted, [true, true, false], true),
        (PortRestricted, [true, false, false], true),
        (Symmetric, [true, false, false], false),
    ] {
        let mut world = world(kind);
        let guess = SocketAddr::new(outside_ip(), 1024);
        for from in 0..3 {
            assert!(!world.comes_in(from, guess), "{kind:?}: nothing went out");
        }
        let mapped = world.go_out(0);
        for (from, expected) in lets_in.into_iter().enumerate() {
            assert_eq!(world.comes_in(from, mapped), expected, "{kind:?} {from}");
        }
        let stranger = world.network.reached_by_strangers(mapped);
        assert_eq!(stranger.is_some(), kind == FullCone, "{kind:?}");
        for to in 1..3 {
            let other = world.go_out(to);
            assert_eq!(other == mapped, is_one_mapping, "{kind:?} {to}");
            assert!(world.comes_in(to, other), "{kind:?}: the answer");
            assert_eq!(world.comes_in(to, mapped), is_one_mapping, "{kind:?}");
        }
    }
}

#[test]
fn only_what_goes_out_keeps_a_mapping_alive() {
    for kind in NatKind::ALL {
        let mut world = world(kind);
        let mapped = world.go_out(0);
        for _ in 0..3 {
            world.network.run_for(LIFETIME / 2);
            assert_eq!(world.go_out(0), mapped, "{kind:?}: refreshed");
        }
        world.network.run_for(LIFETIME / 2);
        assert!(world.comes_in(0, mapped), "{kind:?}");
        world.network.run_for(LIFETIME / 2);
        assert!(
            !world.comes_in(0, mapped),
            "{kind:?}: what came in refreshes nothing"
        );
        let after = world.go_out(0);
        assert_ne!(after, mapped, "{kind:?}");
        assert!(world.comes_in(0, after), "{kind:?}");
    }
}

#[test]
fn a_permission_ends_by_itself() {
    let mut world = world(NatKind::Restricted);
    let mapped = world.go_out(0);
    world.network.run_for(LIFETIME - 2 * SECOND);
    assert_eq!(world.go_out(2), mapped);
    assert!(!world.comes_in(0, mapped), "not sent to for a minute");
    assert!(world.comes_in(2, mapped));
}

#[test]
fn neighbours_behind_one_translator_talk_directly() {
    let mut network = network(1, Weather::CALM);
    let nat = network.add_nat(Nat::new(NatKind::Symmetric, outside_ip(), LIFETIME));
    let homes = [2, 3].map(|n| SocketAddr::from(([192, 168, 1, n], 9000)));
    let [a, b] = homes.map(|home| network.add_behind(nat, home, Ear::default()));
    let stranger = network.add(addr(1, 1), Ear::default());
    network.with(a, |ear, _| ear.say(homes[1], "hello"));
    let heard = listen(&mut network, SECOND);
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].0, heard[0].1.1), (b.index(), homes[0]));
    network.with(stranger, |ear, _| ear.say(homes[1], "hello"));
    assert!(listen(&mut network, SECOND).is_empty());
    assert_eq!(network.traffic().unroutable, 1, "nobody's address outside");
}

#[test]
fn ports_are_given_again_once_they_are_free() {
    let start = peerage_sim::epoch();
    let mut nat = Nat::new(NatKind::Symmetric, outside_ip(), LIFETIME);
    let home = SocketAddr::from(([192, 168, 1, 2], 9000));
    let to = |n: u32| SocketAddr::from((n.to_be_bytes(), 9));
    let ports = u32::from(u16::MAX - 1024) + 1;
    for n in 0..ports {
        assert!(nat.outbound(start, home, to(n)).is_some(), "{n}");
    }
    assert_eq!(nat.outbound(start, home, to(ports)), None, "all are in use");
    let later = start + LIFETIME;
    let again = nat.outbound(later, home, to(ports)).unwrap();
    assert_eq!(nat.inbound(later, to(ports), again.port()), Some(home));
    assert!(nat.len() < 100, "what is over was swept: {}", nat.len());
}

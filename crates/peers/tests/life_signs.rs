//! Pings, silence, and standing still ourselves.

use std::time::Duration;

use peerage_peers::{Config, Heard, Misdeed, Treatment};

use crate::common::{World, far, secs, small};

#[test]
fn a_round_trip_is_measured_by_nonce() {
    let mut world = World::new(small());
    let id = world.out(1);
    let said = world.pass(secs(59));
    assert_eq!(said, [format!("wake {id}")]);
    assert_eq!(world.table.awaited_pong(id).map(|_| ()), Some(()));
    let ping = world.table.poll_transmit(world.now, id).unwrap();
    let nonce: u64 = ping.strip_prefix("ping ").unwrap().parse().unwrap();
    world.now += Duration::from_millis(70);
    for wrong in [None, Some(0), Some(nonce ^ 1)] {
        world.hear(id, 8, Heard::Pong { nonce: wrong });
    }
    assert_eq!(world.table.peer_at(world.now, id).unwrap().rtt, None);
    world.hear(id, 8, Heard::Pong { nonce: Some(nonce) });
    let rtt = world.table.peer_at(world.now, id).unwrap().rtt.unwrap();
    assert_eq!(rtt.latest, Duration::from_millis(70));
    assert_eq!(world.table.awaited_pong(id), None);
    let tally = world.table.peer_at(world.now, id).unwrap().tally;
    assert_eq!(
        (tally.pongs_in, tally.pongs_out),
        (1, 0),
        "stray ones are none"
    );
}

#[test]
fn nonces_of_two_pings_differ() {
    let mut world = World::new(small());
    let (a, b) = (world.out(1), world.out(2));
    world.pass(secs(59));
    let nonces = [a, b].map(|id| world.table.awaited_pong(id).unwrap());
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn silence_ends_a_session_and_any_byte_keeps_it() {
    let mut world = World::new(small());
    let (quiet, heard) = (world.out(1), world.out(2));
    let mut said = Vec::new();
    for _ in 0..100 {
        said.extend(world.pass(secs(1)));
        while world.table.poll_transmit(world.now, quiet).is_some() {}
        world.pong(heard);
        // A byte now and then is no pong.
        world.table.bytes_in(world.now, heard, 1);
    }
    let said = said.join("; ");
    assert!(said.contains(&format!(
        "closed {quiet} outbound failed timeout told timed out"
    )));
    assert!(!said.contains(&format!("closed {heard}")), "{said}");
}

#[test]
fn ethereum_pongs_have_no_nonce_and_pings_go_out_within_15_s() {
    let mut config = Config::ethereum();
    config.rotation = None;
    let mut world = World::new(config);
    let id = world.out(1);
    for _ in 0..20 {
        let said = world.pass(secs(15)).join("; ");
        assert!(!said.contains("closed"), "{said}");
        let ping = world.table.poll_transmit(world.now, id);
        assert!(ping.is_some_and(|ping| ping.starts_with("ping")));
        world.hear(id, 1, Heard::Pong { nonce: None });
    }
    assert_eq!(
        world.table.peer_at(world.now, id).unwrap().rtt.unwrap().min,
        Duration::ZERO
    );
}

#[test]
fn a_pong_without_a_ping_is_treated_as_the_network_says() {
    for (treatment, expected) in [
        (Treatment::Ignore, 0),
        (Treatment::Strike, 1),
        (Treatment::End, 3),
    ] {
        let mut config = small();
        config.conduct.stray_pong = treatment;
        let mut world = World::new(config);
        let id = world.out(1);
        world.hear(id, 8, Heard::Pong { nonce: Some(7) });
        let said = world.drain();
        assert_eq!(said.len(), expected, "{said:?}");
        assert_eq!(world.table.can_read(id), treatment != Treatment::End);
    }
    assert_eq!(Config::zcash().conduct.stray_pong, Treatment::Ignore);
    assert_eq!(Config::ethereum().conduct.stray_pong, Treatment::Strike);
}

#[test]
fn strikes_add_up_and_end_the_session() {
    let mut config = small();
    config.conduct.stray_pong = Treatment::Strike;
    config.conduct.strikes = 3;
    let mut world = World::new(config);
    let id = world.out(1);
    for _ in 0..100 {
        world.hear(id, 8, Heard::Pong { nonce: None });
    }
    assert_eq!(
        world.drain(),
        [
            "misbehaved #1 stray_pong 1",
            "misbehaved #1 stray_pong 2",
            "misbehaved #1 stray_pong 3",
            "close #1 breach",
            "closed #1 outbound refused violation told breach",
        ]
    );
    assert!(
        world
            .table
            .misbehaved(world.now, id, Misdeed::BadMessage)
            .is_err()
    );
}

#[test]
fn a_night_asleep_kills_nobody() {
    let mut world = World::new(small());
    let ids: Vec<_> = (1..=3).map(|n| world.out(n)).collect();
    let dialling = world.admit(&far(9)).unwrap().id;
    world.pass(secs(58));
    assert!(
        world.table.peer_at(world.now, dialling).is_none(),
        "that took too long by itself"
    );
    let dialling = world.admit(&far(9)).unwrap().id;
    world.drain();
    world.pass(secs(2));
    for id in &ids {
        assert!(
            world.table.poll_transmit(world.now, *id).is_some(),
            "a ping is under way"
        );
    }
    // Eight hours without a call.
    world.now += secs(8 * 3600);
    world.table.handle_timeout(world.now);
    let said = world.drain();
    assert_eq!(said.len(), 1, "{said:?}");
    let lost: u64 = said[0]
        .strip_prefix("stalled ")
        .unwrap()
        .strip_suffix('s')
        .unwrap()
        .parse()
        .unwrap();
    assert!((8 * 3600 - 5..=8 * 3600).contains(&lost), "{lost}");
    assert!(world.table.peer_at(world.now, dialling).is_some());
    // The pongs lay in the socket.
    for id in &ids {
        let nonce = world.table.awaited_pong(*id);
        world.hear(*id, 8, Heard::Pong { nonce });
        let peer = world.table.peer_at(world.now, *id).unwrap();
        assert!(peer.age < secs(70), "asleep is not alive: {:?}", peer.age);
    }
    // Who has not come back is found out in the usual time.
    let said = world.pass(secs(90)).join("; ");
    assert!(said.contains(&format!("closed {dialling}")), "{said}");
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut world = World::new(small());
    let id = world.out(1);
    let before = world.now;
    world.pass(secs(30));
    world.table.bytes_in(before, id, 1);
    world.table.handle_timeout(before);
    assert_eq!(
        world.table.peer_at(world.now, id).unwrap().quiet,
        Duration::ZERO
    );
    assert!(world.table.check().is_ok());
}

#[test]
fn a_wakeup_says_why() {
    let mut world = World::new(small());
    let id = world.out(1);
    let mut seen = Vec::new();
    for _ in 0..40 {
        let wakeup = world.table.poll_timeout().unwrap();
        seen.push(wakeup.why);
        world.now = wakeup.at;
        world.table.handle_timeout(world.now);
        while world.table.poll_transmit(world.now, id).is_some() {}
        world.drain();
        if !world.table.can_read(id) {
            break;
        }
    }
    for why in ["beat", "ping", "pong"] {
        assert!(seen.contains(&why), "{seen:?}");
    }
}

#[test]
fn a_strike_is_forgiven_in_time() {
    let mut config = small();
    config.conduct.stray_pong = Treatment::Strike;
    config.conduct.strikes = 3;
    config.conduct.forgive = secs(100);
    config.keepalive.first = secs(100_000);
    config.keepalive.idle = secs(100_000);
    let mut world = World::new(config);
    let id = world.out(1);
    let mut strike = |wait| {
        world.pass(secs(wait));
        world.hear(id, 8, Heard::Pong { nonce: None });
        let said = world.drain();
        said[0].rsplit(' ').next().unwrap().to_owned()
    };
    let told = [0, 50, 60, 500, 50, 49].map(&mut strike);
    assert_eq!(
        told,
        ["1", "2", "2", "1", "2", "3"],
        "the first is forgiven after 100 s"
    );
    assert!(!world.table.can_read(id));
}

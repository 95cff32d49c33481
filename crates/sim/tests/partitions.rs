//! Partitions, unplugged and stopped hosts, jumping clocks, planned changes.

use std::time::Duration;

use peerage_sim::{Chance, Change, Condition, Weather};

use crate::common::{Ear, addr, listen, network};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_cut_separates_members_from_all_others_until_it_heals() {
    let mut network = network(1, Weather::CALM);
    let ids = [1, 2, 3, 4].map(|n| network.add(addr(n, 1), Ear::default()));
    network.join_group(ids[0], "island");
    network.join_group(ids[1], "island");
    let first = network.now();
    network.plan(first + 10 * SECOND, Change::Cut("island".into()));
    network.plan(first + 20 * SECOND, Change::Heal("island".into()));
    for (at, is_cut) in [(5, false), (15, true), (25, false)] {
        let to_then = (first + at * SECOND).saturating_duration_since(network.now());
        network.run_for(to_then);
        for (from, sender) in ids.iter().enumerate() {
            for to in 1..=4u8 {
                network.with(*sender, |ear, _| ear.say(addr(to, 1), [0]));
                let heard = listen(&mut network, SECOND / 10);
                let crosses = (from < 2) != (to <= 2);
                assert_eq!(
                    heard.is_empty(),
                    crosses && is_cut,
                    "{from} to {to} at {at}"
                );
            }
        }
    }
    assert_eq!(network.traffic().cut, 8);
}

#[test]
fn what_is_under_way_when_a_cut_falls_is_lost() {
    let mut network = network(1, Weather::CALM);
    let a = network.add(addr(1, 1), Ear::default());
    network.add(addr(2, 1), Ear::default());
    network.join_group(a, "a");
    let soon = network.now() + Duration::from_millis(10);
    network.plan(soon, Change::Cut("a".into()));
    network.with(a, |ear, _| ear.say(addr(2, 1), [0]));
    assert!(listen(&mut network, SECOND).is_empty());
    assert_eq!(network.traffic().cut, 1);
}

#[test]
fn an_unplugged_machine_goes_on_and_a_stopped_one_does_not() {
    for (condition, rings_at) in [(Condition::Unplugged, 5), (Condition::Stopped, 8)] {
        let mut network = network(1, Weather::CALM);
        let a = network.add(addr(1, 1), Ear::default());
        let b = network.add(addr(2, 1), Ear::default());
        let first = network.now();
        network.with(a, |ear, now| ear.alarm = Some(now.at + 5 * SECOND));
        network.plan(first + SECOND, Change::Condition(a, condition));
        network.plan(first + 8 * SECOND, Change::Condition(a, Condition::Running));
        network.run_for(2 * SECOND);
        network.with(a, |ear, _| ear.say(addr(2, 1), [0]));
        network.with(b, |ear, _| ear.say(addr(1, 1), [0]));
        assert!(listen(&mut network, 5 * SECOND).is_empty(), "{condition:?}");
        assert_eq!(network.traffic().unplugged, 2);
        assert_eq!(network.reached_by(b, addr(1, 1)), None);
        network.run_for(5 * SECOND);
        let rang: Vec<_> = network.machine(a).rang.iter().map(|now| now.at).collect();
        assert_eq!(rang, [first + rings_at * SECOND], "{condition:?}");
        assert_eq!(network.reached_by(b, addr(1, 1)), Some(a));
    }
}

#[test]
fn a_clock_that_jumps_moves_the_date_and_no_timer() {
    let mut network = network(1, Weather::CALM);
    let a = network.add(addr(1, 1), Ear::default());
    let b = network.add(addr(2, 1), Ear::default());
    let first = network.now();
    for id in [a, b] {
        network.with(id, |ear, now| ear.alarm = Some(now.at + 10 * SECOND));
    }
    network.plan(first + SECOND, Change::Clock(a, -86_400));
    network.run_for(20 * SECOND);
    let [of_a, of_b] = [a, b].map(|id| network.machine(id).rang.clone());
    assert_eq!(of_a.len(), 1);
    assert_eq!(
        (of_a[0].at, of_b[0].at),
        (first + 10 * SECOND, first + 10 * SECOND)
    );
    assert_eq!(of_a[0].wall.0, of_b[0].wall.0 - 86_400);
    assert_eq!(of_b[0].wall.0, peerage_sim::network::FIRST_DATE.0 + 10);
}

#[test]
fn an_alarm_put_off_rings_once_and_one_put_forward_rings_in_time() {
    let mut network = network(1, Weather::CALM);
    let a = network.add(addr(1, 1), Ear::default());
    let first = network.now();
    for seconds in [10, 30, 20] {
        network.with(a, |ear, _| ear.alarm = Some(first + seconds * SECOND));
        network.run_for(SECOND);
    }
    network.run_for(60 * SECOND);
    let rang: Vec<_> = network.machine(a).rang.iter().map(|now| now.at).collect();
    assert_eq!(rang, [first + 20 * SECOND]);
}

#[test]
fn the_weather_changes_when_planned() {
    let mut network = network(1, Weather::CALM);
    let a = network.add(addr(1, 1), Ear::default());
    network.add(addr(2, 1), Ear::default());
    let storm = Weather::CALM.with_loss(Chance::ALWAYS);
    network.plan(network.now() + SECOND, Change::Weather(storm));
    let mut heard = Vec::new();
    for _ in 0..2 {
        network.with(a, |ear, _| ear.say(addr(2, 1), [0]));
        heard.push(listen(&mut network, 2 * SECOND).len());
    }
    assert_eq!(heard, [1, 0]);
    assert_eq!(network.traffic().lost, 1);
}

#[test]
#[should_panic(expected = "spins: Some(\"it never ends\")")]
fn a_machine_that_spins_is_found_out() {
    #[derive(Debug)]
    struct Spinner(std::time::Instant);
    impl peerage_sim::Machine for Spinner {
        type Event = ();
        fn handle_datagram(&mut self, _: peerage_sim::Now, _: std::net::SocketAddr, _: &mut [u8]) {}
        fn handle_timeout(&mut self, _: peerage_sim::Now) {}
        fn poll(&mut self) -> Option<peerage_sim::Output<()>> {
            None
        }
        fn poll_timeout(&self) -> Option<peerage_core::Wakeup> {
            let why = "it never ends";
            Some(peerage_core::Wakeup { at: self.0, why })
        }
    }
    let first = peerage_sim::epoch();
    let mut network = peerage_sim::Network::new(first, peerage_sim::Seed(1), Weather::CALM);
    let id = network.add(addr(1, 1), Spinner(first));
    network.with(id, |_, _| {});
    network.run_for(SECOND);
}

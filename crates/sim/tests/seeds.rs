//! The same seed gives the same run; a failing one is told.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use peerage_sim::discv5::{Plan, Swarm, run};
use peerage_sim::seed::{each, each_of};
use peerage_sim::{Chance, Seed, Weather};

fn plan(seed: u64) -> Plan {
    Plan {
        nodes: 25,
        nat: Chance::new(0.3).unwrap(),
        weather: Weather {
            duplication: Chance::new(0.02).unwrap(),
            reordering: Chance::new(0.02).unwrap(),
            held: Duration::from_millis(200),
            ..Weather::INTERNET.with_loss(Chance::new(0.05).unwrap())
        },
        settle: Duration::from_secs(10),
        seed: Seed(seed),
        ..Plan::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let report = |seed| run(&plan(seed), 1, |_| {}).unwrap();
    each([11], |seed| {
        let (first, again) = (report(seed.0), report(seed.0));
        assert_eq!(first.trace, again.trace);
        assert_eq!(first.traffic, again.traffic);
        assert_eq!(first.rounds, again.rounds);
        assert!(first.traffic.lost > 0 && first.traffic.duplicated > 0);
        let other = report(seed.0 + 1);
        assert_ne!(first.trace, other.trace);
    });
}

#[test]
fn one_datagram_more_is_another_trace() {
    let trace = |extra: bool| {
        let mut swarm = Swarm::new(&plan(3)).unwrap();
        swarm.run_for(Duration::from_secs(3));
        let network = swarm.network_mut();
        let id = network.hosts().next().unwrap();
        if extra {
            let target = peerage_discv5::NodeId([7; 32]);
            network
                .with(id, |machine, now| machine.start_lookup(now.at, target))
                .unwrap();
        }
        swarm.run_for(Duration::from_secs(1));
        (
            swarm.network().trace().digest(),
            swarm.network().trace().len(),
        )
    };
    assert_eq!(trace(false), trace(false));
    assert_ne!(trace(false).0, trace(true).0);
}

#[test]
fn a_failing_seed_is_told_and_the_variable_runs_it_alone() {
    let told = RefCell::new(Vec::new());
    let ran = RefCell::new(Vec::new());
    let attempt = |only: Option<&str>, bad: u64| {
        let tell = |hint: &str| told.borrow_mut().push(hint.to_owned());
        let body = |seed: Seed| {
            ran.borrow_mut().push(seed.0);
            assert_ne!(seed.0, bad, "this seed fails");
        };
        catch_unwind(AssertUnwindSafe(|| each_of(only, 1..=5, body, tell))).is_ok()
    };
    assert!(attempt(None, 99));
    assert_eq!(ran.take(), [1, 2, 3, 4, 5]);
    assert!(told.take().is_empty());
    assert!(!attempt(None, 3));
    assert_eq!(ran.take(), [1, 2, 3]);
    assert_eq!(told.take(), ["to repeat this run: PEERAGE_SIM_SEED=3"]);
    assert!(!attempt(Some("3"), 3));
    assert_eq!(ran.take(), [3]);
    assert!(!attempt(Some("three"), 3), "no number");
    assert!(ran.take().is_empty());
}

#[test]
fn what_is_derived_depends_on_seed_purpose_and_user() {
    let bytes = [
        Seed(1).derive("a", 1),
        Seed(2).derive("a", 1),
        Seed(1).derive("b", 1),
        Seed(1).derive("a", 2),
    ];
    for (at, one) in bytes.iter().enumerate() {
        assert!(!bytes[..at].contains(one));
    }
    assert_eq!(bytes[0], Seed(1).derive("a", 1));
}

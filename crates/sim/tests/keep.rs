//! The whole way from find to keep: short runs. Long ones are `cargo xtask months`.

use std::collections::BTreeMap;
use std::time::Duration;

use peerage_sim::keep::{
    Decred, Ethereum, Fault, Incident, Net, Plan, PlanError, Progress, Report, Town, Zcash,
};
use peerage_sim::seed::each;
use peerage_sim::{Chance, Seed};

const MINUTE: Duration = Duration::from_secs(60);

/// A small town in a hurry: everything happens once within four hours.
fn plan(seed: Seed) -> Plan {
    Plan {
        nodes: 24,
        span: 220 * MINUTE,
        target: 4,
        inbound: 8,
        seeds: 3,
        seed,
        quiet: 30 * MINUTE,
        every: 15 * MINUTE,
        ordeal: 8 * MINUTE,
        // Eleven, so that each fault is there.
        faulty: Chance::new(11.0 / 24.0).unwrap(),
        ..Plan::default()
    }
}

fn live<N: Net>(plan: &Plan) -> Report {
    let mut told = Vec::new();
    let town = Town::<N>::new(plan).unwrap();
    let report = town.run(|progress| {
        if !matches!(progress, Progress::Day { .. }) {
            told.push(progress);
        }
    });
    assert!(report.violated == 0, "{told:#?}");
    report
}

/// What holds of every run beside what is checked along it.
fn check(plan: &Plan, report: &Report) {
    assert_eq!(report.elapsed, plan.span);
    assert_eq!(report.keepers, plan.nodes - plan.faulty_nodes());
    assert!(report.unexplained() < 0.01, "{:?}", report.tally.failures);
    assert_eq!(report.tally.banned_dialled, 0);
    let slowest = report.recovered_within(1.0).expect("an outage");
    assert!(slowest <= MINUTE, "{slowest:?}");
    assert!(
        report.mean_peers > 0.8 * plan.target as f64,
        "{}",
        report.mean_peers
    );
    assert!(report.audits > 0 && report.tally.greeted_out > 0);
    // Every dial has an end, but for those that were cut off with a life or the run.
    let ended = report.tally.greeted_out + report.tally.failed_dials();
    assert!(ended <= report.tally.dials);
    let under_way = report.tally.dials - ended;
    assert!(under_way * 50 <= report.tally.dials + 500, "{under_way}");
}

#[test]
fn a_town_of_zcash_keeps_its_peers_through_everything() {
    each([1], |seed| {
        let plan = Plan {
            faulty: Chance::QUARTER,
            ..plan(seed)
        };
        let report = live::<Zcash>(&plan);
        check(&plan, &report);
        let all: BTreeMap<_, _> = Incident::ALL.map(|incident| (incident, 1)).into();
        for incident in all.keys() {
            assert!(report.incidents.contains_key(incident), "{incident}");
        }
        // The upgrade turned out who does not follow.
        let has = |what: &str| report.tally.ends.keys().any(|(_, kind)| *kind == what);
        assert!(has("obsolete"), "{:?}", report.tally.ends);
        assert!(report.tally.stalls > 0, "a keeper that stood still noticed");
    });
}

#[test]
fn a_town_of_decred_keeps_its_peers_through_everything() {
    each([3], |seed| {
        let plan = Plan {
            faulty: Chance::QUARTER,
            span: 80 * MINUTE,
            ..plan(seed)
        };
        let report = live::<Decred>(&plan);
        check(&plan, &report);
    });
}

#[test]
fn a_town_of_ethereum_finds_and_keeps_its_peers() {
    each([4], |seed| {
        let plan = Plan {
            nodes: 11,
            target: 2,
            inbound: 4,
            faulty: Chance::QUARTER,
            span: 25 * MINUTE,
            quiet: 5 * MINUTE,
            ..plan(seed)
        };
        let report = live::<Ethereum>(&plan);
        check(&plan, &report);
        assert!(report.traffic.delivered > 0, "they found each other");
    });
}

#[test]
fn each_fault_is_turned_down_for_its_own_reason() {
    let plan = Plan {
        span: 35 * MINUTE,
        target: 3,
        inbound: 6,
        ..plan(Seed(5))
    };
    let mut town = Town::<Zcash>::new(&plan).unwrap();
    town.live_for(plan.span);
    let report = town.finish();
    assert_eq!(report.faults.len(), Fault::ALL.len(), "each is there");
    let failures = &report.tally.failures;
    // One of another chain hangs up on a magic that it does not know.
    for kind in ["timeout", "closed", "connection_refused"] {
        assert!(failures.contains_key(kind), "{kind}: {failures:?}");
    }
    let ends = &report.tally.ends;
    for end in [("left", "closed"), ("refused", "flood")] {
        assert!(ends.contains_key(&end), "{end:?}: {ends:?}");
    }
    assert!(report.tally.misdeeds > 0);
}

#[test]
fn the_same_seed_gives_the_same_life_and_another_one_another() {
    let run = |seed| {
        let plan = Plan {
            span: 40 * MINUTE,
            faulty: Chance::QUARTER,
            ..plan(Seed(seed))
        };
        let report = Town::<Zcash>::new(&plan).unwrap().run(|_| {});
        (report.trace, report.tally)
    };
    let first = run(7);
    assert!(first == run(7), "the same seed");
    assert_ne!(first.0, run(8).0);
}

#[test]
fn what_does_not_hold_is_told() {
    // Nobody takes more than one, so that nobody finds four.
    let plan = Plan {
        inbound: 1,
        span: 12 * MINUTE,
        quiet: MINUTE,
        floor: Chance::ALWAYS,
        grace: Duration::from_secs(30),
        faulty: Chance::QUARTER,
        ..plan(Seed(1))
    };
    let mut told = 0;
    let report = Town::<Zcash>::new(&plan).unwrap().run(|progress| {
        told += u64::from(matches!(progress, Progress::Violation(_)));
    });
    assert!(report.violated > 0);
    assert_eq!(report.violations.len(), usize::try_from(told).unwrap());
    assert!(report.longest_below > plan.grace);
}

#[test]
fn a_plan_that_cannot_be_carried_out_says_why() {
    let few = Plan {
        nodes: 12,
        ..Plan::default()
    };
    let error = Town::<Zcash>::new(&few).map(drop).unwrap_err();
    assert!(
        matches!(error, PlanError::TooFew { honest: 9, .. }),
        "{error}"
    );
    let none = Plan {
        span: Duration::ZERO,
        ..Plan::default()
    };
    assert_eq!(none.check(), Err(PlanError::Span));
    let many = Plan {
        nodes: 2_001,
        ..Plan::default()
    };
    assert_eq!(many.check(), Err(PlanError::Nodes(2_001)));
}

//! Swarms of discovery nodes.

use std::time::Duration;

use peerage_discv5::NodeId;
use peerage_discv5::record::Record;
use peerage_sim::discv5::{Nearest, Plan, PlanError, Swarm};
use peerage_sim::seed::each;
use peerage_sim::{Chance, Change, Condition, Seed, Weather};

const SECOND: Duration = Duration::from_secs(1);

fn plan(seed: Seed, nodes: usize) -> Plan {
    Plan {
        nodes,
        seed,
        ..Plan::default()
    }
}

fn joined(plan: &Plan) -> Swarm {
    let mut swarm = Swarm::new(plan).unwrap();
    swarm.join(|_| {});
    assert_eq!(swarm.arrived(), plan.nodes);
    swarm
}

#[test]
fn nodes_that_know_one_find_each_other_and_what_they_look_for() {
    each([1], |seed| {
        let plan = Plan {
            weather: Weather::INTERNET.with_loss(Chance::new(0.05).unwrap()),
            nat: Chance::new(0.3).unwrap(),
            ..plan(seed, 60)
        };
        let mut swarm = joined(&plan);
        let (neighbours, table) = swarm.convergence();
        assert!(neighbours > 0.8, "{neighbours}");
        assert!(table > 30.0, "{table}");
        let rounds = [swarm.round(), swarm.round()];
        assert_eq!((rounds[1].lookups, rounds[1].unmade), (60, 0));
        // 42 nodes are not behind a translator, and 18 are.
        assert!(
            (42..60).contains(&rounds[1].reachable),
            "{}",
            rounds[1].reachable
        );
        assert!(rounds[1].recall() >= 0.9, "{}", rounds[1].recall());
        assert!(rounds[1].took(0.5) <= rounds[1].took(0.95));
    });
}

#[test]
fn after_a_partition_both_sides_find_each_other_again() {
    each([2], |seed| {
        let mut swarm = joined(&plan(seed, 30));
        let island: Vec<_> = swarm.network().hosts().skip(15).collect();
        for id in &island {
            swarm.network_mut().join_group(*id, "island");
        }
        swarm.network_mut().apply(&Change::Cut("island".into()));
        // Long enough that silence costs most of the other side their places.
        swarm.run_for(900 * SECOND);
        assert!(swarm.network().traffic().cut > 0);
        let known = |swarm: &Swarm| {
            let hosts = swarm.network().hosts();
            let ids: Vec<_> = hosts
                .map(|id| swarm.network().machine(id).node_id())
                .collect();
            let across = |n: usize| {
                let table = swarm
                    .network()
                    .machine(swarm.network().hosts().nth(n).unwrap())
                    .table();
                let others = if n < 15 { &ids[15..] } else { &ids[..15] };
                others.iter().filter(|id| table.node(id).is_some()).count()
            };
            (0..30).map(across).sum::<usize>()
        };
        let apart = known(&swarm);
        assert!(apart < 30 * 15 / 2, "{apart}");
        swarm.network_mut().apply(&Change::Heal("island".into()));
        swarm.run_for(900 * SECOND);
        let again = known(&swarm);
        assert!(again > 30 * 15 * 9 / 10, "{apart}, then {again}");
        let recall = swarm.round().recall();
        assert!(recall > 0.95, "{recall}");
    });
}

#[test]
fn our_own_outage_empties_no_table() {
    each([3], |seed| {
        let mut swarm = joined(&plan(seed, 25));
        let id = swarm.network().hosts().nth(7).unwrap();
        let before = swarm.network().machine(id).table().len();
        assert!(before > 15, "{before}");
        let network = swarm.network_mut();
        network.apply(&Change::Condition(id, Condition::Unplugged));
        swarm.run_for(1200 * SECOND);
        let during = swarm.network().machine(id).table().len();
        assert!(during * 10 >= before * 9, "{before}, then {during}");
        let network = swarm.network_mut();
        network.apply(&Change::Condition(id, Condition::Running));
        swarm.run_for(30 * SECOND);
        let target = NodeId([3; 32]);
        let reachable = swarm.reachable();
        let network = swarm.network_mut();
        network
            .with(id, |machine, now| machine.start_lookup(now.at, target))
            .unwrap();
        let until = network.now() + 60 * SECOND;
        let own = network.machine(id).node_id();
        let found = loop {
            let (host, event) = network.poll_event(until).expect("the lookup ends");
            if let peerage_discv5::discovery::Event::SearchDone { nodes, .. } = event
                && host == id
            {
                break nodes;
            }
        };
        let found: Vec<_> = found.iter().map(Record::node_id).collect();
        let truth = reachable.to(&target, 16, &own);
        let hits = truth.iter().filter(|id| found.contains(id)).count();
        assert!(hits >= 15, "{hits} of {}", truth.len());
    });
}

#[test]
fn a_swarm_whose_nodes_come_and_go_goes_on_finding() {
    each([4], |seed| {
        let mut swarm = joined(&plan(seed, 30));
        let mut rng = seed.rng("churn", 0);
        let hosts: Vec<_> = swarm.network().hosts().skip(1).collect();
        let mut gone: Vec<peerage_sim::HostId> = Vec::new();
        // Every ten seconds one node stops, and one that stopped comes back with nothing but its
        // key: about five are away at any time.
        for _ in 0..40 {
            let id = hosts[rng.below(hosts.len())];
            if swarm.network().condition(id) == Condition::Running {
                let network = swarm.network_mut();
                network.apply(&Change::Condition(id, Condition::Stopped));
                gone.push(id);
            }
            if gone.len() > 5 {
                let back = gone.remove(0);
                swarm.restart(back);
            }
            swarm.run_for(10 * SECOND);
        }
        assert!(gone.len() >= 4, "{}", gone.len());
        let round = swarm.round();
        assert_eq!(round.lookups, 30 - gone.len());
        assert_eq!(round.reachable, 30 - gone.len());
        assert!(round.recall() > 0.9, "{}", round.recall());
    });
}

#[test]
fn the_nearest_are_those_that_a_sorted_list_has() {
    let mut rng = Seed(9).rng("ids", 0);
    for count in [0usize, 1, 5, 31, 32, 33, 500] {
        let mut ids: Vec<_> = (0..count).map(|_| NodeId(rng.bytes())).collect();
        // Some share long prefixes.
        for n in 1..count / 3 {
            let mut near = ids[n - 1];
            near.0[31] ^= 1;
            ids[n] = near;
        }
        let nearest: Nearest = ids.iter().copied().collect();
        let except = ids.first().copied().unwrap_or(NodeId([0; 32]));
        for _ in 0..20 {
            let target = if count > 4 && rng.below(2) == 0 {
                ids[rng.below(count)]
            } else {
                NodeId(rng.bytes())
            };
            let mut naive: Vec<_> = ids.iter().filter(|id| **id != except).copied().collect();
            naive.sort_by_key(|id| target.xor(id));
            naive.dedup();
            naive.truncate(16);
            assert_eq!(nearest.to(&target, 16, &except), naive, "{count}");
        }
    }
}

#[test]
fn a_plan_that_cannot_be_carried_out_says_why() {
    let base = plan(Seed(1), 10);
    let nat = |share| Chance::new(share).unwrap();
    for (plan, error) in [
        (plan(Seed(1), 0), PlanError::Nodes(0)),
        (plan(Seed(1), 100_001), PlanError::Nodes(100_001)),
        (
            Plan {
                nat: nat(1.0),
                ..base.clone()
            },
            PlanError::BootNodes,
        ),
        (
            Plan {
                boot_nodes: 0,
                ..base.clone()
            },
            PlanError::BootNodes,
        ),
        (
            Plan {
                nat_kinds: base.nat_kinds.map(|(kind, _)| (kind, 0)),
                ..base.clone()
            },
            PlanError::NatKinds,
        ),
    ] {
        assert_eq!(Swarm::new(&plan).err(), Some(error));
    }
    let plan = Plan {
        nodes: 200,
        nat: nat(0.3),
        ..base
    };
    assert_eq!(plan.behind_nat(), 60);
    let swarm = Swarm::new(&plan).unwrap();
    let network = swarm.network();
    let behind = network
        .hosts()
        .filter(|id| network.nat_of(*id).is_some())
        .count();
    assert_eq!(behind, 60);
}

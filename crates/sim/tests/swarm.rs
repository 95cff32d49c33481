use peerage_sim::discv5::{Plan, Swarm};

#[test]
fn first() {
    let plan = Plan { nodes: 60, ..Plan::default() };
    let mut swarm = Swarm::new(&plan).unwrap();
    swarm.join(|_| {});
    println!("{:?}", swarm.convergence());
    println!("{:?}", swarm.round().recall());
    println!("{:?}", swarm.round().recall());
}

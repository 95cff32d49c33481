//! Two nodes that are known by their addresses alone and dial each other: whatever order things
//! happen in, one connection stays, the same at both ends.

use peerage_core::{ConnectedAddr, Direction, Endpoint, Kind};
use peerage_peers::{
    Action, Dial, Event, Greeted, Groups, Outcome, Refused, SessionId, Standing, Tie,
};

use crate::common::{World, from, ip, secs, small, to};

const HOSTS: [&str; 2] = ["198.18.0.1", "198.19.0.1"];

fn tie(of: usize) -> Tie {
    Tie::between(&ip(HOSTS[of]), &ip(HOSTS[1 - of]))
}

/// A connection: who dialled, its number at each end, and where its handshake is done.
#[derive(Clone, Debug)]
struct Conn {
    dialler: usize,
    ids: [Option<SessionId>; 2],
    is_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Dial(usize),
    /// It comes to whoever was dialled.
    Arrive(usize),
    /// Its handshake is done at this end.
    Done(usize, usize),
    /// This end sees that the other has closed it.
    Gone(usize, usize),
}

struct Pair {
    ends: [World; 2],
    conns: Vec<Conn>,
    steps: Vec<Step>,
    /// Of each end: why its dials failed.
    failed: [Vec<Kind>; 2],
}

impl Pair {
    fn new(per_group: usize) -> Self {
        let mut config = small();
        config.limits.per_group = per_group;
        Self {
            ends: [(); 2].map(|()| World::new(config.clone())),
            conns: Vec::new(),
            steps: vec![Step::Dial(0), Step::Dial(1)],
            failed: Default::default(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Dial(end) => {
                let world = &mut self.ends[end];
                let dial = Dial {
                    identity: 1,
                    addr: Some(Endpoint::new(ip(HOSTS[1 - end]), 8233)),
                    standing: Standing::Ordinary,
                };
                if let Ok(id) = world.table.dial(world.now, dial) {
                    let stage = peerage_core::Stage::Greet("handshake");
                    world.table.stage(world.now, id, stage).unwrap();
                    let mut ids = [None; 2];
                    ids[end] = Some(id);
                    self.steps.push(Step::Arrive(self.conns.len()));
                    self.conns.push(Conn {
                        dialler: end,
                        ids,
                        is_open: true,
                    });
                }
            }
            Step::Arrive(at) if self.conns[at].is_open => {
                let end = 1 - self.conns[at].dialler;
                let world = &mut self.ends[end];
                let addr = from(HOSTS[1 - end]);
                let admitted =
                    world
                        .table
                        .admit_crossing(world.now, addr, Standing::Ordinary, tie(end));
                match admitted {
                    Ok(admitted) => {
                        self.conns[at].ids[end] = Some(admitted.id);
                        self.steps.extend([Step::Done(at, 0), Step::Done(at, 1)]);
                    }
                    Err(_) => self.close(at, end),
                }
            }
            Step::Done(at, end) if self.conns[at].is_open => {
                let Some(id) = self.conns[at].ids[end] else {
                    return;
                };
                let inbound = self.conns[at].dialler != end;
                let other = HOSTS[1 - end];
                let greeted = Greeted {
                    identity: if inbound { 2 } else { 1 },
                    addr: if inbound { from(other) } else { to(other) },
                    profile: 200,
                    standing: Standing::Ordinary,
                    tie: Tie::Older,
                };
                let world = &mut self.ends[end];
                let _closed_by_the_table = world.table.established(world.now, id, greeted);
            }
            Step::Gone(at, end) => {
                if let Some(id) = self.conns[at].ids[end] {
                    let world = &mut self.ends[end];
                    world.table.ended(world.now, id, Outcome::Left);
                }
            }
            Step::Arrive(_) | Step::Done(..) => {}
        }
        self.drain();
    }

    /// This end closes; the other will see it.
    fn close(&mut self, at: usize, end: usize) {
        if std::mem::take(&mut self.conns[at].is_open) {
            self.steps.push(Step::Gone(at, 1 - end));
        }
    }

    fn drain(&mut self) {
        for end in 0..2 {
            while let Some(action) = self.ends[end].table.poll_action() {
                let id = match &action {
                    Action::Abort(id) | Action::Close { id, .. } => *id,
                    Action::Event(Event::Closed(closed)) => {
                        if closed.direction == Direction::Outbound {
                            self.failed[end].push(closed.reason.kind);
                        }
                        continue;
                    }
                    _ => continue,
                };
                let mut conns = self.conns.iter();
                let at = conns.position(|conn| conn.ids[end] == Some(id)).unwrap();
                self.close(at, end);
                let world = &mut self.ends[end];
                world.table.ended(world.now, id, Outcome::Left);
            }
            self.ends[end].table.check().unwrap();
        }
    }
}

/// Every order in which the steps can come, one after the other.
#[test]
fn two_hosts_that_dial_each_other_keep_one_connection_in_any_order() {
    for per_group in [1, 2, 5] {
        // What was chosen at each step, of how many.
        let mut choices: Vec<(usize, usize)> = Vec::new();
        let (mut orders, mut crossed) = (0, 0);
        loop {
            let mut pair = Pair::new(per_group);
            let mut story = Vec::new();
            while !pair.steps.is_empty() {
                if choices.len() == story.len() {
                    choices.push((0, pair.steps.len()));
                }
                let step = pair.steps.remove(choices[story.len()].0);
                story.push(step);
                pair.step(step);
            }
            let open: Vec<_> = pair.conns.iter().filter(|conn| conn.is_open).collect();
            assert_eq!(open.len(), 1, "{per_group}: {story:?}");
            for end in 0..2 {
                let world = &pair.ends[end];
                let peers = world.table.peers(world.now);
                let ids: Vec<_> = peers.iter().map(|peer| Some(peer.id)).collect();
                assert_eq!(ids, [open[0].ids[end]], "{per_group}: {story:?}");
            }
            orders += 1;
            crossed += usize::from(pair.conns.len() == 2);
            // The next order: another choice as late as possible.
            while choices.last().is_some_and(|(at, of)| at + 1 == *of) {
                choices.pop();
            }
            match choices.last_mut() {
                Some((at, _)) => *at += 1,
                None => break,
            }
        }
        assert!(
            orders > 50 && crossed > 40,
            "{per_group}: {orders}, {crossed}"
        );
    }
}

/// The greater of the two keeps its own dial and refuses the other at the door; the lesser greets
/// it, and gives up its own when that is done and not before.
#[test]
fn the_lesser_gives_up_its_dial_only_for_a_greeted_peer() {
    let mut pair = Pair::new(1);
    pair.step(Step::Dial(0));
    pair.step(Step::Dial(1));
    let world = &mut pair.ends[1];
    let refused = world
        .table
        .admit_crossing(world.now, from(HOSTS[0]), Standing::Ordinary, tie(1));
    assert!(matches!(refused, Err(Refused::AlreadyConnected { .. })));

    let world = &mut pair.ends[0];
    let admit = |world: &mut World| {
        world
            .table
            .admit_crossing(world.now, from(HOSTS[1]), Standing::Ordinary, tie(0))
    };
    let id = admit(world).unwrap().id;
    // One of them only: whoever else knocks from there meets the limit.
    assert!(matches!(admit(world), Err(Refused::GroupFull { .. })));
    // It breaks off: ours goes on.
    world.table.ended(world.now, id, Outcome::Left);
    world.drain();
    assert!(world.table.stage_of(SessionId(1)).is_some());
    // The next one is greeted, and takes the outbound slot over.
    let id = admit(world).unwrap().id;
    world.greet_at(id, 2, from(HOSTS[1])).unwrap();
    assert_eq!(
        world.drain(),
        [
            "already 2: #3 stays, outbound #1 goes",
            "close #1 already connected",
            "closed #1 outbound refused already_connected told already connected",
            "established #3 2",
        ]
    );
    assert_eq!(world.table.overview(world.now).active, [0, 1]);
}

/// It is about dials of the same moment. Whoever dials back later meets the limits alone, and those
/// of a near network, through a proxy or without a tie are never told apart by address.
#[test]
fn an_old_session_a_near_network_and_a_proxy_cross_nobody() {
    let crossing = |world: &World, addr: &ConnectedAddr| world.table.crossing(world.now, addr);
    let mut pair = Pair::new(2);
    pair.step(Step::Dial(0));
    let world = &mut pair.ends[0];
    let here = from(HOSTS[1]);
    assert!(crossing(world, &here).is_some());
    assert!(
        crossing(world, &from("198.19.0.2")).is_none(),
        "another host"
    );
    let isolated = ConnectedAddr::Isolated {
        direction: Direction::Inbound,
    };
    assert!(crossing(world, &isolated).is_none());
    let knock = world
        .table
        .admit_crossing(world.now, here, Standing::Ordinary, tie(0));
    let knock = knock.unwrap().id;
    world.greet_at(SessionId(1), 1, to(HOSTS[1])).unwrap();
    // Established meanwhile, it is not given up any more: neither for one who is being greeted, nor
    // for one who comes now.
    let existing = SessionId(1);
    let late = world.greet_at(knock, 2, here);
    assert_eq!(late, Err(Refused::AlreadyConnected { existing }));
    world.drain();
    let later = world
        .table
        .admit_crossing(world.now, here, Standing::Ordinary, tie(0));
    assert_eq!(later, Err(Refused::AlreadyConnected { existing }));
    world.pass(secs(30));
    assert!(crossing(world, &here).is_none(), "established long ago");

    let mut config = small();
    config.groups = Groups::default();
    let mut world = World::new(config);
    let near = Dial {
        identity: 1,
        addr: Some(Endpoint::new(ip("127.0.0.1"), 8233)),
        standing: Standing::Ordinary,
    };
    world.table.dial(world.now, near).unwrap();
    assert!(crossing(&world, &from("127.0.0.1")).is_none());
}

/// The book hears that the dial met another connection, and nobody is blamed for it.
#[test]
fn a_dial_that_the_other_end_drops_for_its_own_is_a_duplicate() {
    let mut pair = Pair::new(1);
    for step in [
        Step::Dial(0),
        Step::Dial(1),
        Step::Arrive(1),
        Step::Arrive(0),
    ] {
        pair.steps.retain(|waiting| *waiting != step);
        pair.step(step);
    }
    // The greater has refused; the lesser greets its connection and hears the end of its own.
    pair.step(Step::Gone(0, 0));
    assert_eq!(pair.failed[0], [Kind::AlreadyConnected]);
    pair.step(Step::Done(1, 0));
    pair.step(Step::Done(1, 1));
    assert!(pair.failed[1].is_empty());
}

//! Months of simulated time with peers that come, move and die.

use std::collections::BTreeMap;

use peerage_book::{DialId, GossipEntry, Greeted, Key, Now, Occupied, Source};
use peerage_core::{Endpoint, Kind, Stage};

use crate::common::{book, minutes, reason, seconds, unreached};
use peerage_testkit::Random;

const WANTED: usize = 8;

/// A world in which every peer dies some day and others come, as public networks are.
struct World {
    random: Random,
    /// Who lives, and until when, in seconds from the start.
    alive: BTreeMap<Endpoint, u64>,
    next: u64,
    size: usize,
}

impl World {
    fn new(seed: u64, size: usize) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            alive: BTreeMap::new(),
            next: 0,
            size,
        };
        world.step(0);
        world
    }

    fn step(&mut self, clock: u64) {
        self.alive.retain(|_, until| *until > clock);
        while self.alive.len() < self.size {
            self.next += 1;
            // Scattered over many groups; a life of two to ten days.
            let bits = (20 << 24) + u32::try_from(self.next * 40_503 % (70 << 24)).unwrap();
            let ip = std::net::Ipv4Addr::from_bits(bits);
            let life = 86_400 * (2 + self.random.below(9));
            self.alive
                .insert(Endpoint::new(ip.into(), 8233), clock + life);
        }
    }

    fn some(&mut self, count: usize) -> Vec<Endpoint> {
        let all: Vec<Endpoint> = self.alive.keys().copied().collect();
        (0..count).map(|_| self.random.pick(&all)).collect()
    }
}

/// Runs so many days in steps of a minute; returns the share of minutes with a full set after the
/// first hour, and the dials made.
fn run(seed: u64, days: u64, size: usize) -> (f64, u64, Vec<String>) {
    let (mut book, start) = book();
    let mut world = World::new(seed, size);
    let mut sessions: BTreeMap<DialId, Key> = BTreeMap::new();
    let mut ghosts: Vec<Endpoint> = Vec::new();
    let (mut full, mut counted, mut dials) = (0_u64, 0_u64, 0_u64);
    let mut alarms = 0_u64;
    let mut trace = Vec::new();
    for minute in 0..days * 1_440 {
        let clock = minute * 60;
        let mut now: Now = start.after(minutes(minute));
        if minute % 60 == 0 {
            world.step(clock);
        }
        // Some sessions end in peace; those of the dead time out.
        let ended: Vec<DialId> = sessions
            .iter()
            .filter(|(_, key)| !lives(&world, key) || world.random.next().is_multiple_of(600))
            .map(|(session, _)| *session)
            .collect();
        for session in ended {
            let key = sessions.remove(&session).unwrap();
            let kind = if lives(&world, &key) {
                Kind::Left
            } else {
                Kind::Timeout
            };
            book.left(now, session, &reason(Stage::Keep("ping"), kind))
                .unwrap();
        }
        if !sessions.is_empty() {
            book.alive(now);
        }
        // A seed now and then while there are too few, gossip every hour: half of it is stale.
        if sessions.is_empty() && minute % 10 == 0 {
            for endpoint in world.some(20) {
                let tip = peerage_book::Tip::at(endpoint, Source::Seed("s".into()));
                let _refused = book.add(now, tip);
            }
        }
        if minute % 60 == 0 && !sessions.is_empty() {
            let mut told = world.some(30);
            ghosts.extend(&told);
            for _ in 0..30 {
                told.push(world.random.pick(&ghosts));
            }
            let from = world.some(1)[0];
            let entries: Vec<_> = told
                .into_iter()
                .map(|endpoint| GossipEntry {
                    endpoint,
                    services: 1,
                    seen: now.wall,
                })
                .collect();
            book.gossip(now, &Source::Gossip(Some(from.ip())), &entries);
        }
        for _ in 0..20 {
            let free = WANTED - sessions.len();
            let Some(next) = book.next_dial(now, &Occupied::with_free(free)) else {
                break;
            };
            dials += 1;
            if minute % 7 == 0 {
                trace.push(format!("{minute} {}", next.key));
            }
            if lives(&world, &next.key) {
                book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
                sessions.insert(next.id, next.key);
            } else {
                let kind = if world.random.chance(2) {
                    Kind::Timeout
                } else {
                    Kind::ConnectionRefused
                };
                book.outcome(now, next.id, Err(unreached(kind))).unwrap();
            }
            now = now.after(seconds(2));
        }
        if minute > 60 {
            counted += 1;
            full += u64::from(sessions.len() == WANTED);
            alarms += u64::from(book.outage_since().is_some());
        }
        if minute % 7_200 == 0 {
            book.audit().unwrap();
        }
    }
    // Peers die one by one, which is no outage of ours.
    assert!(alarms * 200 < counted, "{alarms} minutes of {counted}");
    let share = 100.0 * full as f64 / counted as f64;
    (share, dials, trace)
}

fn lives(world: &World, key: &Key) -> bool {
    match key {
        Key::Address(peerage_book::Address::At(endpoint)) => world.alive.contains_key(endpoint),
        Key::Address(_) | Key::Identity(_) => false,
    }
}

#[test]
fn among_mortal_peers_the_set_stays_full_for_months() {
    for seed in 0..2 {
        let (share, dials, _) = run(seed, 40, 150);
        assert!(share > 97.0, "seed {seed}: full {share:.1} % of the time");
        // One in three minutes at most: no storm of dials at the dead.
        assert!(dials < 40 * 1_440 / 3, "seed {seed}: {dials} dials");
    }
}

#[test]
fn a_run_replays() {
    let first = run(7, 5, 100);
    assert!(first.2.len() > 10, "{} dials seen", first.2.len());
    assert_eq!(run(7, 5, 100), first);
}

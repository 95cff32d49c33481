//! The life of sessions: operations on the table and on its [model](crate::model), compared after
//! each; everything derived is recomputed after each.

use std::collections::BTreeSet;

use peerage_core::{Direction, Endpoint, Stage};
use peerage_peers::{
    Action, Dial, Event, Fate, Greeted, Heard, Outcome, Parting, Refused, SessionId, Standing, Tie,
};

use crate::common::{World, from, ip, show, small, to};
use crate::model::{Model, Place};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Dial(u32, u8),
    Admit(u32, u8),
    Stage(usize, u8),
    Identified(usize, u32, u8),
    Established(usize, u32, u8),
    Ended(usize),
    Disconnect(usize),
    Least(u32),
    Limits(usize, usize),
    Standing(usize, u8),
    Hear(usize),
    Alive(usize, bool),
    Pass(u64),
}

/// Half are strangers; addresses come from three groups and from none.
fn standing(bits: u8) -> Standing {
    match bits % 6 {
        0 => Standing::Static,
        1 => Standing::Trusted,
        _ => Standing::Ordinary,
    }
}

fn address(n: u32, bits: u8) -> (String, Option<u32>) {
    match bits / 64 {
        0 => (format!("10.0.0.{n}"), None),
        group => (format!("203.0.{group}.{n}"), Some(group.into())),
    }
}

fn tie(bits: u8) -> Tie {
    match bits / 8 % 3 {
        0 => Tie::Older,
        1 => Tie::Keep(Direction::Inbound),
        _ => Tie::Keep(Direction::Outbound),
    }
}

fn why(refused: &Refused) -> &'static str {
    match refused {
        Refused::PendingFull { .. } => "pending full",
        Refused::Full { .. } => "full",
        Refused::GroupFull { .. } => "group full",
        Refused::AlreadyConnected { .. } => "already connected",
        Refused::AlreadyDialling { .. } => "already dialling",
        Refused::WrongIdentity => "wrong identity",
        Refused::Incompatible(_) => "incompatible",
        Refused::Gone => "gone",
        other => panic!("{other:?}"),
    }
}

pub(crate) struct Both {
    world: World,
    model: Model,
    said: Vec<String>,
    /// What has happened, in words.
    pub(crate) words: BTreeSet<String>,
}

impl Both {
    pub(crate) fn new() -> Self {
        let config = small();
        let world = World::new(config.clone());
        let model = Model::new(config, world.now, 100);
        Self {
            world,
            model,
            said: Vec::new(),
            words: BTreeSet::new(),
        }
    }

    fn pick(&self, at: usize) -> u64 {
        let ids: Vec<_> = self.model.entries.iter().map(|e| e.id).collect();
        // Sometimes one that does not exist.
        ids.get(at % (ids.len() + 1)).copied().unwrap_or(9999)
    }

    fn drain(&mut self) {
        while let Some(action) = self.world.table.poll_action() {
            let line = match &action {
                Action::Wake(_) => continue,
                Action::Close { id, .. } => format!("close {id}"),
                Action::Event(Event::Stalled { .. }) => panic!("nobody stood still"),
                Action::Abort(_) | Action::Pause(_) | Action::Resume(_) | Action::Event(_) => {
                    show(&action)
                }
            };
            self.said.push(line);
        }
        self.world.table.check().unwrap();
    }

    fn pongs(&mut self) {
        let active = |e: &&crate::model::Entry| e.place == Place::Active;
        let active: Vec<_> = self
            .model
            .entries
            .iter()
            .filter(active)
            .map(|e| (e.id, e.alive))
            .collect();
        for (id, alive) in active {
            let id = SessionId(id);
            while let Some(message) = self.world.table.poll_transmit(self.world.now, id) {
                let nonce = message
                    .strip_prefix("ping ")
                    .map(|nonce| nonce.parse().unwrap());
                if alive {
                    self.world.hear(id, 8, Heard::Pong { nonce });
                }
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.world.now + std::time::Duration::from_millis(ms);
        while let Some(wakeup) = self
            .world
            .table
            .poll_timeout()
            .filter(|wakeup| wakeup.at <= end)
        {
            self.world.now = self.world.now.max(wakeup.at);
            self.world.table.handle_timeout(self.world.now);
            self.pongs();
            self.drain();
        }
        self.world.now = end;
        self.model.pass(std::time::Duration::from_millis(ms));
    }

    pub(crate) fn run(&mut self, op: Op) {
        let now = self.world.now;
        let table = &mut self.world.table;
        match op {
            Op::Dial(n, bits) => {
                let (text, group) = address(n, bits);
                let dial = Dial {
                    identity: n,
                    addr: Some(Endpoint::new(ip(&text), 1)),
                    standing: standing(bits),
                };
                let ours = table.dial(now, dial).map(|id| id.0);
                let theirs = self.model.dial(n, standing(bits), group);
                assert_eq!(ours.map_err(|refused| why(&refused)), theirs);
            }
            Op::Admit(n, bits) => {
                let (text, group) = address(n, bits);
                let ours = table.admit(now, from(&text), standing(bits));
                let ours = ours.map(|a| (a.id.0, matches!(a.fate, Fate::Refuse { .. })));
                let theirs = self.model.admit(standing(bits), group);
                assert_eq!(ours.map_err(|refused| why(&refused)), theirs);
            }
            Op::Stage(at, stage) => {
                let id = self.pick(at);
                let name = ["0", "1", "2", "3"][usize::from(stage)];
                let _ = self
                    .world
                    .table
                    .stage(now, SessionId(id), Stage::Greet(name));
                self.model.stage(id, stage);
            }
            Op::Identified(at, n, bits) => {
                let id = self.pick(at);
                let (standing, tie) = (standing(bits), tie(bits));
                let ours = self
                    .world
                    .table
                    .identified(now, SessionId(id), &n, (standing, tie));
                let theirs = self.model.identified(id, n, standing, tie);
                assert_eq!(ours.map_err(|refused| why(&refused)), theirs);
            }
            Op::Established(at, n, bits) => {
                let id = self.pick(at);
                let (standing, tie) = (standing(bits), tie(bits));
                let version = 95 + u32::from(bits % 32);
                let greeted = Greeted {
                    identity: n,
                    addr: to("203.0.113.1"),
                    profile: version,
                    standing,
                    tie,
                };
                let ours = self.world.table.established(now, SessionId(id), greeted);
                let theirs = self.model.established(id, n, version, (standing, tie));
                assert_eq!(ours.map_err(|refused| why(&refused)), theirs);
            }
            Op::Ended(at) => {
                let id = self.pick(at);
                self.world.table.ended(now, SessionId(id), Outcome::Left);
                self.model.ended(id);
            }
            Op::Disconnect(at) => {
                let id = self.pick(at);
                let ours =
                    self.world
                        .table
                        .disconnect(now, SessionId(id), Parting::Requested, None);
                assert_eq!(ours.is_ok(), self.model.disconnect(id));
            }
            Op::Least(least) => {
                table.set_status(now, least);
                self.model.set_least(least);
            }
            Op::Limits(of_in, out) => {
                let mut limits = table.config().limits;
                (limits.active_in, limits.active_out) = (of_in, out);
                table.set_limits(now, limits);
                self.model.config.limits = limits;
            }
            Op::Standing(at, bits) => {
                let id = self.pick(at);
                let standing = standing(bits);
                let set = self.world.table.set_standing(now, SessionId(id), standing);
                assert_eq!(set.is_ok(), self.model.set_standing(id, standing));
            }
            Op::Hear(at) => {
                let id = self.pick(at);
                self.world.table.bytes_in(now, SessionId(id), 100);
                self.model.hear(id);
            }
            Op::Alive(at, alive) => {
                let id = self.pick(at);
                if let Some(e) = self.model.entries.iter_mut().find(|e| e.id == id) {
                    e.alive = alive;
                }
            }
            Op::Pass(ms) => self.pass(ms),
        }
        self.drain();
        assert_eq!(self.said, self.model.said, "after {op:?}");
        for line in &self.said {
            let words: Vec<_> = line.split(' ').collect();
            let word = match words[..] {
                // Why, too.
                ["closed", _, _, _, kind, ..] => kind,
                [word, ..] => word,
                [] => continue,
            };
            self.words.insert(word.to_owned());
        }
        self.said.clear();
        self.model.said.clear();
        let overview = self.world.table.overview(self.world.now);
        let count = |place| {
            self.model
                .entries
                .iter()
                .filter(|e| e.place == place)
                .count()
        };
        assert_eq!(overview.established, count(Place::Active));
        assert_eq!(overview.refusing, count(Place::Refusing));
        assert_eq!(overview.closing, count(Place::Closing));
        let limits = small().limits;
        assert!(overview.active[0] <= limits.active_in && overview.active[1] <= limits.active_out);
        assert!(
            overview.pending[0] <= limits.pending_in && overview.pending[1] <= limits.pending_out
        );
    }
}

//! Messages between the table, four peers that keep the rules of a task, and an application: nothing
//! taken is lost, nothing exceeds its budget, nobody stays paused for ever.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use peerage_core::Budget;
use peerage_peers::{
    Action, Config, Event, Heard, NotSent, NotTaken, Outcome, RequestRules, SessionId, TheirRules,
    Token, Treatment,
};

use crate::common::{World, secs, show, small};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Gossip(usize, usize),
    Request(usize, usize),
    Answer(usize, u64),
    Ask(usize, u64),
    Cancel(usize, u64),
    Respond(usize),
    Send(usize, usize),
    Spread(usize),
    Write(usize),
    Poll(usize),
    End(usize),
    Pass(u64),
}

fn config() -> Config {
    let mut config = small();
    config.limits.active_out = 4;
    config.limits.spare_dials = 4;
    config.budgets.inbox = Budget::new(6, 150);
    config.budgets.gossip = Budget::new(5, 200);
    config.budgets.control = Budget::new(20, 2000);
    config.budgets.total_in = 300;
    config.budgets.total_out = 500;
    config.requests = RequestRules {
        in_flight: 3,
        remembered: 4,
        ..RequestRules::default()
    };
    config.theirs = TheirRules {
        pause_above: 2,
        max: 3,
        within: secs(40),
    };
    config.conduct.unsolicited = Treatment::Ignore;
    config.backlog = 12;
    config.keepalive.idle = secs(1_000_000);
    config.keepalive.first = secs(900_000);
    config
}

/// What one peer is owed and owes, kept as plain lists.
#[derive(Debug, Default)]
struct Owed {
    id: Option<SessionId>,
    gossip: VecDeque<String>,
    requests: VecDeque<String>,
    tokens: Vec<Token>,
    /// Keys asked and not yet told of in any way.
    asked: BTreeMap<u64, &'static str>,
    paused: bool,
    held: Option<(usize, Heard<crate::common::Toy>)>,
}

pub(crate) struct Run {
    world: World,
    peers: Vec<Owed>,
    count: u64,
    /// What has happened, in words.
    pub(crate) words: BTreeSet<String>,
}

impl Run {
    pub(crate) fn new() -> Self {
        let mut world = World::new(config());
        let peers = (0..4)
            .map(|n| Owed {
                id: Some(world.out(n)),
                ..Owed::default()
            })
            .collect();
        Self {
            world,
            peers,
            count: 0,
            words: BTreeSet::new(),
        }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        self.count.to_string()
    }

    /// A task that keeps the rules: while paused or holding something it reads nothing.
    fn hear(&mut self, peer: usize, len: usize, heard: Heard<crate::common::Toy>) {
        let owed = &mut self.peers[peer];
        let Some(id) = owed.id else { return };
        if owed.held.is_some() || !self.world.table.can_read(id) {
            return;
        }
        let expected = match &heard {
            Heard::Answer { key, .. } => self.world.table.expects(id, key),
            _ => true,
        };
        match self
            .world
            .table
            .received(self.world.now, id, len, heard.clone())
        {
            Ok(()) => match heard {
                Heard::Gossip(message) => owed.gossip.push_back(message),
                Heard::Request(message) => owed.requests.push_back(message),
                Heard::Answer { .. } | Heard::Ping { .. } | Heard::Pong { .. } => {}
            },
            Err(NotTaken::Held(back)) => {
                assert!(expected && back == heard);
                assert!(!self.world.table.can_read(id), "held means paused");
                owed.held = Some((len, back));
            }
            Err(NotTaken::Dead(_)) => panic!("it lives"),
        }
    }

    fn poll(&mut self) -> bool {
        let Some(action) = self.world.table.poll_action() else {
            return false;
        };
        let shown = show(&action);
        let word = match shown.split(' ').next() {
            Some("answer") if shown.contains(" late by ") => "late",
            Some("given") => "given_up",
            Some(word) => word,
            None => "",
        };
        self.words.insert(word.to_owned());
        let of = |peers: &mut Vec<Owed>, id| {
            peers
                .iter()
                .position(|owed| owed.id == Some(id))
                .expect("a peer that lives")
        };
        match action {
            Action::Pause(id) => {
                if let Some(owed) = self.peers.iter_mut().find(|owed| owed.id == Some(id)) {
                    assert!(!owed.paused);
                    owed.paused = true;
                }
            }
            Action::Resume(id) => {
                if let Some(peer) = self.peers.iter().position(|owed| owed.id == Some(id)) {
                    assert!(self.peers[peer].paused);
                    self.peers[peer].paused = false;
                    if let Some((len, heard)) = self.peers[peer].held.take() {
                        self.hear_again(peer, len, heard);
                    }
                }
            }
            Action::Event(Event::Gossip { id, message }) => {
                let peer = of(&mut self.peers, id);
                assert_eq!(self.peers[peer].gossip.pop_front(), Some(message));
            }
            Action::Event(Event::Request { token, message }) => {
                if let Some(owed) = self.peers.iter_mut().find(|o| o.id == Some(token.session)) {
                    assert_eq!(owed.requests.pop_front(), Some(message));
                    owed.tokens.push(token);
                }
            }
            Action::Event(Event::Answer { id, key, late, .. }) => {
                if let Some(owed) = self.peers.iter_mut().find(|owed| owed.id == Some(id)) {
                    let was = owed.asked.remove(&key);
                    assert_eq!(was, Some(if late.is_some() { "late" } else { "waiting" }));
                }
            }
            Action::Event(Event::Overdue { id, key }) => {
                if let Some(owed) = self.peers.iter_mut().find(|owed| owed.id == Some(id)) {
                    assert_eq!(owed.asked.insert(key, "late"), Some("waiting"));
                }
            }
            _ => {}
        }
        true
    }

    /// The state of the table may have changed since it said so; then it is paused again.
    fn hear_again(&mut self, peer: usize, len: usize, heard: Heard<crate::common::Toy>) {
        let id = self.peers[peer].id.unwrap();
        if self.world.table.can_read(id) {
            self.hear(peer, len, heard);
        } else {
            self.peers[peer].held = Some((len, heard));
        }
    }

    pub(crate) fn run(&mut self, op: Op) {
        let now = self.world.now;
        match op {
            Op::Gossip(peer, len) => {
                let name = self.name();
                self.hear(peer, len, Heard::Gossip(name));
            }
            Op::Request(peer, len) => {
                let name = self.name();
                self.hear(peer, len, Heard::Request(name));
            }
            Op::Answer(peer, key) => {
                let message = self.name();
                self.hear(peer, 30, Heard::Answer { key, message });
            }
            Op::Ask(peer, key) => {
                let owed = &mut self.peers[peer];
                let Some(id) = owed.id else { return };
                if owed.asked.contains_key(&key) {
                    return;
                }
                if self.world.table.request(now, id, key, ("q".into(), 20)) == Ok(()) {
                    let _ = owed.asked.insert(key, "waiting");
                }
            }
            Op::Cancel(peer, key) => {
                let owed = &mut self.peers[peer];
                if let Some(id) = owed.id
                    && self.world.table.cancel_request(now, id, &key)
                    && owed.asked.get(&key) == Some(&"waiting")
                {
                    let _ = owed.asked.remove(&key);
                }
            }
            Op::Respond(peer) => {
                if let Some(token) = self.peers[peer].tokens.pop() {
                    let sent = self.world.table.respond(now, token, "a".into(), 30);
                    if matches!(sent, Err(NotSent::TotalFull { .. })) {
                        self.peers[peer].tokens.push(token);
                    }
                }
            }
            Op::Send(peer, len) => {
                if let Some(id) = self.peers[peer].id {
                    let _ = self.world.table.send(now, id, "m".into(), len);
                }
            }
            Op::Spread(len) => {
                let _ = self
                    .world
                    .table
                    .broadcast(now, &"g".to_owned(), len, |_, _| true);
            }
            Op::Write(peer) => {
                if let Some(id) = self.peers[peer].id {
                    while self.world.table.poll_transmit(now, id).is_some() {}
                }
            }
            Op::Poll(count) => {
                for _ in 0..count {
                    self.poll();
                }
            }
            Op::End(peer) => self.end(peer),
            Op::Pass(ms) => {
                let end = now + std::time::Duration::from_millis(ms);
                while let Some(wakeup) = self.world.table.poll_timeout().filter(|w| w.at <= end) {
                    self.world.now = self.world.now.max(wakeup.at);
                    self.world.table.handle_timeout(self.world.now);
                    for owed in &self.peers {
                        if let Some(id) = owed.id {
                            while self.world.table.poll_transmit(self.world.now, id).is_some() {}
                        }
                    }
                }
                self.world.now = end;
            }
        }
        self.look();
    }

    /// Closes a session and drains, so that what is left of it is heard before its number is gone.
    fn end(&mut self, peer: usize) {
        let Some(id) = self.peers[peer].id else {
            return;
        };
        while self.poll() {}
        let left = self.peers[peer]
            .asked
            .iter()
            .filter(|(_, state)| **state == "waiting");
        let mut left: Vec<_> = left.map(|(key, _)| *key).collect();
        self.world.table.ended(self.world.now, id, Outcome::Left);
        while let Some(action) = self.world.table.poll_action() {
            if let Action::Event(Event::Closed(closed)) = action {
                let mut unanswered = closed.unanswered;
                unanswered.sort_unstable();
                left.sort_unstable();
                assert_eq!(unanswered, left, "each request has an end");
            }
        }
        self.peers[peer] = Owed::default();
        self.count += 1;
        let n = 100 + u32::try_from(self.count).unwrap() % 50_000;
        let id = self.world.dial(n).unwrap();
        self.world.greet(id, n, peerage_peers::Tie::Older).unwrap();
        self.peers[peer].id = Some(id);
    }

    fn look(&mut self) {
        self.world.table.check().unwrap();
        let (overview, budgets) = (self.world.table.overview(self.world.now), config().budgets);
        assert!(overview.unread <= budgets.total_in, "{}", overview.unread);
        assert!(
            overview.sending <= budgets.total_out,
            "{}",
            overview.sending
        );
        // Sessions that the table ended are replaced, as a node would.
        for peer in 0..self.peers.len() {
            let dead = self.peers[peer]
                .id
                .is_some_and(|id| self.world.table.profile(id).is_none());
            if dead {
                self.peers[peer].id = None;
            }
        }
    }

    /// An application that fetches and answers everything sets everybody free.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            while self.poll() {}
            for peer in 0..self.peers.len() {
                while let Some(token) = self.peers[peer].tokens.pop() {
                    let _ = self.world.table.refuse(self.world.now, token);
                }
            }
        }
        for owed in &self.peers {
            if let Some(id) = owed.id {
                assert!(self.world.table.can_read(id), "{owed:?} is paused for ever");
                assert!(owed.held.is_none() && owed.gossip.is_empty() && owed.requests.is_empty());
            }
        }
        assert_eq!(self.world.table.overview(self.world.now).unread, 0);
    }
}

//! A network of numbers, and a table with a clock that only moves when it is told.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerage_core::{ConnectedAddr, Detail, Direction, Endpoint, Kind, Reason, Retry, Stage};
use peerage_peers::{
    Action, Admitted, Closed, Config, Dial, Event, Greeted, Groups, Heard, NotTaken, Outcome,
    Refused, SessionId, Standing, Table, Tie, Types,
};

/// Peers are numbers, their profile is a version, the status is the least version of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toy;

impl Types for Toy {
    type Identity = u32;
    type Profile = u32;
    type Status = u32;
    type Message = String;
    type Key = u64;

    fn judge(least: &u32, version: &u32) -> Result<(), Reason> {
        if version < least {
            return Err(reason(Kind::Obsolete, "too old"));
        }
        Ok(())
    }

    fn ping(nonce: u64) -> String {
        format!("ping {nonce}")
    }
}

pub(crate) fn reason(kind: Kind, message: &str) -> Reason {
    Reason {
        stage: Stage::Keep("status"),
        kind,
        blame: kind.blame(),
        retry: Retry::Never,
        detail: Detail::none(),
        message: message.into(),
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn from(text: &str) -> ConnectedAddr {
    let addr: Endpoint = SocketAddr::new(ip(text), 4000).into();
    ConnectedAddr::InboundDirect { addr }
}

pub(crate) fn to(text: &str) -> ConnectedAddr {
    let addr: Endpoint = SocketAddr::new(ip(text), 8233).into();
    ConnectedAddr::OutboundDirect { addr }
}

/// An address of its own group for each number.
pub(crate) fn far(n: u32) -> String {
    format!("198.{}.{}.1", 18 + n / 256, n % 256)
}

/// The first instant of all tests.
#[expect(
    clippy::disallowed_methods,
    reason = "std offers no other way to a first instant"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Plain limits that are easy to reach.
pub(crate) fn small() -> Config {
    let mut config = Config::zcash();
    config.limits.pending_in = 3;
    config.limits.pending_out = 3;
    config.limits.refusing = 2;
    config.limits.active_in = 4;
    config.limits.active_out = 3;
    config.limits.spare_dials = 1;
    config.limits.per_group = 2;
    config.limits.closing = 8;
    config.groups = Groups::default();
    config.evict = None;
    config
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) table: Table<Toy>,
    pub(crate) now: Instant,
    /// What was held back, by session.
    pub(crate) held: Vec<(SessionId, usize, Heard<Toy>)>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let now = start();
        let table = Table::new(config, 100, [3; 16], now).unwrap();
        let held = Vec::new();
        Self { table, now, held }
    }

    /// Lets time pass, looking after the table whenever it asks for it.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut said = Vec::new();
        while let Some(wakeup) = self.table.poll_timeout()
            && wakeup.at <= end
        {
            self.now = self.now.max(wakeup.at);
            self.table.handle_timeout(self.now);
            said.extend(self.drain());
        }
        self.now = end;
        said
    }

    /// Writes what there is to write, and answers the ping if there was one.
    pub(crate) fn pong(&mut self, id: SessionId) {
        while let Some(message) = self.table.poll_transmit(self.now, id) {
            if let Some(nonce) = message.strip_prefix("ping ") {
                let nonce = Some(nonce.parse().unwrap());
                self.hear(id, 8, Heard::Pong { nonce });
            }
        }
    }

    /// Carries nothing out; tells what was to be done and said.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        let actions = std::iter::from_fn(|| self.table.poll_action());
        let said = actions.map(|action| show(&action)).collect();
        self.table.check().unwrap();
        said
    }

    pub(crate) fn dial(&mut self, n: u32) -> Result<SessionId, Refused> {
        self.dial_as(n, Standing::Ordinary)
    }

    pub(crate) fn dial_as(&mut self, n: u32, standing: Standing) -> Result<SessionId, Refused> {
        let addr = Some(Endpoint::new(ip(&far(n)), 8233));
        let dial = Dial {
            identity: n,
            addr,
            standing,
        };
        self.table.dial(self.now, dial)
    }

    pub(crate) fn admit(&mut self, addr: &str) -> Result<Admitted, Refused> {
        self.table.admit(self.now, from(addr), Standing::Ordinary)
    }

    pub(crate) fn greet(&mut self, id: SessionId, n: u32, tie: Tie) -> Result<(), Refused> {
        let inbound = self
            .table
            .peer_at(self.now, id)
            .is_some_and(|peer| peer.direction == Direction::Inbound);
        let greeted = Greeted {
            identity: n,
            addr: if inbound { from(&far(n)) } else { to(&far(n)) },
            profile: 200,
            standing: Standing::Ordinary,
            tie,
        };
        self.table.established(self.now, id, greeted)
    }

    /// The handshake is done, with the other end there.
    pub(crate) fn greet_at(
        &mut self,
        id: SessionId,
        n: u32,
        addr: ConnectedAddr,
    ) -> Result<(), Refused> {
        let greeted = Greeted {
            identity: n,
            addr,
            profile: 200,
            standing: Standing::Ordinary,
            tie: Tie::Older,
        };
        self.table.established(self.now, id, greeted)
    }

    /// An established peer that we dialled.
    pub(crate) fn out(&mut self, n: u32) -> SessionId {
        let id = self.dial(n).unwrap();
        self.greet(id, n, Tie::Older).unwrap();
        let said = self.drain();
        assert_eq!(said, [format!("established {id} {n}")]);
        id
    }

    /// An established peer that dialled us.
    pub(crate) fn inn(&mut self, n: u32) -> SessionId {
        let id = self.admit(&far(n)).unwrap().id;
        self.greet(id, n, Tie::Older).unwrap();
        let _said = self.drain();
        id
    }

    pub(crate) fn hear(&mut self, id: SessionId, len: usize, heard: Heard<Toy>) {
        match self.table.received(self.now, id, len, heard) {
            Ok(()) | Err(NotTaken::Dead(_)) => {}
            Err(NotTaken::Held(heard)) => self.held.push((id, len, heard)),
        }
    }

    pub(crate) fn gossip(&mut self, id: SessionId, text: &str) {
        self.hear(id, text.len(), Heard::Gossip(text.to_owned()));
    }

    pub(crate) fn request(&mut self, id: SessionId, text: &str) {
        self.hear(id, text.len(), Heard::Request(text.to_owned()));
    }

    pub(crate) fn answer(&mut self, id: SessionId, key: u64) {
        let message = format!("answer {key}");
        self.hear(id, message.len(), Heard::Answer { key, message });
    }

    /// Asks and lets the request go out.
    pub(crate) fn ask(&mut self, id: SessionId, key: u64) {
        let message = (format!("ask {key}"), 10);
        self.table.request(self.now, id, key, message).unwrap();
        while self.table.poll_transmit(self.now, id).is_some() {}
    }

    pub(crate) fn ended(&mut self, id: SessionId, outcome: Outcome) -> Vec<String> {
        self.table.ended(self.now, id, outcome);
        self.drain()
    }
}

/// One line for each action.
pub(crate) fn show(action: &Action<Toy>) -> String {
    match action {
        Action::Abort(id) => format!("abort {id}"),
        Action::Close { id, say, .. } => format!("close {id} {say}"),
        Action::Wake(id) => format!("wake {id}"),
        Action::Pause(id) => format!("pause {id}"),
        Action::Resume(id) => format!("resume {id}"),
        Action::Event(event) => show_event(event),
    }
}

fn show_event(event: &Event<Toy>) -> String {
    match event {
        Event::Established { id, identity, .. } => format!("established {id} {identity}"),
        Event::AlreadyConnected {
            identity,
            kept,
            dropped,
            direction,
        } => format!("already {identity}: {kept} stays, {direction} {dropped} goes"),
        Event::Gossip { id, message } => format!("gossip {id} {message}"),
        Event::Request { token, message } => format!("request {} {message}", token.session),
        Event::RequestGivenUp { token } => format!("given up {}", token.session),
        Event::Answer {
            id,
            key,
            took,
            late,
            ..
        } => {
            let late = late.map_or(String::new(), |by| format!(" late by {}ms", by.as_millis()));
            format!("answer {id} {key} in {}ms{late}", took.as_millis())
        }
        Event::Overdue { id, key } => format!("overdue {id} {key}"),
        Event::Misbehaved {
            id,
            misdeed,
            strikes,
        } => format!("misbehaved {id} {} {strikes}", misdeed.name()),
        Event::Incompatible { id, reason, .. } => format!("incompatible {id} {}", reason.kind),
        Event::Closed(closed) => show_closed(closed),
        Event::Stalled { lost } => format!("stalled {}s", lost.as_secs()),
        other => format!("{other:?}"),
    }
}

fn show_closed(closed: &Closed<Toy>) -> String {
    let told = closed.told.map_or("-", |told| told.name());
    format!(
        "closed {} {} {} {} told {told}",
        closed.id, closed.direction, closed.ending, closed.reason.kind
    )
}

//! A citizen that answers whoever dials it, and not as it should.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerage_book::GossipEntry;
use peerage_core::{ConnectedAddr, Session, Wakeup};
use peerage_discv5::rng::Rng;
use peerage_peers::Heard as For;

use super::fault::Fault;
use super::keeper::{Never, encode};
use super::net::{Attempt, MessageOf, Net, ProfileOf};
use super::session::{Driven, decode, drive};
use crate::machine::{Now, Output};
use crate::stream::{Door, Heard, Order, StreamId};

/// How often a tarpit says a byte.
const DRIP: Duration = Duration::from_secs(2);

/// How long one that leaves stays.
const STAY: Duration = Duration::from_secs(5);

/// How often a flooder sends, and how many pings at once.
const FLOOD: (Duration, usize) = (Duration::from_secs(1), 100);

/// How often a flooder opens a stream that it says nothing on, and how many it holds.
const OPENS: (Duration, usize) = (Duration::from_secs(10), 32);

enum Life<N: Net> {
    Mute,
    Greeting(N::Greeting),
    Live(N::Session, Box<ProfileOf<N>>),
}

struct Guest<N: Net> {
    life: Life<N>,
    input: BytesMut,
    /// What a tarpit has to say.
    words: VecDeque<u8>,
    alarm: Option<Instant>,
}

/// One of the faults that only answer.
pub struct Rogue<N: Net> {
    fault: Fault,
    local: N::Local,
    guests: BTreeMap<StreamId, Guest<N>>,
    alarms: BTreeSet<(Instant, StreamId)>,
    /// Whom it lies about, and whom it floods.
    others: Vec<SocketAddr>,
    opened: VecDeque<StreamId>,
    next_stream: u64,
    opens_at: Option<Instant>,
    rng: Rng,
    outbox: VecDeque<Output<Never>>,
    now: Now,
}

impl<N: Net> std::fmt::Debug for Rogue<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rogue")
            .field("fault", &self.fault)
            .field("guests", &self.guests.len())
            .finish_non_exhaustive()
    }
}

impl<N: Net> Rogue<N> {
    /// One with this fault.
    pub fn new(
        fault: Fault,
        local: N::Local,
        others: Vec<SocketAddr>,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        let opens_at = (fault == Fault::Flooder).then_some(now.at + OPENS.0);
        Self {
            fault,
            local,
            guests: BTreeMap::new(),
            alarms: BTreeSet::new(),
            others,
            opened: VecDeque::new(),
            next_stream: 0,
            opens_at,
            rng: Rng::new(seed),
            outbox: VecDeque::new(),
            now,
        }
    }

    /// The network's rules change, for those who know of it.
    pub fn upgrade(&mut self) {
        N::upgrade(&mut self.local);
    }

    pub(super) fn door(&self) -> Door {
        match self.fault {
            Fault::Shut => Door::Shut,
            Fault::OtherChain
            | Fault::Obsolete
            | Fault::Silent
            | Fault::Tarpit
            | Fault::Leaver
            | Fault::Liar
            | Fault::Flooder
            | Fault::Flapping
            | Fault::Vanishing
            | Fault::Moving => Door::Open,
        }
    }

    pub(super) fn poll(&mut self) -> Option<Output<Never>> {
        self.outbox.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let at = alarm.into_iter().chain(self.opens_at).min()?;
        Some(Wakeup {
            at,
            why: "a rogue's next misdeed",
        })
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        while let Some((at, id)) = self.alarms.first().copied()
            && at <= now.at
        {
            self.alarms.pop_first();
            if let Some(guest) = self.guests.get_mut(&id) {
                guest.alarm = None;
            }
            self.misbehave(id);
        }
        if self.opens_at.is_some_and(|at| at <= now.at) && !self.others.is_empty() {
            self.opens_at = Some(now.at + OPENS.0);
            let to = self.others[self.rng.below(self.others.len())];
            let stream = StreamId::ours(self.next_stream);
            self.next_stream += 1;
            self.opened.push_back(stream);
            self.order(stream, Order::Connect(to));
            if self.opened.len() > OPENS.1
                && let Some(oldest) = self.opened.pop_front()
            {
                self.order(oldest, Order::Close);
            }
        }
    }

    fn order(&mut self, stream: StreamId, order: Order) {
        self.outbox.push_back(Output::Stream(stream, order));
    }

    fn set_alarm(&mut self, id: StreamId, at: Instant) {
        if let Some(guest) = self.guests.get_mut(&id) {
            if let Some(old) = guest.alarm.replace(at) {
                self.alarms.remove(&(old, id));
            }
            self.alarms.insert((at, id));
        }
    }

    fn part(&mut self, id: StreamId) {
        if let Some(guest) = self.guests.remove(&id) {
            if let Some(at) = guest.alarm {
                self.alarms.remove(&(at, id));
            }
            self.order(id, Order::Close);
        }
    }

    pub(super) fn handle_stream(&mut self, now: Now, id: StreamId, heard: Heard) {
        self.now = now;
        match heard {
            Heard::Accepted(from) => self.accepted(id, from),
            Heard::Data(bytes) => {
                let Some(guest) = self.guests.get_mut(&id) else {
                    return;
                };
                match guest.life {
                    Life::Mute => {}
                    Life::Greeting(_) | Life::Live(..) => guest.input.extend_from_slice(&bytes),
                }
                self.go_on(id, true);
            }
            Heard::Ended | Heard::Broken(_) => self.part(id),
            Heard::Connected | Heard::Failed(_) | Heard::Written => {}
        }
    }

    fn accepted(&mut self, id: StreamId, from: SocketAddr) {
        let attempt = Attempt {
            addr: ConnectedAddr::InboundDirect { addr: from.into() },
            whom: None,
            time: self.now.wall,
            seed: self.rng.bytes(),
        };
        let greeting = (self.fault != Fault::Silent).then(|| N::greet(&self.local, attempt));
        let life = greeting.flatten().map_or(Life::Mute, Life::Greeting);
        let guest = Guest {
            life,
            input: BytesMut::new(),
            words: VecDeque::new(),
            alarm: None,
        };
        self.guests.insert(id, guest);
        self.go_on(id, false);
    }

    fn say(&mut self, id: StreamId, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        if self.fault != Fault::Tarpit {
            self.order(id, Order::Write(bytes));
            return;
        }
        let Some(guest) = self.guests.get_mut(&id) else {
            return;
        };
        let starts = guest.words.is_empty();
        guest.words.extend(bytes);
        if starts {
            self.set_alarm(id, self.now.at + DRIP);
        }
    }

    fn go_on(&mut self, id: StreamId, has_news: bool) {
        let now = self.now.at;
        let Some(guest) = self.guests.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut guest.life, Life::Mute) {
            Life::Mute => {}
            Life::Greeting(greeting) => {
                let mut words = Vec::new();
                let write = |bytes: &[u8]| words.extend_from_slice(bytes);
                match drive::<N>(greeting, now, &mut guest.input, has_news, write) {
                    // Its wakeups are for those who are in a hurry.
                    Driven::Waits(greeting, wake_at) => {
                        guest.life = Life::Greeting(greeting);
                        self.say(id, words);
                        if let Some(at) = wake_at
                            && self.fault != Fault::Tarpit
                        {
                            self.set_alarm(id, at);
                        }
                    }
                    Driven::Failed(_, last_words) => {
                        words.extend(last_words);
                        self.say(id, words);
                        self.part(id);
                    }
                    Driven::Done(peer) => {
                        let parts = N::take_apart(&self.local, peer);
                        guest.life = Life::Live(parts.session, Box::new(parts.profile));
                        self.say(id, words);
                        match self.fault {
                            Fault::Leaver => self.set_alarm(id, now + STAY),
                            Fault::Flooder => self.set_alarm(id, now + FLOOD.0),
                            Fault::OtherChain
                            | Fault::Obsolete
                            | Fault::Silent
                            | Fault::Tarpit
                            | Fault::Liar
                            | Fault::Shut
                            | Fault::Flapping
                            | Fault::Vanishing
                            | Fault::Moving => {}
                        }
                        self.go_on(id, true);
                    }
                }
            }
            Life::Live(session, profile) => {
                guest.life = Life::Live(session, profile);
                self.listen(id);
            }
        }
    }

    /// Answers pings, and questions for addresses if it lies.
    fn listen(&mut self, id: StreamId) {
        loop {
            let Some(guest) = self.guests.get_mut(&id) else {
                return;
            };
            let Life::Live(session, _) = &mut guest.life else {
                return;
            };
            let message = match decode::<N>(session, &mut guest.input) {
                Ok(Some((message, _))) => message,
                Ok(None) => return,
                Err(_) => {
                    self.part(id);
                    return;
                }
            };
            let asks = N::asks_for_addrs(&message);
            if let For::Ping { pong } = N::hear(message) {
                self.send(id, &pong);
            } else if asks && self.fault == Fault::Liar {
                self.lie(id);
            }
        }
    }

    fn send(&mut self, id: StreamId, message: &MessageOf<N>) {
        let Some(guest) = self.guests.get_mut(&id) else {
            return;
        };
        let Life::Live(session, _) = &mut guest.life else {
            return;
        };
        if let Ok(bytes) = encode::<N>(session, message) {
            self.say(id, bytes);
        }
    }

    fn lie(&mut self, id: StreamId) {
        let seen = self.now.wall;
        let told = self.others.iter().map(|at| GossipEntry {
            endpoint: (*at).into(),
            services: 1,
            seen,
        });
        let told: Vec<_> = told.collect();
        let guest = self.guests.get(&id);
        let message = guest.and_then(|guest| match &guest.life {
            Life::Live(_, profile) => N::tell_addrs(&told, profile),
            Life::Mute | Life::Greeting(_) => None,
        });
        if let Some(message) = message {
            self.send(id, &message);
        }
    }

    /// Its time has come.
    fn misbehave(&mut self, id: StreamId) {
        let Some(guest) = self.guests.get_mut(&id) else {
            return;
        };
        if matches!(guest.life, Life::Greeting(_)) && self.fault != Fault::Tarpit {
            self.go_on(id, true);
            return;
        }
        match self.fault {
            Fault::Tarpit => {
                if let Some(byte) = guest.words.pop_front() {
                    self.order(id, Order::Write(vec![byte]));
                    self.set_alarm(id, self.now.at + DRIP);
                }
            }
            Fault::Leaver => self.part(id),
            Fault::Flooder => {
                for nonce in 0..FLOOD.1 {
                    let ping = <N::Session as Session>::ping(nonce as u64);
                    self.send(id, &ping);
                }
                self.set_alarm(id, self.now.at + FLOOD.0);
            }
            Fault::OtherChain
            | Fault::Obsolete
            | Fault::Silent
            | Fault::Liar
            | Fault::Shut
            | Fault::Flapping
            | Fault::Vanishing
            | Fault::Moving => {}
        }
    }
}

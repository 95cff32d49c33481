//! The survey: how the NAT before us maps and filters (RFC 5780 section 4).
//!
//! ```text
//!  Filtering   a fresh socket for each server   Reach ─► FilterBoth, FilterPort
//!      │
//!  Mapping     one fresh socket for all         MapFirst ─► MapOtherAddress, …Port, MapBoth
//!      │
//!  Hairpin     those two against each other
//!      │
//!  Done(Report)
//! ```
//!
//! Filtering goes first, and nothing is sent to a server's other address before it is over: some
//! routers remember what the machine has contacted rather than what the port has. All servers are
//! asked at once. The mapping phase asks each of a server's endpoints on its own, which also shows
//! that they live: the silence of a dead one is no filter.

mod action;
pub mod infer;
mod report;
mod trial;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use peerage_core::{Endpoint, PeerText, Reach, Wakeup};

pub use action::{Action, SocketId};
pub use report::{Finding, Report, ServerReport, Unknown};
pub use trial::{Outcome, Question, Retransmission, Trial};

use crate::family::Family;
use crate::stun::{Attribute, Change, Class, ErrorCode, Message};
use crate::transactions::Transactions;

/// The most servers asked. Those beyond are left out.
pub const MAX_SERVERS: usize = 4;

/// How patient a survey is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For whether a server answers at all. Five requests, given up after 9.5 s: the RFC's seven
    /// would take 39.5 s to say that UDP is blocked.
    pub reach: Retransmission,
    /// For what a filter may swallow; the server is known to live. Four requests, given up after
    /// 5 s.
    pub filter: Retransmission,
    /// For what should come by itself at once. Three requests, given up after 1.5 s.
    pub hairpin: Retransmission,
}

impl Default for Settings {
    fn default() -> Self {
        let rule = |millis, requests, last_wait| Retransmission {
            rto: Duration::from_millis(millis),
            requests,
            last_wait,
        };
        Self {
            reach: rule(500, 5, 4),
            filter: rule(500, 4, 3),
            hairpin: rule(250, 3, 3),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Filtering,
    Mapping,
    Hairpin,
    Done,
}

#[derive(Debug)]
struct Server {
    at: Endpoint,
    other: Option<Endpoint>,
    software: Option<PeerText>,
    /// Whether its answers to a CHANGE-REQUEST came from where they should not, or were errors.
    unsupported: bool,
    /// Where the socket that asks about filtering is seen.
    seen_at: Option<Endpoint>,
}

#[derive(Debug)]
struct Socket {
    /// `None` until it is open.
    local: Option<Endpoint>,
    failed: bool,
}

/// One survey of one family.
///
/// Change it, then drain [`Self::poll_action`], then ask [`Self::poll_timeout`]. It ends with
/// [`Action::Done`], whatever happens, within the sum of its patience; every socket is closed by
/// then.
#[derive(Debug)]
pub struct Survey {
    family: Family,
    settings: Settings,
    transactions: Transactions,
    started_at: Instant,
    phase: Phase,
    servers: Vec<Server>,
    sockets: BTreeMap<SocketId, Socket>,
    trials: Vec<Trial>,
    actions: VecDeque<Action>,
}

impl Survey {
    /// A survey of `family` that asks `servers`, each the first endpoint of a STUN server. Those of
    /// the other family, duplicates, and those beyond [`MAX_SERVERS`] are left out.
    ///
    /// `seed` must be 16 unpredictable bytes, used for this survey only.
    pub fn new(
        now: Instant,
        family: Family,
        servers: &[Endpoint],
        settings: Settings,
        seed: [u8; 16],
    ) -> Self {
        let mut known = BTreeSet::new();
        let servers: Vec<Server> = servers
            .iter()
            .filter(|at| Family::of(at.ip()) == family && at.is_dialable() && known.insert(**at))
            .take(MAX_SERVERS)
            .map(|at| Server {
                at: *at,
                other: None,
                software: None,
                unsupported: false,
                seen_at: None,
            })
            .collect();
        let mut survey = Self {
            family,
            settings,
            transactions: Transactions::new(seed),
            started_at: now,
            phase: Phase::Filtering,
            servers,
            sockets: BTreeMap::new(),
            trials: Vec::new(),
            actions: VecDeque::new(),
        };
        for index in 0..survey.servers.len() {
            survey.open(socket_of(index));
        }
        survey.advance(now);
        survey
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The socket is open, at this endpoint of our machine. An unspecified address is taken for not
    /// known: whether a NAT stands between cannot be told then.
    pub fn handle_opened(&mut self, now: Instant, id: SocketId, local: Endpoint) {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return;
        };
        if socket.local.replace(local).is_some() {
            return;
        }
        match self.phase {
            Phase::Filtering => {
                let index = usize::from(id.0);
                if let Some(at) = self.servers.get(index).map(|server| server.at) {
                    self.ask(now, Question::Reach, index, (id, at, at));
                }
            }
            Phase::Mapping => {
                for (index, at) in self.reached() {
                    self.ask(now, Question::MapFirst, index, (id, at, at));
                    self.ask_other_endpoints(now, index, id);
                }
            }
            Phase::Hairpin | Phase::Done => {}
        }
        self.advance(now);
    }

    /// The socket cannot be had.
    pub fn handle_open_failed(&mut self, now: Instant, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.failed = true;
            self.advance(now);
        }
    }

    /// A datagram came to one of the sockets. What is no answer to an open question is ignored.
    pub fn handle_datagram(&mut self, now: Instant, id: SocketId, from: Endpoint, bytes: &[u8]) {
        let Ok(message) = Message::decode(bytes) else {
            return;
        };
        let open = self
            .trials
            .iter_mut()
            .find(|trial| trial.is_open() && trial.transaction == message.transaction);
        let Some(trial) = open else { return };
        if trial.question == Question::Hairpin {
            // It comes back as the request that it is, on the other socket.
            if message.class == Class::Request && trial.socket != id {
                trial.answer(now, None);
                self.advance(now);
            }
            return;
        }
        if trial.socket != id {
            return;
        }
        // Whoever is not the server knows the transaction only by having seen the request; even
        // then it must seem to be the server.
        let (index, question) = (trial.server, trial.question);
        let is_filter = matches!(question, Question::FilterBoth | Question::FilterPort);
        let asked = trial.to;
        if from != trial.from && !(is_filter && from == asked) {
            return;
        }
        match message.class {
            Class::Success if from != trial.from => trial.outcome = Some(Outcome::Unmoved),
            Class::Success => match message.mapped().filter(Endpoint::is_dialable) {
                Some(mapped) => trial.answer(now, Some(mapped)),
                None => trial.outcome = Some(Outcome::Useless),
            },
            Class::Error => {
                let unspoken = ErrorCode {
                    code: 0,
                    reason: PeerText::new(b""),
                };
                let ErrorCode { code, reason } = message.error().cloned().unwrap_or(unspoken);
                trial.outcome = Some(Outcome::Refused { code, reason });
            }
            Class::Request | Class::Indication => return,
        }
        let moved = trial.is_answered();
        let mapped = trial.mapped();
        if question == Question::Reach && moved {
            self.on_reached(now, index, &message, mapped);
        } else if is_filter
            && !moved
            && let Some(server) = self.servers.get_mut(index)
        {
            server.unsupported = true;
        }
        self.advance(now);
    }

    /// The time of a wakeup has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// What to do next, if anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::handle_timeout`], and why. `None` while a socket is awaited, and when
    /// it is over.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let at = self.trials.iter().filter_map(Trial::wake_at).min()?;
        Some(Wakeup {
            at,
            why: "a STUN request is to be sent again or given up",
        })
    }

    /// Whether [`Action::Done`] was or is about to be handed out.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Done
    }

    /// A server answered: what it has, and what to ask it next.
    fn on_reached(
        &mut self,
        now: Instant,
        index: usize,
        message: &Message,
        mapped: Option<Endpoint>,
    ) {
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        server.software = message.software().cloned();
        server.seen_at = mapped;
        let at = server.at;
        server.other = message.other_address().filter(|other| is_other(at, *other));
        let Some(other) = server.other else { return };
        let socket = socket_of(index);
        self.ask(now, Question::FilterBoth, index, (socket, at, other));
        let other_port = Endpoint::new(at.ip(), other.port());
        self.ask(now, Question::FilterPort, index, (socket, at, other_port));
    }

    fn ask_other_endpoints(&mut self, now: Instant, index: usize, socket: SocketId) {
        let Some(server) = self.servers.get(index) else {
            return;
        };
        let (at, Some(other)) = (server.at, server.other) else {
            return;
        };
        for (question, ip, port) in [
            (Question::MapOtherAddress, other.ip(), at.port()),
            (Question::MapOtherPort, at.ip(), other.port()),
            (Question::MapBoth, other.ip(), other.port()),
        ] {
            let to = Endpoint::new(ip, port);
            self.ask(now, question, index, (socket, to, to));
        }
    }

    /// Asks from a socket, to an endpoint, for an answer from an endpoint.
    fn ask(
        &mut self,
        now: Instant,
        question: Question,
        server: usize,
        way: (SocketId, Endpoint, Endpoint),
    ) {
        let rule = match question {
            Question::Reach | Question::MapFirst => self.settings.reach,
            Question::FilterBoth
            | Question::FilterPort
            | Question::MapOtherAddress
            | Question::MapOtherPort
            | Question::MapBoth => self.settings.filter,
            Question::Hairpin => self.settings.hairpin,
        };
        let transaction = self.transactions.next();
        let trial = Trial::new(now, question, server, way, transaction, rule);
        self.trials.push(trial);
    }

    /// Sends what is due, and goes to the next phase when this one has nothing open.
    fn advance(&mut self, now: Instant) {
        loop {
            for trial in &mut self.trials {
                if trial.poll(now) {
                    let datagram = request(trial);
                    // A request of ours is far shorter than the limit.
                    if let Ok(datagram) = datagram.encode() {
                        self.actions.push_back(Action::Transmit {
                            socket: trial.socket,
                            to: trial.to,
                            datagram,
                        });
                    }
                }
            }
            let mut sockets = self.sockets.values();
            let is_waiting = sockets.any(|socket| socket.local.is_none() && !socket.failed);
            if is_waiting || self.trials.iter().any(Trial::is_open) || self.phase == Phase::Done {
                return;
            }
            self.next_phase(now);
        }
    }

    fn next_phase(&mut self, now: Instant) {
        match self.phase {
            Phase::Filtering if !self.reached().is_empty() => {
                self.phase = Phase::Mapping;
                self.open(self.mapping_socket());
            }
            Phase::Mapping if self.hairpin_ends().is_some() => {
                self.phase = Phase::Hairpin;
                if let Some([one, other]) = self.hairpin_ends() {
                    // Both ways, so that each lets the other in.
                    self.ask(now, Question::Hairpin, one.2, (one.0, other.1, other.1));
                    self.ask(now, Question::Hairpin, one.2, (other.0, one.1, one.1));
                }
            }
            Phase::Filtering | Phase::Mapping | Phase::Hairpin => {
                self.phase = Phase::Done;
                for (&id, socket) in &self.sockets {
                    if socket.local.is_some() {
                        self.actions.push_back(Action::Close(id));
                    }
                }
                let report = Box::new(self.report(now));
                self.actions.push_back(Action::Done(report));
            }
            Phase::Done => {}
        }
    }

    /// The two sockets that a NAT translates, where each is seen, and by which server.
    fn hairpin_ends(&self) -> Option<[(SocketId, Endpoint, usize); 2]> {
        let mapping = self.mapping_socket();
        let local = self.sockets.get(&mapping)?.local?;
        let first = self
            .trials
            .iter()
            .find(|trial| trial.question == Question::MapFirst && trial.is_answered())?;
        let seen_at = first.mapped()?;
        if seen_at == local || local.ip().is_unspecified() {
            return None;
        }
        let index = first.server;
        let filtering = self.servers.get(index)?.seen_at?;
        Some([
            (mapping, seen_at, index),
            (socket_of(index), filtering, index),
        ])
    }

    fn open(&mut self, id: SocketId) {
        let socket = Socket {
            local: None,
            failed: false,
        };
        self.sockets.insert(id, socket);
        self.actions.push_back(Action::Open(id));
    }

    /// The servers that answered.
    fn reached(&self) -> Vec<(usize, Endpoint)> {
        let servers = self.servers.iter().enumerate();
        let reached = servers.filter(|(_, server)| server.seen_at.is_some());
        reached.map(|(index, server)| (index, server.at)).collect()
    }

    /// The socket that asks all servers where it is seen.
    const fn mapping_socket(&self) -> SocketId {
        socket_of(self.servers.len())
    }

    fn report(&self, now: Instant) -> Report {
        let mapping = self.mapping_socket();
        let mut seen = BTreeMap::new();
        let mut external = None;
        for trial in self.trials.iter().filter(|trial| trial.socket == mapping) {
            let (Some(mapped), true) = (trial.mapped(), trial.question != Question::Hairpin) else {
                continue;
            };
            seen.insert(trial.to, mapped);
            if trial.question == Question::MapFirst {
                external = external.or(Some(mapped));
            }
        }
        let servers: Vec<ServerReport> = (0..self.servers.len())
            .filter_map(|index| self.server_report(index))
            .collect();
        let none = self.whole_failure();
        let filtering = infer::agreed(servers.iter().map(|server| server.filtering));
        let hairpins = self
            .trials
            .iter()
            .filter(|trial| trial.question == Question::Hairpin);
        let hairpins: Vec<bool> = hairpins.map(Trial::is_answered).collect();
        let local = self.sockets.get(&mapping).and_then(|socket| socket.local);
        Report {
            family: self.family,
            started_at: self.started_at,
            ended_at: now,
            mapping: none.map_or_else(|| infer::mapping(&seen), Err),
            filtering: none.map_or(filtering, Err),
            local: local.filter(|local| !local.ip().is_unspecified()),
            external,
            externals: seen
                .values()
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            hairpin: (!hairpins.is_empty()).then(|| hairpins.contains(&true)),
            servers,
            trials: self.trials.clone(),
        }
    }

    /// Why there was nothing to learn at all.
    fn whole_failure(&self) -> Option<Unknown> {
        if self.servers.is_empty() {
            Some(Unknown::NoServer)
        } else if self.sockets.values().all(|socket| socket.failed) {
            Some(Unknown::NoSocket)
        } else {
            None
        }
    }

    fn server_report(&self, index: usize) -> Option<ServerReport> {
        let server = self.servers.get(index)?;
        let answered = |question| {
            let mut trials = self.trials.iter();
            trials.any(|trial| {
                trial.server == index && trial.question == question && trial.is_answered()
            })
        };
        let filtering = infer::Filtering {
            reached: answered(Question::Reach),
            has_other: server.other.is_some(),
            unsupported: server.unsupported,
            from_both: answered(Question::FilterBoth),
            from_port: answered(Question::FilterPort),
            both_lives: answered(Question::MapBoth),
            port_lives: answered(Question::MapOtherPort),
        };
        Some(ServerReport {
            at: server.at,
            other: server.other,
            software: server.software.clone(),
            filtering: filtering.finding(),
        })
    }
}

/// The socket that asks the server of this place about filtering, or the one after the last.
const fn socket_of(index: usize) -> SocketId {
    // At most MAX_SERVERS.
    SocketId(index.to_le_bytes()[0])
}

/// Whether a server's other endpoint can be what it says: another address and another port of the
/// same family, and none that the server may not vouch for. Otherwise it could make us send to our
/// own network.
fn is_other(at: Endpoint, other: Endpoint) -> bool {
    Family::of(at.ip()) == Family::of(other.ip())
        && at.ip() != other.ip()
        && at.port() != other.port()
        && other.is_dialable()
        && Reach::of(at.ip()).may_share(Reach::of(other.ip()))
}

fn request(trial: &Trial) -> Message {
    let message = Message::binding(Class::Request, trial.transaction);
    let change = match trial.question {
        Question::FilterBoth => Change {
            address: true,
            port: true,
        },
        Question::FilterPort => Change {
            address: false,
            port: true,
        },
        Question::Reach
        | Question::MapFirst
        | Question::MapOtherAddress
        | Question::MapOtherPort
        | Question::MapBoth
        | Question::Hairpin => return message.fingerprinted(true),
    };
    message
        .with(Attribute::ChangeRequest(change))
        .fingerprinted(true)
}

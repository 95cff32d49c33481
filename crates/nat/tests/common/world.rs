//! One survey, translators before it, servers behind them, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_core::Endpoint;
use peerage_nat::stun::{Attribute, Class, ErrorCode, Message, TransactionId};
use peerage_nat::survey::{Action, Settings, SocketId};
use peerage_nat::{Family, Report, Responder, ResponderLimits, Sites, Survey};
use peerage_testkit::Random;

use super::nat::Translator;
use super::{end, ms, start};

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    Good,
    /// Answers a CHANGE-REQUEST from where it was asked.
    IgnoresChange,
    /// Refuses it, though it says that it has another address.
    RefusesChange,
    /// The other address is dead.
    OtherIsDead,
    /// Tells everybody the same address.
    Lies(Endpoint),
    /// Says that its other address is this.
    Names(Endpoint),
}

pub(crate) struct Server {
    machine: Responder,
    manners: Manners,
}

impl Server {
    pub(crate) fn new(first: &str, other: &str, manners: Manners) -> Self {
        let sites = Sites::two(end(first), end(other)).unwrap();
        let machine = Responder::new(sites, ResponderLimits::default());
        Self { machine, manners }
    }

    pub(crate) fn alone(at: &str) -> Self {
        let sites = Sites::one(end(at)).unwrap();
        let machine = Responder::new(sites, ResponderLimits::default());
        let manners = Manners::Good;
        Self { machine, manners }
    }

    fn answer(
        &mut self,
        now: Instant,
        (from, to): (Endpoint, Endpoint),
        bytes: &[u8],
    ) -> Option<(Endpoint, Endpoint, Bytes)> {
        let leg = self.machine.leg_at(to)?;
        let mut reply = self.machine.handle_datagram(now, leg, from, bytes)?;
        let asks_elsewhere = reply.leg != leg;
        let mut message = Message::decode(&reply.datagram).unwrap();
        match self.manners {
            Manners::Good => {}
            Manners::IgnoresChange => reply.leg = leg,
            Manners::RefusesChange if asks_elsewhere => {
                reply.leg = leg;
                message.class = Class::Error;
                let reason = "".into();
                message.attributes = vec![Attribute::ErrorCode(ErrorCode { code: 420, reason })];
            }
            Manners::RefusesChange => {}
            Manners::OtherIsDead => {
                if leg.other_address || reply.leg.other_address {
                    return None;
                }
            }
            Manners::Lies(at) => {
                for attribute in &mut message.attributes {
                    if let Attribute::XorMappedAddress(mapped) = attribute {
                        *mapped = at;
                    }
                }
            }
            Manners::Names(at) => {
                for attribute in &mut message.attributes {
                    if let Attribute::OtherAddress(other) = attribute {
                        *other = at;
                    }
                }
            }
        }
        let bytes = message.encode().unwrap();
        Some((self.machine.site(reply.leg), reply.to, bytes))
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    /// From the survey outwards.
    pub(crate) nats: Vec<Box<dyn Translator>>,
    pub(crate) servers: Vec<Server>,
    pub(crate) loss_percent: u64,
    /// How many sockets cannot be had, from the first.
    pub(crate) closed_doors: u8,
    /// Datagrams that somebody forges to every socket as soon as it is open.
    pub(crate) forged: Vec<(Endpoint, Bytes)>,
    /// Everybody that the survey sent to.
    pub(crate) asked: BTreeSet<Endpoint>,
    /// What stood in what it sent.
    pub(crate) transactions: BTreeSet<TransactionId>,
    local: Endpoint,
    coin: Random,
    seed: u8,
    /// When, in order, which socket, from whom, what.
    inbox: BTreeMap<(Instant, u64), (SocketId, Endpoint, Bytes)>,
    order: u64,
    open: BTreeMap<SocketId, Endpoint>,
    pub(crate) opened: u32,
}

impl World {
    pub(crate) fn new(local: &str, seed: u8) -> Self {
        Self {
            now: start(),
            nats: Vec::new(),
            servers: Vec::new(),
            loss_percent: 0,
            closed_doors: 0,
            forged: Vec::new(),
            asked: BTreeSet::new(),
            transactions: BTreeSet::new(),
            local: end(local),
            coin: Random::new(seed.into()),
            seed,
            inbox: BTreeMap::new(),
            order: 0,
            open: BTreeMap::new(),
            opened: 0,
        }
    }

    pub(crate) fn behind(mut self, nat: impl Translator + 'static) -> Self {
        self.nats.push(Box::new(nat));
        self
    }

    pub(crate) fn with(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// Surveys the first endpoint of each server. Every socket is closed at the end.
    pub(crate) fn survey(&mut self) -> Report {
        let first = |server: &Server| server.machine.site(peerage_nat::Leg::FIRST);
        let servers: Vec<Endpoint> = self.servers.iter().map(first).collect();
        self.survey_of(&servers)
    }

    pub(crate) fn survey_of(&mut self, servers: &[Endpoint]) -> Report {
        let family = Family::of(self.local.ip());
        let settings = Settings::default();
        let mut survey = Survey::new(self.now, family, servers, settings, [self.seed; 16]);
        for _ in 0..10_000 {
            while let Some(action) = survey.poll_action() {
                if let Some(report) = self.perform(&mut survey, action) {
                    assert!(
                        self.open.is_empty(),
                        "sockets are left open: {:?}",
                        self.open
                    );
                    assert!(survey.poll_action().is_none() && survey.is_over());
                    return report;
                }
            }
            let timer = survey.poll_timeout().map(|wakeup| wakeup.at);
            let mail = self.inbox.first_key_value().map(|((at, _), _)| *at);
            match (timer, mail) {
                (timer, Some(at)) if timer.is_none_or(|timer| at <= timer) => {
                    let (_, (socket, from, bytes)) = self.inbox.pop_first().unwrap();
                    self.now = at;
                    survey.handle_datagram(at, socket, from, &bytes);
                }
                (Some(at), _) => {
                    self.now = self.now.max(at);
                    survey.handle_timeout(self.now);
                }
                (None, _) => panic!("it waits for nothing and is not over"),
            }
        }
        panic!("no end");
    }

    fn perform(&mut self, survey: &mut Survey, action: Action) -> Option<Report> {
        match action {
            Action::Open(socket) => {
                self.opened += 1;
                if socket.0 < self.closed_doors {
                    survey.handle_open_failed(self.now, socket);
                } else {
                    let at = Endpoint::new(self.local.ip(), 40_000 + u16::from(socket.0));
                    assert!(self.open.insert(socket, at).is_none(), "{socket:?} twice");
                    survey.handle_opened(self.now, socket, at);
                    for (from, bytes) in &self.forged {
                        survey.handle_datagram(self.now, socket, *from, bytes);
                    }
                }
            }
            Action::Transmit {
                socket,
                to,
                datagram,
            } => {
                self.asked.insert(to);
                let message = Message::decode(&datagram).unwrap();
                self.transactions.insert(message.transaction);
                let from = self.open[&socket];
                self.outwards(0, from, to, &datagram);
            }
            Action::Close(socket) => assert!(self.open.remove(&socket).is_some()),
            Action::Done(report) => return Some(*report),
        }
        None
    }

    /// A datagram has passed so many translators.
    fn outwards(&mut self, passed: usize, from: Endpoint, to: Endpoint, bytes: &Bytes) {
        if self.coin.below(100) < self.loss_percent {
            return;
        }
        let mut from = from;
        for level in passed..self.nats.len() {
            from = self.nats[level].out(self.now, from, to);
            if self.nats[level].is_outside(to) {
                if self.nats[level].hairpins() {
                    self.inwards(level + 1, from, to, bytes);
                }
                return;
            }
        }
        let mut answers = Vec::new();
        for server in &mut self.servers {
            answers.extend(server.answer(self.now, (from, to), bytes));
        }
        for (from, to, bytes) in answers {
            if self.coin.below(100) >= self.loss_percent {
                self.inwards(self.nats.len(), from, to, &bytes);
            }
        }
    }

    /// A datagram has so many translators before it.
    fn inwards(&mut self, left: usize, from: Endpoint, to: Endpoint, bytes: &Bytes) {
        let mut to = to;
        for level in (0..left).rev() {
            match self.nats[level].within(self.now, from, to) {
                Some(inside) => to = inside,
                None => return,
            }
        }
        let socket = self.open.iter().find(|(_, at)| **at == to);
        if let Some((&socket, _)) = socket {
            self.order += 1;
            let at = self.now + ms(20 + self.coin.below(20));
            self.inbox
                .insert((at, self.order), (socket, from, bytes.clone()));
        }
    }
}

/// The most a survey may take.
pub(crate) const LONGEST: Duration = Duration::from_secs(22);

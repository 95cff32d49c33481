//! A node that finds, dials, greets and keeps peers: the machines that do so outside, joined in
//! virtual time as `peerage-node` joins them in real time.

mod dialling;
mod gossip;
mod greeting;
mod streams;
mod talking;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use peerage_book::{Book, DialId, Occupied, Snapshot, Tip};
use peerage_core::{Failure, Reason, Session, Wakeup};
use peerage_discv5::rng::Rng;
use peerage_peers::{Admission, AdmissionRules, Parting, SessionId, Table};

use super::net::{MessageOf, Net};
use super::session::Attended;
use super::tally::Tally;
use crate::machine::{Now, Output};
use crate::seed::Seed;
use crate::stream::{Order, StreamId};

/// How often the book is asked for a dial although nothing happened that we know of.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long seeds rest that told of somebody new, and at first those that did not; then twice as
/// long each time. See `peerage-find`.
const SEEDS_REST: Duration = Duration::from_secs(11 * 60);
const SEEDS_FIRST_REST: Duration = Duration::from_secs(30);

/// How many a seed tells of: an answer of DNS that fits into one datagram.
const SEEDS_TELL: usize = 25;

/// What a keeper is made of.
#[derive(Debug)]
pub struct Setup<N: Net> {
    /// Who it is.
    pub local: N::Local,
    /// Limits and deadlines of sessions.
    pub peers: peerage_peers::Config,
    /// What to remember, and for how long.
    pub book: peerage_book::Config,
    /// Whom seeds tell of, a few each time they are asked.
    pub seeds: Vec<SocketAddr>,
    /// Where its randomness comes from.
    pub seed: [u8; 32],
    /// What it remembers of an earlier life.
    pub remembered: Snapshot,
}

/// What a keeper tells: nothing, for it counts.
pub type Never = std::convert::Infallible;

/// A node that keeps peers.
pub struct Keeper<N: Net> {
    local: N::Local,
    table: Table<N::Types>,
    book: Book,
    admission: Admission,
    attempt_limit: Duration,
    sessions: BTreeMap<SessionId, Attended<N>>,
    by_stream: BTreeMap<StreamId, SessionId>,
    alarms: BTreeSet<(Instant, SessionId)>,
    permits: BTreeMap<u64, SessionId>,
    in_book: BTreeMap<SessionId, DialId>,
    occupied: Occupied,
    may_dial: bool,
    is_hungry: bool,
    look_at: Instant,
    seeds: Vec<SocketAddr>,
    seeds_at: Instant,
    seeds_rest: Duration,
    given: BTreeSet<SocketAddr>,
    /// Whom the operator banned, to be checked against.
    banned: BTreeSet<IpAddr>,
    next_stream: u64,
    rng: Rng,
    outbox: VecDeque<Output<Never>>,
    tally: Tally,
    now: Now,
}

impl<N: Net> Keeper<N> {
    /// A node that begins now.
    ///
    /// # Panics
    /// When the configuration makes no sense.
    pub fn new(setup: Setup<N>, now: Now) -> Self {
        let mut rng = Rng::new(setup.seed);
        let book = Book::new(setup.book, rng.bytes(), book_now(now));
        let mut book = book.unwrap_or_else(|error| panic!("the book: {error}"));
        book.tell_none();
        let _refused = book.import(book_now(now), setup.remembered);
        let attempt_limit = setup.peers.deadlines.attempt;
        let mut peers = setup.peers;
        let admission = AdmissionRules::default();
        peers.limits.pending_in = admission.sockets.max(peers.limits.pending_in);
        let table = Table::new(peers, N::status(&setup.local), rng.bytes(), now.at);
        let table = table.unwrap_or_else(|error| panic!("the table: {error}"));
        Self {
            table,
            book,
            admission: Admission::new(admission),
            attempt_limit,
            sessions: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            alarms: BTreeSet::new(),
            permits: BTreeMap::new(),
            in_book: BTreeMap::new(),
            occupied: Occupied::default(),
            may_dial: true,
            is_hungry: true,
            look_at: now.at,
            seeds: setup.seeds,
            seeds_at: now.at,
            seeds_rest: SEEDS_FIRST_REST,
            given: BTreeSet::new(),
            banned: BTreeSet::new(),
            next_stream: 0,
            rng,
            outbox: VecDeque::new(),
            tally: Tally::default(),
            now,
            local: setup.local,
        }
    }

    /// Its peer table.
    pub const fn table(&self) -> &Table<N::Types> {
        &self.table
    }

    /// Its book.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Who it is.
    pub const fn local(&self) -> &N::Local {
        &self.local
    }

    /// What it counted.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many established peers it dialled, and how many dialled it.
    pub fn peers(&self) -> (usize, usize) {
        let [inbound, outbound] = self.table.overview(self.now.at).active;
        (outbound, inbound)
    }

    /// Whether everything derived follows, and every bound holds.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), String> {
        self.table.check()?;
        self.book.audit().map_err(|error| error.to_string())?;
        let config = self.table.config();
        let most = config.limits.active_in
            + config.limits.active_out
            + config.limits.pending_in
            + config.limits.pending_out
            + config.limits.refusing
            + config.limits.closing;
        let holds = [
            ("the number of sessions", self.sessions.len() <= most),
            (
                "the index of streams",
                self.by_stream.len() == self.sessions.len(),
            ),
            ("the queue of the table", self.table.waiting() == 0),
            ("the outbox", self.outbox.is_empty()),
            (
                "a session of the book is one of ours",
                self.in_book.keys().all(|id| self.sessions.contains_key(id)),
            ),
            (
                "what a session holds",
                self.sessions.values().all(|session| {
                    session.input.len() <= <N::Session as Session>::MAX_WIRE_LEN + (64 << 10)
                        && session.held.len() <= 4096
                }),
            ),
        ];
        match holds.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err((*what).to_owned()),
            None => Ok(()),
        }
    }

    /// Bans an address for good and ends the sessions with it, as an operator would.
    pub fn ban(&mut self, now: Now, ip: IpAddr) {
        self.now = now;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let Ok(prefix) = peerage_book::Prefix::new(ip, bits) else {
            return;
        };
        let subject = peerage_book::Subject::Net(prefix);
        let by = peerage_book::By::Operator;
        let banned = self.book.ban(book_now(now), subject, by, None, "a test");
        if banned.is_ok() {
            self.banned.insert(ip);
        }
        for peer in self.table.peers(now.at) {
            if peer
                .addr
                .and_then(|addr| addr.transient_addr())
                .map(|at| at.ip())
                == Some(ip)
            {
                let reason = self.book.admits(None, Some(ip)).err();
                // It may have ended a moment ago.
                let _dead = self
                    .table
                    .disconnect(now.at, peer.id, Parting::Requested, reason);
            }
        }
        self.settle();
    }

    /// The network's rules change.
    pub fn upgrade(&mut self, now: Now) {
        self.now = now;
        N::upgrade(&mut self.local);
        let status = N::status(&self.local);
        let _gone = self.table.set_status(now.at, status);
        self.settle();
    }

    /// Says goodbye to everybody, as a node does that stops.
    pub fn stop(&mut self, now: Now) {
        self.now = now;
        self.table.stop(now.at);
        self.settle();
    }

    /// Candidates were found.
    pub fn found(&mut self, now: Now, tips: impl IntoIterator<Item = Tip>) {
        self.now = now;
        self.may_dial = true;
        for tip in tips {
            // What is not taken, the book says why.
            let _refused = self.book.add(book_now(now), tip);
        }
        self.settle();
    }

    pub(super) fn poll(&mut self) -> Option<Output<Never>> {
        self.outbox.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Wakeup> {
        let seeds = (self.is_hungry && !self.seeds.is_empty()).then_some(self.seeds_at);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let own = [
            Some((self.look_at, "whether somebody can be dialled")),
            seeds.map(|at| (at, "seeds are asked")),
            alarm.map(|at| (at, "a handshake")),
        ];
        let own = own
            .into_iter()
            .flatten()
            .map(|(at, why)| Wakeup { at, why });
        let others = [self.table.poll_timeout(), self.book.wakeup()];
        let all = own.chain(others.into_iter().flatten());
        all.min_by_key(|wakeup| wakeup.at)
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.table.handle_timeout(now.at);
        let due = self.book.wakeup().is_some_and(|wakeup| wakeup.at <= now.at);
        let looks = self.look_at <= now.at;
        if looks {
            self.look_at = now.at + LOOK_EVERY;
            self.ask_somebody_again();
        }
        self.may_dial |= due || looks;
        self.book.handle_timeout(book_now(now));
        if self.is_hungry && self.seeds_at <= now.at {
            self.ask_seeds();
        }
        while let Some((at, id)) = self.alarms.first().copied()
            && at <= now.at
        {
            self.alarms.pop_first();
            self.alarmed(id);
        }
        self.settle();
    }

    /// Seeds tell of some; each is taken once.
    fn ask_seeds(&mut self) {
        let now = self.now;
        let source = peerage_book::Source::Seed("seed".into());
        let mut news = 0;
        for _ in 0..SEEDS_TELL.min(self.seeds.len()) {
            let at = self.seeds[self.rng.below(self.seeds.len())];
            if self.given.insert(at) {
                news += 1;
                let tip = Tip::at(at.into(), source.clone());
                // What is not taken, the book says why.
                let _refused = self.book.add(book_now(now), tip);
            }
        }
        self.may_dial = true;
        let rest = if news > 0 {
            self.seeds_rest = SEEDS_FIRST_REST;
            SEEDS_REST
        } else {
            let rest = self.seeds_rest;
            self.seeds_rest = (2 * rest).min(SEEDS_REST);
            rest
        };
        self.seeds_at = now.at + rest;
    }

    /// Brings everything to rest: what the machines want done is done.
    fn settle(&mut self) {
        loop {
            self.dial();
            while let Some(action) = self.book.poll_action() {
                // Nobody here has a name.
                let peerage_book::Action::Resolve { .. } = action;
            }
            let mut acted = false;
            while let Some(action) = self.table.poll_action() {
                acted = true;
                self.act(action);
            }
            if !acted {
                return;
            }
        }
    }

    fn order(&mut self, stream: StreamId, order: Order) {
        self.outbox.push_back(Output::Stream(stream, order));
    }
}

impl<N: Net> std::fmt::Debug for Keeper<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("sessions", &self.sessions.len())
            .field("known", &self.book.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn encode<N: Net>(
    codec: &mut N::Session,
    message: &MessageOf<N>,
) -> Result<Vec<u8>, Reason> {
    let mut bytes = bytes::BytesMut::new();
    codec
        .encode(message, &mut bytes)
        .map_err(|error| error.reason())?;
    Ok(bytes.to_vec())
}

pub(super) const fn book_now(now: Now) -> peerage_book::Now {
    peerage_book::Now {
        at: now.at,
        wall: now.wall,
    }
}

/// The randomness of a keeper's life: another one after each restart.
pub(super) fn life_seed(seed: Seed, n: usize, life: u64) -> [u8; 32] {
    seed.derive("keeper", (life << 32) | n as u64)
}

//! The machine that joins all the parts: one node of the network.
//!
//! ```text
//!            handle_datagram ──► inbound ──┬─ request ──► answers ──► Transmit
//!                                          └─ response ─► replies ──► Event, next step of a search
//! start_*, upkeep, searches ──► calls ──► Transmit
//! ```
//!
//! It opens no socket and reads no clock. The whole of its behaviour follows from its seed and the
//! order of the calls.

mod action;
mod answers;
mod calls;
mod config;
mod inbound;
mod metrics;
mod own;
mod replies;
mod search;
mod searches;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use peerage_core::{Endpoint, Wakeup};

pub use action::{
    Action, Answer, Event, NotDiscoverable, Received, RequestError, RequestHandle, SearchId,
    TalkTicket,
};
pub use answers::{AlreadyRegistered, MAX_TALK_RESPONSE};
pub use config::Config;
pub use metrics::Metrics;
pub use search::Filter;

use crate::address::{Contact, Reach};
use crate::challenge::Challenges;
use crate::cipher::Mask;
use crate::curve::SecretKey;
use crate::limit::{Bans, Limiter};
use crate::node_id::NodeId;
use crate::packet::{Packet, PacketError};
use crate::record::{Builder, Family, Record, RecordError, Verified, Verifier};
use crate::rng::Rng;
use crate::session::Sessions;
use crate::table::{Added, Table};
use crate::votes::Votes;
use answers::Talks;
use calls::Calls;
use searches::Searches;
use upkeep::Upkeep;

/// One node of the network, without its socket.
///
/// # Contract
/// Change it with one call; then drain [`Self::poll_action`]; then ask [`Self::poll_timeout`] and
/// call [`Self::handle_timeout`] when that time has come. No call does anything else, and none
/// panics whatever a stranger sends. `now` must not run backwards.
///
/// ```
/// use std::net::SocketAddr;
/// use peerage_discv5::curve::SecretKey;
/// use peerage_discv5::discovery::{Action, Answer, Config, Discovery, Event, Received};
/// use peerage_discv5::record::Builder;
///
/// let addr = |n: u8| SocketAddr::from(([127, 0, 0, n], 9000));
/// let node = |n: u8| {
///     let key = SecretKey::from_bytes([n; 32]).unwrap();
///     let record = Builder::new(1).ip(addr(n).ip()).udp4(9000);
///     Discovery::new(Config::default(), key, record, [n; 32]).unwrap()
/// };
/// # let now = std::time::Instant::now();
/// let mut nodes = [node(1), node(2)];
/// let two = nodes[1].record().clone();
/// nodes[0].start_ping(now, &two)?;
///
/// // No socket: datagrams are carried by hand, until the first node has its answer.
/// let observed = 'answered: loop {
///     for (from, to) in [(0, 1), (1, 0)] {
///         while let Some(action) = nodes[from].poll_action() {
///             match action {
///                 Action::Transmit { mut datagram, .. } => {
///                     let source = addr(from as u8 + 1);
///                     let taken = nodes[to].handle_datagram(now, source, &mut datagram);
///                     assert_eq!(taken, Received::Taken);
///                 }
///                 Action::Event(Event::Answered { result, .. }) => break 'answered result?,
///                 Action::Event(_) => {}
///             }
///         }
///     }
/// };
/// assert_eq!(observed, Answer::Pong { record_seq: 1, observed: addr(1).into() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Discovery {
    config: Config,
    key: SecretKey,
    record: Record,
    mask: Mask,
    rng: Rng,
    table: Table,
    sessions: Sessions,
    challenges: Challenges,
    verifier: Verifier,
    votes: Votes,
    bans: Bans,
    challenge_limit: Limiter,
    handshake_limit: Limiter,
    answer_limit: Limiter,
    calls: Calls,
    searches: Searches,
    talks: Talks,
    upkeep: Upkeep,
    metrics: Metrics,
    actions: VecDeque<Action>,
    /// The latest time that a call has named: what is banned then gets no place.
    latest: Option<Instant>,
}

impl Discovery {
    /// A node with this key. `record` may continue the node's previous record
    /// ([`Record::to_builder`]), so that its sequence number goes on. `seed` is 32 unpredictable
    /// bytes, or in a simulation whatever makes the run repeatable.
    ///
    /// # Errors
    /// When the record cannot be signed with the key.
    pub fn new(
        config: Config,
        key: SecretKey,
        record: Builder,
        seed: [u8; 32],
    ) -> Result<Self, RecordError> {
        let record = record.sign(&key)?;
        let node_id = record.node_id();
        let mut rng = Rng::new(seed);
        let limiter = |(group, total)| Limiter::new(group, total, config.max_groups);
        Ok(Self {
            mask: Mask::new(&node_id),
            table: Table::new(node_id, config.table, config.metric),
            sessions: Sessions::new(config.max_sessions, config.max_expanded, config.key_overlap),
            challenges: Challenges::new(
                config.max_challenges,
                config.handshake_timeout,
                config.handshake_attempts,
            ),
            verifier: Verifier::new(config.max_verified),
            votes: Votes::new(config.votes),
            bans: Bans::new(config.max_bans),
            challenge_limit: limiter(config.challenge_rate),
            handshake_limit: limiter(config.handshake_rate),
            answer_limit: limiter(config.answer_rate),
            calls: Calls::new(rng.u64()),
            searches: Searches::default(),
            talks: Talks::default(),
            upkeep: Upkeep::default(),
            metrics: Metrics::default(),
            actions: VecDeque::new(),
            latest: None,
            config,
            key,
            record,
            rng,
        })
    }

    /// A datagram has come. It is decrypted where it lies.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Received {
        let from = Endpoint::from(from);
        self.latest = Some(now);
        self.metrics.datagrams_in += 1;
        self.metrics.bytes_in += datagram.len() as u64;
        if !self.admits(now, from) {
            self.metrics.not_admitted += 1;
            return Received::Taken;
        }
        match Packet::unmask(&self.mask, self.config.protocol, datagram) {
            Ok(packet) => self.handle_packet(now, from, packet),
            Err(error) => return self.on_bad_packet(error),
        }
        Received::Taken
    }

    fn on_bad_packet(&mut self, error: PacketError) -> Received {
        if error.is_foreign() {
            self.metrics.foreign += 1;
            return Received::Foreign;
        }
        self.metrics.malformed += 1;
        Received::Taken
    }

    /// The time that [`Self::poll_timeout`] named has come, or any other.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.latest = Some(now);
        self.challenges.expire(now);
        self.expire_talks(now);
        self.expire_calls(now);
        self.run_upkeep(now);
    }

    /// What to do next, if anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        let wakeup = |at: Option<Instant>, why| at.map(|at| Wakeup { at, why });
        [
            wakeup(self.calls.next_deadline(), "a request is unanswered"),
            wakeup(self.challenges.next_end(), "a challenge ends"),
            wakeup(self.talks.next_deadline(), "a talk request is unanswered"),
            self.upkeep.next_wakeup(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|wakeup| wakeup.at)
    }

    /// How the node behaves.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The node's key.
    pub const fn secret_key(&self) -> &SecretKey {
        &self.key
    }

    /// The node's id.
    pub const fn node_id(&self) -> NodeId {
        self.record.node_id()
    }

    /// The node's own record.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Whom the node knows.
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The sessions.
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// How many nodes have been discovered and have a place.
    pub fn nodes_discovered(&self) -> usize {
        self.table.len()
    }

    /// Offers a verified node to the table. True only if it has newly got a place: not if it
    /// waits for one, was updated, or was refused because of its address or a ban.
    pub fn add_node(&mut self, record: &Record) -> bool {
        self.verifier.remember(record);
        self.learn(record) == Some(Added::Inserted)
    }

    /// Nodes known to be good, those seen last first within each bucket: to be stored, and given to
    /// [`Self::add_node`] at the next start.
    pub fn good_nodes(&self) -> impl Iterator<Item = &Record> {
        let seen = self.table.nodes().filter(|entry| entry.seen);
        seen.map(|entry| &entry.record)
    }

    /// At most `count` random nodes of the table that `wanted` accepts.
    pub fn random_nodes(&mut self, count: usize, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        let found = self
            .table
            .random_nodes(&mut self.rng, count, |entry| wanted(&entry.record));
        found.iter().map(|entry| entry.record.clone()).collect()
    }

    /// Bans a node for the configured time: what it sends is dropped and it is not asked.
    pub fn ban_node(&mut self, now: Instant, node: NodeId) {
        let duration = self.config.ban_duration;
        self.latest = Some(now);
        self.bans.ban_node(node, now + duration);
        self.remove_node(&node);
        self.event(Event::Banned(node, duration));
    }

    /// The bans, to be looked at, extended or lifted.
    pub const fn bans_mut(&mut self) -> &mut Bans {
        &mut self.bans
    }

    /// The counters, and the gauges of now.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            table_total: self.table.len(),
            table_seen: self.table.seen_len(),
            sessions: self.sessions.len(),
            requests_open: self.calls.len(),
            ..self.metrics
        }
    }

    /// Ends everything: requests and searches of the caller's end with what they have.
    pub fn close(&mut self) {
        self.upkeep = Upkeep::default();
        self.close_calls();
        self.close_searches();
    }

    fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    fn transmit(&mut self, to: Endpoint, datagram: Vec<u8>) {
        self.metrics.datagrams_out += 1;
        self.metrics.bytes_out += datagram.len() as u64;
        self.actions.push_back(Action::Transmit { to, datagram });
    }

    /// Whether an address may talk to us and we to it.
    fn admits(&self, now: Instant, endpoint: Endpoint) -> bool {
        let ip = endpoint.ip();
        self.config.access.admits(ip) && !self.bans.has_ip(now, ip)
    }

    /// Whether neither a node nor its address is banned or not permitted.
    fn may_talk_to(&self, now: Instant, contact: &Contact) -> bool {
        self.admits(now, contact.endpoint) && !self.bans.has_node(now, &contact.node)
    }

    /// The addresses that a record names, of families we have a socket for.
    fn named_by(&self, record: &Record) -> [Option<Endpoint>; 2] {
        Family::BOTH.map(|family| {
            let endpoint: Endpoint = record.udp_endpoint(family)?;
            let has_socket = self.config.families().any(|ours| ours == family);
            // An `ip6` entry that maps an IPv4 address is none of either family.
            let is_of_family = Family::of(endpoint.ip()) == family;
            (has_socket && is_of_family && endpoint.is_dialable()).then_some(endpoint)
        })
    }

    /// Whether a record names this address.
    fn names(&self, record: &Record, endpoint: Endpoint) -> bool {
        self.named_by(record).contains(&Some(endpoint))
    }

    /// The addresses of a record that we may send to, the preferred first. Beside a public address a
    /// private one does not count: who may vouch for the one could make us talk to our own network
    /// by the other, and fill the table past its limits by address.
    fn endpoints_of(&self, record: &Record) -> impl Iterator<Item = Endpoint> + use<> {
        let named = self.named_by(record);
        let reach = |endpoint: Endpoint| Reach::of(endpoint.ip());
        let is_widest = move |endpoint: &Endpoint| {
            let mut all = named.into_iter().flatten();
            all.all(|other| reach(other).may_share(reach(*endpoint)))
        };
        named.into_iter().flatten().filter(is_widest)
    }

    /// Verifies a record that came from a stranger, and tells if it is news.
    fn verify(&mut self, record: crate::record::Unverified) -> Result<Record, RecordError> {
        match self.verifier.verify(record) {
            Ok(Verified::Fresh(record)) => {
                self.metrics.records_verified += 1;
                if record.node_id() != self.node_id() {
                    self.event(Event::Found(record.clone()));
                }
                Ok(record)
            }
            Ok(known) => {
                self.metrics.records_known += 1;
                Ok(known.into_record())
            }
            Err(error) => {
                self.metrics.records_forged += 1;
                Err(error)
            }
        }
    }

    /// Offers a node to the table.
    fn learn(&mut self, record: &Record) -> Option<Added> {
        let id = record.node_id();
        let endpoint = self.endpoints_of(record).next()?;
        let is_banned = |now| self.bans.has_node(now, &id) || self.bans.has_ip(now, endpoint.ip());
        if !self.config.access.admits(endpoint.ip()) || self.latest.is_some_and(is_banned) {
            return None;
        }
        let added = self.table.add(record.clone(), endpoint);
        if added == Added::Inserted {
            self.event(Event::NodeAdded(id));
        }
        Some(added)
    }

    fn remove_node(&mut self, node: &NodeId) {
        let failed = self.table.replace(node);
        self.tell_replaced(*node, failed);
    }

    fn tell_replaced(&mut self, node: NodeId, failed: crate::table::Failed) {
        let crate::table::Failed::Replaced(promoted) = failed else {
            return;
        };
        self.event(Event::NodeRemoved(node));
        if let Some(promoted) = promoted {
            self.event(Event::NodeAdded(promoted));
        }
    }

    /// The newest record we hold of a node, wherever it is.
    fn known_record(&self, contact: &Contact) -> Option<Record> {
        let of_session = self.sessions.of(contact).map(|s| s.record().clone());
        let of_table = self.table.node(&contact.node).map(|e| e.record.clone());
        [of_session, of_table]
            .into_iter()
            .flatten()
            .max_by_key(|record| record.seq())
    }
}

/// By number of request, search or ticket.
type ById<T> = BTreeMap<u64, T>;

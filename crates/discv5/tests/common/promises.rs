//! What a machine promises, recounted from outside after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use peerage_discv5::NodeId;
use peerage_discv5::address::{Contact, Group, Reach};
use peerage_discv5::discovery::{
    Action, Answer, Discovery, Event, MAX_TALK_RESPONSE, Received, RequestError, RequestHandle,
    SearchId, TalkTicket,
};
use peerage_discv5::record::{Family, Record, Unverified};
use peerage_discv5::table::{Entry, Limits, Table};

use super::operations::Parcel;

/// A machine, and what has been seen of it from outside.
pub(crate) struct Watched {
    pub(crate) machine: Discovery,
    pub(crate) addr: SocketAddr,
    /// What has happened to it, in words.
    pub(crate) words: BTreeSet<&'static str>,
    table: BTreeSet<NodeId>,
    sessions: BTreeSet<Contact>,
    requests: BTreeSet<RequestHandle>,
    searches: BTreeSet<SearchId>,
    talks: Vec<TalkTicket>,
    /// Addresses of records it has got, and those that have proved to be someone's.
    may_be_asked: BTreeSet<SocketAddr>,
    /// Those of them that its caller has named, or that have proved to be someone's.
    told: BTreeSet<SocketAddr>,
    /// Bytes from and to each address.
    traffic: BTreeMap<SocketAddr, (usize, usize)>,
    given: (u64, u64),
    sent: (u64, u64),
    record_seq: u64,
}

impl Watched {
    pub(crate) fn new(machine: Discovery, addr: SocketAddr) -> Self {
        Self {
            addr,
            words: BTreeSet::new(),
            table: BTreeSet::new(),
            sessions: BTreeSet::new(),
            requests: BTreeSet::new(),
            searches: BTreeSet::new(),
            talks: Vec::new(),
            may_be_asked: BTreeSet::new(),
            told: BTreeSet::new(),
            traffic: BTreeMap::new(),
            given: (0, 0),
            sent: (0, 0),
            record_seq: machine.record().seq(),
            machine,
        }
    }

    /// Another machine stands in its place.
    pub(crate) fn replace(&mut self, machine: Discovery) {
        assert_eq!(machine.node_id(), self.machine.node_id());
        assert!(machine.record().seq() >= self.record_seq);
        let words = std::mem::take(&mut self.words);
        *self = Self {
            words,
            ..Self::new(machine, self.addr)
        };
    }

    /// It has been told of a record by its caller, so it may ask there.
    pub(crate) fn named(&mut self, record: &Record) {
        self.may_be_asked.extend(addresses(record));
        self.told.extend(addresses(record));
    }

    pub(crate) fn asked(&mut self, asked: Result<RequestHandle, RequestError>) {
        match asked {
            Ok(handle) => assert!(self.requests.insert(handle), "each its own"),
            Err(RequestError::Timeout | RequestError::Invalid) => panic!("it was never sent"),
            Err(_) => drop(self.words.insert("refused")),
        }
    }

    pub(crate) fn searched(&mut self, begun: Result<SearchId, RequestError>) {
        match begun {
            Ok(id) => assert!(self.searches.insert(id), "each its own"),
            Err(error) => assert!(matches!(error, RequestError::Busy { .. })),
        }
    }

    pub(crate) fn answer_talk(&mut self, payload: &[u8]) {
        if let Some(ticket) = self.talks.pop() {
            let answered = self.machine.answer_talk(ticket, payload);
            assert!(!answered || payload.len() <= MAX_TALK_RESPONSE);
        }
    }

    /// Whether something has been begun that has not ended.
    pub(crate) fn awaits(&self) -> bool {
        !self.requests.is_empty() || !self.searches.is_empty()
    }

    pub(crate) fn receive(&mut self, now: Instant, parcel: Parcel) {
        let mut datagram = parcel.bytes.clone();
        self.given.0 += 1;
        self.given.1 += datagram.len() as u64;
        self.traffic.entry(parcel.from).or_default().0 += datagram.len();
        if self
            .machine
            .handle_datagram(now, parcel.from, &mut datagram)
            == Received::Foreign
        {
            assert_eq!(datagram, parcel.bytes, "left as it came");
        }
    }

    /// Takes up all that the machine wants done; what it sends, and to whom.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Event(event) => self.on_event(event),
                Action::Transmit { to, datagram } => sent.push((to.socket_addr(), datagram)),
            }
        }
        for (to, datagram) in &sent {
            self.sent.0 += 1;
            self.sent.1 += datagram.len() as u64;
            self.check_sent(now, *to, datagram.len());
        }
        self.check(now);
        sent
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Found(record) => {
                assert_ne!(record.node_id(), self.machine.node_id());
                let read = Unverified::decode(record.as_bytes()).unwrap();
                assert_eq!(
                    read.verify().unwrap(),
                    record,
                    "nothing is found unverified"
                );
                self.may_be_asked.extend(addresses(&record));
            }
            Event::NodeAdded(id) => assert!(self.table.insert(id), "told twice"),
            Event::NodeRemoved(id) => assert!(self.table.remove(&id), "it had no place"),
            Event::SessionUp {
                contact, record, ..
            } => {
                assert_eq!(record.node_id(), contact.node);
                self.sessions.insert(contact);
                let proven = contact.endpoint.socket_addr();
                self.may_be_asked.insert(proven);
                self.told.insert(proven);
                self.words.insert("met");
            }
            Event::SessionDown(contact) => {
                self.sessions.remove(&contact);
                self.words.insert("parted");
            }
            Event::OtherAddress(_) => drop(self.words.insert("elsewhere")),
            Event::Answered { request, result } => {
                assert!(self.requests.remove(&request), "one end for each request");
                self.words.insert(match result {
                    Ok(Answer::Pong { .. }) => "pong",
                    Ok(Answer::Nodes(nodes)) => {
                        let most = self.machine.config().accepted_records;
                        check_found(&nodes, most);
                        "nodes"
                    }
                    Ok(Answer::Talk(_)) => "talk",
                    Err(RequestError::Timeout) => "timeout",
                    Err(RequestError::Invalid) => "invalid",
                    Err(RequestError::NotAdmitted) => "barred",
                    Err(error) => panic!("{error} after it was sent"),
                });
            }
            Event::SearchDone { search, nodes } => {
                assert!(self.searches.remove(&search), "one end for each search");
                check_found(&nodes, usize::MAX);
                self.words
                    .insert(if nodes.is_empty() { "lost" } else { "found" });
            }
            Event::Talk {
                ticket,
                contact,
                record,
                ..
            } => {
                assert_eq!(record.node_id(), contact.node);
                assert!(!self.talks.contains(&ticket));
                self.talks.push(ticket);
            }
            Event::RecordChanged(record) => {
                assert!(record.seq() > self.record_seq);
                self.record_seq = record.seq();
                self.words.insert("moved");
            }
            Event::Banned(..) => drop(self.words.insert("banned")),
            Event::Outage => drop(self.words.insert("outage")),
            _ => {}
        }
    }

    /// To an address that nobody has named and that has proved nothing goes no more than came.
    fn check_sent(&mut self, now: Instant, to: SocketAddr, len: usize) {
        assert!((63..=1280).contains(&len), "{len} bytes");
        assert!(to.port() != 0 && !to.ip().is_unspecified());
        let canonical = SocketAddr::new(to.ip().to_canonical(), to.port());
        assert_eq!(to, canonical, "no mapped address");
        assert!(
            !self.machine.bans_mut().has_ip(now, to.ip()),
            "{to} is banned"
        );
        let traffic = self.traffic.entry(to).or_default();
        traffic.1 += len;
        // Every other party is in the same kind of network as this machine.
        let may_be_vouched_for = Reach::of(self.addr.ip()).may_share(Reach::of(to.ip()));
        let came = traffic.0 > 0;
        assert!(
            may_be_vouched_for || came || self.told.contains(&to),
            "an outsider sends us to {to}"
        );
        if !self.may_be_asked.contains(&to) {
            let (inn, out) = *traffic;
            assert!(out <= inn, "{out} bytes to {to}, which sent {inn}");
        }
    }

    fn check(&mut self, now: Instant) {
        let config = self.machine.config().clone();
        let metrics = self.machine.metrics();
        assert_eq!((metrics.datagrams_in, metrics.bytes_in), self.given);
        assert_eq!((metrics.datagrams_out, metrics.bytes_out), self.sent);
        assert!(metrics.requests_open <= config.max_requests);
        assert_eq!(self.machine.record().seq(), self.record_seq);

        let sessions = self.machine.sessions();
        assert!(sessions.len() <= config.max_sessions);
        let hot = sessions.iter().filter(|(_, s)| s.sealer().is_some());
        assert!(hot.count() <= config.max_expanded);
        for contact in &self.sessions {
            assert!(sessions.of(contact).is_some(), "{contact:?} went unsaid");
        }

        let table = self.machine.table();
        let ids: BTreeSet<_> = table.nodes().map(Entry::id).collect();
        assert_eq!(ids, self.table, "as its events tell");
        check_table(table, &config.table, self.machine.node_id());
        assert_eq!(metrics.table_total, ids.len());
        let seen = table.nodes().filter(|entry| entry.seen).count();
        assert_eq!(metrics.table_seen, seen);
        for id in ids {
            let is_banned = self.machine.bans_mut().has_node(now, &id);
            assert!(!is_banned, "{id:?} is banned and has a place");
        }
        assert!(self.machine.bans_mut().len() <= 2 * config.max_bans);
    }
}

/// The addresses that a record names.
fn addresses(record: &Record) -> impl Iterator<Item = SocketAddr> {
    let endpoints = Family::BOTH.map(|family| record.udp_endpoint(family));
    endpoints.into_iter().flatten().map(|e| e.socket_addr())
}

/// Each once, and no more than may be.
fn check_found(found: &[Record], most: usize) {
    let ids: BTreeSet<_> = found.iter().map(Record::node_id).collect();
    assert_eq!(ids.len(), found.len(), "each once");
    assert!(found.len() <= most);
}

/// The rules of the routing table, counted anew.
pub(crate) fn check_table(table: &Table, limits: &Limits, local: NodeId) {
    let mut groups: BTreeMap<Group, usize> = BTreeMap::new();
    let mut covered = 0.0;
    let mut met = BTreeSet::new();
    for bucket in table.buckets() {
        covered += 0.5_f64.powi(bucket.depth().into());
        assert!(bucket.nodes().len() <= limits.bucket);
        assert!(bucket.waiting().count() <= limits.waiting);
        let mut in_bucket: BTreeMap<Group, usize> = BTreeMap::new();
        for entry in bucket.nodes().iter().chain(bucket.waiting()) {
            assert!(bucket.covers(&entry.id()));
            assert_ne!(entry.id(), local);
            assert!(met.insert(entry.id()), "each once");
            let ip: IpAddr = entry.endpoint.ip();
            if Reach::of(ip).is_limited() {
                *groups.entry(Group::of(ip)).or_default() += 1;
                *in_bucket.entry(Group::of(ip)).or_default() += 1;
            }
        }
        assert!(in_bucket.values().all(|n| *n <= limits.group_per_bucket));
    }
    assert!(groups.values().all(|n| *n <= limits.group_per_table));
    assert!((covered - 1.0).abs() < 1e-9, "every id has one bucket");
}

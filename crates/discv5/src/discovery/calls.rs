//! Requests of ours: from the first packet to the answer or the end of patience.
//!
//! ```text
//!  no session: random packet ─► Sent ─ WHOAREYOU ─► Handshaken ─┐
//!  session:    message ───────► Sent ─────────────────────────┬─┴─► answer
//!  another handshake under way: Queued ─ it is confirmed ─► Sent
//!  silence: once more, over the other family if there is one; then failed
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use peerage_core::{Direction, Endpoint};

use super::action::{Answer, Event, RequestError, RequestHandle};
use super::{ById, Discovery};
use crate::address::Contact;
use crate::cipher::TAG_LEN;
use crate::curve::{PublicKey, SecretKey};
use crate::keys::{Agreement, OwnKeys};
use crate::message::{Distances, Request, RequestId};
use crate::node_id::NodeId;
use crate::packet::{self, Envelope, HandshakeAuth, Nonce, STATIC_END};
use crate::record::Record;
use crate::session::{Session, make_nonce};

/// The bytes of a random packet's message: a tag and a little, as others send.
const RANDOM_LEN: usize = 20;

/// The most bytes a TALK request's protocol and payload may have together: what remains of a packet
/// after the header (71), the tag (16), the type (1), two list and string headers of 3 each, and
/// the request id (9) and the protocol's header (1).
pub(crate) const MAX_TALK_REQUEST: usize = packet::MAX_LEN - 71 - 16 - 17;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Ping,
    FindNode {
        distances: Distances,
        /// How many messages the answer has; unknown before the first.
        total: Option<u64>,
        parts: u64,
        found: Vec<Record>,
    },
    Talk {
        protocol: Vec<u8>,
        payload: Vec<u8>,
    },
}

impl Body {
    pub(super) fn find_node(distances: impl IntoIterator<Item = u16>) -> Self {
        Self::FindNode {
            distances: Distances::new(distances),
            total: None,
            parts: 0,
            found: Vec::new(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>, id: RequestId, record_seq: u64) {
        match self {
            Self::Ping => Request::Ping { record_seq }.encode(out, id),
            Self::FindNode { distances, .. } => {
                let distances = distances.clone();
                Request::FindNode { distances }.encode(out, id);
            }
            Self::Talk { protocol, payload } => Request::Talk { protocol, payload }.encode(out, id),
        }
    }
}

/// What the answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The caller asked.
    Caller,
    /// Is the node still there?
    Liveness,
    /// The node has a newer record than we.
    PullRecord,
    /// A step of a search.
    Search(u64),
    /// The first step of a resolve: ask the node itself.
    Resolve(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Sent,
    Handshaken,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) contact: Contact,
    pub(super) record: Record,
    pub(super) body: Body,
    pub(super) purpose: Purpose,
    state: State,
    /// Of the packets sent for it: a WHOAREYOU names one.
    nonces: Vec<Nonce>,
    expires_at: Instant,
    /// Entered in `deadlines` with this time.
    next_at: Instant,
    was_resent: bool,
}

/// A handshake under way, and who waits for it.
#[derive(Debug)]
struct Handshaking {
    lead: u64,
    queue: VecDeque<u64>,
}

/// The requests under way.
#[derive(Debug)]
pub(super) struct Calls {
    open: ById<Call>,
    by_nonce: BTreeMap<Nonce, u64>,
    deadlines: BTreeSet<(Instant, u64)>,
    handshaking: BTreeMap<Contact, Handshaking>,
    next_id: u64,
}

impl Calls {
    pub(super) const fn new(first_id: u64) -> Self {
        Self {
            open: BTreeMap::new(),
            by_nonce: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            handshaking: BTreeMap::new(),
            next_id: first_id,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The request that a response names, if it was made to this node at this address.
    pub(super) fn answered_by(
        &mut self,
        id: RequestId,
        from: &Contact,
    ) -> Option<(u64, &mut Call)> {
        let number = u64::from_be_bytes(id.as_bytes().try_into().ok()?);
        let call = self.open.get_mut(&number)?;
        (call.contact == *from && call.state != State::Queued).then_some((number, call))
    }

    /// Whether a request for this purpose to this node is under way.
    pub(super) fn has(&self, node: &NodeId, purpose: Purpose) -> bool {
        let mut open = self.open.values();
        open.any(|call| call.purpose == purpose && call.contact.node == *node)
    }

    fn set_deadline(&mut self, id: u64, at: Instant) {
        if let Some(call) = self.open.get_mut(&id) {
            self.deadlines.remove(&(call.next_at, id));
            call.next_at = at;
            self.deadlines.insert((at, id));
        }
    }

    fn note_nonce(&mut self, id: u64, nonce: Nonce) {
        if let Some(call) = self.open.get_mut(&id) {
            call.nonces.push(nonce);
            self.by_nonce.insert(nonce, id);
        }
    }

    /// The only place where a request ends.
    fn take(&mut self, id: u64) -> Option<Call> {
        let call = self.open.remove(&id)?;
        self.deadlines.remove(&(call.next_at, id));
        for nonce in &call.nonces {
            self.by_nonce.remove(nonce);
        }
        Some(call)
    }

    /// Those that wait for a handshake with the node, which is over; it is forgotten.
    fn release(&mut self, contact: &Contact) -> VecDeque<u64> {
        let over = self.handshaking.remove(contact);
        over.map(|over| over.queue).unwrap_or_default()
    }
}

impl Discovery {
    /// Asks whether a node is there.
    ///
    /// # Errors
    /// When the request cannot be made; nothing is sent then.
    pub fn start_ping(&mut self, now: Instant, to: &Record) -> Result<RequestHandle, RequestError> {
        self.call_record(now, to, Body::Ping, Purpose::Caller)
            .map(RequestHandle)
    }

    /// Asks a node for nodes at these logarithmic distances from it; 0 is the node itself.
    ///
    /// # Errors
    /// When the request cannot be made; nothing is sent then.
    pub fn start_find_node(
        &mut self,
        now: Instant,
        to: &Record,
        distances: &[u16],
    ) -> Result<RequestHandle, RequestError> {
        let body = Body::find_node(distances.iter().copied());
        self.call_record(now, to, body, Purpose::Caller)
            .map(RequestHandle)
    }

    /// Says something to a node in another protocol.
    ///
    /// # Errors
    /// When the request cannot be made; nothing is sent then.
    pub fn start_talk(
        &mut self,
        now: Instant,
        to: &Record,
        protocol: &[u8],
        payload: &[u8],
    ) -> Result<RequestHandle, RequestError> {
        let len = protocol.len() + payload.len();
        if len > MAX_TALK_REQUEST {
            return Err(RequestError::TooLong {
                len,
                limit: MAX_TALK_REQUEST,
            });
        }
        let body = Body::Talk {
            protocol: protocol.to_vec(),
            payload: payload.to_vec(),
        };
        self.call_record(now, to, body, Purpose::Caller)
            .map(RequestHandle)
    }

    /// Makes a request to a node at the address that last worked, or its first.
    pub(super) fn call_record(
        &mut self,
        now: Instant,
        to: &Record,
        body: Body,
        purpose: Purpose,
    ) -> Result<u64, RequestError> {
        let mut endpoints = self.endpoints_of(to);
        let worked = self.table.node(&to.node_id()).filter(|entry| entry.seen);
        let worked = worked.map(|entry| entry.endpoint);
        let preferred = worked.filter(|worked| self.endpoints_of(to).any(|e| e == *worked));
        let endpoint = preferred.or_else(|| endpoints.next());
        let endpoint = endpoint.ok_or(RequestError::NoAddress)?;
        self.call(now, to, endpoint, body, purpose)
    }

    pub(super) fn call(
        &mut self,
        now: Instant,
        to: &Record,
        endpoint: Endpoint,
        body: Body,
        purpose: Purpose,
    ) -> Result<u64, RequestError> {
        let node = to.node_id();
        if node == self.node_id() {
            return Err(RequestError::Ourselves);
        }
        if !self.admits(now, endpoint) || self.bans.has_node(now, &node) {
            return Err(RequestError::NotAdmitted);
        }
        let limit = self.config.max_requests;
        if self.calls.len() >= limit {
            return Err(RequestError::Busy { limit });
        }
        let contact = Contact { node, endpoint };
        let limit = self.config.max_queued;
        if let Some(handshake) = self.calls.handshaking.get(&contact)
            && handshake.queue.len() >= limit
        {
            return Err(RequestError::Busy { limit });
        }
        let id = self.calls.next_id;
        self.calls.next_id = id.wrapping_add(1);
        let expires_at = now + self.config.request_timeout;
        let call = Call {
            contact,
            record: to.clone(),
            body,
            purpose,
            state: State::Queued,
            nonces: Vec::new(),
            expires_at,
            next_at: expires_at,
            was_resent: false,
        };
        self.calls.open.insert(id, call);
        self.metrics.requests_out += 1;
        self.dispatch(now, id);
        Ok(id)
    }

    /// Sends a request, or puts it behind the handshake that it needs.
    fn dispatch(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        let contact = call.contact;
        if let Some(handshake) = self.calls.handshaking.get_mut(&contact)
            && handshake.lead != id
        {
            call.state = State::Queued;
            call.expires_at = now + self.config.request_timeout;
            handshake.queue.push_back(id);
            let at = call.expires_at;
            self.calls.set_deadline(id, at);
            return;
        }
        call.state = State::Sent;
        if !call.was_resent {
            call.expires_at = now + self.config.request_timeout;
        }
        let expires_at = call.expires_at;
        let patience = self.config.resend_after.filter(|_| !call.was_resent);
        let next_at = patience.map_or(expires_at, |wait| (now + wait).min(expires_at));
        self.calls.set_deadline(id, next_at);

        if let Some(nonce) = self.sessions.next_nonce(&contact, &mut self.rng) {
            self.metrics.session_hits += 1;
            self.calls.note_nonce(id, nonce);
            let record_seq = self.record.seq();
            if let Some(call) = self.calls.open.get(&id) {
                let body = call.body.clone();
                self.seal_to(&contact, nonce, |out| {
                    body.encode(out, id.into(), record_seq);
                });
            }
        } else {
            self.metrics.session_misses += 1;
            let nonce = make_nonce(0, &mut self.rng);
            self.calls.note_nonce(id, nonce);
            let queue = VecDeque::new();
            let handshake = Handshaking { lead: id, queue };
            self.calls.handshaking.entry(contact).or_insert(handshake);
            let envelope = Envelope {
                mask: &crate::cipher::Mask::new(&contact.node),
                protocol: self.config.protocol,
                iv: self.rng.bytes(),
                nonce,
            };
            let random: [u8; RANDOM_LEN] = self.rng.bytes();
            let datagram = envelope.random(&self.record.node_id(), &random);
            self.transmit(contact.endpoint, datagram);
        }
    }

    /// Sends a message under the keys of a session.
    pub(super) fn seal_to(
        &mut self,
        contact: &Contact,
        nonce: Nonce,
        message: impl FnOnce(&mut Vec<u8>),
    ) {
        let iv = self.rng.bytes();
        let session = self.sessions.of(contact);
        let Some((mask, cipher)) = session.and_then(Session::sealer) else {
            return;
        };
        let envelope = Envelope {
            mask,
            protocol: self.config.protocol,
            iv,
            nonce,
        };
        let datagram = envelope.ordinary(&self.record.node_id(), cipher, message);
        self.transmit(contact.endpoint, datagram);
    }

    /// A WHOAREYOU has come. It counts only as the complaint about a packet of ours, from the
    /// address that packet went to, and once for each packet.
    pub(super) fn on_who_are_you(
        &mut self,
        now: Instant,
        from: Endpoint,
        nonce: Nonce,
        record_seq: u64,
        challenge_data: &[u8],
    ) {
        let id = self.calls.by_nonce.get(&nonce).copied();
        let call = id.and_then(|id| self.calls.open.get_mut(&id));
        let call = call.filter(|call| call.contact.endpoint == from && call.state == State::Sent);
        let (Some(id), Some(call)) = (id, call) else {
            self.metrics.stray_challenges += 1;
            return;
        };
        call.state = State::Handshaken;
        let (contact, record, body) = (call.contact, call.record.clone(), call.body.clone());

        let Ok(theirs) = record.public_key() else {
            self.finish(now, id, Err(RequestError::Invalid));
            return;
        };
        let Some((keys, proof)) = self.agree(&contact, &theirs, record_seq, challenge_data) else {
            self.finish(now, id, Err(RequestError::Invalid));
            return;
        };
        self.install(now, contact, record, keys, Direction::Outbound);

        // What was sent before under keys that the node has lost goes again when these work.
        let lost: Vec<u64> = self
            .calls
            .open
            .iter()
            .filter(|(other, call)| {
                **other != id && call.contact == contact && call.state == State::Sent
            })
            .map(|(other, _)| *other)
            .collect();
        let lead = Handshaking {
            lead: id,
            queue: VecDeque::new(),
        };
        let handshake = self.calls.handshaking.entry(contact).or_insert(lead);
        handshake.lead = id;
        for other in lost {
            if let Some(call) = self.calls.open.get_mut(&other) {
                call.state = State::Queued;
                handshake.queue.push_back(other);
            }
        }

        let Some(nonce) = self.sessions.next_nonce(&contact, &mut self.rng) else {
            return;
        };
        let mut message = Vec::new();
        body.encode(&mut message, id.into(), self.record.seq());
        let record: &[u8] = if proof.with_record {
            self.record.as_bytes()
        } else {
            &[]
        };
        let auth_len = HandshakeAuth::FIXED_LEN + record.len();
        if STATIC_END + auth_len + message.len() + TAG_LEN > packet::MAX_LEN {
            // Too long beside the handshake: a PING confirms the keys, then the message goes.
            message.clear();
            let ping_id = self.rng.u64();
            Body::Ping.encode(&mut message, ping_id.into(), self.record.seq());
            if let Some(handshake) = self.calls.handshaking.get_mut(&contact) {
                handshake.queue.push_front(id);
            }
            if let Some(call) = self.calls.open.get_mut(&id) {
                call.state = State::Queued;
            }
        }
        self.calls.note_nonce(id, nonce);
        let iv = self.rng.bytes();
        if let Some((mask, cipher)) = self.sessions.of(&contact).and_then(Session::sealer) {
            let envelope = Envelope {
                mask,
                protocol: self.config.protocol,
                iv,
                nonce,
            };
            let auth = HandshakeAuth {
                signature: &proof.signature,
                ephemeral: &proof.ephemeral,
                record,
            };
            let datagram = envelope.handshake(&self.record.node_id(), &auth, cipher, |out| {
                out.extend_from_slice(&message);
            });
            self.transmit(contact.endpoint, datagram);
        }
    }

    /// The initiator's side of the key agreement: one key made, one shared point, one signature.
    fn agree(
        &mut self,
        contact: &Contact,
        theirs: &PublicKey,
        record_seq: u64,
        challenge_data: &[u8],
    ) -> Option<(OwnKeys, Proof)> {
        let ephemeral_key = (0..8).find_map(|_| SecretKey::from_bytes(self.rng.bytes()).ok())?;
        let ephemeral = ephemeral_key.public_key().compressed();
        let node_id = self.record.node_id();
        let agreement = Agreement {
            initiator: &node_id,
            recipient: &contact.node,
            challenge_data,
        };
        let keys = agreement.keys(&ephemeral_key.shared_point(theirs));
        let with_record = record_seq < self.record.seq();
        let proof = Proof {
            signature: agreement.prove(&self.key, &ephemeral),
            ephemeral,
            with_record,
        };
        Some((keys.into_initiators(), proof))
    }

    /// Puts new keys in place. An outbound session is told of once the other side confirms it.
    pub(super) fn install(
        &mut self,
        now: Instant,
        contact: Contact,
        record: Record,
        keys: OwnKeys,
        direction: Direction,
    ) {
        self.metrics.handshakes += 1;
        let confirmed = direction == Direction::Inbound;
        let gone = self
            .sessions
            .install(now, contact, record.clone(), keys, confirmed);
        if let Some(gone) = gone {
            self.event(Event::SessionDown(gone));
        }
        if confirmed {
            self.event(Event::SessionUp {
                contact,
                direction,
                record,
            });
        }
    }

    /// The node has shown that it holds our keys: what waited for that goes now.
    pub(super) fn on_confirmed(&mut self, now: Instant, contact: &Contact) {
        for id in self.calls.release(contact) {
            self.dispatch(now, id);
        }
    }

    /// Requests whose time has come: once more, or over.
    pub(super) fn expire_calls(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.calls.deadlines.first() {
            if at > now {
                break;
            }
            let Some(call) = self.calls.open.get(&id) else {
                self.calls.deadlines.remove(&(at, id));
                continue;
            };
            if call.expires_at <= now || call.was_resent || call.state == State::Queued {
                self.on_silence(now, id);
            } else {
                self.resend(now, id);
            }
        }
    }

    fn resend(&mut self, now: Instant, id: u64) {
        self.metrics.resent += 1;
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        call.was_resent = true;
        let (contact, purpose, record) = (call.contact, call.purpose, call.record.clone());
        let elsewhere = self.endpoints_of(&record).find(|e| *e != contact.endpoint);
        if let Some(endpoint) = elsewhere.filter(|endpoint| self.admits(now, *endpoint))
            && self.sessions.of(&contact).is_none()
        {
            let leads = self.calls.handshaking.get(&contact);
            let waiting = if leads.is_some_and(|handshake| handshake.lead == id) {
                self.calls.release(&contact)
            } else {
                VecDeque::new()
            };
            if let Some(call) = self.calls.open.get_mut(&id) {
                call.contact.endpoint = endpoint;
            }
            self.dispatch(now, id);
            for other in waiting {
                self.dispatch(now, other);
            }
        } else {
            self.dispatch(now, id);
        }
        if let Purpose::Search(search) = purpose {
            self.on_search_slow(now, search, &contact.node);
        }
    }

    /// Nothing has come in time. Some parts of an answer are an answer.
    fn on_silence(&mut self, now: Instant, id: u64) {
        let Some(call) = self.calls.open.get_mut(&id) else {
            return;
        };
        let result = match &mut call.body {
            Body::FindNode { parts, found, .. } if *parts > 0 => {
                Ok(Answer::Nodes(std::mem::take(found)))
            }
            Body::Ping | Body::FindNode { .. } | Body::Talk { .. } => Err(RequestError::Timeout),
        };
        self.finish(now, id, result);
    }

    /// A request is over, and with it what waited for its handshake if that has failed.
    pub(super) fn finish(&mut self, now: Instant, id: u64, result: Result<Answer, RequestError>) {
        let Some(call) = self.calls.take(id) else {
            return;
        };
        let mut over = vec![(id, call, result)];
        let contact = over[0].1.contact;
        let handshake = self.calls.handshaking.get_mut(&contact);
        let leads = handshake.is_some_and(|handshake| {
            handshake.queue.retain(|waiting| *waiting != id);
            handshake.lead == id
        });
        let mut freed = VecDeque::new();
        if leads {
            freed = self.calls.release(&contact);
        }
        if let Err(error) = over[0].2 {
            for waiting in std::mem::take(&mut freed) {
                let call = self.calls.take(waiting);
                over.extend(call.map(|call| (waiting, call, Err(error))));
            }
        }
        for (id, call, result) in over {
            self.on_finished(now, id, call, result);
        }
        for waiting in freed {
            self.dispatch(now, waiting);
        }
    }

    fn on_finished(
        &mut self,
        now: Instant,
        id: u64,
        call: Call,
        result: Result<Answer, RequestError>,
    ) {
        match &result {
            Ok(_) => self.on_node_answered(&call.record, call.contact.endpoint),
            Err(error) => self.on_node_failed(now, &call.contact.node, *error),
        }
        match call.purpose {
            Purpose::Caller => {
                let request = RequestHandle(id);
                self.event(Event::Answered { request, result });
            }
            Purpose::Liveness | Purpose::PullRecord => {}
            Purpose::Search(search) => self.on_search_step(now, search, &call.contact.node, result),
            Purpose::Resolve(search) => {
                self.on_resolve_step(now, search, &call.contact.node, result);
            }
        }
    }

    pub(super) fn close_calls(&mut self) {
        while let Some((&id, _)) = self.calls.open.first_key_value() {
            if let Some(call) = self.calls.take(id)
                && call.purpose == Purpose::Caller
            {
                let request = RequestHandle(id);
                let result = Err(RequestError::Timeout);
                self.event(Event::Answered { request, result });
            }
        }
        self.calls.handshaking.clear();
    }
}

/// What a handshake packet carries of the agreement.
struct Proof {
    signature: [u8; 64],
    ephemeral: [u8; 33],
    with_record: bool,
}

//! Requests of ours: from the first packet to the answer or the end of patience.
//!
//! ```text
//!  no session: random packet ─► Sent ─ WHOAREYOU ─► Handshaken ─┐
//!  session:    message ───────► Sent ─────────────────────────┬─┴─► answer
//!  another handshake under way: Queued ─ it is confirmed ─► Sent
//!  the node is about to make one: Expecting, or Sent still ─ it is there ─► Sent
//!  silence: once more, over the other family if there is one; then failed
//! ```

mod ending;
mod initiate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use peerage_core::Endpoint;

use super::action::{Answer, RequestError, RequestHandle};
use super::{ById, Discovery};
use crate::address::Contact;
use crate::message::{Distances, Request, RequestId};
use crate::node_id::NodeId;
use crate::packet::{self, Envelope, Nonce};
use crate::record::Record;
use crate::session::{Session, make_nonce};

/// The bytes of a random packet's message: a tag and a little, as others send.
const RANDOM_LEN: usize = 20;

/// How long a request waits for a handshake that the other side is about to make, before it makes
/// its own. Two nodes that ask each other at once would otherwise make two sessions, 200 µs each.
///
/// Whoever pretends to be that node can delay us by so much, once for each request.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(500);

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

    /// Whether the node may get it twice: what another protocol does with a message is not ours to
    /// know.
    const fn may_be_repeated(&self) -> bool {
        match self {
            Self::Ping | Self::FindNode { .. } => true,
            Self::Talk { .. } => false,
        }
    }

    /// Parts of one answer come together: what is missing after a while is lost, and asking again
    /// would bring others.
    const fn is_answered_in_part(&self) -> bool {
        matches!(self, Self::FindNode { parts, .. } if *parts > 0)
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
    /// Nothing is sent: the node is about to make a handshake with us.
    Expecting,
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

    /// An id of its own, whose first byte is not zero: implementations that read ids as numbers
    /// mirror them without leading zeros.
    const fn new_id(&mut self) -> u64 {
        let id = self.next_id | 1 << 63;
        self.next_id = id.wrapping_add(1);
        id
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

    /// Lets a request wait for a handshake that the node is about to make; others wait behind it.
    fn expect_handshake(&mut self, now: Instant, id: u64) {
        let Some(call) = self.open.get_mut(&id) else {
            return;
        };
        if call.nonces.is_empty() {
            call.state = State::Expecting;
        }
        let at = call.next_at.min(now + HANDSHAKE_PATIENCE);
        let lead = Handshaking {
            lead: id,
            queue: VecDeque::new(),
        };
        self.handshaking.entry(call.contact).or_insert(lead);
        self.set_deadline(id, at);
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

    /// The node has made a handshake with us: a request that was to make one waits with the others
    /// for what follows, and a late WHOAREYOU to its random packet is void. If it has answered a
    /// WHOAREYOU already, that goes its way.
    pub(super) fn join_lead(&mut self, contact: &Contact) {
        let Some(handshake) = self.handshaking.get_mut(contact) else {
            return;
        };
        let Some(call) = self.open.get_mut(&handshake.lead) else {
            return;
        };
        if matches!(call.state, State::Sent | State::Expecting) {
            call.state = State::Queued;
            for nonce in call.nonces.drain(..) {
                self.by_nonce.remove(&nonce);
            }
            handshake.queue.push_front(handshake.lead);
        }
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
        let preferred = worked.filter(|worked| self.names(to, *worked));
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
        let contact = Contact { node, endpoint };
        if !self.may_talk_to(now, &contact) {
            return Err(RequestError::NotAdmitted);
        }
        let limit = self.config.max_requests;
        if self.calls.len() >= limit {
            return Err(RequestError::Busy { limit });
        }
        let limit = self.config.max_queued;
        if let Some(handshake) = self.calls.handshaking.get(&contact)
            && handshake.queue.len() >= limit
        {
            return Err(RequestError::Busy { limit });
        }
        let id = self.calls.new_id();
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
        } else if self.may_expect_handshake(now, id) {
            self.calls.expect_handshake(now, id);
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

    /// Whether the node is about to make a handshake with us: we have asked it for one. A request
    /// counts on that once, and only if it is repeated should nothing come of it.
    fn may_expect_handshake(&self, now: Instant, id: u64) -> bool {
        self.config.resend_after.is_some()
            && self.calls.open.get(&id).is_some_and(|call| {
                let has_session = self.sessions.of(&call.contact).is_some();
                !call.was_resent
                    && (call.body.may_be_repeated() || !has_session)
                    && self.challenges.of(now, &call.contact).is_some()
            })
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_read_as_a_number_and_written_again_is_the_same_bytes() {
        for first in [0, 1, 0xff, u64::MAX >> 8, u64::MAX - 1, u64::MAX] {
            let mut calls = Calls::new(first);
            let ids = [calls.new_id(), calls.new_id(), calls.new_id()];
            for id in ids {
                let bytes = RequestId::from(id);
                let zeros = bytes.as_bytes().iter().take_while(|byte| **byte == 0);
                assert_eq!(zeros.count(), 0, "{bytes:?}, first was {first:x}");
            }
            assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        }
    }
}

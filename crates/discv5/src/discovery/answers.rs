//! Requests of others and what we answer. Every answer goes at once, under the session's keys.

use std::collections::BTreeSet;
use std::time::Instant;

use super::action::{Event, TalkTicket};
use super::{ById, Discovery};
use crate::address::{Contact, Reach};
use crate::message::{Distances, Request, RequestId, put_nodes, put_pong, put_talk_response};
use crate::record::Record;

/// The most bytes of records in one NODES message: a packet without header (71), tag (16), type and
/// lengths (17).
const NODES_BUDGET: usize = crate::packet::MAX_LEN - 71 - 16 - 17;

/// The most NODES messages of one answer: what geth and ChainSafe accept.
const MAX_NODES_MESSAGES: usize = 5;

/// The most bytes a TALK response may have (nim-eth's constant is the same).
pub const MAX_TALK_RESPONSE: usize = 1177;

/// A TALK request that the application thinks about.
#[derive(Debug)]
struct OpenTalk {
    contact: Contact,
    request: RequestId,
    deadline: Instant,
}

/// The protocols of the application, and what it has been asked.
#[derive(Debug, Default)]
pub(super) struct Talks {
    protocols: BTreeSet<Vec<u8>>,
    open: ById<OpenTalk>,
    next_id: u64,
}

impl Talks {
    /// Tickets are given in the order of their deadlines.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, talk)| talk.deadline)
    }
}

/// The protocol is registered already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the protocol is registered already: one handler for each")]
pub struct AlreadyRegistered;

impl Discovery {
    pub(super) fn on_request(
        &mut self,
        now: Instant,
        contact: Contact,
        id: RequestId,
        request: Request<'_>,
    ) {
        self.metrics.requests_in += 1;
        if !self.answer_limit.allow(now, contact.endpoint.ip()) {
            self.metrics.rate_limited += 1;
            return;
        }
        match request {
            Request::Ping { .. } => {
                let record_seq = self.record.seq();
                self.answer(&contact, |out| {
                    put_pong(out, id, record_seq, contact.endpoint);
                });
            }
            Request::FindNode { distances } => self.answer_nodes(&contact, id, &distances),
            Request::Talk { protocol, payload } => {
                self.on_talk(now, contact, id, protocol, payload);
            }
        }
    }

    fn answer(&mut self, contact: &Contact, message: impl FnOnce(&mut Vec<u8>)) {
        if let Some(nonce) = self.sessions.next_nonce(contact, &mut self.rng) {
            self.seal_to(contact, nonce, message);
        }
    }

    /// Our own record alone if 0 is asked for; nothing if something impossible is; else live nodes
    /// that the other side can reach, itself left out.
    fn answer_nodes(&mut self, contact: &Contact, id: RequestId, distances: &Distances) {
        let asked = distances.as_slice();
        let records: Vec<Record> = if distances.has_impossible() {
            Vec::new()
        } else if asked.contains(&0) {
            vec![self.record.clone()]
        } else {
            let reach = Reach::of(contact.endpoint.ip());
            let found = self.table.neighbours_at_distances(
                &mut self.rng,
                asked,
                self.config.answered_records,
                |entry| {
                    entry.seen
                        && entry.id() != contact.node
                        && reach.may_share(Reach::of(entry.endpoint.ip()))
                },
            );
            found.iter().map(|entry| entry.record.clone()).collect()
        };
        let messages = pack(&records);
        let total = messages.len() as u64;
        for records in messages {
            self.answer(contact, |out| put_nodes(out, id, total, records));
        }
    }

    fn on_talk(
        &mut self,
        now: Instant,
        contact: Contact,
        request: RequestId,
        protocol: &[u8],
        payload: &[u8],
    ) {
        let record = self.sessions.of(&contact).map(|s| s.record().clone());
        let has_room = self.talks.open.len() < self.config.max_open_talks;
        let Some(record) = record.filter(|_| has_room && self.talks.protocols.contains(protocol))
        else {
            self.answer(&contact, |out| put_talk_response(out, request, b""));
            return;
        };
        let ticket = self.talks.next_id;
        self.talks.next_id += 1;
        let deadline = now + self.config.talk_timeout;
        let talk = OpenTalk {
            contact,
            request,
            deadline,
        };
        self.talks.open.insert(ticket, talk);
        self.event(Event::Talk {
            ticket: TalkTicket(ticket),
            contact,
            record,
            protocol: protocol.to_vec(),
            payload: payload.to_vec(),
        });
    }

    /// Lets the application answer TALK requests of this protocol.
    ///
    /// # Errors
    /// [`AlreadyRegistered`], and nothing changes.
    pub fn register_talk(&mut self, protocol: &[u8]) -> Result<(), AlreadyRegistered> {
        if self.talks.protocols.insert(protocol.to_vec()) {
            Ok(())
        } else {
            Err(AlreadyRegistered)
        }
    }

    /// Answers TALK requests of this protocol with nothing again.
    pub fn unregister_talk(&mut self, protocol: &[u8]) -> bool {
        self.talks.protocols.remove(protocol)
    }

    /// The application's answer. False if it comes too late, was given before, or has more than
    /// [`MAX_TALK_RESPONSE`] bytes; the last leaves the request open.
    pub fn answer_talk(&mut self, ticket: TalkTicket, payload: &[u8]) -> bool {
        if payload.len() > MAX_TALK_RESPONSE {
            return false;
        }
        let Some(talk) = self.talks.open.remove(&ticket.0) else {
            return false;
        };
        self.answer_later(&talk, payload);
        true
    }

    /// An answer that was thought about, unless the asker has been banned meanwhile.
    fn answer_later(&mut self, talk: &OpenTalk, payload: &[u8]) {
        let is_banned = |now| !self.may_talk_to(now, &talk.contact);
        if !self.latest.is_some_and(is_banned) {
            self.answer(&talk.contact, |out| {
                put_talk_response(out, talk.request, payload);
            });
        }
    }

    /// Whoever waits too long for the application gets nothing.
    pub(super) fn expire_talks(&mut self, now: Instant) {
        while let Some(first) = self.talks.open.first_entry() {
            if first.get().deadline > now {
                break;
            }
            let talk = first.remove();
            self.answer_later(&talk, b"");
        }
    }
}

/// Divides records into messages by size. At least one message, which may be empty; at most five,
/// what does not fit being left out.
fn pack(records: &[Record]) -> Vec<&[Record]> {
    let mut messages = Vec::with_capacity(2);
    let mut rest = records;
    while !rest.is_empty() && messages.len() < MAX_NODES_MESSAGES {
        let mut len = 0;
        let fits = rest.iter().take_while(|record| {
            len += record.as_bytes().len();
            len <= NODES_BUDGET
        });
        // One record always fits: it has at most 300 bytes.
        let (now, later) = rest.split_at(fits.count().max(1));
        messages.push(now);
        rest = later;
    }
    if messages.is_empty() {
        messages.push(rest);
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::SecretKey;
    use crate::record::Builder;

    fn records(count: usize, extra: usize) -> Vec<Record> {
        let key = SecretKey::from_bytes([1; 32]).unwrap();
        let one = Builder::new(1).string("x", vec![0; extra]);
        vec![one.sign(&key).unwrap(); count]
    }

    #[test]
    fn records_are_packed_by_size_into_at_most_five_messages() {
        let lens = |records: &[Record]| -> Vec<usize> {
            pack(records).iter().map(|message| message.len()).collect()
        };
        assert_eq!(lens(&[]), [0], "one empty message");
        let typical = records(16, 30);
        let len = typical[0].as_bytes().len();
        assert!((140..170).contains(&len), "{len}");
        assert!(lens(&typical).len() <= 3);
        assert_eq!(lens(&typical).iter().sum::<usize>(), 16);
        let longest = records(16, 177);
        assert_eq!(longest[0].as_bytes().len(), 300);
        assert_eq!(lens(&longest), [3, 3, 3, 3, 3]);
        for message in pack(&longest) {
            let mut out = Vec::new();
            put_nodes(&mut out, RequestId::from(1), 5, message);
            assert!(71 + out.len() + 16 <= crate::packet::MAX_LEN);
        }
    }
}

//! Answers to requests of ours: whether they fit, and what they teach.

use std::collections::BTreeSet;
use std::time::Instant;

use peerage_core::Endpoint;

use super::Discovery;
use super::action::{Answer, Event, RequestError};
use super::calls::{Body, Purpose};
use super::upkeep::NewNode;
use crate::address::{Contact, Reach};
use crate::message::{Distances, Records, RequestId, Response};
use crate::node_id::NodeId;
use crate::record::Record;
use crate::table::{Added, Failed};

/// The most messages of one answer that are waited for. The reference sends six for 16 records,
/// others up to 16; who claims more is not believed.
const MAX_PARTS: u64 = 16;

impl Discovery {
    pub(super) fn on_response(
        &mut self,
        now: Instant,
        contact: Contact,
        id: RequestId,
        response: Response<'_>,
    ) {
        let Some((id, call)) = self.calls.answered_by(id, &contact) else {
            self.metrics.unsolicited += 1;
            return;
        };
        match (&mut call.body, response) {
            (
                Body::Ping,
                Response::Pong {
                    record_seq,
                    observed,
                },
            ) => {
                let known_seq = call.record.seq();
                self.on_pong(now, &contact, record_seq, known_seq, observed);
                let answer = Answer::Pong {
                    record_seq,
                    observed,
                };
                self.finish(now, id, Ok(answer));
            }
            (Body::Talk { .. }, Response::Talk { payload }) => {
                self.finish(now, id, Ok(Answer::Talk(payload.to_vec())));
            }
            (Body::FindNode { distances, .. }, Response::Nodes { total, records }) => {
                let distances = distances.clone();
                self.on_nodes(now, contact, id, &distances, (total, records));
            }
            (Body::Ping | Body::Talk { .. } | Body::FindNode { .. }, _) => {
                self.finish(now, id, Err(RequestError::Invalid));
            }
        }
    }

    /// The node's view of our address is a vote; a newer record of it is worth having.
    fn on_pong(
        &mut self,
        now: Instant,
        contact: &Contact,
        record_seq: u64,
        known_seq: u64,
        observed: Endpoint,
    ) {
        let theirs = Reach::of(contact.endpoint.ip());
        if observed.is_dialable() && theirs.may_share(Reach::of(observed.ip())) {
            self.votes.cast(now, contact, observed);
            self.on_vote(now, observed);
        }
        if record_seq > known_seq && !self.calls.has(&contact.node, Purpose::PullRecord) {
            self.pull_record(now, contact);
        }
    }

    fn pull_record(&mut self, now: Instant, contact: &Contact) {
        let Some(record) = self.known_record(contact) else {
            return;
        };
        // Without room the next revalidation tries again.
        let body = Body::find_node([0]);
        let _pulled = self.call(now, &record, contact.endpoint, body, Purpose::PullRecord);
    }

    /// One part of an answer to FINDNODE. Parts come in any order; the claimed total is bounded.
    fn on_nodes(
        &mut self,
        now: Instant,
        contact: Contact,
        id: u64,
        asked: &Distances,
        (claimed, records): (u64, Records<'_>),
    ) {
        let (good, is_invalid) = self.check_nodes(&contact, asked, records);
        for record in &good {
            self.on_learnt(now, &contact, record);
        }
        let limit = self.config.accepted_records;
        let request = RequestId::from(id);
        let Some((_, call)) = self.calls.answered_by(request, &contact) else {
            return;
        };
        let Body::FindNode {
            total,
            parts,
            found,
            ..
        } = &mut call.body
        else {
            return;
        };
        let total = *total.get_or_insert(claimed.clamp(1, MAX_PARTS));
        *parts += 1;
        let known: BTreeSet<NodeId> = found.iter().map(Record::node_id).collect();
        let new = good.into_iter().filter(|r| !known.contains(&r.node_id()));
        found.extend(new);
        found.truncate(limit);
        let is_whole = *parts >= total || found.len() >= limit;
        if is_invalid {
            self.finish(now, id, Err(RequestError::Invalid));
        } else if is_whole {
            let found = std::mem::take(found);
            self.finish(now, id, Ok(Answer::Nodes(found)));
        }
    }

    /// The records that may be believed: at most so many are looked at; each once, not ours, signed,
    /// at a distance that was asked for, with an address that this node may vouch for. Also whether one
    /// was so wrong that the node must have known.
    fn check_nodes(
        &mut self,
        contact: &Contact,
        asked: &Distances,
        records: Records<'_>,
    ) -> (Vec<Record>, bool) {
        let log_distance = self.config.metric.log_distance;
        let mut good: Vec<Record> = Vec::new();
        for record in records.take(self.config.accepted_records) {
            let Ok(record) = record else {
                // Another identity scheme, or a broken record that an older peer passed on.
                self.metrics.malformed += 1;
                continue;
            };
            if record.public_key_bytes() == self.record.public_key_bytes() {
                continue;
            }
            let Ok(record) = self.verify(record) else {
                return (good, true);
            };
            let id = record.node_id();
            let is_asked_for = asked.as_slice().contains(&log_distance(&contact.node, &id));
            let is_repeated = good.iter().any(|other| other.node_id() == id);
            let is_own = id == contact.node;
            if is_asked_for && !is_repeated && (is_own || self.may_vouch(contact, &record)) {
                good.push(record);
            }
        }
        (good, false)
    }

    /// Whether we may talk to the address of a record because this node has named it.
    fn may_vouch(&self, from: &Contact, record: &Record) -> bool {
        let reach = Reach::of(from.endpoint.ip());
        let mut endpoints = self.endpoints_of(record);
        endpoints.any(|endpoint| reach.may_share(Reach::of(endpoint.ip())))
    }

    /// A record that a node vouches for.
    fn on_learnt(&mut self, now: Instant, from: &Contact, record: &Record) {
        if record.node_id() == self.node_id() {
            return;
        }
        if record.node_id() == from.node {
            self.sessions.update_record(from, record);
            // It may say of itself what it likes, but not send us into our own network.
            if !self.may_vouch(from, record) {
                return;
            }
        }
        match self.learn(record) {
            Some(Added::Updated) => self.event(Event::Found(record.clone())),
            Some(Added::Inserted) => {
                // Whoever looks for our neighbours asks us: those nearest to us are to be known as
                // alive soon.
                let near = self.config.lookup_results;
                if self.table.rank(&record.node_id()) < near {
                    self.plan_ping_back(now, record.node_id(), NewNode::Near);
                }
            }
            Some(
                Added::Known
                | Added::Waiting
                | Added::Ourselves
                | Added::BucketGroupFull
                | Added::TableGroupFull,
            )
            | None => {}
        }
    }

    /// Something authentic has come, so our own network works.
    pub(super) fn on_heard(&mut self) {
        self.upkeep.silent_in_a_row = 0;
        if std::mem::take(&mut self.upkeep.is_outage) {
            self.event(Event::OutageOver);
        }
    }

    /// A node has answered a request of ours: it is alive, and worth a place.
    pub(super) fn on_node_answered(&mut self, record: &Record, endpoint: Endpoint) {
        let id = record.node_id();
        if self.table.node(&id).is_none() && self.names(record, endpoint) {
            self.learn(record);
        }
        self.table.mark_seen(&id, endpoint);
    }

    /// A request of ours has failed.
    pub(super) fn on_node_failed(&mut self, now: Instant, node: &NodeId, error: RequestError) {
        match error {
            RequestError::Timeout => self.on_node_silent(node),
            RequestError::Invalid => {
                self.metrics.invalid_response += 1;
                if !self.table.node(node).is_some_and(|entry| entry.is_boot) {
                    let failed = self.table.replace(node);
                    self.tell_replaced(*node, failed);
                }
                if self.config.ban_invalid {
                    self.ban_node(now, *node);
                }
            }
            RequestError::Ourselves
            | RequestError::NoAddress
            | RequestError::NotAdmitted
            | RequestError::Busy { .. }
            | RequestError::TooLong { .. } => {}
        }
    }

    /// Whether the node or our own network is to blame. Many silences in a row, with nothing from
    /// anybody between them, are our own.
    fn on_node_silent(&mut self, node: &NodeId) {
        self.metrics.no_response += 1;
        self.upkeep.silent_in_a_row = self.upkeep.silent_in_a_row.saturating_add(1);
        if self.upkeep.silent_in_a_row >= self.config.outage_after {
            if !std::mem::replace(&mut self.upkeep.is_outage, true) {
                self.event(Event::Outage);
            }
            return;
        }
        let failed = self.table.mark_failed(node, self.config.max_failures);
        if failed != Failed::Unknown {
            self.tell_replaced(*node, failed);
        }
    }
}

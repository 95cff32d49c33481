//! Packets: who sent them, and whether to believe it. Cheap checks come first.
//!
//! | packet | before any curve operation |
//! |---|---|
//! | ordinary | a session's cipher; else a WHOAREYOU, within a rate by address group |
//! | WHOAREYOU | a request of ours with this nonce, to this address, not yet handshaken |
//! | handshake | an open challenge for this node at this address, attempts left, a rate |

use std::time::Instant;

use peerage_core::{Direction, Endpoint};

use super::Discovery;
use super::action::Event;
use super::upkeep::NewNode;
use crate::address::Contact;
use crate::cipher::{Cipher, Mask, TAG_LEN};
use crate::curve::PublicKey;
use crate::keys::{Agreement, OwnKeys};
use crate::message::Message;
use crate::node_id::NodeId;
use crate::packet::{Envelope, Kind, Nonce, Packet};
use crate::record::{Record, Unverified};
use crate::session::NotOpened;
use crate::table::Added;

/// A handshake packet's parts.
struct Handshake<'a> {
    signature: &'a [u8; 64],
    ephemeral: &'a [u8; 33],
    record: &'a [u8],
}

impl Discovery {
    pub(super) fn handle_packet(&mut self, now: Instant, from: Endpoint, packet: Packet<'_>) {
        match packet.kind {
            Kind::Ordinary { source } => {
                let Some(contact) = self.contact(now, source, from) else {
                    return;
                };
                self.on_ordinary(now, contact, packet);
            }
            Kind::WhoAreYou { record_seq, .. } => {
                self.on_who_are_you(now, from, packet.nonce, record_seq, packet.header);
            }
            Kind::Handshake {
                source,
                signature,
                ephemeral,
                record,
            } => {
                let Some(contact) = self.contact(now, source, from) else {
                    return;
                };
                let handshake = Handshake {
                    signature,
                    ephemeral,
                    record,
                };
                self.on_handshake(now, contact, &handshake, packet);
            }
        }
    }

    /// Who claims to send, if we listen to it.
    fn contact(&mut self, now: Instant, node: NodeId, endpoint: Endpoint) -> Option<Contact> {
        if self.bans.has_node(now, &node) {
            self.metrics.not_admitted += 1;
            return None;
        }
        (node != self.node_id()).then_some(Contact { node, endpoint })
    }

    fn on_ordinary(&mut self, now: Instant, contact: Contact, packet: Packet<'_>) {
        let Packet {
            nonce,
            header,
            message,
            ..
        } = packet;
        let opened = self.sessions.open(now, &contact, nonce, header, message);
        match opened {
            Ok(opened) => {
                if opened.confirms {
                    self.tell_session(contact, Direction::Outbound);
                    self.on_confirmed(now, &contact);
                }
                self.handle_message(now, contact, opened.plaintext);
            }
            Err(why) => {
                if why == NotOpened::WrongKeys {
                    self.metrics.decrypt_failures += 1;
                }
                self.ask_who(now, contact, nonce);
            }
        }
    }

    fn tell_session(&mut self, contact: Contact, direction: Direction) {
        if let Some(session) = self.sessions.of(&contact) {
            let record = session.record().clone();
            self.event(Event::SessionUp {
                contact,
                direction,
                record,
            });
        }
    }

    /// Asks for a handshake. While a challenge is open the same is asked again, whatever came.
    fn ask_who(&mut self, now: Instant, contact: Contact, nonce: Nonce) {
        if !self.challenge_limit.allow(now, contact.endpoint.ip()) {
            self.metrics.rate_limited += 1;
            return;
        }
        if let Some(open) = self.challenges.of(now, &contact) {
            let again = open.question.packet.to_vec();
            self.metrics.challenges_out += 1;
            self.transmit(contact.endpoint, again);
            return;
        }
        if !self.challenges.has_room(now) {
            self.metrics.rate_limited += 1;
            return;
        }
        let record = self.known_record(&contact);
        let envelope = Envelope {
            mask: &Mask::new(&contact.node),
            protocol: self.config.protocol,
            iv: self.rng.bytes(),
            nonce,
        };
        let record_seq = record.as_ref().map_or(0, |record| record.seq());
        let question = envelope.who_are_you(&self.rng.bytes(), record_seq);
        let packet = question.packet.to_vec();
        self.challenges.insert(now, contact, question, record);
        self.metrics.challenges_out += 1;
        self.transmit(contact.endpoint, packet);
    }

    fn on_handshake(
        &mut self,
        now: Instant,
        contact: Contact,
        handshake: &Handshake<'_>,
        packet: Packet<'_>,
    ) {
        if self.challenges.of(now, &contact).is_none() {
            self.metrics.stray_handshakes += 1;
            return;
        }
        if !self.handshake_limit.allow(now, contact.endpoint.ip()) {
            self.metrics.rate_limited += 1;
            return;
        }
        let Ok(challenge) = self.challenges.attempt(now, &contact) else {
            self.metrics.stray_handshakes += 1;
            return;
        };
        let challenge_data = challenge.question.challenge_data;
        let known = challenge.record.clone();
        let accepted = self.accept(&contact, &challenge_data, known, handshake, packet);
        let Some((record, keys, plaintext)) = accepted else {
            // The challenge stays: whoever forged this must not end it.
            self.metrics.failed_handshakes += 1;
            return;
        };
        self.challenges.remove(&contact);
        self.install(now, contact, record.clone(), keys, Direction::Inbound);
        self.calls.join_lead(&contact);
        self.on_confirmed(now, &contact);
        self.on_inbound_node(now, &contact, &record);
        self.handle_message(now, contact, plaintext);
    }

    /// The responder's side of the key agreement. In the order of cost: the form of the record, the
    /// node id of its key, the proof, the shared point, the message, the record's signature.
    fn accept<'a>(
        &mut self,
        contact: &Contact,
        challenge_data: &[u8],
        known: Option<Record>,
        handshake: &Handshake<'_>,
        packet: Packet<'a>,
    ) -> Option<(Record, OwnKeys, &'a [u8])> {
        let given = if handshake.record.is_empty() {
            None
        } else {
            Some(Unverified::decode(handshake.record).ok()?)
        };
        let key_bytes = match (&given, &known) {
            (Some(given), _) => given.public_key_bytes(),
            (None, Some(known)) => known.public_key_bytes(),
            (None, None) => return None,
        };
        let key = PublicKey::from_compressed(key_bytes).ok()?;
        if key.node_id() != contact.node {
            return None;
        }
        let node_id = self.record.node_id();
        let agreement = Agreement {
            initiator: &contact.node,
            recipient: &node_id,
            challenge_data,
        };
        agreement
            .check_proof(&key, handshake.ephemeral, handshake.signature)
            .ok()?;
        let ephemeral = PublicKey::from_compressed(handshake.ephemeral).ok()?;
        let keys = agreement.keys(&self.key.shared_point(&ephemeral));
        let keys = keys.into_recipients();
        let message = packet.message;
        Cipher::new(&keys.open)
            .open(packet.nonce, packet.header, message)
            .ok()?;
        let len = message.len().saturating_sub(TAG_LEN);

        let is_newer = |given: &Unverified| {
            let known = known.as_ref();
            known.is_none_or(|known| known.seq() < given.seq())
        };
        let record = match given.filter(is_newer) {
            Some(given) => self.verify(given).ok()?,
            None => known?,
        };
        Some((record, keys, &message[..len]))
    }

    /// A node has proved who and where it is. If its record says the same, it is offered to the
    /// table, and asked soon whether it is there for others too.
    fn on_inbound_node(&mut self, now: Instant, contact: &Contact, record: &Record) {
        self.sessions.update_record(contact, record);
        if !self.names(record, contact.endpoint) {
            self.event(Event::OtherAddress(*contact));
            return;
        }
        let added = self.table.add(record.clone(), contact.endpoint);
        match added {
            Added::Inserted => {
                self.event(Event::NodeAdded(contact.node));
                self.plan_ping_back(now, contact.node, NewNode::Inbound);
            }
            Added::Known | Added::Updated => {
                if self.table.node(&contact.node).is_some_and(|e| !e.seen) {
                    self.plan_ping_back(now, contact.node, NewNode::Inbound);
                }
            }
            Added::Waiting | Added::Ourselves | Added::BucketGroupFull | Added::TableGroupFull => {}
        }
    }

    fn handle_message(&mut self, now: Instant, contact: Contact, plaintext: &[u8]) {
        self.on_heard();
        match Message::decode(plaintext) {
            Ok(Message::Request(id, request)) => self.on_request(now, contact, id, request),
            Ok(Message::Response(id, response)) => self.on_response(now, contact, id, response),
            Ok(Message::Unimplemented(_)) => self.metrics.unimplemented_in += 1,
            Err(_) => self.metrics.malformed += 1,
        }
    }
}

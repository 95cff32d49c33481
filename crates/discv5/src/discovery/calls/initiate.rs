//! The initiator's side of a handshake: the answer to a WHOAREYOU.

use std::collections::VecDeque;
use std::time::Instant;

use peerage_core::{Direction, Endpoint};

use super::{Body, Discovery, Handshaking, State};
use crate::address::Contact;
use crate::cipher::TAG_LEN;
use crate::curve::{PublicKey, SecretKey};
use crate::discovery::action::{Event, RequestError};
use crate::keys::{Agreement, OwnKeys};
use crate::packet::{self, Envelope, HandshakeAuth, Nonce, STATIC_END};
use crate::record::Record;
use crate::session::Session;

/// What a handshake packet carries of the agreement.
struct Proof {
    signature: [u8; 64],
    ephemeral: [u8; 33],
    with_record: bool,
}

impl Discovery {
    /// A WHOAREYOU has come. It counts only as the complaint about a packet of ours, from the
    /// address that packet went to, and once for each packet.
    pub(in crate::discovery) fn on_who_are_you(
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
        // Both ask each other at once: the one with the higher id makes the session.
        let is_higher = call.contact.node < self.record.node_id();
        if !is_higher && self.may_expect_handshake(now, id) {
            self.calls.expect_handshake(now, id);
            return;
        }
        let Some(call) = self.calls.open.get_mut(&id) else {
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
    pub(in crate::discovery) fn install(
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
    pub(in crate::discovery) fn on_confirmed(&mut self, now: Instant, contact: &Contact) {
        for id in self.calls.release(contact) {
            self.dispatch(now, id);
        }
    }
}

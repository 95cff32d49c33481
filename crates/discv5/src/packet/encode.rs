//! Writing packets.

use super::{
    EPHEMERAL_LEN, FLAG_HANDSHAKE, FLAG_ORDINARY, FLAG_WHOAREYOU, HANDSHAKE_FIXED_LEN, IV_LEN,
    Nonce, Protocol, SIGNATURE_LEN, STATIC_END, WHOAREYOU_AUTH_LEN,
};
use crate::cipher::{Cipher, Mask};
use crate::node_id::NodeId;

/// What every packet to one node needs.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The destination's mask.
    pub mask: &'a Mask,
    /// The protocol of the network.
    pub protocol: Protocol,
    /// Random, drawn for each packet.
    pub iv: [u8; 16],
    /// The packet's own nonce; in a WHOAREYOU that of the packet complained about.
    pub nonce: Nonce,
}

/// A question for a handshake, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAreYou {
    /// The packet. Sent again, it is sent unchanged.
    pub packet: [u8; super::MIN_LEN],
    /// Masking IV and unmasked header: what the answer signs and derives its keys from.
    pub challenge_data: [u8; super::MIN_LEN],
}

/// The authdata of a handshake.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeAuth<'a> {
    /// Over the challenge.
    pub signature: &'a [u8; 64],
    /// Our half of the key agreement, compressed.
    pub ephemeral: &'a [u8; 33],
    /// Our record; empty if the other side has it.
    pub record: &'a [u8],
}

impl HandshakeAuth<'_> {
    /// The bytes of the authdata besides the record.
    pub const FIXED_LEN: usize = HANDSHAKE_FIXED_LEN + 64 + 33;
}

impl Envelope<'_> {
    /// A message under session keys. `message` appends the plaintext.
    pub fn ordinary(
        &self,
        source: &NodeId,
        cipher: &Cipher,
        message: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        let mut out = self.start(FLAG_ORDINARY, source.0.len());
        out.extend_from_slice(&source.0);
        self.finish(out, cipher, message)
    }

    /// Random bytes in place of a message: they ask for a WHOAREYOU.
    pub fn random(&self, source: &NodeId, random: &[u8]) -> Vec<u8> {
        let mut out = self.start(FLAG_ORDINARY, source.0.len());
        out.extend_from_slice(&source.0);
        self.mask.apply(&self.iv, 0, &mut out[IV_LEN..]);
        out.extend_from_slice(random);
        out
    }

    /// The answer to a WHOAREYOU, with a message under the new keys.
    pub fn handshake(
        &self,
        source: &NodeId,
        auth: &HandshakeAuth<'_>,
        cipher: &Cipher,
        message: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        let len = HandshakeAuth::FIXED_LEN + auth.record.len();
        let mut out = self.start(FLAG_HANDSHAKE, len);
        out.extend_from_slice(&source.0);
        out.extend_from_slice(&[SIGNATURE_LEN, EPHEMERAL_LEN]);
        out.extend_from_slice(auth.signature);
        out.extend_from_slice(auth.ephemeral);
        out.extend_from_slice(auth.record);
        self.finish(out, cipher, message)
    }

    /// A question for a handshake. `record_seq` is that of the record we hold, 0 for none.
    pub fn who_are_you(&self, id_nonce: &[u8; 16], record_seq: u64) -> WhoAreYou {
        let mut out = self.start(FLAG_WHOAREYOU, WHOAREYOU_AUTH_LEN);
        out.extend_from_slice(id_nonce);
        out.extend_from_slice(&record_seq.to_be_bytes());
        let mut challenge_data = [0; super::MIN_LEN];
        challenge_data.copy_from_slice(&out);
        let mut packet = challenge_data;
        self.mask.apply(&self.iv, 0, &mut packet[IV_LEN..]);
        WhoAreYou {
            packet,
            challenge_data,
        }
    }

    fn start(&self, flag: u8, authdata_len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(STATIC_END + authdata_len + 128);
        out.extend_from_slice(&self.iv);
        out.extend_from_slice(&self.protocol.id);
        out.extend_from_slice(&self.protocol.version.to_be_bytes());
        out.push(flag);
        out.extend_from_slice(&self.nonce.0);
        // At most 131 and a record of 300.
        let size = u16::try_from(authdata_len).unwrap_or(u16::MAX);
        out.extend_from_slice(&size.to_be_bytes());
        out
    }

    fn finish(
        &self,
        mut out: Vec<u8>,
        cipher: &Cipher,
        message: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        let header_end = out.len();
        message(&mut out);
        let (header, message) = out.split_at_mut(header_end);
        let tag = cipher.seal(self.nonce, header, message);
        self.mask.apply(&self.iv, 0, &mut header[IV_LEN..]);
        out.extend_from_slice(&tag);
        out
    }
}

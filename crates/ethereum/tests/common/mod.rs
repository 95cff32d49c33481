//! The vectors of EIP-8, and two sides that share a session.

pub(crate) mod naive;
pub(crate) mod operations;
pub(crate) mod pair;
pub(crate) mod promises;
pub(crate) mod rogue;

use std::sync::LazyLock;

use bytes::Bytes;
use peerage_ethereum::frame::FrameCipher;
use peerage_ethereum::key::{Ephemeral, SecretKey};
use peerage_ethereum::rlpx::{Fresh, Initiator, Padding, Recipient};
use serde_json::Value;

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../vectors/rlpx.json")).unwrap());

pub(crate) fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// A value of 32 bytes under "keys".
pub(crate) fn secret(name: &str) -> [u8; 32] {
    hex(&VECTORS["keys"][name]).try_into().unwrap()
}

pub(crate) fn key(name: &str) -> SecretKey {
    SecretKey::from_bytes(secret(name)).unwrap()
}

/// The initiator of the vectors.
pub(crate) fn a() -> SecretKey {
    key("static_key_a")
}

/// The recipient of the vectors.
pub(crate) fn b() -> SecretKey {
    key("static_key_b")
}

/// The packets of one name, the old form first.
pub(crate) fn packets(name: &str) -> Vec<Vec<u8>> {
    let packets: Vec<_> = VECTORS[name]
        .as_array()
        .unwrap()
        .iter()
        .map(|packet| hex(&packet["hex"]))
        .collect();
    assert_eq!(packets.len(), 3);
    packets
}

/// The randomness of side `'a'` or `'b'` of the vectors; what they do not tell is made up.
pub(crate) fn fresh(side: char) -> Fresh {
    let mut ephemeral = [0x5a; 64];
    ephemeral[..32].copy_from_slice(&secret(&format!("ephemeral_key_{side}")));
    ephemeral[63] = side as u8;
    Fresh {
        nonce: secret(&format!("nonce_{side}")),
        ephemeral: Ephemeral::from_bytes(ephemeral).unwrap(),
        iv: [side as u8; 16],
        padding: Padding::from_random(side as u16),
    }
}

/// A and B after a handshake.
pub(crate) struct Session {
    pub(crate) a: FrameCipher,
    pub(crate) b: FrameCipher,
    pub(crate) auth: Bytes,
    pub(crate) ack: Bytes,
}

pub(crate) fn session() -> Session {
    let (initiator, auth) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    let recipient = Recipient::on_auth(&b(), auth.clone()).unwrap();
    let (at_b, ack) = recipient.answer(&b(), fresh('b')).unwrap();
    let at_a = initiator.on_ack(&a(), &ack).unwrap();
    Session {
        a: at_a,
        b: at_b,
        auth,
        ack,
    }
}

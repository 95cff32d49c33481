//! The official vectors. Their origin stands in `vectors/wire.json`.

use peerage_discv5::NodeId;
use peerage_discv5::cipher::{Cipher, Mask};
use peerage_discv5::curve::{PublicKey, SecretKey, keccak256};
use peerage_discv5::keys::Agreement;
use peerage_discv5::message::{Message, Request, RequestId};
use peerage_discv5::packet::{Envelope, HandshakeAuth, Kind, Nonce, Packet, Protocol};
use peerage_discv5::record::Unverified;
use serde_json::Value;

pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/wire.json")).unwrap()
}

/// The bytes of a `0x…` value.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    hex::decode(text.strip_prefix("0x").unwrap()).unwrap()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn secret(value: &Value) -> SecretKey {
    SecretKey::from_bytes(array(value)).unwrap()
}

/// The parameters of the vector with this name.
pub(crate) fn params(group: &str, name: &str) -> Value {
    let all = vectors();
    let rows = all[group].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("no vector {name}"))["params"].clone()
}

#[test]
fn the_node_ids_of_the_keys_are_those_of_the_vectors() {
    let all = vectors();
    let params = params("packets", "ping-message");
    for (key, id) in [
        ("node-a-key", "src-node-id"),
        ("node-b-key", "dest-node-id"),
    ] {
        let public = secret(&all["keys"][key]).public_key();
        assert_eq!(public.node_id(), NodeId(array(&params[id])));
    }
}

#[test]
fn the_shared_point_is_that_of_the_vector() {
    let params = params("crypto", "ecdh");
    let theirs = PublicKey::from_compressed(&array(&params["public-key"])).unwrap();
    let shared = secret(&params["secret-key"]).shared_point(&theirs);
    assert_eq!(shared, array(&params["shared-secret"]));
}

/// A row of the vectors' packets: its parameters, and the packet.
fn packet(name: &str) -> (Value, Vec<u8>) {
    let all = vectors();
    let rows = all["packets"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name).unwrap();
    (row["params"].clone(), bytes(&row["packet"]))
}

fn ids(params: &Value) -> (NodeId, NodeId) {
    let id = |name: &str| NodeId(array(&params[name]));
    (id("src-node-id"), id("dest-node-id"))
}

fn ping(params: &Value) -> (RequestId, Request<'static>) {
    let id = RequestId::new(&bytes(&params["ping.req-id"])).unwrap();
    let record_seq = params["ping.enr-seq"].as_u64().unwrap();
    (id, Request::Ping { record_seq })
}

fn agreement<'a>(ids: &'a (NodeId, NodeId), challenge_data: &'a [u8]) -> Agreement<'a> {
    Agreement {
        initiator: &ids.0,
        recipient: &ids.1,
        challenge_data,
    }
}

#[test]
fn the_ping_packet_is_read_and_written() {
    let (params, wire) = packet("ping-message");
    let (source, destination) = ids(&params);
    let mask = Mask::new(&destination);
    let cipher = Cipher::new(&array(&params["read-key"]));
    let nonce = Nonce(array(&params["nonce"]));
    let (id, request) = ping(&params);

    let mut received = wire.clone();
    let packet = Packet::unmask(&mask, Protocol::V5, &mut received).unwrap();
    assert_eq!(packet.nonce, nonce);
    assert_eq!(packet.kind, Kind::Ordinary { source });
    let plaintext = cipher.open(nonce, packet.header, packet.message).unwrap();
    let message = Message::decode(plaintext).unwrap();
    assert_eq!(message, Message::Request(id, request.clone()));

    let envelope = Envelope {
        mask: &mask,
        protocol: Protocol::V5,
        iv: [0; 16],
        nonce,
    };
    let written = envelope.ordinary(&source, &cipher, |out| request.encode(out, id));
    assert_eq!(written, wire);
}

#[test]
fn the_whoareyou_packet_is_read_and_written() {
    let (params, wire) = packet("whoareyou");
    let (_, destination) = ids(&params);
    let mask = Mask::new(&destination);
    let id_nonce = array(&params["whoareyou.id-nonce"]);
    let record_seq = params["whoareyou.enr-seq"].as_u64().unwrap();
    let envelope = Envelope {
        mask: &mask,
        protocol: Protocol::V5,
        iv: [0; 16],
        nonce: Nonce(array(&params["whoareyou.request-nonce"])),
    };

    let mut received = wire.clone();
    let packet = Packet::unmask(&mask, Protocol::V5, &mut received).unwrap();
    assert_eq!(packet.nonce, envelope.nonce);
    assert_eq!(packet.header, bytes(&params["whoareyou.challenge-data"]));
    let expected = Kind::WhoAreYou {
        id_nonce: &id_nonce,
        record_seq,
    };
    assert_eq!(packet.kind, expected);

    let written = envelope.who_are_you(&id_nonce, record_seq);
    assert_eq!(written.packet[..], wire);
    let challenge_data = bytes(&params["whoareyou.challenge-data"]);
    assert_eq!(written.challenge_data[..], challenge_data);
}

/// A handshake vector from both sides: A writes it, B reads it with nothing but its key.
fn check_handshake(name: &str) {
    let all = vectors();
    let (params, wire) = packet(name);
    let both = ids(&params);
    let mask = Mask::new(&both.1);
    let challenge_data = bytes(&params["whoareyou.challenge-data"]);
    let agreement = agreement(&both, &challenge_data);
    let (a, b) = (
        secret(&all["keys"]["node-a-key"]),
        secret(&all["keys"]["node-b-key"]),
    );
    let ephemeral_key = secret(&params["ephemeral-key"]);
    let ephemeral = ephemeral_key.public_key().compressed();
    assert_eq!(ephemeral, array(&params["ephemeral-pubkey"]));
    let (id, request) = ping(&params);

    let mut received = wire.clone();
    let packet = Packet::unmask(&mask, Protocol::V5, &mut received).unwrap();
    let Kind::Handshake {
        source,
        signature,
        ephemeral: received_ephemeral,
        record,
    } = packet.kind
    else {
        panic!("{:?}", packet.kind);
    };
    assert_eq!((source, received_ephemeral), (both.0, &ephemeral));
    let record = record.to_vec();
    if name == "ping-handshake-enr" {
        let record = Unverified::decode(&record).unwrap().verify().unwrap();
        assert_eq!(record.node_id(), both.0);
    } else {
        assert!(record.is_empty());
    }
    agreement
        .check_proof(&a.public_key(), &ephemeral, signature)
        .unwrap();
    let others = Agreement {
        recipient: &both.0,
        ..agreement
    };
    let passed_on = others.check_proof(&a.public_key(), &ephemeral, signature);
    assert!(passed_on.is_err());

    let theirs = PublicKey::from_compressed(received_ephemeral).unwrap();
    let keys = agreement.keys(&b.shared_point(&theirs));
    assert_eq!(*keys.initiator, array(&params["read-key"]));
    let opener = Cipher::new(&keys.into_recipients().open);
    let nonce = packet.nonce;
    let plaintext = opener.open(nonce, packet.header, packet.message).unwrap();
    let message = Message::decode(plaintext).unwrap();
    assert_eq!(message, Message::Request(id, request.clone()));

    let keys = agreement.keys(&ephemeral_key.shared_point(&b.public_key()));
    let sealer = Cipher::new(&keys.into_initiators().seal);
    let auth = HandshakeAuth {
        signature: &agreement.prove(&a, &ephemeral),
        ephemeral: &ephemeral,
        record: &record,
    };
    let envelope = Envelope {
        mask: &mask,
        protocol: Protocol::V5,
        iv: [0; 16],
        nonce,
    };
    let written = envelope.handshake(&both.0, &auth, &sealer, |out| request.encode(out, id));
    assert_eq!(written, wire);
}

#[test]
fn the_handshake_packet_is_read_and_written() {
    check_handshake("ping-handshake");
}

#[test]
fn the_handshake_packet_with_a_record_is_read_and_written() {
    check_handshake("ping-handshake-enr");
}

#[test]
fn the_keys_are_those_of_the_vector() {
    let params = params("crypto", "key-derivation");
    let theirs = PublicKey::from_compressed(&array(&params["dest-pubkey"])).unwrap();
    let both = (
        NodeId(array(&params["node-id-a"])),
        NodeId(array(&params["node-id-b"])),
    );
    let challenge_data = bytes(&params["challenge-data"]);
    let shared = secret(&params["ephemeral-key"]).shared_point(&theirs);
    let keys = agreement(&both, &challenge_data).keys(&shared);
    assert_eq!(*keys.initiator, array(&params["initiator-key"]));
    assert_eq!(*keys.recipient, array(&params["recipient-key"]));
}

#[test]
fn the_proof_is_that_of_the_vector() {
    let params = params("crypto", "id-nonce-signing");
    let key = secret(&params["static-key"]);
    let both = (
        key.public_key().node_id(),
        NodeId(array(&params["node-id-B"])),
    );
    let challenge_data = bytes(&params["challenge-data"]);
    let proof = agreement(&both, &challenge_data).prove(&key, &array(&params["ephemeral-pubkey"]));
    assert_eq!(proof, array(&params["id-signature"]));
}

#[test]
fn the_ciphertext_is_that_of_the_vector() {
    let params = params("crypto", "encryption-decryption");
    let cipher = Cipher::new(&array(&params["encryption-key"]));
    let (nonce, ad) = (Nonce(array(&params["nonce"])), bytes(&params["ad"]));
    let mut sealed = bytes(&params["pt"]);
    let tag = cipher.seal(nonce, &ad, &mut sealed);
    sealed.extend(tag);
    assert_eq!(sealed, bytes(&params["message-ciphertext"]));
    assert_eq!(
        cipher.open(nonce, &ad, &mut sealed).unwrap(),
        bytes(&params["pt"])
    );
}

/// Distances of keys from one key, as go-ethereum and nim-eth test them.
#[test]
fn the_distances_of_keys_are_those_that_others_count() {
    let target = "5d485bdcbe9bc89314a10ae9231e429d33853e3a8fa2af39f5f827370a2e4185\
                  e344ace5d16237491dad41f278f1d3785210d29ace76cd627b9147ee340b1125";
    let target = NodeId(keccak256(&[&hex::decode(target).unwrap()]));
    let rows = [
        (
            "29738ba0c1a4397d6a65f292eee07f02df8e58d41594ba2be3cf84ce0fc58169",
            251,
        ),
        (
            "511b1686e4e58a917f7f848e9bf5539d206a68f5ad6b54b552c2399fe7d174ae",
            251,
        ),
        (
            "1c9b1cafbec00848d2c174b858219914b42a7d5c9359b1ca03fd650e8239ae94",
            252,
        ),
        (
            "e0e1e8db4a6f13c1ffdd3e96b72fa7012293ced187c9dcdcb9ba2af37a46fa10",
            252,
        ),
        (
            "2d0511ae9bf590166597eeab86b6f27b1ab761761eaea8965487b162f8703847",
            253,
        ),
        (
            "6cfbd7b8503073fc3dbdb746a7c672571648d3bd15197ccf7f7fef3d904f53a2",
            253,
        ),
        (
            "dec742079ec00ff4ec1284d7905bc3de2366f67a0769431fd16f80fd68c58a7c",
            254,
        ),
        (
            "ff02c8861fa12fbd129d2a95ea663492ef9c1e51de19dcfbbfe1c59894a28d2b",
            254,
        ),
        (
            "da8645f90826e57228d9ea72aff84500060ad111a5d62e4af831ed8e4b5acfb8",
            255,
        ),
        (
            "3c944c5d9af51d4c1d43f5d0f3a1a7ef65d5e82744d669b58b5fed242941a566",
            255,
        ),
        (
            "8c5b422155d33ea8e9d46f71d1ad3e7b24cb40051413ffa1a81cff613d243ba9",
            256,
        ),
        (
            "937b1af801def4e8f5a3a8bd225a8bcff1db764e41d3e177f2e9376e8dd87233",
            256,
        ),
    ];
    for (key, distance) in rows {
        let key: [u8; 32] = hex::decode(key).unwrap().try_into().unwrap();
        let id = SecretKey::from_bytes(key).unwrap().public_key().node_id();
        assert_eq!(target.log_distance(&id), distance);
        assert_eq!(id.log_distance(&target), distance);
    }
    let low = |last: u16| {
        let mut bytes = [0; 32];
        bytes[30..].copy_from_slice(&last.to_be_bytes());
        NodeId(bytes)
    };
    for (last, distance) in [
        (0, 0),
        (1, 1),
        (3, 2),
        (4, 3),
        (15, 4),
        (0x80, 8),
        (0x1ff, 9),
    ] {
        assert_eq!(low(0).log_distance(&low(last)), distance);
    }
    assert_eq!(low(0).log_distance(&low(0xffff)), 16);
}

/// RFC 5869, appendix A, the cases with SHA-256: the key derivation stands on this.
#[test]
fn hkdf_is_that_of_the_rfc() {
    let run = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    let rows = [
        (
            vec![0x0b; 22],
            run(0, 0x0c),
            run(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            run(0, 0x4f),
            run(0x60, 0xaf),
            run(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ];
    for (secret, salt, info, expected) in rows {
        let mut out = vec![0; expected.len() / 2];
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(&salt), &secret);
        hkdf.expand(&info, &mut out).unwrap();
        assert_eq!(hex::encode(out), expected);
    }
}

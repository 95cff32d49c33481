//! The official vectors. Their origin stands in `vectors/wire.json`.

use peerage_discv5::NodeId;
use peerage_discv5::curve::{PublicKey, SecretKey};
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

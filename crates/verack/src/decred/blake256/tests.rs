use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const VECTORS: &str = include_str!("../../../tests/vectors/decred-blake256.json");

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    salt: Option<String>,
    message: String,
    digest: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<File>(VECTORS).unwrap().vectors
}

fn salted(salt: Option<&str>) -> Blake256 {
    match salt {
        Some(salt) => Blake256::with_salt(hex::decode(salt).unwrap().try_into().unwrap()),
        None => Blake256::new(),
    }
}

#[test]
fn the_digests_are_dcrds() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 26, "17 of dcrd's own tests and 9 at edges");
    for vector in vectors {
        let message = hex::decode(&vector.message).unwrap();
        let mut hasher = salted(vector.salt.as_deref());
        hasher.update(&message);
        let digest = hex::encode(hasher.finalize());
        assert_eq!(digest, vector.digest, "{}", vector.name);
        if vector.salt.is_none() {
            assert_eq!(
                hex::encode(blake256(&message)),
                vector.digest,
                "{}",
                vector.name
            );
        }
    }
}

#[test]
fn a_message_fed_byte_by_byte_has_the_same_digest() {
    for vector in vectors() {
        let mut hasher = salted(vector.salt.as_deref());
        for byte in hex::decode(&vector.message).unwrap() {
            hasher.update(&[byte]);
        }
        let digest = hex::encode(hasher.finalize());
        assert_eq!(digest, vector.digest, "{}", vector.name);
    }
}

#[test]
fn no_salt_is_a_salt_of_zeros() {
    let mut hasher = Blake256::with_salt([0; 16]);
    hasher.update(b"abc");
    assert_eq!(hasher.finalize(), blake256(b"abc"));
}

#[test]
fn the_counter_goes_on_beyond_its_lower_word() {
    // The state after 2^29 zero bytes, which are 2^32 bits. The digest of those and one more is
    // the one that dcrd's crypto/blake256 v1.1.0 gives for the whole message.
    let h = [
        0x031a_aafd,
        0x1f7f_aed1,
        0xc522_b5cc,
        0x1c48_adec,
        0x7808_3c22,
        0x038a_c50e,
        0xbd03_da86,
        0xc716_12f1,
    ];
    let mut hasher = Blake256 {
        state: State { h, s: [0; 4] },
        bits: 1 << 32,
        ..Blake256::new()
    };
    hasher.update(&[0]);
    assert_eq!(
        hex::encode(hasher.finalize()),
        "fa970bbdcc5b1fdaa298b2395703f02ad3b4e95dbbe066c64d87d1575d1c9188"
    );
}

proptest! {
    #[test]
    fn any_split_of_the_updates_gives_the_one_shot_digest(
        message in prop::collection::vec(any::<u8>(), 0..400),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        salt in any::<[u8; 16]>(),
    ) {
        let mut whole = Blake256::with_salt(salt);
        whole.update(&message);

        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
        cuts.sort_unstable();
        let mut parts = Blake256::with_salt(salt);
        let mut from = 0;
        for cut in cuts {
            parts.update(&message[from..cut]);
            from = cut;
        }
        parts.update(&message[from..]);

        prop_assert_eq!(parts.finalize(), whole.finalize());
    }
}

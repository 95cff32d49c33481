//! Keys: what is one and what is not, and that none is shown.

use peerage_ethereum::key::{
    Ephemeral, InvalidKey, InvalidPeerId, PeerId, PublicKey, SecretKey, SharedStatic,
};

use crate::common::{a, b};

/// The generator (SEC 2, section 2.4.1), which is the public key of one.
const G: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                 483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";
/// The order of the curve, the least number that is too great for a secret.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn number(digits: &str) -> [u8; 32] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

fn one() -> [u8; 32] {
    let mut one = [0; 32];
    one[31] = 1;
    one
}

#[test]
fn the_public_key_of_one_is_the_generator() {
    let key = SecretKey::from_bytes(one()).unwrap();
    assert_eq!(key.id().to_string(), G);
    assert_eq!(format!("{:?}", key.id()), G);
    assert_eq!(
        hex::encode(key.public().compressed()),
        format!("02{}", &G[..64])
    );
}

#[test]
fn a_secret_is_neither_zero_nor_as_great_as_the_order() {
    let order = number(ORDER);
    let mut below = order;
    below[31] -= 1;
    assert!(SecretKey::from_bytes(below).is_ok());
    for bad in [[0; 32], order, [0xff; 32]] {
        assert_eq!(SecretKey::from_bytes(bad).unwrap_err(), InvalidKey::Secret);
    }
    for at in [0, 32] {
        let mut pairs = [1; 64];
        pairs[at..at + 32].copy_from_slice(&order);
        assert_eq!(
            Ephemeral::from_bytes(pairs).unwrap_err(),
            InvalidKey::Secret
        );
    }
}

#[test]
fn every_form_of_a_public_key_is_the_same_key() {
    let key = *b().public();
    let mut long = [4; 65];
    long[1..].copy_from_slice(&key.id().0);
    assert_eq!(PublicKey::try_from(key.id()), Ok(key));
    assert_eq!(PublicKey::from_uncompressed(long), Ok(key));
    assert_eq!(PublicKey::from_compressed(key.compressed()), Ok(key));
}

#[test]
fn a_point_off_the_curve_is_no_key() {
    let good = b().id().0;
    let refused = |id| PublicKey::try_from(PeerId(id)) == Err(InvalidKey::Public);
    assert!(refused([0; 64]), "infinity has no such form");
    assert!(refused([0xff; 64]), "not below the field's prime");
    for at in 0..64 {
        let mut id = good;
        id[at] ^= 1;
        assert!(refused(id), "flipped in byte {at}");
    }
    // x = 5 has no point: 5^3 + 7 is not a square.
    let mut short = [0; 33];
    (short[0], short[32]) = (2, 5);
    assert_eq!(PublicKey::from_compressed(short), Err(InvalidKey::Public));
}

#[test]
fn only_04_begins_a_long_key() {
    let mut long = [0; 65];
    long[1..].copy_from_slice(&b().id().0);
    for tag in 0..=255 {
        long[0] = tag;
        assert_eq!(
            PublicKey::from_uncompressed(long).is_ok(),
            tag == 4,
            "{tag:#x}"
        );
    }
}

#[test]
fn a_peer_id_is_read_as_it_is_shown_and_from_nothing_else() {
    let id = a().id();
    let text = id.to_string();
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse(), Ok(id));
    let bad = [
        String::new(),
        text[1..].to_owned(),
        text[2..].to_owned(),
        format!("{text}0"),
        format!("{text}00"),
        format!("0x{}", &text[2..]),
        format!("+{}", &text[1..]),
        format!("é{}", &text[2..]),
    ];
    for bad in bad {
        assert_eq!(bad.parse::<PeerId>(), Err(InvalidPeerId), "{bad}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let shared = SharedStatic::new(&a(), b().public());
    let peer = b().id();
    assert_eq!(
        format!("{shared:?}"),
        format!("SharedStatic(secret, with {peer})")
    );
    assert_eq!(format!("{:?}", a()), "SecretKey(secret)");
    let pairs = Ephemeral::from_bytes([7; 64]).unwrap();
    assert_eq!(format!("{pairs:?}"), "Ephemeral(secret)");
}

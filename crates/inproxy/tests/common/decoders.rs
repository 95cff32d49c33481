//! Bytes into every decoder: what is accepted is written again and read the same.
//!
//! The first byte chooses the decoder, the rest is its input. A fuzz target, a property test and a
//! folder of kept inputs all call [`run`].

use std::fmt::Debug;

use peerage_core::UnixTime;
use peerage_inproxy::envelope::Envelope;
use peerage_inproxy::message::{Call, MAX_MESSAGE_LEN, Reply};
use peerage_inproxy::{Description, Invitation, Pairing, SignedEntry, SignerSecret};

type Decoder = fn(&[u8]) -> bool;

/// The decoders, by what the first byte is modulo their number.
pub(crate) const DECODERS: [(&str, Decoder); 7] = [
    ("envelope", envelope),
    ("call", call),
    ("reply", reply),
    ("description", description),
    ("entry", entry),
    ("invitation", invitation),
    ("pairing", pairing),
];

/// Reads an input, and says by which decoder and whether it was accepted.
///
/// # Panics
/// When what was accepted does not come out the same.
pub(crate) fn run(input: &[u8]) -> Option<(&'static str, bool)> {
    let (choice, rest) = input.split_first()?;
    let (name, decoder) = DECODERS[usize::from(*choice) % DECODERS.len()];
    Some((name, decoder(rest)))
}

/// Encodings are canonical: what is accepted is the bytes that it is written as.
fn same<T: PartialEq + Debug, E: Debug>(
    read: Result<T, E>,
    write: impl Fn(&T) -> Vec<u8>,
    input: &[u8],
) -> bool {
    let Ok(value) = read else { return false };
    assert_eq!(write(&value), input, "{value:?}");
    assert!(input.len() <= MAX_MESSAGE_LEN);
    true
}

fn envelope(input: &[u8]) -> bool {
    same(
        Envelope::decode(input),
        |value| value.encode().unwrap().to_vec(),
        input,
    )
}

fn call(input: &[u8]) -> bool {
    same(
        Call::decode(input),
        |value| value.encode().unwrap().to_vec(),
        input,
    )
}

fn reply(input: &[u8]) -> bool {
    same(
        Reply::decode(input),
        |value| value.encode().unwrap().to_vec(),
        input,
    )
}

fn description(input: &[u8]) -> bool {
    same(
        Description::decode(input),
        |value| value.encode().unwrap().to_vec(),
        input,
    )
}

fn entry(input: &[u8]) -> bool {
    same(
        SignedEntry::decode(input),
        |value| value.encode().unwrap().to_vec(),
        input,
    )
}

/// As a link. A signature is not found by chance, so what is accepted is signed again by somebody else.
fn invitation(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let Ok((invitation, _)) = Invitation::from_link(&text, None, UnixTime(i64::MIN)) else {
        return false;
    };
    let signer = SignerSecret::new(&[1; 32]);
    let link = invitation.to_link(&signer).unwrap();
    let again = Invitation::from_link(&link, Some(signer.public()), UnixTime(i64::MIN));
    assert_eq!(again.unwrap().0, invitation);
    true
}

fn pairing(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let Ok(pairing) = text.parse::<Pairing>() else {
        return false;
    };
    let link = pairing.to_link().unwrap();
    assert_eq!(link.parse(), Ok(pairing));
    true
}

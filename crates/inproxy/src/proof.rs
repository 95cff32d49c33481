//! A volunteer's word for its end of a match, to clients that have its key from a pairing.
//!
//! Fingerprints travel through the broker, which could answer in a volunteer's place. Where two have met
//! before, by a pairing, they need not believe it: the volunteer signs both ends as it knows them.

use ring::digest;

use crate::description::Description;
use crate::keys::{PartySecret, SIGNATURE_LEN, SignerKey, SignerSecret};

/// In front of what is signed, so that no signature serves another purpose.
const CONTEXT: &[u8] = b"peerage in-proxy volunteer's answer\0";
/// In front of the secret that the signing key is made of.
const DERIVATION: &[u8] = b"peerage in-proxy volunteer's signing key\0";

/// The key that a volunteer signs with: one secret, kept in one file, is both halves of what it is.
pub fn signer(secret: &PartySecret) -> SignerSecret {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(DERIVATION);
    hash.update(secret.as_bytes());
    let mut seed = [0; 32];
    seed.copy_from_slice(hash.finish().as_ref());
    SignerSecret::new(&seed)
}

/// What is signed: check keys and fingerprints of every transport, the client's first. Both are drawn for this match, so a
/// proof holds for no other. Candidates are not in it: the broker drops some, and whoever is there must
/// have the fingerprint's key.
fn signed(client: &Description, volunteer: &Description) -> Vec<u8> {
    let mut bytes = CONTEXT.to_vec();
    for end in [client, volunteer] {
        bytes.extend_from_slice(&end.check_key.0);
        bytes.extend_from_slice(&end.fingerprint.0);
        bytes.push(end.dtls.is_some().into());
        bytes.extend(end.dtls.iter().flat_map(|dtls| dtls.0));
    }
    bytes
}

/// The proof for a client that was described so.
pub fn prove(
    signer: &SignerSecret,
    client: &Description,
    volunteer: &Description,
) -> [u8; SIGNATURE_LEN] {
    signer.sign(&signed(client, volunteer))
}

/// Whether the volunteer of this key described itself so, to a client that was described so.
pub fn holds(key: SignerKey, client: &Description, volunteer: &Description, proof: &[u8]) -> bool {
    key.has_signed(&signed(client, volunteer), proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{CheckKey, Fingerprint};

    fn described(name: u8) -> Description {
        Description {
            check_key: CheckKey([name; 16]),
            fingerprint: Fingerprint([name; 32]),
            dtls: None,
            candidates: Vec::new(),
        }
    }

    #[test]
    fn a_proof_holds_for_both_ends_as_they_are() {
        let signer = signer(&PartySecret::new([7; 32]));
        let (client, volunteer) = (described(1), described(2));
        let proof = prove(&signer, &client, &volunteer);
        let key = signer.public();
        assert!(holds(key, &client, &volunteer, &proof));
        // A fingerprint that was put in, or another one.
        let webrtc = |dtls| Description {
            dtls: Some(Fingerprint([dtls; 32])),
            ..described(2)
        };
        assert!(!holds(key, &client, &webrtc(5), &proof));
        let both = prove(&signer, &client, &webrtc(5));
        assert!(holds(key, &client, &webrtc(5), &both));
        assert!(!holds(key, &client, &webrtc(6), &both));
        assert!(!holds(key, &client, &volunteer, &both));
        // Swapped, for another client, by another volunteer, cut, or of another key.
        assert!(!holds(key, &volunteer, &client, &proof));
        assert!(!holds(key, &described(3), &volunteer, &proof));
        assert!(!holds(key, &client, &described(3), &proof));
        assert!(!holds(key, &client, &volunteer, &proof[..63]));
        assert!(!holds(key, &client, &volunteer, &[]));
        let other = super::signer(&PartySecret::new([8; 32])).public();
        assert!(!holds(other, &client, &volunteer, &proof));
        for change in [
            |end: &mut Description| end.check_key.0[15] ^= 1,
            |end: &mut Description| end.fingerprint.0[0] ^= 1,
        ] {
            let mut changed = described(2);
            change(&mut changed);
            assert!(!holds(key, &client, &changed, &proof));
        }
    }
}

//! What two finished handshake packets give: the keys of the frames.
//!
//! ```text
//! shared = H(ephemeral ‖ H(recipient-nonce ‖ initiator-nonce))      H: Keccak-256
//! aes    = H(ephemeral ‖ shared)
//! mac    = H(ephemeral ‖ aes)
//! egress: H absorbs (mac ⊕ the other's nonce) ‖ the packet we sent
//! ingress: H absorbs (mac ⊕ our nonce) ‖ the packet we received      sizes in front included
//! ```
//!
//! Source: devp2p, `rlpx.md`, "Initial Handshake" and "Framing".

use zeroize::Zeroizing;

use crate::frame::{Egress, FrameCipher, Ingress};
use crate::keccak::Keccak256;
use crate::key::Shared;
use crate::rlpx::Nonce;

/// One side's nonce and the whole packet that carried it.
#[derive(Clone, Copy)]
pub(crate) struct Half<'a> {
    pub(crate) nonce: &'a Nonce,
    pub(crate) packet: &'a [u8],
}

pub(crate) struct Secrets {
    pub(crate) aes: Zeroizing<[u8; 32]>,
    pub(crate) mac: Zeroizing<[u8; 32]>,
}

impl Secrets {
    pub(crate) fn derive(ephemeral: &Shared, initiator: &Nonce, recipient: &Nonce) -> Self {
        let nonces = Keccak256::of(&[recipient, initiator]);
        let shared = Zeroizing::new(Keccak256::of(&[&ephemeral[..], &nonces]));
        let aes = Zeroizing::new(Keccak256::of(&[&ephemeral[..], &shared[..]]));
        let mac = Zeroizing::new(Keccak256::of(&[&ephemeral[..], &aes[..]]));
        Self { aes, mac }
    }

    /// The digest that authenticates what a side sends: begun with the receiver's nonce.
    pub(crate) fn digest(&self, receiver: &Nonce, packet: &[u8]) -> Keccak256 {
        let mut seed = self.mac.clone();
        seed.iter_mut().zip(receiver).for_each(|(s, n)| *s ^= n);
        let mut digest = Keccak256::new();
        digest.update(&seed[..]);
        digest.update(packet);
        digest
    }

    /// Both directions, as seen by the side that sent `ours`.
    pub(crate) fn cipher(&self, ours: Half<'_>, theirs: Half<'_>) -> FrameCipher {
        FrameCipher {
            egress: Egress::new(self, self.digest(theirs.nonce, ours.packet)),
            ingress: Ingress::new(self, self.digest(ours.nonce, theirs.packet)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{PublicKey, SecretKey};

    /// What go-ethereum derives as the recipient of the second auth. Its ack was sealed with a key
    /// nobody wrote down, so this cannot be asked of the public surface.
    #[test]
    fn secrets_and_digest_are_those_of_the_eip_8_vectors() {
        let vectors = include_str!("../tests/vectors/rlpx.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let hex = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let key = |name: &str| <[u8; 32]>::try_from(hex(&vectors["keys"][name])).unwrap();
        let derived = |name: &str| hex(&vectors["derived_by_b_from_auth_2_and_its_ack_2"][name]);

        let theirs: PublicKey = *SecretKey::from_bytes(key("ephemeral_key_a"))
            .unwrap()
            .public();
        let ours = SecretKey::from_bytes(key("ephemeral_key_b")).unwrap();
        let (initiator, recipient) = (key("nonce_a"), key("nonce_b"));
        let secrets = Secrets::derive(&ours.agree(&theirs), &initiator, &recipient);
        assert_eq!(secrets.aes.to_vec(), derived("aes_secret"));
        assert_eq!(secrets.mac.to_vec(), derived("mac_secret"));

        let mut ingress = secrets.digest(&recipient, &hex(&vectors["auth"][1]["hex"]));
        ingress.update(b"foo");
        let expected = derived("ingress_mac_digest_after_absorbing_ascii_foo");
        assert_eq!(ingress.digest().to_vec(), expected);
    }
}

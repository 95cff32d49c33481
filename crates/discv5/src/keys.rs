//! How two nodes agree on session keys (discv5-theory, "Handshake" and "Sessions").

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::curve::{BadSignature, PublicKey, SecretKey};
use crate::node_id::NodeId;

const AGREEMENT: &[u8] = b"discovery v5 key agreement";
const PROOF: &[u8] = b"discovery v5 identity proof";

/// A key of one direction, overwritten when dropped.
pub type Key = Zeroizing<[u8; 16]>;

/// The keys of a session as one side has them.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKeys {
    /// What we seal with.
    pub seal: Key,
    /// What we open with.
    pub open: Key,
}

/// The keys of a session, by who speaks. The initiator is the one who was asked for a handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// What the initiator seals with.
    pub initiator: Key,
    /// What the other side seals with.
    pub recipient: Key,
}

/// Two parties and the challenge between them.
#[derive(Clone, Copy, Debug)]
pub struct Agreement<'a> {
    /// Who was asked for the handshake.
    pub initiator: &'a NodeId,
    /// Who asked.
    pub recipient: &'a NodeId,
    /// Masking IV and unmasked header of the WHOAREYOU.
    pub challenge_data: &'a [u8],
}

impl Agreement<'_> {
    /// The keys, from the compressed shared point. HKDF-SHA256 with the challenge as salt.
    pub fn keys(&self, shared_point: &[u8; 33]) -> SessionKeys {
        let mut both = Zeroizing::new([0; 32]);
        let info = [AGREEMENT, &self.initiator.0, &self.recipient.0];
        let derived = Hkdf::<Sha256>::new(Some(self.challenge_data), shared_point)
            .expand_multi_info(&info, &mut *both);
        // It fails beyond 255 hashes of output only; the keys of zeros then fit nobody's.
        debug_assert!(derived.is_ok());
        let (mut initiator, mut recipient) = (Key::default(), Key::default());
        initiator.copy_from_slice(&both[..16]);
        recipient.copy_from_slice(&both[16..]);
        SessionKeys {
            initiator,
            recipient,
        }
    }

    /// The initiator's proof that it holds its key. One curve signature.
    pub fn prove(&self, key: &SecretKey, ephemeral: &[u8; 33]) -> [u8; 64] {
        key.sign(self.proof_digest(ephemeral))
    }

    /// Checks the initiator's proof. One curve verification.
    ///
    /// # Errors
    /// [`BadSignature`] when it was made with another key or for another challenge.
    pub fn check_proof(
        &self,
        key: &PublicKey,
        ephemeral: &[u8; 33],
        signature: &[u8; 64],
    ) -> Result<(), BadSignature> {
        key.verify(self.proof_digest(ephemeral), signature)
    }

    /// The proof covers the recipient's id, so that nobody can pass it on.
    fn proof_digest(&self, ephemeral: &[u8; 33]) -> [u8; 32] {
        Sha256::new()
            .chain_update(PROOF)
            .chain_update(self.challenge_data)
            .chain_update(ephemeral)
            .chain_update(self.recipient.0)
            .finalize()
            .into()
    }
}

impl SessionKeys {
    /// As the initiator has them.
    pub fn into_initiators(self) -> OwnKeys {
        OwnKeys {
            seal: self.initiator,
            open: self.recipient,
        }
    }

    /// As the other side has them.
    pub fn into_recipients(self) -> OwnKeys {
        OwnKeys {
            seal: self.recipient,
            open: self.initiator,
        }
    }
}

impl std::fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKeys(…)")
    }
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKeys(…)")
    }
}

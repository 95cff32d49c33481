//! The frames of one direction, the slow and plain way: from the text of the specification, with
//! everything ever absorbed kept and hashed anew, one AES block at a time, another Keccak.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use peerage_ethereum::key::{PeerId, PublicKey};
use sha3::{Digest as _, Keccak256};

use super::secret;

pub(crate) struct Naive {
    aes: [u8; 32],
    mac: [u8; 32],
    /// Blocks of key stream used.
    used: u128,
    /// All that the digest absorbed.
    absorbed: Vec<u8>,
}

fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    Keccak256::digest(parts.concat()).into()
}

fn encrypt(key: &[u8; 32], block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    Aes256::new(key.into()).encrypt_block(&mut block);
    block.into()
}

fn xor<const N: usize>(a: [u8; N], b: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

impl Naive {
    /// What `packet`'s sender sends to the owner of `receiver_nonce`, after the vectors' keys and
    /// nonces.
    pub(crate) fn new(receiver_nonce: &str, packet: &[u8]) -> Self {
        let point = *super::key("ephemeral_key_b").public();
        Self::with_point(&point, receiver_nonce, secret("nonce_b"), packet)
    }

    /// The same with whatever ephemeral key and nonce a recipient chose.
    pub(crate) fn with_point(
        theirs: &PublicKey,
        receiver_nonce: &str,
        recipient_nonce: [u8; 32],
        packet: &[u8],
    ) -> Self {
        let ours = secp256k1::SecretKey::from_byte_array(secret("ephemeral_key_a")).unwrap();
        let theirs = secp256k1::PublicKey::from_slice(&theirs.compressed()).unwrap();
        let product = secp256k1::ecdh::shared_secret_point(&theirs, &ours);
        let ephemeral = &product[..32];

        let nonces = keccak(&[&recipient_nonce, &secret("nonce_a")]);
        let shared = keccak(&[ephemeral, &nonces]);
        let aes = keccak(&[ephemeral, &shared]);
        let mac = keccak(&[ephemeral, &aes]);
        let receiver_nonce = match receiver_nonce {
            "nonce_b" => recipient_nonce,
            name => secret(name),
        };
        let mut absorbed = xor(mac, &receiver_nonce).to_vec();
        absorbed.extend_from_slice(packet);
        Self {
            aes,
            mac,
            used: 0,
            absorbed,
        }
    }

    /// One frame. `size` is what its header says, `body` what follows.
    pub(crate) fn seal_as(&mut self, size: u64, body: &[u8]) -> Vec<u8> {
        let mut header = [0; 16];
        header[..3].copy_from_slice(&size.to_be_bytes()[5..]);
        header[3..6].copy_from_slice(&[0xc2, 0x80, 0x80]);
        self.seal_with(header, body)
    }

    pub(crate) fn seal(&mut self, body: &[u8]) -> Vec<u8> {
        self.seal_as(body.len() as u64, body)
    }

    pub(crate) fn seal_with(&mut self, header: [u8; 16], body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(16), 0);

        let header = self.crypt(&header);
        let seed = encrypt(&self.mac, self.digest());
        self.absorbed.extend(xor(seed, &header));
        let mut frame = header;
        frame.extend(self.digest());

        let body = self.crypt(&body);
        self.absorbed.extend(&body);
        let digest = self.digest();
        let seed = encrypt(&self.mac, digest);
        self.absorbed.extend(xor(seed, &digest));
        frame.extend(body);
        frame.extend(self.digest());
        frame
    }

    /// Every part of a frame is whole blocks.
    fn crypt(&mut self, bytes: &[u8]) -> Vec<u8> {
        let blocks = bytes.as_chunks::<16>().0.iter();
        blocks
            .flat_map(|block| {
                let stream = encrypt(&self.aes, self.used.to_be_bytes());
                self.used += 1;
                xor(*block, &stream)
            })
            .collect()
    }

    fn digest(&self) -> [u8; 16] {
        keccak(&[&self.absorbed])[..16].try_into().unwrap()
    }
}

/// The point that an id is.
pub(crate) fn point(id: &[u8]) -> PublicKey {
    PublicKey::try_from(PeerId(id.try_into().unwrap())).unwrap()
}

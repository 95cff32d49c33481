//! The two ciphers of a packet: the mask of its header and the seal of its message.
//!
//! Both keep their key schedule, which costs more than the encryption of a small message.

use std::fmt;

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AesGcm, Tag};

use crate::node_id::NodeId;
use crate::packet::Nonce;

/// The bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// How many blocks are encrypted at once: as many as the processor works on side by side.
const PARALLEL: usize = 8;

/// The header mask of packets to one node: AES-128-CTR with a 128-bit counter, the key being the
/// first half of the destination's id (discv5-wire, "Packet Encoding").
#[derive(Clone)]
pub struct Mask(Aes128Enc);

impl Mask {
    /// The mask of packets to this node.
    pub fn new(destination: &NodeId) -> Self {
        Self(Aes128Enc::new(&destination.mask_key().into()))
    }

    /// Masks or unmasks `bytes`, which begin `offset` bytes after the masking IV.
    pub fn apply(&self, iv: &[u8; 16], offset: usize, bytes: &mut [u8]) {
        let mut counter = u128::from_be_bytes(*iv).wrapping_add((offset / 16) as u128);
        let mut skip = offset % 16;
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut blocks = [aes::Block::default(); PARALLEL];
            let wanted = (skip + rest.len()).div_ceil(16).min(PARALLEL);
            for block in &mut blocks[..wanted] {
                *block = counter.to_be_bytes().into();
                counter = counter.wrapping_add(1);
            }
            self.0.encrypt_blocks(&mut blocks[..wanted]);
            let stream = blocks[..wanted].iter().flatten().skip(skip);
            let len = rest.len().min(wanted * 16 - skip);
            let (now, later) = rest.split_at_mut(len);
            for (byte, key) in now.iter_mut().zip(stream) {
                *byte ^= key;
            }
            skip = 0;
            rest = later;
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(…)")
    }
}

/// The message does not authenticate under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not authenticate")]
pub struct NotAuthentic;

/// One direction of a session: AES-128-GCM.
#[derive(Clone)]
pub struct Cipher(AesGcm<Aes128Enc, U12>);

impl Cipher {
    /// The cipher with this key.
    pub fn new(key: &[u8; 16]) -> Self {
        Self(AesGcm::new(key.into()))
    }

    /// Encrypts in place and returns the tag. A nonce is used once for each key.
    pub fn seal(&self, nonce: Nonce, header: &[u8], message: &mut [u8]) -> [u8; TAG_LEN] {
        let sealed = self
            .0
            .encrypt_inout_detached(&nonce.0.into(), header, message.into());
        // It fails for messages of gigabytes only; the tag of zeros then fails to authenticate.
        sealed.map_or([0; TAG_LEN], Into::into)
    }

    /// Decrypts in place what [`Self::seal`] made: ciphertext, then tag.
    ///
    /// # Errors
    /// [`NotAuthentic`], and `sealed` is as it was.
    pub fn open<'a>(
        &self,
        nonce: Nonce,
        header: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], NotAuthentic> {
        let (message, tag) = sealed.split_last_chunk_mut().ok_or(NotAuthentic)?;
        let tag: Tag = (*tag).into();
        self.0
            .decrypt_inout_detached(&nonce.0.into(), header, (&mut *message).into(), &tag)
            .map_err(|_| NotAuthentic)?;
        Ok(message)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn masking_in_parts_is_masking_at_once(cut in 0usize..300, len in 0usize..600) {
            let mask = Mask::new(&NodeId([3; 32]));
            let iv = [0xff; 16];
            let mut whole = vec![0x55; len];
            mask.apply(&iv, 0, &mut whole);
            let mut parts = vec![0x55; len];
            let cut = cut.min(len);
            let (first, second) = parts.split_at_mut(cut);
            mask.apply(&iv, 0, first);
            mask.apply(&iv, cut, second);
            prop_assert_eq!(&whole, &parts);
            mask.apply(&iv, 0, &mut whole);
            prop_assert_eq!(whole, vec![0x55; len]);
        }
    }

    #[test]
    fn the_counter_of_the_mask_has_128_bits() {
        // Counter mode by its definition: block n of the stream is the encryption of IV + n.
        let mask = Mask::new(&NodeId([9; 32]));
        let iv = [0xff; 16];
        let mut stream = [0; 48];
        mask.apply(&iv, 0, &mut stream);
        for (n, counter) in [u128::MAX, 0, 1].into_iter().enumerate() {
            let mut block = aes::Block::from(counter.to_be_bytes());
            mask.0.encrypt_block(&mut block);
            assert_eq!(stream[n * 16..][..16], block[..]);
        }
    }

    #[test]
    fn what_does_not_authenticate_is_left_as_it_was() {
        let cipher = Cipher::new(&[1; 16]);
        let nonce = Nonce([2; 12]);
        let mut sealed = b"hello".to_vec();
        let tag = cipher.seal(nonce, b"header", &mut sealed);
        sealed.extend(tag);
        let before = sealed.clone();
        let other = Cipher::new(&[3; 16]);
        assert!(other.open(nonce, b"header", &mut sealed).is_err());
        assert!(cipher.open(nonce, b"other", &mut sealed).is_err());
        assert!(cipher.open(nonce, b"header", &mut [0; 15]).is_err());
        assert_eq!(sealed, before);
        let opened = cipher.open(nonce, b"header", &mut sealed).unwrap();
        assert_eq!(opened, b"hello");
    }
}

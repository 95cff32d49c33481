//! ECIES, RLPx's way: a packet that only the owner of one key can read, from nobody in particular.
//!
//! ```text
//!  0      2                  67     83
//!  | size | 04, public key   | IV   | body, then zeros             | tag    |
//!  | BE   | of a fresh pair  |      | AES-128-CTR                  | 32     |
//! ```
//!
//! The tag is HMAC-SHA256 over IV, ciphertext **and the two bytes of the size**. Both keys come from
//! the x coordinate of the product, by the concatenation KDF of NIST SP 800-56A over SHA-256.
//!
//! Source: devp2p, `rlpx.md`, "ECIES Encryption"; EIP-8 for the size and the padding.
//!
//! # Security
//! The sender is *not* authenticated: whoever knows a public key can seal to it.

use aes::Aes128Enc;
use bytes::{BufMut, BytesMut};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::key::{PublicKey, SecretKey, Shared, UNCOMPRESSED};

/// What sealing adds to a body besides the size, in bytes: public key, IV, tag.
pub const OVERHEAD: usize = KEY_LEN + IV_LEN + TAG_LEN;

/// Length of the size in front, in bytes.
pub const PREFIX_LEN: usize = 2;

/// The most bytes of padding behind a body.
pub const MAX_PADDING: u16 = 300;

const KEY_LEN: usize = 65;
const IV_LEN: usize = 16;
const TAG_LEN: usize = 32;
/// Where the IV stands in a packet.
const IV_AT: usize = PREFIX_LEN + KEY_LEN;
/// Where the body stands in a packet.
const BODY_AT: usize = IV_AT + IV_LEN;

/// Why a packet does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EciesError {
    /// Fewer bytes than an empty packet has.
    #[error("a sealed packet of {len} bytes; even an empty one has {least}", least = PREFIX_LEN + OVERHEAD)]
    TooShort {
        /// Bytes given, the size included.
        len: usize,
    },
    /// The size in front is not the size.
    #[error("the packet's size field says {declared} bytes, {got} follow")]
    Length {
        /// What the first two bytes say.
        declared: usize,
        /// Bytes behind them.
        got: usize,
    },
    /// The sender's key is no point of the curve, or not written out in full.
    #[error("the packet's key is no point of secp256k1")]
    NotAPoint,
    /// Sealed to another key, or changed on the way.
    #[error("the packet's tag is wrong: sealed to another key, or changed on the way")]
    WrongTag,
}

/// Seals a body and `padding` zero bytes (at most [`MAX_PADDING`] are added) to the owner of `to`.
///
/// `pair` and `iv` must be fresh.
#[must_use]
pub fn seal<const N: usize>(
    to: &PublicKey,
    pair: &SecretKey,
    iv: [u8; IV_LEN],
    body: &[u8; N],
    padding: u16,
) -> BytesMut {
    const { assert!(OVERHEAD + N + MAX_PADDING as usize <= u16::MAX as usize) };
    let padding = usize::from(padding.min(MAX_PADDING));
    let size = OVERHEAD + N + padding;
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    let prefix = (size as u16).to_be_bytes();

    let mut packet = BytesMut::with_capacity(PREFIX_LEN + size);
    packet.put_slice(&prefix);
    packet.put_slice(&pair.public().uncompressed());
    packet.put_slice(&iv);
    packet.put_slice(body);
    packet.put_bytes(0, padding);
    let keys = Keys::new(&pair.agree(to));
    keys.cipher(iv).apply_keystream(&mut packet[BODY_AT..]);
    let tag = keys.tag(&packet[IV_AT..], prefix);
    packet.put_slice(&tag);
    packet
}

/// Opens a whole packet, its size included, in place, and returns the body with its padding.
///
/// The tag is compared in constant time, and nothing is decrypted before it is right.
///
/// # Errors
/// When the packet is not as it was sealed, or not sealed to `ours`.
pub fn open<'a>(ours: &SecretKey, packet: &'a mut [u8]) -> Result<&'a mut [u8], EciesError> {
    let len = packet.len();
    if len < PREFIX_LEN + OVERHEAD {
        return Err(EciesError::TooShort { len });
    }
    let (prefix, rest) = packet
        .split_first_chunk_mut::<PREFIX_LEN>()
        .ok_or(EciesError::TooShort { len })?;
    let declared = usize::from(u16::from_be_bytes(*prefix));
    if declared != rest.len() {
        let got = rest.len();
        return Err(EciesError::Length { declared, got });
    }
    let (key, rest) = rest
        .split_first_chunk_mut::<KEY_LEN>()
        .ok_or(EciesError::TooShort { len })?;
    let (sealed, tag) = rest
        .split_last_chunk_mut::<TAG_LEN>()
        .ok_or(EciesError::TooShort { len })?;
    let theirs = PublicKey::from_uncompressed(*key).map_err(|_| EciesError::NotAPoint)?;
    let keys = Keys::new(&ours.agree(&theirs));
    if !bool::from(keys.tag(sealed, *prefix).ct_eq(tag)) {
        return Err(EciesError::WrongTag);
    }
    let (iv, body) = sealed
        .split_first_chunk_mut::<IV_LEN>()
        .ok_or(EciesError::TooShort { len })?;
    keys.cipher(*iv).apply_keystream(body);
    Ok(body)
}

/// Whether a byte may be the first of a packet's key.
pub(crate) const fn is_key_tag(byte: u8) -> bool {
    byte == UNCOMPRESSED
}

/// The two keys of one packet.
struct Keys {
    aes: Zeroizing<[u8; 16]>,
    /// 32 bytes, padded to the block of the hash as HMAC does with a short key.
    mac: Zeroizing<[u8; 64]>,
}

impl Keys {
    fn new(shared: &Shared) -> Self {
        // One round of the KDF fills both: counter 1, the secret, no other info.
        let derived = Sha256::new()
            .chain_update(1_u32.to_be_bytes())
            .chain_update(&shared[..])
            .finalize();
        let derived: Zeroizing<[u8; 32]> = Zeroizing::new(derived.into());
        let mut aes = Zeroizing::new([0; 16]);
        aes.copy_from_slice(&derived[..16]);
        let mut mac = Zeroizing::new([0; 64]);
        mac[..32].copy_from_slice(&Sha256::digest(&derived[16..]));
        Self { aes, mac }
    }

    fn cipher(&self, iv: [u8; IV_LEN]) -> Ctr128BE<Aes128Enc> {
        Ctr128BE::<Aes128Enc>::new((&*self.aes).into(), (&iv).into())
    }

    fn tag(&self, sealed: &[u8], prefix: [u8; PREFIX_LEN]) -> [u8; TAG_LEN] {
        Hmac::<Sha256>::new((&*self.mac).into())
            .chain_update(sealed)
            .chain_update(prefix)
            .finalize()
            .into_bytes()
            .into()
    }
}

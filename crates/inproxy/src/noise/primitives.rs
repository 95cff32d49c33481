//! The primitives under Noise: X25519, and ChaCha20-Poly1305 and SHA-256 of the library that TLS
//! here uses too.

use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::digest;
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{BoxedCryptoResolver, CryptoResolver};
use snow::types::{Cipher, Dh, Hash, Random};

use crate::outside::Outside;

pub(super) fn resolver(outside: Outside) -> BoxedCryptoResolver {
    Box::new(Resolver(outside))
}

struct Resolver(Outside);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Entropy(self.0)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let ours = matches!(choice, DHChoice::Curve25519);
        ours.then(|| Box::<X25519>::default() as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        let ours = matches!(choice, HashChoice::SHA256);
        ours.then(|| Box::new(Sha256(digest::Context::new(&digest::SHA256))) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let ours = matches!(choice, CipherChoice::ChaChaPoly);
        ours.then(|| Box::<ChaChaPoly>::default() as Box<dyn Cipher>)
    }
}

struct Entropy(Outside);

impl Random for Entropy {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        (self.0.random)(dest);
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    secret: [u8; 32],
    public: [u8; 32],
}

impl X25519 {
    fn keep(&mut self, secret: [u8; 32]) {
        self.secret = secret;
        self.public = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&secret[..32]);
        self.keep(bytes);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut bytes = [0; 32];
        rng.try_fill_bytes(&mut bytes)?;
        self.keep(bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let mut point = [0; 32];
        point.copy_from_slice(public.get(..32).ok_or(Error::Dh)?);
        let shared = MontgomeryPoint(point).mul_clamped(self.secret).to_bytes();
        // A key of small order makes the secret known to everyone (RFC 7748, section 6.1).
        if shared == [0; 32] {
            return Err(Error::Dh);
        }
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&shared);
        Ok(())
    }
}

struct Sha256(digest::Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = digest::Context::new(&digest::SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(self.0.clone().finish().as_ref());
    }
}

/// A cipher without a key seals and opens nothing.
#[derive(Default)]
struct ChaChaPoly(Option<LessSafeKey>);

fn nonce(number: u64) -> Nonce {
    // Noise, section 12.3: 32 bits of zeros, then the number, least significant byte first.
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = UnboundKey::new(&CHACHA20_POLY1305, key)
            .ok()
            .map(LessSafeKey::new);
    }

    #[expect(
        clippy::expect_used,
        reason = "the interface has no room for an error, and there is none: the key was set before \
                  the first message, and only lengths beyond 256 GiB are refused"
    )]
    fn encrypt(&self, number: u64, ad: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let (body, rest) = out.split_at_mut(plain.len());
        body.copy_from_slice(plain);
        let key = self.0.as_ref().expect("a key is set before it is used");
        let tag = key
            .seal_in_place_separate_tag(nonce(number), Aad::from(ad), body)
            .expect("a Noise message is short");
        rest[..16].copy_from_slice(tag.as_ref());
        plain.len() + 16
    }

    fn decrypt(
        &self,
        number: u64,
        ad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let open = |buffer: &mut [u8]| {
            key.open_in_place(nonce(number), Aad::from(ad), buffer)
                .map(|plain| plain.len())
                .map_err(|_| Error::Decrypt)
        };
        if let Some(buffer) = out.get_mut(..sealed.len()) {
            buffer.copy_from_slice(sealed);
            return open(buffer);
        }
        // The handshake hands out slices that have no room for the tag.
        let mut buffer = sealed.to_vec();
        let len = open(&mut buffer)?;
        out.get_mut(..len)
            .ok_or(Error::Decrypt)?
            .copy_from_slice(&buffer[..len]);
        Ok(len)
    }
}

//! Sessions with a broker: `Noise_XK_25519_ChaChaPoly_SHA256` (Noise, revision 34).
//!
//! XK: the caller knows the broker's key, and tells its own only to the holder of that key. The two
//! of them exchange three handshake messages, the third of which carries the first call; then each
//! call and each reply is one transport message with its number beside it, so that calls of one
//! session can overlap and arrive in any order, each at most once.

mod primitives;
mod window;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use peerage_core::{Failure, Kind, Stage};
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, StatelessTransportState};

use crate::keys::{KEY_LEN, PartyKey, PartySecret};
use crate::outside::Outside;
use window::Window;

const PROTOCOL: &str = "Noise_XK_25519_ChaChaPoly_SHA256";
/// Both sides mix it in first: a session of another version cannot come about.
const PROLOGUE: &[u8] = b"peerage in-proxy 1";
/// Bytes that sealing adds to a message.
pub const TAG_LEN: usize = 16;
/// The length of the first and of the second handshake message: an ephemeral key and a tag.
pub const HELLO_LEN: usize = KEY_LEN + TAG_LEN;
/// What the third message adds to the call inside: the caller's sealed key, and a tag.
pub const FIRST_OVERHEAD: usize = KEY_LEN + 2 * TAG_LEN;

/// Why a session does not come about, or a message of it is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// It was not sealed for us, or was changed on its way.
    #[error("the message was not made for this session, or was changed on its way")]
    NotOurs,
    /// It came before, or is so old that nobody can tell.
    #[error("message {number} came before, or is too old to tell")]
    Replayed {
        /// Its number.
        number: u64,
    },
    /// It is longer than a Noise message may be.
    #[error("a message of {len} bytes is too long")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
    /// All numbers are used up: a new session is needed.
    #[error("the session is used up")]
    UsedUp,
}

impl Failure for NoiseError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotOurs => Kind::WrongIdentity,
            Self::Replayed { .. } => Kind::Violation,
            Self::TooLong { .. } | Self::UsedUp => Kind::Usage,
        }
    }
}

/// A Noise message is never longer (Noise, section 3).
const MAX_NOISE_LEN: usize = 65_535;

fn params() -> Result<NoiseParams, NoiseError> {
    PROTOCOL.parse().map_err(|_| NoiseError::NotOurs)
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let len = payload.len() + FIRST_OVERHEAD + KEY_LEN;
    if len > MAX_NOISE_LEN {
        return Err(NoiseError::TooLong { len });
    }
    let mut message = vec![0; len];
    let written = state
        .write_message(payload, &mut message)
        .map_err(|_| NoiseError::NotOurs)?;
    message.truncate(written);
    Ok(message)
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut payload = vec![0; message.len()];
    let len = state
        .read_message(message, &mut payload)
        .map_err(|_| NoiseError::NotOurs)?;
    payload.truncate(len);
    Ok(payload)
}

/// The caller's side of a handshake, after its first message.
#[derive(Debug)]
pub struct Calling(HandshakeState);

impl Calling {
    /// Begins a session with the broker of this key, and gives the first message.
    ///
    /// # Errors
    /// When the broker's key is none.
    pub fn begin(
        outside: Outside,
        own: &PartySecret,
        broker: &PartyKey,
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let state = Builder::with_resolver(params()?, primitives::resolver(outside))
            .prologue(PROLOGUE)
            .and_then(|b| b.local_private_key(own.as_bytes()))
            .and_then(|b| b.remote_public_key(&broker.0))
            .and_then(Builder::build_initiator);
        let mut state = state.map_err(|_| NoiseError::NotOurs)?;
        let message = write(&mut state, &[])?;
        Ok((Self(state), message))
    }

    /// Takes the broker's message, and gives the third with the first call inside.
    ///
    /// # Errors
    /// When the message is not the broker's answer to ours.
    pub fn finish(mut self, message: &[u8], call: &[u8]) -> Result<(Session, Vec<u8>), NoiseError> {
        read(&mut self.0, message)?;
        let third = write(&mut self.0, call)?;
        Ok((Session::new(self.0)?, third))
    }
}

/// The broker's side of a handshake, after its message.
#[derive(Debug)]
pub struct Answering(HandshakeState);

impl Answering {
    /// Takes a caller's first message, and gives the second.
    ///
    /// # Errors
    /// When it was not made for the holder of this key.
    pub fn begin(
        outside: Outside,
        own: &PartySecret,
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let state = Builder::with_resolver(params()?, primitives::resolver(outside))
            .prologue(PROLOGUE)
            .and_then(|b| b.local_private_key(own.as_bytes()))
            .and_then(Builder::build_responder);
        let mut state = state.map_err(|_| NoiseError::NotOurs)?;
        read(&mut state, message)?;
        let answer = write(&mut state, &[])?;
        Ok((Self(state), answer))
    }

    /// Takes the third message: the session, who calls, and the first call.
    ///
    /// # Errors
    /// When it does not continue this handshake.
    pub fn finish(mut self, message: &[u8]) -> Result<(Session, PartyKey, Vec<u8>), NoiseError> {
        let call = read(&mut self.0, message)?;
        let key = self.0.get_remote_static();
        let key = key.and_then(|key| key.try_into().ok());
        let key = PartyKey(key.ok_or(NoiseError::NotOurs)?);
        Ok((Session::new(self.0)?, key, call))
    }
}

/// An established session, either side's.
///
/// The caller's first call went in the handshake and counts as number 0; its reply has that number
/// too. Each direction has a key of its own, so a reply can carry the number of its call.
#[derive(Debug)]
pub struct Session {
    state: StatelessTransportState,
    next: AtomicU64,
    seen: Mutex<Window>,
}

impl Session {
    fn new(state: HandshakeState) -> Result<Self, NoiseError> {
        let state = state.into_stateless_transport_mode();
        Ok(Self {
            state: state.map_err(|_| NoiseError::NotOurs)?,
            next: AtomicU64::new(1),
            seen: Mutex::new(Window::default()),
        })
    }

    /// A number for the next call.
    ///
    /// # Errors
    /// After 2^63 calls.
    pub fn number(&self) -> Result<u64, NoiseError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >> 63 == 0 {
            Ok(number)
        } else {
            Err(NoiseError::UsedUp)
        }
    }

    /// Seals a message under this number.
    ///
    /// # Errors
    /// When it is too long.
    ///
    /// # Security
    /// No two different messages of one direction may have one number: take calls' numbers from
    /// [`Self::number`], and give one reply to each call.
    pub fn seal(&self, number: u64, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let len = message.len() + TAG_LEN;
        if len > MAX_NOISE_LEN {
            return Err(NoiseError::TooLong { len });
        }
        let mut sealed = vec![0; len];
        let written = self.state.write_message(number, message, &mut sealed);
        sealed.truncate(written.map_err(|_| NoiseError::UsedUp)?);
        Ok(sealed)
    }

    /// Opens a message that came under this number, once.
    ///
    /// # Errors
    /// When it is not of this session, or came before.
    pub fn open(&self, number: u64, sealed: &[u8]) -> Result<Vec<u8>, NoiseError> {
        if sealed.len() > MAX_NOISE_LEN {
            return Err(NoiseError::TooLong { len: sealed.len() });
        }
        let replayed = Err(NoiseError::Replayed { number });
        if !self.window().is_new(number) {
            return replayed;
        }
        let mut message = vec![0; sealed.len()];
        let read = self.state.read_message(number, sealed, &mut message);
        message.truncate(read.map_err(|_| NoiseError::NotOurs)?);
        // Marked only now: a forged message must not use up the number of a true one.
        if self.window().take(number) {
            Ok(message)
        } else {
            replayed
        }
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        // A window is sound after every statement that changes it.
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

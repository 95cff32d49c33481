//! Frames: encrypted, authenticated, one message each.
//!
//! ```text
//!  0        3          16     32                      32 + n                  48 + n
//!  | size   | c2 80 80 | tag  | message id (RLP), data | zeros up to a        | tag  |
//!  | 24 bit | zeros    |      |        size bytes      | multiple of 16       |      |
//!  '---- encrypted ----'      '---------- encrypted: n bytes -----------------'
//! ```
//!
//! One AES-256-CTR stream and one running Keccak-256 digest per direction. A tag is 16 bytes of that
//! digest, after it absorbed one block made of the digest before, encrypted with the second key, and
//! the header or again that digest. So a tag vouches for everything sent so far.
//!
//! Of the header only the size is read; chunked frames, which older texts describe there, are sent
//! by nobody, and go-ethereum and reth do not look either.
//!
//! Source: devp2p, `rlpx.md`, "Framing".

use std::fmt;
use std::mem;

use aes::Aes256Enc;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use alloy_rlp::{Decodable as _, Encodable as _};
use bytes::{Buf as _, BufMut as _, BytesMut};
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use subtle::ConstantTimeEq as _;

use crate::keccak::Keccak256;
use crate::secrets::Secrets;

/// The greatest size of a frame, message id included, in bytes: three bytes of size.
pub const MAX_FRAME_SIZE: usize = 0xff_ffff;

/// Bytes before a frame's body: header and tag.
pub const HEADER_LEN: usize = BLOCK + TAG_LEN;

/// What stands in the header behind the size: a list of two zeros, which nobody reads.
const HEADER_DATA: [u8; 3] = [0xc2, 0x80, 0x80];

const BLOCK: usize = 16;
const TAG_LEN: usize = 16;

/// Cipher and digest take turns in pieces of this many bytes, which stay in the nearest cache.
const PIECE: usize = 8192;

/// Both directions of a connection.
#[derive(Debug)]
pub struct FrameCipher {
    /// What we send.
    pub egress: Egress,
    /// What we receive.
    pub ingress: Ingress,
}

/// Length on the wire of a frame of `size` bytes, message id included.
pub const fn wire_len(size: usize) -> usize {
    HEADER_LEN + padded(size) + TAG_LEN
}

const fn padded(size: usize) -> usize {
    size.next_multiple_of(BLOCK)
}

/// AES-256-CTR. The counter starts at zero and its lower half never ends, so only that is counted,
/// which is a fifth faster.
type Stream = Ctr64BE<Aes256Enc>;
type Tag = [u8; TAG_LEN];

/// The running digest of one direction.
struct Mac {
    digest: Keccak256,
    cipher: Aes256Enc,
    /// The first 16 bytes of the digest as it is now, unless a body is being absorbed. Whatever the
    /// last tag was, it is also the next header's seed, which saves a permutation.
    current: Tag,
}

impl Mac {
    fn new(secrets: &Secrets, digest: Keccak256) -> Self {
        Self {
            current: first_half(digest.digest()),
            digest,
            cipher: Aes256Enc::new((&*secrets.mac).into()),
        }
    }

    /// The tag over an encrypted header.
    fn header(&mut self, sealed: &[u8; BLOCK]) -> Tag {
        let mut block = self.current.into();
        self.cipher.encrypt_block(&mut block);
        block.iter_mut().zip(sealed).for_each(|(b, s)| *b ^= s);
        self.digest.update(&block);
        self.current = first_half(self.digest.digest());
        self.current
    }

    /// A piece of an encrypted body.
    fn absorb(&mut self, sealed: &[u8]) {
        self.digest.update(sealed);
    }

    /// The tag over the body absorbed.
    fn body(&mut self) -> Tag {
        self.current = first_half(self.digest.digest());
        let seed = self.current;
        self.header(&seed)
    }
}

fn first_half(digest: [u8; 32]) -> Tag {
    let mut half = [0; TAG_LEN];
    half.copy_from_slice(&digest[..TAG_LEN]);
    half
}

fn stream(secrets: &Secrets) -> Stream {
    Stream::new((&*secrets.aes).into(), (&[0; BLOCK]).into())
}

/// Why a message was not sealed. The direction is as it was, so the next one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// More than three bytes of size can say.
    #[error("a message of {size} bytes does not fit into a frame, which takes {MAX_FRAME_SIZE}")]
    TooLarge {
        /// Message id and data, in bytes.
        size: usize,
    },
    /// The writer took away what it had not written: a bug of the caller. Frames sealed before may be
    /// gone from the buffer, and without them the other side understands nothing that follows.
    #[error("the writer of a message shortened the output")]
    Shortened,
}

/// The sending direction.
pub struct Egress {
    stream: Stream,
    mac: Mac,
}

impl Egress {
    pub(crate) fn new(secrets: &Secrets, digest: Keccak256) -> Self {
        Self {
            stream: stream(secrets),
            mac: Mac::new(secrets, digest),
        }
    }

    /// Appends one frame to `output`: `write` appends the message's data, which is sealed where it
    /// stands. Several messages make one buffer.
    ///
    /// A caller who knows the length reserves [`wire_len`] first; otherwise the buffer grows as it
    /// is written, which may copy it.
    ///
    /// # Errors
    /// When the message is too long for a frame. `output` is then as it was.
    pub fn seal(
        &mut self,
        output: &mut BytesMut,
        id: u64,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<(), SealError> {
        let start = output.len();
        output.put_bytes(0, HEADER_LEN);
        id.encode(output);
        let data_at = output.len();
        write(output);
        if output.len() < data_at {
            output.truncate(start);
            return Err(SealError::Shortened);
        }
        let size = output.len() - start - HEADER_LEN;
        let [0, size_bytes @ ..] = u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes() else {
            output.truncate(start);
            return Err(SealError::TooLarge { size });
        };
        output.reserve(padded(size) - size + TAG_LEN);
        output.put_bytes(0, padded(size) - size);

        let (header, body) = output[start..].split_at_mut(HEADER_LEN);
        let (header, header_tag) = header.split_at_mut(BLOCK);
        header[..3].copy_from_slice(&size_bytes);
        header[3..6].copy_from_slice(&HEADER_DATA);
        self.stream.apply_keystream(header);
        let mut sealed = [0; BLOCK];
        sealed.copy_from_slice(header);
        header_tag.copy_from_slice(&self.mac.header(&sealed));
        for piece in body.chunks_mut(PIECE) {
            self.stream.apply_keystream(piece);
            self.mac.absorb(piece);
        }
        output.put_slice(&self.mac.body());
        Ok(())
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Egress(secret)")
    }
}

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The message id.
    pub id: u64,
    /// What follows it: a part of the input, not a copy.
    pub data: BytesMut,
}

/// Why what arrived is no frame. Nothing that follows can be understood any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The header was not sealed with our keys, or changed on the way.
    #[error("the tag of a frame's header is wrong")]
    HeaderTag,
    /// The body was changed on the way.
    #[error("the tag of a frame's body is wrong")]
    BodyTag,
    /// A frame of no bytes, without even a message id.
    #[error("an empty frame")]
    Empty,
    /// The body does not begin with an RLP integer in its only form.
    #[error("a frame begins with no message id")]
    MessageId,
    /// An earlier frame failed.
    #[error("a frame before this one failed")]
    Dead,
}

/// Why [`Ingress::next`] has no frame. Every further call is [`FrameError::Dead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError<E> {
    /// What arrived is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The caller does not want this message.
    #[error("message {id:#x} of {len} bytes is not wanted")]
    Refused {
        /// The message id; not authenticated.
        id: u64,
        /// Bytes of data behind it.
        len: usize,
        /// What the caller said.
        error: E,
    },
}

/// The receiving direction.
pub struct Ingress {
    stream: Stream,
    mac: Mac,
    stage: Stage,
}

/// How far the frame at the front of the input has been looked at.
enum Stage {
    /// Waiting for header and tag.
    Header,
    /// The header is authentic; waiting for the body's first block.
    Id { size: usize },
    /// Admitted; waiting for the rest.
    Body(Body),
    /// Something failed.
    Dead,
}

struct Body {
    id: u64,
    /// Bytes of `id`.
    id_len: usize,
    /// Of the frame, id included.
    size: usize,
    /// The first block, decrypted ahead of its authentication.
    first: [u8; BLOCK],
    /// How much of the body the digest has seen.
    absorbed: usize,
}

impl Ingress {
    pub(crate) fn new(secrets: &Secrets, digest: Keccak256) -> Self {
        Self {
            stream: stream(secrets),
            mac: Mac::new(secrets, digest),
            stage: Stage::Header,
        }
    }

    /// How many bytes the input must hold before the next step can be taken, counted from its front.
    ///
    /// A frame that was admitted counts in full, so do not reserve more for it than it is worth.
    pub const fn wants(&self) -> usize {
        match &self.stage {
            Stage::Header => HEADER_LEN,
            Stage::Id { .. } => HEADER_LEN + BLOCK,
            Stage::Body(body) => wire_len(body.size),
            Stage::Dead => 0,
        }
    }

    /// Ends this direction as a broken frame does: every further call is [`FrameError::Dead`].
    pub(crate) const fn close(&mut self) {
        self.stage = Stage::Dead;
    }

    /// Whether the input's front has not been looked at: between two frames.
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.stage, Stage::Header)
    }

    /// Takes the first frame of the input, if all of it is there.
    ///
    /// `admit` gets the message id and the length of the data behind it, in bytes, once, when the
    /// first 48 bytes of the frame are there: the rest of a message that is refused is never waited
    /// for. The length is authentic by then, **the id is not**: `admit` decides on the size and
    /// nothing else. A frame that is returned is authentic, id included, in its place in the stream.
    ///
    /// Until then nothing of the frame is consumed or changed, and the caller only appends to the
    /// input between two calls. No step is done twice, however the bytes arrive.
    ///
    /// # Errors
    /// What is no frame, and what `admit` refuses. The direction is dead then.
    pub fn next<E>(
        &mut self,
        input: &mut BytesMut,
        admit: impl FnOnce(u64, usize) -> Result<(), E>,
    ) -> Result<Option<Frame>, OpenError<E>> {
        // Whatever returns early through `?` leaves this direction dead.
        let mut stage = mem::replace(&mut self.stage, Stage::Dead);
        if let Stage::Header = stage
            && let Some((header, _)) = input.split_first_chunk()
        {
            let size = self.header(header)?;
            stage = Stage::Id { size };
        }
        if let Stage::Id { size } = stage
            && let Some((block, _)) = behind_header(input).split_first_chunk()
        {
            let body = self.first_block(size, *block)?;
            let (id, len) = (body.id, size - body.id_len);
            admit(id, len).map_err(|error| OpenError::Refused { id, len, error })?;
            stage = Stage::Body(body);
        }
        match stage {
            Stage::Body(mut body) => {
                if !self.body(&mut body, input)? {
                    self.stage = Stage::Body(body);
                    return Ok(None);
                }
                self.stage = Stage::Header;
                Ok(Some(self.open(&body, input)))
            }
            Stage::Dead => Err(FrameError::Dead.into()),
            Stage::Header | Stage::Id { .. } => {
                self.stage = stage;
                Ok(None)
            }
        }
    }

    /// Checks a header and reads the size in it.
    fn header(&mut self, header: &[u8; HEADER_LEN]) -> Result<usize, FrameError> {
        let (sealed, tag) = header.split_at(BLOCK);
        let mut block = [0; BLOCK];
        block.copy_from_slice(sealed);
        if !bool::from(self.mac.header(&block).ct_eq(tag)) {
            return Err(FrameError::HeaderTag);
        }
        self.stream.apply_keystream(&mut block);
        match u32::from_be_bytes([0, block[0], block[1], block[2]]) as usize {
            0 => Err(FrameError::Empty),
            size => Ok(size),
        }
    }

    /// Looks at the message id in the first block of a body.
    fn first_block(&mut self, size: usize, mut first: [u8; BLOCK]) -> Result<Body, FrameError> {
        self.stream.apply_keystream(&mut first);
        // Nine bytes at most, so the block holds all of it.
        let mut rest = &first[..size.min(BLOCK)];
        let before = rest.len();
        let id = u64::decode(&mut rest).map_err(|_| FrameError::MessageId)?;
        Ok(Body {
            id,
            id_len: before - rest.len(),
            size,
            first,
            absorbed: 0,
        })
    }

    /// Absorbs what has come of a body. Whether it was all, and its tag right.
    fn body(&mut self, body: &mut Body, input: &[u8]) -> Result<bool, FrameError> {
        let padded = padded(body.size);
        let rest = behind_header(input);
        let here = rest.len().min(padded);
        self.mac
            .absorb(rest.get(body.absorbed..here).unwrap_or_default());
        body.absorbed = body.absorbed.max(here);
        let Some(tag) = rest.get(padded..padded + TAG_LEN) else {
            return Ok(false);
        };
        if !bool::from(self.mac.body().ct_eq(tag)) {
            return Err(FrameError::BodyTag);
        }
        Ok(true)
    }

    /// Cuts a frame that is all there from the input and decrypts it.
    fn open(&mut self, body: &Body, input: &mut BytesMut) -> Frame {
        let mut data = input.split_to(wire_len(body.size));
        data.advance(HEADER_LEN);
        data.truncate(padded(body.size));
        let (first, rest) = data.split_at_mut(BLOCK);
        first.copy_from_slice(&body.first);
        self.stream.apply_keystream(rest);
        data.truncate(body.size);
        data.advance(body.id_len);
        Frame { id: body.id, data }
    }
}

fn behind_header(input: &[u8]) -> &[u8] {
    input.get(HEADER_LEN..).unwrap_or_default()
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ingress(secret)")
    }
}

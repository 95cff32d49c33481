//! Frames in memory, one direction, one thread.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use peerage_bench_kit::{Error, resident};
use peerage_core::Session;
use peerage_ethereum::frame::{FrameCipher, wire_len};
use peerage_ethereum::{CapName, Capability, CapabilitySpec, Codec, Message, OtherMessage};

use crate::MAX_SIZE;
use crate::greeted::{attempts, greet, node, unix_time};
use crate::random;
use crate::turns::Spent;

/// What Keccak-256 absorbs for each permutation, in bytes.
const RATE: usize = 136;
/// How many bytes of messages are sealed before they are opened: in the comparison with Keccak so
/// few that they stay in the cache, as those of a session do.
const TURN: usize = 256 << 10;
/// The same in the comparison with geth, which does so too.
const WIRE: usize = 4 << 20;
/// The most bytes that one read brings, as in `peerage-net`.
const READ_LEN: usize = 16 << 10;
/// The message id of every frame: of one byte, as all of eth's are.
const ID: u64 = 0x12;
/// The capability that carries them, and its message with that id.
const CAPABILITY: Capability = Capability {
    name: CapName::from_static("bench"),
    version: 1,
};
const RELATIVE: u64 = 2;

/// The same in every measuring program: xorshift64, from 1, eight bytes at a time, little endian.
pub fn payload(size: usize, data: &str) -> Option<Vec<u8>> {
    let half = match data {
        "random" => false,
        "half" => true,
        _ => return None,
    };
    let mut state = 1_u64;
    let words = (0..size).step_by(8).map(|at| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if half && at / 32 % 2 == 1 { 0 } else { state }
    });
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(size);
    Some(bytes)
}

/// Two ends that share keys.
fn ciphers() -> Result<(FrameCipher, FrameCipher), Error> {
    use peerage_ethereum::SecretKey;
    use peerage_ethereum::key::Ephemeral;
    use peerage_ethereum::rlpx::{Fresh, Initiator, Recipient};
    let fresh =
        || -> Result<_, Error> { Ok(Fresh::new(Ephemeral::from_bytes(random()?)?, random()?)) };
    let (a, b) = (
        SecretKey::from_bytes(random()?)?,
        SecretKey::from_bytes(random()?)?,
    );
    let (initiator, auth) = Initiator::new(&a, b.public(), fresh()?)?;
    let (at_b, ack) = Recipient::on_auth(&b, auth)?.answer(&b, fresh()?)?;
    Ok((initiator.on_ack(&a, &ack)?, at_b))
}

/// Seals and opens where it stands, beside the same Keccak absorbing as many bytes. Whoever sends
/// writes the data into the frame, and what that takes is told apart.
pub fn beside_keccak(size: usize, total: usize) -> Result<(), Error> {
    let (mut a, mut b) = ciphers()?;
    let data = payload(size, "random").ok_or("random is known")?;
    let these = (TURN / size).max(1);
    let turns = total.div_ceil(these * size);
    let mut state = [0; 25];
    let mut owed = 0;
    let (mut keccak, mut sealing, mut writing, mut opening) = Default::default();
    // One buffer, used again and again as a session does, and opened where it was sealed.
    let mut buffer = BytesMut::with_capacity(these * wire_len(size + 1));
    for turn in 0..turns + turns.div_ceil(10) {
        if turn == turns.div_ceil(10) {
            (keccak, sealing, writing, opening) = Default::default();
        }
        Spent::on(&mut sealing, || {
            (0..these).try_for_each(|_| {
                let write = |out: &mut BytesMut| {
                    Spent::on(&mut writing, || out.put_slice(&data));
                };
                a.egress.seal(&mut buffer, ID, write)
            })
        })?;
        // The same bytes where they lie: as many as the frames' data, in whole blocks.
        owed += these * size;
        let blocks = &buffer[..owed.min(buffer.len()) / RATE * RATE];
        owed -= blocks.len();
        Spent::on(&mut keccak, || {
            for piece in blocks.chunks(size.max(RATE) / RATE * RATE) {
                black_box(sha3_asm::sha3_absorb(&mut state, piece, RATE));
            }
        });
        Spent::on(&mut opening, || -> Result<(), Error> {
            let admit = |_, _| Ok::<_, Infallible>(());
            for _ in 0..these {
                let frame = b.ingress.next(&mut buffer, admit)?.ok_or("not whole")?;
                check(black_box(frame).data.len() == size)?;
            }
            Ok(())
        })?;
        check(buffer.is_empty())?;
        // The frames are gone, so this takes back the whole allocation.
        buffer.reserve(these * wire_len(size + 1));
    }
    black_box(state);
    let (count, keccak) = (turns * these, keccak.seconds());
    let bytes = count * size;
    println!(
        "{{\"name\":\"keccak\",\
         \"peer\":{{\"count\":{count},\"bytes\":{bytes},\"seal_s\":{keccak:.6},\"open_s\":{keccak:.6}}},\
         \"ours\":{{\"count\":{count},\"bytes\":{bytes},\"seal_s\":{:.6},\"write_s\":{:.6},\
         \"open_s\":{:.6}}}}}",
        sealing.seconds() - writing.seconds(),
        writing.seconds(),
        opening.seconds(),
    );
    Ok(())
}

fn check(sound: bool) -> Result<(), Error> {
    if sound {
        return Ok(());
    }
    Err("what was opened is not what was sealed".into())
}

/// Both ends of one direction.
enum Ends {
    /// Frames alone: no session of ours goes without compression.
    Plain(Box<(FrameCipher, FrameCipher)>),
    /// Sessions, as an application has them.
    Session(Box<(Codec, Codec)>),
}

impl Ends {
    fn new(snappy: bool) -> Result<Self, Error> {
        if !snappy {
            return Ok(Self::Plain(Box::new(ciphers()?)));
        }
        let (mut near, mut far) = (node(random()?)?, node(random()?)?);
        let limit = Some(usize::try_from(MAX_SIZE)?);
        let spec = CapabilitySpec::new(CAPABILITY, vec![limit; 3]);
        near.capabilities = [spec.clone()].into();
        far.capabilities = [spec].into();
        let attempts = attempts(far.key.public(), unix_time()?)?;
        let (a, b) = greet((&near, &far), attempts, Instant::now())?;
        Ok(Self::Session(Box::new((
            a.into_parts().1,
            b.into_parts().1,
        ))))
    }

    fn seal(&mut self, data: &Bytes, output: &mut BytesMut) -> Result<(), Error> {
        match self {
            Self::Plain(ends) => {
                output.reserve(wire_len(data.len() + 1));
                Ok(ends.0.egress.seal(output, ID, |out| out.put_slice(data))?)
            }
            Self::Session(ends) => {
                let message = Message::Other(OtherMessage {
                    capability: CAPABILITY.name,
                    id: RELATIVE,
                    body: data.clone(),
                });
                Ok(ends.0.encode(&message, output)?)
            }
        }
    }

    /// The next message, whose data is handed to `look`; whether there was one.
    fn open(
        &mut self,
        input: &mut BytesMut,
        look: impl FnOnce(&[u8]) -> bool,
    ) -> Result<bool, Error> {
        match self {
            Self::Plain(ends) => {
                let admit = |_, _| Ok::<_, Infallible>(());
                let Some(frame) = ends.1.ingress.next(input, admit)? else {
                    return Ok(false);
                };
                check(frame.id == ID && look(&frame.data))?;
            }
            Self::Session(ends) => {
                let Some(message) = ends.1.decode(input)? else {
                    return Ok(false);
                };
                let Message::Other(OtherMessage {
                    id: RELATIVE, body, ..
                }) = message
                else {
                    return Err("another message".into());
                };
                check(look(&body))?;
            }
        }
        Ok(true)
    }
}

/// The same as `bench-geth frames`: every message is sealed and written to a buffer by itself, and
/// read from it as it would be from a socket.
pub fn through_a_wire(data: &[u8], total: usize, snappy: bool) -> Result<(), Error> {
    let mut ends = Ends::new(snappy)?;
    let (size, data) = (data.len(), Bytes::copy_from_slice(data));
    let (batch, count) = ((WIRE / size).max(1), total.div_ceil(size));
    let (mut wire, mut output, mut input) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    let (mut sealing, mut opening) = (Spent::default(), Spent::default());
    let (mut started, mut on_wire) = (Instant::now(), 0);
    let mut left = count;
    // One batch goes unmeasured first.
    let mut warm = false;
    while left > 0 {
        let these = batch.min(left);
        sealing.on(|| -> Result<(), Error> {
            for _ in 0..these {
                output.clear();
                ends.seal(&data, &mut output)?;
                wire.put_slice(&output);
            }
            Ok(())
        })?;
        on_wire += wire.len();
        opening.on(|| -> Result<(), Error> {
            let mut opened = 0;
            while opened < these {
                let whole = |got: &[u8]| got.len() == size && got[size - 1] == data[size - 1];
                if ends.open(&mut input, whole)? {
                    opened += 1;
                    continue;
                }
                check(!wire.is_empty())?;
                let read = wire.len().min(READ_LEN);
                input.reserve(READ_LEN);
                input.put_slice(&wire[..read]);
                wire.advance(read);
            }
            Ok(())
        })?;
        check(wire.is_empty() && input.is_empty())?;
        // Taken back, not allocated anew.
        wire.reserve(these * wire_len(size + 1));
        if warm {
            left -= these;
        } else {
            (sealing, opening) = (Spent::default(), Spent::default());
            (started, on_wire, warm) = (Instant::now(), 0, true);
        }
    }
    let (wall, rss, bytes) = (started.elapsed().as_secs_f64(), resident()?, count * size);
    let (sealing, opening) = (sealing.seconds(), opening.seconds());
    println!(
        "{{\"name\":\"frames\",\"count\":{count},\"at_once\":1,\"wall_s\":{wall:.6},\
         \"seal_s\":{sealing:.6},\"open_s\":{opening:.6},\"bytes\":{bytes},\"wire\":{on_wire},\
         \"rss\":{rss}}}"
    );
    Ok(())
}

//! Measures RLPx in memory, on one core: `bench-rlpx [ROUNDS] [WORD]`.
//!
//! One line of JSON for each thing measured:
//!
//! ```json
//! {"name":"open/16384","count":7680,"bytes":125829120,"wall_s":0.26,"cpu_s":0.26,"least_s":3.3e-5}
//! ```
//!
//! `cpu_s` and `wall_s` are the sum of all rounds; `least_s` is the processor time of one operation
//! in the best round, which is what a busy machine disturbs least. Everything that is compared is
//! measured in turn within each round. Only names that contain WORD are printed.
//!
//! | name | one operation is |
//! |---|---|
//! | `curve/*` | one operation of the library below: base multiplication, ECDH, sign, recover |
//! | `handshake/sum` | nothing measured: the curve operations of both sides added up, as `least_s` |
//! | `handshake/cold` | both sides from nothing: key pairs, auth, ack, frame keys |
//! | `handshake/prepared` | the same with key pairs made ahead: what is left on the path |
//! | `handshake/known` | the same with the static secrets kept, too |
//! | `seal/N`, `open/N` | one frame of N bytes of data, in batches of 256 KiB, or one frame |
//! | `write/N` | what `seal` contains that is not sealing: copying N bytes into the buffer |
//! | `keccak/N` | Keccak-256 absorbing N bytes of a long stream |

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use nix::time::{ClockId, clock_gettime};
use peerage_ethereum::frame::{FrameCipher, wire_len};
use peerage_ethereum::key::{Ephemeral, SecretKey, SharedStatic};
use peerage_ethereum::rlpx::{Fresh, Initiator, Recipient};
use secp256k1::{Message, PublicKey, Secp256k1, ecdh};

/// Sizes of a frame's data, in bytes.
const SIZES: [usize; 4] = [64, 1 << 10, 16 << 10, 1 << 20];
/// Data moved in one round of frames, in bytes.
const VOLUME: usize = 2 << 20;
/// The least that is sealed into one buffer, in bytes.
const BATCH: usize = 256 << 10;
/// Operations or handshakes in one round.
const REPEATS: u32 = 40;
const RATE: usize = 136;

#[derive(Default)]
struct Measured {
    count: u64,
    bytes: u64,
    wall: Duration,
    cpu: Duration,
    least: Option<f64>,
}

#[derive(Default)]
struct Bench(BTreeMap<String, Measured>);

/// Processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("a thread may ask about itself"))
}

impl Bench {
    /// Runs something that does `count` operations on `bytes` bytes altogether.
    fn run(&mut self, name: impl Into<String>, count: usize, bytes: usize, work: impl FnOnce()) {
        let (wall_before, before) = (Instant::now(), cpu());
        work();
        let (taken, wall) = (cpu() - before, wall_before.elapsed());
        let one = taken.as_secs_f64() / count as f64;
        let measured = self.0.entry(name.into()).or_default();
        measured.count += count as u64;
        measured.bytes += bytes as u64;
        measured.wall += wall;
        measured.cpu += taken;
        measured.least = Some(measured.least.map_or(one, |least| least.min(one)));
    }

    fn least(&self, name: &str) -> f64 {
        self.0[name].least.unwrap_or_default()
    }
}

fn curve(bench: &mut Bench) {
    let mut curve = Secp256k1::new();
    curve.seeded_randomize(&[5; 32]);
    let secret = secp256k1::SecretKey::from_byte_array([0x42; 32]).expect("a key");
    let other = secp256k1::SecretKey::from_byte_array([0x43; 32]).expect("a key");
    let point = PublicKey::from_secret_key(&curve, &other);
    let message = Message::from_digest([0x44; 32]);
    let signature = curve.sign_ecdsa_recoverable(message, &secret);
    let mut many = |name: &str, work: &mut dyn FnMut()| {
        bench.run(format!("curve/{name}"), REPEATS as usize, 0, || {
            (0..REPEATS).for_each(|_| work());
        });
    };
    many("base", &mut || {
        black_box(PublicKey::from_secret_key(&curve, black_box(&secret)));
    });
    many("ecdh", &mut || {
        black_box(ecdh::shared_secret_point(black_box(&point), &secret));
    });
    many("sign", &mut || {
        black_box(curve.sign_ecdsa_recoverable(black_box(message), &secret));
    });
    many("recover", &mut || {
        black_box(curve.recover_ecdsa(black_box(message), &signature)).expect("our own signature");
    });
}

/// Different bytes for every attempt, as far as measuring cares.
fn bytes<const N: usize>(seed: u32) -> [u8; N] {
    let mut bytes = [0x61; N];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    bytes
}

fn pairs(seed: u32) -> Ephemeral {
    Ephemeral::from_bytes(bytes(seed)).expect("not above the order")
}

struct Sides {
    a: SecretKey,
    b: SecretKey,
    kept_by_a: SharedStatic,
    kept_by_b: SharedStatic,
}

impl Sides {
    fn new() -> Self {
        let a = SecretKey::from_bytes([0x21; 32]).expect("a key");
        let b = SecretKey::from_bytes([0x22; 32]).expect("a key");
        Self {
            kept_by_a: SharedStatic::new(&a, b.public()),
            kept_by_b: SharedStatic::new(&b, a.public()),
            a,
            b,
        }
    }

    fn handshake(&self, seed: u32, at_a: Ephemeral, at_b: Ephemeral) -> (FrameCipher, FrameCipher) {
        let fresh = Fresh::new(at_a, bytes(seed));
        let (initiator, auth) = Initiator::new(&self.a, self.b.public(), fresh).expect("two sides");
        let recipient = Recipient::on_auth(&self.b, auth).expect("a good auth");
        let fresh = Fresh::new(at_b, bytes(!seed));
        let (b, ack) = recipient.answer(&self.b, fresh).expect("a good auth");
        (initiator.on_ack(&self.a, &ack).expect("a good ack"), b)
    }

    fn known(&self, seed: u32, at_a: Ephemeral, at_b: Ephemeral) {
        let fresh = Fresh::new(at_a, bytes(seed));
        let (initiator, auth) =
            Initiator::with_shared(&self.a, &self.kept_by_a, fresh).expect("two sides");
        let recipient = Recipient::on_auth(&self.b, auth).expect("a good auth");
        let fresh = Fresh::new(at_b, bytes(!seed));
        let answer = recipient.answer_with(&self.b, &self.kept_by_b, fresh);
        let (b, ack) = answer.expect("a good auth");
        black_box((initiator.on_ack(&self.a, &ack).expect("a good ack"), b));
    }
}

fn handshakes(bench: &mut Bench, sides: &Sides) {
    let count = REPEATS as usize;
    bench.run("handshake/cold", count, 0, || {
        for seed in 0..REPEATS {
            black_box(sides.handshake(seed, pairs(seed), pairs(!seed)));
        }
    });
    let prepared: Vec<_> = (0..REPEATS)
        .map(|seed| (pairs(seed), pairs(!seed)))
        .collect();
    bench.run("handshake/prepared", count, 0, || {
        for (seed, (a, b)) in (0..).zip(prepared) {
            black_box(sides.handshake(seed, a, b));
        }
    });
    let prepared: Vec<_> = (0..REPEATS)
        .map(|seed| (pairs(seed), pairs(!seed)))
        .collect();
    bench.run("handshake/known", count, 0, || {
        for (seed, (a, b)) in (0..).zip(prepared) {
            sides.known(seed, a, b);
        }
    });
}

fn frames(bench: &mut Bench, sides: &Sides, size: usize) {
    let (mut a, mut b) = sides.handshake(1, pairs(1), pairs(2));
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
    let count = VOLUME / size;
    let batch = BATCH.div_ceil(size).min(count);
    let volume = count * size;

    // One buffer, used again and again as a session does, and opened where it was sealed.
    let mut buffer = BytesMut::with_capacity(batch * wire_len(size + 1));
    for _ in 0..count / batch {
        buffer.clear();
        bench.run(format!("write/{size}"), batch, batch * size, || {
            (0..batch).for_each(|_| black_box(&mut buffer).put_slice(&data));
        });
        buffer.clear();
        bench.run(format!("seal/{size}"), batch, batch * size, || {
            for _ in 0..batch {
                let write = |buffer: &mut BytesMut| buffer.put_slice(&data);
                let sealed = a.egress.seal(&mut buffer, 0x10, write);
                sealed.expect("below the limit");
            }
        });
        bench.run(format!("open/{size}"), batch, batch * size, || {
            let admit = |_, _| Ok::<_, Infallible>(());
            while let Some(frame) = b.ingress.next(&mut buffer, admit).expect("our own frames") {
                assert_eq!(black_box(frame).data.len(), size);
            }
        });
        assert!(buffer.is_empty());
        // The frames are gone, so this takes back the whole allocation.
        buffer.reserve(batch * wire_len(size + 1));
    }

    // As many bytes in as large pieces as the frames have, but whole blocks.
    let block = data.repeat(RATE.div_ceil(size));
    let piece = &block[..block.len() / RATE * RATE];
    let times = volume / piece.len();
    let mut state = [0; 25];
    bench.run(format!("keccak/{size}"), count, times * piece.len(), || {
        for _ in 0..times {
            black_box(sha3_asm::sha3_absorb(&mut state, piece, RATE));
        }
    });
    black_box(state);
}

fn main() {
    let mut words = std::env::args().skip(1);
    let rounds = words.next().map_or(Ok(30), |word| word.parse::<u32>());
    let (Ok(rounds), only) = (rounds, words.next().unwrap_or_default()) else {
        eprintln!("usage: bench-rlpx [ROUNDS] [WORD]");
        std::process::exit(2);
    };
    let mut bench = Bench::default();
    let sides = Sides::new();
    for _ in 0..rounds.clamp(1, 1000) {
        curve(&mut bench);
        handshakes(&mut bench, &sides);
        SIZES
            .iter()
            .for_each(|size| frames(&mut bench, &sides, *size));
    }
    let one = |name: &str| bench.least(&format!("curve/{name}"));
    let sum = 4.0 * one("base") + 8.0 * one("ecdh") + one("sign") + one("recover");
    bench.0.entry("handshake/sum".to_owned()).or_default().least = Some(sum);
    for (name, measured) in bench.0.iter().filter(|(name, _)| name.contains(&only)) {
        let Measured { count, bytes, .. } = measured;
        let (wall, cpu) = (measured.wall.as_secs_f64(), measured.cpu.as_secs_f64());
        let least = measured.least.unwrap_or_default();
        println!(
            "{{\"name\":\"{name}\",\"count\":{count},\"bytes\":{bytes},\"wall_s\":{wall:.6},\
             \"cpu_s\":{cpu:.6},\"least_s\":{least:.4e}}}"
        );
    }
}

//! Two machines of ours that talk without sockets, beside the curve below them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use peerage_bench_kit::Error;
use peerage_discv5::curve::{PublicKey, SecretKey};
use peerage_discv5::discovery::{Action, Event};
use peerage_discv5::record::{Builder, Unverified};
use peerage_discv5::{Config, Discovery, Record};

use crate::node::secret;

/// Processor time of this thread, spent on one thing.
#[derive(Default)]
pub struct Spent(pub Duration);

impl Spent {
    pub fn on<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let done = work();
        self.0 += thread_time() - before;
        done
    }
}

pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("a thread may ask about itself"))
}

pub fn addr(number: u64) -> SocketAddr {
    let [.., b, c, d] = number.to_be_bytes();
    SocketAddr::from(([127, b, c, d], 9000))
}

pub fn machine(number: u64) -> Result<Discovery, Error> {
    let record = Builder::new(1).ip(addr(number).ip()).udp4(9000);
    let key = SecretKey::from_bytes(secret(number))?;
    Ok(Discovery::new(
        Config::default(),
        key,
        record,
        secret(!number),
    )?)
}

/// Carries datagrams to and fro until neither has any; how many answers the first got.
pub fn carry(now: Instant, one: &mut Discovery, two: &mut Discovery) -> usize {
    let at = |machine: &Discovery| {
        let at = machine.record().udp4_endpoint();
        at.expect("its record says").socket_addr()
    };
    let (at_one, at_two) = (at(one), at(two));
    let mut answers = 0;
    loop {
        let mut is_over = true;
        while let Some(action) = one.poll_action() {
            is_over = false;
            match action {
                Action::Transmit { mut datagram, .. } => {
                    let _taken = two.handle_datagram(now, at_one, &mut datagram);
                }
                Action::Event(Event::Answered { result, .. }) => {
                    answers += usize::from(result.is_ok());
                }
                Action::Event(_) => {}
            }
        }
        while let Some(action) = two.poll_action() {
            is_over = false;
            if let Action::Transmit { mut datagram, .. } = action {
                let _taken = one.handle_datagram(now, at_two, &mut datagram);
            }
        }
        if is_over {
            return answers;
        }
    }
}

/// New sessions, both ends, with the first PING in them, in turn with the curve operations that
/// they need: a key made, two shared points, a proof signed and checked, a record verified, and the
/// points read from the wire for these.
pub fn session_beside_the_curve(count: u64) -> Result<(), Error> {
    let now = Instant::now();
    let mut server = machine(1)?;
    let to = server.record().clone();
    let (mut curve, mut whole) = (Spent::default(), Spent::default());
    for number in 0..count {
        let mut client = machine(2 + number)?;
        let record = client.record().clone();
        curve.on(|| operations(number, &record, &to, server.secret_key()))?;
        let answers = whole.on(|| {
            let asked = client.start_ping(now, &to);
            asked.map(|_| carry(now, &mut client, &mut server))
        })?;
        assert_eq!(answers, 1);
    }
    assert_eq!(server.metrics().handshakes, count);
    let side = |spent: &Spent| {
        let s = spent.0.as_secs_f64();
        format!("{{\"count\":{count},\"at_once\":1,\"wall_s\":{s:.6},\"cpu_s\":{s:.6}}}")
    };
    println!(
        "{{\"name\":\"session\",\"backend\":\"libsecp256k1\",\"peer\":{},\"ours\":{}}}",
        side(&curve),
        side(&whole)
    );
    Ok(())
}

fn operations(number: u64, client: &Record, server: &Record, own: &SecretKey) -> Result<(), Error> {
    // The initiator: a key, a shared point with the key of a record, a signature.
    let static_key = SecretKey::from_bytes(secret(2 + number))?;
    let ephemeral = SecretKey::from_bytes(secret(number << 20))?;
    let sent = ephemeral.public_key().compressed();
    let theirs = PublicKey::from_compressed(server.public_key_bytes())?;
    black_box(ephemeral.shared_point(&theirs));
    let digest = secret(number << 21);
    let proof = static_key.sign(digest);
    // The responder: the proof, a shared point, the record.
    PublicKey::from_compressed(client.public_key_bytes())?.verify(digest, &proof)?;
    black_box(own.shared_point(&PublicKey::from_compressed(&sent)?));
    black_box(Unverified::decode(client.as_bytes())?.verify()?);
    Ok(())
}

//! Whole handshakes in memory: auth, ack, Hello, Status.

use std::hint::black_box;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use peerage_bench_kit::Error;
use peerage_core::{ConnectedAddr, Handshake, Step, UnixTime};
use peerage_ethereum::key::{Ephemeral, SharedStatic};
use peerage_ethereum::{AcceptAll, Attempt, Greeting, Local, Peer, PublicKey, SecretKey, Table};
use secp256k1::{Message, Secp256k1, ecdh};

use crate::random;
use crate::turns::Spent;

/// How many of one thing are done before its turn is over.
const TURN: u64 = 10;

/// Base multiplications of one handshake: two ephemeral pairs and two that seal.
const BASES: u64 = 4;
/// General multiplications: both ends for auth, ack, the static and the ephemeral secret.
const AGREEMENTS: u64 = 8;

/// A node on mainnet that knows no block, with the key that these bytes make.
pub fn node(key: [u8; 32]) -> Result<Local, Error> {
    let chain = Table::builtin()
        .chain("mainnet")
        .ok_or("no mainnet")?
        .clone();
    let key = SecretKey::from_bytes(key)?;
    Ok(Local::new(chain, "bench/v1".into(), key))
}

/// The wall clock.
pub fn unix_time() -> Result<UnixTime, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(UnixTime(since.as_secs().try_into()?))
}

/// One end of a conversation in memory.
pub struct End {
    greeting: Option<Greeting<AcceptAll>>,
    input: BytesMut,
    peer: Option<Box<Peer>>,
}

impl End {
    fn new(local: &Local, attempt: Attempt) -> Self {
        Self {
            greeting: Some(local.greet(attempt)),
            input: BytesMut::new(),
            peer: None,
        }
    }

    /// What it says now goes to the other end, which goes on.
    fn speak_to(&mut self, other: &mut Self, now: Instant) -> Result<bool, Error> {
        let mut spoke = false;
        while let Some(bytes) = self.greeting.as_mut().and_then(Handshake::poll_transmit) {
            spoke = true;
            other.input.extend_from_slice(&bytes);
            self.go_on(now)?;
        }
        if spoke {
            other.go_on(now)?;
        }
        Ok(spoke)
    }

    fn go_on(&mut self, now: Instant) -> Result<(), Error> {
        if let Some(greeting) = self.greeting.take() {
            match greeting.advance(now, &mut self.input) {
                Step::More(greeting, _) => self.greeting = Some(greeting),
                Step::Done(peer) => self.peer = Some(peer),
                Step::Failed(failed) => return Err(failed.error.into()),
            }
        }
        Ok(())
    }
}

/// Greets, both ends.
pub fn greet(
    (near, far): (&Local, &Local),
    (dials, answers): (Attempt, Attempt),
    now: Instant,
) -> Result<(Box<Peer>, Box<Peer>), Error> {
    let mut a = End::new(near, dials);
    let mut b = End::new(far, answers);
    while a.speak_to(&mut b, now)? | b.speak_to(&mut a, now)? {}
    let peers = a.peer.zip(b.peer);
    let (a, b) = peers.ok_or("neither greeted nor refused")?;
    if (a.info().id, b.info().id) != (far.id(), near.id()) {
        return Err("strangers".into());
    }
    Ok((a, b))
}

const ADDR: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 30303);

/// A dial and an answer from nothing: all keys are made here.
pub fn attempts(theirs: &PublicKey, time: UnixTime) -> Result<(Attempt, Attempt), Error> {
    let (dialled, accepted) = addresses();
    Ok((
        Attempt::new(dialled, Some(*theirs), time, &random()?)?,
        Attempt::new(accepted, None, time, &random()?)?,
    ))
}

/// A dial and an answer with pairs made ahead.
fn prepared(
    theirs: &PublicKey,
    time: UnixTime,
    (a, b): (Ephemeral, Ephemeral),
) -> Result<(Attempt, Attempt), Error> {
    let (dialled, accepted) = addresses();
    Ok((
        Attempt::prepared(dialled, Some(*theirs), time, a, &random()?)?,
        Attempt::prepared(accepted, None, time, b, &random()?)?,
    ))
}

fn addresses() -> (ConnectedAddr, ConnectedAddr) {
    let addr = ADDR.into();
    (
        ConnectedAddr::OutboundDirect { addr },
        ConnectedAddr::InboundDirect { addr },
    )
}

/// The curve, by itself: the library that ours stands on, blinded as ours is.
struct Curve {
    curve: Secp256k1<secp256k1::All>,
    secret: secp256k1::SecretKey,
    point: secp256k1::PublicKey,
    digest: Message,
    signature: secp256k1::ecdsa::RecoverableSignature,
}

impl Curve {
    fn new() -> Result<Self, Error> {
        let mut curve = Secp256k1::new();
        curve.seeded_randomize(&random()?);
        let secret = secp256k1::SecretKey::from_byte_array(random()?)?;
        let other = secp256k1::SecretKey::from_byte_array(random()?)?;
        let digest = Message::from_digest(random()?);
        Ok(Self {
            point: secp256k1::PublicKey::from_secret_key(&curve, &other),
            signature: curve.sign_ecdsa_recoverable(digest, &secret),
            curve,
            secret,
            digest,
        })
    }

    fn base(&self) {
        let secret = black_box(&self.secret);
        black_box(secp256k1::PublicKey::from_secret_key(&self.curve, secret));
    }

    fn agree(&self) {
        black_box(ecdh::shared_secret_point(
            black_box(&self.point),
            &self.secret,
        ));
    }

    fn sign(&self) {
        let digest = black_box(self.digest);
        black_box(self.curve.sign_ecdsa_recoverable(digest, &self.secret));
    }

    fn recover(&self) {
        let digest = black_box(self.digest);
        let found = self.curve.recover_ecdsa(digest, &self.signature);
        black_box(found).expect("our own signature");
    }
}

/// Processor time of everything that took its turn.
#[derive(Default)]
struct Times {
    base: Spent,
    agree: Spent,
    sign: Spent,
    recover: Spent,
    cold: Spent,
    prepared: Spent,
    known: Spent,
}

/// Handshakes beside the curve operations that they consist of, and beside themselves with key
/// pairs made ahead and, further, with the secret of both static keys kept.
pub fn beside_the_curve(count: u64) -> Result<(), Error> {
    let (near, far) = (node(random()?)?, node(random()?)?);
    let nodes = (&near, &far);
    let at_near = SharedStatic::new(&near.key, far.key.public());
    let at_far = SharedStatic::new(&far.key, near.key.public());
    let (time, now) = (unix_time()?, Instant::now());
    let curve = Curve::new()?;
    let theirs = far.key.public();
    let mut times = Times::default();
    let turns = count.div_ceil(TURN);
    // A tenth goes unmeasured first.
    for turn in 0..turns + turns.div_ceil(10) {
        if turn == turns.div_ceil(10) {
            times = Times::default();
        }
        times.cold.on(|| {
            (0..TURN).try_for_each(|_| greet(nodes, attempts(theirs, time)?, now).map(drop))
        })?;
        times
            .base
            .on(|| (0..TURN * BASES).for_each(|_| curve.base()));
        times
            .agree
            .on(|| (0..TURN * AGREEMENTS).for_each(|_| curve.agree()));
        times.sign.on(|| (0..TURN).for_each(|_| curve.sign()));
        times.recover.on(|| (0..TURN).for_each(|_| curve.recover()));
        let pairs = made_ahead()?;
        times.prepared.on(|| {
            pairs
                .into_iter()
                .try_for_each(|pairs| greet(nodes, prepared(theirs, time, pairs)?, now).map(drop))
        })?;
        let pairs = made_ahead()?;
        times.known.on(|| {
            pairs.into_iter().try_for_each(|pairs| {
                let (dials, answers) = prepared(theirs, time, pairs)?;
                let (dials, answers) = (
                    dials.knowing(at_near.clone()),
                    answers.knowing(at_far.clone()),
                );
                greet(nodes, (dials, answers), now).map(drop)
            })
        })?;
    }
    let count = turns * TURN;
    let Times {
        base,
        agree,
        sign,
        recover,
        cold,
        prepared,
        known,
    } = times;
    let [base, agree, sign, recover] = [base, agree, sign, recover].map(|spent| spent.seconds());
    let sum = base + agree + sign + recover;
    println!(
        "{{\"name\":\"greet\",\
         \"peer\":{{\"count\":{count},\"cpu_s\":{sum:.6},\"base_s\":{base:.6},\"agree_s\":{agree:.6},\
         \"sign_s\":{sign:.6},\"recover_s\":{recover:.6}}},\
         \"ours\":{{\"count\":{count},\"cpu_s\":{:.6},\"prepared_s\":{:.6},\"known_s\":{:.6}}}}}",
        cold.seconds(),
        prepared.seconds(),
        known.seconds(),
    );
    Ok(())
}

/// Key pairs for both ends of one turn.
fn made_ahead() -> Result<Vec<(Ephemeral, Ephemeral)>, Error> {
    let pair = || -> Result<_, Error> { Ok(Ephemeral::from_bytes(random()?)?) };
    (0..TURN).map(|_| Ok((pair()?, pair()?))).collect()
}

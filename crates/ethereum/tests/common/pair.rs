//! Two nodes over a pipe of the test's own.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::BytesMut;
use peerage_core::{
    ConnectedAddr, Failed, Handshake, Interruption, Session, Step, UnixTime, Wakeup,
};
use peerage_ethereum::table::ChainTable;
use peerage_ethereum::{
    AcceptAll, Attempt, Codec, Greeting, HandshakeError, Local, Message, Peer, PeerInfo, Policy,
    PublicKey, Remote, SecretKey, SessionError, Table,
};

/// Shortly after the newest fork of every compiled-in chain but those to come.
pub(crate) const NOW: UnixTime = UnixTime(1_780_000_000);

/// Any moment: nothing here depends on it.
#[expect(
    clippy::disallowed_methods,
    reason = "a starting point; every test counts from it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn chain(name: &str) -> Arc<ChainTable> {
    // Reading it takes longer than a handshake.
    static TABLE: LazyLock<Table> = LazyLock::new(Table::builtin);
    TABLE.chain(name).unwrap().clone()
}

/// A node on mainnet whose key is made of this byte.
pub(crate) fn node(seed: u8) -> Local {
    node_on(chain("mainnet"), seed)
}

pub(crate) fn node_on(chain: Arc<ChainTable>, seed: u8) -> Local {
    let key = SecretKey::from_bytes([seed; 32]).unwrap();
    let client = format!("node-{seed}/v1");
    Local::new(chain, client.as_str().into(), key)
}

pub(crate) fn outbound() -> ConnectedAddr {
    let addr: SocketAddr = "192.0.2.7:30303".parse().unwrap();
    ConnectedAddr::OutboundDirect { addr: addr.into() }
}

pub(crate) fn inbound() -> ConnectedAddr {
    let addr: SocketAddr = "192.0.2.9:50505".parse().unwrap();
    ConnectedAddr::InboundDirect { addr: addr.into() }
}

/// Random bytes that differ for each seed.
pub(crate) fn random(seed: u8) -> [u8; Attempt::RANDOM_LEN] {
    let mut bytes = [seed; Attempt::RANDOM_LEN];
    bytes
        .iter_mut()
        .zip(1..)
        .for_each(|(byte, n): (_, u8)| *byte ^= n);
    bytes
}

pub(crate) fn dialling(peer: &PublicKey, seed: u8) -> Attempt {
    dialling_over(outbound(), peer, seed)
}

pub(crate) fn dialling_over(addr: ConnectedAddr, peer: &PublicKey, seed: u8) -> Attempt {
    Attempt::new(addr, Some(*peer), NOW, &random(seed)).unwrap()
}

pub(crate) fn answering(seed: u8) -> Attempt {
    answering_over(inbound(), seed)
}

pub(crate) fn answering_over(addr: ConnectedAddr, seed: u8) -> Attempt {
    Attempt::new(addr, None, NOW, &random(seed)).unwrap()
}

/// Where a handshake stands.
#[derive(Debug)]
pub(crate) enum Standing<P: Policy<Remote>> {
    Live(Box<Greeting<P>>),
    Peer(Box<Peer>),
    Failed(Failed<HandshakeError<P::Rejection>>),
    /// Only while it moves.
    Moving,
}

/// One end, driven as a driver would.
#[derive(Debug)]
pub(crate) struct End<P: Policy<Remote> = AcceptAll> {
    pub(crate) standing: Standing<P>,
    /// What time it is, and when it wants to be called.
    pub(crate) now: Instant,
    pub(crate) wakeup: Option<Wakeup>,
    /// Bytes heard and not consumed.
    pub(crate) input: BytesMut,
    /// Bytes said and not yet taken away, last words included.
    pub(crate) output: BytesMut,
    /// Every byte it ever heard.
    pub(crate) heard: BytesMut,
}

impl End {
    pub(crate) fn new(local: &Local, attempt: Attempt) -> Self {
        Self::with(local, attempt, AcceptAll)
    }
}

impl<P: Policy<Remote>> End<P> {
    pub(crate) fn with(local: &Local, attempt: Attempt, policy: P) -> Self {
        let greeting = local.greet_with(attempt, policy);
        let mut end = Self {
            standing: Standing::Live(Box::new(greeting)),
            now: now(),
            wakeup: None,
            input: BytesMut::new(),
            output: BytesMut::new(),
            heard: BytesMut::new(),
        };
        end.speak();
        end
    }

    /// Takes down what it says; whether it said anything.
    fn speak(&mut self) -> bool {
        let mut spoke = false;
        if let Standing::Live(greeting) = &mut self.standing {
            while let Some(bytes) = greeting.poll_transmit() {
                self.output.extend_from_slice(&bytes);
                spoke = true;
            }
        }
        spoke
    }

    /// Gives it bytes, and lets it go on until it waits or ends.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.heard.extend_from_slice(bytes);
        loop {
            let greeting = match std::mem::replace(&mut self.standing, Standing::Moving) {
                Standing::Live(greeting) => greeting,
                over => {
                    self.standing = over;
                    return;
                }
            };
            self.standing = match greeting.advance(self.now, &mut self.input) {
                Step::More(greeting, wakeup) => {
                    self.wakeup = wakeup;
                    Standing::Live(Box::new(greeting))
                }
                Step::Done(peer) => Standing::Peer(peer),
                Step::Failed(failed) => {
                    self.output.extend_from_slice(&failed.last_words);
                    Standing::Failed(failed)
                }
            };
            if !self.speak() {
                return;
            }
        }
    }

    /// Lets the time come that it waits for.
    #[track_caller]
    pub(crate) fn wake(&mut self) {
        let wakeup = self.wakeup.take().expect("it waits for a time");
        self.now = wakeup.at;
        self.hear(&[]);
    }

    /// Ends it from outside.
    pub(crate) fn interrupt(&mut self, cause: Interruption) {
        let Standing::Live(greeting) = std::mem::replace(&mut self.standing, Standing::Moving)
        else {
            panic!("not under way");
        };
        let failed = greeting.interrupt(cause);
        self.output.extend_from_slice(&failed.last_words);
        self.standing = Standing::Failed(failed);
    }

    pub(crate) fn said(&mut self) -> BytesMut {
        self.output.split()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &HandshakeError<P::Rejection> {
        match &self.standing {
            Standing::Failed(failed) => &failed.error,
            _ => panic!("no failure: {}", self.is()),
        }
    }

    pub(crate) const fn is(&self) -> &'static str {
        match self.standing {
            Standing::Live(_) => "live",
            Standing::Peer(_) => "peer",
            Standing::Failed(_) => "failed",
            Standing::Moving => "moving",
        }
    }

    #[track_caller]
    pub(crate) fn into_peer(self) -> Life {
        let Standing::Peer(peer) = self.standing else {
            panic!("no peer: {}", self.is());
        };
        let (info, codec) = peer.into_parts();
        Life {
            info,
            codec,
            input: self.input,
        }
    }
}

/// Carries bytes both ways until nobody says anything more.
pub(crate) fn converse<P: Policy<Remote>, Q: Policy<Remote>>(a: &mut End<P>, b: &mut End<Q>) {
    converse_in(a, b, usize::MAX);
}

/// The same in pieces of at most `len` bytes.
pub(crate) fn converse_in<P: Policy<Remote>, Q: Policy<Remote>>(
    a: &mut End<P>,
    b: &mut End<Q>,
    len: usize,
) {
    loop {
        let (from_a, from_b) = (a.said(), b.said());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        from_a.chunks(len).for_each(|piece| b.hear(piece));
        from_b.chunks(len).for_each(|piece| a.hear(piece));
    }
}

/// An established peer, seen from one side.
pub(crate) struct Life {
    pub(crate) info: PeerInfo,
    pub(crate) codec: Codec,
    pub(crate) input: BytesMut,
}

impl Life {
    pub(crate) fn say(&mut self, message: &Message) -> BytesMut {
        let mut output = BytesMut::new();
        self.codec.encode(message, &mut output).unwrap();
        output
    }

    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Option<Message>, SessionError> {
        self.input.extend_from_slice(bytes);
        self.codec.decode(&mut self.input)
    }
}

/// Two nodes that greeted each other; the dialler first.
pub(crate) fn established(dialler: &Local, listener: &Local) -> (Life, Life) {
    let mut a = End::new(dialler, dialling(listener.key.public(), 1));
    let mut b = End::new(listener, answering(2));
    converse(&mut a, &mut b);
    (a.into_peer(), b.into_peer())
}

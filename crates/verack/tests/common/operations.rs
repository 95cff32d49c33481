//! A byte string read as a list of operations on one handshake, with every invariant checked after
//! each. A fuzz target, a property test and a folder of kept inputs all call [`run`].
//!
//! The first byte chooses the handshake: bit 0 the network (0 Zcash, 1 Decred), bit 1 the direction
//! (0 inbound, 1 outbound), bits 2 and 3 the kind of connection (2 proxied, 3 isolated, else
//! direct), bit 4 whether our policy refuses. Each operation is one byte modulo 16, and takes its
//! arguments from the bytes that follow; the end of the bytes is the end of the list.
//!
//! | number | operation | arguments |
//! |---|---|---|
//! | 0, 1 | hear frame i | i |
//! | 2 | hear the peer's good version | |
//! | 3 | hear a verack | |
//! | 4 | hear frame i, one byte of it changed | i, place, change |
//! | 5 | hear the front of frame i | i, length |
//! | 6 | hear frame i in pieces | i, length of a piece |
//! | 7 | hear a header without its payload | i, declared length (4) |
//! | 8 | hear frame i under other magic | i, magic (4; 0 for that of another chain) |
//! | 9 | hear these bytes | how many, they |
//! | 10 | is interrupted | cause |
//! | 11 | our tip moves | to where |
//! | 12 | hear a version | protocol version (4), whose nonce |
//! | 13 | hear what we said ourselves | |
//! | 14 | hear frame i several times | i, how often |
//! | 15 | goes on without writing what is to be written | |

mod checks;

use std::io;

use bytes::{Bytes, BytesMut};
use peerage_core::{Direction, Failure, Handshake, Interruption, Kind, Session, Step};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message;
use peerage_verack::envelope::Command;
use peerage_verack::nonce::Domain;
use peerage_verack::zcash::Zcash;
use peerage_verack::{Codec, Greeting, Height, Local, Nonce, SessionError, Version};

use super::{
    Net, Seen, attempt, chain, current, direct, header, isolated, message, nameless, node, now,
    proxied, their_version, verack, version, version_frame,
};

/// How a list of operations ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The handshake still waits.
    Waits(&'static str),
    /// There is a peer, and the session is sound so far.
    Peer,
    /// There was a peer, and its session broke.
    Lost(Kind),
    /// The handshake failed.
    Failed(Kind),
}

/// Reads and carries out a list of operations.
///
/// # Panics
/// When an invariant is broken.
pub(crate) fn run(program: &[u8]) -> End {
    let mut tape = Tape(program);
    let choice = tape.next().unwrap_or_default();
    if choice & 1 == 0 {
        Machine::<Zcash>::new(choice).run(&mut tape)
    } else {
        Machine::<Decred>::new(choice).run(&mut tape)
    }
}

struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn four(&mut self) -> Option<[u8; 4]> {
        let (four, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*four)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// The frames an operation can name, by number.
pub(crate) fn frames<D: Net>() -> Vec<Bytes> {
    vec![
        version::<D>(current::<D>()),
        verack::<D>(),
        version::<D>(11),
        version::<D>(9),
        version::<D>(170_149),
        version::<D>(u32::MAX),
        message::<D>("ping", &[1; 8]),
        message::<D>("pong", &[2; 8]),
        message::<D>("getaddr", &[]),
        message::<D>("addr", &[0]),
        message::<D>("addr", &[vec![1], vec![0; 30]].concat()),
        message::<D>(
            "addrv2",
            &[vec![1], vec![0; 16], vec![1], vec![0; 6]].concat(),
        ),
        message::<D>("addrv2", b"\x01time\x01\x01\x04addr.."),
        message::<D>("getheaders", &[0; 37]),
        message::<D>("tx", &[0; 1000]),
        message::<D>("tx", &[0; 16_000]),
        message::<D>("reject", b"\x07version\x11\x03old"),
        message::<D>("nobodyknows", &[7; 3]),
        message::<D>("mixpairreq", &[]),
        message::<D>("verack", &[0]),
        nameless::<D>(&[1; 5]),
        // Appended, so that the numbers of kept inputs stay true.
        message::<D>("inv", &[vec![1, 1], vec![0; 35]].concat()),
        message::<D>("getdata", &[vec![1, 9], vec![0; 35]].concat()),
        message::<D>("headers", &[0]),
        message::<D>("initstate", &[0; 3]),
    ]
}

fn frame<D: Net>(number: u8) -> Bytes {
    let frames = D::catalogue();
    frames[usize::from(number) % frames.len()].clone()
}

fn cause(number: u8) -> Interruption {
    match number % 5 {
        0 => Interruption::Closed,
        1 => Interruption::DeadlinePassed,
        2 => Interruption::Cancelled,
        3 => Interruption::Transport(io::ErrorKind::NetworkDown),
        _ => Interruption::Transport(io::ErrorKind::Other),
    }
}

enum State<D: Net> {
    Greets(Box<Greeting<D, Seen>>),
    Talks(Box<Codec<D>>),
    Over(End),
}

struct Machine<D: Net> {
    local: Local<D>,
    attempt: peerage_verack::Attempt,
    policy: Seen,
    refuses: bool,
    state: State<D>,
    input: BytesMut,
    /// Every byte ever heard, and everything said.
    heard: Vec<u8>,
    said: Vec<u8>,
}

impl<D: Net> Machine<D> {
    fn new(choice: u8) -> Self {
        let direction = if choice & 2 == 0 {
            Direction::Inbound
        } else {
            Direction::Outbound
        };
        let addr = match choice >> 2 & 3 {
            2 => proxied(direction),
            3 => isolated(direction),
            _ => direct(direction),
        };
        let refuses = choice & 16 != 0;
        let policy = if refuses {
            Seen::refusing("no")
        } else {
            Seen::default()
        };
        let (local, attempt) = (node::<D>(1), attempt(addr));
        Self {
            state: State::Greets(Box::new(local.greet_with(attempt, policy.clone()))),
            local,
            attempt,
            policy,
            refuses,
            input: BytesMut::new(),
            heard: Vec::new(),
            said: Vec::new(),
        }
    }

    fn run(mut self, tape: &mut Tape<'_>) -> End {
        self.go_on();
        while !matches!(self.state, State::Over(_)) {
            let Some(operation) = tape.next() else { break };
            if self.operate(operation, tape).is_none() {
                break;
            }
        }
        match self.state {
            State::Over(end) => end,
            State::Talks(_) => End::Peer,
            State::Greets(greeting) => End::Waits(greeting.awaited().stage().name()),
        }
    }

    fn operate(&mut self, operation: u8, tape: &mut Tape<'_>) -> Option<()> {
        match operation % 16 {
            0 | 1 => self.hear(&frame::<D>(tape.next()?)),
            2 => self.hear(&version::<D>(current::<D>())),
            3 => self.hear(&verack::<D>()),
            4 => {
                let mut bytes = frame::<D>(tape.next()?).to_vec();
                let place = usize::from(tape.next()?) % bytes.len();
                bytes[place] ^= tape.next()?;
                self.hear(&bytes);
            }
            5 => {
                let bytes = frame::<D>(tape.next()?);
                let len = usize::from(tape.next()?).min(bytes.len());
                self.hear(&bytes[..len]);
            }
            6 => {
                let bytes = frame::<D>(tape.next()?);
                let len = usize::from(tape.next()?) + 1;
                bytes.chunks(len).for_each(|piece| self.hear(piece));
            }
            7 => {
                let number = usize::from(tape.next()?);
                let names = ["inv", "ping", "version", "verack", "nobodyknows", "addrv2"];
                let len = u32::from_le_bytes(tape.four()?);
                self.hear(&header::<D>(names[number % names.len()], len));
            }
            8 => {
                let mut bytes = frame::<D>(tape.next()?).to_vec();
                let magic = match tape.four()? {
                    [0, 0, 0, 0] => chain::<D>(D::OTHER_CHAIN).magic,
                    magic => magic,
                };
                bytes[..4].copy_from_slice(&magic);
                self.hear(&bytes);
            }
            9 => {
                let len = usize::from(tape.next()?);
                self.hear(tape.take(len));
            }
            10 => self.interrupt(cause(tape.next()?)),
            11 => {
                let heights = [None, Some(0), Some(3_428_143), Some(u32::MAX)];
                let number = usize::from(tape.next()?);
                let height = heights[number % heights.len()].map(Height);
                self.local.tip.set(height);
            }
            12 => {
                let claimed = u32::from_le_bytes(tape.four()?);
                let nonce = match tape.next()? % 3 {
                    0 => Nonce(u64::from(claimed)),
                    1 => self.local.version_for(&self.attempt).nonce,
                    _ => self
                        .local
                        .nonce_keys
                        .issue(Domain(0), self.attempt.time, claimed),
                };
                self.hear(&version_frame::<D>(&Version {
                    nonce,
                    ..their_version(claimed)
                }));
            }
            13 => {
                let echo = self.said.clone();
                self.hear(&echo);
            }
            14 => {
                let bytes = frame::<D>(tape.next()?);
                for _ in 0..tape.next()? % 16 {
                    self.hear(&bytes);
                }
            }
            _ => self.hold_back(),
        }
        Some(())
    }

    fn hear(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        self.heard.extend_from_slice(bytes);
        self.input.extend_from_slice(bytes);
        self.go_on();
    }

    fn take(&mut self) -> State<D> {
        std::mem::replace(&mut self.state, State::Over(End::Peer))
    }

    /// What a driver does: write, go on, and so forth until it waits.
    fn go_on(&mut self) {
        loop {
            self.state = match self.take() {
                State::Greets(mut greeting) => {
                    let mut spoke = false;
                    while let Some(bytes) = greeting.poll_transmit() {
                        self.said.extend_from_slice(&bytes);
                        spoke = true;
                    }
                    self.check_what_was_said();
                    let before = self.input.len();
                    match greeting.advance(now(), &mut self.input) {
                        Step::More(greeting, wakeup) => {
                            assert_eq!(wakeup, None);
                            self.state = State::Greets(Box::new(greeting));
                            if spoke || self.input.len() < before {
                                continue;
                            }
                            return self.check_what_is_kept();
                        }
                        Step::Done(peer) => self.greeted(*peer),
                        Step::Failed(failed) => self.failed(&failed),
                    }
                }
                State::Talks(codec) => return self.talk(codec),
                over @ State::Over(_) => {
                    self.state = over;
                    return;
                }
            };
        }
    }

    /// A driver that goes on without writing or reading: nothing comes of it.
    fn hold_back(&mut self) {
        let good = [version::<D>(current::<D>()), verack::<D>()].concat();
        self.state = match self.take() {
            State::Greets(greeting) => {
                self.heard.extend_from_slice(&good);
                self.input.extend_from_slice(&good);
                match greeting.advance(now(), &mut self.input) {
                    Step::More(greeting, _) => {
                        let left = self.input.clone();
                        let Step::More(greeting, _) = greeting.advance(now(), &mut self.input)
                        else {
                            panic!("it ended without a byte more")
                        };
                        assert_eq!(self.input, left);
                        State::Greets(Box::new(greeting))
                    }
                    Step::Done(peer) => self.greeted(*peer),
                    Step::Failed(failed) => self.failed(&failed),
                }
            }
            other @ (State::Talks(_) | State::Over(_)) => other,
        };
        self.go_on();
    }

    fn interrupt(&mut self, cause: Interruption) {
        self.state = match self.take() {
            State::Greets(greeting) => {
                let failed = greeting.interrupt(cause);
                assert!(failed.last_words.is_empty());
                self.failed(&failed)
            }
            State::Talks(_) => State::Over(End::Peer),
            over @ State::Over(_) => over,
        };
    }

    /// The session: whatever it delivers can be sent again, and is no handshake message.
    fn talk(&mut self, mut codec: Box<Codec<D>>) {
        loop {
            match codec.decode(&mut self.input) {
                Ok(None) => return self.state = State::Talks(codec),
                Ok(Some(message)) => {
                    let command = message.command();
                    assert!(![Command::VERSION, Command::VERACK].contains(&command));
                    match codec.encode(&message, &mut BytesMut::new()) {
                        Ok(()) => {}
                        // Zcash passes on commands that no table knows, and sends none.
                        Err(SessionError::NotInVersion { .. }) => {
                            assert_eq!(D::max_payload(command, current_version::<D>()), None);
                        }
                        Err(error) => panic!("{message:?} came and cannot go: {error:?}"),
                    }
                }
                Err(error) => {
                    assert_ne!(error.kind(), Kind::Usage, "{error:?}");
                    return self.state = State::Over(End::Lost(error.kind()));
                }
            }
        }
    }
}

fn current_version<D: Net>() -> peerage_verack::ProtocolVersion {
    D::table().protocol_version
}

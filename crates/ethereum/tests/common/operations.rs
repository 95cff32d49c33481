//! A byte string read as a list of operations on two parties and the wire between them, with every
//! invariant checked after each. A fuzz target, a property test and a folder of kept inputs all call
//! [`run`].
//!
//! The first byte sets the scene: bits 0 and 1 who the parties are (0, 1 two nodes; 2 a rogue that
//! has exchanged keys dials a node; 3 a node dials such a rogue), bit 2 whether the first of two
//! nodes is isolated, bit 3 whether a second capability is shared, bits 4 to 6 what is wrong (0 to 2
//! nothing, 3 another network, 4 another key was dialled, 5 the listener's policy refuses at once,
//! 6 the dialler's after Hello, 7 no capability is shared; 4 to 6 between two nodes). Each operation
//! is one byte: bit 7 the party (0 the dialler), the rest modulo 12 the operation. It takes its
//! arguments from the bytes that follow; the end of the bytes is the end of the list.
//!
//! | number | operation | arguments |
//! |---|---|---|
//! | 0 | the party hears all that is on the wire to it | |
//! | 1 | it hears so many bytes | how many |
//! | 2 | a byte on the wire to it changes | place, change |
//! | 3 | bytes on the wire to it are lost | how many |
//! | 4 | the time comes that it waits for | |
//! | 5 | it is interrupted | cause |
//! | 6 | it says something: a peer a message, a rogue a frame | which |
//! | 7 | these bytes come on the wire to it | how many, they |
//! | 8 | what is on the wire to it comes twice | |
//! | 9 | both hear all there is until nobody speaks | |
//! | 10 | its best block moves | to where |
//! | 11 | it says something many times | which, how often |

use std::collections::VecDeque;
use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};
use peerage_core::{ConnectedAddr, Direction, Failure, Interruption, Kind, Refusal, Session as _};
use peerage_ethereum::eth::{self, Ask, BlockRange, Request};
use peerage_ethereum::frame::wire_len;
use peerage_ethereum::rlpx::MAX_PACKET_SIZE;
use peerage_ethereum::{
    Best, CapName, Capability, CapabilitySpec, Codec, EthVersion, Head, Local, Message,
    OtherMessage, PeerId, Policy, Remote, SessionError, Told, WireError, p2p,
};

use super::pair::{End, Life, Standing, answering, chain, dialling, dialling_over, node, node_on};
use super::rogue::{Rogue, compressed, keyed};

/// The most operations carried out of one list.
const MAX_OPERATIONS: usize = 200;

/// How the two ended, in words.
pub(crate) type Ends = [String; 2];

/// Reads and carries out a list of operations.
///
/// # Panics
/// When an invariant is broken.
pub(crate) fn run(program: &[u8]) -> Ends {
    let mut tape = Tape(program);
    let mut machine = Machine::new(tape.next().unwrap_or_default());
    for _ in 0..MAX_OPERATIONS {
        let Some(operation) = tape.next() else { break };
        if machine.operate(operation, &mut tape).is_none() {
            break;
        }
    }
    machine.check_that_honest_parties_meet();
    machine.parties.map(|party| party.name())
}

struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A policy that refuses at one moment, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Accepts,
    RefusesNamed,
    RefusesIntroduced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct No;

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no")
    }
}

impl Policy<Remote> for Choice {
    type Rejection = No;

    fn judge(&mut self, remote: &Remote) -> Result<(), No> {
        match (self, remote) {
            (Self::RefusesNamed, Remote::Named { .. })
            | (Self::RefusesIntroduced, Remote::Introduced { .. }) => Err(No),
            _ => Ok(()),
        }
    }

    fn refusal(_: &No) -> Refusal {
        Refusal::Full
    }
}

enum Party {
    Greets(Box<End<Choice>>),
    Talks(Box<Life>),
    /// There was a peer, and its session broke.
    Lost(Kind),
    Failed(Kind),
    Rogue(Box<Rogue>),
}

impl Party {
    fn name(&self) -> String {
        match self {
            Self::Greets(end) => match &end.standing {
                Standing::Live(greeting) => format!("waits-for-{}", greeting.awaited()),
                other => panic!("{other:?}"),
            },
            Self::Talks(_) => "peer".into(),
            Self::Lost(kind) => format!("lost-{kind}"),
            Self::Failed(kind) => kind.to_string(),
            Self::Rogue(_) => "rogue".into(),
        }
    }
}

const TOY: CapName = CapName::from_static("toy");

fn toy() -> CapabilitySpec {
    let capability = Capability {
        name: TOY,
        version: 1,
    };
    CapabilitySpec::new(capability, [Some(100), Some(1 << 20), None])
}

struct Machine {
    parties: [Party; 2],
    locals: [Local; 2],
    /// The bytes on their way to each.
    wires: [BytesMut; 2],
    /// What each said as a peer, and what each heard.
    said: [Vec<Message>; 2],
    heard: [Vec<Message>; 2],
    /// Questions that each was asked.
    questions: [VecDeque<Message>; 2],
    /// Whom each must take the other for; `None` for a fresh key.
    ids: [Option<PeerId>; 2],
    next_request: u64,
    /// Nothing but lawful delivery has happened, and nothing is wrong between the two.
    lawful: bool,
}

impl Machine {
    fn new(scene: u8) -> Self {
        let wrong = scene >> 4 & 7;
        let mut dialler = node(1);
        let mut listener = if wrong == 3 {
            node_on(chain("hoodi"), 2)
        } else {
            node(2)
        };
        if scene & 8 != 0 {
            for local in [&mut dialler, &mut listener] {
                let own = local.capabilities.iter().cloned();
                local.capabilities = own.chain([toy()]).collect();
            }
        }
        if wrong == 7 {
            listener.capabilities = [EthVersion::Eth68.spec()].into();
            dialler.capabilities = [EthVersion::Eth72.spec()].into();
        }
        let (mut at_dialler, mut at_listener) = (Choice::Accepts, Choice::Accepts);
        match wrong {
            5 => at_listener = Choice::RefusesNamed,
            6 => at_dialler = Choice::RefusesIntroduced,
            _ => {}
        }
        let isolated = scene & 4 != 0;
        let (parties, wires) = match scene & 3 {
            0 | 1 => {
                let key = if wrong == 4 {
                    node(3).key
                } else {
                    listener.key.clone()
                };
                let addr = ConnectedAddr::Isolated {
                    direction: Direction::Outbound,
                };
                let attempt = if isolated {
                    dialling_over(addr, key.public(), 1)
                } else {
                    dialling(key.public(), 1)
                };
                let a = End::with(&dialler, attempt, at_dialler);
                let b = End::with(&listener, answering(2), at_listener);
                let parties = [a, b].map(|end| Party::Greets(Box::new(end)));
                (parties, <[BytesMut; 2]>::default())
            }
            2 => {
                let (mut b, a) = keyed(&listener, &dialler, Direction::Inbound, Choice::Accepts);
                let said = b.said();
                let parties = [Party::Rogue(Box::new(a)), Party::Greets(Box::new(b))];
                (parties, [said, BytesMut::new()])
            }
            _ => {
                let (mut a, b) = keyed(&dialler, &listener, Direction::Outbound, Choice::Accepts);
                let said = a.said();
                let parties = [Party::Greets(Box::new(a)), Party::Rogue(Box::new(b))];
                (parties, [BytesMut::new(), said])
            }
        };
        let shown = (scene & 3 >= 2 || !isolated).then(|| dialler.id());
        let mut machine = Self {
            parties,
            wires,
            ids: [Some(listener.id()), shown],
            locals: [dialler, listener],
            said: <[Vec<Message>; 2]>::default(),
            heard: <[Vec<Message>; 2]>::default(),
            questions: <[VecDeque<Message>; 2]>::default(),
            next_request: 0,
            lawful: scene & 3 < 2 && wrong < 3,
        };
        machine.settle(0);
        machine.settle(1);
        machine
    }

    fn operate(&mut self, operation: u8, tape: &mut Tape<'_>) -> Option<()> {
        let who = usize::from(operation >> 7);
        let operation = operation & 0x7f;
        match operation % 12 {
            0 => self.deliver(who, usize::MAX),
            1 => self.deliver(who, usize::from(tape.next()?)),
            2 => {
                let (place, change) = (usize::from(tape.next()?), tape.next()?);
                let wire = &mut self.wires[who];
                if !wire.is_empty() && change != 0 {
                    let place = place % wire.len();
                    wire[place] ^= change;
                    self.lawful = false;
                }
            }
            3 => {
                let len = usize::from(tape.next()?);
                let wire = &mut self.wires[who];
                let lost = wire.split_to(len.min(wire.len()));
                self.lawful &= lost.is_empty();
            }
            4 => self.wake(who),
            5 => self.interrupt(who, tape.next()?),
            6 => self.say(who, tape.next()?),
            7 => {
                let len = usize::from(tape.next()?);
                let bytes = tape.take(len);
                self.wires[who].extend_from_slice(bytes);
                self.lawful &= bytes.is_empty();
            }
            8 => {
                let again = self.wires[who].clone();
                self.lawful &= again.is_empty();
                if again.len() < 1 << 20 {
                    self.wires[who].extend_from_slice(&again);
                }
            }
            9 => self.converse(),
            10 => {
                let number = [None, Some(0), Some(24_000_000)][usize::from(tape.next()?) % 3];
                let best = number.map(|number| Best {
                    head: Head {
                        number,
                        time: 1_400_000_000 + number * 14,
                    },
                    told: Some(Told {
                        hash: [7; 32],
                        earliest: 0,
                        total_difficulty: 1.into(),
                    }),
                });
                self.locals[who].tip.set(best);
            }
            _ => {
                let (which, times) = (tape.next()?, tape.next()?);
                (0..times % 32).for_each(|_| self.say(who, which));
            }
        }
        Some(())
    }

    fn converse(&mut self) {
        while self.wires.iter().any(|wire| !wire.is_empty()) {
            self.deliver(0, usize::MAX);
            self.deliver(1, usize::MAX);
        }
    }

    fn deliver(&mut self, to: usize, len: usize) {
        let wire = &mut self.wires[to];
        let bytes = wire.split_to(len.min(wire.len()));
        if bytes.is_empty() {
            return;
        }
        match &mut self.parties[to] {
            Party::Greets(end) => end.hear(&bytes),
            Party::Talks(life) => life.input.extend_from_slice(&bytes),
            // Nobody listens there any more.
            Party::Lost(_) | Party::Failed(_) | Party::Rogue(_) => return,
        }
        self.settle(to);
    }

    fn wake(&mut self, who: usize) {
        if let Party::Greets(end) = &mut self.parties[who]
            && end.wakeup.is_some()
        {
            end.wake();
            self.settle(who);
        }
    }

    fn interrupt(&mut self, who: usize, cause: u8) {
        let Party::Greets(end) = &mut self.parties[who] else {
            return;
        };
        end.interrupt(match cause % 4 {
            0 => Interruption::Closed,
            1 => Interruption::DeadlinePassed,
            2 => Interruption::Cancelled,
            _ => Interruption::Transport(io::ErrorKind::NetworkDown),
        });
        self.lawful = false;
        self.settle(who);
    }

    fn say(&mut self, who: usize, which: u8) {
        match &mut self.parties[who] {
            Party::Rogue(rogue) => {
                let frame = rogue_says(rogue, which);
                self.wires[1 - who].extend_from_slice(&frame);
            }
            Party::Talks(_) => self.peer_says(who, which),
            Party::Greets(_) | Party::Lost(_) | Party::Failed(_) => {}
        }
    }

    fn peer_says(&mut self, who: usize, which: u8) {
        let list = |len| Bytes::from([&[0xf9, 0x10, 0][..], &vec![which; len]].concat());
        let other = |id, len| OtherMessage {
            capability: TOY,
            id,
            body: vec![which; len].into(),
        };
        let message = match which % 10 {
            0 => Message::Ping,
            1 => Message::Pong,
            2 => Message::Eth(eth::Message::Transactions(list(0x1000))),
            3 => Message::Eth(eth::Message::BlockRangeUpdate(BlockRange {
                earliest: 1,
                latest: which.into(),
                latest_hash: [which | 1; 32],
            })),
            4 | 5 => {
                self.next_request += u64::from(which & 64 == 0);
                let ask = Ask::BlockBodies(vec![[which; 32]; usize::from(which)]);
                let id = self.next_request;
                Message::Eth(eth::Message::Request(Request { id, ask }))
            }
            6 => match self.questions[who].pop_front() {
                Some(question) => Codec::empty_answer(&question).unwrap(),
                None => return,
            },
            7 => Message::Other(other(0, 50)),
            8 => Message::Other(other(1, 5000)),
            _ => Message::Other(other(2, 1)),
        };
        let Party::Talks(life) = &mut self.parties[who] else {
            return;
        };
        let before = self.wires[1 - who].len();
        match life.codec.encode(&message, &mut self.wires[1 - who]) {
            Ok(()) => self.said[who].push(message),
            Err(error) => {
                assert!(matches!(error.kind(), Kind::Usage | Kind::Full), "{error}");
                assert_eq!(self.wires[1 - who].len(), before, "half a message");
            }
        }
    }

    /// Takes away what a party said, and sees where it stands now.
    fn settle(&mut self, who: usize) {
        if let Party::Greets(end) = &mut self.parties[who] {
            let said = end.said();
            self.wires[1 - who].extend_from_slice(&said);
            let Party::Greets(end) =
                std::mem::replace(&mut self.parties[who], Party::Lost(Kind::Bug))
            else {
                unreachable!("just looked")
            };
            self.parties[who] = match &end.standing {
                Standing::Live(greeting) => {
                    check_what_is_kept(greeting.awaited().name(), end.input.len());
                    Party::Greets(end)
                }
                Standing::Failed(failed) => {
                    check_reason(&failed.error);
                    assert!(failed.last_words.len() < 2048, "long last words");
                    Party::Failed(failed.error.kind())
                }
                Standing::Peer(peer) => {
                    assert!(peer.early() <= 16);
                    Party::Talks(Box::new(end.into_peer()))
                }
                Standing::Moving => unreachable!("it stands"),
            };
            self.check_who_it_is(who);
        }
        self.listen(who);
    }

    /// Reads what has come for an established peer.
    fn listen(&mut self, who: usize) {
        let Party::Talks(life) = &mut self.parties[who] else {
            return;
        };
        let lost = loop {
            match life.codec.decode(&mut life.input) {
                Ok(Some(message)) => {
                    if Codec::empty_answer(&message).is_some() && self.questions[who].len() < 64 {
                        self.questions[who].push_back(message.clone());
                    }
                    self.heard[who].push(message);
                }
                Ok(None) => {
                    let most = wire_len(peerage_ethereum::snappy::max_compressed_len(10 << 20) + 9);
                    assert!(life.input.len() < most, "{} bytes kept", life.input.len());
                    break None;
                }
                Err(error) => {
                    check_reason(&error);
                    // It is final, whatever comes.
                    life.input.extend_from_slice(&[0; 100]);
                    let again = life.codec.decode(&mut life.input).unwrap_err();
                    assert!(
                        matches!(again, SessionError::Message(WireError::Frame(_))),
                        "{again}"
                    );
                    break Some(error.kind());
                }
            }
        };
        // Against a rogue there is no record of what was said.
        if !matches!(self.parties[1 - who], Party::Rogue(_)) {
            let (heard, said) = (&self.heard[who], &self.said[1 - who]);
            assert!(
                said.starts_with(heard),
                "whatever the wire does: {heard:?} of {said:?}"
            );
        }
        if let Some(kind) = lost {
            assert!(!self.lawful, "nobody did anything wrong: {kind}");
            self.parties[who] = Party::Lost(kind);
        }
    }

    fn check_who_it_is(&self, who: usize) {
        let Party::Talks(life) = &self.parties[who] else {
            return;
        };
        if let Some(expected) = self.ids[who] {
            assert_eq!(life.info.id, expected);
        }
        assert_eq!(life.info.hello.id, life.info.id);
        assert_eq!(life.info.chain.is_some(), life.info.eth_version().is_some());
        if let Party::Talks(other) = &self.parties[1 - who] {
            assert_eq!(life.info.shared, other.info.shared, "both come to the same");
            assert_eq!(life.info.eth_version(), other.info.eth_version());
            assert_ne!(life.info.direction, other.info.direction);
        }
    }

    /// Nothing was wrong: once everything is delivered and every wait is over, both are peers, and
    /// have heard all that was said.
    fn check_that_honest_parties_meet(&mut self) {
        if !self.lawful {
            return;
        }
        self.converse();
        self.wake(0);
        self.wake(1);
        self.converse();
        assert_eq!(
            [self.parties[0].name(), self.parties[1].name()],
            ["peer", "peer"]
        );
        assert_eq!(
            (&self.heard[0], &self.heard[1]),
            (&self.said[1], &self.said[0])
        );
    }
}

/// What lies unread is the front of one packet or frame that may still be lawful.
fn check_what_is_kept(awaited: &str, len: usize) {
    let most = match awaited {
        "auth" | "ack" => 2 + MAX_PACKET_SIZE,
        "hello" => wire_len(2048 + 9),
        _ => wire_len((64 << 10) + 9),
    };
    assert!(len < most, "{len} bytes kept for {awaited}");
}

fn check_reason(error: &impl Failure) {
    let reason = error.reason();
    assert!(
        !matches!(reason.kind, Kind::Bug | Kind::Usage),
        "{reason:?}"
    );
    let printable = |text: &str| text.chars().all(|c| c == '…' || (' '..='~').contains(&c));
    assert!(
        !reason.message.is_empty() && printable(&reason.message),
        "{reason:?}"
    );
    for (name, value) in reason.detail.iter() {
        assert!(
            printable(name) && printable(&value.to_string()),
            "{reason:?}"
        );
    }
}

/// The frames of a rogue, by number.
fn rogue_says(rogue: &mut Rogue, which: u8) -> BytesMut {
    let status = |rogue: &Rogue| rogue.status_of(EthVersion::Eth72);
    match which % 32 {
        0 => rogue.introduce_honestly(),
        1 => {
            let mut hello = rogue.honest_hello();
            hello.id = node(5).id();
            rogue.introduce(&hello)
        }
        2 => {
            let mut hello = rogue.honest_hello();
            hello.capabilities.clear();
            rogue.introduce(&hello)
        }
        3 => {
            let mut hello = rogue.honest_hello();
            hello.p2p_version = 4;
            rogue.introduce(&hello)
        }
        4 => {
            let mut hello = rogue.honest_hello();
            hello.capabilities = vec![EthVersion::Eth68.capability(), toy().capability];
            rogue.introduce(&hello)
        }
        5 => {
            let status = status(rogue);
            rogue.message(0x10, &status.encode())
        }
        6 => {
            let mut status = status(rogue);
            status.network_id = 5;
            rogue.message(0x10, &status.encode())
        }
        7 => {
            let mut status = status(rogue);
            status.fork_id.next = 1;
            rogue.message(0x10, &status.encode())
        }
        8 => rogue.message(p2p::PING, p2p::EMPTY),
        9 => rogue.message(p2p::PONG, &[]),
        10 => rogue.message(p2p::DISCONNECT, &[0xc1, 4]),
        11 => rogue.frame(p2p::DISCONNECT, &[4]),
        12 => rogue.frame(p2p::DISCONNECT, &[0; 70]),
        13 => rogue.frame(p2p::HELLO, &[0xc0; 2100]),
        14 => rogue.message(p2p::HELLO, &[0xc0]),
        // With eth/72 a toy's messages begin at 0x26.
        15 => rogue.message(0x26, &[1; 60]),
        16 => rogue.message(0x27, &[2; 40_000]),
        17 => rogue.message(0x28, &[3]),
        18 => rogue.frame(0x27, &compressed(&[0; 1 << 16])),
        19 => rogue.frame(0x27, &[0xff; 70_000]),
        20 => rogue.message(0x99, &[]),
        21 => rogue.frame(u64::MAX, &[7; 300]),
        22 => rogue.message(0x16, &[0xc2, 1, 0xc0]),
        23 => rogue.message(0x15, &[0xc2, 1, 0xc0]),
        24 => rogue.message(0x12, &[0xc0]),
        25 => rogue.message(0x21, &[0xc3, 2, 1, 0x80]),
        26 => rogue.frame(0x12, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        27 => rogue.frame(0x12, &[0; 33]),
        28 => rogue.message(0x18, &[0xf8, 0xff, 1]),
        29 => rogue.frame(p2p::PING, &[]),
        30 => {
            let mut status = status(rogue);
            status.version = 69;
            rogue.message(0x10, &status.encode())
        }
        _ => rogue.message(0x10, &[0xf9, 0xff, 0xff]),
    }
}

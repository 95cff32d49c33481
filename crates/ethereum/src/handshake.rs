//! The handshake: moves bytes in and out of the steps.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peerage_core::{Failed, Handshake, Interruption, Step, Wakeup};

use crate::channel::Channel;
use crate::error::{Awaited, HandshakeError};
use crate::local::{Attempt, Local};
use crate::peer::Peer;
use crate::policy::{AcceptAll, Policy, Remote};
use crate::rlpx::{Fresh, Initiator, RlpxError};
use crate::steps::{AfterHello, AwaitAck, AwaitAuth, AwaitHello, AwaitStatus, Broken, Cx, Next};

/// A handshake under way, either side. Start one with [`Local::greet`].
///
/// The dialler speaks first, and to the owner of one key only; a listener says nothing to whoever
/// does not know its key. Then both introduce themselves at once, and both tell their chain; the
/// dialler lets the listener go first for a moment, so that it learns why the two do not fit.
///
/// ```text
/// dialler   auth ──►            hello ──►            status ──►
/// listener        ──► ack, hello        ──► status               Peer
/// ```
///
/// It can be driven once: going on consumes it.
///
/// ```compile_fail,E0382
/// # use peerage_core::Handshake;
/// # fn twice<H: Handshake>(handshake: H, now: std::time::Instant, input: &mut bytes::BytesMut) {
/// handshake.advance(now, input);
/// handshake.advance(now, input); // the first call consumed it
/// # }
/// ```
///
/// Source: devp2p, `rlpx.md`, "Initial Handshake" and "p2p Capability"; `caps/eth.md`, "Status".
#[derive(Debug)]
pub struct Greeting<P> {
    // A driver moves the whole value at every step, and a task keeps room for it.
    cx: Box<Cx>,
    policy: P,
    state: State,
    output: BytesMut,
    /// Bytes received so far, and how many of them the input still held after the last step.
    received: usize,
    unread: usize,
}

#[derive(Debug)]
enum State {
    /// The peer is this node; nothing is said.
    Myself {
        heard: bool,
    },
    AwaitAuth(AwaitAuth),
    AwaitAck(AwaitAck),
    AwaitHello(AwaitHello),
    AwaitStatus(Box<AwaitStatus>),
    /// Over, as soon as the last output is written.
    Over(Box<Peer>),
}

impl From<AwaitAuth> for State {
    fn from(step: AwaitAuth) -> Self {
        Self::AwaitAuth(step)
    }
}

impl From<AwaitAck> for State {
    fn from(step: AwaitAck) -> Self {
        Self::AwaitAck(step)
    }
}

impl From<AwaitHello> for State {
    fn from(step: AwaitHello) -> Self {
        Self::AwaitHello(step)
    }
}

impl From<Box<AwaitStatus>> for State {
    fn from(step: Box<AwaitStatus>) -> Self {
        Self::AwaitStatus(step)
    }
}

impl From<AfterHello> for State {
    fn from(after: AfterHello) -> Self {
        match after {
            AfterHello::Status(step) => Self::AwaitStatus(step),
            AfterHello::Over(peer) => Self::Over(peer),
        }
    }
}

impl From<Box<Peer>> for State {
    fn from(peer: Box<Peer>) -> Self {
        Self::Over(peer)
    }
}

impl State {
    const fn awaited(&self) -> Awaited {
        match self {
            Self::AwaitAuth(_) => Awaited::Auth,
            Self::Myself { .. } | Self::AwaitAck(_) => Awaited::Ack,
            Self::AwaitHello(_) => Awaited::Hello,
            Self::AwaitStatus(_) | Self::Over(_) => Awaited::Status,
        }
    }

    const fn wakeup(&self) -> Option<Wakeup> {
        match self {
            Self::AwaitStatus(step) => step.wakeup(),
            Self::Myself { .. }
            | Self::AwaitAuth(_)
            | Self::AwaitAck(_)
            | Self::AwaitHello(_)
            | Self::Over(_) => None,
        }
    }

    fn into_channel(self) -> Option<Box<Channel>> {
        match self {
            Self::AwaitHello(step) => Some(step.channel),
            Self::AwaitStatus(step) => Some(step.channel),
            Self::Over(peer) => Some(peer.into_channel()),
            Self::Myself { .. } | Self::AwaitAuth(_) | Self::AwaitAck(_) => None,
        }
    }
}

impl Local {
    /// A handshake over a fresh connection, with anybody whom the network's own rules accept.
    pub fn greet(&self, attempt: Attempt) -> Greeting<AcceptAll> {
        self.greet_with(attempt, AcceptAll)
    }

    /// A handshake that also asks `policy`.
    pub fn greet_with<P: Policy<Remote>>(&self, attempt: Attempt, policy: P) -> Greeting<P> {
        Greeting::new(self.clone(), attempt, policy)
    }
}

impl<P> Greeting<P> {
    /// The message being waited for.
    pub const fn awaited(&self) -> Awaited {
        self.state.awaited()
    }

    fn new(local: Local, attempt: Attempt, policy: P) -> Self {
        let Attempt { terms, fresh } = attempt;
        let key = local.key_for(&terms);
        let cx = Box::new(Cx { local, terms, key });
        let mut output = BytesMut::new();
        let state = match cx.terms.peer {
            None => State::AwaitAuth(AwaitAuth { fresh }),
            Some(peer) => {
                let id = peer.id();
                match open(&cx, *fresh) {
                    Ok((initiator, auth)) => {
                        output.extend_from_slice(&auth);
                        let initiator = Box::new(initiator);
                        State::AwaitAck(AwaitAck { initiator, id })
                    }
                    // The only error there is.
                    Err(_) => State::Myself { heard: false },
                }
            }
        };
        Self {
            cx,
            policy,
            state,
            output,
            received: 0,
            unread: 0,
        }
    }
}

/// Begins to dial, with what was agreed on before where that is with this peer.
fn open(cx: &Cx, fresh: Fresh) -> Result<(Initiator, Bytes), RlpxError> {
    let shared = cx.terms.shared.as_ref();
    let peer = cx.terms.peer.as_ref();
    let known =
        shared.filter(|shared| peer.is_some_and(|peer| shared.is_between(&cx.key, peer.id())));
    match (known, peer) {
        (Some(shared), _) => Initiator::with_shared(&cx.key, shared, fresh),
        (None, Some(peer)) => Initiator::new(&cx.key, peer, fresh),
        (None, None) => Err(RlpxError::SelfConnection),
    }
}

/// A step's outcome in terms of states: the state, and whether to go on at once.
fn entered<Same: Into<State>, Other: Into<State>, R>(
    stepped: Result<Next<Same, Other>, Box<Broken<R>>>,
) -> Result<(State, bool), Box<Broken<R>>> {
    Ok(match stepped? {
        Next::Wait(step) => (step.into(), false),
        Next::Stay(step) => (step.into(), true),
        Next::Go(step) => (step.into(), true),
    })
}

impl<P: Policy<Remote>> Handshake for Greeting<P> {
    type Peer = Box<Peer>;
    type Error = HandshakeError<P::Rejection>;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        if let State::Myself {
            heard: heard @ false,
        } = &mut self.state
        {
            // Nothing to say, but a driver that has spoken asks before it waits.
            *heard = true;
            return Some(Bytes::new());
        }
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    fn advance(mut self, now: Instant, input: &mut BytesMut) -> Step<Self> {
        self.received += input.len().saturating_sub(self.unread);
        // What is said now goes out before more is heard, so that every answer stands in order.
        while self.output.is_empty() {
            let (cx, policy, output) = (&self.cx, &mut self.policy, &mut self.output);
            let stepped = match self.state {
                State::Over(peer) => return Step::Done(peer),
                State::Myself { .. } => Err(HandshakeError::SelfConnection.into()),
                State::AwaitAuth(step) => entered(step.on_input(cx, policy, input, output)),
                State::AwaitAck(step) => entered(step.on_input(cx, policy, input, output)),
                State::AwaitHello(step) => entered(step.on_input(cx, policy, now, input, output)),
                State::AwaitStatus(step) => entered(step.on_input(cx, now, input, output)),
            };
            match stepped {
                Ok((state, goes_on)) => {
                    self.state = state;
                    if !goes_on {
                        break;
                    }
                }
                Err(broken) => return Step::Failed(broken.into_failed()),
            }
        }
        self.unread = input.len();
        let wakeup = self.state.wakeup();
        Step::More(self, wakeup)
    }

    fn interrupt(self, cause: Interruption) -> Failed<Self::Error> {
        let (awaited, received) = (self.state.awaited(), self.received);
        let error = match cause {
            Interruption::Closed => HandshakeError::Closed { awaited, received },
            Interruption::DeadlinePassed => HandshakeError::TimedOut { awaited, received },
            Interruption::Cancelled => HandshakeError::Cancelled { awaited },
            Interruption::Transport(kind) => HandshakeError::Transport { awaited, kind },
        };
        Broken::new(error, self.state.into_channel(), self.output).into_failed()
    }
}

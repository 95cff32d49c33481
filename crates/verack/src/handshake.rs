//! The handshake of the family: moves bytes in and out of the steps.

use std::mem;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::Writer;
use peerage_core::{Direction, Exposure, Failed, Handshake, Interruption, Step};

use crate::command::Command;
use crate::dialect::{Dialect, ToMyself};
use crate::envelope::{Envelope, Frame, FrameError, HEADER_LEN, Header};
use crate::error::{Awaited, HandshakeError, MessageError};
use crate::local::{Attempt, Local};
use crate::message::{Payload, Reject};
use crate::peer::Peer;
use crate::policy::{AcceptAll, Policy, RemoteVersion};
use crate::steps::{AwaitVerack, AwaitVersion, Cx, Next, Say};
use crate::version::Version;

/// A handshake under way, either side. Start one with [`Local::greet`].
///
/// It speaks first on outbound connections and listens first on inbound ones; a port scanner that
/// says nothing learns nothing.
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
#[derive(Debug)]
pub struct Greeting<D: Dialect, P>(
    // Every step moves the greeting, and a driver's future keeps room for several moves.
    Box<Dialogue<D, P>>,
);

#[derive(Debug)]
struct Dialogue<D: Dialect, P> {
    cx: Cx<D>,
    policy: P,
    state: State<D>,
    output: BytesMut,
    /// Bytes received so far, and how many of them the input still held after the last step.
    received: usize,
    unread: usize,
}

#[derive(Debug)]
enum State<D: Dialect> {
    AwaitVersion(AwaitVersion),
    AwaitVerack(AwaitVerack<D>),
    /// Over, as soon as the last output is written.
    Over(Box<Peer<D>>),
}

/// The next state and what to say on the way there.
type Transition<D> = (State<D>, &'static [Say]);

impl<D: Dialect> State<D> {
    const fn awaited(&self) -> Awaited {
        match self {
            Self::AwaitVersion(_) => Awaited::Version,
            Self::AwaitVerack(_) | Self::Over(_) => Awaited::Verack,
        }
    }

    fn admit<R>(&self, cx: &Cx<D>, header: &Header) -> Result<(), HandshakeError<R>> {
        match self {
            Self::AwaitVersion(step) => step.admit::<D, R>(header, cx.ours.protocol_version),
            Self::AwaitVerack(step) => step.admit(header),
            Self::Over(_) => Ok(()),
        }
    }

    fn on_frame<P: Policy<RemoteVersion>>(
        self,
        cx: &mut Cx<D>,
        policy: &mut P,
        frame: &Frame,
    ) -> Result<Transition<D>, HandshakeError<P::Rejection>> {
        Ok(match self {
            Self::AwaitVersion(step) => match step.on_frame(cx, policy, frame)? {
                Next::Stay(step) => (Self::AwaitVersion(step), &[]),
                Next::Go(step, say) => (Self::AwaitVerack(step), say),
            },
            Self::AwaitVerack(step) => match step.on_frame(cx, frame)? {
                Next::Stay(step) => (Self::AwaitVerack(step), &[]),
                Next::Go(peer, say) => (Self::Over(peer), say),
            },
            Self::Over(peer) => (Self::Over(peer), &[]),
        })
    }
}

impl<D: Dialect> Local<D> {
    /// A handshake over a fresh connection, with anybody whom the network's own rules accept.
    pub fn greet(&self, attempt: Attempt) -> Greeting<D, AcceptAll> {
        self.greet_with(attempt, AcceptAll)
    }

    /// A handshake that also asks `policy`.
    pub fn greet_with<P: Policy<RemoteVersion>>(
        &self,
        attempt: Attempt,
        policy: P,
    ) -> Greeting<D, P> {
        Greeting::new(self.clone(), attempt, policy)
    }
}

impl<D: Dialect, P: Policy<RemoteVersion>> Greeting<D, P> {
    /// The message being waited for.
    pub const fn awaited(&self) -> Awaited {
        self.0.state.awaited()
    }

    fn new(local: Local<D>, attempt: Attempt, policy: P) -> Self {
        let ours = local.version_for(&attempt);
        let mut dialogue = Box::new(Dialogue {
            cx: Cx {
                local,
                attempt,
                ours,
                refusal: None,
            },
            policy,
            state: State::AwaitVersion(AwaitVersion::default()),
            output: BytesMut::new(),
            received: 0,
            unread: 0,
        });
        if attempt.direction() == Direction::Outbound {
            dialogue.say(Say::Version);
        }
        Self(dialogue)
    }
}

impl<D: Dialect, P> Dialogue<D, P> {
    fn say(&mut self, what: Say) {
        let envelope = self.cx.envelope();
        match what {
            Say::Version => write_version(envelope, &self.cx.ours, &mut self.output),
            Say::Verack => envelope.write(Command::VERACK, &[], &mut self.output),
        }
    }
}

impl<D: Dialect, P: Policy<RemoteVersion>> Handshake for Greeting<D, P> {
    type Peer = Box<Peer<D>>;
    type Error = HandshakeError<P::Rejection>;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        let output = &mut self.0.output;
        (!output.is_empty()).then(|| mem::take(output).freeze())
    }

    fn advance(self, _: Instant, input: &mut BytesMut) -> Step<Self> {
        let mut this = self.0;
        this.received += input.len().saturating_sub(this.unread);
        // What is said now goes out before more is heard, so that every answer stands in order.
        while this.output.is_empty() {
            if let State::Over(peer) = this.state {
                return Step::Done(peer);
            }
            let awaited = this.state.awaited();
            let heard = this.cx.envelope().next(input, |header| {
                this.state
                    .admit(&this.cx, header)
                    .map_err(Refused::Handshake)
            });
            let transition = match heard {
                Ok(None) => break,
                Ok(Some(frame)) => this.state.on_frame(&mut this.cx, &mut this.policy, &frame),
                Err(refused) => Err(refused.into_error(awaited)),
            };
            match transition {
                Ok((state, say)) => {
                    this.state = state;
                    say.iter().for_each(|what| this.say(*what));
                }
                Err(error) => {
                    let last_words = this.cx.last_words(&error);
                    return Step::Failed(Failed { error, last_words });
                }
            }
        }
        this.unread = input.len();
        Step::More(Self(this), None)
    }

    fn interrupt(self, cause: Interruption) -> Failed<Self::Error> {
        let (awaited, received) = (self.0.state.awaited(), self.0.received);
        Failed::silent(match (cause, self.0.cx.refusal) {
            (Interruption::Closed, Some(reject)) => {
                HandshakeError::RejectedByPeer { awaited, reject }
            }
            (Interruption::Closed, None) => HandshakeError::Closed { awaited, received },
            (Interruption::DeadlinePassed, _) => HandshakeError::TimedOut { awaited, received },
            (Interruption::Cancelled, _) => HandshakeError::Cancelled { awaited },
            (Interruption::Transport(kind), _) => HandshakeError::Transport { awaited, kind },
        })
    }
}

/// A frame refused by its envelope or by the step.
enum Refused<R> {
    Envelope(MessageError),
    Handshake(HandshakeError<R>),
}

impl<R> From<FrameError> for Refused<R> {
    fn from(error: FrameError) -> Self {
        Self::Envelope(error.into())
    }
}

impl<R> Refused<R> {
    fn into_error(self, awaited: Awaited) -> HandshakeError<R> {
        match self {
            Self::Envelope(error) => HandshakeError::Message { awaited, error },
            Self::Handshake(error) => error,
        }
    }
}

impl<D: Dialect> Cx<D> {
    fn envelope(&self) -> Envelope {
        Envelope {
            magic: self.local.chain.magic,
            checksum: D::checksum,
        }
    }

    /// What is still to be said to a peer that failed.
    ///
    /// A reject names the least version we accept and hence our height, so only a direct peer,
    /// which sees us anyway, is told. Source: ZIP 204, "Version Validation"; the codes for the
    /// other two cases are those zcashd sends.
    fn last_words<R>(&self, error: &HandshakeError<R>) -> Bytes {
        let mut output = BytesMut::new();
        let myself = matches!(error, HandshakeError::SelfConnection);
        let inbound = self.attempt.direction() == Direction::Inbound;
        if myself && inbound && D::RULES.to_myself == ToMyself::Version {
            write_version(self.envelope(), &self.ours, &mut output);
        }
        let told = D::RULES.rejects && self.attempt.addr.exposure() == Exposure::Direct;
        if let Some((code, reason)) = reject_for(error).filter(|_| told) {
            let reject = Reject {
                message: "version".into(),
                code,
                reason: reason.as_str().into(),
                hash: None,
            };
            let mut writer = Writer::new(Reject::MAX_PAYLOAD);
            reject.write(&mut writer);
            if let Ok(payload) = writer.payload() {
                self.envelope()
                    .write(Command::from_static("reject"), payload, &mut output);
            }
        }
        output.freeze()
    }
}

/// The reject code and words for an error, where the protocol has any.
fn reject_for<R>(error: &HandshakeError<R>) -> Option<(u8, String)> {
    const MALFORMED: u8 = 0x01;
    const OBSOLETE: u8 = 0x11;
    const DUPLICATE: u8 = 0x12;
    if let HandshakeError::Obsolete { minimum, .. } = error {
        return Some((OBSOLETE, format!("Version must be {minimum} or greater")));
    }
    if let HandshakeError::DuplicateVersion = error {
        return Some((DUPLICATE, "Duplicate version message".into()));
    }
    if let HandshakeError::Message {
        error: MessageError::Malformed { command, .. },
        ..
    } = error
        && *command == Command::VERSION
    {
        return Some((MALFORMED, "error parsing message".into()));
    }
    None
}

fn write_version(envelope: Envelope, version: &Version, output: &mut BytesMut) {
    let mut writer = Writer::new(Version::MAX_LEN);
    version.write(&mut writer);
    // The only part of variable length is the user agent, which its type bounds to 256 bytes.
    if let Ok(payload) = writer.payload() {
        // A side that was dialled says its verack in the same breath.
        output.reserve(2 * HEADER_LEN + payload.len());
        envelope.write(Command::VERSION, payload, output);
    }
}

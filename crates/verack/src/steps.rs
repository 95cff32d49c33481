//! The rules of the dialogue, one type per message awaited. Pure: no bytes move here.
//!
//! ```text
//!  outbound ── says version ──► AwaitVersion ── their version ──► AwaitVerack ── verack ──► Peer
//!  inbound ──── says nothing ─► AwaitVersion ── their version,──► AwaitVerack ── verack ──► Peer
//!                                               says version and verack
//! ```
//!
//! The dialling side says its own verack after the peer's version (Zcash) or after the peer's
//! verack (Decred). A side that was dialled verifies first and answers then; its own verack never
//! waits for the peer's.

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader};
use peerage_core::{Direction, Spent};

use crate::command::Command;
use crate::dialect::{Dialect, Early, Message, OutboundVerack, PolicyTurn};
use crate::envelope::{Frame, Header};
use crate::error::{Awaited, HandshakeError, MessageError};
use crate::local::{Attempt, Local};
use crate::message::Reject;
use crate::peer::{Peer, PeerInfo};
use crate::policy::{Policy, RemoteVersion};
use crate::reading::{check_header, read_message};
use crate::version::{ProtocolVersion, Version};

/// What lives as long as one handshake.
#[derive(Debug)]
pub(crate) struct Cx<D: Dialect> {
    pub(crate) local: Local<D>,
    pub(crate) attempt: Attempt,
    pub(crate) ours: Version,
    /// The last word of refusal that the peer sent; it explains a close that follows.
    pub(crate) refusal: Option<Reject>,
}

/// Something to be said, in the order of the vector it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Version,
    Verack,
}

/// Waiting for the peer's version.
#[derive(Debug, Default)]
pub(crate) struct AwaitVersion {
    dropped: Spent,
}

/// The peer's version is accepted; waiting for its verack.
#[derive(Debug)]
pub(crate) struct AwaitVerack<D: Dialect> {
    theirs: Version,
    negotiated: ProtocolVersion,
    rule: Early,
    spent: Spent,
    dropped: u32,
    early: Vec<D::Message>,
}

/// Where a message leads, and what to say on the way.
#[derive(Debug)]
pub(crate) enum Next<Same, Other> {
    Stay(Same),
    Go(Other, &'static [Say]),
}

impl AwaitVersion {
    /// Judges a message by its header alone.
    pub(crate) fn admit<D: Dialect, R>(
        &self,
        header: &Header,
        ours: ProtocolVersion,
    ) -> Result<(), HandshakeError<R>> {
        let awaited = Awaited::Version;
        let budget = D::RULES.before_version;
        match check_own_size::<D, R>(awaited, header, ours)? {
            Some(Command::VERSION) => check_early_size::<D, R>(awaited, header),
            Some(got) if budget.messages == 0 => Err(HandshakeError::Unexpected { awaited, got }),
            Some(_) | None => {
                check_early_size::<D, R>(awaited, header)?;
                let mut after = self.dropped;
                after
                    .spend(budget, header.wire_len())
                    .map_err(|over| HandshakeError::Flood { awaited, over })
            }
        }
    }

    /// Takes a message in.
    pub(crate) fn on_frame<D: Dialect, P: Policy<RemoteVersion>>(
        mut self,
        cx: &mut Cx<D>,
        policy: &mut P,
        frame: &Frame,
    ) -> Result<Next<Self, AwaitVerack<D>>, HandshakeError<P::Rejection>> {
        let awaited = Awaited::Version;
        if frame.command == Some(Command::VERSION) {
            let theirs = read_version::<D>(&frame.payload).map_err(|error| {
                let command = Command::VERSION;
                HandshakeError::Message {
                    awaited,
                    error: MessageError::Malformed { command, error },
                }
            })?;
            return self.on_version(cx, policy, theirs);
        }
        self.dropped
            .spend(D::RULES.before_version, frame.wire_len())
            .map_err(|over| HandshakeError::Flood { awaited, over })?;
        if let Some(message) = read_early::<D>(awaited, frame, cx.ours.protocol_version)? {
            cx.refusal = message.reject().cloned().or(cx.refusal.take());
        }
        Ok(Next::Stay(self))
    }

    /// The order of the checks is the network's own: nonce, sign, policy and minimum as its rules
    /// say. Nothing is said to a version that is not accepted.
    pub(crate) fn on_version<D: Dialect, P: Policy<RemoteVersion>>(
        self,
        cx: &mut Cx<D>,
        policy: &mut P,
        theirs: Version,
    ) -> Result<Next<Self, AwaitVerack<D>>, HandshakeError<P::Rejection>> {
        if cx
            .local
            .is_our_own(&cx.attempt, cx.ours.nonce, theirs.nonce)
        {
            return Err(HandshakeError::SelfConnection);
        }
        let claimed = theirs.protocol_version;
        if D::RULES.signed_version && claimed.0 > i32::MAX.cast_unsigned() {
            return Err(HandshakeError::NegativeVersion {
                got: claimed.0.cast_signed(),
            });
        }
        let negotiated = claimed.min(cx.ours.protocol_version);
        let mut ask = |cx: &Cx<D>| {
            let remote = RemoteVersion {
                addr: cx.attempt.addr,
                protocol_version: claimed,
                negotiated,
                services: theirs.services,
            };
            policy.judge(&remote).map_err(HandshakeError::Rejected)
        };
        if D::RULES.policy_turn == PolicyTurn::BeforeMinimum {
            ask(cx)?;
        }
        let minimum = cx.local.minimum_version();
        if claimed < minimum {
            return Err(HandshakeError::Obsolete {
                got: claimed,
                minimum,
            });
        }
        if D::RULES.policy_turn == PolicyTurn::AfterMinimum {
            ask(cx)?;
        }
        let say: &[Say] = match (cx.attempt.direction(), D::RULES.outbound_verack) {
            (Direction::Inbound, _) => &[Say::Version, Say::Verack],
            (Direction::Outbound, OutboundVerack::AfterVersion) => &[Say::Verack],
            (Direction::Outbound, OutboundVerack::AfterVerack) => &[],
        };
        let next = AwaitVerack {
            theirs,
            negotiated,
            rule: (D::RULES.before_verack)(negotiated),
            spent: Spent::default(),
            dropped: self.dropped.messages,
            early: Vec::new(),
        };
        Ok(Next::Go(next, say))
    }
}

impl<D: Dialect> AwaitVerack<D> {
    /// Judges a message by its header alone.
    pub(crate) fn admit<R>(&self, header: &Header) -> Result<(), HandshakeError<R>> {
        let awaited = Awaited::Verack;
        let command = check_own_size::<D, R>(awaited, header, self.negotiated)?;
        match (command, self.rule) {
            (Some(Command::VERACK), _) => Ok(()),
            (Some(Command::VERSION), Early::Drop(_) | Early::Keep(_)) => {
                Err(HandshakeError::DuplicateVersion)
            }
            (Some(got), Early::Refuse) => Err(HandshakeError::Unexpected { awaited, got }),
            (None, Early::Refuse) => Err(bad_command(awaited)),
            (Some(_) | None, Early::Drop(budget) | Early::Keep(budget)) => {
                check_early_size::<D, R>(awaited, header)?;
                let mut after = self.spent;
                after
                    .spend(budget, header.wire_len())
                    .map_err(|over| HandshakeError::Flood { awaited, over })
            }
        }
    }

    /// Takes a message in.
    pub(crate) fn on_frame<R>(
        mut self,
        cx: &mut Cx<D>,
        frame: &Frame,
    ) -> Result<Next<Self, Box<Peer<D>>>, HandshakeError<R>> {
        let awaited = Awaited::Verack;
        if frame.command == Some(Command::VERACK) {
            return Ok(self.on_verack(cx));
        }
        let budget = match self.rule {
            Early::Drop(budget) | Early::Keep(budget) => budget,
            Early::Refuse => {
                let Some(got) = frame.command else {
                    return Err(bad_command(awaited));
                };
                return Err(HandshakeError::Unexpected { awaited, got });
            }
        };
        self.spent
            .spend(budget, frame.wire_len())
            .map_err(|over| HandshakeError::Flood { awaited, over })?;
        let message = read_early::<D>(awaited, frame, self.negotiated)?;
        if let Some(reject) = message.as_ref().and_then(Message::reject) {
            cx.refusal = Some(reject.clone());
        }
        match (self.rule, message) {
            (Early::Keep(_), Some(message)) => self.early.push(message),
            _ => self.dropped += 1,
        }
        Ok(Next::Stay(self))
    }

    /// The peer's verack: the handshake is over.
    pub(crate) fn on_verack(self, cx: &mut Cx<D>) -> Next<Self, Box<Peer<D>>> {
        let say: &[Say] = match (cx.attempt.direction(), D::RULES.outbound_verack) {
            (Direction::Outbound, OutboundVerack::AfterVerack) => &[Say::Verack],
            (Direction::Outbound, OutboundVerack::AfterVersion) | (Direction::Inbound, _) => &[],
        };
        let info = PeerInfo {
            addr: cx.attempt.addr,
            ours: cx.ours.clone(),
            theirs: self.theirs,
            negotiated: self.negotiated,
            dropped: self.dropped,
        };
        Next::Go(
            Box::new(Peer::new(info, cx.local.chain.magic, self.early)),
            say,
        )
    }
}

fn bad_command<R>(awaited: Awaited) -> HandshakeError<R> {
    HandshakeError::Message {
        awaited,
        error: MessageError::BadCommand,
    }
}

/// The size of a message against its own limit.
fn check_own_size<D: Dialect, R>(
    awaited: Awaited,
    header: &Header,
    version: ProtocolVersion,
) -> Result<Option<Command>, HandshakeError<R>> {
    check_header::<D>(header, version)
        .map_err(|error| HandshakeError::Message { awaited, error })?;
    Ok(header.command)
}

/// The size of a message, which may come now, against the limit of the stage.
fn check_early_size<D: Dialect, R>(
    awaited: Awaited,
    header: &Header,
) -> Result<(), HandshakeError<R>> {
    let limit = D::RULES.max_early_payload;
    if header.len > limit {
        let Some(command) = header.command else {
            return Err(bad_command(awaited));
        };
        return Err(HandshakeError::TooLongForNow {
            awaited,
            command,
            len: header.len,
            limit,
        });
    }
    Ok(())
}

fn read_version<D: Dialect>(payload: &Bytes) -> Result<Version, ReadError> {
    D::read_version(&mut Reader::new(payload))
}

/// A message before the end of the handshake; `None` for one without a name.
fn read_early<D: Dialect>(
    awaited: Awaited,
    frame: &Frame,
    version: ProtocolVersion,
) -> Result<Option<D::Message>, HandshakeErrorOf> {
    let Some(command) = frame.command else {
        return Ok(None);
    };
    // A verack before the version is dropped where anything is: it is no message of a session.
    if command == Command::VERACK {
        return Ok(None);
    }
    read_message::<D>(command, &frame.payload, version)
        .map(Some)
        .map_err(|error| HandshakeErrorOf { awaited, error })
}

/// A [`HandshakeError::Message`] before the policy's type is known.
struct HandshakeErrorOf {
    awaited: Awaited,
    error: MessageError,
}

impl<R> From<HandshakeErrorOf> for HandshakeError<R> {
    fn from(HandshakeErrorOf { awaited, error }: HandshakeErrorOf) -> Self {
        Self::Message { awaited, error }
    }
}

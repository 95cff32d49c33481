//! A handshake whose other end is the test.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::BytesMut;
use peerage_core::{ConnectedAddr, Direction, Failed, Failure, Handshake, Interruption, Step};
use peerage_verack::dissect::dissect_stream;
use peerage_verack::{
    Attempt, Awaited, Greeting, HandshakeError, Local, Peer, Policy, RemoteVersion,
};

use super::{Net, attempt, direct, node, now};

/// What the policy of a [`Dialogue`] was shown. It accepts, unless it is told to refuse.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Rc<RefCell<Vec<RemoteVersion>>>, Option<Refusal>);

/// The word our policy refuses with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) &'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Policy<RemoteVersion> for Seen {
    type Rejection = Refusal;

    fn judge(&mut self, remote: &RemoteVersion) -> Result<(), Refusal> {
        self.0.borrow_mut().push(*remote);
        self.1.map_or(Ok(()), Err)
    }
}

impl Seen {
    /// A policy that refuses everybody.
    pub(crate) fn refusing(word: &'static str) -> Self {
        Self(Rc::default(), Some(Refusal(word)))
    }

    pub(crate) fn calls(&self) -> Vec<RemoteVersion> {
        self.0.borrow().clone()
    }

    /// Each call as (claimed, negotiated).
    pub(crate) fn versions(&self) -> Vec<(u32, u32)> {
        let calls = self.calls().into_iter();
        calls
            .map(|seen| (seen.protocol_version.0, seen.negotiated.0))
            .collect()
    }
}

pub(crate) type Error = HandshakeError<Refusal>;

/// Where a handshake stands.
#[derive(Debug)]
enum Standing<D: Net> {
    Live(Box<Greeting<D, Seen>>),
    Peer(Box<Peer<D>>),
    Failed(Failed<Error>),
    /// Only while it moves.
    Moving,
}

/// Drives one handshake as a driver would, with bytes from the test.
#[derive(Debug)]
pub(crate) struct Dialogue<D: Net> {
    local: Local<D>,
    standing: Standing<D>,
    /// Bytes heard and not consumed.
    pub(crate) input: BytesMut,
    /// Everything said, last words not included.
    pub(crate) said: Vec<u8>,
    shown: usize,
    policy: Seen,
}

impl<D: Net> Dialogue<D> {
    /// A direct connection with the usual node.
    pub(crate) fn new(direction: Direction) -> Self {
        Self::of(&node(1), direct(direction))
    }

    pub(crate) fn of(local: &Local<D>, addr: ConnectedAddr) -> Self {
        Self::with(local, attempt(addr), Seen::default())
    }

    pub(crate) fn refusing(direction: Direction, word: &'static str) -> Self {
        Self::with(&node(1), attempt(direct(direction)), Seen::refusing(word))
    }

    pub(crate) fn with(local: &Local<D>, attempt: Attempt, policy: Seen) -> Self {
        let greeting = local.greet_with(attempt, policy.clone());
        let mut dialogue = Self {
            local: local.clone(),
            standing: Standing::Live(Box::new(greeting)),
            input: BytesMut::new(),
            said: Vec::new(),
            shown: 0,
            policy,
        };
        dialogue.settle();
        dialogue
    }

    /// Gives it bytes, and lets it go on until it waits or ends.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> &mut Self {
        self.input.extend_from_slice(bytes);
        self.settle();
        self
    }

    pub(crate) fn hear_all<T: AsRef<[u8]>>(
        &mut self,
        parts: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        for part in parts {
            self.hear(part.as_ref());
        }
        self
    }

    fn settle(&mut self) {
        while self.is_live() {
            let standing = std::mem::replace(&mut self.standing, Standing::Moving);
            let Standing::Live(mut greeting) = standing else {
                unreachable!("just looked")
            };
            let mut spoke = false;
            while let Some(bytes) = greeting.poll_transmit() {
                assert!(!bytes.is_empty(), "an empty write is no write");
                self.said.extend_from_slice(&bytes);
                spoke = true;
            }
            let before = self.input.len();
            self.standing = match greeting.advance(now(), &mut self.input) {
                Step::Done(peer) => Standing::Peer(peer),
                Step::Failed(failed) => Standing::Failed(failed),
                Step::More(greeting, wakeup) => {
                    assert_eq!(wakeup, None, "this handshake needs no clock");
                    self.standing = Standing::Live(Box::new(greeting));
                    if !spoke && self.input.len() == before {
                        return;
                    }
                    continue;
                }
            };
        }
    }

    pub(crate) fn interrupt(&mut self, cause: Interruption) -> &mut Self {
        self.settle();
        let standing = std::mem::replace(&mut self.standing, Standing::Moving);
        self.standing = match standing {
            Standing::Live(greeting) => Standing::Failed(greeting.interrupt(cause)),
            over @ (Standing::Peer(_) | Standing::Failed(_) | Standing::Moving) => over,
        };
        self
    }

    /// The commands said since the last call.
    pub(crate) fn says(&mut self) -> Vec<String> {
        let said = commands::<D>(&self.local, &self.said[self.shown..]);
        self.shown = self.said.len();
        said
    }

    pub(crate) fn policy(&self) -> &Seen {
        &self.policy
    }

    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.standing, Standing::Live(_))
    }

    #[track_caller]
    pub(crate) fn peer(&self) -> &Peer<D> {
        let Standing::Peer(peer) = &self.standing else {
            panic!("no peer: {:?}", self.standing)
        };
        peer
    }

    #[track_caller]
    pub(crate) fn into_peer(self) -> (Box<Peer<D>>, BytesMut) {
        let Standing::Peer(peer) = self.standing else {
            panic!("no peer: {:?}", self.standing)
        };
        (peer, self.input)
    }

    pub(crate) const fn outcome(&self) -> Option<Result<&Peer<D>, &Error>> {
        match &self.standing {
            Standing::Peer(peer) => Some(Ok(peer)),
            Standing::Failed(failed) => Some(Err(&failed.error)),
            Standing::Live(_) | Standing::Moving => None,
        }
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &Error {
        &self.failed().error
    }

    #[track_caller]
    pub(crate) fn last_words(&self) -> &[u8] {
        &self.failed().last_words
    }

    /// The commands of the last words.
    #[track_caller]
    pub(crate) fn parting(&self) -> Vec<String> {
        commands::<D>(&self.local, self.last_words())
    }

    #[track_caller]
    fn failed(&self) -> &Failed<Error> {
        let Standing::Failed(failed) = &self.standing else {
            panic!("it has not failed: {:?}", self.standing)
        };
        failed
    }

    /// What it is waiting for.
    #[track_caller]
    pub(crate) fn awaited(&self) -> Awaited {
        let Standing::Live(greeting) = &self.standing else {
            panic!("it waits for nothing: {:?}", self.standing)
        };
        greeting.awaited()
    }

    /// `stage kind` of its error.
    #[track_caller]
    pub(crate) fn verdict(&self) -> String {
        let error = self.error();
        format!("{} {}", error.stage(), error.kind())
    }
}

/// The commands of whole, sound frames.
#[track_caller]
pub(crate) fn commands<D: Net>(local: &Local<D>, stream: &[u8]) -> Vec<String> {
    let frames = dissect_stream::<D>(&local.chain, local.protocol_version, stream);
    frames
        .into_iter()
        .map(|(_, frame)| {
            assert_eq!(frame.error, None, "we only say sound frames");
            assert!(frame.canonical, "we only say canonical frames");
            frame.header.unwrap().command.unwrap().to_string()
        })
        .collect()
}

//! What a network brings, so that its peers can be kept in virtual time.

use std::fmt::Debug;
use std::net::SocketAddr;

use peerage_book::{GossipEntry, Identity, Key, Verdict};
use peerage_core::{ConnectedAddr, Endpoint, Failure, Handshake, Session, UnixTime};
use peerage_discv5::Record;
use peerage_discv5::record::Builder;
use peerage_peers::{Config, Heard, Parting, Tie, Types};

use crate::seed::Seed;

/// A message of a network's peers.
pub type MessageOf<N> = <<N as Net>::Types as Types>::Message;

/// What a network's handshake says of a peer.
pub type ProfileOf<N> = <<N as Net>::Types as Types>::Profile;

/// What software a citizen runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Software {
    /// What the rules ask for, before and after the upgrade.
    Current,
    /// What knows nothing of the upgrade.
    Obsolete,
    /// That of another chain or fork.
    Other,
}

/// One attempt, before its handshake.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is connected.
    pub addr: ConnectedAddr,
    /// Who was dialled, where peers have identities.
    pub whom: Option<Identity>,
    /// The date.
    pub time: UnixTime,
    /// Random bytes.
    pub seed: [u8; 32],
}

/// A peer that was just greeted, taken apart.
#[derive(Debug)]
pub struct Parts<N: Net> {
    /// Who it has proven to be.
    pub identity: Option<Identity>,
    /// What was learned of it.
    pub profile: ProfileOf<N>,
    /// Which of two connections survives.
    pub tie: Tie,
    /// What the book is told.
    pub greeted: peerage_book::Greeted,
    /// The codec of its messages.
    pub session: N::Session,
}

/// A network whose nodes can be simulated. Only what opens no socket and reads no clock.
pub trait Net: Sized + Debug + 'static {
    /// Its types in the peer table.
    type Types: Types<Identity = Key, Message: Clone, Status: Clone, Key: Clone + Ord> + Debug;
    /// What a node is.
    type Local: Debug;
    /// Its handshake.
    type Greeting: Handshake<Error: Failure> + Debug;
    /// The messages of a peer.
    type Session: Session<Message = MessageOf<Self>> + Debug;

    /// Its name.
    const NAME: &'static str;
    /// Its nodes' port.
    const PORT: u16;
    /// Whether answers carry nothing that tells them from messages that come by themselves.
    const ANSWERS_COME_UNASKED: bool;
    /// Whether its nodes find each other by discovery v5.
    const DISCOVERS: bool;

    /// The limits, deadlines and conduct that are customary.
    fn config() -> Config;

    /// The node of this number, at this address.
    fn local(seed: Seed, n: usize, software: Software, addr: SocketAddr) -> Self::Local;

    /// The key of the node of this number, where nodes have keys.
    fn secret(seed: Seed, n: usize) -> Option<[u8; 32]>;

    /// The network's rules change: from now on its nodes follow new ones.
    fn upgrade(local: &mut Self::Local);

    /// What it judges its peers by now.
    fn status(local: &Self::Local) -> <Self::Types as Types>::Status;

    /// Begins a handshake.
    fn greet(local: &Self::Local, attempt: Attempt) -> Option<Self::Greeting>;

    /// What a finished handshake yields.
    fn take_apart(local: &Self::Local, peer: <Self::Greeting as Handshake>::Peer) -> Parts<Self>;

    /// What a message is for.
    fn hear(message: MessageOf<Self>) -> Heard<Self::Types>;

    /// The words with which we leave, where there are such.
    fn farewell(say: Parting) -> Option<MessageOf<Self>>;

    /// The length of a message in bytes, about.
    fn len(message: &MessageOf<Self>) -> usize;

    /// Asks for addresses, where peers tell of others.
    fn ask_for_addrs() -> Option<MessageOf<Self>> {
        None
    }

    /// Whether a message asks for addresses.
    fn asks_for_addrs(_message: &MessageOf<Self>) -> bool {
        false
    }

    /// Where a peer says that it can be dialled, and the services it claims.
    fn says_of_itself(_profile: &ProfileOf<Self>) -> Option<(Endpoint, u64)> {
        None
    }

    /// The addresses that a message tells of.
    fn addrs(_message: &MessageOf<Self>) -> Option<Vec<GossipEntry>> {
        None
    }

    /// Tells a peer of addresses.
    fn tell_addrs(_addrs: &[GossipEntry], _to: &ProfileOf<Self>) -> Option<MessageOf<Self>> {
        None
    }

    /// What a node says of its chain in its record.
    fn describe(_local: &Self::Local, record: Builder) -> Builder {
        record
    }

    /// What a record says about dialling its node.
    fn judge_record(_local: &Self::Local, _record: &Record) -> Verdict {
        Verdict::Unknown
    }
}

//! What a network brings, and small values.

use std::cmp::Ordering;
use std::fmt;

use peerage_core::{Direction, PeerText, Reason};

/// The types and the judgement of one network, on a marker type.
pub trait Types: Sized {
    /// Who a peer is. Ethereum: the key proven in the handshake. Zcash and Decred: the address as it
    /// was dialled, or the source of an inbound connection.
    type Identity: Clone + Ord + fmt::Debug;
    /// What the handshake learned of a peer; what [`Types::judge`] reads.
    type Profile: fmt::Debug;
    /// Our side of the judgement: the head and its fork filter, or the minimum version now.
    type Status: fmt::Debug;
    /// A message of an established peer. Never looked into.
    type Message: fmt::Debug;
    /// What a request and its answer have in common. Ethereum: the request id. Elsewhere: the kind
    /// of answer and what it is about.
    type Key: Clone + Eq + fmt::Debug;

    /// Whether a peer is of use under `status`. The one place where forks and minimum versions are
    /// decided, for newcomers and for those who are here.
    ///
    /// # Errors
    /// Why it is not.
    fn judge(status: &Self::Status, profile: &Self::Profile) -> Result<(), Reason>;

    /// A ping carrying `nonce`; see [`peerage_core::Session::ping`].
    fn ping(nonce: u64) -> Self::Message;

    /// What the peer calls its software.
    fn client(_profile: &Self::Profile) -> PeerText {
        PeerText::default()
    }
}

/// One attempt and the session it may become. Grows and is never used twice in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What the operator holds of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// A stranger: every limit applies.
    #[default]
    Ordinary,
    /// The operator wants to be connected to it: takes no slot, is never evicted.
    Static,
    /// The operator trusts it: as static, and welcome when it dials us.
    Trusted,
}

impl Standing {
    /// Whether limits and eviction leave it alone. Such peers take no ordinary slot either.
    pub const fn is_exempt(self) -> bool {
        match self {
            Self::Ordinary => false,
            Self::Static | Self::Trusted => true,
        }
    }
}

/// Which of two sessions with one peer survives when the two ends dialled each other.
///
/// Both ends must come to the same connection, without a word between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// The one that was opened in this direction, seen from here.
    Keep(Direction),
    /// The one that was established first here. For networks where nothing can be compared; the two
    /// ends may differ then, and the next attempt decides.
    Older,
}

impl Tie {
    /// The connection dialled by the greater of the two survives. `ours` and `theirs` are what both
    /// ends know of each other: node keys, or addresses where there are none.
    ///
    /// ```
    /// use peerage_core::Direction;
    /// use peerage_peers::Tie;
    ///
    /// // Seen from 9 the surviving connection is outbound, seen from 4 it is inbound: the same one.
    /// assert_eq!(Tie::between(&9, &4), Tie::Keep(Direction::Outbound));
    /// assert_eq!(Tie::between(&4, &9), Tie::Keep(Direction::Inbound));
    /// ```
    pub fn between<O: Ord>(ours: &O, theirs: &O) -> Self {
        match ours.cmp(theirs) {
            Ordering::Greater => Self::Keep(Direction::Outbound),
            Ordering::Less => Self::Keep(Direction::Inbound),
            Ordering::Equal => Self::Older,
        }
    }

    /// Whether the newcomer takes the place of the older session.
    pub(crate) fn newcomer_wins(self, older: Direction, newcomer: Direction) -> bool {
        match self {
            Self::Keep(direction) => older != newcomer && newcomer == direction,
            Self::Older => false,
        }
    }
}

/// A request of a peer, to be answered or refused once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Whose request.
    pub session: SessionId,
    pub(crate) seq: u32,
}

/// What a peer is told when we close. Each network has its own words for it, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parting {
    /// Our caller wants it so.
    Requested,
    /// We have no free slot.
    Full,
    /// We are connected already.
    AlreadyConnected,
    /// It is not who was dialled.
    UnexpectedIdentity,
    /// It follows other rules than our chain does now.
    Incompatible,
    /// It broke the protocol.
    Breach,
    /// It did not answer in time.
    TimedOut,
    /// This node stops.
    Quitting,
}

impl Parting {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Full => "full",
            Self::AlreadyConnected => "already connected",
            Self::UnexpectedIdentity => "unexpected identity",
            Self::Incompatible => "incompatible",
            Self::Breach => "breach",
            Self::TimedOut => "timed out",
            Self::Quitting => "quitting",
        }
    }
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

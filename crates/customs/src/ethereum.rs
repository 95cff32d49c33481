//! Peers of Ethereum's execution layer.

use peerage_book::{Identity, Verdict};
use peerage_core::{Detail, Failure, Kind, PeerText, Reason, Stage};
use peerage_ethereum::disconnect::DisconnectReason;
use peerage_ethereum::eth::Answer;
use peerage_ethereum::{ForkFilter, Message, PeerInfo, eth};
use peerage_peers::{Heard, Parting, Types};

use crate::USUAL_LEN;

/// A peer or a candidate that follows other rules than our chain does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it follows other forks: {why}")]
struct OtherForks {
    stage: Stage,
    why: PeerText,
}

impl Failure for OtherForks {
    fn stage(&self) -> Stage {
        self.stage
    }

    fn kind(&self) -> Kind {
        Kind::WrongFork
    }

    fn detail(&self) -> Detail {
        Detail::none()
    }
}

impl OtherForks {
    fn at(stage: Stage, why: &dyn std::fmt::Display) -> Reason {
        let why = why.to_string().as_str().into();
        Self { stage, why }.reason()
    }
}

/// Whether a peer is of use under these forks.
///
/// # Errors
/// Why it is not.
pub fn judge(forks: &ForkFilter, info: &PeerInfo) -> Result<(), Reason> {
    let Some(chain) = &info.chain else {
        return Ok(());
    };
    let judged = forks.judge(chain.status.fork_id);
    let judged = judged.map_err(|error| OtherForks::at(Stage::Keep("status"), &error));
    judged.map(drop)
}

/// What the `eth` entry of a node's record says about dialling it, found by `finder`.
pub fn judge_record(forks: &ForkFilter, entry: Option<&[u8]>, finder: &'static str) -> Verdict {
    let stage = Stage::Find(finder);
    match entry {
        None => {
            let why = "its record names no chain of the execution layer";
            Verdict::unfit(&OtherForks::at(stage, &why))
        }
        Some(entry) => match forks.judge_record_entry(entry) {
            Ok(_) => Verdict::Fit,
            Err(error) => Verdict::unfit(&OtherForks::at(stage, &error)),
        },
    }
}

/// Who a peer has proven to be.
pub fn identity(info: &PeerInfo) -> Option<Identity> {
    Identity::new(&info.id.0).ok()
}

/// What the book is told of a peer.
pub fn greeted(info: &PeerInfo) -> peerage_book::Greeted {
    peerage_book::Greeted {
        services: None,
        agent: info.hello.client_id.clone(),
    }
}

/// What a message is for; requests and answers go by the id of the request.
pub fn hear<T: Types<Message = Message, Key = u64>>(message: Message) -> Heard<T> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever is no question is news"
    )]
    match message {
        Message::Ping => Heard::Ping {
            pong: Message::Pong,
        },
        Message::Pong => Heard::Pong { nonce: None },
        Message::Eth(eth::Message::Response(response)) => Heard::Answer {
            key: response.id,
            message: Message::Eth(eth::Message::Response(response)),
        },
        Message::Eth(eth::Message::Request(_)) => Heard::Request(message),
        message => Heard::Gossip(message),
    }
}

/// The words with which we leave.
pub const fn farewell(say: Parting) -> Message {
    Message::Disconnect(match say {
        Parting::Requested => DisconnectReason::Requested,
        Parting::Full => DisconnectReason::TooManyPeers,
        Parting::AlreadyConnected => DisconnectReason::AlreadyConnected,
        Parting::UnexpectedIdentity => DisconnectReason::UnexpectedIdentity,
        Parting::Incompatible => DisconnectReason::UselessPeer,
        Parting::Breach => DisconnectReason::Breach,
        Parting::TimedOut => DisconnectReason::PingTimeout,
        Parting::Quitting => DisconnectReason::ClientQuitting,
    })
}

/// The length of a message in bytes, about.
pub fn len(message: &Message) -> usize {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others have no long body"
    )]
    match message {
        Message::Eth(message) => USUAL_LEN + body_len(message),
        Message::Other(other) => USUAL_LEN + other.body.len(),
        _ => USUAL_LEN,
    }
}

/// The bytes that a message holds as they stand.
fn body_len(message: &eth::Message) -> usize {
    const HASH: usize = 32;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "later ones have a customary length"
    )]
    match message {
        eth::Message::Transactions(list) | eth::Message::NewBlock(list) => list.len(),
        eth::Message::NewBlockHashes(hashes) => hashes.len() * (HASH + 8),
        eth::Message::NewPooledTransactionHashes(announced) => announced.hashes.len() * (HASH + 9),
        eth::Message::Response(response) => match &response.answer {
            Answer::BlockHeaders(list)
            | Answer::BlockBodies(list)
            | Answer::PooledTransactions(list)
            | Answer::BlockAccessLists(list)
            | Answer::Receipts { receipts: list, .. } => list.len(),
            Answer::Cells { groups, .. } => groups.len(),
            _ => 0,
        },
        _ => 0,
    }
}

//! Keeping peers of Ethereum.

use peerage_book::{Identity, Verdict};
use peerage_core::{Detail, Failure, Kind, PeerText, Reason, Stage};
use peerage_ethereum::disconnect::DisconnectReason;
use peerage_ethereum::eth::Answer;
use peerage_ethereum::{ForkFilter, Local, Message, PeerInfo, eth};
use peerage_find::Candidate;
use peerage_peers::{Config, Heard, Parting, Tie};

use super::kept::{Keeps, Kept};
use crate::{Ethereum, os};

/// What a message without a long body weighs, in bytes, for the budgets.
const USUAL_LEN: usize = 256;

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

impl Keeps for Ethereum {
    type Status = ForkFilter;
    /// The id of the request.
    type RequestKey = u64;

    fn customs() -> Config {
        Config::ethereum()
    }

    fn status(local: &Local) -> ForkFilter {
        local.forks(os::wall_clock())
    }

    fn judge(forks: &ForkFilter, info: &PeerInfo) -> Result<(), Reason> {
        let Some(chain) = &info.chain else {
            return Ok(());
        };
        let judged = forks.judge(chain.status.fork_id);
        let judged = judged.map_err(|error| OtherForks::at(Stage::Keep("status"), &error));
        judged.map(drop)
    }

    fn judge_candidate(local: &Local, candidate: &Candidate) -> Verdict {
        let Some(record) = candidate.claims.record() else {
            return Verdict::Unknown;
        };
        let stage = Stage::Find(candidate.source.0);
        match record.raw("eth") {
            None => {
                let why = "its record names no chain of the execution layer";
                Verdict::unfit(&OtherForks::at(stage, &why))
            }
            Some(entry) => match local.forks(os::wall_clock()).judge_record_entry(entry) {
                Ok(_) => Verdict::Fit,
                Err(error) => Verdict::unfit(&OtherForks::at(stage, &error)),
            },
        }
    }

    fn identity(info: &PeerInfo) -> Option<Identity> {
        Identity::new(&info.id.0).ok()
    }

    fn tie(local: &Local, info: &PeerInfo) -> Tie {
        Tie::between(&local.key.id().0, &info.id.0)
    }

    fn greeted(info: &PeerInfo) -> peerage_book::Greeted {
        peerage_book::Greeted {
            services: None,
            agent: info.hello.client_id.clone(),
        }
    }

    fn hear(message: Message) -> Heard<Kept<Self>> {
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

    fn farewell(say: Parting) -> Option<Message> {
        Some(Message::Disconnect(match say {
            Parting::Requested => DisconnectReason::Requested,
            Parting::Full => DisconnectReason::TooManyPeers,
            Parting::AlreadyConnected => DisconnectReason::AlreadyConnected,
            Parting::UnexpectedIdentity => DisconnectReason::UnexpectedIdentity,
            Parting::Incompatible => DisconnectReason::UselessPeer,
            Parting::Breach => DisconnectReason::Breach,
            Parting::TimedOut => DisconnectReason::PingTimeout,
            Parting::Quitting => DisconnectReason::ClientQuitting,
        }))
    }

    fn len(message: &Message) -> usize {
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

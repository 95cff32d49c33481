//! Keeping peers of the version/verack family.

use peerage_book::{GossipEntry, Identity, Verdict};
use peerage_core::{Endpoint, Reason};
use peerage_customs::family as customs;
use peerage_find::Candidate;
use peerage_peers::{Config, Heard, Parting, Tie};
use peerage_verack::dialect::Message;
use peerage_verack::{Command, Local, PeerInfo, ProtocolVersion};

use super::kept::{Keeps, Kept};
use crate::family::Builtin;
use crate::peer::MessageOf;

/// A network of the family with its customs.
pub trait Customs: Builtin + customs::Customs {}

impl<D: Builtin + customs::Customs> Customs for D {}

impl<D: Customs> Keeps for D {
    type Status = ProtocolVersion;
    /// The command of the answer.
    type RequestKey = Command;

    const ANSWERS_COME_UNASKED: bool = true;
    const HAS_IDENTITIES: bool = false;

    fn customs() -> Config {
        D::config()
    }

    fn status(local: &Local<D>) -> ProtocolVersion {
        local.minimum_version()
    }

    fn judge(minimum: &ProtocolVersion, info: &PeerInfo) -> Result<(), Reason> {
        customs::judge(*minimum, info)
    }

    fn judge_candidate(_: &Local<D>, _: &Candidate) -> Verdict {
        Verdict::Unknown
    }

    fn identity(_: &PeerInfo) -> Option<Identity> {
        None
    }

    fn tie(_: &Local<D>, _: &PeerInfo) -> Tie {
        Tie::Older
    }

    fn greeted(info: &PeerInfo) -> peerage_book::Greeted {
        customs::greeted(info)
    }

    fn hear(message: MessageOf<D>) -> Heard<Kept<D>> {
        customs::hear(message)
    }

    fn farewell(_: Parting) -> Option<MessageOf<D>> {
        None
    }

    fn len(message: &MessageOf<D>) -> usize {
        customs::len(message)
    }

    fn ask_for_addrs() -> Option<MessageOf<D>> {
        Some(D::Message::get_addr())
    }

    fn asks_for_addrs(message: &MessageOf<D>) -> bool {
        message.asks_for_addrs()
    }

    fn says_of_itself(info: &PeerInfo) -> Option<(Endpoint, u64)> {
        Some(customs::says_of_itself(info))
    }

    fn addrs(message: &MessageOf<D>) -> Option<Vec<GossipEntry>> {
        customs::addrs(message)
    }

    fn tell_addrs(addrs: &[GossipEntry], to: &PeerInfo) -> Option<MessageOf<D>> {
        customs::tell_addrs(addrs, to)
    }
}

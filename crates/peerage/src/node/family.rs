//! Keeping peers of the version/verack family.

use peerage_book::{GossipEntry, Identity, Verdict};
use peerage_core::{Detail, Failure, Kind, Reason, Stage};
use peerage_find::Candidate;
use peerage_peers::{Config, Heard, Parting, Tie};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message;
use peerage_verack::message::Listed;
use peerage_verack::zcash::Zcash;
use peerage_verack::{Command, Local, PeerInfo, ProtocolVersion, Services};

use super::kept::{Keeps, Kept};
use crate::family::Builtin;
use crate::peer::MessageOf;

/// What a message that is not opaque weighs, in bytes, for the budgets.
const USUAL_LEN: usize = 256;

/// The customs of each network.
pub trait Customs: Builtin {
    /// Limits, deadlines and conduct.
    fn config() -> Config;
}

impl Customs for Zcash {
    fn config() -> Config {
        Config::zcash()
    }
}

impl Customs for Decred {
    fn config() -> Config {
        Config::decred()
    }
}

/// A peer that was recent enough when it came and is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it speaks version {got}; the chain's rules ask for {minimum} now")]
struct Outdated {
    got: ProtocolVersion,
    minimum: ProtocolVersion,
}

impl Failure for Outdated {
    fn stage(&self) -> Stage {
        Stage::Keep("version")
    }

    fn kind(&self) -> Kind {
        Kind::Obsolete
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none().with("got", self.got.0);
        detail.with("minimum", self.minimum.0)
    }
}

impl<D: Customs> Keeps for D {
    type Status = ProtocolVersion;
    /// The command of the answer.
    type RequestKey = Command;

    const ANSWERS_COME_UNASKED: bool = true;

    fn customs() -> Config {
        D::config()
    }

    fn status(local: &Local<D>) -> ProtocolVersion {
        local.minimum_version()
    }

    fn judge(minimum: &ProtocolVersion, info: &PeerInfo) -> Result<(), Reason> {
        let got = info.theirs.protocol_version;
        if got < *minimum {
            let minimum = *minimum;
            return Err(Outdated { got, minimum }.reason());
        }
        Ok(())
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
        peerage_book::Greeted {
            services: Some(info.theirs.services.0),
            agent: info.theirs.user_agent.clone(),
        }
    }

    fn hear(message: MessageOf<D>) -> Heard<Kept<D>> {
        if let Some(nonce) = message.ping_nonce() {
            return Heard::Ping {
                pong: D::Message::pong(nonce),
            };
        }
        if let Some(nonce) = message.pong_nonce() {
            return Heard::Pong { nonce: Some(nonce) };
        }
        let key = message.command();
        Heard::Answer { key, message }
    }

    fn farewell(_: Parting) -> Option<MessageOf<D>> {
        None
    }

    fn len(message: &MessageOf<D>) -> usize {
        message.opaque_len().unwrap_or(USUAL_LEN)
    }

    fn ask_for_addrs() -> Option<MessageOf<D>> {
        Some(D::Message::get_addr())
    }

    fn asks_for_addrs(message: &MessageOf<D>) -> bool {
        message.asks_for_addrs()
    }

    fn addrs(message: &MessageOf<D>) -> Option<Vec<GossipEntry>> {
        let entry = |listed: &Listed| GossipEntry {
            endpoint: listed.endpoint,
            services: listed.services.0,
            seen: listed.time,
        };
        Some(message.listed()?.iter().map(entry).collect())
    }

    fn tell_addrs(addrs: &[GossipEntry], to: &PeerInfo) -> Option<MessageOf<D>> {
        let listed = |entry: &GossipEntry| Listed {
            time: entry.seen,
            services: Services(entry.services),
            endpoint: entry.endpoint,
        };
        let listed: Vec<_> = addrs.iter().map(listed).collect();
        (!listed.is_empty()).then(|| D::Message::list(&listed, to.negotiated))
    }
}

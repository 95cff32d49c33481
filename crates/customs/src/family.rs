//! Peers of the version/verack family.

use peerage_book::GossipEntry;
use peerage_core::{Detail, Endpoint, Failure, Kind, Reason, Stage};
use peerage_peers::{Config, Heard, Types};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::{Dialect, Message};
use peerage_verack::message::Listed;
use peerage_verack::zcash::Zcash;
use peerage_verack::{Command, PeerInfo, ProtocolVersion, Services};

use crate::USUAL_LEN;

/// The limits, deadlines and conduct of each network.
pub trait Customs: Dialect {
    /// They are these.
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

/// Whether a peer is of use when at least `minimum` is asked for.
///
/// # Errors
/// Why it is not.
pub fn judge(minimum: ProtocolVersion, info: &PeerInfo) -> Result<(), Reason> {
    let got = info.theirs.protocol_version;
    if got < minimum {
        return Err(Outdated { got, minimum }.reason());
    }
    Ok(())
}

/// What the book is told of a peer.
pub fn greeted(info: &PeerInfo) -> peerage_book::Greeted {
    peerage_book::Greeted {
        services: Some(info.theirs.services.0),
        agent: info.theirs.user_agent.clone(),
    }
}

/// Where a peer says that it can be dialled, and the services it claims.
pub fn says_of_itself(info: &PeerInfo) -> (Endpoint, u64) {
    let theirs = &info.theirs;
    (theirs.addr_from.endpoint(), theirs.services.0)
}

/// What a message is for. Answers carry nothing that tells them from what comes by itself: one that
/// nobody asked for is gossip, see [`Heard::unless_asked`].
pub fn hear<M: Message, T: Types<Message = M, Key = Command>>(message: M) -> Heard<T> {
    if let Some(nonce) = message.ping_nonce() {
        return Heard::Ping {
            pong: M::pong(nonce),
        };
    }
    if let Some(nonce) = message.pong_nonce() {
        return Heard::Pong { nonce: Some(nonce) };
    }
    let key = message.command();
    Heard::Answer { key, message }
}

/// The length of a message in bytes, about.
pub fn len(message: &impl Message) -> usize {
    message.opaque_len().unwrap_or(USUAL_LEN)
}

/// The addresses that a message tells of.
pub fn addrs(message: &impl Message) -> Option<Vec<GossipEntry>> {
    let entry = |listed: &Listed| GossipEntry {
        endpoint: listed.endpoint,
        services: listed.services.0,
        seen: listed.time,
    };
    Some(message.listed()?.iter().map(entry).collect())
}

/// Tells a peer of addresses; nothing if there are none.
pub fn tell_addrs<M: Message>(addrs: &[GossipEntry], to: &PeerInfo) -> Option<M> {
    let listed = |entry: &GossipEntry| Listed {
        time: entry.seen,
        services: Services(entry.services),
        endpoint: entry.endpoint,
    };
    let listed: Vec<_> = addrs.iter().map(listed).collect();
    (!listed.is_empty()).then(|| M::list(&listed, to.negotiated))
}

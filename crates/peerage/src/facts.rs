//! What is known of a greeted peer.

use std::time::Duration;

use peerage_core::{PeerText, UnixTime};
use peerage_verack::dissect::services_shown;
use peerage_verack::{Dialect, PeerInfo};

/// What is known of a greeted peer, in terms that every network shares.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerFacts {
    /// The peer itself: whom we dialled, by address or name, or where it dialled from. Never a
    /// proxy.
    pub addr: String,
    /// Its software.
    pub agent: PeerText,
    /// The protocol version it claims.
    pub protocol_version: u32,
    /// The protocol version agreed on.
    pub negotiated: u32,
    /// Its service bits.
    pub services: u64,
    /// Their names.
    pub services_shown: String,
    /// The height it claims.
    pub height: u32,
    /// Its clock.
    pub time: UnixTime,
    /// Whether it wants transactions announced.
    pub relay: bool,
    /// Messages it sent too early that the network ignores.
    pub dropped: u32,
    /// Messages it sent early that are kept.
    pub early: usize,
    /// The last round trip measured.
    pub rtt: Option<Duration>,
}

impl PeerFacts {
    pub(crate) fn new<D: Dialect>(info: &PeerInfo, early: usize) -> Self {
        let theirs = &info.theirs;
        Self {
            addr: info.addr.to_string(),
            agent: theirs.user_agent.clone(),
            protocol_version: theirs.protocol_version.0,
            negotiated: info.negotiated.0,
            services: theirs.services.0,
            services_shown: services_shown::<D>(theirs.services.0),
            height: theirs.height.0,
            time: theirs.time,
            relay: theirs.relay,
            dropped: info.dropped,
            early,
            rtt: None,
        }
    }
}

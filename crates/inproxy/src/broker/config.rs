//! What an operator decides.

use std::sync::Arc;
use std::time::Duration;

use peerage_matcher::{Config, Extras, Limits as GroupLimits, Rate, Versions};
use tokio::sync::mpsc;

use crate::compartments::CompartmentList;
use crate::description::TransportKind;
use crate::destination::ActiveList;
use crate::geography::{Locate, Nowhere};
use crate::keys::PartySecret;

use super::report::Report;

/// How much strangers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time. The default is 100,000.
    pub connections: usize,
    /// Of them from one address group: an IPv4 address, or an IPv6 /56. The default is 256.
    pub connections_per_group: usize,
    /// Established sessions. The default is 100,000, about 200 MB.
    pub sessions: usize,
    /// Handshakes begun and not finished. The default is 4,096.
    pub handshakes: usize,
    /// Handshakes of one address group a minute, and as many at once. The default is 120.
    pub handshakes_per_minute: u32,
    /// Calls of one session at the same time. The default is 64.
    pub calls_per_session: usize,
    /// How long an announcement may wait. The default is 2 minutes.
    pub announce_wait: Duration,
    /// How long an offer may wait. The default is 30 s.
    pub offer_wait: Duration,
    /// How long a volunteer that was given a client may say nothing before it counts as gone: time for
    /// a round trip and for what it does before it says that it is coming, 100 ms. The default is 900 ms.
    pub attention: Duration,
    /// How long a request's head may take, and again its body. The default is 10 s.
    pub request_time: Duration,
    /// After how long without a call a session is forgotten. The default is 30 minutes.
    pub session_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_group: 256,
            sessions: 100_000,
            handshakes: 4_096,
            handshakes_per_minute: 120,
            calls_per_session: 64,
            announce_wait: Duration::from_secs(120),
            offer_wait: Duration::from_secs(30),
            attention: Duration::from_millis(900),
            request_time: Duration::from_secs(10),
            session_idle: Duration::from_secs(30 * 60),
        }
    }
}

/// A broker's configuration.
pub struct BrokerConfig {
    /// Its key.
    pub key: PartySecret,
    /// The common compartments.
    pub compartments: CompartmentList,
    /// Whose destinations are served.
    pub destinations: ActiveList,
    /// Where callers are.
    pub geography: Arc<dyn Locate>,
    /// How they are matched.
    pub matcher: Config,
    /// How much strangers may take.
    pub limits: Limits,
    /// Whether session descriptions may name loopback and private addresses.
    ///
    /// # Security
    /// Only for tests on one host: see [`Filter::loopback`](crate::filter::Filter::loopback).
    pub loopback: bool,
    /// Where a record of each introduction goes. One that finds no room is counted and lost.
    pub reports: Option<mpsc::Sender<Report>>,
}

impl BrokerConfig {
    /// A broker of this key that serves nobody yet.
    pub fn new(key: PartySecret) -> Self {
        Self {
            key,
            compartments: CompartmentList::default(),
            destinations: ActiveList::default(),
            geography: Arc::new(Nowhere),
            matcher: Self::matcher(),
            limits: Limits::default(),
            loopback: false,
            reports: None,
        }
    }

    /// How the matcher has to be set for the transports there are, with limits for each address group:
    /// 64 announcements that wait, and 32 offers that wait, of which 120 come a minute and 60 at once.
    /// The rest is as by default.
    pub fn matcher() -> Config {
        let with = |all: Versions, kind: TransportKind| all.with(kind as u8);
        let versions = TransportKind::ALL.into_iter().fold(Versions::NONE, with);
        Config {
            extras: Extras {
                versions: Some(versions),
                announcement_limits: Some(GroupLimits::entries(64)),
                offer_limits: Some(GroupLimits {
                    rate: Some(Rate {
                        per_minute: 120,
                        burst: 60,
                    }),
                    ..GroupLimits::entries(32)
                }),
                ..Extras::default()
            },
            ..Config::default()
        }
    }
}

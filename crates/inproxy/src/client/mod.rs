//! The client: reaches destinations through volunteers.

mod local;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_core::{Blame, ConnectedAddr, Detail, Failure, Kind, PeerText, Retry, Stage, UnixTime};
use peerage_matcher::{CompartmentId, NetworkProtocol};
use peerage_net::{Connection, Connector, ReachError, Target};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::call::{BrokerClient, CallError};
use crate::description::Description;
use crate::destination::SignedEntry;
use crate::keys::SignerKey;
use crate::message::{Call, Offer, Reply};
use crate::network::NetworkNow;
use crate::opening::{self, OpeningError};
use crate::outside::Outside;
use crate::proof;
use crate::transport::{Channel, Prepared as _, Role, Transport, TransportError};

pub use local::{LocalEvent, Login, serve_socks, serve_tcp};

/// Where a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// In the operator's compartments, from an invitation.
    Common(Vec<CompartmentId>),
    /// In compartments of people it knows, from pairing links.
    Personal(Vec<CompartmentId>),
}

/// What a client asks for, and how hard it tries.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its network.
    pub network: NetworkNow,
    /// Where it asks.
    pub compartments: Where,
    /// In personal compartments: the keys of the volunteers it knows, from pairings. An answer that none of
    /// them has signed is not taken, whatever the broker says. None: any answer is.
    pub pins: Vec<SignerKey>,
    /// Signed destination entries, as encoded. The first that covers a destination is used.
    pub entries: Vec<Bytes>,
    /// Volunteers that are tried at the same time. The default is 2.
    pub race: usize,
    /// How long one is waited for before another is tried beside it. The default is 400 ms: volunteers
    /// are scarce.
    pub stagger: Duration,
    /// How long one try may take. The default is 15 s.
    pub try_time: Duration,
    /// Tries for one connection, at most. The default is 8.
    pub tries: usize,
}

impl ClientConfig {
    /// A client that asks there with these entries; the rest as by default.
    pub fn new(compartments: Where, entries: Vec<Bytes>) -> Self {
        Self {
            network: NetworkNow::default(),
            compartments,
            pins: Vec::new(),
            entries,
            race: 2,
            stagger: Duration::from_millis(400),
            try_time: Duration::from_secs(15),
            tries: 8,
        }
    }
}

/// Why a destination is not reached through any volunteer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No entry covers the destination.
    #[error("no destination entry of ours covers {target} over TCP: ask the operator for one")]
    NoEntry {
        /// Where to.
        target: Target,
    },
    /// The broker.
    #[error(transparent)]
    Broker(#[from] CallError),
    /// Somebody answered in the place of the volunteer that the pairing names.
    #[error(
        "the answer is not of the volunteer that the pairing names: somebody answers in its place"
    )]
    OtherVolunteer,
    /// The path to the volunteer.
    #[error("a volunteer was found, but not reached: {0}")]
    Path(#[from] TransportError),
    /// The destination, as the volunteer says.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// One try took too long.
    #[error("a volunteer did not get there in time")]
    TryTimedOut,
    /// The deadline passed.
    #[error("no connection in time after {tries} tries{}", Last(last.as_deref()))]
    TimedOut {
        /// How many tries there were.
        tries: usize,
        /// How the last that failed did.
        last: Option<Box<DialError>>,
    },
    /// Every try failed.
    #[error("{tries} tries failed{}", Last(Some(last)))]
    GaveUp {
        /// How many.
        tries: usize,
        /// How the last one did.
        last: Box<DialError>,
    },
}

impl DialError {
    /// Whether another volunteer would change nothing.
    fn is_final(&self) -> bool {
        match self {
            Self::Opening(OpeningError::NotConnected { verdict, .. }) => verdict.is_final(),
            Self::Opening(_) | Self::TryTimedOut | Self::OtherVolunteer => false,
            Self::NoEntry { .. }
            | Self::Broker(_)
            | Self::Path(_)
            | Self::TimedOut { .. }
            | Self::GaveUp { .. } => self.retry() == Retry::Never,
        }
    }
}

struct Last<'a>(Option<&'a DialError>);

impl fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(f, "; the last: {error}"),
            None => Ok(()),
        }
    }
}

impl Failure for DialError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoEntry { .. } => Kind::Usage,
            Self::OtherVolunteer => Kind::WrongIdentity,
            Self::Broker(error) => error.kind(),
            Self::Path(error) => error.kind(),
            Self::Opening(error) => error.kind(),
            Self::TryTimedOut | Self::TimedOut { .. } => Kind::Timeout,
            Self::GaveUp { last, .. } => last.kind(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Broker(error) => error.blame(),
            Self::Path(error) => error.blame(),
            Self::Opening(error) => error.blame(),
            Self::TimedOut { .. } | Self::TryTimedOut => Blame::Network,
            Self::GaveUp { last, .. } => last.blame(),
            Self::NoEntry { .. } | Self::OtherVolunteer => self.kind().blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NoEntry { .. } => Retry::Never,
            Self::Broker(error) => error.retry(),
            Self::Path(error) => error.retry(),
            Self::Opening(error) => error.retry(),
            // Whoever is there, the next may be the right one.
            Self::TryTimedOut | Self::OtherVolunteer => Retry::Now,
            Self::TimedOut { .. } | Self::GaveUp { .. } => Retry::After(Duration::from_secs(60)),
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::NoEntry { target } => {
                let target = target.to_string();
                Detail::none().with("target", PeerText::from(target.as_str()))
            }
            Self::Broker(error) => error.detail(),
            Self::Path(error) => error.detail(),
            Self::Opening(error) => error.detail(),
            Self::TimedOut { tries, last } => {
                let detail = Detail::none().with("tries", *tries);
                last.iter().fold(detail, |detail, last| {
                    detail.with("last", last.kind().name())
                })
            }
            Self::GaveUp { tries, last } => Detail::none()
                .with("tries", *tries)
                .with("last", last.kind().name()),
            Self::TryTimedOut | Self::OtherVolunteer => Detail::none(),
        }
    }
}

struct Inner<T> {
    broker: BrokerClient,
    transport: T,
    config: ClientConfig,
    outside: Outside,
}

/// Reaches destinations through volunteers. Cheap to clone.
pub struct Dialer<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for Dialer<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T> fmt::Debug for Dialer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialer").field(&self.inner.broker).finish()
    }
}

impl<T: Transport> Dialer<T> {
    /// A client of this broker. Connections of one dialer are made in one session, so the broker can
    /// link them; those of another cannot be linked with them but by address.
    pub fn new(broker: BrokerClient, transport: T, config: ClientConfig, outside: Outside) -> Self {
        Self {
            inner: Arc::new(Inner {
                broker,
                transport,
                config,
                outside,
            }),
        }
    }

    /// The broker it asks.
    pub fn broker(&self) -> &BrokerClient {
        &self.inner.broker
    }

    /// Connects to a destination through a volunteer: tries one, and another beside it if that takes
    /// long or fails, until one says that the destination is connected. The others are called off.
    ///
    /// # Errors
    /// When the destination is refused for good, or the time or the tries are used up.
    ///
    /// # Cancellation
    /// Dropping the future calls everything off.
    pub async fn dial(&self, target: &Target, deadline: Instant) -> Result<Channel, DialError> {
        let inner = &self.inner;
        let entry = inner.entry_for(target)?;
        let mut tries = JoinSet::new();
        let (mut begun, mut last) = (0, None);
        // When the next is begun, if there is room for it.
        let mut next_at = Instant::now();
        loop {
            let more = begun < inner.config.tries.max(1);
            if !more && tries.is_empty() {
                let last = Box::new(last.unwrap_or(DialError::TryTimedOut));
                return Err(DialError::GaveUp { tries: begun, last });
            }
            let room = more && tries.len() < inner.config.race.max(1);
            tokio::select! {
                () = sleep_until(deadline) => {
                    let last = last.map(Box::new);
                    return Err(DialError::TimedOut { tries: begun, last });
                }
                () = sleep_until(next_at), if room => {
                    let (inner, target, entry) = (Arc::clone(inner), target.clone(), entry.clone());
                    tries.spawn(async move { inner.attempt(target, entry, deadline).await });
                    begun += 1;
                    next_at = Instant::now() + self.inner.config.stagger;
                }
                Some(ended) = tries.join_next(), if !tries.is_empty() => {
                    let error = match ended {
                        Ok(Ok(channel)) => return Ok(channel),
                        Ok(Err(error)) => error,
                        // A try that panicked is a bug, and no reason to give the others up.
                        Err(_) => DialError::TryTimedOut,
                    };
                    if error.is_final() {
                        return Err(error);
                    }
                    let now = Instant::now();
                    next_at = match error.retry() {
                        Retry::Never | Retry::Now => next_at.min(now + inner.config.stagger / 4),
                        Retry::After(wait) => now + wait,
                    };
                    // Waiting would only make the same answer late.
                    if next_at >= deadline && tries.is_empty() {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
    }
}

impl<T: Transport> Inner<T> {
    fn entry_for(&self, target: &Target) -> Result<Bytes, DialError> {
        let now: UnixTime = self.outside.now();
        let covers = |bytes: &&Bytes| {
            SignedEntry::decode(bytes).is_ok_and(|signed| {
                signed.entry.covers(target, NetworkProtocol::Tcp) && signed.entry.expires > now
            })
        };
        let entry = self.config.entries.iter().find(covers).cloned();
        entry.ok_or_else(|| DialError::NoEntry {
            target: target.clone(),
        })
    }

    async fn attempt(
        &self,
        target: Target,
        entry: Bytes,
        deadline: Instant,
    ) -> Result<Channel, DialError> {
        let deadline = deadline.min(Instant::now() + self.config.try_time);
        let attempt = self.attempt_by(target, entry, deadline);
        let attempt = tokio::time::timeout_at(deadline, attempt).await;
        attempt.unwrap_or(Err(DialError::TryTimedOut))
    }

    async fn attempt_by(
        &self,
        target: Target,
        entry: Bytes,
        deadline: Instant,
    ) -> Result<Channel, DialError> {
        // Both take time and neither needs the other.
        let (prepared, ready) =
            tokio::join!(self.transport.prepare(), self.broker.prepare(deadline));
        ready?;
        let prepared = prepared?;
        let wait = deadline.saturating_duration_since(Instant::now());
        let (personal, common) = match &self.config.compartments {
            Where::Common(ids) => (Vec::new(), ids.clone()),
            Where::Personal(ids) => (ids.clone(), Vec::new()),
        };
        let description = prepared.description().encode().map_err(CallError::from)?;
        let network = self.config.network.now().for_socket(prepared.is_mapped());
        let offer = Offer {
            network: network.with(&self.transport),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            personal,
            common,
            protocol: NetworkProtocol::Tcp,
            destination: target.to_string(),
            entry,
            description,
        };
        let reply = self
            .broker
            .call(&Call::Offer(Box::new(offer)), deadline)
            .await?;
        let Reply::Answered(answered) = reply else {
            return Err(CallError::WrongReply.into());
        };
        let Some(kind) = self.transport.kind(answered.transport) else {
            return Err(CallError::WrongReply.into());
        };
        let remote = Description::decode(&answered.description).map_err(CallError::from)?;
        let proven =
            |key: &SignerKey| proof::holds(*key, prepared.description(), &remote, &answered.proof);
        if !self.config.pins.is_empty() && !self.config.pins.iter().any(proven) {
            return Err(DialError::OtherVolunteer);
        }
        let connecting = prepared.connect(kind, Role::Client, &remote, deadline);
        let mut channel = connecting.await?;
        opening::ask(&mut channel).await?;
        Ok(channel)
    }
}

impl<T: Transport> Connector for Dialer<T> {
    type Io = Channel;

    async fn connect(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection<Channel>, ReachError> {
        let begun = Instant::now();
        let io = self.dial(target, deadline).await.map_err(reach_error)?;
        let path = io.path();
        Ok(Connection {
            io,
            // A volunteer is a proxy: the peer sees it, and must learn nothing of us (rule 7).
            addr: ConnectedAddr::OutboundProxy {
                proxy: path.remote,
                local: path.local,
            },
            resolved_in: None,
            reached_in: begun.elapsed(),
        })
    }
}

fn reach_error(error: DialError) -> ReachError {
    ReachError::ByVolunteer {
        kind: error.kind(),
        blame: error.blame(),
        retry: error.retry(),
        words: PeerText::from(error.to_string().as_str()),
    }
}

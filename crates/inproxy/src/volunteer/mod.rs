//! The volunteer: announces free slots, and relays for those it is given.

mod destination;
mod serve;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use peerage_core::{Failure as _, Retry};
use peerage_matcher::{CompartmentId, ConnectionId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::call::{BrokerClient, CallError, HeldLine};
use crate::message::{Announce, Call, Matched, Reply, Waiting};
use crate::network::NetworkNow;
use crate::opening::Verdict;
use crate::policy::{AllowList, Forbidden};
use crate::transport::{Path, Relayed, Throttle, Transport, TransportError};

/// What a volunteer gives, and to whom.
#[derive(Clone, Debug)]
pub struct VolunteerConfig {
    /// Its network. When it changes, announcements that wait are made anew.
    pub network: NetworkNow,
    /// What its clients may reach.
    pub allow: AllowList,
    /// Personal compartments; none: the broker's common one.
    pub personal: Vec<CompartmentId>,
    /// Connections relayed at the same time. The default is 16.
    pub connections: usize,
    /// Slots announced at the same time. The default is 2.
    pub announcing: usize,
    /// Bytes relayed a second, both directions together; any number by default.
    pub bytes_per_second: Option<u64>,
    /// Bytes relayed in all, after which it stops; any number by default.
    pub total_bytes: Option<u64>,
    /// How long an announcement waits at the broker. The default is 100 s.
    pub announce_wait: Duration,
    /// How long the path to a client may take. The default is 20 s, the reference's.
    pub path_time: Duration,
    /// How long the destination may take. The default is 20 s, the reference's.
    pub dial_time: Duration,
    /// A relayed connection on which nothing moves for so long is ended. The default is 5 minutes, the
    /// reference's.
    pub idle: Duration,
}

impl Default for VolunteerConfig {
    fn default() -> Self {
        Self {
            network: NetworkNow::default(),
            allow: AllowList::default(),
            personal: Vec::new(),
            connections: 16,
            announcing: 2,
            bytes_per_second: None,
            total_bytes: None,
            announce_wait: Duration::from_secs(100),
            path_time: Duration::from_secs(20),
            dial_time: Duration::from_secs(20),
            idle: Duration::from_secs(300),
        }
    }
}

/// What a volunteer did, and why. One that finds no room is lost and counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The broker cannot be used now.
    Broker {
        /// Why.
        error: CallError,
        /// When it asks again, unless that is of no use.
        again_in: Option<Duration>,
    },
    /// No client came in time; this is why, as far as the broker says.
    NoMatch {
        /// How many wait, and what keeps them away.
        why: Option<Waiting>,
    },
    /// It was given a client.
    Matched {
        /// Which connection.
        connection: ConnectionId,
        /// Where the client wants to.
        destination: String,
        /// Whether they met in a personal compartment.
        personal: bool,
    },
    /// The destination is not allowed by our own list.
    Forbidden {
        /// Which connection.
        connection: ConnectionId,
        /// Why; nothing if it cannot be read, or is no TCP.
        why: Option<Forbidden>,
    },
    /// The client had left before it could be answered.
    ClientGone {
        /// Which connection.
        connection: ConnectionId,
    },
    /// There is no path to the client.
    NoPath {
        /// Which connection.
        connection: ConnectionId,
        /// Why.
        error: TransportError,
    },
    /// The destination is not reached.
    NotConnected {
        /// Which connection.
        connection: ConnectionId,
        /// What the client was told.
        verdict: Verdict,
    },
    /// Bytes are relayed.
    Relaying {
        /// Which connection.
        connection: ConnectionId,
        /// Where to.
        destination: SocketAddr,
        /// Where the client is.
        path: Path,
    },
    /// It is over.
    Ended {
        /// Which connection.
        connection: ConnectionId,
        /// How, and how much.
        relayed: Relayed,
    },
}

/// How a volunteer stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to.
    Asked,
    /// All the bytes it gives are used up.
    UsedUp,
    /// The broker does not want it.
    Unwanted(CallError),
}

/// What a volunteer has done so far.
#[derive(Debug, Default)]
pub struct Totals {
    /// Connections relayed now.
    pub active: AtomicUsize,
    /// Clients given to it.
    pub matched: AtomicU64,
    /// Connections that reached their destination.
    pub relayed: AtomicU64,
    /// Bytes relayed, of connections that have ended.
    pub bytes: AtomicU64,
    /// Events that found no room.
    pub events_lost: AtomicU64,
}

struct Inner<T> {
    broker: BrokerClient,
    transport: T,
    config: VolunteerConfig,
    throttle: Throttle,
    announcing: Semaphore,
    events: mpsc::Sender<Event>,
    totals: Arc<Totals>,
}

/// A volunteer.
pub struct Volunteer<T> {
    inner: Arc<Inner<T>>,
}

/// How long connections under way are given when a volunteer stops.
const GRACE: Duration = Duration::from_secs(5);
/// Between two tries of a broker that fails.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(60);
/// What a call may take beyond its wait.
const CALL_TIME: Duration = Duration::from_secs(10);

impl<T: Transport> Volunteer<T> {
    /// A volunteer at this broker, whose key is its id.
    pub fn new(
        broker: BrokerClient,
        transport: T,
        config: VolunteerConfig,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let throttle = Throttle::new(config.bytes_per_second, config.total_bytes);
        let announcing = Semaphore::new(config.announcing.max(1));
        let totals = Arc::default();
        Self {
            inner: Arc::new(Inner {
                broker,
                transport,
                config,
                throttle,
                announcing,
                events,
                totals,
            }),
        }
    }

    /// What it has done so far.
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.inner.totals)
    }

    /// Volunteers until `stop` is done, its bytes are used up, or the broker does not want it.
    /// Connections under way are given 5 s then.
    ///
    /// # Cancellation
    /// Dropping the future ends every connection.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Stopped {
        let (stopping, stopped) = watch::channel(false);
        let mut slots = JoinSet::new();
        for _ in 0..self.inner.config.connections.max(1) {
            let (inner, stopped) = (Arc::clone(&self.inner), stopped.clone());
            slots.spawn(async move { inner.slot(stopped).await });
        }
        let mut how = Stopped::Asked;
        tokio::select! {
            () = stop => {}
            Some(ended) = slots.join_next() => {
                // A slot ends by itself only for a cause that all share.
                how = ended.unwrap_or(Stopped::Asked);
            }
        }
        // The slots hear it; that one has ended already is no failure.
        let _ = stopping.send(true);
        let ended = async { while slots.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, ended).await;
        how
    }
}

impl<T: Transport> Inner<T> {
    /// One slot: announces, serves, and again.
    async fn slot(&self, mut stopped: watch::Receiver<bool>) -> Stopped {
        let mut wait = LEAST_WAIT;
        let mut network = self.config.network.clone();
        loop {
            if self.throttle.is_used_up() {
                return Stopped::UsedUp;
            }
            let announced = tokio::select! {
                announced = self.announce() => announced,
                // Whoever is matched by what is true no longer may never be reached.
                () = network.changed() => continue,
                _ = stopped.wait_for(|stopped| *stopped) => return Stopped::Asked,
            };
            match announced {
                Ok((line, matched)) => {
                    wait = LEAST_WAIT;
                    self.serve(line, matched).await;
                }
                Err(CallError::Refused(no)) if no.code == crate::Code::NoMatch => {
                    wait = LEAST_WAIT;
                    if let Retry::After(pause) = no.retry {
                        tokio::select! {
                            () = sleep(pause) => {}
                            _ = stopped.wait_for(|stopped| *stopped) => return Stopped::Asked,
                        }
                    }
                }
                Err(error) => {
                    let pause = match error.retry() {
                        Retry::Never => None,
                        Retry::Now => Some(wait),
                        Retry::After(after) => Some(after.max(wait)),
                    };
                    self.event(Event::Broker {
                        error: error.clone(),
                        again_in: pause,
                    });
                    let Some(pause) = pause else {
                        return Stopped::Unwanted(error);
                    };
                    wait = (wait * 2).min(MOST_WAIT);
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = stopped.wait_for(|stopped| *stopped) => return Stopped::Asked,
                    }
                }
            }
        }
    }

    async fn announce(&self) -> Result<(HeldLine, Matched), CallError> {
        // Never closed, so a permit always comes.
        let _permit = self.announcing.acquire().await;
        let wait = self.config.announce_wait;
        let active = self.totals.active.load(Ordering::Relaxed);
        let network = self.config.network.now();
        let network = network.for_connections(active + self.config.announcing);
        let call = Call::Announce(Announce {
            network: network.with(&self.transport),
            load: u16::try_from(active).unwrap_or(u16::MAX),
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            personal: self.config.personal.clone(),
        });
        let deadline = Instant::now() + wait + CALL_TIME;
        let announcing = self.broker.call_on(None, &call, deadline);
        let mut why = None;
        let announced = {
            let explaining = std::pin::pin!(async {
                // Shortly before nothing comes of it: why.
                sleep(wait.mul_f32(0.9)).await;
                match self.broker.call(&Call::Explain, deadline).await {
                    Ok(Reply::Explained(list)) => list.into_iter().find(|waiting| !waiting.offer),
                    Ok(_) | Err(_) => None,
                }
            });
            let mut announcing = std::pin::pin!(announcing);
            tokio::select! {
                announced = announcing.as_mut() => announced,
                explained = explaining => {
                    why = explained;
                    announcing.await
                }
            }
        };
        match announced {
            Ok((line, Reply::Matched(matched))) => Ok((line, matched)),
            Ok(_) => Err(CallError::WrongReply),
            Err(error) => {
                if matches!(&error, CallError::Refused(no) if no.code == crate::Code::NoMatch) {
                    self.event(Event::NoMatch { why });
                }
                Err(error)
            }
        }
    }

    fn event(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.totals.events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

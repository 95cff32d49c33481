//! The broker: HTTP in front, one task that owns the matcher behind.
//!
//! A call is opened, checked and put into the matcher's terms in the task of its connection; the owner
//! only matches. Whoever hangs up is taken out at once. A volunteer whose connection ends after it was
//! given a client has left, and the client is told.

mod admit;
mod config;
mod http;
mod metrics;
mod owner;
mod rate;
mod report;
mod sessions;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peerage_matcher::{ConfigError, Matcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use config::{BrokerConfig, Limits};
pub use report::Report;

use crate::outside::Outside;
use http::{Shared, Via};
use metrics::{Metrics, TurnedAway};
use owner::{Command, ConnectionNumber, Gone, Owner};
use rate::{Group, Rates};
use sessions::Sessions;

/// Commands that wait for the owner. A request whose command finds no room waits with it.
const COMMANDS: usize = 1024;
/// Room for a request's head, in bytes.
const HEAD_LEN: usize = 8 << 10;
/// How often idle sessions are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long connections are given to take their last replies when the broker stops.
const STOP_TIME: Duration = Duration::from_secs(5);
/// How long to wait when the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(50);

/// A broker that has been set up. Its owner runs as a task from the start.
pub struct Broker {
    shared: Arc<Shared>,
    router: Router,
}

/// Open connections, in all and by group.
#[derive(Default)]
struct Open {
    groups: Mutex<BTreeMap<Group, usize>>,
}

struct Place {
    open: Arc<Open>,
    gone: Arc<Gone>,
    group: Group,
    number: ConnectionNumber,
}

impl Open {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Group, usize>> {
        // Counting leaves it sound.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, group: Group, most: usize) -> bool {
        let mut groups = self.lock();
        let count = groups.entry(group).or_insert(0);
        let enters = *count < most;
        *count += usize::from(enters);
        enters
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut groups = self.open.lock();
        if let Some(count) = groups.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                groups.remove(&self.group);
            }
        }
        drop(groups);
        self.gone.connection(self.number);
    }
}

impl Broker {
    /// Sets a broker up. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// When the matcher's configuration makes no sense.
    pub fn new(mut config: BrokerConfig, outside: Outside) -> Result<Self, ConfigError> {
        let now = Instant::now();
        let matcher = Matcher::new(config.matcher.clone(), outside.bytes(), now)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let (gone, metrics) = (Arc::new(Gone::default()), Arc::new(Metrics::default()));
        let reports = config.reports.take();
        let (gone2, metrics2) = (Arc::clone(&gone), Arc::clone(&metrics));
        let limits = config.limits;
        let owner = Owner::new(matcher, gone2, reports, metrics2, limits.attention, outside);
        tokio::spawn(owner.run(received));
        let shared = Arc::new(Shared {
            sessions: Sessions::new(limits, now),
            hellos: Mutex::new(Rates::new(limits.handshakes_per_minute)),
            config,
            outside,
            commands,
            gone,
            metrics,
            next_call: AtomicU64::new(0),
        });
        let router = http::router(Arc::clone(&shared));
        Ok(Self { shared, router })
    }

    /// Serves until `stop` is done: then every held call is answered, and connections end.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let open = Arc::new(Open::default());
        let numbers = AtomicU64::new(0);
        let mut connections = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                _ = sweep.tick() => {
                    self.shared.sessions.sweep(Instant::now());
                    continue;
                }
                () = &mut stop => break,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                // One connection's trouble, or no descriptor left: neither ends the service.
                Err(_) => {
                    tokio::time::sleep(NO_ROOM_WAIT).await;
                    continue;
                }
            };
            let limits = &self.shared.config.limits;
            let group = Group::of(from.ip());
            let full = connections.len() >= limits.connections;
            if full || !open.enter(group, limits.connections_per_group) {
                self.shed(&stream);
                continue;
            }
            let number = ConnectionNumber(numbers.fetch_add(1, Ordering::Relaxed));
            let place = Place {
                open: Arc::clone(&open),
                gone: Arc::clone(&self.shared.gone),
                group,
                number,
            };
            let via = Via {
                connection: number,
                from,
            };
            let (router, stopped) = (self.router.clone(), stopped.clone());
            let time = limits.request_time;
            connections.spawn(async move {
                connection(stream, via, router, time, stopped).await;
                drop(place);
            });
        }
        drop(listener);
        let (done, stopped) = oneshot::channel();
        if self
            .shared
            .commands
            .send(Command::Stop { done })
            .await
            .is_ok()
        {
            // An owner that is gone holds nobody.
            let _ = stopped.await;
        }
        // Whoever still listens is told; a channel without receivers is no failure.
        let _ = stopping.send(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        // What has not ended by then is cut off by dropping it.
        let _ = tokio::time::timeout(STOP_TIME, ended).await;
        Ok(())
    }

    /// Says why, as far as that can be said without waiting.
    fn shed(&self, stream: &TcpStream) {
        self.shared.metrics.turn_away(TurnedAway::Shed);
        const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n\
            content-length: 25\r\nconnection: close\r\n\r\ntoo many connections here";
        let _ = stream.try_write(RESPONSE);
    }
}

async fn connection(
    stream: TcpStream,
    via: Via,
    router: Router,
    time: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    // Replies are small and awaited; a system without the option is only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(via);
        let service = TowerToHyperService::new(router.clone());
        async move {
            let response = service.call(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(time)
        .max_headers(32)
        .max_buf_size(HEAD_LEN)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // However it ended, there is nobody left to tell.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

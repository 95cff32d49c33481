//! The broker's HTTP: bodies in, bodies out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use peerage_core::Retry;
use peerage_matcher::Stats;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::admit::{Admission, ByKind};
use super::config::BrokerConfig;
use super::metrics::{Metrics, TurnedAway};
use super::owner::{CallId, Caller, Command, ConnectionNumber, Gone, numbers};
use super::rate::{Group, Rates};
use super::sessions::{Live, Sessions};
use crate::envelope::{CALL_PATH, Envelope, HELLO_PATH, SessionId};
use crate::message::{Answer, Call, MAX_MESSAGE_LEN, Reply};
use crate::noise::{Answering, NoiseError};
use crate::outside::Outside;
use crate::refusal::{Code, Refusal};

/// What every request can reach.
pub(super) struct Shared {
    pub(super) config: BrokerConfig,
    pub(super) outside: Outside,
    pub(super) sessions: Sessions,
    pub(super) hellos: std::sync::Mutex<Rates>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) gone: Arc<Gone>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) next_call: AtomicU64,
}

/// Which connection a request came over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Via {
    pub(super) connection: ConnectionNumber,
    pub(super) from: SocketAddr,
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let hello = async |State(shared): State<Arc<Shared>>, Extension(via), body| {
        let result = shared.hello(via, body).await;
        respond(&shared, result)
    };
    let call = async |State(shared): State<Arc<Shared>>, Extension(via), body| {
        let result = shared.call(via, body).await;
        respond(&shared, result)
    };
    Router::new()
        .route(HELLO_PATH, post(hello))
        .route(CALL_PATH, post(call))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// A request that does not get as far as a call.
struct Away(TurnedAway, StatusCode, &'static str);

const MALFORMED: Away = Away(
    TurnedAway::Malformed,
    StatusCode::BAD_REQUEST,
    "no such message",
);
const TOO_LONG: Away = Away(
    TurnedAway::TooLong,
    StatusCode::PAYLOAD_TOO_LARGE,
    "too long",
);
const SLOW: Away = Away(TurnedAway::Slow, StatusCode::REQUEST_TIMEOUT, "too slow");
const UNKNOWN: Away = Away(
    TurnedAway::UnknownSession,
    StatusCode::GONE,
    "no such session",
);
const NOT_SEALED: Away = Away(
    TurnedAway::NotSealed,
    StatusCode::FORBIDDEN,
    "not of this session",
);
const REPLAYED: Away = Away(TurnedAway::Replayed, StatusCode::CONFLICT, "came before");
const LIMITED: Away = Away(
    TurnedAway::Shed,
    StatusCode::TOO_MANY_REQUESTS,
    "too many handshakes",
);
const SHED: Away = Away(
    TurnedAway::Shed,
    StatusCode::SERVICE_UNAVAILABLE,
    "the broker is full",
);
const STOPPING: Away = Away(
    TurnedAway::Shed,
    StatusCode::SERVICE_UNAVAILABLE,
    "stopping",
);

impl Shared {
    fn away(&self, Away(why, status, text): Away) -> Response {
        self.metrics.turn_away(why);
        let mut response = (status, format!("{text}\n")).into_response();
        if why == TurnedAway::Shed {
            let five = header::HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, five);
        }
        response
    }

    async fn body(&self, body: Body) -> Result<Envelope, Away> {
        let body = timeout(
            self.config.limits.request_time,
            to_bytes(body, MAX_MESSAGE_LEN),
        );
        let body = body.await.map_err(|_| SLOW)?.map_err(|_| TOO_LONG)?;
        Envelope::decode(&body).map_err(|_| MALFORMED)
    }

    pub(super) async fn stats(&self) -> Option<Stats> {
        let (reply, stats) = oneshot::channel();
        self.commands.send(Command::Stats { reply }).await.ok()?;
        stats.await.ok()
    }

    async fn hello(&self, via: Via, body: Body) -> Result<Envelope, Away> {
        let Envelope::Hello(message) = self.body(body).await? else {
            return Err(MALFORMED);
        };
        let now = Instant::now();
        // Two multiplications follow, so the cheap refusals come first.
        let group = Group::of(via.from.ip());
        let taken = {
            let rates = self.hellos.lock();
            let mut rates = rates.unwrap_or_else(std::sync::PoisonError::into_inner);
            rates.take(now, group)
        };
        taken.map_err(|_| LIMITED)?;
        if !self.sessions.has_room(now) {
            return Err(SHED);
        }
        let state = Answering::begin(self.outside, &self.config.key, &message);
        let (state, answer) = state.map_err(|_| NOT_SEALED)?;
        let id = SessionId(self.outside.bytes());
        self.sessions.begin(now, id, state);
        let answer = answer.try_into().map_err(|_| MALFORMED)?;
        Ok(Envelope::HelloReply(id, answer))
    }

    async fn call(&self, via: Via, body: Body) -> Result<Envelope, Away> {
        let envelope = self.body(body).await?;
        let now = Instant::now();
        let (live, number, message) = match envelope {
            Envelope::First(id, message) => {
                let state = self.sessions.take_handshake(now, id).ok_or(UNKNOWN)?;
                let finished = state.finish(&message);
                let (session, caller, message) = finished.map_err(|_| NOT_SEALED)?;
                let live = self.sessions.establish(now, id, session, caller);
                (live.map_err(|_| SHED)?, 0, message)
            }
            Envelope::Call(id, number, sealed) => {
                let live = self.sessions.find(now, id).ok_or(UNKNOWN)?;
                let opened = live.session.open(number, &sealed);
                let message = opened.map_err(|error| match error {
                    NoiseError::Replayed { .. } => REPLAYED,
                    NoiseError::NotOurs | NoiseError::TooLong { .. } | NoiseError::UsedUp => {
                        NOT_SEALED
                    }
                })?;
                (live, number, message)
            }
            Envelope::Hello(_) | Envelope::HelloReply(..) | Envelope::Reply(..) => {
                return Err(MALFORMED);
            }
        };
        let reply = self.dispatch(via, &live, &message).await?;
        let reply = reply.encode().map_err(|_| MALFORMED)?;
        let sealed = live.session.seal(number, &reply).map_err(|_| MALFORMED)?;
        Ok(Envelope::Reply(number, sealed.into()))
    }

    async fn dispatch(&self, via: Via, live: &Arc<Live>, message: &[u8]) -> Result<Reply, Away> {
        let call = match Call::decode(message) {
            Ok(call) => call,
            Err(error) => {
                let no = Refusal::of(Code::BadRequest, Retry::Never, &error.to_string());
                return Ok(Reply::Refused(no));
            }
        };
        let name = call.name();
        let Some(_in_flight) = self.sessions.enter(live) else {
            let text = "too many calls of this session at the same time";
            let retry = Retry::After(std::time::Duration::from_secs(1));
            self.metrics.count(name, Some(Code::Full));
            return Ok(Reply::Refused(Refusal::of(Code::Full, retry, text)));
        };
        let reply = match self.perform(via, live, call).await {
            Ok(reply) => reply?,
            Err(refusal) => Reply::Refused(refusal),
        };
        let refused = if let Reply::Refused(refusal) = &reply {
            Some(refusal.code)
        } else {
            None
        };
        self.metrics.count(name, refused);
        Ok(reply)
    }

    async fn perform(
        &self,
        via: Via,
        live: &Arc<Live>,
        call: Call,
    ) -> Result<Result<Reply, Away>, Refusal> {
        let admission = Admission {
            config: &self.config,
            outside: self.outside,
            from: via.from,
            now: Instant::now(),
        };
        let volunteer = live.caller.into();
        let caller = Caller {
            call: CallId(self.next_call.fetch_add(1, Ordering::Relaxed)),
            session: live.serial,
            connection: via.connection,
        };
        let (reply, replied) = oneshot::channel();
        let command = match call {
            Call::Announce(call) => {
                let (announcement, personal, common) = admission.announcement(volunteer, call)?;
                Command::Announce {
                    caller,
                    announcement,
                    personal,
                    common,
                    reply,
                }
            }
            Call::Offer(call) => {
                let ((offer, personal, common), purpose) = admission.offer(*call)?;
                Command::Offer {
                    caller,
                    offer,
                    personal,
                    common,
                    purpose,
                    reply,
                }
            }
            Call::Answer(Answer {
                connection,
                description,
            }) => {
                // In which kind of compartment they met only the owner knows.
                let common = admission.description(&description, false);
                let personal = admission.description(&description, true);
                Command::Answer {
                    volunteer,
                    connection,
                    description: Box::new(ByKind { common, personal }),
                    reply,
                }
            }
            Call::AnswerError { connection } => Command::AnswerError {
                volunteer,
                connection,
                reply,
            },
            Call::Coming { connection } => Command::Coming {
                volunteer,
                connection,
                reply,
            },
            Call::Explain => Command::Explain {
                session: live.serial,
                reply,
            },
            Call::Stats => {
                let stats = self.stats().await;
                return Ok(stats
                    .map(|stats| Reply::Stats(numbers(&stats)))
                    .ok_or(STOPPING));
            }
        };
        let mut held = Holding {
            gone: &self.gone,
            call: Some(caller.call),
        };
        if self.commands.send(command).await.is_err() {
            return Ok(Err(STOPPING));
        }
        let reply = replied.await;
        held.call = None;
        Ok(reply.map_err(|_| STOPPING))
    }
}

/// A caller that hangs up drops this, and the owner is told. By then the reply's receiver is gone: a
/// command that the owner has not come to yet shows it by that.
struct Holding<'a> {
    gone: &'a Gone,
    call: Option<CallId>,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.gone.call(call);
        }
    }
}

fn respond(shared: &Shared, result: Result<Envelope, Away>) -> Response {
    let encoded = result.and_then(|envelope| envelope.encode().map_err(|_| MALFORMED));
    match encoded {
        Ok(bytes) => {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            (kind, bytes).into_response()
        }
        Err(away) => shared.away(away),
    }
}

/// Whether the owner still answers.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match shared.stats().await {
        Some(_) => (StatusCode::OK, "ok\n").into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let Some(stats) = shared.stats().await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    };
    let text = shared.metrics.text(&stats, shared.sessions.len());
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, text).into_response()
}

//! HTTP: JSON for reading, server-sent events, metrics, health, and a description of itself.

mod calls;
mod events;
mod patient;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tonic::Code;

pub(crate) use self::calls::CALLS;
use self::patient::Patient;
use crate::daemon::Daemon;
use crate::fault::Fault;
use crate::grpc::{ACCEPT_PAUSE, LINGER};
use crate::json::Described;
use crate::metrics;
use crate::socket::{BindError, failed};
use crate::token::Token;

/// How long a client may take for the head of a request, silence before it included.
const HEAD: Duration = Duration::from_secs(10);

/// How long a client may take for the body.
const BODY: Duration = Duration::from_secs(30);

/// How long a client may take nothing of an answer. Longer than from one pulse of events to the next.
const STALL: Duration = Duration::from_secs(60);

/// The most bytes of a head.
const HEAD_LEN: usize = 16 * 1024;

/// A place where HTTP listens, before it serves.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    token: Option<Token>,
    addr: SocketAddr,
}

impl Listener {
    /// Listens there. Whoever may connect to a loopback address may read; changes need the token,
    /// and without one there are none. Anywhere else everything needs it, but for health.
    ///
    /// # Errors
    /// When the place cannot be had, or others than this machine could read without a token.
    pub async fn bind(at: SocketAddr, token: Option<Token>) -> Result<Self, BindError> {
        if !at.ip().is_loopback() && token.is_none() {
            return Err(BindError::NoTokenForHttp { at });
        }
        let listener = TcpListener::bind(at).await.map_err(failed(at))?;
        let addr = listener.local_addr().map_err(failed(at))?;
        Ok(Self {
            listener,
            token,
            addr,
        })
    }

    /// The address.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `end`.
    ///
    /// # Errors
    /// When the system takes the place away.
    pub async fn serve(
        self,
        daemon: Arc<Daemon>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let room = Arc::new(Semaphore::new(daemon.limits().connections));
        let face = Arc::new(Face {
            described: Described::new(),
            token: self.token,
            is_local: self.addr.ip().is_loopback(),
            daemon,
        });
        let (closing, closed) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                (io, permit) = accept(&self.listener, &room) => {
                    let (face, closed) = (Arc::clone(&face), closed.clone());
                    connections.spawn(async move {
                        converse(io, face, closed).await;
                        drop(permit);
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(closing);
        let ended = async { while connections.join_next().await.is_some() {} };
        // Whoever does not read to the end is not waited for.
        let _late = tokio::time::timeout(LINGER, ended).await;
        Ok(())
    }
}

/// The next connection; where there are as many as may be, once one of them has ended.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (tokio::net::TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            // Nobody closes it.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((io, _)) => {
                // Small answers go out at once; without that they only come later.
                let _slower = io.set_nodelay(true);
                return (io, permit);
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers one request after the other. Whoever is slower than any reader is has no answer.
async fn converse(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    face: Arc<Face>,
    mut closed: watch::Receiver<()>,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let face = Arc::clone(&face);
        async move { Ok::<_, Infallible>(answer(&face, request.map(Body::new)).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.max_buf_size(HEAD_LEN);
    let io = TokioIo::new(Patient::new(io, STALL));
    let mut serving = std::pin::pin!(builder.serve_connection(io, service));
    tokio::select! {
        // What a connection fails with is its client's.
        _gone = &mut serving => return,
        // Nothing is sent: it is over when the sender is gone.
        _over = closed.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _gone = serving.await;
}

/// What answers.
pub(crate) struct Face {
    daemon: Arc<Daemon>,
    described: Described,
    token: Option<Token>,
    /// Whether only this machine can connect.
    is_local: bool,
}

/// What a request asks for besides calls.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const JSON: &str = "application/json";

async fn answer(face: &Arc<Face>, request: Request) -> Response {
    match face.answer(request).await {
        Ok(response) => response,
        Err(fault) => face.refusal(&fault),
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Answers are of the moment, and no page may show them as its own.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// What gRPC's codes are to HTTP.
const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::METHOD_NOT_ALLOWED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

impl Face {
    fn refusal(&self, fault: &Fault) -> Response {
        let shown = self.described.show(&fault.problem()).unwrap_or(Value::Null);
        let body = json!({ "error": fault.to_string(), "reason": shown["reason"] });
        let mut refused = response(status_of(fault.code), JSON, body.to_string());
        if fault.code == Code::Unauthenticated {
            let bearer = HeaderValue::from_static("Bearer");
            refused
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        refused
    }

    async fn answer(self: &Arc<Self>, request: Request) -> Result<Response, Fault> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let headers = &parts.headers;
        self.check_host(headers)?;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        match &*path {
            "/healthz" if is_read => return Ok(response(StatusCode::OK, TEXT, "ok\n")),
            "/readyz" if is_read => return Ok(self.ready().await),
            _ => {}
        }
        self.check_token(headers, !is_read)?;
        let query = parts.uri.query().unwrap_or_default();
        match &*path {
            "/metrics" if is_read => {
                let figures = self.daemon.figures().await;
                let tasks = tokio::runtime::Handle::current().metrics();
                let tasks = tasks.num_alive_tasks();
                let text = metrics::text(&figures, &self.daemon.subscriptions(), tasks);
                return Ok(response(StatusCode::OK, TEXT, text));
            }
            "/openapi.json" if is_read => {
                let described = crate::openapi::described(&self.described.0);
                return Ok(response(StatusCode::OK, JSON, described.to_string()));
            }
            "/v1/events" if is_read => return self.events(query, headers),
            _ => {}
        }
        let here = || CALLS.iter().filter(|call| call.path == path);
        let Some(call) = here().find(|call| call.reads == is_read) else {
            return Err(match here().next() {
                Some(call) => {
                    let method = if call.reads { "GET" } else { "POST" };
                    Fault::of_kind(
                        Code::Unimplemented,
                        peerage::Kind::Usage,
                        format!("{path} takes {method}"),
                    )
                }
                None => Fault::missing(format!("there is no {path}: /openapi.json says what is")),
            });
        };
        if !is_read && parts.method != Method::POST {
            let words = format!("{path} takes POST");
            return Err(Fault::of_kind(
                Code::Unimplemented,
                peerage::Kind::Usage,
                words,
            ));
        }
        let asked = if is_read {
            of_query(query)
        } else {
            // In hexadecimal, a message is twice as long, and has names around it.
            let limit = 2 * self.daemon.limits().message + 64 * 1024;
            let body = tokio::time::timeout(BODY, axum::body::to_bytes(body, limit)).await;
            let body = body.map_err(|_| {
                Fault::of_kind(
                    Code::DeadlineExceeded,
                    peerage::Kind::Timeout,
                    format!("a call has to be there within {} s", BODY.as_secs()),
                )
            })?;
            let body =
                body.map_err(|_| Fault::invalid(format!("a call has at most {limit} bytes")))?;
            match body.is_empty() {
                true => json!({}),
                false => serde_json::from_slice(&body)
                    .map_err(|error| Fault::invalid(format!("the body is no JSON: {error}")))?,
            }
        };
        let told = (call.run)(self, asked).await?;
        Ok(response(StatusCode::OK, JSON, told.to_string()))
    }

    /// A page that has another name for this machine (DNS rebinding) must not read what it may.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Fault> {
        if !self.is_local {
            return Ok(());
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let Some(host) = host else { return Ok(()) };
        let is_addr =
            host.parse::<SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if is_addr
            || name
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok()
        {
            return Ok(());
        }
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(());
        }
        Err(Fault::of_kind(
            Code::PermissionDenied,
            peerage::Kind::Usage,
            "this is not the host's name: use its address, or localhost",
        ))
    }

    fn check_token(&self, headers: &HeaderMap, changes: bool) -> Result<(), Fault> {
        let Some(token) = &self.token else {
            if changes {
                return Err(Fault::of_kind(
                    Code::PermissionDenied,
                    peerage::Kind::Usage,
                    "nothing can be changed over HTTP without a token: set token_file",
                ));
            }
            return Ok(());
        };
        if self.is_local && !changes {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION);
        if token.allows(given.map(HeaderValue::as_bytes)) {
            return Ok(());
        }
        Err(Fault::of_kind(
            Code::Unauthenticated,
            peerage::Kind::Usage,
            "this needs the token of the daemon: send Authorization: Bearer TOKEN",
        ))
    }

    /// Ready is who can keep peers and remember them: every node answers and its book is written.
    async fn ready(&self) -> Response {
        let figures = self.daemon.figures().await;
        let mut trouble = Vec::new();
        if figures.len() < self.daemon.node_count() {
            trouble.push("a node has stopped".to_owned());
        }
        let troubles = figures.iter().map(|(status, _)| &status.store_trouble);
        trouble.extend(troubles.filter(|trouble| !trouble.is_empty()).cloned());
        if trouble.is_empty() {
            return response(StatusCode::OK, TEXT, "ready\n");
        }
        let words = format!("{}\n", trouble.join("\n"));
        response(StatusCode::SERVICE_UNAVAILABLE, TEXT, words)
    }
}

/// A query as the object it means: `network` and `chain` are those of the realm, a dot leads into an
/// object, and a name that comes several times is a list.
fn of_query(query: &str) -> Value {
    let mut whole = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = match &*name {
            "network" => "realm.network",
            "chain" => "realm.chain",
            other => other,
        };
        let path: Vec<&str> = name.split('.').take(8).collect();
        put(&mut whole, &path, json!(value));
    }
    Value::Object(whole)
}

fn put(at: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => match at.get_mut(*last) {
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = json!([one.take(), value]),
            None => drop(at.insert((*last).to_owned(), value)),
        },
        [step, rest @ ..] => {
            let inner = at.entry(*step).or_insert_with(|| json!({}));
            // What has a value of its own is no object; the value stands.
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;

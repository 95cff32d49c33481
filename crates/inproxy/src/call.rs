//! Calling a broker: its HTTP, and the session inside.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use peerage_core::wire::{ReadError, TooLong};
use peerage_core::{Blame, Detail, Failure, Kind, Retry, Stage};
use peerage_net::{Connector as _, Direct, ReachError};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::envelope::{CALL_PATH, Envelope, HELLO_PATH, SessionId};
use crate::invitation::BrokerAddress;
use crate::keys::{PartySecret, SignerSecret};
use crate::message::{Call, MAX_MESSAGE_LEN, Reply};
use crate::noise::{Calling, NoiseError, Session};
use crate::outside::Outside;
use crate::refusal::Refusal;

/// Lines to the broker that are kept open between calls.
const MAX_IDLE: usize = 8;

/// Why a call to a broker came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The broker's host is not reached.
    #[error("the broker is not reached")]
    Reach(#[from] ReachError),
    /// The connection to it broke.
    #[error("the connection to the broker broke: {why}")]
    Broken {
        /// How.
        why: Box<str>,
    },
    /// It did not answer in time.
    #[error("the broker did not answer in time")]
    TimedOut,
    /// It turned the request away before it looked into it.
    #[error("the broker turned the request away: HTTP {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// It is not the broker of this key, or somebody changes what it says.
    #[error("this is not the broker that the invitation names: {0}")]
    Noise(#[from] NoiseError),
    /// What it says cannot be read.
    #[error("the broker's reply cannot be read: {0}")]
    Malformed(#[from] ReadError),
    /// What was to be said is too long.
    #[error("the call is too long: {0}")]
    TooLong(#[from] TooLong),
    /// It says something that is no reply to this call.
    #[error("the broker's reply is of another kind than the call")]
    WrongReply,
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Failure for CallError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Reach(error) => error.kind(),
            Self::Broken { .. } => Kind::Transport,
            Self::TimedOut => Kind::Timeout,
            Self::Status { status } => match status {
                429 | 503 => Kind::PeerFull,
                403 => Kind::WrongIdentity,
                _ => Kind::NotThisProtocol,
            },
            Self::Noise(error) => error.kind(),
            Self::Malformed(_) => Kind::Malformed,
            Self::TooLong(_) => Kind::Usage,
            Self::WrongReply => Kind::Violation,
            Self::Refused(refusal) => refusal.kind(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Reach(error) => error.blame(),
            Self::Refused(refusal) => refusal.blame(),
            Self::Broken { .. }
            | Self::TimedOut
            | Self::Status { .. }
            | Self::Noise(_)
            | Self::Malformed(_)
            | Self::TooLong(_)
            | Self::WrongReply => self.kind().blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Refused(refusal) => refusal.retry,
            Self::Broken { .. } | Self::TimedOut => Retry::After(Duration::from_secs(1)),
            Self::Status { status: 429 | 503 } => Retry::After(Duration::from_secs(5)),
            Self::Reach(_)
            | Self::Status { .. }
            | Self::Noise(_)
            | Self::Malformed(_)
            | Self::TooLong(_)
            | Self::WrongReply => self.kind().retry(),
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Reach(error) => error.detail(),
            Self::Refused(refusal) => refusal.detail(),
            Self::Status { status } => Detail::none().with("status", u32::from(*status)),
            Self::Broken { .. }
            | Self::TimedOut
            | Self::Noise(_)
            | Self::Malformed(_)
            | Self::TooLong(_)
            | Self::WrongReply => Detail::none(),
        }
    }
}

fn broken(error: impl fmt::Display) -> CallError {
    CallError::Broken {
        why: error.to_string().into(),
    }
}

/// How long a connection to the broker may be silent before the system asks for a sign of life, and
/// how often it asks then. A router that forgot the connection learns it anew from that, or tells that
/// it is gone; until then a volunteer that waits cannot be told of its client.
const ALIVE_AFTER: Duration = Duration::from_secs(10);
const ALIVE_EVERY: Duration = Duration::from_secs(3);

fn keep_alive(stream: &TcpStream) {
    let rule = TcpKeepalive::new()
        .with_time(ALIVE_AFTER)
        .with_interval(ALIVE_EVERY);
    // A system without it notices later.
    let _ = SockRef::from(stream).set_tcp_keepalive(&rule);
}

/// One HTTP connection to the broker. Dropping it during a call hangs up, which ends the call there.
#[derive(Debug)]
struct Line(SendRequest<Full<Bytes>>);

struct Established {
    id: SessionId,
    session: Session,
}

/// A broker, as its callers see it: one session, and a few connections.
///
/// A call that is dropped hangs up its connection, and the broker forgets it.
pub struct BrokerClient {
    address: BrokerAddress,
    secret: PartySecret,
    outside: Outside,
    session: Mutex<Option<Arc<Established>>>,
    idle: std::sync::Mutex<Vec<Line>>,
}

impl fmt::Debug for BrokerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BrokerClient").field(&self.address).finish()
    }
}

/// How a call went that may be worth a second try with a new session.
enum Once {
    Reply(Reply),
    /// The broker does not know the session any more.
    Forgotten,
}

impl BrokerClient {
    /// Calls this broker as the holder of `secret`. A client draws a new one each time it wants to be
    /// somebody else.
    pub const fn new(address: BrokerAddress, secret: PartySecret, outside: Outside) -> Self {
        Self {
            address,
            secret,
            outside,
            session: Mutex::const_new(None),
            idle: std::sync::Mutex::new(Vec::new()),
        }
    }

    /// The key that a volunteer under this identity signs with.
    pub(crate) fn signer(&self) -> SignerSecret {
        crate::proof::signer(&self.secret)
    }

    /// Which broker.
    pub const fn address(&self) -> &BrokerAddress {
        &self.address
    }

    /// Makes a call, over a connection of its own choice.
    ///
    /// # Errors
    /// What went wrong; a broker's no is [`CallError::Refused`].
    ///
    /// # Cancellation
    /// Dropping the future ends the call at the broker too.
    pub async fn call(&self, call: &Call, deadline: Instant) -> Result<Reply, CallError> {
        let (line, reply) = self.call_on(None, call, deadline).await?;
        self.release(line);
        Ok(reply)
    }

    /// Makes a call over the connection that an earlier one used, if it lives still, and gives it back.
    /// A volunteer answers over the connection by which it announced: were that to end, it would be
    /// taken to have left.
    pub(crate) async fn call_on(
        &self,
        mut held: Option<HeldLine>,
        call: &Call,
        deadline: Instant,
    ) -> Result<(HeldLine, Reply), CallError> {
        let message = call.encode()?;
        let work = async {
            for _ in 0..2 {
                let established = self.established(deadline).await?;
                let mut line = self.line(held.take(), deadline).await?;
                match self.once(&mut line, &established, &message).await? {
                    Once::Reply(Reply::Refused(refusal)) => {
                        self.give_back(line);
                        return Err(CallError::Refused(refusal));
                    }
                    Once::Reply(reply) => return Ok((HeldLine(line), reply)),
                    Once::Forgotten => {
                        self.give_back(line);
                        self.forget(&established).await;
                    }
                }
            }
            Err(CallError::Status { status: 410 })
        };
        timeout_at(deadline, work)
            .await
            .map_err(|_| CallError::TimedOut)?
    }

    async fn forget(&self, established: &Arc<Established>) {
        let mut session = self.session.lock().await;
        if session
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(other, established))
        {
            *session = None;
        }
    }

    /// Gets a session, so that the next call is one round trip.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn prepare(&self, deadline: Instant) -> Result<(), CallError> {
        let work = self.established(deadline);
        timeout_at(deadline, work)
            .await
            .map_err(|_| CallError::TimedOut)??;
        Ok(())
    }

    async fn established(&self, deadline: Instant) -> Result<Arc<Established>, CallError> {
        let mut kept = self.session.lock().await;
        if let Some(session) = &*kept {
            return Ok(Arc::clone(session));
        }
        let mut line = self.line(None, deadline).await?;
        let (calling, hello) = Calling::begin(self.outside, &self.secret, &self.address.key)?;
        let hello = hello.try_into().map_err(|_| NoiseError::NotOurs)?;
        let reply = line.exchange(HELLO_PATH, &Envelope::Hello(hello)).await?;
        let Envelope::HelloReply(id, message) = reply else {
            return Err(CallError::WrongReply);
        };
        let first = Call::Stats.encode()?;
        let (session, third) = calling.finish(&message, &first)?;
        let first = Envelope::First(id, third.into());
        let Envelope::Reply(number, sealed) = line.exchange(CALL_PATH, &first).await? else {
            return Err(CallError::WrongReply);
        };
        // The reply proves that the broker has the session.
        session.open(number, &sealed)?;
        let established = Arc::new(Established { id, session });
        *kept = Some(Arc::clone(&established));
        drop(kept);
        self.give_back(line);
        Ok(established)
    }

    async fn once(
        &self,
        line: &mut Line,
        established: &Established,
        message: &[u8],
    ) -> Result<Once, CallError> {
        let number = established.session.number()?;
        let sealed = established.session.seal(number, message)?;
        let call = Envelope::Call(established.id, number, sealed.into());
        let reply = match line.exchange(CALL_PATH, &call).await {
            Err(CallError::Status { status: 410 }) => return Ok(Once::Forgotten),
            reply => reply?,
        };
        let Envelope::Reply(got, sealed) = reply else {
            return Err(CallError::WrongReply);
        };
        if got != number {
            return Err(CallError::WrongReply);
        }
        let message = established.session.open(number, &sealed)?;
        Ok(Once::Reply(Reply::decode(&message)?))
    }

    async fn line(&self, held: Option<HeldLine>, deadline: Instant) -> Result<Line, CallError> {
        let mut kept = held.map(|held| held.0);
        loop {
            let line = match kept.take() {
                Some(line) => line,
                None => match self.idle_lines().pop() {
                    Some(line) => line,
                    None => break,
                },
            };
            if !line.0.is_closed() {
                return Ok(line);
            }
        }
        let connection = Direct.connect(&self.address.target, deadline).await?;
        keep_alive(&connection.io);
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(16 << 10)
            .handshake(TokioIo::new(connection.io))
            .await
            .map_err(broken)?;
        tokio::spawn(async move {
            // How it ends shows in the calls over it.
            let _ = driver.await;
        });
        Ok(Line(sender))
    }

    fn idle_lines(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn give_back(&self, line: Line) {
        let mut idle = self.idle_lines();
        if idle.len() < MAX_IDLE && !line.0.is_closed() {
            idle.push(line);
        }
    }

    /// Gives a connection back that is not needed any more.
    pub(crate) fn release(&self, held: HeldLine) {
        self.give_back(held.0);
    }
}

/// A connection that is kept for the next call.
#[derive(Debug)]
pub(crate) struct HeldLine(Line);

impl Line {
    async fn exchange(&mut self, path: &str, envelope: &Envelope) -> Result<Envelope, CallError> {
        let body = envelope.encode()?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "broker")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(body))
            .map_err(broken)?;
        self.0.ready().await.map_err(broken)?;
        let response = self.0.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_MESSAGE_LEN);
        let body = body.collect().await.map_err(broken)?.to_bytes();
        if status != StatusCode::OK {
            return Err(CallError::Status {
                status: status.as_u16(),
            });
        }
        Ok(Envelope::decode(&body)?)
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        broken(error)
    }
}

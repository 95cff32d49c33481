//! Local listeners whose connections go through volunteers.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerage_core::{Failure as _, Kind};
use peerage_net::{Host, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{DialError, Dialer};
use crate::transport::{Path, Relayed, Throttle, Transport, relay};

/// Connections at the same time; the next one waits to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// How long a volunteer may be looked for.
const DIAL_TIME: Duration = Duration::from_secs(45);
/// How long a program may take to say where it wants to.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// Nothing moves for so long: the end.
const IDLE: Duration = Duration::from_secs(600);
/// When the system has no room for another connection.
const NO_ROOM_WAIT: Duration = Duration::from_millis(50);

/// Who may use a local proxy.
#[derive(Clone)]
pub struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Login {
    /// This user with this password, 1 to 255 bytes each.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }

    fn is(&self, user: &[u8], password: &[u8]) -> bool {
        // Digests are compared, so that how long it takes tells nothing of either.
        let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        let same = |one: &[u8], other: &[u8]| digest(one).as_ref() == digest(other).as_ref();
        same(&self.user, user) & same(&self.password, password)
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(secret)")
    }
}

/// What became of a local connection. One that finds no room is lost.
#[derive(Clone, Debug, PartialEq)]
pub enum LocalEvent {
    /// It goes through a volunteer.
    Connected {
        /// Where to.
        target: Target,
        /// The path to the volunteer.
        path: Path,
        /// How long that took.
        took: Duration,
    },
    /// It does not.
    Failed {
        /// Where to.
        target: Target,
        /// Why.
        error: DialError,
    },
    /// It is over.
    Ended {
        /// Where to.
        target: Target,
        /// How, and how much.
        relayed: Relayed,
    },
    /// The program asked for something that is not done here.
    NotUnderstood {
        /// What, in words.
        what: &'static str,
    },
}

/// Carries every connection of a listener to one destination, until `stop` is done.
///
/// # Cancellation
/// Dropping the future ends every connection.
pub async fn serve_tcp<T: Transport>(
    listener: TcpListener,
    dialer: Dialer<T>,
    target: Target,
    events: mpsc::Sender<LocalEvent>,
    stop: impl Future<Output = ()>,
) {
    accept(listener, stop, |stream| {
        let (dialer, target, events) = (dialer.clone(), target.clone(), events.clone());
        async move {
            let dialled = dial(&dialer, &target, &events).await;
            if let Ok(channel) = dialled {
                carry(channel, stream, target, &events).await;
            }
        }
    })
    .await;
}

/// A SOCKS5 proxy (RFC 1928) whose connections go through volunteers, until `stop` is done. Names are
/// resolved by the volunteer. CONNECT only: BIND and UDP are refused. With a login (RFC 1929) programs must
/// know it; without, whoever reaches the listener may use it.
///
/// # Cancellation
/// Dropping the future ends every connection.
pub async fn serve_socks<T: Transport>(
    listener: TcpListener,
    dialer: Dialer<T>,
    login: Option<Login>,
    events: mpsc::Sender<LocalEvent>,
    stop: impl Future<Output = ()>,
) {
    accept(listener, stop, |stream| {
        let (dialer, events, login) = (dialer.clone(), events.clone(), login.clone());
        async move { socks(stream, &dialer, login.as_ref(), &events).await }
    })
    .await;
}

async fn accept<F>(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    mut serve: impl FnMut(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            (permit, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    // Bytes are passed on as they come.
                    let _ = stream.set_nodelay(true);
                    let serving = serve(stream);
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                // Nobody is served any worse for one connection's trouble.
                Err(_) => tokio::time::sleep(NO_ROOM_WAIT).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut stop => return,
        }
    }
}

async fn dial<T: Transport>(
    dialer: &Dialer<T>,
    target: &Target,
    events: &mpsc::Sender<LocalEvent>,
) -> Result<crate::transport::Channel, DialError> {
    let begun = Instant::now();
    let dialled = dialer.dial(target, begun + DIAL_TIME).await;
    let target = target.clone();
    let event = match &dialled {
        Ok(channel) => LocalEvent::Connected {
            target,
            path: channel.path(),
            took: begun.elapsed(),
        },
        Err(error) => LocalEvent::Failed {
            target,
            error: error.clone(),
        },
    };
    tell(events, event);
    dialled
}

async fn carry(
    channel: crate::transport::Channel,
    stream: TcpStream,
    target: Target,
    events: &mpsc::Sender<LocalEvent>,
) {
    let relayed = relay(channel, stream, &Throttle::new(None, None), IDLE).await;
    tell(events, LocalEvent::Ended { target, relayed });
}

/// A listener that nobody watches serves all the same.
fn tell(events: &mpsc::Sender<LocalEvent>, event: LocalEvent) {
    let _ = events.try_send(event);
}

/// RFC 1928, section 6.
const SUCCEEDED: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const TTL_EXPIRED: u8 = 6;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_NOT_SUPPORTED: u8 = 8;

/// What a program is told of a failure; all others are general.
const CODES: [(Kind, u8); 6] = [
    (Kind::ConnectionRefused, CONNECTION_REFUSED),
    (Kind::Timeout, TTL_EXPIRED),
    (Kind::Unreachable, HOST_UNREACHABLE),
    (Kind::Unresolved, HOST_UNREACHABLE),
    (Kind::Usage, NOT_ALLOWED),
    (Kind::Refused, NOT_ALLOWED),
];

async fn socks<T: Transport>(
    mut stream: TcpStream,
    dialer: &Dialer<T>,
    login: Option<&Login>,
    events: &mpsc::Sender<LocalEvent>,
) {
    let asked = timeout(GREETING_TIME, greeting(&mut stream, login)).await;
    let target = match asked {
        Ok(Ok(Ok(target))) => target,
        Ok(Ok(Err((reply, what)))) => {
            tell(events, LocalEvent::NotUnderstood { what });
            if let Some(code) = reply {
                // The program is refused either way.
                let _ = answer(&mut stream, code).await;
            }
            return;
        }
        // It hung up, or dallied.
        Ok(Err(_)) | Err(_) => return,
    };
    match dial(dialer, &target, events).await {
        Ok(channel) => {
            if answer(&mut stream, SUCCEEDED).await.is_ok() {
                carry(channel, stream, target, events).await;
            }
        }
        Err(error) => {
            let kind = error.kind();
            let code = CODES.iter().find(|(other, _)| *other == kind);
            let code = code.map_or(GENERAL_FAILURE, |(_, code)| *code);
            let _ = answer(&mut stream, code).await;
        }
    }
}

type Refused = (Option<u8>, &'static str);

/// RFC 1928, section 3.
const WITHOUT: u8 = 0;
const WITH_LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// RFC 1929, section 2.
async fn logged_in(stream: &mut TcpStream, login: &Login) -> io::Result<bool> {
    let version = stream.read_u8().await?;
    let mut user = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut user).await?;
    let mut password = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut password).await?;
    let right = version == 1 && login.is(&user, &password);
    stream.write_all(&[1, u8::from(!right)]).await?;
    Ok(right)
}

async fn greeting(
    stream: &mut TcpStream,
    login: Option<&Login>,
) -> io::Result<Result<Target, Refused>> {
    if stream.read_u8().await? != 5 {
        return Ok(Err((None, "this is not SOCKS5")));
    }
    let mut methods = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut methods).await?;
    let method = if login.is_some() { WITH_LOGIN } else { WITHOUT };
    if !methods.contains(&method) {
        stream.write_all(&[5, NO_METHOD]).await?;
        let what = "it cannot log in as is wanted here";
        return Ok(Err((None, what)));
    }
    stream.write_all(&[5, method]).await?;
    if let Some(login) = login
        && !logged_in(stream, login).await?
    {
        return Ok(Err((None, "its user or password is wrong")));
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, command, _, kind] = head;
    if version != 5 {
        return Ok(Err((None, "this is not SOCKS5")));
    }
    let host = match kind {
        1 => Host::Ip(Ipv4Addr::from(stream.read_u32().await?).into()),
        4 => Host::Ip(Ipv6Addr::from(stream.read_u128().await?).into()),
        3 => {
            let mut name = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut name).await?;
            match String::from_utf8(name) {
                Ok(name) => Host::Name(name.into()),
                Err(_) => return Ok(Err((Some(ADDRESS_NOT_SUPPORTED), "the name is no text"))),
            }
        }
        _ => {
            return Ok(Err((
                Some(ADDRESS_NOT_SUPPORTED),
                "another kind of address",
            )));
        }
    };
    let port = stream.read_u16().await?;
    match command {
        1 => {}
        3 => {
            let what = "UDP is not relayed: volunteers carry TCP";
            return Ok(Err((Some(COMMAND_NOT_SUPPORTED), what)));
        }
        _ => {
            return Ok(Err((
                Some(COMMAND_NOT_SUPPORTED),
                "only CONNECT is done here",
            )));
        }
    }
    // Read as all targets are, so that an address written as a name is an address.
    let text = match &host {
        Host::Ip(ip) => SocketAddr::new(*ip, port).to_string(),
        Host::Name(name) => format!("{name}:{port}"),
    };
    Ok(text
        .parse()
        .map_err(|_| (Some(ADDRESS_NOT_SUPPORTED), "no sound host and port")))
}

async fn answer(stream: &mut TcpStream, code: u8) -> io::Result<()> {
    stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

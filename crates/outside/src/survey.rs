//! One survey over real sockets.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use peerage_core::{Detail, Endpoint, Failure, Kind, PeerText, Stage};
use peerage_nat::stun::MAX_LEN;
use peerage_nat::survey::{Action, SocketId};
use peerage_nat::{Family, Report, Settings, Survey};
use tokio::io::ReadBuf;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, sleep_until};

use crate::local;

/// The port of a STUN server where none is given (RFC 8489 section 8.1).
pub const STUN_PORT: u16 = 3478;

/// How long a resolver may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

/// Why a server's name has no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The resolver says no.
    #[error("no address for the STUN server {name}")]
    Failed {
        /// The name.
        name: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The resolver says nothing.
    #[error("the resolver does not answer for the STUN server {name}")]
    TooSlow {
        /// The name.
        name: String,
    },
}

impl Failure for ResolveError {
    fn stage(&self) -> Stage {
        Stage::Resolve
    }

    fn kind(&self) -> Kind {
        Kind::Unresolved
    }

    fn detail(&self) -> Detail {
        let (Self::Failed { name, .. } | Self::TooSlow { name }) = self;
        Detail::none().with("server", PeerText::from(&**name))
    }
}

/// The addresses of a STUN server: `host`, `host:port`, or an address with or without a port.
///
/// # Errors
/// When the name has none.
pub async fn resolve(name: &str) -> Result<Vec<Endpoint>, ResolveError> {
    if let Ok(at) = name.parse::<SocketAddr>() {
        return Ok(vec![at.into()]);
    }
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![Endpoint::new(ip, STUN_PORT)]);
    }
    let has_port = name
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let asked = if has_port {
        name.to_owned()
    } else {
        format!("{name}:{STUN_PORT}")
    };
    let name = name.to_owned();
    match tokio::time::timeout(RESOLVE_LIMIT, lookup_host(asked)).await {
        Ok(Ok(found)) => Ok(found.map(Endpoint::from).collect()),
        Ok(Err(error)) => Err(ResolveError::Failed { name, error }),
        Err(_) => Err(ResolveError::TooSlow { name }),
    }
}

/// Surveys a family by these servers. `bind` is the address of our own to ask from, where the
/// system's choice will not do. The seed must be 16 unpredictable bytes, used once.
///
/// # Cancellation
/// Dropping it closes the sockets.
///
/// # Panics
/// Outside of a Tokio runtime.
pub async fn survey(
    family: Family,
    servers: &[Endpoint],
    settings: Settings,
    bind: Option<IpAddr>,
    seed: [u8; 16],
) -> Report {
    let mut survey = Survey::new(now(), family, servers, settings, seed);
    let mut sockets = BTreeMap::new();
    let mut buffer = [0; MAX_LEN + 1];
    loop {
        while let Some(action) = survey.poll_action() {
            match action {
                Action::Open(id) => match open(family, servers, bind) {
                    Ok((socket, at)) => {
                        sockets.insert(id, socket);
                        survey.handle_opened(now(), id, at);
                    }
                    Err(_) => survey.handle_open_failed(now(), id),
                },
                Action::Transmit {
                    socket,
                    to,
                    datagram,
                } => {
                    if let Some(socket) = sockets.get(&socket) {
                        // What is not sent is lost, which the retransmission is for.
                        drop(socket.send_to(&datagram, to.socket_addr()).await);
                    }
                }
                Action::Close(id) => drop(sockets.remove(&id)),
                Action::Done(report) => return *report,
            }
        }
        let wake_at = survey
            .poll_timeout()
            .map(|wakeup| Instant::from_std(wakeup.at));
        let timer = async {
            match wake_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (id, from, len) = receive(&sockets, &mut buffer) => {
                let datagram = buffer.get(..len).unwrap_or_default();
                survey.handle_datagram(now(), id, from, datagram);
            }
            () = timer => survey.handle_timeout(now()),
        }
    }
}

/// The next datagram on any of the sockets. Errors of a socket are those of datagrams sent before.
async fn receive(
    sockets: &BTreeMap<SocketId, UdpSocket>,
    buffer: &mut [u8],
) -> (SocketId, Endpoint, usize) {
    poll_fn(|context| {
        for (id, socket) in sockets {
            loop {
                let mut into = ReadBuf::new(buffer);
                match socket.poll_recv_from(context, &mut into) {
                    Poll::Ready(Ok(from)) => {
                        return Poll::Ready((*id, from.into(), into.filled().len()));
                    }
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    })
    .await
}

/// A fresh socket, and where it is on this machine.
fn open(
    family: Family,
    servers: &[Endpoint],
    bind: Option<IpAddr>,
) -> io::Result<(UdpSocket, Endpoint)> {
    let mut of_family = servers.iter().filter(|at| Family::of(at.ip()) == family);
    let no_route = || io::Error::from(io::ErrorKind::NetworkUnreachable);
    let toward = of_family.next().ok_or_else(no_route)?;
    let bind = bind.filter(|ip| Family::of(*ip) == family);
    let ip = match bind {
        Some(ip) => ip,
        None => local::address_toward(*toward)?,
    };
    let any = local::unspecified(family);
    let socket = std::net::UdpSocket::bind((bind.unwrap_or(any), 0))?;
    socket.set_nonblocking(true)?;
    let at = Endpoint::new(ip, socket.local_addr()?.port());
    Ok((UdpSocket::from_std(socket)?, at))
}

/// Time as the machine counts it. Under a paused clock it stands still with Tokio's.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

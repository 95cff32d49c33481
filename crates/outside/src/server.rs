//! The STUN server on its sockets.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use peerage_core::{Detail, Endpoint, Failure, Kind, PeerText, Stage};
use peerage_nat::responder::{ResponderStats, SitesError};
use peerage_nat::stun::MAX_LEN;
use peerage_nat::{Leg, Responder, ResponderLimits, Sites};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The endpoints make no server.
    #[error("these endpoints make no STUN server")]
    Sites(#[from] SitesError),
    /// A socket cannot be had.
    #[error("cannot listen at UDP {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl Failure for ServeError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Sites(error) => error.detail(),
            Self::Bind { addr, .. } => {
                Detail::none().with("addr", PeerText::from(&*addr.to_string()))
            }
        }
    }
}

/// A STUN server: with two addresses a survey's, with one only a mirror.
///
/// ```
/// use peerage_nat::{Family, ResponderLimits, Settings};
/// use peerage_outside::{StunServer, survey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut server = StunServer::bind("127.0.0.1:0".parse()?, None, ResponderLimits::default())?;
/// let at = [server.first()];
/// let report = tokio::select! {
///     report = survey(Family::V4, &at, Settings::default(), None, [1; 16]) => report,
///     never = server.run() => match never {},
/// };
/// assert_eq!(report.is_translated(), Some(false));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StunServer {
    machine: Responder,
    sockets: Vec<(Leg, UdpSocket)>,
    /// Which socket is looked at first, so that none keeps the others waiting.
    turn: usize,
    send_failed: u64,
}

impl StunServer {
    /// Binds the sockets: one, or with another address and port four. Port 0 lets the system
    /// choose. The addresses are told to clients, so they must be the server's own, not `0.0.0.0`.
    ///
    /// # Errors
    /// When the endpoints do not fit, or a socket cannot be had.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn bind(
        first: SocketAddr,
        other: Option<SocketAddr>,
        limits: ResponderLimits,
    ) -> Result<Self, ServeError> {
        let (first_socket, first) = open(first)?;
        let Some(other) = other else {
            let machine = Responder::new(Sites::one(first)?, limits);
            return Ok(Self::new(machine, vec![(Leg::FIRST, first_socket)]));
        };
        let (other_socket, other) = open(other)?;
        let sites = Sites::two(first, other)?;
        let mut sockets = Vec::new();
        for leg in [Leg::ALL[1], Leg::ALL[2]] {
            sockets.push((leg, open(sites.site(leg).socket_addr())?.0));
        }
        sockets.push((Leg::FIRST, first_socket));
        sockets.push((Leg::ALL[3], other_socket));
        Ok(Self::new(Responder::new(sites, limits), sockets))
    }

    const fn new(machine: Responder, sockets: Vec<(Leg, UdpSocket)>) -> Self {
        Self {
            machine,
            sockets,
            turn: 0,
            send_failed: 0,
        }
    }

    /// The endpoint that clients are told.
    pub fn first(&self) -> Endpoint {
        self.machine.site(Leg::FIRST)
    }

    /// Where it is.
    pub const fn sites(&self) -> &Sites {
        self.machine.sites()
    }

    /// What it has done.
    pub const fn stats(&self) -> ResponderStats {
        self.machine.stats()
    }

    /// Answers that the system refused to send.
    pub const fn send_failed(&self) -> u64 {
        self.send_failed
    }

    /// Answers for ever.
    ///
    /// # Cancellation
    /// Nothing is lost but the answer to a request at hand; it may be called again.
    pub async fn run(&mut self) -> Infallible {
        let mut buffer = [0; MAX_LEN + 1];
        loop {
            let (index, from, len) = self.receive(&mut buffer).await;
            let Some((leg, _)) = self.sockets.get(index) else {
                continue;
            };
            let (now, leg) = (Instant::now().into_std(), *leg);
            let datagram = buffer.get(..len).unwrap_or_default();
            let reply = self.machine.handle_datagram(now, leg, from, datagram);
            let Some(reply) = reply else { continue };
            let socket = self.sockets.iter().find(|(leg, _)| *leg == reply.leg);
            if let Some((_, socket)) = socket {
                // Not waited for: one whose way is full loses an answer and asks again.
                let sent = socket.try_send_to(&reply.datagram, reply.to.socket_addr());
                self.send_failed += u64::from(sent.is_err());
            }
        }
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> (usize, Endpoint, usize) {
        let count = self.sockets.len();
        let turn = self.turn;
        let sockets = &self.sockets;
        let (index, from, len) = poll_fn(|context| {
            for offset in 0..count {
                let index = (turn + offset) % count;
                let Some((_, socket)) = sockets.get(index) else {
                    continue;
                };
                loop {
                    let mut into = ReadBuf::new(buffer);
                    match socket.poll_recv_from(context, &mut into) {
                        Poll::Ready(Ok(from)) => {
                            return Poll::Ready((index, from.into(), into.filled().len()));
                        }
                        // What an answer of ours has drawn elsewhere.
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => break,
                    }
                }
            }
            Poll::Pending
        })
        .await;
        self.turn = (index + 1) % count.max(1);
        (index, from, len)
    }
}

/// A socket, and where it is with the port that the system chose.
fn open(addr: SocketAddr) -> Result<(UdpSocket, Endpoint), ServeError> {
    let bind = || {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let at = Endpoint::from(socket.local_addr()?);
        Ok((UdpSocket::from_std(socket)?, at))
    };
    bind().map_err(|error| ServeError::Bind { addr, error })
}

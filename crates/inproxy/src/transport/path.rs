//! Running the checks over a socket, and finding the addresses to describe.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peerage_core::Endpoint;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::check::{Checks, Heard};
use super::{Role, TransportError, stun};
use crate::description::{Candidate, CandidateKind, Description};
use crate::network::MappedPorts;
use crate::outside::Outside;

/// How long STUN servers are waited for, all together.
const STUN_WAIT: Duration = Duration::from_millis(800);

/// Where to gather candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gather {
    pub(super) advertised: Vec<Endpoint>,
    pub(super) stun: Vec<Endpoint>,
}

/// A socket at a mapped port that nobody else uses now, if there is one, and where others reach it;
/// else at any port.
pub(super) async fn bind(
    ip: IpAddr,
    ports: Option<&MappedPorts>,
) -> io::Result<(UdpSocket, Option<Endpoint>)> {
    let ports = ports.map(|ports| ports.borrow().clone());
    for port in ports.unwrap_or_default() {
        // A port in use carries another connection.
        if let Ok(socket) = UdpSocket::bind(SocketAddr::new(ip, port.local)).await {
            return Ok((socket, Some(port.outside)));
        }
    }
    let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).await?;
    Ok((socket, None))
}

/// The addresses at which this socket may be reached.
pub(super) async fn gather(
    socket: &UdpSocket,
    gather: &Gather,
    outside: Outside,
) -> io::Result<Vec<Candidate>> {
    let local = Endpoint::from(socket.local_addr()?);
    let mut found = Vec::new();
    let mut add = |kind, addr: Endpoint| {
        let candidate = Candidate { kind, addr };
        let known = found.iter().any(|other: &Candidate| other.addr == addr);
        if addr.is_dialable() && !known && found.len() < Description::MAX_CANDIDATES {
            found.push(candidate);
        }
    };
    for addr in &gather.advertised {
        let port = if addr.port() == 0 {
            local.port()
        } else {
            addr.port()
        };
        add(CandidateKind::Host, Endpoint::new(addr.ip(), port));
    }
    for addr in bases(socket.local_addr()?) {
        add(CandidateKind::Host, addr.into());
    }
    if !gather.stun.is_empty() {
        let deadline = Instant::now() + STUN_WAIT;
        for addr in stun::reflexive(socket, &gather.stun, outside, deadline).await {
            add(CandidateKind::Reflexive, addr);
        }
    }
    Ok(found)
}

/// The addresses of our own that a socket bound there is reached at.
pub(super) fn bases(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let towards = [
        Some("192.0.2.1:9"),
        bound.is_ipv6().then_some("[2001:db8::1]:9"),
    ];
    let own = towards.into_iter().flatten().filter_map(own_address);
    own.map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// What a socket may hold of what came and of what is to go, if the system allows, in bytes.
#[cfg(feature = "webrtc")]
const SOCKET_BUFFER: usize = 4 << 20;

/// Asks for larger buffers. Gives what may be held of what came.
#[cfg(feature = "webrtc")]
pub(super) fn enlarge(socket: &UdpSocket) -> usize {
    let socket = socket2::SockRef::from(socket);
    // The system gives what it allows, which is asked for below.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.recv_buffer_size().unwrap_or(0)
}

/// Our address on the way to there. Nothing is sent: a datagram socket only looks up its route.
fn own_address(towards: &str) -> Option<IpAddr> {
    let any = if towards.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(towards).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The address in the form that a socket of this family takes.
pub(super) fn for_family(addr: Endpoint, v6: bool) -> Option<SocketAddr> {
    match (addr.ip(), v6) {
        (IpAddr::V4(ip), true) => {
            let mapped: Ipv6Addr = ip.to_ipv6_mapped();
            Some(SocketAddr::new(mapped.into(), addr.port()))
        }
        (IpAddr::V4(_), false) | (IpAddr::V6(_), true) => Some(addr.socket_addr()),
        (IpAddr::V6(_), false) => None,
    }
}

/// How long a volunteer waits for the first packet of its client: one that was called off between the
/// answer and its first check says nothing.
pub(super) const FIRST_HEARD: Duration = Duration::from_secs(4);

/// Checks under way. Given up before a path is chosen, the other end is told.
struct Opening<'a> {
    socket: &'a UdpSocket,
    checks: &'a mut Checks,
    v6: bool,
    chosen: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if self.chosen {
            return;
        }
        for (to, bytes) in self.checks.call_off() {
            if let Some(to) = for_family(to, self.v6) {
                // As far as that goes without waiting.
                let _ = self.socket.try_send_to(&bytes, to);
            }
        }
    }
}

/// Runs the checks until a path is chosen; gives the other end's address there.
pub(super) async fn open(
    socket: &UdpSocket,
    role: Role,
    checks: &mut Checks,
    deadline: Instant,
) -> Result<Endpoint, TransportError> {
    let v6 = socket.local_addr().map_err(broken)?.is_ipv6();
    let hear_by = match role {
        Role::Client => deadline,
        Role::Volunteer => deadline.min(Instant::now() + FIRST_HEARD),
    };
    let mut opening = Opening {
        socket,
        checks,
        v6,
        chosen: false,
    };
    // One byte more than any check, so that longer ones are seen to be longer.
    let mut buffer = [0; super::check::CHECK_LEN + 1];
    loop {
        let checks = &mut *opening.checks;
        while let Some((to, bytes)) = checks.poll_transmit(Instant::now().into_std()) {
            if let Some(to) = for_family(to, v6) {
                // An address that cannot be sent to is one that does not answer.
                let _ = socket.send_to(&bytes, to).await;
            }
        }
        let now = Instant::now();
        let end = if checks.heard == 0 { hear_by } else { deadline };
        if now >= end {
            return Err(TransportError::NoPath {
                tried: checks.tried(),
                heard: checks.heard,
            });
        }
        let next = checks.poll_timeout().map_or(end, Instant::from_std);
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = sleep_until(next.min(end)) => continue,
        };
        // A port that is shut somewhere shows as an error here on some systems.
        let Ok((len, from)) = received else { continue };
        let from = Endpoint::from(from);
        let heard = checks.handle(Instant::now().into_std(), from, &buffer[..len]);
        let (reply, chosen) = match heard {
            Heard::Nothing => continue,
            Heard::CalledOff => return Err(TransportError::CalledOff),
            Heard::Answer(reply) => (reply, false),
            Heard::Path(reply) => (reply, true),
        };
        if let Some(to) = for_family(from, v6) {
            // The client's choice is said once only, and nothing but it tells the volunteer to go on: so
            // it is said three times. Anything else that is lost, the other end asks for again.
            let times = if chosen && role == Role::Client { 3 } else { 1 };
            for _ in 0..times {
                let _ = timeout_at(deadline, socket.send_to(&reply, to)).await;
            }
        }
        if chosen {
            opening.chosen = true;
            return Ok(from);
        }
    }
}

fn broken(error: io::Error) -> TransportError {
    TransportError::Socket { kind: error.kind() }
}

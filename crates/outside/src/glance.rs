//! One question: where are we seen?

use std::net::IpAddr;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_nat::Family;
use peerage_nat::stun::{Class, Message, TransactionId};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::local;

/// How long each of the tries waits. A lost datagram is no reason to survey everything.
const TRIES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(1500),
];

/// Where the server sees a fresh socket of ours; `None` without an answer in 3 s. The id must be
/// unpredictable.
///
/// # Cancellation
/// Dropping it closes the socket.
pub(crate) async fn glance(server: Endpoint, bind: Option<IpAddr>, id: [u8; 16]) -> Option<IpAddr> {
    let family = Family::of(server.ip());
    let bind = bind.filter(|ip| Family::of(*ip) == family);
    let ip = bind.unwrap_or(local::unspecified(family));
    let socket = UdpSocket::bind((ip, 0)).await.ok()?;
    // Nobody else is heard.
    socket.connect(server.socket_addr()).await.ok()?;
    let id = TransactionId(*id.first_chunk()?);
    let request = Message::binding(Class::Request, id).encode().ok()?;
    let mut buffer = [0; 1024];
    for patience in TRIES {
        // What is not sent is lost, and sent again.
        drop(socket.send(&request).await);
        let until = Instant::now() + patience;
        while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            let Ok(len) = received else {
                // A port where nobody is; the next try may find somebody.
                tokio::time::sleep_until(until).await;
                break;
            };
            let answer = buffer
                .get(..len)
                .and_then(|bytes| Message::decode(bytes).ok());
            let answer = answer.filter(|answer| answer.transaction == id);
            if let Some(at) = answer.and_then(|answer| answer.mapped()) {
                return Some(at.ip());
            }
        }
    }
    None
}

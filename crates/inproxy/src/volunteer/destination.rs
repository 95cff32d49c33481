//! Reaching a destination that our own list allows.

use std::io;
use std::net::SocketAddr;

use peerage_net::{Host, Target};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::opening::Verdict;
use crate::policy::AllowList;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Connects to a destination. Every address is checked after it was resolved, so a name does not lead
/// past the list.
pub(super) async fn connect(
    target: &Target,
    allow: &AllowList,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), (Verdict, String)> {
    let addresses = timeout_at(deadline, resolve(target)).await;
    let addresses = addresses.map_err(|_| timed_out())??;
    let mut last = (Verdict::Unresolved, "the name has no address".to_owned());
    for addr in addresses {
        if let Err(forbidden) = allow.check(addr) {
            last = (Verdict::Forbidden, forbidden.to_string());
            continue;
        }
        match timeout_at(deadline, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => {
                // Bytes are passed on as they come.
                let _ = stream.set_nodelay(true);
                return Ok((stream, addr));
            }
            Ok(Err(error)) => last = failed(&error),
            Err(_) => return Err(timed_out()),
        }
    }
    Err(last)
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, (Verdict, String)> {
    match &target.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, target.port)]),
        Host::Name(name) => {
            let found = tokio::net::lookup_host((&**name, target.port)).await;
            let found = found.map_err(|_| {
                let text = "the name cannot be resolved".to_owned();
                (Verdict::Unresolved, text)
            })?;
            Ok(found.take(MAX_ADDRESSES).collect())
        }
    }
}

fn timed_out() -> (Verdict, String) {
    (
        Verdict::TimedOut,
        "the destination did not answer in time".into(),
    )
}

fn failed(error: &io::Error) -> (Verdict, String) {
    let verdict = if error.kind() == io::ErrorKind::ConnectionRefused {
        Verdict::ConnectionRefused
    } else if error.kind() == io::ErrorKind::TimedOut {
        Verdict::TimedOut
    } else {
        Verdict::Unreachable
    };
    (verdict, format!("the destination: {}", error.kind()))
}

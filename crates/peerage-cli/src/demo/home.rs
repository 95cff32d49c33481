//! Ports on loopback, and the tasks behind them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerage::Endpoint;
use peerage::net::{Connection, Listener};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::output::{Failed, environment};

/// The most connections one port holds at once.
const MAX_GUESTS: usize = 16;

/// How long is waited when the system refuses to accept, in milliseconds.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What holds a citizen's port. Dropping it takes the citizen from the world.
#[derive(Debug)]
pub(super) enum Home {
    /// A task that accepts, and the way to it, which is cut while this says so.
    Served {
        task: JoinHandle<()>,
        cut: watch::Sender<bool>,
    },
    /// A port that is taken, so that nobody else gets it, but where nobody listens.
    Vacant { _port: TcpSocket },
    /// A port that somebody else holds.
    Elsewhere,
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Self::Served { task, .. } = self {
            task.abort();
        }
    }
}

impl Home {
    /// Cuts the way to it: every connection breaks, and new ones at once. Or mends it.
    pub(super) fn cut_off(&self, is_cut: bool) {
        if let Self::Served { cut, .. } = self {
            cut.send_replace(is_cut);
        }
    }
}

/// Accepts guests and treats each of them as `treat` does, which must end by itself.
pub(super) fn serve<F>(
    listener: Listener,
    treat: impl Fn(Connection<TcpStream>) -> F + Send + 'static,
) -> Home
where
    F: Future<Output = ()> + Send + 'static,
{
    let (cut, is_cut) = watch::channel(false);
    let task = tokio::spawn(async move {
        let mut guests = JoinSet::new();
        loop {
            tokio::select! {
                guest = listener.accept(), if guests.len() < MAX_GUESTS => match guest {
                    Ok(guest) => {
                        let (treated, mut is_cut) = (treat(guest), is_cut.clone());
                        guests.spawn(async move {
                            tokio::select! {
                                biased;
                                // A home that is gone is cut off, too.
                                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                                () = treated => {}
                            }
                        });
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = guests.join_next() => {}
            }
        }
    });
    Home::Served { task, cut }
}

/// Any port, on loopback only.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A port of this machine's own that accepts.
pub(super) fn listen() -> Result<(Listener, Endpoint), Failed> {
    let listener = Listener::bind(ANY_PORT).map_err(no_port)?;
    let endpoint = listener.local_endpoint().map_err(no_port)?;
    Ok((listener, endpoint))
}

fn no_port(error: io::Error) -> Failed {
    environment(error, "cannot take a port on loopback")
}

/// A port of this machine's own where nobody listens.
pub(super) fn vacant() -> Result<(Home, Endpoint), Failed> {
    let port = TcpSocket::new_v4().map_err(no_port)?;
    port.bind(ANY_PORT).map_err(no_port)?;
    let endpoint = port.local_addr().map(Endpoint::from).map_err(no_port)?;
    Ok((Home::Vacant { _port: port }, endpoint))
}

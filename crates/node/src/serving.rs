//! Connections that others open.

use std::io;
use std::task::{Context, Poll, Waker};

use peerage_core::{ConnectedAddr, Failure};
use peerage_net::{Connection, Listener};
use peerage_peers::{Fate, Standing};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::network::Network;
use crate::owner::Owner;
use crate::session::{Begin, Time};

/// How one connection fails, which says nothing of the next.
const ITS_OWN: [io::ErrorKind; 3] = [
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::Interrupted,
];

/// The most connections that are looked at in one go. A crowd at the door must not fill what the
/// system holds for us, or whoever comes next waits a second and more; and the crowd must not keep
/// those who are in waiting.
const AT_ONCE: usize = 16;

/// The next connection at any of them.
pub(crate) fn poll_accept(
    listeners: &[Listener],
    cx: &mut Context<'_>,
) -> Poll<io::Result<Connection<TcpStream>>> {
    let mut ready = listeners.iter().map(|listener| listener.poll_accept(cx));
    ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
}

impl<N: Network> Owner<N> {
    /// Somebody connected, or the system could not accept; perhaps there are more.
    pub(crate) fn accepted_and_more(&mut self, accepted: io::Result<Connection<TcpStream>>) {
        self.accepted(accepted);
        for _ in 1..AT_ONCE {
            if self.accept_again.is_some_and(|at| at > Instant::now()) {
                return;
            }
            // Before the owner waits it asks again, to be woken.
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(accepted) = poll_accept(&self.listeners, &mut cx) else {
                return;
            };
            self.accepted(accepted);
        }
    }

    fn accepted(&mut self, accepted: io::Result<Connection<TcpStream>>) {
        let connection = match accepted {
            Ok(connection) => connection,
            // The peer's doing, and over.
            Err(error) if ITS_OWN.contains(&error.kind()) => {
                self.counters.accept_failed += 1;
                return;
            }
            Err(_) => {
                // Out of descriptors, most likely: others must go before anyone can come.
                self.counters.accept_failed += 1;
                self.accept_again = Some(Instant::now() + crate::owner::ACCEPT_PAUSE);
                return;
            }
        };
        // Whatever is dropped below is closed without a word.
        let ConnectedAddr::InboundDirect { addr } = connection.addr else {
            return;
        };
        let (now, ip) = (self.now(), addr.ip());
        if self.book.admits(None, Some(ip)).is_err() {
            self.counters.banned += 1;
            return;
        }
        let Ok(permit) = self.admission.try_admit(now, ip) else {
            self.counters.not_admitted += 1;
            return;
        };
        while let Some(number) = self.admission.poll_displaced() {
            self.displace(number);
        }
        let tie = self.tie_of_hosts(&connection);
        let admitted = self
            .table
            .admit_crossing(now, connection.addr, Standing::Ordinary, tie);
        let Ok(admitted) = admitted else {
            self.counters.not_admitted += 1;
            let _released = self.admission.release(permit);
            return;
        };
        self.counters.accepted += 1;
        let (begin, time) = match admitted.fate {
            Fate::Greet => (Begin::Accepted(connection), Time::of(&self.deadlines)),
            Fate::Refuse { until } => (Begin::Refuse(connection), Time::until(until.into())),
        };
        self.permits.insert(permit.number(), admitted.id);
        self.begin(admitted.id, None, begin, time);
        if let Some(session) = self.sessions.get_mut(&admitted.id) {
            session.permit = Some(permit);
            session.stands_for = self.hosts.dialled(now, addr, self.deadlines.attempt);
        }
    }

    /// A socket makes room for one of a less crowded address group.
    pub(crate) fn displace(&mut self, number: u64) {
        let Some(id) = self.permits.remove(&number) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.permit = None;
        }
        let now = self.now();
        let why = peerage_peers::NotAdmitted::Displaced.reason();
        // It may have ended a moment ago.
        let _dead = self
            .table
            .disconnect(now, id, peerage_peers::Parting::Full, Some(why));
    }
}

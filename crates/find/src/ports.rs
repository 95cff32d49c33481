//! The sockets in use: what has come is handed out, and what finds no room waits.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;

use peerage_core::Endpoint;
use peerage_discv5::record::Family;
use tokio::net::UdpSocket;

use crate::socket::Sockets;

/// How many datagrams are taken from a socket before anything else has its turn: a few hundred
/// microseconds of work.
const BATCH: usize = 32;

/// The receive buffer, in bytes: a packet has at most 1280, and other protocols on the port hardly
/// more than an Ethernet frame. What fills it is cut off, and counted.
const BUFFER_LEN: usize = 2048;

/// How many datagrams wait for room in a socket's own buffer, at the most 1280 bytes each. The
/// protocol allows for loss.
const MAX_UNSENT: usize = 256;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Readable(Family),
    Writable(Family),
}

/// What went wrong on the sockets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) send_failed: u64,
    pub(crate) send_dropped: u64,
    pub(crate) receive_failed: u64,
    pub(crate) cut: u64,
}

#[derive(Debug)]
pub(crate) struct Ports {
    sockets: Sockets,
    /// By family.
    unsent: [VecDeque<(Endpoint, Vec<u8>)>; 2],
    pub(crate) troubles: Troubles,
    failed_in_a_row: usize,
}

impl Ports {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            unsent: [VecDeque::new(), VecDeque::new()],
            troubles: Troubles::default(),
            failed_in_a_row: 0,
        }
    }

    /// Whether receiving goes wrong again and again.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failed_in_a_row >= BATCH
    }

    /// Waits until a socket has something, or has room for what waits.
    pub(crate) async fn ready(&self) -> Ready {
        let (v4, v6) = (self.sockets.v4.as_ref(), self.sockets.v6.as_ref());
        let [unsent4, unsent6] = &self.unsent;
        tokio::select! {
            () = readable(v4) => Ready::Readable(Family::V4),
            () = readable(v6) => Ready::Readable(Family::V6),
            () = writable(v4), if !unsent4.is_empty() => Ready::Writable(Family::V4),
            () = writable(v6), if !unsent6.is_empty() => Ready::Writable(Family::V6),
        }
    }

    /// Hands out what has come on a socket; true if more may be there.
    pub(crate) fn receive(
        &mut self,
        family: Family,
        mut take: impl FnMut(SocketAddr, &mut [u8]),
    ) -> bool {
        let Some(socket) = self.sockets.of(family) else {
            return false;
        };
        // On the stack, so that an idle node keeps no buffer.
        let mut buffer = [0; BUFFER_LEN];
        for _ in 0..BATCH {
            match socket.try_recv_from(&mut buffer) {
                Ok((BUFFER_LEN, _)) => self.troubles.cut += 1,
                Ok((len, from)) => {
                    self.failed_in_a_row = 0;
                    take(from, &mut buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // What a datagram of ours has drawn elsewhere, as a rule; none of it is lasting.
                Err(_) => {
                    self.troubles.receive_failed += 1;
                    self.failed_in_a_row += 1;
                }
            }
        }
        true
    }

    /// Sends a datagram, or lets it wait behind others for room.
    pub(crate) fn transmit(&mut self, to: Endpoint, datagram: Vec<u8>) {
        let family = Family::of(to.ip());
        let Some(socket) = self.sockets.of(family) else {
            self.troubles.send_failed += 1;
            return;
        };
        let unsent = &mut self.unsent[family as usize];
        if unsent.is_empty() {
            match socket.try_send_to(&datagram, to.socket_addr()) {
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.troubles.send_failed += 1;
                    return;
                }
            }
        }
        if unsent.len() < MAX_UNSENT {
            unsent.push_back((to, datagram));
        } else {
            self.troubles.send_dropped += 1;
        }
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn send_unsent(&mut self, family: Family) {
        let Some(socket) = self.sockets.of(family) else {
            return;
        };
        let unsent = &mut self.unsent[family as usize];
        while let Some((to, datagram)) = unsent.front() {
            match socket.try_send_to(datagram, to.socket_addr()) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.troubles.send_failed += 1,
            }
            unsent.pop_front();
        }
        // What a burst has needed is given back.
        *unsent = VecDeque::new();
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        // An error shows again when the socket is read.
        Some(socket) => drop(socket.readable().await),
        None => pending().await,
    }
}

async fn writable(socket: Option<&UdpSocket>) {
    match socket {
        Some(socket) => drop(socket.writable().await),
        None => pending().await,
    }
}

//! The sockets in use: what has come is handed out, and what finds no room waits.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;

use peerage_core::Endpoint;
use peerage_discv5::record::Family;
use tokio::net::UdpSocket;

use crate::batch::{self, BATCH, BUFFER_LEN, Outgoing};
use crate::socket::Sockets;

/// How many datagrams wait for room in a socket's own buffer, at the most 1280 bytes each. The
/// protocol allows for loss.
const MAX_UNSENT: usize = 256;

/// For how many unsent datagrams the room is kept: 56 bytes each.
const FEW: usize = 8;

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
    unsent: [VecDeque<Outgoing>; 2],
    /// By family: the socket has no room, so that what is unsent has to wait.
    is_full: [bool; 2],
    /// Whether the system takes one datagram a call only.
    one_a_call: bool,
    pub(crate) troubles: Troubles,
    failed_in_a_row: usize,
}

impl Ports {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            unsent: [VecDeque::new(), VecDeque::new()],
            is_full: [false; 2],
            one_a_call: false,
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
        let [is_full4, is_full6] = self.is_full;
        tokio::select! {
            () = readable(v4) => Ready::Readable(Family::V4),
            () = readable(v6) => Ready::Readable(Family::V6),
            () = writable(v4), if is_full4 => Ready::Writable(Family::V4),
            () = writable(v6), if is_full6 => Ready::Writable(Family::V6),
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
        let cut = &mut self.troubles.cut;
        let mut hand_out = |from, datagram: &mut [u8]| {
            if datagram.len() < BUFFER_LEN {
                take(from, datagram);
            } else {
                *cut += 1;
            }
        };
        let received = if self.one_a_call {
            receive_one_a_call(socket, &mut hand_out)
        } else {
            batch::receive(socket, family, &mut hand_out)
        };
        match received {
            Ok(count) => {
                self.failed_in_a_row = 0;
                count >= BATCH
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if !self.one_a_call && batch::is_unsupported(&error) => {
                self.one_a_call = true;
                true
            }
            // What a datagram of ours has drawn elsewhere, as a rule; none of it is lasting.
            Err(_) => {
                self.troubles.receive_failed += 1;
                self.failed_in_a_row += 1;
                true
            }
        }
    }

    /// Takes a datagram to be sent with others at the next [`Self::flush`], or before.
    pub(crate) fn transmit(&mut self, to: Endpoint, datagram: Vec<u8>) {
        let family = Family::of(to.ip());
        if self.sockets.of(family).is_none() {
            self.troubles.send_failed += 1;
            return;
        }
        let unsent = &mut self.unsent[family as usize];
        if unsent.len() >= MAX_UNSENT {
            self.troubles.send_dropped += 1;
            return;
        }
        unsent.push_back((to, datagram));
        if unsent.len() >= BATCH && !self.is_full[family as usize] {
            self.send_unsent(family);
        }
    }

    /// Sends what was taken, unless it has to wait for room.
    pub(crate) fn flush(&mut self) {
        for family in Family::BOTH {
            if !self.is_full[family as usize] {
                self.send_unsent(family);
            }
        }
    }

    /// Sends what is unsent, as far as there is room. A datagram that cannot be sent costs no other
    /// its turn.
    pub(crate) fn send_unsent(&mut self, family: Family) {
        let Some(socket) = self.sockets.of(family) else {
            return;
        };
        let unsent = &mut self.unsent[family as usize];
        while let Some((to, datagram)) = unsent.front() {
            let sent = if unsent.len() == 1 || self.one_a_call {
                let sent = socket.try_send_to(datagram, to.socket_addr());
                sent.map(|_| 1)
            } else {
                batch::send(socket, family, unsent.iter())
            };
            match sent {
                Ok(count) => drop(unsent.drain(..count.clamp(1, unsent.len()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_full[family as usize] = true;
                    return;
                }
                Err(error) if !self.one_a_call && batch::is_unsupported(&error) => {
                    self.one_a_call = true;
                }
                Err(_) => {
                    self.troubles.send_failed += 1;
                    unsent.pop_front();
                }
            }
        }
        self.is_full[family as usize] = false;
        // What a burst has needed is given back.
        if unsent.capacity() > FEW {
            *unsent = VecDeque::new();
        }
    }
}

/// As [`batch::receive`], with a call for each datagram.
fn receive_one_a_call(
    socket: &UdpSocket,
    mut take: impl FnMut(SocketAddr, &mut [u8]),
) -> io::Result<usize> {
    // On the stack, so that an idle node keeps no buffer.
    let mut buffer = [0; BUFFER_LEN];
    for count in 0..BATCH {
        match socket.try_recv_from(&mut buffer) {
            Ok((len, from)) => take(from, &mut buffer[..len]),
            // What comes after an error is there the next time.
            Err(_) if count > 0 => return Ok(count),
            Err(error) => return Err(error),
        }
    }
    Ok(BATCH)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bind;

    const ANYWHERE: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    fn ports(at: &str) -> (Ports, Endpoint) {
        let sockets = Sockets::bind(&Bind::at(at.parse().unwrap())).unwrap();
        let at = sockets.endpoints().next().unwrap();
        (Ports::new(sockets), at)
    }

    /// Sends everything; a socket is known to have room only after the runtime has looked.
    async fn send_all(ports: &mut Ports) {
        ports.flush();
        while ports.is_full.contains(&true) {
            if let Ready::Writable(family) = ports.ready().await {
                ports.send_unsent(family);
            }
        }
    }

    /// What comes until so many datagrams are there, each by its first two bytes.
    async fn take(ports: &mut Ports, count: usize) -> Vec<(SocketAddr, u16, usize)> {
        let mut came = Vec::new();
        while came.len() < count {
            let Ready::Readable(family) = ports.ready().await else {
                panic!("nothing waits to be sent");
            };
            ports.receive(family, |from, datagram| {
                let number = u16::from_be_bytes([datagram[0], datagram[1]]);
                came.push((from, number, datagram.len()));
            });
        }
        came
    }

    fn datagram(number: u16) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        // Short ones, so that hundreds fit in the buffer of a socket.
        bytes.resize(2 + usize::from(number) * 37 % 199, 7);
        bytes
    }

    async fn burst(at: &str, one_a_call: bool) {
        let ((mut one, from), (mut two, to)) = (ports(at), ports(at));
        (one.one_a_call, two.one_a_call) = (one_a_call, one_a_call);
        for number in 0..200 {
            one.transmit(to, datagram(number));
        }
        send_all(&mut one).await;
        assert!(one.unsent.iter().all(VecDeque::is_empty));
        let came = take(&mut two, 200).await;
        let expected: Vec<_> = (0..200)
            .map(|number| (from.socket_addr(), number, datagram(number).len()))
            .collect();
        assert_eq!(came, expected);
        assert_eq!(one.troubles.send_dropped + one.troubles.send_failed, 0);
        assert!(one.unsent[0].capacity() <= FEW, "given back");
    }

    #[tokio::test]
    async fn a_burst_of_hundreds_arrives_whole_and_in_order() {
        for at in ANYWHERE {
            burst(at, false).await;
        }
    }

    #[tokio::test]
    async fn the_same_holds_where_the_system_takes_one_datagram_a_call() {
        burst(ANYWHERE[0], true).await;
    }

    #[tokio::test]
    async fn what_cannot_be_sent_costs_no_other_datagram_its_turn() {
        for one_a_call in [false, true] {
            let ((mut one, _), (mut two, to)) = (ports(ANYWHERE[0]), ports(ANYWHERE[0]));
            one.one_a_call = one_a_call;
            // A socket of the loopback cannot send elsewhere.
            let elsewhere = Endpoint::new([192, 0, 2, 1].into(), 9);
            for number in 0..40 {
                let is_lost = [0, 17, 18, 39].contains(&number);
                one.transmit(if is_lost { elsewhere } else { to }, datagram(number));
            }
            send_all(&mut one).await;
            assert_eq!(one.troubles.send_failed, 4);
            let came: Vec<_> = take(&mut two, 36).await.iter().map(|came| came.1).collect();
            let expected: Vec<u16> = (0..40).filter(|n| ![0, 17, 18, 39].contains(n)).collect();
            assert_eq!(came, expected);
        }
    }

    #[tokio::test]
    async fn a_datagram_too_long_is_counted_and_the_next_one_comes() {
        for one_a_call in [false, true] {
            let ((mut one, _), (mut two, to)) = (ports(ANYWHERE[0]), ports(ANYWHERE[0]));
            two.one_a_call = one_a_call;
            one.transmit(to, vec![1; BUFFER_LEN + 1]);
            one.transmit(to, datagram(5));
            send_all(&mut one).await;
            assert_eq!(take(&mut two, 1).await[0].1, 5);
            assert_eq!(two.troubles.cut, 1);
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_waits_up_to_a_bound() {
        let ((mut one, _), (_two, to)) = (ports(ANYWHERE[0]), ports(ANYWHERE[0]));
        one.is_full = [true, false];
        for number in 0..300 {
            one.transmit(to, datagram(number));
        }
        one.flush();
        assert_eq!(one.unsent[0].len(), MAX_UNSENT);
        assert_eq!(one.troubles.send_dropped, 44);
        assert_eq!(one.ready().await, Ready::Writable(Family::V4));
        one.send_unsent(Family::V4);
        assert!(one.unsent[0].is_empty() && !one.is_full[0]);
    }
}

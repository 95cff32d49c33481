//! Several datagrams a system call, where the system can do that.
//!
//! `quinn-udp` would offer the same, but forbids fragmentation, which loses full-sized packets on
//! narrow paths.

use std::io;
use std::net::SocketAddr;

use peerage_core::Endpoint;
use peerage_discv5::record::Family;
use tokio::net::UdpSocket;

/// How many datagrams one call takes, at the most: handling so many is a few hundred microseconds
/// of work, after which others have their turn.
pub(crate) const BATCH: usize = 32;

/// The receive buffer of a datagram, in bytes: a packet has at most 1280, and other protocols on
/// the port hardly more than an Ethernet frame. What fills it is cut off.
pub(crate) const BUFFER_LEN: usize = 2048;

/// A datagram that waits to be sent.
pub(crate) type Outgoing = (Endpoint, Vec<u8>);

/// Whether an error says that this system takes one datagram a call only.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Hands out what one call brings; how many datagrams that are. Fewer than [`BATCH`] mean that no
/// more are there.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when nothing is there, [`io::ErrorKind::Unsupported`] when
/// nothing was tried, and whatever the socket says.
pub(crate) fn receive(
    socket: &UdpSocket,
    family: Family,
    take: impl FnMut(SocketAddr, &mut [u8]),
) -> io::Result<usize> {
    system::receive(socket, family, take)
}

/// Sends the first of these in one call; how many, at least one. The error is that of the first.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] when there is no room, [`io::ErrorKind::Unsupported`] when
/// nothing was tried, and whatever the socket says of the first.
pub(crate) fn send<'a>(
    socket: &UdpSocket,
    family: Family,
    datagrams: impl Iterator<Item = &'a Outgoing>,
) -> io::Result<usize> {
    system::send(socket, family, datagrams)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod system {
    use std::cell::Cell;
    use std::io::{self, IoSlice, IoSliceMut};
    use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    use nix::errno::Errno;
    use nix::sys::socket::{
        MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg,
    };
    use peerage_discv5::record::Family;
    use tokio::io::Interest;
    use tokio::net::UdpSocket;

    use super::{BATCH, BUFFER_LEN, Outgoing};

    /// An address of one family. Headers keep the length of the address that was last in them, so
    /// each family has its own.
    trait Address: SockaddrLike + Copy {
        fn of(addr: SocketAddr) -> Option<Self>;
        fn socket_addr(self) -> SocketAddr;
    }

    impl Address for SockaddrIn {
        fn of(addr: SocketAddr) -> Option<Self> {
            match addr {
                SocketAddr::V4(addr) => Some(addr.into()),
                SocketAddr::V6(_) => None,
            }
        }

        fn socket_addr(self) -> SocketAddr {
            SocketAddrV4::from(self).into()
        }
    }

    impl Address for SockaddrIn6 {
        fn of(addr: SocketAddr) -> Option<Self> {
            match addr {
                SocketAddr::V6(addr) => Some(addr.into()),
                SocketAddr::V4(_) => None,
            }
        }

        fn socket_addr(self) -> SocketAddr {
            SocketAddrV6::from(self).into()
        }
    }

    struct Headers<S> {
        incoming: MultiHeaders<S>,
        outgoing: MultiHeaders<S>,
    }

    impl<S: Address> Headers<S> {
        fn new() -> Self {
            Self {
                incoming: MultiHeaders::preallocate(BATCH, None),
                outgoing: MultiHeaders::preallocate(BATCH, None),
            }
        }
    }

    /// What a call needs, some 80 KB. A thread has it while it does not use it.
    struct Scratch {
        buffer: Vec<u8>,
        v4: Headers<SockaddrIn>,
        v6: Headers<SockaddrIn6>,
    }

    thread_local! {
        static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    }

    fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = SCRATCH.take().unwrap_or_else(|| {
            Box::new(Scratch {
                buffer: vec![0; BATCH * BUFFER_LEN],
                v4: Headers::new(),
                v6: Headers::new(),
            })
        });
        let done = work(&mut scratch);
        SCRATCH.set(Some(scratch));
        done
    }

    fn error(errno: Errno) -> io::Error {
        // Some sandboxes refuse what they do not know with the second.
        if matches!(errno, Errno::ENOSYS | Errno::EOPNOTSUPP) {
            return io::ErrorKind::Unsupported.into();
        }
        errno.into()
    }

    pub(super) fn receive(
        socket: &UdpSocket,
        family: Family,
        take: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        with_scratch(|scratch| {
            let buffer = &mut scratch.buffer;
            match family {
                Family::V4 => receive_with(socket, &mut scratch.v4, buffer, take),
                Family::V6 => receive_with(socket, &mut scratch.v6, buffer, take),
            }
        })
    }

    fn receive_with<S: Address>(
        socket: &UdpSocket,
        headers: &mut Headers<S>,
        buffer: &mut [u8],
        mut take: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        let mut came = [(0, None); BATCH];
        let mut count = 0;
        let outcome = socket.try_io(Interest::READABLE, || {
            let mut buffers = buffer.chunks_exact_mut(BUFFER_LEN);
            let mut slices: [_; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
            let headers = &mut headers.incoming;
            let fd = socket.as_raw_fd();
            let received = recvmmsg(fd, headers, &mut slices, MsgFlags::empty(), None);
            for (slot, received) in came.iter_mut().zip(received.map_err(error)?) {
                *slot = (received.bytes, received.address);
                count += 1;
            }
            // Fewer than could have come: the socket is empty, and need not be asked to say so.
            if count < BATCH {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        if count == 0 {
            outcome?;
        }
        let buffers = buffer.chunks_exact_mut(BUFFER_LEN);
        for ((len, from), buffer) in came.into_iter().zip(buffers).take(count) {
            if let (Some(from), Some(datagram)) = (from, buffer.get_mut(..len)) {
                take(from.socket_addr(), datagram);
            }
        }
        Ok(count)
    }

    pub(super) fn send<'a>(
        socket: &UdpSocket,
        family: Family,
        datagrams: impl Iterator<Item = &'a Outgoing>,
    ) -> io::Result<usize> {
        with_scratch(|scratch| match family {
            Family::V4 => send_with(socket, &mut scratch.v4, datagrams),
            Family::V6 => send_with(socket, &mut scratch.v6, datagrams),
        })
    }

    fn send_with<'a, S: Address>(
        socket: &UdpSocket,
        headers: &mut Headers<S>,
        datagrams: impl Iterator<Item = &'a Outgoing>,
    ) -> io::Result<usize> {
        let mut addrs = [None; BATCH];
        let mut slices = [[IoSlice::new(&[])]; BATCH];
        let mut count = 0;
        for ((to, datagram), (addr, slice)) in
            datagrams.zip(addrs.iter_mut().zip(slices.iter_mut()))
        {
            *addr = S::of(to.socket_addr());
            *slice = [IoSlice::new(datagram)];
            count += 1;
        }
        let (addrs, slices) = (&addrs[..count], &slices[..count]);
        socket.try_io(Interest::WRITABLE, || {
            let headers = &mut headers.outgoing;
            let fd = socket.as_raw_fd();
            let sent = sendmmsg(fd, headers, slices, addrs, [], MsgFlags::empty());
            Ok(sent.map_err(error)?.count())
        })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod system {
    use std::io;
    use std::net::SocketAddr;

    use peerage_discv5::record::Family;
    use tokio::net::UdpSocket;

    use super::Outgoing;

    pub(super) fn receive(
        _socket: &UdpSocket,
        _family: Family,
        _take: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn send<'a>(
        _socket: &UdpSocket,
        _family: Family,
        _datagrams: impl Iterator<Item = &'a Outgoing>,
    ) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

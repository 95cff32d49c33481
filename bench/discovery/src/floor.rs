//! The floor: what the kernel takes for a datagram, sent and received over loopback.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use peerage_bench_kit::{Error, Meter, Report, resident};

const BATCH: usize = 32;

/// As long as a PING.
const LEN: usize = 95;

/// So many datagrams from one socket to another, one call each or 32 a call.
pub fn floor(count: u64, batched: bool) -> Result<(), Error> {
    let (one, two) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    two.set_read_timeout(Some(Duration::from_secs(5)))?;
    let to = two.local_addr()?;
    let bursts = count.div_ceil(BATCH as u64);
    let mut buffer = [[0; 2048]; BATCH];
    let datagram = [7; LEN];
    let meter = Meter::start();
    for _ in 0..bursts {
        if batched {
            let std::net::SocketAddr::V4(to) = to else {
                return Err("bound to IPv4".into());
            };
            let slices = [[IoSlice::new(&datagram)]; BATCH];
            let addrs = [Some(SockaddrIn::from(to)); BATCH];
            let mut headers = MultiHeaders::preallocate(BATCH, None);
            let sent = sendmmsg(
                one.as_raw_fd(),
                &mut headers,
                &slices,
                addrs,
                [],
                MsgFlags::empty(),
            );
            assert_eq!(sent?.count(), BATCH);
            let mut buffers = buffer.iter_mut();
            let mut slices: [_; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(buffers.next().expect("as many"))]);
            let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
            let fd = two.as_raw_fd();
            let came = recvmmsg(fd, &mut headers, &mut slices, MsgFlags::empty(), None)?;
            assert_eq!(came.count(), BATCH);
        } else {
            for _ in 0..BATCH {
                one.send_to(&datagram, to)?;
            }
            for buffer in &mut buffer {
                assert_eq!(two.recv_from(buffer)?.0, LEN);
            }
        }
    }
    let (wall, cpu) = meter.finish_now();
    Report {
        name: "floor",
        count: bursts * BATCH as u64,
        at_once: BATCH as u64,
        wall,
        cpu,
        bytes: LEN as u64,
        rss: resident()?,
    }
    .print();
    Ok(())
}

//! Streams as a machine sees them: connections that keep order and lose nothing, or break.
//!
//! What is modelled is what an application notices of TCP: that a dial succeeds, is refused, is told
//! that there is no way, or hears nothing; that bytes come late, in pieces, or not at all while a
//! partition lasts; that nobody says so when the other end vanishes; that a full buffer holds the
//! writer back. Acknowledgements take no time, and a translator never forgets an open stream.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::Direction;

/// The most bytes of one direction of a stream that the writer has handed over and the reader has
/// not taken. 64 KiB, what most systems begin with.
pub const WINDOW: usize = 64 * 1024;

/// How often an unanswered first packet is repeated before a dial fails: after 1, 2, 4, 8, 16 and 32
/// s, and the last is waited for 64 s. 127 s in all. Source: `tcp_syn_retries` of Linux, tcp(7).
pub(crate) const DIAL_TRIES: u32 = 6;

/// How often other packets are repeated before the stream breaks. Source: `tcp_retries2` of Linux,
/// tcp(7), which says that it comes to 15 minutes about.
pub(crate) const SEND_TRIES: u32 = 15;

/// The wait before a packet is sent again that was lost so often before: 200 ms, doubled up to two
/// minutes. Source: `TCP_RTO_MIN` and `TCP_RTO_MAX` of Linux.
pub(crate) fn resend_after(tries: u32) -> Duration {
    let wait = Duration::from_millis(200).saturating_mul(1 << tries.min(10));
    wait.min(Duration::from_secs(120))
}

/// The wait before a first packet is sent again.
pub(crate) fn redial_after(tries: u32) -> Duration {
    Duration::from_secs(1 << tries.min(DIAL_TRIES))
}

/// A stream, as one host names it. Those that it opens it numbers itself and never twice; those of
/// others are numbered by the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Who opened it.
    pub opened: Direction,
    /// Its number.
    pub number: u64,
}

impl StreamId {
    /// One that this host opens.
    pub const fn ours(number: u64) -> Self {
        Self {
            opened: Direction::Outbound,
            number,
        }
    }

    pub(crate) const fn theirs(number: u64) -> Self {
        Self {
            opened: Direction::Inbound,
            number,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stream {}", self.opened, self.number)
    }
}

/// What a machine wants of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Open it to there.
    Connect(SocketAddr),
    /// Send these. [`Heard::Written`] says when another write may follow; one that comes earlier
    /// waits behind it.
    Write(Vec<u8>),
    /// Hand over what comes, or leave it in the buffer.
    Read(bool),
    /// Send what was written, then the end. Nothing more is heard of it.
    Close,
    /// Break it at once. Nothing more is heard of it.
    Abort,
}

/// What a machine hears of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The one that it opened is open.
    Connected,
    /// Somebody opened it, who seems to be there.
    Accepted(SocketAddr),
    /// It could not be opened, and is over.
    Failed(io::ErrorKind),
    /// These came.
    Data(Vec<u8>),
    /// What was written is on its way, and there is room for more.
    Written,
    /// The other end sends nothing more.
    Ended,
    /// It broke, and is over.
    Broken(io::ErrorKind),
}

/// What happens to whoever dials a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// A stream is opened.
    Open,
    /// Its host says that nobody listens.
    #[default]
    Shut,
    /// Its host says nothing: a firewall.
    Silent,
    /// A router says that there is no way.
    NoRoute,
}

/// Counts of streams, and of the packets that carry them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Dials.
    pub dialled: u64,
    /// Of them, those that opened a stream.
    pub opened: u64,
    /// Those that somebody refused.
    pub refused: u64,
    /// Those that nobody answered for as long as a system tries.
    pub unanswered: u64,
    /// Streams that were broken by an end, or by a host that knew nothing of them.
    pub reset: u64,
    /// Streams that broke because nothing went through for too long.
    pub timed_out: u64,
    /// Packets delivered.
    pub packets: u64,
    /// Their bytes, without headers.
    pub bytes: u64,
    /// Packets sent again.
    pub resent: u64,
    /// The most bytes that one direction of one stream ever held.
    pub most_held: usize,
}

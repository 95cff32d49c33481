//! How a file is kept.

use std::time::Duration;

/// How a file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Changes that may wait to be written. 8,192, a few megabytes.
    pub queue: usize,
    /// Changes in one transaction at most, and at least one. 1,024.
    pub batch: usize,
    /// Events kept of one peer, the latest. 100.
    pub events: usize,
    /// Peers kept of each realm after the book let go of them, the latest. 10,000.
    pub gone: usize,
    /// The file's size at most, in bytes. 1 GiB: 30,000 peers, those let go included, with 100
    /// events of 300 bytes each take 0.9. A book of 15,000 heard of once takes 0.014.
    pub max_bytes: u64,
    /// How long to wait before writing again when there was no room. 5 s.
    pub retry: Duration,
    /// Whether the whole file is checked when it is opened.
    pub check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 8_192,
            batch: 1_024,
            events: 100,
            gone: 10_000,
            max_bytes: 1 << 30,
            retry: Duration::from_secs(5),
            check: true,
        }
    }
}

//! What a machine counts. Numbers of the whole, never of one node.

/// Counters since the start, and gauges of now. No counter falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Datagrams received, foreign ones included.
    pub datagrams_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Datagrams that are no packet to us.
    pub foreign: u64,
    /// Packets and messages that break the encoding.
    pub malformed: u64,
    /// Packets of banned nodes and addresses, and of networks that are not permitted.
    pub not_admitted: u64,
    /// Packets dropped because of a rate.
    pub rate_limited: u64,

    /// Requests of ours.
    pub requests_out: u64,
    /// Requests of ours that nobody answered.
    pub no_response: u64,
    /// Requests of ours that were answered wrongly.
    pub invalid_response: u64,
    /// Requests of ours sent once more.
    pub resent: u64,
    /// Requests of others, understood.
    pub requests_in: u64,
    /// Messages of kinds that nobody answers.
    pub unimplemented_in: u64,
    /// Answers that we do not wait for.
    pub unsolicited: u64,

    /// Messages sent to a node with which there was a session.
    pub session_hits: u64,
    /// Messages sent to a node with which there was none.
    pub session_misses: u64,
    /// Messages that no key of the session opened.
    pub decrypt_failures: u64,
    /// Sessions made.
    pub handshakes: u64,
    /// WHOAREYOUs sent, repetitions included.
    pub challenges_out: u64,
    /// WHOAREYOUs that fit no request of ours.
    pub stray_challenges: u64,
    /// Handshakes that fit no challenge of ours; refused without curve work.
    pub stray_handshakes: u64,
    /// Handshakes that fit a challenge and failed.
    pub failed_handshakes: u64,

    /// Records verified with a curve operation.
    pub records_verified: u64,
    /// Records known before.
    pub records_known: u64,
    /// Records whose signature is wrong.
    pub records_forged: u64,
    /// Our record rewritten because a majority said so.
    pub auto_updates: u64,
    /// Searches ended.
    pub searches: u64,

    /// Now: nodes with a place in the table.
    pub table_total: usize,
    /// Now: those of them that have answered us.
    pub table_seen: usize,
    /// Now: sessions.
    pub sessions: usize,
    /// Now: requests of ours under way.
    pub requests_open: usize,
}

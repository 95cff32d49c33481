//! Every value of a node that can be set.

use std::time::Duration;

use crate::limit::{Access, Rate};
use crate::packet::Protocol;
use crate::record::Family;
use crate::table::{Limits, Metric};
use crate::votes::VoteRules;

/// How a node behaves. The defaults stand in each field's doc with their origin: "nim-eth" is its
/// release of 2023.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network of nodes to belong to. Node Discovery v5.1.
    pub protocol: Protocol,
    /// Whether there is a socket for IPv4. Yes.
    pub ipv4: bool,
    /// Whether there is a socket for IPv6. No.
    pub ipv6: bool,

    /// How long a request may take, repetition included. 4 s (nim-eth).
    pub request_timeout: Duration,
    /// After which silence a request is sent once more, over the other family if the node has one.
    /// A lookup then no longer waits for it. An answer of which parts have come is taken as it is
    /// then, and a TALK request that may have arrived is not repeated. `None` for never. 1 s.
    pub resend_after: Option<Duration>,
    /// How long a WHOAREYOU of ours may be answered. 2 s (nim-eth).
    pub handshake_timeout: Duration,
    /// How many answers to one WHOAREYOU are looked at; each may cost 100 µs. 5.
    pub handshake_attempts: u8,
    /// The most WHOAREYOUs open at once; beyond, unknown packets are dropped. About 300 bytes each.
    /// 1024.
    pub max_challenges: usize,
    /// The most sessions; the one longest without use makes room. About 300 bytes each. 256
    /// (nim-eth).
    pub max_sessions: usize,
    /// Of how many sessions the ciphers are kept ready, 2.4 KB each; others cost 2 µs more when they
    /// are used. 128.
    pub max_expanded: usize,
    /// How long replaced keys still open what comes. 10 s.
    pub key_overlap: Duration,
    /// The most requests that wait for one node's handshake. 8 (nim-eth since).
    pub max_queued: usize,
    /// The most requests of ours at once. 4096.
    pub max_requests: usize,
    /// The most records whose signature is remembered as good. About 400 bytes each. 512.
    pub max_verified: usize,

    /// The table's bounds.
    pub table: Limits,
    /// What "near" means. XOR.
    pub metric: Metric,
    /// After how many unanswered requests in a row a node loses its place. 3; nim-eth takes 1.
    pub max_failures: u8,

    /// How many requests of a lookup are under way at once. 3 (nim-eth, α).
    pub alpha: usize,
    /// How many nodes a lookup finds. 16 (nim-eth, k).
    pub lookup_results: usize,
    /// The most distances a search asks a node for. 6; nim-eth always asks for 3.
    pub lookup_distances: usize,
    /// The most nodes one lookup asks, however many nearer ones are named. 64.
    pub lookup_max_asked: usize,
    /// The most searches at once. 64.
    pub max_searches: usize,
    /// How many records of an answer to FINDNODE are looked at. 16 (nim-eth).
    pub accepted_records: usize,
    /// How many records we answer FINDNODE with. 16, in at most five messages.
    pub answered_records: usize,

    /// How often the table is refreshed by a random query, unless a search has ended since. 5 min
    /// (nim-eth).
    pub refresh_interval: Duration,
    /// The longest pause between two revalidations; each is random. 10 s (nim-eth).
    pub revalidate_interval: Duration,
    /// How often the votes about our address are counted. 5 min (nim-eth).
    pub majority_interval: Duration,
    /// Random queries after the first search for our own id, less those searches that the caller
    /// waits for by then. 1 (nim-eth).
    pub populate_queries: usize,
    /// After which time a young node looks for its neighbours again, each time twice as long, until
    /// it has as many nodes as a lookup finds or reaches the refresh interval. Whoever joins while
    /// others do finds few at first. 5 s.
    pub join_interval: Duration,
    /// Within which time a new inbound node is asked whether it is there. 500 ms; nim-eth since:
    /// 5 s.
    pub ping_back_within: Duration,
    /// The most nodes that wait to be asked so. 64.
    pub max_ping_backs: usize,
    /// After how many unanswered requests in a row, nothing having come from anybody, our own
    /// network is suspected and no node is blamed. 3.
    pub outage_after: u32,

    /// How votes about our address count.
    pub votes: VoteRules,
    /// Whether a majority rewrites our record. If not, it is only told. No (nim-eth).
    pub auto_update: bool,
    /// Whether it may write a private or loopback address into a record that has no such address
    /// already. No: on a network with both neighbours and strangers, it would be told to all.
    pub local_votes: bool,

    /// Which networks may talk to us. All.
    pub access: Access,
    /// Whether a node that sends an invalid answer is banned. No (nim-eth since: opt-in).
    pub ban_invalid: bool,
    /// How long. 15 min (nim-eth since).
    pub ban_duration: Duration,
    /// The most bans of nodes and of addresses, each. 1024.
    pub max_bans: usize,
    /// WHOAREYOUs for each public address group, and for all.
    pub challenge_rate: (Rate, Rate),
    /// Handshakes looked at for each public address group, and for all. Each may cost 100 µs.
    pub handshake_rate: (Rate, Rate),
    /// Requests answered for each public address group, and for all.
    pub answer_rate: (Rate, Rate),
    /// The most address groups each rate remembers. 4096.
    pub max_groups: usize,

    /// The most TALK requests the application may be thinking about. 1024 (geth).
    pub max_open_talks: usize,
    /// How long it may think. 400 ms (geth).
    pub talk_timeout: Duration,
}

const fn rate(burst: u32, per_second: u32) -> Rate {
    Rate { burst, per_second }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            protocol: Protocol::V5,
            ipv4: true,
            ipv6: false,
            request_timeout: Duration::from_secs(4),
            resend_after: Some(Duration::from_secs(1)),
            handshake_timeout: Duration::from_secs(2),
            handshake_attempts: 5,
            max_challenges: 1024,
            max_sessions: 256,
            max_expanded: 128,
            key_overlap: Duration::from_secs(10),
            max_queued: 8,
            max_requests: 4096,
            max_verified: 512,
            table: Limits::default(),
            metric: Metric::default(),
            max_failures: 3,
            alpha: 3,
            lookup_results: 16,
            lookup_distances: 6,
            lookup_max_asked: 64,
            max_searches: 64,
            accepted_records: 16,
            answered_records: 16,
            refresh_interval: Duration::from_secs(5 * 60),
            revalidate_interval: Duration::from_secs(10),
            majority_interval: Duration::from_secs(5 * 60),
            populate_queries: 1,
            join_interval: Duration::from_secs(5),
            ping_back_within: Duration::from_millis(500),
            max_ping_backs: 64,
            outage_after: 3,
            votes: VoteRules::default(),
            auto_update: false,
            local_votes: false,
            access: Access::default(),
            ban_invalid: false,
            ban_duration: Duration::from_secs(15 * 60),
            max_bans: 1024,
            challenge_rate: (rate(20, 10), rate(2000, 1000)),
            handshake_rate: (rate(20, 10), rate(1000, 500)),
            answer_rate: (rate(200, 100), rate(20_000, 10_000)),
            max_groups: 4096,
            max_open_talks: 1024,
            talk_timeout: Duration::from_millis(400),
        }
    }
}

impl Config {
    /// The families there is a socket for, IPv4 first.
    pub fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let (v4, v6) = (self.ipv4, self.ipv6);
        Family::BOTH.into_iter().filter(move |family| match family {
            Family::V4 => v4,
            Family::V6 => v6,
        })
    }
}

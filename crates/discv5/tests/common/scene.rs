//! Where lists of operations play: addresses, bystanders, and how the machines are set.

use std::net::SocketAddr;
use std::sync::LazyLock;

use peerage_discv5::discovery::Config;
use peerage_discv5::limit::Rate;
use peerage_discv5::record::{Builder, Record};
use peerage_discv5::table::Limits;
use peerage_discv5::votes::VoteRules;

use super::net::{addr, secret};

/// The address of a party: the machines, then the rogue, then strangers.
pub(crate) fn place(n: usize, is_private: bool) -> SocketAddr {
    if is_private {
        SocketAddr::from(([10, 0, 0, u8::try_from(n).unwrap() + 1], 9000))
    } else {
        addr(n)
    }
}

/// Nodes that exist in answers only: at public, private and loopback addresses, of one group and of
/// many, with one family and with both, and without an address.
pub(crate) static BYSTANDERS: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let made = (0..24usize).map(|n| {
        let last = u8::try_from(n).unwrap();
        let v6 = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(last), 0, 0, 0, 1);
        let record = Builder::new(1);
        let record = match n % 8 {
            0 | 1 => record.ip([20, 99, 99, last].into()).udp4(9000),
            2 => record.ip([20, 98, last, 1].into()).udp4(9000),
            3 => record.ip([127, 0, 0, last].into()).udp4(9000),
            4 => record.ip([192, 168, 0, last].into()).udp4(9000),
            5 => record
                .ip([192, 168, 1, last].into())
                .udp4(9000)
                .ip(v6.into())
                .udp6(9000),
            6 => record.ip(v6.into()).udp6(9000),
            _ => record.udp4(9000),
        };
        record.sign(&secret(500 + n)).unwrap()
    });
    made.collect()
});

/// How every machine of the scene behaves.
pub(crate) fn config(scene: u8) -> Config {
    let mut config = Config {
        ban_invalid: scene & 2 != 0,
        auto_update: scene & 4 != 0,
        ipv6: scene & 16 != 0,
        votes: VoteRules {
            threshold: 2,
            ..VoteRules::default()
        },
        ..Config::default()
    };
    if scene & 8 != 0 {
        config.resend_after = None;
    }
    if scene & 1 != 0 {
        let rate = Rate {
            burst: 4,
            per_second: 2,
        };
        config = Config {
            max_challenges: 2,
            max_sessions: 2,
            max_expanded: 1,
            max_queued: 2,
            max_requests: 6,
            max_searches: 2,
            max_verified: 2,
            max_ping_backs: 1,
            max_bans: 2,
            max_groups: 4,
            max_open_talks: 2,
            accepted_records: 4,
            answered_records: 4,
            lookup_max_asked: 4,
            lookup_results: 3,
            challenge_rate: (rate, rate),
            handshake_rate: (rate, rate),
            table: Limits {
                bucket: 2,
                waiting: 1,
                bits_per_hop: 2,
                group_per_bucket: 1,
                group_per_table: 2,
            },
            ..config
        };
    }
    config
}

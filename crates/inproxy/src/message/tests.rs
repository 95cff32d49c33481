use std::time::Duration;

use peerage_core::Retry;
use peerage_matcher::{
    CompartmentId, NatType, NetworkProtocol, NetworkType, PortMappings, Versions,
};
use proptest::prelude::*;

use super::*;
use crate::destination::SignedEntry;
use crate::refusal::{Code, Refusal};

fn network() -> Network {
    Network {
        nat: NatType::PORT_RESTRICTED,
        mappings: PortMappings {
            pcp: true,
            ..PortMappings::NONE
        },
        kind: NetworkType::Mobile,
        transports: Versions::NONE.with(2),
    }
}

fn calls() -> Vec<Call> {
    let ids = |count: u8| {
        (0..count)
            .map(|n| CompartmentId([n; 32]))
            .collect::<Vec<_>>()
    };
    vec![
        Call::Announce(Announce {
            network: network(),
            load: 0x0102,
            wait_ms: 120_000,
            personal: ids(10),
        }),
        Call::Offer(Box::new(Offer {
            network: Network::default(),
            wait_ms: 10_000,
            personal: ids(0),
            common: ids(2),
            protocol: NetworkProtocol::Tcp,
            destination: "example.org:8233".into(),
            entry: Bytes::from_static(b"entry"),
            description: Bytes::from_static(b"description"),
        })),
        Call::Answer(Answer {
            connection: ConnectionId([3; 32]),
            description: Bytes::from_static(b"description"),
        }),
        Call::AnswerError {
            connection: ConnectionId([4; 32]),
        },
        Call::Coming {
            connection: ConnectionId([5; 32]),
        },
        Call::Explain,
        Call::Stats,
    ]
}

fn replies() -> Vec<Reply> {
    vec![
        Reply::Matched(Matched {
            connection: ConnectionId([3; 32]),
            transport: 2,
            personal: true,
            answer_ms: 9_000,
            protocol: NetworkProtocol::Udp,
            destination: "[2001:db8::1]:1".into(),
            description: Bytes::from_static(b"description"),
        }),
        Reply::Answered(Answered {
            connection: ConnectionId([3; 32]),
            transport: 1,
            description: Bytes::new(),
        }),
        Reply::Taken { delivered: true },
        Reply::Noted { awaited: false },
        Reply::Explained(vec![
            Waiting {
                offer: true,
                others: 8,
                excluded: [1, 2, 3, 4, 5],
                compatible: 6,
            };
            8
        ]),
        Reply::Stats(Numbers {
            announcements: 1,
            offers: 2,
            pending: 3,
            matches: 4,
        }),
        Reply::Refused(Refusal {
            code: Code::Limited,
            retry: Retry::After(Duration::from_millis(1500)),
            text: "the address group is limited".into(),
        }),
    ]
}

#[test]
fn every_message_reads_back_and_no_shorter_or_longer_one_does() {
    for call in calls() {
        let bytes = call.encode().unwrap();
        assert_eq!(Call::decode(&bytes), Ok(call));
        for len in 0..bytes.len() {
            assert!(Call::decode(&bytes[..len]).is_err());
        }
        assert!(Call::decode(&[&bytes[..], b"\0"].concat()).is_err());
    }
    for reply in replies() {
        let bytes = reply.encode().unwrap();
        assert_eq!(Reply::decode(&bytes), Ok(reply));
        for len in 0..bytes.len() {
            assert!(Reply::decode(&bytes[..len]).is_err());
        }
    }
}

#[test]
fn the_longest_call_fits() {
    let offer = Offer {
        network: network(),
        wait_ms: u32::MAX,
        personal: vec![CompartmentId([0; 32]); MAX_COMPARTMENTS],
        common: vec![CompartmentId([0; 32]); MAX_COMPARTMENTS],
        protocol: NetworkProtocol::Tcp,
        destination: "d".repeat(MAX_DESTINATION_LEN),
        entry: vec![0; SignedEntry::MAX_LEN].into(),
        description: vec![0; Description::MAX_LEN].into(),
    };
    let bytes = Call::Offer(Box::new(offer)).encode().unwrap();
    let envelope = 1 + 1 + 16 + crate::noise::FIRST_OVERHEAD;
    assert!(bytes.len() + envelope <= MAX_MESSAGE_LEN, "{}", bytes.len());
}

proptest! {
    /// Whatever bytes come, what is read is written back the same.
    #[test]
    fn what_is_read_is_written_the_same(
        which in 0_usize..20,
        at in 0_usize..600,
        byte: u8,
    ) {
        let messages: Vec<Bytes> = calls().iter().map(|call| call.encode().unwrap())
            .chain(replies().iter().map(|reply| reply.encode().unwrap())).collect();
        let mut bytes = messages[which % messages.len()].to_vec();
        let len = bytes.len();
        bytes[at % len] = byte;
        if let Ok(call) = Call::decode(&bytes) {
            prop_assert_eq!(&call.encode().unwrap()[..], &bytes[..]);
        }
        if let Ok(reply) = Reply::decode(&bytes) {
            prop_assert_eq!(&reply.encode().unwrap()[..], &bytes[..]);
        }
    }
}

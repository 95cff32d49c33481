//! Calls to a broker, one by one.

use std::sync::Arc;

use bytes::Bytes;
use peerage_inproxy::call::{BrokerClient, CallError};
use peerage_inproxy::description::{Candidate, CandidateKind, CheckKey, Fingerprint};
use peerage_inproxy::message::{Announce, Answer, Call, Matched, Network, Offer, Reply};
use peerage_inproxy::{Description, Refusal, TransportKind};
use peerage_matcher::NetworkProtocol;
use tokio::task::JoinHandle;

use super::{COMMON, entry, soon};

pub(crate) fn network() -> Network {
    Network {
        transports: TransportKind::Quic.version(),
        ..Network::default()
    }
}

pub(crate) fn described(name: u8, addr: &str) -> Bytes {
    let description = Description {
        check_key: CheckKey([name; 16]),
        fingerprint: Fingerprint([name; 32]),
        dtls: None,
        candidates: vec![Candidate {
            kind: CandidateKind::Host,
            addr: addr.parse::<std::net::SocketAddr>().unwrap().into(),
        }],
    };
    description.encode().unwrap()
}

pub(crate) fn announce() -> Call {
    Call::Announce(Announce {
        network: network(),
        load: 0,
        wait_ms: 15_000,
        personal: Vec::new(),
    })
}

pub(crate) fn offer() -> Offer {
    Offer {
        network: network(),
        wait_ms: 15_000,
        personal: Vec::new(),
        common: vec![COMMON],
        protocol: NetworkProtocol::Tcp,
        destination: "127.0.0.1:8233".into(),
        entry: entry(),
        description: described(1, "127.0.0.1:1"),
    }
}

pub(crate) fn answer(matched: &Matched) -> Call {
    Call::Answer(Answer {
        connection: matched.connection,
        description: described(2, "127.0.0.1:2"),
    })
}

pub(crate) type Held = JoinHandle<Result<Reply, CallError>>;

pub(crate) fn call(caller: &Arc<BrokerClient>, call: Call) -> Held {
    let caller = Arc::clone(caller);
    tokio::spawn(async move { caller.call(&call, soon()).await })
}

pub(crate) fn offering(caller: &Arc<BrokerClient>) -> Held {
    call(caller, Call::Offer(Box::new(offer())))
}

pub(crate) async fn matched(calling: Held) -> Matched {
    match calling.await.unwrap() {
        Ok(Reply::Matched(matched)) => matched,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn refused(reply: Result<Reply, CallError>) -> Refusal {
    match reply {
        Err(CallError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// Asks until the broker counts as many as are meant; it counts in steps of 8.
pub(crate) async fn until(caller: &BrokerClient, announcements: bool, offers: bool) {
    loop {
        let reply = caller.call(&Call::Stats, soon()).await.unwrap();
        let Reply::Stats(numbers) = reply else {
            panic!("{reply:?}")
        };
        if (numbers.announcements > 0, numbers.offers > 0) == (announcements, offers) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

//! Subscribers of every pace: one that stalls, one that is slow, a hundred that are fast, and one
//! that comes back.

use bytes::Bytes;
use peerage::core::wire::Reader;
use peerage::node::HandleOf;
use peerage::node::peers::SessionId;
use peerage::verack::dialect::Message as _;
use peerage::verack::{Command, ProtocolVersion};
use peerage::{MessageOf, Zcash};
use peerage_api::{ApiLimits, v1};
use tonic::Code;

use crate::common::{Client, Pair, Reading, everything, soon};

/// A transaction of so many bytes that begins with its number.
fn tx(number: u32, len: usize) -> MessageOf<Zcash> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(len, 0xaa);
    let body = Bytes::from(body);
    let version = ProtocolVersion(170_140);
    let command = Command::from_static("tx");
    MessageOf::<Zcash>::read(command, &mut Reader::new(&body), &body, version).unwrap()
}

/// Sends them all, a few at a time: a peer that takes too little would be disconnected.
async fn talk(from: HandleOf<Zcash>, to: SessionId, numbers: std::ops::Range<u32>, len: usize) {
    for number in numbers {
        from.send(to, tx(number, len)).await.unwrap().unwrap();
        if number % 64 != 63 {
            continue;
        }
        loop {
            let peers = from.peers().await.unwrap();
            let peer = peers.iter().find(|peer| peer.id == to);
            if peer.expect("the session lasts").sending == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn number(item: &v1::Item) -> Option<u32> {
    let Some(v1::item::Of::Message(message)) = &item.of else {
        return None;
    };
    let body = &message.message.as_ref()?.body;
    Some(u32::from_le_bytes(body[..4].try_into().unwrap()))
}

fn transactions(budget_bytes: u64, policy: v1::Policy) -> v1::SubscribeRequest {
    v1::SubscribeRequest {
        messages: Some(v1::MessageFilter {
            names: vec!["tx".into()],
            sessions: Vec::new(),
        }),
        budget_bytes,
        policy: policy.into(),
        ..v1::SubscribeRequest::default()
    }
}

const LEN: usize = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_fast_ones_lose_nothing_while_one_stalls() {
    const MESSAGES: u32 = 600;
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let there = pair.meet().await;
    // The stalled one has a connection of its own and never reads.
    let mut stalled_client = pair.served.client().await;
    let request = transactions(64 * 1024, v1::Policy::DropOldest);
    let mut stalled = Reading::new(&mut stalled_client, request).await;
    let mut fast = Vec::new();
    for _ in 0..100 {
        let request = transactions(2 << 20, v1::Policy::Close);
        let mut reading = Reading::new(&mut client, request).await;
        fast.push(tokio::spawn(async move {
            for expected in 0..MESSAGES {
                let item = reading.item().await.unwrap();
                assert_eq!(number(&item), Some(expected));
                assert_eq!(item.seq, u64::from(expected) + 1);
            }
        }));
    }
    talk(pair.other.handle.clone(), there, 0..MESSAGES, LEN).await;
    for reading in fast {
        soon("all messages", reading).await.unwrap();
    }
    let status = client
        .status(v1::StatusRequest::default())
        .await
        .unwrap()
        .into_inner();
    let subscriptions = status.subscriptions.unwrap();
    assert!(
        subscriptions.waiting_bytes <= 64 * 1024,
        "its own budget, no more"
    );
    assert!(subscriptions.lost > 0, "{subscriptions:?}");
    // It wakes up: what it lost is told, in its place, and nothing comes twice.
    let (mut next, mut lost, mut last) = (1, 0, 0);
    while last + 1 < MESSAGES {
        let item = stalled.item().await.unwrap();
        match &item.of {
            Some(v1::item::Of::Lagged(lagged)) => {
                assert_eq!(lagged.next, next + lagged.messages);
                assert_eq!(lagged.bytes, lagged.messages * (LEN as u64 + 64));
                lost += lagged.messages;
                next = lagged.next;
            }
            Some(_) => {
                last = number(&item).unwrap();
                assert_eq!((item.seq, u64::from(last) + 1), (next, next));
                next += 1;
            }
            None => panic!("{item:?}"),
        }
    }
    assert_eq!(lost, subscriptions.lost);
    assert_eq!(next, u64::from(MESSAGES) + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_one_that_pushes_back_loses_nothing() {
    const MESSAGES: u32 = 2000;
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let there = pair.meet().await;
    let request = transactions(512 * 1024, v1::Policy::PushBack);
    let mut slow = Reading::new(&mut client, request).await;
    let talking = tokio::spawn(talk(pair.other.handle.clone(), there, 0..MESSAGES, LEN));
    // It begins to read when the peer is held back.
    let mut watching = pair.served.client().await;
    let held = async {
        loop {
            let listed = watching.list_peers(v1::ListPeersRequest::default()).await;
            if listed.unwrap().into_inner().peers[0].paused {
                return;
            }
        }
    };
    soon("that the peer is held back", held).await;
    for expected in 0..MESSAGES {
        let item = slow.item().await.unwrap();
        assert_eq!(number(&item), Some(expected), "{item:?}");
    }
    soon("the last word", talking).await.unwrap();
    let status = client
        .status(v1::StatusRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.subscriptions.unwrap().lost, 0);
}

async fn until_lost(client: &mut Client) {
    let lost = async {
        loop {
            let status = client.status(v1::StatusRequest::default()).await.unwrap();
            if status.into_inner().subscriptions.unwrap().lost > 0 {
                return;
            }
        }
    };
    soon("a loss", lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_closes_ends_with_the_reason() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let there = pair.meet().await;
    let mut other = pair.served.client().await;
    let mut closing = Reading::new(&mut other, transactions(8 * 1024, v1::Policy::Close)).await;
    talk(pair.other.handle.clone(), there, 0..500, LEN).await;
    until_lost(&mut client).await;
    let ended = loop {
        if let Err(status) = closing.item().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::ResourceExhausted);
    assert!(
        ended.message().contains("larger budget"),
        "{}",
        ended.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_restarts_picks_up_where_it_was() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let there = pair.meet().await;
    let request = v1::SubscribeRequest {
        lease_ms: 60_000,
        ..transactions(1 << 20, v1::Policy::DropOldest)
    };
    let mut reading = Reading::new(&mut client, request).await;
    let from = pair.other.handle.clone();
    talk(from.clone(), there, 0..10, LEN).await;
    for _ in 0..7 {
        reading.item().await.unwrap();
    }
    let token = reading.opened.token.clone();
    drop((reading, client));
    // Meanwhile more comes.
    talk(from, there, 10..20, LEN).await;
    let mut client = pair.served.client().await;
    // It had taken care of five when it went down.
    let resume = v1::SubscribeRequest {
        resume: token.clone(),
        after: 5,
        ..v1::SubscribeRequest::default()
    };
    let mut again = Reading::new(&mut client, resume.clone()).await;
    assert_eq!((again.opened.next, &again.opened.token), (6, &token));
    for expected in 5..20 {
        let item = again.item().await.unwrap();
        assert_eq!(number(&item), Some(expected));
    }
    // There is one reader: a second takes the first one's place.
    let mut third = Reading::new(&mut client, resume).await;
    assert_eq!(again.item().await.unwrap_err().code(), Code::Aborted);
    assert_eq!(third.item().await.unwrap().seq, 6);
    let end = v1::UnsubscribeRequest { token };
    assert!(
        client
            .unsubscribe(end.clone())
            .await
            .unwrap()
            .into_inner()
            .ended
    );
    assert!(
        !client
            .unsubscribe(end.clone())
            .await
            .unwrap()
            .into_inner()
            .ended
    );
    let gone = v1::SubscribeRequest {
        resume: end.token,
        ..v1::SubscribeRequest::default()
    };
    let gone = client.subscribe(gone).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert!(gone.message().contains("subscribe anew"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_answers_and_a_daemon_that_stops_says_so() {
    let mut limits = ApiLimits::default();
    limits.subscriptions.subscriptions = 1;
    let pair = Pair::<Zcash>::with("regtest", limits).await;
    let mut client = pair.served.client().await;
    let large = transactions(1 << 40, v1::Policy::DropOldest);
    let refused = client.subscribe(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let mut only = Reading::new(&mut client, everything()).await;
    let refused = client.subscribe(everything()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("1 subscriptions"),
        "{}",
        refused.message()
    );
    pair.served.daemon.close();
    assert_eq!(only.item().await.unwrap_err().code(), Code::Unavailable);
}

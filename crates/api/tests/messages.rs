//! Messages both ways, and questions both ways.

use peerage::devp2p::{Message, eth};
use peerage::node::Event;
use peerage::verack::Command;
use peerage::verack::dialect::Message as _;
use peerage::{Ethereum, Zcash};
use peerage_api::v1;
use tonic::Code;

use crate::common::{Pair, Reading, everything, soon};

fn payload(name: &str, body: &[u8]) -> Option<v1::Payload> {
    Some(v1::Payload {
        name: name.into(),
        body: body.to_vec().into(),
        ..v1::Payload::default()
    })
}

/// An `inv` of one transaction: count, type 1, hash.
fn inv(hash: u8) -> Vec<u8> {
    [&[1, 1, 0, 0, 0][..], &[hash; 32]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_out_and_come_in_as_they_are() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let mut reading = Reading::new(&mut client, everything()).await;
    let there = pair.meet().await;
    let peer = reading.established().await.peer;

    // Out, to one, to the best, to all.
    let send = |lane: v1::Lane| v1::SendRequest {
        peer: peer.clone(),
        message: payload("inv", &inv(1)),
        lane: lane.into(),
    };
    for lane in [v1::Lane::Control, v1::Lane::Gossip] {
        let sent = client.send(send(lane)).await.unwrap().into_inner();
        let delivery = sent.delivery.unwrap();
        assert_eq!(
            (delivery.outcome(), delivery.peer),
            (v1::Outcome::Sent, peer.clone())
        );
        let heard = pair.heard().await;
        assert_eq!(heard.command().name(), "inv");
    }
    let best = v1::SendBestRequest {
        message: payload("tx", b"not looked into"),
        ..v1::SendBestRequest::default()
    };
    let best = client
        .send_best(best)
        .await
        .unwrap()
        .into_inner()
        .deliveries;
    assert_eq!(best.len(), 1);
    let score = best[0].score.unwrap();
    assert_eq!(
        score.total,
        score.height + score.latency + score.reliability + score.readiness
    );
    let heard = pair.heard().await;
    assert_eq!(
        (heard.command().name(), heard.opaque_len()),
        ("tx", Some(15))
    );
    let all = v1::BroadcastRequest {
        message: payload("inv", &inv(2)),
        share: v1::Share::SquareRoot.into(),
        ..v1::BroadcastRequest::default()
    };
    let all = client.broadcast(all).await.unwrap().into_inner().deliveries;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].outcome(), v1::Outcome::Sent);
    pair.heard().await;

    // In: the bytes that the other wrote.
    type Theirs = peerage::MessageOf<Zcash>;
    let theirs = pair.other.handle.clone();
    let tell = |name: &'static str, body: Vec<u8>| {
        let theirs = theirs.clone();
        async move {
            let body = bytes::Bytes::from(body);
            let command = Command::from_static(name);
            let mut reader = peerage::core::wire::Reader::new(&body);
            let version = peerage::verack::ProtocolVersion(170_140);
            let message = Theirs::read(command, &mut reader, &body, version).unwrap();
            theirs.send(there, message).await.unwrap().unwrap();
        }
    };
    let block: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    tell("block", block.clone()).await;
    tell("inv", inv(7)).await;
    for (name, body) in [("block", block), ("inv", inv(7))] {
        let (message, told) = loop {
            let Some(v1::item::Of::Message(mut message)) = reading.item().await.unwrap().of else {
                panic!("a message");
            };
            let told = message.message.take().unwrap();
            // The other asks for addresses by itself.
            if told.name != "getaddr" {
                break (message, told);
            }
        };
        assert_eq!((message.peer, &*told.name), (peer.clone(), name));
        assert_eq!(told.body, body);
    }

    // What makes no sense is refused, with the place.
    for (name, body, code) in [
        ("inv", &b"\x02"[..], Code::InvalidArgument),
        ("version", b"", Code::FailedPrecondition),
        ("ping", b"12345678", Code::FailedPrecondition),
        ("no such command at all", b"", Code::FailedPrecondition),
        ("", b"", Code::InvalidArgument),
    ] {
        let request = v1::SendRequest {
            message: payload(name, body),
            ..send(v1::Lane::Control)
        };
        let sent = client.send(request).await;
        match sent {
            Ok(sent) => {
                let delivery = sent.into_inner().delivery.unwrap();
                assert_eq!(code, Code::FailedPrecondition, "{name}");
                assert_eq!(delivery.outcome(), v1::Outcome::Unsupported, "{name}");
            }
            Err(status) => assert_eq!(status.code(), code, "{name}: {status}"),
        }
    }
    let nobody = v1::SendBestRequest {
        selector: Some(v1::Selector {
            min_height: 1 << 40,
            ..v1::Selector::default()
        }),
        message: payload("inv", &inv(1)),
        ..v1::SendBestRequest::default()
    };
    let nobody = client.send_best(nobody).await.unwrap_err();
    assert_eq!(nobody.code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_its_answer_on_zcash() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let mut reading = Reading::new(&mut client, everything()).await;
    let there = pair.meet().await;
    let peer = reading.established().await.peer;
    let ask = v1::RequestRequest {
        to: Some(v1::request_request::To::Best(v1::Selector::default())),
        message: payload("mempool", b""),
        ..v1::RequestRequest::default()
    };
    let asking = tokio::spawn({
        let mut client = client.clone();
        let ask = ask.clone();
        async move { client.request(ask).await }
    });
    assert_eq!(pair.heard().await.command().name(), "mempool");
    let body = bytes::Bytes::from(inv(9));
    let mut reader = peerage::core::wire::Reader::new(&body);
    let command = Command::from_static("inv");
    let version = peerage::verack::ProtocolVersion(170_140);
    let answer = peerage::MessageOf::<Zcash>::read(command, &mut reader, &body, version);
    let sent = pair.other.handle.send(there, answer.unwrap()).await;
    sent.unwrap().unwrap();
    let answered = soon("the answer", asking)
        .await
        .unwrap()
        .unwrap()
        .into_inner();
    assert_eq!(
        (answered.peer, answered.message),
        (peer, payload("inv", &inv(9)))
    );
    assert!(answered.score.is_some());

    let unclear = v1::RequestRequest {
        message: payload("getdata", &inv(1)),
        ..ask.clone()
    };
    let unclear = client.request(unclear).await.unwrap_err();
    assert_eq!(unclear.code(), Code::InvalidArgument);
    assert!(
        unclear.message().contains("which answer"),
        "{}",
        unclear.message()
    );
    let late = v1::RequestRequest {
        timeout_ms: 1,
        ..ask
    };
    assert_eq!(
        client.request(late).await.unwrap_err().code(),
        Code::DeadlineExceeded
    );
}

/// Headers asked for from block 1 on, under this id.
fn get_headers(id: u64) -> eth::Request {
    let ask = eth::Ask::BlockHeaders {
        start: eth::HashOrNumber::Number(1),
        limit: 2,
        skip: 0,
        reverse: false,
    };
    eth::Request { id, ask }
}

fn headers(id: u64, list: &'static [u8]) -> eth::Response {
    let answer = eth::Answer::BlockHeaders(bytes::Bytes::from_static(list));
    eth::Response { id, answer }
}

const VERSION: eth::EthVersion = eth::EthVersion::Eth69;

#[tokio::test(flavor = "multi_thread")]
async fn clients_need_not_agree_on_request_ids() {
    let mut pair = Pair::<Ethereum>::new("hoodi").await;
    let mut client = pair.served.client().await;
    let mut reading = Reading::new(&mut client, everything()).await;
    pair.meet().await;
    let peer = reading.established().await.peer.unwrap();
    // Two clients ask under the same id, and each gets its own answer.
    let ask = |start: u64| {
        let mut request = get_headers(77);
        if let eth::Ask::BlockHeaders { limit, .. } = &mut request.ask {
            *limit = start;
        }
        v1::RequestRequest {
            to: Some(v1::request_request::To::Peer(peer.clone())),
            message: payload("GetBlockHeaders", &request.encode(VERSION)),
            ..v1::RequestRequest::default()
        }
    };
    let asking: Vec<_> = [1, 2]
        .map(|start| {
            let (mut client, ask) = (client.clone(), ask(start));
            tokio::spawn(async move { client.request(ask).await })
        })
        .into();
    let mut asked = Vec::new();
    while asked.len() < 2 {
        let event = soon("a question", pair.events.next()).await.unwrap();
        if let Event::Request { token, message } = event {
            let Message::Eth(eth::Message::Request(request)) = message else {
                panic!("{message:?}");
            };
            asked.push((token, request));
        }
    }
    assert_ne!(asked[0].1.id, asked[1].1.id);
    for (token, request) in asked.into_iter().rev() {
        let eth::Ask::BlockHeaders { limit, .. } = request.ask else {
            panic!("{request:?}");
        };
        let list: &[u8] = if limit == 1 {
            &[0xc1, 0x01]
        } else {
            &[0xc1, 0x02]
        };
        let answer = Message::Eth(eth::Message::Response(headers(request.id, list)));
        let answered = pair.other.handle.respond(token, answer).await;
        answered.unwrap().unwrap();
    }
    for (number, asking) in asking.into_iter().enumerate() {
        let answer = soon("the answer", asking)
            .await
            .unwrap()
            .unwrap()
            .into_inner();
        let list: &[u8] = if number == 0 {
            &[0xc1, 0x01]
        } else {
            &[0xc1, 0x02]
        };
        let body = headers(77, list.to_vec().leak()).encode(VERSION);
        let told = answer.message.unwrap();
        assert_eq!(
            (&*told.name, told.code, told.body),
            ("BlockHeaders", Some(4), body)
        );
    }
    let none = v1::RequestRequest {
        message: payload("BlockHeaders", &headers(1, &[0xc0]).encode(VERSION)),
        ..ask(1)
    };
    assert_eq!(
        client.request(none).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_question_goes_to_one_application_or_to_nobody() {
    let mut pair = Pair::<Ethereum>::new("hoodi").await;
    let there = pair.meet().await;
    let ask = |id| {
        let message = Message::Eth(eth::Message::Request(get_headers(id)));
        let other = pair.other.handle.clone();
        tokio::spawn(async move { other.request(there, id, message).await })
    };
    // Nobody listens: it is left to the daemon's caller.
    let unanswered = ask(1);
    soon("what is left", pair.served.left.recv()).await.unwrap();
    let mut client = pair.served.client().await;
    let request = v1::SubscribeRequest {
        requests: true,
        ..v1::SubscribeRequest::default()
    };
    let mut reading = Reading::new(&mut client, request.clone()).await;
    let mut second = Reading::new(&mut client, request).await;
    let asking = ask(2);
    let item = reading.item().await.unwrap();
    let Some(v1::item::Of::Request(asked)) = item.of else {
        panic!("{item:?}");
    };
    let told = asked.message.unwrap();
    assert_eq!(
        (&*told.name, told.body),
        ("GetBlockHeaders", get_headers(2).encode(VERSION))
    );
    let respond = |message| v1::RespondRequest {
        request: asked.request,
        message,
    };
    // What is no answer leaves the question open.
    let wrong = respond(payload("BlockBodies", &[0xc2, 0x02, 0xc0]));
    let wrong = client.respond(wrong).await.unwrap_err();
    assert!(
        wrong.message().contains("BlockHeaders"),
        "{}",
        wrong.message()
    );
    // Whatever id the application writes, the peer gets its own.
    let right = respond(payload(
        "BlockHeaders",
        &headers(999, &[0xc1, 0x05]).encode(VERSION),
    ));
    client.respond(right.clone()).await.unwrap();
    assert_eq!(
        client.respond(right).await.unwrap_err().code(),
        Code::NotFound
    );
    let (answer, _) = soon("the answer", asking).await.unwrap().unwrap();
    assert_eq!(
        answer,
        Message::Eth(eth::Message::Response(headers(2, &[0xc1, 0x05])))
    );
    // The second application was asked nothing; when the first has gone, it is.
    drop(reading);
    let alone = async {
        loop {
            let status = client.status(v1::StatusRequest::default()).await.unwrap();
            if status.into_inner().subscriptions.unwrap().open == 1 {
                return;
            }
        }
    };
    soon("its end", alone).await;
    let asking = ask(3);
    let item = second.item().await.unwrap();
    assert!(
        matches!(item.of, Some(v1::item::Of::Request(_))),
        "{item:?}"
    );
    drop((asking, unanswered));
}

/// However late an answer comes, it is not lost, and whoever was to answer is told that it need not.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_is_told() {
    let mut pair = Pair::<Ethereum>::hasty("hoodi").await;
    let mut client = pair.served.client().await;
    let asked = v1::SubscribeRequest {
        requests: true,
        ..everything()
    };
    let mut reading = Reading::new(&mut client, asked).await;
    let there = pair.meet().await;
    let peer = reading.established().await.peer.unwrap();
    let ask = v1::RequestRequest {
        to: Some(v1::request_request::To::Peer(peer.clone())),
        message: payload("GetBlockHeaders", &get_headers(1).encode(VERSION)),
        ..v1::RequestRequest::default()
    };
    let overdue = client.request(ask).await.unwrap_err();
    assert_eq!(overdue.code(), Code::DeadlineExceeded, "{overdue}");
    let (token, id) = loop {
        let event = soon("a question", pair.events.next()).await.unwrap();
        if let Event::Request { token, message } = event {
            let Message::Eth(eth::Message::Request(request)) = message else {
                panic!("{message:?}");
            };
            break (token, request.id);
        }
    };
    let answer = Message::Eth(eth::Message::Response(headers(id, &[0xc1, 0x05])));
    let sent = pair.other.handle.respond(token, answer).await;
    sent.unwrap().unwrap();
    let late = loop {
        if let v1::event::Of::LateAnswer(late) = reading.event().await {
            break late;
        }
    };
    assert_eq!(late.peer.as_ref(), Some(&peer));
    assert_eq!(late.message.unwrap().name, "BlockHeaders");
    assert!(late.late_us > 0 && late.took_us > late.late_us);

    // A question of theirs that an application takes and does not answer.
    let other = pair.other.handle.clone();
    let question = Message::Eth(eth::Message::Request(get_headers(2)));
    let asking = tokio::spawn(async move { other.request(there, 2, question).await });
    let (mut taken, mut given_up) = (None, None);
    while given_up.is_none() {
        match reading.item().await.unwrap().of {
            Some(v1::item::Of::Request(request)) => taken = Some(request.request),
            Some(v1::item::Of::Event(event)) => {
                if let Some(v1::event::Of::GivenUp(it)) = event.of {
                    given_up = Some(it);
                }
            }
            _ => {}
        }
    }
    let given_up = given_up.unwrap();
    assert_eq!((Some(given_up.request), given_up.peer), (taken, Some(peer)));
    let answer = v1::RespondRequest {
        request: given_up.request,
        message: payload("BlockHeaders", &headers(2, &[0xc0]).encode(VERSION)),
    };
    let gone = client.respond(answer).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    drop(asking);
}

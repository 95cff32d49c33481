use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerage_core::{Failure as _, Kind, Retry};
use peerage_inproxy::call::{BrokerClient, CallError};
use peerage_inproxy::destination::Hosts;
use peerage_inproxy::envelope::{Envelope, SessionId};
use peerage_inproxy::message::{Announce, Call, Offer, Reply};
use peerage_inproxy::noise::Calling;
use peerage_inproxy::{Code, PartySecret, TransportKind};
use peerage_matcher::{CompartmentId, NetworkProtocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::common::calls::{
    announce, answer, call, described, matched, network, offer, offering, refused, until,
};
use crate::common::{COMMON, OUTSIDE, Running, entry, entry_for, soon};

#[tokio::test]
async fn a_client_and_a_volunteer_get_each_others_descriptions_and_nothing_else() {
    let broker = Running::new().await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    until(&client, true, false).await;
    let offered = offering(&client);
    let matched = matched(announced).await;
    assert_eq!(matched.destination, "127.0.0.1:8233");
    assert_eq!(matched.description, described(1, "127.0.0.1:1"));
    assert_eq!(matched.transport, TransportKind::Quic as u8);
    assert!(!matched.personal && matched.answer_ms > 0);
    let taken = volunteer.call(&answer(&matched), soon()).await;
    assert_eq!(taken, Ok(Reply::Taken { delivered: true }));
    let Ok(Reply::Answered(answered)) = offered.await.unwrap() else {
        panic!()
    };
    assert_eq!(answered.connection, matched.connection);
    assert_eq!(answered.description, described(2, "127.0.0.1:2"));
    // A second answer, and one of somebody else, find nobody.
    let late = refused(volunteer.call(&answer(&matched), soon()).await);
    assert_eq!((late.code, late.retry), (Code::NoClient, Retry::Never));
    broker.stop().await;
}

#[tokio::test]
async fn only_the_volunteer_that_was_given_a_client_can_answer_it() {
    let broker = Running::new().await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    let offered = offering(&client);
    let matched = matched(announced).await;
    let thief = broker.caller();
    let stolen = refused(thief.call(&answer(&matched), soon()).await);
    assert_eq!(stolen.code, Code::NoClient);
    let error = Call::AnswerError {
        connection: matched.connection,
    };
    let noted = thief.call(&error, soon()).await;
    assert_eq!(noted, Ok(Reply::Noted { awaited: false }));
    let noted = volunteer.call(&error, soon()).await;
    assert_eq!(noted, Ok(Reply::Noted { awaited: true }));
    let told = refused(offered.await.unwrap());
    assert_eq!((told.code, told.retry), (Code::NoAnswer, Retry::Now));
}

#[tokio::test]
async fn a_destination_that_is_not_allowed_is_refused_before_any_match() {
    let broker = Running::new().await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    until(&client, true, false).await;
    let mut forged = entry().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let refusals = [
        (
            Offer {
                destination: "9.9.9.9:8233".into(),
                ..offer()
            },
            Code::Destination,
        ),
        (
            Offer {
                entry: forged.into(),
                ..offer()
            },
            Code::Destination,
        ),
        (
            Offer {
                entry: Bytes::new(),
                ..offer()
            },
            Code::Destination,
        ),
        (
            Offer {
                destination: "nowhere".into(),
                ..offer()
            },
            Code::BadRequest,
        ),
        (
            Offer {
                protocol: NetworkProtocol::Udp,
                ..offer()
            },
            Code::Udp,
        ),
        (
            Offer {
                common: vec![CompartmentId([1; 32])],
                ..offer()
            },
            Code::Compartment,
        ),
        (
            Offer {
                common: Vec::new(),
                ..offer()
            },
            Code::BadRequest,
        ),
        (
            Offer {
                personal: vec![COMMON],
                ..offer()
            },
            Code::BadRequest,
        ),
        (
            Offer {
                description: Bytes::from_static(b"?"),
                ..offer()
            },
            Code::BadRequest,
        ),
        (
            Offer {
                description: described(1, "192.0.2.1:1"),
                ..offer()
            },
            Code::NoCandidate,
        ),
    ];
    for (offer, code) in refusals {
        let call = Call::Offer(Box::new(offer));
        let refusal = refused(client.call(&call, soon()).await);
        assert_eq!(
            (refusal.code, refusal.retry),
            (code, Retry::Never),
            "{refusal}"
        );
    }
    // The volunteer was not bothered: it waits still, and gets the next one.
    let offered = offering(&client);
    matched(announced).await;
    offered.abort();
}

#[tokio::test]
async fn private_addresses_pass_in_personal_compartments_only() {
    let broker = Running::with(|config| config.loopback = false).await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let personal = vec![CompartmentId([9; 32])];
    let mut offered = offer();
    offered.description = described(1, "192.168.0.1:1");
    offered.destination = "9.9.9.9:8233".into();
    let everywhere = Hosts::Net("0.0.0.0/0".parse().unwrap());
    offered.entry = entry_for(everywhere, (8233, 8233));
    let common = client
        .call(&Call::Offer(Box::new(offered.clone())), soon())
        .await;
    assert_eq!(refused(common).code, Code::NoCandidate);
    (offered.common, offered.personal) = (Vec::new(), personal.clone());
    let announced = call(
        &volunteer,
        Call::Announce(Announce {
            network: network(),
            load: 0,
            wait_ms: 15_000,
            personal,
        }),
    );
    let offered = call(&client, Call::Offer(Box::new(offered)));
    let matched = matched(announced).await;
    assert!(matched.personal);
    let loopback = refused(volunteer.call(&answer(&matched), soon()).await);
    assert_eq!(loopback.code, Code::NoCandidate);
    // Its client does not wait for what is never passed on.
    assert_eq!(refused(offered.await.unwrap()).code, Code::NoAnswer);
}

#[tokio::test]
async fn a_volunteer_that_dies_before_it_answers_is_told_to_its_client_at_once() {
    let broker = Running::new().await;
    let client = Arc::new(broker.caller());
    let volunteer = Arc::new(broker.caller());
    let announced = call(&volunteer, announce());
    let offered = offering(&client);
    matched(announced).await;
    // Its connections end with it.
    drop(volunteer);
    let told = refused(offered.await.unwrap());
    assert_eq!((told.code, told.retry), (Code::VolunteerLeft, Retry::Now));
    assert_eq!(told.kind(), Kind::Closed);
}

#[tokio::test]
async fn whoever_hangs_up_is_forgotten() {
    let broker = Running::new().await;
    let (one, other) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let offered = offering(&one);
    until(&other, false, true).await;
    offered.abort();
    until(&other, false, false).await;
    let announced = call(&one, announce());
    until(&other, true, false).await;
    announced.abort();
    until(&other, false, false).await;
    // A client that leaves after the match: the volunteer is told that nobody waits.
    let announced = call(&one, announce());
    let offered = offering(&other);
    let matched = matched(announced).await;
    offered.abort();
    drop(other);
    // Whether the broker has noticed already is a race that both sides of may win.
    let taken = one.call(&answer(&matched), soon()).await;
    assert!(matches!(taken, Ok(Reply::Taken { .. })), "{taken:?}");
}

#[tokio::test]
async fn a_wait_ends_with_a_reason_and_the_rules_say_why() {
    let broker = Running::new().await;
    let client = Arc::new(broker.caller());
    let volunteer = Arc::new(broker.caller());
    // One of another compartment waits, and one who speaks another transport.
    let elsewhere = call(
        &volunteer,
        Call::Announce(Announce {
            personal: vec![CompartmentId([9; 32])],
            network: network(),
            load: 0,
            wait_ms: 15_000,
        }),
    );
    until(&client, true, false).await;
    let offered = offering(&client);
    until(&volunteer, true, true).await;
    let reply = client.call(&Call::Explain, soon()).await.unwrap();
    let Reply::Explained(list) = reply else {
        panic!("{reply:?}")
    };
    let [waiting] = list.as_slice() else {
        panic!("{list:?}")
    };
    assert!(waiting.offer);
    assert_eq!(
        (waiting.others, waiting.excluded),
        (8, [8, 0, 0, 0, 0]),
        "in steps of 8"
    );
    let mut short = offer();
    short.wait_ms = 1;
    let no = refused(client.call(&Call::Offer(Box::new(short)), soon()).await);
    assert_eq!((no.code, no.retry), (Code::NoMatch, Retry::Now));
    offered.abort();
    elsewhere.abort();
}

#[tokio::test]
async fn stopping_answers_every_held_call() {
    let broker = Running::new().await;
    let address = broker.address.clone();
    let callers: Vec<_> = (0..20).map(|_| Arc::new(broker.caller())).collect();
    let personal = |n: usize| Announce {
        network: network(),
        load: 0,
        wait_ms: 15_000,
        personal: vec![CompartmentId([u8::try_from(n).unwrap(); 32])],
    };
    let held: Vec<_> = callers
        .iter()
        .enumerate()
        .map(|(n, caller)| match n % 2 {
            0 => call(caller, Call::Announce(personal(n))),
            _ => offering(caller),
        })
        .collect();
    let watcher = broker.caller();
    loop {
        let reply = watcher.call(&Call::Stats, soon()).await.unwrap();
        let Reply::Stats(numbers) = reply else {
            panic!()
        };
        if (numbers.announcements, numbers.offers) == (16, 16) {
            break;
        }
    }
    // Ten of each wait, or nine: steps of 8. Either way each is told.
    broker.stop().await;
    for held in held {
        match held.await.unwrap() {
            Err(CallError::Refused(no)) => assert_eq!(no.code, Code::Stopping),
            // It came while the broker was stopping already.
            Err(CallError::Status { status: 503 } | CallError::Broken { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(
        TcpStream::connect(address.target.to_string())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_broker_of_another_key_is_noticed() {
    let broker = Running::new().await;
    let mut address = broker.address.clone();
    address.key = PartySecret::new([1; 32]).public();
    let caller = BrokerClient::new(address, PartySecret::new([2; 32]), OUTSIDE);
    let error = caller.call(&Call::Stats, soon()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::WrongIdentity, "{error}");
}

#[tokio::test]
async fn a_session_that_the_broker_forgot_is_made_anew() {
    let broker = Running::with(|config| {
        config.limits.sessions = 1;
        config.limits.session_idle = Duration::ZERO;
    })
    .await;
    let (one, other) = (broker.caller(), broker.caller());
    for _ in 0..3 {
        // Each takes the place of the other, which was idle.
        one.call(&Call::Stats, soon()).await.unwrap();
        other.call(&Call::Stats, soon()).await.unwrap();
    }
}

#[tokio::test]
async fn with_all_sessions_in_use_there_is_none_for_the_next() {
    let broker = Running::with(|config| config.limits.sessions = 1).await;
    let one = broker.caller();
    one.call(&Call::Stats, soon()).await.unwrap();
    let full = broker
        .caller()
        .call(&Call::Stats, soon())
        .await
        .unwrap_err();
    assert_eq!(full, CallError::Status { status: 503 });
    assert_eq!(full.retry(), Retry::After(Duration::from_secs(5)));
    one.call(&Call::Stats, soon()).await.unwrap();
}

#[tokio::test]
async fn one_address_makes_so_many_offers_and_is_told_to_wait() {
    let broker = Running::with(|config| {
        let limits = config.matcher.extras.offer_limits.as_mut().unwrap();
        limits.entries = 2;
    })
    .await;
    let callers: Vec<_> = (0..2).map(|_| Arc::new(broker.caller())).collect();
    let held: Vec<_> = callers.iter().map(offering).collect();
    let third = broker.caller();
    // Until the two have arrived, a third can take their place; then it leaves with its time.
    let refusal = loop {
        let mut short = offer();
        short.wait_ms = 1;
        let no = refused(third.call(&Call::Offer(Box::new(short)), soon()).await);
        if no.code != Code::NoMatch {
            break no;
        }
    };
    assert_eq!(refusal.code, Code::Limited, "{refusal}");
    assert!(matches!(refusal.retry, Retry::After(_)), "{refusal}");
    held.iter().for_each(JoinHandle::abort);
}

/// One request over a connection of its own: status and body.
async fn post(broker: &Running, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(broker.address.target.to_string())
        .await
        .unwrap();
    let len = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: b\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n"
    );
    // One that is too long is answered before it was sent.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    read_response(&mut stream).await
}

async fn read_response(stream: &mut TcpStream) -> (u16, Vec<u8>) {
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let end = response
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    let head = String::from_utf8_lossy(&response[..end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .map_or(0, |status| status.parse().unwrap());
    (status, response[end..].to_vec())
}

#[tokio::test]
async fn replayed_forged_oversized_and_unknown_requests_are_turned_away() {
    let broker = Running::new().await;
    let secret = PartySecret::new([7; 32]);
    let (calling, hello) = Calling::begin(OUTSIDE, &secret, &broker.address.key).unwrap();
    let hello = Envelope::Hello(hello.try_into().unwrap()).encode().unwrap();
    let (status, reply) = post(&broker, "/v1/hello", &hello).await;
    assert_eq!(status, 200);
    let Ok(Envelope::HelloReply(id, message)) = Envelope::decode(&reply) else {
        panic!()
    };
    let stats = Call::Stats.encode().unwrap();
    let (session, third) = calling.finish(&message, &stats).unwrap();
    let first = Envelope::First(id, third.into()).encode().unwrap();
    // A forged third message ends the handshake; so the true one comes first here.
    let (status, reply) = post(&broker, "/v1/call", &first).await;
    assert_eq!(status, 200);
    let Ok(Envelope::Reply(0, sealed)) = Envelope::decode(&reply) else {
        panic!()
    };
    assert!(matches!(
        Reply::decode(&session.open(0, &sealed).unwrap()),
        Ok(Reply::Stats(_))
    ));
    assert_eq!(
        post(&broker, "/v1/call", &first).await.0,
        410,
        "a handshake is finished once"
    );

    let number = session.number().unwrap();
    let sealed = session.seal(number, &stats).unwrap();
    let good = Envelope::Call(id, number, sealed.clone().into())
        .encode()
        .unwrap();
    assert_eq!(post(&broker, "/v1/call", &good).await.0, 200);
    assert_eq!(post(&broker, "/v1/call", &good).await.0, 409, "replayed");
    let other = Envelope::Call(id, number + 1, sealed.into())
        .encode()
        .unwrap();
    assert_eq!(
        post(&broker, "/v1/call", &other).await.0,
        403,
        "under another number"
    );
    let mut forged = good.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        post(&broker, "/v1/call", &forged).await.0,
        409,
        "its number came before"
    );
    let unknown = Envelope::Call(SessionId([0; 16]), 1, Bytes::new())
        .encode()
        .unwrap();
    assert_eq!(post(&broker, "/v1/call", &unknown).await.0, 410);
    assert_eq!(post(&broker, "/v1/call", b"?").await.0, 400);
    assert_eq!(post(&broker, "/v1/call", &hello).await.0, 400);
    assert_eq!(post(&broker, "/v1/call", &[0; 5000]).await.0, 413);
    assert_eq!(post(&broker, "/v1/hello", &[0; 49]).await.0, 400);
    assert_eq!(post(&broker, "/elsewhere", b"").await.0, 404);
    // What is inside a session and makes no sense is refused inside it.
    let number = session.number().unwrap();
    let sealed = session.seal(number, b"nonsense").unwrap();
    let call = Envelope::Call(id, number, sealed.into()).encode().unwrap();
    let (status, reply) = post(&broker, "/v1/call", &call).await;
    assert_eq!(status, 200);
    let Ok(Envelope::Reply(_, sealed)) = Envelope::decode(&reply) else {
        panic!()
    };
    let reply = Reply::decode(&session.open(number, &sealed).unwrap()).unwrap();
    let Reply::Refused(refusal) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (refusal.code, refusal.retry),
        (Code::BadRequest, Retry::Never)
    );
}

#[tokio::test]
async fn slow_requests_are_cut_off() {
    let time = Duration::from_millis(50);
    let broker = Running::with(|config| config.limits.request_time = time).await;
    let addr = broker.address.target.to_string();
    let mut head = TcpStream::connect(&addr).await.unwrap();
    head.write_all(b"POST /v1/call HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    let (status, _) = read_response(&mut head).await;
    assert!(
        status == 408 || status == 0,
        "closed, with or without a word: {status}"
    );
    let mut body = TcpStream::connect(&addr).await.unwrap();
    let half = b"POST /v1/call HTTP/1.1\r\nhost: b\r\ncontent-length: 9\r\n\r\n1234";
    body.write_all(half).await.unwrap();
    assert_eq!(read_response(&mut body).await.0, 408);
}

#[tokio::test]
async fn one_address_gets_its_share_and_no_more() {
    let broker = Running::with(|config| {
        config.limits.handshakes_per_minute = 2;
        config.limits.connections_per_group = 3;
    })
    .await;
    for _ in 0..2 {
        broker.caller().call(&Call::Stats, soon()).await.unwrap();
    }
    let third = broker
        .caller()
        .call(&Call::Stats, soon())
        .await
        .unwrap_err();
    assert_eq!(third, CallError::Status { status: 429 });
    let addr = broker.address.target.to_string();
    // Connections that ended before may be counted still.
    let mut open = Vec::new();
    loop {
        let mut stream = TcpStream::connect(&addr).await.unwrap();
        stream
            .write_all(b"GET /health HTTP/1.1\r\nhost: b\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        if &first == b"HTTP/1.1 503" {
            break;
        }
        assert_eq!(&first, b"HTTP/1.1 200");
        open.push(stream);
        assert!(open.len() <= 3);
    }
    assert!(!open.is_empty());
}

#[tokio::test]
async fn metrics_are_rounded_and_name_no_caller() {
    let broker = Running::new().await;
    let caller = Arc::new(broker.caller());
    let waiting = call(&caller, announce());
    until(&caller, true, false).await;
    let mut stream = TcpStream::connect(broker.address.target.to_string())
        .await
        .unwrap();
    let get = b"GET /metrics HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let (status, body) = read_response(&mut stream).await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200);
    let line = "peerage_broker_waiting{side=\"volunteer\",nat=\"strict\"} 8";
    assert!(text.lines().any(|other| other == line), "{text}");
    for line in text.lines() {
        let value: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(value % 8, 0, "{line}");
        assert!(!line.contains("127.0.0.1"), "{line}");
    }
    waiting.abort();
}

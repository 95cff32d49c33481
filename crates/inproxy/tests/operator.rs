//! What an operator changes and collects while the broker runs.

use std::sync::Arc;

use peerage_core::Retry;
use peerage_inproxy::broker::{PostError, Report, ReportsUrl, post};
use peerage_inproxy::message::{Call, Offer, Reply};
use peerage_inproxy::{Code, CompartmentList, SignerSecret};
use peerage_matcher::CompartmentId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::common::calls::{announce, answer, call, matched, offer, offering, refused, until};
use crate::common::parties::{Serving, client, echo, echoed, target};
use crate::common::{COMMON, Running, metrics, soon};

#[tokio::test]
async fn compartments_change_while_it_runs_and_no_match_is_lost() {
    let broker = Running::new().await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    let offered = offering(&client);
    let matched_before = matched(announced).await;
    // Another waits, too.
    let waiting = offering(&client);
    until(&volunteer, false, true).await;

    let next = CompartmentId([0xc1; 32]);
    let mut list = CompartmentList::default();
    list.add(COMMON).unwrap();
    list.add(next).unwrap();
    list.retire(COMMON).unwrap();
    broker.control.set_compartments(list);
    let taken = volunteer.call(&answer(&matched_before), soon()).await;
    assert_eq!(taken, Ok(Reply::Taken { delivered: true }));
    assert!(matches!(offered.await.unwrap(), Ok(Reply::Answered(_))));
    let no = refused(offering(&client).await.unwrap());
    assert_eq!((no.code, no.retry), (Code::Compartment, Retry::Never));
    assert!(no.text.contains("retired"), "{no}");
    // Volunteers come to the next one, and those who know it meet them there.
    let announced = call(&volunteer, announce());
    let asked = Offer {
        common: vec![next],
        ..offer()
    };
    let offered = call(&client, Call::Offer(Box::new(asked)));
    let matched_after = matched(announced).await;
    let taken = volunteer.call(&answer(&matched_after), soon()).await;
    assert_eq!(taken, Ok(Reply::Taken { delivered: true }));
    assert!(matches!(offered.await.unwrap(), Ok(Reply::Answered(_))));
    waiting.abort();
}

#[tokio::test]
async fn paths_are_counted_by_the_classes_of_both_nats() {
    let broker = Running::new().await;
    let _volunteer = Serving::new(&broker, |_| {});
    let channel = client(&broker).dial(&target(echo().await), soon()).await;
    echoed(channel.unwrap(), 100).await;
    let strict = "client=\"strict\",volunteer=\"strict\"";
    let line = format!("peerage_broker_paths_total{{{strict},outcome=\"opened\"}} 8");
    // The volunteer tells it beside relaying.
    loop {
        let text = metrics(&broker).await;
        assert!(text.contains("outcome=\"failed\"} 0"), "{text}");
        if text.lines().any(|other| other == line) {
            break;
        }
    }
}

/// A service that answers each request with the next status, and gives away the bodies.
async fn collector(statuses: &'static [u16]) -> (ReportsUrl, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/records", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel(100);
    tokio::spawn(async move {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let body = loop {
                stream.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8(request.clone()).unwrap();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                assert!(head.starts_with("POST /records HTTP/1.1"), "{head}");
                let len = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == len.unwrap().parse::<usize>().unwrap() {
                    break body.to_owned();
                }
            };
            let response = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(response.as_bytes()).await.unwrap();
            sender.send(body).await.unwrap();
        }
    });
    (url.parse().unwrap(), bodies)
}

/// A broker whose reports come here, after one introduction.
async fn one_report() -> (mpsc::Receiver<Report>, Running) {
    let (sender, reports) = mpsc::channel(10);
    let broker = Running::with(|config| config.reports = Some(sender)).await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    let offered = offering(&client);
    let matched = matched(announced).await;
    volunteer.call(&answer(&matched), soon()).await.unwrap();
    assert!(matches!(offered.await.unwrap(), Ok(Reply::Answered(_))));
    (reports, broker)
}

#[tokio::test]
async fn records_are_posted_and_a_service_that_is_busy_is_asked_again() {
    let (reports, broker) = one_report().await;
    let (url, mut bodies) = collector(&[503, 200]).await;
    let signer = SignerSecret::new(&[4; 32]);
    let public = signer.public().to_string();
    let posting = tokio::spawn(async move {
        post(&url, &signer, reports, |_, error| panic!("{error}")).await;
    });
    let first = bodies.recv().await.unwrap();
    let again = bodies.recv().await.unwrap();
    assert_eq!(first, again);
    assert!(
        first.contains("\"destination\":\"127.0.0.1:8233\""),
        "{first}"
    );
    assert!(
        first.contains(&public) && first.ends_with("\"}\n"),
        "{first}"
    );
    // It ends with the broker.
    broker.stop().await;
    posting.await.unwrap();
}

#[tokio::test]
async fn records_that_are_refused_for_good_are_lost_and_told() {
    let (reports, broker) = one_report().await;
    let (url, mut bodies) = collector(&[404]).await;
    let (sender, mut lost) = mpsc::channel(1);
    tokio::spawn(async move {
        let tell = |count, error: &PostError| sender.try_send((count, error.clone())).unwrap();
        post(&url, &SignerSecret::new(&[4; 32]), reports, tell).await;
    });
    bodies.recv().await.unwrap();
    let told = lost.recv().await.unwrap();
    assert_eq!(told, (1, PostError::Status { status: 404 }));
    drop(broker);
}

//! Sockets that cannot be had.

use peerage_core::{Failure, Kind};
use peerage_discv5::record::Builder;
use peerage_find::{Bind, BindError, Sockets};

use crate::common::{anywhere, key, node, record};

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = Sockets::bind(&Bind::at(anywhere())).unwrap();
    let at = taken.endpoints().next().unwrap().socket_addr();
    let error = Sockets::bind(&Bind::at(at)).unwrap_err();
    assert!(matches!(error, BindError::InUse { addr } if addr == at));
    assert!(error.to_string().contains(&at.port().to_string()));
    assert_eq!(error.kind(), Kind::Usage);
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused() {
    let at = "192.0.2.1:0".parse().unwrap();
    let error = Sockets::bind(&Bind::at(at)).unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
    assert!(matches!(
        Sockets::bind(&Bind::default()),
        Err(BindError::Nowhere)
    ));
}

#[tokio::test]
async fn both_families_share_a_port() {
    let v4 = Sockets::bind(&Bind::at(anywhere())).unwrap();
    let port = v4.endpoints().next().unwrap().port();
    let v6 = Bind::at(([0, 0, 0, 0, 0, 0, 0, 1], port).into());
    // The same port is free on the other family, because each socket keeps to its own.
    let both = Sockets::bind(&v6).unwrap();
    assert_eq!(both.endpoints().next().unwrap().port(), port);
}

#[tokio::test]
async fn a_burst_of_hundreds_reaches_the_application_whole_and_in_order() {
    let mut node = node(1);
    let to = record(&node).await.udp4_endpoint().unwrap().socket_addr();
    let sender = std::net::UdpSocket::bind(anywhere()).unwrap();
    let datagram = |number: u8| vec![number; 1 + usize::from(number % 60)];
    for number in 0..200 {
        sender.send_to(&datagram(number), to).unwrap();
    }
    for number in 0..200 {
        let (from, bytes) = node.foreign.next().await.unwrap();
        assert_eq!(from.socket_addr(), sender.local_addr().unwrap());
        assert_eq!(bytes, datagram(number));
    }
    assert_eq!(node.foreign.lost(), 0);
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_costs_the_others_no_answer() {
    let (one, two, three) = (node(1), node(2), node(3));
    // A socket of the loopback cannot send there.
    let elsewhere = Builder::new(1).ip([192, 0, 2, 1].into()).udp4(9);
    let elsewhere = elsewhere.sign(&key(4)).unwrap();
    let (to_two, to_three) = (record(&two).await, record(&three).await);
    let asking = one.handle.clone();
    // Asked for in one go, so that all three datagrams leave in one batch.
    let lost = tokio::spawn(async move { asking.ping(&elsewhere).await });
    let (two, three) = tokio::join!(one.handle.ping(&to_two), one.handle.ping(&to_three));
    assert!(two.is_ok() && three.is_ok());
    assert!(one.handle.metrics().await.unwrap().send_failed > 0);
    lost.abort();
}

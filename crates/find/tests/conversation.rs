//! Two services talk.

use peerage_core::Endpoint;
use peerage_discv5::discovery::{Event, RequestError};
use peerage_find::{CallError, TalkAnswerError};

use crate::common::{id, node, record, setup, silent};

#[tokio::test]
async fn two_services_answer_each_other() {
    let (one, two) = (node(1), node(2));
    let (first, second) = (record(&one).await, record(&two).await);
    let pong = one.handle.ping(&second).await.unwrap();
    assert_eq!(pong.record_seq, 1);
    assert_eq!(Some(pong.observed), first.udp4_endpoint());
    let found = two.handle.find_node(&first, &[0]).await.unwrap();
    assert_eq!(found, [first]);
    assert_eq!(one.handle.node_id(), id(1));
}

#[tokio::test]
async fn many_requests_at_once_before_any_session_are_all_answered() {
    let (one, two) = (node(1), node(2));
    let to = record(&two).await;
    let pings = (0..8).map(|_| {
        let (handle, to) = (one.handle.clone(), to.clone());
        tokio::spawn(async move { handle.ping(&to).await })
    });
    for ping in pings.collect::<Vec<_>>() {
        ping.await.unwrap().unwrap();
    }
    let metrics = one.handle.metrics().await.unwrap();
    assert_eq!(metrics.discovery.handshakes, 1, "one handshake for all");
}

#[tokio::test]
async fn ipv6_has_a_socket_of_its_own_beside_ipv4() {
    use peerage_discv5::record::Builder;
    use peerage_find::{Bind, Setup, Sockets, start};
    let v6 = "[::1]:0".parse().unwrap();
    let both = Bind::at(crate::common::anywhere()).and(v6);
    let dual = |n: u8| {
        let sockets = Sockets::bind(&both).unwrap();
        let record = sockets.describe(Builder::new(1));
        let mut setup = Setup::new(crate::common::key(n), record, [n; 32]);
        setup.upkeep = false;
        start(setup, sockets).unwrap()
    };
    let (one, two) = (dual(1), dual(2));
    let whole = record(&two).await;
    assert!(whole.udp4_endpoint().is_some() && whole.udp6_endpoint().is_some());
    let only6 = two
        .handle
        .update_record(|record| record.without("ip").without("udp"));
    let only6 = only6.await.unwrap().unwrap();
    let pong = one.handle.ping(&whole).await.unwrap();
    assert_eq!(Some(pong.observed), record(&one).await.udp4_endpoint());
    let pong = one.handle.ping(&only6).await.unwrap();
    assert_eq!(Some(pong.observed), record(&one).await.udp6_endpoint());
}

#[tokio::test]
async fn a_registered_protocol_is_answered_by_the_application_and_others_with_nothing() {
    let (one, two) = (node(1), node(2));
    let to = record(&two).await;
    let mut requests = two.handle.register_talk(b"echo").await.unwrap().unwrap();
    assert!(two.handle.register_talk(b"echo").await.unwrap().is_err());
    let answering = tokio::spawn(async move {
        let request = requests.next().await.unwrap();
        assert_eq!(request.contact.node, id(1));
        assert_eq!(request.record.node_id(), id(1));
        let payload = request.payload.clone();
        request.answer(payload).await.unwrap();
        let request = requests.next().await.unwrap();
        let (len, limit) = (1178, 1177);
        let too_long = request.answer(vec![0; len]).await;
        assert_eq!(too_long, Err(TalkAnswerError::TooLong { len, limit }));
    });
    assert_eq!(
        one.handle.talk(&to, b"echo", b"hello").await.unwrap(),
        b"hello"
    );
    assert_eq!(one.handle.talk(&to, b"other", b"hello").await.unwrap(), b"");
    assert_eq!(
        one.handle.talk(&to, b"echo", b"more").await.unwrap(),
        b"",
        "too long"
    );
    answering.await.unwrap();
    // The stream is gone, and with it the protocol: at once, and for whoever registers it next.
    assert_eq!(one.handle.talk(&to, b"echo", b"gone").await.unwrap(), b"");
    assert!(two.handle.register_talk(b"echo").await.unwrap().is_ok());
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_at_once() {
    let one = node(1);
    let own = record(&one).await;
    let asked = one.handle.ping(&own).await;
    assert_eq!(asked, Err(CallError::Request(RequestError::Ourselves)));
    one.handle.ban_node(id(7)).await.unwrap();
    let asked = one.handle.ping(&silent(7, 1)).await;
    assert_eq!(asked, Err(CallError::Request(RequestError::NotAdmitted)));
    let long = one.handle.talk(&silent(8, 1), b"p", &[0; 1280]).await;
    assert!(matches!(
        long,
        Err(CallError::Request(RequestError::TooLong { .. }))
    ));
}

#[tokio::test]
async fn a_resolve_brings_the_newest_record() {
    let (one, two) = (node(1), node(2));
    let old = record(&two).await;
    assert!(one.handle.add_node(&old).await.unwrap());
    let new = two.handle.update_record(|record| record.uint("x", 1)).await;
    let new = new.unwrap().unwrap();
    assert_eq!(new.seq(), 2);
    assert_eq!(one.handle.resolve(id(2)).await.unwrap(), Some(new));
    assert_eq!(one.handle.resolve(id(9)).await.unwrap(), None);
    let table = one.handle.table().await.unwrap();
    assert_eq!(table.len(), 1);
    assert!(table[0].seen);
}

#[tokio::test]
async fn what_happens_comes_in_its_lane() {
    let (one, mut two) = (node(1), node(2));
    let to = record(&two).await;
    one.handle.ping(&to).await.unwrap();
    loop {
        let event = two.gossip.next().await.unwrap();
        if let Event::SessionUp { contact, .. } = event {
            assert_eq!(contact.node, id(1));
            break;
        }
    }
    let changed = two.handle.update_record(|record| record.uint("x", 1)).await;
    let changed = changed.unwrap().unwrap();
    assert_eq!(
        two.control.next().await,
        Some(Event::RecordChanged(changed))
    );
    two.handle.ban_node(id(1)).await.unwrap();
    assert!(matches!(two.control.next().await, Some(Event::Banned(node, _)) if node == id(1)));
}

#[tokio::test]
async fn garbage_and_floods_change_nothing_and_foreign_datagrams_are_passed_on() {
    let (one, mut two) = (node(1), node(2));
    let to = record(&two).await;
    let at = to.udp4_endpoint().unwrap().socket_addr();
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    other.send_to(b"another protocol", at).await.unwrap();
    let (from, datagram) = two.foreign.next().await.unwrap();
    assert_eq!(from, Endpoint::from(other.local_addr().unwrap()));
    assert_eq!(datagram, b"another protocol");
    // Every length, the empty datagram and ones beyond the buffer included; then a flood.
    for len in (0..1400).step_by(7).chain([2047, 2048, 9000, 60_000]) {
        other.send_to(&vec![0xa5; len], at).await.unwrap();
    }
    for n in 0..3000_u32 {
        let mut datagram = [0x5a; 95];
        datagram[..4].copy_from_slice(&n.to_be_bytes());
        other.send_to(&datagram, at).await.unwrap();
    }
    one.handle.ping(&to).await.unwrap();
    let metrics = two.handle.metrics().await.unwrap();
    assert!(metrics.discovery.foreign > 200, "{metrics:?}");
    assert!(metrics.cut >= 1, "{metrics:?}");
}

#[tokio::test]
async fn a_lookup_finds_nodes_that_only_others_know() {
    let (boot, far) = (node(1), node(3));
    let known = record(&boot).await;
    // It comes to the boot node, which asks it back and passes it on.
    far.handle.ping(&known).await.unwrap();
    let mut gossip = boot.gossip;
    while !matches!(gossip.next().await, Some(Event::NodeAdded(node)) if node == id(3)) {}
    boot.handle.ping(&record(&far).await).await.unwrap();
    let (mut setup, sockets) = setup(2);
    setup.boot = vec![known];
    let one = peerage_find::start(setup, sockets).unwrap();
    let found = one.handle.lookup(id(3)).await.unwrap();
    assert_eq!(found.first().map(|record| record.node_id()), Some(id(3)));
}

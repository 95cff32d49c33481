//! How a service ends, and what that means for whoever waits.

use peerage_discv5::discovery::RequestError;
use peerage_find::{Bind, CallError, Sockets};

use crate::common::{node, record, silent};

#[tokio::test]
async fn closing_ends_requests_and_frees_the_port() {
    let one = node(1);
    let at = record(&one).await.udp4_endpoint().unwrap().socket_addr();
    let waiting = {
        let handle = one.handle.clone();
        tokio::spawn(async move { handle.ping(&silent(5, 1)).await })
    };
    // The request is under way once the service counts it.
    while one.handle.metrics().await.unwrap().discovery.requests_open == 0 {
        tokio::task::yield_now().await;
    }
    one.handle.close().await;
    assert_eq!(waiting.await.unwrap(), Err(CallError::Closed));
    assert!(Sockets::bind(&Bind::at(at)).is_ok(), "the port is free");
    assert_eq!(one.handle.record().await, Err(CallError::Closed));
    one.handle.close().await;
}

#[tokio::test]
async fn the_last_handle_takes_the_service_with_it() {
    let mut one = node(1);
    let other = one.handle.clone();
    drop(one.handle);
    assert!(other.record().await.is_ok());
    drop(other);
    assert_eq!(one.control.next().await, None);
    assert_eq!(one.gossip.next().await, None);
    assert_eq!(one.foreign.next().await, None);
}

#[tokio::test]
async fn a_search_ends_with_what_it_has() {
    let one = node(1);
    one.handle.add_node(&silent(5, 1)).await.unwrap();
    let search = {
        let handle = one.handle.clone();
        tokio::spawn(async move { handle.query(crate::common::id(9)).await })
    };
    while one.handle.metrics().await.unwrap().discovery.requests_open == 0 {
        tokio::task::yield_now().await;
    }
    one.handle.close().await;
    assert!(search.await.unwrap().is_ok());
}

#[tokio::test]
async fn more_commands_than_the_queue_holds_wait_for_room() {
    let one = node(1);
    let own = record(&one).await;
    let calls = (0..1000).map(|_| {
        let (handle, own) = (one.handle.clone(), own.clone());
        tokio::spawn(async move { handle.ping(&own).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let ended = call.await.unwrap();
        assert_eq!(ended, Err(CallError::Request(RequestError::Ourselves)));
    }
}

//! A node's record follows what is decided about its address.

use std::net::SocketAddr;

use peerage::discv5::record::Builder;
use peerage::discv5::votes::VoteRules;
use peerage::find::{self, Bind, Running, Sockets};
use peerage::outside::nat::external::SetAside;
use peerage::outside::nat::{Family, Source};
use peerage::outside::{Advertise, Advertiser, Listening, Told};
use peerage::{Endpoint, NodeKey};

/// A node without upkeep, which two votes convince, and where it listens.
fn node(bind: &str) -> (Running, Listening, u16) {
    let sockets = Sockets::bind(&Bind::at(bind.parse().unwrap())).unwrap();
    let listening = Listening::of(&sockets);
    let port = sockets.endpoints().next().unwrap().port();
    let mut setup = find::setup(&NodeKey::generate(), &sockets);
    setup.upkeep = false;
    setup.config.votes = VoteRules {
        threshold: 2,
        ..VoteRules::default()
    };
    (find::start(setup, sockets).unwrap(), listening, port)
}

/// Two others see it where it is; then the clock runs by itself.
async fn vote(node: &Running) {
    let others = [self::node("127.0.0.1:0"), self::node("127.0.0.1:0")];
    for (other, _, _) in &others {
        node.handle
            .ping(&other.handle.record().await.unwrap())
            .await
            .unwrap();
    }
    tokio::time::pause();
}

async fn told(advertiser: &Advertiser, is_so: impl Fn(&Told) -> bool) -> Told {
    let mut told = advertiser.subscribe();
    told.wait_for(|told| is_so(told)).await.unwrap().clone()
}

#[tokio::test]
async fn what_neighbours_see_of_a_node_bound_to_no_address_is_not_told() {
    let (node, listening, port) = node("0.0.0.0:0");
    vote(&node).await;
    let advertiser = Advertiser::start(Advertise::default(), &listening, Some(node.handle.clone()));
    let told = told(&advertiser, |told| !told.decisions[0].set_aside.is_empty()).await;
    let [v4, v6] = &told.decisions;
    assert_eq!((v4.chosen, v6.chosen), (None, None));
    let [(claim, why)] = v4.set_aside[..] else {
        panic!("{v4}")
    };
    assert_eq!(claim.source, Source::Voted);
    assert_eq!(claim.endpoint, Endpoint::new([127, 0, 0, 1].into(), port));
    assert!(matches!(why, SetAside::NotPublic(_)));
    assert_eq!(node.handle.record().await.unwrap().udp4_endpoint(), None);
    advertiser.close().await;
}

#[tokio::test]
async fn what_is_configured_is_told_and_what_is_seen_otherwise_is_a_dispute() {
    let (node, listening, port) = node("127.0.0.1:0");
    vote(&node).await;
    let configured: SocketAddr = "192.0.2.77:0".parse().unwrap();
    let plan = Advertise {
        configured: vec![configured.into()],
        tcp: Some(9001),
        ..Advertise::default()
    };
    let advertiser = Advertiser::start(plan, &listening, Some(node.handle.clone()));
    let told = told(&advertiser, |told| told.decisions[0].set_aside.len() == 2).await;
    let decision = &told.decisions[0];
    assert!(decision.is_disputed());
    assert_eq!(decision.family, Family::V4);
    let ours = Endpoint::new(configured.ip(), port);
    assert_eq!(decision.chosen.unwrap().endpoint, ours);
    let record = node.handle.record().await.unwrap();
    assert_eq!(record.udp4_endpoint(), Some(ours));
    assert_eq!(
        record.tcp4_endpoint(),
        Some(Endpoint::new(configured.ip(), 9001))
    );
    advertiser.close().await;
}

#[tokio::test]
async fn an_address_that_nobody_confirms_any_more_leaves_the_record() {
    let (node, listening, _) = node("0.0.0.0:0");
    let put = |record: Builder| record.ip([192, 0, 2, 9].into()).udp4(9);
    node.handle.update_record(put).await.unwrap().unwrap();
    let advertiser = Advertiser::start(Advertise::default(), &listening, Some(node.handle.clone()));
    tokio::time::pause();
    let mut changes = advertiser.subscribe();
    for _ in 0..100 {
        if node
            .handle
            .record()
            .await
            .unwrap()
            .udp4_endpoint()
            .is_none()
        {
            break;
        }
        tokio::task::yield_now().await;
        let _no_news =
            tokio::time::timeout(std::time::Duration::from_secs(1), changes.changed()).await;
    }
    assert_eq!(node.handle.record().await.unwrap().udp4_endpoint(), None);
}

#[tokio::test]
async fn a_node_without_discovery_tells_what_is_decided_and_writes_nothing() {
    let ends =
        ["0.0.0.0:8233", "192.0.2.8:8234"].map(|at| at.parse::<SocketAddr>().unwrap().into());
    let plan = Advertise {
        configured: vec!["192.0.2.7:0".parse::<SocketAddr>().unwrap().into()],
        tcp: Some(8233),
        ..Advertise::default()
    };
    let advertiser = Advertiser::start(plan, &Listening::at(ends), None);
    advertiser.ready().await;
    let chosen = advertiser.now().decisions[0].chosen.unwrap();
    assert_eq!(chosen.endpoint.to_string(), "192.0.2.7:8233");
    advertiser.close().await;
}

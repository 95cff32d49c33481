//! An application that does not listen holds nothing up.

use peerage_discv5::discovery::Event;

use crate::common::{node, record};

#[tokio::test]
async fn a_service_goes_on_while_nobody_reads_its_lanes() {
    let (mut one, two) = (node(1), node(2));
    // Far more than the lanes hold: control is coalesced by subject, gossip counted.
    for n in 0..3000_u64 {
        let changed = one.handle.update_record(move |record| record.uint("n", n));
        changed.await.unwrap().unwrap();
    }
    one.handle.ping(&record(&two).await).await.unwrap();
    let newest = record(&one).await;
    assert_eq!(newest.seq(), 3001);
    loop {
        // The newest is always told.
        let Event::RecordChanged(record) = one.control.next().await.unwrap() else {
            panic!("nothing else has happened");
        };
        if record == newest {
            break;
        }
    }
}

#[tokio::test]
async fn a_talk_protocol_whose_application_is_slow_is_answered_with_nothing() {
    let (one, two) = (node(1), node(2));
    let to = record(&two).await;
    let requests = two.handle.register_talk(b"slow").await.unwrap().unwrap();
    one.handle.ping(&to).await.unwrap();
    let calls = (0..80).map(|_| {
        let (handle, to) = (one.handle.clone(), to.clone());
        tokio::spawn(async move { handle.talk(&to, b"slow", b"x").await })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(Vec::new()));
    }
    let metrics = two.handle.metrics().await.unwrap();
    assert_eq!(metrics.talks_refused, 16, "64 waited");
    drop(requests);
}

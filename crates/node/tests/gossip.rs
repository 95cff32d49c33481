//! Addresses that peers tell of.

use peerage_book::{Hearsay, Role, Source};
use tokio::time::Instant;

use crate::common::{node, nowhere, secs};
use crate::finding::list;
use crate::stranger::{Waiting, greeted, line, lives};

#[tokio::test(start_paused = true)]
async fn addresses_are_believed_only_when_asked_for() {
    let mut node = node(|_| ());
    let (first, second) = (nowhere(), nowhere());
    let mut lines = greeted(node.at, "-").await;
    node.established().await;
    lines.say(&format!("addr {first},{second}")).await.unwrap();
    assert!(node.message().await.starts_with("addr "));
    assert_eq!(node.handle.overview().await.unwrap().known, 0);

    // Whom we dial while we look for peers is asked, and believed.
    let (waiting, at) = Waiting::new().await;
    node.pin(at, Role::Static).await;
    let mut lines = waiting.greeted("").await;
    assert_eq!(line(&mut lines).await.unwrap(), "getaddr");
    lines.say(&format!("addr {first},{second}")).await.unwrap();
    assert!(node.message().await.starts_with("addr "));
    for told in [first, second] {
        let story = &node.handle.why(told.into()).await.unwrap()[0];
        assert_eq!(story.entry.sources, [Source::Gossip(Some(at.ip()))]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_dialled_us_is_told_of_others_once_and_whom_we_dialled_never() {
    let other = node(|_| ());
    let found = [other.at];
    // Those that the operator chose are nobody else's business.
    let mut node = node(|setup| setup.finders = vec![list(found)]);
    node.established().await;
    let mut lines = greeted(node.at, "-").await;
    node.established().await;
    lines.say("getaddr\ngetaddr").await.unwrap();
    let told = line(&mut lines).await.unwrap();
    assert_eq!(told, format!("addr {}", other.at));
    let silence = tokio::time::timeout(secs(30), line(&mut lines)).await;
    assert!(silence.is_err(), "{silence:?}");

    let (waiting, at) = Waiting::new().await;
    node.pin(at, Role::Static).await;
    let mut lines = waiting.greeted("\ngetaddr").await;
    assert_eq!(
        line(&mut lines).await.unwrap(),
        "getaddr",
        "its own question"
    );
    let silence = tokio::time::timeout(secs(30), line(&mut lines)).await;
    assert!(silence.is_err(), "{silence:?}");
}

/// Where a peer says that it can be dialled is gossip of that peer: believed with the answer to a
/// question, and no sooner.
#[tokio::test(start_paused = true)]
async fn what_a_peer_says_of_itself_waits_for_our_question() {
    let mut node = node(|_| ());
    let (claimed, told, other) = (nowhere(), nowhere(), nowhere());
    let (waiting, at) = Waiting::new().await;
    node.pin(at, Role::Static).await;
    let mut lines = waiting.greeted(&format!(" {claimed}")).await;
    node.established().await;
    assert_eq!(line(&mut lines).await.unwrap(), "getaddr");
    assert!(node.handle.why(claimed.into()).await.unwrap().is_empty());
    lines.say(&format!("addr {told},{other}")).await.unwrap();
    node.message().await;
    let story = &node.handle.why(claimed.into()).await.unwrap()[0];
    assert_eq!(story.entry.sources, [Source::Gossip(Some(at.ip()))]);
}

/// Some answer once in a connection; others have heard of more a while later.
#[tokio::test(start_paused = true)]
async fn while_peers_are_wanted_those_we_dialled_are_asked_again() {
    let node = node(|_| ());
    let (waiting, at) = Waiting::new().await;
    node.pin(at, Role::Static).await;
    let mut lines = waiting.greeted("").await;
    assert_eq!(line(&mut lines).await.unwrap(), "getaddr");
    let asked = Instant::now();
    assert_eq!(line(&mut lines).await.unwrap(), "getaddr");
    let passed = asked.elapsed();
    assert!(passed >= Hearsay::ASK_AGAIN, "{passed:?}");
    assert!(passed < Hearsay::ASK_AGAIN + secs(10), "{passed:?}");
    // What it says then is believed as it is the first time.
    let (first, second) = (nowhere(), nowhere());
    lines.say(&format!("addr {first},{second}")).await.unwrap();
    lives(lines);
    while node.handle.why(first.into()).await.unwrap().is_empty() {
        tokio::time::sleep(secs(1)).await;
    }
}

/// More than a message may have is a misdeed, and nothing of it is kept.
#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_is_an_offence() {
    let mut node = node(|_| ());
    let mut lines = greeted(node.at, "-").await;
    node.established().await;
    let list: Vec<_> = (1..=1_001)
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    lines
        .say(&format!("addr {}", list.join(",")))
        .await
        .unwrap();
    let (_, reason) = node.closed().await;
    assert_eq!(reason.kind, peerage_core::Kind::Malformed);
    assert_eq!(node.handle.overview().await.unwrap().known, 0);
    drop(lives(lines));
}

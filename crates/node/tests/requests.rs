//! Our requests and theirs.

use peerage_core::Kind;
use peerage_node::{Event, RequestError};
use peerage_peers::{NotSent, Token};

use crate::common::{Lines, Running, node, secs};
use crate::stranger::{greeted, line};

async fn pair() -> (Running, Lines, peerage_peers::SessionId) {
    let mut node = node(|_| ());
    let lines = greeted(node.at, "-").await;
    let id = node.established().await;
    (node, lines, id)
}

#[tokio::test(start_paused = true)]
async fn each_request_has_its_answer() {
    let (node, mut lines, id) = pair().await;
    let ask = |key: u64| node.handle.request(id, key, format!("ask {key}"));
    let answers = async {
        assert_eq!(line(&mut lines).await.unwrap(), "ask 1");
        assert_eq!(line(&mut lines).await.unwrap(), "ask 2");
        lines.say("ans 2 two").await.unwrap();
        lines.say("ans 1 one").await.unwrap();
    };
    let (one, two, ()) = tokio::join!(ask(1), ask(2), answers);
    assert_eq!(one.unwrap().0, "ans 1 one");
    assert_eq!(two.unwrap().0, "ans 2 two");
    // A key that is under way cannot be used twice.
    let (first, second) = tokio::join!(ask(3), async {
        let again = ask(3).await;
        line(&mut lines).await;
        lines.say("ans 3").await.unwrap();
        again
    });
    first.unwrap();
    assert_eq!(second, Err(RequestError::NotSent(NotSent::KeyInUse)));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_told_with_whose_and_how_late_and_is_no_offence() {
    let (mut node, mut lines, id) = pair().await;
    let handle = node.handle.clone();
    let (overdue, ()) = tokio::join!(handle.request(id, 1, "ask 1".to_owned()), async {
        assert_eq!(line(&mut lines).await.unwrap(), "ask 1")
    });
    assert_eq!(overdue, Err(RequestError::Overdue));
    tokio::time::sleep(secs(7)).await;
    lines.say("ans 1 late").await.unwrap();
    let (message, took, late) = node
        .until(|event| match event {
            Event::LateAnswer {
                id: by,
                key: 1,
                message,
                took,
                late,
            } if *by == id => Some((message.clone(), *took, *late)),
            _ => None,
        })
        .await;
    assert_eq!(message, "ans 1 late");
    // Twenty seconds and seven, and what a timer may be late.
    assert_eq!((took.as_secs(), late.as_secs()), (27, 7));
    let (asked, ()) = tokio::join!(handle.request(id, 2, "ask 2".to_owned()), async {
        assert_eq!(line(&mut lines).await.unwrap(), "ask 2");
        lines.say("ans 2").await.unwrap();
    });
    assert_eq!(asked.unwrap().0, "ans 2");
    assert_eq!(node.active().await, [id]);
    assert_eq!(handle.peers().await.unwrap()[0].strikes, 0);
    let counters = handle.overview().await.unwrap().counters;
    assert_eq!((counters.overdue, counters.late_answers), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_answers_its_requests() {
    let (node, mut lines, id) = pair().await;
    let (closed, ()) = tokio::join!(node.handle.request(id, 1, "ask 1".to_owned()), async {
        line(&mut lines).await.unwrap();
        lines.say("bye bye").await.unwrap();
    });
    match closed {
        Err(RequestError::Closed(reason)) => assert_eq!(reason.kind, Kind::Left),
        other => panic!("{other:?}"),
    }
    let dead = node.handle.request(id, 1, "ask 1".to_owned()).await;
    assert!(matches!(dead, Err(RequestError::NotSent(NotSent::Dead(_)))));
}

#[tokio::test(start_paused = true)]
async fn an_application_holds_one_peer_back_and_tells_what_it_found_of_it() {
    let (mut node, mut lines, id) = pair().await;
    node.handle.hold_back(id, true).await.unwrap().unwrap();
    lines.say("gossip one").await.unwrap();
    tokio::time::sleep(secs(60)).await;
    let peer = node.handle.peers().await.unwrap().remove(0);
    assert!(peer.paused);
    assert_eq!(peer.tally.messages_in, 0, "its words wait in the socket");
    node.handle.hold_back(id, false).await.unwrap().unwrap();
    let told = node.until(|event| match event {
        Event::Message { message, .. } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(told.await, "gossip one");
    node.handle.useful(id).await.unwrap().unwrap();
    let misdeed = peerage_peers::Misdeed::Unannounced;
    let strikes = node.handle.misbehaved(id, misdeed).await.unwrap();
    assert_eq!(strikes, Ok(Some(1)));
    let misdeed = peerage_peers::Misdeed::BadMessage;
    let strikes = node.handle.misbehaved(id, misdeed).await.unwrap();
    assert_eq!(strikes, Ok(None), "that ends it");
    let known = node.handle.look(|book| book.len()).await.unwrap();
    assert_eq!(known, node.handle.overview().await.unwrap().known);
}

async fn asked(node: &mut Running) -> Token {
    node.until(|event| match event {
        Event::Request { token, .. } => Some(*token),
        _ => None,
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn their_requests_are_answered_refused_or_given_up() {
    let (mut node, mut lines, _) = pair().await;
    lines.say("ask 1").await.unwrap();
    let token = asked(&mut node).await;
    let handle = node.handle.clone();
    handle
        .respond(token, "ans 1".to_owned())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(line(&mut lines).await.unwrap(), "ans 1");
    let twice = handle.respond(token, "ans 1".to_owned()).await.unwrap();
    assert_eq!(twice, Err(NotSent::NoSuchRequest(token)));

    lines.say("ask 2").await.unwrap();
    let token = asked(&mut node).await;
    handle.refuse(token).await.unwrap().unwrap();
    assert_eq!(
        handle.refuse(token).await.unwrap(),
        Err(NotSent::NoSuchRequest(token))
    );

    lines.say("ask 3").await.unwrap();
    let token = asked(&mut node).await;
    let lives = crate::stranger::lives(lines);
    let given_up = node
        .until(|event| match event {
            Event::RequestGivenUp { token } => Some(*token),
            _ => None,
        })
        .await;
    assert_eq!(given_up, token);
    tokio::time::sleep(secs(1)).await;
    lives.abort();
}

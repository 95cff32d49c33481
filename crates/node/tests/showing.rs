//! What a node shows of itself and its peers, and what is done with them by name.

use std::collections::BTreeSet;

use peerage_book::{Role, Source, Standing as Stands, Subject, Tip, Which};
use peerage_core::{Blame, Budget, Direction, Kind, Reason, Retry, Stage};
use peerage_node::{Audience, Event, Notice, RequestError, Subscription, Wants};
use peerage_peers::{Ending, Misdeed, NotSent, Parting, Phase, SessionId, Standing};

use crate::common::{Running, Toy, WALL, node, nowhere, reason, secs};
use crate::finding::list;
use crate::stranger::{Waiting, greeted, line, lives};

#[tokio::test(start_paused = true)]
async fn a_peer_is_shown_with_its_handshake_and_what_the_book_knows() {
    let (waiting, at) = Waiting::new().await;
    let mut node = node(|setup| setup.finders = vec![list([at])]);
    let _lines = waiting.greeted("").await;
    let id = node.established().await;
    tokio::time::sleep(secs(5)).await;
    let peer = node.handle.peer(id).await.unwrap().unwrap();
    assert_eq!(peer.session.direction, Direction::Outbound);
    assert_eq!(peer.session.phase, Phase::Active);
    assert_eq!(peer.profile.as_ref().unwrap().version, 7);
    // The wall clock of the tests stands still: the calendar says so much before.
    assert_eq!(peer.since.0, WALL.0 - 5);
    let known = peer.known.as_ref().unwrap();
    assert_eq!((known.attempts, known.successes), (1, 1));
    assert!(known.score > 0);
    let all = node.handle.list().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].session.id, id);
    let nobody = node.handle.peer(SessionId(99)).await.unwrap();
    assert!(nobody.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_happened_is_counted_by_what_it_was() {
    let (waiting, at) = Waiting::new().await;
    let dead = nowhere();
    let mut node = node(|setup| setup.finders = vec![list([at, dead])]);
    let lines = waiting.greeted("").await;
    node.established().await;
    let mut visitor = greeted(node.at, "anna").await;
    node.established().await;
    visitor.say("bye bye").await.unwrap();
    node.until(|event| match event {
        Event::Closed(closed) if closed.phase == Phase::Active => Some(()),
        _ => None,
    })
    .await;
    tokio::time::sleep(secs(1)).await;
    let of = node.handle.overview().await.unwrap();
    assert_eq!(of.counters.established, [1, 1]);
    assert_eq!((of.counters.found, of.counters.taken), (2, 2));
    assert!(of.counters.dialled >= 2);
    assert_eq!(of.counters.accepted, 1);
    assert_eq!((of.book.known, of.book.connected), (of.known, 1));
    let count = |direction, phase, ending, kind| {
        let of = of.ended.iter().find(|(ended, _)| {
            (ended.direction, ended.phase, ended.ending, ended.kind)
                == (direction, phase, ending, kind)
        });
        of.map_or(0, |(_, count)| *count)
    };
    let (left, reach) = (Ending::Goodbye, Phase::Pending(Stage::Reach));
    assert_eq!(
        count(Direction::Inbound, Phase::Active, left, Kind::Left),
        1
    );
    let unreachable = count(
        Direction::Outbound,
        reach,
        Ending::Failed,
        Kind::Unreachable,
    );
    assert!(unreachable >= 1, "{:?}", of.ended);
    let reports = node.handle.finders().await.unwrap();
    assert_eq!(of.finders, reports);
    let report = &reports[0];
    assert_eq!((report.report.gave, report.taken, report.lived), (2, 2, 1));
    assert!(report.is_over);
    drop(lines);
}

#[tokio::test(start_paused = true)]
async fn finding_and_dialling_are_told() {
    let at = nowhere();
    let mut node = node(|setup| setup.finders = vec![list([at])]);
    let (gave, new) = node
        .until(|event| match event {
            Event::Found { gave, new, .. } => Some((*gave, new.clone())),
            _ => None,
        })
        .await;
    assert_eq!((gave, new), (1, vec![at.into()]));
    let dialled = node
        .until(|event| match event {
            Event::Dialling { id, key, .. } => Some((*id, key.clone())),
            _ => None,
        })
        .await;
    assert_eq!(dialled.1, at.into());
    assert_eq!(node.closed().await.0, dialled.0);
}

/// All notices that are there: events, and how many were lost before the first of them.
async fn drain(subscription: &mut Subscription<Toy>) -> (Vec<String>, u64) {
    // What is under way arrives.
    tokio::time::sleep(secs(1)).await;
    let (mut events, mut lost) = (Vec::new(), 0);
    while let Ok(Some(notice)) = tokio::time::timeout(secs(1), subscription.next()).await {
        match notice {
            Notice::Event(event) => match &*event {
                Event::Message { message, .. } => events.push(message.clone()),
                Event::Established { .. } => events.push("established".to_owned()),
                Event::Closed(_) => events.push("closed".to_owned()),
                other => panic!("{other:?}"),
            },
            Notice::Lagged { events: of, bytes } => {
                assert!(events.is_empty() && bytes >= of);
                lost += of;
            }
        }
    }
    (events, lost)
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_told_what_it_missed_and_slows_nobody_down() {
    let node = node(|_| ());
    let Running { handle, events, at } = node;
    drop(events);
    let wants = Wants {
        messages: true,
        budget: Budget::new(3, 1 << 20),
    };
    let mut slow = handle.subscribe(wants).await.unwrap();
    let mut life = handle.subscribe(Wants::default()).await.unwrap();
    let mut lines = greeted(at, "-").await;
    for n in 0..10 {
        lines.say(&format!("news {n}")).await.unwrap();
    }
    let (events, lost) = drain(&mut slow).await;
    assert_eq!(events, ["news 7", "news 8", "news 9"]);
    assert_eq!(lost, 8, "established and seven messages");
    // Whoever wants no messages hears of lives alone.
    assert_eq!(drain(&mut life).await, (vec!["established".to_owned()], 0));
    // A long message counts for its bytes.
    let few = Budget::new(100, 3 * 1024);
    let mut small = handle
        .subscribe(Wants {
            budget: few,
            ..wants
        })
        .await
        .unwrap();
    let long = "x".repeat(1024);
    for _ in 0..5 {
        lines.say(&long).await.unwrap();
    }
    let (events, lost) = drain(&mut small).await;
    assert_eq!((events.len(), lost), (1, 4));
    assert_eq!(handle.overview().await.unwrap().subscriptions, 3);
    drop(small);
    lines.say("one more").await.unwrap();
    assert_eq!(drain(&mut slow).await.0.last().unwrap(), "one more");
    assert_eq!(handle.overview().await.unwrap().subscriptions, 2);
    handle.stop().await;
    let (last, _) = drain(&mut slow).await;
    assert_eq!(last.last().unwrap(), "closed");
    assert!(slow.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_book_is_read_page_by_page() {
    let known: BTreeSet<_> = (0..25).map(|_| nowhere()).collect();
    let node = node(|setup| {
        setup.peers.limits.pending_out = 0;
    });
    for at in &known {
        let tip = Tip::at(*at, Source::Operator);
        node.handle.add(tip).await.unwrap().unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = node.handle.book(Which::All, after, 10).await.unwrap();
        seen.extend(page.listed.into_iter().map(|(entry, _)| entry.key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = known.iter().map(|at| (*at).into()).collect();
    expected.sort();
    assert_eq!(seen, expected);
    let ready = node.handle.book(Which::Ready, None, 1).await.unwrap();
    assert_eq!(ready.listed[0].1, Stands::Ready);
    let tried = node.handle.book(Which::Tried, None, 10).await.unwrap();
    assert!(tried.listed.is_empty());
    let entry = node.handle.entry(expected[3].clone()).await.unwrap();
    assert_eq!(entry.unwrap().key, expected[3]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_trusted_distrusted_and_removed_while_it_is_here() {
    let (waiting, at) = Waiting::new().await;
    let mut node = node(|setup| setup.finders = vec![list([at])]);
    let mut lines = waiting.greeted("").await;
    let id = node.established().await;
    let standing = async |node: &Running| {
        let peers = node.handle.peers().await.unwrap();
        (
            peers[0].standing,
            node.handle.overview().await.unwrap().peers.active,
        )
    };
    assert_eq!(standing(&node).await, (Standing::Ordinary, [0, 1]));
    let known = node.handle.set_role(at.into(), Role::Trusted).await;
    assert!(known.unwrap().unwrap());
    // It takes no ordinary slot any more.
    assert_eq!(standing(&node).await, (Standing::Trusted, [0, 0]));
    assert!(node.handle.unpin(at.into()).await.unwrap());
    assert_eq!(standing(&node).await, (Standing::Ordinary, [0, 1]));
    let stranger = node.handle.set_role(nowhere().into(), Role::Static).await;
    assert!(!stranger.unwrap().unwrap());

    let removed = node.handle.remove(at.into()).await.unwrap();
    assert!(removed.was_known);
    assert_eq!(removed.sessions, [id]);
    assert_eq!(line(&mut lines).await.unwrap(), "getaddr");
    assert_eq!(line(&mut lines).await.unwrap(), "bye requested");
    assert_eq!(node.closed().await.0, id);
    assert_eq!(node.handle.overview().await.unwrap().known, 0);
    let again = node.handle.remove(at.into()).await.unwrap();
    assert!(!again.was_known && again.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_penalty_is_kept_by_the_book_and_ends_when_the_operator_says_so() {
    let (waiting, at) = Waiting::new().await;
    let mut node = node(|setup| setup.finders = vec![list([at])]);
    let lines = lives(waiting.greeted("").await);
    let id = node.established().await;
    let cool = Reason {
        blame: Blame::Them,
        retry: Retry::After(secs(3_600)),
        ..reason(
            Stage::Keep("chain"),
            Kind::Violation,
            "its blocks are nonsense",
        )
    };
    let gone = node.handle.disconnect_for(id, Parting::Breach, cool).await;
    gone.unwrap().unwrap();
    assert_eq!(
        node.closed().await.1.message.as_ref(),
        "its blocks are nonsense"
    );
    tokio::time::sleep(secs(1_800)).await;
    assert!(node.active().await.is_empty());
    let story = node.handle.why(at.into()).await.unwrap().remove(0);
    assert!(matches!(story.standing, Stands::Waiting { .. }), "{story}");
    assert!(story.to_string().contains("its blocks are nonsense"));
    assert!(node.handle.hurry(at.into()).await.unwrap());
    let _again = lives(waiting.greeted("").await);
    node.established().await;
    assert!(!node.handle.hurry(at.into()).await.unwrap());
    lines.abort();
}

#[tokio::test(start_paused = true)]
async fn the_application_reports_misdeeds_and_good_deeds() {
    let mut node = node(|_| ());
    let _lines = lives(greeted(node.at, "-").await);
    let id = node.established().await;
    node.handle.useful(id).await.unwrap().unwrap();
    let struck = node.handle.misbehaved(id, Misdeed::BadMessage).await;
    struck.unwrap().unwrap();
    assert_eq!(node.closed().await.1.kind, Kind::Malformed);
    node.handle.useful(id).await.unwrap().unwrap_err();
    let of = node.handle.overview().await.unwrap();
    assert_eq!(of.misdeeds, [(Misdeed::BadMessage, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_to_several_says_what_became_of_it_at_each() {
    let mut node = node(|setup| setup.peers.limits.per_group = 100);
    let mut all = Vec::new();
    let mut ids = BTreeSet::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        all.push(greeted(node.at, name).await);
        ids.insert(node.established().await);
    }
    let gone = SessionId(9_999);
    let some: Vec<_> = ids.iter().copied().take(2).chain([gone]).collect();
    let these = Audience::These(some.clone());
    let sent = node.handle.gossip_to(these, "hi".to_owned()).await.unwrap();
    assert_eq!(sent.iter().map(|(id, _)| *id).collect::<Vec<_>>(), some);
    assert!(sent[0].1.is_ok() && sent[1].1.is_ok());
    assert!(matches!(sent[2].1, Err(NotSent::Dead(_))));
    for (audience, expected) in [
        (Audience::All, 9),
        (Audience::Root, 3),
        (Audience::Any(4), 4),
        (Audience::Any(100), 9),
    ] {
        let sent = node.handle.gossip_to(audience, "hi".to_owned()).await;
        let sent = sent.unwrap();
        let to: BTreeSet<_> = sent.iter().map(|(id, _)| *id).collect();
        assert_eq!((sent.len(), to.len()), (expected, expected));
        assert!(to.is_subset(&ids));
    }
    assert_eq!(line(&mut all[0]).await.unwrap(), "hi");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_is_answered_into_the_void() {
    let mut node = node(|_| ());
    let mut lines = greeted(node.at, "-").await;
    let id = node.established().await;
    let (asked, was) = tokio::join!(node.handle.request(id, 1, "ask 1".to_owned()), async {
        assert_eq!(line(&mut lines).await.unwrap(), "ask 1");
        node.handle.cancel(id, 1).await.unwrap()
    });
    assert_eq!((asked, was), (Err(RequestError::Overdue), true));
    assert!(!node.handle.cancel(id, 1).await.unwrap());
    lines.say("ans 1").await.unwrap();
    lines.say("news").await.unwrap();
    assert_eq!(node.message().await, "news");
    assert_eq!(node.handle.peers().await.unwrap()[0].strikes, 0);
}

#[tokio::test(start_paused = true)]
async fn bans_are_listed() {
    let node = node(|_| ());
    let subject = Subject::Net("192.0.2.0/24".parse().unwrap());
    let term = Some(secs(600));
    let banned = node.handle.ban(subject.clone(), term, "rude").await;
    banned.unwrap().unwrap();
    let bans = node.handle.bans().await.unwrap();
    assert_eq!(bans.len(), 1);
    assert_eq!((&bans[0].0, &*bans[0].1.words), (&subject, "rude"));
    assert_eq!(bans[0].1.until.unwrap().0, WALL.0 + 600);
}

//! Our requests and theirs.

use peerage_peers::{
    Action, Config, Event, NotSent, Outcome, RequestRules, TheirRules, Token, Treatment,
};

use crate::common::{World, secs, small};

fn strict() -> Config {
    let mut config = small();
    config.requests = RequestRules::default();
    config.conduct.unsolicited = Treatment::Strike;
    config.conduct.breach = Treatment::End;
    config.keepalive.idle = secs(10_000);
    config.keepalive.first = secs(9_000);
    config
}

fn token(world: &mut World) -> Token {
    loop {
        let action = world.table.poll_action().unwrap();
        if let Action::Event(Event::Request { token, .. }) = action {
            return token;
        }
    }
}

#[test]
fn answers_find_their_questions_in_any_order() {
    let mut world = World::new(strict());
    let id = world.out(1);
    for key in [5, 6, 7] {
        world.ask(id, key);
    }
    world.drain();
    world.now += secs(1);
    for key in [7, 5, 6] {
        assert!(world.table.expects(id, &key));
        world.answer(id, key);
        assert!(!world.table.expects(id, &key));
    }
    let expected = [7, 5, 6].map(|key| format!("answer {id} {key} in 1000ms"));
    assert_eq!(world.drain(), expected);
}

#[test]
fn a_late_answer_is_named_late_and_silence_is_a_breach() {
    let mut world = World::new(strict());
    let id = world.out(1);
    world.ask(id, 5);
    world.ask(id, 6);
    world.drain();
    let said = world.pass(secs(20));
    assert_eq!(said, [format!("overdue {id} 5"), format!("overdue {id} 6")]);
    world.now += secs(1);
    world.answer(id, 5);
    assert_eq!(
        world.drain(),
        [format!("answer {id} 5 in 21000ms late by 1000ms")]
    );
    let said = world.pass(secs(99));
    assert_eq!(
        said,
        [
            format!("misbehaved {id} breach 1"),
            format!("close {id} breach"),
            format!("closed {id} outbound refused violation told breach"),
        ]
    );
}

#[test]
fn answers_nobody_asked_for_are_known_before_they_are_decoded() {
    let mut world = World::new(strict());
    let id = world.out(1);
    assert!(!world.table.expects(id, &5));
    world.answer(id, 5);
    assert_eq!(world.drain(), [format!("misbehaved {id} unsolicited 1")]);
    world.ask(id, 5);
    world.drain();
    world.answer(id, 5);
    world.answer(id, 5);
    let said = world.drain();
    assert_eq!(
        said[1],
        format!("misbehaved {id} unsolicited 2"),
        "one question, one answer"
    );
}

#[test]
fn a_question_that_has_not_left_cannot_be_answered() {
    let mut world = World::new(strict());
    let id = world.out(1);
    world
        .table
        .request(world.now, id, 5, ("q".into(), 1))
        .unwrap();
    world.answer(id, 5);
    assert!(
        world
            .drain()
            .contains(&format!("misbehaved {id} unsolicited 1"))
    );
}

#[test]
fn a_cancelled_request_is_answered_into_the_void() {
    let mut world = World::new(strict());
    let id = world.out(1);
    world.ask(id, 5);
    world.drain();
    assert!(world.table.cancel_request(world.now, id, &5));
    assert!(!world.table.cancel_request(world.now, id, &5));
    world.answer(id, 5);
    assert!(world.drain().is_empty());
    assert!(world.pass(secs(200)).is_empty());
}

#[test]
fn requests_to_one_peer_are_capped_and_keys_are_its_own() {
    let mut config = strict();
    config.requests.in_flight = 2;
    config.requests.remembered = 3;
    let mut world = World::new(config);
    let (a, b) = (world.out(1), world.out(2));
    let ask = |world: &mut World, id, key| world.table.request(world.now, id, key, ("q".into(), 1));
    ask(&mut world, a, 5).unwrap();
    assert_eq!(ask(&mut world, a, 5), Err(NotSent::KeyInUse));
    ask(&mut world, b, 5).unwrap();
    ask(&mut world, a, 6).unwrap();
    assert_eq!(
        ask(&mut world, a, 7),
        Err(NotSent::TooManyRequests { limit: 2 })
    );
    // Late ones free their place, as far as memory goes.
    while world.table.poll_transmit(world.now, a).is_some() {}
    while world.table.poll_transmit(world.now, b).is_some() {}
    world.pass(secs(20));
    ask(&mut world, a, 7).unwrap();
    assert_eq!(
        ask(&mut world, a, 8),
        Err(NotSent::TooManyRequests { limit: 3 })
    );
}

#[test]
fn what_stays_unanswered_is_in_the_closing_event() {
    let mut world = World::new(strict());
    let id = world.out(1);
    for key in [5, 6, 7] {
        world.ask(id, key);
    }
    world.answer(id, 6);
    world.table.ended(world.now, id, Outcome::Left);
    let mut unanswered = None;
    while let Some(action) = world.table.poll_action() {
        if let Action::Event(Event::Closed(closed)) = action {
            unanswered = Some(closed.unanswered);
        }
    }
    let mut unanswered = unanswered.unwrap();
    unanswered.sort_unstable();
    assert_eq!(unanswered, [5, 7]);
}

#[test]
fn each_request_of_theirs_is_answered_once() {
    let mut world = World::new(strict());
    let id = world.out(1);
    world.request(id, "a");
    world.request(id, "b");
    let (a, b) = (token(&mut world), token(&mut world));
    world
        .table
        .respond(world.now, b, "answer b".into(), 8)
        .unwrap();
    let again = world.table.respond(world.now, b, "answer b".into(), 8);
    assert_eq!(again, Err(NotSent::NoSuchRequest(b)));
    world.table.refuse(world.now, a).unwrap();
    assert_eq!(
        world.table.refuse(world.now, a),
        Err(NotSent::NoSuchRequest(a))
    );
    assert_eq!(
        world.table.poll_transmit(world.now, id).as_deref(),
        Some("answer b")
    );
    assert_eq!(world.table.poll_transmit(world.now, id), None);
}

#[test]
fn reading_pauses_while_too_many_of_theirs_are_unanswered() {
    let mut config = strict();
    config.theirs = TheirRules {
        pause_above: 2,
        max: 4,
        within: secs(60),
    };
    let mut world = World::new(config);
    let id = world.out(1);
    for n in 0..2 {
        world.request(id, &n.to_string());
    }
    assert!(world.table.can_read(id));
    world.request(id, "3");
    assert!(!world.table.can_read(id));
    // What was read already is taken up to the cap, and then handed back.
    world.request(id, "4");
    world.request(id, "5");
    assert_eq!(world.held.len(), 1);
    assert_eq!(world.table.peer_at(world.now, id).unwrap().asked, 4);
    let tokens: Vec<_> = (0..4).map(|_| token(&mut world)).collect();
    world.table.refuse(world.now, tokens[0]).unwrap();
    assert!(!world.table.can_read(id));
    world.table.refuse(world.now, tokens[1]).unwrap();
    assert!(world.table.can_read(id));
    assert_eq!(world.drain(), [format!("resume {id}")]);
}

#[test]
fn an_application_that_never_answers_does_not_stop_reading_for_ever() {
    let mut config = strict();
    config.theirs.pause_above = 1;
    config.theirs.within = secs(60);
    let mut world = World::new(config);
    let id = world.out(1);
    world.request(id, "a");
    world.request(id, "b");
    let token = token(&mut world);
    world.drain();
    let said = world.pass(secs(60));
    assert_eq!(
        said,
        [
            format!("given up {id}"),
            format!("given up {id}"),
            format!("resume {id}")
        ]
    );
    assert_eq!(
        world.table.respond(world.now, token, "late".into(), 4),
        Err(NotSent::NoSuchRequest(token))
    );
}

#[test]
fn nobody_is_late_while_we_do_not_listen() {
    let mut config = strict();
    config.theirs.pause_above = 1;
    config.theirs.within = secs(1000);
    config.keepalive = peerage_peers::Keepalive::ETHEREUM;
    let mut world = World::new(config);
    let id = world.out(1);
    world.ask(id, 5);
    world.request(id, "a");
    world.request(id, "b");
    let a = token(&mut world);
    world.drain();
    assert!(!world.table.can_read(id));
    let said = world.pass(secs(500));
    assert!(
        said.is_empty(),
        "neither a ping, nor silence, nor an overdue answer: {said:?}"
    );
    world.table.refuse(world.now, a).unwrap();
    world.answer(id, 5);
    assert_eq!(
        world.drain(),
        [format!("resume {id}"), format!("answer {id} 5 in 0ms")],
        "the pause is not counted"
    );
}

#[test]
fn a_pause_counts_only_from_when_the_question_was_asked() {
    let mut config = strict();
    config.theirs.pause_above = 1;
    config.theirs.within = secs(1000);
    let mut world = World::new(config);
    let id = world.out(1);
    world.ask(id, 5);
    world.pass(secs(10));
    world.request(id, "a");
    world.request(id, "b");
    let a = token(&mut world);
    world.drain();
    world.pass(secs(95));
    world.ask(id, 6);
    world.drain();
    world.pass(secs(5));
    world.table.refuse(world.now, a).unwrap();
    world.drain();
    // Key 5 was asked 10 s before the pause, key 6 in its last 5 s.
    assert_eq!(world.pass(secs(10)), [format!("overdue {id} 5")]);
    assert!(world.pass(secs(9)).is_empty());
    assert_eq!(world.pass(secs(1)), [format!("overdue {id} 6")]);
}

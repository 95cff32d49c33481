//! The handshake as two ends of one conversation.

use peerage_core::{Direction, Failure, Interruption, Kind, Session, Stage, UnixTime};
use peerage_ethereum::eth::{self, Ask, HashOrNumber, Request};
use peerage_ethereum::{AcceptAll, Attempt, Codec, EthVersion, Greeting, Message};

use crate::common::pair::{
    End, answering, chain, converse, converse_in, dialling, established, node, node_on,
};

#[test]
fn two_nodes_greet_each_other() {
    let (alice, bob) = (node(1), node(2));
    let (a, b) = established(&alice, &bob);
    assert_eq!((a.info.id, b.info.id), (bob.id(), alice.id()));
    assert_eq!(a.info.hello.client_id.to_string(), "node-2/v1");
    assert_eq!(b.info.hello.client_id.to_string(), "node-1/v1");
    assert_eq!(a.info.direction, Direction::Outbound);
    assert_eq!(b.info.direction, Direction::Inbound);
    for life in [&a, &b] {
        assert_eq!(life.info.eth_version(), Some(72));
        let chain = life.info.chain.as_ref().unwrap();
        assert_eq!(chain.status.network_id, 1);
        let passed = chain.standing.passed;
        assert_eq!(alice.chain.schedule.name(passed), "bpo2");
    }
    assert!(a.input.is_empty() && b.input.is_empty());
}

#[test]
fn they_speak_the_highest_version_both_have() {
    for version in EthVersion::ALL {
        let (alice, mut bob) = (node(1), node(2));
        bob.capabilities = [version.spec()].into();
        let (a, b) = established(&alice, &bob);
        assert_eq!(a.info.eth_version(), Some(version.number()));
        assert_eq!(b.info.eth_version(), Some(version.number()));
    }
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let (alice, bob) = (node(1), node(2));
    let mut a = End::new(&alice, dialling(bob.key.public(), 1));
    let mut b = End::new(&bob, answering(2));
    converse_in(&mut a, &mut b, 1);
    assert_eq!((a.is(), b.is()), ("peer", "peer"));
}

#[test]
fn a_question_is_answered_emptily_where_nobody_else_answers() {
    let (mut a, mut b) = established(&node(1), &node(2));
    let asked = Message::Eth(eth::Message::Request(Request {
        id: 77,
        ask: Ask::BlockHeaders {
            start: HashOrNumber::Number(5),
            limit: 3,
            skip: 0,
            reverse: false,
        },
    }));
    let question = a.say(&asked);
    let heard = b.hear(&question).unwrap().unwrap();
    assert_eq!(heard, asked);
    let answer = Codec::empty_answer(&heard).unwrap();
    let answered = b.say(&answer);
    assert_eq!(a.hear(&answered).unwrap(), Some(answer));
    assert_eq!(a.codec.waiting(), 0);
    let again = b.say(&Codec::empty_answer(&heard).unwrap());
    let error = a.hear(&again).unwrap_err();
    assert_eq!(error.kind(), Kind::Violation, "{error}");
}

#[test]
fn pings_are_answered() {
    let (mut a, mut b) = established(&node(1), &node(2));
    let ping = a.say(&Codec::ping(0));
    let heard = b.hear(&ping).unwrap().unwrap();
    let pong = b.say(&Codec::answer_to_ping(&heard).unwrap());
    let heard = a.hear(&pong).unwrap().unwrap();
    assert!(Codec::is_pong(&heard, 0));
}

/// A task that greets and then serves keeps the larger of the two rooms for as long as it lives, and
/// drivers move the handshake at every step. What it needs only meanwhile lies elsewhere.
#[test]
fn a_handshake_takes_little_room_in_a_task() {
    let (greeting, attempt) = (size_of::<Greeting<AcceptAll>>(), size_of::<Attempt>());
    assert!(greeting <= 192 && attempt <= 32, "{greeting}, {attempt}");
}

#[test]
fn our_own_key_is_not_dialled() {
    let alice = node(1);
    let mut a = End::new(&alice, dialling(alice.key.public(), 1));
    let mut nobody = End::new(&alice, answering(2));
    a.hear(&[]);
    assert_eq!(a.error().kind(), Kind::SelfConnection);
    converse(&mut a, &mut nobody);
    assert_eq!(nobody.is(), "live", "nothing was said");
}

#[test]
fn whoever_is_called_off_says_goodbye_as_soon_as_it_can() {
    let (alice, bob) = (node(1), node(2));
    let mut a = End::new(&alice, dialling(bob.key.public(), 1));
    a.said();
    a.interrupt(Interruption::Cancelled);
    assert_eq!(a.error().kind(), Kind::Cancelled);
    assert!(a.said().is_empty(), "nobody could read it");

    let mut a = End::new(&alice, dialling(bob.key.public(), 1));
    let mut b = End::new(&bob, answering(2));
    b.hear(&a.said());
    b.interrupt(Interruption::DeadlinePassed);
    a.hear(&b.said());
    assert_eq!(a.error().stage(), Stage::Greet("status"));
    assert_eq!(a.error().kind(), Kind::Timeout, "{}", a.error());
}

#[test]
fn a_dialler_learns_what_does_not_fit_before_it_is_hung_up_on() {
    let (alice, bob) = (node(1), node_on(chain("hoodi"), 2));
    let mut a = End::new(&alice, dialling(bob.key.public(), 1));
    let mut b = End::new(&bob, answering(2));
    converse(&mut a, &mut b);
    assert_eq!(a.error().kind(), Kind::WrongNetwork);
    assert_eq!(b.error().stage(), Stage::Greet("status"));
    assert_eq!(b.error().kind(), Kind::Refused, "told why: {}", b.error());
}

#[test]
fn a_dialler_whom_nobody_tells_first_tells_its_chain_by_itself() {
    let (alice, bob) = (node(1), node(2));
    let mut a = End::new(&alice, dialling(bob.key.public(), 1));
    let mut b = End::new(&bob, answering(2));
    b.hear(&a.said());
    a.hear(&b.said());
    let hello = a.said();
    assert!(a.wakeup.is_some() && a.said().is_empty());
    a.wake();
    let status = a.said();
    assert!(a.wakeup.is_none() && !status.is_empty());
    b.hear(&hello);
    b.hear(&status);
    a.hear(&b.said());
    assert_eq!((a.is(), b.is()), ("peer", "peer"));
}

#[test]
fn a_node_without_a_block_takes_a_fork_to_come_for_what_it_is() {
    let now = UnixTime(1_791_000_000);
    let sepolia = node_on(chain("sepolia"), 1);
    let ours = sepolia.forks(now).fork_id();
    assert_eq!(ours.next, 1_791_294_816, "amsterdam is near but not here");
    assert!(sepolia.forks(now).judge(ours).is_ok());
    let later = UnixTime(1_791_294_816);
    assert_eq!(sepolia.forks(later).fork_id().next, 0);
    assert_eq!(sepolia.forks(later).fork_name(), "amsterdam");
}

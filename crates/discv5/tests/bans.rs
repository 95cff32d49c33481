//! Bans: who is banned is not heard, not asked, not placed and not passed on, for a time.

use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::Config;
use peerage_discv5::discovery::{Answer, Event, RequestError};

use crate::common::net::{Net, addr};

const BAN: Duration = Duration::from_secs(15 * 60);

#[test]
fn a_banned_node_loses_its_place_and_gets_none_until_its_ban_is_over() {
    let mut net = Net::of(1, 3, &Config::default());
    let (known, new) = (net.record(1), net.record(2));
    let place = |net: &mut Net, record: &peerage_discv5::Record| {
        let added = net.with(0, |machine, _| machine.add_node(record));
        let table = net.nodes[0].machine.table();
        assert_eq!(added, table.node(&record.node_id()).is_some());
        added
    };
    assert!(place(&mut net, &known));
    for record in [&known, &new] {
        net.with(0, |machine, now| machine.ban_node(now, record.node_id()));
        assert!(!place(&mut net, record));
    }
    // Banned again, it counts from then.
    net.run(BAN / 2);
    net.with(0, |machine, now| machine.ban_node(now, new.node_id()));
    net.run(BAN / 2);
    net.with(0, |machine, now| machine.handle_timeout(now));
    assert!(place(&mut net, &known), "it is over");
    assert!(!place(&mut net, &new));
    let lifted = new.node_id();
    net.with(0, |machine, _| machine.bans_mut().unban_node(&lifted));
    assert!(place(&mut net, &new));
}

#[test]
fn a_node_at_a_banned_address_gets_no_place() {
    let mut net = Net::of(2, 2, &Config::default());
    let record = net.record(1);
    let until = net.now + BAN;
    net.with(0, |machine, now| {
        machine.handle_timeout(now);
        machine.bans_mut().ban_ip(addr(1).ip(), until);
    });
    assert!(!net.with(0, |machine, _| machine.add_node(&record)));
    assert_eq!(net.ping(1, 0), Err(RequestError::Timeout));
}

#[test]
fn a_banned_node_is_neither_heard_nor_asked() {
    let mut net = Net::of(3, 2, &Config::default());
    net.ping(0, 1).unwrap();
    let banned = net.record(1);
    net.with(0, |machine, now| machine.ban_node(now, banned.node_id()));
    let refused = Err(RequestError::NotAdmitted);
    assert_eq!(net.ping(0, 1), refused);
    let asked = net.with(0, |m, now| m.start_find_node(now, &banned, &[0]));
    assert_eq!(asked.map(|_| ()), Err(RequestError::NotAdmitted));
    let found = net.search(0, |m, now| m.start_resolve(now, banned.node_id()));
    assert!(found.is_empty());
    // The session it had is of no use to it.
    assert_eq!(net.ping(1, 0), Err(RequestError::Timeout));
    net.run(BAN);
    let observed = Endpoint::from(addr(1));
    let pong = Answer::Pong {
        record_seq: 1,
        observed,
    };
    assert_eq!(net.ping(1, 0), Ok(pong));
}

#[test]
fn a_banned_node_is_not_passed_on() {
    let mut net = Net::of(4, 6, &Config::default());
    for n in 1..6 {
        net.ping(0, n).unwrap();
    }
    let (to, banned) = (net.record(0), net.record(3).node_id());
    let everything: Vec<u16> = (240..=256).collect();
    let passed_on = |net: &mut Net| {
        let asked = net.with(1, |m, now| m.start_find_node(now, &to, &everything));
        net.run(Duration::from_secs(5));
        let Some(Ok(Answer::Nodes(nodes))) = net.answer_to(1, asked.unwrap()) else {
            panic!();
        };
        let ids: Vec<_> = nodes.iter().map(peerage_discv5::Record::node_id).collect();
        (ids.len(), ids.contains(&banned))
    };
    assert_eq!(passed_on(&mut net), (4, true));
    net.with(0, |machine, now| machine.ban_node(now, banned));
    assert_eq!(passed_on(&mut net), (3, false));
}

#[test]
fn a_ban_holds_for_what_is_under_way() {
    let mut net = Net::of(5, 2, &Config::default());
    net.with(1, |machine, _| machine.register_talk(b"x"))
        .unwrap();
    net.ping(0, 1).unwrap();
    let to = net.record(1);
    let talk = net.with(0, |m, now| m.start_talk(now, &to, b"x", b"hi"));
    let thinks = |net: &Net| net.count(1, |event| matches!(event, Event::Talk { .. })) == 1;
    assert!(net.run_until(Duration::from_millis(300), thinks));
    // Neither the application's silence nor a request is sent to who is banned now.
    let banned = net.record(0);
    let sent = net.nodes[1].machine.metrics().datagrams_out;
    let asked = net.with(1, |m, now| {
        m.bans_mut().ban_ip(addr(0).ip(), now + BAN);
        m.start_ping(now, &banned)
    });
    assert_eq!(asked.map(|_| ()), Err(RequestError::NotAdmitted));
    net.nodes[0].is_up = false;
    net.run(Duration::from_secs(1));
    assert_eq!(net.nodes[1].machine.metrics().datagrams_out, sent);
    // What was asked before the ban is not asked once more.
    let mut net = Net::of(6, 2, &Config::default());
    net.nodes[1].is_up = false;
    let to = net.record(1);
    let asked = net.with(0, |m, now| m.start_ping(now, &to)).unwrap();
    net.with(0, |m, now| m.ban_node(now, to.node_id()));
    net.run(Duration::from_secs(2));
    assert_eq!(
        net.answer_to(0, asked),
        Some(Err(RequestError::NotAdmitted))
    );
    assert_eq!(net.datagrams, 1);
    assert!(talk.is_ok());
}

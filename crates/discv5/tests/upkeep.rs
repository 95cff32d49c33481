//! What a node does on its own: revalidation, refresh, votes, its record, an outage.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::Config;
use peerage_discv5::discovery::{Answer, Discovery, Event, NotDiscoverable};
use peerage_discv5::record::{Builder, Family};
use peerage_discv5::votes::VoteRules;

use crate::common::net::{Net, addr, secret};

/// Node 0 is started and knows all others, which answer but do nothing on their own.
fn star(seed: u8, count: usize, config: Config) -> Net {
    let mut net = Net::new(seed);
    net.add(config);
    for _ in 1..count {
        net.add(Config::default());
    }
    for n in 1..count {
        let record = net.record(n);
        net.with(0, |machine, _| machine.add_node(&record));
    }
    net.with(0, Discovery::start);
    net
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[test]
fn revalidation_sees_every_node_and_pulls_newer_records() {
    let mut net = star(1, 6, Config::default());
    net.run(minutes(2));
    assert_eq!(net.nodes[0].machine.metrics().table_seen, 5);
    let newer = net.with(3, |machine, _| {
        machine
            .update_record(|record| record.string("n", "new"))
            .cloned()
    });
    let newer = newer.unwrap();
    assert_eq!(newer.seq(), 2);
    net.run(minutes(2));
    let table = net.nodes[0].machine.table();
    assert_eq!(table.node(&newer.node_id()).unwrap().record, newer);
    assert!(net.nodes[0].events.contains(&Event::Found(newer)));
}

#[test]
fn a_newer_record_also_comes_with_a_handshake() {
    let mut net = star(2, 3, Config::default());
    net.run(minutes(1));
    net.with(1, |machine, _| {
        machine
            .update_record(|record| record.string("n", "new"))
            .cloned()
    })
    .unwrap();
    net.restart(1);
    net.ping(1, 0).unwrap();
    let table = net.nodes[0].machine.table();
    let id = net.record(1).node_id();
    assert_eq!(table.node(&id).unwrap().record.seq(), 2);
}

#[test]
fn a_node_is_replaced_after_some_failures_and_not_after_one() {
    let mut net = star(3, 6, Config::default());
    net.run(minutes(2));
    net.nodes[4].is_up = false;
    let id = net.record(4).node_id();
    let failures = |net: &Net| {
        let table = net.nodes[0].machine.table();
        table.node(&id).map(|entry| entry.failures)
    };
    assert!(net.run_until(minutes(5), |net| failures(net) == Some(1)));
    assert!(net.run_until(minutes(10), |net| failures(net) == Some(2)));
    assert!(net.run_until(minutes(10), |net| failures(net).is_none()));
    assert!(net.nodes[0].events.contains(&Event::NodeRemoved(id)));
    assert_eq!(net.nodes[0].machine.table().len(), 4, "the others stay");
}

#[test]
fn our_own_outage_does_not_empty_the_table() {
    let mut net = star(4, 8, Config::default());
    net.run(minutes(2));
    assert_eq!(net.nodes[0].machine.table().len(), 7);
    net.nodes[0].is_up = false;
    net.run(minutes(60));
    assert_eq!(net.nodes[0].machine.table().len(), 7);
    assert_eq!(net.count(0, |event| *event == Event::Outage), 1);
    net.nodes[0].is_up = true;
    net.run(minutes(1));
    assert_eq!(net.count(0, |event| *event == Event::OutageOver), 1);
    assert_eq!(net.nodes[0].machine.table().len(), 7);
}

#[test]
fn when_most_nodes_vanish_at_once_they_are_blamed_and_not_our_own_network() {
    let mut net = star(16, 13, Config::default());
    net.run(minutes(3));
    assert_eq!(net.nodes[0].machine.metrics().table_seen, 12);
    for n in 5..13 {
        net.nodes[n].is_up = false;
    }
    net.run(minutes(15));
    let table = net.nodes[0].machine.table();
    let living: Vec<_> = (1..5).map(|n| net.record(n).node_id()).collect();
    assert!(living.iter().all(|id| table.node(id).is_some()));
    assert_eq!(table.len(), living.len());
}

#[test]
fn boot_nodes_stay_and_come_back() {
    let mut net = Net::of(5, 4, &Config::default());
    let boot = net.record(1);
    let placed = net.with(0, |machine, now| {
        let placed = machine.seed_table([boot.clone()]);
        machine.start(now);
        placed
    });
    assert_eq!(placed, 1);
    net.nodes[1].is_up = false;
    net.run(minutes(30));
    assert_eq!(net.nodes[0].machine.table().len(), 1);
    net.nodes[1].is_up = true;
    net.run(minutes(6));
    assert_eq!(net.nodes[0].machine.metrics().table_seen, 1);
}

#[test]
fn a_refresh_comes_only_if_no_search_has_ended_lately() {
    let mut net = star(6, 3, Config::default());
    // The searches of the start are over within 20 s or so; one more ends at 4 min.
    net.run(minutes(4));
    let searches = |net: &Net| net.nodes[0].machine.metrics().searches;
    let before = searches(&net);
    net.search(0, |machine, now| machine.start_query(now, addr_id(9)));
    assert_eq!(searches(&net), before + 1);
    net.run(minutes(2));
    assert_eq!(searches(&net), before + 1, "the gate was shut at 5 min");
    net.run(minutes(5));
    assert_eq!(searches(&net), before + 2, "and open at 10 min");
}

fn addr_id(n: u8) -> peerage_discv5::NodeId {
    peerage_discv5::NodeId([n; 32])
}

fn with_votes(auto_update: bool) -> Config {
    Config {
        auto_update,
        votes: VoteRules {
            threshold: 5,
            ..VoteRules::default()
        },
        ..Config::default()
    }
}

/// Node 0 has no address in its record and pings the others.
fn voters(auto_update: bool) -> Net {
    let mut net = Net::new(7);
    net.add_at(with_votes(auto_update), addr(0), Builder::new(1));
    for _ in 1..8 {
        net.add(Config::default());
    }
    net
}

#[test]
fn a_majority_of_those_we_asked_writes_our_address() {
    let mut net = voters(true);
    net.with(0, Discovery::start);
    let told = NotDiscoverable::UntilVotes;
    assert!(net.nodes[0].events.contains(&Event::NotDiscoverable(told)));
    for n in 1..5 {
        net.ping(0, n).unwrap();
        net.ping(0, n).unwrap();
    }
    assert_eq!(net.record(0).udp4_endpoint(), None, "four voters");
    net.ping(0, 5).unwrap();
    let ours = Endpoint::from(addr(0));
    assert_eq!(net.record(0).udp4_endpoint(), Some(ours));
    assert_eq!(net.record(0).seq(), 2);
    assert_eq!(net.nodes[0].machine.metrics().auto_updates, 1);
    // From now on others can place it.
    net.restart(0);
    net.ping(0, 1).unwrap();
    let id = net.record(0).node_id();
    assert!(net.nodes[1].machine.table().node(&id).is_some());
}

/// Neighbours of one network see each other at local addresses. A node that was given none keeps
/// them to itself; one that was given one, or is told that all is local, follows them.
#[test]
fn neighbours_do_not_write_a_local_address_into_a_record_without_one() {
    let local = |n: u8| SocketAddr::from(([192, 168, 0, n], 9000));
    let placed = |record: Builder, local_votes| {
        let mut net = Net::new(7);
        let config = Config {
            local_votes,
            ..with_votes(true)
        };
        net.add_at(config, local(1), record);
        for n in 2..8 {
            let named = Builder::new(1).ip(local(n).ip()).udp4(9000);
            net.add_at(Config::default(), local(n), named);
        }
        net.with(0, Discovery::start);
        for n in 1..7 {
            net.ping(0, n).unwrap();
        }
        // Past a count of the votes, which alone moves an address that is there.
        net.run(Duration::from_secs(60 * 4));
        for n in 1..7 {
            net.ping(0, n).unwrap();
        }
        net.run(Duration::from_secs(90));
        let ours = Endpoint::from(local(1));
        let was_told = net.nodes[0].events.contains(&Event::Elsewhere(ours));
        (net.record(0).udp4_endpoint(), was_told)
    };
    let ours = Some(Endpoint::from(local(1)));
    let moved = Builder::new(1).ip([192, 168, 0, 99].into()).udp4(9000);
    let public = Builder::new(1).ip([20, 0, 0, 1].into()).udp4(9000);
    assert_eq!(placed(Builder::new(1), false), (None, true));
    assert_eq!(placed(Builder::new(1), true), (ours, false));
    assert_eq!(placed(moved, false), (ours, false));
    let stays = Some(Endpoint::new([20, 0, 0, 1].into(), 9000));
    assert_eq!(placed(public, false), (stays, true));
}

#[test]
fn nobody_votes_by_asking_us() {
    let mut net = voters(true);
    let there = net.add_at(
        with_votes(true),
        addr(50),
        Builder::new(1).ip(addr(50).ip()).udp4(9000),
    );
    for n in 1..8 {
        net.ping(n, there).unwrap();
    }
    net.run(Duration::from_secs(3));
    // The asking back is ours, so those seven votes count for where it really is.
    assert_eq!(
        net.record(there).udp4_endpoint(),
        Some(Endpoint::from(addr(50)))
    );
    assert_eq!(net.record(there).seq(), 1);
}

#[test]
fn without_auto_update_the_majority_is_only_told() {
    let mut net = voters(false);
    net.with(0, Discovery::start);
    let told = NotDiscoverable::Ever;
    assert!(net.nodes[0].events.contains(&Event::NotDiscoverable(told)));
    for n in 1..8 {
        let record = net.record(n);
        net.with(0, |machine, _| machine.add_node(&record));
    }
    net.run(minutes(6));
    assert_eq!(net.record(0).seq(), 1);
    let elsewhere = Event::Elsewhere(Endpoint::from(addr(0)));
    assert!(net.nodes[0].events.contains(&elsewhere));
}

#[test]
fn the_address_can_be_set_and_the_record_goes_on() {
    let mut net = Net::of(8, 1, &Config::default());
    let v6 = Endpoint::new("2001:db8::1".parse().unwrap(), 9006);
    let record = net.with(0, |machine, _| {
        machine.update_external_endpoint(v6).cloned()
    });
    let record = record.unwrap();
    assert_eq!(record.udp_endpoint(Family::V6), Some(v6));
    assert!(record.udp4_endpoint().is_some(), "the other stays");
    assert_eq!(record.seq(), 2);
    let same = net.with(0, |machine, _| {
        machine.update_external_endpoint(v6).cloned()
    });
    assert_eq!(same.unwrap().seq(), 2);
    assert_eq!(net.count(0, |e| matches!(e, Event::RecordChanged(_))), 1);

    // A new start from the stored record keeps identity and number.
    let again = Discovery::new(Config::default(), secret(0), record.to_builder(), [1; 32]);
    assert_eq!(*again.unwrap().record(), record);
    let moved = record.to_builder().udp4(1234);
    let again = Discovery::new(Config::default(), secret(0), moved, [1; 32]).unwrap();
    assert_eq!(again.record().seq(), 3);
    let stolen = Discovery::new(Config::default(), secret(1), record.to_builder(), [1; 32]);
    assert!(stolen.is_err());
}

#[test]
fn good_nodes_are_stored_and_given_again() {
    let mut net = star(9, 6, Config::default());
    net.run(minutes(2));
    net.nodes[5].is_up = false;
    let texts: Vec<_> = net.nodes[0]
        .machine
        .good_nodes()
        .map(ToString::to_string)
        .collect();
    assert_eq!(texts.len(), 5);
    net.restart(0);
    assert_eq!(net.nodes[0].machine.table().len(), 0);
    for text in texts {
        let record: peerage_discv5::record::Unverified = text.parse().unwrap();
        let record = record.verify().unwrap();
        assert!(net.with(0, |machine, _| machine.add_node(&record)));
    }
    assert_eq!(
        net.nodes[0].machine.good_nodes().count(),
        0,
        "until they answer"
    );
    net.with(0, Discovery::start);
    net.run(minutes(2));
    assert_eq!(net.nodes[0].machine.good_nodes().count(), 4);
}

#[test]
fn add_node_is_true_only_for_a_new_place() {
    let mut net = Net::of(10, 2, &Config::default());
    let record = net.record(1);
    let own = net.record(0);
    let add = |net: &mut Net, record: &peerage_discv5::Record| {
        net.with(0, |machine, _| machine.add_node(record))
    };
    assert!(add(&mut net, &record));
    assert!(!add(&mut net, &record), "known");
    let newer = record.to_builder().tcp4(1).sign(&secret(1)).unwrap();
    assert!(!add(&mut net, &newer), "updated");
    assert!(!add(&mut net, &own), "ourselves");
    let nowhere = Builder::new(1).sign(&secret(7)).unwrap();
    assert!(!add(&mut net, &nowhere), "no address");
    let no_port = Builder::new(1)
        .ip(addr(7).ip())
        .udp4(0)
        .sign(&secret(7))
        .unwrap();
    assert!(!add(&mut net, &no_port), "port 0");
    assert_eq!(net.nodes[0].machine.nodes_discovered(), 1);
}

#[test]
fn an_idle_node_wakes_up_rarely_and_says_why() {
    let mut net = Net::of(11, 1, &Config::default());
    assert_eq!(net.nodes[0].machine.poll_timeout(), None);
    net.with(0, Discovery::start);
    net.with(0, Discovery::start);
    let wakeup = net.nodes[0].machine.poll_timeout().unwrap();
    assert!(!wakeup.why.is_empty());
    net.with(0, |machine, _| machine.close());
    assert_eq!(net.nodes[0].machine.poll_timeout(), None);
}

#[test]
fn closing_ends_what_the_caller_waits_for() {
    let mut net = Net::of(12, 2, &Config::default());
    let to = net.record(1);
    let handle = net
        .with(0, |machine, now| machine.start_ping(now, &to))
        .unwrap();
    let search = net.with(0, |machine, now| machine.start_lookup(now, addr_id(1)));
    net.with(0, |machine, _| machine.close());
    assert!(
        net.answer_to(0, handle)
            .is_some_and(|result: Result<Answer, _>| result.is_err())
    );
    assert!(net.found_by(0, search.unwrap()).is_some());
    assert_eq!(net.nodes[0].machine.metrics().requests_open, 0);
}

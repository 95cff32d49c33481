//! What is believed, and what is told.

use std::collections::BTreeSet;

use peerage_book::{
    Book, Config, GossipEntry, Greeted, Hearsay, Key, Now, Occupied, Refused, Role, Source,
};
use peerage_core::{ConnectedAddr, Direction, Domain, Kind, Stage, UnixTime};

use crate::common::{
    apart, book, book_with, endpoint, gossiper, hours, known, minutes, reason, seconds, together,
};

fn entry(number: u64, seen: UnixTime) -> GossipEntry {
    GossipEntry {
        endpoint: apart(number),
        services: 1,
        seen,
    }
}

/// A book in which these greeted us and went again.
fn proven(count: u64) -> (Book, Now) {
    let config = Config {
        outbound_per_group: 100_000,
        ..Config::default()
    };
    let (mut book, mut now) = book_with(config);
    for number in 0..count {
        known(&mut book, now, apart(number));
    }
    for _ in 0..count {
        let next = book.next_dial(now, &Occupied::with_free(1)).unwrap();
        let greeted = Greeted {
            services: Some(1),
            ..Greeted::default()
        };
        book.outcome(now, next.id, Ok(greeted)).unwrap();
        now = now.after(std::time::Duration::from_millis(100));
    }
    (book, now)
}

#[test]
fn asking_often_does_not_list_the_book() {
    let (mut book, now) = proven(400);
    let mut told = BTreeSet::new();
    for minute in 0..23 * 60 {
        let answer = book.answer(now.after(minutes(minute)), Domain(0));
        told.extend(answer.into_iter().map(|entry| entry.endpoint));
    }
    assert_eq!(told.len(), 92, "23 percent of 400 in a day");
    let other = book.answer(now, Domain(1));
    let other: BTreeSet<_> = other.into_iter().map(|entry| entry.endpoint).collect();
    assert_ne!(told, other, "another domain is told of others");
    let next_day = now.after(hours(31));
    let answer = book.answer(next_day, Domain(0));
    told.extend(answer.into_iter().map(|entry| entry.endpoint));
    assert!(told.len() > 92, "a new sample the next day");
}

#[test]
fn an_answer_fits_a_message() {
    let mut config = Config::default();
    config.gossip.message = 50;
    config.gossip.taken = 10;
    let (mut book, mut now) = book_with(config);
    for number in 0..400 {
        known(&mut book, now, apart(number));
        let next = book.next_dial(now, &Occupied::with_free(1)).unwrap();
        book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
        now = now.after(seconds(1));
    }
    assert_eq!(book.answer(now, Domain(0)).len(), 50);
}

#[test]
fn only_who_greeted_us_lately_is_told_of_with_a_rounded_time() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let private = endpoint("10.0.0.9:8233");
    book.pin(now, None, private.into(), Role::Static).unwrap();
    book.pin(now, None, together(1).into(), Role::Trusted)
        .unwrap();
    assert!(book.answer(now, Domain(0)).is_empty(), "nobody is proven");

    let mut at = now;
    let mut ended = Vec::new();
    while let Some(next) = book.next_dial(at, &Occupied::with_free(5)) {
        book.outcome(at, next.id, Ok(Greeted::default())).unwrap();
        ended.push(next.id);
        at = at.after(seconds(1));
    }
    assert_eq!(ended.len(), 3);
    let later = now.after(minutes(20));
    let answer = book.answer(later, Domain(0));
    assert_eq!(answer.len(), 1, "neither static nor trusted nor local");
    assert_eq!(answer[0].endpoint, apart(1));
    assert_eq!(answer[0].seen.0 % 1_800, 0);
    assert!(answer[0].seen <= later.wall);

    for session in ended {
        let left = reason(Stage::Keep("receive"), Kind::Left);
        book.left(later, session, &left).unwrap();
    }
    assert_eq!(book.answer(later.after(hours(2)), Domain(2)).len(), 1);
    assert!(book.answer(later.after(hours(4)), Domain(3)).is_empty());
}

#[test]
fn who_was_banned_since_is_told_of_no_longer() {
    let (mut book, now) = proven(40);
    let answer = book.answer(now, Domain(0));
    let range = peerage_book::Prefix::host(answer[0].endpoint.ip());
    let subject = peerage_book::Subject::Net(range);
    book.ban(now, subject, peerage_book::By::Node, None, "x")
        .unwrap();
    assert_eq!(book.answer(now, Domain(0)).len(), answer.len() - 1);
}

#[test]
fn thirty_seven_of_an_answer_are_taken() {
    let (mut book, now) = book();
    let entries: Vec<_> = (1..=1_000).map(|n| entry(n, now.wall)).collect();
    let taken = book.gossip(now, &gossiper(0), &entries);
    assert_eq!((taken.new, taken.left_out), (37, 963));
    assert_eq!(book.len(), 37);
}

#[test]
fn times_in_the_future_move_all_and_old_ones_are_not_believed() {
    let (mut book, now) = book();
    let ago = |span: i64| UnixTime(now.wall.0 - span);
    // A clock that is a day ahead: its freshest entry counts as of now.
    let entries = [
        entry(1, ago(-86_400)),
        entry(2, ago(-86_400 + 3_600)),
        entry(3, ago(-86_400 + 71 * 3_600)),
    ];
    let taken = book.gossip(now, &gossiper(0), &entries);
    assert_eq!(taken.new, 2);
    assert_eq!(taken.refused.get(&Refused::Stale), Some(&1));
    let seen = |number| book.get(&apart(number).into()).unwrap().claims.seen;
    assert_eq!(seen(1), Some(ago(2 * 3_600)), "two hours are taken off");
    assert_eq!(seen(2), Some(ago(3 * 3_600)));
    for absurd in [i64::MIN, 0, i64::MAX] {
        let _ = book.gossip(now, &gossiper(0), &[entry(9, UnixTime(absurd))]);
    }
    book.audit().unwrap();
}

#[test]
fn nonsense_is_refused_each_for_its_reason() {
    let config = Config {
        foreign_ports: [8033].into(),
        ..Config::default()
    };
    let (mut book, now) = book_with(config);
    for (text, why) in [
        ("0.0.0.0:8233", Refused::Undialable),
        ("9.9.9.9:0", Refused::Undialable),
        ("224.0.0.1:8233", Refused::Undialable),
        ("127.0.0.1:8233", Refused::Local),
        ("192.168.1.1:8233", Refused::Local),
        ("[fe80::1]:8233", Refused::Local),
        ("[::ffff:10.0.0.1]:8233", Refused::Local),
        ("9.9.9.9:8033", Refused::ForeignPort),
    ] {
        let entry = GossipEntry {
            endpoint: endpoint(text),
            services: 1,
            seen: now.wall,
        };
        let taken = book.gossip(now, &gossiper(0), &[entry]);
        assert_eq!(taken.refused.get(&why), Some(&1), "{text}");
    }
    assert!(book.is_empty());
}

#[test]
fn what_a_peer_says_of_itself_reaches_the_book_only_if_we_ask() {
    let (mut book, now) = book();
    let connected = ConnectedAddr::InboundDirect { addr: apart(1) };
    let mut hearsay = Hearsay::new(now, &connected);
    hearsay.alternates(now, &connected, apart(2), 1);
    assert_eq!(hearsay.len(), 2, "its claim, and its source with that port");
    let unasked = hearsay.receive(now, &[entry(3, now.wall)], 1_000).unwrap();
    assert!(unasked.is_empty() && book.is_empty());

    hearsay.ask(now);
    let entries = [entry(4, now.wall), entry(5, now.wall)];
    let heard = hearsay.receive(now, &entries, 1_000).unwrap();
    let taken = book.gossip(now, &hearsay.source(), &heard);
    assert_eq!(taken.new + taken.known, 5);
    let sources = book.get(&apart(2).into()).unwrap().sources;
    assert_eq!(sources, [Source::Gossip(Some(apart(1).ip()))]);
    // Asked once, answered once.
    assert!(hearsay.receive(now, &entries, 1_000).unwrap().is_empty());
}

#[test]
fn who_was_asked_is_asked_again_after_a_while_and_only_if_we_dialled() {
    let (_, now) = book();
    let mut dialled = Hearsay::new(now, &ConnectedAddr::OutboundDirect { addr: apart(1) });
    assert!(dialled.may_ask(now));
    dialled.ask(now);
    assert!(!dialled.may_ask(now.after(Hearsay::ASK_AGAIN - minutes(1))));
    assert!(dialled.may_ask(now.after(Hearsay::ASK_AGAIN)));
    let guest = Hearsay::new(now, &ConnectedAddr::InboundDirect { addr: apart(1) });
    assert!(!guest.may_ask(now));
}

#[test]
fn unasked_entries_come_at_a_rate() {
    let (_, now) = book();
    let connected = ConnectedAddr::OutboundDirect { addr: apart(1) };
    let mut hearsay = Hearsay::new(now, &connected);
    for number in 0..500 {
        hearsay
            .receive(now, &[entry(number, now.wall)], 1_000)
            .unwrap();
    }
    assert_eq!(hearsay.len(), 10);
    let later = now.after(minutes(1));
    for number in 500..1_000 {
        hearsay
            .receive(later, &[entry(number, now.wall)], 1_000)
            .unwrap();
    }
    assert_eq!(hearsay.len(), 16);
    let flood = vec![entry(1, now.wall); 1_001];
    assert!(hearsay.receive(later, &flood, 1_000).is_err());
}

#[test]
fn who_asks_is_answered_once_and_only_if_it_dialled_us() {
    let (_, now) = book();
    let inbound = ConnectedAddr::InboundDirect { addr: apart(1) };
    let mut hearsay = Hearsay::new(now, &inbound);
    assert!(hearsay.may_answer());
    assert!(!hearsay.may_answer());
    let outbound = ConnectedAddr::OutboundDirect { addr: apart(1) };
    assert!(!Hearsay::new(now, &outbound).may_answer());
    let isolated = ConnectedAddr::Isolated {
        direction: Direction::Inbound,
    };
    assert_eq!(Hearsay::new(now, &isolated).source(), Source::Gossip(None));
}

/// A peer that tells lies about others changes nothing that was proven.
#[test]
fn gossip_does_not_change_what_is_proven() {
    let (mut book, now) = proven(1);
    let key = Key::from(apart(0));
    let before = book.get(&key).unwrap();
    let lie = GossipEntry {
        endpoint: apart(0),
        services: 0xffff,
        seen: now.wall,
    };
    for liar in 1..50 {
        book.gossip(now, &gossiper(liar), &[lie]);
    }
    let after = book.get(&key).unwrap();
    assert_eq!(after.claims.services, before.claims.services);
    assert_eq!(after.spots[0].verified, before.spots[0].verified);
    assert_eq!(after.sources[0], before.sources[0]);
    assert!(after.sources.len() <= 4);
}

use super::*;

const TOKENS: [Token; 3] = [[1; 16], [2; 16], [3; 16]];

fn start() -> Instant {
    Instant::now()
}

fn terms(items: usize, policy: Policy) -> Terms {
    Terms {
        budget: items * (ITEM + 8),
        policy,
        lease: Duration::ZERO,
    }
}

fn hub() -> Hub<&'static str, u32> {
    Hub::new(Limits::default())
}

fn publish(hub: &mut Hub<&'static str, u32>, what: u32, origin: Option<Origin>) -> usize {
    hub.publish(&Arc::new(what), 8, origin, |_| true, |_| {})
}

fn all(hub: &mut Hub<&'static str, u32>, reader: Reader) -> Vec<u32> {
    let mut got = Vec::new();
    while let Next::Item(_, item) = hub.next(reader, |_| {}) {
        got.push(*item);
    }
    got
}

#[test]
fn each_pays_for_itself_and_who_stalls_costs_others_nothing() {
    let mut hub = hub();
    let stalled = hub
        .open(TOKENS[0], "stalled", terms(3, Policy::DropOldest))
        .unwrap();
    let fast = hub
        .open(TOKENS[1], "fast", terms(3, Policy::DropOldest))
        .unwrap();
    for what in 0..100 {
        assert_eq!(publish(&mut hub, what, None), 2);
        assert_eq!(all(&mut hub, fast), [what]);
        assert!(hub.waiting() <= 3 * (ITEM + 8));
    }
    let Next::Lagged(lag) = hub.next(stalled, |_| {}) else {
        panic!("it lost something");
    };
    assert_eq!((lag.messages, lag.bytes, lag.next), (97, 97 * 8, 98));
    assert_eq!(all(&mut hub, stalled), [97, 98, 99]);
    assert_eq!(hub.lost(), 97);
}

#[test]
fn who_is_to_be_closed_gets_what_was_there_and_then_the_end() {
    let mut hub = hub();
    let reader = hub.open(TOKENS[0], "", terms(2, Policy::Close)).unwrap();
    for what in 0..4 {
        publish(&mut hub, what, None);
    }
    assert_eq!(all(&mut hub, reader), [0, 1]);
    assert_eq!(hub.next(reader, |_| {}), Next::Full);
    hub.leave(start(), reader);
    assert!(hub.is_empty());
}

#[test]
fn who_fills_it_is_held_back_until_there_is_room_again() {
    let mut hub = hub();
    let slow = hub.open(TOKENS[0], "", terms(8, Policy::PushBack)).unwrap();
    let other = hub.open(TOKENS[1], "", terms(8, Policy::PushBack)).unwrap();
    for what in 0..4 {
        publish(&mut hub, what, Some((0, 7)));
    }
    assert_eq!(hub.poll_press(), None, "half the budget is free to use");
    publish(&mut hub, 4, Some((0, 7)));
    publish(&mut hub, 5, Some((0, 7)));
    let origin = (0, 7);
    assert_eq!(hub.poll_press(), Some(Press { origin, hold: true }));
    assert_eq!(hub.poll_press(), None, "once, however many want it");
    assert_eq!(all(&mut hub, slow).len(), 6);
    assert_eq!(hub.poll_press(), None, "the other is full yet");
    assert_eq!(all(&mut hub, other).len(), 6);
    let hold = false;
    assert_eq!(hub.poll_press(), Some(Press { origin, hold }));
    // A subscription that ends holds nobody.
    for what in 0..6 {
        publish(&mut hub, what, Some(origin));
    }
    assert_eq!(hub.poll_press(), Some(Press { origin, hold: true }));
    hub.leave(start(), slow);
    assert_eq!(hub.poll_press(), None);
    hub.leave(start(), other);
    assert_eq!(hub.poll_press(), Some(Press { origin, hold }));
}

#[test]
fn a_lease_keeps_what_comes_meanwhile_and_then_ends() {
    let mut hub = hub();
    let now = start();
    let lease = Duration::from_secs(60);
    let terms = Terms {
        lease,
        ..terms(4, Policy::DropOldest)
    };
    let reader = hub.open(TOKENS[0], "", terms).unwrap();
    publish(&mut hub, 1, None);
    publish(&mut hub, 2, None);
    assert_eq!(all(&mut hub, reader), [1, 2]);
    hub.leave(now, reader);
    assert_eq!(hub.poll_timeout(), Some(now + lease));
    publish(&mut hub, 3, None);
    // It was told of two and took care of one.
    let again = hub.resume(TOKENS[0], 1, |_| {}).unwrap();
    assert_eq!(hub.poll_timeout(), None);
    assert_eq!(all(&mut hub, again), [2, 3]);
    assert_eq!(hub.next(reader, |_| {}), Next::Gone, "there is one reader");
    // The one before says goodbye late: that changes nothing.
    hub.leave(now, reader);
    assert_eq!(hub.poll_timeout(), None);
    hub.leave(now, again);
    hub.handle_timeout(now + lease);
    assert_eq!((hub.len(), hub.granted()), (0, 0));
    let gone = hub.resume(TOKENS[0], 3, |_| {});
    assert_eq!(gone, Err(Refused::Unknown));
}

#[test]
fn budgets_are_granted_within_bounds_and_given_back() {
    let limits = Limits {
        subscriptions: 2,
        total: 3000,
        budget: 2000,
        lease: Duration::from_secs(1),
    };
    let mut hub: Hub<(), u32> = Hub::new(limits);
    let terms = |budget| Terms {
        budget,
        policy: Policy::DropOldest,
        lease: Duration::ZERO,
    };
    let (least, most) = (ITEM, 2000);
    for budget in [ITEM - 1, 2001] {
        let refused = hub.open(TOKENS[0], (), terms(budget));
        assert_eq!(refused, Err(Refused::Budget { least, most }));
    }
    let long = Terms {
        lease: Duration::from_secs(2),
        ..terms(200)
    };
    let most = limits.lease;
    assert_eq!(hub.open(TOKENS[0], (), long), Err(Refused::Lease { most }));
    let first = hub.open(TOKENS[0], (), terms(2000)).unwrap();
    let (left, total) = (1000, 3000);
    let refused = hub.open(TOKENS[1], (), terms(1001));
    assert_eq!(refused, Err(Refused::Total { left, total }));
    hub.open(TOKENS[1], (), terms(1000)).unwrap();
    let refused = hub.open(TOKENS[2], (), terms(200));
    assert_eq!(refused, Err(Refused::TooMany { limit: 2 }));
    hub.leave(start(), first);
    hub.open(TOKENS[2], (), terms(2000)).unwrap();
    assert!(hub.end(TOKENS[2], |()| {}));
    assert!(!hub.end(TOKENS[2], |()| {}));
}

#[test]
fn a_request_goes_to_one() {
    let mut hub = hub();
    let ask = |hub: &mut Hub<&'static str, u32>| {
        hub.publish_to_one(&Arc::new(1), 8, None, |who| who.starts_with('a'), |_| {})
    };
    let deaf = hub.open(TOKENS[0], "b", terms(2, Policy::Close)).unwrap();
    assert!(!ask(&mut hub), "nobody wants it");
    let first = hub.open(TOKENS[1], "a", terms(2, Policy::Close)).unwrap();
    let second = hub.open(TOKENS[2], "aa", terms(2, Policy::Close)).unwrap();
    assert!(ask(&mut hub));
    assert_eq!(all(&mut hub, first).len(), 1);
    assert!(all(&mut hub, second).is_empty() && all(&mut hub, deaf).is_empty());
}

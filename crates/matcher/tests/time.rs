//! Deadlines, ticks and clocks.

use std::time::Duration;

use peerage_matcher::{Action, AnnouncementError, Config, Matcher, OfferError, Refused};

use crate::common::{
    ONE, SECOND, actions, announcement, common, deliveries, matcher, offer, start,
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_deadline_is_rounded_down_to_a_tick_so_nobody_is_matched_after_it() {
    let (mut matcher, now) = matcher(Config::default());
    let mut announced = announcement(1);
    announced.deadline = Some(now + 1_019 * MS);
    let to = matcher.announce(now, announced, common(ONE)).unwrap();
    assert_eq!(matcher.poll_timeout().unwrap().at, now + 1_010 * MS);
    assert_eq!(matcher.poll_timeout().unwrap().why, "announcement expires");
    matcher.handle_timeout(now + 1_009 * MS);
    assert_eq!(actions(&mut matcher), []);
    // An offer that comes when it is due finds nobody.
    let client = matcher
        .offer(now + 1_010 * MS, offer(2), common(ONE))
        .unwrap();
    let expected = Action::FailAnnouncement {
        to,
        error: AnnouncementError::NoMatch,
        next_poll: None,
    };
    assert_eq!(actions(&mut matcher), [expected]);
    assert!(matcher.waiting_offer(client).is_some());
}

#[test]
fn an_offer_that_nobody_came_for_ends_at_its_deadline() {
    let (mut matcher, now) = matcher(Config::default());
    let mut client = offer(1);
    client.deadline = Some(now + 3 * SECOND);
    let to = matcher.offer(now, client, common(ONE)).unwrap();
    matcher.handle_timeout(now + 3 * SECOND);
    let error = OfferError::NoMatch;
    assert_eq!(actions(&mut matcher), [Action::FailOffer { to, error }]);
    assert_eq!(matcher.cancel_offer(now, to), None);
}

#[test]
fn a_deadline_that_has_passed_is_refused() {
    let (mut matcher, now) = matcher(Config::default());
    let now = now + SECOND;
    for (left, accepted) in [(0, false), (9, false), (10, true), (11, true)] {
        let mut client = offer(1);
        client.deadline = Some(now + left * MS);
        let got = matcher.offer(now, client, common(ONE));
        let expected = Refused::TooLate {
            left: left * MS,
            least: 10 * MS,
        };
        assert_eq!(got.err(), (!accepted).then_some(expected));
    }
    let mut late = announcement(1);
    late.deadline = Some(now - SECOND);
    assert!(matcher.announce(now, late, common(ONE)).is_err());
}

#[test]
fn entries_of_many_ticks_end_in_order() {
    let (mut matcher, now) = matcher(Config::default());
    let mut expected = Vec::new();
    for (number, seconds) in [(1, 5), (2, 3), (3, 4), (4, 3)] {
        let mut announced = announcement(number);
        announced.deadline = Some(now + seconds * SECOND);
        let id = matcher.announce(now, announced, common(ONE)).unwrap();
        expected.push((seconds, number, id));
    }
    expected.sort_unstable();
    matcher.handle_timeout(now + 60 * SECOND);
    let ended: Vec<_> = actions(&mut matcher)
        .into_iter()
        .map(|action| match action {
            Action::FailAnnouncement { to, .. } => to,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = expected.into_iter().map(|(.., id)| id).collect();
    assert_eq!(ended, expected);
}

#[test]
fn time_that_goes_backwards_changes_nothing() {
    let (mut matcher, now) = matcher(Config::default());
    let mut announced = announcement(1);
    announced.deadline = Some(now + 5 * SECOND);
    matcher
        .announce(now + 4 * SECOND, announced, common(ONE))
        .unwrap();
    let mut client = offer(2);
    client.deadline = Some(now + 3 * SECOND);
    // By the latest time heard of, it is too late.
    assert!(matcher.offer(now, client, common(ONE)).is_err());
    matcher.handle_timeout(now);
    matcher.offer(now, offer(3), common(ONE)).unwrap();
    assert_eq!(deliveries(&mut matcher), [(1, 3)]);
}

#[test]
fn an_instant_before_the_matcher_was_made_is_its_beginning() {
    let now = start();
    let mut matcher = Matcher::new(Config::default(), [0; 16], now + SECOND).unwrap();
    matcher.offer(now, offer(1), common(ONE)).unwrap();
    assert_eq!(matcher.poll_timeout(), None);
    matcher.audit().unwrap();
}

//! What happens between a match and its end.

use std::time::Duration;

use peerage_matcher::{
    Action, AnnouncementId, AnswerError, Cancelled, Config, Matcher, OfferError, OfferId, Taken,
};

use crate::common::{
    ONE, SECOND, actions, announcement, answer, common, connection, deliveries, matcher, offer,
    volunteer,
};

/// One pair, its offer due in ten seconds.
fn pair() -> (Matcher, std::time::Instant, AnnouncementId, OfferId) {
    let (mut matcher, now) = matcher(Config::default());
    let announced = matcher.announce(now, announcement(1), common(ONE)).unwrap();
    let mut client = offer(2);
    client.deadline = Some(now + 10 * SECOND);
    let offered = matcher.offer(now, client, common(ONE)).unwrap();
    assert_eq!(deliveries(&mut matcher), [(1, 2)]);
    (matcher, now, announced, offered)
}

fn failed(matcher: &mut Matcher, to: OfferId, error: OfferError) {
    assert_eq!(actions(matcher), [Action::FailOffer { to, error }]);
}

#[test]
fn an_answer_comes_with_what_was_announced() {
    let (mut matcher, now, _, to) = pair();
    let taken = matcher.answer(now, &volunteer(1), &connection(1), answer());
    assert_eq!(taken, Ok(Taken::Delivered));
    let expected = Action::Answer {
        to,
        answer: answer(),
        announcement: Box::new(announcement(1)),
    };
    assert_eq!(actions(&mut matcher), [expected]);
    assert_eq!(matcher.stats().pending, 0);
}

#[test]
fn only_the_volunteer_itself_can_answer_its_connection() {
    let (mut matcher, now, ..) = pair();
    for (from, on) in [(2, 1), (1, 2)] {
        let taken = matcher.answer(now, &volunteer(from), &connection(on), answer());
        assert_eq!(taken, Err(AnswerError::NoClient));
        assert!(!matcher.answer_error(now, &volunteer(from), &connection(on)));
    }
    assert_eq!(actions(&mut matcher), []);
    assert_eq!(matcher.stats().pending, 1);
}

#[test]
fn a_waiting_announcement_cannot_be_answered() {
    let (mut matcher, now) = matcher(Config::default());
    matcher.announce(now, announcement(1), common(ONE)).unwrap();
    let taken = matcher.answer(now, &volunteer(1), &connection(1), answer());
    assert_eq!(taken, Err(AnswerError::NoClient));
    assert_eq!(matcher.stats().announcements, 1);
}

#[test]
fn a_volunteer_may_have_several_connections_in_flight() {
    let (mut matcher, now) = matcher(Config::default());
    let mut offers = Vec::new();
    for number in 0..3 {
        let mut announced = announcement(1);
        announced.connection = connection(number);
        matcher.announce(now, announced, common(ONE)).unwrap();
        offers.push(matcher.offer(now, offer(number), common(ONE)).unwrap());
    }
    actions(&mut matcher);
    for number in [2, 0, 1] {
        matcher
            .answer(now, &volunteer(1), &connection(number), answer())
            .unwrap();
        let expected = offers[usize::try_from(number).unwrap()];
        match &actions(&mut matcher)[..] {
            [Action::Answer { to, .. }] => assert_eq!(*to, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_answer_that_is_too_long_leaves_the_client_waiting() {
    let (mut matcher, now, ..) = pair();
    let mut long = answer();
    long.description = vec![0; 65_537].into();
    let taken = matcher.answer(now, &volunteer(1), &connection(1), long);
    let expected = AnswerError::TooLong {
        len: 65_537,
        limit: 65_536,
    };
    assert_eq!(taken, Err(expected));
    let taken = matcher.answer(now, &volunteer(1), &connection(1), answer());
    assert_eq!(taken, Ok(Taken::Delivered));
}

#[test]
fn a_volunteer_that_cannot_answer_fails_its_client_at_once() {
    let (mut matcher, now, _, to) = pair();
    assert!(matcher.answer_error(now, &volunteer(1), &connection(1)));
    failed(&mut matcher, to, OfferError::NoAnswer);
    assert!(!matcher.answer_error(now, &volunteer(1), &connection(1)));
    assert_eq!(actions(&mut matcher), []);
}

#[test]
fn a_volunteer_that_leaves_after_its_match_fails_its_client_at_once() {
    let (mut matcher, now, announced, to) = pair();
    let cancelled = matcher.cancel_announcement(now, announced);
    assert_eq!(cancelled, Some(Cancelled::Matched));
    failed(&mut matcher, to, OfferError::VolunteerLeft);
    assert_eq!(matcher.cancel_announcement(now, announced), None);
    let late = matcher.answer(now, &volunteer(1), &connection(1), answer());
    assert_eq!(late, Err(AnswerError::NoClient));
}

#[test]
fn a_client_that_leaves_after_its_match_has_its_answer_taken_and_lost_until_its_time_is_up() {
    let (mut matcher, now, _, offered) = pair();
    assert_eq!(matcher.cancel_offer(now, offered), Some(Cancelled::Matched));
    assert_eq!(matcher.cancel_offer(now, offered), None);
    let late = matcher.answer(now + 9 * SECOND, &volunteer(1), &connection(1), answer());
    assert_eq!(late, Ok(Taken::ClientGone));
    assert_eq!(actions(&mut matcher), []);

    let (mut matcher, now, _, offered) = pair();
    matcher.cancel_offer(now, offered);
    let later = now + 10 * SECOND;
    let late = matcher.answer(later, &volunteer(1), &connection(1), answer());
    assert_eq!(late, Err(AnswerError::NoClient));
    assert_eq!(actions(&mut matcher), []);
}

#[test]
fn a_client_is_told_when_no_answer_came_by_its_deadline() {
    let (mut matcher, now, _, to) = pair();
    let wakeup = matcher.poll_timeout().unwrap();
    assert_eq!(wakeup.at, now + 10 * SECOND);
    assert_eq!(wakeup.why, "offer or answer expires");
    matcher.handle_timeout(wakeup.at - Duration::from_millis(1));
    assert_eq!(actions(&mut matcher), []);
    matcher.handle_timeout(wakeup.at);
    failed(&mut matcher, to, OfferError::AnswerTimeout);
    assert_eq!(matcher.poll_timeout(), None);
}

#[test]
fn an_offer_without_a_deadline_waits_thirty_seconds_for_its_answer() {
    let (mut matcher, now) = matcher(Config::default());
    matcher.announce(now, announcement(1), common(ONE)).unwrap();
    let later = now + 1_000 * SECOND;
    let to = matcher.offer(later, offer(2), common(ONE)).unwrap();
    match &actions(&mut matcher)[..] {
        [Action::Deliver { by, .. }] => assert_eq!(by.answer_by, Some(later + 30 * SECOND)),
        other => panic!("{other:?}"),
    }
    matcher.handle_timeout(later + 29 * SECOND);
    assert_eq!(actions(&mut matcher), []);
    matcher.handle_timeout(later + 30 * SECOND);
    failed(&mut matcher, to, OfferError::AnswerTimeout);
}

#[test]
fn an_announcement_s_own_deadline_does_not_end_its_match() {
    let (mut matcher, now) = matcher(Config::default());
    let mut announced = announcement(1);
    announced.deadline = Some(now + SECOND);
    matcher.announce(now, announced, common(ONE)).unwrap();
    let mut client = offer(2);
    client.deadline = Some(now + 10 * SECOND);
    matcher.offer(now, client, common(ONE)).unwrap();
    actions(&mut matcher);
    let later = now + 5 * SECOND;
    let taken = matcher.answer(later, &volunteer(1), &connection(1), answer());
    assert_eq!(taken, Ok(Taken::Delivered));
}

/// Whatever comes in whatever order, the client is told once, by what came first.
#[test]
fn of_answer_error_abort_and_leaving_the_first_decides_and_the_rest_find_nothing() {
    const ALL: [&str; 5] = ["answer", "error", "abort", "leave", "deadline"];
    let act = |matcher: &mut Matcher, now, what, announced, offered| match what {
        "answer" => {
            let _lost = matcher.answer(now, &volunteer(1), &connection(1), answer());
        }
        "error" => {
            matcher.answer_error(now, &volunteer(1), &connection(1));
        }
        "abort" => {
            matcher.cancel_announcement(now, announced);
        }
        "leave" => {
            matcher.cancel_offer(now, offered);
        }
        _ => matcher.handle_timeout(now + 10 * SECOND),
    };
    for first in ALL {
        for second in ALL {
            for third in ALL {
                let (mut matcher, now, announced, offered) = pair();
                for what in [first, second, third] {
                    act(&mut matcher, now, what, announced, offered);
                }
                let told = actions(&mut matcher);
                let expected = match first {
                    "answer" => Some("answer"),
                    "error" => Some("the volunteer could make no answer"),
                    "abort" => Some("the volunteer left after it was matched"),
                    "leave" => None,
                    _ => Some("the volunteer gave no answer in time"),
                };
                let told: Vec<_> = told
                    .iter()
                    .map(|action| match action {
                        Action::Answer { .. } => "answer".to_owned(),
                        Action::FailOffer { error, .. } => error.to_string(),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert_eq!(told, Vec::from_iter(expected), "{first} {second} {third}");
                let ends = first != "leave" || [second, third].iter().any(|w| *w != "leave");
                assert_eq!(matcher.stats().pending, usize::from(!ends));
            }
        }
    }
}

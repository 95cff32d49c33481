//! The reference's defects, each as what happens here instead.

use peerage_core::{Failure, Retry};
use peerage_matcher::error::Queue;
use peerage_matcher::{
    Action, AnnouncementError, Caps, Config, NatType, OfferError, Phase, Refused,
};

use crate::common::{ONE, SECOND, TWO, actions, announcement, common, deliveries, matcher, offer};

/// There, the entry after an expired one is skipped until something else is queued.
#[test]
fn the_entry_behind_an_expired_one_is_matched_at_once() {
    let (mut matcher, now) = matcher(Config::default());
    let mut expiring = announcement(1);
    expiring.deadline = Some(now + SECOND);
    matcher.announce(now, expiring, common(ONE)).unwrap();
    matcher.announce(now, announcement(2), common(ONE)).unwrap();
    let later = now + 2 * SECOND;
    matcher.offer(later, offer(9), common(ONE)).unwrap();
    assert_eq!(deliveries(&mut matcher), [(2, 9)]);
}

/// There, whoever expires during a scan stays counted for ever.
#[test]
fn an_expired_announcement_leaves_no_count_behind() {
    let (mut matcher, now) = matcher(Config::default());
    let mut expiring = announcement(1);
    expiring.properties.nat = NatType::SYMMETRIC;
    expiring.deadline = Some(now + SECOND);
    matcher.announce(now, expiring, common(ONE)).unwrap();
    assert_eq!(matcher.stats().announcements_by_class, [0, 0, 1]);
    matcher
        .offer(now + 2 * SECOND, offer(9), common(TWO))
        .unwrap();
    let stats = matcher.stats();
    assert_eq!(
        (stats.announcements, stats.announcements_by_class),
        (0, [0; 3])
    );
}

/// There, whoever finds the queue full waits until its time is up.
#[test]
fn a_full_queue_is_said_at_once() {
    let caps = Caps {
        announcements: 1,
        offers: 1,
        pending: 1,
        offer_bytes: 1_000,
    };
    let config = Config {
        caps,
        ..Config::default()
    };
    let (mut matcher, now) = matcher(config);
    let full = |queue| Refused::Full { queue, limit: 1 };
    matcher.announce(now, announcement(1), common(ONE)).unwrap();
    let second = matcher.announce(now, announcement(2), common(ONE));
    assert_eq!(second, Err(full(Queue::Announcements)));
    matcher.offer(now, offer(3), common(TWO)).unwrap();
    let second = matcher.offer(now, offer(4), common(TWO));
    assert_eq!(second, Err(full(Queue::Offers)));
    assert_eq!(second.unwrap_err().retry(), Retry::After(5 * SECOND));
    // A match needs no room in either queue, but among those that await an answer.
    matcher.offer(now, offer(5), common(ONE)).unwrap();
    assert_eq!(deliveries(&mut matcher), [(1, 5)]);
    let third = matcher.announce(now, announcement(6), common(ONE));
    assert_eq!(third, Err(full(Queue::Pending)));
}

/// There, an answer that races an error can be sent on a closed channel, which panics. Every order
/// is tried in `answers.rs`.
#[test]
fn an_answer_after_an_error_is_refused_and_nothing_else() {
    use crate::common::{answer, connection, volunteer};
    let (mut matcher, now) = matcher(Config::default());
    matcher.announce(now, announcement(1), common(ONE)).unwrap();
    matcher.offer(now, offer(2), common(ONE)).unwrap();
    actions(&mut matcher);
    assert!(matcher.answer_error(now, &volunteer(1), &connection(1)));
    assert_eq!(actions(&mut matcher).len(), 1);
    let late = matcher.answer(now, &volunteer(1), &connection(1), answer());
    assert!(late.is_err());
    assert_eq!(actions(&mut matcher), []);
}

/// There, calls that wait when it is stopped go on waiting, and a stop without a start panics.
#[test]
fn a_stop_answers_every_waiting_call_with_a_retryable_reason() {
    let (mut matcher, now) = matcher(Config::default());
    let waiting = matcher.announce(now, announcement(1), common(ONE)).unwrap();
    matcher.announce(now, announcement(2), common(TWO)).unwrap();
    let matched = matcher.offer(now, offer(3), common(TWO)).unwrap();
    let offered = matcher.offer(now, offer(4), common(TWO)).unwrap();
    assert_eq!(deliveries(&mut matcher), [(2, 3)]);
    matcher.stop(now);
    let expected = [
        Action::FailAnnouncement {
            to: waiting,
            error: AnnouncementError::Stopped,
            next_poll: None,
        },
        Action::FailOffer {
            to: matched,
            error: OfferError::Stopped,
        },
        Action::FailOffer {
            to: offered,
            error: OfferError::Stopped,
        },
    ];
    assert_eq!(actions(&mut matcher), expected);
    assert!(matches!(OfferError::Stopped.retry(), Retry::After(_)));
    assert!(matches!(
        AnnouncementError::Stopped.retry(),
        Retry::After(_)
    ));
    assert_eq!(matcher.phase(), Phase::Stopped);
    assert_eq!(matcher.stats().rooms, 0);
    matcher.stop(now);
    matcher.resume(now);
    assert_eq!(matcher.phase(), Phase::Stopped);
    assert_eq!(actions(&mut matcher), []);
    let late = matcher.announce(now, announcement(5), common(ONE));
    assert_eq!(late, Err(Refused::Stopped));
    let late = matcher.offer(now, offer(6), common(ONE));
    assert_eq!(late, Err(Refused::Stopped));
    assert!(matches!(Refused::Stopped.retry(), Retry::After(_)));
}

/// There, a second announcement under the same key takes the first one's answer.
#[test]
fn a_key_under_way_cannot_be_announced_again() {
    let (mut matcher, now) = matcher(Config::default());
    let first = matcher.announce(now, announcement(1), common(ONE)).unwrap();
    let again = matcher.announce(now, announcement(1), common(TWO));
    assert_eq!(again, Err(Refused::Duplicate));
    matcher.offer(now, offer(2), common(ONE)).unwrap();
    let again = matcher.announce(now, announcement(1), common(TWO));
    assert_eq!(again, Err(Refused::Duplicate));
    matcher.cancel_announcement(now, first);
    matcher.announce(now, announcement(1), common(TWO)).unwrap();
}

//! Removal in every order, from lists long enough that some of its work is put off and made up for.

use std::collections::BTreeMap;
use std::time::Duration;

use peerage_matcher::{AnnouncementId, Cancelled, Config};

use crate::common::{ONE, TWO, actions, announcement, common, deliveries, matcher, offer, place};
use peerage_testkit::Random;

const MANY: u64 = 700;

/// Handle, place and milliseconds until the deadline, by number.
type Waiting = BTreeMap<u64, (AnnouncementId, u32, u64)>;

/// The wakeup is that of the earliest who still waits, counts are of them alone, and an offer from
/// one of the places gets the earliest of another.
#[test]
fn whatever_is_put_off_is_seen_by_nobody() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let (mut matcher, now) = matcher(Config::default());
        let mut waiting = Waiting::new();
        for number in 0..4 * MANY {
            // More come than go at first, then fewer.
            let comes = random.below(4) < if number < 2 * MANY { 3 } else { 1 };
            if comes || waiting.is_empty() {
                let (asn, after) = (1 + u32::from(random.chance(3)), 10 * (1 + random.below(90)));
                let mut announced = announcement(number);
                announced.properties.geography = place("DE", asn);
                announced.deadline = Some(now + Duration::from_millis(after));
                // A few in two rooms.
                let both = [ONE[0], TWO[0]];
                let rooms = if random.chance(9) { &both[..] } else { ONE };
                let id = matcher.announce(now, announced, common(rooms)).unwrap();
                waiting.insert(number, (id, asn, after));
            } else {
                let numbers: Vec<u64> = waiting.keys().copied().collect();
                let (id, ..) = waiting.remove(&random.pick(&numbers)).unwrap();
                let gone = matcher.cancel_announcement(now, id);
                assert_eq!(gone, Some(Cancelled::Waiting));
                assert_eq!(matcher.cancel_announcement(now, id), None);
            }
            let earliest = waiting.values().map(|&(_, _, after)| after).min();
            let earliest = earliest.map(|after| now + Duration::from_millis(after));
            assert_eq!(matcher.poll_timeout().map(|wakeup| wakeup.at), earliest);
            assert_eq!(matcher.stats().announcements, waiting.len());
            if random.chance(60) {
                let asn = 1 + u32::from(random.chance(2));
                let first = waiting.iter().find(|(_, (_, theirs, _))| *theirs != asn);
                let first = first.map(|(&number, _)| number);
                let mut asked = offer(number);
                asked.properties.geography = place("DE", asn);
                let id = matcher.offer(now, asked, common(ONE)).unwrap();
                let expected: Vec<_> = first.map(|first| (first, number)).into_iter().collect();
                assert_eq!(deliveries(&mut matcher), expected);
                matcher.cancel_offer(now, id).unwrap();
                if let Some(first) = first {
                    let (id, ..) = waiting.remove(&first).unwrap();
                    assert_eq!(
                        matcher.cancel_announcement(now, id),
                        Some(Cancelled::Matched)
                    );
                }
            }
            if random.chance(20) {
                assert_eq!(actions(&mut matcher), []);
            }
        }
        matcher.handle_timeout(now + Duration::from_secs(1));
        assert_eq!(actions(&mut matcher).len(), waiting.len());
        assert_eq!(
            (matcher.stats().announcements, matcher.stats().rooms),
            (0, 0)
        );
    }
}

/// The head takes those behind it along, however many they are.
#[test]
fn between_first_and_last_everyone_may_leave() {
    let (mut matcher, now) = matcher(Config::default());
    matcher.hold();
    let announce = |number| matcher.announce(now, announcement(number), common(ONE));
    let ids: Vec<_> = (0..MANY).map(announce).collect::<Result<_, _>>().unwrap();
    let (last, others) = ids.split_last().unwrap();
    for &id in others[1..].iter().chain(&others[..1]) {
        matcher.cancel_announcement(now, id).unwrap();
        matcher.audit().unwrap();
    }
    // Keys of those who left are free.
    let again = matcher.announce(now, announcement(0), common(ONE));
    assert!(again.is_ok());
    let asked = matcher.offer(now, offer(MANY), common(ONE)).unwrap();
    let explained = matcher.explain_offer(asked).unwrap();
    assert_eq!((explained.others, explained.eligible.most()), (2, 2));
    matcher.resume(now);
    assert_eq!(deliveries(&mut matcher), [(MANY - 1, MANY)]);
    assert!(!matcher.is_waiting(*last));
}

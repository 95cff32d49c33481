//! Holding matching, and the pass that ends it.

use peerage_matcher::{Action, Config, NatType, OfferError, Phase};

use crate::common::{ONE, actions, announcement, common, deliveries, matcher, offer};

#[test]
fn a_pass_serves_offers_by_arrival_each_with_the_best_that_remains() {
    let (mut matcher, now) = matcher(Config::default());
    matcher.hold();
    assert_eq!(matcher.phase(), Phase::Held);
    let mut open = offer(1);
    open.properties.nat = NatType::OPEN;
    matcher.offer(now, open, common(ONE)).unwrap();
    for number in [2, 3, 4] {
        matcher.offer(now, offer(number), common(ONE)).unwrap();
    }
    for (number, nat) in [
        (11, NatType::OPEN),
        (12, NatType::SYMMETRIC),
        (13, NatType::OPEN),
    ] {
        let mut announced = announcement(number);
        announced.properties.nat = nat;
        matcher.announce(now, announced, common(ONE)).unwrap();
    }
    assert_eq!(actions(&mut matcher), []);
    matcher.resume(now);
    assert_eq!(deliveries(&mut matcher), [(12, 1), (11, 2), (13, 3)]);
    assert_eq!(matcher.stats().offers, 1);
}

#[test]
fn nobody_is_left_waiting_who_could_be_matched_were_there_room_for_its_answer() {
    let mut config = Config::default();
    config.caps.pending = 1;
    let (mut matcher, now) = matcher(config);
    matcher.hold();
    for number in [1, 2] {
        matcher
            .announce(now, announcement(number), common(ONE))
            .unwrap();
    }
    matcher.offer(now, offer(3), common(ONE)).unwrap();
    let to = matcher.offer(now, offer(4), common(ONE)).unwrap();
    matcher.resume(now);
    let told = actions(&mut matcher);
    assert!(matches!(told[0], Action::Deliver { .. }));
    let error = OfferError::NoMatch;
    assert_eq!(told[1..], [Action::FailOffer { to, error }]);
}

//! Why someone waits. Counts are compared with a model's in `streams.rs`.

use peerage_matcher::{
    CompartmentId, Compartments, Config, Count, Explanation, NatRule, NatType, Rule, Versions,
};

use crate::common::{ONE, TWO, announcement, common, matcher, offer, place};

fn count(explanation: &Explanation, rule: Rule) -> Count {
    let mut counts = explanation.excluded.iter();
    counts.find(|(other, _)| *other == rule).unwrap().1
}

/// 20 of another compartment, 10 of another version, 7 strict, 5 of the client's place.
fn starved() -> Explanation {
    let mut config = Config::default();
    config.extras.versions = Some(Versions::NONE.with(1).with(2));
    config.extras.nat = NatRule::Require;
    let (mut matcher, now) = matcher(config);
    for number in 0..42 {
        let mut announced = announcement(number);
        let compartments = if number < 20 {
            common(TWO)
        } else {
            common(ONE)
        };
        match number {
            20..30 => announced.properties.versions = Versions::NONE.with(2),
            30..37 => announced.properties.nat = NatType::SYMMETRIC,
            37.. => announced.properties.geography = place("IR", 2),
            _ => {}
        }
        matcher.announce(now, announced, compartments).unwrap();
    }
    let id = matcher.offer(now, offer(50), common(ONE)).unwrap();
    matcher.explain_offer(id).unwrap()
}

#[test]
fn a_starved_offer_is_told_how_many_each_rule_keeps_away_exactly() {
    let explanation = starved();
    assert_eq!(explanation.others, 42);
    let counts = explanation.excluded.map(|(_, count)| count);
    assert_eq!(counts, [20, 7, 10, 0, 5].map(Count::Exactly));
    assert_eq!(explanation.eligible, Count::Exactly(0));
    assert_eq!(explanation.main_rule(), Some(Rule::Compartment));
    assert_eq!(explanation.compatible, Count::Exactly(5));
}

#[test]
fn the_rule_that_excludes_everyone_is_named() {
    let (mut matcher, now) = matcher(Config::default());
    for number in 0..9 {
        let mut announced = announcement(number);
        announced.properties.geography = place("IR", 2);
        matcher.announce(now, announced, common(ONE)).unwrap();
    }
    let id = matcher.offer(now, offer(50), common(ONE)).unwrap();
    let explanation = matcher.explain_offer(id).unwrap();
    assert_eq!(explanation.main_rule(), Some(Rule::Geography));
    assert_eq!(explanation.main_rule().unwrap().name(), "geography");
    assert_eq!(count(&explanation, Rule::Geography), Count::Exactly(9));
}

#[test]
fn with_nobody_there_no_rule_is_blamed() {
    let (mut matcher, now) = matcher(Config::default());
    let id = matcher.offer(now, offer(50), common(ONE)).unwrap();
    let explanation = matcher.explain_offer(id).unwrap();
    assert_eq!((explanation.others, explanation.main_rule()), (0, None));
}

#[test]
fn with_several_compartments_counts_are_labelled_bounds() {
    let (mut matcher, now) = matcher(Config::default());
    let ids: Vec<CompartmentId> = [ONE[0], TWO[0]].into();
    let both = Compartments {
        personal: &[],
        common: &ids,
    };
    for number in 0..6 {
        let mut announced = announcement(number);
        announced.properties.geography = place("IR", 2);
        // Four of one, two of them of the other as well; one of neither.
        let compartments = match number {
            0..2 => both,
            2..5 => common(ONE),
            _ => common(&[CompartmentId([9; 32])]),
        };
        matcher.announce(now, announced, compartments).unwrap();
    }
    let id = matcher.offer(now, offer(50), both).unwrap();
    let explanation = matcher.explain_offer(id).unwrap();
    assert_eq!(count(&explanation, Rule::Geography), Count::Between(5, 6));
    assert_eq!(count(&explanation, Rule::Compartment), Count::Between(0, 1));
    assert_eq!(Count::Between(5, 6).to_string(), "5 to 6");
}

#[test]
fn a_waiting_volunteer_can_ask_too_and_one_that_was_matched_cannot() {
    let (mut matcher, now) = matcher(Config::default());
    matcher.offer(now, offer(1), common(TWO)).unwrap();
    let id = matcher.announce(now, announcement(2), common(ONE)).unwrap();
    let explanation = matcher.explain_announcement(id).unwrap();
    assert_eq!(count(&explanation, Rule::Compartment), Count::Exactly(1));
    let offered = matcher.offer(now, offer(3), common(ONE)).unwrap();
    assert_eq!(matcher.explain_announcement(id), None);
    assert_eq!(matcher.explain_offer(offered), None);
}

#[test]
fn while_matching_is_held_some_are_eligible() {
    let (mut matcher, now) = matcher(Config::default());
    matcher.hold();
    matcher.announce(now, announcement(1), common(ONE)).unwrap();
    let id = matcher.offer(now, offer(2), common(ONE)).unwrap();
    let explanation = matcher.explain_offer(id).unwrap();
    assert_eq!(explanation.eligible, Count::Exactly(1));
}

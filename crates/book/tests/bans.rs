//! Who is kept away.

use std::net::IpAddr;

use peerage_book::{Ban, By, Config, Identity, Key, Prefix, Refused, Role, Standing, Subject, Tip};
use peerage_core::Kind;

use crate::common::{
    apart, book, book_with, dial, hours, known, minutes, one, seconds, seed, together,
};
use peerage_testkit::Random;

fn net(text: &str) -> Subject {
    Subject::Net(text.parse().unwrap())
}

#[test]
fn a_banned_range_is_not_dialled_not_admitted_not_taken_and_says_why() {
    let (mut book, now) = book();
    let key = known(&mut book, now, together(1));
    book.ban(now, net("99.0.0.0/16"), By::Operator, None, "spam\u{1b}[2J")
        .unwrap();
    assert!(book.next_dial(now, &one()).is_none());
    let again = book.add(now, Tip::at(together(2), seed("s")));
    assert_eq!(again, Err(Refused::Banned));
    let denied = book.admits(None, Some(together(7).ip())).unwrap_err();
    assert_eq!(denied.kind, Kind::Rejected);
    let story = &book.story(&key)[0];
    assert!(matches!(story.standing, Standing::Banned { .. }));
    let text = story.to_string();
    assert!(
        text.contains("99.0.0.0/16 is banned by the operator"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "escaped");
    assert!(book.lift(now, &net("99.0.0.0/16")));
    assert_eq!(dial(&mut book, now).key, key);
}

#[test]
fn a_ban_ends_by_itself() {
    let (mut book, now) = book();
    let key = known(&mut book, now, apart(1));
    let subject = Subject::Net(Prefix::subscriber(apart(1).ip()));
    book.ban(now, subject, By::Node, Some(hours(24)), "flood")
        .unwrap();
    assert!(book.next_dial(now.after(hours(23)), &one()).is_none());
    let wakeup = book.wakeup().unwrap();
    assert_eq!(wakeup.why, "a ban ends");
    let then = now.after(wakeup.at - now.at);
    assert_eq!(dial(&mut book, then).key, key);
    assert!(book.bans().is_empty());
}

#[test]
fn a_trusted_peer_is_kept_away_by_the_operator_alone() {
    let (mut book, now) = book();
    let address = apart(1).into();
    let key = book.pin(now, None, address, Role::Trusted).unwrap();
    let subject = Subject::Net(Prefix::host(apart(1).ip()));
    book.ban(now, subject.clone(), By::Node, None, "flood")
        .unwrap();
    let next = dial(&mut book, now);
    assert_eq!(next.key, key);
    assert!(book.admits(None, Some(apart(1).ip())).is_ok());
    let refused = crate::common::unreached(Kind::ConnectionRefused);
    book.outcome(now, next.id, Err(refused)).unwrap();
    book.ban(now, subject.clone(), By::Operator, None, "mine")
        .unwrap();
    let later = now.after(minutes(10));
    assert!(book.next_dial(later, &one()).is_none());
    // And the node does not soften what the operator decided.
    book.ban(later, subject.clone(), By::Node, Some(seconds(1)), "flood")
        .unwrap();
    assert_eq!(book.bans().of(&subject).unwrap().by, By::Operator);
}

#[test]
fn a_subscriber_of_ipv6_is_a_64() {
    let ip: IpAddr = "2600:1:2:3:4:5:6:7".parse().unwrap();
    assert_eq!(Prefix::subscriber(ip).to_string(), "2600:1:2:3::/64");
    let mapped: IpAddr = "::ffff:9.9.9.9".parse().unwrap();
    assert_eq!(Prefix::subscriber(mapped).to_string(), "9.9.9.9");
}

#[test]
fn bans_are_bounded_and_those_of_the_operator_stay() {
    let mut config = Config::default();
    config.caps.bans = 100;
    let (mut book, now) = book_with(config);
    book.ban(now, net("10.0.0.0/8"), By::Operator, None, "mine")
        .unwrap();
    for number in 0..1_000_u64 {
        let term = Some(hours(1 + number));
        let subject = Subject::Net(Prefix::host(together(number).ip()));
        book.ban(now, subject, By::Node, term, "flood").unwrap();
    }
    assert_eq!(book.bans().len(), 100);
    assert!(book.bans().of(&net("10.0.0.0/8")).is_some());
    let last = Subject::Net(Prefix::host(together(999).ip()));
    assert!(book.bans().of(&last).is_some(), "the longest stay");
    for number in 0..99 {
        let subject = Subject::Net(Prefix::host(apart(number).ip()));
        book.ban(now, subject, By::Operator, None, "mine").unwrap();
    }
    let more = book.ban(now, net("11.0.0.0/8"), By::Operator, None, "mine");
    assert!(more.is_err());
    book.audit().unwrap();
}

#[test]
fn only_permitted_ranges_are_dialled() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let key = known(&mut book, now, together(1));
    book.permit_only(["99.0.0.0/16".parse().unwrap()]);
    assert_eq!(dial(&mut book, now).key, key);
    let later = now.after(seconds(1));
    assert!(book.next_dial(later, &one()).is_none());
    assert!(book.admits(None, Some(apart(3).ip())).is_err());
    let standing = &book.story(&apart(1).into())[0].standing;
    assert_eq!(*standing, Standing::NotPermitted);
    book.permit_only([]);
    assert_eq!(dial(&mut book, later).key, apart(1).into());
}

/// What the look-up by prefix length finds is what a scan of all bans finds.
#[test]
fn the_look_up_agrees_with_a_scan() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let (mut book, now) = book();
        let mut scan: Vec<(Subject, Ban)> = Vec::new();
        let address = |random: &mut Random| -> IpAddr {
            if random.chance(2) {
                // Few bits differ, so that ranges of any length are hit.
                let bits = u32::try_from(random.below(1 << 12)).unwrap();
                std::net::Ipv4Addr::from_bits(0x6300_0000 | bits).into()
            } else {
                let bits = u128::from(random.below(1 << 12));
                std::net::Ipv6Addr::from_bits(0x2600 << 112 | bits << 50 | bits).into()
            }
        };
        for _ in 0..400 {
            let ip = address(&mut random);
            let most = if ip.is_ipv4() { 33 } else { 129 };
            let len = u8::try_from(random.below(most)).unwrap();
            let subject = if random.chance(8) {
                let byte = u8::try_from(random.below(4)).unwrap();
                Subject::Identity(Identity::new(&[byte]).unwrap())
            } else {
                Subject::Net(Prefix::new(ip, len.max(18)).unwrap())
            };
            if random.chance(3) {
                book.lift(now, &subject);
                scan.retain(|(of, _)| *of != subject);
            } else {
                book.ban(now, subject.clone(), By::Node, None, "x").unwrap();
                scan.retain(|(of, _)| *of != subject);
                let ban = book.bans().of(&subject).unwrap().clone();
                scan.push((subject, ban));
            }
            let probe = address(&mut random);
            let who = Identity::new(&[u8::try_from(random.below(4)).unwrap()]).unwrap();
            let expected = scan.iter().any(|(subject, _)| match subject {
                Subject::Net(prefix) => prefix.contains(probe),
                Subject::Identity(identity) => *identity == who,
            });
            let found = book.bans().find(Some(&who), Some(probe));
            assert_eq!(found.is_some(), expected, "seed {seed}");
            assert_eq!(book.bans().len(), scan.len());
        }
        book.audit().unwrap();
    }
}

#[test]
fn a_ban_of_an_identity_follows_it_everywhere() {
    let (mut book, now) = book();
    let identity = Identity::new(&[5; 64]).unwrap();
    let tip = Tip::of(identity.clone(), vec![apart(1)], seed("s"));
    book.add(now, tip.clone()).unwrap();
    let subject = Subject::Identity(identity.clone());
    book.ban(now, subject, By::Node, Some(hours(1)), "lied")
        .unwrap();
    assert!(book.next_dial(now, &one()).is_none());
    assert_eq!(book.add(now, tip), Err(Refused::Banned));
    assert!(book.admits(Some(&identity), None).is_err());
    let story = &book.story(&Key::Identity(identity))[0];
    assert!(story.to_string().contains("lied"));
}

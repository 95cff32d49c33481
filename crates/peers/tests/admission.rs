//! The doorkeeper, against a naive one and against crowds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{Failure as _, Retry};
use peerage_peers::{Admission, AdmissionRules, Group, Groups, NotAdmitted, Permit, Rate};
use proptest::prelude::*;

use crate::common::{ip, secs, start};

fn rules() -> AdmissionRules {
    AdmissionRules {
        groups: Groups::default(),
        group: Rate {
            burst: 3,
            every: secs(5),
        },
        total: Rate {
            burst: 100,
            every: Duration::from_millis(10),
        },
        sockets: 8,
        sockets_per_group: 2,
        remembered: 50,
    }
}

fn nth(n: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(0x0b00_0000 + (n << 8) + 1).into()
}

#[test]
fn a_group_has_a_burst_and_then_a_rate() {
    let mut door = Admission::new(rules());
    let mut now = start();
    let mut knock = |now, text: &str| {
        let permit = door.try_admit(now, ip(text))?;
        assert!(door.release(permit));
        Ok::<_, NotAdmitted>(())
    };
    for host in ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"] {
        knock(now, host).unwrap();
    }
    let refused = knock(now, "192.0.2.4").unwrap_err();
    assert_eq!(refused.retry(), Retry::After(secs(5)));
    knock(now, "192.0.3.1").unwrap();
    for _ in 0..3 {
        knock(now, "2001:db8::1").unwrap();
    }
    assert!(knock(now, "2001:db8::ffff:1").is_err(), "one /64");
    knock(now, "2001:db8:0:1::1").unwrap();
    now += secs(5);
    knock(now, "192.0.2.4").unwrap();
    assert!(knock(now, "192.0.2.4").is_err(), "a refusal earns nothing");
}

#[test]
fn a_flooding_group_shuts_nobody_else_out() {
    let mut door = Admission::new(AdmissionRules {
        sockets_per_group: 8,
        group: Rate {
            burst: 1000,
            every: Duration::from_millis(1),
        },
        ..rules()
    });
    let now = start();
    let flood: Vec<_> = (0..8)
        .map(|_| door.try_admit(now, nth(1)).unwrap())
        .collect();
    for n in 2..6 {
        let _permit = door.try_admit(now, nth(n)).unwrap();
        // The flood's own oldest made room.
        assert_eq!(door.poll_displaced(), Some(flood[n as usize - 2].number()));
        assert_eq!(door.live(), 8);
        door.check().unwrap();
    }
    let refused = door.try_admit(now, nth(1));
    assert!(
        matches!(refused, Err(NotAdmitted::Sockets { .. })),
        "{refused:?}"
    );
    for permit in flood.into_iter().take(4) {
        assert!(!door.release(permit), "displaced before");
    }
    assert_eq!(door.live(), 8);
}

#[test]
fn ten_thousand_quiet_groups_cannot_pin_every_place() {
    let mut door = Admission::new(AdmissionRules {
        sockets: 1024,
        total: Rate {
            burst: 100_000,
            every: Duration::from_micros(1),
        },
        remembered: 4096,
        ..rules()
    });
    let mut now = start();
    let mut hostile = BTreeMap::new();
    let mut honest = 0;
    for n in 0..12_000 {
        // Each opens one socket and says nothing.
        let permit = door.try_admit(now, nth(n)).unwrap();
        hostile.insert(permit.number(), permit);
        while let Some(number) = door.poll_displaced() {
            assert!(
                hostile.remove(&number).is_some(),
                "an honest one was displaced"
            );
        }
        now += Duration::from_micros(100);
        if n % 100 == 99 {
            // An honest one finishes its handshake before 1,024 others have come.
            let permit = door.try_admit(now, nth(50_000 + n)).unwrap();
            while let Some(number) = door.poll_displaced() {
                assert!(hostile.remove(&number).is_some());
            }
            assert!(door.release(permit));
            honest += 1;
        }
    }
    assert_eq!(honest, 120);
    assert!(door.remembered() <= 4096 && door.live() <= 1024);
    door.check().unwrap();
}

/// They come as often as they may, from a group each, and use up whatever is there; who comes for
/// the first time still finds an open door, and the time of a slow handshake.
#[test]
fn a_crowd_that_comes_again_and_again_takes_from_itself() {
    let mut door = Admission::new(AdmissionRules {
        sockets: 64,
        total: Rate {
            burst: 100,
            every: Duration::from_millis(20),
        },
        remembered: 4096,
        ..rules()
    });
    let mut now = start();
    let mut hostile = BTreeMap::new();
    let mut honest: Vec<Permit> = Vec::new();
    let (mut refused, mut came) = (0, 0);
    for second in 0..60_u32 {
        for n in 0..1000 {
            // A thousand groups, each once a second.
            now += Duration::from_millis(1);
            match door.try_admit(now, nth(n)) {
                Ok(permit) => drop(hostile.insert(permit.number(), permit)),
                Err(NotAdmitted::TotalRate { .. } | NotAdmitted::Sockets { .. }) => refused += 1,
                Err(_) => {}
            }
            while let Some(number) = door.poll_displaced() {
                assert!(
                    hostile.remove(&number).is_some() || second < 10,
                    "an honest one was displaced"
                );
            }
            // Twenty honest ones a second, of a group each, that take two seconds.
            if second >= 10 && n % 50 == 49 {
                let of = 100_000 + second * 1000 + n;
                honest.push(door.try_admit(now, nth(of)).unwrap());
                came += 1;
                while let Some(number) = door.poll_displaced() {
                    assert!(hostile.remove(&number).is_some());
                }
                if honest.len() > 40 {
                    assert!(door.release(honest.remove(0)), "displaced");
                }
            }
        }
        door.check().unwrap();
    }
    assert_eq!(came, 1000);
    assert!(refused > 10_000, "the door was never crowded: {refused}");
}

#[test]
fn near_networks_are_bound_by_places_alone() {
    let mut door = Admission::new(rules());
    let now = start();
    let permits: Vec<_> = (0..8)
        .map(|_| door.try_admit(now, ip("127.0.0.1")).unwrap())
        .collect();
    let full = door.try_admit(now, ip("127.0.0.1"));
    assert_eq!(full, Err(NotAdmitted::Sockets { limit: 8 }));
    drop(permits);
}

#[test]
fn a_shut_door_is_shut() {
    let mut shut = rules();
    shut.group.burst = 0;
    assert!(Admission::new(shut).try_admit(start(), nth(1)).is_err());
    let mut shut = rules();
    shut.sockets = 0;
    assert!(Admission::new(shut).try_admit(start(), nth(1)).is_err());
}

/// Every admission in a list; what a group owes is recomputed from all of its own.
#[derive(Default)]
struct Naive {
    /// When, of which group, and whether it was let in.
    came: Vec<(Instant, Option<Group>, bool)>,
    /// Number, group, and whether the group owed something when it came.
    live: Vec<(u64, Option<Group>, bool)>,
}

impl Naive {
    fn whole_at(&self, rate: Rate, of: impl Fn(Option<Group>) -> bool) -> Option<Instant> {
        let mut whole: Option<Instant> = None;
        for (at, _, entered) in self.came.iter().filter(|(_, group, _)| of(*group)) {
            let since = whole.map_or(*at, |whole| whole.max(*at));
            whole = Some(if *entered {
                since + rate.every
            } else {
                since.max(*at + rate.every)
            });
        }
        whole
    }

    fn allows(&self, now: Instant, rate: Rate, of: impl Fn(Option<Group>) -> bool) -> bool {
        let next = self.whole_at(rate, of).map_or(now, |at| at.max(now)) + rate.every;
        next - now <= rate.every * rate.burst
    }

    fn knock(
        &mut self,
        rules: &AdmissionRules,
        now: Instant,
        group: Option<Group>,
    ) -> (Option<bool>, Option<u64>) {
        let claim = |wanted| {
            let live = self.live.iter().filter(|(_, group, _)| *group == wanted);
            (
                live.clone().count(),
                live.clone().any(|(_, _, again)| *again),
            )
        };
        let again = group.is_some()
            && self
                .whole_at(rules.group, |other| other == group)
                .is_some_and(|at| at > now);
        if group.is_some()
            && (claim(group).0 >= rules.sockets_per_group
                || !self.allows(now, rules.group, |other| other == group))
        {
            return (None, None);
        }
        let mut total = rules.total;
        if again {
            total.burst = total.burst.div_ceil(2);
        }
        // In the total, whoever came in vain is not counted.
        let entered = self.came.iter().filter(|(_, _, entered)| *entered);
        let all = Self {
            came: entered.copied().collect(),
            live: Vec::new(),
        };
        if !all.allows(now, total, |_| true) {
            self.came.push((now, group, false));
            return (None, None);
        }
        let mut displaced = None;
        if self.live.len() >= rules.sockets {
            let claims = self.live.iter().map(|(_, group, _)| claim(*group));
            let least = claims.max().unwrap();
            if (claim(group).0 + 1, again) > least {
                self.came.push((now, group, false));
                return (None, None);
            }
            // They are in the order of their numbers: the first of such a group is its oldest.
            let mut live = self.live.iter();
            let at = live.position(|(_, group, _)| claim(*group) == least);
            displaced = Some(self.live.remove(at.unwrap()).0);
        }
        self.came.push((now, group, true));
        (Some(again), displaced)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_doorkeeper_does_what_a_naive_one_does(
        ops in proptest::collection::vec((0..12_u32, 0..3_000_u64, 0..4_u8), 1..150),
    ) {
        let rules = rules();
        let (mut door, mut naive) = (Admission::new(rules.clone()), Naive::default());
        let mut permits: Vec<Permit> = Vec::new();
        let mut now = start();
        for (n, ms, kind) in ops {
            now += Duration::from_millis(ms / 4);
            if kind == 0 && !permits.is_empty() {
                let permit = permits.swap_remove(n as usize % permits.len());
                let number = permit.number();
                let live = naive.live.iter().any(|(live, _, _)| *live == number);
                prop_assert_eq!(door.release(permit), live);
                naive.live.retain(|(live, _, _)| *live != number);
            } else {
                let addr = if n == 0 { ip("10.0.0.1") } else { nth(n) };
                let group = rules.groups.of(addr);
                let ours = door.try_admit(now, addr);
                let (admitted, displaced) = naive.knock(&rules, now, group);
                prop_assert_eq!(ours.is_ok(), admitted.is_some(), "{:?}", ours);
                prop_assert_eq!(door.poll_displaced(), displaced);
                if let (Ok(permit), Some(again)) = (ours, admitted) {
                    naive.live.push((permit.number(), group, again));
                    permits.push(permit);
                }
            }
            prop_assert_eq!(door.live(), naive.live.len());
            prop_assert_eq!(door.check(), Ok(()));
        }
    }
}

#[test]
fn new_rules_hold_for_those_who_are_at_the_door_already() {
    let mut door = Admission::new(rules());
    let now = start();
    let mut permits: Vec<_> = (0..6)
        .map(|n| door.try_admit(now, nth(n)).unwrap())
        .collect();
    permits.push(door.try_admit(now, nth(0)).unwrap());
    let fewer = AdmissionRules {
        sockets: 5,
        sockets_per_group: 1,
        remembered: 3,
        ..rules()
    };
    door.set_rules(now, fewer);
    door.check().unwrap();
    // First the older of the crowd, then the one that had come again.
    let displaced: Vec<_> = std::iter::from_fn(|| door.poll_displaced()).collect();
    assert_eq!(displaced, [permits[0].number(), permits[6].number()]);
    assert_eq!((door.live(), door.remembered()), (5, 3));
    assert!(matches!(
        door.try_admit(now, nth(3)),
        Err(NotAdmitted::GroupSockets { limit: 1, .. })
    ));
    let given_back: Vec<_> = permits
        .into_iter()
        .map(|permit| door.release(permit))
        .collect();
    assert_eq!(given_back, [false, true, true, true, true, true, false]);
    door.check().unwrap();
}

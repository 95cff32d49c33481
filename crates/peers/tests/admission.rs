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
    assert!(
        knock(now, "192.0.2.4").is_err(),
        "a refusal costs nothing, and earns nothing"
    );
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
    came: Vec<(Instant, Option<Group>)>,
    live: Vec<(u64, Option<Group>)>,
}

impl Naive {
    fn whole_at(&self, rate: Rate, of: impl Fn(Option<Group>) -> bool) -> Option<Instant> {
        let mut whole: Option<Instant> = None;
        for (at, _) in self.came.iter().filter(|(_, group)| of(*group)) {
            whole = Some(whole.map_or(*at, |whole| whole.max(*at)) + rate.every);
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
    ) -> (bool, Option<u64>) {
        let count = |wanted| {
            self.live
                .iter()
                .filter(|(_, group)| *group == wanted)
                .count()
        };
        if group.is_some()
            && (count(group) >= rules.sockets_per_group
                || !self.allows(now, rules.group, |other| other == group))
        {
            return (false, None);
        }
        if !self.allows(now, rules.total, |_| true) {
            return (false, None);
        }
        let mut displaced = None;
        if self.live.len() >= rules.sockets {
            let most = self
                .live
                .iter()
                .map(|(_, group)| count(*group))
                .max()
                .unwrap();
            if count(group) >= most {
                return (false, None);
            }
            // They are in the order of their numbers: the first of a most crowded group is oldest.
            let at = self
                .live
                .iter()
                .position(|(_, group)| count(*group) == most)
                .unwrap();
            displaced = Some(self.live.remove(at).0);
        }
        self.came.push((now, group));
        (true, displaced)
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
                let live = naive.live.iter().any(|(live, _)| *live == number);
                prop_assert_eq!(door.release(permit), live);
                naive.live.retain(|(live, _)| *live != number);
            } else {
                let addr = if n == 0 { ip("10.0.0.1") } else { nth(n) };
                let group = rules.groups.of(addr);
                let ours = door.try_admit(now, addr);
                let (admitted, displaced) = naive.knock(&rules, now, group);
                prop_assert_eq!(ours.is_ok(), admitted, "{:?}", ours);
                prop_assert_eq!(door.poll_displaced(), displaced);
                if let Ok(permit) = ours {
                    naive.live.push((permit.number(), group));
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
    // First the older of the crowd, then the oldest of all.
    let displaced: Vec<_> = std::iter::from_fn(|| door.poll_displaced()).collect();
    assert_eq!(displaced, [permits[0].number(), permits[1].number()]);
    assert_eq!((door.live(), door.remembered()), (5, 3));
    assert!(matches!(
        door.try_admit(now, nth(3)),
        Err(NotAdmitted::GroupSockets { limit: 1, .. })
    ));
    let given_back: Vec<_> = permits
        .into_iter()
        .map(|permit| door.release(permit))
        .collect();
    assert_eq!(given_back, [false, false, true, true, true, true, true]);
    door.check().unwrap();
}

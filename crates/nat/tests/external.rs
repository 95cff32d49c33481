//! Which address to tell.

use std::time::Duration;

use peerage_core::{Endpoint, Reach};
use peerage_nat::external::SetAside;
use peerage_nat::{External, Family, Source};
use proptest::prelude::*;

use crate::common::{end, start};

const LIFE: Option<Duration> = Some(Duration::from_secs(600));

/// What is told of IPv4 by a node bound to `bound`, given these claims; and why the others are not.
fn told(bound: &str, claims: &[(Source, &str)]) -> (Option<String>, Vec<(Source, SetAside)>) {
    let now = start();
    let mut external = External::new();
    external.bind(now, end(bound));
    for (source, at) in claims {
        external.claim(now, *source, end(at), LIFE);
    }
    let decision = external.decide(now, Family::V4);
    let aside = decision
        .set_aside
        .iter()
        .map(|(claim, why)| (claim.source, *why));
    let aside = aside.collect();
    (
        decision.chosen.map(|chosen| chosen.endpoint.to_string()),
        aside,
    )
}

use SetAside::{AnotherNat, Differs, NoPort, NotPublic, OtherPort};
use Source::{Bound, Configured, Mapped, Seen, Voted};

const ANY: &str = "0.0.0.0:9000";

#[test]
fn the_order_of_trust_holds() {
    let (c, m, v, s) = ("9.0.0.1:1", "9.0.0.2:2", "9.0.0.3:3", "9.0.0.4:4");
    let all = [(Configured, c), (Mapped, m), (Voted, v), (Seen, s)];
    let bound = "9.0.0.5:5";
    let (at, aside) = told(bound, &all);
    assert_eq!(at.as_deref(), Some(c));
    assert_eq!(
        aside,
        [
            (Mapped, AnotherNat),
            (Voted, Differs),
            (Seen, Differs),
            (Bound, Differs)
        ]
    );
    assert_eq!(told(bound, &[(Mapped, m)]).0.as_deref(), Some(m));
    assert_eq!(told(bound, &all[2..]).0.as_deref(), Some(v));
    assert_eq!(told(bound, &all[3..]).0.as_deref(), Some(s));
    assert_eq!(told(bound, &[]).0.as_deref(), Some(bound));
    assert_eq!(told(ANY, &[]).0, None);
}

#[test]
fn a_router_behind_another_nat_is_not_believed() {
    let mapped = (Mapped, "9.0.0.2:2");
    let (at, aside) = told(ANY, &[mapped, (Voted, "9.0.0.3:3")]);
    assert_eq!(at.as_deref(), Some("9.0.0.3:3"));
    assert_eq!(aside, [(Mapped, AnotherNat)]);
    // One witness is enough for it, whatever the other says.
    let (at, aside) = told(ANY, &[mapped, (Voted, "9.0.0.3:3"), (Seen, "9.0.0.2:0")]);
    assert_eq!(at.as_deref(), Some("9.0.0.2:2"));
    assert_eq!(aside, [(Voted, Differs)]);
    // Carrier-grade: the router says so itself.
    let (at, aside) = told(ANY, &[(Mapped, "100.64.0.2:2"), (Seen, "9.0.0.2:0")]);
    assert_eq!(at, None);
    assert_eq!(aside, [(Mapped, NotPublic(Reach::Private)), (Seen, NoPort)]);
}

#[test]
fn ports_come_from_who_knows_them() {
    assert_eq!(
        told(ANY, &[(Configured, "9.0.0.1:0")]).0.as_deref(),
        Some("9.0.0.1:9000")
    );
    assert_eq!(
        told(ANY, &[(Seen, "9.0.0.1:0")]),
        (None, vec![(Seen, NoPort)])
    );
    let both = [(Seen, "9.0.0.1:0"), (Voted, "9.0.0.1:77")];
    assert_eq!(told(ANY, &both).0.as_deref(), Some("9.0.0.1:77"));
    let (at, aside) = told(ANY, &[(Mapped, "9.0.0.1:7"), (Voted, "9.0.0.1:77")]);
    assert_eq!(
        (at.as_deref(), aside),
        (Some("9.0.0.1:7"), vec![(Voted, OtherPort)])
    );
}

#[test]
fn what_is_bound_by_name_may_be_local() {
    assert_eq!(
        told("127.0.0.1:9000", &[]).0.as_deref(),
        Some("127.0.0.1:9000")
    );
    let voted = [(Voted, "127.0.0.1:9000")];
    assert_eq!(
        told("127.0.0.1:9000", &voted).0.as_deref(),
        Some("127.0.0.1:9000")
    );
    assert_eq!(
        told(ANY, &voted),
        (None, vec![(Voted, NotPublic(Reach::Loopback))])
    );
    // A local network may not make us tell our own machine.
    let (at, aside) = told("192.168.1.7:9000", &voted);
    assert_eq!(at.as_deref(), Some("192.168.1.7:9000"));
    assert_eq!(aside, [(Voted, NotPublic(Reach::Loopback))]);
    let public = [(Voted, "9.0.0.3:3")];
    assert_eq!(
        told("192.168.1.7:9000", &public).0.as_deref(),
        Some("9.0.0.3:3")
    );
    assert_eq!(
        told(ANY, &[(Configured, "192.168.1.7:0")]).0.as_deref(),
        Some("192.168.1.7:9000")
    );
}

#[test]
fn claims_end_and_families_are_apart() {
    let now = start();
    let mut external = External::new();
    external.bind(now, end(ANY));
    external.bind(now, end("[::]:9001"));
    external.claim(now, Voted, end("9.0.0.3:3"), LIFE);
    external.claim(now, Configured, end("[2001:db8::5]:0"), None);
    let at = |external: &External, now, family| {
        let chosen = external.decide(now, family).chosen;
        chosen.map(|chosen| chosen.endpoint.to_string())
    };
    assert_eq!(
        at(&external, now, Family::V6).as_deref(),
        Some("[2001:db8::5]:9001")
    );
    assert_eq!(at(&external, now, Family::V4).as_deref(), Some("9.0.0.3:3"));
    let later = now + Duration::from_secs(600);
    assert_eq!(external.next_expiry(now), Some(later));
    assert_eq!(at(&external, later, Family::V4), None);
    let text = external.decide(later, Family::V4).to_string();
    assert_eq!(
        text,
        "IPv4: no address to tell\n  not 9.0.0.3:3 (voted): its time is over"
    );
    assert_eq!(
        at(&external, later, Family::V6).as_deref(),
        Some("[2001:db8::5]:9001")
    );
    external.forget_witnesses();
    assert!(external.decide(later, Family::V4).set_aside.is_empty());
}

#[test]
fn a_dispute_is_told_in_words() {
    let now = start();
    let mut external = External::new();
    external.bind(now, end(ANY));
    external.claim(now, Mapped, end("9.0.0.2:2"), LIFE);
    external.claim(now, Seen, end("9.0.0.2:0"), LIFE);
    external.claim(now, Voted, end("9.0.0.3:3"), LIFE);
    let decision = external.decide(now, Family::V4);
    assert!(decision.is_disputed());
    let expected = "IPv4: 9.0.0.2:2, mapped; also seen\n  \
                    not 9.0.0.3:3 (voted): a source more trusted says another address";
    assert_eq!(decision.to_string(), expected);
}

fn addresses() -> impl Strategy<Value = Endpoint> {
    let ips = [
        "9.0.0.1",
        "9.0.0.2",
        "10.0.0.1",
        "127.0.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "169.254.0.1",
    ];
    (prop::sample::select(ips.to_vec()), 0_u16..3)
        .prop_map(|(ip, port)| Endpoint::new(ip.parse().unwrap(), port))
}

proptest! {
    /// The promise: bound to nothing by name and configured to nothing local, only the public's.
    #[test]
    fn a_node_bound_to_no_address_never_tells_a_local_one(
        claims in prop::collection::vec((prop::sample::select(vec![Mapped, Voted, Seen]), addresses()), 0..8),
    ) {
        let now = start();
        let mut external = External::new();
        external.bind(now, end(ANY));
        for (source, at) in &claims {
            external.claim(now, *source, *at, LIFE);
        }
        let decision = external.decide(now, Family::V4);
        if let Some(chosen) = decision.chosen {
            prop_assert_eq!(Reach::of(chosen.endpoint.ip()), Reach::Global);
            prop_assert!(chosen.endpoint.is_dialable());
        }
        // Nobody's claim disappears: each is chosen, confirms, or is set aside.
        let mut sources: Vec<Source> = claims.iter().map(|(source, _)| *source).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut accounted: Vec<Source> = decision.chosen.iter().map(|chosen| chosen.source).collect();
        accounted.extend(&decision.confirmed_by);
        accounted.extend(decision.set_aside.iter().map(|(claim, _)| claim.source));
        accounted.sort_unstable();
        prop_assert_eq!(accounted, sources);
    }
}

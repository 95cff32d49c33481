//! Seeds in rounds: what they give, how they rest, what is reported. Time is virtual.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peerage_core::{Endpoint, Failure, Kind, Network, Reason};
use peerage_find::dns::{DNS, DnsSeed, Resolve};
use peerage_find::{Claims, Finder, MAX_ANSWER, Seed, Seeds, Source, Told};
use peerage_net::{ReachError, Target};
use tokio::time::{Instant, sleep_until, timeout};

const NETWORK: Network = Network("test");

fn at(n: u16) -> Endpoint {
    let [high, low] = n.to_be_bytes();
    Endpoint::new([192, 0, high, low].into(), 8233)
}

/// A seed that gives the next piece of what it knows each time, or fails when it has none.
struct Script {
    name: &'static str,
    rounds: Vec<Vec<Told>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(name: &'static str, rounds: &[&[u16]]) -> Self {
        let round = |round: &&[u16]| round.iter().map(|n| at(*n).into()).collect();
        Self {
            name,
            rounds: rounds.iter().map(round).collect(),
            asked: AtomicUsize::new(0),
        }
    }
}

impl Seed for Script {
    const SOURCE: Source = Source("script");

    fn name(&self) -> Arc<str> {
        self.name.into()
    }

    async fn ask(&self, deadline: Instant) -> Result<Vec<Told>, Reason> {
        let round = self.asked.fetch_add(1, Ordering::Relaxed);
        match self.rounds.get(round) {
            Some(told) => Ok(told.clone()),
            None => {
                sleep_until(deadline).await;
                Err(ReachError::NoAddress {
                    name: self.name.into(),
                }
                .reason())
            }
        }
    }
}

async fn all_for(finder: &mut impl Finder, time: Duration) -> Vec<Endpoint> {
    let end = Instant::now() + time;
    let mut found = Vec::new();
    while let Ok(Some(candidate)) = tokio::time::timeout_at(end, finder.next()).await {
        found.extend(candidate.endpoints);
    }
    found.sort();
    found
}

#[tokio::test(start_paused = true)]
async fn all_seeds_are_asked_and_each_endpoint_is_given_once() {
    let seeds = [
        Script::new("a", &[&[1, 2], &[2, 4]]),
        Script::new("b", &[&[2, 3], &[1, 5]]),
    ];
    let mut finder = Seeds::new(NETWORK, seeds);
    let first = finder.next().await.unwrap();
    assert_eq!((first.network, first.source), (NETWORK, Source("script")));
    assert!(matches!(first.claims, Claims::Hearsay(_)));
    assert!(["a", "b"].contains(&&*first.told_by.unwrap()));
    let mut found = all_for(&mut finder, Duration::from_secs(60)).await;
    found.extend(first.endpoints);
    found.sort();
    assert_eq!(found, [at(1), at(2), at(3)]);

    // They rest for eleven minutes, then only what is new is told.
    let none = all_for(&mut finder, Duration::from_secs(9 * 60)).await;
    assert_eq!(none, []);
    let next = all_for(&mut finder, Duration::from_secs(2 * 60)).await;
    assert_eq!(next, [at(4), at(5)]);
    let report = finder.report();
    assert_eq!(report.gave, 5);
    let asked: Vec<_> = report
        .seeds
        .iter()
        .map(|seed| (&*seed.seed, seed.asked, seed.gave))
        .collect();
    assert_eq!(asked, [("a", 2, 4), ("b", 2, 4)]);
}

#[tokio::test(start_paused = true)]
async fn after_failures_seeds_are_asked_again_soon_and_then_more_rarely() {
    let began = Instant::now();
    let mut finder = Seeds::new(NETWORK, [Script::new("a", &[])]).limit(Duration::from_secs(10));
    assert_eq!(all_for(&mut finder, Duration::from_secs(3600)).await, []);
    let report = finder.report();
    let seed = &report.seeds[0];
    // Rests of 30, 60, 120, 240, 480 and 660 s between rounds of 10 s.
    assert_eq!((seed.asked, seed.failed), (9, 9), "{:?}", began.elapsed());
    let trouble = seed.trouble.as_ref().unwrap();
    assert_eq!(trouble.kind, Kind::Unresolved);
    assert_eq!(report.gave, 0);

    // Somebody who knows that the network is back need not wait.
    finder.hurry();
    all_for(&mut finder, Duration::from_secs(1)).await;
    assert_eq!(finder.report().seeds[0].asked, 10);
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_answers_after_all_is_forgiven() {
    struct Second(Script);
    impl Seed for Second {
        const SOURCE: Source = Script::SOURCE;
        fn name(&self) -> Arc<str> {
            self.0.name()
        }
        async fn ask(&self, deadline: Instant) -> Result<Vec<Told>, Reason> {
            let round = self.0.asked.fetch_add(1, Ordering::Relaxed);
            let unknown = || ReachError::NoAddress { name: "a".into() }.reason();
            let _ = deadline;
            if round == 0 {
                Err(unknown())
            } else {
                Ok(vec![at(1).into()])
            }
        }
    }
    let mut finder = Seeds::new(NETWORK, [Second(Script::new("a", &[]))]);
    assert_eq!(finder.next().await.unwrap().endpoints, [at(1)]);
    let seed = &finder.report().seeds[0];
    assert_eq!((seed.asked, seed.failed, &seed.trouble), (2, 1, &None));
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_taken_beyond_its_bound_and_no_seeds_is_an_end() {
    let many: Vec<u16> = (0..u16::MAX).collect();
    let mut finder = Seeds::new(NETWORK, [Script::new("a", &[&many])]);
    let found = all_for(&mut finder, Duration::from_secs(60)).await;
    assert_eq!(found.len(), MAX_ANSWER);
    let nobody: [Script; 0] = [];
    assert_eq!(Seeds::new(NETWORK, nobody).next().await, None);
}

fn target(name: &str) -> Target {
    Target::parse(name, 8233).unwrap()
}

#[derive(Clone)]
struct Names;

impl Resolve for Names {
    async fn resolve(
        &self,
        name: &str,
        port: u16,
        _: Instant,
    ) -> Result<Vec<Endpoint>, ReachError> {
        match name {
            "two.example" => Ok([[192, 0, 2, 1], [192, 0, 2, 2]]
                .map(|ip| Endpoint::new(ip.into(), port))
                .into()),
            _ => Err(ReachError::NoAddress { name: name.into() }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dns_seed_gives_its_addresses_with_the_chains_port() {
    let seeds = ["none.example", "two.example"].map(|name| DnsSeed::new(target(name), Names));
    let mut finder = Seeds::new(NETWORK, seeds);
    let first = finder.next().await.unwrap();
    assert_eq!(first.source, DNS);
    assert_eq!(
        first.endpoints,
        ["192.0.2.1:8233"
            .parse::<std::net::SocketAddr>()
            .unwrap()
            .into()]
    );
    assert_eq!(first.told_by.as_deref(), Some("two.example"));
    assert!(
        timeout(Duration::from_secs(1), finder.next())
            .await
            .unwrap()
            .is_some()
    );
    let report = finder.report();
    assert_eq!(report.seeds[0].failed, 1);
    assert!(
        report.seeds[0]
            .trouble
            .as_ref()
            .unwrap()
            .message
            .contains("none.example")
    );
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine() {
    let seed = DnsSeed::new(target("localhost"), peerage_find::dns::System);
    let told = seed
        .ask(Instant::now() + Duration::from_secs(10))
        .await
        .unwrap();
    assert!(
        told.iter()
            .all(|told| told.endpoint.ip().is_loopback() && told.endpoint.port() == 8233)
    );
    assert!(!told.is_empty());
}

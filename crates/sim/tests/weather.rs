//! What the network does to datagrams, against the model; what comes out is counted, not assumed.

use std::time::Duration;

use peerage_sim::weather::Place;
use peerage_sim::{Chance, Weather};

use crate::common::{addr, listen, network};

const MS: Duration = Duration::from_millis(1);

fn chance(share: f64) -> Chance {
    Chance::new(share).unwrap()
}

/// Sends so many numbered datagrams, 1 ms apart, and returns when each was heard: its number, and
/// how long it took in nanoseconds. Also what the pair takes at least.
fn heard(weather: Weather, count: u16) -> (Vec<(u16, u64)>, Duration) {
    let mut network = network(5, weather);
    let a = network.add(addr(1, 1), Default::default());
    let b = network.add(addr(2, 1), Default::default());
    let first = network.now();
    let mut all = Vec::new();
    for n in 0..count {
        network.with(a, |ear, _| ear.say(addr(2, 1), n.to_be_bytes()));
        all.extend(listen(&mut network, MS));
    }
    all.extend(listen(&mut network, Duration::from_secs(10)));
    let all = all.into_iter().map(|(host, (now, from, what))| {
        assert_eq!((host, from), (b.index(), addr(1, 1)));
        let n = u16::from_be_bytes(what.try_into().unwrap());
        let took = now.at - first - MS * u32::from(n);
        (n, u64::try_from(took.as_nanos()).unwrap())
    });
    (all.collect(), network.latency(a, b))
}

#[test]
fn calm_weather_brings_each_datagram_once_in_order_after_its_latency() {
    let (all, latency) = heard(Weather::CALM, 300);
    assert_eq!(latency, 20 * MS);
    assert!(all.iter().map(|(n, _)| *n).eq(0..300));
    assert!(all.iter().all(|(_, took)| *took == 20_000_000));
}

/// With 10,000 throws of probability p the count strays by more than 5 standard deviations once in
/// two million times; the seed is fixed, so it either does or does not.
#[test]
fn losses_and_repetitions_have_their_frequency_and_are_independent() {
    let count = 10_000u16;
    let weather = Weather {
        loss: chance(0.05),
        duplication: chance(0.10),
        ..Weather::CALM
    };
    let (all, _) = heard(weather, count);
    let n = f64::from(count);
    let mut copies = vec![0u32; usize::from(count)];
    for (number, _) in &all {
        copies[usize::from(*number)] += 1;
    }
    let seen = |times| copies.iter().filter(|c| **c == times).count() as f64;
    let (loss, twice) = (0.05, 0.10);
    // Each copy is lost on its own.
    for (times, p) in [
        (0, (1.0 - twice) * loss + twice * loss * loss),
        (
            1,
            (1.0 - twice) * (1.0 - loss) + twice * 2.0 * loss * (1.0 - loss),
        ),
        (2, twice * (1.0 - loss) * (1.0 - loss)),
    ] {
        let sigma = (n * p * (1.0 - p)).sqrt();
        let strays = (seen(times) - n * p).abs() / sigma;
        assert!(strays < 5.0, "{times} copies: {} of {n}, {p}", seen(times));
    }
}

#[test]
fn jitter_is_uniform_above_the_latency_of_the_pair() {
    let weather = Weather {
        latency: (5 * MS, 150 * MS),
        jitter: 40 * MS,
        ..Weather::CALM
    };
    let (all, latency) = heard(weather, 10_000);
    assert!(5 * MS <= latency && latency <= 150 * MS, "{latency:?}");
    let least = latency.as_nanos() as f64;
    let jitters: Vec<f64> = all.iter().map(|(_, took)| *took as f64 - least).collect();
    let most = 40e6;
    assert!(jitters.iter().all(|j| (0.0..=most).contains(j)));
    let mean = jitters.iter().sum::<f64>() / jitters.len() as f64;
    let variance = jitters.iter().map(|j| (j - mean).powi(2)).sum::<f64>() / jitters.len() as f64;
    // A uniform variable has mean 1/2 and variance 1/12.
    assert!((mean / most - 0.5).abs() < 0.02, "{mean}");
    assert!(
        (variance / most / most - 1.0 / 12.0).abs() < 0.01,
        "{variance}"
    );
    assert!(!all.is_sorted(), "what is 1 ms apart overtakes");
}

#[test]
fn what_is_held_back_is_overtaken_and_nothing_else_is() {
    let weather = Weather {
        reordering: chance(0.1),
        held: 30 * MS + MS / 2,
        ..Weather::CALM
    };
    let (all, _) = heard(weather, 5_000);
    assert_eq!(all.len(), 5_000);
    let late: Vec<_> = all.iter().filter(|(_, took)| *took > 20_000_000).collect();
    assert!((400..600).contains(&late.len()), "{}", late.len());
    assert!(late.iter().all(|(_, took)| *took == 50_500_000));
    let in_time = all.iter().filter(|(_, took)| *took == 20_000_000);
    assert!(in_time.map(|(n, _)| *n).is_sorted());
    assert!(!all.iter().map(|(n, _)| *n).is_sorted());
}

#[test]
fn latency_is_symmetric_and_obeys_the_triangle_inequality_within_its_bounds() {
    let weather = Weather::INTERNET;
    let places =
        [0u16, 1, 7_000, 30_000, u16::MAX].map(|x| [0u16, 9_000, u16::MAX].map(|y| Place(x, y)));
    let places: Vec<_> = places.into_iter().flatten().collect();
    let between = |a, b| weather.latency_between(a, b);
    for &a in &places {
        assert_eq!(between(a, a), 5 * MS);
        for &b in &places {
            assert_eq!(between(a, b), between(b, a));
            assert!((5 * MS..=150 * MS).contains(&between(a, b)));
            for &c in &places {
                // The distance is rounded down by less than 5 microseconds.
                assert!(between(a, c) <= between(a, b) + between(b, c) + MS / 100);
            }
        }
    }
    let far = between(places[0], places[14]);
    assert!(far > 149 * MS, "{far:?}");
}

#[test]
fn chances_are_probabilities() {
    for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Chance::new(wrong), None);
    }
    let mut rng = peerage_sim::Seed(1).rng("test", 0);
    for _ in 0..1000 {
        assert!(!Chance::NEVER.happens(&mut rng));
        assert!(Chance::ALWAYS.happens(&mut rng));
    }
}

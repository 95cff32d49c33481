//! Who of the established peers is meant, and who of them is best. Pure.

use std::sync::Arc;
use std::time::Duration;

use peerage::networks::{About, PeerFacts};
use peerage::node::book::Key;
use peerage::node::peers::Snapshot;

use crate::convert::direction;
use crate::v1;

/// An established peer, as selectors see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As the table has it.
    pub snapshot: Snapshot<Key>,
    /// What its handshake said.
    pub facts: Arc<PeerFacts>,
}

/// Whether a selector means a peer; the realm aside.
pub fn fits(selector: &v1::Selector, seen: &Seen) -> bool {
    let Seen { snapshot, facts } = seen;
    let id = &snapshot.id.0;
    let contains = |agent: &str| {
        let wanted = selector.agent.to_lowercase();
        agent.to_lowercase().contains(&wanted)
    };
    let in_time = |most: u32| {
        let most = Duration::from_millis(most.into());
        snapshot.rtt.is_some_and(|rtt| rtt.min <= most)
    };
    let wanted = selector.direction();
    (selector.only.is_empty() || selector.only.contains(id))
        && !selector.except.contains(id)
        && (wanted == v1::Direction::Unspecified || wanted == direction(snapshot.direction))
        && (selector.min_height == 0 || facts.height >= Some(selector.min_height))
        && (selector.agent.is_empty() || contains(&facts.agent.to_string()))
        && (selector.capability.is_empty() || shares(facts, &selector.capability))
        && (selector.services == 0 || serves(facts, selector.services))
        && (selector.max_rtt_ms == 0 || in_time(selector.max_rtt_ms))
}

fn shares(facts: &PeerFacts, wanted: &str) -> bool {
    let About::Ethereum(facts) = &facts.about else {
        return false;
    };
    facts.shared.iter().any(|shared| {
        let shown = shared.to_string();
        shown == wanted || shown.split('/').next() == Some(wanted)
    })
}

fn serves(facts: &PeerFacts, wanted: u64) -> bool {
    let About::Version(facts) = &facts.about else {
        return false;
    };
    facts.services & wanted == wanted
}

/// What a part of a score is at the most.
const FULL: u64 = 1000;

/// Full at nothing, half at `half`, and ever less.
fn falling(value: u64, half: u64) -> u64 {
    let sum = u128::from(half) + u128::from(value);
    u64::try_from(u128::from(FULL) * u128::from(half) / sum.max(1)).unwrap_or(FULL)
}

/// A peer and its score.
pub type Ranked = (v1::Score, Seen);

/// The best first; among equals, the one that came first.
pub fn rank(mut peers: Vec<Seen>) -> Vec<Ranked> {
    let mut heights: Vec<u64> = peers.iter().filter_map(|seen| seen.facts.height).collect();
    heights.sort_unstable();
    // What one peer claims beyond all others gains it nothing.
    let median = heights.get(heights.len() / 2).copied();
    peers.sort_by_key(|seen| seen.snapshot.id);
    let mut ranked: Vec<Ranked> = peers
        .into_iter()
        .map(|seen| (score(&seen, median), seen))
        .collect();
    ranked.sort_by_key(|(score, _)| std::cmp::Reverse(score.total));
    ranked
}

fn score(seen: &Seen, median: Option<u64>) -> v1::Score {
    let Seen { snapshot, facts } = seen;
    let behind = |height: u64| median.unwrap_or(0).saturating_sub(height);
    let height = facts.height.map_or(0, |height| falling(behind(height), 10));
    let latency = snapshot.rtt.map_or(FULL / 4, |rtt| {
        falling(crate::convert::micros(rtt.min), 100_000)
    });
    let age = crate::convert::millis(snapshot.age);
    let forgiven = u64::from(5_u32.saturating_sub(snapshot.strikes));
    let reliability = (FULL - falling(age, 600_000)) * forgiven / 5;
    let busy = falling(snapshot.asking as u64, 4);
    let readiness = busy * falling(snapshot.sending as u64, 256 * 1024) / FULL;
    let part = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
    v1::Score {
        total: part(height + latency + reliability + readiness),
        height: part(height),
        latency: part(latency),
        reliability: part(reliability),
        readiness: part(readiness),
    }
}

/// To how many of so many a message goes.
pub fn share(share: v1::Share, of: usize, limit: u32) -> usize {
    let wanted = match share {
        v1::Share::Unspecified | v1::Share::All => of,
        v1::Share::SquareRoot => {
            let root = of.isqrt();
            root + usize::from(root * root < of)
        }
    };
    match limit {
        0 => wanted,
        limit => wanted.min(usize::try_from(limit).unwrap_or(usize::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage::networks::VersionFacts;
    use peerage::node::peers::keepalive::Rtt;
    use peerage::node::peers::{Phase, SessionId, Standing, Tally};
    use peerage::{Direction, PeerText, UnixTime};

    fn seen(id: u64, height: Option<u64>, rtt_ms: Option<u64>) -> Seen {
        let rtt = rtt_ms.map(|ms| {
            let latest = Duration::from_millis(ms);
            Rtt {
                latest,
                min: latest,
                smoothed: latest,
            }
        });
        let agent: PeerText = "/MagicBean:6.3.0/".into();
        Seen {
            snapshot: Snapshot {
                id: SessionId(id),
                identity: None,
                direction: Direction::Outbound,
                standing: Standing::Ordinary,
                addr: None,
                phase: Phase::Active,
                age: Duration::from_secs(600),
                client: agent.clone(),
                rtt,
                quiet: Duration::ZERO,
                tally: Tally::default(),
                rate_in: 0,
                rate_out: 0,
                asking: 0,
                request_timeout: Duration::from_secs(2),
                asked: 0,
                sending: 0,
                unread: 0,
                paused: false,
                strikes: 0,
            },
            facts: Arc::new(PeerFacts {
                addr: String::new(),
                agent,
                height,
                dropped: 0,
                early: 0,
                rtt: None,
                about: About::Version(VersionFacts {
                    protocol_version: 1,
                    negotiated: 1,
                    services: 0b101,
                    services_shown: String::new(),
                    time: UnixTime(0),
                    relay: true,
                }),
            }),
        }
    }

    fn order(peers: Vec<Seen>) -> Vec<u64> {
        let ranked = rank(peers).into_iter();
        ranked.map(|(_, seen)| seen.snapshot.id.0).collect()
    }

    #[test]
    fn the_higher_quicker_steadier_and_readier_is_better() {
        let base = || seen(1, Some(100), Some(50));
        let mut worse = Vec::new();
        for change in [
            (|seen| Arc::get_mut(&mut seen.facts).unwrap().height = Some(80)) as fn(&mut Seen),
            |seen| seen.snapshot.rtt = None,
            |seen| seen.snapshot.age = Duration::from_secs(1),
            |seen| seen.snapshot.strikes = 2,
            |seen| seen.snapshot.asking = 3,
            |seen| seen.snapshot.sending = 1 << 20,
        ] {
            let mut other = base();
            other.snapshot.id = SessionId(0);
            change(&mut other);
            let (score, best) = rank(vec![other, base()]).remove(0);
            assert_eq!(best.snapshot.id.0, 1);
            let parts = [
                score.height,
                score.latency,
                score.reliability,
                score.readiness,
            ];
            assert_eq!(score.total, parts.iter().sum::<u32>());
            assert!(parts.iter().all(|part| *part <= 1000));
            worse.push(score);
        }
    }

    #[test]
    fn a_claim_beyond_all_others_gains_nothing() {
        let liar = seen(9, Some(u64::MAX), Some(80));
        let peers = vec![
            liar,
            seen(2, Some(100), Some(10)),
            seen(3, Some(100), Some(20)),
        ];
        assert_eq!(order(peers), [2, 3, 9]);
        assert_eq!(
            order(vec![seen(2, None, None), seen(1, None, None)]),
            [1, 2]
        );
    }

    #[test]
    fn each_condition_leaves_somebody_out() {
        let peer = seen(7, Some(100), Some(50));
        let all = v1::Selector::default();
        assert!(fits(&all, &peer));
        let no: [fn(&mut v1::Selector); 9] = [
            |of| of.only = vec![8],
            |of| of.except = vec![7],
            |of| of.set_direction(v1::Direction::Inbound),
            |of| of.min_height = 101,
            |of| of.agent = "zebra".into(),
            |of| of.capability = "eth".into(),
            |of| of.services = 0b11,
            |of| of.max_rtt_ms = 49,
            |of| (of.only, of.except) = (vec![7], vec![7]),
        ];
        for change in no {
            let mut of = all.clone();
            change(&mut of);
            assert!(!fits(&of, &peer), "{of:?}");
        }
        let yes: [fn(&mut v1::Selector); 6] = [
            |of| of.only = vec![8, 7],
            |of| of.set_direction(v1::Direction::Outbound),
            |of| of.min_height = 100,
            |of| of.agent = "magicbean".into(),
            |of| of.services = 0b100,
            |of| of.max_rtt_ms = 50,
        ];
        for change in yes {
            let mut of = all.clone();
            change(&mut of);
            assert!(fits(&of, &peer), "{of:?}");
        }
        let silent = seen(1, None, None);
        let (min_height, max_rtt_ms) = (1, 1000);
        assert!(!fits(
            &v1::Selector {
                min_height,
                ..all.clone()
            },
            &silent
        ));
        assert!(!fits(&v1::Selector { max_rtt_ms, ..all }, &silent));
    }

    #[test]
    fn a_share_is_all_or_the_square_root_and_never_more_than_its_limit() {
        use v1::Share::{All, SquareRoot};
        assert_eq!(share(All, 50, 0), 50);
        assert_eq!(share(All, 50, 7), 7);
        let roots: Vec<_> = [0, 1, 2, 4, 5, 49, 50]
            .map(|of| share(SquareRoot, of, 0))
            .into();
        assert_eq!(roots, [0, 1, 2, 2, 3, 7, 8]);
        assert_eq!(share(SquareRoot, 50, 3), 3);
    }
}

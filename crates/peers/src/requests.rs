//! Our requests to one peer: who owes us what, and since when.

use std::time::{Duration, Instant};

/// How long answers may take, and how many may be owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRules {
    /// The deadline before anything was measured.
    pub initial: Duration,
    /// The shortest deadline.
    pub min: Duration,
    /// The longest deadline.
    pub max: Duration,
    /// How long a peer may owe an answer before that is a breach of the protocol; counted from when
    /// the request went out. `None` where a peer need not answer.
    pub breach: Option<Duration>,
    /// Requests under way to one peer.
    pub in_flight: usize,
    /// Requests remembered per peer, late and cancelled ones included.
    pub remembered: usize,
}

/// 2 s to 20 s, starting at 20 s, and 120 s until breach: what reth settled on.
impl Default for RequestRules {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(20),
            min: Duration::from_secs(2),
            max: Duration::from_secs(20),
            breach: Some(Duration::from_secs(120)),
            in_flight: 16,
            remembered: 32,
        }
    }
}

/// How long a late or cancelled request is remembered where there is no breach.
const MEMORY: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// The caller was told that it took too long.
    Late,
    /// The caller does not want it any more.
    Cancelled,
}

#[derive(Clone, Debug)]
struct Open<K> {
    key: K,
    seq: u32,
    state: State,
    /// When the caller is told that it is late. Once sent: when it went out, plus the deadline.
    deadline: Instant,
    sent_at: Option<Instant>,
    /// When it was asked, or became late or cancelled without having been sent.
    since: Instant,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    InTime(Duration),
    Late { took: Duration, late: Duration },
    Unwanted,
    Unsolicited,
}

/// Why a request cannot be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAsked {
    TooMany { limit: usize },
    KeyInUse,
}

/// What an expiry found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expired<K> {
    Late(K),
    Breach,
}

#[derive(Clone, Debug)]
pub(crate) struct Requests<K> {
    open: Vec<Open<K>>,
    timeout: Duration,
    seq: u32,
}

impl<K: Clone + Eq> Requests<K> {
    pub(crate) const fn new(rules: &RequestRules) -> Self {
        Self {
            open: Vec::new(),
            timeout: rules.initial,
            seq: 0,
        }
    }

    /// The present deadline.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.waiting().count()
    }

    fn waiting(&self) -> impl Iterator<Item = &Open<K>> {
        self.open.iter().filter(|open| open.state == State::Waiting)
    }

    /// The keys of those the caller still waits for.
    pub(crate) fn unanswered(&self) -> Vec<K> {
        self.waiting().map(|open| open.key.clone()).collect()
    }

    /// Whether an answer with this key is owed or remembered.
    pub(crate) fn expects(&self, key: &K) -> bool {
        self.open.iter().any(|open| open.key == *key)
    }

    pub(crate) fn check(&self, key: &K, rules: &RequestRules) -> Result<(), NotAsked> {
        if self.expects(key) {
            return Err(NotAsked::KeyInUse);
        }
        if self.in_flight() >= rules.in_flight {
            return Err(NotAsked::TooMany {
                limit: rules.in_flight,
            });
        }
        if self.open.len() >= rules.remembered {
            return Err(NotAsked::TooMany {
                limit: rules.remembered,
            });
        }
        Ok(())
    }

    /// Notes a request and names it for the lane.
    pub(crate) fn ask(&mut self, at: Instant, key: K) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.open.push(Open {
            key,
            seq: self.seq,
            state: State::Waiting,
            deadline: at + self.timeout,
            sent_at: None,
            since: at,
        });
        self.seq
    }

    /// The request went out.
    pub(crate) fn sent(&mut self, at: Instant, seq: u32) {
        let timeout = self.timeout;
        if let Some(open) = self.open.iter_mut().find(|open| open.seq == seq) {
            open.sent_at = Some(at);
            open.deadline = at + timeout;
        }
    }

    /// An answer came.
    pub(crate) fn answered(&mut self, at: Instant, key: &K, rules: &RequestRules) -> Arrival {
        // What was not sent cannot be answered.
        let place = self
            .open
            .iter()
            .position(|open| open.key == *key && open.sent_at.is_some());
        let Some(place) = place else {
            return Arrival::Unsolicited;
        };
        let open = self.open.swap_remove(place);
        self.give_back_room();
        let sent_at = open.sent_at.unwrap_or(at);
        let rtt = at.saturating_duration_since(sent_at);
        // devp2p has no rule for it; reth: nine parts the old deadline, one part three round trips.
        let moved = self.timeout * 9 / 10 + rtt * 3 / 10;
        self.timeout = moved.clamp(rules.min, rules.max);
        match open.state {
            State::Waiting => Arrival::InTime(rtt),
            State::Late => Arrival::Late {
                took: rtt,
                late: at.saturating_duration_since(open.deadline),
            },
            State::Cancelled => Arrival::Unwanted,
        }
    }

    /// The caller does not want it any more; `false` when it is not under way.
    pub(crate) fn cancel(&mut self, at: Instant, key: &K) -> bool {
        let open = self
            .open
            .iter_mut()
            .find(|open| open.key == *key && open.state == State::Waiting);
        let Some(open) = open else { return false };
        open.state = State::Cancelled;
        open.since = at;
        true
    }

    /// When one that nobody waits for is forgotten, or a peer has owed for too long.
    fn end(open: &Open<K>, rules: &RequestRules) -> Instant {
        let since = open.sent_at.unwrap_or(open.since);
        since + rules.breach.unwrap_or(MEMORY)
    }

    pub(crate) fn next(&self, rules: &RequestRules) -> Option<(Instant, &'static str)> {
        let when = |open: &Open<K>| match open.state {
            State::Waiting => (open.deadline, "request"),
            State::Late | State::Cancelled => (Self::end(open, rules), "late request"),
        };
        self.open.iter().map(when).min()
    }

    /// Takes the first thing that is due.
    pub(crate) fn expire(&mut self, at: Instant, rules: &RequestRules) -> Option<Expired<K>> {
        for place in 0..self.open.len() {
            let open = self.open.get_mut(place)?;
            if open.state == State::Waiting && open.deadline <= at {
                open.state = State::Late;
                open.since = at;
                return Some(Expired::Late(open.key.clone()));
            }
        }
        let ended = |open: &Open<K>| open.state != State::Waiting && Self::end(open, rules) <= at;
        while let Some(place) = self.open.iter().position(ended) {
            let open = self.open.swap_remove(place);
            self.give_back_room();
            if rules.breach.is_some() && open.state == State::Late && open.sent_at.is_some() {
                return Some(Expired::Breach);
            }
        }
        None
    }

    /// We did not listen from `since` until now, so nothing that was open then is late for it.
    pub(crate) fn shift(&mut self, since: Instant, at: Instant) {
        for open in &mut self.open {
            let paused = at.saturating_duration_since(since.max(open.since));
            open.deadline += paused;
            open.since += paused;
            if let Some(sent_at) = &mut open.sent_at {
                *sent_at = (*sent_at + paused).min(at);
            }
        }
    }

    fn give_back_room(&mut self) {
        if self.open.is_empty() {
            self.open = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_deadline_moves_a_tenth_towards_three_round_trips_within_bounds() {
        let rules = RequestRules::default();
        let mut requests = Requests::new(&rules);
        let mut at = start();
        let mut expected = 20_000_f64;
        for trip in [100, 100, 5000, 9000, 9000, 9000, 100]
            .into_iter()
            .cycle()
            .take(200)
        {
            let seq = requests.ask(at, 1);
            requests.sent(at, seq);
            at += Duration::from_millis(trip);
            assert_eq!(
                requests.answered(at, &1, &rules),
                Arrival::InTime(Duration::from_millis(trip))
            );
            expected = (expected * 0.9 + 0.3 * trip as f64).clamp(2000.0, 20_000.0);
            assert!((requests.timeout().as_secs_f64() * 1000.0 - expected).abs() < 0.01);
        }
        for _ in 0..100 {
            let seq = requests.ask(at, 1);
            requests.sent(at, seq);
            requests.answered(at, &1, &rules);
        }
        assert_eq!(requests.timeout(), rules.min);
    }

    #[test]
    fn a_late_answer_is_known_and_silence_becomes_a_breach() {
        let rules = RequestRules::default();
        let mut requests = Requests::new(&rules);
        let t0 = start();
        for key in 1..=3 {
            let seq = requests.ask(t0, key);
            requests.sent(t0, seq);
        }
        assert!(requests.cancel(t0, &3));
        assert!(!requests.cancel(t0, &3));
        assert_eq!(requests.next(&rules), Some((t0 + secs(20), "request")));
        assert_eq!(requests.expire(t0 + secs(19), &rules), None);
        assert_eq!(
            requests.expire(t0 + secs(20), &rules),
            Some(Expired::Late(1))
        );
        assert_eq!(
            requests.expire(t0 + secs(20), &rules),
            Some(Expired::Late(2))
        );
        assert_eq!(requests.in_flight(), 0);
        assert_eq!(requests.check(&2, &rules), Err(NotAsked::KeyInUse));
        assert_eq!(
            requests.answered(t0 + secs(30), &1, &rules),
            Arrival::Late {
                took: secs(30),
                late: secs(10)
            }
        );
        assert_eq!(
            requests.answered(t0 + secs(30), &1, &rules),
            Arrival::Unsolicited
        );
        let breach = Some(Expired::Breach);
        assert_eq!(requests.expire(t0 + secs(119), &rules), None);
        assert_eq!(requests.expire(t0 + secs(120), &rules), breach);
        assert_eq!(
            requests.expire(t0 + secs(120), &rules),
            None,
            "a cancelled one is no breach"
        );
        assert_eq!(requests.open.capacity(), 0, "nothing is kept");
    }

    #[test]
    fn what_was_not_sent_cannot_be_answered_or_breached() {
        let rules = RequestRules::default();
        let mut requests = Requests::new(&rules);
        let t0 = start();
        let _seq = requests.ask(t0, 1);
        assert_eq!(requests.answered(t0, &1, &rules), Arrival::Unsolicited);
        assert_eq!(
            requests.expire(t0 + secs(20), &rules),
            Some(Expired::Late(1))
        );
        assert_eq!(requests.expire(t0 + secs(500), &rules), None);
        assert!(!requests.expects(&1));
    }
}

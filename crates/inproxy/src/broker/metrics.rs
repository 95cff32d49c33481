//! What a broker counts: calls by name and outcome, and nothing by caller.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use peerage_matcher::{Class, Stats};

use crate::refusal::Code;

/// Names of calls, in the order of their counters.
const CALLS: [&str; 7] = [
    "announce",
    "offer",
    "answer",
    "answer_error",
    "explain",
    "stats",
    "coming",
];
/// Why requests are turned away before there is a call in them.
const TURNED_AWAY: [&str; 7] = [
    "malformed",
    "too_long",
    "slow",
    "unknown_session",
    "not_sealed",
    "replayed",
    "shed",
];

/// A request that is turned away before there is a call in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    Malformed = 0,
    TooLong = 1,
    Slow = 2,
    UnknownSession = 3,
    NotSealed = 4,
    Replayed = 5,
    Shed = 6,
}

/// The counters.
#[derive(Default)]
pub(super) struct Metrics {
    /// By call, then by outcome: accepted, and each code.
    calls: [[AtomicU64; Code::ALL.len() + 1]; CALLS.len()],
    turned_away: [AtomicU64; TURNED_AWAY.len()],
    pub(super) reports_lost: AtomicU64,
    /// Volunteers that were given a client and said nothing.
    pub(super) silent: AtomicU64,
}

/// Rounded up to a multiple of 8, so that no single caller shows.
pub(super) fn rounded(count: u64) -> u64 {
    count.next_multiple_of(8)
}

impl Metrics {
    pub(super) fn count(&self, call: &'static str, outcome: Option<Code>) {
        let call = CALLS.iter().position(|name| *name == call);
        let outcome = outcome.map_or(0, |code| {
            Code::ALL
                .iter()
                .position(|other| *other == code)
                .map_or(0, |at| at + 1)
        });
        if let Some(counter) = call.and_then(|call| self.calls[call].get(outcome)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn turn_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Everything in the text format of Prometheus. Every number is rounded up to a multiple of 8.
    pub(super) fn text(&self, stats: &Stats, sessions: usize) -> String {
        let mut text = String::new();
        let mut line = |name: &str, labels: &str, count: u64| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "peerage_broker_{name}{labels} {}", rounded(count));
        };
        for (class, count) in Class::ALL.iter().zip(stats.announcements_by_class) {
            let labels = format!("{{side=\"volunteer\",nat=\"{}\"}}", class.name());
            line("waiting", &labels, count as u64);
        }
        for (class, count) in Class::ALL.iter().zip(stats.offers_by_class) {
            let labels = format!("{{side=\"client\",nat=\"{}\"}}", class.name());
            line("waiting", &labels, count as u64);
        }
        line("answers_awaited", "", stats.pending as u64);
        line("sessions", "", sessions as u64);
        let matches = stats.matches.iter().flatten().sum();
        line("matches_total", "", matches);
        for (call, outcomes) in CALLS.iter().zip(&self.calls) {
            for (at, counter) in outcomes.iter().enumerate() {
                let count = counter.load(Ordering::Relaxed);
                let outcome = at.checked_sub(1).and_then(|at| Code::ALL.get(at));
                let outcome = outcome.map_or("accepted", |code| code.name());
                if count > 0 {
                    let labels = format!("{{call=\"{call}\",outcome=\"{outcome}\"}}");
                    line("calls_total", &labels, count);
                }
            }
        }
        for (why, counter) in TURNED_AWAY.iter().zip(&self.turned_away) {
            let labels = format!("{{why=\"{why}\"}}");
            line(
                "turned_away_total",
                &labels,
                counter.load(Ordering::Relaxed),
            );
        }
        let counted = [
            ("reports_lost_total", &self.reports_lost),
            ("volunteers_silent_total", &self.silent),
        ];
        for (name, counter) in counted {
            line(name, "", counter.load(Ordering::Relaxed));
        }
        text
    }
}

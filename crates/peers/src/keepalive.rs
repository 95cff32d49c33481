//! Whether a peer still lives, and how far away it is.

use std::time::{Duration, Instant};

use crate::cause::Cause;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// When to ping, and when silence is death. One value per network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// From the handshake to the first ping.
    pub first: Duration,
    /// From one ping to the next, once it was answered.
    pub interval: Duration,
    /// How long a pong may take, counted from the ping or from the last byte heard after it: a pong
    /// waits behind a long block (btcd issues 776 and 518, bitcoin issue 35761).
    pub deadline: Duration,
    /// How long a pong may take while bytes keep coming. Whoever only trickles is let go then.
    pub patience: Duration,
    /// How long not one byte may come.
    pub idle: Duration,
    /// Whether a pong carries the nonce of its ping.
    pub nonces: bool,
    /// Pings of theirs answered at once, and one more per [`Keepalive::ping_refill`].
    pub ping_burst: u32,
    /// The time in which they earn another ping.
    pub ping_refill: Duration,
}

impl Keepalive {
    /// Ethereum. geth drops a connection on which nothing complete came for 30 s and pings every
    /// 15 s, so that an interval of 15 s at most keeps us there whatever the other side does.
    ///
    /// Burst 5 and one ping a second more: reth's bucket (geth CVE-2023-40591 is a flood of pings).
    pub const ETHEREUM: Self = Self {
        first: secs(15),
        interval: secs(15),
        deadline: secs(15),
        patience: secs(60),
        idle: secs(30),
        nonces: false,
        ping_burst: 5,
        ping_refill: secs(1),
    };

    /// Zcash. zebra's heartbeat of 59 s and its 20 s for a pong; zcashd's 1,200 s of idleness.
    pub const ZCASH: Self = Self {
        first: secs(59),
        interval: secs(59),
        deadline: secs(20),
        patience: secs(120),
        idle: secs(1200),
        nonces: true,
        ping_burst: 5,
        ping_refill: secs(5),
    };

    /// Decred. dcrd pings every 107 s and drops a peer idle for 120 s, so we ping as often; towards
    /// others we are as patient as btcd, whose idle limit is 5 min.
    pub const DECRED: Self = Self {
        first: secs(107),
        interval: secs(107),
        deadline: secs(60),
        patience: secs(180),
        idle: secs(300),
        nonces: true,
        ping_burst: 5,
        ping_refill: secs(5),
    };
}

/// Measured round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// The last one.
    pub latest: Duration,
    /// The shortest of all.
    pub min: Duration,
    /// Seven eighths of what it was and one eighth of the latest (RFC 6298, section 2).
    pub smoothed: Duration,
}

impl Rtt {
    fn next(old: Option<Self>, latest: Duration) -> Self {
        old.map_or(
            Self {
                latest,
                min: latest,
                smoothed: latest,
            },
            |old| Self {
                latest,
                min: old.min.min(latest),
                smoothed: old.smoothed * 7 / 8 + latest / 8,
            },
        )
    }
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    nonce: u64,
    /// When it was handed to the wire; a ping that waits in a lane of ours does not age.
    sent_at: Option<Instant>,
}

/// The life signs of one session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulse {
    heard_at: Instant,
    next_ping: Instant,
    awaited: Option<Awaited>,
    rtt: Option<Rtt>,
    /// When their allowance of pings is whole again.
    pings_whole_at: Instant,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    Ping,
    Dead(Cause),
}

impl Pulse {
    pub(crate) fn new(at: Instant, rules: &Keepalive) -> Self {
        Self {
            heard_at: at,
            next_ping: at + rules.first,
            awaited: None,
            rtt: None,
            pings_whole_at: at,
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, at: Instant) {
        self.heard_at = self.heard_at.max(at);
    }

    /// When something is due, and what.
    pub(crate) fn next(&self, rules: &Keepalive) -> (Instant, &'static str) {
        let idle = (self.heard_at + rules.idle, "nothing heard");
        let other = match self.awaited {
            None => (self.next_ping, "ping"),
            Some(Awaited {
                sent_at: Some(sent_at),
                ..
            }) => {
                let quiet = sent_at.max(self.heard_at) + rules.deadline;
                (quiet.min(sent_at + rules.patience), "pong")
            }
            Some(Awaited { sent_at: None, .. }) => idle,
        };
        if other.0 <= idle.0 { other } else { idle }
    }

    pub(crate) fn due(&self, at: Instant, rules: &Keepalive) -> Beat {
        let (when, _) = self.next(rules);
        if when > at {
            return Beat::Nothing;
        }
        if self.heard_at + rules.idle <= at {
            return Beat::Dead(Cause::Silent { limit: rules.idle });
        }
        match self.awaited {
            None => Beat::Ping,
            Some(awaited) => {
                let sent_at = awaited.sent_at.unwrap_or(at);
                let limit = if sent_at + rules.patience <= at {
                    rules.patience
                } else {
                    rules.deadline
                };
                Beat::Dead(Cause::NoPong { limit })
            }
        }
    }

    /// The nonce of the ping that is not answered yet.
    pub(crate) fn awaited(&self) -> Option<u64> {
        self.awaited.map(|awaited| awaited.nonce)
    }

    /// A ping is put into the lane.
    pub(crate) fn asked(&mut self, nonce: u64) {
        self.awaited = Some(Awaited {
            nonce,
            sent_at: None,
        });
    }

    /// The ping is handed to the wire.
    pub(crate) fn sent(&mut self, at: Instant) {
        if let Some(awaited) = &mut self.awaited {
            awaited.sent_at = Some(at);
        }
    }

    /// A pong came; `false` when it answers nothing.
    pub(crate) fn answered(&mut self, at: Instant, nonce: Option<u64>, rules: &Keepalive) -> bool {
        let Some(Awaited {
            nonce: ours,
            sent_at: Some(sent_at),
        }) = self.awaited
        else {
            return false;
        };
        if rules.nonces && nonce != Some(ours) {
            return false;
        }
        self.awaited = None;
        self.next_ping = (sent_at + rules.interval).max(at);
        self.rtt = Some(Rtt::next(self.rtt, at.saturating_duration_since(sent_at)));
        true
    }

    /// Asks at once, because there is reason to doubt that the peer is still there.
    pub(crate) fn probe(&mut self, at: Instant) {
        self.next_ping = self.next_ping.min(at);
    }

    /// A ping of theirs came; `false` when there were too many.
    pub(crate) fn pinged(&mut self, at: Instant, rules: &Keepalive) -> bool {
        let next = self.pings_whole_at.max(at) + rules.ping_refill;
        let allowed = next.saturating_duration_since(at)
            <= rules.ping_refill.saturating_mul(rules.ping_burst);
        if allowed {
            self.pings_whole_at = next;
        }
        allowed
    }

    /// We did not listen for so long: nothing could be heard, so nobody is late.
    pub(crate) fn shift(&mut self, paused: Duration, at: Instant) {
        self.heard_at = (self.heard_at + paused).min(at);
        if let Some(Awaited {
            sent_at: Some(sent_at),
            ..
        }) = &mut self.awaited
        {
            *sent_at = (*sent_at + paused).min(at);
        }
    }

    pub(crate) const fn rtt(&self) -> Option<Rtt> {
        self.rtt
    }

    pub(crate) const fn heard_at(&self) -> Instant {
        self.heard_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const RULES: Keepalive = Keepalive::ZCASH;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_round_trip_counts_from_the_wire_and_is_smoothed() {
        let t0 = start();
        let mut pulse = Pulse::new(t0, &RULES);
        assert_eq!(pulse.next(&RULES), (t0 + secs(59), "ping"));
        assert_eq!(pulse.due(t0 + secs(59), &RULES), Beat::Ping);
        let mut at = t0 + secs(59);
        for (trip, smoothed, min) in [(80, 80, 80), (160, 90, 80), (40, 83, 40)] {
            pulse.asked(5);
            assert!(!pulse.answered(at, Some(5), &RULES), "it is not sent yet");
            let sent_at = at + secs(3);
            pulse.sent(sent_at);
            assert!(!pulse.answered(sent_at, Some(6), &RULES), "another nonce");
            assert!(!pulse.answered(sent_at, None, &RULES), "no nonce");
            pulse.heard(sent_at + ms(trip));
            assert!(pulse.answered(sent_at + ms(trip), Some(5), &RULES));
            assert!(
                !pulse.answered(sent_at + ms(trip), Some(5), &RULES),
                "only once"
            );
            let rtt = pulse.rtt().unwrap();
            assert_eq!((rtt.latest, rtt.min), (ms(trip), ms(min)));
            assert_eq!(rtt.smoothed.as_millis(), smoothed);
            assert_eq!(pulse.next(&RULES), (sent_at + secs(59), "ping"));
            at = sent_at + secs(59);
        }
    }

    #[test]
    fn a_pong_behind_a_long_block_is_waited_for_but_not_for_ever() {
        let t0 = start();
        let mut pulse = Pulse::new(t0, &RULES);
        pulse.asked(5);
        pulse.sent(t0);
        assert_eq!(pulse.next(&RULES), (t0 + secs(20), "pong"));
        for second in [15, 30, 45, 60, 75, 90, 105] {
            pulse.heard(t0 + secs(second));
            assert_eq!(pulse.due(t0 + secs(second + 14), &RULES), Beat::Nothing);
        }
        assert_eq!(pulse.next(&RULES), (t0 + secs(120), "pong"));
        let limit = RULES.patience;
        assert_eq!(
            pulse.due(t0 + secs(120), &RULES),
            Beat::Dead(Cause::NoPong { limit })
        );
    }

    #[test]
    fn every_network_pings_before_its_peers_lose_patience() {
        // geth drops after 30 s, zcashd after 1,200 s and zebra never of itself, dcrd after 120 s.
        for (rules, theirs) in [
            (Keepalive::ETHEREUM, 30),
            (Keepalive::ZCASH, 1200),
            (Keepalive::DECRED, 120),
        ] {
            assert!(rules.interval < secs(theirs));
            assert!(rules.interval < rules.idle);
            assert!(rules.deadline <= rules.patience);
        }
    }

    #[test]
    fn pings_of_theirs_have_a_burst_and_a_rate() {
        let t0 = start();
        let mut pulse = Pulse::new(t0, &RULES);
        let mut count = |at| (0..100).filter(|_| pulse.pinged(at, &RULES)).count();
        assert_eq!(count(t0), 5);
        assert_eq!(count(t0 + secs(4)), 0);
        assert_eq!(count(t0 + secs(10)), 2);
        assert_eq!(count(t0 + secs(1000)), 5);
    }
}

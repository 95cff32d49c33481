//! Opening a UDP path: small authenticated checks to every address of the other end, as in ICE
//! (RFC 8445), without its parts for many streams. Pure: time in, datagrams out.
//!
//! Both ends send checks, which open their NATs. An answer proves that the path carries both ways; the
//! client takes the first path so proved, says so, and goes on with QUIC there.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use peerage_core::Endpoint;
use ring::hmac;

use super::Role;
use crate::description::{CheckKey, Description};

/// The length of every datagram here, in bytes. An answer is no longer than what it answers.
pub(super) const CHECK_LEN: usize = 2 + 8 + TAG_LEN;
const TAG_LEN: usize = 16;
const VERSION: u8 = 1;
/// Between the first checks to two addresses (RFC 8445, section 14.2, gives 50 ms for streams that
/// share a path with others; here one pair of ends sends 16 packets of 26 bytes).
const PACE: Duration = Duration::from_millis(2);
/// Before an unanswered check is repeated; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(30);
const LONGEST_WAIT: Duration = Duration::from_millis(480);
/// Addresses learnt from packets of the other end rather than from its description.
const MAX_LEARNT: usize = 8;

/// What a datagram is. All lie below 0x40, where no QUIC packet begins (RFC 9000, section 17: the
/// fixed bit), so the two can share a socket. Client and volunteer have kinds of their own, so that
/// none can be sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    ClientCheck = 1,
    VolunteerAnswer = 2,
    /// This is the path.
    Nominate = 3,
    VolunteerCheck = 4,
    ClientAnswer = 5,
    /// The client goes another way, and needs this volunteer no longer.
    CallOff = 6,
}

/// What came of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing more to do.
    Nothing,
    /// This is to be sent back.
    Answer([u8; CHECK_LEN]),
    /// The path is chosen. The client sends this first.
    Path([u8; CHECK_LEN]),
    /// The client needs us no longer.
    CalledOff,
}

/// The checks of one address that are remembered: an answer to any of them will do.
const MAX_REMEMBERED: usize = 8;

struct Attempt {
    next: Instant,
    wait: Duration,
    /// The last checks' numbers, and when they were sent.
    sent: VecDeque<(u64, Instant)>,
    /// Whether the other end was heard from here, which speeds up one check and no more: otherwise
    /// two ends would ever cause each other to check.
    heard: bool,
}

impl Attempt {
    const fn new(next: Instant, heard: bool) -> Self {
        Self {
            next,
            wait: FIRST_WAIT,
            sent: VecDeque::new(),
            heard,
        }
    }
}

/// The checks of one match.
pub(super) struct Checks {
    role: Role,
    key: hmac::Key,
    attempts: BTreeMap<Endpoint, Attempt>,
    learnt: usize,
    next_number: u64,
    pub(super) heard: usize,
    /// Of the answer that decided.
    pub(super) round_trip: Option<Duration>,
}

impl Checks {
    pub(super) fn new(
        role: Role,
        own: CheckKey,
        remote: &Description,
        seed: u64,
        now: Instant,
    ) -> Self {
        let (client, volunteer) = match role {
            Role::Client => (own, remote.check_key),
            Role::Volunteer => (remote.check_key, own),
        };
        let key = [client.0, volunteer.0].concat();
        let mut checks = Self {
            role,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            attempts: BTreeMap::new(),
            learnt: 0,
            next_number: seed,
            heard: 0,
            round_trip: None,
        };
        let mut at = now;
        for candidate in remote.candidates.iter().take(Description::MAX_CANDIDATES) {
            let attempt = Attempt::new(at, false);
            checks.attempts.entry(candidate.addr).or_insert(attempt);
            at += PACE;
        }
        checks
    }

    pub(super) fn tried(&self) -> usize {
        self.attempts.len()
    }

    fn datagram(&self, kind: Kind, number: u64) -> [u8; CHECK_LEN] {
        let mut bytes = [0; CHECK_LEN];
        bytes[0] = kind as u8;
        bytes[1] = VERSION;
        bytes[2..10].copy_from_slice(&number.to_be_bytes());
        let tag = hmac::sign(&self.key, &bytes[..10]);
        bytes[10..].copy_from_slice(&tag.as_ref()[..TAG_LEN]);
        bytes
    }

    fn parse(&self, bytes: &[u8]) -> Option<(Kind, u64)> {
        let bytes: &[u8; CHECK_LEN] = bytes.try_into().ok()?;
        let kinds = match self.role {
            Role::Client => [Kind::VolunteerAnswer, Kind::VolunteerCheck].as_slice(),
            Role::Volunteer => &[
                Kind::ClientCheck,
                Kind::ClientAnswer,
                Kind::Nominate,
                Kind::CallOff,
            ],
        };
        let kind = *kinds.iter().find(|kind| **kind as u8 == bytes[0])?;
        if bytes[1] != VERSION {
            return None;
        }
        let tag = hmac::sign(&self.key, &bytes[..10]);
        // Public comparison would tell a stranger how much of a tag is right.
        let mut difference = 0;
        for (ours, theirs) in tag.as_ref().iter().zip(&bytes[10..]) {
            difference |= ours ^ theirs;
        }
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[2..10]);
        (difference == 0).then_some((kind, u64::from_be_bytes(number)))
    }

    /// A check that is due, and whom to send it to.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<(Endpoint, [u8; CHECK_LEN])> {
        let due = self
            .attempts
            .iter()
            .find(|(_, attempt)| attempt.next <= now);
        let to = *due?.0;
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        if let Some(attempt) = self.attempts.get_mut(&to) {
            attempt.sent.truncate(MAX_REMEMBERED - 1);
            attempt.sent.push_front((number, now));
            attempt.next = now + attempt.wait;
            attempt.wait = (attempt.wait * 2).min(LONGEST_WAIT);
        }
        let kind = match self.role {
            Role::Client => Kind::ClientCheck,
            Role::Volunteer => Kind::VolunteerCheck,
        };
        Some((to, self.datagram(kind, number)))
    }

    /// What a client that goes another way sends, and where to. Nothing for a volunteer: its client has
    /// others.
    pub(super) fn call_off(&mut self) -> Vec<(Endpoint, [u8; CHECK_LEN])> {
        if self.role == Role::Volunteer {
            return Vec::new();
        }
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let bytes = self.datagram(Kind::CallOff, number);
        self.attempts.keys().map(|to| (*to, bytes)).collect()
    }

    /// When a check is due next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.attempts.values().map(|attempt| attempt.next).min()
    }

    /// Takes a datagram.
    pub(super) fn handle(&mut self, now: Instant, from: Endpoint, bytes: &[u8]) -> Heard {
        let Some((kind, number)) = self.parse(bytes) else {
            return Heard::Nothing;
        };
        self.heard = self.heard.saturating_add(1);
        match kind {
            Kind::ClientCheck => {
                self.learn(now, from);
                Heard::Answer(self.datagram(Kind::VolunteerAnswer, number))
            }
            Kind::VolunteerCheck => {
                self.learn(now, from);
                Heard::Answer(self.datagram(Kind::ClientAnswer, number))
            }
            Kind::VolunteerAnswer => {
                let attempt = self.attempts.get(&from);
                let mut sent = attempt.into_iter().flat_map(|attempt| &attempt.sent);
                // Not to anything sent there, or from another address than was checked.
                let Some((_, at)) = sent.find(|(sent, _)| *sent == number) else {
                    return Heard::Nothing;
                };
                self.round_trip = Some(now.saturating_duration_since(*at));
                Heard::Path(self.datagram(Kind::Nominate, number))
            }
            // The client decides; its answers only keep NATs open.
            Kind::ClientAnswer => Heard::Nothing,
            Kind::Nominate => Heard::Path(self.datagram(Kind::VolunteerAnswer, number)),
            Kind::CallOff => Heard::CalledOff,
        }
    }

    /// The other end was heard from here: this address is worth a check at once (RFC 8445, section
    /// 7.3.1.4).
    fn learn(&mut self, now: Instant, from: Endpoint) {
        if let Some(attempt) = self.attempts.get_mut(&from) {
            if !attempt.heard {
                attempt.heard = true;
                attempt.next = attempt.next.min(now);
            }
        } else if self.learnt < MAX_LEARNT {
            self.learnt += 1;
            self.attempts.insert(from, Attempt::new(now, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Candidate, CandidateKind, Fingerprint};

    fn at(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    fn described(key: u8, addrs: &[&str]) -> Description {
        let candidates = addrs.iter().map(|addr| Candidate {
            kind: CandidateKind::Host,
            addr: at(addr),
        });
        Description {
            check_key: CheckKey([key; 16]),
            fingerprint: Fingerprint([0; 32]),
            dtls: None,
            candidates: candidates.collect(),
        }
    }

    const CLIENT: &str = "192.0.2.1:1";
    const VOLUNTEER: &str = "192.0.2.2:2";

    fn pair(now: Instant) -> (Checks, Checks) {
        let (ours, theirs) = (
            described(1, &[CLIENT]),
            described(2, &[VOLUNTEER, "192.0.2.3:3"]),
        );
        let client = Checks::new(Role::Client, ours.check_key, &theirs, 100, now);
        let volunteer = Checks::new(Role::Volunteer, theirs.check_key, &ours, 900, now);
        (client, volunteer)
    }

    #[test]
    fn the_first_address_that_answers_is_the_path() {
        let now = Instant::now();
        let (mut client, mut volunteer) = pair(now);
        let (to, check) = client.poll_transmit(now).unwrap();
        assert_eq!(to, at(VOLUNTEER));
        let Heard::Answer(answer) = volunteer.handle(now, at(CLIENT), &check) else {
            panic!()
        };
        let later = now + Duration::from_millis(7);
        // An answer from elsewhere proves nothing.
        assert_eq!(
            client.handle(later, at("192.0.2.9:9"), &answer),
            Heard::Nothing
        );
        let Heard::Path(nominate) = client.handle(later, at(VOLUNTEER), &answer) else {
            panic!()
        };
        assert_eq!(client.round_trip, Some(Duration::from_millis(7)));
        let heard = volunteer.handle(later, at(CLIENT), &nominate);
        assert!(matches!(heard, Heard::Path(_)));
    }

    #[test]
    fn an_address_that_was_not_described_is_learnt_and_checked_at_once() {
        let now = Instant::now();
        let (mut client, mut volunteer) = pair(now);
        while volunteer.poll_transmit(now).is_some() {}
        let (_, check) = client.poll_transmit(now).unwrap();
        let mapped = at("198.51.100.1:40000");
        assert!(matches!(
            volunteer.handle(now, mapped, &check),
            Heard::Answer(_)
        ));
        assert_eq!(volunteer.poll_transmit(now).unwrap().0, mapped);
        for port in 1..100 {
            let from = Endpoint::new(mapped.ip(), port);
            volunteer.handle(now, from, &check);
        }
        assert_eq!(
            volunteer.tried(),
            1 + MAX_LEARNT,
            "a replayed check grows nothing"
        );
    }

    #[test]
    fn no_datagram_of_a_stranger_or_of_our_own_is_taken() {
        let now = Instant::now();
        let (mut client, mut volunteer) = pair(now);
        let (_, check) = client.poll_transmit(now).unwrap();
        assert_eq!(
            client.handle(now, at(VOLUNTEER), &check),
            Heard::Nothing,
            "sent back"
        );
        for at_byte in 0..CHECK_LEN {
            let mut changed = check;
            changed[at_byte] ^= 0x20;
            assert_eq!(volunteer.handle(now, at(CLIENT), &changed), Heard::Nothing);
        }
        assert_eq!(volunteer.heard, 0);
        assert!(check[0] < 0x40, "never taken for QUIC");
    }

    /// Datagrams that need 5 ms each way, for a second, with nobody deciding.
    #[test]
    fn two_ends_do_not_cause_each_other_to_check_without_end() {
        let start = Instant::now();
        let (mut client, mut volunteer) = pair(start);
        let mut wire: Vec<(Instant, bool, [u8; CHECK_LEN])> = Vec::new();
        let mut sent = 0;
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            let arrives = now + Duration::from_millis(5);
            while let Some((to, bytes)) = client.poll_transmit(now) {
                sent += 1;
                if to == at(VOLUNTEER) {
                    wire.push((arrives, true, bytes));
                }
            }
            while let Some((_, bytes)) = volunteer.poll_transmit(now) {
                sent += 1;
                wire.push((arrives, false, bytes));
            }
            let due: Vec<_> = wire.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, to_volunteer, bytes) in due {
                let heard = if to_volunteer {
                    volunteer.handle(now, at(CLIENT), &bytes)
                } else {
                    client.handle(now, at(VOLUNTEER), &bytes)
                };
                // The client's decision is held back.
                if let Heard::Answer(bytes) = heard {
                    sent += 1;
                    wire.push((arrives, !to_volunteer, bytes));
                }
            }
        }
        // Six to each of three addresses, one more for being heard, and an answer to each.
        assert!(sent < 40, "{sent}");
    }

    #[test]
    fn a_client_that_goes_another_way_tells_its_volunteer() {
        let now = Instant::now();
        let (mut client, mut volunteer) = pair(now);
        let told = client.call_off();
        let to: Vec<_> = told.iter().map(|(to, _)| *to).collect();
        assert_eq!(to, [at(VOLUNTEER), at("192.0.2.3:3")]);
        let heard = volunteer.handle(now, at(CLIENT), &told[0].1);
        assert_eq!(heard, Heard::CalledOff);
        assert!(volunteer.call_off().is_empty());
    }

    #[test]
    fn checks_are_repeated_ever_more_slowly() {
        let now = Instant::now();
        let (mut client, _) = pair(now);
        let mut sent = 0;
        while let Some(next) = client.poll_timeout() {
            if next > now + Duration::from_secs(10) {
                break;
            }
            while client.poll_transmit(next).is_some() {
                sent += 1;
            }
        }
        // 0, 30, 90, 210, 450, 930, then every 480 ms, to each of two addresses.
        assert!((40..=60).contains(&sent), "{sent}");
    }
}

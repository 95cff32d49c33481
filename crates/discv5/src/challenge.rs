//! Challenges: the WHOAREYOUs we have sent and whose answers we would accept.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::address::Contact;
use crate::packet::WhoAreYou;
use crate::record::Record;

/// A WHOAREYOU we have sent.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The packet, and what its answer signs.
    pub question: WhoAreYou,
    /// The record that we hold and whose number the packet carries.
    pub record: Option<Record>,
    expires_at: Instant,
    attempts: u8,
}

/// The open challenges.
///
/// A challenge is sent again unchanged (devp2p PR #278), and it stays until its time is over or its
/// handshake succeeds: a forged answer must not be able to end it. How many answers are looked at
/// is bounded, because each costs curve work.
#[derive(Debug)]
pub struct Challenges {
    open: BTreeMap<Contact, Challenge>,
    /// In the order of their ends, which is the order they were made in. Some may be gone.
    ends: VecDeque<(Instant, Contact)>,
    timeout: Duration,
    max: usize,
    max_attempts: u8,
}

/// Why an answer is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotChallenged {
    /// Nobody asked.
    NoChallenge,
    /// Too many answers have failed.
    TooManyAttempts,
}

impl Challenges {
    /// At most `max` challenges for `timeout` each, with `max_attempts` answers each.
    pub const fn new(max: usize, timeout: Duration, max_attempts: u8) -> Self {
        Self {
            open: BTreeMap::new(),
            ends: VecDeque::new(),
            timeout,
            max,
            max_attempts,
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The open challenge of a node at an address.
    pub fn of(&self, now: Instant, contact: &Contact) -> Option<&Challenge> {
        let challenge = self.open.get(contact)?;
        (challenge.expires_at > now).then_some(challenge)
    }

    /// Whether one more fits. Those answered already count a little until their time is over.
    pub fn has_room(&mut self, now: Instant) -> bool {
        self.expire(now);
        self.open.len() < self.max && self.ends.len() < self.max.saturating_mul(4)
    }

    /// Keeps a challenge. It is the caller who has asked for room.
    pub fn insert(
        &mut self,
        now: Instant,
        contact: Contact,
        question: WhoAreYou,
        record: Option<Record>,
    ) {
        let expires_at = now + self.timeout;
        let challenge = Challenge {
            question,
            record,
            expires_at,
            attempts: 0,
        };
        self.open.insert(contact, challenge);
        self.ends.push_back((expires_at, contact));
    }

    /// The challenge that a handshake answers, and counts the attempt.
    ///
    /// # Errors
    /// When there is none, or its attempts are used up.
    pub fn attempt(
        &mut self,
        now: Instant,
        contact: &Contact,
    ) -> Result<&Challenge, NotChallenged> {
        let challenge = self.open.get_mut(contact);
        let challenge = challenge.filter(|challenge| challenge.expires_at > now);
        let challenge = challenge.ok_or(NotChallenged::NoChallenge)?;
        if challenge.attempts >= self.max_attempts {
            return Err(NotChallenged::TooManyAttempts);
        }
        challenge.attempts += 1;
        Ok(challenge)
    }

    /// Its handshake has succeeded.
    pub fn remove(&mut self, contact: &Contact) {
        self.open.remove(contact);
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.front().map(|(at, _)| *at)
    }

    /// Forgets those whose time is over.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, contact)) = self.ends.front() {
            if *at > now {
                break;
            }
            // A newer challenge of the same contact ends later and stays.
            if self.open.get(contact).is_some_and(|c| c.expires_at <= now) {
                self.open.remove(contact);
            }
            self.ends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_id::NodeId;
    use crate::testing::start;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn contact(n: u8) -> Contact {
        Contact {
            node: NodeId([n; 32]),
            endpoint: peerage_core::Endpoint::new([192, 0, 2, n].into(), 9000),
        }
    }

    fn question(n: u8) -> WhoAreYou {
        WhoAreYou {
            packet: [n; 63],
            challenge_data: [n; 63],
        }
    }

    #[test]
    fn a_challenge_outlives_failed_answers_but_not_too_many() {
        let mut challenges = Challenges::new(4, TIMEOUT, 3);
        let now = start();
        let none = challenges.attempt(now, &contact(1)).map(|_| ());
        assert_eq!(none, Err(NotChallenged::NoChallenge));
        challenges.insert(now, contact(1), question(1), None);
        for _ in 0..3 {
            assert!(challenges.attempt(now, &contact(1)).is_ok());
        }
        let fourth = challenges.attempt(now, &contact(1)).map(|_| ());
        assert_eq!(fourth, Err(NotChallenged::TooManyAttempts));
        let still = challenges.of(now, &contact(1)).unwrap();
        assert_eq!(still.question, question(1), "sent again unchanged");
    }

    #[test]
    fn a_challenge_ends_with_its_time_and_makes_room() {
        let mut challenges = Challenges::new(2, TIMEOUT, 3);
        let now = start();
        challenges.insert(now, contact(1), question(1), None);
        challenges.insert(now, contact(2), question(2), None);
        assert!(!challenges.has_room(now));
        challenges.remove(&contact(1));
        assert!(challenges.has_room(now));
        let later = now + TIMEOUT / 2;
        challenges.insert(later, contact(1), question(3), None);
        assert_eq!(challenges.next_end(), Some(now + TIMEOUT));
        let end = now + TIMEOUT;
        assert!(challenges.of(end, &contact(2)).is_none());
        assert!(challenges.has_room(end));
        assert!(
            challenges.of(end, &contact(1)).is_some(),
            "it is a newer one"
        );
        challenges.expire(end + TIMEOUT);
        assert!(challenges.is_empty() && challenges.next_end().is_none());
    }
}

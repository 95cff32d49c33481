//! Sessions: the keys we share with a node at an address.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::address::Contact;
use crate::cipher::{Cipher, Mask, TAG_LEN};
use crate::keys::OwnKeys;
use crate::node_id::NodeId;
use crate::packet::Nonce;
use crate::record::Record;
use crate::rng::Rng;

/// Keys of both directions.
#[derive(Debug)]
struct Generation {
    keys: OwnKeys,
    /// The first 32 bits of the next nonce. A key seals at most 2^32 - 1 messages.
    counter: u32,
}

/// The current keys expanded, some 2.4 KB: kept while the session is in use.
#[derive(Debug)]
struct Hot {
    mask: Mask,
    seal: Cipher,
    open: Cipher,
}

impl Hot {
    fn new(node: &NodeId, keys: &OwnKeys) -> Box<Self> {
        Box::new(Self {
            mask: Mask::new(node),
            seal: Cipher::new(&keys.seal),
            open: Cipher::new(&keys.open),
        })
    }
}

/// The keys we share with a node at an address.
///
/// After a new handshake the old keys still open for a while: packets sealed with them may be under
/// way, and when both sides start a handshake at once each ends with its own view of which keys are
/// the newer. Whichever keys the other side proves to use, we use.
#[derive(Debug)]
pub struct Session {
    record: Record,
    current: Generation,
    hot: Option<Box<Hot>>,
    previous: Option<(Generation, Instant)>,
    /// Whether a packet under these keys has come. Until then the other side may not have them.
    confirmed: bool,
    last_use: u64,
}

impl Session {
    /// The node's record, as of the handshake or later.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The mask of packets to the node and what we seal with now; there after
    /// [`Sessions::next_nonce`].
    pub fn sealer(&self) -> Option<(&Mask, &Cipher)> {
        self.hot.as_ref().map(|hot| (&hot.mask, &hot.seal))
    }
}

/// A message that was opened.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Its plaintext, in the buffer it came in.
    pub plaintext: &'a [u8],
    /// Whether it is the first since new keys, so that what waits for them may go.
    pub confirms: bool,
}

/// Why a message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// There is no session.
    NoSession,
    /// There is one, but none of its keys fits.
    WrongKeys,
}

/// The sessions of a node, at most so many: the one longest without use makes room.
#[derive(Debug)]
pub struct Sessions {
    sessions: BTreeMap<Contact, Session>,
    /// Every session whose keys are expanded; some whose keys no longer are may stand here until there
    /// are too many. None twice.
    hot: Vec<Contact>,
    uses: u64,
    /// `uses` as it was when sessions out of use last lost their expanded keys.
    cooled_at: u64,
    max: usize,
    max_hot: usize,
    overlap: Duration,
}

impl Sessions {
    /// At most `max` sessions, of which at most `max_hot` have their keys expanded; replaced keys
    /// still open for `overlap`.
    pub const fn new(max: usize, max_hot: usize, overlap: Duration) -> Self {
        Self {
            sessions: BTreeMap::new(),
            hot: Vec::new(),
            uses: 0,
            cooled_at: 0,
            max,
            max_hot,
            overlap,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The session with a node at an address.
    pub fn of(&self, contact: &Contact) -> Option<&Session> {
        self.sessions.get(contact)
    }

    /// Every session.
    pub fn iter(&self) -> impl Iterator<Item = (&Contact, &Session)> {
        self.sessions.iter()
    }

    /// Puts new keys in place; the present ones stay for a while, for opening only. `confirmed`
    /// says whether the other side has shown that it holds them. Returns who had to make room.
    pub fn install(
        &mut self,
        now: Instant,
        contact: Contact,
        record: Record,
        keys: OwnKeys,
        confirmed: bool,
    ) -> Option<Contact> {
        let current = Generation { keys, counter: 0 };
        self.uses += 1;
        if let Some(session) = self.sessions.get_mut(&contact) {
            let replaced = std::mem::replace(&mut session.current, current);
            session.previous = Some((replaced, now + self.overlap));
            session.hot = None;
            session.record = record;
            session.confirmed = confirmed;
            session.last_use = self.uses;
            return None;
        }
        let gone = if self.sessions.len() < self.max.max(1) {
            None
        } else {
            let idle = self.sessions.iter().min_by_key(|(_, s)| s.last_use);
            idle.map(|(contact, _)| *contact)
        };
        if let Some(gone) = gone {
            self.sessions.remove(&gone);
        }
        let session = Session {
            record,
            current,
            hot: None,
            previous: None,
            confirmed,
            last_use: self.uses,
        };
        self.sessions.insert(contact, session);
        gone
    }

    /// Opens a message, with the newer keys first. Older keys that fit become the ones in use.
    ///
    /// # Errors
    /// When there is no session, or no key fits; the message is then as it was.
    pub fn open<'a>(
        &mut self,
        now: Instant,
        contact: &Contact,
        nonce: Nonce,
        header: &[u8],
        message: &'a mut [u8],
    ) -> Result<Opened<'a>, NotOpened> {
        self.heat(contact);
        let session = self.sessions.get_mut(contact).ok_or(NotOpened::NoSession)?;
        let hot = session
            .hot
            .get_or_insert_with(|| Hot::new(&contact.node, &session.current.keys));
        if hot.open.open(nonce, header, message).is_err() {
            let Some((older, until)) = &mut session.previous else {
                return Err(NotOpened::WrongKeys);
            };
            let cipher = Cipher::new(&older.keys.open);
            if *until <= now || cipher.open(nonce, header, message).is_err() {
                return Err(NotOpened::WrongKeys);
            }
            // The other side seals with these. If ours were confirmed it has both and they cross;
            // if not, it may never have got ours.
            std::mem::swap(older, &mut session.current);
            *until = now + self.overlap;
            session.hot = None;
        }
        let confirms = !session.confirmed;
        session.confirmed = true;
        self.uses += 1;
        session.last_use = self.uses;
        let len = message.len().saturating_sub(TAG_LEN);
        Ok(Opened {
            plaintext: &message[..len],
            confirms,
        })
    }

    /// A nonce for the next message to the node, if there is a session and its keys may still be
    /// used. A session whose nonces are used up is dropped, so that the next message makes a new
    /// handshake.
    pub fn next_nonce(&mut self, contact: &Contact, rng: &mut Rng) -> Option<Nonce> {
        self.heat(contact);
        let session = self.sessions.get_mut(contact)?;
        let counter = session.current.counter;
        let Some(next) = counter.checked_add(1) else {
            self.sessions.remove(contact);
            return None;
        };
        session.current.counter = next;
        self.uses += 1;
        session.last_use = self.uses;
        Some(make_nonce(counter, rng))
    }

    /// Expands a session's keys, if they are not; the session longest without use loses its own if
    /// there are too many.
    fn heat(&mut self, contact: &Contact) {
        let session = self.sessions.get(contact);
        if session.is_none_or(|session| session.hot.is_some()) {
            return;
        }
        let (sessions, max_hot) = (&mut self.sessions, self.max_hot.max(1));
        if self.hot.len() >= max_hot {
            self.hot.retain(|other| is_hot(sessions, other));
        }
        if self.hot.len() >= max_hot {
            let last_use = |other: &Contact| sessions.get(other).map(|s| s.last_use);
            let idle = (0..self.hot.len()).min_by_key(|at| last_use(&self.hot[*at]));
            if let Some(idle) = idle {
                let idle = self.hot.swap_remove(idle);
                if let Some(session) = sessions.get_mut(&idle) {
                    session.hot = None;
                }
            }
        }
        if let Some(session) = sessions.get_mut(contact) {
            session.hot = Some(Hot::new(&contact.node, &session.current.keys));
            if !self.hot.contains(contact) {
                self.hot.push(*contact);
            }
        }
    }

    /// Takes the expanded keys from the sessions that have not been used since the last call: they
    /// take ten times the room of the rest of a session, and come back in less than 1 µs.
    pub fn cool(&mut self) {
        for session in self.sessions.values_mut() {
            if session.last_use <= self.cooled_at {
                session.hot = None;
            }
        }
        self.cooled_at = self.uses;
        self.hot.retain(|other| is_hot(&self.sessions, other));
        self.hot.shrink_to_fit();
    }

    /// Notes a newer record of the node.
    pub fn update_record(&mut self, contact: &Contact, record: &Record) {
        if let Some(session) = self.sessions.get_mut(contact)
            && session.record.node_id() == record.node_id()
            && session.record.seq() < record.seq()
        {
            session.record = record.clone();
        }
    }

    /// Drops a session.
    pub fn remove(&mut self, contact: &Contact) -> bool {
        self.sessions.remove(contact).is_some()
    }
}

fn is_hot(sessions: &BTreeMap<Contact, Session>, contact: &Contact) -> bool {
    sessions.get(contact).is_some_and(|s| s.hot.is_some())
}

/// 32 bits of a counter and 64 random bits.
pub fn make_nonce(counter: u32, rng: &mut Rng) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&counter.to_be_bytes());
    rng.fill(&mut nonce[4..]);
    Nonce(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::SecretKey;
    use crate::record::Builder;
    use crate::testing::start;

    fn contact(n: u8) -> (Contact, Record) {
        let key = SecretKey::from_bytes([n; 32]).unwrap();
        let record = Builder::new(1).sign(&key).unwrap();
        let endpoint = peerage_core::Endpoint::new([192, 0, 2, n].into(), 9000);
        let node = record.node_id();
        (Contact { node, endpoint }, record)
    }

    fn keys(n: u8) -> OwnKeys {
        OwnKeys {
            seal: [n; 16].into(),
            open: [n; 16].into(),
        }
    }

    fn open(sessions: &mut Sessions, now: Instant, contact: &Contact, key: u8) -> Option<bool> {
        let mut message = b"hi".to_vec();
        let nonce = Nonce([key; 12]);
        let tag = Cipher::new(&[key; 16]).seal(nonce, b"", &mut message);
        message.extend(tag);
        let opened = sessions.open(now, contact, nonce, b"", &mut message).ok()?;
        assert_eq!(opened.plaintext, b"hi");
        Some(opened.confirms)
    }

    const OVERLAP: Duration = Duration::from_secs(10);

    #[test]
    fn old_keys_open_for_a_while_beside_the_new() {
        let mut sessions = Sessions::new(4, 4, OVERLAP);
        let (node, record) = contact(1);
        let now = start();
        assert_eq!(open(&mut sessions, now, &node, 1), None);
        sessions.install(now, node, record.clone(), keys(1), false);
        assert_eq!(open(&mut sessions, now, &node, 1), Some(true));
        assert_eq!(open(&mut sessions, now, &node, 1), Some(false));
        sessions.install(now, node, record.clone(), keys(2), false);
        assert_eq!(open(&mut sessions, now, &node, 3), None);
        assert_eq!(open(&mut sessions, now, &node, 2), Some(true));
        assert_eq!(open(&mut sessions, now, &node, 1), Some(false), "under way");
        assert_eq!(
            open(&mut sessions, now, &node, 2),
            Some(false),
            "they cross"
        );
        let late = now + OVERLAP;
        assert_eq!(open(&mut sessions, late, &node, 1), None);
        assert_eq!(open(&mut sessions, late, &node, 2), Some(false));
    }

    #[test]
    fn we_seal_with_the_keys_the_other_side_uses() {
        let mut sessions = Sessions::new(4, 4, OVERLAP);
        let (node, record) = contact(1);
        let now = start();
        sessions.install(now, node, record.clone(), keys(1), true);
        sessions.install(now, node, record, keys(2), false);
        let mut rng = Rng::new([1; 32]);
        let mut sealed = |sessions: &mut Sessions| {
            let mut message = *b"hi";
            sessions.next_nonce(&node, &mut rng).unwrap();
            let (_, cipher) = sessions.of(&node).unwrap().sealer().unwrap();
            cipher.seal(Nonce([0; 12]), b"", &mut message)
        };
        let with = |key| Cipher::new(&[key; 16]).seal(Nonce([0; 12]), b"", &mut b"hi".to_owned());
        assert_eq!(sealed(&mut sessions), with(2));
        open(&mut sessions, now, &node, 1);
        assert_eq!(sealed(&mut sessions), with(1));
        open(&mut sessions, now, &node, 2);
        assert_eq!(sealed(&mut sessions), with(2));
    }

    #[test]
    fn keys_out_of_use_are_expanded_again_when_they_are_needed() {
        let mut sessions = Sessions::new(4, 4, OVERLAP);
        let (node, record) = contact(1);
        let now = start();
        sessions.install(now, node, record, keys(1), true);
        assert_eq!(open(&mut sessions, now, &node, 1), Some(false));
        let is_hot = |sessions: &Sessions| sessions.of(&node).unwrap().sealer().is_some();
        sessions.cool();
        assert!(is_hot(&sessions), "used since");
        sessions.cool();
        assert!(!is_hot(&sessions));
        assert_eq!(open(&mut sessions, now, &node, 1), Some(false));
        assert!(is_hot(&sessions));
    }

    #[test]
    fn only_so_many_sessions_have_their_keys_expanded() {
        let mut sessions = Sessions::new(9, 2, OVERLAP);
        let now = start();
        for n in 1..=5 {
            let (node, record) = contact(n);
            sessions.install(now, node, record, keys(n), true);
        }
        for n in [1, 2, 3, 1, 5, 4, 4, 2] {
            assert_eq!(open(&mut sessions, now, &contact(n).0, n), Some(false));
            let hot = sessions.iter().filter(|(_, s)| s.hot.is_some());
            assert!(hot.count() <= 2);
        }
        let is_hot = |n| sessions.of(&contact(n).0).unwrap().hot.is_some();
        assert_eq!(
            [1, 2, 3, 4, 5].map(is_hot),
            [false, true, false, true, false]
        );
    }

    #[test]
    fn a_session_belongs_to_a_node_at_one_address() {
        let mut sessions = Sessions::new(4, 4, OVERLAP);
        let (node, record) = contact(1);
        let now = start();
        sessions.install(now, node, record, keys(1), true);
        let elsewhere = Contact {
            endpoint: peerage_core::Endpoint::new([192, 0, 2, 1].into(), 9001),
            ..node
        };
        assert_eq!(open(&mut sessions, now, &elsewhere, 1), None);
    }

    #[test]
    fn the_session_longest_without_use_makes_room() {
        let mut sessions = Sessions::new(2, 2, OVERLAP);
        let now = start();
        for n in [1, 2] {
            let (node, record) = contact(n);
            assert_eq!(sessions.install(now, node, record, keys(n), true), None);
        }
        open(&mut sessions, now, &contact(1).0, 1);
        let (node, record) = contact(3);
        let gone = sessions.install(now, node, record, keys(3), true);
        assert_eq!(gone, Some(contact(2).0));
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn nonces_count_up_and_a_session_ends_before_they_repeat() {
        let mut sessions = Sessions::new(2, 2, OVERLAP);
        let mut rng = Rng::new([1; 32]);
        let (node, record) = contact(1);
        sessions.install(start(), node, record, keys(1), true);
        for count in 0..3u32 {
            let nonce = sessions.next_nonce(&node, &mut rng).unwrap();
            assert_eq!(nonce.0[..4], count.to_be_bytes());
        }
        sessions.sessions.get_mut(&node).unwrap().current.counter = u32::MAX;
        assert_eq!(sessions.next_nonce(&node, &mut rng), None);
        assert!(sessions.is_empty(), "the next message makes a handshake");
    }
}

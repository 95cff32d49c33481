//! Peers of the operator's choice, their names, and our own addresses.

use std::time::Instant;

use peerage_core::{Endpoint, Reason};

use crate::book::Book;
use crate::candidate::{Candidate, Id, Phase, Role, add_spot, bound_spots};
use crate::config::Names;
use crate::history::What;
use crate::key::{Address, Identity, Key};
use crate::moment::{Now, later};
use crate::source::Source;
use crate::tip::Refused;

/// How many endpoints of our own are remembered: a host has few.
const OWN: usize = 32;

impl Book {
    /// Adds a peer that is always dialled and never forgotten, or changes an existing one into that.
    ///
    /// # Errors
    /// When there are as many as may be, or nobody can be dialled there.
    pub fn pin(
        &mut self,
        now: Now,
        identity: Option<Identity>,
        address: Address,
        role: Role,
    ) -> Result<Key, Refused> {
        self.now = now;
        if let Address::At(endpoint) = &address {
            self.judge(*endpoint, &Source::Operator)?;
        }
        let key = match identity {
            Some(identity) => identity.into(),
            None => Key::Address(address.clone()),
        };
        let known = self.index.by_key.get(&key).copied();
        let pinned = known.is_some_and(|id| self.candidates[&id].role.is_pinned());
        if role.is_pinned() && !pinned && self.index.pinned_len >= self.config.caps.pinned {
            return Err(Refused::Full);
        }
        let id = match known {
            Some(id) => id,
            None => {
                let mut fresh = Candidate::fresh(key.clone(), now.wall, self.random.next());
                fresh.sources.push(Source::Operator);
                fresh.role = role;
                let most = self.config.caps.events;
                let heard = What::Heard(Source::Operator);
                fresh.history.push(now.wall, heard, most);
                self.make_room(&fresh)?;
                self.put(fresh)
            }
        };
        let resolve = self.config.names == Names::Resolve;
        let endpoints = self.config.caps.endpoints;
        self.change(id, |candidate| {
            candidate.role = role;
            match address {
                Address::At(endpoint) => {
                    add_spot(&mut candidate.spots, endpoint, now.wall);
                    bound_spots(&mut candidate.spots, endpoints);
                }
                Address::Named(name) => {
                    candidate.name = Some(name);
                    candidate.resolve_at = resolve.then_some(now.at);
                }
            }
        });
        Ok(key)
    }

    /// Makes a static or trusted peer an ordinary candidate again. Says whether it was one.
    pub fn unpin(&mut self, now: Now, key: &Key) -> bool {
        self.now = now;
        let Some(id) = self.index.by_key.get(key).copied() else {
            return false;
        };
        let was = self.candidates[&id].role.is_pinned();
        self.change(id, |candidate| {
            candidate.role = Role::Ordinary;
            candidate.resolve_at = None;
        });
        if was {
            self.bound_tried(id);
            self.bound_new(id);
        }
        was
    }

    /// Changes what the operator decided about a candidate that is known. Says whether it is.
    ///
    /// # Errors
    /// When there are as many static and trusted ones as may be.
    pub fn set_role(&mut self, now: Now, key: &Key, role: Role) -> Result<bool, Refused> {
        self.now = now;
        let Some(id) = self.index.by_key.get(key).copied() else {
            return Ok(false);
        };
        let pinned = self.candidates[&id].role.is_pinned();
        if !role.is_pinned() {
            let _was = self.unpin(now, key);
        } else if !pinned && self.index.pinned_len >= self.config.caps.pinned {
            return Err(Refused::Full);
        } else {
            self.change(id, |candidate| candidate.role = role);
        }
        Ok(true)
    }

    /// Ends the backoff of a candidate, so that it may be dialled at once. Says whether it was in
    /// one.
    pub fn hurry(&mut self, now: Now, key: &Key) -> bool {
        self.now = now;
        let Some(id) = self.index.by_key.get(key).copied() else {
            return false;
        };
        let waits = matches!(self.candidates[&id].phase, Phase::Waiting(_));
        if waits {
            self.change(id, |candidate| candidate.phase = Phase::Idle);
        }
        waits
    }

    /// Forgets a candidate, whatever it is. Says whether it was known.
    pub fn forget(&mut self, key: &Key) -> bool {
        match self.index.by_key.get(key).copied() {
            Some(id) => {
                self.take(id);
                true
            }
            None => false,
        }
    }

    /// The addresses that an [`Action::Resolve`](crate::Action::Resolve) found, or why it found none.
    /// No answer empties a peer's addresses: a resolver that fails does not make a static peer
    /// disappear.
    pub fn resolved(&mut self, now: Now, key: &Key, result: Result<Vec<Endpoint>, Reason>) {
        self.now = now;
        let Some(id) = self.index.by_key.get(key).copied() else {
            return;
        };
        let caps = self.config.caps;
        let events = caps.events;
        self.change(id, |candidate| match result {
            Ok(found) => {
                let found: Vec<_> = found.into_iter().filter(Endpoint::is_dialable).collect();
                if found.is_empty() {
                    return;
                }
                let before = candidate.spots.len();
                candidate
                    .spots
                    .retain(|spot| found.contains(&spot.endpoint));
                let mut changed = candidate.spots.len() != before;
                for endpoint in found.into_iter().take(caps.endpoints) {
                    changed |= add_spot(&mut candidate.spots, endpoint, now.wall);
                }
                bound_spots(&mut candidate.spots, caps.endpoints);
                if changed {
                    let addresses = u32::try_from(candidate.spots.len()).unwrap_or(u32::MAX);
                    let what = What::Resolved { addresses };
                    candidate.history.push(now.wall, what, events);
                }
            }
            Err(reason) => {
                let what = What::Unresolved((&reason).into());
                candidate.history.push(now.wall, what, events);
            }
        });
    }

    /// A dial to this endpoint ended at ourselves, for this reason. Its candidate, unless the operator
    /// wants it, stays to tell the story, and neither is it dialled nor is the endpoint taken again
    /// for as long as a reason that says never counts.
    pub fn is_own(&mut self, now: Now, endpoint: Endpoint, reason: &Reason) {
        self.now = now;
        if self.is_ours(endpoint) {
            return;
        }
        self.note_own(endpoint, later(now.at, self.config.backoff.never));
        let Some(id) = self.index.by_key.get(&endpoint.into()).copied() else {
            return;
        };
        let candidate = &self.candidates[&id];
        if !candidate.role.is_pinned() {
            let is_busy = matches!(candidate.phase, Phase::Busy(_));
            self.met_ourselves(id, endpoint, reason);
            if !is_busy {
                self.wait_for_ever(id);
            }
        }
    }

    pub(crate) fn note_own(&mut self, endpoint: Endpoint, until: Instant) {
        self.own.retain(|(own, _)| *own != endpoint);
        if self.own.len() >= OWN {
            self.own.pop_front();
        }
        self.own.push_back((endpoint, until));
    }

    /// Whether it is believed to be our own.
    pub(crate) fn is_ours(&self, endpoint: Endpoint) -> bool {
        let mut own = self.own.iter();
        own.any(|(own, until)| *own == endpoint && *until > self.now.at)
    }

    pub(crate) fn met_ourselves(&mut self, id: Id, endpoint: Endpoint, reason: &Reason) {
        let (now, events) = (self.now.wall, self.config.caps.events);
        let what = What::Failed {
            address: Address::At(endpoint),
            cause: reason.into(),
        };
        self.change(id, |candidate| {
            candidate.anchor = false;
            candidate.history.push(now, what, events);
        });
    }
}

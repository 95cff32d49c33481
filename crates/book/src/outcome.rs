//! What became of dials and sessions. Every outcome comes back here, with its reason.

use std::time::Duration;

use peerage_core::{
    Blame, ConnectedAddr, Detail, Direction, Failure, Kind, PeerText, Reason, Retry, Stage,
};

use crate::book::Book;
use crate::candidate::{Candidate, DialId, Id, Phase};
use crate::cause::Cause;
use crate::history::What;
use crate::key::{Address, Identity, Key};
use crate::moment::{Now, later};
use crate::open::Open;
use crate::outage::{Before, Sign, sign_of_dial, sign_of_end};
use crate::prefix::Group;
use crate::score::{Score, penalty};
use crate::source::Source;

/// What a finished handshake proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeted {
    /// Services, where the network has them.
    pub services: Option<u64>,
    /// What the peer calls itself.
    pub agent: PeerText,
}

/// There is no such dial or session: it has ended, or another book gave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no dial or session that is open here")]
pub struct NotOpen(pub DialId);

impl Failure for NotOpen {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none().with("dial", self.0.0)
    }
}

impl Book {
    /// What became of a dial: a peer, which is a session from now on, or a reason.
    ///
    /// # Errors
    /// When no such dial is under way.
    pub fn outcome(
        &mut self,
        now: Now,
        dial: DialId,
        result: Result<Greeted, Reason>,
    ) -> Result<(), NotOpen> {
        self.now = now;
        if self.open.get(dial).is_none_or(|open| open.greeted) {
            return Err(NotOpen(dial));
        }
        match result {
            Ok(greeted) => {
                let open = self.open.greet(dial, now.at).ok_or(NotOpen(dial))?;
                let (id, address) = (open.id, open.address.clone());
                self.change(id, |candidate| candidate.phase = Phase::Busy(dial));
                self.alive(now);
                self.greeted(id, address, Direction::Outbound, greeted);
                self.weigh_anchors();
            }
            Err(reason) => {
                if let Some(open) = self.open.remove(dial) {
                    self.failed(&open, &reason);
                }
            }
        }
        Ok(())
    }

    /// A peer that dialled us and finished its handshake. Its address is no place to dial; it
    /// becomes a candidate only where it has an identity. `None` if it is not kept, for want of
    /// room or because there is nothing to know it by.
    ///
    /// A dial or another session with it may be open: from now on it is known by this session, and
    /// what becomes of the other counts for nothing while this one lasts.
    pub fn arrived(
        &mut self,
        now: Now,
        connected: &ConnectedAddr,
        identity: Option<Identity>,
        greeted: Greeted,
    ) -> Option<DialId> {
        self.now = now;
        self.alive(now);
        let key = Key::from(identity?);
        let source = Source::Inbound(match connected {
            ConnectedAddr::InboundDirect { addr } => Some(addr.ip()),
            ConnectedAddr::OutboundDirect { .. }
            | ConnectedAddr::OutboundProxy { .. }
            | ConnectedAddr::InboundProxy { .. }
            | ConnectedAddr::Isolated { .. } => None,
        });
        if matches!(connected, ConnectedAddr::Isolated { .. }) {
            return None;
        }
        let id = match self.index.by_key.get(&key).copied() {
            Some(id) => id,
            None => {
                let tip = crate::tip::Tip {
                    key: key.clone(),
                    endpoints: Vec::new(),
                    source,
                    claims: crate::candidate::Claims::default(),
                };
                self.add(now, tip).ok()?;
                self.index.by_key.get(&key).copied()?
            }
        };
        Some(self.seat(id, key, greeted))
    }

    /// A peer without an identity that dialled us from where this candidate was dialled at the same
    /// time, and whose connection stays in place of that dial. Of what it says only its name is
    /// believed: that it is the candidate is likely, and not proven. `None` if nobody knows the
    /// candidate any more.
    pub fn arrived_for(&mut self, now: Now, key: &Key, agent: PeerText) -> Option<DialId> {
        self.now = now;
        self.alive(now);
        let id = *self.index.by_key.get(key)?;
        let services = None;
        Some(self.seat(id, key.clone(), Greeted { services, agent }))
    }

    /// A session that a candidate began.
    fn seat(&mut self, id: Id, key: Key, greeted: Greeted) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        let open = Open {
            id,
            key,
            address: None,
            group: Group::Local,
            since: self.now.at,
            greeted: true,
        };
        self.open.insert(dial, open);
        self.change(id, |candidate| candidate.phase = Phase::Busy(dial));
        self.greeted(id, None, Direction::Inbound, greeted);
        dial
    }

    /// A session ended.
    ///
    /// # Errors
    /// When no such session is open.
    pub fn left(&mut self, now: Now, session: DialId, reason: &Reason) -> Result<(), NotOpen> {
        self.now = now;
        if !self.open.is_greeted(session) {
            return Err(NotOpen(session));
        }
        let Some(open) = self.open.remove(session) else {
            return Err(NotOpen(session));
        };
        let lasted = now.at.saturating_duration_since(open.since);
        let cause = Cause::from(reason);
        let events = self.config.caps.events;
        let stays = self.is_connected(open.id);
        let sign = sign_of_end(reason).unless(stays);
        if sign == Sign::Life {
            self.alive(now);
        }
        let before = self.candidates.get(&open.id).map(|c| before(c, true));
        let proven = lasted >= self.config.backoff.proven_after;
        let tens = i64::try_from(lasted.as_secs() / 600).unwrap_or(12).min(12);
        let points = tens * Score::TEN_MINUTES + penalty(&cause);
        let counts = !stays && !matches!(reason.blame, Blame::Us | Blame::Caller);
        let outbound = open.direction() == Direction::Outbound;
        let what = What::Left {
            lasted,
            cause: cause.clone(),
        };
        self.change(open.id, |candidate| {
            candidate.online = candidate.online.saturating_add(lasted.as_secs());
            if outbound {
                candidate.last_success = Some(now.wall);
            }
            candidate.score.add(now.wall, points);
            if proven {
                candidate.failures = 0;
            } else if counts {
                candidate.failures = candidate.failures.saturating_add(1);
            }
            candidate.history.push(now.wall, what, events);
        });
        self.wait(open.id, reason);
        match (sign, before) {
            (Sign::Silence | Sign::Ours, Some(before)) if outbound => {
                self.suspect(open.id, before, &open.group, sign);
                if self.outage.is_on() {
                    self.excuse(open.id, None, cause);
                }
            }
            _ => {}
        }
        self.let_go_if_hopeless(open.id);
        Ok(())
    }

    fn greeted(
        &mut self,
        id: Id,
        address: Option<Address>,
        direction: Direction,
        greeted: Greeted,
    ) {
        let now = self.now;
        let events = self.config.caps.events;
        self.change(id, |candidate| {
            candidate.successes = candidate.successes.saturating_add(1);
            candidate.score.add(now.wall, Score::GREETED);
            candidate.anchor = false;
            if let Some(address) = &address {
                candidate.last_success = Some(now.wall);
                if let Some(spot) = candidate.spot_mut(address) {
                    spot.verified = Some(now.wall);
                    spot.failures = 0;
                }
            }
            if greeted.services.is_some() {
                candidate.claims.services = greeted.services;
            }
            candidate.agent = Some(greeted.agent.clone());
            let agent = greeted.agent;
            let what = What::Greeted { direction, agent };
            candidate.history.push(now.wall, what, events);
        });
        self.bound_tried(id);
    }

    /// The tried ones are bounded in all and by group; the least gives way, never the newcomer's
    /// betters.
    pub(crate) fn bound_tried(&mut self, newcomer: Id) {
        let Some(candidate) = self.candidates.get(&newcomer) else {
            return;
        };
        if candidate.role.is_pinned() || !candidate.is_tried() {
            return;
        }
        let group = candidate.group(self.config.names, self.config.grouping);
        let members = self.index.groups.get(&(true, group));
        let over = members.filter(|members| members.len() > self.config.caps.per_group);
        let over = over.or_else(|| {
            let all = &self.index.tried;
            (all.len() > self.config.caps.tried).then_some(all)
        });
        let least = over.and_then(|set| set.first()).map(|(_, id)| *id);
        if let Some(id) = least {
            self.take(id);
        }
    }

    fn failed(&mut self, open: &Open, reason: &Reason) {
        let now = self.now;
        let (id, Some(address)) = (open.id, open.address.clone()) else {
            return;
        };
        let Some(candidate) = self.candidates.get(&id) else {
            return;
        };
        let before = before(candidate, false);
        let tried = candidate.is_tried();
        let pinned = candidate.role.is_pinned();
        let cause = Cause::from(reason);
        let stays = self.is_connected(id);
        let sign = sign_of_dial(reason).unless(stays);
        if let Address::At(endpoint) = address
            && !pinned
            && (reason.kind == Kind::SelfConnection || self.is_ours(endpoint))
        {
            // The listening end may have known it first.
            if !self.is_ours(endpoint) {
                self.note_own(endpoint, later(now.at, self.config.backoff.never));
                self.met_ourselves(id, endpoint, reason);
            }
            self.wait_for_ever(id);
            return;
        }
        if sign == Sign::Life {
            self.alive(now);
        }
        if self.outage.is_on() && matches!(sign, Sign::Silence | Sign::Ours) {
            let known = tried.then(|| open.group.clone());
            self.outage.suspect(id, before, known);
            self.excuse(id, Some(address), cause);
            return;
        }
        let events = self.config.caps.events;
        let counts = !stays && !matches!(reason.blame, Blame::Us | Blame::Caller);
        let what = What::Failed {
            address: address.clone(),
            cause: cause.clone(),
        };
        self.change(id, |candidate| {
            candidate.anchor = false;
            if counts {
                candidate.failures = candidate.failures.saturating_add(1);
                candidate.score.add(now.wall, penalty(&cause));
                if let Some(spot) = candidate.spot_mut(&address) {
                    spot.failures = spot.failures.saturating_add(1);
                }
            }
            // The name may have moved.
            if candidate.resolve_at.is_some() && counts {
                candidate.resolve_at = Some(later(now.at, Duration::from_secs(60)));
            }
            candidate.history.push(now.wall, what, events);
        });
        self.wait(id, reason);
        if matches!(sign, Sign::Silence | Sign::Ours) {
            self.suspect(id, before, &open.group, sign);
        }
        self.let_go_if_hopeless(id);
    }

    fn is_connected(&self, id: Id) -> bool {
        let other = self.open.with(id);
        other.is_some_and(|dial| self.open.is_greeted(dial))
    }

    /// Puts a candidate into its backoff, unless another connection with it is open.
    fn wait(&mut self, id: Id, reason: &Reason) {
        if let Some(other) = self.open.with(id) {
            self.change(id, |candidate| candidate.phase = Phase::Busy(other));
            return;
        }
        let Some(candidate) = self.candidates.get(&id) else {
            return;
        };
        let (failures, pinned) = (candidate.failures, candidate.role.is_pinned());
        let asked = match reason.retry {
            Retry::Never => self.config.backoff.never,
            Retry::Now => Duration::ZERO,
            Retry::After(asked) => asked.min(self.config.backoff.never),
        };
        let wait = self.backoff(asked, failures, pinned);
        let until = later(self.now.at, wait);
        self.change(id, |candidate| candidate.phase = Phase::Waiting(until));
    }

    /// Puts a candidate aside as if the reason had said never.
    pub(crate) fn wait_for_ever(&mut self, id: Id) {
        let until = later(self.now.at, self.config.backoff.never);
        self.change(id, |candidate| candidate.phase = Phase::Waiting(until));
    }

    fn let_go_if_hopeless(&mut self, id: Id) {
        let now = self.now;
        let rule = self.config.backoff;
        let Some(candidate) = self.candidates.get(&id) else {
            return;
        };
        // A run that may turn out to be our own fault lets nobody go.
        if candidate.role.is_pinned()
            || matches!(candidate.phase, Phase::Busy(_))
            || self.outage.run.contains_key(&id) && candidate.is_tried()
            || self.candidates.len() <= rule.spare
        {
            return;
        }
        let hopeless = match candidate.last_success {
            None => candidate.failures >= rule.severe_new,
            Some(last) => {
                let since = now.wall.0.saturating_sub(last.0);
                candidate.failures >= rule.severe_tried
                    && since > crate::moment::secs(rule.severe_after)
            }
        };
        if !hopeless {
            return;
        }
        let Some(candidate) = self.take(id) else {
            return;
        };
        if self.burials.len() >= self.config.caps.buried
            && let Some(first) = self.burials.pop_front()
        {
            self.buried.remove(&first);
        }
        let until = later(now.at, rule.burial);
        if self.buried.insert(candidate.key.clone(), until).is_none() {
            self.burials.push_back(candidate.key);
        }
    }

    /// The longest sessions of ours, one for each group, and former anchors behind them.
    fn weigh_anchors(&mut self) {
        let mut sessions: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| open.greeted && open.direction() == Direction::Outbound)
            .collect();
        sessions.sort_by_key(|(dial, open)| (open.since, *dial));
        let most = self.config.anchors;
        let mut groups = std::collections::BTreeSet::new();
        let mut anchors: Vec<Key> = Vec::new();
        for (_, open) in sessions {
            let fresh = open.group == Group::Local || groups.insert(open.group.clone());
            if fresh && anchors.len() < most {
                anchors.push(open.key.clone());
            }
        }
        for former in &self.anchors {
            let known = self.index.by_key.contains_key(former);
            if known && anchors.len() < most && !anchors.contains(former) {
                anchors.push(former.clone());
            }
        }
        if anchors != self.anchors {
            self.anchors = anchors;
            self.pending.anchors = true;
        }
    }

    /// The good outbound peers to begin with after a restart.
    pub fn anchors(&self) -> &[Key] {
        &self.anchors
    }
}

fn before(candidate: &Candidate, lost: bool) -> Before {
    let spots = candidate.spots.iter();
    Before {
        failures: candidate.failures,
        score: candidate.score,
        spots: spots
            .map(|spot| (Address::At(spot.endpoint), spot.failures))
            .collect(),
        lost,
    }
}

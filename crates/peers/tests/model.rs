//! The reference model: a list of sessions, looked through from end to end. Nothing in it is derived
//! and nothing is indexed; every rule is read from `docs/sessions.md`.

use std::time::{Duration, Instant};

use peerage_core::Direction::{self, Inbound, Outbound};
use peerage_peers::{Config, Standing, Tie};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Pending,
    Refusing,
    Active,
    Closing,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) place: Place,
    pub(crate) direction: Direction,
    counts_as: Direction,
    standing: Standing,
    group: Option<u32>,
    identity: Option<u32>,
    stage: u8,
    attempt_ends: Instant,
    /// Pending: when the stage ends. Closing: when goodbye is over.
    ends: Instant,
    version: u32,
    heard: Instant,
    next_ping: Instant,
    pinged: Option<Instant>,
    /// Whether it answers pings.
    pub(crate) alive: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) entries: Vec<Entry>,
    least: u32,
    next: u64,
    pub(crate) said: Vec<String>,
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Inbound => "inbound",
        Outbound => "outbound",
    }
}

impl Model {
    pub(crate) fn new(config: Config, now: Instant, least: u32) -> Self {
        Self {
            config,
            now,
            entries: Vec::new(),
            least,
            next: 1,
            said: Vec::new(),
        }
    }

    fn count(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.entries.iter().filter(|entry| wanted(entry)).count()
    }

    fn ordinary(&self, place: Place, direction: Direction) -> usize {
        self.count(|e| {
            e.place == place
                && e.standing == Standing::Ordinary
                && match place {
                    Place::Active => e.counts_as == direction,
                    Place::Pending | Place::Refusing | Place::Closing => e.direction == direction,
                }
        })
    }

    fn group_full(&self, group: Option<u32>, standing: Standing) -> bool {
        let same = |e: &Entry| {
            e.group == group && e.place != Place::Closing && e.standing == Standing::Ordinary
        };
        group.is_some()
            && standing == Standing::Ordinary
            && self.count(same) >= self.config.limits.per_group
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        let live = |e: &&mut Entry| e.id == id && e.place != Place::Closing;
        self.entries.iter_mut().find(live)
    }

    fn active(&self, identity: u32) -> Option<u64> {
        let found = |e: &&Entry| e.place == Place::Active && e.identity == Some(identity);
        self.entries.iter().find(found).map(|e| e.id)
    }

    fn begin(
        &mut self,
        place: Place,
        direction: Direction,
        standing: Standing,
        group: Option<u32>,
    ) {
        let deadlines = &self.config.deadlines;
        let attempt = match place {
            Place::Refusing => deadlines.refusing,
            Place::Pending | Place::Active | Place::Closing => deadlines.attempt,
        };
        self.entries.push(Entry {
            id: self.next,
            place,
            direction,
            counts_as: direction,
            standing,
            group,
            identity: None,
            stage: 0,
            attempt_ends: self.now + attempt,
            ends: self.now + deadlines.stage.min(attempt),
            version: 0,
            heard: self.now,
            next_ping: self.now,
            pinged: None,
            alive: true,
        });
        self.next += 1;
    }

    pub(crate) fn dial(
        &mut self,
        n: u32,
        standing: Standing,
        group: Option<u32>,
    ) -> Result<u64, &'static str> {
        let limits = self.config.limits;
        if self.active(n).is_some() {
            return Err("already connected");
        }
        let dialling = |e: &Entry| {
            e.place == Place::Pending && e.direction == Outbound && e.identity == Some(n)
        };
        if self.count(dialling) > 0 {
            return Err("already dialling");
        }
        if standing == Standing::Ordinary {
            let pending = self.ordinary(Place::Pending, Outbound);
            let active = self.ordinary(Place::Active, Outbound);
            if pending >= limits.pending_out {
                return Err("pending full");
            }
            if active >= limits.active_out
                || active + pending >= limits.active_out + limits.spare_dials
            {
                return Err("full");
            }
        }
        if self.group_full(group, standing) {
            return Err("group full");
        }
        self.begin(Place::Pending, Outbound, standing, group);
        let id = self.next - 1;
        self.entry(id).unwrap().identity = Some(n);
        Ok(id)
    }

    pub(crate) fn admit(
        &mut self,
        standing: Standing,
        group: Option<u32>,
    ) -> Result<(u64, bool), &'static str> {
        let limits = self.config.limits;
        if self.group_full(group, standing) {
            return Err("group full");
        }
        let mut place = Place::Pending;
        if standing == Standing::Ordinary {
            let full = if self.ordinary(Place::Pending, Inbound) >= limits.pending_in {
                Some("pending full")
            } else if self.ordinary(Place::Active, Inbound) >= limits.active_in {
                Some("full")
            } else {
                None
            };
            if let Some(full) = full {
                if self.count(|e| e.place == Place::Refusing) >= limits.refusing {
                    return Err(full);
                }
                place = Place::Refusing;
            }
        }
        self.begin(place, Inbound, standing, group);
        Ok((self.next - 1, place == Place::Refusing))
    }

    pub(crate) fn stage(&mut self, id: u64, stage: u8) {
        let ends = self.now + self.config.deadlines.stage;
        if let Some(e) = self.entry(id)
            && e.place != Place::Active
            && e.stage != stage
        {
            e.stage = stage;
            e.ends = ends;
        }
    }

    fn prove(&mut self, id: u64, n: u32, standing: Standing) -> Result<(), &'static str> {
        let (attempt, refusing) = (
            self.config.deadlines.attempt,
            self.config.deadlines.refusing,
        );
        let stage_ends = self.now + self.config.deadlines.stage;
        let e = self
            .entry(id)
            .filter(|e| e.place != Place::Active)
            .ok_or("gone")?;
        if e.identity.is_some_and(|known| known != n) {
            return Err("wrong identity");
        }
        e.identity = Some(n);
        e.standing = e.standing.max(standing);
        if e.place == Place::Refusing {
            if e.standing == Standing::Ordinary {
                return Err("full");
            }
            e.place = Place::Pending;
            e.attempt_ends = e.attempt_ends - refusing + attempt;
            e.ends = stage_ends;
        }
        Ok(())
    }

    fn contest(&mut self, id: u64, n: u32, tie: Tie) -> Result<Option<u64>, &'static str> {
        let Some(old) = self.active(n) else {
            return Ok(None);
        };
        let newer = self.entry(id).unwrap().direction;
        let older = self.entry(old).unwrap().direction;
        if older != newer && tie == Tie::Keep(newer) {
            return Ok(Some(old));
        }
        self.said.push(format!(
            "already {n}: #{old} stays, {} #{id} goes",
            name(newer)
        ));
        let now = self.now;
        let e = self.entry(old).unwrap();
        e.next_ping = e.next_ping.min(now);
        Err("already connected")
    }

    pub(crate) fn identified(
        &mut self,
        id: u64,
        n: u32,
        standing: Standing,
        tie: Tie,
    ) -> Result<(), &'static str> {
        self.prove(id, n, standing)?;
        if self.contest(id, n, tie)?.is_some() {
            return Ok(());
        }
        self.slot(id)
    }

    pub(crate) fn established(
        &mut self,
        id: u64,
        n: u32,
        version: u32,
        (standing, tie): (Standing, Tie),
    ) -> Result<(), &'static str> {
        let verdict = self.judge(id, n, version, standing, tie);
        match verdict {
            Ok(None) => {}
            Ok(Some(old)) => {
                let loser = self.entry(old).unwrap().clone();
                self.said.push(format!(
                    "already {n}: #{id} stays, {} #{old} goes",
                    name(loser.direction)
                ));
                self.close(old, "refused already_connected", "already connected");
                let e = self.entry(id).unwrap();
                e.counts_as = loser.counts_as;
                e.standing = e.standing.max(loser.standing);
            }
            Err("gone") => return Err("gone"),
            Err(why) => {
                let (how, told) = match why {
                    "full" => ("refused full", "full"),
                    "wrong identity" => ("refused wrong_identity", "unexpected identity"),
                    "incompatible" => ("refused obsolete", "incompatible"),
                    _ => ("refused already_connected", "already connected"),
                };
                self.close(id, how, told);
                return Err(why);
            }
        }
        let (now, first) = (self.now, self.config.keepalive.first);
        self.said.push(format!("established #{id} {n}"));
        let e = self.entry(id).unwrap();
        e.place = Place::Active;
        e.version = version;
        e.heard = now;
        e.next_ping = now + first;
        Ok(())
    }

    fn judge(
        &mut self,
        id: u64,
        n: u32,
        version: u32,
        standing: Standing,
        tie: Tie,
    ) -> Result<Option<u64>, &'static str> {
        self.prove(id, n, standing)?;
        if version < self.least {
            return Err("incompatible");
        }
        if let Some(old) = self.contest(id, n, tie)? {
            return Ok(Some(old));
        }
        self.slot(id).map(|()| None)
    }

    /// Whether there is such a peer.
    pub(crate) fn set_standing(&mut self, id: u64, standing: Standing) -> bool {
        let active = self
            .entries
            .iter_mut()
            .find(|e| e.id == id && e.place == Place::Active);
        active.map(|e| e.standing = standing).is_some()
    }

    fn slot(&mut self, id: u64) -> Result<(), &'static str> {
        let e = self.entry(id).unwrap().clone();
        let limit = match e.direction {
            Inbound => self.config.limits.active_in,
            Outbound => self.config.limits.active_out,
        };
        if e.standing == Standing::Ordinary && self.ordinary(Place::Active, e.direction) >= limit {
            return Err("full");
        }
        Ok(())
    }

    /// We end it, and say so if there is room for goodbyes and anybody to hear them.
    fn close(&mut self, id: u64, how: &str, told: &str) {
        let room = self.count(|e| e.place == Place::Closing) < self.config.limits.closing;
        let ends = self.now + self.config.deadlines.goodbye;
        let reached = how.starts_with("refused");
        let Some(e) = self.entry(id) else { return };
        let heard = reached || e.place != Place::Pending || e.direction == Inbound || e.stage > 0;
        let direction = name(e.direction);
        e.place = Place::Closing;
        e.ends = ends;
        let told = if room && heard { told } else { "-" };
        self.said.push(if room {
            format!("close #{id}")
        } else {
            format!("abort #{id}")
        });
        self.said
            .push(format!("closed #{id} {direction} {how} told {told}"));
        if !room {
            self.entries.retain(|e| e.id != id);
        }
    }

    pub(crate) fn ended(&mut self, id: u64) {
        if let Some(e) = self.entry(id) {
            let how = match e.place {
                Place::Refusing => "refused full",
                Place::Pending | Place::Active | Place::Closing => "left closed",
            };
            let direction = name(e.direction);
            self.said
                .push(format!("closed #{id} {direction} {how} told -"));
        }
        self.entries.retain(|e| e.id != id);
    }

    pub(crate) fn disconnect(&mut self, id: u64) -> bool {
        let known = self.entry(id).is_some();
        self.close(id, "cancelled cancelled", "requested");
        known
    }

    pub(crate) fn set_least(&mut self, least: u32) {
        self.least = least;
        let old = |e: &&Entry| e.place == Place::Active && e.version < least;
        let ids: Vec<_> = self.entries.iter().filter(old).map(|e| e.id).collect();
        for id in ids {
            self.said.push(format!("incompatible #{id} obsolete"));
            self.close(id, "refused obsolete", "incompatible");
        }
    }

    pub(crate) fn hear(&mut self, id: u64) {
        let now = self.now;
        if let Some(e) = self.entry(id) {
            e.heard = now;
        }
    }

    /// When something happens to an entry of its own accord.
    fn due(&self, e: &Entry) -> Instant {
        let rules = self.config.keepalive;
        match e.place {
            Place::Pending | Place::Refusing => e.attempt_ends.min(e.ends),
            Place::Closing => e.ends,
            Place::Active => {
                let other = match e.pinged {
                    None => e.next_ping,
                    Some(at) => (at.max(e.heard) + rules.deadline).min(at + rules.patience),
                };
                other.min(e.heard + rules.idle)
            }
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let first = self.entries.iter().map(|e| (self.due(e), e.id)).min();
            let Some((at, id)) = first.filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            let rules = self.config.keepalive;
            let e = self.entries.iter_mut().find(|e| e.id == id).unwrap();
            match e.place {
                Place::Closing => {
                    self.said.push(format!("abort #{id}"));
                    self.entries.retain(|e| e.id != id);
                }
                Place::Refusing => self.close(id, "refused full", "full"),
                Place::Pending => self.close(id, "failed timeout", "timed out"),
                Place::Active if e.heard + rules.idle <= self.now || e.pinged.is_some() => {
                    self.close(id, "failed timeout", "timed out");
                }
                Place::Active if e.alive => {
                    e.heard = self.now;
                    e.next_ping = self.now + rules.interval;
                }
                Place::Active => e.pinged = Some(self.now),
            }
        }
        self.now = end;
    }
}

//! Taking in what finders found, by the quotas.

use std::collections::BTreeSet;
use std::net::IpAddr;

use peerage_core::Endpoint;

use crate::book::Book;
use crate::candidate::{Candidate, Claims, Id, Role, Verdict, Worth, add_spot, bound_spots};
use crate::history::What;
use crate::key::{Address, Key};
use crate::moment::Now;
use crate::prefix::{Group, Reach};
use crate::source::{Source, SourceGroup};
use crate::tip::{Added, Refused, Tip};

impl Book {
    /// Takes in what a finder found. What is known of a candidate is never replaced by what others
    /// claim: proven addresses and services stay, and an older record changes nothing.
    ///
    /// # Errors
    /// When it is not taken, and why.
    pub fn add(&mut self, now: Now, tip: Tip) -> Result<Added, Refused> {
        self.now = now;
        let Tip {
            key,
            mut endpoints,
            source,
            claims,
        } = tip;
        let source = source.bounded();
        match &key {
            Key::Address(Address::At(endpoint)) => endpoints = vec![*endpoint],
            Key::Address(Address::Named(_)) => return Err(Refused::Name),
            Key::Identity(_) => {}
        }
        let identified = matches!(key, Key::Identity(_));
        let mut refused = None;
        endpoints.retain(|endpoint| match self.judge(*endpoint, &source) {
            Ok(()) => true,
            Err(why) => {
                refused = Some(why);
                false
            }
        });
        if let (true, Some(why)) = (endpoints.is_empty(), refused) {
            return Err(why);
        }
        endpoints.truncate(self.config.caps.endpoints);
        if self.is_barred(&key, endpoints.iter().map(Endpoint::ip)) {
            return Err(Refused::Banned);
        }
        if let Some(id) = self.index.by_key.get(&key).copied() {
            self.merge(id, endpoints, source, claims);
            return Ok(Added::Known);
        }
        if source.is_stranger() && self.buried.get(&key).is_some_and(|until| now.at < *until) {
            return Err(Refused::Buried);
        }
        let mut candidate = Candidate::fresh(key, now.wall, self.random.next());
        candidate.claims.verdict = if identified || !source.is_stranger() {
            claims.verdict
        } else {
            Verdict::Unknown
        };
        candidate.claims.services = claims.services;
        candidate.claims.seen = claims.seen;
        candidate.claims.sequence = claims.sequence;
        for endpoint in endpoints {
            add_spot(&mut candidate.spots, endpoint, now.wall);
        }
        let most = self.config.caps.events;
        let heard = What::Heard(source.clone());
        candidate.history.push(now.wall, heard, most);
        if let Verdict::Unfit(cause) = &candidate.claims.verdict {
            let unfit = What::Unfit(cause.clone());
            candidate.history.push(now.wall, unfit, most);
        }
        candidate.payer = source.group(self.config.grouping);
        candidate.sources.push(source);
        self.make_room(&candidate)?;
        self.put(candidate);
        Ok(Added::New)
    }

    pub(crate) fn judge(&self, endpoint: Endpoint, source: &Source) -> Result<(), Refused> {
        if !endpoint.is_dialable() || Reach::of(endpoint.ip()) == Reach::Nowhere {
            return Err(Refused::Undialable);
        }
        if self.is_ours(endpoint) {
            return Err(Refused::Own);
        }
        if source.is_stranger() {
            if !self.config.local && Reach::of(endpoint.ip()) == Reach::Local {
                return Err(Refused::Local);
            }
            if self.config.foreign_ports.contains(&endpoint.port()) {
                return Err(Refused::ForeignPort);
            }
        }
        Ok(())
    }

    /// Whether bans or permits keep all of these away.
    fn is_barred(&self, key: &Key, ips: impl Iterator<Item = IpAddr>) -> bool {
        let identity = match key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        if self.bans.find(identity, None).is_some() {
            return true;
        }
        let mut ips = ips.peekable();
        ips.peek().is_some() && ips.all(|ip| self.bar(None, Some(ip), Role::Ordinary).is_some())
    }

    fn merge(&mut self, id: Id, endpoints: Vec<Endpoint>, source: Source, claims: Claims) {
        let now = self.now;
        let caps = self.config.caps;
        let teller = source.group(self.config.grouping);
        // Whoever holds less pays: else a flood that names honest peers first could take them along.
        let held = |group| self.index.sources.get(group).map_or(0, BTreeSet::len);
        let payer = self
            .candidates
            .get(&id)
            .map_or(0, |known| held(&known.payer));
        let cheaper = teller == SourceGroup::Operator || held(&teller) + 1 < payer;
        self.change(id, |candidate| {
            candidate.last_heard = now.wall;
            if cheaper {
                candidate.payer = teller;
            }
            let identified = matches!(candidate.key, Key::Identity(_));
            let first_hand = !source.is_stranger() || candidate.sources.first() == Some(&source);
            if !candidate.sources.contains(&source) {
                let heard = What::Heard(source.clone());
                candidate.history.push(now.wall, heard, caps.events);
                if candidate.sources.len() >= caps.sources && caps.sources > 1 {
                    candidate.sources.remove(1);
                }
                if candidate.sources.len() < caps.sources {
                    candidate.sources.push(source);
                }
            }
            let newer = claims.sequence > candidate.claims.sequence;
            if claims.sequence < candidate.claims.sequence {
                return;
            }
            if newer {
                // The record moved: what it named before and nobody proved is void.
                candidate.spots.retain(|spot| spot.verified.is_some());
            }
            for endpoint in endpoints {
                add_spot(&mut candidate.spots, endpoint, now.wall);
            }
            bound_spots(&mut candidate.spots, caps.endpoints);
            let known = &mut candidate.claims;
            known.sequence = claims.sequence;
            known.seen = known.seen.max(claims.seen);
            if known.services.is_none() || (newer && candidate.last_success.is_none()) {
                known.services = claims.services.or(known.services);
            }
            // A record speaks for its node; where there are none, only the first source is heard.
            if claims.verdict != Verdict::Unknown
                && claims.verdict != known.verdict
                && (identified || first_hand)
            {
                let what = match &claims.verdict {
                    Verdict::Unfit(cause) => What::Unfit(cause.clone()),
                    Verdict::Fit | Verdict::Unknown => What::Fit,
                };
                let was_unfit = matches!(known.verdict, Verdict::Unfit(_));
                known.verdict = claims.verdict;
                if was_unfit || matches!(what, What::Unfit(_)) {
                    candidate.history.push(now.wall, what, caps.events);
                }
            }
        });
    }

    /// Lets go of others so that a new candidate has room, or says why it has none.
    ///
    /// Within a full source or address group one that failed or was not heard of for a day gives
    /// way; in a full book, one of whoever holds the most. So a flood displaces only itself.
    pub(crate) fn make_room(&mut self, candidate: &Candidate) -> Result<(), Refused> {
        if candidate.role.is_pinned() {
            return Ok(());
        }
        let caps = self.config.caps;
        let source = candidate.payer.clone();
        let group = candidate.group(self.config.names, self.config.grouping);
        let mut leaves: Vec<Id> = Vec::new();
        if group != Group::Local
            && let Some(members) = self.index.groups.get(&(false, group))
            && members.len() >= caps.per_group
        {
            let least = members.first().ok_or(Refused::GroupFull)?;
            leaves.push(self.spare(*least).ok_or(Refused::GroupFull)?);
        }
        let held = self.index.sources.get(&source);
        let held_len = held.map_or(0, BTreeSet::len);
        if source != SourceGroup::Operator
            && held_len >= caps.per_source
            && let Some(held) = held
            && !leaves.iter().any(|id| self.is_charged(*id, &source))
        {
            let least = held.first().ok_or(Refused::SourceFull)?;
            leaves.push(self.spare(*least).ok_or(Refused::SourceFull)?);
        }
        if leaves.is_empty() && self.index.new_len >= caps.new {
            let (most, largest) = self.index.largest.last().ok_or(Refused::Full)?;
            let least = self.index.sources.get(largest).and_then(BTreeSet::first);
            let (worth, id) = *least.ok_or(Refused::Full)?;
            if *largest == source || *most <= held_len + 1 {
                leaves.push(self.spare((worth, id)).ok_or(Refused::Full)?);
            } else if worth.0 == u8::MAX {
                return Err(Refused::Full);
            } else {
                leaves.push(id);
            }
        }
        for id in leaves {
            self.take(id);
        }
        Ok(())
    }

    /// One new candidate more than before may be one too many.
    pub(crate) fn bound_new(&mut self, newcomer: Id) {
        if self.index.new_len <= self.config.caps.new {
            return;
        }
        let largest = self.index.largest.last();
        let held = largest.and_then(|(_, source)| self.index.sources.get(source));
        let least = held.and_then(BTreeSet::first).map(|(_, id)| *id);
        self.take(least.unwrap_or(newcomer));
    }

    fn is_charged(&self, id: Id, source: &SourceGroup) -> bool {
        let candidate = self.candidates.get(&id);
        candidate.is_some_and(|known| !known.is_tried() && known.payer == *source)
    }

    /// One that may give way to an equal: it failed, or nobody spoke of it for a day.
    fn spare(&self, ((rank, heard), id): (Worth, Id)) -> Option<Id> {
        const DAY: i64 = 86_400;
        let old = self.now.wall.0.saturating_sub(heard) > DAY;
        (rank < 4 || (rank == 4 && old)).then_some(id)
    }
}

//! Our own record and what changes it.

use std::time::Instant;

use peerage_core::Endpoint;

use super::Discovery;
use super::action::Event;
use crate::address::Reach;
use crate::record::{Builder, Family, Record, RecordError};

impl Discovery {
    /// Changes entries of our record and signs it again; its number grows if anything differs.
    /// Nobody is told: others learn it by their next PING or handshake.
    ///
    /// # Errors
    /// When the record cannot be signed; it stays as it was.
    pub fn update_record(
        &mut self,
        change: impl FnOnce(Builder) -> Builder,
    ) -> Result<&Record, RecordError> {
        let record = change(self.record.to_builder()).sign(&self.key)?;
        if record != self.record {
            self.record = record.clone();
            self.event(Event::RecordChanged(record));
        }
        Ok(&self.record)
    }

    /// Sets the address at which others reach us, in its family.
    ///
    /// # Errors
    /// As [`Self::update_record`].
    pub fn update_external_endpoint(&mut self, endpoint: Endpoint) -> Result<&Record, RecordError> {
        let family = Family::of(endpoint.ip());
        self.update_record(|record| record.ip(endpoint.ip()).udp(family, endpoint.port()))
    }

    /// Where our record says that we are.
    pub fn external_endpoints(&self) -> impl Iterator<Item = Endpoint> + use<> {
        let found = Family::BOTH.map(|family| self.record.udp_endpoint(family));
        found.into_iter().flatten()
    }

    /// A vote has been cast. While our record has no address of the family, a majority need not
    /// wait for the next count.
    pub(super) fn on_vote(&mut self, now: Instant, observed: Endpoint) {
        let family = Family::of(observed.ip());
        if self.config.auto_update && self.record.udp_endpoint(family).is_none() {
            self.count_family(now, family);
        }
    }

    pub(super) fn count_votes(&mut self, now: Instant) {
        for family in Family::BOTH {
            self.count_family(now, family);
        }
    }

    /// Where enough of those we asked see us, in a family; whether the record says so or not.
    pub fn majority(&mut self, now: Instant, family: Family) -> Option<Endpoint> {
        self.votes.majority(now, family)
    }

    /// Whether votes may write this address. Neighbours see a local one, which is of no use to the
    /// public; only a node whose record has a local address already is of a local network.
    fn may_tell(&self, majority: Endpoint, family: Family) -> bool {
        let there = Reach::of(majority.ip());
        let here = self
            .record
            .udp_endpoint(family)
            .map(|at| Reach::of(at.ip()));
        let is_local = here.is_some_and(|here| here != Reach::Global && here.may_share(there));
        there == Reach::Global || is_local || self.config.local_votes
    }

    fn count_family(&mut self, now: Instant, family: Family) {
        let Some(majority) = self.votes.majority(now, family) else {
            return;
        };
        if self.record.udp_endpoint(family) == Some(majority) {
            return;
        }
        if !self.config.auto_update || !self.may_tell(majority, family) {
            self.event(Event::Elsewhere(majority));
            return;
        }
        // It fails only if the record has no room for an address; it is then told instead.
        match self.update_external_endpoint(majority) {
            Ok(_) => self.metrics.auto_updates += 1,
            Err(_) => self.event(Event::Elsewhere(majority)),
        }
    }
}

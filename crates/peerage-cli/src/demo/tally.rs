//! How far each network has come, in numbers.

use std::collections::BTreeMap;

use peerage::Kind;
use peerage::node::FinderReport;
use peerage::node::peers::Phase;

use super::cast::{REALMS, Realm};
use super::ledger::{Account, Ledger};
use super::world::World;
use crate::output::{Failed, environment};

/// One network.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) realm: &'static Realm,
    /// How many nodes and addresses there are.
    pub(super) nodes: usize,
    pub(super) healthy: usize,
    /// How many our node knows.
    pub(super) found: usize,
    /// How many it dials at present.
    pub(super) dialling: usize,
    /// How many it has come to an end with, or greeted: they were dialled.
    pub(super) dialled: usize,
    /// How many it has ever greeted.
    pub(super) greeted: usize,
    /// How many are peers at present.
    pub(super) kept: usize,
    /// Who is no peer, by the reason of the last end.
    pub(super) failed: BTreeMap<Kind, usize>,
    pub(super) failed_dials: u64,
    /// Failed dials of which nobody knows why.
    pub(super) unknown: u64,
    pub(super) finders: Vec<FinderReport>,
}

/// All networks, as our nodes see them now.
pub(super) async fn tallies(world: &World, ledger: &Ledger) -> Result<Vec<Tally>, Failed> {
    let mut tallies = Vec::new();
    for (place, ours) in world.ours.iter().enumerate() {
        let stopped = |error| environment(error, "a node of ours is gone");
        let overview = ours.overview().await.map_err(stopped)?;
        let peers = ours.peers().await.map_err(stopped)?;
        let finders = ours.finders().await.map_err(stopped)?;
        let here = || {
            let citizens = world.citizens.iter().zip(&ledger.accounts);
            citizens.filter(|(citizen, _)| citizen.place == place)
        };
        let count =
            |such: &dyn Fn(&Account) -> bool| here().filter(|(_, account)| such(account)).count();
        let mut failed = BTreeMap::new();
        for (_, account) in here().filter(|(_, account)| !account.is_active) {
            if let Some(ended) = &account.ended {
                *failed.entry(ended.reason.kind).or_default() += 1;
            }
        }
        let active = peers.iter().filter(|peer| peer.phase == Phase::Active);
        tallies.push(Tally {
            realm: &REALMS[place],
            nodes: here().count(),
            healthy: here()
                .filter(|(citizen, _)| citizen.nature.is_healthy())
                .count(),
            found: overview.known,
            dialling: overview.peers.pending[1],
            dialled: count(&|account| account.ended.is_some() || account.facts.is_some()),
            greeted: count(&|account| account.facts.is_some()),
            kept: active.count(),
            failed,
            failed_dials: ledger.failed_dials.get(&place).copied().unwrap_or_default(),
            unknown: ledger.unknown.get(&place).copied().unwrap_or_default(),
            finders,
        });
    }
    Ok(tallies)
}

//! How citizens become known on a network that has discovery: nobody tells of them, they are found.

use std::time::Duration;

use peerage::devp2p::ForkFilter;
use peerage::devp2p::table::NETWORK;
use peerage::discv5::Record;
use peerage::find::{self, Bind, Candidate, Finder, Handle, Running, Search, Sockets};
use peerage::{Destination, NodeKey, PeerKey, Tables};
use tokio::time::{Instant, timeout_at};

use super::home::ANY_PORT;
use super::world::{Citizen, Known};
use crate::args::{ethereum_chain, forks_now};
use crate::find::fork;
use crate::output::{Failed, environment, usage};

/// The longest everybody is looked for, in seconds. A second is plenty on an idle machine.
const LIMIT: Duration = Duration::from_secs(20);

/// The pause between two searches, in milliseconds.
const PAUSE: Duration = Duration::from_millis(100);

/// The chain that the stranger follows.
const OTHER_CHAIN: &str = "sepolia";

/// The port that the stranger names. Nobody dials it.
const NEVER_DIALLED: u16 = 9;

/// How many nodes are found and not wanted: the boot node and the stranger.
const BYSTANDERS: usize = 2;

/// A node of discovery v5 on loopback. Dropping it takes the node from the network.
pub(super) struct Beacon {
    service: Running,
    record: Record,
}

/// Discovery v5 among the citizens of one chain.
pub(super) struct Neighbourhood {
    forks: ForkFilter,
    /// What a record says of the chain its node follows.
    entry: Vec<u8>,
    /// Whom everybody asks first. As in the world outside it belongs to the consensus layer, so it
    /// is found and not wanted.
    boot: Beacon,
    /// A node of another chain, which is not wanted either.
    _stranger: Beacon,
}

/// What looking for the citizens of a chain came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scouted {
    pub(super) network: &'static str,
    pub(super) chain: &'static str,
    /// How many citizens were found, of how many there are to find.
    pub(super) found: usize,
    pub(super) citizens: usize,
    /// How many nodes were found and left alone because of what their records say, of how many.
    pub(super) passed_over: usize,
    pub(super) bystanders: usize,
    pub(super) took: Duration,
}

impl Scouted {
    pub(super) const fn is_right(&self) -> bool {
        self.found == self.citizens && self.passed_over == self.bystanders
    }
}

impl Beacon {
    fn light(
        key: &NodeKey,
        tcp: Option<u16>,
        entry: Option<(&str, &[u8])>,
        boot: &[Record],
    ) -> Result<Self, Failed> {
        let sockets = Sockets::bind(&Bind::at(ANY_PORT))
            .map_err(|error| environment(error, "cannot take a port on loopback"))?;
        let mut setup = find::setup(key, &sockets);
        if let Some(port) = tcp {
            setup.record = setup.record.tcp4(port);
        }
        if let Some((name, entry)) = entry {
            setup.record = setup.record.raw(name, entry);
        }
        setup.boot = boot.to_vec();
        let record = setup.record.clone().sign(&setup.key).map_err(usage)?;
        let service = find::start(setup, sockets).map_err(usage)?;
        Ok(Self { service, record })
    }

    fn handle(&self) -> &Handle {
        &self.service.handle
    }
}

impl Neighbourhood {
    /// A network of bystanders, whom the citizens of `chain` join.
    pub(super) fn found(chain: &str) -> Result<Self, Failed> {
        let tables = Tables::builtin();
        let forks = forks_now(&*ethereum_chain(&tables, chain)?);
        // An RLP string, as every entry's value is.
        let consensus = Some(("eth2", &[0x84, 0xde, 0xad, 0xbe, 0xef][..]));
        let boot = Beacon::light(&NodeKey::generate(), None, consensus, &[])?;
        let elsewhere = forks_now(&*ethereum_chain(&tables, OTHER_CHAIN)?).record_entry();
        let known = std::slice::from_ref(&boot.record);
        let entry = Some(("eth", &elsewhere[..]));
        let stranger = Beacon::light(&NodeKey::generate(), Some(NEVER_DIALLED), entry, known)?;
        Ok(Self {
            entry: forks.record_entry().to_vec(),
            forks,
            boot,
            _stranger: stranger,
        })
    }

    /// A node that joins and says where it can be dialled.
    pub(super) fn join(&self, key: &NodeKey, tcp: u16) -> Result<Beacon, Failed> {
        let known = std::slice::from_ref(&self.boot.record);
        Beacon::light(key, Some(tcp), Some(("eth", &self.entry)), known)
    }

    /// Looks for the citizens of `chain` by asking as `scout` does, and takes each one's address
    /// from the record that was found. Those who are not found keep the address that they have.
    pub(super) async fn scout(
        &self,
        scout: &Beacon,
        chain: &'static str,
        citizens: &mut [Citizen],
    ) -> Result<Scouted, Failed> {
        let began = Instant::now();
        let here = |citizen: &&mut Citizen| {
            citizen.network == NETWORK.0 && matches!(citizen.known, Known::Discovered(_))
        };
        let mut missing: Vec<_> = citizens.iter_mut().filter(here).collect();
        let mut scouted = Scouted {
            network: NETWORK.0,
            chain,
            found: 0,
            citizens: missing.len(),
            passed_over: 0,
            bystanders: BYSTANDERS,
            took: Duration::ZERO,
        };
        let search = Search::wanting(|_| true).pause(PAUSE);
        let finder = scout.handle().finder(NETWORK, search).await;
        let mut finder = finder.map_err(|error| environment(error, "cannot look for nodes"))?;
        while !scouted.is_right() {
            let Ok(Some(candidate)) = timeout_at(began + LIMIT, finder.next()).await else {
                break;
            };
            let Some(to) = self.wanted(&candidate) else {
                scouted.passed_over += 1;
                continue;
            };
            let whose = |citizen: &&mut Citizen| citizen.found_at.key == to.key;
            if let Some(at) = missing.iter().position(whose) {
                let citizen = missing.swap_remove(at);
                citizen.found_at = to;
                citizen.known = Known::Discovered(Some(began.elapsed()));
                scouted.found += 1;
            }
        }
        scouted.took = began.elapsed();
        Ok(scouted)
    }

    /// Where a candidate can be dialled; nothing if its record already says that it is of no use.
    fn wanted(&self, candidate: &Candidate) -> Option<Destination> {
        let record = candidate.claims.record()?;
        fork(&self.forks, record)?;
        let at = candidate.endpoints.first()?;
        Some(Destination {
            key: Some(PeerKey(candidate.public_key?)),
            ..(*at).into()
        })
    }
}

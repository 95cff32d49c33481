//! How citizens become known on a network that has discovery: nobody tells of them, they are found.

use std::time::Duration;

use peerage::devp2p::table::NETWORK;
use peerage::discv5::Record;
use peerage::find::{self, Bind, Finder, Handle, Running, Search, Sockets};
use peerage::{Destination, Endpoint, NodeKey, Tables};

use super::home::ANY_PORT;
use crate::args::{ethereum_chain, forks_now};
use crate::output::{Failed, environment, usage};

/// The pause between two searches, in milliseconds.
const PAUSE: Duration = Duration::from_millis(100);

/// How long answers are waited for: a machine may have better things to do.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often a node makes itself known again, in case nobody listened when it joined.
const REFRESH: Duration = Duration::from_secs(30);

/// The chain that the stranger follows.
const OTHER_CHAIN: &str = "sepolia";

/// The port that the stranger names. Nobody dials it.
const NEVER_DIALLED: u16 = 9;

/// A node of discovery v5 on loopback. Dropping it takes the node from the network.
#[derive(Debug)]
pub(super) struct Beacon {
    service: Running,
    record: Record,
}

/// Discovery v5 among the citizens of one chain.
pub(super) struct Neighbourhood {
    /// What a record says of the chain its node follows.
    entry: Vec<u8>,
    /// Whom everybody asks first. As in the world outside it belongs to the consensus layer, so it
    /// is found and not wanted.
    boot: Beacon,
    /// A node of another chain, which is not wanted either.
    _stranger: Beacon,
    /// Where that one says it is.
    pub(super) stranger: Destination,
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
        setup.config.request_timeout = PATIENCE;
        setup.config.handshake_timeout = PATIENCE / 2;
        setup.config.refresh_interval = REFRESH;
        let record = setup.record.clone().sign(&setup.key).map_err(usage)?;
        let service = find::start(setup, sockets).map_err(usage)?;
        Ok(Self { service, record })
    }

    const fn handle(&self) -> &Handle {
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
        let key = NodeKey::generate();
        let stranger = Beacon::light(&key, Some(NEVER_DIALLED), entry, known)?;
        let mut found_at = Destination::from(Endpoint::from(ANY_PORT));
        found_at.target.port = NEVER_DIALLED;
        found_at.key = Some(key.public_key());
        Ok(Self {
            entry: forks.record_entry().to_vec(),
            boot,
            _stranger: stranger,
            stranger: found_at,
        })
    }

    /// A node that joins and says where it can be dialled.
    pub(super) fn join(&self, key: &NodeKey, tcp: u16) -> Result<Beacon, Failed> {
        let known = std::slice::from_ref(&self.boot.record);
        Beacon::light(key, Some(tcp), Some(("eth", &self.entry)), known)
    }

    /// Finds whoever is there, by asking as `scout` does.
    pub(super) async fn finder(scout: &Beacon) -> Result<Box<dyn Finder>, Failed> {
        let search = Search::wanting(|_| true).pause(PAUSE);
        let finder = scout.handle().finder(NETWORK, search).await;
        let finder = finder.map_err(|error| environment(error, "cannot look for nodes"))?;
        Ok(Box::new(finder))
    }
}

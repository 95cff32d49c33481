//! The citizens of the small world: who they are, and what they do to whoever dials them.

use std::sync::Arc;
use std::time::Duration;

use peerage::faults::Fault;
use peerage::net::Connection;
use peerage::networks::{AnyNode, Capability, Head, Options, PeerFacts, Setup, by_name};
use peerage::{Destination, Endpoint, Kind, NodeKey, Reason};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::discovery::{Beacon, Neighbourhood, Scouted};
use super::home::{Home, listen, serve, vacant};
use crate::output::{Failed, misused, usage};

/// The longest one dial with its handshake may take, in seconds: a thousand times what a healthy
/// neighbour needs, and yet nobody gets bored while the silent one is waited for.
pub(super) const LIMIT: Duration = Duration::from_millis(2500);

/// One network's part of the world.
struct Realm {
    network: &'static str,
    chain: &'static str,
    /// Whether its nodes are found by discovery; of others we are told.
    is_discovered: bool,
    healthy: [Healthy; 3],
}

/// A healthy node, as it is and as it must be found.
#[derive(Debug)]
pub(super) struct Healthy {
    name: &'static str,
    agent: &'static str,
    claims: Claims,
}

/// What a healthy node says of itself besides its software.
#[derive(Debug)]
enum Claims {
    /// In the version/verack family.
    Version {
        protocol_version: u32,
        services: u64,
        height: u32,
    },
    /// On Ethereum: the version of eth, and the last fork it has passed, by the time of its head.
    Ethereum {
        eth: u32,
        head_time: u64,
        fork: &'static str,
    },
}

static REALMS: [Realm; 3] = [
    Realm {
        network: "zcash",
        chain: "regtest",
        is_discovered: false,
        healthy: [
            version("alder", "/Alder:4.2.0/", 170_190, 0b001, 1207),
            version("birch", "/Birch:0.9.1/", 170_160, 0b101, 1207),
            version("cedar", "/Cedar:2.0-rc1/", 170_150, 0b000, 988),
        ],
    },
    Realm {
        network: "decred",
        chain: "simnet",
        is_discovered: false,
        healthy: [
            version("hazel", "/hazel:1.8.3/", 11, 0b001, 431),
            version("maple", "/maple:2.0.5/", 12, 0b101, 431),
            version("rowan", "/rowan:2.1.6/", 12, 0b101, 430),
        ],
    },
    Realm {
        network: "ethereum",
        chain: "hoodi",
        is_discovered: true,
        healthy: [
            ethereum("aspen", "Aspen/v1.16.4", 70, 1_770_000_000, "bpo2"),
            ethereum("linden", "Linden/v25.11.0", 69, 1_770_000_000, "bpo2"),
            // It has not synchronised up to the last fork yet.
            ethereum("willow", "Willow/v3.1.2", 68, 1_762_500_000, "bpo1"),
        ],
    },
];

const fn version(
    name: &'static str,
    agent: &'static str,
    protocol_version: u32,
    services: u64,
    height: u32,
) -> Healthy {
    Healthy {
        name,
        agent,
        claims: Claims::Version {
            protocol_version,
            services,
            height,
        },
    }
}

const fn ethereum(
    name: &'static str,
    agent: &'static str,
    eth: u32,
    head_time: u64,
    fork: &'static str,
) -> Healthy {
    Healthy {
        name,
        agent,
        claims: Claims::Ethereum {
            eth,
            head_time,
            fork,
        },
    }
}

impl Claims {
    fn options(&self) -> Options {
        match *self {
            Self::Version {
                protocol_version,
                services,
                height,
            } => Options {
                protocol_version: Some(protocol_version),
                services: Some(services),
                height: Some(height),
                ..Options::NONE
            },
            Self::Ethereum { eth, head_time, .. } => Options {
                head: Some(Head {
                    number: 1_700_000,
                    time: Some(head_time),
                }),
                capabilities: vec![Capability {
                    name: "eth".into(),
                    version: eth,
                }],
                ..Options::NONE
            },
        }
    }

    /// Whether a peer's own words say so.
    fn are_those_of(&self, facts: &PeerFacts) -> bool {
        match *self {
            Self::Version {
                protocol_version,
                services,
                height,
            } => facts.version().is_some_and(|said| {
                (said.protocol_version, said.services) == (protocol_version, services)
                    && facts.height == Some(height.into())
            }),
            Self::Ethereum { eth, fork, .. } => {
                let said = facts.ethereum().and_then(|facts| facts.chain.as_ref());
                said.is_some_and(|said| (said.eth_version, &*said.fork) == (eth, fork))
            }
        }
    }
}

/// The broken ones, of whom every network has one each if its peers can be broken so. The silent
/// one comes last: whoever prints in this order waits for nobody else.
const BROKEN: [(&str, Nature); 12] = [
    ("relic", Nature::Faulty(Fault::Obsolete)),
    ("stray", Nature::Faulty(Fault::WrongNetwork)),
    ("alien", Nature::Faulty(Fault::WrongGenesis)),
    ("heretic", Nature::Faulty(Fault::WrongFork)),
    ("mimic", Nature::Faulty(Fault::WrongIdentity)),
    ("packed", Nature::Faulty(Fault::Full)),
    ("torrent", Nature::Faulty(Fault::Flooding)),
    ("babel", Nature::Faulty(Fault::Garbage)),
    ("ghost", Nature::Faulty(Fault::Closing)),
    ("void", Nature::ClosedPort),
    ("mirror", Nature::Ourselves),
    ("mute", Nature::Faulty(Fault::Silent)),
];

/// What a citizen is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nature {
    /// A node as it should be.
    Healthy(&'static Healthy),
    /// A node that breaks on purpose.
    Faulty(Fault),
    /// An address where nobody listens.
    ClosedPort,
    /// The address of the very node that dials.
    Ourselves,
}

impl Nature {
    pub(super) const fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy(_))
    }

    /// Whether a verdict is the one it deserves. A healthy node must also be found as it is.
    pub(super) fn is_right(self, verdict: &Result<PeerFacts, Reason>) -> bool {
        match (self, verdict) {
            (Self::Healthy(healthy), Ok(facts)) => healthy.is(facts),
            (_, Ok(_)) => false,
            (_, Err(reason)) => self.deserves() == Some(reason.kind),
        }
    }

    /// The kind of reason it deserves; none for a healthy one.
    pub(super) const fn deserves(self) -> Option<Kind> {
        match self {
            Self::Healthy(_) => None,
            Self::Faulty(fault) => Some(fault.expected()),
            Self::ClosedPort => Some(Kind::ConnectionRefused),
            Self::Ourselves => Some(Kind::SelfConnection),
        }
    }

    /// In a few words.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Healthy(_) => "a healthy node",
            Self::Faulty(fault) => fault.in_words(),
            Self::ClosedPort => "nobody listens there",
            Self::Ourselves => "our own address",
        }
    }
}

/// The node of a realm that dials everybody, and that can be dialled itself.
pub(super) struct Prober {
    pub(super) node: Arc<dyn AnyNode>,
    found_at: Destination,
    /// Its place in discovery, where the network has one.
    beacon: Option<Beacon>,
    /// Why it turned away whoever dialled it last: itself, in this world.
    turned_away: watch::Receiver<Option<Reason>>,
    _door: Home,
}

/// One inhabitant of the world.
pub(super) struct Citizen {
    pub(super) name: &'static str,
    pub(super) network: &'static str,
    pub(super) chain: &'static str,
    pub(super) nature: Nature,
    pub(super) found_at: Destination,
    pub(super) known: Known,
    /// Who visits it.
    pub(super) prober: Arc<Prober>,
    home: Home,
    beacon: Option<Beacon>,
}

/// How it became known where a citizen is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// We were told, as by a list.
    Told,
    /// It is in discovery, and was found there after so long, if it was.
    Discovered(Option<Duration>),
}

/// A realm with those who see to it.
struct Settled {
    realm: &'static Realm,
    prober: Arc<Prober>,
    neighbourhood: Option<Neighbourhood>,
}

/// The whole world.
pub(super) struct World {
    pub(super) citizens: Vec<Citizen>,
    realms: Vec<Settled>,
}

impl World {
    /// Looks for everybody who can be found.
    pub(super) async fn scout(&mut self) -> Result<Vec<Scouted>, Failed> {
        let mut all = Vec::new();
        for Settled {
            realm,
            prober,
            neighbourhood,
        } in &self.realms
        {
            if let (Some(neighbourhood), Some(scout)) = (neighbourhood, &prober.beacon) {
                let found = neighbourhood.scout(scout, realm.chain, &mut self.citizens);
                all.push(found.await?);
            }
        }
        Ok(all)
    }
}

/// Starts everybody, the healthy first; connections to them end at `ends_at` at the latest.
pub(super) fn start(ends_at: Instant) -> Result<World, Failed> {
    let mut citizens = Vec::new();
    let mut realms = Vec::new();
    for realm in &REALMS {
        let neighbourhood = realm
            .is_discovered
            .then(|| Neighbourhood::found(realm.chain));
        let neighbourhood = neighbourhood.transpose()?;
        let prober = Arc::new(Prober::new(realm, neighbourhood.as_ref())?);
        let settled = Settled {
            realm,
            prober,
            neighbourhood,
        };
        for healthy in &realm.healthy {
            let nature = Nature::Healthy(healthy);
            citizens.push(Citizen::settle(&settled, healthy.name, nature, ends_at)?);
        }
        realms.push(settled);
    }
    // Neighbours in fate, not in network.
    for (name, nature) in BROKEN {
        for settled in &realms {
            if let Nature::Faulty(fault) = nature
                && !settled.prober.node.faults().contains(&fault)
            {
                continue;
            }
            citizens.push(Citizen::settle(settled, name, nature, ends_at)?);
        }
    }
    Ok(World { citizens, realms })
}

impl Realm {
    fn setup(&self, key: NodeKey) -> Setup {
        Setup {
            key: Some(key),
            ..Setup::new(self.chain)
        }
    }

    fn node(&self, setup: Setup) -> Result<Box<dyn AnyNode>, Failed> {
        let network = by_name(self.network)
            .ok_or_else(|| misused(format!("there is no network {}", self.network)))?;
        network.node(&setup).map_err(usage)
    }
}

impl Prober {
    fn new(realm: &Realm, neighbourhood: Option<&Neighbourhood>) -> Result<Self, Failed> {
        let (listener, endpoint) = listen()?;
        let key = NodeKey::generate();
        let beacon = neighbourhood.map(|all| all.join(&key, endpoint.port()));
        let mut node = realm.node(realm.setup(key))?;
        node.set_listen_addr(Some(endpoint));
        let node: Arc<dyn AnyNode> = node.into();
        let (tell, turned_away) = watch::channel(None);
        let (ourselves, tell) = (node.clone(), Arc::new(tell));
        let door = serve(listener, move |connection| {
            let (node, tell) = (ourselves.clone(), tell.clone());
            async move {
                if let Err(reason) = node.greet(connection, Instant::now() + LIMIT).await {
                    tell.send_replace(Some(reason));
                }
            }
        });
        Ok(Self {
            found_at: node.found_at(endpoint),
            node,
            beacon: beacon.transpose()?,
            turned_away,
            _door: door,
        })
    }

    /// How it recognised itself as the one that was dialled, as soon as it has.
    ///
    /// Both ends are one node, so it may put together what each of them saw.
    pub(super) async fn recognised_itself(&self, limit: Duration) -> Option<Reason> {
        let mut turned_away = self.turned_away.clone();
        let itself = |reason: &Option<Reason>| {
            reason
                .as_ref()
                .is_some_and(|reason| reason.kind == Kind::SelfConnection)
        };
        let told = timeout(limit, turned_away.wait_for(itself)).await.ok()?;
        told.ok()?.clone()
    }
}

impl Citizen {
    fn settle(
        settled: &Settled,
        name: &'static str,
        nature: Nature,
        ends_at: Instant,
    ) -> Result<Self, Failed> {
        let Settled {
            realm,
            prober,
            neighbourhood,
        } = settled;
        let key = NodeKey::generate();
        let setup = realm.setup(key.clone());
        let (found_at, home) = match nature {
            Nature::Healthy(healthy) => {
                let (listener, endpoint) = listen()?;
                let node = healthy.node(realm, setup, endpoint)?;
                let found_at = node.found_at(endpoint);
                let welcome = move |connection| welcome(node.clone(), connection, ends_at);
                (found_at, serve(listener, welcome))
            }
            Nature::Faulty(fault) => {
                let (listener, endpoint) = listen()?;
                let node: Arc<dyn AnyNode> = realm.node(setup)?.into();
                let found_at = node.found_at(endpoint);
                let misbehave = move |connection: Connection<TcpStream>| {
                    let (node, deadline) = (node.clone(), Instant::now() + 2 * LIMIT);
                    async move { node.misbehave(fault, connection, deadline).await }
                };
                (found_at, serve(listener, misbehave))
            }
            Nature::ClosedPort => {
                let (home, endpoint) = vacant()?;
                let nobody = realm.node(setup)?;
                (nobody.found_at(endpoint), home)
            }
            Nature::Ourselves => (prober.found_at.clone(), Home::Elsewhere),
        };
        // Nobody finds himself: our own address is told to us by others.
        let others = neighbourhood
            .as_ref()
            .filter(|_| !matches!(nature, Nature::Ourselves));
        let beacon = others
            .map(|all| all.join(&key, found_at.target.port))
            .transpose()?;
        let known = beacon
            .as_ref()
            .map_or(Known::Told, |_| Known::Discovered(None));
        let (network, chain, prober) = (realm.network, realm.chain, prober.clone());
        Ok(Self {
            name,
            network,
            chain,
            nature,
            found_at,
            known,
            prober,
            home,
            beacon,
        })
    }

    /// How its address is written on its network.
    pub(super) fn address(&self) -> String {
        let target = || self.found_at.target.to_string();
        by_name(self.network).map_or_else(target, |network| network.shown(&self.found_at))
    }

    /// The citizen leaves the world: its port is closed and its connections are cut.
    pub(super) async fn leave(&mut self) {
        self.beacon = None;
        self.home.close().await;
    }
}

impl Healthy {
    fn node(
        &self,
        realm: &Realm,
        setup: Setup,
        endpoint: Endpoint,
    ) -> Result<Arc<dyn AnyNode>, Failed> {
        let mut node = realm.node(Setup {
            options: self.claims.options(),
            ..setup
        })?;
        node.set_agent(self.agent.into());
        node.set_listen_addr(Some(endpoint));
        Ok(node.into())
    }

    /// Whether a peer's own words are what this node says of itself.
    pub(super) fn is(&self, facts: &PeerFacts) -> bool {
        facts.agent == self.agent.into() && self.claims.are_those_of(facts)
    }
}

/// Greets a guest and answers its pings.
async fn welcome(node: Arc<dyn AnyNode>, guest: Connection<TcpStream>, ends_at: Instant) {
    // Why a guest was turned away or left is for the guest to tell in this world.
    if let Ok(mut peer) = node.greet(guest, Instant::now() + LIMIT).await {
        drop(timeout_at(ends_at, peer.serve_pings()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_citizen() {
        for fault in Fault::ALL {
            let faulty = |nature| matches!(nature, Nature::Faulty(its) if its == *fault);
            assert!(
                BROKEN.iter().any(|(_, nature)| faulty(*nature)),
                "{fault:?}"
            );
        }
    }

    #[test]
    fn every_network_has_a_realm() {
        for network in peerage::networks::NETWORKS {
            let here = |realm: &Realm| realm.network == network.network().0;
            assert!(REALMS.iter().any(here), "{}", network.network());
        }
    }
}

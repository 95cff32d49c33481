//! The place of our node on a network, and how its neighbours move in.

use std::sync::Arc;
use std::time::Duration;

use peerage::find::https::{HttpsSeed, SeederUrl};
use peerage::find::{self, Finder, Seeds};
use peerage::net::{Connection, Listener, Target};
use peerage::networks::{AnyNode, Builtin, Described, Setup, by_name};
use peerage::verack::ProtocolVersion;
use peerage::{Decred, Endpoint, Ethereum, Greeter, NodeKey, Protocol, Route, Tables, Zcash};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::cast::{Healthy, Nature, Realm, Way};
use super::discovery::{Beacon, Neighbourhood};
use super::home::{Home, listen, serve, vacant};
use super::ours::{self, LIMIT, Tell};
use super::seeders::{gossiping, seeder};
use super::world::{Citizen, World};
use crate::output::{Failed, misused, usage};
use crate::serve::api::Gate;

/// How long the flapping one stays after it has greeted, in milliseconds.
const FLAP: Duration = Duration::from_millis(300);

/// How long the tarpit thinks about each byte.
const DRIP: Duration = Duration::from_secs(1);

/// What the liar calls itself.
const LIAR: &str = "/Munchausen:0.1.0/";

/// Where our node of a realm will be.
pub(super) struct Seat {
    realm: &'static Realm,
    pub(super) place: usize,
    key: NodeKey,
    listener: Listener,
    endpoint: Endpoint,
    neighbourhood: Option<(Neighbourhood, Beacon)>,
}

impl Seat {
    pub(super) fn take(realm: &'static Realm, place: usize) -> Result<Self, Failed> {
        let (listener, endpoint) = listen()?;
        let key = NodeKey::generate();
        let neighbourhood = if realm.way == Way::Discovery {
            let neighbourhood = Neighbourhood::found(realm.chain)?;
            let scout = neighbourhood.join(&key, endpoint.port())?;
            Some((neighbourhood, scout))
        } else {
            None
        };
        Ok(Self {
            realm,
            place,
            key,
            listener,
            endpoint,
            neighbourhood,
        })
    }

    fn setup(&self, key: NodeKey) -> Setup {
        Setup {
            key: Some(key),
            ..Setup::new(self.realm.chain)
        }
    }

    fn node(&self, setup: &Setup) -> Result<Box<dyn AnyNode>, Failed> {
        let name = self.realm.network;
        let network =
            by_name(name).ok_or_else(|| misused(format!("there is no network {name}")))?;
        network.node(setup).map_err(usage)
    }

    /// Whether peers of this network can be so.
    pub(super) fn has(&self, nature: Nature) -> Result<bool, Failed> {
        Ok(match nature {
            Nature::Faulty(fault) => {
                let node = self.node(&Setup::new(self.realm.chain))?;
                node.faults().contains(&fault)
            }
            // Where nodes sign their own records, nobody tells of others' addresses: there the liar
            // is whoever names a port that is not its own, which the closed port is.
            Nature::Liar | Nature::Lie => self.realm.way != Way::Discovery,
            Nature::Healthy(_)
            | Nature::Flapping
            | Nature::Tarpit
            | Nature::ClosedPort
            | Nature::Stranger
            | Nature::Ourselves => true,
        })
    }

    /// Whoever is met in discovery and follows another chain.
    pub(super) fn stranger(&self) -> Option<Citizen> {
        let (neighbourhood, _) = self.neighbourhood.as_ref()?;
        Some(Citizen {
            name: "nomad".to_owned(),
            place: self.place,
            nature: Nature::Stranger,
            found_at: neighbourhood.stranger.clone(),
            is_remote: false,
            home: Home::Elsewhere,
            beacon: None,
        })
    }

    /// A citizen moves in; `lies` are for the liar to tell.
    pub(super) fn settle(
        &self,
        name: String,
        nature: Nature,
        lies: &[Endpoint],
    ) -> Result<Citizen, Failed> {
        let key = NodeKey::generate();
        let setup = self.setup(key.clone());
        let (found_at, home) = match nature {
            Nature::Healthy(_) | Nature::Flapping => {
                let (listener, endpoint) = listen()?;
                let node = self.greeting(nature, setup, endpoint)?;
                let found_at = node.found_at(endpoint);
                let stay = matches!(nature, Nature::Flapping).then_some(FLAP);
                let welcome = move |connection| welcome(node.clone(), connection, stay);
                (found_at, serve(listener, welcome))
            }
            Nature::Faulty(fault) => {
                let (listener, endpoint) = listen()?;
                let node: Arc<dyn AnyNode> = self.node(&setup)?.into();
                let found_at = node.found_at(endpoint);
                let misbehave = move |connection: Connection<TcpStream>| {
                    let (node, deadline) = (node.clone(), Instant::now() + 2 * LIMIT);
                    async move { node.misbehave(fault, connection, deadline).await }
                };
                (found_at, serve(listener, misbehave))
            }
            Nature::Tarpit => {
                let (listener, endpoint) = listen()?;
                let found_at = self.node(&setup)?.found_at(endpoint);
                let drops = self.drops();
                (
                    found_at,
                    serve(listener, move |guest| drip(guest, drops.clone())),
                )
            }
            Nature::Liar => {
                let (listener, endpoint) = listen()?;
                let lies = lies.to_vec();
                let home = match self.realm.way {
                    Way::Peers => gossiping(self.teller::<Zcash>(LIAR)?, listener, lies),
                    Way::Seeders => gossiping(self.teller::<Decred>(LIAR)?, listener, lies),
                    Way::Discovery => Home::Elsewhere,
                };
                (endpoint.into(), home)
            }
            Nature::ClosedPort | Nature::Lie => {
                let (home, endpoint) = vacant()?;
                let nobody = self.node(&setup)?;
                (nobody.found_at(endpoint), home)
            }
            Nature::Ourselves => {
                let us = self.node(&self.setup(self.key.clone()))?;
                (us.found_at(self.endpoint), Home::Elsewhere)
            }
            Nature::Stranger => return Err(misused("strangers come by themselves")),
        };
        // Nobody finds himself: our own address is told to us by others.
        let neighbourhood = self
            .neighbourhood
            .as_ref()
            .filter(|_| !matches!(nature, Nature::Ourselves));
        let beacon = neighbourhood
            .map(|(all, _)| all.join(&key, found_at.target.port))
            .transpose()?;
        Ok(Citizen {
            name,
            place: self.place,
            nature,
            found_at,
            is_remote: false,
            home,
            beacon,
        })
    }

    /// A node that greets as it should.
    fn greeting(
        &self,
        nature: Nature,
        setup: Setup,
        endpoint: Endpoint,
    ) -> Result<Arc<dyn AnyNode>, Failed> {
        let healthy: Option<&Healthy> = match nature {
            Nature::Healthy(healthy) => Some(healthy),
            Nature::Faulty(_)
            | Nature::Flapping
            | Nature::Tarpit
            | Nature::Liar
            | Nature::Lie
            | Nature::ClosedPort
            | Nature::Stranger
            | Nature::Ourselves => None,
        };
        let mut node = self.node(&Setup {
            options: healthy.map_or(setup.options, Healthy::options),
            ..setup
        })?;
        if let Some(healthy) = healthy {
            node.set_agent(healthy.agent.into());
        }
        node.set_listen_addr(Some(endpoint));
        Ok(node.into())
    }

    /// What the tarpit says: the beginning of a message that never ends.
    fn drops(&self) -> Vec<u8> {
        let chains = by_name(self.realm.network).map(|network| network.chains(&Tables::builtin()));
        let chains = chains.and_then(Result::ok).unwrap_or_default();
        let ours = chains
            .iter()
            .find(|chain| *chain.name == *self.realm.chain)
            .and_then(|chain| chain.magic);
        match ours {
            Some(magic) => [&magic[..], b"version\0\0\0\0\0"].concat(),
            // The length of an acknowledgement, and the beginning of its key.
            None => [&[0x01, 0xb0, 0x04][..], &[0x5a; 13]].concat(),
        }
    }

    /// A node that tells of others.
    fn teller<N: Builtin + Described>(&self, agent: &str) -> Result<Greeter<N>, Failed> {
        let mut greeter = Greeter::<N>::new(self.realm.chain).map_err(usage)?;
        N::set_agent(greeter.local_mut(), agent.into());
        Ok(greeter)
    }

    /// Our own node, as it greets.
    fn ourselves<N: Protocol + Described>(&self) -> Result<Greeter<N>, Failed> {
        let greeter = Greeter::<N>::new(self.realm.chain).map_err(usage)?;
        let mut greeter = greeter.with_key(&self.key);
        N::set_listen_addr(greeter.local_mut(), Some(self.endpoint));
        Ok(greeter)
    }

    /// Our own node starts, and looks for peers in the way of its network.
    pub(super) async fn sit_down(
        self,
        world: &mut World,
        (tell, gate): (&Tell, &mut Gate),
    ) -> Result<(), Failed> {
        let told = world.told_of(self.place, |nature| !matches!(nature, Nature::Lie));
        let (tell, place) = (tell.clone(), self.place);
        let to = ours::To { tell, place, gate };
        let ours = match self.realm.way {
            Way::Peers => {
                let (listener, endpoint) = listen()?;
                let seed = self.teller::<Zcash>("/seed:1.0.0/")?;
                world.seeders.push(gossiping(seed, listener, told));
                let greeter = self.ourselves::<Zcash>()?;
                let finder = find::peers(&greeter, [Target::from(endpoint)]);
                ours::start(greeter, self.listener, vec![Box::new(finder)], to)?
            }
            Way::Seeders => {
                let greeter = self.ourselves::<Decred>()?;
                let version = greeter.local().protocol_version;
                let halves = told.chunks(told.len().div_ceil(2).max(1));
                let mut seeds = Vec::new();
                for half in halves {
                    let (home, seed) = http_seed(half, version)?;
                    world.seeders.push(home);
                    seeds.push(seed);
                }
                let seeds: Box<dyn Finder> = Box::new(Seeds::new(Decred::NETWORK, seeds));
                ours::start(greeter, self.listener, vec![seeds], to)?
            }
            Way::Discovery => {
                let greeter = self.ourselves::<Ethereum>()?;
                let mut finders = Vec::new();
                if let Some((neighbourhood, scout)) = self.neighbourhood {
                    finders.push(Neighbourhood::finder(&scout).await?);
                    world.discovery.push((neighbourhood, scout));
                }
                let ours = ours::start(greeter, self.listener, finders, to)?;
                let mirrors = world.citizens.iter().filter(|citizen| {
                    citizen.place == self.place && matches!(citizen.nature, Nature::Ourselves)
                });
                for mirror in mirrors {
                    // We have stopped if there is no answer, and then nothing is right.
                    let _stopped = ours.pin(mirror.key(), mirror.endpoint()).await;
                }
                ours
            }
        };
        world.ours.push(ours);
        Ok(())
    }
}

fn http_seed(
    told: &[Endpoint],
    version: ProtocolVersion,
) -> Result<(Home, HttpsSeed<Route>), Failed> {
    let (listener, endpoint) = listen()?;
    let home = seeder(listener, told, version.0);
    let url: SeederUrl = format!("http://{endpoint}").parse().map_err(usage)?;
    let seed = HttpsSeed::new(url, 1, version.0, Route::Direct);
    Ok((home, seed))
}

/// Greets a guest and answers its pings, for as long as is said.
async fn welcome(node: Arc<dyn AnyNode>, guest: Connection<TcpStream>, stay: Option<Duration>) {
    // Why a guest was turned away or left is for the guest to tell in this world.
    if let Ok(mut peer) = node.greet(guest, Instant::now() + 2 * LIMIT).await {
        match stay {
            Some(stay) => drop(timeout(stay, peer.serve_pings()).await),
            None => drop(peer.serve_pings().await),
        }
    }
}

/// Says a byte now and then, until there are none, or the guest is gone.
async fn drip(guest: Connection<TcpStream>, drops: Vec<u8>) {
    let mut io = guest.io;
    for byte in drops {
        if io.write_all(&[byte]).await.is_err() {
            return;
        }
        sleep(DRIP).await;
    }
}

//! The seeds of the version/verack family, as finders.

use std::sync::Arc;

use peerage_core::{AcceptAll, Failure, Stage};
use peerage_find::dns::{DnsSeed, System};
use peerage_find::gossip::{Answer, GOSSIP, Greet, Peers};
use peerage_find::https::{HttpsSeed, SeederUrl, SeederUrlError};
use peerage_find::{Finder, Hearsay, Seeds, Told};
use peerage_net::{LinkError, Route, Target, TargetError};
use peerage_verack::dialect::Message;
use peerage_verack::message::Listed;
use tokio::time::{Instant, timeout_at};

use crate::family::Builtin;
use crate::peer::{LinkErrorOf, Peer};
use crate::{Greeter, Protocol};

/// Why the seeds of a chain's table cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// A DNS seed is no host.
    #[error("the DNS seed {seed} cannot be asked: {error}")]
    Dns {
        /// The seed.
        seed: Box<str>,
        /// What is wrong with it.
        error: TargetError,
    },
    /// An HTTPS seeder is no URL.
    #[error("the seeder {seed} cannot be asked: {error}")]
    Https {
        /// The seeder.
        seed: Box<str>,
        /// What is wrong with it.
        error: SeederUrlError,
    },
}

/// The finders that ask the seeds of the chain's table, by the route of `greeter`.
///
/// # Privacy
/// Through a proxy no name is ever resolved here: seeders are reached by their names, and a DNS seed
/// is taken for a peer that is asked for others, as its addresses are peers.
///
/// # Errors
/// When the table names what is no seed.
pub fn seeds<N: Builtin>(greeter: &Greeter<N>) -> Result<Vec<Box<dyn Finder>>, SeedError> {
    let chain = &greeter.local().chain;
    let network = <N as Protocol>::NETWORK;
    let mut finders: Vec<Box<dyn Finder>> = Vec::new();
    let named = |seed: &str| {
        Target::parse(seed, chain.port).map_err(|error| SeedError::Dns {
            seed: seed.into(),
            error,
        })
    };
    let dns: Result<Vec<_>, _> = chain.dns_seeds.iter().map(|seed| named(seed)).collect();
    let dns = dns?;
    if !dns.is_empty() {
        finders.push(match greeter.route() {
            Route::Direct => {
                let seeds = dns.into_iter().map(|seed| DnsSeed::new(seed, System));
                Box::new(Seeds::new(network, seeds))
            }
            Route::Socks5(_) | Route::By(_) => Box::new(peers(greeter, dns)),
        });
    }
    let https = chain.https_seeds.iter().map(|seed| {
        let url = seeder_url(seed)?;
        let version = greeter.local().protocol_version.0;
        Ok(HttpsSeed::new(
            url,
            NODE_NETWORK,
            version,
            greeter.route().clone(),
        ))
    });
    let https: Result<Vec<_>, SeedError> = https.collect();
    let https = https?;
    if !https.is_empty() {
        finders.push(Box::new(Seeds::new(network, https)));
    }
    Ok(finders)
}

/// A seeder as a table or a configuration names it: a URL, or a host, which is asked by HTTPS.
///
/// # Errors
/// When it is neither.
pub fn seeder_url(seed: &str) -> Result<SeederUrl, SeedError> {
    let url = if seed.contains("://") {
        seed.to_owned()
    } else {
        format!("https://{seed}")
    };
    url.parse().map_err(|error| SeedError::Https {
        seed: seed.into(),
        error,
    })
}

/// A finder that dials these peers, asks each for addresses, and lets it go.
pub fn peers<N: Builtin>(
    greeter: &Greeter<N>,
    targets: impl IntoIterator<Item = Target>,
) -> Seeds<Peers> {
    let greeter: Arc<dyn Greet> = Arc::new(greeter.clone());
    let peers = targets
        .into_iter()
        .map(|target| Peers::new(target, Arc::clone(&greeter)));
    Seeds::new(<N as Protocol>::NETWORK, peers)
}

/// Nodes that serve blocks, on every network of the family.
const NODE_NETWORK: u64 = 1;

/// How many messages of a peer are read while its addresses are waited for.
const MAX_MESSAGES: usize = 64;

/// A peer may announce itself before it answers; that alone is not taken for the answer.
const LEAST_ANSWER: usize = 2;

impl<N: Builtin> Greet for Greeter<N> {
    fn ask<'a>(&'a self, target: &'a Target, deadline: Instant) -> Answer<'a> {
        Box::pin(async move {
            let to = target.clone().into();
            let peer = self.dial_to(&to, AcceptAll, deadline).await;
            let mut peer = peer.map_err(|error| error.reason())?;
            let mut found = Vec::new();
            let heard = timeout_at(deadline, hear(&mut peer, &mut found)).await;
            let doing = Stage::Find(GOSSIP.0);
            let trouble = match heard {
                Ok(heard) => heard.err(),
                Err(_) => Some(LinkErrorOf::<N>::TimedOut { doing }),
            };
            match trouble {
                // Whoever told of somebody has answered, however it ended.
                Some(error) if found.is_empty() => Err(error.reason()),
                _ => Ok(found.iter().map(told).collect()),
            }
        })
    }
}

/// Asks for addresses and collects them until an answer is there.
async fn hear<N: Builtin>(
    peer: &mut Peer<N>,
    found: &mut Vec<Listed>,
) -> Result<(), LinkErrorOf<N>> {
    peer.send(&N::Message::get_addr()).await?;
    for _ in 0..MAX_MESSAGES {
        let message = peer.recv().await?;
        if let Some(nonce) = message.ping_nonce() {
            peer.send(&N::Message::pong(nonce)).await?;
        }
        if let Some(listed) = message.listed() {
            found.extend(listed);
            if found.len() >= LEAST_ANSWER {
                return Ok(());
            }
        }
    }
    Err(LinkError::Flood {
        doing: Stage::Find(GOSSIP.0),
        limit: MAX_MESSAGES,
    })
}

fn told(listed: &Listed) -> Told {
    Told {
        endpoint: listed.endpoint,
        says: Hearsay {
            services: Some(listed.services.0),
            protocol_version: None,
            last_seen: Some(listed.time),
        },
    }
}

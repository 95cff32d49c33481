//! Who lives in the small world: what they are, say, and deserve.

use peerage::Kind;
use peerage::faults::Fault;
use peerage::networks::{Capability, Head, Options, PeerFacts};

use super::ledger::Account;

/// How the nodes of a network become known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A peer is asked for others, by getaddr.
    Peers,
    /// Seeders are asked over HTTP.
    Seeders,
    /// Node discovery v5.
    Discovery,
}

impl Way {
    /// In a few words.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Peers => "a seed peer",
            Self::Seeders => "two seeders",
            Self::Discovery => "discovery v5",
        }
    }
}

/// One network's part of the world.
#[derive(Debug)]
pub(super) struct Realm {
    pub(super) network: &'static str,
    pub(super) chain: &'static str,
    pub(super) way: Way,
    /// How many healthy nodes it has; they take turns in what they say of themselves.
    pub(super) population: usize,
    pub(super) healthy: [Healthy; 3],
}

/// A healthy node, as it is and as it must be found.
#[derive(Debug)]
pub(super) struct Healthy {
    pub(super) name: &'static str,
    pub(super) agent: &'static str,
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

pub(super) static REALMS: [Realm; 3] = [
    Realm {
        network: "zcash",
        chain: "regtest",
        way: Way::Peers,
        population: 15,
        healthy: [
            version("alder", "/Alder:4.2.0/", 170_190, 0b001, 1207),
            version("birch", "/Birch:0.9.1/", 170_160, 0b101, 1207),
            version("cedar", "/Cedar:2.0-rc1/", 170_150, 0b000, 988),
        ],
    },
    Realm {
        network: "decred",
        chain: "simnet",
        way: Way::Seeders,
        population: 15,
        healthy: [
            version("hazel", "/hazel:1.8.3/", 11, 0b001, 431),
            version("maple", "/maple:2.0.5/", 12, 0b101, 431),
            version("rowan", "/rowan:2.1.6/", 12, 0b101, 430),
        ],
    },
    Realm {
        network: "ethereum",
        chain: "hoodi",
        way: Way::Discovery,
        population: 30,
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

impl Healthy {
    /// What it says of itself besides its software.
    pub(super) fn options(&self) -> Options {
        self.claims.options()
    }

    /// Whether a peer's own words are what this node says of itself.
    fn is(&self, facts: &PeerFacts) -> bool {
        facts.agent == self.agent.into() && self.claims.are_those_of(facts)
    }
}

/// The faulty ones, of whom every network has one each if its peers can be broken so.
pub(super) const FAULTY: [(&str, Nature); 17] = [
    ("relic", Nature::Faulty(Fault::Obsolete)),
    ("stray", Nature::Faulty(Fault::WrongNetwork)),
    ("alien", Nature::Faulty(Fault::WrongGenesis)),
    ("heretic", Nature::Faulty(Fault::WrongFork)),
    ("mimic", Nature::Faulty(Fault::WrongIdentity)),
    ("packed", Nature::Faulty(Fault::Full)),
    ("torrent", Nature::Faulty(Fault::Flooding)),
    ("babel", Nature::Faulty(Fault::Garbage)),
    ("ghost", Nature::Faulty(Fault::Closing)),
    ("moth", Nature::Flapping),
    // Before the liar, who must know them.
    ("mirage", Nature::Lie),
    ("phantom", Nature::Lie),
    ("liar", Nature::Liar),
    ("void", Nature::ClosedPort),
    ("mirror", Nature::Ourselves),
    ("mute", Nature::Faulty(Fault::Silent)),
    ("bog", Nature::Tarpit),
];

/// Whose story is told in full: it shows what a program that asks for a chain's name cannot see.
pub(super) const EXPLAINED: &str = "heretic";

/// What a citizen is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nature {
    /// A node as it should be.
    Healthy(&'static Healthy),
    /// A node that breaks on purpose.
    Faulty(Fault),
    /// It greets, is gone a moment later, and is there again.
    Flapping,
    /// It says a byte a second.
    Tarpit,
    /// It greets as it should, and tells of addresses where nobody is.
    Liar,
    /// An address that only the liar tells of.
    Lie,
    /// An address where nobody listens.
    ClosedPort,
    /// The address of the very node that dials.
    Ourselves,
    /// Its own record says that it follows another chain, so nobody dials it.
    Stranger,
}

impl Nature {
    pub(super) const fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy(_))
    }

    /// Whether it is to be kept, whatever else is to be said of it.
    pub(super) const fn is_kept(self) -> bool {
        matches!(self, Self::Healthy(_) | Self::Liar)
    }

    /// Whether what our node found is what it deserves. A healthy node must also be found as it is.
    pub(super) fn is_right(self, account: &Account) -> bool {
        let greeted = account.facts.as_ref();
        let ended = account.ended.as_ref();
        let ended_so = ended.is_some_and(|ended| Some(ended.reason.kind) == self.deserves());
        match self {
            Self::Healthy(healthy) => {
                account.is_active && greeted.is_some_and(|facts| healthy.is(facts))
            }
            Self::Liar => account.is_active,
            // Nobody hears of it: that it was never dialled is in its story.
            Self::Stranger => greeted.is_none() && ended.is_none(),
            Self::Flapping => ended_so && ended.is_some_and(|ended| ended.was_peer),
            Self::Faulty(_) | Self::Tarpit | Self::Lie | Self::ClosedPort | Self::Ourselves => {
                greeted.is_none() && ended_so
            }
        }
    }

    /// The kind of reason it deserves; none if it is to be kept.
    pub(super) const fn deserves(self) -> Option<Kind> {
        match self {
            Self::Healthy(_) | Self::Liar => None,
            Self::Faulty(fault) => Some(fault.expected()),
            Self::Flapping => Some(Kind::Closed),
            Self::Tarpit => Some(Kind::Timeout),
            Self::Stranger => Some(Kind::WrongFork),
            Self::Lie | Self::ClosedPort => Some(Kind::ConnectionRefused),
            Self::Ourselves => Some(Kind::SelfConnection),
        }
    }

    /// Whether its own claims exclude it, so that it is never dialled.
    pub(super) const fn is_unfit(self) -> bool {
        matches!(self, Self::Stranger)
    }

    /// In at most 20 columns.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Healthy(_) => "a healthy node",
            Self::Faulty(fault) => fault.in_words(),
            Self::Flapping => "greets, then drops",
            Self::Tarpit => "a byte a second",
            Self::Liar => "tells of mirages",
            Self::Lie => "told by the liar",
            Self::ClosedPort => "nobody listens there",
            Self::Ourselves => "our own address",
            Self::Stranger => "record: other chain",
        }
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
                FAULTY.iter().any(|(_, nature)| faulty(*nature)),
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

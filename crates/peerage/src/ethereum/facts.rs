//! What a peer on Ethereum says of itself.

use peerage_ethereum::eth::Progress;
use peerage_ethereum::fork::Relation;
use peerage_ethereum::{Capability, ForkId, PeerInfo};

use crate::destination::PeerKey;
use crate::facts::{About, Fact, PeerFacts};

/// What a peer on Ethereum says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthereumFacts {
    /// Who it is: the key that it proved.
    pub id: PeerKey,
    /// The p2p version it speaks.
    pub p2p_version: u64,
    /// What it speaks.
    pub capabilities: Vec<Capability>,
    /// What both sides speak.
    pub shared: Vec<Capability>,
    /// Its chain, where eth is shared.
    pub chain: Option<ChainClaims>,
}

/// What a peer says of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainClaims {
    /// The version of eth agreed on.
    pub eth_version: u32,
    /// Its network.
    pub network_id: u64,
    /// The hash of its block 0.
    pub genesis: [u8; 32],
    /// The forks it follows.
    pub fork_id: ForkId,
    /// The name of the last fork it has passed.
    pub fork: Box<str>,
    /// Compared with us: `behind`, `same` or `ahead`.
    pub relation: &'static str,
    /// The earliest block it serves, from eth/69.
    pub earliest: Option<u64>,
    /// The hash of its best block.
    pub best_hash: [u8; 32],
}

pub(super) fn facts(info: &PeerInfo, early: usize) -> PeerFacts {
    let chain = info.chain.as_ref();
    let range = chain.and_then(|chain| match chain.status.progress {
        Progress::Range(range) => Some(range),
        Progress::Best { .. } => None,
    });
    let claims = chain.map(|chain| ChainClaims {
        eth_version: chain.status.version,
        network_id: chain.status.network_id,
        genesis: chain.status.genesis,
        fork_id: chain.status.fork_id,
        fork: chain.fork.clone(),
        relation: match chain.standing.relation {
            Relation::Behind => "behind",
            Relation::Same => "same",
            Relation::Ahead => "ahead",
        },
        earliest: range.map(|range| range.earliest),
        best_hash: *chain.status.progress.hash(),
    });
    PeerFacts {
        addr: info.addr.to_string(),
        agent: info.hello.client_id.clone(),
        height: range.map(|range| range.latest),
        dropped: 0,
        early,
        rtt: None,
        about: About::Ethereum(Box::new(EthereumFacts {
            id: PeerKey(info.id.0),
            p2p_version: info.hello.p2p_version,
            capabilities: info.hello.capabilities.clone(),
            shared: info.shared.clone(),
            chain: claims,
        })),
    }
}

impl EthereumFacts {
    pub(crate) fn fields(&self) -> Vec<(&'static str, Fact)> {
        let chain = self.chain.as_ref();
        let int = |value: Option<u64>| {
            let value = value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
            value.map_or(Fact::Unknown, Fact::Int)
        };
        let text = |value: Option<String>| value.map_or(Fact::Unknown, Fact::Text);
        vec![
            ("id", Fact::Text(self.id.to_string())),
            ("p2p_version", int(Some(self.p2p_version))),
            ("capabilities", Fact::List(listed(&self.capabilities))),
            ("shared", Fact::List(listed(&self.shared))),
            ("negotiated", int(chain.map(|c| c.eth_version.into()))),
            ("network_id", int(chain.map(|c| c.network_id))),
            ("genesis", text(chain.map(|c| hash(&c.genesis)))),
            ("fork_hash", text(chain.map(|c| c.fork_id.hash.to_string()))),
            ("fork_next", int(chain.map(|c| c.fork_id.next))),
            ("fork", text(chain.map(|c| c.fork.to_string()))),
            ("fork_relation", text(chain.map(|c| c.relation.to_owned()))),
            ("earliest", int(chain.and_then(|c| c.earliest))),
            ("best_hash", text(chain.map(|c| hash(&c.best_hash)))),
        ]
    }

    pub(crate) fn notes(&self, facts: &PeerFacts) -> Vec<String> {
        let speaks = self.speaks();
        let status = match &self.chain {
            None => "no eth, so no status".to_owned(),
            Some(chain) => format!(
                "network {}  fork {} ({})  {}",
                chain.network_id,
                chain.fork,
                chain.fork_id,
                self.head(facts)
            ),
        };
        vec![
            format!("proved the key {}", short(&self.id)),
            format!(
                "{}  speaks {}  sharing {speaks}",
                facts.agent,
                listed(&self.capabilities).join(", ")
            ),
            status,
        ]
    }

    pub(crate) fn speaks(&self) -> String {
        listed(&self.shared).join(", ")
    }

    pub(crate) fn brief(&self, facts: &PeerFacts) -> String {
        match &self.chain {
            None => self.speaks(),
            Some(chain) => format!("{}  {}  {}", self.speaks(), chain.fork, self.head(facts)),
        }
    }

    pub(crate) fn in_words(&self, facts: &PeerFacts) -> String {
        match &self.chain {
            None => format!("speaks {}", self.speaks()),
            Some(chain) => format!(
                "speaks {} at fork {}, {}",
                self.speaks(),
                chain.fork,
                self.head(facts)
            ),
        }
    }

    /// Its head, as far as it tells.
    fn head(&self, facts: &PeerFacts) -> String {
        match (facts.height, &self.chain) {
            (Some(height), _) => format!("head {height}"),
            (None, Some(chain)) => format!("head 0x{}…", &hash(&chain.best_hash)[2..10]),
            (None, None) => String::new(),
        }
    }
}

fn listed(capabilities: &[Capability]) -> Vec<String> {
    capabilities.iter().map(ToString::to_string).collect()
}

fn hash(bytes: &[u8; 32]) -> String {
    let digits = bytes.map(|byte| format!("{byte:02x}"));
    format!("0x{}", digits.concat())
}

/// The first digits of a key: enough for a line that people read.
fn short(key: &PeerKey) -> String {
    let mut digits = key.to_string();
    digits.truncate(16);
    digits + "…"
}

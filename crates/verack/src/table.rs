//! Chains as data: magics, ports, upgrades and minimum versions, one TOML file per network.
//!
//! The files are compiled in; a folder of files of the same names replaces them at run time, so a
//! new upgrade needs no release. A table is a value: load a new one, hand it to new handshakes.

use std::sync::Arc;

use peerage_core::{Chain, Network};
use serde::Deserialize;

use crate::version::{Height, ProtocolVersion};

/// One network's chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The protocol version we speak.
    pub protocol_version: ProtocolVersion,
    /// The chains, in the order of the file; the first is the main one.
    pub chains: Vec<Arc<ChainTable>>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainTable {
    /// Its name.
    pub name: Chain,
    /// Its magic, in wire order.
    pub magic: [u8; 4],
    /// Its customary TCP port.
    pub port: u16,
    /// The least protocol version accepted, whatever the height.
    pub initial_minimum: ProtocolVersion,
    /// Hosts, with a port where it is not the customary one, whose addresses are peers.
    pub dns_seeds: Vec<Box<str>>,
    /// Hosts that list peers over HTTPS.
    pub https_seeds: Vec<Box<str>>,
    /// Upgrades in the order of their heights.
    pub upgrades: Vec<Upgrade>,
}

/// A change of the chain's rules at a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Its name.
    pub name: Box<str>,
    /// The consensus branch it opens.
    pub branch_id: Option<[u8; 4]>,
    /// The first block under the new rules.
    pub height: Height,
    /// The least protocol version of a peer that follows them.
    pub minimum: ProtocolVersion,
    /// Not final: shown, but no peer is refused because of it.
    pub provisional: bool,
}

impl ChainTable {
    /// The upgrade in force at `height`, a provisional one included.
    pub fn upgrade_at(&self, height: Height) -> Option<&Upgrade> {
        self.upgrades
            .iter()
            .rev()
            .find(|upgrade| upgrade.height <= height)
    }

    /// The least protocol version to accept when the best block is at `tip`.
    ///
    /// The initial minimum applies always; a final upgrade raises it once it is active. A
    /// provisional one does not: its height may still move, and refusing honest peers because of a
    /// guess would cut us off.
    pub fn minimum_version(&self, tip: Option<Height>) -> ProtocolVersion {
        let active = tip.and_then(|tip| {
            let past = self.upgrades.iter().filter(|upgrade| upgrade.height <= tip);
            past.filter(|upgrade| !upgrade.provisional)
                .map(|upgrade| upgrade.minimum)
                .max()
        });
        active.map_or(self.initial_minimum, |active| {
            active.max(self.initial_minimum)
        })
    }

    /// The latest upgrade whose rules a peer of this version knows.
    pub fn upgrade_known_by(&self, version: ProtocolVersion) -> Option<&Upgrade> {
        self.upgrades
            .iter()
            .rev()
            .find(|upgrade| upgrade.minimum <= version)
    }
}

impl Table {
    /// Reads a table from TOML text, which must be about `network`.
    ///
    /// # Errors
    /// When the text is no such table; the message says where.
    pub fn parse(network: Network, text: &str) -> Result<Self, TableError> {
        let file: File = toml::from_str(text).map_err(|error| TableError::Syntax {
            network,
            error: Box::new(error),
        })?;
        if file.network != network.0 {
            return Err(TableError::OtherNetwork {
                network,
                got: file.network.into(),
            });
        }
        if file.chain.is_empty() {
            return Err(TableError::NoChain { network });
        }
        let protocol_version = ProtocolVersion(file.protocol_version);
        let chains = file.chain.into_iter();
        let chains: Vec<Arc<ChainTable>> = chains
            .map(|chain| chain.check(network).map(Arc::new))
            .collect::<Result<_, _>>()?;
        for chain in &chains {
            let minimum = chain.minimum_version(Some(Height(u32::MAX)));
            if protocol_version < minimum {
                let chain = chain.name.as_str().into();
                return Err(TableError::OursTooOld {
                    network,
                    chain,
                    protocol_version,
                    minimum,
                });
            }
        }
        Ok(Self {
            protocol_version,
            chains,
        })
    }

    /// The chain of that name.
    pub fn chain(&self, name: &str) -> Option<&Arc<ChainTable>> {
        self.chains.iter().find(|chain| chain.name.as_str() == name)
    }
}

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Not TOML, or a key that is unknown, missing or of the wrong type.
    #[error("the table of {network} cannot be read")]
    Syntax {
        /// The network.
        network: Network,
        /// Where and why.
        #[source]
        error: Box<toml::de::Error>,
    },
    /// A table of another network.
    #[error("expected the table of {network}, this one is of {got:?}")]
    OtherNetwork {
        /// The network expected.
        network: Network,
        /// The name in the file.
        got: Box<str>,
    },
    /// No chain at all.
    #[error("the table of {network} lists no chain")]
    NoChain {
        /// The network.
        network: Network,
    },
    /// A value that is not hexadecimal of the right length.
    #[error("{network} {chain}: {key} must be {digits} hexadecimal digits, not {got:?}")]
    NotHex {
        /// The network.
        network: Network,
        /// The chain.
        chain: Box<str>,
        /// The key.
        key: &'static str,
        /// How many digits it takes.
        digits: usize,
        /// What stands there.
        got: Box<str>,
    },
    /// The version we are to speak is one that we would refuse.
    #[error(
        "{network} {chain}: protocol_version {protocol_version} is below the least accepted, {minimum}"
    )]
    OursTooOld {
        /// The network.
        network: Network,
        /// The chain.
        chain: Box<str>,
        /// The version we are to speak.
        protocol_version: ProtocolVersion,
        /// The least that is accepted once every final upgrade is active.
        minimum: ProtocolVersion,
    },
    /// Upgrades out of order.
    #[error("{network} {chain}: upgrade {upgrade} is not above the one before it")]
    NotAscending {
        /// The network.
        network: Network,
        /// The chain.
        chain: Box<str>,
        /// The first upgrade out of order.
        upgrade: Box<str>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    network: String,
    protocol_version: u32,
    #[serde(default)]
    chain: Vec<ChainEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainEntry {
    name: Box<str>,
    magic: Box<str>,
    port: u16,
    initial_minimum: u32,
    #[serde(default)]
    dns_seeds: Vec<Box<str>>,
    #[serde(default)]
    https_seeds: Vec<Box<str>>,
    #[serde(default)]
    upgrade: Vec<UpgradeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpgradeEntry {
    name: Box<str>,
    branch_id: Option<Box<str>>,
    height: u32,
    minimum: u32,
    #[serde(default)]
    provisional: bool,
}

impl ChainEntry {
    fn check(self, network: Network) -> Result<ChainTable, TableError> {
        let four = |key: &'static str, text: &str| {
            four_bytes(text).ok_or_else(|| TableError::NotHex {
                network,
                chain: self.name.clone(),
                key,
                digits: 8,
                got: text.into(),
            })
        };
        let magic = four("magic", &self.magic)?;
        let mut upgrades: Vec<Upgrade> = Vec::with_capacity(self.upgrade.len());
        for entry in self.upgrade {
            let branch_id = entry
                .branch_id
                .map(|text| four("branch_id", &text))
                .transpose()?;
            let upgrade = Upgrade {
                name: entry.name,
                branch_id,
                height: Height(entry.height),
                minimum: ProtocolVersion(entry.minimum),
                provisional: entry.provisional,
            };
            if upgrades
                .last()
                .is_some_and(|last| last.height >= upgrade.height)
            {
                let (chain, upgrade) = (self.name.clone(), upgrade.name);
                return Err(TableError::NotAscending {
                    network,
                    chain,
                    upgrade,
                });
            }
            upgrades.push(upgrade);
        }
        Ok(ChainTable {
            name: Chain(self.name),
            magic,
            port: self.port,
            initial_minimum: ProtocolVersion(self.initial_minimum),
            dns_seeds: self.dns_seeds,
            https_seeds: self.https_seeds,
            upgrades,
        })
    }
}

fn four_bytes(text: &str) -> Option<[u8; 4]> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = digits
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()?;
    Some(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: Network = Network("zcash");

    fn parse(chain: &str) -> Result<Table, TableError> {
        let text = format!("network = \"zcash\"\nprotocol_version = 7\n{chain}");
        Table::parse(NETWORK, &text)
    }

    const CHAIN: &str = "[[chain]]\nname=\"m\"\nmagic=\"01020304\"\nport=1\ninitial_minimum=5\n";

    #[test]
    fn the_minimum_follows_the_tip_but_not_provisional_upgrades() {
        let table = crate::zcash::builtin_table();
        let mainnet = table.chain("mainnet").unwrap();
        let minimum = |tip: Option<u32>| mainnet.minimum_version(tip.map(Height)).0;
        assert_eq!(minimum(None), 170_150);
        assert_eq!(
            minimum(Some(0)),
            170_150,
            "the initial minimum holds below every upgrade"
        );
        assert_eq!(minimum(Some(3_428_142)), 170_150);
        assert_eq!(minimum(Some(3_428_143)), 170_160);
        assert_eq!(minimum(Some(u32::MAX)), 170_160, "NU7 is provisional");
        assert_eq!(&*mainnet.upgrade_at(Height(u32::MAX)).unwrap().name, "NU7");
    }

    #[test]
    fn a_bad_table_says_what_is_wrong_with_it() {
        let unknown = parse(&format!("{CHAIN}prot = 1")).unwrap_err();
        assert!(
            matches!(&unknown, TableError::Syntax { error, .. } if error.to_string().contains("prot"))
        );
        assert!(matches!(parse(""), Err(TableError::NoChain { .. })));
        let magic = CHAIN.replace("01020304", "0102030g");
        assert!(matches!(
            parse(&magic),
            Err(TableError::NotHex { key: "magic", .. })
        ));
        let twice = "[[chain.upgrade]]\nname=\"u\"\nheight=3\nminimum=6\n".repeat(2);
        assert!(matches!(
            parse(&format!("{CHAIN}{twice}")),
            Err(TableError::NotAscending { .. })
        ));
        let newer = "[[chain.upgrade]]\nname=\"u\"\nheight=3\nminimum=8\n";
        assert!(matches!(
            parse(&format!("{CHAIN}{newer}")),
            Err(TableError::OursTooOld { .. })
        ));
        let other = Table::parse(Network("decred"), "network=\"zcash\"\nprotocol_version=1");
        assert!(matches!(other, Err(TableError::OtherNetwork { .. })));
    }
}

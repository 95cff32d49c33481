//! Whose magic it is: what tells a wrong network from no network at all.

use std::fmt;
use std::sync::LazyLock;

use peerage_core::Network;

use crate::table::Table;

/// A chain of the compiled-in tables, known by its magic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Magic {
    network: Network,
    chain: &'static str,
}

impl Magic {
    /// The network.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The chain's name.
    pub const fn chain(&self) -> &'static str {
        self.chain
    }
}

impl fmt::Display for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.network, self.chain)
    }
}

impl fmt::Debug for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The compiled-in chain that owns `magic`, whatever its network.
pub fn identify(magic: [u8; 4]) -> Option<Magic> {
    // Constant data, parsed once.
    static TABLES: LazyLock<Vec<(Network, Table)>> = LazyLock::new(|| {
        vec![
            (crate::zcash::NETWORK, crate::zcash::builtin_table()),
            (crate::decred::NETWORK, crate::decred::builtin_table()),
        ]
    });
    TABLES.iter().find_map(|(network, table)| {
        let chain = table.chains.iter().find(|chain| chain.magic == magic)?;
        Some(Magic {
            network: *network,
            chain: chain.name.as_str(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_compiled_in_chains_share_a_magic() {
        let tables = [
            (crate::zcash::NETWORK, crate::zcash::builtin_table()),
            (crate::decred::NETWORK, crate::decred::builtin_table()),
        ];
        for (network, table) in &tables {
            for chain in &table.chains {
                let known = identify(chain.magic).unwrap();
                assert_eq!(
                    (known.network(), known.chain()),
                    (*network, chain.name.as_str())
                );
            }
        }
    }
}

//! The chain table: its rows, and what it says about mistakes.

use peerage_core::Network;
use peerage_core::text::Place;
use peerage_ethereum::fork::{Activation, Head};
use peerage_ethereum::table::{NETWORK, Table, TableError};

#[test]
fn every_row_is_the_published_one() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("vectors/ethereum.json")).unwrap();
    let table = Table::builtin();
    assert_eq!(table.chains[0].name.as_str(), "mainnet");
    let networks = vectors["networks"].as_object().unwrap();
    assert_eq!(table.chains.len(), networks.len());
    for (name, network) in networks {
        let chain = table.chain(name).unwrap();
        assert_eq!(Some(chain.network_id), network["network_id"].as_u64());
        assert_eq!(Some(chain.chain_id), network["chain_id"].as_u64());
        assert_eq!(chain.port, 30303);
        let genesis = format!("0x{}", hex::encode(chain.genesis_hash));
        assert_eq!(Some(&*genesis), network["genesis_hash"].as_str());
        assert_eq!(table.by_genesis(&chain.genesis_hash), Some(chain));
        let boot_nodes: Vec<_> = chain.boot_nodes.iter().map(ToString::to_string).collect();
        assert_eq!(serde_json::json!(boot_nodes), network["enodes"]);
        assert_eq!(
            Some(&*chain.dns_lists[0]),
            network["dns_discovery"].as_str()
        );
        let mut forks = chain.schedule.forks().iter();
        for fork in network["block_forks"].as_array().unwrap() {
            let found = forks.next().unwrap();
            assert_eq!(Some(&*found.name), fork["name"].as_str());
            assert_eq!(found.at, Activation::Block(fork["block"].as_u64().unwrap()));
        }
        for fork in network["time_forks"].as_array().unwrap() {
            let found = forks.next().unwrap();
            assert_eq!(Some(&*found.name), fork["name"].as_str());
            assert_eq!(
                found.at,
                Activation::Time(fork["timestamp"].as_u64().unwrap())
            );
        }
        assert_eq!(forks.next(), None);
    }
    assert_eq!(table.chain("mainnet").unwrap().discv5_records.len(), 15);
}

const PRIVATE: &str = r#"network = "ethereum"

[[chain]]
name = "devnet"
network_id = 3503995874084926
chain_id = 7
genesis_hash = "0x1111111111111111111111111111111111111111111111111111111111111111"
genesis_time = 1700000000

[[chain.fork]]
name = "london"
block = 0

[[chain.fork]]
name = "shanghai"
time = 1700000000

[[chain.fork]]
name = "cancun"
time = 1700000500
"#;

#[test]
fn a_private_chain_is_a_chain_like_any_other() {
    let table = Table::parse(NETWORK, PRIVATE).unwrap();
    let chain = table.chain("devnet").unwrap();
    assert_eq!(chain.network_id, 3_503_995_874_084_926);
    assert_eq!(chain.port, 30303);
    let mut filter = chain.fork_filter(Head::default());
    assert_eq!(filter.fork_name(), "genesis");
    assert_eq!(filter.fork_id().next, 1_700_000_500);
    let head = Head {
        number: 50,
        time: 1_700_000_500,
    };
    assert_eq!(&*filter.set_head(head).unwrap().fork, "cancun");
    assert_eq!(filter.fork_id().next, 0);
}

/// The error of the private chain with one change, and its words in one line.
fn broken(from: &str, to: &str) -> (TableError, String) {
    assert!(PRIVATE.contains(from));
    let error = Table::parse(NETWORK, &PRIVATE.replacen(from, to, 1)).unwrap_err();
    let words = error.to_string();
    assert!(!words.contains('\n'), "{words}");
    (error, words)
}

#[test]
fn a_mistake_is_named_with_its_line_and_column_and_what_to_do() {
    let (error, words) = broken("chain_id", "chian_id");
    assert!(matches!(
        error,
        TableError::Syntax {
            at: Some(Place { line: 6, column: 1 }),
            ..
        }
    ));
    assert!(
        words.contains("line 6, column 1: unknown field `chian_id`"),
        "{words}"
    );
    assert!(words.contains("`chain_id`"), "{words}");

    let (_, words) = broken("chain_id = 7", "chain_id = \"7\"");
    assert!(words.contains("line 6, column 12"), "{words}");
    let (_, words) = broken("chain_id = 7", "chain_id = ");
    assert!(words.contains("line 6, column 1"), "{words}");
    let (_, words) = broken("chain_id = 7\n", "");
    assert!(words.contains("missing field `chain_id`"), "{words}");

    let (error, words) = broken("0x11", "0x1");
    assert!(matches!(
        error,
        TableError::NotHex {
            at: Place {
                line: 7,
                column: 16
            },
            ..
        }
    ));
    assert!(
        words.starts_with("line 7, column 16: ethereum devnet: genesis_hash"),
        "{words}"
    );

    let (error, _) = broken("block = 0", "block = 0\ntime = 5");
    assert!(matches!(
        error,
        TableError::Activation {
            at: Place { line: 11, .. },
            ..
        }
    ));
    let (error, _) = broken("block = 0", "");
    assert!(matches!(
        error,
        TableError::Activation {
            at: Place { line: 11, .. },
            ..
        }
    ));
    let (error, words) = broken("time = 1700000500", "time = 170000050");
    assert!(matches!(
        error,
        TableError::NotAscending {
            at: Place { line: 19, .. },
            ..
        }
    ));
    assert!(words.contains("cancun"), "{words}");
    let (error, _) = broken("time = 1700000500", "block = 3");
    assert!(matches!(error, TableError::NotAscending { .. }));

    let (error, words) = broken(
        "chain_id = 7",
        "chain_id = 7\nboot_nodes = [\n  \"enode://abc@1.2.3.4:1\",\n]",
    );
    assert!(matches!(
        error,
        TableError::BootNode {
            at: Place { line: 8, column: 3 },
            ..
        }
    ));
    assert_eq!(
        words,
        "line 8, column 3: ethereum devnet: this boot node is no enode address"
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("has 3 characters"), "{source}");
    let (_, words) = broken("chain_id = 7", "chain_id = 7\ndns_lists = [\"all.x.org\"]");
    assert!(
        words.ends_with("an entry of dns_lists begins with enrtree://"),
        "{words}"
    );
    let (error, _) = broken("network = \"ethereum\"", "network = \"zcash\"");
    assert!(matches!(
        error,
        TableError::OtherNetwork {
            at: Place {
                line: 1,
                column: 11
            },
            ..
        }
    ));

    let none = Table::parse(NETWORK, "network = \"ethereum\"").unwrap_err();
    assert_eq!(none, TableError::NoChain { network: NETWORK });
    let chain = PRIVATE.split_once('\n').unwrap().1;
    let twice = Table::parse(NETWORK, &format!("{PRIVATE}{chain}")).unwrap_err();
    assert!(matches!(
        twice,
        TableError::ChainTwice {
            at: Place { line: 23, .. },
            ..
        }
    ));
    let other = Network("other");
    Table::parse(other, &PRIVATE.replace("\"ethereum\"", "\"other\"")).unwrap();
}

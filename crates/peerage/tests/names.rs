//! Networks, chains and peers by their names.

use std::collections::BTreeSet;

use peerage::networks::{
    AddressError, Capability, NETWORKS, NodeOption, PeerAddress, Setup, SetupError, UnknownScheme,
    by_name, by_scheme,
};
use peerage::{Decred, Ethereum, Failure, Greeter, Kind, Tables, Zcash};

use crate::common::{NEW_HEAD, eth, every_option};

#[test]
fn every_network_is_found_by_its_name_and_by_its_scheme() {
    for network in NETWORKS {
        let name = network.network().0;
        assert_eq!(by_name(name).unwrap().network().0, name);
        for scheme in network.schemes() {
            let address = format!("{scheme}anything");
            assert_eq!(by_scheme(&address).unwrap().network().0, name);
        }
        let example = network.address_of("host:1");
        assert_eq!(by_scheme(&example).unwrap().network().0, name);
    }
    let names: BTreeSet<_> = NETWORKS.iter().map(|n| n.network().0).collect();
    assert_eq!(names, BTreeSet::from(["decred", "ethereum", "zcash"]));
    for stranger in ["", "Zcash", "zec", "bitcoin", "zcash ", "eth", "enode"] {
        assert!(by_name(stranger).is_none(), "{stranger:?}");
    }
    for stranger in ["", "zec", "zcash://host", "http://host", "enode", "enr"] {
        assert!(by_scheme(stranger).is_none(), "{stranger:?}");
    }
}

#[test]
fn every_chain_there_is_makes_a_node() {
    let expected = [
        ("zcash", vec!["mainnet", "testnet", "regtest"]),
        ("decred", vec!["mainnet", "testnet3", "simnet", "regnet"]),
        ("ethereum", vec!["mainnet", "sepolia", "hoodi", "holesky"]),
    ];
    assert_eq!(expected.len(), NETWORKS.len());
    for (name, chains) in expected {
        let network = by_name(name).unwrap();
        let found = network.chains(&Tables::builtin()).unwrap();
        let names: Vec<_> = found.iter().map(|chain| &*chain.name).collect();
        assert_eq!(names, chains);
        for chain in found {
            let node = network.node(&Setup::new(&chain.name)).unwrap();
            assert_eq!(node.network(), network.network());
            assert_eq!((node.chain(), node.port()), (&*chain.name, chain.port));
        }
    }
}

#[test]
fn an_unknown_chain_is_told_with_those_there_are() {
    let error = Greeter::<Zcash>::new("simnet").unwrap_err();
    assert_eq!(
        error.to_string(),
        "zcash has no chain simnet; it has mainnet, testnet, regtest"
    );
    assert_eq!(error.got, "simnet".into());
    let error = Greeter::<Decred>::new("").unwrap_err();
    assert_eq!(&*error.known, "mainnet, testnet3, simnet, regnet");
    let error = Greeter::<Ethereum>::new("goerli").unwrap_err();
    assert_eq!(&*error.known, "mainnet, sepolia, hoodi, holesky");
    for network in NETWORKS {
        let Err(error) = network.node(&Setup::new("main\x1bnet")) else {
            panic!("there is no such chain");
        };
        assert!(matches!(error, SetupError::Chain(_)));
        let text = error.to_string();
        assert!(text.contains(r"main\x1bnet"), "escaped: {text}");
        let known = network.chains(&Tables::builtin()).unwrap();
        let known: Vec<_> = known.iter().map(|chain| &*chain.name).collect();
        assert!(text.contains(&known.join(", ")), "{text}");
        assert_eq!(error.kind(), Kind::Usage);
    }
}

/// Text that names a network, its key, and the target it is for.
const ADDRESSES: [(&str, Option<&str>, &str); 9] = [
    ("zec://host:1", Some("zcash"), "host:1"),
    ("dcr://[::1]:2", Some("decred"), "[::1]:2"),
    ("zec://host", Some("zcash"), "host:8233"),
    ("dcr://host", Some("decred"), "host:9108"),
    ("zec://host:1/", Some("zcash"), "host:1"),
    ("enode://KEY@host:1", Some("ethereum"), "host:1"),
    ("enode://KEY@[::1]", Some("ethereum"), "[::1]:30303"),
    ("host:1", None, "host:1"),
    ("[::1]:2", None, "[::1]:2"),
];

#[test]
fn an_address_is_a_network_and_a_target_and_a_key_where_peers_have_one() {
    let key = "0f".repeat(64);
    for (text, named, target) in ADDRESSES {
        let text = text.replace("KEY", &key);
        let address = PeerAddress::parse(&text).unwrap();
        assert_eq!(address.network.map(|network| network.0), named, "{text}");
        for network in NETWORKS {
            let node = network.node(&Setup::new("mainnet")).unwrap();
            let keyed = network.address_of("host").contains("KEY@");
            let read = node.destination(&text);
            if named.is_some_and(|name| name != network.network().0) {
                let error = read.unwrap_err();
                assert!(matches!(error, AddressError::OtherScheme { .. }), "{error}");
                assert_eq!(error.kind(), Kind::Usage);
                let (_, rest) = text.split_once("://").unwrap();
                let advice = format!("write {}", network.address_of(rest));
                assert!(error.to_string().ends_with(&advice), "{error}");
                continue;
            }
            if keyed && named.is_none() {
                let error = read.unwrap_err();
                assert!(matches!(error, AddressError::NoKey { .. }), "{error}");
                assert_eq!(error.kind(), Kind::Usage);
                let advice = format!("write {}", network.address_of(&text));
                assert!(error.to_string().ends_with(&advice), "{error}");
                continue;
            }
            let read = read.unwrap();
            let expected = keyed.then(|| key.parse().unwrap());
            assert_eq!(
                (read.target.to_string(), read.key),
                (target.into(), expected)
            );
            let shown = network.shown(&read);
            assert_eq!(shown, network.address_of(target).replace("KEY", &key));
            assert_eq!(node.destination(&shown), Ok(read), "it reads back");
            assert_eq!(
                PeerAddress::parse(&shown).unwrap().network,
                Some(network.network())
            );
        }
    }
    assert_eq!(PeerAddress::parse("").unwrap().network, None);
}

#[test]
fn an_address_of_another_network_is_answered_with_a_form_that_is_right() {
    let ethereum = by_name("ethereum").unwrap();
    let node = ethereum.node(&Setup::new("mainnet")).unwrap();
    let error = node.destination("zec://192.0.2.1:5").unwrap_err();
    let expected = "zec:// is no scheme of ethereum; write enode://KEY@192.0.2.1:5";
    assert_eq!(error.to_string(), expected);
    let zcash = by_name("zcash").unwrap();
    let node = zcash.node(&Setup::new("mainnet")).unwrap();
    let key = "0f".repeat(64);
    let enode = format!("enode://{key}@192.0.2.1:5");
    let error = node.destination(&enode).unwrap_err();
    assert!(error.to_string().contains("enode:// is no scheme of zcash"));
}

#[test]
fn an_unknown_scheme_is_told_with_those_there_are() {
    for (text, got) in [
        ("btc://host:1", "btc"),
        ("://host", ""),
        ("zcash://host", "zcash"),
        ("e\x1bvil://host", r"e\x1bvil"),
    ] {
        let error: UnknownScheme = PeerAddress::parse(text).unwrap_err();
        let expected =
            format!("{got}:// belongs to no network; there are enode://, enr:, zec://, dcr://");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), Kind::Usage);
    }
}

#[test]
fn an_option_that_a_network_does_not_have_is_refused_and_those_that_do_are_named() {
    let all = [
        (NodeOption::Services, "zcash, decred do"),
        (NodeOption::Height, "zcash, decred do"),
        (NodeOption::ProtocolVersion, "zcash, decred do"),
        (NodeOption::Head, "ethereum does"),
        (NodeOption::Capabilities, "ethereum does"),
    ];
    for network in NETWORKS {
        let mut setup = Setup::new("mainnet");
        setup.options = every_option(*network);
        network.node(&setup).map(drop).unwrap();
        for (option, known_by) in all {
            let mut setup = Setup::new("mainnet");
            let has = network.options().contains(&option);
            match option {
                NodeOption::Services => setup.options.services = Some(1),
                NodeOption::Height => setup.options.height = Some(1),
                NodeOption::ProtocolVersion => setup.options.protocol_version = Some(1),
                NodeOption::Head => setup.options.head = Some(NEW_HEAD),
                NodeOption::Capabilities => setup.options.capabilities = vec![eth(69)],
                _ => panic!("{option:?} has no value here"),
            }
            assert!(setup.options.given().eq([option]));
            let error = match network.node(&setup) {
                Ok(_) => {
                    assert!(has, "{} has no {option:?}", network.network());
                    continue;
                }
                Err(error) => error,
            };
            assert!(!has, "{} has {option:?}: {error}", network.network());
            assert!(matches!(&error, SetupError::Option { option: got, .. } if *got == option));
            assert_eq!(error.kind(), Kind::Usage);
            let expected = format!(
                "{} does not know the option {}; {known_by}: leave it out",
                network.network(),
                option.name()
            );
            assert_eq!(error.to_string(), expected);
        }
    }
}

#[test]
fn a_capability_that_ethereum_does_not_have_is_told_with_those_there_are() {
    let ethereum = by_name("ethereum").unwrap();
    for (name, version, right) in [
        ("eth", 68, true),
        ("eth", 72, true),
        ("snap", 1, true),
        ("eth", 67, false),
        ("eth", 73, false),
        ("snap", 3, false),
        ("les", 4, false),
        ("much-too-long-a-name", 1, false),
        ("", 1, false),
    ] {
        let mut setup = Setup::new("hoodi");
        let name = name.into();
        setup.options.capabilities = vec![Capability { name, version }];
        match ethereum.node(&setup) {
            Ok(_) => assert!(right, "{:?}", setup.options.capabilities),
            Err(error) => {
                assert!(!right, "{error}");
                assert!(matches!(error, SetupError::Value(_)));
                assert_eq!(error.kind(), Kind::Usage);
                let given = setup.options.capabilities[0].to_string();
                let expected = format!(
                    "{given} is no capability here: there are eth/68 to eth/72, snap/1 and snap/2"
                );
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}

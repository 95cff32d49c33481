//! Networks, chains and peers by their names.

use std::collections::BTreeSet;

use peerage::networks::{
    AddressError, Head, NETWORKS, NodeOption, PeerAddress, Setup, SetupError, UnknownScheme,
    by_name, by_scheme,
};
use peerage::{Decred, Failure, Greeter, Kind, Tables, Zcash};

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
    assert_eq!(names, BTreeSet::from(["decred", "zcash"]));
    for stranger in ["", "Zcash", "zec", "bitcoin", "zcash "] {
        assert!(by_name(stranger).is_none(), "{stranger:?}");
    }
    for stranger in ["", "zec", "zcash://host", "http://host"] {
        assert!(by_scheme(stranger).is_none(), "{stranger:?}");
    }
}

#[test]
fn every_chain_there_is_makes_a_node() {
    let expected = [
        ("zcash", vec!["mainnet", "testnet", "regtest"]),
        ("decred", vec!["mainnet", "testnet3", "simnet", "regnet"]),
    ];
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
    for network in NETWORKS {
        let Err(error) = network.node(&Setup::new("main\x1bnet")) else {
            panic!("there is no such chain");
        };
        assert!(matches!(error, SetupError::Chain(_)));
        let text = error.to_string();
        assert!(text.contains(r"main\x1bnet"), "escaped: {text}");
        assert!(text.contains("mainnet, test"), "{text}");
        assert_eq!(error.kind(), Kind::Usage);
    }
}

#[test]
fn an_address_is_a_network_and_a_target() {
    for (text, named, target) in [
        ("zec://host:1", Some("zcash"), "host:1"),
        ("dcr://[::1]:2", Some("decred"), "[::1]:2"),
        ("zec://host", Some("zcash"), "host:8233"),
        ("zec://host:1/", Some("zcash"), "host:1"),
        ("host:1", None, "host:1"),
        ("[::1]:2", None, "[::1]:2"),
    ] {
        let address = PeerAddress::parse(text).unwrap();
        assert_eq!(address.network.map(|network| network.0), named, "{text}");
        for network in NETWORKS {
            let read = network
                .node(&Setup::new("mainnet"))
                .unwrap()
                .destination(text);
            if named.is_some_and(|name| name != network.network().0) {
                let error = read.unwrap_err();
                assert!(matches!(error, AddressError::OtherScheme { .. }), "{error}");
                assert_eq!(error.kind(), Kind::Usage);
                let advice = format!("write {}", network.address_of(&text[6..]));
                assert!(error.to_string().ends_with(&advice), "{error}");
                continue;
            }
            let read = read.unwrap();
            assert_eq!((read.target.to_string(), read.key), (target.into(), None));
            let shown = network.shown(&read);
            assert_eq!(shown, network.address_of(target), "{text}");
            assert_eq!(
                PeerAddress::parse(&shown).unwrap().network,
                Some(network.network())
            );
        }
    }
    assert_eq!(PeerAddress::parse("").unwrap().network, None);
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
        let expected = format!("{got}:// belongs to no network; there are zec://, dcr://");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), Kind::Usage);
    }
}

#[test]
fn an_option_that_a_network_does_not_have_is_refused() {
    for network in NETWORKS {
        let mut setup = Setup::new("mainnet");
        setup.options.services = Some(1);
        setup.options.height = Some(1);
        network.node(&setup).map(drop).unwrap();
        let number = 1;
        setup.options.head = Some(Head { number, time: None });
        let error = network.node(&setup).map(drop).unwrap_err();
        let SetupError::Option { option, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*option, NodeOption::Head);
        assert_eq!(error.kind(), Kind::Usage);
        let expected = format!(
            "{} does not know the option head; no network does: leave it out",
            network.network()
        );
        assert_eq!(error.to_string(), expected);
    }
}

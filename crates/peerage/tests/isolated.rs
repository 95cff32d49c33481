//! An isolated node says nothing of itself, as the bytes on the wire show.

use std::collections::BTreeMap;

use peerage::core::Direction;
use peerage::networks::{AnyNetwork, AnyNode, Setup, by_name};
use peerage::{Dialogue, Kind, NodeKey, UnixTime};

use crate::common::{LONG, every_option, family, networks, probe, serves_one};

/// Something to tell about a node in every way there is.
fn talkative(network: &dyn AnyNetwork, isolated: bool) -> Setup {
    Setup {
        isolated,
        key: NodeKey::from_bytes([7; 32]),
        options: every_option(network),
        ..Setup::new("mainnet")
    }
}

fn talkative_node(network: &dyn AnyNetwork, isolated: bool) -> Box<dyn AnyNode> {
    let mut node = network.node(&talkative(network, isolated)).unwrap();
    node.set_agent("/talkative:9/".into());
    let addr: std::net::SocketAddr = "203.0.113.9:4444".parse().unwrap();
    node.set_listen_addr(Some(addr.into()));
    node
}

/// The first thing the node says to a healthy peer, from the tape.
async fn first_frame(network: &dyn AnyNetwork, node: &dyn AnyNode) -> Vec<u8> {
    let (target, _served) = serves_one(network.node(&Setup::new("mainnet")).unwrap().into());
    let probe = probe(node, &target, LONG).await;
    assert!(probe.verdict.is_ok(), "isolation is no hindrance");
    let Dialogue { chunks, cut, .. } = probe.dialogue.unwrap();
    assert!(!cut);
    assert_eq!(chunks[0].direction, Direction::Outbound);
    chunks[0].bytes.clone()
}

/// The fields of a version frame, by path.
fn fields(node: &dyn AnyNode, frame: &[u8]) -> BTreeMap<String, (usize, usize, String)> {
    let explained = node.explain(None, frame);
    assert_eq!(explained.command.as_deref(), Some("version"));
    assert_eq!(explained.error, None);
    let field = |f: peerage::networks::ExplainedField| (f.path, (f.offset, f.len, f.value));
    explained.fields.into_iter().map(field).collect()
}

/// The frame without what is fresh in every one: checksum, time and nonce.
fn lasting(node: &dyn AnyNode, frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[20..24].fill(0);
    for fresh in ["time", "nonce"] {
        let (offset, len, _) = fields(node, frame)[fresh].clone();
        bytes[offset..offset + len].fill(0);
    }
    bytes
}

#[tokio::test]
async fn isolated_nodes_of_the_family_cannot_be_told_apart() {
    for (network, chain) in family() {
        let one = talkative_node(network, true);
        let isolated = true;
        let plain = Setup {
            isolated,
            ..Setup::new(chain)
        };
        let two = network.node(&plain).unwrap();
        let frames = [
            first_frame(network, &*one).await,
            first_frame(network, &*one).await,
            first_frame(network, &*two).await,
        ];
        let [a, b, c] = frames.each_ref().map(|frame| lasting(&*one, frame));
        assert_eq!(a, b, "{}", network.network());
        assert_eq!(a, c, "{}", network.network());
        let nonces = frames.map(|frame| fields(&*one, &frame)["nonce"].2.clone());
        assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2], "fresh");
    }
}

#[tokio::test]
async fn an_isolated_node_of_the_family_claims_nothing_and_an_open_one_what_it_was_told_to() {
    for (network, _) in family() {
        let isolated = talkative_node(network, true);
        let frame = first_frame(network, &*isolated).await;
        let found = fields(&*isolated, &frame);
        let value = |path: &str| found[path].2.as_str();
        assert_eq!(value("services"), "0x0");
        assert_eq!(value("height"), "0");
        assert_eq!(value("user_agent"), "");
        assert_eq!(value("relay"), "0");
        assert_eq!(value("addr_from.services"), "0x0");
        let time: i64 = value("time").parse().unwrap();
        assert_eq!(UnixTime(time).rounded_down(300), UnixTime(time));
        for path in ["addr_recv.ip", "addr_from.ip"] {
            let unspecified = ["0.0.0.0", "::", "::ffff:0.0.0.0"];
            assert!(unspecified.contains(&value(path)), "{path} {}", value(path));
        }

        let open = talkative_node(network, false);
        let frame = first_frame(network, &*open).await;
        let found = fields(&*open, &frame);
        let value = |path: &str| found[path].2.as_str();
        assert_eq!(value("services"), "0x1");
        assert_eq!(value("height"), "1234");
        assert_eq!(value("user_agent"), "/talkative:9/");
    }
}

#[tokio::test]
async fn an_isolated_node_of_the_family_tells_nothing_to_who_dials_it_either() {
    for (network, chain) in family() {
        let (target, served) = serves_one(talkative_node(network, true).into());
        let ours = network.node(&Setup::new(chain)).unwrap();
        let facts = probe(&*ours, &target, LONG).await.verdict.unwrap();
        let version = facts.version().unwrap();
        assert_eq!((version.services, facts.height), (0, Some(0)));
        assert_eq!(facts.agent, "".into());
        assert!(!version.relay);
        assert_eq!(served.await.unwrap().kind, Kind::Closed);
    }
}

#[tokio::test]
async fn an_isolated_node_keeps_no_address_of_its_peers() {
    for (network, chain) in networks() {
        let (target, _served) = serves_one(network.node(&Setup::new(chain)).unwrap().into());
        let ours = talkative_node(network, true);
        let facts = probe(&*ours, &target, LONG).await.verdict.unwrap();
        assert_eq!(facts.addr, "isolated");
    }
}

/// What a talkative node on Ethereum says in a probe, field by field, from the transcript.
async fn said_on_ethereum(isolated: bool) -> BTreeMap<String, String> {
    let ethereum = by_name("ethereum").unwrap();
    let node = talkative_node(ethereum, isolated);
    let mut setup = Setup::new("mainnet");
    setup.options = every_option(ethereum);
    let (target, _served) = serves_one(ethereum.node(&setup).unwrap().into());
    let probe = probe(&*node, &target, LONG).await;
    let facts = probe.verdict.unwrap();
    let lines = node.explain_dialogue(&probe.dialogue.unwrap(), Some(&facts));
    let ours = lines
        .into_iter()
        .filter(|line| line.direction == Direction::Outbound);
    let fields = ours.flat_map(|line| {
        let command = line.explained.command.unwrap();
        let fields = line.explained.fields.into_iter();
        fields.map(move |field| (format!("{command}.{}", field.path), field.value))
    });
    fields.collect()
}

#[tokio::test]
async fn an_isolated_node_on_ethereum_has_a_fresh_key_and_stands_at_genesis() {
    let [one, two] = [said_on_ethereum(true).await, said_on_ethereum(true).await];
    let open = said_on_ethereum(false).await;
    for said in [&one, &two] {
        assert_eq!(said["Hello.client_id"], "");
        assert_eq!(said["Hello.listen_port"], "0");
        assert_eq!(said["Status.fork_hash"], "0xfc64ec04", "genesis");
        assert_ne!(said["Hello.id"], open["Hello.id"]);
    }
    assert_ne!(one["Hello.id"], two["Hello.id"]);
    let rest = |said: &BTreeMap<String, String>| {
        let lasting = said.iter().filter(|(path, _)| *path != "Hello.id");
        lasting
            .map(|(path, value)| format!("{path} {value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(rest(&one), rest(&two));

    assert_eq!(open["Hello.client_id"], "/talkative:9/");
    assert_eq!(open["Hello.listen_port"], "4444");
    assert_eq!(open["Status.fork_hash"], "0x07c9462e", "bpo2");
    assert_eq!(open["Hello.id"], said_on_ethereum(false).await["Hello.id"]);
}

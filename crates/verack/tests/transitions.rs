//! The graph of each machine as a table, so that a changed edge shows up in review.
//!
//! Every state a handshake can wait in, times everything that can happen to it. Update the tables
//! with `INSTA_UPDATE=always cargo test -p peerage-verack --test suite transitions::`, and read
//! the difference.

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use peerage_core::{Direction, Failure, Interruption};
use peerage_verack::Version;
use peerage_verack::decred::Decred;
use peerage_verack::zcash::Zcash;

use crate::common::{
    Dialogue, Net, bad_checksum, current, header, message, nameless, other_chain, payload_of,
    their_version, verack, version, version_frame,
};

/// A state, by its name and the protocol version that the peer announced to get there.
type State = (&'static str, Option<u32>);

enum Event {
    Hears(Vec<u8>),
    /// The same, while our policy refuses everybody.
    Refuses(Vec<u8>),
    /// Our own nonce comes back.
    HearsItself,
    Ends(Interruption),
}

/// What can be heard, whatever the network.
fn heard<D: Net>() -> Vec<(&'static str, Bytes)> {
    let good = version::<D>(current::<D>());
    let with = |change: fn(&mut Vec<u8>)| {
        let mut payload = payload_of(&their_version(current::<D>())).to_vec();
        change(&mut payload);
        message::<D>("version", &payload)
    };
    let long_agent = Version {
        user_agent: "a\n".into(),
        ..their_version(current::<D>())
    };
    let too_old = if D::NETWORK.0 == "zcash" { 170_149 } else { 8 };
    let ping = message::<D>("ping", &[1; 8]);
    vec![
        ("version", good.clone()),
        ("version, future", version::<D>(current::<D>() + 1)),
        ("version, obsolete", version::<D>(too_old)),
        ("version, negative", version::<D>(u32::MAX)),
        ("version, 46 bytes", with(|payload| payload.truncate(46))),
        ("version, 45 bytes", with(|payload| payload.truncate(45))),
        ("version, trailing byte", with(|payload| payload.push(0))),
        (
            "version, relay 2",
            with(|payload| *payload.last_mut().unwrap() = 2),
        ),
        ("version, newline in agent", version_frame::<D>(&long_agent)),
        ("version, bad checksum", bad_checksum(&good)),
        ("version, half", good.slice(..40)),
        ("verack", verack::<D>()),
        ("verack, 1 byte", message::<D>("verack", &[0])),
        ("verack, bad checksum", bad_checksum(&verack::<D>())),
        ("verack, all but a byte", verack::<D>().slice(..23)),
        ("ping", ping.clone()),
        ("ping, 7 bytes", message::<D>("ping", &[1; 7])),
        ("ping, 9 bytes", header::<D>("ping", 9)),
        ("ping × 9", ping.repeat(9).into()),
        ("addr", message::<D>("addr", &[0])),
        ("getheaders", message::<D>("getheaders", &[0; 37])),
        ("reject", message::<D>("reject", b"\x07version\x11\x03old")),
        ("unknown", message::<D>("nobodyknows", &[])),
        ("nameless", nameless::<D>(&[])),
        ("inv, 1,024 declared", header::<D>("inv", 1024)),
        ("inv, 1,025 declared", header::<D>("inv", 1025)),
        ("inv, 32,768 declared", header::<D>("inv", 32_768)),
        ("inv, 32,769 declared", header::<D>("inv", 32_769)),
        ("inv, 4 GiB declared", header::<D>("inv", u32::MAX)),
        (
            "unknown, 4 GiB declared",
            header::<D>("nobodyknows", u32::MAX),
        ),
        ("other chain", other_chain::<D>(&good)),
        (
            "HTTP",
            Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ),
    ]
}

fn events<D: Net>() -> Vec<(&'static str, Event)> {
    let hears = heard::<D>().into_iter();
    let mut events: Vec<_> = hears
        .map(|(name, bytes)| (name, Event::Hears(bytes.to_vec())))
        .collect();
    let good = version::<D>(current::<D>());
    let refuses = ("version, policy refuses", Event::Refuses(good.to_vec()));
    events.insert(1, refuses);
    events.insert(2, ("version, our own nonce", Event::HearsItself));
    for (name, cause) in [
        ("closed", Interruption::Closed),
        ("deadline", Interruption::DeadlinePassed),
        ("cancelled", Interruption::Cancelled),
        (
            "transport",
            Interruption::Transport(io::ErrorKind::NetworkDown),
        ),
    ] {
        events.push((name, Event::Ends(cause)));
    }
    events
}

/// `-`, or the names with commas.
fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "-".into()
    } else {
        names.join(", ")
    }
}

fn table<D: Net>(direction: Direction, states: &[State]) -> String {
    let mut table = format!(
        "{:<9} | {:<25} | {:<7} | {:<15} | {:<10} | {}\n",
        "state", "event", "next", "says", "last words", "error"
    );
    for (state, announced) in states {
        for (name, event) in events::<D>() {
            let refuses = matches!(event, Event::Refuses(_));
            // A policy that refuses lets nobody past the version.
            if refuses && announced.is_some() {
                continue;
            }
            let mut dialogue = if refuses {
                Dialogue::<D>::refusing(direction, "no")
            } else {
                Dialogue::<D>::new(direction)
            };
            if let Some(announced) = announced {
                dialogue.hear(&version::<D>(*announced));
            }
            dialogue.says();
            match &event {
                Event::Hears(bytes) | Event::Refuses(bytes) => dialogue.hear(bytes),
                Event::HearsItself => {
                    let local = crate::common::node::<D>(1);
                    let other = crate::common::attempt(crate::common::direct(direction));
                    dialogue.hear(&version_frame::<D>(&Version {
                        nonce: local.version_for(&other).nonce,
                        ..their_version(current::<D>())
                    }))
                }
                Event::Ends(cause) => dialogue.interrupt(*cause),
            };
            let says = listed(&dialogue.says());
            let (next, last_words, error) = match dialogue.outcome() {
                Some(Ok(_)) => ("peer".to_owned(), "-".to_owned(), "-".to_owned()),
                Some(Err(error)) => (
                    "-".to_owned(),
                    listed(&dialogue.parting()),
                    format!("{} at {}", error.kind(), error.stage()),
                ),
                None => (dialogue.awaited().to_string(), "-".into(), "-".into()),
            };
            writeln!(
                table,
                "{state:<9} | {name:<25} | {next:<7} | {says:<15} | {last_words:<10} | {error}"
            )
            .unwrap();
        }
    }
    table
}

const ZCASH: &[State] = &[("version", None), ("verack", Some(170_190))];

/// `strict` waits for the verack of a peer at 12, `legacy` for that of one below.
const DECRED: &[State] = &[
    ("version", None),
    ("strict", Some(12)),
    ("legacy", Some(11)),
];

#[test]
fn zcash_inbound() {
    insta::assert_snapshot!(table::<Zcash>(Direction::Inbound, ZCASH));
}

#[test]
fn zcash_outbound() {
    insta::assert_snapshot!(table::<Zcash>(Direction::Outbound, ZCASH));
}

#[test]
fn decred_inbound() {
    insta::assert_snapshot!(table::<Decred>(Direction::Inbound, DECRED));
}

#[test]
fn decred_outbound() {
    insta::assert_snapshot!(table::<Decred>(Direction::Outbound, DECRED));
}

/// The states of the table are all there are: every way in leads to one of them.
#[test]
fn every_state_of_the_tables_is_reached_and_named_once() {
    fn check<D: Net>(states: &[State]) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let table = table::<D>(direction, states);
            let column = |line: &str, at: usize| line.split('|').nth(at).unwrap().trim().to_owned();
            for (state, _) in states {
                let rows = table.lines().filter(|line| column(line, 0) == *state);
                let waits = if *state == "version" {
                    "version"
                } else {
                    "verack"
                };
                let mut rows = rows.map(|line| column(line, 2));
                assert!(rows.any(|next| next == waits), "{state} can be stayed in");
            }
            assert!(table.lines().any(|line| column(line, 2) == "peer"));
        }
    }
    check::<Zcash>(ZCASH);
    check::<Decred>(DECRED);
}

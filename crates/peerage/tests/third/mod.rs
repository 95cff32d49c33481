//! A third network, written outside the library: nothing of it is known there.

mod whisper;

use std::sync::Arc;

use peerage::core::AcceptAll;
use peerage::faults::Fault;
use peerage::networks::{AddressError, AnyNetwork, AnyNode, Head, Setup, SetupError, Typed};
use peerage::{
    DialError, Direction, Failure, Greeter, Kind, NodeKey, Outcome, PeerKey, Stage, Tables,
};

use self::whisper::Whisper;
use crate::common::{LONG, bind, faulty, folder, greets_one, later, probe, serves_one};

static WHISPER: Typed<Whisper> = Typed::new();

fn node(name: &str) -> Arc<dyn AnyNode> {
    let mut node = WHISPER.node(&Setup::new("mainnet")).unwrap();
    node.set_agent(name.into());
    node.into()
}

#[tokio::test]
async fn a_network_with_keys_is_dialled_and_greeted_typed() {
    let mut theirs = Greeter::<Whisper>::new("mainnet").unwrap();
    let key = NodeKey::from_bytes([9; 32]).unwrap();
    theirs = theirs.with_key(&key);
    let ours = Greeter::<Whisper>::new("mainnet").unwrap();
    let (listener, endpoint) = bind();
    let to = <Whisper as peerage::networks::Described>::found_at(theirs.local(), endpoint);
    let address = WHISPER.shown(&to);
    assert_eq!(ours.destination(&address), Ok(to));
    let accepts = async {
        let connection = listener.accept().await.unwrap();
        theirs.greet(connection, AcceptAll, later()).await
    };
    let (dialled, accepted) = tokio::join!(ours.dial(&address, LONG), accepts);
    let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
    dialled.send(&b'x').await.unwrap();
    assert_eq!(accepted.recv().await.unwrap(), b'x');

    let host = endpoint.to_string();
    let error = ours.dial(&host, LONG).await.unwrap_err();
    assert!(matches!(
        &error,
        DialError::Address(AddressError::NoKey { .. })
    ));
    let advice = format!("write whisper://KEY@{host}");
    assert!(error.to_string().ends_with(&advice), "{error}");
    let error = ours.dial(&format!("0f@{host}"), LONG).await.unwrap_err();
    assert!(matches!(error, DialError::Address(AddressError::Key(_))));
}

/// Each stage: its name, how it went and its note.
async fn stages(ours: &dyn AnyNode, to: &peerage::Destination) -> Vec<(&'static str, Outcome)> {
    let probe = probe(ours, to, LONG).await;
    probe.stages.iter().map(|s| (s.stage, s.outcome)).collect()
}

#[tokio::test]
async fn a_probe_goes_through_stages_of_its_own_and_its_dialogue_can_be_read() {
    let (to, served) = serves_one(node("theirs"));
    let ours = node("ours");
    let probe = probe(&*ours, &to, LONG).await;
    let names: Vec<_> = probe.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(names, ["dns", "tcp", "secret", "hello", "ping"]);
    assert!(probe.stages[1..].iter().all(|s| s.outcome == Outcome::Ok));
    let facts = probe.verdict.unwrap();
    assert_eq!(facts.agent, "theirs".into());
    assert_eq!(served.await.unwrap().kind, Kind::Closed);

    let dialogue = probe.dialogue.unwrap();
    assert_eq!(dialogue.attempt.to.as_ref(), Some(&to));
    let lines = ours.explain_dialogue(&dialogue, Some(&facts));
    let plain: Vec<_> = lines
        .into_iter()
        .map(|line| (line.direction, line.explained.plain.unwrap()))
        .collect();
    let said = |direction, words: &[u8]| (direction, words.to_vec());
    let expected = [
        said(Direction::Outbound, b"hello ours\np"),
        said(Direction::Inbound, b"hello theirs\nq"),
    ];
    assert_eq!(plain, expected);
    assert!(
        !format!("{dialogue:?}").contains("seed: ["),
        "the seed is not shown"
    );
}

#[tokio::test]
async fn a_failure_is_told_at_the_step_where_it_shows() {
    let ours = node("ours");
    let (mut to, greeted) = greets_one(node("theirs"));
    to.key = Some(PeerKey([0; 64]));
    use Outcome::{Failed, NotReached, Ok as Good, Skipped};
    let expected = [
        ("dns", Skipped),
        ("tcp", Good),
        ("secret", Good),
        ("hello", Failed),
        ("ping", NotReached),
    ];
    assert_eq!(stages(&*ours, &to).await, expected);
    let theirs = greeted.await.unwrap().map(drop).unwrap_err();
    assert_eq!(
        (theirs.stage, theirs.kind),
        (Stage::Greet("secret"), Kind::Violation)
    );

    // It cannot even begin: nothing says whom we expect.
    let (_listener, endpoint) = bind();
    let probe = probe(&*ours, &endpoint.into(), LONG).await;
    assert_eq!(probe.stages[2].outcome, Failed);
    assert_eq!(probe.verdict.unwrap_err().kind, Kind::Usage);
}

#[tokio::test]
async fn its_faults_are_played_by_a_node_that_speaks_in_cover() {
    let ours = node("ours");
    let theirs = node("theirs");
    assert_eq!(theirs.faults(), [Fault::Closing, Fault::Garbage]);
    for (fault, kind) in [
        (Fault::Closing, Kind::Closed),
        (Fault::Garbage, Kind::Closed),
        // None of its own: it hangs up at once.
        (Fault::Silent, Kind::Closed),
    ] {
        let to = faulty(&theirs, fault);
        let reason = probe(&*ours, &to, LONG).await.verdict.unwrap_err();
        assert_eq!(reason.kind, kind, "{fault:?}: {reason}");
        let spoke = fault == Fault::Garbage;
        assert_eq!(matches!(reason.stage, Stage::Keep(_)), spoke, "{reason}");
    }
}

#[test]
fn it_has_options_chains_and_tables_of_its_own() {
    let mut setup = Setup::new("mainnet");
    let number = 5;
    setup.options.head = Some(Head { number, time: None });
    WHISPER.node(&setup).map(drop).unwrap();
    setup.options.services = Some(1);
    let error = WHISPER.node(&setup).map(drop).unwrap_err();
    assert!(matches!(error, SetupError::Option { .. }));
    let words = "whisper does not know the option services; zcash, decred do: leave it out";
    assert_eq!(error.to_string(), words);
    assert_eq!(error.kind(), Kind::Usage);

    let folder = folder("whisper");
    std::fs::write(folder.join("whisper.toml"), "mainnet other").unwrap();
    let tables = Tables::from_folder(&folder).unwrap();
    let chains = WHISPER.chains(&tables).unwrap();
    let names: Vec<_> = chains.iter().map(|chain| &*chain.name).collect();
    assert_eq!(names, ["mainnet", "other"]);
    assert!(chains.iter().all(|chain| chain.magic.is_none()));
    let error = WHISPER.node(&Setup::new("other")).map(drop).unwrap_err();
    assert!(error.to_string().contains("it has mainnet"), "{error}");
}

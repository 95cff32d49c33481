//! Probes by a connector of the test's own, so that every stage takes exactly as long as it says.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use bytes::Bytes;

use peerage_core::wire::Writer;
use peerage_core::{ConnectedAddr, Direction, Endpoint, Kind, UnixTime};
use peerage_net::{Connection, ReachError};
use peerage_verack::dissect::frame;
use peerage_verack::envelope::Command;
use peerage_verack::nonce::Domain;
use peerage_verack::{Attempt, ProtocolVersion, Version, decred, zcash};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::*;
use crate::networks::Builtin;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Resolves, if at all, and reaches in so many seconds, or fails after them.
struct Scripted {
    resolve: Option<u64>,
    reach: u64,
    fails: Option<ReachError>,
    near: Mutex<Option<DuplexStream>>,
}

impl Connector for Scripted {
    type Io = DuplexStream;

    async fn connect(
        &self,
        target: &Target,
        _: Instant,
    ) -> Result<Connection<DuplexStream>, ReachError> {
        sleep(seconds(self.resolve.unwrap_or(0) + self.reach)).await;
        if let Some(error) = &self.fails {
            return Err(error.clone());
        }
        let addr = Endpoint::new(Ipv4Addr::new(192, 0, 2, 1).into(), target.port);
        Ok(Connection {
            io: self.near.lock().unwrap().take().unwrap(),
            addr: ConnectedAddr::OutboundDirect { addr },
            resolved_in: self.resolve.map(seconds),
            reached_in: seconds(self.reach),
        })
    }
}

fn scripted(resolve: Option<u64>, reach: u64) -> (Scripted, DuplexStream) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let near = Mutex::new(Some(near));
    let fails = None;
    let connector = Scripted {
        resolve,
        reach,
        fails,
        near,
    };
    (connector, far)
}

fn named() -> Destination {
    let target: Target = "peer.example.org:7777".parse().unwrap();
    target.into()
}

fn literal() -> Destination {
    let target: Target = "192.0.2.1:7777".parse().unwrap();
    target.into()
}

fn node<D: Builtin>() -> Greeter<D> {
    Greeter::new("mainnet").unwrap()
}

fn framed<D: Builtin>(command: &'static str, payload: &[u8]) -> Bytes {
    let chain = node::<D>().local().chain.clone();
    frame::<D>(&chain, Command::from_static(command), payload)
}

/// The version frame of somebody else.
fn version<D: Builtin>(protocol_version: Option<u32>) -> Bytes {
    let other = node::<D>();
    let mut version = other.local().version_for(&Attempt {
        addr: ConnectedAddr::Isolated {
            direction: Direction::Inbound,
        },
        domain: Domain::default(),
        time: UnixTime(0),
        random: *b"somebody",
    });
    if let Some(other) = protocol_version {
        version.protocol_version = ProtocolVersion(other);
    }
    version.user_agent = "/far:1/".into();
    let mut writer = Writer::new(Version::MAX_LEN);
    version.write(&mut writer);
    framed::<D>("version", &writer.finish().unwrap())
}

/// Says each after its seconds, then answers one ping after `pong` seconds, then hears to the end.
async fn plays<D: Builtin>(mut far: DuplexStream, script: Vec<(u64, Bytes)>, pong: u64) {
    for (after, bytes) in script {
        sleep(seconds(after)).await;
        far.write_all(&bytes).await.unwrap();
    }
    // Our version, verack and ping; the nonce stands at the end.
    let mut heard = Vec::new();
    let ping = framed::<D>("ping", &[]);
    loop {
        let mut chunk = [0; 4096];
        let Ok(len @ 1..) = far.read(&mut chunk).await else {
            return;
        };
        heard.extend_from_slice(&chunk[..len]);
        let at = heard.windows(16).position(|window| *window == ping[..16]);
        if let Some(at) = at.filter(|at| heard.len() >= at + 32) {
            sleep(seconds(pong)).await;
            let nonce = &heard[at + 24..at + 32];
            // It may have been given up.
            let _unheard = far.write_all(&framed::<D>("pong", nonce)).await;
            heard.clear();
        }
    }
}

fn options(limit: Duration) -> ProbeOptions {
    let tape_limit = 0;
    ProbeOptions { limit, tape_limit }
}

/// Each stage: its name, how it went and the whole seconds it took.
fn shape(probe: &Probe) -> Vec<(&'static str, Outcome, Option<u64>)> {
    let row = |report: &StageReport| {
        let took = report.took.map(|took| took.as_secs());
        (report.stage, report.outcome, took)
    };
    probe.stages.iter().map(row).collect()
}

use Outcome::{Failed as Lost, NotReached, Ok as Good, Skipped};

async fn good<D: Builtin>() {
    let (connector, far) = scripted(Some(5), 1);
    let script = vec![(8, version::<D>(None)), (3, framed::<D>("verack", &[]))];
    let node = node::<D>();
    let (target, options) = (named(), options(seconds(60)));
    let probe = probe_by(&connector, &node, &target, &options);
    let (probe, ()) = tokio::join!(probe, plays::<D>(far, script, 4));
    let expected = [
        ("resolve", Good, Some(5)),
        ("reach", Good, Some(1)),
        // It was 8 seconds after the start that the version came.
        ("version", Good, Some(2)),
        ("verack", Good, Some(3)),
        ("ping", Good, Some(4)),
    ];
    assert_eq!(shape(&probe), expected);
    let facts = probe.verdict.unwrap();
    assert_eq!(facts.agent, "/far:1/".into());
    assert_eq!(facts.rtt.map(|rtt| rtt.as_secs()), Some(4));
    assert_eq!(probe.facts, Some(facts));
    assert_eq!(probe.took.as_secs(), 15);
    assert!(probe.stages[1].note.contains("192.0.2.1:7777"));
    assert!(probe.stages[2].note.contains("/far:1/"));
    assert!(probe.dialogue.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_good_probe_tells_how_long_each_stage_took() {
    good::<zcash::Zcash>().await;
    good::<decred::Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_greets_but_never_answers_a_ping_is_known_but_not_healthy() {
    let (connector, far) = scripted(None, 1);
    let script = vec![
        (1, version::<zcash::Zcash>(None)),
        (0, framed::<zcash::Zcash>("verack", &[])),
    ];
    let node = node::<zcash::Zcash>();
    let (target, options) = (literal(), options(seconds(20)));
    let (probe, ()) = tokio::join!(
        probe_by(&connector, &node, &target, &options),
        plays::<zcash::Zcash>(far, script, 3600)
    );
    let expected = [
        ("resolve", Skipped, None),
        ("reach", Good, Some(1)),
        ("version", Good, Some(0)),
        ("verack", Good, Some(0)),
        ("ping", Lost, Some(19)),
    ];
    assert_eq!(shape(&probe), expected);
    let reason = probe.verdict.unwrap_err();
    assert_eq!(
        (reason.kind, reason.stage),
        (Kind::Timeout, Stage::Keep("ping"))
    );
    let facts = probe.facts.unwrap();
    assert_eq!((facts.agent, facts.rtt), ("/far:1/".into(), None));
    assert_eq!(
        probe.took.as_secs(),
        20,
        "the limit is for all stages together"
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_and_what_breaks_the_handshake_in_one_piece_are_two_stages() {
    let mut all = version::<decred::Decred>(Some(9)).to_vec();
    for _ in 0..4 {
        all.extend_from_slice(&framed::<decred::Decred>("ping", &[7; 8]));
    }
    let (connector, far) = scripted(None, 1);
    let node = node::<decred::Decred>();
    let (target, options) = (literal(), options(seconds(20)));
    let (probe, ()) = tokio::join!(
        probe_by(&connector, &node, &target, &options),
        plays::<decred::Decred>(far, vec![(8, all.into())], 0)
    );
    let expected = [
        ("resolve", Skipped, None),
        ("reach", Good, Some(1)),
        ("version", Good, Some(7)),
        ("verack", Lost, Some(0)),
        ("ping", NotReached, None),
    ];
    assert_eq!(shape(&probe), expected);
    assert_eq!(probe.verdict.unwrap_err().kind, Kind::Flood);
    assert!(probe.facts.is_none(), "an unfinished greeting yields none");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_costs_the_whole_limit_and_no_more() {
    let (connector, _far) = scripted(Some(2), 3);
    let (node, limit) = (node::<decred::Decred>(), options(seconds(20)));
    let probe = probe_by(&connector, &node, &named(), &limit).await;
    let expected = [
        ("resolve", Good, Some(2)),
        ("reach", Good, Some(3)),
        ("version", Lost, Some(15)),
        ("verack", NotReached, None),
        ("ping", NotReached, None),
    ];
    assert_eq!(shape(&probe), expected);
    assert_eq!(probe.took.as_secs(), 20);
    let reason = probe.verdict.unwrap_err();
    assert_eq!(
        (reason.kind, reason.stage),
        (Kind::Timeout, Stage::Greet("version"))
    );
    assert_eq!(probe.stages[2].note, &*reason.message);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_resolved_and_an_address_not_reached_are_different_stages() {
    let name = || -> Box<str> { "peer.example.org".into() };
    let unresolved = ReachError::NoAddress { name: name() };
    let dead = vec![(
        Endpoint::unspecified(1),
        std::io::ErrorKind::ConnectionRefused,
    )];
    let refused = ReachError::Failed { attempts: dead };
    let cases = [
        (named(), unresolved, [Lost, NotReached], Kind::Unresolved),
        (
            named(),
            refused.clone(),
            [Good, Lost],
            Kind::ConnectionRefused,
        ),
        (literal(), refused, [Skipped, Lost], Kind::ConnectionRefused),
    ];
    for (target, error, outcomes, kind) in cases {
        let (mut connector, _far) = scripted(None, 4);
        connector.fails = Some(error);
        let (node, limit) = (node::<zcash::Zcash>(), options(seconds(20)));
        let probe = probe_by(&connector, &node, &target, &limit).await;
        let found: Vec<_> = probe.stages.iter().map(|stage| stage.outcome).collect();
        assert_eq!(found[..2], outcomes, "{target:?}");
        assert_eq!(found[2..], [NotReached; 3], "{target:?}");
        let failed = probe.stages.iter().find(|s| s.outcome == Lost).unwrap();
        assert_eq!(failed.took.map(|took| took.as_secs()), Some(4));
        assert_eq!(probe.verdict.unwrap_err().kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_limit_there_is_means_no_limit() {
    let (connector, far) = scripted(None, 86_400);
    let script = vec![
        (0, version::<zcash::Zcash>(None)),
        (0, framed::<zcash::Zcash>("verack", &[])),
    ];
    let node = node::<zcash::Zcash>();
    let (target, options) = (literal(), options(Duration::MAX));
    let (probe, ()) = tokio::join!(
        probe_by(&connector, &node, &target, &options),
        plays::<zcash::Zcash>(far, script, 86_400)
    );
    probe.verdict.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_closes_what_it_opened() {
    let (connector, mut far) = scripted(None, 1);
    let node = node::<zcash::Zcash>();
    let (target, options) = (literal(), options(seconds(60)));
    {
        let mut probe = std::pin::pin!(probe_by(&connector, &node, &target, &options));
        let mut heard = [0; 24];
        tokio::select! {
            probe = &mut probe => panic!("{probe:?}"),
            read = far.read_exact(&mut heard) => { read.unwrap(); }
        }
    }
    far.read_to_end(&mut Vec::new()).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tape_holds_what_both_sides_said_up_to_its_bound() {
    for tape_limit in [100, 1 << 16] {
        let (connector, far) = scripted(None, 1);
        let script = vec![
            (1, version::<zcash::Zcash>(None)),
            (0, framed::<zcash::Zcash>("verack", &[])),
        ];
        let node = node::<zcash::Zcash>();
        let limit = seconds(60);
        let (target, options) = (literal(), ProbeOptions { limit, tape_limit });
        let (probe, ()) = tokio::join!(
            probe_by(&connector, &node, &target, &options),
            plays::<zcash::Zcash>(far, script, 1)
        );
        let Dialogue { chunks, cut, .. } = probe.dialogue.unwrap();
        let total: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert_eq!(cut, tape_limit == 100);
        assert!(total <= tape_limit);
        assert_eq!(chunks[0].direction, Direction::Outbound, "we spoke first");
        assert!(cut || chunks.iter().any(|c| c.direction == Direction::Inbound));
    }
}

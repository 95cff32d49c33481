//! The README's main command, run as a person and as a program would.

#![cfg(test)]

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;

fn peerage(command: &str) -> Command {
    let mut peerage = Command::new(env!("CARGO_BIN_EXE_peerage"));
    peerage.arg(command).env_remove("CLICOLOR_FORCE");
    peerage
}

fn demo(args: &[&str]) -> Output {
    peerage("demo").args(args).output().unwrap()
}

fn lines_of<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

fn name(line: &Value) -> (&str, &str) {
    (
        line["network"].as_str().unwrap(),
        line["name"].as_str().unwrap(),
    )
}

/// The kinds of reason that every network has a citizen for.
const EVERYWHERE: [&str; 8] = [
    "closed",
    "connection_refused",
    "flood",
    "not_this_protocol",
    "obsolete",
    "self_connection",
    "timeout",
    "wrong_network",
];

/// The networks, how many healthy nodes they have, and by whom these become known.
const NETWORKS: [(&str, u64, &str, &[&str]); 3] = [
    ("zcash", 15, "gossip", &[]),
    ("decred", 15, "https", &[]),
    (
        "ethereum",
        30,
        "discv5",
        &["peer_full", "wrong_fork", "wrong_genesis", "wrong_identity"],
    ),
];

#[test]
fn everybody_is_found_kept_or_explained_and_comes_back() {
    let output = demo(&["--for", "1s", "--json"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().all(|line| line["v"] == 1), "{stdout}");

    let citizens: Vec<_> = lines_of(&lines, "citizen").map(name).collect();
    let verdicts: Vec<_> = lines_of(&lines, "verdict").map(name).collect();
    assert_eq!(citizens, verdicts, "one verdict each, in order");
    let distinct: BTreeSet<_> = citizens.iter().collect();
    assert_eq!(distinct.len(), citizens.len(), "names are unique");
    for line in lines_of(&lines, "verdict") {
        assert_eq!(line["ok"], true, "{line}");
        assert_eq!(line["got"], line["expected"], "{line}");
    }
    for (network, healthy, _, more) in NETWORKS {
        let here = || lines_of(&lines, "verdict").filter(|line| line["network"] == network);
        let kept = here().filter(|line| line["healthy"] == true);
        assert_eq!(kept.count() as u64, healthy);
        let kinds: BTreeSet<_> = here()
            .filter_map(|line| line["reason"]["kind"].as_str())
            .collect();
        let expected: BTreeSet<_> = EVERYWHERE.iter().chain(more).copied().collect();
        assert_eq!(kinds, expected, "{network}");
    }
    check_why(&lines);
    check_claims(&lines);

    let cut = lines_of(&lines, "cut").next().unwrap();
    assert_eq!(cut["nodes"], 29, "{cut}");
    assert_eq!(cut["noticed"], 29, "{cut}");
    // Somebody may have been lost, and be dialled again, when it was cut off.
    assert!(cut["losses"]["closed"].as_u64().unwrap() >= 20, "{cut}");
    let back = lines_of(&lines, "back").next().unwrap();
    assert_eq!(back["recovered"], true, "{back}");

    check_relayed(&lines);

    let summary = lines.last().unwrap();
    check_summary(summary);
    check_next(summary["next"].as_array().unwrap());
}

/// Volunteers lead to where they should and nowhere else.
#[cfg(feature = "inproxy")]
fn check_relayed(lines: &[Value]) {
    let told: Vec<_> = lines_of(lines, "relayed")
        .map(|line| {
            assert_eq!(line["ok"], true, "{line}");
            (
                line["what"].as_str().unwrap(),
                line["got"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("a page over HTTP", "reached"),
        ("a handshake with alder-1 of zcash", "reached"),
        ("a handshake with hazel-1 of decred", "reached"),
        ("a handshake with aspen-1 of ethereum", "reached"),
        ("a destination that nobody allowed", "refused"),
        ("a port that no volunteer allows", "refused"),
        ("a page, after its volunteer left", "reached"),
    ];
    assert_eq!(told, expected);
    assert_eq!(lines.last().unwrap()["relayed"], expected.len());
}

#[cfg(not(feature = "inproxy"))]
fn check_relayed(lines: &[Value]) {
    assert_eq!(lines_of(lines, "relayed").count(), 0);
}

/// Our nodes remember why each faulty one is no peer, and who told of it.
fn check_why(lines: &[Value]) {
    for line in lines_of(lines, "verdict") {
        // A node that has recognised itself forgets its own address.
        if line["healthy"] == true || line["name"] == "mirror" {
            continue;
        }
        let why = line["why"].as_array().unwrap();
        let why: Vec<_> = why.iter().map(|line| line.as_str().unwrap()).collect();
        let why = why.join("\n");
        match line["name"].as_str().unwrap() {
            "liar" => assert!(why.contains("now: connected"), "{why}"),
            // What was dialled lately may be under way again.
            _ => assert!(why.contains(line["got"].as_str().unwrap()), "{line}"),
        }
        let told_by = line["told_by"][0].as_str().unwrap();
        let expected = match (line["network"].as_str().unwrap(), name(line).1) {
            (_, "mirage" | "phantom") => "gossip of 127.0.0.1",
            ("ethereum", _) => "discovery through",
            ("decred", _) => "the seed http://127.0.0.1:",
            (_, _) => "the seed 127.0.0.1:",
        };
        assert!(told_by.starts_with(expected), "{line}");
    }
    let nomad = lines_of(lines, "verdict").find(|line| line["name"] == "nomad");
    assert_eq!(nomad.unwrap()["dials"], 0, "its record is enough");
}

/// Healthy peers are known for what they said of themselves.
fn check_claims(lines: &[Value]) {
    let of = |wanted: &str| {
        let found = lines_of(lines, "verdict").find(|line| line["name"] == wanted);
        found.unwrap().clone()
    };
    let forks = ["aspen-1", "linden-7", "willow-10"].map(|name| {
        let line = of(name);
        let (address, id) = (line["address"].as_str(), line["id"].as_str());
        let enode = format!("enode://{}@127.0.0.1:", id.unwrap());
        assert!(address.unwrap().starts_with(&enode), "{line}");
        let fork = line["fork"].as_str().unwrap().to_owned();
        (line["negotiated"].as_u64().unwrap(), fork)
    });
    let expected = [(70, "bpo2"), (69, "bpo2"), (68, "bpo1")];
    assert_eq!(forks, expected.map(|(eth, fork)| (eth, fork.to_owned())));
    assert_eq!(of("cedar-5")["height"], 988);
    assert_eq!(of("maple-1")["agent"], "/maple:2.0.5/");
    assert_eq!(of("void")["stage"], "reach");
}

fn check_summary(summary: &Value) {
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["healthy_kept"], summary["healthy"]);
    assert_eq!(summary["faulty_explained"], summary["faulty"]);
    assert_eq!(summary["recovered"], true);
    let count = |of: &Value, what: &str| of[what].as_u64().unwrap();
    let (failed, unknown) = (
        count(summary, "failed_dials"),
        count(summary, "unknown_reasons"),
    );
    assert!(unknown * 100 < failed, "{summary}");
    let networks = summary["networks"].as_array().unwrap();
    assert_eq!(networks.len(), NETWORKS.len());
    for (line, (network, healthy, source, more)) in networks.iter().zip(NETWORKS) {
        assert_eq!(line["network"], network);
        assert_eq!(count(line, "healthy"), healthy);
        let least = if network == "ethereum" { 40 } else { 20 };
        assert!(count(line, "nodes") >= least, "{line}");
        assert!(count(line, "dialled") >= least, "{line}");
        assert!(count(line, "found") >= least, "{line}");
        assert!(count(line, "greeted") > healthy, "{line}");
        assert!(count(line, "kept") >= healthy, "{line}");
        let finder = &line["finders"][0];
        assert_eq!(finder["source"], source);
        assert!(count(finder, "taken") >= least, "{line}");
        assert!(count(finder, "lived") >= healthy, "{line}");
        let failed = line["failed"].as_object().unwrap();
        for kind in EVERYWHERE.iter().chain(more) {
            assert!(failed.contains_key(*kind), "{kind}: {line}");
        }
    }
}

/// What is offered to be tried next can be.
fn check_next(next: &[Value]) {
    assert_eq!(next.len(), 4, "{next:?}");
    let probes_enode = |command: &Value| command.as_str().unwrap().contains(" probe enode://");
    assert!(next.iter().any(probes_enode), "{next:?}");
    let decode = next.iter().find_map(|command| {
        let (_, args) = command.as_str()?.split_once(" decode ")?;
        Some(args.split(' '))
    });
    let output = peerage("decode").args(decode.unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "the frame to try is sound");
}

#[test]
fn the_story_is_told_in_plain_lines_that_fit() {
    let output = demo(&["--for", "1s"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(!stdout.contains('\x1b'), "no control sequence in a pipe");
    assert!(!stdout.contains('✗'), "{stdout}");
    for part in [
        "60 of 60 healthy peers kept",
        "41 of 41 faulty ones explained",
        "Now 29 healthy nodes are cut off. Our nodes noticed 29 of them",
        "They come back. All 29 were dialled again",
        "Why is heretic of ethereum no peer?",
        "told by: discovery",
        "wrong_fork at status",
        "discovery v5",
        #[cfg(feature = "inproxy")]
        "Through volunteers 7 of 7 went as they must.",
        "Try next:",
        " probe enode://",
        "connection_refused",
        "wrong_identity",
    ] {
        assert!(stdout.contains(part), "{part} is missing:\n{stdout}");
    }
    let story = stdout.split("Try next:").next().unwrap();
    let longest = story.lines().map(|line| line.chars().count()).max();
    assert!(longest.unwrap() <= 80, "{stdout}");
}

#[cfg(feature = "api")]
#[test]
fn programs_speak_with_the_world_that_goes_on() {
    use std::io::{BufRead as _, Read as _, Write as _};
    let mut command = peerage("demo");
    command.args(["--json", "--http", "127.0.0.1:0", "--for", "120s"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let serving: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(serving["type"], "serving");
    let at = serving["http"].as_str().unwrap();
    let get = |path: &str| -> Value {
        let mut io = std::net::TcpStream::connect(at).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
        io.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        io.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    for (network, healthy, ..) in NETWORKS {
        // Each answer is of the moment; the world needs a few seconds.
        let mut answers = (0..20_000).map(|_| get(&format!("/v1/status?network={network}")));
        let found =
            answers.find(|status| status["nodes"][0]["established"].as_u64() >= Some(healthy));
        assert!(found.is_some(), "{network}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

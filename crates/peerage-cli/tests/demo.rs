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

#[test]
fn every_citizen_gets_the_verdict_it_deserves() {
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

    for (network, more) in [
        ("zcash", &[][..]),
        ("decred", &[]),
        (
            "ethereum",
            &["peer_full", "wrong_fork", "wrong_genesis", "wrong_identity"],
        ),
    ] {
        let here = lines_of(&lines, "verdict").filter(|line| line["network"] == network);
        let (broken, healthy): (Vec<_>, Vec<_>) = here.partition(|line| line["reason"].is_object());
        assert_eq!(healthy.len(), 3);
        for line in healthy {
            assert_eq!(line["got"], "greeted");
            assert!(line["rtt_ms"].as_f64().unwrap() > 0.0, "{line}");
        }
        let kinds: BTreeSet<_> = broken
            .iter()
            .map(|line| line["reason"]["kind"].as_str().unwrap())
            .collect();
        let everywhere = [
            "closed",
            "connection_refused",
            "flood",
            "not_this_protocol",
            "obsolete",
            "self_connection",
            "timeout",
            "wrong_network",
        ];
        let expected: BTreeSet<_> = everywhere.into_iter().chain(more.iter().copied()).collect();
        assert_eq!(kinds, expected, "{network}");
        assert_eq!(broken.len(), expected.len(), "one citizen for each");
    }
    let ethereum = lines_of(&lines, "verdict").filter(|line| line["network"] == "ethereum");
    let (healthy, broken): (Vec<_>, Vec<_>) = ethereum.partition(|line| line["got"] == "greeted");
    let told: Vec<_> = lines_of(&lines, "verdict")
        .filter(|line| line["source"] != "discv5")
        .collect();
    let told = told
        .into_iter()
        .filter(|line| line["network"] == "ethereum")
        .map(name);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [("ethereum", "mirror")],
        "nobody finds himself"
    );
    let discovered = lines_of(&lines, "discovered").next().unwrap();
    assert_eq!(discovered["found"], 14, "{discovered}");
    assert_eq!(discovered["passed_over"], 2, "{discovered}");
    let found: Vec<_> = healthy
        .into_iter()
        .map(|line| {
            let address = line["address"].as_str().unwrap();
            let id = line["id"].as_str().unwrap();
            assert!(address.starts_with(&format!("enode://{id}@127.0.0.1:")));
            (
                line["negotiated"].as_u64().unwrap(),
                line["fork"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [(70, "bpo2"), (69, "bpo2"), (68, "bpo1")]);
    let refused = broken.iter().find(|line| line["name"] == "void");
    assert_eq!(refused.unwrap()["stage"], "tcp", "the network's own word");

    for line in lines_of(&lines, "verdict") {
        assert_eq!(line["ok"], true, "{line}");
        assert_eq!(line["got"], line["expected"], "{line}");
    }

    assert_eq!(lines_of(&lines, "kept").count(), 9);
    assert!(lines_of(&lines, "kept").all(|line| line["lost"].is_null() && line["pings"] != 0));
    let broken = lines_of(&lines, "broken").next().unwrap();
    assert_eq!(broken["reason"]["kind"], "closed");
    assert_eq!(broken["redial"]["reason"]["kind"], "connection_refused");
    assert_eq!(broken["others_connected"], 8);

    let summary = lines.last().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["healthy_greeted"], summary["healthy"]);
    assert_eq!(summary["broken_explained"], summary["broken"]);

    let next = summary["next"].as_array().unwrap();
    assert_eq!(next.len(), 4);
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
        "9 of 9 healthy peers greeted",
        "28 of 28 broken ones explained",
        "Discovery found 14 of 14 nodes of ethereum hoodi",
        "Try next:",
        " probe enode://",
        "connection_refused",
        "not_this_protocol",
        "wrong_identity",
        "Willow/v3.1.2 bpo1",
    ] {
        assert!(stdout.contains(part), "{part} is missing:\n{stdout}");
    }
    let story = stdout.split("Try next:").next().unwrap();
    let longest = story.lines().map(|line| line.chars().count()).max();
    assert!(longest.unwrap() <= 80, "{stdout}");
}

//! The commands as a person or a script meets them: text, JSON, exit codes.
#![cfg(test)]

#[cfg(feature = "api")]
#[path = "cli/cable.rs"]
mod cable;
mod common;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/ethereum.rs"]
mod ethereum;
#[path = "cli/find.rs"]
mod find;
#[cfg(all(unix, feature = "api"))]
#[path = "cli/live.rs"]
mod live;
#[path = "cli/notify.rs"]
mod notify;
#[cfg(all(unix, feature = "api"))]
#[path = "cli/peers.rs"]
mod peers;
#[path = "cli/reload.rs"]
mod reload;
#[path = "cli/serve.rs"]
mod serve;
#[cfg(feature = "api")]
#[path = "cli/tls.rs"]
mod tls;
#[path = "cli/unit.rs"]
mod unit;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use common::{code, json_lines, peerage, run, stderr};

/// A running `listen`, ended with the value.
struct Listener {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    addr: String,
    /// Its address as others write it, key and all.
    address: String,
}

impl Listener {
    fn start(args: &[&str]) -> Self {
        let mut all = vec!["listen"];
        all.extend(args);
        all.extend(["--bind", "127.0.0.1:0", "--json", "--for", "60s"]);
        let mut child = peerage(&all).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let first = next(&mut lines);
        assert_eq!(first["type"], "listening");
        let addr = first["addr"].as_str().unwrap().to_owned();
        let address = first["address"].as_str().unwrap().to_owned();
        Self {
            child,
            lines,
            addr,
            address,
        }
    }

    fn next(&mut self) -> Value {
        next(&mut self.lines)
    }
}

fn next(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peerage-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const VERSION: &str = "24e9276476657273696f6e00000000005b0000002ac539b6ce980200010000000000000000c8755d00000000010000000000000000000000000000000000ffffcb0071062029010000000000000000000000000000000000ffffcb00710620293892278908498290055a65627261603d080001";

#[test]
fn probe_and_listen_meet_in_the_version_family() {
    for (network, scheme, chain) in [("zcash", "zec", "testnet"), ("decred", "dcr", "simnet")] {
        let mut listener = Listener::start(&[
            network,
            "--chain",
            chain,
            "--services",
            "1",
            "--height",
            "77",
            "--count",
            "1",
        ]);
        let peer = format!("{scheme}://{}", listener.addr);
        let probe = run(&["probe", "--json", "--chain", chain, &peer]);
        assert_eq!(code(&probe), 0, "{}", stderr(&probe));
        let lines = json_lines(&probe);
        let stages: Vec<_> = lines
            .iter()
            .filter_map(|line| line["stage"].as_str())
            .collect();
        assert_eq!(stages, ["resolve", "reach", "version", "verack", "ping"]);
        assert!(lines.iter().all(|line| line["v"] == 1));
        let verdict = lines.last().unwrap();
        assert_eq!(verdict["type"], "verdict");
        assert_eq!(verdict["kind"], "greeted");
        assert_eq!(verdict["services"], "0x1");
        assert_eq!(verdict["height"], 77);
        assert!(verdict["rtt_ms"].is_number());
        let seen = listener.next();
        assert_eq!(
            (seen["type"].as_str(), seen["height"].as_u64()),
            (Some("peer"), Some(0))
        );
        assert_eq!(
            listener.child.wait().unwrap().code(),
            Some(0),
            "--count 1 is reached"
        );
    }
}

#[test]
fn many_peers_are_probed_and_one_failure_makes_the_answer_no() {
    let listener = Listener::start(&["zcash", "--chain", "testnet"]);
    let good = listener.addr.clone();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let closed = closed.to_string();
    let probe = run(&[
        "probe", "-n", "zcash", "--chain", "testnet", "--json", &good, &closed,
    ]);
    assert_eq!(code(&probe), 1);
    let lines = json_lines(&probe);
    let mut kinds: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "verdict")
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["connection_refused", "greeted"]);
    let refused = lines
        .iter()
        .find(|line| line["kind"] == "connection_refused")
        .unwrap();
    assert_eq!(refused["reason"]["stage"], "reach");
    assert_eq!(refused["reason"]["blame"], "them");
    assert_eq!(refused["reason"]["retry"], "after");
    assert!(stderr(&probe).contains("2 of 2 probed, 1 greeted"));
}

#[test]
fn a_transcript_explains_every_message_in_words_and_in_json() {
    let listener = Listener::start(&["zcash", "--chain", "testnet"]);
    let peer = format!("zec://{}", listener.addr);
    let words = run(&["probe", "--chain", "testnet", "--transcript", &peer]);
    let words = String::from_utf8(words.stdout).unwrap();
    for part in [
        "→",
        "←",
        "@0",
        "verack",
        "protocol_version",
        "knows the rules up to",
        "user_agent",
    ] {
        assert!(words.contains(part), "{part} is missing in\n{words}");
    }
    let json = run(&[
        "probe",
        "--chain",
        "testnet",
        "--transcript",
        "--json",
        &peer,
    ]);
    let lines = json_lines(&json);
    let messages: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "message")
        .collect();
    let said = |by: &str| {
        let by_them = messages.iter().filter(|line| line["sent_by"] == by);
        by_them
            .map(|line| line["command"].as_str().unwrap())
            .take(2)
            .collect::<Vec<_>>()
    };
    assert_eq!(said("us"), ["version", "verack"]);
    assert_eq!(said("them"), ["version", "verack"]);
    assert_eq!(
        messages[0]["fields"]["addr_recv"]["port"]
            .as_u64()
            .unwrap()
            .to_string(),
        listener.addr.rsplit(':').next().unwrap()
    );
}

#[test]
fn one_key_makes_two_processes_one_node() {
    let dir = TempDir::new("one-node");
    let key = dir.file("node.key");
    assert_eq!(code(&run(&["key", "new", &key])), 0);
    let mut listener = Listener::start(&["zcash", "--chain", "testnet", "--key", &key]);
    let peer = format!("zec://{}", listener.addr);
    let probe = run(&[
        "probe", "--json", "--chain", "testnet", "--key", &key, &peer,
    ]);
    assert_eq!(code(&probe), 1);
    assert_eq!(
        json_lines(&probe).last().unwrap()["kind"],
        "self_connection"
    );
    assert_eq!(listener.next()["reason"]["kind"], "self_connection");
}

#[test]
fn an_isolated_probe_tells_nothing() {
    let mut listener = Listener::start(&["zcash", "--chain", "testnet"]);
    let peer = format!("zec://{}", listener.addr);
    let probe = run(&[
        "probe",
        "--chain",
        "testnet",
        "--isolated",
        "--services",
        "1",
        "--height",
        "9",
        &peer,
    ]);
    assert_eq!(code(&probe), 0);
    let seen = listener.next();
    assert_eq!(seen["agent"], "");
    assert_eq!(seen["services"], "0x0");
    assert_eq!(seen["height"], 0);
}

#[test]
fn a_frame_is_decoded_with_names_and_canonical_form() {
    let output = run(&["decode", "frame", "-n", "zcash", "--json", VERSION]);
    assert_eq!(code(&output), 0);
    let frame = &json_lines(&output)[0];
    assert_eq!(frame["command"], "version");
    assert_eq!(frame["payload_len"], 91);
    assert_eq!(frame["canonical"], true);
    assert_eq!(frame["fields"]["user_agent"], "Zebra");
    assert_eq!(frame["fields"]["height"], 540_000);
    assert_eq!(frame["fields"]["addr_from"]["port"], 8233);
    assert_eq!(frame["error"], Value::Null);
}

#[test]
fn a_bad_frame_says_what_is_wrong_and_where() {
    let short = &VERSION[..100];
    let checksum = VERSION.replacen("2ac539b6", "2ac539b7", 1);
    let testnet = VERSION.replacen("24e92764", "fa1af9bf", 1);
    let trailing = format!("{VERSION}00");
    for (hex, kind, offset) in [
        (short, "incomplete", 50),
        (&checksum, "bad_checksum", 20),
        (&testnet, "wrong_network", 0),
        ("485454502f312e31", "not_this_protocol", 0),
        (&trailing, "trailing_bytes", 115),
        ("24e9zz", "not_hex", 2),
        ("24e", "not_hex", 1),
    ] {
        let output = run(&["decode", "frame", "-n", "zcash", "--json", hex]);
        assert_eq!(code(&output), 1, "{kind}");
        let frame = &json_lines(&output)[0];
        assert_eq!(frame["error"]["kind"], kind);
        assert_eq!(frame["error"]["offset"], offset, "{kind}");
    }
}

#[test]
fn a_frame_can_come_from_stdin() {
    let mut child = peerage(&["decode", "frame", "-n", "zcash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let spaced = format!("{} \n {}\n", &VERSION[..48], &VERSION[48..]);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(spaced.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0);
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("NODE_NETWORK")
    );
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let dir = TempDir::new("keys");
    let key = dir.file("node.key");
    let made = run(&["key", "new", &key, "--json"]);
    assert_eq!(code(&made), 0);
    let shown = run(&["key", "show", &key, "--json"]);
    assert_eq!(json_lines(&made), json_lines(&shown));
    let secret = std::fs::read_to_string(&key).unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains(secret.trim()), "the secret is not shown");
    let again = run(&["key", "new", &key]);
    assert_eq!(code(&again), 2);
    assert!(stderr(&again).contains("exists already"));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), secret);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TempDir::new("exposed");
    let key = dir.file("node.key");
    assert_eq!(code(&run(&["key", "new", &key])), 0);
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let shown = run(&["key", "show", &key]);
    assert_eq!(code(&shown), 2);
    assert!(stderr(&shown).contains("chmod 600"));
}

#[test]
fn mistakes_in_usage_exit_with_2_and_say_what_to_do() {
    for (args, hint) in [
        (
            &["probe", "127.0.0.1:1"][..],
            "enode://KEY@127.0.0.1:1 or zec://127.0.0.1:1 or dcr://127.0.0.1:1",
        ),
        (&["probe", "btc://h:1"], "enode://, enr:, zec://, dcr://"),
        (
            &["probe", "-n", "bitcoin", "h:1"],
            "ethereum, zcash, decred",
        ),
        (&["probe", "-n", "zcash", "h:x"], "1 to 65535"),
        (
            &["probe", "--chain", "simnet", "zec://h:1"],
            "mainnet, testnet, regtest",
        ),
        (&["probe", "--timeout", "soon", "zec://h:1"], "500ms, 20s"),
        (&["listen", "zcash", "--count", "0"], "0"),
        (
            &["--tables", "/nonexistent", "probe", "zec://h:1"],
            "no folder of tables",
        ),
        (&["key", "show", "/nonexistent"], "cannot read"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(hint),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_the_environments_fault() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(&["listen", "zcash", "--bind", &addr]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("cannot listen at"));
}

#[test]
fn a_folder_of_tables_replaces_the_compiled_in_ones() {
    let dir = TempDir::new("tables");
    let table = "network = \"zcash\"\nprotocol_version = 999\n[[chain]]\nname = \"mine\"\nmagic = \"01020304\"\nport = 7\ninitial_minimum = 998\n";
    std::fs::write(dir.file("zcash.toml"), table).unwrap();
    let folder = dir.0.to_str().unwrap();
    let listener = Listener::start(&["zcash", "--chain", "mine", "--tables", folder]);
    let peer = format!("zec://{}", listener.addr);
    let probe = run(&[
        "--tables", folder, "probe", "--json", "--chain", "mine", &peer,
    ]);
    assert_eq!(code(&probe), 0);
    assert_eq!(json_lines(&probe).last().unwrap()["negotiated"], 999);

    std::fs::write(dir.file("zcash.toml"), table.replace("magic", "magick")).unwrap();
    let broken = run(&["--tables", folder, "probe", "--chain", "mine", &peer]);
    assert_eq!(code(&broken), 2);
    assert!(stderr(&broken).contains("magick"), "{}", stderr(&broken));
}

#[test]
fn a_proxy_that_is_down_is_the_environments_fault_and_a_wrong_one_is_usage() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = format!("socks5h://{closed}");
    let listener = Listener::start(&["zcash", "--chain", "testnet"]);
    let peer = format!("zec://{}", listener.addr);
    let probe = run(&[
        "probe", "--json", "--chain", "testnet", "--proxy", &proxy, &peer,
    ]);
    assert_eq!(code(&probe), 3);
    assert_eq!(json_lines(&probe).last().unwrap()["kind"], "proxy");
    let wrong = run(&["probe", "--proxy", "socks5://127.0.0.1:9050", &peer]);
    assert_eq!(code(&wrong), 2);
    assert!(stderr(&wrong).contains("socks5h://"));
}

#[test]
fn completions_and_manual_come_from_the_definition() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!(code(&script), 0);
        assert!(
            String::from_utf8(script.stdout)
                .unwrap()
                .contains("transcript"),
            "{shell}"
        );
    }
    let page = String::from_utf8(run(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH peerage 1"));
    let dir = TempDir::new("man");
    assert_eq!(code(&run(&["man", "--out", dir.0.to_str().unwrap()])), 0);
    let probe = std::fs::read_to_string(dir.file("peerage-probe.1")).unwrap();
    assert!(probe.contains("transcript"));
    assert!(std::fs::exists(dir.file("peerage-decode-frame.1")).unwrap());
    assert_eq!(code(&run(&["man", "--out", "/nonexistent"])), 3);
}

#[test]
fn help_goes_to_stdout_and_lists_every_command() {
    let output = run(&["--help"]);
    assert_eq!(code(&output), 0);
    let help = String::from_utf8(output.stdout).unwrap();
    for command in [
        "demo",
        "probe",
        "listen",
        "find",
        "disc",
        "decode",
        "key",
        "completions",
        "man",
    ] {
        assert!(help.contains(command));
    }
}

/// A fork that is added to a table counts without a restart, and a table with an error changes nothing.
#[cfg(unix)]
#[test]
fn a_listener_reads_its_tables_again_when_it_is_told_to() {
    let folder = TempDir::new("reload");
    let file = folder.0.join("ethereum.toml");
    let table = |network_id: u32| {
        format!(
            "network = \"ethereum\"\n\n[[chain]]\nname = \"ours\"\nnetwork_id = {network_id}\n\
             chain_id = 1\ngenesis_hash = \"{}\"\n",
            "ab".repeat(32)
        )
    };
    std::fs::write(&file, table(7)).unwrap();
    let tables = folder.0.to_str().unwrap();
    let node = ["ethereum", "--chain", "ours", "--tables", tables];
    let mut all = vec!["listen"];
    all.extend(node);
    all.extend(["--bind", "127.0.0.1:0", "--json", "--for", "60s"]);
    let mut child = peerage(&all).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let address = next(&mut lines)["address"].as_str().unwrap().to_owned();
    let mut reread = |text: String| {
        std::fs::write(&file, text).unwrap();
        let mut hangup = Command::new("kill");
        hangup.args(["-HUP", &child.id().to_string()]);
        assert!(hangup.status().unwrap().success());
        loop {
            let line = next(&mut lines);
            if line["type"] == "tables" {
                return line;
            }
        }
    };
    let kind = || {
        let output = run(&[
            "probe", "--json", "--chain", "ours", "--tables", tables, &address,
        ]);
        let verdict = json_lines(&output).pop().unwrap();
        verdict["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind(), "greeted");
    assert_eq!(reread(table(8))["ok"], true);
    assert_eq!(kind(), "greeted", "both sides are on network 8 now");

    let told = reread(format!("{}surprise = 1\n", table(9)));
    assert_eq!(told["ok"], false);
    let message = told["reason"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("ethereum.toml") && message.contains("line 8"),
        "{message}"
    );
    std::fs::write(folder.0.join("ethereum.toml"), table(9)).unwrap();
    assert_eq!(
        kind(),
        "wrong_network",
        "the listener is on network 8 still"
    );
    drop(child.kill());
    drop(child.wait());
}

#[test]
fn a_simulation_repeats_its_figures_from_the_seed() {
    let simulate = |seed: &str, nodes: &str| {
        let args = [
            "sim", "discv5", "--nodes", nodes, "--loss", "0.05", "--nat", "0.3", "--json",
        ];
        let mut command = peerage(&args);
        command
            .args(["--seed", seed])
            .env_remove("PEERAGE_SIM_SEED");
        let output = command.output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stderr(&output).contains("round 2"), "{}", stderr(&output));
        json_lines(&output).remove(0)
    };
    let [mut first, mut again] = [simulate("7", "60"), simulate("7", "60")];
    let [one, other] = ["7", "8"].map(|seed| simulate(seed, "12"));
    for run in [&mut first, &mut again] {
        let host = run.as_object_mut().unwrap().remove("host").unwrap();
        assert!(host["elapsed_ms"].as_f64().unwrap() > 0.0, "{host}");
        if cfg!(target_os = "linux") {
            assert!(host["cpu_ms"].as_f64().unwrap() > 0.0, "{host}");
            assert!(
                host["peak_memory_bytes"].as_u64().unwrap() > 1 << 20,
                "{host}"
            );
        }
    }
    assert_eq!(first, again);
    assert_ne!(one["trace"], other["trace"]);
    assert_eq!(first["type"], "sim.discv5");
    assert_eq!(first["behind_nat"], 18);
    assert_eq!(first["rounds"][1]["lookups"], 60);
    assert!(first["recall"].as_f64().unwrap() >= 0.9, "{first}");
    assert_eq!(first["recall"], first["rounds"][1]["recall"]);
}

#[test]
fn a_simulation_says_no_when_less_is_found_than_expected() {
    let args = [
        "sim", "discv5", "--nodes", "20", "--loss", "0.9", "--rounds", "1",
    ];
    let output = run(&args);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("recall"), "{text}");
    assert_eq!(
        code(&run(&["sim", "discv5", "--nat", "1"])),
        2,
        "no boot node is left"
    );
    assert_eq!(code(&run(&["sim", "discv5", "--loss", "2"])), 2);
}

#[test]
fn a_town_keeps_its_peers_and_repeats_its_figures() {
    let live = |seed: &str| {
        let args = [
            "sim",
            "keep",
            "--network",
            "zcash",
            "--nodes",
            "16",
            "--target",
            "2",
            "--days",
            "0.05",
            "--faulty",
            "0.2",
            "--json",
            "--seed",
            seed,
        ];
        let mut command = peerage(&args);
        command.env_remove("PEERAGE_SIM_SEED");
        let output = command.output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stderr(&output).contains("outage"), "{}", stderr(&output));
        let mut run = json_lines(&output).remove(0);
        assert!(run.as_object_mut().unwrap().remove("host").is_some());
        run
    };
    let [first, again, other] = ["7", "7", "8"].map(live);
    assert_eq!(first, again);
    assert_ne!(first["trace"], other["trace"]);
    assert_eq!(first["type"], "sim.keep");
    assert_eq!(first["keepers"], 13);
    assert_eq!(first["violated"], 0);
    assert_eq!(first["incidents"]["outage"], 1);
    assert!(first["greeted_out"].as_u64().unwrap() >= 26, "{first}");
    let few = run(&["sim", "keep", "--nodes", "8"]);
    assert_eq!(code(&few), 2, "{}", stderr(&few));
    assert!(stderr(&few).contains("honest"), "{}", stderr(&few));
}

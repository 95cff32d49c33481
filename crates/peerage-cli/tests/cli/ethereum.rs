//! Ethereum on the command line.

use super::{Listener, TempDir, code, json_lines, run, stderr};

fn stdout(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn probe_and_listen_meet_on_hoodi() {
    let args = ["ethereum", "--chain", "hoodi", "--count", "1"];
    let mut listener = Listener::start(&[&args[..], &["--capability", "eth/69"]].concat());
    assert!(listener.address.starts_with("enode://"));
    let probe = run(&["probe", "--json", "--chain", "hoodi", &listener.address]);
    assert_eq!(code(&probe), 0, "{}", stderr(&probe));
    let lines = json_lines(&probe);
    let stages: Vec<_> = lines
        .iter()
        .filter_map(|line| line["stage"].as_str())
        .collect();
    assert_eq!(stages, ["dns", "tcp", "rlpx", "hello", "status", "ping"]);
    let verdict = lines.last().unwrap();
    assert_eq!(verdict["kind"], "greeted");
    assert_eq!(verdict["network_id"], 560_048);
    assert_eq!(verdict["shared"], serde_json::json!(["eth/69"]));
    assert_eq!(verdict["negotiated"], 69);
    let id = verdict["id"].as_str().unwrap();
    assert!(listener.address.contains(id), "whom we dialled");
    assert!(verdict["rtt_ms"].is_number());
    let seen = listener.next();
    assert_eq!(seen["type"], "peer");
    assert_eq!(seen["fork"], verdict["fork"]);
    assert_ne!(seen["id"], verdict["id"]);
    assert_eq!(listener.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_probe_in_words_names_the_key_the_fork_and_what_is_shared() {
    let listener = Listener::start(&["ethereum", "--chain", "hoodi"]);
    let words = stdout(&["probe", "--chain", "hoodi", &listener.address]);
    for part in [
        "(ethereum hoodi)",
        "literal address",
        "proved the key ",
        "sharing eth/72",
        "network 560048  fork ",
        "verdict: greeted: peerage/v",
    ] {
        assert!(words.contains(part), "{part} is missing in\n{words}");
    }
    // Without its scheme, with -n.
    let bare = listener.address.strip_prefix("enode://").unwrap();
    stdout(&["probe", "-n", "ethereum", "--chain", "hoodi", bare]);
}

#[test]
fn a_transcript_shows_the_frames_decrypted_in_words_and_in_json() {
    let listener = Listener::start(&["ethereum", "--chain", "hoodi"]);
    let args = ["probe", "--chain", "hoodi", "--transcript"];
    let words = stdout(&[&args[..], &[&listener.address]].concat());
    for part in [
        " auth, ",
        " ack, ",
        " Hello, ",
        " Status, ",
        " Ping, ",
        " Pong, ",
        "client_id",
        "fork_hash",
        "which is, decrypted:",
        "messages after Hello are compressed",
    ] {
        assert!(words.contains(part), "{part} is missing in\n{words}");
    }

    let json = run(&[&args[..], &["--json", &listener.address]].concat());
    let lines = json_lines(&json);
    let messages: Vec<_> = lines.iter().filter(|l| l["type"] == "message").collect();
    let said = |by: &str, command: &str| {
        let mut messages = messages.iter();
        let found = messages.find(|line| line["sent_by"] == by && line["command"] == command);
        found.unwrap_or_else(|| panic!("no {command} by {by}"))
    };
    for (by, exchange) in [("us", "auth"), ("them", "ack")] {
        let packet = said(by, exchange);
        assert_eq!(packet["offset"], 0);
        assert!(
            packet["plain"].is_null(),
            "one packet each opens the cipher"
        );
    }
    for by in ["us", "them"] {
        for command in ["Hello", "Status", "Ping", "Pong"] {
            let message = said(by, command);
            assert!(message["error"].is_null(), "{message}");
            let plain = hex::decode(message["plain"].as_str().unwrap()).unwrap();
            // Every body is an RLP list, and no more than it.
            let len = match plain[0] {
                short @ 0xc0..=0xf7 => 1 + usize::from(short - 0xc0),
                0xf8 => 2 + usize::from(plain[1]),
                other => panic!("{other:#x} begins no list"),
            };
            assert_eq!(plain.len(), len, "{command}");
            let bytes = hex::decode(message["bytes"].as_str().unwrap()).unwrap();
            assert!(bytes.len() >= 64, "a header, a body, and a tag for each");
            assert_eq!(bytes.len() % 16, 0);
        }
        let hello = said(by, "Hello");
        let id = hello["fields"]["id"].as_str().unwrap();
        let ours = listener.address.contains(&id[2..]);
        assert_eq!(ours, by == "them");
        assert_eq!(said(by, "Status")["fields"]["network_id"], 560_048);
    }
}

#[test]
fn a_head_chooses_the_fork_and_a_capability_the_version() {
    let listener = Listener::start(&["ethereum", "--chain", "hoodi"]);
    let probe = |more: &[&str]| {
        let mut args = vec!["probe", "--json", "--chain", "hoodi"];
        args.extend(more);
        args.push(&listener.address);
        let output = run(&args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        json_lines(&output).pop().unwrap()
    };
    assert_eq!(probe(&[])["fork_relation"], "same");
    // A node that has just begun meets one that is far ahead.
    let verdict = probe(&["--head", "1:2", "--capability", "eth/70"]);
    assert_eq!(verdict["fork_relation"], "ahead");
    assert_eq!(verdict["negotiated"], 70);
    let both = ["--capability", "eth/68", "--capability", "snap/1"];
    assert_eq!(probe(&both)["shared"], serde_json::json!(["eth/68"]));

    let args = ["ethereum", "--chain", "hoodi", "--head", "1:1742999832"];
    let behind = Listener::start(&args);
    let output = run(&["probe", "--json", "--chain", "hoodi", &behind.address]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let verdict = json_lines(&output).pop().unwrap();
    assert_eq!(verdict["fork"], "prague");
    assert_eq!(verdict["fork_relation"], "behind");
}

#[test]
fn what_is_wrong_with_an_ethereum_command_is_said_with_what_to_write() {
    let key = "0f".repeat(64);
    let enode = format!("enode://{key}@127.0.0.1:1");
    let enode = enode.as_str();
    let short = "enode://0f@127.0.0.1:1";
    for (args, hint) in [
        (&["probe", "--head", "x", enode][..], "number:time"),
        (&["probe", "--head", "1:x", enode], "number:time"),
        (&["probe", "--capability", "eth", enode], "eth/69"),
        (&["probe", "--capability", "eth/x", enode], "eth/69"),
        (
            &["probe", "--capability", "eth/67", enode],
            "eth/68 to eth/72",
        ),
        (
            &["probe", "--services", "1", enode],
            "ethereum does not know the option services; zcash, decred do: leave it out",
        ),
        (
            &["probe", "--height", "1", enode],
            "does not know the option height",
        ),
        (
            &["listen", "zcash", "--head", "1"],
            "zcash does not know the option head; ethereum does: leave it out",
        ),
        (&["probe", "--chain", "goerli", enode], "sepolia, hoodi"),
        (&["probe", "-n", "ethereum", "h:1"], "write enode://KEY@h:1"),
        (&["probe", "-n", "zcash", enode], "an address of ethereum"),
        (&["probe", short], "128"),
        (
            &["listen", "ethereum", "--isolated", "--bind", "127.0.0.1:0"],
            "leave --isolated out",
        ),
    ] {
        let output = run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(hint), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

/// A chain of somebody's own.
const PRIVATE: &str = r#"network = "ethereum"
[[chain]]
name = "mine"
network_id = 7331
chain_id = 7331
genesis_hash = "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
[[chain.fork]]
name = "ours"
time = 1700000000
"#;

#[test]
fn a_folder_of_tables_may_hold_a_private_chain_of_ethereum() {
    let dir = TempDir::new("private");
    let folder = dir.0.to_str().unwrap();
    let write = |text: &str| std::fs::write(dir.file("ethereum.toml"), text).unwrap();
    let probe = |address: &str| {
        let args = ["probe", "--json", "--chain", "mine", "--tables", folder];
        run(&[&args[..], &[address]].concat())
    };
    write(PRIVATE);
    let args = ["ethereum", "--chain", "mine", "--tables", folder];
    let listener = Listener::start(&args);
    let verdict = json_lines(&probe(&listener.address)).pop().unwrap();
    assert_eq!(verdict["kind"], "greeted", "{verdict}");
    assert_eq!(
        (&verdict["network_id"], &verdict["fork"]),
        (&7331.into(), &"ours".into())
    );

    // A new fork is read by the next node; the listener is as it was.
    write(&format!(
        "{PRIVATE}[[chain.fork]]\nname = \"later\"\ntime = 1710000000\n"
    ));
    let output = probe(&listener.address);
    assert_eq!(code(&output), 1);
    let verdict = json_lines(&output).pop().unwrap();
    assert_eq!(verdict["kind"], "obsolete", "{verdict}");
    assert_eq!(verdict["reason"]["detail"]["missing_fork"], "later");
    let renewed = Listener::start(&args);
    assert_eq!(code(&probe(&renewed.address)), 0);

    // A wrong one names its file, the line and what to do.
    for (from, to, line, words) in [
        (
            "time = 1700000000\n",
            "",
            "line 8",
            "either a block or a time",
        ),
        ("chain_id", "chian_id", "line 5", "chain_id"),
        ("0xd4e5", "0xd4e", "line 6", "64 hexadecimal digits"),
    ] {
        assert!(PRIVATE.contains(from), "{from}");
        write(&PRIVATE.replacen(from, to, 1));
        let output = probe(&listener.address);
        assert_eq!(code(&output), 2);
        let said = stderr(&output);
        for part in ["ethereum.toml", line, words] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn help_shows_how_an_enode_is_probed_and_listened_as() {
    for (command, example) in [
        ("probe", "enode://KEY@192.0.2.1:30303"),
        ("listen", "peerage listen ethereum --chain hoodi"),
    ] {
        let help = stdout(&[command, "--help"]);
        for part in [
            "--head <NUMBER[:TIME]>",
            "--capability <NAME/VERSION>",
            example,
        ] {
            assert!(help.contains(part), "{part} is missing in\n{help}");
        }
    }
}

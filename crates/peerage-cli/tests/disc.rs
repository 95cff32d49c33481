//! Discovery as a person or a script meets it: `disc`, `find`, `decode packet`, `key to-enr`.
#![cfg(test)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Output, Stdio};

use serde_json::Value;

use common::{code, json_lines, peerage, run, stderr};

/// A running `disc serve`, ended with the value.
struct Server {
    child: Child,
    _lines: BufReader<ChildStdout>,
    enr: String,
    node_id: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut all = vec!["disc", "serve", "--bind", "127.0.0.1:0", "--json"];
        all.extend(["--for", "60s"]);
        all.extend(args);
        let mut child = peerage(&all).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let serving: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(serving["type"], "serving");
        let text = |name: &str| serving[name].as_str().unwrap().to_owned();
        Self {
            enr: text("enr"),
            node_id: text("node_id"),
            child,
            _lines: lines,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A question from a node of its own.
fn ask(what: &str, args: &[&str]) -> Output {
    let mut all = vec!["disc", what, "--bind", "127.0.0.1:0", "--json"];
    all.extend(args);
    run(&all)
}

#[test]
fn a_node_answers_every_question() {
    let server = Server::start(&["--talk-echo", "echo"]);
    let pings = ask("ping", &["--times", "8", &server.enr]);
    assert_eq!(code(&pings), 0);
    let pongs = json_lines(&pings);
    assert_eq!(pongs.len(), 8);
    for pong in &pongs {
        assert_eq!(pong["type"], "pong");
        assert_eq!(pong["v"], 1);
        assert!(pong["observed"].as_str().unwrap().starts_with("127.0.0.1:"));
    }

    let found = ask("findnode", &[&server.enr]);
    let found = json_lines(&found);
    assert_eq!(found[0]["enr"], server.enr.as_str());
    assert_eq!(
        (&found[1]["type"], &found[1]["count"]),
        (&"nodes".into(), &1.into())
    );

    let said = ask(
        "talk",
        &["--protocol", "echo", "--payload", "0xc0ffee", &server.enr],
    );
    assert_eq!(code(&said), 0);
    assert_eq!(json_lines(&said)[0]["payload"], "c0ffee");
    let unknown = ask("talk", &["--protocol", "other", &server.enr]);
    assert_eq!(code(&unknown), 1, "nothing is no answer");

    let resolved = ask("resolve", &[&server.enr]);
    assert_eq!(code(&resolved), 0);
    assert_eq!(json_lines(&resolved)[0]["enr"], server.enr.as_str());
    let lookup = ask("lookup", &["--target", &server.node_id, &server.enr]);
    assert_eq!(code(&lookup), 0);
    assert_eq!(json_lines(&lookup)[0]["node_id"], server.node_id.as_str());
}

#[test]
fn a_silent_node_is_a_reason_and_a_taken_port_the_environments_fault() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = TempDir::new("silent");
    let key = dir.key("node.key");
    let record = run(&["key", "to-enr", &key, "--ip", "127.0.0.1", "--udp", &port]);
    let record = String::from_utf8(record.stdout).unwrap();
    let silent = ask("ping", &["--timeout", "100ms", record.trim()]);
    assert_eq!(code(&silent), 1);
    let line = &json_lines(&silent)[0];
    assert_eq!(
        (&line["type"], &line["doing"]),
        (&"failed".into(), &"ping".into())
    );
    assert_eq!(line["reason"]["kind"], "timeout");

    let at = format!("127.0.0.1:{port}");
    let serve = run(&["disc", "serve", "--bind", &at, "--for", "1s"]);
    assert_eq!(code(&serve), 3);
    let said = stderr(&serve);
    assert!(said.contains("in use") && said.contains(&port), "{said}");
    assert_eq!(code(&run(&["disc", "ping", "enr:-x"])), 2);
}

#[test]
fn nodes_of_the_chain_are_found_and_others_only_when_asked_for() {
    let boot = Server::start(&["--enr", "x=1"]);
    let join = |args: &[&str]| {
        let mut all = vec!["--bootnode", boot.enr.as_str()];
        all.extend(args);
        Server::start(&all)
    };
    let mainnet = join(&["--chain", "mainnet", "--tcp", "30303"]);
    let _hoodi = join(&["--chain", "hoodi", "--tcp", "30303"]);
    let find = |args: &[&str]| {
        let mut all = vec![
            "find",
            "ethereum",
            "--json",
            "--bind",
            "127.0.0.1:0",
            "--for",
            "50s",
        ];
        all.extend(["--bootnode", &boot.enr]);
        all.extend(args);
        let found = run(&all);
        assert_eq!(code(&found), 0);
        json_lines(&found)
    };
    let found = find(&["--count", "1"]);
    assert_eq!(found[0]["node_id"], mainnet.node_id.as_str());
    assert_eq!(
        (&found[0]["source"], &found[0]["boot"]),
        (&"discv5".into(), &false.into())
    );
    assert!(found[0]["dial"].as_str().unwrap().starts_with("enode://"));
    assert!(found[0]["fork"].is_string() && found[0]["at_ms"].is_number());
    assert_eq!(
        (&found[1]["type"], &found[1]["count"]),
        (&"found".into(), &1.into())
    );

    assert_eq!(
        find(&["--all", "--count", "3"]).len(),
        4,
        "boot, both chains, the sum"
    );
    let filtered = find(&["--all", "--enr", "x=1", "--count", "1"]);
    assert_eq!(filtered[0]["node_id"], boot.node_id.as_str());
    assert_eq!(filtered[0]["boot"], true);
}

#[test]
fn a_key_becomes_a_record_that_reads_back() {
    let dir = TempDir::new("to-enr");
    let key = dir.key("node.key");
    let args = [
        "key",
        "to-enr",
        &key,
        "--ip",
        "192.0.2.1",
        "--ip",
        "2001:db8::1",
    ];
    let more = [
        "--udp", "9", "--tcp", "7", "--seq", "5", "--chain", "mainnet",
    ];
    let made = run(&[&args[..], &more].concat());
    assert_eq!(code(&made), 0);
    let text = String::from_utf8(made.stdout).unwrap();
    let read = run(&["decode", "enr", text.trim(), "--json"]);
    assert_eq!(code(&read), 0);
    let read = &json_lines(&read)[0];
    assert_eq!(read["seq"], 5);
    assert_eq!(
        (&read["udp4"], &read["tcp4"]),
        (&"192.0.2.1:9".into(), &"192.0.2.1:7".into())
    );
    assert_eq!(read["udp6"], "[2001:db8::1]:9");
    assert_eq!(read["eth"]["fits"], true);
    // The public key is that of the file.
    let shown = run(&["key", "show", &key, "--json"]);
    assert_eq!(json_lines(&shown)[0]["public_key"], read["public_key"]);
}

/// The packets of the specification, by its own expectations.
#[test]
fn the_specifications_packets_are_explained() {
    let vectors = include_str!("../../discv5/tests/vectors/wire.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let packets = vectors["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 4);
    for packet in packets {
        let (params, expected) = (&packet["params"], &packet["expected"]);
        let hex = |value: &Value| value.as_str().map(|text| text[2..].to_owned());
        let (id, bytes) = (&params["dest-node-id"], &packet["packet"]);
        let (id, bytes) = (hex(id).unwrap(), hex(bytes).unwrap());
        let mut args = vec!["decode", "packet", "--json", &bytes, "--node-id", &id];
        let key = hex(&params["read-key"]);
        if let Some(key) = &key {
            args.extend(["--session-key", key]);
        }
        let read = run(&args);
        assert_eq!(code(&read), 0, "{}", packet["name"]);
        let fields = &json_lines(&read)[0]["fields"];
        assert_eq!(fields["flag"], expected["flag"]);
        if let Some(nonce) = hex(&params["nonce"]) {
            assert_eq!(fields["nonce"], nonce);
        }
        if key.is_some() {
            assert_eq!(fields["name"], "ping");
            assert_eq!(fields["enr_seq"], params["ping.enr-seq"]);
            assert_eq!(fields["request_id"], hex(&params["ping.req-id"]).unwrap());
            assert_eq!(fields["source"], hex(&params["src-node-id"]).unwrap());
            let other = "ff".repeat(16);
            let args = [
                "decode",
                "packet",
                &bytes,
                "--node-id",
                &id,
                "--session-key",
                &other,
            ];
            assert_eq!(code(&run(&args)), 1, "another session's key");
        }
        let another = "cc".repeat(32);
        let read = run(&["decode", "packet", &bytes, "--node-id", &another]);
        assert_eq!(code(&read), 1, "for another node");
    }
    assert_eq!(code(&run(&["decode", "packet", "00"])), 2, "whose packet?");
}

struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peerage-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A fresh key's file.
    fn key(&self, name: &str) -> String {
        let file = self.0.join(name).to_str().unwrap().to_owned();
        assert_eq!(code(&run(&["key", "new", &file])), 0);
        file
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

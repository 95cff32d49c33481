//! What outsiders see, as a person or a script meets it: `broker stun`, `doctor`, and where a node
//! says that it is. Loopback has a second address on Linux.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;

use serde_json::Value;

fn peerage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    command
        .args(args)
        .env_remove("PEERAGE_TABLES")
        .env_remove("PEERAGE_DATA")
        .env_remove("PEERAGE_KEY_FILE");
    command
}

fn run(args: &[&str]) -> Output {
    peerage(args).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A command that runs on and tells JSON lines, ended with the value.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = peerage(args);
        command
            .args(["--for", "60s", "--json"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line of a type.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "it ended before {kind}"
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["type"] == kind {
                return line;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn doctor_asks_broker_stun_and_shows_the_evidence() {
    let stun = [
        "broker",
        "stun",
        "--bind",
        "127.0.0.1:0",
        "--bind",
        "127.0.0.2:0",
    ];
    let mut stun = Server::start(&stun);
    let serving = stun.next("serving");
    assert_eq!(serving["addrs"].as_array().unwrap().len(), 4);
    let at = serving["addrs"][0].as_str().unwrap();
    let output = run(&["doctor", "--stun", at, "--network", "mobile", "--json"]);
    let lines = lines(&output);
    let nat = lines.iter().find(|line| line["family"] == "IPv4").unwrap();
    assert_eq!(nat["name"], "no NAT");
    assert_eq!(nat["nat"]["value"], 5);
    assert_eq!(nat["nat"]["class"], "unlimited");
    assert_eq!(nat["network"], "mobile");
    assert_eq!(
        (&nat["translated"], &nat["external"]),
        (&Value::Bool(false), &nat["local"])
    );
    let asked: Vec<_> = nat["evidence"].as_array().unwrap().iter().collect();
    assert_eq!(asked.len(), 7, "three for filtering, four for mapping");
    assert!(asked.iter().all(|trial| trial["outcome"] == "answered"));
    let shown = run(&["doctor", "--stun", at]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for words in [
        "IPv4  no NAT",
        "does an answer from another address come in",
        "yes at 127.0.0.1:",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
}

#[test]
fn one_address_is_not_enough_and_nobody_to_ask_is_said() {
    let mut stun = Server::start(&["broker", "stun", "--bind", "127.0.0.1:0"]);
    let serving = stun.next("serving");
    let at = serving["addrs"][0].as_str().unwrap();
    let output = run(&["doctor", "--stun", at, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    let nat = lines.iter().find(|line| line["family"] == "IPv4").unwrap();
    assert_eq!(nat["mapping_unknown"]["detail"]["unknown"], "one_address");
    for (args, words) in [
        (
            &[
                "broker",
                "stun",
                "--bind",
                "127.0.0.1:0",
                "--bind",
                "127.0.0.1:0",
            ][..],
            "must differ",
        ),
        (&["broker", "stun"], "--bind"),
        (&["doctor", "--map", "9000"], "PORT/udp"),
        (
            &["doctor", "--network", "carrier pigeon"],
            "wired, wifi and mobile",
        ),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_configured_address_stands_in_the_record_from_the_beginning() {
    let serve = [
        "disc",
        "serve",
        "--bind",
        "0.0.0.0:0",
        "--external",
        "192.0.2.7",
        "--tcp",
        "9",
    ];
    let mut node = Server::start(&serve);
    let serving = node.next("serving");
    let addrs = serving["addrs"][0].as_str().unwrap();
    let port = addrs.rsplit_once(':').unwrap().1;
    assert_eq!(serving["udp4"], format!("192.0.2.7:{port}"));
    assert_eq!(serving["tcp4"], "192.0.2.7:9");
    // Bound to nothing by name and told nothing, it names no place.
    let mut node = Server::start(&["disc", "serve", "--bind", "0.0.0.0:0"]);
    assert_eq!(node.next("serving")["udp4"], Value::Null);
}

#[test]
fn why_self_tells_what_the_daemon_tells_and_why() {
    let data = std::env::temp_dir().join(format!("peerage-self-{}", std::process::id()));
    let folder = data.to_str().unwrap();
    let nobody = run(&["why", "--self", "--data", folder]);
    assert_eq!(nobody.status.code(), Some(1));
    let mut node = Server::start(&[
        "serve",
        "ethereum",
        "--chain",
        "hoodi",
        "--data",
        folder,
        "--listen",
        "127.0.0.1:0",
        "--discovery",
        "127.0.0.1:0",
        "--external",
        "192.0.2.7:30303",
        "--no-seeds",
    ]);
    let told = node.next("external");
    let decision = &told["decisions"][0];
    assert_eq!(decision["addr"], "192.0.2.7:30303");
    assert_eq!(decision["source"], "configured");
    assert_eq!(decision["set_aside"][0]["source"], "bound");
    let output = run(&["why", "--self", "--data", folder, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let own = &lines(&output)[0];
    assert_eq!(own["node"], "ethereum/hoodi");
    assert_eq!(own["told"]["decisions"], told["decisions"]);
    let words = run(&["why", "--self", "--data", folder]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("IPv4: 192.0.2.7:30303, configured"),
        "{words}"
    );
    assert!(
        words.contains("(bound): a source more trusted says another address"),
        "{words}"
    );
    drop(node);
    std::fs::remove_dir_all(PathBuf::from(folder)).unwrap();
}

#[test]
fn a_node_without_discovery_says_what_it_tells_and_a_missing_router_is_said() {
    let data = std::env::temp_dir().join(format!("peerage-told-{}", std::process::id()));
    let folder = data.to_str().unwrap();
    let mut node = Server::start(&[
        "serve",
        "zcash",
        "--chain",
        "regtest",
        "--data",
        folder,
        "--listen",
        "127.0.0.1:0",
        "--external",
        "192.0.2.7",
        "--no-seeds",
    ]);
    let listening = node.next("listening");
    let port = listening["addrs"][0]
        .as_str()
        .unwrap()
        .rsplit_once(':')
        .unwrap()
        .1
        .to_owned();
    let told = node.next("external");
    assert_eq!(told["decisions"][0]["addr"], format!("192.0.2.7:{port}"));
    drop(node);
    std::fs::remove_dir_all(&data).unwrap();
    let hidden = run(&[
        "serve",
        "zcash",
        "--data",
        folder,
        "--isolated",
        "--no-listen",
        "--external",
        "192.0.2.7",
    ]);
    assert_eq!(hidden.status.code(), Some(2));
    assert!(
        String::from_utf8(hidden.stderr)
            .unwrap()
            .contains("a node that hides tells nobody")
    );
    let mapped = run(&[
        "doctor",
        "--map",
        "9000/udp",
        "--router",
        "127.0.0.1",
        "--json",
    ]);
    let lines = lines(&mapped);
    let mapping = lines.iter().find(|line| line["type"] == "mapping").unwrap();
    assert_eq!(mapping["state"], "failed", "nobody there gives ports");
}

/// A SOCKS5 proxy (RFC 1928, RFC 1929) for one connection, which goes nowhere: gives the request's
/// kind of address and the address.
fn socks() -> (String, thread::JoinHandle<(u8, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut say = stream.try_clone().unwrap();
        let mut take = |len: usize| {
            let mut bytes = vec![0; len];
            stream.read_exact(&mut bytes).unwrap();
            bytes
        };
        let count = take(2)[1];
        let methods = take(count.into());
        let method = if methods.contains(&2) { 2 } else { 0 };
        say.write_all(&[5, method]).unwrap();
        if method == 2 {
            let len = take(2)[1];
            take(len.into());
            let len = take(1)[0];
            take(len.into());
            say.write_all(&[1, 0]).unwrap();
        }
        let kind = take(4)[3];
        let len = if kind == 3 { take(1)[0] } else { 4 };
        let address = take(len.into());
        take(2);
        say.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        (kind, address)
    });
    (at, serving)
}

#[test]
fn doctor_tells_whether_a_proxy_resolves_names_and_asks_nobody_else() {
    let (at, serving) = socks();
    let url = format!("socks5h://{at}");
    let name = "peer.invalid:8233";
    let output = run(&["doctor", "--proxy", &url, "--through", name, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = lines(&output);
    assert_eq!(shown.len(), 1, "no NAT, no router");
    assert_eq!(shown[0]["type"], "proxy");
    assert_eq!(
        (&shown[0]["works"], &shown[0]["resolves_names"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    let (kind, address) = serving.join().unwrap();
    assert_eq!(
        (kind, &*address),
        (3, &b"peer.invalid"[..]),
        "the name, not an address"
    );
    // Nobody listens there any more.
    let output = run(&["doctor", "--proxy", &url, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = lines(&output);
    assert_eq!(shown[0]["works"], false);
    assert_eq!(shown[0]["reason"]["kind"], "connection_refused");
}

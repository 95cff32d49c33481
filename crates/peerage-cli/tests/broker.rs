//! Broker, volunteer and client as processes of their own, killed at will.

#![cfg(test)]
#![cfg(feature = "inproxy")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes nearly so long; what hangs, fails.
const LIMIT: Duration = Duration::from_secs(30);

fn peerage(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerage"));
    command
        .args(args)
        .env_remove("PEERAGE_VIA")
        .stderr(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    peerage(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A command that runs, its lines of JSON, and its end with the value.
struct Running {
    child: Child,
    lines: Receiver<Value>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = peerage(args)
            .arg("--json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        let (sender, lines) = sync_channel(1000);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line that has this value there.
    fn line(&self, key: &str, value: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap();
            if line[key] == value {
                return line;
            }
        }
    }

    /// As a crash, or the power.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let mut kill = Command::new("kill");
        assert!(kill.args([signal, &id]).status().unwrap().success());
    }

    /// As a machine that hangs: its connections stay, and nothing is said any more.
    fn freeze(&self) {
        self.signal("-STOP");
    }

    /// As ^C.
    fn interrupt(mut self) -> i32 {
        self.signal("-INT");
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("peerage-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Echoes whatever connects.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut from = stream.try_clone().unwrap();
                let mut to = stream;
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    addr
}

fn connect(to: &str) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Broker, invitation, and what a volunteer and a client are started with.
struct Place {
    folder: Folder,
    broker: Running,
    at: String,
}

const ALL: &str = "127.0.0.0/8:1-65535";

impl Place {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let reports = folder.path("reports");
        let broker = Self::broker(&folder, "127.0.0.1:0", &reports);
        let line = broker.line("type", "broker");
        let listen = line["listen"].as_str().unwrap().to_owned();
        let at = format!("{}@{listen}", line["key"].as_str().unwrap());
        let dir = folder.path("op");
        let args = [
            "broker", "invite", "--dir", &dir, "--at", &listen, "--allow", ALL,
        ];
        std::fs::write(folder.path("invitation"), output(&args).stdout).unwrap();
        Self { folder, broker, at }
    }

    fn broker(folder: &Folder, listen: &str, reports: &str) -> Running {
        let dir = folder.path("op");
        let args = [
            "broker",
            "serve",
            "--dir",
            &dir,
            "--listen",
            listen,
            "--loopback-for-tests",
        ];
        Running::start(&[&args[..], &["--reports", reports]].concat())
    }

    fn volunteer(&self) -> Running {
        let key = self.folder.path("volunteer.key");
        let args = [
            "broker",
            "volunteer",
            "--broker",
            &self.at,
            "--key",
            &key,
            "--allow",
            ALL,
        ];
        let volunteer =
            Running::start(&[&args[..], &["--allow-private", "--bind", "127.0.0.1"]].concat());
        volunteer.line("type", "volunteer");
        volunteer
    }

    fn dial(&self, to: SocketAddr) -> (Running, String) {
        let (invitation, to) = (self.folder.path("invitation"), to.to_string());
        let args = [
            "broker",
            "dial",
            "--via",
            &invitation,
            "--bind",
            "127.0.0.1",
            "--to",
            &to,
        ];
        let client = Running::start(&args);
        let at = client.line("type", "listening")["at"]
            .as_str()
            .unwrap()
            .to_owned();
        (client, at)
    }

    /// Whether the broker counts any of this, in its metrics.
    fn counts(&self, what: &str) -> bool {
        let listen = self.at.split('@').nth(1).unwrap();
        let mut stream = connect(listen);
        let get = "GET /metrics HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n";
        stream.write_all(get.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("peerage_broker_")?.strip_prefix(what));
        line.is_some_and(|line| !line.ends_with(" 0"))
    }

    /// Waits until it does.
    fn until(&self, what: &str) {
        let until = Instant::now() + LIMIT;
        while !self.counts(what) {
            assert!(Instant::now() < until, "{what}");
            thread::yield_now();
        }
    }

    /// Asks as `explain` does, and goes on meanwhile.
    fn explaining(&self, to: SocketAddr, timeout: &str) -> Running {
        let (invitation, to) = (self.folder.path("invitation"), to.to_string());
        let asked = ["broker", "explain", "--bind", "127.0.0.1", &to];
        Running::start(&[&asked[..], &["--via", &invitation, "--timeout", timeout]].concat())
    }

    fn explain(&self, to: SocketAddr) -> (i32, Value) {
        let (invitation, to) = (self.folder.path("invitation"), to.to_string());
        let args = [
            "broker",
            "explain",
            "--via",
            &invitation,
            "--bind",
            "127.0.0.1",
            &to,
        ];
        let output = output(&[&args[..], &["--timeout", "2s", "--json"]].concat());
        let line = serde_json::from_str(&text(&output)).unwrap();
        (output.status.code().unwrap(), line)
    }
}

fn echoes(stream: &mut TcpStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    stream.write_all(bytes).unwrap();
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, bytes);
}

#[test]
fn a_killed_volunteer_ends_its_connections_and_another_carries_the_next() {
    let place = Place::new("killed-volunteer");
    let mut volunteer = place.volunteer();
    let (client, at) = place.dial(echo());
    let mut stream = connect(&at);
    echoes(&mut stream, b"through");
    volunteer.line("event", "relaying");
    volunteer.kill();
    // Without the volunteer's process nobody says goodbye; its silence ends the connection.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert_eq!(client.line("event", "ended")["end"], "volunteer_broke");
    let _next = place.volunteer();
    echoes(&mut connect(&at), b"again");
}

/// Volunteers' slots that wait, as a volunteer of unknown NAT has them.
const WAITING: &str = "waiting{side=\"volunteer\",nat=\"strict\"}";

#[test]
fn a_volunteer_frozen_or_killed_between_match_and_answer_is_told_to_its_client() {
    let place = Place::new("frozen-volunteer");
    let mut frozen = place.volunteer();
    place.until(WAITING);
    frozen.freeze();
    let asked = place.explaining(echo(), "6s");
    // Both its slots are given a client, which it does not answer.
    place.until("calls_total{call=\"offer\",outcome=\"volunteer_left\"}");
    assert!(place.counts("volunteers_silent_total"));
    frozen.kill();
    assert_eq!(asked.line("type", "explanation")["ok"], false);

    // One that is killed with a client in its hands: the next takes it over.
    let mut killed = place.volunteer();
    place.until(WAITING);
    killed.freeze();
    let asked = place.explaining(echo(), "20s");
    place.until("answers_awaited");
    killed.kill();
    let _next = place.volunteer();
    assert_eq!(asked.line("type", "explanation")["ok"], true);
}

#[test]
fn a_volunteer_frozen_while_it_relays_breaks_the_connection() {
    let place = Place::new("frozen-relay");
    let volunteer = place.volunteer();
    let (client, at) = place.dial(echo());
    let mut stream = connect(&at);
    echoes(&mut stream, b"through");
    volunteer.freeze();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(client.line("event", "ended")["end"], "volunteer_broke");
}

#[test]
fn a_broker_killed_while_calls_wait_or_an_answer_is_due_is_found_again() {
    let mut place = Place::new("killed-waiting");
    let reports = place.folder.path("reports");
    let listen = place.at.split('@').nth(1).unwrap().to_owned();
    // An offer waits, and nobody is there.
    let asked = place.explaining(echo(), "20s");
    place.until("waiting{side=\"client\",nat=\"strict\"}");
    place.broker.kill();
    place.broker = Place::broker(&place.folder, &listen, &reports);
    place.broker.line("type", "broker");
    // An announcement waits; a match is made, and its answer is due.
    let volunteer = place.volunteer();
    assert_eq!(asked.line("type", "explanation")["ok"], true);
    place.until(WAITING);
    volunteer.freeze();
    let asked = place.explaining(echo(), "20s");
    place.until("answers_awaited");
    place.broker.kill();
    volunteer.signal("-CONT");
    place.broker = Place::broker(&place.folder, &listen, &reports);
    place.broker.line("type", "broker");
    assert_eq!(asked.line("type", "explanation")["ok"], true);
}

#[test]
fn a_killed_broker_ends_nothing_that_runs_and_its_successor_is_found_again() {
    let mut place = Place::new("killed-broker");
    let volunteer = place.volunteer();
    let (client, at) = place.dial(echo());
    let mut stream = connect(&at);
    echoes(&mut stream, b"before");
    place.broker.kill();
    echoes(&mut stream, b"after");
    // A new connection has nobody to ask.
    let mut none = connect(&at);
    assert_eq!(none.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(
        client.line("event", "failed")["reason"]["kind"],
        "connection_refused"
    );
    volunteer.line("event", "broker");
    // The same broker comes back at the same place, and knows no session.
    let listen = place.at.split('@').nth(1).unwrap().to_owned();
    let reports = place.folder.path("reports");
    place.broker = Place::broker(&place.folder, &listen, &reports);
    place.broker.line("type", "broker");
    let _volunteer = place.volunteer();
    echoes(&mut connect(&at), b"again");
}

#[test]
fn what_stands_in_the_way_is_said_and_every_introduction_is_recorded() {
    let place = Place::new("explain");
    let to = echo();
    let (code, none) = place.explain(to);
    assert_eq!((code, &none["ok"]), (1, &Value::Bool(false)));
    assert_eq!(none["volunteers_waiting"], 0);
    let volunteer = place.volunteer();
    let (code, reached) = place.explain(to);
    assert_eq!((code, &reached["ok"]), (0, &Value::Bool(true)), "{reached}");
    let outside: SocketAddr = "9.9.9.9:1".parse().unwrap();
    let (code, not_ours) = place.explain(outside);
    assert_eq!(
        (code, not_ours["reason"]["kind"].as_str()),
        (1, Some("usage"))
    );
    volunteer.line("event", "ended");
    assert_eq!(volunteer.interrupt(), 0);
    let reports = place.folder.path("reports");
    let Place { folder, broker, .. } = place;
    assert_eq!(broker.interrupt(), 0);
    let records = std::fs::read_to_string(reports).unwrap();
    let record: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!(record["record"]["destination"], to.to_string());
    drop(folder);
}

#[test]
fn a_pair_meets_by_its_link_and_a_retired_compartment_is_named() {
    let mut place = Place::new("pair");
    let invitation = place.folder.path("invitation");
    let pairing = place.folder.path("pairing");
    let made = output(&["broker", "pair", "--invitation", &invitation]);
    std::fs::write(&pairing, &made.stdout).unwrap();
    assert!(text(&made).starts_with("peerage-pairing:"));
    let key = place.folder.path("volunteer.key");
    let args = [
        "broker",
        "volunteer",
        "--pairing",
        &pairing,
        "--key",
        &key,
        "--allow",
        ALL,
    ];
    let volunteer =
        Running::start(&[&args[..], &["--allow-private", "--bind", "127.0.0.1"]].concat());
    volunteer.line("type", "volunteer");
    let to = echo().to_string();
    let args = [
        "broker",
        "explain",
        "--bind",
        "127.0.0.1",
        &to,
        "--via",
        &pairing,
    ];
    assert_eq!(output(&args).status.code(), Some(0));
    assert_eq!(volunteer.line("event", "matched")["personal"], true);
    // The broker takes the list up when it starts again.
    let dir = place.folder.path("op");
    let listed = text(&output(&["broker", "compartments", "list", "--dir", &dir]));
    let id = listed.split_whitespace().nth(1).unwrap();
    let retired = output(&["broker", "compartments", "retire", "--dir", &dir, id]);
    assert_eq!(retired.status.code(), Some(0));
    place.broker.kill();
    let listen = place.at.split('@').nth(1).unwrap().to_owned();
    place.broker = Place::broker(&place.folder, &listen, &place.folder.path("reports"));
    place.broker.line("type", "broker");
    let (code, refused) = place.explain(to.parse().unwrap());
    assert_eq!(code, 1);
    let said = refused["reason"]["message"].as_str().unwrap();
    assert!(said.contains("retired"), "{said}");
}

#[test]
fn peers_of_every_network_are_greeted_through_a_volunteer() {
    let place = Place::new("peers");
    let volunteer = place.volunteer();
    let invitation = place.folder.path("invitation");
    let via = ["--via", &invitation, "--via-bind", "127.0.0.1"];
    for (network, chain) in [
        ("zcash", "regtest"),
        ("decred", "simnet"),
        ("ethereum", "hoodi"),
    ] {
        let listening = ["listen", network, "--chain", chain, "--bind", "127.0.0.1:0"];
        let peer = Running::start(&[&listening[..], &["--for", "60s"]].concat());
        let line = peer.line("type", "listening");
        let (addr, address) = (line["addr"].as_str(), line["address"].as_str());
        let probe = ["probe", "--chain", chain, "--json", address.unwrap()];
        let probed = output(&[&probe[..], &via].concat());
        assert_eq!(probed.status.code(), Some(0), "{}", text(&probed));
        let relaying = volunteer.line("event", "relaying");
        assert_eq!(relaying["destination"].as_str(), addr);
    }
    let both = ["probe", "--proxy", "socks5h://127.0.0.1:1", "127.0.0.1"];
    let both = output(&[&both[..], &via, &["--network", "zcash"]].concat());
    let neither = "neither is taken for the other";
    assert_eq!(both.status.code(), Some(2), "{neither}");
}

#[test]
fn a_node_keeps_peers_through_a_volunteer_and_remembers_the_volunteers_words() {
    let place = Place::new("kept");
    let volunteer = place.volunteer();
    let chain = ["--chain", "regtest"];
    let listening = ["listen", "zcash", "--bind", "127.0.0.1:0", "--for", "60s"];
    let peer = Running::start(&[&listening[..], &chain].concat());
    let at = peer.line("type", "listening")["addr"]
        .as_str()
        .unwrap()
        .to_owned();
    // A port that is taken, where nobody listens.
    let shut = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = shut.local_addr().unwrap().to_string();
    drop(shut);
    let (invitation, data) = (place.folder.path("invitation"), place.folder.path("data"));
    let via = ["--via", &invitation, "--via-bind", "127.0.0.1"];
    let serve = ["serve", "zcash", "--data", &data, "--no-seeds"];
    let peers = ["--peer", &at, "--peer", &closed];
    let node = Running::start(&[&serve[..], &chain, &peers, &via].concat());
    assert_eq!(volunteer.line("event", "relaying")["destination"], at);
    let failed = node.line("type", "failed");
    assert_eq!(failed["reason"]["kind"], "connection_refused", "{failed}");
    let words = failed["reason"]["message"].as_str().unwrap();
    assert!(words.contains("the volunteer says: "), "{failed}");
    assert_eq!(node.interrupt(), 130);
    let why = text(&output(&[
        "why",
        "--data",
        &data,
        &format!("zec://{closed}"),
    ]));
    assert!(
        why.contains("through volunteers: the volunteer says: "),
        "{why}"
    );
}

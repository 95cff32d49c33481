//! `peers` against daemons that run: what it shows is what they are, what it changes is told by them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Output, Stdio};

use serde_json::Value;

use super::cable::Cable;
use super::serve::{Daemon, REGTEST, address};
use super::{TempDir, code, json_lines, peerage, run, stderr};

/// A daemon that listens, and one that dials it and answers at `api.sock` in its data directory.
pub(crate) struct Pair {
    pub(crate) dir: TempDir,
    pub(crate) first: Daemon,
    /// Where the first listens.
    pub(crate) at: String,
    pub(crate) second: Daemon,
    pub(crate) data: String,
    pub(crate) socket: String,
}

/// Starts a daemon with its socket in `data`, and waits until it answers.
fn with_socket(data: &str, args: &[&str]) -> (Daemon, String) {
    std::fs::create_dir_all(data).unwrap();
    let socket = format!("unix:{data}/api.sock");
    let own = ["--data", data, "--grpc", &socket, "--status", "100ms"];
    let mut daemon = Daemon::start(&[&REGTEST[..], &own, args].concat());
    daemon.wait("api");
    (daemon, socket)
}

impl Pair {
    pub(crate) fn new(name: &str) -> Self {
        let dir = TempDir::new(name);
        let (one, data) = (dir.file("one"), dir.file("two"));
        let listens = ["--listen", "127.0.0.1:0", "--data", &one];
        let mut first = Daemon::start(&[&REGTEST[..], &listens].concat());
        let at = address(&first.wait("listening"));
        let (mut second, socket) = with_socket(&data, &["--no-listen", "--peer", &at]);
        second.wait("established");
        first.wait("established");
        Self {
            dir,
            first,
            at,
            second,
            data,
            socket,
        }
    }

    /// `peers` with these arguments, of the second daemon.
    fn peers(&self, args: &[&str]) -> Output {
        let what = [&["peers"], args, &["--data", &self.data]].concat();
        run(&what)
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `peers` with the place as a variable.
fn by_variable(place: &str, args: &[&str]) -> Output {
    let mut command = peerage(&[&["peers"], args].concat());
    command.env("PEERAGE_API", place).output().unwrap()
}

#[test]
fn peers_are_listed_wherever_the_daemon_is_said_to_be() {
    let pair = Pair::new("peers-list");
    let plain = pair.peers(&["list", "-n", "zcash"]);
    assert_eq!(code(&plain), 0, "{}", stderr(&plain));
    let text = stdout(&plain);
    let (head, row) = text.split_once('\n').unwrap();
    assert!(head.starts_with("session  node"), "{text}");
    for part in ["zcash regtest", &pair.at, "outbound", "static", "peerage"] {
        assert!(row.contains(part), "{part} is missing in {text}");
    }
    let listed = |output: &Output| {
        assert_eq!(code(output), 0, "{}", stderr(output));
        let mut lines = json_lines(output);
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    };
    let peer = listed(&pair.peers(&["list", "--json", "--sort", "rtt"]));
    assert_eq!((&peer["v"], &peer["type"]), (&1.into(), &"peer".into()));
    assert_eq!(peer["address"], pair.at);
    assert_eq!(peer["peer"]["realm"]["chain"], "regtest");
    assert_eq!(
        (&peer["phase"], &peer["standing"]),
        (&"active".into(), &"static".into())
    );
    let session = peer["peer"]["session"].as_u64().unwrap();

    // By flag, by variable, by configuration: it is the same session.
    let config = pair.dir.file("peerage.toml");
    let text = "data = \"two\"\n[api]\ngrpc = \"unix:two/api.sock\"\n";
    std::fs::write(&config, text).unwrap();
    let list = ["list", "--json"];
    for output in [
        run(&["peers", "list", "--json", "--api", &pair.socket]),
        by_variable(&pair.socket, &list),
        run(&["peers", "list", "--json", "--config", &config]),
    ] {
        assert_eq!(listed(&output)["peer"]["session"], session);
    }
    // A configuration of another data directory speaks of another daemon.
    let other = pair.dir.file("other");
    let none = run(&["peers", "list", "--config", &config, "--data", &other]);
    assert_eq!(code(&none), 3);
    assert!(stderr(&none).contains(&other), "{}", stderr(&none));

    let none = pair.peers(&["list", "-n", "decred"]);
    assert_eq!(code(&none), 1);
    assert!(
        stderr(&none).contains("it has zcash regtest"),
        "{}",
        stderr(&none)
    );
}

#[test]
fn a_peer_is_dropped_by_session_or_address() {
    let mut pair = Pair::new("peers-drop");
    let session = |pair: &Pair| {
        let listed = json_lines(&pair.peers(&["list", "--json"]));
        listed[0]["peer"]["session"].to_string()
    };
    let dropped = pair.peers(&["drop", &session(&pair), "--reason", "full"]);
    assert_eq!(code(&dropped), 0, "{}", stderr(&dropped));
    assert!(stderr(&dropped).contains("ends"), "{}", stderr(&dropped));
    assert_eq!(pair.second.wait("closed")["ending"], "cancelled");
    pair.first.wait("closed");
    // It is a static peer, and dialled again.
    pair.second.wait("established");
    let url = format!("zec://{}", pair.at);
    let dropped = pair.peers(&["drop", &url, "--json"]);
    assert_eq!(code(&dropped), 0, "{}", stderr(&dropped));
    let line = &json_lines(&dropped)[0];
    assert_eq!(
        (&line["type"], &line["peer"]["key"]),
        (&"dropped".into(), &pair.at.clone().into())
    );
    pair.second.wait("closed");

    let gone = pair.peers(&["drop", "4294967295"]);
    assert_eq!(code(&gone), 1, "{}", stderr(&gone));
    assert!(
        stderr(&gone).contains("list the peers"),
        "{}",
        stderr(&gone)
    );
    let all = pair.peers(&["drop", "127.0.0.1"]);
    assert_eq!(code(&all), 2);
    assert!(stderr(&all).contains("say which"), "{}", stderr(&all));
}

#[test]
fn a_peer_that_is_trusted_is_dialled_and_stays_so() {
    let mut pair = Pair::new("peers-trust");
    let three = pair.dir.file("three");
    let listens = ["--listen", "127.0.0.1:0", "--data", &three];
    let mut third = Daemon::start(&[&REGTEST[..], &listens].concat());
    let at = address(&third.wait("listening"));
    let trusted = pair.peers(&["trust", &format!("zec://{at}")]);
    assert_eq!(code(&trusted), 0, "{}", stderr(&trusted));
    let words = format!("{at} is trusted on zcash regtest");
    assert!(stderr(&trusted).contains(&words), "{}", stderr(&trusted));
    assert_eq!(pair.second.wait("established")["key"], at);
    let listed = json_lines(&pair.peers(&["list", "--json"]));
    let standing = |at: &str| {
        let found = listed.iter().find(|peer| peer["address"] == at);
        found.unwrap()["standing"].clone()
    };
    assert_eq!(
        (standing(&at), standing(&pair.at)),
        ("trusted".into(), "static".into())
    );

    let again = pair.peers(&["trust", "-n", "zcash", &pair.at, "--json"]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    let line = &json_lines(&again)[0];
    assert_eq!(
        (&line["type"], &line["peer"]["key"]),
        (&"trusted".into(), &pair.at.clone().into())
    );
    let wrong = pair.peers(&["trust", "not an address"]);
    assert_eq!(code(&wrong), 2, "{}", stderr(&wrong));
}

#[test]
fn a_message_goes_out_and_arrives() {
    let dir = TempDir::new("peers-send");
    let (one, data) = (dir.file("one"), dir.file("two"));
    let listens = ["--listen", "127.0.0.1:0", "--data", &one];
    let http = ["--http", "127.0.0.1:0"];
    let mut first = Daemon::start(&[&REGTEST[..], &listens, &http].concat());
    let at = address(&first.wait("listening"));
    let http = first.wait("api")["http"].as_str().unwrap().to_owned();
    let (mut second, _) = with_socket(&data, &["--no-listen", "--peer", &at]);
    second.wait("established");
    first.wait("established");
    // Whoever gets it tells what it got.
    let mut heard = std::net::TcpStream::connect(&http).unwrap();
    let ask = format!("GET /v1/events?messages.names=inv HTTP/1.1\r\nhost: {http}\r\n\r\n");
    heard.write_all(ask.as_bytes()).unwrap();
    let mut heard = BufReader::new(heard);
    let mut hears = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(heard.read_line(&mut line).unwrap() > 0, "no {wanted}");
        }
    };
    hears("opened");
    let peers = |args: &[&str]| run(&[&["peers", "send"], args, &["--data", &data]].concat());
    let url = format!("zec://{at}");
    for (digit, json) in [("7", true), ("8", false)] {
        let payload = format!("0101000000{}", digit.repeat(64));
        let message = ["--message", "inv", "--payload", &payload];
        if json {
            let sent = peers(&[&[&*url, "--json"], &message[..]].concat());
            assert_eq!(code(&sent), 0, "{} {}", stdout(&sent), stderr(&sent));
            let line = &json_lines(&sent)[0];
            assert_eq!(line["type"], "delivery");
            assert_eq!(line["outcome"], "sent");
        } else {
            let sent = peers(&[&["1", "--gossip"], &message[..]].concat());
            assert_eq!(code(&sent), 0, "{}", stderr(&sent));
            let words = "inv of 37 bytes waits to be written";
            assert!(stderr(&sent).contains(words), "{}", stderr(&sent));
        }
        hears(&payload);
    }

    // What the daemon itself sees to is not for others to send.
    let stray = [&*url, "--message", "pong", "--payload", "0102030405060708"];
    let unsupported = peers(&[&stray[..], &["--json"]].concat());
    assert_eq!(code(&unsupported), 1);
    assert_eq!(json_lines(&unsupported)[0]["outcome"], "unsupported");
    let unsupported = peers(&stray);
    assert_eq!(code(&unsupported), 1);
    let words = "no message pong";
    assert!(
        stderr(&unsupported).contains(words),
        "{}",
        stderr(&unsupported)
    );
    let wrong = peers(&[&url, "--message", "inv", "--payload", "0x0"]);
    assert_eq!(code(&wrong), 2, "{}", stderr(&wrong));
    // Of a session that is over, the outcome says so.
    let unknown = peers(&["4294967295", "--message", "mempool"]);
    assert_eq!(code(&unknown), 1, "{}", stderr(&unknown));
}

/// A running `peers watch`.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
    progress: BufReader<ChildStderr>,
}

impl Watch {
    fn start(args: &[&str]) -> Self {
        let mut command = peerage(&[&["peers", "watch"], args].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()),
            progress: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Waits until it says, to people, that it watches.
    fn watches(&mut self) {
        let mut line = String::new();
        while line != "watching\n" {
            line.clear();
            assert!(self.progress.read_line(&mut line).unwrap() > 0, "it ended");
        }
    }

    /// The next line with this in it.
    fn wait_text(&mut self, part: &str) -> String {
        loop {
            let line = self.text();
            if line.contains(part) {
                return line;
            }
        }
    }

    fn text(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line
    }

    fn wait(&mut self, kind: &str) -> Value {
        loop {
            let line: Value = serde_json::from_str(&self.text()).unwrap();
            if line["type"] == kind {
                return line;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_happens_is_watched_and_a_restart_outlived() {
    let pair = Pair::new("peers-watch");
    let mut watch = Watch::start(&["--json", "--data", &pair.data]);
    let opened = watch.wait("opened");
    assert_eq!(opened["resumed"], false);
    assert!(opened["token"].is_null(), "it is a secret");
    let mut plain = Watch::start(&[
        "-n",
        "zcash",
        "--only",
        "established",
        "--api",
        &pair.socket,
    ]);
    plain.watches();
    pair.peers(&["drop", &format!("zec://{}", pair.at)]);
    let closed = watch.wait("closed");
    assert_eq!(
        (&closed["ending"], &closed["address"]),
        (&"cancelled".into(), &pair.at.clone().into())
    );
    assert_eq!(closed["realm"]["network"], "zcash");
    let met = watch.wait("established");
    assert_eq!(
        met["seq"].as_u64(),
        closed["seq"].as_u64().map(|seq| seq + 1)
    );
    assert_eq!(met["direction"], "outbound");

    // The daemon goes and another comes at the same place.
    assert_eq!(pair.second.end("-TERM").0, 0);
    let (mut second, _) = with_socket(&pair.data, &["--no-listen"]);
    let lost = watch.wait("lost");
    assert!(
        lost["words"].as_str().unwrap().contains("started anew"),
        "{lost}"
    );
    assert_eq!(watch.wait("opened")["resumed"], false);
    second.wait("established");
    plain.wait_text("started anew");
    plain.watches();
    // What happens from now on is told again.
    let url = format!("zec://{}", pair.at);
    let dropped = run(&["peers", "drop", &url, "--data", &pair.data]);
    assert_eq!(code(&dropped), 0, "{}", stderr(&dropped));
    assert_eq!(watch.wait("closed")["address"], pair.at);
    let line = plain.wait_text("established");
    for part in ["zcash regtest", "outbound", &pair.at] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }

    let pid = watch.child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(sent.unwrap().success());
    let mut rest = String::new();
    watch.lines.read_to_string(&mut rest).unwrap();
    assert_eq!(watch.child.wait().unwrap().code(), Some(130));
    assert_eq!(pair.first.end("-TERM").0, 0);
}

#[test]
fn a_watcher_whose_connection_breaks_misses_nothing() {
    let mut pair = Pair::new("peers-cable");
    let to = format!("{}/api.sock", pair.data);
    let cable = Cable::new(pair.dir.file("cable.sock"), to);
    let mut watch = Watch::start(&["--json", "--api", &cable.socket]);
    assert_eq!(watch.wait("opened")["resumed"], false);
    pair.peers(&["drop", &format!("zec://{}", pair.at)]);
    let first = watch.wait("established")["seq"].as_u64().unwrap();
    pair.second.wait("established");
    assert_eq!(cable.pull(), 1);
    // Whether this happens while it is away or after, it is told, and once.
    pair.peers(&["drop", &format!("zec://{}", pair.at)]);
    assert_eq!(watch.wait("opened")["resumed"], true);
    let mut next = first;
    for kind in ["closed", "established"] {
        let told = watch.wait(kind);
        next += 1;
        assert_eq!(told["seq"], next, "{told}");
    }
    assert_eq!(cable.pull(), 1, "it came by the cable again");
    assert_eq!(watch.wait("opened")["resumed"], true);
}

#[test]
fn where_no_daemon_answers_every_command_says_what_to_do() {
    let dir = TempDir::new("peers-absent");
    let data = dir.file("data");
    let commands: [&[&str]; 5] = [
        &["list"],
        &["watch"],
        &["drop", "1"],
        &["trust", "zec://127.0.0.1:1"],
        &["send", "1", "--message", "mempool"],
    ];
    for command in commands {
        for json in [&["--json"][..], &[]] {
            let output = run(&[&["peers"], command, json, &["--data", &data]].concat());
            assert_eq!(code(&output), 3, "{command:?}: {}", stderr(&output));
            let words = stderr(&output);
            assert!(words.contains("no daemon was found"), "{words}");
            assert!(
                words.contains("peerage serve --grpc") && words.contains(&data),
                "{words}"
            );
            assert!(output.stdout.is_empty());
            let output = run(&[&["peers"], command, json, &["--api", "127.0.0.1:1"]].concat());
            assert_eq!(code(&output), 3, "{command:?}: {}", stderr(&output));
            assert!(
                stderr(&output).contains("127.0.0.1:1"),
                "{}",
                stderr(&output)
            );
        }
    }
    // A socket that is left of a daemon that was killed.
    std::fs::create_dir_all(&data).unwrap();
    drop(std::os::unix::net::UnixListener::bind(format!("{data}/api.sock")).unwrap());
    let left = run(&["peers", "list", "--data", &data]);
    assert_eq!(code(&left), 3);
    assert!(
        stderr(&left).contains("is `peerage serve` running"),
        "{}",
        stderr(&left)
    );
    let nowhere = run(&["peers", "list", "--api", "localhost"]);
    assert_eq!(code(&nowhere), 2);
}

#[test]
fn over_tcp_the_token_is_needed() {
    let dir = TempDir::new("peers-token");
    let (data, token) = (dir.file("data"), dir.file("token"));
    std::fs::write(&token, "a-token-of-thirty-two-characters\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let own = ["--no-listen", "--data", &data, "--token-file", &token];
    let api = ["--grpc", "127.0.0.1:0"];
    let mut daemon = Daemon::start(&[&REGTEST[..], &own, &api].concat());
    let place = daemon.wait("api")["grpc"].as_str().unwrap().to_owned();
    let without = run(&["peers", "list", "--api", &place]);
    assert_eq!(code(&without), 3);
    assert!(
        stderr(&without).contains("--token-file"),
        "{}",
        stderr(&without)
    );
    let with = run(&["peers", "list", "--api", &place, "--token-file", &token]);
    // Nobody is there, and that is the answer.
    assert_eq!(code(&with), 1, "{}", stderr(&with));
    assert!(stderr(&with).contains("no peers now"), "{}", stderr(&with));
}

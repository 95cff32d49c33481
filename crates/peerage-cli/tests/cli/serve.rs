//! `serve`, `why` and `book`, as a person runs them: processes on loopback, told by their lines.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use serde_json::Value;

use super::{TempDir, VERSION, code, json_lines, peerage, run, stderr};

/// A running `serve --json`, ended with the value.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
    complaints: Option<ChildStderr>,
}

impl Daemon {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same with these variables.
    pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let all = [&["serve", "--json", "--for", "120s"], args].concat();
        let mut command = peerage(&all);
        command.envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()),
            complaints: child.stderr.take(),
            child,
        }
    }

    /// The next line of this kind; the end of the output is a failure.
    pub(crate) fn wait(&mut self, kind: &str) -> Value {
        self.wait_for(|line| line["type"] == kind)
    }

    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut before = Vec::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                let mut complaints = String::new();
                let stderr = self.complaints.take();
                stderr.unwrap().read_to_string(&mut complaints).unwrap();
                panic!("it ended after {before:?}: {complaints}");
            }
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["v"], 1);
            if wanted(&line) {
                return line;
            }
            before.push(line);
        }
    }

    pub(crate) fn send(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Sends a signal, reads to the end, and tells the exit code and the kinds of the last lines.
    pub(crate) fn end(mut self, signal: &str) -> (i32, Vec<String>) {
        self.send(signal);
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let kinds = rest.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["type"].as_str().unwrap().to_owned()
        });
        let kinds = kinds.collect();
        (self.child.wait().unwrap().code().unwrap(), kinds)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What HTTP answers: the status and the body.
#[cfg(feature = "api")]
fn http(at: &str, line: &str, headers: &str) -> (String, String) {
    let mut io = std::net::TcpStream::connect(at).unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{headers}\r\n");
    io.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[cfg(feature = "api")]
#[test]
fn programs_speak_with_a_daemon_where_its_configuration_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new("serve-api");
    let (data, token) = (dir.file("data"), dir.file("token"));
    std::fs::write(&token, "a-token-of-thirty-two-characters\n").unwrap();
    let config = dir.file("peerage.toml");
    let text = r#"
        data = "data"
        [api]
        grpc = "unix:api.sock"
        http = "127.0.0.1:0"
        token_file = "token"
        [[node]]
        network = "zcash"
        chain = "regtest"
        listen = ["127.0.0.1:0"]
        seeds = { table = false }
    "#;
    std::fs::write(&config, text).unwrap();
    // A token that others may read is none.
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let public = run(&["serve", "--for", "60s", "--config", &config]);
    assert_eq!(code(&public), 2);
    assert!(stderr(&public).contains("chmod 600"), "{}", stderr(&public));
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();

    let mut daemon = Daemon::start(&["--config", &config]);
    let api = daemon.wait("api");
    let socket = api["grpc"]
        .as_str()
        .unwrap()
        .strip_prefix("unix:")
        .unwrap()
        .to_owned();
    assert!(socket.ends_with("api.sock"), "{api}");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let at = api["http"].as_str().unwrap();
    let (status, info) = http(at, "GET /v1/info", "");
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!(
        (&*status, &info["version"]),
        ("200", &env!("CARGO_PKG_VERSION").into())
    );
    assert_eq!(info["nodes"][0]["realm"]["network"], "zcash");
    assert_eq!(http(at, "GET /readyz", "").0, "200");
    let add = "POST /v1/peers/add";
    assert_eq!(http(at, add, "").0, "401");
    let bearer = "authorization: Bearer a-token-of-thirty-two-characters\r\n";
    assert_eq!(http(at, add, bearer).0, "400", "an address is missing");

    // Its places are its own.
    let other = dir.file("other");
    let grpc = format!("unix:{socket}");
    let second = [
        &["serve", "--for", "60s", "--data", &other, "--grpc", &grpc],
        &REGTEST[..],
    ];
    let second = run(&[&second.concat()[..], &["--no-listen"]].concat());
    assert_eq!(code(&second), 3);
    assert!(
        stderr(&second).contains("already answers"),
        "{}",
        stderr(&second)
    );
    let (exit, kinds) = daemon.end("-TERM");
    assert_eq!((exit, kinds.last().unwrap().as_str()), (0, "stopped"));
    assert!(!std::path::Path::new(&socket).exists());
    assert!(std::path::Path::new(&data).is_dir());

    // Over TCP everybody could, without a token.
    let open = [
        &[
            "serve",
            "--for",
            "60s",
            "--data",
            &other,
            "--grpc",
            "127.0.0.1:0",
        ],
        &REGTEST[..],
    ];
    let open = run(&[&open.concat()[..], &["--no-listen"]].concat());
    assert_eq!(code(&open), 2);
    assert!(stderr(&open).contains("needs a token"), "{}", stderr(&open));
}

/// A port nobody listens at.
pub(crate) fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

pub(crate) const REGTEST: [&str; 4] = ["zcash", "--chain", "regtest", "--no-seeds"];
const BOOK: [&str; 4] = ["-n", "zcash", "--chain", "regtest"];

pub(crate) fn address(listening: &Value) -> String {
    listening["addrs"][0].as_str().unwrap().to_owned()
}

#[test]
fn two_daemons_keep_each_other_and_one_finds_the_other_again_after_a_restart() {
    let dir = TempDir::new("serve-two");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let mut first =
        Daemon::start(&[&REGTEST[..], &["--listen", "127.0.0.1:0", "--data", &one]].concat());
    let at = address(&first.wait("listening"));
    let dials = [&REGTEST[..], &["--no-listen", "--data", &two]].concat();
    let mut second = Daemon::start(&[&dials[..], &["--peer", &at]].concat());
    let met = second.wait("established");
    assert_eq!(
        (&met["key"], &met["direction"]),
        (&at.clone().into(), &"outbound".into())
    );
    assert_eq!(first.wait("established")["direction"], "inbound");

    // Goodbyes are told, and the exit says what ended it.
    let (exit, kinds) = second.end("-INT");
    assert_eq!(exit, 130);
    let last: Vec<_> = kinds.iter().map(String::as_str).collect();
    assert!(
        last.ends_with(&["stopping", "closed", "stopped"]),
        "{last:?}"
    );
    let left = first.wait("closed");
    assert_eq!(left["reason"]["kind"], "closed");

    // The same data, and nobody tells of the first one again.
    let mut second = Daemon::start(&dials);
    assert_eq!(second.wait("established")["key"], at);
    // Its book can be read meanwhile, and not be written to.
    let why = run(&["why", "--json", "--data", &two, &format!("zec://{at}")]);
    assert_eq!(code(&why), 0, "{}", stderr(&why));
    let story = &json_lines(&why)[0];
    assert_eq!(
        (&story["network"], &story["chain"]),
        (&"zcash".into(), &"regtest".into())
    );
    assert_eq!(story["sources"][0]["kind"], "operator", "{story}");
    assert!(story["successes"].as_u64() >= Some(1), "{story}");
    let ended = |event: &&Value| event["what"] == "left";
    let ended = story["history"].as_array().unwrap().iter().find(ended);
    assert!(ended.unwrap()["lasted"].is_u64(), "{story}");
    let busy = run(&[&["book", "remove", "--data", &two, &at], &BOOK[..]].concat());
    assert_eq!(code(&busy), 3);
    assert!(
        stderr(&busy).contains("belongs to a running peerage"),
        "{}",
        stderr(&busy)
    );
    assert!(stderr(&busy).contains(&two), "{}", stderr(&busy));
    let again = run(&[&["serve", "--for", "60s"], &dials[..]].concat());
    assert_eq!(code(&again), 3);
    assert!(stderr(&again).contains(&two), "{}", stderr(&again));
    assert_eq!(second.end("-TERM").0, 0);
    assert_eq!(first.end("-TERM").0, 0);
}

/// An ordinary candidate, which no configuration and no finder names: the book alone knows it.
#[test]
fn whom_the_book_knows_is_dialled_after_a_restart_however_the_daemon_ended() {
    let dir = TempDir::new("serve-book");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let mut first =
        Daemon::start(&[&REGTEST[..], &["--listen", "127.0.0.1:0", "--data", &one]].concat());
    let at = address(&first.wait("listening"));
    let added = run(&[&["book", "add", "--data", &two, &at], &BOOK[..]].concat());
    assert_eq!(code(&added), 0, "{}", stderr(&added));
    let dials = [&REGTEST[..], &["--no-listen", "--data", &two]].concat();
    for signal in ["-TERM", "-KILL"] {
        let mut second = Daemon::start(&[&dials[..], &["--status", "100ms"]].concat());
        assert_eq!(second.wait("established")["key"], at);
        wait_written(&mut second, &two, &at, "greeted");
        second.send(signal);
        second.child.wait().unwrap();
    }
    let mut last = Daemon::start(&dials);
    assert_eq!(last.wait("established")["key"], at);
}

/// Waits until the file has this of the history of a peer; figures pass meanwhile.
fn wait_written(daemon: &mut Daemon, data: &str, peer: &str, what: &str) {
    loop {
        let why = run(&["why", "--json", "--data", data, peer]);
        let stories = json_lines(&why);
        let history = stories[0]["history"].as_array();
        if history.is_some_and(|events| events.iter().any(|event| event["what"] == what)) {
            return;
        }
        daemon.wait("status");
    }
}

#[test]
fn a_daemon_that_is_killed_forgets_nothing_and_is_in_no_session() {
    let dir = TempDir::new("serve-kill");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let mut first =
        Daemon::start(&[&REGTEST[..], &["--listen", "127.0.0.1:0", "--data", &one]].concat());
    let at = address(&first.wait("listening"));
    let peer = format!("zec://{at}");
    let data = ["--data", two.as_str()];
    let ban = ["book", "ban", "192.0.2.0/24", "--why", "it lies"];
    assert_eq!(code(&run(&[&ban[..], &BOOK, &data].concat())), 0);
    let dials = [&REGTEST[..], &["--no-listen", "--status", "100ms"], &data].concat();
    let mut second = Daemon::start(&[&dials[..], &["--peer", &at]].concat());
    second.wait("established");
    wait_written(&mut second, &two, &peer, "greeted");
    let now = |why: &std::process::Output| json_lines(why)[0]["now"].clone();
    let why = || run(&["why", "--json", "--data", &two, &peer]);
    assert_eq!(now(&why()), "connected");

    // As kill -9 does: no goodbye, nothing more is written.
    second.child.kill().unwrap();
    second.child.wait().unwrap();
    assert_eq!(first.wait("closed")["reason"]["kind"], "closed");
    let after = why();
    assert_eq!(now(&after), "cut", "{}", json_lines(&after)[0]);
    let words = run(&["why", "--data", &two, &peer]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(!words.contains("in a session"), "{words}");
    assert!(words.contains("no daemon runs on this data"), "{words}");

    // A daemon that runs there for another network is in no session on this one either.
    let other = ["decred", "--chain", "simnet", "--no-seeds", "--no-listen"];
    let mut decred = Daemon::start(&[&other[..], &data].concat());
    decred.wait("listening");
    assert_eq!(now(&why()), "ready", "{}", json_lines(&why())[0]);
    assert_eq!(decred.end("-TERM").0, 0);

    // Who starts again has the peer, the ban and the history, and knows what became of it.
    let mut second = Daemon::start(&dials);
    assert_eq!(second.wait("established")["key"], at);
    let status = second.wait("status");
    assert_eq!((&status["known"], &status["bans"]), (&1.into(), &1.into()));
    loop {
        let story = json_lines(&why()).remove(0);
        let history = story["history"].as_array().unwrap();
        let kinds: Vec<_> = history
            .iter()
            .map(|event| event["what"].as_str().unwrap())
            .collect();
        if kinds.last() == Some(&"greeted") && kinds.len() > 3 {
            assert_eq!(kinds, ["heard", "greeted", "cut", "greeted"], "{story}");
            assert_eq!(story["now"], "connected");
            break;
        }
        assert_ne!(
            story["now"], "connected",
            "that session was the other's: {story}"
        );
        second.wait("status");
    }
    assert_eq!(second.end("-TERM").0, 0);
    let bans = run(&[&["book", "bans", "--json"], &BOOK[..], &data].concat());
    assert_eq!(json_lines(&bans)[0]["words"], "it lies");
}

/// The limit on the sizes of files that a process may write, in bytes or `unlimited`.
#[cfg(target_os = "linux")]
fn limit_files(of: &Daemon, bytes: &str) {
    let pid = of.child.id().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let set = std::process::Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(set.unwrap().success());
}

/// As on a full disk: no file may be written to.
#[cfg(target_os = "linux")]
#[test]
fn a_daemon_without_room_keeps_its_peers_says_what_to_do_and_recovers() {
    let dir = TempDir::new("serve-full");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let listens = ["--listen", "127.0.0.1:0", "--data", &one];
    let mut first = Daemon::start(&[&REGTEST[..], &listens].concat());
    let at = address(&first.wait("listening"));
    let peer = format!("zec://{at}");
    let dials = [
        "--no-listen",
        "--status",
        "200ms",
        "--data",
        &two,
        "--peer",
        &at,
    ];
    let mut second = Daemon::start(&[&REGTEST[..], &dials].concat());
    second.wait("established");
    wait_written(&mut second, &two, &peer, "greeted");

    limit_files(&second, "0");
    assert_eq!(first.end("-TERM").0, 0);
    second.wait("closed");
    let troubled = second.wait_for(|line| line["trouble"].is_string());
    let words = troubled["trouble"].as_str().unwrap();
    assert!(words.contains("cannot be written"), "{words}");
    assert!(words.contains("check the disk"), "{words}");
    assert!(words.contains("peerage.db"), "{words}");
    // The same place again: the peer is found and kept all the same, and nothing of it is written.
    let listens = ["--listen", &at, "--data", &one];
    let first = Daemon::start(&[&REGTEST[..], &listens].concat());
    assert_eq!(second.wait("established")["key"], at);
    let kept = second.wait("status");
    assert_eq!(
        (&kept["active"], kept["trouble"].is_string()),
        (&1.into(), true)
    );
    let why = run(&["why", "--json", "--data", &two, &peer]);
    let history = json_lines(&why)[0]["history"].clone();
    assert!(!history.to_string().contains("left"), "{history}");

    limit_files(&second, "unlimited");
    let well = second.wait_for(|line| line["trouble"].is_null() && line["type"] == "status");
    assert_eq!(well["active"], 1);
    wait_written(&mut second, &two, &peer, "left");
    assert_eq!(second.end("-TERM").0, 0);
    assert_eq!(first.end("-TERM").0, 0);
}

#[test]
fn a_banned_peer_is_kept_away_after_a_restart_and_let_in_again() {
    let dir = TempDir::new("serve-ban");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let mut first =
        Daemon::start(&[&REGTEST[..], &["--listen", "127.0.0.1:0", "--data", &one]].concat());
    let at = address(&first.wait("listening"));
    let dials = [&REGTEST[..], &["--no-listen", "--data", &two]].concat();
    let mut second = Daemon::start(&[&dials[..], &["--peer", &at]].concat());
    second.wait("established");
    assert_eq!(second.end("-TERM").0, 0);

    let data = ["--data", two.as_str()];
    let ban = [
        "book",
        "ban",
        "127.0.0.0/8",
        "--for",
        "24h",
        "--why",
        "it lies",
    ];
    let banned = run(&[&ban[..], &BOOK, &data].concat());
    assert_eq!(code(&banned), 0, "{}", stderr(&banned));
    let bans = run(&[&["book", "bans", "--json"], &BOOK[..], &data].concat());
    let bans = json_lines(&bans);
    assert_eq!(bans[0]["subject"], "127.0.0.0/8");
    assert_eq!(
        (&bans[0]["by"], &bans[0]["words"]),
        (&"operator".into(), &"it lies".into())
    );

    // Two rounds of figures, and no dial between them.
    let mut second = Daemon::start(&[&dials[..], &["--status", "300ms"]].concat());
    for _ in 0..2 {
        let news = second.wait_for(|line| line["type"] != "listening");
        assert_eq!(news["type"], "status", "{news}");
        assert_eq!((&news["known"], &news["bans"]), (&1.into(), &1.into()));
        assert_eq!((&news["dialled"], &news["active"]), (&0.into(), &0.into()));
        assert!(news["finders"].is_array(), "{news}");
    }
    assert_eq!(second.end("-TERM").0, 0);
    let why = run(&[&["why", "127.0.0.1"], &data[..]].concat());
    let words = String::from_utf8(why.stdout).unwrap();
    assert!(
        words.contains("kept away: 127.0.0.0/8 is banned by the operator"),
        "{words}"
    );
    assert!(words.contains("it lies"), "{words}");

    let lift = |whom| code(&run(&[&["book", "unban", whom], &BOOK[..], &data].concat()));
    assert_eq!((lift("127.0.0.0/8"), lift("127.0.0.0/8")), (0, 1));
    let mut second = Daemon::start(&dials);
    assert_eq!(second.wait("established")["key"], at);
}

#[test]
fn why_explains_a_dead_peer_and_one_of_another_network() {
    let dir = TempDir::new("serve-why");
    let two = dir.file("two");
    // It speaks first, and of another network: a recorded version message of mainnet.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other_at = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let message: Vec<u8> = (0..VERSION.len() / 2)
            .map(|at| u8::from_str_radix(&VERSION[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        for stream in other.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(&message).unwrap();
            // Until the other side has closed.
            drop(std::io::copy(&mut stream, &mut std::io::sink()));
        }
    });
    let dead = closed();
    let mut daemon = Daemon::start(
        &[
            &REGTEST[..],
            &[
                "--no-listen",
                "--data",
                &two,
                "--peer",
                &dead,
                "--peer",
                &other_at,
            ],
        ]
        .concat(),
    );
    let mut seen = [daemon.wait("failed"), daemon.wait("failed")];
    seen.sort_by_key(|line| line["key"] != dead.as_str());
    assert_eq!(seen[0]["reason"]["kind"], "connection_refused");
    assert_eq!(daemon.end("-TERM").0, 0);

    for (at, kind) in [(&dead, "connection_refused"), (&other_at, "wrong_network")] {
        let why = run(&["why", "--json", "--data", &two, at]);
        assert_eq!(code(&why), 0, "{}", stderr(&why));
        let story = &json_lines(&why)[0];
        let failed = story["history"].as_array().unwrap().last().unwrap();
        assert_eq!(failed["cause"]["kind"], kind, "{story}");
        assert_eq!(failed["advice"], story["advice"]);
        assert!(!story["advice"].as_str().unwrap().is_empty());
        assert_eq!(
            (&story["type"], &story["now"]),
            (&"story".into(), &"waiting".into())
        );
        assert!(story["next_dial"].is_i64(), "{story}");

        let words = run(&["why", "-n", "zcash", "--data", &two, at]);
        let words = String::from_utf8(words.stdout).unwrap();
        for part in [
            "not dialled before",
            "told by   the operator",
            "1 dials, 0 handshakes, 1 failures in a row",
            &format!("dialled at {at}: {kind}"),
            story["advice"].as_str().unwrap(),
        ] {
            assert!(words.contains(part), "{part} is missing in\n{words}");
        }
    }
    let nobody = run(&["why", "--json", "--data", &two, "192.0.2.1:8233"]);
    assert_eq!(code(&nobody), 1);
    assert_eq!(json_lines(&nobody)[0]["type"], "unknown");
    let none = run(&["why", "--data", &dir.file("three"), "192.0.2.1:8233"]);
    assert_eq!(code(&none), 2);
    assert!(
        stderr(&none).contains("does not exist"),
        "{}",
        stderr(&none)
    );
}

#[test]
fn three_networks_run_from_one_file_and_find_each_other_by_its_rules() {
    let dir = TempDir::new("serve-three");
    let write = |name: &str, text: &str| {
        let file = dir.file(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let quiet = "listen = [\"127.0.0.1:0\"]\nseeds = { table = false }";
    let file = write(
        "one.toml",
        &format!(
            "data = \"one\"\n\
             [[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\n{quiet}\n\
             [[node]]\nnetwork = \"decred\"\nchain = \"simnet\"\n{quiet}\n\
             [[node]]\nnetwork = \"ethereum\"\nchain = \"hoodi\"\nlisten = [\"127.0.0.1:0\"]\n\
             limits = {{ outbound = 0 }}\n\
             discovery = {{ bind = [\"127.0.0.1:0\"], boot = [] }}\n"
        ),
    );
    let mut first = Daemon::start(&["--config", &file]);
    let nodes: Vec<_> = (0..3).map(|_| first.wait("listening")).collect();
    let enr = nodes[2]["enr"].as_str().unwrap();
    let file = write(
        "two.toml",
        &format!(
            "data = \"two\"\n\
             [[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\nlisten = []\n\
             static = [\"zec://{}\"]\nseeds = {{ table = false }}\n\
             [[node]]\nnetwork = \"decred\"\nchain = \"simnet\"\nlisten = []\n\
             trusted = [\"dcr://{}\"]\nseeds = {{ table = false }}\n\
             [[node]]\nnetwork = \"ethereum\"\nchain = \"hoodi\"\nlisten = [\"127.0.0.1:0\"]\n\
             discovery = {{ bind = [\"127.0.0.1:0\"], boot = [\"{enr}\"] }}\n",
            address(&nodes[0]),
            address(&nodes[1]),
        ),
    );
    let mut second = Daemon::start(&["--config", &file]);
    let mut met: Vec<_> = (0..3)
        .map(|_| {
            second.wait("established")["network"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    met.sort();
    // Ethereum by discovery alone.
    assert_eq!(met, ["decred", "ethereum", "zcash"]);
    assert_eq!(second.end("-TERM").0, 0);
    let two = dir.file("two");
    let why = run(&["why", "--json", "--data", &two, enr]);
    let story = &json_lines(&why)[0];
    assert_eq!(story["sources"][0]["kind"], "discovery", "{story}");
    let history = story["history"].as_array().unwrap();
    let has = |what: &str| history.iter().any(|event| event["what"] == what);
    assert!(has("greeted") && has("left"), "{story}");
    let enode = nodes[2]["addresses"][0].as_str().unwrap();
    let by_enode = run(&["why", "--json", "--data", &two, "--chain", "hoodi", enode]);
    assert_eq!(json_lines(&by_enode)[0]["key"], story["key"]);
}

#[test]
fn the_key_of_the_command_line_is_that_of_nodes_which_name_none() {
    let dir = TempDir::new("serve-key");
    let public = |name: &str| {
        let made = run(&["key", "new", &dir.file(name), "--json"]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        let shown = run(&["key", "show", &dir.file(name), "--json"]);
        json_lines(&shown)[0]["id"].as_str().unwrap().to_owned()
    };
    let (given, own) = (public("given.key"), public("own.key"));
    let file = dir.file("two.toml");
    let node = "network = \"ethereum\"\nlisten = [\"127.0.0.1:0\"]\ndiscovery = { on = false }";
    let text = format!(
        "[[node]]\nchain = \"hoodi\"\n{node}\n\
         [[node]]\nchain = \"sepolia\"\nkey = \"own.key\"\n{node}\n"
    );
    std::fs::write(&file, text).unwrap();
    let data = dir.file("data");
    let key = dir.file("given.key");
    let mut daemon = Daemon::start(&["--config", &file, "--data", &data, "--key", &key]);
    for public in [given, own] {
        let listening = daemon.wait("listening");
        let enode = listening["addresses"][0].as_str().unwrap();
        assert!(enode.contains(&public), "{public} is not in {enode}");
    }
    assert_eq!(daemon.end("-TERM").0, 0);
}

#[test]
fn a_mistake_in_the_configuration_has_a_file_a_place_and_a_hint() {
    let dir = TempDir::new("serve-config");
    let file = dir.file("wrong.toml");
    let good = "[[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\n";
    for (text, place, part) in [
        (
            format!("{good}lisen = []\n"),
            ":4:1: ",
            "did you mean listen?",
        ),
        (
            "[[node]]\nnetwork = \"btc\"\n".into(),
            ":2:11: ",
            "there are ethereum, zcash, decred",
        ),
        (
            format!("{good}listen = [\"here\"]\n"),
            ":4:11: ",
            "socket address",
        ),
        (
            format!("{good}limits = {{ inbound = -1 }}\n"),
            ":4:22: ",
            "-1",
        ),
        (
            format!("{good}bans = [\"1.2.3.4/99\"]\n"),
            ":4:9: ",
            "no range",
        ),
        (
            format!("{good}ping = \"1s\"\n"),
            ":4:8: ",
            "at most one every 5s",
        ),
        (format!("{good}height = \n"), ":4:", ""),
        (
            "[[node]]\nnetwork = \"zcsh\"\n".into(),
            ":2:11: ",
            "did you mean zcash?",
        ),
        // What is well formed and makes no sense has its place too.
        (
            format!("{good}head = \"5\"\n"),
            ":4:8: ",
            "does not know the option head",
        ),
        (
            format!("{good}static = [\"9.9.9.9\", \"a b\"]\n"),
            ":4:22: ",
            "is no address",
        ),
        (
            format!("{good}static = [\"9.9.9.9\"]\ntrusted = [\"dcr://9.9.9.9\"]\n"),
            ":5:12: ",
            "is no address",
        ),
        (
            "[[node]]\nnetwork = \"zcash\"\nchain = \"x\"\n".into(),
            ":3:9: ",
            "zcash has no chain x; it has mainnet, testnet, regtest\n",
        ),
        (
            "[[node]]\nnetwork = \"zcash\"\nchain = \"regtst\"\n".into(),
            ":3:9: ",
            "did you mean regtest?",
        ),
        (
            format!("{good}bans = [\"203.0.113.0/24\", {{ of = \"dcr://h:1\" }}]\n"),
            ":4:27: ",
            "not of zcash",
        ),
        (
            format!("{good}key = \"missing.key\"\n"),
            ":4:7: ",
            "missing.key",
        ),
        (
            format!("{good}proxy = \"http://h:1\"\n"),
            ":4:9: ",
            "socks5h",
        ),
        (
            format!("{good}seeds = {{ dns = [\"a b\"] }}\n"),
            ":4:18: ",
            "",
        ),
        (
            format!("{good}seeds = {{ https = [\"http://example.org\"] }}\n"),
            ":4:20: ",
            "http://example.org",
        ),
        (
            format!("{good}seeds = {{ peers = [\"a b\"] }}\n"),
            ":4:20: ",
            "is no address",
        ),
        (
            "[[node]]\nnetwork = \"ethereum\"\nseeds = { dns = [\"example.org\"] }\n".into(),
            ":3:18: ",
            "ethereum has no seeds: use discovery",
        ),
        (
            "[[node]]\nnetwork = \"ethereum\"\nisolated = true\nlisten = [\"127.0.0.1:0\"]\n"
                .into(),
            ":3:12: ",
            "leave listen or isolated out",
        ),
        (
            format!("{good}{good}"),
            ":5:11: ",
            "a second node on zcash regtest",
        ),
        (
            format!("{good}discovery = {{ on = true }}\n"),
            ":4:13: ",
            "no discovery",
        ),
        (String::new(), ":1:1: ", "begin with [[node]]"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let data = dir.file("data");
        let output = run(&["serve", "--config", &file, "--data", &data]);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{text}\n{said}");
        assert!(said.contains(&format!("{file}{place}")), "{text}\n{said}");
        assert!(said.contains(part), "{text}\n{said}");
    }
    let both = run(&["serve", "--config", &file, "--chain", "regtest"]);
    assert_eq!(code(&both), 2);
    assert_eq!(code(&run(&["serve"])), 2);
}

#[test]
fn a_book_is_filled_looked_at_moved_and_emptied_offline() {
    let dir = TempDir::new("serve-book");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let book =
        |what: &[&str], data: &str| run(&[&["book"], what, &BOOK, &["--data", data]].concat());
    let done = |output: &std::process::Output| {
        assert_eq!(code(output), 0, "{}", stderr(output));
    };
    done(&book(&["add", "9.9.9.9:18344"], &one));
    done(&book(&["add", "--static", "zec://node.example.org"], &one));
    done(&book(&["add", "--trusted", "8.8.8.8:1"], &one));
    done(&book(&["ban", "203.0.113.0/24"], &one));
    let named = book(&["add", "node.example.org"], &one);
    assert_eq!(code(&named), 2);
    assert!(stderr(&named).contains("--static"));

    let list = json_lines(&book(&["list", "--json"], &one));
    let mut peers: Vec<_> = list
        .iter()
        .map(|line| {
            (
                line["key"].as_str().unwrap(),
                line["role"].as_str().unwrap(),
            )
        })
        .collect();
    peers.sort_unstable();
    assert_eq!(
        peers,
        [
            ("8.8.8.8:1", "trusted"),
            ("9.9.9.9:18344", "ordinary"),
            ("node.example.org:18344", "static"),
        ]
    );
    let words = String::from_utf8(book(&["list"], &one).stdout).unwrap();
    assert!(words.contains("never greeted"), "{words}");
    let shown = String::from_utf8(book(&["show", "8.8.8.8"], &one).stdout).unwrap();
    assert!(
        shown.contains("8.8.8.8:1  zcash regtest  trusted"),
        "{shown}"
    );

    // From one book to another, and once more, which changes nothing.
    let file = dir.file("book.jsonl");
    done(&book(&["export", &file], &one));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 4);
    done(&book(&["import", &file], &two));
    let export = book(&["export"], &two);
    let sorted = |text: &str| {
        let mut keys: Vec<String> = text
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                format!("{}{}{}", line["key"], line["role"], line["subject"])
            })
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(
        sorted(&String::from_utf8(export.stdout).unwrap()),
        sorted(&text)
    );
    let twice = book(&["import", &file], &two);
    assert_eq!(code(&twice), 1);
    assert!(
        stderr(&twice).contains("is in the book already"),
        "{}",
        stderr(&twice)
    );
    // The story came along, once.
    let story = run(&["why", "--json", "--data", &two, "9.9.9.9:18344"]);
    let history = json_lines(&story)[0]["history"].clone();
    assert_eq!(history.as_array().unwrap().len(), 1, "{history}");
    assert_eq!(history[0]["what"], "heard");
    std::fs::write(&file, "{\"v\":1}\nnonsense\n").unwrap();
    let wrong = book(&["import", &file], &two);
    assert_eq!(code(&wrong), 1);
    assert!(
        stderr(&wrong).contains("line 2 is not taken"),
        "{}",
        stderr(&wrong)
    );

    done(&book(&["remove", "8.8.8.8:1"], &two));
    assert_eq!(code(&book(&["remove", "8.8.8.8:1"], &two)), 1);
    assert_eq!(json_lines(&book(&["list", "--json"], &two)).len(), 2);
    // What was let go of still has its story.
    let gone = run(&["why", "--json", "--data", &two, "8.8.8.8:1"]);
    assert_eq!(json_lines(&gone)[0]["now"], "gone");
    let banned = run(&["why", "--data", &two, "203.0.113.7"]);
    assert_eq!(code(&banned), 1);
    let words = String::from_utf8(banned.stdout).unwrap();
    assert!(words.contains("203.0.113.0/24 is banned"), "{words}");
    let other = run(&[
        "book", "list", "-n", "zcash", "--chain", "x", "--data", &two,
    ]);
    assert_eq!(code(&other), 2);
    assert!(
        stderr(&other).contains("zcash has no chain x"),
        "{}",
        stderr(&other)
    );
}

//! The configuration read again by SIGHUP, with peers that must not notice.

use serde_json::{Value, json};

use super::serve::{Daemon, address};
use super::{TempDir, json_lines, run};
#[cfg(feature = "api")]
use super::{code, stderr};

/// A daemon that only waits to be dialled, at this address.
fn waiting(dir: &TempDir, name: &str, ip: &str, more: &[&str]) -> (Daemon, String) {
    let (data, at) = (dir.file(name), format!("{ip}:0"));
    let args = ["zcash", "--no-seeds", "--listen", &at, "--data", &data];
    let mut daemon = Daemon::start(&[&args[..], more].concat());
    let at = address(&daemon.wait("listening"));
    (daemon, at)
}

const REGTEST: [&str; 2] = ["--chain", "regtest"];

struct Config {
    path: String,
}

impl Config {
    /// A configuration of one node that dials these.
    fn write(dir: &TempDir, top: &str, peers: &[&str], more: &str) -> Self {
        let path = dir.file("peerage.toml");
        let text = format!(
            "data = \"data\"\n{top}\n[[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\n\
             seeds.table = false\nstatic = {peers:?}\n{more}\n"
        );
        std::fs::write(&path, text).unwrap();
        Self { path }
    }

    fn serve(&self) -> Daemon {
        Daemon::start(&["--config", &self.path])
    }
}

/// Waits for the figures in which so many peers are here.
fn active(daemon: &mut Daemon, count: u64) -> Value {
    daemon.wait_for(|line| line["type"] == "status" && line["active"] == count)
}

#[test]
fn limits_and_bans_change_and_whoever_is_not_concerned_stays() {
    let dir = TempDir::new("reload-bans");
    let (mut one, one_at) = waiting(&dir, "one", "127.0.0.1", &REGTEST);
    let (mut two, two_at) = waiting(&dir, "two", "127.0.0.2", &REGTEST);
    let peers = [&*one_at, &*two_at];
    let nowhere = "listen = []";
    let config = Config::write(&dir, "status = \"1h\"", &peers, nowhere);
    let mut daemon = config.serve();
    for _ in 0..2 {
        daemon.wait("established");
    }
    one.wait("established");

    let banned = "bans = [{ of = \"127.0.0.2\", why = \"it lies\" }]\nlimits.outbound = 3";
    let quick = "status = \"200ms\"";
    Config::write(&dir, quick, &peers, &format!("{nowhere}\n{banned}"));
    daemon.send("-HUP");
    let reloaded = daemon.wait("reloaded");
    let realm = |key: &str| format!("zcash/regtest: {key}");
    let keys = [realm("bans"), realm("limits.outbound"), "status".into()];
    assert_eq!(reloaded["changed"], json!(keys));
    assert_eq!(reloaded["nodes"][0]["banned"], 1, "{reloaded}");
    let closed = daemon.wait("closed");
    assert_eq!(closed["key"], two_at, "{closed}");
    assert_eq!(closed["reason"]["kind"], "rejected");
    let why = closed["reason"]["message"].as_str().unwrap();
    assert!(why.contains("it lies"), "{why}");
    two.wait("closed");
    // By the new beat of figures: the other is here, and one ban holds.
    assert_eq!(active(&mut daemon, 1)["bans"], 1);

    // What the file has no longer is taken back, and one is dialled again some time.
    Config::write(&dir, quick, &peers[..1], nowhere);
    daemon.send("-HUP");
    let reloaded = daemon.wait("reloaded");
    let keys = [
        realm("static and trusted"),
        realm("bans"),
        realm("limits.outbound"),
    ];
    assert_eq!(reloaded["changed"], json!(keys));
    assert_eq!(active(&mut daemon, 1)["bans"], 0);
    daemon.send("-HUP");
    assert_eq!(daemon.wait("reloaded")["changed"], json!([]));

    // The first has noticed nothing of all that.
    let (exit, kinds) = daemon.end("-TERM");
    assert_eq!(exit, 0);
    let closed = kinds.iter().filter(|kind| *kind == "closed").count();
    assert_eq!(closed, 1, "{kinds:?}");
    assert_eq!(
        one.wait_for(|line| line["type"] != "status")["type"],
        "closed"
    );
}

/// A reload changes what differs in the file, and nothing else.
#[cfg(feature = "api")]
#[test]
fn what_was_set_over_the_interface_survives_a_reload_that_does_not_speak_of_it() {
    let dir = TempDir::new("reload-api");
    let (_one, one_at) = waiting(&dir, "one", "127.0.0.1", &REGTEST);
    let (_two, two_at) = waiting(&dir, "two", "127.0.0.2", &REGTEST);
    let top = "status = \"1h\"\napi.grpc = \"unix:data/api.sock\"";
    let in_file = "listen = []\nbans = [\"192.0.2.0/24\"]";
    std::fs::create_dir_all(dir.file("data")).unwrap();
    let config = Config::write(&dir, top, &[&one_at], in_file);
    let mut daemon = config.serve();
    daemon.wait("established");
    let data = dir.file("data");
    let call = |args: &[&str]| {
        let output = run(&[args, &["--data", &data]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        json_lines(&output)
    };
    let whose = ["-n", "zcash", "--chain", "regtest"];
    let book = |args: &[&str]| call(&[&["book"], args, &whose].concat());
    call(&["peers", "trust", &format!("zec://{two_at}")]);
    daemon.wait("established");
    book(&["ban", "198.51.100.7", "--why", "by hand"]);
    // What the file has is taken away.
    book(&["unban", "192.0.2.0/24"]);
    let standings = || {
        let mut all: Vec<_> = call(&["peers", "list", "--json"])
            .iter()
            .map(|peer| (peer["address"].to_string(), peer["standing"].to_string()))
            .collect();
        all.sort();
        all
    };
    let before = standings();
    assert_eq!(before.len(), 2);
    // The file of the book is written a moment later: whoever waits for it sees it.
    let bans = |wanted: &[&str]| loop {
        let mut all: Vec<_> = json_lines(&run(&[
            &["book", "bans", "--json"],
            &whose[..],
            &["--data", &data],
        ]
        .concat()))
        .iter()
        .map(|ban| {
            let subject = ban["subject"].as_str().unwrap();
            subject.trim_end_matches("/32").to_owned()
        })
        .collect();
        all.sort();
        if all == wanted {
            return;
        }
    };
    bans(&["198.51.100.7"]);

    // Another key changes; then nothing does.
    for quick in ["status = \"300ms\"", "status = \"300ms\""] {
        let top = top.replace("status = \"1h\"", quick);
        Config::write(&dir, &top, &[&one_at], in_file);
        daemon.send("-HUP");
        daemon.wait("reloaded");
        assert_eq!(standings(), before);
        bans(&["198.51.100.7"]);
    }
    // The file speaks of them: it wins.
    let peers = [&*one_at, &*two_at];
    Config::write(&dir, top, &peers, "listen = []");
    daemon.send("-HUP");
    daemon.wait("reloaded");
    Config::write(&dir, top, &[&one_at], in_file);
    daemon.send("-HUP");
    daemon.wait("reloaded");
    let after = standings();
    let of = |at: &str| {
        after
            .iter()
            .find(|(address, _)| address.contains(at))
            .cloned()
    };
    assert_eq!(of(&two_at).unwrap().1, "\"ordinary\"", "{after:?}");
    bans(&["192.0.2.0/24", "198.51.100.7"]);
    assert_eq!(daemon.end("-TERM").0, 0);
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_its_place_is_told() {
    let dir = TempDir::new("reload-wrong");
    let (one, at) = waiting(&dir, "one", "127.0.0.1", &REGTEST);
    let good = "listen = []\nlimits.outbound = 9";
    let config = Config::write(&dir, "status = \"200ms\"", &[&at], good);
    let mut daemon = config.serve();
    daemon.wait("established");
    for (more, place, part) in [
        (
            "limits.outbund = 0\nbans = [\"127.0.0.0/8\"]",
            Some((9, 8)),
            "outbound?",
        ),
        (
            "bans = [\"127.0.0.0/8\", \"1.2.3.4/99\"]",
            Some((9, 24)),
            "no range",
        ),
        ("bans = [\"127.0.0.0/8\"]\nhead = \"5\"", None, "head"),
        // What only the book refuses is taken back as well.
        (
            "bans = [\"127.0.0.0/8\"]\ntrusted = [\"0.0.0.0:1\"]",
            None,
            "cannot be",
        ),
    ] {
        Config::write(
            &dir,
            "status = \"1h\"",
            &[&at],
            &format!("listen = []\n{more}"),
        );
        daemon.send("-HUP");
        let failed = daemon.wait_for(|line| line["type"].as_str().unwrap().starts_with("reload"));
        assert_eq!(failed["type"], "reload_failed", "{more}: {failed}");
        let reason = &failed["reason"];
        assert_eq!(
            (&reason["stage"], &reason["blame"]),
            (&"input".into(), &"caller".into())
        );
        let message = reason["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
        let detail = &reason["detail"];
        if let Some((line, column)) = place {
            assert_eq!(
                (&detail["line"], &detail["column"]),
                (&line.into(), &column.into())
            );
            assert_eq!(detail["file"], config.path);
            assert!(
                message.contains(&format!("{}:{line}:{column}: ", config.path)),
                "{message}"
            );
        }
        // The old beat, the old peer, no ban.
        let figures = daemon.wait("status");
        assert_eq!(
            (&figures["active"], &figures["bans"]),
            (&1.into(), &0.into()),
            "{figures}"
        );
    }
    std::fs::remove_file(&config.path).unwrap();
    daemon.send("-HUP");
    daemon.wait("reload_failed");
    let (_, kinds) = daemon.end("-TERM");
    assert_eq!(kinds.iter().filter(|kind| *kind == "closed").count(), 1);
    drop(one);
}

/// The first node has changed already when the second refuses.
#[test]
fn what_one_node_refuses_is_taken_back_from_the_others() {
    let dir = TempDir::new("reload-back");
    let (one, at) = waiting(&dir, "one", "127.0.0.1", &REGTEST);
    let with = |first: &str, second: &str| {
        let second = format!(
            "listen = []\n{first}\n[[node]]\nnetwork = \"decred\"\nchain = \"simnet\"\n\
             seeds.table = false\nlisten = []\n{second}"
        );
        Config::write(&dir, "status = \"200ms\"", &[&at], &second)
    };
    let mut daemon = with("bans = [\"192.0.2.0/24\"]", "").serve();
    daemon.wait("established");
    with(
        "bans = [\"198.51.100.7\", \"203.0.113.0/24\"]",
        "trusted = [\"0.0.0.0:1\"]",
    );
    daemon.send("-HUP");
    let failed = daemon.wait("reload_failed");
    let message = failed["reason"]["message"].as_str().unwrap();
    assert!(
        message.contains("decred/simnet") && message.contains("0.0.0.0:1"),
        "{message}"
    );
    let zcash = |line: &Value| line["type"] == "status" && line["network"] == "zcash";
    assert_eq!(daemon.wait_for(zcash)["bans"], 1);
    // It counts as it did before: only what is different now is told.
    with("bans = [\"192.0.2.0/24\"]", "limits.inbound = 3");
    daemon.send("-HUP");
    let changed = &daemon.wait("reloaded")["changed"];
    assert_eq!(*changed, json!(["decred/simnet: limits.inbound"]));
    assert_eq!(daemon.wait_for(zcash)["active"], 1);
    drop(one);
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let dir = TempDir::new("reload-restart");
    let config = Config::write(&dir, "", &[], "listen = [\"127.0.0.1:0\"]");
    let mut daemon = config.serve();
    let at = address(&daemon.wait("listening"));
    let text = std::fs::read_to_string(&config.path).unwrap();
    let text = text
        .replace("\"data\"", "\"elsewhere\"")
        .replace("127.0.0.1:0", "127.0.0.3:0");
    let text = text
        + "height = 7\nproxy = \"socks5h://127.0.0.1:9\"\noutside.network = \"wired\"\n\
        [[node]]\nnetwork = \"decred\"\nchain = \"simnet\"\n";
    std::fs::write(&config.path, text).unwrap();
    daemon.send("-HUP");
    let needed = daemon.wait("restart_needed");
    let keys = [
        "data",
        "zcash/regtest: listen",
        "zcash/regtest: proxy",
        "zcash/regtest: outside",
        "decred/simnet added",
    ];
    assert_eq!(needed["keys"], json!(keys));
    assert_eq!(
        daemon.wait("reloaded")["changed"],
        json!(["zcash/regtest: height"])
    );
    assert!(!std::path::Path::new(&dir.file("elsewhere")).exists());
    // It still listens where it did.
    let dials = [
        "zcash",
        "--no-seeds",
        "--no-listen",
        "--peer",
        &at,
        "--data",
        &dir.file("two"),
    ];
    let mut other = Daemon::start(&[&dials[..], &REGTEST].concat());
    assert_eq!(
        other.wait("established")["height"],
        7,
        "the new height is told"
    );
    drop(daemon);
}

#[test]
fn new_tables_judge_the_peers_that_are_here() {
    let dir = TempDir::new("reload-tables");
    let write = |folder: &str, version: u32, minimum: u32| {
        std::fs::create_dir_all(dir.file(folder)).unwrap();
        let text = format!(
            "network = \"zcash\"\nprotocol_version = {version}\n[[chain]]\nname = \"mine\"\n\
             magic = \"01020304\"\nport = 7\ninitial_minimum = {minimum}\n"
        );
        std::fs::write(dir.file(&format!("{folder}/zcash.toml")), text).unwrap();
        dir.file(folder)
    };
    let (new, old) = (write("new", 999, 998), write("old", 998, 998));
    let mine = ["--chain", "mine", "--tables"];
    let (mut old, old_at) = waiting(&dir, "one", "127.0.0.1", &[&mine[..], &[&old]].concat());
    let (mut young, young_at) = waiting(&dir, "two", "127.0.0.1", &[&mine[..], &[&new]].concat());
    let dials = [
        "zcash",
        "--no-seeds",
        "--no-listen",
        "--data",
        &dir.file("three"),
    ];
    let peers = ["--peer", &old_at, "--peer", &young_at];
    let mut daemon = Daemon::start(&[&dials[..], &peers, &mine, &[&new]].concat());
    for _ in 0..2 {
        daemon.wait("established");
    }
    old.wait("established");
    young.wait("established");
    // With a mistake in it, nothing happens.
    std::fs::write(dir.file("new/zcash.toml"), "nonsense").unwrap();
    daemon.send("-HUP");
    daemon.wait("reload_failed");
    write("new", 999, 999);
    daemon.send("-HUP");
    let reloaded = daemon.wait_for(|line| line["type"] == "reloaded" || line["type"] == "closed");
    assert_eq!(
        reloaded["changed"],
        json!(["zcash/mine: tables"]),
        "{reloaded}"
    );
    assert_eq!(reloaded["nodes"][0]["incompatible"], 1);
    let closed = daemon.wait("closed");
    assert_eq!(
        (&closed["key"], &closed["reason"]["kind"]),
        (&old_at.into(), &"obsolete".into())
    );
    let (_, kinds) = daemon.end("-TERM");
    assert_eq!(
        kinds.iter().filter(|kind| *kind == "closed").count(),
        1,
        "{kinds:?}"
    );
}

#[test]
fn the_record_of_discovery_names_the_forks_of_new_tables() {
    let dir = TempDir::new("reload-forks");
    let builtin = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../ethereum/src/tables/ethereum.toml"
    );
    let table = std::fs::read_to_string(builtin).unwrap();
    std::fs::write(dir.file("ethereum.toml"), &table).unwrap();
    let config = dir.file("peerage.toml");
    let text = "data = \"data\"\n[[node]]\nnetwork = \"ethereum\"\nchain = \"hoodi\"\n\
                listen = [\"127.0.0.1:0\"]\ndiscovery = { bind = [\"127.0.0.1:0\"], boot = [] }\n";
    std::fs::write(&config, text).unwrap();
    let tables = dir.file("");
    let mut daemon = Daemon::start(&["--config", &config, "--tables", &tables]);
    let enr = daemon.wait("listening")["enr"].as_str().unwrap().to_owned();
    // What the node itself says now, asked over the wire.
    let forks = || {
        let asked = ["disc", "resolve", "--bind", "127.0.0.1:0", "--json", &enr];
        let record = json_lines(&run(&asked))[0]["enr"]
            .as_str()
            .unwrap()
            .to_owned();
        let decoded = run(&["decode", "enr", &record]);
        let text = String::from_utf8(decoded.stdout).unwrap();
        let entry = text.lines().find(|line| line.starts_with("eth "));
        entry
            .unwrap_or_else(|| panic!("no eth entry in {text}"))
            .to_owned()
    };
    let before = forks();
    // Its last fork comes at another time.
    let hoodi = table.find("name = \"hoodi\"").unwrap();
    let last = hoodi + table[hoodi..].find("name = \"bpo2\"").unwrap();
    let time = last + table[last..].find("time = ").unwrap() + "time = ".len();
    let end = time + table[time..].find('\n').unwrap();
    let later = table[time..end].trim().parse::<u64>().unwrap() + 1;
    let changed = format!("{}{later}{}", &table[..time], &table[end..]);
    std::fs::write(dir.file("ethereum.toml"), changed).unwrap();
    daemon.send("-HUP");
    let reloaded = daemon.wait("reloaded");
    assert_eq!(reloaded["changed"], json!(["ethereum/hoodi: tables"]));
    let after = forks();
    assert_ne!(before, after);
    std::fs::write(dir.file("ethereum.toml"), &table).unwrap();
    daemon.send("-HUP");
    daemon.wait("reloaded");
    assert_eq!(forks(), before);
    assert_eq!(daemon.end("-TERM").0, 0);
}

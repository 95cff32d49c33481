//! `book` and `why` where a daemon runs that can be asked.

use super::peers::Pair;
use super::{code, json_lines, run, stderr};

const REALM: [&str; 4] = ["-n", "zcash", "--chain", "regtest"];

/// `book` with these arguments, of this data directory.
fn book(data: &str, args: &[&str]) -> (i32, String) {
    let output = run(&[&["book"], args, &REALM, &["--data", data]].concat());
    (code(&output), stderr(&output))
}

#[test]
fn a_daemon_changes_its_book_itself() {
    let mut pair = Pair::new("live-book");
    let data = pair.data.clone();
    let list = ["peers", "list", "--json", "--data", &data];

    // A ban counts at once, and until it is lifted.
    let (exit, words) = book(
        &data,
        &["ban", "127.0.0.0/8", "--for", "1h", "--why", "a test"],
    );
    assert_eq!(exit, 0, "{words}");
    assert!(words.contains("as of now"), "{words}");
    let closed = pair.second.wait("closed");
    assert_eq!(closed["reason"]["detail"]["rule"], "ban", "{closed}");
    assert_eq!(code(&run(&list)), 1, "nobody is there");
    let (exit, words) = book(&data, &["unban", "127.0.0.0/8"]);
    assert_eq!(exit, 0, "{words}");
    pair.second.wait("established");
    let (exit, words) = book(&data, &["unban", "127.0.0.0/8"]);
    assert_eq!(exit, 1, "{words}");
    assert!(words.contains("was not banned"), "{words}");

    // Whoever is removed is gone, session and all, and comes back when added.
    let (exit, words) = book(&data, &["remove", &pair.at]);
    assert_eq!(exit, 0, "{words}");
    assert!(words.contains("is no longer in the book"), "{words}");
    pair.second.wait("closed");
    let (exit, words) = book(&data, &["remove", &pair.at]);
    assert_eq!(exit, 1, "{words}");
    let (exit, words) = book(&data, &["remove", "127.0.0.1"]);
    assert_eq!(exit, 2, "{words}");
    let (exit, words) = book(&data, &["add", &pair.at]);
    assert_eq!(exit, 0, "{words}");
    assert!(words.contains(", ordinary; the daemon has it"), "{words}");
    assert_eq!(pair.second.wait("established")["key"], pair.at);
    for (flag, standing) in [("--static", "static"), ("--trusted", "trusted")] {
        let (exit, words) = book(&data, &["add", flag, &pair.at]);
        assert_eq!(exit, 0, "{words}");
        let listed = json_lines(&run(&list));
        assert_eq!(listed[0]["standing"], standing, "{listed:?}");
    }
    let (exit, words) = book(&data, &["add", "node.example"]);
    assert_eq!(exit, 2, "only static or trusted peers have names: {words}");

    // Another network is not this daemon's, and its book belongs to it all the same.
    let decred = [
        "book",
        "unban",
        "192.0.2.1",
        "-n",
        "decred",
        "--data",
        &data,
    ];
    let other = run(&decred);
    assert_eq!(code(&other), 1);
    assert!(
        stderr(&other).contains("no node on decred"),
        "{}",
        stderr(&other)
    );

    // What another book knew is taken in by the daemon, too, and named by its line where it is not.
    let lines = pair.dir.file("lines");
    // The store has the peer a moment after the daemon.
    let (mut text, other) = loop {
        let exported = run(&[&["book", "export"], &REALM[..], &["--data", &data]].concat());
        let text = String::from_utf8(exported.stdout).unwrap();
        let entry = text.lines().find(|line| line.contains(&pair.at));
        if let Some(other) = entry.map(|line| line.replace(&pair.at, "127.8.0.1:18344")) {
            break (text, other);
        }
        pair.second.wait("status");
    };
    let known = text.lines().count();
    text = format!("{text}{other}\nnonsense\n");
    std::fs::write(&lines, text).unwrap();
    let (exit, words) = book(&data, &["import", &lines]);
    assert_eq!(exit, 1, "{words}");
    assert!(words.contains("is in the book already"), "{words}");
    let wrong = format!("line {} is not taken", known + 2);
    assert!(words.contains(&wrong), "{words}");
    assert!(words.contains("1 peers and 0 bans taken"), "{words}");
    assert!(words.contains("the daemon has them"), "{words}");

    // It is written down, and afterwards the store is for whoever comes.
    assert_eq!(pair.second.end("-TERM").0, 0);
    let (exit, words) = book(&data, &["remove", &pair.at, "--api", &pair.socket]);
    assert_eq!(exit, 3, "that daemon was meant: {words}");
    assert!(words.contains("is `peerage serve` running"), "{words}");
    let (exit, words) = book(&data, &["remove", &pair.at]);
    assert_eq!(exit, 0, "{words}");
    let (exit, words) = book(&data, &["ban", "192.0.2.1"]);
    assert_eq!(exit, 0, "{words}");
    assert!(!words.contains("as of now"), "{words}");
    assert_eq!(pair.first.end("-TERM").0, 0);
    drop(pair.dir);
}

#[test]
fn a_daemon_says_how_a_session_is_now() {
    let mut pair = Pair::new("live-why");
    let url = format!("zec://{}", pair.at);
    // The store has the peer a moment after it was met.
    let (why, story) = loop {
        let why = run(&["why", "--json", "--data", &pair.data, &url]);
        let story = json_lines(&why).remove(0);
        if story["type"] == "story" {
            break (why, story);
        }
        pair.second.wait("status");
    };
    assert_eq!(code(&why), 0, "{}", stderr(&why));
    assert_eq!(story["now"], "connected", "{story}");
    let listed = json_lines(&run(&["peers", "list", "--json", "--api", &pair.socket]));
    let session = &listed[0]["peer"]["session"];
    assert_eq!(&story["live"]["peer"]["session"], session, "{story}");
    let why = run(&["why", "--data", &pair.data, &url]);
    let words = String::from_utf8(why.stdout).unwrap();
    let present = format!("in session {session} for ");
    assert!(words.contains(&present), "{words}");
    assert!(
        words.contains("outbound") && words.contains("last heard"),
        "{words}"
    );

    // Without a daemon it is what was written, unless that daemon was meant.
    assert_eq!(pair.second.end("-TERM").0, 0);
    let why = run(&["why", "--json", "--data", &pair.data, &url]);
    let story = json_lines(&why).remove(0);
    assert!(
        story["live"].is_null() && story["now"] != "connected",
        "{story}"
    );
    let why = run(&["why", "--data", &pair.data, "--api", &pair.socket, &url]);
    assert_eq!(code(&why), 3);
    let words = "is `peerage serve` running";
    assert!(stderr(&why).contains(words), "{}", stderr(&why));
}

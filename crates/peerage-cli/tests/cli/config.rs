//! `config`: written, checked and shown, with whose word counts.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::{TempDir, code, json_lines, peerage, stderr};

/// A command run in a directory that is also the user's.
fn within(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = peerage(args);
    command
        .current_dir(dir.file(""))
        .env("XDG_CONFIG_HOME", dir.file("user"))
        .env("XDG_DATA_HOME", dir.file("share"));
    command
}

fn run(dir: &TempDir, args: &[&str]) -> Output {
    within(dir, args).output().unwrap()
}

fn write(dir: &TempDir, name: &str, text: &str) {
    let file = dir.file(name);
    std::fs::create_dir_all(Path::new(&file).parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

/// The value and the origin of a key.
fn setting(output: &Output, key: &str) -> (Value, String) {
    let lines = json_lines(output);
    let line = lines.iter().find(|line| line["key"] == key);
    let line = line.unwrap_or_else(|| panic!("{key} in {lines:?}"));
    let origin = &line["origin"];
    let of = |name: &str| origin[name].as_str().unwrap_or_default().to_owned();
    let origin = match of("kind").as_str() {
        "file" => format!("{}:{}", of("file"), origin["line"]),
        _ => format!("{} {}", of("kind"), of("name")),
    };
    (line["value"].clone(), origin.trim().to_owned())
}

#[test]
fn the_file_that_init_writes_is_complete_and_without_a_mistake() {
    let dir = TempDir::new("config-init");
    let made = run(
        &dir,
        &["config", "init", "-n", "decred", "--chain", "simnet"],
    );
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let text = std::fs::read_to_string(dir.file("peerage.toml")).unwrap();
    let again = run(&dir, &["config", "init"]);
    assert_eq!(code(&again), 2);
    assert!(
        stderr(&again).contains("exists already"),
        "{}",
        stderr(&again)
    );
    assert_eq!(
        std::fs::read_to_string(dir.file("peerage.toml")).unwrap(),
        text
    );
    let checked = run(&dir, &["config", "check", "--json"]);
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    let checked = &json_lines(&checked)[0];
    assert_eq!(checked["nodes"][0]["chain"], "simnet");
    // Nothing was left behind by looking.
    assert!(!Path::new(&dir.file("share")).exists());
    let printed = run(&dir, &["config", "init", "-", "-n", "ethereum"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("network = \"ethereum\""), "{printed}");
    let none = run(&dir, &["config", "init", "x", "--chain", "moon"]);
    assert_eq!(code(&none), 2);
}

#[test]
fn a_flag_beats_a_variable_a_variable_a_file_and_a_near_file_a_far_one() {
    let dir = TempDir::new("config-origin");
    let node = "[[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\nlimits.inbound = 7\n";
    write(
        &dir,
        "user/peerage/config.toml",
        &format!("status = \"20s\"\ndata = \"here\"\n[log]\nlevel = \"debug\"\n{node}"),
    );
    write(&dir, "peerage.toml", "status = \"10s\"\n");
    let show = ["config", "show", "--json"];
    let user = dir.file("user/peerage/config.toml");
    let shown = run(&dir, &show);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert_eq!(
        setting(&shown, "status"),
        ("10s".into(), "peerage.toml:1".into())
    );
    assert_eq!(
        setting(&shown, "log.level"),
        ("debug".into(), format!("{user}:4"))
    );
    assert_eq!(
        setting(&shown, "log.format"),
        ("text".into(), "default".into())
    );
    // A path in a file begins where the file is.
    let data = dir.file("user/peerage/here");
    assert_eq!(setting(&shown, "data"), (data.into(), format!("{user}:2")));
    // Networks come from one file, also when a nearer one names none.
    let inbound = setting(&shown, "node.limits.inbound");
    assert_eq!(inbound, (7.into(), format!("{user}:8")));
    assert_eq!(
        setting(&shown, "node.limits.outbound"),
        (75.into(), "default".into())
    );
    assert_eq!(
        setting(&shown, "node.listen").0,
        serde_json::json!(["0.0.0.0:18344"])
    );

    let mut command = within(&dir, &show);
    let over = command
        .env("PEERAGE_STATUS", "5s")
        .env("PEERAGE_LOG_LEVEL", "error");
    let shown = over.output().unwrap();
    assert_eq!(
        setting(&shown, "status"),
        ("5s".into(), "variable PEERAGE_STATUS".into())
    );
    assert_eq!(setting(&shown, "log.level").1, "variable PEERAGE_LOG_LEVEL");
    let shown = over.args(["--status", "1s", "-v"]).output().unwrap();
    assert_eq!(
        setting(&shown, "status"),
        ("1s".into(), "flag --status".into())
    );
    assert_eq!(
        setting(&shown, "log.level"),
        ("debug".into(), "flag --verbose".into())
    );

    // One file alone, where it is named.
    write(&dir, "other.toml", node);
    let shown = run(&dir, &[&show[..], &["--config", "other.toml"]].concat());
    assert_eq!(setting(&shown, "status"), ("30s".into(), "default".into()));
    let mut command = within(&dir, &show);
    let named = command
        .env("PEERAGE_CONFIG", "other.toml")
        .output()
        .unwrap();
    assert_eq!(setting(&named, "status").1, "default");
    let words = run(
        &dir,
        &["config", "show", "--origin", "--config", "other.toml"],
    );
    let words = String::from_utf8(words.stdout).unwrap();
    let line = "file other.toml:4\tzcash/regtest: limits.inbound = 7";
    assert!(words.lines().any(|of| of == line), "{words}");
}

#[test]
fn a_check_says_where_and_what_and_serve_looks_where_check_does() {
    let dir = TempDir::new("config-check");
    let none = run(&dir, &["config", "check"]);
    assert_eq!(code(&none), 2);
    assert!(stderr(&none).contains("config init"), "{}", stderr(&none));
    let serve = run(&dir, &["serve"]);
    assert_eq!(code(&serve), 2);
    assert!(stderr(&serve).contains("./peerage.toml") || stderr(&serve).contains("peerage.toml"));

    write(&dir, "peerage.toml", "[log]\nlevl = \"info\"\n");
    for args in [&["config", "check"][..], &["serve"], &["config", "show"]] {
        let wrong = run(&dir, args);
        assert_eq!(code(&wrong), 2, "{args:?}");
        let said = stderr(&wrong);
        assert!(
            said.contains("peerage.toml:2:1: ") && said.contains("did you mean level?"),
            "{said}"
        );
    }
    let wrong = run(&dir, &["config", "check", "--json"]);
    assert_eq!(code(&wrong), 2);
    let wrong = &json_lines(&wrong)[0];
    assert_eq!(
        (&wrong["ok"], &wrong["line"], &wrong["column"]),
        (&false.into(), &2.into(), &1.into())
    );
    write(&dir, "loud.toml", "[log]\nlevel = \"loud\"\n");
    let wrong = run(&dir, &["config", "check", "loud.toml"]);
    let said = stderr(&wrong);
    assert!(
        said.contains("loud.toml:2:9: ") && said.contains("error, warn, info, debug"),
        "{said}"
    );
    // What only makes sense together is looked at too.
    write(
        &dir,
        "deep.toml",
        "[[node]]\nnetwork = \"zcash\"\nchain = \"moon\"\n",
    );
    let wrong = run(&dir, &["config", "check", "deep.toml"]);
    assert_eq!(code(&wrong), 2);
    assert!(
        stderr(&wrong).contains("no chain moon"),
        "{}",
        stderr(&wrong)
    );
    for (fields, place, what) in [
        (
            "outside.external = [\"192.0.2.1\", \"0.0.0.0\"]",
            "3:20",
            "nobody can reach that",
        ),
        (
            "outside.network = \"warp\"",
            "3:19",
            "wired, wifi and mobile",
        ),
        (
            "isolated = true\noutside = { stun = [\"192.0.2.1\"] }",
            "4:11",
            "a node that hides",
        ),
    ] {
        let text = format!("[[node]]\nnetwork = \"zcash\"\n{fields}\n");
        write(&dir, "outside.toml", &text);
        let wrong = run(&dir, &["config", "check", "outside.toml"]);
        let said = stderr(&wrong);
        assert_eq!(code(&wrong), 2, "{fields}");
        assert!(
            said.contains(&format!("outside.toml:{place}: ")) && said.contains(what),
            "{said}"
        );
    }
    // A flag that speaks of one node needs one.
    for flag in [["--max-in", "3"], ["--external", "192.0.2.1"]] {
        let lost = run(&dir, &["serve", flag[0], flag[1]]);
        assert_eq!(code(&lost), 2);
        assert!(stderr(&lost).contains("NETWORK"), "{}", stderr(&lost));
    }
}

#[test]
fn serve_runs_from_the_file_that_is_found() {
    let dir = TempDir::new("config-found");
    write(
        &dir,
        "peerage.toml",
        "data = \"data\"\n[[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\n\
         listen = [\"127.0.0.1:0\"]\nseeds.table = false\n",
    );
    let mut command = within(
        &dir,
        &["serve", "--json", "--for", "300ms", "--log-format", "json"],
    );
    let output = command.arg("-v").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json_lines(&output)[0]["type"], "listening");
    assert!(Path::new(&dir.file("data/peerage.db")).exists());
    // The log tells the same, with how much it matters.
    let logged: Vec<Value> = stderr(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = logged
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["listening", "stopping", "stopped"]);
    for line in &logged {
        assert_eq!(
            (&line["v"], &line["level"]),
            (&1.into(), &"info".into()),
            "{line}"
        );
        assert!(line["words"].is_string() && line["at"].is_i64(), "{line}");
    }
    let output = within(&dir, &["serve", "--for", "300ms", "-q"])
        .output()
        .unwrap();
    assert_eq!((stderr(&output).as_str(), output.stdout.len()), ("", 0));
}

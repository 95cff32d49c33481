//! The unit for systemd: that it says what the daemon understands, and what systemd does.

use std::collections::BTreeSet;
use std::process::Command;

use super::{TempDir, code, run, stderr};

const UNIT: &str = include_str!("../../../../dist/systemd/peerage.service");

/// What systemd 253 knows of what the unit may say, by systemd.unit(5), .service(5), .exec(5) and .kill(5).
const KNOWN: [(&str, &[&str]); 3] = [
    ("Unit", &["Description", "Documentation", "Wants", "After"]),
    (
        "Service",
        &[
            "AmbientCapabilities",
            "CapabilityBoundingSet",
            "DynamicUser",
            "ExecStart",
            "LimitNOFILE",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "NoNewPrivileges",
            "PrivateDevices",
            "PrivateTmp",
            "ProcSubset",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHome",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProtectSystem",
            "RemoveIPC",
            "Restart",
            "RestartPreventExitStatus",
            "RestartSec",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "StateDirectory",
            "StateDirectoryMode",
            "SystemCallArchitectures",
            "SystemCallErrorNumber",
            "SystemCallFilter",
            "TimeoutStopSec",
            "Type",
            "UMask",
            "WatchdogSec",
        ],
    ),
    ("Install", &["WantedBy"]),
];

/// Section, key and value of each line.
fn lines() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut section = "";
    let mut lines = Vec::new();
    for line in UNIT
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            section = name;
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        lines.push((section, key, value));
    }
    lines
}

fn value(key: &str) -> &'static str {
    let found = lines().into_iter().find(|(_, name, _)| *name == key);
    found.unwrap_or_else(|| panic!("no {key}")).2
}

#[test]
fn every_directive_of_the_unit_is_one_and_stands_once() {
    let mut seen = BTreeSet::new();
    for (section, key, value) in lines() {
        let (_, known) = KNOWN.iter().find(|(name, _)| *name == section).unwrap();
        assert!(known.contains(&key), "[{section}] {key}");
        // A filter is a list and its exceptions.
        let is_first = seen.insert((section, key));
        assert!(
            is_first || (key == "SystemCallFilter" && value.starts_with('~')),
            "{key}"
        );
    }
    // By notify(3): reloads are told, and exit code 2 is no reason to try again.
    assert_eq!(value("Type"), "notify-reload");
    assert_eq!(value("RestartPreventExitStatus"), "2");
}

#[test]
fn what_the_unit_starts_is_a_daemon_that_runs() {
    let dir = TempDir::new("unit");
    let config = dir.file("config.toml");
    let text =
        "[[node]]\nnetwork = \"zcash\"\nchain = \"regtest\"\nlisten = []\nseeds.table = false\n";
    std::fs::write(&config, text).unwrap();
    let start = value("ExecStart");
    let words = start
        .replace("%S", &dir.file("state"))
        .replace("/etc/peerage/config.toml", &config);
    let mut words: Vec<&str> = words.split(' ').collect();
    assert!(words.remove(0).ends_with("/peerage"));
    std::fs::create_dir_all(dir.file("state")).unwrap();
    words.extend(["--for", "1s"]);
    let ran = run(&words);
    assert_eq!(code(&ran), 0, "{}", stderr(&ran));
    assert!(dir.file("state/peerage/peerage.db").len() > 1);
    let made = std::fs::read_dir(dir.file("state")).unwrap().count();
    assert_eq!(made, 1, "{} is StateDirectory", value("StateDirectory"));
}

/// By systemd itself, where it is; before 253 it knows no notify-reload, as the unit says.
#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    let dir = TempDir::new("unit-verify");
    let path = dir.file("peerage.service");
    let binary = env!("CARGO_BIN_EXE_peerage");
    let unit = UNIT.replace("/usr/local/bin/peerage", binary);
    let unit = unit.replace("Documentation=man:peerage(1)\n", "");
    std::fs::write(&path, unit).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", &path])
        .output();
    // A machine without it is no mistake of the unit; the other tests are left.
    let Ok(verified) = verified else { return };
    let words = stderr(&verified);
    let own = words
        .lines()
        .filter(|line| line.contains("peerage.service"));
    let wrong: Vec<_> = own
        .filter(|line| !line.contains("Failed to parse service type, ignoring: notify-reload"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

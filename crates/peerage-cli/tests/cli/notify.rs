//! The service manager's side of sd_notify(3), played by a socket.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::TempDir;
use super::serve::Daemon;

struct Manager(UnixDatagram);

impl Manager {
    /// The next message that has a line of this name; its value.
    fn hears(&self, name: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let len = self.0.recv(&mut bytes).expect("a message in time");
            let text = String::from_utf8(bytes[..len].to_vec()).unwrap();
            for line in text.lines() {
                if let Some((of, value)) = line.split_once('=')
                    && of == name
                {
                    // Whoever reloads says when, so that old answers are told from new ones.
                    if name == "RELOADING" {
                        let usec = text
                            .lines()
                            .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
                        assert!(usec.unwrap().parse::<u64>().unwrap() > 0, "{text}");
                    }
                    return value.to_owned();
                }
            }
        }
    }
}

#[test]
fn a_manager_hears_of_readiness_life_reloading_and_the_end() {
    let dir = TempDir::new("notify");
    let path = dir.file("socket");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    // It is waited for, not timed: this only keeps a failure from hanging.
    manager
        .0
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let config = dir.file("peerage.toml");
    let text = "data = \"data\"\nstatus = \"200ms\"\n[[node]]\nnetwork = \"zcash\"\n\
                chain = \"regtest\"\nlisten = [\"127.0.0.1:0\"]\nseeds.table = false\n";
    std::fs::write(&config, text).unwrap();
    let variables = [("NOTIFY_SOCKET", &*path), ("WATCHDOG_USEC", "200000")];
    let daemon = Daemon::start_with(&["--config", &config], &variables);
    assert_eq!(manager.hears("READY"), "1");
    for _ in 0..3 {
        assert_eq!(manager.hears("WATCHDOG"), "1");
    }
    assert_eq!(manager.hears("STATUS"), "zcash/regtest: 0 in, 0 out");
    daemon.send("-HUP");
    assert_eq!(
        (manager.hears("RELOADING"), manager.hears("READY")),
        ("1".into(), "1".into())
    );
    // After a mistake it is as ready as before, and says what is wrong.
    std::fs::write(&config, "x = 1").unwrap();
    daemon.send("-HUP");
    manager.hears("RELOADING");
    loop {
        let status = manager.hears("STATUS");
        if status.contains("peerage.toml:1:1: ") {
            break;
        }
    }
    assert_eq!(daemon.end("-TERM").0, 0);
    assert_eq!(manager.hears("STOPPING"), "1");
}

#[test]
fn nothing_is_said_before_the_ports_are_bound() {
    let dir = TempDir::new("notify-port");
    let path = dir.file("socket");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let data = dir.file("data");
    let args = [
        "serve",
        "zcash",
        "--no-seeds",
        "--listen",
        &at,
        "--data",
        &data,
    ];
    let failed = super::peerage(&args)
        .env("NOTIFY_SOCKET", &path)
        .output()
        .unwrap();
    assert_eq!(super::code(&failed), 3);
    assert!(manager.recv(&mut [0; 64]).is_err());
}

#[test]
fn lines_in_the_journal_carry_their_level_instead_of_the_time() {
    use std::os::unix::fs::MetadataExt as _;

    let dir = TempDir::new("notify-journal");
    let serve = |file: &str, stream: Option<&str>| {
        let log = std::fs::File::create(dir.file(file)).unwrap();
        let metadata = log.metadata().unwrap();
        let own = format!("{}:{}", metadata.dev(), metadata.ino());
        let data = dir.file("data");
        let args = [
            "serve",
            "zcash",
            "--chain",
            "regtest",
            "--no-seeds",
            "--no-listen",
        ];
        let mut command =
            super::peerage(&[&args[..], &["--data", &data, "--for", "100ms"]].concat());
        command.env("JOURNAL_STREAM", stream.unwrap_or(&own));
        assert!(command.stderr(log).status().unwrap().success());
        std::fs::read_to_string(dir.file(file)).unwrap()
    };
    let journal = serve("journal", None);
    assert!(journal.lines().count() > 1, "{journal}");
    for line in journal.lines() {
        assert!(line.starts_with("<6>"), "{line}");
    }
    // Whoever sends stderr elsewhere gets the time.
    let elsewhere = serve("elsewhere", Some("8:1"));
    for line in elsewhere.lines() {
        assert!(line.starts_with("20"), "{line}");
    }
}

//! What the machine or a file refuses is told in words that say what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use super::serve::{Daemon, address};
use super::{TempDir, code, peerage, run, stderr};

/// A command without a superuser's rights: as nobody where the tests run as root.
fn unprivileged(args: &[&str]) -> Command {
    let mut command = peerage(args);
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout.trim_ascii() == b"0" {
        command.uid(65534).gid(65534);
    }
    command
}

fn set_mode(path: &str, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).unwrap();
}

/// The exit code is this, and the words have all of these.
fn says(output: &Output, exit: i32, parts: &[&str]) {
    let said = stderr(output);
    assert_eq!(code(output), exit, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
}

const SERVE: [&str; 7] = [
    "serve",
    "zcash",
    "--chain",
    "regtest",
    "--no-seeds",
    "--for",
    "60s",
];

fn serve(more: &[&str]) -> Output {
    run(&[&SERVE[..], more].concat())
}

#[test]
fn a_port_in_use_is_named_and_how_to_find_who_has_it() {
    let dir = TempDir::new("error-port");
    let (one, two) = (dir.file("one"), dir.file("two"));
    let args = [
        "zcash",
        "--chain",
        "regtest",
        "--no-seeds",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut other = Daemon::start(&[&args[..], &["--data", &one]].concat());
    let at = address(&other.wait("listening"));
    let port = at.rsplit(':').next().unwrap();
    let filter = format!("sport = :{port}");
    let parts = [
        &format!("cannot listen at {at}"),
        &*filter,
        "another peerage",
    ];
    says(&serve(&["--listen", &at, "--data", &two]), 3, &parts);
    let listen = ["listen", "zcash", "--chain", "regtest", "--bind", &at];
    says(&run(&listen), 3, &parts);
    let foreign = ["--listen", "192.0.2.1:7777", "--data", &two];
    says(
        &serve(&foreign),
        3,
        &["192.0.2.1:7777", "no interface of this machine has"],
    );
    // UDP likewise.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = taken.local_addr().unwrap().to_string();
    let ethereum = [
        "serve",
        "ethereum",
        "--no-listen",
        "--data",
        &two,
        "--discovery",
        &udp,
    ];
    says(
        &run(&ethereum),
        3,
        &["UDP port", "is in use: choose another"],
    );
    // One instance a directory.
    let again = serve(&["--no-listen", "--data", &one]);
    says(
        &again,
        3,
        &[&one, "belongs to a running peerage", "give another --data"],
    );
}

#[test]
fn a_low_port_without_the_right_says_which_right() {
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let start = start.map_or(1024, |text| text.trim().parse::<u16>().unwrap());
    if start <= 7 {
        // Here everybody has it.
        return;
    }
    let args = [
        "listen",
        "zcash",
        "--chain",
        "regtest",
        "--bind",
        "127.0.0.1:7",
    ];
    let output = unprivileged(&args).output().unwrap();
    says(
        &output,
        3,
        &["127.0.0.1:7", "below 1024", "CAP_NET_BIND_SERVICE"],
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named_with_the_cause() {
    let dir = TempDir::new("error-data");
    let closed = dir.file("closed");
    std::fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o500);
    set_mode(&dir.file(""), 0o755);
    for data in [closed.clone(), format!("{closed}/below")] {
        let args = [&SERVE[..], &["--no-listen", "--data", &data]].concat();
        let output = unprivileged(&args).output().unwrap();
        says(
            &output,
            3,
            &["cannot use the data directory", &closed, "chown"],
        );
    }
    let file = dir.file("file");
    std::fs::write(&file, "").unwrap();
    let below = format!("{file}/below");
    says(
        &serve(&["--no-listen", "--data", &below]),
        3,
        &[&below, "is a file"],
    );
}

#[test]
fn a_store_of_something_else_is_left_alone() {
    let dir = TempDir::new("error-store");
    for (name, bytes) in [("text", &b"hello"[..]), ("long", &[7; 10_000])] {
        let data = dir.file(name);
        std::fs::create_dir(&data).unwrap();
        let store = format!("{data}/peerage.db");
        std::fs::write(&store, bytes).unwrap();
        let output = serve(&["--no-listen", "--data", &data]);
        says(
            &output,
            2,
            &[&store, "not a book of peerage", "move it away"],
        );
        assert_eq!(std::fs::read(&store).unwrap(), bytes);
    }
}

#[test]
fn a_key_file_that_cannot_be_used_says_what_to_do() {
    let dir = TempDir::new("error-key");
    let key = dir.file("node.key");
    set_mode(&dir.file(""), 0o755);
    let data = dir.file("data");
    let serve_with = |key: &str| serve(&["--no-listen", "--data", &data, "--key", key]);
    says(&serve_with(&key), 2, &[&key, "`peerage key new"]);
    for wrong in [
        "0f".repeat(31),
        "0f".repeat(33),
        "zz".repeat(32),
        "0f".repeat(4096),
    ] {
        std::fs::write(&key, wrong).unwrap();
        set_mode(&key, 0o600);
        says(&serve_with(&key), 2, &[&key, "64 hexadecimal digits"]);
    }
    std::fs::write(&key, "0f".repeat(32)).unwrap();
    set_mode(&key, 0o644);
    says(
        &serve_with(&key),
        2,
        &[&key, "can be read by others (mode 644)", "chmod 600"],
    );
    set_mode(&key, 0o000);
    let show = ["key", "show", &key];
    says(
        &unprivileged(&show).output().unwrap(),
        3,
        &[&key, "this user may not", "chown"],
    );
}

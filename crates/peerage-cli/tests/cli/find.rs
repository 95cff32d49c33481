//! `find` by seeds and gossip, with seeders on this machine; and what a daemon tells of its finders.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use peerage::net::Listener;
use peerage::networks::Builtin;
use peerage::verack::Services;
use peerage::verack::dialect::Message as _;
use peerage::verack::message::Listed;
use peerage::verack::policy::AcceptAll;
use peerage::{Decred, Endpoint, Greeter, UnixTime, Zcash};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::serve::{Daemon, REGTEST, closed};
use super::{TempDir, code, json_lines, run, stderr};

/// A runtime on which seed peers run beside the test.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A peer that tells whoever asks of these.
fn seed_peer<N: Builtin>(runtime: &Runtime, chain: &'static str, told: &[&str]) -> String {
    let _guard = runtime.enter();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap().to_string();
    let told: Vec<_> = told
        .iter()
        .map(|at| Listed {
            time: UnixTime(1_790_000_000),
            services: Services(1),
            endpoint: Endpoint::from(at.parse::<std::net::SocketAddr>().unwrap()),
        })
        .collect();
    runtime.spawn(async move {
        let greeter = Greeter::<N>::new(chain).unwrap();
        while let Ok(guest) = listener.accept().await {
            let deadline = Instant::now() + Duration::from_secs(20);
            let Ok(mut peer) = greeter.greet(guest, AcceptAll, deadline).await else {
                continue;
            };
            let version = peer.info().negotiated;
            while let Ok(message) = peer.recv().await {
                if message.asks_for_addrs() {
                    // The other end may have heard enough already.
                    drop(peer.send(&N::Message::list(&told, version)).await);
                }
            }
        }
    });
    at
}

/// A seeder that answers `/api/addrs` with these, over plain HTTP.
fn seeder(told: &'static [&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let question = lines.next().unwrap().unwrap();
            assert!(question.starts_with("GET /api/addrs?"), "{question}");
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let lines = told
                .iter()
                .map(|at| format!("{{\"host\":\"{at}\",\"services\":1,\"pver\":11}}\n"));
            let body: String = lines.collect();
            let head = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";
            stream
                .write_all((head.to_owned() + &body).as_bytes())
                .unwrap();
        }
    });
    at
}

fn candidates(lines: &[Value]) -> Vec<(&str, &str, &str)> {
    let found = lines.iter().filter(|line| line["type"] == "candidate");
    let mut found: Vec<_> = found
        .map(|line| {
            (
                line["dial"].as_str().unwrap(),
                line["source"].as_str().unwrap(),
                line["told_by"].as_str().unwrap(),
            )
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn zcash_is_found_by_gossip_and_dns_each_place_once_and_with_who_told_of_it() {
    let runtime = runtime();
    let told = ["192.0.2.1:8233", "192.0.2.2:8233"];
    let peer = seed_peer::<Zcash>(&runtime, "regtest", &told);
    let dead = closed();
    let found = run(&[
        "find",
        "zcash",
        "--chain",
        "regtest",
        "--peer",
        &format!("zec://{peer}"),
        "--peer",
        &dead,
        "--dns",
        "localhost:18344",
        "--json",
    ]);
    assert_eq!(code(&found), 0, "{}", stderr(&found));
    let lines = json_lines(&found);
    let found = candidates(&lines);
    for place in told {
        let wanted = (&*format!("zec://{place}"), "gossip", peer.as_str());
        assert_eq!(found.iter().filter(|one| **one == wanted).count(), 1);
    }
    let local = ("zec://127.0.0.1:18344", "dns", "localhost");
    assert!(found.contains(&local), "{found:?}");
    // It ended because everybody had been asked, and says what came of it.
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["type"], &end["chain"]),
        (&"found".into(), &"regtest".into())
    );
    assert_eq!(end["count"], found.len());
    let finders = end["finders"].as_array().unwrap();
    let seeds: Vec<_> = finders
        .iter()
        .flat_map(|finder| finder["seeds"].as_array().unwrap())
        .collect();
    let of = |name: &str| *seeds.iter().find(|seed| seed["seed"] == name).unwrap();
    assert_eq!(
        (&of(&peer)["answered"], &of(&peer)["gave"]),
        (&1.into(), &2.into())
    );
    assert_eq!(of(&dead)["failed"], 1);
    assert_eq!(of(&dead)["trouble"]["kind"], "connection_refused");
    assert_eq!(of("localhost")["trouble"], Value::Null);

    // The same in words: places on stdout, who was asked on stderr.
    let words = run(&[
        "find", "zcash", "--chain", "regtest", "--peer", &peer, "--peer", &dead, "--count", "2",
        "--for", "60s",
    ]);
    assert_eq!(code(&words), 0, "{}", stderr(&words));
    let text = String::from_utf8(words.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(&format!(
        "gossip  {peer}  zec://192.0.2.1:8233  services 0x1"
    )));
    let said = stderr(&words);
    assert!(
        said.contains(&format!("gossip  {peer}  told of 2")),
        "{said}"
    );
}

#[test]
fn decred_is_found_by_seeders_and_gossip() {
    let runtime = runtime();
    let peer = seed_peer::<Decred>(&runtime, "simnet", &["192.0.2.9:18555", "192.0.2.10:18555"]);
    let https = seeder(&["192.0.2.7:18555", "192.0.2.8:18555", "nonsense"]);
    let found = run(&[
        "find", "decred", "--chain", "simnet", "--https", &https, "--peer", &peer, "--json",
    ]);
    assert_eq!(code(&found), 0, "{}", stderr(&found));
    let lines = json_lines(&found);
    assert_eq!(
        candidates(&lines),
        [
            ("dcr://192.0.2.10:18555", "gossip", peer.as_str()),
            ("dcr://192.0.2.7:18555", "https", https.as_str()),
            ("dcr://192.0.2.8:18555", "https", https.as_str()),
            ("dcr://192.0.2.9:18555", "gossip", peer.as_str()),
        ]
    );
    let first = lines.iter().find(|line| line["source"] == "https").unwrap();
    assert_eq!(
        (&first["services"], &first["protocol_version"]),
        (&"0x1".into(), &11.into())
    );

    // Three are not there; all were asked, and that is that.
    let few = run(&[
        "find", "decred", "--chain", "simnet", "--https", &https, "--count", "3", "--json",
    ]);
    assert_eq!(code(&few), 1, "{}", stderr(&few));
    assert_eq!(json_lines(&few).last().unwrap()["count"], 2);
}

#[test]
fn through_a_proxy_nothing_is_resolved_here_and_a_dead_one_is_told() {
    let proxy = format!("socks5h://{}", closed());
    let found = run(&["find", "zcash", "--proxy", &proxy, "--json"]);
    assert_eq!(code(&found), 1, "{}", stderr(&found));
    let lines = json_lines(&found);
    let [end] = &lines[..] else {
        panic!("nobody can be found: {lines:?}")
    };
    let finders = end["finders"].as_array().unwrap();
    assert_eq!(finders.len(), 1);
    assert_eq!(finders[0]["source"], "gossip", "seeds are greeted by name");
    for seed in finders[0]["seeds"].as_array().unwrap() {
        assert_eq!(seed["trouble"]["kind"], "proxy", "{seed}");
    }
    let nobody = run(&["find", "zcash", "--chain", "regtest"]);
    assert_eq!(code(&nobody), 2);
    assert!(stderr(&nobody).contains("--peer"), "{}", stderr(&nobody));
    let elsewhere = run(&["find", "decred", "--https", "http://example.org"]);
    assert_eq!(code(&elsewhere), 2, "{}", stderr(&elsewhere));
}

#[test]
fn a_daemon_tells_what_its_finders_found() {
    let runtime = runtime();
    let (one, two) = (closed(), closed());
    let peer = seed_peer::<Zcash>(&runtime, "regtest", &[&one, &two]);
    let dead = closed();
    let dir = TempDir::new("serve-finders");
    let data = dir.file("data");
    let args = [
        "--no-listen",
        "--local",
        "--status",
        "200ms",
        "--data",
        &data,
    ];
    let asks = ["--seed-peer", &peer, "--seed-peer", &dead];
    let mut daemon = Daemon::start(&[&REGTEST[..], &args, &asks].concat());
    let status = daemon.wait_for(|line| {
        let finder = &line["finders"][0];
        let failed = finder["seeds"][1]["failed"].as_u64();
        line["type"] == "status" && finder["taken"] == 2 && failed >= Some(1)
    });
    let finder = &status["finders"][0];
    assert_eq!(
        (&finder["source"], &finder["gave"]),
        (&"gossip".into(), &2.into())
    );
    assert_eq!(finder["lived"], 0, "nobody listens there");
    assert_eq!(finder["seeds"][0]["seed"], peer);
    assert_eq!(finder["seeds"][1]["trouble"]["kind"], "connection_refused");
    assert_eq!(daemon.end("-TERM").0, 0);
}

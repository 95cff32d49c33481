//! Killed at any moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use peerage_book::Change;
use peerage_store::{Options, Reader, Store};

use crate::common::{Folder, LONG, book, options, realm, tip};
use peerage_testkit::Random;

const CHILD: &str = "PEERAGE_STORE_KILL_TEST";
/// Peers whose number is written over and over.
const PEERS: u64 = 40;

/// Not a test by itself: the process that is killed. It writes rounds of changes, each round with a
/// higher count, and says on standard output which rounds are acknowledged.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let store = Store::open(
        Path::new(&path),
        Options {
            batch: 7,
            check: false,
            ..options()
        },
    )
    .unwrap();
    let loaded = store.reader().unwrap().load(&realm()).unwrap();
    let rounds = loaded.snapshot.entries.iter();
    let mut round = rounds.map(|(entry, _)| entry.attempts).max().unwrap_or(0);
    let (mut book, now) = book();
    for number in 0..PEERS {
        book.add(now, tip(number)).unwrap();
    }
    let entries: Vec<_> = book.snapshot().entries;
    let mut out = std::io::stdout();
    loop {
        round += 1;
        let mut last = 0;
        for (entry, events) in &entries {
            let mut entry = Box::new(entry.clone());
            entry.attempts = round;
            let mut event = events[0].clone();
            event.number = round.into();
            let news = vec![event];
            let change = Change::Candidate { entry, news };
            last = store.offer(&realm(), now.wall, change).unwrap();
        }
        store.flush(LONG).unwrap();
        assert!(store.written() >= last);
        writeln!(out, "acknowledged {round}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn everything_acknowledged_survives_being_killed() {
    let folder = Folder::new();
    let path = folder.file();
    let mut random = Random::new(1);
    let mut highest = 0;
    for kill in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        // Somewhere after so many acknowledgements: in the middle of whatever it does then.
        let mut left = 1 + random.below(12);
        let mut acknowledged = None;
        let mut killed = false;
        for line in output.lines() {
            let line = line.unwrap();
            // The harness prints the test's name before the first line.
            let Some((_, round)) = line.split_once("acknowledged ") else {
                continue;
            };
            acknowledged = Some(round.parse::<u32>().unwrap());
            left = left.saturating_sub(1);
            if left == 0 && !killed {
                // Not at once: a number of steps that the clock does not know.
                for _ in 0..random.below(200_000) {
                    std::hint::spin_loop();
                }
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself, kill {kill}");

        let reader = Reader::open(&path).unwrap();
        reader.check().unwrap();
        let loaded = reader.load(&realm()).unwrap();
        assert_eq!(loaded.damaged, []);
        assert_eq!(loaded.snapshot.entries.len() as u64, PEERS);
        let acknowledged = acknowledged.expect("some round");
        assert!(acknowledged > highest);
        for (entry, events) in &loaded.snapshot.entries {
            assert!(
                entry.attempts >= acknowledged && entry.attempts <= acknowledged + 1,
                "kill {kill}: {} of {acknowledged}",
                entry.attempts
            );
            let last = events.last().unwrap().number;
            assert_eq!(last, u64::from(entry.attempts), "both or neither");
        }
        let rounds = loaded.snapshot.entries.iter();
        highest = rounds.map(|(entry, _)| entry.attempts).max().unwrap();
    }
}

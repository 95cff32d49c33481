//! Files, books and a generator that depends on nothing but its seed.

use peerage_testkit::Random;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use peerage_book::{Book, Config, Greeted, Now, Occupied, Source, Tip};
use peerage_core::{Detail, Endpoint, Kind, Network, Reason, Stage, UnixTime};
use peerage_store::{Options, Realm};

/// Long enough for the slowest machine; reached only by a bug.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A folder that goes when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("peerage-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("book.db")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn realm() -> Realm {
    Realm::new(Network("zcash"), &"mainnet".into())
}

/// Quick to try again, and no check of the whole file at each of many openings.
pub(crate) fn options() -> Options {
    Options {
        retry: Duration::from_millis(20),
        ..Options::default()
    }
}

pub(crate) fn start() -> Now {
    Now {
        at: Instant::now(),
        wall: UnixTime(1_800_000_000),
    }
}

pub(crate) fn book() -> (Book, Now) {
    let now = start();
    (Book::new(Config::default(), [3; 16], now).unwrap(), now)
}

pub(crate) fn apart(number: u64) -> Endpoint {
    let bits = (20 << 24) + (u32::try_from(number).unwrap() << 16) + 1;
    Endpoint::new(std::net::Ipv4Addr::from_bits(bits).into(), 8233)
}

pub(crate) fn tip(number: u64) -> Tip {
    Tip::at(apart(number), Source::Seed("s".into()))
}

pub(crate) fn reason(stage: Stage, kind: Kind) -> Reason {
    Reason {
        stage,
        kind,
        blame: kind.blame(),
        retry: kind.retry(),
        detail: Detail::none(),
        message: "words\n\"of\" a peer".into(),
    }
}

/// Some life: peers heard of, dialled, greeted, lost, banned.
pub(crate) fn live(book: &mut Book, mut now: Now, random: &mut Random, steps: u64) -> Now {
    for _ in 0..steps {
        now = now.after(Duration::from_secs(random.below(60)));
        if random.below(2) == 0 {
            let _refused = book.add(now, tip(random.below(200)));
        } else if let Some(next) = book.next_dial(now, &Occupied::with_free(1)) {
            if random.below(2) == 0 {
                let kinds = [Kind::Timeout, Kind::ConnectionRefused];
                let kind = kinds[usize::try_from(random.below(2)).unwrap()];
                let failed = reason(Stage::Reach, kind);
                book.outcome(now, next.id, Err(failed)).unwrap();
            } else {
                let greeted = Greeted {
                    services: Some(random.below(u64::MAX)),
                    agent: peerage_core::PeerText::new(b"/Zebra:15.0.0/\xff\x1b"),
                };
                book.outcome(now, next.id, Ok(greeted)).unwrap();
                now = now.after(Duration::from_secs(random.below(600)));
                let left = reason(Stage::Keep("ping"), Kind::Left);
                book.left(now, next.id, &left).unwrap();
            }
        }
    }
    now
}

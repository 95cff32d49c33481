//! Time, addresses and reasons made by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use peerage_book::{Book, Config, Dial, Greeted, Key, Now, Occupied, Source, Tip};
use peerage_core::{Detail, Endpoint, Kind, Reason, Stage, UnixTime};

pub(crate) fn start() -> Now {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other constructor; it is only ever compared with itself"
    )]
    let at = Instant::now();
    Now {
        at,
        wall: UnixTime(1_800_000_000),
    }
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

pub(crate) const fn hours(count: u64) -> Duration {
    Duration::from_secs(3_600 * count)
}

/// A public address of this number; each of its own /16.
pub(crate) fn apart(number: u64) -> Endpoint {
    // 20.0.0.0 upwards, which no registry keeps for itself.
    let number = u32::try_from(number).unwrap();
    assert!(number < 70 * 256, "no more groups");
    let ip = Ipv4Addr::from_bits((20 << 24) + (number << 16) + 1);
    Endpoint::new(ip.into(), 8233)
}

/// A public address of this number, all in one /16.
pub(crate) fn together(number: u64) -> Endpoint {
    let number = u32::try_from(number).unwrap();
    assert!(number < 65_536, "no more addresses");
    Endpoint::new(IpAddr::V4(Ipv4Addr::from_bits((99 << 24) + number)), 8233)
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

pub(crate) fn seed(name: &str) -> Source {
    Source::Seed(name.into())
}

pub(crate) fn gossiper(number: u64) -> Source {
    Source::Gossip(Some(apart(number).ip()))
}

pub(crate) fn book() -> (Book, Now) {
    book_with(Config::default())
}

pub(crate) fn book_with(config: Config) -> (Book, Now) {
    let now = start();
    (Book::new(config, [3; 16], now).unwrap(), now)
}

pub(crate) fn known(book: &mut Book, now: Now, endpoint: Endpoint) -> Key {
    book.add(now, Tip::at(endpoint, seed("s"))).unwrap();
    endpoint.into()
}

pub(crate) fn reason(stage: Stage, kind: Kind) -> Reason {
    Reason {
        stage,
        kind,
        blame: kind.blame(),
        retry: kind.retry(),
        detail: Detail::none(),
        message: kind.name().into(),
    }
}

pub(crate) fn unreached(kind: Kind) -> Reason {
    reason(Stage::Reach, kind)
}

pub(crate) fn one() -> Occupied {
    Occupied::with_free(1)
}

/// The next dial, or a panic.
#[track_caller]
pub(crate) fn dial(book: &mut Book, now: Now) -> Dial {
    book.next_dial(now, &one()).expect("someone to dial")
}

/// Lets a peer greet us and go at once, as one that works.
#[track_caller]
pub(crate) fn greet_and_part(book: &mut Book, now: Now) -> Key {
    let next = dial(book, now);
    book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
    let later = now.after(minutes(5));
    book.left(later, next.id, &reason(Stage::Keep("receive"), Kind::Left))
        .unwrap();
    next.key
}

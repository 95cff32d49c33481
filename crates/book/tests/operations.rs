//! A byte string, or a seed, read as a list of operations on the book. A fuzz target, plain tests and
//! a folder of kept inputs all call [`run`].
//!
//! The first byte chooses: even, the book beside a naive [model](Model) of it, a vector and linear
//! scans; odd, a book of small bounds that audits itself. Every choice after that takes a byte, one of
//! more than 256 two. The book chooses by chance, so the model says who may be chosen, and that nobody
//! is not chosen in vain.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peerage_book::{
    Added, Address, Book, By, Config, DialId, Greeted, Key, Now, Occupied, Prefix, Refused, Role,
    Subject, Tip,
};
use peerage_core::{Blame, Endpoint, Kind, Reason, Retry, Stage};

use crate::common::{
    apart, book_with, gossiper, minutes, reason, seconds, seed, together, unreached,
};
use peerage_testkit::Random;

/// The most operations carried out of one list.
const MAX_OPERATIONS: u64 = 400;

/// Reads and carries out a list of operations; what has happened in it, in words.
///
/// # Panics
/// When a promise is broken.
pub(crate) fn run(program: &[u8]) -> String {
    let (first, rest) = program.split_first().unwrap_or((&0, &[]));
    let tape = Random::tape(rest);
    let mut words = Words::default();
    if first.is_multiple_of(2) {
        words = stream(tape, MAX_OPERATIONS);
    } else {
        let (trace, _) = chaos(tape, MAX_OPERATIONS);
        for line in trace {
            let word = line.split([' ', '(', '{', ':']).next().unwrap_or_default();
            words.add(&word.to_lowercase());
            if let Some(why) = line.strip_prefix("refused: ") {
                let why = why.split([' ', '(', '{']).next().unwrap_or_default();
                words.add(&why.to_lowercase());
            }
        }
    }
    let words: Vec<_> = words.0.into_keys().collect();
    if words.is_empty() {
        return "nothing".into();
    }
    words.join("-")
}

/// What happened, and how often.
#[derive(Debug, Default)]
pub(crate) struct Words(pub(crate) BTreeMap<String, u64>);

impl Words {
    fn add(&mut self, word: &str) {
        *self.0.entry(word.to_owned()).or_default() += 1;
    }
}

struct Peer {
    endpoint: Endpoint,
    pinned: bool,
    failures: u32,
    attempts: u32,
    tried: bool,
    /// Its last dial or session ended without an answer.
    silent: bool,
    /// When it may be dialled: certainly not before the first, certainly after the second.
    free: (Instant, Instant),
    open: Option<(DialId, bool, Instant)>,
}

#[derive(Default)]
struct Model {
    peers: Vec<Peer>,
    bans: Vec<(Prefix, Option<i64>)>,
    last: Option<Instant>,
    /// When somebody was last dialled ahead of its time.
    early: Option<Instant>,
}

fn group(endpoint: Endpoint) -> Vec<u8> {
    match endpoint.ip() {
        std::net::IpAddr::V4(v4) => v4.octets()[..2].to_vec(),
        std::net::IpAddr::V6(_) => panic!("not in these streams"),
    }
}

impl Model {
    fn at(&mut self, key: &Key) -> &mut Peer {
        let peer = self.peers.iter_mut();
        let mut peer = peer.filter(|peer| Key::from(peer.endpoint) == *key);
        peer.next().expect("known to the model")
    }

    fn banned(&self, endpoint: Endpoint, now: Now) -> bool {
        self.bans.iter().any(|(range, until)| {
            range.contains(endpoint.ip()) && until.is_none_or(|until| until > now.wall.0)
        })
    }

    /// 0 static, 1 the others; `None` if it may not be dialled now. `surely`: by the latest time.
    fn class(&self, peer: &Peer, now: Now, surely: bool) -> Option<u8> {
        let free = if surely { peer.free.1 } else { peer.free.0 };
        let may = free <= now.at && self.may(peer, now);
        may.then_some(u8::from(!peer.pinned))
    }

    /// Whether it may be dialled ahead of its time, while nobody is ready.
    fn may_early(&self, peer: &Peer, now: Now, wait: Duration) -> bool {
        let is_time = self.early.is_none_or(|last| now.at >= last + wait);
        is_time && peer.tried && peer.silent && !peer.pinned && self.may(peer, now)
    }

    fn may(&self, peer: &Peer, now: Now) -> bool {
        let blocked = self
            .peers
            .iter()
            .any(|other| other.open.is_some() && group(other.endpoint) == group(peer.endpoint));
        peer.open.is_none() && !self.banned(peer.endpoint, now) && (peer.pinned || !blocked)
    }

    /// Whether it was ahead of its time.
    fn check_dial(&mut self, dialled: Option<&Key>, now: Now, free: usize, note: &str) -> bool {
        let spaced = self
            .last
            .is_none_or(|last| now.at >= last + Duration::from_millis(100));
        let limit = if free == 0 { 0 } else { 1 };
        let surely: Option<u8> = self
            .peers
            .iter()
            .filter_map(|peer| self.class(peer, now, true))
            .filter(|class| *class <= limit)
            .min();
        match dialled {
            None => {
                assert!(
                    !spaced || surely.is_none(),
                    "{note}: nobody dialled in vain"
                );
                false
            }
            Some(key) => {
                assert!(spaced, "{note}: too soon");
                let peer = self.peers.iter();
                let mut peer = peer.filter(|peer| Key::from(peer.endpoint) == *key);
                let peer = peer.next().expect("known");
                let wait = Config::default().backoff.early;
                let class = self.class(peer, now, false);
                if let Some(class) = class {
                    assert!(class <= limit, "{note}: no slot is free");
                    assert!(surely.is_none_or(|surely| class <= surely), "{note}: order");
                } else {
                    let early = free > 0 && self.may_early(peer, now, wait);
                    assert!(early, "{note}: {key} must not be dialled");
                    assert!(surely.is_none(), "{note}: others are ready");
                    self.early = Some(now.at);
                }
                self.last = Some(now.at);
                class.is_none()
            }
        }
    }
}

/// The rule of waits, written once more: how long at least and at most.
fn waits(config: &Config, asked: Retry, failures: u32, pinned: bool) -> (Duration, Duration) {
    let rule = &config.backoff;
    let asked = match asked {
        Retry::Never => rule.never,
        Retry::Now => Duration::ZERO,
        Retry::After(asked) => asked,
    };
    let mut wait = if pinned {
        rule.least
    } else {
        asked.max(rule.least)
    };
    let from = wait;
    for _ in 1..failures.min(25) {
        wait *= 2;
    }
    let wait = match (pinned, asked >= rule.never) {
        (true, true) => rule.most_pinned * 10,
        (true, false) => wait.min(rule.most_pinned),
        (false, _) => wait.min(rule.most.max(4 * from).min(rule.never).max(asked)),
    };
    (wait, wait * 3 / 2 + Duration::from_millis(1))
}

/// Kinds that cannot be mistaken for an outage of ours: that rule has tests of its own.
const KINDS: &[(Stage, Kind)] = &[
    (Stage::Reach, Kind::ConnectionRefused),
    (Stage::Greet("version"), Kind::Timeout),
    (Stage::Greet("version"), Kind::WrongNetwork),
    (Stage::Greet("verack"), Kind::Violation),
    (Stage::Greet("version"), Kind::PeerFull),
    (Stage::Greet("version"), Kind::Rejected),
    (Stage::Reach, Kind::Cancelled),
];

/// Operations on the book and on its model; what happened, by words and how often.
pub(crate) fn stream(mut random: Random, steps: u64) -> Words {
    let mut words = Words::default();
    let mut config = Config::default();
    // Nobody is let go and nobody is refused for room: those rules have tests of their own.
    config.backoff.spare = 10_000;
    config.caps.per_group = 10_000;
    config.caps.per_source = 10_000;
    let (mut book, mut now) = book_with(config.clone());
    let mut model = Model::default();
    for step in 0..steps {
        if random.is_over() {
            break;
        }
        let note = format!("step {step}");
        let spans = [0, 0, 1, 1, 30, 600, 7_200];
        now = now.after(seconds(random.pick(&spans)));
        model
            .bans
            .retain(|(_, until)| until.is_none_or(|until| until > now.wall.0));
        let endpoint = if random.chance(2) {
            apart(random.below(40))
        } else {
            together(random.below(10))
        };
        let known = model
            .peers
            .iter()
            .position(|peer| peer.endpoint == endpoint);
        match random.below(20) {
            0..=4 => {
                let result = book.add(now, Tip::at(endpoint, gossiper(random.below(5))));
                // A ban that has ended by the clock is lifted with the next look at it.
                book.handle_timeout(now);
                match (result, known) {
                    (Err(Refused::Banned), _) => words.add("barred"),
                    (Ok(Added::Known), Some(_)) => words.add("known"),
                    (Ok(Added::New), None) => model.peers.push(Peer {
                        endpoint,
                        pinned: false,
                        failures: 0,
                        attempts: 0,
                        tried: false,
                        silent: false,
                        free: (now.at, now.at),
                        open: None,
                    }),
                    other => panic!("{note}: {other:?}"),
                }
            }
            5..=11 => {
                let free = usize::try_from(random.below(3)).unwrap();
                let next = book.next_dial(now, &Occupied::with_free(free));
                let key = next.as_ref().map(|dial| &dial.key);
                if model.check_dial(key, now, free, &note) {
                    words.add("early");
                }
                words.add(if next.is_some() { "dialled" } else { "idle" });
                if let Some(next) = next {
                    let peer = model.at(&next.key);
                    assert_eq!(next.address, Address::At(peer.endpoint), "{note}");
                    peer.attempts += 1;
                    peer.open = Some((next.id, false, now.at));
                }
            }
            12..=16 => {
                let open: Vec<usize> = (0..model.peers.len())
                    .filter(|at| model.peers[*at].open.is_some())
                    .collect();
                if open.is_empty() {
                    continue;
                }
                let peer = &mut model.peers[random.pick(&open)];
                let (dial, greeted, since) = peer.open.unwrap();
                let (stage, kind) = random.pick(KINDS);
                if greeted {
                    let why = reason(Stage::Keep("receive"), Kind::Left);
                    book.left(now, dial, &why).unwrap();
                    let stayed = now.at - since >= minutes(1);
                    words.add(if stayed { "stayed" } else { "flapped" });
                    peer.failures = if stayed { 0 } else { peer.failures + 1 };
                    end(peer, &config, now, &why);
                } else if random.chance(2) {
                    book.outcome(now, dial, Ok(Greeted::default())).unwrap();
                    words.add("greeted");
                    peer.open = Some((dial, true, now.at));
                    peer.tried = true;
                } else {
                    let why = reason(stage, kind);
                    words.add("failed");
                    book.outcome(now, dial, Err(why.clone())).unwrap();
                    if !matches!(kind.blame(), Blame::Us | Blame::Caller) {
                        peer.failures += 1;
                    }
                    end(peer, &config, now, &why);
                }
            }
            17 => {
                let bits = u8::try_from(14 + random.below(19)).unwrap();
                let range = Prefix::new(endpoint.ip(), bits).unwrap();
                let term = random.chance(2).then(|| minutes(1 + random.below(300)));
                book.ban(now, Subject::Net(range), By::Operator, term, "x")
                    .unwrap();
                words.add("banned");
                model.bans.retain(|(of, _)| *of != range);
                let until = term.map(|term| now.wall.0 + i64::try_from(term.as_secs()).unwrap());
                model.bans.push((range, until));
            }
            18 => {
                if model.bans.is_empty() {
                    continue;
                }
                let at = usize::try_from(random.below(model.bans.len() as u64)).unwrap();
                let (range, _) = model.bans.remove(at);
                words.add("lifted");
                book.lift(now, &Subject::Net(range));
            }
            _ => {
                if let Some(at) = known {
                    let peer = &mut model.peers[at];
                    if random.chance(3) && peer.open.is_none() {
                        assert!(book.forget(&endpoint.into()), "{note}");
                        model.peers.remove(at);
                        words.add("forgotten");
                    } else if !peer.pinned && random.chance(3) {
                        book.pin(now, None, endpoint.into(), Role::Static).unwrap();
                        peer.pinned = true;
                        words.add("pinned");
                    } else if peer.pinned {
                        assert!(book.unpin(now, &endpoint.into()), "{note}");
                        peer.pinned = false;
                        words.add("unpinned");
                    }
                }
            }
        }
        if step % 16 == 0 {
            compare(&book, &model, &note);
        }
    }
    compare(&book, &model, "the end");
    words
}

fn end(peer: &mut Peer, config: &Config, now: Now, why: &Reason) {
    let (least, most) = waits(config, why.retry, peer.failures, peer.pinned);
    peer.free = (now.at + least, now.at + most);
    peer.silent = matches!(why.kind, Kind::Timeout | Kind::ConnectionRefused);
    peer.open = None;
}

fn compare(book: &Book, model: &Model, note: &str) {
    book.audit()
        .unwrap_or_else(|error| panic!("{note}: {error}"));
    assert_eq!(book.len(), model.peers.len(), "{note}");
    for peer in &model.peers {
        let entry = book.get(&peer.endpoint.into()).expect(note);
        assert_eq!(entry.failures, peer.failures, "{note}: {}", entry.key);
        assert_eq!(entry.attempts, peer.attempts, "{note}: {}", entry.key);
        assert_eq!(entry.last_success.is_some(), peer.tried, "{note}");
        assert_eq!(entry.role.is_pinned(), peer.pinned, "{note}");
    }
}

/// All kinds of failures, small bounds, outages, flapping: every bound holds and whatever follows from
/// the candidates does. What was said, and the most candidates there were.
pub(crate) fn chaos(mut random: Random, steps: u64) -> (Vec<String>, usize) {
    let mut config = Config::default();
    config.caps.new = 60;
    config.caps.tried = 25;
    config.caps.per_source = 20;
    config.caps.per_group = 6;
    config.caps.bans = 10;
    config.caps.pinned = 4;
    config.caps.buried = 5;
    config.backoff.spare = 30;
    let (mut book, mut now) = book_with(config);
    let mut open: Vec<(DialId, bool)> = Vec::new();
    let mut trace = Vec::new();
    let mut longest = 0;
    for step in 0..steps {
        if random.is_over() {
            break;
        }
        now = now.after(seconds(random.below(90)));
        if random.chance(40) {
            // Somebody sets the clock, ten years either way.
            let years = i64::try_from(random.below(21)).unwrap() - 10;
            now.wall.0 += years * 365 * 86_400;
        }
        let kind = random.pick(Kind::ALL);
        match random.below(17) {
            16 => {
                let byte = u8::try_from(random.below(40)).unwrap();
                let identity = peerage_book::Identity::new(&[byte]).unwrap();
                let connected = peerage_core::ConnectedAddr::InboundDirect {
                    addr: together(random.below(50)),
                };
                let greeted = Greeted::default();
                let arrived = book.arrived(now, &connected, Some(identity), greeted);
                open.extend(arrived.map(|session| (session, true)));
            }
            0..=4 => {
                let source = gossiper(random.below(8));
                let endpoint = if random.chance(3) {
                    together(random.below(50))
                } else {
                    apart(random.below(200))
                };
                let added = book.add(now, Tip::at(endpoint, source));
                trace.push(match added {
                    Ok(added) => format!("{added:?}"),
                    Err(refused) => format!("refused: {refused:?}"),
                });
            }
            5..=8 => {
                if let Some(next) = book.next_dial(now, &Occupied::with_free(1)) {
                    trace.push(format!("dialled {next:?}"));
                    open.push((next.id, false));
                }
            }
            9..=12 if !open.is_empty() => {
                let at = usize::try_from(random.below(open.len() as u64)).unwrap();
                let (dial, greeted) = open.swap_remove(at);
                if greeted {
                    book.left(now, dial, &reason(Stage::Keep("ping"), kind))
                        .unwrap();
                } else if random.chance(2) {
                    book.outcome(now, dial, Ok(Greeted::default())).unwrap();
                    open.push((dial, true));
                } else {
                    book.outcome(now, dial, Err(unreached(kind))).unwrap();
                }
            }
            13 => {
                let range = Prefix::new(apart(random.below(200)).ip(), 24).unwrap();
                let term = Some(minutes(random.below(60)));
                let _full = book.ban(now, Subject::Net(range), By::Node, term, "x");
            }
            14 => {
                let pin = apart(random.below(200)).into();
                let _full = book.pin(now, None, pin, Role::Static);
                book.unpin(now, &apart(random.below(200)).into());
            }
            _ => {
                let entries = [peerage_book::GossipEntry {
                    endpoint: apart(random.below(200)),
                    services: random.next(),
                    seen: now.wall,
                }];
                book.gossip(now, &seed("g"), &entries);
            }
        }
        longest = longest.max(book.len());
        if step % 8 == 0 {
            book.audit()
                .unwrap_or_else(|error| panic!("step {step}: {error}"));
        }
    }
    book.audit().unwrap();
    (trace, longest)
}

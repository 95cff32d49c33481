//! What a machine hears of its streams.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for one thing; whatever else is heard fails it elsewhere"
)]

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::Wakeup;
use peerage_sim::nat::{Nat, NatKind};
use peerage_sim::stream::{Heard, Order, WINDOW};
use peerage_sim::{
    Chance, Change, Condition, Door, HostId, Machine, Network, Now, Output, Seed, StreamId,
    Weather, epoch, seed,
};

use crate::common::addr;

/// What a host heard, when, of which stream.
type Told = (Now, StreamId, Heard);

/// A machine that does with streams what it is told to, and tells what it hears.
#[derive(Debug, Default)]
struct Mouth {
    door: Door,
    outbox: VecDeque<Output<Told>>,
}

impl Mouth {
    fn with(door: Door) -> Self {
        Self {
            door,
            ..Self::default()
        }
    }

    fn order(&mut self, stream: StreamId, order: Order) {
        self.outbox.push_back(Output::Stream(stream, order));
    }
}

impl Machine for Mouth {
    type Event = Told;

    fn handle_datagram(&mut self, _: Now, _: SocketAddr, _: &mut [u8]) {}

    fn handle_stream(&mut self, now: Now, stream: StreamId, heard: Heard) {
        self.outbox.push_back(Output::Event((now, stream, heard)));
    }

    fn door(&self) -> Door {
        self.door
    }

    fn handle_timeout(&mut self, _: Now) {}

    fn poll(&mut self) -> Option<Output<Told>> {
        self.outbox.pop_front()
    }

    fn poll_timeout(&self) -> Option<Wakeup> {
        None
    }
}

const OURS: StreamId = StreamId::ours(0);

struct Pair {
    network: Network<Mouth>,
    a: HostId,
    b: HostId,
}

fn pair(seed: Seed, weather: Weather, door: Door) -> Pair {
    let mut network = Network::new(epoch(), seed, weather);
    let a = network.add(addr(1, 1), Mouth::with(Door::Open));
    let b = network.add(addr(2, 2), Mouth::with(door));
    Pair { network, a, b }
}

impl Pair {
    fn order(&mut self, host: HostId, stream: StreamId, order: Order) {
        self.network
            .with(host, |mouth, _| mouth.order(stream, order));
    }

    fn hear(&mut self, span: Duration) -> Vec<(HostId, Told)> {
        let until = self.network.now() + span;
        std::iter::from_fn(|| self.network.poll_event(until)).collect()
    }

    /// Connects, and returns the stream as the other names it.
    fn connect(&mut self) -> StreamId {
        self.order(self.a, OURS, Order::Connect(addr(2, 2)));
        let heard = self.hear(Duration::from_secs(300));
        let accepted = heard.iter().find_map(|(host, (_, id, heard))| {
            (*host == self.b && matches!(heard, Heard::Accepted(_))).then_some(*id)
        });
        let connected = heard
            .iter()
            .any(|(host, (_, id, heard))| (*host, *id, heard) == (self.a, OURS, &Heard::Connected));
        assert!(connected, "{heard:?}");
        accepted.expect("somebody accepted")
    }

    /// The bytes and the last thing that a host hears within so long.
    fn listen(&mut self, at: HostId, span: Duration) -> (Vec<u8>, Option<Heard>) {
        let (mut bytes, mut last) = (Vec::new(), None);
        for (host, (_, _, heard)) in self.hear(span) {
            match heard {
                Heard::Data(data) if host == at => bytes.extend(data),
                Heard::Written => {}
                heard if host == at => last = Some(heard),
                _ => {}
            }
        }
        (bytes, last)
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn numbers(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

#[test]
fn a_dial_fails_as_the_other_side_says() {
    for (door, why) in [
        (Door::Shut, ErrorKind::ConnectionRefused),
        (Door::NoRoute, ErrorKind::HostUnreachable),
        (Door::Silent, ErrorKind::TimedOut),
    ] {
        let mut pair = pair(Seed(1), Weather::CALM, door);
        let begun = pair.network.now();
        pair.order(pair.a, OURS, Order::Connect(addr(2, 2)));
        let heard = pair.hear(HOUR);
        let [(host, (now, id, Heard::Failed(got)))] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!((*host, *id, *got), (pair.a, OURS, why));
        let took = now.at - begun;
        let expected = match door {
            // As Linux gives up: after 1 + 2 + 4 + 8 + 16 + 32 + 64 s.
            Door::Silent => Duration::from_secs(127),
            _ => Duration::from_millis(40),
        };
        assert!(
            took >= expected && took < expected + Duration::from_secs(2),
            "{door:?}: {took:?}"
        );
    }
}

#[test]
fn where_nobody_is_a_dial_hears_nothing_and_at_another_port_a_refusal() {
    let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
    pair.order(pair.a, OURS, Order::Connect(addr(9, 9)));
    let other_port = StreamId::ours(1);
    pair.order(pair.a, other_port, Order::Connect(addr(2, 3)));
    let heard = pair.hear(HOUR);
    let failed = |id| {
        heard.iter().find_map(|(_, (_, of, heard))| match heard {
            Heard::Failed(why) if *of == id => Some(*why),
            _ => None,
        })
    };
    assert_eq!(failed(OURS), Some(ErrorKind::TimedOut));
    assert_eq!(failed(other_port), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn a_host_behind_a_translator_dials_and_cannot_be_dialled() {
    let mut network = Network::new(epoch(), Seed(1), Weather::CALM);
    let outside = network.add(addr(1, 1), Mouth::with(Door::Open));
    let nat = Nat::new(NatKind::FullCone, addr(5, 0).ip(), MINUTE);
    let nat = network.add_nat(nat);
    let inside = network.add_behind(nat, addr(7, 7), Mouth::with(Door::Open));
    network.with(inside, |mouth, _| {
        mouth.order(OURS, Order::Connect(addr(1, 1)));
    });
    let until = network.now() + MINUTE;
    let heard: Vec<_> = std::iter::from_fn(|| network.poll_event(until)).collect();
    let from = heard.iter().find_map(|(host, (_, _, heard))| match heard {
        Heard::Accepted(from) if *host == outside => Some(*from),
        _ => None,
    });
    let from = from.expect("accepted");
    assert_eq!(from.ip(), addr(5, 0).ip());
    network.with(outside, |mouth, _| mouth.order(OURS, Order::Connect(from)));
    let until = network.now() + HOUR;
    let heard: Vec<_> = std::iter::from_fn(|| network.poll_event(until)).collect();
    assert!(
        matches!(heard[..], [(host, (_, OURS, Heard::Failed(ErrorKind::TimedOut)))] if host == outside),
        "{heard:?}"
    );
}

#[test]
fn everything_arrives_in_order_whatever_the_weather() {
    seed::each(0..8, |seed| {
        let weather = Weather {
            packet: (1, 700),
            ..Weather::INTERNET.with_loss(Chance::new(0.2).unwrap())
        };
        let mut pair = pair(seed, weather, Door::Open);
        let theirs = pair.connect();
        // More than the window takes.
        let sent = numbers(3 * WINDOW + 17);
        pair.order(pair.a, OURS, Order::Write(sent.clone()));
        pair.order(pair.a, OURS, Order::Close);
        let b = pair.b;
        let (heard, last) = pair.listen(b, HOUR);
        assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
        assert_eq!(last, Some(Heard::Ended));
        assert!(pair.network.streams().resent > 0);
        pair.order(pair.b, theirs, Order::Close);
        pair.hear(HOUR);
        assert_eq!(pair.network.open_streams(), 0, "nothing is left over");
    });
}

#[test]
fn who_does_not_read_holds_the_writer_back() {
    let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
    let theirs = pair.connect();
    pair.order(pair.b, theirs, Order::Read(false));
    let written = |heard: &[(HostId, Told)]| {
        let of = heard.iter().filter(|(_, (_, _, it))| *it == Heard::Written);
        of.count()
    };
    for expected in [1, 0] {
        pair.order(pair.a, OURS, Order::Write(numbers(WINDOW)));
        let heard = pair.hear(HOUR);
        assert_eq!(written(&heard), expected);
    }
    assert_eq!(pair.network.streams().most_held, WINDOW);
    pair.order(pair.b, theirs, Order::Read(true));
    let heard = pair.hear(HOUR);
    assert_eq!(written(&heard), 1);
    let len: usize = heard
        .iter()
        .map(|(_, (_, _, heard))| match heard {
            Heard::Data(data) => data.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(len, 2 * WINDOW);
}

#[test]
fn a_partition_holds_bytes_back_and_after_a_quarter_of_an_hour_breaks_the_stream() {
    for (span, survives) in [(10, true), (30, false)] {
        let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
        pair.connect();
        pair.network.join_group(pair.b, "there");
        pair.network.apply(&Change::Cut("there".into()));
        pair.order(pair.a, OURS, Order::Write(vec![1, 2, 3]));
        let (heard, _) = pair.listen(pair.b, MINUTE * span);
        assert!(heard.is_empty());
        pair.network.apply(&Change::Heal("there".into()));
        let (heard, _) = pair.listen(pair.b, HOUR);
        assert_eq!(!heard.is_empty(), survives, "after {span} minutes");
        assert_eq!(pair.network.streams().timed_out, u64::from(!survives));
    }
}

#[test]
fn nobody_says_that_a_host_is_no_more_until_its_successor_does() {
    let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
    pair.connect();
    pair.network.vanish(pair.b);
    let (a, b) = (pair.a, pair.b);
    assert_eq!(pair.listen(a, HOUR), (Vec::new(), None), "half-open");
    pair.network.replace(b, Mouth::with(Door::Open));
    pair.order(a, OURS, Order::Write(vec![1]));
    let (_, last) = pair.listen(a, HOUR);
    assert_eq!(last, Some(Heard::Broken(ErrorKind::ConnectionReset)));
    assert_eq!(pair.network.open_streams(), 0);
}

#[test]
fn a_process_that_ends_leaves_in_order_and_a_stream_that_is_aborted_breaks() {
    let mut first = pair(Seed(1), Weather::CALM, Door::Open);
    first.connect();
    first.network.hang_up(first.b);
    let a = first.a;
    assert_eq!(first.listen(a, MINUTE).1, Some(Heard::Ended));
    let mut second = pair(Seed(1), Weather::CALM, Door::Open);
    second.connect();
    second.order(second.a, OURS, Order::Abort);
    let b = second.b;
    let (_, last) = second.listen(b, MINUTE);
    assert_eq!(last, Some(Heard::Broken(ErrorKind::ConnectionReset)));
}

#[test]
fn who_moves_leaves_its_streams_behind() {
    let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
    pair.connect();
    pair.network.move_to(pair.b, addr(3, 3));
    pair.order(pair.a, OURS, Order::Write(vec![1]));
    let a = pair.a;
    let (_, last) = pair.listen(a, HOUR);
    assert_eq!(last, Some(Heard::Broken(ErrorKind::TimedOut)));
    let again = StreamId::ours(1);
    pair.order(a, again, Order::Connect(addr(3, 3)));
    let heard = pair.hear(MINUTE);
    assert!(
        heard
            .iter()
            .any(|(_, (_, id, it))| *id == again && *it == Heard::Connected)
    );
}

#[test]
fn a_sleeper_hears_after_it_awakes_and_its_clock_stood_still() {
    let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
    pair.connect();
    let before = pair.network.now_of(pair.b);
    let span = Duration::from_secs(300);
    pair.network.apply(&Change::Sleep(pair.b, span));
    assert_eq!(pair.network.condition(pair.b), Condition::Stopped);
    pair.order(pair.a, OURS, Order::Write(vec![1]));
    let heard = pair.hear(Duration::from_secs(600));
    let data = heard
        .iter()
        .find(|(_, (_, _, it))| matches!(it, Heard::Data(_)));
    let (_, (now, ..)) = data.expect("it heard");
    let (at, wall) = (now.at - before.at, now.wall.0 - before.wall.0);
    assert!(wall >= 300, "its date went on");
    assert_eq!(at.as_secs() + 300, u64::try_from(wall).unwrap());
}

#[test]
fn a_slow_line_takes_its_time() {
    let mut pair = pair(Seed(1), Weather::CALM, Door::Open);
    pair.connect();
    pair.network.apply(&Change::Rate(pair.a, Some(1_000)));
    let begun = pair.network.now();
    pair.order(pair.a, OURS, Order::Write(numbers(10_000)));
    let heard = pair.hear(MINUTE);
    let data = heard
        .iter()
        .find(|(_, (_, _, it))| matches!(it, Heard::Data(_)));
    let (_, (now, ..)) = data.expect("it heard");
    assert_eq!((now.at - begun).as_secs(), 10);
}

#[test]
fn the_same_seed_gives_the_same_trace_of_streams() {
    let run = |seed| {
        let weather = Weather {
            packet: (1, 300),
            ..Weather::INTERNET.with_loss(Chance::new(0.1).unwrap())
        };
        let mut pair = pair(Seed(seed), weather, Door::Open);
        pair.connect();
        pair.order(pair.a, OURS, Order::Write(numbers(20_000)));
        pair.hear(HOUR);
        pair.network.trace().digest()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

//! The blocking driver of core, over a connection and a clock that the test holds.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerage_core::blocking::{BlockingConn, Greeted, greet};
use peerage_core::{
    Direction, Failed, Failure, Handshake, Interruption, Kind, Session, Step, Wakeup,
};
use peerage_verack::decred::Decred;
use peerage_verack::zcash::{Message, Zcash};
use peerage_verack::{HandshakeError, Peer};

use crate::common::conn::{Act, Conn, World};
use crate::common::dialogue::commands;
use crate::common::{BOTH, Net, attempt, current, direct, message, node, now, verack, version};

/// The deadline of every test, from its start.
const LIMIT: Duration = Duration::from_secs(30);

type Result<D> = std::result::Result<Greeted<Box<Peer<D>>, Conn>, HandshakeError>;

fn run<D: Net>(direction: Direction, world: &World, conn: Conn) -> Result<D> {
    let greeting = node::<D>(1).greet(attempt(direct(direction)));
    greet(conn, greeting, now() + LIMIT, world.clock())
}

fn gives(bytes: &[u8]) -> Act {
    Act::Gives(Duration::from_millis(1), bytes.to_vec())
}

fn said<D: Net>(world: &World) -> Vec<String> {
    commands::<D>(&node(1), &world.written.borrow())
}

fn a_peer_comes_of_both_directions<D: Net>() {
    for direction in BOTH {
        let world = World::default();
        let ping = message::<D>("ping", &[4; 8]);
        let rest = [verack::<D>(), ping.clone()].concat();
        let acts = [gives(&version::<D>(current::<D>())), gives(&rest)];
        let greeted = run::<D>(direction, &world, Conn::new(&world, acts)).unwrap();
        assert_eq!(greeted.peer.info().negotiated.0, current::<D>());
        assert_eq!(greeted.leftover, ping, "it belongs to the session");
        assert_eq!(said::<D>(&world), ["version", "verack"]);
        let (written, flushed) = (world.written.borrow().len(), world.flushed.get());
        assert_eq!(flushed, written, "a buffered connection would keep it");
        assert!(!world.closed.get(), "the connection is handed over");
        drop(greeted);
        assert!(world.closed.get());
    }
}

#[test]
fn one_call_greets_a_peer_on_either_side() {
    a_peer_comes_of_both_directions::<Zcash>();
    a_peer_comes_of_both_directions::<Decred>();
}

#[test]
fn what_was_read_too_much_is_the_sessions_first_input() {
    let world = World::default();
    let all = [
        version::<Zcash>(current::<Zcash>()),
        verack::<Zcash>(),
        message::<Zcash>("ping", &7_u64.to_le_bytes()),
    ]
    .concat();
    let conn = Conn::new(&world, [gives(&all)]);
    let Greeted {
        peer, mut leftover, ..
    } = run::<Zcash>(Direction::Inbound, &world, conn).unwrap();
    let (_, mut codec) = peer.into_parts();
    assert_eq!(codec.decode(&mut leftover).unwrap(), Some(Message::Ping(7)));
    assert!(leftover.is_empty());
}

#[test]
fn a_silent_peer_times_out_at_the_deadline_and_the_connection_is_closed() {
    for direction in BOTH {
        let world = World::default();
        let error = run::<Decred>(direction, &world, Conn::new(&world, [])).unwrap_err();
        assert!(matches!(
            error,
            HandshakeError::TimedOut { received: 0, .. }
        ));
        assert_eq!(world.passed.get(), LIMIT);
        assert!(world.closed.get());
    }
}

/// A byte now and then keeps nobody alive: the deadline is for the whole handshake.
#[test]
fn a_trickle_of_one_byte_per_call_ends_at_the_deadline() {
    let whole = version::<Decred>(12);
    for direction in BOTH {
        let world = World::default();
        let trickle = whole
            .iter()
            .map(|byte| Act::Gives(Duration::from_secs(1), vec![*byte]));
        let error = run::<Decred>(direction, &world, Conn::new(&world, trickle)).unwrap_err();
        assert!(
            matches!(error, HandshakeError::TimedOut { received: 29, .. }),
            "{error:?}"
        );
        assert_eq!(world.passed.get(), LIMIT);
        let bounds = world.bounds.borrow();
        assert!(
            bounds.is_sorted_by(|a, b| a >= b),
            "each call has less time left"
        );
    }
}

#[test]
fn a_trickle_that_is_fast_enough_ends_in_a_peer() {
    let bytes = [version::<Decred>(12), verack::<Decred>()].concat();
    for direction in BOTH {
        let world = World::default();
        let trickle = bytes.iter().map(|byte| gives(&[*byte]));
        let greeted = run::<Decred>(direction, &world, Conn::new(&world, trickle)).unwrap();
        assert!(greeted.leftover.is_empty());
    }
}

/// A peer that takes our bytes one by one is held to the same deadline as one that gives them so.
#[test]
fn a_peer_that_reads_too_slowly_is_cut_off_at_the_deadline() {
    let world = World::default();
    let mut conn = Conn::new(&world, []);
    conn.writes = (1, Duration::from_secs(1));
    let error = run::<Zcash>(Direction::Outbound, &world, conn).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(world.passed.get(), LIMIT);
}

#[test]
fn cancellation_is_told_apart_from_a_timeout_and_from_a_close() {
    let second = Duration::from_secs(1);
    let whole = version::<Zcash>(current::<Zcash>());
    for direction in BOTH {
        for then in [
            Act::Ends,
            Act::Fails(io::ErrorKind::WouldBlock),
            Act::Fails(io::ErrorKind::TimedOut),
            Act::Fails(io::ErrorKind::ConnectionReset),
            Act::Fails(io::ErrorKind::Interrupted),
            Act::Fails(io::ErrorKind::NotConnected),
            gives(&whole),
        ] {
            let world = World::default();
            let acts = [Act::Cancelled(second), then.clone()];
            let error = run::<Zcash>(direction, &world, Conn::new(&world, acts)).unwrap_err();
            assert!(
                matches!(error, HandshakeError::Cancelled { .. }),
                "{direction} {then:?}: {error:?}"
            );
            assert!(world.passed.get() < 2 * second, "at once: {then:?}");
            assert!(world.closed.get());
        }
    }
}

#[test]
fn a_connection_cancelled_beforehand_is_not_even_spoken_to() {
    for direction in BOTH {
        let world = World::default();
        world.cancelled.set(true);
        let error = run::<Zcash>(direction, &world, Conn::new(&world, [])).unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled);
        assert!(world.written.borrow().is_empty());
    }
}

/// When both are true, somebody did call it off.
#[test]
fn a_cancellation_wins_over_a_deadline_that_has_passed_too() {
    let world = World::default();
    world.passed.set(LIMIT * 2);
    world.cancelled.set(true);
    let error = run::<Zcash>(Direction::Outbound, &world, Conn::new(&world, [])).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[test]
fn a_deadline_already_passed_sends_nothing() {
    let world = World::default();
    world.passed.set(LIMIT);
    let error = run::<Zcash>(Direction::Outbound, &world, Conn::new(&world, [])).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(world.written.borrow().is_empty());
}

#[test]
fn the_end_of_the_stream_and_a_reset_are_a_close_and_the_rest_is_transport() {
    for (act, kind) in [
        (Act::Ends, Kind::Closed),
        (Act::Fails(io::ErrorKind::ConnectionReset), Kind::Closed),
        (Act::Fails(io::ErrorKind::ConnectionAborted), Kind::Closed),
        (Act::Fails(io::ErrorKind::BrokenPipe), Kind::Closed),
        (Act::Fails(io::ErrorKind::HostUnreachable), Kind::Transport),
    ] {
        let world = World::default();
        let conn = Conn::new(&world, [act.clone()]);
        let error = run::<Zcash>(Direction::Inbound, &world, conn).unwrap_err();
        assert_eq!(error.kind(), kind, "{act:?}");
        let mut conn = Conn::new(&world, []);
        if let Act::Fails(cause) = act {
            conn.write_error = Some(cause);
            let error = run::<Zcash>(Direction::Outbound, &world, conn).unwrap_err();
            assert_eq!(error.kind(), kind, "writing: {cause:?}");
        }
    }
}

/// A signal is no answer: the call is made again with what time is left.
#[test]
fn an_interrupted_read_is_made_again_and_costs_the_deadline_nothing() {
    let world = World::default();
    let again = Act::Fails(io::ErrorKind::Interrupted);
    let second = Duration::from_secs(1);
    let acts = [
        again.clone(),
        Act::Gives(second, version::<Zcash>(current::<Zcash>()).to_vec()),
        again,
        gives(&verack::<Zcash>()),
    ];
    run::<Zcash>(Direction::Inbound, &world, Conn::new(&world, acts)).unwrap();
    assert_eq!(*world.bounds.borrow().first().unwrap(), LIMIT);
    assert!(*world.bounds.borrow().last().unwrap() < LIMIT);
}

/// A timer may fire a little early; what counts is the clock.
#[test]
fn a_call_that_ends_before_its_bound_is_made_again() {
    let world = World::default();
    let early = Act::Fails(io::ErrorKind::TimedOut);
    let acts = [
        early.clone(),
        gives(&version::<Zcash>(current::<Zcash>())),
        early,
        gives(&verack::<Zcash>()),
    ];
    let mut conn = Conn::new(&world, acts);
    conn.write_hiccups = [
        io::ErrorKind::WouldBlock,
        io::ErrorKind::Interrupted,
        io::ErrorKind::TimedOut,
    ]
    .into();
    run::<Zcash>(Direction::Outbound, &world, conn).unwrap();
    assert_eq!(said::<Zcash>(&world), ["version", "verack"]);
}

/// A connection that takes nothing and says so is closed, and is not asked for ever.
#[test]
fn a_write_of_nothing_is_a_closed_connection() {
    let world = World::default();
    let mut conn = Conn::new(&world, []);
    conn.writes = (0, Duration::ZERO);
    let error = run::<Zcash>(Direction::Outbound, &world, conn).unwrap_err();
    assert_eq!(error.kind(), Kind::Closed);
}

/// A connection that nobody can cancel need not say so.
#[test]
fn a_connection_is_not_cancelled_unless_it_says_so() {
    struct Plain(Conn);
    impl Read for Plain {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Plain {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    impl BlockingConn for Plain {
        fn bound_next_call(&mut self, limit: Duration) -> io::Result<()> {
            self.0.bound_next_call(limit)
        }
    }
    let world = World::default();
    let conn = Plain(Conn::new(&world, [Act::Ends]));
    let greeting = node::<Zcash>(1).greet(attempt(direct(Direction::Inbound)));
    let Err(error) = greet(conn, greeting, now() + LIMIT, world.clock()) else {
        panic!("it ended")
    };
    assert_eq!(error.kind(), Kind::Closed);
}

/// A connection that cannot be bounded in time is not used at all.
#[test]
fn a_connection_that_cannot_be_bounded_is_broken() {
    struct Unbounded(Conn);
    impl Read for Unbounded {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("read without a bound")
        }
    }
    impl Write for Unbounded {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("written without a bound")
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    impl BlockingConn for Unbounded {
        fn bound_next_call(&mut self, _: Duration) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
    for direction in BOTH {
        let world = World::default();
        let conn = Unbounded(Conn::new(&world, []));
        let greeting = node::<Zcash>(1).greet(attempt(direct(direction)));
        let Err(error) = greet(conn, greeting, now() + LIMIT, world.clock()) else {
            panic!("it cannot be greeted")
        };
        assert_eq!(error.kind(), Kind::Transport);
    }
}

fn obsolete() -> Act {
    gives(&version::<Zcash>(170_149))
}

#[test]
fn last_words_are_written_and_flushed() {
    let world = World::default();
    let conn = Conn::new(&world, [obsolete()]);
    let error = run::<Zcash>(Direction::Inbound, &world, conn).unwrap_err();
    assert_eq!(error.kind(), Kind::Obsolete);
    assert_eq!(said::<Zcash>(&world), ["reject"]);
    assert_eq!(world.flushed.get(), world.written.borrow().len());
    assert!(world.closed.get());
}

#[test]
fn a_failure_without_last_words_writes_nothing() {
    let world = World::default();
    let conn = Conn::new(&world, [gives(b"HTTP/1.1 200 OK")]);
    let error = run::<Zcash>(Direction::Inbound, &world, conn).unwrap_err();
    assert_eq!(error.kind(), Kind::NotThisProtocol);
    assert!(world.written.borrow().is_empty());
    assert_eq!(
        world.bounds.borrow().len(),
        1,
        "after the read, nothing is called"
    );
}

/// They are a courtesy: a peer that does not take them changes neither the error nor, by much, the
/// time at which the call ends.
#[test]
fn last_words_that_nobody_takes_change_nothing() {
    for (writes, write_error) in [
        (
            (usize::MAX, Duration::ZERO),
            Some(io::ErrorKind::BrokenPipe),
        ),
        ((usize::MAX, Duration::from_secs(3600)), None),
        ((1, Duration::from_millis(200)), None),
    ] {
        let world = World::default();
        let mut conn = Conn::new(&world, [obsolete()]);
        (conn.writes, conn.write_error) = (writes, write_error);
        let error = run::<Zcash>(Direction::Inbound, &world, conn).unwrap_err();
        assert_eq!(error.kind(), Kind::Obsolete);
        assert!(
            world.passed.get() < Duration::from_secs(1),
            "{:?}",
            world.passed.get()
        );
    }
}

/// A handshake of another family: it wants to be woken, and is then done.
struct Alarm {
    at: Instant,
    woken: Rc<RefCell<Vec<Duration>>>,
}

impl Handshake for Alarm {
    type Peer = &'static str;
    type Error = Interruption;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        None
    }

    fn advance(self, at: Instant, _: &mut BytesMut) -> Step<Self> {
        self.woken.borrow_mut().push(at - now());
        if at >= self.at {
            return Step::Done("awake");
        }
        let wakeup = Wakeup {
            at: self.at,
            why: "test",
        };
        Step::More(self, Some(wakeup))
    }

    fn interrupt(self, cause: Interruption) -> Failed<Interruption> {
        Failed::silent(cause)
    }
}

#[test]
fn a_wakeup_ends_a_wait_but_not_the_handshake() {
    let world = World::default();
    let woken = Rc::new(RefCell::new(Vec::new()));
    let alarm = |at| Alarm {
        at: now() + Duration::from_secs(at),
        woken: Rc::clone(&woken),
    };
    // The first read tells the driver of the wakeup; nothing comes after it.
    let conn = Conn::new(&world, [gives(b"x")]);
    let greeted = greet(conn, alarm(10), now() + LIMIT, world.clock()).unwrap();
    assert_eq!(greeted.peer, "awake");
    assert_eq!(world.passed.get(), Duration::from_secs(10));
    // One that lies beyond the deadline does not move it.
    let world = World::default();
    let conn = Conn::new(&world, [gives(b"x")]);
    let error = greet(conn, alarm(50), now() + LIMIT, world.clock()).unwrap_err();
    assert_eq!(error, Interruption::DeadlinePassed);
    assert_eq!(world.passed.get(), LIMIT);
}

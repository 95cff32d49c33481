//! The bounds of single calls, by a clock of the test's own.

use std::cell::Cell;
use std::rc::Rc;

use peerage_core::Interruption;

use super::*;

/// A connection on which every call takes a second of the test's time and moves one byte, unless
/// the script says otherwise.
struct Slow {
    now: Rc<Cell<Instant>>,
    script: Vec<io::Result<usize>>,
    limits: Vec<Duration>,
    cancelled: bool,
    written: usize,
}

const SECOND: Duration = Duration::from_secs(1);

impl Slow {
    fn new(now: &Rc<Cell<Instant>>, script: Vec<io::Result<usize>>) -> Self {
        Self {
            now: Rc::clone(now),
            script,
            limits: Vec::new(),
            cancelled: false,
            written: 0,
        }
    }

    fn act(&mut self) -> io::Result<usize> {
        self.now.set(self.now.get() + SECOND);
        if self.script.is_empty() {
            return Ok(1);
        }
        self.script.remove(0)
    }
}

impl Read for Slow {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.act()
    }
}

impl Write for Slow {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let moved = self.act()?;
        self.written += moved;
        Ok(moved)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockingConn for Slow {
    fn bound_next_call(&mut self, limit: Duration) -> io::Result<()> {
        self.limits.push(limit);
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

fn clock() -> (Rc<Cell<Instant>>, Instant) {
    let start = Instant::now();
    (Rc::new(Cell::new(start)), start)
}

#[test]
fn a_peer_that_takes_a_byte_at_a_time_does_not_outlive_the_deadline() {
    let (now, start) = clock();
    let mut conn = Slow::new(&now, vec![]);
    let sent = write_by(&mut conn, start + 10 * SECOND, || now.get(), &[0; 100]);
    assert_eq!(sent, Err(Interruption::DeadlinePassed));
    assert_eq!(conn.written, 10);
    let limits: Vec<_> = (1..=10).rev().map(|left| left * SECOND).collect();
    assert_eq!(conn.limits, limits, "each call gets what is left");
}

#[test]
fn a_signal_or_an_early_timer_is_no_end() {
    let (now, start) = clock();
    let script = vec![
        Err(io::ErrorKind::Interrupted.into()),
        Err(io::ErrorKind::WouldBlock.into()),
        Ok(3),
    ];
    let mut conn = Slow::new(&now, script);
    let deadline = start + 10 * SECOND;
    let read = call_by(&mut conn, deadline, || now.get(), |conn| conn.read(&mut []));
    assert_eq!(read, Ok(3));
    assert_eq!(conn.limits, [10 * SECOND, 9 * SECOND, 8 * SECOND]);
}

#[test]
fn whatever_a_call_comes_to_a_cancelled_connection_is_cancelled() {
    for outcome in [Ok(0), Ok(5), Err(io::ErrorKind::BrokenPipe.into())] {
        let (now, start) = clock();
        let mut conn = Slow::new(&now, vec![outcome]);
        let read = call_by(
            &mut conn,
            start + SECOND,
            || now.get(),
            |conn| {
                conn.cancelled = true;
                conn.read(&mut [])
            },
        );
        assert_eq!(read, Err(Interruption::Cancelled));
    }
}

#[test]
fn a_connection_that_takes_nothing_more_is_closed() {
    let (now, start) = clock();
    let mut conn = Slow::new(&now, vec![Ok(2), Ok(0)]);
    let sent = write_by(&mut conn, start + 10 * SECOND, || now.get(), &[0; 4]);
    assert_eq!(sent, Err(Interruption::Closed));
}

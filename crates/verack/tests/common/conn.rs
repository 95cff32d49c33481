//! A blocking connection that follows a script, in a world whose clock the test holds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use peerage_core::blocking::BlockingConn;

use super::now;

/// What a call of the connection does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Gives these bytes after this long.
    Gives(Duration, Vec<u8>),
    /// Fails at once.
    Fails(io::ErrorKind),
    /// Gives the end of the stream.
    Ends,
    /// Somebody cancels after this long, and the call then does the next act.
    Cancelled(Duration),
}

/// What the test sees of the connection while the driver owns it.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) passed: Rc<Cell<Duration>>,
    pub(crate) cancelled: Rc<Cell<bool>>,
    /// Everything written, and how much of it was flushed.
    pub(crate) written: Rc<RefCell<Vec<u8>>>,
    pub(crate) flushed: Rc<Cell<usize>>,
    /// How the driver bounded its calls.
    pub(crate) bounds: Rc<RefCell<Vec<Duration>>>,
    pub(crate) closed: Rc<Cell<bool>>,
}

impl World {
    pub(crate) fn clock(&self) -> impl Fn() -> Instant + use<> {
        let passed = self.passed.clone();
        move || now() + passed.get()
    }

    /// Lets time pass inside a call; a call that takes too long ends at its bound.
    fn pass(&self, time: Duration, bound: Duration) -> io::Result<()> {
        self.passed.set(self.passed.get() + time.min(bound));
        if time >= bound {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Conn {
    world: World,
    acts: VecDeque<Act>,
    bound: Duration,
    /// How many bytes one write takes, after how long.
    pub(crate) writes: (usize, Duration),
    pub(crate) write_error: Option<io::ErrorKind>,
    /// What the first writes fail with before any succeeds.
    pub(crate) write_hiccups: VecDeque<io::ErrorKind>,
}

impl Conn {
    pub(crate) fn new(world: &World, acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            world: world.clone(),
            acts: acts.into_iter().collect(),
            bound: Duration::ZERO,
            writes: (usize::MAX, Duration::ZERO),
            write_error: None,
            write_hiccups: VecDeque::new(),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.world.closed.set(true);
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let silence = Act::Gives(Duration::MAX, vec![]);
        match self.acts.pop_front().unwrap_or(silence) {
            Act::Gives(after, bytes) => {
                if let Err(late) = self.world.pass(after, self.bound) {
                    let rest = after.saturating_sub(self.bound);
                    self.acts.push_front(Act::Gives(rest, bytes));
                    return Err(late);
                }
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                if len < bytes.len() {
                    let rest = Act::Gives(Duration::ZERO, bytes[len..].to_vec());
                    self.acts.push_front(rest);
                }
                Ok(len)
            }
            Act::Fails(kind) => Err(kind.into()),
            Act::Ends => Ok(0),
            Act::Cancelled(after) => {
                self.world.pass(after, self.bound)?;
                self.world.cancelled.set(true);
                self.read(buffer)
            }
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (len, time) = self.writes;
        self.world.pass(time, self.bound)?;
        if let Some(kind) = self.write_hiccups.pop_front().or(self.write_error) {
            return Err(kind.into());
        }
        let len = len.min(bytes.len());
        self.world
            .written
            .borrow_mut()
            .extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.world.flushed.set(self.world.written.borrow().len());
        Ok(())
    }
}

impl BlockingConn for Conn {
    fn bound_next_call(&mut self, limit: Duration) -> io::Result<()> {
        assert!(!limit.is_zero(), "a bound is never zero");
        self.bound = limit;
        self.world.bounds.borrow_mut().push(limit);
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        self.world.cancelled.get()
    }
}

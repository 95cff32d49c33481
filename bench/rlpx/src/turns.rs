//! Things that are compared in one process and take turns.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Processor time of this thread, spent on one thing.
#[derive(Default)]
pub struct Spent(Duration);

impl Spent {
    /// Runs something and adds its time.
    pub fn on<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = now();
        let done = work();
        self.0 += now() - before;
        done
    }

    /// The time so far, in seconds.
    pub fn seconds(&self) -> f64 {
        self.0.as_secs_f64()
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("a thread may ask about itself"))
}

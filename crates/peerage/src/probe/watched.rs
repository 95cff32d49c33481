//! When each step of a handshake was over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as StdInstant;

use bytes::{Bytes, BytesMut};
use peerage_core::{AcceptAll, Failed, Failure, Handshake, Interruption, Stage, Step};
use tokio::time::Instant;

use crate::protocol::Protocol;

/// The moments at which the steps were over, in their order, as far as they are. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed(Arc<Mutex<Vec<Instant>>>);

impl Passed {
    pub(super) fn ends(&self) -> Vec<Instant> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// So many steps are over; those that are so since now are so now.
    fn note(&self, steps: usize, now: StdInstant) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let steps = steps.max(ends.len());
        ends.resize(steps, Instant::from_std(now));
    }
}

/// A handshake that notes when it passes from one step to the next.
pub(super) struct Watched<N: Protocol> {
    inner: N::Greeting<AcceptAll>,
    passed: Passed,
}

impl<N: Protocol> Watched<N> {
    pub(super) const fn new(inner: N::Greeting<AcceptAll>, passed: Passed) -> Self {
        Self { inner, passed }
    }

    fn note(passed: &Passed, stage: Stage, now: StdInstant) {
        if let Some(step) = N::STAGES.step(stage) {
            passed.note(step, now);
        }
    }
}

impl<N: Protocol> Handshake for Watched<N> {
    type Peer = <N::Greeting<AcceptAll> as Handshake>::Peer;
    type Error = <N::Greeting<AcceptAll> as Handshake>::Error;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.inner.poll_transmit()
    }

    fn advance(self, now: StdInstant, input: &mut BytesMut) -> Step<Self> {
        let Self { inner, passed } = self;
        match inner.advance(now, input) {
            Step::More(inner, wakeup) => {
                Self::note(&passed, N::stage(&inner), now);
                Step::More(Self { inner, passed }, wakeup)
            }
            Step::Done(peer) => {
                passed.note(N::STAGES.greet.len(), now);
                Step::Done(peer)
            }
            Step::Failed(failed) => {
                Self::note(&passed, failed.error.stage(), now);
                Step::Failed(failed)
            }
        }
    }

    fn interrupt(self, cause: Interruption) -> Failed<Self::Error> {
        self.inner.interrupt(cause)
    }
}

//! What the owner wants of a session's task, and what it owes it.
//!
//! One allocation for both ends. It is a state, not a list, so it cannot grow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use peerage_peers::Parting;
use tokio::sync::Notify;

/// How many bytes of messages a task may have told of that the owner has not taken. Beyond, it
/// reads nothing: what one peer has in our memory is this and one message.
const WINDOW: usize = 64 * 1024;

/// What a message counts for at least: it takes memory even when it says little.
const LEAST: usize = 256;

struct State<M> {
    pause: bool,
    close: Option<(Parting, Instant)>,
    /// The owner has forgotten the session.
    gone: bool,
    write: Option<M>,
    /// Told of, and not taken.
    in_flight: usize,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    changed: Notify,
}

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message of `len` bytes counts for.
fn weight(len: usize) -> usize {
    len.max(LEAST)
}

/// A pair of ends.
pub(crate) fn post<M>() -> (Orders<M>, Post<M>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            pause: false,
            close: None,
            gone: false,
            write: None,
            in_flight: 0,
        }),
        changed: Notify::new(),
    });
    (Orders(Arc::clone(&shared)), Post(shared))
}

/// The owner's end. Dropping it ends the task.
pub(crate) struct Orders<M>(Arc<Shared<M>>);

impl<M> Orders<M> {
    fn change(&self, change: impl FnOnce(&mut State<M>)) {
        change(&mut self.0.state());
        self.0.changed.notify_one();
    }

    /// Read nothing, or read again.
    pub(crate) fn pause(&self, pause: bool) {
        self.change(|state| state.pause = pause);
    }

    /// Say goodbye by then and end.
    pub(crate) fn close(&self, say: Parting, until: Instant) {
        self.change(|state| state.close = Some((say, until)));
    }

    /// Write a message. There is none to write before the last one was reported written.
    pub(crate) fn write(&self, message: M) {
        self.change(|state| state.write = Some(message));
    }

    /// A message of so many bytes was taken.
    pub(crate) fn took(&self, len: usize) {
        let mut state = self.0.state();
        let was_full = state.in_flight >= WINDOW;
        state.in_flight = state.in_flight.saturating_sub(weight(len));
        let has_room = state.in_flight < WINDOW;
        drop(state);
        if was_full && has_room {
            self.0.changed.notify_one();
        }
    }
}

impl<M> Drop for Orders<M> {
    fn drop(&mut self) {
        self.change(|state| state.gone = true);
    }
}

/// What a task is to do next.
pub(crate) enum Todo<M> {
    /// End without a word.
    Leave,
    /// Say this by then and end.
    Close(Parting, Instant),
    /// Write this.
    Write(M),
    /// Read, until something else is wanted.
    Read,
    /// Wait until something is wanted.
    Wait,
}

/// The task's end.
pub(crate) struct Post<M>(Arc<Shared<M>>);

impl<M> Post<M> {
    /// What is to be done now.
    pub(crate) fn todo(&self) -> Todo<M> {
        let mut state = self.0.state();
        if let Some((say, until)) = state.close {
            return Todo::Close(say, until);
        }
        if state.gone {
            return Todo::Leave;
        }
        if let Some(message) = state.write.take() {
            return Todo::Write(message);
        }
        if state.pause || state.in_flight >= WINDOW {
            return Todo::Wait;
        }
        Todo::Read
    }

    /// A message of so many bytes is about to be told.
    pub(crate) fn tells(&self, len: usize) {
        self.0.state().in_flight += weight(len);
    }

    /// Waits until [`Post::todo`] may say something else. A change before the call counts.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Waits until it is to end, well or badly.
    pub(crate) async fn over(&self) {
        loop {
            {
                let state = self.0.state();
                if state.close.is_some() || state.gone {
                    return;
                }
            }
            self.changed().await;
        }
    }
}

//! Subscriptions: events for those who may be slow, and who are told what they missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_core::Budget;
use tokio::sync::Notify;

use crate::events::Event;
use crate::network::Network;

/// What an event without a message counts for, in bytes: about what its reason takes.
pub(crate) const USUAL: usize = 512;

/// What a subscriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// What carries a message too: [`Event::Message`], [`Event::Request`], [`Event::LateAnswer`].
    pub messages: bool,
    /// How much may wait for it. Beyond, the oldest events give way.
    pub budget: Budget,
}

/// The life of sessions without their messages; 4,096 events and 4 MiB may wait.
impl Default for Wants {
    fn default() -> Self {
        Self {
            messages: false,
            budget: Budget::new(4_096, 4 << 20),
        }
    }
}

/// What a subscription yields.
#[derive(Debug)]
pub enum Notice<N: Network> {
    /// Something happened.
    Event(Arc<Event<N>>),
    /// The subscriber was too slow: these were left out, right here.
    Lagged {
        /// How many events.
        events: u64,
        /// Their length in bytes, about.
        bytes: u64,
    },
}

struct State<N: Network> {
    waiting: VecDeque<(Arc<Event<N>>, usize)>,
    bytes: usize,
    lost: (u64, u64),
    is_over: bool,
}

struct Shared<N: Network> {
    wants: Wants,
    state: Mutex<State<N>>,
    changed: Notify,
}

impl<N: Network> Shared<N> {
    fn state(&self) -> MutexGuard<'_, State<N>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of a node, in order, from when it was subscribed to. It never slows the node down: a
/// subscriber that takes none loses the oldest, and [`Notice::Lagged`] says how many.
pub struct Subscription<N: Network>(Arc<Shared<N>>);

impl<N: Network> Subscription<N> {
    /// The next notice; `None` once the node has stopped.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Notice<N>> {
        loop {
            {
                let mut state = self.0.state();
                let (events, bytes) = std::mem::take(&mut state.lost);
                if events > 0 {
                    return Some(Notice::Lagged { events, bytes });
                }
                if let Some((event, len)) = state.waiting.pop_front() {
                    state.bytes -= len;
                    return Some(Notice::Event(event));
                }
                if state.is_over {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl<N: Network> std::fmt::Debug for Subscription<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("wants", &self.0.wants)
            .finish_non_exhaustive()
    }
}

/// The node's side of a subscription. Dropping it ends the subscription.
pub(crate) struct Subscriber<N: Network>(Arc<Shared<N>>);

impl<N: Network> Subscriber<N> {
    /// Both sides.
    pub(crate) fn new(wants: Wants) -> (Self, Subscription<N>) {
        let shared = Arc::new(Shared {
            wants,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                bytes: 0,
                lost: (0, 0),
                is_over: false,
            }),
            changed: Notify::new(),
        });
        (Self(Arc::clone(&shared)), Subscription(shared))
    }

    /// Nobody listens any more.
    pub(crate) fn is_gone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(crate) fn wants(&self, event: &Event<N>) -> bool {
        self.0.wants.messages || event.message().is_none()
    }

    /// Something happened, so many bytes long.
    pub(crate) fn tell(&self, event: &Arc<Event<N>>, len: usize) {
        let budget = self.0.wants.budget;
        let mut state = self.0.state();
        state.waiting.push_back((Arc::clone(event), len));
        state.bytes += len;
        // The newest stays, however long it is: one event is what is let in at least.
        while state.waiting.len() > 1
            && (state.waiting.len() > budget.messages as usize || state.bytes > budget.bytes)
        {
            if let Some((_, len)) = state.waiting.pop_front() {
                state.bytes -= len;
                state.lost.0 += 1;
                state.lost.1 += len as u64;
            }
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl<N: Network> Drop for Subscriber<N> {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_one();
    }
}

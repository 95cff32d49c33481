//! The end of a node.

use std::sync::Arc;
use std::time::Duration;

use peerage_store::Store;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::network::Network;
use crate::owner::Owner;

/// How long the last words may take, and as long again the last events and the book.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// The node says its last words.
pub(crate) struct Stopping {
    /// Who wants to know when it has stopped.
    waiting: Vec<oneshot::Sender<()>>,
    pub(crate) until: Instant,
}

impl<N: Network> Owner<N> {
    /// Begins to stop: says goodbye to everybody.
    pub(crate) fn stop(&mut self, answer: Option<oneshot::Sender<()>>) {
        let now = self.now();
        let stopping = self.stopping.get_or_insert_with(|| {
            self.listeners.clear();
            self.table.stop(now);
            let until = Instant::now() + STOP_LIMIT;
            let waiting = Vec::new();
            Stopping { waiting, until }
        });
        stopping.waiting.extend(answer);
    }

    /// Whether the last words are said, or their time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.stopping
            .as_ref()
            .is_some_and(|stopping| stopping.until <= Instant::now() || self.sessions.is_empty())
    }

    /// Delivers what is left to deliver, and answers those who wait for the end.
    pub(crate) async fn finish(mut self) {
        self.tasks.abort_all();
        let until = Instant::now() + STOP_LIMIT;
        if let Some(events) = self.events.take() {
            for event in self.undelivered.drain(..) {
                if !matches!(timeout_at(until, events.send(event)).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
        // What the store had no room for goes in once something is written.
        while let Some(store) = self.store.as_ref().map(|(store, _)| Arc::clone(store)) {
            let has_room = store.room() > 0;
            let is_all = has_room && self.keep_book() == 0;
            if !written(store).await || is_all || until <= Instant::now() {
                break;
            }
        }
        for waiting in self.stopping.into_iter().flat_map(|it| it.waiting) {
            // Whoever asked may be gone.
            let _gone = waiting.send(());
        }
    }
}

/// Whether everything taken is on the disk; what it has no room for, the store's status says.
async fn written(store: Arc<Store>) -> bool {
    let flushed = tokio::task::spawn_blocking(move || store.flush(STOP_LIMIT).is_ok());
    flushed.await.is_ok_and(|flushed| flushed)
}

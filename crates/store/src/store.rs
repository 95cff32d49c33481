//! The writer: one thread, one queue, one transaction at a time.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peerage_book::{Book, Change};
use peerage_core::{Detail, Failure, Kind, Stage, UnixTime};
use rusqlite::Connection;

use crate::apply::{self, Job};
use crate::error::StoreError;
use crate::file::{self, Lock};
use crate::options::Options;
use crate::read::Reader;
use crate::realm::Realm;

/// A file that is written to. There is one for a file, in this process and all others.
///
/// Whoever owns a book offers its changes and is never made to wait; a thread writes them, many in
/// a transaction. What [`Store::written`] counts is on the disk: neither a kill nor a power cut
/// takes it back.
pub struct Store {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Changes taken so far, and of them on the disk.
    offered: u64,
    written: u64,
    max_bytes: u64,
    /// Somebody wants the writer to try again now.
    poked: bool,
    closing: bool,
    /// The writer has ended.
    ended: bool,
    trouble: Option<Arc<StoreError>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something for the writer.
    work: Condvar,
    /// Something was written, or failed.
    news: Condvar,
    options: Options,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics while holding it; if somebody did, the counts are still true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How writing goes.
#[derive(Clone, Debug)]
pub struct Status {
    /// Changes taken so far.
    pub offered: u64,
    /// And of them on the disk.
    pub written: u64,
    /// What keeps the writer from writing, if anything.
    pub trouble: Option<Arc<StoreError>>,
}

/// A change that was not taken, with the change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// As many wait as may. Offer it again later, and take no more from the book until then: the
    /// book puts together what changes in the meantime.
    #[error("{limit} changes wait to be written already")]
    Full {
        /// The change.
        change: Box<Change>,
        /// How many may wait.
        limit: usize,
    },
    /// The writer has ended; [`Store::status`] says why.
    #[error("the writer has ended")]
    Ended {
        /// The change.
        change: Box<Change>,
    },
}

impl NotTaken {
    /// The change.
    pub fn into_change(self) -> Change {
        match self {
            Self::Full { change, .. } | Self::Ended { change } => *change,
        }
    }
}

impl Failure for NotTaken {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Full { .. } => Kind::Full,
            Self::Ended { .. } => Kind::Usage,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Full { limit, .. } => Detail::none().with("limit", *limit),
            Self::Ended { .. } => Detail::none(),
        }
    }
}

impl Store {
    /// Opens a file, makes it if there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// When another instance has it, when it is not ours, newer than we are, damaged or out of
    /// reach. Nothing of a file that is not ours is changed.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        let held = file::lock(path)?;
        let db = file::open(path, &options)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                max_bytes: options.max_bytes,
                ..State::default()
            }),
            work: Condvar::new(),
            news: Condvar::new(),
            options,
        });
        let writer = Writer {
            path: path.to_owned(),
            shared: Arc::clone(&shared),
            db,
            _held: held,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(|_| StoreError::NoWriter {
                path: path.to_owned(),
            })?;
        Ok(Self {
            path: path.to_owned(),
            shared,
            thread: Some(thread),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A reader of the same file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::open(&self.path)
    }

    /// Takes a change to be written; returns its number. Never waits for the disk.
    ///
    /// # Errors
    /// When as many wait as may, or the writer has ended; the change comes back.
    pub fn offer(&self, realm: &Realm, at: UnixTime, change: Change) -> Result<u64, NotTaken> {
        let mut state = self.shared.state();
        if state.ended || state.closing {
            let change = Box::new(change);
            return Err(NotTaken::Ended { change });
        }
        let limit = self.shared.options.queue;
        if state.queue.len() >= limit {
            let change = Box::new(change);
            return Err(NotTaken::Full { change, limit });
        }
        state.queue.push_back(Job {
            realm: realm.clone(),
            at,
            change,
        });
        state.offered += 1;
        let number = state.offered;
        drop(state);
        self.shared.work.notify_one();
        Ok(number)
    }

    /// Takes from a book what there is room for; returns how much that was. What finds no room
    /// stays in the book and is put together with what changes later.
    pub fn drain(&self, realm: &Realm, at: UnixTime, book: &mut Book) -> usize {
        let mut taken = 0;
        while self.room() > 0 {
            let Some(change) = book.poll_change() else {
                break;
            };
            // Nobody else fills the room while the caller has the only store; if somebody does,
            // the book tells everything again.
            if self.offer(realm, at, change).is_err() {
                book.tell_all();
                break;
            }
            taken += 1;
        }
        taken
    }

    /// How many more changes may wait.
    pub fn room(&self) -> usize {
        let state = self.shared.state();
        if state.ended || state.closing {
            return 0;
        }
        self.shared.options.queue.saturating_sub(state.queue.len())
    }

    /// How many changes are on the disk: all whose number is not higher.
    pub fn written(&self) -> u64 {
        self.shared.state().written
    }

    /// How writing goes.
    pub fn status(&self) -> Status {
        let state = self.shared.state();
        Status {
            offered: state.offered,
            written: state.written,
            trouble: state.trouble.clone(),
        }
    }

    /// Allows the file another size, in bytes, and tries at once if there was no room.
    pub fn limit(&self, max_bytes: u64) {
        let mut state = self.shared.state();
        state.max_bytes = max_bytes;
        state.poked = true;
        drop(state);
        self.shared.work.notify_one();
    }

    /// Waits until everything taken so far is on the disk.
    ///
    /// # Errors
    /// When that takes longer than `timeout`, or the writer has ended.
    pub fn flush(&self, timeout: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state();
        let wanted = state.offered;
        while state.written < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return Err(StoreError::Unwritten {
                    path: self.path.clone(),
                    left: wanted - state.written,
                });
            }
            let waited = self.shared.news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Waits until the writer reports something: progress or trouble. For those who have nothing
    /// else to do.
    pub fn wait(&self, timeout: Duration, until: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + timeout;
        loop {
            let status = self.status();
            let left = deadline.saturating_duration_since(Instant::now());
            if until(&status) || left.is_zero() {
                return status;
            }
            let state = self.shared.state();
            if state.written == status.written {
                let most = left.min(Duration::from_millis(100));
                // Woken or not, the loop looks again.
                drop(self.shared.news.wait_timeout(state, most));
            }
        }
    }

    /// Writes what waits and lets go of the file.
    ///
    /// # Errors
    /// When some of it could not be written.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.end();
        let state = self.shared.state();
        let left = state.offered - state.written;
        if left == 0 {
            return Ok(());
        }
        let path = self.path.clone();
        Err(StoreError::Unwritten { path, left })
    }

    fn end(&mut self) {
        self.shared.state().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has written no more than it counted.
            let _ended = thread.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("status", &self.status())
            .finish()
    }
}

struct Writer {
    path: PathBuf,
    shared: Arc<Shared>,
    db: Connection,
    _held: Lock,
}

/// Marks the end of the writer, however it ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.news.notify_all();
    }
}

impl Writer {
    fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        let mut batch: VecDeque<Job> = VecDeque::new();
        loop {
            let (max_bytes, closing) = self.next_batch(&mut batch);
            if batch.is_empty() && closing {
                // Readers find everything in the one file. If that fails, they find it in two.
                let _tidy = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
                return;
            }
            let options = &self.shared.options;
            let result = apply::limit(&self.db, max_bytes)
                .and_then(|()| apply::write(&mut self.db, options, batch.iter()));
            let error = match result {
                Ok(()) => {
                    let mut state = self.shared.state();
                    state.written += batch.len() as u64;
                    state.trouble = None;
                    drop(state);
                    batch.clear();
                    self.shared.news.notify_all();
                    continue;
                }
                Err(error) => StoreError::sqlite(&self.path, error),
            };
            let lasts = !error.passes();
            let mut state = self.shared.state();
            state.trouble = Some(Arc::new(error));
            let closing = state.closing;
            drop(state);
            self.shared.news.notify_all();
            if lasts || closing {
                return;
            }
            self.wait_for_room();
        }
    }

    /// Waits for something to do, and takes it unless an earlier batch is still to be written.
    fn next_batch(&self, batch: &mut VecDeque<Job>) -> (u64, bool) {
        let mut state = self.shared.state();
        while batch.is_empty() && state.queue.is_empty() && !state.closing {
            let waited = self.shared.work.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if batch.is_empty() {
            let count = state.queue.len().min(self.shared.options.batch.max(1));
            batch.extend(state.queue.drain(..count));
        }
        (state.max_bytes, state.closing)
    }

    fn wait_for_room(&self) {
        let deadline = Instant::now() + self.shared.options.retry;
        let mut state = self.shared.state();
        while !std::mem::take(&mut state.poked) && !state.closing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

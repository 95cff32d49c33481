//! The sessions of a broker: handshakes under way, and those established.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::envelope::SessionId;
use crate::keys::PartyKey;
use crate::noise::{Answering, Session};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// An established session.
#[derive(Debug)]
pub(super) struct Live {
    /// Its place in the order of all sessions: a name for the owner's books.
    pub(super) serial: u64,
    pub(super) session: Session,
    /// Who calls. A client's is drawn for this session.
    pub(super) caller: PartyKey,
    in_flight: AtomicUsize,
    /// Milliseconds since the broker started.
    used_at: AtomicU64,
}

/// One call under way, counted until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Live>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Tables {
    handshakes: BTreeMap<SessionId, (Instant, Answering)>,
    live: BTreeMap<SessionId, Arc<Live>>,
    serial: u64,
}

pub(super) struct Sessions {
    started: Instant,
    limits: super::Limits,
    tables: Mutex<Tables>,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionsFull;

impl Sessions {
    pub(super) fn new(limits: super::Limits, now: Instant) -> Self {
        Self {
            started: now,
            limits,
            tables: Mutex::default(),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // No statement under the lock can panic half-way.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether a handshake may begin, asked before any work is done for it.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let mut tables = self.tables();
        if tables.handshakes.len() >= self.limits.handshakes {
            let young = |at: Instant| now.saturating_duration_since(at) < HANDSHAKE_TIME;
            tables.handshakes.retain(|_, (at, _)| young(*at));
        }
        tables.handshakes.len() < self.limits.handshakes
    }

    pub(super) fn begin(&self, now: Instant, id: SessionId, state: Answering) {
        self.tables().handshakes.insert(id, (now, state));
    }

    /// The handshake of this id, once.
    pub(super) fn take_handshake(&self, now: Instant, id: SessionId) -> Option<Answering> {
        let (at, state) = self.tables().handshakes.remove(&id)?;
        (now.saturating_duration_since(at) < HANDSHAKE_TIME).then_some(state)
    }

    pub(super) fn establish(
        &self,
        now: Instant,
        id: SessionId,
        session: Session,
        caller: PartyKey,
    ) -> Result<Arc<Live>, SessionsFull> {
        if self.len() >= self.limits.sessions {
            self.sweep(now);
        }
        let mut tables = self.tables();
        if tables.live.len() >= self.limits.sessions {
            return Err(SessionsFull);
        }
        tables.serial += 1;
        let live = Arc::new(Live {
            serial: tables.serial,
            session,
            caller,
            in_flight: AtomicUsize::new(0),
            used_at: AtomicU64::new(self.stamp(now)),
        });
        tables.live.insert(id, Arc::clone(&live));
        Ok(live)
    }

    pub(super) fn find(&self, now: Instant, id: SessionId) -> Option<Arc<Live>> {
        let live = self.tables().live.get(&id).cloned()?;
        live.used_at.store(self.stamp(now), Ordering::Relaxed);
        Some(live)
    }

    /// Counts a call, unless there are too many.
    pub(super) fn enter(&self, live: &Arc<Live>) -> Option<InFlight> {
        let before = live.in_flight.fetch_add(1, Ordering::Relaxed);
        let entered = InFlight(Arc::clone(live));
        (before < self.limits.calls_per_session).then_some(entered)
    }

    /// Forgets the sessions that have been idle for too long, and old handshakes.
    pub(super) fn sweep(&self, now: Instant) {
        let stamp = self.stamp(now);
        let idle = u64::try_from(self.limits.session_idle.as_millis()).unwrap_or(u64::MAX);
        let mut tables = self.tables();
        tables.live.retain(|_, live| {
            let used_at = live.used_at.load(Ordering::Relaxed);
            live.in_flight.load(Ordering::Relaxed) > 0 || stamp.saturating_sub(used_at) < idle
        });
        let young = |at: Instant| now.saturating_duration_since(at) < HANDSHAKE_TIME;
        tables.handshakes.retain(|_, (at, _)| young(*at));
    }

    pub(super) fn len(&self) -> usize {
        self.tables().live.len()
    }
}

//! The owner task: one loop over everything that can happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use peerage_book::{Book, Key, Now};
use peerage_core::{Endpoint, Reason, UnixTime};
use peerage_net::Listener;
use peerage_peers::{Admission, Limits, SessionId, Table, Types};
use peerage_store::{Realm, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::events::Event;
use crate::finding::{Found, FoundBy, poll_found};
use crate::handle::{Asked, Command};
use crate::network::Network;
use crate::session::Told;
use crate::sessions::Session;
use crate::setup::{Setup, StartError, halves, remembered};

/// How long accepting rests after the system could not.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much sessions may tell ahead of the owner.
const TOLD: usize = 256;

/// How many events wait beyond the application's channel before nobody new is taken in.
const MAX_UNDELIVERED: usize = 4096;

/// How often the store is given what changed.
const STORE_EVERY: Duration = Duration::from_millis(500);

/// How long the last words may take when the node stops.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Figures of a node.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Of its sessions.
    pub peers: peerage_peers::Overview,
    /// How many candidates the book has.
    pub known: usize,
    /// How many bans hold.
    pub bans: usize,
    /// How the store is doing, where there is one.
    pub store: Option<peerage_store::Status>,
    /// What was turned away before it was an attempt.
    pub counters: Counters,
}

/// What was turned away before it was an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that the system could not give us.
    pub accept_failed: u64,
    /// Connections from banned addresses.
    pub banned: u64,
    /// Connections beyond the rates and limits of the listener.
    pub not_admitted: u64,
}

type Waiting<N> =
    BTreeMap<(SessionId, <<N as Network>::Types as Types>::Key), oneshot::Sender<Asked<N>>>;

/// Everything that a node has.
pub(crate) struct Owner<N: Network> {
    pub(crate) network: Arc<N>,
    pub(crate) table: Table<N::Types>,
    pub(crate) book: Book,
    pub(crate) admission: Admission,
    pub(crate) limits: Limits,
    pub(crate) attempt_limit: Duration,
    pub(crate) sessions: BTreeMap<SessionId, Session<N>>,
    pub(crate) permits: BTreeMap<u64, SessionId>,
    /// Who dialled us.
    pub(crate) inbound: BTreeSet<Key>,
    pub(crate) finders: Vec<Found>,
    pub(crate) found_by: FoundBy,
    /// More peers are wanted than the book has candidates for.
    pub(crate) is_hungry: bool,
    pub(crate) resolving: JoinSet<(Key, Result<Vec<Endpoint>, Reason>)>,
    pub(crate) counters: Counters,
    pub(crate) accept_again: Option<Instant>,
    /// Who wants to know when the node has stopped.
    pub(crate) stopping: Option<Stopping>,
    listeners: Vec<Listener>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) tell: mpsc::Sender<(SessionId, Told<N>)>,
    told: mpsc::Receiver<(SessionId, Told<N>)>,
    commands: mpsc::Receiver<Command<N>>,
    pub(crate) events: Option<mpsc::Sender<Event<N>>>,
    /// What the application has no room for yet.
    pub(crate) undelivered: VecDeque<Event<N>>,
    pub(crate) asked: Waiting<N>,
    pub(crate) store: Option<(Arc<Store>, Realm)>,
    store_at: Instant,
    wall: fn() -> UnixTime,
}

/// The node says its last words.
#[derive(Default)]
pub(crate) struct Stopping {
    waiting: Vec<oneshot::Sender<()>>,
    until: Option<Instant>,
}

/// What woke the owner.
enum Woken<N: Network> {
    Told(SessionId, Told<N>),
    Command(Option<Command<N>>),
    Accepted(std::io::Result<peerage_net::Connection<tokio::net::TcpStream>>),
    Found(Vec<(usize, peerage_find::Candidate)>),
    Resolved(Key, Result<Vec<Endpoint>, Reason>),
    Room(Result<mpsc::OwnedPermit<Event<N>>, ()>),
    Time,
}

impl<N: Network> Owner<N> {
    pub(crate) fn new(
        setup: Setup<N>,
        commands: mpsc::Receiver<Command<N>>,
        events: mpsc::Sender<Event<N>>,
    ) -> Result<Self, StartError> {
        let now = Now {
            at: Instant::now().into_std(),
            wall: (setup.wall)(),
        };
        let book = remembered(&setup, now)?;
        let [_, seed] = halves(setup.seed);
        let (tell, told) = mpsc::channel(TOLD);
        let limits = setup.peers.limits;
        let attempt_limit = setup.peers.deadlines.attempt;
        Ok(Self {
            table: Table::new(setup.peers, setup.status, seed, now.at)?,
            network: Arc::new(setup.network),
            book,
            admission: Admission::new(setup.admission),
            limits,
            attempt_limit,
            sessions: BTreeMap::new(),
            permits: BTreeMap::new(),
            inbound: BTreeSet::new(),
            finders: setup.finders.into_iter().map(Found::new).collect(),
            found_by: FoundBy::default(),
            is_hungry: true,
            resolving: JoinSet::new(),
            counters: Counters::default(),
            accept_again: None,
            stopping: None,
            listeners: setup.listeners,
            tasks: JoinSet::new(),
            tell,
            told,
            commands,
            events: Some(events),
            undelivered: VecDeque::new(),
            asked: BTreeMap::new(),
            store: setup.store,
            store_at: Instant::now(),
            wall: setup.wall,
        })
    }

    pub(crate) fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }

    pub(crate) fn book_now(&self) -> Now {
        Now {
            at: self.now(),
            wall: (self.wall)(),
        }
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(mut self) {
        loop {
            self.settle();
            if self.is_over() {
                break;
            }
            match self.woken().await {
                Woken::Told(id, told) => self.heard(id, told),
                Woken::Command(Some(command)) => self.obey(command),
                Woken::Command(None) => self.stop(None),
                Woken::Accepted(accepted) => self.accepted(accepted),
                Woken::Found(found) => self.found(found),
                Woken::Resolved(key, result) => {
                    let now = self.book_now();
                    self.book.resolved(now, &key, result);
                }
                Woken::Room(Ok(permit)) => {
                    if let Some(event) = self.undelivered.pop_front() {
                        drop(permit.send(event));
                    }
                }
                Woken::Room(Err(())) => {
                    self.events = None;
                    self.undelivered.clear();
                }
                Woken::Time => {
                    let now = self.now();
                    self.table.handle_timeout(now);
                    let now = self.book_now();
                    self.book.handle_timeout(now);
                }
            }
        }
        self.tasks.abort_all();
        self.keep_book();
        for waiting in self.stopping.take().unwrap_or_default().waiting {
            // Whoever asked may be gone.
            let _gone = waiting.send(());
        }
    }

    /// Waits for the next thing to do.
    async fn woken(&mut self) -> Woken<N> {
        let wakeup = self.wakeup();
        let is_open = self.stopping.is_none() && self.undelivered.len() < MAX_UNDELIVERED;
        let accepts = is_open && self.accept_again.is_none_or(|at| at <= Instant::now());
        let wants_candidates = is_open;
        let is_hungry = self.is_hungry;
        let wants_room = !self.undelivered.is_empty();
        let events = self.events.clone();
        let room = async move {
            match events {
                Some(events) if wants_room => events.reserve_owned().await.map_err(|_| ()),
                Some(_) | None => std::future::pending().await,
            }
        };
        let mut room = pin!(room);
        let (listeners, finders) = (&self.listeners, &mut self.finders);
        let accepted = poll_fn(|cx| {
            let mut ready = listeners.iter().map(|listener| listener.poll_accept(cx));
            ready
                .find(std::task::Poll::is_ready)
                .unwrap_or(std::task::Poll::Pending)
        });
        let found = poll_fn(|cx| poll_found(finders, is_hungry, cx));
        tokio::select! {
            biased;
            command = self.commands.recv() => Woken::Command(command),
            permit = &mut room => Woken::Room(permit),
            Some((id, told)) = self.told.recv() => Woken::Told(id, told),
            () = sleep_until(wakeup) => Woken::Time,
            accepted = accepted, if accepts => Woken::Accepted(accepted),
            Some(Ok((key, result))) = self.resolving.join_next() => Woken::Resolved(key, result),
            found = found, if wants_candidates => Woken::Found(found),
        }
    }

    fn wakeup(&self) -> Instant {
        let later = self.book.wakeup().filter(|_| self.stopping.is_none());
        let times = [
            self.table.poll_timeout().map(|wakeup| wakeup.at.into()),
            later.map(|wakeup| wakeup.at.into()),
            self.accept_again.filter(|at| *at > Instant::now()),
            self.stopping.as_ref().and_then(|stopping| stopping.until),
            self.store.is_some().then_some(self.store_at),
        ];
        let soonest = times.into_iter().flatten().min();
        soonest.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    /// Brings everything to rest: what the machines want done is done.
    fn settle(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        loop {
            self.dial();
            self.book_actions();
            // Gossip is only fetched while there is room for it.
            let has_room = self.undelivered.is_empty();
            let mut acted = false;
            while has_room && self.undelivered.is_empty() || self.table.waiting() > 0 {
                let Some(action) = self.table.poll_action() else {
                    break;
                };
                acted = true;
                self.act(action);
                self.deliver();
            }
            if !acted {
                break;
            }
        }
        if self.store_at <= Instant::now() {
            self.keep_book();
            self.store_at = Instant::now() + STORE_EVERY;
        }
    }

    /// Hands events to the application, as many as it has room for.
    fn deliver(&mut self) {
        let Some(events) = &self.events else {
            self.undelivered.clear();
            return;
        };
        while let Some(event) = self.undelivered.pop_front() {
            match events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.undelivered.push_front(event);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.events = None;
                    self.undelivered.clear();
                    return;
                }
            }
        }
    }

    /// Gives the store what changed. It never waits; what there is no room for stays in the book.
    fn keep_book(&mut self) {
        if let Some((store, realm)) = &self.store {
            let _offered = store.drain(realm, (self.wall)(), &mut self.book);
        }
    }

    pub(crate) fn stop(&mut self, answer: Option<oneshot::Sender<()>>) {
        let now = self.now();
        let stopping = self.stopping.get_or_insert_with(Stopping::default);
        stopping.waiting.extend(answer);
        if stopping.until.is_none() {
            stopping.until = Some(Instant::now() + STOP_LIMIT);
            self.listeners.clear();
            self.table.stop(now);
        }
    }

    /// Whether the last words are said, or their time is over.
    fn is_over(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| {
            let late = stopping.until.is_some_and(|until| until <= Instant::now());
            late || self.sessions.is_empty()
        })
    }
}

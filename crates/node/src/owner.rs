//! The owner task: one loop over everything that can happen.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use peerage_book::{Book, DialId, Key, Now, Occupied};
use peerage_core::{Endpoint, Reason, UnixTime};
use peerage_net::Listener;
use peerage_peers::{Admission, Deadlines, SessionId, Table, Types};
use peerage_store::{Realm, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::command::Command;
use crate::crossing::Hosts;
use crate::events::Event;
use crate::figures::{Counters, Tallies};
use crate::finding::{Found, FoundBy, poll_found};
use crate::handle::Asked;
use crate::network::Network;
use crate::ourselves::Ourselves;
use crate::serving::poll_accept;
use crate::session::Told;
use crate::sessions::Session;
use crate::setup::{Setup, StartError, halves, remembered};
use crate::stopping::Stopping;
use crate::subscribe::Subscriber;

/// How long accepting rests after the system could not.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much sessions may tell ahead of the owner.
const TOLD: usize = 256;

/// How often the store is given what changed.
const STORE_EVERY: Duration = Duration::from_millis(500);

/// How often the book is asked for a dial although nothing happened that we know of.
const LOOK_EVERY: Duration = Duration::from_secs(5);

type Waiting<N> =
    BTreeMap<(SessionId, <<N as Network>::Types as Types>::Key), oneshot::Sender<Asked<N>>>;

/// Everything that a node has.
pub(crate) struct Owner<N: Network> {
    pub(crate) network: Arc<N>,
    pub(crate) table: Table<N::Types>,
    pub(crate) book: Book,
    pub(crate) admission: Admission,
    pub(crate) deadlines: Deadlines,
    pub(crate) sessions: BTreeMap<SessionId, Session<N>>,
    pub(crate) permits: BTreeMap<u64, SessionId>,
    /// What each is in the book, until it is over.
    pub(crate) in_book: BTreeMap<SessionId, DialId>,
    /// Who dialled us. Whom we dial ourselves, the book knows.
    pub(crate) occupied: Occupied,
    /// The book may have somebody to dial.
    pub(crate) may_dial: bool,
    /// See [`LOOK_EVERY`].
    look_at: Instant,
    /// How many events may wait beyond the application's channel before nobody new is taken in.
    backlog: usize,
    pub(crate) finders: Vec<Found>,
    pub(crate) found_by: FoundBy,
    pub(crate) ourselves: Ourselves,
    pub(crate) hosts: Hosts,
    /// More peers are wanted than the book has candidates for.
    pub(crate) is_hungry: bool,
    pub(crate) resolving: JoinSet<(Key, Result<Vec<Endpoint>, Reason>)>,
    pub(crate) counters: Counters,
    pub(crate) tallies: Tallies,
    pub(crate) accept_again: Option<Instant>,
    /// Who wants to know when the node has stopped.
    pub(crate) stopping: Option<Stopping>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) tell: mpsc::Sender<(SessionId, Told<N>)>,
    told: mpsc::Receiver<(SessionId, Told<N>)>,
    commands: mpsc::Receiver<Command<N>>,
    /// Whether a handle is left.
    has_handles: bool,
    pub(crate) events: Option<mpsc::Sender<Event<N>>>,
    /// What the application has no room for yet.
    pub(crate) undelivered: VecDeque<Event<N>>,
    pub(crate) subscribers: Vec<Subscriber<N>>,
    pub(crate) asked: Waiting<N>,
    pub(crate) store: Option<(Arc<Store>, Realm)>,
    store_at: Instant,
    pub(crate) wall: fn() -> UnixTime,
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
        // As set; what the table has is the net below.
        let deadlines = setup.peers.deadlines.clone();
        setup.peers.check()?;
        let backlog = setup.peers.backlog;
        Ok(Self {
            table: Table::new(setup.peers.as_safety_net(), setup.status, seed, now.at)?,
            network: Arc::new(setup.network),
            book,
            admission: Admission::new(setup.admission),
            deadlines,
            sessions: BTreeMap::new(),
            permits: BTreeMap::new(),
            in_book: BTreeMap::new(),
            occupied: Occupied::default(),
            may_dial: true,
            look_at: Instant::now(),
            backlog,
            finders: setup.finders.into_iter().map(Found::new).collect(),
            found_by: FoundBy::default(),
            ourselves: Ourselves::default(),
            hosts: Hosts::default(),
            is_hungry: true,
            resolving: JoinSet::new(),
            counters: Counters::default(),
            tallies: Tallies::default(),
            accept_again: None,
            stopping: None,
            listeners: setup.listeners,
            tasks: JoinSet::new(),
            tell,
            told,
            commands,
            has_handles: true,
            events: Some(events),
            undelivered: VecDeque::new(),
            subscribers: Vec::new(),
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
                Woken::Command(None) => {
                    self.has_handles = false;
                    self.stop(None);
                }
                Woken::Accepted(accepted) => {
                    self.catch_up();
                    self.accepted_and_more(accepted);
                }
                Woken::Found(found) => self.found(found),
                Woken::Resolved(key, result) => {
                    let now = self.book_now();
                    self.book.resolved(now, &key, result);
                    self.may_dial = true;
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
                Woken::Time => self.on_time(),
            }
        }
        self.finish().await;
    }

    /// Hears what sessions have told by now, before anybody new is taken in: whoever has finished its
    /// handshake must not be displaced as one who has not.
    fn catch_up(&mut self) {
        for _ in 0..TOLD {
            let Ok((id, told)) = self.told.try_recv() else {
                return;
            };
            self.heard(id, told);
        }
    }

    fn on_time(&mut self) {
        let now = self.now();
        self.table.handle_timeout(now);
        let due = self.book.wakeup().is_some_and(|wakeup| wakeup.at <= now);
        let looks = self.look_at <= Instant::now();
        if looks {
            self.look_at = Instant::now() + LOOK_EVERY;
            self.ask_somebody_again();
        }
        self.may_dial |= due || looks;
        let now = self.book_now();
        self.book.handle_timeout(now);
    }

    /// Whether the application takes so little that nothing new is begun.
    pub(crate) fn is_behind(&self) -> bool {
        self.undelivered.len() >= self.backlog
    }

    /// Waits for the next thing to do.
    async fn woken(&mut self) -> Woken<N> {
        let wakeup = self.wakeup();
        let is_open = self.stopping.is_none() && !self.is_behind();
        let accepts = is_open && self.accept_again.is_none_or(|at| at <= Instant::now());
        let wants_candidates = is_open;
        let (is_hungry, has_handles) = (self.is_hungry, self.has_handles);
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
        let accepted = poll_fn(|cx| poll_accept(listeners, cx));
        let found = poll_fn(|cx| poll_found(finders, is_hungry, cx));
        // In no order: whoever talks without end must not keep the others waiting, time among them.
        tokio::select! {
            command = self.commands.recv(), if has_handles => Woken::Command(command),
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
            self.stopping.as_ref().map(|stopping| stopping.until),
            self.store.is_some().then_some(self.store_at),
            self.stopping.is_none().then_some(self.look_at),
        ];
        let soonest = times.into_iter().flatten().min();
        soonest.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    /// Brings everything to rest: what the machines want done is done.
    fn settle(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.deliver();
        loop {
            self.table.set_undelivered(self.undelivered.len());
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
            // How much it was does not matter here.
            let _taken = self.keep_book();
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

    /// Gives the store what changed, and returns how much that was. It never waits; what there is no
    /// room for stays in the book.
    pub(crate) fn keep_book(&mut self) -> usize {
        let Some((store, realm)) = &self.store else {
            return 0;
        };
        store.drain(realm, (self.wall)(), &mut self.book)
    }
}

//! The one task that owns the machine and its sockets.
//!
//! ```text
//! perform what the machine wants ──► wait: command, datagrams, room to send or to tell, timer
//!            ▲                                      │
//!            └──────────── change the machine ◄─────┘
//! ```

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::time::Duration;

use peerage_discv5::discovery::{self, Action, Event, Received, RequestHandle, SearchId};
use peerage_discv5::record::Family;
use peerage_discv5::{Discovery, Record};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use crate::command::{Answered, Ask, Command, Hunt, Hunted};
use crate::lanes::Lanes;
use crate::ports::{Ports, Ready};
use crate::socket::Sockets;
use crate::talk::{TalkAnswerError, TalkRequest};

/// How many commands wait, at the most.
pub(crate) const COMMANDS: usize = 256;

/// How many commands are obeyed before anything else has its turn.
const BATCH: usize = 32;

/// How long to wait when receiving goes wrong again and again.
const RECEIVE_PAUSE: Duration = Duration::from_millis(10);

/// The counters of the machine, and those of the service around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The machine's.
    pub discovery: discovery::Metrics,
    /// Datagrams that the system refused to send: no route, for instance.
    pub send_failed: u64,
    /// Datagrams that found no room.
    pub send_dropped: u64,
    /// Errors while receiving.
    pub receive_failed: u64,
    /// Datagrams longer than the buffer.
    pub cut: u64,
    /// TALK requests answered with nothing because the application was slow.
    pub talks_refused: u64,
    /// Events that the gossip lane left out.
    pub gossip_lost: u64,
    /// Foreign datagrams left out.
    pub foreign_lost: u64,
}

/// Who waits for what. Bounded by the machine's own limits.
#[derive(Debug, Default)]
struct Waiting {
    requests: BTreeMap<RequestHandle, oneshot::Sender<Answered>>,
    searches: BTreeMap<SearchId, oneshot::Sender<Hunted>>,
}

/// What there is to do.
enum Wake {
    Command(Option<Command>),
    Ready(Ready),
    Lane,
    Timer,
}

#[derive(Debug)]
pub(crate) struct Owner {
    discovery: Discovery,
    ports: Ports,
    waiting: Waiting,
    talks: BTreeMap<Vec<u8>, mpsc::Sender<TalkRequest>>,
    finders: Vec<mpsc::Sender<Record>>,
    lanes: Lanes,
    talks_refused: u64,
    own_commands: mpsc::WeakSender<Command>,
    /// The last to be dropped: whoever closes the service waits for that.
    commands: mpsc::Receiver<Command>,
}

impl Owner {
    pub(crate) fn new(
        discovery: Discovery,
        sockets: Sockets,
        lanes: Lanes,
        commands: mpsc::Receiver<Command>,
        own_commands: mpsc::WeakSender<Command>,
    ) -> Self {
        Self {
            discovery,
            ports: Ports::new(sockets),
            waiting: Waiting::default(),
            talks: BTreeMap::new(),
            finders: Vec::new(),
            lanes,
            talks_refused: 0,
            own_commands,
            commands,
        }
    }

    /// Runs until it is closed, or nobody is left who could.
    pub(crate) async fn run(mut self, upkeep: bool) {
        if upkeep {
            self.discovery.start(now());
        }
        let mut timer = pin!(sleep(Duration::ZERO));
        loop {
            self.perform();
            let wakeup = self.discovery.poll_timeout();
            let wake_at = wakeup.map(|wakeup| Instant::from_std(wakeup.at));
            if wake_at.is_some_and(|at| at <= Instant::now()) {
                self.discovery.handle_timeout(now());
                self.perform();
            }
            // A timer that is early does no harm, and setting one is dearer than an idle turn.
            if let Some(at) = wake_at
                && (at < timer.deadline() || timer.is_elapsed())
            {
                timer.as_mut().reset(at);
            }
            let is_open = match self.wait(timer.as_mut(), wake_at.is_some()).await {
                Wake::Command(first) => self.take_commands(first),
                Wake::Ready(Ready::Readable(family)) => {
                    if self.receive(family) {
                        // More is there; others on this thread have their turn first.
                        tokio::task::yield_now().await;
                    }
                    if self.ports.is_failing() {
                        sleep(RECEIVE_PAUSE).await;
                    }
                    true
                }
                Wake::Ready(Ready::Writable(family)) => {
                    self.ports.send_unsent(family);
                    true
                }
                Wake::Lane => {
                    self.lanes.pump();
                    true
                }
                Wake::Timer => true,
            };
            if !is_open {
                break;
            }
        }
        // Requests end as closed rather than as unanswered; searches with what they have.
        self.waiting.requests.clear();
        self.discovery.close();
        self.perform();
    }

    async fn wait(&mut self, timer: Pin<&mut Sleep>, is_timed: bool) -> Wake {
        let (ports, lanes) = (&self.ports, &self.lanes);
        tokio::select! {
            command = self.commands.recv() => Wake::Command(command),
            ready = ports.ready() => Wake::Ready(ready),
            _ = lanes.control.reserve(), if lanes.is_pending() => Wake::Lane,
            () = timer, if is_timed => Wake::Timer,
        }
    }

    /// Takes what has come on a socket; true if more may be there.
    fn receive(&mut self, family: Family) -> bool {
        let Self {
            discovery,
            ports,
            lanes,
            ..
        } = self;
        ports.receive(family, |from, datagram| {
            let received = discovery.handle_datagram(now(), from, datagram);
            if received == Received::Foreign {
                lanes.foreign(from.into(), datagram);
            }
        })
    }

    /// Does what the machine wants done.
    fn perform(&mut self) {
        while let Some(action) = self.discovery.poll_action() {
            match action {
                Action::Transmit { to, datagram } => self.ports.transmit(to, datagram),
                Action::Event(event) => self.on_event(event),
            }
        }
        self.ports.flush();
    }

    fn on_event(&mut self, event: Event) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others go to a lane")]
        match event {
            Event::Answered { request, result } => {
                if let Some(reply) = self.waiting.requests.remove(&request) {
                    // Whoever asked may have gone.
                    drop(reply.send(result));
                }
            }
            Event::SearchDone { search, nodes } => {
                if let Some(reply) = self.waiting.searches.remove(&search) {
                    drop(reply.send(Ok(nodes)));
                }
            }
            Event::Talk {
                ticket,
                contact,
                record,
                protocol,
                payload,
            } => self.on_talk(TalkRequest {
                contact,
                record,
                protocol,
                payload,
                ticket,
                commands: self.own_commands.clone(),
            }),
            event => {
                if let Event::Found(record) | Event::SessionUp { record, .. } = &event {
                    tell(&mut self.finders, record);
                }
                self.lanes.tell(event);
            }
        }
    }

    fn on_talk(&mut self, request: TalkRequest) {
        let ticket = request.ticket;
        let Some(application) = self.talks.get(&request.protocol) else {
            self.discovery.answer_talk(ticket, b"");
            return;
        };
        match application.try_send(request) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.talks_refused += 1;
                self.discovery.answer_talk(ticket, b"");
            }
            Err(mpsc::error::TrySendError::Closed(request)) => {
                self.talks.remove(&request.protocol);
                self.discovery.unregister_talk(&request.protocol);
                self.discovery.answer_talk(ticket, b"");
            }
        }
    }

    /// Obeys the commands that are there; false if the service is to end.
    fn take_commands(&mut self, first: Option<Command>) -> bool {
        let mut next = first;
        for left in (0..BATCH).rev() {
            match next {
                None | Some(Command::Close) => return false,
                Some(command) => self.obey(command),
            }
            if left == 0 || self.commands.is_empty() {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        true
    }

    fn obey(&mut self, command: Command) {
        let now = now();
        let discovery = &mut self.discovery;
        match command {
            Command::Request { to, ask, reply } => {
                let made = match &ask {
                    Ask::Ping => discovery.start_ping(now, &to),
                    Ask::FindNode(distances) => discovery.start_find_node(now, &to, distances),
                    Ask::Talk { protocol, payload } => {
                        discovery.start_talk(now, &to, protocol, payload)
                    }
                };
                match made {
                    Ok(request) => drop(self.waiting.requests.insert(request, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::Search { hunt, reply } => {
                let made = match hunt {
                    Hunt::Lookup(target) => discovery.start_lookup(now, target),
                    Hunt::Query(target) => discovery.start_query(now, target),
                    Hunt::RandomQuery(filter) => discovery.start_random_query(now, filter),
                    Hunt::Resolve(node) => discovery.start_resolve(now, node),
                };
                match made {
                    Ok(search) => drop(self.waiting.searches.insert(search, reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Command::With(job) => job(discovery, now),
            Command::RegisterTalk {
                protocol,
                requests,
                reply,
            } => {
                // The application may have dropped the last one without a request since.
                if self
                    .talks
                    .get(&protocol)
                    .is_some_and(mpsc::Sender::is_closed)
                {
                    discovery.unregister_talk(&protocol);
                }
                let is_new = discovery.register_talk(&protocol).is_ok();
                if is_new {
                    self.talks.insert(protocol, requests);
                }
                let _nobody_waits = reply.send(is_new);
            }
            Command::AnswerTalk {
                ticket,
                payload,
                reply,
            } => {
                let in_time = discovery.answer_talk(ticket, &payload);
                let answered = in_time.then_some(()).ok_or(TalkAnswerError::TooLate);
                let _nobody_waits = reply.send(answered);
            }
            Command::AddFinder(finder) => {
                for record in discovery.good_nodes() {
                    // As many as fit; the others come again with a search.
                    if finder.try_send(record.clone()).is_err() {
                        break;
                    }
                }
                self.finders.push(finder);
            }
            Command::Metrics(reply) => drop(reply.send(self.metrics())),
            // Seen by whoever takes the commands.
            Command::Close => {}
        }
    }

    fn metrics(&self) -> Metrics {
        let (gossip_lost, foreign_lost) = self.lanes.lost();
        let troubles = self.ports.troubles;
        Metrics {
            discovery: self.discovery.metrics(),
            send_failed: troubles.send_failed,
            send_dropped: troubles.send_dropped,
            receive_failed: troubles.receive_failed,
            cut: troubles.cut,
            talks_refused: self.talks_refused,
            gossip_lost,
            foreign_lost,
        }
    }
}

/// Tells every finder that is still there and has room.
fn tell(finders: &mut Vec<mpsc::Sender<Record>>, record: &Record) {
    finders.retain(|finder| {
        let sent = finder.try_send(record.clone());
        !matches!(sent, Err(mpsc::error::TrySendError::Closed(_)))
    });
}

/// Time as the machine counts it. Under a paused clock it stands still with Tokio's.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

//! Starting the nodes of a plan, each by its type; from there on they look alike.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerage::core::Network;
use peerage::devp2p::{ForkFilter, Message, eth};
use peerage::discv5::Record;
use peerage::find::{self, Bind, Finder, Search};
use peerage::net::Listener;
use peerage::networks::{BoxFuture, Builtin, Described, PeerFacts};
use peerage::node::book::{BanWish, By, Key};
use peerage::node::peers::{Closed, Limits, Misdeed, Phase, SessionId};
use peerage::node::store::{Realm, Store};
use peerage::node::{
    Change, Changed, Customs, Event, EventsOf, HandleOf, Keeper, Keeps, Node, Overview, Wired,
};
use peerage::outside::{self, Advertiser, Listening};
use peerage::{
    ConnectedAddr, Decred, Direction, Endpoint, Ethereum, Greeter, MessageOf, Protocol, Reason,
    Zcash,
};
use tokio::sync::{mpsc, watch};

use super::api::{Feed, Gate, Shown};
use super::plan::{DiscoveryPlan, NodePlan};
use super::reload::Turn;
use crate::args::{destination, record};
use crate::data::{self, edit, place};
use crate::disc::show::bind;
use crate::output::{Failed, environment, misused, usage};
use crate::trouble;

/// A node at work.
pub(super) struct Running {
    pub(super) realm: Realm,
    /// Where it listens.
    pub(super) addrs: Vec<Endpoint>,
    /// The same as others write it.
    pub(super) addresses: Vec<String>,
    /// How discovery knows it.
    pub(super) record: Option<Record>,
    node: Box<dyn Served>,
    discovery: Option<find::Handle>,
    telling: Option<Telling>,
    /// Where peers are told to dial us.
    dialable: Option<Endpoint>,
    /// The tables of its network, as they were read last.
    tables: String,
}

/// What says where a node is.
struct Telling {
    advertiser: Mutex<Option<Advertiser>>,
    /// What it tells now.
    told: watch::Receiver<outside::Told>,
    /// For the one who waits for news: what was not waited for is news the next time.
    news: tokio::sync::Mutex<watch::Receiver<outside::Told>>,
}

impl Telling {
    fn new(advertiser: Advertiser) -> Self {
        Self {
            told: advertiser.subscribe(),
            news: tokio::sync::Mutex::new(advertiser.subscribe()),
            advertiser: Mutex::new(Some(advertiser)),
        }
    }

    /// Gives the router its ports back.
    async fn close(&self) {
        let advertiser = self.advertiser.lock().ok().and_then(|mut it| it.take());
        if let Some(advertiser) = advertiser {
            advertiser.close().await;
        }
    }
}

impl Running {
    /// What it tells of itself, if anything decides on that.
    pub(super) fn told(&self) -> Option<outside::Told> {
        Some(self.telling.as_ref()?.told.borrow().clone())
    }

    /// Waits until it tells something else; for ever if it tells nothing.
    pub(super) async fn told_otherwise(&self) {
        if let Some(telling) = &self.telling
            && telling.news.lock().await.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Its figures; nothing once it has stopped.
    pub(super) async fn figures(&self) -> Option<Overview> {
        self.node.figures().await
    }

    /// As programs see it.
    fn shown(&self) -> Shown {
        let record = self.record.as_ref().map(ToString::to_string);
        Shown {
            network: self.realm.network.to_string(),
            chain: self.realm.chain.to_string(),
            listens: self.addrs.iter().map(ToString::to_string).collect(),
            addresses: self.addresses.clone(),
            record: record.unwrap_or_default(),
        }
    }

    /// Other limits, bans and pins.
    pub(super) async fn grant(&self, turn: Turn) -> Result<Changed, Failed> {
        self.node.grant(turn).await
    }

    /// Reads the tables anew. If they are others, or what is claimed is, the node is made ready for
    /// them; nothing has changed yet.
    pub(super) fn prepare(&self, plan: &NodePlan, claims: bool) -> Result<Renewal, Failed> {
        let (tables, apply) = self.node.prepare(plan, self.dialable)?;
        let differ = tables != self.tables;
        let forks = match &self.discovery {
            Some(_) => Some(greeter::<Ethereum>(plan)?.local().forks(data::now().wall)),
            None => None,
        };
        Ok(Renewal {
            differ,
            apply: (differ || claims).then_some((tables, apply, forks)),
        })
    }

    /// Does what was prepared, which cannot fail; nothing if the node has stopped.
    pub(super) async fn renew(&mut self, renewal: Renewal) -> Changed {
        let Some((tables, apply, forks)) = renewal.apply else {
            return Changed::default();
        };
        let changed = apply.await;
        if let (Some(discovery), Some(forks)) = (&self.discovery, forks) {
            let entry = forks.record_entry();
            let updated = discovery.update_record(|record| record.raw("eth", entry));
            // Without discovery there is no record to keep true.
            drop(updated.await);
        }
        self.tables = tables;
        changed.unwrap_or_default()
    }

    /// Peers met from now on are told where we are decided to be. A node with discovery has a record
    /// that says it.
    pub(super) async fn follow(&mut self) {
        if self.discovery.is_some() {
            return;
        }
        let Some(told) = self.told() else { return };
        let chosen = told.decisions.iter().find_map(|decision| decision.chosen);
        let at = chosen.map(|chosen| chosen.endpoint);
        if at != self.dialable {
            self.dialable = at;
            self.node.announce(at).await;
        }
    }

    /// Says goodbye to everybody.
    pub(super) async fn stop(&self) {
        if let Some(telling) = &self.telling {
            telling.close().await;
        }
        if let Some(discovery) = &self.discovery {
            discovery.close().await;
        }
        self.node.stop().await;
    }
}

/// What a node does about new tables, once it is awaited.
type Apply = BoxFuture<'static, Option<Changed>>;

/// New tables that were read and found without a mistake.
pub(super) struct Renewal {
    /// Whether they are others than before.
    pub(super) differ: bool,
    /// What is to be done, if anything.
    apply: Option<(String, Apply, Option<ForkFilter>)>,
}

/// A node whose network is forgotten.
trait Served: Send + Sync {
    fn figures(&self) -> BoxFuture<'_, Option<Overview>>;

    /// See [`Running::grant`].
    fn grant(&self, turn: Turn) -> BoxFuture<'_, Result<Changed, Failed>>;

    /// The tables as they are now, and how the node takes them up.
    fn prepare(&self, plan: &NodePlan, at: Option<Endpoint>) -> Result<(String, Apply), Failed>;

    /// See [`Running::follow`].
    fn announce(&self, at: Option<Endpoint>) -> Apply;

    fn stop(&self) -> BoxFuture<'_, ()>;
}

/// A node's handle, and how it greets now.
struct Typed<N: Keeps>(HandleOf<N>, Arc<Mutex<Greeter<N>>>);

impl<N: Keeps + Described> Typed<N> {
    /// The node greets like this from now on.
    fn apply(&self, greeter: Greeter<N>) -> Apply {
        let (handle, now) = (self.0.clone(), Arc::clone(&self.1));
        Box::pin(async move {
            // Only whoever panics with it leaves it unusable.
            if let Ok(mut now) = now.lock() {
                *now = greeter.clone();
            }
            let change = Change {
                network: Some(Keeper::judging(greeter)),
                ..Change::default()
            };
            // A change without a wish is refused by nobody.
            handle.reconfigure(change).await.ok()?.ok()
        })
    }
}

impl<N: Keeps + Described> Served for Typed<N> {
    fn grant(&self, turn: Turn) -> BoxFuture<'_, Result<Changed, Failed>> {
        Box::pin(async move {
            let change = Change {
                limits: turn.limits,
                wishes: turn.wishes,
                ..Change::default()
            };
            let changed = self.0.reconfigure(change).await.map_err(usage)?;
            changed.map_err(usage)
        })
    }

    fn prepare(&self, plan: &NodePlan, at: Option<Endpoint>) -> Result<(String, Apply), Failed> {
        let mut greeter = greeter::<N>(plan)?;
        N::set_listen_addr(greeter.local_mut(), at);
        Ok((tables::<N>(plan)?, self.apply(greeter)))
    }

    fn announce(&self, at: Option<Endpoint>) -> Apply {
        let Ok(mut greeter) = self.1.lock().map(|now| now.clone()) else {
            return Box::pin(std::future::ready(None));
        };
        N::set_listen_addr(greeter.local_mut(), at);
        self.apply(greeter)
    }

    fn figures(&self) -> BoxFuture<'_, Option<Overview>> {
        Box::pin(async { self.0.overview().await.ok() })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.stop().await })
    }
}

/// What happened, in terms that all networks share.
pub(super) enum Told {
    Established {
        id: SessionId,
        key: Key,
        addr: ConnectedAddr,
        facts: Box<PeerFacts>,
    },
    Closed(Box<End>),
    Misbehaved {
        id: SessionId,
        misdeed: Misdeed,
        strikes: u32,
    },
    Incompatible {
        id: SessionId,
        key: Key,
        reason: Reason,
    },
    Stalled {
        lost: Duration,
    },
}

/// The end of an attempt or a session.
pub(super) struct End {
    pub(super) id: SessionId,
    pub(super) key: Option<Key>,
    pub(super) addr: Option<ConnectedAddr>,
    pub(super) direction: Direction,
    pub(super) was_established: bool,
    pub(super) ending: &'static str,
    pub(super) reason: Reason,
    pub(super) lasted: Duration,
    /// Pings of ours that were answered, and of theirs.
    pub(super) pongs: [u64; 2],
    /// The last round trip.
    pub(super) rtt: Option<Duration>,
}

/// Of which node, and what.
pub(super) type Tell = mpsc::Sender<(usize, Told)>;

/// What a peer's request is answered with, if with anything.
type Answer<N> = fn(&MessageOf<N>) -> Option<MessageOf<N>>;

/// Starts a node; `number` is its place in the plan.
pub(super) async fn start(
    plan: &NodePlan,
    number: usize,
    folder: &Path,
    store: &Arc<Store>,
    (tell, gate): (Tell, &mut Gate),
) -> Result<Running, Failed> {
    operator(plan, store)?;
    let name = plan.network.network();
    let store = Arc::clone(store);
    let launch = Launch {
        number,
        store,
        tell,
        gate,
        record: None,
    };
    let started = if name == Zcash::NETWORK {
        family::<Zcash>(plan, launch)
    } else if name == Decred::NETWORK {
        family::<Decred>(plan, launch)
    } else if name == Ethereum::NETWORK {
        ethereum(plan, launch).await
    } else {
        Err(misused(format!("{name} cannot be served")))
    };
    started.map_err(|error| error.within(format!("{name} in {}", folder.display())))
}

/// Puts what the operator wants into the book, before anybody is dialled from it.
fn operator(plan: &NodePlan, store: &Store) -> Result<(), Failed> {
    let node = plan.network.node(&plan.setup).map_err(usage)?;
    edit(store, &plan.realm(), |book, now| {
        for BanWish {
            subject,
            term,
            words,
        } in &plan.bans
        {
            // An end that was set before is not moved at each start.
            let stands = book
                .bans()
                .of(subject)
                .is_some_and(|ban| ban.by == By::Operator);
            if !stands {
                let banned = book.ban(now, subject.clone(), By::Operator, *term, words);
                banned.map_err(usage)?;
            }
        }
        for (peer, role) in &plan.pins {
            let (identity, address) = place(&destination(peer, &*node)?)?;
            let pinned = book.pin(now, identity, address, *role);
            pinned.map_err(|error| usage(error).within(peer.clone()))?;
        }
        Ok(())
    })
}

/// What starting takes besides the plan.
struct Launch<'a> {
    number: usize,
    store: Arc<Store>,
    tell: Tell,
    gate: &'a mut Gate,
    /// How discovery knows the node.
    record: Option<Record>,
}

/// How many sessions a network has when nothing is said.
pub(super) fn customary(network: Network) -> Option<Limits> {
    let customs = if network == Zcash::NETWORK {
        Zcash::customs()
    } else if network == Decred::NETWORK {
        Decred::customs()
    } else if network == Ethereum::NETWORK {
        Ethereum::customs()
    } else {
        return None;
    };
    Some(customs.limits)
}

/// The tables of a plan's network as they are now, to be compared.
fn tables<N: Described>(plan: &NodePlan) -> Result<String, Failed> {
    let table = plan.setup.tables.load(N::NETWORK, N::builtin_table);
    Ok(format!("{:?}", table.map_err(usage)?))
}

/// The node of a plan as its network knows it.
fn greeter<N: Described>(plan: &NodePlan) -> Result<Greeter<N>, Failed> {
    let setup = &plan.setup;
    let table = setup.tables.load(N::NETWORK, N::builtin_table);
    let table = table.map_err(usage)?;
    let greeter = Greeter::<N>::on(&table, &setup.chain).map_err(usage)?;
    let mut greeter = greeter.through(setup.route.clone()).with_key(&plan.key);
    if setup.isolated {
        greeter = greeter.isolated();
    }
    N::apply(greeter.local_mut(), &setup.options).map_err(usage)?;
    Ok(greeter)
}

/// Binds the listeners of a plan, and tells the node where it can be dialled.
fn listen<N: Described>(
    plan: &NodePlan,
    greeter: &mut Greeter<N>,
) -> Result<Vec<Listener>, Failed> {
    let listeners = plan.listen.iter().map(|at| {
        let bound = Listener::bind(*at);
        bound.map_err(|error| trouble::listening(*at, error))
    });
    let listeners: Vec<_> = listeners.collect::<Result<_, _>>()?;
    let ends = listeners.iter().filter_map(|one| one.local_endpoint().ok());
    let ends: Vec<Endpoint> = ends.collect();
    N::set_listen_addr(greeter.local_mut(), plan.dialable(&ends));
    Ok(listeners)
}

fn family<N: Customs + Builtin>(plan: &NodePlan, launch: Launch<'_>) -> Result<Running, Failed> {
    let mut greeter = greeter::<N>(plan)?;
    let listeners = listen(plan, &mut greeter)?;
    let mut chain = (*greeter.local().chain).clone();
    if !plan.seeds.table {
        chain.dns_seeds.clear();
        chain.https_seeds.clear();
    }
    chain.dns_seeds.extend(plan.seeds.dns.iter().cloned());
    chain.https_seeds.extend(plan.seeds.https.iter().cloned());
    greeter.local_mut().chain = Arc::new(chain);
    let mut finders = find::seeds(&greeter).map_err(usage)?;
    if !plan.seeds.peers.is_empty() {
        let targets = plan.seeds.peers.iter().map(|peer| {
            let to = greeter.destination(peer);
            to.map(|to| to.target)
                .map_err(|error| misused(format!("{peer:?} cannot be asked: {error}")))
        });
        let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
        finders.push(Box::new(find::peers(&greeter, targets)));
    }
    let telling = tell_of(plan, &listeners);
    let running = run(plan, greeter, (listeners, finders), launch, |_| None)?;
    Ok(Running { telling, ..running })
}

/// For a node without discovery: what says where it is, if the operator wants to know.
fn tell_of(plan: &NodePlan, listeners: &[Listener]) -> Option<Telling> {
    let truth = &plan.truth;
    if truth.external.is_empty() && truth.stun.is_empty() && !truth.map_ports {
        return None;
    }
    let ends = listeners.iter().filter_map(|one| one.local_endpoint().ok());
    let ends: Vec<Endpoint> = ends.collect();
    let advertise = truth.advertise(ends.first().map(Endpoint::port));
    let advertiser = Advertiser::start(advertise, &Listening::at(ends), None);
    Some(Telling::new(advertiser))
}

async fn ethereum(plan: &NodePlan, mut launch: Launch<'_>) -> Result<Running, Failed> {
    let mut greeter = greeter::<Ethereum>(plan)?;
    let listeners = listen(plan, &mut greeter)?;
    let mut finders: Vec<Box<dyn Finder>> = Vec::new();
    let (discovery, telling) = if let Some(discovery) = &plan.discovery {
        let (handle, listening) = discover(plan, discovery, &greeter, &listeners)?;
        let tcp = listeners.first().and_then(|one| one.local_endpoint().ok());
        let advertise = plan.truth.advertise(tcp.map(|at| at.port()));
        let advertiser = Advertiser::start(advertise, &listening, Some(handle.clone()));
        let ended = |error| environment(error, "cannot look for nodes");
        // Those of other forks are wanted too: the book keeps their reason.
        let search = Search::wanting(|record| {
            let at = record.tcp4_endpoint().or_else(|| record.tcp6_endpoint());
            at.is_some() && record.raw("eth").is_some()
        });
        let finder = handle.finder(Ethereum::NETWORK, search).await;
        finders.push(Box::new(finder.map_err(ended)?));
        advertiser.ready().await;
        launch.record = Some(handle.record().await.map_err(ended)?);
        (Some(handle), Some(Telling::new(advertiser)))
    } else {
        (None, tell_of(plan, &listeners))
    };
    let running = run(plan, greeter, (listeners, finders), launch, nothing)?;
    Ok(Running {
        discovery,
        telling,
        ..running
    })
}

/// The truth of a node without a chain.
fn nothing(asked: &Message) -> Option<Message> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others ask nothing")]
    match asked {
        Message::Eth(eth::Message::Request(asked)) => {
            Some(Message::Eth(eth::Message::Response(asked.empty_answer())))
        }
        _ => None,
    }
}

/// Discovery under the node's key, with a record that says which forks it follows and where.
fn discover(
    plan: &NodePlan,
    discovery: &DiscoveryPlan,
    greeter: &Greeter<Ethereum>,
    listeners: &[Listener],
) -> Result<(find::Handle, Listening), Failed> {
    let ends = listeners.iter().filter_map(|one| one.local_endpoint().ok());
    let ends: Vec<SocketAddr> = ends.map(|end| end.socket_addr()).collect();
    let wanted = match &discovery.bind[..] {
        [] if ends.is_empty() => &[SocketAddr::from(([0, 0, 0, 0], 0))],
        [] => &ends[..],
        given => given,
    };
    let at = wanted
        .iter()
        .fold(Bind::default(), |at, addr| at.and(*addr));
    let sockets = bind(&at)?;
    let local = greeter.local();
    let mut setup = find::setup(&plan.key, &sockets);
    let forks = local.forks(data::now().wall);
    let mut record_of = setup.record.raw("eth", forks.record_entry());
    for end in ends {
        record_of = match end {
            SocketAddr::V4(end) => record_of.tcp4(end.port()),
            SocketAddr::V6(end) => record_of.tcp6(end.port()),
        };
    }
    setup.record = record_of;
    let listening = Listening::of(&sockets);
    setup.boot = match &discovery.boot {
        Some(boot) => boot.clone(),
        None => {
            let of_table = local.chain.discv5_records.iter();
            let of_table: Result<Vec<_>, _> = of_table.map(|text| record(text)).collect();
            of_table.map_err(|error| misused(format!("a record of the table: {error}")))?
        }
    };
    let running = find::start(setup, sockets).map_err(usage)?;
    Ok((running.handle, listening))
}

/// Starts the node and the task that tells what happens in it.
fn run<N: Wired + Described>(
    plan: &NodePlan,
    greeter: Greeter<N>,
    (listeners, finders): (Vec<Listener>, Vec<Box<dyn Finder>>),
    launch: Launch<'_>,
    answer: Answer<N>,
) -> Result<Running, Failed> {
    let realm = plan.realm();
    let found_at = |at: &Endpoint| N::shown(&N::found_at(greeter.local(), *at));
    let ends = listeners.iter().filter_map(|one| one.local_endpoint().ok());
    let addrs: Vec<Endpoint> = ends.collect();
    let addresses: Vec<String> = addrs.iter().map(found_at).collect();
    let mut node = Node::new(greeter.clone())
        .with_finders(finders)
        .with_store(launch.store, realm.clone());
    for listener in listeners {
        node = node.with_listener(listener);
    }
    node.setup_mut().book.local = plan.local;
    let limits = &mut node.setup_mut().peers.limits;
    if let Some(inbound) = plan.inbound {
        limits.active_in = inbound.into();
    }
    if let Some(outbound) = plan.outbound {
        limits.active_out = outbound.into();
    }
    if let Some(ping) = plan.ping {
        let keepalive = &mut node.setup_mut().peers.keepalive;
        // More seldom than is customary would be death to some.
        keepalive.first = keepalive.first.min(ping);
        keepalive.interval = keepalive.interval.min(ping);
    }
    let started = node.start();
    let (handle, events) = started.map_err(|error| environment(error, "cannot start the node"))?;
    let served = Typed::<N>(handle.clone(), Arc::new(Mutex::new(greeter.clone())));
    let dialable = plan.dialable(&addrs);
    let record = launch.record;
    let running = Running {
        realm,
        addrs,
        addresses,
        record,
        node: Box::new(served),
        discovery: None,
        telling: None,
        dialable,
        tables: tables::<N>(plan)?,
    };
    let follower = Follower {
        feed: launch.gate.add(handle.clone(), greeter, running.shown()),
        handle,
        number: launch.number,
        tell: launch.tell,
        answer,
    };
    drop(tokio::spawn(follower.follow(events)));
    Ok(running)
}

/// Who hears of what happens in a node.
struct Follower<N: Wired> {
    feed: Feed<N>,
    handle: HandleOf<N>,
    number: usize,
    tell: Tell,
    answer: Answer<N>,
}

impl<N: Wired + Described> Follower<N> {
    /// Passes on what happens until the node has stopped.
    async fn follow(self, mut events: EventsOf<N>) {
        while let Some(event) = events.next().await {
            let is_taken = self.feed.tell(&event);
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "whoever has no chain has no use for the rest"
            )]
            let told = match event {
                Event::Established {
                    id,
                    key,
                    addr,
                    profile,
                } => {
                    let facts = Box::new(N::facts(&profile, 0));
                    Told::Established {
                        id,
                        key,
                        addr,
                        facts,
                    }
                }
                Event::Closed(closed) => Told::Closed(Box::new(end(*closed))),
                Event::Request { .. } if is_taken => continue,
                Event::Request { token, message } => {
                    // A session that is over needs no answer, nor does a node that stops.
                    match (self.answer)(&message) {
                        Some(words) => drop(self.handle.respond(token, words).await),
                        None => drop(self.handle.refuse(token).await),
                    }
                    continue;
                }
                Event::Misbehaved {
                    id,
                    misdeed,
                    strikes,
                } => Told::Misbehaved {
                    id,
                    misdeed,
                    strikes,
                },
                Event::Incompatible { id, key, reason } => Told::Incompatible { id, key, reason },
                Event::Stalled { lost } => Told::Stalled { lost },
                // That a connection was one too many stands in its end.
                _ => continue,
            };
            if self.tell.send((self.number, told)).await.is_err() {
                return;
            }
        }
    }
}

fn end<T: peerage::node::peers::Types<Identity = Key>>(closed: Closed<T>) -> End {
    End {
        id: closed.id,
        key: closed.identity,
        addr: closed.addr,
        direction: closed.direction,
        was_established: closed.phase == Phase::Active,
        ending: closed.ending.name(),
        reason: closed.reason,
        lasted: closed.lasted,
        pongs: [closed.tally.pongs_in, closed.tally.pongs_out],
        rtt: closed.rtt.map(|rtt| rtt.latest),
    }
}

//! A running node as the API sees it, whatever its network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerage::net::Host;
use peerage::networks::{BoxFuture, Described, PeerFacts};
use peerage::node::book::{
    Address, Ban, Identity, Imported, Key, Name, Page, Role, Snapshot as BookOf, Source, Story,
    Subject, Tip, Which,
};
use peerage::node::peers::{Misdeed, Parting, Phase, SessionId, Snapshot, Token};
use peerage::node::{Event, HandleOf, Payload, Question, Stopped, WhatWasAsked, Wired};
use peerage::{ConnectedAddr, Endpoint, Greeter};

use crate::board::Board;
use crate::convert::{self, millis};
use crate::fault::Fault;
use crate::metrics::Counters;
use crate::select::Seen;
use crate::v1;
use v1::event::Of;

/// What was asked of a peer and came back.
pub(crate) struct Answered {
    pub(crate) payload: Payload,
    pub(crate) took: Duration,
}

/// An attempt or session, with what its handshake said.
pub(crate) type Shown = (Snapshot<Key>, Option<Arc<PeerFacts>>);

/// A node whose network is forgotten.
pub(crate) trait Served: Send + Sync {
    fn info(&self) -> &v1::NodeInfo;
    fn counters(&self) -> Counters;
    fn status(&self) -> BoxFuture<'_, Result<v1::NodeStatus, Stopped>>;
    /// All attempts and sessions, with what the handshakes said.
    fn peers(&self) -> BoxFuture<'_, Result<Vec<Shown>, Stopped>>;
    /// The session with this peer.
    fn session_of(&self, key: &Key) -> Option<SessionId>;
    /// How the peer of an established session is named.
    fn name_of(&self, id: SessionId) -> Option<v1::PeerRef>;
    fn why(&self, key: Key) -> BoxFuture<'_, Result<Vec<Story>, Stopped>>;
    /// Some of the book's candidates, in the order of their keys.
    fn page(
        &self,
        which: Which,
        after: Option<Key>,
        most: usize,
    ) -> BoxFuture<'_, Result<Page, Stopped>>;
    /// How many candidates the book has.
    fn known(&self) -> BoxFuture<'_, Result<usize, Stopped>>;
    fn import(&self, snapshot: BookOf) -> BoxFuture<'_, Result<Imported, Stopped>>;
    fn bans(&self) -> BoxFuture<'_, Result<Vec<(Subject, Ban)>, Stopped>>;
    /// Where a peer is, from its address.
    fn destination(&self, text: &str) -> Result<(Option<Identity>, Address), Fault>;
    fn pin(
        &self,
        identity: Option<Identity>,
        address: Address,
        role: Role,
    ) -> BoxFuture<'_, Result<Key, Fault>>;
    /// Tells the book of a candidate.
    fn add(
        &self,
        identity: Option<Identity>,
        address: Address,
    ) -> BoxFuture<'_, Result<Key, Fault>>;
    fn unpin(&self, key: Key) -> BoxFuture<'_, Result<bool, Stopped>>;
    /// Forgets a peer and ends its sessions; whether the book had it.
    fn forget(&self, key: Key) -> BoxFuture<'_, Result<bool, Stopped>>;
    fn ban(
        &self,
        subject: Subject,
        term: Option<Duration>,
        why: String,
    ) -> BoxFuture<'_, Result<(), Fault>>;
    fn unban(&self, subject: Subject) -> BoxFuture<'_, Result<bool, Stopped>>;
    fn disconnect(&self, id: SessionId, say: Parting) -> BoxFuture<'_, Result<(), Fault>>;
    fn hold_back(&self, id: SessionId, hold: bool) -> BoxFuture<'_, ()>;
    fn useful(&self, id: SessionId) -> BoxFuture<'_, Result<(), Stopped>>;
    fn misbehaved(&self, id: SessionId, what: Misdeed)
    -> BoxFuture<'_, Result<Option<u32>, Fault>>;
    fn send<'a>(
        &'a self,
        id: SessionId,
        payload: &'a Payload,
        gossip: bool,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    fn request<'a>(
        &'a self,
        id: SessionId,
        payload: &'a Payload,
        answer: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Answered, Fault>>;
    /// Answers a request of a peer, or ends it without; nothing where there is no such request.
    fn respond<'a>(
        &'a self,
        request: u64,
        payload: Option<&'a Payload>,
    ) -> BoxFuture<'a, Option<Result<(), Fault>>>;
}

/// What is known of an established peer.
struct Known<N: Wired> {
    info: Arc<N::Info>,
    facts: Arc<PeerFacts>,
    name: v1::PeerRef,
    key: Key,
}

/// A request of a peer that waits for an application.
struct Open {
    token: Token,
    asked: WhatWasAsked,
}

struct State<N: Wired> {
    peers: BTreeMap<SessionId, Known<N>>,
    by_key: BTreeMap<Key, SessionId>,
    requests: BTreeMap<u64, Open>,
    counters: Counters,
}

/// A node by its type.
pub(crate) struct Seat<N: Wired> {
    handle: HandleOf<N>,
    greeter: Greeter<N>,
    info: v1::NodeInfo,
    state: Mutex<State<N>>,
    /// Numbers of questions of all nodes; they grow.
    numbers: Arc<AtomicU64>,
}

impl<N: Wired + Described> Seat<N> {
    pub(crate) fn new(
        handle: HandleOf<N>,
        greeter: Greeter<N>,
        info: v1::NodeInfo,
        numbers: Arc<AtomicU64>,
    ) -> Self {
        Self {
            handle,
            greeter,
            info,
            numbers,
            state: Mutex::new(State {
                peers: BTreeMap::new(),
                by_key: BTreeMap::new(),
                requests: BTreeMap::new(),
                counters: Counters::default(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<N>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn realm(&self) -> v1::Realm {
        self.info.realm.clone().unwrap_or_default()
    }

    fn profile(&self, id: SessionId) -> Result<Arc<N::Info>, Fault> {
        let state = self.state();
        let known = state.peers.get(&id);
        known
            .map(|known| Arc::clone(&known.info))
            .ok_or_else(|| peerage::node::peers::Dead(id).into())
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn named(&self, id: SessionId, key: Option<&Key>) -> v1::PeerRef {
        v1::PeerRef {
            realm: self.info.realm.clone(),
            session: id.0,
            key: key.map(Key::to_string).unwrap_or_default(),
        }
    }

    fn established(
        &self,
        id: SessionId,
        key: &Key,
        addr: &ConnectedAddr,
        info: &N::Info,
    ) -> v1::Established {
        let facts = Arc::new(N::facts(info, 0));
        let name = self.named(id, Some(key));
        let (address, connection) = convert::place(Some(addr));
        let told = v1::Established {
            peer: Some(name.clone()),
            direction: convert::direction(addr.direction()).into(),
            address,
            connection: connection.into(),
            agent: facts.agent.to_string(),
            height: facts.height,
            speaks: facts.speaks(),
            facts: convert::facts(&facts),
        };
        let known = Known {
            info: Arc::new(info.clone()),
            facts,
            name,
            key: key.clone(),
        };
        let mut state = self.state();
        state.peers.insert(id, known);
        state.by_key.insert(key.clone(), id);
        state.counters.established(addr.direction());
        told
    }

    fn gone(&self, id: SessionId) {
        let mut state = self.state();
        if let Some(known) = state.peers.remove(&id)
            && state.by_key.get(&known.key) == Some(&id)
        {
            state.by_key.remove(&known.key);
        }
        state.requests.retain(|_, open| open.token.session != id);
    }

    /// Tells the board what happened. Returns whether an application answers, where a peer asks.
    pub(crate) fn heard(&self, node: usize, board: &Board, event: &Event<N>) -> bool {
        use v1::EventKind as Is;
        let (kind, of) = match event {
            Event::Message { id, message } => {
                self.message(node, board, *id, message);
                return false;
            }
            Event::Request { token, message } => {
                return self.request_came(node, board, *token, message);
            }
            Event::RequestGivenUp { token } => {
                let told = self.given_up(*token);
                (Is::GivenUp, Of::GivenUp(told))
            }
            Event::Established {
                id,
                key,
                addr,
                profile,
            } => {
                let told = self.established(*id, key, addr, profile);
                (Is::Established, Of::Established(told))
            }
            Event::Closed(closed) => {
                let was_peer = closed.phase == Phase::Active;
                self.gone(closed.id);
                board.forget((node, closed.id.0));
                let (address, connection) = convert::place(closed.addr.as_ref());
                let (reason, direction) = (&closed.reason, closed.direction);
                let told = v1::Closed {
                    peer: Some(self.named(closed.id, closed.identity.as_ref())),
                    direction: convert::direction(direction).into(),
                    address,
                    connection: connection.into(),
                    ending: convert::ending(closed.ending).into(),
                    reason: Some(convert::reason(reason)),
                    lasted_ms: millis(closed.lasted),
                    traffic: Some(convert::traffic(&closed.tally)),
                };
                let counters = &mut self.state().counters;
                if was_peer {
                    counters.closed(closed.ending, reason.kind);
                    (Is::Closed, Of::Closed(told))
                } else {
                    counters.failed(direction, reason.stage, reason.kind);
                    (Is::Failed, Of::Failed(told))
                }
            }
            Event::Misbehaved {
                id,
                misdeed,
                strikes,
            } => {
                self.state().counters.misbehaved(*misdeed);
                let told = v1::Misbehaved {
                    peer: Some(self.name_of(*id).unwrap_or_else(|| self.named(*id, None))),
                    misdeed: misdeed.name().to_owned(),
                    strikes: *strikes,
                };
                (Is::Misbehaved, Of::Misbehaved(told))
            }
            Event::Incompatible { id, key, reason } => {
                self.state().counters.incompatible();
                let told = v1::Incompatible {
                    peer: Some(self.named(*id, Some(key))),
                    reason: Some(convert::reason(reason)),
                };
                (Is::Incompatible, Of::Incompatible(told))
            }
            Event::AlreadyConnected { key, kept, dropped } => {
                self.state().counters.duplicate();
                let told = v1::AlreadyConnected {
                    peer: Some(self.named(*kept, Some(key))),
                    dropped: dropped.0,
                };
                (Is::AlreadyConnected, Of::AlreadyConnected(told))
            }
            Event::Stalled { lost } => {
                self.state().counters.stalled();
                let lost_ms = millis(*lost);
                (Is::Stalled, Of::Stalled(v1::Stalled { lost_ms }))
            }
            Event::Found {
                source, gave, new, ..
            } => {
                let told = v1::Found {
                    finder: source.0.to_owned(),
                    gave: convert::count(*gave),
                    new: new.iter().map(Key::to_string).collect(),
                };
                (Is::Found, Of::Found(told))
            }
            Event::Dialling {
                id,
                key,
                address,
                why,
            } => {
                let told = v1::Dialling {
                    peer: Some(self.named(*id, Some(key))),
                    address: address.to_string(),
                    why: (*why).to_owned(),
                };
                (Is::Dialling, Of::Dialling(told))
            }
            Event::LateAnswer {
                id,
                message,
                took,
                late,
                ..
            } => {
                let told = self.late(*id, message, [*took, *late]);
                (Is::LateAnswer, Of::LateAnswer(told))
            }
            // Later kinds: a test compares `HEARD` with those that there are.
            _ => return false,
        };
        let event = v1::Event {
            realm: self.info.realm.clone(),
            at_ms: crate::now_ms(),
            of: Some(of),
        };
        board.event(node, kind, event);
        false
    }

    /// A request of a peer is of no use any more.
    fn given_up(&self, token: Token) -> v1::GivenUp {
        let mut state = self.state();
        let of = |(number, open): (&u64, &Open)| (open.token == token).then_some(*number);
        let request = state.requests.iter().find_map(of).unwrap_or(0);
        state.requests.remove(&request);
        drop(state);
        let id = token.session;
        let peer = self.name_of(id).unwrap_or_else(|| self.named(id, None));
        let peer = Some(peer);
        v1::GivenUp { peer, request }
    }

    fn late(
        &self,
        id: SessionId,
        message: &peerage::MessageOf<N>,
        [took, late]: [Duration; 2],
    ) -> v1::LateAnswer {
        let known = {
            let state = self.state();
            let known = state.peers.get(&id);
            known.map(|known| (known.name.clone(), Arc::clone(&known.info)))
        };
        let payload = known
            .as_ref()
            .and_then(|(_, info)| N::payload(info, message).ok());
        v1::LateAnswer {
            peer: Some(known.map_or_else(|| self.named(id, None), |(name, _)| name)),
            message: payload.map(told),
            took_us: convert::micros(took),
            late_us: convert::micros(late),
        }
    }

    fn message(&self, node: usize, board: &Board, id: SessionId, message: &peerage::MessageOf<N>) {
        if !board.wants_message(node) {
            return;
        }
        let known = {
            let state = self.state();
            let known = state.peers.get(&id);
            known.map(|known| (known.name.clone(), Arc::clone(&known.info)))
        };
        // A message comes after its peer was told of, so it is known until it is gone.
        let Some((peer, info)) = known else { return };
        // What came over the wire can be written for it, too.
        let Ok(payload) = N::payload(&info, message) else {
            return;
        };
        let message = v1::Message {
            peer: Some(peer),
            message: Some(told(payload)),
        };
        board.message((node, id.0), message);
    }

    fn request_came(
        &self,
        node: usize,
        board: &Board,
        token: Token,
        message: &peerage::MessageOf<N>,
    ) -> bool {
        let id = token.session;
        let request = self.number();
        let (peer, info) = {
            let mut state = self.state();
            let Some(known) = state.peers.get(&id) else {
                return false;
            };
            let found = (known.name.clone(), Arc::clone(&known.info));
            let asked = N::asked(message);
            state.requests.insert(request, Open { token, asked });
            found
        };
        let taken = N::payload(&info, message).is_ok_and(|payload| {
            let asks = v1::PeerRequest {
                peer: Some(peer),
                request,
                message: Some(told(payload)),
            };
            board.request((node, id.0), asks)
        });
        if !taken {
            self.state().requests.remove(&request);
        }
        taken
    }
}

/// What a node tells, by [`Event::NAMES`], and what a subscription hears of it: items beside
/// events, and events by their kind. An attempt's end is `failed`, a session's `closed`.
#[cfg(test)]
const HEARD: &[(&str, &[&str])] = &[
    ("found", &["found"]),
    ("dialling", &["dialling"]),
    ("established", &["established"]),
    ("message", &["Item.message"]),
    ("request", &["Item.request"]),
    ("request_given_up", &["given_up"]),
    ("late_answer", &["late_answer"]),
    ("misbehaved", &["misbehaved"]),
    ("incompatible", &["incompatible"]),
    ("already_connected", &["already_connected"]),
    ("closed", &["closed", "failed"]),
    ("stalled", &["stalled"]),
];

#[cfg(test)]
mod tests;

/// A message of a peer as the interface has it.
pub(crate) fn told(payload: Payload) -> v1::Payload {
    v1::Payload {
        name: payload.name.into_owned(),
        code: payload.code,
        capability: payload.capability.into_owned(),
        body: payload.body,
    }
}

/// A message for a peer from the interface.
pub(crate) fn given(payload: v1::Payload) -> Payload {
    Payload {
        name: payload.name.into(),
        code: payload.code,
        capability: payload.capability.into(),
        body: payload.body,
    }
}

impl<N: Wired + Described> Served for Seat<N> {
    fn info(&self) -> &v1::NodeInfo {
        &self.info
    }

    fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    fn status(&self) -> BoxFuture<'_, Result<v1::NodeStatus, Stopped>> {
        Box::pin(async {
            let overview = self.handle.overview().await?;
            let finders = self.handle.finders().await?;
            Ok(convert::status(&self.realm(), &overview, &finders))
        })
    }

    fn peers(&self) -> BoxFuture<'_, Result<Vec<Shown>, Stopped>> {
        Box::pin(async {
            let all = self.handle.peers().await?;
            let state = self.state();
            let facts = |id| state.peers.get(&id).map(|known| Arc::clone(&known.facts));
            Ok(all
                .into_iter()
                .map(|peer| (facts(peer.id), peer))
                .map(|(facts, peer)| (peer, facts))
                .collect())
        })
    }

    fn session_of(&self, key: &Key) -> Option<SessionId> {
        self.state().by_key.get(key).copied()
    }

    fn name_of(&self, id: SessionId) -> Option<v1::PeerRef> {
        let state = self.state();
        state.peers.get(&id).map(|known| known.name.clone())
    }

    fn why(&self, key: Key) -> BoxFuture<'_, Result<Vec<Story>, Stopped>> {
        Box::pin(self.handle.why(key))
    }

    fn page(
        &self,
        which: Which,
        after: Option<Key>,
        most: usize,
    ) -> BoxFuture<'_, Result<Page, Stopped>> {
        Box::pin(self.handle.book(which, after, most))
    }

    fn known(&self) -> BoxFuture<'_, Result<usize, Stopped>> {
        Box::pin(async { Ok(self.handle.overview().await?.known) })
    }

    fn import(&self, snapshot: BookOf) -> BoxFuture<'_, Result<Imported, Stopped>> {
        Box::pin(self.handle.import(snapshot))
    }

    fn bans(&self) -> BoxFuture<'_, Result<Vec<(Subject, Ban)>, Stopped>> {
        Box::pin(self.handle.bans())
    }

    fn destination(&self, text: &str) -> Result<(Option<Identity>, Address), Fault> {
        let wrong = |error: &dyn std::fmt::Display| {
            Fault::invalid(format!("{text:?} is no address of this network: {error}"))
        };
        let to = self.greeter.destination(text);
        let to = to.map_err(|error| wrong(&error))?;
        let identity = to.key.map(|key| Identity::new(&key.0)).transpose();
        let identity = identity.map_err(|error| wrong(&error))?;
        let address = match &to.target.host {
            Host::Ip(ip) => Address::At(Endpoint::new(*ip, to.target.port)),
            Host::Name(name) => {
                let name = Name::new(name, to.target.port);
                Address::Named(name.map_err(|error| wrong(&error))?)
            }
        };
        Ok((identity, address))
    }

    fn pin(
        &self,
        identity: Option<Identity>,
        address: Address,
        role: Role,
    ) -> BoxFuture<'_, Result<Key, Fault>> {
        Box::pin(async move {
            let pinned = self.handle.pin(identity, address, role).await?;
            pinned.map_err(|error| Fault::of(tonic::Code::FailedPrecondition, &error))
        })
    }

    fn add(
        &self,
        identity: Option<Identity>,
        address: Address,
    ) -> BoxFuture<'_, Result<Key, Fault>> {
        Box::pin(async move {
            let Address::At(endpoint) = address else {
                return Err(Fault::invalid(
                    "only a static or trusted peer can have a name: leave candidate out, or give \
                     an address",
                ));
            };
            let tip = match identity {
                Some(identity) => Tip::of(identity, vec![endpoint], Source::Operator),
                None => Tip::at(endpoint, Source::Operator),
            };
            let key = tip.key.clone();
            let added = self.handle.add(tip).await?;
            added.map_err(|error| Fault::of(tonic::Code::FailedPrecondition, &error))?;
            Ok(key)
        })
    }

    fn forget(&self, key: Key) -> BoxFuture<'_, Result<bool, Stopped>> {
        Box::pin(async move { Ok(self.handle.remove(key).await?.was_known) })
    }

    fn unpin(&self, key: Key) -> BoxFuture<'_, Result<bool, Stopped>> {
        Box::pin(self.handle.unpin(key))
    }

    fn ban(
        &self,
        subject: Subject,
        term: Option<Duration>,
        why: String,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let banned = self.handle.ban(subject, term, &why).await?;
            banned.map_err(|error| Fault::of(tonic::Code::ResourceExhausted, &error))
        })
    }

    fn unban(&self, subject: Subject) -> BoxFuture<'_, Result<bool, Stopped>> {
        Box::pin(self.handle.unban(subject))
    }

    fn disconnect(&self, id: SessionId, say: Parting) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { Ok(self.handle.disconnect(id, say).await??) })
    }

    fn hold_back(&self, id: SessionId, hold: bool) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A session that is over sends nothing.
            let _over = self.handle.hold_back(id, hold).await;
        })
    }

    fn useful(&self, id: SessionId) -> BoxFuture<'_, Result<(), Stopped>> {
        Box::pin(async move {
            // It may have left meanwhile.
            let _over = self.handle.useful(id).await?;
            Ok(())
        })
    }

    fn misbehaved(
        &self,
        id: SessionId,
        what: Misdeed,
    ) -> BoxFuture<'_, Result<Option<u32>, Fault>> {
        Box::pin(async move { Ok(self.handle.misbehaved(id, what).await??) })
    }

    fn send<'a>(
        &'a self,
        id: SessionId,
        payload: &'a Payload,
        gossip: bool,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let message = N::message(&*self.profile(id)?, payload)?;
            let sent = if gossip {
                self.handle.gossip(id, message).await
            } else {
                self.handle.send(id, message).await
            };
            Ok(sent??)
        })
    }

    fn request<'a>(
        &'a self,
        id: SessionId,
        payload: &'a Payload,
        answer: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            let info = self.profile(id)?;
            let Question {
                key,
                message,
                asked,
            } = N::question(&info, payload, answer, self.number())?;
            let (message, took) = self.handle.request(id, key, message).await?;
            let payload = N::payload(&info, &N::answered(asked, message))?;
            Ok(Answered { payload, took })
        })
    }

    fn respond<'a>(
        &'a self,
        request: u64,
        payload: Option<&'a Payload>,
    ) -> BoxFuture<'a, Option<Result<(), Fault>>> {
        Box::pin(async move {
            let (token, asked) = {
                let state = self.state();
                let open = state.requests.get(&request)?;
                (open.token, open.asked)
            };
            let responded = async {
                let Some(payload) = payload else {
                    return Ok(self.handle.refuse(token).await??);
                };
                let info = self.profile(token.session)?;
                let message = N::reply(&info, asked, payload)?;
                Ok(self.handle.respond(token, message).await??)
            };
            let responded = responded.await;
            // What was no answer leaves the question open.
            if responded.is_ok() {
                self.state().requests.remove(&request);
            }
            Some(responded)
        })
    }
}

/// Established peers, as selectors see them.
pub(crate) async fn seen(node: &dyn Served) -> Result<Vec<Seen>, Stopped> {
    let peers = node.peers().await?.into_iter();
    let seen = peers.filter_map(|(snapshot, facts)| {
        let facts = facts.filter(|_| snapshot.phase == Phase::Active)?;
        Some(Seen { snapshot, facts })
    });
    Ok(seen.collect())
}

//! What keeping peers needs to know of a network, and the node that is made of it.

use std::convert::Infallible;
use std::fmt::Debug;
use std::marker::PhantomData;

use peerage_book::{Address, GossipEntry, Identity, Key, Verdict};
use peerage_core::{AcceptAll, Endpoint, Failure, Network, PeerText, Reason, Session};
use peerage_find::Candidate;
use peerage_net::{Connection, Connector, Host, Link, LinkError, Stream, Target};
use peerage_node::{Heard, Live, Whom};
use peerage_peers::{Outcome, Parting, Tie, Types};
use tokio::time::Instant;

use crate::destination::{Destination, PeerKey};
use crate::greeter::Greeter;
use crate::peer::{LinkErrorOf, MessageOf};
use crate::protocol::Protocol;

/// A [`Protocol`] whose peers can be kept by a [`Node`](super::Node).
pub trait Keeps:
    Protocol<
        Session: Session<Message: Clone> + 'static,
        Greeting<AcceptAll>: Send,
        Error<Infallible>: Send + Sync + 'static,
        Info: 'static,
    >
{
    /// Our side of the judgement of peers: the minimum version now, the forks of our head.
    type Status: Clone + Debug + Send + Sync + 'static;
    /// What a request and its answer have in common.
    type RequestKey: Clone + Debug + Ord + Send + Sync + 'static;

    /// See [`peerage_node::Network::ANSWERS_COME_UNASKED`].
    const ANSWERS_COME_UNASKED: bool = false;

    /// The customary limits, deadlines and conduct.
    fn customs() -> peerage_peers::Config;

    /// What a node judges its peers by now.
    fn status(local: &Self::Local) -> Self::Status;

    /// Whether a peer is of use.
    ///
    /// # Errors
    /// Why it is not.
    fn judge(status: &Self::Status, info: &Self::Info) -> Result<(), Reason>;

    /// What a candidate's claims say about dialling it.
    fn judge_candidate(local: &Self::Local, candidate: &Candidate) -> Verdict;

    /// Whether peers prove who they are; see [`peerage_node::Network::has_identities`].
    const HAS_IDENTITIES: bool;

    /// Who a peer has proven to be, where peers have identities.
    fn identity(info: &Self::Info) -> Option<Identity>;

    /// Which of two connections with a peer survives.
    fn tie(local: &Self::Local, info: &Self::Info) -> Tie;

    /// What the book is told of a peer.
    fn greeted(info: &Self::Info) -> peerage_book::Greeted;

    /// What a message is for.
    fn hear(message: MessageOf<Self>) -> peerage_peers::Heard<Kept<Self>>;

    /// The words with which we leave, where there are such.
    fn farewell(say: Parting) -> Option<MessageOf<Self>>;

    /// The length of a message in bytes, about.
    fn len(message: &MessageOf<Self>) -> usize;

    /// See [`peerage_node::Network::ask_for_addrs`].
    fn ask_for_addrs() -> Option<MessageOf<Self>> {
        None
    }

    /// See [`peerage_node::Network::asks_for_addrs`].
    fn asks_for_addrs(_message: &MessageOf<Self>) -> bool {
        false
    }

    /// See [`peerage_node::Network::says_of_itself`].
    fn says_of_itself(_info: &Self::Info) -> Option<(Endpoint, u64)> {
        None
    }

    /// See [`peerage_node::Network::addrs`].
    fn addrs(_message: &MessageOf<Self>) -> Option<Vec<GossipEntry>> {
        None
    }

    /// See [`peerage_node::Network::tell_addrs`].
    fn tell_addrs(_addrs: &[GossipEntry], _to: &Self::Info) -> Option<MessageOf<Self>> {
        None
    }
}

/// A network's types in the peer table.
#[derive(Debug)]
pub struct Kept<N>(PhantomData<fn() -> N>);

impl<N: Keeps> Types for Kept<N> {
    type Identity = Key;
    type Profile = N::Info;
    type Status = N::Status;
    type Message = MessageOf<N>;
    type Key = N::RequestKey;

    fn judge(status: &N::Status, info: &N::Info) -> Result<(), Reason> {
        N::judge(status, info)
    }

    fn ping(nonce: u64) -> MessageOf<N> {
        <N::Session as Session>::ping(nonce)
    }

    fn client(info: &N::Info) -> PeerText {
        N::greeted(info).agent
    }
}

/// A node's view of its network: a [`Greeter`] that keeps.
#[derive(Clone, Debug)]
pub struct Keeper<N: Protocol>(pub(super) Greeter<N>);

impl<N: Keeps> Keeper<N> {
    /// A network that greets as `greeter` does, and what it judges peers by now: the new network of a
    /// [`Change`](super::Change).
    pub fn judging(greeter: Greeter<N>) -> (Self, N::Status) {
        let status = N::status(greeter.local());
        (Self(greeter), status)
    }
}

impl<N: Keeps> peerage_node::Network for Keeper<N> {
    type Types = Kept<N>;
    type Link = KeptLink<N>;

    const NETWORK: Network = N::NETWORK;
    const ANSWERS_COME_UNASKED: bool = N::ANSWERS_COME_UNASKED;

    fn has_identities(&self) -> bool {
        N::HAS_IDENTITIES
    }

    async fn reach(&self, whom: &Whom, deadline: Instant) -> Result<Connection<Stream>, Reason> {
        let target = target(&whom.address);
        let connected = self.0.route().connect(&target, deadline).await;
        connected.map_err(|error| error.reason())
    }

    async fn greet(
        &self,
        connection: Connection<Stream>,
        whom: Option<&Whom>,
        deadline: Instant,
    ) -> Result<Live<Self>, Outcome> {
        let to = whom.map(|whom| Destination {
            key: key_of(whom.identity.as_ref()),
            ..target(&whom.address).into()
        });
        let greeted = self
            .0
            .greet_as(connection, to.as_ref(), AcceptAll, deadline);
        let peer = greeted
            .await
            .map_err(|error| Outcome::of_dialogue(error.reason()))?;
        let (info, link) = peer.into_link();
        Ok(Live {
            identity: N::identity(&info),
            tie: N::tie(self.0.local(), &info),
            greeted: N::greeted(&info),
            profile: info,
            link: KeptLink(link),
        })
    }

    fn judge(&self, candidate: &Candidate) -> Verdict {
        N::judge_candidate(self.0.local(), candidate)
    }

    fn len(message: &MessageOf<N>) -> usize {
        N::len(message)
    }

    fn ask_for_addrs() -> Option<MessageOf<N>> {
        N::ask_for_addrs()
    }

    fn asks_for_addrs(message: &MessageOf<N>) -> bool {
        N::asks_for_addrs(message)
    }

    fn says_of_itself(info: &N::Info) -> Option<(Endpoint, u64)> {
        N::says_of_itself(info)
    }

    fn addrs(message: &MessageOf<N>) -> Option<Vec<GossipEntry>> {
        N::addrs(message)
    }

    fn tell_addrs(addrs: &[GossipEntry], to: &N::Info) -> Option<MessageOf<N>> {
        N::tell_addrs(addrs, to)
    }
}

/// The messages of a kept peer.
#[derive(Debug)]
pub struct KeptLink<N: Protocol>(Link<N::Session, Stream>);

impl<N: Keeps> KeptLink<N> {
    /// What the message that came last is for.
    fn heard(&self, message: MessageOf<N>) -> Heard<Kept<N>> {
        let len = self.0.last_len().max(N::len(&message));
        (N::hear(message), len)
    }
}

impl<N: Keeps> peerage_node::Link<Kept<N>> for KeptLink<N> {
    async fn recv(&mut self) -> Result<Heard<Kept<N>>, Outcome> {
        let message = self.0.recv().await.map_err(|error| ended::<N>(&error))?;
        Ok(self.heard(message))
    }

    async fn flush(&mut self, hears: bool) -> Result<Option<Heard<Kept<N>>>, Outcome> {
        let flushed = self.0.flush(hears).await;
        let message = flushed.map_err(|error| ended::<N>(&error))?;
        Ok(message.map(|message| self.heard(message)))
    }

    async fn send(&mut self, message: &MessageOf<N>) -> Result<(), Outcome> {
        let sent = self.0.send(message).await;
        sent.map_err(|error| ended::<N>(&error))
    }

    async fn goodbye(&mut self, say: Parting) {
        if let Some(words) = N::farewell(say) {
            // It is leaving anyhow.
            let _broken = self.0.send(&words).await;
        }
    }

    fn traffic(&mut self) -> (usize, usize) {
        self.0.take_traffic()
    }
}

/// How a connection ended.
fn ended<N: Protocol>(error: &LinkErrorOf<N>) -> Outcome {
    let reason = error.reason();
    if matches!(error, LinkError::Closed { .. }) {
        Outcome::Left
    } else if matches!(error, LinkError::Session(_)) {
        Outcome::of_dialogue(reason)
    } else {
        Outcome::Failed(reason)
    }
}

fn target(address: &Address) -> Target {
    match address {
        Address::At(endpoint) => (*endpoint).into(),
        Address::Named(name) => Target {
            host: Host::Name(name.host().into()),
            port: name.port(),
        },
    }
}

fn key_of(identity: Option<&Identity>) -> Option<PeerKey> {
    let bytes = identity?.as_bytes().try_into().ok()?;
    Some(PeerKey(bytes))
}

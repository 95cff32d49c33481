//! How an application talks to the running service.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{Detail, Endpoint, Failure, Kind, Network, Stage};
use peerage_discv5::discovery::{AlreadyRegistered, Answer, Filter, RequestError};
use peerage_discv5::record::{Builder, Family, RecordError};
use peerage_discv5::table::Entry;
use peerage_discv5::{Discovery, NodeId, Record};
use tokio::sync::{mpsc, oneshot};

use crate::command::{Answered, Ask, Command, Hunt};
use crate::searcher::{Discv5Finder, Search};
use crate::talk::{self, TalkRequests};
use crate::{Metrics, searcher};

/// Talks to a running service. Clones talk to the same; when the last is dropped, or
/// [`Self::close`] is called, the service ends.
///
/// Commands wait in one bounded queue: a caller that finds it full waits for room. Every call can
/// be dropped at any time; a request that was made goes on to its end, and its answer is lost.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    node_id: NodeId,
}

/// Why a call was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other node did not answer, or could not be asked.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The service has ended.
    #[error("the discovery service has ended")]
    Closed,
}

impl Failure for CallError {
    fn stage(&self) -> Stage {
        match self {
            Self::Request(error) => error.stage(),
            Self::Closed => Stage::Input,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::Closed => Kind::Cancelled,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Request(error) => error.detail(),
            Self::Closed => Detail::none(),
        }
    }
}

/// A PONG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The number of the node's record.
    pub record_seq: u64,
    /// Where the node sees us.
    pub observed: Endpoint,
}

impl Handle {
    pub(crate) const fn new(commands: mpsc::Sender<Command>, node_id: NodeId) -> Self {
        Self { commands, node_id }
    }

    /// Our own id.
    pub const fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Asks whether a node is there.
    ///
    /// # Errors
    /// When it does not answer, cannot be asked, or the service has ended.
    pub async fn ping(&self, to: &Record) -> Result<Pong, CallError> {
        match self.request(to, Ask::Ping).await? {
            Answer::Pong {
                record_seq,
                observed,
            } => Ok(Pong {
                record_seq,
                observed,
            }),
            Answer::Nodes(_) | Answer::Talk(_) => Err(RequestError::Invalid.into()),
        }
    }

    /// Asks a node for nodes at these logarithmic distances from it; 0 is the node itself. What
    /// comes is verified, each node once.
    ///
    /// # Errors
    /// As [`Self::ping`].
    pub async fn find_node(
        &self,
        to: &Record,
        distances: &[u16],
    ) -> Result<Vec<Record>, CallError> {
        match self.request(to, Ask::FindNode(distances.to_vec())).await? {
            Answer::Nodes(nodes) => Ok(nodes),
            Answer::Pong { .. } | Answer::Talk(_) => Err(RequestError::Invalid.into()),
        }
    }

    /// Says something to a node in another protocol. The answer is empty if the node does not know
    /// the protocol.
    ///
    /// # Errors
    /// As [`Self::ping`].
    pub async fn talk(
        &self,
        to: &Record,
        protocol: &[u8],
        payload: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let (protocol, payload) = (protocol.to_vec(), payload.to_vec());
        match self.request(to, Ask::Talk { protocol, payload }).await? {
            Answer::Talk(payload) => Ok(payload),
            Answer::Pong { .. } | Answer::Nodes(_) => Err(RequestError::Invalid.into()),
        }
    }

    async fn request(&self, to: &Record, ask: Ask) -> Result<Answer, CallError> {
        let (reply, answered) = oneshot::channel::<Answered>();
        let to = to.clone();
        self.send(Command::Request { to, ask, reply }).await?;
        let answered = answered.await.map_err(|_| CallError::Closed)?;
        Ok(answered?)
    }

    /// The nodes nearest to a target, the nearest first.
    ///
    /// # Errors
    /// When too many searches are under way, or the service has ended.
    pub async fn lookup(&self, target: NodeId) -> Result<Vec<Record>, CallError> {
        self.search(Hunt::Lookup(target)).await
    }

    /// Everything seen on the way towards a target.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub async fn query(&self, target: NodeId) -> Result<Vec<Record>, CallError> {
        self.search(Hunt::Query(target)).await
    }

    /// Everything seen on the way towards a random target that the filter accepts.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub async fn random_query(&self, filter: Option<Filter>) -> Result<Vec<Record>, CallError> {
        self.search(Hunt::RandomQuery(filter)).await
    }

    /// The newest record of a node, from itself if it can be asked, else from others; `None` if
    /// nobody knows it.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    pub async fn resolve(&self, node: NodeId) -> Result<Option<Record>, CallError> {
        let found = self.search(Hunt::Resolve(node)).await?;
        Ok(found.into_iter().next())
    }

    async fn search(&self, hunt: Hunt) -> Result<Vec<Record>, CallError> {
        let (reply, found) = oneshot::channel();
        self.send(Command::Search { hunt, reply }).await?;
        Ok(found.await.map_err(|_| CallError::Closed)??)
    }

    /// Our own record as it is now.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn record(&self) -> Result<Record, CallError> {
        self.with(|discovery, _| discovery.record().clone()).await
    }

    /// Changes entries of our record and signs it again; its number grows if anything differs.
    ///
    /// # Errors
    /// When the service has ended; inside, when the record cannot be signed and stays as it was.
    pub async fn update_record(
        &self,
        change: impl FnOnce(Builder) -> Builder + Send + 'static,
    ) -> Result<Result<Record, RecordError>, CallError> {
        self.with(|discovery, _| discovery.update_record(change).cloned())
            .await
    }

    /// Where enough of the nodes that we asked see us, in a family; whether our record says so or not.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn majority(&self, family: Family) -> Result<Option<Endpoint>, CallError> {
        self.with(move |discovery, now| discovery.majority(now, family))
            .await
    }

    /// Offers a verified node to the table. True only if it has newly got a place.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn add_node(&self, record: &Record) -> Result<bool, CallError> {
        let record = record.clone();
        self.with(move |discovery, _| discovery.add_node(&record))
            .await
    }

    /// The table: every node that has a place, bucket by bucket.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn table(&self) -> Result<Vec<Entry>, CallError> {
        self.with(|discovery, _| discovery.table().nodes().cloned().collect())
            .await
    }

    /// Nodes known to be good, to be stored and given to the next start.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn good_nodes(&self) -> Result<Vec<Record>, CallError> {
        self.with(|discovery, _| discovery.good_nodes().cloned().collect())
            .await
    }

    /// Counters and gauges.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn metrics(&self) -> Result<Metrics, CallError> {
        let (reply, metrics) = oneshot::channel();
        self.send(Command::Metrics(reply)).await?;
        metrics.await.map_err(|_| CallError::Closed)
    }

    /// Bans a node for the configured time, and removes it from the table.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn ban_node(&self, node: NodeId) -> Result<(), CallError> {
        self.with(move |discovery, now| discovery.ban_node(now, node))
            .await
    }

    /// Bans an address for some time, and with it everybody behind the same NAT.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn ban_ip(&self, ip: IpAddr, time: Duration) -> Result<(), CallError> {
        self.with(move |discovery, now| {
            // As good as for ever, where the clock cannot count that far.
            let until = now.checked_add(time);
            let until = until.unwrap_or_else(|| now + Duration::from_secs(1 << 30));
            discovery.bans_mut().ban_ip(ip, until);
        })
        .await
    }

    /// Lifts the ban of a node.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn unban_node(&self, node: NodeId) -> Result<(), CallError> {
        self.with(move |discovery, _| discovery.bans_mut().unban_node(&node))
            .await
    }

    /// Lifts the ban of an address.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn unban_ip(&self, ip: IpAddr) -> Result<(), CallError> {
        self.with(move |discovery, _| discovery.bans_mut().unban_ip(ip))
            .await
    }

    /// Lets the application answer TALK requests of this protocol. At most 64 wait for it; further
    /// ones are answered with nothing.
    ///
    /// # Errors
    /// When the service has ended; inside, when the protocol is registered already.
    pub async fn register_talk(
        &self,
        protocol: &[u8],
    ) -> Result<Result<TalkRequests, AlreadyRegistered>, CallError> {
        let (sender, requests) = mpsc::channel(talk::MAX_WAITING);
        let (reply, registered) = oneshot::channel();
        let command = Command::RegisterTalk {
            protocol: protocol.to_vec(),
            requests: sender,
            reply,
        };
        self.send(command).await?;
        let is_new = registered.await.map_err(|_| CallError::Closed)?;
        Ok(if is_new {
            Ok(TalkRequests { requests })
        } else {
            Err(AlreadyRegistered)
        })
    }

    /// Candidates for a network: nodes whose records `search` wants. First those that are known to
    /// be good; then, as long as it is asked, whatever random queries find.
    ///
    /// # Errors
    /// When the service has ended.
    pub async fn finder(
        &self,
        network: Network,
        search: Search,
    ) -> Result<Discv5Finder, CallError> {
        let (sender, found) = mpsc::channel(searcher::MAX_WAITING);
        self.send(Command::AddFinder(sender)).await?;
        Ok(Discv5Finder::new(self.clone(), network, search, found))
    }

    /// Ends the service: what is asked of it ends, and its sockets are closed when this returns.
    ///
    /// # Cancellation
    /// Once polled, the service ends all the same.
    pub async fn close(&self) {
        // An error means that another call has closed it.
        let _closed_already = self.send(Command::Close).await;
        // The owner task drops its end of the queue after its sockets.
        self.commands.closed().await;
    }

    /// Does something with the machine between two datagrams.
    async fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Discovery, Instant) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let (reply, done) = oneshot::channel();
        let job = Box::new(move |discovery: &mut Discovery, now: Instant| {
            // Whoever asked may have gone.
            drop(reply.send(job(discovery, now)));
        });
        self.send(Command::With(job)).await?;
        done.await.map_err(|_| CallError::Closed)
    }

    async fn send(&self, command: Command) -> Result<(), CallError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| CallError::Closed)
    }
}

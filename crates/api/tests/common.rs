//! Nodes on loopback, a daemon that serves them, and its clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use peerage::net::Listener as NodeListener;
use peerage::networks::Described;
use peerage::node::book::{Address, Identity, Role};
use peerage::node::{Event, EventsOf, HandleOf, Node, Wired};
use peerage::{Endpoint, Greeter};
use peerage_api::grpc::{Access, Listener};
use peerage_api::socket::At;
use peerage_api::v1::daemon_client::DaemonClient;
use peerage_api::{ApiLimits, Builder, Daemon, v1};
use tokio::sync::mpsc;
use tonic::transport::Channel;

pub(crate) type Client = DaemonClient<Channel>;

/// However slow the machine is, this is too long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// How long a node waits for answers, and its peers for its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Usual,
    /// Hardly at all.
    Hasty,
}

/// A node that runs.
pub(crate) struct Running<N: Wired> {
    pub(crate) handle: HandleOf<N>,
    pub(crate) greeter: Greeter<N>,
    pub(crate) at: Endpoint,
    pub(crate) address: String,
    identity: Option<Identity>,
}

impl<N: Wired + Described> Running<N> {
    pub(crate) fn start(chain: &str) -> (Self, EventsOf<N>) {
        Self::with(chain, Pace::Usual)
    }

    pub(crate) fn with(chain: &str, pace: Pace) -> (Self, EventsOf<N>) {
        let listener = NodeListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let at = listener.local_endpoint().unwrap();
        let mut greeter = Greeter::<N>::new(chain).unwrap();
        N::set_listen_addr(greeter.local_mut(), Some(at));
        let found_at = N::found_at(greeter.local(), at);
        let identity = found_at.key.map(|key| Identity::new(&key.0).unwrap());
        let mut node = Node::new(greeter.clone()).with_listener(listener);
        node.setup_mut().book.local = true;
        // Tests talk more than peers do.
        node.setup_mut().peers.requests.in_flight = 16;
        if pace == Pace::Hasty {
            let rules = &mut node.setup_mut().peers;
            let haste = Duration::from_millis(50);
            (rules.requests.initial, rules.requests.min) = (haste, haste);
            rules.requests.max = haste;
            rules.theirs.within = haste;
        }
        let (handle, events) = node.start().unwrap();
        let running = Self {
            handle,
            greeter,
            at,
            address: N::shown(&found_at),
            identity,
        };
        (running, events)
    }

    pub(crate) async fn dial<M: Wired>(&self, other: &Running<M>) {
        let address = Address::At(other.at);
        let pinned = self
            .handle
            .pin(other.identity.clone(), address, Role::Static);
        pinned.await.unwrap().unwrap();
    }
}

/// A daemon with its socket in a directory of its own.
pub(crate) struct Served {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) folder: PathBuf,
    /// What the daemon leaves to the caller: peers' requests that no application took.
    pub(crate) left: mpsc::Receiver<u64>,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub(crate) fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("peerage-api-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&folder, mode).unwrap();
    folder
}

pub(crate) fn realm(network: &str, chain: &str) -> v1::Realm {
    let (network, chain) = (network.to_owned(), chain.to_owned());
    v1::Realm { network, chain }
}

/// Puts a node behind the API.
pub(crate) fn add<N: Wired + Described>(
    builder: &mut Builder,
    (node, mut events): (&Running<N>, EventsOf<N>),
    chain: &str,
    tell: mpsc::Sender<u64>,
) {
    let info = v1::NodeInfo {
        realm: Some(realm(N::NETWORK.0, chain)),
        listens: vec![node.at.to_string()],
        addresses: vec![node.address.clone()],
        record: String::new(),
    };
    let handle = node.handle.clone();
    let feed = builder.add(handle.clone(), node.greeter.clone(), info);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let taken = feed.tell(&event);
            if let Event::Request { token, .. } = event
                && !taken
            {
                let _nobody = tell.send(token.session.0).await;
                let _over = handle.refuse(token).await;
            }
        }
    });
}

impl Served {
    pub(crate) async fn new(
        limits: ApiLimits,
        fill: impl FnOnce(&mut Builder, mpsc::Sender<u64>),
    ) -> Self {
        let mut builder = Builder::new("0.0.0", limits);
        let (tell, left) = mpsc::channel(64);
        fill(&mut builder, tell);
        let daemon = builder.build();
        let folder = folder();
        let at = At::Unix(folder.join("api.sock"));
        let listener = Listener::bind(&at, None).await.unwrap();
        let serving = Arc::clone(&daemon);
        tokio::spawn(async move { listener.serve(serving, std::future::pending()).await });
        Self {
            daemon,
            folder,
            left,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let path = self.folder.join("api.sock");
        client(&format!("unix:{}", path.display())).await
    }
}

pub(crate) async fn client(uri: &str) -> Client {
    let endpoint = tonic::transport::Endpoint::from_shared(uri.to_owned()).unwrap();
    let channel = soon("a connection", endpoint.connect()).await.unwrap();
    DaemonClient::new(channel).max_decoding_message_size(64 << 20)
}

/// Serves over TCP, and says where.
pub(crate) async fn over_tcp(daemon: &Arc<Daemon>, access: Access) -> String {
    let at = At::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&at, Some(access)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let daemon = Arc::clone(daemon);
    tokio::spawn(async move { listener.serve(daemon, std::future::pending()).await });
    format!("http://{addr}")
}

/// A pair of nodes of `N`, the first behind the API and dialled by the second.
pub(crate) struct Pair<N: Wired> {
    pub(crate) served: Served,
    pub(crate) ours: Running<N>,
    pub(crate) other: Running<N>,
    pub(crate) events: EventsOf<N>,
}

impl<N: Wired + Described> Pair<N> {
    pub(crate) async fn new(chain: &str) -> Self {
        Self::with(chain, ApiLimits::default()).await
    }

    pub(crate) async fn hasty(chain: &str) -> Self {
        Self::made(chain, ApiLimits::default(), Pace::Hasty).await
    }

    pub(crate) async fn with(chain: &str, limits: ApiLimits) -> Self {
        Self::made(chain, limits, Pace::Usual).await
    }

    async fn made(chain: &str, limits: ApiLimits, pace: Pace) -> Self {
        let (ours, heard) = Running::<N>::with(chain, pace);
        let (other, events) = Running::<N>::start(chain);
        let served = Served::new(limits, |builder, tell| {
            add(builder, (&ours, heard), chain, tell);
        });
        let served = served.await;
        Self {
            served,
            ours,
            other,
            events,
        }
    }

    /// Connects the two; returns the other's session with ours.
    pub(crate) async fn meet(&mut self) -> peerage::node::peers::SessionId {
        self.other.dial(&self.ours).await;
        let established = async {
            loop {
                if let Some(Event::Established { id, .. }) = self.events.next().await {
                    return id;
                }
            }
        };
        soon("the other's peer", established).await
    }

    /// The next message that the other hears.
    pub(crate) async fn heard(&mut self) -> peerage::MessageOf<N> {
        let heard = async {
            loop {
                match self.events.next().await {
                    Some(Event::Message { message, .. }) => return message,
                    Some(_) => {}
                    None => panic!("the other has stopped"),
                }
            }
        };
        soon("a message", heard).await
    }
}

/// All events and messages.
pub(crate) fn everything() -> v1::SubscribeRequest {
    v1::SubscribeRequest {
        events: Some(v1::EventFilter::default()),
        messages: Some(v1::MessageFilter::default()),
        ..v1::SubscribeRequest::default()
    }
}

/// A subscription whose first item was read.
pub(crate) struct Reading {
    pub(crate) stream: tonic::Streaming<v1::Item>,
    pub(crate) opened: v1::Opened,
}

impl Reading {
    pub(crate) async fn new(client: &mut Client, request: v1::SubscribeRequest) -> Self {
        let mut stream = client.subscribe(request).await.unwrap().into_inner();
        let first = soon("the opening", stream.message())
            .await
            .unwrap()
            .unwrap();
        let Some(v1::item::Of::Opened(opened)) = first.of else {
            panic!("{first:?}");
        };
        Self { stream, opened }
    }

    pub(crate) async fn item(&mut self) -> Result<v1::Item, tonic::Status> {
        let item = soon("an item", self.stream.message()).await?;
        Ok(item.expect("the stream goes on"))
    }

    pub(crate) async fn event(&mut self) -> v1::event::Of {
        loop {
            if let Some(v1::item::Of::Event(event)) = self.item().await.unwrap().of {
                return event.of.unwrap();
            }
        }
    }

    pub(crate) async fn established(&mut self) -> v1::Established {
        loop {
            if let v1::event::Of::Established(established) = self.event().await {
                return established;
            }
        }
    }
}

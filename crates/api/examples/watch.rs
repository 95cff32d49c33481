//! Watches a peerage daemon: its peers, its events as they come, and the answer of one peer.
//!
//! It survives what happens to the connection and to the daemon: it comes back with a growing pause,
//! takes its subscription up where it was, and begins anew where the daemon is a new one.
//!
//! ```text
//! cargo run -p peerage-api --example watch -- unix:/run/peerage/api.sock
//! ```

#![expect(clippy::print_stdout, reason = "an example speaks to a person")]

use std::error::Error;
use std::time::{Duration, Instant};

use peerage_api::v1;
use peerage_api::v1::daemon_client::DaemonClient;
use peerage_api::v1::event::Of as Happened;
use peerage_api::v1::item::Of;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

/// How long the subscription waits for us, in milliseconds.
const LEASE_MS: u32 = 60_000;

/// How long one peer may take to answer, in milliseconds.
const ANSWER_MS: u32 = 3_000;

/// How long to wait before asking again.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long a call that asks nobody else may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first pause before coming back; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a machine that says nothing is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(20);

const USAGE: &str = "usage: watch [FLAGS] unix:/path/to/socket|ip:port
  --token-file FILE  the file with the token, for ip:port
  --network NAME     whose peer to ask (zcash)
  --agent TEXT       ask only peers whose software has this in its name
  --ask MESSAGE      what to ask (getaddr)
  --events N         end after so many events and an answer; else never
  --restarts N       but not before so many daemons have gone; events and answers are the last one's
  --resumes N        nor before the lease was taken up so often";

/// What is wanted.
struct Wanted {
    place: String,
    token: Option<MetadataValue<Ascii>>,
    network: String,
    agent: String,
    ask: String,
    /// How many events are enough; none ever where it is 0.
    events: u64,
    restarts: u64,
    resumes: u64,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut wanted = Self {
            place: String::new(),
            token: None,
            network: "zcash".to_owned(),
            agent: String::new(),
            ask: "getaddr".to_owned(),
            events: 0,
            restarts: 0,
            resumes: 0,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--token-file" => {
                    let token = std::fs::read_to_string(value()?)?;
                    wanted.token = Some(format!("Bearer {}", token.trim()).parse()?);
                }
                "--network" => wanted.network = value()?,
                "--agent" => wanted.agent = value()?,
                "--ask" => wanted.ask = value()?,
                "--events" => wanted.events = value()?.parse()?,
                "--restarts" => wanted.restarts = value()?.parse()?,
                "--resumes" => wanted.resumes = value()?.parse()?,
                place if wanted.place.is_empty() && !place.starts_with('-') => wanted.place = word,
                _ => return Err(USAGE.into()),
            }
        }
        if wanted.place.is_empty() {
            return Err(USAGE.into());
        }
        Ok(wanted)
    }
}

/// Puts the token on every call.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

type Client = DaemonClient<InterceptedService<Channel, Bearer>>;

/// What is known of one daemon.
#[derive(Default)]
struct Daemon {
    /// When it started: another one started at another time.
    started_ms: u64,
    /// The subscription, once there is one.
    token: Option<String>,
    /// The last item taken care of.
    last: u64,
    events: u64,
    asked: Option<Instant>,
    answered: bool,
}

/// What is known over all connections.
struct Watch {
    wanted: Wanted,
    pause: Duration,
    daemon: Option<Daemon>,
    restarts: u64,
    resumes: u64,
}

/// Why a visit ended early.
enum Lost {
    /// What may be better another time.
    Call(Status),
    /// There is nobody.
    Nobody(tonic::transport::Error),
    /// Items are missing, and the stream has not said so.
    Unannounced { after: u64, came: u64 },
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

impl Lost {
    /// Whether a daemon that is there says no, and will say so again.
    fn is_final(&self) -> bool {
        match self {
            Self::Call(status) => is_final(status.code()),
            Self::Nobody(_) => false,
            Self::Unannounced { .. } => true,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Call(status) => status.message().to_owned(),
            Self::Nobody(error) => error.to_string(),
            Self::Unannounced { after, came } => {
                format!("item {came} came after {after}, and nothing was said of those between")
            }
        }
    }
}

const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated | Code::InvalidArgument | Code::Unimplemented
    )
}

/// A call that has to be answered soon.
fn soon<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

impl Watch {
    async fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let uri = match self.wanted.place.strip_prefix("unix:") {
            Some(path) => format!("unix:{path}"),
            None => format!("http://{}", self.wanted.place),
        };
        let endpoint = Endpoint::from_shared(uri)?
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(KEEPALIVE);
        loop {
            match self.visit(&endpoint).await {
                Ok(()) => return Ok(()),
                Err(lost) if lost.is_final() => {
                    return Err(format!("refused: {}", lost.words()).into());
                }
                Err(lost) => println!("lost: {}; again in {:?}", lost.words(), self.pause),
            }
            tokio::time::sleep(self.pause).await;
            self.pause = LONGEST_PAUSE.min(2 * self.pause);
        }
    }

    /// One connection, until there is nothing more to see.
    async fn visit(&mut self, endpoint: &Endpoint) -> Result<(), Lost> {
        let channel = endpoint.connect().await.map_err(Lost::Nobody)?;
        let bearer = Bearer(self.wanted.token.clone());
        let mut client =
            DaemonClient::with_interceptor(channel, bearer).max_decoding_message_size(32 << 20);
        let mut daemon = self.greet(&mut client).await?;
        let met = self.stay(&mut client, &mut daemon).await;
        self.daemon = Some(daemon);
        met
    }

    /// Who is it, and whom does it have?
    async fn greet(&mut self, client: &mut Client) -> Result<Daemon, Lost> {
        let info = client.info(soon(v1::InfoRequest {})).await?.into_inner();
        let is_known = |daemon: &Daemon| daemon.started_ms == info.started_ms;
        if let Some(daemon) = self.daemon.take_if(|daemon| is_known(daemon)) {
            return Ok(daemon);
        }
        let request = v1::ListPeersRequest {
            limit: 10,
            ..v1::ListPeersRequest::default()
        };
        let peers = client.list_peers(soon(request)).await?.into_inner();
        if self.daemon.take().is_some() {
            println!("a new daemon: the lease went with the old one");
            self.restarts += 1;
        }
        for node in info.nodes {
            let realm = node.realm.unwrap_or_default();
            let (version, at) = (&info.version, node.addresses.join(" "));
            let (network, chain) = (realm.network, realm.chain);
            println!("node {network} {chain} of peerage {version} at {at}");
        }
        let more = if peers.more { " and more" } else { "" };
        let count = peers.peers.len();
        for peer in peers.peers {
            let who = peer.peer.unwrap_or_default();
            let network = who.realm.unwrap_or_default().network;
            let (address, agent, speaks) = (peer.address, peer.agent, peer.speaks);
            println!("peer {network} {} {address} {agent} {speaks}", who.session);
        }
        println!("peers: {count}{more}");
        Ok(Daemon {
            started_ms: info.started_ms,
            ..Daemon::default()
        })
    }

    /// Watches, and asks.
    async fn stay(&mut self, client: &mut Client, daemon: &mut Daemon) -> Result<(), Lost> {
        let mut stream = self.subscribe(client, daemon).await?;
        // Until now it has cost the daemon something.
        self.pause = FIRST_PAUSE;
        loop {
            self.ask(client, daemon).await?;
            if self.is_done(daemon) {
                break;
            }
            let item = stream.message().await?;
            let item = item.ok_or_else(|| Status::unavailable("the stream has ended"))?;
            take(daemon, item)?;
        }
        let token = daemon.token.take().unwrap_or_default();
        let request = v1::UnsubscribeRequest { token };
        client.unsubscribe(soon(request)).await?;
        Ok(())
    }

    const fn is_done(&self, daemon: &Daemon) -> bool {
        let wanted = &self.wanted;
        wanted.events > 0
            && daemon.events >= wanted.events
            && daemon.answered
            && self.restarts >= wanted.restarts
            && self.resumes >= wanted.resumes
    }

    /// All events: by the subscription that we have, if the daemon still has it.
    async fn subscribe(
        &mut self,
        client: &mut Client,
        daemon: &mut Daemon,
    ) -> Result<Streaming<v1::Item>, Lost> {
        if let Some(token) = &daemon.token {
            let request = v1::SubscribeRequest {
                resume: token.clone(),
                after: daemon.last,
                ..v1::SubscribeRequest::default()
            };
            match open(client, request).await {
                Ok((stream, opened)) => {
                    let (last, next) = (daemon.last, opened.next);
                    println!("lease taken up after item {last}, the next is {next}");
                    self.resumes += 1;
                    return Ok(stream);
                }
                Err(status) if status.code() == Code::NotFound => {
                    println!("the lease has run out: items are lost");
                    daemon.last = 0;
                }
                Err(status) => return Err(status.into()),
            }
        }
        let request = v1::SubscribeRequest {
            events: Some(v1::EventFilter::default()),
            policy: v1::Policy::DropOldest.into(),
            lease_ms: LEASE_MS,
            ..v1::SubscribeRequest::default()
        };
        let (stream, opened) = open(client, request).await?;
        println!("subscribed, with a lease of {} ms", opened.lease_ms);
        daemon.token = Some(opened.token);
        Ok(stream)
    }

    /// Asks the best of those peers, unless one has answered; another time if there is none.
    async fn ask(&self, client: &mut Client, daemon: &mut Daemon) -> Result<(), Lost> {
        let is_early = daemon.asked.is_some_and(|at| at.elapsed() < ASK_EVERY);
        if daemon.answered || is_early {
            return Ok(());
        }
        daemon.asked = Some(Instant::now());
        let realm = v1::Realm {
            network: self.wanted.network.clone(),
            ..v1::Realm::default()
        };
        let best = v1::Selector {
            realm: Some(realm),
            agent: self.wanted.agent.clone(),
            ..v1::Selector::default()
        };
        let message = v1::Payload {
            name: self.wanted.ask.clone(),
            ..v1::Payload::default()
        };
        let request = v1::RequestRequest {
            to: Some(v1::request_request::To::Best(best)),
            message: Some(message),
            timeout_ms: ANSWER_MS,
            ..v1::RequestRequest::default()
        };
        match client.request(soon(request)).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let message = answer.message.unwrap_or_default();
                let key = answer.peer.unwrap_or_default().key;
                let (name, bytes, took) = (message.name, message.body.len(), answer.took_us);
                println!("answer {name}: {bytes} bytes of {key} in {took} us");
                daemon.answered = true;
                Ok(())
            }
            Err(status) if status.code() == Code::Unavailable || is_final(status.code()) => {
                Err(status.into())
            }
            Err(status) => {
                println!("no answer: {}", status.message());
                Ok(())
            }
        }
    }
}

/// Begins a stream, and reads the item that every stream begins with.
async fn open(
    client: &mut Client,
    request: v1::SubscribeRequest,
) -> Result<(Streaming<v1::Item>, v1::Opened), Status> {
    let mut stream = client.subscribe(request).await?.into_inner();
    match stream.message().await?.and_then(|item| item.of) {
        Some(Of::Opened(opened)) => Ok((stream, opened)),
        _ => Err(Status::unavailable("the stream did not open")),
    }
}

fn take(daemon: &mut Daemon, item: v1::Item) -> Result<(), Lost> {
    if let Some(Of::Lagged(lagged)) = item.of {
        println!("missed {} items", lagged.messages);
        daemon.last = lagged.next.saturating_sub(1);
        return Ok(());
    }
    let (after, came) = (daemon.last, item.seq);
    if came != after + 1 {
        return Err(Lost::Unannounced { after, came });
    }
    daemon.last = came;
    if let Some(Of::Event(event)) = item.of {
        daemon.events += 1;
        let network = event.realm.unwrap_or_default().network;
        println!("event {came} {network} {}", told(event.of));
    }
    Ok(())
}

/// What happened, in words.
fn told(happened: Option<Happened>) -> String {
    let why = |reason: Option<v1::Reason>| reason.unwrap_or_default().words;
    match happened {
        Some(Happened::Established(it)) => {
            format!("established {} {} {}", it.address, it.agent, it.speaks)
        }
        Some(Happened::Closed(it)) => format!("closed {} {}", it.address, why(it.reason)),
        Some(Happened::Failed(it)) => format!("failed {} {}", it.address, why(it.reason)),
        Some(Happened::Misbehaved(it)) => format!("misbehaved {}", it.misdeed),
        Some(Happened::Incompatible(it)) => format!("incompatible {}", why(it.reason)),
        Some(Happened::AlreadyConnected(it)) => {
            format!("already connected, session {} goes", it.dropped)
        }
        Some(Happened::Stalled(it)) => format!("stalled for {} ms", it.lost_ms),
        Some(Happened::Found(it)) => format!("found {} by {}", it.gave, it.finder),
        Some(Happened::Dialling(it)) => format!("dialling {} {}", it.address, it.why),
        Some(Happened::LateAnswer(it)) => format!("late answer by {} us", it.late_us),
        Some(Happened::GivenUp(it)) => format!("given up {}", it.request),
        None => "something newer than this program".to_owned(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut watch = Watch {
        wanted: Wanted::read(std::env::args().skip(1))?,
        pause: FIRST_PAUSE,
        daemon: None,
        restarts: 0,
        resumes: 0,
    };
    watch.run().await?;
    let events = watch.daemon.map_or(0, |daemon| daemon.events);
    let (resumes, restarts) = (watch.resumes, watch.restarts);
    println!("done: {events} events, {resumes} resumed, {restarts} restarts");
    Ok(())
}

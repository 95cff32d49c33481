//! From a peer's socket to an application behind gRPC: through the API, and beside it through a bare
//! `tonic` stream of the same bytes, fed from the events of an ordinary node.
//!
//! Both are a server stream over a unix socket in this process; the peer is a node in it, too. One
//! message at a time for latency, then many at once for processor time. The two take turns.
//!
//! `bench-api wire` measures that, `bench-api stall` how long a message takes to one subscriber while
//! another has stalled with its budget full, taking turns with nobody stalled. One JSON object a line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bare::server_reflection_client::ServerReflectionClient;
use bare::server_reflection_response::MessageResponse;
use bare::server_reflection_server::{ServerReflection, ServerReflectionServer};
use bytes::Bytes;
use peerage::core::wire::Reader;
use peerage::net::Listener as NodeListener;
use peerage::networks::Described;
use peerage::node::book::{Address, Role};
use peerage::node::peers::SessionId;
use peerage::node::{Event, EventsOf, HandleOf, Node, Wired};
use peerage::verack::dialect::Message as _;
use peerage::verack::{Command, ProtocolVersion};
use peerage::{Greeter, MessageOf, Zcash};
use peerage_api::v1::daemon_client::DaemonClient;
use peerage_api::{ApiLimits, Builder, Daemon, grpc, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::v1 as bare;

type Failed = Box<dyn std::error::Error + Send + Sync>;

const WARM_UP: usize = 200;
const MESSAGES: usize = 2_000;
const ROUNDS: usize = 7;

type Running = (
    HandleOf<Zcash>,
    Greeter<Zcash>,
    EventsOf<Zcash>,
    peerage::Endpoint,
);

fn node() -> Result<Running, Failed> {
    let listener = NodeListener::bind(([127, 0, 0, 1], 0).into())?;
    let at = listener.local_endpoint()?;
    let mut greeter = Greeter::<Zcash>::new("regtest")?;
    Zcash::set_listen_addr(greeter.local_mut(), Some(at));
    let mut node = Node::new(greeter.clone()).with_listener(listener);
    node.setup_mut().book.local = true;
    let (handle, events) = node.start()?;
    Ok((handle, greeter, events, at))
}

/// A peer that dials `to` and talks.
struct Talker {
    handle: HandleOf<Zcash>,
    to: SessionId,
}

impl Talker {
    async fn new(to: peerage::Endpoint) -> Result<Self, Failed> {
        let (handle, _, mut events, _) = node()?;
        handle.pin(None, Address::At(to), Role::Static).await??;
        loop {
            if let Some(Event::Established { id, .. }) = events.next().await {
                tokio::spawn(async move { while events.next().await.is_some() {} });
                return Ok(Self { handle, to: id });
            }
        }
    }

    async fn say(&self, body: &Bytes) -> Result<(), Failed> {
        let version = ProtocolVersion(170_140);
        let command = Command::from_static("tx");
        let read = MessageOf::<Zcash>::read(command, &mut Reader::new(body), body, version);
        let message = read.map_err(|error| error.to_string())?;
        Ok(self.handle.send(self.to, message).await??)
    }
}

fn is_tx(message: &MessageOf<Zcash>) -> bool {
    message.command().name() == "tx"
}

/// The bare stream: whatever the node hears, as bytes.
struct Bare(
    std::sync::Mutex<Option<mpsc::Receiver<Result<bare::ServerReflectionResponse, Status>>>>,
);

#[tonic::async_trait]
impl ServerReflection for Bare {
    type ServerReflectionInfoStream =
        ReceiverStream<Result<bare::ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        _: Request<Streaming<bare::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let taken = self.0.lock().map_err(|_| Status::internal("lock"))?.take();
        let taken = taken.ok_or_else(|| Status::internal("one reader"))?;
        Ok(Response::new(ReceiverStream::new(taken)))
    }
}

fn socket(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("bench-api-{name}-{}", std::process::id()))
}

async fn channel(path: &PathBuf) -> Result<Channel, Failed> {
    Ok(Endpoint::from_shared(format!("unix:{}", path.display()))?
        .connect()
        .await?)
}

/// A way from a peer to an application: the talker, and where messages come out.
enum Out {
    Api(Streaming<v1::Item>),
    Bare(Streaming<bare::ServerReflectionResponse>),
}

impl Out {
    /// The length of the next message.
    async fn next(&mut self) -> Result<usize, Failed> {
        loop {
            match self {
                Self::Api(stream) => {
                    let item = stream.message().await?.ok_or("the end")?;
                    match item.of {
                        Some(v1::item::Of::Message(message)) => {
                            return Ok(message.message.ok_or("empty")?.body.len());
                        }
                        Some(v1::item::Of::Lagged(_)) => return Err("it lagged".into()),
                        _ => {}
                    }
                }
                Self::Bare(stream) => {
                    let item = stream.message().await?.ok_or("the end")?;
                    if let Some(MessageResponse::FileDescriptorResponse(of)) = item.message_response
                    {
                        return Ok(of.file_descriptor_proto.first().ok_or("empty")?.len());
                    }
                }
            }
        }
    }
}

/// What a subscription asks for here.
fn request(budget_bytes: u64) -> v1::SubscribeRequest {
    v1::SubscribeRequest {
        messages: Some(v1::MessageFilter {
            names: vec!["tx".into()],
            sessions: Vec::new(),
        }),
        budget_bytes,
        ..v1::SubscribeRequest::default()
    }
}

async fn by_api() -> Result<(Talker, Out), Failed> {
    Ok(daemon().await?.0)
}

async fn daemon() -> Result<((Talker, Out), std::sync::Arc<Daemon>, PathBuf), Failed> {
    let (handle, greeter, mut events, at) = node()?;
    let mut builder = Builder::new("0", ApiLimits::default());
    let feed = builder.add(
        handle,
        greeter,
        v1::NodeInfo {
            realm: Some(v1::Realm {
                network: "zcash".into(),
                chain: "regtest".into(),
            }),
            ..v1::NodeInfo::default()
        },
    );
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            feed.tell(&event);
        }
    });
    let path = socket("api");
    let listener = grpc::Listener::bind(&grpc_at(&path)?, None).await?;
    let daemon = builder.build();
    let serving = std::sync::Arc::clone(&daemon);
    tokio::spawn(async move { listener.serve(serving, std::future::pending()).await });
    let mut client = DaemonClient::new(channel(&path).await?).max_decoding_message_size(64 << 20);
    let stream = client.subscribe(request(64 << 20)).await?.into_inner();
    let ends = (Talker::new(at).await?, Out::Api(stream));
    Ok((ends, daemon, path))
}

fn grpc_at(path: &PathBuf) -> Result<peerage_api::socket::At, Failed> {
    Ok(format!("unix:{}", path.display()).parse()?)
}

async fn by_bare() -> Result<(Talker, Out), Failed> {
    let (handle, _, mut events, at) = node()?;
    let (tell, told) = mpsc::channel(1024);
    tokio::spawn(async move {
        let _alive = handle;
        let mut info = None;
        while let Some(event) = events.next().await {
            match event {
                Event::Established { profile, .. } => info = Some(profile),
                Event::Message { message, .. } if is_tx(&message) => {
                    let Some(info) = &info else { continue };
                    let Ok(payload) = <Zcash as Wired>::payload(info, &message) else {
                        continue;
                    };
                    let of = bare::FileDescriptorResponse {
                        file_descriptor_proto: vec![payload.body.to_vec()],
                    };
                    let of = Some(MessageResponse::FileDescriptorResponse(of));
                    let item = bare::ServerReflectionResponse {
                        message_response: of,
                        ..bare::ServerReflectionResponse::default()
                    };
                    if tell.send(Ok(item)).await.is_err() {
                        return;
                    }
                }
                _ => {}
            }
        }
    });
    let path = socket("bare");
    let listener = tokio::net::UnixListener::bind(&path)?;
    let service = ServerReflectionServer::new(Bare(std::sync::Mutex::new(Some(told))));
    let serving = Server::builder().add_service(service);
    tokio::spawn(serving.serve_with_incoming(UnixListenerStream::new(listener)));
    let mut client =
        ServerReflectionClient::new(channel(&path).await?).max_decoding_message_size(64 << 20);
    let asked = tokio_stream::pending();
    let stream = client.server_reflection_info(asked).await?.into_inner();
    std::fs::remove_file(&path)?;
    Ok((Talker::new(at).await?, Out::Bare(stream)))
}

/// Processor time of this process, user and system.
fn cpu() -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(')').ok_or("stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// One message at a time: from the peer's send to the application, in order of length.
async fn latencies(talker: &Talker, out: &mut Out, body: &Bytes) -> Result<Vec<Duration>, Failed> {
    let mut all = Vec::new();
    for number in 0..WARM_UP + MESSAGES {
        let began = Instant::now();
        talker.say(body).await?;
        assert_eq!(out.next().await?, body.len());
        if number >= WARM_UP {
            all.push(began.elapsed());
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// The median of them.
async fn latency(talker: &Talker, out: &mut Out, body: &Bytes) -> Result<Duration, Failed> {
    let all = latencies(talker, out, body).await?;
    Ok(all[all.len() / 2])
}

/// Several messages at once, many times: processor time of each, both ends and the peer included.
async fn work(talker: &Talker, out: &mut Out, body: &Bytes) -> Result<Duration, Failed> {
    // A peer that takes too little would be disconnected: 40 MiB may wait.
    let (batch, batches) = if body.len() > 100_000 {
        (16, 40)
    } else {
        (64, 400)
    };
    let began = cpu()?;
    for _ in 0..batches {
        for _ in 0..batch {
            talker.say(body).await?;
        }
        for _ in 0..batch {
            out.next().await?;
        }
    }
    Ok((cpu()? - began) / u32::try_from(batches * batch)?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The budget of the one that stalls, in bytes.
const STALLED: u64 = 1 << 20;

/// How long a message takes while somebody else has stalled, and while nobody has.
async fn stall() -> Result<(), Failed> {
    let ((talker, mut out), daemon, path) = daemon().await?;
    let body = Bytes::from(vec![0xaa; 1_000]);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut waiting = 0;
    for _ in 0..ROUNDS {
        for is_stalled in [false, true] {
            let channel = channel(&path).await?;
            let mut client = DaemonClient::new(channel);
            let stalled = match is_stalled {
                true => Some(client.subscribe(request(STALLED)).await?.into_inner()),
                false => None,
            };
            // Until its budget is full, with what the connection holds besides.
            for _ in 0..if is_stalled { 4_000 } else { 0 } {
                talker.say(&body).await?;
                out.next().await?;
            }
            let all = latencies(&talker, &mut out, &body).await?;
            let us = |of: usize| all[of].as_secs_f64() * 1e6;
            let pair = (us(all.len() / 2), us(all.len() * 99 / 100));
            match is_stalled {
                true => beside.push(pair),
                false => alone.push(pair),
            }
            if is_stalled {
                waiting = daemon.subscriptions().waiting_bytes;
                assert!(waiting > STALLED / 2, "nobody stalled: {waiting} bytes wait");
            }
            drop((stalled, client));
            while daemon.subscriptions().open > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    type Which = fn(&(f64, f64)) -> f64;
    for (what, of) in [("p50", (|of| of.0) as Which), ("p99", |of| of.1)] {
        let list = |all: &[(f64, f64)]| all.iter().map(of).collect::<Vec<f64>>();
        let (alone, beside) = (list(&alone), list(&beside));
        let least = |all: &[f64]| all.iter().copied().fold(f64::MAX, f64::min);
        let most = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
        println!(
            "{{\"what\":\"{what}\",\"alone_us\":{:.1},\"alone_from\":{:.1},\"alone_to\":{:.1},\
             \"beside_us\":{:.1},\"beside_from\":{:.1},\"beside_to\":{:.1},\"waiting\":{waiting}}}",
            median(alone.clone()),
            least(&alone),
            most(&alone),
            median(beside.clone()),
            least(&beside),
            most(&beside),
        );
    }
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    match std::env::args().nth(1).as_deref() {
        Some("wire") => wire().await,
        Some("stall") => stall().await,
        _ => Err("usage: bench-api wire|stall".into()),
    }
}

async fn wire() -> Result<(), Failed> {
    let (mut api, mut plain) = (by_api().await?, by_bare().await?);
    for len in [100, 1_000, 10_000, 1_000_000] {
        let body = Bytes::from(vec![0xaa; len]);
        for (name, is_latency) in [("latency", true), ("processor time", false)] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                for (all, (talker, out)) in [(&mut theirs, &mut plain), (&mut ours, &mut api)] {
                    let took = match is_latency {
                        true => latency(talker, out, &body).await?,
                        false => work(talker, out, &body).await?,
                    };
                    all.push(took.as_secs_f64() * 1e6);
                }
            }
            let ratio = median(ours.iter().zip(&theirs).map(|(a, b)| a / b).collect());
            let (ours, theirs) = (median(ours), median(theirs));
            println!(
                "{{\"bytes\":{len},\"what\":\"{name}\",\"bare_us\":{theirs:.1},\
                 \"api_us\":{ours:.1},\"ratio\":{ratio:.3}}}"
            );
        }
    }
    Ok(())
}

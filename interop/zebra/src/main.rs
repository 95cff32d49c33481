//! A Zcash peer for conformance runs: the published `zebra-network`, driven by its public API.
//!
//! It prints JSON lines on standard output and zebra's own log on standard error. Three modes:
//!
//! - `serve` accepts connections and answers each one as an isolated zebra peer;
//! - `dial` connects as an isolated zebra peer, then measures one ping round trip;
//! - `init` starts a whole zebra peer set with a single initial peer, as a full node would.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    sync::Arc,
    time::Duration,
};

use serde_json::{json, Value};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time,
};
use tower::{Service, ServiceExt};
use zebra_chain::{chain_tip::NoChainTip, parameters::Network};
use zebra_network::{
    connect_isolated, types::Nonce, BoxError, CacheDir, Client, Config, PeerSocketAddr, Request,
    Response,
};

const USAGE: &str = "\
usage: zebra-peer serve --chain mainnet|testnet [--listen 127.0.0.1:PORT] [--count N] [--agent TEXT]
                        [--ping SECONDS]
       zebra-peer dial  --chain mainnet|testnet [--timeout SECONDS] [--no-ping] [--hold SECONDS] [--agent TEXT] ADDR
       zebra-peer init  --chain mainnet|testnet [--timeout SECONDS] [--agent TEXT] --peer ADDR";

/// The user agent when none is given. Isolated zebra connections pass through what they are told.
const DEFAULT_AGENT: &str = "/Zebra:15.0.0/interop/";

/// How long one handshake may take. Zebra's own limit is 3 s; this one also covers connecting.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a held connection is asked whether it is still alive.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(50);

/// What the command line asked for.
struct Args {
    chain: Network,
    listen: SocketAddr,
    count: Option<u64>,
    timeout: Duration,
    ping: bool,
    /// How often a peer that is kept is pinged, besides zebra's own heartbeat.
    every: Option<Duration>,
    hold: Duration,
    agent: String,
    peer: Option<SocketAddr>,
}

impl Args {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut chain = None;
        let mut args = Args {
            chain: Network::Mainnet,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            count: None,
            timeout: Duration::from_secs(30),
            ping: true,
            every: None,
            hold: Duration::ZERO,
            agent: DEFAULT_AGENT.to_owned(),
            peer: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--chain" => {
                    chain = Some(match value()?.as_str() {
                        "mainnet" => Network::Mainnet,
                        "testnet" => Network::new_default_testnet(),
                        other => return Err(format!("unknown chain {other}")),
                    });
                }
                "--listen" => args.listen = parsed(&word, &value()?)?,
                "--peer" => args.peer = Some(parsed(&word, &value()?)?),
                "--count" => args.count = Some(parsed(&word, &value()?)?),
                "--timeout" => args.timeout = Duration::from_secs(parsed(&word, &value()?)?),
                "--agent" => args.agent = value()?,
                "--hold" => args.hold = Duration::from_secs(parsed(&word, &value()?)?),
                "--ping" => args.every = Some(Duration::from_secs(parsed(&word, &value()?)?)),
                "--no-ping" => args.ping = false,
                flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
                addr => args.peer = Some(parsed("address", addr)?),
            }
        }
        args.chain = chain.ok_or("--chain is required")?;
        Ok(args)
    }

    fn peer(&self) -> Result<SocketAddr, BoxError> {
        self.peer.ok_or_else(|| "a peer address is required".into())
    }
}

fn parsed<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{what}: cannot read {text:?}"))
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let args = match (mode.as_str(), Args::parse(words)) {
        ("serve" | "dial" | "init", Ok(args)) => args,
        (_, parsed) => {
            let error = parsed.err().unwrap_or("unknown mode".to_owned());
            eprintln!("zebra-peer: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();

    // Zebra decodes with block_in_place, which a current-thread runtime refuses.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts with default limits");
    let outcome = runtime.block_on(async {
        match mode.as_str() {
            "serve" => serve(args).await,
            "dial" => dial(args).await,
            _ => init(args).await,
        }
    });
    // Zebra leaves background tasks behind; nothing they hold outlives this process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(json!({"type": "error", "error": chain_of(&*error)}));
            ExitCode::FAILURE
        }
    }
}

/// Answers every inbound connection until `count` greeted peers have come and gone.
async fn serve(args: Args) -> Result<(), BoxError> {
    let listener = TcpListener::bind(args.listen).await?;
    say(json!({"type": "listening", "addr": listener.local_addr()?.to_string()}));

    let args = Arc::new(args);
    let (greeted_tx, mut greeted_rx) = mpsc::channel::<()>(16);
    let mut connections = JoinSet::new();
    let mut finished = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, from) = accepted?;
                let _ = stream.set_nodelay(true);
                let (args, greeted_tx) = (args.clone(), greeted_tx.clone());
                connections.spawn(async move {
                    let greeting = connect_isolated(&args.chain, stream, args.agent.clone());
                    match within(HANDSHAKE_TIMEOUT, greeting).await {
                        Ok(client) => {
                            say(peer_line("inbound", from, &client));
                            let why = until_closed(client, args.every).await;
                            say(json!({"type": "closed", "addr": from.to_string(), "error": why}));
                            let _ = greeted_tx.send(()).await;
                        }
                        Err(error) => say(json!({
                            "type": "failed",
                            "direction": "inbound",
                            "addr": from.to_string(),
                            "error": chain_of(&*error),
                        })),
                    }
                });
            }
            Some(()) = greeted_rx.recv() => {
                finished += 1;
                if args.count.is_some_and(|count| finished >= count) {
                    return Ok(());
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Connects once, reports the remote's version message and one ping round trip, then stays
/// connected for `hold` or until the remote closes.
async fn dial(args: Args) -> Result<(), BoxError> {
    let addr = args.peer()?;
    let greeting = async {
        let stream = TcpStream::connect(addr).await?;
        // Zebra leaves Nagle's algorithm on, which would add a delayed acknowledgement
        // of some 40 ms to a ping that directly follows the verack.
        stream.set_nodelay(true)?;
        connect_isolated(&args.chain, stream, args.agent.clone()).await
    };
    let mut client = within(HANDSHAKE_TIMEOUT, greeting).await?;
    say(peer_line("outbound", addr, &client));
    if args.ping {
        let rtt = within(args.timeout, ping(&mut client)).await?;
        say(json!({"type": "pong", "addr": addr.to_string(), "rtt_ms": millis(rtt)}));
    }
    if let Ok(why) = time::timeout(args.hold, until_closed(client, None)).await {
        say(json!({"type": "closed", "addr": addr.to_string(), "error": why}));
    }
    Ok(())
}

/// Starts a full peer set that knows one peer, and waits for that peer to answer a ping.
async fn init(args: Args) -> Result<(), BoxError> {
    let addr = args.peer()?;
    // Zebra reads the list of the configured chain only.
    let config = Config {
        network: args.chain.clone(),
        listen_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        initial_mainnet_peers: std::iter::once(addr.to_string()).collect(),
        initial_testnet_peers: std::iter::once(addr.to_string()).collect(),
        cache_dir: CacheDir::IsEnabled(false),
        peerset_initial_target_size: 1,
        ..Config::default()
    };
    let inbound = tower::service_fn(|_request: Request| async { Ok(Response::Nil) });

    let work = async {
        // The unused handles stay alive while we wait: dropping them would end zebra's tasks.
        let (mut network, book, _misbehaviour, _advertiser) =
            zebra_network::init(config, inbound, NoChainTip, args.agent.clone()).await;
        say(json!({"type": "initialised", "addr": addr.to_string()}));
        loop {
            let last = match time::timeout(Duration::from_secs(2), ping(&mut network)).await {
                Ok(Ok(rtt)) => break Ok((rtt, book)),
                Ok(Err(error)) => chain_of(&*error),
                Err(_) => "no peer was ready".to_owned(),
            };
            eprintln!("zebra-peer: not ready yet: {last}");
            time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (rtt, book) = within(args.timeout, work).await?;
    let entry = book
        .lock()
        .map_err(|_| "the address book was poisoned")?
        .get(PeerSocketAddr::from(addr));
    say(json!({
        "type": "ready",
        "direction": "outbound",
        "addr": addr.to_string(),
        "agent": entry.as_ref().and_then(|entry| entry.user_agent()),
        "negotiated": entry.as_ref().and_then(|entry| entry.negotiated_version()).map(|v| v.0),
        "services": entry
            .as_ref()
            .and_then(|entry| entry.services())
            .map(|services| format!("{:#x}", services.bits())),
        "rtt_ms": millis(rtt),
    }));
    Ok(())
}

/// One ping round trip through anything that takes zebra's requests.
async fn ping<S>(service: &mut S) -> Result<Duration, BoxError>
where
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError>,
{
    // Predictable nonces are fine here: each is used once, on one connection.
    static NEXT: AtomicU64 = AtomicU64::new(0x7065_6572_6167_6500);
    let nonce = Nonce(NEXT.fetch_add(1, Ordering::Relaxed));
    let ready = service.ready().await.map_err(Into::into)?;
    match ready.call(Request::Ping(nonce)).await.map_err(Into::into)? {
        Response::Pong(rtt) => Ok(rtt),
        other => Err(format!("a ping was answered with {other}").into()),
    }
}

/// Keeps a connection alive (its own task answers pings), pings it every so often, and returns why
/// it ended.
async fn until_closed(mut client: Client, every: Option<Duration>) -> String {
    let mut next = every.map(|every| time::Instant::now() + every);
    loop {
        if let Err(error) = client.ready().await {
            return chain_of(&error);
        }
        if let (Some(at), Some(every)) = (next, every) {
            if at <= time::Instant::now() {
                next = Some(at + every);
                match ping(&mut client).await {
                    Ok(rtt) => say(json!({"type": "pong", "rtt_ms": millis(rtt)})),
                    Err(error) => return chain_of(&*error),
                }
            }
        }
        time::sleep(LIVENESS_INTERVAL).await;
    }
}

async fn within<T>(
    limit: Duration,
    work: impl std::future::Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(format!("no result within {} s", limit.as_secs()).into()))
}

fn peer_line(direction: &str, addr: SocketAddr, client: &Client) -> Value {
    let info = &client.connection_info;
    json!({
        "type": "peer",
        "direction": direction,
        "addr": addr.to_string(),
        "agent": info.remote.user_agent,
        "protocol_version": info.remote.version.0,
        "negotiated": info.negotiated_version.0,
        "services": format!("{:#x}", info.remote.services.bits()),
        "height": info.remote.start_height.0,
        "relay": info.remote.relay,
    })
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// An error and its causes, on one line. A cause whose text is already there is not repeated,
/// and the captured span traces that follow some of zebra's messages are left out.
fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        let line = message.lines().next().unwrap_or_default();
        let line = line.split("span backtrace").next().unwrap_or_default();
        let line = line.trim_end_matches([' ', ':']);
        if text.is_empty() {
            text = line.to_owned();
        } else if !text.contains(line) {
            text = format!("{text}: {line}");
        }
        next = error.source();
    }
    text
}

fn say(line: Value) {
    println!("{line}");
}

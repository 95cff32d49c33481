//! Reaching others through volunteers: a broker, three volunteers, and a client who has an invitation.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerage::core::{Blame, Detail, Retry, Stage};
use peerage::inproxy::broker::{Broker, BrokerConfig};
use peerage::inproxy::call::BrokerClient;
use peerage::inproxy::client::{ClientConfig, Dialer, Where};
use peerage::inproxy::destination::Hosts;
use peerage::inproxy::matcher::{CompartmentId, NetworkProtocol};
use peerage::inproxy::policy::Rule;
use peerage::inproxy::transport::{Channel, Udp, UdpConfig};
use peerage::inproxy::volunteer::{Event, Volunteer, VolunteerConfig};
use peerage::inproxy::{
    AllowList, BrokerAddress, EncodedEntry, Entry, OUTSIDE, PartySecret, SignedEntry, SignerSecret,
};
use peerage::net::{Connection, Target};
use peerage::networks::{Setup, by_name};
use peerage::{Destination, Failure, Kind, ProbeOptions, Reason, Route, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::cast::Nature;
use super::home::{ANY_PORT, Home, listen, serve};
use super::relayed::Step;
use super::text::short;
use super::world::World;
use crate::output::{Failed, environment, usage};

/// What destination entries and the broker of this world call themselves.
const TAG: &str = "demo";

/// How many volunteers there are.
const VOLUNTEERS: usize = 3;

/// How long one thing may take, in seconds.
const LIMIT: Duration = Duration::from_secs(20);

/// The most bytes of a page.
const MAX_PAGE: u64 = 1 << 20;

/// Events of volunteers that wait to be read.
const EVENTS: usize = 256;

/// A peer to be greeted through a volunteer.
struct Whom {
    name: String,
    network: &'static str,
    chain: &'static str,
    found_at: Destination,
}

/// A page, and where it is served.
struct Page {
    body: Arc<str>,
    at: SocketAddr,
    _home: Home,
}

/// Whoever introduces, carries and is carried. Dropping it ends them all.
struct Introduced {
    page: Page,
    peers: Vec<Whom>,
    broker: BrokerAddress,
    compartment: CompartmentId,
    entry: EncodedEntry,
    volunteers: Vec<AbortHandle>,
    /// What the volunteers did, each by its number.
    events: mpsc::Receiver<(usize, Event)>,
    #[expect(dead_code, reason = "the tasks of broker and volunteers end with it")]
    tasks: JoinSet<()>,
}

/// What is told through volunteers, of a world; it does not need the world to go on.
pub(super) async fn story(
    world: &World,
) -> Result<impl Future<Output = Vec<Step>> + Send + use<>, Failed> {
    let introduced = Introduced::start(world).await?;
    Ok(introduced.tell())
}

fn page(world: &World) -> Result<Page, Failed> {
    let rows = world.citizens.iter().map(|citizen| {
        let (name, address) = (&citizen.name, citizen.address());
        format!(
            "<tr><td>{name}<td>{address}<td>{}\n",
            citizen.nature.in_words()
        )
    });
    let rows: String = rows.collect();
    let body: Arc<str> =
        format!("<!doctype html><title>Who lives here</title><table>\n{rows}</table>\n").into();
    let (listener, endpoint) = listen()?;
    let shown = Arc::clone(&body);
    let home = serve(listener, move |guest: Connection<TcpStream>| {
        let shown = Arc::clone(&shown);
        async move {
            // Whoever hangs up early gets less.
            let _ = answer(guest.io, &shown).await;
        }
    });
    Ok(Page {
        body,
        at: endpoint.socket_addr(),
        _home: home,
    })
}

async fn answer(mut io: TcpStream, body: &str) -> io::Result<()> {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") && question.len() < 4096 {
        if io.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    let len = body.len();
    let head =
        format!("HTTP/1.0 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len}\r\n\r\n");
    io.write_all(head.as_bytes()).await?;
    io.write_all(body.as_bytes()).await?;
    io.shutdown().await
}

fn udp() -> Udp {
    let config = UdpConfig {
        bind: Ipv4Addr::LOCALHOST.into(),
        ..UdpConfig::default()
    };
    Udp::new(config, OUTSIDE)
}

/// An entry for every port of this machine, by this operator.
fn entry(operator: &SignerSecret) -> Result<EncodedEntry, Failed> {
    let entry = Entry {
        hosts: Hosts::Net(ANY_PORT.ip().into()),
        ports: (1, u16::MAX),
        protocol: NetworkProtocol::Tcp,
        expires: UnixTime(OUTSIDE.now().0 + 3600),
        tag: TAG.to_owned(),
    };
    let signed = SignedEntry::sign(entry, operator).map_err(usage)?;
    signed.encode().map_err(usage)
}

impl Introduced {
    async fn start(world: &World) -> Result<Self, Failed> {
        let page = page(world)?;
        let mut peers: Vec<Whom> = Vec::new();
        for citizen in &world.citizens {
            let realm = citizen.realm();
            let is_new = peers.iter().all(|peer| peer.network != realm.network);
            if is_new && matches!(citizen.nature, Nature::Healthy(_)) {
                peers.push(Whom {
                    name: citizen.name.clone(),
                    network: realm.network,
                    chain: realm.chain,
                    found_at: citizen.found_at.clone(),
                });
            }
        }
        let operator = SignerSecret::new(&OUTSIDE.bytes());
        let key = PartySecret::new(OUTSIDE.bytes());
        let compartment = CompartmentId(OUTSIDE.bytes());
        let listener = TcpListener::bind(ANY_PORT).await;
        let listener = listener.map_err(|error| environment(error, "no port for a broker"))?;
        let at = listener
            .local_addr()
            .map_err(|error| environment(error, "no port for a broker"))?;
        let broker = BrokerAddress {
            target: at.to_string().parse().map_err(usage)?,
            key: key.public(),
        };
        let mut config = BrokerConfig::new(key);
        config.compartments.add(compartment).map_err(usage)?;
        config.destinations.signers.insert(operator.public());
        config.destinations.tags.insert(TAG.to_owned());
        // All of this world is on loopback.
        config.loopback = true;
        let running = Broker::new(config, OUTSIDE).map_err(usage)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Without it nobody is introduced, which is told then.
            let _ = running.serve(listener, std::future::pending()).await;
        });
        // What they let others reach: the page, and the peers. Nothing else on this machine.
        let ports = peers.iter().map(|peer| peer.found_at.target.port);
        let rule = |port| Rule {
            net: page.at.ip().into(),
            ports: (port, port),
        };
        let allow = AllowList {
            rules: ports.chain([page.at.port()]).map(rule).collect(),
            private: true,
        };
        let (told, events) = mpsc::channel(EVENTS);
        let mut volunteers = Vec::new();
        for number in 0..VOLUNTEERS {
            let client =
                BrokerClient::new(broker.clone(), PartySecret::new(OUTSIDE.bytes()), OUTSIDE);
            let config = VolunteerConfig {
                allow: allow.clone(),
                ..VolunteerConfig::default()
            };
            let (sender, mut its) = mpsc::channel(EVENTS);
            let volunteer = Volunteer::new(client, udp(), config, sender);
            let told = told.clone();
            volunteers.push(tasks.spawn(async move {
                drop(volunteer.run(std::future::pending()).await);
            }));
            tasks.spawn(async move {
                while let Some(event) = its.recv().await {
                    // The last ones are told when nobody listens any more.
                    let _ = told.send((number, event)).await;
                }
            });
        }
        Ok(Self {
            page,
            peers,
            broker,
            compartment,
            entry: entry(&operator)?,
            volunteers,
            events,
            tasks,
        })
    }

    /// Somebody new, with this entry.
    fn client(&self, entry: &EncodedEntry) -> Dialer<Udp> {
        let secret = PartySecret::new(OUTSIDE.bytes());
        let broker = BrokerClient::new(self.broker.clone(), secret, OUTSIDE);
        let compartments = Where::Common(vec![self.compartment]);
        let mut config = ClientConfig::new(compartments, vec![entry.clone()]);
        // The story is short.
        config.tries = 4;
        Dialer::new(broker, udp(), config, OUTSIDE)
    }

    async fn tell(mut self) -> Vec<Step> {
        let client = self.client(&self.entry);
        let mut steps = Vec::new();
        let fetched = self.fetch(&client).await;
        steps.push(step("a page over HTTP", None, fetched));
        for peer in &self.peers {
            let what = format!("a handshake with {} of {}", peer.name, peer.network);
            steps.push(step(&what, None, greet(peer, &client).await));
        }
        steps.push(step(
            "a destination that nobody allowed",
            Some(Kind::Refused),
            self.ask_with_a_strangers_entry().await,
        ));
        let door: Target = self.broker.target.clone();
        let begun = Instant::now();
        let dialled = client.dial(&door, begun + LIMIT).await;
        let shut = dialled.map(|_| "reached it".to_owned());
        let shut = (shut.map_err(|error| error.reason()), begun);
        let what = "a port that no volunteer allows";
        steps.push(step(what, Some(Kind::Refused), shut));
        let carried_on = self.lose_one(&client).await;
        let what = "a page, after its volunteer left";
        steps.push(step(what, None, carried_on));
        steps
    }

    async fn fetch(&self, client: &Dialer<Udp>) -> Got {
        let begun = Instant::now();
        let fetched = async {
            let channel = self.dial(client, begun).await?;
            let through = channel.path().remote;
            let took = begun.elapsed();
            let body = page_of(channel, begun + LIMIT).await.map_err(broken)?;
            if *body != *self.page.body.as_bytes() {
                return Err(broken(io::ErrorKind::InvalidData.into()));
            }
            Ok(format!(
                "{} bytes through the volunteer at {through}, connected after {}",
                body.len(),
                short(took)
            ))
        };
        (fetched.await, begun)
    }

    async fn dial(&self, client: &Dialer<Udp>, begun: Instant) -> Result<Channel, Reason> {
        let to = self.page.at.to_string().parse();
        let to: Target = to.map_err(|_| broken(io::ErrorKind::InvalidInput.into()))?;
        let dialled = client.dial(&to, begun + LIMIT).await;
        dialled.map_err(|error| error.reason())
    }

    async fn ask_with_a_strangers_entry(&self) -> Got {
        let begun = Instant::now();
        let stranger = SignerSecret::new(&OUTSIDE.bytes());
        let Ok(entry) = entry(&stranger) else {
            return (Err(broken(io::ErrorKind::InvalidInput.into())), begun);
        };
        let reached = self.dial(&self.client(&entry), begun).await;
        (reached.map(|_| "reached it".to_owned()), begun)
    }

    /// Ends the volunteer that carries a connection, and fetches the page through another.
    async fn lose_one(&mut self, client: &Dialer<Udp>) -> Got {
        let begun = Instant::now();
        while self.events.try_recv().is_ok() {}
        let mut channel = match self.dial(client, begun).await {
            Ok(channel) => channel,
            Err(reason) => return (Err(reason), begun),
        };
        let carries = async {
            loop {
                match self.events.recv().await {
                    Some((number, Event::Relaying { .. })) => break Some(number),
                    Some(_) => {}
                    None => break None,
                }
            }
        };
        let carries = timeout_at(begun + LIMIT, carries).await.ok().flatten();
        let Some(volunteer) = carries.and_then(|number| self.volunteers.get(number)) else {
            return (Err(broken(io::ErrorKind::NotFound.into())), begun);
        };
        volunteer.abort();
        let killed_at = Instant::now();
        // Nothing was asked yet, so the page has nothing to say: what comes is the end.
        let noticed = timeout_at(killed_at + LIMIT, channel.read(&mut [0; 1])).await;
        let after = killed_at.elapsed();
        if noticed.is_err() {
            return (Err(broken(io::ErrorKind::TimedOut.into())), begun);
        }
        let (again, _) = self.fetch(client).await;
        let again = again.map(|words| format!("noticed after {}; {words}", short(after)));
        (again, begun)
    }
}

/// What came of something, and when it was begun.
type Got = (Result<String, Reason>, Instant);

fn step(what: &str, expected: Option<Kind>, (got, begun): Got) -> Step {
    Step {
        what: what.to_owned(),
        expected,
        got,
        took: begun.elapsed(),
    }
}

fn broken(error: io::Error) -> Reason {
    let kind = Kind::Transport;
    Reason {
        stage: Stage::Reach,
        kind,
        blame: Blame::Network,
        retry: Retry::Now,
        detail: Detail::none(),
        message: format!("the page did not come whole: {error}").into(),
    }
}

/// The page at the other end.
async fn page_of(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    deadline: Instant,
) -> io::Result<Vec<u8>> {
    let fetch = async {
        io.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut response = Vec::new();
        (&mut io).take(MAX_PAGE).read_to_end(&mut response).await?;
        let head = response.windows(4).position(|four| four == b"\r\n\r\n");
        let head = head.ok_or(io::ErrorKind::InvalidData)?;
        Ok(response.split_off(head + 4))
    };
    timeout_at(deadline, fetch)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

/// A peer of a network, greeted through a volunteer.
async fn greet(peer: &Whom, client: &Dialer<Udp>) -> Got {
    let begun = Instant::now();
    let setup = Setup {
        route: Route::by(client.clone()),
        ..Setup::new(peer.chain)
    };
    let node = by_name(peer.network).and_then(|network| network.node(&setup).ok());
    let Some(node) = node else {
        return (Err(broken(io::ErrorKind::Unsupported.into())), begun);
    };
    let options = ProbeOptions {
        limit: LIMIT,
        tape_limit: 0,
    };
    let probe = node.probe(&peer.found_at, &options).await;
    let greeted = probe.verdict.map(|facts| format!("it is {}", facts.agent));
    (greeted, begun)
}

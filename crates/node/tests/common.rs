//! A network of lines, and nodes of it.
//!
//! Both ends say `hello NAME VERSION`, and `-` is no name. Then: `ping N`, `pong N`, `ask KEY`,
//! `ans KEY`, `getaddr`, `addr ENDPOINT,ENDPOINT`, `bye WORD`; everything else is gossip.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerage_book::{Address, GossipEntry, Greeted, Identity, Key, Role, Verdict};
use peerage_core::{ConnectedAddr, Detail, Endpoint, Kind, PeerText, Reason, Stage, UnixTime};
use peerage_find::Candidate;
use peerage_net::{Connection, Listener, Stream};
use peerage_node::{Event, Events, Handle, Heard, Link, Live, Network, Setup, Whom, start};
use peerage_peers::{AdmissionRules, Config, Outcome, Parting, Phase, SessionId, Tie, Types};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

/// A network whose peers are known by a name, or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Toy {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    /// Where its dials come from.
    pub(crate) host: Ipv4Addr,
}

#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) version: u32,
    /// Where it says that it can be dialled.
    pub(crate) at: Option<Endpoint>,
}

/// The types of [`Toy`].
#[derive(Debug)]
pub(crate) struct Words;

impl Types for Words {
    type Identity = Key;
    type Profile = Profile;
    /// The least version of use.
    type Status = u32;
    type Message = String;
    type Key = u64;

    fn judge(least: &u32, profile: &Profile) -> Result<(), Reason> {
        if profile.version < *least {
            return Err(reason(Stage::Keep("status"), Kind::Obsolete, "too old"));
        }
        Ok(())
    }

    fn ping(nonce: u64) -> String {
        format!("ping {nonce}")
    }
}

pub(crate) fn reason(stage: Stage, kind: Kind, message: &str) -> Reason {
    Reason {
        stage,
        kind,
        blame: kind.blame(),
        retry: kind.retry(),
        detail: Detail::none(),
        message: message.into(),
    }
}

/// Lines over a connection.
#[derive(Debug)]
pub(crate) struct Lines {
    io: Stream,
    input: Vec<u8>,
    output: Vec<u8>,
    traffic: (usize, usize),
}

impl Lines {
    pub(crate) fn new(io: TcpStream) -> Self {
        // The kernel waits in real time, which here stands still.
        io.set_nodelay(true).unwrap();
        Self::over(io.into())
    }

    /// Over a connection of ours, which does not wait.
    fn over(io: Stream) -> Self {
        let (input, output, traffic) = (Vec::new(), Vec::new(), (0, 0));
        Self {
            io,
            input,
            output,
            traffic,
        }
    }

    /// The next line; `None` at the end. Dropping the future loses nothing.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=at).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            match self.io.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.traffic.0 += len,
            }
        }
    }

    /// Writes bytes that need not be a line.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.io.write_all(bytes).await
    }

    /// Writes a line, and before it what an earlier cancelled call left.
    pub(crate) async fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.output.extend_from_slice(line.as_bytes());
        self.output.push(b'\n');
        while !self.output.is_empty() {
            let len = self.io.write(&self.output).await?;
            self.output.drain(..len);
            self.traffic.1 += len;
        }
        Ok(())
    }
}

fn identity(name: &str) -> Option<Identity> {
    (name != "-").then(|| Identity::new(name.as_bytes()).unwrap())
}

const HELLO: Stage = Stage::Greet("hello");

impl Network for Toy {
    type Types = Words;
    type Link = Lines;

    const NETWORK: peerage_core::Network = peerage_core::Network("toy");

    fn has_identities(&self) -> bool {
        self.name != "-"
    }

    async fn reach(&self, whom: &Whom, deadline: Instant) -> Result<Connection<Stream>, Reason> {
        let Address::At(endpoint) = whom.address else {
            panic!("names are not for toys");
        };
        let to = SocketAddr::new(endpoint.ip(), endpoint.port());
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.host, 0).into()).unwrap();
        let connecting = timeout_at(deadline, socket.connect(to)).await;
        let io = connecting.map_err(|_| reason(Stage::Reach, Kind::Timeout, "slow"))?;
        let io = io.map_err(|_| reason(Stage::Reach, Kind::Unreachable, "nobody there"))?;
        io.set_nodelay(true).unwrap();
        Ok(Connection {
            io: io.into(),
            addr: ConnectedAddr::OutboundDirect { addr: endpoint },
            resolved_in: None,
            reached_in: Duration::ZERO,
        })
    }

    async fn greet(
        &self,
        connection: Connection<Stream>,
        _: Option<&Whom>,
        deadline: Instant,
    ) -> Result<Live<Self>, Outcome> {
        let mut link = Lines::over(connection.io);
        let hello = format!("hello {} {}", self.name, self.version);
        let _broken = link.say(&hello).await;
        let heard = timeout_at(deadline, link.line()).await;
        let heard = heard.map_err(|_| Outcome::Failed(reason(HELLO, Kind::Timeout, "silent")))?;
        let line = heard.ok_or(Outcome::Left)?;
        let words: Vec<_> = line.split(' ').collect();
        let ["hello", name, version, ref at @ ..] = words[..] else {
            let reason = reason(HELLO, Kind::NotThisProtocol, "no hello");
            return Err(Outcome::Refused(reason));
        };
        let version = version.parse().unwrap();
        let at = at
            .first()
            .map(|at| at.parse::<SocketAddr>().unwrap().into());
        Ok(Live {
            identity: identity(name),
            tie: Tie::between(&self.name, &name),
            profile: Profile { version, at },
            greeted: Greeted {
                services: None,
                agent: PeerText::default(),
            },
            link,
        })
    }

    fn judge(&self, _: &Candidate) -> Verdict {
        Verdict::Unknown
    }

    fn ask_for_addrs() -> Option<String> {
        Some("getaddr".to_owned())
    }

    fn asks_for_addrs(message: &String) -> bool {
        message == "getaddr"
    }

    fn says_of_itself(profile: &Profile) -> Option<(Endpoint, u64)> {
        Some((profile.at?, 1))
    }

    fn addrs(message: &String) -> Option<Vec<GossipEntry>> {
        let list = message.strip_prefix("addr ")?;
        let entry = |text: &str| GossipEntry {
            endpoint: text.parse::<SocketAddr>().unwrap().into(),
            services: 1,
            seen: WALL,
        };
        Some(list.split(',').map(entry).collect())
    }

    fn tell_addrs(addrs: &[GossipEntry], _: &Profile) -> Option<String> {
        let list: Vec<_> = addrs.iter().map(|it| it.endpoint.to_string()).collect();
        Some(format!("addr {}", list.join(",")))
    }

    fn len(message: &String) -> usize {
        message.len() + 1
    }
}

impl Link<Words> for Lines {
    async fn recv(&mut self) -> Result<Heard<Words>, Outcome> {
        use peerage_peers::Heard as Of;
        let line = self.line().await.ok_or(Outcome::Left)?;
        let len = line.len() + 1;
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let number = || rest.split(' ').next().unwrap().parse().unwrap();
        let heard = match word {
            "ping" => Of::Ping {
                pong: format!("pong {rest}"),
            },
            "pong" => Of::Pong {
                nonce: Some(number()),
            },
            "ask" => Of::Request(line),
            "ans" => Of::Answer {
                key: number(),
                message: line,
            },
            "bye" => {
                let reason = reason(Stage::Keep("receive"), Kind::Left, rest);
                return Err(Outcome::Goodbye(reason));
            }
            _ => Of::Gossip(line),
        };
        Ok((heard, len))
    }

    async fn send(&mut self, message: &String) -> Result<(), Outcome> {
        let sent = self.say(message).await;
        sent.map_err(|_| Outcome::Failed(reason(Stage::Keep("send"), Kind::Transport, "broken")))
    }

    async fn flush(&mut self, hears: bool) -> Result<Option<Heard<Words>>, Outcome> {
        while !self.output.is_empty() {
            if hears && self.input.contains(&b'\n') {
                return self.recv().await.map(Some);
            }
            let (mut reading, mut writing) = tokio::io::split(&mut self.io);
            let len = tokio::select! {
                biased;
                written = writing.write(&self.output) => {
                    let len = written.map_err(|_| Outcome::Left)?;
                    self.output.drain(..len);
                    self.traffic.1 += len;
                    continue;
                }
                read = reading.read_buf(&mut self.input), if hears => read,
            };
            match len {
                Ok(0) | Err(_) => return Err(Outcome::Left),
                Ok(len) => self.traffic.0 += len,
            }
        }
        Ok(None)
    }

    async fn goodbye(&mut self, say: Parting) {
        let _broken = self.say(&format!("bye {say}")).await;
    }

    fn traffic(&mut self) -> (usize, usize) {
        std::mem::take(&mut self.traffic)
    }
}

/// The hour of all tests.
pub(crate) const WALL: UnixTime = UnixTime(1_800_000_000);

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A running node.
pub(crate) struct Running {
    pub(crate) handle: Handle<Toy>,
    pub(crate) events: Events<Toy>,
    pub(crate) at: Endpoint,
}

pub(crate) fn listener() -> (Listener, Endpoint) {
    listener_at(Ipv4Addr::LOCALHOST)
}

pub(crate) fn listener_at(host: Ipv4Addr) -> (Listener, Endpoint) {
    let listener = Listener::bind((host, 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    (listener, at)
}

/// Where nobody listens.
pub(crate) fn nowhere() -> Endpoint {
    listener().1
}

/// A node without a name that listens, after `change`.
pub(crate) fn node(change: impl FnOnce(&mut Setup<Toy>)) -> Running {
    node_at(listener(), change)
}

/// The same at this listener.
pub(crate) fn node_at(
    (listener, at): (Listener, Endpoint),
    change: impl FnOnce(&mut Setup<Toy>),
) -> Running {
    let mut setup = Setup {
        network: Toy {
            name: "-",
            version: 7,
            host: Ipv4Addr::LOCALHOST,
        },
        peers: Config::zcash(),
        status: 1,
        book: peerage_book::Config {
            local: true,
            ..peerage_book::Config::default()
        },
        admission: AdmissionRules::default(),
        listeners: vec![listener],
        finders: Vec::new(),
        store: None,
        wall: || WALL,
        seed: [9; 32],
    };
    change(&mut setup);
    let (handle, events) = start(setup).unwrap();
    Running { handle, events, at }
}

/// A node of this name.
pub(crate) fn named(name: &'static str, change: impl FnOnce(&mut Setup<Toy>)) -> Running {
    node(|setup| {
        setup.network.name = name;
        change(setup);
    })
}

impl Running {
    /// The next event that is wanted; those between are dropped.
    pub(crate) async fn until<A>(&mut self, wanted: impl Fn(&Event<Toy>) -> Option<A>) -> A {
        loop {
            let next = tokio::time::timeout(secs(3_600), self.events.next()).await;
            let event = next.expect("an event within the hour").expect("a node");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    pub(crate) async fn established(&mut self) -> SessionId {
        self.until(|event| match event {
            Event::Established { id, .. } => Some(*id),
            _ => None,
        })
        .await
    }

    pub(crate) async fn message(&mut self) -> String {
        self.until(|event| match event {
            Event::Message { message, .. } => Some(message.clone()),
            _ => None,
        })
        .await
    }

    /// Why the next session ended.
    pub(crate) async fn closed(&mut self) -> (SessionId, Reason) {
        self.until(|event| match event {
            Event::Closed(closed) => Some((closed.id, closed.reason.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn pin(&self, at: Endpoint, role: Role) -> Key {
        let pinned = self.handle.pin(None, Address::At(at), role).await;
        pinned.unwrap().unwrap()
    }

    /// Sessions now.
    pub(crate) async fn active(&self) -> Vec<SessionId> {
        let peers = self.handle.peers().await.unwrap();
        let active = peers.iter().filter(|peer| peer.phase == Phase::Active);
        active.map(|peer| peer.id).collect()
    }
}

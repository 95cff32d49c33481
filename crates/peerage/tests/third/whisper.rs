//! A network unlike the others: peers have keys, the stream is hidden, stages and options differ.
//!
//! Who dials sends its seed, covered by the key of whom it expects; from then on every byte is
//! covered by the seed's. Both then say `hello NAME\n`. Pings are `p`, pongs `q`.

use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::time::Instant as StdInstant;

use bytes::{Bytes, BytesMut};
use peerage::core::{AcceptAll, Failed, Handshake, Interruption, Policy, Session, Step};
use peerage::faults::Fault;
use peerage::net::{Connection, Target};
use peerage::networks::{
    About, AddressError, BadOption, BoxFuture, ChainFacts, Described, Explained, Line, NodeOption,
    Options, PeerFacts, VersionFacts,
};
use peerage::protocol::{Attempt, Parts, Stages};
use peerage::{
    Destination, Dialogue, Direction, Endpoint, Failure, Greeter, Kind, Network, NodeKey, PeerKey,
    PeerText, Protocol, Stage, TableFile, UnixTime, UnknownChain,
};
use tokio::net::TcpStream;
use tokio::time::Instant;

const NETWORK: Network = Network("whisper");
const STEPS: &[&str] = &["secret", "hello"];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Whisper;

/// The names of the chains, a word each.
#[derive(Debug)]
pub(crate) struct Names(Vec<String>);

impl TableFile for Names {
    type Error = Infallible;

    fn parse(_: Network, text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split_whitespace().map(str::to_owned).collect()))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Local {
    chain: String,
    name: String,
    head: u64,
    key: [u8; 32],
}

#[derive(Clone, Debug)]
pub(crate) struct Info {
    name: String,
    addr: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error<R: Debug + Display> {
    #[error("{0}")]
    Rejected(R),
    #[error("whom to expect is not known")]
    NoKey,
    #[error("{what} at {step}")]
    Broken {
        step: &'static str,
        what: &'static str,
        kind: Kind,
    },
}

impl<R: Debug + Display> Failure for Error<R> {
    fn stage(&self) -> Stage {
        match self {
            Self::NoKey => Stage::Input,
            Self::Rejected(_) => Stage::Greet("hello"),
            Self::Broken { step, .. } => Stage::Greet(step),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoKey => Kind::Usage,
            Self::Rejected(_) => Kind::Rejected,
            Self::Broken { kind, .. } => *kind,
        }
    }
}

fn cover(bytes: &[u8], with: u8) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ with).collect()
}

/// What a node's peers know it by.
fn public(secret: &[u8; 32]) -> PeerKey {
    let mut key = [0; 64];
    key[..32].copy_from_slice(&secret.map(|byte| byte.wrapping_add(1)));
    PeerKey(key)
}

#[derive(Debug)]
pub(crate) struct Greeting<P> {
    policy: P,
    addr: String,
    hello: Vec<u8>,
    output: BytesMut,
    /// How it is hidden, once that is known; until then our own public key.
    state: Result<u8, PeerKey>,
}

impl<P: Policy<String>> Greeting<P> {
    fn step(&self) -> &'static str {
        STEPS[usize::from(self.state.is_ok())]
    }

    fn broken(&self, what: &'static str, kind: Kind) -> Failed<Error<P::Rejection>> {
        let step = self.step();
        Failed::silent(Error::Broken { step, what, kind })
    }

    fn hide(&mut self, with: u8) {
        self.state = Ok(with);
        self.output.extend_from_slice(&cover(&self.hello, with));
    }
}

/// The beginning of every seed, so that a wrong key shows.
const MARK: u8 = 0xa5;

impl<P: Policy<String>> Handshake for Greeting<P> {
    type Peer = (Info, Codec);
    type Error = Error<P::Rejection>;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    fn advance(mut self, _: StdInstant, input: &mut BytesMut) -> Step<Self> {
        match self.state {
            Err(_) if input.len() < 2 => Step::More(self, None),
            Err(key) => {
                let secret = cover(&input.split_to(2), key.0[0]);
                if secret[0] != MARK {
                    return Step::Failed(self.broken("it expects another", Kind::Violation));
                }
                self.hide(secret[1]);
                Step::More(self, None)
            }
            Ok(with) => {
                let end = cover(input, with).iter().position(|byte| *byte == b'\n');
                let Some(end) = end else {
                    return Step::More(self, None);
                };
                let line = cover(&input.split_to(end + 1), with);
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                let Some(name) = line.strip_prefix("hello ") else {
                    return Step::Failed(self.broken("no hello", Kind::Malformed));
                };
                let name = name.to_owned();
                if let Err(rejection) = self.policy.judge(&name) {
                    return Step::Failed(Failed::silent(Error::Rejected(rejection)));
                }
                let addr = self.addr;
                Step::Done((Info { name, addr }, Codec(with)))
            }
        }
    }

    fn interrupt(self, cause: Interruption) -> Failed<Self::Error> {
        match cause {
            Interruption::Closed => self.broken("closed", Kind::Closed),
            Interruption::DeadlinePassed => self.broken("late", Kind::Timeout),
            Interruption::Cancelled => self.broken("cancelled", Kind::Cancelled),
            Interruption::Transport(_) => self.broken("broke", Kind::Transport),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Codec(u8);

impl Session for Codec {
    type Message = u8;
    type Error = Error<Infallible>;

    const MAX_WIRE_LEN: usize = 1;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<u8>, Self::Error> {
        let next = (!input.is_empty()).then(|| input.split_to(1)[0] ^ self.0);
        Ok(next)
    }

    fn encode(&mut self, message: &u8, output: &mut BytesMut) -> Result<(), Self::Error> {
        output.extend_from_slice(&[message ^ self.0]);
        Ok(())
    }

    fn ping(_: u64) -> u8 {
        b'p'
    }

    fn is_pong(message: &u8, _: u64) -> bool {
        *message == b'q'
    }

    fn answer_to_ping(message: &u8) -> Option<u8> {
        (*message == b'p').then_some(b'q')
    }
}

impl Protocol for Whisper {
    const NETWORK: Network = NETWORK;
    const SCHEMES: &'static [&'static str] = &["whisper://", "wsp:"];
    const STAGES: Stages = Stages {
        resolve: "dns",
        reach: "tcp",
        greet: STEPS,
        keep: "ping",
    };

    type Table = Names;
    type Local = Local;
    type View = String;
    type Info = Info;
    type Session = Codec;
    type Error<R: Debug + Display> = Error<R>;
    type Finished = (Info, Codec);
    type Greeting<P: Policy<String>> = Greeting<P>;

    fn builtin_table() -> Names {
        Names(vec!["mainnet".into()])
    }

    fn local(table: &Names, chain: &str, key: &NodeKey) -> Result<Local, UnknownChain> {
        let names = || table.0.iter().map(String::as_str);
        if !names().any(|name| name == chain) {
            return Err(UnknownChain::new(NETWORK, chain, names()));
        }
        Ok(Local {
            chain: chain.into(),
            name: "nobody".into(),
            head: 0,
            key: *key.secret_bytes(),
        })
    }

    fn set_key(local: &mut Local, key: &NodeKey) {
        local.key = *key.secret_bytes();
    }

    fn port(_: &Local) -> u16 {
        4
    }

    fn destination(local: &Local, text: &str) -> Result<Destination, AddressError> {
        let schemes = Self::SCHEMES;
        let bare = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        let bare = bare.unwrap_or(text);
        let (key, host) = bare.split_once('@').ok_or_else(|| AddressError::NoKey {
            network: NETWORK,
            expected: Self::address_of(bare),
        })?;
        Ok(Destination {
            key: Some(key.parse()?),
            target: Target::parse(host, Self::port(local))?,
        })
    }

    fn greeting<P: Policy<String>>(
        local: &Local,
        attempt: &Attempt,
        policy: P,
    ) -> Result<Greeting<P>, Error<P::Rejection>> {
        let mut greeting = Greeting {
            policy,
            addr: attempt.addr.to_string(),
            hello: format!("hello {}\n", local.name).into(),
            output: BytesMut::new(),
            state: Err(public(&local.key)),
        };
        if attempt.addr.direction() == Direction::Outbound {
            let key = attempt.to.as_ref().and_then(|to| to.key);
            let key = key.ok_or(Error::NoKey)?;
            let with = attempt.seed.secret_bytes()[0];
            let secret = cover(&[MARK, with], key.0[0]);
            greeting.output.extend_from_slice(&secret);
            greeting.hide(with);
        }
        Ok(greeting)
    }

    fn stage<P: Policy<String>>(greeting: &Greeting<P>) -> Stage {
        Stage::Greet(greeting.step())
    }

    fn take_apart((info, session): (Info, Codec)) -> Parts<Self> {
        let early = 0;
        Parts {
            info,
            early,
            session,
        }
    }
}

impl Described for Whisper {
    const OPTIONS: &'static [NodeOption] = &[NodeOption::Head];
    const FAULTS: &'static [Fault] = &[Fault::Closing, Fault::Garbage];

    fn chains(table: &Names) -> Vec<ChainFacts> {
        let facts = |name: &String| ChainFacts {
            name: name.as_str().into(),
            port: 4,
            magic: None,
        };
        table.0.iter().map(facts).collect()
    }

    fn chain(local: &Local) -> &str {
        &local.chain
    }

    fn address_of(host: &str) -> String {
        format!("whisper://KEY@{host}")
    }

    fn shown(destination: &Destination) -> String {
        let key = destination.key.map(|key| key.to_string());
        format!("whisper://{}@{}", key.unwrap(), destination.target)
    }

    fn found_at(local: &Local, endpoint: Endpoint) -> Destination {
        Destination {
            target: endpoint.into(),
            key: Some(public(&local.key)),
        }
    }

    fn apply(local: &mut Local, options: &Options) -> Result<(), BadOption> {
        local.head = options.head.map_or(0, |head| head.number);
        Ok(())
    }

    fn set_listen_addr(_: &mut Local, _: Option<Endpoint>) {}

    fn set_agent(local: &mut Local, agent: PeerText) {
        local.name = agent.to_string();
    }

    fn facts(info: &Info, early: usize) -> PeerFacts {
        PeerFacts {
            addr: info.addr.clone(),
            agent: info.name.as_str().into(),
            height: None,
            dropped: 0,
            early,
            rtt: None,
            // There is no variant of its own for a network that only the tests know.
            about: About::Version(VersionFacts {
                protocol_version: 1,
                negotiated: 1,
                services: 0,
                services_shown: "none".into(),
                time: UnixTime(0),
                relay: false,
            }),
        }
    }

    fn explain(_: &Local, _: Option<u32>, frame: &[u8]) -> Explained {
        Explained {
            command: frame.first().map(u8::to_string),
            ..Explained::default()
        }
    }

    /// What we said after the secret, and all that the peer said, without its cover.
    fn explain_dialogue(_: &Local, dialogue: &Dialogue, _: Option<&PeerFacts>) -> Vec<Line> {
        let with = dialogue.attempt.seed.secret_bytes()[0];
        let line = |(direction, offset)| {
            let stream = dialogue.stream(direction);
            let bytes = stream.bytes[offset..].to_vec();
            Line {
                direction,
                at: stream.complete_at(stream.bytes.len()),
                offset,
                explained: Explained {
                    plain: Some(cover(&bytes, with)),
                    ..Explained::default()
                },
                bytes,
            }
        };
        [(Direction::Outbound, 2), (Direction::Inbound, 0)]
            .map(line)
            .into()
    }

    /// Greets, talks nonsense under the cover, and hangs up.
    fn misbehave<'a>(
        node: &'a Greeter<Self>,
        _: &'a Names,
        fault: Fault,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'a, ()> {
        let mut node = node.clone();
        Box::pin(async move {
            if fault == Fault::Garbage {
                node.local_mut().name = "\nnonsense".into();
                drop(node.greet(connection, AcceptAll, deadline).await);
            }
        })
    }
}

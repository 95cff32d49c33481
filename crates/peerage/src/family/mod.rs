//! The version/verack family: one implementation for every network of it.

mod described;
mod explain;
mod facts;
mod faults;

use std::fmt::{Debug, Display};

use peerage_core::{Network, Policy, Stage};
use peerage_net::Target;
use peerage_verack::nonce::{Domain, NonceKeys};
use peerage_verack::table::TableError;
use peerage_verack::{
    Codec, Dialect, Greeting, HandshakeError, Local, Peer, PeerInfo, RemoteVersion, Table, decred,
    zcash,
};

pub use facts::VersionFacts;
pub use faults::script;

use crate::destination::{AddressError, Destination};
use crate::dial::UnknownChain;
use crate::identity::NodeKey;
use crate::protocol::{Attempt, Parts, Protocol, Stages};
use crate::tables::TableFile;

/// A network of the version/verack family with a compiled-in table. It is a [`Protocol`] by itself.
pub trait Builtin: Dialect {
    /// What its addresses begin with: `zec://`.
    const SCHEMES: &'static [&'static str];

    /// The compiled-in table.
    fn builtin_table() -> Table;
}

impl Builtin for zcash::Zcash {
    const SCHEMES: &'static [&'static str] = &["zec://"];

    fn builtin_table() -> Table {
        zcash::builtin_table()
    }
}

impl Builtin for decred::Decred {
    const SCHEMES: &'static [&'static str] = &["dcr://"];

    fn builtin_table() -> Table {
        decred::builtin_table()
    }
}

impl TableFile for Table {
    type Error = TableError;

    fn parse(network: Network, text: &str) -> Result<Self, TableError> {
        Self::parse(network, text)
    }
}

impl<D: Builtin> Protocol for D {
    const NETWORK: Network = <D as Dialect>::NETWORK;
    const SCHEMES: &'static [&'static str] = <D as Builtin>::SCHEMES;
    const STAGES: Stages = Stages {
        resolve: "resolve",
        reach: "reach",
        greet: &["version", "verack"],
        keep: "ping",
    };

    type Table = Table;
    type Local = Local<D>;
    type View = RemoteVersion;
    type Info = PeerInfo;
    type Session = Codec<D>;
    type Error<R: Debug + Display> = HandshakeError<R>;
    type Finished = Box<Peer<D>>;
    type Greeting<P: Policy<RemoteVersion>> = Greeting<D, P>;

    fn builtin_table() -> Table {
        <D as Builtin>::builtin_table()
    }

    fn local(table: &Table, chain: &str, key: &NodeKey) -> Result<Local<D>, UnknownChain> {
        let found = table.chain(chain).cloned().ok_or_else(|| {
            let known = table.chains.iter().map(|chain| chain.name.as_str());
            UnknownChain::new(<D as Dialect>::NETWORK, chain, known)
        })?;
        let agent = concat!("/peerage:", env!("CARGO_PKG_VERSION"), "/");
        let version = table.protocol_version;
        Ok(Local::new(found, version, agent.into(), nonce_keys(key)))
    }

    fn set_key(local: &mut Local<D>, key: &NodeKey) {
        local.nonce_keys = nonce_keys(key);
    }

    fn port(local: &Local<D>) -> u16 {
        local.chain.port
    }

    fn destination(local: &Local<D>, text: &str) -> Result<Destination, AddressError> {
        let schemes = <D as Builtin>::SCHEMES;
        let bare = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
        if let (None, Some((got, rest))) = (bare, text.split_once("://")) {
            return Err(AddressError::OtherScheme {
                got: format!("{got}://").as_str().into(),
                network: <D as Dialect>::NETWORK,
                expected: format!("{}{rest}", schemes.first().copied().unwrap_or_default()),
            });
        }
        let bare = bare.map_or(text, |bare| bare.strip_suffix('/').unwrap_or(bare));
        Ok(Target::parse(bare, local.chain.port)?.into())
    }

    fn greeting<P: Policy<RemoteVersion>>(
        local: &Local<D>,
        attempt: &Attempt,
        policy: P,
    ) -> Result<Greeting<D, P>, HandshakeError<P::Rejection>> {
        let [a, b, c, d, e, f, g, h, ..] = *attempt.seed.secret_bytes();
        let attempt = peerage_verack::Attempt {
            addr: attempt.addr,
            domain: Domain::default(),
            time: attempt.time,
            random: [a, b, c, d, e, f, g, h],
        };
        Ok(local.greet_with(attempt, policy))
    }

    fn stage<P: Policy<RemoteVersion>>(greeting: &Greeting<D, P>) -> Stage {
        greeting.awaited().stage()
    }

    fn take_apart(finished: Box<Peer<D>>) -> Parts<D> {
        let early = finished.early().len();
        let (info, session) = finished.into_parts();
        Parts {
            info,
            early,
            session,
        }
    }
}

/// What recognises our own connections; a hash, so that nothing of the key shows in it.
fn nonce_keys(key: &NodeKey) -> NonceKeys {
    let mut labelled = b"peerage nonce keys 1".to_vec();
    labelled.extend_from_slice(key.secret_bytes());
    let digest = decred::blake256::blake256(&labelled);
    let mut master = [0; 16];
    master.copy_from_slice(&digest[..16]);
    NonceKeys::new(master)
}

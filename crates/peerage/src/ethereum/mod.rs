//! Ethereum: RLPx, Hello and Status.

mod address;
mod described;
mod explain;
mod facts;
mod faults;

use std::fmt::{Debug, Display};

use peerage_core::{Direction, Network, Policy, Stage};
use peerage_ethereum::key::{Ephemeral, InvalidKey};
use peerage_ethereum::rlpx::Fresh;
use peerage_ethereum::table::{NETWORK, TableError};
use peerage_ethereum::{
    Codec, Greeting, HandshakeError, Local, Peer, PeerId, PeerInfo, PublicKey, Remote, SecretKey,
    Table,
};

pub use facts::EthereumFacts;

use crate::destination::{AddressError, Destination};
use crate::dial::UnknownChain;
use crate::identity::NodeKey;
use crate::os;
use crate::protocol::{Attempt, Parts, Protocol, Stages};
use crate::tables::TableFile;

/// Ethereum's execution layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethereum;

impl TableFile for Table {
    type Error = TableError;

    fn parse(network: Network, text: &str) -> Result<Self, TableError> {
        Self::parse(network, text)
    }
}

impl Protocol for Ethereum {
    const NETWORK: Network = NETWORK;
    const SCHEMES: &'static [&'static str] = &["enode://", "enr:"];
    const STAGES: Stages = Stages {
        resolve: "dns",
        reach: "tcp",
        greet: &["rlpx", "hello", "status"],
        keep: "ping",
    };

    type Table = Table;
    type Local = Local;
    type View = Remote;
    type Info = PeerInfo;
    type Session = Codec;
    type Error<R: Debug + Display> = HandshakeError<R>;
    type Finished = Box<Peer>;
    type Greeting<P: Policy<Remote>> = Greeting<P>;

    fn builtin_table() -> Table {
        Table::builtin()
    }

    fn local(table: &Table, chain: &str, key: &NodeKey) -> Result<Local, UnknownChain> {
        let found = table.chain(chain).cloned().ok_or_else(|| {
            let known = table.chains.iter().map(|chain| chain.name.as_str());
            UnknownChain::new(NETWORK, chain, known)
        })?;
        let client = concat!("peerage/v", env!("CARGO_PKG_VERSION"));
        Ok(Local::new(found, client.into(), secret(key)))
    }

    fn set_key(local: &mut Local, key: &NodeKey) {
        local.key = secret(key);
    }

    fn port(local: &Local) -> u16 {
        local.chain.port
    }

    fn destination(local: &Local, text: &str) -> Result<Destination, AddressError> {
        if text.starts_with(address::RECORD) {
            return address::of_record(&local.forks(os::wall_clock()), text);
        }
        address::destination(text, local.chain.port)
    }

    fn greeting<P: Policy<Remote>>(
        local: &Local,
        attempt: &Attempt,
        policy: P,
    ) -> Result<Greeting<P>, HandshakeError<P::Rejection>> {
        Ok(local.greet_with(again(attempt)?, policy))
    }

    fn stage<P: Policy<Remote>>(greeting: &Greeting<P>) -> Stage {
        greeting.awaited().stage()
    }

    fn take_apart(finished: Box<Peer>) -> Parts<Self> {
        let early = finished.early();
        let (info, session) = finished.into_parts();
        Parts {
            info,
            early,
            session,
        }
    }
}

/// The key in Ethereum's terms.
#[expect(
    clippy::expect_used,
    reason = "a node key is a key of this curve, which is tested"
)]
pub(crate) fn secret(key: &NodeKey) -> SecretKey {
    SecretKey::from_bytes(*key.secret_bytes()).expect("a node key is one of the curve")
}

/// The randomness of one answer, from the operating system.
fn fresh() -> Result<Fresh, InvalidKey> {
    let ephemeral = Ephemeral::from_bytes(os::random())?;
    Ok(Fresh::new(ephemeral, os::random()))
}

/// The attempt in Ethereum's terms; the same one whenever it is made again.
fn again<R>(attempt: &Attempt) -> Result<peerage_ethereum::Attempt, HandshakeError<R>> {
    let peer = match attempt.addr.direction() {
        Direction::Inbound => None,
        Direction::Outbound => {
            let key = attempt.to.as_ref().and_then(|to| to.key);
            let id = PeerId(key.ok_or(HandshakeError::NoKey)?.0);
            Some(PublicKey::try_from(id).map_err(|_| HandshakeError::NoSuchKey { id })?)
        }
    };
    let seed = attempt.seed.secret_bytes();
    Ok(peerage_ethereum::Attempt::seeded(
        attempt.addr,
        peer,
        attempt.time,
        seed,
    ))
}

//! Zcash and Decred.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use peerage_book::{GossipEntry, Key};
use peerage_core::{AcceptAll, Endpoint, PeerText, Reason, Session};
use peerage_customs::family as customs;
use peerage_peers::{Config, Heard, Parting, Tie, Types};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dialect::Message;
use peerage_verack::nonce::{Domain, NonceKeys};
use peerage_verack::table::{ChainTable, Upgrade};
use peerage_verack::version::Height;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{
    Codec, Command, Greeting, Local, Peer, PeerInfo, ProtocolVersion, Services, Table,
};

use super::net::{Attempt, Net, Parts, Software};
use crate::seed::Seed;

/// A network of the version/verack family.
pub trait Member: customs::Customs {
    /// Its chains. The first and the second are told apart.
    fn table() -> Table;
    /// Its name.
    const NAME: &'static str;
    /// The port of its nodes.
    const PORT: u16;
}

impl Member for Zcash {
    fn table() -> Table {
        zcash::builtin_table()
    }

    const NAME: &'static str = "zcash";
    const PORT: u16 = 8233;
}

impl Member for Decred {
    fn table() -> Table {
        decred::builtin_table()
    }

    const NAME: &'static str = "decred";
    const PORT: u16 = 9108;
}

/// The types of a network in the peer table.
#[derive(Debug)]
pub struct Kept<D>(PhantomData<fn() -> D>);

impl<D: Member> Types for Kept<D> {
    type Identity = Key;
    type Profile = PeerInfo;
    type Status = ProtocolVersion;
    type Message = D::Message;
    type Key = Command;

    fn judge(minimum: &ProtocolVersion, info: &PeerInfo) -> Result<(), Reason> {
        customs::judge(*minimum, info)
    }

    fn ping(nonce: u64) -> D::Message {
        <Codec<D> as Session>::ping(nonce)
    }

    fn client(info: &PeerInfo) -> PeerText {
        customs::greeted(info).agent
    }
}

/// The height of the made-up upgrade, which asks for the version that the current software speaks;
/// and heights before and after it.
const UPGRADE: Height = Height(1_000);
const BEFORE: Height = Height(999);
const AFTER: Height = Height(1_001);

/// The chain with one upgrade, and that one made up, so that each network has one.
fn chain<D: Member>(table: &Table, software: Software) -> Arc<ChainTable> {
    let [main, other, ..] = &table.chains[..] else {
        panic!("{} has two chains at least", D::NAME);
    };
    if software == Software::Other {
        return Arc::clone(other);
    }
    let mut chain = ChainTable::clone(main);
    let knows = software == Software::Current;
    chain.upgrades = Vec::new();
    if knows {
        chain.upgrades.push(Upgrade {
            name: "made up".into(),
            branch_id: None,
            height: UPGRADE,
            minimum: table.protocol_version,
            provisional: false,
        });
    }
    Arc::new(chain)
}

impl<D: Member + Debug> Net for D {
    type Types = Kept<D>;
    type Local = Local<D>;
    type Greeting = Greeting<D, AcceptAll>;
    type Session = Codec<D>;

    const NAME: &'static str = <D as Member>::NAME;
    const PORT: u16 = <D as Member>::PORT;
    const ANSWERS_COME_UNASKED: bool = true;
    const DISCOVERS: bool = false;

    fn config() -> Config {
        D::config()
    }

    fn local(seed: Seed, n: usize, software: Software, addr: SocketAddr) -> Local<D> {
        let table = D::table();
        let chain = chain::<D>(&table, software);
        let version = match software {
            Software::Obsolete => chain.initial_minimum,
            Software::Current | Software::Other => table.protocol_version,
        };
        let mut master = [0; 16];
        master.copy_from_slice(&seed.derive("nonce keys", n as u64)[..16]);
        let agent = match software {
            Software::Current => "/citizen:2/",
            Software::Obsolete => "/citizen:1/",
            Software::Other => "/stranger:1/",
        };
        let mut local = Local::new(chain, version, agent.into(), NonceKeys::new(master));
        local.services = Services::NETWORK;
        local.listen_addr = Some(addr.into());
        local.tip.set(Some(BEFORE));
        local
    }

    fn secret(_: Seed, _: usize) -> Option<[u8; 32]> {
        None
    }

    fn upgrade(local: &mut Local<D>) {
        local.tip.set(Some(AFTER));
    }

    fn status(local: &Local<D>) -> ProtocolVersion {
        local.minimum_version()
    }

    fn greet(local: &Local<D>, attempt: Attempt) -> Option<Greeting<D, AcceptAll>> {
        let [a, b, c, d, e, f, g, h, ..] = attempt.seed;
        Some(local.greet(peerage_verack::Attempt {
            addr: attempt.addr,
            domain: Domain::default(),
            time: attempt.time,
            random: [a, b, c, d, e, f, g, h],
        }))
    }

    fn take_apart(_: &Local<D>, peer: Box<Peer<D>>) -> Parts<Self> {
        let (info, session) = peer.into_parts();
        Parts {
            identity: None,
            tie: Tie::Older,
            greeted: customs::greeted(&info),
            profile: info,
            session,
        }
    }

    fn hear(message: D::Message) -> Heard<Kept<D>> {
        customs::hear(message)
    }

    fn farewell(_: Parting) -> Option<D::Message> {
        None
    }

    fn len(message: &D::Message) -> usize {
        customs::len(message)
    }

    fn ask_for_addrs() -> Option<D::Message> {
        Some(D::Message::get_addr())
    }

    fn asks_for_addrs(message: &D::Message) -> bool {
        message.asks_for_addrs()
    }

    fn says_of_itself(info: &PeerInfo) -> Option<(Endpoint, u64)> {
        Some(customs::says_of_itself(info))
    }

    fn addrs(message: &D::Message) -> Option<Vec<GossipEntry>> {
        customs::addrs(message)
    }

    fn tell_addrs(addrs: &[GossipEntry], to: &PeerInfo) -> Option<D::Message> {
        customs::tell_addrs(addrs, to)
    }
}

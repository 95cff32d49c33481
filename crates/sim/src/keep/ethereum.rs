//! Ethereum's execution layer.

use std::net::SocketAddr;
use std::sync::Arc;

use peerage_book::{Key, Verdict};
use peerage_core::{AcceptAll, PeerText, Reason, Session};
use peerage_customs::ethereum as customs;
use peerage_discv5::Record;
use peerage_discv5::record::Builder;
use peerage_ethereum::fork::{Activation, Fork, Head, Schedule};
use peerage_ethereum::table::ChainTable;
use peerage_ethereum::{
    Best, Codec, ForkFilter, Greeting, Local, Message, Peer, PeerId, PeerInfo, PublicKey,
    SecretKey, Table, Told,
};
use peerage_peers::{Config, Heard, Parting, Tie, Types};

use super::net::{Attempt, Net, Parts, Software};
use crate::network::FIRST_DATE;
use crate::seed::Seed;

/// The network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethereum;

/// Its types in the peer table.
#[derive(Debug)]
pub struct Kept;

impl Types for Kept {
    type Identity = Key;
    type Profile = PeerInfo;
    type Status = ForkFilter;
    type Message = Message;
    type Key = u64;

    fn judge(forks: &ForkFilter, info: &PeerInfo) -> Result<(), Reason> {
        customs::judge(forks, info)
    }

    fn ping(nonce: u64) -> Message {
        <Codec as Session>::ping(nonce)
    }

    fn client(info: &PeerInfo) -> PeerText {
        customs::greeted(info).agent
    }
}

/// When the made-up fork activates, in seconds since 1970: far behind all of the chain's own, so
/// that each run has one.
const FORK_TIME: u64 = 4_000_000_000;

/// A chain with one fork more, made up; old software does not know it.
fn chain(software: Software) -> Arc<ChainTable> {
    let table = Table::builtin();
    let [main, other, ..] = &table.chains[..] else {
        panic!("Ethereum has two chains at least");
    };
    if software == Software::Other {
        return Arc::clone(other);
    }
    let mut chain = ChainTable::clone(main);
    if software == Software::Current {
        let mut forks = chain.schedule.forks().to_vec();
        forks.push(Fork {
            name: "made up".into(),
            at: Activation::Time(FORK_TIME),
        });
        chain.schedule = Arc::new(Schedule::new(&chain.genesis_hash, 0, &forks));
    }
    Arc::new(chain)
}

/// The key of the node of this number, with its bytes.
fn key(seed: Seed, n: usize) -> ([u8; 32], SecretKey) {
    let tries = (0..8).map(|attempt| seed.derive("node key", (attempt << 32) | n as u64));
    let mut keys = tries.filter_map(|bytes| Some((bytes, SecretKey::from_bytes(bytes).ok()?)));
    // A digest is no key once in 2^128, eight times in a row never.
    keys.next().unwrap_or_else(|| panic!("no key for node {n}"))
}

fn best(chain: &ChainTable, time: u64) -> Best {
    Best {
        head: Head {
            number: chain.schedule.last_block() + 1,
            time,
        },
        told: Some(Told {
            hash: [7; 32],
            earliest: 0,
            total_difficulty: 1.into(),
        }),
    }
}

impl Net for Ethereum {
    type Types = Kept;
    type Local = Local;
    type Greeting = Greeting<AcceptAll>;
    type Session = Codec;

    const NAME: &'static str = "ethereum";
    const PORT: u16 = 30_303;
    const ANSWERS_COME_UNASKED: bool = false;
    const DISCOVERS: bool = true;

    fn config() -> Config {
        Config::ethereum()
    }

    fn local(seed: Seed, n: usize, software: Software, addr: SocketAddr) -> Local {
        let chain = chain(software);
        let (_, key) = key(seed, n);
        let client = match software {
            Software::Current => "citizen/v2",
            Software::Obsolete => "citizen/v1",
            Software::Other => "stranger/v1",
        };
        let mut local = Local::new(Arc::clone(&chain), client.into(), key);
        local.listen_port = addr.port();
        let now = u64::try_from(FIRST_DATE.0).unwrap_or(0);
        local.tip.set(Some(best(&chain, now)));
        local
    }

    fn secret(seed: Seed, n: usize) -> Option<[u8; 32]> {
        Some(key(seed, n).0)
    }

    fn upgrade(local: &mut Local) {
        local.tip.set(Some(best(&local.chain, FORK_TIME + 1)));
    }

    fn status(local: &Local) -> ForkFilter {
        // It knows its best block, so the date does not matter.
        local.forks(FIRST_DATE)
    }

    fn greet(local: &Local, attempt: Attempt) -> Option<Greeting<AcceptAll>> {
        let peer = match &attempt.whom {
            Some(whom) => {
                let id = PeerId(whom.as_bytes().try_into().ok()?);
                Some(PublicKey::try_from(id).ok()?)
            }
            None => None,
        };
        let Attempt {
            addr, time, seed, ..
        } = attempt;
        let attempt = peerage_ethereum::Attempt::seeded(addr, peer, time, &seed);
        Some(local.greet(attempt))
    }

    fn take_apart(local: &Local, peer: Box<Peer>) -> Parts<Self> {
        let (info, session) = peer.into_parts();
        Parts {
            identity: customs::identity(&info),
            tie: Tie::between(&local.id().0, &info.id.0),
            greeted: customs::greeted(&info),
            profile: info,
            session,
        }
    }

    fn hear(message: Message) -> Heard<Kept> {
        customs::hear(message)
    }

    fn farewell(say: Parting) -> Option<Message> {
        Some(customs::farewell(say))
    }

    fn len(message: &Message) -> usize {
        customs::len(message)
    }

    fn describe(local: &Local, record: Builder) -> Builder {
        let entry = local.forks(FIRST_DATE).record_entry();
        record.raw("eth", entry.to_vec())
    }

    fn judge_record(local: &Local, record: &Record) -> Verdict {
        let forks = local.forks(FIRST_DATE);
        customs::judge_record(&forks, record.raw("eth"), "discv5")
    }
}

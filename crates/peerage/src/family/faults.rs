//! How a peer of the family is broken on purpose: as a script of plain acts.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::Writer;
use peerage_core::{ConnectedAddr, Direction, UnixTime};
use peerage_verack::dissect::frame;
use peerage_verack::envelope::Command;
use peerage_verack::magic::identify;
use peerage_verack::nonce::Domain;
use peerage_verack::{
    Attempt, ChainTable, Dialect, Local, ProtocolVersion, Table, Version, decred, zcash,
};

use crate::faults::{Act, Fault};

/// What a peer with this fault does on the chain of `local`, of which `table` knows the neighbours;
/// to be played by [`crate::faults::play`].
pub fn script<D: Dialect>(fault: Fault, local: &Local<D>, table: &Table) -> Vec<Act> {
    let chain = &local.chain;
    let say = |chain: &ChainTable, version: ProtocolVersion| {
        let version = Version {
            protocol_version: version,
            ..some_version(local)
        };
        let mut writer = Writer::new(Version::MAX_LEN);
        version.write(&mut writer);
        // A version always fits its own bound.
        let payload = writer.finish().unwrap_or_default();
        Act::Send(frame::<D>(chain, Command::VERSION, &payload))
    };
    match fault {
        Fault::Silent => vec![Act::Listen],
        // What the family does not know hangs up at once.
        Fault::Closing
        | Fault::WrongGenesis
        | Fault::WrongFork
        | Fault::Full
        | Fault::WrongIdentity => vec![],
        Fault::Garbage => vec![
            Act::Send(Bytes::from_static(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            )),
            Act::Listen,
        ],
        Fault::Obsolete => {
            let old = ProtocolVersion(local.minimum_version().0.saturating_sub(1));
            vec![say(chain, old), Act::Listen]
        }
        Fault::WrongNetwork => {
            vec![
                say(&foreign(chain, table), local.protocol_version),
                Act::Listen,
            ]
        }
        Fault::Flooding => {
            // Introduced as the oldest peer that is accepted, whose early messages are tolerated up
            // to a budget on every network.
            let mut flood = BytesMut::new();
            for nonce in 0..1000_u64 {
                flood.extend_from_slice(&frame::<D>(
                    chain,
                    Command::from_static("ping"),
                    &nonce.to_le_bytes(),
                ));
            }
            vec![
                say(chain, local.minimum_version()),
                Act::Send(flood.freeze()),
                Act::Listen,
            ]
        }
    }
}

/// Another chain that everybody knows: of the same network where it has one, else of any.
fn foreign(chain: &ChainTable, table: &Table) -> Arc<ChainTable> {
    let known = [zcash::builtin_table(), decred::builtin_table()];
    let chains = [table].into_iter().chain(&known).flat_map(|t| &t.chains);
    let mut others = chains.filter(|o| o.magic != chain.magic && identify(o.magic).is_some());
    // There is one: the compiled-in tables have many chains, and no two share a magic.
    others
        .next()
        .map_or_else(|| Arc::new(chain.clone()), Arc::clone)
}

/// A believable version of somebody else.
fn some_version<D: Dialect>(local: &Local<D>) -> Version {
    let direction = Direction::Inbound;
    let version = local.version_for(&Attempt {
        addr: ConnectedAddr::Isolated { direction },
        domain: Domain::default(),
        time: UnixTime(0),
        random: *b"somebody",
    });
    Version {
        user_agent: "/faulty:1.0.0/".into(),
        ..version
    }
}

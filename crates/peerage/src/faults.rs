//! Peers that misbehave on purpose, as values.
//!
//! For whoever has to show that a node copes: the demo, the tests, and users of this library. Each
//! fault is a script of plain acts, so it replays the same everywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::Writer;
use peerage_core::{ConnectedAddr, Direction, Kind, UnixTime};
use peerage_net::Conn;
use peerage_verack::dissect::frame;
use peerage_verack::envelope::Command;
use peerage_verack::magic::identify;
use peerage_verack::nonce::Domain;
use peerage_verack::{
    Attempt, ChainTable, Dialect, Local, ProtocolVersion, Table, Version, decred, zcash,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// A way for a peer to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Accepts the connection and never says a word.
    Silent,
    /// Speaks a protocol version that is too old.
    Obsolete,
    /// Speaks for another chain of the same network.
    WrongNetwork,
    /// Sends more than an unintroduced peer may.
    Flooding,
    /// Is another kind of service altogether.
    Garbage,
    /// Hangs up at once.
    Closing,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Silent,
        Self::Obsolete,
        Self::WrongNetwork,
        Self::Flooding,
        Self::Garbage,
        Self::Closing,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Obsolete => "obsolete",
            Self::WrongNetwork => "wrong network",
            Self::Flooding => "flooding",
            Self::Garbage => "garbage",
            Self::Closing => "closing",
        }
    }

    /// The reason a node must give for it.
    pub const fn expected(self) -> Kind {
        match self {
            Self::Silent => Kind::Timeout,
            Self::Obsolete => Kind::Obsolete,
            Self::WrongNetwork => Kind::WrongNetwork,
            Self::Flooding => Kind::Flood,
            Self::Garbage => Kind::NotThisProtocol,
            Self::Closing => Kind::Closed,
        }
    }
}

/// One act of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Writes bytes.
    Send(Bytes),
    /// Reads and forgets whatever comes, until the other side closes or the script's time is over.
    Listen,
}

/// Plays a script over a connection, then closes it.
///
/// Ends by `deadline`, or when the other side closes.
pub async fn play(acts: &[Act], mut conn: impl Conn, deadline: Instant) {
    let performance = async {
        let mut forgotten = [0; 1024];
        for act in acts {
            match act {
                Act::Send(bytes) => conn.write_all(bytes).await?,
                Act::Listen => while conn.read(&mut forgotten).await? > 0 {},
            }
        }
        conn.shutdown().await?;
        // What the other side has already sent is read, so that closing does not reset the
        // connection and take our last bytes with it.
        let grace = Instant::now() + Duration::from_millis(200);
        let drained = async {
            while conn.read(&mut forgotten).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        drop(timeout_at(grace, drained).await);
        Ok::<_, std::io::Error>(())
    };
    // A peer that hangs up on a broken one does what it should.
    drop(timeout_at(deadline, performance).await);
}

/// What a peer with this fault does, on the chain of `local`.
pub(crate) fn script<D: Dialect>(fault: Fault, local: &Local<D>, table: &Table) -> Vec<Act> {
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
        Fault::Closing => vec![],
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

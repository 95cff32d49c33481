//! Starting the service.

use peerage_discv5::curve::SecretKey;
use peerage_discv5::record::{Builder, RecordError};
use peerage_discv5::{Config, Discovery, Record};
use tokio::sync::mpsc;

use crate::handle::Handle;
use crate::lanes::{Control, Foreign, Gossip, Lanes};
use crate::owner::{COMMANDS, Owner};
use crate::socket::Sockets;

/// What a service starts from.
#[derive(Debug)]
pub struct Setup {
    /// How the node behaves. Which families it speaks is taken from its sockets.
    pub config: Config,
    /// The node's key.
    pub key: SecretKey,
    /// The node's record, to be signed; one may continue the record of the last run.
    pub record: Builder,
    /// 32 unpredictable bytes.
    pub seed: [u8; 32],
    /// Nodes to ask first, never given up for silence.
    pub boot: Vec<Record>,
    /// Nodes that were good in the last run.
    pub known: Vec<Record>,
    /// Whether the node looks after its table by itself. Without, it asks nobody unless told to: a
    /// client for a question or two.
    pub upkeep: bool,
}

impl Setup {
    /// A node that looks after its table, and knows nobody yet.
    pub fn new(key: SecretKey, record: Builder, seed: [u8; 32]) -> Self {
        Self {
            config: Config::default(),
            key,
            record,
            seed,
            boot: Vec::new(),
            known: Vec::new(),
            upkeep: true,
        }
    }
}

/// A running service. A lane that is not wanted can be dropped.
#[derive(Debug)]
pub struct Running {
    /// To talk to it.
    pub handle: Handle,
    /// What concerns the node itself.
    pub control: Control,
    /// What is heard of others.
    pub gossip: Gossip,
    /// Datagrams that are no packets to this node.
    pub foreign: Foreign,
}

/// Starts the service: a task that owns the sockets and the machine until it is closed.
///
/// ```
/// use peerage_discv5::curve::SecretKey;
/// use peerage_discv5::record::Builder;
/// use peerage_find::{Bind, Setup, Sockets, start};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = |n: u8| -> Result<_, Box<dyn std::error::Error>> {
///     let sockets = Sockets::bind(&Bind::at("127.0.0.1:0".parse()?))?;
///     let record = sockets.describe(Builder::new(1));
///     // A real node draws its key and its seed.
///     Ok(start(Setup::new(SecretKey::from_bytes([n; 32])?, record, [n; 32]), sockets)?)
/// };
/// let (one, two) = (node(1)?, node(2)?);
/// let pong = one.handle.ping(&two.handle.record().await?).await?;
/// assert_eq!(Some(pong.observed), one.handle.record().await?.udp4_endpoint());
/// one.handle.close().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the record cannot be signed with the key.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn start(setup: Setup, sockets: Sockets) -> Result<Running, RecordError> {
    let config = Config {
        ipv4: sockets.v4.is_some(),
        ipv6: sockets.v6.is_some(),
        ..setup.config
    };
    let (lanes, control, gossip, foreign) = Lanes::new(config.max_bans);
    let mut discovery = Discovery::new(config, setup.key, setup.record, setup.seed)?;
    let node_id = discovery.node_id();
    for known in &setup.known {
        discovery.add_node(known);
    }
    discovery.seed_table(setup.boot);
    let (sender, commands) = mpsc::channel(COMMANDS);
    let owner = Owner::new(discovery, sockets, lanes, commands, sender.downgrade());
    tokio::spawn(owner.run(setup.upkeep));
    Ok(Running {
        handle: Handle::new(sender, node_id),
        control,
        gossip,
        foreign,
    })
}

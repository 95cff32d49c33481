//! Ourselves: what a node brings to every handshake, and what it says of itself to whom.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peerage_core::{ConnectedAddr, Direction, Endpoint, Exposure, PeerText, UnixTime};

use crate::dialect::Dialect;
use crate::nonce::{Domain, NonceKeys};
use crate::table::ChainTable;
use crate::version::{Height, NetAddr, Nonce, ProtocolVersion, Services, Version};

/// The height of our best block, as it moves. Clones share one value.
///
/// Every check reads it anew, so an upgrade that activates while a handshake is under way already
/// counts in that handshake.
#[derive(Clone, Debug, Default)]
pub struct Tip(Arc<AtomicU64>);

impl Tip {
    /// A tip at `height`; `None` when none is known.
    pub fn new(height: Option<Height>) -> Self {
        let tip = Self::default();
        tip.set(height);
        tip
    }

    /// Moves the tip.
    pub fn set(&self, height: Option<Height>) {
        // 0 stands for an unknown tip, so that heights are stored one higher.
        let stored = height.map_or(0, |height| u64::from(height.0) + 1);
        self.0.store(stored, Ordering::Relaxed);
    }

    /// The height now.
    pub fn height(&self) -> Option<Height> {
        let stored = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        u32::try_from(stored).ok().map(Height)
    }
}

/// What lives as long as the node: who we are on one chain, and what we tell.
///
/// | field of our `version` | direct | proxied | isolated |
/// |---|---|---|---|
/// | services, height | ours | none and 0, unless [`Local::tell_through_proxies`] | none, 0 |
/// | time | rounded by the network's step | rounded to 300 s | rounded to 300 s |
/// | receiver's address | where we are connected to | unspecified | unspecified |
/// | sender's address | our listening address, where the network tells it | unspecified | unspecified |
/// | nonce | keyed: recognised when it comes back | random | random |
/// | user agent | ours | ours | empty |
/// | relay | ours | ours | no |
#[derive(Clone, Debug)]
pub struct Local<D> {
    /// The chain.
    pub chain: Arc<ChainTable>,
    /// The protocol version we speak.
    pub protocol_version: ProtocolVersion,
    /// Our software, in the form of BIP 14: `/name:1.2.3/`.
    pub user_agent: PeerText,
    /// What we serve.
    pub services: Services,
    /// Where we can be reached, if anywhere.
    pub listen_addr: Option<Endpoint>,
    /// Whether we want transactions announced.
    pub relay: bool,
    /// Whether services and height are told through proxies too.
    pub tell_through_proxies: bool,
    /// Our best block.
    pub tip: Tip,
    /// What recognises our own direct connections.
    pub nonce_keys: NonceKeys,
    dialect: PhantomData<D>,
}

/// What lives as long as one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What is connected.
    pub addr: ConnectedAddr,
    /// The connections this one may be linked with.
    pub domain: Domain,
    /// Wall-clock time.
    pub time: UnixTime,
    /// Eight random bytes, fresh for this attempt.
    pub random: [u8; 8],
}

/// Proxied and isolated connections round our clock down to this many seconds, as zebra does on
/// every connection: it hides the skew that would tell two nodes apart.
const HIDDEN_TIME_STEP: i64 = 300;

impl<D: Dialect> Local<D> {
    /// A node on `chain` that speaks `protocol_version` and says nothing else of itself.
    pub fn new(
        chain: Arc<ChainTable>,
        protocol_version: ProtocolVersion,
        user_agent: PeerText,
        nonce_keys: NonceKeys,
    ) -> Self {
        Self {
            chain,
            protocol_version,
            user_agent,
            services: Services::NONE,
            listen_addr: None,
            relay: false,
            tell_through_proxies: false,
            tip: Tip::default(),
            nonce_keys,
            dialect: PhantomData,
        }
    }

    /// The least protocol version accepted at this moment.
    pub fn minimum_version(&self) -> ProtocolVersion {
        self.chain.minimum_version(self.tip.height())
    }

    /// Our `version` message for this attempt; the table on [`Local`] says what stands in it.
    pub fn version_for(&self, attempt: &Attempt) -> Version {
        let empty = D::empty_addr(self.chain.port);
        let exposure = attempt.addr.exposure();
        let open = match exposure {
            Exposure::Direct => true,
            Exposure::Proxied => self.tell_through_proxies,
            Exposure::Isolated => false,
        };
        let services = if open { self.services } else { Services::NONE };
        let height = if open { self.tip.height() } else { None };
        let direct = exposure == Exposure::Direct;
        let listening = self
            .listen_addr
            .filter(|_| direct && D::RULES.tells_listen_addr);
        let receiver = attempt.addr.transient_addr().filter(|_| direct);
        let receiver = receiver.map_or(empty, |addr| NetAddr::new(Services::NETWORK, addr));
        Version {
            protocol_version: self.protocol_version,
            services,
            time: attempt.time.rounded_down(if direct {
                D::RULES.time_step
            } else {
                HIDDEN_TIME_STEP
            }),
            // Every node is asked for the chain, so this bit says nothing about either side.
            addr_recv: NetAddr {
                services: Services::NETWORK,
                ..receiver
            },
            addr_from: NetAddr {
                services,
                ..listening.map_or(empty, |addr| NetAddr::new(services, addr))
            },
            nonce: self.nonce_for(attempt),
            user_agent: match exposure {
                Exposure::Direct | Exposure::Proxied => self.user_agent.clone(),
                Exposure::Isolated => PeerText::default(),
            },
            height: height.unwrap_or(Height(0)),
            relay: self.relay && exposure != Exposure::Isolated,
        }
    }

    fn nonce_for(&self, attempt: &Attempt) -> Nonce {
        let [a, b, c, d, ..] = attempt.random;
        match attempt.addr.exposure() {
            Exposure::Direct => {
                let random = u32::from_be_bytes([a, b, c, d]);
                self.nonce_keys.issue(attempt.domain, attempt.time, random)
            }
            Exposure::Proxied | Exposure::Isolated => Nonce(u64::from_be_bytes(attempt.random)),
        }
    }

    /// Whether a nonce that came over this connection is our own.
    ///
    /// A connection that merely echoes our own nonce back is ourselves in every sense that matters.
    pub(crate) fn is_our_own(&self, attempt: &Attempt, ours: Nonce, theirs: Nonce) -> bool {
        let keyed = attempt.addr.exposure() == Exposure::Direct
            && self
                .nonce_keys
                .recognises(attempt.domain, attempt.time, theirs);
        keyed || ours == theirs
    }
}

impl Attempt {
    /// Who opened the connection.
    pub const fn direction(&self) -> Direction {
        self.addr.direction()
    }
}

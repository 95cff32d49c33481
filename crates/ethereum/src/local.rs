//! Ourselves: what a node brings to every handshake, and what it says of itself to whom.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use peerage_core::{ConnectedAddr, Direction, Domain, Exposure, PeerText, UnixTime};
use zeroize::Zeroizing;

use crate::capability::CapabilitySpec;
use crate::eth::{BlockRange, EthVersion, Progress, Status, TotalDifficulty};
use crate::fork::{ForkFilter, Head};
use crate::hello::Hello;
use crate::keccak::Keccak256;
use crate::key::{Ephemeral, InvalidKey, PeerId, PublicKey, SecretKey, SharedStatic};
use crate::p2p;
use crate::rlpx::Fresh;
use crate::table::ChainTable;

/// The best block of a node and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Best {
    /// Its number and time, by which forks are judged.
    pub head: Head,
    /// What we tell of it; when that is nothing, we only judge by it and tell of the genesis block.
    pub told: Option<Told>,
}

/// What a node tells of its best block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its hash.
    pub hash: [u8; 32],
    /// The number of the earliest block whose body we have.
    pub earliest: u64,
    /// The work up to it; told in eth/68 only.
    pub total_difficulty: TotalDifficulty,
}

/// The best block as it moves. Clones share one value.
///
/// Every handshake reads it anew, so that a fork which activates counts at once. A node that knows
/// no block judges by the wall clock, as one that has passed every fork whose time has come, and
/// tells of the genesis block.
#[derive(Clone, Debug, Default)]
pub struct Tip(Arc<RwLock<Option<Best>>>);

impl Tip {
    /// Moves the tip; `None` when no block is known.
    pub fn set(&self, best: Option<Best>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = best;
    }

    /// The best block now.
    pub fn best(&self) -> Option<Best> {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What lives as long as the node: who we are on one chain, and what we tell.
///
/// | what a peer sees | direct | proxied | isolated |
/// |---|---|---|---|
/// | our key | the node's | one of the isolation domain's own | a fresh one |
/// | client id | ours | ours | empty |
/// | listening port | ours | 0 | 0 |
/// | capabilities | ours | ours | ours |
/// | best block and fork id | ours | of genesis, unless [`Local::tell_through_proxies`] | of genesis |
///
/// A node at genesis is one that has just begun to sync, which every peer accepts.
#[derive(Clone)]
pub struct Local {
    /// The chain.
    pub chain: Arc<ChainTable>,
    /// Our software: `name/version/system/compiler` by custom.
    pub client_id: PeerText,
    /// What we speak: eth in all its versions, unless the caller chooses otherwise.
    pub capabilities: Arc<[CapabilitySpec]>,
    /// The TCP port we listen on; 0 when we do not.
    pub listen_port: u16,
    /// Whether the best block is told through proxies too.
    pub tell_through_proxies: bool,
    /// Our best block.
    pub tip: Tip,
    /// Who we are.
    pub key: SecretKey,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("chain", &self.chain.name)
            .field("id", &self.key.id())
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What lives as long as one attempt.
#[derive(Debug)]
pub struct Attempt {
    // Boxed, because a task keeps the room of whatever it once held, and keys are moved less.
    pub(crate) terms: Box<Terms>,
    pub(crate) fresh: Box<Fresh>,
}

/// What every step of an attempt may look at.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) addr: ConnectedAddr,
    pub(crate) domain: Domain,
    pub(crate) time: UnixTime,
    /// Whom we dial; `None` when we were dialled.
    pub(crate) peer: Option<PublicKey>,
    pub(crate) shared: Option<SharedStatic>,
    /// Who we are when isolated.
    passing: Option<SecretKey>,
}

impl Terms {
    /// Who opened the connection.
    pub(crate) const fn direction(&self) -> Direction {
        match self.peer {
            Some(_) => Direction::Outbound,
            None => Direction::Inbound,
        }
    }
}

impl Attempt {
    /// How many random bytes an attempt takes.
    pub const RANDOM_LEN: usize = 64 + Self::PREPARED_RANDOM_LEN;
    /// How many it takes when its ephemeral keys were made ahead.
    pub const PREPARED_RANDOM_LEN: usize = 50 + 32;

    /// An attempt over what is connected, at this wall-clock time: a dial to `peer`, or with `None`
    /// an answer.
    ///
    /// # Errors
    /// When the random bytes make no key, which one in 2^126 does: draw again.
    ///
    /// # Security
    /// `random` must be unpredictable, and used once.
    pub fn new(
        addr: ConnectedAddr,
        peer: Option<PublicKey>,
        time: UnixTime,
        random: &[u8; Self::RANDOM_LEN],
    ) -> Result<Self, InvalidKey> {
        let (mut keys, mut rest) = ([0; 64], [0; Self::PREPARED_RANDOM_LEN]);
        keys.copy_from_slice(&random[..64]);
        rest.copy_from_slice(&random[64..]);
        Self::prepared(addr, peer, time, Ephemeral::from_bytes(keys)?, &rest)
    }

    /// As [`Attempt::new`], with ephemeral keys made ahead: two multiplications less on the way.
    ///
    /// # Errors
    /// As [`Attempt::new`].
    pub fn prepared(
        addr: ConnectedAddr,
        peer: Option<PublicKey>,
        time: UnixTime,
        ephemeral: Ephemeral,
        random: &[u8; Self::PREPARED_RANDOM_LEN],
    ) -> Result<Self, InvalidKey> {
        let (mut fresh, mut passing) = ([0; 50], [0; 32]);
        fresh.copy_from_slice(&random[..50]);
        passing.copy_from_slice(&random[50..]);
        let passing = match addr.exposure() {
            Exposure::Isolated => Some(SecretKey::from_bytes(passing)?),
            Exposure::Direct | Exposure::Proxied => None,
        };
        let terms = Terms {
            addr,
            domain: Domain::default(),
            time,
            peer,
            shared: None,
            passing,
        };
        Ok(Self {
            terms: Box::new(terms),
            fresh: Box::new(Fresh::new(ephemeral, fresh)),
        })
    }

    /// As [`Attempt::new`], all its randomness drawn from one seed. The same arguments make the same
    /// attempt, so a dialogue can be read again, see [`dissect`](crate::dissect).
    ///
    /// # Security
    /// `seed` must be unpredictable, and used once.
    pub fn seeded(
        addr: ConnectedAddr,
        peer: Option<PublicKey>,
        time: UnixTime,
        seed: &[u8; 32],
    ) -> Self {
        let mut round = 0_u64;
        loop {
            let mut random = Zeroizing::new([0; Self::RANDOM_LEN]);
            for (block, piece) in (0_u64..).zip(random.chunks_mut(32)) {
                let drawn = Keccak256::of(&[
                    b"peerage attempt 1",
                    seed,
                    &round.to_be_bytes(),
                    &block.to_be_bytes(),
                ]);
                piece.copy_from_slice(&drawn[..piece.len()]);
            }
            // One round in 2^126 makes no key; the next one does.
            if let Ok(attempt) = Self::new(addr, peer, time, &random) {
                return attempt;
            }
            round += 1;
        }
    }

    /// The same in another isolation domain: the connections that it may be linked with.
    #[must_use]
    pub const fn in_domain(mut self, domain: Domain) -> Self {
        self.terms.domain = domain;
        self
    }

    /// The same with what we and the peer agreed on before, which saves a multiplication. A secret
    /// of others is not used.
    #[must_use]
    pub fn knowing(mut self, shared: SharedStatic) -> Self {
        self.terms.shared = Some(shared);
        self
    }

    /// What is connected.
    pub const fn addr(&self) -> ConnectedAddr {
        self.terms.addr
    }

    /// Who opened the connection.
    pub const fn direction(&self) -> Direction {
        self.terms.direction()
    }
}

impl Local {
    /// A node on `chain` that knows no block and says nothing of itself but its software.
    pub fn new(chain: Arc<ChainTable>, client_id: PeerText, key: SecretKey) -> Self {
        let versions = EthVersion::ALL.iter();
        Self {
            chain,
            client_id,
            capabilities: versions.map(|version| version.spec()).collect(),
            listen_port: 0,
            tell_through_proxies: false,
            tip: Tip::default(),
            key,
        }
    }

    /// Who we are.
    pub const fn id(&self) -> PeerId {
        self.key.id()
    }

    /// Judges fork ids as the node stands at `time`.
    pub fn forks(&self, time: UnixTime) -> ForkFilter {
        match self.tip.best() {
            Some(best) => self.chain.fork_filter(best.head),
            None => {
                let time = u64::try_from(time.0).unwrap_or(0);
                self.chain.forks_by_the_clock(time)
            }
        }
    }

    /// The key that this attempt goes by; the table on [`Local`] says which.
    pub(crate) fn key_for(&self, terms: &Terms) -> SecretKey {
        match (terms.addr.exposure(), &terms.passing) {
            (Exposure::Isolated, Some(passing)) => passing.clone(),
            (Exposure::Direct, _) => self.key.clone(),
            (Exposure::Proxied | Exposure::Isolated, _) => {
                let mut label = b"peerage key of a domain 1".to_vec();
                label.extend_from_slice(&terms.domain.0.to_be_bytes());
                self.key.derive(&label)
            }
        }
    }

    /// Our Hello for this attempt under `id`; the table on [`Local`] says what stands in it.
    pub(crate) fn hello_for(&self, terms: &Terms, id: PeerId) -> Hello {
        let exposure = terms.addr.exposure();
        let client_id = match exposure {
            Exposure::Direct | Exposure::Proxied => self.client_id.clone(),
            Exposure::Isolated => PeerText::default(),
        };
        let listen_port = match exposure {
            Exposure::Direct => self.listen_port,
            Exposure::Proxied | Exposure::Isolated => 0,
        };
        Hello {
            p2p_version: p2p::VERSION,
            client_id,
            capabilities: self.capabilities.iter().map(|s| s.capability).collect(),
            listen_port: listen_port.into(),
            id,
        }
    }

    /// Our Status in `version` at `time`, as a direct peer is told.
    pub fn status_at(&self, version: EthVersion, time: UnixTime) -> Status {
        self.status(version, time, true)
    }

    /// Our Status for this attempt in `version`; the table on [`Local`] says what stands in it.
    pub(crate) fn status_for(&self, terms: &Terms, version: EthVersion) -> Status {
        let open = match terms.addr.exposure() {
            Exposure::Direct => true,
            Exposure::Proxied => self.tell_through_proxies,
            Exposure::Isolated => false,
        };
        self.status(version, terms.time, open)
    }

    fn status(&self, version: EthVersion, time: UnixTime, open: bool) -> Status {
        let best = self.tip.best().filter(|_| open);
        let fork_id = if open {
            self.forks(time).fork_id()
        } else {
            self.chain.fork_filter(Head::default()).fork_id()
        };
        let genesis = self.chain.genesis_hash;
        let told = best.and_then(|best| Some((best.head.number, best.told?)));
        let (hash, latest, earliest) = told.map_or((genesis, 0, 0), |(number, told)| {
            (told.hash, number, told.earliest)
        });
        let progress = if version <= EthVersion::Eth68 {
            Progress::Best {
                total_difficulty: told.map_or(0.into(), |(_, told)| told.total_difficulty),
                hash,
            }
        } else {
            Progress::Range(BlockRange {
                earliest,
                latest,
                latest_hash: hash,
            })
        };
        Status {
            version: version.number(),
            network_id: self.chain.network_id,
            genesis,
            fork_id,
            progress,
        }
    }
}

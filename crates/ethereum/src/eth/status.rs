//! Status: which chain, which rules, how far. The first eth message of each side.
//!
//! Up to eth/68: `[version, network id, total difficulty, best hash, genesis, fork id]`; from eth/69:
//! `[version, network id, genesis, fork id, earliest, latest, latest hash]`.

use std::fmt;

use bytes::Bytes;
use peerage_core::wire::{Hex, ReadError};
use peerage_core::{Detail, Kind, PeerText};

use super::EthVersion;
use super::range::{BlockRange, RangeError};
use crate::fork::{ForkError, ForkFilter, ForkId, Standing};
use crate::rlp::{Extra, Reader, encoded};

/// What a node says about its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The version of eth it speaks here.
    pub version: u32,
    /// Its network.
    pub network_id: u64,
    /// The hash of its block 0.
    pub genesis: [u8; 32],
    /// The forks it follows.
    pub fork_id: ForkId,
    /// How far it is; the form depends on the version.
    pub progress: Progress,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Up to eth/68.
    Best {
        /// The work in its chain.
        total_difficulty: TotalDifficulty,
        /// The hash of its best block.
        hash: [u8; 32],
    },
    /// From eth/69.
    Range(BlockRange),
}

impl Progress {
    /// The hash of the best block.
    pub const fn hash(&self) -> &[u8; 32] {
        match self {
            Self::Best { hash, .. } => hash,
            Self::Range(range) => &range.latest_hash,
        }
    }
}

/// The sum of the difficulties of a chain: 256 bits, the most significant byte first. It stopped
/// growing with proof of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotalDifficulty(pub [u8; 32]);

impl TotalDifficulty {
    /// The most bits that make sense. Source: reth, whose limit this is; no chain has come near.
    pub const MAX_BITS: u32 = 160;

    /// How many bits it needs.
    pub fn bits(&self) -> u32 {
        let zero_bytes = self.0.iter().take_while(|byte| **byte == 0).count();
        self.0.get(zero_bytes).map_or(0, |first| {
            let whole = self.0.len() - zero_bytes;
            u32::try_from(whole * 8).unwrap_or(u32::MAX) - first.leading_zeros()
        })
    }
}

impl From<u128> for TotalDifficulty {
    fn from(value: u128) -> Self {
        let mut bytes = [0; 32];
        bytes[16..].copy_from_slice(&value.to_be_bytes());
        Self(bytes)
    }
}

impl fmt::Debug for TotalDifficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", Hex(&self.0))
    }
}

impl Status {
    /// Reads a plain message body. Its form is that of the version it states, or of the one agreed
    /// on where it states one that we do not know; whether the two are the same is
    /// [`check_status`]'s to say.
    ///
    /// # Errors
    /// When the body breaks the encoding.
    pub fn decode(body: &[u8], agreed: EthVersion) -> Result<Self, ReadError> {
        Self::read(&mut Reader::new(body), agreed)
    }

    /// Reads from a reader over a whole plain message body, as [`Self::decode`] does.
    ///
    /// # Errors
    /// When the body breaks the encoding.
    pub fn read(reader: &mut Reader<'_>, agreed: EthVersion) -> Result<Self, ReadError> {
        let status = reader.list("status", Extra::Refuse, |reader| {
            let version = reader.u32("version")?;
            let network_id = reader.u64("network_id")?;
            if EthVersion::from_number(version).unwrap_or(agreed) <= EthVersion::Eth68 {
                let total_difficulty = TotalDifficulty(reader.big_uint("total_difficulty")?);
                let hash = reader.fixed("best_hash")?;
                return Ok(Self {
                    version,
                    network_id,
                    genesis: reader.fixed("genesis")?,
                    fork_id: ForkId::read(reader, Extra::Refuse)?,
                    progress: Progress::Best {
                        total_difficulty,
                        hash,
                    },
                });
            }
            Ok(Self {
                version,
                network_id,
                genesis: reader.fixed("genesis")?,
                fork_id: ForkId::read(reader, Extra::Refuse)?,
                progress: Progress::Range(BlockRange::read(reader)?),
            })
        })?;
        reader.finish()?;
        Ok(status)
    }

    /// The plain message body, in the form of its [`Progress`].
    pub fn encode(&self) -> Bytes {
        let body = encoded(|writer| {
            writer.list(|writer| {
                writer.uint(self.version.into()).uint(self.network_id);
                if let Progress::Best {
                    total_difficulty,
                    hash,
                } = &self.progress
                {
                    writer.big_uint(&total_difficulty.0).bytes(hash);
                }
                writer.bytes(&self.genesis);
                self.fork_id.write(writer);
                if let Progress::Range(range) = &self.progress {
                    range.write(writer);
                }
            });
        });
        body.freeze()
    }
}

/// Why a peer's Status does not fit ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// Another version of eth than the one agreed on in Hello.
    #[error("the status is of eth/{got}, eth/{expected} was agreed on")]
    Version {
        /// The version agreed on.
        expected: u32,
        /// The version stated.
        got: u32,
    },
    /// Another network.
    #[error("the peer is on network {got}, we are on {expected}")]
    Network {
        /// Our network id.
        expected: u64,
        /// Its network id.
        got: u64,
    },
    /// Another chain on the same network id.
    #[error(
        "the peer's chain begins with block {}, ours with {}",
        Hex(got),
        Hex(expected)
    )]
    Genesis {
        /// Our genesis hash.
        expected: [u8; 32],
        /// Its genesis hash.
        got: [u8; 32],
    },
    /// Other rules.
    #[error("the peer's forks do not fit ours")]
    Fork(#[from] ForkError),
    /// A block range that makes no sense.
    #[error("the peer's block range makes no sense")]
    Range(#[from] RangeError),
    /// A best block whose hash is zero.
    #[error("the hash of the peer's best block is zero")]
    ZeroHash,
    /// More work than any chain can have.
    #[error("the total difficulty has {bits} bits, at most {limit} make sense")]
    TotalDifficulty {
        /// How many bits it needs.
        bits: u32,
        /// The most allowed.
        limit: u32,
    },
}

impl StatusError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Version { .. }
            | Self::Range(_)
            | Self::ZeroHash
            | Self::TotalDifficulty { .. } => Kind::Violation,
            Self::Network { .. } => Kind::WrongNetwork,
            Self::Genesis { .. } => Kind::WrongGenesis,
            Self::Fork(error) => error.kind(),
        }
    }

    /// The typed facts.
    pub fn detail(&self) -> Detail {
        let detail = Detail::none();
        let hash = |hash: &[u8; 32]| PeerText::from(Hex(hash).to_string().as_str());
        match self {
            Self::Version { expected, got } => detail.with("expected", *expected).with("got", *got),
            Self::Network { expected, got } => detail.with("expected", *expected).with("got", *got),
            Self::Genesis { expected, got } => detail
                .with("expected", hash(expected))
                .with("got", hash(got)),
            Self::Fork(error) => error.detail(),
            Self::Range(RangeError::Inverted { earliest, latest }) => {
                detail.with("earliest", *earliest).with("latest", *latest)
            }
            Self::Range(RangeError::ZeroHash) | Self::ZeroHash => detail,
            Self::TotalDifficulty { bits, limit } => {
                detail.with("bits", *bits).with("limit", *limit)
            }
        }
    }
}

/// Compares a peer's Status with ours, which states the version agreed on. Says where the peer
/// stands on our schedule.
///
/// # Errors
/// The first difference that parts us, in this order: version, network, genesis, forks, progress.
pub fn check_status(
    ours: &Status,
    theirs: &Status,
    forks: &ForkFilter,
) -> Result<Standing, StatusError> {
    if theirs.version != ours.version {
        return Err(StatusError::Version {
            expected: ours.version,
            got: theirs.version,
        });
    }
    if theirs.network_id != ours.network_id {
        return Err(StatusError::Network {
            expected: ours.network_id,
            got: theirs.network_id,
        });
    }
    if theirs.genesis != ours.genesis {
        return Err(StatusError::Genesis {
            expected: ours.genesis,
            got: theirs.genesis,
        });
    }
    let standing = forks.judge(theirs.fork_id)?;
    match &theirs.progress {
        Progress::Range(range) => range.check()?,
        Progress::Best {
            total_difficulty,
            hash,
        } => {
            if *hash == [0; 32] {
                return Err(StatusError::ZeroHash);
            }
            let (bits, limit) = (total_difficulty.bits(), TotalDifficulty::MAX_BITS);
            if bits > limit {
                return Err(StatusError::TotalDifficulty { bits, limit });
            }
        }
    }
    Ok(standing)
}

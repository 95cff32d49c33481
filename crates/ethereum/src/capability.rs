//! Capabilities as plug-ins: what both sides can speak, and which message ids that gives.
//!
//! A capability is a value: its name, its version, and one limit for each of its message ids. eth
//! is one among equals; whoever brings another hands in another [`CapabilitySpec`].
//!
//! Source: devp2p, `rlpx.md`, "Capability Messaging".

use std::fmt;
use std::sync::Arc;

use crate::p2p;

/// The first message id of the first shared capability; those below are p2p's own.
pub const FIRST_ID: u64 = 0x10;

/// The most announced capabilities that are read of one Hello: 64, several times what any node
/// announces.
pub const MAX_CAPABILITIES: usize = 64;

/// A capability's name: 1 to 8 ASCII bytes, compared with case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapName {
    // Zeros behind the name, so that the derived order is that of the names.
    bytes: [u8; Self::MAX_LEN],
}

impl CapName {
    /// The most bytes of a name.
    pub const MAX_LEN: usize = 8;

    /// `eth`.
    pub const ETH: Self = Self::from_static("eth");
    /// `snap`.
    pub const SNAP: Self = Self::from_static("snap");

    /// A name, if these bytes are one: 1 to 8 of printable ASCII.
    pub const fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > Self::MAX_LEN {
            return None;
        }
        let mut bytes = [0; Self::MAX_LEN];
        let mut at = 0;
        while at < name.len() {
            if !name[at].is_ascii_graphic() {
                return None;
            }
            bytes[at] = name[at];
            at += 1;
        }
        Some(Self { bytes })
    }

    /// A name that is known when this is compiled.
    ///
    /// # Panics
    /// When it is none; in a `const`, compiling stops.
    pub const fn from_static(name: &'static str) -> Self {
        match Self::new(name.as_bytes()) {
            Some(name) => name,
            None => panic!("1 to 8 printable ASCII characters"),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let len = self.bytes.iter().position(|byte| *byte == 0);
        let name = &self.bytes[..len.unwrap_or(Self::MAX_LEN)];
        std::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Display for CapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A capability in one version, `eth/69`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// Its name.
    pub name: CapName,
    /// Its version.
    pub version: u32,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A capability that this node speaks: a plug-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilitySpec {
    /// Its name and version.
    pub capability: Capability,
    /// For each relative message id the longest plain body, in bytes; `None` where the id has no
    /// message. As long as the capability has ids, so the two cannot disagree.
    max_lens: Arc<[Option<usize>]>,
}

impl CapabilitySpec {
    /// A capability with one limit for each of its message ids, in bytes before compression;
    /// `None` reserves an id that has no message.
    pub fn new(capability: Capability, max_lens: impl Into<Arc<[Option<usize>]>>) -> Self {
        Self {
            capability,
            max_lens: max_lens.into(),
        }
    }

    /// How many message ids it takes.
    pub fn length(&self) -> u64 {
        self.max_lens.len() as u64
    }

    /// The longest plain body of the message with this relative id, in bytes.
    pub fn max_len(&self, relative: u64) -> Option<usize> {
        let at = usize::try_from(relative).ok()?;
        self.max_lens.get(at).copied().flatten()
    }
}

/// Where a message id lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The shared capability, counted from 0 in [`Layout::shared`].
    pub index: usize,
    /// The message's id within it.
    pub relative: u64,
}

/// The shared capabilities of two nodes and their message ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    shared: Vec<Shared>,
}

/// One shared capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// What it is.
    pub spec: CapabilitySpec,
    /// The message id on the wire of its relative id 0.
    pub first_id: u64,
}

/// What `ours` and `theirs` have in common: of each name the highest version both have, sorted by
/// name, message ids laid out without gaps from [`FIRST_ID`].
///
/// Both sides compute this alone and come to the same. Of `theirs` the first
/// [`MAX_CAPABILITIES`] count.
pub fn negotiate(ours: &[CapabilitySpec], theirs: &[Capability]) -> Layout {
    let theirs = &theirs[..theirs.len().min(MAX_CAPABILITIES)];
    let common = ours.iter().filter(|spec| theirs.contains(&spec.capability));
    let mut best: Vec<&CapabilitySpec> = common.collect();
    best.sort_by_key(|spec| {
        (
            spec.capability.name,
            std::cmp::Reverse(spec.capability.version),
        )
    });
    best.dedup_by_key(|spec| spec.capability.name);
    let mut next_id = FIRST_ID;
    let shared = best.into_iter().map(|spec| {
        let first_id = next_id;
        next_id += spec.length();
        let spec = spec.clone();
        Shared { spec, first_id }
    });
    Layout {
        shared: shared.collect(),
    }
}

impl Layout {
    /// The shared capabilities in the order of their message ids.
    pub fn shared(&self) -> &[Shared] {
        &self.shared
    }

    /// Whether nothing is shared, so that the connection is of no use.
    pub const fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// The index of the shared capability of that name.
    pub fn position(&self, name: CapName) -> Option<usize> {
        self.shared
            .iter()
            .position(|shared| shared.spec.capability.name == name)
    }

    /// The shared version of the capability of that name.
    pub fn version(&self, name: CapName) -> Option<u32> {
        let shared = self.shared.get(self.position(name)?)?;
        Some(shared.spec.capability.version)
    }

    /// Where a message id on the wire lies; `None` for p2p's own and for those beyond the last
    /// capability.
    pub fn locate(&self, id: u64) -> Option<Located> {
        // A handful of entries: a scan beats a search.
        self.shared.iter().enumerate().find_map(|(index, shared)| {
            let relative = id.checked_sub(shared.first_id)?;
            (relative < shared.spec.length()).then_some(Located { index, relative })
        })
    }

    /// The message id on the wire of a shared capability's message.
    pub fn wire_id(&self, index: usize, relative: u64) -> Option<u64> {
        let shared = self.shared.get(index)?;
        (relative < shared.spec.length()).then(|| shared.first_id + relative)
    }

    /// The longest plain body of the message with this id on the wire, p2p's own included, in
    /// bytes; `None` where there is no such message.
    pub fn max_len(&self, id: u64) -> Option<usize> {
        if id < FIRST_ID {
            return p2p::max_len(id);
        }
        let Located { index, relative } = self.locate(id)?;
        self.shared.get(index)?.spec.max_len(relative)
    }
}

//! Translators of addresses.
//!
//! The four kinds are those of RFC 3489 section 5; in the words of RFC 4787 sections 4.1 and 5:
//!
//! | kind | mapping depends on | lets in |
//! |---|---|---|
//! | full cone | nothing | everybody |
//! | restricted | nothing | addresses that were sent to |
//! | port-restricted | nothing | addresses and ports that were sent to |
//! | symmetric | address and port sent to | the same address and port |
//!
//! Only what goes out keeps a mapping or a permission alive (RFC 4787 REQ-6).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How a translator maps and filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NatKind {
    /// One mapping, open to all.
    FullCone,
    /// One mapping, open to addresses that were sent to.
    Restricted,
    /// One mapping, open to addresses and ports that were sent to.
    PortRestricted,
    /// A mapping for each address and port sent to.
    Symmetric,
}

impl NatKind {
    /// Each, the most open first.
    pub const ALL: [Self; 4] = [
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullCone => "full cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::Symmetric => "symmetric",
        }
    }

    /// What a permission is remembered under; `None` if everybody is let in.
    const fn permission(self, remote: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::FullCone => None,
            Self::Restricted => Some(SocketAddr::new(remote.ip(), 0)),
            Self::PortRestricted | Self::Symmetric => Some(remote),
        }
    }
}

/// A mapping is for an inside address and, with a symmetric translator, one outside address.
type Key = (SocketAddr, Option<SocketAddr>);

#[derive(Debug)]
struct Mapping {
    port: u16,
    expires_at: Instant,
    /// Who was sent to, and until when that counts.
    permitted: BTreeMap<SocketAddr, Instant>,
    /// How many permissions may be there before those that are over are looked for.
    sweep_at: usize,
}

/// The least number of permissions or mappings at which those that are over are looked for.
const SWEEP: usize = 64;

/// The first port given out.
const FIRST_PORT: u16 = 1024;

/// How many ports there are to give out.
const PORTS: usize = (u16::MAX - FIRST_PORT) as usize + 1;

/// One translator, with one address outside.
#[derive(Debug)]
pub struct Nat {
    kind: NatKind,
    ip: IpAddr,
    lifetime: Duration,
    mappings: BTreeMap<Key, Mapping>,
    by_port: BTreeMap<u16, Key>,
    next_port: u16,
    sweep_at: usize,
}

impl Nat {
    /// A translator of this kind with this address outside, whose mappings and permissions last so
    /// long after the last datagram out.
    pub const fn new(kind: NatKind, ip: IpAddr, lifetime: Duration) -> Self {
        Self {
            kind,
            ip,
            lifetime,
            mappings: BTreeMap::new(),
            by_port: BTreeMap::new(),
            next_port: FIRST_PORT,
            sweep_at: SWEEP,
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> NatKind {
        self.kind
    }

    /// Its address outside.
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// A datagram goes out: where it seems to come from. `None` when every port is in use.
    pub fn outbound(
        &mut self,
        now: Instant,
        inside: SocketAddr,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        let key = (inside, (self.kind == NatKind::Symmetric).then_some(to));
        let expires_at = now + self.lifetime;
        if self.mappings.get(&key).is_none_or(|m| m.expires_at <= now) {
            self.open(now, key)?;
        }
        let mapping = self.mappings.get_mut(&key)?;
        mapping.expires_at = expires_at;
        if let Some(permission) = self.kind.permission(to) {
            mapping.permitted.insert(permission, expires_at);
            if mapping.permitted.len() > mapping.sweep_at {
                mapping.permitted.retain(|_, until| *until > now);
                mapping.sweep_at = (2 * mapping.permitted.len()).max(SWEEP);
            }
        }
        Some(SocketAddr::new(self.ip, mapping.port))
    }

    /// Where a datagram would seem to come from, if there is a mapping for it already.
    pub fn mapped(&self, now: Instant, inside: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let key = (inside, (self.kind == NatKind::Symmetric).then_some(to));
        let mapping = self.mappings.get(&key).filter(|m| m.expires_at > now)?;
        Some(SocketAddr::new(self.ip, mapping.port))
    }

    /// A new mapping, with a port that no living one has.
    fn open(&mut self, now: Instant, key: Key) -> Option<()> {
        self.close(&key);
        if self.mappings.len() >= self.sweep_at {
            let over = self.mappings.iter().filter(|(_, m)| m.expires_at <= now);
            let over: Vec<Key> = over.map(|(key, _)| *key).collect();
            over.iter().for_each(|key| self.close(key));
            self.sweep_at = (2 * self.mappings.len()).clamp(SWEEP, PORTS);
        }
        for _ in 0..PORTS {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            let holder = self.by_port.get(&port).copied();
            let is_held = holder
                .is_some_and(|key| self.mappings.get(&key).is_some_and(|m| m.expires_at > now));
            if is_held {
                continue;
            }
            if let Some(over) = holder {
                self.close(&over);
            }
            let mapping = Mapping {
                port,
                expires_at: now + self.lifetime,
                permitted: BTreeMap::new(),
                sweep_at: SWEEP,
            };
            self.by_port.insert(port, key);
            self.mappings.insert(key, mapping);
            return Some(());
        }
        None
    }

    fn close(&mut self, key: &Key) {
        if let Some(mapping) = self.mappings.remove(key) {
            self.by_port.remove(&mapping.port);
        }
    }

    /// A datagram comes to a port: who inside gets it, if anybody.
    pub fn inbound(&self, now: Instant, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        let key = self.by_port.get(&port)?;
        let mapping = self.mappings.get(key).filter(|m| m.expires_at > now)?;
        let is_let_in = match self.kind.permission(from) {
            None => true,
            Some(permission) => {
                let until = mapping.permitted.get(&permission);
                until.is_some_and(|until| *until > now)
            }
        };
        is_let_in.then_some(key.0)
    }

    /// Who inside gets a datagram from an address that nobody has ever sent to.
    pub fn stranger(&self, now: Instant, port: u16) -> Option<SocketAddr> {
        let key = self.by_port.get(&port)?;
        let is_living = self.mappings.get(key).is_some_and(|m| m.expires_at > now);
        (is_living && self.kind == NatKind::FullCone).then_some(key.0)
    }

    /// How many mappings there are, those that are over included until they are looked for.
    pub fn len(&self) -> usize {
        self.mappings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }
}

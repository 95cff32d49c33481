//! What a NAT does, and which pairs of NATs get along.
//!
//! A NAT's behaviour is two words of RFC 5780 (section 3): how it maps and how it filters. Matching
//! needs less: three [`Class`]es and two tables over them, printed in `docs/matcher.md`.

/// How a NAT chooses a mapping, or which packets it lets in (RFC 5780, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behaviour {
    /// Not measured, or the measurement failed.
    #[default]
    Unknown = 0,
    /// The same for every remote endpoint.
    EndpointIndependent = 1,
    /// One for each remote address.
    AddressDependent = 2,
    /// One for each remote address and port.
    AddressAndPortDependent = 3,
}

/// What is known of a NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatType {
    /// How it maps.
    pub mapping: Behaviour,
    /// How it filters.
    pub filtering: Behaviour,
}

impl NatType {
    /// Nothing known.
    pub const UNKNOWN: Self = Self::new(Behaviour::Unknown, Behaviour::Unknown);
    /// No NAT, a full cone, or a mapped port.
    pub const OPEN: Self = Self::new(
        Behaviour::EndpointIndependent,
        Behaviour::EndpointIndependent,
    );
    /// An address-restricted cone.
    pub const RESTRICTED: Self =
        Self::new(Behaviour::EndpointIndependent, Behaviour::AddressDependent);
    /// A port-restricted cone.
    pub const PORT_RESTRICTED: Self = Self::new(
        Behaviour::EndpointIndependent,
        Behaviour::AddressAndPortDependent,
    );
    /// Symmetric, and what an unmeasured mobile network is taken for.
    pub const SYMMETRIC: Self = Self::new(
        Behaviour::AddressAndPortDependent,
        Behaviour::AddressAndPortDependent,
    );

    /// A NAT of these behaviours.
    pub const fn new(mapping: Behaviour, filtering: Behaviour) -> Self {
        Self { mapping, filtering }
    }

    /// `mapping << 2 | filtering`, 0 to 15: the number other systems exchange.
    pub const fn value(self) -> u8 {
        (self.mapping as u8) << 2 | self.filtering as u8
    }

    /// The type to match by: a mapped port opens any NAT, and an unmeasured mobile network is taken
    /// for symmetric.
    #[must_use]
    pub const fn effective(self, mappings: PortMappings, network: NetworkType) -> Self {
        if mappings.any() {
            Self::OPEN
        } else if self.value() == 0 && matches!(network, NetworkType::Mobile) {
            Self::SYMMETRIC
        } else {
            self
        }
    }

    /// What people call it (RFC 3489 section 5). Both kinds of dependent mapping are called symmetric.
    pub const fn common_name(self) -> &'static str {
        use Behaviour::{
            AddressAndPortDependent as Apd, AddressDependent as Ad, EndpointIndependent as Ei,
            Unknown,
        };
        match (self.mapping, self.filtering) {
            (Ei, Ei) => "full cone",
            (Ei, Ad) => "restricted cone",
            (Ei, Apd) => "port-restricted cone",
            (Ei, Unknown) => "a cone",
            (Ad | Apd, _) => "symmetric",
            (Unknown, _) => "unknown",
        }
    }

    /// Its class.
    pub const fn class(self) -> Class {
        use Class::{Partial, Strict, Unlimited};
        // By mapping, then filtering: unknown, EI, AD, APD.
        const CLASSES: [[Class; 4]; 4] = [
            [Strict, Strict, Strict, Strict],
            [Unlimited, Unlimited, Unlimited, Partial],
            [Strict, Strict, Strict, Strict],
            [Strict, Strict, Strict, Strict],
        ];
        CLASSES[self.mapping as usize][self.filtering as usize]
    }
}

impl Behaviour {
    /// Its name, for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        }
    }
}

/// The port mappings a device obtained from its router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortMappings {
    /// By UPnP IGD.
    pub upnp: bool,
    /// By NAT-PMP.
    pub nat_pmp: bool,
    /// By PCP.
    pub pcp: bool,
}

impl PortMappings {
    /// No port is mapped.
    pub const NONE: Self = Self {
        upnp: false,
        nat_pmp: false,
        pcp: false,
    };

    /// Whether any port is mapped.
    pub const fn any(self) -> bool {
        self.upnp || self.nat_pmp || self.pcp
    }
}

/// The kind of network a device is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkType {
    /// Not known.
    #[default]
    Unknown,
    /// A cable.
    Wired,
    /// A wireless LAN.
    Wifi,
    /// A mobile network.
    Mobile,
}

/// How freely a NAT can be traversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Reachable by anyone who knows the mapped endpoint.
    Unlimited = 0,
    /// Reachable by those it sent to first.
    Partial = 1,
    /// A new mapping for each remote endpoint, or unknown.
    Strict = 2,
}

impl Class {
    /// Every class, in order.
    pub const ALL: [Self; 3] = [Self::Unlimited, Self::Partial, Self::Strict];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unlimited => "unlimited",
            Self::Partial => "partial",
            Self::Strict => "strict",
        }
    }

    /// Whether an offer of this class prefers an announcement of that one. Not symmetric: those who
    /// can take anyone leave the scarce reachable volunteers to those who cannot.
    pub const fn prefers(self, announcement: Self) -> bool {
        // Rows: offer. Columns: announcement unlimited, partial, strict.
        const PREFERS: [[bool; 3]; 3] = [
            [false, false, true],
            [true, true, false],
            [true, false, false],
        ];
        PREFERS[self as usize][announcement as usize]
    }

    /// Whether a connection between the two classes can be expected to come about.
    pub const fn is_compatible(self, announcement: Self) -> bool {
        const COMPATIBLE: [[bool; 3]; 3] = [
            [true, true, true],
            [true, true, false],
            [true, false, false],
        ];
        COMPATIBLE[self as usize][announcement as usize]
    }
}

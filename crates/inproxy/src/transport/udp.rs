//! The transports over UDP: a socket for each match, and over it whichever was taken.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_matcher::Versions;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::path::{self, Gather};
use super::tls::Identity;
#[cfg(feature = "webrtc")]
use super::webrtc;
use super::{Channel, Prepared, Role, Transport, TransportError, quic, socket_error};
use crate::description::{CheckKey, Description, TransportKind};
use crate::network::MappedPorts;
use crate::outside::Outside;

/// How sockets are opened, and what is spoken over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// The transports to offer. The default is all that this build speaks; what it does not speak
    /// is left out.
    pub speaks: Versions,
    /// The address that sockets bind to, each to a port of its own. The default is `0.0.0.0`; `::`
    /// takes both families.
    pub bind: IpAddr,
    /// Addresses to describe besides our own: a port mapped at the router, or, with port 0, another
    /// address of this host.
    pub advertised: Vec<Endpoint>,
    /// STUN servers to ask what address they see, at most 4. The default is none.
    pub stun: Vec<Endpoint>,
    /// A connection that hears nothing for so long is given up; the other end is asked for a sign of
    /// life four times in that time. The default is 900 ms, so that a client knows within a second
    /// that its volunteer is gone; it costs an idle pair five small packets a second. On networks
    /// with longer gaps, set more.
    pub silence: Duration,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self {
            speaks: TransportKind::built(),
            bind: Ipv4Addr::UNSPECIFIED.into(),
            advertised: Vec::new(),
            stun: Vec::new(),
            silence: Duration::from_millis(900),
        }
    }
}

/// QUIC and, with the feature `webrtc`, WebRTC data channels.
#[derive(Clone, Debug)]
pub struct Udp {
    config: UdpConfig,
    ports: Option<MappedPorts>,
    outside: Outside,
}

impl Udp {
    /// UDP of this configuration.
    pub const fn new(config: UdpConfig, outside: Outside) -> Self {
        Self {
            config,
            ports: None,
            outside,
        }
    }

    /// With ports that the router has mapped: sockets are bound to those first.
    #[must_use]
    pub fn with_ports(mut self, ports: MappedPorts) -> Self {
        self.ports = Some(ports);
        self
    }
}

/// A socket, keys, and what was described.
#[derive(Debug)]
pub struct PreparedUdp {
    pub(super) socket: UdpSocket,
    pub(super) identity: Identity,
    #[cfg(feature = "webrtc")]
    pub(super) certificate: Option<webrtc::Certificate>,
    pub(super) description: Description,
    is_mapped: bool,
    pub(super) outside: Outside,
    pub(super) silence: Duration,
    pub(super) speaks: Versions,
}

impl Transport for Udp {
    type Prepared = PreparedUdp;

    fn speaks(&self) -> Versions {
        self.config.speaks.both(TransportKind::built())
    }

    async fn prepare(&self) -> Result<PreparedUdp, TransportError> {
        let bound = path::bind(self.config.bind, self.ports.as_ref()).await;
        let (socket, mapped) = bound.map_err(socket_error)?;
        let identity = Identity::new(&self.outside.bytes())?;
        let advertised = mapped.iter().chain(&self.config.advertised);
        let from = Gather {
            advertised: advertised.copied().collect(),
            stun: self.config.stun.clone(),
        };
        let candidates = path::gather(&socket, &from, self.outside).await;
        #[cfg(feature = "webrtc")]
        let certificate = match self.kind(TransportKind::WebRtc as u8) {
            Some(_) => Some(webrtc::Certificate::new()?),
            None => None,
        };
        #[cfg(feature = "webrtc")]
        let dtls = certificate.as_ref().map(webrtc::Certificate::fingerprint);
        #[cfg(not(feature = "webrtc"))]
        let dtls = None;
        let description = Description {
            check_key: CheckKey(self.outside.bytes()),
            fingerprint: identity.fingerprint(),
            dtls,
            candidates: candidates.map_err(socket_error)?,
        };
        Ok(PreparedUdp {
            socket,
            identity,
            #[cfg(feature = "webrtc")]
            certificate,
            description,
            is_mapped: mapped.is_some(),
            outside: self.outside,
            silence: self.config.silence,
            speaks: self.speaks(),
        })
    }
}

impl Prepared for PreparedUdp {
    fn description(&self) -> &Description {
        &self.description
    }

    fn is_mapped(&self) -> bool {
        self.is_mapped
    }

    async fn connect(
        self,
        kind: TransportKind,
        role: Role,
        remote: &Description,
        deadline: Instant,
    ) -> Result<Channel, TransportError> {
        if self.speaks.both(kind.version()).is_empty() {
            return Err(TransportError::NotSpoken { kind, by_us: true });
        }
        if remote.candidates.is_empty() && role == Role::Client {
            return Err(TransportError::NoCandidate);
        }
        match kind {
            TransportKind::Quic => quic::connect(self, role, remote, deadline).await,
            #[cfg(feature = "webrtc")]
            TransportKind::WebRtc => webrtc::connect(self, role, remote, deadline).await,
            #[cfg(not(feature = "webrtc"))]
            TransportKind::WebRtc => Err(TransportError::NotSpoken { kind, by_us: true }),
        }
    }
}

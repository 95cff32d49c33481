//! The router, through the libraries that know its protocols.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{
    InternetProtocol, MappingFailure, PortMapping, PortMappingOptions, PortMappingType,
    TimeoutConfig, natpmp,
};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddPortError, PortMappingProtocol, SearchOptions};
use peerage_core::{Endpoint, PeerText};
use tokio::time::{Instant, timeout};

use super::{LIFETIME, Mapped, MappingError, Method, Transport, Wanted};

/// How patiently PCP and NAT-PMP ask: three times, given up after 1.75 s each. The router is near.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: Some(Duration::from_secs(1)),
};

/// How long a router with UPnP is searched for.
const SEARCH: Duration = Duration::from_secs(3);

/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What the router's list of mappings shows.
const DESCRIPTION: &str = "peerage";

/// A port that the router gave, and how to renew it and give it back.
pub(super) enum Lease {
    /// By PCP or NAT-PMP.
    Crab(Box<PortMapping>),
    /// By UPnP.
    Upnp(Box<Upnp>),
}

/// A port given by UPnP.
pub(super) struct Upnp {
    gateway: Gateway<Tokio>,
    transport: Transport,
    local: SocketAddr,
    external: u16,
}

type Leased = (Lease, Mapped);

impl Lease {
    /// Asks for a port, by each protocol in turn.
    pub(super) async fn ask(
        wanted: Wanted,
        local: IpAddr,
        router: Option<IpAddr>,
    ) -> Result<Leased, MappingError> {
        let port = NonZeroU16::new(wanted.port).ok_or(MappingError::NoPort)?;
        let pcp = match router {
            Some(router) => match ask_crab(wanted.transport, port, local, router).await {
                Ok(leased) => return Ok(leased),
                Err(Refusal::Nonsense(error)) => return Err(error),
                Err(Refusal::Words(words)) => words,
            },
            None => PeerText::from("no router is known to ask by PCP or NAT-PMP"),
        };
        let local = SocketAddr::new(local, wanted.port);
        match ask_upnp(wanted.transport, local).await {
            Ok(leased) => Ok(leased),
            Err(Refusal::Nonsense(error)) => Err(error),
            Err(Refusal::Words(upnp)) => Err(MappingError::Refused { pcp, upnp }),
        }
    }

    /// The same port for another while.
    pub(super) async fn renew(self) -> Result<Leased, MappingError> {
        let refused = |refusal| match refusal {
            Refusal::Nonsense(error) => error,
            Refusal::Words(words) => MappingError::Refused {
                pcp: words.clone(),
                upnp: words,
            },
        };
        match self {
            Self::Crab(mut mapping) => {
                let renewed = mapping.renew().await.map_err(Refusal::from);
                renewed.map_err(refused)?;
                leased_by_crab(mapping).await.map_err(refused)
            }
            Self::Upnp(upnp) => {
                let Upnp {
                    gateway,
                    transport,
                    local,
                    external,
                } = *upnp;
                let given = add(&gateway, transport, external, local).await;
                given.map_err(refused)?;
                leased_by_upnp(gateway, transport, local, external)
                    .await
                    .map_err(refused)
            }
        }
    }

    /// Gives the port back. A router that does not listen forgets it at the end of the lease.
    pub(super) async fn release(self) {
        match self {
            Self::Crab(mapping) => drop(mapping.try_drop().await),
            Self::Upnp(upnp) => {
                let protocol = upnp_protocol(upnp.transport);
                let removed = upnp.gateway.remove_port(protocol, upnp.external);
                drop(timeout(ANSWER, removed).await);
            }
        }
    }
}

enum Refusal {
    /// In the words of the library or the router.
    Words(PeerText),
    Nonsense(MappingError),
}

impl Refusal {
    fn words(words: impl ToString) -> Self {
        Self::Words(PeerText::from(&*words.to_string()))
    }
}

impl From<MappingFailure> for Refusal {
    fn from(error: MappingFailure) -> Self {
        Self::words(error)
    }
}

const fn options(external: NonZeroU16) -> PortMappingOptions {
    PortMappingOptions {
        external_port: Some(external),
        lifetime_seconds: Some(1800),
        timeout_config: Some(PATIENCE),
    }
}

const _: () = assert!(LIFETIME.as_secs() == 1800);

async fn ask_crab(
    transport: Transport,
    port: NonZeroU16,
    local: IpAddr,
    router: IpAddr,
) -> Result<Leased, Refusal> {
    let protocol = match transport {
        Transport::Udp => InternetProtocol::Udp,
        Transport::Tcp => InternetProtocol::Tcp,
    };
    let (gateway, options) = (router.into(), options(port));
    let asked = match PortMapping::new(gateway, local, protocol, port, options).await {
        Ok(mapping) => Ok(mapping),
        // A router that does not know PCP may as well say nothing.
        Err(MappingFailure::Pcp(error)) => {
            let older = natpmp::port_mapping(gateway, protocol, port, options).await;
            older.map_err(|older| Refusal::words(format!("PCP: {error}, NAT-PMP: {older}")))
        }
        Err(error) => Err(error.into()),
    };
    leased_by_crab(Box::new(asked?)).await
}

async fn leased_by_crab(mapping: Box<PortMapping>) -> Result<Leased, Refusal> {
    let (ip, method) = match mapping.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => (external_ip, Method::Pcp),
        PortMappingType::NatPmp => {
            let asked = natpmp::external_address(mapping.gateway(), Some(PATIENCE)).await;
            let ip = asked.map_err(|error| Refusal::from(MappingFailure::from(error)))?;
            (ip.into(), Method::NatPmp)
        }
    };
    let lifetime = Duration::from_secs(mapping.lifetime().into());
    let mapped = mapped(ip, mapping.external_port().get(), method, lifetime)?;
    Ok((Lease::Crab(mapping), mapped))
}

async fn ask_upnp(transport: Transport, local: SocketAddr) -> Result<Leased, Refusal> {
    let mut options = SearchOptions::default();
    options.bind_addr = SocketAddr::new(local.ip(), 0);
    options.timeout = Some(SEARCH);
    options.single_search_timeout = Some(SEARCH);
    let gateway = search_gateway(options).await.map_err(upnp_words)?;
    let same = add(&gateway, transport, local.port(), local).await;
    let external = match same {
        Ok(()) => local.port(),
        // Somebody else may have the port.
        Err(_) => {
            let protocol = upnp_protocol(transport);
            let asked = gateway.add_any_port(protocol, local, lifetime_s(), DESCRIPTION);
            let answer = timeout(ANSWER, asked).await.map_err(upnp_words)?;
            answer.map_err(upnp_words)?
        }
    };
    leased_by_upnp(gateway, transport, local, external).await
}

async fn leased_by_upnp(
    gateway: Gateway<Tokio>,
    transport: Transport,
    local: SocketAddr,
    external: u16,
) -> Result<Leased, Refusal> {
    let asked = timeout(ANSWER, gateway.get_external_ip()).await;
    let ip = asked.map_err(upnp_words)?.map_err(upnp_words)?;
    let mapped = mapped(ip, external, Method::Upnp, LIFETIME)?;
    let upnp = Upnp {
        gateway,
        transport,
        local,
        external,
    };
    Ok((Lease::Upnp(Box::new(upnp)), mapped))
}

/// Asks for one port of the router, for as long as it gives it.
async fn add(
    gateway: &Gateway<Tokio>,
    transport: Transport,
    external: u16,
    local: SocketAddr,
) -> Result<(), Refusal> {
    let protocol = upnp_protocol(transport);
    let add = async |lifetime| {
        let asked = gateway.add_port(protocol, external, local, lifetime, DESCRIPTION);
        timeout(ANSWER, asked).await.map_err(upnp_words)
    };
    match add(lifetime_s()).await? {
        Err(AddPortError::OnlyPermanentLeasesSupported) => add(0).await?.map_err(upnp_words),
        given => given.map_err(upnp_words),
    }
}

fn lifetime_s() -> u32 {
    u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX)
}

const fn upnp_protocol(transport: Transport) -> PortMappingProtocol {
    match transport {
        Transport::Udp => PortMappingProtocol::UDP,
        Transport::Tcp => PortMappingProtocol::TCP,
    }
}

fn upnp_words(error: impl ToString) -> Refusal {
    Refusal::words(format!("UPnP: {}", error.to_string()))
}

fn mapped(ip: IpAddr, port: u16, method: Method, lifetime: Duration) -> Result<Mapped, Refusal> {
    let external = Endpoint::new(ip, port);
    if !external.is_dialable() {
        return Err(Refusal::Nonsense(MappingError::Nonsense { at: ip }));
    }
    Ok(Mapped {
        external,
        method,
        lifetime,
        at: Instant::now().into_std(),
    })
}

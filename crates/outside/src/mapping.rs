//! Ports of the router: asked for by PCP, NAT-PMP and UPnP, in this order; renewed; given back.
//!
//! The protocols are those of kept libraries, built with the feature `port-mapping`. Without it
//! every port fails with [`MappingError::NotBuilt`], so that callers need no branch. IPv4 only: an
//! IPv6 host needs no mapping, and pinholes in its firewall are not asked for.

#[cfg(feature = "port-mapping")]
mod router;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use peerage_core::nat::PortMappings;
use peerage_core::{Detail, Endpoint, Failure, Kind, PeerText, Reason, Stage};
use peerage_nat::Family;
use peerage_nat::watch::Attachment;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::local;

#[cfg(feature = "port-mapping")]
use router::Lease;

/// For how long a port is asked: after a crash the router forgets it that soon. Half of it is
/// waited before it is renewed.
pub const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// How long to wait after a failure, doubled each time.
const RETRY: Duration = Duration::from_secs(30);

/// The longest such wait.
const MAX_RETRY: Duration = Duration::from_secs(15 * 60);

/// How often the system is asked whether the router is still the same.
const LOOK: Duration = Duration::from_secs(5);

/// How long giving everything back may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// The most ports of one mapper.
pub const MAX_PORTS: usize = 8;

/// What a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Discovery, and channels of volunteers.
    Udp,
    /// Listeners.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// A port of ours that others shall reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// What it carries.
    pub transport: Transport,
    /// Our port.
    pub port: u16,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.transport)
    }
}

/// How the router was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// PCP, RFC 6887.
    Pcp,
    /// NAT-PMP, RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

impl Method {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        }
    }
}

/// A port of the router that leads to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The router's outside, as the router has it: it may stand behind another NAT.
    pub external: Endpoint,
    /// How it was asked for.
    pub method: Method,
    /// How long it lasts unless it is renewed.
    pub lifetime: Duration,
    /// Since when, the last renewal counted.
    pub at: std::time::Instant,
}

/// Why a port is not mapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// Not in this build.
    #[error("this build cannot ask routers for ports: build it with the feature port-mapping")]
    NotBuilt,
    /// No way out, or no router on it.
    #[error("no router is known on the way out")]
    NoRouter,
    /// The port is 0.
    #[error("port 0 cannot be mapped")]
    NoPort,
    /// No way of asking was successful.
    #[error("the router gives no port: {pcp}; {upnp}")]
    Refused {
        /// What PCP and NAT-PMP said.
        pcp: PeerText,
        /// What UPnP said.
        upnp: PeerText,
    },
    /// The router answers nonsense.
    #[error("the router's outside is {at}, which is no address")]
    Nonsense {
        /// What it says.
        at: IpAddr,
    },
}

impl Failure for MappingError {
    fn stage(&self) -> Stage {
        Stage::Find("mapping")
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotBuilt | Self::NoPort => Kind::Usage,
            Self::NoRouter => Kind::Unreachable,
            Self::Refused { .. } => Kind::Refused,
            Self::Nonsense { .. } => Kind::Violation,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::NotBuilt | Self::NoPort | Self::NoRouter => Detail::none(),
            Self::Refused { pcp, upnp } => Detail::none()
                .with("pcp", pcp.clone())
                .with("upnp", upnp.clone()),
            Self::Nonsense { at } => Detail::none().with("at", PeerText::from(&*at.to_string())),
        }
    }
}

/// What became of a port.
#[derive(Clone, Debug)]
pub enum State {
    /// The router is being asked.
    Asking,
    /// It is mapped.
    Mapped(Mapped),
    /// It is not; it will be tried again.
    Failed(Reason),
}

/// Every port wanted, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Mappings(pub Vec<(Wanted, State)>);

impl Mappings {
    /// The ports that are mapped.
    pub fn mapped(&self) -> impl Iterator<Item = (Wanted, Mapped)> {
        self.0.iter().filter_map(|(wanted, state)| match state {
            State::Mapped(mapped) => Some((*wanted, *mapped)),
            State::Asking | State::Failed(_) => None,
        })
    }

    /// Whether anything is still being asked for the first time.
    pub fn is_asking(&self) -> bool {
        self.0
            .iter()
            .any(|(_, state)| matches!(state, State::Asking))
    }

    /// The mappings in the terms of matching.
    pub fn kinds(&self) -> PortMappings {
        let by = |method| self.mapped().any(|(_, mapped)| mapped.method == method);
        PortMappings {
            upnp: by(Method::Upnp),
            nat_pmp: by(Method::NatPmp),
            pcp: by(Method::Pcp),
        }
    }
}

/// How a mapper asks.
#[derive(Clone, Debug, Default)]
pub struct MapperPlan {
    /// The ports; those beyond [`MAX_PORTS`] are left out.
    pub wanted: Vec<Wanted>,
    /// The router, where the system does not tell.
    pub router: Option<IpAddr>,
}

/// Keeps ports mapped.
///
/// # Cancellation
/// Dropping it leaves the mappings to end by themselves within [`LIFETIME`]; [`Self::close`] gives
/// them back.
#[derive(Debug)]
pub struct Mapper {
    mappings: watch::Receiver<Mappings>,
    close: mpsc::Sender<()>,
    hurry: Hurry,
    task: JoinHandle<()>,
}

/// Makes a mapper renew everything at once: our router seems to have another outside, or may have
/// forgotten.
#[derive(Clone, Debug, Default)]
pub struct Hurry(Arc<Notify>);

impl Hurry {
    /// Now.
    pub fn up(&self) {
        self.0.notify_one();
    }
}

impl Mapper {
    /// Starts.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(plan: MapperPlan) -> Self {
        let asking = plan.wanted.iter().take(MAX_PORTS);
        let asking = asking.map(|wanted| (*wanted, State::Asking)).collect();
        let (sender, mappings) = watch::channel(Mappings(asking));
        let (close, closed) = mpsc::channel(1);
        let hurry = Hurry::default();
        let task = tokio::spawn(run(plan, sender, closed, hurry.clone()));
        Self {
            mappings,
            close,
            hurry,
            task,
        }
    }

    /// What is mapped now.
    pub fn now(&self) -> Mappings {
        self.mappings.borrow().clone()
    }

    /// To be told of changes.
    pub fn subscribe(&self) -> watch::Receiver<Mappings> {
        self.mappings.clone()
    }

    /// For whoever learns that the router has changed.
    pub fn hurry(&self) -> Hurry {
        self.hurry.clone()
    }

    /// Gives every port back; within 5 s.
    pub async fn close(self) {
        let Self { close, task, .. } = self;
        drop(close);
        // What is not given back by then ends by itself.
        let _in_time = timeout(GOODBYE, task).await;
    }
}

/// One port and its state.
struct Port {
    wanted: Wanted,
    lease: Option<Lease>,
    next_at: Instant,
    failures: u32,
}

async fn run(
    plan: MapperPlan,
    sender: watch::Sender<Mappings>,
    mut closed: mpsc::Receiver<()>,
    hurry: Hurry,
) {
    let mut attachment = local::attachment(Family::V4);
    let mut ports: Vec<Port> = plan
        .wanted
        .iter()
        .take(MAX_PORTS)
        .map(|wanted| Port {
            wanted: *wanted,
            lease: None,
            next_at: Instant::now(),
            failures: 0,
        })
        .collect();
    loop {
        for (index, port) in ports.iter_mut().enumerate() {
            if port.next_at > Instant::now() {
                continue;
            }
            // Whoever closes waits for the router's answer: a port given meanwhile is given back.
            let state = turn(port, attachment, plan.router).await;
            sender.send_modify(|mappings| {
                if let Some(slot) = mappings.0.get_mut(index) {
                    slot.1 = state;
                }
            });
            if !matches!(closed.try_recv(), Err(mpsc::error::TryRecvError::Empty)) {
                break;
            }
        }
        let next_at = ports.iter().map(|port| port.next_at).min();
        let look_at = Instant::now() + LOOK;
        tokio::select! {
            // The mapper is closed or dropped.
            _ = closed.recv() => break,
            () = hurry.0.notified() => {
                for port in &mut ports {
                    port.next_at = Instant::now();
                }
            }
            () = sleep_until(next_at.map_or(look_at, |at| at.min(look_at))) => {}
        }
        let here = local::attachment(Family::V4);
        if here != attachment {
            attachment = here;
            for port in &mut ports {
                // The leases of another router end by themselves.
                port.lease = None;
                port.failures = 0;
                port.next_at = Instant::now();
            }
        }
    }
    for port in &mut ports {
        if let Some(lease) = port.lease.take() {
            lease.release().await;
        }
    }
}

/// Asks for a port, or renews it, and says when to look at it again.
async fn turn(port: &mut Port, attachment: Option<Attachment>, router: Option<IpAddr>) -> State {
    let renewed = match port.lease.take() {
        Some(lease) => lease.renew().await.ok(),
        None => None,
    };
    let leased = match renewed {
        Some(lease) => Ok(lease),
        None => ask(port.wanted, attachment, router).await,
    };
    match leased {
        Ok((lease, mapped)) => {
            port.failures = 0;
            port.next_at = Instant::now() + mapped.lifetime.min(LIFETIME) / 2;
            port.lease = Some(lease);
            State::Mapped(mapped)
        }
        Err(error) => {
            let wait = RETRY.saturating_mul(1 << port.failures.min(16));
            port.failures += 1;
            port.next_at = Instant::now() + wait.min(MAX_RETRY);
            State::Failed(error.reason())
        }
    }
}

async fn ask(
    wanted: Wanted,
    attachment: Option<Attachment>,
    router: Option<IpAddr>,
) -> Result<(Lease, Mapped), MappingError> {
    let Attachment { local, gateway } = attachment.ok_or(MappingError::NoRouter)?;
    Lease::ask(wanted, local, router.or(gateway)).await
}

/// A build that asks nobody.
#[cfg(not(feature = "port-mapping"))]
enum Lease {}

#[cfg(not(feature = "port-mapping"))]
impl Lease {
    #[expect(clippy::unused_async, reason = "as in the build that asks")]
    async fn ask(
        _wanted: Wanted,
        _local: IpAddr,
        _router: Option<IpAddr>,
    ) -> Result<(Self, Mapped), MappingError> {
        Err(MappingError::NotBuilt)
    }

    #[expect(clippy::unused_async, reason = "as in the build that asks")]
    async fn renew(self) -> Result<(Self, Mapped), MappingError> {
        match self {}
    }

    #[expect(clippy::unused_async, reason = "as in the build that asks")]
    async fn release(self) {
        match self {}
    }
}

//! What volunteers and clients say of their network, measured while they run.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use peerage_core::nat::{NetworkType, PortMappings};
use peerage_inproxy::{MappedPort, MappedPorts, NetworkNow, OwnNetwork};
use peerage_nat::Family;
use peerage_outside::mapping::{Hurry, MAX_PORTS, Mapper, MapperPlan, Mappings, Transport, Wanted};
use peerage_outside::{Observed, Observer, Plan, local};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long [`Attached::ready`] waits.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// What to find out.
#[derive(Debug)]
pub struct Attach {
    /// What is known, and counts as long as nothing else is found.
    pub known: OwnNetwork,
    /// Which STUN servers to ask, and when, if any.
    pub observe: Option<Plan>,
    /// How many UDP ports to ask the router for, one for each connection at a time; at most
    /// [`MAX_PORTS`].
    pub ports: usize,
    /// The address that sockets are bound to. The NAT is the one of its family; of IPv4 where it
    /// takes both and there is a way out by IPv4.
    pub bind: IpAddr,
}

/// Knows a party's network, and keeps ports of its router.
///
/// # Cancellation
/// Dropping it leaves ports to end by themselves; [`Self::close`] gives them back.
#[derive(Debug)]
pub struct Attached {
    network: watch::Receiver<OwnNetwork>,
    ports: MappedPorts,
    is_ready: watch::Receiver<bool>,
    family: Family,
    observer: Option<Observer>,
    mapper: Option<Mapper>,
    task: JoinHandle<()>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Attached {
    /// Starts to find it out.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(plan: Attach) -> Self {
        let family = match (plan.bind, local::attachment(Family::V4)) {
            (IpAddr::V6(ip), None) if ip.is_unspecified() => Family::V6,
            (IpAddr::V6(ip), _) if !ip.is_unspecified() => Family::V6,
            _ => Family::V4,
        };
        let mapper = (plan.ports > 0).then(|| {
            Mapper::start(MapperPlan {
                wanted: free_ports(plan.bind, plan.ports),
                router: None,
            })
        });
        let observer = plan.observe.map(Observer::start);
        let (tell_network, network) = watch::channel(plan.known);
        let (tell_ports, ports) = watch::channel(Vec::new());
        let (tell_ready, is_ready) = watch::channel(false);
        let follower = Follower {
            known: plan.known,
            family,
            observed: observer.as_ref().map(Observer::subscribe),
            mappings: mapper.as_ref().map(Mapper::subscribe),
            hurry: mapper.as_ref().map(Mapper::hurry),
            seen_at: None,
            tell_network,
            tell_ports,
            tell_ready,
        };
        let task = tokio::spawn(follower.run());
        Self {
            network,
            ports,
            is_ready,
            family,
            observer,
            mapper,
            task,
        }
    }

    /// What to say of the network, from now on.
    pub fn network(&self) -> NetworkNow {
        self.network.clone().into()
    }

    /// The mapped ports, from now on.
    pub fn ports(&self) -> MappedPorts {
        self.ports.clone()
    }

    /// Waits until everything was asked once, for 15 s at most: a survey takes up to 12.
    pub async fn ready(&self) {
        let mut is_ready = self.is_ready.clone();
        let asked = is_ready.wait_for(|is_ready| *is_ready);
        // What is not known by then is told when it is.
        let _in_time = timeout(READY_LIMIT, asked).await;
    }

    /// The common name of the NAT that the last survey found, if one was made.
    pub fn found(&self) -> Option<&'static str> {
        let observed = self.observer.as_ref()?.now();
        let report = observed.of(self.family).report.as_ref()?;
        Some(report.name())
    }

    /// Ends it and gives the router its ports back.
    pub async fn close(mut self) {
        self.task.abort();
        if let Some(mapper) = self.mapper.take() {
            mapper.close().await;
        }
    }
}

/// Ports that nobody uses now. They are let go again, for the sockets of connections to bind.
fn free_ports(bind: IpAddr, count: usize) -> Vec<Wanted> {
    let count = count.min(MAX_PORTS);
    let bound: Vec<_> = (0..count)
        .filter_map(|_| UdpSocket::bind((bind, 0)).ok())
        .collect();
    let ports = bound.iter().filter_map(|socket| socket.local_addr().ok());
    let wanted = ports.map(|at| Wanted {
        transport: Transport::Udp,
        port: at.port(),
    });
    wanted.collect()
}

/// Joins what is observed and what is mapped.
struct Follower {
    known: OwnNetwork,
    family: Family,
    observed: Option<watch::Receiver<Observed>>,
    mappings: Option<watch::Receiver<Mappings>>,
    hurry: Option<Hurry>,
    /// Where the last survey saw us.
    seen_at: Option<IpAddr>,
    tell_network: watch::Sender<OwnNetwork>,
    tell_ports: watch::Sender<Vec<MappedPort>>,
    tell_ready: watch::Sender<bool>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let observed = match &mut self.observed {
                Some(observed) => observed.borrow_and_update().clone(),
                None => Observed::default(),
            };
            let mappings = match &mut self.mappings {
                Some(mappings) => mappings.borrow_and_update().clone(),
                None => Mappings::default(),
            };
            self.follow(&observed);
            let (network, ports) = self.join(&observed, &mappings);
            // The ports first: whoever is told that they are mapped finds them.
            self.tell_ports.send_if_modified(|told| {
                let is_news = *told != ports;
                *told = ports;
                is_news
            });
            self.tell_network.send_if_modified(|told| {
                let is_news = *told != network;
                *told = network;
                is_news
            });
            let is_surveyed = self.observed.is_none() || observed.of(self.family).report.is_some();
            if is_surveyed && !mappings.is_asking() {
                self.tell_ready.send_replace(true);
            }
            tokio::select! {
                () = news(&mut self.observed) => {}
                () = news(&mut self.mappings) => {}
            }
        }
    }

    /// A router with another outside may have forgotten our ports.
    fn follow(&mut self, observed: &Observed) {
        let Some(report) = &observed.of(self.family).report else {
            return;
        };
        let seen_at = report.external.map(|at| at.ip());
        let before = std::mem::replace(&mut self.seen_at, seen_at);
        if let (Some(hurry), true) = (&self.hurry, before.is_some() && before != seen_at) {
            hurry.up();
        }
    }

    fn join(&self, observed: &Observed, mappings: &Mappings) -> (OwnNetwork, Vec<MappedPort>) {
        let report = observed.of(self.family).report.as_ref();
        let seen_at = report.and_then(|report| report.external).map(|at| at.ip());
        let mapped = mappings.mapped().filter(|(_, mapped)| {
            // A router whose outside those outside do not see stands behind another NAT.
            seen_at.is_none_or(|seen| seen == mapped.external.ip())
        });
        let ports: Vec<_> = mapped
            .map(|(wanted, mapped)| MappedPort {
                local: wanted.port,
                outside: mapped.external,
            })
            .collect();
        let is_mapped = !ports.is_empty();
        let measured = report.map(peerage_nat::Report::nat);
        let network = OwnNetwork {
            nat: measured.unwrap_or(self.known.nat),
            mappings: if is_mapped {
                mappings.kinds()
            } else {
                PortMappings::NONE
            },
            mapped_ports: is_mapped.then_some(ports.len()),
            kind: if self.known.kind == NetworkType::Unknown {
                observed.network
            } else {
                self.known.kind
            },
        };
        (network, ports)
    }
}

/// Waits for news; for ever where there are none to come.
async fn news<T>(of: &mut Option<watch::Receiver<T>>) {
    let is_over = match of {
        Some(receiver) => receiver.changed().await.is_err(),
        None => std::future::pending().await,
    };
    if is_over {
        *of = None;
    }
}

/// Everywhere, and nothing asked.
impl Default for Attach {
    fn default() -> Self {
        Self {
            known: OwnNetwork::default(),
            observe: None,
            ports: 0,
            bind: Ipv4Addr::UNSPECIFIED.into(),
        }
    }
}

//! What every caller of a broker is configured by.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use peerage::inproxy::call::BrokerClient;
use peerage::inproxy::client::{ClientConfig, Dialer, Where};
use peerage::inproxy::matcher::{NatType, NetworkType};
use peerage::inproxy::transport::{Udp, UdpConfig};
use peerage::inproxy::{
    Attach, Attached, BrokerAddress, Invitation, NetworkNow, OUTSIDE, OwnNetwork, Pairing,
    PartySecret, SignerKey, TransportKind,
};
use peerage::{Route, UnixTime, outside};
use serde_json::json;

use crate::args::span;
use crate::output::{Failed, Out, environment, misused, progress, usage};

/// How long the other end may be silent. A packet of ours that asks to be acknowledged, a fifth of that
/// later, begins it anew once, so that a client is told of a volunteer that vanished within 1 s.
const SILENCE: Duration = Duration::from_millis(800);

/// What is known of a NAT.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum NatArg {
    /// Not measured: matched as if it were the worst.
    Unknown,
    /// None, a full cone, or a mapped port.
    Open,
    /// An address-restricted cone.
    Restricted,
    /// A port-restricted cone.
    PortRestricted,
    /// Another mapping for each destination.
    Symmetric,
}

impl NatArg {
    const fn nat(self) -> NatType {
        match self {
            Self::Unknown => NatType::UNKNOWN,
            Self::Open => NatType::OPEN,
            Self::Restricted => NatType::RESTRICTED,
            Self::PortRestricted => NatType::PORT_RESTRICTED,
            Self::Symmetric => NatType::SYMMETRIC,
        }
    }
}

/// What is known of a network.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum NetworkKindArg {
    Unknown,
    Wired,
    Wifi,
    Mobile,
}

impl NetworkKindArg {
    /// Unknown is for the system to tell.
    const fn declared(self) -> Option<NetworkType> {
        match self {
            Self::Unknown => None,
            Self::Wired => Some(NetworkType::Wired),
            Self::Wifi => Some(NetworkType::Wifi),
            Self::Mobile => Some(NetworkType::Mobile),
        }
    }
}

/// How bytes travel between client and volunteer.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum TransportArg {
    Quic,
    /// Data channels, as browsers have them.
    #[cfg(feature = "webrtc")]
    Webrtc,
}

impl TransportArg {
    const fn kind(self) -> TransportKind {
        match self {
            Self::Quic => TransportKind::Quic,
            #[cfg(feature = "webrtc")]
            Self::Webrtc => TransportKind::WebRtc,
        }
    }
}

/// Our own end.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct EndArgs {
    /// The NAT this machine is behind, where it is not to be measured. It decides who gets along with
    /// whom: an open end with all, a port-restricted one with open and port-restricted ones, a
    /// symmetric or unknown one with open ones only.
    #[arg(long, value_enum)]
    nat: Option<NatArg>,

    /// The kind of network this machine is on. A mobile one of unknown NAT is taken for symmetric.
    #[arg(long, value_enum, default_value = "unknown")]
    network_kind: NetworkKindArg,

    /// The address that UDP sockets bind to; :: takes both families.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0")]
    bind: IpAddr,

    /// Another address at which this end is reached, such as a mapped port; port 0 means the port of
    /// the socket. May be given several times.
    #[arg(long, value_name = "ADDR:PORT")]
    advertise: Vec<SocketAddr>,

    /// A STUN server to ask what address it sees, and how the NAT behaves; may be given up to 4
    /// times. One with two addresses is needed for the second, such as `broker stun`.
    #[arg(long, value_name = "HOST[:PORT]")]
    stun: Vec<String>,

    /// Ask the router for ports, one for each connection at a time, 8 at most, and give them back at
    /// the end. Whoever has one is open to all.
    #[arg(long)]
    map_ports: bool,

    /// A transport to speak; may be given several times. Of those that both ends speak the broker takes
    /// QUIC before WebRTC. The default is all that this build speaks.
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    transport: Vec<TransportArg>,

    /// How long the other end may be silent before it counts as gone.
    #[arg(long, value_name = "TIME", default_value = "800ms", value_parser = span)]
    silence: Duration,
}

impl EndArgs {
    /// Finds out what is to be measured. With so many connections at a time at most.
    pub(super) async fn attach(&self, connections: usize) -> Result<End, Failed> {
        let mut servers = Vec::new();
        for name in &self.stun {
            servers.extend(
                outside::resolve(name)
                    .await
                    .map_err(|error| environment(error, "a STUN server cannot be asked"))?,
            );
        }
        // What is declared is not measured.
        let observe = (self.nat.is_none() && !self.stun.is_empty()).then(|| {
            let mut plan = outside::plan(self.stun.clone());
            plan.network = self.network_kind.declared();
            plan
        });
        if observe.is_none() && self.nat.is_none_or(|nat| matches!(nat, NatArg::Unknown)) {
            progress(
                "the NAT of this machine is unknown, so only open ends are likely to be reached: \
                 name a STUN server, or say --nat if you know it",
            );
        }
        let attached = Attached::start(Attach {
            known: OwnNetwork {
                nat: self.nat.map_or(NatType::UNKNOWN, NatArg::nat),
                kind: self.network_kind.declared().unwrap_or_default(),
                ..OwnNetwork::default()
            },
            observe,
            ports: if self.map_ports { connections } else { 0 },
            bind: self.bind,
        });
        let chosen = self.transport.iter().map(|transport| transport.kind());
        let speaks = chosen
            .map(TransportKind::version)
            .reduce(|all, one| all.or(one));
        let config = UdpConfig {
            speaks: speaks.unwrap_or_else(TransportKind::built),
            bind: self.bind,
            advertised: self.advertise.iter().map(|addr| (*addr).into()).collect(),
            stun: servers,
            silence: self.silence,
        };
        let udp = Udp::new(config, OUTSIDE).with_ports(attached.ports());
        Ok(End { attached, udp })
    }
}

/// Our own end, being measured.
pub(super) struct End {
    pub(super) attached: Attached,
    pub(super) udp: Udp,
}

/// Shows what is known of this machine's network.
pub(super) fn network(out: &mut Out, attached: &Attached, as_json: bool) -> Result<(), Failed> {
    let network = attached.network().now();
    let mappings = network.mappings;
    let effective = network.nat.effective(mappings, network.kind);
    let found = attached.found();
    if as_json {
        let fields = json!({
            "event": "network", "nat": network.nat.common_name(), "found": found,
            "mapped_ports": network.mapped_ports.unwrap_or(0),
            "effective": effective.common_name(), "class": effective.class().name(),
        });
        out.json("event", fields)?;
        return Ok(());
    }
    let nat = found.unwrap_or_else(|| network.nat.common_name());
    let ports = match network.mapped_ports {
        Some(ports) => format!("; {ports} ports of the router are mapped"),
        None => String::new(),
    };
    let class = effective.class().name();
    out.line(format!("NAT: {nat}{ports}; its class is {class}"))?;
    Ok(())
}

/// Through whose volunteers to go.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ThroughArgs {
    /// An invitation or a pairing link, or a file that holds one.
    #[arg(
        long,
        value_name = "LINK|FILE",
        env = "PEERAGE_VIA",
        hide_env_values = true
    )]
    via: String,

    /// The operator whose invitation it has to be.
    #[arg(long, value_name = "KEY")]
    operator: Option<SignerKey>,

    #[command(flatten)]
    pub(super) end: EndArgs,
}

/// What a link says.
pub(super) struct Linked {
    pub(super) broker: BrokerAddress,
    pub(super) compartments: Where,
    /// Whose answers are taken, if that is known.
    pub(super) volunteer: Option<SignerKey>,
    pub(super) entries: Vec<peerage::inproxy::EncodedEntry>,
}

/// Reads a link, or the file that holds it.
pub(super) fn text_of(link: &str) -> Result<String, Failed> {
    if link.trim_start().starts_with("peerage-") {
        return Ok(link.to_owned());
    }
    let path = Path::new(link);
    std::fs::read_to_string(path).map_err(|error| {
        usage(error).within(format!(
            "{link} is no link, and as a file it cannot be read"
        ))
    })
}

pub(super) fn read_link(link: &str, operator: Option<SignerKey>) -> Result<Linked, Failed> {
    let text = text_of(link)?;
    if let Ok(pairing) = text.parse::<Pairing>() {
        return Ok(Linked {
            broker: pairing.broker,
            compartments: Where::Personal(vec![pairing.compartment]),
            volunteer: pairing.volunteer,
            entries: pairing.entries,
        });
    }
    let now: UnixTime = OUTSIDE.now();
    let (invitation, _) = Invitation::from_link(&text, operator, now).map_err(usage)?;
    // Which of several does not matter; the first is as good as any.
    let broker = invitation.brokers.into_iter().next();
    Ok(Linked {
        broker: broker.ok_or_else(|| misused("the invitation names no broker"))?,
        compartments: Where::Common(invitation.compartments),
        volunteer: None,
        entries: invitation.entries,
    })
}

impl ThroughArgs {
    /// A client that goes there, under a key of its own, and what is known of its network.
    pub(super) async fn dialer(&self) -> Result<(Dialer<Udp>, Attached), Failed> {
        let End { attached, udp } = self.end.attach(PORTS).await?;
        let dialer = dialer(&self.via, self.operator, attached.network(), udp)?;
        Ok((dialer, attached))
    }
}

/// How many ports a client asks its router for: it races two volunteers for a connection, and a
/// connection has one in the end.
const PORTS: usize = 4;

fn dialer(
    link: &str,
    operator: Option<SignerKey>,
    network: NetworkNow,
    udp: Udp,
) -> Result<Dialer<Udp>, Failed> {
    let linked = read_link(link, operator)?;
    let broker = BrokerClient::new(linked.broker, PartySecret::new(OUTSIDE.bytes()), OUTSIDE);
    let mut config = ClientConfig::new(linked.compartments, linked.entries);
    config.network = network;
    config.pins = linked.volunteer.into_iter().collect();
    Ok(Dialer::new(broker, udp, config, OUTSIDE))
}

/// `--via` of commands that dial peers: their connections go through volunteers and nowhere else, and
/// are proxied ones, so peers are told nothing of us.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Via {
    /// Dial through volunteers only: an invitation or a pairing link, or a file that holds one.
    #[arg(
        long,
        value_name = "LINK|FILE",
        env = "PEERAGE_VIA",
        hide_env_values = true
    )]
    via: Option<String>,

    /// The address that UDP sockets towards volunteers bind to.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0", requires = "via")]
    via_bind: Option<IpAddr>,
}

impl Via {
    /// Whether it was asked for.
    pub(crate) const fn is_given(&self) -> bool {
        self.via.is_some()
    }

    /// This route, or the one that leads through volunteers; not both.
    pub(crate) fn or(&self, other: Route) -> Result<Route, Failed> {
        let Some(link) = &self.via else {
            return Ok(other);
        };
        if !matches!(other, Route::Direct) {
            return Err(misused("--proxy and --via exclude each other"));
        }
        let config = UdpConfig {
            bind: self.via_bind.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            silence: SILENCE,
            ..UdpConfig::default()
        };
        let udp = Udp::new(config, OUTSIDE);
        Ok(Route::by(dialer(link, None, NetworkNow::default(), udp)?))
    }
}

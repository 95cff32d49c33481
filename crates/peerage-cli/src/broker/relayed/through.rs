//! What every caller of a broker is configured by.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use peerage::inproxy::call::BrokerClient;
use peerage::inproxy::client::{ClientConfig, Dialer, Where};
use peerage::inproxy::matcher::{NatType, NetworkType};
use peerage::inproxy::transport::{Udp, UdpConfig};
use peerage::inproxy::volunteer::OwnNetwork;
use peerage::inproxy::{
    BrokerAddress, Invitation, OUTSIDE, Pairing, PartySecret, SignerKey, TransportKind,
};
use peerage::{Route, UnixTime};

use crate::args::span;
use crate::output::{Failed, misused, progress, usage};

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

/// What is known of a network.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum NetworkKindArg {
    Unknown,
    Wired,
    Wifi,
    Mobile,
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
    /// The NAT this machine is behind. It is not measured. It decides who gets along with whom: an
    /// open end with all, a port-restricted one with open and port-restricted ones, a symmetric or
    /// unknown one with open ones only.
    #[arg(long, value_enum, default_value = "unknown")]
    nat: NatArg,

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

    /// A STUN server to ask what address it sees; may be given up to 4 times.
    #[arg(long, value_name = "ADDR:PORT")]
    stun: Vec<SocketAddr>,

    /// A transport to speak; may be given several times. Of those that both ends speak the broker takes
    /// QUIC before WebRTC. The default is all that this build speaks.
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    transport: Vec<TransportArg>,

    /// How long the other end may be silent before it counts as gone.
    #[arg(long, value_name = "TIME", default_value = "800ms", value_parser = span)]
    silence: Duration,
}

impl EndArgs {
    pub(super) fn network(&self) -> OwnNetwork {
        OwnNetwork {
            nat: match self.nat {
                NatArg::Unknown => NatType::UNKNOWN,
                NatArg::Open => NatType::OPEN,
                NatArg::Restricted => NatType::RESTRICTED,
                NatArg::PortRestricted => NatType::PORT_RESTRICTED,
                NatArg::Symmetric => NatType::SYMMETRIC,
            },
            kind: match self.network_kind {
                NetworkKindArg::Unknown => NetworkType::Unknown,
                NetworkKindArg::Wired => NetworkType::Wired,
                NetworkKindArg::Wifi => NetworkType::Wifi,
                NetworkKindArg::Mobile => NetworkType::Mobile,
            },
            ..OwnNetwork::default()
        }
    }

    /// Says why it matters, where nothing is known.
    pub(super) fn warn(&self) {
        if matches!(self.nat, NatArg::Unknown) {
            progress(
                "the NAT of this machine is unknown, so only open ends are likely to be reached: \
                 say --nat if you know it",
            );
        }
    }

    pub(super) fn udp(&self) -> Udp {
        let chosen = self.transport.iter().map(|transport| transport.kind());
        let speaks = chosen
            .map(TransportKind::version)
            .reduce(|all, one| all.or(one));
        let config = UdpConfig {
            speaks: speaks.unwrap_or_else(TransportKind::built),
            bind: self.bind,
            advertised: self.advertise.iter().map(|addr| (*addr).into()).collect(),
            stun: self.stun.iter().map(|addr| (*addr).into()).collect(),
            silence: self.silence,
        };
        Udp::new(config, OUTSIDE)
    }
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
    /// A client that goes there, under a key of its own.
    pub(super) fn dialer(&self) -> Result<Dialer<Udp>, Failed> {
        self.end.warn();
        dialer(&self.via, self.operator, &self.end)
    }
}

fn dialer(link: &str, operator: Option<SignerKey>, end: &EndArgs) -> Result<Dialer<Udp>, Failed> {
    let linked = read_link(link, operator)?;
    let broker = BrokerClient::new(linked.broker, PartySecret::new(OUTSIDE.bytes()), OUTSIDE);
    let mut config = ClientConfig::new(linked.compartments, linked.entries);
    config.network = end.network();
    config.pins = linked.volunteer.into_iter().collect();
    Ok(Dialer::new(broker, end.udp(), config, OUTSIDE))
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
        let end = EndArgs {
            nat: NatArg::Unknown,
            network_kind: NetworkKindArg::Unknown,
            bind: self.via_bind.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            advertise: Vec::new(),
            stun: Vec::new(),
            transport: Vec::new(),
            silence: SILENCE,
        };
        Ok(Route::by(dialer(link, None, &end)?))
    }
}

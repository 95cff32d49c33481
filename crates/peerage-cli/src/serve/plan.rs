//! What is to run, from a file or from arguments.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerage::discv5::Record;
use peerage::networks::{AnyNetwork, NodeOption, Options, Setup, socks5};
use peerage::node::book::{Role, Subject};
use peerage::node::store::Realm;
use peerage::{NodeKey, Route, Tables};

use super::Args;
use super::config::{self, Node, Seeds};
use crate::data::{self, DataArg};
use crate::output::{Failed, misused, usage};

/// All that is to run.
pub(super) struct Plan {
    pub(super) data: PathBuf,
    pub(super) status: Duration,
    pub(super) nodes: Vec<NodePlan>,
}

/// A node of one network and chain.
pub(super) struct NodePlan {
    pub(super) network: &'static dyn AnyNetwork,
    pub(super) setup: Setup,
    pub(super) key: NodeKey,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) pins: Vec<(String, Role)>,
    pub(super) bans: Vec<(Subject, Option<Duration>, String)>,
    pub(super) inbound: Option<u16>,
    pub(super) outbound: Option<u16>,
    /// How often peers are pinged, where that is more often than is customary.
    pub(super) ping: Option<Duration>,
    pub(super) seeds: Seeds,
    /// Whether strangers may tell of local addresses.
    pub(super) local: bool,
    pub(super) discovery: Option<DiscoveryPlan>,
}

/// Discovery beside a node.
pub(super) struct DiscoveryPlan {
    /// Where; as the listeners when empty.
    pub(super) bind: Vec<SocketAddr>,
    /// Whom to ask first; the table's when `None`.
    pub(super) boot: Option<Vec<Record>>,
}

impl NodePlan {
    pub(super) fn realm(&self) -> Realm {
        Realm {
            network: self.network.network().0.into(),
            chain: self.setup.chain.as_str().into(),
        }
    }
}

/// How often figures are told when nothing is said.
const STATUS: Duration = Duration::from_secs(30);

/// What the arguments, or the file they name, want.
pub(super) fn plan(args: &Args, tables: &Tables) -> Result<Plan, Failed> {
    let Some(path) = &args.config else {
        let node = from_args(args, tables)?;
        return Ok(Plan {
            data: args.data.folder()?,
            status: args.status.unwrap_or(STATUS),
            nodes: vec![node],
        });
    };
    let file = config::read(path)?;
    let beside = path.parent().unwrap_or(Path::new("."));
    let data = args.data.data.clone();
    let data = data.or_else(|| file.data.as_ref().map(|data| beside.join(data)));
    let data = DataArg { data }.folder()?;
    let status = args.status.or_else(|| file.status.map(|span| span.0));
    let key = args.node.key.as_deref();
    let of_all = OfAll {
        data: &data,
        beside,
        key,
    };
    let nodes = file.nodes.into_iter();
    let nodes = nodes.map(|node| {
        let network = node.network.0.0.network();
        let chain = node.chain.clone();
        from_file(node, &of_all, tables)
            .map_err(|error| error.within(format!("{}: {network} {chain}", path.display())))
    });
    Ok(Plan {
        nodes: nodes.collect::<Result<_, _>>()?,
        data,
        status: status.unwrap_or(STATUS),
    })
}

/// What the nodes of a file have in common.
#[derive(Clone, Copy)]
struct OfAll<'a> {
    data: &'a Path,
    /// Where paths in the file begin.
    beside: &'a Path,
    /// The key file of those that name none; without it, the key of the data directory.
    key: Option<&'a Path>,
}

fn from_file(node: Node, of_all: &OfAll<'_>, tables: &Tables) -> Result<NodePlan, Failed> {
    let network = node.network.0;
    let own = node.key.as_ref().map(|file| of_all.beside.join(file));
    let key = match own.as_deref().or(of_all.key) {
        Some(file) => NodeKey::read(file).map_err(usage)?,
        None => data::key(of_all.data)?,
    };
    let setup = Setup {
        chain: node.chain,
        tables: tables.clone(),
        key: Some(key.clone()),
        isolated: node.isolated,
        route: route(node.proxy.as_deref())?,
        options: Options {
            services: node.services,
            height: node.height,
            head: node.head.map(|head| head.0.0),
            capabilities: node.capabilities.into_iter().map(|of| of.0.0).collect(),
            ..Options::NONE
        },
    };
    let bans = node.bans.into_iter().map(|ban| {
        let subject = data::subject(&ban.of, Some(network), tables)?;
        Ok((subject, ban.term, ban.why))
    });
    let found = node.discovery;
    let boot = found.boot;
    let discovery = DiscoveryPlan {
        bind: found.bind,
        boot: boot.map(|boot| boot.into_iter().map(|record| record.0.0).collect()),
    };
    let wanted = found.on.or((!discovery.bind.is_empty()).then_some(true));
    whole(
        NodePlan {
            network: network.0,
            setup,
            key,
            listen: Vec::new(),
            pins: pins(node.static_peers, node.trusted),
            bans: bans.collect::<Result<_, Failed>>()?,
            inbound: node.limits.inbound,
            outbound: node.limits.outbound,
            ping: node.ping.map(|ping| ping.0),
            seeds: node.seeds,
            local: false,
            discovery: Some(discovery),
        },
        node.listen,
        wanted,
        node.local,
    )
}

fn from_args(args: &Args, tables: &Tables) -> Result<NodePlan, Failed> {
    let Some(network) = args.network else {
        return Err(misused("name a NETWORK, or give --config FILE"));
    };
    let data = args.data.folder()?;
    let mut setup = args.node.setup(tables, route(args.proxy.as_deref())?)?;
    if args.node.key.is_none() {
        setup.key = Some(data::key(&data)?);
    }
    let key = setup.key.clone().unwrap_or_else(NodeKey::generate);
    let discovery = DiscoveryPlan {
        bind: args.discovery.clone(),
        boot: (!args.boot.is_empty()).then(|| args.boot.clone()),
    };
    let asked = !(args.discovery.is_empty() && args.boot.is_empty());
    let wanted = if args.no_discovery {
        Some(false)
    } else {
        asked.then_some(true)
    };
    let seeds = Seeds {
        table: !args.no_seeds,
        peers: args.ask.clone(),
        ..Seeds::default()
    };
    let listen = (!args.listen.is_empty()).then(|| args.listen.clone());
    let listen = if args.no_listen {
        Some(Vec::new())
    } else {
        listen
    };
    whole(
        NodePlan {
            network: network.0,
            setup,
            key,
            listen: Vec::new(),
            pins: pins(args.peers.clone(), args.trusted.clone()),
            bans: Vec::new(),
            inbound: args.inbound,
            outbound: args.outbound,
            ping: args.ping,
            seeds,
            local: false,
            discovery: Some(discovery),
        },
        listen,
        wanted,
        args.local.then_some(true),
    )
}

fn pins(of_choice: Vec<String>, trusted: Vec<String>) -> Vec<(String, Role)> {
    let of_choice = of_choice.into_iter().map(|peer| (peer, Role::Static));
    let trusted = trusted.into_iter().map(|peer| (peer, Role::Trusted));
    of_choice.chain(trusted).collect()
}

fn route(proxy: Option<&str>) -> Result<Route, Failed> {
    Ok(match proxy {
        Some(url) => Route::Socks5(socks5(url).map_err(usage)?),
        None => Route::Direct,
    })
}

/// Fills in what was not said, and checks what was.
fn whole(
    mut plan: NodePlan,
    listen: Option<Vec<SocketAddr>>,
    wants_discovery: Option<bool>,
    local: Option<bool>,
) -> Result<NodePlan, Failed> {
    let (network, name) = (plan.network, plan.network.network());
    // Whatever is wrong with the chain or an option is said before anything runs.
    let node = network.node(&plan.setup).map_err(usage)?;
    let has_keys = node.found_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into());
    let has_keys = has_keys.key.is_some();
    let is_direct = matches!(plan.setup.route, Route::Direct);
    let is_hidden = !is_direct || plan.setup.isolated;
    let usual = || vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, node.port()))];
    // Whoever hides is not to be found by a port that answers.
    plan.listen = listen.unwrap_or_else(|| if is_hidden { Vec::new() } else { usual() });
    // Whoever listens to this machine alone is on a test network.
    let is_alone = !plan.listen.is_empty() && plan.listen.iter().all(|at| at.ip().is_loopback());
    plan.local = local.unwrap_or(is_alone);
    if plan.setup.isolated && has_keys && !plan.listen.is_empty() {
        return Err(misused(format!(
            "an isolated node on {name} has a fresh key on every connection, and nobody can dial a \
             key that nobody knows: leave listen or isolated out"
        )));
    }
    // Only Ethereum has discovery, which is known by its forks.
    let can_discover = network.options().contains(&NodeOption::Head);
    let discovers = wants_discovery.unwrap_or(can_discover && !is_hidden);
    if discovers && !can_discover {
        return Err(misused(format!("{name} has no discovery: leave it out")));
    }
    if discovers && is_hidden {
        return Err(misused(
            "discovery is UDP, which goes through no proxy and tells who we are: leave it out, or \
             the proxy and isolated",
        ));
    }
    if !discovers {
        plan.discovery = None;
    }
    if can_discover && !(plan.seeds.dns.is_empty() && plan.seeds.https.is_empty()) {
        return Err(misused(format!("{name} has no seeds: use discovery")));
    }
    for (peer, _) in &plan.pins {
        crate::args::destination(peer, &*node)?;
    }
    Ok(plan)
}

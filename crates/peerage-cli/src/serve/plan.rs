//! What is to run, from a file or from arguments.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerage::discv5::Record;
use peerage::find;
use peerage::net::Target;
use peerage::networks::{
    AnyNetwork, AnyNode, BadOption, NodeOption, Options, Setup, SetupError, socks5,
};
use peerage::node::book::{BanWish, Role};
use peerage::node::store::Realm;
use peerage::{Endpoint, NodeKey, Route, Tables};
use toml::Spanned;

use super::Args;
use super::api::Wanted;
use super::config::Node;
use super::level::{Format, Level};
use super::settings::{self, Layer, Over, STATUS, Settings, Winner};
use crate::data;
use crate::doctor::truth::TruthArgs;
use crate::nearest;
use crate::output::{Failed, misused, usage};

/// All that is to run.
pub(super) struct Plan {
    pub(super) data: PathBuf,
    pub(super) status: Duration,
    pub(super) api: Wanted,
    pub(super) level: Option<Level>,
    pub(super) format: Format,
    pub(super) nodes: Vec<NodePlan>,
}

/// A node of one network and chain.
pub(super) struct NodePlan {
    pub(super) network: &'static dyn AnyNetwork,
    pub(super) setup: Setup,
    /// The proxy of the setup's route as it was written: a route is never equal to another.
    pub(super) proxy: Option<String>,
    pub(super) key: NodeKey,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) pins: Vec<(String, Role)>,
    pub(super) bans: Vec<BanWish>,
    pub(super) inbound: Option<u16>,
    pub(super) outbound: Option<u16>,
    /// How often peers are pinged, where that is more often than is customary.
    pub(super) ping: Option<Duration>,
    pub(super) seeds: SeedPlan,
    /// Whether strangers may tell of local addresses.
    pub(super) local: bool,
    pub(super) discovery: Option<DiscoveryPlan>,
    /// How it learns where it is.
    pub(super) truth: TruthArgs,
}

/// Whom to ask for peers at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeedPlan {
    /// Those of the chain's table too.
    pub(super) table: bool,
    pub(super) dns: Vec<Box<str>>,
    pub(super) https: Vec<Box<str>>,
    pub(super) peers: Vec<String>,
}

/// What of a plan is wrong, so that a file can say where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Chain,
    Key,
    Proxy,
    Isolated,
    Discovery,
    Outside,
    Option(NodeOption),
    /// Of the static and then the trusted peers, by number; so with the others.
    Pin(usize),
    Ban(usize),
    Dns(usize),
    Https(usize),
    SeedPeer(usize),
    /// None in particular.
    Node,
}

/// A mistake in a field.
type Wrong = (Field, Failed);

/// Discovery beside a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DiscoveryPlan {
    /// Where; as the listeners when empty.
    pub(super) bind: Vec<SocketAddr>,
    /// Whom to ask first; the table's when `None`.
    pub(super) boot: Option<Vec<Record>>,
}

impl NodePlan {
    /// Where others are told to dial a node that listens there: what the operator says, with the
    /// first listener's port where none is given; else the first end that is an address by name.
    pub(super) fn dialable(&self, ends: &[Endpoint]) -> Option<Endpoint> {
        let said = self.truth.external.first().map(|at| {
            let port = ends.first().map_or(0, Endpoint::port);
            Endpoint::new(at.ip(), if at.port() == 0 { port } else { at.port() })
        });
        let said = said.filter(|at| at.port() != 0);
        said.or_else(|| ends.iter().copied().find(Endpoint::is_dialable))
    }

    pub(super) fn realm(&self) -> Realm {
        Realm {
            network: self.network.network().0.into(),
            chain: self.setup.chain.as_str().into(),
        }
    }
}

/// Whether a key that there is not yet is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// In its file, to stay.
    Lasting,
    /// For the moment: nothing is to be left behind.
    Passing,
}

impl Keys {
    /// The key of a data directory.
    fn of(self, data: &Path) -> Result<NodeKey, Failed> {
        if self == Self::Passing && !data::has_key(data) {
            return Ok(NodeKey::generate());
        }
        data::key(data)
    }
}

/// What the arguments, or the files they lead to, want.
pub(super) fn plan(args: &Args, tables: &Tables, keys: Keys) -> Result<Plan, Failed> {
    if args.network.is_none() {
        let layers = settings::layers(args.over.config.as_deref())?;
        let of_keys = (keys, args.node.key.as_deref());
        return from_layers(&args.over, &layers, tables, of_keys);
    }
    let settings = Settings::of(&args.over, &[]);
    let data = settings.folder()?;
    Ok(Plan {
        nodes: vec![from_args(args, &data, tables, keys)?],
        data,
        status: settings.status.0.unwrap_or(STATUS),
        api: settings.api(),
        level: settings.level.0,
        format: settings.format.0.unwrap_or(Format::Text),
    })
}

/// What files that were read want; with the key file of nodes that name none.
pub(super) fn from_layers(
    over: &Over,
    layers: &[Layer],
    tables: &Tables,
    (keys, key): (Keys, Option<&Path>),
) -> Result<Plan, Failed> {
    let settings = Settings::of(over, layers);
    let (Some(nodes), Winner::Layer(at)) = settings.nodes else {
        return Err(settings::nothing(layers));
    };
    let (source, beside) = (&layers[at].source, layers[at].beside());
    let data = settings.folder()?;
    let of_all = OfAll {
        data: &data,
        beside,
        key,
        keys,
    };
    let nodes = nodes.iter().map(|node| {
        from_file(node.get_ref(), &of_all, tables).map_err(|(field, error)| {
            let at = node.get_ref().place(field);
            source.wrong(at.unwrap_or_else(|| node.span()), error)
        })
    });
    Ok(Plan {
        nodes: nodes.collect::<Result<_, _>>()?,
        status: settings.status.0.unwrap_or(STATUS),
        level: settings.level.0,
        format: settings.format.0.unwrap_or(Format::Text),
        data,
        api: settings.api(),
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
    keys: Keys,
}

fn from_file(node: &Node, of_all: &OfAll<'_>, tables: &Tables) -> Result<NodePlan, Wrong> {
    let network = node.network.get_ref().0;
    let own = node.key.as_ref();
    let own = own.map(|file| of_all.beside.join(file.get_ref()));
    let key = match own.as_deref().or(of_all.key) {
        Some(file) => data::key_at(file),
        None => of_all.keys.of(of_all.data),
    };
    let key = key.map_err(|error| (Field::Key, error))?;
    let proxy = node.proxy.as_ref().map(|proxy| proxy.get_ref().as_str());
    let capabilities = node.capabilities.iter();
    let capabilities = capabilities.flat_map(|list| list.get_ref());
    let setup = Setup {
        chain: node.chain().to_owned(),
        tables: tables.clone(),
        key: Some(key.clone()),
        isolated: node.isolated.as_ref().is_some_and(|it| *it.get_ref()),
        route: route(proxy).map_err(|error| (Field::Proxy, error))?,
        options: Options {
            services: node.services.as_ref().map(|bits| *bits.get_ref()),
            height: node.height.as_ref().map(|height| *height.get_ref()),
            head: node.head.as_ref().map(|head| head.get_ref().0.0),
            capabilities: capabilities.map(|of| of.0.0.clone()).collect(),
            ..Options::NONE
        },
    };
    let bans = node.bans.iter().enumerate().map(|(at, ban)| {
        let ban = ban.get_ref();
        let subject = data::subject(&ban.of, Some(network), tables);
        let subject = subject.map_err(|error| (Field::Ban(at), error))?;
        Ok(BanWish {
            subject,
            term: ban.term,
            words: ban.why.as_str().into(),
        })
    });
    let found = node.discovery.as_ref().map(|found| found.get_ref());
    let boot = found.and_then(|found| found.boot.as_ref());
    let discovery = DiscoveryPlan {
        bind: found.map_or_else(Vec::new, |found| found.bind.clone()),
        boot: boot.map(|boot| boot.iter().map(|record| record.0.0.clone()).collect()),
    };
    let outside = node.outside.as_ref();
    let wanted = found.and_then(|found| found.on);
    let wanted = wanted.or((!discovery.bind.is_empty()).then_some(true));
    whole(
        NodePlan {
            network: network.0,
            setup,
            proxy: proxy.map(str::to_owned),
            key,
            listen: Vec::new(),
            pins: pins(plain(&node.static_peers), plain(&node.trusted)),
            bans: bans.collect::<Result<_, Wrong>>()?,
            inbound: node.limits.inbound,
            outbound: node.limits.outbound,
            ping: node.ping.map(|ping| ping.0),
            seeds: SeedPlan {
                table: node.seeds.table,
                dns: plain(&node.seeds.dns),
                https: plain(&node.seeds.https),
                peers: plain(&node.seeds.peers),
            },
            local: false,
            discovery: Some(discovery),
            truth: outside.map_or_else(TruthArgs::default, |it| it.get_ref().args()),
        },
        node.listen.clone(),
        wanted,
        node.local,
    )
}

/// Values without their places.
fn plain<T: Clone>(values: &[Spanned<T>]) -> Vec<T> {
    values.iter().map(|value| value.get_ref().clone()).collect()
}

fn from_args(args: &Args, data: &Path, tables: &Tables, keys: Keys) -> Result<NodePlan, Failed> {
    let Some(network) = args.network else {
        return Err(misused("name a NETWORK, or give --config FILE"));
    };
    let mut setup = args
        .node
        .setup(tables, args.through.or(route(args.proxy.as_deref())?)?)?;
    if args.node.key.is_none() {
        setup.key = Some(keys.of(data)?);
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
    let seeds = SeedPlan {
        table: !args.no_seeds,
        peers: args.ask.clone(),
        ..SeedPlan::default()
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
            proxy: args.proxy.clone(),
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
            truth: args.truth.clone(),
        },
        listen,
        wanted,
        args.local.then_some(true),
    )
    .map_err(|(_, error)| error)
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
) -> Result<NodePlan, Wrong> {
    let (network, name) = (plan.network, plan.network.network());
    // Whatever is wrong with the chain or an option is said before anything runs.
    let node = network.node(&plan.setup).map_err(not_set_up)?;
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
        let error = misused(format!(
            "an isolated node on {name} has a fresh key on every connection, and nobody can dial a \
             key that nobody knows: leave listen or isolated out"
        ));
        return Err((Field::Isolated, error));
    }
    // Only Ethereum has discovery, which is known by its forks.
    let can_discover = network.options().contains(&NodeOption::Head);
    let discovers = wants_discovery.unwrap_or(can_discover && !is_hidden);
    if discovers && !can_discover {
        let error = misused(format!("{name} has no discovery: leave it out"));
        return Err((Field::Discovery, error));
    }
    if discovers && is_hidden {
        let error = misused(
            "discovery is UDP, which goes through no proxy and tells who we are: leave it out, or \
             the proxy and isolated",
        );
        return Err((Field::Discovery, error));
    }
    if !discovers {
        plan.discovery = None;
    }
    let truth = &plan.truth;
    if is_hidden && (truth.map_ports || !truth.stun.is_empty() || !truth.external.is_empty()) {
        let error = misused(
            "a node that hides tells nobody where it is: leave external, stun and map_ports out",
        );
        return Err((Field::Outside, error));
    }
    for (at, (peer, _)) in plan.pins.iter().enumerate() {
        crate::args::destination(peer, &*node).map_err(|error| (Field::Pin(at), error))?;
    }
    seeds(&plan.seeds, &*node, can_discover)?;
    Ok(plan)
}

/// Why there is no such node, by what is wrong.
fn not_set_up(error: SetupError) -> Wrong {
    let field = match &error {
        SetupError::Chain(unknown) => {
            let hint = nearest::hint(&unknown.got.to_string(), unknown.known.split(", "));
            return (Field::Chain, misused(format!("{error}{hint}")));
        }
        SetupError::Value(BadOption { option, .. }) | SetupError::Option { option, .. } => {
            Field::Option(*option)
        }
        SetupError::Tables(_) | _ => Field::Node,
    };
    (field, usage(error))
}

/// Checks what is to be asked for peers.
fn seeds(seeds: &SeedPlan, node: &dyn AnyNode, can_discover: bool) -> Result<(), Wrong> {
    let name = node.network();
    for (at, seed) in seeds.dns.iter().enumerate() {
        let wrong = |error| (Field::Dns(at), error);
        if can_discover {
            let error = misused(format!("{name} has no seeds: use discovery"));
            return Err(wrong(error));
        }
        Target::parse(seed, node.port()).map_err(|error| wrong(usage(error)))?;
    }
    for (at, seed) in seeds.https.iter().enumerate() {
        let wrong = |error| (Field::Https(at), error);
        if can_discover {
            let error = misused(format!("{name} has no seeds: use discovery"));
            return Err(wrong(error));
        }
        find::seeder_url(seed).map_err(|error| wrong(usage(error)))?;
    }
    for (at, peer) in seeds.peers.iter().enumerate() {
        crate::args::destination(peer, node).map_err(|error| (Field::SeedPeer(at), error))?;
    }
    Ok(())
}

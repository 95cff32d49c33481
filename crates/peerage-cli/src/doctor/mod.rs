//! `peerage doctor`: what outsiders see of this machine.

mod proxy;
mod show;
pub(crate) mod truth;

use std::net::IpAddr;
use std::time::Duration;

use peerage::core::nat::NetworkType;
use peerage::outside::mapping::{Mapper, MapperPlan, Mappings, State, Transport, Wanted};
use peerage::outside::nat::watch::Attachment;
use peerage::outside::nat::{External, Source};
use peerage::outside::{self, Family, Observed, Observer, Seen, local};
use peerage::{Endpoint, Failure as _, Reason};
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep_until};

use crate::args::span;
use crate::output::{Exit, Failed, Out};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "How the NAT or firewall before this machine behaves, for IPv4 and IPv6 apart, with the evidence
(RFC 5780): which questions were asked of the STUN servers, and what came of each. Nobody is asked
who is not named: `peerage broker stun` is such a server. With --map the router is asked for ports,
which are given back at the end.

Exit code: 0 if the type of NAT is known wherever there is a way out, 1 if something is unknown. Of a
proxy alone: 0 if it does what was asked of it.

Examples:
  peerage doctor --stun stun.example.org
  peerage doctor --stun 192.0.2.1:3478 --map 9000/udp --json
  peerage doctor --stun stun.example.org --watch --for 1h
  peerage doctor --proxy socks5h://127.0.0.1:9050 --through example.org:443"
)]
pub(crate) struct Args {
    /// A STUN server with two addresses; may be given several times. All must agree.
    #[arg(long = "stun", value_name = "HOST[:PORT]")]
    servers: Vec<String>,

    /// The kind of network, where the system does not tell: wired, wifi or mobile.
    #[arg(long, value_name = "KIND", value_parser = network)]
    network: Option<NetworkType>,

    /// A port to ask the router for; may be given several times.
    #[arg(long = "map", value_name = "PORT/udp|tcp", value_parser = wanted)]
    wanted: Vec<Wanted>,

    /// The router, where the system does not tell.
    #[arg(long, value_name = "ADDR")]
    router: Option<IpAddr>,

    #[command(flatten)]
    proxy: proxy::ProxyArgs,

    /// Go on, and show each change.
    #[arg(long)]
    watch: bool,

    /// With --watch, stop after this much time.
    #[arg(long = "for", value_name = "TIME", value_parser = span, requires = "watch")]
    time: Option<Duration>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A kind of network by its name.
pub(crate) fn network(text: &str) -> Result<NetworkType, String> {
    match text {
        "wired" => Ok(NetworkType::Wired),
        "wifi" => Ok(NetworkType::Wifi),
        "mobile" => Ok(NetworkType::Mobile),
        _ => Err("there are wired, wifi and mobile".into()),
    }
}

/// A port: `9000/udp`.
fn wanted(text: &str) -> Result<Wanted, String> {
    let expected = || "expected PORT/udp or PORT/tcp".to_owned();
    let (port, transport) = text.split_once('/').ok_or_else(expected)?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return Err(expected()),
    };
    let port: u16 = port.parse().map_err(|_| expected())?;
    if port == 0 {
        return Err("port 0 is none".into());
    }
    Ok(Wanted { transport, port })
}

pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let proxied = proxy::check(&args.proxy, out, args.json).await?;
    if let (Some(works), true) = (proxied, args.servers.is_empty() && args.wanted.is_empty()) {
        // Whoever asks for the proxy alone wants nothing to go around it.
        return Ok(if works { Exit::Yes } else { Exit::No });
    }
    let plan = MapperPlan {
        wanted: args.wanted.clone(),
        router: args.router,
    };
    let mapper = (!args.wanted.is_empty()).then(|| Mapper::start(plan));
    let work = async {
        if args.watch {
            watch(&args, mapper.as_ref(), out).await
        } else {
            once(&args, mapper.as_ref(), out).await
        }
    };
    let result = tokio::select! {
        result = work => result.map(|exit| match (exit, proxied) {
            (Exit::Yes, Some(false)) => Exit::No,
            (exit, _) => exit,
        }),
        // The router is to have its ports back.
        _ = ctrl_c() => Ok(Exit::Interrupted),
    };
    if let Some(mapper) = mapper {
        mapper.close().await;
    }
    result
}

async fn once(args: &Args, mapper: Option<&Mapper>, out: &mut Out) -> Result<Exit, Failed> {
    let (servers, unresolved) = servers(&args.servers).await;
    let (v4, v6) = tokio::join!(seen(Family::V4, &servers), seen(Family::V6, &servers));
    let observed = Observed {
        v4,
        v6,
        network: args
            .network
            .unwrap_or_else(|| local::network_type(Family::V4)),
    };
    let mappings = match mapper {
        Some(mapper) => asked(mapper).await,
        None => Mappings::default(),
    };
    show::unresolved(out, args.json, &unresolved)?;
    for family in Family::BOTH {
        show::family(out, args.json, family, &observed, &mappings)?;
    }
    show::mappings(out, args.json, &mappings)?;
    for wanted in &args.wanted {
        tell(out, args.json, *wanted, &observed, &mappings)?;
    }
    Ok(exit(&observed))
}

async fn watch(args: &Args, mapper: Option<&Mapper>, out: &mut Out) -> Result<Exit, Failed> {
    let mut plan = outside::plan(args.servers.clone());
    plan.network = args.network;
    let observer = Observer::start(plan);
    let mut observed = observer.subscribe();
    let mut mapped = mapper.map(Mapper::subscribe);
    let end = args.time.map(|time| Instant::now() + time);
    let mut last = [None, None];
    loop {
        let now = observed.borrow_and_update().clone();
        let mappings = mapper.map(Mapper::now).unwrap_or_default();
        for (family, last) in Family::BOTH.into_iter().zip(&mut last) {
            let seen = now.of(family);
            let news = (
                seen.attachment,
                seen.report.as_ref().map(|report| report.ended_at),
            );
            if !seen.is_running && *last != Some(news) {
                *last = Some(news);
                show::unresolved(out, args.json, &seen.unresolved)?;
                show::family(out, args.json, family, &now, &mappings)?;
            }
        }
        let changed = async {
            match &mut mapped {
                Some(mapped) => mapped.changed().await,
                None => std::future::pending().await,
            }
        };
        let over = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => return Ok(exit(&now)),
            ended = observed.changed() => {
                if ended.is_err() {
                    return Ok(Exit::Environment);
                }
            }
            // It ends only when it is closed, after this.
            Ok(()) = changed => {
                let mappings = mapper.map(Mapper::now).unwrap_or_default();
                show::mappings(out, args.json, &mappings)?;
                for wanted in &args.wanted {
                    tell(out, args.json, *wanted, &now, &mappings)?;
                }
            }
        }
    }
}

/// The addresses of the servers, and why some have none.
async fn servers(names: &[String]) -> (Vec<Endpoint>, Vec<Reason>) {
    let (mut found, mut unresolved) = (Vec::new(), Vec::new());
    for name in names {
        match outside::resolve(name).await {
            Ok(at) => found.extend(at),
            Err(error) => unresolved.push(error.reason()),
        }
    }
    (found, unresolved)
}

async fn seen(family: Family, servers: &[Endpoint]) -> Seen {
    let attachment = local::attachment(family).or_else(|| toward(family, servers));
    let report = match attachment {
        Some(_) => Some(outside::survey(family, servers).await),
        None => None,
    };
    Seen {
        attachment,
        report,
        ..Seen::default()
    }
}

/// Where we are attached to a network without a way out, if a server is on it.
fn toward(family: Family, servers: &[Endpoint]) -> Option<Attachment> {
    let mut servers = servers.iter().filter(|at| Family::of(at.ip()) == family);
    let local = local::address_toward(*servers.next()?).ok()?;
    let gateway = local::gateway(family);
    Some(Attachment { local, gateway })
}

/// What became of the ports once each has been asked for.
async fn asked(mapper: &Mapper) -> Mappings {
    let mut mappings = mapper.subscribe();
    let asked = mappings.wait_for(|mappings| !mappings.is_asking()).await;
    asked.map(|mappings| mappings.clone()).unwrap_or_default()
}

/// Known wherever there is a way out, and there is one.
fn exit(observed: &Observed) -> Exit {
    let ways = Family::BOTH.map(|family| observed.of(family));
    let attached = ways.iter().filter(|seen| seen.attachment.is_some());
    let known = attached.map(|seen| {
        let report = seen.report.as_ref();
        report.is_some_and(|report| report.unknown().is_none())
    });
    let known: Vec<bool> = known.collect();
    if !known.is_empty() && known.iter().all(|known| *known) {
        Exit::Yes
    } else {
        Exit::No
    }
}

/// Which address a listener at the port would tell.
fn tell(
    out: &mut Out,
    json: bool,
    wanted: Wanted,
    observed: &Observed,
    mappings: &Mappings,
) -> Result<(), Failed> {
    let now = Instant::now().into_std();
    let mut external = External::new();
    external.bind(now, Endpoint::unspecified(wanted.port));
    if let Some(report) = &observed.v4.report {
        external.claim_survey(now, report, Duration::from_secs(3600));
    }
    for (port, state) in &mappings.0 {
        if let (true, State::Mapped(mapped)) = (*port == wanted, state) {
            external.claim(now, Source::Mapped, mapped.external, Some(mapped.lifetime));
        }
    }
    show::decision(out, json, wanted, &external.decide(now, Family::V4))
}

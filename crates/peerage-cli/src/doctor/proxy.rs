//! Whether a proxy is of use, and what goes around it.

use std::time::Duration;

use peerage::Failure as _;
use peerage::net::{Connector as _, Direct, Host, Target};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::output::{Failed, Out, Tone, millis, millis_json, reason_json, usage};
use crate::probe::why;

/// How long it may take: circuits of Tor take some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is checked.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ProxyArgs {
    /// Check this SOCKS5 proxy, socks5h://host:port or socks5h://user:password@host:port: whether it
    /// is reached, and with --through whether it reaches others.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,

    /// Connect there through the proxy, once, and say nothing. A name shows that the proxy resolves
    /// names; it is not resolved here.
    #[arg(long, value_name = "HOST:PORT", requires = "proxy")]
    through: Option<Target>,
}

/// Nothing if no proxy is named; else whether all that was asked of it works.
pub(super) async fn check(
    args: &ProxyArgs,
    out: &mut Out,
    json: bool,
) -> Result<Option<bool>, Failed> {
    let Some(url) = &args.proxy else {
        return Ok(None);
    };
    let socks = peerage::networks::socks5(url).map_err(usage)?;
    let begun = Instant::now();
    let deadline = begun + PATIENCE;
    let reached = match &args.through {
        Some(target) => {
            let connected = timeout(PATIENCE, socks.connect(target, deadline)).await;
            connected.ok().map(|done| done.map(drop))
        }
        None => {
            let connected = timeout(PATIENCE, Direct.connect(socks.proxy(), deadline)).await;
            connected.ok().map(|done| done.map(drop))
        }
    };
    let took = begun.elapsed();
    let reason = match &reached {
        Some(Err(error)) => Some(error.reason()),
        Some(Ok(())) | None => None,
    };
    let works = matches!(reached, Some(Ok(())));
    let resolves = args.through.as_ref().and_then(|target| match target.host {
        Host::Name(_) => Some(works),
        Host::Ip(_) => None,
    });
    if json {
        let body = json!({
            "proxy": socks.proxy().to_string(),
            "through": args.through.as_ref().map(ToString::to_string),
            "works": works,
            "resolves_names": resolves,
            "ms": millis_json(took),
            "reason": reason.as_ref().map(reason_json),
            "goes_around": GOES_AROUND,
        });
        out.json("proxy", body)?;
        return Ok(Some(works));
    }
    let proxy = socks.proxy();
    match (&args.through, works) {
        (Some(target), true) => {
            let mark = out.tone(Tone::Good, "proxy");
            let names = if resolves == Some(true) {
                ", which it resolved"
            } else {
                ""
            };
            out.line(format!(
                "{mark}  {proxy} reaches {target}{names}, in {}",
                millis(took)
            ))?;
        }
        (None, true) => {
            let mark = out.tone(Tone::Good, "proxy");
            out.line(format!(
                "{mark}  somebody listens at {proxy}; whether it reaches others is asked with --through"
            ))?;
        }
        (_, false) => {
            let mark = out.tone(Tone::Bad, "proxy");
            let words = reason.as_ref().map_or("it took too long".into(), why);
            out.line(format!("{mark}  {words}"))?;
        }
    }
    out.line(format!(
        "       never through a proxy: {}",
        GOES_AROUND.join(", ")
    ))?;
    Ok(Some(works))
}

/// What is UDP, or meant for the router: whoever hides behind a proxy leaves it switched off.
const GOES_AROUND: [&str; 3] = ["--stun", "--map-ports", "discovery v5"];

//! Measures the in-proxy's transports over loopback, beside the same transports alone. One run, one
//! line of JSON. See ../README.md.

mod alone;
mod bulk;
mod ours;
mod wire;

use std::time::Duration;

use peerage_bench_kit::{Error, Meter, RUN_LIMIT, Report, runtime};
use peerage_inproxy::TransportKind;

use wire::Weather;

const USAGE: &str = "usage: bench-inproxy set-up OVER [--count N]
       bench-inproxy stream OVER [--mib N] [--delay MS --loss PERCENT --seed N]
OVER: quic, webrtc (ours, through broker and volunteer), bare-quinn, bare-webrtc (alone)
--delay is one way and --loss that of each direction, on a UDP forwarder between the ends";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Ours(TransportKind),
    BareQuinn,
    BareWebRtc,
}

struct Args {
    what: String,
    over: Over,
    name: String,
    count: u64,
    mib: u64,
    weather: Weather,
}

fn args() -> Result<Args, Error> {
    let mut words = std::env::args().skip(1);
    let what = words.next().ok_or(USAGE)?;
    let name = words.next().ok_or(USAGE)?;
    let over = match name.as_str() {
        "quic" => Over::Ours(TransportKind::Quic),
        "webrtc" => Over::Ours(TransportKind::WebRtc),
        "bare-quinn" => Over::BareQuinn,
        "bare-webrtc" => Over::BareWebRtc,
        _ => return Err(USAGE.into()),
    };
    let mut args = Args {
        what,
        over,
        name,
        count: 30,
        mib: 64,
        weather: Weather::default(),
    };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--count" => args.count = value.parse()?,
            "--mib" => args.mib = value.parse()?,
            "--delay" => args.weather.delay = Duration::from_millis(value.parse()?),
            "--loss" => args.weather.loss = value.parse::<f64>()? / 100.0,
            "--seed" => args.weather.seed = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(args)
}

/// Set-ups in turn; the line holds the median.
async fn set_up(args: &Args) -> Result<(), Error> {
    let meter = Meter::start();
    let mut times = match args.over {
        Over::Ours(kind) => ours::set_ups(kind, args.count).await?,
        Over::BareQuinn => return Err("a connection of quinn alone opens no path".into()),
        Over::BareWebRtc => {
            let mut times = Vec::new();
            for _ in 0..args.count {
                times.push(alone::webrtc(Weather::default()).await?.took);
            }
            times
        }
    };
    times.sort_unstable();
    let (_, cpu) = meter.finish().await;
    let wall = times[times.len() / 2];
    report(args, args.count, wall, cpu, 0);
    Ok(())
}

/// One stream, one way.
async fn stream(args: &Args) -> Result<(), Error> {
    let bytes = args.mib << 20;
    let (wall, cpu) = match args.over {
        Over::Ours(kind) => ours::stream(kind, bytes, args.weather).await?,
        Over::BareQuinn => alone::quinn_stream(bytes, args.weather).await?,
        Over::BareWebRtc => alone::webrtc_stream(bytes, args.weather).await?,
    };
    report(args, 1, wall, cpu, bytes);
    Ok(())
}

fn report(args: &Args, count: u64, wall: Duration, cpu: Duration, bytes: u64) {
    Report {
        name: &args.name,
        count,
        at_once: 1,
        wall,
        cpu,
        bytes,
        rss: peerage_bench_kit::resident().unwrap_or(0),
    }
    .print();
}

fn main() -> Result<(), Error> {
    let args = args()?;
    runtime().block_on(async {
        let run = async {
            match args.what.as_str() {
                "set-up" => set_up(&args).await,
                "stream" => stream(&args).await,
                _ => Err(USAGE.into()),
            }
        };
        tokio::time::timeout(RUN_LIMIT, run)
            .await
            .map_err(|_| Error::from("it took too long"))?
    })
}

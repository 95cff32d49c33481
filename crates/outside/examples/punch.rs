//! Two hosts behind NATs try to reach each other over UDP: the measuring program of `interop/nat`.
//!
//! It stands in for the transport of in-proxies and is none: its packets carry a token and no data.
//! What a broker would carry goes through files of a shared folder. Both sides send to where the
//! other is said to be and to where its packets really come from, until each has heard that it was
//! heard.
//!
//! Prints one JSON object: whether they met, after how long, from where the other was heard, or why
//! not. With `--hold` they go on talking for a while, and the longest silence is told.

#![expect(clippy::print_stdout, reason = "a program that prints its result")]

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_core::nat::{Behaviour, NatType};
use peerage_nat::Family;
use peerage_nat::stun::{Class, Message, TransactionId};
use peerage_outside::mapping::{Mapper, MapperPlan, State, Transport, Wanted};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until, timeout};

type Failed = Box<dyn Error>;

/// How often a packet goes out.
const BEAT: Duration = Duration::from_millis(50);

/// How long everything before the first packet to the other may take.
const PREPARATION: Duration = Duration::from_secs(20);

/// The most places where the other is looked for.
const MAX_PLACES: usize = 8;

struct Args {
    me: String,
    peer: String,
    folder: PathBuf,
    stun: Endpoint,
    nat: NatType,
    token: [u8; 16],
    patience: Duration,
    hold: Duration,
    map: bool,
}

/// `--name value` pairs, and nothing else.
fn args() -> Result<Args, Failed> {
    let mut given = BTreeMap::new();
    let mut words = env::args().skip(1);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        given.insert(name.trim_start_matches("--").to_owned(), value);
    }
    let mut take = |name: &str| given.remove(name).ok_or(format!("--{name} is missing"));
    let millis = |text: String| text.parse().map(Duration::from_millis);
    let mut token = [0; 16];
    for (to, from) in token.iter_mut().zip(take("token")?.bytes()) {
        *to = from;
    }
    let nat: u8 = take("nat")?.parse()?;
    Ok(Args {
        me: take("me")?,
        peer: take("peer")?,
        folder: take("folder")?.into(),
        stun: take("stun")?.parse::<SocketAddr>()?.into(),
        nat: NatType::new(behaviour(nat >> 2), behaviour(nat & 3)),
        token,
        patience: millis(take("patience-ms")?)?,
        hold: millis(take("hold-ms").unwrap_or_else(|_| "0".into()))?,
        map: take("map").is_ok_and(|map| map == "yes"),
    })
}

const fn behaviour(number: u8) -> Behaviour {
    match number {
        1 => Behaviour::EndpointIndependent,
        2 => Behaviour::AddressDependent,
        3 => Behaviour::AddressAndPortDependent,
        _ => Behaviour::Unknown,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let args = args()?;
    let any = match Family::of(args.stun.ip()) {
        Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        Family::V6 => "[::]:0".parse()?,
    };
    let socket = UdpSocket::bind(any).await?;
    let mapper = args.map.then(|| {
        let port = socket.local_addr().map_or(0, |at| at.port());
        let transport = Transport::Udp;
        Mapper::start(MapperPlan {
            wanted: vec![Wanted { transport, port }],
            router: None,
        })
    });
    let at = timeout(PREPARATION, place(&args, &socket, mapper.as_ref())).await??;
    write(
        &args.folder,
        &args.me,
        &format!("{at} {}", args.nat.value()),
    )?;
    let (theirs, their_nat) = timeout(PREPARATION, read(&args.folder, &args.peer)).await??;
    let met = meet(&args, &socket, theirs).await?;
    let line = match &met {
        Some(met) => format!(
            r#"{{"met":true,"after_ms":{},"at":"{at}","heard_from":"{}","told":"{theirs}","silence_ms":{},"heard_last_from":"{}"}}"#,
            met.after.as_millis(),
            met.first,
            met.silence.as_millis(),
            met.last
        ),
        None => {
            let (ours, their) = (args.nat.class(), their_nat.class());
            let reason = if ours.is_compatible(their) {
                format!(
                    "nothing came through, though {} and {} are compatible",
                    ours.name(),
                    their.name()
                )
            } else {
                format!("incompatible NATs: {} and {}", ours.name(), their.name())
            };
            format!(
                r#"{{"met":false,"after_ms":{},"at":"{at}","told":"{theirs}","incompatible":{},"reason":"{reason}"}}"#,
                args.patience.as_millis(),
                !ours.is_compatible(their)
            )
        }
    };
    println!("{line}");
    if let Some(mapper) = mapper {
        mapper.close().await;
    }
    Ok(())
}

/// Where others are to look for us: at the router's port if it gave one, else where the STUN server
/// sees this very socket.
async fn place(
    args: &Args,
    socket: &UdpSocket,
    mapper: Option<&Mapper>,
) -> Result<Endpoint, Failed> {
    if let Some(mapper) = mapper {
        let mut mappings = mapper.subscribe();
        let mappings = mappings.wait_for(|mappings| !mappings.is_asking()).await?;
        return match mappings.0.first() {
            Some((_, State::Mapped(mapped))) => Ok(mapped.external),
            Some((_, State::Failed(reason))) => Err(reason.message.as_ref().into()),
            Some((_, State::Asking)) | None => Err("no port was asked for".into()),
        };
    }
    let transaction = TransactionId(*args.token.first_chunk().ok_or("a token is too short")?);
    let request = Message::binding(Class::Request, transaction).encode()?;
    let mut buffer = [0; 1500];
    loop {
        socket.send_to(&request, args.stun.socket_addr()).await?;
        if let Ok(received) =
            timeout(Duration::from_millis(500), socket.recv_from(&mut buffer)).await
        {
            let (len, from) = received?;
            let answer = buffer
                .get(..len)
                .and_then(|bytes| Message::decode(bytes).ok());
            let answer = answer.filter(|answer| {
                Endpoint::from(from) == args.stun && answer.transaction == transaction
            });
            if let Some(at) = answer.and_then(|answer| answer.mapped()) {
                return Ok(at);
            }
        }
    }
}

/// Nobody reads half a file: it is written beside and moved.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failed> {
    let beside = folder.join(format!("{name}.part"));
    fs::write(&beside, text)?;
    Ok(fs::rename(beside, folder.join(name))?)
}

async fn read(folder: &Path, name: &str) -> Result<(Endpoint, NatType), Failed> {
    loop {
        if let Ok(text) = fs::read_to_string(folder.join(name)) {
            let (at, nat) = text.split_once(' ').ok_or("half a file")?;
            let nat: u8 = nat.parse()?;
            let nat = NatType::new(behaviour(nat >> 2), behaviour(nat & 3));
            return Ok((at.parse::<SocketAddr>()?.into(), nat));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// How they met.
struct Met {
    after: Duration,
    first: Endpoint,
    /// The longest time without a packet from the other, while holding.
    silence: Duration,
    last: Endpoint,
}

/// A packet: the token, and whether its sender has heard the other.
fn packet(token: &[u8; 16], has_heard: bool) -> Vec<u8> {
    let mut packet = token.to_vec();
    packet.push(has_heard.into());
    packet
}

async fn meet(args: &Args, socket: &UdpSocket, theirs: Endpoint) -> Result<Option<Met>, Failed> {
    let began = Instant::now();
    let mut places = vec![theirs];
    let mut heard: Option<(Endpoint, Instant)> = None;
    let mut met: Option<Met> = None;
    let mut beat = began;
    let mut end = began + args.patience;
    let mut buffer = [0; 64];
    loop {
        let now = Instant::now();
        if now >= end {
            // The last silence counts as well: it may be the one without end.
            if let (Some(met), Some((_, before))) = (&mut met, heard) {
                met.silence = met.silence.max(now - before);
            }
            return Ok(met);
        }
        if now >= beat {
            for place in &places {
                // A place without a way to it is one where nobody is.
                drop(
                    socket
                        .send_to(&packet(&args.token, heard.is_some()), place.socket_addr())
                        .await,
                );
            }
            beat = now + BEAT;
        }
        let (len, from) = tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // What a packet of ours has drawn elsewhere.
                Err(_) => continue,
            },
            () = sleep_until(beat.min(end)) => continue,
        };
        let (now, from) = (Instant::now(), Endpoint::from(from));
        let [token @ .., has_heard] = buffer.get(..len).unwrap_or_default() else {
            continue;
        };
        if token != args.token {
            continue;
        }
        if !places.contains(&from) && places.len() < MAX_PLACES {
            places.push(from);
        }
        if let (Some(met), Some((_, before))) = (&mut met, heard) {
            met.silence = met.silence.max(now - before);
            met.last = from;
        }
        heard = Some((from, now));
        if *has_heard == 1 && met.is_none() {
            met = Some(Met {
                after: now - began,
                first: from,
                silence: Duration::ZERO,
                last: from,
            });
            // The other has yet to hear that we have heard.
            end = now + args.hold.max(Duration::from_millis(500));
        }
    }
}

//! A discovery node made of the published `discv5` crate, for conformance runs.
//!
//! ```text
//! discv5-peer serve [--ip ADDR] [--key HEX] [--port N] [--boot ENR]... [--for SECONDS]
//! discv5-peer ask ENR [--ip ADDR] [--times N] [--payload TEXT] [--again]
//! ```
//!
//! `serve` prints its record and answers TALK requests of the protocol `echo`. `ask` sends PINGs
//! (all at once), a FINDNODE for distance 0 and a TALK request; with `--again` it then waits for a
//! line on its input and sends them once more, over whatever session it believes to have. Every
//! line is one JSON object with a `type`.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use discv5::{ConfigBuilder, Discv5, Event, IpMode, ListenConfig};
use enr::{CombinedKey, NodeId};
use serde_json::{Value, json};

type Enr = enr::Enr<CombinedKey>;

struct Args {
    ask: Option<Enr>,
    key: Option<[u8; 32]>,
    ip: Ipv4Addr,
    port: u16,
    boot: Vec<Enr>,
    seconds: u64,
    times: usize,
    payload: String,
    again: bool,
}

fn args() -> Result<Args, String> {
    let mut given = std::env::args().skip(1);
    let command = given.next().unwrap_or_default();
    let mut args = Args {
        ask: None,
        key: None,
        ip: Ipv4Addr::LOCALHOST,
        port: 0,
        boot: Vec::new(),
        seconds: 100,
        times: 1,
        payload: "hello".into(),
        again: false,
    };
    match command.as_str() {
        "serve" => {}
        "ask" => args.ask = Some(given.next().ok_or("ask whom?")?.parse()?),
        _ => return Err("usage: discv5-peer serve|ask …, see the top of its source".into()),
    }
    while let Some(flag) = given.next() {
        if flag == "--again" {
            args.again = true;
            continue;
        }
        let value = given.next().ok_or_else(|| format!("{flag} wants a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{flag}: {error}"));
        match flag.as_str() {
            "--key" => {
                let mut key = [0; 32];
                hex::decode_to_slice(&value, &mut key).map_err(|error| error.to_string())?;
                args.key = Some(key);
            }
            "--ip" => args.ip = value.parse().map_err(|_| "--ip wants an IPv4 address")?,
            "--port" => args.port = number()? as u16,
            "--boot" => args.boot.push(value.parse()?),
            "--for" => args.seconds = number()?,
            "--times" => args.times = number()? as usize,
            "--payload" => args.payload = value,
            _ => return Err(format!("{flag} is unknown")),
        }
    }
    Ok(args)
}

fn say(kind: &str, mut body: Value) {
    body["type"] = json!(kind);
    println!("{body}");
}

/// A port that was free a moment ago: the record has to name it before the socket is bound.
fn free_port(ip: Ipv4Addr) -> std::io::Result<u16> {
    std::net::UdpSocket::bind((ip, 0))?
        .local_addr()
        .map(|addr| addr.port())
}

async fn start(args: &Args) -> Result<Discv5, String> {
    let key = match args.key {
        Some(mut key) => CombinedKey::secp256k1_from_bytes(&mut key).map_err(|e| e.to_string())?,
        None => CombinedKey::generate_secp256k1(),
    };
    let port = match args.port {
        0 => free_port(args.ip).map_err(|error| error.to_string())?,
        port => port,
    };
    let enr = enr::Enr::builder()
        .ip4(args.ip)
        .udp4(port)
        .build(&key)
        .map_err(|error| error.to_string())?;
    let listen = ListenConfig::Ipv4 {
        ip: args.ip,
        port,
    };
    let config = ConfigBuilder::new(listen).request_timeout(Duration::from_secs(2)).build();
    let mut node = Discv5::new(enr, key, config)?;
    node.start().await.map_err(|error| format!("{error:?}"))?;
    for boot in &args.boot {
        node.add_enr(boot.clone())?;
    }
    Ok(node)
}

async fn serve(args: Args) -> Result<(), String> {
    let node = start(&args).await?;
    let enr = node.local_enr();
    let id = hex::encode(enr.node_id().raw());
    say("serving", json!({ "enr": enr.to_base64(), "node_id": id }));
    let mut events = node.event_stream().await.map_err(|error| format!("{error:?}"))?;
    let mut lookups = tokio::time::interval(Duration::from_secs(2));
    let end = tokio::time::sleep(Duration::from_secs(args.seconds));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = lookups.tick(), if !args.boot.is_empty() => {
                // It looks for nodes only when it is told to.
                let random = NodeId::random();
                tokio::spawn(node.find_node(random));
            }
            event = events.recv() => match event {
                None => return Err("the service has ended".into()),
                Some(Event::TalkRequest(request)) => {
                    let body = request.body().to_vec();
                    let protocol = String::from_utf8_lossy(request.protocol()).into_owned();
                    let from = hex::encode(request.node_id().raw());
                    say("talk", json!({ "from": from, "protocol": protocol }));
                    if protocol == "echo" {
                        request.respond(body).map_err(|error| format!("{error:?}"))?;
                    }
                }
                Some(Event::SessionEstablished(enr, _)) => {
                    say("session", json!({ "node_id": hex::encode(enr.node_id().raw()) }));
                }
                Some(_) => {}
            }
        }
    }
}

async fn ask_once(node: &Discv5, to: &Enr, args: &Args) -> Result<(), String> {
    let began = Instant::now();
    let pings: Vec<_> = (0..args.times)
        .map(|_| tokio::spawn(node.send_ping(to.clone())))
        .collect();
    let mut pongs = 0;
    let mut observed = String::new();
    for ping in pings {
        let pong = ping.await.map_err(|error| error.to_string())?;
        let pong = pong.map_err(|error| format!("ping: {error:?}"))?;
        observed = format!("{}:{}", pong.ip, pong.port);
        pongs += 1;
    }
    let took = began.elapsed().as_secs_f64() * 1e3;
    say("pong", json!({ "count": pongs, "observed": observed, "rtt_ms": took }));
    let found = node.find_node_designated_peer(to.clone(), vec![0]).await;
    let found = found.map_err(|error| format!("findnode: {error:?}"))?;
    let found: Vec<_> = found.iter().map(enr::Enr::to_base64).collect();
    say("nodes", json!({ "enrs": found }));
    let contact = discv5::NodeContact::try_from_enr(to.clone(), IpMode::Ip4);
    let contact = contact.map_err(|error| format!("{error:?}"))?;
    let said = node.talk_req(contact, b"echo".to_vec(), args.payload.clone().into_bytes()).await;
    let said = said.map_err(|error| format!("talk: {error:?}"))?;
    say("talk", json!({ "payload": String::from_utf8_lossy(&said) }));
    Ok(())
}

async fn ask(to: Enr, args: Args) -> Result<(), String> {
    let node = start(&args).await?;
    ask_once(&node, &to, &args).await?;
    if args.again {
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        ask_once(&node, &to, &args).await?;
    }
    say("done", json!({}));
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let run = async {
        let mut args = args()?;
        match args.ask.take() {
            Some(to) => ask(to, args).await,
            None => serve(args).await,
        }
    };
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say("error", json!({ "error": error }));
            ExitCode::FAILURE
        }
    }
}

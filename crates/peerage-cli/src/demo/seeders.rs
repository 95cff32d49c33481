//! Whoever tells of others: seed peers, the liar, and seeders over HTTP.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage::core::AcceptAll;
use peerage::net::{Conn, Connection, Listener};
use peerage::networks::Builtin;
use peerage::verack::Services;
use peerage::verack::dialect::Message;
use peerage::verack::message::Listed;
use peerage::{Endpoint, Greeter, Peer, UnixTime};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::home::{Home, serve};

/// How long a guest may take to introduce itself, in seconds.
const LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of a question over HTTP that are read.
const MAX_QUESTION: u64 = 4096;

/// The service bit of nodes that have blocks, on every network of the family.
const NODE_NETWORK: u64 = 1;

/// A peer that tells whoever asks of these.
pub(super) fn gossiping<N: Builtin>(
    greeter: Greeter<N>,
    listener: Listener,
    told: Vec<Endpoint>,
) -> Home {
    let told: Arc<[Endpoint]> = told.into();
    serve(listener, move |guest| {
        let (greeter, told) = (greeter.clone(), told.clone());
        async move {
            let deadline = Instant::now() + LIMIT;
            if let Ok(mut peer) = greeter.greet(guest, AcceptAll, deadline).await {
                gossip(&mut peer, &told).await;
            }
        }
    })
}

/// Answers pings and questions for addresses until the peer is gone.
async fn gossip<N: Builtin, C: Conn>(peer: &mut Peer<N, C>, told: &[Endpoint]) {
    let version = peer.info().negotiated;
    while let Ok(message) = peer.recv().await {
        let answer = match message.ping_nonce() {
            Some(nonce) => N::Message::pong(nonce),
            None if message.asks_for_addrs() => {
                let listed: Vec<_> = told.iter().copied().map(listed).collect();
                N::Message::list(&listed, version)
            }
            None => continue,
        };
        if peer.send(&answer).await.is_err() {
            return;
        }
    }
}

fn listed(endpoint: Endpoint) -> Listed {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    Listed {
        time: UnixTime(i64::try_from(now).unwrap_or(i64::MAX)),
        services: Services(NODE_NETWORK),
        endpoint,
    }
}

/// A seeder that tells whoever asks of these, in the form of dcrseeder's `/api/addrs`.
pub(super) fn seeder(listener: Listener, told: &[Endpoint], version: u32) -> Home {
    let lines = told.iter().map(|endpoint| {
        let host = endpoint.to_string();
        json!({ "host": host, "services": NODE_NETWORK, "pver": version }).to_string() + "\n"
    });
    let body: Arc<str> = lines.collect::<String>().into();
    serve(listener, move |guest| {
        let body = body.clone();
        async move {
            // Whoever asks too slowly, or for something else, is let go.
            drop(timeout(LIMIT, answer(guest, &body)).await);
        }
    })
}

async fn answer(guest: Connection<TcpStream>, body: &str) -> std::io::Result<()> {
    let mut io = guest.io;
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") {
        let room = MAX_QUESTION.saturating_sub(question.len() as u64);
        if (&mut io).take(room).read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = if question.starts_with(b"GET /api/addrs?") {
        ("200 OK", body)
    } else {
        ("404 Not Found", "")
    };
    let answer = format!(
        "HTTP/1.0 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}"
    );
    io.write_all(answer.as_bytes()).await?;
    io.shutdown().await
}

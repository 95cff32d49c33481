//! HTTP against a live daemon: JSON, changes, events with resume, metrics, health.

use std::net::SocketAddr;
use std::sync::Arc;

use peerage::Zcash;
use peerage_api::http::Listener;
use peerage_api::socket::BindError;
use peerage_api::token::Token;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::common::{Pair, soon};

const SECRET: &str = "a-token-of-thirty-two-characters";

async fn http(pair: &Pair<Zcash>, token: Option<&str>) -> SocketAddr {
    let token = token.map(|token| Token::new(token).unwrap());
    let at = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind(at, token).await.unwrap();
    let addr = listener.local_addr();
    let daemon = Arc::clone(&pair.served.daemon);
    tokio::spawn(async move { listener.serve(daemon, std::future::pending()).await });
    addr
}

/// A request, with the status and body of its answer.
async fn ask(at: SocketAddr, line: &str, headers: &str, body: &str) -> (u16, String) {
    let mut io = TcpStream::connect(at).await.unwrap();
    let host = if headers.contains("host:") {
        String::new()
    } else {
        format!("host: {at}\r\n")
    };
    let len = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", io.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

async fn get(at: SocketAddr, path: &str) -> (u16, Value) {
    let (status, body) = ask(at, &format!("GET {path}"), "", "").await;
    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_everything_with_curl() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let at = http(&pair, None).await;
    pair.meet().await;
    let peers = async {
        loop {
            let (status, peers) = get(at, "/v1/peers?network=zcash").await;
            assert_eq!(status, 200);
            if peers["peers"][0]["agent"] != "" && !peers["peers"][0].is_null() {
                return peers;
            }
        }
    };
    let peers = soon("the peer", peers).await;
    let peer = &peers["peers"][0];
    assert_eq!(
        (&peer["phase"], &peer["direction"]),
        (&json!("active"), &json!("inbound"))
    );
    let session = &peer["peer"]["session"];
    let (status, one) = get(at, &format!("/v1/peer?peer.session={session}")).await;
    assert_eq!((status, &one["peer"]["peer"]), (200, &peer["peer"]));
    for path in [
        "/v1/info",
        "/v1/status",
        "/v1/bans",
        "/v1/book?which=tried",
        "/openapi.json",
    ] {
        let (status, answer) = get(at, path).await;
        assert_eq!(
            (status, answer.is_object()),
            (200, true),
            "{path}: {answer}"
        );
    }
    let (_, info) = get(at, "/v1/info").await;
    assert_eq!(
        info["nodes"][0]["realm"],
        json!({ "network": "zcash", "chain": "regtest" })
    );
    assert_eq!(get(at, "/healthz").await, (200, json!("ok\n")));
    assert_eq!(get(at, "/readyz").await, (200, json!("ready\n")));
    let (status, text) = get(at, "/metrics").await;
    let row =
        "peerage_established_total{network=\"zcash\",chain=\"regtest\",direction=\"inbound\"} 1";
    assert!(
        status == 200 && text.as_str().unwrap().contains(row),
        "{text}"
    );

    // What is wrong is said with what would be right.
    for (path, status, words) in [
        ("/v1/nothing", 404, "/openapi.json"),
        ("/v1/peers?limit=many", 400, "limit must be a whole number"),
        ("/v1/peers?network=bitcoin", 404, "zcash regtest"),
        ("/v1/peer?peer.session=99", 404, "list the peers"),
        ("/v1/book?which=some", 400, "one of all, tried, new, pinned"),
        ("/v1/peers/add", 405, "takes POST"),
    ] {
        let (got, answer) = get(at, path).await;
        let error = answer["error"].as_str().unwrap();
        assert!(
            got == status && error.contains(words),
            "{path}: {got} {error}"
        );
        assert!(answer["reason"]["kind"].is_string());
    }
    pair.ours.handle.stop().await;
    assert_eq!(get(at, "/readyz").await.0, 503);
    assert_eq!(get(at, "/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_changes_anything() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let (closed, open) = (http(&pair, None).await, http(&pair, Some(SECRET)).await);
    let ban =
        json!({ "subject": { "net": "192.0.2.0/24" }, "seconds": 60, "why": "test" }).to_string();
    let post = |at, header: String| {
        let ban = ban.clone();
        async move { ask(at, "POST /v1/bans/add", &header, &ban).await.0 }
    };
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    assert_eq!(post(closed, bearer(SECRET)).await, 403, "there is no token");
    assert_eq!(post(open, String::new()).await, 401);
    assert_eq!(
        post(open, bearer("another-token-of-some-length")).await,
        401
    );
    assert_eq!(get(open, "/v1/bans").await.1["bans"], json!([]));
    assert_eq!(post(open, bearer(SECRET)).await, 200);
    let (_, bans) = get(open, "/v1/bans").await;
    assert_eq!(bans["bans"][0]["subject"], json!({ "net": "192.0.2.0/24" }));
    let odd = ask(open, "POST /v1/bans/add", &bearer(SECRET), "{ not json").await;
    assert!(odd.0 == 400 && odd.1.contains("no JSON"), "{odd:?}");
    let delete = ask(open, "DELETE /v1/bans/add", &bearer(SECRET), "").await;
    assert_eq!(delete.0, 405);
    // A page that resolves to this machine under another name reads nothing.
    let rebound = ask(open, "GET /v1/peers", "host: evil.example:80\r\n", "").await;
    assert!(
        rebound.0 == 403 && rebound.1.contains("localhost"),
        "{rebound:?}"
    );
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:80"] {
        let header = format!("host: {host}\r\n");
        assert_eq!(
            ask(open, "GET /v1/info", &header, "").await.0,
            200,
            "{host}"
        );
    }
    // Whoever listens to others needs a token for reading, too.
    let everywhere = ([0, 0, 0, 0], 0).into();
    let refused = Listener::bind(everywhere, None).await;
    assert!(
        matches!(refused, Err(BindError::NoTokenForHttp { .. })),
        "{refused:?}"
    );
    let token = Token::new(SECRET).unwrap();
    let listener = Listener::bind(everywhere, Some(token)).await.unwrap();
    let at = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().port()));
    let daemon = Arc::clone(&pair.served.daemon);
    tokio::spawn(async move { listener.serve(daemon, std::future::pending()).await });
    assert_eq!(ask(at, "GET /metrics", "", "").await.0, 401);
    assert_eq!(ask(at, "GET /metrics", &bearer(SECRET), "").await.0, 200);
    assert_eq!(ask(at, "GET /healthz", "", "").await.0, 200);
}

/// One event of a stream: its id, its kind and its data.
async fn event(lines: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> (String, String, Value) {
    let read = async {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert_ne!(
                lines.read_line(&mut line).await.unwrap(),
                0,
                "the stream ended"
            );
            if let Some(rest) = line.strip_prefix("id: ") {
                id = rest.trim().to_owned();
            } else if let Some(rest) = line.strip_prefix("event: ") {
                kind = rest.trim().to_owned();
            } else if let Some(rest) = line.strip_prefix("data: ") {
                return (id, kind, serde_json::from_str(rest).unwrap());
            }
        }
    };
    soon("an event", read).await
}

async fn events(at: SocketAddr, query: &str, last: &str) -> BufReader<TcpStream> {
    let mut io = TcpStream::connect(at).await.unwrap();
    let last = if last.is_empty() {
        String::new()
    } else {
        format!("last-event-id: {last}\r\n")
    };
    let request = format!("GET /v1/events{query} HTTP/1.1\r\nhost: {at}\r\n{last}\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(io)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_after_the_last_one_seen() {
    let mut pair = Pair::<Zcash>::new("regtest").await;
    let at = http(&pair, None).await;
    let query = "?network=zcash&events.kinds=established&events.kinds=closed";
    let mut stream = events(at, query, "").await;
    let (_, kind, opened) = event(&mut stream).await;
    assert_eq!((&*kind, &opened["next"]), ("opened", &json!(1)));
    let there = pair.meet().await;
    let (id, kind, established) = event(&mut stream).await;
    assert_eq!(
        (&*kind, established["established"]["direction"].as_str()),
        ("event", Some("inbound"))
    );
    assert!(
        id.ends_with("-1") && id.starts_with(opened["token"].as_str().unwrap()),
        "{id}"
    );
    // The browser loses its connection, and the peer goes meanwhile.
    drop(stream);
    let say = peerage::node::peers::Parting::Requested;
    pair.other
        .handle
        .disconnect(there, say)
        .await
        .unwrap()
        .unwrap();
    let mut stream = events(at, query, &id).await;
    let (_, _, again) = event(&mut stream).await;
    assert_eq!(
        (&again["token"], &again["next"]),
        (&opened["token"], &json!(2))
    );
    let (id, _, closed) = event(&mut stream).await;
    assert!(closed["closed"]["reason"]["words"].is_string(), "{closed}");
    assert!(id.ends_with("-2"), "{id}");
    // A lease that is over, or never was, begins anew.
    let mut stream = events(at, query, &format!("{}-7", "0".repeat(32))).await;
    let (_, kind, fresh) = event(&mut stream).await;
    assert_eq!(kind, "opened");
    assert_ne!(fresh["token"], opened["token"]);
    let (status, refused) = get(at, "/v1/events?requests=true").await;
    assert!(status == 400 && refused["error"].as_str().unwrap().contains("gRPC"));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_connections_as_there_may_be_and_then_the_next() {
    let limits = peerage_api::ApiLimits {
        connections: 2,
        ..peerage_api::ApiLimits::default()
    };
    let pair = Pair::<Zcash>::with("regtest", limits).await;
    let at = http(&pair, None).await;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {at}\r\n\r\n");
    let ask = async |io: &mut TcpStream| {
        io.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        soon("an answer", io.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    };
    let mut one = TcpStream::connect(at).await.unwrap();
    ask(&mut one).await;
    let mut two = TcpStream::connect(at).await.unwrap();
    ask(&mut two).await;
    let third = tokio::spawn(async move { get(at, "/healthz").await.0 });
    drop(two);
    assert_eq!(soon("room", third).await.unwrap(), 200);
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_book_is_taken_in_and_listed_by_pages() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let mut client = pair.served.client().await;
    let lines = |from: u32, to: u32| -> String {
        let peer = |number: u32| {
            let at = std::net::Ipv4Addr::from(0x1001_0001 + (number << 16));
            let line = json!({
                "v": 1, "type": "peer", "key": format!("{at}:8233"), "role": "ordinary",
                "spots": [{ "at": format!("{at}:8233"), "heard": 1, "failures": 0 }],
                "sources": [], "verdict": "unknown", "first_heard": 1, "last_heard": 1,
                "attempts": 1, "successes": 1, "last_success": 1, "failures": 0, "online": 0, "score": 0, "at": 1,
            });
            format!("{line}\n")
        };
        (from..to).map(peer).collect()
    };
    let import = |lines: String| peerage_api::v1::ImportBookRequest {
        lines,
        ..Default::default()
    };
    let many = client
        .import_book(import(lines(0, 1001)))
        .await
        .unwrap_err();
    assert!(many.message().contains("at most 1000"), "{many}");
    let taken = client
        .import_book(import(lines(0, 700)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((taken.peers, taken.not_taken), (700, 0), "{taken:?}");
    let again = client.import_book(import(lines(600, 1300) + "nonsense\n"));
    let again = again.await.unwrap().into_inner();
    assert_eq!(
        (again.peers, again.not_taken, again.refused.len()),
        (600, 101, 100)
    );
    assert!(
        again.refused[0].starts_with("line 701 is not taken"),
        "{:?}",
        again.refused[0]
    );
    let query = peerage_api::v1::QueryBookRequest {
        skip: 1100,
        limit: 1000,
        ..Default::default()
    };
    let listed = client.query_book(query).await.unwrap().into_inner();
    assert_eq!(
        (listed.matched, listed.known, listed.candidates.len()),
        (1300, 1300, 200)
    );
}

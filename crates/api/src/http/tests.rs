use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{ApiLimits, Builder};

#[test]
fn a_query_is_an_object() {
    let query = "network=zcash&chain=mainnet&peer.session=7&only=1&only=2&only=3&agent=a%20b";
    let expected = json!({
        "realm": { "network": "zcash", "chain": "mainnet" },
        "peer": { "session": "7" },
        "only": ["1", "2", "3"],
        "agent": "a b",
    });
    assert_eq!(of_query(query), expected);
    assert_eq!(of_query(""), json!({}));
    assert_eq!(of_query("a=1&a.b=2"), json!({ "a": "1" }));
}

const SECRET: &str = "a-token-of-thirty-two-characters";

/// A client of a daemon without nodes, over a pipe that holds little. The clock is the test's.
struct Client {
    io: DuplexStream,
    serving: tokio::task::JoinHandle<()>,
    closing: watch::Sender<()>,
    began: Instant,
}

impl Client {
    fn new() -> Self {
        let face = Face {
            daemon: Builder::new("0", ApiLimits::default()).build(),
            described: Described::new(),
            token: Some(Token::new(SECRET).unwrap()),
            is_local: true,
        };
        let (io, far) = tokio::io::duplex(1024);
        let (closing, closed) = watch::channel(());
        let serving = tokio::spawn(converse(far, Arc::new(face), closed));
        let began = Instant::now();
        Self {
            io,
            serving,
            closing,
            began,
        }
    }

    async fn say(&mut self, words: &str) {
        self.io.write_all(words.as_bytes()).await.unwrap();
    }

    /// All that comes until the connection ends.
    async fn hear(&mut self) -> String {
        let mut heard = Vec::new();
        // Cut off is an end, too.
        let _cut = self.io.read_to_end(&mut heard).await;
        String::from_utf8(heard).unwrap()
    }

    /// How long it took until the connection ended.
    async fn lasted(self) -> Duration {
        self.serving.await.unwrap();
        self.began.elapsed()
    }
}

/// By the test's clock; who drips notices with the next drop.
fn is_about(lasted: Duration, deadline: Duration) -> bool {
    lasted >= deadline && lasted < deadline + Duration::from_secs(2)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let mut client = Client::new();
    assert_eq!(client.hear().await, "");
    let lasted = client.lasted().await;
    assert!(is_about(lasted, HEAD), "{lasted:?}");
}

/// Slowloris: a byte of a header now and then keeps no connection.
#[tokio::test(start_paused = true)]
async fn a_client_that_drips_its_head_is_let_go_as_soon() {
    let mut client = Client::new();
    client
        .say("GET /v1/info HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        .await;
    let dripping = async {
        while client.io.write_all(b"a").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    };
    dripping.await;
    let lasted = client.lasted().await;
    assert!(is_about(lasted, HEAD), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_rests_after_an_answer_is_let_go() {
    let mut client = Client::new();
    client
        .say("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let heard = client.hear().await;
    assert!(
        heard.starts_with("HTTP/1.1 200") && heard.ends_with("ok\n"),
        "{heard}"
    );
    let lasted = client.lasted().await;
    assert!(is_about(lasted, HEAD), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_its_call_is_told_and_let_go() {
    let mut client = Client::new();
    let head = format!(
        "POST /v1/bans/add HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {SECRET}\r\n\
         content-length: 100000\r\n\r\n{{"
    );
    client.say(&head).await;
    let (mut reads, mut writes) = tokio::io::split(client.io);
    let drips = tokio::spawn(async move {
        while writes.write_all(b" ").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let mut heard = String::new();
    let _cut = reads.read_to_string(&mut heard).await;
    assert!(heard.starts_with("HTTP/1.1 504"), "{heard}");
    assert!(heard.contains("within 30 s"), "{heard}");
    client.serving.await.unwrap();
    let lasted = client.began.elapsed();
    assert!(is_about(lasted, BODY), "{lasted:?}");
    drop(reads);
    drips.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_an_answer_is_let_go() {
    let mut client = Client::new();
    // Longer than what the pipe holds.
    client
        .say("GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let Client {
        io,
        serving,
        began,
        closing,
    } = client;
    serving.await.unwrap();
    let lasted = began.elapsed();
    assert!(is_about(lasted, STALL), "{lasted:?}");
    drop((io, closing));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_all_of_it() {
    let mut client = Client::new();
    client
        .say("GET /openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await;
    let mut heard = Vec::new();
    let mut piece = [0; 512];
    loop {
        match client.io.read(&mut piece).await.unwrap() {
            0 => break,
            len => heard.extend_from_slice(&piece[..len]),
        }
        sleep(Duration::from_secs(10)).await;
    }
    let text = String::from_utf8(heard).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let described: Value = serde_json::from_str(body).unwrap();
    assert!(described["paths"]["/v1/info"].is_object());
    assert!(client.lasted().await > STALL);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused() {
    let mut client = Client::new();
    client
        .say("GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        .await;
    let long = format!("x-long: {}\r\n", "a".repeat(HEAD_LEN));
    // It may be cut off before all is said.
    let _cut = client.io.write_all(long.as_bytes()).await;
    let heard = client.hear().await;
    assert!(heard.starts_with("HTTP/1.1 431"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_nobody_who_says_nothing() {
    let Client {
        io,
        serving,
        began,
        closing,
    } = Client::new();
    drop(closing);
    serving.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(io);
}

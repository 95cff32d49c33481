//! HTTPS seeders, played by servers on loopback.

use std::sync::Arc;
use std::time::Duration;

use peerage_core::{Blame, Kind, Network, Reason, Stage};
use peerage_find::https::{HTTPS, HttpsSeed, Roots};
use peerage_find::{Finder, Seed, Seeds, Told};
use peerage_net::Direct;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const NODES: &str = r#"{"host":"192.0.2.1:9108","services":5,"pver":11}
{"host":"192.0.2.2:19108","services":1,"pver":12}"#;

/// Answers one question, whatever it is, and returns its first line.
async fn answer(mut io: impl AsyncRead + AsyncWrite + Unpin, with: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 512];
        let len = io.read(&mut piece).await.unwrap();
        assert!(len > 0, "asked in full");
        heard.extend_from_slice(&piece[..len]);
    }
    io.write_all(with.as_bytes()).await.unwrap();
    io.shutdown().await.unwrap();
    String::from_utf8(heard)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

/// A seeder over plain HTTP that answers with these words.
async fn plain(with: impl Into<String>) -> (HttpsSeed<Direct>, tokio::task::JoinHandle<String>) {
    let with = with.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served =
        tokio::spawn(async move { answer(listener.accept().await.unwrap().0, &with).await });
    (HttpsSeed::new(url.parse().unwrap(), 1, 11, Direct), served)
}

async fn ask(seed: &HttpsSeed<Direct>) -> Result<Vec<Told>, Reason> {
    seed.ask(Instant::now() + Duration::from_secs(10)).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}")
}

#[tokio::test]
async fn a_seeder_tells_of_nodes() {
    let (seed, served) = plain(ok(NODES)).await;
    let mut finder = Seeds::new(Network("decred"), [seed]);
    let found = [finder.next().await.unwrap(), finder.next().await.unwrap()];
    let at = found
        .each_ref()
        .map(|candidate| candidate.endpoints[0].to_string());
    assert_eq!(at, ["192.0.2.1:9108", "192.0.2.2:19108"]);
    assert_eq!(found[0].source, HTTPS);
    assert!(
        found[0]
            .told_by
            .as_ref()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(
        served.await.unwrap(),
        "GET /api/addrs?services=1&pver=11 HTTP/1.0"
    );
}

#[tokio::test]
async fn only_so_much_of_an_answer_is_read() {
    let (seed, _) = plain(ok(&format!("{NODES}{}", " ".repeat(1 << 20)))).await;
    assert_eq!(ask(&seed).await.unwrap().len(), 2);
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
    let reason = ask(&plain(endless).await.0).await.unwrap_err();
    assert!(reason.message.contains("longer than"), "{reason:?}");
}

#[tokio::test]
async fn what_is_no_seeder_is_said_to_be_none() {
    for (with, part) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), "status 404"),
        (
            "HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n".to_owned(),
            "status 301",
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), "no HTTP"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            "encoding",
        ),
        ("HTTP/1.1 200".to_owned(), "middle of its answer"),
        (ok("<html></html>"), "not what seeders say"),
    ] {
        let reason = ask(&plain(with).await.0).await.unwrap_err();
        assert_eq!(reason.kind, Kind::NotThisProtocol, "{reason:?}");
        assert_eq!(
            (reason.stage, reason.blame),
            (Stage::Find("https"), Blame::Them)
        );
        assert!(reason.message.contains(part), "{part}: {reason:?}");
    }
    let reason = ask(&plain(ok("")).await.0).await.unwrap_err();
    assert_eq!(reason.kind, Kind::Incompatible);
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seed = HttpsSeed::new(url.parse().unwrap(), 1, 11, Direct);
    let silent = seed.ask(Instant::now() + Duration::from_millis(50)).await;
    assert_eq!(silent.unwrap_err().kind, Kind::Timeout);
    drop(listener);
    let reason = ask(&seed).await.unwrap_err();
    assert_eq!(
        (reason.kind, reason.stage),
        (Kind::ConnectionRefused, Stage::Reach)
    );
}

/// A server's self-signed certificate and its key, in DER.
struct Identity {
    certificate: &'static [u8],
    key: &'static [u8],
}

const LOCALHOST: Identity = Identity {
    certificate: include_bytes!("certificates/localhost.der"),
    key: include_bytes!("certificates/localhost.key.der"),
};

const ELSEWHERE: Identity = Identity {
    certificate: include_bytes!("certificates/elsewhere.der"),
    key: include_bytes!("certificates/elsewhere.key.der"),
};

impl Identity {
    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.to_vec()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.to_vec().into()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn roots(&self) -> Roots {
        Roots::only(self.certificate).unwrap()
    }
}

/// A seeder over TLS at `localhost`, and how it fared.
async fn secure(
    acceptor: TlsAcceptor,
    roots: Roots,
) -> (HttpsSeed<Direct>, tokio::task::JoinHandle<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (io, _) = listener.accept().await.unwrap();
        match acceptor.accept(io).await {
            Ok(io) => answer(io, &ok(NODES)).await.starts_with("GET"),
            Err(_) => false,
        }
    });
    let url = format!("https://localhost:{port}").parse().unwrap();
    (HttpsSeed::new(url, 1, 11, Direct).trusting(roots), served)
}

#[tokio::test]
async fn a_seeder_over_tls_is_believed_if_its_authority_vouches_for_it() {
    let (seed, served) = secure(LOCALHOST.acceptor(), LOCALHOST.roots()).await;
    assert_eq!(ask(&seed).await.unwrap().len(), 2);
    assert!(served.await.unwrap());
}

#[tokio::test]
async fn an_impostor_is_asked_nothing() {
    for (server, roots, part) in [
        (&ELSEWHERE, ELSEWHERE.roots(), "not valid for name"),
        (&LOCALHOST, ELSEWHERE.roots(), "UnknownIssuer"),
    ] {
        let (seed, served) = secure(server.acceptor(), roots).await;
        let reason = ask(&seed).await.unwrap_err();
        assert_eq!(reason.kind, Kind::WrongIdentity);
        assert!(reason.message.contains(part), "{part}: {reason:?}");
        assert!(!served.await.unwrap(), "no question went out");
    }
    assert!(Roots::only(b"no certificate").is_err());
}

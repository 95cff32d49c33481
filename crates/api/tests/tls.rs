//! Certificates on both sides: whoever has one of the authority is let in, and nobody else.

use std::net::SocketAddr;

use peerage::Zcash;
use peerage_api::client::{Tls, connect, connect_tls};
use peerage_api::grpc::{Access, Certificates, Listener};
use peerage_api::socket::{At, BindError};
use peerage_api::token::Token;
use peerage_api::v1;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::Code;

use crate::common::{Pair, soon};

const SECRET: &str = "a-token-of-thirty-two-characters";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of this authority for a name, and its key.
fn signed(by: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn certificates(authority: &Authority) -> Box<Certificates> {
    let (certificate, key) = signed(authority, "localhost");
    let clients = authority.pem();
    let certificates = Certificates::new(certificate.into(), key.into(), clients.into());
    Box::new(certificates.unwrap())
}

async fn served(pair: &Pair<Zcash>, access: Access) -> SocketAddr {
    let at = At::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&at, Some(access)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let daemon = std::sync::Arc::clone(&pair.served.daemon);
    tokio::spawn(async move { listener.serve(daemon, std::future::pending()).await });
    addr
}

fn tls(authority: &Authority, own: Option<(String, String)>) -> Tls {
    Tls {
        authority: authority.pem().into(),
        own: own.map(|(certificate, key)| (certificate.into(), key.into())),
        name: "localhost".into(),
    }
}

/// Whether `Info` is answered; the code where it is refused, nothing where nobody connects.
async fn asks(
    at: SocketAddr,
    token: Option<&Token>,
    tls: Option<&Tls>,
) -> Result<(), Option<Code>> {
    let connecting = async {
        match tls {
            Some(tls) => connect_tls(at, token, tls).await,
            None => connect(&At::Tcp(at), token).await,
        }
    };
    let client = soon("a connection", connecting).await;
    let mut client = client.map_err(|_| None)?;
    let info = soon("an answer", client.info(v1::InfoRequest {})).await;
    info.map(drop).map_err(|status| Some(status.code()))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_certificate_of_the_authority_opens() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let (ours, other) = (authority(), authority());
    let at = served(&pair, Access::Certificates(certificates(&ours), None)).await;
    let right = tls(&ours, Some(signed(&ours, "a client")));
    asks(at, None, Some(&right)).await.unwrap();
    for (wrong, what) in [
        (Some(tls(&ours, None)), "none of its own"),
        (
            Some(tls(&ours, Some(signed(&other, "a client")))),
            "one of another authority",
        ),
        (
            Some(tls(&other, Some(signed(&ours, "a client")))),
            "it does not know the daemon",
        ),
        (None, "no TLS at all"),
    ] {
        let refused = asks(at, None, wrong.as_ref()).await.unwrap_err();
        // By whom and when it is told depends on who reads first.
        assert!(!matches!(refused, Some(Code::Ok)), "{what}: {refused:?}");
    }
    asks(at, None, Some(&right)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_a_token_too_both_are_needed() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let ours = authority();
    let token = Token::new(SECRET).unwrap();
    let access = Access::Certificates(certificates(&ours), Some(token.clone()));
    let at = served(&pair, access).await;
    let right = tls(&ours, Some(signed(&ours, "a client")));
    asks(at, Some(&token), Some(&right)).await.unwrap();
    let without = asks(at, None, Some(&right)).await;
    assert_eq!(without, Err(Some(Code::Unauthenticated)));
    let without = asks(at, Some(&token), Some(&tls(&ours, None))).await;
    assert_ne!(without, Ok(()));
    assert_ne!(without, Err(Some(Code::Unauthenticated)));
}

#[tokio::test]
async fn what_is_no_certificate_is_found_before_anything_runs() {
    let ours = authority();
    let (certificate, key) = signed(&ours, "localhost");
    let (_, other_key) = signed(&ours, "localhost");
    let clients = ours.pem();
    for (certificate, key, clients, words) in [
        ("nonsense", &*key, &*clients, "holds no certificate"),
        (&certificate, "nonsense", &clients, "holds no private key"),
        (&certificate, &key, "nonsense", "holds no certificate"),
        (&certificate, &other_key, &clients, "do not belong together"),
    ] {
        let of = |text: &str| text.as_bytes().to_vec();
        let made = Certificates::new(of(certificate), of(key), of(clients));
        let error = made.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let nobody = Listener::bind(&At::Tcp(([127, 0, 0, 1], 0).into()), None).await;
    assert!(matches!(nobody, Err(BindError::NoToken { .. })));
}

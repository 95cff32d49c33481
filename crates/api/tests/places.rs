//! Sockets, tokens, limits of calls, health and reflection.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::sync::Arc;

use peerage::Zcash;
use peerage_api::grpc::{Access, Listener};
use peerage_api::socket::{At, BindError};
use peerage_api::token::Token;
use peerage_api::{ApiLimits, v1};
use tonic::Code;
use tonic::metadata::MetadataValue;

use crate::common::{Pair, client, folder, over_tcp, soon};

const SECRET: &str = "a-token-of-thirty-two-characters";

#[tokio::test]
async fn a_socket_is_its_owners_from_the_first_moment_and_goes_with_it() {
    let folder = folder();
    let path = folder.join("api.sock");
    let at = At::Unix(path.clone());
    let first = Listener::bind(&at, None).await.unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        1,
        "nothing else is left"
    );
    // Somebody answers there.
    let second = Listener::bind(&at, None).await;
    assert!(matches!(second, Err(BindError::InUse { .. })), "{second:?}");
    drop(first);
    assert!(!path.exists());

    // What an instance left that is gone is replaced, whatever else is there is not.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let third = Listener::bind(&at, None).await.unwrap();
    drop(third);
    std::fs::write(&path, "dear").unwrap();
    let refused = Listener::bind(&at, None).await;
    assert!(
        matches!(refused, Err(BindError::NotASocket { .. })),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear");
    // Where others may write, they could listen in our place.
    std::fs::remove_file(&path).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    let refused = Listener::bind(&at, None).await;
    assert!(
        matches!(refused, Err(BindError::OpenFolder { .. })),
        "{refused:?}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_has_removed_its_socket() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let path = pair.served.folder.join("second.sock");
    let listener = Listener::bind(&At::Unix(path.clone()), None).await.unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let daemon = Arc::clone(&pair.served.daemon);
    let serving =
        tokio::spawn(async move { listener.serve(daemon, async { drop(ended.await) }).await });
    let mut client = client(&format!("unix:{}", path.display())).await;
    client.info(v1::InfoRequest {}).await.unwrap();
    drop(end);
    soon("the end", serving).await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_needs_a_token_for_everything() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let anywhere = At::Tcp(([127, 0, 0, 1], 0).into());
    let open = Listener::bind(&anywhere, None).await;
    assert!(matches!(open, Err(BindError::NoToken { .. })), "{open:?}");
    let token = Token::new(SECRET).unwrap();
    let uri = over_tcp(&pair.served.daemon, Access::Token(token)).await;
    let mut client = client(&uri).await;
    for header in [
        None,
        Some(format!("Bearer {SECRET}x")),
        Some(SECRET.to_owned()),
    ] {
        let mut request = tonic::Request::new(v1::InfoRequest {});
        if let Some(header) = &header {
            let value = MetadataValue::try_from(header).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let refused = client.info(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{header:?}");
        assert!(
            refused.message().contains("Bearer"),
            "{}",
            refused.message()
        );
    }
    let mut request = tonic::Request::new(v1::InfoRequest {});
    let value = MetadataValue::try_from(format!("Bearer {SECRET}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    client.info(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_oversized_calls_are_refused_and_harm_nobody() {
    let limits = ApiLimits {
        message: 1000,
        ..ApiLimits::default()
    };
    let pair = Pair::<Zcash>::with("regtest", limits).await;
    let mut client = pair.served.client().await;
    let long = v1::WhyRequest {
        realm: None,
        peer: "x".repeat(2000),
    };
    let refused = client.why(long).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    // Numbers that no enumeration has count as nothing said.
    let strange = v1::PenaliseRequest {
        penalty: 999,
        ..v1::PenaliseRequest::default()
    };
    assert_eq!(
        client.penalise(strange).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let nothing = v1::SubscribeRequest::default();
    assert_eq!(
        client.subscribe(nothing).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    for resume in ["00", "zz", &"g".repeat(32), &"é".repeat(16)] {
        let request = v1::SubscribeRequest {
            resume: resume.into(),
            ..v1::SubscribeRequest::default()
        };
        let refused = client.subscribe(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{resume}");
    }

    // Bytes that are no HTTP at all, on a connection of their own.
    let path = pair.served.folder.join("api.sock");
    let mut raw = tokio::net::UnixStream::connect(&path).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    raw.write_all(&[0xff; 4096]).await.unwrap();
    let mut answer = Vec::new();
    // Closed or reset: it is gone either way.
    let _reset = soon("the end", raw.read_to_end(&mut answer)).await;
    client.info(v1::InfoRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_protobuf_is_an_invalid_argument() {
    let pair = Pair::<Zcash>::new("regtest").await;
    let path = pair.served.folder.join("api.sock");
    let uri = format!("unix:{}", path.display());
    let endpoint = tonic::transport::Endpoint::from_shared(uri).unwrap();
    let mut grpc = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    grpc.ready().await.unwrap();
    // A Realm in the place of text: the field of WhyRequest.peer as a number.
    let call = tonic::Request::new(v1::UnsubscribeResponse { ended: true });
    let path = "/peerage.v1.Daemon/Unsubscribe".parse().unwrap();
    let codec: tonic_prost::ProstCodec<_, v1::UnsubscribeResponse> =
        tonic_prost::ProstCodec::default();
    let refused = grpc.unary(call, path, codec).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::Internal | Code::InvalidArgument),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_connections_as_there_may_be_and_then_the_next() {
    let limits = ApiLimits {
        connections: 2,
        ..ApiLimits::default()
    };
    let pair = Pair::<Zcash>::with("regtest", limits).await;
    let (mut one, two) = (pair.served.client().await, pair.served.client().await);
    one.info(v1::InfoRequest {}).await.unwrap();
    let third = tokio::spawn({
        let path = pair.served.folder.join("api.sock");
        async move {
            let mut third = client(&format!("unix:{}", path.display())).await;
            third.info(v1::InfoRequest {}).await
        }
    });
    one.info(v1::InfoRequest {}).await.unwrap();
    assert!(!third.is_finished(), "it waits for room");
    drop(two);
    soon("room", third).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_says_that_it_is_healthy_and_describes_itself() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1 as reflection;
    let pair = Pair::<Zcash>::new("regtest").await;
    let path = pair.served.folder.join("api.sock");
    let uri = format!("unix:{}", path.display());
    let channel = tonic::transport::Endpoint::from_shared(uri).unwrap();
    let channel = channel.connect().await.unwrap();
    let service = "peerage.v1.Daemon".to_owned();
    let request = tonic_health::pb::HealthCheckRequest { service };
    let health = HealthClient::new(channel.clone()).check(request).await;
    assert_eq!(health.unwrap().into_inner().status, 1, "serving");
    use reflection::server_reflection_client::ServerReflectionClient;
    use reflection::server_reflection_request::MessageRequest;
    use reflection::server_reflection_response::MessageResponse;
    let ask = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = tokio_stream::once(ask);
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = listed
        .service
        .iter()
        .map(|service| &*service.name)
        .collect();
    for name in ["peerage.v1.Daemon", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let _daemon = Arc::clone(&pair.served.daemon);
}

/// A client's bytes: the opening, then a call of `Info` with the path of the socket in place of a host,
/// as the C core of gRPC writes it.
fn hostless_call(authority: &str) -> Vec<u8> {
    let field = |name: &str, value: &str| {
        let text = |of: &str| [&[u8::try_from(of.len()).unwrap()], of.as_bytes()].concat();
        [vec![0x40], text(name), text(value)].concat()
    };
    let block: Vec<u8> = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/peerage.v1.Daemon/Info"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    .iter()
    .flat_map(|(name, value)| field(name, value))
    .collect();
    let frame = |kind: u8, flags: u8, stream: u8, body: &[u8]| {
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, stream], body].concat()
    };
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &block),
        frame(0, 1, 1, &[0; 5]),
    ]
    .concat()
}

/// The kinds of frames of stream 1 that come back, until it ends.
async fn kinds_of_answer(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        soon("a frame", io.read_exact(&mut head)).await.unwrap();
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; usize::try_from(len).unwrap()];
        soon("its body", io.read_exact(&mut body)).await.unwrap();
        if head[8] == 1 {
            kinds.push(head[3]);
            let is_reset = head[3] == 3;
            if is_reset || head[4] & 1 != 0 && head[3] < 2 {
                return kinds;
            }
        }
    }
}

/// Clients on the C core of gRPC send the escaped path of the socket as `:authority`.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_names_the_socket_as_its_host_is_answered() {
    use tokio::io::AsyncWriteExt as _;
    let pair = Pair::<Zcash>::new("regtest").await;
    let path = pair.served.folder.join("api.sock");
    for authority in [
        "%2Frun%2Fpeerage%2Fapi.sock",
        "/run/peerage/api.sock",
        "localhost",
    ] {
        let mut io = tokio::net::UnixStream::connect(&path).await.unwrap();
        io.write_all(&hostless_call(authority)).await.unwrap();
        // Headers, a message, trailers.
        assert_eq!(kinds_of_answer(&mut io).await, [1, 0, 1], "{authority}");
    }
    // Over TCP there is a host, and what is none is refused.
    let token = Token::new(SECRET).unwrap();
    let uri = over_tcp(&pair.served.daemon, Access::Token(token)).await;
    let at = uri.strip_prefix("http://").unwrap();
    let mut io = tokio::net::TcpStream::connect(at).await.unwrap();
    io.write_all(&hostless_call("%2Frun")).await.unwrap();
    assert_eq!(kinds_of_answer(&mut io).await, [3], "reset");
}

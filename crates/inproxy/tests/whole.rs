//! Broker, volunteer, client and destination: all of it, over loopback.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::{ConnectedAddr, Failure as _, Kind};
use peerage_inproxy::call::CallError;
use peerage_inproxy::client::{
    ClientConfig, DialError, Dialer, LocalEvent, Login, Where, serve_socks,
};
use peerage_inproxy::message::{Announce, Call, Network, Reply};
use peerage_inproxy::opening::{OpeningError, Verdict};
use peerage_inproxy::policy::Forbidden;
use peerage_inproxy::transport::End;
use peerage_inproxy::volunteer::{Event, Stopped};
use peerage_inproxy::{Code, TransportKind};
use peerage_matcher::CompartmentId;
use peerage_net::{Connector as _, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::common::parties::{Serving, client, echo, echoed, target};
use crate::common::{COMMON, OUTSIDE, Running, entry, soon, udp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_come_back_unchanged() {
    let broker = Running::new().await;
    let mut volunteer = Serving::new(&broker, |_| {});
    let dialer = client(&broker);
    let channel = dialer.dial(&target(echo().await), soon()).await.unwrap();
    echoed(channel, 64 << 20).await;
    let relayed = volunteer
        .event(|event| {
            if let Event::Ended { relayed, .. } = event {
                Some(*relayed)
            } else {
                None
            }
        })
        .await;
    assert_eq!(
        (relayed.up, relayed.down, relayed.end),
        (64 << 20, 64 << 20, End::Done)
    );
    assert_eq!(volunteer.stop().await, Stopped::Asked);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_at_once_through_one_volunteer() {
    let broker = Running::new().await;
    let _volunteer = Serving::new(&broker, |config| config.announcing = 16);
    let dialer = client(&broker);
    let to = target(echo().await);
    let all: Vec<_> = (0..16)
        .map(|_| {
            let (dialer, to) = (dialer.clone(), to.clone());
            tokio::spawn(async move {
                let channel = dialer.dial(&to, soon()).await.unwrap();
                echoed(channel, 1 << 20).await;
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_connector_says_that_it_went_through_a_proxy() {
    let broker = Running::new().await;
    let _volunteer = Serving::new(&broker, |_| {});
    let connection = client(&broker)
        .connect(&target(echo().await), soon())
        .await
        .unwrap();
    let ConnectedAddr::OutboundProxy { proxy, local } = connection.addr else {
        panic!()
    };
    assert_eq!(
        (proxy, local),
        (connection.io.path().remote, connection.io.path().local)
    );
    assert_eq!(connection.addr.book_addr(), None);
    echoed(connection.io, 1000).await;
}

#[tokio::test]
async fn a_volunteer_refuses_what_its_own_list_does_not_allow() {
    let broker = Running::new().await;
    let mut volunteer = Serving::new(&broker, |config| config.allow.private = false);
    let dialer = client(&broker);
    let addr = echo().await;
    let dialling = tokio::spawn(async move { dialer.dial(&target(addr), soon()).await });
    let why = volunteer
        .event(|event| {
            if let Event::Forbidden { why, .. } = event {
                Some(*why)
            } else {
                None
            }
        })
        .await;
    assert_eq!(why, Some(Forbidden::NotPublic { addr }));
    dialling.abort();
    assert_eq!(
        volunteer
            .totals
            .relayed
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[tokio::test]
async fn a_destination_where_nobody_listens_is_told_as_such() {
    let broker = Running::new().await;
    let _volunteer = Serving::new(&broker, |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shut = listener.local_addr().unwrap();
    drop(listener);
    let error = client(&broker)
        .dial(&target(shut), soon())
        .await
        .unwrap_err();
    let verdict = Verdict::ConnectionRefused;
    let DialError::Opening(OpeningError::NotConnected { verdict: told, .. }) = &error else {
        panic!("{error}")
    };
    assert_eq!(*told, verdict);
    assert_eq!(error.kind(), Kind::ConnectionRefused);
}

#[tokio::test]
async fn without_an_entry_nobody_is_asked() {
    let broker = Running::new().await;
    let to: Target = "9.9.9.9:8233".parse().unwrap();
    let error = client(&broker).dial(&to, soon()).await.unwrap_err();
    assert_eq!(error, DialError::NoEntry { target: to });
}

#[tokio::test]
async fn a_volunteer_that_falls_silent_after_its_answer_is_replaced_by_another() {
    let broker = Running::new().await;
    // It announces by hand, takes the client, and dies.
    let dying = broker.caller();
    let announce = Call::Announce(Announce {
        network: Network {
            transports: TransportKind::Quic.version(),
            ..Network::default()
        },
        load: 0,
        wait_ms: 15_000,
        personal: Vec::new(),
    });
    let announced = tokio::spawn(async move {
        let reply = dying.call(&announce, soon()).await.unwrap();
        assert!(matches!(reply, Reply::Matched(_)));
        drop(dying);
    });
    let dialer = client(&broker);
    // So that the dying one is first.
    loop {
        let reply = dialer.broker().call(&Call::Stats, soon()).await.unwrap();
        let Reply::Stats(numbers) = reply else {
            panic!()
        };
        if numbers.announcements > 0 {
            break;
        }
    }
    let to = target(echo().await);
    let dialling = tokio::spawn(async move { dialer.dial(&to, soon()).await });
    announced.await.unwrap();
    let _volunteer = Serving::new(&broker, |_| {});
    echoed(dialling.await.unwrap().unwrap(), 1000).await;
}

#[tokio::test]
async fn a_relay_outlives_its_broker_and_the_next_connection_says_why_not() {
    let broker = Running::new().await;
    let mut volunteer = Serving::new(&broker, |_| {});
    let dialer = client(&broker);
    let to = target(echo().await);
    let mut channel = dialer.dial(&to, soon()).await.unwrap();
    broker.stop().await;
    channel.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    channel.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    let error = dialer.dial(&to, deadline).await.unwrap_err();
    assert!(matches!(error, DialError::Broker(_)), "{error}");
    // The volunteer knows too, and asks again later.
    let again_in = volunteer
        .event(|event| {
            if let Event::Broker { again_in, .. } = event {
                Some(*again_in)
            } else {
                None
            }
        })
        .await;
    assert!(again_in.is_some());
}

#[tokio::test]
async fn a_volunteer_that_the_broker_does_not_want_stops() {
    let broker = Running::with(|config| config.compartments = Default::default()).await;
    let volunteer = Serving::new(&broker, |_| {});
    let Stopped::Unwanted(CallError::Refused(no)) = volunteer.running.await.unwrap() else {
        panic!()
    };
    assert_eq!(no.code, Code::Compartment);
}

#[tokio::test]
async fn personal_pairs_meet_and_strangers_do_not() {
    let broker = Running::new().await;
    let ours = CompartmentId([5; 32]);
    let mut volunteer = Serving::new(&broker, |config| config.personal = vec![ours]);
    let mut config = ClientConfig::new(Where::Personal(vec![ours]), vec![entry()]);
    config.race = 1;
    let friend = Dialer::new(broker.caller(), udp(), config, OUTSIDE);
    let channel = friend.dial(&target(echo().await), soon()).await.unwrap();
    let personal = volunteer
        .event(|event| {
            if let Event::Matched { personal, .. } = event {
                Some(*personal)
            } else {
                None
            }
        })
        .await;
    assert!(personal);
    echoed(channel, 100).await;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300);
    let stranger = client(&broker).dial(&target(echo().await), deadline).await;
    match stranger {
        Err(DialError::TimedOut { .. }) => {}
        Err(DialError::Broker(CallError::Refused(no))) => assert_eq!(no.code, Code::NoMatch),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bytes_are_counted_and_end_with_the_allowance() {
    let broker = Running::new().await;
    let mut volunteer = Serving::new(&broker, |config| config.total_bytes = Some(1000));
    let mut channel = client(&broker)
        .dial(&target(echo().await), soon())
        .await
        .unwrap();
    channel.write_all(&[0; 400]).await.unwrap();
    let mut heard = vec![0; 400];
    channel.read_exact(&mut heard).await.unwrap();
    channel.write_all(&[0; 400]).await.unwrap();
    channel.read_to_end(&mut heard).await.unwrap_err();
    let end = volunteer
        .event(|event| {
            if let Event::Ended { relayed, .. } = event {
                Some(relayed.end)
            } else {
                None
            }
        })
        .await;
    assert_eq!(end, End::UsedUp);
}

#[tokio::test]
async fn programs_come_through_socks() {
    let broker = Running::new().await;
    let _volunteer = Serving::new(&broker, |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let (sender, mut events) = mpsc::channel(16);
    tokio::spawn(serve_socks(
        listener,
        client(&broker),
        None,
        sender,
        pending(),
    ));
    let to = echo().await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let SocketAddr::V4(v4) = to else { panic!() };
    let request = [
        &[5, 1, 0, 5, 1, 0, 1][..],
        &v4.ip().octets(),
        &v4.port().to_be_bytes(),
    ];
    stream.write_all(&request.concat()).await.unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply, [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    echoed(stream, 100_000).await;
    let event = events.recv().await.unwrap();
    assert!(matches!(event, LocalEvent::Connected { .. }), "{event:?}");
    // UDP is refused in words and by its code.
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream
        .write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[3], 7);
    loop {
        if let LocalEvent::NotUnderstood { what } = events.recv().await.unwrap() {
            assert!(what.contains("UDP"));
            break;
        }
    }
}

#[tokio::test]
async fn a_local_proxy_with_a_login_serves_nobody_else() {
    let broker = Running::new().await;
    let _volunteer = Serving::new(&broker, |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let (sender, _events) = mpsc::channel(16);
    let login = Some(Login::new("me", "secret"));
    tokio::spawn(serve_socks(
        listener,
        client(&broker),
        login,
        sender,
        pending(),
    ));
    let to = target(echo().await);
    // Our own SOCKS5 client is the second opinion.
    let through = |url: String| peerage_net::Socks5::parse(&url, [0; 16]).unwrap();
    let good = through(format!("socks5h://me:secret@{proxy}"));
    let connection = good.connect(&to, soon()).await.unwrap();
    echoed(connection.io, 1000).await;
    for wrong in ["me:secre", "you:secret"] {
        let socks = through(format!("socks5h://{wrong}@{proxy}"));
        let error = socks.connect(&to, soon()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Proxy, "{error}");
    }
}

#[tokio::test]
async fn the_losers_of_a_race_are_called_off() {
    let broker = Running::new().await;
    let volunteers: Vec<_> = (0..3).map(|_| Serving::new(&broker, |_| {})).collect();
    let mut config = ClientConfig::new(Where::Common(vec![COMMON]), vec![entry()]);
    (config.race, config.stagger) = (3, Duration::ZERO);
    let dialer = Dialer::new(broker.caller(), udp(), config, OUTSIDE);
    // So that all three have somebody to ask.
    loop {
        let reply = dialer.broker().call(&Call::Stats, soon()).await.unwrap();
        let Reply::Stats(numbers) = reply else {
            panic!()
        };
        if numbers.announcements > 0 {
            break;
        }
    }
    let mut channel = dialer.dial(&target(echo().await), soon()).await.unwrap();
    let active = || -> usize {
        let of = |one: &Serving| one.totals.active.load(std::sync::atomic::Ordering::Relaxed);
        volunteers.iter().map(of).sum()
    };
    // Each of the others is told, by its broker or by the connection's end, and is free again.
    while active() != 1 {
        tokio::task::yield_now().await;
    }
    channel.write_all(b"won").await.unwrap();
    let mut heard = [0; 3];
    channel.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, active()), (b"won", 1));
}

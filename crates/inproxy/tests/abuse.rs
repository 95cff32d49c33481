//! Clients who want more than they are allowed: neither broker nor volunteer leads them there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use peerage_core::{Failure as _, Kind, Retry};
use peerage_inproxy::Code;
use peerage_inproxy::client::{ClientConfig, DialError, Dialer, Where};
use peerage_inproxy::destination::Hosts;
use peerage_inproxy::message::{Call, Offer};
use peerage_inproxy::opening::{OpeningError, Verdict};
use peerage_inproxy::policy::Forbidden;
use peerage_inproxy::volunteer::Event;
use peerage_matcher::CompartmentId;
use tokio::net::TcpListener;

use crate::common::calls::{announce, call, described, offer, refused, until};
use crate::common::parties::{Serving, target};
use crate::common::{COMMON, OUTSIDE, Running, entry_for, soon, udp};

fn everywhere(ports: (u16, u16)) -> Hosts {
    assert!(ports.0 <= ports.1);
    Hosts::Net("0.0.0.0/0".parse().unwrap())
}

#[tokio::test]
async fn the_broker_lets_nobody_scan_ports_beside_the_entry() {
    let broker = Running::new().await;
    let (volunteer, client) = (Arc::new(broker.caller()), Arc::new(broker.caller()));
    let announced = call(&volunteer, announce());
    until(&client, true, false).await;
    let ports = (8233, 8233);
    for port in (8223..8244).filter(|port| *port != 8233) {
        let scan = Offer {
            destination: format!("127.0.0.1:{port}"),
            entry: entry_for(everywhere(ports), ports),
            ..offer()
        };
        let no = refused(client.call(&Call::Offer(Box::new(scan)), soon()).await);
        assert_eq!((no.code, no.retry), (Code::Destination, Retry::Never));
    }
    assert!(!announced.is_finished(), "no volunteer heard of it");
    announced.abort();
}

#[tokio::test]
async fn a_volunteer_lets_nobody_scan_ports_beside_its_own_list() {
    let broker = Running::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap().port();
    let allowed = format!("127.0.0.1/32:{}", open.wrapping_sub(1).max(1));
    let mut volunteer = Serving::new(&broker, |config| {
        config.allow.rules = vec![allowed.parse().unwrap()];
    });
    let totals = Arc::clone(&volunteer.totals);
    let ports = (1, 65_535);
    let mut config = ClientConfig::new(
        Where::Common(vec![COMMON]),
        vec![entry_for(everywhere(ports), ports)],
    );
    config.tries = 1;
    let dialer = Dialer::new(broker.caller(), udp(), config, OUTSIDE);
    for port in [open, open.wrapping_add(1).max(1), 22, 25, 80] {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let error = dialer.dial(&target(addr), soon()).await.unwrap_err();
        let DialError::GaveUp { last, .. } = &error else {
            panic!("{error}")
        };
        // Whether the rule or the port was it, the client is not told.
        assert_eq!(last.kind(), Kind::Refused, "{error}");
        let why = volunteer
            .event(|event| {
                if let Event::Forbidden { why, .. } = event {
                    Some(*why)
                } else {
                    None
                }
            })
            .await;
        assert_eq!(why, Some(Forbidden::NotAllowed { addr }));
    }
    assert_eq!(totals.relayed.load(Ordering::Relaxed), 0);
    // The listener that was open saw nobody.
    let accepted = std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx)));
    assert!(accepted.await.is_pending());
}

#[tokio::test]
async fn a_name_does_not_lead_into_the_volunteers_own_network() {
    let broker = Running::new().await;
    let mut volunteer = Serving::new(&broker, |config| config.allow.private = false);
    let name = Hosts::Name("localhost".into());
    let entries = vec![entry_for(name, (1, 65_535))];
    let mut config = ClientConfig::new(Where::Common(vec![COMMON]), entries);
    config.tries = 1;
    let dialer = Dialer::new(broker.caller(), udp(), config, OUTSIDE);
    let to = "localhost:8233".parse().unwrap();
    let error = dialer.dial(&to, soon()).await.unwrap_err();
    let DialError::GaveUp { last, .. } = &error else {
        panic!("{error}")
    };
    let DialError::Opening(OpeningError::NotConnected { verdict, .. }) = &**last else {
        panic!("{last}")
    };
    assert_eq!(*verdict, Verdict::Forbidden);
    let verdict = volunteer
        .event(|event| {
            if let Event::NotConnected { verdict, .. } = event {
                Some(*verdict)
            } else {
                None
            }
        })
        .await;
    assert_eq!(verdict, Verdict::Forbidden);
}

#[tokio::test]
async fn an_entry_as_wide_as_the_world_opens_no_private_network() {
    let broker = Running::with(|config| config.loopback = false).await;
    let client = broker.caller();
    let ports = (1, 65_535);
    let asked = |destination: &str, personal: bool| {
        let room = vec![CompartmentId([9; 32])];
        let (personal, common) = match personal {
            true => (room, Vec::new()),
            false => (Vec::new(), vec![COMMON]),
        };
        Call::Offer(Box::new(Offer {
            destination: destination.into(),
            entry: entry_for(everywhere(ports), ports),
            // Nobody is there: what is let through waits, and ends with its time.
            wait_ms: 1,
            description: described(1, "9.9.9.9:1"),
            personal,
            common,
            ..offer()
        }))
    };
    for destination in ["127.0.0.1:80", "0.0.0.0:80", "224.0.0.1:80"] {
        for personal in [false, true] {
            let no = refused(client.call(&asked(destination, personal), soon()).await);
            assert_eq!(no.code, Code::Destination, "{destination}");
        }
    }
    for destination in ["10.0.0.1:80", "169.254.169.254:80", "100.64.0.1:80"] {
        let no = refused(client.call(&asked(destination, false), soon()).await);
        assert_eq!(no.code, Code::Destination, "{destination}");
    }
    let friends = refused(client.call(&asked("192.168.0.1:80", true), soon()).await);
    assert_ne!(friends.code, Code::Destination, "{friends}");
}

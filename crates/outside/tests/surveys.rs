//! Surveys and servers over loopback, which has two addresses on Linux.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use peerage_core::nat::{NatType, NetworkType, PortMappings};
use peerage_core::{Endpoint, Failure as _};
use peerage_nat::survey::{Retransmission, Unknown};
use peerage_nat::{Family, Report, ResponderLimits, Settings};
use peerage_outside::{Observer, Plan, ServeError, StunServer, resolve, survey};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn server(first: &str, other: Option<&str>) -> StunServer {
    let other = other.map(|other| other.parse().unwrap());
    StunServer::bind(first.parse().unwrap(), other, ResponderLimits::default()).unwrap()
}

async fn ask(mut server: StunServer, family: Family) -> Report {
    let at = [server.first()];
    tokio::select! {
        report = survey(family, &at, Settings::default(), None, [7; 16]) => report,
        never = server.run() => match never {},
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_nat_everything_comes_in() {
    let report = ask(server("127.0.0.1:0", Some("127.0.0.2:0")), Family::V4).await;
    assert_eq!((report.nat(), report.name()), (NatType::OPEN, "no NAT"));
    assert_eq!(report.is_translated(), Some(false));
    assert_eq!(report.external, report.local);
    assert_eq!(report.unknown(), None);
}

#[tokio::test]
async fn a_server_of_one_address_is_a_mirror() {
    for (at, family) in [("127.0.0.1:0", Family::V4), ("[::1]:0", Family::V6)] {
        let Ok(at) = at.parse() else { panic!() };
        // A machine may have IPv6 switched off.
        let Ok(server) = StunServer::bind(at, None, ResponderLimits::default()) else {
            assert_eq!(family, Family::V6);
            continue;
        };
        let report = ask(server, family).await;
        assert_eq!(report.unknown(), Some(Unknown::OneAddress));
        assert_eq!(report.is_translated(), Some(false));
    }
}

#[tokio::test]
async fn a_port_where_nobody_is_gives_no_answer() {
    let closed = std::net::UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let at = [Endpoint::from(closed.local_addr().unwrap())];
    drop(closed);
    let hasty = Retransmission {
        rto: Duration::from_millis(5),
        requests: 2,
        last_wait: 2,
    };
    let settings = Settings {
        reach: hasty,
        ..Settings::default()
    };
    let report = survey(Family::V4, &at, settings, None, [7; 16]).await;
    assert_eq!(report.unknown(), Some(Unknown::NoAnswer));
    assert_eq!(report.trials[0].sent, 2);
}

#[tokio::test]
async fn what_makes_no_server_is_refused() {
    let bind = |first: &str, other: &str| {
        let other = Some(other.parse().unwrap());
        StunServer::bind(first.parse().unwrap(), other, ResponderLimits::default()).unwrap_err()
    };
    assert!(matches!(
        bind("127.0.0.1:0", "127.0.0.1:0"),
        ServeError::Sites(_)
    ));
    assert!(matches!(
        bind("0.0.0.0:0", "127.0.0.1:0"),
        ServeError::Sites(_)
    ));
    let taken = server("127.0.0.1:0", None);
    let error = bind(&taken.first().to_string(), "127.0.0.1:0");
    assert!(
        error
            .reason()
            .message
            .starts_with("cannot listen at UDP 127.0.0.1:")
    );
}

#[tokio::test]
async fn names_have_a_port_or_get_the_usual() {
    for (name, at) in [
        ("192.0.2.1", "192.0.2.1:3478"),
        ("192.0.2.1:9", "192.0.2.1:9"),
        ("2001:db8::1", "[2001:db8::1]:3478"),
        ("[2001:db8::1]", "[2001:db8::1]:3478"),
        ("[2001:db8::1]:9", "[2001:db8::1]:9"),
    ] {
        let found = resolve(name).await.unwrap();
        assert_eq!(
            found.iter().map(Endpoint::to_string).collect::<Vec<_>>(),
            [at]
        );
    }
}

/// On a machine with a way out: the observer surveys by itself and says where we are attached.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_observer_surveys_as_soon_as_something_is_attached() {
    if peerage_outside::local::attachment(Family::V4).is_none() {
        return;
    }
    let mut server = server("127.0.0.1:0", Some("127.0.0.2:0"));
    let mut plan = Plan::new(vec![server.first().to_string()], Box::new(|| [3; 16]));
    plan.rules.settle = Duration::ZERO;
    plan.network = Some(NetworkType::Mobile);
    let observer = Observer::start(plan);
    let mut observed = observer.subscribe();
    let wait = observed.wait_for(|observed| observed.v4.report.is_some());
    let seen = tokio::select! {
        seen = wait => seen.unwrap().clone(),
        never = server.run() => match never {},
    };
    assert_eq!(
        seen.effective(Family::V4, PortMappings::NONE),
        NatType::OPEN
    );
    assert_eq!(seen.v4.report.unwrap().name(), "no NAT");
    assert_eq!(seen.network, NetworkType::Mobile);
    let unmeasured = peerage_outside::Observed {
        network: NetworkType::Mobile,
        ..Default::default()
    };
    assert_eq!(
        unmeasured.effective(Family::V4, PortMappings::NONE),
        NatType::SYMMETRIC
    );
    let mapped = PortMappings {
        pcp: true,
        ..PortMappings::NONE
    };
    assert_eq!(unmeasured.effective(Family::V4, mapped), NatType::OPEN);
}

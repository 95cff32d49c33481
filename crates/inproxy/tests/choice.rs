//! Ends that speak QUIC, WebRTC, or both: which transport a match runs over, and why.

use std::future::pending;

use peerage_inproxy::TransportKind::{self, Quic, WebRtc};
use peerage_inproxy::client::{ClientConfig, Dialer, Where};
use peerage_inproxy::message::{Call, Reply};
use peerage_inproxy::transport::{
    Choice, Prepared as _, Role, Transport as _, TransportError, Udp,
};
use peerage_inproxy::volunteer::{Event, Volunteer, VolunteerConfig};
use peerage_inproxy::{AllowList, Code, Description};
use peerage_matcher::Rule;
use peerage_matcher::Versions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::common::parties::{echo, target};
use crate::common::{COMMON, OUTSIDE, Running, entry, prepared, soon, speaking};

fn both() -> Versions {
    Quic.version().or(WebRtc.version())
}

fn client(broker: &Running, speaks: Versions) -> Dialer<Udp> {
    let config = ClientConfig::new(Where::Common(vec![COMMON]), vec![entry()]);
    Dialer::new(broker.caller(), speaking(speaks), config, OUTSIDE)
}

fn volunteer(broker: &Running, speaks: Versions) -> mpsc::Receiver<Event> {
    let config = VolunteerConfig {
        allow: AllowList {
            private: true,
            ..AllowList::public(1, 65_535)
        },
        ..VolunteerConfig::default()
    };
    let (sender, events) = mpsc::channel(64);
    let volunteer = Volunteer::new(broker.caller(), speaking(speaks), config, sender);
    tokio::spawn(volunteer.run(pending()));
    events
}

/// A client and a volunteer who speak these, and what both say of the choice.
async fn met(client_speaks: Versions, volunteer_speaks: Versions) -> (TransportKind, [Choice; 2]) {
    let broker = Running::new().await;
    let mut events = volunteer(&broker, volunteer_speaks);
    let dialer = client(&broker, client_speaks);
    let to = target(echo().await);
    let mut channel = dialer.dial(&to, soon()).await.unwrap();
    channel.write_all(b"over it").await.unwrap();
    let mut heard = [0; 7];
    channel.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"over it");
    let ours = channel.path();
    loop {
        if let Event::Relaying { path, .. } = events.recv().await.unwrap() {
            assert_eq!(path.transport, ours.transport);
            return (ours.transport, [ours.choice, path.choice]);
        }
    }
}

#[tokio::test]
async fn the_first_that_both_speak_is_taken_and_both_can_say_why() {
    use Choice::{First, NotTheirs, OnlyOurs};
    let (q, w, qw) = (Quic.version(), WebRtc.version(), both());
    for (ours, theirs, kind, why) in [
        (qw, qw, Quic, [First, First]),
        (qw, q, Quic, [First, OnlyOurs]),
        (q, qw, Quic, [OnlyOurs, First]),
        (q, q, Quic, [OnlyOurs, OnlyOurs]),
        (qw, w, WebRtc, [NotTheirs(Quic), OnlyOurs]),
        (w, qw, WebRtc, [OnlyOurs, NotTheirs(Quic)]),
        (w, w, WebRtc, [OnlyOurs, OnlyOurs]),
    ] {
        assert_eq!(met(ours, theirs).await, (kind, why));
    }
}

#[tokio::test]
async fn two_that_share_no_transport_are_not_matched_and_the_broker_says_why() {
    let broker = Running::new().await;
    let _events = volunteer(&broker, WebRtc.version());
    let dialer = client(&broker, Quic.version());
    let to = target(echo().await);
    let dialling = {
        let (dialer, to) = (dialer.clone(), to.clone());
        tokio::spawn(async move { dialer.dial(&to, soon()).await })
    };
    let versions = Rule::ALL.iter().position(|rule| *rule == Rule::Versions);
    loop {
        let reply = dialer.broker().call(&Call::Explain, soon()).await.unwrap();
        let Reply::Explained(waiting) = reply else {
            panic!()
        };
        let ours = waiting.into_iter().find(|waiting| waiting.offer);
        if let Some(ours) = ours
            && ours.excluded[versions.unwrap()] > 0
        {
            // Nobody else waits, so no other rule keeps anybody away.
            assert_eq!(ours.excluded.iter().filter(|count| **count > 0).count(), 1);
            break;
        }
    }
    dialling.abort();
}

#[tokio::test]
async fn one_that_speaks_nothing_is_refused_by_the_broker() {
    let broker = Running::new().await;
    let dialer = client(&broker, Versions::NONE);
    let error = dialer.dial(&target(echo().await), soon()).await;
    let peerage_inproxy::client::DialError::Broker(no) = error.unwrap_err() else {
        panic!()
    };
    let peerage_inproxy::call::CallError::Refused(no) = no else {
        panic!()
    };
    assert_eq!(no.code, Code::NoTransport);
}

#[tokio::test]
async fn a_transport_that_was_not_described_is_not_tried() {
    let not_spoken = |by_us| TransportError::NotSpoken {
        kind: WebRtc,
        by_us,
    };
    let (end, _) = prepared(Quic).await;
    let (_, theirs) = prepared(WebRtc).await;
    let error = end.connect(WebRtc, Role::Client, &theirs, soon()).await;
    assert_eq!(error.unwrap_err(), not_spoken(true));
    let (end, _) = prepared(WebRtc).await;
    let (_, theirs) = prepared(Quic).await;
    let error = end.connect(WebRtc, Role::Client, &theirs, soon()).await;
    assert_eq!(error.unwrap_err(), not_spoken(false));
}

#[tokio::test]
async fn an_end_describes_what_it_speaks_and_the_bytes_say_so() {
    for (speaks, version, len) in [(Quic.version(), 1, 58), (both(), 2, 90)] {
        let prepared = speaking(speaks).prepare().await.unwrap();
        let described = prepared.description();
        let bytes = described.encode().unwrap();
        assert_eq!((bytes[0], bytes.len()), (version, len));
        assert_eq!(&Description::decode(&bytes).unwrap(), described);
        for short in 0..bytes.len() {
            Description::decode(&bytes[..short]).unwrap_err();
        }
    }
}

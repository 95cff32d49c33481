use std::time::Duration;

use peerage_inproxy::TransportKind;
use peerage_inproxy::description::{Candidate, CandidateKind, Fingerprint};
use peerage_inproxy::transport::{Prepared as _, Role, TransportError, UdpConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::common::{Wire, channels, described, nobody, prepared, silent_for, soon};

async fn each_direction_ends_on_its_own(kind: TransportKind) {
    let (mut client, mut volunteer) = channels(kind).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    volunteer.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    volunteer.write_all(b"answer").await.unwrap();
    volunteer.shutdown().await.unwrap();
    heard.clear();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer");
}

async fn what_was_written_arrives_though_the_channel_is_dropped(kind: TransportKind) {
    let (mut client, mut volunteer) = channels(kind).await;
    let sent = vec![7; 1 << 20];
    let writing = async {
        volunteer.write_all(&sent).await.unwrap();
        drop(volunteer);
    };
    let reading = async {
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let ((), heard) = tokio::join!(writing, reading);
    assert_eq!(heard, sent);
}

async fn a_break_is_not_taken_for_an_end(kind: TransportKind) {
    let (client, mut volunteer) = channels(kind).await;
    client.abort();
    let mut heard = Vec::new();
    volunteer.read_to_end(&mut heard).await.unwrap_err();
}

async fn a_path_that_is_cut_is_noticed_by_both_ends(kind: TransportKind) {
    let impatient = || silent_for(kind.version(), UdpConfig::default().silence);
    let (client, mut ours) = described(impatient()).await;
    let (volunteer, mut theirs) = described(impatient()).await;
    // Both are reached only through a wire of ours.
    let wire = Wire::new(theirs.candidates[0].addr.socket_addr()).await;
    theirs.candidates[0].addr = wire.addr.into();
    ours.candidates.clear();
    let connect = async {
        let mut channel = client
            .connect(kind, Role::Client, &theirs, soon())
            .await
            .unwrap();
        channel.write_u8(9).await.unwrap();
        channel
    };
    let take = volunteer.connect(kind, Role::Volunteer, &ours, soon());
    let (mut client, volunteer) = tokio::join!(connect, take);
    let mut volunteer = volunteer.unwrap();
    assert_eq!(volunteer.read_u8().await.unwrap(), 9);
    wire.cut();
    let cut_at = Instant::now();
    client.closed().await;
    // The configured silence, 900 ms; what is asserted is that it ends, and how.
    eprintln!("noticed after {:?}", cut_at.elapsed());
    volunteer.closed().await;
    client.read_u8().await.unwrap_err();
    volunteer.read_u8().await.unwrap_err();
}

async fn another_key_than_the_one_described_is_refused_on_both_sides(kind: TransportKind) {
    for liar in [Role::Client, Role::Volunteer] {
        let (client, mut ours) = prepared(kind).await;
        let (volunteer, mut theirs) = prepared(kind).await;
        let described = if liar == Role::Client {
            &mut ours
        } else {
            &mut theirs
        };
        described.fingerprint = Fingerprint([0; 32]);
        described.dtls = described.dtls.map(|_| Fingerprint([0; 32]));
        let deadline = soon();
        let connect = async {
            let mut channel = client
                .connect(kind, Role::Client, &theirs, deadline)
                .await?;
            // A client is told of a refusal only after it has finished its own side.
            channel.write_u8(1).await.ok();
            channel.closed().await;
            Err::<(), _>(TransportError::Fingerprint)
        };
        let take = volunteer.connect(
            kind,
            Role::Volunteer,
            &ours,
            Instant::now() + Duration::from_millis(600),
        );
        let (client, volunteer) = tokio::join!(connect, take);
        client.unwrap_err();
        assert_eq!(volunteer.unwrap_err(), TransportError::Fingerprint);
    }
}

async fn addresses_where_nobody_is_open_no_path(kind: TransportKind) {
    let (client, _) = prepared(kind).await;
    let (volunteer, mut described) = prepared(kind).await;
    drop(volunteer);
    described.candidates = vec![Candidate {
        kind: CandidateKind::Host,
        addr: nobody().into(),
    }];
    let deadline = Instant::now() + Duration::from_secs(5);
    let error = client
        .connect(kind, Role::Client, &described, deadline)
        .await
        .unwrap_err();
    assert_eq!(error, TransportError::NoPath { tried: 1, heard: 0 });
    let (client, _) = prepared(kind).await;
    described.candidates.clear();
    let error = client
        .connect(kind, Role::Client, &described, soon())
        .await
        .unwrap_err();
    assert_eq!(error, TransportError::NoCandidate);
}

async fn a_client_that_goes_another_way_frees_its_volunteer_at_once(kind: TransportKind) {
    let (client, mut ours) = prepared(kind).await;
    let (volunteer, theirs) = prepared(kind).await;
    // Nobody answers yet, for the volunteer has not begun: the client's checks wait in its socket, and
    // behind them that it was called off.
    let connecting = client.connect(kind, Role::Client, &theirs, soon());
    let given_up = tokio::time::timeout(Duration::from_millis(5), connecting).await;
    assert!(given_up.is_err());
    ours.candidates.clear();
    let taken = volunteer
        .connect(kind, Role::Volunteer, &ours, soon())
        .await;
    assert_eq!(taken.unwrap_err(), TransportError::CalledOff);
}

async fn a_candidate_of_another_family_or_a_dead_one_does_not_hinder_the_good_one(
    kind: TransportKind,
) {
    let (client, ours) = prepared(kind).await;
    let (volunteer, mut theirs) = prepared(kind).await;
    for addr in ["[2001:db8::1]:9", "127.0.0.1:9"] {
        let addr: std::net::SocketAddr = addr.parse().unwrap();
        theirs.candidates.insert(
            0,
            Candidate {
                kind: CandidateKind::Host,
                addr: addr.into(),
            },
        );
    }
    let connect = async {
        let mut channel = client
            .connect(kind, Role::Client, &theirs, soon())
            .await
            .unwrap();
        channel.write_u8(9).await.unwrap();
        channel
    };
    let take = volunteer.connect(kind, Role::Volunteer, &ours, soon());
    let (_client, volunteer) = tokio::join!(connect, take);
    assert_eq!(volunteer.unwrap().read_u8().await.unwrap(), 9);
}

async fn sixteen_at_once_carry_each_its_own_bytes(kind: TransportKind) {
    let mut all = tokio::task::JoinSet::new();
    for number in 0..16_u8 {
        all.spawn(async move {
            let (mut client, mut volunteer) = channels(kind).await;
            let sent = vec![number; 300_000 + usize::from(number)];
            let writing = async {
                client.write_all(&sent).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let mut heard = Vec::new();
            let reading = volunteer.read_to_end(&mut heard);
            let ((), read) = tokio::join!(writing, reading);
            read.unwrap();
            assert!(heard == sent, "{number}");
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}

async fn a_reader_that_stops_bounds_what_a_writer_can_give(kind: TransportKind) {
    let (mut client, mut volunteer) = channels(kind).await;
    let chunk = vec![7; 1 << 16];
    let mut given = 0;
    let quiet = Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(quiet, client.write(&chunk)).await {
        given += written.unwrap();
    }
    // The window, and as much again in the sender's hands.
    assert!(given <= (2 << 20) + (1 << 17), "{given}");
    // It was held back and not broken: all of it is still there.
    let mut heard = vec![0; given];
    volunteer.read_exact(&mut heard).await.unwrap();
    client.write_all(b"more").await.unwrap();
    volunteer.read_exact(&mut heard[..4]).await.unwrap();
    assert_eq!(&heard[..4], b"more");
}

async fn strangers_packets_do_not_hinder(kind: TransportKind) {
    let (client, ours) = prepared(kind).await;
    let (volunteer, theirs) = prepared(kind).await;
    for first in [0, 1, 3, 6, 20, 22, 23, 64, 128, 192, 255] {
        let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for len in [1, 26, 40, 1200] {
            let mut packet = vec![0x5a; len];
            packet[0] = first;
            for end in [&ours, &theirs] {
                let to = end.candidates[0].addr.socket_addr();
                stranger.send_to(&packet, to).await.unwrap();
            }
        }
    }
    let connect = async {
        let connecting = client.connect(kind, Role::Client, &theirs, soon());
        let mut channel = connecting.await.unwrap();
        channel.write_u8(9).await.unwrap();
        channel
    };
    let take = volunteer.connect(kind, Role::Volunteer, &ours, soon());
    let (_client, volunteer) = tokio::join!(connect, take);
    assert_eq!(volunteer.unwrap().read_u8().await.unwrap(), 9);
}

async fn whichever_packet_is_lost_the_two_meet(kind: TransportKind) {
    let mut all = tokio::task::JoinSet::new();
    for lost in 0..32 {
        all.spawn(async move {
            let (client, mut ours) = prepared(kind).await;
            let (volunteer, mut theirs) = prepared(kind).await;
            let known = theirs.candidates[0].addr.socket_addr();
            let wire = Wire::losing(known, Some(lost)).await;
            theirs.candidates[0].addr = wire.addr.into();
            ours.candidates.clear();
            let connect = async {
                let connecting = client.connect(kind, Role::Client, &theirs, soon());
                let mut channel = connecting.await?;
                let _ = channel.write_u8(9).await;
                Ok::<_, TransportError>(channel)
            };
            let take = volunteer.connect(kind, Role::Volunteer, &ours, soon());
            let (client, volunteer) = tokio::join!(connect, take);
            let (_client, mut volunteer) = match (client, volunteer) {
                (Ok(client), Ok(volunteer)) => (client, volunteer),
                (client, volunteer) => panic!("without {lost}: {client:?} {volunteer:?}"),
            };
            assert_eq!(volunteer.read_u8().await.unwrap(), 9, "without {lost}");
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}

macro_rules! over {
    ($name:ident, $kind:expr) => {
        mod $name {
            use super::TransportKind;

            const KIND: TransportKind = $kind;

            #[tokio::test]
            async fn sixteen_at_once_carry_each_its_own_bytes() {
                super::sixteen_at_once_carry_each_its_own_bytes(KIND).await;
            }

            #[tokio::test]
            async fn a_reader_that_stops_bounds_what_a_writer_can_give() {
                super::a_reader_that_stops_bounds_what_a_writer_can_give(KIND).await;
            }

            #[tokio::test]
            async fn strangers_packets_do_not_hinder() {
                super::strangers_packets_do_not_hinder(KIND).await;
            }

            #[tokio::test]
            async fn whichever_packet_is_lost_the_two_meet() {
                super::whichever_packet_is_lost_the_two_meet(KIND).await;
            }

            #[tokio::test]
            async fn each_direction_ends_on_its_own() {
                super::each_direction_ends_on_its_own(KIND).await;
            }

            #[tokio::test]
            async fn what_was_written_arrives_though_the_channel_is_dropped() {
                super::what_was_written_arrives_though_the_channel_is_dropped(KIND).await;
            }

            #[tokio::test]
            async fn a_break_is_not_taken_for_an_end() {
                super::a_break_is_not_taken_for_an_end(KIND).await;
            }

            #[tokio::test]
            async fn a_path_that_is_cut_is_noticed_by_both_ends() {
                super::a_path_that_is_cut_is_noticed_by_both_ends(KIND).await;
            }

            #[tokio::test]
            async fn another_key_than_the_one_described_is_refused_on_both_sides() {
                super::another_key_than_the_one_described_is_refused_on_both_sides(KIND).await;
            }

            #[tokio::test(start_paused = true)]
            async fn addresses_where_nobody_is_open_no_path() {
                super::addresses_where_nobody_is_open_no_path(KIND).await;
            }

            #[tokio::test]
            async fn a_client_that_goes_another_way_frees_its_volunteer_at_once() {
                super::a_client_that_goes_another_way_frees_its_volunteer_at_once(KIND).await;
            }

            #[tokio::test]
            async fn a_candidate_of_another_family_or_a_dead_one_does_not_hinder_the_good_one() {
                super::a_candidate_of_another_family_or_a_dead_one_does_not_hinder_the_good_one(
                    KIND,
                )
                .await;
            }
        }
    };
}

over!(quic, TransportKind::Quic);
#[cfg(feature = "webrtc")]
over!(webrtc, TransportKind::WebRtc);

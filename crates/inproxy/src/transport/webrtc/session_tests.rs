//! Against an end that speaks WebRTC as it should, and on its channel whatever it likes.

use std::time::Duration;

use bytes::BytesMut;
use peerage_core::UnixTime;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::super::flow::MAX_MESSAGE_LEN;
use super::{Session, State};
use crate::description::TransportKind;
use crate::outside::Outside;
use crate::transport::{Channel, Prepared as _, PreparedUdp, Role, Transport as _, Udp, UdpConfig};

const OUTSIDE: Outside = Outside {
    random: |bytes| SystemRandom::new().fill(bytes).unwrap(),
    wall_clock: || UnixTime(1_800_000_000),
};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn prepared() -> PreparedUdp {
    let config = UdpConfig {
        bind: [127, 0, 0, 1].into(),
        speaks: TransportKind::WebRtc.version(),
        ..UdpConfig::default()
    };
    Udp::new(config, OUTSIDE).prepare().await.unwrap()
}

/// An honest volunteer's channel, and a client of which only the connection is honest.
async fn met() -> (Channel, Session) {
    let (volunteer, mut client) = (prepared().await, prepared().await);
    let (theirs, ours) = (volunteer.description.clone(), client.description.clone());
    let kind = TransportKind::WebRtc;
    let certificate = client.certificate.take().unwrap();
    let dtls = theirs.dtls.unwrap();
    let mut session = Session::new(client, certificate, Role::Client, (&theirs, dtls)).unwrap();
    let taking = volunteer.connect(kind, Role::Volunteer, &ours, soon());
    let (channel, opened) = tokio::join!(taking, session.open(soon()));
    opened.unwrap();
    (channel.unwrap(), session)
}

/// What the honest end reads when these messages come.
async fn told(messages: Vec<Vec<u8>>, text: bool) -> std::io::Result<Vec<u8>> {
    let (mut channel, mut session) = met().await;
    let hostile = async {
        for message in messages {
            let now = Instant::now().into_std();
            let id = session.channel;
            let mut channel = session.connection.data_channel(id).unwrap();
            if text {
                let message = String::from_utf8(message).unwrap();
                channel.send_text(now, message).unwrap();
            } else {
                channel.send(now, BytesMut::from(&message[..])).unwrap();
            }
            session.flush().await;
        }
        while session.state == State::Open {
            session.wait(soon()).await;
            session.flush().await;
            session.take_events();
            // It reads whatever comes, and says nothing of it.
            while rtc::sansio::Protocol::poll_read(&mut session.connection).is_some() {}
        }
        std::future::pending::<()>().await;
    };
    let mut heard = Vec::new();
    let honest = async {
        let read = channel.read_to_end(&mut heard).await;
        if read.is_err() {
            channel.closed().await;
        }
        read
    };
    tokio::select! {
        read = honest => read.map(|_| heard),
        () = hostile => unreachable!(),
    }
}

fn data(len: usize) -> Vec<u8> {
    vec![0; 1 + len]
}

fn end(len: u64) -> Vec<u8> {
    [&[1][..], &len.to_be_bytes()].concat()
}

#[tokio::test]
async fn what_is_said_in_the_documented_bytes_is_heard() {
    let heard = told(vec![data(3), data(MAX_MESSAGE_LEN - 1), end(16_386)], false).await;
    assert_eq!(heard.unwrap().len(), 16_386);
}

#[tokio::test]
async fn a_message_that_is_too_long_breaks_the_channel_off() {
    told(vec![data(3), data(MAX_MESSAGE_LEN)], false)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_text_or_an_unknown_message_breaks_the_channel_off() {
    told(vec![b"hello".to_vec()], true).await.unwrap_err();
    told(vec![vec![9, 9, 9]], false).await.unwrap_err();
}

#[tokio::test]
async fn an_end_that_counts_other_bytes_than_came_is_none() {
    told(vec![data(3), end(4)], false).await.unwrap_err();
}

//! Broker, volunteer, client and destination, in this process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;
use peerage_bench_kit::Error;
use peerage_core::UnixTime;
use peerage_inproxy::broker::{Broker, BrokerConfig};
use peerage_inproxy::call::BrokerClient;
use peerage_inproxy::client::{ClientConfig, Dialer, Where};
use peerage_inproxy::destination::Hosts;
use peerage_inproxy::transport::{
    Channel, Prepared as _, Role, Throttle, Transport as _, Udp, UdpConfig, relay,
};
use peerage_inproxy::volunteer::{Volunteer, VolunteerConfig};
use peerage_inproxy::{
    AllowList, BrokerAddress, Entry, Outside, PartySecret, SignedEntry, SignerSecret, TransportKind,
};
use peerage_matcher::{CompartmentId, NetworkProtocol};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::bulk::pour;
use crate::wire::{Weather, forward};

const COMMON: CompartmentId = CompartmentId([1; 32]);
const OUTSIDE: Outside = Outside {
    random: |bytes| SystemRandom::new().fill(bytes).expect("entropy"),
    wall_clock: || UnixTime(1_800_000_000),
};
/// Longer than any gap that loss makes, and than this process is kept from the processor.
const SILENCE: Duration = Duration::from_secs(10);

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

fn udp(kind: TransportKind) -> Udp {
    let config = UdpConfig {
        bind: [127, 0, 0, 1].into(),
        speaks: kind.version(),
        silence: SILENCE,
        ..UdpConfig::default()
    };
    Udp::new(config, OUTSIDE)
}

fn operator() -> SignerSecret {
    SignerSecret::new(&[7; 32])
}

fn entry() -> Result<Bytes, Error> {
    let net: IpNet = "127.0.0.0/8".parse()?;
    let entry = Entry {
        hosts: Hosts::Net(net),
        ports: (1, 65_535),
        protocol: NetworkProtocol::Tcp,
        expires: UnixTime(i64::MAX),
        tag: "bench".into(),
    };
    Ok(SignedEntry::sign(entry, &operator())?.encode()?)
}

async fn broker() -> Result<BrokerAddress, Error> {
    let key = PartySecret::new(OUTSIDE.bytes());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = BrokerAddress {
        target: listener.local_addr()?.to_string().parse()?,
        key: key.public(),
    };
    let mut config = BrokerConfig::new(key);
    config.compartments.add(COMMON)?;
    config.destinations.signers.insert(operator().public());
    config.destinations.tags.insert("bench".into());
    config.loopback = true;
    // All callers are one address here.
    config.matcher.extras.announcement_limits = None;
    config.matcher.extras.offer_limits = None;
    let broker = Broker::new(config, OUTSIDE)?;
    tokio::spawn(async move { broker.serve(listener, std::future::pending()).await });
    Ok(address)
}

/// A destination that echoes.
async fn echo() -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    Ok(addr.to_string())
}

/// From the offer to the first byte back from the destination; the session with the broker is there.
pub async fn set_ups(kind: TransportKind, count: u64) -> Result<Vec<Duration>, Error> {
    let address = broker().await?;
    let caller = || BrokerClient::new(address.clone(), PartySecret::new(OUTSIDE.bytes()), OUTSIDE);
    let config = VolunteerConfig {
        allow: AllowList {
            private: true,
            ..AllowList::public(1, 65_535)
        },
        announcing: 8,
        connections: 32,
        ..VolunteerConfig::default()
    };
    let (events, mut received) = mpsc::channel(1000);
    tokio::spawn(async move { while received.recv().await.is_some() {} });
    let volunteer = Volunteer::new(caller(), udp(kind), config, events);
    tokio::spawn(volunteer.run(std::future::pending()));
    let to = echo().await?.parse()?;
    let config = ClientConfig::new(Where::Common(vec![COMMON]), vec![entry()?]);
    let dialer = Dialer::new(caller(), udp(kind), config, OUTSIDE);
    let mut times = Vec::new();
    // The first makes the session, and is not counted.
    for number in 0..=count {
        let begun = Instant::now();
        let mut channel = dialer.dial(&to, soon()).await?;
        channel.write_u8(1).await?;
        channel.read_u8().await?;
        if number > 0 {
            times.push(begun.elapsed());
        }
    }
    Ok(times)
}

/// Two ends that know each other, with that weather between them.
async fn channels(kind: TransportKind, weather: Weather) -> Result<(Channel, Channel), Error> {
    let (client, volunteer) = (udp(kind).prepare().await?, udp(kind).prepare().await?);
    let mut ours = client.description().clone();
    let mut theirs = volunteer.description().clone();
    if !weather.is_fair() {
        let known = theirs.candidates[0].addr.socket_addr();
        theirs.candidates[0].addr = forward(known, weather).await?.into();
        ours.candidates.clear();
    }
    let connect = async {
        let mut channel = client.connect(kind, Role::Client, &theirs, soon()).await?;
        channel.write_u8(1).await?;
        Ok::<_, Error>(channel)
    };
    let take = async {
        let mut channel = volunteer
            .connect(kind, Role::Volunteer, &ours, soon())
            .await?;
        channel.read_u8().await?;
        Ok(channel)
    };
    tokio::try_join!(connect, take)
}

/// From a client's channel through a volunteer's relay to a destination.
pub async fn stream(
    kind: TransportKind,
    bytes: u64,
    weather: Weather,
) -> Result<(Duration, Duration), Error> {
    let (client, volunteer) = channels(kind, weather).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    tokio::spawn(async move {
        let throttle = Throttle::new(None, None);
        relay(volunteer, near, &throttle, Duration::from_secs(60)).await
    });
    pour(client, far, bytes).await
}

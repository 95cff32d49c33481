//! Sends addresses to a Decred peer: one IPv4, one IPv6 and one onion service, in one `addrv2`
//! message. Succeeds when the peer answers a ping after it, so it has read the message and kept us.
//!
//! ```text
//! cargo run -p peerage --example addrv2 -- 127.0.0.1:18555
//! ```

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage::decred::{self, AddrV2, Message, NetworkAddr};
use peerage::verack::Services;
use peerage::{Decred, Greeter, UnixTime};

/// How long the peer may take, for the handshake and then for the pong.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example speaks to a person")]
async fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::args().nth(1).ok_or("usage: addrv2 HOST:PORT")?;
    let node = Greeter::<Decred>::new("simnet")?;
    let mut peer = node.dial(&target, LIMIT).await?;

    let agreed = peer.info().negotiated;
    if agreed < decred::STRICT_FROM {
        return Err(format!("the peer speaks version {}, which has no addrv2", agreed.0).into());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let time = UnixTime(now.try_into()?);
    let addrs = [
        NetworkAddr::Ipv4("203.0.113.7".parse()?),
        NetworkAddr::Ipv6("2001:db8::7".parse()?),
        NetworkAddr::TorV3([7; 32]),
    ];
    let addrs = addrs.map(|addr| AddrV2 {
        time,
        services: Services(1),
        addr,
        port: 9108,
    });
    peer.send(&Message::AddrV2(addrs.to_vec())).await?;
    let rtt = peer.ping(LIMIT).await?;

    let agent = &peer.info().theirs.user_agent;
    println!("{agent} took 3 addresses and answered in {rtt:?}");
    Ok(())
}
